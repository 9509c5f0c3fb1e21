//! What goes on behind the commits: full deltas become runs, runs become larger ones, keys of redacted revisions go.
//!
//! A run is written whole, synced and named before the manifest that needs it; the manifest is renamed before what it
//! does not name any more is removed. So a crash at any moment leaves a manifest whose runs are there, and at worst files
//! that no manifest names, which the next start removes. A failure changes nothing: the deltas wait in memory, and it is
//! tried again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_journal::Env;
use ledgerstone_journal::env::{breathe, work_in_background};

use super::delta::{Delta, Facts, Frozen, IndexFacts, View};
use super::entry;
use super::manifest::{MANIFEST, Manifest, TEMPORARY};
use super::merge::{Cursor, MapCursor, Merge, Source};
use super::run::{Run, Writer, run_number, run_path};
use super::{DiskRows, lock};
use crate::index::IndexError;

/// Frozen deltas that wait before the publisher does.
const FROZEN_MAX: usize = 4;
/// Frozen deltas that wait, because they cannot be written, before writes are refused.
const FROZEN_REFUSED: usize = 16;
/// Entries merged between two looks at what else there is to do.
const MERGED_AT_A_TIME: u32 = 8192;
/// The same of a look whether somebody else needs the processor.
const MERGED_AT_A_BREATH: u32 = 128;
/// Waiting after a failure, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What is on disk, as whoever makes files knows it.
pub(super) struct Files {
    next_number: u64,
    /// As the newest manifest says.
    facts: Facts,
    leaf: Hash,
}

/// Between the publisher and the thread.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<SignalState>,
    work: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct SignalState {
    stop: bool,
    /// Why the last try failed.
    failed: Option<String>,
}

/// The thread that writes; it ends when this is dropped.
pub struct Upkeep {
    rows: Arc<DiskRows>,
    thread: Option<JoinHandle<()>>,
}

impl Files {
    pub fn new(env: &Env, dir: &Path, runs: &[Arc<Run>], facts: Facts, leaf: Hash) -> Files {
        let mut next_number = 1;
        let entries = env.storage.read_dir(dir).unwrap_or_default();
        for entry in &entries {
            let number = run_number(&entry.name);
            next_number = next_number.max(number.map_or(0, |number| number.saturating_add(1)));
            let kept = match number {
                Some(number) => runs.iter().any(|run| run.name.number == number),
                None => entry.name == MANIFEST && !runs.is_empty() || entry.name != MANIFEST && entry.name != TEMPORARY,
            };
            if !kept && let Err(error) = env.storage.remove_file(&dir.join(&entry.name)) {
                tracing::warn!(file = entry.name, %error, "a file that the row index does not need cannot be removed");
            }
        }
        Files { next_number, facts, leaf }
    }
}

impl DiskRows {
    /// The delta has what a run should have.
    pub fn is_full(&self) -> bool {
        let inner = self.read();
        inner.delta.revisions >= self.options.delta_revisions_max.max(1)
            || inner.delta.bytes >= self.options.delta_bytes_max
    }

    /// Every revision before `position` has been taken in.
    pub fn taken_in(&self, position: u64) {
        self.write().facts.position = position;
    }

