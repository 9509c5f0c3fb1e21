//! Verifies an export without the server, believing nothing in its manifest (CONTRACT section 7 of the design).
//!
//! It rebuilds the root from the leaves and compares it with the signed checkpoint, checks the rules V1 to V5, requires the
//! rows of a table to be exactly the positions that the leaves give to it, opens every commitment, and derives every
//! typed column again from the Ion value that was hashed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use ledgerstone_digest::Id;
use ledgerstone_digest::block::Metadata;
use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::full::check_genesis;
use ledgerstone_digest::ion::{Limits, Value, decode, ion_hash};
use ledgerstone_digest::leaf::{Leaf, RevisionLeaf, deleted_commitment, revision_commitment};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::qldb::revision_hash;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::tiles::{Kind, Tile, WIDTH, entries};
use ledgerstone_digest::validity::LeafVerifier;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::manifest::{CHECKPOINT_FILE, FORMAT, GENESIS_FILE, MANIFEST_FILE, Manifest, Scope, TableEntry};
use super::rows::{BatchReader, FIXED_COLUMNS, Row, schema};
use super::writer::size_and_hash;
use super::{SYSTEM_TABLES, get_bit, set_bit};

/// The largest small file (manifest, checkpoint, genesis record) that is read.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;

/// What to verify against. None of it comes from the export.
pub struct VerifyExportOptions {
    /// The ledger's key; its name is the origin.
    pub key: VerifierKey,
    /// A checkpoint kept elsewhere, verified already: the export must contain it or be contained in it.
    pub kept: Option<Checkpoint>,
}

/// What held.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportReport {
    pub checkpoint: Checkpoint,
    pub scope: Scope,
    pub leaves: u64,
    pub blocks: u64,
    /// Tables, system tables not counted.
    pub tables: u64,
    /// Rows, those of system tables included.
    pub rows: u64,
    pub typed_values: u64,
    pub deleted: u64,
    pub redacted: u64,
    /// The checkpoint kept elsewhere was compared.
    pub kept_compared: bool,
}

/// Why an export does not hold, or could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportProblem {
    /// It could not be read: nothing is said about it. Exit status 2.
    #[error("cannot check {file}: {what}")]
    Unreadable { file: String, what: String },
    /// It says something that is not so. Exit status 1.
    #[error("{file}: {what}")]
    False { file: String, what: String },
}

impl ExportProblem {
    /// True if the export is proved wrong, false if it could not be checked.
    pub fn is_false(&self) -> bool {
        matches!(self, ExportProblem::False { .. })
    }
}

type Result<T> = std::result::Result<T, ExportProblem>;

