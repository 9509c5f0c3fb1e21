//! Backups: taken while the ledger is written to, continued, restored, and whole whatever the disk does.

use std::path::{Path, PathBuf};

use ledgerstone_journal::backup::{BackupError, Part, Received, Receiving, confirm, is_restored, restore};
use ledgerstone_journal::env::sim::Sim;
use ledgerstone_journal::env::{OpenMode, read_file, write_all_at};
use ledgerstone_journal::verify::{Verdict, VerifyOptions, VerifyReport, verify_directory};
use ledgerstone_journal::{CommitError, Env, Ledger, OpenOptions};

use crate::redacting::{SECRET, files_with, redaction, secret, target};
use crate::support::*;

fn small() -> OpenOptions {
    let mut options = options();
    options.segment_bytes = 32 << 10;
    options.staged_above_bytes = 12 << 10;
    options
}

pub fn copy_dir() -> PathBuf {
    PathBuf::from("/backups/main")
}

pub fn take(env: &Env, ledger: &Ledger) -> Result<Received, BackupError> {
    let mut receiving = Receiving::open(env, &copy_dir())?;
    let held = receiving.held();
    let backup = ledger.backup(&held)?;
    receiving.head(backup.head())?;
    backup.send(&held, &mut |part| match part {
        Part::Segment { held, length, from } => receiving.segment(held, length, from),
        Part::Bytes(bytes) => receiving.bytes(bytes),
    })?;
    receiving.finish(backup.head().clone())
}

fn check(env: &Env, dir: &Path) -> VerifyReport {
    verify_directory(env, dir, VerifyOptions { vkey: Some(key().verifier().clone()), ..VerifyOptions::default() })
}

pub fn holds(env: &Env, dir: &Path) -> u64 {
    let report = check(env, dir);
    assert_eq!(report.verdict(), Verdict::Holds, "{:#?}", report.findings);
    report.leaves
}

fn ledger(env: &Env) -> std::sync::Arc<Ledger> {
    create_sized(env, &dir(), 32 << 10);
    open(env, &dir(), small()).unwrap().0
}

#[test]
fn a_backup_of_an_open_ledger_is_the_ledger_as_of_its_checkpoint() {
    let env = Env::memory(1);
    let ledger = ledger(&env);
    for n in 1..40 {
        commit(&ledger, n, 1500).unwrap();
    }
    let held = Vec::new();
    let mut receiving = Receiving::open(&env, &copy_dir()).unwrap();
    let backup = ledger.backup(&held).unwrap();
    let size = ledger.snapshot();
    assert_eq!(backup.head().size, size);
    // What is committed while the backup is read is not in it.
    let mut n = 100;
    let send = backup.send(&held, &mut |part| {
        commit(&ledger, n, 700).unwrap();
        n += 1;
        match part {
            Part::Segment { held, length, from } => receiving.segment(held, length, from),
            Part::Bytes(bytes) => receiving.bytes(bytes),
        }
    });
    send.unwrap();
    let received = receiving.finish(backup.head().clone()).unwrap();
    assert!(received.head.segments > 1, "more than one segment: {received:?}");
    assert_eq!(holds(&env, &copy_dir()), size);
    assert!(ledger.snapshot() > size);
}

#[test]
fn a_ledger_closes_while_a_backup_of_it_is_sent() {
    let env = Env::memory(1);
    let ledger = ledger(&env);
    commit(&ledger, 1, 1500).unwrap();
    let held = Vec::new();
    let backup = ledger.backup(&held).unwrap();
    // Whoever waits for the receiver of a backup must not be waited for.
    ledger.close().unwrap();
    let mut bytes_sent = 0;
    let send = backup.send(&held, &mut |part| {
        bytes_sent += if let Part::Bytes(bytes) = part { bytes.len() } else { 0 };
        Ok(())
    });
    send.unwrap();
    assert!(bytes_sent > 0);
}

#[test]
fn the_next_backup_sends_only_what_is_new() {
    let env = Env::memory(2);
    let ledger = ledger(&env);
    for n in 1..60 {
        commit(&ledger, n, 1500).unwrap();
    }
    let first = take(&env, &ledger).unwrap();
    let again = take(&env, &ledger).unwrap();
    assert_eq!((again.bytes, again.segments_written), (0, 0));
    commit(&ledger, 100, 10).unwrap();
    let next = take(&env, &ledger).unwrap();
    assert_eq!((next.bytes, next.segments_written), (4096, 1), "one batch of one page");
    for n in 101..130 {
        commit(&ledger, n, 1500).unwrap();
    }
    let rolled = take(&env, &ledger).unwrap();
    assert!(rolled.segments_written > 1 && rolled.bytes < first.bytes, "{rolled:?}");
    assert_eq!(holds(&env, &copy_dir()), ledger.snapshot());
}

