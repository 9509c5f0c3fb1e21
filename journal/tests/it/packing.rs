//! Packing: full segments lose their filler and nothing else, whatever happens meanwhile.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ledgerstone_journal::backup::restore;
use ledgerstone_journal::env::sim::{Fault, Sim};
use ledgerstone_journal::env::{OpenMode, Storage, read_file};
use ledgerstone_journal::pack::Packing;
use ledgerstone_journal::segment::{segment_number, segment_path};
use ledgerstone_journal::verify::{Verdict, VerifyOptions, verify_directory};
use ledgerstone_journal::{ClosedJournal, Env, Ledger, OpenOptions};

use crate::backups::{copy_dir, holds, take};
use crate::redacting::{SECRET, files_with, redaction, secret, target};
use crate::support::*;

fn small_segments() -> OpenOptions {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    options.staged_above_bytes = 12 << 10;
    options
}

/// A ledger of lone commits: nearly all of it is filler.
fn filled(env: &Env, commits: u64) -> Arc<Ledger> {
    create(env, &dir());
    env.storage.sync_dir("/data".as_ref()).unwrap();
    env.storage.sync_dir("/".as_ref()).unwrap();
    let (ledger, _) = open(env, &dir(), small_segments()).unwrap();
    for n in 1..=commits {
        commit(&ledger, n, 200).unwrap();
    }
    ledger
}

/// Packs every full segment. Returns the bytes before and after of those that were.
fn pack_all(ledger: &Ledger) -> Vec<(u64, u64)> {
    let packed = (0..ledger.sealed_segments()).filter_map(|number| match ledger.pack(number).unwrap() {
        Packing::Packed { bytes_before, bytes_after } => Some((bytes_before, bytes_after)),
        Packing::Left => None,
    });
    packed.collect()
}

/// Everything a reader can be told of what stands before a position; receipts are made besides.
fn told(ledger: &Ledger, positions: u64) -> Vec<(Vec<u8>, String)> {
    let read = |at| {
        let revision = ledger.read_revision(at).ok();
        assert!(revision.is_none() || ledger.receipt(at).is_ok(), "position {at}");
        format!("{revision:?}")
    };
    (1..positions).map(|at| (ledger.leaf(at).unwrap(), read(at))).collect()
}

fn verified(env: &Env) -> Verdict {
    let options = VerifyOptions { vkey: Some(key().verifier().clone()), ..VerifyOptions::default() };
    let report = verify_directory(env, &dir(), options);
    eprintln!("{:?}", report.findings);
    report.verdict()
}

#[test]
fn packed_segments_are_a_fraction_and_tell_the_same() {
    let env = Env::memory(1);
    let ledger = filled(&env, 60);
    let positions = ledger.snapshot();
    let checkpoint = ledger.checkpoint().unwrap().checkpoint;
    let before = told(&ledger, positions);
    let packed = pack_all(&ledger);
    assert!(packed.len() >= 3, "{packed:?}");
    for (from, to) in packed {
        assert!(to * 4 < from, "{from} bytes became {to}");
    }
    assert!(told(&ledger, positions) == before);
    assert_eq!(pack_all(&ledger), [], "what is packed is left");
    // Writing goes on behind, and another start finds all of it.
    for n in 100..130 {
        commit(&ledger, n, 200).unwrap();
    }
    ledger.close().unwrap();
    drop(ledger);
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    assert!(told(&ledger, positions) == before);
    assert_eq!(ledger.root(checkpoint.size).unwrap(), checkpoint.root);
    for number in 0..ledger.sealed_segments() {
        ledger.scrub(number).unwrap();
    }
    assert!(!pack_all(&ledger).is_empty(), "what filled since is packed too");
    drop(ledger);
    assert_eq!(verified(&env), Verdict::Holds);
}

#[test]
fn offsets_of_before_are_not_believed() {
    let env = Env::memory(2);
    let ledger = filled(&env, 40);
    let positions = ledger.snapshot();
    let before = told(&ledger, positions);
    ledger.close().unwrap();
    drop(ledger);
    let offsets = dir().join("offsets");
    let entries = env.storage.read_dir(&offsets).unwrap();
    let old: Vec<_> = entries
        .iter()
        .map(|entry| {
            (offsets.join(&entry.name), read_file(&*env.storage, &offsets.join(&entry.name), 1 << 20).unwrap())
        })
        .collect();
    assert!(!old.is_empty());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    assert!(!pack_all(&ledger).is_empty());
    drop(ledger);
    for (path, bytes) in &old {
        write(&*env.storage, path, bytes);
    }
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    assert!(told(&ledger, positions) == before);
}

