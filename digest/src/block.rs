//! What a block says beside its revisions: metadata, transactionInfo, originInfo, redactionInfo (docs/format.md,
//! "Blocks").

use std::sync::Arc;

use crate::hash::Hash;
use crate::id::Id;

/// A revision's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub id: Id,
    pub version: u64,
    pub tx_time_ms: i64,
    pub tx_id: Id,
}

/// A statement's text, or what a redaction left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementText {
    Text(Arc<str>),
    /// The `statementHash` that replaced the field.
    Redacted(Hash),
}

/// One statement of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementInfo {
    pub text: StatementText,
    pub start_time_ms: i64,
    pub digest: Hash,
}

/// A document that a transaction changed in a user table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentInfo {
    pub document_id: Id,
    pub table_name: Arc<str>,
    pub table_id: Id,
    /// Indexes of the statements that changed it.
    pub statements: Vec<u32>,
}

/// `transactionInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionInfo {
    pub statements: Vec<StatementInfo>,
    pub documents: Vec<DocumentInfo>,
}

/// `originInfo`: who did it, through which protocol, and the token that makes a retry idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginInfo {
    pub user: Arc<str>,
    pub door: Arc<str>,
    pub client_token: Option<Arc<str>>,
    pub signature: Option<Vec<u8>>,
}

/// One revision that a transaction redacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedRevision {
    pub strand: Id,
    pub sequence_no: u64,
    pub table_id: Id,
    pub document_id: Id,
    pub version: u64,
}

/// `redactionInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactionInfo {
    pub revisions: Vec<RedactedRevision>,
}
