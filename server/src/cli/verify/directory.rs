//! Checks a ledger's directory: every hash derived again from the files, and compared with the checkpoint that somebody
//! else kept, if one is given.

use std::path::{Path, PathBuf};

use ledgerstone_digest::Id;
use ledgerstone_digest::checkpoint::ledger_id_of;
use ledgerstone_journal::env::OpenMode;
use ledgerstone_journal::qldb::BLOCK_TREE_DIR;
use ledgerstone_journal::segment::{SegmentHeader, segment_path};
use ledgerstone_journal::tree::TREE_DIR;
use ledgerstone_journal::verify::Compared;
use ledgerstone_journal::{Env, VerifyOptions, VerifyReport, verify_directory};
use ledgerstone_query::columns::COLUMNS_DIR;
use ledgerstone_query::index::disk::INDEX_DIR;

use super::Given;
use crate::cli::columns;
use crate::cli::report::{Check, Finding, Outcome};
use crate::cli::terminal::{Progress, bytes, thousands};

/// How much of a segment holds its header.
const HEADER_BYTES: usize = 4096;

/// Directories inside a ledger's that hold nothing but what the journal says.
const DERIVED: [&str; 5] = [TREE_DIR, BLOCK_TREE_DIR, "offsets", INDEX_DIR, COLUMNS_DIR];

/// For who has a key, and a ledger that it does not belong to.
const ANOTHER: &str = "If the key is of another ledger, verify this one by itself, with the key and the checkpoint that were kept of it.\n\
     If it should be the one you know, it was replaced: keep a copy of it, and look into your backups.";

/// Every ledger of a server. Key and checkpoint are for the ledger that they name.
pub fn check_all(path: &Path, ledgers: &[PathBuf], given: &Given) -> Vec<Check> {
    let wanted = given.key.as_ref().and_then(|key| ledger_id_of(key.name()));
    let alone = ledgers.len() == 1;
    let mut checks: Vec<Check> = Vec::new();
    let mut compared = given.key.is_none();
    for ledger in ledgers {
        // The header is not believed: the genesis, which the walk checks, names the same id or the ledger does not hold.
        let mine = alone || ledger_id(ledger).is_some_and(|id| Some(id) == wanted);
        compared |= mine;
        checks.push(check_one(ledger, given, mine));
    }
    if !compared {
        let name = given.key.as_ref().map(|key| key.name().to_owned()).unwrap_or_default();
        let check = Check::new(path, "a server's data directory").broken(format!("no ledger here is {name}"));
        checks.push(check.advice(format!("The ledgers above were compared with nothing that was kept. {ANOTHER}")));
    }
    checks
}

pub fn check(path: &Path, given: &Given) -> Check {
    check_one(path, given, true)
}

/// Whether what was found is of a file that can be made again from the journal.
pub fn is_derived(dir: &Path, finding: &Finding) -> bool {
    finding.file.as_ref().is_some_and(|file| DERIVED.iter().any(|derived| file.starts_with(dir.join(derived))))
}

/// Nothing is damaged: the ledger as a whole is not the one that was expected.
fn is_another(dir: &Path, check: &Check) -> bool {
    check.findings.iter().all(|finding| finding.file.as_deref() == Some(dir) && finding.outcome == Outcome::Broken)
}

/// What helps a ledger whose files are damaged; nothing for one that is whole, or is another one than was expected.
pub fn way_out(dir: &Path, check: &Check) -> Option<String> {
    let broken = || check.findings.iter().filter(|finding| finding.outcome == Outcome::Broken);
    let is_inside = |finding: &Finding| finding.file.as_ref().is_some_and(|file| file != dir && file.starts_with(dir));
    if broken().count() == 0 {
        return None;
    }
    let shown = dir.display();
    if broken().all(|finding| is_derived(dir, finding)) {
        return Some(format!(
            "The journal is whole; the files named above are made from it. Stop the server, and make them again:\n  \
             ledgerstone doctor --rebuild {shown}"
        ));
    }
    broken().any(is_inside).then(|| {
        format!(
            "Stop the server, and keep a copy of {shown} as it is. A backup replaces it, whole or by the files named \
             above:\n  \
             ledgerstone verify BACKUP --checkpoint FILE --key VKEY           whether the backup holds\n  \
             ledgerstone restore BACKUP --data NEW --checkpoint FILE --key VKEY\n\
             What was committed after the backup is in the damaged journal alone, so far as it can be read."
        )
    })
}

/// The ledger that a directory says it is.
pub fn ledger_id(dir: &Path) -> Option<Id> {
    let file = Env::production().storage.open(&segment_path(dir, 0), OpenMode::Read).ok()?;
    let mut page = vec![0; HEADER_BYTES];
    ledgerstone_journal::env::read_exact_at(&*file, &mut page, 0).ok()?;
    SegmentHeader::decode(&page).ok().map(|header| header.ledger)
}

