//! An export carries what is needed to verify it, and whatever is changed in it is found.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use ledgerstone_digest::block::{OriginInfo, RedactedRevision, RedactionInfo, StatementInfo, StatementText};
use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::ion::{Limits, Value, decode, ion_hash, parse};
use ledgerstone_digest::redaction::RedactionRecord;
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::{Hash, Id};
use ledgerstone_journal::{
    BlockEnds, CommitError, Committed, Ledger, NewRevision, OpenOptions, Publish, PublishedBlock, Sequence,
    StoredBlock, Transaction,
};
use ledgerstone_query::database::Database;
use ledgerstone_query::export::manifest::{Manifest, Scope};
use ledgerstone_query::export::{
    ExportError, ExportOptions, ExportProblem, Source, VerifyExportOptions, export, verify_export,
};
use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::Dialect;
use ledgerstone_query::transaction::View;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use crate::import::{TARGET, import_from, instance_options, qldb_ledger, write_export};
use crate::support::{Memory, field, key, open_instance, session, table, told};

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
                    "{{n: {i}, fine: {i}.{:02}, owner: {owner}, flag: {}, ratio: {i}e-1, name: \"N{i}\", born: 2001-02-03T, \
                     seen: 2020-01-02T03:04:05.678Z, photo: {{{{aGVsbG8=}}}}, mixed: {}}}",
                    i % 100,
                    i % 3 == 0,
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
    let options = VerifyExportOptions { keys: KeyChain::new(memory.database.ledger().vkey()), kept: None };
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
fn a_redaction_waits_for_an_export_that_has_begun() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    told(&mut sql, "CREATE TABLE t (id int PRIMARY KEY, secret text)").unwrap();
    told(&mut sql, "INSERT INTO t VALUES (1, 'before')").unwrap();
    told(&mut sql, "UPDATE t SET secret = 'after'").unwrap();
    let database = instance.ledger("main").unwrap();
    let row =
        told(&mut sql, "SELECT _ql_block::text || ' ' || _ql_id FROM history(t) AS h WHERE _ql_version = 0").unwrap();
    let row = row[0].replace('"', "");
    let (block, document) = row.split_once(' ').unwrap();
    let (strand, id) = (database.ledger().strand(), database.catalogue().table("t").unwrap().id);
    let redact =
        format!("EXEC REDACT_REVISION '{{strandId: \"{strand}\", sequenceNo: {block}}}', '{id}', '{document}'");
    let (done, path) = (Arc::new(AtomicBool::new(false)), folder("redacted-meanwhile"));
    let (mut redacting, told_done) = (Some((sql, redact)), done.clone());
    let mut redaction = None;
    export(&*database, &path, &ExportOptions::default(), &mut |_| {
        if let Some((mut sql, redact)) = redacting.take() {
            let done = told_done.clone();
            redaction = Some(std::thread::spawn(move || {
                told(&mut sql, &redact).unwrap();
                done.store(true, Ordering::Release);
            }));
            // Time enough for it, if nothing kept it.
            let until = Instant::now() + Duration::from_secs(1);
            while !told_done.load(Ordering::Acquire) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        true
    })
    .unwrap();
    redaction.unwrap().join().unwrap();
    assert!(done.load(Ordering::Acquire));
    let options = VerifyExportOptions { keys: KeyChain::new(database.ledger().vkey()), kept: None };
    assert_eq!(verify_export(&path, &options, &mut |_| {}).unwrap().redacted, 0);
    std::fs::remove_dir_all(&path).unwrap();
    export(&*database, &path, &ExportOptions::default(), &mut |_| true).unwrap();
    assert_eq!(verify_export(&path, &options, &mut |_| {}).unwrap().redacted, 1);
    std::fs::remove_dir_all(path).unwrap();
}

