//! Verifies an export without the server, believing nothing in its manifest (docs/format.md, "Export").
//!
//! The rules are digest's ([`ledgerstone_digest::export`]): it takes all leaves and, beside them, the rows of each table.
//! Here the files are read, and what other readers would believe of them is compared: names, types, statistics, typed
//! columns, tiles, and that no file is there which the export does not have.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ledgerstone_digest::Id;
use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::export::{self as rules, ExportFailure, ExportRow, ExportTable, Signed};
use ledgerstone_digest::full::Sought;
use ledgerstone_digest::ion::Value;
use ledgerstone_digest::leaf::Leaf;
use ledgerstone_digest::receipt::{Content, Receipt};
use ledgerstone_digest::rotation::{KeyChain, stated};
use ledgerstone_digest::tiles::{Kind, Tile, WIDTH, entries};

use super::SYSTEM_TABLES;
use super::columns::column_names;
use super::manifest::{
    CHECKPOINT_FILE, FORMAT, GENESIS_FILE, MANIFEST_FILE, Manifest, Scope, TableEntry, size_of_rotation,
};
use super::reader::{TableReader, Typed};
use super::rows::FIXED_COLUMNS;
use super::tiles::TileCutter;
use super::writer::{size_and_hash, table_file};

/// The largest small file (manifest, checkpoint, genesis record) that is read.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
/// Tables whose files are open at once. More are verified in several passes over the leaves.
const TABLES_OPEN_MAX: usize = 128;
/// Rows held in memory of all open tables together, at least [`BATCH_ROWS_MIN`] of each.
const BATCH_ROWS_MAX: usize = 8 << 10;
const BATCH_ROWS_MIN: usize = 256;

