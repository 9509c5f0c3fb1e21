//! Receiving a backup: what was read from a ledger becomes a directory that `verify` reads.
//!
//! Every file is written under another name first and takes its own when all are whole and synced, so what was there
//! before stays a backup until the new one is one. A crash while names change leaves segments that are newer than the
//! record; the next backup notices it by their headers and goes on from there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Hash;

use super::record::Record;
use super::{BACKUP_FILE, BackupError, Head, Held, PART_SUFFIX};
use crate::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_MAGIC};
use crate::env::{Env, File, Lock, OpenMode, Storage, read_exact_at, write_all_at};
use crate::error::FileError;
use crate::recovery::LOCK_FILE;
use crate::rotation::keep_note;
use crate::scan::SegmentFile;
use crate::segment::{JOURNAL_DIR, PAGE_BYTES, SEGMENT_BYTES_MAX, SegmentHeader, segment_path};
use crate::slots::SlotFile;

/// How much of an older copy is copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A backup's directory while it is written.
pub struct Receiving {
    env: Env,
    dir: PathBuf,
    /// Of which ledger the directory is a backup.
    earlier: Option<Record>,
    held: BTreeMap<u64, Held>,
    written: Vec<u64>,
    current: Option<Current>,
    bytes: u64,
    _lock: Box<dyn Lock>,
}

/// What a finished backup took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub head: Head,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Segments that were written; the others were there.
    pub segments_written: u64,
}

/// The segment that is being written.
struct Current {
    held: Held,
    length: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    offset: u64,
}

impl Receiving {
    /// Opens the directory of a backup, or makes one. A directory that holds something else is refused.
    pub fn open(env: &Env, dir: &Path) -> Result<Receiving, BackupError> {
        let storage = &*env.storage;
        let refuse = |what: &str| BackupError::Directory { path: dir.to_owned(), what: what.to_owned() };
        if storage.exists(dir) {
            let entries = storage.read_dir(dir).map_err(at(dir, "list it"))?;
            let known = |name: &str| name == BACKUP_FILE || name == LOCK_FILE || name.ends_with(PART_SUFFIX);
            // One that was cut off while its files took their names has its record under the other name.
            let record = dir.join(BACKUP_FILE);
            let is_backup = storage.exists(&record) || storage.exists(&part_of(&record));
            if !is_backup && entries.iter().any(|e| !known(&e.name) && e.name != JOURNAL_DIR) {
                return Err(refuse("there is something else in this directory; choose a new one"));
            }
            if !is_backup && storage.exists(&segment_path(dir, 0)) {
                return Err(refuse(
                    "this holds a journal but no record of a backup; a backup never writes into a ledger: choose \
                     another directory",
                ));
            }
        }
        let journal = dir.join(JOURNAL_DIR);
        make_durable(storage, &journal)?;
        let lock = storage.lock(&dir.join(LOCK_FILE)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => refuse("another backup is being written here"),
            _ => FileError { path: dir.join(LOCK_FILE), action: "lock it", source }.into(),
        })?;
        remove_parts(storage, dir)?;
        remove_parts(storage, &journal)?;
        let earlier = Record::read(storage, dir)?;
        let held = earlier.iter().flat_map(|record| &record.held).filter(|held| still_there(storage, dir, held));
        let held = held.map(|held| (held.number, *held)).collect();
        Ok(Receiving {
            env: env.clone(),
            dir: dir.to_owned(),
            earlier,
            held,
            written: Vec::new(),
            current: None,
            bytes: 0,
            _lock: lock,
        })
    }

    /// What need not be sent again.
    pub fn held(&self) -> Vec<Held> {
        self.held.values().copied().collect()
    }

    /// Says whose backup comes: a directory holds one ledger's.
    pub fn head(&self, head: &Head) -> Result<(), BackupError> {
        match &self.earlier {
            Some(earlier) if earlier.head.ledger != head.ledger => {
                let what = format!("this is a backup of ledger {}, not of {}", earlier.head.ledger, head.ledger);
                Err(BackupError::Directory { path: self.dir.clone(), what })
            }
            Some(earlier) if earlier.head.size > head.size => {
                let what = format!(
                    "this backup has {} leaves, the ledger {}: the ledger was set back, and the backup is kept as it is",
                    earlier.head.size, head.size
                );
                Err(BackupError::Directory { path: self.dir.clone(), what })
            }
            _ => Ok(()),
        }
    }

    /// A segment begins; bytes from `from` on will follow.
    pub fn segment(&mut self, held: Held, length: u64, from: u64) -> Result<(), BackupError> {
        self.finish_segment()?;
        let known = self.held.get(&held.number).filter(|h| h.header_hash == held.header_hash);
        let starts_right = from == 0 || known.is_some_and(|h| h.used_bytes == from);
        if !starts_right || from > held.used_bytes || held.used_bytes > length || length > SEGMENT_BYTES_MAX {
            return Err(BackupError::Sent(format!("segment {} does not continue what is here", held.number)));
        }
        let storage = &*self.env.storage;
        let path = part_of(&segment_path(&self.dir, held.number));
        let file = storage.open(&path, OpenMode::Create).map_err(at(&path, "make it"))?;
        file.set_len(0).map_err(at(&path, "empty it"))?;
        if from > 0 {
            let old = segment_path(&self.dir, held.number);
            let source = storage.open(&old, OpenMode::Read).map_err(at(&old, "open it"))?;
            copy(&*source, &*file, from).map_err(at(&path, "copy what was there"))?;
        }
        self.current = Some(Current { held, length, path, file, offset: from });
        Ok(())
    }

    /// The next bytes of the segment.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let Some(current) = &mut self.current else {
            return Err(BackupError::Sent("bytes without a segment".to_owned()));
        };
        if current.offset + bytes.len() as u64 > current.held.used_bytes {
            return Err(BackupError::Sent(format!("segment {} is longer than announced", current.held.number)));
        }
        write_all_at(&*current.file, bytes, current.offset).map_err(at(&current.path, "write it"))?;
        current.offset += bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// All is here: gives every file its name.
    pub fn finish(mut self, head: Head) -> Result<Received, BackupError> {
        self.head(&head)?;
        self.finish_segment()?;
        let whole = (0..head.segments).all(|number| self.held.contains_key(&number));
        if !whole || self.held.len() as u64 != head.segments {
            return Err(BackupError::Sent(format!("{} of {} segments are here", self.held.len(), head.segments)));
        }
        let storage = &*self.env.storage;
        let (checkpoint, record) = (self.dir.join(CHECKPOINT_FILE), self.dir.join(BACKUP_FILE));
        SlotFile::create(storage, &part_of(&checkpoint), CHECKPOINT_MAGIC, head.note.as_bytes())?;
        Record { head: head.clone(), held: self.held() }.write(storage, &part_of(&record))?;
        // From here on the directory is known for a backup, whatever of it a crash leaves.
        storage.sync_dir(&self.dir).map_err(at(&self.dir, "sync it"))?;
        for number in &self.written {
            rename(storage, &segment_path(&self.dir, *number))?;
        }
        let journal = self.dir.join(JOURNAL_DIR);
        storage.sync_dir(&journal).map_err(at(&journal, "sync it"))?;
        // Before the checkpoint, which the newest of these keys has signed.
        for (size, note) in &head.rotations {
            keep_note(storage, &self.dir, *size, note)?;
        }
        rename(storage, &checkpoint)?;
        rename(storage, &record)?;
        storage.sync_dir(&self.dir).map_err(at(&self.dir, "sync it"))?;
        Ok(Received { head, bytes: self.bytes, segments_written: self.written.len() as u64 })
    }

    fn finish_segment(&mut self) -> Result<(), BackupError> {
        let Some(Current { held, length, path, file, offset }) = self.current.take() else { return Ok(()) };
        if offset != held.used_bytes {
            return Err(BackupError::Sent(format!("segment {} is shorter than announced", held.number)));
        }
        file.set_len(length).map_err(at(&path, "set its length"))?;
        let mut page = vec![0; PAGE_BYTES as usize];
        read_exact_at(&*file, &mut page, 0).map_err(at(&path, "read it back"))?;
        let fits = Hash::sha256(&[&page]) == held.header_hash
            && SegmentHeader::decode(&page).is_ok_and(|h| h.number == held.number && h.length == length);
        if !fits {
            return Err(BackupError::Sent(format!("segment {} begins with another header", held.number)));
        }
        file.sync_data().map_err(at(&path, "sync it"))?;
        self.written.push(held.number);
        self.held.insert(held.number, held);
        Ok(())
    }
}

