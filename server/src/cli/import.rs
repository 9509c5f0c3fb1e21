//! `ledgerstone import`: rows of files (`load`), or a ledger of another system's export (docs/migrate-from-qldb.md, "Bringing the ledger").

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{Limits as IonLimits, Value, parse};
use ledgerstone_journal::qldb::retired::RetiredLedger;
use ledgerstone_journal::qldb::source::{BlockSource, Directory, ExportError, JournalExport, ObjectSource};
use ledgerstone_journal::segment::JOURNAL_DIR;
use ledgerstone_journal::{Env, VerifyOptions, verify_directory};
use ledgerstone_query::database::{Limits, MemoryLimits};
use ledgerstone_query::import::{ImportError, ImportOptions, ImportReport, Progress as Far, SavedDigest, Step, import};
use ledgerstone_query::instance::InstanceOptions;
use ledgerstone_query::work::WorkLimits;

use super::load;
use super::report::{Outcome, conclude};
use super::terminal::{Progress, Style, say, thousands};
use super::verify::{of_report, read_note, read_vkey};
use crate::s3::Located;

#[derive(Debug, clap::Args)]
pub struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// Put the rows of CSV files into a table of a running server.
    Csv(load::Csv),
    /// Put the objects of JSON files into a table of a running server.
    Json(load::Json),
    /// Put the structs of Ion files into a table of a running server.
    Ion(load::Ion),
    /// Put the rows of Parquet files into a table of a running server.
    Parquet(load::Parquet),
    /// Make a ledger of a QLDB journal export, every block as it was.
    QldbExport(QldbExport),
    /// Go on with a ledger whose key is lost: a new one begins with its blocks and names its last checkpoint.
    Ledger(Continued),
}

/// Where the new ledger goes.
#[derive(Debug, clap::Args)]
struct Target {
    /// Where the ledger shall be: a data directory.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-data")]
    data: PathBuf,
    /// Where signing keys are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys")]
    keys: PathBuf,
    /// What the ledger shall be called.
    #[arg(long, value_name = "NAME")]
    ledger: String,
    /// First part of the origin that its checkpoints are signed as, such as a domain name of yours.
    #[arg(long, value_name = "PREFIX", default_value = "localhost")]
    origin: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The directory is verified first, and nothing is written to it. The new ledger has an id, an origin and a key of\n\
    its own; its genesis holds the last checkpoint of the old one. Receipts and checkpoints of the old ledger stay what they\n\
    are, signed by the lost key; keep the old directory for them. Old revisions are marked as imported.\n\n\
    Example:\n  \
    ledgerstone import ledger ledgerstone-data/main --ledger main-2 --checkpoint kept --key vkey\n\n\
    Exit status: 0 done, 1 the ledger does not hold, 2 nothing was done for another reason."
)]
struct Continued {
    #[command(flatten)]
    target: Target,
    /// A checkpoint of the old ledger that was kept elsewhere, to compare with.
    #[arg(long, value_name = "FILE", requires = "key")]
    checkpoint: Option<PathBuf>,
    /// The old ledger's verifier key, or a file with it.
    #[arg(long, value_name = "VKEY|FILE")]
    key: Option<String>,
    /// The old ledger's directory. No server may have it open.
    #[arg(value_name = "LEDGER")]
    directory: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every hash of the export is computed again before anything is written. Ion text and Ion binary are read,\n\
    objects in any order and depth; an export in JSON cannot be verified. A server may be running on the data directory:\n\
    it serves the ledger as soon as it is whole. An import that was interrupted goes on when it is started again.\n\
    EXPORT may be s3://BUCKET/BEGINNING, all objects whose keys begin so; AWS_ACCESS_KEY_ID and its like say as whom, and\n\
    AWS_ENDPOINT_URL_S3 where if it is not AWS itself. They are read more than once: a copy may be cheaper.\n\n\
    Examples:\n  \
    ledgerstone import qldb-export s3://my-bucket/exports/ --ledger vehicle-registration\n  \
    aws s3 sync s3://my-bucket/exports/ exports/\n  \
    ledgerstone import qldb-export exports/ --ledger vehicle-registration\n  \
    ledgerstone import qldb-export exports/ --ledger vehicle-registration \\\n      \
    --digest 7m2T…= --digest-tip '{strandId:\"JdxjkR9bSYB5jMHWcI464T\",sequenceNo:73}'\n\n\
    Exit status: 0 imported, 1 the export does not hold, 2 nothing was done for another reason."
)]
struct QldbExport {
    #[command(flatten)]
    target: Target,
    /// A digest that was kept from QLDB, as GetDigest gave it: 32 bytes in base64.
    #[arg(long, value_name = "BASE64", requires = "digest_tip")]
    digest: Option<String>,
    /// The address that came with the digest, or the number of its block.
    #[arg(long, value_name = "ADDRESS", requires = "digest")]
    digest_tip: Option<String>,
    /// A directory with the objects of the export, or s3://BUCKET/BEGINNING.
    #[arg(value_name = "EXPORT")]
    export: PathBuf,
}

