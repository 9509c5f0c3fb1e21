//! Statements that need more memory than they may use: those that sort, group, remove duplicates or answer much go on
//! with the disk and answer the same; others are refused by the limit's name. Nothing is left of either.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_journal::Env;
use ledgerstone_query::database::{Database, DatabaseOptions, Limits};
use ledgerstone_query::session::{Dialect, Response, Session};
use ledgerstone_query::work::WorkLimits;

use crate::support::{PREFIX, block_on, clerk, id, key, rows_by};

/// Rows of the table; each takes about a kilobyte while it is sorted.
const ROWS: u32 = 6_000;
const LITTLE: WorkLimits =
    WorkLimits { statement_memory_bytes: 256 << 10, all_statements_memory_bytes: 64 << 20, spill_bytes: 1 << 30 };

fn open(env: &Env, work: WorkLimits) -> Arc<Database> {
    let options = DatabaseOptions { work, ..DatabaseOptions::default() };
    Database::open(env, Path::new("/data/main"), "main", key(), options).unwrap()
}

/// A ledger with a table, closed.
fn filled() -> Env {
    let env = Env::memory(77);
    Database::create(&env, Path::new("/data/main"), id(), PREFIX, key()).unwrap();
    let database = open(&env, WorkLimits::default());
    let mut session = Session::over(database.clone(), clerk(Dialect::Sql));
    let fill = format!(
        "CREATE TABLE t (k int PRIMARY KEY, g int, s text, n numeric, f float8);
         INSERT INTO t SELECT i, i * 7919 % 13, repeat(chr(97 + i * 31 % 26), i % 5) || (i * 7919 % 1999)::text,
             CASE WHEN i % 11 = 0 THEN NULL ELSE (i * 7919 % 101)::numeric / 8 END, (i * 7919 % 17)::float8 / 3
         FROM generate_series(1, {ROWS}) i"
    );
    block_on(session.execute(&fill)).unwrap();
    database.close().unwrap();
    env
}

const SQL: [&str; 18] = [
    "SELECT * FROM t ORDER BY s, k DESC",
    // Equal keys: in the order they came.
    "SELECT k, s FROM t ORDER BY g",
    "SELECT k, n FROM t ORDER BY n DESC NULLS LAST",
    "SELECT k, n FROM t ORDER BY n NULLS FIRST LIMIT 4000 OFFSET 700",
    "SELECT k, s, f FROM t ORDER BY f DESC LIMIT 1500",
    "SELECT DISTINCT s, g FROM t",
    "SELECT DISTINCT s FROM t ORDER BY s DESC LIMIT 900 OFFSET 7",
    "SELECT DISTINCT ON (s) s, k FROM t ORDER BY s, k DESC",
    "SELECT DISTINCT ON (s, g) k, n FROM t",
    "SELECT s, count(*), sum(n), avg(f), max(k) FILTER (WHERE g > 6) FROM t GROUP BY s",
    "SELECT s, g, count(n) FROM t GROUP BY s, g HAVING count(*) >= 1 ORDER BY 3 DESC, 1, 2",
    "SELECT k, string_agg(s, ',' ORDER BY n DESC) FROM t GROUP BY k",
    "SELECT k FROM t UNION SELECT k + 3000 FROM t",
    "SELECT count(*), sum(k) FROM (SELECT DISTINCT s, k FROM t ORDER BY s) x",
    "SELECT k, s, n, f FROM t",
    "SELECT g, s FROM t GROUP BY g, s ORDER BY s, g LIMIT 20",
    "SELECT s, g, grouping(s, g), count(*), sum(n) FILTER (WHERE k > 9), min(f) FROM t WHERE k < 700 GROUP BY CUBE (s, g)",
    "SELECT k, g, sum(n) FROM t WHERE k < 1500 GROUP BY GROUPING SETS (k, g, ()) HAVING grouping(k) = 0 OR g > 3",
];

