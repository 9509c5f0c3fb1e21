//! Compares the level files of a tree, the signed one or QLDB's over the blocks, with the hashes that were derived from the
//! journal.
//!
//! The hashes come one by one, those of leaves and of the subtrees that they complete, so memory stays small however long the ledger is. Hashes below the size that
//! `tree/state` records must be there and right; those beyond it were never synced, so a difference there means only
//! that the last process ended in a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::qldb::dot2;
use ledgerstone_digest::tree::{EMPTY_ROOT, node_hash};

use super::report::VerifyReport;
use crate::env::{File, OpenMode, Storage};
use crate::qldb::BLOCK_TREE_DIR;
use crate::slots::{self, Slot, read_up_to};
use crate::tree::layout::{HASH_BYTES, LEVEL_STEP, STORED_LEVELS_MAX, count_at, level_path};
use crate::tree::{STATE_FILE, STATE_MAGIC, TREE_DIR, decode_state};

const REBUILD: &str = "run `ledgerstone doctor` to rebuild the tree from the journal";
const BUFFER_BYTES: usize = 64 * 1024;

/// How two neighbours of a tree become one.
type Combine = fn(&Hash, &Hash) -> Hash;

/// The comparison, fed with leaf hashes in order.
pub(super) struct LevelFiles {
    dir: PathBuf,
    combine: Combine,
    levels: Vec<Level>,
    /// Leaves so far.
    size: u64,
    /// By level, the newest complete subtree: those at the bits that are set in the size make the tree.
    edge: [Hash; 64],
    /// The synced size and the root recorded for it.
    state: Option<(u64, Hash)>,
    root_at_state: Option<Hash>,
}

struct Level {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    length: u64,
    /// Bytes of the file from `buffer_at` on.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Hashes derived so far.
    count: u64,
    /// One finding for each level file is enough.
    reported: bool,
}

impl LevelFiles {
    /// Opens what is there of the signed tree. A missing directory is nothing to compare.
    pub(super) fn open(storage: &dyn Storage, ledger_dir: &Path, report: &mut VerifyReport) -> LevelFiles {
        LevelFiles::open_in(storage, ledger_dir.join(TREE_DIR), node_hash, report)
    }

    /// The same of QLDB's tree over the blocks; `None` if nobody has asked for its digest.
    pub(super) fn of_blocks(storage: &dyn Storage, ledger_dir: &Path, report: &mut VerifyReport) -> Option<LevelFiles> {
        let dir = ledger_dir.join(BLOCK_TREE_DIR);
        storage.exists(&dir).then(|| LevelFiles::open_in(storage, dir, |left, right| dot2(*left, *right), report))
    }

    fn open_in(storage: &dyn Storage, dir: PathBuf, combine: Combine, report: &mut VerifyReport) -> LevelFiles {
        let mut levels = Vec::new();
        for stored in 0..STORED_LEVELS_MAX {
            levels.push(Level::open(storage, level_path(&dir, stored), report));
        }
        let state = read_state(storage, &dir.join(STATE_FILE), report);
        let root_at_state = state.filter(|(size, _)| *size == 0).map(|_| EMPTY_ROOT);
        LevelFiles { dir, combine, levels, size: 0, edge: [Hash::ZERO; 64], state, root_at_state }
    }

    /// Compares the next leaf's hash and those of the subtrees that it completes.
    pub(super) fn append(&mut self, leaf: Hash, report: &mut VerifyReport) {
        let (mut level, mut index, mut hash) = (0, self.size, leaf);
        loop {
            let left = self.edge.get(usize::from(level)).copied().unwrap_or(Hash::ZERO);
            self.complete(level, index, hash, report);
            if index & 1 == 0 {
                return;
            }
            hash = (self.combine)(&left, &hash);
            (level, index) = (level + 1, index >> 1);
        }
    }

    /// Compares a subtree that is complete, leaves included: those of every leaf from the smallest up, leaf by leaf.
    pub(super) fn complete(&mut self, level: u8, index: u64, hash: Hash, report: &mut VerifyReport) {
        let synced = self.state.map_or(0, |(size, _)| size);
        if let Some(edge) = self.edge.get_mut(usize::from(level)) {
            *edge = hash;
        }
        let leaves = (index + 1) << level;
        self.size = leaves;
        // What ends with this leaf is complete with the largest of its subtrees.
        if leaves == synced && u32::from(level) == leaves.trailing_zeros() {
            self.root_at_state = Some(self.root());
        }
        let stored = usize::from(level / LEVEL_STEP);
        if level.is_multiple_of(LEVEL_STEP)
            && let Some(file) = self.levels.get_mut(stored)
        {
            file.compare(hash, count_at(stored, synced), report);
        }
    }

    /// The root of the leaves so far.
    fn root(&self) -> Hash {
        let mut subtrees = self.edge.iter().enumerate().filter(|(level, _)| self.size >> level & 1 == 1);
        let smallest = subtrees.next().map_or(EMPTY_ROOT, |(_, hash)| *hash);
        subtrees.fold(smallest, |right, (_, left)| (self.combine)(left, &right))
    }