/// A batch in which the document of a row has given way to its hash.
fn without_data(batch: &RecordBatch, row: usize) -> RecordBatch {
    let at = |name: &str| batch.schema().index_of(name).unwrap();
    let ion = batch.column(at("_ql_ion")).as_any().downcast_ref::<BinaryArray>().unwrap().value(row);
    let hash = ion_hash(&decode(ion, &Limits::DOCUMENT).unwrap()).0;
    let order: Vec<Option<u32>> = (0..batch.num_rows() as u32).map(|n| Some(n).filter(|n| *n != row as u32)).collect();
    let order = UInt32Array::from(order);
    let mut columns = batch.columns().to_vec();
    for column in &mut columns[at("_ql_ion")..] {
        *column = take(column, &order, None).unwrap();
    }
    let hashes = columns[at("_ql_data_hash")].as_any().downcast_ref::<FixedSizeBinaryArray>().unwrap();
    let hashes = hashes.iter().enumerate().map(|(n, old)| if n == row { Some(&hash[..]) } else { old });
    columns[at("_ql_data_hash")] = Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(hashes, 32).unwrap());
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn data_that_was_taken_out_of_an_export_of_an_imported_ledger_is_missed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_export(from.path(), &qldb_ledger().values());
    import_from(to.path(), from.path(), None).unwrap();
    let instance = Instance::open(instance_options(to.path())).unwrap();
    let database = instance.ledger(TARGET).unwrap();
    let path = folder("imported");
    let manifest = export(&*database, &path, &ExportOptions::default(), &mut |_| true).unwrap();
    let options = VerifyExportOptions { keys: KeyChain::new(database.ledger().vkey()), kept: None };
    let check = || verify_export(&path, &options, &mut |_| {});
    assert_eq!(check().unwrap().withheld, 0);
    for table in manifest.tables.iter().filter(|table| table.rows > 0) {
        let file = path.join(&table.files[0].path);
        let (whole, batch) = (std::fs::read(&file).unwrap(), read_batch(&file));
        forge_table(&path, &manifest, &table.name, &without_data(&batch, 0), None);
        match check() {
            Ok(found) => assert_eq!((table.system, found.withheld), (false, 1), "{}", table.name),
            Err(problem) => assert!(table.system && problem.is_false(), "{}: {problem}", table.name),
        }
        std::fs::write(&file, &whole).unwrap();
    }
    std::fs::remove_dir_all(path).unwrap();
}

/// A ledger in which something happens just when an export has its checkpoint.
struct Changing<'a> {
    database: &'a Database,
    change: Cell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Source for Changing<'_> {
    fn genesis_record(&self) -> Result<Vec<u8>, ExportError> {
        self.database.genesis_record()
    }

    fn genesis_leaf(&self) -> Result<Vec<u8>, ExportError> {
        self.database.genesis_leaf()
    }

    fn checkpoint(&self) -> Result<String, ExportError> {
        let note = self.database.checkpoint();
        self.change.take().into_iter().for_each(|change| change());
        note
    }

    fn block(&self, number: u64) -> Result<(StoredBlock, Vec<Vec<u8>>), ExportError> {
        self.database.block(number)
    }

    fn tables(&self) -> Vec<(Id, String)> {
        self.database.tables()
    }
}

#[test]
fn tables_are_called_what_they_were_called_at_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    let database = instance.ledger("main").unwrap();
    let options = VerifyExportOptions { keys: KeyChain::new(database.ledger().vkey()), kept: None };
    for (round, by_id) in [None, Some(false), Some(true)].into_iter().enumerate() {
        told(&mut sql, &format!("CREATE TABLE before_{round} (id int PRIMARY KEY)")).unwrap();
        told(&mut sql, &format!("INSERT INTO before_{round} VALUES (1)")).unwrap();
        let (before, path) = (format!("before_{round}"), folder(&format!("renamed-{round}")));
        let id = database.catalogue().table(&before).unwrap().id;
        let asked = by_id.map(|by_id| if by_id { id.to_string() } else { before.clone() });
        let change = || {
            told(&mut sql, &format!("ALTER TABLE before_{round} RENAME TO after_{round}")).unwrap();
            told(&mut sql, &format!("CREATE TABLE new_{round} (id int PRIMARY KEY)")).unwrap();
        };
        let source = Changing { database: &database, change: Cell::new(Some(Box::new(change))) };
        let tables = asked.into_iter().collect();
        let manifest =
            export(&source, &path, &ExportOptions { tables, ..ExportOptions::default() }, &mut |_| true).unwrap();
        drop(source);
        let table = manifest.tables.iter().find(|table| table.id == id.to_string()).unwrap();
        assert_eq!((&*table.name, table.rows), (&*before, 1));
        assert!(manifest.tables.iter().all(|table| table.name != format!("new_{round}")));
        verify_export(&path, &options, &mut |_| {}).unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }
    let tables = vec!["before_0".to_owned()];
    let gone = export(&*database, &folder("gone"), &ExportOptions { tables, ..ExportOptions::default() }, &mut |_| {
        panic!("nothing is read for a table that is not there")
    });
    assert!(matches!(gone, Err(ExportError::NoTable(name)) if name == "before_0"));
}

