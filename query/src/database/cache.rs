//! Revisions read or written lately, by position. Revisions never change, so nothing here is ever stale; only a redaction
//! takes one out.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::ion::{Symbol, Text, Value};

use crate::transaction::Doc;

const SHARDS: usize = 16;
const SPARINGLY: u32 = 4;

/// A bounded cache: first in, first out, with a second chance for what was asked for.
pub struct RevisionCache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes_max: usize,
}

/// Whether a revision that was read takes the place of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Always,
    /// If there is room; if there is none, one in [`SPARINGLY`]. Histories are long, and most of what they read is not asked for
    /// again soon: putting each of their revisions in, and another one out, takes longer than what is gained.
    Sparingly,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<u64, Entry, BuildHasherDefault<PositionHasher>>,
    order: VecDeque<u64>,
    bytes: usize,
    /// Revisions that were to be kept sparingly when there was no room.
    passed: u32,
}

/// Positions are given out by the ledger, so nobody can choose ones that collide.
#[derive(Default)]
struct PositionHasher(u64);

impl Hasher for PositionHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Entry {
    doc: Arc<Doc>,
    bytes: usize,
    asked_for: bool,
}

impl RevisionCache {
    pub fn new(bytes_max: usize) -> RevisionCache {
        RevisionCache { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), shard_bytes_max: bytes_max / SHARDS }
    }

    /// The revision at a position with the bytes of memory that it takes, if it is at hand.
    pub fn get(&self, position: u64) -> Option<(Arc<Doc>, usize)> {
        let mut shard = self.shard(position)?;
        let entry = shard.entries.get_mut(&position)?;
        entry.asked_for = true;
        Some((entry.doc.clone(), entry.bytes))
    }

    /// The document at a position without its salt, if it is at hand. It is not kept longer for that.
    pub fn shown(&self, position: u64) -> Option<Arc<Value>> {
        self.shard(position)?.entries.get(&position)?.doc.data.clone()
    }

    /// Keeps it if it is to be kept. Returns the bytes of memory that it takes.
    pub fn put(&self, doc: Arc<Doc>, kept: Kept) -> usize {
        let bytes = size_of::<Doc>() + doc.data.as_deref().map_or(0, bytes_of) + 96;
        if bytes <= self.shard_bytes_max
            && let Some(mut shard) = self.shard(doc.position)
        {
            shard.put(doc, bytes, kept, self.shard_bytes_max);
        }
        bytes
    }

    pub fn remove(&self, position: u64) {
        if let Some(mut shard) = self.shard(position)
            && let Some(entry) = shard.entries.remove(&position)
        {
            shard.bytes = shard.bytes.saturating_sub(entry.bytes);
        }
    }

    fn shard(&self, position: u64) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(position as usize % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn put(&mut self, doc: Arc<Doc>, bytes: usize, kept: Kept, bytes_max: usize) {
        if kept == Kept::Sparingly && self.bytes + bytes > bytes_max {
            self.passed = self.passed.wrapping_add(1);
            if !self.passed.is_multiple_of(SPARINGLY) {
                return;
            }
        }
        let position = doc.position;
        if let Some(old) = self.entries.insert(position, Entry { doc, bytes, asked_for: false }) {
            self.bytes = self.bytes.saturating_sub(old.bytes);
        } else {
            self.order.push_back(position);
        }
        self.bytes += bytes;
        while self.bytes > bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.asked_for => {
                    entry.asked_for = false;
                    self.order.push_back(oldest);
                }
                Some(entry) => {
                    let bytes = entry.bytes;
                    self.bytes = self.bytes.saturating_sub(bytes);
                    self.entries.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

/// About how much memory a value takes.
pub fn bytes_of(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => beside(text),
        Value::Symbol(symbol) => name_bytes(symbol),
        Value::Clob(b) | Value::Blob(b) => b.len() + 16,
        Value::List(items) | Value::Sexp(items) => items.iter().map(bytes_of).sum(),
        Value::Struct(s) => s.fields.iter().map(|(n, v)| size_of::<Symbol>() + name_bytes(n) + bytes_of(v)).sum(),
        Value::Annotated(inner) => 48 + bytes_of(&inner.value),
        _ => 0,
    };
    size_of::<Value>() + inner
}

/// What a name takes that is not kept in place. Documents that were read share it; those that were written here may not.
pub(crate) fn name_bytes(symbol: &Symbol) -> usize {
    symbol.kept().map_or(0, beside)
}

/// What a text takes that is not kept in its value.
fn beside(text: &Text) -> usize {
    if text.is_heap_allocated() { text.len() + 16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_digest::id::Id;

    fn doc(position: u64, text: &str) -> Arc<Doc> {
        Arc::new(Doc {
            table_id: Id::ZERO,
            id: Id::ZERO,
            position,
            version: 0,
            block: 0,
            tx_time_ms: 0,
            tx_id: Id::ZERO,
            supersedes: None,
            successor: None,
            data: Some(Arc::new(Value::string(text))),
            salt: None,
            data_hash: None,
        })
    }

    #[test]
    fn memory_stays_bounded_and_what_is_asked_for_stays() {
        let cache = RevisionCache::new(SHARDS * 20_000);
        cache.put(doc(16, "kept"), Kept::Always);
        for n in 2..2000 {
            cache.put(doc(n * 16, &"x".repeat(100)), Kept::Always);
            assert!(cache.get(16).is_some(), "{n}");
        }
        let shard = cache.shard(0).unwrap();
        assert!(shard.bytes <= 20_000 && shard.entries.len() < 100);
    }

    #[test]
    fn histories_fill_what_is_empty_and_push_little_out() {
        let cache = RevisionCache::new(SHARDS * 20_000);
        let there = || (1..2000).filter(|n| cache.shown(n * 16).is_some()).count();
        for n in 1..40 {
            cache.put(doc(n * 16, "x"), Kept::Sparingly);
            assert!(cache.shown(n * 16).is_some(), "{n}");
        }
        for n in 40..1000 {
            cache.put(doc(n * 16, "x"), Kept::Always);
        }
        let full = there();
        for n in 1000..1000 + full as u64 {
            cache.put(doc(n * 16, "x"), Kept::Sparingly);
        }
        let new = (1000..2000).filter(|n| cache.shown(n * 16).is_some()).count();
        assert_eq!((there(), new), (full, full / SPARINGLY as usize));
    }

    #[test]
    fn whoever_makes_columns_keeps_nothing_longer() {
        let cache = RevisionCache::new(SHARDS * 20_000);
        cache.put(doc(16, "passed by"), Kept::Always);
        for n in 2..2000 {
            cache.put(doc(n * 16, &"x".repeat(100)), Kept::Always);
            drop(cache.shown(16));
        }
        assert!(cache.shown(16).is_none() && cache.shown(1999 * 16).is_some());
    }

    #[test]
    fn long_names_count_for_each_document_that_may_hold_one() {
        let name = "n".repeat(5000);
        let named = Value::Struct(ledgerstone_digest::ion::Struct::from_fields([(name.as_str(), Value::int(1))]));
        assert!(bytes_of(&named) >= 5000);
        let short = Value::Struct(ledgerstone_digest::ion::Struct::from_fields([("n", Value::string("in place"))]));
        assert!(bytes_of(&short) < 200);
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let cache = RevisionCache::new(SHARDS * 1000);
        cache.put(doc(1, &"x".repeat(5000)), Kept::Always);
        assert!(cache.get(1).is_none());
    }
}
