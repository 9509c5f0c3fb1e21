//! Which revision superseded which, for the rows of a segment: an immutable file complete to a watermark, and beside it in
//! memory what came later. Folding writes both as a new file. A successor at or behind a snapshot reads as none, so newer
//! files serve older snapshots.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::datatypes::{DataType, Field};
use ledgerstone_journal::env::Storage;

use super::ColumnError;
use super::cache::{ColumnCache, Decoded};
use super::segment::{FileNote, OpenFile, decode, encode};
use super::tail::NONE;

/// A file of successors as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessorsNote {
    pub file: FileNote,
    /// Every successor before this position is in it.
    pub complete_to: u64,
}

/// The successors of a segment's rows.
#[derive(Debug, Clone)]
pub struct Successors {
    pub written: Arc<Written>,
    /// Positions that were superseded since, with their successors.
    pub later: Arc<Vec<(u64, u64)>>,
}

/// The rows of a segment that have no successor in the file.
#[derive(Debug)]
pub struct Census {
    /// Those that are no deletions.
    pub live: usize,
    /// Positions of those that are, ascending.
    pub deletions: Vec<u64>,
}

/// The file.
#[derive(Debug)]
pub struct Written {
    pub note: SuccessorsNote,
    /// What is counted once its rows have been read.
    pub census: OnceLock<Census>,
    file: OpenFile,
    cache: Arc<ColumnCache>,
}

impl Written {
    /// Writes the successors of all rows. The name is not durable yet.
    pub fn write(
        storage: &dyn Storage,
        dir: &Path,
        number: u64,
        successors: &[u64],
        complete_to: u64,
        cache: &Arc<ColumnCache>,
    ) -> Result<Written, ColumnError> {
        let array: UInt64Array = successors.iter().map(|s| Some(*s).filter(|s| *s < complete_to)).collect();
        let array: ArrayRef = Arc::new(array);
        let bytes = encode(vec![Field::new("_successor", DataType::UInt64, true)], vec![array])?;
        let (file_note, file) = OpenFile::create(storage, dir, number, &bytes)?;
        cache.admit(number);
        Ok(Written {
            note: SuccessorsNote { file: file_note, complete_to },
            census: OnceLock::new(),
            file,
            cache: cache.clone(),
        })
    }

    pub fn open(
        storage: &dyn Storage,
        dir: &Path,
        note: SuccessorsNote,
        cache: &Arc<ColumnCache>,
    ) -> Result<Written, ColumnError> {
        let file = OpenFile::open(storage, dir, &note.file)?;
        cache.admit(note.file.number);
        Ok(Written { note, census: OnceLock::new(), file, cache: cache.clone() })
    }

    fn read(&self) -> Result<Arc<Vec<u64>>, ColumnError> {
        let number = self.note.file.number;
        if let Some(Decoded::Successors(found)) = self.cache.get(number, 0) {
            return Ok(found);
        }
        let arrays = decode(self.file.read()?, &[0]).map_err(|what| self.file.contradiction(&what))?;
        let array = arrays.first().and_then(|a| a.as_any().downcast_ref::<UInt64Array>());
        let array = array.ok_or_else(|| self.file.contradiction("it holds something else"))?;
        let read = Arc::new(array.iter().map(|s| s.unwrap_or(NONE)).collect::<Vec<u64>>());
        self.cache.put(number, 0, Decoded::Successors(read.clone()));
        Ok(read)
    }
}

impl Successors {
    /// By row.
    pub fn by_row(&self, positions: &[u64]) -> Result<Arc<Vec<u64>>, ColumnError> {
        let mut all = self.written.read()?;
        if all.len() != positions.len() {
            return Err(self.written.file.contradiction("it is of another number of rows than its segment"));
        }
        if !self.later.is_empty() {
            let changed = Arc::make_mut(&mut all);
            for (position, successor) in &*self.later {
                let row = positions.binary_search(position).map_err(|_| {
                    ColumnError::Internal(format!("{successor} supersedes {position}, which is not of its table"))
                })?;
                if let Some(slot) = changed.get_mut(row) {
                    *slot = *successor;
                }
            }
        }
        Ok(all)
    }

    /// How many rows are current at a position behind all of them, if that has been counted.
    pub fn current_at(&self, at: u64) -> Option<usize> {
        let census = self.written.census.get()?;
        if self.written.note.complete_to > at || self.later.iter().any(|(_, successor)| *successor >= at) {
            return None;
        }
        let superseded = self.later.iter().filter(|(position, _)| census.deletions.binary_search(position).is_err());
        census.live.checked_sub(superseded.count())
    }

    /// Counts what the file leaves without successors, whose rows these are.
    pub fn count(&self, positions: &[u64], is_deletion: impl Fn(usize) -> bool) -> Result<(), ColumnError> {
        if self.written.census.get().is_some() {
            return Ok(());
        }
        let mut census = Census { live: 0, deletions: Vec::new() };
        for (row, (position, successor)) in positions.iter().zip(&*self.written.read()?).enumerate() {
            match (*successor == NONE, is_deletion(row)) {
                (false, _) => {}
                (true, false) => census.live += 1,
                (true, true) => census.deletions.push(*position),
            }
        }
        // Another thread may have counted the same meanwhile.
        let _ = self.written.census.set(census);
        Ok(())
    }

    pub fn supersede(&mut self, position: u64, successor: u64) {
        Arc::make_mut(&mut self.later).push((position, successor));
    }
}
