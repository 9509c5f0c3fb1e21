//! The revisions of one table in position order, in memory and in segments, and what superseded them.
//!
//! New revisions go into an open builder. A scan needs arrays, so it closes the builder; pieces that were closed early are
//! joined with their neighbours of about the same size, so that there are few and every row is copied a few times only.

use std::sync::Arc;

use ledgerstone_journal::StoredRevision;

use super::piece::{Piece, PieceBuilder};
use super::segment::Segment;
use super::successors::Successors;
use super::{ColumnError, ColumnOptions};

/// No successor: greater than every position.
pub const NONE: u64 = u64::MAX;

/// Successors in memory beside a file before they are written, at least.
const LATER_MIN: usize = 4096;
/// The same when memory is wanted.
const LATER_FEW: usize = 64;

/// The revisions of one table.
#[derive(Debug)]
pub struct Tail {
    pub chunks: Vec<Chunk>,
    open: PieceBuilder,
    open_successors: Vec<u64>,
}

/// A run of rows with their successors.
#[derive(Debug, Clone)]
pub enum Chunk {
    Memory {
        piece: Arc<Piece>,
        /// By row. Copied on change while a scan reads it.
        successors: Arc<Vec<u64>>,
        /// It is being written, and not joined with others any more.
        frozen: bool,
    },
    File {
        segment: Arc<Segment>,
        successors: Successors,
    },
}

impl Chunk {
    pub fn rows(&self) -> usize {
        match self {
            Chunk::Memory { piece, .. } => piece.rows,
            Chunk::File { segment, .. } => segment.note.rows as usize,
        }
    }

    /// First and last position.
    pub fn range(&self) -> (u64, u64) {
        match self {
            Chunk::Memory { piece, .. } => piece.range(),
            Chunk::File { segment, .. } => segment.note.positions,
        }
    }

    /// All of it in memory, and the successors by row.
    pub fn load(&self) -> Result<(Arc<Piece>, Arc<Vec<u64>>), ColumnError> {
        match self {
            Chunk::Memory { piece, successors, .. } => Ok((piece.clone(), successors.clone())),
            Chunk::File { segment, successors } => {
                let piece = segment.piece()?;
                let successors = successors.by_row(piece.positions.values())?;
                Ok((Arc::new(piece), successors))
            }
        }
    }

    /// So much has been superseded since the file was written that it should be written again; `few`: memory is wanted, so
    /// that little is enough.
    pub fn should_fold(&self, few: bool) -> bool {
        match self {
            Chunk::Memory { .. } => false,
            Chunk::File { .. } if few => self.later() >= LATER_FEW,
            Chunk::File { segment, .. } => self.later() >= LATER_MIN.max(segment.note.rows as usize / 4),
        }
    }

    /// How much was superseded since the file of successors was written.
    fn later(&self) -> usize {
        match self {
            Chunk::Memory { .. } => 0,
            Chunk::File { successors, .. } => successors.later.len(),
        }
    }

