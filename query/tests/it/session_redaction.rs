//! `EXEC REDACT_REVISION` through a session: the data is gone everywhere, and what was promised still verifies.

use std::path::Path;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Env;
use ledgerstone_journal::verify::{VerifyOptions, verify_directory};
use ledgerstone_query::exec::Row;
use ledgerstone_query::session::{Dialect, Response, Session};

use crate::support::{block_on, open_instance, session};

/// The rows of the last statement.
fn rows(session: &mut Session, text: &str) -> Vec<Row> {
    let answers = block_on(session.execute(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
    match answers.into_iter().next_back() {
        Some(Response::Rows { mut rows, .. }) => rows.collect().unwrap(),
        _ => Vec::new(),
    }
}

fn text(row: &Row, at: usize) -> String {
    row[at].as_ref().and_then(Value::as_text).unwrap_or_default().to_owned()
}

const SECRET: &str = "nobody-may-know-4711";

fn bytes_hold(dir: &Path, secret: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return bytes_hold(&path, secret);
        }
        // A file of the index may give way to another one meanwhile.
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
    })
}

#[test]
fn a_redacted_revision_is_gone_from_the_disk_and_the_ledger_still_verifies() {
    for dialect in [Dialect::Sql, Dialect::PartiQl] {
        let dir = tempfile::tempdir().unwrap();
        let first = open_instance(dir.path()).unwrap();
        let mut s = session(&first, Dialect::Sql);
        rows(&mut s, "CREATE TABLE person (id text PRIMARY KEY, secret text)");
        rows(&mut s, &format!("INSERT INTO person VALUES ('p1', '{SECRET}')"));
        // An index holds it too, in memory and in files.
        rows(&mut s, "CREATE INDEX by_secret ON person (secret)");
        rows(&mut s, "UPDATE person SET secret = 'gone' WHERE id = 'p1'");
        drop(s);
        first.close().unwrap();
        drop(first);
        let index = dir.path().join("data/main/index");
        assert!(bytes_hold(&index, SECRET), "the secret is in the index before");
        let instance = open_instance(dir.path()).unwrap();
        let mut s = session(&instance, Dialect::Sql);
        let database = instance.ledger("main").unwrap();
        let before = database.ledger().checkpoint().unwrap().checkpoint;
        let found = rows(&mut s, "SELECT _ql_id, _ql_block::text FROM history(person) AS h WHERE _ql_version = 0");
        let (document, block) = (text(&found[0], 0), text(&found[0], 1));
        let table = database.catalogue().table("person").unwrap().id;
        let strand = database.ledger().strand();
        drop(database);

        assert!(bytes_hold(&dir.path().join("data"), SECRET), "the secret is on the disk before");
        let address = match dialect {
            Dialect::Sql => format!("'{{strandId: \"{strand}\", sequenceNo: {block}}}'"),
            Dialect::PartiQl => format!("`{{strandId: \"{strand}\", sequenceNo: {block}}}`"),
        };
        let mut d = session(&instance, dialect);
        let answer = rows(&mut d, &format!("EXEC REDACT_REVISION {address}, '{table}', '{document}'"));
        assert_eq!(answer.len(), 1);

        assert!(!bytes_hold(&dir.path().join("data"), SECRET), "{dialect:?}: the secret is still on the disk");
        assert!(std::fs::read_dir(&index).unwrap().count() >= 2, "the index was written again");
        let found = rows(&mut s, "SELECT id FROM person WHERE secret = 'gone'");
        assert_eq!(text(&found[0], 0), "p1");
        let shown = rows(&mut s, "SELECT secret FROM history(person) AS h ORDER BY _ql_version");
        assert_eq!((shown[0][0].clone(), text(&shown[1], 0)), (None, "gone".to_owned()));
        let newest = instance.ledger("main").unwrap().ledger().checkpoint().unwrap();
        assert!(newest.checkpoint.size > before.size);

        drop((s, d));
        instance.close().unwrap();
        let report = verify_directory(&Env::production(), &dir.path().join("data/main"), VerifyOptions::default());
        assert_eq!(report.verdict().exit_status(), 0, "{:?}", report.findings);
        assert_eq!(report.redacted, 1);
    }
}

