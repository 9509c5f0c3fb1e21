//! The journal of a ledger that nobody has open, to be read and compared with what was derived from it. Nothing is written,
//! and no key is needed; whether it is what was signed says [`crate::verify`].

use std::io;
use std::path::{Path, PathBuf};

use ledgerstone_digest::{Hash, Id};

use crate::env::{Env, Lock};
use crate::error::{FileError, OpenError, ReadError};
use crate::reader::Journal;
use crate::recovery;
use crate::redaction::REDACTION_FILE;

/// The journal up to its last whole batch, and the directory locked while it is read.
pub struct ClosedJournal {
    journal: Journal,
    end: u64,
    dir: PathBuf,
    _lock: Option<Box<dyn Lock>>,
}

impl ClosedJournal {
    /// Scans the last segment; the others are opened when they are needed.
    pub fn open(env: &Env, dir: &Path) -> Result<ClosedJournal, OpenError> {
        let lock = recovery::lock_to_read(&*env.storage, dir)?;
        let (journal, chain) = recovery::closed(env, dir)?;
        Ok(ClosedJournal {
            journal: journal.writing_nothing(),
            end: chain.next_position,
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// The ledger's id, as its genesis says.
    pub fn ledger_id(&self) -> Id {
        self.journal.genesis.ledger
    }

    /// The position behind its last block.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// H of the entry of the tree at a position before the end.
    pub fn leaf_hash(&self, position: u64) -> Result<Hash, ReadError> {
        self.within(position + 1)?;
        self.journal.leaf_entry_hash(position)
    }

    /// The revisions at positions from `from` on to before `to`, in order.
    pub fn revisions_between<E: From<ReadError>>(
        &self,
        from: u64,
        to: u64,
        each: &mut dyn FnMut(crate::StoredRevision) -> Result<(), E>,
    ) -> Result<(), E> {
        self.within(to)?;
        self.journal.revisions_between(from, to, &mut |_| None, each)
    }

    /// An error if a redaction was begun and is not carried out: the next start of the server does that.
    pub fn must_be_settled(&self) -> Result<(), FileError> {
        let path = self.dir.join(REDACTION_FILE);
        if !self.journal.env.storage.exists(&path) {
            return Ok(());
        }
        let source = io::Error::other("a redaction is under way; start the server, which finishes it");
        Err(FileError { path, action: "go on beside it", source })
    }

    fn within(&self, to: u64) -> Result<(), ReadError> {
        match to > self.end {
            true => Err(ReadError::Beyond { what: "position", number: to, end: self.end }),
            false => Ok(()),
        }
    }
}
