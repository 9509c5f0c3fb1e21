//! One ledger, open: its journal, the catalogue and the row index derived from it, and the caches (DESIGN section 7).
//!
//! | module | what lives there |
//! |---|---|
//! | `state` | what transactions, the sequencer and the publisher share |
//! | `log` | what is asked of the journal |
//! | `build` | filling an index on a table that has documents |
//! | `tasks` | what goes on beside the sessions, in threads or in steps |
//! | `cache` | revisions read or written lately |
//! | `histories` | histories read lately |
//! | `second_chance` | what both are kept in |
//! | `open` | deriving all that from the journal |
//! | `rotate` | another signing key |
//! | `notes` | what the row index keeps for us |

mod build;
mod cache;
pub(crate) mod counters;
mod histories;
mod log;
mod notes;
mod open;
mod rotate;
mod second_chance;
pub(crate) mod state;
mod tasks;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::qldb::statement_digest;
use ledgerstone_journal::env::is_full;
use ledgerstone_journal::segment::SEGMENT_BYTES;
use ledgerstone_journal::{
    Committed, CreateError, CreateOptions, Env, Keys, Ledger, OpenError, OpenOptions, ReadError, STAGED_ABOVE_BYTES,
    StoredBlock, StoredRevision,
};

pub(crate) use cache::name_bytes;
use histories::HistoryCache;
use log::Journal;
pub(crate) use log::Log;
pub(crate) use state::{State, unique_violation};

use crate::catalogue::{Catalogue, IndexStatus};
#[cfg(feature = "analytics")]
use crate::columns::{ColumnOptions, ColumnStore, Projector};
use crate::error::{QueryError, Result, SqlState};
use crate::index::Rows;
use crate::index::disk::{IndexOptions, Upkeep};
use crate::plan_cache::PlanCache;
use crate::session::advisory::AdvisoryLocks;
use crate::session::answers::Answers;
use crate::transaction::conflict::Validator;
use crate::transaction::redact::hide;
use crate::transaction::{Doc, Most, block_on, body_digest, without_salt};
use crate::work::{Pool, WorkLimits, Workspace};
use second_chance::Kept;
use state::{OpenSnapshot, Publisher};
use tasks::Tasks;

/// An open ledger.
pub struct Database {
    name: Arc<str>,
    env: Env,
    options: DatabaseOptions,
    state: Arc<State>,
    log: Arc<dyn Log>,
    ledger: Arc<Ledger>,
    tasks: Arc<Tasks>,
    plans: PlanCache,
    /// The thread that writes the rows, if there are threads.
    upkeep: Mutex<Option<Upkeep>>,
    answers: Answers,
    advisory_locks: Arc<AdvisoryLocks>,
    workspace: Arc<Workspace>,
    #[cfg(feature = "analytics")]
    columns: Arc<ColumnStore>,
    /// The thread that makes columns, if there are threads.
    #[cfg(feature = "analytics")]
    projector: Mutex<Option<Projector>>,
}

/// How often a block is looked for that the index knows and readers may not see yet, and the time between.
const SHOWN_TRIES: u32 = 10_000;
const SHOWN_WAIT: Duration = Duration::from_micros(100);

/// The longest client token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 200;

/// How a ledger is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseOptions {
    pub limits: Limits,
    /// Memory for revisions read or written lately, in bytes.
    pub cache_bytes_max: usize,
    /// Of the cache of histories.
    pub histories_bytes_max: usize,
    /// Memory for what was written since the oldest open snapshot, against which transactions are judged, in bytes.
    pub recent_writes_bytes_max: usize,
    /// Length of the segments made from now on.
    pub segment_bytes: u64,
    /// Transactions whose revisions take more are written ahead in staged frames.
    pub staged_above_bytes: usize,
    /// Documents that the building of an index takes at a time.
    pub index_build_documents: usize,
    /// Run what goes on beside the sessions in threads of its own. Without, nothing happens but what the caller does with
    /// [`Database::step`] and the steps of the [`Ledger`].
    pub threads: bool,
    /// What of the row index is kept in memory.
    pub index: IndexOptions,
    /// What of the columns is kept in memory.
    #[cfg(feature = "analytics")]
    pub columns: ColumnOptions,
    /// What statements may keep while they work, unless the ledger shares that with others.
    pub work: WorkLimits,
}

