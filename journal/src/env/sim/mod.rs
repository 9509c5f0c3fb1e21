//! A simulated disk that fails on purpose, a clock that the test moves, and random bytes of a seed.
//!
//! Every file has what the process sees and what is durable, and between them the writes that no sync has confirmed.
//! [`SimDisk::crash`] keeps a random part of those, torn at bytes, sectors or pages and in any order, loses names that
//! no directory sync has confirmed, and lets every open handle die. Beside that, a test can have calls fail, be
//! interrupted or do only a part ([`Fault`], [`Noise`]), the disk run full at a chosen byte, and the medium be damaged
//! at rest or by a write that goes astray, which [`SimDisk::restore`] mends as an operator would, from a backup.
//!
//! | module | what lives there |
//! |---|---|
//! | `disk` | what is on the disk, and what failures do to it |
//! | `files` | the files and directories that the journal is given |

mod disk;
mod files;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use disk::{Contents, Disk, Left, Node};

use super::{Env, ManualClock, SeededRng};

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

/// What was done to the disk so far, and what it did in return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub writes: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
    pub crashes: u64,
    /// Crashes in which a write survived in part.
    pub crashes_torn: u64,
    pub torn_bytes: u64,
    pub torn_sectors: u64,
    pub torn_pages: u64,
    /// Unconfirmed changes of files of which nothing survived.
    pub unsynced_lost: u64,
    /// Unconfirmed writes that survived although an earlier one of the same file did not.
    pub reordered: u64,
    pub names_lost: u64,
    pub sync_errors: u64,
    pub read_errors: u64,
    pub write_errors: u64,
    pub bad_sectors_read: u64,
    pub short_reads: u64,
    pub short_writes: u64,
    pub interrupted: u64,
    /// Writes that the disk had no room for, or only for a part.
    pub full: u64,
    pub flips_in_transit: u64,
    pub flips_at_rest: u64,
    /// Writes that were confirmed and went elsewhere.
    pub misdirected: u64,
    /// Writes that were confirmed and never arrived, so that what stood there before is read.
    pub lost_writes: u64,
    pub truncated: u64,
    pub zeroed: u64,
}

/// A failure to come, in a file whose path contains the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The next sync fails. The file's unconfirmed writes never become durable, although they can still be read and
    /// later syncs say that all is well.
    Sync(String),
    /// The next read fails.
    Read(String),
    /// The next write fails without writing.
    Write(String),
    /// The next read gives one bit wrong.
    Flip(String),
    /// The next write goes to another page of the file when it is confirmed.
    Misdirect(String),
    /// The next write never arrives, though it is confirmed.
    Lose(String),
    /// Every sync says that all is well and does nothing: a defect of the caller's, seen from the disk.
    SkipSyncs(String),
}

