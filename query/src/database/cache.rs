//! Revisions read or written lately, by position. Revisions never change, so nothing here is ever stale; only a redaction
//! takes one out.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use ledgerstone_digest::ion::{Symbol, Text, Value};

use super::second_chance::{CacheKey, Kept, SecondChance};
use crate::transaction::{Doc, Salt};

pub struct RevisionCache(SecondChance<u64, Arc<Doc>, BuildHasherDefault<PositionHasher>>);

/// Positions are given out by the ledger, so nobody can choose ones that collide.
#[derive(Default)]
pub struct PositionHasher(u64);

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

impl CacheKey for u64 {
    fn shard(&self) -> usize {
        *self as usize
    }
}

impl RevisionCache {
    pub fn new(bytes_max: usize) -> RevisionCache {
        RevisionCache(SecondChance::new(bytes_max))
    }

    /// The revision at a position with the bytes of memory that it takes, if it is at hand.
    pub fn get(&self, position: u64) -> Option<(Arc<Doc>, usize)> {
        self.0.get(&position)
    }

    /// The document at a position without its salt, if it is at hand. It is not kept longer for that.
    pub fn shown(&self, position: u64) -> Option<Arc<Value>> {
        self.0.peek(&position, |doc| doc.data.clone())?
    }

    /// Keeps it if it is to be kept. Returns the bytes of memory that it takes.
    pub fn put(&self, doc: Arc<Doc>, kept: Kept) -> usize {
        let bytes = bytes_of_doc(&doc) + 96;
        self.0.put(doc.position, doc, bytes, kept, || true);
        bytes
    }

    pub fn remove(&self, position: u64) {
        self.0.remove(&position);
    }
}

/// About how much memory a revision takes.
pub(super) fn bytes_of_doc(doc: &Doc) -> usize {
    let salt = doc.salt.as_ref().map_or(0, Salt::bytes_beside);
    size_of::<Doc>() + salt + doc.data.as_deref().map_or(0, bytes_of)
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
pub(super) fn beside(text: &Text) -> usize {
    if text.is_heap_allocated() { text.len() + 16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::id::Id;

    use super::super::second_chance::{SHARDS, SPARINGLY};
    use super::*;

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
        let (count, bytes) = cache.0.counts();
        assert!(bytes <= 20_000 && count < 100);
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
