//! The machine itself: files through the system calls `openat`, `pread`, `pwrite`, `fdatasync`, `flock`; the system's
//! clocks; the system's randomness.
//!
//! Every descriptor is opened with `O_CLOEXEC`. Directories are synced with `fsync` on a descriptor of theirs. The
//! lock is `flock`, which the kernel drops with the last descriptor, so a killed process leaves none behind.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fd::OwnedFd;
use rustix::fs::{Advice, AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Clock, Entry, EntryKind, File, Lock, OpenMode, Rng, Storage};

/// Files on disk.
#[derive(Debug, Clone, Copy)]
pub struct ProductionStorage;

/// The system's wall clock and `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

/// The system's random bytes.
#[derive(Debug, Clone, Copy)]
pub struct SystemRng;

struct DiskFile(OwnedFd);

struct DiskLock(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.0, buffer, offset)?)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwrite(&self.0, bytes, offset)?)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.0, length)?)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.set_len(length),
            Err(e) => Err(e.into()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        u64::try_from(rustix::fs::fstat(&self.0)?.st_size).map_err(io::Error::other)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }
}

impl Lock for DiskLock {}

impl Storage for ProductionStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::Write => OFlags::RDWR,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            OpenMode::Create => OFlags::RDWR | OFlags::CREATE,
        };
        let fd = rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(FILE_MODE))?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a file", path.display())));
        }
        Ok(Arc::new(DiskFile(fd)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let fd = open_directory(path)?;
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            let Ok(text) = name.to_str() else { continue };
            if text == "." || text == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let stat = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            let kind = match kind {
                FileType::RegularFile => EntryKind::File,
                FileType::Directory => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            entries.push(Entry { name: text.to_owned(), kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => open_directory(path).map(drop),
            Err(Errno::NOENT) => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => {
                    self.create_dir_all(parent)?;
                    Ok(rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(DIRECTORY_MODE))?)
                }
                _ => Err(Errno::NOENT.into()),
            },
            Err(e) => Err(e.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(CWD, from, CWD, to)?)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(CWD, path, AtFlags::empty())?)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        for entry in self.read_dir(path)? {
            let inner = path.join(&entry.name);
            match entry.kind {
                EntryKind::Directory => self.remove_dir_all(&inner)?,
                EntryKind::File | EntryKind::Other => self.remove_file(&inner)?,
            }
        }
        Ok(rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::fsync(open_directory(path)?)?)
    }

    fn exists(&self, path: &Path) -> bool {
        rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(FILE_MODE))?;
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(DiskLock(fd)))
    }
}

impl Clock for SystemClock {
    /// Through the C library, so that a test can preload another time without touching the machine's.
    fn now_ms(&self) -> i64 {
        let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => ms(after),
            Err(before) => -ms(before.duration()),
        }
    }

    fn boottime_ms(&self) -> i64 {
        clock_ms(rustix::time::ClockId::Boottime)
    }
}

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > POOL_BYTES / 4 {
            return fill_from_system(bytes);
        }
        POOL.with_borrow_mut(|pool| pool.take(bytes));
    }
}

/// Random bytes of the system, fetched for several askers at a time: a transaction asks for a few, several times.
struct Pool {
    bytes: [u8; POOL_BYTES],
    /// Those before this one have been handed out, and are zero.
    taken: usize,
}

const POOL_BYTES: usize = 512;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], taken: POOL_BYTES }) };
}

impl Pool {
    fn take(&mut self, bytes: &mut [u8]) {
        if self.bytes.len() - self.taken < bytes.len() {
            fill_from_system(&mut self.bytes);
            self.taken = 0;
        }
        let end = self.taken + bytes.len();
        if let Some(given) = self.bytes.get_mut(self.taken..end) {
            bytes.copy_from_slice(given);
            given.fill(0);
            self.taken = end;
        }
    }
}

fn fill_from_system(bytes: &mut [u8]) {
    if let Err(e) = getrandom::fill(bytes) {
        // Without randomness no blinding byte and no id is safe: nothing can go on, and nothing is lost.
        panic!("the system gives no random bytes: {e}");
    }
}

fn clock_ms(clock: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// An empty path is the current directory: the parent of a bare name.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_random_bytes_are_handed_out_twice() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let bytes = (&SystemRng as &dyn Rng).bytes16();
            assert_ne!(bytes, [0; 16]);
            assert!(seen.insert(bytes));
        }
        let mut long = [0; POOL_BYTES];
        SystemRng.fill(&mut long);
        assert!(long.chunks(16).all(|chunk| seen.insert(chunk.try_into().unwrap())));
    }

    #[test]
    fn a_lock_has_one_holder_and_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = ProductionStorage.lock(&path).unwrap();
        assert_eq!(ProductionStorage.lock(&path).err().map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
        drop(held);
        assert!(ProductionStorage.lock(&path).is_ok());
    }

    #[test]
    fn directories_are_made_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        ProductionStorage.create_dir_all(&deep).unwrap();
        ProductionStorage.create_dir_all(&deep).unwrap();
        let file = ProductionStorage.open(&deep.join("f"), OpenMode::CreateNew).unwrap();
        file.allocate(8192).unwrap();
        assert_eq!(file.len().unwrap(), 8192);
        file.sync_data().unwrap();
        ProductionStorage.sync_dir(&deep).unwrap();
        assert!(ProductionStorage.open(&deep, OpenMode::Read).is_err());
        let names: Vec<String> = ProductionStorage.read_dir(&deep).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["f"]);
        ProductionStorage.remove_dir_all(&dir.path().join("a")).unwrap();
        assert!(!ProductionStorage.exists(&deep));
    }
}
