//! How a new key takes over from the one before (docs/format.md, "Key rotation"; docs/architecture.md, "Decisions").
//!
//! The journal decides: a key is in force from the block on whose record says so. In between stands one checkpoint, of the
//! size that this block ends with, which both keys sign. Its note is kept for ever in `rotations/`, because the old key may
//! be gone and nothing else lets those who know only that one follow.
//!
//! 1. the new key is made and synced beside the old one;
//! 2. the block with the record becomes durable;
//! 3. the note of that size, signed by both, is written to `rotations/` and synced;
//! 4. the note is recorded in `checkpoint`: from here on the new key signs;
//! 5. the key files take their names.
//!
//! After a crash before 2 the old key stays in force, and the new one is left over. After one later the next start goes on
//! from where the journal and `checkpoint` stand, under whatever names it finds the keys.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use ledgerstone_digest::Id;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::rotation::{KeyChain, RotationRecord, hands_over};

use crate::checkpoint::{CheckpointError, Signed};
use crate::env::{EntryKind, Storage, read_file, write_whole};
use crate::error::{CommitError, Damage, FileError, Help, OpenError, ReadError};
use crate::keys::KeyError;
use crate::ledger::Ledger;
use crate::reader::Journal;
use crate::receipt::ReceiptError;
use crate::transaction::{Committed, Rotation, Transaction};

/// In a ledger's directory: the notes with which keys handed over. There is none before the first rotation.
pub const ROTATIONS_DIR: &str = "rotations";
const NOTE_SUFFIX: &str = ".note";
/// Longer files are no such notes.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// A note and the size that it signs.
pub(crate) type Note = (u64, Arc<str>);

/// Why the key was not rotated, or not to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// It was refused; nothing changed.
    #[error("{0}")]
    Refused(String),
    /// The keys could not be read or written; the old key stays in force.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No checkpoint can be signed, so no key can hand over; nothing changed.
    #[error("the key is not rotated while no checkpoint can be signed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The record did not commit. Unless its outcome is unknown, the old key stays in force.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The record is in the journal, but the old key has not handed over yet.
    #[error(
        "the rotation is recorded in block {}, and the old key hands over as soon as a checkpoint can be signed: {cause}; \
         keep both keys; the next start tries again",
        committed.block
    )]
    Unfinished {
        /// Where it is recorded.
        committed: Committed,
        /// What stood in the way.
        cause: Box<CheckpointError>,
    },
}

/// A key that has taken over.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// Where the record stands.
    pub committed: Committed,
    /// What it says.
    pub record: RotationRecord,
    /// The checkpoint with which the old key handed over, signed by both.
    pub note: Arc<str>,
    /// Why the key files have not taken their names, if they have not: the next start does it.
    pub unsettled: Option<String>,
}

/// A rotation that was begun: the new key is made and synced. Dropping this leaves the old key in force.
pub struct KeyRotation<'a> {
    ledger: &'a Ledger,
    keys: Rotation,
    version: u64,
    _one: MutexGuard<'a, ()>,
}

impl<'a> KeyRotation<'a> {
    pub(crate) fn begin(ledger: &'a Ledger, one: MutexGuard<'a, ()>) -> Result<KeyRotation<'a>, RotateError> {
        if let Some(error) = ledger.refusal() {
            return Err(error.into());
        }
        // What cannot be signed now could not be handed over either; and an earlier rotation ends first.
        ledger.notary.checkpoint()?;
        let chain = ledger.notary.chain();
        let new = ledger.notary.keys().make(ledger.origin(), &*ledger.journal.env.rng)?;
        let keys = Rotation { old: chain.current().clone(), new: new.verifier().clone() };
        ledger.notary.expect_key(new);
        let version = chain.keys().count() as u64 - 1;
        Ok(KeyRotation { ledger, keys, version, _one: one })
    }

    /// The key in force and the new one: what the transaction's record is about. The sequencer writes the record.
    pub fn keys(&self) -> &Rotation {
        &self.keys
    }

    /// The version that the record's revision will have.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Submits the transaction: one revision of table 4, of the document with the ledger's id. Returns when the new key
    /// signs. May be called again with another transaction after a conflict.
    pub fn commit(&self, transaction: Transaction) -> Result<Rotated, RotateError> {
        if transaction.rotation.as_ref() != Some(&self.keys) {
            return Err(RotateError::Refused("the transaction is not one of this rotation".to_owned()));
        }
        let future = self.ledger.submit(transaction);
        self.ledger.drive();
        let committed = future.wait()?;
        let from = committed.snapshot();
        let record = self.keys.record(from);
        let notary = &self.ledger.notary;
        if let Err(cause) = notary.checkpoint_reaching(from) {
            return Err(RotateError::Unfinished { committed, cause: Box::new(cause) });
        }
        // Done when the key took over; once more tells whether it went well.
        let unsettled = notary.keys().settle(&record.new).err().map(|error| error.to_string());
        let note = notary.handover(from).unwrap_or_default();
        Ok(Rotated { committed, record, note, unsettled })
    }
}

