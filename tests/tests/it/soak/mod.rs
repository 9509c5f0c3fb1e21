//! The real server at 80 % of what it can do, for long: memory, descriptors and threads stay where they are, and the disk
//! grows with what is committed and no faster. Prints what it saw, the slowest of a thousand transactions included.
//!
//! A ledger that holds more can do less, so what it can do is asked again at the start of each part of the time.
//!
//! Times say something only if nothing else runs and the server is the one that users have:
//! `LEDGERSTONE_BINARY=$PWD/target/release/ledgerstone LEDGERSTONE_TEST_LONG=1 cargo test -p ledgerstone-tests --test it soak
//! -- --nocapture`

mod clients;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clients::{Shared, Transaction};
use watch::{Sample, watch};

use crate::harness::{Server, verify_against};

const CLIENTS: u64 = 16;
/// Of what it does at full speed.
const LOAD: f64 = 0.8;

const PARTS: u32 = 12;

/// What one part of the time saw.
struct Part {
    /// Transactions a second at full speed, before the load of this part.
    capacity: f64,
    /// How long the load went on, and until when, counted from the first.
    length: Duration,
    until: Duration,
    transactions: Vec<Transaction>,
}

/// How long each part goes at full speed, which says what 80 % are, and how long at that; LEDGERSTONE_SOAK_SECONDS names
/// all of the time.
fn lengths() -> (Duration, Duration) {
    let named = std::env::var("LEDGERSTONE_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let is_long = std::env::var_os("LEDGERSTONE_TEST_LONG").is_some();
    let all = named.map_or(Duration::from_secs(if is_long { 24 * 60 } else { 18 }), Duration::from_secs);
    let part = all / PARTS;
    (part / 12, part - part / 12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_descriptors_and_disk_stay_flat_under_a_steady_load() {
    let seed = ledgerstone_tests::seed("the clients' choices");
    let mut server = Server::start();
    let auditor = server.client().await;
    auditor.batch_execute(clients::SCHEMA).await.expect("tables");
    let shared = Arc::new(Shared::new(server.postgres, seed));
    let (full, steady) = lengths();

    // Warm, so that the first part does not take an empty ledger for the usual one.
    clients::run(&shared, CLIENTS, full, None).await;
    let watching = tokio::spawn(watch(server.pid(), server.data(), Arc::clone(&shared), (full + steady) * PARTS));
    let (from, mut parts) = (Instant::now(), Vec::new());
    for _ in 0..PARTS {
        let capacity = clients::run(&shared, CLIENTS, full, None).await.len() as f64 / full.as_secs_f64();
        let pace = Duration::from_secs_f64(CLIENTS as f64 / (LOAD * capacity).max(1.0));
        let began = Instant::now();
        let transactions = clients::run(&shared, CLIENTS, steady, Some(pace)).await;
        parts.push(Part { capacity, length: began.elapsed(), until: from.elapsed(), transactions });
    }
    let samples = watching.await.expect("the watch ends");
    report(&parts, &samples);

    shared.expect_nothing_but_conflicts();
    must_be_flat(&samples);
    // What was acknowledged is there, and all of it verifies against a checkpoint that was handed out.
    let sums = "SELECT count(*), CAST(coalesce(sum(changes), 0) AS bigint) FROM account";
    let row = auditor.query_one(sums, &[]).await.expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), shared.acknowledged());
    let note: String = auditor.query_one("SELECT ledgerstone_digest()", &[]).await.expect("a checkpoint").get(0);
    let vkey: String = auditor.query_one("SELECT ledgerstone_vkey()", &[]).await.expect("a key").get(0);
    drop(auditor);
    assert!(server.stop().success());
    let (status, said) = verify_against(&server.data().join("main"), &note, &vkey);
    assert_eq!(status, 0, "{said}");
}

/// A line for each part of the time.
fn report(parts: &[Part], samples: &[Sample]) {
    println!(
        "   until s   full tx/s       tx/s   p50 ms   p99 ms p99.9 ms   max ms  RSS MB  files threads  journal MB  rest MB"
    );
    for part in parts {
        let took = times(part.transactions.iter());
        let sample = samples.iter().rev().find(|sample| sample.at <= part.until).or(samples.first());
        let Some(sample) = sample else { return };
        println!(
            "{:>10.0} {:>11.0} {:>10.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>7} {:>6} {:>7} {:>11} {:>8}",
            part.until.as_secs_f64(),
            part.capacity,
            took.len() as f64 / part.length.as_secs_f64(),
            at(&took, 0.5),
            at(&took, 0.99),
            at(&took, 0.999),
            at(&took, 1.0),
            sample.resident_bytes >> 20,
            sample.descriptors,
            sample.threads,
            sample.journal_bytes >> 20,
            sample.derived_bytes >> 20,
        );
    }
    // The first quarter is for warming up, here as in what must be flat.
    let all = times(parts.iter().skip(parts.len() / 4).flat_map(|part| &part.transactions));
    println!(
        "after the first quarter: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
        at(&all, 0.5),
        at(&all, 0.99),
        at(&all, 0.999),
        at(&all, 1.0)
    );
}

/// Sorted, from when each was due.
fn times<'a>(transactions: impl Iterator<Item = &'a Transaction>) -> Vec<Duration> {
    let mut times: Vec<Duration> = transactions.map(|transaction| transaction.took).collect();
    times.sort_unstable();
    times
}

fn at(times: &[Duration], share: f64) -> f64 {
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// The last quarter of the time against the second: the first is for warming up.
fn must_be_flat(samples: &[Sample]) {
    let quarter = samples.len() / 4;
    assert!(quarter >= 2, "only {} samples", samples.len());
    let (early, late) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
    let most = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
    let middle = |samples: &[Sample], of: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let compare = |what: &str, early: f64, late: f64, allowed: f64| {
        assert!(late <= allowed, "{what} went from {early:.0} to {late:.0}; {allowed:.0} would do");
    };
    let (a, b) = (most(early, |s| s.descriptors), most(late, |s| s.descriptors));
    // A segment or a run more may be open.
    compare("descriptors", a as f64, b as f64, a as f64 + 16.0);
    let (a, b) = (most(early, |s| s.threads), most(late, |s| s.threads));
    compare("threads", a as f64, b as f64, a as f64 + 4.0);
    let (a, b) = (middle(early, |s| s.resident_bytes as f64), middle(late, |s| s.resident_bytes as f64));
    compare("memory", a, b, a * 1.1 + (64 << 20) as f64);
    let per = |bytes: fn(&Sample) -> u64, samples: &[Sample]| {
        let mut values: Vec<f64> = samples.iter().map(|s| bytes(s) as f64 / s.commits.max(1) as f64).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (a, b) = (per(|s| s.journal_bytes, early), per(|s| s.journal_bytes, late));
    compare("journal bytes a commit", a, b, a * 1.25);
    let (a, b) = (per(|s| s.derived_bytes, early), per(|s| s.derived_bytes, late));
    compare("other bytes a commit", a, b, a * 1.25);
}
