//! The sequencer: gives transactions their order, their times, their positions and their hashes, and lays them out
//! in batches (docs/architecture.md, "Journal").
//!
//! No threads and no files here: [`Sequencer::add`] takes a transaction, [`Sequencer::take`] gives a batch for the
//! writer, and [`Sequencer::restore`] goes back to what the writer has made durable.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ledgerstone_digest::ion::{Hasher, Text};
use ledgerstone_digest::rotation::RotationRecord;
use ledgerstone_digest::{Hash, Id};

use crate::batch::{BATCH_BYTES_MAX, BATCH_BYTES_SOFT, BATCH_HEADER_BYTES, begin_batch, finish_batch};
use crate::commit::Answer;
use crate::derive::{BlockDeriver, BlockFacts, BlockHasher, DerivedBlock, RevisionFacts};
use crate::dictionary::{Dictionary, Texts};
use crate::encoded::{Data, Renumberer};
use crate::env::Env;
use crate::error::{ClockError, CommitError};
use crate::frame::{BlockHead, Content, FrameKind, Group, ImportedHead, RevisionFrame, Staged, StagedRef, put_frame};
use crate::offsets::Index;
use crate::segment::{Chain, PAGE_BYTES, SEGMENT_BYTES_MAX, SegmentHeader, page_align};
use crate::transaction::{
    Committed, ImportedContent, ImportedTransaction, NewRevision, PublishedBlock, PublishedRevision, Sequence,
    Transaction,
};

/// A transaction whose revisions take more is written ahead in staged frames.
pub const STAGED_ABOVE_BYTES: usize = 4 << 20;
/// A staged frame is closed when it has reached this.
const STAGED_FRAME_BYTES: usize = 1 << 20;
/// How far ahead of the time since boot the wall clock may move.
const CLOCK_AHEAD_MS_MAX: i64 = 60_000;
/// How far behind the last block the wall clock may stand.
const CLOCK_BEHIND_MS_MAX: i64 = 1_000;
/// How far ahead of the last block the wall clock may stand when a ledger is opened: a year.
const CLOCK_UNUSED_MS_MAX: i64 = 366 * 86_400_000;

/// What the sequencer needs to know.
#[derive(Debug, Clone)]
pub(crate) struct SequencerOptions {
    pub ledger: Id,
    pub strand: Id,
    pub segment_bytes: u64,
    pub staged_above_bytes: usize,
    pub revisions_max: u64,
    /// Blocks before this one are imported, as the genesis says.
    pub imported_blocks: u64,
}

/// Where the writer stands: everything before is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    pub segment: u64,
    pub nonce: [u8; 16],
    pub length: u64,
    /// Where the next batch begins.
    pub offset: u64,
    /// Dictionary entries in the segment.
    pub dictionary: usize,
    pub chain: Chain,
}

/// What one write and one sync make durable.
pub(crate) struct Batch {
    /// The segment to begin first, if the batch opens one.
    pub roll: Option<SegmentHeader>,
    pub segment: u64,
    pub offset: u64,
    /// Header, body and padding.
    pub bytes: Vec<u8>,
    /// What the segment's index gains.
    pub index: Index,
    pub new_texts: Vec<Text>,
    pub leaf_hashes: Vec<Hash>,
    pub blocks: Vec<PendingBlock>,
    /// Where the writer stands when this is durable.
    pub after: Tail,
}

/// A block that waits to be durable.
pub(crate) struct PendingBlock {
    pub block: PublishedBlock,
    /// It rotates the key.
    pub rotation: Option<RotationRecord>,
    pub answer: Answer,
}

