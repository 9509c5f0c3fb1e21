//! The work between a submitted transaction and a durable block, and who does it (docs/architecture.md, "Journal").
//!
//! Two threads for a crowd: the sequencer takes transactions from a bounded queue, has each validated, gives it its place
//! and lays it out in the forming batch; the writer writes a batch, syncs, publishes its blocks, moves the snapshot, and
//! answers. While one batch is synced the next one forms. There is no timer: a crowd shares one sync.
//!
//! A change of threads costs as much as to sequence a small transaction, so there are as few as can be. Somebody who comes
//! alone would pay three of them for nothing: their own thread does all of the work ([`Shared::commit_alone`]). In a crowd
//! the sequencer is woken when those have had their turn who are ready to submit too ([`Shared::rouse_deferred`]), and the
//! writer takes the next batch by itself when it is done with one. The sequencer's and the writer's sides are handed around
//! for that: whoever takes one out of the state works with it and nobody else does.
//!
//! Without threads a test takes the steps one by one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::backup;
use crate::checkpoint::Notary;
use crate::commit::Answer;
use crate::error::CommitError;
use crate::mutation::{self, Mutation};
use crate::offsets::Index;
use crate::reader::{Journal, Segment};
use crate::sequencer::{Batch, Sequencer, Tail};
use crate::transaction::{Committed, Publish, Sequence, Transaction};
use crate::writer::{WriteFailure, Writer};

/// So many transactions must find nobody at work, one after the other, before one is taken for alone.
const CROWD: u32 = 16;
/// A transaction of more revisions is left to the threads: whoever submits it may have others to serve.
const ALONE_REVISIONS_MAX: usize = 64;
/// A disk that takes longer for a batch is left to the threads for a while.
const ALONE_WRITE_MAX: Duration = Duration::from_millis(20);
const SLOW_DISK: u32 = 1_000;
/// Whoever was to wake the sequencer is late when so many wait.
const DEFERRED_MAX: usize = 32;
/// Nothing is taken from the queue while so many batches wait for the writer.
const BACKLOG_MAX: usize = 2;

/// Somebody is committing alone, on their own thread.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Whoever has it commits alone. One in the whole process: a runtime has few threads, and a slow disk must not hold all
/// of them.
struct Alone;

impl Alone {
    fn claim() -> Option<Alone> {
        ALONE.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok().then_some(Alone)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        ALONE.store(false, Ordering::Release);
    }
}

/// What the threads share.
pub(crate) struct Shared {
    /// Positions before this one are published.
    pub snapshot: AtomicU64,
    state: Mutex<State>,
    /// Something to do for the sequencer.
    pub sequencer: Condvar,
    /// Something to do for the writer.
    pub writer: Condvar,
    /// Room in the queue, or the snapshot moved, or writing stopped.
    waiting: Condvar,
    /// There are threads; without, steps are taken from outside.
    pub threads: bool,
}

/// What is to do and where it stands.
pub(crate) struct State {
    pub queue: VecDeque<(Transaction, Answer)>,
    pub requests: Vec<Request>,
    /// The sequencer's side while nobody works with it.
    front: Option<Box<Front>>,
    /// The writer's side while nobody works with it.
    back: Option<Box<Back>>,
    /// The batch for the writer.
    slot: Option<Batch>,
    failure: Option<(WriteFailure, Tail)>,
    /// How often what was pending was dropped, as the sequencer's side counts.
    pub dropped: u64,
    durable: Option<Tail>,
    /// How many more must find nobody at work before one is taken for alone.
    crowd: u32,
    /// How many wait on `Shared::waiting`.
    waiters: u32,
    /// Somebody who submitted a transaction is about to wake the sequencer ([`Shared::rouse_deferred`]).
    deferred: bool,
    /// Restored, and nobody has vouched for it: nothing is taken.
    pub read_only: bool,
    pub stopped: Option<String>,
    pub closing: bool,
    /// The sequencer has nothing left and has gone, or a thread ended in a panic.
    sequenced_all: bool,
}

/// What others ask of the sequencer.
pub(crate) enum Request {
    /// No block at or before this time any more; the answer: the position the next block gets, and the count of drops.
    Floor(i64, futures_channel::oneshot::Sender<(u64, u64)>),
    AcceptClock,
}

/// The sequencer's side.
pub(crate) struct Front {
    pub sequencer: Sequencer,
    pub hook: Box<dyn Sequence>,
    /// How often what was pending was dropped.
    pub dropped: u64,
}

