//! Segment files: their names and their headers (docs/format.md, "Segment").
//!
//! A header says where the chain stands when the segment begins, so that a segment can be read without those before
//! it, and so that a segment that is missing, doubled, renamed or of another ledger is noticed at once.

use std::path::{Path, PathBuf};

use ledgerstone_digest::{Hash, Id};

use crate::wire::{Reader, WireError};

/// Batches begin at multiples of this; also the length of a segment's header.
pub const PAGE_BYTES: u64 = 4096;
/// The first segment of a ledger.
pub const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
/// Every other segment.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Offsets within a segment are below this.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 31;
/// The directory of the segments inside a ledger's directory.
pub const JOURNAL_DIR: &str = "journal";
/// A segment being prepared.
pub const NEXT_SEGMENT: &str = "next.tmp";

const MAGIC: [u8; 8] = *b"LSSEGMNT";
/// A segment as it is written.
const FORMAT_VERSION: u32 = 1;
/// A segment whose batches were merged when it was full. Programs that do not know of it say that it is newer.
const FORMAT_VERSION_PACKED: u32 = 2;
const HASHED_BYTES: usize = 160;
const NO_TIME: i64 = i64::MIN;

/// Where the chain stands between two blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The number the next batch gets.
    pub next_batch: u64,
    /// The position the next leaf gets.
    pub next_position: u64,
    /// The number the next block gets.
    pub next_block: u64,
    /// The last block's time; `None` before block 0.
    pub last_time_ms: Option<i64>,
    /// The last block's hash; `None` before block 0.
    pub block_hash: Option<Hash>,
    /// H(the last block's leaf entry); `None` before block 0.
    pub block_leaf: Option<Hash>,
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub ledger: Id,
    pub number: u64,
    /// Bytes of the whole file.
    pub length: u64,
    /// Its batches were merged and the file ends with the last of them.
    pub packed: bool,
    /// Secret; begins every batch of the segment, so that no client's bytes can pass for one.
    pub nonce: [u8; 16],
    /// The chain before the segment's first batch.
    pub chain: Chain,
}

impl Chain {
    /// The chain of a ledger that does not have its genesis yet.
    pub const EMPTY: Chain = Chain {
        next_batch: 0,
        next_position: 0,
        next_block: 0,
        last_time_ms: None,
        block_hash: None,
        block_leaf: None,
    };
}

impl SegmentHeader {
    /// The first page of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE_BYTES as usize);
        out.extend_from_slice(&MAGIC);
        let version = if self.packed { FORMAT_VERSION_PACKED } else { FORMAT_VERSION };
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.ledger.0);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.chain.next_batch.to_be_bytes());
        out.extend_from_slice(&self.chain.next_position.to_be_bytes());
        out.extend_from_slice(&self.chain.next_block.to_be_bytes());
        out.extend_from_slice(&self.chain.last_time_ms.unwrap_or(NO_TIME).to_be_bytes());
        out.extend_from_slice(&self.chain.block_hash.unwrap_or(Hash::ZERO).0);
        out.extend_from_slice(&self.chain.block_leaf.unwrap_or(Hash::ZERO).0);
        debug_assert_eq!(out.len(), HASHED_BYTES);
        let hash = Hash::sha256(&[&out]);
        out.extend_from_slice(&hash.0);
        out.resize(PAGE_BYTES as usize, 0);
        out
    }

    /// Reads the first page of a file. The version is looked at before the checksum, so that a newer file is said to
    /// be newer and not damaged.
    pub fn decode(page: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let mut reader = Reader::new(page);
        if reader.bytes(MAGIC.len(), "magic").ok() != Some(&MAGIC[..]) {
            return Err(HeaderError::Damaged("this is not the header of a segment".to_owned()));
        }
        let version = reader.u32("format version")?;
        let hashed = page.get(..HASHED_BYTES).unwrap_or_default();
        let stored = page.get(HASHED_BYTES..HASHED_BYTES + 32).unwrap_or_default();
        let whole = Hash::sha256(&[hashed]).0 == *stored;
        if !matches!(version, FORMAT_VERSION | FORMAT_VERSION_PACKED) {
            return Err(if version > FORMAT_VERSION_PACKED && whole {
                HeaderError::Newer(version)
            } else {
                HeaderError::Damaged(format!("format version {version} is unknown"))
            });
        }
        if !whole {
            return Err(HeaderError::Damaged("the header's checksum does not match".to_owned()));
        }
        if page.len() as u64 != PAGE_BYTES || page.iter().skip(HASHED_BYTES + 32).any(|b| *b != 0) {
            return Err(HeaderError::Damaged("the header's padding is not zero".to_owned()));
        }
        if reader.u32("reserved")? != 0 {
            return Err(HeaderError::Damaged("the header's reserved field is not zero".to_owned()));
        }
        let ledger = reader.id("ledger id")?;
        let number = reader.u64("segment number")?;
        let length = reader.u64("length")?;
        let nonce = reader.array("nonce")?;
        let next_batch = reader.u64("batch number")?;
        let next_position = reader.u64("position")?;
        let next_block = reader.u64("block number")?;
        let time = reader.i64("time")?;
        let block_hash = reader.hash("block hash")?;
        let block_leaf = reader.hash("block leaf")?;
        let chain = Chain {
            next_batch,
            next_position,
            next_block,
            last_time_ms: (time != NO_TIME).then_some(time),
            block_hash: (next_block != 0).then_some(block_hash),
            block_leaf: (next_block != 0).then_some(block_leaf),
        };
        Ok(SegmentHeader { ledger, number, length, packed: version == FORMAT_VERSION_PACKED, nonce, chain })
    }
}

/// Why a page is not a segment's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    Damaged(String),
    /// A newer program's format.
    Newer(u32),
}

impl From<WireError> for HeaderError {
    fn from(error: WireError) -> Self {
        HeaderError::Damaged(error.0)
    }
}

/// `journal/<number, 20 digits>.seg` inside the ledger's directory.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(JOURNAL_DIR).join(segment_name(number))
}

/// The file name of a segment.
pub fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number in a segment's file name, if it is one.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The next multiple of the page length.
pub fn page_align(offset: u64) -> u64 {
    offset.next_multiple_of(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            ledger: Id([7; 16]),
            number: 3,
            length: SEGMENT_BYTES,
            packed: false,
            nonce: [9; 16],
            chain: Chain {
                next_batch: 10,
                next_position: 20,
                next_block: 30,
                last_time_ms: Some(40),
                block_hash: Some(Hash([1; 32])),
                block_leaf: Some(Hash([2; 32])),
            },
        }
    }

    #[test]
    fn a_header_goes_both_ways_and_any_flipped_byte_is_noticed() {
        let page = header().encode();
        assert_eq!(SegmentHeader::decode(&page), Ok(header()));
        let packed = SegmentHeader { packed: true, ..header() };
        assert_eq!(SegmentHeader::decode(&packed.encode()), Ok(packed));
        for at in 0..page.len() {
            let mut damaged = page.clone();
            damaged[at] ^= 0x10;
            assert!(SegmentHeader::decode(&damaged).is_err(), "byte {at}");
        }
        assert!(SegmentHeader::decode(&page[..100]).is_err());
        assert!(SegmentHeader::decode(&[]).is_err());
    }

    #[test]
    fn names_have_twenty_digits() {
        assert_eq!(segment_name(7), "00000000000000000007.seg");
        assert_eq!(segment_number("00000000000000000007.seg"), Some(7));
        for other in
            ["7.seg", "0000000000000000000a.seg", "00000000000000000007.tmp", "next.tmp", "99999999999999999999.seg"]
        {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
