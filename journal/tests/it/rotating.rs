//! Rotation of the key: what is signed by whom, whenever the power fails, and what a directory's checkpoints are believed
//! to be signed with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::note::{SigningKey, VerifierKey};
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::{KeyChain, hands_over};
use ledgerstone_digest::tree::verify_consistency;
use ledgerstone_journal::backup::{Part, Receiving, confirm, restore};
use ledgerstone_journal::env::sim::Sim;
use ledgerstone_journal::env::{OpenMode, read_file, write_all_at};
use ledgerstone_journal::keyring::{KeyRing, KeySource, StoredKeys};
use ledgerstone_journal::rotation::{ROTATIONS_DIR, RotateError, Rotated};
use ledgerstone_journal::verify::{Verdict, VerifyOptions, VerifyReport, verify_directory};
use ledgerstone_journal::{CommitError, Env, Keys, Ledger, NewRevision, OpenError, OpenOptions, Transaction};

use crate::support::*;

fn ring(env: &Env) -> KeyRing<StoredKeys> {
    KeyRing::new(StoredKeys { storage: env.storage.clone(), dir: "/keys".into() }, LEDGER)
}

fn small() -> OpenOptions {
    OpenOptions { segment_bytes: 32 << 10, ..options() }
}

fn with_ring(env: &Env) -> OpenOptions {
    OpenOptions { keys: Keys::new(ring(env)), ..small() }
}

fn make(env: &Env) {
    env.storage.create_dir_all(Path::new("/keys")).unwrap();
    ring(env).create(&key()).unwrap();
    create_sized(env, &dir(), 32 << 10);
    for parent in ["/data", "/"] {
        env.storage.sync_dir(parent.as_ref()).unwrap();
    }
}

fn start(env: &Env) -> Result<Arc<Ledger>, OpenError> {
    open(env, &dir(), with_ring(env)).map(|(ledger, _)| ledger)
}

fn made(env: &Env) -> Arc<Ledger> {
    make(env);
    let ledger = start(env).unwrap();
    for n in 1..5 {
        commit(&ledger, n, 700).unwrap();
    }
    ledger
}

fn record(ledger: &Ledger, version: u64) -> NewRevision {
    let before = ledger.keys().keys().nth(version as usize).map(|key| key.size_min.saturating_sub(2));
    NewRevision {
        table_id: Id::KEYS,
        document_id: LEDGER,
        version,
        supersedes: before.filter(|_| version > 0),
        data: None,
        data_hash: None,
        salt: None,
        listed: None,
    }
}

fn rotate(ledger: &Ledger, n: u64) -> Result<Rotated, RotateError> {
    let rotation = ledger.rotate_key()?;
    let revision = record(ledger, rotation.version());
    let keys = rotation.keys().clone();
    rotation.commit(Transaction { rotation: Some(keys), ..transaction(n, vec![revision]) })
}

fn signers(note: &str, keys: &[&VerifierKey]) -> Vec<usize> {
    let read = UnverifiedCheckpoint::parse(note).unwrap();
    (0..keys.len()).filter(|at| read.note().verify(keys[*at]).unwrap()).collect()
}

fn check_with(env: &Env, dir: &Path, checkpoint: Option<&str>, vkey: Option<&VerifierKey>) -> VerifyReport {
    let (checkpoint, vkey) = (checkpoint.map(str::to_owned), vkey.cloned());
    verify_directory(env, dir, VerifyOptions { checkpoint, vkey, ..VerifyOptions::default() })
}

fn holds(env: &Env, checkpoint: Option<&str>, vkey: Option<&VerifierKey>) {
    let report = check_with(env, &dir(), checkpoint, vkey);
    assert_eq!(report.verdict(), Verdict::Holds, "{:#?}", report.findings);
}

