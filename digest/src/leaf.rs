//! The entries of the ledger's tree, byte by byte (docs/format.md, "Leaves").
//!
//! Fixed layouts, big-endian integers, no user data: what a leaf stands for is bound by its commitment, which is
//! blinded so that a public leaf cannot confirm a guess.

use crate::hash::Hash;
use crate::id::Id;
use crate::qldb::{Entries, ImportedRevision, block_hash, revision_hash};

/// 16 random bytes that make a commitment unguessable. One for each revision leaf and each block leaf.
pub type Blind = [u8; 16];

/// "No position": what `supersedes` holds in a first revision.
pub const NO_POSITION: u64 = u64::MAX;
/// "No index" in a block's opening.
pub const NO_INDEX: u32 = u32::MAX;
/// Positions are below this.
pub const POSITION_LIMIT: u64 = 1 << 63;

/// Bytes of a genesis leaf.
pub const GENESIS_LENGTH: usize = 1 + 1 + 16 + 16 + 8 + 32;
/// Bytes of a revision leaf.
pub const REVISION_LENGTH: usize = 1 + 1 + 16 + 16 + 8 + 8 + 8 + 32;
/// Bytes of a block leaf.
pub const BLOCK_LENGTH: usize = 1 + 1 + 16 + 8 + 16 + 8 + 8 + 4 + 32;
/// Bytes of a seal leaf. Its kind is reserved: nothing writes one yet, and readers pass over it.
pub const SEAL_LENGTH: usize = 1 + 1 + 8 + 8 + 32 + 32;
/// Bytes of a leaf of a kind that is not known here: what a tile bundle can hold.
pub const OTHER_LENGTH_MAX: usize = u16::MAX as usize;

const _: () = assert!(GENESIS_LENGTH == 74 && REVISION_LENGTH == 90 && BLOCK_LENGTH == 94 && SEAL_LENGTH == 82);

const KIND_GENESIS: u8 = 0;
const KIND_REVISION: u8 = 1;
const KIND_BLOCK: u8 = 2;
/// Kinds from here on are passed over by readers that do not know them.
pub const KIND_OTHER: u8 = 3;
const FORMAT: u8 = 1;

const FLAG_DELETED: u8 = 1;
const FLAG_OPAQUE: u8 = 2;
const FLAG_IMPORTED: u8 = 4;

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// Position 0.
    Genesis(GenesisLeaf),
    /// One revision of one document.
    Revision(RevisionLeaf),
    /// The end of a block.
    Block(BlockLeaf),
    /// A kind that this version does not know.
    Other {
        /// 3 or more.
        kind: u8,
        /// The whole entry, the kind included.
        bytes: Vec<u8>,
    },
}

/// Who the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenesisLeaf {
    /// Random, never reused; the end of the origin.
    pub ledger_id: Id,
    /// The one strand of the ledger.
    pub strand: Id,
    /// When it was made, as the server says.
    pub created_ms: i64,
    /// SHA-256 of the genesis record's bytes.
    pub record_hash: Hash,
}

/// A revision: which document, which version, what it supersedes, and a commitment to metadata and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionLeaf {
    /// The last revision of its document, without data.
    pub deleted: bool,
    /// Imported, and only its QLDB hash is known.
    pub opaque: bool,
    /// From a QLDB ledger.
    pub imported: bool,
    /// The table.
    pub table_id: Id,
    /// The document.
    pub document_id: Id,
    /// From 0 on.
    pub version: u64,
    /// The number of the block it is in.
    pub block: u64,
    /// The position of the revision before it.
    pub supersedes: Option<u64>,
    /// See [`revision_commitment`], [`deleted_commitment`], [`opaque_commitment`].
    pub commitment: Hash,
}

/// The end of a block: its revisions are the `revisions` leaves before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLeaf {
    /// From a QLDB ledger.
    pub imported: bool,
    /// The strand.
    pub strand: Id,
    /// From 0 on, without gaps.
    pub block: u64,
    /// The transaction.
    pub transaction_id: Id,
    /// When, as the server says: milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// Position of the first revision leaf; the block leaf's own position if there is none.
    pub first: u64,
    /// How many revision leaves.
    pub revisions: u32,
    /// See [`BlockOpening::commitment`].
    pub commitment: Hash,
}

