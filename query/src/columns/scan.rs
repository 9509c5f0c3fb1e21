//! What a reader is handed: partitions in position order, each with the rows that the view sees marked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, BooleanArray, UInt8Array, UInt64Array};
use arrow::buffer::{BooleanBuffer, MutableBuffer, NullBuffer};
use arrow::util::bit_util;
use ledgerstone_digest::ion::Value;

use super::field::{FieldColumn, Form};
use super::piece::Piece;
use super::reading::{Reading, Turn};
use super::segment::Segment;
use super::successors::{Later, Successors, with_later};
use super::{ColumnError, ColumnView, Presence, ScanRequest};

/// [`Presence::Deleted`] in an array.
const DELETED: u8 = Presence::Deleted as u8;

/// An answer. Its partitions can be read in any order and by several threads; nothing in it changes any more.
#[derive(Debug)]
pub struct Scan {
    /// In the order of positions.
    pub partitions: Vec<Partition>,
}

/// A run of rows of the table, of some thousand to some hundred thousand rows; decoded when it is read.
#[derive(Debug, Clone)]
pub struct Partition {
    pub(super) source: Source,
    pub(super) request: Arc<ScanRequest>,
    /// Set when a file is found damaged, so that the next scan makes the columns again.
    pub(super) broken: Arc<AtomicBool>,
    pub(super) reading: Arc<Reading>,
}

/// Where the rows of a partition are, with what superseded them.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// By row, [`NONE`] if there is none.
    Memory(Arc<Piece>, Arc<Vec<u64>>),
    File(Arc<Segment>, Successors),
}

/// The rows of a partition.
#[derive(Debug, Clone)]
pub struct Batch {
    /// All rows, seen and unseen.
    pub rows: usize,
    /// The rows that the view sees; no nulls.
    pub selection: BooleanArray,
    /// How many those are.
    pub selected: usize,
    /// Those asked for, in that order.
    pub meta: Vec<ArrayRef>,
    /// Those asked for, in that order.
    pub fields: Vec<Field>,
    positions: UInt64Array,
    presence: UInt8Array,
    successors: ByRow,
    snapshot: u64,
    /// Room for what was read from a file, as long as it is used.
    _turn: Option<Arc<Turn>>,
}

/// What superseded each row, [`NONE`](super::tail::NONE) if nothing did.
#[derive(Debug, Clone)]
struct ByRow {
    written: Arc<Vec<u64>>,
    /// What came later than that.
    later: Option<Arc<Later>>,
}

/// A field over a batch's rows.
#[derive(Debug, Clone)]
pub enum Field {
    /// No document here has it: MISSING in every row.
    Absent,
    /// The values, those of rows that the view does not see included.
    Column(FieldColumn),
    /// Some documents here may have it, but it has no column here. The journal has it: read the documents, by position.
    NotKept,
}

impl Scan {
    /// Rows of all partitions, seen and unseen: what the scan costs at most.
    pub fn rows(&self) -> usize {
        self.partitions.iter().map(Partition::rows).sum()
    }
}

impl Partition {
    /// Rows, seen and unseen.
    pub fn rows(&self) -> usize {
        match &self.source {
            Source::Memory(piece, _) => piece.rows,
            Source::File(segment, _) => segment.note.rows as usize,
        }
    }

    /// First and last position.
    pub fn positions(&self) -> (u64, u64) {
        match &self.source {
            Source::Memory(piece, _) => piece.range(),
            Source::File(segment, _) => segment.note.positions,
        }
    }

    /// Smallest and greatest txTime in milliseconds, for pruning.
    pub fn times_ms(&self) -> (i64, i64) {
        match &self.source {
            Source::Memory(piece, _) => piece.times_ms,
            Source::File(segment, _) => segment.note.times_ms,
        }
    }

    /// Bytes of its file, if it is in one.
    pub fn file_bytes(&self) -> u64 {
        match &self.source {
            Source::Memory(..) => 0,
            Source::File(segment, _) => segment.note.file.length,
        }
    }

