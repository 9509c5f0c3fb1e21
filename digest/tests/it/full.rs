//! Full verification: what holds is counted, what does not is named.

use ledgerstone_digest::block::*;
use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::full::*;
use ledgerstone_digest::ion::{self, Limits};
use ledgerstone_digest::leaf::{GenesisLeaf, Leaf};
use ledgerstone_digest::tree::leaf_hash;
use ledgerstone_digest::validity::{LeafVerifier, Rule};
use ledgerstone_digest::{Hash, Id};

use crate::ledger::*;
use crate::vectors;

/// Verifies the ledger's blocks against the checkpoints.
fn run(ledger: &TestLedger, checkpoints: Vec<Checkpoint>) -> Result<FullReport, Failure> {
    let mut verifier = FullVerifier::new(checkpoints);
    verifier.genesis(&ledger.genesis, &ledger.record)?;
    for block in &ledger.blocks {
        feed(&mut verifier, block, |_| {})?;
    }
    verifier.finish()
}

fn kept(ledger: &TestLedger) -> Vec<Checkpoint> {
    [14, 1, 3, 10].map(|size| ledger.checkpoint(size)).to_vec()
}

#[test]
fn what_holds_is_counted() {
    let ledger = TestLedger::example(7);
    let report = run(&ledger, kept(&ledger)).unwrap();
    assert_eq!(report.root, Some(ledger.tree.root()));
    assert_eq!((report.size, report.blocks, report.revisions, report.deleted), (14, 6, 7, 1));
    assert_eq!((report.redacted, report.redactions_open.len(), report.texts_redacted), (1, 0, 1));
    // Parameters are not kept: the deletion's and the redaction's statement have some.
    assert_eq!((report.statements, report.digests_not_recomputed, report.checkpoints), (6, 2, 4));
}

#[test]
fn the_contract_vectors_are_derived() {
    let vectors = vectors::contract();
    let genesis = GenesisLeaf::decode(&vectors::bytes(&vectors["genesis_leaf"])).unwrap();
    let parse = |text: &serde_json::Value| ion::parse(text.as_str().unwrap(), &Limits::DOCUMENT).unwrap();
    // The vectors' record is not Ion, and names no key: another one stands in for it, and the leaves are compared.
    let mut ledger = TestLedger::new(7);
    ledger.genesis =
        GenesisLeaf { ledger_id: ledger.genesis.ledger_id, record_hash: ledger.genesis.record_hash, ..genesis };
    let mut verifier = FullVerifier::new(Vec::new());
    verifier.genesis(&ledger.genesis, &ledger.record).unwrap();
    for block in vectors["blocks"].as_array().unwrap() {
        let info = TransactionInfo::from_value(&parse(&block["transactionInfo"])).unwrap();
        let mut revisions = Vec::new();
        let mut metadata = None;
        for revision in block["revisions"].as_array().unwrap() {
            let read = Metadata::from_value(&parse(&revision["metadata"])).unwrap();
            let bytes = vectors::bytes(&revision["leaf"]);
            let leaf = ledgerstone_digest::leaf::RevisionLeaf::decode(&bytes).unwrap();
            revisions.push(Revision {
                table: leaf.table_id,
                document: read.id,
                version: read.version,
                supersedes: leaf.supersedes,
                blind: vectors::bytes(&revision["blind"]).try_into().unwrap(),
                position: revision["position"].as_u64().unwrap(),
                data: (!revision["data"].is_null()).then(|| parse(&revision["data"])),
                missing: false,
            });
            metadata = Some(read);
        }
        let metadata = metadata.unwrap();
        let stored = Block {
            number: block["number"].as_u64().unwrap(),
            transaction: metadata.tx_id,
            time_ms: metadata.tx_time_ms,
            blind: vectors::bytes(&block["blind"]).try_into().unwrap(),
            revisions,
            info,
            origin: OriginInfo::from_value(&parse(&block["originInfo"])).unwrap(),
            redaction: None,
        };
        let derived = feed(&mut verifier, &stored, |full| {
            full.strand = genesis.strand;
            full.block_hash = Some(vectors::hash(&block["blockHash"]));
        })
        .unwrap();
        let leaves: Vec<Vec<u8>> = derived.leaves.iter().map(Leaf::encode).collect();
        let mut expected: Vec<Vec<u8>> =
            block["revisions"].as_array().unwrap().iter().map(|r| vectors::bytes(&r["leaf"])).collect();
        expected.push(vectors::bytes(&block["leaf"]));
        assert_eq!(leaves, expected);
    }
    let report = verifier.finish().unwrap();
    assert_eq!(report.qldb_digest, Some(vectors::hash(&vectors["qldb_digest"])));
}

