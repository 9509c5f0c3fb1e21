//! How a client of the benchmark reaches the ledger: over the PostgreSQL wire, or as a session in this process.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Env;
use ledgerstone_query::database::Limits;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::{Instance, InstanceOptions, MAIN};
use ledgerstone_query::session::{Cancel, Dialect, Door, Prepared, Response, Session, SessionOptions, Settings};
use tokio_postgres::error::SqlState as WireState;
use tokio_postgres::{Client, Statement};

use crate::cli::wire;
use crate::pg::runtime;

/// Where the ledger is.
pub enum Target {
    Wire { address: String, ledger: String },
    Embedded(Arc<Instance>),
}

/// One client.
pub enum Connection {
    Wire(Client),
    Embedded(Box<Session>),
}

/// A prepared statement with one text parameter.
pub enum Query {
    Wire(Statement, String),
    Embedded(Arc<Prepared>),
}

impl Target {
    /// Opens a server's data directory in this process.
    pub fn embedded(folder: &Path) -> Result<Target, String> {
        let options = InstanceOptions {
            env: Env::production(),
            data: folder.join("data"),
            keys: folder.join("keys"),
            origin_prefix: "localhost".to_owned(),
            limits: Limits::default(),
        };
        Ok(Target::Embedded(Instance::open(options).map_err(explain)?))
    }

    /// Closes what was opened here.
    pub fn close(self) -> Result<(), String> {
        match self {
            Target::Wire { .. } => Ok(()),
            Target::Embedded(instance) => instance.close().map_err(explain),
        }
    }

    pub async fn connect(&self) -> Result<Connection, String> {
        match self {
            Target::Wire { address, ledger } => {
                let client = wire::connect(address, ledger, "bench").await.map_err(|error| error.to_string())?;
                Ok(Connection::Wire(client))
            }
            Target::Embedded(instance) => {
                let options = SessionOptions {
                    door: Door::Postgres,
                    user: "bench".to_owned(),
                    dialect: Dialect::Sql,
                    settings: Settings::default(),
                    runtime: runtime(),
                    process_id: 0,
                    cancel: Cancel::default(),
                    statement_ms_max: 0,
                };
                let session = Session::new(Arc::clone(instance), MAIN, options).map_err(explain)?;
                Ok(Connection::Embedded(Box::new(session)))
            }
        }
    }
}

impl Connection {
    pub async fn run(&mut self, text: &str) -> Result<(), String> {
        match self {
            Connection::Wire(client) => client.batch_execute(text).await.map_err(|error| wire::explain(&error, text)),
            Connection::Embedded(session) => session.execute(text).await.map(drop).map_err(explain),
        }
    }

    pub async fn prepare(&mut self, text: &str) -> Result<Query, String> {
        match self {
            Connection::Wire(client) => {
                let statement = client.prepare(text).await.map_err(|error| wire::explain(&error, text))?;
                Ok(Query::Wire(statement, text.to_owned()))
            }
            Connection::Embedded(session) => session.prepare(text, &[]).map(Query::Embedded).map_err(explain),
        }
    }

    /// Runs it in a transaction of its own. False if that met a conflict.
    pub async fn execute(&mut self, query: &Query, key: String) -> Result<bool, String> {
        match (self, query) {
            (Connection::Wire(client), Query::Wire(statement, text)) => {
                match client.execute(statement, &[&key]).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.code() == Some(&WireState::T_R_SERIALIZATION_FAILURE) => Ok(false),
                    Err(error) => Err(wire::explain(&error, text)),
                }
            }
            (Connection::Embedded(session), Query::Embedded(prepared)) => {
                let answer = session.run(prepared, &[Some(Value::string(key))], true).await;
                match answer.and_then(read) {
                    Ok(()) => Ok(true),
                    Err(error) if error.code == SqlState::SERIALIZATION_FAILURE => Ok(false),
                    Err(error) => Err(explain(error)),
                }
            }
            _ => Err("the statement was prepared on another kind of connection".to_owned()),
        }
    }
}

/// Takes every row, as a client would.
fn read(response: Response) -> Result<(), QueryError> {
    if let Response::Rows { mut rows, .. } = response {
        while rows.next_chunk()?.is_some() {}
    }
    Ok(())
}

fn explain(error: QueryError) -> String {
    error.to_string()
}
