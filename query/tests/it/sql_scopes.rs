//! What names mean where they stand, and what rows are as values: the answers are PostgreSQL's.

use std::sync::Arc;

use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::{Dialect, Session};
use ledgerstone_query::types::SqlType;

use crate::support::{open_instance, session, told};

/// A ledger for as long as its directory is there, and a session that speaks SQL.
struct Ledger {
    sql: Session,
    _instance: Arc<Instance>,
    _dir: tempfile::TempDir,
}

impl Ledger {
    fn with(statements: &str) -> Ledger {
        let dir = tempfile::tempdir().unwrap();
        let instance = open_instance(dir.path()).unwrap();
        let mut sql = session(&instance, Dialect::Sql);
        told(&mut sql, statements).unwrap();
        Ledger { sql, _instance: instance, _dir: dir }
    }

    /// The rows of a query, without its tag.
    #[track_caller]
    fn rows(&mut self, query: &str) -> Vec<String> {
        let mut rows = told(&mut self.sql, query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
        rows.pop();
        rows
    }

    #[track_caller]
    fn check(&mut self, cases: &[(&str, &[&str])]) {
        for (query, expected) in cases {
            assert_eq!(self.rows(query), *expected, "{query}");
        }
    }

    #[track_caller]
    fn refused(&mut self, cases: &[(&str, &str, &str)]) {
        for (query, code, message) in cases {
            match told(&mut self.sql, query) {
                Ok(rows) => panic!("{query}: {rows:?}"),
                Err(error) => assert_eq!((error.code.0, &*error.message), (*code, *message), "{query}"),
            }
        }
    }
}

#[test]
fn each_step_of_a_recursion_reads_what_the_step_before_it_has_made() {
    let mut ledger = Ledger::with("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    let one_to_five: &[&str] = &["1", "2", "3", "4", "5"];
    ledger.check(&[
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT s.n + 1 FROM (SELECT n FROM r WHERE n < 5) s) SELECT * FROM r",
            one_to_five,
        ),
        // Through a common table of the term, read by a subquery of its own.
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT s.n + 1 FROM \
             (WITH x AS (SELECT n FROM r WHERE n < 5) SELECT y.n FROM (SELECT n FROM x) y) s) SELECT * FROM r",
            one_to_five,
        ),
        // A recursion for each step of another.
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT s.n FROM (WITH RECURSIVE i(n, k) AS \
             (SELECT n, 0 FROM r WHERE n < 5 UNION ALL SELECT j.n + 1, j.k + 1 FROM (SELECT n, k FROM i) j WHERE j.k < 1) \
             SELECT n FROM i) s) SELECT * FROM r",
            one_to_five,
        ),
        // What does not read the recursion is the same at every step.
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT r.n + s.n FROM r, (SELECT min(id) AS n FROM t) s WHERE r.n < 5) \
             SELECT * FROM r",
            one_to_five,
        ),
    ]);
    // Once the recursion has come to its end, all of it is what others read.
    let after = "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT s.n + 1 FROM (SELECT n FROM r WHERE n < 3) s) \
                 SELECT a.n, b.n FROM (SELECT n FROM r) a JOIN (SELECT n FROM r) b ON a.n = b.n ORDER BY 1";
    ledger.check(&[(after, &["1|1", "2|2", "3|3"])]);
}

#[test]
fn each_item_of_a_row_is_compared_as_it_would_be_alone() {
    let mut ledger = Ledger::with(
        "CREATE TABLE k (id int PRIMARY KEY, d date, u uuid, ch char(5), t text, at timestamptz); \
         INSERT INTO k VALUES (1, '2026-01-02', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ab', 'x', '2026-01-02 10:00Z'), \
         (6, '2026-01-01', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'cd', 'ab', '2026-01-03 10:00Z')",
    );
    ledger.check(&[
        ("SELECT id FROM k WHERE (d, id) > ('2026-01-01', 5) ORDER BY d, id LIMIT 2", &["6", "1"]),
        ("SELECT id FROM k WHERE (d, id) > ('2026-01-01', 6)", &["1"]),
        ("SELECT id FROM k WHERE (id, d) IN (('1', '2026-01-02'), (5, '2026-01-01'))", &["1"]),
        ("SELECT id FROM k WHERE (d, id) NOT IN (('2026-01-02', 1), ('2026-05-05', NULL))", &["6"]),
        ("SELECT id FROM k WHERE ('1', '2026-01-02') IN ((id, d), (2, '2026-05-05'))", &["1"]),
        ("SELECT id FROM k WHERE (u, id) = ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 1)", &["1"]),
        ("SELECT id FROM k WHERE (ch, id) = ('ab', 1)", &["1"]),
        ("SELECT id FROM k WHERE ROW(ch, id) <> ROW('ab', '1')", &["6"]),
        ("SELECT id FROM k WHERE (at, id) >= ('2026-01-03 00:00Z', 0)", &["6"]),
        ("SELECT id FROM k WHERE (id, d) BETWEEN (1, '2026-01-01') AND (5, '2026-01-01')", &["1"]),
        ("SELECT id FROM k WHERE (id, d) IS DISTINCT FROM (1, '2026-01-02')", &["6"]),
        ("SELECT id FROM k WHERE (id, NULL) IS NOT DISTINCT FROM ('6', NULL)", &["6"]),
        ("SELECT (1, 2) = (1, NULL), (1, 2) = (2, NULL), (1, 2) < (2, NULL), (1, 2) < (1, NULL)", &["null|f|t|null"]),
        ("SELECT (1, 2) = NULL", &["null"]),
    ]);
    ledger.refused(&[
        ("SELECT id FROM k WHERE (id, d) = ('x', d)", "22P02", "invalid input syntax for type integer: \"x\""),
        ("SELECT id FROM k WHERE (id, d) = (true, d)", "42883", "operator does not exist: integer = boolean"),
        (
            "SELECT id FROM k WHERE (id, d) IN ((1, d), (2, d, 3))",
            "42601",
            "unequal number of entries in row expressions",
        ),
        ("SELECT id FROM k WHERE (id, d) IN (1)", "42883", "operator does not exist: record = integer"),
        ("SELECT id FROM k WHERE id IN ((1, d))", "42883", "operator does not exist: integer = record"),
        ("SELECT ROW() = ROW()", "0A000", "cannot compare rows of zero length"),
    ]);
    let prepared =
        ledger.sql.prepare("SELECT id FROM k WHERE (id, d) IN (($1, $2)) AND (ch, $3) > ('a', at)", &[]).unwrap();
    assert_eq!(prepared.parameter_types, [SqlType::Int4, SqlType::Date, SqlType::TimestampTz]);
}
