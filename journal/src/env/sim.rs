//! A simulated disk that fails on purpose, a clock that the test moves, and random bytes of a seed.
//!
//! Every file has what the process sees and what is durable, and between them the writes that no sync has confirmed.
//! [`SimDisk::crash`] keeps a random part of those, torn at bytes, sectors or pages and in any order, loses names that
//! no directory sync has confirmed, and lets every open handle die. Beside that, a test can have a sync fail (and the
//! pages it failed for dropped, as Linux does), the disk run full at a chosen byte, a read fail, a bit flip at rest.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Entry, EntryKind, Env, File, Lock, ManualClock, OpenMode, SeededRng, Storage};

/// A machine made of a seed.
#[derive(Clone)]
pub struct Sim {
    pub disk: SimDisk,
    pub clock: Arc<ManualClock>,
    pub rng: Arc<SeededRng>,
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// What was done to the disk so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub writes: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
}

/// A failure to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The next sync of a file whose path contains this fails. Its unconfirmed writes never become durable, although
    /// they can still be read and later syncs say that all is well.
    Sync(String),
    /// The next read of such a file fails.
    Read(String),
    /// The next write to such a file fails without writing.
    Write(String),
}

type Inode = u64;

const ROOT: Inode = 0;

struct Disk {
    rng: SeededRng,
    nodes: HashMap<Inode, Node>,
    next: Inode,
    /// Changes of names that no directory sync has confirmed, oldest first. Each is all or nothing.
    names: Vec<Vec<(Inode, String, Option<Inode>)>>,
    /// Handles of an earlier life are dead.
    epoch: u64,
    locks: HashMap<PathBuf, u64>,
    faults: Vec<Fault>,
    /// Bytes that can still be written before the disk is full.
    room: Option<u64>,
    /// Operations left before the machine stops.
    left: Option<u64>,
    counts: Counts,
}

enum Node {
    File { live: Vec<u8>, durable: Vec<u8>, pending: Vec<Change> },
    Directory { live: BTreeMap<String, Inode>, durable: BTreeMap<String, Inode> },
}

/// An unconfirmed change of a file.
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

struct SimFile {
    disk: SimDisk,
    inode: Inode,
    path: String,
    epoch: u64,
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    epoch: u64,
}

impl Sim {
    pub fn new(seed: u64) -> Sim {
        Sim {
            disk: SimDisk::new(seed),
            clock: Arc::new(ManualClock::new(ManualClock::START_MS)),
            rng: Arc::new(SeededRng::new(seed ^ 0x5eed)),
        }
    }

