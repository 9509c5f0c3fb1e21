//! Which pairs of transactions conflict and which do not.

use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use ledgerstone_digest::ion::Value;
use ledgerstone_query::ast::{AlterTable, Statement};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::SqlState;
use ledgerstone_query::index::Key;
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{self, Memory, create_table, field, name, open_with, record, table, table_name};

fn row(id: i64, n: i64) -> Value {
    record(&[("id", Value::int(id)), ("n", Value::int(n))])
}

fn memory(seed: u64) -> Memory {
    let memory = Memory::new(seed);
    memory.ddl(&create_table("t", &[("id", "int4", "p"), ("n", "int4", "")]), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "t");
        for id in 0..10 {
            tx.insert(&t, row(id, 0)).unwrap();
        }
    });
    memory
}

fn key(id: i64) -> Key {
    Key::one(&Value::int(id))
}

fn update(tx: &mut Transaction, id: i64) {
    let t = table(tx, "t");
    let doc = tx.lookup(&t, t.primary_key().unwrap(), &key(id), View::Current).unwrap().remove(0);
    let n = field(&doc, "n").as_i64().unwrap();
    tx.replace(&t, &doc, row(id, n + 1)).unwrap();
}

fn insert(tx: &mut Transaction, id: i64) {
    let t = table(tx, "t");
    tx.insert(&t, row(id, 0)).unwrap();
}

fn exists(tx: &mut Transaction, id: i64) -> bool {
    let t = table(tx, "t");
    !tx.lookup(&t, t.primary_key().unwrap(), &key(id), View::Current).unwrap().is_empty()
}

fn between(tx: &mut Transaction, low: i64, high: i64, take: usize, descending: bool) -> usize {
    let t = table(tx, "t");
    let (low, high) = (Bound::Included(key(low)), Bound::Included(key(high)));
    let range = tx.range(&t, t.primary_key().unwrap(), low, high, descending, View::Current).unwrap();
    range.take(take).map(Result::unwrap).count()
}

/// Whether the first transaction fails with 40001 if the second commits between its work and its commit.
fn conflicts(seed: u64, first: impl FnOnce(&mut Transaction), second: impl FnOnce(&mut Transaction)) -> bool {
    let memory = memory(seed);
    let mut a = memory.begin();
    first(&mut a);
    // Something to write, so that its commit is judged.
    insert(&mut a, 1000);
    memory.run(second);
    match a.commit_blocking() {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.code, SqlState::SERIALIZATION_FAILURE, "{error}");
            assert!(error.is_retryable() && error.detail.is_some());
            true
        }
    }
}

#[test]
fn reading_what_another_changed_conflicts() {
    assert!(conflicts(1, |a| update(a, 1), |b| update(b, 1)));
    assert!(conflicts(2, |a| assert!(exists(a, 1)), |b| update(b, 1)));
    assert!(!conflicts(3, |a| update(a, 1), |b| update(b, 2)));
}

#[test]
fn reading_that_nothing_was_there_conflicts_with_what_comes_there() {
    assert!(conflicts(1, |a| assert!(!exists(a, 77)), |b| insert(b, 77)));
    assert!(!conflicts(2, |a| assert!(!exists(a, 77)), |b| insert(b, 78)));
}

#[test]
fn a_scan_conflicts_with_any_write_to_the_table() {
    let scan = |tx: &mut Transaction| drop(tx.scan(&table(tx, "t"), View::Current).unwrap());
    assert!(conflicts(1, scan, |b| insert(b, 77)));
    assert!(conflicts(2, scan, |b| update(b, 3)));
}

#[test]
fn a_range_conflicts_only_where_it_was_read() {
    assert!(conflicts(1, |a| assert_eq!(between(a, 3, 5, 9, false), 3), |b| update(b, 4)));
    assert!(!conflicts(2, |a| assert!(between(a, 3, 5, 9, false) > 0), |b| update(b, 6)));
    assert!(conflicts(3, |a| assert!(between(a, 8, 20, 9, false) > 0), |b| insert(b, 15)));
    // ORDER BY … LIMIT 2 from below has read up to the second key, and no further.
    assert!(!conflicts(4, |a| assert_eq!(between(a, 0, 100, 2, false), 2), |b| update(b, 5)));
    assert!(conflicts(5, |a| assert_eq!(between(a, 0, 100, 2, false), 2), |b| update(b, 1)));
    assert!(conflicts(6, |a| assert_eq!(between(a, 0, 100, 2, true), 2), |b| insert(b, 50)));
    assert!(!conflicts(7, |a| assert_eq!(between(a, 0, 100, 2, true), 2), |b| update(b, 3)));
}

