//! Judging transactions against each other (DESIGN section 7): what has been written lately, published or pending, and
//! the [`Validator`] that holds every transaction against it on the sequencer's thread.
//!
//! A transaction conflicts when something it read was written at or after its snapshot. Writes are kept back to the
//! oldest open snapshot, within [`DatabaseOptions::recent_writes_bytes_max`](crate::DatabaseOptions): a transaction whose
//! snapshot is older than what is kept cannot be judged and gets 40001.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError};

use ledgerstone_digest::id::Id;
use ledgerstone_journal::{CommitError, Committed, Sequence};

use super::Doc;
use super::payload::{Load, Payload};
use super::pending::PendingDocs;
use super::read_set::ReadSet;
use crate::catalogue::Catalogue;
use crate::database::state::State;
use crate::error::{QueryError, SqlState};
use crate::index::{Key, Rows};

/// About what a write (a document, key, table or name) takes in the log and in its map, both of which grow by doubling.
const TOUCH_BYTES: usize = 160;
/// About what the key of a load takes beside its own bytes.
const LOADED_KEY_BYTES: usize = 64;
/// So many loads are held in memory as they came, each of which is searched for every key; the keys of one more are noted
/// one by one.
const LOADS_MAX: usize = 16;
/// A load of so many documents is never noted one by one.
const LOAD_LARGE_MIN: usize = 4096;
/// How many transactions pass between two looks at what can be forgotten.
const PRUNE_EVERY: u32 = 256;

/// What has been written since the oldest open snapshot.
#[derive(Default)]
pub struct RecentWrites {
    /// Snapshots below this cannot be judged any more.
    floor: u64,
    /// The last position written at.
    newest: u64,
    log: VecDeque<(u64, Touch)>,
    /// About what `log`, the maps and `loads` take in memory.
    bytes: usize,
    documents: HashMap<(Id, Id), u64>,
    keys: HashMap<Id, BTreeMap<Key, u64>>,
    tables: HashMap<Id, u64>,
    definitions: HashMap<Id, u64>,
    names: HashMap<Arc<str>, u64>,
    /// Who holds a key of a unique index, for keys written lately; the row index may not know yet.
    holders: HashMap<(Id, Key), (u64, Option<Id>)>,
    /// Client tokens of transactions that are not published yet.
    tokens: HashMap<Arc<str>, u64>,
    pending: PendingDocs,
    /// Loads, ascending by position: their keys stay in the order they came in. Nobody can have read their documents
    /// before, whose ids were made for them.
    loads: Vec<Loaded>,
}

/// The keys that a load has written.
struct Loaded {
    position: u64,
    indexes: Vec<LoadedKeys>,
}

/// Those of one index; they are not none.
struct LoadedKeys {
    index: Id,
    unique: bool,
    keys: Arc<BTreeSet<(Key, Id)>>,
    first: Key,
    last: Key,
}

impl Loaded {
    fn new(load: &Load, unique: &[Id], position: u64) -> Loaded {
        let of_index = |(index, keys): (&Id, &Arc<BTreeSet<(Key, Id)>>)| {
            let ((first, _), (last, _)) = keys.first().zip(keys.last())?;
            let (first, last) = (first.clone(), last.clone());
            Some(LoadedKeys { index: *index, unique: unique.contains(index), keys: Arc::clone(keys), first, last })
        };
        Loaded { position, indexes: load.keys.iter().filter_map(of_index).collect() }
    }

    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        TOUCH_BYTES + self.indexes.iter().map(|of| of.keys.len() * (LOADED_KEY_BYTES + of.first.len())).sum::<usize>()
    }

    fn of(&self, index: Id) -> Option<&LoadedKeys> {
        self.indexes.iter().find(|keys| keys.index == index)
    }
}

impl LoadedKeys {
    /// The first entry whose key is not below `low`.
    fn from(&self, low: &Key) -> Option<&(Key, Id)> {
        // Loads mostly have keys near each other, and far from those of others.
        match *low <= self.first {
            true => self.keys.first(),
            false if *low > self.last => None,
            false => self.keys.range((low.clone(), Id::ZERO)..).next(),
        }
    }
}

#[derive(Debug, Clone)]
enum Touch {
    Document(Id, Id),
    Key(Id, Key),
    Table(Id),
    Definition(Id),
    Name(Arc<str>),
    Holder(Id, Key),
    Token(Arc<str>),
}

