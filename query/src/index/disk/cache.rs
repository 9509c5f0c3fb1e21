//! Blocks of runs that were read and checked lately. Runs never change, so a block that is here is right for as long as
//! its run is there.
//!
//! A table of small sets of places, each behind its own lock: a block has one set it can be in, and pushes out what was
//! asked for longest ago there. So memory is bounded, nobody waits for more than a few comparisons, and nothing has to be
//! tidied.

use std::sync::{Arc, Mutex, PoisonError};

use super::block::{BLOCK_BYTES, Block};

/// Blocks that can be in one set.
const WAYS: usize = 8;

/// A bounded cache of blocks.
pub struct BlockCache {
    sets: Vec<Mutex<Set>>,
}

/// What was asked for last stands first.
type Set = [Option<Cached>; WAYS];

struct Cached {
    run: u64,
    block: usize,
    bytes: Arc<Block>,
}

impl BlockCache {
    /// `bytes_max`: about; at least one set.
    pub fn new(bytes_max: usize) -> BlockCache {
        let sets = (bytes_max / (WAYS * (BLOCK_BYTES + 512))).max(1);
        BlockCache { sets: (0..sets).map(|_| Mutex::default()).collect() }
    }

    /// A block of the run with this number.
    pub fn get(&self, run: u64, block: usize) -> Option<Arc<Block>> {
        let mut set = self.set(run, block)?.lock().unwrap_or_else(PoisonError::into_inner);
        let at = set.iter().position(|c| c.as_ref().is_some_and(|c| c.run == run && c.block == block))?;
        // One step forward for each time it is asked for: order at the price of a swap.
        if let Some(before) = at.checked_sub(1) {
            set.swap(before, at);
            return set.get(before)?.as_ref().map(|cached| Arc::clone(&cached.bytes));
        }
        set.get(at)?.as_ref().map(|cached| Arc::clone(&cached.bytes))
    }

    pub fn put(&self, run: u64, block: usize, bytes: &Arc<Block>) {
        let Some(set) = self.set(run, block) else { return };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        // A new one stands in the middle: blocks that are read once do not push out those that are read often.
        if let Some(late) = set.get_mut(WAYS / 2..) {
            late.rotate_right(1);
        }
        if let Some(place) = set.get_mut(WAYS / 2) {
            *place = Some(Cached { run, block, bytes: Arc::clone(bytes) });
        }
    }

    /// Forgets the blocks of runs that are gone.
    pub fn forget(&self, gone: &dyn Fn(u64) -> bool) {
        for set in &self.sets {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            for place in set.iter_mut() {
                if place.as_ref().is_some_and(|cached| gone(cached.run)) {
                    *place = None;
                }
            }
        }
    }

    fn set(&self, run: u64, block: usize) -> Option<&Mutex<Set>> {
        let hash = (run.rotate_left(32) ^ block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.sets.get(((u128::from(hash) * self.sets.len() as u128) >> 64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::disk::block::Builder;

    fn block(n: u64) -> Arc<Block> {
        let mut builder = Builder::default();
        builder.add(b"key", Some(n));
        Arc::new(Block::read(builder.finish(n), n).unwrap())
    }

    #[test]
    fn what_is_found_is_what_was_put_there_and_what_is_read_often_stays() {
        let cache = BlockCache::new(64 << 10);
        let places = cache.sets.len() * WAYS;
        cache.put(1, 0, &block(7));
        for n in 1..20 * places {
            cache.put(2, n, &block(n as u64));
            assert_eq!(cache.get(1, 0).unwrap().entry(0).1, Some(7), "{n}");
        }
        let found: Vec<usize> = (1..20 * places).filter(|n| cache.get(2, *n).is_some()).collect();
        assert!(!found.is_empty() && found.len() < places);
        for n in found {
            assert_eq!(cache.get(2, n).unwrap().entry(0).1, Some(n as u64));
        }
        cache.forget(&|run| run == 2);
        assert!(cache.get(1, 0).is_some() && (1..20 * places).all(|n| cache.get(2, n).is_none()));
    }
}
