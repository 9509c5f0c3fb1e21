//! Rows of `pg_catalog` (PostgreSQL's documentation, chapter 53). What does not exist here (views, triggers, policies,
//! publications …) has its table, empty.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::describe::{Relation, column_definition, column_of_sequence, create_index, relations, sequence_name};
use super::oids::{
    BTREE, DEFAULT_COLLATION, DEFAULT_TABLESPACE, HEAP, INFORMATION_SCHEMA, INTERNAL_LANGUAGE, OWNER, OWNER_NAME,
    PG_CATALOG, PUBLIC, TYPES, TypeFacts, check_constraint_oid, column_modifier, database_oid, default_oid, facts_of,
    key_constraint_oid, procedure_oid, relation_oid, role_oid, type_oid,
};
use super::{Computed, Facts, Make, Rows, flag, int, numbers, shapes, text};
use crate::ast::Identity;
use crate::catalogue::{Catalogue, Index, IndexStatus, PathStep, Table};
use crate::types::SqlType;
use crate::value::datetime;

/// Every schema.
pub(crate) const NAMESPACES: [(u32, &str); 3] =
    [(PG_CATALOG, shapes::PG), (PUBLIC, "public"), (INFORMATION_SCHEMA, shapes::INFO)];

/// What makes the rows of this table; `None` for the ones that are empty.
pub(super) fn maker(name: &str) -> Option<Make> {
    Some(match name {
        "pg_class" => class,
        "pg_namespace" => namespace,
        "pg_attribute" => attribute,
        "pg_attrdef" => attrdef,
        "pg_type" => types,
        "pg_proc" => super::functions::procedures,
        "pg_language" => languages,
        "pg_index" => index,
        "pg_constraint" => constraint,
        "pg_am" => access_methods,
        "pg_collation" => collations,
        "pg_database" => database,
        "pg_tablespace" => tablespaces,
        "pg_roles" | "pg_authid" => roles,
        "pg_user" => users,
        "pg_tables" => tables,
        "pg_indexes" => indexes,
        "pg_settings" => settings,
        "pg_sequence" => sequences,
        "pg_depend" => dependencies,
        "pg_description" => descriptions,
        "pg_shdescription" => shared_descriptions,
        "pg_stat_activity" => activity,
        "pg_stat_user_tables" => table_statistics,
        _ => return None,
    })
}

fn class(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for relation in relations(&facts.catalogue) {
        let oid = relation.oid();
        match &relation {
            Relation::Table(table) => rows.push([
                ("oid", int(oid)),
                ("relname", text(table.name.clone())),
                ("relnamespace", int(PUBLIC)),
                ("relowner", int(OWNER)),
                ("relam", int(HEAP)),
                ("relfilenode", int(oid)),
                ("reltuples", Some(Value::Float(facts.tx.database().document_count(table.id) as f64))),
                ("relhasindex", flag(!table.indexes.is_empty())),
                ("relpersistence", text("p")),
                ("relkind", text("r")),
                ("relnatts", int(table.columns.len() as i64)),
                ("relchecks", int(table.checks.len() as i64)),
                ("relispopulated", flag(true)),
                ("relreplident", text("d")),
            ]),
            Relation::Index(_, index) => rows.push([
                ("oid", int(oid)),
                ("relname", text(index.name.clone())),
                ("relnamespace", int(PUBLIC)),
                ("relowner", int(OWNER)),
                ("relam", int(BTREE)),
                ("relfilenode", int(oid)),
                ("relpersistence", text("p")),
                ("relkind", text("i")),
                ("relnatts", int(index.paths.len() as i64)),
                ("relispopulated", flag(true)),
                ("relreplident", text("n")),
            ]),
            Relation::Sequence(table, at) => rows.push([
                ("oid", int(oid)),
                ("relname", table.columns.get(*at).and_then(|c| text(sequence_name(&table.name, &c.name)))),
                ("relnamespace", int(PUBLIC)),
                ("relowner", int(OWNER)),
                ("relfilenode", int(oid)),
                ("relpersistence", text("p")),
                ("relkind", text("S")),
                ("relnatts", int(SEQUENCE_COLUMNS.len() as i64)),
                ("relispopulated", flag(true)),
                ("relreplident", text("n")),
            ]),
            Relation::Virtual(table) => rows.push([
                ("oid", int(oid)),
                ("relname", text(table.name)),
                ("relnamespace", int(namespace_of(table))),
                ("relowner", int(OWNER)),
                ("relpersistence", text("p")),
                ("relkind", text("v")),
                ("relnatts", int(table.columns.len() as i64)),
                ("relispopulated", flag(true)),
                ("relreplident", text("n")),
            ]),
        }
    }
}

