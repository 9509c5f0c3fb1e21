//! Files of columns that somebody altered so that they fit their checksums and their manifest: only the journal says that
//! they are wrong, and the comparison with it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt8Array, UInt64Array};
use arrow::compute::take;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{self, Text};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_journal::Env;

use super::cache::ColumnCache;
use super::field::{FieldColumn, Form};
use super::files::open_chunk;
use super::manifest::Manifest;
use super::piece::Piece;
use super::segment::Segment;
use super::successors::Written;
use super::tail::NONE;
use super::{COLUMNS_DIR, ColumnError, ColumnOptions, Meta, check_columns, rebuild_columns};
use crate::ast::{CreateTable, Name, Span, Statement, TableName};
use crate::catalogue::ddl;
use crate::database::{Database, DatabaseOptions};
use crate::session::{Dialect, SessionInfo};
use crate::transaction::{Transaction, View};

const LEDGER: &str = "/data/main";
const ID: Id = Id([9; 16]);

/// A ledger of two tables, whose columns are in files; nobody has it open.
fn written() -> Env {
    let env = Env::memory(1);
    let key = || SigningKey::from_seed(&format!("ledger.test/{ID}"), &[7; 32]).unwrap();
    let dir = Path::new(LEDGER);
    Database::create(&env, dir, ID, "ledger.test", key()).unwrap();
    let database = Database::open(&env, dir, "main", key(), DatabaseOptions::default()).unwrap();
    for name in ["a", "b"] {
        let mut tx = Transaction::begin(&database, false);
        let name = Name::exact(name, true, Span::default());
        let create = CreateTable {
            name: TableName { schema: None, name },
            if_not_exists: false,
            columns: Vec::new(),
            likes: Vec::new(),
            constraints: Vec::new(),
            options: Vec::new(),
            as_query: None,
        };
        ddl::apply(
            &mut tx,
            &Statement::CreateTable(Box::new(create)),
            Dialect::PartiQl,
            &SessionInfo::embedded("main", Dialect::PartiQl),
        )
        .unwrap();
        tx.commit_blocking().unwrap();
    }
    for round in 0..3 {
        let mut tx = Transaction::begin(&database, false);
        for name in ["a", "b"] {
            let table = tx.table(name).unwrap().unwrap();
            let docs: Vec<_> = tx.scan(&table, View::Current).unwrap().map(Result::unwrap).collect();
            for n in 0..20 {
                let text = format!(
                    "{{n: {n}, text: \"{round} of {n}\", at: 2020-01-31T10:00:00.{n:02}0Z, price: {n}.50, x: {n}.5e0, \
                     maybe: {}}}",
                    if n % 2 == 0 { "null" } else { "1" }
                );
                let document = ion::parse(&text, &ion::Limits::DOCUMENT).unwrap();
                match docs.get(n) {
                    None => drop(tx.insert(&table, document).unwrap()),
                    Some(doc) if round == 1 || n > 3 => drop(tx.replace(&table, doc, document).unwrap()),
                    Some(doc) => tx.delete(&table, doc).unwrap(),
                }
            }
        }
        tx.commit_blocking().unwrap();
    }
    database.close().unwrap();
    let options = ColumnOptions { project_above_positions: 0, ..ColumnOptions::default() };
    rebuild_columns(&env, dir, options, &mut |_, _| ()).unwrap().unwrap();
    env
}

fn columns_dir() -> PathBuf {
    Path::new(LEDGER).join(COLUMNS_DIR)
}

fn check(env: &Env) -> Result<u64, (PathBuf, String)> {
    match check_columns(env, Path::new(LEDGER), ID, &mut |_, _| ()) {
        Ok(report) => Ok(report.unwrap().rows),
        Err(ColumnError::Damaged { path, what, .. }) => Err((path, what)),
        Err(other) => panic!("{other}"),
    }
}

/// Alters what the first segment's file holds, and its manifest with it; what is found then.
fn altered(change: impl FnOnce(&mut Vec<ArrayRef>, &mut Vec<(Text, FieldColumn, usize)>, &mut Vec<u64>)) -> String {
    altered_with(change, |_| ())
}

fn altered_with(
    change: impl FnOnce(&mut Vec<ArrayRef>, &mut Vec<(Text, FieldColumn, usize)>, &mut Vec<u64>),
    then: impl FnOnce(&mut Manifest),
) -> String {
    let (env, dir) = (written(), columns_dir());
    assert_eq!(check(&env), Ok(120));
    let storage = &*env.storage;
    let mut manifest = Manifest::read(storage, &dir).unwrap().unwrap();
    let (note, successors_note) = manifest.segments[0].clone();
    let cache = Arc::new(ColumnCache::new(0));
    let (piece, successors) =
        open_chunk(&env, &dir, note.clone(), successors_note.clone(), &cache).unwrap().load().unwrap();
    let (mut metas, mut fields) = (Meta::ALL.map(|meta| piece.meta(meta).clone()).to_vec(), piece.fields().to_vec());
    let mut successors = successors.to_vec();
    change(&mut metas, &mut fields, &mut successors);
    let rows = metas[0].len();
    let piece = Piece::of(rows, metas, fields, note.left_out, note.times_ms).unwrap();
    let number = manifest.next_number;
    let segment = Segment::write(storage, &dir, number, note.table, &piece, &cache).unwrap();
    let complete_to = successors_note.complete_to;
    let written = Written::write(storage, &dir, number + 1, &successors, complete_to, &cache).unwrap();
    manifest.next_number += 2;
    manifest.segments[0] = (segment.note.clone(), written.note.clone());
    then(&mut manifest);
    manifest.store(storage, &dir).unwrap();
    let (path, what) = check(&env).expect_err("it is not found");
    assert!(path.starts_with(&dir), "{}", path.display());
    what
}

