//! The journal of a ledger that nobody has open, to be read and compared with what was derived from it. Nothing is written,
//! and no key is needed; whether it is what was signed says [`crate::verify`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use ledgerstone_digest::{Hash, Id};

use crate::env::{Env, Lock};
use crate::error::{FileError, OpenError, ReadError};
use crate::reader::{Journal, Segment};
use crate::recovery::{self, LOCK_FILE};
use crate::redaction::REDACTION_FILE;
use crate::segment::JOURNAL_DIR;

/// The journal up to its last whole batch, and the directory locked while it is read.
pub struct ClosedJournal {
    journal: Journal,
    ledger: Id,
    end: u64,
    dir: PathBuf,
    _lock: Option<Box<dyn Lock>>,
}

impl ClosedJournal {
    /// Scans the last segment; the others are opened when they are needed.
    pub fn open(env: &Env, dir: &Path) -> Result<ClosedJournal, OpenError> {
        let storage = &*env.storage;
        let lock_path = dir.join(LOCK_FILE);
        let lock = match storage.exists(&lock_path).then(|| storage.lock(&lock_path)) {
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked(dir.to_owned()));
            }
            // What cannot be locked for another reason, such as a copy on a read-only disk, has no server either.
            lock => lock.and_then(Result::ok),
        };
        let mut segments = recovery::segments(env, dir)?;
        let genesis = recovery::read_genesis(&segments)?;
        let headers = segments.iter().map(|segment| segment.header).collect();
        let Some(last) = segments.pop() else {
            return Err(OpenError::NoLedger { path: dir.to_owned(), missing: JOURNAL_DIR });
        };
        let scanned = last.scan()?;
        let (ledger, end) = (genesis.ledger, scanned.chain.next_position);
        let active = Segment { file: last, index: RwLock::new(scanned.index) };
        let journal = Journal::new(env.clone(), dir, genesis, headers, active).writing_nothing();
        Ok(ClosedJournal { journal, ledger, end, dir: dir.to_owned(), _lock: lock })
    }

    /// The ledger's id, as its genesis says.
    pub fn ledger_id(&self) -> Id {
        self.ledger
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
        self.journal.revisions_between(from, to, each)
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
