//! What the offline verifier accepts, and everything that it must refuse.

use std::sync::Arc;

use ledgerstone_digest::block::{RedactedRevision, RedactionInfo};
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_digest::leaf::Leaf;
use ledgerstone_digest::note::{self, Note, SigningKey};
use ledgerstone_digest::receipt::*;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::tree;
use ledgerstone_digest::verifier::*;
use ledgerstone_digest::{Hash, Id};
use serde_json::json;

use crate::ledger::*;

/// Positions in the example ledger.
const CAR_0: u64 = 3;
const TRUCK_0: u64 = 4;
const CAR_1: u64 = 6;
const TRUCK_DELETED: u64 = 8;
const CAR_2: u64 = 12;
const SIZE: u64 = 14;

fn trust(ledger: &TestLedger) -> Trust {
    Trust {
        witnesses: WitnessPolicy { required: 1, witnesses: vec![witness().verifier().clone()] },
        ..Trust::in_key(ledger.key.verifier().clone())
    }
}

fn expect(ledger: &TestLedger, position: u64) -> Expectation {
    let Leaf::Revision(leaf) = &ledger.leaves[position as usize] else { panic!("no revision at {position}") };
    Expectation {
        origin: ledger.origin().to_owned(),
        table_id: leaf.table_id,
        document_id: leaf.document_id,
        version: Some(leaf.version),
        content: None,
    }
}

fn check(ledger: &TestLedger, receipt: &Receipt, position: u64) -> Result<Verdict, Refusal> {
    verify(receipt, &trust(ledger), &expect(ledger, position))
}

/// What a receipt states, without what it says nobody vouches for.
fn statements(verdict: Verdict) -> Verdict {
    Verdict { unauthenticated: Vec::new(), ..verdict }
}

fn refused_as(result: Result<Verdict, Refusal>, broken: Broken) {
    match result {
        Err(Refusal::Binding { problem, .. }) if problem == broken => {}
        other => panic!("expected {broken:?}, got {other:?}"),
    }
}

fn opening(receipt: &mut Receipt) -> &mut RevisionOpening {
    receipt.revisions[0].opening.as_mut().unwrap()
}

#[test]
fn every_kind_of_revision_gets_its_verdict() {
    let ledger = TestLedger::example(7);
    assert_eq!(ledger.size(), SIZE);
    for size in [SIZE, 12] {
        let verdict = check(&ledger, &ledger.receipt(CAR_1, size), CAR_1).unwrap();
        assert_eq!(verdict.kind, VerdictKind::Verified);
        assert_eq!(verdict.data.as_deref(), ledger.blocks[2].revisions[0].data.as_ref());
        assert_eq!((verdict.version, verdict.supersedes, verdict.position), (1, Some(CAR_0), CAR_1));
        assert_eq!((verdict.block.number, verdict.block.position), (2, 7));
        assert!(verdict.witnessed && !verdict.imported);
        assert_eq!(verdict.cosignatures[0].time_s, 1_700_000_000);
        assert_eq!(verdict.unauthenticated, [Unauthenticated::Signature { name: "stranger.example".into() }]);
        assert_eq!(verdict.checkpoint, ledger.checkpoint(size));
    }
    let deleted = check(&ledger, &ledger.receipt(TRUCK_DELETED, SIZE), TRUCK_DELETED).unwrap();
    assert_eq!((deleted.kind, deleted.data_hash), (VerdictKind::Deleted, None));
    let redacted = check(&ledger, &ledger.receipt(CAR_0, SIZE), CAR_0).unwrap();
    let VerdictKind::Redacted { record, position, .. } = &redacted.kind else { panic!("{:?}", redacted.kind) };
    assert_eq!((&*record.user, record.block, *position), ("officer", 1, 10));
    assert_eq!(redacted.data, None);
    let mut withheld = ledger.receipt(CAR_0, SIZE);
    withheld.redactions.clear();
    assert_eq!(check(&ledger, &withheld, CAR_0).unwrap().kind, VerdictKind::Withheld);
}

#[test]
fn encoding_goes_both_ways() {
    let ledger = TestLedger::example(7);
    for receipt in examples(&ledger) {
        assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
    }
}