fn numbers(array: &ArrayRef) -> Vec<u64> {
    array.as_any().downcast_ref::<UInt64Array>().unwrap().values().to_vec()
}

#[test]
fn an_altered_value_is_found_though_every_checksum_fits() {
    let what = altered(|_, fields, _| {
        let field = fields.iter_mut().find(|(name, ..)| &**name == "n").unwrap();
        let mut values: Vec<i64> = field.1.array.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
        values[7] += 1;
        field.1.array = Arc::new(Int64Array::from(values));
    });
    assert!(what.contains("its field \"n\" is not what the journal says"), "{what}");
    let what = altered(|_, fields, _| {
        let field = fields.iter_mut().find(|(name, ..)| &**name == "maybe").unwrap();
        // A null becomes MISSING.
        field.1.nulls = field.1.nulls[1..].into();
    });
    assert!(what.contains("its field \"maybe\" is not what the journal says"), "{what}");
}

#[test]
fn altered_metadata_is_found_though_every_checksum_fits() {
    for meta in [Meta::Version, Meta::Block] {
        let what = altered(|metas, _, _| {
            let mut numbers = numbers(&metas[meta as usize]);
            numbers[3] += 1;
            metas[meta as usize] = Arc::new(UInt64Array::from(numbers));
        });
        assert!(what.contains("its metadata is not what the journal says"), "{what}");
    }
    let what = altered(|metas, _, _| {
        let presence = &metas[Meta::Presence as usize];
        let mut values = presence.as_any().downcast_ref::<UInt8Array>().unwrap().values().to_vec();
        values[0] = 2;
        metas[Meta::Presence as usize] = Arc::new(UInt8Array::from(values));
    });
    assert!(what.contains("its metadata is not what the journal says"), "{what}");
    let what = altered(|metas, _, _| {
        let ids = metas[Meta::DocumentId as usize].clone();
        let mut order: Vec<u64> = (0..ids.len() as u64).collect();
        order.swap(0, 1);
        metas[Meta::DocumentId as usize] = take(&*ids, &UInt64Array::from(order), None).unwrap();
    });
    assert!(what.contains("its metadata is not what the journal says"), "{what}");
}

#[test]
fn a_row_too_few_or_elsewhere_is_found_though_every_checksum_fits() {
    let what = altered(|metas, fields, successors| {
        // All but the second row.
        let rows: UInt64Array = (0..metas[0].len() as u64).filter(|row| *row != 1).collect();
        metas.iter_mut().for_each(|array| *array = take(&**array, &rows, None).unwrap());
        for (_, column, _) in fields {
            column.array = take(&*column.array, &rows, None).unwrap();
            column.nulls = column.nulls.iter().filter(|row| **row != 1).map(|row| row - u32::from(*row > 1)).collect();
        }
        successors.remove(1);
    });
    assert!(what.contains("the journal has a revision there, the file has none"), "{what}");
    let what = altered(|metas, _, _| {
        let mut positions = numbers(&metas[0]);
        let last = positions.len() - 1;
        positions[last] += 1;
        metas[0] = Arc::new(UInt64Array::from(positions));
    });
    assert!(what.contains("position"), "{what}");
}

#[test]
fn an_altered_successor_is_found_though_every_checksum_fits() {
    for change in [|successor: u64| successor + 1, |_| NONE] {
        let what = altered(|_, _, successors| {
            let row = successors.iter().position(|successor| *successor != NONE).unwrap();
            successors[row] = change(successors[row]);
        });
        assert!(what.contains("its successor is another one in the journal"), "{what}");
    }
    // Two that are exchanged have the same sum of positions.
    let what = altered(|_, _, successors| successors.swap(4, 5));
    assert!(what.contains("its successor is another one in the journal"), "{what}");
}

#[test]
fn an_altered_manifest_is_found_though_its_checksum_fits() {
    let manifest = |change: fn(&mut Manifest)| altered_with(|_, _, _| (), change);
    let what = manifest(|manifest| drop(manifest.segments.remove(1)));
    assert!(what.contains("is in no segment"), "{what}");
    let what = manifest(|manifest| {
        let other = manifest.segments[1].0.table;
        manifest.segments[0].0.table = other;
    });
    assert!(what.contains("segments contradict each other") || what.contains("is in no segment"), "{what}");
    let what = manifest(|manifest| manifest.segments[0].0.times_ms.1 += 1);
    assert!(what.contains("its times are not those"), "{what}");
    let what = manifest(|manifest| {
        let field = manifest.segments[0].0.fields.iter_mut().find(|field| &*field.name == "at").unwrap();
        // Times of three digits are not written without trailing zeros.
        assert_eq!(field.form, Form::Time(8));
        field.form = Form::Time(12);
    });
    assert!(what.contains("\"at\" has values of another form"), "{what}");
    let what = manifest(|manifest| manifest.leaf.0[0] ^= 1);
    assert!(what.contains("the journal has another history"), "{what}");
    let what = manifest(|manifest| manifest.position += 1000);
    assert!(what.contains("it knows more of the journal than there is"), "{what}");
}

#[test]
fn a_field_that_no_column_is_of_must_be_said() {
    let what = altered(|_, fields, _| drop(fields.pop()));
    assert!(what.contains("has a field that no column is of"), "{what}");
}