/// What every sequence is as a table.
const SEQUENCE_COLUMNS: [(&str, SqlType); 3] =
    [("last_value", SqlType::Int8), ("log_cnt", SqlType::Int8), ("is_called", SqlType::Bool)];

/// The counters of identity columns: from 1, by 1, to the greatest value of the column's type.
fn sequences(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for relation in relations(&facts.catalogue) {
        let Some((_, column)) = column_of_sequence(&relation) else { continue };
        rows.push([
            ("seqrelid", int(relation.oid())),
            ("seqtypid", int(type_oid(&column.ty))),
            ("seqstart", int(column.counts_from.unwrap_or(1))),
            ("seqincrement", int(1)),
            ("seqmax", int(column.ty.counts_to().unwrap_or(i64::MAX))),
            ("seqmin", int(1)),
            ("seqcache", int(1)),
        ]);
    }
}

/// The oids of `pg_class`, `pg_constraint` and `pg_database` as relations: what is described stands in them.
pub(crate) const PG_CLASS: u32 = 1259;
pub(crate) const PG_CONSTRAINT: u32 = 2606;
const PG_DATABASE: u32 = 1262;

fn descriptions(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        for (class, oid, place, comment) in comments_of(table) {
            rows.push([
                ("objoid", int(oid)),
                ("classoid", int(class)),
                ("objsubid", int(place)),
                ("description", text(comment.clone())),
            ]);
        }
    }
}

/// Comments on a table, its columns, its indexes and its constraints: the catalogue it stands in, the relation or the
/// constraint, the column's number, and the text.
fn comments_of(table: &Table) -> impl Iterator<Item = (u32, u32, i64, &Arc<str>)> {
    let relation = relation_oid(&table.id);
    let own = table.comment.iter().map(move |comment| (PG_CLASS, relation, 0, comment));
    let columns = table.columns.iter().zip(1i64..);
    let columns =
        columns.filter_map(move |(column, number)| Some((PG_CLASS, relation, number, column.comment.as_ref()?)));
    let indexes = table.indexes.iter().filter_map(|i| Some((PG_CLASS, relation_oid(&i.id), 0, i.comment.as_ref()?)));
    let keys = table.indexes.iter().filter(|i| i.is_constraint());
    let keys = keys.filter_map(|i| Some((PG_CONSTRAINT, key_constraint_oid(&i.id), 0, i.constraint_comment.as_ref()?)));
    let checks = table.checks.iter().filter_map(|check| {
        Some((PG_CONSTRAINT, check_constraint_oid(&table.id, &check.name), 0, check.comment.as_ref()?))
    });
    own.chain(columns).chain(indexes).chain(keys).chain(checks)
}

/// The comment on a relation (0), one of its columns, or a constraint; of any catalogue if none is named.
pub(crate) fn description(catalogue: &Catalogue, class: Option<u32>, oid: u32, place: i64) -> Option<Arc<str>> {
    let mut all = catalogue.active_tables().flat_map(|table| comments_of(table));
    let is_it = |of: u32, at: u32, number: i64| class.is_none_or(|class| class == of) && (at, number) == (oid, place);
    all.find(|(of, at, number, _)| is_it(*of, *at, *number)).map(|(.., comment)| comment.clone())
}

/// Of the ledgers only that of the session is read here.
fn shared_descriptions(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    if let Some(comment) = facts.catalogue.comment() {
        rows.push([
            ("objoid", int(database_oid(&facts.session.ledger))),
            ("classoid", int(PG_DATABASE)),
            ("description", text(comment.clone())),
        ]);
    }
}

