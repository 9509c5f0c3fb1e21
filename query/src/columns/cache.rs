//! Columns that were decoded lately, so that what is asked often is not decoded again: a bounded memory, in bytes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

/// What is kept of a file.
#[derive(Debug, Clone)]
pub enum Decoded {
    Column(ArrayRef),
    /// The successors of a sidecar.
    Successors(Arc<Vec<u64>>),
    /// What a file's end says.
    Metadata(Arc<ArrowReaderMetadata>),
}

/// Decoded columns by the number of their file and their place in it.
#[derive(Debug)]
pub struct ColumnCache {
    bytes_max: usize,
    /// Bytes of files that were read because something was not here.
    read: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<(u64, usize), (Decoded, usize, u64)>,
    /// Files of which something may be kept.
    files: HashSet<u64>,
    bytes: usize,
    clock: u64,
    hits: u64,
    misses: u64,
}

impl ColumnCache {
    pub fn new(bytes_max: usize) -> ColumnCache {
        ColumnCache { bytes_max, read: AtomicU64::new(0), inner: Mutex::default() }
    }

    /// From now on columns of this file are kept.
    pub fn admit(&self, file: u64) {
        self.lock().files.insert(file);
    }

    pub fn get(&self, file: u64, column: usize) -> Option<Decoded> {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let found = inner.entries.get_mut(&(file, column)).map(|(decoded, _, used)| {
            *used = clock;
            decoded.clone()
        });
        match found {
            Some(_) => inner.hits += 1,
            None => inner.misses += 1,
        }
        found
    }

    pub fn put(&self, file: u64, column: usize, decoded: Decoded) {
        let bytes = 128
            + match &decoded {
                Decoded::Column(array) => array.get_array_memory_size(),
                Decoded::Successors(successors) => 8 * successors.len(),
                Decoded::Metadata(metadata) => metadata.metadata().memory_size(),
            };
        if bytes > self.bytes_max {
            return;
        }
        let mut inner = self.lock();
        // Somebody still reads a file that was forgotten: what was redacted may stand in it.
        if !inner.files.contains(&file) {
            return;
        }
        inner.clock += 1;
        let clock = inner.clock;
        inner.bytes += bytes;
        if let Some((_, before, _)) = inner.entries.insert((file, column), (decoded, bytes, clock)) {
            inner.bytes -= before;
        }
        if inner.bytes > self.bytes_max {
            inner.evict(self.bytes_max / 8 * 7);
        }
    }

    /// Forgets everything of a file, and keeps nothing of it any more.
    pub fn forget(&self, file: u64) {
        let mut inner = self.lock();
        inner.files.remove(&file);
        let mut freed = 0;
        inner.entries.retain(|(number, _), (_, bytes, _)| {
            let stays = *number != file;
            freed += if stays { 0 } else { *bytes };
            stays
        });
        inner.bytes -= freed;
    }

    pub fn note_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes held, how often something was there, and how often not.
    pub fn counts(&self) -> (usize, u64, u64) {
        let inner = self.lock();
        (inner.bytes, inner.hits, inner.misses)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What was used longest ago goes first.
    fn evict(&mut self, bytes: usize) {
        let mut all: Vec<((u64, usize), u64)> = self.entries.iter().map(|(key, (_, _, used))| (*key, *used)).collect();
        all.sort_unstable_by_key(|(_, used)| *used);
        for (key, _) in all {
            if self.bytes <= bytes {
                return;
            }
            if let Some((_, freed, _)) = self.entries.remove(&key) {
                self.bytes -= freed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn successors(n: usize) -> Decoded {
        Decoded::Successors(Arc::new(vec![0; n]))
    }

    #[test]
    fn memory_stays_bounded_and_what_is_used_stays() {
        let cache = ColumnCache::new(100_000);
        (1..=9999).for_each(|file| cache.admit(file));
        cache.put(1, 0, successors(100));
        for n in 2..1000 {
            cache.put(n, 0, successors(200));
            assert!(cache.get(1, 0).is_some(), "{n}");
            assert!(cache.counts().0 <= 100_000);
        }
        cache.put(9999, 0, successors(1 << 20));
        assert!(cache.get(9999, 0).is_none());
        cache.forget(1);
        assert!(cache.get(1, 0).is_none());
        cache.put(1, 0, successors(1));
        assert!(cache.get(1, 0).is_none(), "who read it before the file was forgotten brings nothing back");
    }
}
