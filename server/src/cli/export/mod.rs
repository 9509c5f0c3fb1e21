//! `ledgerstone export`: writes a ledger to files that others read.
//!
//! | module | what is written |
//! |---|---|
//! | `parquet` | history or current data as Parquet, with all that is needed to verify it |
//! | `journal` | blocks as QLDB's journal exports had them |

mod journal;
mod parquet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ledgerstone_digest::ion::{Limits, Value, parse};
use ledgerstone_journal::Env;
use ledgerstone_journal::keys::keys_in;
use ledgerstone_journal::qldb::export::Format as BlockFormat;
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::{QueryError, SqlState};

use super::terminal::Progress;
use super::verify::ledger_id;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A Parquet export is a directory: Parquet files for pyarrow, DuckDB and others, all leaves of the tree, the\n\
    checkpoint and a manifest. Interrupted, it leaves nothing under the final name.\n\
    Verify it: ledgerstone verify OUT --key VKEY\n\n\
    The formats qldb-… are QLDB's journal exports: objects yyyy/mm/dd/hh/STRAND.FIRST-LAST.ion (or .json) of at most 8 MiB, or\n\
    of one block, and a manifest at each end. JSON cannot be hashed again. Interrupted, the same command goes on where it\n\
    stopped. OUT may be s3://BUCKET/PREFIX then: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION say as whom, and\n\
    AWS_ENDPOINT_URL_S3 where if it is not AWS itself.\n\
    Check one that is in a directory, every hash of it: ledgerstone verify OUT\n\n\
    Examples:\n  \
    ledgerstone export out                                        history of all tables as Parquet\n  \
    ledgerstone export --current --table person out               one table as it is now\n  \
    ledgerstone export --format qldb-ion out                      every block so far\n  \
    ledgerstone export --format qldb-ion s3://bucket/exports      the same into a bucket, keys beginning with exports/\n  \
    ledgerstone export --format qldb-json --from 2026-01-01 --to 2026-02-01T12:00:00Z out"
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
    /// What to write: rows, or blocks as QLDB exported them.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Parquet: only documents as they are now, not their history.
    #[arg(long)]
    current: bool,
    /// Parquet: only this table, by name or id; as often as needed.
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Blocks from this time on, such as 2026-01-02 or 2026-01-02T03:04:05Z; without it from the beginning.
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    from: Option<i64>,
    /// Blocks before this time; without it all that there are.
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    to: Option<i64>,
    /// Print what was exported as one JSON object.
    #[arg(long)]
    json: bool,
    /// The directory to make; for blocks also s3://BUCKET/PREFIX.
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Parquet,
    QldbIon,
    QldbIonBinary,
    QldbJson,
}

/// Why there is no export.
struct Failure {
    what: String,
    advice: Option<String>,
}

impl Export {
    pub fn run(self) -> ExitCode {
        let blocks = match self.format {
            Format::Parquet => None,
            Format::QldbIon => Some(BlockFormat::IonText),
            Format::QldbIonBinary => Some(BlockFormat::IonBinary),
            Format::QldbJson => Some(BlockFormat::Json),
        };
        let exported = self.check().and_then(|()| match blocks {
            None => self.parquet(),
            Some(format) => self.journal(format),
        });
        match exported {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure { what, advice }) => {
                eprintln!("ledgerstone export: {what}");
                if let Some(advice) = advice {
                    eprintln!("\n{advice}");
                }
                ExitCode::from(2)
            }
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let parquet = self.format == Format::Parquet;
        if parquet && (self.from.is_some() || self.to.is_some()) {
            return Err(Failure::of("--from and --to choose blocks: give --format qldb-ion or its like".to_owned()));
        }
        if !parquet && (self.current || !self.tables.is_empty()) {
            return Err(Failure::of("--current and --table choose rows: a journal export has whole blocks".to_owned()));
        }
        Ok(())
    }

    fn bar(&self, unit: &'static str) -> Progress {
        let bar = Progress::new("exporting", unit);
        if self.json { bar.quiet() } else { bar }
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
            Ok(names) if names.is_empty() => "there is no ledger in it; --data names where ledgers are".to_owned(),
            Ok(names) => format!("there is: {}; --ledger names one", names.join(", ")),
            Err(error) => format!("{error}; --data names where ledgers are"),
        };
        Err(Failure::of(format!("{} has no ledger \"{}\": {there}", self.data.display(), self.ledger)))
    }

    /// Opens the ledger for as long as `work` takes; `advice` is for who has a server running on it.
    fn with_database<T>(
        &self,
        advice: impl FnOnce() -> String,
        work: impl FnOnce(&Arc<Database>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let database = self.open(&self.directory()?, advice)?;
        let done = work(&database)?;
        database.close().map_err(|error| Failure::of(explain(&error)))?;
        Ok(done)
    }

    fn open(&self, dir: &Path, advice: impl FnOnce() -> String) -> Result<Arc<Database>, Failure> {
        let id = ledger_id(dir).ok_or_else(|| {
            Failure::of(format!("{}: the first segment of the journal cannot be read", dir.display()))
        })?;
        let keys = keys_in(&self.keys, id);
        Database::open(&Env::production(), dir, &self.ledger, keys, DatabaseOptions::default()).map_err(|error| {
            let failure = Failure::of(explain(&error));
            if error.code == SqlState::OBJECT_IN_USE { failure.advice(advice()) } else { failure }
        })
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

/// A time as Ion writes it, UTC if it says no other; the first millisecond that is not before it.
fn time_ms(text: &str) -> Result<i64, String> {
    match parse(text, &Limits::DOCUMENT) {
        Ok(Value::Timestamp(time)) => {
            let micros = time.epoch_micros();
            Ok(micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0))
        }
        _ => Err("this is not a time such as 2026-01-02 or 2026-01-02T03:04:05Z".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_ion() {
        let day = 1_767_312_000_000;
        let good = [
            ("2026-01-02", 0),
            ("2026-01-02T00:00:00Z", 0),
            ("2026-01-02T01:00+01:00", 0),
            ("2026-01-02T00:00:00.0015Z", 2),
            ("2026-01-02T00:00:00.002Z", 2),
        ];
        for (text, after) in good {
            assert_eq!(time_ms(text), Ok(day + after), "{text}");
        }
        for bad in ["", "now", "2026", "2026-01-32", "2026-01-02T00", "1767312000"] {
            assert!(time_ms(bad).is_err(), "{bad}");
        }
    }
}
