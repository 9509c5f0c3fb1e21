//! The hash-chained journal of a ledger: the only truth, from which rows, indexes, tree and exports are derived
//! (docs/architecture.md, "Journal"; docs/format.md for the bytes).
//!
//! | module | what lives there |
//! |---|---|
//! | [`env`] | files, clocks and randomness behind traits: production, memory, a simulated disk that fails |
//! | [`transaction`] | what is submitted, what comes back, the hooks of the query engine |
//! | [`encoded`] | documents of large transactions, as bytes until they commit |
//! | [`spread`] | work on many items on all processors |
//! | [`stored`] | what the reader gives back |
//! | [`commit`] | the future of a submitted transaction |
//! | [`ledger`] | an open ledger, as others see it |
//! | `engine` | from a submitted transaction to a durable block: queue, sequencer, writer |
//! | [`recovery`] | creating and opening a ledger |
//! | [`segment`], [`batch`], [`frame`], [`dictionary`] | the bytes on disk |
//! | [`error`] | one enumeration per operation |
//! | [`tree`] | the Merkle tree's level files |
//! | [`checkpoint`] | the recorded checkpoint and the task that signs the next |
//! | [`keys`], [`keyring`] | signing keys as files; which of them is in force |
//! | [`rotation`] | how a new key takes over from the one before |
//! | [`pack`] | full segments written again without filler |
//! | [`redaction`] | data that leaves the journal while its hash stays |
//! | `abandoned` | staged frames that no block names |
//! | [`qldb`] | the ledger as QLDB showed it: its digest, proofs, blocks |
//! | [`receipt`] | receipts and proofs, made from the journal and the tree |
//! | [`backup`] | copies of an open ledger, and ledgers made of them |
//! | [`doctor`] | derived files made again |
//! | [`closed`] | the journal of a ledger that nobody has open |
//! | [`verify`] | a whole directory re-derived and compared |
//! | [`mutation`] | defects that the simulator's tests switch on; not there without debug assertions |
//! | `real_path` | where a path leads that may not be there yet |
//! | [`slots`] | small facts that survive a torn write |
#![forbid(unsafe_code)]

pub(crate) mod abandoned;
pub mod backup;
pub mod batch;
pub mod checkpoint;
pub mod closed;
pub mod commit;
pub(crate) mod derive;
pub mod dictionary;
pub mod doctor;
pub mod encoded;
pub(crate) mod engine;
pub mod env;
pub mod error;
pub mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod keyring;
pub mod keys;
pub mod ledger;
#[doc(hidden)]
pub mod mutation;
pub(crate) mod offsets;
pub mod pack;
pub mod qldb;
pub(crate) mod reader;
mod real_path;
pub mod receipt;
pub mod recovery;
pub mod redaction;
pub mod reserve;
pub mod rotation;
pub(crate) mod scan;
pub(crate) mod scrub;
pub mod segment;
pub(crate) mod sequencer;
pub mod slots;
pub mod spread;
pub mod stored;
pub mod transaction;
pub mod tree;
pub mod verify;
pub(crate) mod wire;
pub(crate) mod writer;

pub use closed::ClosedJournal;
pub use commit::CommitFuture;
pub use doctor::{DoctorReport, rebuild_derived};
pub use encoded::{Data, Encoded, Encoder};
pub use engine::Step;
pub use env::Env;
pub use error::{ClockError, CommitError, CreateError, Damage, FileError, Help, OpenError, ReadError};
pub use frame::Known;
pub use keyring::Keys;
pub use ledger::{BlockOutline, Ledger};
pub use qldb::{QldbDigest, QldbError, QldbProof};
pub use real_path::real_path;
pub use receipt::{ReceiptError, ReceiptOptions};
pub use recovery::{CreateOptions, Import, OpenOptions, Recovered};
pub use redaction::RedactError;
pub use rotation::{KeyRotation, RotateError, Rotated};
pub use sequencer::STAGED_ABOVE_BYTES;
pub use stored::{StoredBlock, StoredRevision};
pub use transaction::{
    BlockEnds, Committed, ImportedContent, ImportedTransaction, Listed, NewRevision, Publish, PublishedBlock,
    PublishedRevision, Rotation, SALT_FIELD, Sequence, Transaction, Unjudged,
};
pub use verify::{VerifyOptions, VerifyReport, verify_directory};
