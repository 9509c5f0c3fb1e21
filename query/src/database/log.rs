//! What a database asks of its journal while running. A trait, so that tests can stand in for the disk.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use futures_channel::oneshot;
use ledgerstone_journal::redaction::RedactError;
use ledgerstone_journal::{CommitError, Committed, Ledger, ReadError, StoredBlock, StoredRevision, Transaction};

use super::state::State;
use super::tasks::Tasks;
use crate::error::{QueryError, SqlState};

/// A journal that runs.
pub(crate) trait Log: Send + Sync {
    /// The newest published snapshot; it moves after the publisher's hook has returned.
    fn snapshot(&self) -> u64;

    fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError>;

    /// The revisions at these positions, in their order, until `each` has enough.
    fn read_revisions(
        &self,
        positions: &[u64],
        each: &mut dyn FnMut(StoredRevision) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError>;

    /// The end of the last block at or before a time, which is not in the future. No block will get that time any more.
    fn end_at_time(&self, time_ms: i64) -> Result<Option<u64>, ReadError>;

    /// The end of a block.
    fn end_of_block(&self, number: u64) -> Result<u64, ReadError>;

    fn submit(&self, transaction: Transaction) -> Submitted;
}

/// Resolves when the transaction is durable and published, or refused.
pub(crate) type Submitted = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;

/// The journal that there is.
pub(crate) struct Journal {
    pub ledger: Arc<Ledger>,
    pub tasks: Arc<Tasks>,
    pub state: Arc<State>,
    #[cfg(feature = "analytics")]
    pub columns: Arc<crate::columns::ColumnStore>,
}

impl Log for Journal {
    fn snapshot(&self) -> u64 {
        self.ledger.snapshot()
    }

    fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError> {
        self.ledger.read_revision(position)
    }

    fn read_revisions(
        &self,
        positions: &[u64],
        each: &mut dyn FnMut(StoredRevision) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.ledger.read_revisions(positions, each)
    }

    fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError> {
        self.ledger.read_block(number)
    }

    fn end_at_time(&self, time_ms: i64) -> Result<Option<u64>, ReadError> {
        // A ledger that is closing has no blocks to come, so what is published is all there is.
        let _ = self.ledger.settle(time_ms);
        Ok(self.ledger.last_block_at_or_before(time_ms)?.map(|(_, end)| end))
    }

    fn end_of_block(&self, number: u64) -> Result<u64, ReadError> {
        self.ledger.block_end(number)
    }

    fn submit(&self, transaction: Transaction) -> Submitted {
        if transaction.redaction.is_none() {
            return Box::pin(self.ledger.commit(transaction));
        }
        // Writing segments again takes its time, and blocks.
        let (done, answer) = oneshot::channel();
        let (ledger, state) = (self.ledger.clone(), self.state.clone());
        #[cfg(feature = "analytics")]
        let columns = self.columns.clone();
        let task = async move {
            let outcome = ledger.redact(transaction);
            if matches!(outcome, Ok(_) | Err(RedactError::Unfinished { .. })) {
                // Keys hold what documents say, and so do columns.
                state.purge_rows();
                #[cfg(feature = "analytics")]
                columns.purge(&|| false);
            }
            // Nobody may be waiting any more.
            let _ = done.send(redacted(outcome));
        };
        let begun = self.tasks.begin("redaction", Box::pin(task));
        Box::pin(async move {
            begun.map_err(|error| {
                refused(SqlState::INSUFFICIENT_RESOURCES, format!("cannot start a thread: {error}"))
            })?;
            let ended = |_| CommitError::OutcomeUnknown { cause: "the thread of the redaction ended early".to_owned() };
            answer.await.unwrap_or_else(|canceled| Err(ended(canceled)))
        })
    }
}

fn redacted(outcome: Result<Committed, RedactError>) -> Result<Committed, CommitError> {
    match outcome {
        Ok(committed) => Ok(committed),
        // It has committed, and no query is answered with the data any more; but whoever asked for it to be erased must not be
        // told that it is.
        Err(error @ RedactError::Unfinished { .. }) => {
            tracing::error!(%error, "data that was redacted is still in the journal's files");
            let error = QueryError::new(SqlState::IO_ERROR, error.to_string()).hint(
                "Mend what stood in the way and start the server again. Proofs and backups have the data until then.",
            );
            Err(CommitError::Refused(Box::new(error)))
        }
        Err(RedactError::Commit(error)) => Err(error),
        Err(RedactError::Refused(why)) => Err(refused(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, why)),
        Err(other) if other.is_full() => Err(refused(SqlState::DISK_FULL, other.to_string())),
        Err(other) => Err(refused(SqlState::IO_ERROR, other.to_string())),
    }
}

fn refused(code: SqlState, message: String) -> CommitError {
    CommitError::Refused(Box::new(QueryError::new(code, message)))
}
