//! A block of a run: some 4 KiB of entries in order, checked as a whole (docs/format.md, "Index files").
//!
//! What all keys of a block begin with stands once; the rest is plain, so a search needs no unpacking.
//!
//! ```text
//! u16 entries ‖ u16 length of the common beginning ‖ the common beginning
//! ‖ entries: rest of the key ‖ value, big-endian without leading zeros ‖ u8 bytes of the value, or 0x80: taken away
//! ‖ u32 end of each entry, from the first one's start ‖ u64 checksum, little-endian
//! ```

use std::cmp::Ordering;

use super::checksum::hash64;
use super::entry::Value;

/// A block is closed at this size; one entry may pass it.
pub const BLOCK_BYTES: usize = 4096;
const HEAD_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 8;
const TAKEN_AWAY: u8 = 0x80;
/// Entries of a block whose keys' beginnings are kept beside it, evenly apart: a search begins in two lines of memory
/// instead of here and there in sixty-four.
const HEADS: usize = 16;

/// Collects a block's entries.
#[derive(Default)]
pub struct Builder {
    keys: Vec<u8>,
    /// End of each key in `keys`.
    ends: Vec<u32>,
    values: Vec<Value>,
}

impl Builder {
    pub fn add(&mut self, key: &[u8], value: Value) {
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len() as u32);
        self.values.push(value);
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// About how long the block will be.
    pub fn len(&self) -> usize {
        let shared = common(self.key(0), self.key(self.ends.len().saturating_sub(1)));
        self.keys.len() + 10 * self.ends.len() - shared * self.ends.len().saturating_sub(1)
    }

    pub fn last_key(&self) -> &[u8] {
        self.key(self.ends.len().saturating_sub(1))
    }

    fn key(&self, n: usize) -> &[u8] {
        let start = n.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(n).map_or(start, |end| *end as usize);
        self.keys.get(start..end).unwrap_or_default()
    }