/// Why bytes are not a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// No bytes at all.
    #[error("the leaf is empty")]
    Empty,
    /// Too short, or bytes after the end.
    #[error("a leaf of kind {kind} has {expected} bytes, this one has {found}")]
    Length {
        /// The kind.
        kind: u8,
        /// What the kind has.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// Flag bits that mean nothing for this kind.
    #[error("a leaf of kind {kind} has flags {flags:#010b}, of which some are unknown")]
    Flags {
        /// The kind.
        kind: u8,
        /// All flags.
        flags: u8,
    },
    /// A format of the tree that this version cannot read.
    #[error("the genesis leaf says format {0}; this version reads format 1")]
    Format(u8),
    /// Fields that contradict each other.
    #[error("the leaf contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Leaf {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Leaf::Genesis(leaf) => leaf.encode().to_vec(),
            Leaf::Revision(leaf) => leaf.encode().to_vec(),
            Leaf::Block(leaf) => leaf.encode().to_vec(),
            Leaf::Other { bytes, .. } => bytes.clone(),
        }
    }

    /// Reads an entry. What is accepted is exactly what [`Leaf::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Leaf, LeafError> {
        match bytes.first() {
            None => Err(LeafError::Empty),
            Some(&KIND_GENESIS) => GenesisLeaf::decode(bytes).map(Leaf::Genesis),
            Some(&KIND_REVISION) => RevisionLeaf::decode(bytes).map(Leaf::Revision),
            Some(&KIND_BLOCK) => BlockLeaf::decode(bytes).map(Leaf::Block),
            Some(&kind) if bytes.len() > OTHER_LENGTH_MAX => {
                Err(LeafError::Length { kind, expected: OTHER_LENGTH_MAX, found: bytes.len() })
            }
            Some(&kind) => Ok(Leaf::Other { kind, bytes: bytes.to_vec() }),
        }
    }

    /// The kind: 0 genesis, 1 revision, 2 block.
    pub fn kind(&self) -> u8 {
        match self {
            Leaf::Genesis(_) => KIND_GENESIS,
            Leaf::Revision(_) => KIND_REVISION,
            Leaf::Block(_) => KIND_BLOCK,
            Leaf::Other { kind, .. } => *kind,
        }
    }

    /// True if a tree may be signed at the size that ends with this leaf (the genesis at size 1 as well).
    pub fn ends_boundary(&self) -> bool {
        self.kind() >= KIND_BLOCK
    }
}

impl GenesisLeaf {
    /// The entry's bytes.
    pub fn encode(&self) -> [u8; GENESIS_LENGTH] {
        let mut writer = Writer::new();
        writer.put(&[KIND_GENESIS, FORMAT]);
        writer.put(&self.ledger_id.0);
        writer.put(&self.strand.0);
        writer.put(&self.created_ms.to_be_bytes());
        writer.put(&self.record_hash.0);
        writer.finish()
    }

    /// Reads an entry of kind 0.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let mut reader = Reader::new::<GENESIS_LENGTH>(bytes, KIND_GENESIS)?;
        match reader.u8() {
            FORMAT => {}
            other => return Err(LeafError::Format(other)),
        }
        Ok(GenesisLeaf {
            ledger_id: Id(reader.take()),
            strand: Id(reader.take()),
            created_ms: i64::from_be_bytes(reader.take()),
            record_hash: Hash(reader.take()),
        })
    }
}

impl RevisionLeaf {
    /// The leaf of an imported revision of which only QLDB's hash is known.
    pub fn opaque(block: u64, blind: &Blind, revision_hash: &Hash) -> RevisionLeaf {
        RevisionLeaf {
            deleted: false,
            opaque: true,
            imported: true,
            table_id: Id::ZERO,
            document_id: Id::ZERO,
            version: 0,
            block,
            supersedes: None,
            commitment: opaque_commitment(blind, revision_hash),
        }
    }

    /// The entry's bytes.
    pub fn encode(&self) -> [u8; REVISION_LENGTH] {
        let flags = if self.deleted { FLAG_DELETED } else { 0 }
            | if self.opaque { FLAG_OPAQUE } else { 0 }
            | if self.imported { FLAG_IMPORTED } else { 0 };
        let mut writer = Writer::new();
        writer.put(&[KIND_REVISION, flags]);
        writer.put(&self.table_id.0);
        writer.put(&self.document_id.0);
        writer.put(&self.version.to_be_bytes());
        writer.put(&self.block.to_be_bytes());
        writer.put(&self.supersedes.unwrap_or(NO_POSITION).to_be_bytes());
        writer.put(&self.commitment.0);
        writer.finish()
    }

