//! Tables that are computed from the catalogue when asked: `information_schema` and `pg_catalog`, as far as PostgreSQL's
//! tools read them (its documentation, chapters 37 and 53), and QLDB's `information_schema.user_tables`.

mod describe;
mod functions;
mod information_schema;
mod oids;
mod pg_catalog;
mod shapes;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use ledgerstone_digest::ion::{Text, Value};

use super::Catalogue;
use crate::bind::Datum;
use crate::error::Result;
use crate::session::SessionInfo;
use crate::transaction::Transaction;
use crate::types::SqlType;

pub(crate) use describe::{
    Relation, column_of_sequence, constraint_definition, index_definition, quoted, relation_name, relation_named,
    relation_with, sequence_name,
};
pub(crate) use functions::{
    function_arguments, function_description, function_result, function_with, is_own_table_function,
};
pub(crate) use oids::{
    INFORMATION_SCHEMA, OWNER_NAME, database_oid, format_type, procedure_oid, relation_oid, role_oid, type_oid,
};
pub(crate) use pg_catalog::{NAMESPACES, PG_CLASS, PG_CONSTRAINT, description, type_procedures};

/// A table whose rows are made when it is read.
pub trait VirtualTable: Debug + Send + Sync {
    fn name(&self) -> &str;
    /// Names and types of the columns, in order.
    fn columns(&self) -> &[(&'static str, SqlType)];
    /// What `tableoid` is in its rows; `None` if they have none.
    fn oid(&self) -> Option<u32>;
    /// The rows now, as this transaction sees the catalogue.
    fn rows(&self, tx: &Transaction, session: &SessionInfo) -> Result<Vec<Vec<Datum>>>;
}

/// The virtual table of this name, both in lower case. Without a schema `pg_catalog` is searched, as in PostgreSQL.
pub fn virtual_table(schema: Option<&str>, name: &str) -> Option<Arc<dyn VirtualTable>> {
    let found = BY_NAME.get(&(schema.unwrap_or(shapes::PG), name))?;
    Some(found.clone())
}

/// A virtual table: its shape, and what makes its rows. Tables of things that do not exist here have no maker.
pub(crate) struct Computed {
    pub schema: &'static str,
    pub name: &'static str,
    pub oid: u32,
    columns: Vec<(&'static str, SqlType)>,
    make: Option<Make>,
}

type Make = fn(&Facts<'_>, &mut Rows<'_>);

/// What rows are made from.
pub(crate) struct Facts<'a> {
    pub tx: &'a Transaction,
    pub session: &'a SessionInfo,
    pub catalogue: Arc<Catalogue>,
}

/// Rows of one table, built by naming cells; the rest has the column's default.
pub(crate) struct Rows<'a> {
    columns: &'a [(&'static str, SqlType)],
    defaults: Vec<Datum>,
    rows: Vec<Vec<Datum>>,
}

impl Rows<'_> {
    /// A row in which everything else is NULL.
    fn push_known<const N: usize>(&mut self, cells: [(&str, Datum); N]) {
        let defaults = std::mem::replace(&mut self.defaults, vec![None; self.columns.len()]);
        self.push(cells);
        self.defaults = defaults;
    }

    fn push<const N: usize>(&mut self, cells: [(&str, Datum); N]) {
        let mut row = self.defaults.clone();
        for (name, value) in cells {
            let cell = self.columns.iter().position(|(n, _)| *n == name).and_then(|at| row.get_mut(at));
            debug_assert!(cell.is_some(), "no column {name}");
            if let Some(cell) = cell {
                *cell = value;
            }
        }
        self.rows.push(row);
    }
}

impl Debug for Computed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl VirtualTable for Computed {
    fn name(&self) -> &str {
        self.name
    }

    fn columns(&self) -> &[(&'static str, SqlType)] {
        &self.columns
    }

    fn oid(&self) -> Option<u32> {
        (self.schema == shapes::PG).then_some(self.oid)
    }

    fn rows(&self, tx: &Transaction, session: &SessionInfo) -> Result<Vec<Vec<Datum>>> {
        let Some(make) = self.make else { return Ok(Vec::new()) };
        let zeros = self.schema == shapes::PG;
        let defaults = self.columns.iter().map(|(_, ty)| if zeros { default(ty) } else { None }).collect();
        let mut rows = Rows { columns: &self.columns, defaults, rows: Vec::new() };
        make(&Facts { tx, session, catalogue: tx.catalogue() }, &mut rows);
        Ok(rows.rows)
    }
}

/// Every virtual table, in the order of their shapes.
pub(crate) fn all() -> &'static [Arc<Computed>] {
    &ALL
}

static ALL: LazyLock<Vec<Arc<Computed>>> = LazyLock::new(|| shapes::SHAPES.iter().map(computed).collect());

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), Arc<Computed>>> =
    LazyLock::new(|| ALL.iter().map(|t| ((t.schema, t.name), t.clone())).collect());

fn computed(&(schema, name, oid, columns): &shapes::Shape) -> Arc<Computed> {
    let column = |text: &'static str| {
        let (name, ty) = text.split_once(':').unwrap_or((text, "text"));
        // A test reads every type, so that the fallback is never used.
        (name, SqlType::from_text(ty).unwrap_or(SqlType::Text))
    };
    let make = match schema {
        shapes::PG => pg_catalog::maker(name),
        _ => information_schema::maker(name),
    };
    Arc::new(Computed { schema, name, oid, columns: columns.split_ascii_whitespace().map(column).collect(), make })
}

/// What a cell of `pg_catalog` is if nothing else is said: hardly any column there may be NULL.
fn default(ty: &SqlType) -> Datum {
    match ty {
        SqlType::Bool => Some(Value::Bool(false)),
        SqlType::Float4 => Some(Value::Float(0.0)),
        ty if ty.is_integer() => Some(Value::int(0)),
        _ => None,
    }
}

fn text(text: impl Into<Text>) -> Datum {
    Some(Value::string(text))
}

fn int(i: impl Into<i64>) -> Datum {
    Some(Value::int(i.into()))
}

fn flag(b: bool) -> Datum {
    Some(Value::Bool(b))
}

fn yes_no(b: bool) -> Datum {
    text(if b { "YES" } else { "NO" })
}

/// A text if something holds, else NULL.
fn flag_text(holds: bool, shown: &str) -> Datum {
    holds.then(|| Value::string(shown))
}

fn numbers(items: impl IntoIterator<Item = i64>) -> Datum {
    Some(Value::List(items.into_iter().map(Value::int).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_types_that_exist_and_an_oid_of_its_own() {
        let mut oids = std::collections::BTreeSet::new();
        for (schema, name, oid, columns) in shapes::SHAPES {
            assert!(oids.insert(oid), "{schema}.{name}");
            for column in columns.split_ascii_whitespace() {
                SqlType::from_text(column.split_once(':').unwrap().1).unwrap();
            }
        }
    }

    #[test]
    fn only_pg_catalog_is_found_without_a_schema() {
        assert!(virtual_table(None, "pg_class").is_some());
        assert!(virtual_table(None, "tables").is_none());
        assert!(virtual_table(Some("information_schema"), "tables").is_some());
        assert!(virtual_table(Some("public"), "pg_class").is_none());
    }
}
