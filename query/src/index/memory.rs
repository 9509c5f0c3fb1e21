//! The row index in memory: ordered maps per table, each table behind its own lock. Nothing in use keeps its rows here,
//! because memory grows with the ledger: it is the plain meaning that tests hold [`super::DiskRows`] against.
//!
//! An index keeps two maps. `current` holds (key, document) → the position the document has had the key from; `old`
//! holds (key, the position it lost the key at, document) → from. A lookup at a snapshot takes from both what covers it.
//! Snapshots are nearly always fresh, and a fresh one needs only the last few losses, so those are also kept in a short
//! queue; only AS OF far back walks `old`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ledgerstone_digest::id::Id;

use super::{IndexError, Key, KeyAt, KeyRange, NewRow, RowAt, Rows};

/// Losses of keys kept in order of position, for fresh snapshots.
const RECENT_MAX: usize = 4096;

/// The row index in memory.
#[derive(Default)]
pub struct MemoryRows {
    tables: RwLock<HashMap<Id, Arc<RwLock<TableRows>>>>,
    tokens: RwLock<HashMap<String, u64>>,
}

#[derive(Default)]
struct TableRows {
    /// Documents whose newest revision is not a deletion.
    live: BTreeMap<Id, Chain>,
    dead: BTreeMap<Id, Chain>,
    /// Positions of deletions, ascending.
    deaths: Vec<(u64, Id)>,
    indexes: HashMap<Id, IndexRows>,
}

/// The revisions of one document.
#[derive(Debug, Default)]
struct Chain {
    positions: Positions,
    /// Its key now in each index.
    keys: Vec<(Id, Key)>,
}

/// Most documents have few revisions: one stands without an allocation.
#[derive(Debug)]
enum Positions {
    One(u64),
    Many(Vec<u64>),
}

#[derive(Default)]
struct IndexRows {
    current: BTreeMap<(Key, Id), u64>,
    old: BTreeMap<(Key, u64, Id), u64>,
    recent: VecDeque<Loss>,
    /// Losses at positions below this may be missing from `recent`.
    recent_floor: u64,
}

/// A document had a key in [from, to).
#[derive(Debug, Clone)]
struct Loss {
    to: u64,
    key: Key,
    id: Id,
    from: u64,
}

impl Default for Positions {
    fn default() -> Self {
        Positions::Many(Vec::new())
    }
}

impl Positions {
    fn as_slice(&self) -> &[u64] {
        match self {
            Positions::One(position) => std::slice::from_ref(position),
            Positions::Many(positions) => positions,
        }
    }

    fn push(&mut self, position: u64) {
        match self {
            Positions::Many(positions) if positions.is_empty() => *self = Positions::One(position),
            Positions::One(first) => *self = Positions::Many(vec![*first, position]),
            Positions::Many(positions) => positions.push(position),
        }
    }

    /// The newest before `at`.
    fn before(&self, at: u64) -> Option<u64> {
        let positions = self.as_slice();
        // Nearly always the newest one.
        match positions.last() {
            Some(last) if *last < at => Some(*last),
            _ => positions.get(positions.partition_point(|p| *p < at).checked_sub(1)?).copied(),
        }
    }

    /// The oldest at or after `at`.
    fn from(&self, at: u64) -> Option<u64> {
        let positions = self.as_slice();
        positions.get(positions.partition_point(|p| *p < at)).copied()
    }

    fn last(&self) -> Option<u64> {
        self.as_slice().last().copied()
    }
}

impl TableRows {
    /// The current revision of a document at a snapshot.
    fn current(&self, id: Id, at: u64) -> Option<u64> {
        if let Some(chain) = self.live.get(&id) {
            return chain.positions.before(at);
        }
        let chain = self.dead.get(&id)?;
        let position = chain.positions.before(at)?;
        (chain.positions.last() != Some(position)).then_some(position)
    }