/// Calls that do less than they were asked, one in so many; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noise {
    /// Reads and writes that transfer only a part.
    pub short_one_in: u64,
    /// Reads and writes that are interrupted before they transfer anything.
    pub interrupted_one_in: u64,
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
        SimDisk(Arc::new(Mutex::new(Disk::new(seed))))
    }

    /// The machine stops and starts again: what was not confirmed is kept in part.
    pub fn crash(&self) {
        self.disk().crash();
    }

    /// The machine stops after this many more operations that change something: all that follow fail, until
    /// [`SimDisk::crash`] starts it again.
    pub fn stop_after(&self, operations: u64) {
        self.disk().left = Left::Changes(operations);
    }

    /// As [`SimDisk::stop_after`], counting only writes and syncs of files, so that something is in flight.
    pub fn stop_after_writes(&self, operations: u64) {
        self.disk().left = Left::Writes(operations);
    }

    /// The machine stops now, with nothing more in flight than there is: whatever follows fails, until
    /// [`SimDisk::crash`] or [`SimDisk::kill`].
    pub fn stop(&self) {
        self.disk().stopped = true;
    }

    /// The machine does not stop by itself any more.
    pub fn keep_running(&self) {
        self.disk().left = Left::Unlimited;
    }

    /// Whether the machine has stopped.
    pub fn is_stopped(&self) -> bool {
        self.disk().stopped
    }

    /// The process dies and starts again; the machine goes on, so nothing written is lost.
    pub fn kill(&self) {
        let mut disk = self.disk();
        disk.epoch += 1;
        disk.locks.clear();
        (disk.left, disk.stopped) = (Left::Unlimited, false);
    }

    /// Lets something fail.
    pub fn inject(&self, fault: Fault) {
        self.disk().faults.push(fault);
    }

    /// Forgets the failures that have not come yet.
    pub fn clear_faults(&self) {
        self.disk().faults.clear();
    }

    pub fn set_noise(&self, noise: Noise) {
        self.disk().noise = noise;
    }

    /// Lets every sync of a file take so long, by the clock on the wall.
    pub fn set_sync_time(&self, time: Duration) {
        self.disk().sync_time = time;
    }

    /// The disk is full after this many more bytes; `None`: it never is.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.disk().room = bytes;
    }

    /// Runs `work` while nothing fails and reads give what is not damaged.
    pub fn quietly<T>(&self, work: impl FnOnce() -> T) -> T {
        self.disk().quiet = true;
        let result = work();
        self.disk().quiet = false;
        result
    }

    /// Flips bits of a byte at rest.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        self.harm(path, |bytes| {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= mask;
            }
        });
        self.disk().counts.flips_at_rest += 1;
    }

    /// Cuts a file at rest.
    pub fn truncate(&self, path: &Path, length: u64) {
        self.harm(path, |bytes| bytes.truncate(length as usize));
        self.disk().counts.truncated += 1;
    }

    /// Fills a file at rest with zeros from `offset` on.
    pub fn zero_from(&self, path: &Path, offset: u64) {
        self.harm(path, |bytes| bytes.iter_mut().skip(offset as usize).for_each(|b| *b = 0));
        self.disk().counts.zeroed += 1;
    }

    /// Lets every read of the sector at `offset` fail until it is written again or restored.
    pub fn spoil_sector(&self, path: &Path, offset: u64) {
        let mut disk = self.disk();
        if let Some(inode) = disk.find(path) {
            disk.bad.insert((inode, disk::sectors(offset, 1).start));
        }
    }

    /// Forgets what the process was shown of confirmed writes: from now on it reads what is on the medium.
    pub fn drop_cache(&self) {
        for node in self.disk().nodes.values_mut() {
            if let Node::File(file) = node {
                file.drop_cache();
            }
        }
    }

    /// Mends all damage, as from a backup. True if there was any.
    pub fn restore(&self) -> bool {
        let mut disk = self.disk();
        let mut any = !disk.bad.is_empty();
        disk.bad.clear();
        for node in disk.nodes.values_mut() {
            if let Node::File(file) = node
                && let Some(truth) = file.truth.take()
            {
                any |= truth.live != file.live || truth.durable != file.durable;
                (file.live, file.durable) = (truth.live, truth.durable);
            }
        }
        any
    }

    /// Takes the damage for what should be: nothing is to be restored any more.
    pub fn accept_damage(&self) {
        for node in self.disk().nodes.values_mut() {
            if let Node::File(file) = node {
                file.truth = None;
            }
        }
    }

    /// The files whose bytes on the medium are not what they should be, each with the first such byte.
    pub fn damage(&self) -> Vec<(PathBuf, u64)> {
        let mut disk = self.disk();
        let mut found = Vec::new();
        for (path, inode) in disk.files() {
            let bad = disk.bad.iter().filter(|(of, _)| *of == inode).map(|(_, sector)| sector * 512).min();
            let differs = disk.file(inode).ok().and_then(|file| file.first_damage());
            if let Some(first) = bad.into_iter().chain(differs).min() {
                found.push((path, first));
            }
        }
        found
    }

    /// Where the last byte that is not zero ends, among those that are durable and undamaged.
    pub fn used_bytes(&self, path: &Path) -> u64 {
        let mut disk = self.disk();
        let Some(file) = disk.file_at(path) else { return 0 };
        let bytes = file.truth.as_ref().map_or(&file.durable, |truth| &truth.durable);
        bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at as u64 + 1)
    }

    pub fn counts(&self) -> Counts {
        self.disk().counts
    }

    /// A hash of every operation so far: the same seed gives the same.
    pub fn trace(&self) -> u64 {
        self.disk().trace
    }

    fn harm(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        if let Some(file) = self.disk().file_at(path) {
            file.damage();
            let Contents { live, durable, .. } = file;
            change(live);
            change(durable);
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn skips_sync(&self, inode: disk::Inode) -> bool {
        let path = self.path_of(inode);
        self.faults.iter().any(|fault| matches!(fault, Fault::SkipSyncs(part) if path.contains(part.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::env::{File, OpenMode, Storage, read_file, write_all_at};

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
    fn faults_find_an_open_file_by_its_new_name() {
        let (disk, file) = disk(1);
        disk.rename(Path::new(PATH), Path::new("/d/g")).unwrap();
        disk.inject(Fault::Sync("/d/f".to_owned()));
        file.sync_data().unwrap();
        disk.inject(Fault::Sync("/d/g".to_owned()));
        assert!(file.sync_data().is_err());
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
