//! Reading what is durable: revisions and blocks by position, by number, by time (docs/architecture.md, "Journal").
//!
//! Every frame is checked when it is read; bytes that are not what was written are refused with file and offset.
//! Segments are opened when they are needed and a bounded number of them is kept open, each with its offsets and its
//! dictionary.
//!
//! | module | what lives there |
//! |---|---|
//! | `frames` | frames of a file by offset |
//! | `staged` | revisions of large transactions |
//! | `stored` | from frames to revisions and blocks, and to their hashes |

mod frames;
mod staged;
mod stored;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::Hasher;
use ledgerstone_digest::leaf::GenesisLeaf;

use crate::derive::{BlockFacts, BlockHasher, DerivedBlock, revision_leaf};
use crate::env::{Env, OpenMode, breathe};
use crate::error::{Damage, Help, ReadError};
use crate::frame::{BlockHead, Contents, FrameKind, Genesis, HeadPart, Known, RevisionFrame};
use crate::offsets::{self, Index, Place};
use crate::scan::{ScanError, SegmentFile};
use crate::segment::SegmentHeader;
use crate::stored::{StoredBlock, StoredRevision};
use crate::transaction::BlockEnds;
use crate::wire::WireError;
use frames::WINDOW_BYTES;
pub(crate) use frames::{FRAME_READ_BYTES, Frames};
use staged::StagedCache;
use stored::stored_in_group;
pub(crate) use stored::{derive, revision_facts, stored_block, stored_revision};

/// Segments kept open at most: each is a file descriptor.
const OPEN_SEGMENTS_MAX: usize = 512;
/// What the offsets of the segments kept open may take. Reads all over a ledger need all of its segments, and opening one
/// means reading its offsets: with fewer than there are, most reads would do that.
const OPEN_SEGMENT_BYTES_MAX: usize = 512 << 20;
/// A revision that stands so close behind its block's head is read together with it.
const PAIR_BYTES_MAX: u64 = 8 << 10;

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
    staged: Mutex<StagedCache>,
    /// The position of the last block's leaf, and H of its entry.
    last_leaf: Mutex<Option<(u64, Hash)>>,
    /// Offsets that had to be made again are stored.
    stores_offsets: bool,
    /// Segments before this one hold no staged frames that no block names: a sealed segment gets no more of them.
    pub none_abandoned_before: AtomicU64,
}

/// One segment, ready to be read.
pub(crate) struct Segment {
    pub file: SegmentFile,
    pub index: RwLock<Index>,
}

#[derive(Default)]
struct OpenSegments {
    segments: HashMap<u64, (Arc<Segment>, u64)>,
    /// What their offsets take.
    bytes: usize,
    clock: u64,
    /// How often files were replaced. What was read of one before is not kept afterwards.
    replaced: u64,
}

/// Takes the head of a block, with the segment it stands in and a way to read on there.
type EachHead<'a, E> = dyn FnMut(&Segment, &mut Frames<'_>, BlockHead) -> Result<(), E> + 'a;

/// Takes revisions of a block with its head, and whether the block ends with them.
type EachPiece<'a, E> = dyn FnMut(&BlockHead, Vec<StoredRevision>, bool) -> Result<(), E> + 'a;

