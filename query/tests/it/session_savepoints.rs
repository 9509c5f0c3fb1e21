//! Savepoints, and what they and SET LOCAL leave behind: what was read counts to the end, a token is used once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledgerstone_query::session::{Dialect, Pause, Response, Runtime, Session, SessionOptions};

use crate::support::{block_on, clerk, open_instance, session, told};

fn run(session: &mut Session, texts: &[&str]) {
    for text in texts {
        told(session, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn what_was_read_behind_a_first_savepoint_counts_after_it_was_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let (mut a, mut b) = (session(&instance, Dialect::Sql), session(&instance, Dialect::Sql));
    run(&mut a, &["CREATE TABLE acc (id int PRIMARY KEY, bal int)", "INSERT INTO acc VALUES (1, 100)"]);
    run(&mut a, &["BEGIN", "SAVEPOINT s", "SELECT bal FROM acc WHERE id = 1", "ROLLBACK TO s"]);
    run(&mut b, &["UPDATE acc SET bal = 50 WHERE id = 1"]);
    // The snapshot is the transaction's.
    assert_eq!(told(&mut a, "SELECT bal FROM acc WHERE id = 1").unwrap()[0], "100");
    run(&mut a, &["UPDATE acc SET bal = 90 WHERE id = 1"]);
    assert_eq!(told(&mut a, "COMMIT").unwrap_err().code.0, "40001");
    assert_eq!(told(&mut b, "SELECT bal FROM acc").unwrap()[0], "50");
    // Writes and definitions behind it are gone, and the transaction goes on, also after an error.
    run(&mut a, &["BEGIN", "SAVEPOINT s", "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)"]);
    told(&mut a, "SELECT 1 / 0").unwrap_err();
    run(&mut a, &["ROLLBACK TO s", "INSERT INTO acc VALUES (2, 7)", "COMMIT"]);
    assert_eq!(told(&mut a, "SELECT * FROM t").unwrap_err().code.0, "42P01");
    assert_eq!(told(&mut a, "SELECT count(*) FROM acc").unwrap()[0], "2");
}

#[test]
fn a_retried_transaction_with_a_first_savepoint_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    run(&mut sql, &["CREATE TABLE t (a int)"]);
    for _ in 0..2 {
        run(&mut sql, &["SET ledgerstone.client_token = 'first'", "BEGIN", "SAVEPOINT s", "INSERT INTO t VALUES (1)"]);
        run(&mut sql, &["ROLLBACK TO s", "INSERT INTO t VALUES (2)", "COMMIT"]);
    }
    assert_eq!(told(&mut sql, "SELECT a FROM t").unwrap(), ["2", "SELECT 1"]);
}

#[test]
fn a_token_that_was_used_does_not_come_back_with_what_was_set_locally() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    run(&mut sql, &["CREATE TABLE t (a int)", "SET ledgerstone.client_token = 'one'"]);
    run(&mut sql, &["BEGIN", "SET LOCAL statement_timeout = '5s'", "INSERT INTO t VALUES (1)", "COMMIT"]);
    run(&mut sql, &["INSERT INTO t VALUES (1)"]);
    assert_eq!(told(&mut sql, "SELECT count(*) FROM t").unwrap()[0], "2");
    // One that was not used stays.
    run(&mut sql, &["SET ledgerstone.client_token = 'kept'", "BEGIN", "SET LOCAL ledgerstone.client_token = 'local'"]);
    run(&mut sql, &["INSERT INTO t VALUES (3)", "COMMIT"]);
    assert_eq!(told(&mut sql, "SHOW ledgerstone.client_token").unwrap()[0].replace('"', ""), "kept");
}

#[test]
fn a_setting_behind_a_savepoint_is_rolled_back_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    let shown = |sql: &mut Session| told(sql, "SHOW default_transaction_read_only").unwrap()[0].replace('"', "");
    run(&mut sql, &["BEGIN", "SET LOCAL application_name = 'x'", "SAVEPOINT s"]);
    run(&mut sql, &["SET default_transaction_read_only = on", "ROLLBACK TO s", "COMMIT"]);
    assert_eq!(shown(&mut sql), "off");
    run(&mut sql, &["BEGIN", "SAVEPOINT s", "SET LOCAL application_name = 'x'"]);
    run(&mut sql, &["SET default_transaction_read_only = on", "ROLLBACK TO s", "COMMIT"]);
    assert_eq!(shown(&mut sql), "off");
}

#[test]
fn a_copy_commits_with_the_other_statements_of_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    run(&mut sql, &["CREATE TABLE t (a int PRIMARY KEY)"]);
    for (second, rows) in [("INSERT INTO t VALUES (1)", "0"), ("INSERT INTO t VALUES (2)", "2")] {
        let mut batch = sql.batch(format!("COPY t FROM STDIN; {second}")).unwrap();
        let Some(Response::CopyIn(mut copy)) = block_on(sql.next(&mut batch)).unwrap() else { panic!("no COPY") };
        sql.copy_data(&mut copy, b"1\n").unwrap();
        block_on(sql.copy_finish(*copy)).unwrap();
        let failed = block_on(async {
            while let Some(_answer) = sql.next(&mut batch).await? {}
            Ok::<(), ledgerstone_query::error::QueryError>(())
        });
        assert_eq!(failed.is_err(), rows == "0");
        assert_eq!(told(&mut sql, "SELECT count(*) FROM t").unwrap()[0], rows);
    }
}

/// Stands for a bug in what takes long, once.
#[derive(Default)]
struct Breaks(AtomicBool);

impl Runtime for Breaks {
    fn long(&self, work: &mut dyn FnMut()) {
        assert!(!self.0.swap(false, Ordering::AcqRel), "it breaks");
        work();
    }

    fn pause(&self, _: u32) -> Pause {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn a_transaction_in_which_a_bug_ended_a_statement_is_not_committed() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    run(&mut session(&instance, Dialect::Sql), &["CREATE TABLE t (a int)"]);
    let breaks = Arc::new(Breaks::default());
    let options = SessionOptions { runtime: breaks.clone(), ..clerk(Dialect::Sql) };
    let mut broken = Session::new(Arc::clone(&instance), "main", options).unwrap();
    run(&mut broken, &["BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "INSERT INTO t VALUES (2)"]);
    breaks.0.store(true, Ordering::Release);
    catch_unwind(AssertUnwindSafe(|| told(&mut broken, "CREATE TABLE u (a int)"))).unwrap_err();
    for text in ["INSERT INTO t VALUES (3)", "ROLLBACK TO s"] {
        told(&mut broken, text).unwrap_err();
    }
    assert_eq!(told(&mut broken, "COMMIT").unwrap(), ["ROLLBACK"]);
    run(&mut broken, &["INSERT INTO t VALUES (4)"]);
    assert_eq!(told(&mut broken, "SELECT a FROM t").unwrap(), ["4", "SELECT 1"]);
}
