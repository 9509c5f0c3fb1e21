//! What a reader is handed: partitions in position order, each with the rows that the view sees marked.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::field::FieldColumn;
use super::piece::Piece;
use super::tail::NONE;
use super::{ColumnError, ColumnView, Presence, ScanRequest};

/// An answer. Its partitions can be read in any order and by several threads; nothing in it changes any more.
#[derive(Debug)]
pub struct Scan {
    /// In the order of positions.
    pub partitions: Vec<Partition>,
}

/// A run of rows of the table, of some thousand to some hundred thousand rows; decoded when it is read.
#[derive(Debug, Clone)]
pub struct Partition {
    pub(super) piece: Arc<Piece>,
    /// By row, [`NONE`] if there is none.
    pub(super) successors: Arc<Vec<u64>>,
    pub(super) request: Arc<ScanRequest>,
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
    piece: Arc<Piece>,
    successors: Arc<Vec<u64>>,
    snapshot: u64,
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
        self.piece.rows
    }

    /// First and last position.
    pub fn positions(&self) -> (u64, u64) {
        self.piece.range()
    }

    /// Smallest and greatest txTime in milliseconds, for pruning.
    pub fn times_ms(&self) -> (i64, i64) {
        self.piece.times_ms
    }

    /// What a field is here, without reading it: enough to plan with.
    pub fn form(&self, field: &str) -> Option<super::Form> {
        self.piece.field(field).map(|column| column.form)
    }

    /// Whether each field asked for is [`Field::NotKept`] here.
    pub fn not_kept(&self, field: &str) -> bool {
        self.piece.left_out && self.piece.field(field).is_none()
    }

    /// Whether some document here has a field whose name differs from this one in case only.
    pub fn has_other_case(&self, field: &str) -> bool {
        self.piece.left_out || self.piece.names().any(|name| name != field && name.eq_ignore_ascii_case(field))
    }

    /// The rows.
    pub fn read(&self) -> Result<Batch, ColumnError> {
        let (piece, request) = (&self.piece, &self.request);
        if self.successors.len() != piece.rows {
            return Err(ColumnError::Internal("a piece with successors of another number of rows".to_owned()));
        }
        let selection = seen(piece, &self.successors, request.view, request.snapshot);
        let fields = request.fields.iter().map(|name| match piece.field(name) {
            Some(column) => Field::Column(column.clone()),
            None if piece.left_out => Field::NotKept,
            None => Field::Absent,
        });
        Ok(Batch {
            rows: piece.rows,
            selected: selection.count_set_bits(),
            selection: BooleanArray::new(selection, None),
            meta: request.meta.iter().map(|meta| piece.meta(*meta).clone()).collect(),
            fields: fields.collect(),
            piece: piece.clone(),
            successors: self.successors.clone(),
            snapshot: request.snapshot,
        })
    }
}

impl Batch {
    /// By row, where its revision stands in the ledger.
    pub fn positions(&self) -> &UInt64Array {
        &self.piece.positions
    }

    /// By row, the position of the revision that supersedes it; null if none before the snapshot does.
    pub fn successors(&self) -> UInt64Array {
        let some: BooleanBuffer = self.successors.iter().map(|successor| *successor < self.snapshot).collect();
        UInt64Array::new(self.successors.iter().copied().collect::<Vec<u64>>().into(), Some(NullBuffer::new(some)))
    }

    /// Whether some revision here has been redacted.
    pub fn has_redacted(&self) -> bool {
        self.piece.presence.values().contains(&(Presence::Redacted as u8))
    }
}

/// The rows that a view sees.
fn seen(piece: &Piece, successors: &[u64], view: ColumnView, snapshot: u64) -> BooleanBuffer {
    let positions = piece.positions.values();
    let rows = || positions.iter().zip(successors);
    let current = |at: u64| {
        let presence = piece.presence.values().iter();
        let see = |((position, successor), presence): ((&u64, &u64), &u8)| {
            *position < at && at <= *successor && *presence != Presence::Deleted as u8
        };
        rows().zip(presence).map(see).collect()
    };
    match view {
        ColumnView::Current => current(snapshot),
        ColumnView::AsOf(at) => current(at.min(snapshot)),
        ColumnView::History { from, to } => {
            let to = to.min(snapshot);
            rows()
                // A successor behind the snapshot is none yet.
                .map(|(position, successor)| {
                    *position < to && (*successor >= from || *successor >= snapshot || *successor == NONE)
                })
                .collect()
        }
    }
}