impl Touch {
    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        match self {
            Touch::Key(_, key) | Touch::Holder(_, key) => TOUCH_BYTES + key.len(),
            Touch::Name(text) | Touch::Token(text) => TOUCH_BYTES + text.len(),
            Touch::Document(..) | Touch::Table(_) | Touch::Definition(_) => TOUCH_BYTES,
        }
    }
}

/// Something read that was written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Document {
        table: Id,
        id: Id,
        position: u64,
    },
    Key {
        table: Id,
        index: Id,
        position: u64,
    },
    Table {
        table: Id,
        position: u64,
    },
    Definition {
        table: Id,
        position: u64,
    },
    Name {
        name: Arc<str>,
        position: u64,
    },
    /// The snapshot is older than what is kept.
    TooOld {
        floor: u64,
    },
}

impl RecentWrites {
    /// The first thing found in a read set that was written at or after `snapshot`.
    pub fn changed_since(&self, snapshot: u64, reads: &ReadSet) -> Option<Changed> {
        if self.newest < snapshot || reads.is_empty() {
            return None;
        }
        if snapshot < self.floor {
            return Some(Changed::TooOld { floor: self.floor });
        }
        let late = |position: Option<&u64>| position.copied().filter(|p| *p >= snapshot);
        for table in &reads.definitions {
            if let Some(position) = late(self.definitions.get(table)) {
                return Some(Changed::Definition { table: *table, position });
            }
        }
        for name in &reads.names {
            if let Some(position) = late(self.names.get(name)) {
                return Some(Changed::Name { name: name.clone(), position });
            }
        }
        for table in &reads.tables {
            if let Some(position) = late(self.tables.get(table)) {
                return Some(Changed::Table { table: *table, position });
            }
        }
        for (table, id) in &reads.documents {
            if let Some(position) = late(self.documents.get(&(*table, *id))) {
                return Some(Changed::Document { table: *table, id: *id, position });
            }
        }
        if let Some(changed) = self.loaded_since(snapshot, reads) {
            return Some(changed);
        }
        for (table, index, key) in &reads.keys {
            let Some(keys) = self.keys.get(index) else { continue };
            let begins = keys.range(key..).take_while(|(k, _)| key.is_prefix_of(k));
            if let Some(position) = begins.map(|(_, p)| *p).find(|p| *p >= snapshot) {
                return Some(Changed::Key { table: *table, index: *index, position });
            }
        }
        for range in &reads.ranges {
            let Some(keys) = self.keys.get(&range.index) else { continue };
            if range.high.as_ref().is_some_and(|h| *h <= range.low) {
                continue;
            }
            let high = range.high.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let inside = keys.range::<Key, _>((Bound::Included(&range.low), high));
            if let Some(position) = inside.map(|(_, p)| *p).find(|p| *p >= snapshot) {
                return Some(Changed::Key { table: range.table, index: range.index, position });
            }
        }
        None
    }

    /// A key read that a load has written since.
    fn loaded_since(&self, snapshot: u64, reads: &ReadSet) -> Option<Changed> {
        for load in self.loads.iter().filter(|load| load.position >= snapshot) {
            let position = load.position;
            let first = |index, low: &Key| load.of(index)?.from(low).map(|(key, _)| key.clone());
            for (table, index, key) in &reads.keys {
                if first(*index, key).is_some_and(|found| key.is_prefix_of(&found)) {
                    return Some(Changed::Key { table: *table, index: *index, position });
                }
            }
            for range in &reads.ranges {
                let before_high = |found: Key| range.high.as_ref().is_none_or(|high| found < *high);
                if first(range.index, &range.low).is_some_and(before_high) {
                    return Some(Changed::Key { table: range.table, index: range.index, position });
                }
            }
        }
        None
    }

    /// Whether all that was written at or after a snapshot is noted here.
    pub fn knows_since(&self, snapshot: u64) -> bool {
        snapshot >= self.floor
    }

    /// Whether a table is as it was at a snapshot.
    pub fn is_untouched(&self, table: Id, snapshot: u64) -> bool {
        self.knows_since(snapshot) && self.tables.get(&table).is_none_or(|position| *position < snapshot)
    }