#[test]
fn what_a_ledger_may_store_a_receipt_may_show() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.transaction_receipt(5, SIZE);
    // The documents of a transaction of half a million rows come to more than a document may.
    let listed = (0..500_000).map(|n| Value::string(format!("{n:>40}"))).collect();
    let opened = receipt.block_opening.as_mut().expect("an opened block");
    opened.transaction_info = Some(Value::Struct(ion::Struct::from_fields([("documents", Value::List(listed))])));
    // As deep as an imported document may be.
    let deep = (0..250).fold(Value::int(1), |value, _| Value::List(vec![value]));
    if let Content::Data { data, .. } = &mut opening(&mut receipt).content {
        *data = Arc::new(Value::Struct(ion::Struct::from_fields([("deep", deep)])));
    }
    assert!(Receipt::decode(&receipt.encode_within_limit().unwrap()).unwrap() == receipt);
}

fn examples(ledger: &TestLedger) -> Vec<Receipt> {
    let mut withheld = ledger.receipt(CAR_0, SIZE);
    withheld.redactions.clear();
    let mut opened = ledger.receipt(CAR_2, SIZE);
    opened.block_opening = ledger.transaction_receipt(5, SIZE).block_opening;
    vec![
        ledger.receipt(CAR_1, SIZE),
        opened,
        ledger.receipt(TRUCK_DELETED, SIZE),
        ledger.receipt(CAR_0, SIZE),
        withheld,
    ]
}

#[test]
fn each_byte_flipped_is_refused_or_changes_no_statement() {
    let ledger = TestLedger::example(7);
    for receipt in examples(&ledger) {
        let position = receipt.revisions[0].position;
        let (trust, expectation) = (trust(&ledger), expect(&ledger, position));
        let verdict = verify(&receipt, &trust, &expectation).unwrap();
        assert!(!verdict.unauthenticated.is_empty());
        let bytes = receipt.encode();
        let foreign = receipt.checkpoint.rfind('\u{2014}').unwrap() + bytes.len() - receipt.checkpoint.len();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= mask;
                let Ok(read) = Receipt::decode(&changed) else { continue };
                let Ok(found) = verify(&read, &trust, &expectation) else { continue };
                assert_eq!(statements(found), statements(verdict.clone()), "byte {at} ^ {mask:#x} of {position}");
                let same_values = read.revisions == receipt.revisions && read.block_opening == receipt.block_opening;
                assert!(at >= foreign || same_values, "byte {at} ^ {mask:#x}: changed, and nothing says so");
            }
        }
    }
}

#[test]
fn each_byte_of_a_transactions_receipt_flipped_is_refused_or_changes_no_statement() {
    let ledger = TestLedger::example(7);
    for block in [1, 4] {
        let receipt = ledger.transaction_receipt(block, SIZE);
        let trust = trust(&ledger);
        let mut verdict = verify_transaction(&receipt, &trust, ledger.origin()).unwrap();
        verdict.unauthenticated.clear();
        let bytes = receipt.encode();
        let foreign = receipt.checkpoint.rfind('\u{2014}').unwrap() + bytes.len() - receipt.checkpoint.len();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= mask;
                let Ok(read) = Receipt::decode(&changed) else { continue };
                let Ok(mut found) = verify_transaction(&read, &trust, ledger.origin()) else { continue };
                found.unauthenticated.clear();
                assert_eq!(found, verdict, "byte {at} ^ {mask:#x}");
                let same_values = read.revisions == receipt.revisions && read.block_opening == receipt.block_opening;
                assert!(at >= foreign || same_values, "byte {at} ^ {mask:#x}: changed, and nothing says so");
            }
        }
    }
}

