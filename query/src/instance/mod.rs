//! The ledgers of one server: a directory of them, by name (DESIGN section 8).
//!
//! `<data>/<name>/` is a ledger's directory, as the journal makes it; `<data>/<name>.protected` beside it, if there, says
//! that the ledger may not be dropped, `<data>/<name>.settings` holds what else its owner has set, `<data>/<name>.exports` the
//! journal exports that were asked for, and the directory `<data>/<name>.streams` what is kept of its journal streams. Keys are
//! in a directory of their own, by the ledger's id, which the journal's first segment names.

mod beside;
pub mod exports;
mod journal_exports;
mod settings;
mod stream_files;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ledgerstone_digest::id::Id;
use ledgerstone_journal::env::{EntryKind, OpenMode, help_for, is_full, read_exact_at};
use ledgerstone_journal::keys::{KeyDirectory, KeyError};
use ledgerstone_journal::recovery::origin_of;
use ledgerstone_journal::segment::{JOURNAL_DIR, SegmentHeader, segment_path};
use ledgerstone_journal::{Damage, Help};
use ledgerstone_journal::{Env, Keys};

use crate::database::{Database, DatabaseOptions, Limits, MemoryLimits};
use crate::error::{QueryError, Result, SqlState};
use crate::permission::{Action, Permit, Policy, Resource};
use crate::session::Sessions;
use crate::work::{Pool, WorkLimits};
use beside::Beside;
pub use journal_exports::{EXPORTS_MAX, ExportJob, ExportState, LISTED_MS};
pub use settings::{LedgerSettings, PermissionsMode, TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX, check_tags};

/// The ledger that the first start makes.
pub const MAIN: &str = "main";
/// The longest name of a ledger, as in QLDB.
pub const NAME_CHARACTERS_MAX: usize = 32;
/// What goes with a ledger.
const BESIDE: [Beside; 2] = [settings::SETTINGS, journal_exports::EXPORTS];
/// How many bytes of a segment hold its header.
const HEADER_BYTES: usize = 4096;

/// All ledgers of a server.
pub struct Instance {
    options: InstanceOptions,
    keys: KeyDirectory,
    open: Mutex<BTreeMap<String, Arc<Database>>>,
    /// Held while a stream's file is written, and while a ledger is dropped.
    streams: Mutex<()>,
    exports: OnceLock<PathBuf>,
    policy: OnceLock<Arc<dyn Policy>>,
    /// Counts what may change who needs permits: open sessions ask again when they see another number.
    permissions: AtomicU64,
    pool: Arc<Pool>,
    sessions: Arc<Sessions>,
}

/// Where the ledgers are and what holds for all of them.
#[derive(Clone)]
pub struct InstanceOptions {
    pub env: Env,
    pub data: PathBuf,
    /// Never inside `data`.
    pub keys: PathBuf,
    /// The origin of a ledger's checkpoints is this, a slash, and its id.
    pub origin_prefix: String,
    pub limits: Limits,
    /// What of each ledger is kept in memory.
    pub memory: MemoryLimits,
    /// What the statements of all ledgers may keep while they work.
    pub work: WorkLimits,
}

/// A ledger as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSummary {
    pub name: String,
    pub deletion_protection: bool,
}

impl Instance {
    /// Opens every ledger under the data directory; the first start makes `main`. A ledger that cannot be opened does not
    /// keep the others from working: asking for it gives its error. If none can be opened, that is an error.
    pub fn open(options: InstanceOptions) -> Result<Arc<Instance>> {
        let storage = &options.env.storage;
        if storage.exists(&options.data.join(JOURNAL_DIR)) && storage.exists(&segment_path(&options.data, 0)) {
            let what = format!("{} is the directory of one ledger, not of a server's data", options.data.display());
            let above = options.data.parent().filter(|path| !path.as_os_str().is_empty());
            let above = above.unwrap_or(std::path::Path::new(".")).display();
            return Err(QueryError::new(SqlState::INVALID_CATALOG_NAME, what)
                .hint(format!("Give the directory above it: --data {above}")));
        }
        storage.create_dir_all(&options.data).map_err(|e| io_error("make the data directory", &options.data, e))?;
        // Its own name must be durable before anything in it is acknowledged.
        let parent = options.data.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or(std::path::Path::new("."));
        storage.sync_dir(parent).map_err(|e| io_error("sync", parent, e))?;
        let keys = KeyDirectory::open(&options.keys, &options.data).map_err(key_error)?;
        let pool = Pool::new(options.work);
        let instance = Arc::new(Instance {
            options,
            keys,
            open: Mutex::default(),
            streams: Mutex::default(),
            exports: OnceLock::new(),
            policy: OnceLock::new(),
            permissions: AtomicU64::new(0),
            pool,
            sessions: Arc::default(),
        });
        let names = instance.names()?;
        if names.is_empty() {
            instance.create_ledger(MAIN, false)?;
            return Ok(instance);
        }
        let mut failure = None;
        for name in &names {
            if let Err(error) = instance.ledger(name) {
                tracing::error!(ledger = name, %error, hint = error.hint, "the ledger cannot be opened");
                failure = failure.or(Some(error));
            }
        }
        let none = instance.opened().is_empty();
        match failure {
            Some(error) if none => Err(error),
            _ => Ok(instance),
        }
    }

