//! Reading what is durable: revisions and blocks by position, by number, by time (docs/architecture.md, "Journal").
//!
//! Every frame is checked when it is read; bytes that are not what was written are refused with file and offset.
//! Segments are opened when they are needed and a bounded number of them is kept open, each with its offsets and its
//! dictionary.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use ledgerstone_digest::ion::{Hasher, ion_hash};
use ledgerstone_digest::leaf::GenesisLeaf;
use ledgerstone_digest::{Hash, Id};

use crate::derive::{BlockDeriver, BlockFacts, DerivedBlock, RevisionFacts, revision_leaf, transaction_info};
use crate::dictionary::Texts;
use crate::env::{Env, OpenMode, read_exact_at};
use crate::error::{Damage, Help, ReadError};
use crate::frame::{
    BlockHead, Content, FRAME_HEAD_BYTES_MAX, Frame, FrameKind, Genesis, RevisionFrame, Staged, frame_length,
    read_frame,
};
use crate::offsets::{self, Index, Place};
use crate::scan::{ScanError, SegmentFile};
use crate::segment::SegmentHeader;
use crate::stored::{StoredBlock, StoredRevision};
use crate::wire::WireError;

/// Segments kept open, with their offsets and dictionaries.
const OPEN_SEGMENTS_MAX: usize = 64;
/// What one read for a frame of unknown length fetches.
const FRAME_READ_BYTES: usize = 1024;
/// What one read fetches when a block is read whole.
const WINDOW_BYTES: usize = 256 << 10;
/// Staged frames kept in memory, in bytes.
const STAGED_CACHE_BYTES: usize = 256 << 20;
/// No frame is longer; refused before anything is allocated for it.
const FRAME_BYTES_MAX: usize = crate::batch::BATCH_BYTES_MAX;

/// The durable journal, for any number of reading threads.
pub(crate) struct Journal {
    pub env: Env,
    pub dir: PathBuf,
    pub genesis: Genesis,
    /// The headers of all segments, in order.
    segments: RwLock<Vec<SegmentHeader>>,
    /// The last segment, which grows.
    active: RwLock<Arc<Segment>>,
    open: Mutex<OpenSegments>,
    /// Staged frames read last, the newest at the back: a bulk load puts thousands of revisions into one.
    staged: Mutex<VecDeque<Arc<StagedFrame>>>,
}

/// A staged frame, checked once and cut into its revisions.
struct StagedFrame {
    segment: Arc<Segment>,
    offset: u64,
    /// Of all its bytes.
    hash: Hash,
    bytes: Vec<u8>,
    /// Where each revision's frame begins in the bytes.
    offsets: Vec<u32>,
}

/// One segment, ready to be read.
pub(crate) struct Segment {
    pub file: SegmentFile,
    pub index: RwLock<Index>,
}

#[derive(Default)]
struct OpenSegments {
    segments: HashMap<u64, (Arc<Segment>, u64)>,
    clock: u64,
}

/// Reads frames of one file, a window at a time.
pub(crate) struct Frames<'a> {
    segment: &'a SegmentFile,
    start: u64,
    window: Vec<u8>,
    read_bytes: usize,
}

impl From<ScanError> for ReadError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Damaged(damage) => ReadError::Damaged(damage),
            ScanError::File(error) => ReadError::File(error),
        }
    }
}

impl Segment {
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_position(&self) -> u64 {
        self.file.header.chain.next_position
    }

    fn first_block(&self) -> u64 {
        self.file.header.chain.next_block
    }
}

impl<'a> Frames<'a> {
    pub fn new(segment: &'a SegmentFile, read_bytes: usize) -> Self {
        Frames { segment, start: 0, window: Vec::new(), read_bytes }
    }

