//! QLDB's own limits, each at its edge: one less passes, one more is refused, and without them both pass.

use std::sync::Arc;

use ledgerstone_digest::ion::{Struct, Value, encode};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Dialect, Door, Inline, Session, SessionOptions};
use ledgerstone_query::transaction::strict::*;

use crate::support::{Memory, block_on};

fn session(ledger: &Memory, strict: bool) -> Session {
    let options = SessionOptions::new(Door::Qldb, "clerk", Dialect::PartiQl, Arc::new(Inline));
    Session::over(Arc::clone(&ledger.database), SessionOptions { strict, ..options })
}

fn run(session: &mut Session, statement: &str, parameters: &[Value]) -> Result<(), QueryError> {
    let prepared = session.prepare(statement, &[])?;
    let parameters: Vec<Option<Value>> = parameters.iter().cloned().map(Some).collect();
    block_on(session.run(&prepared, &parameters, true)).map(drop)
}

/// With the limits `good` passes and `bad` does not; without them both do.
fn edge(
    prepare: &[&str],
    good: &dyn Fn(&mut Session) -> Result<(), QueryError>,
    bad: &dyn Fn(&mut Session) -> Result<(), QueryError>,
) {
    for strict in [true, false] {
        for (work, passes) in [(good, true), (bad, !strict)] {
            let ledger = Memory::new(1);
            let mut free = session(&ledger, false);
            for statement in prepare {
                run(&mut free, statement, &[]).unwrap();
            }
            match (work(&mut session(&ledger, strict)), passes) {
                (Ok(()), true) => {}
                (Err(error), false) => assert_eq!(error.code, SqlState::PROGRAM_LIMIT_EXCEEDED, "{error}"),
                (outcome, _) => panic!("strict {strict}: {outcome:?}"),
            }
        }
    }
}

fn documents(count: usize) -> Value {
    Value::List((0..count).map(|n| Value::Struct(Struct::from_fields([("n", Value::int(n as i64))]))).collect())
}

fn document(bytes: usize) -> Value {
    let of = |n: usize| Value::Struct(Struct::from_fields([("b", Value::blob(vec![7; n]))]));
    let around = encode(&of(bytes)).len() - bytes;
    let made = of(bytes - around);
    assert_eq!(encode(&made).len(), bytes);
    made
}

#[test]
fn a_transaction_changes_forty_documents() {
    let insert = |count: usize| move |session: &mut Session| run(session, "INSERT INTO t ?", &[documents(count)]);
    edge(&["CREATE TABLE t"], &insert(TRANSACTION_DOCUMENTS_MAX), &insert(TRANSACTION_DOCUMENTS_MAX + 1));
    // Over several statements, a document changed twice counted once, and definitions not at all.
    let several = |last: usize| {
        move |session: &mut Session| {
            run(session, "BEGIN", &[])?;
            run(session, "CREATE TABLE u", &[])?;
            run(session, "INSERT INTO u ?", &[documents(39)])?;
            run(session, "UPDATE u SET n = 1", &[])?;
            run(session, "INSERT INTO t ?", &[documents(last)])?;
            run(session, "COMMIT", &[])
        }
    };
    edge(&["CREATE TABLE t"], &several(1), &several(2));
}

#[test]
fn documents_parameters_and_statements_have_a_size() {
    let insert = |bytes: usize| move |session: &mut Session| run(session, "INSERT INTO t ?", &[document(bytes)]);
    edge(&["CREATE TABLE t"], &insert(DOCUMENT_BYTES_MAX), &insert(DOCUMENT_BYTES_MAX + 1));
    let select =
        |bytes: usize| move |session: &mut Session| run(session, "SELECT * FROM t WHERE b = ?", &[document(bytes)]);
    edge(&["CREATE TABLE t"], &select(PARAMETER_BYTES_MAX), &select(PARAMETER_BYTES_MAX + 1));
    let statement = |characters: usize| {
        let statement = format!("SELECT * FROM t WHERE b = '{}'", "ä".repeat(characters - 28));
        assert_eq!(statement.chars().count(), characters);
        move |session: &mut Session| run(session, &statement, &[])
    };
    edge(&["CREATE TABLE t"], &statement(STATEMENT_CHARACTERS_MAX), &statement(STATEMENT_CHARACTERS_MAX + 1));
}

#[test]
fn a_transaction_writes_four_megabytes() {
    let insert = |count: usize| {
        move |session: &mut Session| {
            run(session, "BEGIN", &[])?;
            for _ in 0..count {
                run(session, "INSERT INTO t ?", &[document(DOCUMENT_BYTES_MAX)])?;
            }
            run(session, "COMMIT", &[])
        }
    };
    let most = TRANSACTION_BYTES_MAX / DOCUMENT_BYTES_MAX;
    edge(&["CREATE TABLE t"], &insert(most), &insert(most + 1));
}

#[test]
fn tables_and_indexes_are_counted() {
    let tables = |count: usize, dropped: usize| {
        move |session: &mut Session| {
            for n in 0..count {
                run(session, &format!("CREATE TABLE t{n}"), &[])?;
                if n < dropped {
                    run(session, &format!("DROP TABLE t{n}"), &[])?;
                }
            }
            Ok(())
        }
    };
    edge(&[], &tables(ACTIVE_TABLES_MAX, 0), &tables(ACTIVE_TABLES_MAX + 1, 0));
    edge(&[], &tables(TABLES_MAX, TABLES_MAX), &tables(TABLES_MAX + 1, TABLES_MAX));
    let indexes = |count: usize| {
        move |session: &mut Session| {
            (0..count).try_for_each(|n| run(session, &format!("CREATE INDEX ON t (f{n})"), &[]))
        }
    };
    edge(&["CREATE TABLE t"], &indexes(INDEXES_MAX), &indexes(INDEXES_MAX + 1));
    // What was made without the limits may be taken away with them.
    let made: Vec<String> = (0..25).map(|n| format!("CREATE TABLE t{n}")).collect();
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    edge(&made, &|session| run(session, "DROP TABLE t3", &[]), &|session| run(session, "CREATE TABLE u", &[]));
}
