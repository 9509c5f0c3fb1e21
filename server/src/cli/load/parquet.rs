//! Parquet: batches of rows, read column by column, page by page. A file of `ledgerstone export` is read by the column that has
//! its documents as they were.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use ledgerstone_digest::ion::{self, Limits, Struct, Value};
use ledgerstone_query::types::SqlType;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::source::{Cells, Place, Row, Source, Trouble};

/// Rows that are read at a time: of each column so many are in memory.
const BATCH_ROWS: usize = 256;
/// The document, in a file of ours.
const DOCUMENT_COLUMN: &str = "_ql_ion";
const DELETED_COLUMN: &str = "_ql_deleted";
const SALT_FIELD: &str = "_ql_salt";

pub struct Parquet {
    reader: ParquetRecordBatchReader,
    fields: Vec<(String, DataType, bool)>,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    at: usize,
    rows: u64,
    rows_in_file: u64,
    file_bytes: u64,
}

impl Parquet {
    pub fn open(path: &Path) -> Result<Parquet, Trouble> {
        let file = File::open(path).map_err(|error| Trouble::new(error.to_string()))?;
        let file_bytes = file.metadata().map_err(|error| Trouble::new(error.to_string()))?.len();
        let built = guarded(move || {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
            let rows = builder.metadata().file_metadata().num_rows();
            let schema = builder.schema().clone();
            Ok::<_, parquet::errors::ParquetError>((builder.build()?, schema, rows))
        });
        let (reader, schema, rows) = match built {
            Ok(Ok(built)) => built,
            Ok(Err(error)) => return Err(damaged(&error.to_string())),
            Err(_) => return Err(damaged("its footer cannot be read")),
        };
        let json = |field: &arrow::datatypes::Field| {
            field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.json")
        };
        let fields = schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone(), json(field)));
        Ok(Parquet {
            fields: fields.collect(),
            reader,
            batch: None,
            at: 0,
            rows: 0,
            rows_in_file: u64::try_from(rows).unwrap_or(0),
            file_bytes,
        })
    }

    fn is_export(&self) -> bool {
        let is_it = |(name, ty, _): &(String, DataType, bool)| name == DOCUMENT_COLUMN && *ty == DataType::Binary;
        self.fields.iter().any(is_it)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Trouble> {
        let place = Place::Row(self.rows + 1);
        match guarded(|| self.reader.next()) {
            Ok(None) if self.rows < self.rows_in_file => {
                let what = format!("the file ends after {} of its {} rows", self.rows, self.rows_in_file);
                Err(Trouble::new(what).at(place))
            }
            Ok(None) => Ok(None),
            Ok(Some(Ok(batch))) => Ok(Some(batch)),
            Ok(Some(Err(error))) => Err(damaged(&error.to_string()).at(place)),
            Err(_) => Err(damaged("a page cannot be read").at(place)),
        }
    }
}

