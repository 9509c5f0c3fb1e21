//! Batches: what one sync makes durable (docs/format.md, "Batch").
//!
//! A batch begins at a page boundary with the segment's secret nonce and ends with zeros up to the next boundary, so
//! a page that holds acknowledged bytes is never written again and no client's bytes can pass for a header.

use ledgerstone_digest::Hash;

use crate::mutation::{self, Mutation};
use crate::segment::{PAGE_BYTES, page_align};
use crate::wire::Reader;

/// Bytes before a batch's body.
pub const BATCH_HEADER_BYTES: usize = 72;
/// A batch is handed to the writer when its body has reached this; one transaction may carry it beyond, up to
/// [`BATCH_BYTES_MAX`].
pub const BATCH_BYTES_SOFT: usize = 4 << 20;
/// No body is longer. Readers refuse more before they allocate.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

const HASH_AT: usize = 40;

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub nonce: [u8; 16],
    /// Counted through the whole ledger, from 0.
    pub number: u64,
    /// Bytes of the body.
    pub length: u32,
    /// How many batches behind it were merged into it when its segment was packed; it has their numbers too.
    pub merged: u32,
    /// The position of the first leaf in it, or of the next leaf if it has none.
    pub first_position: u64,
    /// H over the fields above, in order, and the body.
    pub hash: Hash,
}

impl BatchHeader {
    /// Reads a header; `None` if the page does not begin with the nonce or is not of this form.
    pub fn decode(page: &[u8], nonce: &[u8; 16]) -> Option<BatchHeader> {
        let mut reader = Reader::new(page);
        let found = reader.array::<16>("nonce").ok()?;
        if found != *nonce {
            return None;
        }
        let number = reader.u64("number").ok()?;
        let length = reader.u32("length").ok()?;
        let merged = reader.u32("merged batches").ok()?;
        let first_position = reader.u64("position").ok()?;
        let hash = reader.hash("hash").ok()?;
        (length as usize <= BATCH_BYTES_MAX).then_some(BatchHeader {
            nonce: found,
            number,
            length,
            merged,
            first_position,
            hash,
        })
    }

    /// The number of the batch behind it.
    pub fn next_number(&self) -> u64 {
        self.number.saturating_add(1 + u64::from(self.merged))
    }

    /// Bytes from the header's first to the last of the padding.
    pub fn extent(&self) -> u64 {
        page_align(BATCH_HEADER_BYTES as u64 + u64::from(self.length))
    }
}

/// Checks a whole batch, padding included, whose header was read from it.
pub fn check_batch(header: &BatchHeader, bytes: &[u8]) -> Result<(), &'static str> {
    let end = BATCH_HEADER_BYTES + header.length as usize;
    let (Some(fields), Some(body), Some(padding)) =
        (bytes.get(..HASH_AT), bytes.get(BATCH_HEADER_BYTES..end), bytes.get(end..))
    else {
        return Err("the batch is cut short");
    };
    if Hash::sha256(&[fields, body]) != header.hash && !mutation::is_on(Mutation::SkipHash) {
        return Err("the batch's hash does not match its bytes");
    }
    if padding.iter().any(|b| *b != 0) {
        return Err("the padding behind the batch is not zero");
    }
    Ok(())
}

/// Room for a header, to begin a body behind.
pub fn begin_batch(out: &mut Vec<u8>) {
    out.clear();
    out.resize(BATCH_HEADER_BYTES, 0);
}

/// Fills in the header and pads to the page boundary.
pub fn finish_batch(bytes: &mut Vec<u8>, nonce: &[u8; 16], number: u64, first_position: u64) {
    finish_merged(bytes, nonce, number, 0, first_position);
}

/// The same for a batch that has the bodies of `merged` batches behind its own.
pub fn finish_merged(bytes: &mut Vec<u8>, nonce: &[u8; 16], number: u64, merged: u32, first_position: u64) {
    debug_assert!(bytes.len() >= BATCH_HEADER_BYTES && bytes.len() - BATCH_HEADER_BYTES <= BATCH_BYTES_MAX);
    let length = (bytes.len() - BATCH_HEADER_BYTES) as u32;
    bytes[..16].copy_from_slice(nonce);
    bytes[16..24].copy_from_slice(&number.to_be_bytes());
    bytes[24..28].copy_from_slice(&length.to_be_bytes());
    bytes[28..32].copy_from_slice(&merged.to_be_bytes());
    bytes[32..40].copy_from_slice(&first_position.to_be_bytes());
    let hash = Hash::sha256(&[&bytes[..HASH_AT], &bytes[BATCH_HEADER_BYTES..]]);
    bytes[HASH_AT..BATCH_HEADER_BYTES].copy_from_slice(&hash.0);
    bytes.resize(page_align(bytes.len() as u64) as usize, 0);
}

/// True if some page boundary from `from` on begins with the nonce: a batch was written there.
pub fn find_nonce(bytes: &[u8], nonce: &[u8; 16]) -> Option<usize> {
    (0..bytes.len()).step_by(PAGE_BYTES as usize).find(|at| bytes.get(*at..*at + 16) == Some(&nonce[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_both_ways_and_any_flipped_byte_is_noticed() {
        let nonce = [5; 16];
        let mut bytes = Vec::new();
        begin_batch(&mut bytes);
        bytes.extend_from_slice(b"frames");
        finish_batch(&mut bytes, &nonce, 8, 77);
        assert_eq!(bytes.len() as u64, PAGE_BYTES);
        let header = BatchHeader::decode(&bytes, &nonce).unwrap();
        assert_eq!((header.number, header.length, header.first_position, header.extent()), (8, 6, 77, PAGE_BYTES));
        assert_eq!(check_batch(&header, &bytes), Ok(()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let noticed = BatchHeader::decode(&damaged, &nonce).is_none_or(|h| check_batch(&h, &damaged).is_err());
            assert!(noticed, "byte {at}");
        }
        assert_eq!(BatchHeader::decode(&vec![0; 4096], &nonce), None);
        begin_batch(&mut bytes);
        finish_merged(&mut bytes, &nonce, 8, 3, 77);
        let header = BatchHeader::decode(&bytes, &nonce).unwrap();
        assert_eq!((header.number, header.merged, header.next_number()), (8, 3, 12));
    }
}