#[test]
fn a_cut_or_lengthened_receipt_is_refused() {
    let ledger = TestLedger::example(7);
    for receipt in examples(&ledger) {
        let mut bytes = receipt.encode();
        for length in 0..bytes.len() {
            assert!(Receipt::decode(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert_eq!(Receipt::decode(&bytes).unwrap_err().problem, ReceiptProblem::Trailing);
    }
}

#[test]
fn a_true_proof_of_something_else_is_refused() {
    let ledger = TestLedger::example(7);
    let receipt = ledger.receipt(CAR_1, SIZE);
    let right = expect(&ledger, CAR_1);
    let wrong = [
        Expectation { document_id: TRUCK, ..right.clone() },
        Expectation { version: Some(0), ..right.clone() },
        Expectation { version: Some(2), ..right.clone() },
        Expectation { table_id: Id::TABLES, ..right.clone() },
        Expectation { content: Some(ExpectedContent::Hash(Hash::ZERO)), ..right.clone() },
        Expectation { content: Some(ExpectedContent::Value(ion_value("{VIN:\"other\"}"))), ..right.clone() },
    ];
    for wrong in wrong {
        let refusal = verify(&receipt, &trust(&ledger), &wrong).unwrap_err();
        assert!(matches!(refusal, Refusal::Expectation { .. }), "{refusal}");
    }
    let same = ledger.blocks[2].revisions[0].data.clone().unwrap();
    for content in [ExpectedContent::Hash(ion::ion_hash(&same)), ExpectedContent::Value(same)] {
        verify(&receipt, &trust(&ledger), &Expectation { content: Some(content), ..right.clone() }).unwrap();
    }
    let deleted = ledger.receipt(TRUCK_DELETED, SIZE);
    let content = Some(ExpectedContent::Hash(Hash::ZERO));
    let expectation = Expectation { content, ..expect(&ledger, TRUCK_DELETED) };
    assert!(verify(&deleted, &trust(&ledger), &expectation).is_err());
}

#[test]
fn a_true_proof_of_another_ledger_is_refused() {
    let (ledger, other) = (TestLedger::example(7), TestLedger::example(8));
    let receipt = other.receipt(CAR_1, SIZE);
    assert!(matches!(check(&ledger, &receipt, CAR_1), Err(Refusal::Checkpoint(_))));
    // Knowing both keys does not make one ledger the other.
    let mut both = trust(&ledger);
    both.keys.push(TrustedKey::always(other.key.verifier().clone()));
    assert!(matches!(verify(&receipt, &both, &expect(&ledger, CAR_1)), Err(Refusal::Checkpoint(_))));
    verify(&receipt, &both, &expect(&other, CAR_1)).unwrap();
}

#[test]
fn metadata_and_data_swapped_are_refused() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.receipt(CAR_1, SIZE);
    let Content::Data { metadata, data } = opening(&mut receipt).content.clone() else { panic!() };
    opening(&mut receipt).content = Content::Data { metadata: (*data).clone(), data: Arc::new(metadata.clone()) };
    refused_as(check(&ledger, &receipt, CAR_1), Broken::Data);
    // QLDB's revision hash does not tell them apart; the leaf's commitment does.
    let metadata_hash = ion::ion_hash(&metadata);
    opening(&mut receipt).content = Content::DataHash { metadata: (*data).clone(), data_hash: metadata_hash };
    refused_as(check(&ledger, &receipt, CAR_1), Broken::Metadata);
    opening(&mut receipt).content = Content::DataHash { metadata, data_hash: metadata_hash };
    refused_as(check(&ledger, &receipt, CAR_1), Broken::Commitment);
}

#[test]
fn other_metadata_or_data_than_was_committed_to_is_refused() {
    let ledger = TestLedger::example(7);
    let texts = |id: Id, version: u64, time: &str, tx: Id| {
        ion_value(&format!("{{id:\"{id}\",version:{version},txTime:{time},txId:\"{tx}\"}}"))
    };
    let (time, tx) = ("2023-11-14T22:13:21.002Z", ledger.blocks[2].transaction);
    let cases = [
        (texts(CAR, 1, time, tx), None),
        (texts(TRUCK, 1, time, tx), Some(Broken::DocumentId)),
        (texts(CAR, 2, time, tx), Some(Broken::Version)),
        (texts(CAR, 1, time, CAR), Some(Broken::TransactionId)),
        (texts(CAR, 1, "2023-11-14T22:13:21.003Z", tx), Some(Broken::Time)),
        (texts(CAR, 1, "2023-11-14T22:13:21.0020Z", tx), Some(Broken::Metadata)),
        (texts(CAR, 1, "2023-11-14T22:13:21.002+00:00", tx), None),
        (texts(CAR, 1, "2023-11-14T23:13:21.002+01:00", tx), Some(Broken::Metadata)),
        (Value::NULL, Some(Broken::Metadata)),
    ];
    for (changed, expected) in cases {
        let mut receipt = ledger.receipt(CAR_1, SIZE);
        let Content::Data { metadata, .. } = &mut opening(&mut receipt).content else { panic!() };
        *metadata = changed;
        match expected {
            None => assert!(check(&ledger, &receipt, CAR_1).is_ok()),
            Some(expected) => refused_as(check(&ledger, &receipt, CAR_1), expected),
        }
    }
    for other in ["{VIN:\"1N4AL11D75C109151\",penalty:0.0}", "{VIN:\"1N4AL11D75C109151\"}", "{}"] {
        let mut receipt = ledger.receipt(CAR_1, SIZE);
        let Content::Data { data, .. } = &mut opening(&mut receipt).content else { panic!() };
        *data = Arc::new(ion_value(other));
        refused_as(check(&ledger, &receipt, CAR_1), Broken::Commitment);
    }
}

#[test]
fn the_fields_of_a_struct_may_come_in_another_order() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.receipt(CAR_1, SIZE);
    let Content::Data { data, .. } = &mut opening(&mut receipt).content else { panic!() };
    *data = Arc::new(ion_value("{penalty:0.00,VIN:\"1N4AL11D75C109151\"}"));
    assert_eq!(check(&ledger, &receipt, CAR_1).unwrap().kind, VerdictKind::Verified);
}

#[test]
fn a_revision_without_its_block_leaf_or_with_anothers_is_refused() {
    let ledger = TestLedger::example(7);
    for other in [5, 9, 11, 13] {
        let leaf = ledger.block_leaf(other);
        for proved in [other, 7] {
            let mut receipt = ledger.receipt(CAR_1, SIZE);
            (receipt.block_leaf, receipt.block_position) = (leaf, proved);
            let mut positions = [CAR_1, proved];
            positions.sort_unstable();
            receipt.proof = tree::inclusion_proof(SIZE, &positions, &ledger.tree).unwrap();
            assert!(check(&ledger, &receipt, CAR_1).is_err(), "{other} at {proved}");
        }
    }
    // A block leaf made up so that all numbers fit is not in the tree.
    let mut receipt = ledger.receipt(CAR_1, SIZE);
    receipt.block_leaf.time_ms += 1;
    assert!(matches!(check(&ledger, &receipt, CAR_1), Err(Refusal::Inclusion { .. })));
    // Only the revision leaf proved.
    let mut receipt = ledger.receipt(CAR_1, SIZE);
    receipt.proof = tree::inclusion_proof(SIZE, &[CAR_1], &ledger.tree).unwrap();
    assert!(matches!(check(&ledger, &receipt, CAR_1), Err(Refusal::Inclusion { .. })));
}

#[test]
fn the_block_leaf_binds_position_and_count() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.receipt(TRUCK_0, SIZE);
    receipt.block_leaf.revisions = 1;
    refused_as(check(&ledger, &receipt, TRUCK_0), Broken::BlockPosition);
    let mut receipt = ledger.receipt(TRUCK_0, SIZE);
    (receipt.block_leaf.first, receipt.block_leaf.revisions) = (5, 0);
    refused_as(check(&ledger, &receipt, TRUCK_0), Broken::OutsideBlock);
    let mut receipt = ledger.receipt(TRUCK_0, SIZE);
    receipt.block_leaf.block = 2;
    refused_as(check(&ledger, &receipt, TRUCK_0), Broken::BlockNumber);
    let mut receipt = ledger.receipt(TRUCK_0, SIZE);
    (receipt.block_leaf.first, receipt.block_leaf.revisions) = (u64::MAX, 6);
    refused_as(check(&ledger, &receipt, TRUCK_0), Broken::BlockPosition);
}

