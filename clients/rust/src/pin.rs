//! The newest checkpoint that a client has verified, and the key it trusts: in memory and, if wanted, in a file.
//!
//! The file is text: the verifier key that was trusted first, a line of base64 for each rotation of the key that was
//! followed since (its receipt), an empty line, and the signed checkpoint. It is replaced as a whole (written beside,
//! synced, renamed), so that a crash leaves the old one or the new one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::note::{NOTE_BYTES_MAX, VerifierKey};
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::verifier::{self, Head, Refusal};
use ledgerstone_digest::{Hash, tree};

use crate::error::{Error, Result};

/// Receipts of rotations in one file.
const ROTATIONS_BYTES_MAX: u64 = 1 << 20;
/// Longer files are no pins.
const FILE_BYTES_MAX: u64 = NOTE_BYTES_MAX as u64 + 4096 + ROTATIONS_BYTES_MAX;

/// A key, and the newest checkpoint that it has signed and that was verified here. The checkpoint moves only along
/// consistency proofs, the key only along rotations that the key before has signed; both only forward.
#[derive(Debug, Clone)]
pub struct PinnedCheckpoint {
    keys: KeyChain,
    /// The receipts of the rotations that were followed.
    rotations: Vec<Vec<u8>>,
    pinned: Option<(Checkpoint, String)>,
    path: Option<PathBuf>,
}

impl PinnedCheckpoint {
    /// Nothing pinned yet, trusting a key that the caller has from the ledger's owner. Kept in memory only.
    pub fn new(key: VerifierKey) -> Self {
        PinnedCheckpoint { keys: KeyChain::new(key), rotations: Vec::new(), pinned: None, path: None }
    }

    /// As [`PinnedCheckpoint::new`], kept in a file. If the file is there, it must be of this key: the one that was
    /// trusted first, or one that it was rotated to since.
    pub fn with_file(key: VerifierKey, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.exists() {
            return Ok(PinnedCheckpoint { path: Some(path), ..PinnedCheckpoint::new(key) });
        }
        let read = Self::open(path.clone())?;
        if read.keys.of(&key).is_none() {
            let problem = format!(
                "it pins key {}, not {key}; if the one was rotated to the other, open it with the pinned key, which \
                 follows when the server proves that",
                read.key()
            );
            return Err(Error::Pin { path, problem });
        }
        Ok(read)
    }

