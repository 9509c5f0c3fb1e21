//! An open ledger: transactions go in, durable blocks come out (docs/architecture.md, "Journal").
//!
//! Two threads. The sequencer takes transactions from a bounded queue, has each validated, gives it its place and
//! lays it out in the forming batch. The writer writes a batch, syncs, publishes its blocks, moves the snapshot, and
//! answers. While one batch is synced the next one forms. There is no timer: a lone client waits for one sync, a
//! crowd shares one.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use ledgerstone_digest::ion::{Hasher, ion_hash};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::tlog_proof::TlogProof;
use ledgerstone_digest::{Hash, Id};

use crate::backup;
use crate::checkpoint::{CheckpointError, Notary, Signed};
use crate::commit::{Answer, CommitFuture};
use crate::env::{Env, Lock};
use crate::error::{CommitError, CreateError, OpenError, ReadError};
use crate::offsets::Index;
use crate::reader::{Journal, Segment};
use crate::receipt::{Prover, ReceiptError, ReceiptOptions};
use crate::recovery::{self, CreateOptions, OpenOptions, Recovered};
use crate::redaction::{self, RedactError};
use crate::sequencer::{Batch, Sequencer, Tail};
use crate::stored::{StoredBlock, StoredRevision};
use crate::transaction::{Committed, Publish, Sequence, Transaction};
use crate::writer::{WriteFailure, Writer};

/// An open ledger. Dropping it closes it.
pub struct Ledger {
    pub(crate) journal: Arc<Journal>,
    pub(crate) notary: Arc<Notary>,
    vkey: VerifierKey,
    shared: Arc<Shared>,
    queue_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Present if there are no threads.
    manual: Option<Mutex<Engine>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
    /// One redaction at a time.
    redacting: Mutex<()>,
}

/// What the threads share.
struct Shared {
    /// Positions before this one are published.
    snapshot: AtomicU64,
    state: Mutex<State>,
    /// Something to do for the sequencer.
    sequencer: Condvar,
    /// Something to do for the writer.
    writer: Condvar,
    /// Room in the queue, or the snapshot moved, or writing stopped.
    waiting: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Transaction, Answer)>,
    requests: Vec<Request>,
    /// The batch for the writer.
    slot: Option<Batch>,
    /// The writer is at work.
    writing: bool,
    failure: Option<(WriteFailure, Tail)>,
    durable: Option<Tail>,
    /// Restored, and nobody has vouched for it: nothing is taken.
    read_only: bool,
    stopped: Option<String>,
    closing: bool,
    /// The sequencer has nothing left and has gone.
    sequenced_all: bool,
}

/// What others ask of the sequencer.
enum Request {
    /// No block at or before this time any more; the answer is the position the next block gets.
    Floor(i64, futures_channel::oneshot::Sender<u64>),
    AcceptClock,
    /// The next transaction begins a new segment.
    Roll,
}

/// The sequencer's side.
struct Front {
    sequencer: Sequencer,
    hook: Box<dyn Sequence>,
}

/// The writer's side.
struct Back {
    writer: Writer,
    hook: Box<dyn Publish>,
    journal: Arc<Journal>,
    notary: Arc<Notary>,
}

/// Both, when there are no threads.
struct Engine {
    front: Front,
    back: Back,
    /// The batch that the writer has been given and has not begun to write.
    in_hand: Option<Batch>,
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

impl Ledger {
    /// Makes a new ledger: under a temporary name with its genesis and a checkpoint of size 1, synced, then renamed.
    pub fn create(env: &Env, dir: &Path, options: &CreateOptions) -> Result<(), CreateError> {
        recovery::create(env, dir, options)
    }

    /// Locks the directory, recovers the journal and checks its chain.
    pub fn open(env: &Env, dir: &Path, options: OpenOptions) -> Result<Recovered, OpenError> {
        recovery::open(env, dir, options)
    }

