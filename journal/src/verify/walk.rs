//! Reads the segments of a journal from the first byte to the last, checks each, and hands out blocks.
//!
//! Nothing is believed because another file says so: offsets and dictionaries are rebuilt from the frames, every
//! checksum is compared, headers are compared with the chain that was followed to them, and what must be zero is.
//!
//! The walk reads ahead of what it hands out: what a block's own bytes give is derived by the threads of [`Pool`], and
//! taken up in the order of the journal. Whatever stops the reading is said only when all before it was judged.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::full::{Gathered, PreparedBlock, PreparedRevision, Preparer};
use ledgerstone_digest::{Hash, Id};

use super::damage::locate;
use super::report::VerifyReport;
use super::work::{Outcome, Pool, Task, heading};
use crate::batch::{BATCH_HEADER_BYTES, BatchHeader};
use crate::dictionary::Texts;
use crate::env::{OpenMode, Storage};
use crate::frame::{BlockHead, Frame, FrameKind, Genesis, Staged, frame_length, read_frame};
use crate::offsets::Index;
use crate::reader::{FRAME_READ_BYTES, Frames};
use crate::scan::{ScanError, SegmentFile, Tail};
use crate::segment::{Chain, PAGE_BYTES};

/// Revisions in one task: what a large block is cut into.
const TASK_REVISIONS: usize = 512;
/// Bytes of the tasks that go to a thread together.
const JOB_BYTES: usize = 64 << 10;
/// Dictionaries up to this many texts are copied when they grow while threads use them. Growing larger ones waits for
/// the threads, so that the copies of a long dictionary that grows again and again do not add up.
const COPIED_TEXTS_MAX: usize = 1 << 10;

/// What is done with what the walk finds. An error ends the walk: it is reported at the frame's place.
pub(super) trait Visitor {
    /// Position 0.
    fn genesis(&mut self, genesis: &Genesis, report: &mut VerifyReport) -> Result<(), String>;
    /// The next revisions.
    fn revisions(&mut self, revisions: &[PreparedRevision], report: &mut VerifyReport) -> Result<(), String>;
    /// The block of the revisions that came since the last one; returns what was derived from it.
    fn block(&mut self, head: &BlockHead, block: PreparedBlock, report: &mut VerifyReport) -> Result<Derived, String>;
    /// A segment was read to its end; `index` says where its frames stand.
    fn segment(&mut self, file: &SegmentFile, index: &Index, report: &mut VerifyReport);
}

/// What the chain goes on with behind a block.
pub(super) struct Derived {
    /// H(the block leaf's entry).
    pub(super) block_leaf: Hash,
    /// QLDB's block hash.
    pub(super) block_hash: Hash,
}

/// The walk has met something that it cannot pass; it is in the report.
pub(super) struct Stopped;

/// Why reading a segment ended before its last batch.
enum End {
    /// What was read before it does not hold; it is in the report.
    Stopped,
    /// The batch at this offset cannot be read.
    Batch(u64, ScanError),
    /// Something in a batch, at this offset.
    Frame(u64, String),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> End {
        End::Stopped
    }
}

/// Follows the chain through the segments.
pub(super) struct Walk<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    /// Signed sizes: what lies below is acknowledged, so it cannot be a torn write.
    signed: u64,
    /// Where the reading stands; the hashes are those of the last block that was taken up.
    chain: Chain,
    ledger: Option<Id>,
    strand: Id,
    /// Revisions in staged frames that no block has named yet.
    staged_left: u64,
    /// Dictionaries of earlier segments that hold staged frames.
    staged_texts: HashMap<u64, Arc<Texts>>,
    pool: &'a Pool,
    preparer: Preparer,
    /// The next job, and where its tasks come from.
    forming: Vec<Task>,
    forming_places: Vec<Place>,
    forming_bytes: usize,
    /// Jobs under way, in order.
    pending: VecDeque<(u64, Vec<Place>)>,
    /// Of the revisions so far of a block of which more come.
    gathered: Gathered,
}

/// What a task is of.
struct Place {
    head: Arc<BlockHead>,
    /// Of the block's head.
    offset: u64,
    /// It is the block's last task.
    last: bool,
}

