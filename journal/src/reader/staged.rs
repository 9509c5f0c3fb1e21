//! Revisions of large transactions, which stand in staged frames that their block's commit frame names by hash
//! (docs/format.md, "Staged frames").
//!
//! A staged frame is read whole once: its hash is compared, and where each revision's frame begins is remembered. From
//! then on a revision is read by its own bytes, which have a checksum of their own. So one document of a million-row load
//! costs what any other costs, and what is remembered is four bytes a revision.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::Hasher;

use super::frames::{FRAME_READ_BYTES, Frames};
use super::{Journal, Segment, stored_revision};
use crate::env::breathe;
use crate::error::ReadError;
use crate::frame::{BlockHead, Contents, Frame, RevisionFrame, Staged, StagedRef, read_frame};
use crate::spread::spread_by;
use crate::stored::StoredRevision;
use crate::wire::WireError;

/// Memory for where revisions begin, in bytes. A frame beyond it is read whole again.
const OFFSETS_BYTES_MAX: usize = 32 << 20;
/// Frames read before they are decoded.
const FRAMES_AT_A_TIME: usize = 16;
/// Heads of large blocks kept decoded: each names all its staged frames.
const HEADS_MAX: usize = 16;

/// What is remembered of staged frames and of the heads that name them.
#[derive(Default)]
pub(super) struct StagedCache {
    frames: HashMap<(u64, u32), (Arc<StagedFrame>, u64)>,
    bytes: usize,
    clock: u64,
    /// The newest use is at the back.
    heads: VecDeque<Arc<StagedBlock>>,
    /// How often it was cleared. What was read before that is not kept afterwards.
    cleared: u64,
}

/// The head of a block whose revisions are staged.
pub(super) struct StagedBlock {
    pub head: BlockHead,
    /// The position of each staged frame's first revision.
    firsts: Vec<u64>,
}

/// A staged frame that was checked whole.
pub(super) struct StagedFrame {
    segment: Arc<Segment>,
    offset: u64,
    /// Of all its bytes.
    hash: Hash,
    /// Where each revision's frame begins, from the staged frame's first byte.
    offsets: Vec<u32>,
}

impl StagedCache {
    /// Forgets everything: segments' files were replaced.
    pub fn clear(&mut self) {
        *self = StagedCache { cleared: self.cleared + 1, ..StagedCache::default() };
    }

    fn frame(&mut self, reference: &StagedRef) -> Option<Arc<StagedFrame>> {
        self.clock += 1;
        let (frame, used) = self.frames.get_mut(&(reference.segment, reference.offset))?;
        *used = self.clock;
        Some(Arc::clone(frame))
    }

    fn keep(&mut self, reference: &StagedRef, frame: Arc<StagedFrame>, cleared: u64) {
        if self.cleared != cleared {
            return;
        }
        self.clock += 1;
        self.bytes += frame.bytes();
        let replaced = self.frames.insert((reference.segment, reference.offset), (frame, self.clock));
        self.bytes -= replaced.map_or(0, |(frame, _)| frame.bytes());
        while self.bytes > OFFSETS_BYTES_MAX && self.frames.len() > 1 {
            let oldest = self.frames.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some((frame, _)) = oldest.and_then(|key| self.frames.remove(&key)) else { return };
            self.bytes -= frame.bytes();
        }
    }

    fn head(&mut self, position: u64) -> Option<Arc<StagedBlock>> {
        let at = self.heads.iter().rposition(|block| block.head.position == position)?;
        let block = self.heads.remove(at)?;
        self.heads.push_back(Arc::clone(&block));
        Some(block)
    }

    fn keep_head(&mut self, block: Arc<StagedBlock>, cleared: u64) {
        if self.cleared != cleared {
            return;
        }
        self.heads.push_back(block);
        if self.heads.len() > HEADS_MAX {
            self.heads.pop_front();
        }
    }
}

impl StagedBlock {
    fn new(head: BlockHead) -> StagedBlock {
        let mut next = head.first_position();
        let firsts = head.staged.iter().map(|reference| {
            let first = next;
            next += u64::from(reference.revisions);
            first
        });
        StagedBlock { firsts: firsts.collect(), head }
    }
}

