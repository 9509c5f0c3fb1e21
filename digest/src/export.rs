//! Verification of an export: that its rows are exactly a table's revisions, nothing left out, believing nothing that
//! its manifest says (docs/format.md, "Export").
//!
//! The one place for these rules. The export carries all leaves of the tree, other tables' too: they rebuild the root,
//! and show that no row of this table is missing. Reading files is the caller's: leaves and rows come in as iterators,
//! each row once and in order, so that neither is ever in memory as a whole.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;

use crate::checkpoint::Checkpoint;
use crate::full::{GenesisFacts, OpenRedaction, check_genesis};
use crate::hash::Hash;
use crate::id::Id;
use crate::ion::Value;
use crate::leaf::{BlockLeaf, Leaf, RevisionLeaf};
use crate::qldb::DeletionForm;
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
pub struct ExportRow<T = ()> {
    /// The position of its revision leaf.
    pub position: u64,
    /// Blind, metadata, and data or data hash.
    pub opening: RevisionOpening,
    /// What the row says of its leaves in columns of their own.
    pub stated: Option<Stated>,
    /// What the caller wants back once the row is believed.
    pub extra: T,
}

/// What a row can say of its revision leaf and its block leaf beside what opens them. All of it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated {
    /// The document.
    pub document_id: Id,
    /// Its version.
    pub version: u64,
    /// The position it supersedes.
    pub supersedes: Option<u64>,
    /// It is a deletion.
    pub deleted: bool,
    /// The block's number.
    pub block: u64,
    /// The strand.
    pub strand: Id,
    /// The transaction.
    pub transaction_id: Id,
    /// The block's time.
    pub time_ms: i64,
    /// QLDB's revision hash.
    pub revision_hash: Hash,
}

/// A table of an export: its rows ascend by position.
pub struct ExportTable<'a, E, T = ()> {
    /// The table's id, from the caller's knowledge or from a catalogue revision that is verified with it.
    pub id: Id,
    /// What the rows should be.
    pub scope: Scope,
    /// The rows, as they are read.
    pub rows: Box<dyn Iterator<Item = Result<ExportRow<T>, E>> + 'a>,
}

/// What the leaves are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The export's checkpoint, whose signature the caller has checked.
    pub checkpoint: &'a Checkpoint,
    /// A checkpoint of the same ledger that somebody kept elsewhere, its signature checked as well.
    pub kept: Option<&'a Checkpoint>,
    /// The genesis record's bytes; the genesis leaf names their hash.
    pub record: &'a [u8],
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
    /// Blocks.
    pub blocks: u64,
    /// The rows of each table, in the order the tables were given.
    pub rows: Vec<u64>,
    /// Rows without data whose redaction is recorded among the rows of the table of redactions.
    pub redacted: u64,
    /// Records of redactions that no row without data belongs to: it may be another table's, or the data is still there.
    /// Whether they name revisions at all is for the caller to see, in the same leaves, with [`Sought`](crate::full::Sought).
    pub redactions_open: Vec<OpenRedaction>,
    /// Rows without data, of which the export has no record. Zero if it has all records: then such a row is a failure.
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
    /// Other leaves than those of the checkpoint that was kept.
    #[error("at size {size} the root is not the one of the checkpoint kept elsewhere: the history was rewritten")]
    KeptRoot {
        /// Its size.
        size: u64,
    },
    /// The kept checkpoint is of a size that no ledger signs.
    #[error("the checkpoint kept elsewhere is of size {size}, which lies inside a block of these leaves")]
    KeptInside {
        /// Its size.
        size: u64,
    },
    /// The kept checkpoint is newer than the export, so nothing can be said of the leaves between them.
    #[error("the checkpoint kept elsewhere is of size {size}, after this export's {found}")]
    KeptBeyond {
        /// Its size.
        size: u64,
        /// The leaves of the export.
        found: u64,
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
    /// A row that says in a column of its own something else than its leaves.
    #[error("table {table}, row for position {position}: its {what} is not what the leaves say")]
    Column {
        /// The table.
        table: Id,
        /// The row's position.
        position: u64,
        /// What differs.
        what: &'static str,
    },
    /// Data that is missing although all records of redactions are there.
    #[error(
        "table {table}: the data of position {position} is missing and no record says that it was redacted: it is withheld"
    )]
    Withheld {
        /// The table.
        table: Id,
        /// The row's position.
        position: u64,
    },
    /// Two tables of one id.
    #[error("table {0} is given twice")]
    TableTwice(Id),
}

/// Told of each row once its leaves are known and its commitment opens: the table's number, the leaf, the row.
pub type Opened<'a, E, T> = &'a mut dyn FnMut(usize, &RevisionLeaf, ExportRow<T>) -> Result<(), E>;