fn broken(env: &Env, checkpoint: Option<&str>, vkey: Option<&VerifierKey>) -> String {
    let report = check_with(env, &dir(), checkpoint, vkey);
    assert_eq!(report.verdict(), Verdict::DoesNotHold, "{:#?}", report.findings);
    report.findings.iter().map(|finding| finding.what.clone()).collect::<Vec<_>>().join("\n")
}

fn note_of(env: &Env, from: u64) -> std::path::PathBuf {
    let path = dir().join(ROTATIONS_DIR).join(format!("{from:020}.note"));
    assert!(env.storage.exists(&path));
    path
}

fn sign(ledger: &Ledger, size: u64, root: ledgerstone_digest::Hash, key: &SigningKey) -> String {
    Checkpoint { origin: ledger.origin().to_owned(), size, root }.sign(key).unwrap()
}

#[test]
fn one_size_is_signed_by_both_keys_and_each_other_by_the_one_in_force() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let before = ledger.checkpoint().unwrap();
    let rotated = rotate(&ledger, 50).unwrap();
    let (old, new, from) = (rotated.record.old.clone(), rotated.record.new.clone(), rotated.record.from);
    assert_eq!(from, rotated.committed.snapshot());
    assert_eq!((old.clone(), new.clone()), (key().verifier().clone(), ledger.vkey()));
    assert_eq!(rotated.unsettled, None);
    assert_eq!(hands_over(&rotated.note, &rotated.record).unwrap().size, from);
    commit(&ledger, 51, 700).unwrap();
    let after = ledger.checkpoint().unwrap();
    let keys = [&old, &new];
    assert_eq!(signers(&before.note, &keys), [0]);
    assert_eq!(signers(&rotated.note, &keys), [0, 1]);
    assert_eq!(signers(&after.note, &keys), [1]);

    // Who knows the old key follows, and so do receipts.
    let mut chain = KeyChain::new(old.clone());
    let receipts = ledger.rotations(None).unwrap();
    assert_eq!(receipts.len(), 1);
    chain.follow(&Receipt::decode(&receipts[0]).unwrap()).unwrap();
    assert_eq!(*chain.current(), new);
    assert!(ledger.rotations(Some(&new)).unwrap().is_empty());
    chain.verify(&ledger.receipt(1).unwrap().checkpoint).unwrap();

    // A restart goes on with the new key, twice rotated too.
    ledger.close().unwrap();
    drop(ledger);
    let ledger = start(&env).unwrap();
    assert_eq!(ledger.vkey(), new);
    let second = rotate(&ledger, 52).unwrap();
    assert_eq!(second.record.old, new);
    commit(&ledger, 53, 100).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    let ledger = start(&env).unwrap();
    assert_eq!(ledger.vkey(), second.record.new);
    assert_eq!(ledger.rotations(None).unwrap().len(), 2);
    assert_eq!(ledger.rotations(Some(&new)).unwrap().len(), 1);
    drop(ledger);
    let report = check_with(&env, &dir(), Some(&before.note), Some(&old));
    assert_eq!((report.verdict(), report.rotations), (Verdict::Holds, 2), "{:#?}", report.findings);
    assert_eq!(report.vkey, Some(second.record.new.to_string()));
    holds(&env, Some(&after.note), Some(&new));
    holds(&env, Some(&rotated.note), Some(&old));
    holds(&env, Some(&rotated.note), Some(&new));
    holds(&env, None, Some(&second.record.new));
}

