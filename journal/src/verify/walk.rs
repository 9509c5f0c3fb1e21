//! Reads the segments of a journal from the first byte to the last, checks each, and hands out blocks.
//!
//! Nothing is believed because another file says so: offsets and dictionaries are rebuilt from the frames, every
//! checksum is compared, headers are compared with the chain that was followed to them, and what must be zero is.

use std::collections::HashMap;
use std::path::Path;

use ledgerstone_digest::ion::Hasher;
use ledgerstone_digest::{Hash, Id};

use super::report::VerifyReport;
use crate::batch::{BATCH_HEADER_BYTES, BatchHeader};
use crate::dictionary::Texts;
use crate::env::{OpenMode, Storage, read_exact_at};
use crate::frame::{
    BlockHead, Contents, FRAME_HEAD_BYTES_MAX, Frame, FrameKind, Genesis, RevisionFrame, Staged, StagedRef,
    frame_length, read_frame,
};
use crate::offsets::Index;
use crate::reader::{stored_block, stored_revision};
use crate::scan::{ScanError, SegmentFile, Tail};
use crate::segment::{Chain, PAGE_BYTES};
use crate::stored::{StoredBlock, StoredRevision};

/// What is done with what the walk finds. An error ends the walk: it is reported at the frame's place.
pub(super) trait Visitor {
    /// Position 0.
    fn genesis(&mut self, genesis: &Genesis, report: &mut VerifyReport) -> Result<(), String>;
    /// The next block; returns what was derived from it.
    fn block(&mut self, block: &StoredBlock, report: &mut VerifyReport) -> Result<Derived, String>;
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

/// Follows the chain through the segments.
pub(super) struct Walk<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    /// Signed sizes: what lies below is acknowledged, so it cannot be a torn write.
    signed: u64,
    chain: Chain,
    ledger: Option<Id>,
    strand: Id,
    /// Dictionaries of earlier segments that hold staged frames.
    staged_texts: HashMap<u64, Texts>,
    hasher: Hasher,
}

/// One segment while it is read.
struct Reading {
    file: SegmentFile,
    index: Index,
    has_staged: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(storage: &'a dyn Storage, dir: &'a Path, signed: u64) -> Walk<'a> {
        Walk {
            storage,
            dir,
            signed,
            chain: Chain::EMPTY,
            ledger: None,
            strand: Id::ZERO,
            staged_texts: HashMap::new(),
            hasher: Hasher::new(),
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
        let mut reading = Reading { file, index: Index::default(), has_staged: false };
        let mut offset = PAGE_BYTES;
        loop {
            let batch = match reading.file.batch(offset, self.chain.next_batch) {
                Ok(batch) => batch,
                Err(error) => return Err(self.damaged_batch(&reading.file, offset, error, report)),
            };
            let Ok((header, bytes)) = batch else { break };
            self.batch(&mut reading, offset, &header, &bytes, visitor, report)?;
            offset += header.extent();
        }
        self.tail(&reading.file, offset, last, report)?;
        visitor.segment(&reading.file, &reading.index, report);
        if reading.has_staged {
            self.staged_texts.insert(number, reading.index.texts);
        }
        Ok(())
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
        bytes: &[u8],
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), Stopped> {
        let path = reading.file.path.clone();
        if header.first_position != self.chain.next_position {
            let (found, wanted) = (header.first_position, self.chain.next_position);
            let what = format!("the batch begins at position {found}, the one before ends at {wanted}");
            report.broken(&path, Some(offset), Some(self.chain.next_block), what);
            return Err(Stopped);
        }
        let body = bytes.get(BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + header.length as usize).unwrap_or_default();
        let mut at = 0;
        while at < body.len() {
            let place = offset + (BATCH_HEADER_BYTES + at) as u64;
            match self.frame(reading, place, &body[at..], visitor, report) {
                Ok(used) => at += used,
                Err(what) => {
                    report.broken(&path, Some(place), Some(self.chain.next_block), what);
                    return Err(Stopped);
                }
            }
        }
        self.chain.next_batch += 1;
        Ok(())
    }

