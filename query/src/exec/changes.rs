//! Change reports: the revisions of a table between two positions, out of the journal's blocks; so a report costs what
//! happened, and not what there is. A moment may be named by a digest: then it must be one of this ledger's own.

use std::collections::HashMap;

use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::{StoredBlock, StoredRevision};

use super::eval::doc_part;
use super::run::{Env, Flow, Row, Run};
use crate::bind::plan::{ChangesSource, Datum, DocPart, Ex};
use crate::database::read_error;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::{cast, datetime};

/// What happened to one document.
struct Change {
    id: Id,
    /// The revision before the first of its changes.
    before: Option<u64>,
    last: u64,
    revisions: i64,
    user: Datum,
}

impl Run<'_> {
    pub(super) fn changes(
        &self,
        source: &ChangesSource,
        env: &Env<'_>,
        sink: &mut dyn FnMut(Row) -> Result<Flow>,
    ) -> Result<Flow> {
        let from = self.moment(&source.from, env)?.unwrap_or(0);
        let to = match &source.to {
            Some(to) => self.moment(to, env)?.unwrap_or_else(|| self.tx.snapshot()),
            None => self.tx.snapshot(),
        };
        if from > to {
            return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "the report ends before it begins"));
        }
        if to == self.tx.snapshot() {
            self.tx.note_table_read(source.table.id);
        }
        if source.net {
            return self.net_changes(source, (from, to), sink);
        }
        self.revisions_between(source.table.id, (from, to), &mut |block, revision, position| {
            let doc = self.tx.database().read(position)?;
            let before = revision.supersedes.map(|p| self.tx.database().read(p)).transpose()?;
            let part = |part| doc_part(&doc, part, self.tx);
            sink(vec![
                part(DocPart::Position)?,
                part(DocPart::Block)?,
                part(DocPart::TxId)?,
                part(DocPart::TxTime)?,
                text(&block.origin.user),
                text(&block.origin.door),
                part(DocPart::Id)?,
                part(DocPart::Version)?,
                text(operation(before.as_deref().is_some_and(|d| !d.is_deletion()), !doc.is_deletion())),
                before.and_then(|d| d.data.as_deref().cloned()),
                part(DocPart::Data)?,
            ])
        })
    }

    /// One row per document, in the order of their first changes; what came and went in between is none.
    fn net_changes(
        &self,
        source: &ChangesSource,
        between: (u64, u64),
        sink: &mut dyn FnMut(Row) -> Result<Flow>,
    ) -> Result<Flow> {
        let share = self.share();
        let mut changes: Vec<Change> = Vec::new();
        let mut known: HashMap<Id, usize> = HashMap::new();
        self.revisions_between(source.table.id, between, &mut |block, revision, position| {
            let id = revision.document_id;
            let at = *known.entry(id).or_insert(changes.len());
            if at == changes.len() {
                share.charge(160 + block.origin.user.len())?;
                let before = revision.supersedes;
                changes.push(Change { id, before, last: position, revisions: 0, user: None });
            }
            if let Some(change) = changes.get_mut(at) {
                change.last = position;
                change.revisions += 1;
                change.user = text(&block.origin.user);
            }
            Ok(Flow::More)
        })?;
        for change in changes {
            let before = change.before.map(|p| self.tx.database().read(p)).transpose()?;
            let before = before.filter(|d| !d.is_deletion());
            let doc = self.tx.database().read(change.last)?;
            if before.is_none() && doc.is_deletion() {
                continue;
            }
            let part = |part| doc_part(&doc, part, self.tx);
            let row = vec![
                text(&change.id.to_string()),
                text(operation(before.is_some(), !doc.is_deletion())),
                before.as_ref().and_then(|d| d.data.as_deref().cloned()),
                part(DocPart::Data)?,
                before.as_ref().map(|d| Value::int(d.version as i64)),
                part(DocPart::Version)?.filter(|_| !doc.is_deletion()),
                Some(Value::int(change.revisions)),
                part(DocPart::Block)?,
                part(DocPart::TxId)?,
                part(DocPart::TxTime)?,
                change.user,
            ];
            if sink(row)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::More)
    }

    /// The table's revisions at positions from the first to before the second, with their blocks.
    fn revisions_between(
        &self,
        table: Id,
        (from, to): (u64, u64),
        each: &mut dyn FnMut(&StoredBlock, &StoredRevision, u64) -> Result<Flow>,
    ) -> Result<Flow> {
        let ledger = self.tx.database().ledger();
        let Some(first) = (from < to).then(|| ledger.block_at(from.max(1))).transpose().map_err(read_error)?.flatten()
        else {
            return Ok(Flow::More);
        };
        for block in ledger.blocks(first.number) {
            let block = block.map_err(read_error)?;
            if block.first_position >= to {
                break;
            }
            for (n, revision) in block.revisions.iter().enumerate().filter(|(_, r)| r.table_id == table) {
                self.tick()?;
                if each(&block, revision, block.first_position + n as u64)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
        }
        Ok(Flow::More)
    }

    /// The snapshot that a value means; `None`: it is null.
    fn moment(&self, ex: &Ex, env: &Env<'_>) -> Result<Option<u64>> {
        let Some(value) = self.eval(ex, env)?.filter(|v| !v.is_null()) else { return Ok(None) };
        match &value {
            Value::Int(_) => match value.as_i64().and_then(|b| u64::try_from(b).ok()) {
                Some(block) => self.tx.position_at_block(block).map(Some),
                None => Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "a block has a number of 0 or more")),
            },
            Value::Timestamp(t) => self.tx.position_at_time(datetime::to_micros(t).div_euclid(1000)).map(Some),
            Value::String(note) if note.contains('\n') => self.digested(note).map(Some),
            Value::String(_) => {
                let now = self.call.now_micros();
                match cast::cast(Some(value), Some(&SqlType::Text), &SqlType::TimestampTz, true, now)? {
                    Some(Value::Timestamp(t)) => {
                        self.tx.position_at_time(datetime::to_micros(&t).div_euclid(1000)).map(Some)
                    }
                    _ => Ok(None),
                }
            }
            other => Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "a block number, a time or the text of a digest is needed, not {}",
                    crate::value::ion_type_name(other)
                ),
            )),
        }
    }

    /// The size of a digest that this ledger has once had.
    fn digested(&self, note: &str) -> Result<u64> {
        let refused = |message: String| QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message);
        let ledger = self.tx.database().ledger();
        // A shell takes the last newline away or adds one.
        let note = &format!("{}\n", note.trim_end_matches('\n'));
        let read = UnverifiedCheckpoint::parse(note).map_err(|e| refused(format!("the text is no digest: {e}")))?;
        let digest = read.unverified();
        if digest.origin != ledger.origin() {
            return Err(refused(format!("the digest is of the ledger {}, not of {}", digest.origin, ledger.origin())));
        }
        if digest.size > self.tx.snapshot() {
            return Err(refused(format!("the digest covers {} leaves, more than the statement sees", digest.size))
                .hint("Begin a new transaction if the digest is a new one."));
        }
        let root = ledger.root(digest.size).map_err(crate::function::proof_error)?;
        if root != digest.root {
            return Err(refused(format!(
                "the digest is not this ledger's: of its first {} leaves the root is {root}, not {}",
                digest.size, digest.root
            ))
            .hint("Keep the digest: with a good signature it is evidence that there were two histories."));
        }
        Ok(digest.size)
    }
}

fn operation(before: bool, after: bool) -> &'static str {
    match (before, after) {
        (false, true) => "insert",
        (true, true) => "update",
        (_, false) => "delete",
    }
}

fn text(text: &str) -> Datum {
    Some(Value::string(text))
}