/// What to verify against. None of it comes from the export.
pub struct VerifyExportOptions {
    /// The ledger's key, and those it was rotated to as far as the reader knows; its name is the origin. The export's own
    /// proofs lead on from there.
    pub keys: KeyChain,
    /// A checkpoint kept elsewhere, verified already: the export must contain it.
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
    /// Imported rows without their data. Where they came from it may have been redacted, or it was taken out of the export:
    /// the blocks say which, and an export has no blocks.
    pub withheld: u64,
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

pub(super) type Result<T> = std::result::Result<T, ExportProblem>;

/// Verifies the export in a directory. `progress` is told how many rows have been checked.
pub fn verify_export(
    directory: &Path,
    options: &VerifyExportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport> {
    let manifest = read_manifest(directory)?;
    let note = read_text(directory, CHECKPOINT_FILE)?;
    let keys = follow_rotations(directory, &manifest, &options.keys)?;
    let checkpoint = keys.verify(&note).map_err(|e| wrong(CHECKPOINT_FILE, e.to_string()))?;
    check_manifest(&manifest, &checkpoint)?;
    let mut files = check_files(directory, &manifest)?;
    let record = read_bytes(directory, GENESIS_FILE)?;
    let signed = Signed { checkpoint: &checkpoint, kept: options.kept.as_ref(), record: &record };

    let (system, user): (Vec<&TableEntry>, Vec<&TableEntry>) = manifest.tables.iter().partition(|t| t.system);
    let mut report = empty_report(&manifest, &checkpoint);
    let mut names = HashMap::new();
    // The system tables are in every pass, since they hold names and records of redactions; they count in the first.
    for number in 0..user.len().div_ceil(TABLES_OPEN_MAX).max(1) {
        let own = user.iter().skip(number * TABLES_OPEN_MAX).take(TABLES_OPEN_MAX);
        let tables: Vec<&TableEntry> = system.iter().chain(own).copied().collect();
        let first = number == 0;
        let mut pass = Pass { directory, scope: manifest.scope, tables, first, report: &mut report, names: &mut names };
        pass.run(&signed, &mut files, progress)?;
    }
    check_strays(directory, directory, &files)?;
    for table in user {
        let id = parse_id(&table.id)?;
        match names.get(&id) {
            Some(name) if *name == table.name => {}
            Some(name) => return Err(wrong(MANIFEST_FILE, format!("table {id} is called {name}, not {}", table.name))),
            None => return Err(wrong(MANIFEST_FILE, format!("no catalogue revision gives table {id} a name"))),
        }
    }
    report.kept_compared = options.kept.is_some();
    Ok(report)
}

/// Follows the export's proofs from the reader's key on; those of rotations before it say nothing to this reader.
fn follow_rotations(directory: &Path, manifest: &Manifest, known: &KeyChain) -> Result<KeyChain> {
    let mut keys = known.clone();
    for name in manifest.files.iter().map(|file| &file.path).filter(|name| size_of_rotation(name).is_some()) {
        let receipt = Receipt::decode(&read_bytes(directory, name)?).map_err(|e| wrong(name, e.to_string()))?;
        let record = stated(&receipt).ok_or_else(|| wrong(name, "it is not a receipt of a rotation".to_owned()))?;
        if size_of_rotation(name) != Some(record.from) {
            return Err(wrong(name, format!("it is of the rotation at size {}", record.from)));
        }
        if keys.is_next(&receipt) {
            keys.follow(&receipt).map_err(|e| wrong(name, e.to_string()))?;
        }
    }
    Ok(keys)
}

fn empty_report(manifest: &Manifest, checkpoint: &Checkpoint) -> ExportReport {
    ExportReport {
        checkpoint: checkpoint.clone(),
        scope: manifest.scope,
        leaves: checkpoint.size,
        blocks: 0,
        tables: manifest.tables.iter().filter(|t| !t.system).count() as u64,
        rows: 0,
        typed_values: 0,
        deleted: 0,
        redacted: 0,
        withheld: 0,
        kept_compared: false,
    }
}

/// All leaves once, with the rows of some tables beside them.
struct Pass<'a> {
    directory: &'a Path,
    scope: Scope,
    tables: Vec<&'a TableEntry>,
    first: bool,
    report: &'a mut ExportReport,
    names: &'a mut HashMap<Id, String>,
}

impl Pass<'_> {
    fn run(&mut self, signed: &Signed<'_>, files: &mut HashSet<String>, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let batch_rows = (BATCH_ROWS_MAX / self.tables.len().max(1)).max(BATCH_ROWS_MIN);
        let at: Vec<Rc<Cell<usize>>> = self.tables.iter().map(|_| Rc::default()).collect();
        let mut tables = Vec::with_capacity(self.tables.len());
        for (table, at) in self.tables.iter().zip(&at) {
            let whole = table.system || self.scope == Scope::History;
            tables.push(ExportTable {
                id: parse_id(&table.id)?,
                scope: if whole { rules::Scope::History } else { rules::Scope::Current },
                rows: Box::new(TableReader::new(self.directory, table, batch_rows, at.clone())),
            });
        }
        let leaves = Leaves::new(self.directory, signed.checkpoint.size, self.first.then_some(files));
        let read = at.clone();
        let opened = &mut |number, leaf: &_, row| self.opened(number, leaf, row, &read, progress);
        let outcome = rules::verify_export(signed, leaves, tables, opened);
        let found = outcome.map_err(|failure| self.problem(failure, &at))?;
        self.report.blocks = found.blocks;
        // Records of redactions are of all tables, and each pass sees the missing data of its own.
        self.report.redacted += found.redacted;
        self.report.withheld += found.withheld;
        if self.first {
            let mut sought = Sought::default();
            found.redactions_open.into_iter().for_each(|record| sought.record(record));
            self.look_for_redacted(sought, signed.checkpoint.size, &at)?;
        }
        Ok(())
    }

