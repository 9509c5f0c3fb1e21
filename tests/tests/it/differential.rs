//! Every executor and PostgreSQL, asked the same: the document executor, DataFusion over rows, and columns, through the
//! PostgreSQL port, and PostgreSQL itself.
//!
//! `matrix`: every operator between every two types. `random`: random tables, rows and statements of plain SQL.

mod matrix;
mod random;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Server, state};
use crate::postgres::Postgres;

/// How a session runs what it is asked.
const EXECUTORS: [&str; 3] = ["document", "datafusion", "columns"];

/// PostgreSQL, and a session with the server for each executor; all on a database of the same name.
struct Asked {
    theirs: Client,
    ours: Vec<(&'static str, Client)>,
}

impl Asked {
    async fn open(postgres: &mut Postgres, server: &Server, name: &str) -> Asked {
        let make = format!("create database {name}");
        postgres.client("postgres").await.batch_execute(&make).await.expect("a database");
        server.client().await.batch_execute(&make).await.expect("a ledger");
        let mut ours = Vec::new();
        for executor in EXECUTORS {
            let client = server.client_of(name).await.expect("a connection");
            // A statement that does not end is told as an error.
            let settings = format!("set ledgerstone.executor = {executor}; set statement_timeout = '120s'");
            client.batch_execute(&settings).await.expect("settings");
            ours.push((executor, client));
        }
        Asked { theirs: postgres.client(name).await, ours }
    }

    fn documents(&self) -> &Client {
        &self.ours[0].1
    }

    /// Does the same to both databases.
    async fn both(&self, script: &str) {
        for client in [&self.theirs, self.documents()] {
            client.batch_execute(script).await.unwrap_or_else(|error| panic!("{script}\n{error:?}"));
        }
    }
}

/// What a query answers: its rows as texts, or its SQLSTATE.
type Answer = Result<Vec<Vec<Option<String>>>, String>;

async fn ask(client: &Client, text: &str) -> Answer {
    let messages = client.simple_query(text).await.map_err(|error| state(&error))?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

fn long() -> bool {
    std::env::var_os("LEDGERSTONE_TEST_LONG").is_some()
}
