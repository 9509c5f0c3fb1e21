//! Relations by OID and by name, and their definitions as text: what `pg_get_indexdef` and its kin answer.

use std::sync::Arc;

use super::oids::{check_constraint_oid, key_constraint_oid, relation_oid, sequence_oid};
use super::{Computed, all, shapes};
use crate::catalogue::{Catalogue, Column, Index, PathStep, Table, path_text};
use crate::types::SqlType;

/// What has a row in `pg_class`.
pub(crate) enum Relation {
    Table(Arc<Table>),
    Index(Arc<Table>, Arc<Index>),
    /// The counter of an identity column: the column's place among its table's.
    Sequence(Arc<Table>, usize),
    Virtual(&'static Computed),
}

impl Relation {
    pub fn oid(&self) -> u32 {
        match self {
            Relation::Table(table) => relation_oid(&table.id),
            Relation::Index(_, index) => relation_oid(&index.id),
            Relation::Sequence(table, at) => sequence_oid(&table.id, column_name(table, *at)),
            Relation::Virtual(table) => table.oid,
        }
    }
}

/// Every relation: active tables and their indexes, then the virtual ones.
pub(super) fn relations(catalogue: &Catalogue) -> Vec<Relation> {
    let mut out = Vec::new();
    for table in catalogue.active_tables() {
        out.push(Relation::Table(table.clone()));
        out.extend(table.indexes.iter().map(|i| Relation::Index(table.clone(), i.clone())));
        out.extend(sequences(table));
    }
    out.extend(all().iter().map(|t| Relation::Virtual(t)));
    out
}

/// A relation by name, as `'name'::regclass` looks for it: `pg_catalog` first, then `public`.
pub(crate) fn relation_named(catalogue: &Catalogue, schema: Option<&str>, name: &str) -> Option<Relation> {
    let wanted = schema.unwrap_or(shapes::PG);
    if let Some(found) = all().iter().find(|t| t.schema == wanted && t.name == name) {
        return Some(Relation::Virtual(found));
    }
    if schema.is_some_and(|s| s != "public") {
        return None;
    }
    if let Some(table) = catalogue.table(name) {
        return Some(Relation::Table(table.clone()));
    }
    if let Some((table, index)) = catalogue.index_by_name(name) {
        return Some(Relation::Index(table.clone(), index.clone()));
    }
    catalogue.active_tables().flat_map(sequences).find(|sequence| match sequence {
        Relation::Sequence(table, at) => sequence_name(&table.name, column_name(table, *at)) == name,
        _ => false,
    })
}

/// The counters of a table's identity columns.
fn sequences(table: &Arc<Table>) -> impl Iterator<Item = Relation> + '_ {
    let identities = table.columns.iter().enumerate().filter(|(_, column)| column.identity.is_some());
    identities.map(|(at, _)| Relation::Sequence(table.clone(), at))
}

/// What PostgreSQL calls the sequence of an identity column.
pub(crate) fn sequence_name(table: &str, column: &str) -> String {
    format!("{table}_{column}_seq")
}

fn column_name(table: &Table, at: usize) -> &str {
    table.columns.get(at).map_or("", |column| &column.name)
}

/// The identity column whose counter this is.
pub(crate) fn column_of_sequence(relation: &Relation) -> Option<(&Arc<Table>, &Column)> {
    match relation {
        Relation::Sequence(table, at) => table.columns.get(*at).map(|column| (table, column)),
        _ => None,
    }
}

/// A relation by its oid.
pub(crate) fn relation_with(catalogue: &Catalogue, oid: u32) -> Option<Relation> {
    relations(catalogue).into_iter().find(|relation| relation.oid() == oid)
}

/// The name a relation's oid is shown as: with its schema unless that is searched, in quotes where a statement needs them.
pub(crate) fn relation_name(catalogue: &Catalogue, oid: u32) -> Option<String> {
    Some(match relation_with(catalogue, oid)? {
        Relation::Table(table) => quoted(&table.name),
        Relation::Index(_, index) => quoted(&index.name),
        Relation::Sequence(table, at) => quoted(&sequence_name(&table.name, column_name(&table, at))),
        Relation::Virtual(table) if table.schema == shapes::PG => quoted(table.name),
        Relation::Virtual(table) => format!("{}.{}", table.schema, quoted(table.name)),
    })
}

/// `CREATE INDEX …` of the index with this OID, or only its nth column.
pub(crate) fn index_definition(catalogue: &Catalogue, oid: u32, column: usize) -> Option<String> {
    let (table, index) = index_with(catalogue, oid)?;
    match column {
        0 => Some(create_index(table, index)),
        n => index.paths.get(n - 1).map(|p| column_text(p)),
    }
}

pub(super) fn create_index(table: &Table, index: &Index) -> String {
    format!(
        "CREATE {}INDEX {} ON public.{} USING btree ({})",
        if index.unique { "UNIQUE " } else { "" },
        quoted(&index.name),
        quoted(&table.name),
        columns_text(index)
    )
}

/// `PRIMARY KEY (…)`, `UNIQUE (…)` or `CHECK (…)` of the constraint with this OID.
pub(crate) fn constraint_definition(catalogue: &Catalogue, oid: u32) -> Option<String> {
    catalogue.active_tables().find_map(|table| {
        let of_index = table.indexes.iter().find(|i| i.is_constraint() && key_constraint_oid(&i.id) == oid);
        if let Some(index) = of_index {
            return Some(key_text(index));
        }
        let check = table.checks.iter().find(|c| check_constraint_oid(&table.id, &c.name) == oid)?;
        Some(format!("CHECK ({})", check.text))
    })
}

fn key_text(index: &Index) -> String {
    format!("{} ({})", if index.primary { "PRIMARY KEY" } else { "UNIQUE" }, columns_text(index))
}

/// A column's name and type for an index: the declared type of a top-level field, else that of any value.
pub(crate) fn column_definition(table: &Table, path: &[PathStep]) -> (String, SqlType) {
    let ty = match path {
        [PathStep::Field(name)] => table.column(name).map(|c| c.ty.clone()),
        _ => None,
    };
    let name = match path {
        [PathStep::Field(name)] => name.to_string(),
        path => path_text(path),
    };
    (name, ty.unwrap_or(SqlType::Ion))
}

fn index_with(catalogue: &Catalogue, oid: u32) -> Option<(&Arc<Table>, &Arc<Index>)> {
    catalogue
        .active_tables()
        .flat_map(|t| t.indexes.iter().map(move |i| (t, i)))
        .find(|(_, i)| relation_oid(&i.id) == oid)
}

fn columns_text(index: &Index) -> String {
    index.paths.iter().map(|p| column_text(p)).collect::<Vec<_>>().join(", ")
}

fn column_text(path: &[PathStep]) -> String {
    match path {
        [PathStep::Field(name)] => quoted(name),
        path => path_text(path),
    }
}

/// A name as a statement must write it.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
