//! Blocks of journal exports: read back, verified, and imported. What is accepted makes a ledger that verifies and gives the
//! same blocks again.

use std::path::Path;

use ledgerstone_digest::full::ImportFacts;
use ledgerstone_digest::ion::{Limits, Value, decode_many, ion_hash, parse_many};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::qldb::chain::{ChainVerifier, OpenRedactions, transaction_info_hash};
use ledgerstone_digest::qldb::{DeletionForm, JournalBlock, ShownContent, block_hash, dot2, entries_hash, merkle};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::qldb::import::{BlockImporter, strand_of};
use ledgerstone_journal::recovery::origin_of;
use ledgerstone_journal::{
    CommitError, Committed, CreateOptions, Env, Import, Ledger, OpenOptions, Publish, PublishedBlock, Sequence,
    Transaction, VerifyOptions, verify_directory,
};
use ledgerstone_query::catalogue::system_tables::of_document;

const LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 272, values_max: 1 << 18 };
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
    let mut chain = ChainVerifier::new();
    let mut importer = BlockImporter::new(&of_document);
    let holds = |block: &&JournalBlock| chain.block(block).is_ok() && importer.transaction(block).is_ok();
    let taken: Vec<&JournalBlock> = blocks.iter().take_while(holds).collect();
    // The block that was refused is in the verifier's state, so the others go through another one.
    let mut chain = ChainVerifier::new();
    taken.iter().for_each(|block| chain.block(block).expect("it held before"));
    let mut open: OpenRedactions = chain.open_redactions().clone();
    taken.iter().for_each(|block| open.see(block));
    let (Some(last), Ok(_), Ok(())) = (taken.last(), chain.finish(), open.check()) else { return 0 };
    let Ok(strand) = strand_of(last) else { return 0 };
    make(&taken, strand, last.block_hash, open);
    taken.len()
}

/// A ledger of these blocks in memory: each is written, found sound and given back.
fn make(blocks: &[&JournalBlock], strand: Id, previous_block_hash: Hash, open: OpenRedactions) {
    let (env, dir) = (Env::memory(7), Path::new("/data/l"));
    env.storage.create_dir_all(Path::new("/data")).expect("memory has directories");
    let key = SigningKey::from_seed(&origin_of(PREFIX, LEDGER), &[7; 32]).expect("a key");
    let facts =
        ImportFacts { first_native_block: blocks.len() as u64, previous_block_hash, digest: None, time_ms: 1_000 };
    let create =
        CreateOptions { import: Some(Import { strand, facts }), ..CreateOptions::new(LEDGER, PREFIX, key.clone()) };
    Ledger::create(&env, dir, &create).expect("a new ledger");
    let options = OpenOptions { threads: false, ..OpenOptions::new(key) };
    let ledger = Ledger::open(&env, dir, options).expect("it was just made").start(Box::new(Nobody), Box::new(Nobody));
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
    let report = verify_directory(&env, dir, VerifyOptions::default());
    assert!(report.findings.is_empty(), "{:?}", report.findings);
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

struct Nobody;

impl Sequence for Nobody {
    fn validate(&mut self, _: &mut Transaction) -> Result<(), CommitError> {
        Ok(())
    }

    fn sequenced(&mut self, _: &Transaction, _: &Committed) {}

    fn dropped(&mut self) {}
}

impl Publish for Nobody {
    fn publish(&mut self, _: PublishedBlock) {}
}
