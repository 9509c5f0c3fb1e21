//! INSERT, UPDATE and DELETE inside WITH: what their parts see, what is done twice and what is not, and what the journal keeps.
//! tests/corpus/changes.sql holds them beside PostgreSQL.

use ledgerstone_query::session::{Dialect, Response, Session};

use crate::support::{Memory, block_on, say, says, told};

fn ledger() -> (Memory, Session) {
    let memory = Memory::new(41);
    let mut session = memory.session();
    let tables = "CREATE TABLE t (id int PRIMARY KEY, n int); \
                  CREATE TABLE log (id int, was int); \
                  INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)";
    told(&mut session, tables).unwrap();
    (memory, session)
}

#[test]
fn rows_that_are_deleted_in_with_can_be_inserted_elsewhere() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            (
                "WITH gone AS (DELETE FROM t WHERE n > 15 RETURNING id, n) INSERT INTO log SELECT * FROM gone",
                "INSERT 0 2",
            ),
            ("SELECT id FROM t", "1 SELECT 1"),
            ("SELECT id, was FROM log ORDER BY id", "2|20 3|30 SELECT 2"),
            ("SELECT count(*) FROM history(t)", "5 SELECT 1"),
        ],
    );
}

#[test]
fn one_transaction_takes_all_that_a_statement_changes() {
    let (memory, mut s) = ledger();
    let text = "WITH a AS (UPDATE t SET n = n + 1 RETURNING id), b AS (DELETE FROM t WHERE false), \
                c AS (INSERT INTO log SELECT id, 0 FROM a) SELECT count(*) FROM a";
    assert_eq!(say(&mut s, text), "3 SELECT 1");
    let mut partiql = memory.session_of(Dialect::PartiQl);
    let transactions = "SELECT DISTINCT VALUE x FROM << (SELECT VALUE h.metadata.txId FROM history(t) AS h \
                        WHERE h.metadata.version = 1), (SELECT VALUE h.metadata.txId FROM history(log) AS h) >> AS x";
    assert_eq!(told(&mut partiql, transactions).unwrap().len(), 2, "one row and its tag");
}

#[test]
fn parts_of_a_statement_do_not_see_each_others_changes() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("BEGIN", "BEGIN"),
            ("INSERT INTO t VALUES (4, 40)", "INSERT 0 1"),
            // What the transaction has written before is seen, what the statement writes is not.
            (
                "WITH d AS (DELETE FROM t WHERE id >= 3 RETURNING id), i AS (INSERT INTO t VALUES (5, 50) RETURNING id) \
                 SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM i), (SELECT sum(id) FROM t)",
                "2|1|10 SELECT 1",
            ),
            ("SELECT sum(id) FROM t", "8 SELECT 1"),
            ("COMMIT", "COMMIT"),
            ("SELECT sum(id) FROM t", "8 SELECT 1"),
        ],
    );
}

#[test]
fn by_index_and_by_id_too_the_state_before_the_statement_is_read() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("CREATE INDEX ON t (n)", "CREATE INDEX"),
            (
                "WITH u AS (UPDATE t SET n = n + 100 RETURNING id) \
                 SELECT (SELECT id FROM t WHERE id = 1 AND n = 10), (SELECT id FROM t WHERE n = 20), \
                 (SELECT count(*) FROM t WHERE n > 100), (SELECT count(*) FROM u)",
                "1|2|0|3 SELECT 1",
            ),
            ("SELECT id FROM t WHERE n = 120", "2 SELECT 1"),
            (
                "INSERT INTO t VALUES (6, 6), (7, 7) RETURNING id, (SELECT count(*) FROM t WHERE n < 100)",
                "6|0 7|0 INSERT 0 2",
            ),
        ],
    );
}

#[test]
fn a_row_is_changed_once_by_a_statement() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            // The UPDATE is read, so it comes first; what has changed already is left alone.
            (
                "WITH u AS (UPDATE t SET n = 11 WHERE id = 1 RETURNING id) DELETE FROM t USING u WHERE t.id = u.id",
                "DELETE 0",
            ),
            ("SELECT n FROM t WHERE id = 1", "11 SELECT 1"),
            // Nobody reads it, so it comes last.
            ("WITH u AS (UPDATE t SET n = 12 WHERE id = 1) DELETE FROM t WHERE id = 1", "DELETE 1"),
            ("SELECT count(*) FROM t WHERE id = 1", "0 SELECT 1"),
        ],
    );
    let twice = "WITH u AS (UPDATE t SET n = 21 WHERE id = 2 RETURNING id) \
                 INSERT INTO t SELECT id, 0 FROM u ON CONFLICT (id) DO UPDATE SET n = 22";
    assert_eq!(say(&mut s, twice), "21000 ON CONFLICT DO UPDATE command cannot affect row a second time");
    assert_eq!(say(&mut s, "SELECT n FROM t WHERE id = 2"), "20 SELECT 1");
}

#[test]
fn a_query_in_with_is_computed_once_for_all_that_read_it() {
    let (_memory, mut s) = ledger();
    let text = "WITH r AS (SELECT random() AS x), a AS (INSERT INTO log SELECT 1, (x * 1000000)::int FROM r RETURNING was), \
                b AS (INSERT INTO log SELECT 2, (x * 1000000)::int FROM r RETURNING was) \
                SELECT a.was = b.was AND a.was = (x * 1000000)::int FROM a, b, r";
    assert_eq!(say(&mut s, text), "t SELECT 1");
}

