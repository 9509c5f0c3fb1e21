//! The rows of one exported table as the verifier takes them: what opens each leaf, what the row states beside it, and
//! whether its typed columns follow from its Ion value.

use std::cell::Cell as Shared;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use ledgerstone_digest::block::Metadata;
use ledgerstone_digest::export::{ExportRow, Stated};
use ledgerstone_digest::ion::{Limits, Value, decode};
use ledgerstone_digest::receipt::{Content, RevisionOpening};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::columns::{Cell, ColumnKind, TypedColumn};
use super::file_check::{FileProblem, GroupCheck, check_footer};
use super::manifest::{DataFile, TableEntry};
use super::rows::{BatchReader, Row, schema};
use super::verify::{ExportProblem, Result, inside, unreadable, wrong};

/// Whether the typed columns of a row follow from its Ion value: how many there are, or what is wrong. It is judged
/// after the row's commitment, so that an edited Ion value is called that.
pub type Typed = std::result::Result<u64, String>;

/// Reads the rows of one table, file by file and row group by row group.
pub struct TableReader<'a> {
    directory: &'a Path,
    table: &'a TableEntry,
    /// Rows of one batch.
    batch_rows: usize,
    /// The number of the file that is read, for messages.
    at: Rc<Shared<usize>>,
    next_file: usize,
    open: Option<OpenFile>,
}

struct OpenFile {
    file: File,
    metadata: ArrowReaderMetadata,
    next_group: usize,
    group: Option<(ParquetRecordBatchReader, GroupCheck)>,
    batch: Option<(RecordBatch, usize)>,
    rows: u64,
    positions: Option<(u64, u64)>,
}

impl<'a> TableReader<'a> {
    pub fn new(directory: &'a Path, table: &'a TableEntry, batch_rows: usize, at: Rc<Shared<usize>>) -> Self {
        TableReader { directory, table, batch_rows, at, next_file: 0, open: None }
    }

    fn advance(&mut self) -> Result<Option<ExportRow<Typed>>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(entry) = self.table.files.get(self.next_file) else { return Ok(None) };
                self.at.set(self.next_file);
                self.next_file += 1;
                self.open = Some(OpenFile::open(self.directory, entry, &self.table.columns)?);
                continue;
            };
            let Some(entry) = self.table.files.get(self.at.get()) else { return Ok(None) };
            if let Some((batch, at)) = &mut open.batch {
                if *at < batch.num_rows() {
                    let row = read_row(&self.table.columns, batch, *at).map_err(|what| wrong(&entry.path, what))?;
                    *at += 1;
                    open.rows += 1;
                    open.positions = Some((open.positions.map_or(row.position, |(first, _)| first), row.position));
                    return Ok(Some(row));
                }
                open.batch = None;
            }
            if !open.next_batch(self.batch_rows).map_err(|problem| problem.of(&entry.path))? {
                open.compare(entry)?;
                self.open = None;
            }
        }
    }
}

impl Iterator for TableReader<'_> {
    type Item = Result<ExportRow<Typed>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl FileProblem {
    fn of(self, file: &str) -> ExportProblem {
        match self {
            FileProblem::False(what) => wrong(file, what),
            FileProblem::Unknown(what) => unreadable(file, format!("{what}; an export has no such thing")),
        }
    }
}

