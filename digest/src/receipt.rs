//! Receipts: everything that shows, offline, that revisions stand in a ledger (docs/format.md, "Receipts").
//!
//! A receipt is believed by nobody until [`crate::verifier`] has checked it against what its reader trusts. Reading
//! one checks its form: fixed order, numbers in the fewest bytes, nothing left over, limits before allocation.

use std::sync::Arc;

use crate::hash::Hash;
use crate::ion::{self, BinaryError, Limits, Value};
use crate::leaf::{BLOCK_LENGTH, Blind, BlockLeaf, BlockOpening, LeafError, NO_INDEX, REVISION_LENGTH, RevisionLeaf};
use crate::note::NOTE_BYTES_MAX;

/// The first eight bytes: "LSRECP", 0, format 1.
pub const MAGIC: [u8; 8] = *b"LSRECP\0\x01";
/// Bytes of a whole receipt.
pub const RECEIPT_BYTES_MAX: usize = 256 << 20;
/// What transactionInfo and its like can be: they list every document of a transaction.
const BLOCK_INFO_LIMITS: Limits = Limits { bytes_max: RECEIPT_BYTES_MAX, ..Limits::STORED };
/// What metadata can be.
const METADATA_LIMITS: Limits = Limits { bytes_max: 64 << 10, depth_max: 8, values_max: 64 };

/// Proof of one revision, or of a whole transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// One revision, or all revisions of the block in order.
    pub revisions: Vec<ReceiptRevision>,
    /// The block leaf of the transaction.
    pub block_leaf: BlockLeaf,
    /// Where it stands.
    pub block_position: u64,
    /// What the block leaf commits to, if it was asked for.
    pub block_opening: Option<OpenedBlock>,
    /// One inclusion proof for the revision leaves and the block leaf.
    pub proof: Vec<Hash>,
    /// Records of the redactions of revisions above.
    pub redactions: Vec<RedactionPart>,
    /// The signed checkpoint, with cosignatures.
    pub checkpoint: String,
}

/// A revision leaf and what opens its commitment.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptRevision {
    /// Where the leaf stands.
    pub position: u64,
    /// The leaf.
    pub leaf: RevisionLeaf,
    /// Without it, only the leaf is shown: in a transaction's receipt, what the reader may not see.
    pub opening: Option<RevisionOpening>,
}

/// What a revision leaf commits to.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionOpening {
    /// The leaf's blind.
    pub blind: Blind,
    /// Metadata, and data as far as it is shown.
    pub content: Content,
}

/// What is shown of a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Everything.
    Data {
        /// `{id, version, txTime, txId}`.
        metadata: Value,
        /// The document.
        data: Arc<Value>,
    },
    /// IH(data) in place of data: it was redacted, if a record says so, or is withheld.
    DataHash {
        /// `{id, version, txTime, txId}`.
        metadata: Value,
        /// IH(data).
        data_hash: Hash,
    },
    /// A deletion.
    Deleted {
        /// `{id, version, txTime, txId}`.
        metadata: Value,
    },
    /// An imported revision of which only QLDB's hash is known.
    Opaque {
        /// QLDB's revision hash.
        revision_hash: Hash,
    },
}

/// What a block leaf commits to.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedBlock {
    /// The leaf's blind.
    pub blind: Blind,
    /// The hashes.
    pub opening: BlockOpening,
    /// transactionInfo, if shown; redacted texts as `statementHash`.
    pub transaction_info: Option<Value>,
    /// originInfo, if shown.
    pub origin_info: Option<Value>,
    /// redactionInfo, if shown.
    pub redaction_info: Option<Value>,
}

/// A revision of the system table `redactions`, proved under the same checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct RedactionPart {
    /// The record.
    pub revision: ReceiptRevision,
    /// The block leaf of its transaction.
    pub block_leaf: BlockLeaf,
    /// Where that leaf stands.
    pub block_position: u64,
    /// One inclusion proof for both leaves.
    pub proof: Vec<Hash>,
}

/// Why bytes are not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed receipt at byte {offset}: {problem}")]
pub struct ReceiptError {
    /// Where.
    pub offset: usize,
    /// What is wrong.
    pub problem: ReceiptProblem,
}

