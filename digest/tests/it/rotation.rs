//! Rotation of the key: who follows it, and what nobody follows.

use ledgerstone_digest::Id;
use ledgerstone_digest::full::{Failure, FullReport, FullVerifier};
use ledgerstone_digest::ion::{encode, ion_hash};
use ledgerstone_digest::note::{self, SigningKey, VerifierKey};
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::{KeyChain, RotationProblem, RotationRecord, hands_over};
use ledgerstone_digest::verifier::{Expectation, Refusal, Trust, verify};

use serde_json::json;

use crate::ledger::*;

fn key(ledger: &TestLedger, seed: u8) -> SigningKey {
    SigningKey::from_seed(ledger.origin(), &[seed; 32]).unwrap()
}

fn signed(ledger: &TestLedger, size: u64, keys: &[&SigningKey]) -> String {
    note::sign(&ledger.checkpoint(size).to_note_text(), keys).unwrap()
}

/// Commits a rotation, true or not, and gives the size that it ends at.
fn rotate(ledger: &mut TestLedger, old: &VerifierKey, new: &VerifierKey, beyond: u64) -> u64 {
    let end = ledger.size() + 2;
    let record = RotationRecord { old: old.clone(), new: new.clone(), from: end + beyond };
    let document = ledger.genesis.ledger_id;
    ledger.commit(&[(Id::KEYS, document, Some(record.to_value()))], "ROTATE KEY");
    end
}

/// A ledger whose key was rotated at 16 and at 20: keys, sizes.
fn rotated() -> (TestLedger, [SigningKey; 3], [u64; 2]) {
    let mut ledger = TestLedger::example(7);
    let keys = [ledger.key.clone(), key(&ledger, 51), key(&ledger, 52)];
    let first = rotate(&mut ledger, keys[0].verifier(), keys[1].verifier(), 0);
    ledger.commit(&[(TABLE, CAR, Some(ion_value("{a:1}")))], "UPDATE car SET a = 1");
    let second = rotate(&mut ledger, keys[1].verifier(), keys[2].verifier(), 0);
    ledger.commit(&[(TABLE, CAR, Some(ion_value("{a:2}")))], "UPDATE car SET a = 2");
    (ledger, keys, [first, second])
}

fn receipt(ledger: &TestLedger, position: u64, size: u64, keys: &[&SigningKey]) -> Receipt {
    Receipt { checkpoint: signed(ledger, size, keys), ..ledger.receipt(position, size) }
}

fn full(ledger: &TestLedger) -> Result<FullReport, Failure> {
    let mut verifier = FullVerifier::new(Vec::new());
    verifier.genesis(&ledger.genesis, &ledger.record)?;
    ledger.blocks.iter().try_for_each(|block| feed(&mut verifier, block, |_| {}).map(drop))?;
    verifier.finish()
}

#[test]
fn who_holds_the_first_key_follows_two_rotations_and_verifies_under_the_last() {
    let (ledger, [first, second, third], [a, b]) = rotated();
    let mut chain = KeyChain::new(first.verifier().clone());
    let record = chain.follow(&receipt(&ledger, a - 2, a, &[&first, &second])).unwrap();
    assert_eq!((record.from, &record.new), (a, second.verifier()));
    chain.follow(&receipt(&ledger, b - 2, b, &[&second, &third])).unwrap();
    assert_eq!(chain.current(), third.verifier());
    let car = receipt(&ledger, ledger.size() - 2, ledger.size(), &[&third]);
    let expectation = Expectation {
        origin: ledger.origin().to_owned(),
        table_id: TABLE,
        document_id: CAR,
        version: None,
        content: None,
    };
    verify(&car, &chain.trust(), &expectation).unwrap();
    // The new key alone is as good, and the old one alone is not.
    verify(&car, &Trust::in_key(third.verifier().clone()), &expectation).unwrap();
    let old = verify(&car, &Trust::in_key(first.verifier().clone()), &expectation);
    assert!(matches!(old, Err(Refusal::Checkpoint(_))), "{old:?}");
    // From the second key on the second rotation is enough.
    let mut later = KeyChain::new(second.verifier().clone());
    later.follow(&receipt(&ledger, b - 2, b, &[&second, &third])).unwrap();
    assert_eq!(later.current(), third.verifier());
}

