//! CREATE SEQUENCE and ALTER SEQUENCE. A sequence here is what a column counts with: the one of `t.c` is called `t_c_seq`. One that
//! is created without an owner counts nothing and is known to its session alone, until that says which column it is of: what
//! `pg_dump` writes of `serial` columns comes to what they were. Its name does not tell: that of `a.b_c` is `a_b.c`'s too.

use std::sync::Arc;

use super::alter::{add_identity, set_identity};
use super::{DdlOutcome, existing_table, no_such_column, no_such_table, table_name};
use crate::ast::{Expr, ExprKind, Identity, Name, Sequence, SequenceChange, TableName};
use crate::catalogue::virtual_tables::{Relation, relation_named, sequence_name};
use crate::catalogue::{Catalogue, Column, Table};
use crate::error::{QueryError, Result, SqlState};
use crate::function::names_written;
use crate::permission::Action;
use crate::session::SessionInfo;
use crate::transaction::Transaction;

const CREATE: &str = "CREATE SEQUENCE";
const ALTER: &str = "ALTER SEQUENCE";

pub(super) fn sequence(tx: &mut Transaction, said: &Sequence, info: &SessionInfo) -> Result<DdlOutcome> {
    if let SequenceChange::Create { counts_from, owner } = &said.change {
        return create(tx, said, *counts_from, owner.as_ref(), info);
    }
    let name = &said.name.name;
    let found = relation_named(&tx.catalogue(), Some("public"), table_name(&said.name)?);
    let (table, column) = match found {
        Some(Relation::Sequence(table, at)) => match table.columns.get(at) {
            Some(column) => (table.clone(), Name::exact(column.name.clone(), true, name.span)),
            None => return Err(QueryError::internal("a sequence of no column")),
        },
        Some(_) => {
            let message = format!("\"{}\" is not a sequence", name.text);
            return Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.span));
        }
        None if info.given.announced_start(&name.text).is_some() => return announced(tx, said, info),
        None if said.lenient => {
            let notice = format!("relation \"{}\" does not exist, skipping", name.text);
            return Ok(DdlOutcome::nothing(ALTER, notice));
        }
        None => return Err(no_such_table(tx, &name.text, info).at(name.span)),
    };
    // That it is so is noted as read.
    tx.table_by_id(table.id)?;
    match &said.change {
        SequenceChange::Restart(from) => set_identity(tx, &table, &column, None, Some(*from))?,
        SequenceChange::OwnedBy { table: other, column: named } => {
            let other = owner_column(tx, (other, named), info)?;
            if (other.id, &named.text) != (table.id, &column.text) {
                return Err(not_apart(name));
            }
        }
        SequenceChange::Create { .. } => {}
    }
    Ok(DdlOutcome::done(ALTER, table.id))
}

fn create(
    tx: &mut Transaction,
    said: &Sequence,
    counts_from: Option<i64>,
    owner: Option<&(TableName, Name)>,
    info: &SessionInfo,
) -> Result<DdlOutcome> {
    let (name, text) = (&said.name.name, table_name(&said.name)?);
    if tx.relation_exists(text) || relation_named(&tx.catalogue(), Some("public"), text).is_some() {
        let message = format!("relation \"{text}\" already exists");
        return match said.lenient {
            true => Ok(DdlOutcome::nothing(CREATE, format!("{message}, skipping"))),
            false => Err(QueryError::new(SqlState::DUPLICATE_TABLE, message).at(name.span)),
        };
    }
    let Some((table, column)) = owner else { return announce(tx, name, counts_from, info) };
    let table = owner_column(tx, (table, column), info)?;
    let notice = bind(tx, &table, column, name, counts_from, info)?;
    Ok(DdlOutcome { notice: Some(notice), ..DdlOutcome::done(CREATE, table.id) })
}

/// A sequence of which it is not said yet which column's it is.
fn announce(tx: &Transaction, name: &Name, counts_from: Option<i64>, info: &SessionInfo) -> Result<DdlOutcome> {
    // Nobody is told of columns that are not theirs to alter.
    let may_alter =
        |table: &Table| info.permit.as_ref().is_none_or(|permit| permit.check_table(Action::AlterTable, table).is_ok());
    let may_count = |(table, column): &(Arc<Table>, Column)| {
        column.identity.is_none() && column.ty.counts_to().is_some() && may_alter(table)
    };
    if !meant_by(&tx.catalogue(), &name.text).iter().any(may_count) {
        return Err(not_apart(name));
    }
    if !info.given.announce(&name.text, counts_from) {
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many sequences of no column").at(name.span));
    }
    let notice =
        format!("\"{0}\" counts nothing until ALTER SEQUENCE {0} OWNED BY says which column it is of", name.text);
    Ok(DdlOutcome::nothing(CREATE, notice))
}

