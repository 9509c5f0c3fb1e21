//! What the reader gives back: revisions and blocks as they stand in the journal.

use std::sync::Arc;

use ledgerstone_digest::block::{Metadata, OriginInfo, RedactionInfo, TransactionInfo};
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Hasher, Value};
use ledgerstone_digest::leaf::{RevisionContent, RevisionLeaf, RevisionPlace};
use ledgerstone_digest::qldb::{ImportedBlock, ImportedRevision};

use crate::transaction::Listed;

/// A revision read from the journal.
#[derive(Debug, Clone)]
pub struct StoredRevision {
    pub position: u64,
    pub table_id: Id,
    pub document_id: Id,
    pub version: u64,
    pub supersedes: Option<u64>,
    /// The number of its block.
    pub block: u64,
    /// The position of its block's leaf.
    pub block_position: u64,
    pub tx_id: Id,
    /// Its block's time.
    pub time_ms: i64,
    pub deleted: bool,
    pub redacted: bool,
    /// `None` if deleted or redacted.
    pub data: Option<Arc<Value>>,
    /// IH(data) of a redacted revision; `None` otherwise.
    pub data_hash: Option<Hash>,
    /// The position of the record of its redaction; `None` if it is not redacted.
    pub redaction_record: Option<u64>,
    /// How its block's transactionInfo lists it; `None` for revisions of system tables.
    pub listed: Option<Listed>,
    /// The blinding bytes of its leaf.
    pub blind: [u8; 16],
    /// What it has beside if it was imported.
    pub imported: Option<ImportedRevision>,
}

impl StoredRevision {
    /// QLDB's metadata.
    pub fn metadata(&self) -> Metadata {
        Metadata { id: self.document_id, version: self.version, tx_time_ms: self.tx_time_ms(), tx_id: self.tx_id }
    }

    /// `txTime`: the block's time, unless it was imported.
    pub fn tx_time_ms(&self) -> i64 {
        self.imported.map_or(self.time_ms, |imported| imported.tx_time_ms)
    }

    /// True if nothing but its QLDB hash is known: it is of no table and no document.
    pub fn is_opaque(&self) -> bool {
        self.imported.is_some_and(|imported| imported.opaque.is_some())
    }

    /// Its leaf and QLDB's hash of it, derived again.
    pub fn leaf(&self, hasher: &mut Hasher) -> (RevisionLeaf, Hash) {
        let metadata_hash = self.metadata().ion_hash_with(hasher);
        let data_hash = self.data.as_deref().map(|data| hasher.value(data)).or(self.data_hash);
        let place = RevisionPlace {
            table_id: self.table_id,
            document_id: self.document_id,
            version: self.version,
            block: self.block,
            supersedes: self.supersedes,
        };
        let content = RevisionContent { blind: self.blind, metadata_hash, data_hash };
        place.leaf_and_hash(&content, self.imported.as_ref())
    }
}

/// A block read from the journal.
#[derive(Debug, Clone)]
pub struct StoredBlock {
    pub number: u64,
    /// The position of its first revision.
    pub first_position: u64,
    /// The position of its leaf.
    pub position: u64,
    pub strand: Id,
    pub tx_id: Id,
    pub time_ms: i64,
    /// The blinding bytes of its leaf.
    pub blind: [u8; 16],
    pub info: TransactionInfo,
    pub origin: OriginInfo,
    pub redaction: Option<RedactionInfo>,
    pub revisions: Vec<StoredRevision>,
    /// As stored, and compared with what was derived when this was read.
    pub block_hash: Hash,
    /// `None` in block 0.
    pub previous_block_hash: Option<Hash>,
    /// H(previous block's leaf entry); `None` in block 0.
    pub previous_leaf: Option<Hash>,
    /// What it has beside if it was imported.
    pub imported: Option<ImportedBlock>,
}

impl StoredBlock {
    /// transactionInfo; an imported block may have none.
    pub fn transaction_info(&self) -> Option<Value> {
        self.imported.as_ref().is_none_or(|imported| imported.has_transaction_info).then(|| self.info.to_value())
    }

    /// originInfo; a block of QLDB's own has none.
    pub fn origin_info(&self) -> Option<Value> {
        self.imported.as_ref().is_none_or(|imported| imported.has_origin_info).then(|| self.origin.to_value())
    }
}
