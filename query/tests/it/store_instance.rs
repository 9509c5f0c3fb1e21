//! Many ledgers in one directory: made, listed, protected, dropped, opened again.

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Env;
use ledgerstone_journal::env::ManualClock;
use ledgerstone_journal::qldb::export::{JournalExport, TimeRange};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::database::Database;
use ledgerstone_query::error::SqlState;
use ledgerstone_query::instance::{ExportJob, ExportState, Instance, InstanceOptions, LISTED_MS};
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{create_table, instance_options, open_instance, open_instance_in, record, table};

fn write(database: &Arc<Database>, n: i64) {
    let mut tx = Transaction::begin(database, false);
    if tx.table("t").unwrap().is_none() {
        ddl::apply(&mut tx, &create_table("t", &[]), Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql))
            .unwrap();
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
    // A crash may leave a dropped ledger under its last name; another one of that name can be dropped all the same.
    let left = dir.path().join("data/.other_1.dropped");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("journal"), "left").unwrap();
    instance.drop_ledger("other_1").unwrap();
    assert!(!left.exists());
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
    assert!(instance.is_served("main") && !instance.is_served("broken"));
    let error = instance.ledger("broken").err().unwrap();
    assert!(error.message.contains(".seg"), "{error}");
    instance.drop_ledger("broken").unwrap();
}

#[test]
fn a_ledgers_own_directory_is_not_taken_for_a_servers_data() {
    let dir = tempfile::tempdir().unwrap();
    open_instance(dir.path()).unwrap().close().unwrap();
    let data = dir.path().join("data");
    let options = InstanceOptions { data: data.join("main"), ..instance_options(Env::production(), dir.path()) };
    let error = Instance::open(options).err().unwrap();
    assert!(error.message.contains("the directory of one ledger"), "{error}");
    assert_eq!(error.hint, Some(format!("Give the directory above it: --data {}", data.display())));
    open_instance(dir.path()).unwrap().close().unwrap();
}

#[test]
fn what_is_kept_of_streams_goes_with_their_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let names = |ledger: &str| -> Vec<(String, Vec<u8>)> {
        let files = instance.stream_files(ledger).unwrap();
        files.into_iter().map(|(name, bytes)| (name, bytes.unwrap())).collect()
    };
    let (first, second) = (Id([1; 16]), Id([2; 16]));
    let database = instance.create_ledger("streamed", false).unwrap();
    assert_eq!(names("streamed"), []);
    instance.write_stream_file(&database, first, b"old").unwrap();
    instance.write_stream_file(&database, second, b"2").unwrap();
    instance.write_stream_file(&database, first, b"1").unwrap();
    let kept = |id: Id, text: &str| (id.to_string(), text.as_bytes().to_vec());
    assert_eq!(names("streamed"), [kept(first, "1"), kept(second, "2")]);
    assert_eq!(names("main"), []);
    instance.remove_stream_file(&database, first).unwrap();
    instance.remove_stream_file(&database, first).unwrap();
    assert_eq!(names("streamed"), [kept(second, "2")]);
    assert_eq!(instance.ledgers().len(), 2, "the directory is no ledger");

    instance.drop_ledger("streamed").unwrap();
    assert!(!dir.path().join("data/streamed.streams").exists());
    // Who still sends the streams of the ledger that is gone does not write into the one that has its name.
    instance.create_ledger("streamed", false).unwrap();
    let refused = instance.write_stream_file(&database, first, b"late").unwrap_err();
    assert_eq!(refused.code, SqlState::INVALID_CATALOG_NAME);
    assert_eq!(names("streamed"), []);
}

fn job(n: u8) -> ExportJob {
    ExportJob {
        export: JournalExport {
            id: Id([n; 16]),
            ledger_name: "main".into(),
            range: TimeRange { from_ms: 1, to_ms: 2 },
            output_format: None,
            prefix: "p/".into(),
            bucket: Some("bucket".into()),
            encryption: "NO_ENCRYPTION".into(),
        },
        created_ms: i64::from(n),
        role_arn: "arn:aws:iam::000000000000:role/r".into(),
        kms_key_arn: None,
        state: ExportState::InProgress,
    }
}

#[test]
fn journal_exports_are_listed_for_some_days_after_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(ManualClock::START_MS));
    let env = Env { clock: Arc::clone(&clock) as _, ..Env::production() };
    let instance = open_instance_in(env, dir.path()).unwrap();
    let listed = |ledger: &str| {
        let jobs = instance.journal_exports(ledger).unwrap();
        jobs.into_iter().map(|job| (job.export.id.0[0], job.state.name())).collect::<Vec<_>>()
    };
    for n in 1..=3 {
        instance.add_journal_export("main", &job(n), None).unwrap();
    }
    let limited = instance.add_journal_export("main", &job(4), Some(3)).unwrap_err();
    assert_eq!(limited.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
    instance.end_journal_export("main", Id([1; 16]), ExportState::Completed { ended_ms: instance.now_ms() }).unwrap();
    instance.add_journal_export("main", &job(4), Some(3)).unwrap();
    instance.forget_journal_export("main", Id([2; 16])).unwrap();
    clock.advance_ms(LISTED_MS / 2);
    instance.end_journal_export("main", Id([3; 16]), ExportState::Cancelled { ended_ms: instance.now_ms() }).unwrap();
    assert_eq!(listed("main"), [(1, "COMPLETED"), (3, "CANCELLED"), (4, "IN_PROGRESS")]);
    clock.advance_ms(LISTED_MS / 2);
    assert_eq!(listed("main"), [(3, "CANCELLED"), (4, "IN_PROGRESS")]);
    clock.advance_ms(10 * LISTED_MS);
    assert_eq!(listed("main"), [(4, "IN_PROGRESS")], "what is being made is kept however long it takes");

    // Those of a ledger go with it, and are not those of another one with its name.
    instance.create_ledger("other", false).unwrap();
    instance.add_journal_export("other", &job(5), None).unwrap();
    instance.drop_ledger("other").unwrap();
    assert_eq!(instance.journal_exports("other").unwrap_err().code, SqlState::INVALID_CATALOG_NAME);
    instance.create_ledger("other", false).unwrap();
    assert_eq!(listed("other"), []);
    std::fs::write(dir.path().join("data/other.exports"), "no list").unwrap();
    let damaged = instance.journal_exports("other").unwrap_err();
    assert!(damaged.code == SqlState::DATA_CORRUPTED && damaged.hint.is_some(), "{damaged}");
}
