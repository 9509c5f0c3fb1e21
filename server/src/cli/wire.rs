//! The PostgreSQL wire from the client's side, for the commands that talk to a server: shell, demo, bench.

use std::io::Write;

use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

/// Where a server listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7432";

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{0} is not an address; use HOST:PORT, such as {DEFAULT_ADDRESS}")]
    Address(String),
    #[error("cannot connect to {address}: {text}; is `ledgerstone serve` running there?")]
    Connect { address: String, text: String },
    #[error(
        "what listens at {0} does not speak PostgreSQL's protocol; give the server's PostgreSQL port (7432 unless it was told \
         otherwise), not its HTTP port"
    )]
    OtherProtocol(String),
    #[error("{address} asks for a password: {text}\nHINT: Put it into PGPASSWORD, and say who you are with --user.")]
    Password { address: String, text: String },
    #[error("{0}")]
    Server(String),
}

/// The answer to one statement.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Names of columns; empty if the statement has no rows.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows returned or changed.
    pub count: u64,
    pub has_rows: bool,
}

/// Connects. Notices of the server are printed on standard error.
pub async fn connect(address: &str, ledger: &str, user: &str) -> Result<Client, WireError> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| WireError::Address(address.to_owned()))?;
    let port: u16 = port.parse().map_err(|_| WireError::Address(address.to_owned()))?;
    let mut config = tokio_postgres::Config::new();
    let with_password = std::env::var("PGPASSWORD").ok();
    config.host(host.trim_matches(['[', ']'])).port(port).user(user).dbname(ledger).application_name("ledgerstone");
    if let Some(password) = &with_password {
        config.password(password);
    }
    let (client, mut connection) = config.connect(NoTls).await.map_err(|error| match error.as_db_error() {
        Some(db) => WireError::Server(format!("{}{}", db.message(), hint(db.hint()))),
        // Nothing came from the server but the question.
        None if with_password.is_none() && root_cause(&error).contains("password") => {
            WireError::Password { address: address.to_owned(), text: root_cause(&error) }
        }
        // An answer came, and it was none of PostgreSQL's messages.
        None if ["bytes remaining", "unexpected message"].iter().any(|text| root_cause(&error).contains(text)) => {
            WireError::OtherProtocol(address.to_owned())
        }
        None => WireError::Connect { address: address.to_owned(), text: root_cause(&error) },
    })?;
    tokio::spawn(async move {
        // Its end is also the end of whatever the client waits for, which says why.
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = writeln!(std::io::stderr(), "{}: {}", notice.severity(), notice.message());
            }
        }
    });
    Ok(client)
}

/// Runs statements as text; one answer for each.
pub async fn query(client: &Client, text: &str) -> Result<Vec<Answer>, tokio_postgres::Error> {
    let mut answers = Vec::new();
    let mut current = Answer::default();
    for message in client.simple_query(text).await? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                current.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                current.has_rows = true;
            }
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| row.try_get(at).ok().flatten().map(str::to_owned));
                current.rows.push(cells.collect());
            }
            SimpleQueryMessage::CommandComplete(count) => {
                current.count = count;
                answers.push(std::mem::take(&mut current));
            }
            _ => {}
        }
    }
    Ok(answers)
}

/// The single value of the last row of the last statement.
pub async fn value(client: &Client, text: &str) -> Result<String, WireError> {
    let answers = query(client, text).await.map_err(|error| WireError::Server(explain(&error, text)))?;
    let cell = answers.last().and_then(|answer| answer.rows.last()).and_then(|row| row.first()).cloned().flatten();
    cell.ok_or_else(|| WireError::Server(format!("no value came back for: {text}")))
}

/// An error of the server as people read it: message, the place in the statement, detail and hint.
pub fn explain(error: &tokio_postgres::Error, text: &str) -> String {
    let Some(db) = error.as_db_error() else { return root_cause(error) };
    let mut out = format!("{} {}: {}", db.severity(), db.code().code(), db.message());
    if let Some(ErrorPosition::Original(position)) = db.position() {
        out.push_str(&caret(text, *position as usize));
    }
    if let Some(detail) = db.detail() {
        out.push_str(&format!("\nDETAIL: {detail}"));
    }
    out + &db.hint().map_or_else(String::new, |hint| format!("\nHINT: {hint}"))
}

/// The line of `text` that holds the 1-based character `position`, and a caret under it.
pub fn caret(text: &str, position: usize) -> String {
    let before: String = text.chars().take(position.saturating_sub(1)).collect();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let Some(shown) = text.lines().nth(line) else { return String::new() };
    // A long line is shown around the place only.
    let skip = column.saturating_sub(60);
    let part: String = shown.chars().skip(skip).take(100).collect();
    let lead = if skip > 0 { "…" } else { "" };
    let label = format!("LINE {}: {lead}", line + 1);
    format!("\n{label}{part}\n{}^", " ".repeat(label.chars().count() + column - skip))
}

fn hint(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("\nHINT: {hint}"))
}

fn root_cause(error: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(caret("SELECT x\nFROM nowhere", 15), "\nLINE 2: FROM nowhere\n             ^");
        assert_eq!(caret("SELEC 1", 1), "\nLINE 1: SELEC 1\n        ^");
        assert_eq!(caret("", 5), "");
        let long = format!("SELECT {}", "é".repeat(300));
        assert!(caret(&long, 200).lines().all(|line| line.chars().count() < 130));
    }
}
