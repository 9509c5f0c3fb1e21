//! Catalogs, schemas, tables and keys, as JDBC and ADBC ask for them. A catalog is a ledger. What is not asked of a named
//! catalog is asked of the caller's.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{
    Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables,
    metadata::{SqlInfoDataBuilder, XdbcTypeInfoDataBuilder},
};
use ledgerstone_digest::ion::Value;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::{Cancel, Response, Session};
use tonic::Status;

use super::facts;
use super::run::{AsyncWork, Place, Scope};
use super::service::{Flight, unknown};
use super::status;
use super::types;
use super::who::Who;
use crate::grpc::blocking;

/// `information_schema` calls a table of documents BASE TABLE, the drivers' interfaces TABLE.
const TABLES: &str = "SELECT table_schema, table_name, CASE table_type WHEN 'BASE TABLE' THEN 'TABLE' ELSE table_type END \
                      FROM information_schema.tables";
const SCHEMAS: &str = "SELECT schema_name FROM information_schema.schemata";
const PRIMARY_KEYS: &str = "SELECT k.table_schema, k.table_name, k.column_name, k.ordinal_position, k.constraint_name \
                            FROM information_schema.key_column_usage k \
                            JOIN information_schema.table_constraints c ON c.constraint_name = k.constraint_name \
                            AND c.table_schema = k.table_schema AND c.table_name = k.table_name \
                            WHERE c.constraint_type = 'PRIMARY KEY'";

static PRIMARY_KEY_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]))
});

/// There are no foreign keys.
static FOREIGN_KEY_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});

/// The schema of what a command answers.
pub fn schema_of(command: &Command) -> Result<SchemaRef, Status> {
    Ok(match command {
        Command::CommandGetCatalogs(command) => command.into_builder().schema(),
        Command::CommandGetDbSchemas(command) => command.clone().into_builder().schema(),
        Command::CommandGetTables(command) => command.clone().into_builder().schema(),
        Command::CommandGetTableTypes(command) => command.into_builder().schema(),
        Command::CommandGetSqlInfo(_) => Arc::new(SqlInfoDataBuilder::schema().clone()),
        Command::CommandGetXdbcTypeInfo(_) => XdbcTypeInfoDataBuilder::new().schema(),
        Command::CommandGetPrimaryKeys(_) => Arc::clone(&PRIMARY_KEY_SCHEMA),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Arc::clone(&FOREIGN_KEY_SCHEMA),
        other => return Err(unknown(other)),
    })
}

impl Flight {
    /// What a command answers.
    pub async fn metadata(&self, who: Who, command: Command) -> Result<RecordBatch, Status> {
        match command {
            Command::CommandGetCatalogs(command) => self.catalogs(who, command).await,
            Command::CommandGetDbSchemas(command) => self.schemas(who, command).await,
            Command::CommandGetTables(command) => self.tables(who, command).await,
            Command::CommandGetTableTypes(command) => table_types(command),
            Command::CommandGetSqlInfo(command) => command.into_builder(facts::server()).build().map_err(broken),
            Command::CommandGetXdbcTypeInfo(command) => command.into_builder(facts::types()).build().map_err(broken),
            Command::CommandGetPrimaryKeys(command) => {
                let in_schema = |schema: &str| command.db_schema.as_deref().is_none_or(|asked| asked == schema);
                let mut keys = Vec::new();
                if let Some((ledger, rows)) = self.ask(who, command.catalog.as_deref(), PRIMARY_KEYS).await? {
                    let of_it = |row: &[String; 5]| in_schema(&row[0]) && row[1] == command.table;
                    keys.extend(rows.into_iter().filter(of_it).map(|row| (ledger.clone(), row)));
                }
                primary_keys(keys)
            }
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => foreign_keys(),
            other => Err(unknown(&other)),
        }
    }

    async fn catalogs(&self, who: Who, command: CommandGetCatalogs) -> Result<RecordBatch, Status> {
        let instance = Arc::clone(&self.instance);
        let names = blocking(move || Ok(instance.ledgers_known_to(&who.signed.user))).await?;
        let mut builder = command.into_builder();
        names.into_iter().for_each(|name| builder.append(name));
        builder.build().map_err(broken)
    }

    async fn schemas(&self, who: Who, command: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
        let asked = command.catalog.clone();
        let mut builder = command.into_builder();
        if let Some((ledger, rows)) = self.ask::<1>(who, asked.as_deref(), SCHEMAS).await? {
            rows.iter().for_each(|[schema]| builder.append(&ledger, schema));
        }
        builder.build().map_err(broken)
    }

    async fn tables(&self, who: Who, command: CommandGetTables) -> Result<RecordBatch, Status> {
        let Some(place) = self.catalog(who, command.catalog.as_deref()).await? else {
            return command.into_builder().build().map_err(broken);
        };
        place.with(Tables(command)).await
    }

