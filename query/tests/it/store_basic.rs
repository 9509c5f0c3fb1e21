//! Tables, documents, lookups, history and restarts on a real ledger in memory.

use std::ops::Bound;

use ledgerstone_digest::ion::Value;
use ledgerstone_query::ast::{AlterTable, CreateIndex, Expr, ExprKind, Span, Statement};
use ledgerstone_query::error::SqlState;
use ledgerstone_query::index::Key;
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{Memory, create_table, field, name, record, table, table_name};

fn person(id: i64, city: &str) -> Value {
    record(&[("id", Value::int(id)), ("city", Value::string(city))])
}

fn index_on(table: &str, field: &str, unique: bool) -> Statement {
    Statement::CreateIndex(Box::new(CreateIndex {
        name: None,
        table: table_name(table),
        columns: vec![Expr { kind: ExprKind::Name(name(field)), span: Span::default() }],
        unique,
        if_not_exists: false,
    }))
}

fn cities(tx: &Transaction, city: &str) -> Vec<i64> {
    let t = table(tx, "person");
    let index = t.index_on_field("city").unwrap();
    let docs = tx.lookup(&t, index, &Key::one(&Value::string(city)), View::Current).unwrap();
    let mut ids: Vec<i64> = docs.iter().map(|d| field(d, "id").as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn documents_are_written_read_changed_and_kept() {
    let mut memory = Memory::new(1);
    memory.ddl(&create_table("person", &[("id", "int4", "p"), ("city", "text", "")]), Dialect::Sql);
    let (first, committed) = memory.run(|tx| {
        tx.begin_statement("INSERT …", &[]).unwrap();
        let t = table(tx, "person");
        let doc = tx.insert(&t, person(1, "Oslo")).unwrap();
        tx.insert(&t, person(2, "Rome")).unwrap();
        assert_eq!(tx.get(&t, doc.id, View::Current).unwrap().unwrap().data, doc.data, "own writes are seen");
        doc
    });
    let first_snapshot = committed.unwrap().snapshot();
    memory.ddl(&index_on("person", "city", false), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "person");
        let doc = tx.get(&t, first.id, View::Current).unwrap().unwrap();
        assert_eq!((doc.version, doc.is_uncommitted()), (0, false));
        tx.replace(&t, &doc, person(1, "Rome")).unwrap();
    });
    for round in 0..2 {
        memory.run(|tx| {
            let t = table(tx, "person");
            assert_eq!(cities(tx, "Rome"), [1, 2], "round {round}");
            assert!(cities(tx, "Oslo").is_empty());
            let old: Vec<Value> =
                tx.scan(&t, View::AsOf(first_snapshot)).unwrap().map(|d| field(&d.unwrap(), "city")).collect();
            assert_eq!(old, [Value::string("Oslo"), Value::string("Rome")]);
            let history: Vec<_> = tx.history(&t, Some(first.id), None, None).unwrap().map(Result::unwrap).collect();
            assert_eq!(history.len(), 2);
            assert_eq!(history[0].successor, Some(history[1].position));
            assert_eq!(history[1].supersedes, Some(history[0].position));
            assert!(history[0].salt.is_some(), "tables made in SQL are salted");
            let primary = t.primary_key().unwrap();
            let all: Vec<i64> = tx
                .range(&t, primary, Bound::Excluded(Key::one(&Value::int(0))), Bound::Unbounded, true, View::Current)
                .unwrap()
                .map(|d| field(&d.unwrap(), "id").as_i64().unwrap())
                .collect();
            assert_eq!(all, [2, 1]);
        });
        memory.reopen();
    }
}

