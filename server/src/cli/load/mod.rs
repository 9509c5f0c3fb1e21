//! `ledgerstone import csv|json|ion|parquet`: rows of files into a table of a running server (docs/operations.md, "Bringing rows
//! in").
//!
//! | module | what lives there |
//! |---|---|
//! | `source` | what a file is to the others: rows, each with its place |
//! | `csv`, `values`, `ion`, `parquet` | the formats; `values` splits JSON and Ion text |
//! | `target` | the table: its columns, what is made of a row, and types that are guessed |
//! | `sender` | chunks of rows into the server, each whole or not at all |

mod csv;
mod ion;
mod parquet;
mod sender;
mod source;
mod target;
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_query::export::manifest::MANIFEST_FILE;

use super::service;
use super::terminal::{Progress, counted, say, thousands};
use sender::{Sender, Sent};
use source::{Row, Source, Trouble};
use target::{Described, Target};

/// Rows of a chunk that is not told otherwise.
const CHUNK_ROWS: u64 = 10_000;
/// Rows from which types are guessed.
const GUESS_ROWS: usize = 10_000;
/// Bytes of files that are kept for guessing, about.
const GUESS_BYTES: usize = 16 << 20;

/// What all formats are told.
#[derive(Debug, clap::Args)]
pub struct Rows {
    /// Where the server's HTTP port listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7430")]
    connect: String,
    /// Which ledger.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// Who to be; a password is taken from PGPASSWORD.
    #[arg(long, value_name = "NAME", default_value = "import")]
    user: String,
    /// The table.
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// Make the table: with columns for CSV and Parquet, without for JSON and Ion.
    #[arg(long)]
    create: bool,
    /// The primary key of the table that is made: names of columns with commas between.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "create")]
    primary_key: Vec<String>,
    /// A column's type in the table that is made, in place of the one that is guessed; as often as needed.
    #[arg(long = "column", value_name = "NAME=TYPE", value_parser = pair, requires = "create")]
    columns: Vec<(String, String)>,
    /// What a field of the file is called in the table; as often as needed.
    #[arg(long = "map", value_name = "FIELD=COLUMN", value_parser = pair)]
    map: Vec<(String, String)>,
    /// A field of the file that is left out; as often as needed.
    #[arg(long = "skip", value_name = "FIELD")]
    skip: Vec<String>,
    /// Rows of a transaction, at most; it ends after 8 MiB too.
    #[arg(long, value_name = "ROWS", default_value_t = CHUNK_ROWS, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    chunk_rows: u64,
    /// Everything in one transaction: all rows, or none.
    #[arg(long, conflicts_with = "chunk_rows")]
    atomic: bool,
    /// Go on with an import that did not come to its end: the token that it printed. The command must be the same otherwise.
    #[arg(long, value_name = "TOKEN", conflicts_with = "create")]
    resume: Option<String>,
    /// Print what was imported as one JSON object.
    #[arg(long)]
    json: bool,
    /// The files, one after another.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

const AFTER: &str = "Each chunk of rows is one transaction: when something stops the import, the chunks before it stay, and it says how many\n\
    rows that are and with which --resume TOKEN the same command goes on; what is there already is found by that token and not\n\
    written again. With --atomic all rows are one transaction. What is wrong with a row is said with file, line or row, column and text.";

#[derive(Debug, clap::Args)]
#[command(
    after_help = after(AFTER_CSV)
)]
pub struct Csv {
    #[command(flatten)]
    rows: Rows,
    /// What stands between fields: one ASCII character, or \t.
    #[arg(long, value_name = "CHAR", default_value = ",", value_parser = delimiter)]
    delimiter: u8,
    /// The text, without quotes, that stands for NULL.
    #[arg(long, value_name = "TEXT", default_value = "")]
    null: String,
    /// The first line is a row already; the columns are named by --names, or are the table's in their order.
    #[arg(long)]
    no_header: bool,
    /// The fields' names, with commas between, in place of the first line's.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Vec<String>,
}

const AFTER_CSV: &str = "Fields may be in double quotes, and have line ends inside them then (RFC 4180); UTF-8. Texts are read as the columns' types read them.\n\
    With --create the types are guessed from the first 10,000 rows (16 MiB at most): boolean, bigint, numeric, double precision (with an exponent),\n\
    date, timestamp, timestamptz, uuid if all texts of a column are such, else text. A later row that does not fit is an error.\n\n\
    Examples:\n  \
    ledgerstone import csv customers.csv --table customer --create --primary-key id\n  \
    ledgerstone import csv a.csv b.csv --table customer --delimiter ';' --null NULL --map 'E-Mail=email' --skip Remarks\n  \
    ledgerstone import csv big.csv --table address --column zip=text --create --chunk-rows 50000\n\n\
    Exit status: 0 imported, 1 a row was refused, 2 it could not be done for another reason.";

#[derive(Debug, clap::Args)]
#[command(after_help = after(AFTER_JSON))]
pub struct Json {
    #[command(flatten)]
    rows: Rows,
}