/// What of a ledger is kept in memory, in bytes. What of documents, index and columns does not fit is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Documents that were read lately.
    pub documents: usize,
    /// Histories of documents that were read lately.
    pub histories: usize,
    /// Blocks of the row index.
    pub index: usize,
    /// Columns that are in no file yet.
    pub columns: usize,
    /// Columns of files that were decoded lately.
    pub decoded_columns: usize,
    /// What was written since the oldest open snapshot. A transaction whose snapshot is older than what is kept is
    /// refused with 40001.
    pub recent_writes: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        MemoryLimits {
            documents: 256 << 20,
            histories: 256 << 20,
            index: 256 << 20,
            columns: 256 << 20,
            decoded_columns: 256 << 20,
            recent_writes: 768 << 20,
        }
    }
}

/// What a transaction may hold. Exceeding one is an error (54000) that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document's texts, bytes and names, with one to nine for each value.
    pub document_bytes_max: usize,
    /// Containers inside each other.
    pub document_depth_max: usize,
    /// Values in one document, containers included.
    pub document_values_max: usize,
    /// Bytes of the documents that one transaction writes; one written twice counts twice.
    pub transaction_bytes_max: usize,
    /// Documents changed by one transaction.
    pub transaction_documents_max: usize,
    /// Statements in one transaction.
    pub transaction_statements_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            document_bytes_max: 16 << 20,
            document_depth_max: 128,
            document_values_max: 4 << 20,
            transaction_bytes_max: 4 << 30,
            transaction_documents_max: 1_000_000,
            transaction_statements_max: 1_000_000,
        }
    }
}

impl DatabaseOptions {
    /// The same within other limits of memory.
    pub fn within(mut self, memory: MemoryLimits) -> DatabaseOptions {
        self.cache_bytes_max = memory.documents;
        self.histories_bytes_max = memory.histories;
        self.recent_writes_bytes_max = memory.recent_writes;
        self.index.cache_bytes_max = memory.index;
        #[cfg(feature = "analytics")]
        {
            self.columns.memory_bytes_max = memory.columns;
            self.columns.cache_bytes_max = memory.decoded_columns;
        }
        self
    }
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            limits: Limits::default(),
            cache_bytes_max: MemoryLimits::default().documents,
            histories_bytes_max: MemoryLimits::default().histories,
            recent_writes_bytes_max: MemoryLimits::default().recent_writes,
            segment_bytes: SEGMENT_BYTES,
            staged_above_bytes: STAGED_ABOVE_BYTES,
            index_build_documents: 256,
            threads: true,
            index: IndexOptions::default(),
            #[cfg(feature = "analytics")]
            columns: ColumnOptions::default(),
            work: WorkLimits::default(),
        }
    }
}

/// What a client token did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCommit {
    pub committed: Committed,
    /// What the transaction's statements and parameters come to: [`body_digest`].
    pub body: Hash,
}

impl Database {
    /// Makes the ledger's directory and files; the key's name must be the origin that prefix and id make.
    pub fn create(env: &Env, dir: &Path, id: Id, origin_prefix: &str, key: SigningKey) -> Result<()> {
        Database::create_with(env, dir, &CreateOptions::new(id, origin_prefix, key))
    }

    pub(crate) fn create_with(env: &Env, dir: &Path, options: &CreateOptions) -> Result<()> {
        Ledger::create(env, dir, options).map_err(|error| {
            let code = match &error {
                CreateError::Exists(_) => SqlState::DUPLICATE_DATABASE,
                CreateError::Origin(_) => SqlState::INVALID_PARAMETER_VALUE,
                CreateError::File(cause) if is_full(&cause.source) => SqlState::DISK_FULL,
                _ => SqlState::IO_ERROR,
            };
            QueryError::new(code, error.to_string())
        })
    }