    /// The frame at this offset.
    pub fn at(&mut self, offset: u64) -> Result<Frame<'_>, ReadError> {
        self.ensure(offset, FRAME_HEAD_BYTES_MAX)?;
        let head = self.window.get((offset - self.start) as usize..).unwrap_or_default();
        let length = frame_length(head.get(..FRAME_HEAD_BYTES_MAX).unwrap_or(head))
            .map_err(|e| self.segment.damage(offset, e.0))?;
        if length > FRAME_BYTES_MAX {
            return Err(self.segment.damage(offset, format!("a frame of {length} bytes is too long")).into());
        }
        self.ensure(offset, length)?;
        let bytes = self.window.get((offset - self.start) as usize..).unwrap_or_default();
        read_frame(bytes.get(..length).unwrap_or(bytes)).map_err(|e| self.segment.damage(offset, e.0).into())
    }

    /// Makes the window hold `length` bytes from `offset` on, or as many as the file has.
    fn ensure(&mut self, offset: u64, length: usize) -> Result<(), ReadError> {
        let end = self.start + self.window.len() as u64;
        if offset >= self.start && offset + length as u64 <= end {
            return Ok(());
        }
        let file_left = self.segment.header.length.saturating_sub(offset);
        let wanted = (length.max(self.read_bytes) as u64).min(file_left) as usize;
        if offset >= self.start && offset + wanted as u64 <= end {
            return Ok(());
        }
        if wanted > self.window.len() {
            self.window = vec![0; wanted];
        }
        self.window.truncate(wanted);
        self.start = offset;
        read_exact_at(&*self.segment.file, &mut self.window, offset)
            .map_err(|e| self.segment.file_error("read it", e).into())
    }
}

impl Journal {
    pub fn new(env: Env, dir: &Path, genesis: Genesis, segments: Vec<SegmentHeader>, active: Segment) -> Journal {
        Journal {
            env,
            dir: dir.to_path_buf(),
            genesis,
            segments: RwLock::new(segments),
            active: RwLock::new(Arc::new(active)),
            open: Mutex::new(OpenSegments::default()),
            staged: Mutex::default(),
        }
    }

    pub fn active(&self) -> Arc<Segment> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last segment gave way to this one.
    pub fn roll(&self, segment: Segment) {
        let header = segment.file.header;
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        let full = std::mem::replace(&mut *active, Arc::new(segment));
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(header);
        drop(active);
        // A failure costs the next start a scan of this segment, no more.
        let stored = offsets::store(
            &*self.env.storage,
            &self.dir,
            full.file.header.number,
            &full.file.header_hash,
            &full.index(),
        );
        if let Err(e) = stored {
            tracing::warn!(segment = full.file.header.number, error = %e, "the offset file was not written");
        }
        self.keep(full);
    }

