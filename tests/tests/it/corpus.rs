//! The statements of `tests/corpus`, asked of PostgreSQL and of Ledgerstone in the same run: values, types, counts and
//! SQLSTATEs have to be the same.
//!
//! A file is a conversation: one session with an empty database. A statement ends with `;` at the end of a line. A line
//! `-- differs: reason` before it says that the answers are known to differ, and why; if they do not, the test fails, so
//! that the list stays true. Rows are compared in any order unless the statement has an ORDER BY.

use std::fmt::Write as _;
use std::path::Path;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Server, state};
use crate::postgres::Postgres;

/// There are at least so many statements.
const STATEMENTS_MIN: usize = 500;

struct Statement {
    text: String,
    /// Why the answers differ.
    differs: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Rows { rows: Vec<Vec<Option<String>>>, columns: Vec<String> },
    Done(u64),
    Error(String),
}

#[test]
fn statements_answer_as_postgresql_answers_them() {
    let Some(mut postgres) = Postgres::start() else { return };
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the corpus").map(|e| e.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let (mut failures, mut asked, mut differing) = (String::new(), 0, 0);
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let statements = statements(&std::fs::read_to_string(&file).expect("a file"));
        asked += statements.len();
        differing += statements.iter().filter(|statement| statement.differs.is_some()).count();
        runtime.block_on(async {
            let make = format!("CREATE DATABASE corpus_{name}");
            postgres.client("postgres").await.batch_execute(&make).await.expect("a database");
            server.client().await.batch_execute(&make).await.expect("a ledger");
            let theirs = postgres.client(&format!("corpus_{name}")).await;
            let ours = server.client_of(&format!("corpus_{name}")).await.expect("a connection");
            for statement in &statements {
                let (expected, answered) = (ask(&theirs, &statement.text).await, ask(&ours, &statement.text).await);
                match (&statement.differs, expected == answered) {
                    (None, true) | (Some(_), false) => {}
                    (None, false) => {
                        let text = &statement.text;
                        let _ = writeln!(failures, "{name}: {text}\n  PostgreSQL: {expected:?}\n  here: {answered:?}");
                    }
                    (Some(reason), true) => {
                        let text = &statement.text;
                        let _ = writeln!(failures, "{name}: {text}\n  is the same now; it was listed: {reason}");
                    }
                }
            }
        });
    }
    println!("{asked} statements, of which {differing} are listed as different");
    assert!(failures.is_empty(), "{failures}");
    assert!(asked >= STATEMENTS_MIN, "only {asked} statements");
}

fn statements(text: &str) -> Vec<Statement> {
    let mut all = Vec::new();
    let (mut current, mut differs) = (String::new(), None);
    for line in text.lines() {
        if current.is_empty() && line.starts_with("--") {
            differs = line.strip_prefix("-- differs: ").map(str::to_owned);
            continue;
        }
        if !current.is_empty() {
            current.push('\n');
        }
        current.push_str(line);
        if current.ends_with(';') {
            all.push(Statement { text: std::mem::take(&mut current), differs: differs.take() });
        }
    }
    assert!(current.trim().is_empty(), "a statement without an end: {current}");
    all
}

async fn ask(client: &Client, text: &str) -> Answer {
    let messages = match client.simple_query(text).await {
        Ok(messages) => messages,
        Err(error) => return Answer::Error(state(&error)),
    };
    let (mut rows, mut columns, mut count) = (Vec::new(), None, 0);
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(described) => {
                columns = Some(described.iter().map(|column| column.name().to_owned()).collect::<Vec<_>>());
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect::<Vec<_>>());
            }
            SimpleQueryMessage::CommandComplete(done) => count = done,
            _ => {}
        }
    }
    let Some(mut columns) = columns else { return Answer::Done(count) };
    if !text.contains("order by") {
        rows.sort();
    }
    let typed = ["select", "with", "values", "table", "insert", "update", "delete", "("];
    if typed.iter().any(|word| text.starts_with(word))
        && let Ok(prepared) = client.prepare(text).await
    {
        for (name, column) in columns.iter_mut().zip(prepared.columns()) {
            let _ = write!(name, " {}", column.type_().name());
        }
    }
    Answer::Rows { rows, columns }
}
