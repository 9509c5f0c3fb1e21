//! MERGE beyond what tests/corpus/merge.sql holds beside PostgreSQL: one block, conflicts, tables without columns, plans.

use ledgerstone_digest::block::StatementText;
use ledgerstone_query::session::{Dialect, Session};

use crate::support::{Memory, say, says, told, told_or_code};

fn ledger() -> (Memory, Session) {
    let memory = Memory::new(61);
    let mut session = memory.session();
    let tables = "CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 7); CREATE TABLE s (id int, n int); \
                  INSERT INTO t VALUES (1, 10), (2, 20), (3, 30); INSERT INTO s VALUES (1, 1), (2, 0), (4, 4)";
    told(&mut session, tables).unwrap();
    (memory, session)
}

const MERGE: &str = "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND s.n = 0 THEN DELETE \
                     WHEN MATCHED THEN UPDATE SET n = t.n + s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.n)";

#[test]
fn one_block_takes_all_that_a_merge_changes_with_its_text() {
    let (memory, mut s) = ledger();
    says(&mut s, &[(MERGE, "MERGE 3"), ("SELECT id, n FROM t ORDER BY id", "1|11 3|30 4|4 SELECT 3")]);
    let block = memory.database.ledger().blocks(0).map(Result::unwrap).last().unwrap();
    assert_eq!(block.revisions.len(), 3);
    let [statement] = block.info.statements.as_slice() else { panic!("{:?}", block.info.statements) };
    assert!(matches!(&statement.text, StatementText::Text(text) if &**text == MERGE), "{statement:?}");
    says(
        &mut s,
        &[("SELECT count(*) FROM history(t) WHERE _ql_block = (SELECT max(_ql_block) FROM history(t))", "3 SELECT 1")],
    );
}

#[test]
fn nothing_of_a_merge_that_fails_stays() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("BEGIN", "BEGIN"),
            ("SAVEPOINT a", "SAVEPOINT"),
            (
                "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE \
                 WHEN NOT MATCHED THEN INSERT VALUES (s.id / (s.id - 4), 0)",
                "22012 division by zero",
            ),
            ("ROLLBACK TO a", "ROLLBACK"),
            ("SELECT count(*) FROM t", "3 SELECT 1"),
            (MERGE, "MERGE 3"),
            ("SELECT sum(n) FROM t", "45 SELECT 1"),
            ("COMMIT", "COMMIT"),
        ],
    );
}

#[test]
fn a_row_that_two_rows_of_the_source_meet_is_refused_and_stays() {
    let (_memory, mut s) = ledger();
    let twice = "MERGE INTO t USING (VALUES (1), (1)) v(id) ON t.id = v.id WHEN MATCHED THEN UPDATE SET n = 0";
    assert_eq!(say(&mut s, twice), "21000 MERGE command cannot affect row a second time");
    let after = "WITH u AS (UPDATE t SET n = 0 WHERE id = 1 RETURNING id) \
                 MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE";
    assert_eq!(say(&mut s, after), "21000 MERGE command cannot affect row a second time");
    assert_eq!(say(&mut s, "SELECT n FROM t WHERE id = 1"), "10 SELECT 1");
}

#[test]
fn what_a_merge_has_read_is_judged_when_it_commits() {
    // A key that was not there, a row that was, and rows of the source.
    for other in ["INSERT INTO t VALUES (4, 0)", "UPDATE t SET n = 0 WHERE id = 1", "INSERT INTO s VALUES (9, 9)"] {
        let (memory, mut a) = ledger();
        let mut b = memory.session();
        says(&mut a, &[("BEGIN", "BEGIN"), (MERGE, "MERGE 3")]);
        told(&mut b, other).unwrap();
        assert!(matches!(&*told_or_code(&mut a, "COMMIT"), "40001" | "23505"), "{other}");
    }
    // Another table is no concern of its.
    let (memory, mut a) = ledger();
    let mut b = memory.session();
    told(&mut b, "CREATE TABLE u (id int)").unwrap();
    says(&mut a, &[("BEGIN", "BEGIN"), (MERGE, "MERGE 3")]);
    says(&mut b, &[("INSERT INTO u VALUES (1)", "INSERT 0 1")]);
    says(&mut a, &[("COMMIT", "COMMIT")]);
}

