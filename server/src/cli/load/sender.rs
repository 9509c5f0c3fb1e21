//! Chunks of rows into a server: each a transaction with a token of its own, so that one that was committed before is found and
//! not written again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_digest::qldb::statement_digest;
use ledgerstone_journal::Env;
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::execute_response::Part;
use ledgerstone_query::types::SqlType;
use tonic::{Code, Status};

use super::super::service::Service;
use super::super::terminal::thousands;
use super::source::Place;
use super::target::Described;

/// Bytes of a statement's rows, about; a longer row is a statement by itself.
const STATEMENT_BYTES: usize = 8 << 20;
/// Values in a statement's rows, about: an Ion value has four million at most.
const STATEMENT_VALUES: usize = 1 << 20;

/// What was imported.
pub struct Sent {
    pub rows: u64,
    pub chunks: u64,
    /// Rows that were there already.
    pub found: u64,
    pub last_block: Option<u64>,
    pub token: String,
}

/// A connection, and the chunk that is being filled.
pub struct Sender {
    service: Service,
    ledger: String,
    user: String,
    session: String,
    resumed: bool,
    sent: Sent,
    statement: String,
    chunk_rows: u64,
    atomic: bool,
    chunk: Chunk,
    /// A transaction of all rows is open.
    open: bool,
    /// Nobody has said what became of the last chunk.
    uncertain: bool,
}

#[derive(Default)]
struct Chunk {
    rows: Vec<Value>,
    places: Vec<(PathBuf, Place)>,
    bytes: usize,
    values: usize,
}

impl Sender {
    /// Opens a session; `token` is that of an import that is to go on.
    pub async fn open(mut service: Service, ledger: &str, user: &str, token: Option<&str>) -> Result<Sender, String> {
        let session = open_session(&mut service, ledger, user, v1::Dialect::Partiql).await?;
        let sent = Sent {
            rows: 0,
            chunks: 0,
            found: 0,
            last_block: None,
            token: token.map_or_else(|| Id(Env::production().rng.bytes16()).to_string(), str::to_owned),
        };
        Ok(Sender {
            service,
            ledger: ledger.to_owned(),
            user: user.to_owned(),
            session,
            resumed: token.is_some(),
            sent,
            statement: String::new(),
            chunk_rows: 1,
            atomic: false,
            chunk: Chunk::default(),
            open: false,
            uncertain: false,
        })
    }

