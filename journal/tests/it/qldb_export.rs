//! Journal exports: what is in the objects is what the journal shows, and an interrupted one comes to the same.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::block::RedactedRevision;
use ledgerstone_digest::ion::{Limits, decode_many, parse_many};
use ledgerstone_digest::qldb::JournalBlock;
use ledgerstone_digest::qldb::chain::ChainVerifier;
use ledgerstone_journal::env::{EntryKind, ManualClock, Storage, read_file, write_whole};
use ledgerstone_journal::qldb::export::{
    DirectorySink, ExportError, Exported, Format, JournalExport, ObjectSink, SinkError, TimeRange, started,
};
use ledgerstone_journal::{Env, Ledger, RedactError};

use crate::redacting::redaction;
use crate::support::*;

const OUT: &str = "/out/there";
/// Small, so that there are many objects.
const OBJECT_BYTES: usize = 6_000;

/// A ledger whose blocks lie in three hours.
fn ledger() -> (Env, Arc<Ledger>) {
    let clock = Arc::new(ManualClock::new(ManualClock::START_MS));
    let env = Env { clock: Arc::clone(&clock) as _, ..Env::memory(1) };
    create(&env, &dir());
    let (ledger, _) = open(&env, &dir(), options()).unwrap();
    for n in 0..60 {
        let revisions = (0..1 + n % 3).map(|m| first(10 * n + m, 20 * n as usize)).collect();
        let future = ledger.submit(transaction(n, revisions));
        ledger.drive();
        future.wait().unwrap();
        clock.advance_ms(3 * 60_000);
    }
    (env, ledger)
}

fn export(ledger: &Ledger, format: Format) -> JournalExport {
    let range = TimeRange { from_ms: ledger.journal_begins_ms().unwrap(), to_ms: ledger.journal_ends_ms().unwrap() };
    JournalExport {
        id: Id([5; 16]),
        ledger_name: "main".into(),
        range,
        output_format: Some(format),
        prefix: String::new(),
        bucket: None,
        encryption: "NO_ENCRYPTION".into(),
    }
}

fn sink(env: &Env, out: &str) -> DirectorySink {
    DirectorySink::new(Arc::clone(&env.storage), Path::new(out))
}

fn run(export: &JournalExport, ledger: &Ledger, sink: &dyn ObjectSink) -> Result<Exported, ExportError> {
    export.run_with(ledger, sink, OBJECT_BYTES, &mut |_| true)
}

/// Every file under a directory, by its name there.
fn files(storage: &dyn Storage, root: &str) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![PathBuf::from(root)]);
    while let Some(directory) = open.pop() {
        for entry in storage.read_dir(&directory).unwrap() {
            let path = directory.join(&entry.name);
            match entry.kind {
                EntryKind::Directory => open.push(path),
                _ => {
                    let name = path.strip_prefix(root).unwrap().display().to_string();
                    found.insert(name, read_file(storage, &path, 1 << 30).unwrap());
                }
            }
        }
    }
    found
}

/// The blocks in objects, in order.
fn blocks(env: &Env, out: &str, keys: &[String], format: Format) -> Vec<JournalBlock> {
    let objects = files(&*env.storage, out);
    let values = keys.iter().flat_map(|key| match format {
        Format::IonBinary => decode_many(&objects[key], &Limits::DOCUMENT).unwrap(),
        _ => parse_many(std::str::from_utf8(&objects[key]).unwrap(), &Limits::DOCUMENT).unwrap(),
    });
    values.map(|value| JournalBlock::from_value(&value).unwrap()).collect()
}

/// Lets so many objects through, and then nothing.
struct Failing<'a>(&'a dyn ObjectSink, Cell<usize>);

impl ObjectSink for Failing<'_> {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), SinkError> {
        match self.1.get() {
            0 => Err(SinkError { place: key.into(), what: "no more".into(), lasting: false }),
            left => {
                self.1.set(left - 1);
                self.0.put(key, bytes)
            }
        }
    }

    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, SinkError> {
        self.0.holds(key, bytes)
    }

    fn keys(&self, beginning: &str) -> Result<Vec<String>, SinkError> {
        self.0.keys(beginning)
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, SinkError> {
        self.0.get(key, bytes_max)
    }
}

