//! Definitions in the syntax tree: tables, columns, constraints, indexes, their changes, and comments on them.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::{Expr, Name, Query, Span, TableName, TypeName};

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: TableName,
    pub if_not_exists: bool,
    /// Empty: schemaless.
    pub columns: Vec<ColumnDefinition>,
    pub likes: Vec<Like>,
    pub constraints: Vec<TableConstraint>,
    /// `WITH (salted = false)`, names lower case.
    pub options: Vec<(Arc<str>, Value)>,
    pub as_query: Option<Box<AsQuery>>,
}

/// `(a, b) AS SELECT … WITH NO DATA`
#[derive(Debug, Clone, PartialEq)]
pub struct AsQuery {
    pub query: Query,
    /// What the query's first columns are called instead.
    pub columns: Vec<Name>,
    /// The table gets the columns, and no rows.
    pub no_data: bool,
}

/// `LIKE other INCLUDING …` among the columns: it stands for those of another table.
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    pub table: TableName,
    /// How many columns are declared before it.
    pub at: usize,
    pub comments: bool,
    pub constraints: bool,
    pub defaults: bool,
    pub identity: bool,
    pub indexes: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    pub name: Name,
    pub ty: TypeName,
    pub not_null: bool,
    pub primary_key: bool,
    pub unique: bool,
    pub default: Option<Expr>,
    /// The default's text as written, which the catalogue stores.
    pub default_text: Option<Arc<str>>,
    /// What the primary key and the unique constraint are called, if they have been given names.
    pub primary_key_name: Option<Name>,
    pub unique_name: Option<Name>,
    /// The check, its text, and its name if it has been given one.
    pub checks: Vec<(Expr, Arc<str>, Option<Name>)>,
    /// `GENERATED … AS IDENTITY`; `serial` is one BY DEFAULT.
    pub identity: Option<Identity>,
    /// Its option `START WITH`.
    pub counts_from: Option<i64>,
}

/// When an identity column counts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Always, unless a statement overrides it.
    Always,
    /// Where a row gives no value.
    ByDefault,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TableConstraint {
    PrimaryKey { name: Option<Name>, columns: Vec<Name> },
    Unique { name: Option<Name>, columns: Vec<Name> },
    Check { name: Option<Name>, expr: Expr, text: Arc<str> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateIndex {
    pub name: Option<Name>,
    pub table: TableName,
    /// Columns, or nested paths such as `owner.PrimaryOwner.PersonId`.
    pub columns: Vec<Expr>,
    pub unique: bool,
    pub if_not_exists: bool,
}

/// A change of a table; `Several` are made one after another.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    AddColumn {
        column: ColumnDefinition,
        if_not_exists: bool,
    },
    DropColumn {
        name: Name,
        if_exists: bool,
    },
    RenameTo(Name),
    RenameColumn {
        from: Name,
        to: Name,
    },
    AddConstraint(TableConstraint),
    DropConstraint {
        name: Name,
        if_exists: bool,
    },
    SetNotNull(Name),
    DropNotNull(Name),
    SetDefault {
        name: Name,
        default: Expr,
        text: Arc<str>,
    },
    DropDefault(Name),
    /// `ALTER COLUMN … ADD GENERATED … AS IDENTITY (SEQUENCE NAME sequence START WITH counts_from)`
    AddGenerated {
        name: Name,
        identity: Identity,
        counts_from: Option<i64>,
        sequence: Option<Name>,
    },
    /// `ALTER COLUMN … SET GENERATED … RESTART WITH counts_from`, one of them at least.
    SetGenerated {
        name: Name,
        identity: Option<Identity>,
        counts_from: Option<i64>,
    },
    DropIdentity {
        name: Name,
        if_exists: bool,
    },
    /// `ALTER COLUMN … TYPE … [USING …]`
    SetType {
        name: Name,
        ty: TypeName,
        using: Option<Expr>,
    },
    Several(Vec<AlterTable>),
}

/// CREATE SEQUENCE and ALTER SEQUENCE. A sequence is what a column counts with, and there is none of another kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    pub name: TableName,
    pub change: SequenceChange,
    /// `IF NOT EXISTS`, or `IF EXISTS`.
    pub lenient: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SequenceChange {
    Create { counts_from: Option<i64>, owner: Option<(TableName, Name)> },
    OwnedBy { table: TableName, column: Name },
    Restart(i64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    pub on: Commented,
    /// `None`: there is to be none.
    pub text: Option<Arc<str>>,
    /// Where the text is.
    pub span: Span,
}

/// What a comment is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Commented {
    Table(TableName),
    Column { table: TableName, column: Name },
    Constraint { name: Name, table: TableName },
    Index(TableName),
    View(TableName),
    Database(Name),
}
