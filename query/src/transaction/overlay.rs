//! A transaction's own writes, laid over its snapshot: one entry per document with its net effect, and an undo log for
//! savepoints.
//!
//! Tables of entries are shared with open iterators and copied only when written while one is open, so an iterator sees
//! the writes made before it and none made after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::{Data, Encoded};

use super::Doc;
use super::doc::shown;
use crate::catalogue::Table;
use crate::error::Result;
use crate::index::Key;

/// All own writes.
#[derive(Debug, Default)]
pub struct Overlay {
    tables: HashMap<Id, Arc<TableOverlay>>,
    undo: Vec<Undo>,
    next_order: u64,
    /// Of the documents written, those written over included: the undo log holds them.
    bytes: usize,
}

/// Own writes to one table.
#[derive(Debug, Default, Clone)]
pub struct TableOverlay {
    pub documents: BTreeMap<Id, Arc<Own>>,
    /// Keys of the documents above, by index.
    keys: HashMap<Id, Arc<BTreeSet<(Key, Id)>>>,
}

/// The net effect on one document so far.
#[derive(Debug, Clone)]
pub struct Own {
    /// The published revision this replaces or deletes; `None`: the document is new.
    pub base: Option<Arc<Doc>>,
    /// `None`: deleted.
    pub data: Option<Data>,
    /// Statements that had a part in it.
    pub statements: Arc<[u32]>,
    /// It is as it was loaded: its keys were held against the snapshot and the documents before it.
    pub judged: bool,
    /// The order of first writes, in which revisions get their positions.
    pub order: u64,
    keys: Vec<(Id, Key)>,
}

/// Own writes to some tables as they were at one moment.
#[derive(Debug)]
pub struct OverlayView(HashMap<Id, Option<Arc<TableOverlay>>>);

impl OverlayView {
    /// `None`: it is not one of them.
    pub fn table(&self, table: &Id) -> Option<Option<&Arc<TableOverlay>>> {
        self.0.get(table).map(Option::as_ref)
    }
}

#[derive(Debug)]
struct Undo {
    table: Id,
    id: Id,
    before: Option<Arc<Own>>,
    bytes: usize,
}

impl Own {
    pub fn keys(&self) -> &[(Id, Key)] {
        &self.keys
    }

    /// The document without its salt; `None` if deleted.
    pub fn shown(&self) -> Result<Option<Arc<Value>>> {
        self.data.as_ref().map(|data| shown(data).map(|(value, _)| value)).transpose()
    }

    /// The version its revision gets.
    pub fn version(&self) -> u64 {
        self.base.as_ref().map_or(0, |b| b.version + 1)
    }
}

impl Overlay {
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How many documents it holds.
    pub fn len(&self) -> usize {
        self.tables.values().map(|t| t.documents.len()).sum()
    }

    pub fn table(&self, table: &Id) -> Option<&Arc<TableOverlay>> {
        self.tables.get(table)
    }

    pub fn tables(&self) -> impl Iterator<Item = (&Id, &Arc<TableOverlay>)> {
        self.tables.iter()
    }

    /// Some tables as they are now. Their entries are copied when they are next written to.
    pub fn view(&self, tables: &[Id]) -> OverlayView {
        OverlayView(tables.iter().map(|table| (*table, self.tables.get(table).cloned())).collect())
    }

    pub fn get(&self, table: &Id, id: &Id) -> Option<&Arc<Own>> {
        self.tables.get(table)?.documents.get(id)
    }

    /// Bytes of the documents written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes a document of so many bytes, with its keys in the table's indexes: `data` absent deletes it. `base` is what the
    /// snapshot holds, if this is the first write to it.
    pub fn write(
        &mut self,
        table: Id,
        id: Id,
        base: Option<Arc<Doc>>,
        (data, bytes): (Option<Data>, usize),
        keys: Vec<(Id, Key)>,
        statement: Option<u32>,
    ) {
        let before = self.get(&table, &id).cloned();
        let mut own = match &before {
            Some(own) => (**own).clone(),
            None => {
                self.next_order += 1;
                let (data, statements, keys) = (None, Arc::from([]), Vec::new());
                Own { base, data, statements, judged: false, order: self.next_order, keys }
            }
        };
        if let Some(statement) = statement
            && own.statements.last() != Some(&statement)
        {
            own.statements = own.statements.iter().copied().chain([statement]).collect();
        }
        own.judged = false;
        own.keys = keys;
        own.data = data;
        self.undo.push(Undo { table, id, before, bytes });
        self.bytes += bytes;
        self.put(table, id, Some(Arc::new(own)));
    }

