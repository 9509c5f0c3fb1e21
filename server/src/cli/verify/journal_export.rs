//! Checks a journal export in QLDB's format: every hash computed again, every block following from the one before.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::full::DotFrontier;
use ledgerstone_digest::qldb::chain::{ChainReport, ChainVerifier};
use ledgerstone_journal::qldb::source::{BlockSource, Directory, ExportError, JournalExport, check_redactions};

use super::Given;
use crate::cli::report::{Check, Finding, Outcome};
use crate::cli::terminal::{Progress, thousands};

pub fn check(path: &Path, given: &Given) -> Check {
    let mut check = Check::new(path, "a journal export");
    let mut bar = Progress::new(format!("verifying {}", path.display()), "bytes");
    if given.json {
        bar = bar.quiet();
    }
    let source = Directory(path.to_path_buf());
    let outcome = verify(&source, &mut bar);
    drop(bar);
    match outcome {
        Ok((report, digest, manifests)) => {
            shown(&mut check, &report, manifests);
            if let Some(digest) = digest {
                let text = format!("{} at block {}", STANDARD.encode(digest.0), report.blocks.saturating_sub(1));
                check.fact_as("QLDB digest", STANDARD.encode(digest.0), text);
            }
        }
        Err(error) => {
            let outcome = match error {
                ExportError::Block { .. } | ExportError::Incomplete(_) => Outcome::Broken,
                _ => Outcome::Unchecked,
            };
            check.finding(Finding::of(outcome, error.to_string()));
        }
    }
    check
}

type Verified = (ChainReport, Option<ledgerstone_digest::Hash>, usize);

fn verify(source: &Directory, bar: &mut Progress) -> Result<Verified, ExportError> {
    let export = JournalExport::open(source)?;
    let (mut chain, mut digest) = (ChainVerifier::new(), DotFrontier::default());
    export.blocks(&mut |object, block, so_far| {
        let wrong = |error| ExportError::Block { object: object.to_owned(), error };
        chain.block(&block).map_err(wrong)?;
        digest.append(block.block_hash);
        if so_far.blocks.is_multiple_of(256) {
            bar.at(so_far.done, export.bytes);
        }
        Ok(())
    })?;
    let open = chain.open_redactions().clone();
    let report = chain.finish().map_err(|error| ExportError::Block { object: "the export".to_owned(), error })?;
    check_redactions(&export, open)?;
    Ok((report, digest.root(), export.manifests))
}

fn shown(check: &mut Check, report: &ChainReport, manifests: usize) {
    let counts = [
        ("blocks", report.blocks),
        ("revisions", report.revisions),
        ("revisions as hashes", report.hash_only),
        ("redacted", report.redacted),
        ("blocks without statements", report.without_statements),
        ("deletions", report.deleted + report.deleted_as_null + report.deleted_as_nothing),
        ("version gaps", report.version_gaps),
        ("statements", report.statements),
        ("digests not recomputed", report.digests_not_recomputed),
    ];
    counts.into_iter().for_each(|(name, number)| check.fact_as(name, number, thousands(number)));
    check.proved("Every block, revision and statement has the hash that the block names, and every block follows from the one before.");
    check.proved(
        "Every document that a statement changed has its revision shown, and what is not shown any more was redacted.",
    );
    if report.without_statements > 0 {
        check.not_proved("What the blocks without statements changed: no list of their documents is shown.");
    }
    if manifests == 0 {
        check.not_proved("That the export is all of the journal: there is no manifest in it.");
    }
    check.not_proved(
        "That these are the blocks that were promised: compare the digest with one that was kept (ledgerstone import qldb-export --digest).",
    );
    check.not_proved("When things happened: times are the old server's claim.");
}
