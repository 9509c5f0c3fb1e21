//! Hashes, trees, checkpoints, receipts and the offline verifier. Bytes in, bytes out: no files, no sockets, no clock.
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
pub mod tiles;
pub mod tlog_proof;
pub mod tree;
pub mod validity;
pub mod verifier;

pub use hash::Hash;
pub use id::Id;