#[test]
fn a_change_in_with_stands_only_where_a_statement_begins() {
    let (_memory, mut s) = ledger();
    let top = "0A000 WITH clause containing a data-modifying statement must be at the top level";
    let change = "WITH d AS (DELETE FROM t RETURNING id) SELECT id FROM d";
    for text in [
        format!("SELECT * FROM ({change}) x"),
        format!("SELECT ({change})"),
        format!("SELECT 1 WHERE 1 IN ({change})"),
        format!("({change}) UNION ALL SELECT 1"),
        format!("WITH x AS ({change}) SELECT * FROM x"),
        format!("WITH x AS (INSERT INTO log (id) {change}) SELECT 1"),
        format!("INSERT INTO log (id) VALUES (({change}))"),
    ] {
        assert_eq!(say(&mut s, &text), top, "{text}");
    }
    let cursor = format!("DECLARE c CURSOR WITH HOLD FOR {change}");
    assert_eq!(say(&mut s, &cursor), "0A000 DECLARE CURSOR must not contain data-modifying statements in WITH");
    let unread = "WITH d AS (DELETE FROM t) SELECT * FROM d";
    assert_eq!(say(&mut s, unread), "0A000 WITH query \"d\" does not have a RETURNING clause");
    assert_eq!(say(&mut s, "SELECT count(*) FROM t"), "3 SELECT 1");
}

#[test]
fn a_table_is_made_of_what_is_deleted_in_one_transaction() {
    let (memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("CREATE TABLE gone AS WITH d AS (DELETE FROM t WHERE n > 15 RETURNING id, n) SELECT * FROM d", "SELECT 2"),
            ("SELECT id, n FROM gone ORDER BY id", "2|20 3|30 SELECT 2"),
            ("SELECT id FROM t", "1 SELECT 1"),
            (
                "CREATE TABLE gone AS WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d",
                "42P07 relation \"gone\" already exists",
            ),
            ("SELECT count(*) FROM t", "1 SELECT 1"),
        ],
    );
    let block = memory.database.ledger().blocks(0).map(Result::unwrap).last().unwrap();
    // The definition, two documents that went and two that came.
    assert_eq!(block.revisions.len(), 5);
}

#[test]
fn parentheses_around_a_whole_statement_are_none() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("((WITH d AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT id FROM d))", "1 SELECT 1"),
            ("(WITH d AS (DELETE FROM t RETURNING id) SELECT id FROM d) ORDER BY id DESC LIMIT 1", "3 SELECT 1"),
            ("SELECT count(*) FROM t", "0 SELECT 1"),
        ],
    );
}

#[test]
fn what_a_change_returns_is_copied_out_when_it_has_committed() {
    let (memory, mut s) = ledger();
    let copied = |s: &mut Session, text: &str| {
        let answers = block_on(s.execute(text)).unwrap();
        let [Response::CopyOut(out)] = &mut { answers }[..] else { panic!("{text}") };
        out.rows.collect().unwrap().len()
    };
    assert_eq!(copied(&mut s, "COPY (DELETE FROM t WHERE id = 1 RETURNING id) TO STDOUT"), 1);
    assert_eq!(say(&mut memory.session(), "SELECT count(*) FROM t"), "2 SELECT 1");
    assert_eq!(copied(&mut s, "COPY (WITH u AS (UPDATE t SET n = 0 RETURNING id) SELECT * FROM u) TO STDOUT"), 2);
    assert_eq!(say(&mut s, "BEGIN"), "BEGIN");
    assert_eq!(copied(&mut s, "COPY (INSERT INTO t VALUES (7, 7) RETURNING *) TO STDOUT"), 1);
    assert_eq!(say(&mut s, "ROLLBACK"), "ROLLBACK");
    assert_eq!(say(&mut s, "SELECT sum(n), count(*) FROM t"), "0|2 SELECT 1");
    let unread = "0A000 COPY query must have a RETURNING clause";
    assert_eq!(say(&mut s, "COPY (DELETE FROM t) TO STDOUT"), unread);
    assert_eq!(say(&mut s, "BEGIN READ ONLY"), "BEGIN");
    let refused = "25006 cannot execute DELETE in a read-only transaction";
    assert_eq!(say(&mut s, "COPY (DELETE FROM t RETURNING id) TO STDOUT"), refused);
}

#[test]
fn nothing_of_a_statement_that_fails_stays() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("WITH d AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT id / 0 FROM d", "22012 division by zero"),
            ("SELECT count(*) FROM t", "3 SELECT 1"),
            ("BEGIN", "BEGIN"),
            ("SAVEPOINT s", "SAVEPOINT"),
            ("WITH d AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT id / 0 FROM d", "22012 division by zero"),
            ("ROLLBACK TO s", "ROLLBACK"),
            // Reads again what it writes.
            ("UPDATE t SET n = 31 WHERE id = 3", "UPDATE 1"),
            ("SELECT sum(n) FROM t", "61 SELECT 1"),
            ("COMMIT", "COMMIT"),
        ],
    );
}

#[test]
fn a_repeated_client_token_gives_the_rows_of_the_first_time() {
    let (_memory, mut s) = ledger();
    let text = "WITH d AS (DELETE FROM t WHERE id = 1 RETURNING n) SELECT n FROM d";
    for _ in 0..2 {
        assert_eq!(say(&mut s, "SET ledgerstone.client_token = 'once'"), "SET");
        assert_eq!(say(&mut s, text), "10 SELECT 1");
    }
    assert_eq!(say(&mut s, "SELECT count(*) FROM t"), "2 SELECT 1");
}

#[test]
fn explain_shows_the_changes_in_with() {
    let (_memory, mut s) = ledger();
    let lines = told(&mut s, "EXPLAIN WITH d AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT * FROM d").unwrap();
    let text = lines.join("\n");
    assert!(text.contains("WITH d\n  Delete from t\n"), "{text}");
    assert_eq!(say(&mut s, "SELECT count(*) FROM t"), "3 SELECT 1");
}
