//! Rotating the ledger's signing key while sessions go on.

use std::sync::Arc;

use ledgerstone_journal::{CommitError, RotateError, Rotated};

use super::Database;
use crate::error::{QueryError, Result, SqlState};
use crate::transaction::{Transaction, commit_error};

/// How often the record is tried again when something else was in its way.
const ATTEMPTS_MAX: u32 = 100;

impl Database {
    /// Makes a new key, records it in the ledger, and returns when the old one has handed over. Blocks.
    pub fn rotate_key(self: &Arc<Self>, user: &str, door: &str) -> Result<Rotated> {
        let rotation = self.ledger.rotate_key().map_err(rotate_error)?;
        let mut attempt = 0;
        loop {
            let mut tx = Transaction::begin(self, false);
            tx.set_origin(user, door.to_owned());
            let transaction = tx.rotate_key(&rotation)?;
            drop(tx);
            match rotation.commit(transaction) {
                Err(RotateError::Commit(CommitError::Conflict(_))) if attempt < ATTEMPTS_MAX => attempt += 1,
                outcome => return outcome.map_err(rotate_error),
            }
        }
    }
}

fn rotate_error(error: RotateError) -> QueryError {
    let code = match &error {
        RotateError::Refused(_) => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        RotateError::Checkpoint(cause) if cause.is_full() => SqlState::DISK_FULL,
        RotateError::Key(cause) if cause.is_full() => SqlState::DISK_FULL,
        _ => SqlState::IO_ERROR,
    };
    match error {
        RotateError::Commit(error) => commit_error(error),
        other => QueryError::new(code, other.to_string()),
    }
}
