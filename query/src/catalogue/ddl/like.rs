//! `CREATE TABLE … (LIKE other INCLUDING …)`: the columns of another table, and more of it as far as that is asked for. What is
//! made has nothing to do with that table any more.

use std::sync::Arc;

use ledgerstone_digest::id::Id;

use super::evaluate::default_is_sound;
use super::table::{add_check, add_constraint};
use super::{NewIndex, Table, add_index, comment, existing_table};
use crate::ast::{Like, Name, Span, TableConstraint};
use crate::bind::parse_expression;
use crate::catalogue::{Column, Index, IndexStatus, PathStep};
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::transaction::Transaction;

/// The columns that it stands for. They are NOT NULL where those of the other table are.
pub(super) fn columns(tx: &mut Transaction, like: &Like, info: &SessionInfo) -> Result<Vec<Column>> {
    let other = source(tx, like, info)?;
    let mut columns = other.columns.clone();
    for column in &mut columns {
        if !like.defaults {
            column.default_text = None;
        }
        if !like.identity {
            (column.identity, column.counts_from) = (None, None);
        }
        if !like.comments {
            column.comment = None;
        }
        // Computed from now on with the rights of whoever writes, it is judged as if its text stood in the statement.
        if let Some(text) = &column.default_text {
            default_is_sound(tx, &parse_expression(text)?, None, info)?;
        }
    }
    Ok(columns)
}

/// Checks and indexes, for the table that has its columns by now. Indexes get names of their own, checks keep theirs.
pub(super) fn add_the_rest(tx: &mut Transaction, table: Id, like: &Like, info: &SessionInfo) -> Result<()> {
    let other = source(tx, like, info)?;
    for check in other.checks.iter().filter(|_| like.constraints) {
        let (expr, name) = (parse_expression(&check.text)?, exact(&check.name, like.table.name.span));
        add_check(tx, table, Some(&name), None, (&expr, &check.text), info)?;
        let catalogue = tx.catalogue();
        if let Some(text) = check.comment.clone().filter(|_| like.comments)
            && let Some(made) = catalogue.table_by_id(&table)
        {
            comment::comment_on_check(tx, made, &check.name, Some(text))?;
        }
    }
    for index in other.indexes.iter().filter(|index| like.indexes && index.status != IndexStatus::Failed) {
        if index.primary {
            let columns = index.paths.iter().filter_map(|path| match path.as_slice() {
                [PathStep::Field(name)] => Some(exact(name, like.table.name.span)),
                _ => None,
            });
            let key = TableConstraint::PrimaryKey { name: None, columns: columns.collect() };
            add_constraint(tx, table, &key, info)?;
        } else {
            let (paths, suffix) = (index.paths.clone(), if index.is_constraint() { "key" } else { "idx" });
            let Index { unique, only_index, .. } = **index;
            add_index(tx, table, NewIndex { name: None, suffix, paths, unique, primary: false, only_index })?;
        }
        if like.comments && index.comment.is_some() {
            comment_on_newest(tx, table, index.comment.clone())?;
        }
    }
    Ok(())
}

fn source(tx: &Transaction, like: &Like, info: &SessionInfo) -> Result<Arc<Table>> {
    let table = existing_table(tx, &like.table, info)?;
    if table.is_declared() {
        return Ok(table);
    }
    let message = format!("table \"{}\" has no declared columns", table.name);
    Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message)
        .hint("Its documents may have any fields: there is no column to be like.")
        .at(like.table.name.span))
}

/// A comment on the index that was made last.
fn comment_on_newest(tx: &mut Transaction, table: Id, text: Option<Arc<str>>) -> Result<()> {
    let catalogue = tx.catalogue();
    let newest = catalogue.table_by_id(&table).and_then(|table| table.indexes.last());
    match newest {
        Some(index) => comment::comment_on_index(tx, index.id, text),
        None => Err(QueryError::internal("an index is gone")),
    }
}

fn exact(name: &Arc<str>, span: Span) -> Name {
    Name::exact(name.clone(), true, span)
}