    /// The table as it is; `None` if there is none.
    pub async fn describe(&mut self, table: &str) -> Result<Option<Described>, String> {
        let request = v1::ListTablesRequest { ledger: self.ledger.clone() };
        let tables = self.service.list_tables(request).await.map_err(|status| told(&status))?.into_inner().tables;
        let Some(found) = tables.into_iter().find(|found| found.active && found.name == table) else { return Ok(None) };
        let column = |column: v1::Column| {
            let ty = SqlType::from_text(&column.r#type).map_err(|error| format!("column {}: {error}", column.name))?;
            Ok((column.name, ty))
        };
        let columns = found.columns.into_iter().map(column).collect::<Result<Vec<_>, String>>()?;
        Ok(Some(Described { columns }))
    }

    /// Makes the table.
    pub async fn create(&mut self, table: &str, described: &Described, primary_key: &[String]) -> Result<(), String> {
        let mut parts: Vec<String> =
            described.columns.iter().map(|(name, ty)| format!("{} {ty}", quoted(name))).collect();
        if !primary_key.is_empty() {
            let names: Vec<String> = primary_key.iter().map(|name| quoted(name)).collect();
            parts.push(format!("PRIMARY KEY ({})", names.join(", ")));
        }
        let columns = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let statement = format!("CREATE TABLE {}{columns}", quoted(table));
        let session = open_session(&mut self.service, &self.ledger, &self.user, v1::Dialect::Sql).await?;
        let request = v1::ExecuteRequest { session: session.clone(), statement, ..Default::default() };
        self.execute(request).await.map_err(|status| format!("the table cannot be made: {}", told(&status)))?;
        // It goes by itself otherwise.
        let _ = self.service.close_session(v1::CloseSessionRequest { session }).await;
        Ok(())
    }

    pub fn begin(&mut self, table: &str, chunk_rows: u64, atomic: bool) {
        self.statement = format!("INSERT INTO {} ?", quoted(table));
        (self.chunk_rows, self.atomic) = (chunk_rows, atomic);
    }

    /// Takes a row; whether a chunk went out because of it.
    pub async fn push(&mut self, row: Value, file: &Path, place: Place) -> Result<bool, String> {
        let (bytes, values) = (ion::encode(&row).len(), count(&row));
        let mut went = false;
        let is_full = self.chunk.bytes + bytes > STATEMENT_BYTES || self.chunk.values + values > STATEMENT_VALUES;
        if !self.chunk.rows.is_empty() && is_full {
            self.send().await?;
            went = true;
        }
        self.chunk.rows.push(row);
        self.chunk.places.push((file.to_path_buf(), place));
        self.chunk.bytes += bytes;
        self.chunk.values += values;
        if self.chunk.rows.len() as u64 >= self.chunk_rows {
            self.send().await?;
            went = true;
        }
        Ok(went)
    }

    /// Sends what is left, and commits.
    pub async fn finish(&mut self) -> Result<(), String> {
        if !self.chunk.rows.is_empty() {
            self.send().await?;
        }
        if self.open {
            let request = v1::CommitRequest { session: self.session.clone() };
            self.open = false;
            let committed = self.service.commit(request).await;
            let commit = committed.map_err(|status| {
                self.uncertain = leaves_open(&status);
                told(&status)
            })?;
            let commit = commit.into_inner().commit;
            self.sent.chunks = 1;
            self.sent.last_block = commit.map(|commit| commit.block);
        }
        Ok(())
    }

    pub fn sent(self) -> Sent {
        self.sent
    }

    /// Rolls back what is open.
    pub async fn close(&mut self) {
        // It is rolled back after a while otherwise.
        let _ = self.service.close_session(v1::CloseSessionRequest { session: self.session.clone() }).await;
    }

    /// What is in the table after an import that did not come to its end.
    pub fn standing(&self) -> String {
        let Sent { rows, chunks, token, .. } = &self.sent;
        if self.uncertain {
            return format!(
                "The first {} rows are in the table, and whether those behind them are is not known. The same command without --create \
                 and with --resume {token} finds out, and goes on.",
                thousands(if self.atomic { 0 } else { *rows })
            );
        }
        match (self.atomic, rows) {
            (true, _) => "No row was imported: all of them are one transaction.".to_owned(),
            (false, 0) => "No row was imported.".to_owned(),
            (false, rows) => format!(
                "The first {} rows are in the table, in {} transactions. When the cause is gone, the same command without --create and \
                 with --resume {token} goes on behind them.",
                thousands(*rows),
                thousands(*chunks)
            ),
        }
    }

    /// The chunk as one statement.
    async fn send(&mut self) -> Result<(), String> {
        let chunk = std::mem::take(&mut self.chunk);
        let rows = chunk.rows.len() as u64;
        let parameter = parameter(&chunk.rows);
        let token = format!("{}/{}", self.sent.token, self.sent.chunks + 1);
        if self.atomic {
            if !self.open {
                let request = v1::BeginRequest { session: self.session.clone(), client_token: token, read_only: false };
                self.service.begin(request).await.map_err(|status| told(&status))?;
                self.open = true;
            }
            let request = self.request(&parameter, String::new());
            if let Err(status) = self.execute(request).await {
                return Err(self.explain(&status, &chunk).await);
            }
            self.sent.rows += rows;
            return Ok(());
        }
        let found = if self.resumed { self.find(&token, &parameter).await? } else { None };
        let commit = match found {
            Some(commit) => {
                self.sent.found += rows;
                Some(commit)
            }
            None => {
                let request = self.request(&parameter, token);
                match self.execute(request).await {
                    Ok(commit) => commit,
                    Err(status) => {
                        self.uncertain = leaves_open(&status);
                        return Err(self.explain(&status, &chunk).await);
                    }
                }
            }
        };
        self.sent.rows += rows;
        self.sent.chunks += 1;
        self.sent.last_block = commit.map(|commit| commit.block).or(self.sent.last_block);
        Ok(())
    }

    fn request(&self, parameter: &Value, client_token: String) -> v1::ExecuteRequest {
        v1::ExecuteRequest {
            session: self.session.clone(),
            statement: self.statement.clone(),
            parameters: vec![ion::encode(parameter)],
            client_token,
            ..Default::default()
        }
    }

    /// The commit of a chunk that went out before.
    async fn find(&mut self, token: &str, parameter: &Value) -> Result<Option<v1::CommitAddress>, String> {
        let digest = statement_digest(&self.statement, std::slice::from_ref(parameter));
        let request = v1::FindCommitRequest {
            ledger: self.ledger.clone(),
            client_token: token.to_owned(),
            statement_digests: vec![digest.0.to_vec()],
        };
        let found = self.service.find_commit(request).await.map_err(|status| {
            format!("{}\nAre the files and the options those of the import that is to go on?", told(&status))
        })?;
        Ok(found.into_inner().commit)
    }

    /// Runs a statement to its end.
    async fn execute(&mut self, request: v1::ExecuteRequest) -> Result<Option<v1::CommitAddress>, Status> {
        let mut answers = self.service.execute(request).await?.into_inner();
        let mut commit = None;
        while let Some(answer) = answers.message().await? {
            if let Some(Part::Done(done)) = answer.part {
                commit = done.commit;
            }
        }
        Ok(commit)
    }

    /// Which row the server refuses: of all beginnings of the chunk the shortest that it does not take, tried in transactions
    /// that are rolled back.
    async fn explain(&mut self, status: &Status, chunk: &Chunk) -> String {
        let refusal = told(status);
        let is_of_a_row =
            matches!(status.code(), Code::AlreadyExists | Code::FailedPrecondition | Code::InvalidArgument);
        if !is_of_a_row || self.open {
            return match (chunk.places.first(), chunk.places.last()) {
                (Some((file, first)), Some((to, last))) => {
                    format!("{}, {first} to {}, {last}: {refusal}", file.display(), to.display())
                }
                _ => refusal,
            };
        }
        let (mut good, mut bad) = (0, chunk.rows.len());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if self.takes(chunk.rows.get(..middle).unwrap_or_default()).await { good = middle } else { bad = middle }
        }
        let mut text = String::new();
        if let Some((file, place)) = chunk.places.get(bad - 1) {
            let _ = write!(text, "{}, {place}: ", file.display());
        }
        text.push_str(&refusal);
        if let Some(row) = chunk.rows.get(bad - 1) {
            let shown: String = ion::to_text(row).chars().take(200).collect();
            let _ = write!(text, "\nThe row is {shown}");
        }
        text
    }