/// What is wrong with the bytes of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptProblem {
    /// Not the magic of a receipt, or of another format.
    #[error("it does not begin as a receipt of format 1 does")]
    Magic,
    /// The bytes end too early, or a length says more than there is.
    #[error("it is cut off, or a length says more than there is")]
    Short,
    /// Bytes after the end.
    #[error("bytes stand after its end")]
    Trailing,
    /// Larger than any receipt.
    #[error("it is larger than {RECEIPT_BYTES_MAX} bytes")]
    TooLong,
    /// A number in more bytes than it needs, or above 2^64.
    #[error("a number is not written in the fewest bytes")]
    Number,
    /// A byte that says what follows says something unknown.
    #[error("a tag has the unknown value {0}")]
    Tag(u8),
    /// A leaf that is none.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// An Ion value that is none.
    #[error(transparent)]
    Ion(#[from] BinaryError),
    /// The checkpoint is not UTF-8.
    #[error("the checkpoint is not text")]
    Text,
}

impl Receipt {
    /// The receipt's bytes; an error if nobody would read that many.
    pub fn encode_within_limit(&self) -> Result<Vec<u8>, ReceiptProblem> {
        Some(self.encode()).filter(|bytes| bytes.len() <= RECEIPT_BYTES_MAX).ok_or(ReceiptProblem::TooLong)
    }

    /// The receipt's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(&MAGIC);
        put_number(&mut out, self.revisions.len() as u64);
        self.revisions.iter().for_each(|revision| revision.encode(&mut out));
        put_block_leaf(&mut out, self.block_position, &self.block_leaf);
        match &self.block_opening {
            None => out.push(0),
            Some(opened) => {
                out.push(1);
                opened.encode(&mut out);
            }
        }
        put_hashes(&mut out, &self.proof);
        put_number(&mut out, self.redactions.len() as u64);
        for part in &self.redactions {
            part.revision.encode(&mut out);
            put_block_leaf(&mut out, part.block_position, &part.block_leaf);
            put_hashes(&mut out, &part.proof);
        }
        put_bytes(&mut out, self.checkpoint.as_bytes());
        out
    }

    /// Reads a receipt; checks its form only.
    pub fn decode(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
        let mut reader = Reader { bytes, at: 0 };
        let receipt = reader.receipt().map_err(|problem| ReceiptError { offset: reader.at, problem })?;
        if reader.at != bytes.len() {
            return Err(ReceiptError { offset: reader.at, problem: ReceiptProblem::Trailing });
        }
        Ok(receipt)
    }
}

impl ReceiptRevision {
    fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.position);
        out.extend_from_slice(&self.leaf.encode());
        let Some(opening) = &self.opening else {
            out.push(0);
            return;
        };
        let tag = match &opening.content {
            Content::Data { .. } => 1,
            Content::DataHash { .. } => 2,
            Content::Deleted { .. } => 3,
            Content::Opaque { .. } => 4,
        };
        out.push(tag);
        out.extend_from_slice(&opening.blind);
        match &opening.content {
            Content::Data { metadata, data } => {
                put_bytes(out, &ion::encode(metadata));
                put_bytes(out, &ion::encode(data));
            }
            Content::DataHash { metadata, data_hash } => {
                put_bytes(out, &ion::encode(metadata));
                out.extend_from_slice(&data_hash.0);
            }
            Content::Deleted { metadata } => put_bytes(out, &ion::encode(metadata)),
            Content::Opaque { revision_hash } => out.extend_from_slice(&revision_hash.0),
        }
    }
}