    /// Opens a ledger: recovers its journal, derives everything else by replaying it, and goes on with indexes that were
    /// being built.
    pub fn open(
        env: &Env,
        dir: &Path,
        name: &str,
        keys: impl Into<Keys>,
        options: DatabaseOptions,
    ) -> Result<Arc<Database>> {
        Database::open_sharing(env, dir, name, keys, options, Pool::new(options.work))
    }

    /// The same for one of several ledgers, whose statements share their memory.
    pub fn open_sharing(
        env: &Env,
        dir: &Path,
        name: &str,
        keys: impl Into<Keys>,
        options: DatabaseOptions,
        pool: Arc<Pool>,
    ) -> Result<Arc<Database>> {
        let journal = OpenOptions {
            segment_bytes: options.segment_bytes,
            staged_above_bytes: options.staged_above_bytes,
            threads: options.threads,
            ..OpenOptions::new(keys)
        };
        let recovered = Ledger::open(env, dir, journal).map_err(open_error)?;
        if let Some(cut) = &recovered.cut {
            tracing::warn!(ledger = name, ?cut, "a batch that was never acknowledged was cut from the journal's end");
        }
        let workspace = Workspace::open(env, dir, pool);
        let state = open::derive(env, dir, name, &recovered, &options)?;
        let validator = Box::new(Validator::new(state.clone(), options.recent_writes_bytes_max));
        let ledger = recovered.start(validator, Box::new(Publisher(state.clone())));
        let tasks = Arc::new(Tasks::new(options.threads));
        #[cfg(feature = "analytics")]
        let columns = Arc::new(ColumnStore::open(env, dir, ledger.clone(), state.clone(), options.columns));
        let log: Arc<dyn Log> = Arc::new(Journal {
            ledger: ledger.clone(),
            tasks: tasks.clone(),
            state: state.clone(),
            #[cfg(feature = "analytics")]
            columns: columns.clone(),
        });
        let upkeep = options.threads.then(|| Upkeep::start(state.rows.clone())).transpose();
        let upkeep = Mutex::new(upkeep.map_err(|error| {
            QueryError::new(SqlState::INSUFFICIENT_RESOURCES, format!("cannot start a thread: {error}"))
        })?);
        #[cfg(feature = "analytics")]
        let projector = options.threads.then(|| Projector::start(columns.clone())).transpose();
        #[cfg(feature = "analytics")]
        let projector = Mutex::new(projector.map_err(|error| {
            QueryError::new(SqlState::INSUFFICIENT_RESOURCES, format!("cannot start a thread: {error}"))
        })?);
        let (name, env, plans, answers) = (name.into(), env.clone(), PlanCache::default(), Answers::default());
        let database = Arc::new(Database {
            name,
            env,
            options,
            state,
            log,
            ledger,
            tasks,
            plans,
            upkeep,
            answers,
            advisory_locks: Arc::default(),
            workspace,
            #[cfg(feature = "analytics")]
            columns,
            #[cfg(feature = "analytics")]
            projector,
        });
        database.complete_indexes()?;
        Ok(database)
    }

    /// The journal: proofs, checkpoints, blocks.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Locks of the applications' own.
    pub fn advisory_locks(&self) -> &Arc<AdvisoryLocks> {
        &self.advisory_locks
    }

    /// Statements parsed and bound before, shared by the ledger's sessions.
    pub fn plans(&self) -> &PlanCache {
        &self.plans
    }

    /// What statements with a client token answered.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Where statements put what does not fit in their memory.
    pub(crate) fn workspace(&self) -> &Arc<Workspace> {
        &self.workspace
    }

    /// The documents as columns, for what reads many of them.
    #[cfg(feature = "analytics")]
    pub fn columns(&self) -> &Arc<ColumnStore> {
        &self.columns
    }