    /// Reads an entry of kind 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let mut reader = Reader::new::<REVISION_LENGTH>(bytes, KIND_REVISION)?;
        let flags = reader.u8();
        if flags & !(FLAG_DELETED | FLAG_OPAQUE | FLAG_IMPORTED) != 0 {
            return Err(LeafError::Flags { kind: KIND_REVISION, flags });
        }
        let leaf = RevisionLeaf {
            deleted: flags & FLAG_DELETED != 0,
            opaque: flags & FLAG_OPAQUE != 0,
            imported: flags & FLAG_IMPORTED != 0,
            table_id: Id(reader.take()),
            document_id: Id(reader.take()),
            version: u64::from_be_bytes(reader.take()),
            block: u64::from_be_bytes(reader.take()),
            supersedes: match u64::from_be_bytes(reader.take()) {
                NO_POSITION => None,
                position => Some(position),
            },
            commitment: Hash(reader.take()),
        };
        leaf.check()?;
        Ok(leaf)
    }

    fn check(&self) -> Result<(), LeafError> {
        if self.opaque {
            if !self.imported {
                return Err(LeafError::Contradiction("only an imported revision can be opaque"));
            }
            if self.deleted {
                return Err(LeafError::Contradiction("nobody can know that an opaque revision is a deletion"));
            }
            if self.table_id != Id::ZERO
                || self.document_id != Id::ZERO
                || self.version != 0
                || self.supersedes.is_some()
            {
                return Err(LeafError::Contradiction(
                    "an opaque revision names no table, document, version or predecessor",
                ));
            }
        } else if self.table_id == Id::ZERO {
            return Err(LeafError::Contradiction("table id zero is no table"));
        }
        Ok(())
    }
}

impl BlockLeaf {
    /// The entry's bytes.
    pub fn encode(&self) -> [u8; BLOCK_LENGTH] {
        let mut writer = Writer::new();
        writer.put(&[KIND_BLOCK, if self.imported { FLAG_IMPORTED } else { 0 }]);
        writer.put(&self.strand.0);
        writer.put(&self.block.to_be_bytes());
        writer.put(&self.transaction_id.0);
        writer.put(&self.time_ms.to_be_bytes());
        writer.put(&self.first.to_be_bytes());
        writer.put(&self.revisions.to_be_bytes());
        writer.put(&self.commitment.0);
        writer.finish()
    }

    /// Reads an entry of kind 2.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let mut reader = Reader::new::<BLOCK_LENGTH>(bytes, KIND_BLOCK)?;
        let flags = reader.u8();
        if flags & !FLAG_IMPORTED != 0 {
            return Err(LeafError::Flags { kind: KIND_BLOCK, flags });
        }
        Ok(BlockLeaf {
            imported: flags & FLAG_IMPORTED != 0,
            strand: Id(reader.take()),
            block: u64::from_be_bytes(reader.take()),
            transaction_id: Id(reader.take()),
            time_ms: i64::from_be_bytes(reader.take()),
            first: u64::from_be_bytes(reader.take()),
            revisions: u32::from_be_bytes(reader.take()),
            commitment: Hash(reader.take()),
        })
    }
}

/// Which revision a leaf stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionPlace {
    /// The table.
    pub table_id: Id,
    /// The document.
    pub document_id: Id,
    /// From 0 on.
    pub version: u64,
    /// The number of the block it is in.
    pub block: u64,
    /// The position of the revision before it.
    pub supersedes: Option<u64>,
}

/// What the leaf of a revision that was made here commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionContent {
    /// The leaf's blind.
    pub blind: Blind,
    /// IH(metadata).
    pub metadata_hash: Hash,
    /// IH(data); `None` if the document was deleted.
    pub data_hash: Option<Hash>,
}

impl RevisionContent {
    /// The commitment.
    pub fn commitment(&self) -> Hash {
        match &self.data_hash {
            Some(data_hash) => revision_commitment(&self.blind, &self.metadata_hash, data_hash),
            None => deleted_commitment(&self.blind, &self.metadata_hash),
        }
    }
}

impl RevisionPlace {
    /// The leaf and QLDB's hash of a revision, made here or imported. Of an opaque one the place says no more than the block.
    pub fn leaf_and_hash(self, content: &RevisionContent, imported: Option<&ImportedRevision>) -> (RevisionLeaf, Hash) {
        let (metadata, data) = (content.metadata_hash, content.data_hash);
        match imported {
            None => (self.leaf(content), revision_hash(metadata, data)),
            Some(ImportedRevision { opaque: Some(hash), .. }) => {
                (RevisionLeaf::opaque(self.block, &content.blind, hash), *hash)
            }
            Some(imported) => (RevisionLeaf { imported: true, ..self.leaf(content) }, imported.hash(metadata, data)),
        }
    }