    /// Adds a new document of so many bytes whose keys were judged.
    pub fn load(
        &mut self,
        table: Id,
        id: Id,
        (data, bytes): (Encoded, usize),
        keys: Vec<(Id, Key)>,
        statements: &Arc<[u32]>,
    ) {
        self.next_order += 1;
        let own = Own {
            base: None,
            data: Some(Data::Encoded(data)),
            statements: Arc::clone(statements),
            judged: true,
            order: self.next_order,
            keys,
        };
        self.undo.push(Undo { table, id, before: None, bytes });
        self.bytes += bytes;
        self.put(table, id, Some(Arc::new(own)));
    }

    /// How far the undo log is: a savepoint.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    pub fn rollback_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            if let Some(undo) = self.undo.pop() {
                self.bytes -= undo.bytes;
                self.put(undo.table, undo.id, undo.before);
            }
        }
    }

    /// Documents written since a mark, each once, in order of the first write since.
    pub fn written_since(&self, mark: usize) -> Vec<(Id, Id)> {
        let mut seen = std::collections::HashSet::new();
        let since = self.undo.get(mark..).unwrap_or(&[]);
        since.iter().map(|u| (u.table, u.id)).filter(|key| seen.insert(*key)).collect()
    }

    /// A table has other indexes now: its own documents' keys are made anew.
    pub fn reindex(&mut self, table: &Table) -> Result<()> {
        let Some(overlay) = self.tables.get(&table.id) else { return Ok(()) };
        let mut fresh = TableOverlay::default();
        for (id, own) in &overlay.documents {
            let mut own = (**own).clone();
            own.keys = own.shown()?.map(|data| table.keys_of(&data)).unwrap_or_default();
            own.judged = false;
            fresh.put(*id, Some(Arc::new(own)));
        }
        self.tables.insert(table.id, Arc::new(fresh));
        Ok(())
    }

    fn put(&mut self, table: Id, id: Id, own: Option<Arc<Own>>) {
        Arc::make_mut(self.tables.entry(table).or_default()).put(id, own);
    }
}

impl TableOverlay {
    /// The keys of all documents, by index.
    pub fn keys(&self) -> &HashMap<Id, Arc<BTreeSet<(Key, Id)>>> {
        &self.keys
    }

    /// Documents whose key in an index begins with `key`.
    pub fn lookup<'a>(&'a self, index: &Id, key: &'a Key) -> impl Iterator<Item = &'a (Key, Id)> {
        let keys = self.keys.get(index);
        let from = keys.map(|keys| keys.range((key.clone(), Id::ZERO)..));
        from.into_iter().flatten().take_while(move |(k, _)| key.is_prefix_of(k))
    }

    /// The first entry of an index with `low` ≤ key < `high`, after `after`; the last before it if `descending`.
    pub fn next_key(
        &self,
        index: &Id,
        low: &Key,
        high: Option<&Key>,
        after: Option<&(Key, Id)>,
        descending: bool,
    ) -> Option<(Key, Id)> {
        use std::ops::Bound;
        let keys = self.keys.get(index)?;
        if high.is_some_and(|h| h <= low) {
            return None;
        }
        let mut from = Bound::Included((low.clone(), Id::ZERO));
        let mut to = high.map_or(Bound::Unbounded, |h| Bound::Excluded((h.clone(), Id::ZERO)));
        if let Some(after) = after {
            match descending {
                false => from = Bound::Excluded(after.clone()),
                true => to = Bound::Excluded(after.clone()),
            }
        }
        match descending {
            false => keys.range((from, to)).next().cloned(),
            true => keys.range((from, to)).next_back().cloned(),
        }
    }

    fn put(&mut self, id: Id, own: Option<Arc<Own>>) {
        if let Some(before) = self.documents.remove(&id) {
            for (index, key) in &before.keys {
                if let Some(keys) = self.keys.get_mut(index) {
                    Arc::make_mut(keys).remove(&(key.clone(), id));
                }
            }
        }
        if let Some(own) = own {
            for (index, key) in &own.keys {
                Arc::make_mut(self.keys.entry(*index).or_default()).insert((key.clone(), id));
            }
            self.documents.insert(id, own);
        }
    }
}
