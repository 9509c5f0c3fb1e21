//! Building receipts and proofs from the journal and the tree (docs/format.md, "Receipts").
//!
//! Everything that goes into one is read back and checked on the way: the block's hashes are derived from its bytes
//! and compared with the stored one, and the finished proof is compared with the signed root. A proof that would not
//! verify is never served; it says that the tree's files are damaged.

use std::ops::Range;
use std::sync::Arc;

use ledgerstone_digest::Hash;
use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::ion::{Value, ion_hash};
use ledgerstone_digest::receipt::{Content, OpenedBlock, Receipt, ReceiptRevision, RedactionPart, RevisionOpening};
use ledgerstone_digest::tlog_proof::TlogProof;
use ledgerstone_digest::tree::{self as merkle, ProofError, VerifyError, leaf_hash};

use crate::checkpoint::{CheckpointError, Notary, Signed};
use crate::derive::{BlockHasher, DerivedBlock};
use crate::error::ReadError;
use crate::reader::Journal;
use crate::stored::{StoredBlock, StoredRevision};
use crate::tree::TreeError;

/// Why a receipt or a proof was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The revision or the block could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no checkpoint over it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Positions or sizes that no proof can be about.
    #[error(transparent)]
    Range(#[from] merkle::RangeError),
    /// A size that was not signed yet.
    #[error("no checkpoint of {size} leaves was signed yet; the newest has {signed}")]
    NotSigned {
        /// The size asked for.
        size: u64,
        /// The newest signed size.
        signed: u64,
    },
    /// The tree's files give a proof that does not hold.
    #[error(
        "the files in `tree/` are damaged: a proof made from them does not lead to the signed root ({0}); stop the \
         server and run `ledgerstone doctor` to rebuild them from the journal"
    )]
    TreeDamaged(VerifyError),
}

impl From<ProofError<TreeError>> for ReceiptError {
    fn from(error: ProofError<TreeError>) -> Self {
        match error {
            ProofError::Range(error) => ReceiptError::Range(error),
            ProofError::Read(error) => ReceiptError::Tree(error),
        }
    }
}

/// What a receipt shows beside the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptOptions {
    /// Shows the document; otherwise only its hash.
    pub data: bool,
    /// Opens the block leaf: QLDB's hashes, transactionInfo, originInfo, redactionInfo.
    pub block_opening: bool,
}

impl Default for ReceiptOptions {
    /// The document, without the block's opening.
    fn default() -> Self {
        ReceiptOptions { data: true, block_opening: false }
    }
}

/// Makes receipts and proofs.
pub(crate) struct Prover<'a> {
    pub journal: &'a Journal,
    pub notary: &'a Notary,
}

