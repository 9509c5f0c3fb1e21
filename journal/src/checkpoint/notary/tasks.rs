//! The notary's threads, and what they and commits tell each other.
//!
//! To derive leaves again from the journal's files takes about as much processor time as to commit them did. Two threads
//! share it: one with a low claim to a processor, which does it whenever there is nothing better to do, so that commits that
//! somebody waits for are not held up by it; and the one that signs, which does what is left of it once a second, and soon
//! when much is left, so that whoever asks for a signature waits for few leaves under any load. Whoever signs waits for the
//! other's turn to end, so turns are short, and blocks that are derived in one piece and are longer are left to the signer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledgerstone_digest::hash::Hash;

use super::{Notary, Signing, lock};
use crate::checkpoint::CheckpointError;
use crate::env::{give_way, work_in_background};

/// A signature is stored and synced, which commits that are being synced at that moment wait for: no more often than this.
const SIGNING_INTERVAL: Duration = Duration::from_millis(1000);
/// Leaves are derived this often, so that whoever asks for a signature waits for few of them.
const DERIVING_INTERVAL: Duration = Duration::from_millis(100);
/// About so many leaves are derived before the thread that has time looks whether somebody wants to sign.
const LEAVES_PER_TURN: u64 = 1024;
/// The thread that signs does not leave more than so many leaves to the one that has time.
const LEAVES_BEHIND_URGENT: u64 = 1 << 16;
/// So many leaves may be durable and not derived again yet before commits wait for the tasks: what is kept of them until then
/// is 32 bytes each.
const LEAVES_BEHIND_MAX: usize = if cfg!(test) { 1_000 } else { 1 << 20 };
/// Whoever waits for the tasks looks this often whether they are still there.
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// What the tasks sleep on.
#[derive(Default)]
pub(super) struct Alarm {
    stop: bool,
    /// A task has nothing to do and waits for leaves.
    idle: bool,
    tasks: Vec<JoinHandle<()>>,
}

