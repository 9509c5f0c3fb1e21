//! Journal exports as QLDB wrote them ("Journal export output in QLDB" in its developer guide): data objects with the blocks
//! of a range of times, and a manifest at each end.
//!
//! | module | what lives there |
//! |---|---|
//! | `format` | how a block is written |
//! | `manifest` | the two manifests |
//! | `objects` | blocks collected into data objects |
//! | `sink` | where objects go; a directory |
//!
//! An export that was interrupted is made again from its started manifest: its blocks are read again, and objects that stand
//! there whole are left alone. So a redaction between the two is in the second.

mod format;
mod manifest;
mod objects;
mod sink;

use ledgerstone_digest::block::native_time;

use crate::error::{CommitError, ReadError};
use crate::ledger::Ledger;
pub use format::Format;
pub use manifest::{JournalExport, ManifestError, Started, started};
use objects::Objects;
pub use sink::{DirectorySink, ObjectSink, SinkError};

/// A data object is closed before a block that would make it longer than this. A block that is longer by itself is an object.
pub const OBJECT_BYTES_MAX: usize = 8 << 20;

/// Blocks of these times: the first included, the second not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// How far an export has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks that were looked at, those outside of the range too.
    pub done: u64,
    pub total: u64,
}

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The data objects in order.
    pub keys: Vec<String>,
    pub blocks: u64,
    /// Bytes of all data objects.
    pub bytes: u64,
    /// Data objects that stood there already.
    pub kept: u64,
}

/// Why an export did not come to its end. Making it again goes on where it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The ledger is being closed.
    #[error(transparent)]
    Closed(#[from] CommitError),
    #[error("the export was stopped")]
    Stopped,
}

impl Ledger {
    /// From when on the journal has blocks: when the ledger was made, or the time of an imported block 0.
    pub fn journal_begins_ms(&self) -> Result<i64, ReadError> {
        let created_ms = self.created_ms();
        match self.last_block()? {
            None => Ok(created_ms),
            Some(_) => Ok(created_ms.min(self.block_time_ms(0)?)),
        }
    }

    /// A time behind that of every block so far: now, unless the clock was set back.
    pub fn journal_ends_ms(&self) -> Result<i64, ReadError> {
        let now_ms = self.journal.env.clock.now_ms();
        match self.last_block()? {
            None => Ok(now_ms),
            Some(last) => Ok(now_ms.max(self.block_time_ms(last)?.saturating_add(1))),
        }
    }

    fn block_time_ms(&self, number: u64) -> Result<i64, ReadError> {
        Ok(self.journal.head(self.journal.block_position(number)?)?.time_ms)
    }
}

impl JournalExport {
    /// Says where the objects go that an export is being made. The first thing that is written.
    pub fn begin(&self, sink: &dyn ObjectSink) -> Result<(), SinkError> {
        sink.put(&self.started_key(), self.started_manifest().as_bytes())
    }

    /// Writes the data objects that do not stand there yet and then the completed manifest. `progress` is called for each
    /// block and says whether to go on.
    pub fn run(
        &self,
        ledger: &Ledger,
        sink: &dyn ObjectSink,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Exported, ExportError> {
        self.run_with(ledger, sink, OBJECT_BYTES_MAX, progress)
    }

    /// The same with another size of objects.
    pub fn run_with(
        &self,
        ledger: &Ledger,
        sink: &dyn ObjectSink,
        object_bytes_max: usize,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Exported, ExportError> {
        // Whatever is committed from now on is outside of the range.
        ledger.settle(self.range.to_ms.saturating_sub(1))?;
        // Who asks for all from the beginning gets all: imported times may go back behind that of block 0.
        let from_ms = if self.range.from_ms <= ledger.journal_begins_ms()? { i64::MIN } else { self.range.from_ms };
        let total = ledger.last_block()?.map_or(0, |last| last + 1);
        let strand = ledger.strand().to_string();
        let mut objects = Objects::new(sink, self, strand, object_bytes_max);
        for number in 0..total {
            if !progress(Progress { done: number, total }) {
                return Err(ExportError::Stopped);
            }
            // Imported times need not be in order, so no block is skipped because of its neighbours.
            let time_ms = ledger.block_time_ms(number)?;
            if (from_ms..self.range.to_ms).contains(&time_ms) {
                objects.block(&ledger.journal_block(number)?, &native_time(time_ms))?;
            }
        }
        let (strand, exported) = objects.finish()?;
        sink.put(&self.completed_key(&strand), manifest::completed(&exported.keys).as_bytes())?;
        Ok(exported)
    }
}
