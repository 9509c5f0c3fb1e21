//! Rotation of a ledger's signing key (docs/format.md, "Key rotation"): the record in the system table `keys`, and how
//! somebody who trusts the old key comes to trust the new one.
//!
//! The record alone makes nobody believe anything: whoever writes to a ledger's files could add one. What carries over is
//! the checkpoint that ends with the record's block: it is the last one that the old key may sign, the first one that the
//! new key may sign, and both do.

use crate::checkpoint::{Checkpoint, UnverifiedCheckpoint, ledger_id_of};
use crate::id::Id;
use crate::ion::{Int, Struct, Value};
use crate::note::{KeyKind, VerifierKey};
use crate::receipt::{Content, Receipt};
use crate::refusal::Refusal;
use crate::verifier::{self, Expectation, Trust, TrustedKey};

/// The data of a revision in [`Id::KEYS`]: `{old: string, new: string, from: int}`, fields in any order, no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationRecord {
    /// The key that was in force.
    pub old: VerifierKey,
    /// The key that comes into force.
    pub new: VerifierKey,
    /// The size of the tree that ends with the record's block: the last that the old key may sign, the first that the
    /// new one may.
    pub from: u64,
}

/// Why a record rotates no key, or not for this reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationProblem {
    /// Not `{old, new, from}`.
    #[error("it is not a record {{old, new, from}} of two Ed25519 verifier keys and a size")]
    NotARecord,
    /// Not the document of the ledger's key.
    #[error("it is of document {found}; the key of {expected} is the document with the ledger's own id")]
    Document {
        /// The ledger's origin, which ends with its id.
        expected: String,
        /// The document.
        found: Id,
    },
    /// Another revision stands in the block.
    #[error("its block makes {0} revisions; a rotation is alone in its block")]
    NotAlone(u32),
    /// It rotates another key than the one in force.
    #[error("it ends key {found}, but {expected} is in force")]
    Old {
        /// The key in force.
        expected: String,
        /// The key that the record ends.
        found: String,
    },
    /// The new key is of another name, or was in force before.
    #[error("the new key {0} is not of this ledger, or was in force before")]
    New(String),
    /// The size is not the one that its block ends with.
    #[error("it says from size {found} on, but its block ends at size {expected}")]
    From {
        /// The end of the block.
        expected: u64,
        /// What the record says.
        found: u64,
    },
    /// The checkpoint is not the one that hands over.
    #[error("the key changes at size {from}, and only the checkpoint of that size shows it; this one has size {size}")]
    OtherSize {
        /// Where the key changes.
        from: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The new key has not signed.
    #[error("the checkpoint of size {from} is not signed by the new key {new} as well")]
    NotSignedByNew {
        /// Where the key changes.
        from: u64,
        /// The new key.
        new: String,
    },
}

impl RotationRecord {
    /// The record as data.
    pub fn to_value(&self) -> Value {
        Value::Struct(Struct::from_fields([
            ("old", Value::string(self.old.to_string())),
            ("new", Value::string(self.new.to_string())),
            ("from", Value::Int(Int::from(self.from))),
        ]))
    }

    /// Reads the record. `None` if it is none.
    pub fn from_value(value: &Value) -> Option<RotationRecord> {
        let Value::Struct(fields) = value else { return None };
        if fields.len() != 3 {
            return None;
        }
        let key = |name| match fields.get(name) {
            Some(Value::String(text)) => text.parse().ok().filter(|key: &VerifierKey| key.kind() == KeyKind::Ed25519),
            _ => None,
        };
        let from = match fields.get("from") {
            Some(Value::Int(from)) => from.to_u64()?,
            _ => return None,
        };
        Some(RotationRecord { old: key("old")?, new: key("new")?, from })
    }
}

/// The keys of one ledger in the order they were in force, each with the sizes it may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChain {
    /// Each ends with the size that the next one begins at.
    earlier: Vec<TrustedKey>,
    current: TrustedKey,
}

