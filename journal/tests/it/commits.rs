//! Group commit, failures of the disk, clocks.

use std::path::Path;
use std::time::Duration;

use ledgerstone_digest::Hash;
use ledgerstone_journal::env::ManualClock;
use ledgerstone_journal::env::sim::{Fault, Sim};
use ledgerstone_journal::{ClockError, CommitError, Ledger, ReadError, Step};

use crate::support::*;

fn sim() -> (Sim, std::sync::Arc<Ledger>, Hooks) {
    let sim = Sim::new(1);
    create(&sim.env(), &dir());
    let (ledger, hooks) = open(&sim.env(), &dir(), options()).unwrap();
    (sim, ledger, hooks)
}

#[test]
fn a_group_of_transactions_shares_one_write_and_one_sync() {
    let (sim, ledger, _) = sim();
    let before = sim.disk.counts();
    let futures: Vec<_> = (0..50).map(|n| ledger.submit(transaction(n, vec![first(n, 10)]))).collect();
    ledger.drive();
    let after = sim.disk.counts();
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    for (n, future) in futures.into_iter().enumerate() {
        assert_eq!(future.wait().unwrap().block, n as u64);
    }
    commit(&ledger, 60, 10).unwrap();
    assert_eq!(sim.disk.counts().syncs - after.syncs, 1);
}

#[test]
fn a_failed_sync_makes_outcomes_unknown_and_stops_writes_not_reads() {
    let (sim, ledger, hooks) = sim();
    let kept = commit(&ledger, 1, 10).unwrap();
    sim.disk.inject(Fault::Sync(".seg".to_owned()));
    let futures: Vec<_> = (2..5).map(|n| ledger.submit(transaction(n, vec![first(n, 10)]))).collect();
    ledger.drive();
    for future in futures {
        assert!(matches!(future.wait(), Err(CommitError::OutcomeUnknown { .. })));
    }
    assert_eq!(hooks.0.lock().unwrap().dropped, 1);
    let syncs = sim.disk.counts().syncs;
    assert!(matches!(commit(&ledger, 9, 10), Err(CommitError::Stopped { .. })));
    assert_eq!(sim.disk.counts().syncs, syncs, "a failed sync is never repeated");
    assert_eq!(ledger.snapshot(), kept.snapshot());
    assert_eq!(ledger.read_revision(kept.first_position).unwrap().document_id, id(1));
    assert!(ledger.stopped().is_some());
    drop(ledger);
    sim.disk.crash();
    let (ledger, _) = open(&sim.env(), &dir(), options()).unwrap();
    assert!(ledger.snapshot() == kept.snapshot() || ledger.snapshot() == kept.snapshot() + 6);
    commit(&ledger, 10, 10).unwrap();
}

#[test]
fn a_full_disk_refuses_and_writing_goes_on_when_there_is_space() {
    let (sim, ledger, hooks) = sim();
    let kept = commit(&ledger, 1, 10).unwrap();
    sim.disk.set_room(Some(100));
    let futures: Vec<_> = (2..5).map(|n| ledger.submit(transaction(n, vec![first(n, 10)]))).collect();
    ledger.drive();
    for future in futures {
        assert!(matches!(future.wait(), Err(CommitError::NoSpace { .. })));
    }
    assert_eq!(hooks.0.lock().unwrap().dropped, 1);
    sim.disk.set_room(None);
    let next = commit(&ledger, 6, 10).unwrap();
    assert_eq!((next.block, next.first_position), (kept.block + 1, kept.snapshot()));
    drop(ledger);
    sim.disk.crash();
    let (ledger, _) = open(&sim.env(), &dir(), options()).unwrap();
    assert_eq!(ledger.snapshot(), next.snapshot());
}

