//! An open ledger: transactions go in, durable blocks come out (docs/architecture.md, "Journal").
//!
//! The work in between, and who does it, is in [`crate::engine`]; here is what others ask of a ledger.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;

use ledgerstone_digest::ion::Hasher;
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::tlog_proof::TlogProof;
use ledgerstone_digest::{Hash, Id};

use crate::backup;
use crate::checkpoint::{CheckpointError, Notary, Signed};
use crate::commit::CommitFuture;
use crate::derive::BlockHasher;
use crate::encoded::Data;
use crate::engine::{Back, Front, Request, Shared, Step, spawn};
use crate::env::{Env, Lock};
use crate::error::{CommitError, CreateError, OpenError, ReadError};
use crate::frame::Known;
use crate::qldb::BlockTree;
use crate::reader::Journal;
use crate::receipt::{Prover, ReceiptError, ReceiptOptions};
use crate::recovery::{self, CreateOptions, OpenOptions, Recovered};
use crate::redaction::{self, RedactError};
use crate::sequencer::Sequencer;
use crate::spread::spread;
use crate::stored::{StoredBlock, StoredRevision};
use crate::transaction::{BlockEnds as _, Committed, NewRevision, Publish, Sequence, Transaction};
use crate::writer::Writer;

/// Whether segments may still be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewriting {
    Allowed,
    /// The ledger was closed: the directory may be somebody else's.
    Over,
}

/// An open ledger. Dropping it closes it.
pub struct Ledger {
    pub(crate) journal: Arc<Journal>,
    pub(crate) notary: Arc<Notary>,
    pub(crate) blocks: BlockTree,
    origin: String,
    shared: Arc<Shared>,
    queue_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
    /// One redaction at a time.
    redacting: Mutex<()>,
    /// Held while segments are replaced.
    rewriting: Mutex<Rewriting>,
    /// One rotation of the key at a time.
    rotating: Mutex<()>,
}

