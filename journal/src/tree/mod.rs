//! A ledger's Merkle trees on disk: level files of 32-byte hashes. There are two of the same shape: the one that is
//! signed (RFC 9162 over the leaves of the journal), and QLDB's over the hashes of the blocks ([`crate::qldb_tree`]).
//!
//! The tree is derived: it is appended after the journal, never on the commit path, and can be deleted and rebuilt.
//! Hashes collect in memory and are written in runs; now and then the files are synced and the size they reach is
//! recorded with its root in `tree/state`. Until then they stay in memory too: a sync that fails may have lost what was
//! written, and the next one would not say so; so they are written again before it.
//!
//! Opening reads only the right edge below the recorded size, checks it against the recorded root, and leaves the rest to
//! be appended again from the journal. Damage further inside is found by `verify`, and by the check every proof gets
//! against its signed root before it leaves the ledger.

pub mod layout;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::tree as merkle;

use crate::env::{File, OpenMode, Storage, help_for, is_full, write_all_at};
use crate::segment::PAGE_BYTES;
use crate::slots::{SlotError, SlotFile, read_up_to};
use layout::{FAN_OUT, HASH_BYTES, LEVEL_STEP, count_at, level_path, stored_levels, stored_under};

/// The directory of the level files inside a ledger's directory.
pub const TREE_DIR: &str = "tree";
/// The file that records how far the level files are synced.
pub const STATE_FILE: &str = "state";
/// Identifies `tree/state`.
pub const STATE_MAGIC: [u8; 8] = *b"LSTREE\x00\x01";

/// Leaf hashes kept in memory before they are written to the level files (128 KiB).
const UNWRITTEN_LEAVES_MAX: u64 = 4096;
/// Leaf hashes written before the level files are synced (1 MiB): what a crash makes the next start derive again.
const UNSYNCED_LEAVES_MAX: u64 = 32_768;
/// The same while the disk is full or fails (32 MiB); above, nothing is signed until it works again.
const UNSYNCED_LEAVES_FAILED_MAX: u64 = 1 << 20;
/// Hashes in a page of a file, which is lost or written as a whole.
const PAGE_HASHES: u64 = PAGE_BYTES / HASH_BYTES;