#[test]
fn an_empty_data_hash_is_refused() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.receipt(CAR_0, SIZE);
    receipt.redactions.clear();
    let Content::DataHash { data_hash, .. } = opening(&mut receipt).content.clone() else { panic!() };
    let bytes = receipt.encode();
    let at = bytes.windows(32).position(|window| window == data_hash.0).unwrap();
    for kept in 0..32 {
        let mut shorter = bytes.clone();
        shorter.drain(at + kept..at + 32);
        let holds = Receipt::decode(&shorter).is_ok_and(|read| check(&ledger, &read, CAR_0).is_ok());
        assert!(!holds, "{kept} bytes kept");
    }
    // Nor can the hash be left out by calling the revision a deletion.
    let Content::DataHash { metadata, .. } = opening(&mut receipt).content.clone() else { panic!() };
    opening(&mut receipt).content = Content::Deleted { metadata };
    refused_as(check(&ledger, &receipt, CAR_0), Broken::Flags);
}

#[test]
fn a_deletion_does_not_pass_for_data_and_nothing_else_for_a_deletion() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.receipt(TRUCK_DELETED, SIZE);
    let Content::Deleted { metadata } = opening(&mut receipt).content.clone() else { panic!() };
    opening(&mut receipt).content = Content::DataHash { metadata, data_hash: Hash::ZERO };
    refused_as(check(&ledger, &receipt, TRUCK_DELETED), Broken::Flags);
    receipt.revisions[0].leaf.deleted = false;
    assert!(check(&ledger, &receipt, TRUCK_DELETED).is_err());
    let mut receipt = ledger.receipt(CAR_1, SIZE);
    opening(&mut receipt).content = Content::Opaque { revision_hash: Hash::ZERO };
    refused_as(check(&ledger, &receipt, CAR_1), Broken::Flags);
    receipt.revisions[0].opening = None;
    refused_as(check(&ledger, &receipt, CAR_1), Broken::NotOpened);
}