    /// The leaf of a revision that was made here.
    pub fn leaf(self, content: &RevisionContent) -> RevisionLeaf {
        RevisionLeaf {
            deleted: content.data_hash.is_none(),
            opaque: false,
            imported: false,
            table_id: self.table_id,
            document_id: self.document_id,
            version: self.version,
            block: self.block,
            supersedes: self.supersedes,
            commitment: content.commitment(),
        }
    }
}

/// The commitment of a revision with data: to its blind, IH(metadata) and IH(data), which stays when data is redacted.
pub fn revision_commitment(blind: &Blind, metadata_hash: &Hash, data_hash: &Hash) -> Hash {
    Hash::sha256(&[&[0x10], blind, &metadata_hash.0, &data_hash.0])
}

/// The commitment of a deletion, which has no data.
pub fn deleted_commitment(blind: &Blind, metadata_hash: &Hash) -> Hash {
    Hash::sha256(&[&[0x11], blind, &metadata_hash.0])
}

/// The commitment of an imported revision of which only the QLDB hash is known.
pub fn opaque_commitment(blind: &Blind, revision_hash: &Hash) -> Hash {
    Hash::sha256(&[&[0x12], blind, &revision_hash.0])
}

/// Everything that a block leaf's commitment binds, beside the blind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockOpening {
    /// SHA-256 of the entry of the block leaf before (not its leaf hash); none in the first block.
    pub previous_leaf: Option<Hash>,
    /// QLDB's block hash.
    pub block_hash: Hash,
    /// QLDB's entries hash.
    pub entries_hash: Hash,
    /// QLDB's hash of the block before; none in block 0.
    pub previous_block_hash: Option<Hash>,
    /// QLDB's list of entries hashes, in order.
    pub entries: Vec<Hash>,
    /// Where in `entries` the root of the revision hashes is.
    pub revisions_index: Option<u32>,
    /// Where in `entries` IH(transactionInfo) is.
    pub transaction_info_index: Option<u32>,
    /// Where in `entries` IH(originInfo) is.
    pub origin_info_index: Option<u32>,
    /// Where in `entries` IH(redactionInfo) is.
    pub redaction_info_index: Option<u32>,
}

impl BlockOpening {
    /// The opening of a block with these entries behind the block with that leaf and that hash.
    pub fn new(previous_leaf: Option<Hash>, previous_block_hash: Option<Hash>, entries: Entries) -> BlockOpening {
        let entries_hash = entries.hash();
        BlockOpening {
            previous_leaf,
            block_hash: block_hash(entries_hash, previous_block_hash),
            entries_hash,
            previous_block_hash,
            entries: entries.list,
            revisions_index: entries.revisions,
            transaction_info_index: entries.transaction_info,
            origin_info_index: entries.origin_info,
            redaction_info_index: entries.redaction_info,
        }
    }

    /// The commitment that the block leaf holds.
    pub fn commitment(&self, blind: &Blind) -> Hash {
        let mut bytes = Vec::with_capacity(1 + 16 + 4 * 32 + 4 + 32 * self.entries.len() + 16);
        bytes.push(0x20);
        bytes.extend_from_slice(blind);
        bytes.extend_from_slice(&self.previous_leaf.unwrap_or(Hash::ZERO).0);
        bytes.extend_from_slice(&self.block_hash.0);
        bytes.extend_from_slice(&self.entries_hash.0);
        bytes.extend_from_slice(&self.previous_block_hash.unwrap_or(Hash::ZERO).0);
        // A list of 2^32 hashes would be 128 GiB: it cannot be in memory.
        bytes.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.0);
        }
        let indexes =
            [self.revisions_index, self.transaction_info_index, self.origin_info_index, self.redaction_info_index];
        for index in indexes {
            bytes.extend_from_slice(&index.unwrap_or(NO_INDEX).to_be_bytes());
        }
        Hash::sha256(&[&bytes])
    }
}

/// Fills a fixed number of bytes; the layouts above never write more or fewer (asserted by every test that encodes).
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Writer { bytes: [0; N], at: 0 }
    }

    fn put(&mut self, part: &[u8]) {
        self.bytes[self.at..self.at + part.len()].copy_from_slice(part);
        self.at += part.len();
    }

    fn finish(self) -> [u8; N] {
        debug_assert_eq!(self.at, N);
        self.bytes
    }
}

