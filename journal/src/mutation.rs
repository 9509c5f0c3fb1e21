//! Defects that a test can switch on, one at a time and in its own thread, to see that the simulator notices them.
//!
//! In a build without debug assertions none can be switched on, and the places that ask are nothing at all.

use crate::env::{OpenMode, Storage};
use crate::error::OpenError;
use crate::scan::SegmentFile;
use crate::segment::PAGE_BYTES;
use crate::writer::zero;

/// A mistake that somebody might make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Commits are answered and published when they are written, and only then synced.
    AcknowledgeBeforeSync,
    /// A batch is believed by its header; its hash is not compared.
    SkipHash,
    /// Batches are not synced.
    SkipSync,
    /// Recovery cuts the last batch although it is whole.
    CutSyncedBatch,
    /// Rows and catalogue take a block in before it is durable.
    IndexBeforePublishing,
    /// The documents that a transaction read are not compared at its commit.
    ForgetRead,
    /// A checkpoint is signed for the size that was signed before.
    SignOlderHead,
    /// After a rotation the old key goes on signing.
    OldKeySignsOn,
}

/// All of them.
pub const ALL: [Mutation; 8] = [
    Mutation::AcknowledgeBeforeSync,
    Mutation::SkipHash,
    Mutation::SkipSync,
    Mutation::CutSyncedBatch,
    Mutation::IndexBeforePublishing,
    Mutation::ForgetRead,
    Mutation::SignOlderHead,
    Mutation::OldKeySignsOn,
];

/// What [`Mutation::CutSyncedBatch`] takes for torn.
pub(crate) fn cut_last_batch(storage: &dyn Storage, last: &SegmentFile) -> Result<(), OpenError> {
    let (mut offset, mut number, mut start) = (PAGE_BYTES, last.header.chain.next_batch, None);
    while let Ok((header, _)) = last.batch(offset, number)? {
        start = (number > 0).then_some(offset);
        offset += header.extent();
        number = header.next_number();
    }
    let Some(start) = start else { return Ok(()) };
    let file = storage.open(&last.path, OpenMode::Write).map_err(|e| last.file_error("open it for writing", e))?;
    zero(&*file, start, offset).map_err(|e| last.file_error("zero its end", e).into())
}

#[cfg(debug_assertions)]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ON: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Runs `work` with a defect, in this thread.
    pub fn with<T>(mutation: Mutation, work: impl FnOnce() -> T) -> T {
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                ON.set(None);
            }
        }
        let _off = Off;
        ON.set(Some(mutation));
        work()
    }

    pub fn is_on(mutation: Mutation) -> bool {
        ON.get() == Some(mutation)
    }
}

#[cfg(debug_assertions)]
pub use switch::{is_on, with};

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn is_on(_: Mutation) -> bool {
    false
}