impl Import {
    pub fn run(self) -> ExitCode {
        match self.from {
            From::Csv(arguments) => arguments.run(),
            From::Json(arguments) => arguments.run(),
            From::Ion(arguments) => arguments.run(),
            From::Parquet(arguments) => arguments.run(),
            From::QldbExport(arguments) => arguments.run(),
            From::Ledger(arguments) => arguments.run(),
        }
    }
}

impl QldbExport {
    fn run(self) -> ExitCode {
        let source: Box<dyn ObjectSource> = match Located::open(&self.export) {
            None => Box::new(Directory(self.export.clone())),
            Some(Ok(located)) => Box::new(located),
            Some(Err(error)) => return refuse(&error.to_string()),
        };
        match (self.saved_digest(), JournalExport::open(&*source)) {
            (Ok(digest), Ok(export)) => self.target.import(&export, digest),
            (Err(what), _) => refuse(&what),
            (_, Err(error)) => failed(&error.into()),
        }
    }

    fn saved_digest(&self) -> Result<Option<SavedDigest>, String> {
        let (Some(digest), Some(tip)) = (&self.digest, &self.digest_tip) else { return Ok(None) };
        let bytes = STANDARD.decode(digest.trim()).map_err(|error| format!("--digest is not base64: {error}"))?;
        let hash = Hash::from_slice(&bytes).ok_or_else(|| format!("--digest has {} bytes, not 32", bytes.len()))?;
        let wrong = || format!("--digest-tip is \"{tip}\"; it is {{strandId:\"…\",sequenceNo:n}} or the number n");
        let tip = match parse(tip, &IonLimits::DOCUMENT).map_err(|_| wrong())? {
            Value::Int(number) => number.to_u64(),
            Value::Struct(fields) => match fields.get("sequenceNo") {
                Some(Value::Int(number)) => number.to_u64(),
                _ => None,
            },
            _ => None,
        };
        Ok(Some(SavedDigest { hash, tip: tip.ok_or_else(wrong)? }))
    }
}

impl Continued {
    fn run(self) -> ExitCode {
        let given =
            (self.key.as_deref().map(read_vkey).transpose(), self.checkpoint.as_deref().map(read_note).transpose());
        let (vkey, checkpoint) = match given {
            (Ok(vkey), Ok(checkpoint)) => (vkey, checkpoint),
            (Err(what), _) | (_, Err(what)) => return refuse(&what),
        };
        if !self.directory.join(JOURNAL_DIR).is_dir() {
            return refuse(&format!(
                "{}: there is no ledger here ({JOURNAL_DIR} is missing)",
                self.directory.display()
            ));
        }
        let mut bar = self.target.bar("verifying", "bytes");
        let mut progress = |done: u64, total: u64| bar.at(done, total);
        let options = VerifyOptions { checkpoint, vkey, progress: Some(&mut progress), ..VerifyOptions::default() };
        let report = verify_directory(&Env::production(), &self.directory, options);
        drop(bar);
        let mut check = of_report(&self.directory, &report);
        if check.outcome == Outcome::Broken {
            check.advice = Some("Nothing was made of it.".to_owned());
            return conclude(&[check], self.target.json);
        }
        match RetiredLedger::open(&Env::production(), &self.directory) {
            Ok(ledger) => self.target.import(&ledger, None),
            Err(error) => refuse(&error.to_string()),
        }
    }
}