#[test]
fn a_statement_beyond_its_memory_answers_as_one_that_has_enough() {
    let env = filled();
    let much = open(&env, WorkLimits::default());
    let expected: Vec<Vec<String>> =
        SQL.iter().map(|text| rows_by(&much, Dialect::Sql, "document", text).unwrap()).collect();
    assert_eq!((much.pool().spilled(), much.pool().memory()), (0, 0));
    much.close().unwrap();
    let little = open(&env, LITTLE);
    for (text, expected) in SQL.iter().zip(&expected) {
        for executor in ["document", "datafusion"] {
            let before = little.pool().spilled();
            let answer = rows_by(&little, Dialect::Sql, executor, text);
            assert!(answer.as_ref() == Ok(expected), "{executor}: {text}: {:?}", answer.map(|rows| rows.len()));
            assert!(little.pool().spilled() > before, "{executor}: nothing went to the disk: {text}");
            assert_eq!((little.pool().memory(), little.pool().disk()), (0, 0), "{executor}: {text}");
        }
    }
    assert!(
        !env.storage.exists(Path::new("/data/main/spill"))
            || env.storage.read_dir(Path::new("/data/main/spill")).unwrap().is_empty()
    );
    little.close().unwrap();
    assert!(!env.storage.exists(Path::new("/data/main/spill")));
}

#[test]
fn partiql_goes_beyond_its_memory_too() {
    let env = filled();
    let texts = [
        "SELECT * FROM t ORDER BY s, k",
        "SELECT s, COUNT(*) AS c FROM t GROUP BY s",
        "SELECT DISTINCT s, g FROM t",
        "SELECT VALUE x FROM t AS x",
    ];
    let much = open(&env, WorkLimits::default());
    let expected: Vec<Vec<String>> = texts.iter().map(|t| rows_by(&much, Dialect::PartiQl, "", t).unwrap()).collect();
    much.close().unwrap();
    let little = open(&env, LITTLE);
    for (text, expected) in texts.iter().zip(&expected) {
        let before = little.pool().spilled();
        assert_eq!(&rows_by(&little, Dialect::PartiQl, "", text).unwrap(), expected, "{text}");
        assert!(little.pool().spilled() > before, "nothing went to the disk: {text}");
    }
}

#[test]
fn rows_of_returning_beyond_the_memory_of_a_statement_go_to_the_disk() {
    let little = open(&filled(), LITTLE);
    let rows = "UPDATE t SET g = g WHERE k <= 100 RETURNING k, repeat('x', 5000)";
    let within = format!("WITH u AS ({rows}) SELECT * FROM u ORDER BY k");
    for text in [rows, &within] {
        let before = little.pool().spilled();
        let answer = rows_by(&little, Dialect::Sql, "auto", text).unwrap();
        assert_eq!(answer.len(), 100, "{text}");
        assert!(answer.iter().all(|row| row.len() > 5000), "{text}");
        assert!(little.pool().spilled() > before, "nothing went to the disk: {text}");
        assert_eq!((little.pool().memory(), little.pool().disk()), (0, 0), "{text}");
    }
}

#[test]
fn what_can_not_go_to_the_disk_is_refused_by_the_name_of_the_limit() {
    let little = open(&filled(), LITTLE);
    for text in [
        "SELECT count(*) FROM t a JOIN t b ON a.s = b.s AND a.n = b.n",
        "SELECT array_agg(s ORDER BY k) FROM t",
        "SELECT g, count(DISTINCT s) FROM t GROUP BY g",
        "SELECT k, row_number() OVER (ORDER BY s) FROM t",
        "SELECT k FROM t EXCEPT SELECT k + 1 FROM t",
        "WITH x AS MATERIALIZED (SELECT * FROM t) SELECT count(*) FROM x a, x b WHERE a.k = b.k",
    ] {
        for executor in ["document", "datafusion"] {
            let refused = rows_by(&little, Dialect::Sql, executor, text).unwrap_err();
            assert_eq!(refused.code.as_str(), "53200", "{executor}: {text}: {refused}");
            let said = format!("{refused} {}", refused.hint.clone().unwrap_or_default());
            assert!(said.contains("262144") && said.contains("--limit statement_memory_bytes"), "{said}");
            assert_eq!((little.pool().memory(), little.pool().disk()), (0, 0), "{executor}: {text}");
        }
    }
    assert_eq!(rows_by(&little, Dialect::Sql, "auto", "SELECT count(*) FROM t").unwrap(), [ROWS.to_string()]);
}

