//! The simulated disk as the journal sees it: files, directories, locks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Arrives, Change, Contents, Disk, Inode, Node, dead, sectors};
use super::{Fault, SimDisk};
use crate::env::{Entry, EntryKind, File, Lock, OpenMode, Storage};

struct SimFile {
    disk: SimDisk,
    inode: Inode,
    epoch: u64,
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    epoch: u64,
}

impl SimFile {
    fn with<T>(&self, f: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk.disk();
        if disk.epoch == self.epoch { f(&mut disk) } else { Err(dead()) }
    }

    fn readable(&self, disk: &mut Disk, buffer: &[u8], offset: u64) -> io::Result<()> {
        disk.interrupted()?;
        if disk.fails(self.inode, |f| if let Fault::Read(part) = f { Some(part) } else { None }) {
            disk.counts.read_errors += 1;
            return Err(io::Error::other("simulated read error"));
        }
        let hit = sectors(offset, buffer.len()).any(|sector| disk.bad.contains(&(self.inode, sector)));
        if hit && !disk.quiet {
            disk.counts.bad_sectors_read += 1;
            return Err(io::Error::other("simulated bad sector"));
        }
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|disk| {
            self.readable(disk, buffer, offset)?;
            let wanted = disk.shortened(buffer.len());
            disk.counts.short_reads += u64::from(wanted < buffer.len());
            let quiet = disk.quiet;
            let file = disk.file(self.inode)?;
            let bytes = match &file.truth {
                Some(truth) if quiet => &truth.live,
                _ => &file.live,
            };
            let from = (offset as usize).min(bytes.len());
            let n = wanted.min(bytes.len() - from);
            buffer[..n].copy_from_slice(&bytes[from..from + n]);
            if n > 0 && disk.fails(self.inode, |f| if let Fault::Flip(part) = f { Some(part) } else { None }) {
                disk.counts.flips_in_transit += 1;
                let at = disk.rng.below(n as u64) as usize;
                buffer[at] ^= 1 << disk.rng.below(8);
            }
            disk.note("r", offset, &(n as u64).to_be_bytes());
            Ok(n)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.with(|disk| {
            let was_running = !disk.stopped;
            if let Err(stopped) = disk.tick_write() {
                if was_running {
                    // The write that the machine stopped in: perhaps some of it arrives.
                    let change = Change::Write { offset, bytes: bytes.to_vec(), arrives: Arrives::There };
                    disk.file(self.inode)?.change(change);
                }
                return Err(stopped);
            }
            disk.interrupted()?;
            if disk.fails(self.inode, |f| if let Fault::Write(part) = f { Some(part) } else { None }) {
                disk.counts.write_errors += 1;
                return Err(io::Error::other("simulated write error"));
            }
            disk.counts.writes += 1;
            let most = disk.shortened(bytes.len());
            disk.counts.short_writes += u64::from(most < bytes.len());
            let n = room_for(disk, self.inode, offset, &bytes[..most])?;
            let bytes = &bytes[..n];
            disk.note_file(self.inode, offset, bytes);
            let arrives = disk.arrival(self.inode, offset);
            disk.file(self.inode)?.change(Change::Write { offset, bytes: bytes.to_vec(), arrives });
            Ok(n)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|disk| {
            disk.tick()?;
            disk.note_file(self.inode, length, b"length");
            disk.file(self.inode)?.change(Change::Length(length));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|disk| {
            let quiet = disk.quiet;
            let file = disk.file(self.inode)?;
            Ok(match &file.truth {
                Some(truth) if quiet => truth.live.len(),
                _ => file.live.len(),
            } as u64)
        })
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.with(|disk| {
            disk.file(self.inode)?.drop_cache();
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        // Without the lock: others may use a slow disk meanwhile.
        let takes = self.with(|disk| Ok(disk.sync_time))?;
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        self.with(|disk| {
            disk.tick_write()?;
            disk.counts.syncs += 1;
            if disk.skips_sync(self.inode) {
                return Ok(());
            }
            let fails = disk.fails(self.inode, |f| if let Fault::Sync(part) = f { Some(part) } else { None });
            disk.note_file(self.inode, u64::from(fails), b"sync");
            disk.sync(self.inode, fails)?;
            if fails {
                disk.counts.sync_errors += 1;
                return Err(io::Error::other("simulated sync error"));
            }
            Ok(())
        })
    }
}

/// How many of these bytes the disk has room for.
fn room_for(disk: &mut Disk, inode: Inode, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    let Some(room) = disk.room else { return Ok(bytes.len()) };
    let end = offset + bytes.len() as u64;
    let grows = end.saturating_sub(disk.file(inode)?.live.len() as u64);
    if grows == 0 && bytes.iter().all(|b| *b == 0) {
        // Zeros over what is there take no room: they free it.
        return Ok(bytes.len());
    }
    if room < bytes.len() as u64 {
        disk.counts.full += 1;
    }
    if room == 0 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let n = bytes.len().min(room as usize);
    disk.room = Some(room - n as u64);
    Ok(n)
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.disk.disk();
        if disk.locks.get(&self.path) == Some(&self.epoch) {
            disk.locks.remove(&self.path);
        }
    }
}

impl Storage for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        let inode = match disk.find(path) {
            Some(_) if mode == OpenMode::CreateNew => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(inode) if matches!(disk.nodes.get(&inode), Some(Node::File(_))) => inode,
            Some(_) => return Err(io::ErrorKind::InvalidInput.into()),
            None if matches!(mode, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            None => {
                disk.tick()?;
                let (parent, name) = disk.split(path)?;
                let inode = disk.make(Node::File(Contents::default()));
                disk.rename_all(vec![(parent, name, Some(inode))]);
                inode
            }
        };
        let epoch = disk.epoch;
        disk.paths.insert(inode, path.to_string_lossy().into_owned());
        Ok(Arc::new(SimFile { disk: self.clone(), inode, epoch }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let disk = self.disk();
        match disk.find(path).and_then(|inode| disk.nodes.get(&inode)) {
            Some(Node::Directory { live, .. }) => Ok(live
                .iter()
                .map(|(name, inode)| Entry {
                    name: name.clone(),
                    kind: match disk.nodes.get(inode) {
                        Some(Node::Directory { .. }) => EntryKind::Directory,
                        _ => EntryKind::File,
                    },
                })
                .collect()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.create_dir_all(parent)?;
        }
        let mut disk = self.disk();
        match disk.find(path).map(|inode| matches!(disk.nodes.get(&inode), Some(Node::Directory { .. }))) {
            Some(true) => return Ok(()),
            Some(false) => return Err(io::ErrorKind::AlreadyExists.into()),
            None => {}
        }
        disk.tick()?;
        let (parent, name) = disk.split(path)?;
        let inode = disk.make(Node::Directory { live: Default::default(), durable: Default::default() });
        disk.rename_all(vec![(parent, name, Some(inode))]);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        let inode = disk.find(from).ok_or(io::ErrorKind::NotFound)?;
        let (old, new) = (disk.split(from)?, disk.split(to)?);
        // A file that is open goes by its new name.
        disk.paths.insert(inode, to.to_string_lossy().into_owned());
        disk.rename_all(vec![(old.0, old.1, None), (new.0, new.1, Some(inode))]);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        if disk.find(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (parent, name) = disk.split(path)?;
        disk.rename_all(vec![(parent, name, None)]);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        disk.counts.dir_syncs += 1;
        let inode = disk.find(path).ok_or(io::ErrorKind::NotFound)?;
        disk.sync_names(inode);
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk().find(path).is_some()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.open(path, OpenMode::Create)?;
        let mut disk = self.disk();
        let epoch = disk.epoch;
        if disk.locks.contains_key(path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        disk.locks.insert(path.to_path_buf(), epoch);
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_path_buf(), epoch }))
    }
}
