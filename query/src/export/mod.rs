//! The Parquet export: all revisions of the tables, or the current ones, with everything that is needed to verify them
//! without the server (docs/format.md, "Export").
//!
//! An export is a directory: the leaves as a static transparency log (`tile/…`, C2SP tlog-tiles), the checkpoint, the
//! genesis record, proofs of the key's rotations, one Parquet file or more per table, and a manifest. It is made under a
//! temporary name and renamed.

pub mod columns;
mod database;
mod file_check;
pub mod manifest;
mod reader;
pub mod rows;
mod source;
mod tiles;
mod verify;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ledgerstone_digest::Id;
use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::ion::{Hasher, Value, encode};
use ledgerstone_journal::{StoredBlock, StoredRevision};

use crate::catalogue::SALT_FIELD;
use columns::Observer;
use manifest::{CHECKPOINT_FILE, FORMAT, GENESIS_FILE, MANIFEST_FILE, Manifest, Scope, TableEntry};
use rows::{FIXED_COLUMNS, Row};

pub use source::{ExportError, Source};
pub use verify::{ExportProblem, ExportReport, VerifyExportOptions, verify_export};

/// Names of the system tables in an export, by the last byte of their id.
pub const SYSTEM_TABLES: [(u8, &str); 5] =
    [(1, "tables"), (2, "indexes"), (3, "redactions"), (4, "keys"), (5, "principals")];

/// What to export and how.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    pub scope: Scope,
    /// Names or ids; empty: every table.
    pub tables: Vec<String>,
    /// Rows of one Parquet row group.
    pub group_rows_max: usize,
    /// Bytes of Ion data held per table before a row group is written.
    pub group_bytes_max: usize,
    /// Rows of one Parquet file.
    pub file_rows_max: u64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        ExportOptions {
            scope: Scope::History,
            tables: Vec::new(),
            group_rows_max: 64 << 10,
            group_bytes_max: 64 << 20,
            file_rows_max: 16 << 20,
        }
    }
}

/// How far an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Leaves read, both passes together.
    pub done: u64,
    /// Leaves to read in all.
    pub total: u64,
}

/// Exports into a directory that must not exist yet. `progress` is called between blocks and says whether to go on.
pub fn export(
    source: &dyn Source,
    directory: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Manifest, ExportError> {
    if directory.exists() {
        return Err(ExportError::Exists(directory.to_owned()));
    }
    // Before the checkpoint, since it is about tables as they are then; but most mistakes are seen before anything is read.
    choose(source.tables(), options)?;
    let partial = Partial::create(directory)?;
    let _held = source.hold_redactions();
    let note = source.checkpoint()?;
    let checkpoint = UnverifiedCheckpoint::parse(&note).map_err(|e| ExportError::Journal(e.to_string()))?;
    let (origin, size) = (checkpoint.unverified().origin.clone(), checkpoint.unverified().size);

    let mut survey = Survey::new(size);
    let mut leaves = tiles::TileCutter::default();
    let write = &mut |tile, bytes: &[u8]| tiles::write_tile(&partial.path, tile, bytes);
    leaves.append(&source.genesis_leaf()?, write)?;
    each_block(source, size, &mut |block, entries| {
        entries.iter().try_for_each(|entry| leaves.append(entry, write))?;
        survey.observe(block);
        step(progress, block.position + 1, size)
    })?;
    leaves.finish(write)?;

    let mut tables = survey.into_writers(&partial.path, options)?;
    each_block(source, size, &mut |block, _| {
        for revision in &block.revisions {
            if let Some(table) = tables.get_mut(&revision.table_id)
                && table.takes(revision.position)
            {
                let (row, data) = row_of(revision, block.strand);
                table.writer.push(row, data.as_deref())?;
            }
        }
        step(progress, size + block.position + 1, size)
    })?;

    let mut entries: Vec<TableEntry> = Vec::new();
    for (_, table) in tables {
        entries.push(table.writer.finish(table.name, table.system)?);
    }
    partial.write(GENESIS_FILE, &source.genesis_record()?)?;
    partial.write(CHECKPOINT_FILE, note.as_bytes())?;
    let rotations: Vec<_> = source.rotations()?.into_iter().filter(|(from, _)| *from <= size).collect();
    if !rotations.is_empty() {
        partial.make_directory(manifest::ROTATIONS_DIR)?;
    }
    let mut names = vec![GENESIS_FILE.to_owned(), CHECKPOINT_FILE.to_owned()];
    for (from, receipt) in rotations {
        let name = manifest::rotation_file(from);
        partial.write(&name, &receipt)?;
        names.push(name);
    }
    let files = names.iter().map(|name| partial.entry(name)).collect::<Result<_, _>>()?;
    let manifest = Manifest { format: FORMAT, origin, size, scope: options.scope, tables: entries, files };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|e| ExportError::Journal(e.to_string()))?;
    partial.write(MANIFEST_FILE, &text)?;
    partial.publish(directory)?;
    Ok(manifest)
}