#[test]
fn a_proof_for_one_size_with_the_checkpoint_of_another_is_refused() {
    let ledger = TestLedger::example(7);
    for (size, checkpoint) in [(SIZE, 12), (12, SIZE), (10, 12), (8, SIZE)] {
        let mut receipt = ledger.receipt(CAR_1, size);
        receipt.checkpoint = ledger.note(checkpoint);
        assert!(matches!(check(&ledger, &receipt, CAR_1), Err(Refusal::Inclusion { .. })), "{size} and {checkpoint}");
    }
}

#[test]
fn a_size_inside_the_block_is_refused() {
    let ledger = TestLedger::example(7);
    // The signer signs where it must not: after the revision leaf, before the block leaf.
    for size in [4, 5] {
        let mut receipt = ledger.receipt(CAR_0, SIZE);
        receipt.checkpoint = ledger.note(size);
        receipt.proof = tree::inclusion_proof(size, &[CAR_0], &ledger.tree).unwrap();
        assert!(matches!(check(&ledger, &receipt, CAR_0), Err(Refusal::Inclusion { .. })), "{size}");
    }
}

#[test]
fn a_foreign_key_and_a_key_out_of_its_range_are_refused() {
    let ledger = TestLedger::example(7);
    let mut receipt = ledger.receipt(CAR_1, SIZE);
    let foreign = SigningKey::from_seed(ledger.origin(), &[66; 32]).unwrap();
    receipt.checkpoint = ledger.checkpoint(SIZE).sign(&foreign).unwrap();
    assert!(matches!(check(&ledger, &receipt, CAR_1), Err(Refusal::Checkpoint(_))));
    let receipt = ledger.receipt(CAR_1, SIZE);
    let ranged = |size_min, size_max| {
        let key = TrustedKey { key: ledger.key.verifier().clone(), size_min, size_max };
        verify(&receipt, &Trust { keys: vec![key], ..Trust::default() }, &expect(&ledger, CAR_1))
    };
    assert!(ranged(SIZE, SIZE).is_ok());
    assert!(matches!(ranged(1, SIZE - 1), Err(Refusal::OutOfRange { size: SIZE, .. })));
    assert!(matches!(ranged(SIZE + 1, u64::MAX), Err(Refusal::OutOfRange { size: SIZE, .. })));
    let nobody = verify(&receipt, &Trust::default(), &expect(&ledger, CAR_1));
    assert!(matches!(nobody, Err(Refusal::NoKey { .. })));
}

#[test]
fn after_a_rotation_either_key_may_have_signed() {
    let ledger = TestLedger::example(7);
    let old = SigningKey::from_seed(ledger.origin(), &[66; 32]).unwrap();
    let receipt = ledger.receipt(CAR_1, SIZE);
    let keys = vec![TrustedKey::always(old.verifier().clone()), TrustedKey::always(ledger.key.verifier().clone())];
    verify(&receipt, &Trust { keys, ..Trust::default() }, &expect(&ledger, CAR_1)).unwrap();
}

