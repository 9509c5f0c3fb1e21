//! The tables and indexes of a QLDB ledger, as its statements made them.
//!
//! QLDB exported definitions as hashes only. What is left are the texts of CREATE, DROP and UNDROP, and what
//! transactionInfo says of documents: a table's name and its id.

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::block::TransactionInfo;

use crate::ast::{CreateIndex, Expr, ExprKind, Statement};
use crate::catalogue::TableStatus;
use crate::partiql;

/// What was made of the blocks that came so far.
#[derive(Debug, Default)]
pub struct Definitions {
    pub tables: Vec<Sketch>,
    /// DROP INDEX statements whose index cannot be told: they name an id that was not exported.
    pub drops_untold: u64,
    /// Texts that are definitions by their first word and cannot be read.
    pub unread: u64,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    pub name: Arc<str>,
    /// `None`: no document tells it.
    pub id: Option<Id>,
    pub status: TableStatus,
    pub indexes: Vec<CreateIndex>,
}

impl Definitions {
    /// The statements and documents of the next block.
    pub fn block(&mut self, info: &TransactionInfo) {
        let texts = info.statements.iter().filter_map(|statement| statement.text.text());
        for text in texts.filter(|text| is_definition(text)) {
            match partiql::parse(text) {
                Ok(parsed) => parsed.into_iter().for_each(|parsed| self.statement(parsed.statement)),
                Err(_) => self.unread += 1,
            }
        }
        for document in &info.documents {
            self.named(&document.table_name, document.table_id);
        }
    }

    fn statement(&mut self, statement: Statement) {
        match statement {
            Statement::CreateTable(create) => {
                let name = create.name.name.text.clone();
                if self.active(&name).is_none() {
                    self.tables.push(Sketch { name, id: None, status: TableStatus::Active, indexes: Vec::new() });
                }
            }
            Statement::DropTable { names, .. } => {
                for name in names {
                    if let Some(table) = self.active(&name.name.text) {
                        table.status = TableStatus::Inactive;
                    }
                }
            }
            Statement::UndropTable { table_id } => {
                let id = table_id.text.parse().ok();
                let Some(at) = self.tables.iter().position(|table| id.is_some() && table.id == id) else { return };
                // One name has one table at a time.
                let name = self.tables[at].name.clone();
                if let Some(other) = self.active(&name) {
                    other.status = TableStatus::Inactive;
                }
                self.tables[at].status = TableStatus::Active;
            }
            Statement::CreateIndex(create) => {
                if let Some(table) = self.active(&create.table.name.text)
                    && !table.indexes.iter().any(|index| same_columns(&index.columns, &create.columns))
                {
                    table.indexes.push(*create);
                }
            }
            Statement::DropIndex { on: Some(on), names, .. } => {
                let dropped = match self.active(&on.name.text) {
                    Some(table) if table.indexes.len() == names.len() => {
                        table.indexes.clear();
                        true
                    }
                    _ => false,
                };
                self.drops_untold += u64::from(!dropped);
            }
            _ => {}
        }
    }

    /// A document was changed in a table of this name and id.
    fn named(&mut self, name: &Arc<str>, id: Id) {
        if self.tables.iter().rev().any(|table| table.id == Some(id)) {
            return;
        }
        match self.tables.iter_mut().rev().find(|table| table.name == *name && table.id.is_none()) {
            Some(table) => table.id = Some(id),
            None => {
                // Its CREATE TABLE cannot be read. An older table of the name must have been dropped since.
                if let Some(before) = self.active(name) {
                    before.status = TableStatus::Inactive;
                }
                let status = TableStatus::Active;
                self.tables.push(Sketch { name: Arc::clone(name), id: Some(id), status, indexes: Vec::new() });
            }
        }
    }

    fn active(&mut self, name: &str) -> Option<&mut Sketch> {
        self.tables.iter_mut().find(|table| *table.name == *name && table.status == TableStatus::Active)
    }
}

/// Only these are parsed: a journal is full of other statements.
fn is_definition(text: &str) -> bool {
    let first = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["create", "drop", "undrop"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

fn same_columns(a: &[Expr], b: &[Expr]) -> bool {
    let same = |(a, b): (&Expr, &Expr)| match (&a.kind, &b.kind) {
        (ExprKind::Name(a), ExprKind::Name(b)) => a.text == b.text,
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::Hash;
    use ledgerstone_digest::block::{DocumentInfo, StatementInfo, StatementText};

    use super::*;

    fn block(definitions: &mut Definitions, texts: &[&str], documents: &[(&str, u8)]) {
        let statements = texts
            .iter()
            .map(|text| StatementInfo {
                text: StatementText::Text((*text).into()),
                start_time_ms: 0,
                digest: Hash::ZERO,
            })
            .collect();
        let documents = documents
            .iter()
            .enumerate()
            .map(|(n, (name, id))| DocumentInfo {
                document_id: Id([n as u8; 16]),
                table_name: (*name).into(),
                table_id: Id([*id; 16]),
                statements: vec![0],
            })
            .collect();
        definitions.block(&TransactionInfo { statements, documents });
    }

    fn shown(definitions: &Definitions) -> Vec<(String, Option<u8>, TableStatus, usize)> {
        let table = |t: &Sketch| (t.name.to_string(), t.id.map(|id| id.0[0]), t.status, t.indexes.len());
        definitions.tables.iter().map(table).collect()
    }

    #[test]
    fn tables_get_their_ids_from_documents_and_their_state_from_statements() {
        let mut found = Definitions::default();
        block(&mut found, &["CREATE TABLE Vehicle", "CREATE TABLE Person"], &[]);
        block(&mut found, &["create index on Vehicle (VIN)", "CREATE INDEX  ON Vehicle (VIN)"], &[]);
        block(&mut found, &["INSERT INTO Vehicle ?"], &[("Vehicle", 1)]);
        block(&mut found, &["DROP TABLE Vehicle", "CREATE TABLE Vehicle"], &[]);
        block(&mut found, &["INSERT INTO Vehicle ?"], &[("Vehicle", 2)]);
        let (active, inactive) = (TableStatus::Active, TableStatus::Inactive);
        let expected = [
            ("Vehicle".to_owned(), Some(1), inactive, 1),
            ("Person".to_owned(), None, active, 0),
            ("Vehicle".to_owned(), Some(2), active, 0),
        ];
        assert_eq!(shown(&found), expected);
        block(&mut found, &["DROP TABLE \"Vehicle\"", &format!("UNDROP TABLE \"{}\"", Id([1; 16]))], &[]);
        assert_eq!(shown(&found)[0].2, active);
        assert_eq!(shown(&found)[2].2, inactive);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_a_table_shows_itself_by_its_documents() {
        let mut found = Definitions::default();
        block(&mut found, &["CREATE TABLE"], &[("Orders", 7)]);
        assert_eq!(shown(&found), [("Orders".to_owned(), Some(7), TableStatus::Active, 0)]);
        assert_eq!(found.unread, 1);
        block(&mut found, &["CREATE INDEX ON Orders (a)", "CREATE INDEX ON Orders (b)"], &[]);
        block(&mut found, &["DROP INDEX \"x\" ON Orders WITH (purge = true)"], &[]);
        assert_eq!((shown(&found)[0].3, found.drops_untold), (2, 1));
    }
}