    /// One frame, with the revisions behind it if it is a block's head. Returns the bytes used.
    fn frame(
        &mut self,
        reading: &mut Reading,
        offset: u64,
        bytes: &[u8],
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<usize, String> {
        let frame = read_frame(bytes).map_err(text)?;
        let place = u32::try_from(offset).map_err(|_| "the segment is too long".to_owned())?;
        match frame.kind {
            FrameKind::Genesis => {
                let genesis = self.genesis(&frame)?;
                reading.index.push_frame(place);
                visitor.genesis(&genesis, report)?;
            }
            FrameKind::Dictionary => {
                reading.index.texts.read_frame(frame.payload).map_err(text)?;
                reading.index.dictionary.push(place);
            }
            FrameKind::Block => {
                let head = self.head(&frame, &reading.index.texts)?;
                let mut found = Found::default();
                let (first, count) = (head.first_position(), u64::from(head.revisions));
                let (rest, texts) = (&bytes[frame.length..], &reading.index.texts);
                let used = read_revisions(&head, first, count, rest, texts, &mut self.hasher, &mut found)?;
                found.places.iter().for_each(|at| reading.index.push_frame(place + (frame.length + at) as u32));
                reading.index.push_head(place);
                self.block(head, found.revisions, visitor, report)?;
                return Ok(frame.length + used);
            }
            FrameKind::Commit => {
                let head = self.head(&frame, &reading.index.texts)?;
                let revisions = self.staged_revisions(&head, reading)?;
                (0..head.revisions).for_each(|_| reading.index.push_staged());
                reading.index.push_head(place);
                self.block(head, revisions, visitor, report)?;
            }
            FrameKind::Staged => {
                Staged::decode(frame.payload).map_err(text)?;
                reading.has_staged = true;
            }
            FrameKind::Revision => return Err("a revision stands outside of a block".to_owned()),
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

    fn head(&self, frame: &Frame<'_>, texts: &Texts) -> Result<BlockHead, String> {
        let head = BlockHead::decode(frame, texts).map_err(text)?;
        let (number, first) = (self.chain.next_block, self.chain.next_position);
        if head.number != number || head.first_position() != first || first == 0 {
            let found = head.first_position();
            return Err(format!(
                "block {} from position {found} stands where block {number} from position {first} belongs",
                head.number
            ));
        }
        Ok(head)
    }

    /// Derives the block and moves the chain behind it.
    fn block(
        &mut self,
        head: BlockHead,
        revisions: Vec<StoredRevision>,
        visitor: &mut dyn Visitor,
        report: &mut VerifyReport,
    ) -> Result<(), String> {
        let block = stored_block(head, revisions, self.strand, self.chain.block_hash);
        let expected = self.chain.block_leaf;
        if block.previous_leaf != expected {
            return Err(format!(
                "block {} says that the block leaf before it has hash {}, but that leaf gives {}",
                block.number,
                hash_text(block.previous_leaf),
                hash_text(expected)
            ));
        }
        if self.chain.last_time_ms.is_some_and(|last| block.time_ms < last) {
            return Err(format!("block {} is earlier than the block before it", block.number));
        }
        let derived = visitor.block(&block, report)?;
        self.chain.next_block += 1;
        self.chain.next_position = block.position + 1;
        self.chain.last_time_ms = Some(block.time_ms);
        self.chain.block_hash = Some(derived.block_hash);
        self.chain.block_leaf = Some(derived.block_leaf);
        Ok(())
    }

    /// The revisions that a commit frame names, read from where it says they are.
    fn staged_revisions(&self, head: &BlockHead, reading: &Reading) -> Result<Vec<StoredRevision>, String> {
        let (mut found, mut hasher) = (Found::default(), Hasher::new());
        let mut first = head.first_position();
        for (ordinal, reference) in head.staged.iter().enumerate() {
            let bytes = self.staged_frame(reference, reading)?;
            let frame = read_frame(&bytes).map_err(text)?;
            let staged = Staged::decode(frame.payload).map_err(text)?;
            if frame.kind != FrameKind::Staged
                || staged.tx_id != head.tx_id
                || staged.ordinal as usize != ordinal
                || staged.revisions != reference.revisions
            {
                return Err(format!("staged frame {ordinal} of block {} belongs to another transaction", head.number));
            }
            let texts = match self.staged_texts.get(&reference.segment) {
                Some(texts) => texts,
                None => &reading.index.texts,
            };
            let count = u64::from(staged.revisions);
            let used = read_revisions(head, first, count, staged.frames, texts, &mut hasher, &mut found)?;
            if used != staged.frames.len() {
                return Err(format!("staged frame {ordinal} of block {} has bytes behind its revisions", head.number));
            }
            first += count;
        }
        Ok(found.revisions)
    }

    fn staged_frame(&self, reference: &StagedRef, reading: &Reading) -> Result<Vec<u8>, String> {
        let other;
        let segment = if reference.segment == reading.file.header.number {
            &reading.file
        } else {
            if !self.staged_texts.contains_key(&reference.segment) {
                return Err(format!("segment {} holds no staged frames", reference.segment));
            }
            other = SegmentFile::open(self.storage, self.dir, reference.segment, OpenMode::Read).map_err(text)?;
            &other
        };
        let offset = u64::from(reference.offset);
        let left = segment.header.length.saturating_sub(offset);
        let mut head = vec![0; FRAME_HEAD_BYTES_MAX.min(left as usize)];
        read_exact_at(&*segment.file, &mut head, offset).map_err(text)?;
        let length = frame_length(&head).map_err(text)?;
        if length as u64 > left {
            return Err(format!("a staged frame at offset {offset} is longer than its segment"));
        }
        let mut bytes = vec![0; length];
        read_exact_at(&*segment.file, &mut bytes, offset).map_err(text)?;
        match Hash::sha256(&[&bytes]) == reference.hash {
            true => Ok(bytes),
            false => Err(format!(
                "the staged frame at {}, offset {offset} is not the one that was committed",
                segment.path.display()
            )),
        }
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
                    format!("{}; {}", damage.what, damage.help.text()),
                );
                Stopped
            }
            error => self.scan_error(error, report),
        }
    }