    /// Takes a transaction. It is durable and published when the future says so.
    pub fn submit(&self, mut transaction: Transaction) -> CommitFuture {
        for revision in &mut transaction.revisions {
            if let (Some(data), None) = (&revision.data, &revision.data_hash) {
                revision.data_hash = Some(ion_hash(data));
            }
        }
        let (answer, future) = CommitFuture::new();
        let mut state = self.shared.state();
        while state.queue.len() >= self.queue_max && state.stopped.is_none() && !state.closing && self.manual.is_none()
        {
            state = self.shared.waiting.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.read_only {
            drop(state);
            drop(answer.send(Err(CommitError::ReadOnly { reason: backup::READ_ONLY })));
            return future;
        }
        if let Some(reason) = state.refusal() {
            drop(state);
            drop(answer.send(Err(CommitError::Stopped { reason })));
            return future;
        }
        state.queue.push_back((transaction, answer));
        drop(state);
        self.shared.sequencer.notify_one();
        future
    }

    /// The newest snapshot: positions before it are durable and published. Always a block's end, or 1.
    pub fn snapshot(&self) -> u64 {
        self.shared.snapshot.load(Ordering::Acquire)
    }

    pub fn ledger_id(&self) -> Id {
        self.journal.genesis.ledger
    }

    pub fn strand(&self) -> Id {
        self.journal.genesis.strand
    }

    /// What checkpoints are signed as.
    pub fn origin(&self) -> &str {
        self.vkey.name()
    }

    /// The key that checkpoints are verified with.
    pub fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// The genesis record, as stored and hashed.
    pub fn genesis_record(&self) -> &[u8] {
        &self.journal.genesis.record
    }

    /// When the ledger was made.
    pub fn created_ms(&self) -> i64 {
        self.journal.genesis.created_ms
    }

    /// Why writes are refused, if they are.
    pub fn stopped(&self) -> Option<String> {
        let state = self.shared.state();
        state.refusal().or_else(|| state.read_only.then(|| backup::READ_ONLY.to_owned()))
    }

    /// The revision at a position.
    pub fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError> {
        self.published("position", position)?;
        self.journal.revision(position)
    }

    /// A block by number, its hashes derived and compared.
    pub fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError> {
        self.block_number_published(number)?;
        let position = self.journal.block_position(number)?;
        self.published("block", position)?;
        Ok(self.journal.block(position, &mut Hasher::new())?.0)
    }

    /// The block that a position is in, its own leaf's included; none for position 0.
    pub fn block_at(&self, position: u64) -> Result<Option<StoredBlock>, ReadError> {
        self.published("position", position)?;
        if position == 0 {
            return Ok(None);
        }
        let Some(end) = self.journal.block_from(position)? else { return Ok(None) };
        Ok(Some(self.journal.block(end, &mut Hasher::new())?.0))
    }

    /// The last block whose time is not after `time_ms`, and the snapshot behind it. `None` if every block is later.
    pub fn last_block_at_or_before(&self, time_ms: i64) -> Result<Option<(u64, u64)>, ReadError> {
        let Some(end) = self.block_count()? else { return Ok(None) };
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let head = self.journal.head(self.journal.block_position(middle)?)?;
            if head.time_ms <= time_ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low.checked_sub(1) {
            Some(block) => Ok(Some((block, self.journal.block_position(block)? + 1))),
            None => Ok(None),
        }
    }

    /// How many blocks are published; `None` if there is none.
    fn block_count(&self) -> Result<Option<u64>, ReadError> {
        let snapshot = self.snapshot();
        if snapshot <= 1 {
            return Ok(None);
        }
        Ok(Some(self.journal.head(snapshot - 1)?.number + 1))
    }

    /// The number of the last published block.
    pub fn last_block(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.block_count()?.map(|count| count - 1))
    }

    /// The entry of the tree at a position.
    pub fn leaf(&self, position: u64) -> Result<Vec<u8>, ReadError> {
        self.published("position", position)?;
        self.journal.leaf(position, &mut Hasher::new())
    }

    /// The blocks from this number on that are published by now.
    pub fn blocks(&self, from: u64) -> impl Iterator<Item = Result<StoredBlock, ReadError>> + '_ {
        let end = self.block_count();
        let (end, failed) = match end {
            Ok(end) => (end.unwrap_or(0), None),
            Err(e) => (0, Some(Err(e))),
        };
        failed.into_iter().chain((from..end).map(|number| self.read_block(number)))
    }

