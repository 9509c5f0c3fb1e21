//! From the journal to the columns: a scan that needs what has been committed since reads it from the journal, once, for
//! all tables. Nothing of this is on the way of a commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_journal::env::{Waiting, breathe};
use ledgerstone_journal::{Env, Ledger, StoredRevision};

use super::cache::ColumnCache;
use super::decode::{Decoded, Effort, decode};
use super::origin::{Open, Origin, has_columns, record_of};
use super::reading::Reading;
use super::scan::{Partition, Scan, Source};
use super::tail::{Chunk, Tail};
use super::{COLUMNS_DIR, ColumnError, ColumnOptions, ColumnStats, ScanRequest};
use crate::database::State;

/// Revisions between two looks at whether to stop.
const STOP_EVERY: u64 = 256;
/// So many positions are decoded by several threads.
const MANY: u64 = 24 << 10;
/// Positions between two countings of memory.
const COUNT_EVERY: u64 = 2048;

/// The columns of one ledger.
pub struct ColumnStore {
    pub(super) env: Env,
    pub(super) dir: PathBuf,
    pub(super) origin: Arc<dyn Origin>,
    pub(super) options: ColumnOptions,
    pub(super) cache: Arc<ColumnCache>,
    reading: Arc<Reading>,
    /// Held while files are made.
    pub(super) files: Mutex<()>,
    inner: Mutex<Inner>,
    /// Who waits for it, or for `files`.
    pub(super) waiting: Waiting,
    /// A file was found damaged by somebody who reads a scan.
    broken: Arc<AtomicBool>,
    /// The number of the next file.
    pub(super) next_number: AtomicU64,
    /// What `Inner::position` was last, to be asked without waiting.
    reached: AtomicU64,
    /// What was counted last, for who does not want to wait.
    counted: Mutex<ColumnStats>,
}

pub(super) struct Inner {
    /// Everything before this position is in.
    pub position: u64,
    /// In one order, so that files are written in one order.
    pub tables: BTreeMap<Id, Tail>,
    /// Successors that came after the files of successors, before `position`, have been read again.
    pub recovered: bool,
    /// How often everything was forgotten: what is being written meanwhile is not taken.
    pub epoch: u64,
    /// Data that was redacted is still in files.
    pub purge: bool,
    /// The position at which memory was last counted.
    counted_at: u64,
    /// It is to be looked at before that.
    count_now: bool,
}

impl Inner {
    fn new(epoch: u64) -> Inner {
        Inner {
            position: 1,
            tables: BTreeMap::new(),
            recovered: true,
            epoch,
            purge: false,
            counted_at: 0,
            count_now: false,
        }
    }
}

impl ColumnStore {
    /// The columns of the ledger in this directory, with what is in files; what cannot be used is dropped.
    pub(crate) fn open(
        env: &Env,
        ledger_dir: &Path,
        ledger: Arc<Ledger>,
        state: Arc<State>,
        options: ColumnOptions,
    ) -> ColumnStore {
        let store = ColumnStore::of(env, ledger_dir, Arc::new(Open { ledger, state }), options);
        let mut inner = store.lock();
        if let Err(error) = store.load(&mut inner) {
            tracing::warn!(%error, "the columns cannot be used and are made again from the journal when they are needed");
            store.forget(&mut inner);
        }
        store.reached.store(inner.position, Ordering::Release);
        drop(inner);
        store
    }

    /// Columns that nothing is known of yet.
    pub(super) fn of(env: &Env, ledger_dir: &Path, origin: Arc<dyn Origin>, options: ColumnOptions) -> ColumnStore {
        ColumnStore {
            env: env.clone(),
            dir: ledger_dir.join(COLUMNS_DIR),
            origin,
            cache: Arc::new(ColumnCache::new(options.cache_bytes_max)),
            reading: Reading::new(options.reading_bytes_max()),
            options,
            files: Mutex::default(),
            inner: Mutex::new(Inner::new(0)),
            waiting: Waiting::default(),
            broken: Arc::default(),
            next_number: AtomicU64::new(1),
            reached: AtomicU64::new(1),
            counted: Mutex::default(),
        }
    }

    /// The rows of a table as a view at a snapshot sees them, everything committed before the snapshot included. Waits
    /// for what has not been read from the journal yet; `stop` is asked now and then, and true ends it.
    ///
    /// It records no reads: whoever scans for a transaction that writes records a read of the table. It knows nothing of
    /// the transaction's own writes. And as after every read of what is current, ask afterwards whether something that the
    /// snapshot sees has been redacted since.
    pub fn scan(&self, request: ScanRequest, stop: &dyn Fn() -> bool) -> Result<Scan, ColumnError> {
        let scan = || self.with_room(|| self.scan_once(&request, stop));
        match scan() {
            // The files are gone, and the journal says it again.
            Err(ColumnError::Damaged { .. }) => scan(),
            other => other,
        }
    }

