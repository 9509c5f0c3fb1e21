//! The columns of a ledger's documents, derived from its journal (DESIGN section 7, "Columns"; docs/architecture.md,
//! "Columns").
//!
//! | module | what lives there |
//! |---|---|
//! | `field` | one field as an array from which every value comes back exactly |
//! | `piece` | a run of revisions of one table, as columns |
//! | `scan` | which rows a view sees, and what a reader is handed |
//! | `tail` | the revisions of each table, in memory and in files, and what superseded them |
//! | `origin`, `decode`, `store` | from the journal to the pieces, by several threads where there is much |
//! | `segment`, `successors`, `manifest` | the files: documents, what superseded them, and which there are |
//! | `ranges` | a file read in part |
//! | `reading` | whose turn it is to read files, so that scans together stay within a memory |
//! | `words` | texts that repeat, as numbers in a dictionary |
//! | `files` | what is written when, what a start finds, what is removed |
//! | `compare` | the files held against the journal, row by row |
//! | `cache` | columns of files that were decoded lately |
//! | `projector` | the thread that does all this before anybody asks |
//!
//! Ask [`Database::columns`](crate::database::Database::columns) for the [`ColumnStore`], and it for a [`Scan`]. A scan is
//! exact: it has every revision of its table that stands before its snapshot, the last one committed included, and no
//! other. It never reads the index, and what it answers does not depend on what is in memory or in files.
//!
//! What the store cannot say it does not guess: a field that is [`Field::NotKept`] in some partition, or an error, sends
//! the reader to the journal, that is to the document executor.

mod cache;
mod compare;
mod decode;
mod field;
mod files;
mod manifest;
mod origin;
mod piece;
mod projector;
mod ranges;
mod reading;
mod scan;
mod segment;
mod store;
mod successors;
mod tail;
#[cfg(test)]
mod tampered;
mod words;

use std::path::{Path, PathBuf};

use ledgerstone_digest::id::Id;
use ledgerstone_journal::env::{help_for, is_full};
use ledgerstone_journal::{OpenError, ReadError};

pub use compare::{ColumnReport, check_columns, rebuild_columns};
pub(crate) use field::{COEFFICIENT_MAX, DIGITS, time_of, unscaled};
pub use field::{FieldColumn, Form, time_shape};
pub(crate) use projector::Projector;
pub use scan::{Batch, Field, Partition, Scan};
pub use store::ColumnStore;

use crate::database::read_error;
use crate::error::{QueryError, SqlState};

/// The directory of the columns inside a ledger's.
pub const COLUMNS_DIR: &str = "columns";

/// Which revisions a scan sees. All of them look only at what stands before the scan's snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnView {
    /// What is current at the snapshot: no deletions.
    Current,
    /// What was current at this position, which is at most the snapshot: no deletions.
    AsOf(u64),
    /// Every revision, deletions included, that was active at any time between two positions: it stands before `to` and
    /// nothing before `from` supersedes it. The whole history is from 0 to the snapshot.
    History { from: u64, to: u64 },
}

/// What is asked of a table.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    pub table: Id,
    /// A published snapshot, so a block's end: revisions at positions before it are seen. Take the transaction's.
    pub snapshot: u64,
    pub view: ColumnView,
    /// Top-level fields that are needed, by their exact names, once each.
    pub fields: Vec<String>,
    /// Metadata that is needed.
    pub meta: Vec<Meta>,
}

/// What a revision has beside its document. Arrays without nulls, unless something else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meta {
    /// Where it stands in the ledger: `UInt64`, ascending within a scan.
    Position,
    /// The document's id: `FixedSizeBinary(16)`.
    DocumentId,
    /// `UInt64`.
    Version,
    /// `FixedSizeBinary(16)`.
    TxId,
    /// `Int64`: milliseconds since 1970, which is all a txTime has. An imported revision's need not ascend with positions.
    TxTime,
    /// The number of its block: `UInt64`.
    Block,
    /// The position of the revision that it supersedes: `UInt64`, null if there is none.
    Supersedes,
    /// [`Presence`] as `UInt8`.
    Presence,
}

impl Meta {
    /// In the order of their numbers.
    pub const ALL: [Meta; 8] = [
        Meta::Position,
        Meta::DocumentId,
        Meta::Version,
        Meta::TxId,
        Meta::TxTime,
        Meta::Block,
        Meta::Supersedes,
        Meta::Presence,
    ];
}

/// What became of a revision's data. All fields are null unless there is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Presence {
    Data = 0,
    /// The revision deletes its document. No current or AS OF view sees it.
    Deleted = 1,
    /// The data has been redacted. Views see the revision all the same, as the document executor does; whoever reads
    /// what is current asks afterwards whether its snapshot can still be read.
    Redacted = 2,
}