#[test]
fn definitions_conflict_with_those_who_used_them() {
    let rename = |tx: &mut Transaction| {
        let alter = Statement::AlterTable {
            table: table_name("t"),
            if_exists: false,
            action: Box::new(AlterTable::RenameTo(name("u"))),
        };
        ddl::apply(tx, &alter, Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap();
    };
    let create = |tx: &mut Transaction| {
        ddl::apply(tx, &create_table("v", &[]), Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap();
    };
    assert!(conflicts(1, |a| insert(a, 77), rename));
    assert!(!conflicts(2, |_| {}, create));
    assert!(conflicts(3, create, create));
    assert!(conflicts(4, |a| assert!(a.table("v").unwrap().is_none()), create));
}

#[test]
fn reading_the_past_never_conflicts() {
    let memory = memory(1);
    let then = memory.database.snapshot();
    let mut a = memory.begin();
    insert(&mut a, 77);
    let t = table(&a, "t");
    assert_eq!(a.scan(&t, View::AsOf(then)).unwrap().count(), 10);
    memory.run(|b| update(b, 1));
    a.commit_blocking().unwrap();
}

#[test]
fn a_transaction_that_only_read_is_judged_if_it_asks() {
    let memory = memory(1);
    for validate in [false, true] {
        let mut reader = memory.begin();
        reader.set_validate_reads(validate);
        exists(&mut reader, 1);
        memory.run(|b| update(b, 1));
        let outcome = reader.commit_blocking();
        assert_eq!(outcome.is_err(), validate);
        assert!(outcome.err().is_none_or(|e| e.is_retryable()));
    }
    // Nothing changed: nothing to complain of.
    let mut reader = memory.begin();
    reader.set_validate_reads(true);
    exists(&mut reader, 1);
    assert_eq!(reader.commit_blocking().unwrap(), None);
}

#[test]
fn a_read_only_transaction_cannot_write() {
    let memory = memory(1);
    let mut tx = Transaction::begin(&memory.database, true);
    let t = table(&tx, "t");
    assert_eq!(tx.insert(&t, row(1, 1)).unwrap_err().code, SqlState::READ_ONLY_TRANSACTION);
    let create = create_table("v", &[]);
    assert_eq!(
        ddl::apply(&mut tx, &create, Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap_err().code,
        SqlState::READ_ONLY_TRANSACTION
    );
}

#[test]
fn concurrent_increments_lose_nothing() {
    let memory = memory(9);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut done = 0;
                while done < 25 {
                    let mut tx = memory.begin();
                    update(&mut tx, 5);
                    match tx.commit_blocking() {
                        Ok(_) => done += 1,
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                }
            });
        }
    });
    let tx = memory.begin();
    let t = table(&tx, "t");
    let doc = tx.lookup(&t, t.primary_key().unwrap(), &key(5), View::Current).unwrap().remove(0);
    assert_eq!(field(&doc, "n"), Value::int(100));
    assert_eq!(doc.version, 100);
}

/// Its snapshot is open until the sequencer has judged it, however many stand before it in the queue.
#[test]
fn a_commit_that_waits_behind_many_others_is_judged_by_what_it_read() {
    let mut memory = memory(1);
    memory.database.close().unwrap();
    memory.database = open_with(&memory.env, false);
    let drive = |memory: &Memory| memory.database.ledger().drive();
    let mut slow = memory.begin();
    update(&mut slow, 1);
    for _ in 0..3 {
        let mut before = memory.begin();
        update(&mut before, 2);
        let mut before = pin!(before.commit());
        assert!(poll(before.as_mut()).is_none());
        drive(&memory);
        assert!(poll(before).unwrap().is_ok());
    }
    let mut others: Vec<_> = (0..300)
        .map(|n| {
            let mut tx = memory.begin();
            insert(&mut tx, 1_000 + n);
            Box::pin(tx.commit())
        })
        .collect();
    others.iter_mut().for_each(|other| assert!(poll(other.as_mut()).is_none()));
    let mut slow = pin!(slow.commit());
    assert!(poll(slow.as_mut()).is_none());
    drive(&memory);
    assert!(others.iter_mut().all(|other| poll(other.as_mut()).unwrap().is_ok()));
    let outcome = poll(slow).unwrap();
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// What is kept to find conflicts has a limit: who is older than that cannot be judged. Whoever only reads is not.
#[test]
fn a_transaction_older_than_the_writes_that_are_kept_is_refused() {
    let commits = |recent_writes_bytes_max: usize| {
        let mut memory = memory(1);
        memory.database.close().unwrap();
        let options = DatabaseOptions { recent_writes_bytes_max, ..DatabaseOptions::default() };
        memory.database =
            Database::open(&memory.env, Path::new("/data/main"), "main", support::key(), options).unwrap();
        let (mut old, mut reader) = (memory.begin(), memory.begin());
        update(&mut old, 1);
        for n in 0..300 {
            memory.run(|tx| insert(tx, 1_000 + n));
        }
        assert!(exists(&mut reader, 1) && !exists(&mut reader, 1_000));
        reader.commit_blocking().unwrap();
        memory.run(|tx| update(tx, 2));
        old.commit_blocking().map(drop)
    };
    commits(1 << 20).unwrap();
    let refused = commits(64 << 10).unwrap_err();
    assert_eq!(refused.code, SqlState::SERIALIZATION_FAILURE, "{refused}");
    assert!(refused.detail.as_deref().is_some_and(|detail| detail.contains("recent_writes_bytes")), "{refused:?}");
}

/// The outcome, if it is there.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
