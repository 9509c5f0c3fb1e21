//! How a client of the benchmark reaches the ledger: over the PostgreSQL wire, through QLDB's session API, or as a session
//! in this process; and what it says there.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Env;
use ledgerstone_query::database::{Limits, MemoryLimits};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::{Instance, InstanceOptions, MAIN};
use ledgerstone_query::session::{Dialect, Door, Prepared, Response, Session, SessionOptions};
use ledgerstone_query::work::WorkLimits;
use tokio_postgres::error::SqlState as WireState;
use tokio_postgres::{Client, Statement};

use super::Workload;
use super::qldb::QldbClient;
use crate::cli::wire;
use crate::pg::runtime;

/// Where the ledger is.
pub enum Target {
    Wire { address: String, ledger: String },
    Qldb { address: String, ledger: String },
    Embedded(Arc<Instance>),
}

/// One client.
pub enum Connection {
    Wire(Client),
    Qldb(Box<QldbClient>),
    Embedded(Box<Session>),
}

/// A prepared statement with one text parameter.
pub enum Query {
    Wire(Statement, String),
    Qldb(String),
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
            memory: MemoryLimits::default(),
            work: WorkLimits::default(),
        };
        Ok(Target::Embedded(Instance::open(options).map_err(explain)?))
    }

    /// Closes what was opened here.
    pub fn close(self) -> Result<(), String> {
        match self {
            Target::Wire { .. } | Target::Qldb { .. } => Ok(()),
            Target::Embedded(instance) => instance.close().map_err(explain),
        }
    }

    pub async fn connect(&self) -> Result<Connection, String> {
        match self {
            Target::Wire { address, ledger } => {
                let client = wire::connect(address, ledger, "bench").await.map_err(|error| error.to_string())?;
                Ok(Connection::Wire(client))
            }
            Target::Qldb { address, ledger } => {
                Ok(Connection::Qldb(Box::new(QldbClient::connect(address, ledger).await?)))
            }
            Target::Embedded(instance) => {
                let options = SessionOptions::new(Door::Postgres, "bench", Dialect::Sql, runtime());
                let session = Session::new(Arc::clone(instance), MAIN, options).map_err(explain)?;
                Ok(Connection::Embedded(Box::new(session)))
            }
        }
    }
}

/// What is said in the target's language.
impl Target {
    pub fn definitions(&self, table: &str) -> Vec<String> {
        match self {
            Target::Qldb { .. } => vec![format!("CREATE TABLE {table}"), format!("CREATE INDEX ON {table} (vin)")],
            Target::Wire { .. } | Target::Embedded(_) => vec![format!(
                "CREATE TABLE {table} (vin text PRIMARY KEY, plate text NOT NULL, penalty numeric(12,2) NOT NULL, \
                 owner jsonb NOT NULL)"
            )],
        }
    }

    /// One statement that inserts these rows.
    pub fn load(&self, table: &str, rows: Range<u64>) -> String {
        let rows: Vec<String> = rows.map(|number| self.row(number)).collect();
        match self {
            Target::Qldb { .. } => format!("INSERT INTO {table} << {} >>", rows.join(", ")),
            Target::Wire { .. } | Target::Embedded(_) => format!("INSERT INTO {table} VALUES {}", rows.join(", ")),
        }
    }

    fn row(&self, number: u64) -> String {
        let (vin, penalty) = (super::vin(number), number % 500);
        match self {
            Target::Qldb { .. } => format!(
                "{{'vin': '{vin}', 'plate': 'LP{number}', 'penalty': {penalty}.50, 'owner': {{'PersonId': 'P{number}'}}}}"
            ),
            Target::Wire { .. } | Target::Embedded(_) => {
                format!("('{vin}', 'LP{number}', {penalty}.50, '{{\"PersonId\": \"P{number}\"}}')")
            }
        }
    }

    pub fn statement(&self, workload: Workload, table: &str) -> String {
        let (insert, parameter) = match self {
            Target::Qldb { .. } => (
                format!(
                    "INSERT INTO {table} {{'vin': ?, 'plate': 'plate', 'penalty': 12.50, 'owner': {{'PersonId': 'P1'}}}}"
                ),
                "?",
            ),
            Target::Wire { .. } | Target::Embedded(_) => {
                (format!("INSERT INTO {table} VALUES ($1, 'plate', 12.50, '{{\"PersonId\": \"P1\"}}')"), "$1")
            }
        };
        match workload {
            Workload::Insert => insert,
            Workload::Read => format!("SELECT * FROM {table} WHERE vin = {parameter}"),
            Workload::Update => format!("UPDATE {table} SET penalty = penalty + 1.25 WHERE vin = {parameter}"),
        }
    }
}

impl Connection {
    pub async fn run(&mut self, text: &str) -> Result<(), String> {
        match self {
            Connection::Wire(client) => client.batch_execute(text).await.map_err(|error| wire::explain(&error, text)),
            Connection::Qldb(client) => match client.run(text, &[]).await? {
                true => Ok(()),
                false => Err(format!("a conflict: {text}")),
            },
            Connection::Embedded(session) => session.execute(text).await.map(drop).map_err(explain),
        }
    }

    pub async fn prepare(&mut self, text: &str) -> Result<Query, String> {
        match self {
            Connection::Wire(client) => {
                let statement = client.prepare(text).await.map_err(|error| wire::explain(&error, text))?;
                Ok(Query::Wire(statement, text.to_owned()))
            }
            Connection::Qldb(_) => Ok(Query::Qldb(text.to_owned())),
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
            (Connection::Qldb(client), Query::Qldb(text)) => client.run(text, &[Value::string(key)]).await,
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