    /// Does what takes in revisions, and does it again when what is in memory has gone to files because there was no more
    /// room: the journal is read on from there. It fails for want of memory only if that brought it no further.
    pub(super) fn with_room<T>(&self, mut take: impl FnMut() -> Result<T, ColumnError>) -> Result<T, ColumnError> {
        let mut reached = 0;
        loop {
            match take() {
                // If another thread has written it meanwhile there is nothing left to write.
                Err(error @ ColumnError::Memory { .. }) => {
                    let before = std::mem::replace(&mut reached, self.lock().position);
                    if !self.flush()? && before == reached {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    fn scan_once(&self, request: &ScanRequest, stop: &dyn Fn() -> bool) -> Result<Scan, ColumnError> {
        let mut inner = self.lock();
        // To the newest, so that redactions behind the snapshot are in as well.
        self.catch_up(&mut inner, self.origin.end().max(request.snapshot), stop)?;
        let Some(tail) = inner.tables.get_mut(&request.table) else { return Ok(Scan { partitions: Vec::new() }) };
        tail.close(&self.options)?;
        let request = Arc::new(request.clone());
        let chunks = tail.chunks.iter().filter(|chunk| chunk.range().0 < request.snapshot);
        let partitions = chunks.map(|chunk| Partition {
            source: match chunk {
                Chunk::Memory { piece, successors, .. } => Source::Memory(piece.clone(), successors.clone()),
                Chunk::File { segment, successors } => Source::File(segment.clone(), successors.clone()),
            },
            request: request.clone(),
            broken: self.broken.clone(),
            reading: self.reading.clone(),
        });
        Ok(Scan { partitions: partitions.collect() })
    }

    /// Everything before this position has been read from the journal.
    pub fn position(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Memory that columns take, in bytes, without decoded columns of files.
    pub fn memory_bytes(&self) -> usize {
        self.lock().tables.values().map(Tail::bytes).sum()
    }

    /// Bytes of decoded columns of files; how often a column was there, and how often it was decoded.
    pub fn cache_counts(&self) -> (usize, u64, u64) {
        self.cache.counts()
    }

    /// Rows that are in memory only, and files of documents.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        let files = |tail: &Tail| tail.chunks.iter().filter(|chunk| matches!(chunk, Chunk::File { .. })).count();
        (inner.tables.values().map(Tail::unwritten).sum(), inner.tables.values().map(files).sum())
    }

    /// What there is, without waiting: while columns are being made, what was counted before that.
    pub fn stats(&self) -> ColumnStats {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(inner) = self.inner.try_lock() {
            *counted = self.count(&inner);
        }
        let (cache_bytes, cache_hits, cache_misses) = self.cache.counts();
        counted.position = self.position();
        counted.positions_behind = self.origin.end().saturating_sub(counted.position);
        counted.reading_bytes = self.reading.bytes() as u64;
        (counted.cache_bytes, counted.cache_hits, counted.cache_misses) =
            (cache_bytes as u64, cache_hits, cache_misses);
        counted.read_bytes = self.cache.read_bytes();
        *counted
    }

    fn count(&self, inner: &Inner) -> ColumnStats {
        let mut stats = ColumnStats::default();
        for tail in inner.tables.values() {
            stats.memory_rows += tail.unwritten() as u64;
            stats.memory_bytes += tail.bytes() as u64;
            stats.superseded_in_memory += tail.later() as u64;
            for chunk in &tail.chunks {
                let Chunk::File { segment, successors } = chunk else { continue };
                stats.segments += 1;
                stats.file_rows += segment.note.rows;
                stats.file_bytes += segment.note.file.length + successors.written.note.file.length;
            }
        }
        stats
    }

    /// Takes out what has been redacted, from files too, and for that takes in what has been committed; nothing is made that
    /// nobody has asked for yet. For when a redaction has been carried out. `stop` is asked now and then, and true leaves it to
    /// the next start.
    pub(crate) fn purge(&self, stop: &dyn Fn() -> bool) {
        let outcome = self.purged(stop);
        if matches!(outcome, Err(ColumnError::Stopped)) {
            return;
        }
        if outcome.is_err() || self.lock().purge {
            tracing::warn!(?outcome, "the columns are forgotten: what was redacted could not be taken out alone");
            self.forget(&mut self.lock());
        }
    }

    fn purged(&self, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        let purge = self.with_room(|| {
            let mut inner = self.lock();
            // Every start asks, and most ledgers have no redactions: what has not been taken in is then left for later.
            if inner.position == 1
                || !inner.purge && self.origin.newest_redaction().is_none_or(|at| at < inner.position)
            {
                return Ok(false);
            }
            self.catch_up(&mut inner, self.origin.end(), stop)?;
            Ok(inner.purge)
        })?;
        // While others write, what was frozen then may be written once more without it.
        if purge { self.flush().map(drop) } else { Ok(()) }
    }

    /// Takes in some revisions. False if there are none left.
    pub(super) fn step(&self, revisions: u64) -> Result<bool, ColumnError> {
        let mut inner = self.lock();
        let to = self.origin.end();
        let until = inner.position.saturating_add(revisions).min(to);
        self.catch_up(&mut inner, until, &|| false)?;
        Ok(inner.position < to)
    }

    fn catch_up(&self, inner: &mut Inner, to: u64, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        if self.broken.swap(false, Ordering::AcqRel) {
            self.forget(inner);
        }
        let outcome = self.caught_up(inner, to, stop);
        if let Err(error) = &outcome
            // Whatever happened in the middle of a revision is not to be gone on from.
            && matches!(error, ColumnError::Internal(_) | ColumnError::Damaged { .. } | ColumnError::File { .. })
        {
            tracing::warn!(%error, "the columns cannot be used and are made again from the journal");
            self.forget(inner);
        }
        self.reached.store(inner.position, Ordering::Release);
        outcome
    }

    fn caught_up(&self, inner: &mut Inner, to: u64, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        if !inner.recovered {
            self.recover(inner)?;
            inner.recovered = true;
        }
        if inner.position >= to {
            return Ok(());
        }
        if to - inner.position >= MANY {
            return self.take_much(inner, to, stop);
        }
        self.origin.revisions_between(inner.position, to, &mut |revision| {
            if revision.position.is_multiple_of(STOP_EVERY) || inner.count_now {
                self.reached.store(inner.position, Ordering::Release);
                self.check(inner, stop)?;
            }
            inner.count_now |= self.take(inner, &revision)?;
            inner.position = revision.position + 1;
            breathe();
            Ok::<(), ColumnError>(())
        })?;
        inner.position = to;
        Ok(())
    }

    fn take_much(&self, inner: &mut Inner, to: u64, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        let effort = Effort {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            bytes_max: self.options.memory_bytes_max / 2,
            piece_rows: self.options.piece_rows,
            piece_bytes: self.options.piece_bytes(),
        };
        decode(&*self.origin, inner.position, to, effort, &mut |run| {
            self.take_run(inner, run)?;
            self.reached.store(inner.position, Ordering::Release);
            self.check(inner, stop)
        })
    }

    fn take_run(&self, inner: &mut Inner, run: Decoded) -> Result<(), ColumnError> {
        for (table, decoded) in run.tables {
            let tail = inner.tables.entry(table).or_insert_with(Tail::new);
            decoded.pieces.into_iter().try_for_each(|piece| tail.append(piece, &self.options))?;
            decoded.superseded.into_iter().try_for_each(|(before, successor)| tail.supersede(before, successor))?;
        }
        for (at, record) in run.redactions {
            self.take_out(inner, at, &record)?;
        }
        inner.position = run.to;
        Ok(())
    }

    fn check(&self, inner: &mut Inner, stop: &dyn Fn() -> bool) -> Result<(), ColumnError> {
        if stop() {
            return Err(ColumnError::Stopped);
        }
        if inner.count_now || inner.position >= inner.counted_at + COUNT_EVERY {
            (inner.count_now, inner.counted_at) = (false, inner.position);
            // What is known of files counts as well, but writing more of them does not make it less.
            let some_are_unwritten = inner.tables.values().any(|tail| tail.unwritten() > 0);
            let bytes = inner.tables.values().map(Tail::bytes).sum::<usize>();
            if some_are_unwritten && bytes > self.options.memory_bytes_max {
                return Err(ColumnError::Memory { limit: self.options.memory_bytes_max });
            }
        }
        Ok(())
    }

    /// True if memory should be counted: a piece has become full.
    fn take(&self, inner: &mut Inner, revision: &StoredRevision) -> Result<bool, ColumnError> {
        if let Some(record) = record_of(revision) {
            return self.take_out(inner, revision.position, &record).map(|()| false);
        }
        if !has_columns(revision) {
            return Ok(false);
        }
        let tail = inner.tables.entry(revision.table_id).or_insert_with(Tail::new);
        tail.push(revision, self.origin.is_redacted(revision.position), &self.options)
    }

    /// What a record at a position says is redacted.
    fn take_out(&self, inner: &mut Inner, at: u64, record: &RedactionRecord) -> Result<(), ColumnError> {
        let Some(tail) = inner.tables.get_mut(&record.table_id) else { return Ok(()) };
        if let Some(position) = self.origin.redacted_by(record, at)? {
            inner.purge |= tail.redact(position, &self.options)?;
        }
        Ok(())
    }

    /// Forgets everything, files included: the journal says it again.
    pub(super) fn forget(&self, inner: &mut Inner) {
        *inner = Inner::new(inner.epoch + 1);
        self.reached.store(1, Ordering::Release);
        self.remove_files();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.waiting.during(|| self.inner.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}
