//! Columns in files: a start finds them, whatever is wrong with them costs time and never an answer, and what is redacted
//! leaves them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::Array;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_journal::Env;
use ledgerstone_journal::env::{OpenMode, write_all_at};
use ledgerstone_query::columns::{
    COLUMNS_DIR, ColumnError, ColumnOptions, ColumnView, Field, Meta, ScanRequest, check_columns,
};
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{Memory, id, key, record, table};

const LEDGER: &str = "/data/main";

fn open(env: &Env) -> Arc<Database> {
    // No thread of columns does anything by itself: there is too little.
    let columns = ColumnOptions { piece_rows: 64, ..ColumnOptions::default() };
    let options = DatabaseOptions { columns, ..DatabaseOptions::default() };
    Database::open(env, Path::new(LEDGER), "main", key(), options).unwrap()
}

/// A ledger of a table with a hundred documents, each changed once, in files.
fn written(seed: u64) -> (Env, Arc<Database>) {
    let memory = Memory::new(seed);
    memory.create_schemaless("t");
    memory.database.close().unwrap();
    let env = memory.env.clone();
    drop(memory);
    let database = open(&env);
    for round in 0..2 {
        let mut tx = Transaction::begin(&database, false);
        let t = table(&tx, "t");
        let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
        for n in 0..100 {
            let document = record(&[("n", Value::int(n)), ("secret", Value::string(format!("secret {round} of {n}")))]);
            match docs.get(n as usize) {
                None => drop(tx.insert(&t, document).unwrap()),
                Some(doc) => drop(tx.replace(&t, doc, document).unwrap()),
            }
        }
        tx.commit_blocking().unwrap();
        // The first revisions are in files when the second ones come.
        if round == 0 {
            assert_eq!(rows(&database).unwrap().len(), 100);
            assert!(database.columns().flush().unwrap());
        }
    }
    assert_eq!(rows(&database).unwrap().len(), 100);
    assert!(database.columns().flush().unwrap());
    (env, database)
}

/// What is current, as text.
fn rows(database: &Arc<Database>) -> Result<Vec<String>, ColumnError> {
    let tx = Transaction::begin(database, false);
    let request = ScanRequest {
        table: table(&tx, "t").id,
        snapshot: tx.snapshot(),
        view: ColumnView::Current,
        fields: ["n", "secret"].map(str::to_owned).to_vec(),
        meta: vec![Meta::DocumentId],
    };
    let mut rows = Vec::new();
    for partition in database.columns().scan(request, &|| false)?.partitions {
        let batch = partition.read(&|| false)?;
        for row in (0..batch.rows).filter(|row| batch.selection.value(*row)) {
            let value = |field: &Field| match field {
                Field::Column(column) => column.value(row).unwrap().map_or("-".to_owned(), |v| ion::to_text(&v)),
                Field::Absent | Field::NotKept => panic!("it has no column"),
            };
            assert_eq!(batch.meta[0].len(), batch.rows);
            rows.push(batch.fields.iter().map(value).collect::<Vec<_>>().join(" "));
        }
    }
    rows.sort();
    Ok(rows)
}

/// The files of the columns with their bytes.
fn files(env: &Env) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(LEDGER).join(COLUMNS_DIR);
    let names = env.storage.read_dir(&dir).unwrap_or_default();
    let read = |name: &str| {
        let path = dir.join(name);
        let bytes = ledgerstone_journal::env::read_file(&*env.storage, &path, 1 << 30).unwrap();
        (path, bytes)
    };
    names.iter().map(|entry| read(&entry.name)).collect()
}

