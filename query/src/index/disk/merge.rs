//! Several ordered sources as one: where more than one says something of a key, the newest is believed.

use std::cmp::Ordering;
use std::collections::btree_map;
use std::ops::Bound;

use super::delta::Entries;
use super::entry::Value;
use super::run::RunCursor;
use crate::index::IndexError;

/// Goes through entries in one direction.
pub trait Cursor {
    /// The key where it stands, and what is said of it; `None` behind the end.
    fn here(&self) -> Option<(&[u8], Value)>;

    /// To the next key.
    fn advance(&mut self) -> Result<(), IndexError>;

    /// To the first key at or behind `to`; going down, the last one below it. Only forwards.
    fn seek(&mut self, to: &[u8]) -> Result<(), IndexError>;
}

/// One source, in one direction.
pub enum Source<'a> {
    /// Copied entries in the direction of reading.
    Copied(&'a [(Box<[u8]>, Value)]),
    Map(MapCursor<'a>),
    Run(RunCursor<'a>),
}

/// Goes through a map.
pub struct MapCursor<'a> {
    entries: &'a Entries,
    range: btree_map::Range<'a, Box<[u8]>, Value>,
    descending: bool,
    here: Option<(&'a [u8], Value)>,
}

impl<'a> MapCursor<'a> {
    /// At the first entry at or behind `from`; going down, at the last one below it.
    pub fn new(entries: &'a Entries, from: &[u8], descending: bool) -> MapCursor<'a> {
        let mut cursor = MapCursor { entries, range: entries.range::<[u8], _>(..), descending, here: None };
        cursor.seek(from);
        cursor
    }

    fn seek(&mut self, from: &[u8]) {
        let bounds = match self.descending {
            false => (Bound::Included(from), Bound::Unbounded),
            true => (Bound::Unbounded, Bound::Excluded(from)),
        };
        self.range = self.entries.range::<[u8], _>(bounds);
        self.advance();
    }

    fn advance(&mut self) {
        let next = if self.descending { self.range.next_back() } else { self.range.next() };
        self.here = next.map(|(key, value)| (&**key, *value));
    }
}

impl Source<'_> {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Source::Copied(entries) => entries.first().map(|(key, _)| &**key),
            Source::Map(cursor) => cursor.here.map(|(key, _)| key),
            Source::Run(cursor) => cursor.key(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Source::Copied(entries) => entries.first().and_then(|(_, value)| *value),
            Source::Map(cursor) => cursor.here.and_then(|(_, value)| value),
            Source::Run(cursor) => cursor.value(),
        }
    }

    fn advance(&mut self) -> Result<(), IndexError> {
        match self {
            Source::Copied(entries) => *entries = entries.get(1..).unwrap_or_default(),
            Source::Map(cursor) => cursor.advance(),
            Source::Run(cursor) => cursor.advance()?,
        }
        Ok(())
    }

    fn seek(&mut self, to: &[u8], descending: bool) -> Result<(), IndexError> {
        match self {
            Source::Copied(entries) => {
                let skip = entries.partition_point(|(key, _)| if descending { &**key >= to } else { &**key < to });
                *entries = entries.get(skip..).unwrap_or_default();
            }
            Source::Map(cursor) => cursor.seek(to),
            Source::Run(cursor) => cursor.seek(to)?,
        }
        Ok(())
    }
}

/// The sources as one.
pub struct Merge<'a> {
    /// The newest first.
    sources: Vec<Source<'a>>,
    /// Indexes of those that are not at their end, the one that comes first first; of equals the newest.
    order: Vec<usize>,
    descending: bool,
}

