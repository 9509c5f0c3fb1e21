//! Frames of a segment file by offset, read a window at a time. Every frame's checksum is compared; what is not a frame is
//! refused with file and offset.

use std::cell::Cell;

use crate::env::read_exact_at;
use crate::error::ReadError;
use crate::frame::{FRAME_HEAD_BYTES_MAX, Frame, FrameKind, frame_kind, frame_length, read_frame};
use crate::scan::SegmentFile;

/// What one read for a frame of unknown length fetches.
pub(crate) const FRAME_READ_BYTES: usize = 1024;
/// What one read fetches when a block is read whole.
pub(crate) const WINDOW_BYTES: usize = 256 << 10;
/// No frame is longer; refused before anything is allocated for it.
const FRAME_BYTES_MAX: usize = crate::batch::BATCH_BYTES_MAX;

/// Longer windows are not kept for the next reader.
const KEPT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// The window of the reader before, since most read one or two frames.
    static WINDOW: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads frames of one file, a window at a time.
pub(crate) struct Frames<'a> {
    segment: &'a SegmentFile,
    start: u64,
    /// The first `filled` bytes are the file's from `start` on.
    window: Vec<u8>,
    filled: usize,
    /// What one read fetches.
    pub read_bytes: usize,
}

impl<'a> Frames<'a> {
    pub fn new(segment: &'a SegmentFile, read_bytes: usize) -> Self {
        Frames { segment, start: 0, window: WINDOW.take(), filled: 0, read_bytes }
    }

    /// The frame at this offset.
    pub fn at(&mut self, offset: u64) -> Result<Frame<'_>, ReadError> {
        self.ensure(offset, FRAME_HEAD_BYTES_MAX)?;
        let length = self.length_at(offset)?;
        self.ensure(offset, length)?;
        self.read_at(offset, length)
    }

    /// What the frame at this offset says of its kind and its length. It is not read, so neither is compared with its
    /// checksum.
    pub fn kind_at(&mut self, offset: u64) -> Result<(FrameKind, usize), ReadError> {
        self.ensure(offset, FRAME_HEAD_BYTES_MAX)?;
        let length = self.length_at(offset)?;
        let kind = frame_kind(self.from(offset).first().copied().unwrap_or_default());
        Ok((kind.map_err(|e| self.segment.damage(offset, e.0))?, length))
    }

    /// Two frames, the second of which stands a little behind the first, by one read if the second reaches no further than that.
    pub fn pair(&mut self, first: u64, (second, reach): (u64, usize)) -> Result<(Frame<'_>, Frame<'_>), ReadError> {
        let between = second.saturating_sub(first) as usize;
        self.ensure(first, between + reach)?;
        let length = self.length_at(second)?;
        // Of the first one as well: what is no frame there may claim any length.
        let first_length = self.length_at(first)?;
        self.ensure(first, first_length.max(between + length))?;
        Ok((self.read_at(first, first_length)?, self.read_at(second, length)?))
    }

    /// The length of the frame at this offset, whose beginning is in the window.
    fn length_at(&self, offset: u64) -> Result<usize, ReadError> {
        let head = self.from(offset);
        let length = frame_length(head.get(..FRAME_HEAD_BYTES_MAX).unwrap_or(head))
            .map_err(|e| self.segment.damage(offset, e.0))?;
        match length <= FRAME_BYTES_MAX {
            true => Ok(length),
            false => Err(self.segment.damage(offset, format!("a frame of {length} bytes is too long")).into()),
        }
    }

    /// The frame at this offset, which is in the window.
    fn read_at(&self, offset: u64, length: usize) -> Result<Frame<'_>, ReadError> {
        let bytes = self.from(offset);
        read_frame(bytes.get(..length).unwrap_or(bytes)).map_err(|e| self.segment.damage(offset, e.0).into())
    }

    /// The whole bytes of the frame at this offset.
    pub fn bytes_at(&mut self, offset: u64) -> Result<Vec<u8>, ReadError> {
        let length = self.at(offset)?.length;
        Ok(self.from(offset).get(..length).unwrap_or_default().to_vec())
    }

    /// What the window has from an offset on that is in it.
    fn from(&self, offset: u64) -> &[u8] {
        self.window.get((offset - self.start) as usize..self.filled).unwrap_or_default()
    }

    /// Makes the window hold `length` bytes from `offset` on, or as many as the file has.
    fn ensure(&mut self, offset: u64, length: usize) -> Result<(), ReadError> {
        let end = self.start + self.filled as u64;
        if offset >= self.start && offset + length as u64 <= end {
            return Ok(());
        }
        let file_left = self.segment.header.length.saturating_sub(offset);
        let wanted = (length.max(self.read_bytes) as u64).min(file_left) as usize;
        if offset >= self.start && offset + wanted as u64 <= end {
            return Ok(());
        }
        if wanted > self.window.len() {
            self.window.resize(wanted, 0);
        }
        // Nothing is there if it cannot be read.
        self.filled = 0;
        let window = self.window.get_mut(..wanted).unwrap_or_default();
        read_exact_at(&*self.segment.file, window, offset).map_err(|e| self.segment.file_error("read it", e))?;
        (self.start, self.filled) = (offset, wanted);
        Ok(())
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        if self.window.len() <= KEPT_BYTES_MAX {
            WINDOW.set(std::mem::take(&mut self.window));
        }
    }
}
