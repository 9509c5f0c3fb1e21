//! Random interleaved transactions held against a plain model: a commit is allowed only if every read still holds, and
//! every view at every position answers as the model did there.

use std::collections::BTreeMap;
use std::ops::Bound;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::env::SeededRng;
use ledgerstone_query::ast::{CreateIndex, Expr, ExprKind, Span, Statement};
use ledgerstone_query::catalogue::Table;
use ledgerstone_query::error::SqlState;
use ledgerstone_query::index::Key;
use ledgerstone_query::session::Dialect;
use ledgerstone_query::transaction::{Doc, Transaction, View};

use crate::support::{Memory, create_table, field, name, record, table, table_name};

/// id of the document → (k, color).
type Rows = BTreeMap<Id, (i64, i64)>;

fn row(k: i64, color: i64) -> Value {
    record(&[("k", Value::int(k)), ("color", Value::int(color))])
}

fn read(doc: &Doc) -> (Id, (i64, i64)) {
    (doc.id, (field(doc, "k").as_i64().unwrap(), field(doc, "color").as_i64().unwrap()))
}

fn index_on_color() -> Statement {
    Statement::CreateIndex(Box::new(CreateIndex {
        name: Some(name("by_color")),
        table: table_name("t"),
        columns: vec![Expr { kind: ExprKind::Name(name("color")), span: Span::default() }],
        unique: false,
        if_not_exists: false,
    }))
}

/// A transaction in flight, with what it did to its own copy of the model.
struct Open {
    tx: Transaction,
    rows: Rows,
    /// Reads to repeat against the newest state: they must give the same, or the commit must fail.
    reads: Vec<Read>,
}

#[derive(Clone)]
enum Read {
    Key(i64, Vec<Id>),
    Color(i64, Vec<(Id, (i64, i64))>),
    Range(i64, i64, Vec<(Id, (i64, i64))>),
    All(Rows),
}

fn by_k(rows: &Rows, k: i64) -> Vec<Id> {
    rows.iter().filter(|(_, r)| r.0 == k).map(|(id, _)| *id).collect()
}

fn by_color(rows: &Rows, low: i64, high: i64) -> Vec<(Id, (i64, i64))> {
    let mut found: Vec<_> = rows.iter().filter(|(_, r)| (low..=high).contains(&r.1)).map(|(i, r)| (*i, *r)).collect();
    found.sort_by_key(|(id, r)| (r.1, *id));
    found
}

fn key(n: i64) -> Key {
    Key::one(&Value::int(n))
}

/// What the store says must be what the model says.
fn compare(tx: &Transaction, t: &Table, rows: &Rows, view: View, rng: &SeededRng, context: &str) {
    let all: Rows = tx.scan(t, view).unwrap().map(|d| read(&d.unwrap())).collect();
    assert_eq!(&all, rows, "scan {context}");
    let primary = t.primary_key().unwrap();
    let color = t.index("by_color").unwrap();
    let covered = |index: &ledgerstone_query::catalogue::Index| match view {
        View::Current => true,
        View::AsOf(at) => index.covers(at),
    };
    for _ in 0..3 {
        let k = rng.below(12) as i64;
        if covered(primary) {
            let found: Vec<Id> = tx.lookup(t, primary, &key(k), view).unwrap().iter().map(|d| d.id).collect();
            assert_eq!(found, by_k(rows, k), "k = {k} {context}");
        }
        if covered(color) {
            let (low, high) = (rng.below(5) as i64, rng.below(5) as i64);
            let found: Vec<_> = tx.lookup(t, color, &key(low), view).unwrap().iter().map(|doc| read(doc)).collect();
            assert_eq!(found, by_color(rows, low, low), "color = {low} {context}");
            let descending = rng.one_in(2);
            let range = tx.range(t, color, Bound::Included(key(low)), Bound::Included(key(high)), descending, view);
            let mut found: Vec<_> = range.unwrap().map(|d| read(&d.unwrap())).collect();
            if descending {
                found.reverse();
            }
            assert_eq!(found, by_color(rows, low, high), "color {low}..={high} descending {descending} {context}");
        }
    }
    if let Some(id) = rows.keys().nth(rng.below(8) as usize) {
        let doc = tx.get(t, *id, view).unwrap().unwrap();
        assert_eq!(read(&doc).1, rows[id], "get {context}");
    }
}

