//! What names mean where they stand, and what rows are as values: the answers are PostgreSQL's.

use std::sync::Arc;

use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::{Dialect, Session};

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