    /// What statements have taken for their work.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.workspace.pool
    }

    /// Finishes what was submitted and records a last checkpoint; later writes are refused, reads go on.
    pub fn close(&self) -> Result<()> {
        self.tasks.clear();
        self.workspace.clear();
        // While the directory is still ours. What is published after this is replayed by the next start.
        drop(self.upkeep.lock().unwrap_or_else(PoisonError::into_inner).take());
        #[cfg(feature = "analytics")]
        drop(self.projector.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.ledger.drive();
        self.state.freeze_rows();
        if let Err(error) = self.state.rows.tend(&|| true) {
            tracing::warn!(ledger = %self.name, %error, "the row index was not written; the next start takes longer");
        }
        self.ledger.close().map_err(|error| QueryError::new(SqlState::IO_ERROR, error.to_string()))
    }

    /// How many statements that met a conflict the sequencer has run again on pending state.
    pub fn run_again_count(&self) -> u64 {
        self.state.run_again_count()
    }

    /// Without threads: takes a step of what goes on beside the sessions. False if nothing does.
    pub fn step(&self) -> bool {
        self.tasks.step()
    }

    /// Fills indexes that cover more than what came after them, and goes on building those that are not online yet.
    fn complete_indexes(self: &Arc<Self>) -> Result<()> {
        let catalogue = self.catalogue();
        for table in catalogue.tables() {
            for index in &table.indexes {
                match index.status {
                    IndexStatus::Online if !self.state.rows.is_complete(index.id) => {
                        block_on(self.fill_index(table, index))?;
                    }
                    IndexStatus::Building => {
                        let (database, id) = (self.clone(), index.id);
                        let build = async move {
                            if let Err(error) = database.build_index(id).await {
                                tracing::error!(ledger = %database.name, index = %id, %error, "an index was not built");
                            }
                        };
                        self.tasks.begin("index-build", Box::pin(build)).map_err(|error| {
                            QueryError::new(SqlState::INSUFFICIENT_RESOURCES, format!("cannot start a thread: {error}"))
                        })?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// The newest published snapshot.
    pub fn snapshot(&self) -> u64 {
        self.log.snapshot()
    }

    /// The newest published catalogue.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.state.newest_catalogue()
    }

    /// How many documents a table has now.
    pub fn document_count(&self, table: Id) -> usize {
        self.state.rows.count(table)
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.env.clock.now_ms()
    }

    /// What a client token has committed, if it has.
    pub fn client_token(&self, token: &str) -> Result<Option<TokenCommit>> {
        let Some(number) = self.state.rows.token(token)? else { return Ok(None) };
        let block = self.taken_in(number)?;
        let committed = Committed {
            transaction_id: block.tx_id,
            strand: block.strand,
            block: block.number,
            first_position: block.first_position,
            revisions: block.revisions.len() as u32,
            block_position: block.position,
            time_ms: block.time_ms,
        };
        let digests: Vec<Hash> = block.info.statements.iter().map(|s| s.digest).collect();
        Ok(Some(TokenCommit { committed, body: body_digest(&digests) }))
    }

    /// A block that the index knows. It does so a moment before readers may see the block: they wait that long.
    fn taken_in(&self, number: u64) -> Result<StoredBlock> {
        for _ in 0..SHOWN_TRIES {
            match self.log.read_block(number) {
                Err(ReadError::Beyond { .. }) => std::thread::sleep(SHOWN_WAIT),
                read => return read.map_err(read_error),
            }
        }
        self.log.read_block(number).map_err(read_error)
    }

    /// The first commit of a client token with these statements and parameters. Ask before running an autocommit
    /// statement that carries a token: run again, it might fail on what it did the first time. With another body: an error.
    pub fn committed_by_statements(&self, token: &str, statements: &[(&str, &[Value])]) -> Result<Option<Committed>> {
        let digests: Vec<Hash> = statements.iter().map(|(text, params)| statement_digest(text, params)).collect();
        self.committed_by_token(token, body_digest(&digests))
    }

    pub(crate) fn committed_by_token(&self, token: &str, body: Hash) -> Result<Option<Committed>> {
        match self.client_token(token)? {
            None => Ok(None),
            Some(first) if first.body == body => Ok(Some(first.committed)),
            Some(first) => Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("client token \"{token}\" has been used for another transaction"),
            )
            .detail(format!("It committed block {} with other statements or parameters.", first.committed.block))
            .hint("Take a fresh token for every transaction, and the same one only to repeat it.")),
        }
    }

    /// The snapshot of the last block at or before this time. A time in the future is an error (22023).
    pub fn position_at_time(&self, time_ms: i64) -> Result<u64> {
        let now = self.now_ms();
        if time_ms > now {
            return Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "the time lies in the future: what was so then is not known yet",
            )
            .detail(format!("It is {} ms ahead of the server's clock.", time_ms - now)));
        }
        // Before the first block there is the genesis only.
        Ok(self.log.end_at_time(time_ms).map_err(read_error)?.unwrap_or(1))
    }

    /// The snapshot that sees this block and nothing after it.
    pub fn position_at_block(&self, block: u64) -> Result<u64> {
        self.log.end_of_block(block).map_err(|error| match error {
            ReadError::Beyond { .. } => {
                QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("there is no block {block} yet"))
            }
            other => read_error(other),
        })
    }

    /// A revision by position, from the cache or the journal.
    pub(crate) fn read(&self, position: u64) -> Result<Arc<Doc>> {
        self.read_as(position, Kept::Always)
    }

    /// One that may be of the past: it pushes little out of the cache.
    pub(crate) fn read_past(&self, position: u64) -> Result<Arc<Doc>> {
        self.read_as(position, Kept::Sparingly)
    }

    /// The revisions of a document at these positions, of which the row index says that they are its first ones; `None` if
    /// that is more than `most`.
    pub(crate) fn read_history(
        &self,
        (table, id): (Id, Id),
        positions: &[u64],
        most: Most,
    ) -> Result<Option<Vec<Arc<Doc>>>> {
        if positions.len() > most.revisions {
            return Ok(None);
        }
        let bytes_max = if positions.len() <= most.few { usize::MAX } else { most.bytes };
        let (history, asked) = self.state.histories.get(table, id);
        let mut docs = Vec::new();
        let mut bytes_left = bytes_max;
        if let Some(history) = history {
            let Some(left) = bytes_max.checked_sub(history.docs_bytes()) else { return Ok(None) };
            bytes_left = left;
            docs = history.docs(history.holds(positions))?;
        }
        let rest = positions.get(docs.len()..).unwrap_or_default();
        // What the history is kept with is not kept a second time.
        let keeps = HistoryCache::wants(positions.len(), docs.len());
        let kept = if keeps { Kept::Not } else { Kept::Sparingly };
        match self.read_pasts(rest, most.missing, bytes_left, kept)? {
            Some(rest) => {
                Doc::look_ahead(&rest);
                docs.extend(rest);
            }
            None => return Ok(None),
        }
        if keeps {
            self.state.histories.put(&docs, asked);
        }
        Ok(Some(docs))
    }

    /// Those at these positions, in their order, which may be of the past; `None` if more than so many are missing in the cache,
    /// or they are more bytes.
    fn read_pasts(
        &self,
        positions: &[u64],
        missing_max: usize,
        bytes_max: usize,
        kept: Kept,
    ) -> Result<Option<Vec<Arc<Doc>>>> {
        let (mut bytes, mut missing) = (0, Vec::new());
        let mut docs = Vec::with_capacity(positions.len());
        for position in positions {
            match self.state.cache.get(*position) {
                Some((doc, of_it)) => {
                    bytes += of_it;
                    docs.push(Some(doc));
                }
                None => {
                    missing.push(*position);
                    docs.push(None);
                }
            }
        }
        if bytes > bytes_max || missing.len() > missing_max {
            return Ok(None);
        }
        let mut gaps = docs.iter_mut().filter(|doc| doc.is_none());
        let mut each = |stored| {
            let (doc, of_it) = self.keep(stored, kept);
            bytes += of_it;
            if bytes > bytes_max {
                return ControlFlow::Break(());
            }
            if let Some(gap) = gaps.next() {
                *gap = Some(doc);
            }
            ControlFlow::Continue(())
        };
        if !missing.is_empty() {
            self.log.read_revisions(&missing, &mut each).map_err(read_error)?;
        }
        // All of them or nothing.
        Ok(if bytes > bytes_max { None } else { docs.into_iter().collect() })
    }

    fn read_as(&self, position: u64, kept: Kept) -> Result<Arc<Doc>> {
        if let Some((doc, _)) = self.state.cache.get(position) {
            return Ok(doc);
        }
        Ok(self.keep(self.log.read_revision(position).map_err(read_error)?, kept).0)
    }

    /// What was read as it is shown, with the bytes of memory that it takes.
    fn keep(&self, stored: StoredRevision, kept: Kept) -> (Arc<Doc>, usize) {
        let position = stored.position;
        let mut doc = doc_of(stored);
        if self.state.is_redacted(position) && doc.data.is_some() {
            doc = hide(doc);
        }
        let doc = Arc::new(doc);
        let bytes = self.state.cache.put(doc.clone(), kept);
        // A redaction may have been published since this was read.
        if doc.data.is_some() && self.state.is_redacted(position) {
            self.state.cache.remove(position);
        }
        (doc, bytes)
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(crate) fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The newest snapshot. `kept`: for a transaction that may come to be judged.
    pub(crate) fn open_snapshot(&self, kept: bool) -> (OpenSnapshot, Arc<Catalogue>) {
        let seen = if kept { None } else { self.state.look_at_snapshot(self.log.snapshot()) };
        // Its catalogue goes only if definitions are committed just now: then it waits for its turn like the others.
        seen.unwrap_or_else(|| self.state.open_snapshot(|| self.log.snapshot()))
    }

    pub(crate) fn random16(&self) -> [u8; 16] {
        self.env.rng.bytes16()
    }

    /// As many times 16 random bytes.
    pub(crate) fn random16s(&self, count: usize) -> Vec<[u8; 16]> {
        let mut bytes = vec![[0; 16]; count];
        self.env.rng.fill(bytes.as_flattened_mut());
        bytes
    }

    /// Ids of so many documents, ascending.
    pub(crate) fn new_document_ids(&self, count: usize) -> Vec<Id> {
        self.state.new_document_ids(self.now_ms(), &self.random16s(count))
    }

    pub(crate) fn new_document_id(&self) -> Id {
        self.state.new_document_id(self.now_ms(), self.random16())
    }
}

