//! Segments that a statement's filters leave out by what their files say of themselves, and rows that are only counted: the
//! answers are the document executor's.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_journal::env::SeededRng;
use ledgerstone_query::columns::ColumnOptions;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::session::{Dialect, Session};

use crate::support::{Memory, clerk, key, told};

fn options() -> ColumnOptions {
    ColumnOptions { piece_rows: 64, ..ColumnOptions::default() }
}

/// A ledger whose table `t` has its columns in files of some hundred rows; `n` ascends with the rows.
fn ledger(seed: u64, rows: i64) -> (Arc<Database>, Session) {
    let memory = Memory::new(seed);
    let env = memory.env.clone();
    memory.database.close().unwrap();
    drop(memory);
    let options = DatabaseOptions { columns: options(), ..DatabaseOptions::default() };
    let database = Database::open(&env, Path::new("/data/main"), "main", key(), options).unwrap();
    let mut session = Session::over(database.clone(), clerk(Dialect::Sql));
    let make = "CREATE TABLE t (k int PRIMARY KEY, n int8, d numeric, f float8, s text, at timestamp, maybe int)";
    told(&mut session, make).unwrap();
    for from in (0..rows).step_by(100) {
        let insert = format!(
            "INSERT INTO t SELECT i, i * 10, i * 0.25, i / 8.0::float8, 'text ' || lpad(i::text, 6, '0'), \
             timestamp '2020-01-01' + i * interval '1 hour', CASE WHEN i % 3 = 0 THEN i END \
             FROM generate_series({from}, {}) AS i",
            from + 99
        );
        told(&mut session, &insert).unwrap();
        told(&mut session, "SET ledgerstone.executor = columns; SELECT count(n) FROM t").unwrap();
        assert!(database.columns().flush().unwrap());
    }
    (database, session)
}

/// The same from both executors.
fn both(session: &mut Session, text: &str) -> Vec<String> {
    let [columns, documents] = ["columns", "document"].map(|executor| {
        let mut lines = told(session, &format!("SET ledgerstone.executor = {executor}; {text}")).unwrap();
        lines.remove(0);
        lines
    });
    assert_eq!(columns, documents, "{text}");
    columns
}

fn analyzed(session: &mut Session, text: &str) -> String {
    let lines = told(session, &format!("SET ledgerstone.executor = columns; EXPLAIN ANALYZE {text}")).unwrap();
    let scanned = lines.iter().find(|line| line.contains("Scanned t by columns"));
    scanned.unwrap_or_else(|| panic!("{lines:#?}")).clone()
}

#[test]
fn segments_that_cannot_pass_are_not_read_and_the_answer_is_the_same() {
    let (database, mut session) = ledger(1, 800);
    let segments = database.columns().counts().1;
    assert!(segments >= 4, "{segments}");
    for filter in [
        "n >= 7900",
        "7900 <= n",
        "n = 7950",
        "d > 197.5",
        "f > 98.75::float8",
        "s > 'text 000790'",
        "at >= timestamp '2020-02-02 22:00:00'",
        "n > 7900 AND d > 0",
    ] {
        let text = format!("SELECT count(*), sum(k) FROM t WHERE {filter}");
        assert_ne!(both(&mut session, &text)[0], "0|null", "{filter}");
        let scanned = analyzed(&mut session, &text);
        assert!(scanned.contains(&format!("in 1 segments, {} pruned", segments - 1)), "{filter}: {scanned}");
        let bytes: Vec<u64> = scanned.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(scanned.contains("bytes in files pruned") && bytes.iter().any(|n| *n > 1_000), "{scanned}");
    }
    for filter in ["n < 0", "s < 'text'", "n > 8000", "maybe > 100000", "d < -0.5"] {
        let text = format!("SELECT count(*) FROM t WHERE {filter}");
        assert_eq!(both(&mut session, &text)[0], "0", "{filter}");
        assert!(analyzed(&mut session, &text).contains("0 rows in 0 segments"), "{filter}");
    }
}

#[test]
fn random_filters_on_pruned_segments_answer_as_the_document_executor_does() {
    let (_database, mut session) = ledger(2, 400);
    told(&mut session, "UPDATE t SET n = -n, s = 'other' WHERE k % 50 = 7; DELETE FROM t WHERE k % 40 = 3").unwrap();
    told(&mut session, "UPDATE t SET d = NULL, f = 'NaN'::float8 WHERE k % 90 = 1").unwrap();
    let rng = SeededRng::new(2);
    let count = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 2_000 } else { 150 };
    for _ in 0..count {
        let i = rng.below(420) as i64 - 10;
        let (field, value) = match rng.below(6) {
            0 => ("n", format!("{}", i * 10)),
            1 => ("d", format!("{i}.25")),
            2 => ("f", format!("{i}::float8 / 8")),
            3 => ("s", format!("'text {i:06}'")),
            4 => ("at", format!("timestamp '2020-01-01' + {i} * interval '1 hour'")),
            _ => ("maybe", format!("{i}")),
        };
        let op = ["=", "<", "<=", ">", ">=", "<>"][rng.below(6) as usize];
        let table = ["t", "history(t) AS h"][rng.below(2) as usize];
        both(&mut session, &format!("SELECT count(*), sum(k), min(s), max(s) FROM {table} WHERE {field} {op} {value}"));
    }
}

#[test]
fn rows_that_are_only_counted_are_those_that_are_read() {
    let (database, mut session) = ledger(3, 300);
    let all =
        ["SELECT count(*) FROM t", "SELECT count(*) FROM history(t) AS h", "SELECT count(*) FROM t AS OF BLOCK 2"];
    for change in [
        "SELECT 1",
        "UPDATE t SET n = 1 WHERE k < 150",
        "DELETE FROM t WHERE k < 20",
        "DELETE FROM t WHERE k > 250",
        "INSERT INTO t (k) VALUES (1), (2), (1000)",
        "UPDATE t SET n = 2",
    ] {
        told(&mut session, change).unwrap();
        // Twice: what was read the first time is counted the second time.
        for text in all.iter().chain(&all) {
            both(&mut session, text);
        }
        database.columns().flush().unwrap();
        all.iter().for_each(|text| drop(both(&mut session, text)));
    }
    let before = database.columns().stats();
    for text in all {
        told(&mut session, &format!("SET ledgerstone.executor = columns; {text}")).unwrap();
    }
    let after = database.columns().stats();
    assert_eq!((before.cache_misses, before.read_bytes), (after.cache_misses, after.read_bytes), "nothing is read");
}