    fn chain(&self, id: &Id) -> Option<&Chain> {
        self.live.get(id).or_else(|| self.dead.get(id))
    }
}

impl IndexRows {
    fn lose(&mut self, key: Key, id: Id, to: u64) {
        let Some(from) = self.current.remove(&(key.clone(), id)) else { return };
        self.old.insert((key.clone(), to, id), from);
        self.recent.push_back(Loss { to, key, id, from });
        if self.recent.len() > RECENT_MAX
            && let Some(loss) = self.recent.pop_front()
        {
            self.recent_floor = loss.to + 1;
        }
    }

    /// Takes [position, next) out of what a document had its keys for.
    fn cut(&mut self, id: Id, position: u64, next: u64) {
        let covers = |from: u64, to: u64| from <= position && position < to;
        let old = self.old.iter().filter(|((_, to, other), from)| *other == id && covers(**from, *to));
        let old: Vec<(Key, u64, u64)> = old.map(|((key, to, _), from)| (key.clone(), *from, *to)).collect();
        for (key, from, to) in old {
            self.old.remove(&(key.clone(), to, id));
            if from < position {
                self.old.insert((key.clone(), position, id), from);
            }
            if next < to {
                self.old.insert((key, to, id), next);
            }
        }
        let current = self.current.iter().filter(|((_, other), from)| *other == id && covers(**from, u64::MAX));
        let current: Vec<(Key, u64)> = current.map(|((key, _), from)| (key.clone(), *from)).collect();
        for (key, from) in current {
            if from < position {
                self.old.insert((key.clone(), position, id), from);
            }
            self.current.insert((key, id), next);
        }
        // The queue of recent losses does not know: until new ones come, snapshots walk `old`.
        self.recent_floor = self.recent.back().map_or(0, |l| l.to + 1).max(self.recent_floor).max(next + 1);
        self.recent.clear();
    }

    /// What was lost after a snapshot that saw it, among keys from `low` to before `high` that are `wanted`. Once `enough`
    /// are found, the rest of the key they end in is all that is added.
    fn lost_after(
        &self,
        at: u64,
        low: &Key,
        high: Option<&Key>,
        enough: usize,
        wanted: impl Fn(&Key, Id) -> bool,
    ) -> Vec<(Key, Id)> {
        let inside = |key: &Key| key >= low && high.is_none_or(|h| key < h);
        let mut found: Vec<(Key, Id)> = Vec::new();
        if at >= self.recent_floor {
            let start = self.recent.partition_point(|l| l.to < at);
            for loss in self.recent.range(start..) {
                if loss.from < at && inside(&loss.key) && wanted(&loss.key, loss.id) {
                    found.push((loss.key.clone(), loss.id));
                }
            }
            return found;
        }
        let mut from = (low.clone(), at, Id::ZERO);
        loop {
            let Some(((key, to, id), since)) = self.old.range(&from..).next() else { return found };
            let done = found.len() >= enough && found.last().is_some_and(|(k, _)| k != key);
            if done || !inside(key) {
                return found;
            }
            if *to < at {
                // Skip what was lost before the snapshot: go to the key's first loss after it.
                from = (key.clone(), at, Id::ZERO);
                continue;
            }
            if *since < at && wanted(key, *id) {
                found.push((key.clone(), *id));
            }
            from = (key.clone(), *to, next_id(*id));
        }
    }
}

impl MemoryRows {
    pub fn new() -> MemoryRows {
        MemoryRows::default()
    }

    fn table(&self, id: Id) -> Option<Arc<RwLock<TableRows>>> {
        read(&self.tables).get(&id).cloned()
    }

    fn table_or_new(&self, id: Id) -> Arc<RwLock<TableRows>> {
        match self.table(id) {
            Some(table) => table,
            None => write(&self.tables).entry(id).or_default().clone(),
        }
    }
}

