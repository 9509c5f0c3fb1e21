//! What the journal asks of the machine: files, time and randomness, each behind a trait, so that the same journal
//! runs on a disk, in memory and on a simulated disk that fails on purpose (docs/architecture.md, "Journal").

mod background;
mod clock;
mod memory;
mod production;
mod rng;
pub mod sim;
mod storage;

use std::sync::Arc;

pub use background::{Waiting, breathe, give_way, processor_time, processor_time_of_others, work_in_background};
pub use clock::{Clock, ManualClock};
pub use memory::MemoryStorage;
pub use production::{ProductionStorage, SystemClock, SystemRng};
pub use rng::{Rng, SeededRng};
pub use storage::{
    Entry, EntryKind, File, Lock, OpenMode, Storage, help_for, is_full, read_exact_at, read_file, write_all_at,
    write_whole,
};

/// One machine as the journal sees it.
#[derive(Clone)]
pub struct Env {
    pub storage: Arc<dyn Storage>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

impl Env {
    /// Files, the system's clocks and the system's randomness.
    pub fn production() -> Env {
        Env { storage: Arc::new(ProductionStorage), clock: Arc::new(SystemClock), rng: Arc::new(SystemRng) }
    }

    /// Files in memory, a clock that the test moves and random bytes of this seed.
    pub fn memory(seed: u64) -> Env {
        Env {
            storage: Arc::new(MemoryStorage::new()),
            clock: Arc::new(ManualClock::new(ManualClock::START_MS)),
            rng: Arc::new(SeededRng::new(seed)),
        }
    }
}
