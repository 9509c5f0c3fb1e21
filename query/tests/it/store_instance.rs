//! Many ledgers in one directory: made, listed, protected, dropped, opened again.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::database::Database;
use ledgerstone_query::error::SqlState;
use ledgerstone_query::session::Dialect;
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{create_table, open_instance, record, table};

fn write(database: &Arc<Database>, n: i64) {
    let mut tx = Transaction::begin(database, false);
    if tx.table("t").unwrap().is_none() {
        ddl::apply(&mut tx, &create_table("t", &[]), "", Dialect::Sql).unwrap();
    }
    let t = table(&tx, "t");
    tx.insert(&t, record(&[("n", Value::int(n))])).unwrap();
    tx.commit_blocking().unwrap();
}

fn count(database: &Arc<Database>) -> usize {
    let tx = Transaction::begin(database, true);
    tx.scan(&table(&tx, "t"), View::Current).unwrap().count()
}

#[test]
fn ledgers_are_made_kept_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    assert_eq!(instance.ledgers().iter().map(|l| &*l.name).collect::<Vec<_>>(), ["main"]);
    write(&instance.ledger("main").unwrap(), 1);
    write(&instance.create_ledger("other_1", true).unwrap(), 2);
    assert_eq!(instance.create_ledger("other_1", false).err().unwrap().code, SqlState::DUPLICATE_DATABASE);
    for bad in ["", "a b", "ä", "../x", "x/y", ".", &"x".repeat(33)] {
        assert_eq!(instance.create_ledger(bad, false).err().unwrap().code, SqlState::INVALID_PARAMETER_VALUE, "{bad}");
    }
    let unknown = instance.ledger("nope").err().unwrap();
    assert_eq!(unknown.code, SqlState::INVALID_CATALOG_NAME);
    assert_eq!(unknown.hint.as_deref(), Some("There is: main, other_1."));
    let protected = instance.drop_ledger("other_1").unwrap_err();
    assert_eq!(protected.code, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(open_instance(dir.path()).is_err(), "one directory, one process");
    instance.close().unwrap();
    drop(instance);

    let instance = open_instance(dir.path()).unwrap();
    assert_eq!(count(&instance.ledger("main").unwrap()), 1);
    assert_eq!(count(&instance.ledger("other_1").unwrap()), 1);
    write(&instance.ledger("main").unwrap(), 3);
    assert_eq!(count(&instance.ledger("main").unwrap()), 2);
    instance.set_deletion_protection("other_1", false).unwrap();
    instance.drop_ledger("other_1").unwrap();
    assert_eq!(instance.ledgers().len(), 1);
    assert_eq!(instance.drop_ledger("other_1").unwrap_err().code, SqlState::INVALID_CATALOG_NAME);
    write(&instance.create_ledger("other_1", false).unwrap(), 4);
    assert_eq!(count(&instance.ledger("other_1").unwrap()), 1);
}

#[test]
fn a_ledger_that_cannot_be_opened_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    instance.create_ledger("broken", false).unwrap();
    write(&instance.ledger("main").unwrap(), 1);
    instance.close().unwrap();
    drop(instance);
    let segment = dir.path().join("data/broken/journal/00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[4100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let instance = open_instance(dir.path()).unwrap();
    assert_eq!(count(&instance.ledger("main").unwrap()), 1);
    let error = instance.ledger("broken").err().unwrap();
    assert!(error.message.contains(".seg"), "{error}");
    instance.drop_ledger("broken").unwrap();
}