    pub fn env(&self) -> Env {
        Env { storage: Arc::new(self.disk.clone()), clock: self.clock.clone(), rng: self.rng.clone() }
    }
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        let root = Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new() };
        SimDisk(Arc::new(Mutex::new(Disk {
            rng: SeededRng::new(seed),
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            names: Vec::new(),
            epoch: 0,
            locks: HashMap::new(),
            faults: Vec::new(),
            room: None,
            left: None,
            counts: Counts::default(),
        })))
    }

    /// The machine stops and starts again: what was not confirmed is kept in part.
    pub fn crash(&self) {
        let mut disk = self.disk();
        let Disk { rng, nodes, names, .. } = &mut *disk;
        for change in std::mem::take(names) {
            if !rng.one_in(2) {
                apply_names(nodes, &change);
            }
        }
        // In the order of their numbers: a hash map has none, and the seed must mean the same every time.
        let mut order: Vec<Inode> = nodes.keys().copied().collect();
        order.sort_unstable();
        for inode in order {
            match nodes.get_mut(&inode) {
                Some(Node::File { live, durable, pending }) => {
                    for change in std::mem::take(pending) {
                        keep_in_part(rng, durable, change);
                    }
                    live.clone_from(durable);
                }
                Some(Node::Directory { live, durable }) => live.clone_from(durable),
                None => {}
            }
        }
        disk.epoch += 1;
        disk.locks.clear();
        disk.faults.clear();
        disk.room = None;
        disk.left = None;
    }

    /// The machine stops after this many more operations that change something: all that follow fail, until
    /// [`SimDisk::crash`] starts it again.
    pub fn stop_after(&self, operations: u64) {
        self.disk().left = Some(operations);
    }

    /// The process dies and starts again; the machine goes on, so nothing written is lost.
    pub fn kill(&self) {
        let mut disk = self.disk();
        disk.epoch += 1;
        disk.locks.clear();
    }

    /// Lets something fail.
    pub fn inject(&self, fault: Fault) {
        self.disk().faults.push(fault);
    }

    /// The disk is full after this many more bytes; `None`: it never is.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.disk().room = bytes;
    }

    /// Flips bits of a byte at rest.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        let mut disk = self.disk();
        let inode = disk.find(path);
        if let Some(Node::File { live, durable, .. }) = inode.and_then(|i| disk.nodes.get_mut(&i)) {
            for bytes in [live, durable] {
                if let Some(byte) = bytes.get_mut(offset as usize) {
                    *byte ^= mask;
                }
            }
        }
    }

    pub fn counts(&self) -> Counts {
        self.disk().counts
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write survives whole, in part or not at all.
fn keep_in_part(rng: &SeededRng, durable: &mut Vec<u8>, change: Change) {
    match change {
        Change::Length(length) => {
            if rng.one_in(2) {
                durable.resize(length as usize, 0);
            }
        }
        Change::Write(offset, bytes) => match rng.below(5) {
            0 => {}
            1 => put(durable, offset, &bytes),
            2 => {
                let n = rng.below(bytes.len() as u64 + 1) as usize;
                put(durable, offset, &bytes[..n]);
            }
            other => {
                let unit = if other == 3 { 512 } else { 4096 };
                let mut from = 0;
                while from < bytes.len() {
                    let to_boundary = unit - (offset as usize + from) % unit;
                    let to = (from + to_boundary).min(bytes.len());
                    if rng.one_in(2) {
                        put(durable, offset + from as u64, &bytes[from..to]);
                    }
                    from = to;
                }
            }
        },
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + new.len());
    if bytes.len() < to {
        // Not `resize`, which is slow where nothing is optimised.
        bytes.append(&mut vec![0; to - bytes.len()]);
    }
    bytes[from..to].copy_from_slice(new);
}

fn apply_names(nodes: &mut HashMap<Inode, Node>, change: &[(Inode, String, Option<Inode>)]) {
    for (directory, name, inode) in change {
        if let Some(Node::Directory { durable, .. }) = nodes.get_mut(directory) {
            match inode {
                Some(inode) => durable.insert(name.clone(), *inode),
                None => durable.remove(name),
            };
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated machine was stopped")
}

impl Disk {
    fn find(&self, path: &Path) -> Option<Inode> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::Normal(name) => match self.nodes.get(&at)? {
                    Node::Directory { live, .. } => at = *live.get(name.to_str()?)?,
                    Node::File { .. } => return None,
                },
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        Some(at)
    }

    /// The directory a path is in, and the name there.
    fn split(&self, path: &Path) -> io::Result<(Inode, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new(""))).ok_or(io::ErrorKind::NotFound)?;
        match self.nodes.get(&parent) {
            Some(Node::Directory { .. }) => Ok((parent, name.to_owned())),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Changes names at once for the process, later for the disk.
    fn rename_all(&mut self, change: Vec<(Inode, String, Option<Inode>)>) {
        for (directory, name, inode) in &change {
            if let Some(Node::Directory { live, .. }) = self.nodes.get_mut(directory) {
                match inode {
                    Some(inode) => live.insert(name.clone(), *inode),
                    None => live.remove(name),
                };
            }
        }
        self.names.push(change);
    }

    fn make(&mut self, node: Node) -> Inode {
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, node);
        inode
    }

    /// Counts an operation that changes something.
    fn tick(&mut self) -> io::Result<()> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(dead()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn fails(&mut self, path: &str, of_kind: impl Fn(&Fault) -> Option<&String>) -> bool {
        let found = self.faults.iter().position(|f| of_kind(f).is_some_and(|part| path.contains(part.as_str())));
        found.map(|at| self.faults.remove(at)).is_some()
    }
}

impl SimFile {
    fn with<T>(&self, f: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk.disk();
        if disk.epoch == self.epoch { f(&mut disk) } else { Err(dead()) }
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|disk| {
            if disk.fails(&self.path, |f| if let Fault::Read(part) = f { Some(part) } else { None }) {
                return Err(io::Error::other("simulated read error"));
            }
            let Some(Node::File { live, .. }) = disk.nodes.get(&self.inode) else { return Err(dead()) };
            let from = (offset as usize).min(live.len());
            let n = buffer.len().min(live.len() - from);
            buffer[..n].copy_from_slice(&live[from..from + n]);
            Ok(n)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.with(|disk| {
            disk.tick()?;
            if disk.fails(&self.path, |f| if let Fault::Write(part) = f { Some(part) } else { None }) {
                return Err(io::Error::other("simulated write error"));
            }
            disk.counts.writes += 1;
            let n = match &mut disk.room {
                None => bytes.len(),
                // Zeros over what is there take no room: they free it.
                Some(_) if bytes.iter().all(|b| *b == 0) && grows(disk.nodes.get(&self.inode), offset, bytes) == 0 => {
                    bytes.len()
                }
                Some(0) => return Err(io::ErrorKind::StorageFull.into()),
                Some(room) => {
                    let n = bytes.len().min(*room as usize);
                    *room -= n as u64;
                    n
                }
            };
            let Some(Node::File { live, pending, .. }) = disk.nodes.get_mut(&self.inode) else { return Err(dead()) };
            let bytes = &bytes[..n];
            put(live, offset, bytes);
            pending.push(Change::Write(offset, bytes.to_vec()));
            Ok(n)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|disk| {
            disk.tick()?;
            let Some(Node::File { live, pending, .. }) = disk.nodes.get_mut(&self.inode) else { return Err(dead()) };
            live.resize(length as usize, 0);
            pending.push(Change::Length(length));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|disk| match disk.nodes.get(&self.inode) {
            Some(Node::File { live, .. }) => Ok(live.len() as u64),
            _ => Err(dead()),
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|disk| {
            disk.tick()?;
            disk.counts.syncs += 1;
            let fails = disk.fails(&self.path, |f| if let Fault::Sync(part) = f { Some(part) } else { None });
            let Disk { rng, nodes, .. } = &mut *disk;
            let Some(Node::File { durable, pending, .. }) = nodes.get_mut(&self.inode) else { return Err(dead()) };
            for change in std::mem::take(pending) {
                if fails {
                    // Some pages may have reached the disk before the error; the others are dropped for good.
                    keep_in_part(rng, durable, change);
                    continue;
                }
                match change {
                    Change::Write(offset, bytes) => put(durable, offset, &bytes),
                    Change::Length(length) => durable.resize(length as usize, 0),
                }
            }
            if fails { Err(io::Error::other("simulated sync error")) } else { Ok(()) }
        })
    }
}

fn grows(node: Option<&Node>, offset: u64, bytes: &[u8]) -> u64 {
    match node {
        Some(Node::File { live, .. }) => (offset + bytes.len() as u64).saturating_sub(live.len() as u64),
        _ => 0,
    }
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
            Some(inode) if matches!(disk.nodes.get(&inode), Some(Node::File { .. })) => inode,
            Some(_) => return Err(io::ErrorKind::InvalidInput.into()),
            None if matches!(mode, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            None => {
                disk.tick()?;
                let (parent, name) = disk.split(path)?;
                let inode = disk.make(Node::File { live: Vec::new(), durable: Vec::new(), pending: Vec::new() });
                disk.rename_all(vec![(parent, name, Some(inode))]);
                inode
            }
        };
        let epoch = disk.epoch;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.to_string_lossy().into_owned(), epoch }))
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
        let inode = disk.make(Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new() });
        disk.rename_all(vec![(parent, name, Some(inode))]);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        let inode = disk.find(from).ok_or(io::ErrorKind::NotFound)?;
        let (old, new) = (disk.split(from)?, disk.split(to)?);
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
        let Disk { nodes, names, .. } = &mut *disk;
        names.retain(|change| {
            let concerned = change.iter().any(|(directory, ..)| *directory == inode);
            if concerned {
                apply_names(nodes, change);
            }
            !concerned
        });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{read_file, write_all_at};

    const PATH: &str = "/d/f";

    fn disk(seed: u64) -> (SimDisk, Arc<dyn File>) {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/d")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        (disk, file)
    }

    #[test]
    fn what_was_synced_survives_a_crash_and_handles_do_not() {
        let (disk, file) = disk(1);
        write_all_at(&*file, &[1; 9000], 0).unwrap();
        file.sync_data().unwrap();
        write_all_at(&*file, &[2; 9000], 0).unwrap();
        disk.crash();
        assert!(file.len().is_err() && file.write_at(&[1], 0).is_err());
        let bytes = read_file(&disk, Path::new(PATH), 9000).unwrap();
        assert_eq!(bytes.len(), 9000);
        assert!(bytes.iter().all(|b| *b == 1 || *b == 2));
    }

    #[test]
    fn a_failed_sync_loses_pages_for_good() {
        let mut lost = false;
        for seed in 0..20 {
            let (disk, file) = disk(seed);
            disk.inject(Fault::Sync("f".to_owned()));
            write_all_at(&*file, &[1; 9000], 0).unwrap();
            assert!(file.sync_data().is_err());
            file.sync_data().unwrap();
            assert_eq!(read_file(&disk, Path::new(PATH), 9000).unwrap(), [1; 9000]);
            disk.crash();
            lost |= read_file(&disk, Path::new(PATH), 9000).unwrap() != [1; 9000];
        }
        assert!(lost);
    }

    #[test]
    fn names_that_were_not_synced_may_be_lost() {
        let mut lost = false;
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
            disk.crash();
            lost |= !disk.exists(Path::new("/f"));
        }
        assert!(lost);
    }

    #[test]
    fn a_full_disk_says_so_at_the_byte() {
        let (disk, file) = disk(1);
        disk.set_room(Some(10));
        let error = write_all_at(&*file, &[1; 11], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 10);
    }
}