/// The state between two transactions.
pub(crate) struct Sequencer {
    env: Env,
    options: SequencerOptions,
    hasher: BlockHasher,
    tail: Tail,
    dictionary: Dictionary,
    /// Dictionaries of segments that were left, until that is durable.
    left: Vec<(u64, Dictionary)>,
    forming: Forming,
    ready: VecDeque<Batch>,
    clock: ClockWatch,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Forming {
    roll: Option<SegmentHeader>,
    bytes: Vec<u8>,
    first_position: u64,
    index: Index,
    new_texts: Vec<Text>,
    leaf_hashes: Vec<Hash>,
    blocks: Vec<PendingBlock>,
    /// Something was laid out in it.
    used: bool,
}

/// Judges the wall clock by the time since boot.
struct ClockWatch {
    wall_ms: i64,
    boot_ms: i64,
    floor_ms: i64,
    /// The clock stood behind the last block when it was read last: what it is set to next is taken as after a restart.
    behind: bool,
    /// Nothing but the last block says what time it is: nothing was committed since the ledger was opened.
    opened: bool,
    jumped: Option<ClockError>,
}

/// A transaction with its place and its hashes, before it is laid out.
struct Placed {
    head: BlockHead,
    groups: Vec<u32>,
    blinds: Vec<[u8; 16]>,
    derived: DerivedBlock,
}

impl Sequencer {
    pub fn new(env: Env, options: SequencerOptions, tail: Tail, texts: Texts) -> Sequencer {
        let wall_ms = env.clock.now_ms();
        let clock = ClockWatch {
            wall_ms,
            boot_ms: env.clock.boottime_ms(),
            floor_ms: i64::MIN,
            behind: is_behind(tail.chain.last_time_ms, wall_ms).is_some(),
            opened: true,
            jumped: None,
        };
        Sequencer {
            env,
            options,
            hasher: BlockHasher::default(),
            tail,
            dictionary: Dictionary::resume(texts),
            left: Vec::new(),
            forming: Forming::default(),
            ready: VecDeque::new(),
            clock,
            scratch: Vec::new(),
        }
    }

    /// Gives the transaction its place, or refuses it.
    pub fn add(&mut self, mut transaction: Transaction, answer: Answer, sequence: &mut dyn Sequence) {
        let judged = self.judge(&mut transaction, sequence);
        if judged.is_ok() && transaction.redaction.is_some() && transaction.imported.is_none() {
            // What it redacts must stand in segments that nobody writes to any more.
            self.roll();
        }
        let placed = judged.and_then(|time_ms| self.place(&transaction, time_ms));
        let placed = match placed.and_then(|placed| self.lay_out(&transaction, placed)) {
            Ok(placed) => placed,
            Err(error) => {
                drop(answer.send(Err(error)));
                return;
            }
        };
        let committed = Committed {
            transaction_id: transaction.id,
            strand: self.options.strand,
            block: placed.head.number,
            first_position: placed.head.first_position(),
            revisions: placed.head.revisions,
            block_position: placed.head.position,
            time_ms: placed.head.time_ms,
        };
        let chain = &mut self.tail.chain;
        chain.next_position = placed.head.position + 1;
        chain.next_block += 1;
        chain.last_time_ms = Some(placed.head.time_max_ms());
        chain.block_hash = Some(placed.head.block_hash);
        chain.block_leaf = Some(placed.derived.leaf_entry_hash);
        sequence.sequenced(&transaction, &committed);
        self.forming.leaf_hashes.extend_from_slice(&placed.derived.leaf_hashes);
        let rotation = transaction.rotation.as_ref().map(|keys| keys.record(committed.snapshot()));
        self.forming.blocks.push(PendingBlock { block: published(transaction, committed), rotation, answer });
        if self.forming.bytes.len() >= BATCH_BYTES_SOFT {
            self.close_batch();
        }
    }

    /// Where the next batch goes, everything pending included.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// True if a batch can be taken.
    pub fn has_batch(&self) -> bool {
        self.forming.used || !self.ready.is_empty()
    }

    /// Batches that are closed and wait for the writer.
    pub fn backlog(&self) -> usize {
        self.ready.len()
    }

    /// The next batch for the writer.
    pub fn take(&mut self) -> Option<Batch> {
        if self.ready.is_empty() {
            self.close_batch();
        }
        self.ready.pop_front()
    }

    /// The next transaction begins a new segment.
    fn roll(&mut self) {
        self.close_batch();
        if self.tail.offset > PAGE_BYTES {
            self.begin_segment(0);
        }
    }

