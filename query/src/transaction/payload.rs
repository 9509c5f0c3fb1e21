//! What travels with a transaction to the sequencer and the publisher: what it read, and what its writes mean for
//! indexes.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Data;

use super::doc::{Salt, shown};
use super::overlay::Own;
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
    /// The unique ones among the indexes of the tables that are written.
    pub unique: Vec<Id>,
    /// All that is written, if that is a load.
    pub load: Option<Load>,
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
    pub own: Arc<Own>,
    pub salt: Option<Arc<[u8]>>,
    /// Keys lost and won by a document that was there before, of indexes in which the key is not the same as before. A new
    /// document wins all of its keys.
    pub changes: Vec<KeyChange>,
}

/// A document's key in one index changes.
#[derive(Debug)]
pub struct KeyChange {
    pub index: Id,
    pub old: Option<Key>,
    pub new: Option<Key>,
}

/// The keys of a transaction that only adds documents, many of them, and has held every key against its snapshot and
/// against its own when it was added.
#[derive(Debug)]
pub struct Load {
    pub tables: Vec<Id>,
    pub keys: HashMap<Id, Arc<BTreeSet<(Key, Id)>>>,
    pub documents: usize,
}

impl Write {
    /// The document, without its salt unless it is encoded; `None` if deleted.
    pub fn data(&self) -> Option<&Data> {
        self.own.data.as_ref()
    }

    /// The document without its salt, and the salt.
    pub fn shown(&self) -> Result<(Option<Arc<Value>>, Option<Salt>)> {
        let Some(data) = self.data() else { return Ok((None, None)) };
        let (value, salt) = shown(data)?;
        Ok((Some(value), salt.or_else(|| self.salt.as_ref().map(Salt::from))))
    }

    /// Its keys in all indexes.
    pub fn keys(&self) -> &[(Id, Key)] {
        self.own.keys()
    }

    /// Keys that it had and has no more, by index.
    pub fn lost(&self) -> impl Iterator<Item = (Id, &Key)> {
        self.changes.iter().filter_map(|change| Some((change.index, change.old.as_ref()?)))
    }

    /// Keys that it has and had not, by index.
    pub fn won(&self) -> impl Iterator<Item = (Id, &Key)> {
        let all = if self.own.base.is_none() { self.keys() } else { &[] };
        let changed = self.changes.iter().filter_map(|change| Some((change.index, change.new.as_ref()?)));
        all.iter().map(|(index, key)| (*index, key)).chain(changed)
    }
}

impl Payload {
    /// Keys that a write wins and that must be nobody else's: the index is unique and no part of the key is null or missing.
    pub fn claims<'a>(&'a self, write: &'a Write) -> impl Iterator<Item = (Id, &'a Key)> {
        write.won().filter(|(index, key)| self.is_unique(*index) && key.is_complete())
    }

    pub fn is_unique(&self, index: Id) -> bool {
        self.unique.contains(&index)
    }
}
