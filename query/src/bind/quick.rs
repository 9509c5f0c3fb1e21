//! Which plans are quick for certain: those run in place on the thread that reads the client's messages; all others make
//! room for other sessions first.

use super::plan::{Access, Body, InsertRows, Node, Plan, QueryBody, QueryPlan, Source, ViewPlan};

/// Rows of VALUES that are still quick.
const VALUES_ROWS_QUICK: usize = 256;

impl Plan {
    /// Whether a run may take more than a fraction of a millisecond. False only for what is bounded by its shape: rows of
    /// constants, and documents, or their histories, found by id or by equality on an index. Subqueries name tables of their own, so a plan
    /// with more tables than its shape shows is not quick.
    pub fn may_take_long(&self) -> bool {
        if !self.ctes.is_empty() {
            return true;
        }
        let quick = match &self.body {
            Body::Query(query) => self.tables.len() <= 1 && query_is_quick(query),
            Body::Insert(insert) => {
                self.tables.len() <= 1
                    && match &insert.source {
                        InsertRows::Columns { query, .. } | InsertRows::Fields { query, .. } => query_is_quick(query),
                        InsertRows::Defaults => true,
                        InsertRows::Documents { single, .. } => *single,
                        InsertRows::DocumentQuery(_) => false,
                    }
            }
            Body::Update(update) => self.tables.len() <= 1 && node_is_quick(&update.from),
            Body::Delete(delete) => self.tables.len() <= 1 && node_is_quick(&delete.from),
        };
        !quick
    }
}

fn query_is_quick(query: &QueryPlan) -> bool {
    match &query.body {
        QueryBody::Select(select) => select.series.is_empty() && select.from.as_ref().is_none_or(node_is_quick),
        QueryBody::Values { rows, .. } => rows.len() <= VALUES_ROWS_QUICK,
        QueryBody::Set { .. } | QueryBody::Nested { .. } => false,
    }
}

fn node_is_quick(node: &Node) -> bool {
    match node {
        Node::Source(source) => {
            source.input.is_none()
                && match &source.source {
                    Source::Table(table) => match (&table.view, &table.access) {
                        (ViewPlan::Current, Access::Ids(_) | Access::Index { .. }) => true,
                        (ViewPlan::History { from: None, to: None }, Access::Ids(_)) => true,
                        // An index that was made later does not know who had a key before: then history is scanned.
                        (ViewPlan::History { from: None, to: None }, Access::Index { index, .. }) => {
                            index.from_position == 0
                        }
                        _ => false,
                    },
                    _ => false,
                }
        }
        Node::Filter { input, .. } => node_is_quick(input),
        Node::Hash(_) | Node::Loop(_) => false,
    }
}
