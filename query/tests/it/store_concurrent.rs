//! Readers, writers and index builds at the same time.

use std::sync::atomic::{AtomicBool, Ordering};

use ledgerstone_digest::ion::Value;
use ledgerstone_query::ast::{CreateIndex, Expr, ExprKind, Span, Statement};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::index::Key;
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{Memory, create_table, field, name, record, table, table_name};

fn row(k: i64, group: i64) -> Value {
    record(&[("k", Value::int(k)), ("g", Value::int(group))])
}

/// Tries until nothing conflicts.
fn retry(memory: &Memory, work: impl Fn(&mut Transaction)) {
    loop {
        let mut tx = memory.begin();
        work(&mut tx);
        match tx.commit_blocking() {
            Ok(_) => return,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

fn index_on_group() -> Statement {
    Statement::CreateIndex(Box::new(CreateIndex {
        name: Some(name("by_g")),
        table: table_name("t"),
        columns: vec![Expr { kind: ExprKind::Name(name("g")), span: Span::default() }],
        unique: false,
        if_not_exists: false,
    }))
}

/// Every key of the index against a scan, in one view.
fn index_equals_scan(tx: &Transaction, view: View) {
    let t = table(tx, "t");
    let index = t.index("by_g").unwrap();
    let docs: Vec<_> = tx.scan(&t, view).unwrap().map(Result::unwrap).collect();
    for g in 0..4 {
        let scanned: Vec<_> = docs.iter().filter(|d| field(d, "g") == Value::int(g)).map(|d| d.id).collect();
        let key = Key::one(&Value::int(g));
        let found: Vec<_> = tx.lookup(&t, index, &key, view).unwrap().iter().map(|d| d.id).collect();
        assert_eq!(found, scanned, "g = {g} in {view:?}");
    }
}

#[test]
fn an_index_built_while_others_write_is_exact() {
    let mut memory = Memory::new(1);
    memory.ddl(&create_table("t", &[("k", "int4", "p"), ("g", "int4", "")]), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "t");
        for k in 0..600 {
            tx.insert(&t, row(k, k % 4)).unwrap();
        }
    });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..3i64 {
            let (memory, stop) = (&memory, &stop);
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let k = (n * 37 + worker * 200) % 600;
                    retry(memory, |tx| {
                        let t = table(tx, "t");
                        let key = Key::one(&Value::int(k));
                        let found = tx.lookup(&t, t.primary_key().unwrap(), &key, View::Current).unwrap();
                        match found.first() {
                            Some(doc) if n % 5 == 0 => tx.delete(&t, doc).unwrap(),
                            Some(doc) => drop(tx.replace(&t, doc, row(k, n % 4)).unwrap()),
                            None => drop(tx.insert(&t, row(k, n % 4)).unwrap()),
                        }
                    });
                }
            });
        }
        retry(&memory, |tx| {
            drop(ddl::apply(tx, &index_on_group(), Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap())
        });
        for _ in 0..20 {
            index_equals_scan(&memory.begin(), View::Current);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let from = table(&memory.begin(), "t").index("by_g").unwrap().from_position;
    for _ in 0..2 {
        let tx = memory.begin();
        index_equals_scan(&tx, View::Current);
        let blocks = memory.database.ledger().last_block().unwrap().unwrap();
        for block in (0..=blocks).step_by(1 + blocks as usize / 40) {
            let at = memory.database.position_at_block(block).unwrap();
            if at >= from {
                index_equals_scan(&tx, View::AsOf(at));
            }
        }
        assert_eq!(table(&tx, "t").index("by_g").unwrap().from_position, from);
        drop(tx);
        memory.reopen();
    }
}

#[test]
fn a_snapshot_stays_as_it_was_while_others_write() {
    let memory = Memory::new(2);
    memory.ddl(&create_table("t", &[("k", "int4", "p"), ("g", "int4", "")]), Dialect::Sql);
    memory.ddl(&index_on_group(), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "t");
        for k in 0..100 {
            tx.insert(&t, row(k, k % 4)).unwrap();
        }
    });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (memory, stop) = (&memory, &stop);
        scope.spawn(move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                // The sum over all documents stays the same in every block.
                retry(memory, |tx| {
                    let t = table(tx, "t");
                    let key = |k: i64| Key::one(&Value::int(k % 100));
                    let index = t.primary_key().unwrap();
                    let a = tx.lookup(&t, index, &key(n), View::Current).unwrap().remove(0);
                    let b = tx.lookup(&t, index, &key(n + 1), View::Current).unwrap().remove(0);
                    let (ga, gb) = (field(&a, "g").as_i64().unwrap(), field(&b, "g").as_i64().unwrap());
                    tx.replace(&t, &a, row(n % 100, gb)).unwrap();
                    tx.replace(&t, &b, row((n + 1) % 100, ga)).unwrap();
                });
            }
        });
        for _ in 0..200 {
            let tx = Transaction::begin(&memory.database, true);
            let t = table(&tx, "t");
            let sum = |docs: ledgerstone_query::transaction::Docs| -> i64 {
                docs.map(|d| field(&d.unwrap(), "g").as_i64().unwrap()).sum()
            };
            assert_eq!(sum(tx.scan(&t, View::Current).unwrap()), 150);
            index_equals_scan(&tx, View::Current);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
