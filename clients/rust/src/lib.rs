//! Async client of the Ledgerstone ledger database. It runs statements and transactions over gRPC, and it verifies what
//! the server says: receipts, consistency proofs and whole ledgers are checked here, against a verifier key that the
//! caller brings and a checkpoint that only moves forward.
//!
//! | type | what it is |
//! |---|---|
//! | [`Client`] | a connection: ledgers, tables, sessions |
//! | [`Session`] | statements, and transactions that are run again after a conflict |
//! | [`Rows`], [`Row`] | an answer as it arrives |
//! | [`Verifier`] | receipts and audits against a [`PinnedCheckpoint`] |
//!
//! Documents are Ion [`Value`]s, and nothing of them is lost on the way: `1.0` and `1.00` stay two decimals.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod audit;
mod connection;
mod error;
mod pin;
mod retry;
mod rows;
mod session;
mod verifier;

pub use audit::{BlockStream, ServedBlock};
pub use connection::{
    Client, Column, Commit, IndexDescription, LedgerDescription, MESSAGE_BYTES_MAX, TableDescription,
};
pub use error::{DETAIL_KEY, Error, HINT_KEY, POSITION_KEY, Result, SQLSTATE_KEY, StatementError};
pub use ledgerstone_digest::ion::Value;
pub use ledgerstone_digest::{Hash, Id};
pub use pin::PinnedCheckpoint;
pub use retry::RetryPolicy;
pub use rows::{Done, Row, Rows};
pub use session::{Dialect, Session, SessionOptions, TransactOptions, Transacted, Transaction};
pub use verifier::{GenesisRecord, TableRef, Verifier};

/// The digest crate: verdicts, receipts, checkpoints and keys.
pub use ledgerstone_digest as digest;