impl Rows for MemoryRows {
    fn document(&self, table: Id, id: Id, at: u64) -> Result<Option<u64>, IndexError> {
        Ok(self.table(table).and_then(|table| read(&table).current(id, at)))
    }

    fn revisions(&self, table: Id, id: Id, at: u64) -> Result<Vec<u64>, IndexError> {
        let Some(table) = self.table(table) else { return Ok(Vec::new()) };
        let table = read(&table);
        let Some(chain) = table.chain(&id) else { return Ok(Vec::new()) };
        Ok(chain.positions.as_slice().iter().copied().take_while(|p| *p < at).collect())
    }

    fn documents(&self, table: Id, after: Option<Id>, at: u64, count_max: usize) -> Result<Vec<RowAt>, IndexError> {
        let Some(table) = self.table(table) else { return Ok(Vec::new()) };
        let table = read(&table);
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows: Vec<RowAt> = table
            .live
            .range((low, Bound::Unbounded))
            .filter_map(|(id, chain)| chain.positions.before(at).map(|position| RowAt { id: *id, position }))
            .take(count_max)
            .collect();
        // Documents deleted since the snapshot are still there for it.
        let start = table.deaths.partition_point(|(position, _)| *position < at);
        let died = table.deaths.get(start..).unwrap_or(&[]);
        if died.is_empty() {
            return Ok(rows);
        }
        let still = |id: &Id| table.current(*id, at).map(|position| RowAt { id: *id, position });
        if died.len() <= RECENT_MAX {
            rows.extend(died.iter().filter(|(_, id)| after.is_none_or(|a| *id > a)).filter_map(|(_, id)| still(id)));
        } else {
            let dead = table.dead.range((low, Bound::Unbounded));
            rows.extend(dead.filter_map(|(id, _)| still(id)).take(count_max));
        }
        rows.sort_by_key(|r| r.id);
        rows.truncate(count_max);
        Ok(rows)
    }

    fn all_documents(&self, table: Id, after: Option<Id>, count_max: usize) -> Result<Vec<Id>, IndexError> {
        let Some(table) = self.table(table) else { return Ok(Vec::new()) };
        let table = read(&table);
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let live = table.live.range(range).map(|(id, _)| *id).take(count_max);
        let dead = table.dead.range(range).map(|(id, _)| *id).take(count_max);
        let mut ids: Vec<Id> = live.chain(dead).collect();
        ids.sort_unstable();
        ids.truncate(count_max);
        Ok(ids)
    }