impl Target {
    fn import(&self, source: &dyn BlockSource, digest: Option<SavedDigest>) -> ExitCode {
        let unit = if source.continues().is_some() { "blocks" } else { "bytes" };
        let mut bars = [self.bar("verifying", unit), self.bar("writing", unit)];
        let mut progress = |Far { step, done, all }: Far| match step {
            Step::Verifying => bars[0].at(done, all),
            Step::Writing => bars[1].at(done, all),
        };
        let options = ImportOptions { name: &self.ledger, digest, progress: &mut progress };
        let outcome = import(&self.instance(), source, options);
        drop(bars);
        match outcome {
            Ok(report) => {
                self.done(&report, source.continues().is_some());
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        }
    }

    fn instance(&self) -> InstanceOptions {
        InstanceOptions {
            env: Env::production(),
            data: self.data.clone(),
            keys: self.keys.clone(),
            origin_prefix: self.origin.clone(),
            limits: Limits::default(),
            memory: MemoryLimits::default(),
            work: WorkLimits::default(),
        }
    }

    fn bar(&self, doing: &str, unit: &'static str) -> Progress {
        let bar = Progress::new(doing, unit);
        if self.json { bar.quiet() } else { bar }
    }

    fn done(&self, report: &ImportReport, continued: bool) {
        if self.json {
            say!("{}", json(report));
            return;
        }
        let style = Style::stdout();
        let chain = &report.chain;
        let what = if continued { "goes on where the old ledger ended" } else { "is imported" };
        say!("{} {}", style.green("✓"), style.bold(&format!("{} {what}", self.ledger)));
        say!("  blocks      {}, each with the hash that it had", thousands(chain.blocks));
        say!("  revisions   {}", thousands(chain.revisions));
        say!("  tables      {} active, {} indexes", report.tables, report.indexes);
        say!("  ledger      {}", report.origin);
        say!("  key         {}", report.vkey);
        say!("  QLDB digest {} at block {}", STANDARD.encode(report.qldb_digest.0), chain.blocks - 1);
        if let Some(shape) = report.digest_shape {
            say!("  {} the digest that you kept comes out of these blocks ({shape})", style.green("✓"));
        }
        let notes = if continued { Vec::new() } else { notes(report) };
        if !notes.is_empty() {
            say!("\nWhat the export does not show:");
            notes.iter().for_each(|note| say!("  - {note}"));
        }
        let (data, keys) = (self.data.display(), self.keys.display());
        say!("\nVerify it: ledgerstone verify {}", report.directory.display());
        say!("Serve it:  ledgerstone serve --data {data} --keys {keys}");
    }
}

fn refuse(what: &str) -> ExitCode {
    eprintln!("ledgerstone import: {what}");
    ExitCode::from(2)
}

fn failed(error: &ImportError) -> ExitCode {
    eprintln!("ledgerstone import: {error}");
    if let ImportError::Ledger(error) = error
        && let Some(hint) = &error.hint
    {
        eprintln!("\n{hint}");
    }
    let does_not_hold = match error {
        ImportError::Export(error) => !matches!(error, ExportError::Source(_) | ExportError::Ledger(_)),
        _ => false,
    };
    ExitCode::from(if does_not_hold { 1 } else { 2 })
}

/// What nobody can compute or tell from the export.
fn notes(report: &ImportReport) -> Vec<String> {
    let chain = &report.chain;
    let counts = [
        (chain.hash_only, "revisions of which only the hash was exported: QLDB's own"),
        (chain.redacted, "revisions that were redacted before"),
        (report.left_out, "revisions that were redacted after they were exported: their data was left out"),
        (chain.without_statements, "blocks without a statement: what they changed may not be shown either"),
        (
            chain.version_gaps,
            "revisions whose version does not follow from the one before: those between are not there",
        ),
        (
            chain.digests_not_recomputed,
            "statements with parameters, which QLDB did not keep: their digests cannot be computed again",
        ),
        (
            chain.deleted_as_null + chain.deleted_as_nothing,
            "deletions whose hash stands for a null or for nothing beside the metadata",
        ),
        (report.repeated, "blocks that were in more than one object"),
        (report.drops_untold, "DROP INDEX statements by an id that was not exported: the index stays"),
        (report.definitions_unread, "definitions whose text cannot be read"),
    ];
    let mut notes: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", thousands(*n))).collect();
    if report.manifests == Some(0) {
        notes.push("whether the export is all of the journal: there is no manifest in it".to_owned());
    }
    if report.digest_shape.is_none() {
        notes.push("whether these are the blocks that QLDB promised: give --digest, if you kept one".to_owned());
    }
    notes
}

fn json(report: &ImportReport) -> serde_json::Value {
    let chain = &report.chain;
    serde_json::json!({
        "directory": report.directory, "ledger": report.ledger.to_string(), "origin": report.origin,
        "vkey": report.vkey.to_string(), "blocks": chain.blocks, "revisions": chain.revisions,
        "tables": report.tables, "indexes": report.indexes, "hashOnlyRevisions": chain.hash_only,
        "redacted": chain.redacted, "leftOut": report.left_out,
        "blocksWithoutStatements": chain.without_statements, "versionGaps": chain.version_gaps,
        "deletions": {"metadata": chain.deleted, "null": chain.deleted_as_null, "nothing": chain.deleted_as_nothing},
        "statements": chain.statements, "digestsNotRecomputed": chain.digests_not_recomputed,
        "repeatedBlocks": report.repeated, "resumedBlocks": report.resumed_blocks, "manifests": report.manifests,
        "qldbDigest": STANDARD.encode(report.qldb_digest.0), "qldbDigestTip": chain.blocks.saturating_sub(1),
        "digestChecked": report.digest_shape.map(|shape| shape.to_string()),
        "dropsUntold": report.drops_untold, "definitionsUnread": report.definitions_unread,
    })
}
