//! Damage is named and refused; only a torn last batch is cut.

use std::path::{Path, PathBuf};

use ledgerstone_journal::env::{OpenMode, read_exact_at, write_all_at};
use ledgerstone_journal::{Env, Ledger, OpenError, OpenOptions, ReadError};

use crate::support::*;

const PAGE: u64 = 4096;

fn segment(n: u64) -> PathBuf {
    dir().join(format!("journal/{n:020}.seg"))
}

fn read(env: &Env, path: &Path) -> Vec<u8> {
    let file = env.storage.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    bytes
}

fn write(env: &Env, path: &Path, bytes: &[u8]) {
    let file = env.storage.open(path, OpenMode::Create).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
}

fn flip(env: &Env, path: &Path, offset: u64) {
    let file = env.storage.open(path, OpenMode::Write).unwrap();
    let mut byte = [0];
    read_exact_at(&*file, &mut byte, offset).unwrap();
    file.write_at(&[byte[0] ^ 0x20], offset).unwrap();
}

/// A ledger of `blocks` blocks of about `size` bytes, closed; its leaves. Every block is a batch of its own.
fn ledger(env: &Env, blocks: u64, size: usize, first_segment_bytes: u64) -> Vec<Vec<u8>> {
    create_sized(env, &dir(), first_segment_bytes);
    let (ledger, _) = open(env, &dir(), options()).unwrap();
    for n in 0..blocks {
        commit(&ledger, n, size).unwrap();
    }
    let leaves = (0..ledger.snapshot()).map(|p| ledger.leaf(p).unwrap()).collect();
    ledger.close().unwrap();
    leaves
}

/// Like `ledger`, but ended by a kill: the recorded checkpoint still has size 1.
fn killed(env: &Env, blocks: u64) -> Vec<Vec<u8>> {
    create_sized(env, &dir(), 64 << 10);
    let slots = read(env, &dir().join("checkpoint"));
    let (ledger, _) = open(env, &dir(), options()).unwrap();
    for n in 0..blocks {
        commit(&ledger, n, 10).unwrap();
    }
    let leaves = (0..ledger.snapshot()).map(|p| ledger.leaf(p).unwrap()).collect();
    drop(ledger);
    write(env, &dir().join("checkpoint"), &slots);
    env.storage.remove_dir_all(&dir().join("tree")).unwrap();
    leaves
}

fn refused(env: &Env) -> OpenError {
    match Ledger::open(env, &dir(), options()) {
        Ok(recovered) => panic!("opened, and cut {:?}", recovered.cut),
        Err(error) => error,
    }
}

#[test]
fn any_flipped_byte_is_refused_or_changes_nothing() {
    let env = Env::memory(1);
    let leaves = ledger(&env, 3, 40, 24 << 10);
    let whole = read(&env, &segment(0));
    let (mut refusals, mut cuts) = (0, 0);
    // All of the header's fields, every byte of the batches, and some of the zeros.
    let offsets = (0..600).chain(PAGE..PAGE + 700).chain(2 * PAGE..2 * PAGE + 700).chain(3 * PAGE..whole.len() as u64);
    for offset in offsets.filter(|o| *o < 4 * PAGE + 700 || o % 41 == 0) {
        flip(&env, &segment(0), offset);
        match Ledger::open(&env, &dir(), options()) {
            Ok(recovered) => {
                assert!(recovered.cut.is_some(), "byte {offset} passed unnoticed");
                assert!(recovered.end() == leaves.len() as u64, "byte {offset}: what was signed was cut");
                cuts += 1;
                drop(recovered);
                assert_eq!(read(&env, &segment(0)), whole, "byte {offset}");
            }
            Err(error) => {
                assert!(!matches!(error, OpenError::Locked(_)));
                refusals += 1;
                write(&env, &segment(0), &whole);
            }
        }
    }
    assert!(refusals > 2000 && cuts > 30, "{refusals} {cuts}");
}

#[test]
fn damage_in_a_full_segment_is_refused_when_it_is_read() {
    let env = Env::memory(1);
    let leaves = ledger(&env, 40, 3000, 64 << 10);
    assert!(env.storage.exists(&segment(2)));
    let whole = read(&env, &segment(1));
    for offset in (PAGE..whole.len() as u64).step_by(331) {
        flip(&env, &segment(1), offset);
        let (ledger, _) = match open(&env, &dir(), options()) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(error.to_string().contains("00001.seg: offset"), "{error}");
                write(&env, &segment(1), &whole);
                continue;
            }
        };
        for (position, leaf) in leaves.iter().enumerate() {
            match ledger.leaf(position as u64) {
                Ok(read) => assert_eq!(read, *leaf, "byte {offset}"),
                Err(ReadError::Damaged(damage)) => assert_eq!(damage.path, segment(1)),
                Err(other) => panic!("{other}"),
            }
        }
        drop(ledger);
        write(&env, &segment(1), &whole);
    }
}