#[test]
fn documents_without_columns_are_merged_by_their_fields() {
    let memory = Memory::new(62);
    let mut s = memory.session();
    says(
        &mut s,
        &[
            ("CREATE TABLE d", "CREATE TABLE"),
            ("INSERT INTO d (k, n) VALUES (1, 10), (2, 20)", "INSERT 0 2"),
            (
                "MERGE INTO d USING (VALUES (1, 5), (3, 7)) v(k, n) ON d.k = v.k WHEN MATCHED THEN \
                 UPDATE SET n = v.n, deep.at = 'x' WHEN NOT MATCHED THEN INSERT (k, n) VALUES (v.k, v.n)",
                "MERGE 2",
            ),
            ("SELECT k, n, deep FROM d ORDER BY k", "1|5|{\"at\": \"x\"} 2|20|null 3|7|null SELECT 3"),
            (
                "MERGE INTO d USING (VALUES (9)) v(k) ON d.k = v.k \
                 WHEN NOT MATCHED THEN INSERT VALUES (jsonb_build_object('k', v.k))",
                "MERGE 1",
            ),
            ("SELECT k FROM d WHERE k = 9", "9 SELECT 1"),
        ],
    );
}

#[test]
fn a_source_may_be_history_or_another_time() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("UPDATE t SET n = 0", "UPDATE 3"),
            (
                "MERGE INTO t USING (SELECT id, max(n) AS n FROM history(t) GROUP BY id) h ON t.id = h.id \
                 WHEN MATCHED AND t.n <> h.n THEN UPDATE SET n = h.n",
                "MERGE 3",
            ),
            ("SELECT sum(n) FROM t", "60 SELECT 1"),
        ],
    );
    assert_eq!(told_or_code(&mut s, "MERGE INTO t AS OF BLOCK 1 USING s ON true WHEN MATCHED THEN DELETE"), "42601");
}

#[test]
fn parameters_take_their_types_from_columns() {
    let (_memory, mut s) = ledger();
    let text = "MERGE INTO t USING (SELECT $1::int AS id) v ON t.id = v.id WHEN MATCHED THEN UPDATE SET n = $2 \
                WHEN NOT MATCHED THEN INSERT (id, n) VALUES (v.id, $3)";
    let prepared = s.prepare(text, &[]).unwrap();
    assert_eq!(prepared.parameter_types, vec![ledgerstone_query::types::SqlType::Int4; 3]);
    assert!(prepared.columns.is_none());
}

#[test]
fn explain_shows_how_a_merge_finds_its_rows() {
    let (_memory, mut s) = ledger();
    let lines = told(&mut s, &format!("EXPLAIN {MERGE}")).unwrap().join("\n");
    assert!(lines.contains("Merge into t\n  Left lookup join\n"), "{lines}");
    assert!(lines.contains("Primary key lookup using t_pkey (id) on t"), "{lines}");
    let inner = "EXPLAIN MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE";
    let lines = told(&mut s, inner).unwrap().join("\n");
    assert!(lines.contains("Merge into t\n  Lookup join\n"), "{lines}");
    assert_eq!(say(&mut s, "SELECT count(*) FROM t"), "3 SELECT 1");
}

#[test]
fn a_repeated_client_token_merges_once() {
    let (_memory, mut s) = ledger();
    for _ in 0..2 {
        assert_eq!(say(&mut s, "SET ledgerstone.client_token = 'once'"), "SET");
        assert_eq!(say(&mut s, MERGE), "MERGE 3");
    }
    assert_eq!(say(&mut s, "SELECT n FROM t WHERE id = 1"), "11 SELECT 1");
}

#[test]
fn partiql_has_no_merge() {
    let (memory, _s) = ledger();
    let mut partiql = memory.session_of(Dialect::PartiQl);
    assert!(told(&mut partiql, MERGE).is_err());
}
