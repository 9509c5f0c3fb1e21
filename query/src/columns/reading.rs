//! Memory for the columns of files that scans are reading, over all scans of a ledger: who finds no room waits for its turn.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ColumnError;

/// Between two looks at whether a waiting scan has been stopped.
const STOP_EVERY: Duration = Duration::from_millis(50);

/// What is being read. A thread reads one partition at a time and waits for nothing while it does, so every turn ends: what
/// functions that wait are called with is never read here.
#[derive(Debug)]
pub(super) struct Reading {
    bytes_max: usize,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: usize,
    readers: usize,
    next: u64,
    /// In the order in which they came, which is that of their turns: a large one is not passed over by small ones.
    waiting: BTreeSet<u64>,
}

/// Room that a reader has, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    reading: Arc<Reading>,
    bytes: usize,
}

impl Reading {
    pub fn new(bytes_max: usize) -> Arc<Reading> {
        Arc::new(Reading { bytes_max, inner: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits until so many bytes fit beside those of the others, or until there are no others. `stop` is asked now and
    /// then, and true ends it.
    pub fn turn(self: &Arc<Self>, bytes: usize, stop: &dyn Fn() -> bool) -> Result<Turn, ColumnError> {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.waiting.insert(number);
        loop {
            let first = inner.waiting.first() == Some(&number);
            if first && (inner.readers == 0 || inner.bytes.saturating_add(bytes) <= self.bytes_max) {
                break;
            }
            if stop() {
                inner.waiting.remove(&number);
                self.changed.notify_all();
                return Err(ColumnError::Stopped);
            }
            inner = self.changed.wait_timeout(inner, STOP_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.waiting.remove(&number);
        inner.readers += 1;
        inner.bytes = inner.bytes.saturating_add(bytes);
        // There may be room for the next one as well.
        if !inner.waiting.is_empty() {
            self.changed.notify_all();
        }
        Ok(Turn { reading: Arc::clone(self), bytes })
    }

    /// Bytes that readers have now.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut inner = self.reading.lock();
        inner.readers -= 1;
        inner.bytes -= self.bytes;
        if !inner.waiting.is_empty() {
            self.reading.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn readers_together_stay_within_the_limit_and_one_too_large_reads_alone() {
        let reading = Reading::new(100);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 0..8_usize {
                let (reading, now, most) = (&reading, &now, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = [10, 30, 60, 250][(n + round) % 4];
                        let turn = reading.turn(bytes, &|| false).unwrap();
                        let all = now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(all <= 100 || all == 250, "{all}");
                        most.fetch_max(all, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert_eq!((reading.bytes(), most.into_inner()), (0, 250));
    }

    #[test]
    fn a_reader_that_waits_can_be_stopped_and_holds_nobody_up() {
        let reading = Reading::new(100);
        let held = reading.turn(90, &|| false).unwrap();
        let stopped = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| reading.turn(50, &|| stopped.load(Ordering::SeqCst)));
            while reading.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
            // Behind the one that waits, though it would fit.
            let behind = scope.spawn(|| reading.turn(10, &|| false));
            while reading.lock().waiting.len() < 2 {
                std::thread::yield_now();
            }
            stopped.store(true, Ordering::SeqCst);
            assert!(matches!(waits.join().unwrap(), Err(ColumnError::Stopped)));
            assert_eq!(behind.join().unwrap().unwrap().bytes, 10);
        });
        drop(held);
        assert_eq!(reading.bytes(), 0);
    }
}
