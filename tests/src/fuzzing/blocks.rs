//! Blocks of journal exports: read back, verified, and imported. What is accepted makes a ledger that verifies and gives the
//! same blocks again.

use std::path::Path;

use ledgerstone_digest::full::ImportFacts;
use ledgerstone_digest::ion::{Limits, Value, decode_many, ion_hash, parse_many};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::qldb::chain::{ChainVerifier, OpenRedactions, transaction_info_hash};
use ledgerstone_digest::qldb::{DeletionForm, JournalBlock, ShownContent, block_hash, dot2, entries_hash, merkle};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::batch::{BATCH_HEADER_BYTES, BatchHeader, begin_batch, finish_batch};
use ledgerstone_journal::env::{OpenMode, read_exact_at, write_all_at};
use ledgerstone_journal::fuzzing::with_checksums;
use ledgerstone_journal::qldb::import::{BlockImporter, strand_of};
use ledgerstone_journal::recovery::origin_of;
use ledgerstone_journal::segment::{PAGE_BYTES, SegmentHeader, segment_path};
use ledgerstone_journal::{CreateOptions, Env, Import, Ledger, OpenOptions, Unjudged, VerifyOptions, verify_directory};
use ledgerstone_query::catalogue::system_tables::of_document;

const LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 272, values_max: 1 << 18 };
const DIR: &str = "/data/l";
const PREFIX: &str = "ledger.test";
const LEDGER: Id = Id([9; 16]);

/// An object of an export, as text or binary: as it is, and then with the hashes that its blocks should have, since nearly
/// every change would end at one of them.
pub fn journal_blocks(bytes: &[u8]) {
    imported(bytes);
}

/// How many blocks were imported once their hashes were made.
pub fn imported(bytes: &[u8]) -> usize {
    let values = match bytes.starts_with(&[0xe0, 1, 0, 0xea]) {
        true => decode_many(bytes, &LIMITS).ok(),
        false => std::str::from_utf8(bytes).ok().and_then(|text| parse_many(text, &LIMITS).ok()),
    };
    let mut blocks = Vec::new();
    for value in values.unwrap_or_default() {
        if let Ok(block) = JournalBlock::from_value(&value) {
            let again = JournalBlock::from_value(&block.to_value());
            assert_eq!(again.map(|again| ion_hash(&again.to_value())), Ok(ion_hash(&block.to_value())));
            blocks.push(block);
        }
    }
    import(&blocks);
    sign_again(&mut blocks);
    import(&blocks)
}

/// Takes as many blocks as hold.
fn import(blocks: &[JournalBlock]) -> usize {
    holding(blocks).map_or(0, |(taken, open)| {
        verify(&make(&taken, open));
        taken.len()
    })
}

/// The blocks from the first on that hold, if they make a ledger together.
fn holding(blocks: &[JournalBlock]) -> Option<(Vec<&JournalBlock>, OpenRedactions)> {
    let mut chain = ChainVerifier::new();
    let mut importer = BlockImporter::new(&of_document);
    let holds = |block: &&JournalBlock| chain.block(block).is_ok() && importer.transaction(block).is_ok();
    let taken: Vec<&JournalBlock> = blocks.iter().take_while(holds).collect();
    // The block that was refused is in the verifier's state, so the others go through another one.
    let mut chain = ChainVerifier::new();
    taken.iter().for_each(|block| chain.block(block).expect("it held before"));
    let mut open: OpenRedactions = chain.open_redactions().clone();
    taken.iter().for_each(|block| open.see(block));
    let whole = chain.finish().is_ok() && open.check().is_ok() && strand_of(taken.last()?).is_ok();
    whole.then_some((taken, open))
}

/// A ledger of these blocks in memory: each is written and given back.
fn make(blocks: &[&JournalBlock], open: OpenRedactions) -> Env {
    let (env, dir) = (Env::memory(7), Path::new(DIR));
    let last = blocks.last().expect("a block");
    let (strand, previous_block_hash) = (strand_of(last).expect("an id"), last.block_hash);
    env.storage.create_dir_all(Path::new("/data")).expect("memory has directories");
    let key = SigningKey::from_seed(&origin_of(PREFIX, LEDGER), &[7; 32]).expect("a key");
    let facts =
        ImportFacts { first_native_block: blocks.len() as u64, previous_block_hash, digest: None, time_ms: 1_000 };
    let create =
        CreateOptions { import: Some(Import { strand, facts }), ..CreateOptions::new(LEDGER, PREFIX, key.clone()) };
    Ledger::create(&env, dir, &create).expect("a new ledger");
    let options = OpenOptions { threads: false, ..OpenOptions::new(key) };
    let ledger =
        Ledger::open(&env, dir, options).expect("it was just made").start(Box::new(Unjudged), Box::new(Unjudged));
    let mut importer = BlockImporter::leaving_out(&of_document, open.clone());
    for block in blocks {
        let transaction = importer.transaction(block).expect("it was taken before");
        let written = ledger.submit(transaction);
        ledger.drive();
        written.wait().unwrap_or_else(|error| panic!("block {} held and is not written: {error}", block.sequence_no));
    }
    for block in blocks.iter().filter(|_| open.is_empty()) {
        let kept = ledger.journal_block(block.sequence_no).expect("it was written");
        assert_eq!(ion_hash(&kept.to_value()), ion_hash(&block.to_value()), "block {}", block.sequence_no);
    }
    ledger.close().expect("memory has room");
    env
}

