//! COMMENT: a text for people, kept in the definition of what it is about and so with a history of its own.

use std::sync::Arc;

use ledgerstone_digest::id::Id;

use super::{COMMENT_BYTES_MAX, DdlOutcome, change_index, no_such_column, no_such_table, put_table, table_name};
use crate::ast::{Comment, Commented, Name, TableName};
use crate::catalogue::virtual_tables::{Relation, relation_named};
use crate::catalogue::{Index, Table, system_tables};
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::transaction::Transaction;

const TAG: &str = "COMMENT";

pub(super) fn comment(tx: &mut Transaction, said: &Comment, info: &SessionInfo) -> Result<DdlOutcome> {
    let text = said.text.clone();
    check_text(said)?;
    match &said.on {
        Commented::Table(name) => match relation(tx, name, info)? {
            Relation::Table(table) => {
                let id = put_table(tx, Table { comment: text, ..(*table).clone() })?;
                Ok(DdlOutcome::done(TAG, id))
            }
            other => Err(another_kind(name, "a table", &other)),
        },
        Commented::Column { table, column } => comment_on_column(tx, table, column, text, info),
        Commented::Constraint { name, table } => comment_on_constraint(tx, table, name, text, info),
        Commented::Index(name) => match relation(tx, name, info)? {
            Relation::Index(table, index) => {
                comment_on_index(tx, index.id, text)?;
                Ok(DdlOutcome::done(TAG, table.id))
            }
            other => Err(another_kind(name, "an index", &other)),
        },
        Commented::View(name) => {
            let found = relation(tx, name, info)?;
            Err(another_kind(name, "a view", &found))
        }
        Commented::Database(name) => comment_on_ledger(tx, name, text),
    }
}

/// Gives an index that there is a comment, or takes it away.
pub(super) fn comment_on_index(tx: &mut Transaction, id: Id, text: Option<Arc<str>>) -> Result<()> {
    let catalogue = tx.catalogue();
    let Some((table, index)) = catalogue.index(&id) else { return Err(QueryError::internal("no such index")) };
    let mut index = (**index).clone();
    index.comment = text;
    change_index(tx, table.id, index)
}

/// Gives an index what is said of the one that it takes the place of.
pub(super) fn keep_comments(tx: &mut Transaction, id: Id, of: &Index) -> Result<()> {
    if of.comment.is_none() && of.constraint_comment.is_none() {
        return Ok(());
    }
    let catalogue = tx.catalogue();
    let Some((table, index)) = catalogue.index(&id) else { return Err(QueryError::internal("no such index")) };
    let (comment, constraint_comment) = (of.comment.clone(), of.constraint_comment.clone());
    change_index(tx, table.id, Index { comment, constraint_comment, ..(**index).clone() })
}

fn comment_on_column(
    tx: &mut Transaction,
    name: &TableName,
    column: &Name,
    text: Option<Arc<str>>,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let table = match relation(tx, name, info)? {
        Relation::Table(table) => table,
        Relation::Virtual(_) => return Err(not_ours(name)),
        _ => {
            let message = format!("cannot set comment on relation \"{}\"", name.name.text);
            return Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.name.span));
        }
    };
    let mut changed = (*table).clone();
    let Some(found) = changed.columns.iter_mut().find(|c| c.name == column.text) else {
        let error = no_such_column(&table, &column.text).at(column.span);
        return Err(match table.is_declared() {
            true => error,
            false => error.hint("The table has no declared columns; say it of the table."),
        });
    };
    found.comment = text;
    Ok(DdlOutcome::done(TAG, put_table(tx, changed)?))
}

fn comment_on_constraint(
    tx: &mut Transaction,
    table_name: &TableName,
    name: &Name,
    text: Option<Arc<str>>,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let table = match relation(tx, table_name, info)? {
        Relation::Table(table) => table,
        other => return Err(another_kind(table_name, "a table", &other)),
    };
    if table.checks.iter().any(|check| check.name == name.text) {
        return Ok(DdlOutcome::done(TAG, comment_on_check(tx, &table, &name.text, text)?));
    }
    if let Some(index) = table.index(&name.text).filter(|index| index.is_constraint()) {
        let index = Index { constraint_comment: text, ..(**index).clone() };
        change_index(tx, table.id, index)?;
        return Ok(DdlOutcome::done(TAG, table.id));
    }
    let message = format!("constraint \"{}\" for table \"{}\" does not exist", name.text, table_name.name.text);
    Err(QueryError::new(SqlState::UNDEFINED_OBJECT, message).at(name.span))
}

/// Gives a check of this name a comment, or takes it away.
pub(super) fn comment_on_check(tx: &mut Transaction, table: &Table, name: &str, text: Option<Arc<str>>) -> Result<Id> {
    let mut changed = table.clone();
    for check in changed.checks.iter_mut().filter(|check| *check.name == *name) {
        check.comment = text.clone();
    }
    put_table(tx, changed)
}

/// Of ledgers only the session's own can be written to.
fn comment_on_ledger(tx: &mut Transaction, name: &Name, text: Option<Arc<str>>) -> Result<DdlOutcome> {
    if name.text != *tx.database().name() {
        return Err(QueryError::unsupported("a comment on another database than the session's")
            .at(name.span)
            .hint("Connect to that database first."));
    }
    let mut catalogue = (*tx.catalogue()).clone();
    let ledger = tx.database().ledger().ledger_id();
    let document = system_tables::ledger_document(ledger, &text);
    catalogue.set_comment(text);
    tx.define(Id::LEDGER, ledger, Some(document), catalogue, Id::LEDGER)?;
    Ok(DdlOutcome::of(TAG))
}

fn check_text(said: &Comment) -> Result<()> {
    let Some(text) = &said.text else { return Ok(()) };
    if text.len() > COMMENT_BYTES_MAX {
        let message = format!("a comment has at most {COMMENT_BYTES_MAX} bytes, not {}", text.len());
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).at(said.span));
    }
    match text.contains('\0') {
        true => Err(QueryError::zero_byte().at(said.span)),
        false => Ok(()),
    }
}

/// What a name means. That it means this is noted as read.
fn relation(tx: &Transaction, name: &TableName, info: &SessionInfo) -> Result<Relation> {
    let schema = name.schema.as_ref().map(|schema| schema.text.to_ascii_lowercase());
    if !matches!(schema.as_deref(), Some("pg_catalog" | "information_schema")) {
        let text = table_name(name)?;
        if let Some(table) = tx.table(text)? {
            return Ok(Relation::Table(table));
        }
        tx.read_name(text);
    }
    relation_named(&tx.catalogue(), schema.as_deref(), &name.name.text)
        .ok_or_else(|| no_such_table(tx, &name.name.text, info).at(name.name.span))
}

fn another_kind(name: &TableName, wanted: &str, found: &Relation) -> QueryError {
    match found {
        Relation::Virtual(_) => not_ours(name),
        _ => QueryError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not {wanted}", name.name.text))
            .at(name.name.span),
    }
}

fn not_ours(name: &TableName) -> QueryError {
    let message = format!("\"{}\" cannot be changed by statements", name.name.text);
    QueryError::new(SqlState::INSUFFICIENT_PRIVILEGE, message).at(name.name.span)
}
