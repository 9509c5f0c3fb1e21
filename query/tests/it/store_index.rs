//! The row index as part of a ledger: whatever happens to its files, answers stay the same or are named errors; and
//! opening does not need the journal's whole history.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::env::{EntryKind, MemoryStorage, OpenMode, read_file, write_all_at};
use ledgerstone_journal::{Committed, Env};
use ledgerstone_query::ast::{CreateIndex, Expr, ExprKind, Span, Statement};
use ledgerstone_query::catalogue::Index;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::index::Key;
use ledgerstone_query::session::Dialect;
use ledgerstone_query::transaction::{Doc, Transaction, View};

use crate::support::{Memory, PREFIX, create_table, field, id, key, name, record, small_index, table, table_name};

const INDEX: &str = "/data/main/index";

fn index_on(column: &str, unique: bool) -> Statement {
    Statement::CreateIndex(Box::new(CreateIndex {
        name: Some(name(&format!("by_{column}"))),
        table: table_name("t"),
        columns: vec![Expr { kind: ExprKind::Name(name(column)), span: Span::default() }],
        unique,
        if_not_exists: false,
    }))
}

fn insert(database: &Arc<Database>, n: i64) -> Committed {
    let mut tx = Transaction::begin(database, false);
    tx.set_client_token(&format!("token {n}")).unwrap();
    tx.begin_statement("INSERT", &[Value::int(n)]).unwrap();
    let t = table(&tx, "t");
    tx.insert(&t, record(&[("k", Value::int(n)), ("color", Value::int(n % 5))])).unwrap();
    tx.commit_blocking().unwrap().unwrap()
}

/// A ledger with a history: inserts, changes, deletions, an index made late.
fn make() -> Memory {
    let ledger = Memory::new(5);
    ledger.ddl(&create_table("t", &[("k", "int8", "p"), ("color", "int8", "")]), Dialect::Sql);
    grow(&ledger, 0..40);
    ledger.ddl(&index_on("color", false), Dialect::Sql);
    grow(&ledger, 40..60);
    ledger
}

fn grow(ledger: &Memory, range: std::ops::Range<i64>) {
    for n in range {
        insert(&ledger.database, n);
        ledger.run(|tx| {
            let t = table(tx, "t");
            let primary = t.primary_key().unwrap().clone();
            let old = tx.lookup(&t, &primary, &Key::one(&Value::int(n / 2)), View::Current).unwrap();
            match old.first() {
                Some(doc) if n % 7 == 6 => tx.delete(&t, doc).unwrap(),
                Some(doc) => {
                    let new = record(&[("k", Value::int(n / 2)), ("color", Value::int(n % 3))]);
                    drop(tx.replace(&t, doc, new).unwrap());
                }
                None => {}
            }
        });
    }
}

fn shown(doc: &Doc) -> String {
    format!("{} {} {} {} {}", doc.id, doc.position, field(doc, "k").as_i64().unwrap_or(-1), doc.version, doc.block)
}

/// What a ledger answers now and at many positions, by scan, by key, by range, and as history.
fn answers(database: &Arc<Database>) -> Result<Vec<String>, QueryError> {
    let tx = Transaction::begin(database, true);
    let t = table(&tx, "t");
    let mut said = vec![format!("{} documents", database.document_count(t.id))];
    let end = database.snapshot();
    let blocks = database.ledger().last_block().unwrap().unwrap();
    for block in (0..=blocks).step_by(9) {
        let at = database.position_at_block(block)?;
        let view = if at == end { View::Current } else { View::AsOf(at) };
        let mut say = |what: &str, docs: &mut dyn Iterator<Item = Result<Arc<Doc>, QueryError>>| {
            for doc in docs {
                said.push(format!("{what} at {at}: {}", shown(&*doc?)));
            }
            Ok::<(), QueryError>(())
        };
        say("scan", &mut tx.scan(&t, view)?)?;
        let indexes: Vec<&Arc<Index>> = t.usable_indexes().filter(|index| index.covers(at)).collect();
        for index in indexes {
            for n in 0..6 {
                let found = tx.lookup(&t, index, &Key::one(&Value::int(n)), view)?;
                say(&format!("{} = {n}", index.name), &mut found.into_iter().map(Ok))?;
            }
            say(
                &index.name,
                &mut tx.range(&t, index, std::ops::Bound::Unbounded, std::ops::Bound::Unbounded, true, view)?,
            )?;
        }
    }
    for doc in tx.history(&t, None, None, None)? {
        let doc = doc?;
        said.push(format!("history: {} until {:?}", shown(&doc), doc.successor));
    }
    for n in 0..60 {
        let token = database.client_token(&format!("token {n}"))?.unwrap();
        said.push(format!("{token:?}"));
    }
    Ok(said)
}

