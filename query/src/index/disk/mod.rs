//! The row index in use: a bounded delta in memory over files in `index/` (docs/architecture.md, "The row index").
//!
//! | module | what lives there |
//! |---|---|
//! | `entry` | what is said of documents, keys and tokens, as ordered bytes |
//! | `delta` | what is newer than the files |
//! | `run`, `block`, `separators`, `filter`, `checksum` | a file of entries, written once |
//! | `cache` | blocks that were read lately |
//! | `merge` | several sources as one |
//! | `read`, `write` | the functions of [`Rows`](super::Rows) |
//! | `point` | the one document that has a key |
//! | `upkeep` | deltas become runs, runs become larger ones, redacted keys go |
//! | `manifest` | what was written, and up to where |
//! | `check` | all of it read, for `ledgerstone doctor` |
//!
//! Every revision goes into the delta before it is published. A delta that is full is frozen and written as a run; the
//! manifest then says up to which position the runs know the journal. What lies behind that is replayed at the next
//! start. So nothing here is ever needed: what is missing, damaged or of another history is dropped, and the journal
//! says it again.

mod block;
mod cache;
mod check;
mod checksum;
mod delta;
mod entry;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod manifest;
mod merge;
mod point;
mod read;
mod run;
mod separators;
mod upkeep;
mod write;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_journal::Env;
use ledgerstone_journal::env::Waiting;

use super::{IndexError, Key};
use cache::BlockCache;
use delta::{Delta, Facts, View};
use entry::Place;
use manifest::Manifest;
use run::Run;
use upkeep::{Files, Signal};

pub use check::{IndexReport, check_index};
pub(crate) use checksum::hash64;
pub use upkeep::Upkeep;

/// The directory of the index inside a ledger's.
pub const INDEX_DIR: &str = "index";

/// Losses of keys kept in order of position, for fresh snapshots.
const RECENT_MAX: usize = 4096;

/// How much is kept in memory, and how runs grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// Revisions in the delta before it is written: what a start after a crash replays.
    pub delta_revisions_max: usize,
    /// Memory of the delta, in bytes.
    pub delta_bytes_max: usize,
    /// Runs of one size that are merged into a larger one.
    pub merge_runs: usize,
    /// Memory for blocks that were read lately, in bytes.
    pub cache_bytes_max: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        IndexOptions {
            delta_revisions_max: 25_000,
            delta_bytes_max: 32 << 20,
            merge_runs: 4,
            cache_bytes_max: 256 << 20,
        }
    }
}

/// H of the leaf at a position of the journal.
pub type LeafHash = Arc<dyn Fn(u64) -> Result<Hash, String> + Send + Sync>;

/// The row index of one ledger, on disk.
pub struct DiskRows {
    env: Env,
    dir: PathBuf,
    ledger: Id,
    options: IndexOptions,
    leaf: LeafHash,
    inner: RwLock<Inner>,
    /// Held while what stands there is looked up and changed.
    writing: Mutex<()>,
    /// Held while files are made.
    files: Mutex<Files>,
    /// Who waits for `files`, or for the thread to end.
    hurry: Waiting,
    signal: Signal,
    cache: Arc<BlockCache>,
    /// How often keys were cut out of what stood there already: a reader that met it begins again.
    cuts: AtomicU64,
    /// A thread writes the frozen deltas; otherwise whoever freezes one does.
    has_thread: AtomicBool,
    /// Why nothing is answered any more.
    broken: OnceLock<IndexError>,
    /// A file that is not what was written. What is whole goes on answering; nothing more is written.
    damaged: OnceLock<IndexError>,
    /// Losses before this position are not in `recent`.
    opened_at: u64,
}

struct Inner {
    delta: Delta,
    recent: HashMap<Place, Recent>,
    facts: Facts,
    view: Arc<View>,
}

/// The last losses of keys in one index.
struct Recent {
    losses: VecDeque<Loss>,
    /// Losses at positions below this may be missing.
    floor: u64,
}

/// A document had a key in [from, to).
struct Loss {
    to: u64,
    key: Key,
    id: Id,
    from: u64,
}

