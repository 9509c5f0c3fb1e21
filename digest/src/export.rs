//! Verification of an export: that its rows are exactly a table's revisions, nothing left out, believing nothing that
//! its manifest says (docs/format.md, "Full verification").
//!
//! The export carries all leaves of the tree, other tables' too: they rebuild the root, and show that no row of this
//! table is missing. Reading files is the caller's: leaves and rows come in as iterators.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;

use crate::checkpoint::Checkpoint;
use crate::full::{GenesisFacts, check_genesis};
use crate::hash::Hash;
use crate::id::Id;
use crate::leaf::{Leaf, RevisionLeaf};
use crate::receipt::{Content, RevisionOpening};
use crate::redaction::RedactionRecord;
use crate::validity::{LeafVerifier, Violation};
use crate::verifier::{Broken, check_revision};

/// What a table's rows should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All revisions.
    History,
    /// The newest revision of each document that is not deleted.
    Current,
    /// Any of the revisions: that they are in the ledger is shown, not that none was left out.
    Some,
}

/// A row of an export.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportRow {
    /// The position of its revision leaf.
    pub position: u64,
    /// Blind, metadata, and data or data hash.
    pub opening: RevisionOpening,
}

/// A table of an export: its rows ascend by position.
pub struct ExportTable<'a, E> {
    /// The table's id, from the caller's knowledge or from a catalogue revision that is verified with it.
    pub id: Id,
    /// What the rows should be.
    pub scope: Scope,
    /// The rows, as they are read.
    pub rows: Box<dyn Iterator<Item = Result<ExportRow, E>> + 'a>,
}

/// What was found, when nothing was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportReport {
    /// What the genesis says.
    pub genesis: GenesisFacts,
    /// Leaves.
    pub size: u64,
    /// Their root, which is the checkpoint's.
    pub root: Hash,
    /// The rows of each table, in the order the tables were given.
    pub rows: Vec<u64>,
    /// Rows without data whose redaction is recorded among the rows of the table of redactions.
    pub redacted: u64,
    /// Rows without data, of which the export has no record.
    pub withheld: u64,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportFailure<E> {
    /// The export cannot be read.
    #[error("cannot read the export: {0}")]
    Read(E),
    /// A rule of the tree.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The genesis record.
    #[error("genesis: {0}")]
    Genesis(String),
    /// Another number of leaves than the checkpoint says.
    #[error("the export has {found} leaves, the checkpoint says {expected}")]
    Size {
        /// The checkpoint's size.
        expected: u64,
        /// The leaves that are there.
        found: u64,
    },
    /// Other leaves than the checkpoint's.
    #[error("the leaves have root {found}, the checkpoint says {expected}")]
    Root {
        /// The checkpoint's root.
        expected: Hash,
        /// The root of the leaves.
        found: Hash,
    },
    /// A revision of the table that has no row.
    #[error("table {table}: the revision at position {position} has no row")]
    RowMissing {
        /// The table.
        table: Id,
        /// The revision's position.
        position: u64,
    },
    /// A row that should not be there: doubled, moved, or of another table.
    #[error("table {table}: the row for position {position} {problem}")]
    RowStray {
        /// The table.
        table: Id,
        /// The position that the row names.
        position: u64,
        /// Why it should not be there.
        problem: &'static str,
    },
    /// A row whose content is not what its leaf commits to.
    #[error("table {table}, row for position {position}: {problem}")]
    Row {
        /// The table.
        table: Id,
        /// The row's position.
        position: u64,
        /// What does not fit.
        problem: Broken,
    },
    /// Two tables of one id.
    #[error("table {0} is given twice")]
    TableTwice(Id),
}

/// Verifies an export against a checkpoint whose signature the caller has checked. `leaves` are all entries from
/// position 0 on; `record` is the genesis record's bytes.
pub fn verify_export<L: AsRef<[u8]>, E>(
    checkpoint: &Checkpoint,
    record: &[u8],
    leaves: impl Iterator<Item = Result<L, E>>,
    tables: Vec<ExportTable<'_, E>>,
) -> Result<ExportReport, ExportFailure<E>> {
    let mut run = Run::new(tables)?;
    let mut verifier = LeafVerifier::new();
    let mut genesis = None;
    for bytes in leaves {
        let position = verifier.frontier().size();
        if position == checkpoint.size {
            return Err(ExportFailure::Size { expected: checkpoint.size, found: position + 1 });
        }
        let leaf = verifier.push(bytes.map_err(ExportFailure::Read)?.as_ref())?;
        match &leaf {
            Leaf::Genesis(leaf) => genesis = Some(check_genesis(leaf, record).map_err(ExportFailure::Genesis)?),
            Leaf::Revision(leaf) => run.revision(position, leaf)?,
            Leaf::Block(_) | Leaf::Other { .. } => run.end_block(&leaf)?,
        }
    }
    let (size, root) = verifier.finish()?;
    if size != checkpoint.size {
        return Err(ExportFailure::Size { expected: checkpoint.size, found: size });
    }
    if root != checkpoint.root {
        return Err(ExportFailure::Root { expected: checkpoint.root, found: root });
    }
    let genesis = genesis.ok_or_else(|| ExportFailure::Genesis("there is none".into()))?;
    if genesis.origin != checkpoint.origin {
        let text = format!("the ledger is {}, the checkpoint is of {}", genesis.origin, checkpoint.origin);
        return Err(ExportFailure::Genesis(text));
    }
    run.finish(&verifier, genesis, root)
}

type Rows<'a, E> = Peekable<Box<dyn Iterator<Item = Result<ExportRow, E>> + 'a>>;