#[test]
fn a_redaction_reaches_a_backup_with_the_next_one() {
    let env = Env::memory(3);
    let ledger = ledger(&env);
    for n in 1..30 {
        commit(&ledger, n, 1500).unwrap();
    }
    let future = ledger.submit(transaction(50, vec![secret(51), first(52, 30)]));
    ledger.drive();
    let committed = future.wait().unwrap();
    for n in 60..90 {
        commit(&ledger, n, 1500).unwrap();
    }
    take(&env, &ledger).unwrap();
    assert!(!files_with(&*env.storage, &copy_dir(), SECRET).is_empty());
    ledger.redact(redaction(200, &[target(&ledger, &committed, 51)])).unwrap();
    take(&env, &ledger).unwrap();
    assert_eq!(files_with(&*env.storage, &copy_dir(), SECRET), Vec::<PathBuf>::new());
    assert_eq!(holds(&env, &copy_dir()), ledger.snapshot());
}

#[test]
fn a_restored_ledger_is_read_only_until_a_checkpoint_kept_elsewhere_was_compared() {
    let env = Env::memory(4);
    let original = ledger(&env);
    for n in 1..10 {
        commit(&original, n, 300).unwrap();
    }
    let kept = original.checkpoint().unwrap().note.to_string();
    commit(&original, 11, 300).unwrap();
    take(&env, &original).unwrap();
    commit(&original, 12, 300).unwrap();
    let newer = original.checkpoint().unwrap().note.to_string();
    let restored = PathBuf::from("/data/restored");
    restore(&env, &copy_dir(), &restored, false, &mut |_, _| ()).unwrap();
    assert!(is_restored(&env, &restored));
    assert!(restore(&env, &copy_dir(), &restored, false, &mut |_, _| ()).is_err(), "never over a ledger");

    let (read_only, _) = open(&env, &restored, small()).unwrap();
    let refused = commit(&read_only, 20, 10).unwrap_err();
    assert!(matches!(refused, CommitError::ReadOnly { .. }), "{refused}");
    assert!(read_only.read_revision(1).is_ok());
    assert!(read_only.stopped().is_some_and(|why| why.contains("--confirm")));
    read_only.close().unwrap();
    assert_eq!(holds(&env, &restored), 21);

    let vkey = key().verifier().clone();
    let behind = confirm(&env, &restored, newer, vkey.clone(), None);
    // The ledger is behind what was handed out: writing would make a second history.
    assert!(!matches!(&behind, Ok(report) if report.verdict() == Verdict::Holds), "{behind:?}");
    assert!(is_restored(&env, &restored));
    let report = confirm(&env, &restored, kept, vkey, None).unwrap();
    assert_eq!(report.verdict(), Verdict::Holds);
    assert!(!is_restored(&env, &restored));
    let (writable, _) = open(&env, &restored, small()).unwrap();
    commit(&writable, 20, 10).unwrap();
}

#[test]
fn a_backup_that_was_changed_does_not_verify() {
    let env = Env::memory(5);
    let ledger = ledger(&env);
    for n in 1..5 {
        commit(&ledger, n, 300).unwrap();
    }
    take(&env, &ledger).unwrap();
    let path = copy_dir().join("journal/00000000000000000000.seg");
    let mut bytes = read_file(&*env.storage, &path, 1 << 30).unwrap();
    bytes[9000] ^= 1;
    write_all_at(&*env.storage.open(&path, OpenMode::Write).unwrap(), &bytes, 0).unwrap();
    assert_eq!(check(&env, &copy_dir()).verdict(), Verdict::DoesNotHold);
}

#[test]
fn a_directory_that_is_no_backup_is_left_alone() {
    let env = Env::memory(6);
    let ledger = ledger(&env);
    for path in [dir(), PathBuf::from("/data")] {
        let refused = Receiving::open(&env, &path).map(drop);
        assert!(matches!(refused, Err(BackupError::Directory { .. })), "{}: {refused:?}", path.display());
    }
    take(&env, &ledger).unwrap();
    let mut other = take(&env, &ledger).unwrap().head;
    other.ledger = id(7);
    let refused = Receiving::open(&env, &copy_dir()).unwrap().head(&other);
    assert!(refused.unwrap_err().to_string().contains("not of"));
}

#[test]
fn a_backup_that_is_cut_off_anywhere_leaves_one_that_verifies_or_that_the_next_completes() {
    for seed in 0..40 {
        let sim = Sim::new(seed);
        let env = sim.env();
        // The ledger is on a good disk, the backup on the simulated one.
        let ledger = ledger_of_some_segments(&Env::memory(seed));
        let first = take(&env, &ledger).unwrap().head.size;
        for n in 100..130 {
            commit(&ledger, n, 900).unwrap();
        }
        sim.disk.stop_after(3 + seed * 2);
        let cut_off = take(&env, &ledger);
        sim.disk.kill();
        sim.disk.crash();
        if let Ok(done) = &cut_off {
            assert_eq!(holds(&env, &copy_dir()), done.head.size, "seed {seed}");
        }
        let again = take(&env, &ledger).unwrap();
        assert!(again.head.size > first);
        assert_eq!(holds(&env, &copy_dir()), again.head.size, "seed {seed}");
    }
}

fn ledger_of_some_segments(env: &Env) -> std::sync::Arc<Ledger> {
    let ledger = ledger(env);
    for n in 1..30 {
        commit(&ledger, n, 900).unwrap();
    }
    ledger
}
