//! Columns are written while a redaction is carried out, each at the worst moment for the other; and the thread that
//! writes them by itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_journal::Env;
use ledgerstone_journal::env::{Entry, File, Lock, OpenMode, Storage, read_file};
use ledgerstone_query::columns::{COLUMNS_DIR, ColumnOptions, ColumnView, Field, Scan, ScanRequest, check_columns};
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::transaction::{Transaction, View};

use crate::support::{Memory, field, id, key, record, table};

const LEDGER: &str = "/data/main";
/// Longer than anything takes that comes to an end.
const PATIENCE: Duration = Duration::from_secs(300);

type Hook = Box<dyn FnOnce() + Send>;

/// A file system that does something, once, before a file with this in its name is written.
struct Watched {
    inner: Arc<dyn Storage>,
    hook: Mutex<Option<(&'static str, Hook)>>,
}

impl Watched {
    fn before(&self, part: &'static str, hook: Hook) {
        *self.hook.lock().unwrap() = Some((part, hook));
    }

    fn met(&self) -> bool {
        self.hook.lock().unwrap().is_none()
    }
}

impl Storage for Watched {
    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Arc<dyn File>> {
        let name = path.to_string_lossy();
        let due = mode != OpenMode::Read && self.hook.lock().unwrap().as_ref().is_some_and(|(p, _)| name.contains(p));
        if due {
            let (_, hook) = self.hook.lock().unwrap().take().unwrap();
            hook();
        }
        self.inner.open(path, mode)
    }

    fn read_dir(&self, path: &Path) -> std::io::Result<Vec<Entry>> {
        self.inner.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> std::io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> std::io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn lock(&self, path: &Path) -> std::io::Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }
}

struct World {
    env: Env,
    storage: Arc<Watched>,
    database: Arc<Database>,
}

impl World {
    fn new(seed: u64, columns: ColumnOptions) -> World {
        let memory = Env::memory(seed);
        let storage = Arc::new(Watched { inner: memory.storage.clone(), hook: Mutex::new(None) });
        let env = Env { storage: storage.clone(), ..memory };
        let memory = Memory::with(env.clone());
        memory.create_schemaless("t");
        memory.database.close().unwrap();
        drop(memory);
        World { database: open(&env, columns), env, storage }
    }

    /// Inserts documents of these numbers.
    fn insert(&self, numbers: std::ops::Range<i64>) {
        self.change(|tx| {
            let t = table(tx, "t");
            for n in numbers {
                tx.insert(&t, document(n, 0)).unwrap();
            }
        });
    }

    /// A new revision of every document.
    fn update(&self, version: i64) {
        self.change(|tx| {
            let t = table(tx, "t");
            let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(Result::unwrap).collect();
            for doc in docs {
                let n = field(&doc, "n").as_i64().unwrap();
                tx.replace(&t, &doc, document(n, version)).unwrap();
            }
        });
    }

    fn change(&self, work: impl FnOnce(&mut Transaction)) {
        let mut tx = Transaction::begin(&self.database, false);
        work(&mut tx);
        tx.commit_blocking().unwrap();
    }

    fn scan(&self) -> Scan {
        let tx = Transaction::begin(&self.database, false);
        let snapshot = tx.snapshot();
        let view = ColumnView::History { from: 0, to: snapshot };
        let fields = ["n", "secret"].map(str::to_owned).to_vec();
        let request = ScanRequest { table: table(&tx, "t").id, snapshot, view, fields, meta: Vec::new() };
        self.database.columns().scan(request, &|| false).unwrap()
    }