#[test]
fn unique_keys_are_judged_on_the_net_effect() {
    let memory = Memory::new(2);
    memory.ddl(&create_table("person", &[("id", "int4", "p"), ("city", "text", "")]), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "person");
        tx.insert(&t, person(1, "a")).unwrap();
        tx.insert(&t, person(2, "b")).unwrap();
    });
    // A second document with a key that is there.
    let mut tx = memory.begin();
    let t = table(&tx, "person");
    tx.insert(&t, person(1, "c")).unwrap();
    let error = tx.check_unique().unwrap_err();
    assert_eq!(error.code, SqlState::UNIQUE_VIOLATION);
    assert_eq!(error.detail.as_deref(), Some("Key (id)=(1) already exists."));
    assert_eq!(tx.commit_blocking().unwrap_err().code, SqlState::UNIQUE_VIOLATION);
    // Two new ones.
    let mut tx = memory.begin();
    tx.insert(&t, person(3, "c")).unwrap();
    tx.insert(&t, person(3, "d")).unwrap();
    assert_eq!(tx.commit_blocking().unwrap_err().code, SqlState::UNIQUE_VIOLATION);
    // Keys change hands inside a transaction.
    memory.run(|tx| {
        let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
        for doc in &docs {
            let id = field(doc, "id").as_i64().unwrap();
            tx.replace(&t, doc, person(3 - id, "swapped")).unwrap();
        }
        tx.check_unique().unwrap();
    });
    // Delete and insert again: another document.
    memory.run(|tx| {
        let index = t.primary_key().unwrap();
        let doc = tx.lookup(&t, index, &Key::one(&Value::int(1)), View::Current).unwrap().remove(0);
        tx.delete(&t, &doc).unwrap();
        let again = tx.insert(&t, person(1, "again")).unwrap();
        assert_ne!(again.id, doc.id);
    });
    // Two transactions that insert the same key: the second is refused, not asked to retry.
    let (mut a, mut b) = (memory.begin(), memory.begin());
    a.insert(&t, person(9, "a")).unwrap();
    b.insert(&t, person(9, "b")).unwrap();
    a.commit_blocking().unwrap();
    assert_eq!(b.commit_blocking().unwrap_err().code, SqlState::UNIQUE_VIOLATION);
}

#[test]
fn insert_then_delete_leaves_nothing() {
    let memory = Memory::new(3);
    memory.create_schemaless("t");
    let before = memory.database.snapshot();
    let (_, committed) = memory.run(|tx| {
        let t = table(tx, "t");
        let doc = tx.insert(&t, record(&[("a", Value::int(1))])).unwrap();
        tx.delete(&t, &doc).unwrap();
        assert_eq!(tx.scan(&t, View::Current).unwrap().count(), 0);
    });
    assert_eq!((committed, memory.database.snapshot()), (None, before));
}

#[test]
fn savepoints_undo_writes_and_definitions() {
    let memory = Memory::new(4);
    memory.create_schemaless("t");
    memory.run(|tx| {
        let t = table(tx, "t");
        tx.insert(&t, record(&[("a", Value::int(1))])).unwrap();
        let savepoint = tx.savepoint();
        tx.insert(&t, record(&[("a", Value::int(2))])).unwrap();
        ledgerstone_query::catalogue::ddl::apply(
            tx,
            &create_table("u", &[]),
            Dialect::Sql,
            &SessionInfo::embedded("main", Dialect::Sql),
        )
        .unwrap();
        assert!(tx.table("u").unwrap().is_some());
        tx.rollback_to(savepoint).unwrap();
        assert!(tx.table("u").unwrap().is_none());
        assert_eq!(tx.scan(&t, View::Current).unwrap().count(), 1);
    });
    let tx = memory.begin();
    assert!(tx.table("u").unwrap().is_none());
    assert_eq!(tx.scan(&table(&tx, "t"), View::Current).unwrap().count(), 1);
}

#[test]
fn documents_that_would_read_as_metadata_or_salt_are_refused() {
    let memory = Memory::new(5);
    memory.create_schemaless("t");
    let mut tx = memory.begin();
    let t = table(&tx, "t");
    let one = || Value::int(1);
    let metadata = record(&[("id", one()), ("version", one()), ("txTime", one()), ("txId", one())]);
    assert_eq!(tx.insert(&t, metadata).unwrap_err().code, SqlState::RESERVED_NAME);
    let wider = record(&[("id", one()), ("version", one()), ("txTime", one()), ("txId", one()), ("x", one())]);
    tx.insert(&t, wider).unwrap();
    assert_eq!(tx.insert(&t, record(&[("_ql_salt", one())])).unwrap_err().code, SqlState::RESERVED_NAME);
    assert_eq!(tx.insert(&t, one()).unwrap_err().code, SqlState::DATATYPE_MISMATCH);
    let deep = (0..200).fold(one(), |inner, _| record(&[("a", inner)]));
    assert_eq!(tx.insert(&t, deep).unwrap_err().code, SqlState::PROGRAM_LIMIT_EXCEEDED);
}

