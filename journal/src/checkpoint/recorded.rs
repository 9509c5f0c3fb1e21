//! The recorded checkpoint: the file `checkpoint` in a ledger's directory, which a start believes only after the journal has
//! said which key may have signed it.

use std::path::{Path, PathBuf};

use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::verifier::Refusal;

use super::{CHECKPOINT_FILE, CHECKPOINT_MAGIC, CheckpointError, Signed, sign};
use crate::env::Storage;
use crate::slots::{SlotError, SlotFile};

/// Writes the first checkpoint of a ledger that is being created: size 1, the genesis alone. The caller syncs the
/// directory.
pub fn create(
    storage: &dyn Storage,
    ledger_dir: &Path,
    origin: &str,
    genesis_leaf_hash: Hash,
    key: &SigningKey,
) -> Result<(), CheckpointError> {
    let signed = sign(origin, 1, genesis_leaf_hash, &[key])?;
    SlotFile::create(storage, &ledger_dir.join(CHECKPOINT_FILE), CHECKPOINT_MAGIC, signed.note.as_bytes())?;
    Ok(())
}

/// The recorded checkpoint: what recovery must reach.
pub struct Recorded {
    pub(super) file: SlotFile,
    pub(super) path: PathBuf,
    /// The newest checkpoint that was stored.
    pub signed: Signed,
}

/// The recorded checkpoint before its signature was checked.
pub struct UnverifiedRecorded(Recorded);

impl Recorded {
    /// Reads the file of a ledger, and checks only its form: which key may have signed it, the journal says.
    pub fn read(storage: &dyn Storage, ledger_dir: &Path) -> Result<UnverifiedRecorded, CheckpointError> {
        let path = ledger_dir.join(CHECKPOINT_FILE);
        let (file, payload) = match SlotFile::open(storage, &path, CHECKPOINT_MAGIC) {
            Ok(found) => found,
            Err(SlotError::Missing { path }) => return Err(CheckpointError::Missing { path }),
            Err(error) => return Err(error.into()),
        };
        let foreign = |reason: String| CheckpointError::Foreign { path: path.clone(), reason };
        let note = String::from_utf8(payload).map_err(|_| foreign("it is not UTF-8".into()))?;
        let unverified = UnverifiedCheckpoint::parse(&note).map_err(|error| foreign(error.to_string()))?;
        let signed = Signed { checkpoint: unverified.unverified().clone(), note: note.into() };
        Ok(UnverifiedRecorded(Recorded { file, path, signed }))
    }

    /// Refuses a journal of `leaves` leaves that does not reach the recorded size.
    pub fn must_be_reached(&self, leaves: u64) -> Result<(), CheckpointError> {
        let recorded = self.signed.checkpoint.size;
        match recorded <= leaves {
            true => Ok(()),
            false => Err(CheckpointError::NotReached { path: self.path.clone(), recorded, journal: leaves }),
        }
    }
}

impl UnverifiedRecorded {
    /// Checks the note's signature, by a key that may sign its size, and its origin, which is the key's name.
    pub fn verify(self, keys: &KeyChain) -> Result<Recorded, CheckpointError> {
        self.check(keys).map(|()| self.0)
    }

    /// As [`UnverifiedRecorded::verify`], for whoever goes on later.
    pub fn check(&self, keys: &KeyChain) -> Result<(), CheckpointError> {
        let Recorded { path, signed, .. } = &self.0;
        let Err(refusal) = keys.verify(&signed.note) else { return Ok(()) };
        let mut reason = refusal.to_string();
        if matches!(&refusal, Refusal::Checkpoint(ledgerstone_digest::checkpoint::CheckpointError::NotSigned { .. })) {
            reason.push_str(
                "; if the key was rotated, the note of that is missing from `rotations`: restore it from a backup",
            );
        }
        Err(CheckpointError::Foreign { path: path.clone(), reason })
    }

    /// What it says, for whoever checks later.
    pub fn unverified(&self) -> &Signed {
        &self.0.signed
    }

    /// As [`Recorded::must_be_reached`].
    pub fn must_be_reached(&self, leaves: u64) -> Result<(), CheckpointError> {
        self.0.must_be_reached(leaves)
    }
}
