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
//! | `promises` | receipts and checkpoints that were handed out |
//! | `history` | what clients observed, judged without the model |
//! | `coverage` | what was met |

mod actions;
mod client;
mod coverage;
mod faults;
mod history;
mod judge;
mod model;
mod promises;
mod statement;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use actions::ACTIONS;
pub use coverage::Coverage;
pub use faults::FAULTS;

use world::World;

/// One run. What it met, or why it failed.
pub fn run(seed: u64) -> Result<Coverage, String> {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    match outcome {
        Ok(()) => Ok(world.coverage),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            // Its parts may be in any state; dropping them may fail as well.
            drop(catch_unwind(AssertUnwindSafe(|| drop(world))));
            Err(format!("seed {seed}: {text}"))
        }
    }
}
