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
    ledger.refused(&[(
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n + 1 FROM r WHERE n < (SELECT max(n) + 1 FROM r) AND n < 5) SELECT * FROM r",
        "42P19",
        "recursive reference to query \"r\" must not appear within a subquery",
    )]);
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

#[test]
fn columns_that_a_join_merges_are_one_for_that_join_alone() {
    let mut ledger = Ledger::with(
        "CREATE TABLE a (id int, p text); CREATE TABLE b (id int, q text); CREATE TABLE c (id int, w text); \
         INSERT INTO a VALUES (1, 'p1'), (2, 'p2'); INSERT INTO b VALUES (1, 'q1'), (3, 'q3'); \
         INSERT INTO c VALUES (1, 'w1'), (9, 'w9')",
    );
    ledger.check(&[
        ("SELECT * FROM a JOIN b USING (id) CROSS JOIN c WHERE w = 'w9'", &["1|p1|q1|9|w9"]),
        ("SELECT * FROM c, a JOIN b USING (id) WHERE w = 'w9'", &["9|w9|1|p1|q1"]),
        ("SELECT * FROM (a JOIN b USING (id)) JOIN c USING (id)", &["1|p1|q1|w1"]),
        ("SELECT * FROM a JOIN (b JOIN c USING (id)) ON true WHERE p = 'p2'", &["2|p2|1|q1|w1"]),
        ("SELECT * FROM a JOIN (b JOIN c USING (id)) USING (id)", &["1|p1|q1|w1"]),
        ("SELECT * FROM (a JOIN b USING (id)), (c JOIN (SELECT 1 AS id) d USING (id))", &["1|p1|q1|1|w1"]),
        ("SELECT * FROM (SELECT 'q1' AS q) z NATURAL JOIN b", &["q1|1"]),
        ("SELECT id FROM a FULL JOIN b USING (id) FULL JOIN c USING (id) ORDER BY id", &["1", "2", "3", "9"]),
        ("SELECT a.id, b.* FROM a JOIN b USING (id)", &["1|1|q1"]),
        // In ON there is nothing but the two sides.
        (
            "SELECT * FROM c JOIN (a JOIN b USING (id) JOIN (SELECT 1 AS x) y ON id = x) ON w = 'w9'",
            &["9|w9|1|p1|q1|1"],
        ),
        ("SELECT id, count(*) FROM a FULL JOIN b USING (id) GROUP BY id ORDER BY id", &["1|1", "2|1", "3|1"]),
        // The merged column can hold both.
        ("SELECT id, pg_typeof(id) FROM a RIGHT JOIN (SELECT 3000000000 AS id) z USING (id)", &["3000000000|bigint"]),
        (
            "SELECT id, pg_typeof(id) FROM a FULL JOIN (SELECT 3000000000 AS id) z USING (id) ORDER BY id DESC LIMIT 1",
            &["3000000000|bigint"],
        ),
    ]);
    let ambiguous = "column reference \"id\" is ambiguous";
    ledger.refused(&[
        ("SELECT id FROM c, a JOIN b USING (id)", "42702", ambiguous),
        ("SELECT id FROM a JOIN b USING (id) JOIN c ON true", "42702", ambiguous),
        ("SELECT 1 FROM c JOIN (a JOIN b USING (id)) ON id = 1", "42702", ambiguous),
        (
            "SELECT 1 FROM a JOIN (b CROSS JOIN c) USING (id)",
            "42702",
            "common column name \"id\" appears more than once in right table",
        ),
        ("SELECT 1 FROM a JOIN b USING (id, id)", "42701", "column name \"id\" appears more than once in USING clause"),
    ]);
}