    /// Every record of a redaction names a revision, whatever table it is of.
    fn look_for_redacted(&self, mut sought: Sought, size: u64, at: &[Rc<Cell<usize>>]) -> Result<()> {
        let mut leaves = Leaves::new(self.directory, size, None);
        while !sought.is_empty() {
            let Some(bytes) = leaves.next().transpose()? else { break };
            if let Ok(Leaf::Revision(leaf)) = Leaf::decode(&bytes) {
                sought.see(&leaf);
            }
        }
        match sought.missing().first() {
            Some(record) => {
                let redactions = self.tables.iter().position(|table| table.id == Id::REDACTIONS.to_string());
                Err(wrong(&self.file(redactions.unwrap_or(0), record.position, at), record.to_string()))
            }
            None => Ok(()),
        }
    }

    /// A row that opened its leaf.
    fn opened(
        &mut self,
        number: usize,
        leaf: &ledgerstone_digest::leaf::RevisionLeaf,
        row: ExportRow<Typed>,
        at: &[Rc<Cell<usize>>],
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let typed = row.extra.map_err(|what| wrong(&self.file(number, row.position, at), what))?;
        if leaf.table_id == Id::TABLES
            && let Content::Data { data, .. } = &row.opening.content
            && let Some(name) = data.as_struct().and_then(|d| d.get("name")).and_then(Value::as_text)
        {
            // A table's definition is the document whose id is the table's: its newest revision comes last.
            self.names.insert(leaf.document_id, name.to_owned());
        }
        if self.first || !leaf.table_id.is_system() {
            self.report.rows += 1;
            self.report.typed_values += typed;
            self.report.deleted += u64::from(leaf.deleted);
            progress(self.report.rows);
        }
        Ok(())
    }

    /// The file that a table's row is in, as the manifest says: for messages only.
    fn file(&self, number: usize, position: u64, at: &[Rc<Cell<usize>>]) -> String {
        let files = self.tables.get(number).map_or(&[][..], |table| &table.files);
        let by_position = files.iter().find(|f| (f.first_position..=f.last_position).contains(&position));
        let current = at.get(number).and_then(|at| files.get(at.get()));
        by_position.or(current).map_or_else(|| MANIFEST_FILE.to_owned(), |file| file.path.clone())
    }

    fn problem(&self, failure: ExportFailure<ExportProblem>, at: &[Rc<Cell<usize>>]) -> ExportProblem {
        let of_row = |table: Id, position: u64| {
            let number = self.tables.iter().position(|t| t.id == table.to_string());
            number.map_or_else(|| MANIFEST_FILE.to_owned(), |number| self.file(number, position, at))
        };
        let bundle = |position: u64| {
            let tile = Tile::at_size(Kind::Entries, position / WIDTH, self.report.leaves);
            tile.map_or_else(|| "tile/entries".to_owned(), |tile| tile.to_string())
        };
        match &failure {
            ExportFailure::Read(_) => {}
            ExportFailure::Violation(violation) => return wrong(&bundle(violation.position), violation.to_string()),
            ExportFailure::Genesis(what) => return wrong(GENESIS_FILE, what.clone()),
            ExportFailure::Size { .. } | ExportFailure::Root { .. } => {
                return wrong("tile/entries", failure.to_string());
            }
            ExportFailure::KeptRoot { size } | ExportFailure::KeptInside { size } => {
                return wrong(&bundle(size.saturating_sub(1)), failure.to_string());
            }
            ExportFailure::KeptBeyond { .. } => return unreadable(CHECKPOINT_FILE, &failure),
            ExportFailure::RowMissing { table, position }
            | ExportFailure::RowStray { table, position, .. }
            | ExportFailure::Row { table, position, .. }
            | ExportFailure::Column { table, position, .. }
            | ExportFailure::Withheld { table, position } => {
                return wrong(&of_row(*table, *position), failure.to_string());
            }
            ExportFailure::TableTwice(_) => return wrong(MANIFEST_FILE, failure.to_string()),
        }
        match failure {
            ExportFailure::Read(problem) => problem,
            other => wrong(MANIFEST_FILE, other.to_string()),
        }
    }
}

