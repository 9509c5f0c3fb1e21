//! The Ion data model, its text and its binary form (Ion 1.0 specification).
//!
//! An own implementation because the hashes are defined over Ion *values* of any size: a verifier must be able to
//! hash every integer and decimal that a ledger can hold, never use more stack than the nesting limit allows, and
//! build without anything that would keep it from a browser.

mod check;
mod decode;
mod encode;
mod hash;
mod json;
mod number;
mod print;
mod quoted;
mod renumber;
mod scalar;
mod symbols;
mod text;
mod timestamp;
mod value;

pub use check::{LimitsExceeded, check};
pub use decode::{BinaryError, BinaryProblem, decode, decode_many, decode_with};
pub use encode::{encode, encode_with, encode_with_more};
pub use hash::{FieldWriter, Hasher, ion_hash, ion_hash_binary, ion_hash_string};
pub use json::to_json;
pub use number::IntError;
pub use print::{to_text, to_text_pretty};
pub use renumber::renumber;
pub use symbols::{FIRST_LOCAL_SYMBOL, Interner, SymbolLookup, SymbolTable, SymbolTableError};
pub use text::{TextError, TextProblem, parse, parse_many};
pub use value::{
    Annotated, Decimal, Fraction, Int, IonType, Precision, Struct, Symbol, Text, Timestamp, TimestampError, Value,
};

/// No reader goes deeper than this, whatever its limits say: readers, writers and hashing recurse.
pub const DEPTH_CAP: usize = 1024;

/// Symbols are written once and used by number: a small text can stand for a very large value. Written out, all of them
/// may be this many times as long as the whole value may be.
pub const EXPANSION_MAX: usize = 4;

/// What a reader accepts from outside. Every limit is checked before anything is allocated for what it limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole encoded value.
    pub bytes_max: usize,
    /// Containers and annotation wrappers inside each other.
    pub depth_max: usize,
    /// Values in all, containers and annotations included.
    pub values_max: usize,
}

impl Limits {
    /// What a document may be: 16 MiB, 128 deep, four million values.
    pub const DOCUMENT: Limits = Limits { bytes_max: 16 << 20, depth_max: 128, values_max: 4 << 20 };
    /// What a ledger may hold, and so what its proofs may show: documents with what is stored beside them, and imported ones,
    /// which may be deeper than those that are taken otherwise.
    pub const STORED: Limits = Limits { bytes_max: 64 << 20, depth_max: 256, values_max: 64 << 20 };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DOCUMENT
    }
}