#[test]
fn a_row_that_an_outer_join_has_not_found_is_null_and_one_of_nulls_is_there() {
    let mut ledger = Ledger::with(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, w text); \
         INSERT INTO a VALUES (1), (2); INSERT INTO c VALUES (1, 'w1'), (9, NULL)",
    );
    let sub = "a LEFT JOIN (SELECT id, w FROM c) s ON s.id = a.id";
    let shown = "WITH s AS (SELECT id, w FROM c UNION SELECT 7, 'w7') SELECT a.id, s IS NULL, s IS NOT NULL \
                 FROM a LEFT JOIN s ON s.id = a.id ORDER BY 1";
    ledger.check(&[
        (&format!("SELECT a.id, s IS NULL, s IS NOT NULL FROM {sub} ORDER BY 1"), &["1|f|t", "2|t|f"]),
        (&format!("SELECT a.id FROM {sub} WHERE s IS NULL"), &["2"]),
        (&format!("SELECT count(s), count(*) FROM {sub}"), &["1|2"]),
        (&format!("SELECT (SELECT s IS NULL), coalesce(to_jsonb(s)->>'w', '-') FROM {sub} ORDER BY a.id"), &["f|w1", "t|-"]),
        (&format!("SELECT s IS NULL, count(*) FROM {sub} GROUP BY s ORDER BY 1"), &["f|1", "t|1"]),
        (shown, &["1|f|t", "2|t|f"]),
        ("SELECT count(s), count(t) FROM (SELECT 1 AS k, 2 AS l) s FULL JOIN (VALUES (3, 4)) t(m, n) ON k = m", &["1|1"]),
        ("SELECT count(s), count(t) FROM (SELECT 1 AS k, 2 AS l) s RIGHT JOIN (VALUES (3, 4)) t(m, n) ON k = m", &["0|1"]),
        ("WITH s AS (SELECT id, w FROM c) SELECT count(s), count(t) FROM a LEFT JOIN s USING (id) LEFT JOIN s t ON false", &["1|0"]),
        (
            "SELECT a.id, count(l) FROM a LEFT JOIN LATERAL (SELECT NULL, NULL FROM c WHERE c.id = a.id) l ON true \
             GROUP BY a.id ORDER BY 1",
            &["1|1", "2|0"],
        ),
        // Of a row with some NULLs neither holds, but it is a row.
        ("SELECT c.id, c IS NULL, c IS NOT NULL, count(c) OVER () FROM c ORDER BY 1", &["1|f|t|2", "9|f|f|2"]),
        (
            "SELECT (NULL, NULL) IS NULL, (1, NULL) IS NOT NULL, (1, NULL) IS NULL, ROW(1, 2) IS NOT NULL, \
             (NULL, (NULL, NULL)) IS NULL",
            &["t|f|f|t|f"],
        ),
        ("SELECT s IS NULL, count(s) OVER () FROM (SELECT NULL AS x, NULL AS y) s", &["t|1"]),
        ("SELECT s = (1, 'w1') FROM (SELECT id, w FROM c WHERE w IS NOT NULL) s", &["t"]),
        ("SELECT a.id, s IS NULL FROM a LEFT JOIN (SELECT id FROM a WHERE id = 1) s ON s.id = a.id ORDER BY 1", &["1|f", "2|t"]),
    ]);
    let returned = "DELETE FROM c USING a LEFT JOIN (SELECT 7 AS x, 8 AS y) s ON s.x = a.id WHERE c.id = a.id \
                    RETURNING c.id, to_jsonb(s) IS NULL";
    ledger.check(&[(returned, &["1|t"])]);
}

/// Three rows in two groups, and two rows beside them.
const GROUPS: &str = "CREATE TABLE t (id int PRIMARY KEY, x int, g int); CREATE TABLE u (id int PRIMARY KEY, y int); \
                      INSERT INTO t VALUES (1, 10, 1), (2, 20, 1), (3, 30, 2); INSERT INTO u VALUES (1, 100), (2, 200)";

