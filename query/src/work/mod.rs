//! Where statements work: how much memory they may keep, alone and together, and the files that take what does not fit
//! (docs/format.md, "Spill files").

mod memory;
mod spill;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ledgerstone_journal::Env;
use ledgerstone_journal::env::{Storage, help_for};

use crate::error::{QueryError, SqlState};

pub(crate) use memory::{Held, Memory, Share};
pub use memory::{Pool, WorkLimits};
pub(crate) use spill::{Cursor, SpillFile, pack, unpack};

/// The directory of spill files in a ledger's directory.
pub const SPILL_DIR: &str = "spill";

/// A ledger's place for work that does not fit in memory, and the memory that it shares with the other ledgers.
pub(crate) struct Workspace {
    pub pool: Arc<Pool>,
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    next: AtomicU64,
}

impl Workspace {
    /// Removes what a process that was killed may have left. That holds no rows: see [`SpillFile`].
    pub fn open(env: &Env, ledger: &Path, pool: Arc<Pool>) -> Arc<Workspace> {
        let directory = ledger.join(SPILL_DIR);
        let workspace = Workspace { pool, storage: Arc::clone(&env.storage), directory, next: AtomicU64::new(0) };
        workspace.clear();
        Arc::new(workspace)
    }

    /// Removes the directory. A disk that refuses to is told in the log: nothing depends on it.
    pub fn clear(&self) {
        if !self.storage.exists(&self.directory) {
            return;
        }
        if let Err(error) = self.storage.remove_dir_all(&self.directory) {
            let path = self.directory.display();
            tracing::warn!(%path, %error, help = help_for(&error), "the directory of spill files was not removed");
        }
    }

    /// The memory of one statement.
    pub fn memory(&self) -> Memory<'_> {
        Memory::new(&self.pool)
    }
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The statement could go on if it had more memory (53200): whoever can do without waits, or puts rows on the disk.
pub(crate) fn is_short(error: &QueryError) -> bool {
    error.code == SqlState::OUT_OF_MEMORY
}
