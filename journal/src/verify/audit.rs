//! What is done with each block that the walk finds: digest's full verifier takes what was derived from its values, its
//! leaves are compared with the tree's files, and the roots that somebody signed are remembered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledgerstone_digest::Hash;
use ledgerstone_digest::checkpoint::Checkpoint;
use ledgerstone_digest::full::{
    Failure, FullReport, FullVerifier, OpenRedaction, PreparedBlock, PreparedRevision, Rotation,
};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::tree::leaf_hash;

use super::level_files::LevelFiles;
use super::report::VerifyReport;
use super::walk::{Derived, Visitor};
use crate::env::Storage;
use crate::frame::{BlockHead, Genesis};
use crate::offsets::{self, Index};
use crate::reader::genesis_leaf;
use crate::scan::SegmentFile;
use crate::segment::JOURNAL_DIR;

/// Follows the blocks.
pub(super) struct Audit<'a> {
    storage: &'a dyn Storage,
    dir: PathBuf,
    verifier: FullVerifier,
    levels: LevelFiles,
    /// QLDB's tree, if there are files of it.
    blocks: Option<LevelFiles>,
    /// The roots at sizes that somebody signed; `None` where the size is no block boundary.
    roots: BTreeMap<u64, Option<Hash>>,
    /// The key that the genesis names.
    pub(super) vkey: Option<VerifierKey>,
}

/// What of the audit outlives it, to compare checkpoints with.
pub(super) struct Audited {
    roots: BTreeMap<u64, Option<Hash>>,
    /// The key that the genesis names.
    pub(super) vkey: Option<VerifierKey>,
    /// Rotations of it in the journal, whoever agreed to them.
    pub(super) rotations: Vec<Rotation>,
    leaves: u64,
    /// The walk reached the end.
    whole: bool,
    /// Records of redactions for which no missing data was seen.
    pub(super) open: Vec<OpenRedaction>,
}

impl<'a> Audit<'a> {
    pub(super) fn new(storage: &'a dyn Storage, dir: &Path, sizes: Vec<u64>, report: &mut VerifyReport) -> Audit<'a> {
        Audit {
            storage,
            dir: dir.to_owned(),
            verifier: FullVerifier::new(Vec::new()),
            levels: LevelFiles::open(storage, dir, report),
            blocks: LevelFiles::of_blocks(storage, dir, report),
            roots: sizes.into_iter().map(|size| (size, None)).collect(),
            vkey: None,
        }
    }

    /// Judges what only the end shows. `whole` is false when the walk had to stop before it.
    pub(super) fn finish(self, whole: bool, report: &mut VerifyReport) -> Audited {
        let leaves = self.verifier.frontier().size();
        let mut open = Vec::new();
        let rotations = self.verifier.report().rotations.clone();
        count(self.verifier.report(), report);
        report.leaves = leaves;
        if whole {
            report.root = Some(self.verifier.frontier().root());
            self.levels.finish(report);
            if let Some(blocks) = self.blocks {
                blocks.finish(report);
            }
            let journal = self.dir.join(JOURNAL_DIR);
            match self.verifier.finish() {
                Ok(found) => {
                    count(&found, report);
                    open = found.redactions_open;
                }
                Err(failure) => report.broken(&journal, None, block_of(&failure), failure.to_string()),
            }
        }
        Audited { roots: self.roots, vkey: self.vkey, rotations, leaves, whole, open }
    }

    /// A size that may be signed: remembers the root if somebody did.
    fn boundary(&mut self) {
        let frontier = self.verifier.frontier();
        if let Some(root) = self.roots.get_mut(&frontier.size()) {
            *root = Some(frontier.root());
        }
    }
}

impl Audited {
    /// The walk reached the end.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is wrong with a checkpoint of this ledger.
    pub(super) fn compare(&self, checkpoint: &Checkpoint) -> Option<String> {
        let (size, leaves) = (checkpoint.size, self.leaves);
        if size > leaves {
            // Where the walk stopped is reported already, and may be why.
            let what = format!("it has {size} leaves, the journal only {leaves}: acknowledged data is missing");
            return self.whole.then_some(what);
        }
        match self.roots.get(&size) {
            Some(Some(root)) if *root == checkpoint.root => None,
            Some(Some(root)) => {
                let held = checkpoint.root;
                Some(format!("its root at {size} leaves is {held}, this journal's is {root}: the ledger was rewritten"))
            }
            _ => Some(format!("its size {size} lies inside of a block of this journal")),
        }
    }
}

impl Visitor for Audit<'_> {
    fn genesis(&mut self, genesis: &Genesis, report: &mut VerifyReport) -> Result<(), String> {
        let leaf = genesis_leaf(genesis);
        let facts = self.verifier.genesis(&leaf, &genesis.record).map_err(|failure| failure.to_string())?;
        report.ledger_id = Some(genesis.ledger);
        report.origin = Some(facts.origin);
        report.vkey = Some(facts.log_key.to_string());
        self.vkey = Some(facts.log_key);
        self.levels.complete(0, 0, leaf_hash(&leaf.encode()), report);
        self.boundary();
        Ok(())
    }