    /// A signed checkpoint of at least everything durable now.
    pub fn checkpoint(&self) -> Result<Signed, CheckpointError> {
        self.notary.checkpoint()
    }

    /// The newest checkpoint that is stored.
    pub fn newest_checkpoint(&self) -> Signed {
        self.notary.newest()
    }

    /// The receipt of the revision at a position, with its document, under a checkpoint that covers it. A redacted
    /// revision's receipt shows the record of the redaction.
    pub fn receipt(&self, position: u64) -> Result<Receipt, ReceiptError> {
        self.receipt_with(position, ReceiptOptions::default())
    }

    /// The receipt of the revision at a position.
    pub fn receipt_with(&self, position: u64, options: ReceiptOptions) -> Result<Receipt, ReceiptError> {
        self.published("position", position)?;
        self.prover().receipt(position, options)
    }

    /// The receipt of a whole transaction: all revisions of a block, the block opened.
    pub fn transaction_receipt(&self, block: u64) -> Result<Receipt, ReceiptError> {
        self.transaction_receipt_with(block, ReceiptOptions { data: true, block_opening: true })
    }

    /// The receipt of a whole transaction.
    pub fn transaction_receipt_with(&self, block: u64, options: ReceiptOptions) -> Result<Receipt, ReceiptError> {
        self.block_number_published(block)?;
        self.prover().transaction_receipt(block, options)
    }