    /// The rows of both are the same.
    pub fn is_same(&self, other: &Chunk) -> bool {
        match (self, other) {
            (Chunk::Memory { piece: a, .. }, Chunk::Memory { piece: b, .. }) => Arc::ptr_eq(a, b),
            (Chunk::File { segment: a, .. }, Chunk::File { segment: b, .. }) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// What was superseded at `from` or later, with its successor.
    pub fn superseded_from(&self, from: u64, out: &mut Vec<(u64, u64)>) {
        match self {
            Chunk::Memory { piece, successors, .. } => {
                let rows = piece.positions.values().iter().zip(&**successors);
                out.extend(rows.filter(|(_, s)| **s >= from && **s != NONE).map(|(position, s)| (*position, *s)));
            }
            Chunk::File { successors, .. } => successors.later.since(from, out),
        }
    }

    /// About what it takes in memory when it is there.
    fn data_bytes(&self) -> usize {
        match self {
            Chunk::Memory { piece, .. } => piece.bytes,
            Chunk::File { segment, .. } => segment.piece_bytes(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Chunk::Memory { piece, successors, .. } => piece.bytes + 8 * successors.len(),
            Chunk::File { segment, successors } => {
                512 + 64 * segment.note.fields.len() + 8 * segment.note.file.sums.len() + successors.later.bytes()
            }
        }
    }
}

impl Tail {
    pub fn new() -> Tail {
        Tail { chunks: Vec::new(), open: PieceBuilder::new(), open_successors: Vec::new() }
    }

    /// Takes a revision; positions ascend. True if that made arrays of what was taken.
    pub fn push(
        &mut self,
        revision: &StoredRevision,
        redacted: bool,
        options: &ColumnOptions,
    ) -> Result<bool, ColumnError> {
        if let Some(before) = revision.supersedes {
            self.supersede(before, revision.position)?;
        }
        self.open.push(revision, redacted)?;
        self.open_successors.push(NONE);
        let is_full = self.open.is_full(options.piece_rows, options.piece_bytes());
        if is_full {
            self.close(options)?;
        }
        Ok(is_full)
    }

    /// Makes arrays of everything taken.
    pub fn close(&mut self, options: &ColumnOptions) -> Result<(), ColumnError> {
        if self.open.rows() == 0 {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.open, PieceBuilder::new()).finish()?;
        let successors = std::mem::take(&mut self.open_successors);
        self.push_piece(piece, successors, options)
    }

    /// Takes a piece whose rows stand behind all others; what superseded which is noted afterwards.
    pub fn append(&mut self, piece: Piece, options: &ColumnOptions) -> Result<(), ColumnError> {
        self.close(options)?;
        let successors = vec![NONE; piece.rows];
        self.push_piece(piece, successors, options)
    }

    fn push_piece(&mut self, piece: Piece, successors: Vec<u64>, options: &ColumnOptions) -> Result<(), ColumnError> {
        self.chunks.push(Chunk::Memory { piece: Arc::new(piece), successors: Arc::new(successors), frozen: false });
        self.join(options)
    }

    /// Joins the last pieces while they are of about the same size.
    fn join(&mut self, options: &ColumnOptions) -> Result<(), ColumnError> {
        while let [.., a, b] = &self.chunks[..]
            && let Chunk::Memory { piece: first, successors: of_first, frozen: false } = a
            && let Chunk::Memory { piece: second, successors: of_second, frozen: false } = b
            && first.rows < options.piece_rows
            && first.rows <= 2 * second.rows
            && first.bytes + second.bytes <= 2 * options.piece_bytes()
        {
            let piece = Arc::new(Piece::concat(&[first.clone(), second.clone()])?);
            let successors = Arc::new([&of_first[..], &of_second[..]].concat());
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(Chunk::Memory { piece, successors, frozen: false });
        }
        Ok(())
    }

    /// Takes the data of a revision away. True if it was in a file: that has to be written again.
    pub fn redact(&mut self, position: u64, options: &ColumnOptions) -> Result<bool, ColumnError> {
        self.close(options)?;
        let at = self.chunks.partition_point(|chunk| chunk.range().0 <= position);
        let Some(chunk) = at.checked_sub(1).and_then(|at| self.chunks.get_mut(at)) else { return Ok(false) };
        let in_file = matches!(chunk, Chunk::File { .. });
        let (piece, successors) = chunk.load()?;
        let Ok(row) = piece.positions.values().binary_search(&position) else { return Ok(false) };
        let piece = Arc::new(piece.redacted(&[row as u32])?);
        *chunk = Chunk::Memory { piece, successors, frozen: false };
        Ok(in_file)
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum::<usize>() + self.open.bytes()
    }

    /// Rows that are in no file.
    pub fn unwritten(&self) -> usize {
        let memory = self.chunks.iter().filter(|chunk| matches!(chunk, Chunk::Memory { .. }));
        memory.map(Chunk::rows).sum::<usize>() + self.open.rows()
    }

    /// Runs of chunks that are to be written as one file each, as first and behind last. What is in memory is written, with
    /// small neighbours before it, in memory or in files. Those in memory are frozen.
    pub fn due(&mut self, options: &ColumnOptions) -> Vec<(usize, usize)> {
        let mut due = Vec::new();
        let mut next = 0;
        while let Some(from) = (next..self.chunks.len()).find(|at| self.is_in_memory(*at)) {
            let (mut first, mut end) = (from, from + 1);
            let (mut rows, mut bytes) =
                self.chunks.get(from).map_or((0, 0), |chunk| (chunk.rows(), chunk.data_bytes()));
            let fits = |rows: usize, bytes: usize, other: &Chunk| {
                rows < options.piece_rows && bytes.saturating_add(other.data_bytes()) <= 2 * options.piece_bytes()
            };
            while self.is_in_memory(end)
                && let Some(behind) = self.chunks.get(end)
                && fits(rows, bytes, behind)
            {
                (rows, bytes, end) = (rows + behind.rows(), bytes + behind.data_bytes(), end + 1);
            }
            while first > next
                && let Some(before) = self.chunks.get(first - 1)
                && before.rows() < options.piece_rows
                && before.rows() <= 2 * rows
                && fits(rows, bytes, before)
            {
                (rows, bytes, first) = (rows + before.rows(), bytes + before.data_bytes(), first - 1);
            }
            due.push((first, end));
            next = end;
        }
        for chunk in &mut self.chunks {
            if let Chunk::Memory { frozen, .. } = chunk {
                *frozen = true;
            }
        }
        due
    }

    /// Rows in files whose successors are in memory only.
    pub fn later(&self) -> usize {
        self.chunks.iter().map(Chunk::later).sum()
    }

    fn is_in_memory(&self, at: usize) -> bool {
        matches!(self.chunks.get(at), Some(Chunk::Memory { .. }))
    }

    /// Notes that a revision has a successor.
    pub fn supersede(&mut self, position: u64, successor: u64) -> Result<(), ColumnError> {
        let foreign = || ColumnError::Internal(format!("{successor} supersedes {position}, which is not of its table"));
        if let Ok(row) = self.open.positions().binary_search(&position) {
            *self.open_successors.get_mut(row).ok_or_else(foreign)? = successor;
            return Ok(());
        }
        let at = self.chunks.partition_point(|chunk| chunk.range().0 <= position);
        match at.checked_sub(1).and_then(|at| self.chunks.get_mut(at)).ok_or_else(foreign)? {
            Chunk::File { successors, .. } => successors.supersede(position, successor),
            Chunk::Memory { piece, successors, .. } => {
                let row = piece.positions.values().binary_search(&position).map_err(|_| foreign())?;
                *Arc::make_mut(successors).get_mut(row).ok_or_else(foreign)? = successor;
            }
        }
        Ok(())
    }
}
