//! Doors for fuzzing to what this crate reads from disk and keeps to itself: bytes in, nothing out, assertions inside.
//!
//! Not part of the API: a feature that only the tests turn on, since making the parsers public would promise them.

pub use crate::index::disk::fuzzing::{index_block, index_manifest, index_run, sample_index};
