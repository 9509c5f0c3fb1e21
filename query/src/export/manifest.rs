//! What an export holds, as `manifest.json`: nothing in it is believed when the export is verified.
//!
//! What the verifier does not know is refused rather than passed over: whoever reads it might believe it was checked.

use serde::{Deserialize, Serialize};

use super::columns::TypedColumn;

/// The version of the export's layout.
pub const FORMAT: u32 = 1;
pub const MANIFEST_FILE: &str = "manifest.json";
pub const GENESIS_FILE: &str = "genesis.ion";
pub const CHECKPOINT_FILE: &str = "checkpoint";

/// The directory of the proofs of the key's rotations, if there were any.
pub const ROTATIONS_DIR: &str = "rotations";

/// The proof of the rotation at a size.
pub fn rotation_file(from: u64) -> String {
    format!("{ROTATIONS_DIR}/{from:020}.receipt")
}

/// The size in the name of such a proof.
pub fn size_of_rotation(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(ROTATIONS_DIR)?.strip_prefix('/')?.strip_suffix(".receipt")?;
    let from = digits.parse().ok()?;
    (rotation_file(from) == name).then_some(from)
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    pub origin: String,
    /// The checkpoint's size: every leaf below it is here.
    pub size: u64,
    pub scope: Scope,
    pub tables: Vec<TableEntry>,
    /// Every other file, with its hash.
    pub files: Vec<FileEntry>,
}

/// Which revisions of a table are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of them.
    History,
    /// Those that are neither deletions nor superseded at the checkpoint.
    Current,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    pub id: String,
    pub name: String,
    /// System tables are exported whole whatever the scope: they give the names.
    pub system: bool,
    pub columns: Vec<TypedColumn>,
    pub rows: u64,
    pub files: Vec<DataFile>,
}

/// A Parquet file of one table, in position order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    pub rows: u64,
    pub first_position: u64,
    pub last_position: u64,
}

/// Another file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}
