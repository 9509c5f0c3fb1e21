//! CREATE SEQUENCE and ALTER SEQUENCE. A sequence here is what a column counts with, so the one that is called like a column's
//! makes that column count: what `pg_dump` writes of `serial` columns comes to what they were.

use std::sync::Arc;

use super::alter::{add_identity, set_identity};
use super::{DdlOutcome, existing_table, no_such_column, no_such_table, table_name};
use crate::ast::{Expr, ExprKind, Identity, Name, Sequence, SequenceChange, TableName};
use crate::catalogue::virtual_tables::{Relation, relation_named, sequence_name};
use crate::catalogue::{Catalogue, Column, Table};
use crate::error::{QueryError, Result, SqlState};
use crate::function::names_written;
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
    let owner = match owner {
        Some(owner) => Some((owner_column(tx, (&owner.0, &owner.1), info)?.id, &owner.1.text)),
        None => None,
    };
    let mut meant = meant_by(&tx.catalogue(), text);
    meant.retain(|(table, column)| owner.is_none_or(|owner| owner == (table.id, &column.name)));
    let (Some((table, column)), true) = (meant.pop(), meant.is_empty()) else { return Err(not_apart(name)) };
    let table = tx.table_by_id(table.id)?.ok_or_else(|| QueryError::internal("a table is gone"))?;
    let column = Name::exact(column.name, true, name.span);
    add_identity(tx, &table, (&column, Identity::ByDefault), counts_from, None, info)?;
    let notice =
        format!("\"{text}\" is what column \"{}\" of relation \"{}\" counts with from now on", column.text, table.name);
    Ok(DdlOutcome { notice: Some(notice), ..DdlOutcome::done(CREATE, table.id) })
}

/// The columns whose sequence is called so, or would be if they counted.
pub(crate) fn meant_by(catalogue: &Catalogue, sequence: &str) -> Vec<(Arc<Table>, Column)> {
    let columns = catalogue.active_tables().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    let meant = columns.filter(|(table, column)| sequence_name(&table.name, &column.name) == sequence);
    meant.map(|(table, column)| (table.clone(), column.clone())).collect()
}

/// Whether a default is the next value of the sequence that the column counts with anyway.
pub(super) fn is_own_next_value(table: &Table, column: &Column, default: &Expr) -> bool {
    let ExprKind::Function(call) = &default.kind else { return false };
    let (true, [argument]) = (&*call.name.name.text == "nextval" && column.identity.is_some(), &call.arguments[..])
    else {
        return false;
    };
    let written = match &argument.kind {
        ExprKind::Cast { expr, .. } => &expr.kind,
        kind => kind,
    };
    let ExprKind::Literal(literal) = written else { return false };
    let Some(text) = literal.as_text() else { return false };
    let (schema, name) = names_written(text);
    schema.is_none_or(|schema| schema == "public") && name == sequence_name(&table.name, &column.name)
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
