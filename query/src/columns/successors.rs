//! Which revision superseded which, for the rows of a segment: an immutable file complete to a watermark, and beside it in
//! memory what came later. Folding writes both as a new file. A successor at or behind a snapshot reads as none, so newer
//! files serve older snapshots.

use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::datatypes::{DataType, Field};
use ledgerstone_journal::env::Storage;

use super::ColumnError;
use super::cache::{ColumnCache, Decoded};
use super::segment::{FileNote, OpenFile, SUCCESSOR, decode, encode};
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
    /// What was superseded since.
    pub later: Arc<Later>,
}

/// Revisions that were superseded after their file of successors was written. It only grows, and those who scan share it
/// with those who add: what comes after a snapshot has a successor at or behind it, which reads as none.
#[derive(Debug, Default)]
pub struct Later(RwLock<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Positions with their successors.
    pairs: Vec<(u64, u64)>,
    /// The greatest successor.
    greatest: u64,
    /// The rows of the first of them, as far as a scan has looked them up.
    rows: Vec<u32>,
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
        let bytes = encode(vec![Field::new(SUCCESSOR, DataType::UInt64, true)], vec![array])?;
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

impl Later {
    /// What one revision takes: its position, its successor and its row.
    pub const BYTES: usize = size_of::<(u64, u64)>() + size_of::<u32>();

    pub fn of(pairs: Vec<(u64, u64)>) -> Later {
        let greatest = pairs.iter().map(|(_, successor)| *successor).max().unwrap_or_default();
        Later(RwLock::new(Noted { pairs, greatest, rows: Vec::new() }))
    }

    pub fn len(&self) -> usize {
        self.read().pairs.len()
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.len() * Later::BYTES
    }

    /// What was superseded at `from` or later, with its successor.
    pub fn since(&self, from: u64, out: &mut Vec<(u64, u64)>) {
        out.extend(self.read().pairs.iter().filter(|(_, successor)| *successor >= from));
    }

    fn push(&self, position: u64, successor: u64) {
        let mut noted = self.0.write().unwrap_or_else(PoisonError::into_inner);
        noted.pairs.push((position, successor));
        noted.greatest = noted.greatest.max(successor);
    }

    /// Each row with its successor; `positions` are those of all rows. A row is looked up by the first scan that meets it.
    pub fn each_row(&self, positions: &[u64], each: &mut dyn FnMut(usize, u64)) -> Result<(), ColumnError> {
        let mut noted = self.read();
        if noted.rows.len() < noted.pairs.len() {
            drop(noted);
            self.look_up(positions)?;
            noted = self.read();
        }
        // What was added in between is behind what this scan sees.
        noted.rows.iter().zip(&noted.pairs).for_each(|(row, (_, successor))| each(*row as usize, *successor));
        Ok(())
    }

    fn look_up(&self, positions: &[u64]) -> Result<(), ColumnError> {
        let mut noted = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Noted { pairs, rows, .. } = &mut *noted;
        for (position, successor) in pairs.iter().skip(rows.len()) {
            let row = positions.binary_search(position).map_err(|_| {
                ColumnError::Internal(format!("{successor} supersedes {position}, which is not of its table"))
            })?;
            rows.push(row as u32);
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Noted> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Successors {
    /// By row, without what came later: as many as there are positions.
    pub fn written_by_row(&self, positions: &[u64]) -> Result<Arc<Vec<u64>>, ColumnError> {
        let all = self.written.read()?;
        match all.len() == positions.len() {
            true => Ok(all),
            false => Err(self.written.file.contradiction("it is of another number of rows than its segment")),
        }
    }

    /// By row.
    pub fn by_row(&self, positions: &[u64]) -> Result<Arc<Vec<u64>>, ColumnError> {
        with_later(self.written_by_row(positions)?, &self.later, positions)
    }

    /// How many rows are current at a position behind all of them, if that has been counted.
    pub fn current_at(&self, at: u64) -> Option<usize> {
        let census = self.written.census.get()?;
        let later = self.later.read();
        if self.written.note.complete_to > at || later.greatest >= at {
            return None;
        }
        let deletions = match census.deletions.is_empty() {
            true => 0,
            false => later.pairs.iter().filter(|(p, _)| census.deletions.binary_search(p).is_ok()).count(),
        };
        census.live.checked_sub(later.pairs.len() - deletions)
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

    pub fn supersede(&self, position: u64, successor: u64) {
        self.later.push(position, successor);
    }
}

/// Successors by row with those that came later.
pub fn with_later(mut all: Arc<Vec<u64>>, later: &Later, positions: &[u64]) -> Result<Arc<Vec<u64>>, ColumnError> {
    if later.len() > 0 {
        let changed = Arc::make_mut(&mut all);
        later.each_row(positions, &mut |row, successor| {
            if let Some(slot) = changed.get_mut(row) {
                *slot = successor;
            }
        })?;
    }
    Ok(all)
}
