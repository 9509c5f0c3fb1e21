//! The columns of a ledger that nobody has open, compared with its journal: what `doctor` and `verify` have in common.

use std::path::Path;

use ledgerstone_journal::Env;
use ledgerstone_query::columns::{COLUMNS_DIR, ColumnError, check_columns};

use super::report::{Check, Finding, Outcome};
use super::terminal::{Progress, thousands};
use super::verify::ledger_id;

/// Adds to a check what the comparison came to, if there are columns.
pub fn compare(dir: &Path, quiet: bool, check: &mut Check) {
    let Some(ledger) = ledger_id(dir) else { return };
    let bar = Progress::new(format!("comparing the columns of {}", dir.display()), "rows");
    let mut bar = if quiet { bar.quiet() } else { bar };
    let found = check_columns(&Env::production(), dir, ledger, &mut |done, total| bar.at(done, total));
    drop(bar);
    match found {
        Ok(None) => {}
        Ok(Some(columns)) => check.proved(format!(
            "The columns are what the journal says: {} revisions in {} segments, for the journal up to position {}.",
            thousands(columns.rows),
            thousands(columns.segments),
            thousands(columns.position)
        )),
        Err(error) => {
            let (outcome, file, offset) = match &error {
                ColumnError::Damaged { path, offset, .. } => (Outcome::Broken, Some(path.clone()), Some(*offset)),
                ColumnError::File { path, .. } => (Outcome::Broken, Some(path.clone()), None),
                // What is wrong with the journal itself is said where that is checked.
                ColumnError::Journal(_) | ColumnError::Read(_) => (Outcome::Unchecked, None, None),
                _ => (Outcome::Broken, Some(dir.join(COLUMNS_DIR)), None),
            };
            let what = match outcome {
                Outcome::Broken => format!("the columns are not what was written: {error}"),
                _ => format!("the columns could not be compared: {error}"),
            };
            check.finding(Finding { file, offset, ..Finding::of(outcome, what) });
        }
    }
}
