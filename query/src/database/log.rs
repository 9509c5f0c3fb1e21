//! What a database asks of its journal while running. A trait, so that tests can stand in for the disk.

use std::future::Future;
use std::pin::Pin;

use ledgerstone_journal::{CommitError, Committed, ReadError, StoredBlock, StoredRevision, Transaction};

/// A journal that runs.
pub(crate) trait Log: Send + Sync {
    /// The newest published snapshot; it moves after the publisher's hook has returned.
    fn snapshot(&self) -> u64;

    fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError>;

    fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError>;

    /// The end of the last block at or before a time.
    fn end_at_time(&self, time_ms: i64) -> Option<u64>;

    /// The end of a block.
    fn end_of_block(&self, number: u64) -> Result<u64, ReadError>;

    fn submit(&self, transaction: Transaction) -> Submitted;
}

/// Resolves when the transaction is durable and published, or refused.
pub(crate) type Submitted = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;
