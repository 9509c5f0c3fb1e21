//! Scans of columns held against the plainest reading of the journal: random documents, updates, deletions and redactions,
//! and every view at every snapshot; between them files are written, joined and found again by a start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, FixedSizeBinaryArray, Int64Array, UInt8Array, UInt64Array};
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_journal::env::SeededRng;
use ledgerstone_journal::{Env, StoredRevision};
use ledgerstone_query::columns::{ColumnError, ColumnOptions, ColumnView, Field, Meta, Presence, ScanRequest};
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{Memory, key, record, table};

const FIELDS: [&str; 7] = ["k", "amount", "when", "name", "mixed", "rare", "nobody"];

fn options() -> ColumnOptions {
    ColumnOptions { piece_rows: 16, ..ColumnOptions::default() }
}

fn open(env: &Env) -> Arc<Database> {
    let options = DatabaseOptions { cache_bytes_max: 64 << 10, columns: options(), ..DatabaseOptions::default() };
    Database::open(env, Path::new("/data/main"), "main", key(), options).unwrap()
}

fn value(rng: &SeededRng, texts: &[&str]) -> Value {
    let text = texts[rng.below(texts.len() as u64) as usize];
    ion::parse(text, &ion::Limits::DOCUMENT).unwrap()
}

fn document(rng: &SeededRng) -> Value {
    let mut fields = vec![("k".to_owned(), Value::int(rng.below(1000) as i64))];
    let mut add = |name: &str, one_in: u64, texts: &[&str]| {
        if !rng.one_in(one_in) {
            fields.push((name.to_owned(), value(rng, texts)));
        }
    };
    add("amount", 4, &["1.50", "-2.25", "0.00", "null"]);
    add("when", 4, &["2020-01-31T10:00:00.500Z", "1969-12-31T23:59:59.123Z"]);
    add("name", 4, &["\"a\"", "\"\"", "null", "\"a longer name\""]);
    add("mixed", 3, &["1", "\"1\"", "1.0", "1.00", "null", "null.int", "nan", "[1, 2]", "{a: {b: 2}}", "a::b"]);
    if rng.one_in(40) {
        add("rare", 100, &["1e0", "-0e0", "nan"]);
    }
    if rng.one_in(3) {
        fields.push((format!("key{}", rng.below(2000)), Value::int(1)));
    }
    Value::Struct(ion::Struct::from_fields(fields.iter().map(|(name, value)| (&**name, value.clone()))))
}

struct World {
    env: Env,
    database: Arc<Database>,
    rng: SeededRng,
}

impl World {
    fn new(seed: u64) -> World {
        let memory = Memory::new(seed);
        memory.create_schemaless("t");
        memory.create_schemaless("other");
        memory.database.close().unwrap();
        let env = memory.env.clone();
        drop(memory);
        World { database: open(&env), env, rng: SeededRng::new(seed) }
    }

    fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = open(&self.env);
    }

    fn change(&self) {
        let mut tx = Transaction::begin(&self.database, false);
        for _ in 0..1 + self.rng.below(6) {
            let t = table(&tx, if self.rng.one_in(5) { "other" } else { "t" });
            let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
            let pick = docs.get(self.rng.below(docs.len().max(1) as u64) as usize);
            match (self.rng.below(5), pick) {
                (0..=1, Some(doc)) => {
                    tx.replace(&t, doc, document(&self.rng)).unwrap();
                }
                (2, Some(doc)) => tx.delete(&t, doc).unwrap(),
                _ => {
                    tx.insert(&t, document(&self.rng)).unwrap();
                }
            }
        }
        tx.commit_blocking().unwrap();
    }

    fn redact(&self) {
        let all = self.journal();
        let mut tx = Transaction::begin(&self.database, false);
        let t = table(&tx, "t");
        let old: Vec<&StoredRevision> = all
            .iter()
            .filter(|r| r.table_id == t.id && r.data.is_some())
            .filter(|r| all.iter().any(|s| s.supersedes == Some(r.position)))
            .collect();
        let Some(revision) = old.get(self.rng.below(old.len().max(1) as u64) as usize) else { return };
        tx.redact(self.database.ledger().strand(), revision.block, t.id, revision.document_id).unwrap();
        tx.commit_blocking().unwrap();
    }

    /// Every revision, read from the journal.
    fn journal(&self) -> Vec<StoredRevision> {
        self.database.ledger().blocks(0).flat_map(|block| block.unwrap().revisions).collect()
    }

    fn compare(&self) {
        let all = self.journal();
        let ends: Vec<u64> = all.iter().map(|r| r.block_position + 1).chain([1]).collect();
        let some_end = |most: u64| loop {
            let end = ends[self.rng.below(ends.len() as u64) as usize];
            if end <= most {
                break end;
            }
        };
        let newest = self.database.snapshot();
        let snapshot = if self.rng.one_in(2) { newest } else { some_end(newest) };
        let view = match self.rng.below(3) {
            0 => ColumnView::Current,
            1 => ColumnView::AsOf(some_end(snapshot)),
            _ => {
                let to = some_end(snapshot);
                ColumnView::History { from: if self.rng.one_in(2) { 0 } else { some_end(to) }, to }
            }
        };
        let tx = Transaction::begin(&self.database, false);
        let t = table(&tx, "t").id;
        let expected = expected(&all, t, snapshot, view);
        assert_eq!(self.scanned(t, snapshot, view), expected, "{view:?} at {snapshot}");
    }

    fn scanned(&self, table: Id, snapshot: u64, view: ColumnView) -> Vec<Seen> {
        let fields = FIELDS.map(str::to_owned).to_vec();
        let request = ScanRequest { table, snapshot, view, fields, meta: Meta::ALL.to_vec() };
        let scan = self.database.columns().scan(request, &|| false).unwrap();
        let mut seen = Vec::new();
        for partition in &scan.partitions {
            let batch = partition.read(&|| false).unwrap();
            let successors = batch.successors().unwrap();
            assert_eq!(batch.rows, partition.rows());
            for row in (0..batch.rows).filter(|row| batch.selection.value(*row)) {
                let number = |meta: Meta| {
                    let array = batch.meta[meta as usize].as_any().downcast_ref::<UInt64Array>().unwrap();
                    array.is_valid(row).then(|| array.value(row))
                };
                let id = |meta: Meta| {
                    let array = batch.meta[meta as usize].as_any().downcast_ref::<FixedSizeBinaryArray>().unwrap();
                    Id(array.value(row).try_into().unwrap())
                };
                let times = batch.meta[Meta::TxTime as usize].as_any().downcast_ref::<Int64Array>().unwrap();
                let presence = batch.meta[Meta::Presence as usize].as_any().downcast_ref::<UInt8Array>().unwrap();
                let mut values = BTreeMap::new();
                for (name, field) in FIELDS.iter().zip(&batch.fields) {
                    let value = match field {
                        Field::Absent => None,
                        Field::Column(column) => column.value(row).unwrap(),
                        Field::NotKept => panic!("{name} has no column"),
                    };
                    values.extend(value.map(|value| (*name, ion::to_text(&value))));
                }
                let (low, high) = partition.times_ms();
                assert!((low..=high).contains(&times.value(row)));
                seen.push(Seen {
                    position: number(Meta::Position).unwrap(),
                    id: id(Meta::DocumentId),
                    version: number(Meta::Version).unwrap(),
                    tx_id: id(Meta::TxId),
                    time_ms: times.value(row),
                    block: number(Meta::Block).unwrap(),
                    supersedes: number(Meta::Supersedes),
                    successor: successors.is_valid(row).then(|| successors.value(row)),
                    presence: presence.value(row),
                    values,
                });
            }
        }
        seen
    }
}

/// A row as a view sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    position: u64,
    id: Id,
    version: u64,
    tx_id: Id,
    time_ms: i64,
    block: u64,
    supersedes: Option<u64>,
    successor: Option<u64>,
    presence: u8,
    values: BTreeMap<&'static str, String>,
}

fn expected(all: &[StoredRevision], table: Id, snapshot: u64, view: ColumnView) -> Vec<Seen> {
    let before: Vec<&StoredRevision> = all.iter().filter(|r| r.table_id == table && r.position < snapshot).collect();
    let mut seen = Vec::new();
    for revision in &before {
        let successor = before.iter().find(|r| r.supersedes == Some(revision.position)).map(|r| r.position);
        let sees = match view {
            ColumnView::Current => successor.is_none() && !revision.deleted,
            ColumnView::AsOf(at) => revision.position < at && successor.is_none_or(|s| s >= at) && !revision.deleted,
            ColumnView::History { from, to } => revision.position < to && successor.is_none_or(|s| s >= from),
        };
        if !sees {
            continue;
        }
        let presence = match (&revision.data, revision.deleted) {
            (Some(_), _) => Presence::Data,
            (None, true) => Presence::Deleted,
            (None, false) => Presence::Redacted,
        };
        let data = revision.data.as_deref().and_then(Value::as_struct);
        let field = |name: &&'static str| Some((*name, ion::to_text(data?.get(name)?)));
        seen.push(Seen {
            position: revision.position,
            id: revision.document_id,
            version: revision.version,
            tx_id: revision.tx_id,
            time_ms: revision.tx_time_ms(),
            block: revision.block,
            supersedes: revision.supersedes,
            successor,
            presence: presence as u8,
            values: FIELDS.iter().filter_map(field).collect(),
        });
    }
    seen
}

