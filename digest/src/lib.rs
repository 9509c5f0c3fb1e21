//! Hashes, trees, checkpoints, receipts and the offline verifier. Bytes in, bytes out: no files, no sockets, no clock.
//!
//! | module | what |
//! |---|---|
//! | [`hash`], [`id`] | SHA-256 values; 128-bit ids and their text |
//! | [`ion`] | the Ion data model, its text and binary forms, Ion Hash |
//! | [`qldb`], [`block`] | QLDB's hashes; what a block says beside its revisions |
//! | [`repeated`] | the same hashes for many revisions, what they have in common once |
//! | [`leaf`] | the entries of the ledger's tree and their commitments |
//! | [`tree`], [`tiles`] | the Merkle tree of RFC 9162 and its proofs; the layout of tiles |
//! | [`note`], [`checkpoint`], [`tlog_proof`] | signed notes, checkpoints, proof files for stock tools |
//! | [`receipt`], [`verifier`], [`redaction`] | receipts, and what they show to whom |
//! | [`rotation`] | which key may sign which sizes |
//! | [`validity`], [`full`], [`export`] | the rules of a valid tree; whole ledgers; exports |
//!
//! Names with `unverified` or `unauthenticated` in them hold what nothing vouches for yet.
#![forbid(unsafe_code)]

pub mod block;
pub mod checkpoint;
pub mod export;
pub mod full;
pub mod hash;
pub mod id;
pub mod ion;
pub mod leaf;
pub mod note;
pub mod qldb;
pub mod receipt;
pub mod redaction;
mod refusal;
pub mod repeated;
pub mod rotation;
pub mod tiles;
pub mod tlog_proof;
pub mod tree;
pub mod validity;
pub mod verifier;

pub use hash::Hash;
pub use id::Id;