const AFTER_JSON: &str = "A file is objects, one after another (JSON Lines or not), or one array of objects. Numbers keep their digits. In a table with columns\n\
    strings are read as the columns' types read them; in one without, objects are documents as they are, and --create makes such a one.\n\n\
    Examples:\n  \
    ledgerstone import json events.jsonl --table event --create\n  \
    ledgerstone import json people.json --table contact --skip _id\n\n\
    Exit status: 0 imported, 1 a row was refused, 2 it could not be done for another reason.";

#[derive(Debug, clap::Args)]
#[command(after_help = after(AFTER_ION))]
pub struct Ion {
    #[command(flatten)]
    rows: Rows,
}

const AFTER_ION: &str = "A file is structs, one after another, in Ion text or Ion binary. Values keep types, digits and annotations in a table without columns;\n\
    --create makes such a one. Symbol tables are read in Ion binary, not in text.\n\n\
    Examples:\n  \
    ledgerstone import ion documents.10n --table Vehicle --create\n\n\
    Exit status: 0 imported, 1 a row was refused, 2 it could not be done for another reason.";

#[derive(Debug, clap::Args)]
#[command(after_help = after(AFTER_PARQUET))]
pub struct Parquet {
    #[command(flatten)]
    rows: Rows,
}

const AFTER_PARQUET: &str = "With --create columns get the types of the file's. A file of `ledgerstone export --current` is read by its column _ql_ion, which has the\n\
    documents as they were; --create makes a table without columns for it.\n\n\
    Examples:\n  \
    ledgerstone import parquet members.parquet --table member --create\n  \
    ledgerstone import parquet out/tables/08h2Xpj5slXJte0sqTxYxA-0000.parquet --table member_again --create\n\n\
    Exit status: 0 imported, 1 a row was refused, 2 it could not be done for another reason.";

/// Examples and rules of a format, and what holds for all.
fn after(own: &str) -> String {
    format!("{AFTER}\n\n{own}")
}

impl Csv {
    pub fn run(self) -> ExitCode {
        let format =
            csv::Format { delimiter: self.delimiter, null: self.null, header: !self.no_header, names: self.names };
        self.rows.run(&|path| Ok(Box::new(csv::Csv::open(path, format.clone())?)))
    }
}

impl Json {
    pub fn run(self) -> ExitCode {
        self.rows.run(&|path| Ok(Box::new(values::Values::open(path, values::Form::Json)?)))
    }
}

impl Ion {
    pub fn run(self) -> ExitCode {
        self.rows.run(&|path| {
            Ok(match ion::is_binary(path)? {
                true => Box::new(ion::Binary::open(path)?),
                false => Box::new(values::Values::open(path, values::Form::IonText)?),
            })
        })
    }
}

impl Parquet {
    pub fn run(self) -> ExitCode {
        self.rows.run(&|path| Ok(Box::new(parquet::Parquet::open(path)?)))
    }
}

type Open<'o> = &'o dyn Fn(&Path) -> Result<Box<dyn Source>, Trouble>;

/// Why an import did not come to its end.
enum Stop {
    /// A row is wrong.
    Row(String),
    Other(String),
}