impl OpenFile {
    fn open(directory: &Path, entry: &DataFile, columns: &[TypedColumn]) -> Result<OpenFile> {
        let file = File::open(inside(directory, &entry.path)?).map_err(|e| unreadable(&entry.path, e))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|e| wrong(&entry.path, e.to_string()))?;
        check_footer(&metadata, &schema(columns)).map_err(|problem| problem.of(&entry.path))?;
        Ok(OpenFile { file, metadata, next_group: 0, group: None, batch: None, rows: 0, positions: None })
    }

    /// False at the end of the file.
    fn next_batch(&mut self, batch_rows: usize) -> std::result::Result<bool, FileProblem> {
        loop {
            if let Some((reader, check)) = &mut self.group {
                if let Some(batch) = reader.next() {
                    let batch = batch.map_err(|e| e.to_string())?;
                    check.batch(&batch)?;
                    self.batch = Some((batch, 0));
                    return Ok(true);
                }
                if let Some((_, check)) = self.group.take() {
                    check.finish()?;
                }
            }
            let number = self.next_group;
            let parquet = self.metadata.metadata();
            if number == parquet.num_row_groups() {
                return Ok(false);
            }
            let check = GroupCheck::new(parquet, self.metadata.schema(), number)?;
            let file = self.file.try_clone().map_err(|e| e.to_string())?;
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
            let reader = builder.with_row_groups(vec![number]).with_batch_size(batch_rows).build();
            self.group = Some((reader.map_err(|e| e.to_string())?, check));
            self.next_group += 1;
        }
    }

    /// The manifest's word on the file must be so.
    fn compare(&self, entry: &DataFile) -> Result<()> {
        let (first, last) = self.positions.unwrap_or((0, 0));
        if (self.rows, first, last) != (entry.rows, entry.first_position, entry.last_position) {
            return Err(wrong(&entry.path, "the manifest says something else of its rows and positions".to_owned()));
        }
        Ok(())
    }
}

fn read_row(columns: &[TypedColumn], batch: &RecordBatch, at: usize) -> std::result::Result<ExportRow<Typed>, String> {
    let reader = BatchReader::new(batch);
    let row = reader.row(at)?;
    let problem = |what: &str| format!("position {}: {what}", row.position);
    let data = match &row.ion {
        None => None,
        Some(bytes) => {
            Some(Arc::new(decode(bytes, &Limits::STORED).map_err(|e| problem(&format!("its Ion value: {e}")))?))
        }
    };
    let typed = compare_typed(columns, &reader, at, &row, data.as_deref());
    let metadata =
        Metadata { id: row.document_id, version: row.version, tx_time_ms: row.time_ms, tx_id: row.transaction_id }
            .to_value();
    let content = match (data, row.data_hash) {
        (Some(data), None) => Content::Data { metadata, data },
        (None, Some(data_hash)) => Content::DataHash { metadata, data_hash },
        (None, None) => Content::Deleted { metadata },
        (Some(_), Some(_)) => return Err(problem("it has both a value and a hash in its place")),
    };
    let stated = Stated {
        document_id: row.document_id,
        version: row.version,
        supersedes: row.supersedes,
        deleted: row.deleted,
        block: row.block,
        strand: row.strand,
        transaction_id: row.transaction_id,
        time_ms: row.time_ms,
        revision_hash: row.hash,
    };
    let opening = RevisionOpening { blind: row.blind, content };
    Ok(ExportRow { position: row.position, opening, stated: Some(stated), extra: typed })
}

fn compare_typed(
    columns: &[TypedColumn],
    reader: &BatchReader<'_>,
    at: usize,
    row: &Row,
    data: Option<&Value>,
) -> Typed {
    let document = data.and_then(Value::as_struct);
    for (number, column) in columns.iter().enumerate() {
        let found = reader.cell(number, column.kind, at)?;
        let field = document.zip(column.path.first()).and_then(|(document, field)| document.get(field));
        let derived = field.map_or(Cell::Null, |value| column.kind.of(value));
        if !found.same(&derived) {
            return Err(format!(
                "position {}: column {} says {found:?}, the Ion value says {derived:?}",
                row.position, column.column
            ));
        }
        // JSON has no form for some values; any other column was chosen because it holds all that the field has.
        let lost = derived == Cell::Null && field.is_some_and(|value| !matches!(value, Value::Null(_)));
        if lost && column.kind != ColumnKind::Json {
            return Err(format!(
                "position {}: column {} is null, because its type cannot hold what the Ion value says",
                row.position, column.column
            ));
        }
    }
    Ok(columns.len() as u64)
}