/// The writer's side.
pub(crate) struct Back {
    pub writer: Writer,
    pub hook: Box<dyn Publish>,
    pub journal: Arc<Journal>,
    pub notary: Arc<Notary>,
}

/// The end of the journal after a batch, or why it was not written and where the journal ends without it.
type Written = Result<Tail, Box<(WriteFailure, Tail)>>;

/// What the sequencer's side has not heard yet.
struct News {
    durable: Option<Tail>,
    failure: Option<(WriteFailure, Tail)>,
}

/// What a ledger without threads does next. The order in which a test takes the steps is the order in which threads
/// could have come to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The sequencer gives everything submitted its place.
    Sequence,
    /// The sequencer hands the forming batch to the writer, and what comes next goes into another one.
    HandOver,
    /// The writer makes the batch that it was given durable, publishes it and answers.
    Write,
}

impl State {
    /// Why nothing is taken, if nothing is.
    pub fn refusal(&self) -> Option<String> {
        self.stopped.clone().or_else(|| self.closing.then(|| "the ledger is closing".to_owned()))
    }

    /// The same as an error, and also why nothing is written to a ledger that can only be read.
    pub fn refused(&self) -> Option<CommitError> {
        match self.read_only {
            true => Some(CommitError::ReadOnly { reason: backup::READ_ONLY }),
            false => self.refusal().map(|reason| CommitError::Stopped { reason }),
        }
    }

    /// Both sides, if nobody is at work and nobody has been lately.
    fn take_both(&mut self, revisions: usize) -> Option<(Box<Front>, Box<Back>, Alone)> {
        let resting = self.front.as_ref().is_some_and(|front| !front.sequencer.has_batch()) && self.back.is_some();
        let idle = self.queue.is_empty() && self.requests.is_empty() && self.slot.is_none() && self.failure.is_none();
        if !resting || !idle {
            self.crowd = self.crowd.max(CROWD);
            return None;
        }
        self.crowd = self.crowd.saturating_sub(1);
        if self.crowd > 0 || revisions > ALONE_REVISIONS_MAX {
            return None;
        }
        let alone = Alone::claim()?;
        Some((self.front.take()?, self.back.take()?, alone))
    }

    /// Gives the writer's side the next batch, if there is one and both sides are at rest. True if it has one now.
    fn fill_slot(&mut self) -> bool {
        let resting = self.slot.is_none() && self.back.is_some() && self.failure.is_none() && self.stopped.is_none();
        let Some(front) = self.front.as_mut().filter(|_| resting) else { return false };
        if let Some(tail) = self.durable.take() {
            front.sequencer.durable(&tail);
        }
        self.slot = front.sequencer.take();
        self.slot.is_some()
    }

    /// There is something to do for the sequencer's thread.
    fn wants_sequencer(&self) -> bool {
        !matches!(next(self), Next::Wait)
    }

    /// What became of a batch, for the sequencer's side to hear ([`Front::hear`]).
    fn settle(&mut self, written: Written) {
        match written {
            Ok(tail) => self.durable = Some(tail),
            Err(not_written) => {
                let (failure, tail) = *not_written;
                if let WriteFailure::Unknown(cause) = &failure {
                    tracing::error!(cause, "the ledger takes no writes until the server is restarted");
                    self.stopped.get_or_insert_with(|| format!("{cause}; restart the server"));
                }
                self.failure = Some((failure, tail));
            }
        }
    }

    fn news(&mut self) -> News {
        News { durable: self.durable.take(), failure: self.failure.take() }
    }
}