    /// A batch is durable: what was kept to go back behind it can go.
    pub fn durable(&mut self, tail: &Tail) {
        self.left.retain(|(segment, _)| *segment >= tail.segment);
    }

    /// Drops everything pending and goes on from what is durable. Returns those who wait for an answer.
    pub fn restore(&mut self, tail: Tail) -> Vec<Answer> {
        if self.tail.segment != tail.segment {
            let kept = self.left.iter().position(|(segment, _)| *segment == tail.segment);
            self.dictionary = kept.map(|at| self.left.swap_remove(at).1).unwrap_or_default();
            self.left.retain(|(segment, _)| *segment < tail.segment);
        }
        self.dictionary.truncate(tail.dictionary);
        self.tail = tail;
        let forming = std::mem::take(&mut self.forming);
        let blocks = self.ready.drain(..).flat_map(|batch| batch.blocks).chain(forming.blocks);
        blocks.map(|pending| pending.answer).collect()
    }

    /// No block gets a time at or before this one any more.
    pub fn raise_time_floor(&mut self, time_ms: i64) {
        self.clock.floor_ms = self.clock.floor_ms.max(time_ms.saturating_add(1));
    }

    /// The operator says that the wall clock is right.
    pub fn accept_clock(&mut self) {
        self.clock.wall_ms = self.env.clock.now_ms();
        self.clock.boot_ms = self.env.clock.boottime_ms();
        self.clock.jumped = None;
        self.clock.opened = false;
    }

    fn judge(&mut self, transaction: &mut Transaction, sequence: &mut dyn Sequence) -> Result<i64, CommitError> {
        if let Some(imported) = &transaction.imported {
            return self.judge_imported(imported, transaction.revisions.len());
        }
        if self.tail.chain.next_block < self.options.imported_blocks {
            return Err(CommitError::Refused("the import is not complete".into()));
        }
        let time_ms = self.clock.block_time(&self.env, self.tail.chain.last_time_ms).map_err(CommitError::Clock)?;
        sequence.validate(transaction)?;
        let found = transaction.revisions.len() as u64;
        let limit = self.options.revisions_max;
        if found > limit {
            return Err(CommitError::TooLarge { what: "revisions", found, limit });
        }
        let next = self.tail.chain.next_position;
        self.write_rotation(transaction)?;
        for revision in &transaction.revisions {
            let fits = (revision.version == 0) == revision.supersedes.is_none()
                && revision.supersedes.is_none_or(|p| p > 0 && p < next)
                && revision.data.as_ref().is_none_or(Data::is_struct);
            if !fits {
                let text = format!(
                    "revision {} of document {} does not follow from its ledger (it supersedes {:?})",
                    revision.version, revision.document_id, revision.supersedes
                );
                return Err(CommitError::Refused(text.into()));
            }
        }
        if transaction.revisions.is_empty() {
            return Err(CommitError::Refused("a transaction without a revision takes no block".into()));
        }
        Ok(time_ms)
    }

    /// An imported block has passed its own checks and takes the place that it had.
    fn judge_imported(&self, imported: &ImportedTransaction, revisions: usize) -> Result<i64, CommitError> {
        let next = self.tail.chain.next_block;
        if imported.number != next || next >= self.options.imported_blocks || imported.revisions.len() != revisions {
            let text = format!("block {} cannot be imported as block {next}", imported.number);
            return Err(CommitError::Refused(text.into()));
        }
        Ok(imported.time_ms)
    }

    /// The record of a rotation says where its block ends, which is known only now. Nothing else writes to that table.
    fn write_rotation(&self, transaction: &mut Transaction) -> Result<(), CommitError> {
        let refuse = |what: &str| Err(CommitError::Refused(what.into()));
        let end = self.tail.chain.next_position + 2;
        match (&transaction.rotation, transaction.revisions.as_mut_slice()) {
            (Some(keys), [revision]) => {
                if revision.table_id != Id::KEYS || revision.document_id != self.options.ledger {
                    return refuse("a rotation is a revision of the ledger's document in the table of keys");
                }
                revision.data = Some(Data::Value(Arc::new(keys.record(end).to_value())));
                revision.data_hash = None;
                Ok(())
            }
            (Some(_), _) => refuse("a rotation of the key is alone in its transaction"),
            (None, revisions) => match revisions.iter().any(|revision| revision.table_id == Id::KEYS) {
                true => refuse("only a rotation writes to the table of keys"),
                false => Ok(()),
            },
        }
    }