impl OpenSegments {
    fn keep(&mut self, segment: Arc<Segment>) {
        self.clock += 1;
        let (number, clock) = (segment.file.header.number, self.clock);
        self.forget(number);
        self.bytes += segment.index().bytes();
        self.segments.insert(number, (segment, clock));
        while self.segments.len() > OPEN_SEGMENTS_MAX || self.bytes > OPEN_SEGMENT_BYTES_MAX && self.segments.len() > 1
        {
            let oldest = self.segments.iter().min_by_key(|(_, (_, used))| *used).map(|(number, _)| *number);
            let Some(oldest) = oldest else { break };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some((segment, _)) = self.segments.remove(&number) {
            self.bytes -= segment.index().bytes();
        }
    }
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

impl BlockEnds for Journal {
    fn block_end(&self, number: u64) -> Result<u64, ReadError> {
        Ok(self.block_position(number)? + 1)
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
            last_leaf: Mutex::default(),
            stores_offsets: true,
            none_abandoned_before: AtomicU64::new(0),
        }
    }

    /// The same for who only looks: no offset file is written.
    pub fn writing_nothing(self) -> Journal {
        Journal { stores_offsets: false, ..self }
    }

    /// The last block's leaf stands there and has this hash.
    pub fn set_last_leaf(&self, position: u64, hash: Hash) {
        *self.last_leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some((position, hash));
    }

    pub fn active(&self) -> Arc<Segment> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last segment gave way to this one.
    pub fn roll(&self, segment: Segment) {
        let header = segment.file.header;
        let replaced = self.open_segments().replaced;
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
        self.keep(full, replaced);
    }

    /// Replaces files of segments: `rename` gives the new ones their names. Nobody opens one of them meanwhile, so that who
    /// finds one new finds all of them new: a block's head names places in other segments. With the offsets of the one whose header
    /// has this hash, that one stays open if it was, and nobody who reads has to go through it for them.
    pub fn replace<E: From<ReadError>>(
        &self,
        numbers: &[u64],
        known: Option<(Hash, Index)>,
        rename: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut open = self.open_segments();
        let renamed = rename();
        // Some may have been replaced if it failed.
        open.replaced += 1;
        self.staged_cache().clear();
        let read = numbers.iter().any(|number| open.segments.contains_key(number));
        numbers.iter().for_each(|number| open.forget(*number));
        let mut known = known.filter(|_| renamed.is_ok() && read);
        for number in numbers {
            let file = SegmentFile::open(&*self.env.storage, &self.dir, *number, OpenMode::Read);
            let file = file.map_err(|error| E::from(error.into()))?;
            let header = file.header;
            if let Some((_, index)) = known.take_if(|(hash, _)| *hash == file.header_hash) {
                open.keep(Arc::new(Segment { file, index: RwLock::new(index) }));
            }
            let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(old) = segments.iter_mut().find(|s| s.number == *number) {
                *old = header;
            }
        }
        renamed
    }

    fn open_segments(&self) -> MutexGuard<'_, OpenSegments> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The headers of all segments, in order.
    pub fn headers(&self) -> Vec<SegmentHeader> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A segment by number.
    pub fn segment(&self, number: u64) -> Result<Arc<Segment>, ReadError> {
        let active = self.active();
        if active.file.header.number == number {
            return Ok(active);
        }
        loop {
            let replaced = {
                let mut open = self.open_segments();
                open.clock += 1;
                let clock = open.clock;
                if let Some((segment, used)) = open.segments.get_mut(&number) {
                    *used = clock;
                    return Ok(Arc::clone(segment));
                }
                open.replaced
            };
            let file = SegmentFile::open(&*self.env.storage, &self.dir, number, OpenMode::Read)?;
            let segment = Arc::new(self.indexed(file)?);
            if self.keep(Arc::clone(&segment), replaced) {
                return Ok(segment);
            }
        }
    }

    /// A sealed segment with its offsets: from its offset file if that leads to the next segment, else from the segment
    /// itself. Nothing is stored that does not: what was read wrong once would be believed by every start.
    fn indexed(&self, file: SegmentFile) -> Result<Segment, ReadError> {
        if let Some(index) = stored_index(&self.env, &self.dir, &file) {
            let segment = Segment { file: file.clone(), index: RwLock::new(index) };
            if self.must_lead_to_next(&segment).is_ok() {
                return Ok(segment);
            }
        }
        let index = file.scan(&self.headers())?.index;
        let segment = Segment { file, index: RwLock::new(index) };
        self.must_lead_to_next(&segment)?;
        if !self.stores_offsets {
            return Ok(segment);
        }
        let SegmentFile { header, header_hash, .. } = &segment.file;
        if let Err(e) = offsets::store(&*self.env.storage, &self.dir, header.number, header_hash, &segment.index()) {
            tracing::warn!(segment = header.number, error = %e, "the offset file was not written");
        }
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

    /// Keeps a segment open, unless files were replaced since it was opened: it may be one of them.
    fn keep(&self, segment: Arc<Segment>, replaced: u64) -> bool {
        let mut open = self.open_segments();
        if open.replaced != replaced {
            return false;
        }
        open.keep(segment);
        true
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

    /// One revision.
    pub fn revision(&self, position: u64) -> Result<StoredRevision, ReadError> {
        self.revision_near(position, &mut None)
    }

    /// The same. The segment that one before it stood in is looked at first, and left there for the next one.
    pub fn revision_near(&self, position: u64, near: &mut Option<Arc<Segment>>) -> Result<StoredRevision, ReadError> {
        let at_hand = near.as_ref().and_then(|segment| {
            let place = segment.index().place(position.checked_sub(segment.first_position())?)?;
            Some((Arc::clone(segment), place))
        });
        let (segment, place) = match at_hand {
            Some(found) => found,
            None => self.place(position)?,
        };
        let revision = match place {
            Place::Head(_) => Err(ReadError::Kind { position, found: "a block", wanted: "a revision" }),
            Place::Frame(_) if position == 0 => {
                Err(ReadError::Kind { position, found: "the genesis", wanted: "a revision" })
            }
            Place::Frame(offset) => self.revision_in(&segment, u64::from(offset), position),
            Place::Staged => {
                let leaf = self.block_from(position)?.ok_or_else(|| self.stale_index(&segment, position))?;
                let block = self.staged_block(leaf)?;
                self.staged_revision(&block, position)
            }
        };
        *near = Some(segment);
        revision
    }

    /// A revision whose frame is at `offset` of this segment. Its block's head stands before it, mostly so close that both
    /// are read at once.
    fn revision_in(&self, segment: &Segment, offset: u64, position: u64) -> Result<StoredRevision, ReadError> {
        let stale = || self.stale_index(segment, position);
        let ((block, head_offset), reach) = {
            // Not kept while the file is read: the writer waits for it.
            let index = segment.index();
            let at = position - segment.first_position();
            (index.head_of(at).ok_or_else(stale)?, index.reach(at, offset, FRAME_READ_BYTES))
        };
        let head_offset = u64::from(head_offset);
        let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
        let mut apart;
        let (head, frame) = match offset.checked_sub(head_offset) {
            Some(between) if between <= PAIR_BYTES_MAX => frames.pair(head_offset, (offset, reach))?,
            _ => {
                apart = Frames::new(&segment.file, FRAME_READ_BYTES);
                (apart.at(head_offset)?, frames.at(offset)?)
            }
        };
        if frame.kind != FrameKind::Revision || !matches!(head.kind, FrameKind::Block | FrameKind::Commit) {
            return Err(stale());
        }
        let damage = |e: WireError| segment.file.damage(offset, e.0);
        let revision = RevisionFrame::decode(frame.payload).map_err(damage)?;
        let texts = &segment.index().texts;
        let HeadPart { opening, group } =
            HeadPart::decode(&head, texts, &revision).map_err(|e| segment.file.damage(head_offset, e.0))?;
        if opening.position != segment.first_position() + block
            || position + u64::from(revision.to_block) != opening.position
            || opening.first_position() > position
        {
            return Err(stale());
        }
        let common = (&opening, &group);
        Ok(stored_in_group(&revision, common, position, texts, &mut Contents::Values).map_err(damage)?)
    }

    /// A block with its revisions; nothing is derived.
    pub fn raw_block(&self, block_position: u64) -> Result<StoredBlock, ReadError> {
        self.raw_block_with(block_position, &mut Contents::Values)
    }

    fn raw_block_with(&self, block_position: u64, contents: &mut Contents<'_>) -> Result<StoredBlock, ReadError> {
        let (segment, place) = self.place(block_position)?;
        let Place::Head(offset) = place else {
            return Err(ReadError::Kind { position: block_position, found: "a revision", wanted: "a block" });
        };
        let mut frames = Frames::new(&segment.file, FRAME_READ_BYTES);
        let (head, revisions) = self.block_in(&segment, &mut frames, u64::from(offset), block_position, contents)?;
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
        contents: &mut Contents<'_>,
    ) -> Result<(BlockHead, Vec<StoredRevision>), ReadError> {
        let head = self.head_at(segment, frames, offset, block_position)?;
        let revisions = self.revisions_of(segment, frames, &head, contents)?;
        Ok((head, revisions))
    }

    /// The revisions of a block whose head stands in this segment.
    fn revisions_of(
        &self,
        segment: &Segment,
        frames: &mut Frames<'_>,
        head: &BlockHead,
        contents: &mut Contents<'_>,
    ) -> Result<Vec<StoredRevision>, ReadError> {
        if !head.staged.is_empty() {
            return self.all_staged(head, contents);
        }
        let mut revisions = Vec::with_capacity((head.revisions as usize).min(1 << 16));
        let first = head.first_position();
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
            let stored = stored_revision(&revision, head, position, &segment.index().texts, contents);
            revisions.push(stored.map_err(damage)?);
            // Not while the index is held: the writer waits for it.
            breathe();
        }
        Ok(revisions)
    }

    /// The blocks that end at `from` or later and before `to`, one behind the other, nothing derived. `to` is durable.
    /// With [`Contents::Hashes`] they hold documents' hashes in place of the documents.
    pub fn blocks_between<E: From<ReadError>>(
        &self,
        from: u64,
        to: u64,
        contents: &mut Contents<'_>,
        each: &mut dyn FnMut(StoredBlock) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut previous: Option<Hash> = None;
        self.heads_between(from, to, &mut |segment, frames, head| {
            let revisions = self.revisions_of(segment, frames, &head, contents)?;
            let before = match previous {
                Some(before) => Some(before),
                None => self.previous_block_hash(&head)?,
            };
            previous = Some(head.block_hash);
            each(stored_block(head, revisions, self.genesis.strand, before))
        })
    }

    /// The revisions from `from` on to before `to`, in order, with the heads of their blocks: a block in one piece, one
    /// whose revisions are staged in many. The last one of a block says so. `to` is durable and a block's end.
    pub fn pieces_between<E: From<ReadError>>(&self, from: u64, to: u64, each: &mut EachPiece<'_, E>) -> Result<(), E> {
        self.heads_between(from, to, &mut |segment, frames, head| {
            if head.staged.is_empty() {
                let mut revisions = self.revisions_of(segment, frames, &head, &mut Contents::Values)?;
                revisions.retain(|revision| revision.position >= from);
                return each(&head, revisions, true);
            }
            let mut first = head.first_position();
            for (ordinal, staged) in head.staged.iter().enumerate() {
                let next = first + u64::from(staged.revisions);
                let last = next == head.position;
                let mut revisions = Vec::new();
                if next > from {
                    self.staged_frame(&head, ordinal, first, &mut Contents::Values, &mut |revision| {
                        if revision.position >= from {
                            revisions.push(revision);
                        }
                    })?;
                }
                if last || !revisions.is_empty() {
                    each(&head, revisions, last)?;
                }
                first = next;
            }
            Ok(())
        })
    }

    /// Hands over the revisions at positions from `from` on to before `to`, in order; both may lie inside of a block, of
    /// which what was written ahead is then read in part only. Documents that are `known` are not decoded, except those
    /// written ahead.
    pub fn revisions_between<E: From<ReadError>>(
        &self,
        from: u64,
        to: u64,
        known: &mut Known<'_>,
        each: &mut dyn FnMut(StoredRevision) -> Result<(), E>,
    ) -> Result<(), E> {
        if from >= to {
            return Ok(());
        }
        let end = self.block_from(to - 1)?.map_or(to, |leaf| to.max(leaf + 1));
        let wanted = from..to;
        self.heads_between(from, end, &mut |segment, frames, head| {
            if head.staged.is_empty() {
                let revisions = self.revisions_of(segment, frames, &head, &mut Contents::Known(&mut *known))?;
                return revisions.into_iter().filter(|r| wanted.contains(&r.position)).try_for_each(&mut *each);
            }
            let mut first = head.first_position();
            for (ordinal, staged) in head.staged.iter().enumerate() {
                let next = first + u64::from(staged.revisions);
                if next > from && first < to {
                    let mut revisions = Vec::new();
                    self.staged_frame(&head, ordinal, first, &mut Contents::Values, &mut |revision| {
                        if wanted.contains(&revision.position) {
                            revisions.push(revision);
                        }
                    })?;
                    revisions.into_iter().try_for_each(&mut *each)?;
                }
                first = next;
            }
            Ok(())
        })
    }

    /// The heads of the blocks that end at `from` or later and before `to`, each with the segment it stands in.
    fn heads_between<E: From<ReadError>>(&self, from: u64, to: u64, each: &mut EachHead<'_, E>) -> Result<(), E> {
        let read_bytes = if to.saturating_sub(from) > 64 { WINDOW_BYTES } else { FRAME_READ_BYTES };
        let mut next = self.block_from(from)?;
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
                let head = self.head_at(&segment, &mut frames, u64::from(offset), position)?;
                each(&segment, &mut frames, head)?;
                (number, last) = (number + 1, position);
            }
            next = self.block_from(last + 1)?;
        }
        Ok(())
    }

