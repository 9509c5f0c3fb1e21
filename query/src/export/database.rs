//! An open ledger as the source of an export.

use std::sync::MutexGuard;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Hasher;
use ledgerstone_journal::{ReadError, StoredBlock};

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

    fn rotations(&self) -> Result<Vec<(u64, Vec<u8>)>, ExportError> {
        let receipts = self.ledger().rotations(None).map_err(|e| ExportError::Journal(e.to_string()))?;
        // One may have come in between; then it is in the next export.
        Ok(self.ledger().keys().keys().skip(1).map(|key| key.size_min).zip(receipts).collect())
    }

    fn block(&self, number: u64) -> Result<(StoredBlock, Vec<Vec<u8>>), ExportError> {
        let block = self.ledger().read_block(number).map_err(journal)?;
        let mut hasher = Hasher::new();
        let mut leaves: Vec<Vec<u8>> =
            block.revisions.iter().map(|r| r.leaf(&mut hasher).0.encode().to_vec()).collect();
        leaves.push(self.ledger().leaf(block.position).map_err(journal)?);
        Ok((block, leaves))
    }

    fn hold_redactions(&self) -> Option<MutexGuard<'_, ()>> {
        Some(self.ledger().hold_redactions())
    }

    fn tables(&self) -> Vec<(Id, String)> {
        let catalogue = self.catalogue();
        catalogue.tables().filter(|t| !t.id.is_system()).map(|t| (t.id, t.name.to_string())).collect()
    }
}

fn journal(error: ReadError) -> ExportError {
    ExportError::Journal(error.to_string())
}
