//! Ion values in through every door that speaks Ion, and out again through each view.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use ledgerstone_client::digest::ion::{self, Limits, Struct, Symbol, Value};
use ledgerstone_protocol::v1::execute_response::Part;
use ledgerstone_protocol::v1::ledger_service_client::LedgerServiceClient;
use ledgerstone_protocol::v1::{Dialect, ExecuteRequest, OpenSessionRequest};
use tokio_postgres::SimpleQueryMessage;
use tonic::transport::Channel;

use super::ion_values::{Case, Expect};
use super::raw;
use crate::harness::{Server, binary};

/// What a refusal says: SQLSTATE, and message, detail and hint together.
#[derive(Debug)]
pub struct Refusal {
    pub state: String,
    pub message: String,
}

/// How a value gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A whole document as one gRPC parameter.
    Document,
    /// A field of a document as a gRPC parameter.
    Field,
    /// A gRPC parameter of an UPDATE of a stored document.
    Update,
    /// An Ion literal in a statement, over gRPC.
    Literal,
    /// The same in PostgreSQL's simple query.
    Simple,
    /// The same in PostgreSQL's extended protocol.
    Extended,
}

pub const DOORS: [Door; 6] = [Door::Document, Door::Field, Door::Update, Door::Literal, Door::Simple, Door::Extended];

impl Door {
    pub fn is_literal(self) -> bool {
        matches!(self, Door::Literal | Door::Simple | Door::Extended)
    }

    pub fn takes(self, case: &Case) -> bool {
        if case.is_wide {
            return matches!(self, Door::Document | Door::Simple);
        }
        let has_bytes = case.raw.is_some() || case.expect == Expect::Same;
        match self {
            Door::Document => has_bytes,
            Door::Field | Door::Update => has_bytes && !case.is_part(),
            Door::Literal | Door::Simple | Door::Extended => !case.text.is_empty(),
        }
    }

    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// What a document is found by: the case's name and the door's.
pub type Key = (String, String);

/// Sessions that speak PartiQL, through both ports.
pub struct Doors {
    grpc: LedgerServiceClient<Channel>,
    session: String,
    pg: tokio_postgres::Client,
}

impl Doors {
    pub async fn open(server: &Server) -> Doors {
        let grpc = LedgerServiceClient::connect(format!("http://{}", server.http)).await.unwrap();
        let mut grpc = grpc.max_decoding_message_size(256 << 20);
        let open = OpenSessionRequest { ledger: "main".into(), dialect: Dialect::Partiql as i32, user: "test".into() };
        let session = grpc.open_session(open).await.unwrap().into_inner().session;
        let pg = server.client().await;
        pg.batch_execute("SET ledgerstone.dialect = partiql").await.unwrap();
        Doors { grpc, session, pg }
    }

    /// Runs a statement over gRPC and gives its rows.
    pub async fn ask(&mut self, statement: &str, parameters: Vec<Vec<u8>>) -> Result<Vec<Vec<Option<Value>>>, Refusal> {
        let (session, statement) = (self.session.clone(), statement.to_owned());
        let request = ExecuteRequest { session, statement, parameters, ..ExecuteRequest::default() };
        let refused = |status: tonic::Status| {
            let text = |key: &str| {
                let value = status.metadata().get_bin(key).and_then(|value| value.to_bytes().ok());
                value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
            };
            let state = status.metadata().get("ledgerstone-sqlstate").and_then(|state| state.to_str().ok());
            Refusal {
                state: state.unwrap_or("none").to_owned(),
                message: [status.message(), &text("ledgerstone-detail-bin"), &text("ledgerstone-hint-bin")].join(" "),
            }
        };
        let mut answer = self.grpc.execute(request).await.map_err(refused)?.into_inner();
        let mut rows = Vec::new();
        while let Some(message) = answer.message().await.map_err(refused)? {
            let Some(Part::Rows(part)) = message.part else { continue };
            for row in part.rows {
                let read =
                    |bytes: &Vec<u8>| (!bytes.is_empty()).then(|| ion::decode(bytes, &Limits::DOCUMENT).unwrap());
                rows.push(row.values.iter().map(read).collect());
            }
        }
        Ok(rows)
    }

    /// Stores `{n: case, door: door, v: value}`.
    pub async fn put(&mut self, door: Door, case: &Case) -> Result<(), Refusal> {
        let (name, door_name) = (ion::encode(&Value::string(&*case.name)), ion::encode(&Value::string(door.name())));
        match door {
            Door::Document => {
                let document = match &case.raw {
                    Some(raw) => raw::document(&case.name, &door.name(), raw),
                    None => ion::encode(&document(&case.name, &door.name(), case.meant())),
                };
                self.ask("INSERT INTO d ?", vec![document]).await.map(drop)
            }
            Door::Field => {
                let value = value_bytes(case);
                self.ask("INSERT INTO d {'n': ?, 'door': ?, 'v': ?}", vec![name, door_name, value]).await.map(drop)
            }
            Door::Update => {
                let value = value_bytes(case);
                let insert = self.ask("INSERT INTO d {'n': ?, 'door': ?}", vec![name.clone(), door_name.clone()]);
                insert.await?;
                let update = "UPDATE d SET v = ? WHERE n = ? AND door = ?";
                match self.ask(update, vec![value, name.clone(), door_name.clone()]).await {
                    Ok(_) => Ok(()),
                    Err(refusal) => {
                        self.ask("DELETE FROM d WHERE n = ? AND door = ?", vec![name, door_name]).await?;
                        Err(refusal)
                    }
                }
            }
            Door::Literal => self.ask(&literal(door, case), Vec::new()).await.map(drop),
            Door::Simple => self.pg.simple_query(&literal(door, case)).await.map(drop).map_err(|e| refusal(&e)),
            Door::Extended => {
                let statement = self.pg.prepare(&literal(door, case)).await.map_err(|e| refusal(&e))?;
                self.pg.execute(&statement, &[]).await.map(drop).map_err(|e| refusal(&e))
            }
        }
    }

