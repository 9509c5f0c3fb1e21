//! Hashes, trees, checkpoints, receipts and the offline verifier. Bytes in, bytes out: no files, no sockets, no clock.
#![forbid(unsafe_code)]

pub mod ion;
