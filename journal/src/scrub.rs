//! Scrubbing: sealed segments are read again from the disk and every batch is compared with its hash, while the ledger
//! is open, so that rot is found while a backup that has the bytes still exists.
//!
//! The notes with which keys handed over are read again too: like the journal they are derived from nothing.
//!
//! What the batches say is not derived again: that is what `ledgerstone verify DIR` does with a ledger that nobody has
//! open. The segment that is being written is left out; whoever signs reads it back anyway.

use crate::env::OpenMode;
use crate::error::ReadError;
use crate::ledger::Ledger;
use crate::rotation::check_notes;
use crate::scan::{SegmentFile, Tail};

impl Ledger {
    /// Segments that nobody writes to any more: the numbers below this one.
    pub fn sealed_segments(&self) -> u64 {
        self.journal.active().file.header.number
    }

    /// Reads a sealed segment again and checks it whole. Gives the bytes read. Redactions wait meanwhile.
    pub fn scrub(&self, number: u64) -> Result<u64, ReadError> {
        let _still = self.hold_redactions();
        let end = self.sealed_segments();
        if number >= end {
            return Err(ReadError::Beyond { what: "sealed segment", number, end });
        }
        let journal = &self.journal;
        let segment = SegmentFile::open(&*journal.env.storage, &journal.dir, number, OpenMode::Read)?;
        let headers = journal.headers();
        let scanned = segment.scan(&headers)?;
        if let Tail::Torn { what, .. } = segment.tail(scanned.end, scanned.chain.next_batch)? {
            return Err(segment.damage(scanned.end, what).into());
        }
        let next = headers.get(number as usize + 1).map(|header| header.chain.next_position);
        if next.is_some_and(|next| next != scanned.chain.next_position) {
            let what = format!(
                "the segment ends at position {}, the next one begins at {}",
                scanned.chain.next_position,
                next.unwrap_or_default()
            );
            return Err(segment.damage(scanned.end, what).into());
        }
        Ok(segment.header.length)
    }

    /// Reads the notes of the key's rotations again and checks each. Gives the bytes read. Rotations wait meanwhile.
    pub fn scrub_rotations(&self) -> Result<u64, ReadError> {
        let _still = self.hold_rotations();
        check_notes(&self.journal, &self.notary.chain())
    }
}
