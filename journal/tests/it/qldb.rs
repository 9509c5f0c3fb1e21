//! The ledger as QLDB showed it: digests and proofs against plain recomputation, and a tree that can be lost or wrong.

use std::path::PathBuf;
use std::sync::Arc;

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{Limits, Value, decode, encode, parse, to_text};
use ledgerstone_digest::qldb::chain::ChainVerifier;
use ledgerstone_digest::qldb::proof::fold;
use ledgerstone_digest::qldb::{JournalBlock, ledger_digest, merkle};
use ledgerstone_journal::env::OpenMode;
use ledgerstone_journal::qldb::BLOCK_TREE_DIR;
use ledgerstone_journal::verify::{VerifyOptions, verify_directory};
use ledgerstone_journal::{Env, Ledger, QldbError};

use crate::support::*;

fn ledger() -> (Env, Arc<Ledger>) {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    (env, ledger)
}

fn fill(ledger: &Ledger, from: u64, to: u64) {
    for n in from..to {
        let revisions = (0..1 + n % 3).map(|m| first(10 * n + m, n as usize)).collect();
        let future = ledger.submit(transaction(n, revisions));
        ledger.drive();
        future.wait().unwrap();
    }
}

fn hashes(ledger: &Ledger) -> Vec<Hash> {
    ledger.blocks(0).map(|block| block.unwrap().block_hash).collect()
}

/// Every block and every revision, each to every digest that covers it.
fn all_is_proved(ledger: &Ledger) {
    let hashes = hashes(ledger);
    for tip in 0..hashes.len() {
        let digest = ledger_digest(&hashes[..=tip]).unwrap();
        for (number, hash) in hashes[..=tip].iter().enumerate() {
            let block = ledger.qldb_block(number as u64, Some(tip as u64)).unwrap();
            assert_eq!(fold(*hash, &block.proof.unwrap()), digest, "block {number} of {tip}");
        }
        for revision in ledger.read_block(tip as u64 / 2).unwrap().revisions {
            let shown = ledger.qldb_revision(revision.block, revision.document_id, Some(tip as u64)).unwrap();
            let leaf = blob(shown.value.as_struct().unwrap().get("hash").unwrap());
            assert_eq!(fold(leaf, &shown.proof.unwrap()), digest);
        }
    }
    let last = ledger.qldb_digest().unwrap();
    assert_eq!((Some(last.hash), last.tip), (ledger_digest(&hashes), hashes.len() as u64 - 1));
}

