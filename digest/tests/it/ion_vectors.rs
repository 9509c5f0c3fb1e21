//! Every published hash of Ion values, blocks and statements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::block::{
    Metadata, OriginInfo, RedactedRevision, RedactionInfo, TransactionInfo, statement_field_hash,
};
use ledgerstone_digest::ion::{Limits, Value, decode, encode, ion_hash, ion_hash_binary, ion_hash_string, parse};
use ledgerstone_digest::{Hash, Id, qldb};
use serde_json::Value as Json;

fn ion(text: &Json) -> Value {
    let text = text.as_str().unwrap();
    parse(text, &Limits::DOCUMENT).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn hash(text: &Json) -> Hash {
    text.as_str().unwrap().parse().unwrap()
}

fn qldb_vectors() -> Json {
    serde_json::from_str(include_str!("../../vectors/ion_qldb.json")).unwrap()
}

fn check_ion_hashes(vectors: &Json) {
    for (text, expected) in vectors["ion_hash"].as_object().unwrap() {
        let value = parse(text, &Limits::DOCUMENT).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(ion_hash(&value), hash(expected), "{text}");
        assert_eq!(ion_hash_binary(&encode(&value), &Limits::DOCUMENT), Ok(hash(expected)), "{text}");
    }
}

#[test]
fn ion_hashes_are_the_published_ones() {
    check_ion_hashes(&serde_json::from_str(include_str!("../../vectors/ion_hash.json")).unwrap());
    check_ion_hashes(&qldb_vectors());
}

#[test]
fn dot_and_merkle_are_the_published_ones() {
    let vectors = qldb_vectors();
    for row in vectors["dot"].as_array().unwrap() {
        assert_eq!(qldb::dot2(hash(&row[0]), hash(&row[1])), hash(&row[2]));
        assert_eq!(qldb::dot2(hash(&row[1]), hash(&row[0])), hash(&row[2]));
    }
    for (count, expected) in vectors["merkle"].as_object().unwrap() {
        let leaves: Vec<Hash> = (0..count.parse::<u8>().unwrap()).map(|i| Hash::sha256(&[&[i]])).collect();
        assert_eq!(qldb::merkle(&leaves), Some(hash(expected)), "{count}");
    }
}

#[test]
fn statement_and_commit_digests_are_the_published_ones() {
    let vectors = qldb_vectors();
    let digests: Vec<Hash> = vectors["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            let parameters: Vec<Value> = s["parameters"].as_array().unwrap().iter().map(ion).collect();
            let digest = qldb::statement_digest(s["text"].as_str().unwrap(), &parameters);
            assert_eq!(digest, hash(&s["digest"]), "{s}");
            digest
        })
        .collect();
    let commit = &vectors["commit_digest"];
    let transaction = ion_hash_string(commit["transaction_id"].as_str().unwrap());
    let after_first = qldb::dot2(transaction, digests[1]);
    assert_eq!(after_first, hash(&commit["after_first"]));
    assert_eq!(qldb::dot2(after_first, digests[2]), hash(&commit["digest"]));
}

#[test]
fn a_published_revision_has_its_hash() {
    let revision = &qldb_vectors()["revision"];
    let found = qldb::revision_hash(hash(&revision["metadata"]), Some(hash(&revision["data"])));
    assert_eq!(found, hash(&revision["hash"]));
}

#[test]
fn blocks_have_the_published_hashes() {
    let vectors = qldb_vectors();
    let mut previous = None;
    let mut blocks = Vec::new();
    for block in vectors["blocks"].as_array().unwrap() {
        let mut revisions = Vec::new();
        for revision in block["revisions"].as_array().unwrap() {
            let metadata = Metadata::from_value(&ion(&revision["metadata"])).unwrap();
            assert_eq!(metadata.to_value(), ion(&revision["metadata"]));
            assert_eq!(metadata.ion_hash(), hash(&revision["ih_metadata"]));
            let data = revision["data"].as_str().map(|_| ion_hash(&ion(&revision["data"])));
            assert_eq!(data, revision["ih_data"].as_str().map(|h| h.parse().unwrap()));
            let found = qldb::revision_hash(metadata.ion_hash(), data);
            assert_eq!(found, hash(&revision["qldb_revision_hash"]));
            revisions.push(found);
        }
        let info = TransactionInfo::from_value(&ion(&block["transactionInfo"])).unwrap();
        assert_eq!(info.to_value(), ion(&block["transactionInfo"]));
        let origin = OriginInfo::from_value(&ion(&block["originInfo"])).unwrap();
        assert_eq!(origin.to_value(), ion(&block["originInfo"]));
        let entries = qldb::Entries::native(&revisions, info.ion_hash(), origin.ion_hash(), None);
        let expected: Vec<Hash> = block["entriesHashList"].as_array().unwrap().iter().map(hash).collect();
        assert_eq!(entries.list, expected);
        assert_eq!(entries.hash(), hash(&block["entriesHash"]));
        let block_hash = qldb::block_hash(entries.hash(), previous);
        assert_eq!(block_hash, hash(&block["blockHash"]));
        assert_eq!(info.redacted().ion_hash(), info.ion_hash(), "a redaction keeps the hash");
        blocks.push(block_hash);
        previous = Some(block_hash);
    }
    assert_eq!(qldb::ledger_digest(&blocks), Some(hash(&vectors["digest"])));
}