    /// Who holds a key, if it was written lately.
    pub fn holder(&self, index: Id, key: &Key) -> Option<Option<Id>> {
        let single = self.holders.get(&(index, key.clone())).copied();
        let loaded = self.loads.iter().rev().find_map(|load| {
            let (found, id) = load.of(index).filter(|keys| keys.unique)?.from(key)?;
            (found == key).then_some((load.position, Some(*id)))
        });
        // None comes first, and of two the later one is right.
        single.max(loaded).map(|(_, holder)| holder)
    }

    /// A document as its last writer leaves it, if that stands at or after `snapshot` and is noted.
    pub fn pending(&self, table: Id, id: Id, snapshot: u64) -> Option<&Arc<Doc>> {
        let written_at = self.documents.get(&(table, id)).copied().filter(|position| *position >= snapshot)?;
        self.pending.get(table, id, written_at)
    }

    /// Takes in what a transaction writes at a position.
    fn take_in(&mut self, payload: &Payload, token: Option<&Arc<str>>, position: u64) {
        self.newest = self.newest.max(position);
        let is_whole = |load: &&Load| load.documents >= LOAD_LARGE_MIN || self.loads.len() < LOADS_MAX;
        let load = payload.load.as_ref().filter(is_whole);
        if let Some(load) = load {
            load.tables.iter().for_each(|table| self.touch(position, Touch::Table(*table)));
            let load = Loaded::new(load, &payload.unique, position);
            self.bytes += load.bytes();
            self.loads.push(load);
        }
        let singly = if load.is_some() { &[][..] } else { &payload.writes };
        for write in singly {
            self.touch(position, Touch::Document(write.table, write.id));
            if self.tables.get(&write.table) != Some(&position) {
                self.touch(position, Touch::Table(write.table));
            }
            // What is given up first, so that a key passed on inside the transaction ends with its new holder.
            for (index, old) in write.lost() {
                self.touch(position, Touch::Key(index, old.clone()));
                let passed_on = |holder: Option<Id>| holder.is_some_and(|holder| holder != write.id);
                if payload.is_unique(index) && !self.holder(index, old).is_some_and(passed_on) {
                    self.hold(index, old, None, position);
                }
            }
        }
        for write in singly {
            for (index, new) in write.won() {
                self.touch(position, Touch::Key(index, new.clone()));
            }
            for (index, new) in payload.claims(write) {
                self.hold(index, new, Some(write.id), position);
            }
        }
        for table in &payload.definitions {
            self.touch(position, Touch::Definition(*table));
        }
        for name in &payload.names {
            self.touch(position, Touch::Name(name.clone()));
        }
        if let Some(token) = token {
            self.touch(position, Touch::Token(token.clone()));
        }
    }

    fn hold(&mut self, index: Id, key: &Key, holder: Option<Id>, position: u64) {
        self.holders.insert((index, key.clone()), (position, holder));
        self.note(position, Touch::Holder(index, key.clone()));
    }

    fn touch(&mut self, position: u64, touch: Touch) {
        match &touch {
            Touch::Document(table, id) => drop(self.documents.insert((*table, *id), position)),
            Touch::Key(index, key) => drop(self.keys.entry(*index).or_default().insert(key.clone(), position)),
            Touch::Table(id) => drop(self.tables.insert(*id, position)),
            Touch::Definition(id) => drop(self.definitions.insert(*id, position)),
            Touch::Name(name) => drop(self.names.insert(name.clone(), position)),
            Touch::Token(token) => drop(self.tokens.insert(token.clone(), position)),
            Touch::Holder(..) => {}
        }
        self.note(position, touch);
    }

    fn note(&mut self, position: u64, touch: Touch) {
        self.bytes += touch.bytes();
        self.log.push_back((position, touch));
    }

    /// Forgets writes below `floor`, which no open snapshot can conflict with and the row index has taken in; and more of
    /// the oldest, if all of them take more than `bytes_max` and the row index has taken them in.
    fn prune(&mut self, floor: u64, published: u64, bytes_max: usize) {
        while let Some(load) = self.loads.first() {
            let crowded = self.bytes > bytes_max && load.position < published;
            if load.position >= floor && !crowded {
                break;
            }
            self.floor = self.floor.max(load.position + 1);
            self.bytes -= load.bytes();
            self.loads.remove(0);
        }
        while let Some((position, _)) = self.log.front() {
            let crowded = self.bytes > bytes_max && *position < published;
            if *position >= floor && !crowded {
                break;
            }
            if let Some((position, touch)) = self.log.pop_front() {
                self.floor = self.floor.max(position + 1);
                self.forget(position, touch);
            }
        }
    }