    /// Forgets a segment whose file was replaced.
    #[allow(dead_code, reason = "for redaction")]
    pub fn forget(&self, number: u64) -> Result<(), ReadError> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).segments.remove(&number);
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged.retain(|frame| frame.segment.file.header.number != number);
        drop(staged);
        let header = SegmentFile::open(&*self.env.storage, &self.dir, number, OpenMode::Read)?.header;
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = segments.iter_mut().find(|s| s.number == number) {
            *old = header;
        }
        Ok(())
    }

    /// The headers of all segments, in order.
    #[allow(dead_code, reason = "for redaction")]
    pub fn headers(&self) -> Vec<SegmentHeader> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A segment by number.
    pub fn segment(&self, number: u64) -> Result<Arc<Segment>, ReadError> {
        let active = self.active();
        if active.file.header.number == number {
            return Ok(active);
        }
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.clock += 1;
            let clock = open.clock;
            if let Some((segment, used)) = open.segments.get_mut(&number) {
                *used = clock;
                return Ok(Arc::clone(segment));
            }
        }
        let file = SegmentFile::open(&*self.env.storage, &self.dir, number, OpenMode::Read)?;
        let index = load_index(&self.env, &self.dir, &file)?;
        let segment = Arc::new(Segment { file, index: RwLock::new(index) });
        self.must_lead_to_next(&segment)?;
        self.keep(Arc::clone(&segment));
        Ok(segment)
    }

    /// Compares the end of a full segment with the start of the next one, so that a segment of another history is
    /// noticed before anything is read from it.
    fn must_lead_to_next(&self, segment: &Segment) -> Result<(), ReadError> {
        let next = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            segments.get(segment.file.header.number as usize + 1).copied()
        };
        let Some(next) = next else { return Ok(()) };
        let (positions, last) = {
            let index = segment.index();
            (index.positions(), index.last_block())
        };
        let mut block_hash = segment.file.header.chain.block_hash;
        let mut offset = 0;
        if let Some((at, head)) = last {
            offset = u64::from(head);
            let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
            let head = self.head_at(segment, &mut frames, offset, segment.first_position() + at)?;
            block_hash = Some(head.block_hash);
        }
        if segment.first_position() + positions == next.chain.next_position && block_hash == next.chain.block_hash {
            return Ok(());
        }
        let what =
            format!("the segment does not lead to segment {}: one of the two is of another history", next.number);
        Err(segment.file.damage(offset, what).into())
    }

    fn keep(&self, segment: Arc<Segment>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let clock = open.clock;
        open.segments.insert(segment.file.header.number, (segment, clock));
        if open.segments.len() > OPEN_SEGMENTS_MAX
            && let Some(oldest) = open.segments.iter().min_by_key(|(_, (_, used))| *used).map(|(n, _)| *n)
        {
            open.segments.remove(&oldest);
        }
    }

    /// The segment that a key (position or block) falls into: the last one that begins at or before it.
    fn segment_by(&self, key: u64, first: impl Fn(&SegmentHeader) -> u64) -> Result<Arc<Segment>, ReadError> {
        let active = self.active();
        if first(&active.file.header) <= key {
            return Ok(active);
        }
        let number = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            let at = segments.partition_point(|s| first(s) <= key);
            segments.get(at.saturating_sub(1)).map_or(0, |s| s.number)
        };
        self.segment(number)
    }

    /// The number of the segment that a position's block head, or genesis, stands in.
    pub fn segment_number_of(&self, position: u64) -> Result<u64, ReadError> {
        Ok(self.segment_by(position, |s| s.chain.next_position)?.file.header.number)
    }

    fn place(&self, position: u64) -> Result<(Arc<Segment>, Place), ReadError> {
        let segment = self.segment_by(position, |s| s.chain.next_position)?;
        let place = segment.index().place(position - segment.first_position());
        match place {
            Some(place) => Ok((segment, place)),
            None => Err(self.stale_index(&segment, position)),
        }
    }

    fn stale_index(&self, segment: &Segment, position: u64) -> ReadError {
        ReadError::Damaged(Damage {
            path: offsets::offsets_path(&self.dir, segment.file.header.number),
            offset: 0,
            what: format!("position {position} is not where the offsets say"),
            help: Help::Rebuild,
        })
    }

    /// The leaf's position of a block.
    pub fn block_position(&self, number: u64) -> Result<u64, ReadError> {
        let segment = self.segment_by(number, |s| s.chain.next_block)?;
        let index = segment.index().block(number - segment.first_block());
        match index {
            Some(index) => Ok(segment.first_position() + index),
            None => Err(self.stale_index(&segment, number)),
        }
    }

    /// The leaf's position of the first block that ends at this position or later.
    pub fn block_from(&self, position: u64) -> Result<Option<u64>, ReadError> {
        let mut segment = self.segment_by(position, |s| s.chain.next_position)?;
        loop {
            let index = segment.index();
            let at = index.block_from(position.saturating_sub(segment.first_position()));
            if let Some(leaf) = index.block(at) {
                return Ok(Some(segment.first_position() + leaf));
            }
            drop(index);
            let number = segment.file.header.number + 1;
            if number > self.active().file.header.number {
                return Ok(None);
            }
            segment = self.segment(number)?;
        }
    }

    /// The head of the block whose leaf stands at this position.
    pub fn head(&self, block_position: u64) -> Result<BlockHead, ReadError> {
        let (segment, place) = self.place(block_position)?;
        let Place::Head(offset) = place else {
            return Err(ReadError::Kind { position: block_position, found: "a revision", wanted: "a block" });
        };
        let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
        self.head_at(&segment, &mut frames, u64::from(offset), block_position)
    }

    fn head_at(
        &self,
        segment: &Segment,
        frames: &mut Frames<'_>,
        offset: u64,
        position: u64,
    ) -> Result<BlockHead, ReadError> {
        let frame = frames.at(offset)?;
        if !matches!(frame.kind, FrameKind::Block | FrameKind::Commit) {
            return Err(self.stale_index(segment, position));
        }
        let head = BlockHead::decode(&frame, &segment.index().texts).map_err(|e| segment.file.damage(offset, e.0))?;
        if head.position == position { Ok(head) } else { Err(self.stale_index(segment, position)) }
    }

    /// One revision and its block's head.
    pub fn revision(&self, position: u64) -> Result<(StoredRevision, BlockHead), ReadError> {
        let (segment, place) = self.place(position)?;
        match place {
            Place::Head(_) => Err(ReadError::Kind { position, found: "a block", wanted: "a revision" }),
            Place::Frame(_) if position == 0 => {
                Err(ReadError::Kind { position, found: "the genesis", wanted: "a revision" })
            }
            Place::Frame(offset) => {
                let offset = u64::from(offset);
                let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
                let frame = frames.at(offset)?;
                if frame.kind != FrameKind::Revision {
                    return Err(self.stale_index(&segment, position));
                }
                let damage = |e: WireError| segment.file.damage(offset, e.0);
                let revision = RevisionFrame::decode(frame.payload).map_err(damage)?;
                let block_position = position + u64::from(revision.to_block);
                let head = self.head(block_position)?;
                if head.first_position() > position {
                    return Err(self.stale_index(&segment, position));
                }
                let stored = stored_revision(&revision, &head, position, &segment.index().texts).map_err(damage)?;
                Ok((stored, head))
            }
            Place::Staged => {
                let leaf = self.block_from(position)?.ok_or_else(|| self.stale_index(&segment, position))?;
                let head = self.head(leaf)?;
                let revision = self.staged_revision(&head, position)?;
                Ok((revision, head))
            }
        }
    }

    fn staged_revision(&self, head: &BlockHead, position: u64) -> Result<StoredRevision, ReadError> {
        let mut first = head.first_position();
        for (ordinal, reference) in head.staged.iter().enumerate() {
            let end = first + u64::from(reference.revisions);
            if position < end {
                return self.staged_at(&*self.staged(head, ordinal)?, head, (position - first) as usize, position);
            }
            first = end;
        }
        Err(ReadError::Beyond { what: "position", number: position, end: first })
    }

    /// The revisions of one staged frame.
    fn staged_frame(
        &self,
        head: &BlockHead,
        ordinal: usize,
        first: u64,
        visit: &mut dyn FnMut(StoredRevision) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        if ordinal >= head.staged.len() {
            return Ok(());
        }
        let frame = self.staged(head, ordinal)?;
        (0..frame.offsets.len()).try_for_each(|at| visit(self.staged_at(&frame, head, at, first + at as u64)?))
    }

    /// One revision of a staged frame.
    fn staged_at(
        &self,
        frame: &StagedFrame,
        head: &BlockHead,
        at: usize,
        position: u64,
    ) -> Result<StoredRevision, ReadError> {
        let damage = |what: String| ReadError::from(frame.segment.file.damage(frame.offset, what));
        let offset = frame.offsets.get(at).copied().unwrap_or(u32::MAX) as usize;
        let inner = read_frame(frame.bytes.get(offset..).unwrap_or_default()).map_err(|e| damage(e.0))?;
        let revision = RevisionFrame::decode(inner.payload).map_err(|e| damage(e.0))?;
        if position + u64::from(revision.to_block) != head.position {
            return Err(damage("a staged revision has another place".to_owned()));
        }
        stored_revision(&revision, head, position, &frame.segment.index().texts).map_err(|e| damage(e.0))
    }

    /// A staged frame, from the cache or read, checked and cut into its revisions.
    fn staged(&self, head: &BlockHead, ordinal: usize) -> Result<Arc<StagedFrame>, ReadError> {
        let Some(reference) = head.staged.get(ordinal) else {
            return Err(ReadError::Beyond {
                what: "staged frame",
                number: ordinal as u64,
                end: head.staged.len() as u64,
            });
        };
        let segment = self.segment(reference.segment)?;
        let offset = u64::from(reference.offset);
        let found = {
            let mut cache = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
            let at = cache.iter().position(|f| f.offset == offset && Arc::ptr_eq(&f.segment, &segment));
            // The newest use is at the back.
            at.and_then(|at| cache.remove(at)).inspect(|frame| cache.push_back(Arc::clone(frame)))
        };
        let frame = match found {
            Some(frame) => frame,
            None => {
                let frame = Arc::new(self.read_staged(head, ordinal, segment, offset)?);
                let mut cache = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
                let mut bytes: usize = frame.bytes.len() + cache.iter().map(|f| f.bytes.len()).sum::<usize>();
                while bytes > STAGED_CACHE_BYTES
                    && let Some(oldest) = cache.pop_front()
                {
                    bytes -= oldest.bytes.len();
                }
                cache.push_back(Arc::clone(&frame));
                frame
            }
        };
        if frame.hash == reference.hash {
            return Ok(frame);
        }
        let what = format!("a staged frame is not the one that block {} names", head.number);
        Err(frame.segment.file.damage(offset, what).into())
    }

    fn read_staged(
        &self,
        head: &BlockHead,
        ordinal: usize,
        segment: Arc<Segment>,
        offset: u64,
    ) -> Result<StagedFrame, ReadError> {
        let bytes = {
            let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
            let length = frames.at(offset)?.length;
            frames.window.get((offset - frames.start) as usize..).and_then(|w| w.get(..length)).map(<[u8]>::to_vec)
        }
        .unwrap_or_default();
        let damage = |what: String| ReadError::from(segment.file.damage(offset, what));
        let frame = read_frame(&bytes).map_err(|e| damage(e.0))?;
        let staged = Staged::decode(frame.payload).map_err(|e| damage(e.0))?;
        let expected = head.staged.get(ordinal).map_or(0, |reference| reference.revisions);
        if frame.kind != FrameKind::Staged
            || staged.tx_id != head.tx_id
            || staged.ordinal as usize != ordinal
            || staged.revisions != expected
        {
            return Err(damage(format!("a staged frame does not belong to block {}", head.number)));
        }
        // The revisions are the end of the payload, so where they begin is counted from the end of it.
        let payload_at = frame.payload.as_ptr() as usize - bytes.as_ptr() as usize;
        let mut at = payload_at + frame.payload.len() - staged.frames.len();
        let end = at + staged.frames.len();
        let mut offsets = Vec::with_capacity((staged.revisions as usize).min(staged.frames.len()));
        for _ in 0..staged.revisions {
            offsets.push(at as u32);
            let rest = bytes.get(at..end).unwrap_or_default();
            at += read_frame(rest).map_err(|e| damage(e.0))?.length;
        }
        if at != end {
            return Err(damage("a staged frame has bytes behind its revisions".to_owned()));
        }
        let hash = Hash::sha256(&[&bytes]);
        Ok(StagedFrame { segment: Arc::clone(&segment), offset, hash, offsets, bytes })
    }

    /// A block with its revisions; nothing is derived.
    fn raw_block(&self, block_position: u64) -> Result<StoredBlock, ReadError> {
        let (segment, place) = self.place(block_position)?;
        let Place::Head(offset) = place else {
            return Err(ReadError::Kind { position: block_position, found: "a revision", wanted: "a block" });
        };
        let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
        let (head, revisions) = self.block_in(&segment, &mut frames, u64::from(offset), block_position)?;
        let previous_block_hash = self.previous_block_hash(&head)?;
        Ok(stored_block(head, revisions, self.genesis.strand, previous_block_hash))
    }

    /// A block's head and revisions, the head's frame being at `offset` of this segment.
    fn block_in(
        &self,
        segment: &Segment,
        frames: &mut Frames<'_>,
        offset: u64,
        block_position: u64,
    ) -> Result<(BlockHead, Vec<StoredRevision>), ReadError> {
        let head = self.head_at(segment, frames, offset, block_position)?;
        let mut revisions = Vec::with_capacity((head.revisions as usize).min(1 << 16));
        let mut first = head.first_position();
        if head.staged.is_empty() {
            if head.revisions > 4 {
                frames.read_bytes = WINDOW_BYTES;
            }
            for position in first..head.position {
                let place = segment.index().place(position - segment.first_position());
                let Some(Place::Frame(offset)) = place else { return Err(self.stale_index(segment, position)) };
                let offset = u64::from(offset);
                let frame = frames.at(offset)?;
                let damage = |e: WireError| segment.file.damage(offset, e.0);
                if frame.kind != FrameKind::Revision {
                    return Err(self.stale_index(segment, position));
                }
                let revision = RevisionFrame::decode(frame.payload).map_err(damage)?;
                if position + u64::from(revision.to_block) != head.position {
                    return Err(self.stale_index(segment, position));
                }
                revisions.push(stored_revision(&revision, &head, position, &segment.index().texts).map_err(damage)?);
            }
        } else {
            for (ordinal, staged) in head.staged.iter().enumerate() {
                self.staged_frame(&head, ordinal, first, &mut |revision| {
                    revisions.push(revision);
                    Ok(())
                })?;
                first += u64::from(staged.revisions);
            }
        }
        Ok((head, revisions))
    }

    /// The blocks that end at `from` or later and before `to`, one behind the other, nothing derived. `to` is durable.
    pub fn blocks_between<E: From<ReadError>>(
        &self,
        from: u64,
        to: u64,
        each: &mut dyn FnMut(StoredBlock) -> Result<(), E>,
    ) -> Result<(), E> {
        let read_bytes = if to.saturating_sub(from) > 64 { WINDOW_BYTES } else { FRAME_READ_BYTES };
        let mut next = self.block_from(from)?;
        let mut previous: Option<Hash> = None;
        while let Some(first) = next.filter(|position| *position < to) {
            let segment = self.segment_by(first, |s| s.chain.next_position)?;
            let mut frames = Frames::new(&segment.file, read_bytes);
            let mut number = segment.index().block_from(first - segment.first_position());
            let mut last = first;
            loop {
                let Some(index) = segment.index().block(number) else { break };
                let position = segment.first_position() + index;
                let place = segment.index().place(index);
                let Some(Place::Head(offset)) = place else { return Err(self.stale_index(&segment, position).into()) };
                if position >= to {
                    return Ok(());
                }
                let (head, revisions) = self.block_in(&segment, &mut frames, u64::from(offset), position)?;
                let before = match previous {
                    Some(before) => Some(before),
                    None => self.previous_block_hash(&head)?,
                };
                previous = Some(head.block_hash);
                each(stored_block(head, revisions, self.genesis.strand, before))?;
                (number, last) = (number + 1, position);
            }
            next = self.block_from(last + 1)?;
        }
        Ok(())
    }

    /// The hash of the block before, from that block's head or, for a segment's first block, from its header.
    fn previous_block_hash(&self, head: &BlockHead) -> Result<Option<Hash>, ReadError> {
        let Some(previous) = head.first_position().checked_sub(1).filter(|_| head.number > 0) else { return Ok(None) };
        let segment = self.segment_by(head.position, |s| s.chain.next_position)?;
        if segment.first_block() == head.number {
            return Ok(segment.file.header.chain.block_hash);
        }
        Ok(Some(self.head(previous)?.block_hash))
    }

    /// A block, its hashes derived and compared with the stored ones.
    pub fn block(&self, block_position: u64, hasher: &mut Hasher) -> Result<(StoredBlock, DerivedBlock), ReadError> {
        let block = self.raw_block(block_position)?;
        let derived = self.derived(&block, hasher)?;
        Ok((block, derived))
    }

    /// The hashes of a block that was read, compared with the stored one.
    pub fn derived(&self, block: &StoredBlock, hasher: &mut Hasher) -> Result<DerivedBlock, ReadError> {
        let derived = derive(block, hasher);
        if derived.opening.block_hash != block.block_hash {
            let (segment, place) = self.place(block.position)?;
            let offset = match place {
                Place::Head(offset) | Place::Frame(offset) => u64::from(offset),
                Place::Staged => 0,
            };
            let what = format!(
                "block {} has hash {}, but its contents give {}",
                block.number, block.block_hash, derived.opening.block_hash
            );
            return Err(segment.file.damage(offset, what).into());
        }
        Ok(derived)
    }

    /// A block for replaying: nothing is derived.
    pub fn replayed_block(&self, block_position: u64) -> Result<StoredBlock, ReadError> {
        self.raw_block(block_position)
    }

    /// The entry at a position.
    pub fn leaf(&self, position: u64, hasher: &mut Hasher) -> Result<Vec<u8>, ReadError> {
        if position == 0 {
            return Ok(self.genesis_leaf().encode().to_vec());
        }
        let (_, place) = self.place(position)?;
        if let Place::Head(_) = place {
            return Ok(self.block(position, hasher)?.1.leaf.encode().to_vec());
        }
        let (revision, head) = self.revision(position)?;
        let facts = BlockFacts {
            strand: self.genesis.strand,
            number: head.number,
            tx_id: head.tx_id,
            time_ms: head.time_ms,
            first_position: head.first_position(),
            blind: head.blind,
            previous_block_hash: None,
            previous_leaf: None,
        };
        Ok(revision_leaf(&facts, &revision_facts(&revision), hasher).0.encode().to_vec())
    }

    pub fn genesis_leaf(&self) -> GenesisLeaf {
        genesis_leaf(&self.genesis)
    }
}

