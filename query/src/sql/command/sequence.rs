//! CREATE SEQUENCE and ALTER SEQUENCE, as pg_dump writes them of columns that are `serial`.

use super::Cursor;
use crate::ast::{Name, Sequence, SequenceChange, Statement, TableName};
use crate::error::{QueryError, Result};
use crate::sql::identity::{self, Options};

/// What follows `CREATE SEQUENCE`.
pub(super) fn create(c: &mut Cursor<'_>) -> Result<Statement> {
    let lenient = c.words(&["IF", "NOT", "EXISTS"]);
    let name = c.table_name()?;
    let (mut options, mut owner) = (Options::default(), None);
    while !c.at_end() {
        if c.words(&["AS"]) {
            integer_type(c)?;
        } else if c.words(&["OWNED", "BY"]) {
            owner = owned_by(c)?;
        } else if !identity::option(c, &mut options)? {
            return Err(c.expected("an option of a sequence, such as START WITH 100"));
        }
    }
    let change = SequenceChange::Create { counts_from: options.counts_from(), owner };
    Ok(Statement::Sequence(Box::new(Sequence { name, change, lenient })))
}

/// What follows `ALTER SEQUENCE`.
pub(super) fn alter(c: &mut Cursor<'_>) -> Result<Statement> {
    let lenient = c.words(&["IF", "EXISTS"]);
    let name = c.table_name()?;
    let start = c.here();
    let change = if c.words(&["OWNED", "BY"]) {
        let Some((table, column)) = owned_by(c)? else {
            return Err(QueryError::unsupported("OWNED BY NONE").at(start).hint("Every sequence is a column's."));
        };
        SequenceChange::OwnedBy { table, column }
    } else if c.words(&["RESTART"]) {
        SequenceChange::Restart(identity::restart(c, start)?)
    } else {
        let hint = "RESTART WITH n and OWNED BY table.column are supported";
        return Err(c.unsupported("this change of a sequence", hint));
    };
    Ok(Statement::Sequence(Box::new(Sequence { name, change, lenient })))
}

/// The sequence counts as far as its column's type goes, whatever is said here.
fn integer_type(c: &mut Cursor<'_>) -> Result<()> {
    const TYPES: [&str; 6] = ["SMALLINT", "INTEGER", "INT", "BIGINT", "INT4", "INT8"];
    match TYPES.iter().any(|name| c.words(&[name])) {
        true => Ok(()),
        false => Err(c.expected("smallint, integer or bigint")),
    }
}

/// `table.column`, `schema.table.column` or `NONE`.
fn owned_by(c: &mut Cursor<'_>) -> Result<Option<(TableName, Name)>> {
    if c.words(&["NONE"]) {
        return Ok(None);
    }
    c.column_of_table("a table and its column, or NONE").map(Some)
}
