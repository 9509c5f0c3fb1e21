//! What is newer than the files: a bounded ordered map that takes every revision before it is published, and those like
//! it that are full and wait to be written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ledgerstone_digest::id::Id;

use super::entry::Value;
use super::run::Run;

/// Entries in order.
pub type Entries = BTreeMap<Box<[u8]>, Value>;

/// What an entry takes in memory beside its key, about.
const ENTRY_BYTES: usize = 64;

/// The map that takes what comes.
#[derive(Default)]
pub struct Delta {
    pub entries: Entries,
    pub bytes: usize,
    pub revisions: usize,
}

impl Delta {
    pub fn put(&mut self, key: Vec<u8>, value: Value) {
        self.bytes += key.len() + ENTRY_BYTES;
        self.entries.insert(key.into(), value);
    }
}

/// A delta that is full. It changes no more.
pub struct Frozen {
    pub entries: Entries,
    pub facts: Facts,
}

/// What is known beside the entries, as of one position.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Every revision before this is in, and no other. It may stand inside a block.
    pub position: u64,
    /// Documents that live, by table.
    pub counts: HashMap<Id, u64>,
    /// The indexes that there are.
    pub indexes: BTreeMap<Id, IndexFacts>,
    /// Keys of redacted revisions may be left in runs.
    pub purge: bool,
    /// What the index keeps for others.
    pub notes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexFacts {
    pub table: Id,
    /// Every document of its table has its key in it.
    pub complete: bool,
}

/// Everything but the delta. Replaced as a whole, so whoever holds one reads on undisturbed.
#[derive(Default, Clone)]
pub struct View {
    /// The oldest first. All of them are newer than all runs.
    pub frozen: Vec<Arc<Frozen>>,
    /// The oldest first.
    pub runs: Vec<Arc<Run>>,
}
