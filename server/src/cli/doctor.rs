//! `ledgerstone doctor`: checks every ledger of a data directory and its key, and rebuilds what is derived from the
//! journal when asked. It never touches a journal, a checkpoint or a key. It also tells a running server that its clock is
//! right.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_digest::note::VerifierKey;
use ledgerstone_journal::keys::read_key;
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_journal::{Env, VerifyOptions, rebuild_derived, verify_directory};
use ledgerstone_query::columns::{COLUMNS_DIR, ColumnOptions, rebuild_columns};
use ledgerstone_query::index::IndexError;
use ledgerstone_query::index::disk::{INDEX_DIR, check_index};

use super::columns;
use super::report::{Check, Finding, Outcome, conclude};
use super::terminal::{Progress, thousands};
use super::verify::{is_derived, ledger_id, of_report, way_out};
use super::wire::{self, DEFAULT_ADDRESS};

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 all is well, 1 something is wrong, 2 something could not be checked.\n\
    Stop the server first, or check a copy.")]
pub struct Doctor {
    /// Where the ledgers are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-data")]
    data: PathBuf,
    /// Where their signing keys are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys")]
    keys: PathBuf,
    /// Remove the derived files and make tree, offsets and columns again from the journal; the row index is made again by
    /// the next start of the server.
    #[arg(long)]
    rebuild: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Tell a running server that the wall clock is right after it stopped writes because the clock had jumped. Nothing is
    /// checked then.
    #[arg(long, conflicts_with_all = ["rebuild", "directory"])]
    accept_clock: bool,
    /// Where the running server listens for PostgreSQL clients.
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADDRESS, requires = "accept_clock")]
    connect: String,
    /// Whose clock stop to lift.
    #[arg(long, value_name = "NAME", default_value = "main", requires = "accept_clock")]
    ledger: String,
    /// Who to be there; a password is taken from PGPASSWORD.
    #[arg(long, value_name = "NAME", default_value = "doctor", requires = "accept_clock")]
    user: String,
    /// One directory to check: a server's, or one ledger's. Instead of --data.
    #[arg(value_name = "DIR", conflicts_with = "data")]
    directory: Option<PathBuf>,
}

impl Doctor {
    pub fn run(self) -> ExitCode {
        if self.accept_clock {
            return match self.lift_clock_stop() {
                Ok(time) if self.json => {
                    println!("{:#}", serde_json::json!({ "ledger": self.ledger, "accepted": time }));
                    ExitCode::SUCCESS
                }
                Ok(time) => {
                    println!("ledger {}: the time {time} is taken as right; writes go on", self.ledger);
                    ExitCode::SUCCESS
                }
                Err(what) => {
                    eprintln!("ledgerstone doctor: {what}");
                    ExitCode::from(2)
                }
            };
        }
        let data = self.directory.as_ref().unwrap_or(&self.data);
        let checks = match ledgers(data) {
            Ok(ledgers) => ledgers.iter().map(|dir| self.examine(dir)).collect(),
            Err(what) => vec![Check::new(data, "a data directory").unchecked(what)],
        };
        conclude(&checks, self.json)
    }