/// All leaves in order, from the entry bundles. In the first pass the tiles of hashes are compared with them, and the
/// names of all these files are noted.
struct Leaves<'a> {
    directory: &'a Path,
    size: u64,
    next_bundle: u64,
    entries: VecDeque<Vec<u8>>,
    cutter: Option<(TileCutter, &'a mut HashSet<String>)>,
    failed: bool,
}

impl<'a> Leaves<'a> {
    fn new(directory: &'a Path, size: u64, files: Option<&'a mut HashSet<String>>) -> Self {
        let cutter = files.map(|files| (TileCutter::default(), files));
        Leaves { directory, size, next_bundle: 0, entries: VecDeque::new(), cutter, failed: false }
    }

    fn advance(&mut self) -> Result<Option<Vec<u8>>> {
        let directory = self.directory;
        if self.entries.is_empty() {
            let Some(tile) = Tile::at_size(Kind::Entries, self.next_bundle, self.size) else {
                return match self.cutter.take() {
                    Some((cutter, files)) => {
                        cutter.finish(&mut |tile, bytes: &[u8]| compare_tile(directory, tile, bytes, files))?;
                        Ok(None)
                    }
                    None => Ok(None),
                };
            };
            self.next_bundle += 1;
            let name = tile.to_string();
            let bundle = read_bytes(directory, &name)?;
            let read = entries(&bundle, tile.width).map_err(|e| wrong(&name, e.to_string()))?;
            self.entries = read.into_iter().map(|entry| entry.to_vec()).collect();
        }
        let entry = self.entries.pop_front();
        if let (Some((cutter, files)), Some(entry)) = (&mut self.cutter, &entry) {
            cutter.append(entry, &mut |tile, bytes: &[u8]| compare_tile(directory, tile, bytes, files))?;
        }
        Ok(entry)
    }
}

impl Iterator for Leaves<'_> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn compare_tile(directory: &Path, tile: Tile, bytes: &[u8], files: &mut HashSet<String>) -> Result<()> {
    let name = tile.to_string();
    // Entry bundles are what the leaves were read from.
    if tile.kind != Kind::Entries && read_bytes(directory, &name)? != bytes {
        return Err(wrong(&name, "its hashes are not those of the leaves".to_owned()));
    }
    files.insert(name);
    Ok(())
}

#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

fn read_manifest(directory: &Path) -> Result<Manifest> {
    let text = read_text(directory, MANIFEST_FILE)?;
    let unread = |e: serde_json::Error| wrong(MANIFEST_FILE, e.to_string());
    // Before the rest, which another format may have otherwise.
    let Version { format } = serde_json::from_str(&text).map_err(unread)?;
    if format != FORMAT {
        let what = format!("it is of format {format}; this version reads format {FORMAT}");
        return Err(ExportProblem::Unreadable { file: MANIFEST_FILE.into(), what });
    }
    serde_json::from_str(&text).map_err(unread)
}

/// What can be seen in the manifest alone. System tables must be there, since they hold names and redactions; no table
/// may be listed twice; the names of files and of typed columns follow from the tables and their fields.
fn check_manifest(manifest: &Manifest, checkpoint: &Checkpoint) -> Result<()> {
    let mut seen = BTreeSet::new();
    for table in &manifest.tables {
        let id = parse_id(&table.id)?;
        if !seen.insert(id) {
            return Err(wrong(MANIFEST_FILE, format!("table {id} is listed twice")));
        }
        if table.system != id.is_system() {
            return Err(wrong(MANIFEST_FILE, format!("table {id} is not what \"system\" says")));
        }
        // A user's table has its name from the catalogue, a system table from the format.
        let named = SYSTEM_TABLES.iter().find(|(number, _)| Id::system(*number) == id);
        if let Some((_, name)) = named.filter(|(_, name)| *name != table.name) {
            return Err(wrong(MANIFEST_FILE, format!("table {id} is called {name}, not {}", table.name)));
        }
        check_table(table)?;
    }
    for (number, name) in SYSTEM_TABLES {
        if !seen.contains(&Id::system(number)) {
            return Err(wrong(MANIFEST_FILE, format!("the system table {name} is missing")));
        }
    }
    if manifest.origin != checkpoint.origin || manifest.size != checkpoint.size {
        return Err(wrong(MANIFEST_FILE, "its origin or size is not the checkpoint's".into()));
    }
    let others: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    let own: BTreeSet<&str> = others.iter().copied().filter(|name| size_of_rotation(name).is_none()).collect();
    if own != BTreeSet::from([GENESIS_FILE, CHECKPOINT_FILE]) || manifest.files.len() != others.len() {
        let what = format!("\"files\" is not {GENESIS_FILE}, {CHECKPOINT_FILE} and the key's rotations");
        return Err(wrong(MANIFEST_FILE, what));
    }
    Ok(())
}

