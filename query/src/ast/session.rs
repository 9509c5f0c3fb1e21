//! What a session asks for beside queries, changes and definitions, in the syntax tree: cursors, settings, COPY.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::{Name, Query, Statement, TableName};

#[derive(Debug, Clone, PartialEq)]
pub struct DeclareCursor {
    pub name: Name,
    /// `SCROLL`.
    pub scroll: bool,
    /// `WITH HOLD`.
    pub hold: bool,
    pub query: Query,
}

/// Where FETCH and MOVE go. `None` is as far as there are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    Forward(Option<u64>),
    Backward(Option<u64>),
    Absolute(i64),
    Relative(i64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum SetValue {
    Default,
    Values(Vec<Value>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    pub target: CopyTarget,
    /// `COPY … FROM STDIN`; false: `COPY … TO`.
    pub from: bool,
    pub place: CopyPlace,
    pub format: CopyFormat,
    pub header: bool,
    pub delimiter: u8,
    pub null: Arc<str>,
    pub quote: u8,
    pub escape: u8,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CopyTarget {
    Table {
        table: TableName,
        columns: Vec<Name>,
    },
    Query(Box<Query>),
    /// A change with RETURNING, or a query with changes in its WITH.
    Change(Box<Statement>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum CopyPlace {
    Standard,
    /// A server-side path: only `TO` and only Parquet, under the export directory.
    File(Arc<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    /// PostgreSQL's own.
    Binary,
    Parquet,
}
