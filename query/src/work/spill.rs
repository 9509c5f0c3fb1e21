//! Files for rows that do not fit in memory (docs/format.md, "Spill files").
//!
//! A file loses its name before anything is written to it: it ends with the statement, with the answer that is read from
//! it, or with the process, in whatever way that ends. So no row ever has a name in the ledger's directory, and nothing
//! is left for a redaction to find. Every record has a checksum: what a disk changes is an error and no answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledgerstone_digest::ion::{self, Limits, Value};
use ledgerstone_journal::env::{File, OpenMode, help_for, is_full, read_exact_at, write_all_at};

use super::{Pool, Workspace};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::index::disk::hash64;

/// What is written at a time, at most.
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// Length and checksum in front of a record.
const HEAD_BYTES: usize = 12;

/// Records, written one behind the other and then read.
pub(crate) struct SpillFile {
    file: Arc<dyn File>,
    path: PathBuf,
    pool: Arc<Pool>,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    /// Bytes in the file.
    written: u64,
}

impl Workspace {
    /// An empty file.
    pub fn file(&self) -> Result<SpillFile> {
        let directory = &self.directory;
        let failed = |error| file_error(directory, "make a file in it", &error);
        self.storage.create_dir_all(directory).map_err(failed)?;
        let path = directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = self.storage.open(&path, OpenMode::CreateNew).map_err(failed)?;
        self.storage.remove_file(&path).map_err(failed)?;
        let buffer_bytes = (self.pool.limits.statement_memory_bytes / 8).min(BUFFER_BYTES_MAX);
        let (path, pool) = (directory.clone(), Arc::clone(&self.pool));
        Ok(SpillFile { file, path, pool, buffer: Vec::new(), buffer_bytes, written: 0 })
    }
}

impl SpillFile {
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        let length = u32::try_from(record.len()).map_err(|_| {
            QueryError::new(SqlState::OUT_OF_MEMORY, "a row of 4 GiB or more cannot be put on the disk")
        })?;
        self.buffer.extend(length.to_be_bytes());
        self.buffer.extend(hash64(u64::from(length), record).to_be_bytes());
        self.buffer.extend(record);
        if self.buffer.len() >= self.buffer_bytes { self.flush() } else { Ok(()) }
    }

    /// The offset at which the next record will stand.
    pub fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Before anything is read.
    pub fn flush(&mut self) -> Result<()> {
        let bytes = self.buffer.len() as u64;
        if bytes == 0 {
            return Ok(());
        }
        self.pool.take_disk(bytes)?;
        let outcome = write_all_at(&*self.file, &self.buffer, self.written);
        // Counted even if it failed: a part may stand there.
        self.written += bytes;
        self.buffer.clear();
        outcome.map_err(|error| file_error(&self.path, "write to a file in it", &error))
    }

    /// Reads the records between two offsets, so many bytes at a time. They must have been flushed.
    pub fn records(&self, from: u64, to: u64, bytes: usize) -> Cursor {
        Cursor { at: from, end: to, buffer: Vec::new(), start: 0, bytes }
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.pool.give_back_disk(self.written);
    }
}

impl std::fmt::Debug for SpillFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpillFile").field("path", &self.path).field("written", &self.written).finish_non_exhaustive()
    }
}

/// How far records have been read.
#[derive(Debug)]
pub(crate) struct Cursor {
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where the bytes that were not handed out begin in the buffer.
    start: usize,
    bytes: usize,
}

impl Cursor {
    /// The next record of the file that it was made for.
    pub fn next(&mut self, file: &SpillFile) -> Result<Option<&[u8]>> {
        if !self.fill(file, HEAD_BYTES)? {
            return Ok(None);
        }
        let head = self.buffer.get(self.start..self.start + HEAD_BYTES).unwrap_or_default();
        let (length, sum) = head.split_at_checked(4).ok_or_else(|| changed(file))?;
        let length = u32::from_be_bytes(length.try_into().map_err(|_| changed(file))?);
        let sum = u64::from_be_bytes(sum.try_into().map_err(|_| changed(file))?);
        let whole = HEAD_BYTES + length as usize;
        if !self.fill(file, whole)? {
            return Err(changed(file));
        }
        let record = self.buffer.get(self.start + HEAD_BYTES..self.start + whole).ok_or_else(|| changed(file))?;
        if hash64(u64::from(length), record) != sum {
            return Err(changed(file));
        }
        self.start += whole;
        Ok(Some(record))
    }

