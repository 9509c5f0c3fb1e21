//! The catalogue: which tables and indexes there are (DESIGN section 7).
//!
//! Its truth is two system tables of the ledger itself, so definitions are journaled, provable and have a history. What
//! is here in memory is derived from them, immutable, and replaced as a whole: a transaction keeps the one of its
//! snapshot.

pub mod ddl;
pub mod system_tables;
mod table;
pub mod virtual_tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledgerstone_digest::id::Id;

pub use table::{
    Check, Column, Index, IndexStatus, METADATA_FIELDS, PathStep, SALT_FIELD, Table, TableStatus, path_text, value_at,
};
pub use virtual_tables::{VirtualTable, virtual_table};

/// Versions given out in this process; 0 is the empty catalogue's.
static NEXT_VERSION: AtomicU64 = AtomicU64::new(1);

/// All tables and indexes at one position.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Another one for every state, in this process; plans are cached under it. Two ledgers may share the empty one's.
    pub version: u64,
    tables: BTreeMap<Id, Arc<Table>>,
    names: BTreeMap<Arc<str>, Id>,
    indexes: BTreeMap<Id, Id>,
    comment: Option<Arc<str>>,
}

impl Catalogue {
    /// The active table of this name; case matters.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.names.get(name).and_then(|id| self.tables.get(id))
    }

    /// Any table, dropped ones included.
    pub fn table_by_id(&self, id: &Id) -> Option<&Arc<Table>> {
        self.tables.get(id)
    }

    /// Every table, dropped ones included, in order of creation.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Active tables by name.
    pub fn active_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.names.values().filter_map(|id| self.tables.get(id))
    }

    /// An index and its table, by the index's id.
    pub fn index(&self, id: &Id) -> Option<(&Arc<Table>, &Arc<Index>)> {
        let table = self.tables.get(self.indexes.get(id)?)?;
        Some((table, table.indexes.iter().find(|i| i.id == *id)?))
    }

    /// An index of an active table and that table, by the index's name.
    pub fn index_by_name(&self, name: &str) -> Option<(&Arc<Table>, &Arc<Index>)> {
        self.active_tables().find_map(|t| t.indexes.iter().find(|i| &*i.name == name).map(|i| (t, i)))
    }

    /// An active table whose name differs only in case, for a hint.
    pub fn similar(&self, name: &str) -> Option<&Arc<str>> {
        self.names.keys().find(|n| n.eq_ignore_ascii_case(name) && &***n != name)
    }

    /// The comment on the ledger as a whole.
    pub fn comment(&self) -> Option<&Arc<str>> {
        self.comment.as_ref()
    }

    pub(crate) fn set_comment(&mut self, comment: Option<Arc<str>>) {
        self.comment = comment;
        self.version = NEXT_VERSION.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a table in place of the one with its id, under a new version.
    pub(crate) fn put_table(&mut self, table: Table) {
        if let Some(old) = self.tables.get(&table.id) {
            if self.names.get(&old.name) == Some(&table.id) {
                self.names.remove(&old.name);
            }
            for index in &old.indexes {
                self.indexes.remove(&index.id);
            }
        }
        if table.status == TableStatus::Active {
            self.names.insert(table.name.clone(), table.id);
        }
        for index in &table.indexes {
            self.indexes.insert(index.id, table.id);
        }
        self.tables.insert(table.id, Arc::new(table));
        // Never the number of another state, also of one that a transaction made for itself and gave up.
        self.version = NEXT_VERSION.fetch_add(1, Ordering::Relaxed);
    }
}