/// Why the tree could not be read or extended.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file system refused.
    #[error("{}: {source}{}", path.display(), help_for(source))]
    Io {
        /// The level file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `tree/state` could not be written.
    #[error(transparent)]
    State(#[from] SlotError),
    /// A level file ends before a hash that must be there.
    #[error("{}: a hash at offset {offset} is missing; stop the server and run `ledgerstone doctor` to rebuild the tree", path.display())]
    Short {
        /// The level file.
        path: PathBuf,
        /// Where the hash should stand.
        offset: u64,
    },
    /// A subtree that the tree does not hold yet was asked for.
    #[error("the subtree at level {level}, index {index} is not complete in a tree of {size} leaves")]
    Beyond {
        /// Tree level, 0 for leaves.
        level: u8,
        /// Index within the level.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
}

impl TreeError {
    /// Whether room on the disk would help.
    pub fn is_full(&self) -> bool {
        match self {
            TreeError::Io { source, .. } | TreeError::State(SlotError::Io { source, .. }) => is_full(source),
            _ => false,
        }
    }
}

/// How two children make a node.
pub type Combine = fn(&Hash, &Hash) -> Hash;

/// The tree: safe to read from any thread while one appends.
pub struct Tree {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    combine: Combine,
    edge: RwLock<Edge>,
    appender: Mutex<Appender>,
}

/// The part of the tree that is in memory.
struct Edge {
    size: u64,
    levels: Vec<Level>,
}

/// One stored level: hashes before `start` are only in the file, the others in `tail`.
struct Level {
    file: Arc<dyn File>,
    /// A multiple of [`PAGE_HASHES`], so that every partial tile is in memory, and every page that is not synced.
    start: u64,
    /// Hashes in the file, as far as it is known to hold them.
    written: u64,
    tail: Vec<Hash>,
}

/// What only the appending thread touches.
struct Appender {
    state: Option<SlotFile>,
    synced: u64,
    /// The size at which a full disk is tried again.
    retry_at: u64,
}

impl Tree {
    /// Opens the level files up to the recorded size, or starts from nothing when they are missing, damaged at the
    /// edge, or longer than the journal (`leaves`). The caller then appends the leaf hashes from [`Tree::size`] on.
    /// The second value says why an existing tree was dropped.
    pub fn open(
        storage: Arc<dyn Storage>,
        ledger_dir: &Path,
        leaves: u64,
    ) -> Result<(Tree, Option<String>), TreeError> {
        Tree::open_with(storage, ledger_dir.join(TREE_DIR), leaves, merkle::node_hash)
    }

    /// The same for level files in another directory, of another combiner.
    pub fn open_with(
        storage: Arc<dyn Storage>,
        dir: PathBuf,
        leaves: u64,
        combine: Combine,
    ) -> Result<(Tree, Option<String>), TreeError> {
        storage.create_dir_all(&dir).map_err(|source| TreeError::Io { path: dir.clone(), source })?;
        let (state, found) = match SlotFile::open(&*storage, &dir.join(STATE_FILE), STATE_MAGIC) {
            Ok((state, payload)) => (Some(state), Ok(payload)),
            Err(SlotError::Missing { .. }) => (None, Ok(Vec::new())),
            Err(error) => (None, Err(error.to_string())),
        };
        let tree = Tree {
            storage,
            dir,
            combine,
            edge: RwLock::new(Edge { size: 0, levels: Vec::new() }),
            appender: Mutex::new(Appender { state, synced: 0, retry_at: 0 }),
        };
        let dropped = match found {
            Ok(payload) if payload.is_empty() => None,
            Ok(payload) => tree.load(&payload, leaves).err(),
            Err(reason) => Some(reason),
        };
        if dropped.is_some() || tree.size() == 0 {
            tree.clear()?;
        }
        Ok((tree, dropped))
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.edge().size
    }

    /// The root over all leaves.
    pub fn root(&self) -> Result<Hash, TreeError> {
        self.root_at(self.size())
    }

    /// The root over the first `size` leaves.
    pub fn root_at(&self, size: u64) -> Result<Hash, TreeError> {
        merkle::root_at(size, &self.reader())
    }

    /// A reader of complete subtrees for the functions of `ledgerstone_digest::tree`. It remembers the last tile it
    /// read, so make one for each proof.
    pub fn reader(&self) -> TreeReader<'_> {
        TreeReader { tree: self, last: RefCell::new(None) }
    }

    /// The first `width` hashes of a tile of `c2sp.org/tlog-tiles` (height 8), or `None` where the tree has fewer.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<u8>>, TreeError> {
        let stored = level as usize * 2;
        let width = width as u64;
        let Some(first) = index.checked_mul(256) else { return Ok(None) };
        if width == 0 || width > 256 || stored >= layout::STORED_LEVELS_MAX {
            return Ok(None);
        }
        if first.checked_add(width).is_none_or(|end| end > count_at(stored, self.size())) {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity((width * HASH_BYTES) as usize);
        for part in (0..width).step_by(FAN_OUT as usize) {
            let tile = self.stored_tile(stored, (first + part) / FAN_OUT)?;
            for hash in tile.iter().take((width - part) as usize) {
                bytes.extend_from_slice(&hash.0);
            }
        }
        Ok(Some(bytes))
    }

    /// Appends leaf hashes. They can be read at once; the files follow in runs, and on a full disk later.
    pub fn append(&self, leaves: &[Hash]) -> Result<(), TreeError> {
        let mut appender = lock(&self.appender);
        for run in leaves.chunks(UNWRITTEN_LEAVES_MAX as usize) {
            if self.size() - appender.synced >= UNSYNCED_LEAVES_FAILED_MAX {
                self.sync_out(&mut appender)?;
            }
            self.extend(run)?;
            if self.size() < appender.retry_at {
                continue;
            }
            match self.follow(&mut appender) {
                Err(error) if error.is_full() && self.size() - appender.synced < UNSYNCED_LEAVES_FAILED_MAX => {
                    tracing::warn!(%error, "the tree's files cannot grow; new hashes stay in memory");
                    appender.retry_at = self.size() + UNWRITTEN_LEAVES_MAX;
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Writes and syncs what has become too much.
    fn follow(&self, appender: &mut Appender) -> Result<(), TreeError> {
        if self.unwritten() >= UNWRITTEN_LEAVES_MAX {
            self.write_out()?;
        }
        if self.size() - appender.synced >= UNSYNCED_LEAVES_MAX {
            self.sync_out(appender)?;
        }
        Ok(())
    }

    /// Writes and syncs everything, and records the size.
    pub fn sync(&self) -> Result<(), TreeError> {
        let mut appender = lock(&self.appender);
        if self.size() > appender.synced {
            self.sync_out(&mut appender)?;
        }
        Ok(())
    }

    /// Empties the tree, in memory and on disk.
    pub fn clear(&self) -> Result<(), TreeError> {
        let mut appender = lock(&self.appender);
        *appender = Appender { state: None, synced: 0, retry_at: 0 };
        let mut edge = self.edge.write().unwrap_or_else(PoisonError::into_inner);
        *edge = Edge { size: 0, levels: Vec::new() };
        let io = |source| TreeError::Io { path: self.dir.clone(), source };
        let mut removed = false;
        for stored in 0..layout::STORED_LEVELS_MAX {
            removed |= remove_if_there(&*self.storage, &level_path(&self.dir, stored)).map_err(io)?;
        }
        removed |= remove_if_there(&*self.storage, &self.dir.join(STATE_FILE)).map_err(io)?;
        if removed {
            self.storage.sync_dir(&self.dir).map_err(io)?;
        }
        Ok(())
    }

    /// Reads the right edge at the recorded size; an error is a reason to start again.
    fn load(&self, payload: &[u8], leaves: u64) -> Result<(), String> {
        let (size, root) = decode_state(payload).ok_or("tree/state does not hold a size and a root")?;
        if size > leaves {
            return Err(format!("tree/state records {size} leaves, but the journal has {leaves}"));
        }
        let mut levels = Vec::new();
        for stored in 0..stored_levels(size) {
            let level = self.load_level(stored, count_at(stored, size)).map_err(|error| error.to_string())?;
            levels.push(level);
        }
        *self.edge.write().unwrap_or_else(PoisonError::into_inner) = Edge { size, levels };
        let found = self.root().map_err(|error| error.to_string())?;
        if found != root {
            return Err(format!("the level files give root {found} at {size} leaves, tree/state records {root}"));
        }
        lock(&self.appender).synced = size;
        Ok(())
    }

    fn load_level(&self, stored: usize, count: u64) -> Result<Level, TreeError> {
        let path = level_path(&self.dir, stored);
        let io = |source| TreeError::Io { path: path.clone(), source };
        let file = self.storage.open(&path, OpenMode::Write).map_err(io)?;
        let start = count - count % PAGE_HASHES;
        let mut bytes = vec![0; ((count - start) * HASH_BYTES) as usize];
        let read = read_up_to(&*file, &mut bytes, start * HASH_BYTES).map_err(io)?;
        if read < bytes.len() {
            return Err(TreeError::Short { path, offset: start * HASH_BYTES + read as u64 });
        }
        // Hashes beyond the recorded size were never synced; they are derived again.
        file.set_len(count * HASH_BYTES).map_err(io)?;
        Ok(Level { file, start, written: count, tail: hashes(&bytes) })
    }

    /// Adds leaf hashes and the nodes they complete to the edge.
    fn extend(&self, leaves: &[Hash]) -> Result<(), TreeError> {
        let size = self.size();
        let top = stored_levels(size + leaves.len() as u64);
        let mut edge = self.edge.write().unwrap_or_else(PoisonError::into_inner);
        while edge.levels.len() < top {
            let path = level_path(&self.dir, edge.levels.len());
            let open = self.storage.open(&path, OpenMode::Create);
            let file = open.map_err(|source| TreeError::Io { path, source })?;
            edge.levels.push(Level { file, start: 0, written: 0, tail: Vec::new() });
        }
        for leaf in leaves {
            let mut hash = *leaf;
            for level in &mut edge.levels {
                level.tail.push(hash);
                if !(level.tail.len() as u64).is_multiple_of(FAN_OUT) {
                    break;
                }
                hash = complete_root(&level.tail[level.tail.len() - FAN_OUT as usize..], self.combine);
            }
        }
        edge.size = size + leaves.len() as u64;
        Ok(())
    }

    fn unwritten(&self) -> u64 {
        let edge = self.edge();
        edge.levels.first().map_or(0, |level| level.start + level.tail.len() as u64 - level.written)
    }

    /// Writes what the files lack. Only the holder of the appender calls it.
    fn write_out(&self) -> Result<(), TreeError> {
        let levels = self.edge().levels.len();
        for stored in 0..levels {
            let (file, written, bytes) = {
                let edge = self.edge();
                let level = &edge.levels[stored];
                let mut bytes = Vec::new();
                for hash in &level.tail[(level.written - level.start) as usize..] {
                    bytes.extend_from_slice(&hash.0);
                }
                (level.file.clone(), level.written, bytes)
            };
            if bytes.is_empty() {
                continue;
            }
            write_all_at(&*file, &bytes, written * HASH_BYTES)
                .map_err(|source| TreeError::Io { path: level_path(&self.dir, stored), source })?;
            let mut edge = self.edge.write().unwrap_or_else(PoisonError::into_inner);
            let level = &mut edge.levels[stored];
            level.written = written + bytes.len() as u64 / HASH_BYTES;
        }
        Ok(())
    }

    /// Syncs what was written, then lets go of whole pages. After a failure nobody knows what the files hold of it, and another
    /// sync would say that all is well: it counts as not written.
    fn sync_files(&self) -> Result<(), TreeError> {
        let files: Vec<_> = self.edge().levels.iter().map(|level| level.file.clone()).collect();
        let synced = files.iter().enumerate().try_for_each(|(stored, file)| {
            file.sync_data().map_err(|source| TreeError::Io { path: level_path(&self.dir, stored), source })
        });
        let mut edge = self.edge.write().unwrap_or_else(PoisonError::into_inner);
        for level in &mut edge.levels {
            if synced.is_err() {
                level.written = level.start;
                continue;
            }
            let start = level.written - level.written % PAGE_HASHES;
            level.tail.drain(..(start - level.start) as usize);
            level.start = start;
        }
        synced
    }

    fn sync_out(&self, appender: &mut Appender) -> Result<(), TreeError> {
        self.write_out()?;
        self.sync_files()?;
        let io = |source| TreeError::Io { path: self.dir.clone(), source };
        // New level files must be in the directory before a state that needs them.
        self.storage.sync_dir(&self.dir).map_err(io)?;
        let size = self.size();
        let payload = encode_state(size, self.root()?);
        match &mut appender.state {
            Some(state) => state.store(&payload)?,
            None => {
                let path = self.dir.join(STATE_FILE);
                appender.state = Some(SlotFile::create(&*self.storage, &path, STATE_MAGIC, &payload)?);
                self.storage.sync_dir(&self.dir).map_err(io)?;
            }
        }
        appender.synced = size;
        Ok(())
    }

    /// Up to 16 neighbouring hashes of a stored level.
    fn stored_tile(&self, stored: usize, tile: u64) -> Result<Vec<Hash>, TreeError> {
        let first = tile * FAN_OUT;
        let file = {
            let edge = self.edge();
            let Some(level) = edge.levels.get(stored) else { return Ok(Vec::new()) };
            if first >= level.start {
                let from = ((first - level.start) as usize).min(level.tail.len());
                let until = (from + FAN_OUT as usize).min(level.tail.len());
                return Ok(level.tail[from..until].to_vec());
            }
            level.file.clone()
        };
        let path = || level_path(&self.dir, stored);
        let mut bytes = [0; (FAN_OUT * HASH_BYTES) as usize];
        let read = read_up_to(&*file, &mut bytes, first * HASH_BYTES)
            .map_err(|source| TreeError::Io { path: path(), source })?;
        if read < bytes.len() {
            return Err(TreeError::Short { path: path(), offset: first * HASH_BYTES + read as u64 });
        }
        Ok(hashes(&bytes))
    }

    fn edge(&self) -> RwLockReadGuard<'_, Edge> {
        self.edge.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads complete subtree roots for building proofs.
pub struct TreeReader<'a> {
    tree: &'a Tree,
    last: RefCell<Option<(usize, u64, Vec<Hash>)>>,
}

impl merkle::HashReader for TreeReader<'_> {
    type Error = TreeError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, TreeError> {
        let beyond = || TreeError::Beyond { level, index, size: self.tree.size() };
        let (stored, first, width) = stored_under(level, index).ok_or_else(beyond)?;
        let tile = first / FAN_OUT;
        let mut last = self.last.borrow_mut();
        let read = match last.as_ref() {
            // A partial tile may have grown since; a full one never changes.
            Some((level, index, hashes)) if (*level, *index) == (stored, tile) && hashes.len() as u64 == FAN_OUT => {
                false
            }
            _ => true,
        };
        if read {
            *last = Some((stored, tile, self.tree.stored_tile(stored, tile)?));
        }
        let from = (first % FAN_OUT) as usize;
        let hashes = last.as_ref().and_then(|(_, _, hashes)| hashes.get(from..from + width as usize));
        Ok(complete_root(hashes.ok_or_else(beyond)?, self.tree.combine))
    }

    fn node(&self, left: &Hash, right: &Hash) -> Hash {
        (self.tree.combine)(left, right)
    }
}

/// The root over 1, 2, 4, 8 or 16 hashes of one level.
fn complete_root(hashes: &[Hash], combine: Combine) -> Hash {
    let mut nodes = [Hash::ZERO; FAN_OUT as usize];
    let mut count = hashes.len();
    nodes[..count].copy_from_slice(hashes);
    while count > 1 {
        count /= 2;
        for index in 0..count {
            nodes[index] = combine(&nodes[2 * index], &nodes[2 * index + 1]);
        }
    }
    nodes[0]
}

/// The value of `tree/state`: a size and the root at that size.
pub fn decode_state(payload: &[u8]) -> Option<(u64, Hash)> {
    let (size, root) = payload.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*size), Hash(root.try_into().ok()?)))
}

fn encode_state(size: u64, root: Hash) -> Vec<u8> {
    let mut payload = size.to_be_bytes().to_vec();
    payload.extend_from_slice(&root.0);
    payload
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks_exact(HASH_BYTES as usize).filter_map(|chunk| Some(Hash(chunk.try_into().ok()?))).collect()
}

fn remove_if_there(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
    match storage.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// A tile of tlog-tiles must start on a stored level.
const _: () = assert!(8 % LEVEL_STEP == 0);
// Whole pages are whole tiles.
const _: () = assert!(PAGE_HASHES.is_multiple_of(FAN_OUT));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::env::sim::{Fault, Sim};
    use merkle::{HashReader, MemoryTree, leaf_hash};

    const DIR: &str = "/ledger";

    fn leaf(index: u64) -> Hash {
        leaf_hash(format!("entry {index}").as_bytes())
    }

    fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(leaf).collect()
    }

    fn open(env: &Env, journal: u64) -> (Tree, Option<String>) {
        Tree::open(env.storage.clone(), Path::new(DIR), journal).unwrap()
    }

    fn flip(env: &Env, name: &str, offset: u64) {
        let file = env.storage.open(&Path::new(DIR).join(TREE_DIR).join(name), OpenMode::Write).unwrap();
        let mut byte = [0];
        assert_eq!(file.read_at(&mut byte, offset).unwrap(), 1);
        file.write_at(&[byte[0] ^ 1], offset).unwrap();
    }

    #[test]
    fn every_subtree_is_that_of_a_tree_kept_in_memory() {
        let env = Env::memory(1);
        let (tree, _) = open(&env, 0);
        let mut memory = MemoryTree::new();
        for run in [1, 1, 14, 1, 240, 4096, 5000, 37] {
            let from = tree.size();
            tree.append(&leaves(from..from + run)).unwrap();
            (from..from + run).for_each(|index| memory.append(leaf(index)));
            assert_eq!(tree.root().unwrap(), memory.root());
        }
        let reader = tree.reader();
        for level in 0..15 {
            for index in 0..(tree.size() >> level) {
                assert_eq!(reader.subtree(level, index).unwrap(), memory.subtree(level, index).unwrap());
            }
            assert!(matches!(reader.subtree(level, tree.size() >> level), Err(TreeError::Beyond { .. })));
        }
        for size in (0..tree.size()).step_by(97) {
            assert_eq!(tree.root_at(size).unwrap(), merkle::root_at(size, &memory).unwrap());
        }
    }

    #[test]
    fn published_roots_hold() {
        let env = Env::memory(1);
        let (tree, _) = open(&env, 0);
        tree.append(&leaves(0..70_000)).unwrap();
        for (size, root) in [
            (1, "773885a613489e24ce2cf76199d6a423f042e4bbf12d7eecee912ef276c65701"),
            (255, "cf66793e6329dff242eb3cee0a6f36ad3e3a196dcc573a1ec775e102be863f1c"),
            (256, "da6596d95369f5fef322ab8e4e0da3b0b50236aa9c8a3b1d246f7411c9e2e32e"),
            (70_000, "a3920fba7f239a071a9bd10721f1341addefbaededb41c7e24437a9d16bdf00a"),
        ] {
            assert_eq!(tree.root_at(size).unwrap().to_string(), root);
        }
    }

    #[test]
    fn tiles_are_runs_of_256_hashes_of_every_eighth_level() {
        let env = Env::memory(1);
        let (tree, _) = open(&env, 0);
        tree.append(&leaves(0..70_000)).unwrap();
        let reader = tree.reader();
        for (level, index, width) in [(0, 0, 256), (0, 272, 256), (0, 273, 112), (1, 0, 256), (1, 1, 17), (2, 0, 1)] {
            let tile = tree.tile(level, index, width).unwrap().unwrap();
            let expected = (0..width as u64).flat_map(|at| reader.subtree(8 * level, 256 * index + at).unwrap().0);
            assert!(expected.eq(tile), "tile {level}/{index}");
        }
        for (level, index, width) in
            [(0, 273, 113), (0, 274, 1), (1, 1, 18), (2, 0, 2), (3, 0, 1), (0, 0, 0), (0, 0, 257)]
        {
            assert_eq!(tree.tile(level, index, width).unwrap(), None, "tile {level}/{index}.p/{width}");
        }
        assert_eq!(tree.tile(255, u64::MAX, 256).unwrap(), None);
    }

    #[test]
    fn reopening_goes_on_from_the_synced_size() {
        let env = Env::memory(1);
        for size in [1u64, 15, 16, 17, 255, 256, 300, 4096, 5000] {
            let before = size / 2;
            let (tree, _) = open(&env, 0);
            tree.clear().unwrap();
            tree.append(&leaves(0..before)).unwrap();
            tree.sync().unwrap();
            tree.append(&leaves(before..size)).unwrap();
            let root = tree.root().unwrap();
            drop(tree);
            let (tree, dropped) = open(&env, size);
            assert_eq!((tree.size(), dropped), (before, None));
            tree.append(&leaves(before..size)).unwrap();
            assert_eq!(tree.root().unwrap(), root);
            tree.clear().unwrap();
        }
    }

    #[test]
    fn files_that_cannot_be_trusted_are_dropped_with_the_reason() {
        let env = Env::memory(1);
        let make = || {
            let (tree, _) = open(&env, 5000);
            tree.clear().unwrap();
            tree.append(&leaves(0..5000)).unwrap();
            tree.sync().unwrap();
        };
        make();
        let (tree, dropped) = open(&env, 4999);
        assert_eq!(tree.size(), 0);
        assert!(dropped.unwrap().contains("the journal has 4999"));
        // 5000 = 312 * 16 + 8: the last partial tile of level 0 is the edge.
        make();
        flip(&env, "00", 4993 * 32);
        let (tree, dropped) = open(&env, 5000);
        assert_eq!(tree.size(), 0);
        assert!(dropped.unwrap().contains("the level files give root"));
        make();
        env.storage.remove_file(&Path::new(DIR).join("tree/04")).unwrap();
        assert!(open(&env, 5000).1.is_some());
        make();
        for offset in [30, 4096 + 30] {
            flip(&env, "state", offset);
        }
        assert!(open(&env, 5000).1.is_some());
    }

    /// A tree on a disk that fails.
    fn failing(seed: u64) -> (Sim, Env, Tree) {
        let sim = Sim::new(seed);
        let env = sim.env();
        env.storage.create_dir_all(&Path::new(DIR).join(TREE_DIR)).unwrap();
        ["/", DIR].iter().for_each(|dir| env.storage.sync_dir(Path::new(dir)).unwrap());
        let (tree, _) = open(&env, 0);
        (sim, env, tree)
    }

    #[test]
    fn what_a_failed_sync_has_lost_is_written_again() {
        let mut memory = MemoryTree::new();
        (0..12_000).for_each(|index| memory.append(leaf(index)));
        for (seed, level) in (0..).zip(["tree/00", "tree/04", "tree/08", "tree/12"].repeat(3)) {
            let (sim, env, tree) = failing(seed);
            // Sizes within a page, so that synced hashes and others share one.
            tree.append(&leaves(0..5000)).unwrap();
            tree.sync().unwrap();
            tree.append(&leaves(5000..11_000)).unwrap();
            sim.disk.inject(Fault::Sync(level.to_owned()));
            assert!(!tree.sync().unwrap_err().is_full());
            tree.append(&leaves(11_000..11_500)).unwrap();
            tree.sync().unwrap();
            tree.append(&leaves(11_500..12_000)).unwrap();
            tree.sync().unwrap();
            sim.disk.crash();
            drop(tree);
            let (tree, dropped) = open(&env, 12_000);
            assert_eq!((dropped, tree.size()), (None, 12_000), "{level}");
            let reader = tree.reader();
            for level in 0..14 {
                for index in 0..12_000 >> level {
                    assert_eq!(reader.subtree(level, index).unwrap(), memory.subtree(level, index).unwrap());
                }
            }
        }
    }

    #[test]
    fn files_that_fail_for_long_take_no_more_memory() {
        let (sim, _, tree) = failing(1);
        tree.extend(&vec![leaf(0); UNSYNCED_LEAVES_FAILED_MAX as usize]).unwrap();
        for _ in 0..2 {
            sim.disk.inject(Fault::Sync("tree/04".to_owned()));
            assert!(!tree.append(&[leaf(1)]).unwrap_err().is_full());
            assert_eq!(tree.size(), UNSYNCED_LEAVES_FAILED_MAX);
        }
        tree.append(&[leaf(1)]).unwrap();
        assert_eq!(tree.size(), UNSYNCED_LEAVES_FAILED_MAX + 1);
    }

    #[test]
    fn proofs_can_be_made_while_leaves_are_appended() {
        let env = Env::memory(1);
        let (tree, _) = open(&env, 0);
        tree.append(&leaves(0..1000)).unwrap();
        let root = tree.root_at(1000).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for from in (1000..60_000).step_by(100) {
                    tree.append(&leaves(from..from + 100)).unwrap();
                }
            });
            for position in 0..1000 {
                let path = merkle::audit_path(1000, position, &tree.reader()).unwrap();
                merkle::verify_audit_path(1000, &root, position, &leaf(position), &path).unwrap();
            }
        });
    }
}
