//! The notary: signs checkpoints, one at a time, keeps the tree up with the journal, and hands over from key to key.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::note::SigningKey;
use ledgerstone_digest::rotation::{KeyChain, RotationRecord};

use super::recorded::Recorded;
use super::{CheckpointError, Signed, sign};
use crate::env::Storage;
use crate::keyring::Keys;
use crate::mutation::{self, Mutation};
use crate::reserve;
use crate::rotation::{self, Note};
use crate::slots::SlotFile;
use crate::tree::Tree;

/// The background task signs no more often than this: a signature is stored and synced, which commits that are being synced
/// at that moment wait for.
const SIGNING_INTERVAL: Duration = Duration::from_millis(1000);
/// It derives leaves this often, so that whoever asks for a signature waits for few of them.
const DERIVING_INTERVAL: Duration = Duration::from_millis(100);
/// Leaf hashes handed to the tree at a time.
const LEAVES_PER_RUN: usize = 4096;

/// So many leaves may be durable and not derived again yet before commits wait for the task: what is kept of them until then
/// is 32 bytes each.
const LEAVES_BEHIND_MAX: usize = if cfg!(test) { 1_000 } else { 1 << 20 };
/// Whoever waits for the task looks this often whether it is still there.
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// What the signing task reads: leaf hashes derived from the bytes of the journal's files.
pub trait Leaves: Send + Sync {
    /// Calls `each` with the leaf hashes of `from..to`, in order. `to` is a durable block boundary.
    fn leaf_hashes(&self, from: u64, to: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String>;
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

/// The leaf hashes as the sequencer computed them, until they are compared with those of the bytes read back.
struct Expected {
    /// The position of the first.
    from: u64,
    hashes: VecDeque<Hash>,
    /// Nothing will be signed any more, so nothing is kept.
    closed: bool,
    /// The last attempt to derive leaves failed, and the next one may: nobody waits for it.
    stuck: bool,
}

#[derive(Default)]
struct Alarm {
    stop: bool,
    /// The task has nothing to sign and waits for more.
    idle: bool,
    task: Option<JoinHandle<()>>,
}

impl Expected {
    /// The first position at which these hashes, from `from` on, are not those that were computed.
    fn differs(&self, from: u64, found: &[Hash]) -> Option<u64> {
        // What was durable before this process began was not computed here.
        let skip = self.from.saturating_sub(from);
        let known = usize::try_from(from.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let mut computed = self.hashes.iter().skip(known);
        let rest = found.iter().zip(from..).skip(usize::try_from(skip).unwrap_or(usize::MAX));
        rest.filter(|(hash, _)| computed.next() != Some(hash)).map(|(_, position)| position).next()
    }

    fn forget_before(&mut self, position: u64) {
        let count = usize::try_from(position.saturating_sub(self.from)).unwrap_or(usize::MAX).min(self.hashes.len());
        self.hashes.drain(..count);
        self.from += count as u64;
    }
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
            expected: Mutex::new(Expected { from: durable, hashes: VecDeque::new(), closed: false, stuck: false }),
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

    /// Starts the background task. Without it, checkpoints are signed only when asked for.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let notary = self.clone();
        let task = std::thread::Builder::new().name("checkpoint".into()).spawn(move || notary.run())?;
        lock(&self.alarm).task = Some(task);
        Ok(())
    }

    /// Says that the next leaves are on disk, whole blocks of them, with the hashes that were computed when they got
    /// their positions. Never waits for signing.
    pub fn published(&self, leaf_hashes: &[Hash]) {
        let mut expected = lock(&self.expected);
        if !expected.closed {
            expected.hashes.extend(leaf_hashes);
        }
        self.durable.fetch_add(leaf_hashes.len() as u64, Ordering::AcqRel);
        drop(expected);
        // A task that has just signed sleeps anyway. Taking the lock keeps the wake-up from falling between the task's
        // check and its sleep.
        let idle = std::mem::take(&mut lock(&self.alarm).idle);
        if idle {
            self.rung.notify_all();
        }
    }

    /// Waits for the background task, if it is there and so far behind that what is kept of the leaves takes much memory, until
    /// it has derived as many leaves as were just added. Called when commits have been answered: under a load that goes on
    /// faster than leaves are derived the next ones come later, and behind a single large one they do not.
    pub fn wait_for_room(&self, added: usize) {
        let runs = || lock(&self.alarm).task.as_ref().is_some_and(|task| !task.is_finished());
        let mut expected = lock(&self.expected);
        let enough = expected.from.saturating_add(added as u64);
        let waits = |expected: &Expected| {
            let is_full = expected.hashes.len() > LEAVES_BEHIND_MAX && expected.from < enough;
            is_full && !expected.closed && !expected.stuck && runs()
        };
        while waits(&expected) {
            expected = self.room.wait_timeout(expected, ROOM_PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
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
                lock(&self.signing).failed = Some(CheckpointError::Key(reason));
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
        let mut signing = lock(&self.signing);
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

    /// Derives the leaves of what is durable, without signing.
    fn keep_up(&self) {
        let mut signing = lock(&self.signing);
        if signing.failed.is_none() {
            let outcome = self.catch_up(self.durable.load(Ordering::Acquire));
            self.judge(&mut signing, outcome.as_ref().err());
        }
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
                signing.failed = Some(error.clone());
                *lock(&self.expected) =
                    Expected { from: u64::MAX, hashes: VecDeque::new(), closed: true, stuck: false };
            }
        }
    }

    /// The tree behind the checkpoints; it reaches at least the newest one.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Signs a last checkpoint, writes the tree out, and ends the background task.
    pub fn close(&self) -> Result<(), CheckpointError> {
        let task = {
            let mut alarm = lock(&self.alarm);
            alarm.stop = true;
            alarm.task.take()
        };
        self.rung.notify_all();
        if let Some(task) = task {
            // A panic there was reported where it happened.
            let _ = task.join();
        }
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

    fn run(&self) {
        let mut sign_at = Instant::now();
        loop {
            let mut alarm = lock(&self.alarm);
            while !alarm.stop && self.durable.load(Ordering::Acquire) <= self.newest().checkpoint.size {
                alarm.idle = true;
                alarm = self.rung.wait(alarm).unwrap_or_else(PoisonError::into_inner);
            }
            alarm.idle = false;
            if alarm.stop {
                return;
            }
            drop(alarm);
            let now = Instant::now();
            if now < sign_at {
                self.keep_up();
            } else {
                sign_at = now + SIGNING_INTERVAL;
                // Whoever waits for it is told; others find it in the log.
                let _ = self.checkpoint();
            }
            if lock(&self.signing).failed.is_some() {
                return;
            }
            let again = (now + DERIVING_INTERVAL).min(sign_at);
            let mut alarm = lock(&self.alarm);
            while !alarm.stop {
                let left = again.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                alarm = self.rung.wait_timeout(alarm, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
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
        let from = self.tree.size();
        if from >= size {
            return Ok(());
        }
        let mut at = from;
        let mut run = Vec::new();
        let mut failed = None;
        let read = self.leaves.leaf_hashes(from, size, &mut |leaf| {
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
        if at != size {
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
    use super::*;
    use crate::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_MAGIC, create};
    use crate::env::{Env, OpenMode};
    use crate::slots;
    use ledgerstone_digest::tree::{MemoryTree, leaf_hash};

    const DIR: &str = "/ledger";
    const ORIGIN: &str = "ledger.example/x";

    /// A journal of leaves `entry 0`, `entry 1` …, some of which read back wrong.
    struct Entries {
        wrong: AtomicU64,
    }

    impl Leaves for Entries {
        fn leaf_hashes(&self, from: u64, to: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String> {
            for position in from..to {
                let flipped = position == self.wrong.load(Ordering::SeqCst);
                each(if flipped { Hash::ZERO } else { leaf(position) });
            }
            Ok(())
        }
    }

    fn leaf(position: u64) -> Hash {
        leaf_hash(format!("entry {position}").as_bytes())
    }

    fn hashes(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(leaf).collect()
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
    }

    fn journal() -> Arc<Entries> {
        Arc::new(Entries { wrong: AtomicU64::new(u64::MAX) })
    }

    fn new_ledger() -> Env {
        let env = Env::memory(1);
        env.storage.create_dir_all(Path::new(DIR)).unwrap();
        create(&*env.storage, Path::new(DIR), ORIGIN, leaf(0), &key(7)).unwrap();
        env
    }

    fn recorded(env: &Env) -> Result<Recorded, CheckpointError> {
        recorded_by(env, 7)
    }

    fn recorded_by(env: &Env, seed: u8) -> Result<Recorded, CheckpointError> {
        Recorded::read(&*env.storage, Path::new(DIR))?.verify(&KeyChain::new(key(seed).verifier().clone()))
    }

    fn signers() -> Signers {
        let (key, chain) = (key(7), KeyChain::new(key(7).verifier().clone()));
        Signers { keys: key.clone().into(), chain, key, notes: Vec::new(), due: None }
    }

    fn open(env: &Env, leaves: &Arc<Entries>, durable: u64) -> Result<Arc<Notary>, CheckpointError> {
        Notary::open(env.storage.clone(), Path::new(DIR), leaves.clone(), recorded(env)?, signers(), durable)
    }

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
    fn the_background_task_signs_by_itself_and_at_most_ten_times_a_second() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        notary.start().unwrap();
        let began = Instant::now();
        for size in 1..200 {
            notary.published(&hashes(size..size + 1));
            std::thread::sleep(Duration::from_millis(1));
        }
        while notary.newest().checkpoint.size < 200 {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
        let elapsed = began.elapsed().as_millis() as u64;
        notary.close().unwrap();
        let file = env.storage.open(&Path::new(DIR).join(CHECKPOINT_FILE), OpenMode::Read).unwrap();
        let mut bytes = vec![0; slots::FILE_BYTES];
        slots::read_up_to(&*file, &mut bytes, 0).unwrap();
        let slots = slots::inspect(&bytes, CHECKPOINT_MAGIC);
        let stored = slots::newest(&slots).map(|(sequence, _)| sequence).unwrap();
        assert!(stored <= 3 + elapsed / 100, "{stored} checkpoints in {elapsed} ms");
    }

    /// A journal that is read back only when it is told to.
    struct Slow {
        entries: Arc<Entries>,
        gate: Mutex<()>,
    }

    impl Leaves for Slow {
        fn leaf_hashes(&self, from: u64, to: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String> {
            drop(lock(&self.gate));
            self.entries.leaf_hashes(from, to, each)
        }
    }

    #[test]
    fn commits_wait_for_a_task_that_is_too_far_behind_and_for_no_other() {
        let env = new_ledger();
        let slow = Arc::new(Slow { entries: journal(), gate: Mutex::new(()) });
        let open =
            Notary::open(env.storage.clone(), Path::new(DIR), slow.clone(), recorded(&env).unwrap(), signers(), 1);
        let notary = open.unwrap();
        let many = 2 * LEAVES_BEHIND_MAX as u64;
        notary.published(&hashes(1..many));
        // Nobody would ever derive them.
        notary.wait_for_room(1);
        let shut = lock(&slow.gate);
        notary.start().unwrap();
        let waits = std::thread::spawn({
            let notary = Arc::clone(&notary);
            move || notary.wait_for_room(1)
        });
        std::thread::sleep(ROOM_PAUSE * 3);
        assert!(!waits.is_finished());
        drop(shut);
        waits.join().unwrap();
        notary.wait_for_room(usize::MAX);
        assert!(lock(&notary.expected).hashes.len() <= LEAVES_BEHIND_MAX);
        // One that fails stops nobody.
        slow.entries.wrong.store(many + 5, Ordering::SeqCst);
        notary.published(&hashes(many..2 * many));
        assert!(notary.checkpoint().is_err());
        notary.wait_for_room(usize::MAX);
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