impl Open {
    fn step(&mut self, t: &Table, rng: &SeededRng) {
        let pick = |rows: &Rows| rows.keys().nth(rng.below(rows.len().max(1) as u64) as usize).copied();
        match rng.below(8) {
            0 | 1 => {
                let (k, color) = (rng.below(40) as i64, rng.below(5) as i64);
                let doc = self.tx.insert(t, row(k, color)).unwrap();
                self.rows.insert(doc.id, (k, color));
            }
            2 | 3 => {
                let Some(id) = pick(&self.rows) else { return };
                let doc = self.tx.get(t, id, View::Current).unwrap().unwrap();
                let (k, color) = (rng.below(40) as i64, rng.below(5) as i64);
                self.tx.replace(t, &doc, row(k, color)).unwrap();
                self.rows.insert(id, (k, color));
            }
            4 => {
                let Some(id) = pick(&self.rows) else { return };
                let doc = self.tx.get(t, id, View::Current).unwrap().unwrap();
                self.tx.delete(t, &doc).unwrap();
                self.rows.remove(&id);
            }
            5 => {
                let savepoint = self.tx.savepoint();
                let before = self.rows.clone();
                let doc = self.tx.insert(t, row(99, 0)).unwrap();
                assert!(self.tx.get(t, doc.id, View::Current).unwrap().is_some());
                self.tx.rollback_to(savepoint).unwrap();
                assert_eq!(self.rows, before);
            }
            6 => {
                let k = rng.below(40) as i64;
                let index = t.primary_key().unwrap();
                let found: Vec<Id> =
                    self.tx.lookup(t, index, &key(k), View::Current).unwrap().iter().map(|d| d.id).collect();
                assert_eq!(found, by_k(&self.rows, k));
            }
            _ => {
                let (low, high) = (rng.below(5) as i64, rng.below(5) as i64);
                let index = t.index("by_color").unwrap();
                let (l, h) = (Bound::Included(key(low)), Bound::Included(key(high)));
                let found: Vec<_> =
                    self.tx.range(t, index, l, h, false, View::Current).unwrap().map(|d| read(&d.unwrap())).collect();
                assert_eq!(found, by_color(&self.rows, low, high));
            }
        }
    }

    /// Reads before any own write, remembered to be judged at commit.
    fn read_something(&mut self, t: &Table, rng: &SeededRng) {
        let rows = self.rows.clone();
        match rng.below(10) {
            0 => {
                drop(self.tx.scan(t, View::Current).unwrap());
                self.reads.push(Read::All(rows));
            }
            1..=4 => {
                let k = rng.below(40) as i64;
                let found = self.tx.lookup(t, t.primary_key().unwrap(), &key(k), View::Current).unwrap();
                self.reads.push(Read::Key(k, found.iter().map(|d| d.id).collect()));
            }
            5 | 6 => {
                let color = rng.below(5) as i64;
                let found = self.tx.lookup(t, t.index("by_color").unwrap(), &key(color), View::Current).unwrap();
                self.reads.push(Read::Color(color, found.iter().map(|doc| read(doc)).collect()));
            }
            _ => {
                let (low, high) = (rng.below(5) as i64, rng.below(5) as i64);
                let index = t.index("by_color").unwrap();
                let (l, h) = (Bound::Included(key(low)), Bound::Included(key(high)));
                let found = self.tx.range(t, index, l, h, rng.one_in(2), View::Current).unwrap();
                let mut found: Vec<_> = found.map(|d| read(&d.unwrap())).collect();
                found.sort_by_key(|(id, r)| (r.1, *id));
                self.reads.push(Read::Range(low, high, found));
            }
        }
    }

    /// Whether everything it read is still so.
    fn reads_hold(&self, now: &Rows) -> bool {
        self.reads.iter().all(|read| match read {
            Read::Key(k, found) => by_k(now, *k) == *found,
            Read::Color(color, found) => by_color(now, *color, *color) == *found,
            Read::Range(low, high, found) => by_color(now, *low, *high) == *found,
            Read::All(rows) => rows == now,
        })
    }
}

