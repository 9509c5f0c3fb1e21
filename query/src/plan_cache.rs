//! Statements parsed and bound before, by text (DESIGN section 7): drivers send the same text again and again.
//!
//! A text is parsed once per dialect. Its plans hold for one catalogue version and one list of parameter types. The
//! cache is shared by the sessions of a ledger and bounded in entries and in bytes of text; the least recently used go.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Parsed;
use crate::bind::plan::Plan;
use crate::session::Dialect;
use crate::types::SqlType;

/// Texts kept at most.
const ENTRIES_MAX: usize = 8_192;
/// Longer texts are not kept.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Plans kept for one text (parameter types differ by driver).
const PLANS_PER_TEXT_MAX: usize = 4;
const SHARDS: usize = 8;

/// The cache of one ledger.
pub struct PlanCache {
    shards: [Mutex<HashMap<Key, Entry>>; SHARDS],
    hasher: RandomState,
    clock: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct Key {
    dialect: Dialect,
    text: Arc<str>,
}

struct Entry {
    statements: Arc<[Parsed]>,
    plans: Vec<Bound>,
    used: u64,
}

struct Bound {
    catalogue_version: u64,
    types: Box<[Option<SqlType>]>,
    plan: Arc<Plan>,
}

impl Default for PlanCache {
    fn default() -> Self {
        PlanCache {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            clock: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }
}

impl PlanCache {
    /// The statements of a text, if it was parsed before.
    pub fn statements(&self, dialect: Dialect, text: &Arc<str>) -> Option<Arc<[Parsed]>> {
        let key = Key { dialect, text: Arc::clone(text) };
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get_mut(&key)?;
        entry.used = self.clock.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&entry.statements))
    }

    /// Keeps the statements of a text.
    pub fn keep_statements(&self, dialect: Dialect, text: &Arc<str>, statements: &Arc<[Parsed]>) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        let key = Key { dialect, text: Arc::clone(text) };
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= ENTRIES_MAX / SHARDS {
            evict(&mut shard);
        }
        shard.insert(key, Entry { statements: Arc::clone(statements), plans: Vec::new(), used });
    }

    /// The plan of a text with one statement, bound at this catalogue version.
    pub fn plan(
        &self,
        dialect: Dialect,
        text: &Arc<str>,
        catalogue_version: u64,
        types: &[Option<SqlType>],
    ) -> Option<Arc<Plan>> {
        let key = Key { dialect, text: Arc::clone(text) };
        let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        let plan = shard.get(&key).and_then(|entry| {
            let bound = entry
                .plans
                .iter()
                .find(|bound| bound.catalogue_version == catalogue_version && *bound.types == *types)?;
            Some(Arc::clone(&bound.plan))
        });
        drop(shard);
        let counter = if plan.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        plan
    }

    /// Keeps a plan beside its statement; plans of older catalogue versions go.
    pub fn keep_plan(
        &self,
        dialect: Dialect,
        text: &Arc<str>,
        catalogue_version: u64,
        types: &[Option<SqlType>],
        plan: &Arc<Plan>,
    ) {
        let key = Key { dialect, text: Arc::clone(text) };
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = shard.get_mut(&key) else { return };
        entry.plans.retain(|bound| bound.catalogue_version >= catalogue_version && *bound.types != *types);
        if entry.plans.len() >= PLANS_PER_TEXT_MAX {
            entry.plans.remove(0);
        }
        entry.plans.push(Bound { catalogue_version, types: types.into(), plan: Arc::clone(plan) });
    }

    /// Look-ups that found a plan, and those that did not.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Entry>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

/// Drops the older half of a shard: rare, so its cost is spread over thousands of insertions.
fn evict(shard: &mut HashMap<Key, Entry>) {
    let mut ages: Vec<u64> = shard.values().map(|entry| entry.used).collect();
    let middle = ages.len() / 2;
    let (_, median, _) = ages.select_nth_unstable(middle);
    let median = *median;
    shard.retain(|_, entry| entry.used > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = PlanCache::default();
        let hot: Arc<str> = Arc::from("SELECT 'hot'");
        let none: Arc<[Parsed]> = Arc::from([]);
        cache.keep_statements(Dialect::Sql, &hot, &none);
        for number in 0..5 * ENTRIES_MAX {
            cache.keep_statements(Dialect::Sql, &Arc::from(format!("SELECT {number}")), &none);
            assert!(cache.statements(Dialect::Sql, &hot).is_some(), "lost after {number}");
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= ENTRIES_MAX, "{kept} entries");
        assert!(cache.statements(Dialect::PartiQl, &hot).is_none());
    }
}