    fn place(&mut self, transaction: &Transaction, time_ms: i64) -> Result<Placed, CommitError> {
        let chain = self.tail.chain;
        let revisions = transaction.revisions.len() as u32;
        let facts = BlockFacts {
            strand: self.options.strand,
            number: chain.next_block,
            tx_id: transaction.id,
            time_ms,
            first_position: chain.next_position,
            blind: self.env.rng.bytes16(),
            previous_block_hash: chain.block_hash,
            previous_leaf: chain.block_leaf,
        };
        let mut blinds = vec![[0; 16]; transaction.revisions.len()];
        self.env.rng.fill(blinds.as_flattened_mut());
        let imports = transaction.imported.as_ref().map(|imported| &imported.revisions);
        let revisions_of = &transaction.revisions;
        let facts_of = |at: usize| {
            let (revision, blind) = revisions_of.get(at).zip(blinds.get(at))?;
            let imported = imports.and_then(|imports| imports.get(at));
            let redacted = || imported.and_then(|ImportedContent { redacted, .. }| *redacted);
            let facts = RevisionFacts {
                table_id: revision.table_id,
                document_id: revision.document_id,
                version: revision.version,
                supersedes: revision.supersedes,
                blind: *blind,
                data_hash: data_hash(revision).or_else(redacted),
                imported: imported.map(|imported| imported.revision),
            };
            Some((facts, revision.listed.as_ref()))
        };
        let mut deriver = BlockDeriver::new(facts, &mut self.hasher);
        deriver.place(revisions_of.len(), facts_of);
        let imported = transaction.imported.as_deref();
        let block = imported.map(|imported| &imported.block);
        let derived = deriver
            .finish_placed(&transaction.statements, &transaction.origin, transaction.redaction.as_ref(), block)
            .map_err(|part| CommitError::Refused(format!("entriesHashList lacks the hash of {part}").into()))?;
        if let Some(imported) = imported.filter(|imported| imported.block_hash != derived.opening.block_hash) {
            let text =
                format!("the imported block has hash {}, not {}", derived.opening.block_hash, imported.block_hash);
            return Err(CommitError::Refused(text.into()));
        }
        let (groups, of_revision) = group(transaction);
        let head = BlockHead {
            number: facts.number,
            position: facts.first_position + u64::from(revisions),
            revisions,
            time_ms,
            tx_id: transaction.id,
            blind: facts.blind,
            block_hash: derived.opening.block_hash,
            previous_leaf: facts.previous_leaf,
            statements: transaction.statements.clone(),
            origin: transaction.origin.clone(),
            redaction: transaction.redaction.clone(),
            groups,
            staged: Vec::new(),
            imported: imported.map(|imported| {
                let time_max_ms = chain.last_time_ms.unwrap_or(i64::MIN).max(imported.time_ms);
                Box::new(ImportedHead { block: imported.block.clone(), time_max_ms })
            }),
        };
        Ok(Placed { head, groups: of_revision, blinds, derived })
    }

