//! Staged frames that no commit frame names (docs/format.md, "Frames"): the process was killed, or the disk was full, when
//! a large transaction was written in part. They mean nothing, but they hold its documents, which the client has written
//! again since: a redaction that left them would leave what it redacts.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::batch::{BATCH_HEADER_BYTES, BatchHeader};
use crate::env::read_exact_at;
use crate::error::ReadError;
use crate::frame::FrameKind;
use crate::reader::{FRAME_READ_BYTES, Frames, Journal, Segment};
use crate::segment::{PAGE_BYTES, SegmentHeader};

/// Frames that offsets lead to, and that stand closer together, have no staged frames between them: those of a transaction
/// stand one behind the other, and nobody stages so little. So most of a segment is not read.
const STAGED_BYTES_MIN: u64 = 4096;

/// The offsets of such frames in these segments, by segment. A block behind them is durable, and nothing of it stands in
/// them: so what could name a frame there has been written, and a transaction that is being written is not taken for one
/// that was given up.
pub(crate) fn abandoned(journal: &Journal, segments: Range<u64>) -> Result<BTreeMap<u64, HashSet<u32>>, ReadError> {
    let headers = journal.headers();
    let mut found = BTreeMap::new();
    for (header, next) in headers.iter().zip(headers.iter().skip(1)) {
        // A segment with staged frames is never packed.
        if header.packed || !segments.contains(&header.number) {
            continue;
        }
        let segment = journal.segment(header.number)?;
        let staged = Walk::new(&segment).segment(next)?;
        let unnamed = unnamed(journal, header.number, staged)?;
        if !unnamed.is_empty() {
            found.insert(header.number, unnamed);
        }
    }
    Ok(found)
}

/// Nothing stands between the staged frames of a transaction and its commit frame: what the next block does not name, none
/// will. `staged` has the offsets of a segment's staged frames by the number of that block.
fn unnamed(journal: &Journal, segment: u64, staged: BTreeMap<u64, HashSet<u32>>) -> Result<HashSet<u32>, ReadError> {
    let mut unnamed = HashSet::new();
    for (block, mut offsets) in staged {
        let head = journal.head(journal.block_position(block)?)?;
        for named in head.staged.iter().filter(|named| named.segment == segment) {
            offsets.remove(&named.offset);
        }
        unnamed.extend(offsets);
    }
    Ok(unnamed)
}

/// Looks for the staged frames of a segment.
struct Walk<'a> {
    segment: &'a Segment,
    frames: Frames<'a>,
    /// Where revisions and heads stand, one behind the other, and which are heads.
    places: Vec<(u32, bool)>,
    /// The next of them.
    place: usize,
    /// The number of the block whose head comes next.
    block: u64,
    staged: BTreeMap<u64, HashSet<u32>>,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Arc<Segment>) -> Walk<'a> {
        let mut places: Vec<_> = segment.index().places().collect();
        // A head stands before its block's revisions, and has the position behind them.
        places.sort_unstable();
        Walk {
            segment,
            frames: Frames::new(&segment.file, FRAME_READ_BYTES),
            places,
            place: 0,
            block: segment.file.header.chain.next_block,
            staged: BTreeMap::new(),
        }
    }

    /// A segment that is damaged, or was read wrong, ends before the next one begins: nobody knows what it holds.
    fn segment(mut self, next: &SegmentHeader) -> Result<BTreeMap<u64, HashSet<u32>>, ReadError> {
        let file = &self.segment.file;
        let SegmentHeader { nonce, length, chain, .. } = file.header;
        let (mut offset, mut number) = (PAGE_BYTES, chain.next_batch);
        let mut head = [0; BATCH_HEADER_BYTES];
        while number < next.chain.next_batch && offset + PAGE_BYTES <= length {
            read_exact_at(&*file.file, &mut head, offset).map_err(|e| file.file_error("read it", e))?;
            let batch = BatchHeader::decode(&head, &nonce);
            let batch = batch.filter(|batch| batch.number == number && offset + batch.extent() <= length);
            let Some(batch) = batch else { break };
            let body = offset + BATCH_HEADER_BYTES as u64;
            self.body(body..body + u64::from(batch.length))?;
            offset += batch.extent();
            number = batch.next_number();
        }
        if (number, self.block) != (next.chain.next_batch, next.chain.next_block) {
            let expected = next.chain.next_batch;
            let what = format!("batch {number} cannot be read, the next segment begins with batch {expected}");
            return Err(file.damage(offset, what).into());
        }
        Ok(self.staged)
    }

    fn body(&mut self, body: Range<u64>) -> Result<(), ReadError> {
        let mut at = body.start;
        while at < body.end {
            let known = self.places.get(self.place).copied().filter(|(offset, _)| u64::from(*offset) == at);
            if let Some((_, is_head)) = known {
                self.place += 1;
                self.block += u64::from(is_head);
                let next = self.places.get(self.place).map_or(body.end, |(next, _)| body.end.min(u64::from(*next)));
                if next.saturating_sub(at) < STAGED_BYTES_MIN {
                    at = next;
                    continue;
                }
            }
            let (kind, length) = self.frames.kind_at(at)?;
            match kind {
                _ if known.is_some() => {}
                FrameKind::Dictionary => {}
                FrameKind::Staged => {
                    self.staged.entry(self.block).or_default().insert(at as u32);
                }
                _ => return Err(self.segment.file.damage(at, "no offset leads to this frame").into()),
            }
            at += length as u64;
        }
        match at == body.end {
            true => Ok(()),
            false => Err(self.segment.file.damage(at, "a frame ends behind its batch").into()),
        }
    }
}