#[test]
fn a_redaction_reaches_into_a_packed_segment() {
    let env = Env::memory(3);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    commit(&ledger, 1, 200).unwrap();
    let future = ledger.submit(transaction(10, vec![secret(12)]));
    ledger.drive();
    let committed = future.wait().unwrap();
    for n in 20..60 {
        commit(&ledger, n, 200).unwrap();
    }
    assert!(!pack_all(&ledger).is_empty());
    assert_eq!(files_with(&*env.storage, &dir(), SECRET).len(), 1);
    ledger.redact(redaction(70, &[target(&ledger, &committed, 12)])).unwrap();
    assert_eq!(files_with(&*env.storage, &dir(), SECRET), Vec::<std::path::PathBuf>::new());
    pack_all(&ledger);
    ledger.close().unwrap();
    drop(ledger);
    assert_eq!(verified(&env), Verdict::Holds);
}

#[test]
fn what_an_unfinished_redaction_has_written_is_left_alone() {
    let env = Env::memory(8);
    let ledger = filled(&env, 40);
    // Its segments are whole under their new names and wait for the next start, which renames them.
    let waiting = dir().join("journal").join("00000000000000000001.seg.new");
    let marker = dir().join("redaction");
    for path in [&waiting, &marker] {
        let file = env.storage.open(path, OpenMode::CreateNew).unwrap();
        ledgerstone_journal::env::write_all_at(&*file, b"redacted", 0).unwrap();
    }
    assert_eq!(pack_all(&ledger), []);
    assert_eq!(read_file(&*env.storage, &waiting, 1 << 20).unwrap(), b"redacted");
    env.storage.remove_file(&marker).unwrap();
    env.storage.remove_file(&waiting).unwrap();
    assert!(!pack_all(&ledger).is_empty());
}

#[test]
fn any_flipped_byte_of_a_packed_segment_is_noticed_and_so_is_a_missing_end() {
    let env = Env::memory(4);
    let ledger = filled(&env, 40);
    pack_all(&ledger);
    ledger.close().unwrap();
    drop(ledger);
    let path = segment_path(&dir(), 1);
    let whole = read_file(&*env.storage, &path, 1 << 20).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        write(&*env.storage, &path, &damaged);
        assert_ne!(verified(&env), Verdict::Holds, "byte {at}");
    }
    for length in [4096, 8192, whole.len() - 4096] {
        write(&*env.storage, &path, &whole[..length]);
        assert_ne!(verified(&env), Verdict::Holds, "{length} bytes");
    }
    write(&*env.storage, &path, &whole);
    assert_eq!(verified(&env), Verdict::Holds);
}