impl KeyChain {
    /// A chain of one key, which may sign every size as far as is known.
    pub fn new(first: VerifierKey) -> KeyChain {
        KeyChain { earlier: Vec::new(), current: TrustedKey::always(first) }
    }

    /// Adds a rotation whose block ends at `end`. Whether the old key agreed is for the caller to know.
    pub fn rotate(&mut self, record: &RotationRecord, end: u64) -> Result<(), RotationProblem> {
        let current = self.current();
        if record.old != *current {
            let (expected, found) = (current.to_string(), record.old.to_string());
            return Err(RotationProblem::Old { expected, found });
        }
        if record.new.name() != current.name() || self.of(&record.new).is_some() {
            return Err(RotationProblem::New(record.new.to_string()));
        }
        if record.from != end {
            return Err(RotationProblem::From { expected: end, found: record.from });
        }
        let next = TrustedKey { key: record.new.clone(), size_min: end, size_max: u64::MAX };
        let ended = std::mem::replace(&mut self.current, next);
        self.earlier.push(TrustedKey { size_max: end, ..ended });
        Ok(())
    }

    /// Follows a rotation that a receipt shows under the checkpoint with which the old key hands over. Nothing changes
    /// if it is refused. Give the receipts of several rotations in their order.
    pub fn follow(&mut self, receipt: &Receipt) -> Result<RotationRecord, Refusal> {
        let current = self.current().clone();
        let origin = current.name().to_owned();
        let Some(document_id) = ledger_id_of(&origin) else {
            let found = receipt.revisions.first().map_or(Id::ZERO, |revision| revision.leaf.document_id);
            return Err(RotationProblem::Document { expected: origin, found }.into());
        };
        let expectation = Expectation { origin, table_id: Id::KEYS, document_id, version: None, content: None };
        // The key that is trusted so far; how far, the record says.
        let trust = Trust { keys: vec![self.current.clone()], ..Trust::default() };
        let verdict = verifier::verify(receipt, &trust, &expectation)?;
        let record = verdict.data.as_deref().and_then(RotationRecord::from_value).ok_or(RotationProblem::NotARecord)?;
        if verdict.block.revisions != 1 {
            return Err(RotationProblem::NotAlone(verdict.block.revisions).into());
        }
        let mut longer = self.clone();
        longer.rotate(&record, verdict.block.position.saturating_add(1))?;
        hands_over(&receipt.checkpoint, &record)?;
        *self = longer;
        Ok(record)
    }

    /// Whether a receipt says that it rotates the key in force: of several, those from before say nothing to this reader.
    pub fn is_next(&self, receipt: &Receipt) -> bool {
        stated(receipt).is_some_and(|record| record.old == *self.current())
    }

    /// The key in force at the end.
    pub fn current(&self) -> &VerifierKey {
        &self.current.key
    }

    /// All keys, in the order they were in force.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &TrustedKey> {
        self.earlier.iter().chain([&self.current])
    }

    /// A key and the sizes it may sign, if it is in the chain.
    pub fn of(&self, key: &VerifierKey) -> Option<&TrustedKey> {
        self.keys().find(|trusted| trusted.key == *key)
    }

    /// The key that may have signed a checkpoint, and has; the later one of the two that sign where a key changes.
    pub fn signer(&self, note: &str) -> Option<&VerifierKey> {
        let read = UnverifiedCheckpoint::parse(note).ok()?;
        let size = read.unverified().size;
        let within = |key: &&TrustedKey| (key.size_min..=key.size_max).contains(&size);
        self.keys().rev().filter(within).map(|trusted| &trusted.key).find(|key| read.verify(key).is_ok())
    }

    /// Trust in these keys, with no witnesses and nothing pinned.
    pub fn trust(&self) -> Trust {
        Trust { keys: self.keys().cloned().collect(), ..Trust::default() }
    }

    /// Checks a checkpoint's signature by a key that may sign its size.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, Refusal> {
        Ok(verifier::verify_signatures(note, &self.trust(), self.current().name())?.checkpoint)
    }
}

