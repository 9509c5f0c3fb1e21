//! Full verification of directories: whole ones, damaged ones, rewritten ones.

use std::path::{Path, PathBuf};

use ledgerstone_digest::note::{SigningKey, VerifierKey};
use ledgerstone_journal::env::{EntryKind, OpenMode, Storage, read_file, write_all_at};
use ledgerstone_journal::reserve::RESERVE_FILE;
use ledgerstone_journal::verify::{Compared, Verdict, VerifyOptions, VerifyReport, verify_directory};
use ledgerstone_journal::{CreateOptions, Env, Ledger, NewRevision, OpenOptions, ReceiptError, rebuild_derived};

use crate::support::*;

fn check(env: &Env) -> VerifyReport {
    verify_directory(env, &dir(), VerifyOptions::default())
}

fn check_against(env: &Env, checkpoint: &str, vkey: &VerifierKey) -> VerifyReport {
    let options =
        VerifyOptions { checkpoint: Some(checkpoint.to_owned()), vkey: Some(vkey.clone()), ..VerifyOptions::default() };
    verify_directory(env, &dir(), options)
}

fn files(storage: &dyn Storage, path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in storage.read_dir(path).unwrap() {
        let inner = path.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => found.extend(files(storage, &inner)),
            _ => found.push(inner),
        }
    }
    found
}

/// A few blocks in two segments, closed.
fn small(env: &Env) -> Env {
    create_sized(env, &dir(), 16 << 10);
    let mut options = options();
    options.segment_bytes = 16 << 10;
    let (ledger, _) = open(env, &dir(), options).unwrap();
    commit(&ledger, 1, 10).unwrap();
    let update = NewRevision { version: 1, supersedes: Some(1), data: Some(document(7, 3).into()), ..first(1, 0) };
    let future = ledger.submit(transaction(2, vec![update, first(3, 40)]));
    ledger.drive();
    future.wait().unwrap();
    commit(&ledger, 4, 5000).unwrap();
    ledger.close().unwrap();
    env.clone()
}

#[test]
fn a_whole_ledger_holds() {
    let env = small(&Env::memory(1));
    let report = check(&env);
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict(), Verdict::Holds);
    assert_eq!((report.leaves, report.blocks, report.revisions, report.statements), (8, 3, 4, 3));
    assert_eq!(report.digests_with_parameters, 3);
    assert_eq!(report.checkpoint_size, Some(8));
    assert_eq!(report.compared, Compared::WithItself);
    assert_eq!(report.origin.as_deref(), Some(key().name()));
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    assert_eq!(ledger.checkpoint().unwrap().checkpoint.root, report.root.unwrap());
    assert_eq!(check(&env).verdict(), Verdict::CouldNotBeChecked, "a ledger in use");
}

