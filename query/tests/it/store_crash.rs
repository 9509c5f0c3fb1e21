//! Crashes and failing disks: every acknowledged transaction is there afterwards, exactly once, also when the client
//! repeats what it does not know the outcome of; and indexes, derived anew, equal scans.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Committed;
use ledgerstone_journal::env::SeededRng;
use ledgerstone_journal::env::sim::{Fault, Sim};
use ledgerstone_query::ast::{CreateIndex, Expr, ExprKind, Span, Statement};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::QueryError;
use ledgerstone_query::index::Key;
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{PREFIX, create_table, field, id, key, name, record, small_index, table, table_name};

/// Seeds tried; `LEDGERSTONE_SEEDS` asks for more.
const SEEDS: u64 = 12;
const LIVES: u64 = 5;

fn dir() -> &'static Path {
    Path::new("/data/main")
}

/// The row index is written and merged all the time.
fn options() -> DatabaseOptions {
    DatabaseOptions { index: small_index(), ..DatabaseOptions::default() }
}

/// One request of a client: inserts a document with a token of its own.
fn request(database: &Arc<Database>, n: i64) -> Result<Committed, QueryError> {
    let mut tx = Transaction::begin(database, false);
    tx.set_client_token(&format!("request {n}"))?;
    tx.begin_statement("INSERT", &[Value::int(n)])?;
    let t = table(&tx, "t");
    tx.insert(&t, record(&[("k", Value::int(n % 7)), ("n", Value::int(n))]))?;
    tx.commit_blocking().map(|committed| committed.unwrap())
}

fn index_on_k() -> Statement {
    Statement::CreateIndex(Box::new(CreateIndex {
        name: None,
        table: table_name("t"),
        columns: vec![Expr { kind: ExprKind::Name(name("k")), span: Span::default() }],
        unique: false,
        if_not_exists: false,
    }))
}

/// Everything acknowledged is there, nothing twice, and the index says the same as a scan.
fn check(database: &Arc<Database>, done: &BTreeMap<i64, Committed>) {
    let tx = Transaction::begin(database, true);
    let t = table(&tx, "t");
    let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
    let mut found: Vec<i64> = docs.iter().map(|d| field(d, "n").as_i64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, done.keys().copied().collect::<Vec<_>>());
    for doc in &docs {
        let committed = done[&field(doc, "n").as_i64().unwrap()];
        assert_eq!((doc.position, doc.block), (committed.first_position, committed.block));
    }
    let index = t.index_on_field("k").unwrap();
    for k in 0..7 {
        let by_index = tx.lookup(&t, index, &Key::one(&Value::int(k)), View::Current).unwrap();
        let scanned = docs.iter().filter(|d| field(d, "k") == Value::int(k)).count();
        assert_eq!(by_index.len(), scanned, "k = {k}");
    }
}

fn run(seed: u64) {
    let sim = Sim::new(seed);
    let rng = SeededRng::new(seed);
    let env = sim.env();
    env.storage.create_dir_all(Path::new("/data")).unwrap();
    env.storage.sync_dir(Path::new("/")).unwrap();
    Database::create(&env, dir(), id(), PREFIX, key()).unwrap();
    let (mut next, mut done, mut unknown) = (0, BTreeMap::new(), Vec::new());
    let mut made = false;
    for life in 0..LIVES {
        let opened = Database::open(&env, dir(), "main", key(), options());
        let database = opened.unwrap_or_else(|error| panic!("seed {seed} life {life}: {error}"));
        if !made {
            let mut tx = Transaction::begin(&database, false);
            let columns = [("k", "int8", ""), ("n", "int8", "")];
            ddl::apply(
                &mut tx,
                &create_table("t", &columns),
                Dialect::Sql,
                &SessionInfo::embedded("main", Dialect::Sql),
            )
            .unwrap();
            ddl::apply(&mut tx, &index_on_k(), Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap();
            tx.commit_blocking().unwrap();
            made = true;
        }
        for n in std::mem::take(&mut unknown) {
            let committed = request(&database, n).unwrap();
            assert_eq!(request(&database, n).unwrap(), committed, "seed {seed}: a retry of {n}");
            done.insert(n, committed);
        }
        check(&database, &done);
        match rng.below(4) {
            0 => sim.disk.inject(Fault::Sync(".seg".to_owned())),
            1 => sim.disk.stop_after(rng.below(25)),
            2 => sim.disk.set_room(Some(rng.below(40_000))),
            _ => {}
        }
        let outcomes: Vec<(i64, Result<Committed, QueryError>)> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..3)
                .map(|client| {
                    let database = &database;
                    let first = next + client * 10;
                    scope.spawn(move || (first..first + 8).map(|n| (n, request(database, n))).collect::<Vec<_>>())
                })
                .collect();
            clients.into_iter().flat_map(|c| c.join().unwrap()).collect()
        });
        next += 30;
        for (n, outcome) in outcomes {
            sim.clock.advance_ms(1);
            match outcome {
                Ok(committed) => drop(done.insert(n, committed)),
                // Whatever it was: the client repeats it with its token.
                Err(_) => unknown.push(n),
            }
        }
        if rng.one_in(3) {
            // Some transactions may have been refused for lack of space: then all goes on when there is some.
            let _ = database.close();
        }
        drop(database);
        sim.disk.crash();
    }
    let database = Database::open(&env, dir(), "main", key(), options()).unwrap();
    for n in unknown {
        done.insert(n, request(&database, n).unwrap());
    }
    check(&database, &done);
}

#[test]
fn what_was_acknowledged_is_there_once_after_every_crash() {
    let seeds = std::env::var("LEDGERSTONE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        println!("seed {seed}");
        run(seed);
    }
}
