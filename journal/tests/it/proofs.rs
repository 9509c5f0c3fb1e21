//! Receipts and proofs that the ledger makes, judged by the offline verifier.

use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::tree::{leaf_hash, verify_audit_path, verify_consistency};
use ledgerstone_digest::verifier::{
    Expectation, ExpectedContent, Trust, TrustedKey, VerdictKind, verify, verify_transaction,
};
use ledgerstone_journal::{Env, Ledger, NewRevision, ReceiptError, ReceiptOptions};

use crate::support::*;

fn trust() -> Trust {
    Trust::in_key(key().verifier().clone())
}

fn expect(document: u64, version: u64) -> Expectation {
    Expectation {
        origin: key().name().to_owned(),
        table_id: TABLE,
        document_id: id(document),
        version: Some(version),
        content: None,
    }
}

/// Inserts, updates and deletes, in blocks of one and of several revisions. Returns what stands where.
fn fill(ledger: &Ledger) -> Vec<(u64, u64, u64, bool)> {
    let mut placed = Vec::new();
    for n in 1..20u64 {
        let committed = commit(ledger, n, n as usize).unwrap();
        placed.push((committed.first_position, n, 0, false));
    }
    let many = (100..140).map(|n| first(n, 5)).collect();
    let future = ledger.submit(transaction(50, many));
    ledger.drive();
    let committed = future.wait().unwrap();
    placed.extend((0..40).map(|at| (committed.first_position + at, 100 + at, 0, false)));
    let old = placed[3].0;
    let update = NewRevision { version: 1, supersedes: Some(old), data: Some(document(7, 3).into()), ..first(4, 0) };
    let future = ledger.submit(transaction(51, vec![update]));
    ledger.drive();
    let update = future.wait().unwrap().first_position;
    placed.push((update, 4, 1, false));
    let delete = NewRevision { version: 2, supersedes: Some(update), data: None, ..first(4, 0) };
    let future = ledger.submit(transaction(52, vec![delete]));
    ledger.drive();
    placed.push((future.wait().unwrap().first_position, 4, 2, true));
    placed
}

#[test]
fn every_receipt_verifies_and_is_small() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    for (position, document_number, version, deleted) in fill(&ledger) {
        let receipt = ledger.receipt(position).unwrap();
        let bytes = receipt.encode();
        let receipt = Receipt::decode(&bytes).unwrap();
        let mut expected = expect(document_number, version);
        if let Some(data) = ledger.read_revision(position).unwrap().data {
            expected.content = Some(ExpectedContent::Value((*data).clone()));
        }
        let verdict = verify(&receipt, &trust(), &expected).unwrap();
        assert_eq!(verdict.position, position);
        match deleted {
            true => assert_eq!(verdict.kind, VerdictKind::Deleted),
            false => assert_eq!(verdict.kind, VerdictKind::Verified),
        }
        assert!(bytes.len() < 1600, "{} bytes", bytes.len());
        assert!(verify(&receipt, &trust(), &expect(document_number + 1, version)).is_err());
        let hidden = ledger.receipt_with(position, ReceiptOptions { data: false, block_opening: true }).unwrap();
        let verdict = verify(&hidden, &trust(), &expect(document_number, version)).unwrap();
        assert_eq!(verdict.kind, if deleted { VerdictKind::Deleted } else { VerdictKind::Withheld });
        assert!(verdict.data.is_none() && verdict.block.block_hash.is_some());
    }
}

#[test]
fn a_transaction_receipt_shows_every_revision() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    fill(&ledger);
    for block in ledger.blocks(0) {
        let block = block.unwrap();
        let receipt = ledger.transaction_receipt(block.number).unwrap();
        let receipt = Receipt::decode(&receipt.encode()).unwrap();
        let verdict = verify_transaction(&receipt, &trust(), key().name()).unwrap();
        assert_eq!(verdict.revisions.len(), block.revisions.len());
        assert_eq!(verdict.block.block_hash, Some(block.block_hash));
        assert_eq!(verdict.block.transaction_id, block.tx_id);
        assert_eq!(verdict.block.origin_info, Some(block.origin.to_value()));
    }
    assert!(matches!(ledger.transaction_receipt(1000), Err(ReceiptError::Read(_))));
}

#[test]
fn what_is_not_a_revision_has_no_receipt() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    fill(&ledger);
    for position in [0, 2, ledger.snapshot(), ledger.snapshot() - 1, u64::MAX] {
        assert!(matches!(ledger.receipt(position), Err(ReceiptError::Read(_))), "position {position}");
    }
}

#[test]
fn old_checkpoints_stay_prefixes_of_new_ones() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    let mut kept = vec![ledger.newest_checkpoint()];
    for n in 1..40u64 {
        commit(&ledger, n, 1).unwrap();
        kept.push(ledger.checkpoint().unwrap());
    }
    let newest = kept.last().unwrap().clone();
    for signed in &kept {
        let old = UnverifiedCheckpoint::parse(&signed.note).unwrap().verify(key().verifier()).unwrap();
        let proof = ledger.consistency(old.size, newest.checkpoint.size).unwrap();
        let (new_size, new_root) = (newest.checkpoint.size, newest.checkpoint.root);
        verify_consistency(old.size, new_size, &old.root, &new_root, &proof).unwrap();
        let mut trust = trust();
        (trust.pinned, trust.consistency) = (Some(old), Some(proof));
        let receipt = ledger.receipt(1).unwrap();
        verify(&receipt, &trust, &expect(1, 0)).unwrap();
    }
    let beyond = newest.checkpoint.size + 1;
    assert!(matches!(ledger.consistency(1, beyond), Err(ReceiptError::NotSigned { .. })));
    assert!(ledger.consistency(5, 3).is_err());
    let mut narrow = Trust::default();
    narrow.keys.push(TrustedKey { size_max: 3, ..TrustedKey::always(key().verifier().clone()) });
    assert!(verify(&ledger.receipt(1).unwrap(), &narrow, &expect(1, 0)).is_err());
}

#[test]
fn stock_tools_can_check_every_leaf() {
    let env = Env::memory(1);
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    fill(&ledger);
    let checkpoint = ledger.checkpoint().unwrap().checkpoint;
    for position in 0..ledger.snapshot() {
        let leaf = ledger.leaf(position).unwrap();
        let file = ledger.proof_file(position).unwrap();
        file.verify(&leaf, key().verifier()).unwrap();
        let path = ledger.audit_path(position, checkpoint.size).unwrap();
        verify_audit_path(checkpoint.size, &checkpoint.root, position, &leaf_hash(&leaf), &path).unwrap();
    }
    let tile = ledger.tile(0, 0, checkpoint.size as u16).unwrap().unwrap();
    for (position, hash) in tile.chunks(32).enumerate() {
        assert_eq!(leaf_hash(&ledger.leaf(position as u64).unwrap()).0, *hash);
    }
    assert_eq!(ledger.tile(0, 0, checkpoint.size as u16 + 1).unwrap(), None);
}
