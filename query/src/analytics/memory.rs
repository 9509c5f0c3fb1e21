//! DataFusion's memory as a part of the statement's: it may take what the statement has left, as far as the server has.
//! It puts nothing on the disk: what does not fit goes to the document executor, which does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};

use crate::work::Pool;

#[derive(Debug)]
pub(super) struct EngineMemory {
    pool: Arc<Pool>,
    most: usize,
    used: AtomicUsize,
}

impl EngineMemory {
    pub fn new(pool: Arc<Pool>, most: usize) -> EngineMemory {
        EngineMemory { pool, most, used: AtomicUsize::new(0) }
    }
}

impl MemoryPool for EngineMemory {
    fn name(&self) -> &str {
        "statement"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.pool.take_anyway(additional);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.pool.give_back(shrink);
    }

    fn try_grow(&self, _: &MemoryReservation, additional: usize) -> Result<()> {
        let more = |used: usize| used.checked_add(additional).filter(|used| *used <= self.most);
        let short = || DataFusionError::ResourcesExhausted(format!("{additional} bytes more than there are"));
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| short())?;
        if self.pool.take(additional) {
            return Ok(());
        }
        self.used.fetch_sub(additional, Ordering::Relaxed);
        Err(short())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.most)
    }
}

impl Drop for EngineMemory {
    fn drop(&mut self) {
        self.pool.give_back(self.used.load(Ordering::Relaxed));
    }
}

impl fmt::Display for EngineMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.reserved(), self.most)
    }
}
