//! Where in a damaged batch the damage is: which frame does not read, and which block it belongs to.

use crate::batch::{BATCH_HEADER_BYTES, BatchHeader};
use crate::env::read_exact_at;
use crate::frame::{FrameKind, read_frame};
use crate::scan::SegmentFile;
use crate::segment::PAGE_BYTES;

/// The first frame of a damaged batch that does not read, and the block it belongs to; the batch itself if its header
/// is hit.
pub(super) fn locate(file: &SegmentFile, at: u64, next_block: u64) -> (u64, u64) {
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