    /// Sees to it that so many bytes are in the buffer; `false` if there is nothing more.
    fn fill(&mut self, file: &SpillFile, bytes: usize) -> Result<bool> {
        let buffered = self.buffer.len() - self.start;
        if buffered >= bytes {
            return Ok(true);
        }
        let left = self.end - self.at;
        if buffered == 0 && left == 0 {
            return Ok(false);
        }
        if (bytes - buffered) as u64 > left {
            return Err(changed(file));
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let more = (bytes - buffered).max(self.bytes).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.buffer.resize(buffered + more, 0);
        let into = self.buffer.get_mut(buffered..).unwrap_or_default();
        read_exact_at(&*file.file, into, self.at)
            .map_err(|error| file_error(&file.path, "read a file in it", &error))?;
        self.at += more as u64;
        Ok(true)
    }
}

/// Values as bytes that give exactly the same values back: which are there, then the values as Ion.
pub(crate) fn pack(values: Vec<Datum>) -> Vec<u8> {
    let mut out: Vec<u8> = values.iter().map(|datum| u8::from(datum.is_some())).collect();
    out.extend(ion::encode(&Value::List(values.into_iter().flatten().collect())));
    out
}

/// The values of [`pack`], of which there are so many.
pub(crate) fn unpack(bytes: &[u8], count: usize) -> Result<Vec<Datum>, String> {
    let limits = Limits { bytes_max: usize::MAX, depth_max: ion::DEPTH_CAP, values_max: usize::MAX };
    let (there, packed) = bytes.split_at_checked(count).ok_or("a row of too few bytes")?;
    let Value::List(values) = ion::decode(packed, &limits).map_err(|e| e.to_string())? else {
        return Err("a row that is no list".to_owned());
    };
    let mut values = values.into_iter();
    Ok(there.iter().map(|there| if *there == 1 { values.next() } else { None }).collect())
}

fn changed(file: &SpillFile) -> QueryError {
    QueryError::new(
        SqlState::IO_ERROR,
        format!("{}: a file in it does not hold what was written to it", file.path.display()),
    )
    .hint("Look at the system's log for the disk. The ledger is not concerned; run the statement again.")
}

fn file_error(directory: &std::path::Path, action: &str, error: &std::io::Error) -> QueryError {
    let path = directory.display();
    if is_full(error) {
        return QueryError::new(
            SqlState::DISK_FULL,
            format!(
                "{path}: no room on the disk for what the statement sorts, groups or answers beyond its memory: {error}"
            ),
        )
        .hint(
            "Make room on the disk; or filter or LIMIT the statement; or start the server with a larger --limit \
             statement_memory_bytes=N.",
        );
    }
    QueryError::new(SqlState::IO_ERROR, format!("{path}: cannot {action}: {error}{}", help_for(error)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ledgerstone_journal::Env;

    use super::*;
    use crate::work::WorkLimits;

    fn workspace(spill_bytes: u64) -> (tempfile::TempDir, Arc<Workspace>) {
        let directory = tempfile::tempdir().unwrap();
        let limits = WorkLimits { statement_memory_bytes: 1 << 10, spill_bytes, ..WorkLimits::default() };
        let workspace = Workspace::open(&Env::production(), directory.path(), Pool::new(limits));
        (directory, workspace)
    }

    fn names(directory: &Path) -> usize {
        std::fs::read_dir(directory.join(super::super::SPILL_DIR)).map_or(0, Iterator::count)
    }

    #[test]
    fn records_come_back_from_any_offset_and_the_file_never_has_a_name() {
        let (directory, workspace) = workspace(1 << 20);
        let mut file = workspace.file().unwrap();
        let records: Vec<Vec<u8>> = (0..300).map(|n: usize| vec![n as u8; n * 7 % 400]).collect();
        let mut offsets = Vec::new();
        for record in &records {
            offsets.push(file.end());
            file.push(record).unwrap();
        }
        file.flush().unwrap();
        assert_eq!(names(directory.path()), 0);
        assert_eq!(workspace.pool.disk(), file.end());
        for bytes in [1, 16, 1000, 1 << 20] {
            for from in [0, 1, 150, 299] {
                let mut cursor = file.records(offsets[from], file.end(), bytes);
                for record in &records[from..] {
                    assert_eq!(cursor.next(&file).unwrap(), Some(&record[..]));
                }
                assert_eq!(cursor.next(&file).unwrap(), None);
            }
        }
        drop(file);
        assert_eq!(workspace.pool.disk(), 0);
    }

    #[test]
    fn a_changed_byte_is_an_error_and_no_answer() {
        let (_directory, workspace) = workspace(1 << 20);
        let mut file = workspace.file().unwrap();
        file.push(b"one record").unwrap();
        file.flush().unwrap();
        for at in 0..file.end() {
            let mut byte = [0];
            file.file.read_at(&mut byte, at).unwrap();
            file.file.write_at(&[byte[0] ^ 1], at).unwrap();
            let refused = file.records(0, file.end(), 64).next(&file).unwrap_err();
            assert_eq!(refused.code, SqlState::IO_ERROR, "{at}: {refused}");
            file.file.write_at(&byte, at).unwrap();
        }
        assert!(file.records(0, file.end(), 64).next(&file).unwrap().is_some());
    }

    #[test]
    fn more_than_the_limit_is_refused_by_its_name() {
        let (_directory, workspace) = workspace(1 << 10);
        let mut file = workspace.file().unwrap();
        let refused = (0..100).find_map(|_| file.push(&[7; 100]).err()).unwrap();
        assert_eq!(refused.code, SqlState::OUT_OF_MEMORY);
        assert!(refused.message.contains("spill_bytes"), "{refused}");
    }

    #[test]
    fn leftovers_go_when_the_ledger_is_opened() {
        let (directory, workspace) = workspace(1 << 10);
        let spill = directory.path().join(super::super::SPILL_DIR);
        std::fs::create_dir_all(&spill).unwrap();
        std::fs::write(spill.join("7"), b"left").unwrap();
        Workspace::open(&Env::production(), directory.path(), Arc::clone(&workspace.pool));
        assert!(!spill.exists());
    }
}