    /// Rows of texts about a ledger, and its name; `None` if there is no such ledger.
    async fn ask<const COLUMNS: usize>(
        &self,
        who: Who,
        catalog: Option<&str>,
        text: &'static str,
    ) -> Result<Option<(String, Vec<[String; COLUMNS]>)>, Status> {
        match self.catalog(who, catalog).await? {
            Some(place) => place.with(Ask(text)).await.map(Some),
            None => Ok(None),
        }
    }

    /// A session of its own, so that no statement has to be waited for.
    async fn catalog(&self, mut who: Who, catalog: Option<&str>) -> Result<Option<Place>, Status> {
        if let Some(catalog) = catalog {
            if !self.instance.ledgers().iter().any(|ledger| ledger.name == catalog) {
                return Ok(None);
            }
            who.ledger = Some(catalog.to_owned());
        } else if let Some(in_use) = &who.session
            && who.ledger.is_none()
        {
            who.ledger = Some(in_use.session().await?.info().ledger.to_string());
        }
        who.dialect = None;
        let session = self.open(&who, who.ledger_or_main(), Cancel::default()).await?;
        Ok(Some(Place::Alone(Box::new(session))))
    }
}

struct Ask(&'static str);

impl<const COLUMNS: usize> AsyncWork<(String, Vec<[String; COLUMNS]>)> for Ask {
    async fn run(self, session: &mut Session, _: Scope) -> Result<(String, Vec<[String; COLUMNS]>), Status> {
        let rows = texts(session, self.0).await.map_err(status::of_error)?;
        Ok((session.info().ledger.to_string(), rows))
    }
}

struct Tables(CommandGetTables);

impl AsyncWork<RecordBatch> for Tables {
    async fn run(self, session: &mut Session, _: Scope) -> Result<RecordBatch, Status> {
        let ledger = session.info().ledger.to_string();
        let mut builder = self.0.into_builder();
        for [schema, table, kind] in texts::<3>(session, TABLES).await.map_err(status::of_error)? {
            // As a client would see it; a table that it may not see has no columns.
            let columns = match builder.include_schema() {
                true => {
                    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                    let text = format!("SELECT * FROM {}.{}", quoted(&schema), quoted(&table));
                    session.prepare(text, &[]).ok().and_then(|prepared| prepared.columns.clone())
                }
                false => None,
            };
            let columns = types::schema_of(columns.as_deref().unwrap_or_default());
            builder.append(&ledger, schema, table, kind, &columns).map_err(broken)?;
        }
        builder.build().map_err(broken)
    }
}

async fn texts<const COLUMNS: usize>(session: &mut Session, text: &str) -> Result<Vec<[String; COLUMNS]>, QueryError> {
    let mut all = Vec::new();
    for answer in session.execute(text).await? {
        let Response::Rows { mut rows, .. } = answer else { continue };
        for row in rows.collect()? {
            let mut cells = row.into_iter();
            all.push(std::array::from_fn(|_| cells.next().flatten().map(shown).unwrap_or_default()));
        }
    }
    Ok(all)
}

fn shown(value: Value) -> String {
    ledgerstone_query::value::text::format_untyped(&value)
}

fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append("TABLE");
    builder.append("VIEW");
    builder.build().map_err(broken)
}

fn primary_keys(keys: Vec<(String, [String; 5])>) -> Result<RecordBatch, Status> {
    let text = |cell: fn(&(String, [String; 5])) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(keys.iter().map(cell)))
    };
    let places = keys.iter().map(|(_, row)| row[3].parse().unwrap_or_default());
    let columns: Vec<ArrayRef> = vec![
        text(|(ledger, _)| ledger),
        text(|(_, row)| &row[0]),
        text(|(_, row)| &row[1]),
        text(|(_, row)| &row[2]),
        Arc::new(Int32Array::from_iter_values(places)),
        text(|(_, row)| &row[4]),
    ];
    RecordBatch::try_new(Arc::clone(&PRIMARY_KEY_SCHEMA), columns).map_err(broken)
}

fn foreign_keys() -> Result<RecordBatch, Status> {
    let none = |field: &Arc<Field>| -> ArrayRef {
        match field.data_type() {
            DataType::Int32 => Arc::new(Int32Array::from_iter_values([])),
            DataType::UInt8 => Arc::new(UInt8Array::from_iter_values([])),
            _ => Arc::new(StringArray::from_iter_values([] as [&str; 0])),
        }
    };
    let columns = FOREIGN_KEY_SCHEMA.fields().iter().map(none).collect();
    RecordBatch::try_new(Arc::clone(&FOREIGN_KEY_SCHEMA), columns).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
