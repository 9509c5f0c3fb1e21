//! Tables, columns and indexes as the binder, the executor and the row index see them.

use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Symbol, Value};

use crate::ast::Identity;
use crate::error::{QueryError, Result, SqlState};
use crate::index::Key;
use crate::types::SqlType;
use crate::value::precision;

/// The salt's field (CONTRACT section 5): reserved, and hidden in user views.
pub use ledgerstone_journal::SALT_FIELD;
/// Top-level fields that exactly make a document's metadata: no document may have just these (CONTRACT section 2).
pub const METADATA_FIELDS: [&str; 4] = ["id", "version", "txTime", "txId"];

/// A table as its newest definition (before a snapshot) says.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub id: Id,
    pub name: Arc<str>,
    pub status: TableStatus,
    /// Declared columns, in order; empty: schemaless.
    pub columns: Vec<Column>,
    /// All indexes, those of the primary key and of unique constraints among them.
    pub indexes: Vec<Arc<Index>>,
    pub checks: Vec<Check>,
    pub comment: Option<Arc<str>>,
    /// Every revision gets a fresh `_ql_salt`.
    pub salted: bool,
    /// Position of the definition's revision, or `u64::MAX` if this transaction has just made it.
    pub defined_at: u64,
    pub definition_version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStatus {
    Active,
    /// Dropped; its history stays, by table id, and UNDROP brings it back.
    Inactive,
}

/// A declared column: a constraint on, and a type for, a top-level field.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: Arc<str>,
    pub ty: SqlType,
    /// Digits of a second that values of a time are rounded to; `None`: all there are.
    pub precision: Option<u8>,
    pub not_null: bool,
    /// The default's text as written.
    pub default_text: Option<Arc<str>>,
    /// A missing value is taken from the column's counter.
    pub identity: Option<Identity>,
    /// The least value that its counter gives, if it does not begin with 1.
    pub counts_from: Option<i64>,
    pub comment: Option<Arc<str>>,
}

/// A check constraint, kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: Arc<str>,
    pub text: Arc<str>,
    pub comment: Option<Arc<str>>,
}

/// An index over one or more paths of a table's documents. Every document has exactly one key in it: what is missing
/// counts as a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    pub id: Id,
    pub table_id: Id,
    pub name: Arc<str>,
    pub paths: Vec<Vec<PathStep>>,
    /// No two current documents may have the same key, unless a part of it is null or missing.
    pub unique: bool,
    /// The primary key: unique, and no part null or missing.
    pub primary: bool,
    /// Unique, and only an index: made by CREATE UNIQUE INDEX, it is no constraint of its table.
    pub only_index: bool,
    pub status: IndexStatus,
    pub comment: Option<Arc<str>>,
    /// On the constraint that it is if it is unique.
    pub constraint_comment: Option<Arc<str>>,
    /// Why building it failed.
    pub message: Option<Arc<str>>,
    /// Exact for every view at this position or later; before it, scan.
    pub from_position: u64,
    /// The version of the definition's document.
    pub definition_version: u64,
    pub defined_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexStatus {
    /// Kept up to date, but documents from before it are still being added: not used for reading.
    Building,
    Online,
    Failed,
}

/// One step of an indexed path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    Field(Arc<str>),
    /// An element of a list, from 0.
    Element(u32),
}

