//! A new ledger from the journal export of a QLDB ledger (docs/migrate-from-qldb.md, "Bringing the ledger"), or from a ledger
//! of ours whose key is lost (docs/operations.md, "Keys").
//!
//! The export is read twice: first every block is verified and nothing is written, then the blocks are committed one by
//! one as they were. The ledger is made under a temporary name and gets its own when it is whole. An import that was
//! interrupted goes on behind the last block that it wrote, if it is started again with the same export.
//!
//! | module | what lives there |
//! |---|---|
//! | `definitions` | tables and indexes from the texts of statements |
//! | `digest` | a digest that was kept from QLDB, compared |

mod definitions;
mod digest;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ledgerstone_digest::block::TransactionInfo;
use ledgerstone_digest::full::{GenesisFacts, ImportFacts};
use ledgerstone_digest::ion::{Value, to_text};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::qldb::chain::{ChainError, ChainReport, ChainVerifier, OpenRedactions};
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::keys::{KeyDirectory, keys_in};
use ledgerstone_journal::qldb::import::{BlockImporter, strand_of};
use ledgerstone_journal::qldb::source::{BlockSource, ExportError, ReadSoFar, check_redactions};
use ledgerstone_journal::recovery::{genesis_of, origin_of};
use ledgerstone_journal::{CommitError, CommitFuture, CreateOptions, Import, Ledger, OpenOptions, Unjudged};

use crate::catalogue::{IndexStatus, Table, TableStatus, ddl, system_tables};
use crate::database::{Database, DatabaseOptions, open_error, read_error};
use crate::error::{QueryError, Result, SqlState};
use crate::instance::{InstanceOptions, check_name, io_error, key_error};
use crate::transaction::Transaction;
use definitions::{Definitions, Sketch};
pub use digest::{SavedDigest, TreeShape};

/// Blocks that were handed to the journal and are not durable yet.
const PENDING_MAX: usize = 8_192;
/// How far the time of an imported block may be ahead: no block can follow before it has come.
const AHEAD_MS_MAX: i64 = 1_000;
/// How long to wait between two looks at indexes that are being built.
const INDEX_WAIT: Duration = Duration::from_millis(20);

/// What is to be imported, and as what.
pub struct ImportOptions<'a> {
    /// What the ledger shall be called.
    pub name: &'a str,
    /// A digest that was kept from QLDB.
    pub digest: Option<SavedDigest>,
    pub progress: &'a mut dyn FnMut(Progress),
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub step: Step,
    /// Bytes of the export or blocks of the ledger, done and all.
    pub done: u64,
    pub all: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Verifying,
    Writing,
}

/// What was imported.
#[derive(Debug, Clone)]
pub struct ImportReport {
    pub ledger: Id,
    pub origin: String,
    pub vkey: VerifierKey,
    pub directory: PathBuf,
    pub chain: ChainReport,
    /// Blocks that were in more than one object.
    pub repeated: u64,
    pub manifests: Option<usize>,
    /// QLDB's digest over all imported blocks.
    pub qldb_digest: Hash,
    /// The tree shape with which the digest that was given came out.
    pub digest_shape: Option<TreeShape>,
    pub tables: usize,
    pub indexes: usize,
    /// The export was one of our own: tables and constraints are those of its system tables.
    pub is_ours: bool,
    /// DROP INDEX statements whose index cannot be told, so that it stayed.
    pub drops_untold: u64,
    /// Definitions whose text cannot be read.
    pub definitions_unread: u64,
    /// Revisions whose data was in the export although a later block says that it was redacted. It was left out.
    pub left_out: u64,
    /// Blocks that an import before this one had written.
    pub resumed_blocks: u64,
}

/// Why there is no new ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The export cannot be read, or does not hold.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The digest that was given came out of no tree.
    #[error(
        "the digest {given} with its tip at block {tip} could not be checked: no tree over the blocks that is tried here \
         gives it ({tried}). Nothing was imported. Look whether digest and tip address belong together and to this \
         ledger; without --digest the export is imported on what it says itself"
    )]
    Digest { given: Hash, tip: u64, tried: String },
    /// The export ends before the tip of the digest.
    #[error("the digest's tip is block {tip}, but the export ends with block {last}: it is not complete")]
    BeforeTip { tip: u64, last: u64 },
    /// The ledger cannot be made.
    #[error(transparent)]
    Ledger(#[from] QueryError),
}

/// What the first reading found.
struct Verified {
    chain: ChainReport,
    read: ReadSoFar,
    strand: Id,
    last_hash: Hash,
    qldb_digest: Hash,
    digest_shape: Option<TreeShape>,
    definitions: Definitions,
    is_ours: bool,
    /// What must be left out.
    redacted: OpenRedactions,
}

