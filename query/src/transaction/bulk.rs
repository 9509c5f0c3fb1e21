//! Many new documents at once, of a COPY or an INSERT of many rows: encoded and hashed as they come, on whatever threads
//! there are, and held as bytes until the transaction commits. Their keys are judged when they are added.

use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::{Encoded, Encoder};

use super::doc::shown;
use super::rules::{check_document_rules, check_keys};
use super::{Transaction, WRITE_BYTES};
use crate::catalogue::Table;
use crate::database::Limits;
use crate::error::Result;
use crate::index::Key;

/// Makes documents of one table ready to be added.
pub(crate) struct Preparer<'a> {
    table: Arc<Table>,
    limits: &'a Limits,
    encoder: Encoder,
    rows: Vec<(usize, Vec<(Id, Key)>)>,
}

/// A document that is ready to be added.
pub(crate) struct ReadyDocument {
    data: Encoded,
    bytes: usize,
    keys: Vec<(Id, Key)>,
}

impl Preparer<'_> {
    /// Takes a document that satisfies the table's definition.
    pub fn add(&mut self, value: &Value, salt: Option<&[u8; 16]>) -> Result<()> {
        let bytes = check_document_rules(value, self.limits)?;
        let keys = self.table.keys_of(value);
        check_keys(&self.table, &keys)?;
        self.encoder.add(value, salt);
        self.rows.push((bytes + WRITE_BYTES, keys));
        Ok(())
    }

    pub fn finish(self) -> Vec<ReadyDocument> {
        let rows = self.encoder.finish().zip(self.rows);
        rows.map(|(data, (bytes, keys))| ReadyDocument { data, bytes, keys }).collect()
    }
}

impl Transaction {
    /// Whether documents may be added to a table in this way.
    pub(crate) fn takes_loads(&self, table: &Table) -> bool {
        self.strict.is_none() && !table.id.is_system() && !self.shared.on_pending
    }

    pub(crate) fn preparer(&self, table: &Arc<Table>) -> Preparer<'_> {
        let table = self.newest(table);
        Preparer { table, limits: self.database().limits(), encoder: Encoder::new(), rows: Vec::new() }
    }

    /// Salts for so many documents, none if the table is not salted.
    pub(crate) fn salts(&self, table: &Arc<Table>, count: usize) -> Vec<[u8; 16]> {
        if self.newest(table).salted { self.database().random16s(count) } else { Vec::new() }
    }

    /// Adds new documents. Their unique keys must be nobody else's as far as this transaction can see: nothing need be
    /// judged at the end of the statement. Answers their ids.
    pub(crate) fn load(&mut self, table: &Arc<Table>, ready: Vec<ReadyDocument>) -> Result<Vec<Id>> {
        self.check_writable(table)?;
        let table = self.newest(table);
        let unique: Vec<_> = table.indexes.iter().filter(|index| index.unique).cloned().collect();
        let statements: Arc<[u32]> = self.statements.len().checked_sub(1).map(|n| n as u32).into_iter().collect();
        let all_judged = self.statement_mark == self.overlay.mark();
        self.shared.reads().definitions.insert(table.id);
        let ids = self.database().new_document_ids(ready.len());
        for (ReadyDocument { data, bytes, keys }, id) in ready.into_iter().zip(&ids) {
            self.check_room(bytes, true)?;
            for index in &unique {
                let key = keys.iter().find(|(i, key)| *i == index.id && key.is_complete()).map(|(_, key)| key);
                if let Some(key) = key
                    && self.holder_of(&table, index, key, *id)?.is_some()
                {
                    self.shared.reads().key(table.id, index.id, key);
                    let (document, _) = shown(&data.into())?;
                    return Err(crate::database::unique_violation(&table.name, index, &document));
                }
            }
            self.overlay.load(table.id, *id, (data, bytes), keys, &statements);
        }
        if all_judged {
            self.checked();
        }
        Ok(ids)
    }

    /// The definition in force may be newer than the one that the caller holds.
    fn newest(&self, table: &Arc<Table>) -> Arc<Table> {
        self.catalogue().table_by_id(&table.id).unwrap_or(table).clone()
    }
}
