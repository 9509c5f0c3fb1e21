//! Why the verifier refuses a receipt: which link is missing (docs/format.md, "Receipts").

use crate::checkpoint::CheckpointError;
use crate::hash::Hash;
use crate::rotation::RotationProblem;
use crate::tree::VerifyError;

/// Which link is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The checkpoint is not one of this ledger, signed by its key.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// No trusted key of this ledger may sign this size.
    #[error("no trusted key of {origin} may sign size {size}")]
    NoKey {
        /// The ledger that is expected.
        origin: String,
        /// The size that the checkpoint states.
        size: u64,
    },
    /// A key of this ledger has signed a size that it may not sign.
    #[error("size {size} is signed by key {vkey}, which may sign {}", sizes(*.size_min, *.size_max))]
    OutOfRange {
        /// The size.
        size: u64,
        /// The key.
        vkey: String,
        /// The first size it may sign.
        size_min: u64,
        /// The last.
        size_max: u64,
    },
    /// What should show a rotation of the key does not.
    #[error("the rotation of the key: {0}")]
    Rotation(#[from] RotationProblem),
    /// Too few witnesses.
    #[error("{found} of the {required} required witnesses have cosigned the checkpoint")]
    Witnesses {
        /// How many have.
        found: usize,
        /// How many should.
        required: usize,
    },
    /// The checkpoint contradicts the one that the reader has kept: the ledger shows two histories.
    #[error(
        "the ledger shows two histories: {} has root {found} at size {size}, the pinned checkpoint says {pinned}",
        .origin
    )]
    Fork {
        /// The ledger.
        origin: String,
        /// The size of both.
        size: u64,
        /// The kept root.
        pinned: Hash,
        /// The new root.
        found: Hash,
    },
    /// The pinned checkpoint is of another ledger.
    #[error("the pinned checkpoint is of {pinned}, the expected ledger is {expected}")]
    PinnedOrigin {
        /// Whose is pinned.
        pinned: String,
        /// Which is expected.
        expected: String,
    },
    /// The sizes differ and no consistency proof was given.
    #[error("the checkpoint has size {size}, the pinned one {pinned}: ask for the consistency proof between them")]
    ConsistencyMissing {
        /// The size that is pinned.
        pinned: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The consistency proof does not hold.
    #[error("the checkpoint does not agree with the pinned one: {0}")]
    Consistency(VerifyError),
    /// The leaves are not in the tree.
    #[error("{part} not in the tree of the checkpoint: {problem}")]
    Inclusion {
        /// Which leaves.
        part: &'static str,
        /// Why.
        problem: VerifyError,
    },
    /// A binding between parts of the receipt is broken.
    #[error("position {position}: {problem}")]
    Binding {
        /// The position of the revision or block leaf.
        position: u64,
        /// What does not fit.
        problem: Broken,
    },
    /// The receipt is about something else.
    #[error("the receipt is about {what} {found}, not {expected}")]
    Expectation {
        /// What differs.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What the receipt shows.
        found: String,
    },
    /// Not the number of revisions that this kind of receipt has.
    #[error("this kind of receipt has {expected} revisions, this one has {found}")]
    Revisions {
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
}

fn sizes(min: u64, max: u64) -> String {
    match (min, max) {
        (_, u64::MAX) => format!("sizes from {min} on only"),
        _ => format!("sizes {min} to {max} only"),
    }
}

/// A binding that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not within the block's revisions.
    #[error("the revision is not among the block's: first ≤ position < first + n does not hold")]
    OutsideBlock,
    /// The block leaf is not where its own fields put it.
    #[error("the block leaf does not stand at first + n")]
    BlockPosition,
    /// Two block numbers.
    #[error("the revision leaf and the block leaf name different blocks")]
    BlockNumber,
    /// One leaf says imported, the other not.
    #[error("only one of revision leaf and block leaf says that it is imported")]
    Imported,
    /// Only a leaf, in a receipt of one revision.
    #[error("nothing opens the leaf")]
    NotOpened,
    /// The content is of another kind than the leaf's flags.
    #[error("what is shown does not have the form that the leaf's flags say")]
    Flags,
    /// Not metadata.
    #[error("metadata is not exactly {{id, version, txTime, txId}} as a ledger writes it")]
    Metadata,
    /// Metadata of another document.
    #[error("metadata.id is not the leaf's document")]
    DocumentId,
    /// Metadata of another version.
    #[error("metadata.version is not the leaf's version")]
    Version,
    /// Metadata of another transaction.
    #[error("metadata.txId is not the block's transaction")]
    TransactionId,
    /// Metadata of another time.
    #[error("metadata.txTime is not the block's time")]
    Time,
    /// Data that no document can be.
    #[error("data is not a struct, or its fields are exactly those of metadata")]
    Data,
    /// Other metadata, data or blind than was committed to.
    #[error("the leaf's commitment does not open with this metadata, data and blind")]
    Commitment,
    /// Other hashes than were committed to.
    #[error("the block leaf's commitment does not open with these hashes and blind")]
    BlockCommitment,
    /// The block's hashes do not follow from each other.
    #[error("the block's {0} does not follow from what is shown")]
    BlockHash(&'static str),
    /// A record that is none.
    #[error("what should record a redaction is not a revision of the table of redactions with a record in it")]
    NotARecord,
    /// A record about something else.
    #[error("the record is of the redaction of another revision, or of one that is shown")]
    StrayRecord,
    /// A record that stands before what it redacts.
    #[error("the record of the redaction stands before the revision")]
    RecordTooEarly,
}
