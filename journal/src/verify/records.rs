//! Records of redactions for which no missing data was seen: is the redaction not carried out yet, or does the record
//! name a revision that never was? The journal is walked once more to see, which happens only where there is one.

use std::path::Path;

use ledgerstone_digest::full::{FullVerifier, OpenRedaction, PreparedBlock, PreparedRevision, Sought};

use super::report::VerifyReport;
use super::walk::{Derived, Visitor};
use crate::frame::{BlockHead, Genesis};
use crate::offsets::Index;
use crate::reader::genesis_leaf;
use crate::scan::SegmentFile;

/// Looks for the revisions that records name.
pub(super) struct Seeker {
    verifier: FullVerifier,
    sought: Sought,
}

impl Seeker {
    pub(super) fn new(open: &[OpenRedaction]) -> Seeker {
        let mut sought = Sought::default();
        open.iter().for_each(|record| sought.record(*record));
        Seeker { verifier: FullVerifier::new(Vec::new()), sought }
    }

    /// Says what the records are worth. `found` is how many there are.
    pub(super) fn finish(self, journal: &Path, found: usize, report: &mut VerifyReport) {
        let missing = self.sought.missing();
        for record in &missing {
            report.broken(journal, None, None, record.to_string());
        }
        let unfinished = found.saturating_sub(missing.len());
        if unfinished > 0 {
            let what = format!(
                "{unfinished} recorded redactions are not carried out: their data is still there; start the server, \
                 which finishes them"
            );
            report.unchecked(journal, None, what);
        }
    }
}

impl Visitor for Seeker {
    fn genesis(&mut self, genesis: &Genesis, _: &mut VerifyReport) -> Result<(), String> {
        self.verifier.genesis(&genesis_leaf(genesis), &genesis.record).map(drop).map_err(|failure| failure.to_string())
    }

    fn revisions(&mut self, revisions: &[PreparedRevision], _: &mut VerifyReport) -> Result<(), String> {
        revisions.iter().for_each(|revision| self.sought.see(&revision.leaf));
        self.verifier.accept_revisions(revisions, &mut |_, _, _| ()).map_err(|failure| failure.to_string())
    }

    fn block(&mut self, _: &BlockHead, block: PreparedBlock, _: &mut VerifyReport) -> Result<Derived, String> {
        let accepted = self.verifier.accept(block, &mut |_, _, _| ()).map_err(|failure| failure.to_string())?;
        Ok(Derived { block_leaf: accepted.leaf_entry_hash, block_hash: accepted.opening.block_hash })
    }

    fn segment(&mut self, _: &SegmentFile, _: &Index, _: &mut VerifyReport) {}
}
