//! Files in memory that never fail and are always durable: for tests and for ledgers that need not outlive the
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Entry, EntryKind, File, Lock, OpenMode, Storage};

/// A file system in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    directories: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct MemoryFile(RwLock<Vec<u8>>);

struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
}

impl MemoryStorage {
    pub fn new() -> MemoryStorage {
        MemoryStorage::default()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    fn has_directory(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || path == Path::new("/") || self.directories.contains(path)
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !self.has_directory(parent) => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let n = buffer.len().min(bytes.len() - from);
        buffer[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from.checked_add(new.len()).ok_or(io::ErrorKind::InvalidInput)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[from..end].copy_from_slice(new);
        Ok(new.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).resize(length, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).locks.remove(&self.path);
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut tree = self.tree();
        if tree.directories.contains(path) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a file", path.display())));
        }
        if let Some(file) = tree.files.get(path) {
            return match mode {
                OpenMode::CreateNew => Err(io::ErrorKind::AlreadyExists.into()),
                _ => Ok(Arc::<MemoryFile>::clone(file)),
            };
        }
        if matches!(mode, OpenMode::Read | OpenMode::Write) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.parent_exists(path)?;
        let file = Arc::new(MemoryFile::default());
        tree.files.insert(path.to_path_buf(), Arc::clone(&file));
        Ok(file)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let tree = self.tree();
        if !tree.has_directory(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |p: &PathBuf| {
            (p.parent() == Some(path)).then(|| p.file_name().and_then(|n| n.to_str()).map(str::to_owned)).flatten()
        };
        let files = tree.files.keys().filter_map(name).map(|name| Entry { name, kind: EntryKind::File });
        let directories = tree.directories.iter().filter_map(name);
        let mut entries: Vec<Entry> =
            files.chain(directories.map(|name| Entry { name, kind: EntryKind::Directory })).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        for directory in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
            if tree.files.contains_key(directory) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            tree.directories.insert(directory.to_path_buf());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        tree.parent_exists(to)?;
        if let Some(file) = tree.files.remove(from) {
            tree.files.insert(to.to_path_buf(), file);
            return Ok(());
        }
        if !tree.directories.contains(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if tree.files.contains_key(to) || tree.directories.iter().any(|d| d.parent() == Some(to)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let moved = |p: &PathBuf| p.strip_prefix(from).ok().map(|rest| (p.clone(), join(to, rest)));
        let files: Vec<(PathBuf, PathBuf)> = tree.files.keys().filter_map(moved).collect();
        let directories: Vec<(PathBuf, PathBuf)> = tree.directories.iter().filter_map(moved).collect();
        for (old, new) in files {
            if let Some(file) = tree.files.remove(&old) {
                tree.files.insert(new, file);
            }
        }
        for (old, new) in directories {
            tree.directories.remove(&old);
            tree.directories.insert(new);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.tree().files.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        if !tree.directories.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.files.retain(|p, _| !p.starts_with(path));
        tree.directories.retain(|p| !p.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.tree().has_directory(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn exists(&self, path: &Path) -> bool {
        let tree = self.tree();
        tree.files.contains_key(path) || tree.has_directory(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut tree = self.tree();
        tree.parent_exists(path)?;
        if !tree.locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        tree.files.entry(path.to_path_buf()).or_default();
        Ok(Box::new(MemoryLock { tree: Arc::clone(&self.tree), path: path.to_path_buf() }))
    }
}

/// `base.join("")` would add a separator.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_path_buf() } else { base.join(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{read_file, write_all_at};

    #[test]
    fn a_directory_is_renamed_with_all_in_it() {
        let storage = MemoryStorage::new();
        storage.create_dir_all(Path::new("/a/tmp/journal")).unwrap();
        let file = storage.open(Path::new("/a/tmp/journal/0"), OpenMode::CreateNew).unwrap();
        write_all_at(&*file, b"abc", 1).unwrap();
        storage.rename(Path::new("/a/tmp"), Path::new("/a/final")).unwrap();
        assert!(!storage.exists(Path::new("/a/tmp")));
        assert_eq!(read_file(&storage, Path::new("/a/final/journal/0"), 10).unwrap(), b"\0abc");
        assert!(read_file(&storage, Path::new("/a/final/journal/0"), 3).is_err());
    }
}
