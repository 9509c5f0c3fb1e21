//! PostgreSQL's SQL: sqlparser reads it, and what it read is converted to the shared tree.
//!
//! Nothing that was written is ignored: conversion takes every field of sqlparser's tree, and what Ledgerstone does not do is
//! an error that names it (0A000). Session commands, COPY and the few statements of PartiQL that make sense here
//! (UNDROP TABLE, EXEC) are read from the tokens directly.

mod call;
mod command;
mod ddl;
mod dialect;
mod dml;
mod expr;
mod grouping;
mod identity;
mod like;
mod long;
mod made_as;
mod merge;
mod query;
#[cfg(test)]
mod tests;
mod tokens;
mod types;

use std::borrow::Cow;

use sqlparser::ast as sql;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::ast::{DEPTH_MAX, Expr, ExprKind, Name, Span, Statement, TableName};
use crate::error::{QueryError, Result, SqlState};
use crate::literal::{self, Charge};
use crate::{Noted, Parsed};

use dialect::LedgerstoneDialect;
pub(crate) use expr::ARRAY_SLICE;
use tokens::StatementTokens;

/// The stack for statements that may need much of it: several kilobytes for each operator of the longest row. It is
/// address space, not memory, until it is used.
const HEAVY_STACK: usize = 64 << 20;

/// What a token of the text takes until its statement is read, in bytes; what is made of one that is read, which is kept; and
/// what sqlparser makes of one meanwhile, of all that are read at once.
const TOKEN_BYTES: usize = 120;
const NODE_BYTES: usize = 100;
const TREE_BYTES: usize = 500;

/// Parses a text of statements with semicolons between them.
pub fn parse(text: &str) -> Result<Vec<Parsed>, QueryError> {
    parse_within(text, &mut |_| Ok(()))
}

/// The same, asking before memory is taken, by about how much.
pub(crate) fn parse_within(text: &str, charge: Charge<'_>) -> Result<Vec<Parsed>, QueryError> {
    literal::check_length(text)?;
    let count = long::check_text(text)?;
    charge(count * TOKEN_BYTES)?;
    let dialect = LedgerstoneDialect::new();
    let mut parsed = Vec::new();
    let mut largest = 0;
    for statement in tokens::statements(&dialect, text, count)? {
        let at_once = long::at_once(&statement.tokens);
        charge(statement.tokens.len() * NODE_BYTES + at_once.saturating_sub(largest) * TREE_BYTES)?;
        largest = largest.max(at_once);
        let span = statement.span;
        let heavy = statement.heavy;
        let one = || one(&dialect, statement, text);
        let (statement, parameters) = if heavy { stacker::grow(HEAVY_STACK, one)? } else { literal::with_stack(one)? };
        parsed.push(Parsed { statement, text: span, parameters, noted: Noted::default() });
    }
    Ok(parsed)
}

fn one(dialect: &LedgerstoneDialect, statement: StatementTokens, text: &str) -> Result<(Statement, u32)> {
    let mut converter = Converter::new();
    let converted = statement_of(dialect, &mut converter, &statement.tokens, text)?;
    Ok((converted, converter.parameters))
}

/// A statement from its tokens: a command read here, or what sqlparser makes of it.
fn statement_of(
    dialect: &LedgerstoneDialect,
    converter: &mut Converter,
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<Statement> {
    if let Some(statement) = command::parse(dialect, converter, tokens, text)? {
        return Ok(statement);
    }
    let mut tokens = Cow::Borrowed(tokens);
    if let Some((overridings, rest)) = tokens::without_overriding(&tokens, text)? {
        (converter.overridings, tokens) = (overridings, Cow::Owned(rest));
    }
    if let Some((likes, rest)) = like::taken_out(dialect, &tokens, text)? {
        (converter.likes, tokens) = (likes, Cow::Owned(rest));
    }
    if let Some((made_as, rest)) = made_as::taken_out(&tokens) {
        (converter.made_as, tokens) = (made_as, Cow::Owned(rest));
    }
    if let Some((identities, rest)) = identity::taken_out(&tokens, text)? {
        (converter.identities, tokens) = (identities, Cow::Owned(rest));
    }
    if merge::begins(&tokens) {
        return merge::statement(dialect, converter, &tokens, text);
    }
    match long::Rows::of(&tokens) {
        Some(rows) => rows.statement(dialect, converter, text),
        None => whole_statement(dialect, converter, &tokens, text),
    }
}

/// What sqlparser makes of all tokens at once.
fn whole_statement(
    dialect: &LedgerstoneDialect,
    converter: &mut Converter,
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<Statement> {
    let parsed = with_parser(dialect, tokens, text, |parser| {
        // sqlparser reads `TABLE t` as a query but not as a statement.
        if matches!(&parser.peek_token_ref().token, Token::Word(w) if w.keyword == Keyword::TABLE) {
            return parser.parse_query().map(sql::Statement::Query);
        }
        parser.parse_statement()
    })?;
    converter.statement(parsed, tokens)
}

/// Runs sqlparser over tokens, all of which must be used.
fn with_parser<T>(
    dialect: &LedgerstoneDialect,
    tokens: &[TokenWithSpan],
    text: &str,
    parse: impl FnOnce(&mut Parser) -> Result<T, ParserError>,
) -> Result<T> {
    dialect.allow(tokens.len());
    let end = tokens.last().map_or(Span::default(), |t| tokens::span(t.span)).end;
    let mut parser = Parser::new(dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens.to_vec());
    let value = parse(&mut parser).map_err(|e| parser_error(e, tokens, text))?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(value);
    }
    let span = tokens::span(rest.span);
    let span = if span == Span::default() { Span { start: end, end } } else { span };
    Err(match suggestion_around(span, tokens, text) {
        Some((place, meant)) => near(place, text).hint(format!("did you mean {meant}?")),
        None => near(span, text).hint("expected the end of the statement"),
    })
}

/// Words for suggestions: those a statement or a clause begins with.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "INSERT",
    "INTO",
    "UPDATE",
    "DELETE",
    "MERGE",
    "VALUES",
    "RETURNING",
    "CREATE",
    "TABLE",
    "INDEX",
    "DROP",
    "ALTER",
    "UNDROP",
    "EXEC",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "EXPLAIN",
    "COPY",
    "INNER",
    "LEFT",
    "RIGHT",
    "CROSS",
    "JOIN",
    "BETWEEN",
    "LIKE",
    "DISTINCT",
    "USING",
    "CONFLICT",
    "SAVEPOINT",
    "START",
    "SHOW",
    "RESET",
    "DISCARD",
    "WITH",
];

