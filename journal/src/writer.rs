//! The writer: one write and one sync per batch (docs/architecture.md, "Journal").
//!
//! A failed sync is never repeated: what is on disk is then unknown, so everything that waits gets "outcome unknown"
//! and nothing more is written until the ledger is opened again. A disk that is full is noticed before the sync: the
//! batch is zeroed and refused, and writes go on when there is space.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ledgerstone_digest::Hash;

use crate::env::{File, OpenMode, Storage, Waiting, breathe, help_for, is_full, work_in_background, write_all_at};
use crate::mutation::{self, Mutation};
use crate::scan::SegmentFile;
use crate::segment::{JOURNAL_DIR, NEXT_SEGMENT, PAGE_BYTES, SegmentHeader, segment_path};
use crate::sequencer::{Batch, Tail};

/// Zeros are written in pieces of this length.
const ZEROS: usize = 1 << 20;
/// The same of a segment that is prepared. The kernel keeps in memory in one piece what was written in one, and looks at the
/// whole piece whenever a batch is written into it: a megabyte costs a small batch a quarter more of the kernel's time than
/// pieces of about its own size.
const PREPARED: usize = 16 << 10;

/// Writes batches to the last segment.
pub(crate) struct Writer {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    file: Arc<dyn File>,
    tail: Tail,
    /// The length of the segment to prepare ahead, if that is done in the background.
    ahead_bytes: Option<u64>,
    preparing: Option<JoinHandle<io::Result<Arc<dyn File>>>>,
    /// Whether this one waits for that.
    waiting: Waiting,
    /// A segment that was begun and nobody asked for yet.
    begun: Option<SegmentFile>,
}

/// Why a batch is not durable.
#[derive(Debug, Clone)]
pub(crate) enum WriteFailure {
    /// Nothing of it is there, and writing can go on.
    NoSpace(String),
    /// Nobody knows; writing must stop.
    Unknown(String),
}

impl Writer {
    pub fn new(
        storage: Arc<dyn Storage>,
        dir: &Path,
        file: Arc<dyn File>,
        tail: Tail,
        ahead_bytes: Option<u64>,
    ) -> Writer {
        Writer {
            storage,
            dir: dir.to_path_buf(),
            file,
            tail,
            ahead_bytes,
            preparing: None,
            waiting: Waiting::default(),
            begun: None,
        }
    }

    /// The segment that was begun since this was asked last.
    pub fn take_begun(&mut self) -> Option<SegmentFile> {
        self.begun.take()
    }

    /// Everything before this is durable.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Makes a batch durable. A segment that was begun for it stays even if the batch fails.
    pub fn write(&mut self, batch: &Batch) -> Result<(), WriteFailure> {
        if let Some(header) = &batch.roll
            && self.tail.segment != header.number
        {
            self.roll(header)?;
        }
        if let Err(e) = write_all_at(&*self.file, &batch.bytes, batch.offset) {
            return Err(self.take_back(batch, e));
        }
        let late = mutation::is_on(Mutation::SkipSync) || mutation::is_on(Mutation::AcknowledgeBeforeSync);
        if !late && let Err(e) = self.file.sync_data() {
            let action = format!("cannot sync the batch at offset {}", batch.offset);
            return Err(self.unknown(&action, batch, &e));
        }
        self.tail = batch.after;
        self.prepare_ahead();
        Ok(())
    }

    /// What [`Mutation::AcknowledgeBeforeSync`] does too late.
    pub fn sync(&self) -> Result<(), WriteFailure> {
        self.file.sync_data().map_err(|e| WriteFailure::Unknown(e.to_string()))
    }

    /// Zeroes what was written of a batch that did not fit the disk.
    fn take_back(&self, batch: &Batch, error: io::Error) -> WriteFailure {
        if !is_full(&error) {
            return self.unknown("cannot write", batch, &error);
        }
        let zeros = vec![0; batch.bytes.len()];
        let zeroed = write_all_at(&*self.file, &zeros, batch.offset).and_then(|()| self.file.sync_data());
        match zeroed {
            Ok(()) => WriteFailure::NoSpace(format!("{}: {error}", self.path_of(batch).display())),
            Err(e) => self.unknown("the disk is full, and what was written cannot be zeroed", batch, &e),
        }
    }

