//! Transactions: a snapshot, a read set, own writes on top, validation when they commit (DESIGN section 7).

mod doc;

use std::ops::Bound;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Committed;

pub use doc::{Doc, View};

use crate::catalogue::{Catalogue, Column, Index, Table};
use crate::database::Database;
use crate::error::{QueryError, Result};
use crate::index::Key;

/// One transaction. Reads take `&self` and record what they read; iterators own what they need, so several can be
/// open at once and outlive the borrow. They see the writes made before they were created, and none made after.
///
/// Dropping it forgets it.
pub struct Transaction {
    database: Arc<Database>,
}

/// Revisions, one after another. `Send` and independent of the transaction's borrow.
pub struct Docs {
    next: Box<dyn Iterator<Item = Result<Doc>> + Send>,
}

impl Iterator for Docs {
    type Item = Result<Doc>;

    fn next(&mut self) -> Option<Result<Doc>> {
        self.next.next()
    }
}

/// A place in a transaction to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the bodies follow")]
pub struct Savepoint {
    writes: usize,
    catalogue: usize,
    statements: usize,
}

#[allow(unused_variables, reason = "the bodies follow")]
impl Transaction {
    /// Starts at the newest snapshot.
    pub fn begin(database: &Arc<Database>, read_only: bool) -> Transaction {
        Transaction { database: database.clone() }
    }

    /// Who does it and through which door: `originInfo`.
    pub fn set_origin(&mut self, user: &str, door: &str) {}

    /// The token that makes a retry idempotent; 1 to 200 bytes.
    pub fn set_client_token(&mut self, token: &str) -> Result<()> {
        Err(todo())
    }

    /// Judge the reads at commit even if nothing was written, as the QLDB drivers expect.
    pub fn set_validate_reads(&mut self, validate: bool) {}

    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The transaction's id, which is also `TXID()`.
    pub fn id(&self) -> Id {
        Id::ZERO
    }

    pub fn snapshot(&self) -> u64 {
        0
    }

    pub fn is_read_only(&self) -> bool {
        false
    }

    /// Whether anything was written (net effects may still be none).
    pub fn has_writes(&self) -> bool {
        false
    }

    /// The catalogue of the snapshot with this transaction's own definitions. Reading it records nothing.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::default()
    }

    /// An active table by name (case matters), recording that its definition, or that there is none, was read.
    pub fn table(&self, name: &str) -> Result<Option<Arc<Table>>> {
        Err(todo())
    }

    /// Any table by id, dropped ones included: history reads them.
    pub fn table_by_id(&self, id: Id) -> Result<Option<Arc<Table>>> {
        Err(todo())
    }

    /// The current revision of a document.
    pub fn get(&self, table: &Table, id: Id, view: View) -> Result<Option<Doc>> {
        Err(todo())
    }

    /// The documents with this key, or beginning with it, in order of document id.
    pub fn lookup(&self, table: &Table, index: &Index, key: &Key, view: View) -> Result<Vec<Doc>> {
        Err(todo())
    }

    /// The documents with keys between two bounds, in the order of the index. Only what was taken is recorded as read.
    pub fn range(
        &self,
        table: &Table,
        index: &Index,
        low: Bound<Key>,
        high: Bound<Key>,
        descending: bool,
        view: View,
    ) -> Result<Docs> {
        Err(todo())
    }

    /// All documents, in order of document id (near enough the order of insertion).
    pub fn scan(&self, table: &Table, view: View) -> Result<Docs> {
        Err(todo())
    }

    /// All committed revisions that were active at some time in the closed interval, of one document or of all; deletions
    /// and redacted revisions too. `from_ms` absent: from the start; `to_ms` absent: until the snapshot. A `to_ms` in the
    /// future is an error.
    pub fn history(
        &self,
        table: &Table,
        document: Option<Id>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Result<Docs> {
        Err(todo())
    }

    /// The revision at a position, whatever its table.
    pub fn revision(&self, position: u64) -> Result<Doc> {
        Err(todo())
    }

    /// Makes a new document. The value must satisfy the table's definition already ([`Table::check_document`]).
    pub fn insert(&mut self, table: &Table, value: Value) -> Result<Doc> {
        Err(todo())
    }

    /// Replaces a document's data by a new revision. `doc` is what was read in this transaction's current view.
    pub fn replace(&mut self, table: &Table, doc: &Doc, value: Value) -> Result<Doc> {
        Err(todo())
    }

    pub fn delete(&mut self, table: &Table, doc: &Doc) -> Result<()> {
        Err(todo())
    }

    /// The next value of an identity column. Values are never given twice; gaps are normal.
    pub fn next_identity(&self, table: &Table, column: &Column) -> Result<i64> {
        Err(todo())
    }

    /// Notes a statement: its text, digest and start time go into the block, if there will be one. Answers its number.
    pub fn begin_statement(&mut self, text: &str, params: &[Value]) -> Result<u32> {
        Err(todo())
    }

    /// Judges the primary key and unique constraints for everything written since `begin_statement`, as far as this
    /// transaction can see. Called after each statement that writes; the last word is at commit.
    pub fn check_unique(&self) -> Result<()> {
        Err(todo())
    }

    pub fn savepoint(&self) -> Savepoint {
        Savepoint { writes: 0, catalogue: 0, statements: 0 }
    }

    /// Undoes every write since; reads stay recorded, statements stay noted.
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        Err(todo())
    }

    /// Commits. `None`: nothing was written, so there is no block. With a client token that has committed before with the
    /// same statements and parameters, the answer is the first commit's.
    ///
    /// Errors: 40001 ([`QueryError::is_retryable`]) when something read has changed, 23505, limits, and what the journal
    /// says.
    pub async fn commit(self) -> Result<Option<Committed>> {
        Err(todo())
    }

    /// As [`Transaction::commit`], blocking this thread.
    pub fn commit_blocking(self) -> Result<Option<Committed>> {
        Err(todo())
    }
}

fn todo() -> QueryError {
    QueryError::unsupported("this part of transactions")
}

impl QueryError {
    /// A conflict with another transaction: running the transaction again may well succeed.
    pub fn is_retryable(&self) -> bool {
        self.code == crate::error::SqlState::SERIALIZATION_FAILURE
    }
}

/// The digest of a transaction's body: what is compared when a client token is used again.
pub fn body_digest(statements: &[ledgerstone_digest::hash::Hash]) -> ledgerstone_digest::hash::Hash {
    let parts: Vec<&[u8]> = statements.iter().map(|h| h.0.as_slice()).collect();
    ledgerstone_digest::hash::Hash::sha256(&parts)
}