impl Source for Parquet {
    fn next(&mut self) -> Result<Option<Row>, Trouble> {
        loop {
            let batch = match self.batch.take() {
                Some(batch) if self.at < batch.num_rows() => batch,
                _ => {
                    self.at = 0;
                    match self.next_batch()? {
                        Some(batch) => batch,
                        None => return Ok(None),
                    }
                }
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let row = self.at;
            self.at += 1;
            self.rows += 1;
            let place = Place::Row(self.rows);
            let cells = match self.is_export() {
                true => match document(&batch, row).map_err(|trouble| trouble.at(place.clone()))? {
                    Some(value) => Cells::Document(value),
                    None => {
                        self.batch = Some(batch);
                        continue;
                    }
                },
                false => Cells::Arrow(batch.clone(), row),
            };
            self.batch = Some(batch);
            return Ok(Some(Row { place, cells }));
        }
    }

    fn columns(&mut self) -> Result<Option<Vec<(String, SqlType)>>, Trouble> {
        if self.is_export() {
            return Ok(Some(Vec::new()));
        }
        let column = |(name, ty, json): &(String, DataType, bool)| {
            let sql = if *json { Some(SqlType::Jsonb) } else { sql_type(ty) };
            let sql = sql.ok_or_else(|| {
                Trouble::new(format!("the type {ty} has none in SQL"))
                    .column(name)
                    .help("Leave the column out with --skip.")
            })?;
            Ok((name.clone(), sql))
        };
        self.fields.iter().map(column).collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// In proportion to the rows: the file is not read from its beginning to its end.
    fn bytes_read(&self) -> u64 {
        let part = u128::from(self.file_bytes) * u128::from(self.rows) / u128::from(self.rows_in_file.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

/// Reads something of a file that may have been changed anywhere, which the library does not always refuse in good order.
fn guarded<T>(read: impl FnOnce() -> T) -> std::thread::Result<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(read));
    std::panic::set_hook(hook);
    outcome
}

/// The document of an exported row; `None` of a deletion.
fn document(batch: &RecordBatch, row: usize) -> Result<Option<Value>, Trouble> {
    let deleted = batch.column_by_name(DELETED_COLUMN).and_then(|column| column.as_boolean_opt().cloned());
    if deleted.is_some_and(|deleted| !deleted.is_null(row) && deleted.value(row)) {
        return Ok(None);
    }
    let documents = batch.column_by_name(DOCUMENT_COLUMN).and_then(|column| column.as_binary_opt::<i32>().cloned());
    let documents = documents.ok_or_else(|| Trouble::new("the column of documents is of another type"))?;
    if documents.is_null(row) {
        let what = "the row has no document: its data was redacted or withheld";
        return Err(Trouble::new(what).column(DOCUMENT_COLUMN).help("Leave such rows out of the file first."));
    }
    let value = ion::decode(documents.value(row), &Limits::DOCUMENT)
        .map_err(|error| Trouble::new(format!("it is no Ion: {error}")).column(DOCUMENT_COLUMN))?;
    Ok(Some(match value {
        // The new table makes salts of its own.
        Value::Struct(fields) => Value::Struct(Struct {
            fields: fields.fields.into_iter().filter(|(name, _)| name.text() != Some(SALT_FIELD)).collect(),
        }),
        other => other,
    }))
}

/// The SQL type that takes every value of an Arrow type.
fn sql_type(ty: &DataType) -> Option<SqlType> {
    Some(match ty {
        DataType::Boolean => SqlType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => SqlType::Int2,
        DataType::Int32 | DataType::UInt16 => SqlType::Int4,
        DataType::Int64 | DataType::UInt32 => SqlType::Int8,
        DataType::UInt64 => SqlType::Numeric { precision: Some(20), scale: Some(0) },
        DataType::Float16 | DataType::Float32 => SqlType::Float4,
        DataType::Float64 => SqlType::Float8,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            SqlType::Numeric { precision: Some(u16::from(*precision)), scale: Some(i16::from(*scale)) }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::Text,
        DataType::Time32(_) | DataType::Time64(_) => SqlType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            SqlType::Bytea
        }
        DataType::Date32 | DataType::Date64 => SqlType::Date,
        DataType::Timestamp(
            TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
            zone,
        ) => {
            if zone.is_some() {
                SqlType::TimestampTz
            } else {
                SqlType::Timestamp
            }
        }
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano)
        | DataType::Duration(_) => SqlType::Interval,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match sql_type(item.data_type())? {
                SqlType::Array(_) | SqlType::Jsonb => SqlType::Jsonb,
                element => SqlType::Array(Box::new(element)),
            }
        }
        DataType::Struct(_) => SqlType::Jsonb,
        DataType::Dictionary(_, value) => return sql_type(value),
        _ => return None,
    })
}

fn damaged(what: &str) -> Trouble {
    Trouble::new(format!("it is no whole Parquet file: {what}")).help("Compare it with the one it was copied from.")
}