fn verify(env: &Env) {
    let report = verify_directory(env, Path::new(DIR), VerifyOptions::default());
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Makes a ledger of blocks and changes a bit of every `step`-th byte in its frames, one after the other, all checksums made
/// right. Gives the places where verification does not notice it, and how many it was asked about.
pub fn unnoticed(bytes: &[u8], step: usize) -> (Vec<String>, usize) {
    let text = std::str::from_utf8(bytes).expect("text");
    let values = parse_many(text, &LIMITS).expect("Ion");
    let mut blocks: Vec<_> = values.iter().map(|value| JournalBlock::from_value(value).expect("a block")).collect();
    sign_again(&mut blocks);
    let (taken, open) = holding(&blocks).expect("the blocks hold");
    let env = make(&taken, open);
    verify(&env);
    let file = env.storage.open(&segment_path(Path::new(DIR), 0), OpenMode::Write).expect("a segment");
    let mut segment = vec![0; file.len().expect("a length") as usize];
    read_exact_at(&*file, &mut segment, 0).expect("it is there");
    let header = SegmentHeader::decode(&segment[..PAGE_BYTES as usize]).expect("a header");
    let (mut unnoticed, mut asked, mut at) = (Vec::new(), 0, PAGE_BYTES as usize);
    while let Some(batch) = segment.get(at..).and_then(|page| BatchHeader::decode(page, &header.nonce)) {
        let body = &segment[at + BATCH_HEADER_BYTES..][..batch.length as usize];
        let whole = &segment[at..at + batch.extent() as usize];
        for place in (asked % step..body.len()).step_by(step) {
            let mut changed = body.to_vec();
            changed[place] ^= 1 << (place % 8);
            let mut written = Vec::new();
            begin_batch(&mut written);
            written.extend_from_slice(&with_checksums(&changed));
            finish_batch(&mut written, &header.nonce, batch.number, batch.first_position);
            if written == whole || written.len() != whole.len() {
                continue;
            }
            asked += 1;
            write_all_at(&*file, &written, at as u64).expect("memory has room");
            if verify_directory(&env, Path::new(DIR), VerifyOptions::default()).findings.is_empty() {
                let near = &body[place.saturating_sub(4)..(place + 5).min(body.len())];
                unnoticed.push(format!("batch {}, byte {place} of its body, near {near:02x?}", batch.number));
            }
        }
        write_all_at(&*file, whole, at as u64).expect("memory has room");
        at += batch.extent() as usize;
    }
    verify(&env);
    (unnoticed, asked)
}

/// Makes the hashes of a chain as a forger would.
fn sign_again(blocks: &mut [JournalBlock]) {
    let mut previous = None;
    for block in blocks {
        for revision in &mut block.revisions {
            let Some(shown) = &revision.shown else { continue };
            let metadata = ion_hash(&shown.metadata);
            revision.hash = match &shown.content {
                ShownContent::Data(data) => dot2(metadata, ion_hash(data)),
                ShownContent::DataHash(hash) => dot2(metadata, *hash),
                ShownContent::Deleted => DeletionForm::Null.hash(metadata),
            };
        }
        let info = block.transaction_info.as_ref().map(|info| transaction_info_hash(info).unwrap_or(Hash::ZERO));
        let others =
            [&block.redaction_info, &block.origin_info].into_iter().flatten().map(|part: &Value| ion_hash(part));
        let root = merkle(&block.revisions.iter().map(|revision| revision.hash).collect::<Vec<_>>());
        block.entries_hash_list = root.into_iter().chain(info).chain(others).collect();
        if let Some(entries) = entries_hash(&block.entries_hash_list) {
            block.entries_hash = entries;
            block.previous_block_hash = previous;
            block.block_hash = block_hash(entries, previous);
        }
        previous = Some(block.block_hash);
    }
}
