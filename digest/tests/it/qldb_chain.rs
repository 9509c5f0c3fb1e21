//! Exported blocks read back and checked: blocks as QLDB wrote them (made by hand, from its documentation), and every
//! change to them refused.

use ledgerstone_digest::Hash;
use ledgerstone_digest::block::statement_field_hash;
use ledgerstone_digest::ion::{Limits, Struct, Timestamp, Value, decode, encode, ion_hash, parse, to_text};
use ledgerstone_digest::qldb::chain::{ChainReport, ChainVerifier, transaction_info_hash};
use ledgerstone_digest::qldb::{
    JournalBlock, JournalRevision, ShownContent, ShownRevision, block_hash, dot2, entries_hash, merkle,
    statement_digest,
};

const STRAND: &str = "JdxjkR9bSYB5jMHWcI464T";
const TEXT: &str = "INSERT INTO Person ?";

fn h(n: u8) -> Hash {
    Hash::sha256(&[&[n]])
}

fn ion(text: &str) -> Value {
    parse(text, &Limits::DOCUMENT).unwrap()
}

fn transaction_id(number: u64) -> String {
    format!("{number:0>22}")
}

fn revision(block: u64, document: &str, version: u64, content: ShownContent) -> JournalRevision {
    let metadata = ion(&format!(
        "{{id:\"{document}\",version:{version},txTime:2024-01-02T03:04:05.678Z,txId:\"{}\"}}",
        transaction_id(block)
    ));
    let hash = match &content {
        ShownContent::Data(data) => dot2(ion_hash(&metadata), ion_hash(data)),
        ShownContent::DataHash(hash) => dot2(ion_hash(&metadata), *hash),
        ShownContent::Deleted => ion_hash(&metadata),
    };
    JournalRevision { hash, shown: Some(ShownRevision { metadata, content }) }
}

/// Four entries, two of them of QLDB's own and unknown, as QLDB wrote them.
fn block(number: u64, previous: Option<Hash>, revisions: Vec<JournalRevision>) -> JournalBlock {
    let documents: String = revisions.iter().filter_map(|r| r.shown.as_ref()).fold(String::new(), |all, shown| {
        let id = shown.identity(&transaction_id(number)).unwrap().0;
        format!("{all}{id}:{{tableName:\"Person\",tableId:\"7jbhLcBsCYvHIUk5kqKpnQ\",statements:[0]}},")
    });
    let digest = Value::blob(statement_digest(TEXT, &[]).0.as_slice());
    let info = ion(&format!(
        "{{statements:[{{statement:\"{TEXT}\",startTime:2024-01-02T03:04:05.600Z,statementDigest:{}}}],documents:{{{documents}}}}}",
        to_text(&digest)
    ));
    let root = merkle(&revisions.iter().map(|r| r.hash).collect::<Vec<_>>());
    let list: Vec<Hash> = [h(1)].into_iter().chain(root).chain([h(2), ion_hash(&info)]).collect();
    let entries = entries_hash(&list).unwrap();
    JournalBlock {
        strand_id: STRAND.to_owned(),
        sequence_no: number,
        transaction_id: transaction_id(number),
        timestamp: Timestamp::from_epoch_ms(1_704_164_645_678).unwrap(),
        block_hash: block_hash(entries, previous),
        entries_hash: entries,
        previous_block_hash: previous,
        entries_hash_list: list,
        transaction_info: Some(info),
        redaction_info: None,
        origin_info: None,
        revisions,
    }
}

fn data(text: &str) -> ShownContent {
    ShownContent::Data(ion(text))
}

fn blocks() -> Vec<JournalBlock> {
    let hash_only = JournalRevision { hash: h(9), shown: None };
    let contents = [
        vec![hash_only.clone()],
        vec![revision(1, "A", 0, data("{Name:\"Raul\",n:1.50}")), hash_only, revision(1, "B", 3, data("{}"))],
        vec![revision(2, "A", 1, ShownContent::DataHash(h(7))), revision(2, "B", 4, ShownContent::Deleted)],
    ];
    let mut blocks: Vec<JournalBlock> = Vec::new();
    for (number, revisions) in contents.into_iter().enumerate() {
        let previous = blocks.last().map(|last| last.block_hash);
        blocks.push(block(number as u64, previous, revisions));
    }
    blocks
}

fn check(blocks: &[JournalBlock]) -> Result<ChainReport, String> {
    let mut verifier = ChainVerifier::new();
    blocks.iter().try_for_each(|block| verifier.block(block)).map_err(|error| error.to_string())?;
    Ok(*verifier.report())
}

#[test]
fn blocks_with_unknown_entries_and_hidden_revisions_hold_and_are_counted() {
    let expected = ChainReport {
        blocks: 3,
        revisions: 6,
        hash_only: 2,
        redacted: 1,
        deleted: 1,
        version_gaps: 1,
        statements: 3,
        ..ChainReport::default()
    };
    assert_eq!(check(&blocks()), Ok(expected));
}