/// A change of a sequence that is no column's yet.
fn announced(tx: &mut Transaction, said: &Sequence, info: &SessionInfo) -> Result<DdlOutcome> {
    let name = &said.name.name;
    match &said.change {
        SequenceChange::OwnedBy { table, column } => {
            let table = owner_column(tx, (table, column), info)?;
            let counts_from = info.given.announced_start(&name.text).flatten();
            let notice = bind(tx, &table, column, name, counts_from, info)?;
            Ok(DdlOutcome { notice: Some(notice), ..DdlOutcome::done(ALTER, table.id) })
        }
        SequenceChange::Restart(from) => {
            info.given.announce(&name.text, Some(*from));
            Ok(DdlOutcome::of(ALTER))
        }
        SequenceChange::Create { .. } => Err(QueryError::internal("a creation was taken for a change")),
    }
}

/// From here on the column counts with the sequence; what to tell of that.
fn bind(
    tx: &mut Transaction,
    table: &Table,
    column: &Name,
    sequence: &Name,
    counts_from: Option<i64>,
    info: &SessionInfo,
) -> Result<String> {
    if sequence_name(&table.name, &column.text) != *sequence.text {
        return Err(not_apart(sequence));
    }
    if table.column(&column.text).is_some_and(|column| !column.not_null) {
        let message =
            format!("column \"{}\" of relation \"{}\" may be NULL, so it cannot count", column.text, table.name);
        let hint = format!("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL comes before this.", table.name, column.text);
        return Err(QueryError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).hint(hint).at(column.span));
    }
    add_identity(tx, table, (column, Identity::ByDefault), counts_from, None, info)?;
    let (of, table) = (&column.text, &table.name);
    Ok(format!("\"{}\" is what column \"{of}\" of relation \"{table}\" counts with from now on", sequence.text))
}

/// A default that names the column's own sequence, which was created without an owner, makes it the column's.
pub(super) fn bind_announced(
    tx: &mut Transaction,
    table: &Table,
    column: &Name,
    default: &Expr,
    info: &SessionInfo,
) -> Result<bool> {
    let own = sequence_name(&table.name, &column.text);
    let free = table.column(&column.text).is_some_and(|column| column.identity.is_none());
    let Some(start) = info.given.announced_start(&own).filter(|_| free && names_next_value_of(default, &own)) else {
        return Ok(false);
    };
    bind(tx, table, column, &Name::exact(own, true, column.span), start, info)?;
    Ok(true)
}

/// The columns whose sequence is called so, or would be if they counted.
pub(crate) fn meant_by(catalogue: &Catalogue, sequence: &str) -> Vec<(Arc<Table>, Column)> {
    let columns = catalogue.active_tables().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    let meant = columns.filter(|(table, column)| sequence_name(&table.name, &column.name) == sequence);
    meant.map(|(table, column)| (table.clone(), column.clone())).collect()
}

/// Whether a default is the next value of the sequence that the column counts with anyway.
pub(super) fn is_own_next_value(table: &Table, column: &Column, default: &Expr) -> bool {
    column.identity.is_some() && names_next_value_of(default, &sequence_name(&table.name, &column.name))
}

/// Whether an expression is `nextval('this sequence')`, with or without `::regclass`.
fn names_next_value_of(default: &Expr, sequence: &str) -> bool {
    let ExprKind::Function(call) = &default.kind else { return false };
    let of_system = call.name.schema.as_ref().is_none_or(|schema| &*schema.text == "pg_catalog");
    let plain = !call.distinct && call.order_by.is_empty() && call.filter.is_none() && call.over.is_none();
    let is_next_value = &*call.name.name.text == "nextval" && of_system && plain;
    let (true, [argument]) = (is_next_value, &call.arguments[..]) else { return false };
    let written = match &argument.kind {
        ExprKind::Cast { expr, .. } => &expr.kind,
        kind => kind,
    };
    let ExprKind::Literal(literal) = written else { return false };
    let Some(text) = literal.as_text() else { return false };
    let (schema, name) = names_written(text);
    schema.is_none_or(|schema| schema == "public") && name == sequence
}

fn owner_column(tx: &Transaction, (table, column): (&TableName, &Name), info: &SessionInfo) -> Result<Arc<Table>> {
    let table = existing_table(tx, table, info)?;
    match table.column(&column.text) {
        Some(_) => Ok(table),
        None => Err(no_such_column(&table, &column.text).at(column.span)),
    }
}

fn not_apart(name: &Name) -> QueryError {
    QueryError::unsupported("a sequence of one's own").at(name.span).hint(
        "A sequence is what a column counts with, and called <table>_<column>_seq: declare the column serial or GENERATED BY \
         DEFAULT AS IDENTITY.",
    )
}