    /// Takes what has been taken out of the log out of its map.
    fn forget(&mut self, position: u64, touch: Touch) {
        fn remove<K: std::hash::Hash + Eq>(map: &mut HashMap<K, u64>, key: &K, position: u64) {
            if map.get(key) == Some(&position) {
                map.remove(key);
            }
        }
        self.bytes -= touch.bytes();
        match touch {
            Touch::Document(table, id) => remove(&mut self.documents, &(table, id), position),
            Touch::Table(id) => remove(&mut self.tables, &id, position),
            Touch::Definition(id) => remove(&mut self.definitions, &id, position),
            Touch::Name(name) => remove(&mut self.names, &name, position),
            Touch::Token(token) => remove(&mut self.tokens, &token, position),
            Touch::Key(index, key) => {
                if let Some(keys) = self.keys.get_mut(&index) {
                    if keys.get(&key) == Some(&position) {
                        keys.remove(&key);
                    }
                    if keys.is_empty() {
                        self.keys.remove(&index);
                    }
                }
            }
            Touch::Holder(index, key) => {
                let slot = (index, key);
                if self.holders.get(&slot).is_some_and(|(p, _)| *p == position) {
                    self.holders.remove(&slot);
                }
            }
        }
    }

    /// Everything at or after `published` never happened. What stood there before is not known any more, so the places
    /// count as written just before: too strict for older snapshots, right for new ones.
    fn drop_pending(&mut self, published: u64) {
        while let Some(load) = self.loads.pop_if(|load| load.position >= published) {
            self.bytes -= load.bytes();
        }
        while self.log.back().is_some_and(|(position, _)| *position >= published) {
            let Some((position, touch)) = self.log.pop_back() else { break };
            let known = match &touch {
                Touch::Holder(..) | Touch::Token(_) => false,
                Touch::Document(table, id) => self.documents.get(&(*table, *id)) == Some(&position),
                Touch::Key(index, key) => self.keys.get(index).and_then(|k| k.get(key)) == Some(&position),
                Touch::Table(id) => self.tables.get(id) == Some(&position),
                Touch::Definition(id) => self.definitions.get(id) == Some(&position),
                Touch::Name(name) => self.names.get(name) == Some(&position),
            };
            self.forget(position, touch.clone());
            if known && let Some(before) = published.checked_sub(1) {
                match touch {
                    Touch::Document(table, id) => drop(self.documents.insert((table, id), before)),
                    Touch::Key(index, key) => drop(self.keys.entry(index).or_default().insert(key, before)),
                    Touch::Table(id) => drop(self.tables.insert(id, before)),
                    Touch::Definition(id) => drop(self.definitions.insert(id, before)),
                    Touch::Name(name) => drop(self.names.insert(name, before)),
                    Touch::Holder(..) | Touch::Token(_) => {}
                }
            }
        }
        self.newest = self.newest.min(published.saturating_sub(1));
        self.pending.clear();
    }
}

impl Changed {
    /// What changed, in words: the detail of a 40001.
    pub fn describe(&self, catalogue: &Catalogue) -> String {
        let table_name = |id: &Id| {
            catalogue.table_by_id(id).map_or_else(|| format!("table {id}"), |t| format!("table \"{}\"", t.name))
        };
        match self {
            Changed::Document { table, id, position } => {
                format!("document {id} of {} was changed at position {position}", table_name(table))
            }
            Changed::Key { table, index, position } => {
                let name = catalogue.index(index).map_or_else(|| index.to_string(), |(_, i)| format!("\"{}\"", i.name));
                format!("keys of index {name} of {} were changed at position {position}", table_name(table))
            }
            Changed::Table { table, position } => {
                format!("{}, read as a whole, was changed at position {position}", table_name(table))
            }
            Changed::Definition { table, position } => {
                format!("the definition of {} was changed at position {position}", table_name(table))
            }
            Changed::Name { name, position } => {
                format!("the name \"{name}\" was given or taken away at position {position}")
            }
            Changed::TooOld { floor } => format!(
                "the transaction's snapshot is older than what conflicts are kept for (position {floor}, recent_writes_bytes)"
            ),
        }
    }
}

