//! Rebuilding what is derived (docs/format.md, "Tree files" and "Offset files"): the offsets of every segment and the
//! tree, from the journal alone, without the ledger's key. Nothing that is not derived is touched.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use ledgerstone_digest::Hash;

use crate::checkpoint::{CheckpointError, Leaves, Recorded};
use crate::env::Env;
use crate::error::{FileError, OpenError};
use crate::offsets::{self, OFFSETS_DIR};
use crate::qldb::BLOCK_TREE_DIR;
use crate::reader::{Journal, Segment};
use crate::recovery;
use crate::redaction::REDACTION_FILE;
use crate::rotation;
use crate::scan::Tail;
use crate::segment::JOURNAL_DIR;
use crate::tree::{Tree, TreeError};

/// Leaf hashes handed to the tree at a time.
const LEAVES_PER_RUN: usize = 4096;

/// Why derived files were not rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoctorError {
    /// The journal cannot be used, or the directory is in use.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tree's files cannot be written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The journal is not in a state to derive anything from.
    #[error("{}: {what}", path.display())]
    Unfinished {
        /// The file.
        path: std::path::PathBuf,
        /// What has to be done first.
        what: String,
    },
    /// The rebuilt tree is not the one that was signed.
    #[error(
        "the journal gives root {found} at {size} leaves, the recorded checkpoint says {recorded}: the journal is not what \
         was signed; run `ledgerstone verify DIR`"
    )]
    OtherRoot {
        /// The recorded size.
        size: u64,
        /// The recorded root.
        recorded: Hash,
        /// The root that the journal gives.
        found: Hash,
    },
}

/// What was rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoctorReport {
    /// Segments whose offsets were rebuilt.
    pub segments: u64,
    /// Leaves of the rebuilt tree.
    pub leaves: u64,
    /// Its root.
    pub root: Hash,
    /// The size of the recorded checkpoint, which the tree was compared with.
    pub checkpoint_size: u64,
}

/// Removes the derived files of a ledger that nobody has open and makes them again from the journal. `progress` is
/// told the leaves done and the leaves there are.
pub fn rebuild_derived(env: &Env, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<DoctorReport, DoctorError> {
    let storage = &*env.storage;
    let _lock = recovery::lock(storage, dir)?;
    let redaction = dir.join(REDACTION_FILE);
    if storage.exists(&redaction) {
        let what = "a redaction is under way; start the server, which finishes it, then run this again".to_owned();
        return Err(DoctorError::Unfinished { path: redaction, what });
    }
    remove_derived(env, dir)?;
    let (journal, end) = read_journal(env, dir)?;
    let unusable = |error: CheckpointError| OpenError::Checkpoint(error.to_string());
    let recorded = Recorded::read(storage, dir).map_err(unusable)?;
    let (first, notes) = (recovery::first_key(&journal.genesis)?, rotation::notes(storage, dir)?);
    let found = rotation::find(&journal, first, notes, recorded.unverified(), end)?;
    let recorded = recorded.verify(&found.chain).map_err(unusable)?.signed.checkpoint;
    let tree = rebuild_tree(env, dir, &journal, end, progress)?;
    if recorded.size > end {
        return Err(OpenError::BehindCheckpoint { path: dir.to_owned(), end, recorded: recorded.size }.into());
    }
    let found = tree.root_at(recorded.size)?;
    if found != recorded.root {
        return Err(DoctorError::OtherRoot { size: recorded.size, recorded: recorded.root, found });
    }
    let segments = journal.headers().len() as u64;
    Ok(DoctorReport { segments, leaves: end, root: tree.root()?, checkpoint_size: recorded.size })
}

/// The tree over the blocks is made again when it is asked for.
fn remove_derived(env: &Env, dir: &Path) -> Result<(), DoctorError> {
    [OFFSETS_DIR, BLOCK_TREE_DIR].iter().try_for_each(|name| remove(env, dir.join(name)))
}

fn remove(env: &Env, path: PathBuf) -> Result<(), DoctorError> {
    match env.storage.remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError { path, action: "remove it", source }.into())
        }
        _ => Ok(()),
    }
}

/// Scans every segment, writes its offsets, and makes a reader of all. Returns the position behind the last leaf.
fn read_journal(env: &Env, dir: &Path) -> Result<(Arc<Journal>, u64), DoctorError> {
    let storage = &*env.storage;
    let mut segments = recovery::segments(env, dir)?;
    let genesis = recovery::read_genesis(&segments)?;
    let headers: Vec<_> = segments.iter().map(|segment| segment.header).collect();
    let Some(last) = segments.pop() else {
        return Err(OpenError::NoLedger { path: dir.to_owned(), missing: JOURNAL_DIR }.into());
    };
    for segment in &segments {
        let index = segment.scan(&headers).map_err(OpenError::from)?.index;
        offsets::store(storage, dir, segment.header.number, &segment.header_hash, &index).map_err(|source| {
            let path = offsets::offsets_path(dir, segment.header.number);
            FileError { path, action: "write it", source }
        })?;
    }
    let scanned = last.scan(&headers).map_err(OpenError::from)?;
    if let Tail::Torn { what, .. } = last.tail(scanned.end, scanned.chain.next_batch).map_err(OpenError::from)? {
        let what = format!("the last batch is torn ({what}); start the server, which cuts it, then run this again");
        return Err(DoctorError::Unfinished { path: last.path, what });
    }
    let active = Segment { file: last, index: RwLock::new(scanned.index) };
    Ok((Arc::new(Journal::new(env.clone(), dir, genesis, headers, active)), scanned.chain.next_position))
}

fn rebuild_tree(
    env: &Env,
    dir: &Path,
    journal: &Journal,
    end: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Tree, DoctorError> {
    let (tree, _) = Tree::open(Arc::clone(&env.storage), dir, 0)?;
    tree.clear()?;
    let mut run = Vec::with_capacity(LEAVES_PER_RUN);
    let mut failed = None;
    let read = journal.leaf_hashes(0, end, u64::MAX, &mut |leaf| {
        run.push(leaf);
        if run.len() >= LEAVES_PER_RUN && failed.is_none() {
            failed = tree.append(&run).err();
            run.clear();
            progress(tree.size(), end);
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    read.map_err(OpenError::Tree)?;
    tree.append(&run)?;
    tree.sync()?;
    progress(tree.size(), end);
    Ok(tree)
}
