//! `ledgerstone restore`: makes a ledger of a backup, after verifying it. The ledger can only be read until a checkpoint
//! that was kept elsewhere has been compared with it (docs/operations.md, "Restoring").

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_digest::note::VerifierKey;
use ledgerstone_journal::backup::{confirm, restore};
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_journal::verify::{Compared, VerifyReport};
use ledgerstone_journal::{Env, VerifyOptions, verify_directory};

use super::report::{Check, Outcome, conclude};
use super::terminal::{Progress, thousands};
use super::verify::{ledger_id, of_report, read_note, read_vkey};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The backup is verified first; one that does not verify is not restored. Without a checkpoint the\n\
    ledger can only be read: somebody may hold a newer checkpoint than the backup knows, and going on from here would\n\
    make a second history. Compare one that was kept elsewhere, now or later:\n  \
    ledgerstone restore /backups/main --checkpoint kept --key vkey\n  \
    ledgerstone restore --confirm --checkpoint kept --key vkey\n\n\
    Exit status: 0 done, 1 backup or checkpoint do not hold, 2 nothing was done for another reason."
)]
pub struct Restore {
    /// Where the ledger shall be: a data directory.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-data")]
    data: PathBuf,
    /// Where the signing keys are; the ledger's own must be there before a server can open it.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys")]
    keys: PathBuf,
    /// What the ledger shall be called.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// A checkpoint that was kept elsewhere; with it the ledger can be written to at once.
    #[arg(long, value_name = "FILE", requires = "key")]
    checkpoint: Option<PathBuf>,
    /// The ledger's verifier key, or a file with it.
    #[arg(long, value_name = "VKEY|FILE")]
    key: Option<String>,
    /// Compare a ledger that was restored before with --checkpoint, and let it be written to.
    #[arg(long, requires = "checkpoint", conflicts_with = "backup")]
    confirm: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// The backup.
    #[arg(value_name = "BACKUP", required_unless_present = "confirm")]
    backup: Option<PathBuf>,
}

impl Restore {
    pub fn run(self) -> ExitCode {
        let key = match self.key.as_deref().map(read_vkey).transpose() {
            Ok(key) => key,
            Err(what) => return refuse(&what),
        };
        let note = match self.checkpoint.as_deref().map(read_note).transpose() {
            Ok(note) => note,
            Err(what) => return refuse(&what),
        };
        let check = match &self.backup {
            Some(backup) => self.restore(backup, note, key),
            None => self.confirm(note, key),
        };
        match check {
            Ok(check) => conclude(&[check], self.json),
            Err(what) => refuse(&what),
        }
    }

    fn restore(&self, backup: &Path, note: Option<String>, key: Option<VerifierKey>) -> Result<Check, String> {
        let target = self.data.join(&self.ledger);
        if target.exists() {
            return Err(format!(
                "{} is there already. A restore never overwrites a ledger: give another --ledger NAME or --data DIR",
                target.display()
            ));
        }
        if !backup.join(JOURNAL_DIR).is_dir() {
            return Err(no_backup(backup));
        }
        let confirmed = note.is_some();
        let mut bar = self.bar("verifying", "bytes");
        let mut progress = |done: u64, total: u64| bar.at(done, total);
        let options =
            VerifyOptions { checkpoint: note, vkey: key, progress: Some(&mut progress), ..VerifyOptions::default() };
        let report = verify_directory(&Env::production(), backup, options);
        drop(bar);
        let mut check = of_report(backup, &report);
        if check.outcome != Outcome::Holds {
            check.advice = Some("Nothing was restored.".to_owned());
            return Ok(check);
        }
        let mut bar = self.bar("copying", "segments");
        restore(&Env::production(), backup, &target, confirmed, &mut |done, total| bar.at(done, total))
            .map_err(|error| error.to_string())?;
        drop(bar);
        let mode = if confirmed { "it can be written to" } else { "it can be read only, until --confirm" };
        check.proved(format!("Restored as {}: {mode}.", target.display()));
        warn_of_newer(&mut check, &report);
        check.advice = self.key_advice(&target);
        Ok(check)
    }

    fn confirm(&self, note: Option<String>, key: Option<VerifierKey>) -> Result<Check, String> {
        let dir = self.data.join(&self.ledger);
        let (Some(note), Some(key)) = (note, key) else { return Err("give --checkpoint and --key".to_owned()) };
        let mut bar = self.bar("verifying", "bytes");
        let mut progress = |done: u64, total: u64| bar.at(done, total);
        let report = confirm(&Env::production(), &dir, note, key, Some(&mut progress)).map_err(|e| e.to_string())?;
        drop(bar);
        let mut check = of_report(&dir, &report);
        if check.outcome == Outcome::Holds {
            check.proved("The checkpoint is of this ledger's own past: it can be written to again.".to_owned());
            warn_of_newer(&mut check, &report);
        }
        Ok(check)
    }

    /// The server signs with the ledger's key, which no backup has.
    fn key_advice(&self, dir: &Path) -> Option<String> {
        let id = ledger_id(dir)?;
        let path = self.keys.join(format!("{id}.key"));
        (!path.exists()).then(|| {
            format!("A server needs the ledger's key as {}: put it back from where you keep it.", path.display())
        })
    }

    fn bar(&self, doing: &str, unit: &'static str) -> Progress {
        let bar = Progress::new(doing, unit);
        if self.json { bar.quiet() } else { bar }
    }
}

/// Why what was given is not the directory of a backup, and which may be.
fn no_backup(given: &Path) -> String {
    let shown = given.display();
    let inside = match std::fs::read_dir(given) {
        Err(error) => return format!("{shown}: {error}; give the directory that `ledgerstone backup` wrote to"),
        Ok(entries) => entries.flatten().map(|entry| entry.path()).find(|path| path.join(JOURNAL_DIR).is_dir()),
    };
    let give = match inside {
        Some(inside) => format!("give the directory of one ledger, such as {}", inside.display()),
        None => "give the directory that `ledgerstone backup` wrote to".to_owned(),
    };
    format!("{shown} is not a backup: there is no {JOURNAL_DIR}/ in it; {give}")
}

/// What a checkpoint cannot rule out, the less the older it is.
fn warn_of_newer(check: &mut Check, report: &VerifyReport) {
    let Compared::WithCheckpoint { size, .. } = report.compared else { return };
    let age = match report.leaves.saturating_sub(size) {
        0 => "The one you gave is of its very end".to_owned(),
        1 => "The one you gave is one leaf older than its end".to_owned(),
        older => format!("The one you gave is {} leaves older than its end", thousands(older)),
    };
    check.not_proved(format!(
        "That nobody was given a checkpoint of a later size than {}, where this ledger ends. {age}. If somebody was, this \
         ledger now signs a second history: compare the newest checkpoint that was handed out before you let it be \
         written to.",
        thousands(report.leaves)
    ));
}

fn refuse(what: &str) -> ExitCode {
    eprintln!("ledgerstone restore: {what}");
    ExitCode::from(2)
}
