//! Checks a Parquet export: that it is complete, and that every value in it is the one the ledger committed to.

use std::path::Path;

use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_query::export::manifest::Scope;
use ledgerstone_query::export::{ExportProblem, VerifyExportOptions, verify_export};

use super::{Given, key_advice};
use crate::cli::report::{Check, Finding, Outcome};
use crate::cli::terminal::{Progress, thousands};

pub fn check(path: &Path, given: &Given) -> Check {
    let mut check = Check::new(path, "a Parquet export");
    let Some(key) = &given.key else {
        return check
            .unchecked("an export is checked against a key that comes from elsewhere; none was given")
            .advice(key_advice(None));
    };
    let mut bar = Progress::new(format!("verifying {}", path.display()), "rows");
    if given.json {
        bar = bar.quiet();
    }
    let options = VerifyExportOptions {
        keys: given.chain.clone().unwrap_or_else(|| KeyChain::new(key.clone())),
        kept: given.kept.as_ref().map(|kept| kept.checkpoint.clone()),
    };
    let outcome = verify_export(path, &options, &mut |rows| bar.at(rows, 0));
    drop(bar);
    let report = match outcome {
        Ok(report) => report,
        Err(problem) => {
            check.finding(finding(path, problem));
            return check;
        }
    };
    check.fact("ledger", report.checkpoint.origin.clone());
    check.fact("key", key.to_string());
    check.fact_as(
        "checkpoint",
        serde_json::json!({ "size": report.checkpoint.size, "root": report.checkpoint.root.to_string() }),
        format!("size {}, root {}", report.checkpoint.size, report.checkpoint.root),
    );
    let scope = match report.scope {
        Scope::History => "history",
        Scope::Current => "current",
    };
    check.fact("scope", scope);
    for (name, number) in [
        ("leaves", report.leaves),
        ("blocks", report.blocks),
        ("tables", report.tables),
        ("rows", report.rows),
        ("typed values", report.typed_values),
        ("deletions", report.deleted),
        ("redacted", report.redacted),
        ("withheld", report.withheld),
    ] {
        check.fact_as(name, number, thousands(number));
    }
    check.proved("The leaves make the root that the ledger's key signed, and are a valid ledger (rules V1 to V5).");
    check.proved(match report.scope {
        Scope::History => {
            "The rows are all revisions of these tables up to the checkpoint: none is missing, none is added."
        }
        Scope::Current => {
            "The rows are all documents that were current at the checkpoint: none is missing, none is added."
        }
    });
    check.proved(match report.withheld {
        0 => "Every row's data is what its leaf commits to, and every typed column says what the data says.",
        _ => "The data that is there is what its leaf commits to, and every typed column says what the data says.",
    });
    if report.withheld > 0 {
        let rows = thousands(report.withheld);
        check = check
            .unchecked(format!("{rows} imported rows have no data, and an export does not say whether it was redacted"))
            .advice("The ledger itself says it: ledgerstone verify DIR. If it was not redacted there, the export withholds it.");
    }
    if let Some(kept) = &given.kept {
        check.proved(format!("It is of the one history that your checkpoint of size {} is of.", kept.checkpoint.size));
    } else {
        check.not_proved(
            "That everyone is shown the same ledger: compare with a checkpoint kept elsewhere (--checkpoint).",
        );
    }
    check.not_proved("When things happened: block times are the server's claim.");
    check
}

fn finding(path: &Path, problem: ExportProblem) -> Finding {
    let outcome = if problem.is_false() { Outcome::Broken } else { Outcome::Unchecked };
    match problem {
        ExportProblem::Unreadable { file, what } | ExportProblem::False { file, what } => {
            Finding { file: Some(path.join(file)), ..Finding::of(outcome, what) }
        }
        other => Finding::of(outcome, other.to_string()),
    }
}