#[test]
fn a_size_beyond_a_keys_range_is_refused_by_name() {
    let (ledger, [first, second, third], [a, b]) = rotated();
    let mut chain = KeyChain::new(first.verifier().clone());
    chain.follow(&receipt(&ledger, a - 2, a, &[&first, &second])).unwrap();
    chain.follow(&receipt(&ledger, b - 2, b, &[&second, &third])).unwrap();
    for (size, key) in [(1, &first), (a, &first), (a, &second), (b, &second), (b, &third), (ledger.size(), &third)] {
        chain.verify(&signed(&ledger, size, &[key])).unwrap();
    }
    for (size, key) in [(b, &first), (1, &second), (ledger.size(), &second), (a, &third)] {
        let refusal = chain.verify(&signed(&ledger, size, &[key])).unwrap_err();
        let vkey = key.verifier().to_string();
        assert!(matches!(&refusal, Refusal::OutOfRange { vkey: named, .. } if *named == vkey), "{refusal}");
    }
    // What a key may not sign takes nothing from the signature of the one that may.
    chain.verify(&signed(&ledger, ledger.size(), &[&first, &third])).unwrap();
}

#[test]
fn a_rotation_is_followed_only_under_the_checkpoint_that_hands_over() {
    let (ledger, [first, second, _], [a, b]) = rotated();
    let stranger = key(&ledger, 99);
    let chain = KeyChain::new(first.verifier().clone());
    let follow = |size, keys: &[&SigningKey]| {
        let mut copy = chain.clone();
        let outcome = copy.follow(&receipt(&ledger, a - 2, size, keys)).unwrap_err();
        assert_eq!(copy, chain);
        outcome
    };
    assert!(matches!(follow(a, &[&second]), Refusal::Checkpoint(_)), "the old key has not signed");
    assert!(matches!(follow(a, &[&stranger, &second]), Refusal::Checkpoint(_)));
    let not_new = follow(a, &[&first]);
    assert!(matches!(not_new, Refusal::Rotation(RotationProblem::NotSignedByNew { .. })), "{not_new}");
    let later = follow(b, &[&first, &second]);
    assert!(matches!(later, Refusal::Rotation(RotationProblem::OtherSize { .. })), "{later}");
    // The second rotation is not one of the first key.
    let skipped = chain.clone().follow(&receipt(&ledger, b - 2, b, &[&first, &second])).unwrap_err();
    assert!(matches!(skipped, Refusal::Rotation(RotationProblem::Old { .. })), "{skipped}");
    // Another document's receipt is no rotation, whatever it says.
    let other = chain.clone().follow(&receipt(&ledger, a, a + 2, &[&first])).unwrap_err();
    assert!(matches!(other, Refusal::Expectation { .. }), "{other}");
}

#[test]
fn full_verification_lists_rotations_and_refuses_those_that_do_not_follow() {
    let (ledger, [first, second, third], [a, b]) = rotated();
    let report = full(&ledger).unwrap();
    let found: Vec<_> = report.rotations.iter().map(|r| (r.record.from, r.record.new.clone(), r.position)).collect();
    assert_eq!(found, [(a, second.verifier().clone(), a - 2), (b, third.verifier().clone(), b - 2)]);
    hands_over(&signed(&ledger, a, &[&first, &second]), &report.rotations[0].record).unwrap();

    // A rotation that does not follow cannot even be derived: `commit` runs full verification.
    let refused = |change: fn(&mut TestLedger, &[SigningKey; 3])| {
        let (mut ledger, keys, _) = rotated();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| change(&mut ledger, &keys))).unwrap_err();
        full(&ledger).unwrap_err().to_string()
    };
    let what = refused(|ledger, keys| {
        rotate(ledger, keys[1].verifier(), keys[0].verifier(), 0);
    });
    assert!(what.contains("is in force"), "{what}");
    let what = refused(|ledger, keys| {
        rotate(ledger, keys[2].verifier(), keys[0].verifier(), 0);
    });
    assert!(what.contains("was in force before"), "{what}");
    let what = refused(|ledger, keys| {
        let new = key(ledger, 60);
        rotate(ledger, keys[2].verifier(), new.verifier(), 1);
    });
    assert!(what.contains("its block ends at size"), "{what}");
    let what = refused(|ledger, _| {
        let document = ledger.genesis.ledger_id;
        ledger.commit(&[(Id::KEYS, document, None)], "DELETE KEY");
    });
    assert!(what.contains("must be shown, and stays"), "{what}");
    let what = refused(|ledger, keys| {
        let new = key(ledger, 60);
        let from = ledger.size() + 2;
        let record = RotationRecord { old: keys[2].verifier().clone(), new: new.verifier().clone(), from };
        ledger.commit(&[(Id::KEYS, CAR, Some(record.to_value()))], "ROTATE KEY");
    });
    assert!(what.contains("the ledger's own id"), "{what}");
    let what = refused(|ledger, keys| {
        let (new, document) = (key(ledger, 60), ledger.genesis.ledger_id);
        let from = ledger.size() + 3;
        let record = RotationRecord { old: keys[2].verifier().clone(), new: new.verifier().clone(), from };
        let car = (TABLE, CAR, Some(ion_value("{a:3}")));
        ledger.commit(&[(Id::KEYS, document, Some(record.to_value())), car], "ROTATE KEY");
    });
    assert!(what.contains("alone in its block"), "{what}");
}