    /// Whether this ledger was opened and is served.
    pub fn is_served(&self, name: &str) -> bool {
        self.opened().contains_key(name)
    }

    /// Who is connected.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Lets `COPY … TO 'name'` write below this directory, which is made if need be. It must lie apart from data and keys.
    pub fn set_exports(&self, directory: &std::path::Path) -> Result<()> {
        let exports = exports::prepared(directory, &[&self.options.data, &self.options.keys])?;
        // Said once, at the start.
        let _ = self.exports.set(exports);
        Ok(())
    }

    /// Lets a policy say who may do what. Said once, at the start.
    pub fn set_policy(&self, policy: Arc<dyn Policy>) {
        let _ = self.policy.set(policy);
        self.permissions_changed();
    }

    /// A number that is another one after whatever may change the answers of [`Instance::permit`]. Read it before asking.
    pub(crate) fn permissions_version(&self) -> u64 {
        self.permissions.load(Ordering::Acquire)
    }

    fn permissions_changed(&self) {
        self.permissions.fetch_add(1, Ordering::Release);
    }

    /// The permit whose checks statements of this user need in this ledger; `None` if they need none.
    pub fn permit(&self, ledger: &str, user: &str) -> Result<Option<Permit>> {
        // Without a policy nothing has to be read.
        let Some(permit) = self.permit_of(ledger, user) else { return Ok(None) };
        let asks = self.settings(ledger)?.permissions == PermissionsMode::Standard;
        Ok(asks.then_some(permit))
    }

    /// Refuses (42501) what is done to a ledger as a whole if the policy does not allow it, in whatever mode the ledger is.
    pub fn check_operator(&self, ledger: &str, user: &str, action: Action) -> Result<()> {
        self.check_resource(ledger, user, action, Resource::Ledger)
    }

    /// The same for something that belongs to a ledger.
    pub fn check_resource(&self, ledger: &str, user: &str, action: Action, resource: Resource<'_>) -> Result<()> {
        self.permit_of(ledger, user).map_or(Ok(()), |permit| permit.check(action, resource))
    }

    /// The names of ledgers that a user may know: all with the permission to list them, else those in which they may open a
    /// session.
    pub fn ledgers_known_to(&self, user: &str) -> Vec<String> {
        let mut names: Vec<String> = self.ledgers().into_iter().map(|ledger| ledger.name).collect();
        if self.check_operator("*", user, Action::ListLedgers).is_err() {
            names.retain(|name| match self.permit(name, user) {
                Ok(permit) => permit.is_none_or(|p| p.check(Action::SendCommand, Resource::Ledger).is_ok()),
                Err(_) => false,
            });
        }
        names
    }

    /// `None` without a policy.
    fn permit_of(&self, ledger: &str, user: &str) -> Option<Permit> {
        let policy = Arc::clone(self.policy.get()?);
        Some(Permit { policy, user: user.into(), ledger: ledger.into() })
    }

    /// What the wall clock says.
    pub fn now_ms(&self) -> i64 {
        self.options.env.clock.now_ms()
    }

    /// What statements keep while they work.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Where exports go, if anywhere.
    pub fn exports(&self) -> Option<&std::path::Path> {
        self.exports.get().map(PathBuf::as_path)
    }

