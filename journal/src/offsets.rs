//! Where the frames of a segment stand: a number per position (docs/format.md, "Offset files"). Derived: a file
//! that is missing, damaged or of another state of its segment is made again from the segment.

use std::io;
use std::path::{Path, PathBuf};

use ledgerstone_digest::Hash;

use crate::dictionary::Texts;
use crate::env::{OpenMode, Storage, read_file, write_all_at};
use crate::segment::SEGMENT_BYTES_MAX;
use crate::wire::Reader;

/// The directory of the offset files inside a ledger's directory.
pub const OFFSETS_DIR: &str = "offsets";

const MAGIC: [u8; 8] = *b"LSOFFSET";
const FORMAT_VERSION: u32 = 1;
/// Set in the offset of a block's head, which is the entry of the block leaf's position.
const BLOCK_MARK: u32 = 1 << 31;
/// So many entries are looked at for a block's head before it is searched for.
const HEAD_NEAR_MAX: usize = 64;
/// No segment has more frames than this many bytes of offsets can say.
const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX / 4;

/// The frames of one segment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Index {
    /// By position, from the segment's first: the frame's offset; with the mark for block heads; 0 for a revision
    /// that stands in a staged frame.
    entries: Vec<u32>,
    /// By block, from the segment's first: the index of its leaf in `entries`.
    blocks: Vec<u32>,
    /// Offsets of the dictionary frames.
    pub dictionary: Vec<u32>,
    /// What the dictionary frames hold.
    pub texts: Texts,
}

/// Where a position's frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A revision frame, or the genesis frame.
    Frame(u32),
    /// A block's head.
    Head(u32),
    /// In a staged frame that the block's head names.
    Staged,
}

impl Index {
    pub fn push_frame(&mut self, offset: u32) {
        self.entries.push(offset);
    }

    pub fn push_staged(&mut self) {
        self.entries.push(0);
    }

    pub fn push_head(&mut self, offset: u32) {
        self.blocks.push(self.entries.len() as u32);
        self.entries.push(offset | BLOCK_MARK);
    }

    /// What it takes in memory, its texts not counted.
    pub fn bytes(&self) -> usize {
        size_of::<u32>() * (self.entries.len() + self.blocks.len() + self.dictionary.len())
    }

    /// How many positions.
    pub fn positions(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn place(&self, index: u64) -> Option<Place> {
        let entry = *self.entries.get(usize::try_from(index).ok()?)?;
        Some(match entry {
            0 => Place::Staged,
            marked if marked & BLOCK_MARK != 0 => Place::Head(marked & !BLOCK_MARK),
            offset => Place::Frame(offset),
        })
    }

    /// Where frames stand that are not staged, by position, and which are heads.
    pub fn places(&self) -> impl Iterator<Item = (u32, bool)> {
        let there = self.entries.iter().filter(|entry| **entry != 0);
        there.map(|entry| (entry & !BLOCK_MARK, entry & BLOCK_MARK != 0))
    }

    /// The index and the head's offset of the last block.
    pub fn last_block(&self) -> Option<(u64, u32)> {
        let at = *self.blocks.last()?;
        Some((u64::from(at), self.entries.get(at as usize)? & !BLOCK_MARK))
    }

    /// The index (position from the segment's first) of a block's leaf.
    pub fn block(&self, index: u64) -> Option<u64> {
        self.blocks.get(usize::try_from(index).ok()?).map(|at| u64::from(*at))
    }

    /// The first block whose leaf stands at this index or later.
    pub fn block_from(&self, index: u64) -> u64 {
        self.blocks.partition_point(|at| u64::from(*at) < index) as u64
    }

    /// The leaf of the block that a position is of: its index, and where the head stands.
    pub fn head_of(&self, index: u64) -> Option<(u64, u32)> {
        // Most blocks are short, and what stands beside an entry is at hand.
        let near = self.entries.get(usize::try_from(index).ok()?..)?.iter().take(HEAD_NEAR_MAX);
        let at = match near.clone().position(|entry| entry & BLOCK_MARK != 0) {
            Some(ahead) => index + ahead as u64,
            None => self.block(self.block_from(index))?,
        };
        match self.place(at)? {
            Place::Head(offset) => Some((at, offset)),
            _ => None,
        }
    }

    /// How much of the file from the frame at `offset` on holds that frame, which is the entry of this index, if that is
    /// less than `most`.
    pub fn reach(&self, index: u64, offset: u64, most: usize) -> usize {
        let next = usize::try_from(index).ok().and_then(|index| self.entries.get(index.checked_add(1)?));
        // The head of its own block stands before it.
        let reach = next.and_then(|next| u64::from(next & !BLOCK_MARK).checked_sub(offset)).filter(|reach| *reach > 0);
        reach.map_or(most, |reach| most.min(reach as usize))
    }

    /// Adds what a batch brought.
    pub fn extend(&mut self, entries: &[u32], dictionary: &[u32]) {
        for entry in entries {
            if entry & BLOCK_MARK != 0 {
                self.blocks.push(self.entries.len() as u32);
            }
            self.entries.push(*entry);
        }
        self.dictionary.extend_from_slice(dictionary);
    }

    /// The entries from an index on, as `extend` takes them.
    pub fn entries(&self) -> &[u32] {
        &self.entries
    }
}

/// `offsets/<segment, 20 digits>.off`.
pub fn offsets_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(OFFSETS_DIR).join(format!("{segment:020}.off"))
}