    /// Freezes the delta, between two revisions, with what is to be kept for others. If there is no thread, it is written.
    pub fn freeze(&self, notes: Vec<u8>) {
        {
            let mut inner = self.write();
            if inner.delta.entries.is_empty() {
                return;
            }
            inner.facts.notes = notes;
            let Delta { entries, filter, .. } =
                std::mem::replace(&mut inner.delta, Delta::new(self.options.delta_revisions_max));
            let frozen = Arc::new(Frozen { entries, filter, facts: inner.facts.clone() });
            let mut view = View::clone(&inner.view);
            view.frozen.push(frozen);
            inner.view = Arc::new(view);
        }
        if !self.has_thread.load(Ordering::Acquire) {
            if let Err(error) = self.tend(&|| false) {
                self.failed(&error);
            }
            return;
        }
        // Under the lock: the thread may just have found nothing to do and not sleep yet.
        let mut state = self.signal.lock();
        self.signal.work.notify_one();
        while self.waiting() > FROZEN_MAX && state.failed.is_none() && !state.stop {
            state = self.signal.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why no more should be taken in: what is in memory cannot be written.
    pub fn overloaded(&self) -> Option<String> {
        if let Some(error) = self.broken.get() {
            return Some(error.to_string());
        }
        if self.waiting() < FROZEN_REFUSED {
            return None;
        }
        self.signal.lock().failed.clone()
    }

    /// Writes what is frozen and merges what should be.
    pub fn tend(&self, stop: &dyn Fn() -> bool) -> Result<(), IndexError> {
        let mut files = lock(&self.files);
        self.flush(&mut files)?;
        while !stop()
            && let Some(group) = self.due()
        {
            self.merge(&mut files, &group, None, stop)?;
        }
        Ok(())
    }

    /// Writes everything again without what was taken away, if keys of redacted revisions may be left. `freeze` freezes
    /// the delta between two revisions.
    pub fn purge(&self, freeze: &dyn Fn()) -> Result<(), IndexError> {
        let cuts = self.cuts.load(Ordering::Acquire);
        freeze();
        let mut files = self.hurry.during(|| lock(&self.files));
        self.flush(&mut files)?;
        if !files.facts.purge {
            return Ok(());
        }
        let all = self.read().view.runs.clone();
        self.merge(&mut files, &all, Some(Purge { cuts }), &|| false)
    }

    /// Whether keys of redacted revisions may be left in files.
    pub fn needs_purge(&self) -> bool {
        self.read().facts.purge
    }

    fn waiting(&self) -> usize {
        self.read().view.frozen.len()
    }

    fn failed(&self, error: &IndexError) {
        let error = &self.noticed(error.clone());
        tracing::error!(%error, waiting = self.waiting(), "the row index cannot be written; it is tried again");
        self.signal.lock().failed = Some(error.to_string());
        self.signal.done.notify_all();
    }

    /// Writes everything frozen as one run.
    fn flush(&self, files: &mut Files) -> Result<(), IndexError> {
        let view = Arc::clone(&self.read().view);
        let Some(newest) = view.frozen.last() else { return Ok(()) };
        // What was given up is not to be found by the next start.
        self.sound()?;
        if let Some(error) = self.damaged.get() {
            return Err(error.clone());
        }
        let before = newest.facts.position.saturating_sub(1);
        let leaf = (self.leaf)(before).map_err(IndexError::Contradicts)?;
        let sources = view.frozen.iter().rev().map(|f| Source::Map(MapCursor::new(&f.entries, &[], false))).collect();
        let items = view.frozen.iter().map(|frozen| frozen.entries.len() as u64).sum::<u64>() * 2;
        let first = view.runs.is_empty();
        let mut facts = newest.facts.clone();
        let run = self.write_run(files, Merge::new(sources, false), items, &facts.indexes, first, &mut |_| Ok(true))?;
        let Some(run) = run else { return Ok(()) };
        let mut runs = view.runs.clone();
        runs.push(run);
        facts.purge &= self.needs_purge();
        self.install(files, facts, leaf, runs, view.frozen.len(), &[])
    }

    /// The runs that should become one: the newest ones, while enough of them are of about one size.
    fn due(&self) -> Option<Vec<Arc<Run>>> {
        let view = Arc::clone(&self.read().view);
        let fan = self.options.merge_runs.max(2);
        let unit = self.options.delta_revisions_max.max(1) as u64;
        let tier = |run: &Arc<Run>| (run.name.entries / unit).max(1).ilog(fan as u64);
        let highest = view.runs.iter().map(tier).max()?;
        for tier_max in 0..=highest {
            let start = view.runs.iter().rposition(|run| tier(run) > tier_max).map_or(0, |at| at + 1);
            let group = view.runs.get(start..).unwrap_or_default();
            if group.len() >= fan {
                return Some(group.to_vec());
            }
        }
        None
    }

    /// Makes one run of several that stand one behind the other.
    fn merge(
        &self,
        files: &mut Files,
        group: &[Arc<Run>],
        purge: Option<Purge>,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), IndexError> {
        let Some(oldest) = group.first() else { return Ok(()) };
        self.sound()?;
        if let Some(error) = self.damaged.get() {
            return Err(error.clone());
        }
        let bottom = self.read().view.runs.first().is_some_and(|run| Arc::ptr_eq(run, oldest));
        let sources = group.iter().rev().map(|run| run.cursor(None, false).map(Source::Run));
        let sources = sources.collect::<Result<Vec<_>, IndexError>>()?;
        let items = group.iter().map(|run| run.items).sum();
        let indexes = self.read().facts.indexes.clone();
        let merge = Merge::new(sources, false);
        let run = self.write_run(files, merge, items, &indexes, bottom, &mut |files| {
            // New deltas do not wait for a long merge: what they hold would have to be replayed.
            self.flush(files)?;
            Ok(!stop())
        })?;
        let Some(run) = run else { return Ok(()) };
        let mut runs = self.read().view.runs.clone();
        let at = runs.iter().position(|run| Arc::ptr_eq(run, oldest)).unwrap_or_default();
        runs.splice(at..at + group.len(), [run]);
        if let Some(Purge { cuts }) = purge {
            let mut inner = self.write();
            inner.facts.purge &= self.cuts.load(Ordering::Acquire) != cuts;
        }
        let mut facts = files.facts.clone();
        facts.purge &= self.needs_purge();
        let leaf = files.leaf;
        self.install(files, facts, leaf, runs, 0, group)
    }

    /// Writes a run. `bottom`: there is nothing older, so what was taken away need not be said. `between` is asked now
    /// and then whether to go on. `None`: it was not.
    fn write_run(
        &self,
        files: &mut Files,
        mut merge: Merge<'_>,
        items: u64,
        indexes: &BTreeMap<Id, IndexFacts>,
        bottom: bool,
        between: &mut dyn FnMut(&mut Files) -> Result<bool, IndexError>,
    ) -> Result<Option<Arc<Run>>, IndexError> {
        let storage = &*self.env.storage;
        storage.create_dir_all(&self.dir).map_err(|e| IndexError::file(&self.dir, "make the directory", &e))?;
        let number = files.next_number;
        files.next_number += 1;
        let [a, b, c, d, e, f, g, h, ..] = self.env.rng.bytes16();
        let nonce = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let mut writer = Writer::create(storage, &self.dir, number, nonce, items)?;
        let path = writer.path().to_owned();
        let mut fill = || -> Result<bool, IndexError> {
            let (mut dropped, mut since) = (None, 0u32);
            while let Some((key, value)) = merge.here() {
                let index = entry::index_of(key);
                let gone = index.is_some_and(|index| {
                    dropped == Some(index) || !indexes.contains_key(&index) && dropped.replace(index) != Some(index)
                });
                let unsaid = bottom && value.is_none();
                if !gone && !unsaid {
                    writer.add(key, value)?;
                }
                merge.advance()?;
                since += 1;
                if since.is_multiple_of(MERGED_AT_A_BREATH) {
                    breathe();
                }
                if since >= MERGED_AT_A_TIME {
                    since = 0;
                    if !between(files)? {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        let filled = fill();
        let finished = match filled {
            Ok(true) => writer.finish(storage, &self.dir, &self.cache).map(|run| Some(Arc::new(run))),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        if !matches!(finished, Ok(Some(_))) {
            // It is removed at the next start if not now.
            let _ = storage.remove_file(&path);
        }
        finished
    }

    /// Records these runs, then has them read, then removes those in `replaced`. The first `written` frozen deltas are in
    /// them.
    fn install(
        &self,
        files: &mut Files,
        facts: Facts,
        leaf: Hash,
        runs: Vec<Arc<Run>>,
        written: usize,
        replaced: &[Arc<Run>],
    ) -> Result<(), IndexError> {
        let storage = &*self.env.storage;
        storage.sync_dir(&self.dir).map_err(|error| IndexError::file(&self.dir, "sync it", &error))?;
        let names = runs.iter().map(|run| run.name).collect();
        let manifest = Manifest { ledger: self.ledger, leaf, facts, runs: names };
        manifest.store(storage, &self.dir)?;
        (files.facts, files.leaf) = (manifest.facts, leaf);
        {
            let mut inner = self.write();
            let frozen = inner.view.frozen.get(written..).unwrap_or_default().to_vec();
            inner.view = Arc::new(View { frozen, runs });
        }
        self.signal.lock().failed = None;
        self.signal.done.notify_all();
        if !replaced.is_empty() {
            self.cache.forget(&|number| replaced.iter().any(|run| run.name.number == number));
        }
        for run in replaced {
            let path = run_path(&self.dir, run.name.number);
            if let Err(error) = storage.remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a run that was merged cannot be removed");
            }
        }
        Ok(())
    }
}

/// Everything is being written again, without the keys that had been cut out when so many had.
#[derive(Clone, Copy)]
struct Purge {
    cuts: u64,
}

impl Signal {
    fn lock(&self) -> std::sync::MutexGuard<'_, SignalState> {
        lock(&self.state)
    }
}

impl Upkeep {
    /// Starts the thread.
    pub fn start(rows: Arc<DiskRows>) -> std::io::Result<Upkeep> {
        let for_thread = Arc::clone(&rows);
        rows.has_thread.store(true, Ordering::Release);
        let spawned = std::thread::Builder::new().name("row-index".to_owned()).spawn(move || {
            let rows = Arc::downgrade(&for_thread);
            // Commits wait for what is frozen if it is much.
            work_in_background(move || rows.upgrade().is_some_and(|rows| rows.waiting() > 1 || rows.hurry.any()));
            for_thread.keep_up();
        });
        if spawned.is_err() {
            rows.has_thread.store(false, Ordering::Release);
        }
        Ok(Upkeep { thread: Some(spawned?), rows })
    }

    /// Ends the thread; what it was at is left as it was.
    pub fn stop(&mut self) {
        self.rows.signal.lock().stop = true;
        self.rows.signal.work.notify_all();
        self.rows.signal.done.notify_all();
        if let Some(thread) = self.thread.take()
            && self.rows.hurry.during(|| thread.join()).is_err()
        {
            tracing::error!("the thread of the row index ended in a panic");
        }
        self.rows.has_thread.store(false, Ordering::Release);
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop();
    }
}

impl DiskRows {
    fn keep_up(&self) {
        let stopped = || self.signal.lock().stop;
        let mut retry = RETRY_MIN;
        while !stopped() {
            match self.tend(&stopped) {
                Ok(()) => retry = RETRY_MIN,
                Err(error) => {
                    self.failed(&error);
                    let state = self.signal.lock();
                    if !state.stop {
                        drop(self.signal.work.wait_timeout(state, retry));
                    }
                    retry = (retry * 2).min(RETRY_MAX);
                    continue;
                }
            }
            let mut state = self.signal.lock();
            while !state.stop && self.waiting() == 0 {
                state = self.signal.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