/// Verifies the export in a directory. `progress` is told how many rows have been checked.
pub fn verify_export(
    directory: &Path,
    options: &VerifyExportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport> {
    let manifest = read_manifest(directory)?;
    let note = read_text(directory, CHECKPOINT_FILE)?;
    let checkpoint = UnverifiedCheckpoint::parse(&note)
        .and_then(|c| c.verify(&options.key))
        .map_err(|e| wrong(CHECKPOINT_FILE, e.to_string()))?;
    let facts = LeafFacts::read(directory, &checkpoint, &manifest, options)?;
    check_files(directory, &manifest)?;
    check_tables(&manifest, &facts)?;

    let mut verifier = RowVerifier { directory, facts: &facts, scope: manifest.scope, report: facts.report(&manifest) };
    let mut missing = Missing::default();
    let (system, user): (Vec<&TableEntry>, Vec<&TableEntry>) = manifest.tables.iter().partition(|t| t.system);
    let mut names = HashMap::new();
    for table in system {
        verifier.table(table, &mut missing, &mut names, progress)?;
    }
    for table in &user {
        verifier.table(table, &mut missing, &mut names, progress)?;
    }
    missing.explained()?;
    for table in user {
        let id: Id = parse_id(&table.id)?;
        match names.get(&id) {
            Some(name) if *name == table.name => {}
            Some(name) => return Err(wrong(MANIFEST_FILE, format!("table {id} is called {name}, not {}", table.name))),
            None => return Err(wrong(MANIFEST_FILE, format!("no catalogue revision gives table {id} a name"))),
        }
    }
    verifier.report.redacted = missing.recorded;
    verifier.report.kept_compared = options.kept.is_some();
    Ok(verifier.report)
}

/// What the leaves say, once they are known to be the ledger's.
struct LeafFacts {
    checkpoint: Checkpoint,
    /// The revision leaves of exported tables by position.
    revisions: HashMap<Id, Vec<(u64, RevisionLeaf)>>,
    blocks: Vec<BlockFact>,
    /// One bit per position: superseded.
    superseded: Vec<u64>,
}

#[derive(Clone, Copy)]
struct BlockFact {
    transaction_id: Id,
    strand: Id,
    time_ms: i64,
}

impl LeafFacts {
    fn read(
        directory: &Path,
        checkpoint: &Checkpoint,
        manifest: &Manifest,
        options: &VerifyExportOptions,
    ) -> Result<LeafFacts> {
        let tables = manifest.tables.iter().map(|t| parse_id(&t.id)).collect::<Result<HashSet<Id>>>()?;
        let mut facts = LeafFacts {
            checkpoint: checkpoint.clone(),
            revisions: tables.into_iter().map(|t| (t, Vec::new())).collect(),
            blocks: Vec::new(),
            superseded: Vec::new(),
        };
        let mut leaves = LeafVerifier::new();
        for index in 0..checkpoint.size.div_ceil(WIDTH) {
            let Some(tile) = Tile::at_size(Kind::Entries, index, checkpoint.size) else { break };
            let name = tile.to_string();
            let bundle = read_bytes(directory, &name)?;
            for entry in entries(&bundle, tile.width).map_err(|e| wrong(&name, e.to_string()))? {
                let position = leaves.frontier().size();
                let leaf = leaves.push(entry).map_err(|e| wrong(&name, e.to_string()))?;
                facts.take(directory, position, leaf, options)?;
                let kept = options.kept.as_ref().filter(|kept| kept.size == position + 1);
                if let Some(kept) = kept
                    && kept.root != leaves.frontier().root()
                {
                    return Err(wrong(&name, kept_text(kept)));
                }
            }
        }
        let (size, root) = leaves.finish().map_err(|e| wrong("tile/entries", e.to_string()))?;
        if (size, root) != (checkpoint.size, checkpoint.root) {
            let what = format!("the {size} leaves have root {root}, the checkpoint says {}", checkpoint.root);
            return Err(wrong("tile/entries", what));
        }
        if let Some(kept) = options.kept.as_ref().filter(|kept| kept.size > size) {
            return Err(ExportProblem::Unreadable {
                file: CHECKPOINT_FILE.into(),
                what: format!("the kept checkpoint is of size {}, after this export's {size}", kept.size),
            });
        }
        Ok(facts)
    }

    fn take(&mut self, directory: &Path, position: u64, leaf: Leaf, options: &VerifyExportOptions) -> Result<()> {
        match leaf {
            Leaf::Genesis(genesis) => {
                let record = read_bytes(directory, GENESIS_FILE)?;
                let said = check_genesis(&genesis, &record).map_err(|e| wrong(GENESIS_FILE, e))?;
                if said.origin != options.key.name() {
                    return Err(wrong(GENESIS_FILE, format!("this is {}, not {}", said.origin, options.key.name())));
                }
            }
            Leaf::Revision(revision) => {
                if let Some(before) = revision.supersedes {
                    self.superseded.resize((position as usize / 64) + 1, 0);
                    set_bit(&mut self.superseded, before);
                }
                if let Some(of_table) = self.revisions.get_mut(&revision.table_id) {
                    of_table.push((position, revision));
                }
            }
            Leaf::Block(block) => self.blocks.push(BlockFact {
                transaction_id: block.transaction_id,
                strand: block.strand,
                time_ms: block.time_ms,
            }),
            Leaf::Other { .. } => {}
        }
        Ok(())
    }

    /// The rows that a table must have.
    fn expected(&self, table: Id, whole: bool) -> impl Iterator<Item = &(u64, RevisionLeaf)> {
        let of_table = self.revisions.get(&table).map_or(&[][..], Vec::as_slice);
        of_table.iter().filter(move |(position, leaf)| whole || !(leaf.deleted || get_bit(&self.superseded, *position)))
    }

    fn report(&self, manifest: &Manifest) -> ExportReport {
        ExportReport {
            checkpoint: self.checkpoint.clone(),
            scope: manifest.scope,
            leaves: self.checkpoint.size,
            blocks: self.blocks.len() as u64,
            tables: manifest.tables.iter().filter(|t| !t.system).count() as u64,
            rows: 0,
            typed_values: 0,
            deleted: 0,
            redacted: 0,
            kept_compared: false,
        }
    }
}

/// Revisions whose data is not there, and the records that say why.
#[derive(Default)]
struct Missing {
    rows: HashMap<(Id, Id, u64), (String, u64)>,
    records: HashSet<(Id, Id, u64)>,
    recorded: u64,
}

impl Missing {
    fn explained(&mut self) -> Result<()> {
        let unexplained = self.rows.iter().filter(|(key, _)| !self.records.contains(key)).min_by_key(|(_, at)| at.1);
        if let Some((_, (file, position))) = unexplained {
            let what = format!(
                "the data of position {position} is missing and no record says that it was redacted: it is withheld"
            );
            return Err(wrong(file, what));
        }
        self.recorded = self.rows.len() as u64;
        Ok(())
    }
}

struct RowVerifier<'a> {
    directory: &'a Path,
    facts: &'a LeafFacts,
    scope: Scope,
    report: ExportReport,
}

