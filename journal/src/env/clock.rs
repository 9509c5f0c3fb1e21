//! Time: the wall clock, which block times come from, and the time since boot, which judges it.

use std::sync::atomic::{AtomicI64, Ordering};

/// The two clocks the journal reads.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z by the wall clock, which may be set to anything at any moment.
    fn now_ms(&self) -> i64;
    /// Milliseconds since an unnamed start, never set and never stopped, not even while the machine sleeps.
    fn boottime_ms(&self) -> i64;
}

/// A clock that stands still until it is moved. Every reading of the wall clock moves both by `tick_ms`.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    boot_ms: AtomicI64,
    tick_ms: i64,
}

impl ManualClock {
    /// 2026-01-01T00:00:00Z.
    pub const START_MS: i64 = 1_767_225_600_000;

    pub fn new(wall_ms: i64) -> ManualClock {
        ManualClock { wall_ms: AtomicI64::new(wall_ms), boot_ms: AtomicI64::new(1_000), tick_ms: 1 }
    }

    /// Lets time pass: both clocks move.
    pub fn advance_ms(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.boot_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or a time daemon would.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.boot_ms.fetch_add(self.tick_ms, Ordering::SeqCst);
        self.wall_ms.fetch_add(self.tick_ms, Ordering::SeqCst)
    }

    fn boottime_ms(&self) -> i64 {
        self.boot_ms.load(Ordering::SeqCst)
    }
}