impl OpenedBlock {
    fn encode(&self, out: &mut Vec<u8>) {
        let opening = &self.opening;
        out.extend_from_slice(&self.blind);
        put_optional_hash(out, opening.previous_leaf);
        out.extend_from_slice(&opening.block_hash.0);
        out.extend_from_slice(&opening.entries_hash.0);
        put_optional_hash(out, opening.previous_block_hash);
        put_hashes(out, &opening.entries);
        let indexes = [
            opening.revisions_index,
            opening.transaction_info_index,
            opening.origin_info_index,
            opening.redaction_info_index,
        ];
        indexes.iter().for_each(|index| out.extend_from_slice(&index.unwrap_or(NO_INDEX).to_be_bytes()));
        for value in [&self.transaction_info, &self.origin_info, &self.redaction_info] {
            match value {
                None => out.push(0),
                Some(value) => {
                    out.push(1);
                    put_bytes(out, &ion::encode(value));
                }
            }
        }
    }
}

/// LEB128: seven bits in each byte, lowest first, the top bit set in all but the last.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_hashes(out: &mut Vec<u8>, hashes: &[Hash]) {
    put_number(out, hashes.len() as u64);
    hashes.iter().for_each(|hash| out.extend_from_slice(&hash.0));
}

fn put_optional_hash(out: &mut Vec<u8>, hash: Option<Hash>) {
    match hash {
        None => out.push(0),
        Some(hash) => {
            out.push(1);
            out.extend_from_slice(&hash.0);
        }
    }
}