#[test]
fn every_change_of_a_block_is_named() {
    let ledger = TestLedger::example(7);
    type Named<'a> = (&'a str, &'a dyn Fn(&mut Block));
    let changes: [Named<'_>; 12] = [
        ("data", &|block| block.revisions[0].data = Some(ion_value("{VIN:\"other\"}"))),
        ("blind of a revision", &|block| block.revisions[0].blind[0] ^= 1),
        ("blind of the block", &|block| block.blind[0] ^= 1),
        ("document", &|block| block.revisions[0].document = Id([0x55; 16])),
        ("table", &|block| block.revisions[0].table = Id([0x55; 16])),
        ("version", &|block| block.revisions[0].version += 1),
        ("predecessor", &|block| block.revisions[0].supersedes = Some(4)),
        ("transaction", &|block| block.transaction = Id([0x55; 16])),
        ("time", &|block| block.time_ms += 1),
        ("user", &|block| block.origin.user = "boss".into()),
        ("start time", &|block| block.info.statements[0].start_time_ms += 1),
        ("text", &|block| block.info.statements[0].text = StatementText::Text("SELECT 1".into())),
    ];
    for (name, change) in changes {
        let mut changed = ledger.clone();
        change(&mut changed.blocks[2]);
        assert!(run(&changed, kept(&ledger)).is_err(), "{name}");
    }
}

#[test]
fn a_wrong_stored_block_hash_is_named_with_its_block() {
    let ledger = TestLedger::example(7);
    let mut verifier = FullVerifier::new(Vec::new());
    verifier.genesis(&ledger.genesis, &ledger.record).unwrap();
    let failure = feed(&mut verifier, &ledger.blocks[0], |full| full.block_hash = Some(Hash::ZERO)).unwrap_err();
    assert!(matches!(failure, Failure::Block { number: 0, position: 2, .. }), "{failure}");
}

#[test]
fn a_block_dropped_doubled_or_moved_is_refused() {
    let ledger = TestLedger::example(7);
    for at in 0..ledger.blocks.len() {
        let mut dropped = ledger.clone();
        dropped.blocks.remove(at);
        assert!(run(&dropped, kept(&ledger)).is_err(), "dropped {at}");
        let mut doubled = ledger.clone();
        doubled.blocks.insert(at, ledger.blocks[at].clone());
        assert!(run(&doubled, kept(&ledger)).is_err(), "doubled {at}");
    }
    let mut moved = ledger.clone();
    moved.blocks.swap(1, 2);
    assert!(run(&moved, Vec::new()).is_err());
}

#[test]
fn checkpoints_of_other_trees_sizes_or_ledgers_are_refused() {
    let ledger = TestLedger::example(7);
    let good = ledger.checkpoint(10);
    let fails = |checkpoint: Checkpoint| run(&ledger, vec![checkpoint]).unwrap_err();
    assert!(matches!(fails(Checkpoint { root: Hash::ZERO, ..good.clone() }), Failure::Root { size: 10, .. }));
    assert!(matches!(fails(ledger.checkpoint(9)), Failure::InsideBlock { size: 9, block: 3 }));
    assert!(matches!(fails(ledger.checkpoint(4)), Failure::InsideBlock { size: 4, block: 1 }));
    assert!(matches!(fails(Checkpoint { size: 15, ..good.clone() }), Failure::Beyond { size: 15, found: 14 }));
    assert!(matches!(fails(Checkpoint { origin: "other".into(), ..good }), Failure::Origin { .. }));
}

#[test]
fn a_ledger_rewritten_and_signed_anew_fails_against_the_kept_checkpoint_only() {
    let ledger = TestLedger::example(7);
    let mut rewritten = TestLedger::new(7);
    for block in &ledger.blocks[..4] {
        let changes: Vec<Change> = block.revisions.iter().map(|r| (r.table, r.document, r.data.clone())).collect();
        rewritten.commit(&changes, "SELECT 1");
    }
    run(&rewritten, vec![rewritten.checkpoint(10)]).unwrap();
    assert!(matches!(run(&rewritten, vec![ledger.checkpoint(10)]), Err(Failure::Root { size: 10, .. })));
}