impl Table {
    /// Declared rather than schemaless.
    pub fn is_declared(&self) -> bool {
        !self.columns.is_empty()
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| &*c.name == name)
    }

    pub fn primary_key(&self) -> Option<&Arc<Index>> {
        self.indexes.iter().find(|i| i.primary && i.status != IndexStatus::Failed)
    }

    /// An index by name.
    pub fn index(&self, name: &str) -> Option<&Arc<Index>> {
        self.indexes.iter().find(|i| &*i.name == name)
    }

    pub fn index_by_id(&self, id: &Id) -> Option<&Arc<Index>> {
        self.indexes.iter().find(|i| i.id == *id)
    }

    /// Indexes that may serve reads of the current view.
    pub fn usable_indexes(&self) -> impl Iterator<Item = &Arc<Index>> {
        self.indexes.iter().filter(|i| i.status == IndexStatus::Online)
    }

    /// An online index exactly on this one top-level field, for QLDB's equality lookups.
    pub fn index_on_field(&self, field: &str) -> Option<&Arc<Index>> {
        self.usable_indexes()
            .find(|i| matches!(&i.paths[..], [p] if matches!(&p[..], [PathStep::Field(f)] if &**f == field)))
    }

    /// The keys a document has in all indexes.
    pub fn keys_of(&self, document: &Value) -> Vec<(Id, Key)> {
        self.indexes.iter().filter(|i| i.status != IndexStatus::Failed).map(|i| (i.id, i.key_of(document))).collect()
    }

    /// Types and not-null constraints of declared columns. Defaults are filled in by `default`, called for each column
    /// whose field is absent (also if it has no default: identity columns are its business too); a null in a declared
    /// column is stored as an absent field.
    pub fn check_document(
        &self,
        document: &mut Struct,
        default: &mut dyn FnMut(&Column) -> Result<Option<Value>>,
    ) -> Result<()> {
        if !self.is_declared() {
            return Ok(());
        }
        for column in &self.columns {
            if document.get(&column.name).is_none()
                && let Some(value) = default(column)?
            {
                document.fields.push((Symbol::from(&column.name), value));
            }
        }
        self.check_types(document)
    }

    /// As [`Table::check_document`], without defaults: for updates.
    pub fn check_types(&self, document: &mut Struct) -> Result<()> {
        if !self.is_declared() {
            return Ok(());
        }
        for (name, _) in &document.fields {
            let name = name.text().unwrap_or("$0");
            if self.column(name).is_none() && name != SALT_FIELD {
                return Err(QueryError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{name}\" of relation \"{}\" does not exist", self.name),
                ));
            }
        }
        // A declared column's null is an absent field, whatever its type; jsonb's own null is kept apart by the executor.
        document.fields.retain(|(_, value)| !matches!(value, Value::Null(_)));
        self.round_times(document)?;
        for column in &self.columns {
            match document.get(&column.name) {
                None if column.not_null => return Err(self.not_null(column)),
                Some(Value::String(s)) if column.ty.is_text() && s.contains('\0') => {
                    return Err(QueryError::zero_byte().detail(format!("Column \"{}\".", column.name)));
                }
                Some(value) if !column.ty.accepts(value) => {
                    return Err(QueryError::new(
                        SqlState::DATATYPE_MISMATCH,
                        format!("column \"{}\" is of type {} but the value is not", column.name, column.ty),
                    )
                    .detail(format!("The value is of Ion type {:?}.", value.ion_type())));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn round_times(&self, document: &mut Struct) -> Result<()> {
        for (column, digits) in self.columns.iter().filter_map(|column| Some((column, column.precision?))) {
            let field = document.fields.iter_mut().find(|(name, _)| name.text() == Some(&*column.name));
            if let Some((_, value)) = field {
                *value = precision::rounded(std::mem::replace(value, Value::NULL), &column.ty, digits)?;
            }
        }
        Ok(())
    }

    fn not_null(&self, column: &Column) -> QueryError {
        QueryError::new(
            SqlState::NOT_NULL_VIOLATION,
            format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name, self.name
            ),
        )
        .about_column(&self.name, &column.name)
    }

    /// The error for a document that a check constraint refuses (23514).
    pub fn check_violation(&self, check: &Check) -> QueryError {
        QueryError::new(
            SqlState::CHECK_VIOLATION,
            format!("new row for relation \"{}\" violates check constraint \"{}\"", self.name, check.name),
        )
        .detail(format!("The constraint is CHECK ({}).", check.text))
        .about_constraint(&self.name, &check.name)
    }
}

impl Column {
    /// Takes no value that is given to it, unless a statement overrides that.
    pub fn is_always_identity(&self) -> bool {
        self.identity == Some(Identity::Always)
    }

    /// The error for a value that an INSERT gives it (428C9).
    pub fn no_value_of_ones_own(&self) -> QueryError {
        self.generated_always(format!("cannot insert a non-DEFAULT value into column \"{}\"", self.name))
    }

    /// The error for an UPDATE to anything but DEFAULT (428C9).
    pub fn only_default(&self) -> QueryError {
        self.generated_always(format!("column \"{}\" can only be updated to DEFAULT", self.name))
    }

    fn generated_always(&self, message: String) -> QueryError {
        QueryError::new(SqlState::GENERATED_ALWAYS, message)
            .detail(format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", self.name))
    }
}

impl Index {
    /// A primary key or a unique constraint.
    pub fn is_constraint(&self) -> bool {
        self.unique && !self.only_index
    }

    /// The key a document has in this index.
    pub fn key_of(&self, document: &Value) -> Key {
        Key::of(self.paths.iter().map(|path| value_at(document, path)))
    }

    /// Whether a document's key takes part in uniqueness: no part of it is null or missing.
    pub fn key_is_complete(&self, document: &Value) -> bool {
        self.paths.iter().all(|path| value_at(document, path).is_some_and(|v| !v.is_null()))
    }

    /// Usable for a view at this position.
    pub fn covers(&self, position: u64) -> bool {
        self.status == IndexStatus::Online && position >= self.from_position
    }

    /// The paths as text: `name, owner.PersonId, list[0]`.
    pub fn paths_text(&self) -> String {
        self.paths.iter().map(|p| path_text(p)).collect::<Vec<_>>().join(", ")
    }
}

impl TableStatus {
    pub fn text(self) -> &'static str {
        match self {
            TableStatus::Active => "ACTIVE",
            TableStatus::Inactive => "INACTIVE",
        }
    }
}

impl IndexStatus {
    pub fn text(self) -> &'static str {
        match self {
            IndexStatus::Building => "BUILDING",
            IndexStatus::Online => "ONLINE",
            IndexStatus::Failed => "FAILED",
        }
    }
}

/// The value at a path, or `None` if it is missing.
pub fn value_at<'a>(document: &'a Value, path: &[PathStep]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, step| match (step, value.unannotated()) {
        (PathStep::Field(name), Value::Struct(s)) => s.get(name),
        (PathStep::Element(at), Value::List(items) | Value::Sexp(items)) => items.get(*at as usize),
        _ => None,
    })
}

/// A path as text: `owner.PersonId`, `list[0]`, names that are not plain in double quotes.
pub fn path_text(path: &[PathStep]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            PathStep::Element(at) => out.push_str(&format!("[{at}]")),
            PathStep::Field(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !name.starts_with(|c: char| c.is_ascii_digit())
                    && !name.is_empty();
                match plain {
                    true => out.push_str(name),
                    false => out.push_str(&format!("\"{}\"", name.replace('"', "\"\""))),
                }
            }
        }
    }
    out
}
