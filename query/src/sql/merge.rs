//! MERGE, read here as PostgreSQL 15 has it: sqlparser knows neither DO NOTHING nor DEFAULT VALUES, and clauses of other
//! databases. What stands inside its clauses sqlparser reads.

use sqlparser::ast as sql;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::LedgerstoneDialect;
use super::{Converter, plain_name, tokens, with_parser};
use crate::ast::{
    InsertSource, Merge, MergeAction, MergeInsert, MergeWhen, Overriding, Query, SetExpr, Span, Statement,
};
use crate::error::Result;

/// Whether these are the tokens of a MERGE: it begins the statement, or stands behind its WITH.
pub(super) fn begins(tokens: &[TokenWithSpan]) -> bool {
    match tokens.first() {
        Some(first) if tokens::is_keyword(first, Keyword::MERGE) => true,
        Some(first) if tokens::is_keyword(first, Keyword::WITH) => {
            let (mut depth, mut closed) = (0_usize, false);
            tokens.iter().any(|token| {
                let found = depth == 0 && closed && tokens::is_keyword(token, Keyword::MERGE);
                match token.token {
                    Token::LParen => depth += 1,
                    Token::RParen => depth = depth.saturating_sub(1),
                    _ => {}
                }
                closed = token.token == Token::RParen;
                found
            })
        }
        _ => false,
    }
}

