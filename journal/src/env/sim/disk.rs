//! What the simulated disk holds, and what its failures do to it.
//!
//! A file has what the process sees (`live`), what is on the medium (`durable`) and, between them, the changes that no
//! sync has confirmed. Once the medium is damaged it also has its `truth`: the same bytes as they would be without the
//! damage, so that a test can tell what was lost and play the operator who restores a file from a backup.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{Counts, Fault, Noise};
use crate::env::SeededRng;

pub(super) type Inode = u64;

pub(super) const ROOT: Inode = 0;
pub(super) const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

pub(super) struct Disk {
    pub rng: SeededRng,
    pub nodes: HashMap<Inode, Node>,
    next: Inode,
    /// The name each file was last opened by or given.
    pub paths: HashMap<Inode, String>,
    /// Changes of names that no directory sync has confirmed, oldest first. Each is all or nothing.
    pub names: Vec<Vec<(Inode, String, Option<Inode>)>>,
    /// Handles of an earlier life are dead.
    pub epoch: u64,
    pub locks: HashMap<PathBuf, u64>,
    pub faults: Vec<Fault>,
    /// Bytes that can still be written before the disk is full.
    pub room: Option<u64>,
    pub left: Left,
    /// The machine has refused an operation because it was stopped.
    pub stopped: bool,
    pub noise: Noise,
    /// How long each sync of a file takes.
    pub sync_time: Duration,
    /// Sectors that cannot be read.
    pub bad: BTreeSet<(Inode, u64)>,
    /// Reads see the truth and nothing fails.
    pub quiet: bool,
    pub counts: Counts,
    /// A hash of every operation so far.
    pub trace: u64,
}

/// Operations left before the machine stops.
pub(super) enum Left {
    Unlimited,
    /// Of those that change something.
    Changes(u64),
    /// Of writes and syncs of files: the machine stops with something in flight.
    Writes(u64),
}

pub(super) enum Node {
    File(Contents),
    Directory { live: BTreeMap<String, Inode>, durable: BTreeMap<String, Inode> },
}

#[derive(Default)]
pub(super) struct Contents {
    pub live: Vec<u8>,
    pub durable: Vec<u8>,
    pub pending: Vec<Change>,
    /// Present once the medium is damaged.
    pub truth: Option<Box<Truth>>,
}

/// The bytes as they should be.
pub(super) struct Truth {
    pub live: Vec<u8>,
    pub durable: Vec<u8>,
}

/// An unconfirmed change of a file.
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8>, arrives: Arrives },
    Length(u64),
}

/// Where a write goes when the disk says that it is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrives {
    /// Where it should.
    There,
    /// Somewhere else in the file.
    At(u64),
    /// Nowhere.
    Never,
}

/// How an unconfirmed change survived.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    Part,
    All,
}

/// What a torn write is cut into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tear {
    Sectors,
    Pages,
    Bytes,
}

pub(super) fn dead() -> io::Error {
    io::Error::other("the simulated machine was stopped")
}