    /// The ledger of this name. Unknown: 3D000, with a hint that lists what exists.
    pub fn ledger(&self, name: &str) -> Result<Arc<Database>> {
        let mut open = self.opened();
        if let Some(database) = open.get(name) {
            return Ok(database.clone());
        }
        self.must_exist(name)?;
        let dir = self.options.data.join(name);
        let (keys, path) = self.keys_of(name)?;
        let (options, pool) = (self.database_options(), Arc::clone(&self.pool));
        let opened = Database::open_sharing(&self.options.env, &dir, name, keys, options, pool);
        let database = opened.map_err(|error| match error.code {
            SqlState::INVALID_PARAMETER_VALUE => error.hint(format!("The key was read from {}.", path.display())),
            _ => error,
        })?;
        open.insert(name.to_owned(), database.clone());
        Ok(database)
    }

    /// Every ledger by name, those that cannot be opened among them.
    pub fn ledgers(&self) -> Vec<LedgerSummary> {
        let names = self.names().unwrap_or_else(|error| {
            tracing::error!(%error, "the data directory cannot be listed");
            self.opened().keys().cloned().collect()
        });
        names.into_iter().map(|name| LedgerSummary { deletion_protection: self.is_protected(&name), name }).collect()
    }

    pub fn create_ledger(&self, name: &str, deletion_protection: bool) -> Result<Arc<Database>> {
        self.create_ledger_with(name, deletion_protection, &LedgerSettings::default())
    }

    /// Makes a ledger that has these settings from the start.
    pub fn create_ledger_with(
        &self,
        name: &str,
        deletion_protection: bool,
        settings: &LedgerSettings,
    ) -> Result<Arc<Database>> {
        check_name(name)?;
        settings.check()?;
        let Instance { options, keys, .. } = self;
        {
            // Held while the files are made, so that nobody opens them half made.
            let _open = self.opened();
            let dir = options.data.join(name);
            // On a file system that ignores case two names may be one directory.
            if options.env.storage.exists(&dir) {
                return Err(QueryError::new(SqlState::DUPLICATE_DATABASE, format!("ledger \"{name}\" already exists")));
            }
            self.remove_streams(name)?;
            // First, so that a crash leaves no ledger with less protection than was asked for.
            BESIDE.iter().try_for_each(|beside| self.remove_beside(name, *beside))?;
            if *settings != LedgerSettings::default() {
                self.write_settings(name, settings)?;
            }
            let id = Id(options.env.rng.bytes16());
            let origin = origin_of(&options.origin_prefix, id);
            let key = keys.create(id, &origin, &*options.env.rng).map_err(key_error)?;
            Database::create(&options.env, &dir, id, &options.origin_prefix, key)?;
        }
        if deletion_protection {
            self.set_deletion_protection(name, true)?;
        }
        self.ledger(name)
    }