    /// Lays the block out in the forming batch; a large one in batches of staged frames before it.
    fn lay_out(&mut self, transaction: &Transaction, mut placed: Placed) -> Result<Placed, CommitError> {
        let mut before = self.dictionary.len();
        let (mut frames, mut ends) = (Vec::with_capacity(512), Vec::new());
        self.encode(transaction, &placed, 0, self.options.staged_above_bytes, &mut frames, &mut ends)?;
        let staged = frames.len() > self.options.staged_above_bytes;
        if staged {
            self.dictionary.truncate(before);
            (frames, ends) = (Vec::new(), Vec::new());
            self.stage(transaction, &mut placed)?;
            before = self.dictionary.len();
        }
        for _ in 0..2 {
            let head = placed.head.encode(&mut self.dictionary);
            let mut body = Vec::with_capacity(head.len() + frames.len() + 16);
            put_frame(&mut body, placed.head.kind(), &head);
            let head_length = body.len();
            body.extend_from_slice(&frames);
            if self.make_room(body.len(), before)? {
                let at = self.append(&body);
                let starts = std::iter::once(0).chain(ends.iter().copied()).take(ends.len());
                starts.for_each(|start| self.forming.index.push_frame((at + head_length + start) as u32));
                if staged {
                    (0..placed.head.revisions).for_each(|_| self.forming.index.push_staged());
                }
                self.forming.index.push_head(at as u32);
                return Ok(placed);
            }
            // A new segment has a new dictionary.
            before = self.dictionary.len();
            if !staged {
                (frames, ends) = (Vec::new(), Vec::new());
                self.encode(transaction, &placed, 0, usize::MAX, &mut frames, &mut ends)?;
            }
        }
        Err(CommitError::Refused("a block does not fit a new segment".into()))
    }

    /// Encodes revisions from `from` on, at least one, until `limit` bytes are passed; `ends` gets the end of each.
    fn encode(
        &mut self,
        transaction: &Transaction,
        placed: &Placed,
        from: usize,
        limit: usize,
        frames: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), CommitError> {
        let (mut renumberer, mut renumbered) = (Renumberer::default(), Vec::new());
        let count = transaction.revisions.len();
        let all = transaction.revisions.iter().zip(&placed.groups).zip(&placed.blinds).enumerate().skip(from);
        for (at, ((revision, group), blind)) in all {
            let imported = transaction.imported.as_ref().and_then(|imported| imported.revisions.get(at));
            let redacted = imported.and_then(|imported| imported.redacted);
            let opaque = imported.is_some_and(|imported| imported.revision.opaque.is_some());
            renumbered.clear();
            if let Some(Data::Encoded(encoded)) = &revision.data {
                let refuse =
                    |error| CommitError::Refused(format!("an encoded document cannot be read: {error}").into());
                renumberer.put(encoded, &mut self.dictionary, &mut renumbered).map_err(refuse)?;
            }
            let frame = RevisionFrame {
                group: *group,
                to_block: (count - at) as u32,
                document_id: revision.document_id,
                version: revision.version,
                supersedes: revision.supersedes,
                blind: *blind,
                content: match (&revision.data, redacted) {
                    (Some(_), _) => Content::Data(&renumbered),
                    (None, Some(data_hash)) => Content::Redacted { data_hash, record: 0 },
                    (None, None) if opaque => Content::Opaque,
                    (None, None) => Content::Deleted,
                },
                imported: imported.map(|imported| imported.revision),
            };
            let value = revision.data.as_ref().and_then(Data::as_value);
            frame.put(value, revision.salt_field(), &mut self.dictionary, &mut self.scratch, frames);
            ends.push(frames.len());
            if frames.len() > limit {
                break;
            }
        }
        Ok(())
    }

    fn stage(&mut self, transaction: &Transaction, placed: &mut Placed) -> Result<(), CommitError> {
        let mut from = 0;
        while from < transaction.revisions.len() {
            let mut done = false;
            for _ in 0..2 {
                let before = self.dictionary.len();
                let (mut frames, mut ends) = (Vec::new(), Vec::new());
                self.encode(transaction, placed, from, STAGED_FRAME_BYTES, &mut frames, &mut ends)?;
                let revisions = ends.len() as u32;
                let ordinal = placed.head.staged.len() as u32;
                let mut body = Vec::with_capacity(frames.len() + 64);
                Staged { tx_id: transaction.id, ordinal, revisions, frames: &frames }.put(&mut body);
                if !self.make_room(body.len(), before)? {
                    continue;
                }
                let hash = Hash::sha256(&[&body]);
                let offset = self.append(&body) as u32;
                placed.head.staged.push(StagedRef { segment: self.tail.segment, offset, revisions, hash });
                from += ends.len();
                done = true;
                break;
            }
            if !done {
                return Err(CommitError::Refused("a staged frame does not fit a new segment".into()));
            }
            if self.forming.bytes.len() >= BATCH_BYTES_SOFT {
                self.close_batch();
            }
        }
        Ok(())
    }

