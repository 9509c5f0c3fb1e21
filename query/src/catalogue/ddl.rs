//! DDL: definitions as revisions in system tables, made by ordinary transactions.

use ledgerstone_digest::id::Id;

use crate::ast::Statement;
use crate::error::{QueryError, Result};
use crate::session::Dialect;
use crate::transaction::Transaction;

/// What a DDL statement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlOutcome {
    /// The command tag: `CREATE TABLE`.
    pub tag: &'static str,
    /// The table made, dropped, brought back or indexed; `None` if `IF [NOT] EXISTS` left nothing to do.
    pub table_id: Option<Id>,
    /// Said to the client as a NOTICE, e.g. that the table exists already.
    pub notice: Option<String>,
}

/// Runs CREATE, DROP, UNDROP and ALTER of tables and indexes inside a transaction; seen by it at once, by others when it
/// commits.
pub fn apply(tx: &mut Transaction, statement: &Statement, text: &str, dialect: Dialect) -> Result<DdlOutcome> {
    let _ = (tx, statement, text, dialect);
    Err(QueryError::unsupported("this definition statement"))
}