impl Notary {
    /// Starts the tasks. Without them, checkpoints are signed only when asked for.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        self.spawn("checkpoint", |notary| notary.sign(SIGNING_INTERVAL))?;
        self.spawn("leaves", Notary::derive_at_leisure)
    }

    fn spawn(self: &Arc<Self>, name: &str, work: fn(&Arc<Notary>)) -> std::io::Result<()> {
        let notary = Arc::clone(self);
        let task = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&notary))?;
        lock(&self.alarm).tasks.push(task);
        Ok(())
    }

    /// Ends the tasks.
    pub(super) fn end_tasks(&self) {
        let tasks = {
            let mut alarm = lock(&self.alarm);
            alarm.stop = true;
            std::mem::take(&mut alarm.tasks)
        };
        self.rung.notify_all();
        for task in tasks {
            // A panic there was reported where it happened.
            let _ = task.join();
        }
    }

    /// Says that the next leaves are on disk, whole blocks of them, with the hashes that were computed when they got
    /// their positions. Never waits for signing.
    pub fn published(&self, leaf_hashes: &[Hash]) {
        let mut expected = lock(&self.expected);
        if !expected.closed {
            expected.hashes.extend(leaf_hashes);
        }
        let added = leaf_hashes.len() as u64;
        // First, or the thread that has time may begin with it.
        if added > LEAVES_PER_TURN {
            self.large_before.store(self.durable_size() + added, Ordering::Release);
        }
        self.durable.fetch_add(added, Ordering::AcqRel);
        drop(expected);
        // A task that has just worked sleeps anyway. Taking the lock keeps the wake-up from falling between its check and
        // its sleep.
        let idle = std::mem::take(&mut lock(&self.alarm).idle);
        if idle {
            self.rung.notify_all();
        }
    }

    /// Waits for the tasks, if they are there and so far behind that what is kept of the leaves takes much memory, until
    /// they have derived as many leaves as were just added. Called when commits have been answered: under a load that goes on
    /// faster than leaves are derived the next ones come later, and behind a single large one they do not.
    pub fn wait_for_room(&self, added: usize) {
        let runs = || lock(&self.alarm).tasks.iter().any(|task| !task.is_finished());
        let mut expected = lock(&self.expected);
        let enough = expected.from.saturating_add(added as u64);
        while expected.hashes.len() > LEAVES_BEHIND_MAX
            && expected.from < enough
            && !expected.closed
            && !expected.stuck
            && runs()
        {
            expected = self.room.wait_timeout(expected, ROOM_PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The task that signs, and derives what cannot wait.
    fn sign(self: &Arc<Self>, every: Duration) {
        self.makes_way();
        let mut sign_at = Instant::now();
        while self.comes_behind(&|| self.newest().checkpoint.size) {
            let now = Instant::now();
            if now >= sign_at {
                sign_at = now + every;
                // Whoever waits for it is told; others find it in the log.
                let _ = self.checkpoint();
            } else if self.behind() > LEAVES_BEHIND_URGENT || self.is_at_large() {
                let _ = self.keep_up(self.signing(), u64::MAX);
            }
            if self.has_failed() || !self.rests((now + DERIVING_INTERVAL).min(sign_at)) {
                return;
            }
        }
    }

    /// The task that derives while nobody needs the processor.
    fn derive_at_leisure(self: &Arc<Self>) {
        give_way();
        self.makes_way();
        while self.comes_behind(&|| self.tree.size()) {
            let next = Instant::now() + DERIVING_INTERVAL;
            while self.tree.size() < self.durable_size()
                && !self.wanted.any()
                && !self.is_at_large()
                && !lock(&self.alarm).stop
            {
                let signing = match self.signing.try_lock() {
                    Ok(signing) => signing,
                    Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                    // Whoever signs derives, too.
                    Err(TryLockError::WouldBlock) => break,
                };
                if self.keep_up(signing, LEAVES_PER_TURN).is_err() {
                    break;
                }
            }
            if self.has_failed() || !self.rests(next) {
                return;
            }
        }
    }

    /// Derives leaves of what is durable, about so many, without signing.
    fn keep_up(&self, mut signing: MutexGuard<'_, Signing>, enough: u64) -> Result<(), CheckpointError> {
        if let Some(error) = &signing.failed {
            return Err(error.clone());
        }
        let outcome = self.catch_up_some(self.durable_size(), enough);
        self.judge(&mut signing, outcome.as_ref().err());
        outcome
    }

    /// Leaves that are durable and not derived again yet.
    fn behind(&self) -> u64 {
        self.durable_size().saturating_sub(self.tree.size())
    }

    /// Whether large blocks are to be derived, or batches of them.
    fn is_at_large(&self) -> bool {
        self.tree.size() < self.large_before.load(Ordering::Acquire)
    }

    /// From here on this thread makes way for others while nobody waits for a signature and few leaves are left.
    fn makes_way(self: &Arc<Self>) {
        let notary = Arc::downgrade(self);
        work_in_background(move || {
            notary.upgrade().is_some_and(|notary| notary.wanted.any() || notary.behind() > LEAVES_BEHIND_URGENT / 4)
        });
    }

    fn has_failed(&self) -> bool {
        lock(&self.expected).closed
    }

    /// Waits until more is durable than `done`. False if the tasks are to end.
    fn comes_behind(&self, done: &dyn Fn() -> u64) -> bool {
        loop {
            // Not under the alarm's lock, which commits take: what is asked here may have to be waited for.
            let done = done();
            let mut alarm = lock(&self.alarm);
            if alarm.stop || self.durable_size() > done {
                return !alarm.stop;
            }
            alarm.idle = true;
            drop(self.rung.wait(alarm).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Sleeps. False if the tasks are to end.
    fn rests(&self, until: Instant) -> bool {
        let mut alarm = lock(&self.alarm);
        while !alarm.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            alarm = self.rung.wait_timeout(alarm, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        !alarm.stop
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::super::fixtures::*;
    use super::*;
    use crate::checkpoint::notary::Leaves;
    use crate::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_MAGIC};
    use crate::env::OpenMode;
    use crate::slots;

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
        fn leaf_hashes(&self, from: u64, to: u64, enough: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String> {
            drop(lock(&self.gate));
            self.entries.leaf_hashes(from, to, enough, each)
        }
    }

    #[test]
    fn commits_wait_for_a_task_that_is_too_far_behind_and_for_no_other() {
        let env = new_ledger();
        let slow = Arc::new(Slow { entries: journal(), gate: Mutex::new(()) });
        let notary = open(&env, &slow, 1).unwrap();
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

    fn until(holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "it never came to that");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A journal that remembers which thread asked for how many leaves at once.
    struct Asked {
        entries: Arc<Entries>,
        most: Mutex<Vec<(String, u64)>>,
    }

    impl Leaves for Asked {
        fn leaf_hashes(&self, from: u64, to: u64, enough: u64, each: &mut dyn FnMut(Hash)) -> Result<(), String> {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            lock(&self.most).push((name, enough.min(to - from)));
            self.entries.leaf_hashes(from, to, enough, each)
        }
    }

    #[test]
    fn the_task_that_has_time_derives_in_turns_and_leaves_nothing_behind() {
        let env = new_ledger();
        let asked = Arc::new(Asked { entries: journal(), most: Mutex::default() });
        let notary = open(&env, &asked, 1).unwrap();
        let size = 1 + 5 * LEAVES_PER_TURN / 2;
        (1..size).for_each(|position| notary.published(&hashes(position..position + 1)));
        let for_task = Arc::clone(&notary);
        let task = std::thread::Builder::new().name("leaves".into()).spawn(move || for_task.derive_at_leisure());
        until(|| notary.tree().size() == size);
        assert_eq!(notary.newest().checkpoint.size, 1);
        notary.end_tasks();
        task.unwrap().join().unwrap();
        let turns: Vec<u64> = lock(&asked.most).iter().filter(|(name, _)| name == "leaves").map(|(_, n)| *n).collect();
        assert_eq!(turns, [LEAVES_PER_TURN, LEAVES_PER_TURN, LEAVES_PER_TURN / 2]);
        assert_eq!(notary.checkpoint().unwrap().checkpoint.size, size);
    }

    #[test]
    fn the_task_that_signs_derives_what_is_urgent() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        let for_task = Arc::clone(&notary);
        let task = std::thread::spawn(move || for_task.sign(Duration::from_secs(3600)));
        // The first signature comes at once, the next in an hour.
        notary.published(&hashes(1..2));
        until(|| notary.newest().checkpoint.size == 2);
        // Many in small blocks.
        let size = 2 + LEAVES_BEHIND_URGENT + 1;
        for from in (2..size).step_by(1000) {
            notary.published(&hashes(from..size.min(from + 1000)));
        }
        until(|| notary.tree().size() == size);
        // A large one, which the task that has time leaves alone.
        let large = size + LEAVES_PER_TURN + 1;
        let leisure = Arc::clone(&notary);
        let leisure = std::thread::spawn(move || leisure.derive_at_leisure());
        let size = large;
        notary.published(&hashes(notary.durable_size()..size));
        until(|| notary.tree().size() == size);
        assert_eq!(notary.newest().checkpoint.size, 2);
        notary.end_tasks();
        task.join().unwrap();
        leisure.join().unwrap();
    }

    #[test]
    fn the_task_that_has_time_leaves_off_for_whoever_wants_to_sign() {
        let env = new_ledger();
        let notary = open(&env, &journal(), 1).unwrap();
        for from in (1..10_000).step_by(1000) {
            notary.published(&hashes(from..10_000.min(from + 1000)));
        }
        assert!(!notary.wanted.any());
        let for_task = Arc::clone(&notary);
        let task = notary.wanted.during(|| {
            let task = std::thread::spawn(move || for_task.derive_at_leisure());
            std::thread::sleep(DERIVING_INTERVAL * 3);
            assert_eq!(notary.tree().size(), 1);
            task
        });
        until(|| notary.tree().size() == 10_000);
        notary.end_tasks();
        task.join().unwrap();
    }
}