fn put(env: &Env, path: &Path, bytes: &[u8]) {
    let file = env.storage.open(path, OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn fields_named_like_the_columns_of_files_are_kept_like_any_other() {
    let names = ["_successor", "_position", "_supersedes", "_Block", "_document", "_presence"];
    let values = [
        Value::Float(1.5),
        Value::Bool(true),
        Value::string("text"),
        ion::parse("1.25", &ion::Limits::DOCUMENT).unwrap(),
    ];
    for value in values {
        let memory = Memory::new(7);
        memory.create_schemaless("t");
        let mut tx = Transaction::begin(&memory.database, false);
        let t = table(&tx, "t");
        tx.insert(&t, record(&names.map(|name| (name, value.clone())))).unwrap();
        tx.commit_blocking().unwrap();
        let columns = memory.database.columns();
        let read = || {
            let tx = Transaction::begin(&memory.database, false);
            let (snapshot, view, fields) = (tx.snapshot(), ColumnView::Current, names.map(str::to_owned).to_vec());
            let request = ScanRequest { table: t.id, snapshot, view, fields, meta: Vec::new() };
            let partition = columns.scan(request, &|| false).unwrap().partitions.remove(0);
            partition.read(&|| false).unwrap().fields.iter().for_each(|field| match field {
                Field::Column(column) => assert_eq!(column.value(0).unwrap(), Some(value.clone())),
                Field::Absent | Field::NotKept => panic!("it has no column"),
            });
        };
        read();
        assert!(columns.flush().unwrap());
        read();
    }
}

#[test]
fn a_start_goes_on_from_the_files() {
    let (env, database) = written(1);
    let expected = rows(&database).unwrap();
    let (position, files) = (database.columns().position(), database.columns().counts().1);
    assert!(files >= 2);
    database.close().unwrap();
    drop(database);
    let database = open(&env);
    assert_eq!((database.columns().position(), database.columns().counts()), (position, (0, files)));
    assert_eq!(rows(&database).unwrap(), expected);
    let (bytes, _, decoded) = database.columns().cache_counts();
    assert!(bytes > 0 && decoded > 0);
    assert_eq!(rows(&database).unwrap(), expected);
    assert_eq!(database.columns().cache_counts().2, decoded, "what was decoded is decoded once");
    database.close().unwrap();
    drop(database);
    let report = check_columns(&env, Path::new(LEDGER), id(), &mut |_, _| ()).unwrap().unwrap();
    assert_eq!((report.position, report.segments as usize, report.rows), (position, files, 200));
}

#[test]
fn no_damage_to_any_file_gives_a_wrong_answer() {
    let (env, database) = written(2);
    let expected = rows(&database).unwrap();
    database.close().unwrap();
    drop(database);
    let whole = files(&env);
    let all = whole.len();
    for (n, (path, bytes)) in whole.iter().enumerate() {
        for damage in 0..5 {
            for (path, bytes) in &whole {
                put(&env, path, bytes);
            }
            let mut changed = bytes.clone();
            match damage {
                0 => env.storage.remove_file(path).unwrap(),
                1 => changed.truncate(bytes.len() / 2),
                2 => changed[bytes.len() / 2] ^= 1,
                3 => changed[8] ^= 0x80,
                // Another file's bytes.
                _ => changed = whole[(n + 2) % all].1.clone(),
            }
            if damage > 0 {
                put(&env, path, &changed);
            }
            // Two files of successors may say the same.
            if damage > 0 && changed == *bytes {
                continue;
            }
            let is_manifest = path.ends_with("manifest");
            let checked = check_columns(&env, Path::new(LEDGER), id(), &mut |_, _| ());
            match checked {
                Ok(None) => assert!(is_manifest && damage == 0),
                Ok(Some(_)) => panic!("damage {damage} of {} is not found", path.display()),
                Err(ColumnError::Damaged { path: named, .. }) => assert_eq!(&named, path, "damage {damage}"),
                Err(other) => panic!("damage {damage} of {}: {other}", path.display()),
            }
            let database = open(&env);
            // The first answer may be an error, which sends the reader to the journal.
            match rows(&database) {
                Ok(found) => assert_eq!(found, expected, "damage {damage} of {}", path.display()),
                Err(ColumnError::Damaged { path: named, .. }) => assert_eq!(&named, path),
                Err(other) => panic!("damage {damage} of {}: {other}", path.display()),
            }
            assert_eq!(rows(&database).unwrap(), expected, "damage {damage} of {}", path.display());
            database.close().unwrap();
        }
    }
}

#[test]
fn files_of_another_history_are_dropped() {
    let (env, database) = written(3);
    database.close().unwrap();
    drop(database);
    let foreign = files(&env);
    let (other, database) = written(4);
    let expected = rows(&database).unwrap();
    database.close().unwrap();
    drop(database);
    for (path, _) in files(&other) {
        other.storage.remove_file(&path).unwrap();
    }
    for (path, bytes) in &foreign {
        put(&other, path, bytes);
    }
    let database = open(&other);
    assert_eq!((database.columns().position(), database.columns().counts()), (1, (0, 0)));
    assert_eq!(files(&other).len(), 0, "they are removed");
    assert_eq!(rows(&database).unwrap(), expected);
}

#[test]
fn redacted_data_leaves_the_files() {
    let (env, database) = written(5);
    let holds = |secret: &str| {
        let found = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        files(&env).iter().any(|(_, bytes)| found(bytes))
    };
    let mut tx = Transaction::begin(&database, false);
    let t = table(&tx, "t");
    let old = tx.history(&t, None, None, None).unwrap().map(Result::unwrap).find(|doc| doc.version == 0).unwrap();
    let secret = crate::support::field(&old, "secret").as_text().unwrap().to_owned();
    assert!(holds(&secret), "it is in a file before");
    tx.redact(database.ledger().strand(), old.block, t.id, old.id).unwrap();
    tx.commit_blocking().unwrap();
    assert!(!holds(&secret));
    assert!(holds("secret 0 of"), "others are left");
    assert_eq!(rows(&database).unwrap().len(), 100);
}
