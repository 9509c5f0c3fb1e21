//! Taking a backup: the segments of an open ledger, read up to the batch that ends a signed checkpoint.
//!
//! Nothing waits for it but redactions: what is durable never changes otherwise, so writers go on behind it.

use std::sync::{Arc, MutexGuard};

use super::{BackupError, Head, Held};
use crate::batch::BatchHeader;
use crate::env::read_exact_at;
use crate::error::ReadError;
use crate::ledger::Ledger;
use crate::scan::SegmentFile;
use crate::segment::PAGE_BYTES;

/// How much is read and sent at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// A ledger as of a checkpoint, held until dropped.
pub struct Backup<'a> {
    head: Head,
    segments: Vec<Segment>,
    _no_redaction: MutexGuard<'a, ()>,
}

struct Segment {
    file: SegmentFile,
    used_bytes: u64,
}

/// What a backup consists of, in the order in which it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A segment begins; its bytes from `from` on follow. Those before are what the receiver has.
    Segment { held: Held, length: u64, from: u64 },
    /// The next bytes of the segment.
    Bytes(&'a [u8]),
}

impl Ledger {
    /// Signs a checkpoint of what is durable now and finds the end of its last batch. `held` says what the receiver has,
    /// so that nothing of that is looked at again.
    pub fn backup(&self, held: &[Held]) -> Result<Backup<'_>, BackupError> {
        let no_redaction = self.hold_redactions();
        let signed = self.checkpoint()?;
        let size = signed.checkpoint.size;
        let mut segments = Vec::new();
        for header in self.journal.headers() {
            // A later segment holds later leaves only.
            if header.number > 0 && header.chain.next_position >= size {
                break;
            }
            let segment = self.journal.segment(header.number)?;
            let file = segment.file.clone();
            let used_bytes = end_of_batches(&file, copied(&file, held).unwrap_or(PAGE_BYTES), size)?;
            segments.push(Segment { file, used_bytes });
        }
        let head = Head {
            ledger: self.ledger_id(),
            origin: self.origin().to_owned(),
            // A rotation may have come in between.
            vkey: self.keys().signer(&signed.note).map_or_else(|| self.vkey().to_string(), ToString::to_string),
            size,
            note: signed.note.to_string(),
            segments: segments.len() as u64,
            rotations: self.notary.handovers().into_iter().filter(|(from, _)| *from <= size).map(text).collect(),
        };
        Ok(Backup { head, segments, _no_redaction: no_redaction })
    }
}

fn text((size, note): (u64, Arc<str>)) -> (u64, String) {
    (size, note.to_string())
}

impl Backup<'_> {
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How many bytes will be sent to a receiver that has `held`.
    pub fn bytes_to_send(&self, held: &[Held]) -> u64 {
        self.segments.iter().map(|segment| segment.used_bytes - segment.from(held)).sum()
    }

    /// Hands out everything the receiver lacks, in order, until `each` fails.
    pub fn send(
        &self,
        held: &[Held],
        each: &mut dyn FnMut(Part<'_>) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let mut buffer = vec![0; CHUNK_BYTES as usize];
        for segment in &self.segments {
            let from = segment.from(held);
            if from == segment.used_bytes {
                continue;
            }
            each(Part::Segment { held: segment.held(), length: segment.file.header.length, from })?;
            let mut offset = from;
            while offset < segment.used_bytes {
                let chunk = &mut buffer[..CHUNK_BYTES.min(segment.used_bytes - offset) as usize];
                let file = &segment.file;
                read_exact_at(&*file.file, chunk, offset).map_err(|e| file.file_error("read it", e))?;
                each(Part::Bytes(chunk))?;
                offset += chunk.len() as u64;
            }
        }
        Ok(())
    }
}

impl Segment {
    fn held(&self) -> Held {
        Held { number: self.file.header.number, header_hash: self.file.header_hash, used_bytes: self.used_bytes }
    }

    /// Where the receiver's copy ends; 0 if it has none of this state of the segment.
    fn from(&self, held: &[Held]) -> u64 {
        copied(&self.file, held).filter(|used| *used <= self.used_bytes).unwrap_or(0)
    }
}

/// How far a receiver has this state of a segment.
fn copied(file: &SegmentFile, held: &[Held]) -> Option<u64> {
    let header = &file.header;
    let same = held.iter().find(|h| h.number == header.number && h.header_hash == file.header_hash)?;
    let used = same.used_bytes;
    (used.is_multiple_of(PAGE_BYTES) && (PAGE_BYTES..=header.length).contains(&used)).then_some(used)
}

/// Where the batches end that hold leaves before `size`, searched from the batch boundary `from` on.
fn end_of_batches(file: &SegmentFile, from: u64, size: u64) -> Result<u64, BackupError> {
    let mut page = vec![0; PAGE_BYTES as usize];
    let mut offset = from;
    while offset + PAGE_BYTES <= file.header.length {
        read_exact_at(&*file.file, &mut page, offset).map_err(|e| file.file_error("read it", e))?;
        match BatchHeader::decode(&page, &file.header.nonce) {
            // A batch that begins at the size or behind it holds none of its leaves.
            Some(header) if header.first_position < size => offset += header.extent(),
            _ => break,
        }
    }
    if offset > file.header.length {
        return Err(ReadError::from(file.damage(from, "a batch ends behind its segment")).into());
    }
    Ok(offset)
}
