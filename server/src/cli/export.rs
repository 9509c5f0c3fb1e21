//! `ledgerstone export`: writes a ledger's history or current data to Parquet, with all that is needed to verify it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_journal::Env;
use ledgerstone_journal::keys::keys_in;
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::export::manifest::{Manifest, Scope};
use ledgerstone_query::export::{ExportOptions, export};

use super::terminal::{Progress, Style, bytes, say, thousands};
use super::verify::ledger_id;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The export is a directory: Parquet files for pyarrow, DuckDB and others, all leaves of the tree, the\n\
    checkpoint and a manifest. Interrupted, it leaves nothing under the final name.\n\
    Verify it: ledgerstone verify OUT --key VKEY"
)]
pub struct Export {
    /// Where the ledgers are. The server must not be running on it.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-data")]
    data: PathBuf,
    /// Where their signing keys are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys")]
    keys: PathBuf,
    /// Which ledger.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// Only documents as they are now, not their history.
    #[arg(long)]
    current: bool,
    /// Only this table, by name or id; as often as needed.
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Print the manifest's counts as one JSON object.
    #[arg(long)]
    json: bool,
    /// The directory to make.
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

/// Why there is no export.
struct Failure {
    what: String,
    advice: Option<String>,
}

impl Export {
    pub fn run(self) -> ExitCode {
        match self.export() {
            Ok(manifest) => {
                self.done(&manifest);
                ExitCode::SUCCESS
            }
            Err(Failure { what, advice }) => {
                eprintln!("ledgerstone export: {what}");
                if let Some(advice) = advice {
                    eprintln!("\n{advice}");
                }
                ExitCode::from(2)
            }
        }
    }

    fn export(&self) -> Result<Manifest, Failure> {
        if self.out.exists() {
            return Err(Failure::of(format!("{} exists already; choose another place", self.out.display())));
        }
        let dir = self.directory()?;
        let database = self.open(&dir)?;
        let options = ExportOptions {
            scope: if self.current { Scope::Current } else { Scope::History },
            tables: self.tables.clone(),
            ..ExportOptions::default()
        };
        let mut bar = Progress::new("exporting", "leaves");
        if self.json {
            bar = bar.quiet();
        }
        let outcome = export(&*database, &self.out, &options, &mut |progress| {
            bar.at(progress.done, progress.total);
            true
        });
        drop(bar);
        let closed = database.close();
        let manifest = outcome.map_err(|error| Failure::of(error.to_string()))?;
        closed.map_err(|error| Failure::of(explain(&error)))?;
        Ok(manifest)
    }

    /// The ledger's directory: in the data directory, or the data directory itself if that is one ledger's.
    fn directory(&self) -> Result<PathBuf, Failure> {
        let dir = self.data.join(&self.ledger);
        for dir in [&dir, &self.data] {
            if dir.join(JOURNAL_DIR).is_dir() {
                return Ok(dir.clone());
            }
        }
        let names = std::fs::read_dir(&self.data).map(|entries| {
            let ledgers = entries.flatten().filter(|entry| entry.path().join(JOURNAL_DIR).is_dir());
            ledgers.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        });
        let there = match names {
            Ok(names) if names.is_empty() => "there is no ledger in it".to_owned(),
            Ok(names) => format!("there is: {}", names.join(", ")),
            Err(error) => error.to_string(),
        };
        Err(Failure::of(format!("{} has no ledger {:?}; {there}", self.data.display(), self.ledger)))
    }

    fn open(&self, dir: &Path) -> Result<std::sync::Arc<Database>, Failure> {
        let id = ledger_id(dir).ok_or_else(|| {
            Failure::of(format!("{}: the first segment of the journal cannot be read", dir.display()))
        })?;
        let keys = keys_in(&self.keys, id);
        Database::open(&Env::production(), dir, &self.ledger, keys, DatabaseOptions::default()).map_err(|error| {
            let failure = Failure::of(explain(&error));
            if error.code == SqlState::OBJECT_IN_USE { failure.advice(self.while_running()) } else { failure }
        })
    }

    /// What to do while a server has the ledger.
    fn while_running(&self) -> String {
        let table = self.tables.first().map_or("TABLE", String::as_str);
        let query =
            if self.current { format!("SELECT * FROM {table}") } else { format!("SELECT * FROM history({table})") };
        format!(
            "A running server has this ledger open. If it was started with --exports DIR, let it make the export:\n  \
             psql -h 127.0.0.1 -p 7432 {} -c \"COPY ({query}) TO 'NAME' (FORMAT parquet)\"\n\
             Otherwise stop it and run this again, or export a copy of the directory.\n\
             Rows alone, without what verifies them, come through the server:\n  \
             psql -h 127.0.0.1 -p 7432 {} -c \"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)\" > {table}.csv",
            self.ledger, self.ledger
        )
    }

    fn done(&self, manifest: &Manifest) {
        let user: Vec<_> = manifest.tables.iter().filter(|table| !table.system).collect();
        let rows: u64 = user.iter().map(|table| table.rows).sum();
        let size: u64 = manifest.tables.iter().flat_map(|table| &table.files).map(|file| file.bytes).sum();
        if self.json {
            let tables: Vec<_> =
                user.iter().map(|t| serde_json::json!({ "name": t.name, "id": t.id, "rows": t.rows })).collect();
            let object = serde_json::json!({
                "directory": self.out, "origin": manifest.origin, "size": manifest.size, "scope": manifest.scope,
                "rows": rows, "bytes": size, "tables": tables,
            });
            say!("{object:#}");
            return;
        }
        let style = Style::stdout();
        say!("{}  {}", style.green("✓ exported"), style.bold(&self.out.display().to_string()));
        say!("  ledger      {}", manifest.origin);
        say!("  checkpoint  size {}", thousands(manifest.size));
        for table in &user {
            say!("  {:<26} {:>12} rows", table.name, thousands(table.rows));
        }
        say!("  {} of Parquet. Verify it: ledgerstone verify {} --key VKEY", bytes(size), self.out.display());
    }
}

impl Failure {
    fn of(what: String) -> Failure {
        Failure { what, advice: None }
    }

    fn advice(mut self, advice: String) -> Failure {
        self.advice = Some(advice);
        self
    }
}

fn explain(error: &QueryError) -> String {
    let mut text = error.message.clone();
    for part in [&error.detail, &error.hint].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(part);
    }
    text
}