fn files(env: &Env) -> Vec<PathBuf> {
    let entries = env.storage.read_dir(Path::new(INDEX)).unwrap();
    entries.iter().filter(|e| e.kind == EntryKind::File).map(|e| Path::new(INDEX).join(&e.name)).collect()
}

fn contents(env: &Env) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: &PathBuf| read_file(&*env.storage, path, 1 << 30).unwrap();
    files(env).into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn restore(env: &Env, kept: &[(PathBuf, Vec<u8>)]) {
    files(env).iter().for_each(|path| env.storage.remove_file(path).unwrap());
    for (path, bytes) in kept {
        let file = env.storage.open(path, OpenMode::CreateNew).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
    }
}

#[test]
fn the_index_can_be_deleted_or_be_an_old_one_and_answers_stay_the_same() {
    let mut ledger = make();
    ledger.database.close().unwrap();
    let old = contents(&ledger.env);
    ledger.reopen();
    grow(&ledger, 60..75);
    let before = answers(&ledger.database).unwrap();
    ledger.reopen();
    assert_eq!(answers(&ledger.database).unwrap(), before);
    ledger.database.close().unwrap();
    let newest = contents(&ledger.env);
    // What was derived before goes on being good for as far as it goes.
    restore(&ledger.env, &old);
    ledger.reopen();
    assert_eq!(answers(&ledger.database).unwrap(), before);
    ledger.database.close().unwrap();
    ledger.env.storage.remove_dir_all(Path::new(INDEX)).unwrap();
    ledger.reopen();
    assert_eq!(answers(&ledger.database).unwrap(), before);
    ledger.database.close().unwrap();
    // Files without their manifest, and a manifest without one of its files.
    for gone in 0..newest.len() {
        let mut some = newest.clone();
        some.remove(gone);
        restore(&ledger.env, &some);
        ledger.reopen();
        assert_eq!(answers(&ledger.database).unwrap(), before);
        ledger.database.close().unwrap();
    }
}

#[test]
fn a_changed_byte_of_the_index_is_made_good_or_named_and_never_believed() {
    let mut ledger = make();
    let before = answers(&ledger.database).unwrap();
    ledger.database.close().unwrap();
    let whole = contents(&ledger.env);
    let (mut dropped, mut named) = (0, 0);
    for (path, bytes) in &whole {
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(9)) {
            restore(&ledger.env, &whole);
            let file = ledger.env.storage.open(path, OpenMode::Write).unwrap();
            write_all_at(&*file, &[bytes[at] ^ 0x20], at as u64).unwrap();
            ledger.reopen();
            match answers(&ledger.database) {
                Ok(now) => {
                    assert_eq!(now, before, "{} byte {at}", path.display());
                    dropped += 1;
                }
                Err(error) => {
                    assert_eq!(error.code, SqlState::DATA_CORRUPTED, "{error}");
                    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
                    named += 1;
                    ledger.reopen();
                    assert_eq!(answers(&ledger.database).unwrap(), before, "{} byte {at}, restarted", path.display());
                }
            }
            ledger.database.close().unwrap();
        }
    }
    assert!(dropped > 0 && named > 0, "{dropped} made good, {named} named");
}

#[test]
fn an_index_of_another_ledger_or_of_a_longer_journal_is_dropped() {
    let mut ledger = make();
    ledger.database.close().unwrap();
    let index = contents(&ledger.env);
    // The same ledger as it was before: a backup of the journal, put in the place of a newer one.
    let earlier = Env { storage: Arc::new(MemoryStorage::new()), ..Env::memory(6) };
    Database::create(&earlier, Path::new("/data/main"), id(), PREFIX, key()).unwrap();
    let options = DatabaseOptions { index: small_index(), ..DatabaseOptions::default() };
    let open = |env: &Env| Database::open(env, Path::new("/data/main"), "main", key(), options).unwrap();
    let other = Memory { database: open(&earlier), env: earlier.clone() };
    other.ddl(&create_table("t", &[("k", "int8", "p"), ("color", "int8", "")]), Dialect::Sql);
    for n in 0..80 {
        insert(&other.database, n);
    }
    let before = answers(&other.database).unwrap();
    other.database.close().unwrap();
    drop(other);
    restore(&earlier, &index);
    // The journal is longer here: only the leaf tells that it is another history.
    let database = open(&earlier);
    assert_eq!(answers(&database).unwrap(), before);
    database.close().unwrap();
    drop(database);
    let longer = contents(&earlier);
    restore(&ledger.env, &longer);
    let said = {
        ledger.reopen();
        answers(&ledger.database).unwrap()
    };
    restore(&ledger.env, &index);
    ledger.reopen();
    assert_eq!(answers(&ledger.database).unwrap(), said);
}

