//! Rows handed over by columns as they are made, piece by piece: what fails in a row that is not handed over is no error,
//! and pieces that are worked on ahead need no memory that the statement has not.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_journal::Env;
use ledgerstone_query::analytics;
use ledgerstone_query::columns::ColumnOptions;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::session::{Dialect, Session};
use ledgerstone_query::work::WorkLimits;

use crate::support::{PREFIX, clerk, id, key, rows_by, told};

/// In pieces of so many.
const PIECE_ROWS: usize = 200;
const ROWS: u32 = 6_000;

/// A ledger with a table of many pieces in files, and little memory.
fn filled() -> Arc<Database> {
    let (env, path) = (Env::memory(78), Path::new("/data/main"));
    let open = |work| {
        let columns = ColumnOptions { piece_rows: PIECE_ROWS, ..ColumnOptions::default() };
        let options = DatabaseOptions { work, columns, ..DatabaseOptions::default() };
        Database::open(&env, path, "main", key(), options).unwrap()
    };
    Database::create(&env, path, id(), PREFIX, key()).unwrap();
    let database = open(WorkLimits::default());
    let mut session = Session::over(database.clone(), clerk(Dialect::Sql));
    told(&mut session, "CREATE TABLE t (id int PRIMARY KEY, k int, x int, s text, w text)").unwrap();
    // Row 5,900 divides by zero and has a word that is no number, as rows have that are deleted.
    let fill = format!(
        "INSERT INTO t SELECT i, i, CASE i WHEN 5900 THEN 0 ELSE i % 7 + 1 END, 'text ' || i % 13,
             CASE WHEN i = 5900 OR i % 50 = 3 THEN 'none' ELSE (i % 5)::text END
         FROM generate_series(1, {ROWS}) AS i"
    );
    told(&mut session, &fill).unwrap();
    told(&mut session, "DELETE FROM t WHERE k % 50 = 3").unwrap();
    drop(session);
    database.close().unwrap();
    drop(database);
    let little = WorkLimits { statement_memory_bytes: 256 << 10, ..WorkLimits::default() };
    let database = open(little);
    rows_by(&database, Dialect::Sql, "columns", "SELECT count(*) FROM t WHERE x = 1").unwrap();
    database.columns().flush().unwrap();
    database
}

#[test]
fn rows_that_are_streamed_by_columns_fail_and_end_as_those_of_documents_do() {
    let database = filled();
    let before = analytics::answered_by_columns();
    let mut answered = 0;
    for text in [
        // More than the memory holds, of any piece and of several.
        "SELECT k, repeat(s, 80) FROM t",
        "SELECT k, repeat(s, 600) FROM t WHERE k < 900",
        // The row that fails lies behind the last that is wanted, also in its own piece.
        "SELECT 10 / x FROM t WHERE k > 0 LIMIT 3000",
        "SELECT 10 / x FROM t WHERE k > 0 LIMIT 5700",
        "SELECT 10 / x FROM t WHERE k > 0",
        // Words of rows that are deleted, or that a filter leaves out.
        "SELECT w::int FROM t WHERE k < 5850",
        "SELECT w::int FROM t WHERE x > 0 AND w::int >= 0",
        "SELECT w::int FROM t WHERE w <> 'none' AND w::int > 2",
        "SELECT w::int FROM t",
    ] {
        let expected = rows_by(&database, Dialect::Sql, "document", text);
        match (expected, rows_by(&database, Dialect::Sql, "columns", text)) {
            (Ok(expected), Ok(rows)) => {
                assert!(expected == rows, "{text}: {} rows, {} rows", expected.len(), rows.len())
            }
            (Err(expected), Err(error)) => assert_eq!(expected.code, error.code, "{text}: {error:?}"),
            (expected, rows) => panic!("{text}: {:?} and {:?}", expected.map(|r| r.len()), rows.map(|r| r.len())),
        }
        answered += 1;
    }
    let by_columns = analytics::answered_by_columns() - before;
    // Those that fail are not counted.
    assert!(by_columns + 2 >= answered, "columns have hardly been tried: {by_columns} of {answered}");
}
