//! Packing (docs/format.md, "Packed segments"): a full segment whose batches are mostly filler is written again without it.
//!
//! A batch begins at a page of its own, so that a page which holds acknowledged bytes is never written again. When few
//! write at a time, most of such a page is zeros. Once its segment is full nobody writes to it any more: the bodies of
//! batches that stood behind each other become the body of one. No byte of a frame changes.
//!
//! The new file is whole, synced, and read back before it takes the old one's name, which is one step for the file
//! system: a crash leaves the one or the other. Derived state names positions, not places, and does not notice.

use std::path::Path;
use std::sync::Arc;

use crate::batch::{BATCH_HEADER_BYTES, BatchHeader, begin_batch, finish_merged};
use crate::env::{File, OpenMode, breathe, read_exact_at, write_all_at};
use crate::error::{FileError, ReadError};
use crate::ledger::Ledger;
use crate::offsets::{self, Index};
use crate::reader::Journal;
use crate::redaction::{REDACTION_FILE, new_path, rename_new, sync_journal};
use crate::scan::{ScanError, Scanned, SegmentFile};
use crate::segment::{Chain, PAGE_BYTES, SegmentHeader};

/// Bodies are merged until they have reached this.
const BODY_BYTES_SOFT: usize = 1 << 20;
/// A segment is left as it is unless this part of it goes: one in so many bytes.
const WORTH_ONE_IN: u64 = 8;

/// What packing a segment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// It is shorter now.
    Packed {
        /// Bytes of the file before.
        bytes_before: u64,
        /// Bytes of the file now.
        bytes_after: u64,
    },
    /// It was packed before, too little would go, it holds frames whose place another segment names, or a redaction is not
    /// carried out yet.
    Left,
}

impl Ledger {
    /// Packs a segment that nobody writes to any more, if that is worth it. Redactions and backups wait meanwhile; readers and
    /// writers do not. A segment that is damaged stays as it is and is the error.
    pub fn pack(&self, number: u64) -> Result<Packing, ReadError> {
        let _still = self.hold_redactions();
        let Some(_held) = self.hold_directory() else { return Ok(Packing::Left) };
        let end = self.sealed_segments();
        if number >= end {
            return Err(ReadError::Beyond { what: "sealed segment", number, end });
        }
        let journal = &self.journal;
        // What a redaction has written and not renamed yet has the names that would be written to here.
        if journal.env.storage.exists(&journal.dir.join(REDACTION_FILE)) {
            return Ok(Packing::Left);
        }
        let old = SegmentFile::open(&*journal.env.storage, &journal.dir, number, OpenMode::Read)?;
        if old.header.packed || filler(&old)? < old.header.length / WORTH_ONE_IN {
            return Ok(Packing::Left);
        }
        let path = new_path(&journal.dir, number);
        let packed = rewrite(journal, &old, &path);
        if !matches!(packed, Ok(Some(_))) {
            // If this fails too, the next start removes it.
            let _ = journal.env.storage.remove_file(&path);
        }
        let Some((new, index)) = packed? else { return Ok(Packing::Left) };
        take_its_place(journal, &new, &index)?;
        Ok(Packing::Packed { bytes_before: old.header.length, bytes_after: new.header.length })
    }
}

/// Bytes of a segment that are neither headers nor bodies. Reads no more than the headers.
fn filler(segment: &SegmentFile) -> Result<u64, ReadError> {
    let mut head = [0; BATCH_HEADER_BYTES];
    let (mut offset, mut used) = (PAGE_BYTES, PAGE_BYTES);
    while offset + PAGE_BYTES <= segment.header.length {
        read_exact_at(&*segment.file, &mut head, offset).map_err(|e| segment.file_error("read it", e))?;
        let Some(header) = BatchHeader::decode(&head, &segment.header.nonce) else { break };
        used += BATCH_HEADER_BYTES as u64 + u64::from(header.length);
        offset += header.extent();
    }
    Ok(segment.header.length.saturating_sub(used))
}

/// A segment that is damaged ends early; what took its place would lack the rest.
fn must_end_at(segment: &SegmentFile, scanned: &Scanned, next: Option<Chain>) -> Result<(), ReadError> {
    let of = |chain: &Chain| (chain.next_batch, chain.next_position, chain.next_block, chain.block_hash);
    match next.is_some_and(|next| of(&next) == of(&scanned.chain)) {
        true => Ok(()),
        false => Err(segment.damage(scanned.end, "the segment does not lead to the next one").into()),
    }
}

/// Writes the packed segment under a name of its own while the old one is read, and reads it back; nothing for a segment that
/// must stay as it is.
fn rewrite(journal: &Journal, old: &SegmentFile, path: &Path) -> Result<Option<(SegmentFile, Index)>, ReadError> {
    let headers = journal.headers();
    let mut new = Rewriting::begin(journal, old, path)?;
    let scanned = old.scan_each(&headers, |offset, header, body| new.batch(offset, header, body))?;
    let next = headers.get(old.header.number as usize + 1).map(|header| header.chain);
    must_end_at(old, &scanned, next)?;
    if scanned.has_staged {
        return Ok(None);
    }
    let bodies = new.end()?;
    check(journal, old, &scanned, &bodies, path).map(Some)
}