#[test]
fn other_blocks_around_a_rotation_do_not_move_the_size_where_the_key_changes() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let rotation = ledger.rotate_key().unwrap();
    let before = ledger.submit(transaction(60, vec![first(60, 100), first(61, 100)]));
    let revision = record(&ledger, 0);
    let transaction_of = Transaction { rotation: Some(rotation.keys().clone()), ..transaction(62, vec![revision]) };
    // Sequenced with others around it, and durable together with them.
    let behind = transaction(63, vec![first(63, 100)]);
    let ledger_of = ledger.clone();
    let after = std::thread::scope(|scope| {
        let later = scope.spawn(|| ledger_of.submit(behind));
        later.join().unwrap()
    });
    let rotated = rotation.commit(transaction_of).unwrap();
    let (before, after) = (before.wait().unwrap(), after.wait().unwrap());
    assert!(before.snapshot() < rotated.record.from && rotated.record.from != after.snapshot());
    let newest = ledger.checkpoint().unwrap();
    assert_eq!(rotated.record.from, rotated.committed.snapshot());
    assert_eq!(hands_over(&rotated.note, &rotated.record).unwrap().size, rotated.record.from);
    drop(rotation);
    drop((ledger, ledger_of));
    holds(&env, Some(&newest.note), Some(&rotated.record.new));
}

#[test]
fn only_a_rotation_writes_to_the_table_of_keys_and_nothing_else_with_it() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let submit = |transaction: Transaction| {
        let future = ledger.submit(transaction);
        ledger.drive();
        future.wait().unwrap_err()
    };
    let by_hand = NewRevision { data: Some(document(1, 1).into()), ..record(&ledger, 0) };
    assert!(matches!(submit(transaction(70, vec![by_hand])), CommitError::Refused(_)));
    let rotation = ledger.rotate_key().unwrap();
    let keys = rotation.keys().clone();
    let two = vec![record(&ledger, 0), first(71, 10)];
    let refused = rotation.commit(Transaction { rotation: Some(keys.clone()), ..transaction(71, two) });
    assert!(matches!(refused, Err(RotateError::Commit(CommitError::Refused(_)))));
    let other = NewRevision { document_id: id(4), ..record(&ledger, 0) };
    let refused = rotation.commit(Transaction { rotation: Some(keys.clone()), ..transaction(72, vec![other]) });
    assert!(matches!(refused, Err(RotateError::Commit(CommitError::Refused(_)))));
    // The same rotation, done right, goes through after all that.
    let right = Transaction { rotation: Some(keys), ..transaction(73, vec![record(&ledger, 0)]) };
    rotation.commit(right).unwrap();
}

#[test]
fn a_kept_checkpoint_out_of_its_keys_range_is_refused_by_name() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let before = ledger.checkpoint().unwrap().checkpoint;
    let rotated = rotate(&ledger, 50).unwrap();
    commit(&ledger, 51, 700).unwrap();
    let after = ledger.checkpoint().unwrap().checkpoint;
    let new_key = ring(&env).find(&rotated.record.new).unwrap();
    let (old, new) = (&rotated.record.old, &rotated.record.new);
    let by_old = sign(&ledger, after.size, after.root, &key());
    let by_new = sign(&ledger, before.size, before.root, &new_key);
    drop(ledger);
    let what = broken(&env, Some(&by_old), Some(old));
    assert!(what.contains(&old.to_string()) && what.contains("may sign sizes 1 to"), "{what}");
    let what = broken(&env, Some(&by_new), Some(new));
    assert!(what.contains(&new.to_string()) && what.contains("may sign sizes from"), "{what}");
    let stranger = SigningKey::from_seed(key().name(), &[99; 32]).unwrap();
    let what = broken(&env, None, Some(stranger.verifier()));
    assert!(what.contains("this is not the ledger you know"), "{what}");
}