struct Run<'a, E> {
    tables: Vec<TableRun<'a, E>>,
    by_id: HashMap<Id, usize>,
    /// Rows of the block that is not ended yet.
    open: Vec<(usize, RevisionLeaf, ExportRow)>,
    missing: HashSet<(u64, Id, Id, u64)>,
    redacted: u64,
}

struct TableRun<'a, E> {
    id: Id,
    scope: Scope,
    rows: Rows<'a, E>,
    count: u64,
    /// Positions of the rows, kept only where the scope needs them at the end.
    positions: Vec<u64>,
}

impl<'a, E> Run<'a, E> {
    fn new(tables: Vec<ExportTable<'a, E>>) -> Result<Self, ExportFailure<E>> {
        let mut by_id = HashMap::new();
        let mut runs = Vec::with_capacity(tables.len());
        for (number, table) in tables.into_iter().enumerate() {
            if by_id.insert(table.id, number).is_some() {
                return Err(ExportFailure::TableTwice(table.id));
            }
            let (id, scope, rows) = (table.id, table.scope, table.rows.peekable());
            runs.push(TableRun { id, scope, rows, count: 0, positions: Vec::new() });
        }
        Ok(Run { tables: runs, by_id, open: Vec::new(), missing: HashSet::new(), redacted: 0 })
    }

    fn revision(&mut self, position: u64, leaf: &RevisionLeaf) -> Result<(), ExportFailure<E>> {
        let Some(&number) = self.by_id.get(&leaf.table_id) else { return Ok(()) };
        let table = &mut self.tables[number];
        let named = match table.rows.peek() {
            Some(Ok(row)) => Some(row.position),
            Some(Err(_)) => Some(position),
            None => None,
        };
        if let Some(stray) = named.filter(|named| *named < position) {
            return Err(table.stray(stray, "stands after a later one, twice, or is not of a revision of this table"));
        }
        let matches = named == Some(position);
        if !matches {
            return match table.scope {
                Scope::History => Err(ExportFailure::RowMissing { table: table.id, position }),
                Scope::Current | Scope::Some => Ok(()),
            };
        }
        if let Some(row) = table.rows.next() {
            let row = row.map_err(ExportFailure::Read)?;
            table.count += 1;
            if table.scope == Scope::Current {
                table.positions.push(position);
            }
            self.open.push((number, *leaf, row));
        }
        Ok(())
    }

    /// The rows of a block can be opened once its block leaf is known.
    fn end_block(&mut self, leaf: &Leaf) -> Result<(), ExportFailure<E>> {
        let Leaf::Block(block) = leaf else { return Ok(()) };
        for (number, leaf, row) in self.open.drain(..) {
            let table = self.tables[number].id;
            let failed = |problem| ExportFailure::Row { table, position: row.position, problem };
            check_revision(&leaf, block, &row.opening).map_err(failed)?;
            match &row.opening.content {
                Content::DataHash { .. } => {
                    self.missing.insert((leaf.block, leaf.table_id, leaf.document_id, leaf.version));
                }
                Content::Data { data, .. } if table == Id::REDACTIONS => {
                    let record = RedactionRecord::from_value(data).ok_or_else(|| failed(Broken::NotARecord))?;
                    let key = (record.block, record.table_id, record.document_id, record.version);
                    self.redacted += u64::from(self.missing.remove(&key));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(
        mut self,
        verifier: &LeafVerifier,
        genesis: GenesisFacts,
        root: Hash,
    ) -> Result<ExportReport, ExportFailure<E>> {
        for table in &mut self.tables {
            match table.rows.next() {
                None => {}
                Some(Err(error)) => return Err(ExportFailure::Read(error)),
                Some(Ok(row)) => {
                    return Err(table.stray(row.position, "is not of a revision of this table, or stands twice"));
                }
            }
        }
        self.check_current(verifier)?;
        Ok(ExportReport {
            genesis,
            size: verifier.frontier().size(),
            root,
            rows: self.tables.iter().map(|table| table.count).collect(),
            redacted: self.redacted,
            withheld: self.missing.len() as u64,
        })
    }

    /// The rows of a current view are exactly the newest revisions that are not deletions.
    fn check_current(&mut self, verifier: &LeafVerifier) -> Result<(), ExportFailure<E>> {
        if self.tables.iter().all(|table| table.scope != Scope::Current) {
            return Ok(());
        }
        let mut expected: Vec<Vec<u64>> = vec![Vec::new(); self.tables.len()];
        for (table, _, newest) in verifier.validator().newest().filter(|(_, _, newest)| !newest.deleted) {
            if let Some(&number) = self.by_id.get(&table) {
                expected[number].push(newest.position);
            }
        }
        for (table, mut expected) in self.tables.iter().zip(expected).filter(|(t, _)| t.scope == Scope::Current) {
            expected.sort_unstable();
            if let Some(stray) = table.positions.iter().find(|position| expected.binary_search(position).is_err()) {
                return Err(table.stray(*stray, "is of a deletion, or of a revision that was superseded"));
            }
            // Both ascend and the rows are among the expected, so the first difference is a missing row.
            let missing = expected.iter().zip(table.positions.iter().map(Some).chain(std::iter::repeat(None)));
            if let Some((position, _)) = missing.into_iter().find(|(position, row)| *row != Some(*position)) {
                return Err(ExportFailure::RowMissing { table: table.id, position: *position });
            }
        }
        Ok(())
    }
}

impl<E> TableRun<'_, E> {
    fn stray(&self, position: u64, problem: &'static str) -> ExportFailure<E> {
        ExportFailure::RowStray { table: self.id, position, problem }
    }
}