#[test]
fn witnesses_are_counted_once_and_a_bad_cosignature_condemns() {
    let ledger = TestLedger::example(7);
    let receipt = ledger.receipt(CAR_1, SIZE);
    let with = |receipt: &Receipt, required, witnesses| {
        let trust = Trust { witnesses: WitnessPolicy { required, witnesses }, ..trust(&ledger) };
        verify(receipt, &trust, &expect(&ledger, CAR_1))
    };
    let known = witness().verifier().clone();
    let refusal = with(&receipt, 2, vec![known.clone(), known.clone()]).unwrap_err();
    assert_eq!(refusal, Refusal::Witnesses { found: 1, required: 2 });
    assert!(!with(&receipt, 0, Vec::new()).unwrap().witnessed);
    let mut note = Note::parse(&ledger.checkpoint(SIZE).sign(&ledger.key).unwrap()).unwrap();
    let other_text = ledger.checkpoint(12).to_note_text();
    note.add_signature_line(&note::cosign(&other_text, &witness(), 5).unwrap()).unwrap();
    let mut bad = receipt.clone();
    bad.checkpoint = note.to_string();
    assert!(matches!(with(&bad, 0, vec![known]), Err(Refusal::Checkpoint(_))));
}

#[test]
fn the_pinned_checkpoint_moves_only_along_consistency_proofs() {
    let ledger = TestLedger::example(7);
    let receipt = ledger.receipt(CAR_1, SIZE);
    let expectation = expect(&ledger, CAR_1);
    let proof = tree::consistency_proof(10, SIZE, &ledger.tree).unwrap();
    let pinned = |size, consistency| Trust { pinned: Some(ledger.checkpoint(size)), consistency, ..trust(&ledger) };
    verify(&receipt, &pinned(SIZE, None), &expectation).unwrap();
    let missing = verify(&receipt, &pinned(10, None), &expectation).unwrap_err();
    assert_eq!(missing, Refusal::ConsistencyMissing { pinned: 10, size: SIZE });
    verify(&receipt, &pinned(10, Some(proof.clone())), &expectation).unwrap();
    let older = ledger.receipt(CAR_1, 10);
    verify(&older, &pinned(SIZE, Some(proof.clone())), &expectation).unwrap();
    let moved = advance(&ledger.checkpoint(10), &ledger.checkpoint(SIZE), &proof).unwrap();
    assert_eq!(moved, ledger.checkpoint(SIZE));
    assert!(advance(&ledger.checkpoint(SIZE), &ledger.checkpoint(10), &proof).is_err());
    let other = TestLedger::example(8);
    assert!(matches!(advance(&other.checkpoint(10), &moved, &proof), Err(Refusal::PinnedOrigin { .. })));
}

#[test]
fn a_fork_is_refused() {
    let ledger = TestLedger::example(7);
    let mut fork = TestLedger::new(7);
    fork.commit(&[(TABLE, CAR, Some(ion_value("{fork:true}")))], "INSERT INTO car VALUES (?)");
    while fork.size() < SIZE {
        fork.commit(&[(TABLE, CAR, Some(ion_value("{fork:true}")))], "UPDATE car SET fork = true");
    }
    let receipt = ledger.receipt(CAR_1, SIZE);
    let expectation = expect(&ledger, CAR_1);
    assert_eq!(fork.size(), 15);
    for size in [3, 9, 15] {
        for source in [&ledger.tree, &fork.tree] {
            let (older, newer) = (size.min(SIZE), size.max(SIZE));
            let Ok(proof) = tree::consistency_proof(older, newer, source) else { continue };
            let trust = Trust { pinned: Some(fork.checkpoint(size)), consistency: Some(proof), ..trust(&ledger) };
            let refusal = verify(&receipt, &trust, &expectation).unwrap_err();
            assert!(matches!(refusal, Refusal::Consistency(_)), "{refusal}");
        }
    }
    let same_size = ledger_checkpoint_with_other_root(&ledger);
    let refusal = verify(&receipt, &Trust { pinned: Some(same_size), ..trust(&ledger) }, &expectation).unwrap_err();
    assert!(matches!(refusal, Refusal::Fork { .. }));
}

fn ledger_checkpoint_with_other_root(ledger: &TestLedger) -> ledgerstone_digest::checkpoint::Checkpoint {
    ledgerstone_digest::checkpoint::Checkpoint { root: Hash::ZERO, ..ledger.checkpoint(SIZE) }
}