/// Makes a ledger of an export.
pub fn import(
    instance: &InstanceOptions,
    source: &dyn BlockSource,
    mut options: ImportOptions<'_>,
) -> std::result::Result<ImportReport, ImportError> {
    check_name(options.name)?;
    let (env, target) = (&instance.env, instance.data.join(options.name));
    if env.storage.exists(&target) {
        return Err(already_there(options.name).into());
    }
    let verified = verify(source, &mut options, env.clock.now_ms())?;
    env.storage.create_dir_all(&instance.data).map_err(|e| io_error("make the data directory", &instance.data, e))?;
    // Two imports of one name would write to one directory.
    let lock_path = instance.data.join(format!("{}.importing.lock", options.name));
    let lock = env.storage.lock(&lock_path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => running(options.name),
        _ => io_error("lock it", &lock_path, error),
    })?;
    let made = make(instance, source, verified, &mut options);
    let removed = env.storage.remove_file(&lock_path).map_err(|e| io_error("remove it", &lock_path, e));
    drop(lock);
    let made = made?;
    removed?;
    Ok(made)
}

/// Makes the ledger, once the export is known to hold.
fn make(
    instance: &InstanceOptions,
    source: &dyn BlockSource,
    verified: Verified,
    options: &mut ImportOptions<'_>,
) -> std::result::Result<ImportReport, ImportError> {
    let (env, target) = (&instance.env, instance.data.join(options.name));
    if env.storage.exists(&target) {
        return Err(already_there(options.name).into());
    }
    let directory = instance.data.join(format!("{}.importing", options.name));
    let resumed_blocks = prepare(instance, &directory, &verified, options, source.continues())?;
    let (ledger, left_out) = write(instance, &directory, source, (resumed_blocks, verified.redacted.clone()), options)?;
    let (tables, indexes, unmade) = define(instance, &directory, options.name, &ledger, &verified)?;
    if env.storage.exists(&target) {
        return Err(already_there(options.name).into());
    }
    env.storage.rename(&directory, &target).map_err(|e| io_error("rename", &directory, e))?;
    env.storage.sync_dir(&instance.data).map_err(|e| io_error("sync", &instance.data, e))?;
    Ok(ImportReport {
        ledger: ledger.id,
        origin: ledger.origin,
        vkey: ledger.vkey,
        directory: target,
        chain: verified.chain,
        repeated: verified.read.repeated,
        manifests: source.manifests(),
        qldb_digest: verified.qldb_digest,
        digest_shape: verified.digest_shape,
        tables,
        indexes,
        is_ours: verified.is_ours,
        // An export of our own has the definitions themselves.
        drops_untold: if verified.is_ours { 0 } else { verified.definitions.drops_untold },
        definitions_unread: if verified.is_ours { 0 } else { verified.definitions.unread + unmade },
        left_out,
        resumed_blocks,
    })
}

fn already_there(name: &str) -> QueryError {
    QueryError::new(SqlState::DUPLICATE_DATABASE, format!("ledger \"{name}\" already exists"))
        .hint("An import never overwrites a ledger: give it another name.")
}

fn running(name: &str) -> QueryError {
    QueryError::new(SqlState::OBJECT_IN_USE, format!("another import makes ledger \"{name}\" at this moment"))
        .hint("Wait for it, or give this one another name.")
}

/// Reads the export and writes nothing.
fn verify(
    export: &dyn BlockSource,
    options: &mut ImportOptions<'_>,
    now_ms: i64,
) -> std::result::Result<Verified, ImportError> {
    let mut chain = ChainVerifier::new();
    let mut importer = BlockImporter::new(&system_tables::of_document);
    let mut definitions = Definitions::default();
    let mut digests = digest::Digests::new(options.digest);
    let (mut first, mut last_hash, mut is_ours) = (None, None, false);
    let read = export.blocks(&mut |object, block, so_far| {
        let wrong = |error: ChainError| ExportError::Block { object: object.to_owned(), error };
        chain.block(&block).map_err(wrong)?;
        importer.transaction(&block).map_err(wrong)?;
        if block.timestamp.epoch_ms() > now_ms.saturating_add(AHEAD_MS_MAX) {
            let time = to_text(&Value::Timestamp(block.timestamp.clone()));
            let problem = format!("its time, {time}, has not come yet: no block could follow it; set the clock right");
            return Err(wrong(ChainError { block: block.sequence_no, problem }));
        }
        if first.is_none() {
            first = Some(strand_of(&block).map_err(wrong)?);
        }
        is_ours |= block.origin_info.is_some();
        if let Some(info) = block.transaction_info.as_ref().and_then(|info| TransactionInfo::from_value(info).ok()) {
            definitions.block(&info);
        }
        digests.block(block.block_hash);
        last_hash = Some(block.block_hash);
        if so_far.blocks.is_multiple_of(256) {
            (options.progress)(Progress { step: Step::Verifying, done: so_far.done, all: export.all() });
        }
        Ok(())
    })?;
    let open = chain.open_redactions().clone();
    let chain = chain.finish().map_err(|error| ExportError::Block { object: "the export".to_owned(), error })?;
    let (Some(strand), Some(last_hash), Some(qldb_digest)) = (first, last_hash, digests.of_all()) else {
        return Err(ExportError::Incomplete("there is no block in the export".to_owned()).into());
    };
    let digest_shape = digests.compare(read.blocks)?;
    let redacted = check_redactions(export, open)?;
    Ok(Verified { chain, read, strand, last_hash, qldb_digest, digest_shape, definitions, is_ours, redacted })
}