/// Which counter is whose: all that depends on something here and has a row of its own for it.
fn dependencies(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for relation in relations(&facts.catalogue) {
        let Relation::Sequence(table, at) = &relation else { continue };
        rows.push([
            ("classid", int(PG_CLASS)),
            ("objid", int(relation.oid())),
            ("refclassid", int(PG_CLASS)),
            ("refobjid", int(relation_oid(&table.id))),
            ("refobjsubid", int(*at as i64 + 1)),
            ("deptype", text("i")),
        ]);
    }
}

fn namespace_of(table: &Computed) -> u32 {
    if table.schema == shapes::PG { PG_CATALOG } else { INFORMATION_SCHEMA }
}

fn namespace(_: &Facts<'_>, rows: &mut Rows<'_>) {
    for (oid, name) in NAMESPACES {
        rows.push([("oid", int(oid)), ("nspname", text(name)), ("nspowner", int(OWNER))]);
    }
}

fn attribute(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for relation in relations(&facts.catalogue) {
        let oid = relation.oid();
        match &relation {
            Relation::Table(table) => {
                for (at, c) in table.columns.iter().enumerate() {
                    let default = c.default_text.is_some();
                    let more = More { not_null: c.not_null, default, identity: c.identity, precision: c.precision };
                    column(rows, oid, at, &c.name, &c.ty, more);
                }
            }
            Relation::Index(table, index) => {
                for (at, path) in index.paths.iter().enumerate() {
                    let (name, ty) = column_definition(table, path);
                    column(rows, oid, at, &name, &ty, More::default());
                }
            }
            Relation::Sequence(..) => {
                for (at, (name, ty)) in SEQUENCE_COLUMNS.iter().enumerate() {
                    column(rows, oid, at, name, ty, More { not_null: true, ..More::default() });
                }
            }
            Relation::Virtual(table) => {
                for (at, (name, ty)) in table.columns.iter().enumerate() {
                    column(rows, oid, at, name, ty, More::default());
                }
            }
        }
    }
}

#[derive(Default)]
struct More {
    not_null: bool,
    default: bool,
    identity: Option<Identity>,
    precision: Option<u8>,
}

fn column(rows: &mut Rows<'_>, relation: u32, at: usize, name: &str, ty: &SqlType, more: More) {
    let length = facts_of(ty).map_or(-1, |f| f.length);
    rows.push([
        ("attrelid", int(relation)),
        ("attname", text(name)),
        ("atttypid", int(type_oid(ty))),
        ("attstattarget", int(-1)),
        ("attlen", int(length)),
        ("attnum", int(at as i64 + 1)),
        ("attndims", int(matches!(ty, SqlType::Array(_)))),
        ("attcacheoff", int(-1)),
        ("atttypmod", int(column_modifier(ty, more.precision))),
        ("attbyval", flag((1..=8).contains(&length))),
        ("attalign", text("i")),
        ("attstorage", text(storage(length, matches!(ty, SqlType::Numeric { .. })))),
        ("attcompression", text("")),
        ("attnotnull", flag(more.not_null)),
        ("atthasdef", flag(more.default)),
        ("attidentity", text(identity_letter(more.identity))),
        ("attgenerated", text("")),
        ("attislocal", flag(true)),
        ("attcollation", int(collation_of(ty))),
    ]);
}

fn identity_letter(identity: Option<Identity>) -> &'static str {
    match identity {
        Some(Identity::Always) => "a",
        Some(Identity::ByDefault) => "d",
        None => "",
    }
}

fn storage(length: i16, numeric: bool) -> &'static str {
    match (length < 0, numeric) {
        (true, true) => "m",
        (true, false) => "x",
        _ => "p",
    }
}

fn collation_of(ty: &SqlType) -> u32 {
    match ty {
        SqlType::Array(of) => collation_of(of),
        ty if ty.is_text() => DEFAULT_COLLATION,
        _ => 0,
    }
}