#[test]
fn only_a_true_record_of_this_revision_makes_it_redacted() {
    let ledger = TestLedger::example(7);
    // A record beside a revision that is shown.
    let mut stray = ledger.receipt(CAR_1, SIZE);
    stray.redactions = ledger.receipt(CAR_0, SIZE).redactions;
    refused_as(check(&ledger, &stray, CAR_1), Broken::StrayRecord);
    // Twice the same.
    let mut twice = ledger.receipt(CAR_0, SIZE);
    twice.redactions.push(twice.redactions[0].clone());
    refused_as(check(&ledger, &twice, CAR_0), Broken::StrayRecord);
    // Withheld data of another revision.
    let mut other = ledger.receipt(TRUCK_0, SIZE);
    other.redactions = ledger.receipt(CAR_0, SIZE).redactions;
    let Content::Data { metadata, data } = opening(&mut other).content.clone() else { panic!() };
    opening(&mut other).content = Content::DataHash { metadata, data_hash: ion::ion_hash(&data) };
    refused_as(check(&ledger, &other, TRUCK_0), Broken::StrayRecord);
    // A revision of another table in the place of the record.
    let mut no_record = ledger.receipt(CAR_0, SIZE);
    let user = ledger.receipt(CAR_1, SIZE);
    no_record.redactions = vec![RedactionPart {
        revision: user.revisions[0].clone(),
        block_leaf: user.block_leaf,
        block_position: user.block_position,
        proof: user.proof,
    }];
    refused_as(check(&ledger, &no_record, CAR_0), Broken::NotARecord);
    // A record that is not in the tree.
    let mut unproved = ledger.receipt(CAR_0, SIZE);
    unproved.redactions[0].proof[0].0[0] ^= 1;
    assert!(matches!(check(&ledger, &unproved, CAR_0), Err(Refusal::Inclusion { .. })));
}

#[test]
fn a_record_from_before_the_revision_explains_nothing() {
    let mut ledger = TestLedger::new(7);
    let (table_id, document_id, version) = (TABLE, CAR, 0);
    let record = RedactionRecord { block: 1, table_id, document_id, version, user: "officer".into() };
    let strand = ledger.genesis.strand;
    let info =
        RedactionInfo { revisions: vec![RedactedRevision { strand, sequence_no: 1, table_id, document_id, version }] };
    ledger.commit_with(&[(Id::REDACTIONS, Id([0x33; 16]), Some(record.to_value()))], "SELECT 1", Some(info));
    ledger.commit(&[(TABLE, CAR, Some(ion_value("{VIN:\"1\"}")))], "INSERT INTO car VALUES (?)");
    ledger.blocks[1].revisions[0].missing = true;
    refused_as(check(&ledger, &ledger.receipt(3, 5), 3), Broken::RecordTooEarly);
}

#[test]
fn a_transactions_receipt_shows_all_its_revisions() {
    let ledger = TestLedger::example(7);
    let receipt = ledger.transaction_receipt(1, SIZE);
    let verdict = verify_transaction(&receipt, &trust(&ledger), ledger.origin()).unwrap();
    assert_eq!(verdict.revisions.len(), 2);
    assert!(matches!(verdict.revisions[0].kind, Some(VerdictKind::Redacted { .. })));
    assert_eq!(verdict.revisions[1].kind, Some(VerdictKind::Verified));
    assert_eq!(verdict.block.block_hash, Some(ledger.openings[1].block_hash));
    let mut fewer = receipt.clone();
    fewer.revisions.pop();
    let refusal = verify_transaction(&fewer, &trust(&ledger), ledger.origin()).unwrap_err();
    assert_eq!(refusal, Refusal::Revisions { expected: 2, found: 1 });
    let mut unopened = receipt.clone();
    unopened.revisions[1].opening = None;
    assert_eq!(verify_transaction(&unopened, &trust(&ledger), ledger.origin()).unwrap().revisions[1].kind, None);
    let mut swapped = receipt.clone();
    swapped.revisions.swap(0, 1);
    assert!(verify_transaction(&swapped, &trust(&ledger), ledger.origin()).is_err());
    let refusal = check(&ledger, &receipt, CAR_0).unwrap_err();
    assert_eq!(refusal, Refusal::Revisions { expected: 1, found: 2 });
}

#[test]
fn a_block_opens_only_with_what_it_committed_to() {
    let ledger = TestLedger::example(7);
    let change = |change: &dyn Fn(&mut OpenedBlock)| {
        let mut receipt = ledger.transaction_receipt(2, SIZE);
        change(receipt.block_opening.as_mut().unwrap());
        verify_transaction(&receipt, &trust(&ledger), ledger.origin()).is_ok()
    };
    assert!(change(&|_| {}));
    assert!(!change(&|opened| opened.blind[0] ^= 1));
    assert!(!change(&|opened| opened.opening.previous_block_hash = None));
    assert!(!change(&|opened| opened.opening.entries.swap(1, 2)));
    assert!(!change(&|opened| opened.opening.redaction_info_index = Some(1)));
    assert!(!change(&|opened| opened.origin_info = Some(ion_value("{user:\"boss\",door:\"postgres\"}"))));
    assert!(!change(&|opened| opened.redaction_info = opened.origin_info.clone()));
    assert!(!change(&|opened| opened.transaction_info = opened.origin_info.clone()));
    // The texts may be redacted from the receipt: their hash stands for them.
    assert!(change(&|opened| opened.transaction_info = Some(ledger.blocks[2].info.redacted().to_value())));
}

