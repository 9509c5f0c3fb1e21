//! Backups: the journal as of a signed checkpoint, taken while the ledger is written to, and put back as a ledger
//! (docs/operations.md, "Backups").
//!
//! A backup is a ledger's directory without anything derived: its segments, cut where the checkpoint's last batch ends,
//! the checkpoint, and the notes of the key's rotations. So `verify` reads it as it is. A file `backup` beside them says
//! how far each segment was copied, so that the next backup into the same directory sends what is new: segments never
//! change behind what is durable, except that a redaction writes one again, with another header. The key is not in it.
//!
//! | module | what it does |
//! |---|---|
//! | `take` | reads an open ledger as of a checkpoint |
//! | `receive` | writes what was read into the backup's directory |
//! | `record` | the file `backup` |
//! | `restore` | makes a ledger of a backup, to be read only until somebody vouches for it |

mod receive;
mod record;
mod restore;
mod take;

use std::path::PathBuf;

use ledgerstone_digest::{Hash, Id};

pub use receive::{Received, Receiving};
pub(crate) use restore::READ_ONLY;
pub use restore::{RESTORED_FILE, confirm, is_restored, restore};
pub use take::{Backup, Part};

use crate::checkpoint::CheckpointError;
use crate::error::{FileError, ReadError};
use crate::slots::SlotError;

/// Beside the segments of a backup: what it is a backup of, and how far.
pub const BACKUP_FILE: &str = "backup";
/// Ends the name of a file that is still being written.
const PART_SUFFIX: &str = ".part";

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub ledger: Id,
    /// What the ledger's checkpoints are signed as.
    pub origin: String,
    /// The verifier key, as text. Whoever restores compares it with one that comes from elsewhere.
    pub vkey: String,
    /// The leaves of the checkpoint, and of the backup.
    pub size: u64,
    /// The checkpoint, signed.
    pub note: String,
    pub segments: u64,
    /// The notes with which keys handed over so far, by size: what lets those follow who hold an older key.
    pub rotations: Vec<(u64, String)>,
}

/// A segment, as far as a backup has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub number: u64,
    /// H of its header's page. Another one: the segment was written again.
    pub header_hash: Hash,
    /// Its batches end here; zeros follow.
    pub used_bytes: u64,
}

/// Why there is no backup, or no ledger made of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No checkpoint to cut the backup at.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// The directory is something else.
    #[error("{}: {what}", path.display())]
    Directory {
        path: PathBuf,
        /// What it is, and what helps.
        what: String,
    },
    /// What was sent is not a backup.
    #[error("the backup that was sent does not fit: {0}")]
    Sent(String),
    /// Who takes the backup has gone.
    #[error("the backup was given up")]
    GivenUp,
}
