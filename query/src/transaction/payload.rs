//! What travels with a transaction to the sequencer and the publisher: what it read, and what its writes mean for
//! indexes.

use std::fmt;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;

use super::read_set::ReadSet;
use crate::database::state::OpenSnapshot;
use crate::error::Result;
use crate::index::Key;

/// Query's own part of a journal transaction.
#[derive(Debug)]
pub struct Payload {
    /// Open until this was judged and taken in, since what was written since is kept for open snapshots alone.
    pub snapshot: Arc<OpenSnapshot>,
    pub reads: ReadSet,
    /// One for each revision, in the same order.
    pub writes: Vec<Write>,
    /// Tables whose definition (or indexes) this changes.
    pub definitions: Vec<Id>,
    /// Names of tables and indexes given or taken away.
    pub names: Vec<Arc<str>>,
    /// Makes the transaction anew, for a statement that is one by itself and meets a conflict.
    pub again: Option<Again>,
}

/// Runs a statement again on the sequencer's thread, where nothing can come between what it reads and its place. It reads
/// pending documents, and answers a transaction whose other reads are still to be judged, or `None` if nothing would be
/// written.
pub struct Again(pub Box<dyn FnOnce() -> Result<Option<ledgerstone_journal::Transaction>> + Send + Sync>);

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

/// What one revision changes.
#[derive(Debug)]
pub struct Write {
    pub table: Id,
    pub id: Id,
    /// The document without its salt; `None` if deleted.
    pub data: Option<Arc<Value>>,
    pub salt: Option<Arc<[u8]>>,
    /// Its keys in all indexes.
    pub keys: Vec<(Id, Key)>,
    /// Keys lost and won, of indexes in which the key is not the same as before.
    pub changes: Vec<KeyChange>,
}

/// A document's key in one index changes.
#[derive(Debug)]
pub struct KeyChange {
    pub index: Id,
    /// The index is unique.
    pub unique: bool,
    /// The new key must be nobody else's: the index is unique and no part of the key is null or missing.
    pub claims: bool,
    pub old: Option<Key>,
    pub new: Option<Key>,
}