impl Cursor for Merge<'_> {
    // The newest source is believed.
    fn here(&self) -> Option<(&[u8], Value)> {
        let source = self.sources.get(*self.order.first()?)?;
        Some((source.key()?, source.value()))
    }

    fn advance(&mut self) -> Result<(), IndexError> {
        // Older sources may say something of the same key: it is not believed.
        while let [first, second, ..] = self.order[..]
            && self.compare(first, second).is_eq()
        {
            self.sources.get_mut(second).map_or(Ok(()), Source::advance)?;
            self.settle(1);
        }
        if let Some(first) = self.order.first().copied() {
            self.sources.get_mut(first).map_or(Ok(()), Source::advance)?;
            self.settle(0);
        }
        Ok(())
    }

    fn seek(&mut self, to: &[u8]) -> Result<(), IndexError> {
        for source in &mut self.sources {
            let behind = source.key().is_some_and(|key| if self.descending { key >= to } else { key < to });
            if behind {
                source.seek(to, self.descending)?;
            }
        }
        self.arrange();
        Ok(())
    }
}

impl Cursor for RunCursor<'_> {
    fn here(&self) -> Option<(&[u8], Value)> {
        Some((self.key()?, self.value()))
    }

    fn advance(&mut self) -> Result<(), IndexError> {
        RunCursor::advance(self)
    }

    fn seek(&mut self, to: &[u8]) -> Result<(), IndexError> {
        RunCursor::seek(self, to)
    }
}

impl<'a> Merge<'a> {
    /// `sources`: the newest first.
    pub fn new(sources: Vec<Source<'a>>, descending: bool) -> Merge<'a> {
        let mut merge = Merge { order: Vec::with_capacity(sources.len()), sources, descending };
        merge.arrange();
        merge
    }

    fn arrange(&mut self) {
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.retain(|n| self.sources.get(*n).is_some_and(|source| source.key().is_some()));
        order.sort_by(|a, b| self.compare(*a, *b).then(a.cmp(b)));
        self.order = order;
    }

    /// The source at this place of the order has moved on.
    fn settle(&mut self, mut place: usize) {
        let Some(moved) = self.order.get(place).copied() else { return };
        if self.sources.get(moved).is_none_or(|source| source.key().is_none()) {
            self.order.remove(place);
            return;
        }
        while let Some(next) = self.order.get(place + 1).copied()
            && self.compare(moved, next).then(moved.cmp(&next)).is_gt()
        {
            self.order.swap(place, place + 1);
            place += 1;
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let key = |n: usize| self.sources.get(n).and_then(Source::key);
        let order = key(a).cmp(&key(b));
        if self.descending { order.reverse() } else { order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_journal::env::SeededRng;

    #[test]
    fn the_newest_source_is_believed_in_both_directions() {
        for seed in 0..200 {
            let rng = SeededRng::new(seed);
            let maps: Vec<Entries> = (0..rng.below(6))
                .map(|_| {
                    let entry = |rng: &SeededRng| {
                        let key = [rng.below(4) as u8, rng.below(4) as u8];
                        (Box::from(&key[..rng.below(3) as usize]), (!rng.one_in(3)).then(|| rng.below(9)))
                    };
                    (0..rng.below(12)).map(|_| entry(&rng)).collect()
                })
                .collect();
            let mut expected = Entries::new();
            maps.iter().rev().for_each(|map| expected.extend(map.clone()));
            for descending in [false, true] {
                let to = [rng.below(4) as u8, rng.below(4) as u8];
                let from: &[u8] = if descending { &[9] } else { &[] };
                let mut all: Vec<_> = expected.iter().map(|(k, v)| (k.to_vec(), *v)).collect();
                if descending {
                    all.reverse();
                }
                let sought: Vec<_> = all
                    .iter()
                    .filter(|(k, _)| if descending { k[..] < to[..] } else { k[..] >= to[..] })
                    .cloned()
                    .collect();
                for seek in [false, true] {
                    let sources = maps.iter().map(|map| Source::Map(MapCursor::new(map, from, descending))).collect();
                    let mut merge = Merge::new(sources, descending);
                    if seek {
                        merge.seek(&to).unwrap();
                    }
                    let mut found = Vec::new();
                    while let Some((key, value)) = merge.here() {
                        found.push((key.to_vec(), value));
                        merge.advance().unwrap();
                    }
                    assert_eq!(found, *if seek { &sought } else { &all }, "seed {seed}");
                }
            }
        }
    }
}
