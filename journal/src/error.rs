//! Errors, one enumeration per operation, so that a caller sees only what can happen to it. Each says what is wrong,
//! where, and what helps.

use std::io;
use std::path::PathBuf;

use crate::env::help_for;
use crate::keys::KeyError;

/// Why bytes of the journal were refused: what was found, in which file and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: offset {offset}: {what}; {}", path.display(), help.text())]
pub struct Damage {
    pub path: PathBuf,
    pub offset: u64,
    pub what: String,
    pub help: Help,
}

/// What the operator can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Help {
    /// The journal itself is not what was written.
    Restore,
    /// Only a derived file is wrong.
    Rebuild,
    /// The file does not belong where it is.
    Move,
    /// A newer program wrote this.
    Upgrade,
}

impl Help {
    /// For the report of `verify`, which shows the extent itself.
    pub(crate) fn text_in_report(self) -> &'static str {
        match self {
            Help::Restore => "keep a copy of the directory, and restore the file from a backup",
            help => help.text(),
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Help::Restore => {
                "run `ledgerstone verify DIR` to see the extent, keep a copy of the directory, and restore the file from a backup"
            }
            Help::Rebuild => "run `ledgerstone doctor DIR` to rebuild what is derived",
            Help::Move => {
                "give a segment that was renamed its name again (20 digits and .seg), move anything else out of the \
                 directory, and start again"
            }
            Help::Upgrade => "a newer version wrote it: use that version",
        }
    }
}

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}{}", path.display(), help_for(source))]
pub struct FileError {
    pub path: PathBuf,
    pub action: &'static str,
    pub source: io::Error,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    File(#[from] FileError),
    /// The position, block or time lies at or behind the snapshot.
    #[error("{what} {number} is not in the ledger: it ends before {end}")]
    Beyond { what: &'static str, number: u64, end: u64 },
    /// The position holds a leaf of another kind.
    #[error("position {position} holds {found}, not {wanted}")]
    Kind { position: u64, found: &'static str, wanted: &'static str },
}

/// Why a ledger was not created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    #[error("the origin prefix {0:?} is not a host name and path without spaces, `+` or a trailing `/`")]
    Origin(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot record the first checkpoint: {0}")]
    Checkpoint(String),
}

/// Why a ledger was not opened. Nothing was written unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("{}: another process has this ledger open; stop it first", .0.display())]
    Locked(PathBuf),
    #[error("{}: there is no ledger here ({missing} is missing)", path.display())]
    NoLedger { path: PathBuf, missing: &'static str },
    #[error("the journal is damaged: {0}")]
    Damaged(#[from] Damage),
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal ends before what was signed.
    #[error(
        "{}: the journal ends at position {end}, but a checkpoint of size {recorded} is recorded: acknowledged \
         transactions are missing; keep a copy of the directory and restore it from a backup",
        path.display()
    )]
    BehindCheckpoint { path: PathBuf, end: u64, recorded: u64 },
    #[error(
        "the key {given} does not belong to this ledger; the key in force is {expected}: put the ledger's own key file \
         back, or the directory that belongs to the key"
    )]
    Key { given: String, expected: String },
    /// The keys could not be read.
    #[error(transparent)]
    Keys(KeyError),
    /// A rotation is in the journal, and a key that it needs is not found.
    #[error(
        "the journal rotates the key to {new} at size {from}, and to go on with that the {which} key is needed: {cause}; put \
         the file of that key back into the directory of keys (its name does not matter as long as it begins with the \
         ledger's id and ends with .key). Without it this ledger signs nothing any more; `ledgerstone verify DIR` reads it"
    )]
    RotationKey { new: String, from: u64, which: &'static str, cause: KeyError },
    /// What is kept of a rotation cannot be used.
    #[error("{}: {what}; restore the directory `rotations` from a backup", path.display())]
    Rotation { path: PathBuf, what: String },
    #[error("the recorded checkpoint cannot be used: {0}")]
    Checkpoint(String),
    #[error("the tree cannot be used: {0}")]
    Tree(String),
    #[error("a redaction that was begun cannot be finished: {0}")]
    Redaction(String),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a transaction did not commit, or may have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// What it read or wrote was changed by another transaction: run it again (40001).
    #[error("{0}")]
    Conflict(String),
    /// The query engine refused it; the cause says why.
    #[error("{0}")]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// The disk did not confirm the batch: it may be there after a restart, or not (08007).
    #[error(
        "the outcome is unknown: {cause}; the ledger takes no writes until the server is restarted; ask with the \
         transaction's id, or repeat it with the same client token"
    )]
    OutcomeUnknown { cause: String },
    /// There was no room on the disk; nothing of it was kept (53100).
    #[error("no space left on the disk: {cause}; nothing was written; writes resume when there is space")]
    NoSpace { cause: String },
    /// The clock cannot be trusted; nothing was written.
    #[error("{0}")]
    Clock(ClockError),
    /// More than one transaction may hold; nothing was written (54000).
    #[error("a transaction holds at most {limit} {what}; this one has {found}")]
    TooLarge { what: &'static str, found: u64, limit: u64 },
    /// The ledger can be read only (25006); nothing of this transaction was written.
    #[error("the ledger can only be read: {reason}")]
    ReadOnly { reason: &'static str },
    /// The ledger takes no writes; nothing of this transaction was written.
    #[error("the ledger takes no writes: {reason}")]
    Stopped { reason: String },
}

const DAY_MS: i64 = 86_400_000;

/// Why block times cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    #[error("the clock stands {behind_ms} ms behind the last block's time; set it right, then writes go on")]
    Behind { behind_ms: i64 },
    #[error(
        "the clock jumped {ahead_ms} ms ahead of the time since boot; set it right, then restart the server; a restart \
         takes the time as it is then, and block times never go back; if the time is right, `ledgerstone doctor \
         --accept-clock` lets writes go on"
    )]
    Jumped { ahead_ms: i64 },
    #[error(
        "the clock stands {} days ahead of the last block's time, and block times never go back; set it right, then \
         restart the server; if it is right, `ledgerstone doctor --accept-clock` lets writes go on",
        ahead_ms / DAY_MS
    )]
    LongAfter { ahead_ms: i64 },
}
