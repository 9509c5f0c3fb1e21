//! `ledgerstone shell`: statements typed by hand, over the PostgreSQL wire like any other client.

mod cells;
mod input;
mod proof;

use std::io::{BufRead, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use ledgerstone_query::{partiql, sql};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use super::table::Table;
use super::terminal::{Style, counted, put, say, width};
use super::verify::read_vkey;
use super::wire::{self, Answer, DEFAULT_ADDRESS};
use cells::Kind;
use input::{Typist, is_command, is_complete};
use proof::Pinned;

/// Statements that are remembered.
const HISTORY_MAX: usize = 2000;

const HELP: &str = "\
Statements end with a semicolon; Tab completes keywords and names of tables.
  \\t            tables and views           \\d TABLE       columns of a table
  \\l            ledgers                    \\c LEDGER      another ledger
  \\f FORMAT     table, ion or json         \\commit        where the last commit stands
  \\checkpoint   a signed checkpoint        \\h             this
  \\verify [TABLE] DOCUMENT [VERSION]        fetch a document's receipt and check it here
  \\q            leave";

const TABLES: &str =
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name";

/// How rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Ion,
    Json,
}

#[derive(Debug, clap::Args)]
pub struct Shell {
    /// Where the server listens.
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADDRESS)]
    connect: String,
    /// Which ledger.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// Who to be; a password is taken from PGPASSWORD.
    #[arg(long, value_name = "NAME", default_value = "shell")]
    user: String,
    /// Speak PartiQL instead of SQL.
    #[arg(long)]
    partiql: bool,
    /// How rows are shown.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The ledger's verifier key, or a file with it, for \\verify. Without it the key is believed that the server says first.
    #[arg(long, value_name = "VKEY|FILE")]
    key: Option<String>,
    /// Run this and leave.
    #[arg(short = 'c', long = "command", value_name = "STATEMENT")]
    command: Option<String>,
}

/// An open connection and how to show what comes from it.
struct Open {
    runtime: Runtime,
    client: Client,
    tables: Arc<Mutex<Vec<String>>>,
    format: Format,
    shell: Shell,
    pinned: Pinned,
}

impl Shell {
    pub fn run(self) -> ExitCode {
        let command = self.command.clone();
        let mut open = match Open::new(self) {
            Ok(open) => open,
            Err(what) => {
                eprintln!("ledgerstone shell: {what}");
                return ExitCode::from(2);
            }
        };
        let ended = match command {
            Some(text) => {
                let done = match is_command(text.trim()) {
                    true => open.meta(text.trim()),
                    false => open.statement(&text),
                };
                if done {
                    Ok(())
                } else {
                    return ExitCode::FAILURE;
                }
            }
            None => open.talk(),
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("ledgerstone shell: {error}");
                ExitCode::from(2)
            }
        }
    }
}

