//! The part of verification that needs nothing but a block's own bytes, on as many threads as the machine has.
//!
//! The calling thread reads all files, in order, and judges all results, in order; so what is found, and how it is said,
//! does not depend on the number of threads. Between the two a bounded number of jobs is under way, and the calling
//! thread does jobs as well while it waits: with one processor it does all of them.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use ledgerstone_digest::full::{
    FullData, FullRevision, Gathered, Heading, Listing, PreparedBlock, PreparedRevision, Preparer,
};
use ledgerstone_digest::{Hash, Id};

use crate::dictionary::Texts;
use crate::frame::{BlockHead, Content, RevisionFrame, Staged, read_frame};

/// Jobs under way for each thread: enough that none waits for the reader.
const JOBS_PER_THREAD: usize = 3;
/// More threads than this would wait for the one that reads.
const THREADS_MAX: usize = 16;

/// Revisions of one block that stand one behind the other.
pub(super) struct Task {
    pub head: Arc<BlockHead>,
    /// The position of the first.
    pub first: u64,
    pub count: u64,
    /// Their frames are in this range; or it is a staged frame with them.
    pub bytes: Arc<Vec<u8>>,
    pub range: Range<usize>,
    pub texts: Arc<Texts>,
    /// Which of the block's staged frames this is.
    pub staged: Option<usize>,
    /// They are all of the block.
    pub whole: bool,
}

/// What became of a task; the text says what is wrong with the bytes.
pub(super) type Outcome = Result<Prepared, String>;

pub(super) struct Prepared {
    pub revisions: Vec<PreparedRevision>,
    /// Their block, if they are all of it.
    pub block: Option<PreparedBlock>,
}

struct Job {
    number: u64,
    strand: Id,
    tasks: Vec<Task>,
}

/// The threads, and what lies between them and the caller.
pub(super) struct Pool {
    threads: usize,
    state: Mutex<State>,
    /// A job was queued, or there will be none any more.
    queued: Condvar,
    /// A job is done.
    done: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    done: HashMap<u64, thread::Result<Vec<Outcome>>>,
    next: u64,
    closed: bool,
}

/// Sends the threads home, however its scope is left.
struct Closing<'a>(&'a Pool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.jobs.clear();
        self.0.queued.notify_all();
    }
}

impl Pool {
    /// Runs `body` beside the threads. `threads` counts the caller's; `None`: as many as there are processors.
    pub fn with<T>(threads: Option<usize>, body: impl FnOnce(&Pool) -> T) -> T {
        let available = || thread::available_parallelism().map_or(1, |n| n.get()).min(THREADS_MAX);
        let pool = Pool {
            threads: threads.unwrap_or_else(available).max(1),
            state: Mutex::default(),
            queued: Condvar::new(),
            done: Condvar::new(),
        };
        thread::scope(|scope| {
            let _closing = Closing(&pool);
            for _ in 1..pool.threads {
                // Where no thread can be had, the caller does the work.
                if thread::Builder::new().name("verify".into()).spawn_scoped(scope, || pool.serve()).is_err() {
                    break;
                }
            }
            body(&pool)
        })
    }

    /// How many jobs may be under way.
    pub fn jobs_max(&self) -> usize {
        self.threads * JOBS_PER_THREAD
    }