    /// Makes the forming batch one that has room for these bytes and what the dictionary has to add. False if a new
    /// segment had to begin, with an empty dictionary: encode again. `before` is the length of the dictionary before
    /// the bytes were encoded.
    fn make_room(&mut self, body: usize, before: usize) -> Result<bool, CommitError> {
        let needed = body + self.dictionary.unwritten_bytes() + 16;
        if BATCH_HEADER_BYTES + needed > BATCH_BYTES_MAX {
            let found = needed as u64;
            self.dictionary.truncate(before);
            return Err(CommitError::TooLarge { what: "bytes in one revision", found, limit: BATCH_BYTES_MAX as u64 });
        }
        if self.fits(self.forming.bytes.len().max(BATCH_HEADER_BYTES) + needed) {
            return Ok(true);
        }
        // The entries that these bytes brought stay unwritten in the dictionary: a batch that is closed now does
        // not hold them.
        self.close_batch();
        if self.fits(BATCH_HEADER_BYTES + needed) {
            return Ok(true);
        }
        self.dictionary.truncate(before);
        self.begin_segment(needed);
        Ok(false)
    }

    fn fits(&self, batch_bytes: usize) -> bool {
        batch_bytes - BATCH_HEADER_BYTES <= BATCH_BYTES_MAX
            && self.tail.offset + page_align(batch_bytes as u64) <= self.tail.length
    }

    fn begin_segment(&mut self, needed: usize) {
        // A new dictionary may need every text again; twice the bytes are room enough for that.
        let room = PAGE_BYTES + page_align((BATCH_HEADER_BYTES + 2 * needed + 4096) as u64);
        let length = self.options.segment_bytes.max(room).min(SEGMENT_BYTES_MAX - PAGE_BYTES);
        // A segment that was begun and has nothing yet is begun anew: numbers have no gaps.
        let begun = self.forming.roll.filter(|_| !self.forming.used);
        let left = std::mem::take(&mut self.dictionary);
        if begun.is_none() {
            self.left.push((self.tail.segment, left));
        }
        let header = SegmentHeader {
            ledger: self.options.ledger,
            number: begun.map_or(self.tail.segment + 1, |begun| begun.number),
            length,
            packed: false,
            nonce: self.env.rng.bytes16(),
            chain: self.tail.chain,
        };
        self.tail.segment = header.number;
        self.tail.nonce = header.nonce;
        self.tail.length = length;
        self.tail.offset = PAGE_BYTES;
        self.tail.dictionary = 0;
        self.forming.roll = Some(header);
    }

    /// Appends what the dictionary has to add, then these frames. Returns the offset of the frames in the segment.
    fn append(&mut self, body: &[u8]) -> usize {
        if !self.forming.used {
            begin_batch(&mut self.forming.bytes);
            self.forming.first_position = self.tail.chain.next_position;
            self.forming.used = true;
        }
        self.scratch.clear();
        let new = self.dictionary.write_frame(&mut self.scratch);
        if !new.is_empty() {
            self.forming.new_texts.extend_from_slice(new);
            let offset = self.tail.offset as usize + self.forming.bytes.len();
            put_frame(&mut self.forming.bytes, FrameKind::Dictionary, &self.scratch);
            self.forming.index.dictionary.push(offset as u32);
        }
        let at = self.tail.offset as usize + self.forming.bytes.len();
        self.forming.bytes.extend_from_slice(body);
        at
    }

