//! Reading the index: points and ranges over the delta, those that are full, and the runs, the newest first.
//!
//! What changes is copied under the lock in windows of bounded size; everything else is read without a lock, so a slow
//! disk keeps nobody else waiting. Between two windows entries may move: from "has the key" to "had it", never back. So
//! who has a key is read first and who had it after that, and what is met twice counts once.

use std::collections::{VecDeque, btree_map};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledgerstone_digest::id::Id;

use super::delta::{Entries, View};
use super::entry::{self, Place, Value};
use super::merge::{Cursor, MapCursor, Merge, Source};
use super::{DiskRows, Loss};
use crate::index::{IndexError, Key, KeyAt, KeyRange, RowAt};

/// Entries of the delta that are copied at a time: at first, and at most.
const WINDOW_MIN: usize = 32;
const WINDOW_MAX: usize = 4096;
/// Entries passed one by one before looking for what comes behind them.
const WALK_MAX: u32 = 16;
/// How often a read is begun again because keys were cut out meanwhile.
const ATTEMPTS_MAX: u32 = 1000;

/// What a scan does next.
pub(super) enum Step {
    Next,
    /// Skip what stands before this; going down, what does not stand below it.
    To(Vec<u8>),
    Stop,
}

/// Takes an entry of a scan.
pub(super) type Each<'a> = dyn FnMut(&[u8], u64) -> Result<Step, IndexError> + 'a;

/// Part of a range as it is at one moment.
struct Window {
    copied: Vec<(Box<[u8]>, Value)>,
    /// The delta has more in the range than was copied.
    truncated: bool,
    view: Arc<View>,
}

/// Who has a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    key: Key,
    id: Id,
}

impl DiskRows {
    pub(super) fn document_at(&self, table: Id, id: Id, at: u64) -> Result<Option<u64>, IndexError> {
        Ok(self.revision_below(table, id, at)?.and_then(|(position, deleted)| (!deleted).then_some(position)))
    }

    /// The newest revision before `at`, and whether it is a deletion.
    pub(super) fn revision_below(&self, table: Id, id: Id, at: u64) -> Result<Option<(u64, bool)>, IndexError> {
        self.sound()?;
        let key = entry::revision_array(table, id, at);
        let prefix = &key[..entry::DOCUMENT_BYTES];
        let read =
            |key: &[u8], value: Value| entry::read_revision(key).map(|(_, position)| (position, value == Some(1)));
        let filter = entry::filter_of(prefix);
        // Revisions come in order, so the first source that has one below has the newest.
        let view = {
            let inner = self.read();
            if inner.delta.filter.may_hold(filter)
                && let Some((key, value)) = between(&inner.delta.entries, prefix, &key).next_back()
            {
                return Ok(read(key, *value));
            }
            Arc::clone(&inner.view)
        };
        for frozen in view.frozen.iter().rev().filter(|frozen| frozen.filter.may_hold(filter)) {
            if let Some((key, value)) = between(&frozen.entries, prefix, &key).next_back() {
                return Ok(read(key, *value));
            }
        }
        for run in view.runs.iter().rev().filter(|run| run.may_hold(filter)) {
            if let Some((position, value)) = run.last_revision_below(&key)? {
                return Ok(Some((position, value == Some(1))));
            }
        }
        Ok(None)
    }

    pub(super) fn revisions_before(&self, table: Id, id: Id, at: u64) -> Result<Vec<u64>, IndexError> {
        let (low, high) = (entry::document(table, id), entry::revision(table, id, at));
        let mut positions = Vec::new();
        self.scan(&low, &high, false, Some(entry::document_filter(table, id)), &mut |key, _| {
            positions.extend(entry::read_revision(key).map(|(_, position)| position));
            Ok(Step::Next)
        })?;
        Ok(positions)
    }

