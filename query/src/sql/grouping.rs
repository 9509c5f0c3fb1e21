//! GROUP BY: plain expressions, ROLLUP, CUBE and GROUPING SETS, as PostgreSQL's grammar has them.
//!
//! sqlparser's own way reads no grouping sets inside others and no expression that begins with a parenthesis, so they are
//! read here, wherever an expression may begin; outside of GROUP BY they are refused later. Its tree has no place for an
//! empty grouping set nor for DISTINCT before the first of them: these travel as prefixes, which PostgreSQL's SQL has none of.

use sqlparser::ast as sql;
use sqlparser::ast::Spanned;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::expr::span_over;
use super::{Converter, refuse, tokens};
use crate::ast::{Expr, GroupingElement, Span};
use crate::error::{QueryError, Result};

/// What an empty grouping set is called in sqlparser's tree, and what stands behind DISTINCT.
const EMPTY_SET: &str = "()";
const DISTINCT: &str = "DISTINCT";

/// A node of sqlparser's tree from its elements.
type OfElements = fn(Vec<Vec<sql::Expr>>) -> sql::Expr;

/// What GROUP BY has beside expressions, if it stands here.
pub(super) fn parse(parser: &mut Parser) -> Option<Result<sql::Expr, ParserError>> {
    let [first, second, third] = parser.peek_tokens_ref();
    let opens = |token: &TokenWithSpan| token.token == Token::LParen;
    let (words, of): (usize, OfElements) = match keyword(first) {
        Keyword::GROUPING if keyword(second) == Keyword::SETS && opens(third) => (2, sql::Expr::GroupingSets),
        Keyword::ROLLUP if opens(second) => (1, sql::Expr::Rollup),
        Keyword::CUBE if opens(second) => (1, sql::Expr::Cube),
        _ if opens(first) && second.token == Token::RParen => {
            let empty = empty_set(sqlparser::tokenizer::Span::new(first.span.start, second.span.end));
            parser.advance_token();
            parser.advance_token();
            return Some(Ok(empty));
        }
        Keyword::DISTINCT if begins_group_by(parser) => {
            let prefix = sql::Ident::with_span(first.span, DISTINCT);
            parser.advance_token();
            let value = parser.parse_expr();
            return Some(value.map(|value| sql::Expr::Prefixed { prefix, value: Box::new(value) }));
        }
        _ => return None,
    };
    for _ in 0..words {
        parser.advance_token();
    }
    Some(elements(parser).map(of))
}

fn begins_group_by(parser: &Parser) -> bool {
    let before = |n: usize| parser.index().checked_sub(n).map(|at| keyword(parser.token_at(at)));
    before(1) == Some(Keyword::BY) && before(2) == Some(Keyword::GROUP)
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// The list in parentheses; every element is one expression of sqlparser's.
fn elements(parser: &mut Parser) -> Result<Vec<Vec<sql::Expr>>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let elements = parser.parse_comma_separated(|p| p.parse_expr().map(|e| vec![e]))?;
    parser.expect_token(&Token::RParen)?;
    Ok(elements)
}

fn empty_set(span: sqlparser::tokenizer::Span) -> sql::Expr {
    let prefix = sql::Ident::with_span(span, EMPTY_SET);
    sql::Expr::Prefixed { prefix, value: Box::new(sql::Expr::Value(sql::Value::Null.with_span(span))) }
}

/// Where an empty grouping set stands, if the expression is one.
fn is_empty_set(expr: &sql::Expr) -> Option<Span> {
    match expr {
        sql::Expr::Prefixed { prefix, .. } if prefix.value == EMPTY_SET => Some(tokens::span(prefix.span)),
        _ => None,
    }
}

/// Takes the DISTINCT off what GROUP BY begins with.
fn without_distinct(first: &mut sql::Expr) -> bool {
    let distinct = matches!(&*first, sql::Expr::Prefixed { prefix, .. } if prefix.value == DISTINCT);
    if distinct && let sql::Expr::Prefixed { value, .. } = first {
        let value = std::mem::replace(&mut **value, sql::Expr::Tuple(Vec::new()));
        *first = value;
    }
    distinct
}

/// The error of grouping sets where none can stand.
pub(super) fn misplaced(expr: &sql::Expr) -> Option<QueryError> {
    let refused = |message: &str, span| QueryError::syntax(message, span).hint("grouping sets stand in GROUP BY only");
    match (is_empty_set(expr), expr) {
        (Some(span), _) => Some(refused("syntax error at or near \")\"", span)),
        (_, sql::Expr::GroupingSets(_)) => Some(refused("GROUPING SETS has no place here", tokens::span(expr.span()))),
        _ => None,
    }
}

impl Converter {
    pub(super) fn group_by(&mut self, group_by: sql::GroupByExpr, span: Span) -> Result<Vec<GroupingElement>> {
        match group_by {
            sql::GroupByExpr::Expressions(exprs, modifiers) => {
                refuse(!modifiers.is_empty(), "a modifier of GROUP BY", span)?;
                let mut exprs = exprs;
                let distinct = exprs.first_mut().is_some_and(without_distinct);
                let elements: Vec<GroupingElement> =
                    exprs.into_iter().map(|e| self.grouping_element(e)).collect::<Result<_>>()?;
                if !distinct {
                    return Ok(elements);
                }
                let span = elements.iter().fold(Span::default(), |span, element| span.to(element.span()));
                Ok(vec![GroupingElement::Distinct(elements, span)])
            }
            sql::GroupByExpr::All(_) => Err(QueryError::unsupported("GROUP BY ALL").at(span)),
        }
    }

    fn grouping_element(&mut self, expr: sql::Expr) -> Result<GroupingElement> {
        if let Some(span) = is_empty_set(&expr) {
            return Ok(GroupingElement::Set(Vec::new(), span));
        }
        let span = tokens::span(expr.span());
        self.deeper(|c| match expr {
            sql::Expr::GroupingSets(elements) => {
                let elements = elements.into_iter().flatten().map(|e| c.grouping_element(e)).collect::<Result<_>>()?;
                Ok(GroupingElement::Sets(elements, span))
            }
            sql::Expr::Rollup(list) => Ok(GroupingElement::Rollup(c.grouping_list(list)?, span)),
            sql::Expr::Cube(list) => Ok(GroupingElement::Cube(c.grouping_list(list)?, span)),
            expr => {
                let exprs = c.ordinary_set(expr)?;
                let span = span_over(&exprs);
                Ok(GroupingElement::Set(exprs, span))
            }
        })
    }

    fn grouping_list(&mut self, list: Vec<Vec<sql::Expr>>) -> Result<Vec<Vec<Expr>>> {
        list.into_iter().flatten().map(|e| self.ordinary_set(e)).collect()
    }

    /// An expression; or those of `(a, b)`, in which further parentheses mean nothing.
    fn ordinary_set(&mut self, expr: sql::Expr) -> Result<Vec<Expr>> {
        self.deeper(|c| match expr {
            sql::Expr::Tuple(items) => {
                let sets: Vec<Vec<Expr>> = items.into_iter().map(|e| c.ordinary_set(e)).collect::<Result<_>>()?;
                Ok(sets.into_iter().flatten().collect())
            }
            sql::Expr::Nested(inner) => c.ordinary_set(*inner),
            expr => Ok(vec![c.expr(expr)?]),
        })
    }
}
