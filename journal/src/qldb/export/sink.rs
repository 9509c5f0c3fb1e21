//! Where the objects of an export go: a few operations that any object store has, and a directory that has them.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::env::{EntryKind, OpenMode, Storage, help_for, is_full, read_exact_at, read_file, write_whole};

/// What is being written in a directory, under a name that no object has. There is one such name for each directory, so that
/// what was interrupted is written over.
const PARTIAL: &str = ".part";
/// Bytes that are compared at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A place for objects. An object appears whole or not at all.
pub trait ObjectSink {
    /// Writes an object, over one of this key if there is one. Durable when this returns.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), SinkError>;

    /// Whether there is an object of this key with exactly these bytes.
    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, SinkError>;

    /// The keys that begin like this and have no further slash, in any order.
    fn keys(&self, beginning: &str) -> Result<Vec<String>, SinkError>;

    /// An object; `None` if there is none. One that is longer is refused.
    fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, SinkError>;
}

/// What a sink could not do.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct SinkError {
    /// The file, or the object.
    pub place: String,
    pub what: String,
    /// Trying again does not help by itself.
    pub lasting: bool,
}

/// A directory, made when the first object is put there.
pub struct DirectorySink {
    storage: Arc<dyn Storage>,
    root: PathBuf,
}

impl DirectorySink {
    pub fn new(storage: Arc<dyn Storage>, root: &Path) -> DirectorySink {
        DirectorySink { storage, root: root.to_owned() }
    }

    fn path(&self, key: &str) -> Result<PathBuf, SinkError> {
        let path = Path::new(key);
        match !key.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_))) {
            true => Ok(self.root.join(path)),
            false => {
                Err(SinkError { place: key.to_owned(), what: "this is not a key of an object".into(), lasting: true })
            }
        }
    }

    /// Makes a directory below the root with those above it, their names durable.
    fn make(&self, directory: &Path) -> Result<(), SinkError> {
        if self.storage.exists(directory) {
            return Ok(());
        }
        // From the first one that is there downwards.
        let missing = directory.ancestors().take_while(|above| !is_here(above) && !self.storage.exists(above));
        let missing: Vec<&Path> = missing.collect();
        self.storage.create_dir_all(directory).map_err(|error| failed("make", directory, &error))?;
        for made in missing.iter().rev() {
            let parent = made.parent().filter(|parent| !is_here(parent)).unwrap_or(Path::new("."));
            self.storage.sync_dir(parent).map_err(|error| failed("sync", parent, &error))?;
        }
        Ok(())
    }
}

impl ObjectSink for DirectorySink {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), SinkError> {
        let path = self.path(key)?;
        let directory = path.parent().unwrap_or(&self.root);
        self.make(directory)?;
        let partial = directory.join(PARTIAL);
        write_whole(&*self.storage, &partial, bytes).map_err(|error| failed("write", &partial, &error))?;
        self.storage.rename(&partial, &path).map_err(|error| failed("rename", &partial, &error))?;
        self.storage.sync_dir(directory).map_err(|error| failed("sync", directory, &error))
    }

    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, SinkError> {
        let path = self.path(key)?;
        let same = || -> io::Result<bool> {
            let file = self.storage.open(&path, OpenMode::Read)?;
            if file.len()? != bytes.len() as u64 {
                return Ok(false);
            }
            let mut piece = vec![0; PIECE_BYTES.min(bytes.len())];
            let mut offset = 0;
            for expected in bytes.chunks(PIECE_BYTES) {
                let read = &mut piece[..expected.len()];
                read_exact_at(&*file, read, offset)?;
                if read != expected {
                    return Ok(false);
                }
                offset += expected.len() as u64;
            }
            Ok(true)
        };
        match same() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            outcome => outcome.map_err(|error| failed("read", &path, &error)),
        }
    }

    fn keys(&self, beginning: &str) -> Result<Vec<String>, SinkError> {
        let (directory, _) = beginning.rsplit_once('/').unwrap_or(("", beginning));
        let path = if directory.is_empty() { self.root.clone() } else { self.path(directory)? };
        let entries = match self.storage.read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("list", &path, &error))?,
        };
        let files = entries.into_iter().filter(|entry| entry.kind == EntryKind::File && entry.name != PARTIAL);
        let separator = if directory.is_empty() { "" } else { "/" };
        let keys = files.map(|entry| format!("{directory}{separator}{}", entry.name));
        Ok(keys.filter(|key| key.starts_with(beginning)).collect())
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, SinkError> {
        let path = self.path(key)?;
        match read_file(&*self.storage, &path, bytes_max) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(|error| failed("read", &path, &error)),
        }
    }
}

/// The end of a relative path's ancestors.
fn is_here(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn failed(action: &str, path: &Path, error: &io::Error) -> SinkError {
    let what = format!("cannot {action}: {error}{}", help_for(error));
    SinkError { place: path.display().to_string(), what, lasting: !is_full(error) }
}