    fn close_batch(&mut self) {
        if !self.forming.used {
            return;
        }
        let mut forming = std::mem::take(&mut self.forming);
        let number = self.tail.chain.next_batch;
        finish_batch(&mut forming.bytes, &self.tail.nonce, number, forming.first_position);
        let offset = self.tail.offset;
        self.tail.offset += forming.bytes.len() as u64;
        self.tail.chain.next_batch += 1;
        self.tail.dictionary = self.dictionary.written();
        self.ready.push_back(Batch {
            roll: forming.roll,
            segment: self.tail.segment,
            offset,
            bytes: forming.bytes,
            index: forming.index,
            new_texts: forming.new_texts,
            leaf_hashes: forming.leaf_hashes,
            blocks: forming.blocks,
            after: self.tail,
        });
    }
}

impl ClockWatch {
    /// The time of the next block.
    fn block_time(&mut self, env: &Env, last_ms: Option<i64>) -> Result<i64, ClockError> {
        if let Some(error) = &self.jumped {
            return Err(error.clone());
        }
        let (now_ms, boot_ms) = (env.clock.now_ms(), env.clock.boottime_ms());
        if let Some(behind_ms) = is_behind(last_ms, now_ms) {
            self.behind = true;
            return Err(ClockError::Behind { behind_ms });
        }
        if self.opened
            && let Some(ahead_ms) = is_long_after(last_ms, now_ms)
        {
            let error = ClockError::LongAfter { ahead_ms };
            self.jumped = Some(error.clone());
            return Err(error);
        }
        self.opened = false;
        if std::mem::take(&mut self.behind) {
            (self.wall_ms, self.boot_ms) = (now_ms, boot_ms);
        }
        let ahead_ms = (now_ms - self.wall_ms).saturating_sub(boot_ms - self.boot_ms);
        if ahead_ms > CLOCK_AHEAD_MS_MAX {
            let error = ClockError::Jumped { ahead_ms };
            self.jumped = Some(error.clone());
            return Err(error);
        }
        // Small differences are a clock being slewed; large ones add up until they are a jump. A step back is not
        // followed, so that the step that mends it is no jump.
        if ahead_ms.abs() < CLOCK_BEHIND_MS_MAX {
            (self.wall_ms, self.boot_ms) = (now_ms, boot_ms);
        }
        Ok(now_ms.max(last_ms.unwrap_or(i64::MIN)).max(self.floor_ms))
    }
}

/// How far the clock stands behind the last block, if that is too far.
fn is_behind(last_ms: Option<i64>, now_ms: i64) -> Option<i64> {
    Some(last_ms?.saturating_sub(now_ms)).filter(|behind_ms| *behind_ms > CLOCK_BEHIND_MS_MAX)
}

/// How far the clock stands ahead of the last block, if a ledger is hardly left alone for so long.
fn is_long_after(last_ms: Option<i64>, now_ms: i64) -> Option<i64> {
    Some(now_ms.saturating_sub(last_ms?)).filter(|ahead_ms| *ahead_ms > CLOCK_UNUSED_MS_MAX)
}

/// IH(data), if there is data.
fn data_hash(revision: &NewRevision) -> Option<Hash> {
    let hash = |data: &Data| Hasher::new().value_with(data.as_value()?, revision.salt_field()).into();
    revision.data.as_ref().and_then(|data| revision.known_hash().or_else(|| hash(data)))
}

/// The groups of a transaction's revisions and, for each revision, which it belongs to.
fn group(transaction: &Transaction) -> (Vec<Group>, Vec<u32>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut numbers: HashMap<Group, u32> = HashMap::new();
    let mut of_revision = Vec::with_capacity(transaction.revisions.len());
    for revision in &transaction.revisions {
        let same = groups.last().is_some_and(|g| g.table_id == revision.table_id && g.listed == revision.listed);
        if same && groups.len() == 1 {
            of_revision.push(0);
            continue;
        }
        let group = Group { table_id: revision.table_id, listed: revision.listed.clone() };
        let number = *numbers.entry(group).or_insert_with_key(|group| {
            groups.push(group.clone());
            groups.len() as u32 - 1
        });
        of_revision.push(number);
    }
    (groups, of_revision)
}

fn published(transaction: Transaction, committed: Committed) -> PublishedBlock {
    let revisions = transaction
        .revisions
        .into_iter()
        .zip(committed.first_position..)
        .map(|(revision, position)| PublishedRevision {
            position,
            table_id: revision.table_id,
            document_id: revision.document_id,
            version: revision.version,
            supersedes: revision.supersedes,
            deleted: revision.data.is_none(),
            data: revision.data,
        })
        .collect();
    let payload = Some(transaction.payload);
    PublishedBlock { committed, revisions, complete: true, payload, origin: transaction.origin }
}
