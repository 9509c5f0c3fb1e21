//! Changes of documents in the syntax tree: INSERT, UPDATE, DELETE and MERGE, PartiQL's forms among them.

use super::{CommonTable, Expr, From, Name, Query, SelectItem, Span, TableName};

#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub with: Vec<CommonTable>,
    pub recursive: bool,
    pub table: TableName,
    pub alias: Option<Name>,
    pub columns: Vec<Name>,
    pub overriding: Option<Overriding>,
    pub source: InsertSource,
    pub on_conflict: Option<OnConflict>,
    pub returning: Vec<SelectItem>,
}

/// What an INSERT says of the values that it gives to identity columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overriding {
    /// `OVERRIDING SYSTEM VALUE`: they are taken, also by a column that is GENERATED ALWAYS.
    System,
    /// `OVERRIDING USER VALUE`: they are passed over, and the columns count on.
    User,
}

#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    Query(Box<Query>),
    /// SQL's `DEFAULT VALUES`.
    DefaultValues,
    /// PartiQL: `INSERT INTO t VALUE e` (one document) or `INSERT INTO t e` (a document or a collection of them).
    Document {
        expr: Expr,
        single: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct OnConflict {
    pub target: Vec<Name>,
    pub constraint: Option<Name>,
    /// `None`: DO NOTHING.
    pub update: Option<(Vec<Assignment>, Option<Expr>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// A column or a nested path.
    pub target: Expr,
    pub value: Expr,
}

/// SQL's UPDATE and PartiQL's `UPDATE t …` / `FROM t … SET|INSERT INTO|REMOVE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub with: Vec<CommonTable>,
    pub recursive: bool,
    /// The table and whatever is ranged over beside it (PartiQL `FROM t AS a, a.b AS c`, SQL `UPDATE t … FROM …`);
    /// the first one is the table that changes.
    pub from: Vec<From>,
    pub changes: Vec<Change>,
    pub filter: Option<Expr>,
    pub returning: Vec<SelectItem>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Set(Assignment),
    /// `INSERT INTO path VALUE v [AT k]`.
    Insert {
        path: Expr,
        value: Expr,
        at: Option<Expr>,
    },
    /// `REMOVE path`; the alias of the table itself removes the document.
    Remove {
        path: Expr,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub with: Vec<CommonTable>,
    pub recursive: bool,
    /// The table first, then SQL's USING.
    pub from: Vec<From>,
    pub filter: Option<Expr>,
    pub returning: Vec<SelectItem>,
}

/// SQL's MERGE: each row of the source, with the row of the table that it meets, if any, goes the way of the first WHEN that
/// holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    pub with: Vec<CommonTable>,
    pub recursive: bool,
    pub table: From,
    pub source: From,
    pub on: Expr,
    pub whens: Vec<MergeWhen>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MergeWhen {
    pub matched: bool,
    pub condition: Option<Expr>,
    pub action: MergeAction,
    pub span: Span,
}

/// Of rows that are matched UPDATE and DELETE, of others INSERT.
#[derive(Debug, Clone, PartialEq)]
pub enum MergeAction {
    Nothing,
    Insert(MergeInsert),
    Update(Vec<Assignment>),
    Delete,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MergeInsert {
    pub columns: Vec<Name>,
    pub overriding: Option<Overriding>,
    /// One row of VALUES, or DEFAULT VALUES.
    pub source: InsertSource,
}
