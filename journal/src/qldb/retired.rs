//! A ledger whose key is lost: it can be read and verified, but nothing signs it any more. Its blocks can begin a new ledger,
//! whose genesis names its last checkpoint (docs/operations.md, "Keys").

use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::qldb::JournalBlock;

use super::journal_block;
use super::source::{BlockSource, ExportError, ReadSoFar};
use crate::checkpoint::Recorded;
use crate::derive::BlockHasher;
use crate::env::{Env, Lock};
use crate::error::{OpenError, ReadError};
use crate::reader::Journal;
use crate::recovery;

/// A ledger that nobody has open, read without its key. Verify the directory first: nothing but checksums is looked at here.
pub struct RetiredLedger {
    journal: Journal,
    /// How many blocks are in it.
    blocks: u64,
    checkpoint: Arc<str>,
    _lock: Box<dyn Lock>,
}

impl RetiredLedger {
    /// Opens it to be read. What stands behind the last whole batch was never acknowledged and is left aside.
    pub fn open(env: &Env, dir: &Path) -> Result<RetiredLedger, OpenError> {
        let storage = &*env.storage;
        let lock = recovery::lock(storage, dir)?;
        let recorded = Recorded::read(storage, dir)
            .map_err(|error| OpenError::Checkpoint(error.to_string()))?
            .unverified()
            .clone();
        let (journal, chain) = recovery::closed(env, dir)?;
        let (end, recorded_size) = (chain.next_position, recorded.checkpoint.size);
        if end < recorded_size {
            return Err(OpenError::BehindCheckpoint { path: dir.to_path_buf(), end, recorded: recorded_size });
        }
        Ok(RetiredLedger { journal, blocks: chain.next_block, checkpoint: recorded.note, _lock: lock })
    }

    fn block(&self, number: u64, hasher: &mut BlockHasher) -> Result<JournalBlock, ReadError> {
        let (block, derived) = self.journal.block(self.journal.block_position(number)?, hasher)?;
        Ok(journal_block(&block, &derived))
    }
}

impl BlockSource for RetiredLedger {
    fn all(&self) -> u64 {
        self.blocks
    }

    fn manifests(&self) -> Option<usize> {
        None
    }

    fn continues(&self) -> Option<&str> {
        Some(&self.checkpoint)
    }

    fn blocks(
        &self,
        each: &mut dyn FnMut(&str, JournalBlock, ReadSoFar) -> Result<(), ExportError>,
    ) -> Result<ReadSoFar, ExportError> {
        let name = self.journal.dir.display().to_string();
        let (mut hasher, mut so_far) = (BlockHasher::default(), ReadSoFar::default());
        for number in 0..self.blocks {
            let block = self.block(number, &mut hasher).map_err(|error| ExportError::Ledger(error.to_string()))?;
            each(&name, block, so_far)?;
            so_far.blocks += 1;
            so_far.done += 1;
        }
        Ok(so_far)
    }
}
