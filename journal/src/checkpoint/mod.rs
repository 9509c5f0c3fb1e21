//! Checkpoints (C2SP `tlog-checkpoint`): the recorded one, and the task that signs the next.
//!
//! The order is fixed: commits are durable, then acknowledged; then the newest durable block boundary is signed — at
//! most once a second, at once when somebody asks — stored in the ledger's `checkpoint` file, synced, and only then
//! served. Before signing, the leaves are derived again from the bytes read back from the journal, and the new tree
//! is checked to extend the one signed before. `checkpoint` is not derived state: without it a ledger does not start.
//!
//! | module | what lives there |
//! |---|---|
//! | `recorded` | the file of the newest checkpoint, as a start finds it |
//! | `notary` | who signs, and hands over from key to key |

mod notary;
mod recorded;

use std::path::PathBuf;
use std::sync::Arc;

use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::note::{self, SigningKey};

use crate::env::is_full;
use crate::error::FileError;
use crate::slots::SlotError;
use crate::tree::TreeError;

pub use notary::{Due, Leaves, Notary, Signers};
pub use recorded::{Recorded, UnverifiedRecorded, create};

/// The file of the recorded checkpoint inside a ledger's directory.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// Identifies `checkpoint`.
pub const CHECKPOINT_MAGIC: [u8; 8] = *b"LSCHKP\x00\x01";

/// Why there is no checkpoint.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    /// The file is missing beside a journal that has blocks or a genesis.
    #[error(
        "{} is missing; it is not derived from the journal, so the ledger does not start without it: restore it from \
         the backup that has the newest one",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the checkpoint file: {0}")]
    File(Arc<SlotError>),
    /// The recorded note is not a checkpoint of this ledger by its key.
    #[error("{}: the recorded checkpoint does not verify: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with the note.
        reason: String,
    },
    /// The journal is shorter than what was signed.
    #[error(
        "{}: records a signed tree of {recorded} leaves, but the journal reaches only {journal}; acknowledged data is \
         missing: restore the journal, do not delete the checkpoint",
        path.display()
    )]
    NotReached {
        /// The file.
        path: PathBuf,
        /// The signed size.
        recorded: u64,
        /// The leaves the journal has.
        journal: u64,
    },
    /// The journal's leaves give another root than what was signed.
    #[error(
        "{}: records root {recorded} at {size} leaves, but the journal gives {found}; run `ledgerstone verify` to find \
         the damage",
        path.display()
    )]
    OtherRoot {
        /// The file.
        path: PathBuf,
        /// The size of both trees.
        size: u64,
        /// The signed root.
        recorded: Hash,
        /// The root of the journal's leaves.
        found: Hash,
    },
    /// The note with which a key hands over cannot be kept.
    #[error("the note of the key's rotation: {0}")]
    Note(Arc<FileError>),
    /// The key cannot sign for this ledger.
    #[error("the key cannot sign this ledger's checkpoints: {0}")]
    Key(String),
    /// The journal could not be read back, so nothing is signed over it.
    #[error("nothing is signed beyond {signed} leaves: {reason}")]
    Journal {
        /// The newest signed size.
        signed: u64,
        /// What the reader said, with file and offset.
        reason: String,
    },
    /// The tree's files failed.
    #[error(transparent)]
    Tree(Arc<TreeError>),
}

impl CheckpointError {
    /// Whether room on the disk would help.
    pub fn is_full(&self) -> bool {
        match self {
            CheckpointError::Tree(error) => error.is_full(),
            CheckpointError::File(error) => matches!(&**error, SlotError::Io { source, .. } if is_full(source)),
            CheckpointError::Note(error) => is_full(&error.source),
            _ => false,
        }
    }
}

impl From<TreeError> for CheckpointError {
    fn from(error: TreeError) -> Self {
        CheckpointError::Tree(Arc::new(error))
    }
}

impl From<FileError> for CheckpointError {
    fn from(error: FileError) -> Self {
        CheckpointError::Note(Arc::new(error))
    }
}

impl From<SlotError> for CheckpointError {
    fn from(error: SlotError) -> Self {
        CheckpointError::File(Arc::new(error))
    }
}

/// A signed checkpoint, and the note that says so.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Origin, size and root.
    pub checkpoint: Checkpoint,
    /// The signed note, to be served as it is.
    pub note: Arc<str>,
}

/// Signs with each of the keys, in order.
fn sign(origin: &str, size: u64, root: Hash, keys: &[&SigningKey]) -> Result<Signed, CheckpointError> {
    let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
    let wrong = |error: &dyn std::fmt::Display| CheckpointError::Key(error.to_string());
    // What a key refuses to sign alone, none signs.
    let mut notes = keys.iter().map(|key| checkpoint.sign(key).map_err(|error| wrong(&error)));
    let alone = notes.next().ok_or_else(|| wrong(&"there is none"))??;
    for refused in notes {
        refused?;
    }
    let note = match keys {
        [_] => alone,
        several => note::sign(&checkpoint.to_note_text(), several).map_err(|error| wrong(&error))?,
    };
    Ok(Signed { checkpoint, note: note.into() })
}
