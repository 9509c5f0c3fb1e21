//! Rows of `information_schema` (PostgreSQL's documentation, chapter 37) and of QLDB's `user_tables` in it.

use ledgerstone_digest::ion::{Struct, Value};

use super::describe::{Relation, column_definition, relations};
use super::oids::OWNER_NAME;
use super::{Facts, Make, NAMESPACES, Rows, flag_text, int, shapes, text, yes_no};
use crate::ast::Identity;
use crate::bind::Datum;
use crate::catalogue::{Index, Table};
use crate::types::SqlType;

/// What makes the rows of this table; `None` for the ones that are empty.
pub(super) fn maker(name: &str) -> Option<Make> {
    Some(match name {
        "tables" => tables,
        "columns" => columns,
        "schemata" => schemata,
        "table_constraints" => table_constraints,
        "key_column_usage" => key_column_usage,
        "constraint_column_usage" => constraint_column_usage,
        "check_constraints" => check_constraints,
        "user_tables" => user_tables,
        _ => return None,
    })
}

fn tables(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for relation in relations(&facts.catalogue) {
        let (schema, name, kind) = match &relation {
            Relation::Table(table) => ("public", table.name.clone(), "BASE TABLE"),
            Relation::Virtual(table) => (table.schema, table.name.into(), "VIEW"),
            Relation::Index(..) | Relation::Sequence(..) => continue,
        };
        rows.push([
            ("table_catalog", ledger(facts)),
            ("table_schema", text(schema)),
            ("table_name", text(name)),
            ("table_type", text(kind)),
            ("is_insertable_into", yes_no(kind == "BASE TABLE")),
            ("is_typed", text("NO")),
        ]);
    }
}

fn columns(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for relation in relations(&facts.catalogue) {
        match &relation {
            Relation::Table(table) => {
                for (at, c) in table.columns.iter().enumerate() {
                    let mut shown = Column::new("public", &table.name, &c.name, at, &c.ty);
                    shown.default = c.default_text.as_deref();
                    shown.not_null = c.not_null;
                    shown.identity = c.identity;
                    shown.counts_from = c.counts_from.unwrap_or(1);
                    shown.precision = c.precision;
                    shown.writable = true;
                    column(facts, rows, &shown);
                }
            }
            Relation::Virtual(table) => {
                for (at, (name, ty)) in table.columns.iter().enumerate() {
                    column(facts, rows, &Column::new(table.schema, table.name, name, at, ty));
                }
            }
            Relation::Index(..) | Relation::Sequence(..) => {}
        }
    }
}

struct Column<'a> {
    schema: &'a str,
    table: &'a str,
    name: &'a str,
    at: usize,
    ty: &'a SqlType,
    default: Option<&'a str>,
    not_null: bool,
    identity: Option<Identity>,
    counts_from: i64,
    precision: Option<u8>,
    writable: bool,
}

impl<'a> Column<'a> {
    fn new(schema: &'a str, table: &'a str, name: &'a str, at: usize, ty: &'a SqlType) -> Self {
        Column {
            schema,
            table,
            name,
            at,
            ty,
            default: None,
            not_null: false,
            identity: None,
            counts_from: 1,
            precision: None,
            writable: false,
        }
    }
}

fn column(facts: &Facts<'_>, rows: &mut Rows<'_>, c: &Column<'_>) {
    let size = Size::of(c.ty);
    let counts = c.identity.is_some();
    let generation = c.identity.map(|identity| match identity {
        Identity::Always => "ALWAYS",
        Identity::ByDefault => "BY DEFAULT",
    });
    rows.push([
        ("table_catalog", ledger(facts)),
        ("table_schema", text(c.schema)),
        ("table_name", text(c.table)),
        ("column_name", text(c.name)),
        ("ordinal_position", int(c.at as i64 + 1)),
        ("column_default", c.default.and_then(text)),
        ("is_nullable", yes_no(!c.not_null)),
        ("data_type", text(type_text(c.ty))),
        ("character_maximum_length", size.characters.and_then(int)),
        ("character_octet_length", size.octets.and_then(int)),
        ("numeric_precision", size.precision.and_then(int)),
        ("numeric_precision_radix", size.radix.and_then(int)),
        ("numeric_scale", size.scale.and_then(int)),
        ("datetime_precision", c.precision.map(i64::from).or(size.time).and_then(int)),
        ("udt_catalog", ledger(facts)),
        ("udt_schema", text(shapes::PG)),
        ("udt_name", text(c.ty.catalogue_name())),
        ("dtd_identifier", text((c.at + 1).to_string())),
        ("is_self_referencing", text("NO")),
        ("is_identity", yes_no(counts)),
        ("identity_generation", generation.and_then(text)),
        ("identity_start", counts.then(|| c.counts_from.to_string()).and_then(text)),
        ("identity_increment", flag_text(counts, "1")),
        ("identity_cycle", text("NO")),
        ("is_generated", text("NEVER")),
        ("is_updatable", yes_no(c.writable)),
    ]);
}