#[test]
fn a_torn_last_batch_is_cut_and_the_cut_is_durable() {
    let env = Env::memory(1);
    let leaves = killed(&env, 3);
    let whole = read(&env, &segment(0));
    // Batch 3 is the last: its body, its header, its padding.
    for offset in [4 * PAGE + 100, 4 * PAGE + 20, 4 * PAGE, 4 * PAGE + 45, 5 * PAGE - 1] {
        flip(&env, &segment(0), offset);
        let recovered = Ledger::open(&env, &dir(), options()).unwrap();
        let cut = recovered.cut.clone().unwrap();
        assert_eq!((cut.path.clone(), cut.from, recovered.end()), (segment(0), 4 * PAGE, leaves.len() as u64 - 2));
        drop(recovered);
        let again = Ledger::open(&env, &dir(), options()).unwrap();
        assert_eq!((again.cut.clone(), again.end()), (None, leaves.len() as u64 - 2));
        drop(again);
        assert!(read(&env, &segment(0))[4 * PAGE as usize..].iter().all(|b| *b == 0));
        write(&env, &segment(0), &whole);
    }
}

#[test]
fn damage_before_a_later_batch_is_never_cut() {
    let env = Env::memory(1);
    killed(&env, 3);
    let whole = read(&env, &segment(0));
    for offset in [2 * PAGE, 2 * PAGE + 17, 3 * PAGE + 30, 3 * PAGE + 100, 4 * PAGE - 1] {
        flip(&env, &segment(0), offset);
        match refused(&env) {
            OpenError::Damaged(damage) => {
                assert_eq!((damage.path.clone(), damage.offset), (segment(0), offset / PAGE * PAGE), "{damage}");
                assert!(damage.to_string().contains("ledgerstone verify"), "{damage}");
            }
            other => panic!("byte {offset}: {other}"),
        }
        write(&env, &segment(0), &whole);
    }
}

#[test]
fn damage_to_the_last_batch_is_not_cut_below_a_recorded_checkpoint() {
    let env = Env::memory(1);
    let leaves = ledger(&env, 3, 10, 64 << 10);
    let whole = read(&env, &segment(0));
    flip(&env, &segment(0), 4 * PAGE + 100);
    let before = read(&env, &segment(0));
    match refused(&env) {
        OpenError::BehindCheckpoint { end, recorded, .. } => {
            assert_eq!((end, recorded), (leaves.len() as u64 - 2, leaves.len() as u64));
        }
        other => panic!("{other}"),
    }
    assert_eq!(read(&env, &segment(0)), before, "a refusal writes nothing");
    write(&env, &segment(0), &whole);
    assert!(Ledger::open(&env, &dir(), options()).is_ok());
}

#[test]
fn segments_that_are_not_in_their_place_are_refused() {
    let env = Env::memory(1);
    ledger(&env, 50, 3000, 64 << 10);
    let other = Env::memory(2);
    ledger(&other, 50, 2999, 64 << 10);
    let files: Vec<Vec<u8>> = (0..4).map(|n| read(&env, &segment(n))).collect();
    let restore = |env: &Env| (0..4).for_each(|n| write(env, &segment(n), &files[n as usize]));
    type Change<'a> = (&'a str, Box<dyn Fn(&Env) + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("missing", Box::new(|env| env.storage.remove_file(&segment(1)).unwrap())),
        ("first missing", Box::new(|env| env.storage.remove_file(&segment(0)).unwrap())),
        ("last missing", Box::new(|env| env.storage.remove_file(&segment(3)).unwrap())),
        (
            "swapped",
            Box::new(|env| {
                write(env, &segment(1), &files[2]);
                write(env, &segment(2), &files[1]);
            }),
        ),
        ("doubled", Box::new(|env| write(env, &segment(4), &files[3]))),
        ("doubled in place", Box::new(|env| write(env, &segment(2), &files[1]))),
        ("renamed", Box::new(|env| env.storage.rename(&segment(3), &segment(7)).unwrap())),
        ("renamed away", Box::new(|env| env.storage.rename(&segment(3), &segment(3).with_extension("old")).unwrap())),
        ("empty", Box::new(|env| write(env, &segment(3), &[]))),
        ("an empty one more", Box::new(|env| write(env, &segment(4), &[]))),
        ("cut short", Box::new(|env| write(env, &segment(1), &files[1][..20_000]))),
        ("too long", Box::new(|env| write(env, &segment(3), &[&files[3][..], &[0; 4096]].concat()))),
        ("of another history", Box::new(|env| write(env, &segment(2), &read(&other, &segment(2))))),
    ];
    for (name, change) in changes {
        change(&env);
        let error = Ledger::open(&env, &dir(), options()).err().unwrap_or_else(|| panic!("{name}: opened")).to_string();
        assert!(error.contains(".seg") || error.contains(".old") || error.contains("checkpoint"), "{name}: {error}");
        for n in 4..8 {
            drop(env.storage.remove_file(&segment(n)));
        }
        drop(env.storage.remove_file(&segment(3).with_extension("old")));
        restore(&env);
        drop(Ledger::open(&env, &dir(), options()).unwrap_or_else(|e| panic!("{name}, restored: {e}")));
    }
}

