//! The ledger as QLDB showed it: its digest over the blocks, its proofs, and blocks and revisions as its structs
//! (docs/format.md, "QLDB's hashes"). A view for QLDB's own verifiers: nothing of ours trusts it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`export`] | journal exports as QLDB wrote them |
//! | [`import`] | exported blocks as transactions that make them again |
//! | [`retired`] | the blocks of a ledger whose key is lost |
//! | [`source`] | an export as it lies in a directory or a bucket |
//! | `tree` | the tree over the hashes of the blocks, on disk |

pub mod export;
pub mod import;
pub mod retired;
pub mod source;
mod tree;

use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_digest::qldb::proof::{self, fold};
use ledgerstone_digest::qldb::{JournalBlock, JournalRevision, ShownContent, ShownRevision, block_address};
use ledgerstone_digest::tree::audit_path;
use ledgerstone_digest::{Hash, Id, block::native_time};

use crate::derive::{BlockHasher, DerivedBlock};
use crate::error::ReadError;
use crate::ledger::Ledger;
use crate::receipt::ReceiptError;
use crate::stored::{StoredBlock, StoredRevision};
use crate::tree::Tree;
pub use tree::BLOCK_TREE_DIR;
pub(crate) use tree::BlockTree;

/// QLDB's digest of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QldbDigest {
    pub hash: Hash,
    pub strand: Id,
    /// The number of the last block that it covers.
    pub tip: u64,
}

/// What QLDB proves of a block or a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct QldbProof {
    /// The struct of the block or the revision.
    pub value: Value,
    /// The hashes to fold onto its hash, if a digest was named.
    pub proof: Option<Vec<Hash>>,
}

/// Why a digest or a proof was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QldbError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no checkpoint over it, or a tree cannot be read.
    #[error(transparent)]
    Proof(#[from] ReceiptError),
    #[error("the ledger has no block yet; commit a transaction first")]
    Empty,
    #[error("there is no block {block} in the digest with the tip {tip}")]
    BehindTip { block: u64, tip: u64 },
    #[error("block {block} has no revision of document {document}")]
    NoRevision { block: u64, document: Id },
    #[error("the ledger was closed")]
    Closed,
    #[error("the files in `{BLOCK_TREE_DIR}/` give proofs that do not hold, made again from the journal too")]
    Damaged,
}

impl Ledger {
    /// QLDB's digest over every block that a recorded checkpoint covers; the checkpoint is made first, so that whoever
    /// holds a digest would notice it if the ledger went back behind it.
    pub fn qldb_digest(&self) -> Result<QldbDigest, QldbError> {
        let tip = self.signed_tip()?;
        let tree = self.block_tree(tip)?;
        Ok(QldbDigest { hash: root(&tree, tip)?, strand: self.strand(), tip })
    }

    /// A block as QLDB shows it, with the proof that leads from its hash to the digest with that tip.
    pub fn qldb_block(&self, number: u64, tip: Option<u64>) -> Result<QldbProof, QldbError> {
        let (block, derived) = self.derived_block(number)?;
        let proof = tip.map(|tip| self.block_proof(number, block.block_hash, tip)).transpose()?;
        Ok(QldbProof { value: journal_block(&block, &derived).to_value(), proof })
    }

    /// The revision of a document in a block as QLDB shows it, with the proof that leads from its hash to the digest.
    pub fn qldb_revision(&self, number: u64, document: Id, tip: Option<u64>) -> Result<QldbProof, QldbError> {
        let (block, derived) = self.derived_block(number)?;
        let found =
            block.revisions.iter().position(|revision| revision.document_id == document && !revision.is_opaque());
        let index = found.ok_or(QldbError::NoRevision { block: number, document })?;
        let address = block_address(&block.strand.to_string(), block.number);
        let value = journal_revision(&block.revisions[index], derived.revision_hashes[index]).value(&address);
        let proof = tip.map(|tip| self.revision_proof(&block, &derived, index, tip)).transpose()?;
        Ok(QldbProof { value, proof })
    }

    /// A block as QLDB's exports hold it.
    pub fn journal_block(&self, number: u64) -> Result<JournalBlock, ReadError> {
        let (block, derived) = self.derived_block(number)?;
        Ok(journal_block(&block, &derived))
    }

    /// A block that was read, as QLDB shows it, and the entries of its leaves, its own last.
    pub fn shown_with_leaves(&self, block: &StoredBlock) -> Result<(JournalBlock, Vec<Vec<u8>>), ReadError> {
        let derived = self.journal.derived(block, &mut BlockHasher::default())?;
        let revisions = derived.revision_leaves.iter().map(|leaf| leaf.encode().to_vec());
        let leaves = revisions.chain([derived.leaf.encode().to_vec()]).collect();
        Ok((journal_block(block, &derived), leaves))
    }