/// The leaf at position 0.
pub(crate) fn genesis_leaf(genesis: &Genesis) -> GenesisLeaf {
    GenesisLeaf {
        ledger_id: genesis.ledger,
        strand: genesis.strand,
        created_ms: genesis.created_ms,
        record_hash: Hash::sha256(&[&genesis.record]),
    }
}

/// The offsets and the dictionary of a sealed segment: from its offset file, or from the segment itself.
pub(crate) fn load_index(env: &Env, dir: &Path, file: &SegmentFile) -> Result<Index, ReadError> {
    let number = file.header.number;
    if let Some(mut index) = offsets::load(&*env.storage, dir, number, &file.header_hash)
        && load_texts(file, &mut index).is_ok()
    {
        return Ok(index);
    }
    let index = file.scan()?.index;
    if let Err(e) = offsets::store(&*env.storage, dir, number, &file.header_hash, &index) {
        tracing::warn!(segment = number, error = %e, "the offset file was not written");
    }
    Ok(index)
}

fn load_texts(file: &SegmentFile, index: &mut Index) -> Result<(), ReadError> {
    let mut frames = Frames::new(file, FRAME_READ_BYTES);
    let offsets = index.dictionary.clone();
    for offset in offsets {
        let offset = u64::from(offset);
        let frame = frames.at(offset)?;
        index.texts.read_frame(frame.payload).map_err(|e| file.damage(offset, e.0))?;
    }
    Ok(())
}

