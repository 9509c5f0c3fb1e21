//! The notary: signs checkpoints, one at a time, keeps the tree up with the journal, and hands over from key to key.
//!
//! | module | what lives there |
//! |---|---|
//! | `expected` | the leaf hashes that what is read back is compared with |
//! | `tasks` | the threads that sign and derive by themselves, and what they and commits tell each other |

mod expected;
#[cfg(test)]
mod fixtures;
mod tasks;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::rotation::{KeyChain, RotationRecord};

use self::expected::Expected;
use self::tasks::Alarm;
use super::recorded::Recorded;
use super::{CheckpointError, Signed, sign};
use crate::env::{Storage, Waiting};
use crate::keyring::Keys;
use crate::mutation::{self, Mutation};
use crate::reserve;
use crate::rotation::{self, Note};
use crate::slots::SlotFile;
use crate::tree::Tree;

/// Leaf hashes handed to the tree at a time. Others wait meanwhile, for a thread that may have to give way.
const LEAVES_PER_RUN: usize = 256;

/// What the signing task reads: leaf hashes derived from the bytes of the journal's files.
pub trait Leaves: Send + Sync {
    /// Calls `each` with the leaf hashes of `from..to`, in order; of whole blocks of them if `enough` of them are less, and
    /// at least of one block. `to` is a durable block boundary.
    fn leaf_hashes(&self, from: u64, to: u64, enough: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String>;
}

/// The keys that a notary signs with.
#[derive(Debug)]
pub struct Signers {
    /// Where they are found.
    pub keys: Keys,
    /// Those that were in force so far, the last of them now.
    pub chain: KeyChain,
    /// The one in force.
    pub key: SigningKey,
    /// The notes with which keys handed over so far, by size.
    pub(crate) notes: Vec<Note>,
    /// A rotation whose block is durable and whose size is not signed yet.
    pub due: Option<Due>,
}

/// A key that is to take over.
#[derive(Debug)]
pub struct Due {
    /// What the journal says.
    pub record: RotationRecord,
    /// The new key.
    pub key: SigningKey,
}

/// Signs checkpoints, one at a time, and keeps the tree up with the journal.
pub struct Notary {
    storage: Arc<dyn Storage>,
    tree: Tree,
    leaves: Arc<dyn Leaves>,
    origin: String,
    keys: Keys,
    handing_over: Mutex<HandingOver>,
    known: RwLock<Known>,
    path: PathBuf,
    durable: AtomicU64,
    newest: RwLock<Signed>,
    signing: Mutex<Signing>,
    /// Who waits for `signing`, other than those that have time.
    wanted: Waiting,
    /// Behind the last of the large blocks.
    large_before: AtomicU64,
    expected: Mutex<Expected>,
    alarm: Mutex<Alarm>,
    rung: Condvar,
    /// Fewer leaves are expected than before.
    room: Condvar,
}

/// Owned by whoever signs at the moment.
struct Signing {
    file: SlotFile,
    /// The key in force.
    key: SigningKey,
    /// The first failure; nothing is signed after it until a restart.
    failed: Option<CheckpointError>,
}

/// The keys that were in force so far, and the notes with which they handed over.
struct Known {
    chain: KeyChain,
    notes: Vec<Note>,
}

/// A rotation under way.
#[derive(Default)]
struct HandingOver {
    /// Made, and not in the journal yet.
    expected: Option<SigningKey>,
    /// In the journal.
    due: Option<Due>,
}

impl Notary {
    /// Opens the tree beside a recovered journal of `durable` leaves, brings it up to the recorded size, and refuses a
    /// journal whose root there is not the recorded one. A tree that disagrees is rebuilt once before that is said. What
    /// lies behind is left to whoever signs next: a start does not wait for the leaves of a large transaction.
    pub fn open(
        storage: Arc<dyn Storage>,
        ledger_dir: &Path,
        leaves: Arc<dyn Leaves>,
        recorded: Recorded,
        signers: Signers,
        durable: u64,
    ) -> Result<Arc<Notary>, CheckpointError> {
        recorded.must_be_reached(durable)?;
        let (tree, dropped) = Tree::open(Arc::clone(&storage), ledger_dir, durable)?;
        if let Some(reason) = dropped {
            tracing::warn!(reason, "the tree's files are rebuilt from the journal");
        }
        let Recorded { file, path, signed } = recorded;
        let Signers { keys, chain, key, notes, due } = signers;
        let notary = Notary {
            storage,
            tree,
            leaves,
            origin: signed.checkpoint.origin.clone(),
            keys,
            handing_over: Mutex::new(HandingOver { expected: None, due }),
            known: RwLock::new(Known { chain, notes }),
            path,
            durable: AtomicU64::new(durable),
            newest: RwLock::new(signed.clone()),
            signing: Mutex::new(Signing { file, key, failed: None }),
            wanted: Waiting::default(),
            large_before: AtomicU64::new(0),
            expected: Mutex::new(Expected::from(durable)),
            alarm: Mutex::new(Alarm::default()),
            rung: Condvar::new(),
            room: Condvar::new(),
        };
        let recorded = signed.checkpoint.size;
        notary.catch_up(recorded)?;
        let agrees = || notary.must_extend(&signed).and_then(|()| notary.check_handovers());
        if let Err(error) = agrees() {
            tracing::warn!(%error, "the tree's files are rebuilt from the journal");
            notary.tree.clear()?;
            notary.catch_up(recorded)?;
            agrees()?;
        }
        Ok(Arc::new(notary))
    }