/// What a receipt of a rotation says, believed by nobody yet: to choose among several.
pub fn stated(receipt: &Receipt) -> Option<RotationRecord> {
    match &receipt.revisions.first()?.opening.as_ref()?.content {
        Content::Data { data, .. } => RotationRecord::from_value(data),
        _ => None,
    }
}

/// The checkpoint of exactly the size where the key changes, signed by both. Gives what it says.
pub fn hands_over(note: &str, record: &RotationRecord) -> Result<Checkpoint, Refusal> {
    let read = UnverifiedCheckpoint::parse(note)?;
    let checkpoint = read.verify(&record.old)?;
    if checkpoint.size != record.from {
        return Err(RotationProblem::OtherSize { from: record.from, size: checkpoint.size }.into());
    }
    match read.note().verify(&record.new).map_err(crate::checkpoint::CheckpointError::from)? {
        true => Ok(checkpoint),
        false => Err(RotationProblem::NotSignedByNew { from: record.from, new: record.new.to_string() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;

    const ORIGIN: &str = "ledger.example/0000000000000000000001";

    fn key(seed: u8) -> VerifierKey {
        SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap().verifier().clone()
    }

    fn record(old: u8, new: u8, from: u64) -> RotationRecord {
        RotationRecord { old: key(old), new: key(new), from }
    }

    #[test]
    fn a_record_is_read_back_and_nothing_else_is_one() {
        let record = record(1, 2, u64::MAX);
        let value = record.to_value();
        assert_eq!(RotationRecord::from_value(&value), Some(record));
        let Value::Struct(whole) = value else { unreachable!() };
        for at in 0..whole.fields.len() {
            let mut fewer = whole.clone();
            let field = fewer.fields.remove(at);
            assert_eq!(RotationRecord::from_value(&Value::Struct(fewer)), None);
            let mut twice = whole.clone();
            twice.fields.push(field);
            assert_eq!(RotationRecord::from_value(&Value::Struct(twice)), None);
            let mut other = whole.clone();
            other.fields[at].1 = Value::string("x");
            assert_eq!(RotationRecord::from_value(&Value::Struct(other)), None);
        }
        let witness = SigningKey::new(ORIGIN, KeyKind::CosignatureV1, &[3; 32]).unwrap();
        let mut cosigner = whole.clone();
        cosigner.fields[1].1 = Value::string(witness.verifier().to_string());
        assert_eq!(RotationRecord::from_value(&Value::Struct(cosigner)), None);
        assert_eq!(RotationRecord::from_value(&Value::NULL), None);
    }

    #[test]
    fn each_key_begins_where_the_one_before_ends() {
        let mut chain = KeyChain::new(key(1));
        chain.rotate(&record(1, 2, 10), 10).unwrap();
        chain.rotate(&record(2, 3, 25), 25).unwrap();
        let ranges: Vec<_> = chain.keys().map(|key| (key.size_min, key.size_max)).collect();
        assert_eq!(ranges, [(1, 10), (10, 25), (25, u64::MAX)]);
        assert_eq!(*chain.current(), key(3));
    }

    #[test]
    fn a_rotation_that_does_not_follow_changes_nothing() {
        let mut chain = KeyChain::new(key(1));
        chain.rotate(&record(1, 2, 10), 10).unwrap();
        let before = chain.clone();
        assert!(matches!(chain.rotate(&record(1, 3, 20), 20), Err(RotationProblem::Old { .. })));
        assert!(matches!(chain.rotate(&record(2, 1, 20), 20), Err(RotationProblem::New(_))), "a key came back");
        assert!(matches!(chain.rotate(&record(2, 2, 20), 20), Err(RotationProblem::New(_))));
        assert!(matches!(chain.rotate(&record(2, 3, 19), 20), Err(RotationProblem::From { expected: 20, found: 19 })));
        let other = SigningKey::from_seed("ledger.example/other", &[3; 32]).unwrap().verifier().clone();
        let foreign = RotationRecord { new: other, ..record(2, 3, 20) };
        assert!(matches!(chain.rotate(&foreign, 20), Err(RotationProblem::New(_))));
        assert_eq!(chain, before);
    }
}