#[test]
fn a_segment_of_another_history_is_refused_before_it_is_read() {
    let (env, other) = (Env::memory(1), Env::memory(2));
    ledger(&env, 50, 3000, 64 << 10);
    ledger(&other, 50, 2999, 64 << 10);
    write(&env, &segment(1), &read(&other, &segment(1)));
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    for number in [10, 20] {
        assert!(matches!(ledger.read_block(number), Err(ReadError::Damaged(_))), "block {number}");
    }
    assert!(ledger.read_block(49).is_ok());
}

#[test]
fn offset_files_are_made_again() {
    let env = Env::memory(1);
    let leaves = ledger(&env, 40, 3000, 64 << 10);
    let offsets = dir().join("offsets");
    let file = offsets.join(format!("{:020}.off", 1));
    let whole = read(&env, &file);
    flip(&env, &file, 100);
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    leaves.iter().enumerate().for_each(|(p, leaf)| assert_eq!(ledger.leaf(p as u64).unwrap(), *leaf));
    drop(ledger);
    assert_eq!(read(&env, &file), whole);
    env.storage.remove_dir_all(&offsets).unwrap();
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    leaves.iter().enumerate().for_each(|(p, leaf)| assert_eq!(ledger.leaf(p as u64).unwrap(), *leaf));
    assert_eq!(read(&env, &file), whole);
}

#[test]
fn one_process_has_a_ledger_open() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    assert!(matches!(Ledger::open(&env, &dir(), options()), Err(OpenError::Locked(_))));
    ledger.close().unwrap();
    assert!(Ledger::open(&env, &dir(), options()).is_ok());
}

#[test]
fn a_foreign_key_and_a_missing_ledger_are_refused() {
    let env = Env::memory(1);
    assert!(matches!(refused(&env), OpenError::NoLedger { .. }));
    create(&env, &dir());
    let mut options = options();
    options.keys = ledgerstone_digest::note::SigningKey::from_seed(key().name(), &[8; 32]).unwrap().into();
    assert!(matches!(Ledger::open(&env, &dir(), options), Err(OpenError::Key { .. })));
    env.storage.remove_file(&dir().join("checkpoint")).unwrap();
    assert!(matches!(refused(&env), OpenError::Checkpoint(_)));
}

/// Where a staged frame's revisions begin is remembered, and their bytes are read anew: so they are checked anew.
#[test]
fn a_staged_revision_is_checked_every_time_it_is_read() {
    let env = Env::memory(1);
    create_sized(&env, &dir(), 64 << 10);
    let staged = OpenOptions { staged_above_bytes: 20_000, ..options() };
    let (ledger, _) = open(&env, &dir(), staged).unwrap();
    let future = ledger.submit(transaction(1, (0..40).map(|n| first(n, 1000)).collect()));
    ledger.drive();
    let committed = future.wait().unwrap();
    let position = committed.first_position + 20;
    let revision = ledger.read_revision(position).unwrap();
    assert_eq!(revision.data, Some(document(20, 1000)));
    // Its bytes hold the document's id; the 30th byte behind it is text.
    let bytes = read(&env, &segment(0));
    let id = revision.document_id.0;
    let at = bytes.windows(id.len()).position(|w| w == id).unwrap();
    flip(&env, &segment(0), at as u64 + 60);
    let error = ledger.read_revision(position).unwrap_err();
    assert!(matches!(&error, ReadError::Damaged(damage) if damage.path == segment(0)), "{error}");
    assert!(ledger.read_revision(position + 1).is_ok());
    flip(&env, &segment(0), at as u64 + 60);
    assert!(ledger.read_revision(position).is_ok());
}

#[test]
fn offsets_made_of_a_damaged_segment_are_not_kept() {
    let env = Env::memory(31);
    let leaves = ledger(&env, 30, 4000, 32 << 10);
    let sound = read(&env, &segment(0));
    env.storage.remove_dir_all(&dir().join("offsets")).unwrap();
    env.storage.remove_dir_all(&dir().join("tree")).unwrap();
    // The last batch of the segment: what comes before is whole, so the offsets seem to be.
    let used = sound.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    flip(&env, &segment(0), used - 10);
    let refused = open(&env, &dir(), options()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("does not lead to segment 1"), "{refused}");
    // Restored as the message says.
    write(&env, &segment(0), &sound);
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    for (position, leaf) in leaves.iter().enumerate() {
        assert_eq!(ledger.leaf(position as u64).unwrap(), *leaf);
    }
}