    /// A key that will take over at a block which is about to be submitted.
    pub fn expect_key(&self, key: SigningKey) {
        lock(&self.handing_over).expected = Some(key);
    }

    /// That block will not come.
    pub fn forget_expected_key(&self) {
        lock(&self.handing_over).expected = None;
    }

    /// The block of a rotation is durable. Called before its leaves are said to be, so that nobody signs beyond it first.
    pub fn rotated(&self, record: RotationRecord) {
        let mut handing_over = lock(&self.handing_over);
        match handing_over.expected.take() {
            Some(key) if *key.verifier() == record.new => handing_over.due = Some(Due { record, key }),
            _ => {
                drop(handing_over);
                // Nobody has this key in hand: the next start looks for it.
                let reason = format!("the journal rotates the key to {}, which was not made here", record.new);
                self.fail(&mut self.signing(), CheckpointError::Key(reason));
            }
        }
    }

    /// The keys that were in force so far, and the sizes they may sign.
    pub fn chain(&self) -> KeyChain {
        self.known.read().unwrap_or_else(PoisonError::into_inner).chain.clone()
    }

    /// The note with which a key handed over at this size.
    pub fn handover(&self, size: u64) -> Option<Arc<str>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.notes.iter().find(|(from, _)| *from == size).map(|(_, note)| note.clone())
    }

