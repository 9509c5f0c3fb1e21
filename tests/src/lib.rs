//! What the end-to-end tests share.

// The limits of the server's parser, which is compiled here once more: nobody can link a binary.
#[allow(dead_code, reason = "only the limits of messages are used")]
#[path = "../../server/src/config.rs"]
mod config;
pub mod fuzzing;
#[path = "../../server/src/machine.rs"]
mod machine;
pub mod simulator;

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of a test that chooses at random: `LEDGERSTONE_SEED`, or a fresh one. It is printed, with what it replays.
pub fn seed(replays: &str) -> u64 {
    let seed = match std::env::var("LEDGERSTONE_SEED") {
        Ok(seed) => seed.parse().expect("LEDGERSTONE_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
    };
    eprintln!("seed {seed}: LEDGERSTONE_SEED={seed} replays {replays}");
    seed
}
