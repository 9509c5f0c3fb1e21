//! A run: entries in order in a file that is written once and never changed (docs/format.md, "Index files").
//!
//! Blocks, then where each begins and what separates it from the one before, then a filter, then a foot that says where
//! these are. A run is opened by reading the end of it; separators and filter stay in memory, about two bytes for each
//! entry. Every block is checked whenever it is read, with a seed that is the run's own and the block's place, so a block
//! that is old, of another run or in another place is refused like a damaged one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_journal::env::{File, OpenMode, Storage, read_exact_at, write_all_at};

use super::block::{BLOCK_BYTES, Block, Builder};
use super::cache::BlockCache;
use super::checksum::hash64;
use super::entry::{self, REVISION_BYTES, Value};
use super::filter::Filter;
use super::separators::Separators;
use crate::index::IndexError;

const MAGIC: [u8; 8] = *b"LSRUN\0\0\x02";
const FOOT_BYTES: usize = 64;
/// What is written at a time.
const WRITE_BYTES: usize = 256 << 10;
/// So many items come into the filter at a time.
const FILTERED_AT_ONCE: usize = 1024;
/// No block is longer: a key of the longest kind, twice, and what belongs to it.
const BLOCK_BYTES_MAX: u32 = 64 << 10;

/// Which run: what the manifest says of it, and what its file must say too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunName {
    /// Names the file; never used again in this directory.
    pub number: u64,
    /// Random.
    pub nonce: u64,
    /// Length of the file, in bytes.
    pub length: u64,
    pub entries: u64,
}

/// A run, open.
pub struct Run {
    pub name: RunName,
    path: PathBuf,
    file: Arc<dyn File>,
    separators: Separators,
    blocks: Vec<Place>,
    filter: Filter,
    /// Items in the filter.
    pub items: u64,
    cache: Arc<BlockCache>,
}

/// Where a block stands.
struct Place {
    offset: u64,
    length: u32,
}

/// `<directory>/<number, 20 digits>.run`.
pub fn run_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.run"))
}

