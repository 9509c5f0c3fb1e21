//! What a path given to `verify` is: told by its bytes or by the files in it, never by its name.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ledgerstone_digest::Hash;
use ledgerstone_digest::receipt::{MAGIC, RECEIPT_BYTES_MAX};
use ledgerstone_journal::qldb::source::{Directory, ObjectSource};
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_query::export::manifest::MANIFEST_FILE;

/// A receipt in hexadecimal has two characters a byte, and a newline now and then.
const FILE_BYTES_MAX: u64 = RECEIPT_BYTES_MAX as u64 * 5 / 2;
/// The first line of a proof file.
const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// What a path is.
pub enum Input {
    /// A receipt's bytes.
    Receipt(Vec<u8>),
    /// A proof file's text.
    ProofFile(String),
    /// A signed checkpoint's text.
    Checkpoint(String),
    /// The hashes of a consistency proof.
    Consistency(Vec<Hash>),
    /// A ledger's directory.
    Ledger,
    /// A server's data directory: the ledgers in it.
    Server(Vec<PathBuf>),
    /// A Parquet export.
    Export,
    /// A journal export in QLDB's format.
    JournalExport,
}

/// Finds out what a path is. The error says what stood in the way.
pub fn read(path: &Path) -> Result<Input, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be opened: {error}"))?;
    if metadata.is_dir() {
        return directory(path);
    }
    classify(&read_limited(path, FILE_BYTES_MAX)?)
}

/// Reads a file of hashes: base64 or hexadecimal, one on a line.
pub fn read_consistency(path: &Path) -> Result<Vec<Hash>, String> {
    let bytes = read_limited(path, 1 << 20)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    if text.trim().is_empty() {
        return Err("it is empty, as it is left by a command that failed".to_owned());
    }
    hashes(text).ok_or_else(|| "it is not a list of hashes, one on each line, in base64 or hexadecimal".to_owned())
}

/// Reads a signed note as it was printed: what stands around it is cut off, and it ends with one newline.
pub fn read_note(path: &Path) -> Result<String, String> {
    let bytes = read_limited(path, 1 << 20)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    Ok(tidy(text))
}

/// Reads a file that is not longer than `bytes_max`.
pub fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("it is longer than {bytes_max} bytes, which nothing that can be verified is"));
    }
    Ok(bytes)
}

fn directory(path: &Path) -> Result<Input, String> {
    if path.join(JOURNAL_DIR).is_dir() {
        return Ok(Input::Ledger);
    }
    if path.join(MANIFEST_FILE).is_file() {
        return Ok(Input::Export);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("cannot be listed: {error}"))?;
    let mut ledgers: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join(JOURNAL_DIR).is_dir()).collect();
    ledgers.sort();
    if ledgers.is_empty() && holds_blocks(path) {
        return Ok(Input::JournalExport);
    }
    if ledgers.is_empty() {
        let what = "it is neither a ledger's directory (journal/ is missing), nor a data directory with ledgers in it, \
                    nor an export (manifest.json is missing, and there is no .ion or .manifest either)";
        return Err(what.to_owned());
    }
    Ok(Input::Server(ledgers))
}

/// Objects of a journal export, at any depth.
fn holds_blocks(path: &Path) -> bool {
    let listed = Directory(path.to_path_buf()).list().unwrap_or_default();
    listed.iter().any(|(key, _)| key.ends_with(".ion") || key.ends_with(".manifest"))
}

fn classify(bytes: &[u8]) -> Result<Input, String> {
    if bytes.starts_with(MAGIC.get(..6).unwrap_or(&MAGIC)) {
        return Ok(Input::Receipt(bytes.to_vec()));
    }
    let unknown = "it is no receipt, checkpoint, consistency proof or proof file";
    let text = std::str::from_utf8(bytes).map_err(|_| unknown.to_owned())?;
    if text.trim_start().starts_with(PROOF_HEADER) {
        return Ok(Input::ProofFile(tidy(text)));
    }
    if text.contains("\n\n\u{2014} ") {
        return Ok(Input::Checkpoint(tidy(text)));
    }
    if let Some(receipt) = printed(text) {
        return Ok(Input::Receipt(receipt));
    }
    if let Some(hashes) = hashes(text).filter(|hashes| !hashes.is_empty()) {
        return Ok(Input::Consistency(hashes));
    }
    Err(format!("{unknown}; from psql, take values alone: psql -At"))
}

/// A receipt as psql prints bytea, or as base64, whatever white space is in it. Of one that is cut off within a byte, the
/// bytes before it: that it ends too early is for its reader to say.
fn printed(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = match text.strip_prefix("\\x") {
        Some(digits) => hex(digits.get(..digits.len() & !1)?)?,
        None => {
            let text = text.trim_end_matches('=');
            let whole = if text.len() % 4 == 1 { text.len() - 1 } else { text.len() };
            let lenient = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
            let lenient = lenient.with_decode_padding_mode(DecodePaddingMode::RequireNone);
            GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(text.get(..whole)?).ok()?
        }
    };
    bytes.starts_with(MAGIC.get(..6).unwrap_or(&MAGIC)).then_some(bytes)
}

/// Bytes written in hexadecimal.
pub fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// Hashes in base64 or hexadecimal, one on a line.
pub fn hashes(text: &str) -> Option<Vec<Hash>> {
    let hash = |line: &str| match line.len() {
        64 => line.parse().ok(),
        44 => STANDARD.decode(line).ok().and_then(|bytes| Hash::from_slice(&bytes)),
        _ => None,
    };
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(hash).collect()
}

fn tidy(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n").trim_matches('\n').to_owned();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> &'static str {
        match classify(bytes) {
            Ok(Input::Receipt(_)) => "receipt",
            Ok(Input::ProofFile(_)) => "proof file",
            Ok(Input::Checkpoint(_)) => "checkpoint",
            Ok(Input::Consistency(_)) => "consistency",
            Ok(_) => "directory",
            Err(_) => "unknown",
        }
    }

    #[test]
    fn receipts_are_known_in_every_dress() {
        let mut receipt = MAGIC.to_vec();
        receipt.extend((0..200u8).map(|n| n.wrapping_mul(37)));
        assert_eq!(kind(&receipt), "receipt");
        let base64 = STANDARD.encode(&receipt);
        let lines: Vec<&str> = (0..base64.len()).step_by(76).map(|at| &base64[at..base64.len().min(at + 76)]).collect();
        assert_eq!(kind(lines.join("\n").as_bytes()), "receipt");
        assert_eq!(kind(format!(" {base64}\n\n").as_bytes()), "receipt");
        let digits: String = receipt.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(kind(format!("\\x{digits}\n").as_bytes()), "receipt");
    }

    #[test]
    fn other_files_are_told_apart() {
        let hash = Hash::sha256(&[b"x"]);
        assert_eq!(kind(format!("{hash}\n{hash}\n").as_bytes()), "consistency");
        assert_eq!(kind(format!("{}\n", STANDARD.encode(hash.0)).as_bytes()), "consistency");
        assert_eq!(kind("a\n1\nroot\n\n\u{2014} a sig\n".as_bytes()), "checkpoint");
        assert_eq!(kind(format!("{PROOF_HEADER}\nindex 1\n\na\n\n\u{2014} a sig\n").as_bytes()), "proof file");
        for nothing in [&b""[..], b"\n", b"hello", b"\xff\xfe", b"\\x12zz", b"{}"] {
            assert_eq!(kind(nothing), "unknown", "{nothing:?}");
        }
    }
}