/// One segment while it is read.
struct Reading {
    file: SegmentFile,
    /// All but its dictionary's texts.
    index: Index,
    texts: Arc<Texts>,
    has_staged: bool,
}

/// A batch that is being read.
struct Batch {
    bytes: Arc<Vec<u8>>,
    /// Of its header in the segment.
    offset: u64,
    /// Where its body ends in `bytes`.
    end: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(storage: &'a dyn Storage, dir: &'a Path, signed: u64, pool: &'a Pool) -> Walk<'a> {
        Walk {
            storage,
            dir,
            signed,
            chain: Chain::EMPTY,
            ledger: None,
            strand: Id::ZERO,
            staged_left: 0,
            staged_texts: HashMap::new(),
            pool,
            preparer: Preparer::default(),
            forming: Vec::new(),
            forming_places: Vec::new(),
            forming_bytes: 0,
            pending: VecDeque::new(),
            gathered: Gathered::default(),
        }
    }

    /// Reads one segment.
    pub(super) fn segment(
        &mut self,
        number: u64,
        last: bool,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), Stopped> {
        let file = match SegmentFile::open(self.storage, self.dir, number, OpenMode::Read) {
            Ok(file) => file,
            Err(error) => return Err(self.scan_error(error, report)),
        };
        report.bytes += file.header.length;
        self.header(&file, report)?;
        let mut reading = Reading { file, index: Index::default(), texts: Arc::default(), has_staged: false };
        let read = self.batches(&mut reading, visitor, report);
        if !matches!(read, Err(End::Stopped)) {
            self.judge_all(&reading.file, visitor, report)?;
        }
        let end = match read {
            Ok(end) => end,
            Err(End::Stopped) => return Err(Stopped),
            Err(End::Batch(offset, error)) => return Err(self.damaged_batch(&reading.file, offset, error, report)),
            Err(End::Frame(offset, what)) => {
                report.broken(&reading.file.path, Some(offset), Some(self.chain.next_block), what);
                return Err(Stopped);
            }
        };
        self.tail(&reading.file, end, last, report)?;
        visitor.segment(&reading.file, &reading.index, report);
        if reading.has_staged {
            self.staged_texts.insert(number, reading.texts);
        }
        Ok(())
    }

    /// Reads all batches; returns where the next one would begin.
    fn batches(
        &mut self,
        reading: &mut Reading,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<u64, End> {
        let mut offset = PAGE_BYTES;
        loop {
            let batch = reading.file.batch(offset, self.chain.next_batch).map_err(|error| End::Batch(offset, error))?;
            let Ok((header, bytes)) = batch else { return Ok(offset) };
            self.batch(reading, offset, &header, bytes, visitor, report)?;
            offset += header.extent();
        }
    }

    /// The header must say where the chain stands.
    fn header(&mut self, file: &SegmentFile, report: &mut VerifyReport) -> Result<(), Stopped> {
        let header = &file.header;
        let mut stop = |what: String| {
            report.broken(&file.path, Some(0), None, what);
            Err(Stopped)
        };
        if self.ledger.is_some_and(|ledger| ledger != header.ledger) {
            return stop(format!("the segment belongs to ledger {}", header.ledger));
        }
        if header.chain != self.chain {
            let (found, wanted) = (&header.chain, &self.chain);
            return stop(format!(
                "the header does not continue the chain: it begins at batch {}, position {}, block {}, after block hash {}; \
                 the segments before end at batch {}, position {}, block {}, with block hash {}",
                found.next_batch,
                found.next_position,
                found.next_block,
                hash_text(found.block_hash),
                wanted.next_batch,
                wanted.next_position,
                wanted.next_block,
                hash_text(wanted.block_hash)
            ));
        }
        self.ledger = Some(header.ledger);
        Ok(())
    }

    fn batch(
        &mut self,
        reading: &mut Reading,
        offset: u64,
        header: &BatchHeader,
        bytes: Vec<u8>,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), End> {
        if header.first_position != self.chain.next_position {
            let (found, wanted) = (header.first_position, self.chain.next_position);
            let what = format!("the batch begins at position {found}, the one before ends at {wanted}");
            return Err(End::Frame(offset, what));
        }
        let batch = Batch { bytes: Arc::new(bytes), offset, end: BATCH_HEADER_BYTES + header.length as usize };
        let mut at = BATCH_HEADER_BYTES;
        while at < batch.end {
            at += self.frame(reading, &batch, at, visitor, report)?;
            if self.forming_bytes >= JOB_BYTES {
                self.submit();
            }
            while self.pending.len() > self.pool.jobs_max() {
                self.judge_next(&reading.file, visitor, report)?;
            }
        }
        self.chain.next_batch = header.next_number();
        Ok(())
    }

    /// One frame, with the revisions behind it if it is a block's head. Returns the bytes used.
    fn frame(
        &mut self,
        reading: &mut Reading,
        batch: &Batch,
        at: usize,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<usize, End> {
        let offset = batch.offset + at as u64;
        let wrong = |what: String| End::Frame(offset, what);
        let bytes = batch.bytes.get(at..batch.end).unwrap_or_default();
        let frame = read_frame(bytes).map_err(|e| wrong(e.0))?;
        let place = u32::try_from(offset).map_err(|_| wrong("the segment is too long".to_owned()))?;
        match frame.kind {
            FrameKind::Genesis => {
                let genesis = self.genesis(&frame).map_err(wrong)?;
                reading.index.push_frame(place);
                visitor.genesis(&genesis, report).map_err(wrong)?;
            }
            FrameKind::Dictionary => {
                if reading.texts.len() > COPIED_TEXTS_MAX {
                    self.judge_all(&reading.file, visitor, report)?;
                }
                Arc::make_mut(&mut reading.texts).read_frame(frame.payload).map_err(|e| wrong(e.0))?;
                reading.index.dictionary.push(place);
            }
            FrameKind::Block => {
                let head = Arc::new(self.head(&frame, &reading.texts).map_err(wrong)?);
                return self.block(reading, batch, at, frame.length, head).map_err(wrong);
            }
            FrameKind::Commit => {
                let head = Arc::new(self.head(&frame, &reading.texts).map_err(wrong)?);
                // What a head claims takes memory, so it is compared with what was read.
                let left = self.staged_left.checked_sub(u64::from(head.revisions)).ok_or_else(|| {
                    wrong(format!("block {} names more staged revisions than were written ahead", head.number))
                })?;
                self.staged_left = left;
                (0..head.revisions).for_each(|_| reading.index.push_staged());
                reading.index.push_head(place);
                self.staged(reading, offset, &head, visitor, report)?;
            }
            FrameKind::Staged => {
                let staged = Staged::decode(frame.payload).map_err(|e| wrong(e.0))?;
                self.staged_left += u64::from(staged.revisions);
                reading.has_staged = true;
            }
            FrameKind::Revision => return Err(wrong("a revision stands outside of a block".to_owned())),
        }
        Ok(frame.length)
    }

    fn genesis(&mut self, frame: &Frame<'_>) -> Result<Genesis, String> {
        if self.chain.next_position != 0 {
            return Err("a genesis stands behind the ledger's beginning".to_owned());
        }
        let genesis = Genesis::decode(frame.payload).map_err(text)?;
        if self.ledger != Some(genesis.ledger) {
            return Err("the genesis names another ledger than the segment's header".to_owned());
        }
        self.strand = genesis.strand;
        self.chain.next_position = 1;
        Ok(genesis)
    }

    /// A block's head, which must continue the chain; moves the reading behind the block.
    fn head(&mut self, frame: &Frame<'_>, texts: &Texts) -> Result<BlockHead, String> {
        let head = BlockHead::decode(frame, texts).map_err(text)?;
        let (number, first) = (self.chain.next_block, self.chain.next_position);
        if head.number != number || head.first_position() != first || first == 0 {
            let found = head.first_position();
            return Err(format!(
                "block {} from position {found} stands where block {number} from position {first} belongs",
                head.number
            ));
        }
        // Digest's rules look at the times of imported blocks and what follows from them.
        if self.chain.last_time_ms.is_some_and(|last| head.time_max_ms() < last) {
            return Err(format!("block {} is earlier than the block before it", head.number));
        }
        if head.imported.is_some() && self.chain.last_time_ms.max(Some(head.time_ms)) != Some(head.time_max_ms()) {
            return Err(format!("block {} names another latest time than the blocks have", head.number));
        }
        self.chain.next_block += 1;
        self.chain.next_position = head.position + 1;
        self.chain.last_time_ms = Some(head.time_max_ms());
        Ok(head)
    }

    /// A block whose revisions stand behind its head: makes tasks of them. Returns the bytes of all.
    fn block(
        &mut self,
        reading: &mut Reading,
        batch: &Batch,
        at: usize,
        head_length: usize,
        head: Arc<BlockHead>,
    ) -> Result<usize, String> {
        let offset = batch.offset + at as u64;
        let mut begins = Vec::with_capacity(TASK_REVISIONS.min(head.revisions as usize) + 1);
        let (mut next, first, count) = (at + head_length, head.first_position(), u64::from(head.revisions));
        let mut done = 0;
        loop {
            begins.push(next);
            let full = begins.len() > TASK_REVISIONS;
            if full || done + begins.len() as u64 > count {
                let revisions = begins.len() as u64 - 1;
                let whole = done == 0 && revisions == count;
                self.forming.push(Task {
                    head: Arc::clone(&head),
                    first: first + done,
                    count: revisions,
                    bytes: Arc::clone(&batch.bytes),
                    range: begins.first().copied().unwrap_or(next)..next,
                    texts: Arc::clone(&reading.texts),
                    staged: None,
                    whole,
                });
                done += revisions;
                self.forming_places.push(Place { head: Arc::clone(&head), offset, last: done == count });
                self.forming_bytes += head_length + next - begins.first().copied().unwrap_or(next);
                if done == count {
                    break;
                }
                begins.clear();
                begins.push(next);
            }
            let rest = batch.bytes.get(next..batch.end).unwrap_or_default();
            let in_block = |what: &str| format!("position {} of block {}: {what}", first + done, head.number);
            let length = frame_length(rest).map_err(|e| in_block(&e.0))?;
            if length > rest.len() {
                return Err(in_block("a revision is longer than its batch"));
            }
            reading.index.push_frame((batch.offset + next as u64) as u32);
            next += length;
        }
        reading.index.push_head(offset as u32);
        Ok(next - at)
    }

    /// A block whose revisions were written ahead: makes a task of each staged frame that its head names.
    fn staged(
        &mut self,
        reading: &Reading,
        offset: u64,
        head: &Arc<BlockHead>,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), End> {
        let mut first = head.first_position();
        for (ordinal, reference) in head.staged.iter().enumerate() {
            let other;
            let (file, texts) = match self.staged_texts.get(&reference.segment) {
                _ if reference.segment == reading.file.header.number => (&reading.file, &reading.texts),
                None => {
                    return Err(End::Frame(offset, format!("segment {} holds no staged frames", reference.segment)));
                }
                Some(texts) => {
                    other = SegmentFile::open(self.storage, self.dir, reference.segment, OpenMode::Read)
                        .map_err(|e| End::Frame(offset, text(e)))?;
                    (&other, texts)
                }
            };
            let bytes = Frames::new(file, FRAME_READ_BYTES).bytes_at(u64::from(reference.offset));
            let bytes = bytes.map_err(|e| End::Frame(offset, text(e)))?;
            self.forming.push(Task {
                head: Arc::clone(head),
                first,
                count: u64::from(reference.revisions),
                range: 0..bytes.len(),
                bytes: Arc::new(bytes),
                texts: Arc::clone(texts),
                staged: Some(ordinal),
                whole: false,
            });
            let last = ordinal + 1 == head.staged.len();
            self.forming_places.push(Place { head: Arc::clone(head), offset, last });
            first += u64::from(reference.revisions);
            self.submit();
            while self.pending.len() > self.pool.jobs_max() {
                self.judge_next(&reading.file, visitor, report)?;
            }
        }
        Ok(())
    }

    fn submit(&mut self) {
        if !self.forming.is_empty() {
            let number = self.pool.submit(self.strand, mem::take(&mut self.forming));
            self.pending.push_back((number, mem::take(&mut self.forming_places)));
            self.forming_bytes = 0;
        }
    }

    /// Takes up all that was read.
    fn judge_all(
        &mut self,
        file: &SegmentFile,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), Stopped> {
        self.submit();
        while !self.pending.is_empty() {
            self.judge_next(file, visitor, report)?;
        }
        Ok(())
    }

    /// Takes up the oldest job.
    fn judge_next(
        &mut self,
        file: &SegmentFile,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), Stopped> {
        let Some((number, places)) = self.pending.pop_front() else { return Ok(()) };
        for (outcome, place) in self.pool.outcomes(number, &mut self.preparer).into_iter().zip(places) {
            if let Err(what) = self.judge(outcome, &place, visitor, report) {
                report.broken(&file.path, Some(place.offset), Some(place.head.number), what);
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// Takes up revisions; with the last of a block the block, which moves the chain's hashes behind it.
    fn judge(
        &mut self,
        outcome: Outcome,
        place: &Place,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), String> {
        let head = &*place.head;
        let prepared = outcome?;
        visitor.revisions(&prepared.revisions, report)?;
        let block = match prepared.block {
            Some(block) => block,
            None => {
                prepared.revisions.iter().for_each(|revision| self.gathered.push(revision));
                if !place.last {
                    return Ok(());
                }
                let heading = heading(head, self.strand, &mut self.preparer);
                self.preparer.block(&heading, &mut mem::take(&mut self.gathered)).map_err(text)?
            }
        };
        let expected = self.chain.block_leaf;
        if head.previous_leaf != expected {
            return Err(format!(
                "block {} says that the block leaf before it has hash {}, but that leaf gives {}",
                head.number,
                hash_text(head.previous_leaf),
                hash_text(expected)
            ));
        }
        let derived = visitor.block(head, block, report)?;
        self.chain.block_hash = Some(derived.block_hash);
        self.chain.block_leaf = Some(derived.block_leaf);
        Ok(())
    }

    /// What stands behind the last whole batch: zeros, a torn write, or damage.
    fn tail(&self, file: &SegmentFile, end: u64, last: bool, report: &mut VerifyReport) -> Result<(), Stopped> {
        match file.tail(end, self.chain.next_batch) {
            Ok(Tail::Clean) => Ok(()),
            Ok(Tail::Torn { end: until, what }) => {
                let (offset, block) = locate(file, end, self.chain.next_block);
                if last && self.chain.next_position >= self.signed {
                    let what = format!(
                        "behind the last whole batch stand bytes up to offset {until} that are no batch ({what}): a write \
                         torn by a crash, or damage to a batch that no checkpoint covers yet; start the server, which \
                         decides it, then verify again"
                    );
                    report.unchecked(&file.path, Some(offset), what);
                    return Ok(());
                }
                let what = format!("a batch is damaged: {what}; restore the file from a backup");
                report.broken(&file.path, Some(offset), Some(block), what);
                Err(Stopped)
            }
            Err(error) => Err(self.damaged_batch(file, end, error, report)),
        }
    }

    /// Damage in a batch: says which frame is hit, if one is.
    fn damaged_batch(&self, file: &SegmentFile, at: u64, error: ScanError, report: &mut VerifyReport) -> Stopped {
        match error {
            ScanError::Damaged(damage) if damage.offset == at => {
                let (offset, block) = locate(file, at, self.chain.next_block);
                report.broken(
                    &file.path,
                    Some(offset),
                    Some(block),
                    format!("{}; {}", damage.what, damage.help.text_in_report()),
                );
                Stopped
            }
            error => self.scan_error(error, report),
        }
    }

    fn scan_error(&self, error: ScanError, report: &mut VerifyReport) -> Stopped {
        match error {
            ScanError::Damaged(damage) => {
                let what = format!("{}; {}", damage.what, damage.help.text_in_report());
                report.broken(&damage.path, Some(damage.offset), None, what);
            }
            ScanError::File(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                report.broken(&error.path, None, None, "the segment is missing; restore it from a backup");
            }
            ScanError::File(error) => report.unchecked(&error.path, None, error.to_string()),
        }
        Stopped
    }
}

fn hash_text(hash: Option<Hash>) -> String {
    hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