/// The number of the run that a file's name means.
pub fn run_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".run").filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl Run {
    /// Opens a run and reads what is kept in memory.
    pub fn open(storage: &dyn Storage, dir: &Path, name: RunName, cache: &Arc<BlockCache>) -> Result<Run, IndexError> {
        let path = run_path(dir, name.number);
        let io = |action| {
            let path = path.clone();
            move |error: std::io::Error| IndexError::file(&path, action, &error)
        };
        let file = storage.open(&path, OpenMode::Read).map_err(io("open it"))?;
        let length = file.len().map_err(io("find its length"))?;
        let damage = |offset, what: &str| IndexError::damaged(&path, offset, what);
        if length != name.length {
            return Err(damage(0, &format!("the file has {length} bytes, the manifest says {}", name.length)));
        }
        let foot_at = length.checked_sub(FOOT_BYTES as u64).ok_or_else(|| damage(0, "the file is too short"))?;
        let mut foot = [0; FOOT_BYTES];
        read_exact_at(&*file, &mut foot, foot_at).map_err(io("read it"))?;
        let (numbers, sum) = foot.split_at(FOOT_BYTES - 8);
        if numbers.get(..8) != Some(&MAGIC) || sum != hash64(name.nonce, numbers).to_le_bytes() {
            return Err(damage(foot_at, "the end of the file is not what was written"));
        }
        let number =
            |at: usize| numbers.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_be_bytes(*b));
        let (places_at, filter_at, entries, items) = (number(8), number(16), number(24), number(32));
        if places_at > filter_at || filter_at > foot_at || entries != name.entries {
            return Err(damage(foot_at, "the end of the file contradicts itself"));
        }
        let section = |from: u64, to: u64| -> Result<Vec<u8>, IndexError> {
            let mut bytes = vec![0; (to - from) as usize];
            read_exact_at(&*file, &mut bytes, from).map_err(io("read it"))?;
            Ok(bytes)
        };
        let (places, filter) = (section(places_at, filter_at)?, section(filter_at, foot_at)?);
        if hash64(name.nonce, &places) != number(40) || hash64(name.nonce, &filter) != number(48) {
            return Err(damage(places_at, "the separators or the filter are not what was written"));
        }
        let (separators, blocks) =
            read_places(&places, places_at).ok_or_else(|| damage(places_at, "the separators cannot be read"))?;
        let (filter, cache) = (Filter::from_bytes(&filter), Arc::clone(cache));
        Ok(Run { name, file, separators, blocks, filter, items, path, cache })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// False: nothing that the filter knows by this hash is here.
    pub fn may_hold(&self, hash: u64) -> bool {
        self.filter.may_hold(hash)
    }

    /// What stands at a key; `None` if the run says nothing of it.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, IndexError> {
        let Some(block) = self.separators.block_of(key) else { return Ok(None) };
        let block = self.cached(block)?;
        let at = block.lower_bound(key);
        Ok(block.is(at, key).then(|| block.entry(at).1))
    }

    /// The position and the value of the last entry below the one of a revision that is of the same document.
    pub fn last_revision_below(&self, key: &[u8; REVISION_BYTES]) -> Result<Option<(u64, Value)>, IndexError> {
        let prefix = &key[..entry::DOCUMENT_BYTES];
        let Some((block, at)) = self.last_below(prefix, key)? else { return Ok(None) };
        Ok(block.tail(at, prefix).map(|position| (u64::from_be_bytes(position), block.entry(at).1)))
    }

    /// The place of the last entry below `key`; it may not begin with `prefix`, but no other before it does.
    pub fn last_below(&self, prefix: &[u8], key: &[u8]) -> Result<Option<(Arc<Block>, usize)>, IndexError> {
        let Some(mut number) = self.separators.block_of(key) else { return Ok(None) };
        let mut block = self.cached(number)?;
        let mut at = block.lower_bound(key);
        if at == 0 {
            // What is separated from the rest before the prefix cannot begin with it.
            let Some(before) = number.checked_sub(1).filter(|_| self.separators.get(number) > prefix) else {
                return Ok(None);
            };
            number = before;
            block = self.cached(number)?;
            at = block.count();
        }
        Ok(at.checked_sub(1).map(|at| (block, at)))
    }

    /// The document and the value of the only entry of a current key that begins with `held`. `None`: there is none, more
    /// than one, or one at the end of a block, behind which there may be another.
    pub fn only_with(&self, held: &[u8]) -> Result<Option<(Id, u64)>, IndexError> {
        let Some(number) = self.separators.block_of(held) else { return Ok(None) };
        let block = self.cached(number)?;
        let at = block.lower_bound(held);
        if at + 1 >= block.count() || block.tail::<16>(at + 1, held).is_some() {
            return Ok(None);
        }
        Ok(block.tail(at, held).map(Id).zip(block.entry(at).1))
    }

    /// A cursor at the first entry at or behind `from`; going down, at the last one below it. Without `from` all of the run
    /// is meant to be read, past the cache.
    pub fn cursor<'a>(&'a self, from: Option<&[u8]>, descending: bool) -> Result<RunCursor<'a>, IndexError> {
        let mut cursor = RunCursor {
            run: self,
            descending,
            whole: from.is_none(),
            number: 0,
            block: None,
            at: 0,
            key: Vec::new(),
            value: None,
        };
        match from {
            Some(key) => cursor.seek(key)?,
            None if descending => cursor.enter(self.blocks.len().checked_sub(1), None)?,
            None => cursor.enter(Some(0), None)?,
        }
        Ok(cursor)
    }

    fn cached(&self, number: usize) -> Result<Arc<Block>, IndexError> {
        if let Some(block) = self.cache.get(self.name.number, number) {
            return Ok(block);
        }
        let block = Arc::new(self.block(number)?);
        self.cache.put(self.name.number, number, &block);
        Ok(block)
    }

    fn block(&self, number: usize) -> Result<Block, IndexError> {
        let place = self.blocks.get(number).ok_or_else(|| IndexError::damaged(&self.path, 0, "a block is missing"))?;
        let mut bytes = vec![0; place.length as usize];
        read_exact_at(&*self.file, &mut bytes, place.offset)
            .map_err(|error| IndexError::file(&self.path, "read it", &error))?;
        Block::read(bytes, block_seed(self.name.nonce, place.offset))
            .map_err(|what| IndexError::damaged(&self.path, place.offset, what))
    }
}