#[test]
fn every_flipped_byte_is_caught_with_file_and_offset() {
    let env = small(&Env::memory(1));
    let storage = &*env.storage;
    // Long runs of zeros are sampled unless all bytes are asked for.
    let every = std::env::var_os("LEDGERSTONE_EVERY_BYTE").is_some();
    let mut flipped = 0;
    for path in files(storage, &dir()) {
        // Nobody ever reads what stands in the reserve.
        if path.ends_with(RESERVE_FILE) {
            continue;
        }
        let bytes = read_file(storage, &path, 1 << 20).unwrap();
        let file = storage.open(&path, OpenMode::Write).unwrap();
        for (offset, byte) in bytes.iter().enumerate() {
            let around = &bytes[offset.saturating_sub(32)..(offset + 32).min(bytes.len())];
            if !every && offset % 8 != 0 && around.iter().all(|byte| *byte == 0) {
                continue;
            }
            write_all_at(&*file, &[byte ^ (1 << (offset % 8))], offset as u64).unwrap();
            let report = check(&env);
            let at = format!("{}, byte {offset}", path.display());
            assert_ne!(report.verdict(), Verdict::Holds, "{at}");
            let named = report
                .findings
                .iter()
                .any(|finding| finding.path == path && finding.offset.is_some_and(|found| found <= offset as u64));
            assert!(named, "{at}: {:?}", report.findings);
            write_all_at(&*file, &[*byte], offset as u64).unwrap();
            flipped += 1;
        }
    }
    println!("{flipped} bytes flipped, one after the other");
    assert!(flipped > 10_000, "{flipped}");
    assert_eq!(check(&env).verdict(), Verdict::Holds);
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_threads() {
    let env = Env::memory(1);
    create_sized(&env, &dir(), 64 << 10);
    let mut options = options();
    options.segment_bytes = 512 << 10;
    options.staged_above_bytes = 200_000;
    let (ledger, _) = open(&env, &dir(), options).unwrap();
    for n in 1..200 {
        commit(&ledger, n, 300).unwrap();
    }
    // One block of several tasks, and one whose revisions are written ahead.
    for (n, size) in [(1000, 20), (3000, 300)] {
        let future = ledger.submit(transaction(n, (n..n + 1100).map(|n| first(n, size)).collect()));
        ledger.drive();
        future.wait().unwrap();
    }
    commit(&ledger, 5000, 300).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    let on = |threads| {
        let report = verify_directory(&env, &dir(), VerifyOptions { threads: Some(threads), ..Default::default() });
        (report.findings, report.root, report.leaves, report.revisions)
    };
    let (findings, root, _, revisions) = on(1);
    assert_eq!((findings.as_slice(), root.is_some(), revisions), (&[][..], true, 199 + 2200 + 1));
    for threads in [2, 5] {
        assert_eq!(on(threads), on(1));
    }
    let mut damaged = 0;
    for path in files(&*env.storage, &dir().join("journal")) {
        let bytes = read_file(&*env.storage, &path, 1 << 20).unwrap();
        let file = env.storage.open(&path, OpenMode::Write).unwrap();
        for offset in (0..bytes.len()).step_by(9973).filter(|offset| bytes[*offset] != 0) {
            write_all_at(&*file, &[bytes[offset] ^ 0x10], offset as u64).unwrap();
            let alone = on(1);
            assert_ne!(alone.0, []);
            assert_eq!(on(2), alone, "{}, byte {offset}", path.display());
            assert_eq!(on(5), alone, "{}, byte {offset}", path.display());
            write_all_at(&*file, &[bytes[offset]], offset as u64).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 50, "{damaged}");
}

#[test]
fn damage_under_a_checkpoint_names_the_block() {
    let env = small(&Env::memory(1));
    let path = dir().join("journal/00000000000000000000.seg");
    let bytes = read_file(&*env.storage, &path, 1 << 20).unwrap();
    let file = env.storage.open(&path, OpenMode::Write).unwrap();
    // Block 1 is in the third batch: header page, genesis, block 0, block 1.
    let offset = 3 * 4096 + 300;
    assert_ne!(bytes[offset], 0);
    write_all_at(&*file, &[bytes[offset] ^ 1], offset as u64).unwrap();
    let report = check(&env);
    assert_eq!(report.verdict(), Verdict::DoesNotHold);
    let finding = report.findings.iter().find(|finding| finding.path == path).unwrap();
    assert_eq!(finding.block, Some(1), "{finding}");
    assert!(finding.offset.is_some_and(|found| found > 3 * 4096 && found <= offset as u64), "{finding}");
}

#[test]
fn a_torn_last_batch_could_not_be_checked() {
    let env = small(&Env::memory(1));
    let end = check(&env).leaves;
    // What a write of a whole batch leaves when the machine stops in it: no checkpoint reaches it.
    let path = dir().join("journal/00000000000000000001.seg");
    let bytes = read_file(&*env.storage, &path, 1 << 20).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let at = (used as u64 + 1).next_multiple_of(4096);
    let file = env.storage.open(&path, OpenMode::Write).unwrap();
    let nonce = bytes[4096..4112].to_vec();
    write_all_at(&*file, &nonce, at).unwrap();
    write_all_at(&*file, b"half of a batch", at + 100).unwrap();
    let report = check(&env);
    assert_eq!(report.verdict(), Verdict::CouldNotBeChecked, "{:?}", report.findings);
    assert_eq!(report.verdict().exit_status(), 2);
    assert_eq!(report.leaves, end);
    assert_eq!(report.findings[0].path, path);
    assert!(report.findings[0].offset.is_some_and(|found| (at..at + 4096).contains(&found)));
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    assert_eq!(check(&env).verdict(), Verdict::Holds);
}

#[test]
fn derived_files_can_be_deleted_and_come_back_the_same() {
    let env = small(&Env::memory(1));
    let before = check(&env);
    for derived in ["tree", "offsets"] {
        env.storage.remove_dir_all(&dir().join(derived)).unwrap();
    }
    assert_eq!(check(&env).verdict(), Verdict::Holds, "what is not there is not compared");
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    let checkpoint = ledger.checkpoint().unwrap().checkpoint;
    assert_eq!((checkpoint.size, Some(checkpoint.root)), (before.leaves, before.root));
    ledger.receipt(1).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    assert!(env.storage.exists(&dir().join("tree/00")));
    assert_eq!(check(&env).verdict(), Verdict::Holds);
}

#[test]
fn missing_segments_and_checkpoints_are_caught() {
    for missing in ["journal/00000000000000000000.seg", "journal/00000000000000000001.seg", "checkpoint"] {
        let env = small(&Env::memory(1));
        env.storage.remove_file(&dir().join(missing)).unwrap();
        let report = check(&env);
        assert_eq!(report.verdict(), Verdict::DoesNotHold, "{missing}");
    }
}

#[test]
fn a_rewritten_ledger_is_consistent_with_itself_and_not_with_what_was_kept() {
    let env = small(&Env::memory(1));
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    let kept = ledger.checkpoint().unwrap();
    ledger.close().unwrap();
    drop(ledger);
    let report = check_against(&env, &kept.note, key().verifier());
    assert_eq!(report.verdict(), Verdict::Holds, "{:?}", report.findings);
    assert!(matches!(report.compared, Compared::WithCheckpoint { size: 8, .. }));

    // The operator makes the same ledger again with another history, once with another key, once with the same.
    for seed in [8, 7] {
        env.storage.remove_dir_all(&dir()).unwrap();
        let forger = SigningKey::from_seed(key().name(), &[seed; 32]).unwrap();
        Ledger::create(&env, &dir(), &CreateOptions::new(LEDGER, "ledger.example", forger.clone())).unwrap();
        let mut options = OpenOptions::new(forger);
        options.threads = false;
        let (ledger, _) = open(&env, &dir(), options).unwrap();
        for n in 1..6 {
            commit(&ledger, n, 11).unwrap();
        }
        ledger.close().unwrap();
        drop(ledger);
        assert_eq!(check(&env).verdict(), Verdict::Holds, "consistent with itself");
        let report = check_against(&env, &kept.note, key().verifier());
        assert_eq!(report.verdict(), Verdict::DoesNotHold);
        let told = report.findings.iter().any(|finding| finding.what.contains("the checkpoint you hold"));
        assert!(told, "{:?}", report.findings);
        let other_key = report.findings.iter().any(|finding| finding.what.contains("names the key"));
        assert_eq!(other_key, seed == 8);
    }
}

#[test]
fn a_checkpoint_that_nobody_trusted_signed_is_not_compared() {
    let env = small(&Env::memory(1));
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    let kept = ledger.checkpoint().unwrap();
    drop(ledger);
    let other = SigningKey::from_seed(key().name(), &[8; 32]).unwrap();
    assert_ne!(check_against(&env, &kept.note, other.verifier()).verdict(), Verdict::Holds);
    assert_ne!(check_against(&env, "nonsense", key().verifier()).verdict(), Verdict::Holds);
    let alone = VerifyOptions { checkpoint: Some(kept.note.to_string()), ..VerifyOptions::default() };
    assert_eq!(verify_directory(&env, &dir(), alone).verdict(), Verdict::CouldNotBeChecked);
}

#[test]
fn transactions_written_ahead_are_verified() {
    let env = Env::memory(1);
    create_sized(&env, &dir(), 16 << 10);
    let mut options = options();
    options.segment_bytes = 32 << 10;
    options.staged_above_bytes = 10_000;
    let (ledger, _) = open(&env, &dir(), options).unwrap();
    commit(&ledger, 1, 10).unwrap();
    let future = ledger.submit(transaction(2, (10..50).map(|n| first(n, 2000)).collect()));
    ledger.drive();
    let committed = future.wait().unwrap();
    commit(&ledger, 3, 10).unwrap();
    ledger.receipt(committed.first_position + 20).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    let report = check(&env);
    assert_eq!(report.findings, []);
    assert_eq!((report.blocks, report.revisions), (3, 42));
}

#[test]
fn damaged_tree_files_never_give_a_wrong_proof_and_are_rebuilt() {
    let env = Env::memory(1);
    create_sized(&env, &dir(), 16 << 10);
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    for n in 1..100 {
        commit(&ledger, n, 1).unwrap();
    }
    let root = ledger.checkpoint().unwrap().checkpoint.root;
    assert!(rebuild_derived(&env, &dir(), &mut |_, _| ()).is_err(), "a ledger in use");
    ledger.close().unwrap();
    drop(ledger);
    // Far from the right edge, which is all that opening looks at.
    let file = env.storage.open(&dir().join("tree/00"), OpenMode::Write).unwrap();
    write_all_at(&*file, &[0; 32], 4 * 32).unwrap();
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    let refused = ledger.receipt(5).unwrap_err();
    assert!(matches!(refused, ReceiptError::TreeDamaged(_)) && refused.to_string().contains("doctor"), "{refused}");
    ledger.receipt(151).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    let report = check(&env);
    assert_eq!(report.verdict(), Verdict::DoesNotHold);
    assert_eq!((&report.findings[0].path, report.findings[0].offset), (&dir().join("tree/00"), Some(4 * 32)));

    let rebuilt = rebuild_derived(&env, &dir(), &mut |_, _| ()).unwrap();
    assert_eq!((rebuilt.leaves, rebuilt.root, rebuilt.checkpoint_size), (199, root, 199));
    assert_eq!(check(&env).findings, []);
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    ledger.receipt(5).unwrap();
}
