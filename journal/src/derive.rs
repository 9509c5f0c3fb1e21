//! The hashes of a block, from its values (docs/format.md, "Leaves" and "Hashes"): the one place where they are
//! made, used when a block is sequenced and again whenever one is read to be checked.

use std::ops::Range;

use ledgerstone_digest::block::{DocumentInfo, Metadata, OriginInfo, RedactionInfo, StatementInfo, TransactionInfo};
use ledgerstone_digest::ion::Hasher;
use ledgerstone_digest::leaf::{BlockLeaf, BlockOpening, RevisionContent, RevisionLeaf, RevisionPlace};
use ledgerstone_digest::qldb::{Entries, ImportedBlock, ImportedRevision};
use ledgerstone_digest::repeated::RepeatedFields;
use ledgerstone_digest::tree::leaf_hash;
use ledgerstone_digest::{Hash, Id};

use crate::spread::{CHUNK_MIN, spread_ranges};
use crate::transaction::Listed;

/// A block's own facts, beside its revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockFacts {
    pub strand: Id,
    pub number: u64,
    pub tx_id: Id,
    pub time_ms: i64,
    pub first_position: u64,
    pub blind: [u8; 16],
    pub previous_block_hash: Option<Hash>,
    pub previous_leaf: Option<Hash>,
}

/// A revision's facts; `data_hash` is `None` for a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RevisionFacts {
    pub table_id: Id,
    pub document_id: Id,
    pub version: u64,
    pub supersedes: Option<u64>,
    pub blind: [u8; 16],
    pub data_hash: Option<Hash>,
    pub imported: Option<ImportedRevision>,
}

/// Collects a block's revisions in order.
pub(crate) struct BlockDeriver<'a> {
    facts: BlockFacts,
    hasher: &'a mut BlockHasher,
    revision_hashes: Vec<Hash>,
    revision_leaves: Vec<RevisionLeaf>,
    leaf_hashes: Vec<Hash>,
    /// Of the fields of transactionInfo's documents, if they were asked for.
    listed: Vec<Hash>,
}

/// All hashes of a block.
pub(crate) struct DerivedBlock {
    /// Of the revisions, then of the block.
    pub leaf_hashes: Vec<Hash>,
    /// Nothing if the block is only to be sequenced.
    pub revision_leaves: Vec<RevisionLeaf>,
    /// QLDB's, of the revisions.
    pub revision_hashes: Vec<Hash>,
    pub leaf: BlockLeaf,
    /// H(the block leaf's entry): what the next block's commitment holds.
    pub leaf_entry_hash: Hash,
    pub opening: BlockOpening,
}

/// Hashes blocks and their revisions one after the other, and keeps what they have in common.
#[derive(Default)]
pub(crate) struct BlockHasher {
    hasher: Hasher,
    repeated: RepeatedFields,
}

/// The hashes of some revisions in order, as one thread makes them.
#[derive(Default)]
struct Part {
    revisions: Vec<Hash>,
    leaves: Vec<RevisionLeaf>,
    leaf_hashes: Vec<Hash>,
    listed: Vec<Hash>,
}

impl<'a> BlockDeriver<'a> {
    pub fn new(facts: BlockFacts, hasher: &'a mut BlockHasher) -> Self {
        BlockDeriver {
            facts,
            hasher,
            revision_hashes: Vec::new(),
            revision_leaves: Vec::new(),
            leaf_hashes: Vec::new(),
            listed: Vec::new(),
        }
    }

    /// All revisions of the block, in order, with their leaves.
    pub fn revisions(&mut self, revisions: &[RevisionFacts]) {
        let facts = self.facts;
        self.spread(revisions.len(), |deriver, at, part| {
            let Some(revision) = revisions.get(at) else { return };
            let (leaf, hash) = deriver.leaf(&facts, revision);
            part.revisions.push(hash);
            part.leaf_hashes.push(leaf_hash(&leaf.encode()));
            part.leaves.push(leaf);
        });
    }

    /// All revisions of a block that is to be sequenced, `count` of them, of which `facts` gives each with how
    /// transactionInfo lists it. Their leaves are not kept: there may be a million.
    pub fn place<'l>(
        &mut self,
        count: usize,
        facts: impl Fn(usize) -> Option<(RevisionFacts, Option<&'l Listed>)> + Sync,
    ) {
        let block = self.facts;
        self.spread(count, |deriver, at, part| {
            let Some((revision, listed)) = facts(at) else { return };
            let (leaf, hash) = deriver.leaf(&block, &revision);
            part.revisions.push(hash);
            part.leaf_hashes.push(leaf_hash(&leaf.encode()));
            if let Some(listed) = listed {
                let table = (revision.table_id, &*listed.table_name);
                let BlockHasher { hasher, repeated } = deriver;
                part.listed.push(repeated.listed(revision.document_id, table, &listed.statements, hasher));
            }
        });
    }