impl DiskRows {
    /// Opens the index of the ledger in this directory, whose journal ends at `end`. What cannot be used is dropped; the
    /// second value says why.
    pub fn open(
        env: &Env,
        ledger_dir: &Path,
        ledger: Id,
        end: u64,
        options: IndexOptions,
        leaf: LeafHash,
    ) -> (DiskRows, Option<String>) {
        let dir = ledger_dir.join(INDEX_DIR);
        let cache = Arc::new(BlockCache::new(options.cache_bytes_max));
        let found = load(env, &dir, ledger, end, &leaf, &cache);
        let (loaded, dropped) = match found {
            Ok(loaded) => (loaded, None),
            Err(why) => (None, Some(why.to_string())),
        };
        let (facts, runs, leaf_hash) = match loaded {
            Some((Manifest { facts, leaf, .. }, runs)) => (facts, runs, leaf),
            None => (Facts::default(), Vec::new(), Hash::ZERO),
        };
        let files = Files::new(env, &dir, &runs, facts.clone(), leaf_hash);
        let rows = DiskRows {
            env: env.clone(),
            dir,
            ledger,
            options,
            leaf,
            opened_at: facts.position,
            inner: RwLock::new(Inner {
                delta: Delta::new(options.delta_revisions_max),
                recent: HashMap::new(),
                facts,
                view: Arc::new(View { frozen: Vec::new(), runs }),
            }),
            writing: Mutex::default(),
            files: Mutex::new(files),
            hurry: Waiting::default(),
            signal: Signal::default(),
            cache,
            cuts: AtomicU64::new(0),
            has_thread: AtomicBool::new(false),
            broken: OnceLock::new(),
            damaged: OnceLock::new(),
        };
        (rows, dropped)
    }

    /// Everything before this position is in; the journal has to be replayed from here.
    pub fn position(&self) -> u64 {
        self.read().facts.position
    }

    /// What was kept for others when the last delta was frozen.
    pub fn notes(&self) -> Vec<u8> {
        self.read().facts.notes.clone()
    }

    /// The positions whose redaction is recorded.
    pub fn redacted(&self) -> Result<Vec<u64>, IndexError> {
        self.all_redacted()
    }

    /// Whether an index has the key of every document of its table.
    pub fn is_complete(&self, index: Id) -> bool {
        self.read().facts.indexes.get(&index).is_some_and(|facts| facts.complete)
    }

    /// An index has been filled.
    pub fn set_complete(&self, index: Id) {
        if let Some(facts) = self.write().facts.indexes.get_mut(&index) {
            facts.complete = true;
        }
    }

    /// Entries in memory and in files, and how many files.
    pub fn sizes(&self) -> (usize, u64, usize) {
        let inner = self.read();
        let waiting: usize = inner.view.frozen.iter().map(|frozen| frozen.entries.len()).sum();
        let written = inner.view.runs.iter().map(|run| run.name.entries).sum();
        (inner.delta.entries.len() + waiting, written, inner.view.runs.len())
    }

    /// Nothing is answered from now on, and the next start makes the index again.
    pub fn give_up(&self, error: IndexError) {
        tracing::error!(%error, "the row index cannot be used any more; the next start makes it again from the journal");
        self.forget_files();
        let _ = self.broken.set(error);
    }

    /// Sees to it that what is damaged is made again, by the next start.
    fn noticed(&self, error: IndexError) -> IndexError {
        if matches!(error, IndexError::Damaged { .. }) && self.damaged.set(error.clone()).is_ok() {
            tracing::error!(%error, "the row index is damaged; the next start makes it again from the journal");
            self.forget_files();
        }
        error
    }

    /// The next start makes the index again.
    fn forget_files(&self) {
        let path = self.dir.join(manifest::MANIFEST);
        if let Err(error) = self.env.storage.remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "the manifest of the damaged index cannot be removed");
        }
    }

    fn sound(&self) -> Result<(), IndexError> {
        self.broken.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the files say.
type Loaded = (Manifest, Vec<Arc<Run>>);

/// What the files say, if they are of this ledger and its history.
fn load(
    env: &Env,
    dir: &Path,
    ledger: Id,
    end: u64,
    leaf: &LeafHash,
    cache: &Arc<BlockCache>,
) -> Result<Option<Loaded>, IndexError> {
    let storage = &*env.storage;
    let Some(manifest) = Manifest::read(storage, dir)? else { return Ok(None) };
    let damage = |what: String| IndexError::damaged(&dir.join(manifest::MANIFEST), 0, &what);
    let position = manifest.facts.position;
    if manifest.ledger != ledger {
        return Err(damage(format!("it is of ledger {}", manifest.ledger)));
    }
    if position > end {
        return Err(damage(format!("it knows the journal up to position {position}, but that ends at {end}")));
    }
    let before = position.checked_sub(1).ok_or_else(|| damage("it knows nothing of the journal".to_owned()))?;
    if leaf(before).map_err(damage)? != manifest.leaf {
        return Err(damage(format!("the leaf at position {before} is another one: the journal has another history")));
    }
    let runs = manifest.runs.iter().map(|name| Run::open(storage, dir, *name, cache).map(Arc::new));
    let runs = runs.collect::<Result<Vec<_>, IndexError>>()?;
    Ok(Some((manifest, runs)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