fn seeds() -> Vec<u64> {
    match std::env::var("LEDGERSTONE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() => (0..200).collect(),
        Err(_) => (0..3).collect(),
    }
}

#[test]
fn every_view_at_every_snapshot_is_what_the_journal_says() {
    for seed in seeds() {
        println!("LEDGERSTONE_SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..120 {
            match world.rng.below(13) {
                0..=5 => world.change(),
                6 if world.rng.one_in(2) => world.redact(),
                7 if world.rng.one_in(3) => world.reopen(),
                8 => {
                    world.database.columns().flush().unwrap();
                }
                _ => world.compare(),
            }
        }
        world.compare();
    }
}

#[test]
fn a_row_committed_before_the_scan_begins_is_in_it() {
    let memory = Memory::new(1);
    memory.create_schemaless("t");
    for n in 0..50 {
        let (_, committed) = memory.run(|tx| {
            let t = table(tx, "t");
            tx.insert(&t, record(&[("n", Value::int(n))])).unwrap();
        });
        let tx = memory.begin();
        let request = ScanRequest {
            table: table(&tx, "t").id,
            snapshot: committed.unwrap().snapshot(),
            view: ColumnView::Current,
            fields: vec!["n".to_owned()],
            meta: Vec::new(),
        };
        let scan = memory.database.columns().scan(request, &|| false).unwrap();
        let selected: usize = scan.partitions.iter().map(|p| p.read(&|| false).unwrap().selected).sum();
        assert_eq!(selected as i64, n + 1);
        assert!(scan.partitions.len() < 8, "pieces are joined");
    }
}

#[test]
fn fields_beyond_the_most_are_not_kept_and_say_so() {
    let memory = Memory::new(2);
    memory.create_schemaless("t");
    memory.run(|tx| {
        let t = table(tx, "t");
        for n in 0..40 {
            let names: Vec<String> = (0..20).map(|k| format!("key{}", n * 20 + k)).collect();
            let mut fields = vec![("always", Value::int(n))];
            fields.extend(names.iter().map(|name| (&**name, Value::int(n))));
            tx.insert(&t, record(&fields)).unwrap();
        }
    });
    let tx = memory.begin();
    let request = ScanRequest {
        table: table(&tx, "t").id,
        snapshot: tx.snapshot(),
        view: ColumnView::Current,
        fields: ["always", "key0", "key799", "never"].map(str::to_owned).to_vec(),
        meta: Vec::new(),
    };
    let scan = memory.database.columns().scan(request, &|| false).unwrap();
    let batch = scan.partitions[0].read(&|| false).unwrap();
    assert!(matches!(&batch.fields[0], Field::Column(column) if column.array.null_count() == 0));
    assert!(matches!(&batch.fields[1], Field::Column(column) if column.value(0).unwrap() == Some(Value::int(0))));
    // Nobody remembers which names were left out, so every name without a column may be one.
    assert!(matches!(&batch.fields[2], Field::NotKept) && matches!(&batch.fields[3], Field::NotKept));
    assert!(scan.partitions[0].not_kept("key799") && !scan.partitions[0].not_kept("always"));
}

#[test]
fn a_scan_is_stopped_and_one_that_takes_too_much_memory_writes_files() {
    let memory = Memory::new(3);
    memory.create_schemaless("t");
    memory.run(|tx| {
        let t = table(tx, "t");
        for n in 0..4_000 {
            tx.insert(&t, record(&[("n", Value::int(n))])).unwrap();
        }
    });
    let request = || {
        let tx = memory.begin();
        ScanRequest {
            table: table(&tx, "t").id,
            snapshot: tx.snapshot(),
            view: ColumnView::Current,
            fields: vec!["n".to_owned()],
            meta: Vec::new(),
        }
    };
    let stopped = memory.database.columns().scan(request(), &|| true);
    assert!(matches!(stopped, Err(ColumnError::Stopped)), "{stopped:?}");
    let scan = memory.database.columns().scan(request(), &|| false).unwrap();
    assert_eq!(scan.rows(), 4_000);
    drop(scan);
    let env = memory.env.clone();
    memory.database.close().unwrap();
    let (id, snapshot) = (request().table, request().snapshot);
    drop(memory);
    let columns = ColumnOptions { memory_bytes_max: 2_000, ..ColumnOptions::default() };
    let options = DatabaseOptions { columns, threads: false, ..DatabaseOptions::default() };
    let small = Database::open(&env, Path::new("/data/main"), "main", key(), options).unwrap();
    let request = ScanRequest { table: id, snapshot, view: ColumnView::Current, fields: Vec::new(), meta: Vec::new() };
    let scan = small.columns().scan(request, &|| false).unwrap();
    assert_eq!(scan.rows(), 4_000);
    assert!(small.columns().counts().1 > 0 && small.columns().memory_bytes() < 500_000, "what there was is in files");
}