fn block_seed(nonce: u64, offset: u64) -> u64 {
    nonce ^ offset.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Reads what [`Writer::finish`] wrote; blocks lie one behind the other from the file's start to `end`.
fn read_places(mut bytes: &[u8], end: u64) -> Option<(Separators, Vec<Place>)> {
    let (mut separators, mut blocks, mut offset) = (Vec::new(), Vec::new(), 0u64);
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<6>()?;
        let [a, b, c, d, e, f] = *head;
        let (length, separator) = (u32::from_be_bytes([a, b, c, d]), usize::from(u16::from_be_bytes([e, f])));
        let (separator, rest) = rest.split_at_checked(separator)?;
        separators.push(separator);
        if length > BLOCK_BYTES_MAX {
            return None;
        }
        blocks.push(Place { offset, length });
        offset += u64::from(length);
        bytes = rest;
    }
    (offset == end).then_some((Separators::new(separators.into_iter())?, blocks))
}

/// Goes through a run, in one direction.
pub struct RunCursor<'a> {
    run: &'a Run,
    descending: bool,
    /// Reads past the cache.
    whole: bool,
    number: usize,
    block: Option<Arc<Block>>,
    at: usize,
    key: Vec<u8>,
    value: Value,
}

impl RunCursor<'_> {
    /// Where it stands; `None` behind the end.
    pub fn key(&self) -> Option<&[u8]> {
        self.block.is_some().then_some(&self.key)
    }

    pub fn value(&self) -> Value {
        self.value
    }

    pub fn advance(&mut self) -> Result<(), IndexError> {
        let Some(block) = &self.block else { return Ok(()) };
        let next =
            if self.descending { self.at.checked_sub(1) } else { Some(self.at + 1).filter(|at| *at < block.count()) };
        match next {
            Some(at) => {
                self.stand(at);
                Ok(())
            }
            None => {
                let next = if self.descending { self.number.checked_sub(1) } else { Some(self.number + 1) };
                self.enter(next, None)
            }
        }
    }

    /// To the first entry at or behind `key`; going down, to the last one below it.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), IndexError> {
        let number = self.run.separators.block_of(key);
        match (number, self.descending) {
            (Some(number), _) => self.enter(Some(number), Some(key)),
            (None, true) => self.enter(None, None),
            (None, false) => self.enter(Some(0), Some(key)),
        }
    }

    fn enter(&mut self, number: Option<usize>, key: Option<&[u8]>) -> Result<(), IndexError> {
        let Some(number) = number.filter(|n| *n < self.run.blocks.len()) else {
            self.block = None;
            return Ok(());
        };
        if self.number != number || self.block.is_none() {
            self.block = Some(if self.whole { Arc::new(self.run.block(number)?) } else { self.run.cached(number)? });
            self.number = number;
        }
        let Some(block) = &self.block else { return Ok(()) };
        let count = block.count();
        let bound = match key {
            Some(key) => block.lower_bound(key),
            None if self.descending => count,
            None => 0,
        };
        let at = if self.descending { bound.checked_sub(1) } else { Some(bound).filter(|at| *at < count) };
        match at {
            Some(at) => self.stand(at),
            None => {
                self.block = None;
                let next = if self.descending { number.checked_sub(1) } else { Some(number + 1) };
                return self.enter(next, None);
            }
        }
        Ok(())
    }

    fn stand(&mut self, at: usize) {
        let Some(block) = &self.block else { return };
        let (rest, value) = block.entry(at);
        self.key.clear();
        self.key.extend_from_slice(block.shared());
        self.key.extend_from_slice(rest);
        (self.at, self.value) = (at, value);
    }
}

/// Writes a run. What it has written is nothing until a manifest names it.
pub struct Writer {
    path: PathBuf,
    file: Arc<dyn File>,
    number: u64,
    nonce: u64,
    /// Bytes for the file, from `written` on.
    pending: Vec<u8>,
    written: u64,
    block: Builder,
    separators: Vec<u8>,
    /// The last key of the block before.
    before: Vec<u8>,
    /// What separates the block being filled.
    separator: Vec<u8>,
    filter: Filter,
    /// Hashes that the filter is to be given.
    unfiltered: Vec<u64>,
    last_item: u64,
    items: u64,
    entries: u64,
}

