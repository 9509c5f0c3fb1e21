//! The simulator: one process, one thread, one seed. Real sessions, sequencer, journal, index, tree, checkpoints and
//! recovery run on a simulated disk, clock and randomness, against a model of the ledger.
//!
//! The rule: correct data or a named refusal, never a wrong answer. A run panics where it is broken; `run` says which
//! seed, and the line that replays it.
//!
//! | module | what lives there |
//! |---|---|
//! | `world` | a run from the making of the ledger to its verification; lives, restarts, crashes |
//! | `actions` | what happens next |
//! | `faults` | what breaks, and which refusals that excuses |
//! | `statement` | what clients ask: its text, |
//! | `model` | and its meaning |
//! | `client` | sessions as futures that are polled |
//! | `judge` | blocks and answers held against the model |
//! | `columns` | scans of columns held against the document executor, their files aged |
//! | `copies` | derived files deleted, backups taken and restored |
//! | `promises` | receipts and checkpoints that were handed out |
//! | `history` | what clients observed, judged without the model |
//! | `coverage` | what was met |

mod actions;
mod client;
mod columns;
mod copies;
mod coverage;
mod faults;
mod history;
mod judge;
mod model;
mod promises;
mod statement;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(debug_assertions)]
use ledgerstone_journal::mutation::Mutation;

pub use actions::ACTIONS;
pub use coverage::Coverage;
pub use faults::FAULTS;

use world::World;

/// One run of a ledger that has a defect.
#[cfg(debug_assertions)]
pub fn run_mutated(seed: u64, mutation: Mutation) -> Result<Met, String> {
    ledgerstone_journal::mutation::with(mutation, || run(seed))
}

/// What a run that went well has met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    pub coverage: Coverage,
    /// A hash of everything the disk was asked: the same seed gives the same.
    pub trace: u64,
}

/// One run. What it met, or why it failed.
pub fn run(seed: u64) -> Result<Met, String> {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    match outcome {
        Ok(()) => Ok(Met { trace: world.sim.disk.trace(), coverage: world.coverage }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            // Its parts may be in any state; dropping them may fail as well.
            drop(catch_unwind(AssertUnwindSafe(|| drop(world))));
            Err(format!("seed {seed}: {text}"))
        }
    }
}