    /// The stored hashes of the blocks that end at `from` or later and before `to`, in order.
    pub fn block_hashes_between<E: From<ReadError>>(
        &self,
        from: u64,
        to: u64,
        each: &mut dyn FnMut(Hash) -> Result<(), E>,
    ) -> Result<(), E> {
        self.heads_between(from, to, &mut |_, _, head| each(head.block_hash))
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
    pub fn block(
        &self,
        block_position: u64,
        hasher: &mut BlockHasher,
    ) -> Result<(StoredBlock, DerivedBlock), ReadError> {
        let block = self.raw_block(block_position)?;
        let derived = self.derived(&block, hasher)?;
        Ok((block, derived))
    }

    /// The hashes of a block, compared with the stored one, its documents hashed from their bytes.
    pub fn block_hashes(&self, block_position: u64) -> Result<DerivedBlock, ReadError> {
        let (mut hasher, mut of_data) = (BlockHasher::default(), Hasher::new());
        let block = self.raw_block_with(block_position, &mut Contents::Hashes(&mut of_data))?;
        self.derived(&block, &mut hasher)
    }

    /// The hashes of a block that was read, compared with the stored one.
    pub fn derived(&self, block: &StoredBlock, hasher: &mut BlockHasher) -> Result<DerivedBlock, ReadError> {
        let what = match derive(block, hasher) {
            Ok(derived) if derived.opening.block_hash == block.block_hash => return Ok(derived),
            Ok(derived) => {
                format!("has hash {}, but its contents give {}", block.block_hash, derived.opening.block_hash)
            }
            Err(part) => format!("was imported, and its entriesHashList does not hold the hash of {part}"),
        };
        let (segment, place) = self.place(block.position)?;
        let offset = match place {
            Place::Head(offset) | Place::Frame(offset) => u64::from(offset),
            Place::Staged => 0,
        };
        Err(segment.file.damage(offset, format!("block {} {what}", block.number)).into())
    }

    /// The entry at a position.
    pub fn leaf(&self, position: u64, hasher: &mut BlockHasher) -> Result<Vec<u8>, ReadError> {
        if position == 0 {
            return Ok(self.genesis_leaf().encode().to_vec());
        }
        let (_, place) = self.place(position)?;
        if let Place::Head(_) = place {
            return Ok(self.block(position, hasher)?.1.leaf.encode().to_vec());
        }
        let revision = self.revision(position)?;
        // A revision's leaf holds nothing of its block but number, transaction and time.
        let facts = BlockFacts {
            strand: self.genesis.strand,
            number: revision.block,
            tx_id: revision.tx_id,
            time_ms: revision.time_ms,
            first_position: position,
            blind: [0; 16],
            previous_block_hash: None,
            previous_leaf: None,
        };
        Ok(revision_leaf(&facts, &revision_facts(&revision)).0.encode().to_vec())
    }

    /// H of the entry at a position. That of a block's leaf stands in the next block, or is known of the last one: a large
    /// block is not derived for it.
    pub fn leaf_entry_hash(&self, position: u64) -> Result<Hash, ReadError> {
        let last = *self.last_leaf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = last.filter(|(at, _)| *at == position) {
            return Ok(hash);
        }
        if position > 0
            && let (_, Place::Head(_)) = self.place(position)?
        {
            let next = self.block_from(position + 1)?;
            if let Some(hash) = next.map(|next| self.head(next)).transpose()?.and_then(|head| head.previous_leaf) {
                return Ok(hash);
            }
            return Ok(self.block_hashes(position)?.leaf_entry_hash);
        }
        Ok(Hash::sha256(&[&self.leaf(position, &mut BlockHasher::default())?]))
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

/// The offsets and the dictionary of a sealed segment as its offset file says.
fn stored_index(env: &Env, dir: &Path, file: &SegmentFile) -> Option<Index> {
    let mut index = offsets::load(&*env.storage, dir, file.header.number, &file.header_hash)?;
    load_texts(file, &mut index).ok().map(|()| index)
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
