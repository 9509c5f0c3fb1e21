//! Columns beside everything else: they are written, damaged, deleted and replaced by older ones, and whatever a scan of
//! them says is what the document executor says at the same snapshot. A file that is wrong may cost an answer, never make
//! a wrong one: the error names the file, and the next scan has made the columns again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_journal::env::write_whole;
use ledgerstone_query::catalogue::Table;
use ledgerstone_query::columns::{
    COLUMNS_DIR, ColumnError, ColumnOptions, ColumnView, Field, ScanRequest, check_columns, rebuild_columns,
};
use ledgerstone_query::error::QueryError;
use ledgerstone_query::transaction::{Doc, Transaction, View};

use super::world::World;

/// The fields of every table.
const FIELDS: [&str; 3] = ["k", "n", "s"];
/// Bytes of a file that are kept to be put back later, at most.
const KEPT_BYTES_MAX: u64 = 16 << 20;

/// What is seen of revisions, by position: the data as text, whether it is a deletion, its successor.
type Seen = BTreeMap<u64, String>;

/// Files of columns as they were once.
pub type Kept = Vec<(PathBuf, Vec<u8>)>;

impl World {
    /// Small pieces, which are joined and written all the time, and little memory.
    pub fn column_options() -> ColumnOptions {
        ColumnOptions {
            memory_bytes_max: 64 << 10,
            cache_bytes_max: 256 << 10,
            piece_rows: 32,
            project_above_positions: 8,
        }
    }

    /// Somebody asks for columns, or the thread that writes them takes a step.
    pub fn use_columns(&mut self) {
        if self.rng.one_in(3) {
            return self.compare_columns();
        }
        let columns = self.database().columns().clone();
        match columns.flush() {
            Ok(true) => self.coverage.met("action: columns written"),
            Ok(false) => {}
            Err(error) => self.refused_columns("writing columns", error),
        }
    }

    /// Every table by columns and by the document executor, in a view of some kind.
    pub fn compare_columns(&mut self) {
        if self.sim.disk.is_stopped() || self.database.is_none() {
            return;
        }
        let tx = Transaction::begin(self.database(), true);
        let mut tables: Vec<Arc<Table>> = tx.catalogue().active_tables().cloned().collect();
        tables.sort_by_key(|table| table.id);
        let at = match self.rng.below(self.model.blocks.len() as u64 + 1).checked_sub(1) {
            Some(block) => self.model.blocks[block as usize].end,
            None => tx.snapshot(),
        };
        for table in tables {
            let view = match self.rng.below(3) {
                0 => ColumnView::Current,
                1 => ColumnView::AsOf(at.min(tx.snapshot())),
                _ => ColumnView::History { from: 0, to: tx.snapshot() },
            };
            if !self.compare_view(&tx, &table, view) {
                return;
            }
        }
        self.coverage.met("action: columns compared");
    }

    /// False: one of the two was refused.
    fn compare_view(&mut self, tx: &Transaction, table: &Table, view: ColumnView) -> bool {
        let documents = match view {
            ColumnView::Current => tx.scan(table, View::Current),
            ColumnView::AsOf(at) => tx.scan(table, View::AsOf(at)),
            ColumnView::History { .. } => tx.history(table, None, None, None),
        };
        let documents =
            documents.and_then(|docs| docs.map(|doc| doc.map(|doc| shown(&doc))).collect::<Result<Seen, QueryError>>());
        let documents = match documents {
            Ok(documents) => documents,
            Err(error) => {
                self.refused("the document executor beside columns", &error);
                return false;
            }
        };
        for attempt in 0..2 {
            match scanned(tx, table.id, view) {
                Ok(found) => {
                    assert_eq!(found, documents, "columns of {} in {view:?} at {}", table.name, tx.snapshot());
                    return true;
                }
                // What is wrong with a file is found once: by then the columns are made again.
                Err(ColumnError::Damaged { path, .. }) if attempt == 0 && is_of_columns(&path) => {
                    self.coverage.met("action: columns found damaged");
                }
                Err(error) => {
                    self.refused_columns("a scan of columns", error);
                    return false;
                }
            }
        }
        false
    }

    fn refused_columns(&mut self, what: &str, error: ColumnError) {
        self.refused(what, &QueryError::from(error));
    }