pub(super) fn statement(
    dialect: &LedgerstoneDialect,
    converter: &mut Converter,
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<Statement> {
    let parts = with_parser(dialect, tokens, text, parts)?;
    Ok(Statement::Merge(Box::new(converter.deeper(|c| c.merge(parts))?)))
}

/// A MERGE of sqlparser's parts.
struct Parts {
    with: Option<sql::With>,
    span: Span,
    table: sql::TableFactor,
    source: sql::TableWithJoins,
    on: sql::Expr,
    whens: Vec<When>,
}

struct When {
    span: Span,
    matched: bool,
    condition: Option<sql::Expr>,
    action: Action,
}

enum Action {
    Nothing,
    Delete,
    Update(Vec<sql::Assignment>),
    /// Without values: DEFAULT VALUES.
    Insert {
        columns: Vec<sql::ObjectName>,
        overriding: Option<Overriding>,
        values: Option<Vec<sql::Expr>>,
    },
}

impl Converter {
    fn merge(&mut self, parts: Parts) -> Result<Merge> {
        let Parts { with, span, table, source, on, whens } = parts;
        let (with, recursive) = self.with(with, true)?;
        let table = self.changed(sql::TableWithJoins { relation: table, joins: Vec::new() }, span)?;
        let source = self.joined(source)?;
        let on = self.expr(on)?;
        let whens = whens.into_iter().map(|when| self.merge_when(when)).collect::<Result<_>>()?;
        Ok(Merge { with, recursive, table, source, on, whens, span })
    }

    fn merge_when(&mut self, when: When) -> Result<MergeWhen> {
        let When { span, matched, condition, action } = when;
        let condition = self.optional(condition)?;
        let action = match action {
            Action::Nothing => MergeAction::Nothing,
            Action::Delete => MergeAction::Delete,
            Action::Update(assignments) => MergeAction::Update(self.assignments(assignments)?),
            Action::Insert { columns, overriding, values } => {
                let columns = columns.into_iter().map(|c| plain_name(c, "a column")).collect::<Result<_>>()?;
                let source = match values {
                    None => InsertSource::DefaultValues,
                    Some(values) => InsertSource::Query(Box::new(one_row(self.exprs(values)?, span))),
                };
                MergeAction::Insert(MergeInsert { columns, overriding, source })
            }
        };
        Ok(MergeWhen { matched, condition, action, span })
    }
}

fn one_row(values: Vec<crate::ast::Expr>, span: Span) -> Query {
    let span = values.iter().fold(Span::default(), |all, value| all.to(value.span)).to(span);
    Query::of(SetExpr::Values { rows: vec![values], span }, span)
}

fn parts(parser: &mut Parser) -> Result<Parts, ParserError> {
    let with = match parser.parse_keyword(Keyword::WITH) {
        true => {
            let with_token = parser.get_current_token().clone().into();
            let recursive = parser.parse_keyword(Keyword::RECURSIVE);
            let cte_tables = parser.parse_comma_separated(Parser::parse_cte)?;
            Some(sql::With { with_token, recursive, cte_tables })
        }
        false => None,
    };
    parser.expect_keyword_is(Keyword::MERGE)?;
    let span = tokens::span(parser.get_current_token().span);
    parser.expect_keyword_is(Keyword::INTO)?;
    let table = parser.parse_table_factor()?;
    parser.expect_keyword_is(Keyword::USING)?;
    let source = parser.parse_table_and_joins()?;
    parser.expect_keyword_is(Keyword::ON)?;
    let on = parser.parse_expr()?;
    let mut whens = vec![when(parser)?];
    while parser.peek_keyword(Keyword::WHEN) {
        whens.push(when(parser)?);
    }
    Ok(Parts { with, span, table, source, on, whens })
}

fn when(parser: &mut Parser) -> Result<When, ParserError> {
    parser.expect_keyword_is(Keyword::WHEN)?;
    let span = tokens::span(parser.get_current_token().span);
    let matched = !parser.parse_keyword(Keyword::NOT);
    parser.expect_keyword_is(Keyword::MATCHED)?;
    let condition = match parser.parse_keyword(Keyword::AND) {
        true => Some(parser.parse_expr()?),
        false => None,
    };
    parser.expect_keyword_is(Keyword::THEN)?;
    let action = if word(parser, "DO") {
        if !word(parser, "NOTHING") {
            return parser.expected_ref("NOTHING", parser.peek_token_ref());
        }
        Action::Nothing
    } else if matched && parser.parse_keyword(Keyword::UPDATE) {
        parser.expect_keyword_is(Keyword::SET)?;
        Action::Update(parser.parse_comma_separated(Parser::parse_assignment)?)
    } else if matched && parser.parse_keyword(Keyword::DELETE) {
        Action::Delete
    } else if !matched && parser.parse_keyword(Keyword::INSERT) {
        insert(parser)?
    } else {
        let expected = if matched { "UPDATE, DELETE or DO NOTHING" } else { "INSERT or DO NOTHING" };
        return parser.expected_ref(expected, parser.peek_token_ref());
    };
    Ok(When { span, matched, condition, action })
}

/// What stands behind INSERT.
fn insert(parser: &mut Parser) -> Result<Action, ParserError> {
    if parser.parse_keywords(&[Keyword::DEFAULT, Keyword::VALUES]) {
        return Ok(Action::Insert { columns: Vec::new(), overriding: None, values: None });
    }
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) {
        columns = parser.parse_comma_separated(|p| p.parse_object_name(false))?;
        parser.expect_token(&Token::RParen)?;
    }
    let overriding = match word(parser, "OVERRIDING") {
        true if word(parser, "SYSTEM") => Some(Overriding::System),
        true if word(parser, "USER") => Some(Overriding::User),
        true => return parser.expected_ref("SYSTEM or USER", parser.peek_token_ref()),
        false => None,
    };
    if overriding.is_some() && !word(parser, "VALUE") {
        return parser.expected_ref("VALUE", parser.peek_token_ref());
    }
    parser.expect_keyword_is(Keyword::VALUES)?;
    parser.expect_token(&Token::LParen)?;
    let values = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Action::Insert { columns, overriding, values: Some(values) })
}

/// Takes a word, also one that is no keyword to sqlparser.
fn word(parser: &mut Parser, word: &str) -> bool {
    let found = tokens::is_word(parser.peek_token_ref(), word);
    if found {
        parser.advance_token();
    }
    found
}