/// Replaces a file.
fn put(env: &Env, path: &Path, bytes: &[u8]) {
    let file = env.storage.open(path, OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
}

#[test]
fn a_rotation_that_the_old_key_has_not_signed_is_not_believed() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let rotated = rotate(&ledger, 50).unwrap();
    commit(&ledger, 51, 700).unwrap();
    ledger.checkpoint().unwrap();
    let (old, new, from) = (rotated.record.old.clone(), rotated.record.new.clone(), rotated.record.from);
    ledger.close().unwrap();
    drop(ledger);
    let path = note_of(&env, from);
    let good = read_file(&*env.storage, &path, 10_000).unwrap();
    let root = hands_over(&rotated.note, &rotated.record).unwrap().root;
    let new_key = ring(&env).find(&new).unwrap();
    let checkpoint = Checkpoint { origin: key().name().to_owned(), size: from, root };
    let by_new_alone = checkpoint.sign(&new_key).unwrap();
    let by_old_alone = checkpoint.sign(&key()).unwrap();
    for note in [&by_new_alone, &by_old_alone, &rotated.note.replace(&from.to_string(), &(from - 2).to_string())] {
        put(&env, &path, note.as_bytes());
        let what = broken(&env, None, Some(&old));
        assert!(what.contains("is not believed"), "{what}");
        let refused = start(&env).map(drop);
        assert!(matches!(refused, Err(OpenError::Rotation { .. })), "{refused:?}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        put(&env, &path, &bad);
        assert_ne!(check_with(&env, &dir(), None, Some(&old)).verdict(), Verdict::Holds, "byte {at}");
    }
    env.storage.remove_file(&path).unwrap();
    let what = broken(&env, None, Some(&old));
    assert!(what.contains("the note is missing"), "{what}");
    let refused = start(&env).map(drop).unwrap_err().to_string();
    assert!(refused.contains("missing from `rotations`"), "{refused}");
    put(&env, &path, &good);
    start(&env).unwrap();
    holds(&env, None, Some(&old));
}

#[test]
fn a_note_that_is_lost_before_anything_else_is_signed_is_made_again() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let rotated = rotate(&ledger, 50).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    env.storage.remove_dir_all(&dir().join(ROTATIONS_DIR)).unwrap();
    let what = broken(&env, None, Some(&rotated.record.old));
    assert!(what.contains("the note is missing"), "{what}");
    let ledger = start(&env).unwrap();
    assert_eq!(ledger.vkey(), rotated.record.new);
    drop(ledger);
    holds(&env, None, Some(&rotated.record.old));
}

#[test]
fn keys_that_are_lost_are_named_and_the_ledger_goes_on_when_they_are_back() {
    // Stopped between the durable block and the note that both sign: both are needed.
    let sim = Sim::new(3);
    let env = sim.env();
    let ledger = made(&env);
    let new = {
        let rotation = ledger.rotate_key().unwrap();
        let revision = record(&ledger, 0);
        let keys = rotation.keys().clone();
        let future = ledger.submit(Transaction { rotation: Some(keys.clone()), ..transaction(80, vec![revision]) });
        ledger.drive();
        future.wait().unwrap();
        sim.disk.stop();
        keys.new
    };
    drop(ledger);
    sim.disk.crash();
    let report = check_with(&env, &dir(), None, Some(key().verifier()));
    assert_eq!(report.verdict(), Verdict::CouldNotBeChecked, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|finding| finding.what.contains("not handed over yet")));
    let names: Vec<String> = env.storage.read_dir("/keys".as_ref()).unwrap().into_iter().map(|e| e.name).collect();
    for name in names.iter().filter(|name| name.ends_with(".key")) {
        let (path, away) = (Path::new("/keys").join(name), Path::new("/away").to_owned());
        env.storage.rename(&path, &away).unwrap();
        let refused = start(&env).map(drop).unwrap_err();
        let text = refused.to_string();
        if name.contains(".new.") {
            assert!(matches!(refused, OpenError::RotationKey { .. }), "{text}");
            assert!(text.contains("the new key") && text.contains(&new.to_string()), "{text}");
        } else {
            assert!(text.contains(&format!("/keys/{LEDGER}.key is missing")), "{text}");
        }
        env.storage.rename(&away, &path).unwrap();
    }
    let ledger = start(&env).unwrap();
    ledger.checkpoint().unwrap();
    assert_eq!(ledger.vkey(), new);
    // The file has taken its name as soon as the key took over, not only at the next start.
    assert_eq!(*ring(&env).all().unwrap()[0].1.verifier(), new);
    drop(ledger);
    holds(&env, None, Some(key().verifier()));
}