/// How much the columns of a ledger may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnOptions {
    /// Memory for what is in no file yet, in bytes. A scan that needs more writes files first.
    pub memory_bytes_max: usize,
    /// Memory for decoded columns of files, in bytes: for those that were decoded lately, and as much again (or a few
    /// pieces, if that is more) for those that scans are reading.
    pub cache_bytes_max: usize,
    /// Rows after which a piece takes no more; a file has at most twice as many.
    pub piece_rows: usize,
    /// The thread begins to read the journal, and to write files, when there are so many positions or rows to do: a small
    /// ledger has no files.
    pub project_above_positions: u64,
}

impl Default for ColumnOptions {
    fn default() -> Self {
        ColumnOptions {
            memory_bytes_max: 256 << 20,
            cache_bytes_max: 256 << 20,
            piece_rows: 64 << 10,
            project_above_positions: 64 << 10,
        }
    }
}

impl ColumnOptions {
    /// A piece is closed when it has so many bytes, and grows no more. Several are in memory at once while they are joined
    /// and written; and an array's offsets have 32 bits.
    pub(crate) fn piece_bytes(&self) -> usize {
        (self.memory_bytes_max / 8).clamp(1 << 16, 64 << 20)
    }

    /// What scans may read from files at the same time, in bytes: as much as is kept of what was read, and no less than a
    /// few pieces come to.
    pub(crate) fn reading_bytes_max(&self) -> usize {
        self.cache_bytes_max.max(4 * self.piece_bytes())
    }
}

/// What there is of columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnStats {
    /// Everything before this position is in them,
    pub position: u64,
    /// and so many published positions are not yet.
    pub positions_behind: u64,
    /// Rows that are in memory only.
    pub memory_rows: u64,
    /// Memory without decoded columns of files.
    pub memory_bytes: u64,
    pub segments: u64,
    /// Rows in files.
    pub file_rows: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// Rows in files whose successors are in memory only.
    pub superseded_in_memory: u64,
    /// Memory of decoded columns of files.
    pub cache_bytes: u64,
    /// Memory that scans have for what they are reading from files.
    pub reading_bytes: u64,
    /// How often a column was decoded already, and how often not.
    pub cache_hits: u64,
    pub cache_misses: u64,
    /// Bytes that were read from files.
    pub read_bytes: u64,
}

/// Why columns do not answer. The journal still does: run the statement in the document executor, unless it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The caller said so.
    #[error("the scan was stopped")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal of a ledger that nobody has open cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(Box<OpenError>),
    #[error("the columns would take more than {limit} bytes of memory")]
    Memory { limit: usize },
    /// A file is not what was written. The next scan makes all columns again from the journal.
    #[error("{}: offset {offset}: {what}; columns are derived: the next scan makes them again", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    /// A file operation failed.
    #[error("{}: cannot {action}: {cause}", path.display())]
    File { path: PathBuf, action: &'static str, cause: String, full: bool },
    /// A mistake of this program.
    #[error("columns: {0}")]
    Internal(String),
}

impl ColumnError {
    pub(crate) fn damaged(path: &Path, offset: u64, what: &str) -> ColumnError {
        ColumnError::Damaged { path: path.to_owned(), offset, what: what.to_owned() }
    }

    pub(crate) fn file(path: &Path, action: &'static str, error: &std::io::Error) -> ColumnError {
        let (cause, full) = (format!("{error}{}", help_for(error)), is_full(error));
        ColumnError::File { path: path.to_owned(), action, cause, full }
    }
}

impl From<OpenError> for ColumnError {
    fn from(error: OpenError) -> Self {
        ColumnError::Journal(Box::new(error))
    }
}

impl From<parquet::errors::ParquetError> for ColumnError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        ColumnError::Internal(error.to_string())
    }
}

impl From<arrow::error::ArrowError> for ColumnError {
    fn from(error: arrow::error::ArrowError) -> Self {
        ColumnError::Internal(error.to_string())
    }
}

impl From<ColumnError> for QueryError {
    fn from(error: ColumnError) -> Self {
        let code = match error {
            ColumnError::Read(error) => return read_error(error),
            ColumnError::Stopped => SqlState::QUERY_CANCELED,
            ColumnError::Memory { .. } => SqlState::INSUFFICIENT_RESOURCES,
            ColumnError::Damaged { .. } | ColumnError::Journal(_) => SqlState::DATA_CORRUPTED,
            ColumnError::File { full: true, .. } => SqlState::DISK_FULL,
            ColumnError::File { .. } => SqlState::IO_ERROR,
            ColumnError::Internal(_) => SqlState::INTERNAL,
        };
        QueryError::new(code, error.to_string())
    }
}