/// The directory that is written to, with the genesis that says what is imported. Returns how many blocks are in it.
fn prepare(
    instance: &InstanceOptions,
    directory: &Path,
    verified: &Verified,
    options: &ImportOptions<'_>,
    continues: Option<&str>,
) -> Result<u64> {
    let env = &instance.env;
    let facts = ImportFacts {
        first_native_block: verified.chain.blocks,
        previous_block_hash: verified.last_hash,
        digest: options.digest.map(|digest| digest.hash),
        time_ms: env.clock.now_ms(),
    };
    if env.storage.exists(directory) {
        match resumable(instance, directory, &facts, verified.strand, continues) {
            Ok(Some(blocks)) => return Ok(blocks),
            // What an import of another export left, or one that did not come as far as its genesis.
            Ok(None) => env.storage.remove_dir_all(directory).map_err(|e| io_error("remove", directory, e))?,
            Err(error) => return Err(error),
        }
    }
    let keys = KeyDirectory::open(&instance.keys, &instance.data).map_err(key_error)?;
    let id = Id(env.rng.bytes16());
    let origin = origin_of(&instance.origin_prefix, id);
    let key = keys.create(id, &origin, &*env.rng).map_err(key_error)?;
    let import = Import { strand: verified.strand, facts };
    let create = CreateOptions {
        import: Some(import),
        continues: continues.map(str::to_owned),
        ..CreateOptions::new(id, &instance.origin_prefix, key)
    };
    Database::create_with(env, directory, &create)?;
    Ok(0)
}

/// How many blocks an import of the same export has written here; `None` if it was another one's.
fn resumable(
    instance: &InstanceOptions,
    directory: &Path,
    facts: &ImportFacts,
    strand: Id,
    continues: Option<&str>,
) -> Result<Option<u64>> {
    let Ok((_, of, GenesisFacts { import: Some(found), continues: before, .. })) = genesis_of(&instance.env, directory)
    else {
        return Ok(None);
    };
    if of != strand
        || before.as_deref() != continues
        || found != (ImportFacts { time_ms: found.time_ms, ..facts.clone() })
    {
        return Ok(None);
    }
    let ledger = open_journal(instance, directory)?;
    let blocks = ledger.last_block().map_err(read_error)?.map_or(0, |last| last + 1);
    ledger.close().map_err(close_error)?;
    Ok(Some(blocks))
}

/// What a ledger is known by.
struct Made {
    id: Id,
    origin: String,
    vkey: VerifierKey,
}

/// Reads the export again and commits its blocks from `from` on, without the data of what was redacted. Says how many
/// revisions that were.
fn write(
    instance: &InstanceOptions,
    directory: &Path,
    export: &dyn BlockSource,
    (from, redacted): (u64, OpenRedactions),
    options: &mut ImportOptions<'_>,
) -> std::result::Result<(Made, u64), ImportError> {
    let ledger = open_journal(instance, directory)?;
    let mut importer = BlockImporter::leaving_out(&system_tables::of_document, redacted);
    let mut pending: VecDeque<CommitFuture> = VecDeque::new();
    let last = match from.checked_sub(1) {
        Some(last) => Some(ledger.read_block(last).map_err(read_error)?),
        None => None,
    };
    // Why a block was not written, which is not the export's fault.
    let mut refused: Option<CommitError> = None;
    let read = export.blocks(&mut |object, block, so_far| {
        let wrong = |error: ChainError| ExportError::Block { object: object.to_owned(), error };
        let number = block.sequence_no;
        let failed = |problem: String| wrong(ChainError { block: number, problem });
        let transaction = importer.transaction(&block).map_err(wrong)?;
        if let Some(last) = last.as_ref().filter(|last| last.number == number && last.block_hash != block.block_hash) {
            let problem = format!("the import that goes on has another block {} here", last.number);
            return Err(failed(problem));
        }
        if number >= from {
            pending.push_back(ledger.submit(transaction));
        }
        if pending.len() > PENDING_MAX
            && let Some(oldest) = pending.pop_front()
        {
            oldest.wait().map_err(|error| {
                let stopped = failed(error.to_string());
                refused = Some(error);
                stopped
            })?;
        }
        if so_far.blocks.is_multiple_of(256) {
            (options.progress)(Progress { step: Step::Writing, done: so_far.done, all: export.all() });
        }
        Ok(())
    });
    if let Some(error) = refused {
        return Err(not_written(&error).into());
    }
    read?;
    for future in pending {
        future.wait().map_err(|error| not_written(&error))?;
    }
    let made = Made { id: ledger.ledger_id(), origin: ledger.origin().to_owned(), vkey: ledger.vkey() };
    ledger.close().map_err(close_error)?;
    Ok((made, importer.left_out))
}