fn suggestion(word: &str) -> Option<&'static str> {
    literal::suggestion(word, WORDS.iter().copied())
}

fn near(span: Span, text: &str) -> QueryError {
    match span.slice(text) {
        "" => QueryError::syntax("syntax error at end of input", span),
        word => QueryError::syntax(format!("syntax error at or near \"{}\"", literal::shorten(word)), span),
    }
}

/// sqlparser's errors are texts, mostly "Expected: X, found: Y at Line: 1, Column: n"; n − 1 is our byte offset.
fn parser_error(error: ParserError, tokens: &[TokenWithSpan], text: &str) -> QueryError {
    let end = tokens.last().map_or(Span::default(), |t| tokens::span(t.span)).end;
    let at_end = Span { start: end, end };
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            let start = tokens.first().map_or(at_end, |t| tokens::span(t.span));
            return QueryError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("the statement is too complex: nested more than {DEPTH_MAX} levels deep, or ambiguous so"),
            )
            .at(start)
            .hint("split it, or use parameters and common table expressions");
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (what, place) = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => {
            (what.to_owned(), place.rsplit_once("Column: ").and_then(|(_, c)| c.trim().parse().ok()))
        }
        None => (message, None::<u32>),
    };
    let token = place.and_then(|c| tokens.iter().find(|t| tokens::span(t.span).start == c.saturating_sub(1)));
    let span = token.map_or(at_end, |t| tokens::span(t.span));
    let Some(expected) = what.strip_prefix("Expected: ") else {
        return QueryError::syntax(what, span);
    };
    let expected = expected.split(", found: ").next().unwrap_or(expected).replace("KEYWORD ", "");
    match suggestion_around(span, tokens, text) {
        Some((place, meant)) => near(place, text).hint(format!("did you mean {meant}?")),
        None => near(span, text).hint(format!("expected {expected}")),
    }
}

/// A misspelt keyword where the error is, or directly before it: `SELECT * FORM t` fails at `t` only.
fn suggestion_around(span: Span, tokens: &[TokenWithSpan], text: &str) -> Option<(Span, &'static str)> {
    let at = tokens.iter().position(|t| tokens::span(t.span).start >= span.start).unwrap_or(tokens.len());
    [Some(at), at.checked_sub(1)].into_iter().flatten().find_map(|i| {
        let token = tokens.get(i)?;
        let Token::Word(word) = &token.token else { return None };
        if word.keyword != Keyword::NoKeyword {
            return None;
        }
        let span = tokens::span(token.span);
        suggestion(span.slice(text)).map(|meant| (span, meant))
    })
}

/// Converts sqlparser's tree. Keeps the highest parameter and the height of the tree.
pub(super) struct Converter {
    parameters: u32,
    depth: usize,
    deepest: usize,
    /// What INSERTs say of identity columns: sqlparser's tree has no place for it.
    overridings: tokens::Overridings,
    /// Columns that stand for those of another table.
    likes: like::Likes,
    /// What ALTER TABLE says of identity columns.
    identities: identity::IdentityChanges,
    /// What stands around the query of a CREATE TABLE AS.
    made_as: made_as::MadeAs,
    /// How many common tables are around what is being converted.
    within: usize,
    /// How many calls there were so far that move a sequence on.
    setvals: usize,
}

impl Converter {
    fn new() -> Self {
        Converter {
            parameters: 0,
            depth: 0,
            deepest: 0,
            overridings: Vec::new(),
            likes: Vec::new(),
            identities: Vec::new(),
            made_as: made_as::MadeAs::default(),
            within: 0,
            setvals: 0,
        }
    }