impl Drop for KeyRotation<'_> {
    fn drop(&mut self) {
        self.ledger.notary.forget_expected_key();
    }
}

/// The note kept for the rotation at a size.
pub(crate) fn note_path(dir: &Path, from: u64) -> PathBuf {
    dir.join(ROTATIONS_DIR).join(format!("{from:020}{NOTE_SUFFIX}"))
}

/// The size in the name of a note.
pub(crate) fn size_of_note(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(NOTE_SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The notes of a directory, ascending, as they are.
pub(crate) fn notes(storage: &dyn Storage, dir: &Path) -> Result<Vec<Note>, FileError> {
    let folder = dir.join(ROTATIONS_DIR);
    let entries = match storage.read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FileError { path: folder, action: "list it", source }),
    };
    let mut notes = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
        let Some(from) = size_of_note(&entry.name) else { continue };
        let path = folder.join(&entry.name);
        let bytes = read_file(storage, &path, NOTE_BYTES_MAX);
        let bytes = bytes.map_err(|source| FileError { path, action: "read it", source })?;
        notes.push((from, String::from_utf8_lossy(&bytes).into()));
    }
    Ok(notes)
}

/// Whether every key that was handed over to has its note, and each note still hands over. Gives the bytes of all.
pub(crate) fn check_notes(journal: &Journal, chain: &KeyChain) -> Result<u64, ReadError> {
    let kept = notes(&*journal.env.storage, &journal.dir)?;
    let mut bytes = 0;
    for size in chain.keys().skip(1).map(|trusted| trusted.size_min) {
        let damage =
            |what: String| Damage { path: note_path(&journal.dir, size), offset: 0, what, help: Help::Restore };
        let note = kept.iter().find(|(from, _)| *from == size);
        let (_, note) = note.ok_or_else(|| damage("the note of the key's rotation is missing".to_owned()))?;
        let record = record_ending_at(journal, size)?
            .ok_or_else(|| damage(format!("no block of the journal rotates the key at size {size}")))?;
        hands_over(note, &record).map_err(|refusal| damage(format!("the note does not hand over: {refusal}")))?;
        bytes += note.len() as u64;
    }
    Ok(bytes)
}

/// Keeps a note, durably.
pub(crate) fn keep_note(storage: &dyn Storage, dir: &Path, from: u64, note: &str) -> Result<(), FileError> {
    let (folder, path) = (dir.join(ROTATIONS_DIR), note_path(dir, from));
    let failed = |path: &Path, action| {
        let path = path.to_owned();
        move |source| FileError { path, action, source }
    };
    if !storage.exists(&folder) {
        storage.create_dir_all(&folder).map_err(failed(&folder, "make the directory"))?;
    }
    storage.sync_dir(dir).map_err(failed(dir, "sync it"))?;
    let new = path.with_extension("new");
    write_whole(storage, &new, note.as_bytes()).map_err(failed(&new, "write it"))?;
    storage.rename(&new, &path).map_err(failed(&path, "rename it"))?;
    storage.sync_dir(&folder).map_err(failed(&folder, "sync it"))
}

/// Which keys were in force, as far as the recorded checkpoint, and what comes behind it.
pub(crate) struct Found {
    pub chain: KeyChain,
    /// The record of a rotation that no note hands over yet.
    pub pending: Option<RotationRecord>,
    /// The notes of those that were handed over. Each is a recorded checkpoint, like the one in `checkpoint`.
    pub notes: Vec<Note>,
    /// One of them is not kept: it is the recorded checkpoint, and can be kept again.
    pub lost: Option<Note>,
}

impl Found {
    /// The last note, if it is of a larger size than `checkpoint` has: a crash came between the two, or one of the two
    /// slots there is damaged.
    pub fn beyond(&self, recorded: &Signed) -> Option<Signed> {
        let (_, note) = self.notes.last().filter(|(from, _)| *from > recorded.checkpoint.size)?;
        let checkpoint = self.chain.verify(note).ok()?;
        Some(Signed { checkpoint, note: note.clone() })
    }
}