    /// The oldest revision at or behind `from`.
    pub(super) fn revision_from(&self, table: Id, id: Id, from: u64) -> Result<Option<u64>, IndexError> {
        let (low, high) = (entry::revision(table, id, from), entry::after(&entry::document(table, id)));
        let mut found = None;
        self.scan(&low, &high, false, Some(entry::document_filter(table, id)), &mut |key, _| {
            found = entry::read_revision(key).map(|(_, position)| position);
            Ok(Step::Stop)
        })?;
        Ok(found)
    }

    pub(super) fn ids_ever(&self, table: Id, after: Option<Id>, count_max: usize) -> Result<Vec<Id>, IndexError> {
        let low = after.map_or_else(|| entry::table(table), |id| entry::after(&entry::document(table, id)));
        let mut ids: Vec<Id> = Vec::new();
        let mut walked = 0;
        self.scan(&low, &entry::after(&entry::table(table)), false, None, &mut |key, _| {
            let Some((id, _)) = entry::read_revision(key) else { return Ok(Step::Next) };
            if ids.last() == Some(&id) {
                walked += 1;
                let skip = walked > WALK_MAX;
                return Ok(if skip { Step::To(entry::after(&entry::document(table, id))) } else { Step::Next });
            }
            if ids.len() >= count_max {
                return Ok(Step::Stop);
            }
            walked = 0;
            ids.push(id);
            Ok(Step::Next)
        })?;
        Ok(ids)
    }

    pub(super) fn documents_at(
        &self,
        table: Id,
        after: Option<Id>,
        at: u64,
        count_max: usize,
    ) -> Result<Vec<RowAt>, IndexError> {
        let empty = Key::of([]);
        let range = KeyRange { low: empty.clone(), high: None, descending: false, after: after.map(|id| (empty, id)) };
        let ids: Vec<Id> =
            self.range_of(Place::live(table), &range, at, count_max)?.into_iter().map(|h| h.id).collect();
        let positions = self.positions_of(table, &ids, at)?;
        Ok(ids.into_iter().zip(positions).filter_map(|(id, at)| at.map(|position| RowAt { id, position })).collect())
    }

    pub(super) fn lookup_in(&self, table: Id, index: Id, key: &Key, at: u64) -> Result<Vec<KeyAt>, IndexError> {
        self.must_exist(index)?;
        let place = Place::index(index);
        let found = self.uncut(|| {
            let mut found = Vec::new();
            let (low, high) = (place.current_from(key.as_bytes()), place.current_from(key.after_prefix().as_bytes()));
            self.scan(&low, &high, false, Some(entry::key_filter(index, key.as_bytes())), &mut |entry, from| {
                if from < at
                    && let Some((key, id)) = entry::read_held(entry)
                {
                    found.push(Holder { key: entry::key_of(key), id });
                }
                Ok(Step::Next)
            })?;
            let held = found.len();
            let high = key.after_prefix();
            found.extend(self.lost_after(place, at, key, Some(&high), usize::MAX, |_, _| true)?);
            if found.len() > held {
                found.sort();
                found.dedup();
            }
            Ok(found)
        })?;
        // Dropped meanwhile, it may have answered with less than it had.
        self.must_exist(index)?;
        self.places_of(table, found, at)
    }