    /// Every revision, as columns have it and as the document executor does.
    fn compare(&self) -> Vec<(u64, String)> {
        let mut columns = Vec::new();
        for partition in self.scan().partitions {
            let batch = partition.read(&|| false).unwrap();
            for row in 0..batch.rows {
                let value = |field: &Field| match field {
                    Field::Column(column) => column.value(row).unwrap().map_or("-".to_owned(), |v| ion::to_text(&v)),
                    Field::Absent | Field::NotKept => "-".to_owned(),
                };
                columns
                    .push((batch.positions().value(row), batch.fields.iter().map(value).collect::<Vec<_>>().join(" ")));
            }
        }
        let tx = Transaction::begin(&self.database, false);
        let t = table(&tx, "t");
        let mut documents: Vec<(u64, String)> = Vec::new();
        for doc in tx.history(&t, None, None, None).unwrap().map(Result::unwrap) {
            let data = doc.data.as_deref().and_then(Value::as_struct);
            let value = |name| data.and_then(|data| data.get(name)).map_or("-".to_owned(), ion::to_text);
            documents.push((doc.position, ["n", "secret"].map(value).join(" ")));
        }
        documents.sort();
        assert_eq!(columns, documents);
        columns
    }

    fn files_hold(&self, secret: &str) -> bool {
        let dir = Path::new(LEDGER).join(COLUMNS_DIR);
        let paths: Vec<PathBuf> =
            self.env.storage.read_dir(&dir).unwrap_or_default().iter().map(|entry| dir.join(&entry.name)).collect();
        paths.iter().any(|path| {
            let bytes = read_file(&*self.env.storage, path, 1 << 30).unwrap();
            bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
        })
    }

