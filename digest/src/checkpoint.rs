//! Checkpoints (c2sp.org/tlog-checkpoint): which ledger, how many leaves, which root, signed by the ledger's key.
//!
//! Ours have no extension lines: everything else is in the leaves. Size 0 is never signed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{Hash, shorten};
use crate::id::Id;
use crate::note::{self, Cosignature, Note, NoteError, SigningKey, VerifierKey};
use crate::tiles;

/// A size and a root that a ledger's key has signed, or that a ledger is about to sign.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The ledger's name: `<host prefix>/<ledger id>`.
    pub origin: String,
    /// Leaves in the tree: a block boundary, or 1.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

/// Why a text is no checkpoint of this ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or a bad signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a checkpoint.
    #[error("malformed checkpoint: {0}")]
    Malformed(&'static str),
    /// It is not signed by the expected key.
    #[error("the checkpoint of {origin} is not signed by key {vkey}")]
    NotSigned {
        /// The origin it states.
        origin: String,
        /// The key that was expected.
        vkey: String,
    },
    /// It is of another ledger than the key.
    #[error("the checkpoint is of {found}, the key is of {expected}")]
    Origin {
        /// The origin it states.
        found: String,
        /// The key's name.
        expected: String,
    },
}

/// A checkpoint whose signatures have not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedCheckpoint {
    note: Note,
    stated: Checkpoint,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn to_note_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Signs with the ledger's key, whose name is the origin.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        if key.name() != self.origin {
            return Err(CheckpointError::Origin { found: self.origin.clone(), expected: key.name().to_owned() });
        }
        // What we would not accept, we do not sign.
        if parse_text(&self.to_note_text())? != *self {
            return Err(CheckpointError::Malformed("the origin is not one line"));
        }
        Ok(note::sign(&self.to_note_text(), &[key])?)
    }

    /// The ledger id, which ends the origin; `None` if the origin is not of a Ledgerstone ledger.
    pub fn ledger_id(&self) -> Option<Id> {
        ledger_id_of(&self.origin)
    }
}

/// The ledger id at the end of an origin.
pub fn ledger_id_of(origin: &str) -> Option<Id> {
    origin.rsplit_once('/').and_then(|(prefix, id)| if prefix.is_empty() { None } else { id.parse().ok() })
}

impl UnverifiedCheckpoint {
    /// Reads a signed checkpoint; checks its form only.
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let stated = parse_text(note.unverified_text())?;
        Ok(UnverifiedCheckpoint { note, stated })
    }

    /// Checks the signature of the ledger's key, whose name must be the origin, and gives what is signed.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
        if self.stated.origin != key.name() {
            let (found, expected) = (self.stated.origin.clone(), key.name().to_owned());
            return Err(CheckpointError::Origin { found, expected });
        }
        if !self.note.verify(key)? {
            return Err(CheckpointError::NotSigned { origin: self.stated.origin.clone(), vkey: key.to_string() });
        }
        Ok(self.stated.clone())
    }

    /// The cosignatures of these witnesses; a bad one condemns the checkpoint.
    pub fn cosignatures(&self, witnesses: &[VerifierKey]) -> Result<Vec<Cosignature>, CheckpointError> {
        let mut found = Vec::new();
        for witness in witnesses {
            found.extend(self.note.verify_cosignature(witness)?);
        }
        Ok(found)
    }

    /// What it states, believed by nobody yet: for messages, and to choose the key to check it with.
    pub fn unverified(&self) -> &Checkpoint {
        &self.stated
    }

    /// The note.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

impl fmt::Display for UnverifiedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

fn parse_text(text: &str) -> Result<Checkpoint, CheckpointError> {
    let malformed = CheckpointError::Malformed;
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(malformed("it has three lines: origin, size, root"));
    };
    if lines.next().is_some() {
        return Err(malformed("it has extension lines, which checkpoints of this format never have"));
    }
    if !note::is_name(origin) {
        return Err(malformed("the origin is empty, or has spaces, plus signs or control characters"));
    }
    let size = tiles::decimal(size).ok_or(malformed("the size is not a decimal number without leading zeros"))?;
    if size == 0 {
        return Err(malformed("size 0 is never signed: a ledger begins with its genesis"));
    }
    if size > crate::leaf::POSITION_LIMIT {
        return Err(malformed("the size is above 2^63"));
    }
    // 32 bytes have 44 characters; nothing longer is decoded.
    let root = if root.len() == 44 { STANDARD.decode(root).ok() } else { None };
    let root =
        root.and_then(|bytes| Hash::from_slice(&bytes)).ok_or(malformed("the root is not 32 bytes of base64"))?;
    Ok(Checkpoint { origin: origin.to_owned(), size, root })
}

impl fmt::Display for Checkpoint {
    /// For people: not the signed text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at size {}, root {}", shorten(&self.origin), self.size, self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::KeyKind;

