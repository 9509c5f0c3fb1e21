//! Packing (docs/format.md, "Packed segments"): a full segment whose batches are mostly filler is written again without it.
//!
//! A batch begins at a page of its own, so that a page which holds acknowledged bytes is never written again. When few
//! write at a time, most of such a page is zeros. Once its segment is full nobody writes to it any more: the bodies of
//! batches that stood behind each other become the body of one. No byte of a frame changes.
//!
//! The new file is whole, synced, and read back before it takes the old one's name, which is one step for the file
//! system: a crash leaves the one or the other. Derived state names positions, not places, and does not notice.

use std::path::Path;

use crate::batch::{BATCH_HEADER_BYTES, BatchHeader, begin_batch, finish_merged};
use crate::env::{OpenMode, breathe, read_exact_at, write_all_at};
use crate::error::{FileError, ReadError};
use crate::ledger::Ledger;
use crate::offsets::{self, Index};
use crate::reader::Journal;
use crate::redaction::{REDACTION_FILE, new_path, rename_new, sync_journal};
use crate::scan::{Scanned, SegmentFile};
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
        let headers = journal.headers();
        let scanned = old.scan(&headers)?;
        let next = headers.get(number as usize + 1).map(|header| header.chain);
        must_end_at(&old, &scanned, next)?;
        if scanned.has_staged {
            return Ok(Packing::Left);
        }
        let path = new_path(&journal.dir, number);
        let packed = write(journal, &old, &path).and_then(|()| check(journal, &old, &scanned, &path));
        let (new, index) = match packed {
            Ok(new) => new,
            Err(error) => {
                // If this fails too, the next start removes it.
                let _ = journal.env.storage.remove_file(&path);
                return Err(error);
            }
        };
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

/// Writes the packed segment.
fn write(journal: &Journal, old: &SegmentFile, path: &Path) -> Result<(), ReadError> {
    let storage = &*journal.env.storage;
    let failed = |action| move |source| FileError { path: path.to_owned(), action, source };
    let file = storage.open(path, OpenMode::Create).map_err(failed("make it"))?;
    file.set_len(0).map_err(failed("make it"))?;
    let nonce = journal.env.rng.bytes16();
    let (mut from, mut to) = (PAGE_BYTES, PAGE_BYTES);
    let mut next = old.header.chain.next_batch;
    let mut first: Option<BatchHeader> = None;
    let mut batch = Vec::new();
    loop {
        let read = old.batch(from, next)?.ok();
        let full = read.as_ref().is_none_or(|(header, _)| batch.len() + header.length as usize > BODY_BYTES_SOFT);
        if let Some(begun) = first.filter(|_| full) {
            let merged = (next - begun.number - 1) as u32;
            finish_merged(&mut batch, &nonce, begun.number, merged, begun.first_position);
            write_all_at(&*file, &batch, to).map_err(failed("write it"))?;
            to += batch.len() as u64;
            first = None;
        }
        let Some((header, bytes)) = read else { break };
        if first.is_none() {
            begin_batch(&mut batch);
            first = Some(header);
        }
        batch.extend_from_slice(body(&header, &bytes));
        breathe();
        (from, next) = (from + header.extent(), header.next_number());
    }
    // The header comes last: what has none is no segment.
    let header = SegmentHeader { nonce, length: to, packed: true, ..old.header };
    write_all_at(&*file, &header.encode(), 0).map_err(failed("write it"))?;
    Ok(file.sync_data().map_err(failed("sync it"))?)
}

/// Reads the new file back: it must hold the same bodies, one behind the other, and lead to where the old one led.
fn check(
    journal: &Journal,
    old: &SegmentFile,
    scanned: &Scanned,
    path: &Path,
) -> Result<(SegmentFile, Index), ReadError> {
    let new = SegmentFile::open_at(&*journal.env.storage, path.to_owned(), old.header.number, OpenMode::Read)?;
    let differs = |at| ReadError::from(new.damage(at, "what was written while packing is read back otherwise"));
    let again = new.scan(&journal.headers())?;
    if again.chain != scanned.chain || again.end != new.header.length {
        return Err(differs(again.end));
    }
    let (mut from, mut number) = (PAGE_BYTES, old.header.chain.next_batch);
    let (mut offset, mut next) = (PAGE_BYTES, number);
    while let Ok((header, bytes)) = new.batch(offset, next)? {
        let mut rest = body(&header, &bytes);
        next = header.next_number();
        while number < next {
            let Ok((one, bytes)) = old.batch(from, number)? else { return Err(differs(offset)) };
            rest = rest.strip_prefix(body(&one, &bytes)).ok_or_else(|| differs(offset))?;
            (from, number) = (from + one.extent(), one.next_number());
            breathe();
        }
        if !rest.is_empty() {
            return Err(differs(offset));
        }
        offset += header.extent();
    }
    if next == scanned.chain.next_batch { Ok((new, again.index)) } else { Err(differs(offset)) }
}

fn body<'a>(header: &BatchHeader, bytes: &'a [u8]) -> &'a [u8] {
    bytes.get(BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + header.length as usize).unwrap_or_default()
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
