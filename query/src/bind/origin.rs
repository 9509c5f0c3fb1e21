//! Which column of which table a column of a result is: drivers make results that can be changed in place from it.

use std::sync::Arc;

use super::plan::{At, Body, Ex, Node, Origin, QueryBody, Source};
use crate::catalogue::Table;
use crate::catalogue::virtual_tables::relation_oid;

/// For each column of the answer; what is computed comes from nowhere.
pub(super) fn origins(body: &Body) -> Vec<Option<Origin>> {
    let Body::Query(query) = body else { return Vec::new() };
    let QueryBody::Select(select) = &query.body else { return Vec::new() };
    let mut tables = Vec::new();
    if let Some(node) = &select.from {
        tables_of(node, &mut tables);
    }
    select.output.iter().map(|ex| origin(ex, &tables)).collect()
}

fn origin(ex: &Ex, tables: &[(u32, Arc<Table>)]) -> Option<Origin> {
    let Ex::Field { at: At { depth: 0, slot }, name, .. } = ex else { return None };
    let (_, table) = tables.iter().find(|(of, _)| of == slot)?;
    let at = table.columns.iter().position(|column| column.name == *name)?;
    Some(Origin { table: relation_oid(&table.id), column: i16::try_from(at + 1).ok()? })
}

fn tables_of(node: &Node, out: &mut Vec<(u32, Arc<Table>)>) {
    match node {
        Node::Source(source) => {
            if let Source::Table(table) = &source.source {
                out.push((table.slot, Arc::clone(&table.table)));
            }
            if let Some(input) = &source.input {
                tables_of(input, out);
            }
        }
        Node::Hash(join) => [&join.left, &join.right].into_iter().for_each(|node| tables_of(node, out)),
        Node::Loop(join) => [&join.left, &join.right].into_iter().for_each(|node| tables_of(node, out)),
        Node::Filter { input, .. } => tables_of(input, out),
    }
}