    /// Reads a file that was kept before; the key is the one it names.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let wrong = |problem: String| Error::Pin { path: path.clone(), problem };
        let length = fs::metadata(&path).map_err(|e| wrong(format!("cannot be read: {e}")))?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!("{length} bytes are no pinned checkpoint")));
        }
        let text = fs::read_to_string(&path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let (head, note) =
            text.split_once("\n\n").ok_or_else(|| wrong("it has no empty line after the key".to_owned()))?;
        let mut lines = head.split('\n');
        let key: VerifierKey = lines.next().unwrap_or_default().parse().map_err(|e| wrong(format!("the key: {e}")))?;
        let mut pin = PinnedCheckpoint::new(key);
        for line in lines {
            let bytes = STANDARD.decode(line).map_err(|e| wrong(format!("a rotation: {e}")))?;
            let receipt = Receipt::decode(&bytes).map_err(|e| wrong(format!("a rotation: {e}")))?;
            pin.keys.follow(&receipt).map_err(|e| wrong(format!("a rotation: {e}")))?;
            pin.rotations.push(bytes);
        }
        let checkpoint = pin.keys.verify(note).map_err(|e| wrong(format!("the checkpoint: {e}")))?;
        pin.pinned = Some((checkpoint, note.to_owned()));
        pin.path = Some(path);
        Ok(pin)
    }

    /// The trusted key: the one in force as far as it was followed.
    pub fn key(&self) -> &VerifierKey {
        self.keys.current()
    }

    /// The keys that were followed, each with the sizes it may sign.
    pub fn keys(&self) -> &KeyChain {
        &self.keys
    }

    /// The ledger: the key's name.
    pub fn origin(&self) -> &str {
        self.key().name()
    }

    /// The newest verified checkpoint.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.pinned.as_ref().map(|(checkpoint, _)| checkpoint)
    }

    /// The same as it was signed: to keep elsewhere, and to show to others.
    pub fn note(&self) -> Option<&str> {
        self.pinned.as_ref().map(|(_, note)| note.as_str())
    }

    /// Takes a signed checkpoint. It must be signed by the key and of one history with what is pinned, as the
    /// consistency proof between the two sizes shows (empty if the sizes are equal, or nothing is pinned). If it is newer
    /// it becomes the pinned one, in the file first. Gives the checkpoint.
    ///
    /// Errors: [`Error::NotProved`] with the reason; a fork is one of them ([`Error::is_fork`]). The pin stays then.
    pub fn advance(&mut self, note: &str, proof: &[Hash]) -> Result<Checkpoint> {
        let head = self.check(note)?;
        let refused = |refusal: Refusal| Error::NotProved { refusal: Box::new(refusal), note: note.to_owned() };
        if let Some((pinned, _)) = &self.pinned {
            if head.checkpoint.size < pinned.size {
                let (older, newer) = (&head.checkpoint, pinned);
                tree::verify_consistency(older.size, newer.size, &older.root, &newer.root, proof)
                    .map_err(|problem| refused(Refusal::Consistency(problem)))?;
                return Ok(head.checkpoint);
            }
            verifier::advance(pinned, &head.checkpoint, proof).map_err(refused)?;
        }
        if self.checkpoint().is_none_or(|pinned| pinned.size < head.checkpoint.size) {
            let moved = PinnedCheckpoint { pinned: Some((head.checkpoint.clone(), note.to_owned())), ..self.clone() };
            moved.write()?;
            *self = moved;
        }
        Ok(head.checkpoint)
    }

    /// Follows a rotation of the key: its receipt, under the checkpoint with which the trusted key hands over, and the
    /// consistency proof between that and what is pinned. The pin moves to that checkpoint, key and all, in the file first.
    ///
    /// Errors: [`Error::NotProved`]. That is also so if the pinned checkpoint is beyond the one with which the key is said to
    /// have ended: then the server contradicts what it has shown before. The pin stays then.
    pub fn follow(&mut self, receipt: &[u8], proof: &[Hash]) -> Result<()> {
        let read = Receipt::decode(receipt)?;
        let note = &read.checkpoint;
        let refused = |refusal: Refusal| Error::NotProved { refusal: Box::new(refusal), note: note.clone() };
        let mut moved = self.clone();
        let record = moved.keys.follow(&read).map_err(refused)?;
        moved.rotations.push(receipt.to_vec());
        if let Some((_, pinned)) = &moved.pinned {
            // A key that has signed beyond its end.
            moved.keys.verify(pinned).map_err(refused)?;
        }
        // Written once, with the checkpoint.
        let path = moved.path.take();
        moved.advance(note, proof)?;
        moved.path = path;
        if moved.checkpoint().is_none_or(|pinned| pinned.size < record.from) {
            return Err(Error::answer("the rotation is of another size than its checkpoint"));
        }
        moved.write()?;
        *self = moved;
        Ok(())
    }

    /// Checks key and form of a signed checkpoint, and not yet whether it is of one history with the pinned one.
    pub(crate) fn check(&self, note: &str) -> Result<Head> {
        verifier::verify_signatures(note, &self.keys.trust(), self.origin())
            .map_err(|refusal| Error::NotProved { refusal: Box::new(refusal), note: note.to_owned() })
    }

    /// Writes the file, if there is one.
    fn write(&self) -> Result<()> {
        let (Some(path), Some(note)) = (&self.path, self.note()) else { return Ok(()) };
        let first = self.keys.keys().next().map_or_else(|| self.key(), |trusted| &trusted.key);
        let mut text = format!("{first}\n");
        self.rotations.iter().for_each(|receipt| text.push_str(&format!("{}\n", STANDARD.encode(receipt))));
        text.push_str(&format!("\n{note}"));
        write(path, &text)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |e: std::io::Error| Error::Pin { path: path.to_owned(), problem: format!("cannot be written: {e}") };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".new-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let outcome = (|| {
        let mut file = fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => fs::File::open(parent)?.sync_all(),
            _ => fs::File::open(".")?.sync_all(),
        }
    })();
    outcome.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::note::SigningKey;
    use ledgerstone_digest::tree::{MemoryTree, consistency_proof, leaf_hash};

    use super::*;

    const ORIGIN: &str = "ledger.example/0000000000000000000001";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
    }

    fn tree(leaves: u64, salt: u8) -> MemoryTree {
        let mut tree = MemoryTree::new();
        for n in 0..leaves {
            // Histories of different salts part at leaf 5.
            tree.append(leaf_hash(&[n as u8, if n < 5 { 0 } else { salt }]));
        }
        tree
    }

    fn note(tree: &MemoryTree, key: &SigningKey) -> String {
        Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root() }.sign(key).unwrap()
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ledgerstone-pin-{}-{name}", std::process::id()))
    }

    #[test]
    fn it_moves_forward_along_consistency_proofs_only() {
        let mut pin = PinnedCheckpoint::new(key(1).verifier().clone());
        let (five, nine) = (tree(5, 0), tree(9, 0));
        pin.advance(&note(&five, &key(1)), &[]).unwrap();
        let proof = consistency_proof(5, 9, &nine).unwrap();
        assert!(matches!(pin.advance(&note(&nine, &key(1)), &[]), Err(Error::NotProved { .. })));
        assert_eq!(pin.checkpoint().unwrap().size, 5);
        pin.advance(&note(&nine, &key(1)), &proof).unwrap();
        assert_eq!(pin.checkpoint().unwrap().size, 9);
        // An older one of the same history holds, and moves nothing.
        pin.advance(&note(&five, &key(1)), &proof).unwrap();
        assert_eq!(pin.checkpoint().unwrap().size, 9);
    }

    #[test]
    fn a_fork_is_refused_and_the_pin_stays() {
        let mut pin = PinnedCheckpoint::new(key(1).verifier().clone());
        pin.advance(&note(&tree(9, 0), &key(1)), &[]).unwrap();
        let same_size = pin.advance(&note(&tree(9, 1), &key(1)), &[]).unwrap_err();
        assert!(same_size.is_fork(), "{same_size}");
        let fork = tree(12, 1);
        let larger = pin.advance(&note(&fork, &key(1)), &consistency_proof(9, 12, &fork).unwrap()).unwrap_err();
        assert!(larger.is_fork(), "{larger}");
        let smaller = pin.advance(&note(&tree(7, 1), &key(1)), &consistency_proof(7, 9, &tree(9, 1)).unwrap());
        assert!(smaller.unwrap_err().is_fork());
        assert_eq!(pin.checkpoint().unwrap().root, tree(9, 0).root());
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let mut pin = PinnedCheckpoint::new(key(1).verifier().clone());
        assert!(matches!(pin.advance(&note(&tree(9, 0), &key(2)), &[]), Err(Error::NotProved { .. })));
        assert!(pin.checkpoint().is_none());
    }

    #[test]
    fn the_file_keeps_key_and_checkpoint() {
        let path = path("keeps");
        let mut pin = PinnedCheckpoint::with_file(key(1).verifier().clone(), &path).unwrap();
        pin.advance(&note(&tree(5, 0), &key(1)), &[]).unwrap();
        let read = PinnedCheckpoint::open(&path).unwrap();
        assert_eq!((read.key(), read.checkpoint()), (pin.key(), pin.checkpoint()));
        assert!(matches!(PinnedCheckpoint::with_file(key(2).verifier().clone(), &path), Err(Error::Pin { .. })));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let path = path("damaged");
        let mut pin = PinnedCheckpoint::with_file(key(1).verifier().clone(), &path).unwrap();
        pin.advance(&note(&tree(5, 0), &key(1)), &[]).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            // The last line feed of a note may be the only thing that is no longer one; nothing else may pass.
            let error = PinnedCheckpoint::open(&path).expect_err(&format!("byte {at}"));
            assert!(error.to_string().contains("ledgerstone-pin"), "{error}");
        }
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(PinnedCheckpoint::open(&path).is_err());
        fs::remove_file(&path).unwrap();
    }
}