/// Makes a directory and those above it that are missing, and their names durable.
fn make_durable(storage: &dyn Storage, dir: &Path) -> Result<(), BackupError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !storage.exists(path)).collect();
    storage.create_dir_all(dir).map_err(at(dir, "make the directory"))?;
    for made in missing.into_iter().rev() {
        let parent = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        storage.sync_dir(parent).map_err(at(parent, "sync it"))?;
    }
    Ok(())
}

/// Whether a segment's file is the one the record speaks of.
fn still_there(storage: &dyn Storage, dir: &Path, held: &Held) -> bool {
    SegmentFile::open(storage, dir, held.number, OpenMode::Read)
        .is_ok_and(|file| file.header_hash == held.header_hash && held.used_bytes <= file.header.length)
}

pub(super) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART_SUFFIX);
    name.into()
}

/// Gives a file its name.
fn rename(storage: &dyn Storage, path: &Path) -> Result<(), BackupError> {
    storage.rename(&part_of(path), path).map_err(at(path, "rename it"))
}

/// Removes what an interrupted backup left, except for what says that it is one.
fn remove_parts(storage: &dyn Storage, dir: &Path) -> Result<(), BackupError> {
    let record = part_of(&dir.join(BACKUP_FILE));
    for entry in storage.read_dir(dir).map_err(at(dir, "list it"))? {
        let path = dir.join(&entry.name);
        if entry.name.ends_with(PART_SUFFIX) && path != record {
            storage.remove_file(&path).map_err(at(&path, "remove it"))?;
        }
    }
    Ok(())
}

/// Copies the first `length` bytes.
pub(super) fn copy(from: &dyn File, to: &dyn File, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < length {
        let chunk = &mut buffer[..(CHUNK_BYTES as u64).min(length - offset) as usize];
        read_exact_at(from, chunk, offset)?;
        write_all_at(to, chunk, offset)?;
        offset += chunk.len() as u64;
    }
    Ok(())
}

pub(super) fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| FileError { path, action, source }.into()
}
