//! The simulator over its seeds: nothing is ever wrong, and everything that can happen has happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ledgerstone_tests::simulator::{ACTIONS, Coverage, FAULTS, run};

/// Seeds in CI, and with `LEDGERSTONE_TEST_LONG`.
const SEEDS: u64 = 300;
const SEEDS_LONG: u64 = 1_000;
/// Seeds that have failed before, one a line, with what they showed.
const KEPT: &str = include_str!("simulator/seeds");

/// Those to run: the one that is to be replayed, or the kept ones and the first.
fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("LEDGERSTONE_SEED") {
        return vec![seed.parse().expect("LEDGERSTONE_SEED is a number")];
    }
    let kept = KEPT.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let count = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { SEEDS_LONG } else { SEEDS };
    kept.filter(|seed| *seed >= count).chain(0..count).collect()
}

/// Runs seeds on two threads.
fn run_all(seeds: &[u64]) -> (Coverage, Vec<String>) {
    let (next, met) = (AtomicU64::new(0), Mutex::new((Coverage::default(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst) as usize) {
                    let outcome = run(*seed);
                    let mut met = met.lock().expect("a lock");
                    match outcome {
                        Ok(coverage) => met.0.merge(&coverage),
                        Err(failure) => met.1.push(failure),
                    }
                }
            });
        }
    });
    met.into_inner().expect("a lock")
}

#[test]
fn answers_are_right_or_refused_by_name_whatever_breaks() {
    let seeds = seeds();
    let (coverage, failures) = run_all(&seeds);
    println!("{} seeds\n{coverage}", seeds.len());
    for failure in &failures {
        let seed = failure.split([' ', ':']).nth(1).unwrap_or_default();
        println!("LEDGERSTONE_SEED={seed} cargo test -p ledgerstone-tests --test it simulator\n{failure}\n");
    }
    assert!(failures.is_empty(), "{} of {} seeds failed: {failures:#?}", failures.len(), seeds.len());
    if seeds.len() > 1 {
        let missing = coverage.missing(&[FAULTS, ACTIONS].concat());
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}