fn step(progress: &mut dyn FnMut(Progress) -> bool, done: u64, size: u64) -> Result<(), ExportError> {
    if progress(Progress { done, total: 2 * size }) { Ok(()) } else { Err(ExportError::Cancelled) }
}

type TakeBlock<'a> = &'a mut dyn FnMut(&StoredBlock, &[Vec<u8>]) -> Result<(), ExportError>;

fn each_block(source: &dyn Source, size: u64, take: TakeBlock<'_>) -> Result<(), ExportError> {
    let (mut number, mut end) = (0, 1);
    while end < size {
        let (block, leaves) = source.block(number)?;
        take(&block, &leaves)?;
        end = block.position + 1;
        number += 1;
    }
    Ok(())
}

/// Of these tables those that are asked for, each by its name or its id.
fn choose(mut all: Vec<(Id, String)>, options: &ExportOptions) -> Result<Vec<(Id, String)>, ExportError> {
    let is = |asked: &String, (id, name): &(Id, String)| asked == name || *asked == id.to_string();
    if let Some(missing) = options.tables.iter().find(|asked| !all.iter().any(|table| is(asked, table))) {
        return Err(ExportError::NoTable(missing.clone()));
    }
    all.retain(|table| options.tables.is_empty() || options.tables.iter().any(|asked| is(asked, table)));
    Ok(all)
}

/// The first pass: what tables there are, which columns each has, and which revisions are not current.
struct Survey {
    observers: BTreeMap<Id, Observer>,
    /// By the newest definition below the checkpoint: one behind it is in nobody's leaves.
    names: BTreeMap<Id, String>,
    /// One bit per position: superseded or a deletion.
    past: Vec<u64>,
}

impl Survey {
    fn new(size: u64) -> Self {
        let (observers, names) = (BTreeMap::new(), BTreeMap::new());
        Survey { observers, names, past: vec![0; (size as usize).div_ceil(64)] }
    }

    fn observe(&mut self, block: &StoredBlock) {
        for revision in &block.revisions {
            if let Some(before) = revision.supersedes {
                set_bit(&mut self.past, before);
            }
            if revision.deleted {
                set_bit(&mut self.past, revision.position);
            }
            let Some(document) = revision.data.as_ref().and_then(|data| data.as_struct()) else { continue };
            if revision.table_id == Id::TABLES
                && let Some(name) = document.get("name").and_then(Value::as_text)
            {
                self.names.insert(revision.document_id, name.to_owned());
            }
            // Any table may turn out to have a name that was asked for.
            self.observers.entry(revision.table_id).or_default().observe(document, SALT_FIELD);
        }
    }

    /// The tables asked for, by id, and the system tables.
    fn into_writers(self, folder: &Path, options: &ExportOptions) -> Result<BTreeMap<Id, Writing>, ExportError> {
        let Survey { mut observers, names, past } = self;
        let past = (options.scope == Scope::Current).then(|| std::sync::Arc::new(past));
        let own = choose(names.into_iter().filter(|(id, _)| !id.is_system()).collect(), options)?;
        let system = SYSTEM_TABLES.iter().map(|(number, name)| (Id::system(*number), name.to_string()));
        let tables = system.chain(own).map(|(id, name)| {
            let columns = observers.remove(&id).unwrap_or_default().columns(&FIXED_COLUMNS);
            let writer = writer::TableWriter::new(folder, id, columns, options);
            let system = id.is_system();
            (id, Writing { name, system, writer, past: past.clone().filter(|_| !system) })
        });
        Ok(tables.collect())
    }
}