/// Writes the catalogue as the first native block, unless the export had one, and builds the indexes. Returns how many
/// tables and indexes there are, and how many indexes could not be made of their statements.
fn define(
    instance: &InstanceOptions,
    directory: &Path,
    name: &str,
    ledger: &Made,
    verified: &Verified,
) -> Result<(usize, usize, u64)> {
    let keys = keys_in(&instance.keys, ledger.id);
    let options = DatabaseOptions { limits: instance.limits, work: instance.work, ..DatabaseOptions::default() };
    let database = Database::open(&instance.env, directory, name, keys, options)?;
    // The last block may be years old.
    database.ledger().accept_clock();
    let is_defined = database.ledger().last_block().map_err(read_error)? >= Some(verified.chain.blocks);
    // An export of our own has its definitions in it. That one block says so defines no table.
    let is_undefined = |sketch: &&Sketch| match (verified.is_ours, sketch.id) {
        (false, _) => true,
        (true, Some(id)) => database.catalogue().table_by_id(&id).is_none(),
        (true, None) => false,
    };
    let undefined: Vec<&Sketch> = verified.definitions.tables.iter().filter(is_undefined).collect();
    let mut unmade = 0;
    if (!verified.is_ours || !undefined.is_empty()) && !is_defined {
        let mut tx = Transaction::begin(&database, false);
        tx.set_origin("", "import");
        for sketch in undefined {
            let table = Table {
                id: sketch.id.unwrap_or_else(|| database.new_document_id()),
                name: sketch.name.clone(),
                status: sketch.status,
                columns: Vec::new(),
                indexes: Vec::new(),
                checks: Vec::new(),
                comment: None,
                salted: false,
                defined_at: u64::MAX,
                definition_version: 0,
            };
            unmade += ddl::restore_table(&mut tx, table, &sketch.indexes)?;
        }
        tx.commit_blocking()?;
    }
    let building = |database: &Arc<Database>| {
        let catalogue = database.catalogue();
        catalogue.tables().any(|table| table.indexes.iter().any(|index| index.status == IndexStatus::Building))
    };
    // An index that was being built when the ledger is opened goes on by itself.
    while building(&database) && database.ledger().stopped().is_none() {
        std::thread::sleep(INDEX_WAIT);
    }
    let catalogue = database.catalogue();
    let tables = catalogue.tables().filter(|table| table.status == TableStatus::Active).count();
    let indexes = catalogue.tables().map(|table| table.indexes.len()).sum();
    database.close()?;
    Ok((tables, indexes, unmade))
}

fn open_journal(instance: &InstanceOptions, directory: &Path) -> Result<Arc<Ledger>> {
    let (id, _, _) = genesis_of(&instance.env, directory).map_err(open_error)?;
    let keys = keys_in(&instance.keys, id);
    let options = OpenOptions { transaction_revisions_max: u64::from(u32::MAX), ..OpenOptions::new(keys) };
    let recovered = Ledger::open(&instance.env, directory, options).map_err(open_error)?;
    Ok(recovered.start(Box::new(Unjudged), Box::new(Unjudged)))
}

fn not_written(error: &CommitError) -> QueryError {
    let code = match error {
        CommitError::NoSpace { .. } => SqlState::DISK_FULL,
        _ => SqlState::IO_ERROR,
    };
    let said = QueryError::new(code, format!("a block cannot be written: {error}"));
    match error {
        // The same again would be refused again.
        CommitError::Refused(_) | CommitError::TooLarge { .. } => said,
        _ => said.hint("The blocks before it are kept: the same command goes on behind them."),
    }
}

fn close_error(error: ledgerstone_journal::checkpoint::CheckpointError) -> QueryError {
    QueryError::new(SqlState::IO_ERROR, error.to_string())
}