impl Disk {
    pub fn new(seed: u64) -> Disk {
        let root = Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new() };
        Disk {
            rng: SeededRng::new(seed),
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            paths: HashMap::new(),
            names: Vec::new(),
            epoch: 0,
            locks: HashMap::new(),
            faults: Vec::new(),
            room: None,
            left: Left::Unlimited,
            stopped: false,
            noise: Noise::default(),
            bad: BTreeSet::new(),
            sync_time: Duration::ZERO,
            quiet: false,
            counts: Counts::default(),
            trace: 0,
        }
    }

    pub fn crash(&mut self) {
        let Disk { rng, nodes, names, counts, .. } = self;
        for change in std::mem::take(names) {
            if rng.one_in(2) {
                counts.names_lost += 1;
            } else {
                apply_names(nodes, &change);
            }
        }
        // In the order of their numbers: a hash map has none, and the seed must mean the same every time.
        let mut order: Vec<Inode> = nodes.keys().copied().collect();
        order.sort_unstable();
        let in_flight = |node: &Node| matches!(node, Node::File(file) if file.pending.iter().any(Change::can_tear));
        let candidates: Vec<Inode> = order.iter().copied().filter(|i| nodes.get(i).is_some_and(in_flight)).collect();
        // Most crashes tear something: that is what recovery is for.
        let must_tear = match candidates.is_empty() || rng.one_in(16) {
            true => None,
            false => candidates.get(rng.below(candidates.len() as u64) as usize).copied(),
        };
        let mut torn = false;
        for inode in order {
            match nodes.get_mut(&inode) {
                Some(Node::File(file)) => torn |= file.crash(rng, must_tear == Some(inode), counts),
                Some(Node::Directory { live, durable }) => live.clone_from(durable),
                None => {}
            }
        }
        counts.crashes += 1;
        counts.crashes_torn += u64::from(torn);
        self.epoch += 1;
        self.locks.clear();
        self.faults.clear();
        self.room = None;
        self.left = Left::Unlimited;
        self.stopped = false;
        self.note("crash", 0, &[]);
    }

    pub fn find(&self, path: &Path) -> Option<Inode> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::Normal(name) => match self.nodes.get(&at)? {
                    Node::Directory { live, .. } => at = *live.get(name.to_str()?)?,
                    Node::File(_) => return None,
                },
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        Some(at)
    }

    pub fn file(&mut self, inode: Inode) -> io::Result<&mut Contents> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(dead()),
        }
    }

    pub fn file_at(&mut self, path: &Path) -> Option<&mut Contents> {
        let inode = self.find(path)?;
        self.file(inode).ok()
    }

    /// Every file with its path, in the order of the paths.
    pub fn files(&self) -> Vec<(PathBuf, Inode)> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, inode)) = open.pop() {
            match self.nodes.get(&inode) {
                Some(Node::Directory { live, .. }) => open.extend(live.iter().map(|(n, i)| (path.join(n), *i))),
                Some(Node::File(_)) => found.push((path, inode)),
                None => {}
            }
        }
        found.sort();
        found
    }

    /// The directory a path is in, and the name there.
    pub fn split(&self, path: &Path) -> io::Result<(Inode, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new(""))).ok_or(io::ErrorKind::NotFound)?;
        match self.nodes.get(&parent) {
            Some(Node::Directory { .. }) => Ok((parent, name.to_owned())),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Changes names at once for the process, later for the disk.
    pub fn rename_all(&mut self, change: Vec<(Inode, String, Option<Inode>)>) {
        for (directory, name, inode) in &change {
            if let Some(Node::Directory { live, .. }) = self.nodes.get_mut(directory) {
                match inode {
                    Some(inode) => live.insert(name.clone(), *inode),
                    None => live.remove(name),
                };
            }
            self.note(name, directory.wrapping_mul(31) + inode.unwrap_or(0), &[]);
        }
        self.names.push(change);
    }

    pub fn sync_names(&mut self, inode: Inode) {
        let Disk { nodes, names, .. } = self;
        names.retain(|change| {
            let concerned = change.iter().any(|(directory, ..)| *directory == inode);
            if concerned {
                apply_names(nodes, change);
            }
            !concerned
        });
    }

    pub fn make(&mut self, node: Node) -> Inode {
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, node);
        inode
    }

    /// Counts an operation that changes something.
    pub fn tick(&mut self) -> io::Result<()> {
        self.count_down(false)
    }

    /// Counts a write or sync of a file.
    pub fn tick_write(&mut self) -> io::Result<()> {
        self.count_down(true)
    }

    fn count_down(&mut self, writes: bool) -> io::Result<()> {
        let left = match &mut self.left {
            _ if self.stopped => return Err(dead()),
            Left::Changes(left) => left,
            Left::Writes(left) if writes => left,
            _ => return Ok(()),
        };
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Ok(())
            }
            None => {
                self.stopped = true;
                Err(dead())
            }
        }
    }

    pub fn fails(&mut self, inode: Inode, of_kind: impl Fn(&Fault) -> Option<&String>) -> bool {
        if self.quiet {
            return false;
        }
        let path = self.path_of(inode);
        let found = self.faults.iter().position(|f| of_kind(f).is_some_and(|part| path.contains(part.as_str())));
        found.map(|at| self.faults.remove(at)).is_some()
    }

    /// A call that was interrupted before it did anything.
    pub fn interrupted(&mut self) -> io::Result<()> {
        let one_in = self.noise.interrupted_one_in;
        if one_in > 0 && !self.quiet && self.rng.one_in(one_in) {
            self.counts.interrupted += 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    /// How much of `length` bytes a call transfers.
    pub fn shortened(&mut self, length: usize) -> usize {
        let one_in = self.noise.short_one_in;
        if one_in > 0 && length > 1 && !self.quiet && self.rng.one_in(one_in) {
            1 + self.rng.below(length as u64 - 1) as usize
        } else {
            length
        }
    }

    /// Where a write of a file goes when it is confirmed.
    pub fn arrival(&mut self, inode: Inode, offset: u64) -> Arrives {
        if self.fails(inode, |f| if let Fault::Lose(part) = f { Some(part) } else { None }) {
            return Arrives::Never;
        }
        if !self.fails(inode, |f| if let Fault::Misdirect(part) = f { Some(part) } else { None }) {
            return Arrives::There;
        }
        let length = self.file(inode).map_or(0, |file| file.durable.len() as u64);
        let pages = length / PAGE_BYTES as u64;
        match self.rng.below(pages) * PAGE_BYTES as u64 {
            other if other != offset => Arrives::At(other),
            _ => Arrives::Never,
        }
    }

    /// Makes a file's changes durable, or, if the sync fails, some of them.
    pub fn sync(&mut self, inode: Inode, fails: bool) -> io::Result<()> {
        let Disk { rng, nodes, counts, bad, .. } = self;
        let Some(Node::File(file)) = nodes.get_mut(&inode) else { return Err(dead()) };
        for change in std::mem::take(&mut file.pending) {
            if fails {
                // Some pages may have reached the disk before the error; the others are dropped for good.
                file.keep(rng, &change, None, counts);
                continue;
            }
            if let Change::Write { offset, bytes, .. } = &change {
                // A sector that is written again is put somewhere else.
                let sectors = sectors(*offset, bytes.len());
                bad.retain(|(of, sector)| *of != inode || !sectors.contains(sector));
            }
            file.confirm(change, counts);
        }
        Ok(())
    }

    /// The name a file was last opened by or given.
    pub fn path_of(&self, inode: Inode) -> &str {
        self.paths.get(&inode).map_or("", String::as_str)
    }

    /// [`Disk::note`] of something that happened to a file.
    pub fn note_file(&mut self, inode: Inode, number: u64, bytes: &[u8]) {
        let path = self.paths.get(&inode).cloned().unwrap_or_default();
        self.note(&path, number, bytes);
    }

    /// Mixes an operation into the trace.
    pub fn note(&mut self, what: &str, number: u64, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.trace as u32);
        hasher.update(what.as_bytes());
        hasher.update(&number.to_be_bytes());
        hasher.update(bytes);
        self.trace = (self.trace.rotate_left(23) ^ u64::from(hasher.finalize())).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Contents {
    /// Applies a change to what the process sees.
    pub fn change(&mut self, change: Change) {
        let mut views = vec![&mut self.live];
        views.extend(self.truth.as_mut().map(|truth| &mut truth.live));
        for bytes in views {
            match &change {
                Change::Write { offset, bytes: new, .. } => put(bytes, *offset, new),
                Change::Length(length) => bytes.resize(*length as usize, 0),
            }
        }
        self.pending.push(change);
    }

    /// What is confirmed is read from the medium again.
    pub fn drop_cache(&mut self) {
        if self.pending.is_empty() {
            self.live.clone_from(&self.durable);
            if let Some(truth) = &mut self.truth {
                truth.live.clone_from(&truth.durable);
            }
        }
    }

    /// Remembers how the file should be, before it is damaged.
    pub fn damage(&mut self) -> &mut Truth {
        let Contents { live, durable, truth, .. } = self;
        truth.get_or_insert_with(|| Box::new(Truth { live: live.clone(), durable: durable.clone() }))
    }

    /// The first byte on the medium that is not what it should be.
    pub fn first_damage(&self) -> Option<u64> {
        let truth = &self.truth.as_ref()?.durable;
        let at = self.durable.iter().zip(truth).position(|(a, b)| a != b);
        let shorter = self.durable.len().min(truth.len());
        at.or_else(|| (self.durable.len() != truth.len()).then_some(shorter)).map(|at| at as u64)
    }

    /// What a confirmed change does to the medium.
    fn confirm(&mut self, change: Change, counts: &mut Counts) {
        match change {
            Change::Length(length) => self.each_durable(|bytes| bytes.resize(length as usize, 0)),
            Change::Write { offset, bytes, arrives: Arrives::There } => {
                self.each_durable(|durable| put(durable, offset, &bytes));
            }
            Change::Write { offset, bytes, arrives } => {
                put(&mut self.damage().durable, offset, &bytes);
                match arrives {
                    Arrives::At(other) => {
                        counts.misdirected += 1;
                        put(&mut self.durable, other, &bytes);
                    }
                    _ => counts.lost_writes += 1,
                }
            }
        }
    }

    fn each_durable(&mut self, apply: impl Fn(&mut Vec<u8>)) {
        apply(&mut self.durable);
        if let Some(truth) = &mut self.truth {
            apply(&mut truth.durable);
        }
    }

    /// The machine stopped: each unconfirmed change is kept whole, in part or not at all. True if one was torn.
    fn crash(&mut self, rng: &SeededRng, must_tear: bool, counts: &mut Counts) -> bool {
        let pending = std::mem::take(&mut self.pending);
        let tearable: Vec<usize> = (0..pending.len()).filter(|at| pending[*at].can_tear()).collect();
        let chosen = must_tear.then(|| tearable.get(rng.below(tearable.len() as u64) as usize).copied()).flatten();
        let (mut torn, mut one_was_lost) = (false, false);
        for (at, change) in pending.iter().enumerate() {
            let tear = (chosen == Some(at)).then(|| change.tear_that_fits(rng));
            let kept = self.keep(rng, change, tear, counts);
            torn |= kept == Kept::Part;
            counts.unsynced_lost += u64::from(kept == Kept::Nothing);
            counts.reordered += u64::from(one_was_lost && kept == Kept::All);
            one_was_lost |= kept == Kept::Nothing;
        }
        self.live.clone_from(&self.durable);
        if let Some(truth) = &mut self.truth {
            truth.live.clone_from(&truth.durable);
        }
        torn
    }

    /// Keeps a random part of an unconfirmed change; `tear`: torn this way.
    fn keep(&mut self, rng: &SeededRng, change: &Change, tear: Option<Tear>, counts: &mut Counts) -> Kept {
        let (offset, bytes) = match change {
            Change::Length(length) => {
                if rng.one_in(2) {
                    return Kept::Nothing;
                }
                self.each_durable(|durable| durable.resize(*length as usize, 0));
                return Kept::All;
            }
            Change::Write { offset, bytes, .. } => (*offset, bytes),
        };
        let tear = match (tear, rng.below(5)) {
            (Some(tear), _) => tear,
            (None, 0) => return Kept::Nothing,
            (None, 1) => {
                self.each_durable(|durable| put(durable, offset, bytes));
                return Kept::All;
            }
            (None, 2) => Tear::Bytes,
            (None, 3) => Tear::Sectors,
            (None, _) => Tear::Pages,
        };
        let parts = parts(rng, offset, bytes.len(), tear);
        for part in &parts {
            self.each_durable(|durable| put(durable, offset + part.start as u64, &bytes[part.clone()]));
        }
        let kept: usize = parts.iter().map(|part| part.len()).sum();
        match kept {
            0 => return Kept::Nothing,
            all if all == bytes.len() => return Kept::All,
            _ => {}
        }
        match tear {
            Tear::Sectors => counts.torn_sectors += 1,
            Tear::Pages => counts.torn_pages += 1,
            Tear::Bytes => counts.torn_bytes += 1,
        }
        Kept::Part
    }
}

impl Change {
    fn can_tear(&self) -> bool {
        matches!(self, Change::Write { bytes, .. } if bytes.len() > 1)
    }

    /// A way to tear this write that leaves some of it and loses some.
    fn tear_that_fits(&self, rng: &SeededRng) -> Tear {
        let length = if let Change::Write { bytes, .. } = self { bytes.len() } else { 0 };
        match rng.below(3) {
            0 if length > 2 * PAGE_BYTES => Tear::Pages,
            0 | 1 if length > 2 * SECTOR_BYTES => Tear::Sectors,
            _ => Tear::Bytes,
        }
    }
}

/// The parts of a write that survive, some and not all where that is possible.
fn parts(rng: &SeededRng, offset: u64, length: usize, tear: Tear) -> Vec<Range<usize>> {
    let unit = match tear {
        Tear::Bytes => {
            let cut = if length > 1 { 1 + rng.below(length as u64 - 1) as usize } else { rng.below(2) as usize };
            return vec![if rng.one_in(2) { 0..cut } else { cut..length }];
        }
        Tear::Sectors => SECTOR_BYTES,
        Tear::Pages => PAGE_BYTES,
    };
    let mut all = Vec::new();
    let mut from = 0;
    while from < length {
        let to = (from + unit - (offset as usize + from) % unit).min(length);
        all.push(from..to);
        from = to;
    }
    let mut kept: Vec<Range<usize>> = all.iter().filter(|_| rng.one_in(2)).cloned().collect();
    if kept.len() == all.len() && all.len() > 1 {
        kept.swap_remove(rng.below(all.len() as u64) as usize);
    } else if kept.is_empty() {
        kept.extend(all.get(rng.below(all.len() as u64) as usize).cloned());
    }
    kept
}

pub(super) fn sectors(offset: u64, length: usize) -> Range<u64> {
    let sector = SECTOR_BYTES as u64;
    offset / sector..(offset + length as u64).div_ceil(sector)
}

pub(super) fn put(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
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
