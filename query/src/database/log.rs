//! What a database asks of its journal while running. A trait, so that tests can stand in for the disk.

use std::future::Future;
use std::pin::Pin;

use ledgerstone_journal::{CommitError, Committed, Ledger, ReadError, StoredBlock, StoredRevision, Transaction};

/// A journal that runs.
pub(crate) trait Log: Send + Sync {
    /// The newest published snapshot; it moves after the publisher's hook has returned.
    fn snapshot(&self) -> u64;

    fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError>;

    fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError>;

    /// The end of the last block at or before a time, which is not in the future. No block will get that time any more.
    fn end_at_time(&self, time_ms: i64) -> Result<Option<u64>, ReadError>;

    /// The end of a block.
    fn end_of_block(&self, number: u64) -> Result<u64, ReadError>;

    fn submit(&self, transaction: Transaction) -> Submitted;
}

/// Resolves when the transaction is durable and published, or refused.
pub(crate) type Submitted = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;

impl Log for Ledger {
    fn snapshot(&self) -> u64 {
        Ledger::snapshot(self)
    }

    fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError> {
        Ledger::read_revision(self, position)
    }

    fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError> {
        Ledger::read_block(self, number)
    }

    fn end_at_time(&self, time_ms: i64) -> Result<Option<u64>, ReadError> {
        // A ledger that is closing has no blocks to come, so what is published is all there is.
        let _ = self.settle(time_ms);
        Ok(self.last_block_at_or_before(time_ms)?.map(|(_, end)| end))
    }

    fn end_of_block(&self, number: u64) -> Result<u64, ReadError> {
        Ok(Ledger::read_block(self, number)?.position + 1)
    }

    fn submit(&self, transaction: Transaction) -> Submitted {
        Box::pin(Ledger::submit(self, transaction))
    }
}