impl Rows {
    fn run(self, open: Open<'_>) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("ledgerstone import: {error}");
                return ExitCode::from(2);
            }
        };
        match runtime.block_on(self.import(open)) {
            Ok(sent) => {
                self.report(&sent);
                ExitCode::SUCCESS
            }
            Err(Stop::Row(what)) => {
                eprintln!("ledgerstone import: {what}");
                ExitCode::from(1)
            }
            Err(Stop::Other(what)) => {
                eprintln!("ledgerstone import: {what}");
                ExitCode::from(2)
            }
        }
    }

    async fn import(&self, open: Open<'_>) -> Result<Sent, Stop> {
        if let Some(directory) = self.files.iter().find(|file| file.is_dir()) {
            return Err(Stop::Other(name_files(directory)));
        }
        let service =
            service::connect(&self.connect, &self.user, "start `ledgerstone serve`").await.map_err(Stop::Other)?;
        let mut sender =
            Sender::open(service, &self.ledger, &self.user, self.resume.as_deref()).await.map_err(Stop::Other)?;
        let first = self.files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        let mut source = open(first).map_err(|trouble| stop(first, &trouble))?;
        let mut ahead = Vec::new();
        let described = match sender.describe(&self.table).await.map_err(Stop::Other)? {
            Some(_) if self.create => {
                return Err(Stop::Other(format!("the table \"{}\" is there already: leave --create away", self.table)));
            }
            Some(described) => {
                let names: Vec<String> = described.columns.iter().map(|(name, _)| name.clone()).collect();
                source.name(&names);
                described
            }
            None if !self.create => {
                let what = format!("there is no table \"{}\" in ledger {}: --create makes it", self.table, self.ledger);
                return Err(Stop::Other(what));
            }
            None => {
                let described = self.guess(source.as_mut(), &mut ahead).map_err(|trouble| stop(first, &trouble))?;
                sender.create(&self.table, &described, &self.primary_key).await.map_err(Stop::Other)?;
                described
            }
        };
        let target = Target::new(described, self.map.clone(), self.skip.clone());
        let total = self.files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum();
        let mut progress = Progress::new("importing", "bytes");
        sender.begin(&self.table, if self.atomic { u64::MAX } else { self.chunk_rows }, self.atomic);
        let outcome = self.rows(open, source, ahead, &target, &mut sender, &mut |done| progress.at(done, total)).await;
        let outcome = match outcome {
            Ok(()) => sender.finish().await.map_err(|trouble| Stop::Row(trouble.to_string())),
            Err(stop) => Err(stop),
        };
        drop(progress);
        sender.close().await;
        match outcome {
            Ok(()) => Ok(sender.sent()),
            Err(stop) => {
                let so_far = sender.standing();
                Err(match stop {
                    Stop::Row(what) => Stop::Row(format!("{what}\n{so_far}")),
                    Stop::Other(what) => Stop::Other(format!("{what}\n{so_far}")),
                })
            }
        }
    }

    /// All rows of all files.
    async fn rows(
        &self,
        open: Open<'_>,
        first: Box<dyn Source>,
        ahead: Vec<Row>,
        target: &Target,
        sender: &mut Sender,
        at: &mut dyn FnMut(u64),
    ) -> Result<(), Stop> {
        let mut source = first;
        let mut ahead = ahead.into_iter();
        let mut before = 0;
        for (number, file) in self.files.iter().enumerate() {
            if number > 0 {
                source = open(file).map_err(|trouble| stop(file, &trouble))?;
            }
            loop {
                let row = match ahead.next() {
                    Some(row) => row,
                    None => match source.next().map_err(|trouble| stop(file, &trouble))? {
                        Some(row) => row,
                        None => break,
                    },
                };
                let place = row.place.clone();
                let document = target.document(row).map_err(|trouble| stop(file, &trouble))?;
                if sender.push(document, file, place).await.map_err(|trouble| Stop::Row(trouble.to_string()))? {
                    at(before + source.bytes_read());
                }
            }
            before += source.bytes_read();
        }
        Ok(())
    }

    /// What the table shall be, from the file's own types or from its first rows, which are kept.
    fn guess(&self, source: &mut dyn Source, ahead: &mut Vec<Row>) -> Result<Described, Trouble> {
        let mut described = match source.columns()? {
            Some(columns) => Described { columns },
            None => {
                while ahead.len() < GUESS_ROWS && source.bytes_read() < GUESS_BYTES as u64 {
                    let Some(row) = source.next()? else { break };
                    ahead.push(row);
                }
                target::guess(ahead)
            }
        };
        described.columns.retain(|(name, _)| !self.skip.contains(name));
        for (name, _) in &mut described.columns {
            if let Some((_, to)) = self.map.iter().find(|(from, _)| from == name) {
                name.clone_from(to);
            }
        }
        for (name, ty) in &self.columns {
            let place = described.columns.iter_mut().find(|(of, _)| of == name);
            let place = place.ok_or_else(|| Trouble::new(format!("--column {name}: there is no such field")))?;
            place.1 = ledgerstone_query::types::SqlType::from_text(ty)
                .map_err(|error| Trouble::new(format!("--column {name}={ty}: {error}")))?;
        }
        Ok(described)
    }

    fn report(&self, sent: &Sent) {
        if self.json {
            let object = serde_json::json!({
                "table": self.table, "rows": sent.rows, "chunks": sent.chunks, "found": sent.found,
                "lastBlock": sent.last_block, "token": sent.token,
            });
            say!("{object}");
            return;
        }
        let found = match sent.found {
            0 => String::new(),
            found => format!(", {} of them there already", thousands(found)),
        };
        let (rows, chunks) = (counted(sent.rows, "row"), counted(sent.chunks, "transaction"));
        say!("{rows} into {} in {chunks}{found}", self.table);
    }
}

/// What to give in place of a directory.
fn name_files(directory: &Path) -> String {
    let (shown, tables) = (directory.display(), directory.join("tables"));
    if directory.join(MANIFEST_FILE).is_file() && tables.is_dir() {
        return format!(
            "{shown} is an export: name the files of one table, which are in {} (manifest.json says whose they are)",
            tables.display()
        );
    }
    format!("{shown} is a directory: name the files in it, such as {shown}/*")
}

fn stop(file: &Path, trouble: &Trouble) -> Stop {
    let what = format!("{}{trouble}", file.display());
    if trouble.is_of_a_row() { Stop::Row(what) } else { Stop::Other(what) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use NAME=VALUE")?;
    if name.is_empty() || value.is_empty() {
        return Err("use NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err("a delimiter is one ASCII character, not a quote or a line end".to_owned()),
    }
}
