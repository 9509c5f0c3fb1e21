//! Reading a segment from front to back: batches checked whole, frames indexed, the chain followed
//! (docs/format.md, "Recovery").

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Hash;

use crate::batch::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES, BatchHeader, check_batch, find_nonce};
use crate::env::{File, OpenMode, Storage, read_exact_at};
use crate::error::{Damage, FileError, Help};
use crate::frame::{BlockHead, Frame, FrameKind, Genesis, RevisionFrame, Staged, read_frame};
use crate::offsets::Index;
use crate::segment::{Chain, HeaderError, PAGE_BYTES, SegmentHeader, page_align, segment_path};
use crate::wire::WireError;

/// A segment file, open, its header read.
#[derive(Clone)]
pub(crate) struct SegmentFile {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub header: SegmentHeader,
    /// H of the header's page: which state of the segment this is.
    pub header_hash: Hash,
}

/// Why a scan stopped before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a scan found.
#[allow(dead_code, reason = "for verifying a directory")]
pub(crate) struct Scanned {
    pub index: Index,
    /// The chain behind the last whole batch. `block_leaf` is that of the segment's start unless no block came.
    pub chain: Chain,
    /// Where the next batch would begin.
    pub end: u64,
    /// In segment 0.
    pub genesis: Option<Genesis>,
    /// As they lie in the file, merged or not.
    pub batches: u64,
    /// It holds frames that were written ahead of their block, which names their places.
    pub has_staged: bool,
}

/// What stands behind the last whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros to the end of the file.
    Clean,
    /// Something that may be the torn last batch: all of it lies before `end`.
    Torn { end: u64, what: String },
}

impl SegmentFile {
    pub fn open(storage: &dyn Storage, dir: &Path, number: u64, mode: OpenMode) -> Result<SegmentFile, ScanError> {
        SegmentFile::open_at(storage, segment_path(dir, number), number, mode)
    }

    /// A segment that may not have taken its name yet.
    pub fn open_at(
        storage: &dyn Storage,
        path: PathBuf,
        number: u64,
        mode: OpenMode,
    ) -> Result<SegmentFile, ScanError> {
        let io = |action| {
            let path = path.clone();
            move |source| FileError { path, action, source }
        };
        let file = storage.open(&path, mode).map_err(io("open it"))?;
        let length = file.len().map_err(io("find its length"))?;
        let damage = |what: String, help| Damage { path: path.clone(), offset: 0, what, help };
        if length < PAGE_BYTES {
            return Err(
                damage(format!("the file has {length} bytes, less than a segment's header"), Help::Restore).into()
            );
        }
        let mut page = vec![0; PAGE_BYTES as usize];
        read_exact_at(&*file, &mut page, 0).map_err(io("read it"))?;
        let header = SegmentHeader::decode(&page).map_err(|e| match e {
            HeaderError::Damaged(what) => damage(what, Help::Restore),
            HeaderError::Newer(version) => damage(format!("the segment has format version {version}"), Help::Upgrade),
        })?;
        if header.number != number {
            return Err(damage(format!("the header says that this is segment {}", header.number), Help::Restore).into());
        }
        if header.length != length {
            let what = format!("the file has {length} bytes, its header says {}", header.length);
            return Err(damage(what, Help::Restore).into());
        }
        let header_hash = Hash::sha256(&[&page]);
        Ok(SegmentFile { path, file, header, header_hash })
    }

    pub fn damage(&self, offset: u64, what: impl Into<String>) -> Damage {
        Damage { path: self.path.clone(), offset, what: what.into(), help: Help::Restore }
    }