fn attrdef(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        for (at, column) in table.columns.iter().enumerate() {
            let Some(default) = &column.default_text else { continue };
            rows.push([
                ("oid", int(default_oid(&table.id, &column.name))),
                ("adrelid", int(relation_oid(&table.id))),
                ("adnum", int(at as i64 + 1)),
                ("adbin", text(default.clone())),
            ]);
        }
    }
}

fn types(_: &Facts<'_>, rows: &mut Rows<'_>) {
    for facts in TYPES {
        one_type(rows, facts, false);
        if facts.array != 0 {
            one_type(rows, facts, true);
        }
    }
}

/// Names of the functions that read and write a type's values in PostgreSQL: what `typinput` and its kin refer to.
pub(crate) fn type_procedures() -> impl Iterator<Item = String> {
    let whats = ["in", "out", "recv", "send"];
    let arrays = whats.into_iter().map(|what| type_procedure("array", what));
    arrays.chain(TYPES.iter().flat_map(move |facts| whats.into_iter().map(|what| type_procedure(facts.name, what))))
}

fn type_procedure(name: &str, what: &str) -> String {
    match name {
        // Of the older types the names are written together.
        "array" | "numeric" | "date" | "timestamp" | "timestamptz" | "interval" | "uuid" | "json" | "jsonb"
        | "void" | "record" | "any" => {
            format!("{name}_{what}")
        }
        name => format!("{name}{what}"),
    }
}

fn one_type(rows: &mut Rows<'_>, facts: &TypeFacts, array: bool) {
    let name = if array { format!("_{}", facts.name) } else { facts.name.to_owned() };
    let length = if array { -1 } else { facts.length };
    let io = |what: &str| procedure_oid(&type_procedure(if array { "array" } else { facts.name }, what));
    let pseudo = facts.category == "P" || facts.category == "X";
    rows.push([
        ("oid", int(if array { facts.array } else { facts.oid })),
        ("typname", text(name)),
        ("typnamespace", int(PG_CATALOG)),
        ("typowner", int(OWNER)),
        ("typlen", int(length)),
        ("typbyval", flag((1..=8).contains(&length))),
        ("typtype", text(if pseudo { "p" } else { "b" })),
        ("typcategory", text(if array { "A" } else { facts.category })),
        ("typispreferred", flag(facts.preferred && !array)),
        ("typisdefined", flag(true)),
        ("typdelim", text(",")),
        ("typelem", int(if array { facts.oid } else { vector_element(facts) })),
        ("typarray", int(if array { 0 } else { facts.array })),
        ("typinput", int(io("in"))),
        ("typoutput", int(io("out"))),
        ("typreceive", int(io("recv"))),
        ("typsend", int(io("send"))),
        ("typalign", text("i")),
        ("typstorage", text(storage(length, facts.name == "numeric" && !array))),
        ("typtypmod", int(-1)),
        ("typcollation", int(if facts.category == "S" { DEFAULT_COLLATION } else { 0 })),
    ]);
}

/// What the catalogue's vectors are made of.
fn vector_element(facts: &TypeFacts) -> u32 {
    match facts.name {
        "int2vector" => type_oid(&SqlType::Int2),
        "oidvector" => type_oid(&SqlType::Oid),
        _ => 0,
    }
}

fn index(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for (table, index) in all_indexes(facts) {
        let keys = index.paths.len() as i64;
        let zeros = || numbers(index.paths.iter().map(|_| 0));
        rows.push([
            ("indexrelid", int(relation_oid(&index.id))),
            ("indrelid", int(relation_oid(&table.id))),
            ("indnatts", int(keys)),
            ("indnkeyatts", int(keys)),
            ("indisunique", flag(index.unique)),
            ("indisprimary", flag(index.primary)),
            ("indimmediate", flag(true)),
            ("indisvalid", flag(index.status == IndexStatus::Online)),
            ("indisready", flag(index.status != IndexStatus::Failed)),
            ("indislive", flag(true)),
            ("indkey", numbers(key_numbers(table, index))),
            ("indcollation", zeros()),
            ("indclass", zeros()),
            ("indoption", zeros()),
        ]);
    }
}