#[test]
fn a_rotation_interrupted_anywhere_is_finished_or_never_happened() {
    let (mut finished, mut never, mut stages) = (0, 0, BTreeSet::new());
    for stop in 0.. {
        let sim = Sim::new(stop);
        let env = sim.env();
        let ledger = made(&env);
        let kept = ledger.checkpoint().unwrap();
        let old = ledger.vkey();
        sim.disk.stop_after(stop);
        let done = rotate(&ledger, 50);
        let served = ledger.newest_checkpoint();
        drop(ledger);
        let came_to_an_end = !sim.disk.is_stopped();
        sim.disk.crash();
        let what = format!("stop {stop}");

        let found: Vec<String> = env.storage.read_dir("/keys".as_ref()).unwrap().into_iter().map(|e| e.name).collect();
        stages.insert(found.iter().map(|name| name.rsplit('.').nth(1).unwrap_or("").to_owned()).collect::<Vec<_>>());
        let ledger = start(&env).unwrap_or_else(|e| panic!("{what}: {e}"));
        commit(&ledger, 90, 300).unwrap();
        let newest = ledger.checkpoint().unwrap();
        let mut chain = KeyChain::new(old.clone());
        for receipt in ledger.rotations(None).unwrap() {
            chain.follow(&Receipt::decode(&receipt).unwrap()).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        for note in [&kept.note, &served.note, &newest.note] {
            chain.verify(note).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        for earlier in [&kept.checkpoint, &served.checkpoint] {
            let proof = ledger.consistency(earlier.size, newest.checkpoint.size).unwrap();
            verify_consistency(earlier.size, newest.checkpoint.size, &earlier.root, &newest.checkpoint.root, &proof)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        let rotated = chain.keys().count() == 2;
        assert!(rotated || done.is_err(), "{what}: what was acknowledged is gone");
        assert_eq!(ledger.vkey(), *chain.current());
        // Another rotation works after any of this.
        rotate(&ledger, 91).unwrap_or_else(|e| panic!("{what}: {e}"));
        ledger.close().unwrap();
        drop(ledger);
        assert_eq!(ring(&env).all().unwrap()[0].1.verifier(), start(&env).unwrap().keys().current(), "{what}");
        holds(&env, Some(&kept.note), Some(&old));
        if rotated {
            finished += 1
        } else {
            never += 1
        }
        if came_to_an_end {
            break;
        }
    }
    assert!(finished > 5 && never > 5, "{finished} finished, {never} never happened");
    assert!(stages.len() >= 3, "{stages:?}");
}

#[test]
fn a_backup_taken_before_or_after_a_rotation_is_restored() {
    let env = Env::memory(1);
    let ledger = made(&env);
    let early = ledger.checkpoint().unwrap();
    let take = |to: &str| {
        let mut receiving = Receiving::open(&env, to.as_ref()).unwrap();
        let held = receiving.held();
        let backup = ledger.backup(&held).unwrap();
        backup
            .send(&held, &mut |part| match part {
                Part::Segment { held, length, from } => receiving.segment(held, length, from),
                Part::Bytes(bytes) => receiving.bytes(bytes),
            })
            .unwrap();
        receiving.finish(backup.head().clone()).unwrap();
    };
    take("/backups/before");
    take("/backups/continued");
    let rotated = rotate(&ledger, 50).unwrap();
    commit(&ledger, 51, 700).unwrap();
    let late = ledger.checkpoint().unwrap();
    take("/backups/after");
    take("/backups/continued");
    let (old, new) = (&rotated.record.old, &rotated.record.new);
    for (from, kept, vkey, current) in [
        ("before", &early, old, old),
        ("after", &early, old, new),
        ("after", &late, new, new),
        ("continued", &late, new, new),
    ] {
        let (backup, target) = (format!("/backups/{from}"), Path::new("/data/restored"));
        let report = check_with(&env, backup.as_ref(), Some(&kept.note), Some(vkey));
        assert_eq!(report.verdict(), Verdict::Holds, "{from}: {:#?}", report.findings);
        restore(&env, backup.as_ref(), target, false, &mut |_, _| ()).unwrap();
        let (restored, _) = open(&env, target, with_ring(&env)).unwrap();
        let refused = restored.rotate_key().err();
        assert!(matches!(refused, Some(RotateError::Commit(CommitError::ReadOnly { .. }))), "{refused:?}");
        drop(restored);
        let report = confirm(&env, target, kept.note.to_string(), vkey.clone(), None).unwrap();
        assert_eq!(report.verdict(), Verdict::Holds, "{from}: {:#?}", report.findings);
        let (restored, _) = open(&env, target, with_ring(&env)).unwrap();
        assert_eq!(restored.vkey(), *current, "{from}");
        commit(&restored, 95, 100).unwrap();
        restored.checkpoint().unwrap();
        drop(restored);
        env.storage.remove_dir_all(target).unwrap();
    }
}

#[test]
fn a_tree_that_is_damaged_where_a_key_changed_is_made_again_from_the_journal() {
    let env = Env::memory(1);
    let ledger = made(&env);
    rotate(&ledger, 50).unwrap();
    for n in 100..600 {
        commit(&ledger, n, 10).unwrap();
    }
    ledger.close().unwrap();
    drop(ledger);
    // The leaves under the size where the key changed: a root of later sizes is made of nodes above them.
    let path = dir().join("tree/00");
    let mut bytes = read_file(&*env.storage, &path, 1 << 20).unwrap();
    bytes[8 * 32..9 * 32].fill(7);
    put(&env, &path, &bytes);
    let ledger = start(&env).unwrap();
    let receipts = ledger.rotations(None).unwrap();
    KeyChain::new(key().verifier().clone()).follow(&Receipt::decode(&receipts[0]).unwrap()).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    holds(&env, None, None);
}

#[test]
fn a_first_backup_that_is_cut_off_anywhere_is_completed_by_the_next() {
    let to = Path::new("/backups/main");
    for stop in 0.. {
        // The ledger is on a good disk, the backup on the simulated one.
        let (good, sim) = (Env::memory(stop), Sim::new(stop));
        let env = sim.env();
        let ledger = made(&good);
        rotate(&ledger, 50).unwrap();
        let take = || -> Result<u64, ledgerstone_journal::backup::BackupError> {
            let mut receiving = Receiving::open(&env, to)?;
            let held = receiving.held();
            let backup = ledger.backup(&held)?;
            backup.send(&held, &mut |part| match part {
                Part::Segment { held, length, from } => receiving.segment(held, length, from),
                Part::Bytes(bytes) => receiving.bytes(bytes),
            })?;
            Ok(receiving.finish(backup.head().clone())?.head.size)
        };
        sim.disk.stop_after(stop);
        let _ = take();
        let came_to_an_end = !sim.disk.is_stopped();
        sim.disk.crash();
        // Cut off once more, at another place.
        sim.disk.stop_after(stop / 2);
        let _ = take();
        sim.disk.crash();
        let size = take().unwrap_or_else(|error| panic!("stop {stop}: {error}"));
        let report = check_with(&env, to, None, Some(key().verifier()));
        assert_eq!((report.verdict(), report.leaves), (Verdict::Holds, size), "stop {stop}: {:#?}", report.findings);
        if came_to_an_end {
            break;
        }
    }
}

#[test]
fn a_ledger_that_never_rotated_has_no_more_files_than_before() {
    let env = Env::memory(1);
    let ledger = made(&env);
    ledger.close().unwrap();
    assert!(!env.storage.exists(&dir().join(ROTATIONS_DIR)));
    let names: Vec<String> = env.storage.read_dir("/keys".as_ref()).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, [format!("{LEDGER}.key"), format!("{LEDGER}.vkey")]);
}
