//! Files and directories. The contract an implementation keeps:
//!
//! - bytes written are durable when [`File::sync_data`] returned, not before;
//! - a file's length after [`File::set_len`] or a write beyond the end is durable then too;
//! - a name (created, renamed, removed) is durable when [`Storage::sync_dir`] of its directory returned;
//! - a rename replaces an existing file at once: after a crash the name has the old file or the new one;
//! - a failed sync says nothing about what is on disk; calling it again proves nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; must exist.
    Read,
    /// For reading and writing; must exist.
    Write,
    /// For reading and writing; must not exist yet.
    CreateNew,
    /// For reading and writing; made if it does not exist, never cut.
    Create,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    /// A symbolic link, socket or device: never followed, never opened.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the directory.
    pub name: String,
    pub kind: EntryKind,
}

/// A file open for reading, or for reading and writing, from any thread.
pub trait File: Send + Sync {
    /// Reads at most `buffer.len()` bytes at `offset`; 0 at or behind the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at most `bytes.len()` bytes at `offset`, growing the file if needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file, or grows it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Reserves space for `length` bytes if the file system can; growing the file with zeros.
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
    fn len(&self) -> io::Result<u64>;
    /// True if the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes the bytes and the length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Forgets what the system keeps of the file in memory and has no more to write, so that what is read next comes
    /// from the disk: after a failed sync the two may differ, and later syncs say that all is well.
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Held until dropped, or until the process ends in whatever way.
pub trait Lock: Send + Sync {}

/// A file system.
pub trait Storage: Send + Sync {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// The entries of a directory in the order of their names.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the directory and those above it. Their names are durable after `sync_dir` of their parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Gives a file or directory a new name, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in this directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    fn exists(&self, path: &Path) -> bool;
    /// Takes the operating system's lock on this file, making the file if needed. `WouldBlock` if another holder,
    /// in this process or another, has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    /// The path as the system knows it, for error texts.
    fn display(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }
}

/// Fills `buffer` from `offset` on; `UnexpectedEof` if the file ends before.
pub fn read_exact_at(file: &dyn File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buffer = buffer.get_mut(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(at_offset(offset, e)),
        }
    }
    Ok(())
}

/// Makes a file of these bytes alone, durable but for its name.
pub fn write_whole(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = storage.open(path, OpenMode::Create)?;
    file.set_len(0)?;
    write_all_at(&*file, bytes, 0)?;
    file.sync_data()
}

/// Writes all of `bytes` at `offset`.
pub fn write_all_at(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(at_offset(offset, e)),
        }
    }
    Ok(())
}

/// The error with the offset at which it happened in front of it, its kind unchanged.
fn at_offset(offset: u64, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), AtOffset { offset, source: error })
}

/// What [`read_exact_at`] and [`write_all_at`] add to the system's error.
#[derive(Debug, thiserror::Error)]
#[error("offset {offset}: {source}")]
struct AtOffset {
    offset: u64,
    source: io::Error,
}

/// No room on the disk, or no right to more of it.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// What the operator can do about an error of the file system, as the end of a message; empty where the error says
/// enough by itself.
pub fn help_for(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<AtOffset>());
    let error = inner.map_or(error, |located| &located.source);
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => "; make room on the disk",
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            "; the file system is mounted read-only: the system's log says why, mount it writable again, then restart"
        }
        (io::ErrorKind::PermissionDenied, _) => "; it must belong to the user that the server runs as",
        (_, Some(EIO)) => {
            "; the disk failed: look at the system's log, keep a copy of what can be read, and run `ledgerstone verify \
             DIR` to see the extent"
        }
        (_, Some(EMFILE | ENFILE)) => "; raise the limit of open files (ulimit -n)",
        _ => "",
    }
}

const EIO: i32 = 5;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// The whole file, refused above `bytes_max` before anything is allocated.
pub fn read_file(storage: &dyn Storage, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = storage.open(path, OpenMode::Read)?;
    let length = file.len()?;
    if length > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} has {length} bytes; at most {bytes_max} are read", path.display()),
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}
