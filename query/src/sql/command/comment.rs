//! COMMENT ON: what is said of a table, a column, an index or a database.

use sqlparser::tokenizer::Token;

use super::Cursor;
use crate::ast::{Comment, Commented, Name, Statement, TableName};
use crate::error::{QueryError, Result};

/// What else PostgreSQL keeps comments of.
const OTHERS: &[&str] = &[
    "ACCESS",
    "AGGREGATE",
    "CAST",
    "COLLATION",
    "CONSTRAINT",
    "CONVERSION",
    "DOMAIN",
    "EVENT",
    "EXTENSION",
    "FOREIGN",
    "FUNCTION",
    "LANGUAGE",
    "LARGE",
    "MATERIALIZED",
    "OPERATOR",
    "POLICY",
    "PROCEDURAL",
    "PROCEDURE",
    "PUBLICATION",
    "ROLE",
    "ROUTINE",
    "RULE",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "SUBSCRIPTION",
    "TABLESPACE",
    "TEXT",
    "TRANSFORM",
    "TRIGGER",
    "TYPE",
];

/// What follows `COMMENT ON`.
pub(super) fn parse(c: &mut Cursor) -> Result<Statement> {
    let on = if c.words(&["TABLE"]) {
        Commented::Table(c.table_name()?)
    } else if c.words(&["COLUMN"]) {
        column(c)?
    } else if c.words(&["INDEX"]) {
        Commented::Index(c.table_name()?)
    } else if c.words(&["VIEW"]) {
        Commented::View(c.table_name()?)
    } else if c.words(&["DATABASE"]) {
        Commented::Database(c.name("the name of a database, which is a ledger")?)
    } else if let Some(other) = OTHERS.iter().find(|word| c.is_word_ahead(0, word)) {
        let hint = "comments are kept of tables, columns, indexes and databases (ledgers)";
        return Err(c.unsupported(&format!("COMMENT ON {other}"), hint));
    } else {
        return Err(c.expected("TABLE, COLUMN, INDEX, VIEW or DATABASE"));
    };
    c.expect_word("IS")?;
    let span = c.here();
    // As in PostgreSQL, a comment of no characters is none.
    let text = match c.words(&["NULL"]) {
        true => None,
        false => Some(c.string("a text in quotes, or NULL")?).filter(|text| !text.is_empty()),
    };
    Ok(Statement::Comment(Box::new(Comment { on, text, span })))
}

/// `table.column` or `schema.table.column`
fn column(c: &mut Cursor) -> Result<Commented> {
    let mut parts: Vec<Name> = vec![c.name("a table and its column")?];
    while c.sign(&Token::Period) {
        parts.push(c.name("a column name")?);
    }
    let Some(column) = parts.pop() else { return Err(QueryError::internal("a name without parts")) };
    let (name, schema) = (parts.pop(), parts.pop());
    match name {
        None => Err(QueryError::syntax("column name must be qualified", column.span).hint("write table.column")),
        Some(name) if !parts.is_empty() => {
            Err(QueryError::unsupported("a name of more than a schema, a table and a column").at(name.span))
        }
        Some(name) => Ok(Commented::Column { table: TableName { schema, name }, column }),
    }
}