fn check_table(table: &TableEntry) -> Result<()> {
    let mut fields = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        match column.path.as_slice() {
            [field] if !fields.contains(&field.as_str()) => fields.push(field.as_str()),
            _ => {
                let what = format!("column {} is not of one field that no other is of", column.column);
                return Err(wrong(MANIFEST_FILE, what));
            }
        }
    }
    let names = column_names(fields.into_iter(), &FIXED_COLUMNS);
    if let Some((column, name)) = table.columns.iter().zip(names).find(|(column, name)| column.column != *name) {
        let what = format!("column {} is of the field {:?}, whose column is called {name}", column.column, column.path);
        return Err(wrong(MANIFEST_FILE, what));
    }
    for (number, file) in table.files.iter().enumerate() {
        let name = table_file(&table.id, number);
        if file.path != name {
            return Err(wrong(
                MANIFEST_FILE,
                format!("a file of table {} is called {}, not {name}", table.id, file.path),
            ));
        }
    }
    let rows = table.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.rows));
    if rows != table.rows {
        return Err(wrong(MANIFEST_FILE, format!("{} has {rows} rows in its files, not {}", table.name, table.rows)));
    }
    Ok(())
}

/// The files are the ones that the manifest describes. Gives their names.
fn check_files(directory: &Path, manifest: &Manifest) -> Result<HashSet<String>> {
    let data = manifest.tables.iter().flat_map(|t| &t.files).map(|f| (&f.path, f.bytes, &f.sha256));
    let other = manifest.files.iter().map(|f| (&f.path, f.bytes, &f.sha256));
    let mut names = HashSet::from([MANIFEST_FILE.to_owned()]);
    for (name, bytes, sha256) in data.chain(other) {
        let path = inside(directory, name)?;
        let found = size_and_hash(&path).map_err(|e| unreadable(name, e))?;
        if found != (bytes, sha256.clone()) {
            return Err(wrong(name, "the file is not the one in the manifest: its length or hash differs".into()));
        }
        names.insert(name.clone());
    }
    Ok(names)
}

/// A file that the export does not have could be taken for a part of it: readers collect files by patterns.
fn check_strays(root: &Path, folder: &Path, files: &HashSet<String>) -> Result<()> {
    let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let listed = std::fs::read_dir(folder).map_err(|e| unreadable(&shown(folder), e))?;
    for entry in listed {
        let entry = entry.map_err(|e| unreadable(&shown(folder), e))?;
        let (path, name) = (entry.path(), shown(&entry.path()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            check_strays(root, &path, files)?;
        } else if !files.contains(&name) {
            return Err(wrong(&name, "the file does not belong to the export".to_owned()));
        }
    }
    Ok(())
}

/// A path of the manifest, which must stay inside the export.
pub(super) fn inside(directory: &Path, name: &str) -> Result<PathBuf> {
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

pub(super) fn wrong(file: &str, what: String) -> ExportProblem {
    ExportProblem::False { file: file.to_owned(), what }
}

pub(super) fn unreadable(file: &str, error: impl std::fmt::Display) -> ExportProblem {
    ExportProblem::Unreadable { file: file.to_owned(), what: error.to_string() }
}
