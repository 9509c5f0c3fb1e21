//! An export carries what is needed to verify it, and whatever is changed in it is found.

use std::path::{Path, PathBuf};

use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::ion::{Limits, Value, parse};
use ledgerstone_query::export::manifest::{Manifest, Scope};
use ledgerstone_query::export::{ExportOptions, ExportProblem, VerifyExportOptions, export, verify_export};
use ledgerstone_query::transaction::View;

use crate::support::{Memory, field, table};

fn ion(text: &str) -> Value {
    parse(text, &Limits::DOCUMENT).unwrap()
}

/// A ledger with two tables, changes, a deletion and mixed types.
fn sample() -> Memory {
    let memory = Memory::new(5);
    memory.create_schemaless("vehicle");
    memory.create_schemaless("other");
    for i in 0..300 {
        memory.run(|tx| {
            tx.begin_statement("INSERT …", &[]).unwrap();
            let t = table(tx, "vehicle");
            let owner = format!("{{Person: \"P{i}\", since: 2020-01-02T}}");
            tx.insert(
                &t,
                ion(&format!(
                    "{{n: {i}, fine: {i}.{:02}, owner: {owner}, mixed: {}}}",
                    i % 100,
                    if i % 2 == 0 { "1" } else { "a" }
                )),
            )
            .unwrap();
        });
    }
    memory.run(|tx| {
        tx.begin_statement("UPDATE …", &[]).unwrap();
        let t = table(tx, "vehicle");
        let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().collect::<Result<_, _>>().unwrap();
        for doc in docs {
            match field(&doc, "n").as_i64().unwrap() {
                n if n % 10 == 0 => drop(tx.replace(&t, &doc, ion(&format!("{{n: {n}, fine: 0.00}}"))).unwrap()),
                n if n % 10 == 1 => tx.delete(&t, &doc).unwrap(),
                _ => {}
            }
        }
    });
    memory
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ledgerstone-export-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn exported(memory: &Memory, name: &str, scope: Scope) -> (PathBuf, Manifest) {
    let path = folder(name);
    let options = ExportOptions { scope, group_rows_max: 100, file_rows_max: 150, ..ExportOptions::default() };
    let manifest = export(&*memory.database, &path, &options, &mut |_| true).unwrap();
    (path, manifest)
}

fn verified(memory: &Memory, path: &Path) -> Result<ledgerstone_query::export::ExportReport, ExportProblem> {
    let options = VerifyExportOptions { key: memory.database.ledger().vkey().clone(), kept: None };
    verify_export(path, &options, &mut |_| {})
}

#[test]
fn history_export_verifies_and_has_every_revision() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "history", Scope::History);
    let report = verified(&memory, &path).unwrap();
    let vehicle = manifest.tables.iter().find(|t| t.name == "vehicle").unwrap();
    assert_eq!((vehicle.rows, vehicle.files.len()), (360, 3));
    assert_eq!((report.deleted, report.tables, report.redacted), (30, 2, 0));
    assert_eq!(report.leaves, memory.database.snapshot());
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn current_export_verifies_and_has_current_revisions_only() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "current", Scope::Current);
    verified(&memory, &path).unwrap();
    let vehicle = manifest.tables.iter().find(|t| t.name == "vehicle").unwrap();
    assert_eq!(vehicle.rows, 270);
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_changed_byte_anywhere_in_an_export_is_found() {
    let memory = sample();
    let (path, _) = exported(&memory, "bytes", Scope::History);
    let mut files = Vec::new();
    collect(&path, &mut files);
    for file in files {
        // Tiles of hashes are a convenience for other tools; the verifier makes its own.
        if file.strip_prefix(&path).unwrap().starts_with("tile") && !file.to_string_lossy().contains("entries") {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            assert!(verified(&memory, &path).is_err(), "{} byte {at}", file.display());
        }
        std::fs::write(&file, &bytes).unwrap();
    }
    verified(&memory, &path).unwrap();
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn another_ledgers_key_or_a_rewritten_history_does_not_pass() {
    let memory = sample();
    let (path, _) = exported(&memory, "key", Scope::History);
    let stranger =
        ledgerstone_digest::note::SigningKey::from_seed(memory.database.ledger().origin(), &[8; 32]).unwrap();
    let options = VerifyExportOptions { key: stranger.verifier().clone(), kept: None };
    let problem = verify_export(&path, &options, &mut |_| {}).unwrap_err();
    assert!(problem.is_false(), "{problem}");

    // A checkpoint of the same ledger id with another past.
    let fork = Memory::new(6);
    fork.create_schemaless("vehicle");
    let note = fork.database.ledger().checkpoint().unwrap().note;
    let kept = UnverifiedCheckpoint::parse(&note).unwrap().verify(fork.database.ledger().vkey()).unwrap();
    let options = VerifyExportOptions { key: memory.database.ledger().vkey().clone(), kept: Some(kept) };
    let problem = verify_export(&path, &options, &mut |_| {}).unwrap_err();
    assert!(problem.to_string().contains("rewritten"), "{problem}");
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_row_dropped_doubled_moved_or_edited_is_named_even_under_a_new_manifest() {
    let memory = sample();
    for (name, edit) in [
        (
            "dropped",
            (|rows: &mut Vec<usize>| {
                rows.remove(7);
            }) as fn(&mut Vec<usize>),
        ),
        ("doubled", |rows| rows.insert(8, 7)),
        ("moved", |rows| rows.swap(7, 8)),
    ] {
        let (path, manifest) = exported(&memory, name, Scope::History);
        rewrite(&path, &manifest, &edit, None);
        let problem = verified(&memory, &path).unwrap_err();
        assert!(problem.is_false() && problem.to_string().contains("position"), "{name}: {problem}");
        std::fs::remove_dir_all(path).unwrap();
    }
    let (path, manifest) = exported(&memory, "edited", Scope::History);
    rewrite(&path, &manifest, &|_| {}, Some("n"));
    let problem = verified(&memory, &path).unwrap_err();
    assert!(problem.to_string().contains("column n says"), "{problem}");
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn an_interrupted_export_leaves_nothing_under_the_final_name() {
    let memory = sample();
    let path = folder("interrupted");
    let mut steps = 0;
    let stopped = export(&*memory.database, &path, &ExportOptions::default(), &mut |_| {
        steps += 1;
        steps < 200
    });
    assert!(stopped.is_err() && !path.exists());
    let parent = path.parent().unwrap();
    let name = path.file_name().unwrap().to_string_lossy().to_string();
    let left = std::fs::read_dir(parent).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().starts_with(&name));
    assert!(!left, "the partial directory was removed");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Writes the first Parquet file of the vehicles again with other rows, or with a typed column edited, and gives it a
/// manifest that fits: what a careful forger would do.
fn rewrite(path: &Path, manifest: &Manifest, edit: &dyn Fn(&mut Vec<usize>), column: Option<&str>) {
    use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
    let mut manifest = manifest.clone();
    let table = manifest.tables.iter_mut().find(|t| t.name == "vehicle").unwrap();
    let file = path.join(&table.files[0].path);
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file).unwrap());
    let batch = reader.unwrap().with_batch_size(1 << 16).build().unwrap().next().unwrap().unwrap();
    let mut order: Vec<usize> = (0..batch.num_rows()).collect();
    edit(&mut order);
    let order = UInt32Array::from_iter_values(order.into_iter().map(|i| i as u32));
    let mut columns: Vec<ArrayRef> =
        batch.columns().iter().map(|c| arrow::compute::take(c, &order, None).unwrap()).collect();
    if let Some(name) = column {
        let at = batch.schema().index_of(name).unwrap();
        let old: &Int64Array = columns[at].as_any().downcast_ref().unwrap();
        columns[at] = std::sync::Arc::new(old.iter().map(|v| v.map(|v| v + i64::from(v == 3))).collect::<Int64Array>());
    }
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let out = std::fs::File::create(&file).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(out, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    table.rows = table.rows + batch.num_rows() as u64 - table.files[0].rows;
    table.files[0].rows = batch.num_rows() as u64;
    table.files[0].bytes = bytes.len() as u64;
    table.files[0].sha256 = ledgerstone_digest::Hash::sha256(&[&bytes]).to_string();
    std::fs::write(path.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
}