#[test]
fn a_retry_never_gets_what_was_redacted() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut s = session(&instance, Dialect::Sql);
    rows(&mut s, "CREATE TABLE person (id text PRIMARY KEY, secret text)");
    let insert = format!("INSERT INTO person VALUES ('p1', '{SECRET}') RETURNING secret");
    for _ in 0..2 {
        rows(&mut s, "SET ledgerstone.client_token = 'kept'");
        assert_eq!(text(&rows(&mut s, &insert)[0], 0), SECRET, "a retry gets the rows again");
    }
    rows(&mut s, "UPDATE person SET secret = 'gone' WHERE id = 'p1'");
    let found = rows(&mut s, "SELECT _ql_id, _ql_block::text FROM history(person) AS h WHERE _ql_version = 0");
    let (document, block) = (text(&found[0], 0), text(&found[0], 1));
    let database = instance.ledger("main").unwrap();
    let (table, strand) = (database.catalogue().table("person").unwrap().id, database.ledger().strand());
    let address = format!("'{{strandId: \"{strand}\", sequenceNo: {block}}}'");
    rows(&mut s, &format!("EXEC REDACT_REVISION {address}, '{table}', '{document}'"));
    rows(&mut s, "SET ledgerstone.client_token = 'kept'");
    assert!(rows(&mut s, &insert).is_empty());
}

#[test]
fn a_transaction_that_sees_a_redacted_revision_as_current_is_refused_not_shown_less() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut s = session(&instance, Dialect::Sql);
    rows(&mut s, "CREATE TABLE person (id text PRIMARY KEY, secret text)");
    rows(&mut s, &format!("INSERT INTO person VALUES ('p1', '{SECRET}')"));
    let mut open: Vec<Session> = (0..4).map(|_| session(&instance, Dialect::Sql)).collect();
    for session in &mut open {
        rows(session, "BEGIN");
        assert_eq!(rows(session, "SELECT id FROM person WHERE id = 'p1'").len(), 1);
    }
    rows(&mut s, "UPDATE person SET secret = 'gone' WHERE id = 'p1'");
    let found = rows(&mut s, "SELECT _ql_id, _ql_block::text FROM history(person) AS h WHERE _ql_version = 0");
    let (document, block) = (text(&found[0], 0), text(&found[0], 1));
    let database = instance.ledger("main").unwrap();
    let (table, strand) = (database.catalogue().table("person").unwrap().id, database.ledger().strand());
    let address = format!("'{{strandId: \"{strand}\", sequenceNo: {block}}}'");
    rows(&mut s, &format!("EXEC REDACT_REVISION {address}, '{table}', '{document}'"));
    let reads = [
        "SELECT id FROM person",
        "SELECT id FROM person WHERE id = 'p1'",
        "SELECT id FROM person WHERE id >= 'p' ORDER BY id",
        "UPDATE person SET secret = 'x' WHERE id || '' = 'p1'",
    ];
    for (session, read) in open.iter_mut().zip(reads) {
        let error = block_on(session.execute(read)).map(drop).unwrap_err();
        assert_eq!(error.code.as_str(), "40001", "{read}: {error}");
        rows(session, "ROLLBACK");
        assert_eq!(rows(session, "SELECT id FROM person WHERE id = 'p1'").len(), 1);
    }
}

#[test]
fn what_was_read_before_a_redaction_does_not_come_again_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut a = session(&instance, Dialect::Sql);
    rows(&mut a, "CREATE TABLE person (id text PRIMARY KEY, secret text); CREATE TABLE n (v int)");
    rows(&mut a, &format!("INSERT INTO n VALUES (1); INSERT INTO person VALUES ('p1', '{SECRET}')"));
    rows(&mut a, "UPDATE person SET secret = 'gone' WHERE id = 'p1'");
    let found = rows(&mut a, "SELECT _ql_id, _ql_block::text FROM history(person) AS h WHERE _ql_version = 0");
    let database = instance.ledger("main").unwrap();
    let (strand, table) = (database.ledger().strand(), database.catalogue().table("person").unwrap().id);
    let (document, block) = (text(&found[0], 0), text(&found[0], 1));
    let redact =
        format!("EXEC REDACT_REVISION '{{strandId: \"{strand}\", sequenceNo: {block}}}', '{table}', '{document}'");
    let body =
        "UPDATE n SET v = v + 1 RETURNING (SELECT max(h.secret) FROM history(person) AS h WHERE _ql_version = 0)";
    let once = |token: &str| format!("SET ledgerstone.client_token = '{token}'; {body}");
    // One reads between the statement that redacts and its commit, the other is open when it commits.
    rows(&mut a, "BEGIN");
    rows(&mut a, &redact);
    let (mut b, mut c) = (session(&instance, Dialect::Sql), session(&instance, Dialect::Sql));
    assert_eq!(text(&rows(&mut b, &once("between"))[0], 0), SECRET);
    assert_eq!(text(&rows(&mut b, &once("between"))[0], 0), SECRET, "a retry gets the same rows");
    rows(&mut a, "COMMIT");
    let again = rows(&mut b, &once("between"));
    assert!(again.iter().all(|row| text(row, 0) != SECRET), "{again:?}");
    assert_eq!(text(&rows(&mut c, "SELECT v::text FROM n")[0], 0), "2", "it was done once");
}