/// A server that checks nothing.
struct Liar;

impl Sequence for Liar {
    fn validate(&mut self, _: &mut Transaction) -> Result<(), CommitError> {
        Ok(())
    }

    fn sequenced(&mut self, _: &Transaction, _: &Committed) {}

    fn dropped(&mut self) {}
}

impl Publish for Liar {
    fn publish(&mut self, _: PublishedBlock, _: &dyn BlockEnds) {}
}

#[test]
fn a_record_of_a_redaction_that_names_no_revision_makes_an_export_false() {
    for (version, holds) in [(0, true), (7, false)] {
        let mut memory = sample();
        let ledger = memory.database.ledger();
        let table_id = memory.database.catalogue().table("vehicle").unwrap().id;
        let (block, document_id) = (0..ledger.snapshot())
            .filter_map(|position| ledger.read_revision(position).ok())
            .find(|revision| revision.table_id == table_id)
            .map(|revision| (revision.block, revision.document_id))
            .unwrap();
        let strand = ledger.strand();
        let record = RedactionRecord { block, table_id, document_id, version, user: "clerk".into() };
        let revision = NewRevision {
            table_id: Id::REDACTIONS,
            document_id: Id([0x77; 16]),
            version: 0,
            supersedes: None,
            data: Some(Arc::new(record.to_value()).into()),
            data_hash: None,
            salt: None,
            listed: None,
        };
        let target = RedactedRevision { strand, sequence_no: block, table_id, document_id, version };
        let statement = StatementInfo {
            text: StatementText::Text("EXEC REDACT_REVISION …".into()),
            start_time_ms: 0,
            digest: Hash([3; 32]),
        };
        let lie = Transaction {
            rotation: None,
            imported: None,
            id: Id([0x78; 16]),
            statements: vec![statement],
            revisions: vec![revision],
            origin: OriginInfo { user: "clerk".into(), door: "embedded".into(), client_token: None, signature: None },
            redaction: Some(RedactionInfo { revisions: vec![target] }),
            payload: Box::new(()),
        };
        // Past all checks, as a server that lies would; the data that the record names stays where it is.
        memory.reopen_after(|env| {
            let recovered = Ledger::open(env, Path::new("/data/main"), OpenOptions::new(key())).unwrap();
            let ledger = recovered.start(Box::new(Liar), Box::new(Liar));
            ledger.submit(lie).wait().unwrap();
            ledger.close().unwrap();
        });
        let (path, _) = exported(&memory, &format!("record-{version}"), Scope::Current);
        match verified(&memory, &path) {
            Ok(_) => assert!(holds, "version {version}"),
            Err(problem) => {
                assert!(problem.is_false() && !holds, "version {version}: {problem}");
                assert!(problem.to_string().contains("no such revision"), "{problem}");
            }
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn a_changed_byte_anywhere_in_an_export_is_found() {
    let memory = sample();
    let (path, _) = exported(&memory, "bytes", Scope::History);
    let mut files = Vec::new();
    collect(&path, &mut files);
    for file in files {
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
    let options = VerifyExportOptions { keys: KeyChain::new(stranger.verifier().clone()), kept: None };
    let problem = verify_export(&path, &options, &mut |_| {}).unwrap_err();
    assert!(problem.is_false(), "{problem}");

    // A checkpoint of the same ledger id with another past.
    let fork = Memory::new(6);
    fork.create_schemaless("vehicle");
    let note = fork.database.ledger().checkpoint().unwrap().note;
    let kept = UnverifiedCheckpoint::parse(&note).unwrap().verify(&fork.database.ledger().vkey()).unwrap();
    let options = VerifyExportOptions { keys: KeyChain::new(memory.database.ledger().vkey()), kept: Some(kept) };
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

#[test]
fn each_kind_of_typed_column_and_each_column_of_metadata_edited_is_found() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "columns", Scope::History);
    let vehicle = manifest.tables.iter().find(|t| t.name == "vehicle").unwrap();
    let kinds: std::collections::HashSet<String> =
        vehicle.columns.iter().map(|c| format!("{:?}", c.kind).split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(kinds.len(), 9, "the sample has every kind: {kinds:?}");
    let file = path.join(&vehicle.files[0].path);
    let (whole, batch) = (std::fs::read(&file).unwrap(), read_batch(&file));
    forge(&path, &manifest, &batch, None);
    verified(&memory, &path).unwrap();
    // Columns of rows 3 and 4 exchanged, or nulled where the schema allows it.
    for (at, field) in batch.schema().fields().iter().enumerate() {
        let nulls = batch.schema().field(at).is_nullable() && batch.column(at).is_valid(3);
        for swap in [true, false] {
            let mut order: Vec<Option<u32>> = (0..batch.num_rows() as u32).map(Some).collect();
            if swap {
                order.swap(3, 7)
            } else {
                order[3] = None
            }
            let taken = take(batch.column(at), &UInt32Array::from(order), None).unwrap();
            if (swap && taken.as_ref() == batch.column(at).as_ref()) || (!swap && !nulls) {
                continue;
            }
            let mut columns = batch.columns().to_vec();
            columns[at] = taken;
            forge(&path, &manifest, &RecordBatch::try_new(batch.schema(), columns).unwrap(), None);
            let problem = verified(&memory, &path).expect_err(field.name());
            assert!(problem.is_false(), "{} {swap}: {problem}", field.name());
        }
    }
    std::fs::write(&file, &whole).unwrap();
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_column_under_another_fields_name_or_type_is_found() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "renamed", Scope::History);
    let problem_with = |change: &dyn Fn(&mut Manifest)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        std::fs::write(path.join("manifest.json"), serde_json::to_vec(&changed).unwrap()).unwrap();
        verified(&memory, &path).unwrap_err()
    };
    let vehicle = manifest.tables.iter().position(|t| t.name == "vehicle").unwrap();
    let column = |m: &Manifest, name: &str| m.tables[vehicle].columns.iter().position(|c| c.column == name).unwrap();
    let (n, fine) = (column(&manifest, "n"), column(&manifest, "fine"));
    let swapped = problem_with(&|m| {
        let columns = &mut m.tables[vehicle].columns;
        let path = columns[n].path.clone();
        columns[n].path = std::mem::replace(&mut columns[fine].path, path);
    });
    assert!(swapped.is_false() && swapped.to_string().contains("is of the field"), "{swapped}");
    let twice = problem_with(&|m| {
        let columns = &mut m.tables[vehicle].columns;
        columns[n].path = columns[fine].path.clone();
    });
    assert!(twice.is_false(), "{twice}");
    for file in ["../other.parquet", "/etc/hostname", "tables/other.parquet"] {
        assert!(problem_with(&|m| m.tables[vehicle].files[0].path = file.into()).is_false(), "{file}");
    }
    std::fs::remove_dir_all(path).unwrap();
}

/// A reader who finds a member that no verifier looked at might believe that it was verified.
#[test]
fn a_member_of_the_manifest_that_the_format_does_not_have_is_refused() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "members", Scope::History);
    let manifest = serde_json::to_value(&manifest).unwrap();
    let outcome_with = |at: &str, member: &str, value: serde_json::Value| {
        let mut changed = manifest.clone();
        changed.pointer_mut(at).and_then(|part| part.as_object_mut()).expect(at).insert(member.into(), value);
        std::fs::write(path.join("manifest.json"), changed.to_string()).unwrap();
        verified(&memory, &path)
    };
    outcome_with("", "size", manifest["size"].clone()).unwrap();
    let vehicle = manifest["tables"].as_array().unwrap().iter().position(|t| t["name"] == "vehicle").unwrap();
    let table = format!("/tables/{vehicle}");
    for part in ["", &table, &format!("{table}/columns/0"), &format!("{table}/files/0"), "/files/0"] {
        let problem = outcome_with(part, "audited", true.into()).unwrap_err().to_string();
        assert!(problem.contains("manifest.json") && problem.contains("audited"), "{part}: {problem}");
    }
    let later = outcome_with("", "format", 2.into()).unwrap_err().to_string();
    assert!(later.contains("format 2"), "{later}");
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_type_that_cannot_hold_the_values_is_not_passed_off_as_null() {
    use arrow::array::Int64Array;
    let memory = sample();
    let (path, manifest) = exported(&memory, "narrow", Scope::History);
    let vehicle = manifest.tables.iter().position(|t| t.name == "vehicle").unwrap();
    let mut changed = manifest.clone();
    // Every "fine" becomes null under a column of integers: a sum over it would be nothing.
    let at = changed.tables[vehicle].columns.iter().position(|c| c.column == "fine").unwrap();
    changed.tables[vehicle].columns[at].kind = ledgerstone_query::export::columns::ColumnKind::Int;
    let batch = read_batch(&path.join(&manifest.tables[vehicle].files[0].path));
    let number = batch.schema().index_of("fine").unwrap();
    let mut fields: Vec<_> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields[number] = arrow::datatypes::Field::new("fine", arrow::datatypes::DataType::Int64, true);
    let mut columns = batch.columns().to_vec();
    columns[number] = std::sync::Arc::new(Int64Array::from(vec![None::<i64>; batch.num_rows()]));
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
    forge(&path, &changed, &RecordBatch::try_new(schema, columns).unwrap(), None);
    let problem = verified(&memory, &path).unwrap_err();
    assert!(problem.is_false() && problem.to_string().contains("cannot hold"), "{problem}");
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn statistics_that_would_make_readers_skip_rows_are_found() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "statistics", Scope::History);
    let vehicle = manifest.tables.iter().find(|t| t.name == "vehicle").unwrap();
    let file = path.join(&vehicle.files[0].path);
    let batch = read_batch(&file);
    let whole = std::fs::read(&file).unwrap();
    // The greatest value of a typed column of integers, as 8 bytes in the footer, made smaller.
    let at = batch.schema().index_of("n").unwrap();
    let metadata = ArrowReaderMetadata::load(&std::fs::File::open(&file).unwrap(), Default::default()).unwrap();
    let said = metadata.metadata().row_group(0).column(at).statistics().unwrap().max_bytes_opt().unwrap().to_vec();
    let footer =
        whole.len() - 8 - u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    let places: Vec<usize> = (footer..whole.len() - 8).filter(|at| whole[*at..].starts_with(&said)).collect();
    assert!(!places.is_empty());
    let mut changed = whole.clone();
    for place in places {
        changed[place] -= 1;
    }
    std::fs::write(&file, &changed).unwrap();
    fit(&path, &manifest, "vehicle", batch.num_rows());
    let problem = verified(&memory, &path).unwrap_err();
    assert!(problem.is_false() && problem.to_string().contains("statistics"), "{problem}");
    // Indexes of pages and hints for readers are not looked at, so they must not be there.
    forge(&path, &manifest, &batch, Some(WriterProperties::builder().build()));
    assert!(verified(&memory, &path).is_err_and(|p| !p.is_false()));
    let hint = parquet::file::metadata::KeyValue::new("pandas".to_owned(), "{}".to_owned());
    forge(&path, &manifest, &batch, Some(plain().set_key_value_metadata(Some(vec![hint])).build()));
    assert!(verified(&memory, &path).is_err_and(|p| !p.is_false()));
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_file_that_the_export_does_not_have_is_found() {
    let memory = sample();
    let (path, manifest) = exported(&memory, "stray", Scope::History);
    let first = path.join(&manifest.tables.iter().find(|t| t.name == "vehicle").unwrap().files[0].path);
    for name in ["tables/copy.parquet", "notes.txt", "tile/0/x001/000"] {
        let stray = path.join(name);
        std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
        std::fs::copy(&first, &stray).unwrap();
        let problem = verified(&memory, &path).unwrap_err();
        assert!(problem.is_false() && problem.to_string().contains(name), "{name}: {problem}");
        std::fs::remove_file(&stray).unwrap();
    }
    verified(&memory, &path).unwrap();
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn what_a_killed_export_left_is_removed_by_the_next_one() {
    let memory = sample();
    let path = folder("abandoned");
    let sibling =
        |suffix: &str| path.with_file_name(format!("{}{suffix}", path.file_name().unwrap().to_string_lossy()));
    // No process has this number; the second one is alive; the third is not of an export.
    let (dead, alive, other) = (
        sibling(&format!(".partial-{}-0", u32::MAX)),
        sibling(&format!(".partial-{}-999999", std::process::id())),
        sibling(".partial-x"),
    );
    [&dead, &alive, &other].into_iter().for_each(|path| std::fs::create_dir_all(path.join("tables")).unwrap());
    export(&*memory.database, &path, &ExportOptions::default(), &mut |_| true).unwrap();
    assert_eq!([dead.exists(), alive.exists(), other.exists()], [!cfg!(target_os = "linux"), true, true]);
    verified(&memory, &path).unwrap();
    [path, alive, other].iter().for_each(|path| std::fs::remove_dir_all(path).unwrap());
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
    use arrow::array::Int64Array;
    let table = manifest.tables.iter().find(|t| t.name == "vehicle").unwrap();
    let batch = read_batch(&path.join(&table.files[0].path));
    let mut order: Vec<usize> = (0..batch.num_rows()).collect();
    edit(&mut order);
    let order = UInt32Array::from_iter_values(order.into_iter().map(|i| i as u32));
    let mut columns: Vec<ArrayRef> = batch.columns().iter().map(|c| take(c, &order, None).unwrap()).collect();
    if let Some(name) = column {
        let at = batch.schema().index_of(name).unwrap();
        let old: &Int64Array = columns[at].as_any().downcast_ref().unwrap();
        columns[at] = std::sync::Arc::new(old.iter().map(|v| v.map(|v| v + i64::from(v == 3))).collect::<Int64Array>());
    }
    forge(path, manifest, &RecordBatch::try_new(batch.schema(), columns).unwrap(), None);
}

fn read_batch(file: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap());
    let batches: Vec<RecordBatch> =
        reader.unwrap().with_batch_size(1 << 16).build().unwrap().collect::<Result<_, _>>().unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// As exports are written.
fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_statistics_enabled(EnabledStatistics::Chunk).set_offset_index_disabled(true)
}

/// Writes these rows as the first file of the vehicles, and a manifest that fits.
fn forge(path: &Path, manifest: &Manifest, batch: &RecordBatch, properties: Option<WriterProperties>) {
    forge_table(path, manifest, "vehicle", batch, properties);
}

fn forge_table(
    path: &Path,
    manifest: &Manifest,
    name: &str,
    batch: &RecordBatch,
    properties: Option<WriterProperties>,
) {
    let table = manifest.tables.iter().find(|t| t.name == name).unwrap();
    let out = std::fs::File::create(path.join(&table.files[0].path)).unwrap();
    let properties = properties.unwrap_or_else(|| plain().build());
    let mut writer = parquet::arrow::ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    fit(path, manifest, name, batch.num_rows());
}

/// Makes the manifest fit the first file of a table.
fn fit(path: &Path, manifest: &Manifest, name: &str, rows: usize) {
    let mut manifest = manifest.clone();
    let table = manifest.tables.iter_mut().find(|t| t.name == name).unwrap();
    let bytes = std::fs::read(path.join(&table.files[0].path)).unwrap();
    table.rows = table.rows + rows as u64 - table.files[0].rows;
    table.files[0].rows = rows as u64;
    table.files[0].bytes = bytes.len() as u64;
    table.files[0].sha256 = ledgerstone_digest::Hash::sha256(&[&bytes]).to_string();
    std::fs::write(path.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
}
