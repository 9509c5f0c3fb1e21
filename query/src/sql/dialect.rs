//! sqlparser's PostgreSQL dialect with differences: tables may carry a version (`AS OF`), what PostgreSQL does not
//! read is not read either, some operators bind as they do there, and parsing has a budget.
//!
//! The budget is there because sqlparser tries alternatives and backs up: nested special forms that fail late would
//! take exponential time. Its hooks count what it does; when the budget is gone every expression fails at once.

use std::any::TypeId;
use std::cell::Cell;

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::grouping;

#[derive(Debug)]
pub(super) struct LedgerstoneDialect {
    base: PostgreSqlDialect,
    budget: Cell<u64>,
}

impl LedgerstoneDialect {
    pub(super) fn new() -> Self {
        LedgerstoneDialect { base: PostgreSqlDialect {}, budget: Cell::new(u64::MAX) }
    }

    /// Sets the budget for a statement of so many tokens.
    pub(super) fn allow(&self, tokens: usize) {
        self.budget.set(5_000 + 30 * tokens as u64);
    }

    fn spend(&self) -> Result<(), ParserError> {
        match self.budget.get() {
            0 => Err(ParserError::RecursionLimitExceeded),
            left => {
                self.budget.set(left - 1);
                Ok(())
            }
        }
    }
}

/// Hands the named questions on to PostgreSQL's dialect.
macro_rules! as_postgres {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            self.base.$name()
        })*
    };
}

impl Dialect for LedgerstoneDialect {
    fn dialect(&self) -> TypeId {
        self.base.dialect()
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_xml_expressions(&self) -> bool {
        false
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        false
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match self.spend() {
            Ok(()) => grouping::parse(parser),
            Err(error) => Some(Err(error)),
        }
    }

    fn supports_group_by_expr(&self) -> bool {
        // They are read as expressions, by `parse_prefix`.
        false
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        // sqlparser reads all that follows as the right side, with ANDs and ORs.
        let same = if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            false
        } else if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
            true
        } else {
            return None;
        };
        Some(parser.parse_subexpr(precedence).map(|right| {
            let (left, right) = (Box::new(left.clone()), Box::new(right));
            if same { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) }
        }))
    }

    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        // Reserved in PostgreSQL: `SELECT 1 FOR UPDATE`.
        *keyword != Keyword::FOR && self.base.is_column_alias(keyword, parser)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if let Err(e) = self.spend() {
            return Some(Err(e));
        }
        match &parser.peek_token_ref().token {
            // These bind as any other operator, not as comparisons (PostgreSQL, table 4.2).
            Token::Tilde | Token::TildeAsterisk | Token::ExclamationMarkTilde | Token::ExclamationMarkTildeAsterisk => {
                Some(Ok(self.prec_value(Precedence::PgOther)))
            }
            Token::Word(w) if w.keyword == Keyword::OPERATOR => Some(Ok(self.prec_value(Precedence::PgOther))),
            _ => self.base.get_next_precedence(parser),
        }
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        self.base.prec_value(prec)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.base.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.base.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.base.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.base.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        self.base.is_reserved_for_identifier(kw)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        self.base.is_custom_operator_part(ch)
    }

    as_postgres!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
    );
}
