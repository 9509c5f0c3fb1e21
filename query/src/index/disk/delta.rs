//! What is newer than the files: a bounded ordered map that takes every revision before it is published, and those like
//! it that are full and wait to be written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ledgerstone_digest::id::Id;

use super::entry::{self, Value};
use super::filter::Filter;
use super::run::Run;

/// Entries in order.
pub type Entries = BTreeMap<Box<[u8]>, Value>;

/// What an entry takes in memory beside its key, about.
const ENTRY_BYTES: usize = 64;

/// Items of the filter that a revision makes, about.
const ITEMS_PER_REVISION: usize = 4;

/// The map that takes what comes.
pub struct Delta {
    pub entries: Entries,
    /// As a run's: most reads are of what the delta does not have.
    pub filter: Filter,
    pub bytes: usize,
    pub revisions: usize,
}

impl Delta {
    /// `revisions_max`: about how many it will take.
    pub fn new(revisions_max: usize) -> Delta {
        // Whoever wants larger deltas gets a filter that says "perhaps" more often.
        let items = revisions_max.min(1 << 20) * ITEMS_PER_REVISION;
        Delta { entries: Entries::new(), filter: Filter::new(items as u64), bytes: 0, revisions: 0 }
    }

    pub fn put(&mut self, key: Vec<u8>, value: Value) {
        entry::filtered(&key, |hash| self.filter.add(hash));
        self.bytes += key.len() + ENTRY_BYTES;
        self.entries.insert(key.into(), value);
    }
}

/// A delta that is full. It changes no more.
pub struct Frozen {
    pub entries: Entries,
    pub filter: Filter,
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