#[test]
fn an_export_holds_every_block_as_the_journal_shows_it() {
    let (env, ledger) = ledger();
    for format in [Format::IonText, Format::IonBinary] {
        let out = format!("{OUT}/{}", format.name());
        let (export, sink) = (export(&ledger, format), sink(&env, &out));
        export.begin(&sink).unwrap();
        assert_eq!(started(&sink, "").unwrap()[0].completed, None);
        let exported = run(&export, &ledger, &sink).unwrap();
        assert_eq!((exported.blocks, exported.kept), (60, 0));
        let read = blocks(&env, &out, &exported.keys, format);
        let mut chain = ChainVerifier::new();
        for (number, block) in read.iter().enumerate() {
            assert_eq!(*block, ledger.journal_block(number as u64).unwrap());
            chain.block(block).unwrap();
        }
        assert_eq!(read.len(), 60);
        let done = started(&sink, "").unwrap();
        assert_eq!(done.len(), 1);
        assert_eq!((&done[0].export, done[0].completed.as_ref()), (&export, Some(&exported.keys)));
        let names: Vec<String> = files(&*env.storage, &out).into_keys().collect();
        assert_eq!(names.len(), exported.keys.len() + 2, "{names:?}");
        let strand = ledger.strand();
        assert!(names.contains(&format!("{}.{strand}.completed.manifest", export.id)), "{names:?}");
        // Objects of one hour, none of them long.
        for hour in ["2026/01/01/00", "2026/01/01/01", "2026/01/01/02"] {
            assert!(exported.keys.iter().filter(|key| key.starts_with(hour)).count() > 2, "{:?}", exported.keys);
        }
        assert_eq!(exported.keys[0], format!("2026/01/01/00/{strand}.0-{}.ion", blocks_of(&exported.keys[0]).1));
        let mut next = 0;
        for key in &exported.keys {
            let (first, last) = blocks_of(key);
            assert_eq!(first, next);
            next = last + 1;
        }
        assert_eq!(next, 60);
    }
}