    fn scan_error(&self, error: ScanError, report: &mut VerifyReport) -> Stopped {
        match error {
            ScanError::Damaged(damage) => {
                let what = format!("{}; {}", damage.what, damage.help.text());
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

/// Revisions that were read, and where the frame of each begins.
#[derive(Default)]
struct Found {
    revisions: Vec<StoredRevision>,
    places: Vec<usize>,
}

/// Reads revision frames that stand one behind the other. Returns the bytes used.
fn read_revisions(
    head: &BlockHead,
    first: u64,
    count: u64,
    bytes: &[u8],
    texts: &Texts,
    hasher: &mut Hasher,
    found: &mut Found,
) -> Result<usize, String> {
    let mut at = 0;
    for position in first..first + count {
        let in_block = |what: &str| format!("position {position} of block {}: {what}", head.number);
        let frame = read_frame(bytes.get(at..).unwrap_or_default()).map_err(|e| in_block(&e.0))?;
        if frame.kind != FrameKind::Revision {
            return Err(in_block("a revision is missing"));
        }
        let revision = RevisionFrame::decode(frame.payload).map_err(|e| in_block(&e.0))?;
        if position + u64::from(revision.to_block) != head.position {
            return Err(in_block("the revision belongs to another place"));
        }
        let of_system = head.groups.get(revision.group as usize).is_some_and(|group| group.table_id.is_system());
        // What the system's tables say is compared; of others only the hash counts.
        let contents = &mut if of_system { Contents::Values } else { Contents::Hashes(hasher) };
        revision.check_data(texts).map_err(|e| in_block(&e.0))?;
        found.revisions.push(stored_revision(&revision, head, position, texts, contents).map_err(|e| in_block(&e.0))?);
        found.places.push(at);
        at += frame.length;
    }
    Ok(at)
}

/// The first frame of a damaged batch that does not read, and the block it belongs to; the batch itself if its header
/// is hit.
fn locate(file: &SegmentFile, at: u64, next_block: u64) -> (u64, u64) {
    let whole = || -> Option<(usize, Vec<u8>)> {
        let mut page = vec![0; PAGE_BYTES as usize];
        read_exact_at(&*file.file, &mut page, at).ok()?;
        let header = BatchHeader::decode(&page, &file.header.nonce)?;
        let left = file.header.length.checked_sub(at)?;
        let mut bytes = vec![0; header.extent().min(left) as usize];
        read_exact_at(&*file.file, &mut bytes, at).ok()?;
        Some((BATCH_HEADER_BYTES + header.length as usize, bytes))
    };
    let Some((end, bytes)) = whole() else { return (at, next_block) };
    let mut place = BATCH_HEADER_BYTES;
    // The head of a block stands before its revisions: the frame that is hit belongs to the last head seen.
    let mut heads = 0;
    while place < end {
        let rest = bytes.get(place..).unwrap_or_default();
        match read_frame(rest) {
            // The header says that the batch ends inside of a whole frame, or goes on where there is nothing.
            Ok(frame) if place + frame.length > end => return (at, next_block),
            Err(_) if rest.iter().take(PAGE_BYTES as usize - place % PAGE_BYTES as usize).all(|byte| *byte == 0) => {
                return (at, next_block);
            }
            Ok(frame) => {
                heads += u64::from(matches!(frame.kind, FrameKind::Block | FrameKind::Commit));
                place += frame.length;
            }
            Err(_) => {
                let is_head = matches!(rest.first(), Some(3 | 6));
                let block = next_block + if is_head { heads } else { heads.saturating_sub(1) };
                return (at + place as u64, block);
            }
        }
    }
    // Every frame is whole: the header or the padding is hit.
    let hit = bytes.iter().skip(end).position(|byte| *byte != 0);
    (hit.map_or(at, |hit| at + (end + hit) as u64), next_block)
}

fn hash_text(hash: Option<Hash>) -> String {
    hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