fn blob(value: &Value) -> Hash {
    match value {
        Value::Blob(bytes) => Hash::from_slice(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn level_0() -> PathBuf {
    dir().join(BLOCK_TREE_DIR).join("00")
}

#[test]
fn every_proof_leads_to_the_digest_over_the_blocks() {
    let (env, ledger) = ledger();
    assert!(matches!(ledger.qldb_digest(), Err(QldbError::Empty)));
    for step in 0..5 {
        fill(&ledger, 8 * step, 8 * step + 8);
        all_is_proved(&ledger);
    }
    assert!(matches!(ledger.qldb_block(3, Some(2)), Err(QldbError::BehindTip { .. })));
    assert!(matches!(ledger.qldb_block(3, Some(40)), Err(QldbError::BehindTip { .. })));
    assert!(matches!(ledger.qldb_revision(3, id(77), None), Err(QldbError::NoRevision { .. })));
    ledger.close().unwrap();
    assert!(matches!(ledger.qldb_digest(), Err(QldbError::Closed)));
    assert!(env.storage.exists(&level_0()), "written out at the end");
}

#[test]
fn a_digest_stands_on_a_recorded_checkpoint() {
    let (_env, ledger) = ledger();
    fill(&ledger, 0, 5);
    assert_eq!(ledger.newest_checkpoint().checkpoint.size, 1);
    ledger.qldb_digest().unwrap();
    assert_eq!(ledger.newest_checkpoint().checkpoint.size, ledger.snapshot());
}

#[test]
fn a_tree_that_is_lost_or_wrong_is_made_again() {
    let (env, ledger) = ledger();
    fill(&ledger, 0, 40);
    all_is_proved(&ledger);
    ledger.close().unwrap();
    // One of the first hashes, which opening does not look at; then the last, which it does; then all.
    for damage in [Some(5 * 32), Some(39 * 32), None] {
        match damage {
            Some(offset) => {
                let file = env.storage.open(&level_0(), OpenMode::Write).unwrap();
                let mut byte = [0];
                file.read_at(&mut byte, offset).unwrap();
                file.write_at(&[byte[0] ^ 4], offset).unwrap();
            }
            None => env.storage.remove_dir_all(&dir().join(BLOCK_TREE_DIR)).unwrap(),
        }
        let (ledger, _) = open(&env, &dir(), options()).unwrap();
        all_is_proved(&ledger);
        ledger.close().unwrap();
    }
}

#[test]
fn a_tree_of_another_history_is_not_believed() {
    let (env, other) = (Env::memory(1), Env::memory(2));
    for env in [&env, &other] {
        create(env, &dir());
        let (ledger, _) = open(env, &dir(), options()).unwrap();
        fill(&ledger, 0, 20);
        ledger.qldb_digest().unwrap();
        ledger.close().unwrap();
    }
    for name in ["00", "04", "state"] {
        let path = dir().join(BLOCK_TREE_DIR).join(name);
        let from = other.storage.open(&path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; from.len().unwrap() as usize];
        from.read_at(&mut bytes, 0).unwrap();
        env.storage.open(&path, OpenMode::Write).unwrap().write_at(&bytes, 0).unwrap();
    }
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    all_is_proved(&ledger);
}

#[test]
fn a_block_is_shown_with_all_that_its_hash_stands_for() {
    let (_env, ledger) = ledger();
    fill(&ledger, 0, 6);
    for number in 0..6 {
        let shown = ledger.qldb_block(number, None).unwrap().value;
        // As it goes over a wire.
        let shown = decode(&encode(&shown), &Limits::DOCUMENT).unwrap();
        let fields = shown.as_struct().unwrap();
        let hash_of = |name: &str| fields.get(name).map(blob);
        let list = |name: &str| match fields.get(name) {
            Some(Value::List(items)) => items.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let entries: Vec<Hash> = list("entriesHashList").iter().map(blob).collect();
        let revisions: Vec<Hash> =
            list("revisions").iter().map(|r| blob(r.as_struct().unwrap().get("hash").unwrap())).collect();
        let info = fields.get("transactionInfo").unwrap();
        assert_eq!(entries[..2], [merkle(&revisions).unwrap(), ledgerstone_digest::ion::ion_hash(info)]);
        assert_eq!(merkle(&entries), hash_of("entriesHash"));
        assert_eq!(hash_of("previousBlockHash").is_some(), number > 0);
        assert_eq!(hash_of("blockHash").unwrap(), ledger.read_block(number).unwrap().block_hash);
    }
}

#[test]
fn the_blocks_of_a_ledger_hold_when_they_are_read_back() {
    let (_env, ledger) = ledger();
    fill(&ledger, 0, 30);
    let (mut verifier, mut revisions) = (ChainVerifier::new(), 0);
    for number in 0..30 {
        let block = ledger.journal_block(number).unwrap();
        let value = block.to_value();
        let read =
            [decode(&encode(&value), &Limits::DOCUMENT).unwrap(), parse(&to_text(&value), &Limits::DOCUMENT).unwrap()];
        for read in read {
            assert_eq!(JournalBlock::from_value(&read).unwrap(), block);
        }
        verifier.block(&block).unwrap();
        revisions += block.revisions.len() as u64;
    }
    let report = verifier.report();
    assert_eq!((report.blocks, report.revisions, report.version_gaps, report.hash_only), (30, revisions, 0, 0));
}

#[test]
fn verifying_a_directory_compares_the_tree_over_the_blocks() {
    let (env, ledger) = ledger();
    fill(&ledger, 0, 300);
    ledger.qldb_digest().unwrap();
    ledger.close().unwrap();
    let report = || verify_directory(&env, &dir(), VerifyOptions::default());
    assert!(report().findings.is_empty(), "{:?}", report().findings);
    let path = level_0();
    let file = env.storage.open(&path, OpenMode::Write).unwrap();
    for at in [0, 32 * 77 + 5, 32 * 299] {
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 4], at).unwrap();
        let found = report().findings;
        assert!(found.iter().any(|finding| finding.path == path && finding.what.contains("doctor")), "{at}: {found:?}");
        file.write_at(&byte, at).unwrap();
    }
    assert!(report().findings.is_empty());
    // A tree that has not followed yet is no fault.
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    fill(&ledger, 300, 320);
    ledger.close().unwrap();
    assert!(report().findings.is_empty(), "{:?}", report().findings);
}