impl Prover<'_> {
    /// The receipt of one revision.
    pub fn receipt(&self, position: u64, options: ReceiptOptions) -> Result<Receipt, ReceiptError> {
        let (block, derived) = self.block_of(position)?;
        let at = (position - block.first_position) as usize;
        if position == block.position {
            return Err(ReadError::Kind { position, found: "a block", wanted: "a revision" }.into());
        }
        self.build(&block, &derived, at..at + 1, options, None)
    }

    /// The receipt of a whole transaction: all its revisions.
    pub fn transaction_receipt(&self, block: u64, options: ReceiptOptions) -> Result<Receipt, ReceiptError> {
        let position = self.journal.block_position(block)?;
        let (block, derived) = self.journal.block(position, &mut BlockHasher::default())?;
        self.build(&block, &derived, 0..block.revisions.len(), options, None)
    }

    /// The receipt of the record of a rotation, under the checkpoint with which the key before handed over.
    pub fn rotation(&self, size: u64) -> Result<Receipt, ReceiptError> {
        let not_signed = || ReceiptError::NotSigned { size, signed: self.notary.newest().checkpoint.size };
        let note = self.notary.handover(size).ok_or_else(not_signed)?;
        let read = UnverifiedCheckpoint::parse(&note).map_err(|_| not_signed())?;
        let signed = Signed { checkpoint: read.unverified().clone(), note };
        let (block, derived) = self.block_of(size.saturating_sub(2))?;
        self.build(&block, &derived, 0..1, ReceiptOptions::default(), Some(signed))
    }

    /// The proof that the tree of `to` leaves begins with the tree of `from` leaves.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, ReceiptError> {
        let newest = self.signed(to)?;
        let tree = self.notary.tree();
        let proof = merkle::consistency_proof(from, to, &tree.reader())?;
        let root = if to == newest.checkpoint.size { newest.checkpoint.root } else { tree.root_at(to)? };
        merkle::verify_consistency(from, to, &tree.root_at(from)?, &root, &proof).map_err(ReceiptError::TreeDamaged)?;
        Ok(proof)
    }

    /// The root of the tree of the first `size` leaves, none of which can change any more.
    pub fn root(&self, size: u64) -> Result<Hash, ReceiptError> {
        self.signed(size)?;
        Ok(self.notary.tree().root_at(size)?)
    }

    /// The audit path of one leaf (RFC 9162).
    pub fn audit_path(&self, position: u64, size: u64) -> Result<Vec<Hash>, ReceiptError> {
        self.signed(size)?;
        let tree = self.notary.tree();
        let path = merkle::audit_path(size, position, &tree.reader())?;
        let leaf = leaf_hash(&self.journal.leaf(position, &mut BlockHasher::default())?);
        merkle::verify_audit_path(size, &tree.root_at(size)?, position, &leaf, &path)
            .map_err(ReceiptError::TreeDamaged)?;
        Ok(path)
    }

    /// A proof file for stock tools: one leaf under the newest checkpoint.
    pub fn proof_file(&self, position: u64) -> Result<TlogProof, ReceiptError> {
        let boundary = self.boundary_after(position)?;
        let Signed { checkpoint, note } = self.notary.checkpoint_reaching(boundary)?;
        let path = self.audit_path(position, checkpoint.size)?;
        Ok(TlogProof { unauthenticated_extra: None, index: position, path, checkpoint: note.to_string() })
    }

    /// Part of a tile of the newest signed tree.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<u8>>, ReceiptError> {
        let size = self.notary.newest().checkpoint.size;
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let end = index.checked_mul(256).and_then(|first| first.checked_add(u64::from(width)));
        match end {
            Some(end) if end <= hashes => Ok(self.notary.tree().tile(level, index, width)?),
            _ => Ok(None),
        }
    }

    fn signed(&self, size: u64) -> Result<Signed, ReceiptError> {
        let newest = self.notary.newest();
        match size <= newest.checkpoint.size {
            true => Ok(newest),
            false => Err(ReceiptError::NotSigned { size, signed: newest.checkpoint.size }),
        }
    }

    /// The size of the first checkpoint that can cover a position.
    fn boundary_after(&self, position: u64) -> Result<u64, ReceiptError> {
        match position {
            0 => Ok(1),
            _ => Ok(self.block_leaf_of(position)? + 1),
        }
    }

    fn block_leaf_of(&self, position: u64) -> Result<u64, ReceiptError> {
        let end = self.notary.durable_size();
        if position >= end {
            return Err(ReadError::Beyond { what: "position", number: position, end }.into());
        }
        let beyond = || ReadError::Beyond { what: "position", number: position, end };
        Ok(self.journal.block_from(position)?.ok_or_else(beyond)?)
    }

    fn block_of(&self, position: u64) -> Result<(StoredBlock, DerivedBlock), ReceiptError> {
        if position == 0 {
            return Err(ReadError::Kind { position, found: "the genesis", wanted: "a revision" }.into());
        }
        let leaf = self.block_leaf_of(position)?;
        let found = self.journal.block(leaf, &mut BlockHasher::default())?;
        match found.0.first_position <= position {
            true => Ok(found),
            false => Err(ReadError::Kind { position, found: "no leaf of a block", wanted: "a revision" }.into()),
        }
    }

    fn build(
        &self,
        block: &StoredBlock,
        derived: &DerivedBlock,
        of_block: Range<usize>,
        options: ReceiptOptions,
        under: Option<Signed>,
    ) -> Result<Receipt, ReceiptError> {
        let records = self.records(block.revisions.get(of_block.clone()).unwrap_or_default())?;
        let boundary = records.iter().map(|(block, _, _)| block.position).fold(block.position, u64::max) + 1;
        let signed = match under {
            Some(signed) => signed,
            None => self.notary.checkpoint_reaching(boundary)?,
        };
        let shown: Vec<_> = of_block.filter_map(|at| show(block, derived, at, options.data)).collect();
        let proof = self.prove(&signed, &shown, block, derived)?;
        let mut redactions = Vec::with_capacity(records.len());
        for (block, derived, record) in &records {
            let proof = self.prove(&signed, std::slice::from_ref(record), block, derived)?;
            redactions.push(RedactionPart {
                revision: record.clone(),
                block_leaf: derived.leaf,
                block_position: block.position,
                proof,
            });
        }
        Ok(Receipt {
            revisions: shown,
            block_leaf: derived.leaf,
            block_position: block.position,
            block_opening: options.block_opening.then(|| open(block, derived)),
            proof,
            redactions,
            checkpoint: signed.note.to_string(),
        })
    }

    /// The records of the redactions of these revisions, each with its block.
    fn records(
        &self,
        revisions: &[StoredRevision],
    ) -> Result<Vec<(StoredBlock, DerivedBlock, ReceiptRevision)>, ReceiptError> {
        let mut records = Vec::new();
        for position in revisions.iter().filter_map(|revision| revision.redaction_record) {
            let (block, derived) = self.block_of(position)?;
            let record = show(&block, &derived, (position - block.first_position) as usize, true);
            let wrong = ReadError::Kind { position, found: "a block", wanted: "a redaction's record" };
            records.push((block, derived, record.ok_or(wrong)?));
        }
        Ok(records)
    }

    /// One inclusion proof for revision leaves and their block leaf, compared with the signed root.
    fn prove(
        &self,
        signed: &Signed,
        shown: &[ReceiptRevision],
        block: &StoredBlock,
        derived: &DerivedBlock,
    ) -> Result<Vec<Hash>, ReceiptError> {
        let mut leaves: Vec<(u64, Hash)> =
            shown.iter().map(|revision| (revision.position, leaf_hash(&revision.leaf.encode()))).collect();
        leaves.push((block.position, leaf_hash(&derived.leaf.encode())));
        let positions: Vec<u64> = leaves.iter().map(|(position, _)| *position).collect();
        let checkpoint = &signed.checkpoint;
        let proof = merkle::inclusion_proof(checkpoint.size, &positions, &self.notary.tree().reader())?;
        merkle::verify_inclusion(checkpoint.size, &checkpoint.root, &leaves, &proof)
            .map_err(ReceiptError::TreeDamaged)?;
        Ok(proof)
    }
}

