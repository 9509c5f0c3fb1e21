//! What goes in comes out, in this process and the next.

use std::sync::Arc;

use ledgerstone_digest::tree::leaf_hash;
use ledgerstone_journal::{Env, Ledger, NewRevision, OpenOptions, ReadError};

use crate::support::*;

#[test]
fn what_was_committed_is_read_back_after_opening_again() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, hooks) = open(&env, &dir(), options()).unwrap();
    assert_eq!(ledger.snapshot(), 1);
    let a = commit(&ledger, 1, 10).unwrap();
    assert_eq!((a.block, a.first_position, a.block_position, a.snapshot()), (0, 1, 2, 3));
    let update = NewRevision { version: 1, supersedes: Some(1), data: Some(document(7, 3).into()), ..first(1, 0) };
    let delete = NewRevision { version: 2, supersedes: Some(3), data: None, ..first(1, 0) };
    let (x, y) = (ledger.submit(transaction(2, vec![update])), ledger.submit(transaction(3, vec![delete])));
    ledger.drive();
    let (x, y) = (x.wait().unwrap(), y.wait().unwrap());
    assert_eq!((x.first_position, y.first_position, ledger.snapshot()), (3, 5, 7));
    assert_eq!(hooks.0.lock().unwrap().published, [a, x, y]);
    let leaves: Vec<Vec<u8>> = (0..7).map(|p| ledger.leaf(p).unwrap()).collect();
    let blocks: Vec<_> = ledger.blocks(0).map(|b| b.unwrap()).collect();
    let checkpoint = ledger.checkpoint().unwrap().checkpoint;
    assert_eq!(checkpoint.size, 7);
    ledger.close().unwrap();
    drop(ledger);

    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    assert_eq!(ledger.snapshot(), 7);
    for (position, leaf) in leaves.iter().enumerate() {
        assert_eq!(&ledger.leaf(position as u64).unwrap(), leaf);
    }
    assert_eq!(leaf_hash(&leaves[0]), leaf_hash(&ledger.leaf(0).unwrap()));
    let read = ledger.read_revision(3).unwrap();
    assert_eq!((read.version, read.supersedes, read.block, read.data), (1, Some(1), 1, Some(document(7, 3))));
    let read = ledger.read_revision(5).unwrap();
    assert!(read.deleted && read.data.is_none());
    assert!(matches!(ledger.read_revision(2), Err(ReadError::Kind { .. })));
    assert!(matches!(ledger.read_revision(7), Err(ReadError::Beyond { .. })));
    assert!(matches!(ledger.read_block(3), Err(ReadError::Beyond { .. })));
    for (block, again) in blocks.iter().zip(ledger.blocks(0)) {
        let again = again.unwrap();
        assert_eq!(
            (again.block_hash, again.previous_leaf, again.info),
            (block.block_hash, block.previous_leaf, block.info.clone())
        );
    }
    assert_eq!(ledger.block_at(4).unwrap().unwrap().number, 1);
    assert!(ledger.block_at(0).unwrap().is_none());
    assert_eq!(ledger.last_block_at_or_before(x.time_ms).unwrap(), Some((1, 5)));
    assert_eq!(ledger.last_block_at_or_before(i64::MAX).unwrap(), Some((2, 7)));
    assert_eq!(ledger.last_block_at_or_before(a.time_ms - 1).unwrap(), None);
    let next = commit(&ledger, 9, 100).unwrap();
    assert_eq!((next.block, next.first_position), (3, 7));
}

#[test]
fn threads_share_syncs_and_answer_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::production();
    let path = dir.path().join("main");
    create_sized(&env, &path, 1 << 20);
    let mut options = options();
    options.threads = true;
    options.segment_bytes = 1 << 20;
    let (ledger, hooks) = open(&env, &path, options).unwrap();
    std::thread::scope(|scope| {
        for client in 0..8u64 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..100 {
                    commit(ledger, client * 1000 + n, 2000).unwrap();
                }
            });
        }
    });
    assert_eq!(hooks.0.lock().unwrap().published.len(), 800);
    assert_eq!(ledger.snapshot(), 1601);
    ledger.settle(0).unwrap();
    ledger.close().unwrap();
    assert!(commit(&ledger, 5000, 1).is_err());
    drop(ledger);
    let mut options = crate::support::options();
    options.threads = true;
    let recovered = Ledger::open(&env, &path, options).unwrap();
    assert_eq!((recovered.end(), recovered.cut.clone()), (1601, None));
    let mut count = 0;
    recovered
        .replay::<ReadError>(0, &mut |block| {
            count += block.revisions.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(count, 800);
}

/// A ledger of more segments than few: reading all over it must not open each again for each read.
#[test]
fn segments_are_opened_once_and_stay_open() {
    let env = Env::memory(1);
    create_sized(&env, &dir(), 16 << 10);
    let mut options = options();
    options.segment_bytes = 16 << 10;
    let (ledger, _) = open(&env, &dir(), options).unwrap();
    let positions: Vec<u64> = (0..300).map(|n| commit(&ledger, n, 5_000).unwrap().first_position).collect();
    let read_all = || positions.iter().for_each(|position| drop(ledger.read_revision(*position).unwrap()));
    read_all();
    // Whoever opens a segment reads its offsets, and makes them if they are not there.
    env.storage.remove_dir_all(&dir().join("offsets")).unwrap();
    read_all();
    assert!(!env.storage.exists(&dir().join("offsets")), "a segment was opened again");
    ledger.close().unwrap();
}

#[test]
fn a_known_document_is_handed_over_as_it_is_and_others_are_read() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), OpenOptions { staged_above_bytes: 4096, ..options() }).unwrap();
    let one = commit(&ledger, 1, 10).unwrap().first_position;
    let other = commit(&ledger, 2, 10).unwrap().first_position;
    let deletion = NewRevision { version: 1, supersedes: Some(other), data: None, ..first(2, 10) };
    let future = ledger.submit(transaction(3, vec![deletion]));
    ledger.drive();
    let deleted = future.wait().unwrap().first_position;
    let ahead = ledger.submit(transaction(4, (10..20).map(|n| first(n, 1000)).collect()));
    ledger.drive();
    let ahead = ahead.wait().unwrap().first_position;

    let known = document(1, 10);
    let (mut asked, mut read) = (Vec::new(), Vec::new());
    let outcome: Result<(), ReadError> = ledger.revisions_between(
        0,
        ledger.snapshot(),
        &mut |position| {
            asked.push(position);
            (position == one).then(|| known.clone())
        },
        &mut |revision| {
            read.push((revision.position, revision.data, revision.deleted));
            Ok(())
        },
    );
    outcome.unwrap();
    let data = |position: u64| read.iter().find(|(at, ..)| *at == position).unwrap().clone();
    assert!(Arc::ptr_eq(&data(one).1.unwrap(), &known));
    assert_eq!(data(other).1, Some(document(2, 10)));
    assert_eq!((data(deleted).1, data(deleted).2), (None, true));
    assert_eq!(data(ahead + 9).1, Some(document(19, 1000)));
    assert!(asked.contains(&one) && !asked.contains(&ahead), "what is written ahead is read: {asked:?}");
}
