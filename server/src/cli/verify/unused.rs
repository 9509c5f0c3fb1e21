//! Options that nothing which is checked looks at. A reader who gives an expectation and reads "holds" takes it for met, so
//! one that is not compared with anything is said.

use std::path::Path;

use super::Verify;
use super::input::Input;
use crate::cli::report::Check;

/// What looks at an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Receipt,
    ProofFile,
    Checkpoint,
    Directory,
    Export,
    JournalExport,
}

impl Kind {
    fn of(input: &Input) -> Option<Kind> {
        match input {
            Input::Receipt(_) => Some(Kind::Receipt),
            Input::ProofFile(_) => Some(Kind::ProofFile),
            Input::Checkpoint(_) => Some(Kind::Checkpoint),
            Input::Ledger | Input::Server(_) => Some(Kind::Directory),
            Input::Export => Some(Kind::Export),
            Input::JournalExport => Some(Kind::JournalExport),
            // It belongs to the checkpoints beside it.
            Input::Consistency(_) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Receipt => "a receipt",
            Kind::ProofFile => "a proof file",
            Kind::Checkpoint => "a checkpoint",
            Kind::Directory => "a ledger's directory",
            Kind::Export => "a Parquet export",
            Kind::JournalExport => "a journal export in QLDB's format",
        }
    }
}

const SIGNED: &[Kind] = &[Kind::Receipt, Kind::ProofFile, Kind::Checkpoint, Kind::Directory, Kind::Export];
const PROOFS: &[Kind] = &[Kind::Receipt, Kind::ProofFile, Kind::Checkpoint];
const OF_REVISIONS: &[Kind] = &[Kind::Receipt, Kind::ProofFile];

/// The options that were given and that none of these inputs looks at, if there are any.
pub fn check(path: &Path, inputs: &[Input], options: &Verify) -> Option<Check> {
    let kinds: Vec<Kind> = inputs.iter().filter_map(Kind::of).collect();
    let given = [
        ("--key", options.key.is_some(), SIGNED),
        ("--rotation", !options.rotations.is_empty(), SIGNED),
        ("--checkpoint", options.checkpoint.is_some(), SIGNED),
        ("--consistency", options.consistency.is_some(), PROOFS),
        ("--table", options.table.is_some(), OF_REVISIONS),
        ("--document", options.document.is_some(), OF_REVISIONS),
        ("--version", options.version.is_some(), OF_REVISIONS),
        ("--content", options.content.is_some(), OF_REVISIONS),
        ("--leaf", options.leaf.is_some(), &[Kind::ProofFile]),
        ("--witness", !options.witnesses.is_empty(), PROOFS),
    ];
    let unused = given.iter().filter(|(_, is_given, by)| *is_given && !kinds.iter().any(|kind| by.contains(kind)));
    let unused: Vec<&str> = unused.map(|(name, _, _)| *name).collect();
    let first = *kinds.first()?;
    if unused.is_empty() {
        return None;
    }
    let (names, are) = (unused.join(", "), if unused.len() == 1 { "is" } else { "are" });
    let what = format!("{names} {are} not compared with anything: {} is not checked against that", first.name());
    let check = Check::new(path, first.name()).unchecked(what);
    Some(match first {
        Kind::JournalExport => check.advice(
            "QLDB signed nothing. Compare the digest with one that was kept: ledgerstone import qldb-export --digest FILE.",
        ),
        _ => check.advice("Leave it out, or give what it is about: a receipt of the revision."),
    })
}