    fn unknown(&self, action: &str, batch: &Batch, error: &io::Error) -> WriteFailure {
        WriteFailure::Unknown(format!("{}: {action}: {error}{}", self.path_of(batch).display(), help_for(error)))
    }

    fn path_of(&self, batch: &Batch) -> PathBuf {
        segment_path(&self.dir, batch.segment)
    }

    fn roll(&mut self, header: &SegmentHeader) -> Result<(), WriteFailure> {
        let journal = self.dir.join(JOURNAL_DIR);
        let path = journal.join(NEXT_SEGMENT);
        let file = self.next_file(&path, header.length).map_err(|e| {
            // What is left of it only takes space; the next attempt begins anew.
            let _ = self.storage.remove_file(&path);
            match is_full(&e) {
                true => WriteFailure::NoSpace(format!("{}: cannot prepare a segment: {e}", path.display())),
                false => WriteFailure::Unknown(format!("{}: cannot prepare a segment: {e}", path.display())),
            }
        })?;
        let page = header.encode();
        let unknown = |e: io::Error| {
            let path = segment_path(&self.dir, header.number);
            WriteFailure::Unknown(format!("{}: cannot begin it: {e}{}", path.display(), help_for(&e)))
        };
        write_all_at(&*file, &page, 0).map_err(unknown)?;
        file.sync_data().map_err(unknown)?;
        let path_of_it = segment_path(&self.dir, header.number);
        self.storage.rename(&path, &path_of_it).map_err(unknown)?;
        self.storage.sync_dir(&journal).map_err(unknown)?;
        self.file = Arc::clone(&file);
        self.begun = Some(SegmentFile { path: path_of_it, file, header: *header, header_hash: Hash::sha256(&[&page]) });
        self.tail = Tail {
            segment: header.number,
            nonce: header.nonce,
            length: header.length,
            offset: PAGE_BYTES,
            dictionary: 0,
            chain: header.chain,
        };
        Ok(())
    }

    /// The file for the next segment: the one prepared ahead, or one made now.
    fn next_file(&mut self, path: &Path, length: u64) -> io::Result<Arc<dyn File>> {
        if let Some(task) = self.preparing.take()
            && let Ok(Ok(file)) = self.waiting.during(|| task.join())
            && file.len()? == length
        {
            return Ok(file);
        }
        prepare(&*self.storage, path, length)
    }

    /// Begins to prepare the next segment when this one is a quarter full.
    fn prepare_ahead(&mut self) {
        let Some(length) = self.ahead_bytes else { return };
        if self.preparing.is_some() || self.tail.offset < self.tail.length / 4 {
            return;
        }
        let storage = Arc::clone(&self.storage);
        let path = self.dir.join(JOURNAL_DIR).join(NEXT_SEGMENT);
        let waiting = self.waiting.clone();
        let task = thread::Builder::new().name("prepare".to_owned()).spawn(move || {
            work_in_background(move || waiting.any());
            prepare(&*storage, &path, length).inspect_err(|_| {
                let _ = storage.remove_file(&path);
            })
        });
        // Without a thread the segment is made when it is needed.
        self.preparing = task.ok();
    }
}

/// Makes a file of this many zeros, synced.
pub(crate) fn prepare(storage: &dyn Storage, path: &Path, length: u64) -> io::Result<Arc<dyn File>> {
    let file = storage.open(path, OpenMode::Create)?;
    file.set_len(0)?;
    let zeros = vec![0; PREPARED];
    let mut offset = 0;
    while offset < length {
        let n = (PREPARED as u64).min(length - offset) as usize;
        write_all_at(&*file, &zeros[..n], offset)?;
        offset += n as u64;
        breathe();
    }
    file.sync_data()?;
    Ok(file)
}

/// Writes zeros over a range and syncs them.
pub(crate) fn zero(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut offset = from;
    while offset < to {
        let n = (ZEROS as u64).min(to - offset) as usize;
        write_all_at(file, &zeros[..n], offset)?;
        offset += n as u64;
    }
    file.sync_data()
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(task) = self.preparing.take() {
            // Nobody else may touch the directory once the lock is gone; the leftover goes with the next opening.
            let _ = self.waiting.during(|| task.join());
        }
    }
}