#[test]
fn a_redacted_statement_keeps_the_hash_around_it() {
    let text = "{statements:[{statement:\"DELETE FROM t WHERE name = 'x'\",startTime:2024-01-02T03:04:05.678Z,\
                statementDigest:{{7fcsi4bK2PxyGLL/H+3P7gPgD/GRZ8q2biElbUkm8oM=}}}]}";
    let info = TransactionInfo::from_value(&parse(text, &Limits::DOCUMENT).unwrap()).unwrap();
    let redacted = info.redacted();
    assert_eq!(redacted.redacted_count(), 1);
    assert_eq!(redacted.ion_hash(), ion_hash(&info.to_value()));
    let shown = redacted.to_value();
    assert!(!shown.to_string().contains("DELETE"));
    assert_eq!(TransactionInfo::from_value(&shown).unwrap(), redacted);
    assert_ne!(ion_hash(&shown), redacted.ion_hash(), "the plain hash is over statementHash instead");
}

#[test]
fn a_redacted_statement_leaves_the_hash_of_its_field() {
    let serialized = b"\x0b\x70statement\x0e\x0b\x80DELETE FROM t\x0e";
    assert_eq!(statement_field_hash("DELETE FROM t"), Hash::sha256(&[serialized]));
    assert_ne!(statement_field_hash("DELETE FROM t"), ion_hash_string("DELETE FROM t"));
}

#[test]
fn redactions_come_back_from_their_value() {
    let id = |n| Id::from_foreign_text(&format!("{n}"));
    let revision = |n| RedactedRevision {
        strand: id(0),
        sequence_no: u64::MAX - n,
        table_id: id(1),
        document_id: id(n + 2),
        version: n,
    };
    let info = RedactionInfo { revisions: (0..3).map(revision).collect() };
    assert_eq!(RedactionInfo::from_value(&info.to_value()), Ok(info.clone()));
    assert_eq!(info.ion_hash(), ion_hash(&info.to_value()));
    let text = info.to_value().to_string().replace("sequenceNo", "sequence");
    let error = RedactionInfo::from_value(&parse(&text, &Limits::DOCUMENT).unwrap()).unwrap_err();
    assert_eq!(error.place, "redactionInfo.revisions[0].blockAddress.sequenceNo");
}

#[test]
fn what_is_hashed_field_by_field_is_the_hash_of_the_value() {
    let origin = OriginInfo {
        user: "clerk".into(),
        door: "grpc".into(),
        client_token: Some("token".into()),
        signature: Some(vec![0x0B, 0x0C, 0x0E]),
    };
    assert_eq!(origin.ion_hash(), ion_hash(&origin.to_value()));
    assert_eq!(OriginInfo::from_value(&origin.to_value()), Ok(origin));
}

#[test]
fn what_does_not_belong_in_a_block_is_refused() {
    let refused = |text: &str, expected: &str| {
        let error = TransactionInfo::from_value(&parse(text, &Limits::DOCUMENT).unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    };
    refused("[]", "not a struct");
    refused("{}", "missing");
    refused("{statements:[],statements:[]}", "twice");
    refused("{statements:[],more:1}", "does not belong");
    refused("{statements:[],documents:{}}", "left out");
    refused("{statements:[{}]}", "statements[0].statement");
    let statement = |time: &str, digest: &str| {
        format!("{{statements:[{{statement:\"x\",startTime:{time},statementDigest:{digest}}}]}}")
    };
    refused(&statement("2024-01-02T03:04:05.67Z", "{{}}"), "three fraction digits");
    refused(&statement("2024-01-02T03:04:05.678-00:00", "{{}}"), "three fraction digits");
    refused(&statement("2024-01-02T03:04:05.678Z", "{{AA==}}"), "32 bytes");
    refused("{statements:[],documents:{'short':{}}}", "22 Base62");
    let metadata = "{id:\"0000000000000000000000\",version:-1,txTime:2024-01-02T03:04:05.678Z,txId:\"\"}";
    assert!(Metadata::from_value(&parse(metadata, &Limits::DOCUMENT).unwrap()).is_err());
}

#[test]
fn generated_cases_keep_their_hashes_and_encodings() {
    let vectors: Json = serde_json::from_str(include_str!("../../vectors/ion_cases.json")).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let value = ion(&case["text"]);
        let bytes = STANDARD.decode(case["binary"].as_str().unwrap()).unwrap();
        assert_eq!(decode(&bytes, &Limits::DOCUMENT).as_ref(), Ok(&value), "{case}");
        assert_eq!(encode(&value), bytes, "{case}");
        assert_eq!(ion_hash(&value), hash(&case["hash"]), "{case}");
        assert_eq!(ion_hash_binary(&bytes, &Limits::DOCUMENT), Ok(hash(&case["hash"])), "{case}");
    }
}