#[test]
fn missing_data_without_a_record_is_withheld_and_fails() {
    let ledger = TestLedger::example(7);
    let mut withheld = ledger.clone();
    withheld.blocks[5].revisions[0].missing = true;
    let failure = run(&withheld, Vec::new()).unwrap_err();
    assert!(matches!(failure, Failure::Revision { block: 5, position: 12, .. }), "{failure}");
    let mut texts = ledger.clone();
    texts.blocks[2].info = texts.blocks[2].info.redacted();
    let failure = run(&texts, Vec::new()).unwrap_err();
    assert!(matches!(failure, Failure::Block { number: 2, position: 7, .. }), "{failure}");
    let mut unfinished = ledger.clone();
    unfinished.blocks[1].revisions[0].missing = false;
    let open = run(&unfinished, kept(&ledger)).unwrap().redactions_open;
    assert_eq!(open.len(), 1);
    // The revision is there in one block and in no other, which only leaves can tell.
    for (block, missing) in [(open[0].block, 0), (open[0].block + 1, 1)] {
        let mut sought = Sought::default();
        sought.record(OpenRedaction { block, ..open[0] });
        for leaf in &ledger.leaves {
            if let Leaf::Revision(leaf) = leaf {
                sought.see(leaf);
            }
        }
        assert_eq!(sought.missing().len(), missing, "block {block}");
    }
}

#[test]
fn redaction_info_lists_exactly_the_records() {
    let mut ledger = TestLedger::example(7);
    ledger.blocks[4].redaction = None;
    assert!(matches!(run(&ledger, Vec::new()), Err(Failure::Block { number: 4, .. })));
    let mut ledger = TestLedger::example(7);
    ledger.blocks[4].redaction.as_mut().unwrap().revisions[0].version = 1;
    assert!(matches!(run(&ledger, Vec::new()), Err(Failure::Block { number: 4, .. })));
    let mut ledger = TestLedger::example(7);
    ledger.blocks[4].revisions[0].data = Some(ion_value("{no:\"record\"}"));
    assert!(matches!(run(&ledger, Vec::new()), Err(Failure::Revision { block: 4, .. })));
}

#[test]
fn transaction_info_lists_exactly_the_documents_of_user_tables() {
    let changes: [&dyn Fn(&mut Block); 5] = [
        &|block| block.info.documents.clear(),
        &|block| block.info.documents[0].table_id = Id([9; 16]),
        &|block| block.info.documents[0].document_id = Id([9; 16]),
        &|block| block.info.documents[0].statements = vec![1],
        &|block| block.info.documents.push(block.info.documents[0].clone()),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut ledger = TestLedger::example(7);
        change(&mut ledger.blocks[2]);
        let failure = run(&ledger, Vec::new()).unwrap_err();
        let named = matches!(failure, Failure::Block { number: 2, .. } | Failure::Revision { block: 2, .. });
        assert!(named, "change {number}: {failure}");
    }
    let mut system = TestLedger::example(7);
    let listed = DocumentInfo { document_id: TABLE, table_name: "t".into(), table_id: Id::TABLES, statements: vec![0] };
    system.blocks[0].info.documents.push(listed);
    assert!(matches!(run(&system, Vec::new()), Err(Failure::Revision { block: 0, .. })));
}

#[test]
fn a_table_name_that_no_definition_gives_is_counted_and_not_refused() {
    let ledger = TestLedger::example(7);
    let honest = run(&ledger, kept(&ledger)).unwrap();
    assert_eq!((honest.names_unproved, honest.first_name_unproved), (0, None));
    let mut renamed = TestLedger::example(7);
    renamed.blocks[2].info.documents[0].table_name = "payroll".into();
    let report = run(&renamed, Vec::new()).unwrap();
    assert_eq!((report.names_unproved, report.first_name_unproved), (1, Some(2)));
    assert_ne!(report.root, honest.root, "the name is in the block's hash all the same");
}

#[test]
fn a_document_changed_twice_in_a_block_is_refused() {
    let mut ledger = TestLedger::example(7);
    let block = ledger.blocks.iter_mut().find(|block| block.revisions.len() > 1).unwrap();
    let (number, document) = (block.number, block.revisions[0].document);
    block.revisions[1].document = document;
    block.revisions[1].table = block.revisions[0].table;
    block.info.documents.dedup_by_key(|listed| listed.table_id);
    block.info.documents[0].document_id = document;
    let failure = run(&ledger, Vec::new()).unwrap_err();
    assert!(matches!(&failure, Failure::Block { number: n, .. } if *n == number), "{failure}");
    assert!(failure.to_string().contains("changed twice"), "{failure}");
}