    /// Compares what is left: lengths and the recorded root.
    pub(super) fn finish(mut self, report: &mut VerifyReport) {
        let size = self.size;
        for level in &mut self.levels {
            if level.length > level.count * HASH_BYTES && !level.reported {
                let offset = Some(level.count * HASH_BYTES);
                let what = format!("the level file goes on after the last of {size} leaves; {REBUILD}");
                report.broken(&level.path, offset, None, what);
            }
        }
        let path = self.dir.join(STATE_FILE);
        match (self.state, self.root_at_state) {
            (Some((state, _)), _) if state > size => {
                report.broken(&path, None, None, format!("records {state} leaves, the journal has {size}; {REBUILD}"));
            }
            (Some((state, recorded)), Some(root)) if root != recorded => {
                let what = format!("records root {recorded} at {state} leaves, the journal gives {root}; {REBUILD}");
                report.broken(&path, None, None, what);
            }
            _ => {}
        }
    }
}

impl Level {
    fn open(storage: &dyn Storage, path: PathBuf, report: &mut VerifyReport) -> Level {
        let (file, length) = match storage.open(&path, OpenMode::Read).and_then(|file| Ok((file.len()?, file))) {
            Ok((length, file)) => (Some(file), length),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    report.unchecked(&path, None, error.to_string());
                }
                (None, 0)
            }
        };
        Level { path, file, length, buffer: Vec::new(), buffer_at: 0, count: 0, reported: false }
    }

    fn compare(&mut self, hash: Hash, synced: u64, report: &mut VerifyReport) {
        let (index, offset) = (self.count, self.count * HASH_BYTES);
        self.count += 1;
        if self.reported {
            return;
        }
        let found = match self.read(offset) {
            Ok(found) => found,
            Err(error) => {
                self.reported = true;
                report.unchecked(&self.path, Some(offset), error.to_string());
                return;
            }
        };
        match found {
            Some(found) if found == hash => {}
            None if index >= synced => {}
            Some(_) if index >= synced => {
                self.reported = true;
                let what = "differs from the journal behind what was synced: the server ended in a crash; the next start derives it again";
                report.unchecked(&self.path, Some(offset), what);
            }
            None => {
                self.reported = true;
                report.broken(&self.path, Some(offset), None, format!("the level file ends early; {REBUILD}"));
            }
            Some(found) => {
                self.reported = true;
                let what = format!("holds {found} where the journal gives {hash}; {REBUILD}");
                report.broken(&self.path, Some(offset), None, what);
            }
        }
    }

    fn read(&mut self, offset: u64) -> io::Result<Option<Hash>> {
        let Some(file) = &self.file else { return Ok(None) };
        if offset + HASH_BYTES > self.length {
            return Ok(None);
        }
        if offset < self.buffer_at || offset + HASH_BYTES > self.buffer_at + self.buffer.len() as u64 {
            self.buffer.resize(BUFFER_BYTES, 0);
            let read = read_up_to(&**file, &mut self.buffer, offset)?;
            self.buffer.truncate(read);
            self.buffer_at = offset;
        }
        let at = (offset - self.buffer_at) as usize;
        Ok(self.buffer.get(at..at + HASH_BYTES as usize).and_then(Hash::from_slice))
    }
}

fn read_state(storage: &dyn Storage, path: &Path, report: &mut VerifyReport) -> Option<(u64, Hash)> {
    let slots = read_slots(storage, path, STATE_MAGIC, report)?;
    let (_, payload) = slots::newest(&slots)?;
    let state = decode_state(payload);
    if state.is_none() {
        report.broken(path, Some(0), None, format!("does not hold a size and a root; {REBUILD}"));
    }
    state
}

/// Reads a slot file and reports every slot that is neither empty nor whole. `None` if the file is not there.
pub(super) fn read_slots(
    storage: &dyn Storage,
    path: &Path,
    magic: [u8; 8],
    report: &mut VerifyReport,
) -> Option<[Slot; 2]> {
    let read = storage.open(path, OpenMode::Read).and_then(|file| {
        let mut bytes = vec![0; slots::FILE_BYTES];
        let read = read_up_to(&*file, &mut bytes, 0)?;
        bytes.truncate(read);
        Ok((bytes, file.len()?))
    });
    let (bytes, length) = match read {
        Ok(found) => found,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                report.unchecked(path, None, error.to_string());
            }
            return None;
        }
    };
    report.bytes += bytes.len() as u64;
    if length > slots::FILE_BYTES as u64 {
        report.broken(path, Some(slots::FILE_BYTES as u64), None, "bytes stand behind the two slots");
    }
    let slots = slots::inspect(&bytes, magic);
    for (which, slot) in slots.iter().enumerate() {
        if let Slot::Broken(what) = slot {
            let what = format!("this slot is torn or damaged ({what}); the next checkpoint overwrites the older slot");
            report.unchecked(path, Some((which * slots::SLOT_BYTES) as u64), what);
        }
    }
    Some(slots)
}