    fn revisions(&mut self, revisions: &[PreparedRevision], report: &mut VerifyReport) -> Result<(), String> {
        let levels = &mut self.levels;
        let complete = &mut |level, index, hash| levels.complete(level, index, hash, report);
        self.verifier.accept_revisions(revisions, complete).map_err(|failure| failure.to_string())
    }

    fn block(&mut self, head: &BlockHead, block: PreparedBlock, report: &mut VerifyReport) -> Result<Derived, String> {
        // Definitions of imported tables, if there are any, are another ledger's.
        let native = head.groups.iter().filter(|_| head.imported.is_none());
        for group in native {
            if let Some(listed) = &group.listed {
                self.verifier.listed_under(group.table_id, &listed.table_name);
            }
        }
        let levels = &mut self.levels;
        let accepted =
            self.verifier.accept(block, &mut |level, index, hash| levels.complete(level, index, hash, report));
        let accepted = accepted.map_err(|failure| failure.to_string())?;
        if let Some(blocks) = &mut self.blocks {
            blocks.append(accepted.opening.block_hash, report);
        }
        self.boundary();
        Ok(Derived { block_leaf: accepted.leaf_entry_hash, block_hash: accepted.opening.block_hash })
    }

    fn segment(&mut self, file: &SegmentFile, index: &Index, report: &mut VerifyReport) {
        let number = file.header.number;
        let path = offsets::offsets_path(&self.dir, number);
        if !self.storage.exists(&path) {
            return;
        }
        match offsets::load(self.storage, &self.dir, number, &file.header_hash) {
            Some(stored) if stored.entries() == index.entries() && stored.dictionary == index.dictionary => {}
            Some(_) => {
                let what = "the offsets are not those of the segment; run `ledgerstone doctor` to rebuild them";
                report.broken(&path, Some(0), None, what);
            }
            None => {
                let what =
                    "the offset file is torn, damaged or of an older state of its segment; the next start rebuilds it";
                report.unchecked(&path, Some(0), what);
            }
        }
    }
}

fn count(found: &FullReport, report: &mut VerifyReport) {
    report.blocks = found.blocks;
    report.revisions = found.revisions;
    report.deleted = found.deleted;
    report.redacted = found.redacted;
    report.imported_blocks = found.imported_blocks;
    report.opaque = found.opaque;
    report.statements = found.statements;
    report.digests_with_parameters = found.digests_not_recomputed;
    report.digests_redacted = found.texts_redacted;
    report.names_unproved = found.names_unproved;
    report.first_name_unproved = found.first_name_unproved;
    report.qldb_digest = found.qldb_digest;
}

fn block_of(failure: &Failure) -> Option<u64> {
    match failure {
        Failure::Block { number, .. } => Some(*number),
        Failure::Revision { block, .. } | Failure::InsideBlock { block, .. } => Some(*block),
        _ => None,
    }
}