#[test]
fn memory_and_disk_of_all_statements_are_bounded_together() {
    let env = filled();
    let together = WorkLimits { all_statements_memory_bytes: 1 << 20, statement_memory_bytes: 64 << 20, ..LITTLE };
    let database = open(&env, together);
    // An answer that nobody reads keeps what there is.
    let mut session = Session::over(database.clone(), clerk(Dialect::Sql));
    let kept = block_on(session.execute("SELECT * FROM t WHERE k < 900")).unwrap();
    assert!(database.pool().memory() > 300_000);
    let text = "SELECT count(*) FROM t a JOIN t b ON a.s = b.s AND a.n = b.n";
    let refused = rows_by(&database, Dialect::Sql, "document", text).unwrap_err();
    assert_eq!(refused.code.as_str(), "53200");
    assert!(refused.message.contains("all_statements_memory_bytes"), "{refused}");
    drop(kept);
    assert_eq!(database.pool().memory(), 0);
    database.close().unwrap();
    let database = open(&env, WorkLimits { spill_bytes: 100_000, ..LITTLE });
    let refused = rows_by(&database, Dialect::Sql, "document", SQL[0]).unwrap_err();
    assert_eq!(refused.code.as_str(), "53200");
    assert!(refused.message.contains("spill_bytes"), "{refused}");
    assert_eq!((database.pool().memory(), database.pool().disk()), (0, 0));
}

#[test]
fn an_answer_that_is_dropped_half_read_leaves_nothing() {
    let database = open(&filled(), LITTLE);
    let mut session = Session::over(database.clone(), clerk(Dialect::Sql));
    let mut answers = block_on(session.execute("SELECT * FROM t ORDER BY s")).unwrap();
    let Some(Response::Rows { rows, .. }) = answers.first_mut() else { panic!("no rows") };
    assert!(!rows.next_chunk().unwrap().unwrap().is_empty());
    assert!(database.pool().disk() > 0);
    drop(answers);
    assert_eq!((database.pool().memory(), database.pool().disk()), (0, 0));
}

#[test]
fn a_correlated_subquery_does_not_add_up_what_each_of_its_runs_needed() {
    let database = open(&filled(), LITTLE);
    let text = "SELECT count(*) FROM (SELECT k, (SELECT max(x) FROM (SELECT DISTINCT b.s AS x FROM t b \
                WHERE b.k BETWEEN a.k AND a.k + 20 ORDER BY 1) y) AS m FROM t a WHERE a.k < 300) z WHERE m IS NOT NULL";
    assert_eq!(rows_by(&database, Dialect::Sql, "document", text).unwrap(), ["299"]);
}

#[test]
fn a_transaction_holds_no_more_bytes_than_its_limit_and_a_rollback_gives_them_back() {
    let env = filled();
    let limits = Limits { transaction_bytes_max: 230_000, ..Limits::default() };
    let options = DatabaseOptions { limits, ..DatabaseOptions::default() };
    let database = Database::open(&env, Path::new("/data/main"), "main", key(), options).unwrap();
    let mut session = Session::over(database.clone(), clerk(Dialect::Sql));
    let mut run = |text: &str| block_on(session.execute(text)).map(drop);
    run("BEGIN; UPDATE t SET s = repeat('x', 1000) WHERE k <= 60; SAVEPOINT a").unwrap();
    for _ in 0..5 {
        // Each alone has room, both have not: what is written over is kept for the savepoint.
        run("UPDATE t SET s = repeat('y', 1000) WHERE k <= 60").unwrap();
        let refused = run("UPDATE t SET s = 'z' WHERE k <= 60").unwrap_err();
        assert_eq!(refused.code.as_str(), "54000", "{refused}");
        assert!(refused.message.contains("230000 bytes of documents (transaction_bytes)"), "{refused}");
        run("ROLLBACK TO a").unwrap();
    }
    run("COMMIT").unwrap();
    let text = "SELECT count(*) FROM t WHERE s = repeat('x', 1000)";
    assert_eq!(rows_by(&database, Dialect::Sql, "auto", text).unwrap(), ["60"]);
}

#[test]
fn a_text_that_is_read_counts_with_the_memory_of_all_statements() {
    let little = WorkLimits { all_statements_memory_bytes: 8 << 20, ..LITTLE };
    let database = open(&filled(), little);
    for (dialect, long) in [
        (Dialect::Sql, format!("SELECT 1 IN ({}1)", "1,".repeat(20_000))),
        (Dialect::PartiQl, format!("SELECT VALUE 1 IN ({}1) FROM t", "1,".repeat(60_000))),
    ] {
        let mut session = Session::over(database.clone(), clerk(dialect));
        for _ in 0..3 {
            let refused = block_on(session.execute(&long)).map(drop).unwrap_err();
            assert_eq!(refused.code.as_str(), "53200", "{refused}");
            assert!(refused.message.contains("all_statements_memory_bytes"), "{refused}");
            assert_eq!(database.pool().memory(), 0, "what was taken is given back");
        }
        let short = long.replace("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,", "1,");
        block_on(session.execute(&short)).map(drop).unwrap();
    }
}