    pub(super) fn ids_with(&self, index: Id, key: &Key, at: u64) -> Result<Vec<Id>, IndexError> {
        self.must_exist(index)?;
        let place = Place::index(index);
        let end = key.after_prefix();
        let mut ids = self.uncut(|| {
            let mut ids = Vec::new();
            let (low, high) = (place.current_from(key.as_bytes()), place.current_from(end.as_bytes()));
            self.scan(&low, &high, false, Some(entry::key_filter(index, key.as_bytes())), &mut |entry, from| {
                ids.extend(entry::read_held(entry).filter(|_| from < at).map(|(_, id)| id));
                Ok(Step::Next)
            })?;
            let (low, high) = (place.old_from(key.as_bytes()), place.old_from(end.as_bytes()));
            self.scan(&low, &high, false, Some(entry::lost_filter(index, key.as_bytes())), &mut |entry, from| {
                ids.extend(entry::read_lost(entry).filter(|_| from < at).map(|(_, _, id)| id));
                Ok(Step::Next)
            })?;
            Ok(ids)
        })?;
        self.must_exist(index)?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    pub(super) fn keys_in(
        &self,
        table: Id,
        index: Id,
        range: &KeyRange,
        at: u64,
        count_max: usize,
    ) -> Result<Vec<KeyAt>, IndexError> {
        self.must_exist(index)?;
        if range.high.as_ref().is_some_and(|high| *high <= range.low) {
            return Ok(Vec::new());
        }
        let found = self.range_of(Place::index(index), range, at, count_max)?;
        self.must_exist(index)?;
        self.places_of(table, found, at)
    }

    pub(super) fn holders_of(&self, index: Id, key: &Key) -> Result<Vec<Id>, IndexError> {
        let mut ids = Vec::new();
        let low = Place::index(index).held(key.as_bytes(), Id::ZERO);
        let high = entry::after(&Place::index(index).current_from(&[key.as_bytes(), &[0]].concat()));
        self.scan(&low, &high, false, Some(entry::key_filter(index, key.as_bytes())), &mut |entry, _| {
            ids.extend(entry::read_held(entry).map(|(_, id)| id));
            Ok(if ids.len() < 2 { Step::Next } else { Step::Stop })
        })?;
        Ok(ids)
    }

    /// From when a document has had a key that it has now.
    pub(super) fn held_from(&self, place: Place, table: Id, key: &[u8], id: Id) -> Result<Option<u64>, IndexError> {
        // A document's life is said where its revisions are.
        let filter = if place == Place::live(table) {
            entry::document_filter(table, id)
        } else {
            entry::key_filter(place.id, key)
        };
        self.get(&place.held(key, id), filter)
    }

    pub(super) fn all_redacted(&self) -> Result<Vec<u64>, IndexError> {
        let mut positions = Vec::new();
        self.scan(&[entry::REDACTED], &[entry::REDACTED + 1], false, None, &mut |key, _| {
            positions.extend(key.get(1..).and_then(|b| b.first_chunk()).map(|b| u64::from_be_bytes(*b)));
            Ok(Step::Next)
        })?;
        Ok(positions)
    }

    pub(super) fn must_exist(&self, index: Id) -> Result<(), IndexError> {
        self.sound()?;
        match self.read().facts.indexes.contains_key(&index) {
            true => Ok(()),
            false => Err(IndexError::Gone(index)),
        }
    }

    /// What stands at a key now.
    pub(super) fn get(&self, key: &[u8], filter: u64) -> Result<Option<u64>, IndexError> {
        self.sound()?;
        let view = {
            let inner = self.read();
            if inner.delta.filter.may_hold(filter)
                && let Some(value) = inner.delta.entries.get(key)
            {
                return Ok(*value);
            }
            Arc::clone(&inner.view)
        };
        let mut frozen = view.frozen.iter().rev().filter(|frozen| frozen.filter.may_hold(filter));
        if let Some(value) = frozen.find_map(|frozen| frozen.entries.get(key)) {
            return Ok(*value);
        }
        for run in view.runs.iter().rev().filter(|run| run.may_hold(filter)) {
            if let Some(value) = run.get(key)? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// Goes through what stands from `low` to before `high`, or from the end. `filter` is what a run's filter must know.
    pub(super) fn scan(
        &self,
        low: &[u8],
        high: &[u8],
        descending: bool,
        filter: Option<u64>,
        each: &mut Each<'_>,
    ) -> Result<(), IndexError> {
        self.sound()?;
        if let Some(hash) = filter
            && let Some(view) = self.only_in_runs(hash)
        {
            return scan_runs(&view, low, high, descending, hash, each);
        }
        let (mut low, mut high) = (low.to_vec(), high.to_vec());
        let mut size = WINDOW_MIN;
        while low < high {
            let window = self.window(&low, &high, descending, size);
            let edge = window.copied.last().filter(|_| window.truncated).map(|(key, _)| key.to_vec());
            let mut merge = window.merge(if descending { &high } else { &low }, descending, filter)?;
            let inside = |key: &[u8]| match (descending, &edge) {
                (false, edge) => key < &high[..] && edge.as_ref().is_none_or(|edge| key <= &edge[..]),
                (true, edge) => key >= &low[..] && edge.as_ref().is_none_or(|edge| key >= &edge[..]),
            };
            let Walked::Through { skipped } = walk(&mut merge, inside, each)? else { return Ok(()) };
            let Some(mut edge) = edge else { return Ok(()) };
            if descending {
                high = skipped.map_or(edge.clone(), |skipped| skipped.min(edge));
            } else {
                edge.push(0);
                low = skipped.map_or(edge.clone(), |skipped| skipped.max(edge));
            }
            size = (size * 4).min(WINDOW_MAX);
        }
        Ok(())
    }

    /// The runs, if nothing that the filters know by this hash is newer than they are.
    fn only_in_runs(&self, hash: u64) -> Option<Arc<View>> {
        let inner = self.read();
        if inner.delta.filter.may_hold(hash) {
            return None;
        }
        let view = Arc::clone(&inner.view);
        drop(inner);
        (!view.frozen.iter().any(|frozen| frozen.filter.may_hold(hash))).then_some(view)
    }

    fn window(&self, low: &[u8], high: &[u8], descending: bool, size: usize) -> Window {
        let inner = self.read();
        let entries = between(&inner.delta.entries, low, high);
        let copied: Vec<_> = match descending {
            false => entries.take(size).map(|(key, value)| (key.clone(), *value)).collect(),
            true => entries.rev().take(size).map(|(key, value)| (key.clone(), *value)).collect(),
        };
        Window { truncated: copied.len() == size, copied, view: Arc::clone(&inner.view) }
    }

    /// Does a read of several steps again if keys were cut out of what stood there meanwhile.
    fn uncut<T>(&self, read: impl Fn() -> Result<T, IndexError>) -> Result<T, IndexError> {
        for _ in 0..ATTEMPTS_MAX {
            let before = self.cuts.load(Ordering::Acquire);
            let found = read()?;
            if self.cuts.load(Ordering::Acquire) == before {
                return Ok(found);
            }
        }
        Err(IndexError::Contradicts("keys are being redacted faster than they can be read".to_owned()))
    }

    /// Up to `count_max` holders of keys in a range at a snapshot.
    fn range_of(&self, place: Place, range: &KeyRange, at: u64, count_max: usize) -> Result<Vec<Holder>, IndexError> {
        self.uncut(|| {
            let mut found = self.held_in(place, range, at, count_max)?;
            let full = found.len() == count_max;
            let last = found.last().cloned();
            let beyond = |key: &Key, id: Id, than: (&Key, Id)| match range.descending {
                true => (key, id) < than,
                false => (key, id) > than,
            };
            let wanted = |key: &Key, id: Id| {
                range.after.as_ref().is_none_or(|(k, i)| beyond(key, id, (k, *i)))
                    && (!full || last.as_ref().is_some_and(|l| !beyond(key, id, (&l.key, l.id))))
            };
            // Going up, nothing before where we are can be wanted, and the first ones are enough; going down, the last.
            let (low, enough) = match &range.after {
                _ if range.descending => (&range.low, usize::MAX),
                Some((key, _)) => (key, count_max),
                None => (&range.low, count_max),
            };
            let held = found.len();
            found.extend(self.lost_after(place, at, low, range.high.as_ref(), enough, wanted)?);
            if found.len() > held {
                found.sort();
                found.dedup();
                if range.descending {
                    found.reverse();
                }
                found.truncate(count_max);
            }
            Ok(found)
        })
    }

    /// Those of a range who have their keys now, and had them before `at`.
    fn held_in(&self, place: Place, range: &KeyRange, at: u64, count_max: usize) -> Result<Vec<Holder>, IndexError> {
        let mut low = place.current_from(range.low.as_bytes());
        let mut high = match &range.high {
            Some(high) => place.current_from(high.as_bytes()),
            None => entry::after(&place.current()),
        };
        if let Some((key, id)) = &range.after {
            let after = place.held(key.as_bytes(), *id);
            match range.descending {
                true => high = high.min(after),
                false => low = low.max([&after[..], &[0]].concat()),
            }
        }
        let mut found = Vec::new();
        if count_max == 0 {
            return Ok(found);
        }
        self.scan(&low, &high, range.descending, None, &mut |entry, from| {
            if from < at
                && let Some((key, id)) = entry::read_held(entry)
            {
                found.push(Holder { key: entry::key_of(key), id });
            }
            Ok(if found.len() < count_max { Step::Next } else { Step::Stop })
        })?;
        Ok(found)
    }

    /// What was lost after a snapshot that saw it, among keys from `low` to before `high` that are `wanted`. Once `enough`
    /// are found, the rest of the key they end in is all that is added.
    fn lost_after(
        &self,
        place: Place,
        at: u64,
        low: &Key,
        high: Option<&Key>,
        enough: usize,
        wanted: impl Fn(&Key, Id) -> bool,
    ) -> Result<Vec<Holder>, IndexError> {
        let inside = |key: &Key| key >= low && high.is_none_or(|h| key < h);
        let mut found: Vec<Holder> = Vec::new();
        {
            let inner = self.read();
            let none = VecDeque::new();
            let recent = inner.recent.get(&place);
            let (losses, floor) = recent.map_or((&none, self.opened_at), |r| (&r.losses, r.floor));
            if at >= floor {
                let start = losses.partition_point(|loss| loss.to < at);
                for Loss { key, id, from, .. } in losses.range(start..) {
                    if *from < at && inside(key) && wanted(key, *id) {
                        found.push(Holder { key: key.clone(), id: *id });
                    }
                }
                return Ok(found);
            }
        }
        let end = high.map_or_else(|| entry::after(&place.old()), |high| place.old_from(high.as_bytes()));
        self.scan(&place.old_from(low.as_bytes()), &end, false, None, &mut |entry, from| {
            let Some((key, to, id)) = entry::read_lost(entry) else { return Ok(Step::Next) };
            if found.len() >= enough && found.last().is_some_and(|last| last.key.as_bytes() != key) {
                return Ok(Step::Stop);
            }
            if to < at {
                // Skip what was lost before the snapshot: go to the key's first loss after it.
                return Ok(Step::To(place.lost(key, at, Id::ZERO)));
            }
            if from < at {
                let key = entry::key_of(key);
                if inside(&key) && wanted(&key, id) {
                    found.push(Holder { key, id });
                }
            }
            Ok(Step::Next)
        })?;
        Ok(found)
    }

    /// Where documents that are alive at `at` stand then; `ids` ascend.
    fn positions_of(&self, table: Id, ids: &[Id], at: u64) -> Result<Vec<Option<u64>>, IndexError> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(Vec::new()) };
        let mut positions = vec![None; ids.len()];
        // Documents of many revisions, which are not walked through.
        let mut deep = Vec::new();
        let (mut next, mut walked) = (0, 0);
        let end = entry::after(&entry::document(table, *last));
        self.scan(&entry::document(table, *first), &end, false, None, &mut |key, deleted| {
            let Some((id, position)) = entry::read_revision(key) else { return Ok(Step::Next) };
            while ids.get(next).is_some_and(|wanted| *wanted < id) {
                (next, walked) = (next + 1, 0);
            }
            let Some(wanted) = ids.get(next) else { return Ok(Step::Stop) };
            walked += 1;
            if *wanted == id
                && position < at
                && let Some(slot) = positions.get_mut(next)
            {
                *slot = (deleted == 0).then_some(position);
            }
            if walked <= WALK_MAX {
                return Ok(Step::Next);
            }
            if *wanted > id {
                return Ok(Step::To(entry::document(table, *wanted)));
            }
            deep.push(next);
            (next, walked) = (next + 1, 0);
            Ok(Step::To(entry::after(&entry::document(table, id))))
        })?;
        for n in deep {
            if let (Some(id), Some(slot)) = (ids.get(n), positions.get_mut(n)) {
                *slot = self.document_at(table, *id, at)?;
            }
        }
        Ok(positions)
    }

    fn places_of(&self, table: Id, found: Vec<Holder>, at: u64) -> Result<Vec<KeyAt>, IndexError> {
        let mut places = Vec::with_capacity(found.len());
        for Holder { key, id } in found {
            if let Some(position) = self.document_at(table, id, at)? {
                places.push(KeyAt { key, id, position });
            }
        }
        Ok(places)
    }
}

/// [`DiskRows::scan`] over runs alone, as nearly every point read is; mostly there is one, which needs no merging.
fn scan_runs(
    view: &View,
    low: &[u8],
    high: &[u8],
    descending: bool,
    hash: u64,
    each: &mut Each<'_>,
) -> Result<(), IndexError> {
    let from = if descending { high } else { low };
    let inside = |key: &[u8]| key >= low && key < high;
    let mut runs = view.runs.iter().rev().filter(|run| run.may_hold(hash));
    let Some(first) = runs.next() else { return Ok(()) };
    let mut cursor = first.cursor(Some(from), descending)?;
    let Some(second) = runs.next() else {
        walk(&mut cursor, inside, each)?;
        return Ok(());
    };
    let mut sources = vec![Source::Run(cursor), Source::Run(second.cursor(Some(from), descending)?)];
    for run in runs {
        sources.push(Source::Run(run.cursor(Some(from), descending)?));
    }
    walk(&mut Merge::new(sources, descending), inside, each)?;
    Ok(())
}

/// How a walk ended.
enum Walked {
    Stopped,
    /// At the end of what was to be walked through. `skipped`: where the last step that was not to the next key went.
    Through {
        skipped: Option<Vec<u8>>,
    },
}

/// Gives `each` what stands at the keys that are `inside`.
fn walk(cursor: &mut impl Cursor, inside: impl Fn(&[u8]) -> bool, each: &mut Each<'_>) -> Result<Walked, IndexError> {
    let mut skipped = None;
    while let Some((key, value)) = cursor.here().filter(|(key, _)| inside(key)) {
        match value.map_or(Ok(Step::Next), |value| each(key, value))? {
            Step::Next => cursor.advance()?,
            Step::Stop => return Ok(Walked::Stopped),
            Step::To(target) => {
                cursor.seek(&target)?;
                skipped = Some(target);
            }
        }
    }
    Ok(Walked::Through { skipped })
}

/// The entries from `low` to before `high`, which is not below it.
fn between<'a>(entries: &'a Entries, low: &[u8], high: &[u8]) -> btree_map::Range<'a, Box<[u8]>, Value> {
    entries.range::<[u8], _>((Bound::Included(low), Bound::Excluded(high)))
}

impl Window {
    fn merge(&self, from: &[u8], descending: bool, filter: Option<u64>) -> Result<Merge<'_>, IndexError> {
        let mut sources = Vec::with_capacity(1 + self.view.frozen.len() + self.view.runs.len());
        if !self.copied.is_empty() {
            sources.push(Source::Copied(&self.copied));
        }
        for frozen in self.view.frozen.iter().rev().filter(|f| filter.is_none_or(|hash| f.filter.may_hold(hash))) {
            sources.push(Source::Map(MapCursor::new(&frozen.entries, from, descending)));
        }
        for run in self.view.runs.iter().rev() {
            if filter.is_none_or(|hash| run.may_hold(hash)) {
                sources.push(Source::Run(run.cursor(Some(from), descending)?));
            }
        }
        Ok(Merge::new(sources, descending))
    }
}