impl RowVerifier<'_> {
    fn table(
        &mut self,
        table: &TableEntry,
        missing: &mut Missing,
        names: &mut HashMap<Id, String>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let id = parse_id(&table.id)?;
        let whole = table.system || self.scope == Scope::History;
        let mut expected = self.facts.expected(id, whole);
        let mut rows = 0;
        for file in &table.files {
            let mut of_file = Vec::new();
            for batch in open_parquet(self.directory, &file.path, table)? {
                let batch = batch.map_err(|e| unreadable(&file.path, e))?;
                let reader = BatchReader::new(&batch);
                for at in 0..reader.rows() {
                    let row = reader.row(at).map_err(|e| wrong(&file.path, e))?;
                    let Some((position, leaf)) = expected.next() else {
                        return Err(wrong(&file.path, format!("position {} has no place in it", row.position)));
                    };
                    if row.position != *position {
                        let what = format!("position {position} should be there, position {} is", row.position);
                        return Err(wrong(&file.path, what));
                    }
                    let data = self.row(&file.path, &row, leaf)?;
                    self.typed(&file.path, table, &reader, at, &row, data.as_ref())?;
                    note_row(&file.path, &row, leaf, data.as_ref(), missing, names);
                    of_file.push(row.position);
                    progress(self.report.rows);
                }
            }
            let claimed = (file.rows, file.first_position, file.last_position);
            let found = (of_file.len() as u64, of_file.first().copied(), of_file.last().copied());
            if (found.0, found.1.unwrap_or(0), found.2.unwrap_or(0)) != claimed {
                return Err(wrong(MANIFEST_FILE, format!("what it says of the rows of {} is not so", file.path)));
            }
            rows += found.0;
        }
        if let Some((position, _)) = expected.next() {
            return Err(wrong(&table.name, format!("the row of position {position} is missing")));
        }
        if rows != table.rows {
            return Err(wrong(MANIFEST_FILE, format!("{} has {rows} rows, not {}", table.name, table.rows)));
        }
        Ok(())
    }

    /// Metadata and data open the leaf's commitment.
    fn row(&mut self, file: &str, row: &Row, leaf: &RevisionLeaf) -> Result<Option<Value>> {
        let at = |what: &str| wrong(file, format!("position {}: {what}", row.position));
        let block = usize::try_from(leaf.block).ok().and_then(|b| self.facts.blocks.get(b));
        let block = block.ok_or_else(|| at("its block is not among the leaves"))?;
        let same = row.document_id == leaf.document_id
            && row.version == leaf.version
            && row.block == leaf.block
            && row.supersedes == leaf.supersedes
            && row.deleted == leaf.deleted
            && row.transaction_id == block.transaction_id
            && row.strand == block.strand
            && row.time_ms == block.time_ms;
        if !same {
            return Err(at("its metadata is not what the leaves say"));
        }
        let data = match &row.ion {
            None => None,
            Some(bytes) => Some(decode(bytes, &Limits::DOCUMENT).map_err(|e| at(&format!("its Ion value: {e}")))?),
        };
        let metadata =
            Metadata { id: row.document_id, version: row.version, tx_time_ms: row.time_ms, tx_id: row.transaction_id };
        let metadata = metadata.ion_hash();
        let data_hash = match (&data, row.data_hash) {
            (Some(data), None) => Some(ion_hash(data)),
            (None, hash) if hash.is_some() != leaf.deleted => hash,
            _ => return Err(at("it must have a value, or a hash in its place, or be deleted")),
        };
        let commitment = match &data_hash {
            Some(hash) => revision_commitment(&row.blind, &metadata, hash),
            None => deleted_commitment(&row.blind, &metadata),
        };
        if commitment != leaf.commitment {
            return Err(at("its value does not open the leaf's commitment: it has been changed"));
        }
        if revision_hash(metadata, data_hash) != row.hash {
            return Err(at("_ql_hash is not its revision hash"));
        }
        self.report.rows += 1;
        self.report.deleted += u64::from(leaf.deleted);
        Ok(data)
    }

    fn typed(
        &mut self,
        file: &str,
        table: &TableEntry,
        reader: &BatchReader<'_>,
        at: usize,
        row: &Row,
        data: Option<&Value>,
    ) -> Result<()> {
        let document = data.and_then(Value::as_struct);
        for (number, column) in table.columns.iter().enumerate() {
            let found = reader.cell(number, column.kind, at).map_err(|e| wrong(file, e))?;
            let derived = match (document, column.path.as_slice()) {
                (Some(document), [field]) => column.kind.derive(document, field),
                (None, [_]) => super::columns::Cell::Null,
                _ => return Err(wrong(MANIFEST_FILE, format!("column {} has no path of one field", column.column))),
            };
            let same = found == derived || both_nan(&found, &derived);
            if !same {
                let what = format!(
                    "position {}: column {} says {found:?}, the Ion value says {derived:?}",
                    row.position, column.column
                );
                return Err(wrong(file, what));
            }
            self.report.typed_values += 1;
        }
        Ok(())
    }
}