/// Follows the rotations from the genesis' key on, and changes nothing. `notes` are all that are kept; `recorded` is not
/// believed here.
pub(crate) fn find(
    journal: &Journal,
    first: VerifierKey,
    mut notes: Vec<Note>,
    recorded: &Signed,
    end: u64,
) -> Result<Found, OpenError> {
    let size = recorded.checkpoint.size;
    let dir = &journal.dir;
    if let Some((from, _)) = notes.last().filter(|(from, _)| *from > end) {
        return Err(OpenError::BehindCheckpoint { path: dir.clone(), end, recorded: *from });
    }
    let mut lost = None;
    if notes.last().is_none_or(|(from, _)| *from < size)
        && let Some(record) = record_ending_at(journal, size)?
        && hands_over(&recorded.note, &record).is_ok()
    {
        notes.push((size, recorded.note.clone()));
        lost = notes.last().cloned();
    }
    let mut chain = KeyChain::new(first);
    for (from, note) in &notes {
        let path = note_path(dir, *from);
        let wrong = |what: String| OpenError::Rotation { path: path.clone(), what };
        let record = record_ending_at(journal, *from)?
            .ok_or_else(|| wrong(format!("no block of the journal rotates the key at size {from}")))?;
        chain.rotate(&record, *from).map_err(|problem| {
            wrong(format!("the rotation at size {from} does not follow from the one before: {problem}"))
        })?;
        hands_over(note, &record).map_err(|refusal| wrong(format!("the note does not hand over: {refusal}")))?;
    }
    let handed_over = notes.last().map_or(0, |(from, _)| *from);
    let pending = pending(journal, size.max(handed_over), end)?;
    if let Some(record) = &pending {
        chain.clone().rotate(record, record.from).map_err(|problem| OpenError::Rotation {
            path: dir.clone(),
            what: format!("the rotation in the journal at size {} does not follow: {problem}", record.from),
        })?;
    }
    Ok(Found { chain, pending, notes, lost })
}

/// The rotation behind the recorded size: at most one, since none begins before the one before is handed over.
fn pending(journal: &Journal, size: u64, end: u64) -> Result<Option<RotationRecord>, OpenError> {
    let mut position = size;
    while position < end {
        let Some(leaf) = journal.block_from(position)? else { break };
        let head = journal.head(leaf)?;
        if head.groups.iter().any(|group| group.table_id == Id::KEYS) {
            return Ok(record_ending_at(journal, leaf + 1)?);
        }
        position = leaf + 1;
    }
    Ok(None)
}

/// The record of the rotation whose block ends at a size, if one does.
fn record_ending_at(journal: &Journal, size: u64) -> Result<Option<RotationRecord>, ReadError> {
    // The genesis, a revision and a block leaf come first.
    let Some(leaf) = size.checked_sub(1).filter(|leaf| *leaf >= 2) else { return Ok(None) };
    if journal.block_from(leaf)? != Some(leaf) {
        return Ok(None);
    }
    let head = journal.head(leaf)?;
    if head.revisions != 1 || !head.groups.iter().any(|group| group.table_id == Id::KEYS) {
        return Ok(None);
    }
    let revision = journal.revision(leaf - 1)?;
    Ok(revision.data.as_deref().and_then(RotationRecord::from_value).filter(|record| record.from == size))
}

impl Ledger {
    /// Makes a new key and begins to rotate to it. One rotation at a time; sessions go on.
    pub fn rotate_key(&self) -> Result<KeyRotation<'_>, RotateError> {
        KeyRotation::begin(self, self.hold_rotations())
    }

    /// The keys of this ledger in the order they were in force, each with the sizes it may sign.
    pub fn keys(&self) -> KeyChain {
        self.notary.chain()
    }

    /// What lets somebody who trusts `from` come to trust the key in force: a receipt for each rotation since, in order,
    /// each under the checkpoint with which the key before handed over. `None` begins with the first key.
    pub fn rotations(&self, from: Option<&VerifierKey>) -> Result<Vec<Vec<u8>>, ReceiptError> {
        let chain = self.notary.chain();
        let known = from.and_then(|key| chain.keys().position(|trusted| trusted.key == *key)).unwrap_or(0);
        let sizes: Vec<u64> = chain.keys().skip(known + 1).map(|trusted| trusted.size_min).collect();
        sizes.into_iter().map(|size| Ok(self.rotation_receipt(size)?.encode())).collect()
    }
}