#[test]
fn an_aggregate_of_outer_columns_is_the_outer_querys() {
    let mut ledger = Ledger::with(GROUPS);
    ledger.check(&[
        ("SELECT (SELECT max(t.id)) FROM t", &["3"]),
        ("SELECT (SELECT count(t.x) FROM u LIMIT 1) FROM t", &["3"]),
        ("SELECT (SELECT max(z.m) FROM (SELECT max(t.id) AS m) z) FROM t", &["3"]),
        ("SELECT (SELECT (SELECT max(t.id) FROM u LIMIT 1) FROM u LIMIT 1) FROM t", &["3"]),
        (
            "SELECT g, (SELECT sum(t.x) FROM u WHERE u.id = 1), sum(x) FROM t GROUP BY g ORDER BY g",
            &["1|30|30", "2|30|30"],
        ),
        ("SELECT g, (SELECT y FROM u WHERE u.id = count(t.x)) FROM t GROUP BY g ORDER BY g", &["1|200", "2|100"]),
        ("SELECT g FROM t GROUP BY g HAVING EXISTS (SELECT 1 FROM u WHERE u.id = count(t.x) + 1) ORDER BY g", &["2"]),
        ("SELECT id FROM t GROUP BY id ORDER BY (SELECT max(t.x) FROM u LIMIT 1) DESC", &["3", "2", "1"]),
        (
            "SELECT (SELECT string_agg(t.x::text, ',' ORDER BY t.id) FILTER (WHERE t.id > 1) FROM u LIMIT 1) FROM t",
            &["20,30"],
        ),
        // With a column or none of its own it is the inner query's.
        ("SELECT (SELECT max(t.id + u.id) FROM u) FROM t ORDER BY id", &["3", "4", "5"]),
        ("SELECT (SELECT max(t.id) FILTER (WHERE u.id > 1) FROM u) FROM t ORDER BY id", &["1", "2", "3"]),
        ("SELECT (SELECT count(*) FROM u) FROM t", &["2", "2", "2"]),
        ("SELECT (SELECT count(1) FROM u) FROM t LIMIT 1", &["2"]),
    ]);
    let nowhere = |clause: &str| format!("aggregate functions are not allowed in {clause}");
    ledger.refused(&[
        ("SELECT id FROM t WHERE (SELECT max(t.id) FROM u) > 0", "42803", &nowhere("WHERE")),
        ("SELECT t.id FROM t, LATERAL (SELECT max(t.x) AS m FROM u) l", "42803", &nowhere("FROM")),
        ("UPDATE t SET x = (SELECT max(t.x) FROM u)", "42803", &nowhere("UPDATE")),
        ("SELECT sum((SELECT max(t.id) FROM u)) FROM t", "42803", "aggregate function calls cannot be nested"),
        (
            "SELECT (SELECT max((SELECT t.id)) FROM u) FROM t",
            "0A000",
            "a subquery in an aggregate of an outer query is not supported",
        ),
        (
            "SELECT id, (SELECT count(t.id) FROM u) FROM t",
            "42803",
            "column \"t.id\" must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        (
            "SELECT (SELECT max(t.id) FROM u) FROM t",
            "21000",
            "more than one row returned by a subquery used as an expression",
        ),
    ]);
}

#[test]
fn set_returning_functions_are_computed_over_groups() {
    let mut ledger = Ledger::with(GROUPS);
    ledger.check(&[
        ("SELECT generate_series(1, max(id)) FROM t", &["1", "2", "3"]),
        ("SELECT generate_series(1, max(id)) + 1 AS n FROM t HAVING count(*) > 1 ORDER BY n DESC LIMIT 2", &["4", "3"]),
        (
            "SELECT generate_series(1, count(*)::int) AS n, sum(x) FROM t GROUP BY g ORDER BY g, n",
            &["1|30", "2|30", "1|30"],
        ),
        (
            "SELECT generate_series(1, x / 10), count(*) FROM t GROUP BY x ORDER BY x, 1",
            &["1|1", "1|1", "2|1", "1|1", "2|1", "3|1"],
        ),
        ("SELECT generate_series(1, t.x / 15) FROM t GROUP BY t.id ORDER BY t.id, 1", &["1", "1", "2"]),
        ("SELECT unnest(array_agg(id ORDER BY id DESC)) FROM t", &["3", "2", "1"]),
        (
            "SELECT generate_series(1, row_number() OVER (ORDER BY g)::int), g FROM t GROUP BY g ORDER BY 2, 1",
            &["1|1", "1|2", "2|2"],
        ),
    ]);
    let ungrouped = "column \"t.x\" must appear in the GROUP BY clause or be used in an aggregate function";
    let within = |kind: &str| format!("{kind} function calls cannot contain set-returning function calls");
    ledger.refused(&[
        ("SELECT generate_series(1, x), count(*) FROM t", "42803", ungrouped),
        ("SELECT generate_series(1, x) FROM t GROUP BY g", "42803", ungrouped),
        ("SELECT max(generate_series(1, 3)) FROM t", "0A000", &within("aggregate")),
        ("SELECT max(generate_series(1, 3)) OVER () FROM t", "0A000", &within("window")),
    ]);
}