/// Takes fields from bytes whose whole length was checked first.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new<const N: usize>(bytes: &'a [u8], kind: u8) -> Result<Self, LeafError> {
        if bytes.len() != N {
            return Err(LeafError::Length { kind, expected: N, found: bytes.len() });
        }
        match bytes.split_first() {
            Some((first, rest)) if *first == kind => Ok(Reader(rest)),
            _ => Err(LeafError::Contradiction("the leaf is of another kind than expected")),
        }
    }

    fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            // The fields add up to the length that was checked.
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves() -> [Leaf; 4] {
        let hash = Hash::sha256(&[b"leaf"]);
        [
            Leaf::Genesis(GenesisLeaf {
                ledger_id: Id([1; 16]),
                strand: Id([2; 16]),
                created_ms: -5,
                record_hash: hash,
            }),
            Leaf::Revision(RevisionLeaf {
                deleted: true,
                opaque: false,
                imported: true,
                table_id: Id([3; 16]),
                document_id: Id([4; 16]),
                version: 7,
                block: 8,
                supersedes: Some(9),
                commitment: hash,
            }),
            Leaf::Block(BlockLeaf {
                imported: false,
                strand: Id([2; 16]),
                block: 8,
                transaction_id: Id([5; 16]),
                time_ms: 1,
                first: 10,
                revisions: 11,
                commitment: hash,
            }),
            Leaf::Other { kind: 3, bytes: vec![3, 0, 1] },
        ]
    }

    #[test]
    fn every_leaf_is_read_back() {
        for leaf in leaves() {
            assert_eq!(Leaf::decode(&leaf.encode()).unwrap(), leaf);
        }
    }

    #[test]
    fn whatever_is_accepted_encodes_to_the_same_bytes() {
        for leaf in leaves() {
            let bytes = leaf.encode();
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut changed = bytes.clone();
                    changed[at] ^= 1 << bit;
                    if let Ok(other) = Leaf::decode(&changed) {
                        assert_eq!(other.encode(), changed);
                        assert_ne!(other, leaf);
                    }
                }
            }
        }
    }

    #[test]
    fn other_lengths_and_trailing_bytes_are_refused() {
        assert_eq!(Leaf::decode(&[]), Err(LeafError::Empty));
        for leaf in &leaves()[..3] {
            let mut bytes = leaf.encode();
            assert!(matches!(Leaf::decode(&bytes[..bytes.len() - 1]), Err(LeafError::Length { .. })));
            bytes.push(0);
            assert!(matches!(Leaf::decode(&bytes), Err(LeafError::Length { .. })));
        }
    }

    #[test]
    fn unknown_flags_and_formats_are_refused() {
        let [genesis, revision, block, _] = leaves().map(|leaf| leaf.encode());
        for bit in 3..8 {
            let mut changed = revision.clone();
            changed[1] |= 1 << bit;
            assert!(matches!(Leaf::decode(&changed), Err(LeafError::Flags { kind: 1, .. })));
        }
        for bit in [0, 1, 3, 4, 5, 6, 7] {
            let mut changed = block.clone();
            changed[1] |= 1 << bit;
            assert!(matches!(Leaf::decode(&changed), Err(LeafError::Flags { kind: 2, .. })));
        }
        let mut changed = genesis;
        changed[1] = 2;
        assert_eq!(Leaf::decode(&changed), Err(LeafError::Format(2)));
    }

    #[test]
    fn an_opaque_leaf_names_nothing() {
        let opaque = RevisionLeaf {
            deleted: false,
            opaque: true,
            imported: true,
            table_id: Id::ZERO,
            document_id: Id::ZERO,
            version: 0,
            block: 3,
            supersedes: None,
            commitment: Hash::ZERO,
        };
        assert!(Leaf::decode(&opaque.encode()).is_ok());
        let wrong = [
            RevisionLeaf { imported: false, ..opaque },
            RevisionLeaf { deleted: true, ..opaque },
            RevisionLeaf { table_id: Id([1; 16]), ..opaque },
            RevisionLeaf { document_id: Id([1; 16]), ..opaque },
            RevisionLeaf { version: 1, ..opaque },
            RevisionLeaf { supersedes: Some(1), ..opaque },
            RevisionLeaf { opaque: false, ..opaque },
        ];
        for leaf in wrong {
            assert!(matches!(Leaf::decode(&leaf.encode()), Err(LeafError::Contradiction(_))), "{leaf:?}");
        }
    }
}
