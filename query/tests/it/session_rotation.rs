//! Rotation of the signing key under sessions that write: the record is a revision like any other, every checkpoint served
//! on the way is signed by a key that may sign it, and the files of keys are where an operator looks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::rotation::{KeyChain, RotationRecord};
use ledgerstone_journal::Env;
use ledgerstone_journal::verify::{Verdict, VerifyOptions, verify_directory};
use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::Dialect;

use crate::support::{open_instance, session, told};

fn write_until(instance: &Arc<Instance>, number: u64, stop: &AtomicBool) -> u64 {
    let mut session = session(instance, Dialect::Sql);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        told(&mut session, &format!("INSERT INTO t VALUES ({number}, {done})")).unwrap();
        done += 1;
    }
    done
}

/// Every checkpoint that was served; `seen` counts along.
fn watch(instance: &Arc<Instance>, stop: &AtomicBool, seen: &AtomicUsize) -> Vec<Arc<str>> {
    let database = instance.ledger("main").unwrap();
    let mut notes: Vec<Arc<str>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let note = database.ledger().newest_checkpoint().note;
        if notes.last() != Some(&note) {
            notes.push(note);
        }
        if notes.len() % 7 == 3 {
            notes.push(database.ledger().checkpoint().unwrap().note);
        }
        seen.store(notes.len(), Ordering::Relaxed);
        std::thread::yield_now();
    }
    notes
}

#[test]
fn sessions_go_on_and_every_checkpoint_served_is_signed_by_a_key_that_may() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    told(&mut session(&instance, Dialect::Sql), "CREATE TABLE t (a int, b int)").unwrap();
    let database = instance.ledger("main").unwrap();
    let first = database.ledger().vkey();
    let (stop, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (rotated, notes) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|number| {
                scope.spawn({
                    let (instance, stop) = (&instance, &stop);
                    move || write_until(instance, number, stop)
                })
            })
            .collect();
        let watching = scope.spawn(|| watch(&instance, &stop, &seen));
        let rotate = |_| {
            let before = seen.load(Ordering::Relaxed);
            let rotated = database.rotate_key("admin", "test").unwrap();
            // On a busy machine the watcher may not have come to look yet.
            while seen.load(Ordering::Relaxed) == before && !watching.is_finished() {
                std::thread::yield_now();
            }
            rotated
        };
        let rotated: Vec<_> = (0..4).map(rotate).collect();
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| assert!(writer.join().unwrap() > 0));
        (rotated, watching.join().unwrap())
    });
    let mut chain = KeyChain::new(first.clone());
    for receipt in database.ledger().rotations(None).unwrap() {
        chain.follow(&Receipt::decode(&receipt).unwrap()).unwrap();
    }
    assert_eq!(chain.keys().count(), 5);
    assert_eq!(*chain.current(), rotated[3].record.new);
    assert!(notes.len() > 4);
    for note in notes {
        chain.verify(&note).unwrap_or_else(|refusal| panic!("{refusal}\n{note}"));
    }
    instance.close().unwrap();
    let options = VerifyOptions { vkey: Some(first), ..VerifyOptions::default() };
    let report = verify_directory(&Env::production(), &dir.path().join("data/main"), options);
    assert_eq!((report.verdict(), report.rotations), (Verdict::Holds, 4), "{:#?}", report.findings);
}

#[test]
fn the_record_is_read_as_it_is_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = Vec::new();
    let id = {
        let instance = open_instance(dir.path()).unwrap();
        let database = instance.ledger("main").unwrap();
        records.push(database.rotate_key("admin", "test").unwrap().record);
        records.push(database.rotate_key("admin", "test").unwrap().record);
        compare(&instance, &records);
        instance.close().unwrap();
        database.ledger().ledger_id()
    };
    // Once more with everything derived made again, and a third key.
    std::fs::remove_dir_all(dir.path().join("data/main/index")).unwrap();
    let again = open_instance(dir.path()).unwrap();
    compare(&again, &records);
    records.push(again.ledger("main").unwrap().rotate_key("admin", "test").unwrap().record);
    compare(&again, &records);
    let names: Vec<String> = std::fs::read_dir(dir.path().join("keys"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".old.key")).count(), 3, "{names:?}");
    assert_eq!(names.len(), 5, "{names:?}");
    let vkey = std::fs::read_to_string(dir.path().join(format!("keys/{id}.vkey"))).unwrap();
    assert_eq!(vkey.trim_end(), records[2].new.to_string());
}

fn compare(instance: &Arc<Instance>, records: &[RotationRecord]) {
    let mut session = session(instance, Dialect::Sql);
    let database = instance.ledger("main").unwrap();
    let told_history = told(&mut session, &format!("SELECT data FROM history('{}')", Id::KEYS));
    let lines = told_history.unwrap_or_else(|error| panic!("{error}"));
    for record in records {
        let from = record.from.to_string();
        let found = lines.iter().any(|line| line.contains(&record.new.to_string()) && line.contains(&from));
        assert!(found, "{record:?} in {lines:#?}");
    }
    assert_eq!(told(&mut session, "SELECT ledgerstone_vkey()").unwrap()[0], database.ledger().vkey().to_string());
    let mut chain = KeyChain::new(records[0].old.clone());
    for number in 0..records.len() {
        let answer = told(&mut session, &format!("SELECT encode(ledgerstone_rotation({number}), 'hex')")).unwrap();
        let bytes: Vec<u8> =
            (0..answer[0].len()).step_by(2).map(|at| u8::from_str_radix(&answer[0][at..at + 2], 16).unwrap()).collect();
        chain.follow(&Receipt::decode(&bytes).unwrap()).unwrap();
    }
    assert_eq!(*chain.current(), database.ledger().vkey());
    let beyond = told(&mut session, &format!("SELECT ledgerstone_rotation({})", records.len())).unwrap_err();
    assert!(beyond.message.contains("there is no rotation"), "{beyond}");
}

#[test]
fn nobody_writes_to_the_table_of_keys_by_a_statement() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut session = session(&instance, Dialect::Sql);
    for statement in [
        format!("INSERT INTO \"{}\" VALUES (1)", Id::KEYS),
        "INSERT INTO _ql_keys VALUES (1)".to_owned(),
        format!("DELETE FROM \"{}\"", Id::KEYS),
    ] {
        let error = told(&mut session, &statement).unwrap_err();
        assert_eq!(error.code.as_str(), "42P01", "{statement}: {error}");
    }
}
