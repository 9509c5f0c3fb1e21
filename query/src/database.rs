//! One ledger, open: its journal, the catalogue and the row index derived from it, and the caches (DESIGN section 7).

use std::sync::Arc;

use ledgerstone_digest::hash::Hash;
use ledgerstone_journal::Committed;

use crate::catalogue::Catalogue;
use crate::error::{QueryError, Result};

/// An open ledger.
#[allow(dead_code, reason = "the bodies follow")]
pub struct Database {
    name: Arc<str>,
    limits: Limits,
}

/// What a transaction may hold. Exceeding one is an error (54000) that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document as Ion binary.
    pub document_bytes_max: usize,
    /// Containers inside each other.
    pub document_depth_max: usize,
    /// Values in one document, containers included.
    pub document_values_max: usize,
    /// Documents changed by one transaction.
    pub transaction_documents_max: usize,
    /// Statements in one transaction.
    pub transaction_statements_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            document_bytes_max: 16 << 20,
            document_depth_max: 128,
            document_values_max: 4 << 20,
            transaction_documents_max: 1_000_000,
            transaction_statements_max: 1_000_000,
        }
    }
}

/// What a client token did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCommit {
    pub committed: Committed,
    /// Fold of the digests of the transaction's statements with their parameters: compare with
    /// [`crate::transaction::body_digest`].
    pub body: Hash,
}

#[allow(unused_variables, reason = "the bodies follow")]
impl Database {
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The newest published snapshot.
    pub fn snapshot(&self) -> u64 {
        0
    }

    /// The newest published catalogue.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::default()
    }

    /// What a client token has committed, if it has. Ask before running an autocommit statement.
    pub fn client_token(&self, token: &str) -> Result<Option<TokenCommit>> {
        Ok(None)
    }

    /// The snapshot of the last block at or before this time. A time in the future is an error (22023).
    pub fn position_at_time(&self, time_ms: i64) -> Result<u64> {
        Err(QueryError::unsupported("AS OF TIMESTAMP"))
    }

    /// The snapshot that sees this block and nothing after it.
    pub fn position_at_block(&self, block: u64) -> Result<u64> {
        Err(QueryError::unsupported("AS OF BLOCK"))
    }
}