#[test]
fn a_client_token_commits_once() {
    let mut memory = Memory::new(6);
    memory.create_schemaless("t");
    let run = |memory: &Memory, text: &str| {
        let mut tx = memory.begin();
        tx.set_client_token("token-1").unwrap();
        tx.begin_statement(text, &[]).unwrap();
        tx.insert(&table(&tx, "t"), record(&[("a", Value::int(1))])).unwrap();
        tx.commit_blocking()
    };
    let first = run(&memory, "INSERT 1").unwrap().unwrap();
    assert_eq!(run(&memory, "INSERT 1").unwrap().unwrap(), first);
    assert_eq!(run(&memory, "INSERT 2").unwrap_err().code, SqlState::INVALID_PARAMETER_VALUE);
    memory.reopen();
    assert_eq!(run(&memory, "INSERT 1").unwrap().unwrap(), first);
    assert_eq!(run(&memory, "INSERT 2").unwrap_err().code, SqlState::INVALID_PARAMETER_VALUE);
    assert_eq!(memory.database.committed_by_statements("token-1", &[("INSERT 1", &[])]).unwrap(), Some(first));
    let tx = memory.begin();
    assert_eq!(tx.scan(&table(&tx, "t"), View::Current).unwrap().count(), 1);
}

#[test]
fn an_index_on_a_full_table_is_built_and_a_unique_one_refused() {
    let mut memory = Memory::new(7);
    memory.create_schemaless("person");
    memory.run(|tx| {
        let t = table(tx, "person");
        for n in 0..500 {
            tx.insert(&t, person(n, if n % 2 == 0 { "Rome" } else { "Oslo" })).unwrap();
        }
    });
    memory.ddl(&index_on("person", "city", false), Dialect::PartiQl);
    let unique = memory.begin();
    let mut unique = unique;
    ledgerstone_query::catalogue::ddl::apply(
        &mut unique,
        &index_on("person", "city", true),
        Dialect::Sql,
        &SessionInfo::embedded("main", Dialect::Sql),
    )
    .unwrap();
    assert_eq!(unique.commit_blocking().unwrap_err().code, SqlState::UNIQUE_VIOLATION);
    for _ in 0..2 {
        let tx = memory.begin();
        assert_eq!(cities(&tx, "Rome").len(), 250);
        let t = table(&tx, "person");
        let texts: Vec<&str> = t.indexes.iter().map(|i| i.status.text()).collect();
        assert_eq!(texts, ["ONLINE", "FAILED"]);
        drop(tx);
        memory.reopen();
    }
}