    fn derived_block(&self, number: u64) -> Result<(StoredBlock, DerivedBlock), ReadError> {
        self.block_number_published(number)?;
        self.journal.block(self.journal.block_position(number)?, &mut BlockHasher::default())
    }

    /// The number of the last block under the newest checkpoint, which is made to cover all there is.
    fn signed_tip(&self) -> Result<u64, QldbError> {
        let size = self.notary.checkpoint().map_err(ReceiptError::from)?.checkpoint.size;
        match size.checked_sub(1).filter(|leaf| *leaf > 0) {
            Some(leaf) => Ok(self.journal.head(leaf)?.number),
            None => Err(QldbError::Empty),
        }
    }

    fn block_tree(&self, tip: u64) -> Result<Arc<Tree>, QldbError> {
        self.blocks.reaching(&self.journal, tip + 1)
    }

    fn block_proof(&self, number: u64, block_hash: Hash, tip: u64) -> Result<Vec<Hash>, QldbError> {
        // A digest with that tip was given out with a checkpoint, so there is seldom one to sign.
        match self.block_end(tip) {
            Ok(end) if number <= tip => self.notary.checkpoint_reaching(end).map_err(ReceiptError::from)?,
            Err(error) if !matches!(error, ReadError::Beyond { .. }) => return Err(error.into()),
            _ => return Err(QldbError::BehindTip { block: number.max(tip), tip: self.signed_tip()? }),
        };
        let make = || -> Result<Option<Vec<Hash>>, QldbError> {
            let tree = self.block_tree(tip)?;
            let path = audit_path(tip + 1, number, &tree.reader()).map_err(ReceiptError::from)?;
            let holds = fold(block_hash, &path) == root(&tree, tip)?;
            Ok(holds.then_some(path))
        };
        if let Some(proof) = make()? {
            return Ok(proof);
        }
        tracing::warn!("the files of the tree over the blocks are wrong; they are made again");
        self.blocks.clear()?;
        make()?.ok_or(QldbError::Damaged)
    }

    fn revision_proof(
        &self,
        block: &StoredBlock,
        derived: &DerivedBlock,
        index: usize,
        tip: u64,
    ) -> Result<Vec<Hash>, QldbError> {
        let hashes = &derived.revision_hashes;
        let (opening, missing) = (&derived.opening, || QldbError::Damaged);
        let root = opening.revisions_index.ok_or_else(missing)? as usize;
        let inner = proof::in_block(hashes, index, &opening.entries, root, opening.previous_block_hash);
        let mut proof = inner.ok_or_else(missing)?;
        assert_eq!(fold(hashes[index], &proof), block.block_hash, "a revision's proof leads to its block");
        proof.extend(self.block_proof(block.number, block.block_hash, tip)?);
        Ok(proof)
    }
}

fn root(tree: &Tree, tip: u64) -> Result<Hash, QldbError> {
    Ok(tree.root_at(tip + 1).map_err(ReceiptError::from)?)
}

/// A block that was read, as QLDB shows it.
pub(crate) fn journal_block(block: &StoredBlock, derived: &DerivedBlock) -> JournalBlock {
    let opening = &derived.opening;
    let shown = block.revisions.iter().zip(&derived.revision_hashes);
    JournalBlock {
        strand_id: block.strand.to_string(),
        sequence_no: block.number,
        transaction_id: block.tx_id.to_string(),
        timestamp: native_time(block.time_ms),
        block_hash: block.block_hash,
        entries_hash: opening.entries_hash,
        previous_block_hash: opening.previous_block_hash,
        entries_hash_list: opening.entries.clone(),
        transaction_info: block.transaction_info(),
        redaction_info: block.redaction.as_ref().map(|redaction| redaction.to_value()),
        origin_info: block.origin_info(),
        revisions: shown.map(|(revision, hash)| journal_revision(revision, *hash)).collect(),
    }
}

fn journal_revision(revision: &StoredRevision, hash: Hash) -> JournalRevision {
    if revision.is_opaque() {
        return JournalRevision { hash, shown: None };
    }
    let content = match (&revision.data, revision.data_hash) {
        (Some(data), _) => ShownContent::Data((**data).clone()),
        (None, Some(hash)) => ShownContent::DataHash(hash),
        (None, None) => ShownContent::Deleted,
    };
    JournalRevision { hash, shown: Some(ShownRevision { metadata: revision.metadata().to_value(), content }) }
}
