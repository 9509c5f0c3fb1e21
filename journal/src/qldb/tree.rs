//! QLDB's tree over the hashes of the blocks: level files like those of the signed tree, with `dot` as the combiner.
//!
//! It is derived, off the commit path, and follows the journal only when somebody asks for a digest or a proof. Every
//! proof is compared with the root before it is served.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::Hash;
use ledgerstone_digest::qldb::dot2;
use ledgerstone_digest::tree::HashReader as _;

use super::QldbError;
use crate::env::Storage;
use crate::error::ReadError;
use crate::reader::Journal;
use crate::receipt::ReceiptError;
use crate::tree::{Tree, TreeError};

/// The directory of the level files inside a ledger's directory.
pub const BLOCK_TREE_DIR: &str = "blocks";

/// Hashes handed to the tree at a time.
const HASHES_PER_RUN: usize = 4096;

/// The tree of an open ledger.
pub(crate) struct BlockTree {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    state: Mutex<State>,
}

enum State {
    /// Nobody has asked yet.
    Untouched,
    Open(Arc<Tree>),
    /// The directory may be somebody else's by now.
    Closed,
}

impl BlockTree {
    pub fn new(storage: Arc<dyn Storage>, ledger_dir: &std::path::Path) -> BlockTree {
        BlockTree { storage, dir: ledger_dir.join(BLOCK_TREE_DIR), state: Mutex::new(State::Untouched) }
    }

    /// The tree, with at least this many blocks, which are published.
    pub fn reaching(&self, journal: &Journal, blocks: u64) -> Result<Arc<Tree>, QldbError> {
        let mut state = self.state();
        let tree = match &*state {
            State::Closed => return Err(QldbError::Closed),
            State::Open(tree) => Arc::clone(tree),
            State::Untouched => {
                let tree = Arc::new(self.open(journal, blocks)?);
                *state = State::Open(Arc::clone(&tree));
                tree
            }
        };
        // Under the lock: one appends at a time.
        if tree.size() < blocks {
            follow(&tree, journal, blocks)?;
        }
        Ok(tree)
    }

    /// Drops the files and what is in memory: what they say is wrong.
    pub fn clear(&self) -> Result<(), QldbError> {
        match &*self.state() {
            State::Open(tree) => Ok(tree.clear().map_err(ReceiptError::from)?),
            State::Untouched | State::Closed => Ok(()),
        }
    }

    /// Writes the files out. Nothing is written after this.
    pub fn close(&self) -> Result<(), TreeError> {
        match std::mem::replace(&mut *self.state(), State::Closed) {
            State::Open(tree) => tree.sync(),
            State::Untouched | State::Closed => Ok(()),
        }
    }

    fn open(&self, journal: &Journal, blocks: u64) -> Result<Tree, QldbError> {
        let combine = |left: &Hash, right: &Hash| dot2(*left, *right);
        let opened = Tree::open_with(Arc::clone(&self.storage), self.dir.clone(), blocks, combine);
        let (tree, dropped) = opened.map_err(ReceiptError::from)?;
        let dropped = match (dropped, tree.size().checked_sub(1)) {
            (None, Some(last)) => {
                let known = tree.reader().subtree(0, last);
                // A block's hash binds all blocks before it.
                let same = known.is_ok_and(|hash| head_hash(journal, last).is_ok_and(|expected| expected == hash));
                (!same).then(|| "they are of another history".to_owned())
            }
            (dropped, _) => dropped,
        };
        if let Some(reason) = dropped {
            tracing::warn!(reason, "the files of the tree over the blocks are made again");
            tree.clear().map_err(ReceiptError::from)?;
        }
        Ok(tree)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends the hashes of the blocks that the tree does not have yet.
fn follow(tree: &Tree, journal: &Journal, blocks: u64) -> Result<(), QldbError> {
    let from = journal.block_position(tree.size())?;
    let to = journal.block_position(blocks - 1)? + 1;
    let mut run = Vec::with_capacity(HASHES_PER_RUN);
    let append = |run: &mut Vec<Hash>| -> Result<(), QldbError> {
        tree.append(run).map_err(ReceiptError::from)?;
        run.clear();
        Ok(())
    };
    journal.block_hashes_between(from, to, &mut |hash| {
        run.push(hash);
        if run.len() == HASHES_PER_RUN { append(&mut run) } else { Ok(()) }
    })?;
    append(&mut run)
}

fn head_hash(journal: &Journal, number: u64) -> Result<Hash, ReadError> {
    Ok(journal.head(journal.block_position(number)?)?.block_hash)
}