fn run(seed: u64) {
    println!("seed {seed}");
    let rng = SeededRng::new(seed);
    let mut memory = Memory::new(seed);
    memory.ddl(&create_table("t", &[("k", "int4", "p"), ("color", "int4", "")]), Dialect::Sql);
    let mut rows = Rows::new();
    // What was current from which snapshot on.
    let mut past: Vec<(u64, Rows)> = vec![(memory.database.snapshot(), Rows::new())];
    memory.run(|tx| {
        let t = table(tx, "t");
        for k in 0..8 {
            let doc = tx.insert(&t, row(k, k % 5)).unwrap();
            rows.insert(doc.id, (k, k % 5));
        }
    });
    past.push((memory.database.snapshot(), rows.clone()));
    memory.ddl(&index_on_color(), Dialect::Sql);
    past.push((memory.database.snapshot(), rows.clone()));
    let (mut commits, mut conflicts, mut uniques) = (0, 0, 0);
    for round in 0..60 {
        let t = table(&memory.begin(), "t");
        let mut open: Vec<Open> = (0..3)
            .map(|_| {
                let mut tx = memory.begin();
                tx.table("t").unwrap();
                tx.begin_statement("work", &[]).unwrap();
                Open { tx, rows: rows.clone(), reads: Vec::new() }
            })
            .collect();
        let start = rows.clone();
        let mut written = false;
        for one in &mut open {
            for _ in 0..rng.below(3) {
                one.read_something(&t, &rng);
            }
        }
        for _ in 0..rng.below(12) {
            let n = rng.below(open.len() as u64) as usize;
            open[n].step(&t, &rng);
        }
        for (n, one) in open.into_iter().enumerate() {
            compare(&one.tx, &t, &one.rows, View::Current, &rng, &format!("own view, round {round}"));
            // The comparison has read everything, so any revision made since conflicts.
            let reads_hold = one.reads_hold(&rows) && !written;
            let duplicate = (0..100).any(|k| by_k(&one.rows, k).len() > 1);
            let (expected, changed) = (one.rows.clone(), one.rows != start);
            match one.tx.commit_blocking() {
                Ok(committed) => {
                    written |= committed.is_some();
                    assert!(!changed || (reads_hold && !duplicate), "round {round} transaction {n}");
                    if changed {
                        rows = expected;
                        commits += 1;
                    }
                }
                Err(error) if error.code == SqlState::UNIQUE_VIOLATION => {
                    assert!(duplicate, "{error}");
                    uniques += 1;
                }
                Err(error) => {
                    assert!(error.is_retryable() && written, "round {round}: {error} {:?}", error.detail);
                    conflicts += 1;
                }
            }
            past.push((memory.database.snapshot(), rows.clone()));
        }
        if round % 20 == 19 {
            memory.reopen();
        }
        let tx = memory.begin();
        compare(&tx, &t, &rows, View::Current, &rng, &format!("round {round}"));
        for _ in 0..4 {
            let (at, then) = &past[rng.below(past.len() as u64) as usize];
            compare(&tx, &t, then, View::AsOf(*at), &rng, &format!("as of {at}, round {round}"));
        }
    }
    assert!(commits > 10 && conflicts > 0, "{commits} commits, {conflicts} conflicts, {uniques} unique violations");
}

#[test]
fn random_transactions_are_serializable_and_every_view_is_exact() {
    for seed in 1..=8 {
        run(seed);
    }
}

/// Without the comparison's scans in between: exactly what was read decides.
fn run_precise(seed: u64) {
    println!("seed {seed}");
    let rng = SeededRng::new(seed);
    let memory = Memory::new(seed);
    memory.ddl(&create_table("t", &[("k", "int4", "p"), ("color", "int4", "")]), Dialect::Sql);
    memory.ddl(&index_on_color(), Dialect::Sql);
    let mut rows = Rows::new();
    memory.run(|tx| {
        let t = table(tx, "t");
        for k in 0..20 {
            let doc = tx.insert(&t, row(k * 2, k % 5)).unwrap();
            rows.insert(doc.id, (k * 2, k % 5));
        }
    });
    let (mut commits, mut conflicts) = (0, 0);
    for round in 0..150 {
        let t = table(&memory.begin(), "t");
        let mut open: Vec<Open> = (0..4)
            .map(|_| {
                let tx = memory.begin();
                Open { tx, rows: rows.clone(), reads: Vec::new() }
            })
            .collect();
        for one in &mut open {
            for _ in 0..=rng.below(2) {
                one.read_something(&t, &rng);
            }
        }
        let mut writes: Vec<Option<(Id, (i64, i64))>> = Vec::new();
        for one in &mut open {
            // One write each: an update of a document, which is itself a read of it, or an insert.
            let value = (rng.below(2000) as i64, rng.below(5) as i64);
            let id = match rng.one_in(2) {
                true => one.tx.insert(&t, row(value.0, value.1)).unwrap().id,
                false => {
                    let id = *rows.keys().nth(rng.below(rows.len() as u64) as usize).unwrap();
                    let doc = one.tx.get(&t, id, View::Current).unwrap().unwrap();
                    one.tx.replace(&t, &doc, row(value.0, value.1)).unwrap();
                    id
                }
            };
            writes.push(Some((id, value)));
        }
        let start = rows.clone();
        for (one, write) in open.into_iter().zip(writes) {
            let (id, value) = write.unwrap();
            let base_holds = rows.get(&id) == start.get(&id);
            let holds = one.reads_hold(&rows) && base_holds;
            let mut after = rows.clone();
            after.insert(id, value);
            let duplicate = by_k(&after, value.0).len() > 1;
            match one.tx.commit_blocking() {
                Ok(_) => {
                    assert!(holds && !duplicate, "round {round}: committed on reads that no longer hold");
                    rows = after;
                    commits += 1;
                }
                Err(error) if error.code == SqlState::UNIQUE_VIOLATION => assert!(duplicate, "{error}"),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    conflicts += 1;
                }
            }
        }
        let tx = memory.begin();
        compare(&tx, &t, &rows, View::Current, &rng, &format!("round {round}"));
    }
    assert!(commits > 100 && conflicts > 10, "{commits} commits, {conflicts} conflicts");
}

#[test]
fn a_commit_never_stands_on_reads_that_no_longer_hold() {
    for seed in 100..=106 {
        run_precise(seed);
    }
}
