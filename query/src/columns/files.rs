//! From memory to files and back: what is written when, what a start finds, and what is removed.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use arrow::array::{Array, UInt64Array};
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_journal::Env;

use super::cache::ColumnCache;
use super::manifest::{MANIFEST, Manifest, TEMPORARY};
use super::piece::Piece;
use super::segment::{Segment, file_path};
use super::store::{ColumnStore, Inner};
use super::successors::{Later, Successors, Written};
use super::tail::{Chunk, Tail};
use super::{ColumnError, Meta};

/// How often writing is begun again because a redaction changed what was being written.
const ATTEMPTS_MAX: usize = 8;

/// A segment that was written, or stays, with its file of successors.
type New = (Arc<Segment>, Arc<Written>);

/// Chunks of a table that become one.
struct Work {
    table: Id,
    before: Vec<Chunk>,
}

impl ColumnStore {
    /// Writes everything that is in memory, and successors where many came later than their file. False if there was
    /// nothing to write.
    pub fn flush(&self) -> Result<bool, ColumnError> {
        let _one_at_a_time = self.waiting.during(|| self.files.lock()).unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS_MAX {
            let (epoch, position, works) = self.due()?;
            if works.is_empty() {
                return Ok(false);
            }
            let first = self.next_number.load(Ordering::Acquire);
            let written = self.write(position, &works);
            let installed = written.and_then(|written| self.install(epoch, position, &works, written));
            match installed {
                Ok(true) => return Ok(true),
                Ok(false) => self.remove_from(first),
                Err(error) => {
                    self.remove_from(first);
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    fn due(&self) -> Result<(u64, u64, Vec<Work>), ColumnError> {
        let mut inner = self.lock();
        let mut works = Vec::new();
        let (epoch, position) = (inner.epoch, inner.position);
        let later = inner.tables.values().map(Tail::later).sum::<usize>();
        let few = Later::BYTES * later > self.options.memory_bytes_max / 4;
        for (table, tail) in &mut inner.tables {
            tail.close(&self.options)?;
            let due = tail.due(&self.options);
            for (at, chunk) in tail.chunks.iter().enumerate() {
                if chunk.should_fold(few) && !due.iter().any(|(first, end)| (*first..*end).contains(&at)) {
                    works.push(Work { table: *table, before: vec![chunk.clone()] });
                }
            }
            for (first, end) in due {
                let before = tail.chunks.get(first..end).unwrap_or_default().to_vec();
                works.push(Work { table: *table, before });
            }
        }
        Ok((epoch, position, works))
    }

    /// What becomes of each piece of work, as files without durable names.
    fn write(&self, position: u64, works: &[Work]) -> Result<Vec<New>, ColumnError> {
        let storage = &*self.env.storage;
        storage.create_dir_all(&self.dir).map_err(|e| ColumnError::file(&self.dir, "make the directory", &e))?;
        let mut written = Vec::with_capacity(works.len());
        for work in works {
            let number = || self.next_number.fetch_add(1, Ordering::AcqRel);
            let (segment, successors) = match &work.before[..] {
                [Chunk::File { segment, successors }] => {
                    let (positions, ..) = segment.read_rows(&[], &[])?;
                    (segment.clone(), successors.by_row(positions.values())?)
                }
                chunks => {
                    let (mut pieces, mut successors) = (Vec::new(), Vec::new());
                    for chunk in chunks {
                        let (piece, of_piece) = chunk.load()?;
                        pieces.push(piece);
                        successors.extend_from_slice(&of_piece);
                    }
                    let piece = match &pieces[..] {
                        [one] => one.clone(),
                        several => Arc::new(Piece::concat(several)?),
                    };
                    let segment = Segment::write(storage, &self.dir, number(), work.table, &piece, &self.cache)?;
                    (Arc::new(segment), Arc::new(successors))
                }
            };
            let successors = Written::write(storage, &self.dir, number(), &successors, position, &self.cache)?;
            written.push((segment, Arc::new(successors)));
        }
        storage.sync_dir(&self.dir).map_err(|error| ColumnError::file(&self.dir, "sync it", &error))?;
        Ok(written)
    }

    /// Records the new files, then has them read, then removes what they replace. False if what was written is not what
    /// there is any more.
    fn install(&self, epoch: u64, position: u64, works: &[Work], written: Vec<New>) -> Result<bool, ColumnError> {
        let leaf = self.leaf(position)?;
        let mut inner = self.lock();
        if inner.epoch != epoch {
            return Ok(false);
        }
        let mut places = Vec::with_capacity(works.len());
        for work in works {
            let Some(place) = inner.tables.get(&work.table).and_then(|tail| place(tail, &work.before)) else {
                return Ok(false);
            };
            places.push(place);
        }
        // A redaction takes a file's rows into memory, and so out of what the manifest would name.
        let written_to = |chunk: &Chunk| matches!(chunk, Chunk::File { .. }) || chunk.range().0 >= position;
        for (table, tail) in &inner.tables {
            let taken = |chunk: &Chunk| {
                let own = works.iter().filter(|work| work.table == *table);
                own.flat_map(|work| &work.before).any(|before| before.is_same(chunk))
            };
            if !tail.chunks.iter().all(|chunk| written_to(chunk) || taken(chunk)) {
                return Ok(false);
            }
        }
        // From the last to the first, so that places stay what they are.
        let mut order: Vec<usize> = (0..works.len()).collect();
        order.sort_by_key(|n| std::cmp::Reverse(places.get(*n).copied().unwrap_or_default()));
        let mut changed: HashMap<Id, Vec<Chunk>> = HashMap::new();
        for n in order {
            let (Some(work), Some(place), Some((segment, successors))) = (works.get(n), places.get(n), written.get(n))
            else {
                continue;
            };
            let Some(tail) = inner.tables.get(&work.table) else { return Ok(false) };
            let chunks = changed.entry(work.table).or_insert_with(|| tail.chunks.clone());
            let mut later = Vec::new();
            for chunk in chunks.splice(*place..*place + work.before.len(), None) {
                chunk.superseded_from(position, &mut later);
            }
            later.sort_unstable_by_key(|(_, successor)| *successor);
            let successors = Successors { written: successors.clone(), later: Arc::new(Later::of(later)) };
            chunks.insert(*place, Chunk::File { segment: segment.clone(), successors });
        }
        let mut segments = Vec::new();
        for (table, tail) in &inner.tables {
            for chunk in changed.get(table).unwrap_or(&tail.chunks) {
                if let Chunk::File { segment, successors } = chunk {
                    segments.push((segment.note.clone(), successors.written.note.clone()));
                }
            }
        }
        segments.sort_by_key(|(note, _)| (note.table, note.positions));
        let named = segments.iter().flat_map(|(note, successors)| [note.file.number, successors.file.number]);
        let named: HashSet<u64> = named.collect();
        let next_number = self.next_number.load(Ordering::Acquire);
        let manifest = Manifest { ledger: self.origin.ledger_id(), position, leaf, next_number, segments };
        manifest.store(&*self.env.storage, &self.dir)?;
        for (table, chunks) in changed {
            if let Some(tail) = inner.tables.get_mut(&table) {
                tail.chunks = chunks;
            }
        }
        inner.purge = false;
        drop(inner);
        // Those that were replaced, and those from which a redaction took the rows into memory.
        for number in self.numbers().into_iter().filter(|number| !named.contains(number)) {
            self.cache.forget(number);
            self.remove(number);
        }
        Ok(true)
    }

    /// Takes what the manifest names.
    pub(super) fn load(&self, inner: &mut Inner) -> Result<(), ColumnError> {
        let storage = &*self.env.storage;
        let Some(manifest) = Manifest::read(storage, &self.dir)? else {
            self.remove_files();
            return Ok(());
        };
        let damage = |what: &str| ColumnError::damaged(&self.dir.join(MANIFEST), 0, what);
        if manifest.ledger != self.origin.ledger_id() {
            return Err(damage("it is of another ledger"));
        }
        if manifest.position > self.origin.end() || manifest.position == 0 {
            return Err(damage("it knows more of the journal than there is"));
        }
        if self.leaf(manifest.position)? != manifest.leaf {
            return Err(damage("the leaf before its position is another one: the journal has another history"));
        }
        let mut named = Vec::new();
        for (note, successors) in manifest.segments {
            named.extend([note.file.number, successors.file.number]);
            let tail = inner.tables.entry(note.table).or_insert_with(Tail::new);
            tail.chunks.push(open_chunk(&self.env, &self.dir, note, successors, &self.cache)?);
        }
        // Not used before, not even by files that were never named.
        let unnamed = self.numbers().into_iter().filter(|number| !named.contains(number)).collect::<Vec<u64>>();
        let highest = unnamed.iter().max().map_or(0, |number| number + 1);
        self.next_number.store(manifest.next_number.max(highest), Ordering::Release);
        unnamed.into_iter().for_each(|number| self.remove(number));
        inner.position = manifest.position;
        inner.recovered = false;
        Ok(())
    }

    /// Reads again which revisions were superseded after the files of successors were written.
    pub(super) fn recover(&self, inner: &mut Inner) -> Result<(), ColumnError> {
        for tail in inner.tables.values_mut() {
            let complete = |chunk: &Chunk| match chunk {
                Chunk::File { successors, .. } => successors.written.note.complete_to,
                Chunk::Memory { .. } => u64::MAX,
            };
            let Some(least) = tail.chunks.iter().map(complete).min() else { continue };
            let mut found = Vec::new();
            for chunk in &tail.chunks {
                if let Chunk::File { segment, .. } = chunk
                    && segment.note.positions.1 >= least
                {
                    let (metas, _) = segment.read(&[Meta::Position, Meta::Supersedes], &[])?;
                    let number = |at: usize| metas.get(at).and_then(|a| a.as_any().downcast_ref::<UInt64Array>());
                    let (Some(positions), Some(supersedes)) = (number(0), number(1)) else { continue };
                    let rows = positions.values().iter().zip(supersedes);
                    found.extend(rows.filter_map(|(p, s)| Some((s?, *p))).filter(|(_, p)| *p >= least));
                }
            }
            for (position, successor) in found {
                let at = tail.chunks.partition_point(|chunk| chunk.range().0 <= position);
                let known = at.checked_sub(1).and_then(|at| tail.chunks.get(at)).map_or(0, complete);
                if successor >= known {
                    tail.supersede(position, successor)?;
                }
            }
        }
        Ok(())
    }

    /// H of the leaf entry before a position.
    fn leaf(&self, position: u64) -> Result<Hash, ColumnError> {
        Ok(self.origin.leaf_hash(position.saturating_sub(1))?)
    }

    /// The numbers of the files there are.
    fn numbers(&self) -> Vec<u64> {
        let entries = self.env.storage.read_dir(&self.dir).unwrap_or_default();
        let numbers = entries.iter().filter_map(|entry| entry.name.strip_suffix(".parquet")?.parse().ok());
        numbers.collect()
    }

    /// Removes all files; the manifest first, so that what is left of them is never believed.
    pub(super) fn remove_files(&self) {
        let storage = &*self.env.storage;
        for name in [MANIFEST, TEMPORARY] {
            let path = self.dir.join(name);
            if storage.exists(&path)
                && let Err(error) = storage.remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "the manifest of columns cannot be removed");
            }
        }
        for number in self.numbers() {
            self.cache.forget(number);
            self.next_number.fetch_max(number.saturating_add(1), Ordering::AcqRel);
            self.remove(number);
        }
    }

    fn remove_from(&self, first: u64) {
        for number in first..self.next_number.load(Ordering::Acquire) {
            self.cache.forget(number);
            self.remove(number);
        }
    }

    fn remove(&self, number: u64) {
        let path = file_path(&self.dir, number);
        match self.env.storage.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a file of columns cannot be removed");
            }
            _ => {}
        }
    }
}

/// Opens a segment and its successors.
pub(super) fn open_chunk(
    env: &Env,
    dir: &Path,
    note: super::segment::SegmentNote,
    successors: super::successors::SuccessorsNote,
    cache: &Arc<ColumnCache>,
) -> Result<Chunk, ColumnError> {
    let segment = Segment::open(&*env.storage, dir, note, cache)?;
    let written = Written::open(&*env.storage, dir, successors, cache)?;
    let successors = Successors { written: Arc::new(written), later: Arc::default() };
    Ok(Chunk::File { segment: Arc::new(segment), successors })
}

/// Where these chunks stand, if they still do.
fn place(tail: &Tail, before: &[Chunk]) -> Option<usize> {
    let first = before.first()?;
    let at = tail.chunks.iter().position(|chunk| chunk.is_same(first))?;
    let here = tail.chunks.get(at..at + before.len())?;
    here.iter().zip(before).all(|(a, b)| a.is_same(b)).then_some(at)
}
