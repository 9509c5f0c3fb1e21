//! Adding to the index: revisions as they are published, keys of an index that is being filled, and taking away the keys
//! of redacted revisions. One at a time; readers go on.

use std::sync::atomic::Ordering;

use ledgerstone_digest::id::Id;

use super::delta::{Delta, IndexFacts};
use super::entry::{self, Place, Value};
use super::read::Step;
use super::{DiskRows, Inner, Loss, RECENT_MAX, Recent, lock};
use crate::index::{Before, IndexError, Key, KeyAt, KeyRange, NewRow, RowAt, Rows};

/// What is to be changed at once, so that no reader sees half of it.
#[derive(Default)]
struct Change {
    entries: Vec<(Vec<u8>, Value)>,
    losses: Vec<(Place, Loss)>,
}

impl Rows for DiskRows {
    fn document(&self, table: Id, id: Id, at: u64) -> Result<Option<u64>, IndexError> {
        self.document_at(table, id, at).map_err(|error| self.noticed(error))
    }

    fn revisions(&self, table: Id, id: Id, at: u64) -> Result<Vec<u64>, IndexError> {
        self.revisions_before(table, id, at).map_err(|error| self.noticed(error))
    }

    fn documents(&self, table: Id, after: Option<Id>, at: u64, count_max: usize) -> Result<Vec<RowAt>, IndexError> {
        self.documents_at(table, after, at, count_max).map_err(|error| self.noticed(error))
    }

    fn all_documents(&self, table: Id, after: Option<Id>, count_max: usize) -> Result<Vec<Id>, IndexError> {
        self.ids_ever(table, after, count_max).map_err(|error| self.noticed(error))
    }