impl Open {
    fn new(shell: Shell) -> Result<Open, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        let key = shell.key.as_deref().map(read_vkey).transpose()?;
        let client = runtime.block_on(connect(&shell, &shell.ledger))?;
        let pinned = Pinned::of(key);
        Ok(Open { runtime, client, tables: Arc::default(), format: shell.format, shell, pinned })
    }

    fn talk(&mut self) -> rustyline::Result<()> {
        say!("Ledger {} at {}. \\h helps, \\q leaves.", self.shell.ledger, self.shell.connect);
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Ok(self.read_all(input.lock())?);
        }
        let config = Config::builder().max_history_size(HISTORY_MAX)?.auto_add_history(true).build();
        let mut editor: Editor<Typist, FileHistory> = Editor::with_config(config)?;
        editor.set_helper(Some(Typist { tables: Arc::clone(&self.tables) }));
        let history = history_file();
        if let Some(path) = &history {
            // No history yet is no error.
            let _ = editor.load_history(path);
        }
        self.learn_tables();
        loop {
            match editor.readline(&format!("{}=> ", self.shell.ledger)) {
                Ok(text) => {
                    if !self.typed(&text) {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error),
            }
        }
        if let Some(path) = &history {
            editor.save_history(path)?;
        }
        Ok(())
    }

    /// Runs what comes from a file or a pipe. What stands behind the last semicolon is a statement too.
    fn read_all(&mut self, input: impl BufRead) -> std::io::Result<()> {
        let mut text = String::new();
        for line in input.lines() {
            text.push_str(&line?);
            text.push('\n');
            if is_complete(&text) && !self.typed(&std::mem::take(&mut text)) {
                return Ok(());
            }
        }
        self.typed(&text);
        Ok(())
    }

    /// Does what was typed; false if that was to leave.
    fn typed(&mut self, text: &str) -> bool {
        let text = text.trim();
        if matches!(text, "\\q" | "exit" | "quit" | "exit;" | "quit;") {
            return false;
        }
        if is_command(text) {
            let _shown = self.meta(text);
        } else if !text.is_empty() {
            self.statement(text);
        }
        true
    }

    /// Runs statements and shows what comes back; false if it failed.
    fn statement(&mut self, text: &str) -> bool {
        let answered = self.runtime.block_on(async {
            let kinds = match self.format {
                Format::Table => Vec::new(),
                Format::Ion | Format::Json => self.kinds(text).await?,
            };
            Ok((kinds, wire::query(&self.client, text).await?))
        });
        match answered {
            Ok((kinds, answers)) => {
                answers.iter().for_each(|answer| self.show(answer, &kinds));
                if text.to_ascii_uppercase().contains(" TABLE") {
                    self.learn_tables();
                }
                true
            }
            Err(error) => {
                eprintln!("{}", wire::explain(&error, text));
                if self.client.is_closed() {
                    self.reconnect(&self.shell.ledger.clone());
                }
                false
            }
        }
    }

    /// Runs a command of the shell's own; false if it failed.
    fn meta(&mut self, text: &str) -> bool {
        let words: Vec<&str> = text.trim_end_matches(';').split_whitespace().collect();
        let (command, argument) = (words.first().copied().unwrap_or_default(), words.get(1).copied());
        match (command, argument) {
            ("\\h" | "\\?", _) => say!("{HELP}"),
            ("\\t" | "\\dt" | "\\d", None) => return self.statement(TABLES),
            ("\\verify" | "verify", _) => return self.verify(words.get(1..).unwrap_or_default()),
            ("\\d", Some(table)) => {
                let table = table.replace('\'', "''");
                return self.statement(&format!(
                    "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns \
                     WHERE table_name = '{table}' ORDER BY ordinal_position"
                ));
            }
            ("\\l", _) => {
                return self.statement("SELECT datname AS ledger FROM pg_catalog.pg_database ORDER BY datname");
            }
            ("\\c", Some(ledger)) => self.reconnect(ledger),
            ("\\f", Some("table")) => self.format = Format::Table,
            ("\\f", Some("ion")) => self.format = Format::Ion,
            ("\\f", Some("json")) => self.format = Format::Json,
            ("\\commit", _) => return self.statement("SHOW ledgerstone.last_commit"),
            ("\\checkpoint", _) => {
                match self.runtime.block_on(wire::value(&self.client, "SELECT ledgerstone_digest()")) {
                    Ok(note) => put!("{note}"),
                    Err(error) => {
                        eprintln!("{error}");
                        return false;
                    }
                }
            }
            _ => {
                eprintln!("{text} is not a command of the shell; \\h lists them");
                return false;
            }
        }
        true
    }

    fn verify(&mut self, words: &[&str]) -> bool {
        let Open { runtime, pinned, shell, .. } = self;
        let verified = runtime.block_on(async {
            // Proofs are SQL functions, whatever is spoken here.
            let client = wire::connect(&shell.connect, &shell.ledger, &shell.user).await?;
            pinned.verify(&client, words).await
        });
        match verified {
            Ok(check) => {
                put!("{}", check.to_text(Style::stdout()));
                check.holds()
            }
            Err(error) => {
                eprintln!("{error}");
                false
            }
        }
    }

    fn reconnect(&mut self, ledger: &str) {
        match self.runtime.block_on(connect(&self.shell, ledger)) {
            Ok(client) => {
                self.client = client;
                if self.shell.ledger != ledger {
                    // Another ledger has another key and other checkpoints.
                    self.pinned = Pinned::default();
                }
                self.shell.ledger = ledger.to_owned();
                self.learn_tables();
                eprintln!("connected to {ledger}");
            }
            Err(what) => eprintln!("{what}"),
        }
    }

    /// For completion; a server that cannot say has no names completed.
    fn learn_tables(&self) {
        let Ok(answers) = self.runtime.block_on(wire::query(&self.client, TABLES)) else { return };
        let rows = answers.into_iter().flat_map(|answer| answer.rows);
        if let Ok(mut tables) = self.tables.lock() {
            *tables = rows.filter_map(|row| row.into_iter().next().flatten()).collect();
        }
    }

    /// What the columns of a text's one statement are; nothing if it has several.
    async fn kinds(&self, text: &str) -> Result<Vec<Kind>, tokio_postgres::Error> {
        let parse = if self.shell.partiql { partiql::parse } else { sql::parse };
        if !parse(text).is_ok_and(|statements| statements.len() == 1) {
            return Ok(Vec::new());
        }
        let statement = self.client.prepare(text).await?;
        Ok(statement.columns().iter().map(|column| Kind::of(column.type_())).collect())
    }

    fn show(&self, answer: &Answer, kinds: &[Kind]) {
        if !answer.has_rows {
            say!("ok, {}", counted(answer.count, "row"));
            return;
        }
        match self.format {
            Format::Table => {
                put!("{}", Table::of(answer).to_text(width()));
                say!("({})", counted(answer.rows.len() as u64, "row"));
            }
            Format::Json => answer.rows.iter().for_each(|row| say!("{}", cells::json(&answer.columns, kinds, row))),
            Format::Ion => answer.rows.iter().for_each(|row| say!("{}", cells::ion(&answer.columns, kinds, row))),
        }
    }
}

async fn connect(shell: &Shell, ledger: &str) -> Result<Client, String> {
    let client = wire::connect(&shell.connect, ledger, &shell.user).await.map_err(|error| error.to_string())?;
    if shell.partiql {
        let set = "SET ledgerstone.dialect = 'partiql'";
        client.batch_execute(set).await.map_err(|error| wire::explain(&error, set))?;
    }
    Ok(client)
}

fn history_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ledgerstone_history"))
}