impl Writer {
    /// `items_max`: at most so many items come into the filter.
    pub fn create(
        storage: &dyn Storage,
        dir: &Path,
        number: u64,
        nonce: u64,
        items_max: u64,
    ) -> Result<Writer, IndexError> {
        let path = run_path(dir, number);
        let file = storage.open(&path, OpenMode::CreateNew).map_err(|e| IndexError::file(&path, "make it", &e))?;
        Ok(Writer {
            path,
            file,
            number,
            nonce,
            pending: Vec::with_capacity(WRITE_BYTES + BLOCK_BYTES),
            written: 0,
            block: Builder::default(),
            separators: Vec::new(),
            before: Vec::new(),
            separator: Vec::new(),
            filter: Filter::new(items_max),
            unfiltered: Vec::with_capacity(FILTERED_AT_ONCE),
            last_item: 0,
            items: 0,
            entries: 0,
        })
    }

    /// Adds the next entry; keys ascend.
    pub fn add(&mut self, key: &[u8], value: Value) -> Result<(), IndexError> {
        if self.block.is_empty() {
            let shared = self.before.iter().zip(key).take_while(|(a, b)| a == b).count();
            self.separator.clear();
            if self.entries > 0 {
                self.separator.extend_from_slice(key.get(..=shared).unwrap_or(key));
            }
        }
        self.block.add(key, value);
        self.entries += 1;
        let Writer { unfiltered, last_item, items, .. } = self;
        entry::filtered(key, |hash| {
            // The revisions of a document stand together.
            if hash != *last_item {
                unfiltered.push(hash);
                (*last_item, *items) = (hash, *items + 1);
            }
        });
        if self.unfiltered.len() >= FILTERED_AT_ONCE {
            self.filter();
        }
        if self.block.len() >= BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    /// Ends the file, syncs it, and opens the run. The name is not durable yet.
    pub fn finish(mut self, storage: &dyn Storage, dir: &Path, cache: &Arc<BlockCache>) -> Result<Run, IndexError> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        self.filter();
        let places_at = self.written + self.pending.len() as u64;
        let filter = self.filter.to_bytes();
        let mut foot = MAGIC.to_vec();
        for number in [places_at, places_at + self.separators.len() as u64, self.entries, self.items] {
            foot.extend_from_slice(&number.to_be_bytes());
        }
        foot.extend_from_slice(&hash64(self.nonce, &self.separators).to_be_bytes());
        foot.extend_from_slice(&hash64(self.nonce, &filter).to_be_bytes());
        let sum = hash64(self.nonce, &foot);
        foot.extend_from_slice(&sum.to_le_bytes());
        self.pending.append(&mut self.separators);
        self.pending.extend_from_slice(&filter);
        self.pending.extend_from_slice(&foot);
        self.write_out()?;
        self.file.sync_data().map_err(|e| IndexError::file(&self.path, "sync it", &e))?;
        let Writer { number, nonce, written, entries, .. } = self;
        Run::open(storage, dir, RunName { number, nonce, length: written, entries }, cache)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds items to the filter, one right behind the other: each waits for a line of memory, and so they wait together.
    fn filter(&mut self) {
        self.unfiltered.drain(..).for_each(|hash| self.filter.add(hash));
    }

    fn close_block(&mut self) -> Result<(), IndexError> {
        let offset = self.written + self.pending.len() as u64;
        self.before.clear();
        self.before.extend_from_slice(self.block.last_key());
        let bytes = self.block.finish(block_seed(self.nonce, offset));
        self.separators.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.separators.extend_from_slice(&(self.separator.len() as u16).to_be_bytes());
        self.separators.extend_from_slice(&self.separator);
        self.pending.extend_from_slice(&bytes);
        if self.pending.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<(), IndexError> {
        write_all_at(&*self.file, &self.pending, self.written)
            .map_err(|e| IndexError::file(&self.path, "write it", &e))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgerstone_journal::env::{MemoryStorage, SeededRng};
    use std::collections::BTreeMap;

    const DIR: &str = "/index";

    fn entries(rng: &SeededRng, count: usize) -> BTreeMap<Vec<u8>, Value> {
        let key = |rng: &SeededRng| {
            let length = if rng.one_in(50) { rng.below(9000) } else { rng.below(12) };
            [&[rng.below(3) as u8][..], &(0..length).map(|_| rng.below(3) as u8).collect::<Vec<u8>>()].concat()
        };
        (0..count).map(|_| (key(rng), (!rng.one_in(4)).then(|| rng.below(1 << 40)))).collect()
    }

    fn write(storage: &MemoryStorage, entries: &BTreeMap<Vec<u8>, Value>) -> Run {
        storage.create_dir_all(Path::new(DIR)).unwrap();
        let dir = Path::new(DIR);
        let mut writer = Writer::create(storage, dir, 5, 77, entries.len() as u64).unwrap();
        entries.iter().for_each(|(key, value)| writer.add(key, *value).unwrap());
        let cache = Arc::new(BlockCache::new(20 << 10));
        let written = writer.finish(storage, dir, &cache).unwrap();
        Run::open(storage, dir, written.name, &cache).unwrap()
    }

    fn walk(mut cursor: RunCursor<'_>) -> Vec<(Vec<u8>, Value)> {
        let mut found = Vec::new();
        while let Some(key) = cursor.key().map(<[u8]>::to_vec) {
            found.push((key, cursor.value()));
            cursor.advance().unwrap();
        }
        found
    }

    #[test]
    fn a_run_answers_as_an_ordered_map() {
        for seed in 0..20 {
            let rng = SeededRng::new(seed);
            let map = entries(&rng, [0, 1, 30, 2000][seed as usize % 4]);
            let run = write(&MemoryStorage::new(), &map);
            let all: Vec<(Vec<u8>, Value)> = map.iter().map(|(k, v)| (k.clone(), *v)).collect();
            assert_eq!(walk(run.cursor(None, false).unwrap()), all);
            assert!(walk(run.cursor(None, true).unwrap()).iter().eq(all.iter().rev()));
            let probes = entries(&rng, 200);
            for key in probes.keys().chain(map.keys().take(200)) {
                assert_eq!(run.get(key).unwrap(), map.get(key).copied(), "seed {seed}");
                let up: Vec<_> = map.range(key.clone()..).take(5).map(|(k, v)| (k.clone(), *v)).collect();
                assert!(walk(run.cursor(Some(key), false).unwrap()).iter().take(5).eq(up.iter()));
                let down: Vec<_> = map.range(..key.clone()).rev().take(5).map(|(k, v)| (k.clone(), *v)).collect();
                assert!(walk(run.cursor(Some(key), true).unwrap()).iter().take(5).eq(down.iter()));
                for prefix in [&[][..], &key[..1], &key[..key.len() / 2], key] {
                    let expected = down.first().filter(|(k, _)| k.starts_with(prefix)).cloned();
                    let found = run.last_below(prefix, key).unwrap().map(|(block, at)| {
                        let (rest, value) = block.entry(at);
                        ([block.shared(), rest].concat(), value)
                    });
                    assert_eq!(found.filter(|(k, _)| k.starts_with(prefix)), expected, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let storage = MemoryStorage::new();
        let map = entries(&SeededRng::new(1), 400);
        let name = write(&storage, &map).name;
        let file = storage.open(&run_path(Path::new(DIR), 5), OpenMode::Write).unwrap();
        let whole = |run: Run| -> Result<(), IndexError> {
            let mut cursor = run.cursor(None, false)?;
            while cursor.key().is_some() {
                cursor.advance()?;
            }
            Ok(())
        };
        let read = || Run::open(&storage, Path::new(DIR), name, &Arc::new(BlockCache::new(0))).and_then(whole);
        read().unwrap();
        for at in (0..name.length).step_by(7) {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 0x10], at).unwrap();
            assert!(matches!(read(), Err(IndexError::Damaged { .. })), "byte {at}");
            file.write_at(&byte, at).unwrap();
        }
        read().unwrap();
    }
}
