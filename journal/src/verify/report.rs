//! What a full verification found: counts of what was re-derived, and findings that name file, offset and block.

use std::fmt;
use std::path::{Path, PathBuf};

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;

/// Findings kept; further ones are only counted.
const FINDINGS_MAX: usize = 100;

/// The verdict over a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything that was compared agrees.
    Holds,
    /// Something could not be checked; what could agrees.
    CouldNotBeChecked,
    /// Something does not agree.
    DoesNotHold,
}

impl Verdict {
    /// The exit status of `ledgerstone verify`: 0 holds, 1 does not hold, 2 could not be checked.
    pub fn exit_status(self) -> u8 {
        match self {
            Verdict::Holds => 0,
            Verdict::DoesNotHold => 1,
            Verdict::CouldNotBeChecked => 2,
        }
    }
}

/// One thing that is wrong or could not be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is; never [`Verdict::Holds`].
    pub verdict: Verdict,
    /// The file, or the directory when a file is missing.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: Option<u64>,
    /// The block that is hit.
    pub block: Option<u64>,
    /// What is wrong, and what helps.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        if let Some(block) = self.block {
            write!(f, ", block {block}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// With what the directory was compared beside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// With nothing: it is consistent with itself, which a rewritten and re-signed directory is as well.
    WithItself,
    /// With a checkpoint that somebody else kept.
    WithCheckpoint {
        /// The kept checkpoint's size.
        size: u64,
        /// The kept checkpoint's root.
        root: Hash,
    },
}

/// The outcome of [`super::verify_directory`].
#[derive(Debug, Clone)]
pub struct VerifyReport {
    /// The ledger's id, once the genesis is read.
    pub ledger_id: Option<Id>,
    /// The ledger's origin, once the genesis is read.
    pub origin: Option<String>,
    /// The key that is in force at the end, as far as keys have handed over: the genesis', if none was rotated.
    pub vkey: Option<String>,
    /// Rotations of the key that the keys before have signed.
    pub rotations: u64,
    /// Leaves derived.
    pub leaves: u64,
    /// The root over them.
    pub root: Option<Hash>,
    /// Blocks re-derived.
    pub blocks: u64,
    /// Revisions re-derived.
    pub revisions: u64,
    /// Revisions whose data was redacted, as a record in the ledger says.
    pub redacted: u64,
    /// Blocks that were imported from a QLDB ledger.
    pub imported_blocks: u64,
    /// Imported revisions of which only QLDB's hash is known.
    pub opaque: u64,
    /// Deletions.
    pub deleted: u64,
    /// QLDB's digest over all blocks.
    pub qldb_digest: Option<Hash>,
    /// Statements in all blocks.
    pub statements: u64,
    /// Statement digests that cannot be recomputed, because there were parameters, which are not kept.
    pub digests_with_parameters: u64,
    /// Statement digests that cannot be recomputed, because the text was redacted.
    pub digests_redacted: u64,
    /// How often a block lists documents of a table under a name that no definition gives the table, and the first such
    /// block. Such names are not authenticated; ids are.
    pub names_unproved: u64,
    pub first_name_unproved: Option<u64>,
    /// Bytes of journal files read.
    pub bytes: u64,
    /// The size of the recorded checkpoint, if there is one that verifies.
    pub checkpoint_size: Option<u64>,
    /// With what it was compared.
    pub compared: Compared,
    /// What is wrong or could not be checked, in the order it was found.
    pub findings: Vec<Finding>,
    /// Findings beyond those kept.
    pub findings_left_out: u64,
    worst: Verdict,
}

impl VerifyReport {
    pub(super) fn new() -> VerifyReport {
        VerifyReport {
            ledger_id: None,
            origin: None,
            vkey: None,
            rotations: 0,
            leaves: 0,
            root: None,
            blocks: 0,
            revisions: 0,
            redacted: 0,
            imported_blocks: 0,
            opaque: 0,
            deleted: 0,
            qldb_digest: None,
            statements: 0,
            digests_with_parameters: 0,
            digests_redacted: 0,
            names_unproved: 0,
            first_name_unproved: None,
            bytes: 0,
            checkpoint_size: None,
            compared: Compared::WithItself,
            findings: Vec::new(),
            findings_left_out: 0,
            worst: Verdict::Holds,
        }
    }

    /// The verdict: the worst of the findings.
    pub fn verdict(&self) -> Verdict {
        self.worst
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.worst = self.worst.max(finding.verdict);
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }

    pub(super) fn broken(&mut self, path: &Path, offset: Option<u64>, block: Option<u64>, what: impl Into<String>) {
        self.add(Finding { verdict: Verdict::DoesNotHold, path: path.to_owned(), offset, block, what: what.into() });
    }

    pub(super) fn unchecked(&mut self, path: &Path, offset: Option<u64>, what: impl Into<String>) {
        let verdict = Verdict::CouldNotBeChecked;
        self.add(Finding { verdict, path: path.to_owned(), offset, block: None, what: what.into() });
    }
}