    pub fn file_error(&self, action: &'static str, source: std::io::Error) -> FileError {
        FileError { path: self.path.clone(), action, source }
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, ScanError> {
        let mut bytes = vec![0; length];
        read_exact_at(&*self.file, &mut bytes, offset).map_err(|e| self.file_error("read it", e))?;
        Ok(bytes)
    }

    /// The batch at `offset`, whole and checked; or why there is none.
    pub fn batch(&self, offset: u64, number: u64) -> Result<Result<(BatchHeader, Vec<u8>), String>, ScanError> {
        if offset + PAGE_BYTES > self.header.length {
            return Ok(Err("the segment ends".to_owned()));
        }
        let mut bytes = self.read(offset, PAGE_BYTES as usize)?;
        let Some(header) = BatchHeader::decode(&bytes, &self.header.nonce) else {
            return Ok(Err("no batch begins here".to_owned()));
        };
        if offset + header.extent() > self.header.length {
            return Ok(Err("the batch is longer than the segment".to_owned()));
        }
        if header.extent() > PAGE_BYTES {
            bytes.extend(self.read(offset + PAGE_BYTES, (header.extent() - PAGE_BYTES) as usize)?);
        }
        if let Err(what) = check_batch(&header, &bytes) {
            return Ok(Err(what.to_owned()));
        }
        if header.merged != 0 && !self.header.packed {
            let what = format!("batch {number} says that others were merged into it, and the segment is not packed");
            return Err(self.damage(offset, what).into());
        }
        if header.number != number {
            let what = format!("batch {} stands where batch {number} belongs", header.number);
            return Err(self.damage(offset, what).into());
        }
        Ok(Ok((header, bytes)))
    }

    /// Reads all batches from the segment's start.
    pub fn scan(&self) -> Result<Scanned, ScanError> {
        let (index, chain) = (Index::default(), self.header.chain);
        let mut walk = Walk { segment: self, index, chain, genesis: None, has_staged: false };
        let (mut offset, mut batches) = (PAGE_BYTES, 0);
        while let Ok((header, bytes)) = self.batch(offset, walk.chain.next_batch)? {
            if header.first_position != walk.chain.next_position {
                let what = format!(
                    "the batch begins at position {}, the one before ends at {}",
                    header.first_position, walk.chain.next_position
                );
                return Err(self.damage(offset, what).into());
            }
            let body = bytes.get(BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + header.length as usize).unwrap_or_default();
            walk.batch(offset + BATCH_HEADER_BYTES as u64, body)?;
            walk.chain.next_batch = header.next_number();
            offset += header.extent();
            batches += 1;
        }
        let Walk { index, chain, genesis, has_staged, .. } = walk;
        Ok(Scanned { index, chain, end: offset, genesis, batches, has_staged })
    }

    /// Looks at everything behind the last whole batch. A nonce behind the first page there means that a later
    /// batch was written, so the one before it was acknowledged: that is damage, never a torn write.
    pub fn tail(&self, end: u64, expected: u64) -> Result<Tail, ScanError> {
        const CHUNK: u64 = 1 << 20;
        if self.header.packed && end != self.header.length {
            // Nobody ever writes to it: there is nothing that could be torn.
            let what = format!("batch {expected} of a packed segment is damaged");
            return Err(self.damage(end, what).into());
        }
        let mut last_used = None;
        let mut offset = end;
        while offset < self.header.length {
            let bytes = self.read(offset, CHUNK.min(self.header.length - offset) as usize)?;
            let skip = if offset == end { (PAGE_BYTES as usize).min(bytes.len()) } else { 0 };
            if let Some(at) = find_nonce(&bytes[skip..], &self.header.nonce) {
                let what = format!(
                    "batch {expected} is damaged, and a later batch follows at offset {}",
                    offset + (skip + at) as u64
                );
                return Err(self.damage(end, what).into());
            }
            if let Some(at) = bytes.iter().rposition(|b| *b != 0) {
                last_used = Some(offset + at as u64);
            }
            offset += bytes.len() as u64;
        }
        let Some(last_used) = last_used else { return Ok(Tail::Clean) };
        if last_used - end >= page_align((BATCH_HEADER_BYTES + BATCH_BYTES_MAX) as u64) {
            return Err(self.damage(last_used, "there should be zeros behind the last batch").into());
        }
        let what = match self.batch(end, expected)? {
            Ok(_) => "a whole batch".to_owned(),
            Err(what) => what,
        };
        Ok(Tail::Torn { end: page_align(last_used + 1).min(self.header.length), what })
    }
}

/// Follows the frames of a segment.
struct Walk<'a> {
    segment: &'a SegmentFile,
    index: Index,
    chain: Chain,
    genesis: Option<Genesis>,
    has_staged: bool,
}