/// A read that failed as a statement's error.
pub(crate) fn read_error(error: ReadError) -> QueryError {
    let code = match &error {
        ReadError::Damaged(_) => SqlState::DATA_CORRUPTED,
        ReadError::File(_) => SqlState::IO_ERROR,
        ReadError::Beyond { .. } => SqlState::INVALID_PARAMETER_VALUE,
        _ => SqlState::INTERNAL,
    };
    QueryError::new(code, error.to_string())
}

/// An opening that failed as a statement's error.
pub(crate) fn open_error(error: OpenError) -> QueryError {
    let code = match &error {
        OpenError::Locked(_) => SqlState::OBJECT_IN_USE,
        OpenError::NoLedger { .. } => SqlState::INVALID_CATALOG_NAME,
        OpenError::Damaged(_) | OpenError::BehindCheckpoint { .. } | OpenError::Rotation { .. } => {
            SqlState::DATA_CORRUPTED
        }
        OpenError::Key { .. } => SqlState::INVALID_PARAMETER_VALUE,
        _ => SqlState::IO_ERROR,
    };
    QueryError::new(code, error.to_string())
}

fn doc_of(stored: StoredRevision) -> Doc {
    let tx_time_ms = stored.tx_time_ms();
    let (data, salt) = match stored.data {
        Some(data) => {
            let (data, salt) = without_salt(data);
            (Some(data), salt)
        }
        None => (None, None),
    };
    Doc {
        table_id: stored.table_id,
        id: stored.document_id,
        position: stored.position,
        version: stored.version,
        block: stored.block,
        tx_time_ms,
        tx_id: stored.tx_id,
        supersedes: stored.supersedes,
        successor: None,
        data,
        salt,
        data_hash: stored.data_hash,
    }
}