struct Writing {
    name: String,
    system: bool,
    writer: writer::TableWriter,
    /// Positions to leave out, when only current revisions are exported.
    past: Option<std::sync::Arc<Vec<u64>>>,
}

impl Writing {
    fn takes(&self, position: u64) -> bool {
        self.past.as_ref().is_none_or(|past| !get_bit(past, position))
    }
}

fn set_bit(bits: &mut [u64], position: u64) {
    if let Some(word) = bits.get_mut((position / 64) as usize) {
        *word |= 1 << (position % 64);
    }
}

fn get_bit(bits: &[u64], position: u64) -> bool {
    bits.get((position / 64) as usize).is_some_and(|word| word & (1 << (position % 64)) != 0)
}

type Document = std::sync::Arc<ledgerstone_digest::ion::Value>;

/// A struct borrowed from shared data.
struct Data(Document);

impl std::ops::Deref for Data {
    type Target = ledgerstone_digest::ion::Struct;

    fn deref(&self) -> &Self::Target {
        static EMPTY: std::sync::LazyLock<ledgerstone_digest::ion::Struct> = std::sync::LazyLock::new(Default::default);
        self.0.as_struct().unwrap_or(&EMPTY)
    }
}

fn row_of(revision: &StoredRevision, strand: Id) -> (Row, Option<Data>) {
    let row = Row {
        position: revision.position,
        document_id: revision.document_id,
        version: revision.version,
        time_ms: revision.tx_time_ms(),
        transaction_id: revision.tx_id,
        block: revision.block,
        strand,
        supersedes: revision.supersedes,
        deleted: revision.deleted,
        hash: revision.leaf(&mut Hasher::new()).1,
        data_hash: revision.data_hash,
        blind: revision.blind,
        ion: revision.data.as_ref().map(|data| encode(data)),
    };
    (row, revision.data.clone().map(Data))
}

/// The directory under its temporary name; removed again unless it is published.
struct Partial {
    path: PathBuf,
    published: bool,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, ExportError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut prefix = target.file_name().unwrap_or_default().to_owned();
        prefix.push(".partial-");
        remove_abandoned(target, &prefix.to_string_lossy());
        // No two exports of one process share a place either.
        let mut name = prefix;
        name.push(format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let path = target.with_file_name(name);
        fs::create_dir_all(&path).map_err(file_error("create", &path))?;
        Ok(Partial { path, published: false })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        writer::write_synced(&self.path.join(name), bytes)
    }

    fn make_directory(&self, name: &str) -> Result<(), ExportError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(file_error("create", &path))
    }

    fn entry(&self, name: &str) -> Result<manifest::FileEntry, ExportError> {
        let (bytes, sha256) = writer::size_and_hash(&self.path.join(name))?;
        Ok(manifest::FileEntry { path: name.to_owned(), bytes, sha256 })
    }

    /// The rename is what makes the export exist.
    fn publish(mut self, target: &Path) -> Result<(), ExportError> {
        let rotations = self.path.join(manifest::ROTATIONS_DIR);
        if rotations.is_dir() {
            sync_directory(&rotations)?;
        }
        sync_directory(&self.path)?;
        fs::rename(&self.path, target).map_err(file_error("rename to", target))?;
        self.published = true;
        sync_directory(target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what stays has a name that says it is partial, and the next export removes it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes what exports to the same place left behind when they were killed: those whose process is no more.
fn remove_abandoned(target: &Path, prefix: &str) {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_string_lossy().strip_prefix(prefix).and_then(|rest| {
            let (process, number) = rest.split_once('-')?;
            number.parse::<u64>().ok()?;
            process.parse::<u32>().ok()
        });
        if process.is_some_and(|process| !may_be_alive(process)) {
            // Best effort: it is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Where processes are not listed, every one may be alive.
fn may_be_alive(process: u32) -> bool {
    let listed = Path::new("/proc");
    !listed.join("self").exists() || listed.join(process.to_string()).exists()
}

fn sync_directory(path: &Path) -> Result<(), ExportError> {
    fs::File::open(path).and_then(|d| d.sync_all()).map_err(file_error("sync", path))
}

pub(crate) fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::File { action, path, source }
}