/// The 40001 for a conflict.
pub fn conflict_error(detail: String) -> QueryError {
    QueryError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to a concurrent change")
        .detail(detail)
        .hint("Run the transaction again.")
}

/// Query's part in giving transactions their order.
pub struct Validator {
    state: Arc<State>,
    /// What may be kept for judging, in bytes.
    bytes_max: usize,
    since_pruned: u32,
}

impl Validator {
    /// `bytes_max`: what may be kept for judging.
    pub fn new(state: Arc<State>, bytes_max: usize) -> Validator {
        Validator { state, bytes_max, since_pruned: 0 }
    }
}

impl Validator {
    /// A conflict: the statement is run again here, on what is pending, if it came with the means. Whatever that does not
    /// settle is a conflict as before.
    fn run_again(
        &self,
        transaction: &mut ledgerstone_journal::Transaction,
        changed: &Changed,
    ) -> Result<(), CommitError> {
        let conflict = |changed: &Changed| CommitError::Conflict(changed.describe(&self.state.newest_catalogue()));
        if matches!(changed, Changed::Document { .. }) {
            self.state.heat_up();
        }
        let again = transaction.payload.downcast_mut::<Payload>().and_then(|payload| payload.again.take());
        let Some(again) = again else { return Err(conflict(changed)) };
        // An error that pending state causes may not be told before that state is durable: the session finds it itself.
        let Ok(Some(anew)) = (again.0)() else { return Err(conflict(changed)) };
        let Some(payload) = anew.payload.downcast_ref::<Payload>() else { return Err(conflict(changed)) };
        {
            let recent = self.state.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(changed) = recent.changed_since(payload.snapshot.at(), &payload.reads) {
                return Err(conflict(&changed));
            }
            if self.state.check_unique(&recent, payload).is_err() {
                return Err(conflict(changed));
            }
        }
        self.state.note_run_again();
        *transaction = anew;
        Ok(())
    }
}

impl Sequence for Validator {
    fn validate(&mut self, transaction: &mut ledgerstone_journal::Transaction) -> Result<(), CommitError> {
        let Some(payload) = transaction.payload.downcast_ref::<Payload>() else {
            return Err(refused(QueryError::internal("a transaction without its read set reached the sequencer")));
        };
        if let Some(why) = self.state.rows.overloaded() {
            let error = QueryError::new(SqlState::IO_ERROR, format!("the row index cannot take more: {why}"));
            return Err(refused(error.hint("Nothing was written. Writes resume when its files can be written again.")));
        }
        let recent = self.state.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(changed) = recent.changed_since(payload.snapshot.at(), &payload.reads) {
            drop(recent);
            return self.run_again(transaction, &changed);
        }
        if let Some(token) = &transaction.origin.client_token {
            let published = || self.state.rows.token(token).map_err(|error| refused(error.into()));
            if recent.tokens.contains_key(token) || published()?.is_some() {
                return Err(CommitError::Conflict(format!("client token \"{token}\" has just been used")));
            }
        }
        self.state.check_unique(&recent, payload).map_err(refused)
    }

    fn sequenced(&mut self, transaction: &ledgerstone_journal::Transaction, committed: &Committed) {
        let Some(payload) = transaction.payload.downcast_ref::<Payload>() else { return };
        let mut recent = self.state.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.take_in(payload, transaction.origin.client_token.as_ref(), committed.block_position);
        if self.state.cool_down() {
            recent.pending.take_in(transaction, payload, committed);
        }
        recent.pending.forget(self.state.published_before());
        self.since_pruned += 1;
        let crowded = recent.loads.len() >= LOADS_MAX / 2 || recent.bytes > self.bytes_max;
        if self.since_pruned >= PRUNE_EVERY || crowded {
            self.since_pruned = 0;
            let (oldest, published) = self.state.oldest_snapshot();
            recent.prune(oldest, published, self.bytes_max);
        }
    }

    fn dropped(&mut self) {
        let published = self.state.published();
        self.state.recent.lock().unwrap_or_else(PoisonError::into_inner).drop_pending(published);
    }
}

fn refused(error: QueryError) -> CommitError {
    CommitError::Refused(Box::new(error))
}
