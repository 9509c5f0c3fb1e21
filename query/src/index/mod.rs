//! The row index: from documents and keys to positions (DESIGN section 7).

pub mod key;

pub use key::{KEY_BYTES_MAX, Key};