fn both_nan(a: &super::columns::Cell, b: &super::columns::Cell) -> bool {
    use super::columns::Cell::Float;
    matches!((a, b), (Float(a), Float(b)) if a.is_nan() && b.is_nan())
}

/// Remembers what other rows need: missing data, records of redactions, names of tables.
fn note_row(
    file: &str,
    row: &Row,
    leaf: &RevisionLeaf,
    data: Option<&Value>,
    missing: &mut Missing,
    names: &mut HashMap<Id, String>,
) {
    if row.data_hash.is_some() {
        missing.rows.insert((leaf.table_id, leaf.document_id, leaf.version), (file.to_owned(), row.position));
    }
    if leaf.table_id == Id::REDACTIONS
        && let Some(record) = data.and_then(RedactionRecord::from_value)
    {
        missing.records.insert((record.table_id, record.document_id, record.version));
    }
    if leaf.table_id == Id::system(1)
        && let Some(name) = data.and_then(Value::as_struct).and_then(|d| d.get("name")).and_then(Value::as_text)
    {
        // A table's definition is the document whose id is the table's: its newest revision comes last.
        names.insert(leaf.document_id, name.to_owned());
    }
}

fn kept_text(kept: &Checkpoint) -> String {
    format!("at size {} the root is not the one of the checkpoint kept elsewhere: the history was rewritten", kept.size)
}

fn read_manifest(directory: &Path) -> Result<Manifest> {
    let text = read_text(directory, MANIFEST_FILE)?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| wrong(MANIFEST_FILE, e.to_string()))?;
    if manifest.format != FORMAT {
        let what = format!("it is of format {}; this version reads format {FORMAT}", manifest.format);
        return Err(ExportProblem::Unreadable { file: MANIFEST_FILE.into(), what });
    }
    Ok(manifest)
}