    /// Between which values those of a field lie, nulls aside, by what its file says of it; `None`: nothing is known.
    pub fn bounds(&self, field: &str) -> Option<(Value, Value)> {
        match &self.source {
            Source::Memory(..) => None,
            // Who reads it is told of damage.
            Source::File(segment, _) => segment.bounds(field).ok().flatten(),
        }
    }

    /// What a field is here, without reading it: enough to plan with. `None`: it has no column.
    pub fn form(&self, field: &str) -> Option<Form> {
        match &self.source {
            Source::Memory(piece, _) => piece.field(field).map(|column| column.form),
            Source::File(segment, _) => segment.form(field),
        }
    }

    /// Whether a field is [`Field::NotKept`] here.
    pub fn not_kept(&self, field: &str) -> bool {
        self.left_out() && self.form(field).is_none()
    }

    /// Whether some document here has a field whose name differs from this one in case only.
    pub fn has_other_case(&self, field: &str) -> bool {
        let other = |name: &str| name != field && name.eq_ignore_ascii_case(field);
        self.left_out()
            || match &self.source {
                Source::Memory(piece, _) => piece.fields().iter().any(|(name, ..)| other(name)),
                Source::File(segment, _) => segment.note.fields.iter().any(|note| other(&note.name)),
            }
    }

    /// Whether reading it means decoding a file, unless that was done lately.
    pub fn is_in_file(&self) -> bool {
        matches!(self.source, Source::File(..))
    }

    /// How many rows the view sees, where that is known without reading any.
    pub fn selected(&self) -> Option<usize> {
        let Source::File(segment, successors) = &self.source else { return None };
        let ((first, last), snapshot) = (segment.note.positions, self.request.snapshot);
        match self.request.view {
            ColumnView::History { from: 0, to } if last < to.min(snapshot) => Some(segment.note.rows as usize),
            ColumnView::History { .. } => None,
            ColumnView::Current | ColumnView::AsOf(_) => {
                let at = if let ColumnView::AsOf(at) = self.request.view { at.min(snapshot) } else { snapshot };
                match first >= at {
                    true => Some(0),
                    false => successors.current_at(at).filter(|_| last < at),
                }
            }
        }
    }

    /// The rows. Waits while others read as much as there is memory for, so a thread drops one partition's rows before it
    /// reads the next; `stop` is asked now and then, and true ends it. An error of a file: the columns are made again by the
    /// next scan, and the journal answers this one.
    pub fn read(&self, stop: &dyn Fn() -> bool) -> Result<Batch, ColumnError> {
        let batch = self.batch(stop);
        if let Err(ColumnError::Damaged { .. } | ColumnError::Internal(_)) = batch {
            self.broken.store(true, Ordering::Release);
        }
        batch
    }

    fn left_out(&self) -> bool {
        match &self.source {
            Source::Memory(piece, _) => piece.left_out,
            Source::File(segment, _) => segment.note.left_out,
        }
    }

    fn batch(&self, stop: &dyn Fn() -> bool) -> Result<Batch, ColumnError> {
        let request = &self.request;
        let mut turn = None;
        let (positions, presence, successors, meta, columns) = match &self.source {
            Source::Memory(piece, successors) => {
                let meta = request.meta.iter().map(|meta| piece.meta(*meta).clone()).collect();
                let columns = request.fields.iter().map(|name| piece.field(name).cloned()).collect();
                let successors = ByRow { written: successors.clone(), later: None };
                (piece.positions.clone(), piece.presence.clone(), successors, meta, columns)
            }
            Source::File(segment, successors) => {
                // What is asked for first, in one reading of the file.
                let names: Vec<&str> = request.fields.iter().map(String::as_str).collect();
                turn = Some(Arc::new(self.reading.turn(segment.decoded_bytes(&request.meta, &names)?, stop)?));
                let (positions, presence, meta, columns) = segment.read_rows(&request.meta, &names)?;
                let written = successors.written_by_row(positions.values())?;
                successors.count(positions.values(), |row| presence.values().get(row) == Some(&DELETED))?;
                let later = Some(successors.later.clone()).filter(|later| later.len() > 0);
                (positions, presence, ByRow { written, later }, meta, columns)
            }
        };
        let rows = self.rows();
        if successors.written.len() != rows || positions.len() != rows || presence.len() != rows {
            return Err(ColumnError::Internal("successors of another number of rows".to_owned()));
        }
        let selection = seen(positions.values(), presence.values(), &successors, request)?;
        let column = |column| match column {
            Some(column) => Field::Column(column),
            None if self.left_out() => Field::NotKept,
            None => Field::Absent,
        };
        Ok(Batch {
            rows,
            selected: selection.count_set_bits(),
            selection: BooleanArray::new(selection, None),
            meta,
            fields: Vec::into_iter(columns).map(column).collect(),
            positions,
            presence,
            successors,
            snapshot: request.snapshot,
            _turn: turn,
        })
    }
}

