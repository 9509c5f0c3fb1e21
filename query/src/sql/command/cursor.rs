//! Prepared statements and cursors: PREPARE, EXECUTE, DECLARE, FETCH, MOVE and CLOSE.

use sqlparser::tokenizer::Token;

use super::super::dialect::LedgerstoneDialect;
use super::super::{Converter, near, statement_of, tokens, with_parser};
use super::Cursor;
use crate::ast::{DeclareCursor, FetchDirection, Span, Statement, TypeName};
use crate::error::{QueryError, Result, SqlState};

pub(super) fn parse(
    dialect: &LedgerstoneDialect,
    converter: &mut Converter,
    c: &mut Cursor,
) -> Result<Option<Statement>> {
    let statement = if c.is_word_ahead(0, "PREPARE") && !c.is_word_ahead(1, "TRANSACTION") {
        c.at += 1;
        prepare(dialect, c)?
    } else if c.words(&["EXECUTE"]) {
        execute(dialect, converter, c)?
    } else if c.words(&["DECLARE"]) {
        declare(dialect, converter, c)?
    } else if c.words(&["FETCH"]) {
        fetch(c, false)?
    } else if c.words(&["MOVE"]) {
        fetch(c, true)?
    } else if c.words(&["CLOSE"]) {
        let name = if c.words(&["ALL"]) { None } else { Some(c.name("the name of a cursor, or ALL")?) };
        Statement::CloseCursor(name)
    } else {
        return Ok(None);
    };
    Ok(Some(statement))
}

/// `name (types) AS statement`. The parameters are those of the statement inside, so it has a converter of its own.
fn prepare(dialect: &LedgerstoneDialect, c: &mut Cursor) -> Result<Statement> {
    let name = c.name("the name of the prepared statement")?;
    let types = types(dialect, c)?;
    c.expect_word("AS")?;
    let here = c.here();
    if c.at_end() {
        return Err(c.expected("a statement to prepare"));
    }
    if !statement_of(dialect, &mut Converter::new(), c.rest(), c.text)?.is_query_or_change() {
        return Err(near(here, c.text).hint("SELECT, VALUES, INSERT, UPDATE, DELETE and MERGE can be prepared"));
    }
    let end = c.tokens.last().map_or(here.end, |t| tokens::span(t.span).end);
    c.at = c.tokens.len();
    Ok(Statement::Prepare { name, types, statement: Span { start: here.start, end } })
}

fn types(dialect: &LedgerstoneDialect, c: &mut Cursor) -> Result<Vec<TypeName>> {
    let Some(inside) = c.parenthesis("\")\"", "a list")? else { return Ok(Vec::new()) };
    let span = c.here();
    let parsed = with_parser(dialect, inside, c.text, |p| p.parse_comma_separated(|p| p.parse_data_type()))?;
    let mut converter = Converter::new();
    parsed.into_iter().map(|ty| converter.type_name(ty, span)).collect()
}

fn execute(dialect: &LedgerstoneDialect, converter: &mut Converter, c: &mut Cursor) -> Result<Statement> {
    let name = c.name("the name of a prepared statement")?;
    let arguments = match c.parenthesis("\")\"", "a list")? {
        Some(inside) => {
            let parsed = with_parser(dialect, inside, c.text, |p| p.parse_comma_separated(|p| p.parse_expr()))?;
            converter.exprs(parsed)?
        }
        None => Vec::new(),
    };
    Ok(Statement::Execute { name, arguments })
}

fn declare(dialect: &LedgerstoneDialect, converter: &mut Converter, c: &mut Cursor) -> Result<Statement> {
    let name = c.name("the name of a cursor")?;
    let mut scroll = false;
    loop {
        if c.is_word_ahead(0, "BINARY") {
            return Err(c.unsupported("BINARY cursors", "ask for binary results in the extended protocol"));
        } else if c.words(&["NO", "SCROLL"]) {
            scroll = false;
        } else if c.words(&["SCROLL"]) {
            scroll = true;
        } else if !c.words(&["INSENSITIVE"]) && !c.words(&["ASENSITIVE"]) {
            break;
        }
    }
    c.expect_word("CURSOR")?;
    let hold = c.words(&["WITH", "HOLD"]);
    if !hold {
        c.words(&["WITHOUT", "HOLD"]);
    }
    c.expect_word("FOR")?;
    let here = c.here();
    if c.at_end() {
        return Err(c.expected("a query"));
    }
    let statement = converter.deeper(|converter| statement_of(dialect, converter, c.rest(), c.text))?;
    let Statement::Query(query) = statement else {
        return Err(QueryError::syntax("a cursor is declared for a query", here));
    };
    if query.changes_documents() {
        let message = "DECLARE CURSOR must not contain data-modifying statements in WITH";
        return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(here));
    }
    c.at = c.tokens.len();
    Ok(Statement::DeclareCursor(Box::new(DeclareCursor { name, scroll, hold, query: *query })))
}

/// `[direction] [FROM | IN] name`. Any word of a direction may be the cursor's name if nothing follows it.
fn fetch(c: &mut Cursor, moves: bool) -> Result<Statement> {
    let alone = c.rest().len() == 1;
    let direction = if alone { FetchDirection::Forward(Some(1)) } else { direction(c)? };
    if !alone && !c.words(&["FROM"]) {
        c.words(&["IN"]);
    }
    Ok(Statement::Fetch { name: c.name("the name of a cursor")?, direction, moves })
}

fn direction(c: &mut Cursor) -> Result<FetchDirection> {
    let forward = |count: i64| match u64::try_from(count) {
        Ok(count) => FetchDirection::Forward(Some(count)),
        Err(_) => FetchDirection::Backward(Some(count.unsigned_abs())),
    };
    let backward = |count: i64| match u64::try_from(count) {
        Ok(count) => FetchDirection::Backward(Some(count)),
        Err(_) => FetchDirection::Forward(Some(count.unsigned_abs())),
    };
    Ok(if c.words(&["NEXT"]) {
        forward(1)
    } else if c.words(&["PRIOR"]) {
        backward(1)
    } else if c.words(&["FIRST"]) {
        FetchDirection::Absolute(1)
    } else if c.words(&["LAST"]) {
        FetchDirection::Absolute(-1)
    } else if c.words(&["ABSOLUTE"]) {
        FetchDirection::Absolute(count(c)?)
    } else if c.words(&["RELATIVE"]) {
        FetchDirection::Relative(count(c)?)
    } else if c.words(&["FORWARD", "ALL"]) || c.words(&["ALL"]) {
        FetchDirection::Forward(None)
    } else if c.words(&["BACKWARD", "ALL"]) {
        FetchDirection::Backward(None)
    } else if c.words(&["FORWARD"]) {
        forward(optional_count(c)?)
    } else if c.words(&["BACKWARD"]) {
        backward(optional_count(c)?)
    } else {
        forward(optional_count(c)?)
    })
}

fn optional_count(c: &mut Cursor) -> Result<i64> {
    if matches!(c.token(), Some(Token::Number(..) | Token::Minus | Token::Plus)) { count(c) } else { Ok(1) }
}

fn count(c: &mut Cursor) -> Result<i64> {
    let negative = c.sign(&Token::Minus);
    if !negative {
        c.sign(&Token::Plus);
    }
    let number = match c.token() {
        Some(Token::Number(text, _)) => text.parse::<i64>().ok().filter(|n| *n <= i64::from(i32::MAX)),
        _ => None,
    };
    let Some(number) = number else { return Err(c.expected("a number of rows")) };
    c.at += 1;
    Ok(if negative { -number } else { number })
}