/// Verifies an export. `leaves` are all entries from position 0 on. Nothing that `opened` is told of is the ledger's
/// before the whole export is: only then the leaves are known to have the signed root.
pub fn verify_export<L: AsRef<[u8]>, E, T>(
    signed: &Signed<'_>,
    leaves: impl Iterator<Item = Result<L, E>>,
    tables: Vec<ExportTable<'_, E, T>>,
    opened: Opened<'_, E, T>,
) -> Result<ExportReport, ExportFailure<E>> {
    let checkpoint = signed.checkpoint;
    let mut run = Run::new(tables)?;
    let mut verifier = LeafVerifier::new();
    let mut genesis = None;
    for bytes in leaves {
        let position = verifier.frontier().size();
        if position == checkpoint.size {
            return Err(ExportFailure::Size { expected: checkpoint.size, found: position + 1 });
        }
        let leaf = verifier.push(bytes.map_err(ExportFailure::Read)?.as_ref())?;
        compare_kept(signed.kept, &verifier)?;
        match &leaf {
            Leaf::Genesis(leaf) => genesis = Some(check_genesis(leaf, signed.record).map_err(ExportFailure::Genesis)?),
            Leaf::Revision(leaf) => run.revision(position, leaf)?,
            Leaf::Block(block) => run.end_block(block, opened)?,
            Leaf::Other { .. } => {}
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
    let signers = [Some(checkpoint), signed.kept];
    if let Some(other) = signers.into_iter().flatten().find(|signer| signer.origin != genesis.origin) {
        let text = format!("the ledger is {}, the checkpoint is of {}", genesis.origin, other.origin);
        return Err(ExportFailure::Genesis(text));
    }
    if let Some(kept) = signed.kept.filter(|kept| kept.size > size) {
        return Err(ExportFailure::KeptBeyond { size: kept.size, found: size });
    }
    run.finish(&verifier, genesis, root)
}

/// The tree must have the kept root when it has the kept size, which is the end of a block.
fn compare_kept<E>(kept: Option<&Checkpoint>, verifier: &LeafVerifier) -> Result<(), ExportFailure<E>> {
    let Some(kept) = kept.filter(|kept| kept.size == verifier.frontier().size()) else { return Ok(()) };
    if !verifier.validator().at_boundary() {
        return Err(ExportFailure::KeptInside { size: kept.size });
    }
    if kept.root != verifier.frontier().root() {
        return Err(ExportFailure::KeptRoot { size: kept.size });
    }
    Ok(())
}

type Rows<'a, E, T> = Peekable<Box<dyn Iterator<Item = Result<ExportRow<T>, E>> + 'a>>;

struct Run<'a, E, T> {
    tables: Vec<TableRun<'a, E, T>>,
    by_id: HashMap<Id, usize>,
    /// Rows of the block that is not ended yet.
    open: Vec<(usize, RevisionLeaf, ExportRow<T>)>,
    /// Rows without data and without a record so far: (block, table, document, version) → position.
    missing: HashMap<(u64, Id, Id, u64), u64>,
    /// The same of imported revisions.
    imported_missing: HashSet<(u64, Id, Id, u64)>,
    redacted: u64,
    redactions_open: Vec<OpenRedaction>,
    blocks: u64,
}

struct TableRun<'a, E, T> {
    id: Id,
    scope: Scope,
    rows: Rows<'a, E, T>,
    count: u64,
    /// Positions of the rows, kept only where the scope needs them at the end.
    positions: Vec<u64>,
}

