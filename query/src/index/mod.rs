//! The row index: from documents and keys to positions (DESIGN section 7). Derived: replaying the journal makes it anew.
//!
//! For every document it knows the positions of all its revisions, so history and AS OF are one seek, and for every index
//! which keys the document had from which position to which, so lookups are exact at any position the index covers.
//! Nothing it answers ever changes: what is visible at a position is decided by what stands before it. So readers need
//! no lock beyond the moment of a seek, and one publisher adds while they read.
//!
//! Memory, with 8-byte positions and 16-byte ids: about 100 bytes per document, 8 per revision, and per index entry
//! (documents now, and every change of a key) about 80 bytes and the key.

pub mod key;
mod memory;

use ledgerstone_digest::id::Id;

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
#[derive(Debug)]
pub struct NewRow<'a> {
    pub table: Id,
    pub id: Id,
    pub position: u64,
    pub deleted: bool,
    /// Its key in every index of its table; empty if deleted.
    pub keys: &'a [(Id, Key)],
}

/// What was asked of an index that does not exist (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the index {0} is gone")]
pub struct IndexGone(pub Id);

/// The row index of one ledger. In memory for now ([`MemoryRows`]); an on-disk base can stand behind the same functions.
///
/// `at` is a snapshot: only what stands before it is seen.
pub trait Rows: Send + Sync {
    /// The current revision of a document, deletions excluded.
    fn document(&self, table: Id, id: Id, at: u64) -> Option<u64>;

    /// All positions of a document's revisions before `at`, ascending, deletions included.
    fn revisions(&self, table: Id, id: Id, at: u64) -> Vec<u64>;

    /// Up to `count_max` documents current at `at`, by id, after `after`.
    fn documents(&self, table: Id, after: Option<Id>, at: u64, count_max: usize) -> Vec<RowAt>;

    /// Up to `count_max` documents that have any revision before `at`, deleted ones included, by id, after `after`.
    fn all_documents(&self, table: Id, after: Option<Id>, count_max: usize) -> Vec<Id>;

    /// The documents whose key begins with `key` at `at`, by key and id.
    fn lookup(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<KeyAt>, IndexGone>;

    /// The documents that had a key beginning with `key` at any time before `at`, now or once, by id.
    fn ever(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<Id>, IndexGone>;

    /// Up to `count_max` documents with `low` ≤ key < `high` (bytes), by key and id, or from the end if `descending`.
    /// To go on, ask again `after` the last one.
    fn range(&self, table: Id, index: Id, range: &KeyRange, at: u64, count_max: usize)
    -> Result<Vec<KeyAt>, IndexGone>;

    /// Who holds exactly this key now, in what is published; two at most are told.
    fn holders(&self, table: Id, index: Id, key: &Key) -> Vec<Id>;

    /// Adds a revision. Positions ascend.
    fn add(&self, row: &NewRow<'_>);

    /// Adds an index without entries.
    fn add_index(&self, table: Id, index: Id);

    fn drop_index(&self, table: Id, index: Id);

    /// Adds to an index the key a document had just before `from_position`, if it existed then. Answers another current
    /// holder of the same key, if there is one.
    fn backfill(&self, table: Id, index: Id, id: Id, from_position: u64, position: u64, key: &Key) -> Option<Id>;

    /// Forgets the keys of a document's revision that is no longer current: its data has been redacted, and a replay
    /// would not find them either.
    fn forget_keys(&self, table: Id, id: Id, position: u64);

    /// Documents that are current now.
    fn count(&self, table: Id) -> usize;
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