#[test]
fn segments_of_large_transactions_and_the_one_being_written_are_left_and_all_are_read() {
    let env = Env::memory(5);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
    for n in 0..12 {
        let revisions = (0..40).map(|at| first(1000 + n * 100 + at, 900)).collect();
        let future = ledger.submit(transaction(n, revisions));
        ledger.drive();
        future.wait().unwrap();
        commit(&ledger, 50_000 + n, 100).unwrap();
    }
    let positions = ledger.snapshot();
    let before = told(&ledger, positions);
    // Read together they are what they are one by one, in whatever order and segments.
    let mut mixed: Vec<u64> = (1..positions).filter(|at| ledger.read_revision(*at).is_ok()).collect();
    mixed.sort_by_key(|at| (at % 5, at.wrapping_mul(7) % 11, *at));
    let mut told_of = Vec::new();
    let mut tell = |revision| {
        told_of.push(format!("{revision:?}"));
        ControlFlow::Continue(())
    };
    ledger.read_revisions(&mixed, &mut tell).unwrap();
    let alone: Vec<String> = mixed.iter().map(|at| format!("{:?}", ledger.read_revision(*at).unwrap())).collect();
    assert!(told_of == alone && alone.len() > 400, "{} revisions", alone.len());
    let mut read = 0;
    let mut stop = |_| {
        read += 1;
        if read == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    ledger.read_revisions(&mixed, &mut stop).unwrap();
    let block = (1..positions).find(|at| !mixed.contains(at)).unwrap();
    assert!(ledger.read_revisions(&[mixed[0], block], &mut |_| ControlFlow::Continue(())).is_err());
    assert!(ledger.read_revisions(&[mixed[0], positions], &mut |_| ControlFlow::Continue(())).is_err());
    assert_eq!(read, 3);
    pack_all(&ledger);
    assert!(told(&ledger, positions) == before);
    assert!(ledger.pack(ledger.sealed_segments()).is_err(), "the last segment is being written");
    ledger.close().unwrap();
    drop(ledger);
    assert_eq!(verified(&env), Verdict::Holds);
}

#[test]
fn a_damaged_segment_is_named_and_stays_as_it_is() {
    let env = Env::memory(6);
    let ledger = filled(&env, 40);
    let path = segment_path(&dir(), 1);
    let mut bytes = read_file(&*env.storage, &path, 1 << 20).unwrap();
    bytes[4096 * 3 + 100] ^= 1;
    write(&*env.storage, &path, &bytes);
    let error = ledger.pack(1).unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert_eq!(read_file(&*env.storage, &path, 1 << 20).unwrap(), bytes);
}

#[test]
fn a_crash_at_any_moment_leaves_the_segment_of_before_or_the_packed_one() {
    let (mut packed, mut as_before) = (0, 0);
    for stop in 0..24 {
        let sim = Sim::new(stop);
        let env = sim.env();
        let ledger = filled(&env, 40);
        let positions = ledger.snapshot();
        let before = told(&ledger, positions);
        let length = |env: &Env| env.storage.open(&segment_path(&dir(), 1), OpenMode::Read).unwrap().len().unwrap();
        let full = length(&env);
        sim.disk.stop_after(stop);
        let _ = ledger.pack(1);
        drop(ledger);
        sim.disk.crash();
        // Who only looks is not disturbed by what was begun.
        assert_eq!(ClosedJournal::open(&env, &dir()).unwrap().end(), positions, "stopped after {stop} operations");
        let findings = verify_directory(&env, &dir(), VerifyOptions::default()).findings;
        assert!(findings.iter().all(|found| found.verdict == Verdict::CouldNotBeChecked), "{findings:?}");
        assert!(!findings.iter().any(|found| found.what.contains("does not belong")), "{findings:?}");
        let (ledger, _) = open(&env, &dir(), small_segments()).unwrap();
        assert!(told(&ledger, positions) == before, "stopped after {stop} operations");
        let names = env.storage.read_dir(&dir().join("journal")).unwrap();
        assert!(names.iter().all(|entry| segment_number(&entry.name).is_some()), "{names:?}");
        if length(&env) < full { packed += 1 } else { as_before += 1 }
    }
    assert!(packed > 0 && as_before > 0, "{packed} packed, {as_before} as before");
}

#[test]
fn a_disk_that_fails_or_reads_otherwise_leaves_the_segment_of_before() {
    for fault in [Fault::Sync, Fault::Write, Fault::Read, Fault::Flip] {
        let fault = fault(".new".to_owned());
        let sim = Sim::new(9);
        let env = sim.env();
        let ledger = filled(&env, 40);
        let path = segment_path(&dir(), 1);
        let before = read_file(&*env.storage, &path, 1 << 20).unwrap();
        sim.disk.inject(fault);
        ledger.pack(1).unwrap_err();
        assert_eq!(read_file(&*env.storage, &path, 1 << 20).unwrap(), before);
        // The fault is over: now it goes, and a redaction finds nothing of the first attempt.
        sim.disk.clear_faults();
        assert!(matches!(ledger.pack(1).unwrap(), Packing::Packed { .. }));
        commit(&ledger, 900, 10).unwrap();
    }
}

#[test]
fn a_backup_of_packed_segments_is_a_ledger_that_goes_on() {
    let env = Env::memory(7);
    let ledger = filled(&env, 60);
    let positions = ledger.snapshot();
    let before = told(&ledger, positions);
    let whole = take(&env, &ledger).unwrap();
    assert!(!pack_all(&ledger).is_empty());
    // A copy made before packing takes the packed segments over.
    let packed = take(&env, &ledger).unwrap();
    assert!(packed.bytes > 0 && packed.bytes * 4 < whole.bytes, "{packed:?} after {whole:?}");
    assert_eq!(take(&env, &ledger).unwrap().bytes, 0);
    assert_eq!(holds(&env, &copy_dir()), ledger.snapshot());
    let restored = Path::new("/data/restored");
    restore(&env, &copy_dir(), restored, false, &mut |_, _| ()).unwrap();
    let (ledger, _) = open(&env, restored, small_segments()).unwrap();
    assert!(told(&ledger, positions) == before);
}

fn write(storage: &dyn Storage, path: &Path, bytes: &[u8]) {
    let file = storage.open(path, OpenMode::Write).unwrap();
    file.set_len(0).unwrap();
    ledgerstone_journal::env::write_all_at(&*file, bytes, 0).unwrap();
}