    /// Removes a ledger and its files, unless it is protected. Its key stays. Sessions still on it can read what is in
    /// memory at most.
    pub fn drop_ledger(&self, name: &str) -> Result<()> {
        let _streams = self.hold_streams();
        // Not `ledger`: one that is damaged may be dropped too.
        let mut open = self.opened();
        self.must_exist(name)?;
        if self.is_protected(name) {
            return Err(QueryError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("ledger \"{name}\" is protected against deletion"),
            )
            .hint("Turn its deletion protection off first."));
        }
        let storage = &self.options.env.storage;
        let dir = self.options.data.join(name);
        // Away under its name first, so that a crash half-way leaves no half ledger.
        let gone = self.options.data.join(format!(".{name}.dropped"));
        // What a crash has left of one that had the same name.
        if storage.exists(&gone) {
            storage.remove_dir_all(&gone).map_err(|e| io_error("remove", &gone, e))?;
        }
        if let Some(database) = open.remove(name) {
            database.close()?;
        }
        storage.rename(&dir, &gone).map_err(|e| io_error("rename", &dir, e))?;
        self.remove_streams(name)?;
        BESIDE.iter().try_for_each(|beside| self.remove_beside(name, *beside))?;
        storage.sync_dir(&self.options.data).map_err(|e| io_error("sync", &self.options.data, e))?;
        storage.remove_dir_all(&gone).map_err(|e| io_error("remove", &gone, e))
    }

    pub fn set_deletion_protection(&self, name: &str, on: bool) -> Result<()> {
        let storage = &self.options.env.storage;
        let path = self.protection_path(name);
        self.must_exist(name)?;
        if on {
            let file = storage.open(&path, OpenMode::Create).map_err(|e| io_error("make", &path, e))?;
            file.sync_data().map_err(|e| io_error("sync", &path, e))?;
        } else if storage.exists(&path) {
            storage.remove_file(&path).map_err(|e| io_error("remove", &path, e))?;
        }
        storage.sync_dir(&self.options.data).map_err(|e| io_error("sync", &self.options.data, e))
    }

    /// Closes every ledger: no more writes, final checkpoint. The first error is told after all have been closed.
    pub fn close(&self) -> Result<()> {
        let open = std::mem::take(&mut *self.opened());
        let mut outcome = Ok(());
        for (_, database) in open {
            outcome = outcome.and(database.close());
        }
        outcome
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Database>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database_options(&self) -> DatabaseOptions {
        let (limits, work) = (self.options.limits, self.options.work);
        DatabaseOptions { limits, work, ..DatabaseOptions::default() }.within(self.options.memory)
    }

    fn must_exist(&self, name: &str) -> Result<()> {
        if self.names()?.iter().any(|n| n == name) { Ok(()) } else { Err(self.unknown(name)) }
    }

    fn unknown(&self, name: &str) -> QueryError {
        let error = QueryError::new(SqlState::INVALID_CATALOG_NAME, format!("ledger \"{name}\" does not exist"));
        match self.names() {
            // With a policy names are for those who may list them.
            Ok(names) if self.policy.get().is_none() => error.hint(format!("There is: {}.", names.join(", "))),
            _ => error,
        }
    }

    /// The ledgers in the data directory.
    fn names(&self) -> Result<Vec<String>> {
        let data = &self.options.data;
        let entries = self.options.env.storage.read_dir(data).map_err(|e| io_error("list", data, e))?;
        let ledgers = entries.into_iter().filter(|e| e.kind == EntryKind::Directory && is_name(&e.name));
        Ok(ledgers.map(|e| e.name).collect())
    }

    fn protection_path(&self, name: &str) -> PathBuf {
        self.options.data.join(format!("{name}.protected"))
    }

    /// Whether a ledger may not be dropped.
    pub fn is_protected(&self, name: &str) -> bool {
        self.options.env.storage.exists(&self.protection_path(name))
    }

    /// The keys of a ledger on disk, and the file of the one in force. Which that is, is for the journal to judge.
    fn keys_of(&self, name: &str) -> Result<(Keys, PathBuf)> {
        let storage = &self.options.env.storage;
        let dir = self.options.data.join(name);
        let path = segment_path(&dir, 0);
        let damaged = |what: String| {
            let damage = Damage { path: path.clone(), offset: 0, what, help: Help::Restore };
            QueryError::new(SqlState::DATA_CORRUPTED, format!("the journal is damaged: {damage}"))
        };
        if !storage.exists(&dir.join(JOURNAL_DIR)) {
            let what = format!("{}: there is no ledger here ({JOURNAL_DIR} is missing)", dir.display());
            return Err(QueryError::new(SqlState::INVALID_CATALOG_NAME, what)
                .hint("Move the directory elsewhere if it is not a ledger's; restore it from a backup if it is."));
        }
        let file = match storage.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(damaged("the segment is missing".to_owned()));
            }
            opened => opened.map_err(|e| io_error("open", &path, e))?,
        };
        let mut page = vec![0; HEADER_BYTES];
        match read_exact_at(&*file, &mut page, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(damaged("the file ends inside its header".to_owned()));
            }
            read => read.map_err(|e| io_error("read", &path, e))?,
        }
        let header = SegmentHeader::decode(&page).map_err(|e| damaged(format!("this is not a segment ({e:?})")))?;
        let ring = self.keys.ring(header.ledger);
        ring.all().map_err(|error| {
            let detail = format!("{} says that it belongs to ledger {}", path.display(), header.ledger);
            key_error(error).detail(detail)
        })?;
        Ok((Keys::new(ring), self.keys.key_path(header.ledger)))
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("\"{name}\" cannot be the name of a ledger"))
        .hint(format!("A name has 1 to {NAME_CHARACTERS_MAX} of the characters A-Z, a-z, 0-9, - and _.")))
}

pub(crate) fn key_error(error: KeyError) -> QueryError {
    let code = if error.is_full() { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
    QueryError::new(code, error.to_string())
}

pub(crate) fn io_error(action: &str, path: &std::path::Path, error: std::io::Error) -> QueryError {
    let code = if is_full(&error) { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
    QueryError::new(code, format!("{}: cannot {action}: {error}{}", path.display(), help_for(&error)))
}
