//! A bounded cache: first in, first out, with a second chance for what was asked for ("CLOCK"; Corbató, "A Paging Experiment
//! with the Multics System", 1968). In shards, so that threads seldom wait for each other.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub const SHARDS: usize = 16;
pub const SPARINGLY: u32 = 4;

/// Whether what was read takes the place of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Always,
    /// If there is room; if there is none, one in [`SPARINGLY`]. Histories are long, and most of what they read is not asked for
    /// again soon: putting each of their revisions in, and another one out, takes longer than what is gained.
    Sparingly,
    Not,
}

/// What things are found by.
pub trait CacheKey: Hash + Eq + Copy {
    /// Any number that tells most keys apart.
    fn shard(&self) -> usize;
}

pub struct SecondChance<K, V, S> {
    shards: Vec<Mutex<Shard<K, V, S>>>,
    shard_bytes_max: usize,
}

#[derive(Default)]
pub struct Shard<K, V, S> {
    entries: HashMap<K, Entry<V>, S>,
    order: VecDeque<K>,
    bytes: usize,
    /// Those that were to be kept sparingly when there was no room.
    passed: u32,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    asked_for: bool,
}

impl<K: CacheKey, V: Clone, S: BuildHasher + Default> SecondChance<K, V, S> {
    pub fn new(bytes_max: usize) -> Self {
        let shard = || Mutex::new(Shard { entries: HashMap::default(), order: VecDeque::new(), bytes: 0, passed: 0 });
        SecondChance { shards: (0..SHARDS).map(|_| shard()).collect(), shard_bytes_max: bytes_max / SHARDS }
    }

    /// What is kept under the key, with the bytes of memory that it takes.
    pub fn get(&self, key: &K) -> Option<(V, usize)> {
        let mut shard = self.shard(key)?;
        let entry = shard.entries.get_mut(key)?;
        entry.asked_for = true;
        Some((entry.value.clone(), entry.bytes))
    }

    /// What `show` makes of what is kept under the key. It is not kept longer for that.
    pub fn peek<T>(&self, key: &K, show: impl FnOnce(&V) -> T) -> Option<T> {
        Some(show(&self.shard(key)?.entries.get(key)?.value))
    }

    /// Keeps it if it is to be kept and `may_still` says so, which is asked while nothing can be taken out of its shard.
    pub fn put(&self, key: K, value: V, bytes: usize, kept: Kept, may_still: impl FnOnce() -> bool) {
        if kept != Kept::Not
            && bytes <= self.shard_bytes_max
            && let Some(mut shard) = self.shard(&key)
            && may_still()
        {
            shard.put(key, value, bytes, kept, self.shard_bytes_max);
        }
    }

    pub fn remove(&self, key: &K) {
        if let Some(mut shard) = self.shard(key)
            && let Some(entry) = shard.entries.remove(key)
        {
            shard.bytes = shard.bytes.saturating_sub(entry.bytes);
        }
    }

    /// How many there are, and the bytes that they take.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        let counts = self.shards.iter().map(lock).map(|shard| (shard.entries.len(), shard.bytes));
        counts.fold((0, 0), |(count, bytes), (more, of_them)| (count + more, bytes + of_them))
    }

    fn shard(&self, key: &K) -> Option<MutexGuard<'_, Shard<K, V, S>>> {
        self.shards.get(key.shard() % SHARDS).map(lock)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: CacheKey, V, S: BuildHasher> Shard<K, V, S> {
    fn put(&mut self, key: K, value: V, bytes: usize, kept: Kept, bytes_max: usize) {
        if kept == Kept::Sparingly && self.bytes + bytes > bytes_max {
            self.passed = self.passed.wrapping_add(1);
            if !self.passed.is_multiple_of(SPARINGLY) {
                return;
            }
        }
        if let Some(old) = self.entries.insert(key, Entry { value, bytes, asked_for: false }) {
            self.bytes = self.bytes.saturating_sub(old.bytes);
        } else {
            self.order.push_back(key);
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
