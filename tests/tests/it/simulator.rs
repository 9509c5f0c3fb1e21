//! The simulator over its seeds: nothing is ever wrong, and everything that can happen has happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(debug_assertions)]
use ledgerstone_tests::simulator::run_mutated;
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
                        Ok(run) => met.0.merge(&run.coverage),
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
        let [crashes, torn] = ["disk: crashes", "disk: crashes that tear something"].map(|what| coverage.count(what));
        assert!(torn * 100 >= crashes * 80, "only {torn} of {crashes} crashes tore something");
    }
}

#[test]
fn a_seed_means_the_same_run_every_time() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed).expect("a run"), run(seed).expect("the same run"), "seed {seed}");
    }
}

/// Seeds in which a defect must show.
#[cfg(debug_assertions)]
const MUTATED_SEEDS: u64 = 100;

#[cfg(debug_assertions)]
#[test]
fn every_defect_that_can_be_switched_on_is_noticed() {
    for mutation in ledgerstone_journal::mutation::ALL {
        let noticed = (0..MUTATED_SEEDS).find_map(|seed| run_mutated(seed, mutation).err());
        let noticed = noticed.unwrap_or_else(|| panic!("{mutation:?} was not noticed in {MUTATED_SEEDS} seeds"));
        println!("{mutation:?}: {}", noticed.lines().next().unwrap_or_default());
    }
}
