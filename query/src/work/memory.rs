//! Memory that statements keep rows in: counted by the statement, bounded for each and for all of them together.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::error::{QueryError, Result, SqlState};

/// What is taken from the pool at a time, so that statements seldom meet there.
const GRAIN_BYTES: usize = 1 << 20;
/// A statement takes nothing from the pool below this: most never do.
const FREE_BYTES: usize = 64 << 10;

/// What statements may take for rows that they keep while they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkLimits {
    /// Memory of one statement (sorts, groups, hash tables, results).
    pub statement_memory_bytes: usize,
    /// Memory of all statements together.
    pub all_statements_memory_bytes: usize,
    /// Disk of all statements together, for what does not fit in their memory.
    pub spill_bytes: u64,
}

impl Default for WorkLimits {
    fn default() -> Self {
        WorkLimits { statement_memory_bytes: 1 << 30, all_statements_memory_bytes: 4 << 30, spill_bytes: 64 << 30 }
    }
}

/// What all statements of a server have taken.
#[derive(Debug)]
pub struct Pool {
    pub limits: WorkLimits,
    memory: AtomicUsize,
    disk: AtomicU64,
    /// Bytes ever written to spill files.
    spilled: AtomicU64,
}

impl Pool {
    pub fn new(limits: WorkLimits) -> Arc<Pool> {
        Arc::new(Pool { limits, memory: AtomicUsize::new(0), disk: AtomicU64::new(0), spilled: AtomicU64::new(0) })
    }

    /// Bytes of memory taken now.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Bytes of spill files that are there now.
    pub fn disk(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }

    /// Bytes ever written to spill files.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Takes memory, if so much is left.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let most = self.limits.all_statements_memory_bytes;
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= most);
        self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts memory that is taken whatever is left.
    #[cfg(feature = "analytics")]
    pub(crate) fn take_anyway(&self, bytes: usize) {
        self.memory.fetch_add(bytes, Ordering::Relaxed);
    }

    /// There was not as much left as was to be taken.
    fn exhausted(&self) -> QueryError {
        QueryError::new(
            SqlState::OUT_OF_MEMORY,
            format!(
                "the statements that run now need more than {} bytes of memory together (all_statements_memory_bytes)",
                self.limits.all_statements_memory_bytes
            ),
        )
        .hint(
            "Try again when others have ended, or start the server with a larger --limit all_statements_memory_bytes=N.",
        )
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes disk, if so much is left.
    pub(super) fn take_disk(&self, bytes: u64) -> Result<()> {
        let most = self.limits.spill_bytes;
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        if self.disk.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
            self.spilled.fetch_add(bytes, Ordering::Relaxed);
            return Ok(());
        }
        Err(QueryError::new(
            SqlState::OUT_OF_MEMORY,
            format!(
                "what statements sort and group beyond their memory takes more than {most} bytes of disk (spill_bytes)"
            ),
        )
        .hint("Filter or LIMIT what is sorted or grouped, or start the server with a larger --limit spill_bytes=N."))
    }

    pub(super) fn give_back_disk(&self, bytes: u64) {
        self.disk.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one statement has in memory.
#[derive(Debug)]
pub(crate) struct Memory<'p> {
    pool: &'p Arc<Pool>,
    used: Cell<usize>,
    /// Of the pool.
    taken: Cell<usize>,
}

impl<'p> Memory<'p> {
    pub fn new(pool: &'p Arc<Pool>) -> Self {
        Memory { pool, used: Cell::new(0), taken: Cell::new(0) }
    }

    #[cfg(feature = "analytics")]
    pub fn pool(&self) -> &'p Arc<Pool> {
        self.pool
    }

    /// Most that this statement may have.
    pub fn limit(&self) -> usize {
        self.pool.limits.statement_memory_bytes
    }

    #[cfg(any(test, feature = "analytics"))]
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Counts more; an error (53200) counts nothing.
    pub fn charge(&self, bytes: usize) -> Result<()> {
        let used = self.used.get().saturating_add(bytes);
        let limit = self.limit();
        if used > limit {
            return Err(QueryError::new(
                SqlState::OUT_OF_MEMORY,
                format!("the statement needs more than {limit} bytes of memory (statement_memory_bytes)"),
            )
            .hint(
                "Filter or LIMIT what is grouped, joined or kept, or start the server with a larger --limit \
                 statement_memory_bytes=N.",
            ));
        }
        let needed = grains(used);
        let taken = self.taken.get();
        if needed > taken {
            if !self.pool.take(needed - taken) {
                return Err(self.pool.exhausted());
            }
            self.taken.set(needed);
        }
        self.used.set(used);
        Ok(())
    }

    pub fn release(&self, bytes: usize) {
        let used = self.used.get().saturating_sub(bytes);
        self.used.set(used);
        let needed = grains(used);
        let taken = self.taken.get();
        if needed < taken {
            self.pool.give_back(taken - needed);
            self.taken.set(needed);
        }
    }

    /// A part of the statement's memory that ends before the statement does.
    pub fn share(&self) -> Share<'_> {
        Share { memory: self, bytes: Cell::new(0) }
    }

    /// What outlives the statement: so many of its bytes, until the answer is dropped.
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let taken = bytes.min(self.taken.get());
        self.taken.set(self.taken.get() - taken);
        self.used.set(self.used.get().saturating_sub(bytes));
        // Most answers are so small that nothing was taken for them.
        (taken > 0).then(|| Held { pool: Arc::clone(self.pool), bytes: taken })
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.taken.get());
    }
}

