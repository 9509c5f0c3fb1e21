//! From the journal to the columns: a scan that needs what has been committed since reads it from the journal, once, for
//! all tables. Nothing of this is on the way of a commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_journal::{Ledger, StoredRevision};

use super::scan::{Partition, Scan};
use super::tail::Tail;
use super::{ColumnError, ColumnOptions, ScanRequest};
use crate::database::State;
use crate::index::Rows;

/// Revisions between two looks at whether to stop.
const STOP_EVERY: u64 = 256;
/// Positions between two countings of memory.
const COUNT_EVERY: u64 = 2048;

/// The columns of one ledger.
pub struct ColumnStore {
    ledger: Arc<Ledger>,
    state: Arc<State>,
    options: ColumnOptions,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Everything before this position is in.
    position: u64,
    tables: HashMap<Id, Tail>,
    /// The position at which memory was last counted.
    counted_at: u64,
}

impl Inner {
    /// The genesis, at 0, is of no table.
    fn new() -> Inner {
        Inner { position: 1, tables: HashMap::new(), counted_at: 0 }
    }
}

impl ColumnStore {
    pub(crate) fn new(ledger: Arc<Ledger>, state: Arc<State>, options: ColumnOptions) -> ColumnStore {
        ColumnStore { ledger, state, options, inner: Mutex::new(Inner::new()) }
    }

    /// The rows of a table as a view at a snapshot sees them, everything committed before the snapshot included. Waits
    /// for what has not been read from the journal yet; `stop` is asked now and then, and true ends it.
    ///
    /// It records no reads: whoever scans for a transaction that writes records a read of the table. It knows nothing of
    /// the transaction's own writes. And as after every read of what is current, ask afterwards whether something that the
    /// snapshot sees has been redacted since.
    pub fn scan(&self, request: ScanRequest, stop: &dyn Fn() -> bool) -> Result<Scan, ColumnError> {
        let mut inner = self.lock();
        // To the newest, so that redactions behind the snapshot are in as well.
        self.catch_up(&mut inner, self.ledger.snapshot().max(request.snapshot), stop)?;
        let Some(tail) = inner.tables.get_mut(&request.table) else { return Ok(Scan { partitions: Vec::new() }) };
        tail.close(&self.options)?;
        let request = Arc::new(request);
        let chunks = tail.chunks.iter().filter(|chunk| chunk.piece.range().0 < request.snapshot);
        let partitions = chunks.map(|chunk| Partition {
            piece: chunk.piece.clone(),
            successors: chunk.successors.clone(),
            request: request.clone(),
        });
        Ok(Scan { partitions: partitions.collect() })
    }

    /// Everything before this position has been read from the journal.
    pub fn position(&self) -> u64 {
        self.lock().position
    }

    /// Memory that columns take, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.lock().tables.values().map(Tail::bytes).sum()
    }

    /// Takes in what has been committed and takes out what has been redacted; nothing is made that nobody has asked for
    /// yet. For when a redaction has been carried out.
    pub(crate) fn purge(&self) {
        let mut inner = self.lock();
        if inner.position > 1
            && let Err(error) = self.catch_up(&mut inner, self.ledger.snapshot(), &|| false)
        {
            tracing::warn!(%error, "the columns in memory are forgotten: what was redacted could not be taken out alone");
            *inner = Inner::new();
        }
    }

    fn catch_up(&self, inner: &mut Inner, to: u64, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        if inner.position >= to {
            return Ok(());
        }
        let outcome = self.ledger.revisions_between(inner.position, to, &mut |revision| {
            if revision.position.is_multiple_of(STOP_EVERY) {
                self.check(inner, stop)?;
            }
            self.take(inner, &revision)?;
            inner.position = revision.position + 1;
            Ok::<(), ColumnError>(())
        });
        match outcome {
            Ok(()) => {
                inner.position = to;
                Ok(())
            }
            // Whatever happened in the middle of a revision is not to be gone on from.
            Err(error @ (ColumnError::Internal(_) | ColumnError::Memory { .. })) => {
                *inner = Inner::new();
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self, inner: &mut Inner, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        if stop() {
            return Err(ColumnError::Stopped);
        }
        if inner.position >= inner.counted_at + COUNT_EVERY {
            inner.counted_at = inner.position;
            if inner.tables.values().map(Tail::bytes).sum::<usize>() > self.options.memory_bytes_max {
                return Err(ColumnError::Memory { limit: self.options.memory_bytes_max });
            }
        }
        Ok(())
    }

    fn take(&self, inner: &mut Inner, revision: &StoredRevision) -> Result<(), ColumnError> {
        if revision.table_id == Id::REDACTIONS {
            return self.take_redaction(inner, revision);
        }
        if revision.is_opaque() || revision.table_id.is_system() {
            return Ok(());
        }
        let tail = inner.tables.entry(revision.table_id).or_insert_with(Tail::new);
        tail.push(revision, self.state.is_redacted(revision.position), &self.options)
    }

    fn take_redaction(&self, inner: &mut Inner, revision: &StoredRevision) -> Result<(), ColumnError> {
        let Some(record) = revision.data.as_deref().and_then(RedactionRecord::from_value) else { return Ok(()) };
        let Some(tail) = inner.tables.get_mut(&record.table_id) else { return Ok(()) };
        let revisions = self.state.rows.revisions(record.table_id, record.document_id, revision.position);
        let revisions = revisions.map_err(|error| ColumnError::Internal(error.to_string()))?;
        // Versions count from 0 without gaps.
        let position = usize::try_from(record.version).ok().and_then(|version| revisions.get(version));
        position.map_or(Ok(()), |position| tail.redact(*position, &self.options))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