impl Walk<'_> {
    fn batch(&mut self, start: u64, body: &[u8]) -> Result<(), ScanError> {
        let mut at = 0;
        while at < body.len() {
            let offset = start + at as u64;
            let used = self.frame(offset, &body[at..]).map_err(|e| self.segment.damage(offset, e.0))?;
            at += used;
        }
        Ok(())
    }

    /// One frame, with the revisions behind it if it is a block's head. Returns the bytes used.
    fn frame(&mut self, offset: u64, bytes: &[u8]) -> Result<usize, WireError> {
        let frame = read_frame(bytes)?;
        let place = u32::try_from(offset).ok().filter(|o| *o < 1 << 31);
        let place = place.ok_or_else(|| WireError("the segment is too long".to_owned()))?;
        match frame.kind {
            FrameKind::Genesis => self.genesis(&frame, place)?,
            FrameKind::Dictionary => {
                self.index.texts.read_frame(frame.payload)?;
                self.index.dictionary.push(place);
            }
            FrameKind::Block => {
                let head = self.head(&frame)?;
                let used = self.revisions(&head, offset + frame.length as u64, &bytes[frame.length..])?;
                self.index.push_head(place);
                return Ok(frame.length + used);
            }
            FrameKind::Commit => {
                let head = self.head(&frame)?;
                for _ in 0..head.revisions {
                    self.index.push_staged();
                }
                self.index.push_head(place);
            }
            FrameKind::Staged => {
                Staged::decode(frame.payload)?;
                self.has_staged = true;
            }
            FrameKind::Revision => return Err(WireError("a revision stands outside of a block".to_owned())),
        }
        Ok(frame.length)
    }

    fn genesis(&mut self, frame: &Frame<'_>, place: u32) -> Result<(), WireError> {
        if self.chain.next_position != 0 {
            return Err(WireError("a genesis stands behind the ledger's beginning".to_owned()));
        }
        let genesis = Genesis::decode(frame.payload)?;
        if genesis.ledger != self.segment.header.ledger {
            return Err(WireError("the genesis names another ledger than the segment's header".to_owned()));
        }
        self.genesis = Some(genesis);
        self.index.push_frame(place);
        self.chain.next_position = 1;
        Ok(())
    }

    fn head(&mut self, frame: &Frame<'_>) -> Result<BlockHead, WireError> {
        let head = BlockHead::decode(frame, &self.index.texts)?;
        if head.number != self.chain.next_block || head.first_position() != self.chain.next_position {
            return Err(WireError(format!(
                "block {} from position {} stands where block {} from position {} belongs",
                head.number,
                head.first_position(),
                self.chain.next_block,
                self.chain.next_position
            )));
        }
        if self.chain.last_time_ms.is_some_and(|last| head.time_max_ms() < last) {
            return Err(WireError(format!("block {} is earlier than the block before it", head.number)));
        }
        self.chain.next_block += 1;
        self.chain.next_position = head.position + 1;
        self.chain.last_time_ms = Some(head.time_max_ms());
        self.chain.block_hash = Some(head.block_hash);
        Ok(head)
    }

    fn revisions(&mut self, head: &BlockHead, offset: u64, bytes: &[u8]) -> Result<usize, WireError> {
        let mut at = 0;
        for left in (1..=head.revisions).rev() {
            let frame = read_frame(bytes.get(at..).unwrap_or_default())?;
            if frame.kind != FrameKind::Revision {
                return Err(WireError(format!("block {} lacks revisions", head.number)));
            }
            let revision = RevisionFrame::decode(frame.payload)?;
            if revision.to_block != left || revision.group as usize >= head.groups.len() {
                return Err(WireError(format!("block {} holds a revision of another block", head.number)));
            }
            self.index.push_frame((offset + at as u64) as u32);
            at += frame.length;
        }
        Ok(at)
    }
}
