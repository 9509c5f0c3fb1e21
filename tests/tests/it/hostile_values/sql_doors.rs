//! SQL values in through every door of the PostgreSQL port and through gRPC, and out again.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, pin_mut};
use ledgerstone_client::{Session, Value};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::ion_doors::{Refusal, refusal};
use super::sql_values::SqlCase;
use crate::harness::Raw;

/// How a value gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlDoor {
    /// A literal in a simple query.
    Simple,
    /// A parameter of the extended protocol, as text.
    Text,
    /// A row of COPY FROM STDIN in CSV.
    Csv,
    /// A row of COPY FROM STDIN in text format.
    Rows,
}

pub const SQL_DOORS: [SqlDoor; 4] = [SqlDoor::Simple, SqlDoor::Text, SqlDoor::Csv, SqlDoor::Rows];

impl SqlDoor {
    pub fn takes(self, case: &SqlCase) -> bool {
        // The text of a statement ends at a zero byte; a statement has a length of its own.
        self != SqlDoor::Simple || !case.sent.contains('\0')
    }
}

/// A parameter sent as text, whatever its type.
#[derive(Debug)]
struct AsText<'a>(&'a str);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// Sends one value to a table `(door, name, v)`.
pub async fn put(client: &Client, door: SqlDoor, table: &str, case: &SqlCase) -> Result<(), Refusal> {
    let (name, sent) = (&case.name, &case.sent);
    let door_name = format!("{door:?}");
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let refused = |error: tokio_postgres::Error| refusal(&error);
    match door {
        SqlDoor::Simple => {
            let insert = format!("INSERT INTO {table} VALUES ('{door_name}', {}, {})", quoted(name), quoted(sent));
            client.simple_query(&insert).await.map(drop).map_err(refused)
        }
        SqlDoor::Text => {
            let insert = format!("INSERT INTO {table} VALUES ($1, $2, $3)");
            client.execute(&insert, &[&door_name, name, &AsText(sent)]).await.map(drop).map_err(refused)
        }
        SqlDoor::Csv => {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let row = format!("{door_name},{},{}\n", quoted(name), quoted(sent));
            copy(client, &format!("COPY {table} FROM STDIN (FORMAT csv)"), row).await.map_err(refused)
        }
        SqlDoor::Rows => {
            let escaped = |text: &str| {
                let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
                escaped.replace('\t', "\\t")
            };
            let row = format!("{door_name}\t{}\t{}\n", escaped(name), escaped(sent));
            copy(client, &format!("COPY {table} FROM STDIN"), row).await.map_err(refused)
        }
    }
}

/// What gRPC gives goes back in through gRPC, under the door `Grpc`.
pub async fn copy_over_grpc(session: &mut Session, table: &str) -> Result<(), ledgerstone_client::Error> {
    let rows = session.execute(&format!("SELECT name, v FROM {table} WHERE door = 'Text'"), &[]).await?;
    for row in rows.collect().await? {
        let parameters: Vec<Value> = row.values.into_iter().map(|value| value.unwrap_or(Value::NULL)).collect();
        session.run(&format!("INSERT INTO {table} VALUES ('Grpc', $1, $2)"), &parameters).await?;
    }
    Ok(())
}

async fn copy(client: &Client, statement: &str, row: String) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in(statement).await?;
    pin_mut!(sink);
    sink.send(Bytes::from(row)).await?;
    sink.finish().await.map(drop)
}

/// What binary results hold goes back in as binary parameters, under the door `Binary`.
pub async fn copy_in_binary(client: &Client, table: &str) -> Result<(), tokio_postgres::Error> {
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ('Binary', $1, $2)")).await?;
    for row in client.query(&format!("SELECT name, v FROM {table} WHERE door = 'Text'"), &[]).await? {
        client.execute(&insert, &[&row.get::<_, String>(0), &row.get::<_, Option<Raw>>(1)]).await?;
    }
    Ok(())
}

/// The texts that a query gives, by name and door.
pub async fn texts(client: &Client, query: &str) -> Result<BTreeMap<(String, String), String>, Refusal> {
    let mut found = BTreeMap::new();
    for message in client.simple_query(query).await.map_err(|error| refusal(&error))? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let text = |at: usize| row.get(at).unwrap_or("NULL").to_owned();
        found.insert((text(1), text(0)), text(2));
    }
    Ok(found)
}