/// A staged frame with its bytes.
struct StagedBytes {
    frame: Arc<StagedFrame>,
    bytes: Vec<u8>,
    /// The position of its first revision.
    first: u64,
}

impl StagedBytes {
    fn revisions(
        &self,
        head: &BlockHead,
        contents: &mut Contents<'_>,
        visit: &mut dyn FnMut(StoredRevision),
    ) -> Result<(), ReadError> {
        let StagedBytes { frame, bytes, first } = self;
        for (offset, position) in frame.offsets.iter().zip(*first..) {
            let inner = read_frame(bytes.get(*offset as usize..).unwrap_or_default()).map_err(|e| frame.damage(e.0))?;
            visit(revision_in(frame, &inner, head, position, contents)?);
            breathe();
        }
        Ok(())
    }
}

impl StagedFrame {
    fn bytes(&self) -> usize {
        size_of::<StagedFrame>() + self.offsets.len() * size_of::<u32>()
    }

    fn damage(&self, what: impl Into<String>) -> ReadError {
        self.segment.file.damage(self.offset, what).into()
    }
}

impl Journal {
    /// The head of the block with this leaf, whose revisions are staged.
    pub(super) fn staged_block(&self, block_position: u64) -> Result<Arc<StagedBlock>, ReadError> {
        let cleared = {
            let mut cache = self.staged_cache();
            if let Some(block) = cache.head(block_position) {
                return Ok(block);
            }
            cache.cleared
        };
        let block = Arc::new(StagedBlock::new(self.head(block_position)?));
        self.staged_cache().keep_head(Arc::clone(&block), cleared);
        Ok(block)
    }

    /// One revision of such a block, read by its own bytes.
    pub(super) fn staged_revision(&self, block: &StagedBlock, position: u64) -> Result<StoredRevision, ReadError> {
        let head = &block.head;
        let beyond = ReadError::Beyond { what: "position", number: position, end: head.position };
        let ordinal = block.firsts.partition_point(|first| *first <= position).checked_sub(1);
        let found = ordinal.and_then(|ordinal| Some((ordinal, head.staged.get(ordinal)?, block.firsts.get(ordinal)?)));
        let Some((ordinal, reference, first)) = found else { return Err(beyond) };
        let cached = self.staged_cache().frame(reference);
        let frame = match cached {
            Some(frame) if frame.hash == reference.hash => frame,
            _ => self.named_staged(head, ordinal)?.0,
        };
        let Some(offset) = frame.offsets.get((position - first) as usize) else { return Err(beyond) };
        let mut frames = Frames::new(&frame.segment.file, FRAME_READ_BYTES);
        let inner = frames.at(frame.offset + u64::from(*offset))?;
        revision_in(&frame, &inner, head, position, &mut Contents::Values)
    }

    /// All revisions of a block. Frames are read one behind the other; documents are hashed on all processors.
    pub(super) fn all_staged(
        &self,
        head: &BlockHead,
        contents: &mut Contents<'_>,
    ) -> Result<Vec<StoredRevision>, ReadError> {
        let block = StagedBlock::new(head.clone());
        let mut revisions = Vec::with_capacity((head.revisions as usize).min(1 << 16));
        let firsts: Vec<(usize, u64)> = block.firsts.iter().copied().enumerate().collect();
        for group in firsts.chunks(FRAMES_AT_A_TIME) {
            let read = group.iter().map(|(ordinal, first)| self.staged_bytes(head, *ordinal, *first));
            let frames = read.collect::<Result<Vec<_>, ReadError>>()?;
            let Contents::Hashes(_) = contents else {
                for frame in &frames {
                    frame.revisions(head, contents, &mut |revision| revisions.push(revision))?;
                }
                continue;
            };
            let parts = spread_by(&frames, 1, |part| {
                let (mut hasher, mut found) = (Hasher::new(), Vec::new());
                let contents = &mut Contents::Hashes(&mut hasher);
                let hashed = part.iter().try_for_each(|f| f.revisions(head, contents, &mut |r| found.push(r)));
                vec![hashed.map(|()| found)]
            });
            for part in parts {
                revisions.append(&mut part?);
            }
        }
        Ok(revisions)
    }

