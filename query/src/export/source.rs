//! Where an export takes its blocks from, and what can go wrong with one.

use std::path::PathBuf;
use std::sync::MutexGuard;

use ledgerstone_digest::Id;
use ledgerstone_journal::StoredBlock;
use ledgerstone_journal::env::help_for;

/// A ledger to export: its blocks in order, with their leaves.
pub trait Source {
    /// The genesis record's exact bytes.
    fn genesis_record(&self) -> Result<Vec<u8>, ExportError>;
    /// The leaf at position 0.
    fn genesis_leaf(&self) -> Result<Vec<u8>, ExportError>;
    /// A signed checkpoint of the newest durable state.
    fn checkpoint(&self) -> Result<String, ExportError>;
    /// For each rotation of the key so far: the size where it changed, and the receipt that lets holders of the key before
    /// follow.
    fn rotations(&self) -> Result<Vec<(u64, Vec<u8>)>, ExportError> {
        Ok(Vec::new())
    }
    /// A block and its leaves, revisions first.
    fn block(&self, number: u64) -> Result<(StoredBlock, Vec<Vec<u8>>), ExportError>;
    /// As long as this is held nothing is redacted: a row without its data needs the record that says why, which must lie
    /// below the checkpoint.
    fn hold_redactions(&self) -> Option<MutexGuard<'_, ()>> {
        None
    }
    /// Tables that are not system tables, dropped ones included, with the names that they have at the moment.
    fn tables(&self) -> Vec<(Id, String)>;
}

/// Why an export was not made. Nothing stands under the final name then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error("{} exists already; choose another place or remove it", .0.display())]
    Exists(PathBuf),
    #[error("cannot {action} {}: {source}{}", .path.display(), help_for(source))]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", .path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("cannot make a batch of rows: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("cannot read the journal: {0}")]
    Journal(String),
    #[error("there is no table {0}")]
    NoTable(String),
    #[error("the export was cancelled; nothing was left behind")]
    Cancelled,
}
