//! INSERT, UPDATE, DELETE and MERGE, bound.

use std::sync::Arc;

use super::{Ex, Node, QueryPlan, Step};
use crate::catalogue::{Index, Table};

#[derive(Debug)]
pub(crate) struct InsertPlan {
    pub table: Arc<Table>,
    pub source: InsertRows,
    /// Documents may bring values for identity columns that are GENERATED ALWAYS. Values of columns were judged when the
    /// statement was bound.
    pub gives_identities: bool,
    /// Computed once per row over slot 0 (the document just built).
    pub checks: Arc<TableChecks>,
    pub conflict: Option<ConflictPlan>,
    pub returning: Option<Vec<Ex>>,
    /// Slots of the RETURNING and conflict level: 0 the row, 1 `excluded`.
    pub width: usize,
    /// QLDB's answer: one row `{documentId}` per document.
    pub document_ids: bool,
}

#[derive(Debug)]
pub(crate) enum InsertRows {
    /// Values of the named columns, already cast; unnamed ones take their defaults. A value without a column is passed over.
    Columns {
        columns: Vec<Option<usize>>,
        query: QueryPlan,
    },
    /// Fields of a schemaless table.
    Fields {
        names: Vec<Arc<str>>,
        query: QueryPlan,
    },
    Defaults,
    /// Documents: one, or every element of a collection.
    Documents {
        expr: Ex,
        single: bool,
    },
    /// Documents a query returns, one column each.
    DocumentQuery(QueryPlan),
}

/// What a document of a declared table must satisfy, bound once.
#[derive(Debug)]
pub(crate) struct TableChecks {
    /// Default of each column, cast to its type.
    pub defaults: Vec<Option<Ex>>,
    /// Over slot 0, the document.
    pub checks: Vec<(Arc<str>, Ex)>,
}

#[derive(Debug)]
pub(crate) struct ConflictPlan {
    /// Unique indexes that count; all of them for a bare DO NOTHING.
    pub indexes: Vec<Arc<Index>>,
    pub update: Option<(Vec<ChangePlan>, Option<Ex>)>,
}

#[derive(Debug)]
pub(crate) struct UpdatePlan {
    pub table: Arc<Table>,
    pub slot: u32,
    pub width: usize,
    pub from: Node,
    pub filter: Vec<Ex>,
    pub changes: Vec<ChangePlan>,
    pub checks: Arc<TableChecks>,
    pub returning: Option<Vec<Ex>>,
    pub document_ids: bool,
}

#[derive(Debug)]
pub(crate) enum ChangePlan {
    /// Set a field or a place inside one; a column's value is already cast.
    Set {
        path: Vec<Step>,
        value: Ex,
        column: Option<usize>,
    },
    InsertInto {
        path: Vec<Step>,
        value: Ex,
        at: Option<Ex>,
    },
    Remove {
        path: Vec<Step>,
    },
    /// The document itself.
    Delete,
}

#[derive(Debug)]
pub(crate) struct DeletePlan {
    pub table: Arc<Table>,
    pub slot: u32,
    pub width: usize,
    pub from: Node,
    pub filter: Vec<Ex>,
    pub returning: Option<Vec<Ex>>,
    pub document_ids: bool,
}

#[derive(Debug)]
pub(crate) struct MergePlan {
    pub table: Arc<Table>,
    /// Empty in rows of the source that meet no document.
    pub slot: u32,
    pub width: usize,
    pub from: Node,
    pub filter: Vec<Ex>,
    pub whens: Vec<MergeWhen>,
    pub checks: Arc<TableChecks>,
}

#[derive(Debug)]
pub(crate) struct MergeWhen {
    pub matched: bool,
    pub condition: Option<Ex>,
    pub action: MergeAction,
}

#[derive(Debug)]
pub(crate) enum MergeAction {
    Nothing,
    /// Its rows are those of a query inside the join's.
    Insert {
        rows: Box<InsertRows>,
        gives_identities: bool,
    },
    Update(Vec<ChangePlan>),
    Delete,
}