    /// Before the next file with this in its name is written, the first revision of document `n` is redacted, and columns
    /// know of it if they can.
    fn redact_before(&self, part: &'static str, n: i64) -> Arc<Mutex<Option<JoinHandle<()>>>> {
        let database = self.database.clone();
        let thread: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
        let begun = thread.clone();
        self.storage.before(
            part,
            Box::new(move || {
                let before = database.snapshot();
                let own = database.clone();
                *begun.lock().unwrap() = Some(std::thread::spawn(move || redact(&own, n)));
                let until = Instant::now() + PATIENCE;
                // Whoever installs the files holds what columns would learn it with.
                let learns = part == ".parquet";
                while database.snapshot() == before || learns && database.columns().position() <= before {
                    assert!(Instant::now() < until, "the redaction does not come");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }),
        );
        thread
    }

    /// Writes files with the redaction in between, and looks at everything afterwards.
    fn race(mut self, part: &'static str, n: i64, columns: ColumnOptions) {
        let secret = secret(n, 0);
        let early = self.scan();
        let thread = self.redact_before(part, n);
        self.database.columns().flush().unwrap();
        assert!(self.storage.met(), "nothing was written");
        thread.lock().unwrap().take().unwrap().join().unwrap();
        assert!(!self.files_hold(&secret), "it is in a file");
        // Who began before may read on, and brings nothing back.
        early
            .partitions
            .iter()
            .filter(|partition| partition.is_in_file())
            .for_each(|partition| drop(partition.read(&|| false)));
        let rows = self.compare();
        assert!(rows.iter().all(|(_, row)| !row.contains(&secret)), "it is in columns");
        self.database.columns().flush().unwrap();
        assert!(!self.files_hold(&secret), "it is in a file again");
        self.database.close().unwrap();
        let report = check_columns(&self.env, Path::new(LEDGER), id(), &mut |_, _| ()).unwrap();
        assert!(report.is_some());
        self.database = open(&self.env, columns);
        assert_eq!(self.compare(), rows, "after a start");
        assert!(!self.files_hold(&secret), "it is in a file after a start");
    }
}

fn options() -> ColumnOptions {
    ColumnOptions { piece_rows: 16, ..ColumnOptions::default() }
}

fn open(env: &Env, columns: ColumnOptions) -> Arc<Database> {
    let options = DatabaseOptions { columns, ..DatabaseOptions::default() };
    Database::open(env, Path::new(LEDGER), "main", key(), options).unwrap()
}

fn secret(n: i64, version: i64) -> String {
    // No two are alike, so that a file compresses none of them.
    Hash::sha256(&[&n.to_be_bytes(), &version.to_be_bytes()]).to_string()
}

fn document(n: i64, version: i64) -> Value {
    record(&[("n", Value::int(n)), ("secret", Value::string(secret(n, version)))])
}

fn redact(database: &Arc<Database>, n: i64) {
    let mut tx = Transaction::begin(database, false);
    let t = table(&tx, "t");
    let docs = tx.history(&t, None, None, None).unwrap().map(Result::unwrap);
    let old = { docs }.find(|doc| doc.version == 0 && field(doc, "n").as_i64() == Some(n)).unwrap();
    tx.redact(database.ledger().strand(), old.block, t.id, old.id).unwrap();
    tx.commit_blocking().unwrap();
}

#[test]
fn a_redaction_while_its_revision_is_written_leaves_it_in_no_file() {
    let world = World::new(1, options());
    world.insert(0..40);
    world.update(1);
    world.race(".parquet", 3, options());
}

#[test]
fn a_redaction_of_what_is_in_another_file_than_is_written_loses_no_row() {
    let world = World::new(2, options());
    world.insert(0..40);
    world.update(1);
    world.scan();
    assert!(world.database.columns().flush().unwrap());
    assert!(world.files_hold(&secret(3, 0)));
    world.insert(100..140);
    world.race(".parquet", 3, options());
}

#[test]
fn a_redaction_of_what_is_joined_with_more_is_in_neither_file() {
    let world = World::new(3, options());
    world.insert(0..4);
    world.update(1);
    world.scan();
    assert!(world.database.columns().flush().unwrap());
    assert!(world.files_hold(&secret(3, 0)));
    let files = world.database.columns().counts().1;
    world.insert(100..104);
    world.scan();
    world.race(".parquet", 3, options());
    assert_eq!(files, 1, "what is small is joined");
}

#[test]
fn a_redaction_while_files_come_into_force_takes_it_out_of_them() {
    let world = World::new(4, options());
    world.insert(0..40);
    world.update(1);
    world.race("columns/manifest", 3, options());
}

/// Scans share what was superseded behind their files with whoever adds to it.
#[test]
fn a_scan_that_is_held_does_not_see_what_is_superseded_or_written_behind_it() {
    let world = World::new(6, options());
    world.insert(0..200);
    world.scan();
    assert!(world.database.columns().flush().unwrap());
    let read = |scan: &Scan| {
        let mut seen = Vec::new();
        for partition in &scan.partitions {
            let batch = partition.read(&|| false).unwrap();
            let successors: Vec<Option<u64>> = batch.successors().unwrap().iter().collect();
            for row in (0..batch.rows).filter(|row| batch.selection.value(*row)) {
                seen.push((batch.positions().value(row), successors[row]));
            }
        }
        seen
    };
    let mut held = Vec::new();
    for version in 1..6 {
        for view in [ColumnView::Current, ColumnView::History { from: 0, to: u64::MAX }] {
            let tx = Transaction::begin(&world.database, false);
            let request =
                ScanRequest { table: table(&tx, "t").id, snapshot: tx.snapshot(), view, fields: vec![], meta: vec![] };
            let scan = world.database.columns().scan(request, &|| false).unwrap();
            let seen = read(&scan);
            let rows = if view == ColumnView::Current { 200 } else { 200 * version as usize };
            assert_eq!(seen.len(), rows, "{view:?} of version {version}");
            held.push((scan, seen));
        }
        world.update(version);
        if version % 2 == 0 {
            world.database.columns().flush().unwrap();
        }
        // Takes in what was superseded.
        world.scan();
        for (scan, seen) in &held {
            assert_eq!(read(scan), *seen);
        }
    }
    world.compare();
}

/// Waits until the thread has come that far.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_thread_writes_files_by_itself_and_folds_what_was_superseded_into_them() {
    // In CI fewer rows are enough to begin.
    let long = std::env::var_os("LEDGERSTONE_TEST_LONG").is_some();
    assert_eq!(ColumnOptions::default().project_above_positions, 64 << 10);
    let few = ColumnOptions { project_above_positions: 500, ..ColumnOptions::default() };
    let columns = if long { ColumnOptions::default() } else { few };
    let begins = columns.project_above_positions;
    let rows = if long { 70_000 } else { 6_000 };
    let world = World::new(5, columns);
    let store = world.database.columns();
    world.insert(0..20);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!((store.position(), store.counts()), (1, (0, 0)), "a small ledger has no columns that nobody asked for");
    for from in (20..rows).step_by(2_000) {
        world.insert(from..(from + 2_000).min(rows));
    }
    wait_until("nothing is written", || store.counts().1 > 0 && store.counts().0 < 500);
    world.update(1);
    // All of them have been superseded; what is folded, or written with them, is in memory no more. What is less than it begins with
    // may wait in the journal, and a quarter of a file's rows in memory.
    let most = (rows as u64 / 4).max(4_096);
    wait_until("nothing is folded", || {
        let stats = store.stats();
        stats.positions_behind < begins && stats.superseded_in_memory < most
    });
    world.compare();
    world.database.close().unwrap();
    let report = check_columns(&world.env, Path::new(LEDGER), id(), &mut |_, _| ()).unwrap().unwrap();
    assert_eq!(report.rows, 2 * rows as u64);
}

#[test]
fn much_of_a_journal_is_decoded_by_several_threads_and_says_the_same() {
    let world = World::new(6, ColumnOptions { project_above_positions: u64::MAX, ..ColumnOptions::default() });
    for from in (0..24_000).step_by(4_000) {
        world.insert(from..from + 4_000);
    }
    world.update(1);
    redact(&world.database, 77);
    let rows = world.compare();
    assert_eq!(rows.len(), 48_000);
    assert!(!rows.iter().any(|(_, row)| row.contains(&secret(77, 0))));
    assert_eq!(world.database.columns().counts().1, 0, "it was all in memory");
    world.database.close().unwrap();
    // Again with so little memory that runs end early, and most goes to files on the way.
    let little = ColumnOptions { memory_bytes_max: 1 << 20, cache_bytes_max: 1 << 20, ..ColumnOptions::default() };
    let world = World { database: open(&world.env, little), ..world };
    assert_eq!(world.compare(), rows);
    let stats = world.database.columns().stats();
    assert!(stats.segments > 0 && stats.memory_bytes < 8 << 20, "{stats:?}");
    world.database.close().unwrap();
    let report = check_columns(&world.env, Path::new(LEDGER), id(), &mut |_, _| ()).unwrap().unwrap();
    assert!(report.rows > 0);
}

#[test]
fn columns_far_behind_keep_their_files_over_a_start_and_a_redaction() {
    // The thread leaves alone what nobody asks for.
    let idle = ColumnOptions { project_above_positions: u64::MAX, ..ColumnOptions::default() };
    let mut world = World::new(7, idle);
    world.insert(0..100);
    world.update(1);
    world.insert(100..3_000);
    world.scan();
    assert!(world.database.columns().flush().unwrap());
    let (position, files) = (world.database.columns().position(), world.database.columns().counts().1);
    for from in (3_000..27_000).step_by(4_000) {
        world.insert(from..from + 4_000);
    }
    // What is to be taken in is more than memory holds.
    let little = ColumnOptions { memory_bytes_max: 1 << 20, cache_bytes_max: 1 << 20, ..idle };
    for _ in 0..2 {
        // Closing waits for what the thread does at the start.
        world.database.close().unwrap();
        world.database = open(&world.env, little);
        let store = world.database.columns();
        assert_eq!((store.position(), store.counts().1), (position, files));
    }
    redact(&world.database, 77);
    let store = world.database.columns();
    assert_eq!(store.position(), world.database.snapshot());
    assert!(store.counts().1 > files);
    assert!(!world.files_hold(&secret(77, 0)) && world.files_hold(&secret(78, 0)));
    let rows = world.compare();
    assert_eq!(rows.len(), 27_100);
    // Its record is taken in: a start reads nothing on.
    world.insert(27_000..28_000);
    let position = world.database.columns().position();
    world.database.close().unwrap();
    world.database = open(&world.env, little);
    world.database.close().unwrap();
    world.database = open(&world.env, little);
    assert!(world.database.columns().position() <= position);
    assert_eq!(world.compare().len(), 28_100);
}