    /// Hands a job over; its number is what [`Pool::outcomes`] asks for.
    pub fn submit(&self, strand: Id, tasks: Vec<Task>) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.jobs.push_back(Job { number, strand, tasks });
        self.queued.notify_one();
        number
    }

    /// What became of a job's tasks. Does jobs itself while this one is not done.
    pub fn outcomes(&self, number: u64, preparer: &mut Preparer) -> Vec<Outcome> {
        let mut state = self.lock();
        loop {
            if let Some(outcomes) = state.done.remove(&number) {
                return outcomes.unwrap_or_else(|panic| resume_unwind(panic));
            }
            state = match state.jobs.pop_front() {
                Some(job) => {
                    drop(state);
                    let done = perform(&job, preparer);
                    let mut state = self.lock();
                    state.done.insert(job.number, done);
                    state
                }
                None => self.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn serve(&self) {
        let mut preparer = Preparer::default();
        let mut state = self.lock();
        while !state.closed {
            state = match state.jobs.pop_front() {
                Some(job) => {
                    drop(state);
                    let done = perform(&job, &mut preparer);
                    let mut state = self.lock();
                    state.done.insert(job.number, done);
                    self.done.notify_one();
                    state
                }
                None => self.queued.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic is the caller's to have, not this thread's: nobody would wait for an end that does not come.
fn perform(job: &Job, preparer: &mut Preparer) -> thread::Result<Vec<Outcome>> {
    catch_unwind(AssertUnwindSafe(|| job.tasks.iter().map(|task| prepare(task, job.strand, preparer)).collect()))
}

/// The block without its revisions, as digest's verifier takes it.
pub(super) fn heading<'a>(head: &'a BlockHead, strand: Id, preparer: &mut Preparer) -> Heading<'a> {
    Heading {
        strand,
        number: head.number,
        transaction_id: head.tx_id,
        time_ms: head.time_ms,
        blind: head.blind,
        first: head.first_position(),
        statements: &head.statements,
        origin_info_hash: preparer.origin_info(&head.origin),
        redaction_info: head.redaction.as_ref(),
        block_hash: Some(head.block_hash),
        imported: head.imported.as_ref().map(|imported| &imported.block),
    }
}

fn prepare(task: &Task, strand: Id, preparer: &mut Preparer) -> Outcome {
    let head = &*task.head;
    let bytes = task.bytes.get(task.range.clone()).unwrap_or_default();
    let frames = match task.staged {
        Some(ordinal) => staged(bytes, head, ordinal)?,
        None => bytes,
    };
    let heading = heading(head, strand, preparer);
    let mut revisions = Vec::with_capacity(task.count.min(bytes.len() as u64) as usize);
    let mut at = 0;
    for position in task.first..task.first + task.count {
        let in_block = |what: String| format!("position {position} of block {}: {what}", head.number);
        let frame = read_frame(frames.get(at..).unwrap_or_default()).map_err(|e| in_block(e.0))?;
        let revision = RevisionFrame::of_block(&frame, head, position).map_err(|e| in_block(e.0))?;
        revisions.push(prepare_revision(&revision, position, &heading, task, preparer).map_err(in_block)?);
        at += frame.length;
    }
    if let Some(ordinal) = task.staged
        && at != frames.len()
    {
        return Err(format!("staged frame {ordinal} of block {} has bytes behind its revisions", head.number));
    }
    let mut block = None;
    if task.whole {
        let mut gathered = Gathered::default();
        revisions.iter().for_each(|revision| gathered.push(revision));
        block = Some(preparer.block(&heading, &mut gathered).map_err(|failure| failure.to_string())?);
    }
    Ok(Prepared { revisions, block })
}

/// The revisions in a staged frame, which must be the one that the block names.
fn staged<'a>(bytes: &'a [u8], head: &BlockHead, ordinal: usize) -> Result<&'a [u8], String> {
    let staged = Staged::of_block(bytes, head, ordinal).map_err(|e| e.0)?;
    match head.staged.get(ordinal) {
        Some(reference) if reference.hash == Hash::sha256(&[bytes]) => Ok(staged.frames),
        _ => Err(format!("staged frame {ordinal} of block {} is not the one that was committed", head.number)),
    }
}

fn prepare_revision(
    revision: &RevisionFrame<'_>,
    position: u64,
    heading: &Heading<'_>,
    task: &Task,
    preparer: &mut Preparer,
) -> Result<PreparedRevision, String> {
    let group = task.head.group_of(revision).map_err(|e| e.0)?;
    let value;
    // What the system's tables say is compared; of others only the hash counts.
    let data = match revision.content {
        Content::Deleted | Content::Opaque => FullData::Deleted,
        Content::Redacted { data_hash, .. } => FullData::Missing(data_hash),
        Content::Data(_) if group.table_id.is_system() => {
            value = revision.data(&task.texts).map_err(|e| e.0)?;
            value.as_ref().map_or(FullData::Deleted, FullData::Value)
        }
        Content::Data(bytes) => {
            FullData::Hashed(RevisionFrame::hash_checked(bytes, &task.texts, preparer.hasher()).map_err(|e| e.0)?)
        }
    };
    let full = FullRevision {
        table_id: group.table_id,
        document_id: revision.document_id,
        version: revision.version,
        supersedes: revision.supersedes,
        blind: revision.blind,
        data,
        imported: revision.imported,
    };
    let listing = group.listed.as_ref();
    let listing = listing.map(|l| Listing { table_name: &l.table_name, statements: &l.statements });
    let prepared = preparer.revision(heading, &full, listing, position).map_err(|failure| failure.to_string())?;
    Ok(match revision.content {
        Content::Redacted { record, .. } => prepared.with_record(record),
        _ => prepared,
    })
}
