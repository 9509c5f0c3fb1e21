//! What columns are made from: the journal of an open ledger, or that of one which nobody has open.

use std::sync::Arc;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_journal::{ClosedJournal, Ledger, ReadError, StoredRevision};

use super::ColumnError;
use crate::database::State;
use crate::database::state::contradicts;

/// Takes a revision.
pub type Each<'a> = dyn FnMut(StoredRevision) -> Result<(), ColumnError> + 'a;

/// A journal, with what is known of redactions.
pub trait Origin: Send + Sync {
    fn ledger_id(&self) -> Id;
    /// The position behind the last block.
    fn end(&self) -> u64;
    fn leaf_hash(&self, position: u64) -> Result<Hash, ReadError>;
    /// Revisions at positions from `from` on to before `to`, in order. Their frames are read; a document may be the one that
    /// was committed and is still in memory, which has no salt.
    fn revisions_between(&self, from: u64, to: u64, each: &mut Each<'_>) -> Result<(), ColumnError>;
    /// A record of this revision's redaction is committed, whether the journal still has its data or not.
    fn is_redacted(&self, position: u64) -> bool;
    /// Where the revision stands that a record, itself at position `at`, is about; `None`: there is nothing to take out.
    fn redacted_by(&self, record: &RedactionRecord, at: u64) -> Result<Option<u64>, ColumnError>;
    /// Where the newest record of a redaction stands, if there is one.
    fn newest_redaction(&self) -> Option<u64>;
}

/// An open ledger.
pub struct Open {
    pub ledger: Arc<Ledger>,
    pub state: Arc<State>,
}

impl Origin for Open {
    fn ledger_id(&self) -> Id {
        self.ledger.ledger_id()
    }

    fn end(&self) -> u64 {
        self.ledger.snapshot()
    }

    fn leaf_hash(&self, position: u64) -> Result<Hash, ReadError> {
        self.ledger.leaf_hash(position)
    }

    fn revisions_between(&self, from: u64, to: u64, each: &mut Each<'_>) -> Result<(), ColumnError> {
        let known = &mut |position| self.state.cache.shown(position);
        self.ledger.revisions_between(from, to, known, each)
    }

    fn is_redacted(&self, position: u64) -> bool {
        self.state.is_redacted(position)
    }

    fn redacted_by(&self, record: &RedactionRecord, at: u64) -> Result<Option<u64>, ColumnError> {
        // A block that is still to come ends behind everything.
        let block_end = |number| match self.ledger.block_end(number) {
            Err(ReadError::Beyond { .. }) => Ok(u64::MAX),
            end => end.map_err(contradicts),
        };
        let redacted = self.state.redacted_by(record, at, &block_end);
        Ok(redacted.map_err(|error| ColumnError::Internal(error.to_string()))?.map(|redacted| redacted.position))
    }

    fn newest_redaction(&self) -> Option<u64> {
        self.state.newest_redaction()
    }
}

/// One that nobody has open, and in which no redaction is under way: what was redacted has no data in its journal.
impl Origin for ClosedJournal {
    fn ledger_id(&self) -> Id {
        ClosedJournal::ledger_id(self)
    }

    fn end(&self) -> u64 {
        ClosedJournal::end(self)
    }

    fn leaf_hash(&self, position: u64) -> Result<Hash, ReadError> {
        ClosedJournal::leaf_hash(self, position)
    }

    fn revisions_between(&self, from: u64, to: u64, each: &mut Each<'_>) -> Result<(), ColumnError> {
        ClosedJournal::revisions_between(self, from, to, each)
    }

    fn is_redacted(&self, _: u64) -> bool {
        false
    }

    fn redacted_by(&self, _: &RedactionRecord, _: u64) -> Result<Option<u64>, ColumnError> {
        Ok(None)
    }

    fn newest_redaction(&self) -> Option<u64> {
        None
    }
}

/// Whether a revision is a row of its table's columns.
pub fn has_columns(revision: &StoredRevision) -> bool {
    !revision.is_opaque() && !revision.table_id.is_system()
}

/// The record of a redaction that a revision is.
pub fn record_of(revision: &StoredRevision) -> Option<RedactionRecord> {
    let data = revision.data.as_deref().filter(|_| revision.table_id == Id::REDACTIONS);
    RedactionRecord::from_value(data?)
}