    /// The proof that the tree of `to` leaves begins with the tree of `from` leaves. `to` is at most the newest signed
    /// size.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, ReceiptError> {
        self.prover().consistency(from, to)
    }

    /// The audit path (RFC 9162) of one leaf in the tree of `size` leaves, at most the newest signed size.
    pub fn audit_path(&self, position: u64, size: u64) -> Result<Vec<Hash>, ReceiptError> {
        self.published("position", position)?;
        self.prover().audit_path(position, size)
    }

    /// A proof file for stock tools (`c2sp.org/tlog-proof@v1`): one leaf under the newest checkpoint.
    pub fn proof_file(&self, position: u64) -> Result<TlogProof, ReceiptError> {
        self.published("position", position)?;
        self.prover().proof_file(position)
    }

    /// The first `width` hashes of a tile of `c2sp.org/tlog-tiles`, or `None` where no signed tree has them.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<u8>>, ReceiptError> {
        self.prover().tile(level, index, width)
    }

    /// Commits a redaction and carries it out: the data of the revisions that `transaction.redaction` names, and the
    /// statements of their transactions, leave the journal's files; their hashes stay. The transaction holds one record
    /// for each in the table of redactions. Blocks until done; a crash in between is finished by the next start.
    pub fn redact(&self, transaction: Transaction) -> Result<Committed, RedactError> {
        let _one = self.hold_redactions();
        let blocks = self.block_count()?.unwrap_or(0);
        redaction::check(&self.journal, &transaction, blocks)?;
        let (storage, dir) = (&*self.journal.env.storage, &self.journal.dir);
        if storage.exists(&dir.join(redaction::REDACTION_FILE)) {
            let what = "an earlier redaction is not carried out yet; the next start finishes it";
            return Err(RedactError::Refused(what.to_owned()));
        }
        let pending = redaction::Pending { tx_id: transaction.id, from_block: blocks };
        redaction::begin(storage, dir, pending)?;
        self.shared.state().requests.push(Request::Roll);
        let future = self.submit(transaction);
        self.drive();
        let committed = match future.wait() {
            Ok(committed) => committed,
            // It may be there after all: the next start looks.
            Err(error @ CommitError::OutcomeUnknown { .. }) => return Err(error.into()),
            Err(error) => {
                redaction::end(storage, dir)?;
                return Err(error.into());
            }
        };
        match redaction::carry_out(&self.journal, committed.block, pending) {
            Ok(()) => Ok(committed),
            Err(error) => Err(RedactError::Unfinished { committed, cause: Box::new(error) }),
        }
    }

    /// No redaction begins while this is held.
    pub(crate) fn hold_redactions(&self) -> MutexGuard<'_, ()> {
        self.redacting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prover(&self) -> Prover<'_> {
        Prover { journal: &self.journal, notary: &self.notary }
    }

    /// Makes sure that no block will get a time at or before `time_ms`, and waits until every block that has one is
    /// published. `time_ms` must not be in the future.
    pub fn settle(&self, time_ms: i64) -> Result<(), CommitError> {
        let (answer, mut position) = futures_channel::oneshot::channel();
        self.shared.state().requests.push(Request::Floor(time_ms, answer));
        self.shared.sequencer.notify_one();
        self.drive();
        let mut state = self.shared.state();
        loop {
            if let Some(reason) = state.refusal() {
                // Nothing will be written any more, so nothing can get that time.
                return if state.closing { Err(CommitError::Stopped { reason }) } else { Ok(()) };
            }
            if let Ok(Some(end)) = position.try_recv() {
                while self.snapshot() < end && state.refusal().is_none() {
                    state = self.shared.waiting.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                return Ok(());
            }
            state = self.shared.waiting.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lifts the stop that a jumped clock caused.
    pub fn accept_clock(&self) {
        self.shared.state().requests.push(Request::AcceptClock);
        self.shared.sequencer.notify_one();
    }

    /// Without threads: sequences what was submitted, as one group, and makes it durable.
    pub fn drive(&self) {
        if let Some(engine) = &self.manual {
            let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
            engine.run_once(&self.shared);
        }
    }

    /// Without threads: takes one step. False if there was nothing to do.
    pub fn step(&self, step: Step) -> bool {
        let Some(engine) = &self.manual else { return false };
        let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Sequence => engine.sequence(&self.shared),
            Step::HandOver => engine.hand_over(),
            Step::Write => engine.write(&self.shared),
        }
    }

    /// Finishes what was submitted, signs a last checkpoint and lets go of the directory. Later submissions are
    /// refused.
    pub fn close(&self) -> Result<(), CheckpointError> {
        self.drive();
        self.shared.state().closing = true;
        self.shared.sequencer.notify_all();
        self.shared.waiting.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in threads {
            if handle.join().is_err() {
                tracing::error!("a thread of the journal ended in a panic");
            }
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lock.is_none() {
            return Ok(());
        }
        let closed = self.notary.close();
        drop(lock);
        closed
    }

    fn published(&self, what: &'static str, position: u64) -> Result<(), ReadError> {
        let end = self.snapshot();
        if position < end { Ok(()) } else { Err(ReadError::Beyond { what, number: position, end }) }
    }

    fn block_number_published(&self, number: u64) -> Result<(), ReadError> {
        let end = self.block_count()?.unwrap_or(0);
        if number < end { Ok(()) } else { Err(ReadError::Beyond { what: "block", number, end }) }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the ledger closed without a last checkpoint");
        }
    }
}

impl Recovered {
    /// Starts taking transactions.
    pub fn start(self, sequence: Box<dyn Sequence>, publish: Box<dyn Publish>) -> Arc<Ledger> {
        let Recovered { journal, notary, lock, file, tail, texts, sequencer, options, .. } = self;
        let env = journal.env.clone();
        let shared = Arc::new(Shared {
            snapshot: AtomicU64::new(tail.chain.next_position),
            state: Mutex::new(State { read_only: backup::is_restored(&env, &journal.dir), ..State::default() }),
            sequencer: Condvar::new(),
            writer: Condvar::new(),
            waiting: Condvar::new(),
        });
        let front = Front { sequencer: Sequencer::new(env.clone(), sequencer, tail, texts), hook: sequence };
        let writer = Writer::new(
            Arc::clone(&env.storage),
            &journal.dir,
            file,
            tail,
            options.threads.then_some(options.segment_bytes),
        );
        let back = Back { writer, hook: publish, journal: Arc::clone(&journal), notary: Arc::clone(&notary) };
        let mut ledger = Ledger {
            journal,
            notary,
            vkey: options.key.verifier().clone(),
            shared: Arc::clone(&shared),
            queue_max: options.queue_max.max(1),
            threads: Mutex::new(Vec::new()),
            manual: None,
            lock: Mutex::new(Some(lock)),
            redacting: Mutex::new(()),
        };
        if options.threads {
            let spawned = spawn(&shared, front, back).and_then(|threads| {
                ledger.threads = Mutex::new(threads);
                ledger.notary.start()
            });
            if let Err(e) = spawned {
                shared.stop(format!("a thread of the journal cannot be started: {e}"));
            }
        } else {
            ledger.manual = Some(Mutex::new(Engine { front, back, in_hand: None }));
        }
        Arc::new(ledger)
    }
}

impl State {
    fn refusal(&self) -> Option<String> {
        self.stopped.clone().or_else(|| self.closing.then(|| "the ledger is closing".to_owned()))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, reason: String) {
        self.state().stopped.get_or_insert(reason);
        self.sequencer.notify_all();
        self.writer.notify_all();
        self.waiting.notify_all();
    }
}

fn spawn(shared: &Arc<Shared>, mut front: Front, mut back: Back) -> std::io::Result<Vec<JoinHandle<()>>> {
    let for_front = Arc::clone(shared);
    let sequencer = thread::Builder::new().name("sequencer".to_owned()).spawn(move || {
        let guard = StopOnPanic(&for_front);
        sequence(&for_front, &mut front);
        drop(guard);
    })?;
    let for_back = Arc::clone(shared);
    let writer = thread::Builder::new().name("writer".to_owned()).spawn(move || {
        let guard = StopOnPanic(&for_back);
        write(&for_back, &mut back);
        drop(guard);
    })?;
    Ok(vec![sequencer, writer])
}

/// A thread that panics must not leave others waiting for it.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            {
                let mut state = self.0.state();
                (state.writing, state.sequenced_all) = (false, true);
            }
            self.0.stop("a thread of the journal ended in a panic; restart the server".to_owned());
        }
    }
}