#[test]
fn windows_refuse_what_they_do_not_compute() {
    let mut ledger = Ledger::with(GROUPS);
    let over = |frame: &str| format!("SELECT sum(x) OVER (ORDER BY id {frame}) FROM t");
    let wrong_size = "invalid preceding or following size in window function";
    ledger.refused(&[
        (
            "SELECT array_agg(id ORDER BY id DESC) OVER () FROM t",
            "0A000",
            "aggregate ORDER BY is not implemented for window functions",
        ),
        (
            "SELECT row_number() FILTER (WHERE id > 1) OVER () FROM t",
            "0A000",
            "FILTER is not implemented for non-aggregate window functions",
        ),
        ("SELECT count(DISTINCT x) OVER () FROM t", "0A000", "DISTINCT is not implemented for window functions"),
        (&over("RANGE BETWEEN -1 PRECEDING AND CURRENT ROW"), "22013", wrong_size),
        (&over("RANGE BETWEEN CURRENT ROW AND -1 FOLLOWING"), "22013", wrong_size),
        (&over("ROWS -1 PRECEDING"), "22013", "frame starting offset must not be negative"),
        (&over("ROWS BETWEEN CURRENT ROW AND -1 FOLLOWING"), "22013", "frame ending offset must not be negative"),
        (&over("GROUPS BETWEEN CURRENT ROW AND -1 FOLLOWING"), "22013", "frame ending offset must not be negative"),
        (&over("RANGE NULL PRECEDING"), "22004", "frame starting offset must not be null"),
        (&over("ROWS x PRECEDING"), "42P10", "argument of ROWS must not contain variables"),
        (
            "SELECT sum(x) OVER (ORDER BY id::text RANGE 1 PRECEDING) FROM t",
            "0A000",
            "RANGE with offset PRECEDING/FOLLOWING is not supported for column type text",
        ),
        ("SELECT sum(x) OVER (ORDER BY DATE '2026-01-01' + id RANGE '-1 day' PRECEDING) FROM t", "22013", wrong_size),
    ]);
    ledger.check(&[
        (&over("RANGE BETWEEN 1 PRECEDING AND CURRENT ROW"), &["10", "30", "50"]),
        (
            "SELECT sum(x) OVER (ORDER BY id DESC RANGE BETWEEN 1 PRECEDING AND 5 FOLLOWING) FROM t ORDER BY id",
            &["30", "60", "60"],
        ),
        (
            "SELECT sum(x) OVER (ORDER BY id * INTERVAL '1 day' RANGE '1 day' PRECEDING) FROM t ORDER BY id",
            &["10", "30", "50"],
        ),
        ("SELECT count(*) FILTER (WHERE id > 1) OVER () FROM t", &["2", "2", "2"]),
    ]);
}

#[test]
fn a_window_of_ranges_takes_no_longer_than_it_may() {
    let mut ledger = Ledger::with("SET statement_timeout = '1s'");
    let start = std::time::Instant::now();
    let query = "SELECT first_value(i) OVER (ORDER BY i RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) \
                 FROM generate_series(1, 40000) AS g(i)";
    let outcome = told(&mut ledger.sql, query);
    assert!(outcome.is_ok() || outcome.is_err_and(|error| error.code.0 == "57014"));
    assert!(start.elapsed().as_secs() < 8, "{:?}", start.elapsed());
}

#[test]
fn each_item_of_a_list_is_compared_as_it_would_be_alone() {
    let mut ledger = Ledger::with(
        "CREATE TABLE k (id int PRIMARY KEY, ch char(5), t text, n numeric(4, 2)); \
         INSERT INTO k VALUES (1, 'ab', 'x', 1.5), (2, 'cd', 'cd', 2.5), (3, NULL, 'cd', NULL)",
    );
    ledger.check(&[
        (
            "SELECT ch IN (t, 'ab'), ch IN ('ab', t), ch NOT IN (t, 'ab') FROM k ORDER BY id",
            &["t|t|f", "t|t|f", "null|null|null"],
        ),
        ("SELECT id FROM k WHERE ch IN (upper('zz'), 'ab', 'cd') ORDER BY id", &["1", "2"]),
        ("SELECT ch IN (t, NULL) FROM k ORDER BY id", &["null", "t", "null"]),
        (
            "SELECT n IN (1, 1.5::float8), n IN (2.5::float8, 7), n IN (1, 1.50) FROM k ORDER BY id",
            &["t|f|t", "f|t|f", "null|null|null"],
        ),
    ]);
}