    /// Between two lives: what there is of columns is kept, or what was kept is put back, all of it or one file.
    pub fn age_columns(&mut self) {
        let dir = Self::path(COLUMNS_DIR);
        let storage = Arc::clone(&self.env.storage);
        if self.rng.one_in(3) {
            let kept = self.sim.disk.quietly(|| {
                let names = storage.read_dir(&dir).unwrap_or_default();
                let read = |path: PathBuf| {
                    let bytes = ledgerstone_journal::env::read_file(&*storage, &path, KEPT_BYTES_MAX).ok()?;
                    Some((path, bytes))
                };
                names.iter().filter_map(|entry| read(dir.join(&entry.name))).collect::<Kept>()
            });
            self.kept_columns = kept;
        } else if self.rng.one_in(3) && !self.kept_columns.is_empty() {
            let one = self.rng.one_in(3).then(|| self.rng.below(self.kept_columns.len() as u64) as usize);
            self.tell(|_| format!("old columns are put back: {one:?}"));
            self.sim.disk.quietly(|| {
                if one.is_none() {
                    let _ = storage.remove_dir_all(&dir);
                }
                let made = storage.create_dir_all(&dir);
                made.unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
                for (path, bytes) in self.kept_columns.iter().skip(one.unwrap_or(0)).take(one.map_or(usize::MAX, |_| 1))
                {
                    write_whole(&*storage, path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                }
                let synced = storage.sync_dir(&dir).and_then(|()| storage.sync_dir(Self::dir()));
                synced.unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            });
            self.coverage.met("fault: old column files");
        }
    }

    /// What the files come to in the end: what the journal says, or damage that is named; and made again they are right.
    pub fn check_column_files(&mut self) {
        let check = |world: &World| check_columns(&world.env, World::dir(), World::id(), &mut |_, _| ());
        match check(self) {
            Ok(Some(_)) => self.coverage.met("action: columns compared with the journal"),
            Ok(None) => {}
            Err(ColumnError::Damaged { path, .. }) if is_of_columns(&path) => {}
            Err(error) => panic!("the columns cannot be compared: {error}"),
        }
        let options = Self::column_options();
        let rebuilt = rebuild_columns(&self.env, World::dir(), options, &mut |_, _| ());
        let rebuilt = rebuilt.unwrap_or_else(|error| panic!("the columns are not made again: {error}"));
        let checked = check(self).unwrap_or_else(|error| panic!("the columns that were made again: {error}"));
        assert_eq!(checked, rebuilt);
        self.coverage.met("action: columns made again");
    }
}

fn is_of_columns(path: &std::path::Path) -> bool {
    path.parent() == Some(&World::path(COLUMNS_DIR))
}

fn scanned(tx: &Transaction, table: Id, view: ColumnView) -> Result<Seen, ColumnError> {
    let fields = FIELDS.map(str::to_owned).to_vec();
    let request = ScanRequest { table, snapshot: tx.snapshot(), view, fields, meta: Vec::new() };
    let mut seen = Seen::new();
    for partition in tx.database().columns().scan(request, &|| false)?.partitions {
        let batch = partition.read(&|| false)?;
        let successors: Vec<Option<u64>> = batch.successors()?.iter().collect();
        for row in (0..batch.rows).filter(|row| batch.selection.value(*row)) {
            let mut line = String::new();
            for (name, field) in FIELDS.iter().zip(&batch.fields) {
                let value = match field {
                    Field::Absent => None,
                    Field::Column(column) => column.value(row)?,
                    Field::NotKept => panic!("{name} has no column"),
                };
                line += &told(value.as_ref());
            }
            // Only histories say what superseded a revision.
            let successor = successors[row].filter(|_| matches!(view, ColumnView::History { .. }));
            line += &format!("{} {successor:?}", batch.is_deletion(row));
            assert!(seen.insert(batch.positions().value(row), line).is_none(), "a position twice");
        }
    }
    Ok(seen)
}

fn shown(doc: &Doc) -> (u64, String) {
    let data = doc.data.as_deref().and_then(Value::as_struct);
    let mut line: String = FIELDS.iter().map(|name| told(data.and_then(|data| data.get(name)))).collect();
    line += &format!("{} {:?}", doc.is_deletion(), doc.successor);
    (doc.position, line)
}

fn told(value: Option<&Value>) -> String {
    value.map_or("- ".to_owned(), |value| format!("{} ", ion::to_text(value)))
}