    /// Several threads do it if there are many.
    fn spread(&mut self, count: usize, derive: impl Fn(&mut BlockHasher, usize, &mut Part) + Sync) {
        let derive_all = |hasher: &mut BlockHasher, range: Range<usize>| {
            let mut part = Part::default();
            part.revisions.reserve_exact(range.len());
            // The block's comes behind them.
            part.leaf_hashes.reserve_exact(range.len() + 1);
            range.for_each(|at| derive(hasher, at, &mut part));
            part
        };
        let parts = match count {
            0..CHUNK_MIN => vec![derive_all(self.hasher, 0..count)],
            _ => spread_ranges(count, CHUNK_MIN, |range| derive_all(&mut BlockHasher::default(), range)),
        };
        for part in parts {
            append(&mut self.revision_hashes, part.revisions);
            append(&mut self.revision_leaves, part.leaves);
            append(&mut self.leaf_hashes, part.leaf_hashes);
            append(&mut self.listed, part.listed);
        }
    }

    /// The hashes of the block; or the name of a part that an imported block's list of entries does not hold.
    pub fn finish(
        mut self,
        info: &TransactionInfo,
        origin: &OriginInfo,
        redaction: Option<&RedactionInfo>,
        imported: Option<&ImportedBlock>,
    ) -> Result<DerivedBlock, &'static str> {
        let BlockHasher { hasher, repeated } = &mut *self.hasher;
        let listed = info.documents.iter().map(|document| {
            let table = (document.table_id, &*document.table_name);
            repeated.listed(document.document_id, table, &document.statements, hasher)
        });
        self.listed = listed.collect();
        self.finish_placed(&info.statements, origin, redaction, imported)
    }

    /// The same of a block whose revisions were given to [`BlockDeriver::place`].
    pub fn finish_placed(
        mut self,
        statements: &[StatementInfo],
        origin: &OriginInfo,
        redaction: Option<&RedactionInfo>,
        imported: Option<&ImportedBlock>,
    ) -> Result<DerivedBlock, &'static str> {
        let BlockHasher { hasher, repeated } = &mut *self.hasher;
        let info_hash = repeated.transaction_info(statements, &self.listed, hasher);
        let origin_hash = repeated.origin(origin, hasher);
        let redaction_hash = redaction.map(|r| r.ion_hash());
        let entries = Entries::of(imported, &self.revision_hashes, info_hash, origin_hash, redaction_hash)?;
        let revisions = self.revision_hashes.len() as u32;
        let opening = BlockOpening::new(self.facts.previous_leaf, self.facts.previous_block_hash, entries);
        let leaf = BlockLeaf {
            imported: imported.is_some(),
            strand: self.facts.strand,
            block: self.facts.number,
            transaction_id: self.facts.tx_id,
            time_ms: self.facts.time_ms,
            first: self.facts.first_position,
            revisions,
            commitment: opening.commitment(&self.facts.blind),
        };
        let entry = leaf.encode();
        self.leaf_hashes.push(leaf_hash(&entry));
        Ok(DerivedBlock {
            leaf_hashes: self.leaf_hashes,
            revision_leaves: self.revision_leaves,
            revision_hashes: self.revision_hashes,
            leaf,
            leaf_entry_hash: Hash::sha256(&[&entry]),
            opening,
        })
    }
}

/// A revision's leaf and QLDB's hash of it.
pub(crate) fn revision_leaf(block: &BlockFacts, revision: &RevisionFacts) -> (RevisionLeaf, Hash) {
    BlockHasher::default().leaf(block, revision)
}

impl BlockHasher {
    fn leaf(&mut self, block: &BlockFacts, revision: &RevisionFacts) -> (RevisionLeaf, Hash) {
        let tx_time_ms = revision.imported.map_or(block.time_ms, |imported| imported.tx_time_ms);
        let metadata = Metadata { id: revision.document_id, version: revision.version, tx_time_ms, tx_id: block.tx_id };
        let metadata_hash = self.repeated.metadata(&metadata, &mut self.hasher);
        let place = RevisionPlace {
            table_id: revision.table_id,
            document_id: revision.document_id,
            version: revision.version,
            block: block.number,
            supersedes: revision.supersedes,
        };
        let content = RevisionContent { blind: revision.blind, metadata_hash, data_hash: revision.data_hash };
        place.leaf_and_hash(&content, revision.imported.as_ref())
    }
}

/// Appends, without copying what comes first.
fn append<T>(all: &mut Vec<T>, mut part: Vec<T>) {
    if all.is_empty() {
        *all = part;
    } else {
        all.append(&mut part);
    }
}

/// `transactionInfo` of these statements and revisions, in the order of the revisions.
pub(crate) fn transaction_info<'a>(
    statements: &[StatementInfo],
    revisions: impl Iterator<Item = (Id, Id, Option<&'a Listed>)>,
) -> TransactionInfo {
    let documents = revisions
        .filter_map(|(document_id, table_id, listed)| {
            listed.map(|l| DocumentInfo {
                document_id,
                table_name: l.table_name.clone(),
                table_id,
                statements: l.statements.to_vec(),
            })
        })
        .collect();
    TransactionInfo { statements: statements.to_vec(), documents }
}