/// Where the body of a batch stands in its file.
struct Body {
    offset: u64,
    length: usize,
}

/// The packed segment as it is written.
struct Rewriting<'a> {
    old: &'a SegmentFile,
    path: &'a Path,
    file: Arc<dyn File>,
    nonce: [u8; 16],
    /// Where the next batch goes.
    to: u64,
    /// The batch that is not written yet: its header's first fields are those of the first that was merged into it.
    first: Option<BatchHeader>,
    next: u64,
    batch: Vec<u8>,
    /// Those in the old file.
    bodies: Vec<Body>,
}

impl<'a> Rewriting<'a> {
    fn begin(journal: &Journal, old: &'a SegmentFile, path: &'a Path) -> Result<Rewriting<'a>, ReadError> {
        let failed = |source| FileError { path: path.to_owned(), action: "make it", source };
        let file = journal.env.storage.open(path, OpenMode::Create).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        let (nonce, next) = (journal.env.rng.bytes16(), old.header.chain.next_batch);
        let (batch, bodies) = (Vec::new(), Vec::new());
        Ok(Rewriting { old, path, file, nonce, to: PAGE_BYTES, first: None, next, batch, bodies })
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> ScanError {
        FileError { path: self.path.to_owned(), action, source }.into()
    }

    /// The next one of the old file.
    fn batch(&mut self, offset: u64, header: &BatchHeader, body: &[u8]) -> Result<(), ScanError> {
        if self.batch.len() + body.len() > BODY_BYTES_SOFT {
            self.flush()?;
        }
        if self.first.is_none() {
            begin_batch(&mut self.batch);
            self.first = Some(*header);
        }
        self.batch.extend_from_slice(body);
        self.bodies.push(Body { offset: offset + BATCH_HEADER_BYTES as u64, length: body.len() });
        self.next = header.next_number();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ScanError> {
        let Some(first) = self.first.take() else { return Ok(()) };
        let merged = (self.next - first.number - 1) as u32;
        finish_merged(&mut self.batch, &self.nonce, first.number, merged, first.first_position);
        write_all_at(&*self.file, &self.batch, self.to).map_err(|e| self.failed("write it", e))?;
        self.to += self.batch.len() as u64;
        Ok(())
    }

    /// Makes it whole and durable. The header comes last: what has none is no segment.
    fn end(mut self) -> Result<Vec<Body>, ScanError> {
        self.flush()?;
        let header = SegmentHeader { nonce: self.nonce, length: self.to, packed: true, ..self.old.header };
        write_all_at(&*self.file, &header.encode(), 0).map_err(|e| self.failed("write it", e))?;
        self.file.sync_data().map_err(|e| self.failed("sync it", e))?;
        Ok(self.bodies)
    }
}

/// Reads the new file back: it must hold the bodies that the old one holds, one behind the other, and lead to where that led.
fn check(
    journal: &Journal,
    old: &SegmentFile,
    scanned: &Scanned,
    bodies: &[Body],
    path: &Path,
) -> Result<(SegmentFile, Index), ReadError> {
    let new = SegmentFile::open_at(&*journal.env.storage, path.to_owned(), old.header.number, OpenMode::Read)?;
    let differs = |at| new.damage(at, "what was written while packing is read back otherwise");
    let (mut left, mut bytes) = (bodies.iter(), Vec::new());
    let again = new.scan_each(&journal.headers(), |offset, _, body| {
        let mut rest = body;
        while !rest.is_empty() {
            let Some(body) = left.next() else { return Err(differs(offset).into()) };
            bytes.resize(body.length, 0);
            read_exact_at(&*old.file, &mut bytes, body.offset).map_err(|e| old.file_error("read it", e))?;
            rest = rest.strip_prefix(&bytes[..]).ok_or_else(|| differs(offset))?;
            breathe();
        }
        Ok(())
    })?;
    match again.chain == scanned.chain && again.end == new.header.length && left.all(|body| body.length == 0) {
        true => Ok((new, again.index)),
        false => Err(differs(again.end).into()),
    }
}

fn take_its_place(journal: &Journal, new: &SegmentFile, index: &Index) -> Result<(), ReadError> {
    let (storage, dir, number) = (&*journal.env.storage, &journal.dir, new.header.number);
    let known = (new.header_hash, index.clone());
    journal.replace(&[number], Some(known), || Ok::<(), ReadError>(rename_new(storage, dir, number)?))?;
    sync_journal(storage, dir)?;
    // Offsets of the old file are not believed: they name its header. They would only be told as out of date.
    if let Err(error) = offsets::store(storage, dir, number, &new.header_hash, index) {
        let _ = storage.remove_file(&offsets::offsets_path(dir, number));
        tracing::warn!(segment = number, %error, "the offset file was not written");
    }
    Ok(())
}