    /// The server's own time, which it takes as right from now on.
    fn lift_clock_stop(&self) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        runtime.block_on(async {
            let client = wire::connect(&self.connect, &self.ledger, &self.user).await.map_err(|e| e.to_string())?;
            wire::value(&client, "SELECT ledgerstone_accept_clock()").await.map_err(|error| error.to_string())
        })
    }

    fn examine(&self, dir: &Path) -> Check {
        let key = key_of(dir, &self.keys);
        let vkey = key.as_ref().ok().cloned();
        let mut check = self.verify(dir, "checking", vkey.clone());
        if self.rebuild {
            let own = check.findings.iter().any(|finding| !is_derived(dir, finding));
            if own && check.outcome == Outcome::Broken {
                let what = "nothing was rebuilt: the journal itself is not what was written, and what is derived from it \
                            would be wrong as well";
                check.finding(Finding::of(Outcome::Unchecked, what));
                check.advice = Some("Keep a copy of the directory, and restore the journal from a backup.".to_owned());
            } else {
                check = self.rebuilt(dir, vkey);
            }
        } else if check.findings.iter().any(|finding| is_derived(dir, finding)) {
            check.advice = Some("What is derived can be made again: ledgerstone doctor --rebuild".to_owned());
        } else {
            check.advice = way_out(dir, &check);
        }
        if let Err(what) = key {
            check.finding(Finding { file: Some(self.keys.clone()), ..Finding::of(Outcome::Unchecked, what) });
        }
        check
    }

    fn rebuilt(&self, dir: &Path, vkey: Option<VerifierKey>) -> Check {
        let mut bar = self.bar(dir, "rebuilding", "leaves");
        let outcome = rebuild_derived(&Env::production(), dir, &mut |done, total| bar.at(done, total));
        drop(bar);
        for (name, what) in [(INDEX_DIR, "the row index"), (COLUMNS_DIR, "the columns")] {
            let path = dir.join(name);
            if outcome.is_ok()
                && path.exists()
                && let Err(error) = std::fs::remove_dir_all(&path)
            {
                let what = format!("not removed: {what}: {}: {error}", path.display());
                return Check::new(dir, "a ledger's directory").unchecked(what);
            }
        }
        let columns = outcome.is_ok().then(|| self.rebuilt_columns(dir));
        match outcome {
            Ok(report) => {
                let mut check = self.verify(dir, "checking", vkey);
                check.proved(format!(
                    "Tree and offsets were made again from the journal: {} leaves in {} segments.",
                    thousands(report.leaves),
                    report.segments
                ));
                match columns {
                    Some(Ok(Some(made))) => check.proved(made),
                    // They are made again by the server as well.
                    Some(Err(what)) => check.finding(Finding::of(Outcome::Unchecked, what)),
                    _ => {}
                }
                check
            }
            Err(error) => {
                let what = format!("the derived files were not rebuilt: {error}");
                Check::new(dir, "a ledger's directory").unchecked(what)
            }
        }
    }

    fn rebuilt_columns(&self, dir: &Path) -> Result<Option<String>, String> {
        let mut bar = self.bar(dir, "rebuilding the columns of", "positions");
        let options = ColumnOptions::default();
        let made = rebuild_columns(&Env::production(), dir, options, &mut |done, total| bar.at(done, total));
        match made {
            Ok(made) => Ok(made.map(|made| {
                let (rows, segments) = (thousands(made.rows), thousands(made.segments));
                format!("Columns were made again from the journal: {rows} revisions in {segments} segments.")
            })),
            Err(error) => Err(format!("the columns were not rebuilt: {error}")),
        }
    }

    fn verify(&self, dir: &Path, doing: &str, vkey: Option<VerifierKey>) -> Check {
        let mut bar = self.bar(dir, doing, "bytes");
        let mut progress = |done: u64, total: u64| bar.at(done, total);
        let options = VerifyOptions { vkey, progress: Some(&mut progress), ..VerifyOptions::default() };
        let mut check = of_report(dir, &verify_directory(&Env::production(), dir, options));
        self.check_index(dir, &mut check);
        columns::compare(dir, self.json, &mut check);
        check
    }

    /// The row index is no part of what is proved: it is only asked whether its files are what was written.
    fn check_index(&self, dir: &Path, check: &mut Check) {
        let Some(ledger) = ledger_id(dir) else { return };
        let mut bar = self.bar(dir, "checking the row index of", "bytes");
        let found = check_index(&Env::production(), dir, ledger, &mut |done, total| bar.at(done, total));
        drop(bar);
        match found {
            Ok(None) => {}
            Ok(Some(index)) => check.proved(format!(
                "The row index is whole: {} entries, for the journal up to position {}.",
                thousands(index.entries),
                thousands(index.position)
            )),
            Err(error) => {
                let (file, offset) = match &error {
                    IndexError::Damaged { path, offset, .. } => (Some(path.clone()), Some(*offset)),
                    IndexError::File { path, .. } => (Some(path.clone()), None),
                    _ => (Some(dir.join(INDEX_DIR)), None),
                };
                let what = format!("the row index is not what was written: {error}");
                check.finding(Finding { file, offset, ..Finding::of(Outcome::Broken, what) });
            }
        }
    }

    fn bar(&self, dir: &Path, doing: &str, unit: &'static str) -> Progress {
        let bar = Progress::new(format!("{doing} {}", dir.display()), unit);
        if self.json { bar.quiet() } else { bar }
    }
}

fn ledgers(data: &Path) -> Result<Vec<PathBuf>, String> {
    if data.join(JOURNAL_DIR).is_dir() {
        return Ok(vec![data.to_owned()]);
    }
    let entries = std::fs::read_dir(data).map_err(|error| format!("cannot be listed: {error}"))?;
    let mut ledgers: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join(JOURNAL_DIR).is_dir()).collect();
    ledgers.sort();
    if ledgers.is_empty() { Err("there is no ledger in it".to_owned()) } else { Ok(ledgers) }
}

/// The key the server would sign with.
fn key_of(dir: &Path, keys: &Path) -> Result<VerifierKey, String> {
    let id = ledger_id(dir).ok_or("whose key is needed cannot be told: the first segment cannot be read")?;
    let key = read_key(&keys.join(format!("{id}.key"))).map_err(|error| error.to_string())?;
    Ok(key.verifier().clone())
}
