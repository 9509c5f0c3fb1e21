//! Leaves and commitments against the vectors.

use ledgerstone_digest::leaf::*;
use ledgerstone_digest::qldb::Entries;
use ledgerstone_digest::{Hash, Id, tree};
use serde_json::Value as Json;

use crate::vectors;

fn blind(json: &Json) -> Blind {
    vectors::bytes(json).try_into().unwrap()
}

#[test]
fn revision_leaves_hold_the_commitments_of_the_vectors() {
    for block in vectors::contract()["blocks"].as_array().unwrap() {
        for revision in block["revisions"].as_array().unwrap() {
            let bytes = vectors::bytes(&revision["leaf"]);
            let leaf = RevisionLeaf::decode(&bytes).unwrap();
            assert_eq!(leaf.encode().to_vec(), bytes);
            assert_eq!(leaf.block, block["number"].as_u64().unwrap());
            let (blind, metadata) = (blind(&revision["blind"]), vectors::hash(&revision["ih_metadata"]));
            let commitment = match &revision["ih_data"] {
                Json::Null => deleted_commitment(&blind, &metadata),
                data => revision_commitment(&blind, &metadata, &vectors::hash(data)),
            };
            assert_eq!(leaf.commitment, commitment);
            assert_eq!(leaf.deleted, revision["data"].is_null());
        }
    }
}

#[test]
fn block_leaves_hold_the_commitments_of_the_vectors() {
    let (mut previous_leaf, mut previous_block_hash) = (None, None);
    for block in vectors::contract()["blocks"].as_array().unwrap() {
        let bytes = vectors::bytes(&block["leaf"]);
        let leaf = BlockLeaf::decode(&bytes).unwrap();
        assert_eq!(leaf.encode().to_vec(), bytes);
        let info = u32::from(leaf.revisions > 0);
        let entries = Entries {
            list: vectors::hashes(&block["entriesHashList"]),
            revisions: (leaf.revisions > 0).then_some(0),
            transaction_info: Some(info),
            origin_info: Some(info + 1),
            redaction_info: None,
        };
        let opening = BlockOpening::new(previous_leaf, previous_block_hash, entries);
        assert_eq!(opening.entries_hash, vectors::hash(&block["entriesHash"]));
        assert_eq!(opening.block_hash, vectors::hash(&block["blockHash"]));
        previous_block_hash = Some(opening.block_hash);
        assert_eq!(opening.commitment(&blind(&block["blind"])), leaf.commitment);
        assert_eq!(leaf.first + u64::from(leaf.revisions), block["position"].as_u64().unwrap());
        previous_leaf = Some(Hash::sha256(&[&bytes]));
    }
}

#[test]
fn the_leaves_have_the_hashes_of_the_vectors() {
    let vectors = vectors::contract();
    let mut entries = vec![vectors::bytes(&vectors["genesis_leaf"])];
    for block in vectors["blocks"].as_array().unwrap() {
        entries.extend(block["revisions"].as_array().unwrap().iter().map(|r| vectors::bytes(&r["leaf"])));
        entries.push(vectors::bytes(&block["leaf"]));
    }
    let hashes: Vec<Hash> = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
    assert_eq!(hashes, vectors::hashes(&vectors["leaf_hashes"]));
    let genesis = GenesisLeaf::decode(&entries[0]).unwrap();
    assert_eq!(genesis.created_ms, 1_700_000_000_000);
    assert_eq!(genesis.ledger_id, Id(std::array::from_fn(|i| i as u8)));
}
