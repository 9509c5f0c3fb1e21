//! `EXEC REDACT_REVISION`: taking the data out of a revision that is no longer current (CONTRACT section 5).
//!
//! The transaction writes a record of it to the system table `redactions`; the journal erases the data when that has
//! committed. From then on nothing here hands the data out: the cache and the index forget it when the record is
//! published.

use ledgerstone_digest::block::{RedactedRevision, RedactionInfo};
use ledgerstone_digest::id::Id;
use ledgerstone_digest::redaction::RedactionRecord;

use super::{Doc, Transaction};
use crate::catalogue::system_tables;
use crate::error::{QueryError, Result, SqlState};
use crate::index::Rows;

impl Transaction {
    /// Redacts the revision of a document that a block wrote. One per transaction, as in QLDB.
    pub fn redact(&mut self, strand: Id, block: u64, table_id: Id, document_id: Id) -> Result<RedactedRevision> {
        let refuse = |code, message: String| Err(QueryError::new(code, message));
        if strand != self.database().ledger().strand() {
            return refuse(SqlState::INVALID_PARAMETER_VALUE, format!("strand {strand} is not of this ledger"));
        }
        if self.redaction.is_some() {
            return Err(super::limit_error("a transaction redacts at most one revision"));
        }
        let known = if table_id.is_system() { None } else { self.table_by_id(table_id)? };
        let Some(table) = known else {
            return refuse(SqlState::UNDEFINED_TABLE, format!("there is no table with the id {table_id}"));
        };
        let rows = &self.database().state().rows;
        let positions = rows.revisions(table_id, document_id, self.snapshot())?;
        let mut found: Option<(Doc, bool)> = None;
        for (n, position) in positions.iter().enumerate() {
            let doc = self.revision(*position)?;
            if doc.block == block {
                found = Some((doc, n + 1 == positions.len()));
                break;
            }
        }
        let Some((doc, newest)) = found else {
            let message = format!("block {block} wrote no revision of document {document_id} in table {table_id}");
            return refuse(SqlState::INVALID_PARAMETER_VALUE, message);
        };
        if doc.is_deletion() {
            return refuse(SqlState::INVALID_PARAMETER_VALUE, "a deletion has no data to redact".into());
        }
        if doc.data_hash.is_some() {
            return refuse(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the revision has been redacted already".into());
        }
        if newest {
            return Err(QueryError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "the current revision of a document cannot be redacted",
            )
            .hint("Change or delete the document first; then this revision belongs to its history."));
        }
        self.record_redaction(&table.id, &doc, strand)
    }

    fn record_redaction(&mut self, table: &Id, doc: &Doc, strand: Id) -> Result<RedactedRevision> {
        let record = RedactionRecord {
            block: doc.block,
            table_id: *table,
            document_id: doc.id,
            version: doc.version,
            user: self.user.clone().unwrap_or_default(),
        };
        // Two at once would write two records of one redaction: no name can hold a zero, so this one is ours.
        let once = format!("\0redaction of {}", doc.position);
        self.read_name(&once);
        self.name_changes(once.into());
        let system = system_tables::system_table(Id::REDACTIONS)
            .ok_or_else(|| QueryError::internal("the table of redactions is unknown"))?;
        self.insert(&system, record.to_value())?;
        let revision = RedactedRevision {
            strand,
            sequence_no: doc.block,
            table_id: *table,
            document_id: doc.id,
            version: doc.version,
        };
        self.redaction = Some(RedactionInfo { revisions: vec![revision] });
        Ok(revision)
    }

    /// Whether a revision's redaction is recorded, its data perhaps not erased yet.
    pub fn is_redacted(&self, doc: &Doc) -> Result<bool> {
        Ok(doc.data_hash.is_some() || self.database().state().is_redacted(doc.position))
    }
}

/// Hides what is recorded as redacted but not erased yet.
pub(crate) fn hide(doc: Doc) -> Doc {
    let hash = doc.committed_data().map(|data| ledgerstone_digest::ion::ion_hash(&data));
    Doc { data_hash: doc.data_hash.or(hash), data: None, salt: None, ..doc }
}