/// System tables must be there, since they hold names and redactions; no table may be listed twice.
fn check_tables(manifest: &Manifest, facts: &LeafFacts) -> Result<()> {
    let mut seen = BTreeSet::new();
    for table in &manifest.tables {
        let id = parse_id(&table.id)?;
        if !seen.insert(id) {
            return Err(wrong(MANIFEST_FILE, format!("table {id} is listed twice")));
        }
        if table.system != id.is_system() {
            return Err(wrong(MANIFEST_FILE, format!("table {id} is not what \"system\" says")));
        }
    }
    for (number, name) in SYSTEM_TABLES {
        if !seen.contains(&Id::system(number)) {
            return Err(wrong(MANIFEST_FILE, format!("the system table {name} is missing")));
        }
    }
    if manifest.origin != facts.checkpoint.origin || manifest.size != facts.checkpoint.size {
        return Err(wrong(MANIFEST_FILE, "its origin or size is not the checkpoint's".into()));
    }
    Ok(())
}

/// The files are the ones that the manifest describes.
fn check_files(directory: &Path, manifest: &Manifest) -> Result<()> {
    let data = manifest.tables.iter().flat_map(|t| &t.files).map(|f| (&f.path, f.bytes, &f.sha256));
    let other = manifest.files.iter().map(|f| (&f.path, f.bytes, &f.sha256));
    for (name, bytes, sha256) in data.chain(other) {
        let path = inside(directory, name)?;
        let found = size_and_hash(&path).map_err(|e| unreadable(name, e))?;
        if found != (bytes, sha256.clone()) {
            return Err(wrong(name, "the file is not the one in the manifest: its length or hash differs".into()));
        }
    }
    Ok(())
}

fn open_parquet(
    directory: &Path,
    name: &str,
    table: &TableEntry,
) -> Result<parquet::arrow::arrow_reader::ParquetRecordBatchReader> {
    let file = File::open(inside(directory, name)?).map_err(|e| unreadable(name, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(name, e.to_string()))?;
    let expected = schema(&table.columns);
    let same = builder.schema().fields().len() == expected.fields().len()
        && builder
            .schema()
            .fields()
            .iter()
            .zip(expected.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if !same {
        let what = format!("its columns are not {} and the manifest's typed columns", FIXED_COLUMNS.join(", "));
        return Err(wrong(name, what));
    }
    builder.with_batch_size(8 << 10).build().map_err(|e| wrong(name, e.to_string()))
}

/// A path of the manifest, which must stay inside the export.
fn inside(directory: &Path, name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.components().all(|c| matches!(c, std::path::Component::Normal(_))) && !name.is_empty() {
        Ok(directory.join(path))
    } else {
        Err(wrong(MANIFEST_FILE, format!("{name:?} leads out of the export")))
    }
}

fn read_bytes(directory: &Path, name: &str) -> Result<Vec<u8>> {
    let path = inside(directory, name)?;
    let length = std::fs::metadata(&path).map_err(|e| unreadable(name, e))?.len();
    if length > SMALL_FILE_BYTES_MAX {
        return Err(wrong(name, format!("it has {length} bytes, more than it can have")));
    }
    std::fs::read(&path).map_err(|e| unreadable(name, e))
}

fn read_text(directory: &Path, name: &str) -> Result<String> {
    String::from_utf8(read_bytes(directory, name)?).map_err(|_| wrong(name, "it is not UTF-8 text".into()))
}

fn parse_id(text: &str) -> Result<Id> {
    text.parse().map_err(|_| wrong(MANIFEST_FILE, format!("{text:?} is not a table id")))
}

fn wrong(file: &str, what: String) -> ExportProblem {
    ExportProblem::False { file: file.to_owned(), what }
}

fn unreadable(file: &str, error: impl std::fmt::Display) -> ExportProblem {
    ExportProblem::Unreadable { file: file.to_owned(), what: error.to_string() }
}