/// What one operator has in memory; given back when it ends, so that one that runs again and again does not add up.
#[derive(Debug)]
pub(crate) struct Share<'m> {
    memory: &'m Memory<'m>,
    bytes: Cell<usize>,
}

impl Share<'_> {
    pub fn charge(&self, bytes: usize) -> Result<()> {
        self.memory.charge(bytes)?;
        self.bytes.set(self.bytes.get() + bytes);
        Ok(())
    }

    /// The same for an operator that can put its rows elsewhere: it takes half of the statement's memory at most, which
    /// leaves something to the operators around it.
    pub fn charge_half(&self, bytes: usize) -> Result<()> {
        if self.bytes.get().saturating_add(bytes) > self.memory.limit() / 2 {
            return Err(QueryError::new(
                SqlState::OUT_OF_MEMORY,
                format!(
                    "one row or group alone needs more than half of the {} bytes of memory that a statement may use \
                     (statement_memory_bytes)",
                    self.memory.limit()
                ),
            )
            .hint("Start the server with a larger --limit statement_memory_bytes=N."));
        }
        self.charge(bytes)
    }

    pub fn release(&self, bytes: usize) {
        let bytes = bytes.min(self.bytes.get());
        self.bytes.set(self.bytes.get() - bytes);
        self.memory.release(bytes);
    }

    pub fn release_all(&self) {
        self.release(self.bytes.get());
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// Memory of an answer that is on its way, or of a text that is being read: what of it there may be has limits of its own, but
/// it counts with that of all statements.
#[derive(Debug)]
pub(crate) struct Held {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Held {
    pub fn nothing(pool: &Arc<Pool>) -> Held {
        Held { pool: Arc::clone(pool), bytes: 0 }
    }

    /// Holds so many bytes in all, or what it held before if not so many are left (53200).
    pub fn grow_to(&mut self, bytes: usize) -> Result<()> {
        let needed = grains(bytes);
        if needed > self.bytes {
            if !self.pool.take(needed - self.bytes) {
                return Err(self.pool.exhausted());
            }
            self.bytes = needed;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

fn grains(used: usize) -> usize {
    if used <= FREE_BYTES { 0 } else { used.div_ceil(GRAIN_BYTES).saturating_mul(GRAIN_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(each: usize, all: usize) -> Arc<Pool> {
        let limits = WorkLimits { statement_memory_bytes: each, all_statements_memory_bytes: all, spill_bytes: 10 };
        Pool::new(limits)
    }

    #[test]
    fn a_statement_and_all_together_are_bounded_by_name_and_everything_is_given_back() {
        let pool = pool(4 << 20, 6 << 20);
        let (a, b) = (Memory::new(&pool), Memory::new(&pool));
        a.charge(4 << 20).unwrap();
        let refused = a.charge(1).unwrap_err();
        assert!(refused.message.contains("statement_memory_bytes"), "{refused}");
        b.charge(2 << 20).unwrap();
        let refused = b.charge(1).unwrap_err();
        assert!(refused.message.contains("all_statements_memory_bytes"), "{refused}");
        assert_eq!((a.used(), b.used(), pool.memory()), (4 << 20, 2 << 20, 6 << 20));
        a.release(3 << 20);
        b.charge(1).unwrap();
        let held = b.hold(1 << 20);
        drop((a, b));
        assert_eq!(pool.memory(), 1 << 20);
        drop(held);
        assert_eq!(pool.memory(), 0);
    }

    #[test]
    fn what_is_held_counts_with_all_statements_and_not_with_its_own() {
        let pool = pool(1 << 20, 6 << 20);
        let mut held = Held::nothing(&pool);
        held.grow_to(FREE_BYTES).unwrap();
        assert_eq!(pool.memory(), 0);
        held.grow_to((4 << 20) + 1).unwrap();
        held.grow_to(1).unwrap();
        assert_eq!(pool.memory(), 5 << 20);
        let refused = held.grow_to(7 << 20).unwrap_err();
        assert!(refused.message.contains("all_statements_memory_bytes"), "{refused}");
        assert_eq!(pool.memory(), 5 << 20);
        drop(held);
        assert_eq!(pool.memory(), 0);
    }

    #[test]
    fn a_share_ends_with_its_operator_and_leaves_half_to_the_others() {
        let pool = pool(4 << 20, 1 << 30);
        let memory = Memory::new(&pool);
        for _ in 0..10 {
            let share = memory.share();
            share.charge_half(2 << 20).unwrap();
            assert!(share.charge_half(1).is_err());
            share.charge(1).unwrap();
        }
        assert_eq!((memory.used(), pool.memory()), (0, 0));
    }
}
