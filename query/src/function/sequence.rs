//! Sequences, which identity columns have (PostgreSQL's documentation, 9.17): values, and where they go on.

use std::sync::Arc;

use super::pg_catalog::{OID, catalogue, is_seen, missing, oid_at, relation_called, relation_written};
use super::ty::{BOOL, INT8, R_INT8, R_TEXT, TEXT};
use super::{Call, Scalar, bool_at, int_at, some_int, some_text, strict, text_at};
use crate::bind::plan::Datum;
use crate::catalogue::virtual_tables::{
    Relation, column_of_sequence, quoted, relation_name, relation_with, sequence_name,
};
use crate::catalogue::{Column, Table};
use crate::error::{QueryError, Result, SqlState};
use crate::permission::Action;

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("pg_get_serial_sequence", &[TEXT, TEXT], R_TEXT, serial_sequence),
    strict("nextval", &[TEXT], R_INT8, |c, a| next_value(c, &written(c, a)?)).volatile(),
    strict("nextval", &[OID], R_INT8, |c, a| next_value(c, &with_oid(c, a)?)).volatile(),
    strict("currval", &[TEXT], R_INT8, |c, a| current_value(c, &relation_called(c, text_at(a, 0)?)?)).volatile(),
    strict("currval", &[OID], R_INT8, |c, a| current_value(c, &seen_with_oid(c, a)?)).volatile(),
    strict("lastval", &[], R_INT8, |c, _| last_value(c)).volatile(),
    strict("setval", &[TEXT, INT8], R_INT8, |c, a| set_value(c, &written(c, a)?, int_at(a, 1)?, true)).volatile(),
    strict("setval", &[OID, INT8], R_INT8, |c, a| set_value(c, &with_oid(c, a)?, int_at(a, 1)?, true)).volatile(),
    strict("setval", &[TEXT, INT8, BOOL], R_INT8, |c, a| set_value(c, &written(c, a)?, int_at(a, 1)?, bool_at(a, 2)?))
        .volatile(),
    strict("setval", &[OID, INT8, BOOL], R_INT8, |c, a| set_value(c, &with_oid(c, a)?, int_at(a, 1)?, bool_at(a, 2)?))
        .volatile(),
    // What DEFAULT stands for in an identity column.
    strict("ledgerstone_next_identity", &[TEXT, TEXT], R_INT8, |c, a| {
        let (table, column) = (text_at(a, 0)?, text_at(a, 1)?);
        let found = catalogue(c).table(table).cloned();
        match found.as_ref().and_then(|table| Some((table, table.column(column)?))) {
            Some((table, column)) => next_identity(c, table, column),
            None => Err(missing(SqlState::UNDEFINED_TABLE, "relation", table)),
        }
    })
    .volatile(),
];

/// `pg_get_serial_sequence(table, column)`: the table as it is written in a statement, the column as it is.
fn serial_sequence(c: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let (written, wanted) = (text_at(a, 0)?, text_at(a, 1)?);
    let table = match relation_called(c, written)? {
        Relation::Table(table) => table,
        _ => return Ok(None),
    };
    match table.column(wanted) {
        Some(column) if column.identity.is_some() => {
            some_text(format!("public.{}", quoted(&sequence_name(&table.name, &column.name))))
        }
        Some(_) => Ok(None),
        None => Err(QueryError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{wanted}\" of relation \"{}\" does not exist", table.name),
        )),
    }
}

/// The relation that the first argument names.
fn written(c: &Call<'_>, a: &[Datum]) -> Result<Relation> {
    relation_written(c, text_at(a, 0)?)
}

fn with_oid(c: &Call<'_>, a: &[Datum]) -> Result<Relation> {
    let oid = oid_at(a, 0)?;
    relation_with(&catalogue(c), oid).ok_or_else(|| missing(SqlState::UNDEFINED_TABLE, "relation", &oid.to_string()))
}

/// The same of those that the user may know of.
fn seen_with_oid(c: &Call<'_>, a: &[Datum]) -> Result<Relation> {
    let relation = with_oid(c, a)?;
    match is_seen(c, &relation) {
        true => Ok(relation),
        false => Err(missing(SqlState::UNDEFINED_TABLE, "relation", &oid_at(a, 0)?.to_string())),
    }
}

/// The column that a sequence is of.
fn counted<'r>(c: &Call<'_>, relation: &'r Relation) -> Result<(&'r Arc<Table>, &'r Column)> {
    column_of_sequence(relation).ok_or_else(|| {
        let name = relation_name(&catalogue(c), relation.oid()).unwrap_or_default();
        QueryError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a sequence"))
    })
}

fn next_value(c: &Call<'_>, relation: &Relation) -> Result<Datum> {
    let (table, column) = counted(c, relation)?;
    next_identity(c, table, column)
}

/// Numbers are for rows that are to come.
fn next_identity(c: &Call<'_>, table: &Table, column: &Column) -> Result<Datum> {
    if let Some(permit) = &c.session.permit {
        permit.check_table(Action::Insert, table)?;
    }
    some_int(c.session.next_identity(c.tx, table, column)?)
}

/// What the sequence has given to this session last.
fn current_value(c: &Call<'_>, relation: &Relation) -> Result<Datum> {
    let (table, column) = counted(c, relation)?;
    match c.session.given.value(table.id, &column.name) {
        Some(value) => some_int(value),
        None => {
            let sequence = sequence_name(&table.name, &column.name);
            Err(not_yet(format!("currval of sequence \"{sequence}\" is not yet defined in this session")))
        }
    }
}

fn last_value(c: &Call<'_>) -> Result<Datum> {
    let is_there = |table, column: &str| {
        catalogue(c).table_by_id(table).and_then(|table| table.column(column)).is_some_and(|it| it.identity.is_some())
    };
    match c.session.given.last() {
        Some((table, column, value)) if is_there(&table, &column) => some_int(value),
        _ => Err(not_yet("lastval is not yet defined in this session".to_owned())),
    }
}

fn not_yet(message: String) -> QueryError {
    QueryError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .hint("It is what this session's last nextval, or a row of its own, was given.")
}

/// The sequence goes on behind `value`, or with it if that was not `called` yet; never back.
fn set_value(c: &Call<'_>, relation: &Relation, value: i64, called: bool) -> Result<Datum> {
    let (table, column) = counted(c, relation)?;
    if let Some(permit) = &c.session.permit {
        permit.check_table(Action::AlterTable, table)?;
    }
    if c.tx.is_read_only() {
        let message = "cannot execute setval() in a read-only transaction";
        return Err(QueryError::new(SqlState::READ_ONLY_TRANSACTION, message));
    }
    let most = column.ty.counts_to().unwrap_or(i64::MAX);
    let next = if called { value.checked_add(1) } else { Some(value) };
    match next.filter(|_| (1..=most).contains(&value)) {
        Some(next) => c.tx.count_on_from(table, column, next),
        None => {
            let sequence = sequence_name(&table.name, &column.name);
            let message = format!("setval: value {value} is out of bounds for sequence \"{sequence}\" (1..{most})");
            return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, message));
        }
    }
    if called {
        c.session.given.set(table.id, &column.name, value);
    }
    some_int(value)
}