    /// Runs `inside` one level deeper, or refuses to.
    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let result = if self.depth > DEPTH_MAX { Err(too_deep()) } else { literal::with_stack(|| inside(self)) };
        self.depth -= 1;
        result
    }

    /// Notes that what was converted since `deepest` was reset is now `levels` deeper.
    fn wrapped(&mut self, levels: usize) -> Result<()> {
        self.deepest += levels;
        if self.deepest > DEPTH_MAX { Err(too_deep()) } else { Ok(()) }
    }

    fn statement(&mut self, statement: sql::Statement, tokens: &[TokenWithSpan]) -> Result<Statement> {
        match statement {
            sql::Statement::Query(query) => self.query_statement(*query),
            sql::Statement::Insert(insert) => Ok(Statement::Insert(Box::new(self.insert(insert)?))),
            sql::Statement::Update(update) => Ok(Statement::Update(Box::new(self.update(update)?))),
            sql::Statement::Delete(delete) => Ok(Statement::Delete(Box::new(self.delete(delete)?))),
            sql::Statement::CreateTable(create) => self.create_table(create),
            sql::Statement::CreateIndex(create) => self.create_index(create),
            sql::Statement::AlterTable(alter) => self.alter_table(alter),
            drop @ sql::Statement::Drop { .. } => self.drop_statement(drop),
            _ => Err(unsupported_statement(tokens)),
        }
    }
}

fn too_deep() -> QueryError {
    QueryError::new(
        SqlState::STATEMENT_TOO_COMPLEX,
        format!("the statement is nested more than {DEPTH_MAX} levels deep"),
    )
    .hint("split it, or use parameters and common table expressions")
}

/// A statement that is understood but not done: named by its first words.
fn unsupported_statement(tokens: &[TokenWithSpan]) -> QueryError {
    let words: Vec<String> = tokens
        .iter()
        .map_while(|t| match &t.token {
            Token::Word(w) if w.quote_style.is_none() && w.keyword != Keyword::NoKeyword => {
                Some(w.value.to_ascii_uppercase())
            }
            _ => None,
        })
        .take(2)
        .collect();
    let span = tokens.first().map_or(Span::default(), |t| tokens::span(t.span));
    let first = words.first().map_or("", String::as_str);
    let name = if matches!(first, "CREATE" | "ALTER" | "DROP") { words.join(" ") } else { first.to_owned() };
    let error = QueryError::unsupported(name).at(span);
    match first {
        "GRANT" | "REVOKE" => error.hint("who may connect is configured in the server"),
        "LISTEN" | "NOTIFY" => error.hint("follow a ledger with the stream of blocks of the gRPC service"),
        "DROP" if words.get(1).is_some_and(|what| what == "SEQUENCE") => {
            error.hint("a sequence goes with its column, or by ALTER TABLE … ALTER COLUMN … DROP IDENTITY")
        }
        "CREATE" | "ALTER" | "DROP" => error.hint("tables, indexes and databases (ledgers) can be created and dropped"),
        "CLUSTER" | "REINDEX" => error.hint("the server maintains its files and indexes itself"),
        _ => error,
    }
}

/// A clause that was written and is not done.
fn refuse(present: bool, what: &str, span: Span) -> Result<()> {
    if present { Err(QueryError::unsupported(what).at(span)) } else { Ok(()) }
}

fn name(ident: sql::Ident) -> Name {
    let span = tokens::span(ident.span);
    match ident.quote_style {
        Some(_) => Name::exact(ident.value, true, span),
        None => Name::folded(ident.value, span),
    }
}

/// The names of a dotted name.
fn names(object: sql::ObjectName) -> Result<Vec<Name>> {
    object
        .0
        .into_iter()
        .map(|part| match part {
            sql::ObjectNamePart::Identifier(ident) => Ok(name(ident)),
            sql::ObjectNamePart::Function(f) => {
                Err(QueryError::unsupported("a function in a name").at(tokens::span(f.name.span)))
            }
        })
        .collect()
}

/// `table` or `schema.table`.
fn table_name(object: sql::ObjectName) -> Result<TableName> {
    let mut parts = names(object)?.into_iter();
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    match (first, second, third) {
        (Some(name), None, None) => Ok(TableName::plain(name)),
        (Some(schema), Some(name), None) => Ok(TableName { schema: Some(schema), name }),
        (Some(first), ..) => Err(QueryError::unsupported("a name of more than a schema and a table")
            .at(first.span)
            .hint("connect to another ledger to reach its tables")),
        _ => Err(QueryError::internal("a name without parts")),
    }
}

/// A name without a schema.
fn plain_name(object: sql::ObjectName, what: &str) -> Result<Name> {
    let table = table_name(object)?;
    match table.schema {
        None => Ok(table.name),
        Some(schema) => Err(QueryError::unsupported(format!("a schema before {what}")).at(schema.span)),
    }
}

/// A name as an expression.
fn name_expr(name: Name) -> Expr {
    let span = name.span;
    Expr { kind: ExprKind::Name(name), span }
}
