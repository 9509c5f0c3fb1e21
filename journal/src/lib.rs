//! The hash-chained journal of a ledger: the only truth, from which rows, indexes, tree and exports are derived
//! (docs/architecture.md, "Journal"; docs/format.md for the bytes).
//!
//! | module | what lives there |
//! |---|---|
//! | [`env`] | files, clocks and randomness behind traits: production, memory, a simulated disk that fails |
//! | [`transaction`] | what is submitted, what comes back, the hooks of the query engine |
//! | [`stored`] | what the reader gives back |
//! | [`commit`] | the future of a submitted transaction |
//! | [`error`] | one enumeration per operation |
//! | [`tree`] | the Merkle tree's level files |
//! | [`checkpoint`] | the recorded checkpoint and the task that signs the next |
//! | [`keys`] | signing keys as files |
//! | [`slots`] | small facts that survive a torn write |
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the parts that use them come next")]

pub mod checkpoint;
pub mod commit;
pub mod env;
pub mod error;
pub mod keys;
pub mod slots;
pub mod stored;
pub mod transaction;
pub mod tree;

pub use commit::CommitFuture;
pub use env::Env;
pub use error::{ClockError, CommitError, CreateError, Damage, FileError, Help, OpenError, ReadError};
pub use stored::{StoredBlock, StoredRevision};
pub use transaction::{
    Committed, Listed, NewRevision, Publish, PublishedBlock, PublishedRevision, Sequence, Transaction, TreeSink,
};
