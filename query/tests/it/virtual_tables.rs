//! `pg_catalog` and `information_schema`: every query psql 15 sends for its describing commands binds, runs, and says
//! what is in the catalogue (`tests/fixtures/psql15_*.sql`).

use ledgerstone_digest::ion::Value;
use ledgerstone_query::bind::{self, PlanContext};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::exec::{self, Outcome};
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::value::{json, text};

use crate::support::Memory;

const DEFINITIONS: [&str; 3] = [
    "create table t (id int primary key, name varchar(20) not null default 'x', n numeric(12,2), check (n > 0))",
    "create index t_n on t (n)",
    "alter table t add constraint t_nn unique (name)",
];

pub fn ledger() -> Memory {
    let memory = Memory::new(11);
    for text in DEFINITIONS {
        for parsed in ledgerstone_query::sql::parse(text).unwrap() {
            memory.run(|tx| {
                ddl::apply(tx, &parsed.statement, Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap()
            });
        }
    }
    memory.create_schemaless("Vehicle");
    memory
}

/// The rows, with `|` between cells.
pub fn ask(memory: &Memory, statement: &str, dialect: Dialect) -> Result<Vec<String>, QueryError> {
    let mut session = SessionInfo::embedded("main", dialect);
    session.database = Some(memory.database.clone());
    session.user = "reader".into();
    let parsed = match dialect {
        Dialect::Sql => ledgerstone_query::sql::parse(statement)?,
        Dialect::PartiQl => ledgerstone_query::partiql::parse(statement)?,
    };
    let mut tx = memory.begin();
    let mut out = Vec::new();
    for parsed in parsed {
        let mut ctx = PlanContext { tx: &mut tx, text: statement, dialect, parameter_types: &[], session: &session };
        let plan = bind::plan(&mut ctx, &parsed.statement)?;
        let Outcome::Rows { rows } = exec::run(&plan, &mut tx, &[], &session)? else { panic!("no rows") };
        let rows = rows.all()?;
        let columns = plan.columns().cloned();
        for row in rows {
            let cell = |(at, value): (usize, &Option<Value>)| match (value, &columns) {
                (None, _) => "null".to_owned(),
                (Some(v), Some(columns)) if dialect == Dialect::Sql => text::format(v, &columns[at].ty),
                (Some(v), _) => json::print(v),
            };
            out.push(row.iter().enumerate().map(cell).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(out)
}

pub fn sql(memory: &Memory, statement: &str) -> Vec<String> {
    ask(memory, statement, Dialect::Sql).unwrap_or_else(|e| panic!("{}", e.render(statement)))
}

/// Name (from the comment before it) and answer of every query of a fixture.
fn answers(memory: &Memory, file: &str) -> Vec<(String, Vec<String>)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    let table = sql(memory, "select 't'::regclass::oid").remove(0);
    let index = sql(memory, "select 't_n'::regclass::oid").remove(0);
    let queries = std::fs::read_to_string(path).unwrap().replace(":table'", &format!("{table}'"));
    let queries = queries.replace(":index'", &format!("{index}'"));
    let (mut out, mut failures) = (Vec::new(), String::new());
    for part in queries.split("\n-- \\").skip(1) {
        let (name, query) = part.split_once('\n').unwrap();
        match ask(memory, query, Dialect::Sql) {
            Ok(rows) => out.push((format!("\\{name}"), rows)),
            Err(error) => failures.push_str(&format!("\\{name}: {}\n", error.render(query))),
        }
    }
    assert!(failures.is_empty(), "{failures}");
    out
}

fn check(file: &str, expected: &[(&str, &[&str])]) {
    let memory = ledger();
    let answers = answers(&memory, file);
    let oid = sql(&memory, "select 't'::regclass::oid").remove(0);
    let index = sql(&memory, "select 't_n'::regclass::oid").remove(0);
    let shown: Vec<(&str, Vec<String>)> = answers
        .iter()
        .map(|(n, rows)| (n.as_str(), rows.iter().map(|r| r.replace(&oid, "OID").replace(&index, "INDEX")).collect()))
        .collect();
    let expected: Vec<(&str, Vec<String>)> =
        expected.iter().map(|(n, rows)| (*n, rows.iter().map(|r| (*r).to_owned()).collect())).collect();
    assert_eq!(shown, expected);
}

/// What psql shows of the ledger's own functions.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "public|changes|TABLE(\"position\" bigint, block bigint, tx_id text, tx_time timestamp with time zone, user_name text, door text, id text, version bigint, operation text, old jsonb, new jsonb)|table_name text, from_moment \"any\"|func",
    "public|changes|TABLE(\"position\" bigint, block bigint, tx_id text, tx_time timestamp with time zone, user_name text, door text, id text, version bigint, operation text, old jsonb, new jsonb)|table_name text, from_moment \"any\", to_moment \"any\"|func",
    "public|diff|TABLE(id text, operation text, old jsonb, new jsonb, old_version bigint, new_version bigint, revisions bigint, block bigint, tx_id text, tx_time timestamp with time zone, user_name text)|table_name text, from_moment \"any\"|func",
    "public|diff|TABLE(id text, operation text, old jsonb, new jsonb, old_version bigint, new_version bigint, revisions bigint, block bigint, tx_id text, tx_time timestamp with time zone, user_name text)|table_name text, from_moment \"any\", to_moment \"any\"|func",
    "public|history|SETOF record|table_name text|func",
    "public|history|SETOF record|table_name text, from_time timestamp with time zone|func",
    "public|history|SETOF record|table_name text, from_time timestamp with time zone, to_time timestamp with time zone|func",
    "public|ledgerstone_accept_clock|timestamp with time zone||func",
    "public|ledgerstone_consistency|text|from_size bigint, to_size bigint|func",
    "public|ledgerstone_digest|text||func",
    "public|ledgerstone_leaf|bytea|leaf_position bigint|func",
    "public|ledgerstone_origin|text||func",
    "public|ledgerstone_position|bigint|table_name text, key \"any\"|func",
    "public|ledgerstone_position|bigint|table_name text, key \"any\", version bigint|func",
    "public|ledgerstone_receipt|bytea|table_name text, key \"any\"|func",
    "public|ledgerstone_receipt|bytea|table_name text, key \"any\", version bigint|func",
    "public|ledgerstone_receipt_at|bytea|leaf_position bigint|func",
    "public|ledgerstone_rotation|bytea|rotation_number bigint|func",
    "public|ledgerstone_tlog_proof|text|table_name text, key \"any\"|func",
    "public|ledgerstone_tlog_proof|text|table_name text, key \"any\", version bigint|func",
    "public|ledgerstone_transaction_receipt|bytea|block_number bigint|func",
    "public|ledgerstone_vkey|text||func",
];

#[test]
fn psql_lists_relations_databases_schemas_and_roles() {
    check(
        "psql15_list.sql",
        &[
            ("\\d", &["public|Vehicle|table|ledgerstone", "public|t|table|ledgerstone"]),
            ("\\dt", &["public|Vehicle|table|ledgerstone", "public|t|table|ledgerstone"]),
            (
                "\\dt+",
                &[
                    "public|Vehicle|table|ledgerstone|permanent|heap|null|null",
                    "public|t|table|ledgerstone|permanent|heap|null|null",
                ],
            ),
            (
                "\\di",
                &[
                    "public|t_n|index|ledgerstone|t",
                    "public|t_nn|index|ledgerstone|t",
                    "public|t_pkey|index|ledgerstone|t",
                ],
            ),
            ("\\l", &["main|ledgerstone|UTF8|C|C|null|libc|null"]),
            ("\\dn", &["public|ledgerstone"]),
            ("\\du", &["ledgerstone|t|t|t|t|t|-1|null|{}|f|f", "reader|f|t|f|f|t|-1|null|{}|f|f"]),
            ("\\df", FUNCTIONS),
            ("\\dv", &[]),
            ("\\ds", &[]),
            ("\\dT", &[]),
            ("\\dp", &["public|Vehicle|table|null||", "public|t|table|null||"]),
        ],
    );
}

#[test]
fn psql_describes_a_table() {
    check(
        "psql15_table.sql",
        &[
            ("\\d t 1", &["OID|public|t"]),
            ("\\d t 2", &["1|r|t|f|f|f|f|f|f||0||p|d|heap"]),
            (
                "\\d t 3",
                &[
                    "id|integer|null|t|null||",
                    "name|character varying(20)|'x'|t|null||",
                    "n|numeric(12,2)|null|f|null||",
                ],
            ),
            (
                "\\d t 4",
                &[
                    "t_pkey|t|t|f|t|CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)|PRIMARY KEY (id)|p|f|f|f|0",
                    "t_n|f|f|f|t|CREATE INDEX t_n ON public.t USING btree (n)|null|null|null|null|f|0",
                    "t_nn|f|t|f|t|CREATE UNIQUE INDEX t_nn ON public.t USING btree (name)|UNIQUE (name)|u|f|f|f|0",
                ],
            ),
            ("\\d t 5", &["t_n_check|CHECK (n > 0)"]),
            ("\\d t 6", &[]),
            ("\\d t 7", &[]),
            ("\\d t 8", &[]),
            ("\\d t 9", &[]),
            ("\\d t 10", &[]),
        ],
    );
}

#[test]
fn psql_describes_a_table_at_length() {
    check(
        "psql15_table_plus.sql",
        &[
            ("\\d+ t 1", &["OID|public|t"]),
            ("\\d+ t 2", &["1|r|t|f|f|f|f|f|f||0||p|d|heap"]),
            (
                "\\d+ t 3",
                &[
                    "id|integer|null|t|null|||p||null|null",
                    "name|character varying(20)|'x'|t|null|||x||null|null",
                    "n|numeric(12,2)|null|f|null|||m||null|null",
                ],
            ),
            (
                "\\d+ t 4",
                &[
                    "t_pkey|t|t|f|t|CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)|PRIMARY KEY (id)|p|f|f|f|0",
                    "t_n|f|f|f|t|CREATE INDEX t_n ON public.t USING btree (n)|null|null|null|null|f|0",
                    "t_nn|f|t|f|t|CREATE UNIQUE INDEX t_nn ON public.t USING btree (name)|UNIQUE (name)|u|f|f|f|0",
                ],
            ),
            ("\\d+ t 5", &["t_n_check|CHECK (n > 0)"]),
            ("\\d+ t 6", &[]),
            ("\\d+ t 7", &[]),
            ("\\d+ t 8", &[]),
            ("\\d+ t 9", &[]),
            ("\\d+ t 10", &[]),
        ],
    );
}

#[test]
fn psql_describes_an_index() {
    check(
        "psql15_index.sql",
        &[
            ("\\d t_n 1", &["INDEX|public|t_n"]),
            ("\\d t_n 2", &["0|i|f|f|f|f|f|f|f||0||p|n|btree"]),
            ("\\d t_n 3", &["n|numeric(12,2)|yes|n"]),
            ("\\d t_n 4", &["f|f|f|t|f|f|f|f|btree|t|null"]),
        ],
    );
}

#[test]
fn information_schema_says_what_there_is() {
    let memory = ledger();
    let tables =
        "select table_name, table_type from information_schema.tables where table_schema = 'public' order by 1";
    assert_eq!(sql(&memory, tables), ["Vehicle|BASE TABLE", "t|BASE TABLE"]);
    let columns = "select column_name, ordinal_position, is_nullable, data_type, character_maximum_length, \
                   numeric_precision, numeric_scale, udt_name from information_schema.columns \
                   where table_schema = 'public' and table_name = 't' order by ordinal_position";
    assert_eq!(
        sql(&memory, columns),
        [
            "id|1|NO|integer|null|32|0|int4",
            "name|2|NO|character varying|20|null|null|varchar",
            "n|3|YES|numeric|null|12|2|numeric"
        ]
    );
    let keys = "select c.constraint_type, k.column_name from information_schema.table_constraints c \
                join information_schema.key_column_usage k using (constraint_name) order by 1";
    assert_eq!(sql(&memory, keys), ["PRIMARY KEY|id", "UNIQUE|name"]);
}

#[test]
fn user_tables_are_listed_as_qldb_does() {
    let memory = ledger();
    let names = "SELECT VALUE name FROM information_schema.user_tables WHERE status = 'ACTIVE'";
    let mut names = ask(&memory, names, Dialect::PartiQl).unwrap();
    names.sort();
    assert_eq!(names, ["\"Vehicle\"", "\"t\""]);
    let whole = "SELECT * FROM information_schema.user_tables WHERE name = 't'";
    let whole = ask(&memory, whole, Dialect::PartiQl).unwrap().remove(0);
    for part in ["\"tableId\"", "\"expr\": \"[n]\"", "\"status\": \"ONLINE\"", "\"status\": \"ACTIVE\""] {
        assert!(whole.contains(part), "{whole}");
    }
    assert_eq!(sql(&memory, "select name from information_schema.user_tables where tableId is not null").len(), 2);
}

#[test]
fn names_become_oids_and_wrong_ones_an_error() {
    let memory = ledger();
    let oids = "select 'pg_class'::regclass::oid, 'int4'::regtype::oid, 'public'::regnamespace::oid";
    assert_eq!(sql(&memory, oids), ["1259|23|2200"]);
    assert_eq!(sql(&memory, "select 'public.t'::regclass = 't'::regclass, to_regclass('nothing')"), ["t|null"]);
    let error = ask(&memory, "select 'nothing'::regclass", Dialect::Sql).unwrap_err();
    assert_eq!(error.code.as_str(), "42P01");
}

#[test]
fn the_catalogue_cannot_be_written() {
    let memory = ledger();
    let error = ask(&memory, "insert into pg_catalog.pg_am (amname) values ('x')", Dialect::Sql).unwrap_err();
    assert_eq!(error.code.as_str(), "42501");
    let error = ask(&memory, "delete from pg_catalog.pg_class", Dialect::Sql).unwrap_err();
    assert_eq!(error.code.as_str(), "42809");
}

#[test]
fn oids_of_names_come_back_as_names() {
    let memory = ledger();
    for (statement, expected) in [
        ("select 't'::regclass", "t"),
        ("select 'public.t_n'::regclass, 'Vehicle'::regclass", ""),
        ("select '\"Vehicle\"'::regclass, 't'::regclass::text || '!'", "\"Vehicle\"|t!"),
        ("select 'pg_class'::regclass, 'pg_class'::regclass::oid, 1259::regclass", "pg_class|1259|pg_class"),
        ("select 'information_schema.tables'::regclass", "information_schema.tables"),
        ("select oid::regclass from pg_class where oid = 't_n'::regclass", "t_n"),
        ("select relname from pg_class where oid = 't'::regclass and 't'::regclass = oid", "t"),
        ("select attrelid::regclass, count(*) from pg_attribute where attrelid = 't'::regclass group by 1", "t|3"),
        (
            "select x::regclass from (select 't'::regclass as x union select 'pg_type'::regclass) y order by 1 limit 1",
            "",
        ),
        ("select format('%s', 't'::regclass), concat('t'::regclass, 1)", "t|t1"),
        ("select to_regclass('nowhere'), to_regclass('t'), to_regtype('int4')", "null|t|integer"),
        (
            "select 23::regtype, 'int[]'::regtype, 'varchar(9)'::regtype, 0::regtype",
            "integer|integer[]|character varying|-",
        ),
        (
            "select 'now'::regproc, 'public'::regnamespace, 'reader'::regrole, 4294967295::regclass",
            "now|public|reader|4294967295",
        ),
        ("select tableoid::regclass, relname from pg_class where relname = 't'", "pg_class|t"),
        (
            "select d.tableoid from pg_class c left join pg_description d on d.objoid = c.oid where c.relname = 't'",
            "null",
        ),
    ] {
        match (expected, ask(&memory, statement, Dialect::Sql)) {
            ("", Ok(rows)) => assert_eq!(rows.len(), 1, "{statement}: {rows:?}"),
            ("", Err(error)) => assert_eq!(error.code.0, "42P01", "{statement}"),
            (_, answer) => assert_eq!(answer.unwrap_or_else(|e| panic!("{}", e.render(statement))), [expected]),
        }
    }
    for (statement, code) in [
        ("select 'nowhere'::regclass", "42P01"),
        ("select 'nowhere'::regtype", "42704"),
        ("select 'nowhere'::regproc", "42883"),
        ("select 'nobody'::regrole", "42704"),
        ("select 'nowhere'::regnamespace", "3F000"),
        ("select 'now()'::regprocedure", "0A000"),
        ("select '{}'::regclass[]", "0A000"),
    ] {
        assert_eq!(ask(&memory, statement, Dialect::Sql).unwrap_err().code.0, code, "{statement}");
    }
}