    fn lookup(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<KeyAt>, IndexError> {
        self.lookup_in(table, index, key, at).map_err(|error| self.noticed(error))
    }

    fn ever(&self, _table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<Id>, IndexError> {
        self.ids_with(index, key, at).map_err(|error| self.noticed(error))
    }

    fn range(
        &self,
        table: Id,
        index: Id,
        range: &KeyRange,
        at: u64,
        count_max: usize,
    ) -> Result<Vec<KeyAt>, IndexError> {
        self.keys_in(table, index, range, at, count_max).map_err(|error| self.noticed(error))
    }

    fn holders(&self, _table: Id, index: Id, key: &Key) -> Result<Vec<Id>, IndexError> {
        match self.must_exist(index) {
            Ok(()) => self.holders_of(index, key).map_err(|error| self.noticed(error)),
            Err(IndexError::Gone(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn add(&self, row: &NewRow<'_>) -> Result<(), IndexError> {
        self.sound()?;
        let _writing = lock(&self.writing);
        let mut change = Change::default();
        change.put(entry::revision(row.table, row.id, row.position), u64::from(row.deleted));
        let mut counted = 0;
        let is_first = matches!(row.before, Before::Nothing);
        if is_first && !row.deleted {
            change.put(Place::live(row.table).held(&[], row.id), row.position);
            counted = 1;
        }
        // One of which nothing but its end was imported was never there.
        if row.deleted && !is_first {
            self.lose(&mut change, Place::live(row.table), row.table, &Key::of([]), row.id, row.position)?;
            counted = -1;
        }
        for (index, facts) in self.indexes_of(row.table) {
            let new = row.keys.iter().find(|(i, _)| *i == index).map(|(_, key)| key);
            self.add_key(&mut change, row, index, facts, new)?;
        }
        let mut inner = self.write();
        inner.delta.revisions += 1;
        let count = inner.facts.counts.entry(row.table).or_default();
        *count = count.saturating_add_signed(counted);
        inner.apply(change, self.opened_at);
        Ok(())
    }

    fn add_index(&self, table: Id, index: Id, complete: bool) {
        self.write().facts.indexes.entry(index).or_insert(IndexFacts { table, complete });
    }

    fn drop_index(&self, _table: Id, index: Id) {
        let mut inner = self.write();
        inner.facts.indexes.remove(&index);
        inner.recent.remove(&Place::index(index));
        // Ids are never used again, so the entries are left to the next merges; those in the delta go at once.
        inner.delta.entries.retain(|key, _| entry::index_of(key) != Some(index));
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
        let _writing = lock(&self.writing);
        if matches!(self.must_exist(index), Err(IndexError::Gone(_))) {
            return Ok(None);
        }
        let place = Place::index(index);
        let mut change = Change::default();
        if let Some(to) = self.revision_from(table, id, from_position)? {
            change.put(place.lost(key.as_bytes(), to, id), position);
            let mut inner = self.write();
            inner.apply(change, self.opened_at);
            // The queue is for losses in order; this one came late, so older snapshots must walk what was lost.
            let recent = inner.recent.entry(place).or_insert_with(|| Recent::new(self.opened_at));
            recent.floor = recent.floor.max(to + 1);
            return Ok(None);
        }
        if self.revision_below(table, id, u64::MAX)?.is_none_or(|(_, deleted)| deleted) {
            return Ok(None);
        }
        change.put(place.held(key.as_bytes(), id), position);
        self.write().apply(change, self.opened_at);
        Ok(self.holders_of(index, key)?.into_iter().find(|other| *other != id))
    }

    fn forget_keys(&self, table: Id, id: Id, position: u64, keys: Option<&[(Id, Key)]>) -> Result<(), IndexError> {
        self.sound()?;
        let _writing = lock(&self.writing);
        let mut change = Change::default();
        change.put(entry::redacted(position), 0);
        let next = self.revision_from(table, id, position + 1)?;
        let mut floors = Vec::new();
        if let Some(next) = next {
            for (index, _) in self.indexes_of(table) {
                let place = Place::index(index);
                let known = keys.and_then(|keys| keys.iter().find(|(i, _)| *i == index)).map(|(_, key)| key);
                self.cut(&mut change, place, known, id, position, next)?;
                floors.push(place);
            }
        }
        let mut inner = self.write();
        inner.facts.purge = true;
        for place in floors {
            // The queue of recent losses does not know: until new ones come, snapshots walk what was lost.
            let recent = inner.recent.entry(place).or_insert_with(|| Recent::new(self.opened_at));
            let floor = recent.losses.back().map_or(0, |loss| loss.to + 1).max(next.unwrap_or_default() + 1);
            recent.floor = recent.floor.max(floor);
            recent.losses.clear();
        }
        inner.apply(change, self.opened_at);
        self.cuts.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn count(&self, table: Id) -> usize {
        self.read().facts.counts.get(&table).map_or(0, |count| *count as usize)
    }

    fn add_token(&self, token: &str, block: u64) {
        self.write().delta.put(entry::token(token), Some(block));
    }

    fn token(&self, token: &str) -> Result<Option<u64>, IndexError> {
        let key = entry::token(token);
        self.get(&key, entry::token_filter(&key)).map_err(|error| self.noticed(error))
    }
}

impl DiskRows {
    fn indexes_of(&self, table: Id) -> Vec<(Id, IndexFacts)> {
        let inner = self.read();
        inner.facts.indexes.iter().filter(|(_, facts)| facts.table == table).map(|(id, facts)| (*id, *facts)).collect()
    }

    /// What a revision changes in one index. `new`: its key there.
    fn add_key(
        &self,
        change: &mut Change,
        row: &NewRow<'_>,
        index: Id,
        facts: IndexFacts,
        new: Option<&Key>,
    ) -> Result<(), IndexError> {
        let place = Place::index(index);
        let asked;
        let old = match &row.before {
            Before::Nothing => None,
            Before::Other(keys) => match keys.iter().find(|(i, _)| *i == index) {
                Some((_, old)) => *old,
                None => new,
            },
            Before::Ask(ask) => {
                // A document has one key in an index: if it is this one, it had no other.
                if let Some(new) = new
                    && self.held_from(place, row.table, new.as_bytes(), row.id)?.is_some()
                {
                    return Ok(());
                }
                asked = match ask()? {
                    Some(keys) => keys.into_iter().find(|(i, _)| *i == index).map(|(_, key)| key),
                    None => self.key_held_by(place, row.id)?,
                };
                asked.as_ref()
            }
        };
        let known = matches!(row.before, Before::Other(_)) && facts.complete;
        if old == new && known {
            return Ok(());
        }
        if let Some(old) = old {
            // An index that is being filled may not know what the document had before it was made.
            if new == Some(old) && self.held_from(place, row.table, old.as_bytes(), row.id)?.is_some() {
                return Ok(());
            }
            if new != Some(old) {
                self.lose(change, place, row.table, old, row.id, row.position)?;
            }
        }
        if let Some(new) = new {
            change.put(place.held(new.as_bytes(), row.id), row.position);
        }
        Ok(())
    }

    /// A document has a key no more, if it had it.
    fn lose(&self, change: &mut Change, place: Place, table: Id, key: &Key, id: Id, to: u64) -> Result<(), IndexError> {
        let Some(from) = self.held_from(place, table, key.as_bytes(), id)? else { return Ok(()) };
        change.put(place.lost(key.as_bytes(), to, id), from);
        change.entries.push((place.held(key.as_bytes(), id), None));
        change.losses.push((place, Loss { to, key: key.clone(), id, from }));
        Ok(())
    }

    /// The key that a document has in an index, found by looking at every one: for when the data is gone.
    fn key_held_by(&self, place: Place, id: Id) -> Result<Option<Key>, IndexError> {
        let mut found = None;
        self.scan(
            &place.current(),
            &entry::after(&place.current()),
            false,
            None,
            &mut |held, _| match entry::read_held(held) {
                Some((key, holder)) if holder == id => {
                    found = Some(entry::key_of(key));
                    Ok(Step::Stop)
                }
                _ => Ok(Step::Next),
            },
        )?;
        Ok(found)
    }

    /// Takes [position, next) out of what a document had its keys for. `known`: the key it had there.
    fn cut(
        &self,
        change: &mut Change,
        place: Place,
        known: Option<&Key>,
        id: Id,
        position: u64,
        next: u64,
    ) -> Result<(), IndexError> {
        let covers = |from: u64, to: u64| from <= position && position < to;
        let (mut held, mut lost) = (Vec::new(), Vec::new());
        let (low, high) = match known {
            Some(key) => (key.as_bytes().to_vec(), key.after_prefix().as_bytes().to_vec()),
            None => (Vec::new(), vec![0xff]),
        };
        self.scan(&place.old_from(&low), &place.old_from(&high), false, None, &mut |entry, from| {
            if let Some((key, to, other)) = entry::read_lost(entry)
                && other == id
                && covers(from, to)
            {
                lost.push((key.to_vec(), from, to));
            }
            Ok(Step::Next)
        })?;
        self.scan(&place.current_from(&low), &place.current_from(&high), false, None, &mut |entry, from| {
            if let Some((key, other)) = entry::read_held(entry)
                && other == id
                && covers(from, u64::MAX)
            {
                held.push((key.to_vec(), from));
            }
            Ok(Step::Next)
        })?;
        for (key, from, to) in lost {
            change.entries.push((place.lost(&key, to, id), None));
            if from < position {
                change.put(place.lost(&key, position, id), from);
            }
            if next < to {
                change.put(place.lost(&key, to, id), next);
            }
        }
        for (key, from) in held {
            if from < position {
                change.put(place.lost(&key, position, id), from);
            }
            change.put(place.held(&key, id), next);
        }
        Ok(())
    }
}

impl Change {
    fn put(&mut self, key: Vec<u8>, value: u64) {
        self.entries.push((key, Some(value)));
    }
}

impl Recent {
    pub(super) fn new(floor: u64) -> Recent {
        Recent { losses: Default::default(), floor }
    }
}

impl Inner {
    fn apply(&mut self, change: Change, opened_at: u64) {
        let Inner { delta, recent, .. } = self;
        let Change { entries, losses } = change;
        entries.into_iter().for_each(|(key, value)| Delta::put(delta, key, value));
        for (place, loss) in losses {
            let recent = recent.entry(place).or_insert_with(|| Recent::new(opened_at));
            recent.losses.push_back(loss);
            if recent.losses.len() > RECENT_MAX
                && let Some(oldest) = recent.losses.pop_front()
            {
                recent.floor = recent.floor.max(oldest.to + 1);
            }
        }
    }
}
