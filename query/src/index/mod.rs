//! The row index: from documents and keys to positions (DESIGN section 7). Derived: replaying the journal makes it anew.
//!
//! For every document it knows the positions of all its revisions, so history and AS OF are one seek, and for every index
//! which keys the document had from which position to which, so lookups are exact at any position the index covers.
//! Nothing it answers ever changes: what is visible at a position is decided by what stands before it. So readers need
//! no lock beyond the moment of a seek, and one publisher adds while they read.
//!
//! [`DiskRows`] is the one in use: a bounded delta in memory over files. [`MemoryRows`] says the same in the plainest way
//! and is what tests hold the other against.

pub mod disk;
pub mod key;
mod memory;

use std::path::{Path, PathBuf};

use ledgerstone_digest::id::Id;

pub use disk::DiskRows;
pub use key::{KEY_BYTES_MAX, Key};
pub use memory::MemoryRows;

/// Where a document stands at some position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowAt {
    pub id: Id,
    /// The position of the revision that is current there.
    pub position: u64,
}

/// A document found through an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAt {
    pub key: Key,
    pub id: Id,
    pub position: u64,
}

/// A revision entering the index.
pub struct NewRow<'a> {
    pub table: Id,
    pub id: Id,
    pub position: u64,
    pub deleted: bool,
    /// Its key in every index of its table; empty if deleted.
    pub keys: &'a [(Id, Key)],
    pub before: Before<'a>,
}

/// Which keys a document had before a revision.
pub enum Before<'a> {
    /// None: it is the document's first.
    Nothing,
    /// The same, but for these indexes.
    Other(Vec<(Id, Option<&'a Key>)>),
    /// Has to be asked for. `None`: cannot be known any more, because the data is gone.
    Ask(&'a dyn Fn() -> AskedKeys),
}

/// What [`Before::Ask`] answers.
pub type AskedKeys = Result<Option<Vec<(Id, Key)>>, IndexError>;

/// Why the index does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// What was asked of does not exist (any more).
    #[error("the index {0} is gone")]
    Gone(Id),
    /// A file is not what was written.
    #[error("{}: offset {offset}: {what}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    /// A file operation failed.
    #[error("{}: cannot {action}: {cause}", path.display())]
    File { path: PathBuf, action: &'static str, cause: String },
    /// What is in the index does not fit the journal.
    #[error("the index contradicts the journal: {0}")]
    Contradicts(String),
}

impl IndexError {
    pub(crate) fn damaged(path: &Path, offset: u64, what: &str) -> IndexError {
        IndexError::Damaged { path: path.to_owned(), offset, what: what.to_owned() }
    }

    pub(crate) fn file(path: &Path, action: &'static str, error: &std::io::Error) -> IndexError {
        IndexError::File { path: path.to_owned(), action, cause: error.to_string() }
    }
}

/// The row index of one ledger.
///
/// `at` is a snapshot: only what stands before it is seen.
pub trait Rows: Send + Sync {
    /// The current revision of a document, deletions excluded.
    fn document(&self, table: Id, id: Id, at: u64) -> Result<Option<u64>, IndexError>;

    /// All positions of a document's revisions before `at`, ascending, deletions included.
    fn revisions(&self, table: Id, id: Id, at: u64) -> Result<Vec<u64>, IndexError>;

    /// Up to `count_max` documents current at `at`, by id, after `after`.
    fn documents(&self, table: Id, after: Option<Id>, at: u64, count_max: usize) -> Result<Vec<RowAt>, IndexError>;

    /// Up to `count_max` documents that have any revision, deleted ones included, by id, after `after`.
    fn all_documents(&self, table: Id, after: Option<Id>, count_max: usize) -> Result<Vec<Id>, IndexError>;

    /// The documents whose key begins with `key` at `at`, by key and id.
    fn lookup(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<KeyAt>, IndexError>;

    /// The documents that had a key beginning with `key` at any time before `at`, now or once, by id.
    fn ever(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<Id>, IndexError>;

    /// Up to `count_max` documents with `low` ≤ key < `high` (bytes), by key and id, or from the end if `descending`.
    /// To go on, ask again `after` the last one.
    fn range(
        &self,
        table: Id,
        index: Id,
        range: &KeyRange,
        at: u64,
        count_max: usize,
    ) -> Result<Vec<KeyAt>, IndexError>;

    /// Who holds exactly this key now, in what is published; two at most are told.
    fn holders(&self, table: Id, index: Id, key: &Key) -> Result<Vec<Id>, IndexError>;

    /// Adds a revision. Positions ascend.
    fn add(&self, row: &NewRow<'_>) -> Result<(), IndexError>;

    /// Adds an index without entries. `complete`: its table is as new, so that none will be missing.
    fn add_index(&self, table: Id, index: Id, complete: bool);

    fn drop_index(&self, table: Id, index: Id);

    /// Adds to an index the key a document had just before `from_position`, if it existed then. Answers another current
    /// holder of the same key, if there is one.
    fn backfill(
        &self,
        table: Id,
        index: Id,
        id: Id,
        from_position: u64,
        position: u64,
        key: &Key,
    ) -> Result<Option<Id>, IndexError>;

    /// Forgets the keys of a document's revision that is no longer current: its data has been redacted, and a replay
    /// would not find them either. `keys`: its key in every index, if known.
    fn forget_keys(&self, table: Id, id: Id, position: u64, keys: Option<&[(Id, Key)]>) -> Result<(), IndexError>;

    /// Documents that are current now.
    fn count(&self, table: Id) -> usize;

    /// Notes that a client token committed a block.
    fn add_token(&self, token: &str, block: u64);

    /// The block that a client token committed.
    fn token(&self, token: &str) -> Result<Option<u64>, IndexError>;
}

/// A range of keys, half-open over bytes, and where to go on.
#[derive(Debug, Clone)]
pub struct KeyRange {
    pub low: Key,
    pub high: Option<Key>,
    pub descending: bool,
    /// The last one taken.
    pub after: Option<(Key, Id)>,
}
