//! The pieces of one table in position order, and what superseded their rows.
//!
//! New revisions go into an open builder. A scan needs arrays, so it closes the builder; pieces that were closed early are
//! joined with their neighbours of about the same size, so that there are few and every row is copied a few times only.

use std::sync::Arc;

use ledgerstone_journal::StoredRevision;

use super::piece::{Piece, PieceBuilder};
use super::{ColumnError, ColumnOptions};

/// No successor: greater than every position.
pub const NONE: u64 = u64::MAX;

/// A piece is closed when it has so many bytes, and grows no more: its arrays' offsets have 32 bits.
const PIECE_BYTES_MAX: usize = 64 << 20;

/// The revisions of one table.
#[derive(Debug)]
pub struct Tail {
    pub chunks: Vec<Chunk>,
    open: PieceBuilder,
    open_successors: Vec<u64>,
}

/// A piece with the successors of its rows.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub piece: Arc<Piece>,
    /// Copied on change while a scan reads it.
    pub successors: Arc<Vec<u64>>,
}

impl Tail {
    pub fn new() -> Tail {
        Tail { chunks: Vec::new(), open: PieceBuilder::new(), open_successors: Vec::new() }
    }

    /// Takes a revision; positions ascend.
    pub fn push(
        &mut self,
        revision: &StoredRevision,
        redacted: bool,
        options: &ColumnOptions,
    ) -> Result<(), ColumnError> {
        if let Some(before) = revision.supersedes {
            self.supersede(before, revision.position)?;
        }
        self.open.push(revision, redacted)?;
        self.open_successors.push(NONE);
        if self.open.rows() >= options.piece_rows
            || self.open.rows().is_multiple_of(64) && self.open.bytes() >= PIECE_BYTES_MAX
        {
            self.close(options)?;
        }
        Ok(())
    }

    /// Makes arrays of everything taken.
    pub fn close(&mut self, options: &ColumnOptions) -> Result<(), ColumnError> {
        if self.open.rows() == 0 {
            return Ok(());
        }
        let piece = Arc::new(std::mem::replace(&mut self.open, PieceBuilder::new()).finish()?);
        let successors = Arc::new(std::mem::take(&mut self.open_successors));
        self.chunks.push(Chunk { piece, successors });
        while let [.., a, b] = &self.chunks[..]
            && a.piece.rows < options.piece_rows
            && a.piece.rows <= 2 * b.piece.rows
            && a.piece.bytes + b.piece.bytes <= 2 * PIECE_BYTES_MAX
        {
            let piece = Arc::new(Piece::concat(&[a.piece.clone(), b.piece.clone()])?);
            let successors = Arc::new([&a.successors[..], &b.successors[..]].concat());
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(Chunk { piece, successors });
        }
        Ok(())
    }

    /// Takes the data of a revision away.
    pub fn redact(&mut self, position: u64, options: &ColumnOptions) -> Result<(), ColumnError> {
        self.close(options)?;
        let Some((at, row)) = self.place(position) else { return Ok(()) };
        let Some(chunk) = self.chunks.get_mut(at) else { return Ok(()) };
        chunk.piece = Arc::new(chunk.piece.redacted(&[row as u32])?);
        Ok(())
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| chunk.piece.bytes + 8 * chunk.successors.len());
        chunks.sum::<usize>() + self.open.bytes()
    }

    fn supersede(&mut self, position: u64, successor: u64) -> Result<(), ColumnError> {
        let slot = if let Ok(row) = self.open.positions().binary_search(&position) {
            self.open_successors.get_mut(row)
        } else {
            let place = self.place(position);
            let chunk = place.and_then(|(at, row)| Some((self.chunks.get_mut(at)?, row)));
            chunk.and_then(|(chunk, row)| Arc::make_mut(&mut chunk.successors).get_mut(row))
        };
        match slot {
            Some(slot) => *slot = successor,
            None => {
                let what = format!("position {successor} supersedes {position}, which is not of its table");
                return Err(ColumnError::Internal(what));
            }
        }
        Ok(())
    }

    /// The chunk and the row in it of a closed position.
    fn place(&self, position: u64) -> Option<(usize, usize)> {
        let at = self.chunks.partition_point(|chunk| chunk.piece.range().0 <= position).checked_sub(1)?;
        let row = self.chunks.get(at)?.piece.positions.values().binary_search(&position).ok()?;
        Some((at, row))
    }
}