pub(crate) fn stored_revision(
    revision: &RevisionFrame<'_>,
    head: &BlockHead,
    position: u64,
    texts: &Texts,
) -> Result<StoredRevision, WireError> {
    let group = head
        .groups
        .get(revision.group as usize)
        .ok_or_else(|| WireError(format!("block {} has no group {}", head.number, revision.group)))?;
    let data = revision.data(texts)?.map(Arc::new);
    Ok(StoredRevision {
        position,
        table_id: group.table_id,
        document_id: revision.document_id,
        version: revision.version,
        supersedes: revision.supersedes,
        block: head.number,
        block_position: head.position,
        tx_id: head.tx_id,
        time_ms: head.time_ms,
        deleted: revision.content == Content::Deleted,
        redacted: matches!(revision.content, Content::Redacted { .. }),
        data,
        data_hash: match revision.content {
            Content::Redacted { data_hash, .. } => Some(data_hash),
            _ => None,
        },
        redaction_record: match revision.content {
            Content::Redacted { record, .. } => Some(record),
            _ => None,
        },
        blind: revision.blind,
        listed: group.listed.clone(),
    })
}

pub(crate) fn stored_block(
    head: BlockHead,
    revisions: Vec<StoredRevision>,
    strand: Id,
    previous_block_hash: Option<Hash>,
) -> StoredBlock {
    let info =
        transaction_info(&head.statements, revisions.iter().map(|r| (r.document_id, r.table_id, r.listed.as_ref())));
    StoredBlock {
        number: head.number,
        first_position: head.first_position(),
        position: head.position,
        strand,
        tx_id: head.tx_id,
        time_ms: head.time_ms,
        blind: head.blind,
        info,
        origin: head.origin,
        redaction: head.redaction,
        revisions,
        block_hash: head.block_hash,
        previous_block_hash,
        previous_leaf: head.previous_leaf,
    }
}

pub(crate) fn revision_facts(revision: &StoredRevision) -> RevisionFacts {
    RevisionFacts {
        table_id: revision.table_id,
        document_id: revision.document_id,
        version: revision.version,
        supersedes: revision.supersedes,
        blind: revision.blind,
        data_hash: revision.data_hash.or_else(|| revision.data.as_ref().map(|data| ion_hash(data))),
    }
}

/// The hashes of a block that was read.
pub(crate) fn derive(block: &StoredBlock, hasher: &mut Hasher) -> DerivedBlock {
    let facts = BlockFacts {
        strand: block.strand,
        number: block.number,
        tx_id: block.tx_id,
        time_ms: block.time_ms,
        first_position: block.first_position,
        blind: block.blind,
        previous_block_hash: block.previous_block_hash,
        previous_leaf: block.previous_leaf,
    };
    let mut deriver = BlockDeriver::new(facts, hasher);
    for revision in &block.revisions {
        deriver.revision(&revision_facts(revision));
    }
    deriver.finish(&block.info, &block.origin, block.redaction.as_ref())
}
