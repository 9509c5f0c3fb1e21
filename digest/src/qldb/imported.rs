//! What blocks and revisions of an imported QLDB ledger have beside what native ones have (docs/format.md, "Imported
//! blocks").
//!
//! QLDB's list of entries holds hashes of which nothing else is known, so it is kept as it was and the known parts are
//! looked for in it.

use super::{JournalBlock, JournalRevision, ShownContent, dot2, revision_hash};
use crate::Hash;
use crate::block::{BlockError, Metadata};
use crate::ion::{Value, ion_hash};

/// Of an imported block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedBlock {
    /// entriesHashList, in its order.
    pub entries: Vec<Hash>,
    /// Blocks that only QLDB itself wrote to may have none.
    pub has_transaction_info: bool,
    /// True of blocks that were native in the ledger they were exported from.
    pub has_origin_info: bool,
}

/// Of an imported revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportedRevision {
    /// Milliseconds since 1970 UTC: QLDB's metadata says when its transaction began, not when its block was written.
    pub tx_time_ms: i64,
    /// The revision's hash, if nothing else is known of it.
    pub opaque: Option<Hash>,
    /// What stood in for the data of a deletion.
    pub deletion: DeletionForm,
}

/// What QLDB's hash of a deletion was made of. Its rule was never published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeletionForm {
    /// IH(metadata) alone, as in native ledgers.
    #[default]
    Metadata,
    /// IH(metadata) . IH(null).
    Null,
    /// IH(metadata) . H of nothing.
    Nothing,
}

impl ImportedBlock {
    /// Of this block.
    pub fn of(block: &JournalBlock) -> ImportedBlock {
        ImportedBlock {
            entries: block.entries_hash_list.clone(),
            has_transaction_info: block.transaction_info.is_some(),
            has_origin_info: block.origin_info.is_some(),
        }
    }
}

impl DeletionForm {
    /// All of them.
    pub const ALL: [DeletionForm; 3] = [DeletionForm::Metadata, DeletionForm::Null, DeletionForm::Nothing];

    /// The form in which a deletion with this metadata has this hash; `None` if it has it in none.
    pub fn of(metadata: Hash, revision_hash: Hash) -> Option<DeletionForm> {
        DeletionForm::ALL.into_iter().find(|form| form.hash(metadata) == revision_hash)
    }

    /// The hash of a deletion with this metadata.
    pub fn hash(self, metadata: Hash) -> Hash {
        match self {
            DeletionForm::Metadata => metadata,
            DeletionForm::Null => dot2(metadata, ion_hash(&Value::NULL)),
            DeletionForm::Nothing => dot2(metadata, Hash::sha256(&[])),
        }
    }
}

impl ImportedRevision {
    /// Of this revision, whose hash holds, with its metadata unless it is opaque. Refused is metadata that could not be
    /// given back as it is: ids that are no ids of QLDB, times of another precision.
    pub fn of(revision: &JournalRevision) -> Result<(ImportedRevision, Option<Metadata>), BlockError> {
        let Some(shown) = &revision.shown else {
            let opaque =
                ImportedRevision { tx_time_ms: 0, opaque: Some(revision.hash), deletion: DeletionForm::default() };
            return Ok((opaque, None));
        };
        let metadata = Metadata::from_value(&shown.metadata)?;
        let deletion = match shown.content {
            ShownContent::Deleted => DeletionForm::of(ion_hash(&shown.metadata), revision.hash),
            _ => None,
        };
        let deletion = deletion.unwrap_or_default();
        Ok((ImportedRevision { tx_time_ms: metadata.tx_time_ms, opaque: None, deletion }, Some(metadata)))
    }

    /// QLDB's hash of the revision, which is not opaque; `data` is IH(data), `None` for a deletion.
    pub(crate) fn hash(&self, metadata: Hash, data: Option<Hash>) -> Hash {
        match data {
            None => self.deletion.hash(metadata),
            data => revision_hash(metadata, data),
        }
    }
}