    /// Both connections still answer.
    pub async fn are_alive(&mut self) -> bool {
        let grpc = self.ask("SELECT VALUE 1 FROM <<0>>", Vec::new()).await;
        let pg = self.pg.simple_query("SELECT VALUE 1 FROM <<0>>").await;
        grpc.is_ok_and(|rows| rows == [[Some(Value::int(1))]]) && pg.is_ok()
    }

    /// Every `v` of a table as it is now, over gRPC.
    pub async fn current(&mut self, table: &str) -> BTreeMap<Key, Value> {
        let rows = self.ask(&format!("SELECT * FROM {table}"), Vec::new()).await.unwrap();
        by_key(rows.iter().map(|row| row[0].as_ref().unwrap()))
    }

    /// The last `v` of each document in its history, over gRPC.
    pub async fn history(&mut self) -> BTreeMap<Key, Value> {
        let rows = self.ask("SELECT VALUE h.data FROM history(d) AS h", Vec::new()).await.unwrap();
        by_key(rows.iter().filter_map(|row| row[0].as_ref()).filter(|data| data.as_struct().is_some()))
    }

    /// Every `v` as Ion text that PostgreSQL clients read.
    pub async fn over_pg(&self) -> BTreeMap<Key, Value> {
        let documents = self.texts("SELECT VALUE to_string(d) FROM d").await;
        let read = |json: &String| {
            // A text in PartiQL is shown as a jsonb string.
            let text: String = serde_json::from_str(json).unwrap();
            ion::parse(&text, &Limits::DOCUMENT).unwrap_or_else(|error| panic!("{text:.200}: {error}"))
        };
        let documents: Vec<Value> = documents.iter().map(read).collect();
        by_key(documents.iter())
    }

    /// Every document as PostgreSQL clients are shown it.
    pub async fn as_json(&self) -> BTreeSet<String> {
        self.texts("SELECT * FROM d").await.into_iter().collect()
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        let messages = self.pg.simple_query(query).await.unwrap();
        let text = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).expect("a value").to_owned()),
            _ => None,
        };
        messages.into_iter().filter_map(text).collect()
    }
}

/// What a PostgreSQL client was told.
pub fn refusal(error: &tokio_postgres::Error) -> Refusal {
    let Some(db) = error.as_db_error() else {
        return Refusal { state: "none".to_owned(), message: error.to_string() };
    };
    let message = [db.message(), db.detail().unwrap_or_default(), db.hint().unwrap_or_default()].join(" ");
    Refusal { state: db.code().code().to_owned(), message }
}

/// Sends these cases through `ledgerstone shell`, as typed lines; gives what it says on its error output.
pub fn type_in(server: &Server, cases: &[&Case]) -> String {
    let mut shell = Command::new(binary())
        .args(["shell", "--partiql", "--connect", &server.postgres.to_string()])
        .env("HOME", server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = cases.iter().map(|case| typed(case) + ";\n").collect();
    shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    String::from_utf8_lossy(&shell.wait_with_output().unwrap().stderr).into_owned()
}

fn typed(case: &Case) -> String {
    format!("INSERT INTO d `{{n: {}, door: \"Shell\", v: {}}}`", quoted(&case.name), case.text)
}

fn literal(door: Door, case: &Case) -> String {
    format!("INSERT INTO d `{{n: {}, door: \"{}\", v: {}}}`", quoted(&case.name), door.name(), case.text)
}

fn quoted(text: &str) -> String {
    ion::to_text(&Value::string(text))
}

/// The value alone, with a version marker.
fn value_bytes(case: &Case) -> Vec<u8> {
    match &case.raw {
        Some(raw) => [&[0xe0, 1, 0, 0xea], &raw[..]].concat(),
        None => ion::encode(&case.meant()),
    }
}

pub fn document(name: &str, door: &str, value: Value) -> Value {
    let fields = [("n", Value::string(name)), ("door", Value::string(door)), ("v", value)];
    Value::Struct(Struct::from_fields(fields.map(|(name, value)| (Symbol::new(name), value))))
}

/// What stands in `v`, by what the document is called. Later revisions replace earlier ones.
pub fn by_key<'v>(documents: impl Iterator<Item = &'v Value>) -> BTreeMap<Key, Value> {
    let mut found = BTreeMap::new();
    for value in documents {
        let document = value.as_struct().unwrap_or_else(|| panic!("no document: {value:?}"));
        let text = |name: &str| document.get(name).and_then(Value::as_text).expect("a text").to_owned();
        if let Some(value) = document.get("v") {
            found.insert((text("n"), text("door")), value.clone());
        }
    }
    found
}