/// A block from afar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockOutline {
    pub time_ms: i64,
    pub revisions: u32,
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
    pub fn submit(&self, transaction: Transaction) -> CommitFuture {
        self.take(transaction, false).0
    }

    /// As [`Ledger::submit`], for one who waits for the answer at once, in a runtime with many: before the sequencer is woken
    /// those get their turn who are ready to run now, so it is woken once for all of them. Nobody waits for a clock.
    pub fn commit(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<Committed, CommitError>> + Send + 'static {
        let (answer, deferred) = self.take(transaction, true);
        let to_rouse = deferred.then(|| Rouse(Arc::clone(&self.shared)));
        async move {
            if let Some(to_rouse) = to_rouse {
                give_way().await;
                drop(to_rouse);
            }
            answer.await
        }
    }

    /// The answer, and whether the caller has to wake the sequencer ([`Shared::rouse_deferred`]).
    fn take(&self, mut transaction: Transaction, defer: bool) -> (CommitFuture, bool) {
        hash_documents(&mut transaction.revisions);
        let (answer, future) = CommitFuture::new();
        let mut state = self.shared.state();
        while state.queue.len() >= self.queue_max && state.refusal().is_none() && self.shared.threads {
            state = self.shared.wait(state);
        }
        if let Some(error) = state.refused() {
            drop(state);
            drop(answer.send(Err(error)));
            return (future, false);
        }
        let deferred = self.shared.submit(state, transaction, answer, defer);
        (future, deferred)
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
        &self.origin
    }

    /// The key that the newest checkpoints are verified with.
    pub fn vkey(&self) -> VerifierKey {
        self.notary.chain().current().clone()
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

    /// The same, as what submits are told.
    pub(crate) fn refusal(&self) -> Option<CommitError> {
        self.shared.state().refused()
    }

    /// The revision at a position.
    pub fn read_revision(&self, position: u64) -> Result<StoredRevision, ReadError> {
        self.published("position", position)?;
        self.journal.revision(position)
    }

    /// The revisions at these positions, in their order, to `each`, until it has enough. What is found once for one of them is
    /// not looked for again for the next.
    pub fn read_revisions(
        &self,
        positions: &[u64],
        each: &mut dyn FnMut(StoredRevision) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut near = None;
        for position in positions {
            self.published("position", *position)?;
            if each(self.journal.revision_near(*position, &mut near)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A block by number, its hashes derived and compared.
    pub fn read_block(&self, number: u64) -> Result<StoredBlock, ReadError> {
        self.block_number_published(number)?;
        let position = self.journal.block_position(number)?;
        self.published("block", position)?;
        Ok(self.journal.block(position, &mut BlockHasher::default())?.0)
    }

    /// The block that a position is in, its own leaf's included; none for position 0.
    pub fn block_at(&self, position: u64) -> Result<Option<StoredBlock>, ReadError> {
        self.published("position", position)?;
        if position == 0 {
            return Ok(None);
        }
        let Some(end) = self.journal.block_from(position)? else { return Ok(None) };
        Ok(Some(self.journal.block(end, &mut BlockHasher::default())?.0))
    }

    /// The last block before which, itself included, none has a time after `time_ms`, and the snapshot behind it. `None` if
    /// there is none.
    pub fn last_block_at_or_before(&self, time_ms: i64) -> Result<Option<(u64, u64)>, ReadError> {
        let Some(end) = self.block_count()? else { return Ok(None) };
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let head = self.journal.head(self.journal.block_position(middle)?)?;
            if head.time_max_ms() <= time_ms {
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

    /// The position behind a block.
    pub fn block_end(&self, number: u64) -> Result<u64, ReadError> {
        self.block_number_published(number)?;
        self.journal.block_end(number)
    }

    /// What a block's head says, without reading its revisions.
    pub fn block_outline(&self, number: u64) -> Result<BlockOutline, ReadError> {
        self.block_number_published(number)?;
        let head = self.journal.head(self.journal.block_position(number)?)?;
        Ok(BlockOutline { time_ms: head.time_ms, revisions: head.revisions })
    }

    /// The entry of the tree at a position.
    pub fn leaf(&self, position: u64) -> Result<Vec<u8>, ReadError> {
        self.published("position", position)?;
        self.journal.leaf(position, &mut BlockHasher::default())
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

    /// H of the entry of the tree at a position; a block is not read for it, unless it is the first after a start.
    pub fn leaf_hash(&self, position: u64) -> Result<Hash, ReadError> {
        self.published("position", position)?;
        self.journal.leaf_entry_hash(position)
    }

    /// The published revisions at positions from `from` on to before `to`, in order; both may lie inside of a block.
    /// `known` may give a document, which then need not be decoded, and is handed over as it is: without a salt perhaps.
    pub fn revisions_between<E: From<ReadError>>(
        &self,
        from: u64,
        to: u64,
        known: &mut Known<'_>,
        each: &mut dyn FnMut(StoredRevision) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = self.snapshot();
        if to > end {
            return Err(ReadError::Beyond { what: "position", number: to, end }.into());
        }
        self.journal.revisions_between(from, to, known, each)
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

    /// The receipt of the rotation at a size, under the checkpoint with which the key before handed over.
    pub(crate) fn rotation_receipt(&self, size: u64) -> Result<Receipt, ReceiptError> {
        self.prover().rotation(size)
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

    /// The root of the tree of the first `size` leaves, at most the newest signed size.
    pub fn root(&self, size: u64) -> Result<Hash, ReceiptError> {
        self.prover().root(size)
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
        if let Err(error) = redaction::begin(storage, dir, pending) {
            // Nothing was submitted: another attempt is not to wait for a start.
            let _ = redaction::end(storage, dir);
            return Err(error);
        }
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
        let carried_out = match self.hold_directory() {
            Some(_held) => redaction::carry_out(&self.journal, &self.notary, committed.block, pending),
            None => Err(RedactError::Refused("the ledger was closed".to_owned())),
        };
        match carried_out {
            Ok(()) => Ok(committed),
            Err(error) => Err(RedactError::Unfinished { committed, cause: Box::new(error) }),
        }
    }

    /// The ledger is not closed while this is held; `None`: it is closed already, and the directory is another's. For who
    /// replaces segments: backups and whoever only reads do not keep a ledger open.
    pub(crate) fn hold_directory(&self) -> Option<MutexGuard<'_, Rewriting>> {
        let held = self.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*held, Rewriting::Allowed).then_some(held)
    }

    /// No redaction begins while this is held: what is read twice is the same twice.
    pub fn hold_redactions(&self) -> MutexGuard<'_, ()> {
        self.redacting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No rotation begins while this is held.
    pub(crate) fn hold_rotations(&self) -> MutexGuard<'_, ()> {
        self.rotating.lock().unwrap_or_else(PoisonError::into_inner)
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
            if let Ok(Some((end, dropped))) = position.try_recv() {
                // What is dropped will not come any more, and what comes instead is later.
                while self.snapshot() < end && state.dropped == dropped && state.refusal().is_none() {
                    state = self.shared.wait(state);
                }
                return Ok(());
            }
            state = self.shared.wait(state);
        }
    }

    /// Lifts the stop that a jumped clock caused.
    pub fn accept_clock(&self) {
        self.shared.state().requests.push(Request::AcceptClock);
        self.shared.sequencer.notify_one();
    }

    /// Without threads: sequences what was submitted, as one group, and makes it durable.
    pub fn drive(&self) {
        if !self.shared.threads {
            self.shared.run_once();
        }
    }

    /// Without threads: takes one step. False if there was nothing to do.
    pub fn step(&self, step: Step) -> bool {
        !self.shared.threads && self.shared.step(step)
    }

    /// Finishes what was submitted, signs a last checkpoint and lets go of the directory. Later submissions are
    /// refused.
    pub fn close(&self) -> Result<(), CheckpointError> {
        self.drive();
        let mut state = self.shared.state();
        state.closing = true;
        self.shared.changed(state);
        self.shared.sequencer.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in threads {
            if handle.join().is_err() {
                tracing::error!("a thread of the journal ended in a panic");
            }
        }
        // The writer may be preparing a segment, and others may be replaced: that ends before the directory is anybody else's.
        self.shared.dismiss();
        *self.rewriting.lock().unwrap_or_else(PoisonError::into_inner) = Rewriting::Over;
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lock.is_none() {
            return Ok(());
        }
        let closed = self.notary.close();
        if let Err(error) = self.blocks.close() {
            tracing::warn!(%error, "the tree over the blocks was not written; it is made again when it is asked for");
        }
        drop(lock);
        closed
    }

    fn published(&self, what: &'static str, position: u64) -> Result<(), ReadError> {
        let end = self.snapshot();
        if position < end { Ok(()) } else { Err(ReadError::Beyond { what, number: position, end }) }
    }

    pub(crate) fn block_number_published(&self, number: u64) -> Result<(), ReadError> {
        let end = self.block_count()?.unwrap_or(0);
        if number < end { Ok(()) } else { Err(ReadError::Beyond { what: "block", number, end }) }
    }
}

/// Computes the hashes that are missing.
fn hash_documents(revisions: &mut [NewRevision]) {
    if revisions.iter().all(|revision| revision.data.is_none() || revision.known_hash().is_some()) {
        return;
    }
    let hashes = spread(revisions, |part| {
        let mut hasher = Hasher::new();
        let hash = |revision: &NewRevision| match (&revision.data, revision.data_hash) {
            (Some(Data::Value(data)), None) => Some(hasher.value_with(data, revision.salt_field())),
            (_, known) => known,
        };
        part.iter().map(hash).collect()
    });
    revisions.iter_mut().zip(hashes).for_each(|(revision, hash)| revision.data_hash = hash);
}

/// The sequencer is woken when this goes, whatever becomes of the commit.
struct Rouse(Arc<Shared>);

impl Drop for Rouse {
    fn drop(&mut self) {
        self.0.rouse_deferred();
    }
}

/// Comes back behind everybody who is ready to run.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| match std::mem::replace(&mut given, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
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
        let sequencer = Sequencer::new(env.clone(), sequencer, tail, texts);
        let front = Front { sequencer, hook: sequence, dropped: 0 };
        let writer = Writer::new(
            Arc::clone(&env.storage),
            &journal.dir,
            file,
            tail,
            options.threads.then_some(options.segment_bytes),
        );
        let back = Back { writer, hook: publish, journal: Arc::clone(&journal), notary: Arc::clone(&notary) };
        let read_only = backup::is_restored(&env, &journal.dir);
        let shared = Arc::new(Shared::new(tail.chain.next_position, read_only, options.threads, front, back));
        let origin = notary.chain().current().name().to_owned();
        let mut ledger = Ledger {
            blocks: BlockTree::new(Arc::clone(&env.storage), &journal.dir),
            journal,
            notary,
            origin,
            shared: Arc::clone(&shared),
            queue_max: options.queue_max.max(1),
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(lock)),
            redacting: Mutex::new(()),
            rewriting: Mutex::new(Rewriting::Allowed),
            rotating: Mutex::new(()),
        };
        if options.threads {
            let spawned = spawn(&shared).and_then(|threads| {
                ledger.threads = Mutex::new(threads);
                ledger.notary.start()
            });
            if let Err(e) = spawned {
                shared.stop(format!("a thread of the journal cannot be started: {e}"));
            }
        }
        Arc::new(ledger)
    }
}