    /// The block's bytes, and begins another one.
    pub fn finish(&mut self, seed: u64) -> Vec<u8> {
        let shared = common(self.key(0), self.last_key());
        let mut bytes = Vec::with_capacity(BLOCK_BYTES + 1024);
        bytes.extend_from_slice(&(self.ends.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&(shared as u16).to_be_bytes());
        bytes.extend_from_slice(self.key(0).get(..shared).unwrap_or_default());
        let start = bytes.len();
        let mut ends = Vec::with_capacity(self.ends.len() * 4);
        for (n, value) in self.values.iter().enumerate() {
            bytes.extend_from_slice(self.key(n).get(shared..).unwrap_or_default());
            match value {
                None => bytes.push(TAKEN_AWAY),
                Some(number) => {
                    let skip = (number.leading_zeros() / 8) as usize;
                    bytes.extend_from_slice(number.to_be_bytes().get(skip..).unwrap_or_default());
                    bytes.push((8 - skip) as u8);
                }
            }
            ends.extend_from_slice(&((bytes.len() - start) as u32).to_be_bytes());
        }
        bytes.extend_from_slice(&ends);
        let sum = hash64(seed, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        self.keys.clear();
        self.ends.clear();
        self.values.clear();
        bytes
    }
}

/// The first eight bytes as a number; what is shorter goes on with zeros.
fn head(key: &[u8]) -> u64 {
    let shorter = || std::array::from_fn(|at| key.get(at).copied().unwrap_or_default());
    u64::from_be_bytes(key.first_chunk().copied().unwrap_or_else(shorter))
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A block that was read and checked.
pub struct Block {
    bytes: Vec<u8>,
    count: usize,
    /// Length of the common beginning.
    shared: usize,
    /// Where the ends begin.
    ends: usize,
    /// What the rest of every `step`th key begins with.
    heads: [u64; HEADS],
    step: usize,
}

impl Block {
    /// What is wrong with bytes that are no block of this place.
    pub fn read(bytes: Vec<u8>, seed: u64) -> Result<Block, &'static str> {
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or("the block is too short")?;
        if hash64(seed, body) != u64::from_le_bytes(*sum) {
            return Err("the block's checksum does not match");
        }
        let number = |at: usize| body.get(at..at + 2).map(|b| usize::from(b[0]) << 8 | usize::from(b[1]));
        let (count, shared) = number(0).zip(number(2)).ok_or("the block is too short")?;
        let ends = body.len().checked_sub(count * 4).filter(|ends| *ends >= HEAD_BYTES + shared);
        let ends = ends.ok_or("the block is shorter than its entries")?;
        let mut block = Block { count, shared, ends, bytes, heads: [0; HEADS], step: count.div_ceil(HEADS).max(1) };
        block.heads = std::array::from_fn(|n| head(block.entry(n * block.step).0));
        Ok(block)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// What all keys begin with.
    pub fn shared(&self) -> &[u8] {
        self.bytes.get(HEAD_BYTES..HEAD_BYTES + self.shared).unwrap_or_default()
    }

    fn end(&self, n: usize) -> usize {
        let at = self.ends + n * 4;
        self.bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b) as usize)
    }

    /// The rest of a key, and its value.
    pub fn entry(&self, n: usize) -> (&[u8], Value) {
        let start = HEAD_BYTES + self.shared;
        let from = n.checked_sub(1).map_or(0, |before| self.end(before));
        let entry = self.bytes.get(start + from..(start + self.end(n)).min(self.ends)).unwrap_or_default();
        let Some((tag, rest)) = entry.split_last() else { return (&[], None) };
        if *tag == TAKEN_AWAY {
            return (rest, None);
        }
        let (key, value) = rest.split_at(rest.len().saturating_sub(usize::from(*tag)));
        (key, Some(value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
    }

    /// The first entry at or behind a key.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let shared = self.shared();
        let rest = match key.get(..shared.len()).unwrap_or(key).cmp(shared) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.count,
            Ordering::Equal => key.get(shared.len()..).unwrap_or_default(),
        };
        // A key whose beginning is below that of another one is below it; of those that begin alike nothing is said.
        let wanted = head(rest);
        let heads = self.heads.get(..self.count.div_ceil(self.step)).unwrap_or_default();
        let below = heads.iter().filter(|head| **head < wanted).count();
        let not_above = heads.iter().filter(|head| **head <= wanted).count();
        let mut low = below.checked_sub(1).map_or(0, |last| last * self.step + 1);
        let mut high = (not_above * self.step).min(self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle).0 < rest {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// The last bytes of an entry's key, if all before them is `beginning`.
    pub fn tail<const BYTES: usize>(&self, n: usize, beginning: &[u8]) -> Option<[u8; BYTES]> {
        if n >= self.count {
            return None;
        }
        let (shared, rest) = (self.shared(), self.entry(n).0);
        if shared.len() + rest.len() != beginning.len() + BYTES {
            return None;
        }
        if let Some(beginning) = beginning.strip_prefix(shared) {
            return rest.strip_prefix(beginning)?.try_into().ok();
        }
        let mut tail = [0; BYTES];
        let (front, back) = tail.split_at_mut_checked(shared.strip_prefix(beginning)?.len())?;
        front.copy_from_slice(shared.strip_prefix(beginning)?);
        back.copy_from_slice(rest);
        Some(tail)
    }

    /// Whether an entry is the one of this key.
    pub fn is(&self, n: usize, key: &[u8]) -> bool {
        n < self.count && key.strip_prefix(self.shared()) == Some(self.entry(n).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(entries: &[(&[u8], Value)]) -> Vec<u8> {
        let mut builder = Builder::default();
        entries.iter().for_each(|(key, value)| builder.add(key, *value));
        builder.finish(9)
    }

    #[test]
    fn entries_are_found_and_read_back() {
        let entries: [(&[u8], Value); 5] =
            [(b"ab", Some(0)), (b"abc", Some(255)), (b"abd", None), (b"abdx", Some(u64::MAX)), (b"abz", Some(256))];
        let block = Block::read(build(&entries), 9).unwrap();
        assert_eq!((block.count(), block.shared()), (5, &b"ab"[..]));
        for (n, (key, value)) in entries.iter().enumerate() {
            assert_eq!((block.lower_bound(key), block.is(n, key)), (n, true));
            assert_eq!((&block.entry(n).0, block.entry(n).1), (&&key[2..], *value));
            assert_eq!(block.tail::<1>(n, &key[..key.len() - 1]), key.last().map(|last| [*last]));
            assert_eq!(
                block.tail::<2>(n, &key[..key.len() - 2]).as_ref().map(|tail| &tail[..]),
                Some(&key[key.len() - 2..])
            );
            assert_eq!((block.tail::<1>(n, key), block.tail::<1>(n, b"b")), (None, None));
        }
        for (key, at) in [(&b""[..], 0), (b"a", 0), (b"aa", 0), (b"abcc", 2), (b"abzz", 5), (b"b", 5)] {
            assert_eq!(block.lower_bound(key), at, "{key:?}");
            assert!(!block.is(at, key));
        }
    }

    #[test]
    fn keys_that_begin_alike_are_found_among_many() {
        for (length, letters) in [(1u32, 200usize), (3, 2), (9, 2), (12, 3)] {
            // Numbers written with few different letters: most begin like others, some with zeros, some are others' beginnings.
            let mut keys: Vec<Vec<u8>> = (0..400usize)
                .map(|n| (0..length).map(|at| (n * 7 / letters.pow(at) % letters.min(251)) as u8).collect::<Vec<u8>>())
                .flat_map(|key| [key.get(..key.len() / 2).unwrap_or_default().to_vec(), key])
                .collect();
            keys.sort();
            keys.dedup();
            let mut builder = Builder::default();
            keys.iter().for_each(|key| builder.add(key, Some(1)));
            let block = Block::read(builder.finish(9), 9).unwrap();
            for key in keys.iter().flat_map(|key| [key.clone(), [&key[..], &[0]].concat(), [&key[..], &[1]].concat()]) {
                assert_eq!(block.lower_bound(&key), keys.partition_point(|k| *k < key), "{key:?}");
            }
        }
    }

    #[test]
    fn any_changed_byte_and_another_place_are_refused() {
        let bytes = build(&[(b"one", Some(1)), (b"two", None)]);
        assert!(Block::read(bytes.clone(), 10).is_err());
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(Block::read(changed, 9).is_err(), "byte {at}");
            }
            assert!(Block::read(bytes[..at].to_vec(), 9).is_err());
        }
        assert!(Block::read(bytes, 9).is_ok());
    }
}