#[test]
fn a_proof_with_any_byte_changed_leads_nowhere_else() {
    let (ledger, [first, second, _], [a, _]) = rotated();
    let chain = KeyChain::new(first.verifier().clone());
    let good = receipt(&ledger, a - 2, a, &[&first, &second]).encode();
    let mut followed = chain.clone();
    followed.follow(&Receipt::decode(&good).unwrap()).unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let Ok(read) = Receipt::decode(&bad) else { continue };
            let mut copy = chain.clone();
            // Another encoding of the same values leads to the same key.
            if copy.follow(&read).is_ok() {
                assert_eq!(copy, followed, "byte {at}");
            } else {
                assert_eq!(copy, chain, "byte {at}");
            }
        }
    }
}

#[test]
fn the_rotations_of_the_vectors_are_made_and_followed() {
    let (ledger, [first, second, third], [a, b]) = rotated();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let proofs = [receipt(&ledger, a - 2, a, &[&first, &second]), receipt(&ledger, b - 2, b, &[&second, &third])];
    let refused = [
        ("not signed by the old key", receipt(&ledger, a - 2, a, &[&second])),
        ("not signed by the new key", receipt(&ledger, a - 2, a, &[&first])),
        ("under a later checkpoint", receipt(&ledger, a - 2, b, &[&first, &second])),
        ("of another key than the one in force", receipt(&ledger, b - 2, b, &[&first, &second, &third])),
        ("of a document that is no key", receipt(&ledger, a, a + 2, &[&first, &second])),
    ];
    let mut chain = KeyChain::new(first.verifier().clone());
    for (name, receipt) in &refused {
        assert!(chain.clone().follow(receipt).is_err(), "{name}");
    }
    let records: Vec<RotationRecord> = proofs.iter().map(|proof| chain.follow(proof).unwrap()).collect();
    let made = json!({
        "origin": ledger.origin(),
        "first_key": first.verifier().to_string(),
        "rotations": records.iter().zip(&proofs).map(|(record, proof)| json!({
            "old": record.old.to_string(),
            "new": record.new.to_string(),
            "from": record.from,
            "record": hex(&encode(&record.to_value())),
            "record_hash": ion_hash(&record.to_value()).to_string(),
            "receipt": hex(&proof.encode()),
        })).collect::<Vec<_>>(),
        "keys": chain.keys().map(|key| json!({
            "key": key.key.to_string(),
            "size_min": key.size_min,
            "size_max": (key.size_max != u64::MAX).then_some(key.size_max),
        })).collect::<Vec<_>>(),
        "accepted": [
            signed(&ledger, 1, &[&first]), signed(&ledger, a, &[&first]), signed(&ledger, a, &[&second]),
            signed(&ledger, b, &[&third]), signed(&ledger, ledger.size(), &[&first, &third]),
        ],
        "refused_checkpoints": [
            signed(&ledger, b, &[&first]), signed(&ledger, 1, &[&second]), signed(&ledger, a, &[&third]),
        ],
        "refused_as_the_first": refused.iter().map(|(name, receipt)| json!({
            "name": name,
            "receipt": hex(&receipt.encode()),
        })).collect::<Vec<_>>(),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/rotations.json");
    if std::env::var_os("WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let stored: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(stored, made);
    for note in stored["accepted"].as_array().unwrap() {
        chain.verify(note.as_str().unwrap()).unwrap();
    }
    for note in stored["refused_checkpoints"].as_array().unwrap() {
        assert!(matches!(chain.verify(note.as_str().unwrap()), Err(Refusal::OutOfRange { .. })));
    }
}
