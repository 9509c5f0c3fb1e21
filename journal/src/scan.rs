//! Reading a segment from front to back: batches checked whole, frames indexed, the chain followed
//! (docs/format.md, "Recovery").

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Hash;

use crate::batch::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES, BatchHeader, check_batch, find_nonce};
use crate::env::{File, OpenMode, Storage, breathe, read_exact_at};
use crate::error::{Damage, FileError, Help};
use crate::frame::{BlockHead, Frame, FrameKind, Genesis, REVISION_BYTES_MIN, RevisionFrame, Staged, read_frame};
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

    /// Reads all batches from the segment's start. `headers` are those of the ledger's segments, in order: its first block may
    /// have been written ahead in segments before it.
    pub fn scan(&self, headers: &[SegmentHeader]) -> Result<Scanned, ScanError> {
        self.scan_each(headers, |_, _, _| Ok(()))
    }

    /// The same, and `each` is shown every batch once it was checked: where it begins, its header and its body.
    pub fn scan_each(
        &self,
        headers: &[SegmentHeader],
        mut each: impl FnMut(u64, &BatchHeader, &[u8]) -> Result<(), ScanError>,
    ) -> Result<Scanned, ScanError> {
        let (index, chain) = (Index::default(), self.header.chain);
        let staged_left = staged_before_max(headers, &self.header);
        let mut walk = Walk { segment: self, index, chain, genesis: None, has_staged: false, staged_left };
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
            each(offset, &header, body)?;
            breathe();
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

/// More revisions cannot be staged before a segment for its first block: there is no room for them in the segments that no
/// other block has begun behind.
fn staged_before_max(headers: &[SegmentHeader], segment: &SegmentHeader) -> u64 {
    let before = headers.partition_point(|header| header.number < segment.number);
    let (mut bytes, mut behind) = (0u64, segment);
    for header in headers.iter().take(before).rev() {
        if behind.chain.next_block != segment.chain.next_block {
            break;
        }
        bytes = bytes.saturating_add(header.length);
        behind = header;
    }
    bytes / REVISION_BYTES_MIN as u64
}

/// Follows the frames of a segment.
struct Walk<'a> {
    segment: &'a SegmentFile,
    index: Index,
    chain: Chain,
    genesis: Option<Genesis>,
    has_staged: bool,
    /// More revisions than these no block can name: those in staged frames that none has named yet.
    staged_left: u64,
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
                // What a head claims takes memory, so it is compared with what was read.
                let left = self.staged_left.checked_sub(u64::from(head.revisions));
                self.staged_left = left.ok_or_else(|| {
                    WireError(format!("block {} names more staged revisions than were written ahead", head.number))
                })?;
                (0..head.revisions).for_each(|_| self.index.push_staged());
                self.index.push_head(place);
            }
            FrameKind::Staged => {
                let staged = Staged::decode(frame.payload)?;
                self.staged_left += u64::from(staged.revisions);
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

#[cfg(test)]
mod tests {
    use ledgerstone_digest::Id;
    use ledgerstone_digest::block::OriginInfo;

    use super::*;
    use crate::batch::{begin_batch, finish_batch};
    use crate::dictionary::Dictionary;
    use crate::env::{Env, write_all_at};
    use crate::frame::{StagedRef, put_frame};
    use crate::segment::JOURNAL_DIR;

    const DIR: &str = "/ledger";
    /// What the frames below claim: enough to tell, and few enough for a machine that believes them.
    const CLAIMED: u32 = 1 << 24;

    fn header(number: u64, next_block: u64, length: u64) -> SegmentHeader {
        let chain = Chain { next_batch: number, next_position: 1 + next_block, next_block, ..Chain::EMPTY };
        SegmentHeader { ledger: Id([1; 16]), number, length, packed: false, nonce: [number as u8; 16], chain }
    }

    /// A segment of one batch with a commit frame that claims a number of revisions, and with what stands before it.
    fn segment(env: &Env, header: SegmentHeader, revisions: u32, before: &[u8]) -> SegmentFile {
        let staged = StagedRef { segment: 0, offset: 4168, revisions, hash: Hash::ZERO };
        let head = BlockHead {
            number: header.chain.next_block,
            position: header.chain.next_position + u64::from(revisions),
            revisions,
            time_ms: 5,
            tx_id: Id([2; 16]),
            blind: [3; 16],
            block_hash: Hash::ZERO,
            previous_leaf: None,
            statements: Vec::new(),
            origin: OriginInfo::default(),
            redaction: None,
            groups: Vec::new(),
            staged: vec![staged],
            imported: None,
        };
        let (mut dictionary, mut entries) = (Dictionary::default(), Vec::new());
        let payload = head.encode(&mut dictionary);
        dictionary.write_frame(&mut entries);
        let mut batch = Vec::new();
        begin_batch(&mut batch);
        batch.extend_from_slice(before);
        put_frame(&mut batch, FrameKind::Dictionary, &entries);
        put_frame(&mut batch, FrameKind::Commit, &payload);
        finish_batch(&mut batch, &header.nonce, header.chain.next_batch, header.chain.next_position);
        let header = SegmentHeader { length: PAGE_BYTES + batch.len() as u64, ..header };
        env.storage.create_dir_all(&Path::new(DIR).join(JOURNAL_DIR)).unwrap();
        let path = segment_path(Path::new(DIR), header.number);
        let file = env.storage.open(&path, OpenMode::Create).unwrap();
        write_all_at(&*file, &header.encode(), 0).unwrap();
        write_all_at(&*file, &batch, PAGE_BYTES).unwrap();
        SegmentFile::open(&*env.storage, Path::new(DIR), header.number, OpenMode::Read).unwrap()
    }

    fn positions(segment: &SegmentFile, headers: &[SegmentHeader]) -> Result<u64, String> {
        segment.scan(headers).map(|scanned| scanned.index.positions()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_commit_frame_takes_no_memory_for_revisions_that_were_not_written_ahead() {
        let env = Env::memory(1);
        let refused = positions(&segment(&env, header(0, 0, 0), CLAIMED, &[]), &[]).unwrap_err();
        assert!(refused.contains("more staged revisions than were written ahead"), "{refused}");
        let mut staged = Vec::new();
        Staged { tx_id: Id([2; 16]), ordinal: 0, revisions: 3, frames: &[0; 3 * REVISION_BYTES_MIN] }.put(&mut staged);
        assert_eq!(positions(&segment(&env, header(0, 0, 0), 3, &staged), &[]), Ok(4));
        assert!(positions(&segment(&env, header(0, 0, 0), 4, &staged), &[]).is_err());
    }

    #[test]
    fn what_was_written_ahead_in_segments_before_counts_as_far_as_there_is_room() {
        let env = Env::memory(1);
        let room = REVISION_BYTES_MIN as u64;
        // A block ended in segment 1; segments 1 and 2 may hold what the first block of segment 3 names.
        let before = [header(0, 0, 1000 * room), header(1, 0, 100 * room), header(2, 1, 10 * room)];
        let third = |revisions| positions(&segment(&env, header(3, 1, 0), revisions, &[]), &before);
        assert_eq!(third(110), Ok(111));
        assert!(third(111).is_err());
        // Those behind it hold nothing of it.
        let behind = [before[0], before[1], before[2], header(3, 1, 0), header(4, 1, 1000 * room)];
        assert!(positions(&segment(&env, header(3, 1, 0), 111, &[]), &behind).is_err());
    }
}