/// `compare` false: the key and the checkpoint are of another ledger.
fn check_one(path: &Path, given: &Given, compare: bool) -> Check {
    let mut bar = Progress::new(format!("verifying {}", path.display()), "bytes");
    if given.json {
        bar = bar.quiet();
    }
    let mut progress = |done: u64, total: u64| bar.at(done, total);
    let options = VerifyOptions {
        checkpoint: given.kept.as_ref().filter(|_| compare).map(|kept| kept.note.clone()),
        vkey: given.directory_key().filter(|_| compare),
        progress: Some(&mut progress),
        ..VerifyOptions::default()
    };
    let report = verify_directory(&Env::production(), path, options);
    drop(bar);
    let mut check = of_report(path, &report);
    if check.outcome == Outcome::Holds {
        columns::compare(path, given.json, &mut check);
    }
    if check.outcome != Outcome::Holds {
        check.advice = match is_another(path, &check) {
            true => Some(ANOTHER.to_owned()),
            false => way_out(path, &check),
        };
        return check;
    }
    match (&report.compared, &given.key) {
        (Compared::WithCheckpoint { size, .. }, _) => {
            check.proved(format!(
                "The first {} leaves are those of the checkpoint you kept: nothing in them was changed, left out or added.",
                thousands(*size)
            ));
            if *size < report.leaves {
                check.proved(format!(
                    "The {} leaves after them continue that history.",
                    thousands(report.leaves.saturating_sub(*size))
                ));
            }
        }
        (Compared::WithItself, key) => {
            let key = if key.is_some() && compare { ", and names the key you gave" } else { "" };
            check.proved(format!("The directory is consistent with itself{key}."));
            let give = match given.key.is_some() && !compare {
                true => {
                    "What you gave is of another ledger: verify this one by itself, with its own --checkpoint and --key."
                }
                false => "Give --checkpoint FILE and --key VKEY, kept elsewhere.",
            };
            check.not_proved(format!(
                "That it is the ledger that others saw: somebody who rewrites all of it and signs it again passes this. {give}"
            ));
        }
    }
    check.not_proved("When things happened: block times are the server's claim.");
    if let Some(block) = report.first_name_unproved {
        check.not_proved(format!(
            "The names of tables in transactionInfo: {} of them are given by no definition of their table, first in \
             block {block}. Go by table ids, and by the definitions for names.",
            thousands(report.names_unproved)
        ));
    }
    check
}

/// The report of a directory as a check: facts and findings.
pub fn of_report(path: &Path, report: &VerifyReport) -> Check {
    let mut check = Check::new(path, "a ledger's directory");
    report.findings.iter().for_each(|finding| check.finding(Finding::from(finding)));
    if report.findings_left_out > 0 {
        let what = format!("{} more findings are not listed", report.findings_left_out);
        check.finding(Finding::of(Outcome::Unchecked, what));
    }
    check.outcome = check.outcome.max(report.verdict().into());
    if let Some(origin) = &report.origin {
        check.fact("ledger", origin.clone());
    }
    if let Some(vkey) = &report.vkey {
        check.fact("key", vkey.clone());
        if report.rotations > 0 {
            let text = format!("{} of the key, each signed by the key before", thousands(report.rotations));
            check.fact_as("rotations", report.rotations, text);
        }
    }
    if let Some(root) = &report.root {
        check.fact_as("leaves", report.leaves, format!("{}, root {root}", thousands(report.leaves)));
        check.fact_hidden("root", root.to_string());
    }
    let imported = match report.imported_blocks {
        0 => String::new(),
        n => format!(" ({} imported from QLDB)", thousands(n)),
    };
    check.fact_as("blocks", report.blocks, format!("{}{imported}", thousands(report.blocks)));
    let mut notes = Vec::new();
    if report.opaque > 0 {
        notes.push(format!("{} of which only QLDB's hash is known", thousands(report.opaque)));
    }
    if report.deleted > 0 {
        notes.push(format!("{} deletions", thousands(report.deleted)));
    }
    if report.redacted > 0 {
        notes.push(format!("{} redacted", thousands(report.redacted)));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    check.fact_as("revisions", report.revisions, format!("{}{notes}", thousands(report.revisions)));
    let not_recomputed = report.digests_with_parameters + report.digests_redacted;
    check.fact_as(
        "statements",
        report.statements,
        match not_recomputed {
            0 => thousands(report.statements),
            n => format!(
                "{} ({} digests not recomputable: {} with parameters, which are not kept, {} redacted)",
                thousands(report.statements),
                thousands(n),
                thousands(report.digests_with_parameters),
                thousands(report.digests_redacted)
            ),
        },
    );
    if let Some(size) = report.checkpoint_size {
        check.fact_as("recorded checkpoint", size, format!("size {}", thousands(size)));
    }
    if let Some(digest) = &report.qldb_digest {
        check.fact("QLDB digest", digest.to_string());
    }
    check.fact_as("read", report.bytes, bytes(report.bytes));
    check
}