#[test]
fn no_room_for_a_new_segment_is_a_refusal_too() {
    let (sim, ledger, _) = sim();
    let mut n = 0;
    let mut refused = 0;
    while refused < 3 {
        n += 1;
        // Room for the rest of this segment, not for the next one.
        sim.disk.set_room(Some(20_000));
        match commit(&ledger, n, 9000) {
            Ok(_) => {}
            Err(CommitError::NoSpace { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    sim.disk.set_room(None);
    for n in 1000..1020 {
        commit(&ledger, n, 9000).unwrap();
    }
    let end = ledger.snapshot();
    ledger.close().unwrap();
    drop(ledger);
    let (ledger, _) = open(&sim.env(), &dir(), options()).unwrap();
    assert_eq!(ledger.snapshot(), end);
    assert!(ledger.blocks(0).all(|b| b.is_ok()));
}

#[test]
fn a_large_transaction_is_written_ahead_and_read_back() {
    let (sim, ledger, _) = sim();
    drop(ledger);
    sim.disk.kill();
    let mut options = options();
    options.staged_above_bytes = 20_000;
    let (ledger, _) = open(&sim.env(), &dir(), options).unwrap();
    // More than a staged frame holds, in segments of 64 KiB.
    let revisions = (0..300).map(|n| first(n, 9000)).collect();
    let future = ledger.submit(transaction(1, revisions));
    ledger.drive();
    let committed = future.wait().unwrap();
    commit(&ledger, 999, 10).unwrap();
    let leaves: Vec<_> = [1, 77, 300, 301].iter().map(|p| ledger.leaf(*p).unwrap()).collect();
    ledger.close().unwrap();
    drop(ledger);
    let (ledger, _) = open(&sim.env(), &dir(), crate::support::options()).unwrap();
    assert_eq!(committed.revisions, 300);
    for n in [0, 150, 299] {
        let revision = ledger.read_revision(committed.first_position + n).unwrap();
        assert_eq!((revision.document_id, revision.data), (id(n), Some(document(n, 9000))));
    }
    assert_eq!(ledger.read_block(0).unwrap().revisions.len(), 300);
    let again: Vec<_> = [1, 77, 300, 301].iter().map(|p| ledger.leaf(*p).unwrap()).collect();
    assert_eq!(leaves, again);
}

#[test]
fn a_large_block_is_replayed_in_pieces_from_anywhere() {
    let (sim, ledger, _) = sim();
    drop(ledger);
    sim.disk.kill();
    let large_segments = || {
        let mut options = options();
        options.staged_above_bytes = 20_000;
        options.segment_bytes = 8 << 20;
        options
    };
    let (ledger, _) = open(&sim.env(), &dir(), large_segments()).unwrap();
    let before = commit(&ledger, 1000, 10).unwrap();
    let future = ledger.submit(transaction(1, (0..300).map(|n| first(n, 9000)).collect()));
    ledger.drive();
    let large = future.wait().unwrap();
    let after = commit(&ledger, 2000, 10).unwrap();
    let entries: Vec<_> = (0..ledger.snapshot()).map(|position| ledger.leaf(position).unwrap()).collect();
    drop(ledger);
    sim.disk.kill();
    let recovered = Ledger::open(&sim.env(), &dir(), large_segments()).unwrap();
    // Also of block leaves, which are not derived for it.
    let hash_at = recovered.leaf_hashes_by_position();
    for (entry, position) in entries.iter().zip(0..) {
        assert_eq!(hash_at(position), Ok(Hash::sha256(&[entry])), "position {position}");
    }
    let inside = [1, 150, 299, 300].map(|n| large.first_position + n);
    for from in [[0, before.first_position, large.first_position, after.first_position], inside].concat() {
        let (mut positions, mut pieces, mut ended) = (Vec::new(), 0, Vec::new());
        let replayed = recovered.replay::<ReadError>(from, &mut |piece| {
            positions.extend(piece.revisions.iter().map(|r| r.position));
            pieces += 1;
            if piece.complete {
                ended.push(piece.committed);
            }
            Ok(())
        });
        replayed.unwrap();
        let revision =
            |p: &u64| *p != before.block_position && *p != large.block_position && *p != after.block_position;
        assert_eq!(positions, (from.max(1)..after.block_position).filter(revision).collect::<Vec<_>>(), "from {from}");
        let expected: Vec<_> = [before, large, after].into_iter().filter(|c| c.block_position >= from).collect();
        assert_eq!(ended, expected, "from {from}");
        assert!(pieces > expected.len() || from > large.first_position + 150, "from {from}");
    }
}

/// Commits until the committing thread does all the work itself, as it does once it has been alone for a while.
fn until_alone(ledger: &Ledger, hooks: &Hooks) -> u64 {
    until_alone_from(ledger, hooks, 0)
}

/// The same with documents from this number on.
fn until_alone_from(ledger: &Ledger, hooks: &Hooks, first: u64) -> u64 {
    let me = std::thread::current().id();
    // Other tests may hold the one place there is for somebody alone, and a busy machine looks like a slow disk.
    for n in first..first + 1_000_000 {
        commit(ledger, n, 10).unwrap();
        if hooks.0.lock().unwrap().publishers.last() == Some(&me) {
            return n + 1;
        }
    }
    panic!("somebody alone still waits for other threads");
}

fn with_threads(sim: &Sim) -> (std::sync::Arc<Ledger>, Hooks) {
    create_sized(&sim.env(), &dir(), 8 << 20);
    let mut options = options();
    options.threads = true;
    open(&sim.env(), &dir(), options).unwrap()
}

#[test]
fn somebody_alone_commits_on_their_own_thread_and_a_crowd_shares_syncs() {
    let sim = Sim::new(1);
    let (ledger, hooks) = with_threads(&sim);
    let mut next = until_alone(&ledger, &hooks);
    let blocks = ledger.last_block().unwrap().unwrap();
    // Others may come at any time: then the threads do it, in one order.
    let committed = std::thread::scope(|scope| {
        let clients = (0..8u64).map(|client| {
            let ledger = &ledger;
            let first = next + client * 1000;
            scope.spawn(move || (first..first + 50).map(|n| commit(ledger, n, 100).unwrap()).collect::<Vec<_>>())
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    next += 8000;
    let mut numbers: Vec<u64> = committed.iter().map(|c| c.block).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(blocks + 1..=blocks + 400));
    assert_eq!(ledger.last_block().unwrap(), Some(blocks + 400));
    ledger.settle(0).unwrap();
    let last = commit(&ledger, next, 10).unwrap();
    ledger.close().unwrap();
    assert_eq!(hooks.0.lock().unwrap().published.last(), Some(&last));
    assert!(commit(&ledger, next + 1, 1).is_err());
}

#[test]
fn a_sync_that_fails_under_somebody_alone_stops_writes_for_all() {
    let sim = Sim::new(1);
    let (ledger, hooks) = with_threads(&sim);
    let next = until_alone(&ledger, &hooks);
    let kept = ledger.snapshot();
    sim.disk.inject(Fault::Sync(".seg".to_owned()));
    assert!(matches!(commit(&ledger, next, 10), Err(CommitError::OutcomeUnknown { .. })));
    assert!(matches!(commit(&ledger, next + 1, 10), Err(CommitError::Stopped { .. })));
    assert_eq!(ledger.snapshot(), kept);
    let _ = ledger.close();
    assert_eq!(hooks.0.lock().unwrap().dropped, 1);
}

#[test]
fn a_full_disk_refuses_somebody_alone_until_there_is_space() {
    let sim = Sim::new(1);
    let (ledger, hooks) = with_threads(&sim);
    let next = until_alone(&ledger, &hooks);
    let kept = ledger.snapshot();
    // Checkpoints need no room: their files are as large as they will be.
    ledger.checkpoint().unwrap();
    sim.disk.set_room(Some(100));
    assert!(matches!(commit(&ledger, next, 10), Err(CommitError::NoSpace { .. })));
    sim.disk.set_room(None);
    let after = commit(&ledger, next + 1, 10).unwrap();
    assert_eq!(after.first_position, kept);
    ledger.close().unwrap();
    assert_eq!(hooks.0.lock().unwrap().dropped, 1);
}

#[test]
fn a_slow_disk_sends_somebody_alone_to_the_threads_for_a_thousand_commits() {
    let sim = Sim::new(1);
    let (ledger, hooks) = with_threads(&sim);
    let me = std::thread::current().id();
    let whose = |n: u64| {
        commit(&ledger, n, 10).unwrap();
        *hooks.0.lock().unwrap().publishers.last().unwrap()
    };
    // A commit alone on a disk that is too slow; not there, if another test was alone just then.
    let mut next = until_alone(&ledger, &hooks);
    sim.disk.set_sync_time(Duration::from_millis(25));
    while whose(next) != me {
        sim.disk.set_sync_time(Duration::ZERO);
        next = until_alone_from(&ledger, &hooks, next + 1);
        sim.disk.set_sync_time(Duration::from_millis(25));
    }
    sim.disk.set_sync_time(Duration::ZERO);
    // Fast as the disk is again, the threads do it for a while.
    for n in next + 1..next + 1000 {
        assert!(whose(n) != me, "commit {} after the slow one was done by who submitted it", n - next);
    }
    until_alone_from(&ledger, &hooks, next + 1000);
    ledger.close().unwrap();
}

#[test]
fn a_disk_that_is_fast_enough_leaves_somebody_alone_to_it() {
    let sim = Sim::new(1);
    let (ledger, hooks) = with_threads(&sim);
    let me = std::thread::current().id();
    let is_mine = |n: u64| {
        commit(&ledger, n, 10).unwrap();
        hooks.0.lock().unwrap().publishers.last() == Some(&me)
    };
    let mut next = 0;
    // A busy machine, or another test that is alone, may come between two commits; the rule would do it every time.
    let stayed = (0..100).any(|_| {
        sim.disk.set_sync_time(Duration::ZERO);
        next = until_alone_from(&ledger, &hooks, next) + 2;
        sim.disk.set_sync_time(Duration::from_millis(5));
        is_mine(next - 2) && is_mine(next - 1)
    });
    assert!(stayed, "a disk of 5 ms is taken for slow");
    ledger.close().unwrap();
}

#[test]
fn times_never_decrease_and_a_clock_that_jumps_stops_writes() {
    let (sim, ledger, _) = sim();
    let start = ManualClock::START_MS;
    let a = commit(&ledger, 1, 10).unwrap();
    sim.clock.set_wall_ms(a.time_ms - 500);
    let b = commit(&ledger, 2, 10).unwrap();
    assert_eq!(b.time_ms, a.time_ms);
    sim.clock.set_wall_ms(a.time_ms - 5000);
    assert!(matches!(commit(&ledger, 3, 10), Err(CommitError::Clock(ClockError::Behind { .. }))));
    sim.clock.set_wall_ms(start + 5000);
    let c = commit(&ledger, 3, 10).unwrap();
    assert!(c.time_ms >= start + 5000);
    sim.clock.set_wall_ms(start + 100_000);
    for n in 0..2 {
        let error = commit(&ledger, 4 + n, 10);
        assert!(matches!(error, Err(CommitError::Clock(ClockError::Jumped { .. }))));
        sim.clock.set_wall_ms(start + 6000);
    }
    sim.clock.set_wall_ms(start + 100_000);
    ledger.accept_clock();
    assert!(commit(&ledger, 6, 10).unwrap().time_ms >= start + 100_000);
}

#[test]
fn a_clock_a_year_ahead_of_the_last_block_at_the_start_needs_a_word() {
    const YEAR_MS: i64 = 366 * 86_400_000;
    let (sim, ledger, _) = sim();
    let last = commit(&ledger, 1, 10).unwrap().time_ms;
    // While a ledger is open the time since boot says more than its last block.
    drop(ledger);
    for (wait_ms, accepted) in [(YEAR_MS - 60_000, true), (YEAR_MS * 2, false)] {
        sim.clock.set_wall_ms(last + wait_ms);
        let (ledger, _) = open(&sim.env(), &dir(), options()).unwrap();
        let outcome = commit(&ledger, 2 + wait_ms as u64, 10);
        assert_eq!(outcome.is_ok(), accepted, "{outcome:?}");
        if !accepted {
            assert!(matches!(outcome, Err(CommitError::Clock(ClockError::LongAfter { .. }))));
            ledger.accept_clock();
            assert!(commit(&ledger, 9, 10).unwrap().time_ms >= last + wait_ms);
        }
        ledger.close().unwrap();
    }
}

#[test]
fn a_clock_that_is_mended_after_a_step_back_needs_no_restart() {
    const HOUR_MS: i64 = 3_600_000;
    let (sim, ledger, _) = sim();
    let a = commit(&ledger, 1, 10).unwrap();
    sim.clock.set_wall_ms(a.time_ms - HOUR_MS);
    assert!(matches!(commit(&ledger, 2, 10), Err(CommitError::Clock(ClockError::Behind { .. }))));
    sim.clock.set_wall_ms(a.time_ms + 1000);
    commit(&ledger, 2, 10).unwrap();
    // A step back that does not reach the last block is not noticed, and neither is the step that mends it.
    sim.clock.advance_ms(2 * HOUR_MS);
    let right = a.time_ms + 1000 + 2 * HOUR_MS;
    sim.clock.set_wall_ms(right - HOUR_MS);
    commit(&ledger, 3, 10).unwrap();
    sim.clock.set_wall_ms(right);
    assert!(commit(&ledger, 4, 10).unwrap().time_ms >= right);
    sim.clock.set_wall_ms(right + 100_000);
    assert!(matches!(commit(&ledger, 5, 10), Err(CommitError::Clock(ClockError::Jumped { .. }))));
}

#[test]
fn after_settling_no_block_gets_that_time() {
    let (sim, ledger, _) = sim();
    let a = commit(&ledger, 1, 10).unwrap();
    sim.clock.advance_ms(100);
    let time = a.time_ms + 90;
    ledger.settle(time).unwrap();
    sim.clock.set_wall_ms(a.time_ms);
    let b = commit(&ledger, 2, 10).unwrap();
    assert!(b.time_ms > time);
    assert_eq!(ledger.last_block_at_or_before(time).unwrap(), Some((0, a.snapshot())));
}

#[test]
fn what_does_not_follow_is_refused() {
    let (_sim, ledger, _) = sim();
    let bad = [
        ledgerstone_journal::NewRevision { version: 1, ..first(1, 1) },
        ledgerstone_journal::NewRevision { supersedes: Some(0), version: 1, ..first(1, 1) },
        ledgerstone_journal::NewRevision { supersedes: Some(100), version: 1, ..first(1, 1) },
        ledgerstone_journal::NewRevision { data: Some(std::sync::Arc::new(5.into_value()).into()), ..first(1, 1) },
    ];
    for revision in bad {
        let future = ledger.submit(transaction(1, vec![revision]));
        ledger.drive();
        assert!(matches!(future.wait(), Err(CommitError::Refused(_))));
    }
    let future = ledger.submit(transaction(1, vec![]));
    ledger.drive();
    assert!(matches!(future.wait(), Err(CommitError::Refused(_))));
    assert_eq!(ledger.snapshot(), 1);
}

trait IntoValue {
    fn into_value(self) -> ledgerstone_digest::ion::Value;
}

impl IntoValue for i64 {
    fn into_value(self) -> ledgerstone_digest::ion::Value {
        ledgerstone_digest::ion::Value::int(self)
    }
}

#[test]
fn a_batch_whose_sync_failed_is_believed_by_a_new_process_only_if_it_is_on_the_disk() {
    for seed in 0..40 {
        let sim = Sim::new(seed);
        let env = sim.env();
        create(&env, &dir());
        env.storage.sync_dir(Path::new("/")).unwrap();
        let (ledger, _) = open(&env, &dir(), options()).unwrap();
        let mut acknowledged = vec![commit(&ledger, 1, 100).unwrap()];
        sim.disk.inject(Fault::Sync(".seg".to_owned()));
        assert!(matches!(commit(&ledger, 2, 5000), Err(CommitError::OutcomeUnknown { .. })));
        sim.disk.stop();
        drop(ledger);
        // The system still shows what it has not written.
        sim.disk.kill();
        let (ledger, _) = open(&env, &dir(), options()).unwrap();
        acknowledged.push(commit(&ledger, 3, 100).unwrap());
        sim.disk.crash();
        drop(ledger);
        let (ledger, _) = open(&env, &dir(), options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for committed in acknowledged {
            assert_eq!(ledger.read_block(committed.block).unwrap().tx_id, committed.transaction_id, "seed {seed}");
        }
    }
}

#[test]
fn what_a_killed_process_had_not_synced_is_signed_only_when_it_is_on_the_disk() {
    for seed in 0..40 {
        let sim = Sim::new(seed);
        let env = sim.env();
        create(&env, &dir());
        env.storage.sync_dir(Path::new("/")).unwrap();
        let (ledger, _) = open(&env, &dir(), options()).unwrap();
        // Killed between the write and its sync.
        sim.disk.stop_after_writes(1);
        assert!(commit(&ledger, 1, 100).is_err());
        drop(ledger);
        sim.disk.kill();
        let (ledger, _) = open(&env, &dir(), options()).unwrap();
        let signed = ledger.checkpoint().unwrap().checkpoint;
        sim.disk.crash();
        drop(ledger);
        let (ledger, _) = open(&env, &dir(), options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(ledger.snapshot() >= signed.size, "seed {seed}");
    }
}

#[test]
fn a_time_is_settled_although_what_was_pending_before_it_did_not_fit_the_disk() {
    let sim = Sim::new(1);
    let env = sim.env();
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    commit(&ledger, 1, 10).unwrap();
    let pending = ledger.submit(transaction(2, vec![first(2, 10)]));
    ledger.step(Step::Sequence);
    sim.disk.set_room(Some(0));
    // It waited for a block that never came.
    ledger.settle(env.clock.now_ms()).unwrap();
    assert!(matches!(pending.wait(), Err(CommitError::NoSpace { .. })));
    sim.disk.set_room(None);
    let committed = commit(&ledger, 3, 10).unwrap();
    assert_eq!(committed.block, 1);
}
