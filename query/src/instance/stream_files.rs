//! What is kept of a ledger's journal streams: a small file for each in `<data>/<ledger>.streams`, written whole under another
//! name, synced and renamed. They are no part of the ledger and go with it; nothing of them is proved, and backups do not
//! hold them. What stands in them is for who sends the streams to know.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::{EntryKind, read_file, write_whole};

use super::{Instance, io_error};
use crate::database::Database;
use crate::error::{QueryError, Result, SqlState};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Instance {
    /// Every file by its name, in the order of the names. One that cannot be read does not hide the others.
    pub fn stream_files(&self, ledger: &str) -> Result<Vec<(String, Result<Vec<u8>>)>> {
        let (storage, dir) = (&self.options.env.storage, self.streams_path(ledger));
        if !storage.exists(&dir) {
            return Ok(Vec::new());
        }
        let entries = storage.read_dir(&dir).map_err(|e| io_error("list", &dir, e))?;
        // What begins with a dot was not finished.
        let files = entries.into_iter().filter(|e| e.kind == EntryKind::File && !e.name.starts_with('.'));
        let read = |name: &str| {
            let path = dir.join(name);
            read_file(&**storage, &path, FILE_BYTES_MAX).map_err(|e| io_error("read", &path, e))
        };
        Ok(files.map(|entry| (read(&entry.name), entry.name)).map(|(bytes, name)| (name, bytes)).collect())
    }

    /// Writes the file of a stream, unless its ledger was dropped or closed (3D000); durable when this returns.
    pub fn write_stream_file(&self, database: &Arc<Database>, stream: Id, bytes: &[u8]) -> Result<()> {
        let _streams = self.hold_streams();
        if !self.is_open(database) {
            let what = format!("ledger \"{}\" was dropped or closed", database.name());
            return Err(QueryError::new(SqlState::INVALID_CATALOG_NAME, what));
        }
        let (storage, dir) = (&self.options.env.storage, self.streams_path(database.name()));
        if !storage.exists(&dir) {
            storage.create_dir_all(&dir).map_err(|e| io_error("make", &dir, e))?;
            storage.sync_dir(&self.options.data).map_err(|e| io_error("sync", &self.options.data, e))?;
        }
        let (path, next) = (dir.join(stream.to_string()), dir.join(format!(".{stream}.tmp")));
        write_whole(&**storage, &next, bytes).map_err(|e| io_error("write", &next, e))?;
        storage.rename(&next, &path).map_err(|e| io_error("rename", &next, e))?;
        storage.sync_dir(&dir).map_err(|e| io_error("sync", &dir, e))
    }

    /// Removes the file of a stream that is not shown any more. It may come back after a power failure.
    pub fn remove_stream_file(&self, database: &Arc<Database>, stream: Id) -> Result<()> {
        let _streams = self.hold_streams();
        let (storage, path) = (&self.options.env.storage, self.streams_path(database.name()).join(stream.to_string()));
        match storage.remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &path, error)),
            _ => Ok(()),
        }
    }

    /// Whether this is the open ledger of its name.
    pub fn is_open(&self, database: &Arc<Database>) -> bool {
        self.opened().get(&**database.name()).is_some_and(|open| Arc::ptr_eq(open, database))
    }

    /// No stream's file is written while this is held. Taken before `open`, which is not held while the disk is waited for.
    pub(super) fn hold_streams(&self) -> MutexGuard<'_, ()> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of a ledger that is gone, or of a name that one is to have.
    pub(super) fn remove_streams(&self, ledger: &str) -> Result<()> {
        let (storage, dir) = (&self.options.env.storage, self.streams_path(ledger));
        if storage.exists(&dir) {
            storage.remove_dir_all(&dir).map_err(|e| io_error("remove", &dir, e))?;
        }
        Ok(())
    }

    fn streams_path(&self, ledger: &str) -> PathBuf {
        self.options.data.join(format!("{ledger}.streams"))
    }
}
