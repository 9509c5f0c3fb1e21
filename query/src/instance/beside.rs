//! Small files beside a ledger's directory, `<data>/<name>.<what>`: an Ion value as text each, written whole under another
//! name, synced and renamed. They are no part of the ledger: nothing in them is proved, and backups do not hold them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ledgerstone_digest::ion::{Limits, Value, parse, to_text};
use ledgerstone_journal::env::{read_file, write_whole};

use super::{Instance, io_error};
use crate::error::{QueryError, Result, SqlState};

/// The longest file that is read, and written.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What such a file is about.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    /// What its name ends with.
    pub what: &'static str,
    /// What to do if it cannot be read.
    pub mend: &'static str,
}

impl Instance {
    /// `read` says what is wrong with a value that is not what it should be. `None`: there is no file.
    pub(super) fn read_beside<T>(
        &self,
        ledger: &str,
        beside: Beside,
        read: impl FnOnce(&Value) -> std::result::Result<T, &'static str>,
    ) -> Result<Option<T>> {
        let path = self.path_beside(ledger, beside);
        let damaged = |what: &str| {
            QueryError::new(SqlState::DATA_CORRUPTED, format!("{} {what}", path.display())).hint(beside.mend)
        };
        let bytes = match read_file(&*self.options.env.storage, &path, FILE_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(damaged("is too long")),
            read => read.map_err(|e| io_error("read", &path, e))?,
        };
        let text = String::from_utf8(bytes).map_err(|_| damaged("is not text"))?;
        let value = parse(&text, &Limits::DOCUMENT).map_err(|_| damaged("is not an Ion value"))?;
        read(&value).map(Some).map_err(damaged)
    }

    /// Durable when this returns.
    pub(super) fn write_beside(&self, ledger: &str, beside: Beside, value: &Value) -> Result<()> {
        let storage = &self.options.env.storage;
        let path = self.path_beside(ledger, beside);
        let next = self.options.data.join(format!(".{ledger}.{}.tmp", beside.what));
        let text = format!("{}\n", to_text(value));
        if text.len() as u64 > FILE_BYTES_MAX {
            let what = format!("{} would be longer than {} MiB", path.display(), FILE_BYTES_MAX >> 20);
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, what));
        }
        write_whole(&**storage, &next, text.as_bytes()).map_err(|e| io_error("write", &next, e))?;
        storage.rename(&next, &path).map_err(|e| io_error("rename", &next, e))?;
        self.sync_data_directory()
    }

    /// That of a ledger that is gone, or of one that was not made after all. Durable with the directory.
    pub(super) fn remove_beside(&self, ledger: &str, beside: Beside) -> Result<()> {
        let (storage, path) = (&self.options.env.storage, self.path_beside(ledger, beside));
        if storage.exists(&path) {
            storage.remove_file(&path).map_err(|e| io_error("remove", &path, e))?;
        }
        Ok(())
    }

    fn path_beside(&self, ledger: &str, beside: Beside) -> PathBuf {
        self.options.data.join(format!("{ledger}.{}", beside.what))
    }

    fn sync_data_directory(&self) -> Result<()> {
        let data: &Path = &self.options.data;
        self.options.env.storage.sync_dir(data).map_err(|e| io_error("sync", data, e))
    }
}
