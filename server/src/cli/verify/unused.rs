//! Options that nothing which is checked looks at. A reader who gives an expectation and reads "holds" takes it for met, so
//! one that is not compared with anything is said.

use std::path::Path;

use super::Verify;
use super::input::Input;
use crate::cli::report::Check;

/// Whether the check of an input compares it with an option.
type Looks = fn(&Input) -> bool;

/// What it is called, if it is checked by itself: a consistency proof belongs to the checkpoints beside it.
fn name(input: &Input) -> Option<&'static str> {
    match input {
        Input::Receipt(_) => Some("a receipt"),
        Input::ProofFile(_) => Some("a proof file"),
        Input::Checkpoint(_) => Some("a checkpoint"),
        Input::Ledger | Input::Server(_) => Some("a ledger's directory"),
        Input::Export => Some("a Parquet export"),
        Input::JournalExport => Some("a journal export in QLDB's format"),
        Input::Consistency(_) => None,
    }
}

fn is_signed(input: &Input) -> bool {
    !matches!(input, Input::JournalExport | Input::Consistency(_))
}

fn is_proof(input: &Input) -> bool {
    is_of_revisions(input) || matches!(input, Input::Checkpoint(_))
}

fn is_of_revisions(input: &Input) -> bool {
    matches!(input, Input::Receipt(_)) || is_of_a_leaf(input)
}

fn is_of_a_leaf(input: &Input) -> bool {
    matches!(input, Input::ProofFile(_))
}

/// The options that were given and that none of these inputs looks at, if there are any.
pub fn check(inputs: &[(&Path, &Input)], options: &Verify) -> Option<Check> {
    let given: [(&str, bool, Looks); 10] = [
        ("--key", options.key.is_some(), is_signed),
        ("--rotation", !options.rotations.is_empty(), is_signed),
        ("--checkpoint", options.checkpoint.is_some(), is_signed),
        ("--consistency", options.consistency.is_some(), is_proof),
        ("--table", options.table.is_some(), is_of_revisions),
        ("--document", options.document.is_some(), is_of_revisions),
        ("--version", options.version.is_some(), is_of_revisions),
        ("--content", options.content.is_some(), is_of_revisions),
        ("--leaf", options.leaf.is_some(), is_of_a_leaf),
        ("--witness", !options.witnesses.is_empty(), is_proof),
    ];
    let is_looked_at = |looks: &Looks| inputs.iter().any(|(_, input)| looks(input));
    let unused = given.iter().filter(|(_, is_given, looks)| *is_given && !is_looked_at(looks));
    let unused: Vec<&str> = unused.map(|(name, _, _)| *name).collect();
    let (path, _) = inputs.first()?;
    let (first, kind) = inputs.iter().find_map(|(_, input)| Some((input, name(input)?)))?;
    if unused.is_empty() {
        return None;
    }
    let (names, are) = (unused.join(", "), if unused.len() == 1 { "is" } else { "are" });
    let what = format!("{names} {are} not compared with anything: {kind} is not checked against that");
    let check = Check::new(path, kind).unchecked(what);
    Some(match first {
        Input::JournalExport => check.advice(
            "QLDB signed nothing. Compare the digest with one that was kept: ledgerstone import qldb-export --digest FILE.",
        ),
        Input::Ledger | Input::Server(_) => check.advice(
            "Leave it out. To check one document, fetch its receipt, psql -Atc \"SELECT ledgerstone_receipt('TABLE', 'KEY')\" \
             > receipt, and verify that.",
        ),
        _ => check.advice("Leave it out, or give what it is about: a receipt of the revision."),
    })
}