#[test]
fn a_block_is_read_back_from_text_and_from_binary() {
    for block in blocks() {
        let value = block.to_value();
        for read in [ion(&to_text(&value)), decode(&encode(&value), &Limits::DOCUMENT).unwrap()] {
            assert_eq!(JournalBlock::from_value(&read).unwrap(), block);
        }
    }
}

#[test]
fn fields_that_are_unknown_doubled_missing_or_of_another_type_are_refused() {
    let Value::Struct(Struct { fields }) = blocks()[1].to_value() else { panic!() };
    for at in 0..fields.len() {
        let name = fields[at].0.text().unwrap().to_owned();
        let refused = |fields: Vec<_>| JournalBlock::from_value(&Value::Struct(Struct { fields })).is_err();
        let mut changed = fields.clone();
        changed.push(fields[at].clone());
        assert!(refused(changed), "{name} twice");
        let mut changed = fields.clone();
        changed[at].1 = Value::int(3);
        assert!(refused(changed), "{name} as a number");
        let mut changed = fields.clone();
        changed[at].0 = "x".into();
        assert!(refused(changed), "{name} renamed");
    }
}

#[test]
fn every_flipped_bit_of_a_hash_and_every_changed_value_is_noticed() {
    let changes: [fn(&mut JournalBlock); 12] = [
        |b| b.block_hash.0[3] ^= 1,
        |b| b.entries_hash.0[3] ^= 1,
        |b| b.previous_block_hash = Some(h(8)),
        |b| b.previous_block_hash = None,
        |b| b.entries_hash_list[0].0[31] ^= 128,
        |b| b.entries_hash_list[3].0[0] ^= 1,
        |b| b.transaction_info = Some(ion("{statements:[]}")),
        |b| b.redaction_info = Some(ion("{revisions:[]}")),
        |b| b.origin_info = Some(ion("{user:\"x\",door:\"y\"}")),
        |b| b.revisions[1].hash.0[0] ^= 1,
        // Not 0 and 1: `dot` commutes, so neighbours that are paired may be exchanged unnoticed.
        |b| b.revisions.swap(0, 2),
        |b| b.revisions[0].shown.as_mut().unwrap().content = data("{Name:\"Raul\",n:1.5}"),
    ];
    for (which, change) in changes.iter().enumerate() {
        let mut changed = blocks();
        change(&mut changed[1]);
        let error = check(&changed).unwrap_err();
        assert!(error.starts_with("block 1: "), "change {which}: {error}");
    }
}

#[test]
fn a_document_that_a_statement_changed_must_show_its_revision() {
    let mut changed = blocks();
    changed[1].revisions[0].shown = None;
    assert!(check(&changed).unwrap_err().contains("lists document A, but no revision"));
}

#[test]
fn missing_exchanged_and_foreign_blocks_are_named() {
    let mut short = blocks();
    short.remove(0);
    assert!(check(&short).unwrap_err().contains("does not start at block 0"));
    let mut hole = blocks();
    hole.remove(1);
    assert_eq!(check(&hole).unwrap_err(), "block 2: block 1 should stand here");
    let mut foreign = blocks();
    foreign[2].strand_id = "other".to_owned();
    assert!(check(&foreign).unwrap_err().contains("strand"));
    let again = [blocks()[0].clone(), block(1, Some(blocks()[0].block_hash), vec![revision(1, "A", 1, data("{}"))])];
    let back = block(2, Some(again[1].block_hash), vec![revision(2, "A", 1, data("{}"))]);
    let error = check(&[again.to_vec(), vec![back]].concat()).unwrap_err();
    assert!(error.contains("stands behind version 1"), "{error}");
}

#[test]
fn each_way_to_hash_a_deletion_is_taken_and_told_apart() {
    let plain = revision(0, "A", 0, ShownContent::Deleted);
    let hash = plain.hash;
    for (form, hash) in
        [hash, dot2(hash, ion_hash(&Value::NULL)), dot2(hash, Hash::sha256(&[]))].into_iter().enumerate()
    {
        let report = check(&[block(0, None, vec![JournalRevision { hash, ..plain.clone() }])]).unwrap();
        let mut expected = [0; 3];
        expected[form] = 1;
        assert_eq!([report.deleted, report.deleted_as_null, report.deleted_as_nothing], expected);
    }
    assert!(check(&[block(0, None, vec![JournalRevision { hash: h(5), ..plain }])]).is_err());
}

#[test]
fn a_redacted_text_counts_with_the_hash_of_its_field() {
    let digest = to_text(&Value::blob(h(3).0.as_slice()));
    let info = |text: &str| {
        ion(&format!("{{statements:[{{{text},startTime:2024-01-02T03:04:05.600Z,statementDigest:{digest}}}]}}"))
    };
    let whole = info("statement:\"SELECT 'secret'\"");
    let left = to_text(&Value::blob(statement_field_hash("SELECT 'secret'").0.as_slice()));
    assert_eq!(transaction_info_hash(&info(&format!("statementHash:{left}"))).unwrap(), ion_hash(&whole));
}