fn put_block_leaf(out: &mut Vec<u8>, position: u64, leaf: &BlockLeaf) {
    put_number(out, position);
    out.extend_from_slice(&leaf.encode());
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, ReceiptProblem>;

impl<'a> Reader<'a> {
    fn receipt(&mut self) -> Read<Receipt> {
        if self.bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptProblem::TooLong);
        }
        if self.array::<8>().ok() != Some(MAGIC) {
            self.at = 0;
            return Err(ReceiptProblem::Magic);
        }
        let revisions = self.list(REVISION_LENGTH + 2, Self::revision)?;
        let (block_position, block_leaf) = self.block_leaf()?;
        let block_opening = if self.flag()? { Some(self.opened_block()?) } else { None };
        let proof = self.hashes()?;
        let redactions = self.list(REVISION_LENGTH + BLOCK_LENGTH + 4, Self::redaction)?;
        let checkpoint = self.sized(NOTE_BYTES_MAX)?;
        let checkpoint = std::str::from_utf8(checkpoint).map_err(|_| ReceiptProblem::Text)?.to_owned();
        Ok(Receipt { revisions, block_leaf, block_position, block_opening, proof, redactions, checkpoint })
    }

    fn revision(&mut self) -> Read<ReceiptRevision> {
        let position = self.number()?;
        let leaf = RevisionLeaf::decode(self.slice(REVISION_LENGTH)?)?;
        let tag = self.array::<1>()?[0];
        if tag == 0 {
            return Ok(ReceiptRevision { position, leaf, opening: None });
        }
        let blind = self.array()?;
        let content = match tag {
            1 => {
                let metadata = self.value(&METADATA_LIMITS)?;
                Content::Data { metadata, data: Arc::new(self.value(&Limits::STORED)?) }
            }
            2 => Content::DataHash { metadata: self.value(&METADATA_LIMITS)?, data_hash: Hash(self.array()?) },
            3 => Content::Deleted { metadata: self.value(&METADATA_LIMITS)? },
            4 => Content::Opaque { revision_hash: Hash(self.array()?) },
            tag => return Err(ReceiptProblem::Tag(tag)),
        };
        Ok(ReceiptRevision { position, leaf, opening: Some(RevisionOpening { blind, content }) })
    }

    fn redaction(&mut self) -> Read<RedactionPart> {
        let revision = self.revision()?;
        let (block_position, block_leaf) = self.block_leaf()?;
        Ok(RedactionPart { revision, block_leaf, block_position, proof: self.hashes()? })
    }

    fn opened_block(&mut self) -> Read<OpenedBlock> {
        let blind = self.array()?;
        let previous_leaf = self.optional_hash()?;
        let (block_hash, entries_hash) = (Hash(self.array()?), Hash(self.array()?));
        let previous_block_hash = self.optional_hash()?;
        let entries = self.hashes()?;
        let mut indexes = [None; 4];
        for index in &mut indexes {
            let number = u32::from_be_bytes(self.array()?);
            *index = (number != NO_INDEX).then_some(number);
        }
        let [revisions_index, transaction_info_index, origin_info_index, redaction_info_index] = indexes;
        let mut values = [None, None, None];
        for value in &mut values {
            *value = if self.flag()? { Some(self.value(&BLOCK_INFO_LIMITS)?) } else { None };
        }
        let [transaction_info, origin_info, redaction_info] = values;
        let opening = BlockOpening {
            previous_leaf,
            block_hash,
            entries_hash,
            previous_block_hash,
            entries,
            revisions_index,
            transaction_info_index,
            origin_info_index,
            redaction_info_index,
        };
        Ok(OpenedBlock { blind, opening, transaction_info, origin_info, redaction_info })
    }

    fn block_leaf(&mut self) -> Read<(u64, BlockLeaf)> {
        let position = self.number()?;
        Ok((position, BlockLeaf::decode(self.slice(BLOCK_LENGTH)?)?))
    }

    /// A count and that many items of at least `size_min` bytes each, so that a count never allocates more than the
    /// receipt's own size allows.
    fn list<T>(&mut self, size_min: usize, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = usize::try_from(self.number()?).map_err(|_| ReceiptProblem::Short)?;
        if count > (self.bytes.len() - self.at) / size_min {
            return Err(ReceiptProblem::Short);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn hashes(&mut self) -> Read<Vec<Hash>> {
        self.list(32, |reader| Ok(Hash(reader.array()?)))
    }

    fn optional_hash(&mut self) -> Read<Option<Hash>> {
        Ok(if self.flag()? { Some(Hash(self.array()?)) } else { None })
    }

    fn value(&mut self, limits: &Limits) -> Read<Value> {
        let bytes = self.sized(limits.bytes_max)?;
        Ok(ion::decode(bytes, limits)?)
    }

    fn sized(&mut self, length_max: usize) -> Read<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| ReceiptProblem::Short)?;
        if length > length_max { Err(ReceiptProblem::TooLong) } else { self.slice(length) }
    }

    fn flag(&mut self) -> Read<bool> {
        match self.array::<1>()?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(ReceiptProblem::Tag(other)),
        }
    }

    fn number(&mut self) -> Read<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.array::<1>()?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ReceiptProblem::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let minimal = byte != 0 || shift == 0;
                return if minimal { Ok(number) } else { Err(ReceiptProblem::Number) };
            }
        }
        Err(ReceiptProblem::Number)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        <[u8; N]>::try_from(self.slice(N)?).map_err(|_| ReceiptProblem::Short)
    }

    fn slice(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or(ReceiptProblem::Short)?;
        let slice = self.bytes.get(self.at..end).ok_or(ReceiptProblem::Short)?;
        self.at = end;
        Ok(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Read<u64> {
        Reader { bytes, at: 0 }.number()
    }

    #[test]
    fn numbers_go_both_ways_in_the_fewest_bytes() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(read(&bytes).unwrap(), number);
            if let Some(last) = bytes.last_mut() {
                *last |= 0x80;
            }
            bytes.push(0);
            assert!(read(&bytes).is_err(), "{number}");
        }
        let above = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read(&above), Err(ReceiptProblem::Number));
        assert_eq!(read(&[0xff; 10]), Err(ReceiptProblem::Number));
        assert_eq!(read(&[0x80]), Err(ReceiptProblem::Short));
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() {
        let mut bytes = MAGIC.to_vec();
        put_number(&mut bytes, u64::MAX);
        bytes.extend_from_slice(&[0; 200]);
        assert_eq!(Receipt::decode(&bytes).unwrap_err().problem, ReceiptProblem::Short);
        let mut bytes = MAGIC.to_vec();
        put_number(&mut bytes, 3);
        bytes.extend_from_slice(&[0; 200]);
        assert_eq!(Receipt::decode(&bytes).unwrap_err().problem, ReceiptProblem::Short);
    }

    #[test]
    fn anything_else_is_not_a_receipt() {
        for bytes in [&b""[..], b"LSRECP", b"LSRECP\0\x02", b"{}", &[0; 500], &[0xff; 500]] {
            assert!(Receipt::decode(bytes).is_err());
        }
    }
}