    /// All revisions of one staged frame.
    pub(super) fn staged_frame(
        &self,
        head: &BlockHead,
        ordinal: usize,
        first: u64,
        contents: &mut Contents<'_>,
        visit: &mut dyn FnMut(StoredRevision),
    ) -> Result<(), ReadError> {
        self.staged_bytes(head, ordinal, first)?.revisions(head, contents, visit)
    }

    fn staged_bytes(&self, head: &BlockHead, ordinal: usize, first: u64) -> Result<StagedBytes, ReadError> {
        let (frame, bytes) = self.named_staged(head, ordinal)?;
        Ok(StagedBytes { frame, bytes, first })
    }

    /// A staged frame that is the one which its block names. A redaction may have moved it since this head was read: then
    /// the head says so now.
    fn named_staged(&self, head: &BlockHead, ordinal: usize) -> Result<(Arc<StagedFrame>, Vec<u8>), ReadError> {
        let beyond = ReadError::Beyond { what: "staged frame", number: ordinal as u64, end: head.staged.len() as u64 };
        let Some(mut reference) = head.staged.get(ordinal).copied() else { return Err(beyond) };
        loop {
            let read = self.read_staged(head, ordinal, &reference);
            let named = read.and_then(|read| must_be_named(&read.0, head, &reference).map(|()| read));
            let Err(error) = named else { return named };
            match self.head(head.position)?.staged.get(ordinal) {
                Some(now) if *now != reference => reference = *now,
                _ => return Err(error),
            }
        }
    }

    /// Reads a staged frame, finds its revisions, and remembers where they are.
    fn read_staged(
        &self,
        head: &BlockHead,
        ordinal: usize,
        reference: &StagedRef,
    ) -> Result<(Arc<StagedFrame>, Vec<u8>), ReadError> {
        let cleared = self.staged_cache().cleared;
        let segment = self.segment(reference.segment)?;
        let offset = u64::from(reference.offset);
        let bytes = Frames::new(&segment.file, FRAME_READ_BYTES).bytes_at(offset)?;
        let damage = |what: String| ReadError::from(segment.file.damage(offset, what));
        let staged = Staged::of_block(&bytes, head, ordinal).map_err(|e| damage(e.0))?;
        let offsets = revision_offsets(&bytes, &staged).map_err(|e| damage(e.0))?;
        let hash = Hash::sha256(&[&bytes]);
        let frame = Arc::new(StagedFrame { segment: Arc::clone(&segment), offset, hash, offsets });
        self.staged_cache().keep(reference, Arc::clone(&frame), cleared);
        Ok((frame, bytes))
    }

    pub(super) fn staged_cache(&self) -> MutexGuard<'_, StagedCache> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commit frame names the hash of the staged frame's bytes.
fn must_be_named(frame: &StagedFrame, head: &BlockHead, reference: &StagedRef) -> Result<(), ReadError> {
    if frame.hash == reference.hash {
        return Ok(());
    }
    Err(frame.damage(format!("a staged frame is not the one that block {} names", head.number)))
}

fn revision_in(
    frame: &StagedFrame,
    inner: &Frame<'_>,
    head: &BlockHead,
    position: u64,
    contents: &mut Contents<'_>,
) -> Result<StoredRevision, ReadError> {
    let revision = RevisionFrame::of_block(inner, head, position).map_err(|e| frame.damage(e.0))?;
    stored_revision(&revision, head, position, &frame.segment.index().texts, contents).map_err(|e| frame.damage(e.0))
}

fn revision_offsets(bytes: &[u8], staged: &Staged<'_>) -> Result<Vec<u32>, WireError> {
    // The revisions are the end of the frame, so where they begin is counted from the end of it.
    let end = bytes.len();
    let mut at = end - staged.frames.len();
    let mut offsets = Vec::with_capacity((staged.revisions as usize).min(staged.frames.len()));
    for _ in 0..staged.revisions {
        offsets.push(at as u32);
        at += read_frame(bytes.get(at..end).unwrap_or_default())?.length;
    }
    if at != end {
        return Err(WireError("a staged frame has bytes behind its revisions".to_owned()));
    }
    Ok(offsets)
}