#[test]
fn a_redacted_revision_shows_its_hash_and_nothing_else() {
    let mut memory = Memory::new(8);
    memory.create_schemaless("person");
    memory.ddl(&index_on("person", "city", false), Dialect::PartiQl);
    let (doc, committed) = memory.run(|tx| tx.insert(&table(tx, "person"), person(1, "Oslo")).unwrap());
    let (block, then) = (committed.unwrap().block, committed.unwrap().snapshot());
    let strand = memory.database.ledger().strand();
    let redact = |tx: &mut Transaction| tx.redact(strand, block, doc.table_id, doc.id);
    let current = redact(&mut memory.begin()).unwrap_err();
    assert_eq!(current.code, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the current revision stays");
    memory.run(|tx| {
        let t = table(tx, "person");
        let doc = tx.get(&t, doc.id, View::Current).unwrap().unwrap();
        tx.replace(&t, &doc, person(1, "Oslo")).unwrap();
    });
    let mut other = memory.begin();
    redact(&mut other).unwrap();
    memory.run(|tx| redact(tx).unwrap());
    let twice = other.commit_blocking().unwrap_err();
    let refused = twice.is_retryable() || twice.code == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
    assert!(refused, "one record for one redaction: {twice}");
    for _ in 0..2 {
        let tx = memory.begin();
        let t = table(&tx, "person");
        let history: Vec<_> = tx.history(&t, Some(doc.id), None, None).unwrap().map(Result::unwrap).collect();
        assert_eq!(history.len(), 2);
        assert!(history[0].data.is_none() && history[0].data_hash.is_some() && !history[0].is_deletion());
        assert!(history[1].data.is_some());
        let index = t.index_on_field("city").unwrap();
        let key = Key::one(&Value::string("Oslo"));
        assert_eq!(tx.lookup(&t, index, &key, View::Current).unwrap().len(), 1);
        assert_eq!(tx.lookup(&t, index, &key, View::AsOf(then)).unwrap().len(), 0);
        assert_eq!(redact(&mut memory.begin()).unwrap_err().code, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        drop(tx);
        memory.reopen();
    }
}

#[test]
fn a_dropped_table_keeps_its_history_and_comes_back() {
    let mut memory = Memory::new(9);
    memory.create_schemaless("t");
    let (id, _) = memory.run(|tx| {
        let t = table(tx, "t");
        tx.insert(&t, record(&[("a", Value::int(1))])).unwrap();
        t.id
    });
    memory.ddl(&Statement::DropTable { names: vec![table_name("t")], if_exists: false }, Dialect::PartiQl);
    memory.reopen();
    let mut tx = memory.begin();
    assert!(tx.table("t").unwrap().is_none());
    let dropped = tx.table_by_id(id).unwrap().unwrap();
    assert_eq!(dropped.status.text(), "INACTIVE");
    assert_eq!(tx.history(&dropped, None, None, None).unwrap().count(), 1);
    let refused = tx.insert(&dropped, record(&[])).unwrap_err();
    assert_eq!(refused.code, SqlState::UNDEFINED_TABLE);
    let undrop = Statement::UndropTable { table_id: name(&id.to_string()) };
    memory.ddl(&undrop, Dialect::PartiQl);
    let again = ledgerstone_query::catalogue::ddl::apply(
        &mut memory.begin(),
        &undrop,
        Dialect::PartiQl,
        &SessionInfo::embedded("main", Dialect::PartiQl),
    );
    assert_eq!(again.unwrap_err().code, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    let tx = memory.begin();
    assert_eq!(tx.scan(&table(&tx, "t"), View::Current).unwrap().count(), 1);
}

#[test]
fn columns_are_renamed_dropped_and_added_in_documents() {
    let mut memory = Memory::new(10);
    memory.ddl(&create_table("t", &[("id", "int4", "p"), ("a", "text", "u"), ("b", "text", "")]), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "t");
        for n in 0..3 {
            let a = Value::string(format!("a{n}"));
            tx.insert(&t, record(&[("id", Value::int(n)), ("a", a), ("b", Value::string("b"))])).unwrap();
        }
    });
    let then = memory.database.snapshot();
    let alter = |memory: &Memory, action| {
        memory.ddl(
            &Statement::AlterTable { table: table_name("t"), if_exists: false, action: Box::new(action) },
            Dialect::Sql,
        );
    };
    alter(&memory, AlterTable::RenameColumn { from: name("a"), to: name("c") });
    alter(&memory, AlterTable::DropColumn { name: name("b"), if_exists: false });
    for _ in 0..2 {
        let tx = memory.begin();
        let t = table(&tx, "t");
        let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
        assert_eq!(docs[1].data.as_deref(), Some(&record(&[("id", Value::int(1)), ("c", Value::string("a1"))])));
        assert_eq!(docs[1].version, 2);
        let index = t.index_on_field("c").unwrap();
        assert_eq!(index.status.text(), "ONLINE");
        let key = Key::one(&Value::string("a2"));
        assert_eq!(tx.lookup(&t, index, &key, View::Current).unwrap().len(), 1);
        let before = tx.scan(&t, View::AsOf(then)).unwrap().next().unwrap().unwrap();
        assert_eq!(field(&before, "b"), Value::string("b"));
        drop(tx);
        memory.reopen();
    }
}
