//! Frames of a segment file by offset, read a window at a time. Every frame's checksum is compared; what is not a frame is
//! refused with file and offset.

use crate::env::read_exact_at;
use crate::error::ReadError;
use crate::frame::{FRAME_HEAD_BYTES_MAX, Frame, frame_length, read_frame};
use crate::scan::SegmentFile;

/// What one read for a frame of unknown length fetches.
pub(crate) const FRAME_READ_BYTES: usize = 1024;
/// What one read fetches when a block is read whole.
pub(crate) const WINDOW_BYTES: usize = 256 << 10;
/// No frame is longer; refused before anything is allocated for it.
const FRAME_BYTES_MAX: usize = crate::batch::BATCH_BYTES_MAX;

/// Reads frames of one file, a window at a time.
pub(crate) struct Frames<'a> {
    segment: &'a SegmentFile,
    start: u64,
    window: Vec<u8>,
    /// What one read fetches.
    pub read_bytes: usize,
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

    /// The whole bytes of the frame at this offset.
    pub fn bytes_at(&mut self, offset: u64) -> Result<Vec<u8>, ReadError> {
        let length = self.at(offset)?.length;
        let bytes = self.window.get((offset - self.start) as usize..).and_then(|w| w.get(..length));
        Ok(bytes.unwrap_or_default().to_vec())
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
