//! An open ledger as the source of an export.

use ledgerstone_digest::Id;
use ledgerstone_digest::block::Metadata;
use ledgerstone_digest::ion::Hasher;
use ledgerstone_digest::leaf::{RevisionLeaf, deleted_commitment, revision_commitment};
use ledgerstone_journal::{ReadError, StoredBlock, StoredRevision};

use super::{ExportError, Source};
use crate::database::Database;

impl Source for Database {
    fn genesis_record(&self) -> Result<Vec<u8>, ExportError> {
        Ok(self.ledger().genesis_record().to_vec())
    }

    fn genesis_leaf(&self) -> Result<Vec<u8>, ExportError> {
        self.ledger().leaf(0).map_err(journal)
    }

    fn checkpoint(&self) -> Result<String, ExportError> {
        let signed = self.ledger().checkpoint().map_err(|e| ExportError::Journal(e.to_string()))?;
        Ok(signed.note.to_string())
    }

    fn block(&self, number: u64) -> Result<(StoredBlock, Vec<Vec<u8>>), ExportError> {
        let block = self.ledger().read_block(number).map_err(journal)?;
        let mut hasher = Hasher::new();
        let mut leaves: Vec<Vec<u8>> = block.revisions.iter().map(|r| revision_leaf(r, &mut hasher)).collect();
        leaves.push(self.ledger().leaf(block.position).map_err(journal)?);
        Ok((block, leaves))
    }

    fn tables(&self) -> Vec<(Id, String)> {
        let catalogue = self.catalogue();
        catalogue.tables().filter(|t| !t.id.is_system()).map(|t| (t.id, t.name.to_string())).collect()
    }
}

fn journal(error: ReadError) -> ExportError {
    ExportError::Journal(error.to_string())
}

fn revision_leaf(revision: &StoredRevision, hasher: &mut Hasher) -> Vec<u8> {
    let metadata = Metadata {
        id: revision.document_id,
        version: revision.version,
        tx_time_ms: revision.time_ms,
        tx_id: revision.tx_id,
    }
    .ion_hash_with(hasher);
    let data_hash = revision.data.as_ref().map(|data| hasher.value(data)).or(revision.data_hash);
    let commitment = match &data_hash {
        Some(hash) => revision_commitment(&revision.blind, &metadata, hash),
        None => deleted_commitment(&revision.blind, &metadata),
    };
    RevisionLeaf {
        deleted: revision.deleted,
        opaque: false,
        imported: false,
        table_id: revision.table_id,
        document_id: revision.document_id,
        version: revision.version,
        block: revision.block,
        supersedes: revision.supersedes,
        commitment,
    }
    .encode()
    .to_vec()
}