    async fn takes(&mut self, rows: &[Value]) -> bool {
        let session = self.session.clone();
        let begin = v1::BeginRequest { session: session.clone(), ..Default::default() };
        if self.service.begin(begin).await.is_err() {
            return false;
        }
        let request = self.request(&parameter(rows), String::new());
        let taken = self.execute(request).await.is_ok();
        let _ = self.service.rollback(v1::RollbackRequest { session }).await;
        taken
    }
}

/// Whether a commit may have happened in spite of it.
fn leaves_open(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unknown | Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Internal | Code::DataLoss
    )
}

/// One row by itself, several as a list.
fn parameter(rows: &[Value]) -> Value {
    match rows {
        [row] => row.clone(),
        rows => Value::List(rows.to_vec()),
    }
}

async fn open_session(service: &mut Service, ledger: &str, user: &str, dialect: v1::Dialect) -> Result<String, String> {
    let request = v1::OpenSessionRequest { ledger: ledger.to_owned(), user: user.to_owned(), dialect: dialect.into() };
    let opened = service.open_session(request).await.map_err(|status| told(&status))?;
    Ok(opened.into_inner().session)
}

/// Values in a value, itself among them.
fn count(value: &Value) -> usize {
    match value {
        Value::List(items) | Value::Sexp(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Struct(fields) => 1 + fields.fields.iter().map(|(_, value)| count(value)).sum::<usize>(),
        Value::Annotated(_) => count(value.unannotated()) + 1,
        _ => 1,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A refusal with its detail and hint.
fn told(status: &Status) -> String {
    let mut text = status.message().to_owned();
    for key in ["ledgerstone-detail-bin", "ledgerstone-hint-bin"] {
        let part = status.metadata().get_bin(key).and_then(|part| part.to_bytes().ok());
        if let Some(part) = part.as_deref().and_then(|part| std::str::from_utf8(part).ok()) {
            let _ = write!(text, "\n{part}");
        }
    }
    text
}