/// Writes a segment's offset file. Not synced: a torn one is noticed and made again.
pub(crate) fn store(storage: &dyn Storage, dir: &Path, segment: u64, header: &Hash, index: &Index) -> io::Result<()> {
    storage.create_dir_all(&dir.join(OFFSETS_DIR))?;
    let mut bytes = Vec::with_capacity(64 + 4 * (index.entries.len() + index.dictionary.len()) + 32);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
    bytes.extend_from_slice(&header.0);
    bytes.extend_from_slice(&(index.entries.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&(index.dictionary.len() as u32).to_be_bytes());
    for number in index.entries.iter().chain(&index.dictionary) {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    let hash = Hash::sha256(&[&bytes]);
    bytes.extend_from_slice(&hash.0);
    let path = offsets_path(dir, segment);
    let temporary = path.with_extension("tmp");
    let file = storage.open(&temporary, OpenMode::Create)?;
    file.set_len(0)?;
    write_all_at(&*file, &bytes, 0)?;
    storage.rename(&temporary, &path)
}

/// Reads a segment's offset file; the texts are left to the caller. `None` if it cannot be used.
pub(crate) fn load(storage: &dyn Storage, dir: &Path, segment: u64, header: &Hash) -> Option<Index> {
    let bytes = read_file(storage, &offsets_path(dir, segment), FILE_BYTES_MAX).ok()?;
    let (body, stored) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Hash::sha256(&[body]).0 != *stored {
        return None;
    }
    let mut reader = Reader::new(body);
    if reader.bytes(MAGIC.len(), "magic").ok()? != MAGIC
        || reader.u32("version").ok()? != FORMAT_VERSION
        || reader.hash("header").ok()? != *header
    {
        return None;
    }
    let entries = reader.u32("entries").ok()? as usize;
    let dictionary = reader.u32("dictionary").ok()? as usize;
    if reader.left() as u64 != 4 * (entries as u64 + dictionary as u64) {
        return None;
    }
    let mut numbers = |n: usize| (0..n).map(|_| reader.u32("offset").ok()).collect::<Option<Vec<u32>>>();
    let (entries, dictionary) = (numbers(entries)?, numbers(dictionary)?);
    let mut index = Index::default();
    index.extend(&entries, &dictionary);
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MemoryStorage;

    #[test]
    fn a_revision_finds_its_block_near_and_far_and_reaches_to_the_next_frame() {
        let mut index = Index::default();
        let (mut offset, mut heads) = (4096, Vec::new());
        for revisions in [1, 3, HEAD_NEAR_MAX, 200, 0, 2] {
            let head = offset;
            for _ in 0..revisions {
                offset += 100;
                index.push_frame(offset);
            }
            index.push_head(head);
            offset += 100;
            heads.push((index.positions() - 1, head));
        }
        for at in 0..index.positions() {
            let head = heads.iter().find(|(leaf, _)| *leaf >= at).copied();
            assert_eq!(index.head_of(at), head, "{at}");
            if let Some(Place::Frame(offset)) = index.place(at) {
                let is_last = head.is_some_and(|(leaf, _)| leaf == at + 1);
                assert_eq!(index.reach(at, u64::from(offset), 1024), if is_last { 1024 } else { 100 }, "{at}");
            }
        }
        assert_eq!((index.head_of(index.positions()), index.reach(u64::MAX, 5, 7)), (None, 7));
    }

    #[test]
    fn a_stored_index_is_read_back_and_a_damaged_one_is_not() {
        let storage = MemoryStorage::new();
        let dir = Path::new("/l");
        storage.create_dir_all(dir).unwrap();
        let mut index = Index::default();
        index.push_frame(4100);
        index.push_staged();
        index.push_head(5000);
        index.push_head(6000);
        index.dictionary.push(4096);
        let header = Hash([3; 32]);
        store(&storage, dir, 1, &header, &index).unwrap();
        let read = load(&storage, dir, 1, &header).unwrap();
        assert_eq!(
            (read.place(0), read.place(1), read.place(2)),
            (Some(Place::Frame(4100)), Some(Place::Staged), Some(Place::Head(5000)))
        );
        assert_eq!((read.block(1), read.block_from(3), read.block_from(0), read.positions()), (Some(3), 1, 0, 4));
        assert!(load(&storage, dir, 1, &Hash([4; 32])).is_none());
        let file = storage.open(&offsets_path(dir, 1), OpenMode::Write).unwrap();
        for at in 0..file.len().unwrap() {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 4], at).unwrap();
            assert!(load(&storage, dir, 1, &header).is_none(), "byte {at}");
            file.write_at(&byte, at).unwrap();
        }
    }
}