/// The numbers in a key, as QLDB's own readers find them.
fn blocks_of(key: &str) -> (u64, u64) {
    let (first, last) = key.split('.').nth(1).unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

#[test]
fn a_json_export_is_a_block_a_line() {
    let (env, ledger) = ledger();
    let (export, sink) = (export(&ledger, Format::Json), sink(&env, OUT));
    let exported = run(&export, &ledger, &sink).unwrap();
    let objects = files(&*env.storage, OUT);
    let lines = exported.keys.iter().flat_map(|key| std::str::from_utf8(&objects[key]).unwrap().lines());
    let read: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(exported.keys.iter().all(|key| key.ends_with(".json")));
    assert_eq!(read.len(), 60);
    for (number, block) in read.iter().enumerate() {
        let shown = ledger.journal_block(number as u64).unwrap();
        assert_eq!(block["blockAddress"]["sequenceNo"], number);
        assert_eq!(block["blockTimestamp"], shown.timestamp.to_string());
        assert_eq!(block["revisions"].as_array().unwrap().len(), shown.revisions.len());
        assert_eq!(block["revisions"][0]["data"]["text"], "x".repeat(20 * number));
        assert_eq!(block["transactionInfo"]["statements"][0]["statement"], "INSERT INTO t VALUES (?)");
    }
}

#[test]
fn an_interrupted_export_comes_to_the_same_objects() {
    let (env, ledger) = ledger();
    for format in Format::ALL {
        let export = export(&ledger, format);
        let whole = format!("{OUT}/whole-{}", format.name());
        let exported = run(&export, &ledger, &sink(&env, &whole)).unwrap();
        let expected = files(&*env.storage, &whole);
        let count = exported.keys.len();
        for stop in [0, 1, 2, count / 2, count - 1, count] {
            let out = format!("{OUT}/{}-{stop}", format.name());
            let sink = sink(&env, &out);
            let failing = Failing(&sink, Cell::new(stop));
            assert!(matches!(run(&export, &ledger, &failing), Err(ExportError::Sink(_))));
            if let Some(next) = exported.keys.get(stop) {
                // As a process leaves it that is killed while it writes the next one.
                let directory = Path::new(&out).join(next).parent().unwrap().to_owned();
                env.storage.create_dir_all(&directory).unwrap();
                write_whole(&*env.storage, &directory.join(".part"), &[b'x'; 100_000]).unwrap();
            }
            let again = run(&export, &ledger, &sink).unwrap();
            assert_eq!(again, Exported { kept: stop as u64, ..exported.clone() }, "after {stop}");
            assert_eq!(files(&*env.storage, &out), expected, "after {stop}");
        }
    }
}

#[test]
fn an_export_that_is_stopped_says_so_and_goes_on() {
    let (env, ledger) = ledger();
    let (export, sink) = (export(&ledger, Format::IonText), sink(&env, OUT));
    let mut seen = Vec::new();
    let stopped = export.run_with(&ledger, &sink, OBJECT_BYTES, &mut |progress| {
        seen.push((progress.done, progress.total));
        progress.done < 30
    });
    assert!(matches!(stopped, Err(ExportError::Stopped)));
    assert_eq!(seen, (0..=30).map(|done| (done, 60)).collect::<Vec<_>>());
    assert_eq!(run(&export, &ledger, &sink).unwrap().blocks, 60);
}

#[test]
fn an_object_that_is_not_what_it_should_be_is_written_again() {
    let (env, ledger) = ledger();
    let (export, sink) = (export(&ledger, Format::IonText), sink(&env, OUT));
    let exported = run(&export, &ledger, &sink).unwrap();
    let expected = files(&*env.storage, OUT);
    let mut flipped = expected[&exported.keys[2]].clone();
    *flipped.last_mut().unwrap() ^= 1;
    sink.put(&exported.keys[2], &flipped).unwrap();
    sink.put(&exported.keys[4], b"").unwrap();
    let again = run(&export, &ledger, &sink).unwrap();
    assert_eq!(again.kept as usize, exported.keys.len() - 2);
    assert_eq!(files(&*env.storage, OUT), expected);
}

#[test]
fn a_range_has_its_first_time_and_not_its_last() {
    let (env, ledger) = ledger();
    let time = |number: u64| ledger.read_block(number).unwrap().time_ms;
    let all = export(&ledger, Format::IonText);
    for (n, (from_ms, to_ms, expected)) in [
        (time(10), time(20), 10..20),
        (time(10) + 1, time(20) + 1, 11..21),
        (all.range.from_ms, time(3), 0..3),
        (time(59), all.range.to_ms, 59..60),
        (time(4) + 1, time(5), 0..0),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("{OUT}/{n}");
        let some = JournalExport { range: TimeRange { from_ms, to_ms }, ..all.clone() };
        let exported = run(&some, &ledger, &sink(&env, &out)).unwrap();
        let numbers: Vec<u64> =
            blocks(&env, &out, &exported.keys, Format::IonText).iter().map(|block| block.sequence_no).collect();
        assert_eq!(numbers, expected.collect::<Vec<_>>());
    }
}

#[test]
fn what_is_committed_later_is_not_in_the_range() {
    let (env, ledger) = ledger();
    let (export, sink) = (export(&ledger, Format::IonText), sink(&env, OUT));
    commit(&ledger, 5_000, 10).unwrap();
    assert_eq!(run(&export, &ledger, &sink).unwrap().blocks, 60);
}

#[test]
fn a_redaction_between_two_attempts_is_in_the_second() -> Result<(), RedactError> {
    let (env, ledger) = ledger();
    let (export, out) = (export(&ledger, Format::IonText), sink(&env, OUT));
    let exported = run(&export, &ledger, &out).unwrap();
    let document_id = ledger.read_block(50).unwrap().revisions[0].document_id;
    let strand = ledger.strand();
    let target = RedactedRevision { strand, sequence_no: 50, table_id: TABLE, document_id, version: 0 };
    ledger.redact(redaction(700, &[target]))?;
    let again = run(&export, &ledger, &out).unwrap();
    // Blocks stand in no other object than before, though one of them is shorter.
    assert_eq!((&again.keys, again.kept as usize), (&exported.keys, exported.keys.len() - 1));
    let read = blocks(&env, OUT, &again.keys, Format::IonText);
    let mut chain = ChainVerifier::new();
    read.iter().for_each(|block| chain.block(block).unwrap());
    assert_eq!(chain.report().redacted, 1);
    assert_eq!(read[50], ledger.journal_block(50).unwrap());
    Ok(())
}

#[test]
fn keys_lead_nowhere_else() {
    let env = Env::memory(1);
    let sink = sink(&env, OUT);
    for key in ["", "../a", "a/../../b", "/etc/passwd", "./a"] {
        assert!(sink.put(key, b"").is_err(), "{key}");
    }
}