impl Shared {
    pub fn new(snapshot: u64, read_only: bool, threads: bool, front: Front, back: Back) -> Shared {
        Shared {
            snapshot: AtomicU64::new(snapshot),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                requests: Vec::new(),
                front: Some(Box::new(front)),
                back: Some(Box::new(back)),
                slot: None,
                failure: None,
                dropped: 0,
                durable: None,
                crowd: CROWD,
                waiters: 0,
                deferred: false,
                read_only,
                stopped: None,
                closing: false,
                sequenced_all: false,
            }),
            sequencer: Condvar::new(),
            writer: Condvar::new(),
            waiting: Condvar::new(),
            threads,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed.
    pub fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiters += 1;
        let mut state = self.waiting.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiters -= 1;
        state
    }

    /// Something has changed: whoever waits looks again.
    pub fn changed(&self, state: MutexGuard<'_, State>) {
        let any = state.waiters > 0;
        drop(state);
        if any {
            self.waiting.notify_all();
        }
    }

    /// Lets go of the files, once nobody will work any more.
    pub fn dismiss(&self) {
        let mut state = self.state();
        let both = (state.front.take(), state.back.take());
        drop(state);
        drop(both);
    }

    pub fn stop(&self, reason: String) {
        self.state().stopped.get_or_insert(reason);
        self.sequencer.notify_all();
        self.writer.notify_all();
        self.waiting.notify_all();
    }

    /// Takes a transaction. If nobody else is at work, all of it is done here. `defer`: the caller is ready to wake the
    /// sequencer a little later, and has to if the answer is true.
    pub fn submit(
        &self,
        mut state: MutexGuard<'_, State>,
        transaction: Transaction,
        answer: Answer,
        defer: bool,
    ) -> bool {
        if self.threads
            && let Some((front, back, alone)) = state.take_both(transaction.revisions.len())
        {
            drop(state);
            self.commit_alone(front, back, transaction, answer);
            drop(alone);
            return false;
        }
        state.queue.push_back((transaction, answer));
        if state.deferred && state.queue.len() < DEFERRED_MAX {
            return false;
        }
        if defer && self.threads && state.front.is_some() && !state.deferred {
            state.deferred = true;
            return true;
        }
        self.rouse_sequencer(state);
        false
    }

    /// Wakes the sequencer, which a submit has let sleep for now.
    pub fn rouse_deferred(&self) {
        let mut state = self.state();
        state.deferred = false;
        self.rouse_sequencer(state);
    }

    /// Wakes the sequencer's thread, if there is something for it.
    fn rouse_sequencer(&self, state: MutexGuard<'_, State>) {
        let wanted = state.wants_sequencer();
        drop(state);
        if wanted {
            self.sequencer.notify_one();
        }
    }

    /// What both threads would do, on this one.
    fn commit_alone(&self, mut front: Box<Front>, mut back: Box<Back>, transaction: Transaction, answer: Answer) {
        let guard = StopOnPanic(self);
        front.sequencer.add(transaction, answer, &mut *front.hook);
        let begun = Instant::now();
        let mut written: Option<Written> = None;
        while written.as_ref().is_none_or(Written::is_ok)
            && let Some(batch) = front.sequencer.take()
        {
            written = Some(back.write(batch, self));
        }
        drop(guard);
        let mut state = self.state();
        if begun.elapsed() > ALONE_WRITE_MAX {
            state.crowd = SLOW_DISK;
        }
        if let Some(written) = written {
            state.settle(written);
        }
        if let Some(tail) = state.durable.take() {
            front.sequencer.durable(&tail);
        }
        (state.front, state.back) = (Some(front), Some(back));
        if state.wants_sequencer() {
            self.sequencer.notify_one();
        }
        self.changed(state);
    }
}

/// Starts the sequencer's and the writer's threads.
pub(crate) fn spawn(shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let start = |name: &str, work: fn(&Shared)| {
        let shared = Arc::clone(shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let guard = StopOnPanic(&shared);
            work(&shared);
            drop(guard);
        })
    };
    Ok(vec![start("sequencer", sequence)?, start("writer", write)?])
}

/// A thread that panics must not leave others waiting for it: what it worked with is lost.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = "a thread of the journal ended in a panic; restart the server".to_owned();
            let queue = {
                let mut state = self.0.state();
                state.sequenced_all = true;
                state.stopped.get_or_insert_with(|| reason.clone());
                std::mem::take(&mut state.queue)
            };
            refuse_queue(self.0, queue);
            self.0.stop(reason);
        }
    }
}

/// What the sequencer's thread does next.
enum Next {
    Work,
    Wait,
    /// Everything is done, or nothing can be.
    Leave,
}

fn next(state: &State) -> Next {
    if state.sequenced_all {
        return Next::Leave;
    }
    // Somebody alone is at work.
    let Some(front) = &state.front else { return Next::Wait };
    let sequencer = &front.sequencer;
    let resting = state.slot.is_none() && state.back.is_some();
    if state.closing && resting && state.failure.is_none() {
        let nothing_left = state.queue.is_empty() && !sequencer.has_batch();
        if nothing_left || state.stopped.is_some() {
            return Next::Leave;
        }
    }
    let can_take = !state.queue.is_empty() && sequencer.backlog() < BACKLOG_MAX;
    let can_give = sequencer.has_batch() && resting;
    let stopped = state.stopped.is_some() && (!state.queue.is_empty() || sequencer.has_batch());
    let asked = state.failure.is_some() || !state.requests.is_empty();
    if can_take || can_give || stopped || asked { Next::Work } else { Next::Wait }
}

