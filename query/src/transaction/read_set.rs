//! What a transaction has read: judged at commit against what has been written since its snapshot (DESIGN section 7).
//!
//! "Nothing there" is a read like any other: it is the key, the range, the name or the table that was read, not what was
//! found. The snapshot says at which position, so none is kept per entry.

use std::collections::HashSet;
use std::sync::Arc;

use ledgerstone_digest::id::Id;

use crate::index::Key;

/// Documents or keys of one table above which the whole table counts as read: memory stays bounded, and a transaction
/// that reads so much conflicts with nearly everything anyway.
pub const READS_PER_TABLE_MAX: usize = 100_000;

/// Everything read.
#[derive(Debug, Default, Clone)]
pub struct ReadSet {
    /// Whole tables.
    pub tables: HashSet<Id>,
    /// Table and document.
    pub documents: HashSet<(Id, Id)>,
    /// Keys or beginnings of keys: table, index, key.
    pub keys: HashSet<(Id, Id, Key)>,
    pub ranges: Vec<RangeRead>,
    /// Definitions of tables, with their indexes.
    pub definitions: HashSet<Id>,
    /// Names at which a table or index was looked for.
    pub names: HashSet<Arc<str>>,
}

/// Keys of an index from `low` to before `high`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRead {
    pub table: Id,
    pub index: Id,
    pub low: Key,
    pub high: Option<Key>,
}

impl ReadSet {
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
            && self.documents.is_empty()
            && self.keys.is_empty()
            && self.ranges.is_empty()
            && self.definitions.is_empty()
            && self.names.is_empty()
    }

    pub fn document(&mut self, table: Id, id: Id) {
        if !self.tables.contains(&table) && self.documents.insert((table, id)) {
            self.bound(table);
        }
    }

    pub fn key(&mut self, table: Id, index: Id, key: &Key) {
        if !self.tables.contains(&table) && self.keys.insert((table, index, key.clone())) {
            self.bound(table);
        }
    }

    /// A range is read, or an earlier read of it goes further: `slot` is what an earlier call answered.
    pub fn range(&mut self, slot: Option<usize>, read: RangeRead) -> Option<usize> {
        if self.tables.contains(&read.table) {
            return None;
        }
        match slot.and_then(|at| self.ranges.get_mut(at)) {
            Some(earlier) if earlier.index == read.index => {
                *earlier = read;
                slot
            }
            _ => {
                let table = read.table;
                self.ranges.push(read);
                if self.ranges.len() > READS_PER_TABLE_MAX {
                    self.table(table);
                    return None;
                }
                Some(self.ranges.len() - 1)
            }
        }
    }

    /// The whole table was read, or so much of it that it makes no difference.
    pub fn table(&mut self, table: Id) {
        if self.tables.insert(table) {
            self.documents.retain(|(t, _)| *t != table);
            self.keys.retain(|(t, _, _)| *t != table);
            // Ranges stay where they are: open iterators know them by number.
        }
    }

    /// A table's share is over the limit only if the sum is, so the shares are counted only then.
    fn bound(&mut self, table: Id) {
        if self.documents.len() + self.keys.len() > READS_PER_TABLE_MAX {
            let documents = self.documents.iter().filter(|(t, _)| *t == table).count();
            let keys = self.keys.iter().filter(|(t, _, _)| *t == table).count();
            // With many tables at work, the one being read gives way once it has its part.
            if documents + keys > READS_PER_TABLE_MAX / 8 {
                self.table(table);
            }
        }
    }
}
