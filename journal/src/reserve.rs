//! The reserve: room on the disk that a full disk cannot take (docs/operations.md, "When the disk is full").
//!
//! A ledger that is open keeps a file of zeros beside its journal. When there is no room for the last checkpoint or the
//! tree's files as it closes, the file is removed and they are written again, so that even then the ledger ends in order
//! with everything acknowledged under a signed checkpoint. The next start takes the room again if there is some. Nothing
//! is ever read from it, and without it the ledger works.

use std::io;
use std::path::Path;

use crate::env::{OpenMode, Storage};

/// The reserve inside a ledger's directory.
pub const RESERVE_FILE: &str = "reserve";
/// Enough for both checkpoint slots and the hashes of 30,000 leaves on any file system.
const RESERVE_BYTES: u64 = 1 << 20;

/// Takes the room, or says in the log that there is none.
pub(crate) fn take(storage: &dyn Storage, ledger_dir: &Path) {
    let path = ledger_dir.join(RESERVE_FILE);
    let taken = || -> io::Result<()> {
        let file = storage.open(&path, OpenMode::Create)?;
        if file.len()? == RESERVE_BYTES {
            return Ok(());
        }
        file.allocate(RESERVE_BYTES)
    };
    if let Err(error) = taken() {
        tracing::warn!(path = %path.display(), %error, "there is no room for the reserve; make room on the disk");
        // A part of it would only look like one.
        let _ = storage.remove_file(&path);
    }
}

/// Gives the room back. False if there was none.
pub(crate) fn release(storage: &dyn Storage, ledger_dir: &Path) -> bool {
    let path = ledger_dir.join(RESERVE_FILE);
    let released = storage.remove_file(&path).is_ok();
    if released {
        tracing::warn!(path = %path.display(), "the disk is full: the reserve was given up to close the ledger in order");
    }
    released
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MemoryStorage;

    #[test]
    fn the_reserve_is_taken_once_and_released_once() {
        let storage = MemoryStorage::default();
        let dir = Path::new("ledger");
        storage.create_dir_all(dir).unwrap();
        take(&storage, dir);
        take(&storage, dir);
        assert_eq!(storage.open(&dir.join(RESERVE_FILE), OpenMode::Read).unwrap().len().unwrap(), RESERVE_BYTES);
        assert!(release(&storage, dir));
        assert!(!release(&storage, dir));
        assert!(!storage.exists(&dir.join(RESERVE_FILE)));
    }
}