    /// Verified by another implementation; the leaves are `entry 0` to `entry 69999`.
    const PUBLISHED: &str = "ledger.example/rs\n70000\no5IPun8jmgcam9EHIfE0Gt3vuu3ttBx+JEN6nRa98Ao=\n\n\
        — ledger.example/rs NOrb6w5Xvy0RzXZrTp7pMT9m487Fappu4UYmLWk/bbJk9+m7njfBIId7/oOn+RkdZhsKG5pBD/Ae6k5p8NLcjBuIqAQ=\n\
        — witness.example/w1 JLXZ/gAAAABlU/EA4EkfP1mRcsQW1vlKDz/bK0gJmPzZQB9QSn4TdicY/BEtNB6A+HBXxojFZFY+7WbsXFNxuEVhiOWFYeaYwzfoDw==\n";

    fn log() -> SigningKey {
        SigningKey::from_seed("ledger.example/rs", &[7; 32]).unwrap()
    }

    fn witness() -> SigningKey {
        SigningKey::new("witness.example/w1", KeyKind::CosignatureV1, &[9; 32]).unwrap()
    }

    #[test]
    fn the_published_checkpoint_and_cosignature_hold() {
        let read = UnverifiedCheckpoint::parse(PUBLISHED).unwrap();
        let checkpoint = read.verify(log().verifier()).unwrap();
        assert_eq!(checkpoint.size, 70_000);
        assert_eq!(checkpoint.root.to_string(), "a3920fba7f239a071a9bd10721f1341addefbaededb41c7e24437a9d16bdf00a");
        let cosignatures = read.cosignatures(&[witness().verifier().clone()]).unwrap();
        assert_eq!(cosignatures, [Cosignature { name: "witness.example/w1".into(), time_s: 1_700_000_000 }]);
        assert_eq!(read.to_string(), PUBLISHED);
    }

    #[test]
    fn signing_makes_the_published_bytes() {
        let checkpoint = UnverifiedCheckpoint::parse(PUBLISHED).unwrap().unverified().clone();
        let mut note = Note::parse(&checkpoint.sign(&log()).unwrap()).unwrap();
        note.add_signature_line(&note::cosign(note.unverified_text(), &witness(), 1_700_000_000).unwrap()).unwrap();
        assert_eq!(note.to_string(), PUBLISHED);
    }

    #[test]
    fn malformed_checkpoints_are_refused() {
        let root = "o5IPun8jmgcam9EHIfE0Gt3vuu3ttBx+JEN6nRa98Ao=";
        let wrong = [
            "a\n".to_owned(),
            "a\n1\n".into(),
            format!("a\n1\n{root}\nextension\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n0\n{root}\n"),
            "a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".into(),
            format!("\n1\n{root}\n"),
            format!("a b\n1\n{root}\n"),
            format!("a\n1\n{}\n", &root[1..]),
            format!("a\n1\n{root}=\n"),
            format!("a\n9223372036854775809\n{root}\n"),
            format!("a\n99999999999999999999\n{root}\n"),
            format!("a\n1\n{}B=\n", &root[..42]),
        ];
        let key = SigningKey::from_seed("a", &[7; 32]).unwrap();
        for text in wrong {
            let note = note::sign(&text, &[&key]).unwrap();
            assert!(UnverifiedCheckpoint::parse(&note).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_foreign_key_or_origin_is_refused() {
        let read = UnverifiedCheckpoint::parse(PUBLISHED).unwrap();
        let other_key = SigningKey::from_seed("ledger.example/rs", &[8; 32]).unwrap();
        assert!(matches!(read.verify(other_key.verifier()), Err(CheckpointError::NotSigned { .. })));
        let other_name = SigningKey::from_seed("ledger.example/other", &[7; 32]).unwrap();
        assert!(matches!(read.verify(other_name.verifier()), Err(CheckpointError::Origin { .. })));
    }

    #[test]
    fn only_what_would_be_accepted_is_signed() {
        let good = UnverifiedCheckpoint::parse(PUBLISHED).unwrap().unverified().clone();
        assert!(Checkpoint { size: 0, ..good.clone() }.sign(&log()).is_err());
        assert!(Checkpoint { size: u64::MAX, ..good.clone() }.sign(&log()).is_err());
        assert!(Checkpoint { origin: "other".into(), ..good }.sign(&log()).is_err());
    }

    #[test]
    fn the_ledger_id_ends_the_origin() {
        let id = Id([9; 16]);
        assert_eq!(ledger_id_of(&format!("ledger.example/a/{id}")), Some(id));
        for origin in ["ledger.example/rs", "", &id.to_string(), &format!("/{id}")] {
            assert_eq!(ledger_id_of(origin), None, "{origin}");
        }
    }
}