impl<'a, E, T> Run<'a, E, T> {
    fn new(tables: Vec<ExportTable<'a, E, T>>) -> Result<Self, ExportFailure<E>> {
        let mut by_id = HashMap::new();
        let mut runs = Vec::with_capacity(tables.len());
        for (number, table) in tables.into_iter().enumerate() {
            if by_id.insert(table.id, number).is_some() {
                return Err(ExportFailure::TableTwice(table.id));
            }
            let (id, scope, rows) = (table.id, table.scope, table.rows.peekable());
            runs.push(TableRun { id, scope, rows, count: 0, positions: Vec::new() });
        }
        Ok(Run {
            tables: runs,
            by_id,
            open: Vec::new(),
            missing: HashMap::new(),
            imported_missing: HashSet::new(),
            redacted: 0,
            redactions_open: Vec::new(),
            blocks: 0,
        })
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
    fn end_block(&mut self, block: &BlockLeaf, opened: Opened<'_, E, T>) -> Result<(), ExportFailure<E>> {
        self.blocks += 1;
        for (number, leaf, row) in self.open.drain(..) {
            let (table, position) = (leaf.table_id, row.position);
            let failed = |problem| ExportFailure::Row { table, position, problem };
            let (_, revision_hash) = check_revision(&leaf, block, &row.opening).map_err(failed)?;
            if let Some(what) =
                row.stated.and_then(|stated| stated.differs(&leaf, block, &row.opening.content, revision_hash))
            {
                return Err(ExportFailure::Column { table, position, what });
            }
            match &row.opening.content {
                // Nobody can redact these, and what they say is what names and redactions are judged by.
                Content::DataHash { .. } if table.is_system() => {
                    return Err(ExportFailure::Withheld { table, position });
                }
                // What was redacted in QLDB has no record among the rows; the blocks say it.
                Content::DataHash { .. } if leaf.imported => {
                    self.imported_missing.insert((leaf.block, table, leaf.document_id, leaf.version));
                }
                Content::DataHash { .. } => {
                    self.missing.insert((leaf.block, table, leaf.document_id, leaf.version), position);
                }
                Content::Data { data, .. } if table == Id::REDACTIONS => {
                    let record = RedactionRecord::from_value(data).ok_or_else(|| failed(Broken::NotARecord))?;
                    let key = (record.block, record.table_id, record.document_id, record.version);
                    match self.missing.remove(&key).is_some() || self.imported_missing.remove(&key) {
                        true => self.redacted += 1,
                        false => self.redactions_open.push(OpenRedaction::new(position, key)),
                    }
                }
                _ => {}
            }
            opened(number, &leaf, row).map_err(ExportFailure::Read)?;
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
        self.check_missing()?;
        Ok(ExportReport {
            genesis,
            size: verifier.frontier().size(),
            root,
            blocks: self.blocks,
            rows: self.tables.iter().map(|table| table.count).collect(),
            redacted: self.redacted,
            redactions_open: self.redactions_open,
            withheld: (self.missing.len() + self.imported_missing.len()) as u64,
        })
    }

    /// With all records of redactions among the rows, missing data without one is withheld.
    fn check_missing(&self) -> Result<(), ExportFailure<E>> {
        let all_records = self.tables.iter().any(|t| t.id == Id::REDACTIONS && t.scope == Scope::History);
        let first = self.missing.iter().min_by_key(|(_, position)| **position);
        match first.filter(|_| all_records) {
            Some(((_, table, ..), position)) => Err(ExportFailure::Withheld { table: *table, position: *position }),
            None => Ok(()),
        }
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

impl<E, T> TableRun<'_, E, T> {
    fn stray(&self, position: u64, problem: &'static str) -> ExportFailure<E> {
        ExportFailure::RowStray { table: self.id, position, problem }
    }
}

impl Stated {
    /// The first thing that is not as the leaves have it.
    fn differs(
        &self,
        leaf: &RevisionLeaf,
        block: &BlockLeaf,
        content: &Content,
        revision_hash: Hash,
    ) -> Option<&'static str> {
        // The time of an imported revision is its transaction's, which its metadata says; and QLDB's hash of a deletion has more
        // than one form.
        let time_ms = if leaf.imported { tx_time_ms(content) } else { Some(block.time_ms) };
        let is_hash = match leaf.imported && leaf.deleted {
            true => DeletionForm::of(revision_hash, self.revision_hash).is_some(),
            false => self.revision_hash == revision_hash,
        };
        let compared = [
            ("document id", self.document_id == leaf.document_id),
            ("version", self.version == leaf.version),
            ("superseded position", self.supersedes == leaf.supersedes),
            ("mark of a deletion", self.deleted == leaf.deleted),
            ("block number", self.block == block.block),
            ("strand", self.strand == block.strand),
            ("transaction id", self.transaction_id == block.transaction_id),
            ("time", time_ms == Some(self.time_ms)),
            ("revision hash", is_hash),
        ];
        compared.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
    }
}

/// `txTime` in the metadata that a leaf commits to.
fn tx_time_ms(content: &Content) -> Option<i64> {
    let metadata = match content {
        Content::Data { metadata, .. } | Content::DataHash { metadata, .. } | Content::Deleted { metadata } => metadata,
        Content::Opaque { .. } => return None,
    };
    match metadata.as_struct()?.get("txTime")? {
        Value::Timestamp(time) => Some(time.epoch_ms()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Metadata;
    use crate::ion::ion_hash;

    #[test]
    fn the_time_and_the_hash_that_a_row_states_of_an_imported_deletion_are_those_of_its_metadata() {
        let id = Id([7; 16]);
        let metadata = Metadata { id, version: 1, tx_time_ms: 500, tx_id: id }.to_value();
        let leaf = RevisionLeaf {
            deleted: true,
            opaque: false,
            imported: true,
            table_id: id,
            document_id: id,
            version: 1,
            block: 3,
            supersedes: Some(2),
            commitment: Hash::ZERO,
        };
        let block = BlockLeaf {
            imported: true,
            strand: id,
            block: 3,
            transaction_id: id,
            time_ms: 900,
            first: 4,
            revisions: 1,
            commitment: Hash::ZERO,
        };
        let hash = ion_hash(&metadata);
        let content = Content::Deleted { metadata };
        let good = Stated {
            document_id: id,
            version: 1,
            supersedes: Some(2),
            deleted: true,
            block: 3,
            strand: id,
            transaction_id: id,
            time_ms: 500,
            revision_hash: hash,
        };
        let differs = |stated: Stated| stated.differs(&leaf, &block, &content, hash);
        for form in DeletionForm::ALL {
            assert_eq!(differs(Stated { revision_hash: form.hash(hash), ..good }), None, "{form:?}");
        }
        assert_eq!(differs(Stated { time_ms: 900, ..good }), Some("time"));
        assert_eq!(differs(Stated { revision_hash: Hash::ZERO, ..good }), Some("revision hash"));
    }
}