/// The sequencer's thread.
fn sequence(shared: &Shared, front: &mut Front) {
    loop {
        let mut state = shared.state();
        loop {
            let can_take = !state.queue.is_empty() && front.sequencer.backlog() < 2;
            let can_give = front.sequencer.has_batch() && state.slot.is_none() && !state.writing;
            let idle = state.closing && state.queue.is_empty() && !front.sequencer.has_batch();
            let settled = state.slot.is_none() && !state.writing && state.failure.is_none();
            if idle && settled {
                state.sequenced_all = true;
                shared.writer.notify_all();
                return;
            }
            let stopped =
                state.stopped.is_some() && (!state.queue.is_empty() || front.sequencer.has_batch() || state.closing);
            if can_take || can_give || stopped || state.failure.is_some() || !state.requests.is_empty() {
                break;
            }
            state = shared.sequencer.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let failure = state.failure.take();
        if state.stopped.is_some() && state.closing && failure.is_none() && !state.writing {
            let queue = std::mem::take(&mut state.queue);
            state.sequenced_all = true;
            drop(state);
            refuse_queue(shared, queue);
            shared.writer.notify_all();
            return;
        }
        let (queue, requests) = take_work(&mut state, front);
        let durable = state.durable.take();
        drop(state);
        shared.waiting.notify_all();
        if let Some(tail) = durable {
            front.sequencer.durable(&tail);
        }
        if let Some((failure, tail)) = failure {
            front.give_up(&failure, tail);
        }
        front.accept(queue, requests, shared);
        hand_over(shared, front);
    }
}

/// What the sequencer takes from the queue: nothing while batches wait for the writer.
fn take_work(state: &mut State, front: &Front) -> (VecDeque<(Transaction, Answer)>, Vec<Request>) {
    let queue = if front.sequencer.backlog() < 2 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
    (queue, std::mem::take(&mut state.requests))
}

fn refuse_queue(shared: &Shared, queue: VecDeque<(Transaction, Answer)>) {
    let reason = shared.state().refusal().unwrap_or_default();
    for (_, answer) in queue {
        drop(answer.send(Err(CommitError::Stopped { reason: reason.clone() })));
    }
}

/// Gives the writer a batch, if it has none and nothing failed.
fn hand_over(shared: &Shared, front: &mut Front) {
    let mut state = shared.state();
    if state.slot.is_none() && !state.writing && state.failure.is_none() && state.stopped.is_none() {
        state.slot = front.sequencer.take();
        drop(state);
        shared.writer.notify_one();
    } else if state.stopped.is_some() && state.failure.is_none() && front.sequencer.has_batch() {
        let cause = state.stopped.clone().unwrap_or_default();
        drop(state);
        let tail = front.sequencer.tail();
        front.give_up(&WriteFailure::Unknown(cause), tail);
    }
}

impl Front {
    fn accept(&mut self, queue: VecDeque<(Transaction, Answer)>, requests: Vec<Request>, shared: &Shared) {
        for request in requests {
            match request {
                Request::Floor(time_ms, answer) => {
                    self.sequencer.raise_time_floor(time_ms);
                    let _ = answer.send(self.sequencer.tail().chain.next_position);
                    drop(shared.state());
                    shared.waiting.notify_all();
                }
                Request::AcceptClock => self.sequencer.accept_clock(),
                Request::Roll => self.sequencer.roll(),
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
    fn give_up(&mut self, failure: &WriteFailure, tail: Tail) {
        for answer in self.sequencer.restore(tail) {
            drop(answer.send(Err(failure.error())));
        }
        self.hook.dropped();
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

/// The writer's thread.
fn write(shared: &Shared, back: &mut Back) {
    loop {
        let mut state = shared.state();
        let batch = loop {
            if let Some(batch) = state.slot.take() {
                break batch;
            }
            if state.sequenced_all {
                return;
            }
            state = shared.writer.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.writing = true;
        drop(state);
        let outcome = back.write(batch, shared);
        let mut state = shared.state();
        state.writing = false;
        match outcome {
            Ok(tail) => state.durable = Some(tail),
            Err(failure) => state.fail(failure, back.writer.tail()),
        }
        drop(state);
        shared.sequencer.notify_one();
        shared.waiting.notify_all();
    }
}

impl State {
    fn fail(&mut self, failure: WriteFailure, tail: Tail) {
        if let WriteFailure::Unknown(cause) = &failure {
            tracing::error!(cause, "the ledger takes no writes until the server is restarted");
            self.stopped.get_or_insert_with(|| format!("{cause}; restart the server"));
        }
        self.failure = Some((failure, tail));
    }
}

impl Back {
    /// Makes a batch durable, publishes its blocks and answers.
    fn write(&mut self, batch: Batch, shared: &Shared) -> Result<Tail, WriteFailure> {
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
        self.publish(batch, shared);
        Ok(self.writer.tail())
    }

    fn publish(&mut self, batch: Batch, shared: &Shared) {
        let active = self.journal.active();
        {
            let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
            index.extend(batch.index.entries(), &batch.index.dictionary);
            index.texts.extend(&batch.new_texts);
        }
        let mut answers = Vec::with_capacity(batch.blocks.len());
        for pending in batch.blocks {
            answers.push((pending.answer, pending.block.committed));
            self.hook.publish(pending.block);
        }
        shared.snapshot.store(batch.after.chain.next_position, Ordering::Release);
        if !batch.leaf_hashes.is_empty() {
            self.notary.published(&batch.leaf_hashes);
        }
        for (answer, committed) in answers {
            drop(answer.send(Ok(committed)));
        }
    }
}

impl Engine {
    /// One round: everything submitted, in as few batches as it takes.
    fn run_once(&mut self, shared: &Shared) {
        self.sequence(shared);
        while self.hand_over() {
            self.write(shared);
        }
    }

    fn sequence(&mut self, shared: &Shared) -> bool {
        let (queue, requests) = {
            let mut state = shared.state();
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.requests))
        };
        let any = !queue.is_empty() || !requests.is_empty();
        self.front.accept(queue, requests, shared);
        any
    }

    fn hand_over(&mut self) -> bool {
        if self.in_hand.is_none() {
            self.in_hand = self.front.sequencer.take();
        }
        self.in_hand.is_some()
    }

    fn write(&mut self, shared: &Shared) -> bool {
        let Some(batch) = self.in_hand.take() else { return false };
        match self.back.write(batch, shared) {
            Ok(tail) => self.front.sequencer.durable(&tail),
            Err(failure) => {
                let tail = self.back.writer.tail();
                let mut state = shared.state();
                state.fail(failure.clone(), tail);
                state.failure = None;
                drop(state);
                self.front.give_up(&failure, tail);
            }
        }
        true
    }
}
