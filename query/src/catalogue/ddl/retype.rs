//! ALTER COLUMN … TYPE, as far as every value stays what it is: a wider number, a text with another limit, any type of a table
//! that never had a document. What stands in the journal is never written again, so a type that its values would have to be
//! converted to would not suit the column's history.

use ledgerstone_digest::ion::Value;

use super::Table;
use super::table::column_type;
use crate::ast::{Expr, ExprKind, Name, TypeName};
use crate::catalogue::Column;
use crate::error::{QueryError, Result, SqlState};
use crate::transaction::{Transaction, View};
use crate::types::{SqlType, Suits};
use crate::value::precision::DIGITS_MAX;

/// The column's new type, which all of its current values have already.
pub(super) fn retyped(
    tx: &Transaction,
    table: &Table,
    column: &Column,
    (name, ty): (&Name, &TypeName),
    using: Option<&Expr>,
) -> Result<SqlType> {
    let new = column_type(name, ty, column.identity.is_some())?;
    if let Some(using) = using.filter(|using| !is_column_itself(using, name, &new)) {
        return Err(QueryError::unsupported("USING with anything but the column itself").at(using.span).hint(CONVERT));
    }
    let digits = |precision: Option<u8>| precision.unwrap_or(DIGITS_MAX);
    let rounds = digits(SqlType::precision_of(ty)) < digits(column.precision);
    match column.ty.suits(&new).filter(|_| !rounds) {
        Some(Suits::All) => Ok(new),
        Some(Suits::Short) => all_fit(tx, table, column, &new).map(|()| new),
        None if never_had_documents(tx, table)? => Ok(new),
        None => {
            let (from, to) = (column.ty.text_with(column.precision), new.text_with(SqlType::precision_of(ty)));
            let what = format!("a change of the type {from} to {to}");
            Err(QueryError::unsupported(what).at(ty.span).hint(CONVERT))
        }
    }
}

const CONVERT: &str = "Add a column of the new type and copy (UPDATE t SET new = old::type): values in the journal keep theirs. \
                       Wider integers, floats and numerics, and texts with another limit, keep their values as they are.";

/// `USING c` and `USING c::type`, as migration tools write.
fn is_column_itself(using: &Expr, column: &Name, new: &SqlType) -> bool {
    match &using.kind {
        ExprKind::Name(name) => name.text == column.text,
        ExprKind::Cast { expr, ty } => {
            SqlType::parse(ty).is_ok_and(|ty| ty == *new) && is_column_itself(expr, column, new)
        }
        _ => false,
    }
}

fn never_had_documents(tx: &Transaction, table: &Table) -> Result<bool> {
    Ok(tx.is_empty_table(table)? && tx.history(table, None, None, None)?.next().transpose()?.is_none())
}

fn all_fit(tx: &Transaction, table: &Table, column: &Column, new: &SqlType) -> Result<()> {
    for doc in tx.scan(table, View::Current)? {
        let doc = doc?;
        let fields = doc.data.as_deref().and_then(Value::as_struct);
        if fields.and_then(|fields| fields.get(&column.name)).is_some_and(|value| !new.accepts(value)) {
            let message = format!("value too long for type {new}");
            return Err(QueryError::new(SqlState::STRING_TOO_LONG, message).about_column(&table.name, &column.name));
        }
    }
    Ok(())
}