/// A revision's metadata.
fn metadata(revision: &StoredRevision) -> Value {
    revision.metadata().to_value()
}

/// What the receipt shows of one revision.
fn show(block: &StoredBlock, derived: &DerivedBlock, at: usize, data: bool) -> Option<ReceiptRevision> {
    let (revision, leaf) = (block.revisions.get(at)?, derived.revision_leaves.get(at)?);
    let metadata = metadata(revision);
    let opaque = revision.imported.and_then(|imported| imported.opaque);
    let content = match &revision.data {
        _ if opaque.is_some() => Content::Opaque { revision_hash: opaque? },
        Some(document) if data => Content::Data { metadata, data: Arc::clone(document) },
        Some(document) => Content::DataHash { metadata, data_hash: ion_hash(document) },
        None => match revision.data_hash {
            Some(data_hash) => Content::DataHash { metadata, data_hash },
            None => Content::Deleted { metadata },
        },
    };
    let opening = Some(RevisionOpening { blind: revision.blind, content });
    Some(ReceiptRevision { position: revision.position, leaf: *leaf, opening })
}

fn open(block: &StoredBlock, derived: &DerivedBlock) -> OpenedBlock {
    OpenedBlock {
        blind: block.blind,
        opening: derived.opening.clone(),
        transaction_info: block.transaction_info(),
        origin_info: block.origin_info(),
        redaction_info: block.redaction.as_ref().map(|redaction| redaction.to_value()),
    }
}