    fn lookup(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<KeyAt>, IndexError> {
        let table = self.table(table).ok_or(IndexError::Gone(index))?;
        let table = read(&table);
        let rows = table.indexes.get(&index).ok_or(IndexError::Gone(index))?;
        let mut found = Vec::new();
        for ((k, id), from) in rows.current.range((key.clone(), Id::ZERO)..) {
            if !key.is_prefix_of(k) {
                break;
            }
            if *from < at
                && let Some(position) = table.current(*id, at)
            {
                found.push(KeyAt { key: k.clone(), id: *id, position });
            }
        }
        let before = found.len();
        if at < rows.recent_floor || rows.recent.back().is_some_and(|l| l.to >= at) {
            let high = key.after_prefix();
            for (key, id) in rows.lost_after(at, key, Some(&high), usize::MAX, |_, _| true) {
                if let Some(position) = table.current(id, at) {
                    found.push(KeyAt { key, id, position });
                }
            }
        }
        if found.len() > before {
            found.sort_by(|a, b| (&a.key, a.id).cmp(&(&b.key, b.id)));
        }
        Ok(found)
    }

    fn range(
        &self,
        table: Id,
        index: Id,
        range: &KeyRange,
        at: u64,
        count_max: usize,
    ) -> Result<Vec<KeyAt>, IndexError> {
        let table = self.table(table).ok_or(IndexError::Gone(index))?;
        let table = read(&table);
        let rows = table.indexes.get(&index).ok_or(IndexError::Gone(index))?;
        if range.high.as_ref().is_some_and(|h| *h <= range.low) {
            return Ok(Vec::new());
        }
        let mut found: Vec<(Key, Id)> = collect_current(rows, range, at, count_max);
        let full = found.len() == count_max;
        let last = found.last().cloned();
        let before = found.len();
        let beyond = |key: &Key, id: Id, than: &(Key, Id)| match range.descending {
            true => (key, id) < (&than.0, than.1),
            false => (key, id) > (&than.0, than.1),
        };
        let wanted = |key: &Key, id: Id| {
            range.after.as_ref().is_none_or(|a| beyond(key, id, a))
                && (!full || last.as_ref().is_some_and(|l| !beyond(key, id, l)))
        };
        // Going up, nothing before where we are can be wanted, and the first ones are enough; going down, the last ones.
        let (low, enough) = match &range.after {
            _ if range.descending => (&range.low, usize::MAX),
            Some((key, _)) => (key, count_max),
            None => (&range.low, count_max),
        };
        found.extend(rows.lost_after(at, low, range.high.as_ref(), enough, wanted));
        if found.len() > before {
            found.sort();
            if range.descending {
                found.reverse();
            }
            found.truncate(count_max);
        }
        Ok(found
            .into_iter()
            .filter_map(|(key, id)| table.current(id, at).map(|position| KeyAt { key, id, position }))
            .collect())
    }

    fn ever(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<Id>, IndexError> {
        let table = self.table(table).ok_or(IndexError::Gone(index))?;
        let table = read(&table);
        let rows = table.indexes.get(&index).ok_or(IndexError::Gone(index))?;
        let end = key.after_prefix();
        let now = rows.current.range((key.clone(), Id::ZERO)..).take_while(|((k, _), _)| *k < end);
        let once = rows.old.range((key.clone(), 0, Id::ZERO)..).take_while(|((k, _, _), _)| *k < end);
        let now = now.map(|((_, id), from)| (*id, *from));
        let once = once.map(|((_, _, id), from)| (*id, *from));
        let mut ids: Vec<Id> = now.chain(once).filter(|(_, from)| *from < at).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn holders(&self, table: Id, index: Id, key: &Key) -> Result<Vec<Id>, IndexError> {
        let Some(table) = self.table(table) else { return Ok(Vec::new()) };
        let table = read(&table);
        let Some(rows) = table.indexes.get(&index) else { return Ok(Vec::new()) };
        let from = rows.current.range((key.clone(), Id::ZERO)..);
        Ok(from.take_while(|((k, _), _)| k == key).map(|((_, id), _)| *id).take(2).collect())
    }

    fn add(&self, row: &NewRow<'_>) -> Result<(), IndexError> {
        let table = self.table_or_new(row.table);
        let mut table = write(&table);
        let TableRows { live, dead, deaths, indexes } = &mut *table;
        let mut chain = live.remove(&row.id).unwrap_or_default();
        chain.positions.push(row.position);
        let old_keys = std::mem::take(&mut chain.keys);
        for (index, key) in row.keys {
            let Some(rows) = indexes.get_mut(index) else { continue };
            let before = old_keys.iter().find(|(i, _)| i == index).map(|(_, k)| k);
            if before != Some(key) {
                rows.current.insert((key.clone(), row.id), row.position);
            }
        }
        for (index, key) in old_keys {
            let Some(rows) = indexes.get_mut(&index) else { continue };
            let after = row.keys.iter().find(|(i, _)| *i == index).map(|(_, k)| k);
            match after {
                Some(after) if *after == key => chain.keys.push((index, key)),
                _ => rows.lose(key, row.id, row.position),
            }
        }
        for (index, key) in row.keys {
            if indexes.contains_key(index) && !chain.keys.iter().any(|(i, _)| i == index) {
                chain.keys.push((*index, key.clone()));
            }
        }
        chain.keys.shrink_to_fit();
        if row.deleted {
            deaths.push((row.position, row.id));
            dead.insert(row.id, chain);
        } else {
            live.insert(row.id, chain);
        }
        Ok(())
    }

    fn add_index(&self, table: Id, index: Id, _complete: bool) {
        write(&self.table_or_new(table)).indexes.entry(index).or_default();
    }

    fn drop_index(&self, table: Id, index: Id) {
        let Some(table) = self.table(table) else { return };
        let mut table = write(&table);
        table.indexes.remove(&index);
        for chain in table.live.values_mut() {
            chain.keys.retain(|(i, _)| *i != index);
        }
    }

    fn backfill(
        &self,
        table: Id,
        index: Id,
        id: Id,
        from_position: u64,
        position: u64,
        key: &Key,
    ) -> Result<Option<Id>, IndexError> {
        let Some(table) = self.table(table) else { return Ok(None) };
        let mut table = write(&table);
        let TableRows { live, dead, indexes, .. } = &mut *table;
        let Some(rows) = indexes.get_mut(&index) else { return Ok(None) };
        let alive = live.contains_key(&id);
        let Some(chain) = (if alive { live.get_mut(&id) } else { dead.get_mut(&id) }) else { return Ok(None) };
        Ok(match chain.positions.from(from_position) {
            Some(to) => {
                rows.old.insert((key.clone(), to, id), position);
                // The queue is for losses in order; this one came late, so older snapshots must walk `old`.
                rows.recent_floor = rows.recent_floor.max(to + 1);
                None
            }
            None if alive && !chain.keys.iter().any(|(i, _)| *i == index) => {
                rows.current.insert((key.clone(), id), position);
                chain.keys.push((index, key.clone()));
                let same = rows.current.range((key.clone(), Id::ZERO)..).take_while(|((k, _), _)| k == key);
                same.map(|((_, other), _)| *other).find(|other| *other != id)
            }
            None => None,
        })
    }

    fn forget_keys(&self, table: Id, id: Id, position: u64, _keys: Option<&[(Id, Key)]>) -> Result<(), IndexError> {
        let Some(table) = self.table(table) else { return Ok(()) };
        let mut table = write(&table);
        let Some(next) = table.chain(&id).and_then(|c| c.positions.from(position + 1)) else { return Ok(()) };
        for rows in table.indexes.values_mut() {
            rows.cut(id, position, next);
        }
        Ok(())
    }

    fn count(&self, table: Id) -> usize {
        self.table(table).map_or(0, |t| read(&t).live.len())
    }

    fn add_token(&self, token: &str, block: u64) {
        write(&self.tokens).insert(token.to_owned(), block);
    }

    fn token(&self, token: &str) -> Result<Option<u64>, IndexError> {
        Ok(read(&self.tokens).get(token).copied())
    }
}

fn collect_current(rows: &IndexRows, range: &KeyRange, at: u64, count_max: usize) -> Vec<(Key, Id)> {
    let mut low = Bound::Included((range.low.clone(), Id::ZERO));
    let mut high = range.high.as_ref().map_or(Bound::Unbounded, |h| Bound::Excluded((h.clone(), Id::ZERO)));
    if let Some(after) = &range.after {
        match range.descending {
            false => low = Bound::Excluded(after.clone()),
            true => high = Bound::Excluded(after.clone()),
        }
    }
    let entries = rows.current.range((low, high));
    let seen = |((key, id), from): (&(Key, Id), &u64)| (*from < at).then(|| (key.clone(), *id));
    match range.descending {
        false => entries.filter_map(seen).take(count_max).collect(),
        true => entries.rev().filter_map(seen).take(count_max).collect(),
    }
}

fn next_id(id: Id) -> Id {
    Id(u128::from_be_bytes(id.0).saturating_add(1).to_be_bytes())
}

/// A panic elsewhere cannot leave the maps half changed in a way readers would notice, so poisoning is no reason to stop.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