/// `vectors/receipts.json`: receipts with what they show. `WRITE_VECTORS=1` writes the file anew.
#[test]
fn the_receipts_of_the_vectors_are_made_and_verified() {
    let ledger = TestLedger::example(7);
    let names = ["verified", "verified, block opened", "deleted", "redacted", "withheld"];
    let mut receipts = Vec::new();
    for (name, receipt) in names.iter().zip(examples(&ledger)) {
        let verdict = check(&ledger, &receipt, receipt.revisions[0].position).unwrap();
        receipts.push(json!({
            "name": name,
            "table": verdict.table_id.to_string(),
            "document": verdict.document_id.to_string(),
            "version": verdict.version,
            "position": verdict.position,
            "block": verdict.block.number,
            "transaction": verdict.block.transaction_id.to_string(),
            "time_ms": verdict.block.time_ms,
            "data": verdict.data.as_deref().map(ion::to_text),
            "data_hash": verdict.data_hash.map(|hash| hash.to_string()),
            "receipt": hex(&receipt.encode()),
        }));
    }
    let made = json!({
        "origin": ledger.origin(),
        "vkey": ledger.key.verifier().to_string(),
        "witness": witness().verifier().to_string(),
        "size": SIZE,
        "root": ledger.tree.root().to_string(),
        "leaves": ledger.leaves.iter().map(|leaf| hex(&leaf.encode())).collect::<Vec<_>>(),
        "receipts": receipts,
        "transaction_receipt": hex(&ledger.transaction_receipt(1, SIZE).encode()),
        "refused": refused(&ledger),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/receipts.json");
    if std::env::var_os("WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let stored: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(stored, made);
    for vector in stored["receipts"].as_array().unwrap() {
        let receipt = Receipt::decode(&crate::vectors::bytes(&vector["receipt"])).unwrap();
        check(&ledger, &receipt, vector["position"].as_u64().unwrap()).unwrap();
    }
}

/// Receipts that every verifier must refuse, all with the expectation of the first one above.
fn refused(ledger: &TestLedger) -> Vec<serde_json::Value> {
    let good = ledger.receipt(CAR_1, SIZE);
    let mut wrong =
        vec![("another document", ledger.receipt(TRUCK_0, SIZE)), ("another version", ledger.receipt(CAR_2, SIZE))];
    wrong.push(("another ledger", TestLedger::example(8).receipt(CAR_1, SIZE)));
    let mut swapped = good.clone();
    let Content::Data { metadata, data } = opening(&mut swapped).content.clone() else { panic!() };
    opening(&mut swapped).content = Content::Data { metadata: (*data).clone(), data: Arc::new(metadata) };
    wrong.push(("metadata and data swapped", swapped));
    let mut block = good.clone();
    (block.block_leaf, block.block_position) = (ledger.block_leaf(9), 9);
    block.proof = tree::inclusion_proof(SIZE, &[CAR_1, 9], &ledger.tree).unwrap();
    wrong.push(("another block's leaf", block));
    let mut size = good.clone();
    size.checkpoint = ledger.note(12);
    wrong.push(("the checkpoint of another size", size));
    let mut key = good.clone();
    let foreign = SigningKey::from_seed(ledger.origin(), &[66; 32]).unwrap();
    key.checkpoint = ledger.checkpoint(SIZE).sign(&foreign).unwrap();
    wrong.push(("a foreign key", key));
    let mut stray = good;
    stray.redactions = ledger.receipt(CAR_0, SIZE).redactions;
    wrong.push(("the record of another revision's redaction", stray));
    for (name, receipt) in &wrong {
        assert!(check(ledger, receipt, CAR_1).is_err(), "{name}");
    }
    wrong.iter().map(|(name, receipt)| json!({"name": name, "receipt": hex(&receipt.encode())})).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
