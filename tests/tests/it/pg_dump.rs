//! What pg_dump writes of a PostgreSQL database goes into a ledger through psql, unedited (docs/migrate-from-postgresql.md).

use std::process::Command;

use crate::harness::Server;
use crate::postgres::{Postgres, binaries};

/// No views, foreign keys, enums, functions: what is refused, documented and not written by every database.
const DATABASE: &str = r#"
create table customer (id serial primary key, name varchar(40) not null unique, email text check (email like '%@%'),
    since date default current_date, balance numeric(12,2) not null default 0, tags text[] default '{}', data jsonb);
comment on table customer is 'who buys';
comment on column customer.email is 'as given';
comment on constraint customer_name_key on customer is 'one each';
comment on constraint customer_email_check on customer is 'some';
comment on index customer_pkey is 'the key';
create index on customer (since);
create unique index customer_mail on customer (email);
create table invoice (id bigint generated always as identity primary key, customer int not null, at timestamptz not null,
    paid bool, amount numeric, note text default 'it''s', constraint positive check (amount > 0), unique (customer, at));
create table "Odd Table" ("Id" bigserial primary key, "a b" uuid, c bytea, d interval, e double precision, f time,
    g timestamp(3), h smallint, i char(3), j real);
create table counted (id serial, n int);
create table account (id serial primary key, type_id int not null);
create table account_type (id serial primary key, n text);
insert into account (type_id) values (1000), (1);
insert into account_type (n) values ('a'), ('b'), ('c');
insert into customer (name, email, tags, data) values ('a', 'a@x', '{"x y",z}', '{"k": [1, null]}'), (E'tab\tbed', null, null, null);
insert into invoice (customer, at, paid, amount) values (1, '2020-01-01 10:00:00+02', true, 10.50), (2, '1999-12-31', null, 1e20);
insert into "Odd Table" values (default, '00000000-0000-0000-0000-00000000000a', '\x00ff', '1 day 02:03:04', 1.5, '10:11:12',
    '2020-01-01 10:11:12.345', 7, 'ab', 2.5);
insert into counted (n) select generate_series(1, 500);
select nextval('invoice_id_seq'), setval('counted_id_seq', 900);
"#;

const TABLES: [&str; 6] = ["customer", "invoice", "\"Odd Table\"", "counted", "account", "account_type"];

#[test]
fn an_unedited_dump_comes_in_and_counts_on() {
    let (Some(mut postgres), Some(programs)) = (Postgres::start(), binaries()) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let theirs = runtime.block_on(postgres.client("postgres"));
    runtime.block_on(theirs.batch_execute(DATABASE)).expect("a database");
    let dump = Command::new(programs.join("pg_dump"))
        .args(postgres.address())
        .args(["-d", "postgres", "--no-owner", "--no-privileges"])
        .output()
        .expect("pg_dump runs");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8(dump.stdout).expect("UTF-8");

    let server = Server::start();
    let loaded = server.psql_with(&["-v", "ON_ERROR_STOP=1", "-o", "/dev/null"], &text);
    // It asks for warnings and what is above them only.
    assert_eq!((loaded.status.code(), &*String::from_utf8_lossy(&loaded.stderr)), (Some(0), ""), "{text}");

    let asked_there = |text: &str| {
        let mut psql = Command::new("psql");
        psql.args(postgres.address()).args(["-d", "postgres", "-X", "-q", "-A", "-t", "-c", text]);
        String::from_utf8(psql.output().expect("psql runs").stdout).expect("UTF-8").trim_end().to_owned()
    };
    let same = |text: &str| {
        let there = asked_there(text);
        assert!(!there.is_empty(), "{text}");
        assert_eq!(server.psql_ok(text), there, "{text}");
    };
    for table in TABLES {
        same(&format!("copy (select * from {table} order by 1) to stdout"));
    }
    same(
        "select conname, contype, obj_description(oid, 'pg_constraint') from pg_constraint \
          where connamespace = 'public'::regnamespace and contype in ('c', 'p', 'u') order by 1",
    );
    same("select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1");
    same(
        "select obj_description('customer'::regclass), col_description('customer'::regclass, 3), \
          obj_description('customer_pkey'::regclass)",
    );
    same("insert into customer (name) values ('next') returning id");
    same("insert into invoice (customer, at, amount) values (9, '2021-01-01', 1) returning id");
    same("insert into \"Odd Table\" default values returning \"Id\"");
    same("insert into counted (n) values (1) returning id");
    // The sequence of the one has the name that one of the other's column would have.
    same("insert into account (type_id) values (2) returning id");
    same("insert into account_type (n) values ('d') returning id");
    let refused = server.psql_with(&["-v", "ON_ERROR_STOP=1"], "insert into account (id) values (77)");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("null value in column \"type_id\""), "{refused:?}");
}