impl Batch {
    /// By row, where its revision stands in the ledger.
    pub fn positions(&self) -> &UInt64Array {
        &self.positions
    }

    /// By row, the position of the revision that supersedes it; null if none before the snapshot does.
    pub fn successors(&self) -> Result<UInt64Array, ColumnError> {
        let ByRow { written, later } = &self.successors;
        let all = match later {
            Some(later) => with_later(written.clone(), later, self.positions.values())?,
            None => written.clone(),
        };
        let some: BooleanBuffer = all.iter().map(|successor| *successor < self.snapshot).collect();
        Ok(UInt64Array::new(Arc::unwrap_or_clone(all).into(), Some(NullBuffer::new(some))))
    }

    /// Whether a row is the last revision of a document that was deleted.
    pub fn is_deletion(&self, row: usize) -> bool {
        self.presence.values().get(row) == Some(&DELETED)
    }

    /// Whether some revision here has been redacted.
    pub fn has_redacted(&self) -> bool {
        self.presence.values().contains(&(Presence::Redacted as u8))
    }
}

/// The rows that a view sees. Without a branch in each row, which compilers turn into few instructions for many; what was
/// superseded since its file was written is few, and corrected afterwards.
fn seen(
    positions: &[u64],
    presence: &[u8],
    successors: &ByRow,
    request: &ScanRequest,
) -> Result<BooleanBuffer, ColumnError> {
    let snapshot = request.snapshot;
    let written = &successors.written[..];
    let rows = positions.len().min(written.len()).min(presence.len());
    let (positions, presence, written) = (&positions[..rows], &presence[..rows], &written[..rows]);
    let later = successors.later.as_deref();
    match request.view {
        ColumnView::Current | ColumnView::AsOf(_) => {
            let at = if let ColumnView::AsOf(at) = request.view { at.min(snapshot) } else { snapshot };
            let sees =
                |row: usize, successor: u64| (positions[row] < at) & (at <= successor) & (presence[row] != DELETED);
            seen_rows(positions, written, later, sees)
        }
        ColumnView::History { from, to } => {
            let to = to.min(snapshot);
            // A successor behind the snapshot is none yet.
            let live = from.min(snapshot);
            seen_rows(positions, written, later, |row, successor| (positions[row] < to) & (successor >= live))
        }
    }
}

fn seen_rows(
    positions: &[u64],
    written: &[u64],
    later: Option<&Later>,
    sees: impl Fn(usize, u64) -> bool,
) -> Result<BooleanBuffer, ColumnError> {
    let rows = written.len();
    let mut bits = MutableBuffer::collect_bool(rows, |row| sees(row, written[row]));
    if let Some(later) = later {
        later.each_row(positions, &mut |row, successor| {
            if row < rows {
                let set = if sees(row, successor) { bit_util::set_bit } else { bit_util::unset_bit };
                set(&mut bits, row);
            }
        })?;
    }
    Ok(BooleanBuffer::new(bits.into(), 0, rows))
}
