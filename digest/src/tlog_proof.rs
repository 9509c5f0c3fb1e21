//! Proof files (c2sp.org/tlog-proof@v1): one leaf, its audit path and a signed checkpoint, for stock tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError, UnverifiedCheckpoint};
use crate::hash::Hash;
use crate::note::{NOTE_BYTES_MAX, VerifierKey};
use crate::tiles;
use crate::tree::{self, VerifyError};

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";
/// A tree of 2^63 leaves has paths of 63 hashes.
const PATH_MAX: usize = 63;
/// Bytes of `extra`, before base64.
pub const EXTRA_BYTES_MAX: usize = 64 << 10;

/// A proof file. Nothing in it is believed before [`TlogProof::verify`], and `extra` never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything at all; nothing authenticates it.
    pub unauthenticated_extra: Option<Vec<u8>>,
    /// The position of the leaf.
    pub index: u64,
    /// The audit path, the leaf's sibling first.
    pub path: Vec<Hash>,
    /// The signed checkpoint, word for word.
    pub checkpoint: String,
}

/// Why a proof file does not prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Not of the form.
    #[error("malformed proof file: {0}")]
    Malformed(&'static str),
    /// The checkpoint is bad.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The path does not lead from the leaf to the root.
    #[error("the leaf is not in the tree at this position: {0}")]
    Path(#[from] VerifyError),
}

impl TlogProof {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = String::from(HEADER);
        if let Some(extra) = &self.unauthenticated_extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            text.push_str(&STANDARD.encode(hash.0));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a file; checks its form only.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let malformed = TlogProofError::Malformed;
        if text.len() > NOTE_BYTES_MAX + 2 * EXTRA_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let rest = text.strip_prefix(HEADER).ok_or(malformed("the first line is not c2sp.org/tlog-proof@v1"))?;
        let (body, checkpoint) =
            rest.split_once("\n\n").ok_or(malformed("no empty line stands before the checkpoint"))?;
        let mut lines = body.split('\n').peekable();
        let mut extra = None;
        if let Some(encoded) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            let bytes = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() <= EXTRA_BYTES_MAX);
            extra = Some(bytes.ok_or(malformed("the extra line is not base64 of at most 64 KiB"))?);
            lines.next();
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(tiles::decimal);
        let index = index.ok_or(malformed("no line says \"index\" and a decimal number"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == PATH_MAX {
                return Err(malformed("the path has more than 63 hashes"));
            }
            let bytes = if line.len() == 44 { STANDARD.decode(line).ok() } else { None };
            let hash = bytes.and_then(|bytes| Hash::from_slice(&bytes));
            path.push(hash.ok_or(malformed("a line of the path is not 32 bytes of base64"))?);
        }
        Ok(TlogProof { unauthenticated_extra: extra, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that a leaf with this entry stands at [`TlogProof::index`] in the ledger that this key signs for.
    /// Whether the checkpoint is cosigned is the caller's to ask.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = UnverifiedCheckpoint::parse(&self.checkpoint)?.verify(key)?;
        self.verify_path(entry, &checkpoint)?;
        Ok(checkpoint)
    }

    /// The same under the proof's own checkpoint, for who has checked that already.
    pub fn verify_path(&self, entry: &[u8], checkpoint: &Checkpoint) -> Result<(), TlogProofError> {
        let leaf = tree::leaf_hash(entry);
        Ok(tree::verify_audit_path(checkpoint.size, &checkpoint.root, self.index, &leaf, &self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;
    use crate::tree::MemoryTree;

    fn example() -> (TlogProof, SigningKey) {
        let mut tree = MemoryTree::new();
        for i in 0..10 {
            tree.append(tree::leaf_hash(format!("entry {i}").as_bytes()));
        }
        let key = SigningKey::from_seed("ledger.example/rs", &[7; 32]).unwrap();
        let checkpoint = Checkpoint { origin: key.name().to_owned(), size: 10, root: tree.root() };
        let proof = TlogProof {
            unauthenticated_extra: None,
            index: 4,
            path: tree::audit_path(10, 4, &tree).unwrap(),
            checkpoint: checkpoint.sign(&key).unwrap(),
        };
        (proof, key)
    }

    #[test]
    fn a_proof_is_read_back_and_holds() {
        let (proof, key) = example();
        for extra in [None, Some(Vec::new()), Some(b"anything".to_vec())] {
            let proof = TlogProof { unauthenticated_extra: extra, ..proof.clone() };
            let read = TlogProof::parse(&proof.to_text()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(b"entry 4", key.verifier()).unwrap().size, 10);
        }
    }

    #[test]
    fn a_proof_of_a_tree_of_one_leaf_has_no_path() {
        let key = SigningKey::from_seed("a", &[7; 32]).unwrap();
        let root = tree::leaf_hash(b"only");
        let checkpoint = Checkpoint { origin: "a".into(), size: 1, root }.sign(&key).unwrap();
        let proof = TlogProof { unauthenticated_extra: None, index: 0, path: Vec::new(), checkpoint };
        TlogProof::parse(&proof.to_text()).unwrap().verify(b"only", key.verifier()).unwrap();
    }

    #[test]
    fn another_leaf_position_or_key_is_refused() {
        let (proof, key) = example();
        assert!(proof.verify(b"entry 5", key.verifier()).is_err());
        assert!(TlogProof { index: 5, ..proof.clone() }.verify(b"entry 4", key.verifier()).is_err());
        let stranger = SigningKey::from_seed("ledger.example/rs", &[8; 32]).unwrap();
        assert!(proof.verify(b"entry 4", stranger.verifier()).is_err());
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let (proof, key) = example();
        let text = proof.to_text().into_bytes();
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let holds = TlogProof::parse(&changed).is_ok_and(|read| read.verify(b"entry 4", key.verifier()).is_ok());
            assert!(!holds, "byte {at}");
        }
    }
}