/// The sequencer's thread.
fn sequence(shared: &Shared) {
    loop {
        let mut state = shared.state();
        let mut front = loop {
            match next(&state) {
                Next::Work => {
                    if let Some(front) = state.front.take() {
                        break front;
                    }
                }
                Next::Wait => {}
                Next::Leave => {
                    state.sequenced_all = true;
                    let queue = std::mem::take(&mut state.queue);
                    drop(state);
                    refuse_queue(shared, queue);
                    shared.writer.notify_all();
                    return;
                }
            }
            state = shared.sequencer.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let news = state.news();
        // Nothing is taken from the queue while batches wait for the writer.
        let queue = match front.sequencer.backlog() < BACKLOG_MAX {
            true => std::mem::take(&mut state.queue),
            false => VecDeque::new(),
        };
        let requests = std::mem::take(&mut state.requests);
        shared.changed(state);
        front.hear(news, shared);
        front.accept(queue, requests, shared);
        hand_over(shared, front);
    }
}

fn refuse_queue(shared: &Shared, queue: VecDeque<(Transaction, Answer)>) {
    if queue.is_empty() {
        return;
    }
    let reason = shared.state().refusal().unwrap_or_default();
    for (_, answer) in queue {
        drop(answer.send(Err(CommitError::Stopped { reason: reason.clone() })));
    }
}

/// Gives the writer a batch, if it has none and nothing failed, and puts the sequencer's side back.
fn hand_over(shared: &Shared, mut front: Box<Front>) {
    let mut state = shared.state();
    if let (Some(cause), None) = (&state.stopped, &state.failure)
        && front.sequencer.has_batch()
    {
        let cause = cause.clone();
        drop(state);
        let tail = front.sequencer.tail();
        front.give_up(&WriteFailure::Unknown(cause), tail, shared);
        state = shared.state();
    }
    state.front = Some(front);
    let any = state.fill_slot();
    drop(state);
    if any {
        shared.writer.notify_one();
    }
}

/// The writer's thread.
fn write(shared: &Shared) {
    loop {
        let mut state = shared.state();
        let (batch, mut back) = loop {
            if state.back.is_some()
                && let Some(batch) = state.slot.take()
                && let Some(back) = state.back.take()
            {
                break (batch, back);
            }
            if state.sequenced_all {
                return;
            }
            state = shared.writer.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        let written = back.write(batch, shared);
        let mut state = shared.state();
        state.settle(written);
        state.back = Some(back);
        // If the sequencer's side is at work it hands over when it is done.
        state.fill_slot();
        let wanted = state.wants_sequencer();
        shared.changed(state);
        if wanted {
            shared.sequencer.notify_one();
        }
    }
}

impl Front {
    /// Takes note of what became of the batches that the writer was given.
    fn hear(&mut self, news: News, shared: &Shared) {
        if let Some(tail) = news.durable {
            self.sequencer.durable(&tail);
        }
        if let Some((failure, tail)) = news.failure {
            self.give_up(&failure, tail, shared);
        }
    }

    fn accept(&mut self, queue: VecDeque<(Transaction, Answer)>, requests: Vec<Request>, shared: &Shared) {
        for request in requests {
            match request {
                Request::Floor(time_ms, answer) => {
                    self.sequencer.raise_time_floor(time_ms);
                    let _ = answer.send((self.sequencer.tail().chain.next_position, self.dropped));
                    shared.changed(shared.state());
                }
                Request::AcceptClock => self.sequencer.accept_clock(),
            }
        }
        let stopped = shared.state().stopped.clone();
        for (transaction, answer) in queue {
            match &stopped {
                Some(reason) => drop(answer.send(Err(CommitError::Stopped { reason: reason.clone() }))),
                None => self.sequencer.add(transaction, answer, &mut *self.hook),
            }
        }
    }

    /// Drops what is pending after the writer failed, and says so to those who wait.
    fn give_up(&mut self, failure: &WriteFailure, tail: Tail, shared: &Shared) {
        for answer in self.sequencer.restore(tail) {
            drop(answer.send(Err(failure.error())));
        }
        self.hook.dropped();
        self.dropped += 1;
        let mut state = shared.state();
        state.dropped = self.dropped;
        shared.changed(state);
    }
}

impl WriteFailure {
    fn error(&self) -> CommitError {
        match self {
            WriteFailure::NoSpace(cause) => CommitError::NoSpace { cause: cause.clone() },
            WriteFailure::Unknown(cause) => CommitError::OutcomeUnknown { cause: cause.clone() },
        }
    }
}

impl Back {
    /// Makes a batch durable, publishes its blocks and answers.
    fn write(&mut self, batch: Batch, shared: &Shared) -> Written {
        self.write_and_publish(batch, shared).map_err(|failure| Box::new((failure, self.writer.tail())))
    }

    fn write_and_publish(&mut self, mut batch: Batch, shared: &Shared) -> Result<Tail, WriteFailure> {
        let rotation = batch.blocks.iter().find_map(|pending| pending.rotation.clone());
        let early = match mutation::is_on(Mutation::IndexBeforePublishing) {
            true => self.take_in(&mut batch),
            false => Vec::new(),
        };
        let outcome = self.writer.write(&batch);
        let begun = self.writer.take_begun();
        if let Some(begun) = begun {
            let index = RwLock::new(Index::default());
            self.journal.roll(Segment { file: begun, index });
        }
        if let Err(failure) = outcome {
            for pending in batch.blocks {
                drop(pending.answer.send(Err(failure.error())));
            }
            return Err(failure);
        }
        if let Some(record) = rotation {
            self.notary.rotated(record);
        }
        self.publish(batch, shared);
        for (answer, committed) in early {
            drop(answer.send(Ok(committed)));
        }
        if mutation::is_on(Mutation::AcknowledgeBeforeSync) {
            self.writer.sync()?;
        }
        Ok(self.writer.tail())
    }

    /// What [`Mutation::IndexBeforePublishing`] does too early.
    fn take_in(&mut self, batch: &mut Batch) -> Vec<(Answer, Committed)> {
        let taken = std::mem::take(&mut batch.blocks).into_iter().map(|pending| {
            let committed = pending.block.committed;
            self.hook.publish(pending.block, &*self.journal);
            (pending.answer, committed)
        });
        taken.collect()
    }

    fn publish(&mut self, batch: Batch, shared: &Shared) {
        let active = self.journal.active();
        {
            let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
            index.extend(batch.index.entries(), &batch.index.dictionary);
            index.texts.extend(&batch.new_texts);
        }
        let chain = batch.after.chain;
        if let Some(hash) = chain.block_leaf {
            self.journal.set_last_leaf(chain.next_position - 1, hash);
        }
        let mut answers = Vec::with_capacity(batch.blocks.len());
        for pending in batch.blocks {
            answers.push((pending.answer, pending.block.committed));
            self.hook.publish(pending.block, &*self.journal);
        }
        // Whoever sees a position may ask for its receipt.
        if !batch.leaf_hashes.is_empty() {
            self.notary.published(&batch.leaf_hashes);
        }
        shared.snapshot.store(batch.after.chain.next_position, Ordering::Release);
        for (answer, committed) in answers {
            drop(answer.send(Ok(committed)));
        }
        self.notary.wait_for_room(batch.leaf_hashes.len());
    }
}

/// Without threads.
impl Shared {
    /// One round: everything submitted, in as few batches as it takes.
    pub fn run_once(&self) {
        self.step(Step::Sequence);
        while self.step(Step::HandOver) {
            self.step(Step::Write);
        }
    }

    /// Takes one step. False if there was nothing to do.
    pub fn step(&self, step: Step) -> bool {
        match step {
            Step::Sequence => self.sequence_now(),
            Step::HandOver => {
                let mut state = self.state();
                if state.slot.is_none() {
                    state.slot = state.front.as_mut().and_then(|front| front.sequencer.take());
                }
                state.slot.is_some()
            }
            Step::Write => self.write_now(),
        }
    }

    fn sequence_now(&self) -> bool {
        let mut state = self.state();
        let (queue, requests) = (std::mem::take(&mut state.queue), std::mem::take(&mut state.requests));
        let any = !queue.is_empty() || !requests.is_empty();
        let Some(mut front) = state.front.take() else { return false };
        drop(state);
        front.accept(queue, requests, self);
        self.state().front = Some(front);
        any
    }

    fn write_now(&self) -> bool {
        let mut state = self.state();
        if state.front.is_none() || state.back.is_none() {
            return false;
        }
        let Some(batch) = state.slot.take() else { return false };
        let (Some(mut front), Some(mut back)) = (state.front.take(), state.back.take()) else { return false };
        drop(state);
        let written = back.write(batch, self);
        let mut state = self.state();
        state.settle(written);
        let news = state.news();
        drop(state);
        front.hear(news, self);
        let mut state = self.state();
        (state.front, state.back) = (Some(front), Some(back));
        true
    }
}