/// `data_type`: without length, precision and scale.
fn type_text(ty: &SqlType) -> String {
    match ty {
        SqlType::Array(_) => "ARRAY".into(),
        SqlType::Ion => "jsonb".into(),
        SqlType::Char(_) => "character".into(),
        SqlType::Varchar(_) => "character varying".into(),
        SqlType::Numeric { .. } => "numeric".into(),
        other => other.to_string(),
    }
}

#[derive(Default)]
struct Size {
    characters: Option<i64>,
    octets: Option<i64>,
    precision: Option<i64>,
    radix: Option<i64>,
    scale: Option<i64>,
    time: Option<i64>,
}

impl Size {
    fn of(ty: &SqlType) -> Size {
        let whole = |bits| Size { precision: Some(bits), radix: Some(2), scale: Some(0), ..Size::default() };
        let float = |bits| Size { precision: Some(bits), radix: Some(2), ..Size::default() };
        match ty {
            SqlType::Int2 => whole(16),
            SqlType::Int4 => whole(32),
            SqlType::Int8 => whole(64),
            SqlType::Float4 => float(24),
            SqlType::Float8 => float(53),
            SqlType::Numeric { precision, scale } => Size {
                precision: precision.map(i64::from),
                radix: Some(10),
                scale: precision.map(|_| i64::from(scale.unwrap_or(0))),
                ..Size::default()
            },
            SqlType::Varchar(Some(n)) | SqlType::Char(n) => {
                Size { characters: Some(i64::from(*n)), octets: Some(i64::from(*n) * 4), ..Size::default() }
            }
            SqlType::Text | SqlType::Varchar(None) => Size { octets: Some(1 << 30), ..Size::default() },
            SqlType::Date => Size { time: Some(0), ..Size::default() },
            SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval => Size { time: Some(6), ..Size::default() },
            _ => Size::default(),
        }
    }
}

fn schemata(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for (_, name) in NAMESPACES {
        rows.push([("catalog_name", ledger(facts)), ("schema_name", text(name)), ("schema_owner", text(OWNER_NAME))]);
    }
}

fn table_constraints(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        let keys = keys(table).map(|i| (i.name.clone(), if i.primary { "PRIMARY KEY" } else { "UNIQUE" }));
        let checks = table.checks.iter().map(|c| (c.name.clone(), "CHECK"));
        for (name, kind) in keys.chain(checks) {
            rows.push([
                ("constraint_catalog", ledger(facts)),
                ("constraint_schema", text("public")),
                ("constraint_name", text(name)),
                ("table_catalog", ledger(facts)),
                ("table_schema", text("public")),
                ("table_name", text(table.name.clone())),
                ("constraint_type", text(kind)),
                ("is_deferrable", text("NO")),
                ("initially_deferred", text("NO")),
                ("enforced", text("YES")),
            ]);
        }
    }
}

fn keys(table: &Table) -> impl Iterator<Item = &Index> {
    table.indexes.iter().map(|i| &**i).filter(|i| i.is_constraint())
}

fn key_column_usage(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        for index in keys(table) {
            for (at, path) in index.paths.iter().enumerate() {
                rows.push([
                    ("constraint_catalog", ledger(facts)),
                    ("constraint_schema", text("public")),
                    ("constraint_name", text(index.name.clone())),
                    ("table_catalog", ledger(facts)),
                    ("table_schema", text("public")),
                    ("table_name", text(table.name.clone())),
                    ("column_name", text(column_definition(table, path).0)),
                    ("ordinal_position", int(at as i64 + 1)),
                ]);
            }
        }
    }
}

fn constraint_column_usage(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        for index in keys(table) {
            for path in &index.paths {
                rows.push([
                    ("table_catalog", ledger(facts)),
                    ("table_schema", text("public")),
                    ("table_name", text(table.name.clone())),
                    ("column_name", text(column_definition(table, path).0)),
                    ("constraint_catalog", ledger(facts)),
                    ("constraint_schema", text("public")),
                    ("constraint_name", text(index.name.clone())),
                ]);
            }
        }
    }
}

fn check_constraints(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for check in facts.catalogue.active_tables().flat_map(|t| &t.checks) {
        rows.push([
            ("constraint_catalog", ledger(facts)),
            ("constraint_schema", text("public")),
            ("constraint_name", text(check.name.clone())),
            ("check_clause", text(format!("({})", check.text))),
        ]);
    }
}

/// QLDB's list of tables: dropped ones are in it, with status INACTIVE.
fn user_tables(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.tables() {
        rows.push([
            ("tableId", text(table.id.to_string())),
            ("name", text(table.name.clone())),
            ("indexes", Some(Value::List(table.indexes.iter().map(|i| index_value(i)).collect()))),
            ("status", text(table.status.text())),
        ]);
    }
}

fn index_value(index: &Index) -> Value {
    let mut fields = vec![
        ("indexId", Value::string(index.id.to_string())),
        ("expr", Value::string(format!("[{}]", index.paths_text()))),
        ("status", Value::string(index.status.text())),
    ];
    if let Some(message) = &index.message {
        fields.push(("message", Value::string(message.clone())));
    }
    Value::Struct(Struct::from_fields(fields))
}

fn ledger(facts: &Facts<'_>) -> Datum {
    text(facts.session.ledger.clone())
}