/// Numbers of an index's columns; 0 for what is no declared column, as for PostgreSQL's expressions.
fn key_numbers<'a>(table: &'a Table, index: &'a Index) -> impl Iterator<Item = i64> + 'a {
    index.paths.iter().map(|path| match &path[..] {
        [PathStep::Field(name)] => table.columns.iter().position(|c| c.name == *name).map_or(0, |at| at as i64 + 1),
        _ => 0,
    })
}

fn all_indexes<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a Arc<Table>, &'a Arc<Index>)> {
    facts.catalogue.active_tables().flat_map(|t| t.indexes.iter().map(move |i| (t, i)))
}

fn constraint(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for (table, index) in all_indexes(facts).filter(|(_, i)| i.is_constraint()) {
        rows.push([
            ("oid", int(key_constraint_oid(&index.id))),
            ("conname", text(index.name.clone())),
            ("connamespace", int(PUBLIC)),
            ("contype", text(if index.primary { "p" } else { "u" })),
            ("convalidated", flag(true)),
            ("conrelid", int(relation_oid(&table.id))),
            ("conindid", int(relation_oid(&index.id))),
            ("confupdtype", text(" ")),
            ("confdeltype", text(" ")),
            ("confmatchtype", text(" ")),
            ("conislocal", flag(true)),
            ("connoinherit", flag(true)),
            ("conkey", numbers(key_numbers(table, index))),
        ]);
    }
    for table in facts.catalogue.active_tables() {
        for check in &table.checks {
            rows.push([
                ("oid", int(check_constraint_oid(&table.id, &check.name))),
                ("conname", text(check.name.clone())),
                ("connamespace", int(PUBLIC)),
                ("contype", text("c")),
                ("convalidated", flag(true)),
                ("conrelid", int(relation_oid(&table.id))),
                ("confupdtype", text(" ")),
                ("confdeltype", text(" ")),
                ("confmatchtype", text(" ")),
                ("conislocal", flag(true)),
                ("conbin", text(check.text.clone())),
            ]);
        }
    }
}

fn languages(_: &Facts<'_>, rows: &mut Rows<'_>) {
    let oid = int(INTERNAL_LANGUAGE);
    rows.push([("oid", oid), ("lanname", text("internal")), ("lanowner", int(OWNER))]);
}

fn access_methods(_: &Facts<'_>, rows: &mut Rows<'_>) {
    for (oid, name, kind) in [(HEAP, "heap", "t"), (BTREE, "btree", "i")] {
        rows.push([("oid", int(oid)), ("amname", text(name)), ("amtype", text(kind))]);
    }
}

fn collations(_: &Facts<'_>, rows: &mut Rows<'_>) {
    for (oid, name, provider) in [(DEFAULT_COLLATION, "default", "d"), (950, "C", "c")] {
        rows.push([
            ("oid", int(oid)),
            ("collname", text(name)),
            ("collnamespace", int(PG_CATALOG)),
            ("collowner", int(OWNER)),
            ("collprovider", text(provider)),
            ("collisdeterministic", flag(true)),
            ("collencoding", int(-1)),
        ]);
    }
}

/// A ledger is a database.
fn database(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    let mut names: Vec<Arc<str>> = match &facts.session.instance {
        Some(instance) => instance.ledgers_known_to(&facts.session.user).into_iter().map(Arc::from).collect(),
        None => Vec::new(),
    };
    if !names.contains(&facts.session.ledger) {
        names.push(Arc::clone(&facts.session.ledger));
    }
    for name in names {
        rows.push([
            ("oid", int(database_oid(&name))),
            ("datname", text(name)),
            ("datdba", int(OWNER)),
            ("encoding", int(6)),
            ("datlocprovider", text("c")),
            ("datallowconn", flag(true)),
            ("datconnlimit", int(-1)),
            ("dattablespace", int(DEFAULT_TABLESPACE)),
            ("datcollate", text("C")),
            ("datctype", text("C")),
        ]);
    }
}

fn tablespaces(_: &Facts<'_>, rows: &mut Rows<'_>) {
    rows.push([("oid", int(DEFAULT_TABLESPACE)), ("spcname", text("pg_default")), ("spcowner", int(OWNER))]);
}