#[test]
fn opening_reads_only_what_the_index_does_not_know() {
    let mut ledger = make();
    let last = ledger.run(|tx| {
        let t = table(tx, "t");
        drop(tx.insert(&t, record(&[("k", Value::int(1000))])).unwrap());
    });
    ledger.database.close().unwrap();
    let end = last.1.unwrap().block_position + 1;
    let manifest = read_file(&*ledger.env.storage, &Path::new(INDEX).join("manifest"), 1 << 20).unwrap();
    // Closing writes everything, so nothing is left to be replayed: magic, ledger id, then the position.
    assert_eq!(manifest[24..32], end.to_be_bytes());
    ledger.reopen();
    // The ids of documents go on where they were.
    let tx = Transaction::begin(&ledger.database, true);
    let t = table(&tx, "t");
    let docs: Vec<Arc<Doc>> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
    let newest = docs.iter().map(|d| d.id).max().unwrap();
    drop(tx);
    let (doc, _) = ledger.run(|tx| {
        let t = table(tx, "t");
        tx.insert(&t, record(&[("k", Value::int(1001))])).unwrap()
    });
    assert!(doc.id > newest);
}

#[test]
fn an_index_that_ends_inside_a_large_block_goes_on_there() {
    let mut ledger = Memory::new(11);
    ledger.ddl(&create_table("t", &[("k", "int8", "p"), ("body", "text", "")]), Dialect::Sql);
    // Large enough to be staged in several frames.
    let load = |ledger: &Memory| {
        let mut tx = ledger.begin();
        tx.set_client_token("load").unwrap();
        tx.begin_statement("INSERT", &[]).unwrap();
        let t = table(&tx, "t");
        for n in 0..23 {
            let body = Value::string("x".repeat(300_000));
            drop(tx.insert(&t, record(&[("k", Value::int(n)), ("body", body)])).unwrap());
        }
        tx.commit_blocking().unwrap().unwrap()
    };
    let found = |ledger: &Memory| -> Vec<(i64, u64)> {
        let tx = Transaction::begin(&ledger.database, true);
        let t = table(&tx, "t");
        let primary = t.primary_key().unwrap();
        let scanned: Vec<Arc<Doc>> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
        for doc in &scanned {
            let by_key = tx.lookup(&t, primary, &Key::one(&field(doc, "k")), View::Current).unwrap();
            assert_eq!(by_key.iter().map(|d| d.position).collect::<Vec<_>>(), [doc.position]);
        }
        scanned.iter().map(|doc| (field(doc, "k").as_i64().unwrap(), doc.position)).collect()
    };
    let committed = load(&ledger);
    let before = found(&ledger);
    assert_eq!(before.len(), 23);
    let inside = committed.first_position + 1..=committed.block_position;
    let position = |ledger: &Memory| {
        let manifest = read_file(&*ledger.env.storage, &Path::new(INDEX).join("manifest"), 1 << 20).unwrap_or_default();
        manifest.get(24..32).map_or(0, |b| u64::from_be_bytes(b.try_into().unwrap()))
    };
    // The index is written by a thread of its own: what stays as it is has been written whole.
    let mut index = Vec::new();
    loop {
        let now = files(&ledger.env);
        let read = |path: &PathBuf| read_file(&*ledger.env.storage, path, 1 << 30).ok();
        let now: Vec<_> = now.into_iter().filter_map(|path| Some((path.clone(), read(&path)?))).collect();
        if now == index && inside.contains(&position(&ledger)) {
            break;
        }
        index = now;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    ledger.database.close().unwrap();
    restore(&ledger.env, &index);
    assert!(inside.contains(&position(&ledger)));
    ledger.reopen();
    assert_eq!(found(&ledger), before);
    assert_eq!(load(&ledger), committed, "the token is known");
}