#[test]
fn blocks_prepared_revision_by_revision_are_those_prepared_whole() {
    let ledger = TestLedger::example(7);
    let mut whole = FullVerifier::new(Vec::new());
    let mut parts = FullVerifier::new(Vec::new());
    let mut preparer = Preparer::default();
    for verifier in [&mut whole, &mut parts] {
        verifier.genesis(&ledger.genesis, &ledger.record).unwrap();
    }
    for block in &ledger.blocks {
        let derived = feed(&mut whole, block, |_| {}).unwrap();
        let heading = Heading {
            strand: ledger.genesis.strand,
            number: block.number,
            transaction_id: block.transaction,
            time_ms: block.time_ms,
            blind: block.blind,
            first: parts.frontier().size(),
            statements: &block.info.statements,
            origin_info_hash: preparer.origin_info(&block.origin),
            redaction_info: block.redaction.as_ref(),
            block_hash: Some(derived.opening.block_hash),
            imported: None,
        };
        let (mut gathered, mut leaves) = (Gathered::default(), Vec::new());
        let store = &mut |level, _, hash| leaves.extend((level == 0).then_some(hash));
        for (revision, position) in block.revisions.iter().zip(heading.first..) {
            let data = match &revision.data {
                None => FullData::Deleted,
                Some(data) if revision.missing => FullData::Missing(ion::ion_hash(data)),
                Some(data) if revision.table.is_system() => FullData::Value(data),
                Some(data) => FullData::Hashed(ion::ion_hash(data)),
            };
            let full = FullRevision {
                table_id: revision.table,
                document_id: revision.document,
                version: revision.version,
                supersedes: revision.supersedes,
                blind: revision.blind,
                data,
                imported: None,
            };
            let listed = block.info.documents.iter().find(|listed| listed.document_id == revision.document);
            let listing = listed.map(|d| Listing { table_name: &d.table_name, statements: &d.statements });
            let prepared = preparer.revision(&heading, &full, listing, position).unwrap();
            gathered.push(&prepared);
            parts.accept_revisions(&[prepared], store).unwrap();
        }
        let prepared = preparer.block(&heading, &mut gathered).unwrap();
        let accepted = parts.accept(prepared, store).unwrap();
        assert_eq!(accepted.opening, derived.opening);
        let expected: Vec<Hash> = derived.leaves.iter().map(|leaf| leaf_hash(&leaf.encode())).collect();
        assert_eq!(leaves, expected);
    }
    assert_eq!(parts.finish().unwrap(), whole.finish().unwrap());
}

#[test]
fn a_genesis_of_another_ledger_or_record_is_refused() {
    let ledger = TestLedger::example(7);
    let genesis = |leaf: &GenesisLeaf, record: &[u8]| FullVerifier::new(Vec::new()).genesis(leaf, record);
    assert_eq!(genesis(&ledger.genesis, &ledger.record).unwrap().log_key, *ledger.key.verifier());
    let other = TestLedger::new(8);
    assert!(genesis(&ledger.genesis, &other.record).is_err());
    assert!(genesis(&GenesisLeaf { record_hash: other.genesis.record_hash, ..ledger.genesis }, &other.record).is_err());
    for record in [&b""[..], b"\xe0\x01\x00\xea", b"garbage"] {
        let record_hash = Hash::sha256(&[record]);
        assert!(genesis(&GenesisLeaf { record_hash, ..ledger.genesis }, record).is_err());
    }
}

#[test]
fn trees_that_break_a_rule_fail_leaf_by_leaf() {
    let ledger = TestLedger::example(7);
    let encoded: Vec<Vec<u8>> = ledger.leaves.iter().map(Leaf::encode).collect();
    let check = |leaves: &[Vec<u8>]| {
        let mut verifier = LeafVerifier::new();
        leaves.iter().try_for_each(|leaf| verifier.push(leaf).map(|_| ()))?;
        verifier.finish()
    };
    assert_eq!(check(&encoded).unwrap(), (14, ledger.tree.root()));
    let change = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut leaves = encoded.clone();
        change(&mut leaves);
        check(&leaves).unwrap_err().rule
    };
    assert_eq!(change(&|leaves| drop(leaves.remove(0))), Rule::V1);
    assert_eq!(change(&|leaves| leaves.insert(9, leaves[0].clone())), Rule::V1);
    assert_eq!(change(&|leaves| drop(leaves.remove(4))), Rule::V2);
    assert_eq!(change(&|leaves| drop(leaves.remove(5))), Rule::V2);
    assert_eq!(change(&|leaves| leaves.truncate(13)), Rule::V2);
    assert_eq!(change(&|leaves| leaves.swap(3, 6)), Rule::V2);
    assert_eq!(change(&|leaves| leaves[6][49..50].copy_from_slice(&[3])), Rule::V2);
    assert_eq!(change(&|leaves| leaves[6][41] = 2), Rule::V3);
    assert_eq!(change(&|leaves| leaves[6][57] = 4), Rule::V3);
    assert_eq!(change(&|leaves| leaves.insert(4, vec![3, 0])), Rule::V4);
    assert_eq!(change(&|leaves| leaves[6][1] = 0x80), Rule::V5);
    assert_eq!(change(&|leaves| leaves[6].push(0)), Rule::V5);
}