/// The owner of everything and the user who asks.
fn role_names<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a str> {
    let user = &*facts.session.user;
    std::iter::once(OWNER_NAME).chain((user != OWNER_NAME).then_some(user))
}

fn roles(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for name in role_names(facts) {
        let owner = name == OWNER_NAME;
        rows.push([
            ("oid", int(role_oid(name))),
            ("rolname", text(name)),
            ("rolsuper", flag(owner)),
            ("rolinherit", flag(true)),
            ("rolcreaterole", flag(owner)),
            ("rolcreatedb", flag(owner)),
            ("rolcanlogin", flag(true)),
            ("rolconnlimit", int(-1)),
            ("rolpassword", text("********")),
        ]);
    }
}

fn users(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for name in role_names(facts) {
        let owner = name == OWNER_NAME;
        rows.push([
            ("usename", text(name)),
            ("usesysid", int(role_oid(name))),
            ("usecreatedb", flag(owner)),
            ("usesuper", flag(owner)),
            ("passwd", text("********")),
        ]);
    }
}

fn tables(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        rows.push([
            ("schemaname", text("public")),
            ("tablename", text(table.name.clone())),
            ("tableowner", text(OWNER_NAME)),
            ("hasindexes", flag(!table.indexes.is_empty())),
        ]);
    }
}

fn indexes(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for (table, index) in all_indexes(facts) {
        rows.push([
            ("schemaname", text("public")),
            ("tablename", text(table.name.clone())),
            ("indexname", text(index.name.clone())),
            ("indexdef", text(create_index(table, index))),
        ]);
    }
}

/// The sessions of this server that came in through the PostgreSQL port, in ledgers that one may know.
fn activity(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    let sessions = facts.session.instance.as_ref().map(|instance| {
        let known = instance.ledgers_known_to(&facts.session.user);
        let mut sessions = instance.sessions().all();
        sessions
            .retain(|session| session.ledger == facts.session.ledger || known.iter().any(|k| **k == *session.ledger));
        sessions
    });
    let time = |ms: i64| datetime::from_micros(ms.saturating_mul(1000), true).ok().map(Value::Timestamp);
    for session in sessions.into_iter().flatten() {
        rows.push([
            ("datid", int(database_oid(&session.ledger))),
            ("datname", text(session.ledger.clone())),
            ("pid", int(session.process_id)),
            ("leader_pid", None),
            ("usesysid", int(role_oid(&session.user))),
            ("usename", text(session.user.clone())),
            ("application_name", text(session.application())),
            ("client_port", None),
            ("backend_start", time(session.began_ms)),
            ("query_start", time(session.statement_ms())),
            ("state", text(session.state())),
            ("backend_xid", None),
            ("backend_xmin", None),
            ("query_id", None),
            ("backend_type", text("client backend")),
        ]);
    }
}

/// How many documents there are is known; what else PostgreSQL counts is not counted, and NULL.
fn table_statistics(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for table in facts.catalogue.active_tables() {
        let documents = facts.tx.database().document_count(table.id);
        rows.push_known([
            ("relid", int(relation_oid(&table.id))),
            ("schemaname", text("public")),
            ("relname", text(table.name.clone())),
            ("n_live_tup", int(i64::try_from(documents).unwrap_or(i64::MAX))),
            ("n_dead_tup", int(0)),
        ]);
    }
}

fn settings(facts: &Facts<'_>, rows: &mut Rows<'_>) {
    for parameter in facts.session.settings.all() {
        let (value, unit) = match parameter.in_unit() {
            Some((number, unit)) => (text(number.to_string()), text(unit)),
            None => (text(parameter.value), None),
        };
        rows.push([
            ("name", text(parameter.name)),
            ("setting", value.clone()),
            ("unit", unit),
            ("category", text("Settings")),
            ("short_desc", text(parameter.about())),
            ("context", text(parameter.context())),
            ("vartype", text(parameter.kind())),
            ("source", text("session")),
            ("reset_val", value),
            ("sourceline", None),
        ]);
    }
}
