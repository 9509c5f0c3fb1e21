//! COMMENT ON: what is said of a table, a column, a constraint, an index or a database.

use super::Cursor;
use crate::ast::{Comment, Commented, Statement};
use crate::error::Result;

/// What else PostgreSQL keeps comments of.
const OTHERS: &[&str] = &[
    "ACCESS",
    "AGGREGATE",
    "CAST",
    "COLLATION",
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
        let (table, column) = c.column_of_table("a table and its column")?;
        Commented::Column { table, column }
    } else if c.words(&["CONSTRAINT"]) {
        constraint(c)?
    } else if c.words(&["INDEX"]) {
        Commented::Index(c.table_name()?)
    } else if c.words(&["VIEW"]) {
        Commented::View(c.table_name()?)
    } else if c.words(&["DATABASE"]) {
        Commented::Database(c.name("the name of a database, which is a ledger")?)
    } else if let Some(other) = OTHERS.iter().find(|word| c.is_word_ahead(0, word)) {
        let hint = "comments are kept of tables, columns, constraints, indexes and databases (ledgers)";
        return Err(c.unsupported(&format!("COMMENT ON {other}"), hint));
    } else {
        return Err(c.expected("TABLE, COLUMN, CONSTRAINT, INDEX, VIEW or DATABASE"));
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

/// `constraint ON table`
fn constraint(c: &mut Cursor) -> Result<Commented> {
    let name = c.name("the name of a constraint")?;
    c.expect_word("ON")?;
    // A table may be called so.
    if c.is_word_ahead(0, "DOMAIN") && !c.is_word_ahead(1, "IS") {
        return Err(c.unsupported("COMMENT ON CONSTRAINT … ON DOMAIN", "comments are kept of constraints of tables"));
    }
    Ok(Commented::Constraint { name, table: c.table_name()? })
}
