//! Advisory locks: numbers of an application's own, each held by one session at a time (PostgreSQL's documentation, 13.3.5).
//! Tools that migrate schemas take one, so that two of them do not work at once.
//!
//! They are kept in memory, for each ledger, and end with the session, or with the transaction they were taken for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Cancel, canceled};
use crate::error::{QueryError, Result, SqlState};

/// How long a session that waits sleeps before it looks again.
const NAP: Duration = Duration::from_millis(10);
/// How many may be held on a ledger.
pub const ADVISORY_LOCKS_MAX: usize = 10_000;

/// What is locked: a number, or two, which is another space of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdvisoryKey {
    One(i64),
    Two(i32, i32),
}

/// Until when a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Unlocked,
    EndOfTransaction,
}

/// The locks of a ledger.
#[derive(Debug, Default)]
pub struct AdvisoryLocks {
    held: Mutex<HashMap<AdvisoryKey, Holding>>,
    owners: AtomicU64,
}

/// How often its owner has taken a lock.
#[derive(Debug)]
struct Holding {
    owner: u64,
    unlocked: u32,
    transaction: u32,
}

/// A session as one that holds locks; what it holds is let go of with it.
#[derive(Debug)]
pub struct Holder {
    locks: Arc<AdvisoryLocks>,
    number: u64,
    /// Whether it may hold any, and any for its transaction.
    any: AtomicBool,
    in_transaction: AtomicBool,
}

impl AdvisoryLocks {
    /// A session that holds nothing yet.
    pub fn holder(self: &Arc<Self>) -> Arc<Holder> {
        let number = self.owners.fetch_add(1, Ordering::Relaxed);
        let (any, in_transaction) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Holder { locks: Arc::clone(self), number, any, in_transaction })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<AdvisoryKey, Holding>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    /// Takes a lock if nobody else has it.
    pub fn try_lock(&self, key: AdvisoryKey, until: Until) -> Result<bool> {
        let mut held = self.locks.held();
        let full = held.len() >= ADVISORY_LOCKS_MAX;
        let holding = match held.entry(key) {
            Entry::Occupied(entry) if entry.get().owner != self.number => return Ok(false),
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => {
                let message = format!("{ADVISORY_LOCKS_MAX} advisory locks are held on this ledger");
                return Err(QueryError::new(SqlState::OUT_OF_MEMORY, message)
                    .hint("Unlock some with pg_advisory_unlock(), or close the sessions that hold them."));
            }
            Entry::Vacant(entry) => entry.insert(Holding { owner: self.number, unlocked: 0, transaction: 0 }),
        };
        match until {
            Until::Unlocked => holding.unlocked = holding.unlocked.saturating_add(1),
            Until::EndOfTransaction => {
                holding.transaction = holding.transaction.saturating_add(1);
                self.in_transaction.store(true, Ordering::Relaxed);
            }
        }
        self.any.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Waits for a lock, for as long as the statement may.
    pub fn lock(&self, key: AdvisoryKey, until: Until, cancel: &Cancel) -> Result<()> {
        while !self.try_lock(key, until)? {
            if let Some(reason) = cancel.reason() {
                return Err(canceled(reason));
            }
            std::thread::sleep(NAP);
        }
        Ok(())
    }

    /// Lets go of a lock once; false if the session does not hold it.
    pub fn unlock(&self, key: AdvisoryKey) -> bool {
        let mut held = self.locks.held();
        let Some(holding) = held.get_mut(&key).filter(|h| h.owner == self.number && h.unlocked > 0) else {
            return false;
        };
        holding.unlocked -= 1;
        if holding.unlocked == 0 && holding.transaction == 0 {
            held.remove(&key);
        }
        true
    }

    /// Lets go of all but those of the transaction.
    pub fn unlock_all(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.release(|holding| holding.unlocked = 0);
        }
    }

    /// Lets go of those of the transaction.
    pub fn end_transaction(&self) {
        if self.in_transaction.swap(false, Ordering::Relaxed) {
            self.release(|holding| holding.transaction = 0);
        }
    }

    fn release(&self, change: impl Fn(&mut Holding)) {
        self.locks.held().retain(|_, holding| {
            if holding.owner == self.number {
                change(holding);
            }
            holding.unlocked > 0 || holding.transaction > 0
        });
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end_transaction();
        self.unlock_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_as_often_as_it_was_taken_and_by_one_only() {
        let locks = Arc::new(AdvisoryLocks::default());
        let (one, two) = (locks.holder(), locks.holder());
        let key = AdvisoryKey::One(1);
        assert!(one.try_lock(key, Until::Unlocked).unwrap() && one.try_lock(key, Until::Unlocked).unwrap());
        assert!(!two.try_lock(key, Until::Unlocked).unwrap());
        assert!(two.try_lock(AdvisoryKey::Two(0, 1), Until::Unlocked).unwrap(), "another space of numbers");
        assert!(!two.unlock(key) && one.unlock(key));
        assert!(!two.try_lock(key, Until::Unlocked).unwrap());
        assert!(one.unlock(key) && !one.unlock(key));
        assert!(two.try_lock(key, Until::EndOfTransaction).unwrap());
        two.unlock_all();
        assert!(!one.try_lock(key, Until::Unlocked).unwrap(), "the transaction's own stays");
        two.end_transaction();
        assert!(one.try_lock(key, Until::Unlocked).unwrap());
        drop(one);
        assert!(two.try_lock(key, Until::Unlocked).unwrap(), "it ends with its session");
        drop(two);
        assert!(locks.held().is_empty());
    }
}
