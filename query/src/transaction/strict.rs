//! QLDB's own limits, for who wants a transaction refused here that would have been refused there ("Quotas and limits" in
//! QLDB's developer guide). Sessions ask for them; without them the ledger's own limits hold.

use ledgerstone_digest::ion::{Value, encode};

use super::limit_error;
use crate::catalogue::{Catalogue, TableStatus};
use crate::error::Result;

/// Documents that a transaction changes.
pub const TRANSACTION_DOCUMENTS_MAX: usize = 40;
/// Bytes of a document in Ion binary.
pub const DOCUMENT_BYTES_MAX: usize = 128 << 10;
/// Bytes of all documents that a transaction writes.
pub const TRANSACTION_BYTES_MAX: usize = 4 << 20;
/// Bytes of a parameter in Ion binary.
pub const PARAMETER_BYTES_MAX: usize = 128 << 10;
/// Characters of a statement.
pub const STATEMENT_CHARACTERS_MAX: usize = 100_000;
/// Tables that are not dropped.
pub const ACTIVE_TABLES_MAX: usize = 20;
/// Tables, dropped ones too.
pub const TABLES_MAX: usize = 40;
/// Indexes of a table.
pub const INDEXES_MAX: usize = 5;

/// What a transaction has used of its limits.
#[derive(Debug, Default)]
pub(super) struct Strict {
    bytes: usize,
}

impl Strict {
    /// Before a document is written; `others`: documents of user tables that the transaction has changed, this one apart.
    pub fn check_write(&mut self, value: Option<&Value>, others: usize) -> Result<()> {
        if others >= TRANSACTION_DOCUMENTS_MAX {
            return Err(limit_error(format!("a transaction changes at most {TRANSACTION_DOCUMENTS_MAX} documents")));
        }
        let Some(value) = value else { return Ok(()) };
        let bytes = encode(value).len();
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(limit_error(format!("a document has at most {DOCUMENT_BYTES_MAX} bytes, not {bytes}")));
        }
        self.bytes += bytes;
        if self.bytes > TRANSACTION_BYTES_MAX {
            return Err(limit_error(format!("a transaction writes at most {TRANSACTION_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

/// Before a statement is run.
pub(crate) fn check_statement(text: &str, parameters: &[Value]) -> Result<()> {
    if text.chars().count() > STATEMENT_CHARACTERS_MAX {
        return Err(limit_error(format!("a statement has at most {STATEMENT_CHARACTERS_MAX} characters")));
    }
    for (number, parameter) in (1..).zip(parameters) {
        let bytes = encode(parameter).len();
        if bytes > PARAMETER_BYTES_MAX {
            let what = format!("parameter {number} has {bytes} bytes; at most {PARAMETER_BYTES_MAX} are possible");
            return Err(limit_error(what));
        }
    }
    Ok(())
}

/// Whether a definition leads beyond the limits. What was beyond before may stay and may become less.
pub(super) fn check_definition(before: &Catalogue, after: &Catalogue) -> Result<()> {
    let all = |catalogue: &Catalogue| catalogue.tables().count();
    let active = |catalogue: &Catalogue| catalogue.tables().filter(|t| t.status == TableStatus::Active).count();
    let beyond = |count: &dyn Fn(&Catalogue) -> usize, most| count(after) > most && count(after) > count(before);
    if beyond(&active, ACTIVE_TABLES_MAX) {
        return Err(limit_error(format!("a ledger has at most {ACTIVE_TABLES_MAX} active tables")));
    }
    if beyond(&all, TABLES_MAX) {
        return Err(limit_error(format!("a ledger has at most {TABLES_MAX} tables, dropped ones included")));
    }
    for table in after.tables().filter(|table| table.indexes.len() > INDEXES_MAX) {
        if before.table_by_id(&table.id).is_none_or(|before| before.indexes.len() < table.indexes.len()) {
            return Err(limit_error(format!("table {} has {INDEXES_MAX} indexes already", table.name)));
        }
    }
    Ok(())
}