    /// All notes with which keys handed over, by size.
    pub(crate) fn handovers(&self) -> Vec<Note> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).notes.clone()
    }

    /// Where keys are found.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many leaves are durable.
    pub fn durable_size(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The newest checkpoint that is stored, without signing.
    pub fn newest(&self) -> Signed {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A checkpoint of at least everything that is durable now, signed if there is none yet.
    pub fn checkpoint(&self) -> Result<Signed, CheckpointError> {
        self.checkpoint_reaching(self.durable.load(Ordering::Acquire))
    }

    /// A checkpoint of at least `size` leaves, which must be durable.
    pub fn checkpoint_reaching(&self, size: u64) -> Result<Signed, CheckpointError> {
        let newest = self.newest();
        if newest.checkpoint.size >= size {
            return Ok(newest);
        }
        let mut signing = self.signing();
        let newest = self.newest();
        if newest.checkpoint.size >= size {
            return Ok(newest);
        }
        if let Some(error) = &signing.failed {
            return Err(error.clone());
        }
        let signed = self.sign_next(&mut signing, &newest);
        self.judge(&mut signing, signed.as_ref().err());
        signed
    }

    /// The signing side, of which whoever has it for want of something better to do lets go soon.
    fn signing(&self) -> MutexGuard<'_, Signing> {
        self.wanted.during(|| lock(&self.signing))
    }

    /// What an attempt to sign, or to get ready for it, means for those to come.
    fn judge(&self, signing: &mut Signing, outcome: Option<&CheckpointError>) {
        lock(&self.expected).stuck = outcome.is_some();
        match outcome {
            None => {}
            // The tree is derived: what could not be written, or may be lost as a sync failed, is still in memory, and the
            // next attempt writes it.
            Some(error @ CheckpointError::Tree(_)) => tracing::warn!(%error, "no checkpoint was signed"),
            // On a file system that copies what is written, a slot needs room as well. It is written whole again.
            Some(error) if error.is_full() => tracing::warn!(%error, "no checkpoint was signed"),
            Some(error) => {
                tracing::error!(%error, "signing checkpoints stops until a restart");
                self.fail(signing, error.clone());
            }
        }
    }

    /// Nothing is signed any more.
    fn fail(&self, signing: &mut Signing, error: CheckpointError) {
        signing.failed = Some(error);
        *lock(&self.expected) = Expected::closed();
        self.room.notify_all();
    }

    /// The tree behind the checkpoints; it reaches at least the newest one.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Signs a last checkpoint, writes the tree out, and ends the tasks.
    pub fn close(&self) -> Result<(), CheckpointError> {
        self.end_tasks();
        let last = || -> Result<(), CheckpointError> {
            self.checkpoint()?;
            Ok(self.tree.sync()?)
        };
        match last() {
            Err(error) if error.is_full() && reserve::release(&*self.storage, self.ledger_dir()) => last(),
            outcome => outcome,
        }
    }

    fn ledger_dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn sign_next(&self, signing: &mut Signing, newest: &Signed) -> Result<Signed, CheckpointError> {
        let mut size = self.durable.load(Ordering::Acquire);
        self.catch_up(size)?;
        self.must_extend(newest)?;
        if let Some(handed_over) = self.hand_over(signing, size)?
            && handed_over.checkpoint.size == size
        {
            return Ok(handed_over);
        }
        if mutation::is_on(Mutation::SignOlderHead) {
            size = newest.checkpoint.size;
        }
        let signed = sign(&self.origin, size, self.tree.root_at(size)?, &[&signing.key])?;
        self.record(signing, &signed)?;
        Ok(signed)
    }

    fn record(&self, signing: &mut Signing, signed: &Signed) -> Result<(), CheckpointError> {
        signing.file.store(signed.note.as_bytes())?;
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = signed.clone();
        Ok(())
    }

    /// If the key changes at or below `size`: signs the size where it does with both, and keeps that note for ever before
    /// it is recorded. Then the new key is in force.
    fn hand_over(&self, signing: &mut Signing, size: u64) -> Result<Option<Signed>, CheckpointError> {
        let (record, key) = match &lock(&self.handing_over).due {
            Some(Due { record, key }) if record.from <= size => (record.clone(), key.clone()),
            _ => return Ok(None),
        };
        let from = record.from;
        let signed = sign(&self.origin, from, self.tree.root_at(from)?, &[&signing.key, &key])?;
        rotation::keep_note(&*self.storage, self.ledger_dir(), from, &signed.note)?;
        self.record(signing, &signed)?;
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.chain.rotate(&record, from).map_err(|problem| CheckpointError::Key(problem.to_string()))?;
            known.notes.push((from, signed.note.clone()));
        }
        if !mutation::is_on(Mutation::OldKeySignsOn) {
            signing.key = key;
        }
        lock(&self.handing_over).due = None;
        // Names are for people, who might remove a file that looks unused: not left to the next start if it can be helped.
        if let Err(error) = self.keys.settle(&record.new) {
            tracing::warn!(%error, "the new key signs, but its file has not taken its name; the next start tries again");
        }
        Ok(Some(signed))
    }

    /// What keys signed together when they handed over must be roots of this tree.
    fn check_handovers(&self) -> Result<(), CheckpointError> {
        for (size, note) in self.handovers() {
            let path = rotation::note_path(self.ledger_dir(), size);
            let foreign = |reason: String| CheckpointError::Foreign { path: path.clone(), reason };
            let read = UnverifiedCheckpoint::parse(&note).map_err(|error| foreign(error.to_string()))?;
            let (recorded, found) = (read.unverified().root, self.tree.root_at(size)?);
            if found != recorded {
                return Err(CheckpointError::OtherRoot { path, size, recorded, found });
            }
        }
        Ok(())
    }

    /// Derives the leaves that the tree lacks from the journal's bytes. Only the signer and `open` call it.
    fn catch_up(&self, size: u64) -> Result<(), CheckpointError> {
        self.catch_up_some(size, u64::MAX)
    }

    /// The same of about so many leaves.
    fn catch_up_some(&self, size: u64, enough: u64) -> Result<(), CheckpointError> {
        let from = self.tree.size();
        if from >= size {
            return Ok(());
        }
        let mut at = from;
        let mut run = Vec::new();
        let mut failed = None;
        let read = self.leaves.leaf_hashes(from, size, enough, &mut |leaf| {
            run.push(leaf);
            if run.len() >= LEAVES_PER_RUN && failed.is_none() {
                failed = self.add(&mut at, &mut run).err();
            }
        });
        let journal = |reason| CheckpointError::Journal { signed: self.newest().checkpoint.size, reason };
        read.map_err(journal)?;
        match failed {
            Some(error) => return Err(error),
            None => self.add(&mut at, &mut run)?,
        }
        if at != size && at.saturating_sub(from) < enough {
            return Err(journal(format!("the journal gave leaves {from}..{at} where {from}..{size} are durable")));
        }
        Ok(())
    }

    /// Compares leaf hashes with what the sequencer computed, then adds them to the tree. Those that the tree does not take are
    /// read again, and compared again.
    fn add(&self, at: &mut u64, run: &mut Vec<Hash>) -> Result<(), CheckpointError> {
        if let Some(position) = lock(&self.expected).differs(*at, run) {
            let reason = format!("the leaf at position {position} reads back with another hash than was committed");
            return Err(CheckpointError::Journal { signed: self.newest().checkpoint.size, reason });
        }
        self.tree.append(run)?;
        *at += run.len() as u64;
        run.clear();
        lock(&self.expected).forget_before(*at);
        self.room.notify_all();
        Ok(())
    }

    /// A log that signs two histories can never be repaired, so the tree is compared with the last signature first.
    fn must_extend(&self, signed: &Signed) -> Result<(), CheckpointError> {
        let Checkpoint { size, root, .. } = signed.checkpoint;
        let found = self.tree.root_at(size)?;
        match found == root {
            true => Ok(()),
            false => Err(CheckpointError::OtherRoot { path: self.path.clone(), size, recorded: root, found }),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::fixtures::*;
    use super::*;
    use crate::checkpoint::{CHECKPOINT_FILE, create};
    use ledgerstone_digest::tree::MemoryTree;

    #[test]
    fn what_is_served_was_stored_and_holds() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        let mut memory = MemoryTree::new();
        memory.append(leaf(0));
        let mut size = 1;
        for step in [1, 2, 30, 300, 5000] {
            notary.published(&hashes(size..size + step));
            (size..size + step).for_each(|position| memory.append(leaf(position)));
            size += step;
            let served = notary.checkpoint().unwrap();
            assert_eq!((served.checkpoint.size, served.checkpoint.root), (size, memory.root()));
            let stored = recorded(&env).unwrap();
            assert_eq!(stored.signed.note, served.note);
            UnverifiedCheckpoint::parse(&served.note).unwrap().verify(key(7).verifier()).unwrap();
        }
    }

    #[test]
    fn a_ledger_without_its_checkpoint_does_not_start() {
        let env = new_ledger();
        env.storage.remove_file(&Path::new(DIR).join(CHECKPOINT_FILE)).unwrap();
        assert!(matches!(recorded(&env), Err(CheckpointError::Missing { .. })));
    }

    #[test]
    fn a_journal_that_ends_before_the_checkpoint_is_refused() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        notary.published(&hashes(1..10));
        notary.close().unwrap();
        drop(notary);
        open(&env, &journal(), 10).unwrap();
        open(&env, &journal(), 11).unwrap();
        let refused = open(&env, &journal(), 9).err();
        assert!(matches!(refused, Some(CheckpointError::NotReached { recorded: 10, journal: 9, .. })));
    }

    #[test]
    fn a_journal_with_another_root_than_signed_is_refused() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        notary.published(&hashes(1..10));
        notary.checkpoint().unwrap();
        drop(notary);
        let changed = journal();
        changed.wrong.store(5, Ordering::SeqCst);
        assert!(matches!(open(&env, &changed, 10).err(), Some(CheckpointError::OtherRoot { size: 10, .. })));
    }

    #[test]
    fn a_tree_that_disagrees_is_rebuilt_from_the_journal() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        notary.published(&hashes(1..5000));
        notary.close().unwrap();
        let root = notary.newest().checkpoint.root;
        drop(notary);
        env.storage.remove_dir_all(&Path::new(DIR).join("tree")).unwrap();
        let notary = open(&env, &journal(), 5000).unwrap();
        assert_eq!(notary.tree().root().unwrap(), root);
    }

    #[test]
    fn a_leaf_that_reads_back_differently_is_never_signed() {
        let env = new_ledger();
        let leaves = journal();
        let notary = open(&env, &leaves, 1).unwrap();
        notary.published(&hashes(1..10));
        notary.checkpoint().unwrap();
        leaves.wrong.store(12, Ordering::SeqCst);
        notary.published(&hashes(10..20));
        let first = notary.checkpoint().unwrap_err();
        assert!(first.to_string().contains("position 12"), "{first}");
        leaves.wrong.store(u64::MAX, Ordering::SeqCst);
        assert!(notary.checkpoint().is_err(), "signing stays stopped");
        assert_eq!(notary.newest().checkpoint.size, 10);
        assert_eq!(recorded(&env).unwrap().signed.checkpoint.size, 10);
    }

    #[test]
    fn a_full_disk_only_puts_off_signing_and_the_files_of_the_tree() {
        let sim = crate::env::sim::Sim::new(1);
        let env = sim.env();
        env.storage.create_dir_all(Path::new(DIR)).unwrap();
        create(&*env.storage, Path::new(DIR), ORIGIN, leaf(0), &key(7)).unwrap();
        let notary = open(&env, &journal(), 1).unwrap();
        sim.disk.set_room(Some(1000));
        notary.published(&hashes(1..10_000));
        let mut memory = MemoryTree::new();
        (0..10_000).for_each(|position| memory.append(leaf(position)));
        // This disk copies what is written: the slot needs room as well as the tree.
        for _ in 0..2 {
            let error = notary.checkpoint().unwrap_err();
            assert!(error.is_full() && matches!(error, CheckpointError::File(_)), "{error}");
            assert!(notary.tree().sync().unwrap_err().is_full());
            assert_eq!(notary.newest().checkpoint.size, 1);
        }
        sim.disk.set_room(None);
        let signed = notary.checkpoint().unwrap().checkpoint;
        assert_eq!((signed.size, signed.root), (10_000, memory.root()));
        notary.tree().sync().unwrap();
        let (tree, dropped) = Tree::open(env.storage.clone(), Path::new(DIR), 10_000).unwrap();
        assert_eq!((dropped, tree.size(), tree.root().unwrap()), (None, 10_000, memory.root()));
    }

    #[test]
    fn another_key_neither_reads_nor_signs() {
        let env = new_ledger();
        let refused = recorded_by(&env, 8).err();
        assert!(matches!(refused, Some(CheckpointError::Foreign { .. })));
        let other = SigningKey::from_seed("ledger.example/y", &[7; 32]).unwrap();
        assert!(create(&*env.storage, Path::new(DIR), ORIGIN, leaf(0), &other).is_err());
    }
}
