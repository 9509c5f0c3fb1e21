//! psql and tokio-postgres by hand: what must work, and errors that say where.

use crate::harness::{Server, state};

#[test]
fn psql_creates_writes_reads_and_deletes() {
    let server = Server::start();
    assert_eq!(server.psql_ok("SELECT 1"), "1");
    let answer = server.psql_ok(
        "CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, born date);
         INSERT INTO person VALUES (1, 'Raul Lewis', '1963-08-19'), (2, 'Brent Logan', NULL);
         UPDATE person SET name = 'Raul R. Lewis' WHERE id = 1;
         SELECT id, name, born FROM person ORDER BY id;
         DELETE FROM person WHERE id = 2;
         SELECT count(*) FROM person;",
    );
    assert_eq!(answer, "1|Raul R. Lewis|1963-08-19\n2|Brent Logan|\n1");
}

#[test]
fn decimals_are_exact() {
    let server = Server::start();
    let answer = server.psql_ok(
        "SELECT 0.1 + 0.2 = 0.3, 0.1 + 0.2;
         CREATE TABLE account (id int PRIMARY KEY, balance numeric(20,2));
         INSERT INTO account VALUES (1, 12345678901234567.89);
         SELECT balance FROM account; SELECT balance + 0.01 FROM account;",
    );
    assert_eq!(answer, "t|0.3\n12345678901234567.89\n12345678901234567.90");
}

#[test]
fn errors_have_a_state_and_a_position() {
    let server = Server::start();
    let error = server.psql_error("SELECT 1 FORM x");
    assert!(error.contains("42601") && error.contains("LINE 1: SELECT 1 FORM x"), "{error}");
    let error = server.psql_error("SELECT * FROM nowhere");
    assert!(error.contains("42P01") && error.contains("nowhere") && error.contains("^"), "{error}");
    let error = server.psql_error("CREATE EXTENSION hstore");
    assert!(error.contains("ERROR"), "{error}");
    let error = server.psql_error("SELECT 1/0");
    assert!(error.contains("22012"), "{error}");
}

#[test]
fn several_statements_in_one_text_are_one_transaction() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id int PRIMARY KEY)");
    let output = server.psql_with(&["-At", "-c", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("23505"));
    assert_eq!(server.psql_ok("SELECT count(*) FROM t"), "0");
}

#[test]
fn ledgers_are_databases() {
    let server = Server::start();
    server.psql_ok("CREATE DATABASE second");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let second = server.client_of("second").await.unwrap();
        second.batch_execute("CREATE TABLE only_here (id int PRIMARY KEY)").await.unwrap();
        let error = server.client().await.query("SELECT * FROM only_here", &[]).await.unwrap_err();
        assert_eq!(state(&error), "42P01");
        let error = server.client_of("third").await.err().unwrap();
        assert_eq!(state(&error), "3D000");
        let shown = format!("{:?}", error.as_db_error());
        assert!(shown.contains("main") && shown.contains("second"), "{shown}");
    });
    assert!(server.psql_error("DROP DATABASE main").contains("55006"));
    assert_eq!(server.psql_ok("SELECT datname FROM pg_database ORDER BY 1"), "main\nsecond");
}

#[test]
fn a_schema_before_a_table_is_read_as_postgresql_reads_it() {
    let server = Server::start();
    let answer = server.psql_ok(
        "CREATE TABLE acc (id int PRIMARY KEY, bal int NOT NULL);
         INSERT INTO public.acc VALUES (1, 10), (2, 20);
         SELECT public.acc.id, acc.bal FROM public.acc WHERE public.acc.id = 2;
         UPDATE public.acc SET bal = public.acc.bal + 1 WHERE public.acc.id = 1;
         SELECT public.acc.* FROM acc ORDER BY public.acc.id;
         SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class WHERE pg_catalog.pg_class.relname = 'acc'",
    );
    assert_eq!(answer, "2|20\n1|11\n2|20\nacc");
    assert!(server.psql_error("SELECT other.acc.id FROM acc").contains("42P01"));
}

#[test]
fn a_restart_keeps_everything_that_was_acknowledged() {
    let mut server = Server::start();
    server.psql_ok("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one')");
    assert!(server.stop().success());
    server.restart();
    assert_eq!(server.psql_ok("SELECT v FROM t; INSERT INTO t VALUES (2, 'two')"), "one");
    server.kill();
    server.restart();
    assert_eq!(server.psql_ok("SELECT v FROM t ORDER BY id"), "one\ntwo");
}

#[test]
fn a_commit_tells_its_block_and_positions() {
    let server = Server::start();
    let answer =
        server.psql_ok("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); SHOW ledgerstone.last_commit");
    assert!(answer.contains("\"sequenceNo\":1") && answer.contains("\"revisions\":1"), "{answer}");
    let checkpoint = server.psql_ok("SHOW ledgerstone.checkpoint");
    assert!(checkpoint.lines().count() >= 4 && checkpoint.contains('\u{2014}'), "{checkpoint}");
}

#[test]
fn the_http_port_tells_health_and_numbers() {
    let server = Server::start();
    server.psql_ok("SELECT 1");
    let metrics = server.get("/metrics").unwrap();
    assert!(metrics.contains("ledgerstone_statements_total") && metrics.contains("ledger=\"main\""), "{metrics}");
}

#[test]
fn settings_are_set_shown_and_refused() {
    let server = Server::start();
    let answer = server.psql_ok(
        "SET statement_timeout = '2s'; SHOW statement_timeout; RESET statement_timeout; SHOW statement_timeout;
         BEGIN; SET LOCAL application_name = 'x'; SHOW application_name; ROLLBACK; SHOW server_version",
    );
    assert_eq!(answer, "2s\n0\nx\n15.0");
    assert!(server.psql_error("SET standard_conforming_strings = off").contains("22023"));
    assert!(server.psql_error("SET no_such_thing = 1").contains("42704"));
    assert!(server.psql_error("SET timezone = 'Europe/Berlin'").contains("22023"));
    // What a driver names at connecting is the habit of its machine.
    let mut psql = std::process::Command::new("psql");
    psql.args(["-XAt", "-h", &server.postgres.ip().to_string(), "-p", &server.postgres.port().to_string()]);
    psql.args(["-U", "test", "-d", "main", "-c", "SHOW timezone"]).env("PGTZ", "Europe/Berlin");
    assert_eq!(String::from_utf8_lossy(&psql.output().unwrap().stdout), "UTC\n");
}

#[test]
fn partiql_is_spoken_when_asked_for() {
    let server = Server::start();
    let answer = server.psql_ok(
        "SET ledgerstone.dialect = 'partiql';
         CREATE TABLE Person;
         INSERT INTO Person VALUE {'FirstName': 'Raul', 'Address': {'City': 'Eugene'}};
         SELECT p.Address.City FROM Person AS p;",
    );
    assert!(answer.contains("Eugene"), "{answer}");
}

#[test]
fn system_time_may_be_reckoned_from_now() {
    let server = Server::start();
    let script = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); \
        SELECT (SELECT count(*) FROM t FOR SYSTEM_TIME AS OF now() - interval '1 hour'), count(*) FROM t AS OF BLOCK 0";
    assert_eq!(server.psql_ok(script).lines().last(), Some("0|0"));
    assert_eq!(server.psql_ok("SELECT count(*) FROM t FOR SYSTEM_TIME AS OF now()"), "1");
}
