//! The rows of one table as Arrow batches and back: metadata, proof material, the exact Ion value, typed columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, Date32Array, Date32Builder,
    Decimal128Array, Decimal128Builder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Float64Array, Float64Builder,
    Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder, TimestampMillisecondArray, TimestampMillisecondBuilder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use ledgerstone_digest::ion::Struct;
use ledgerstone_digest::{Hash, Id};

use super::columns::{Cell, ColumnKind, TypedColumn};

/// The columns before the typed ones, in order.
pub const FIXED_COLUMNS: [&str; 13] = [
    "_ql_position",
    "_ql_id",
    "_ql_version",
    "_ql_txtime",
    "_ql_txid",
    "_ql_block",
    "_ql_strand",
    "_ql_supersedes",
    "_ql_deleted",
    "_ql_hash",
    "_ql_data_hash",
    "_ql_blind",
    "_ql_ion",
];
/// The digits of an exported decimal.
const DECIMAL_PRECISION: u8 = 38;

/// One revision as it is exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub position: u64,
    pub document_id: Id,
    pub version: u64,
    pub time_ms: i64,
    pub transaction_id: Id,
    pub block: u64,
    pub strand: Id,
    pub supersedes: Option<u64>,
    pub deleted: bool,
    /// QLDB's revision hash.
    pub hash: Hash,
    /// IH(data) where the data is redacted.
    pub data_hash: Option<Hash>,
    pub blind: [u8; 16],
    /// The data as Ion binary; none if deleted or redacted.
    pub ion: Option<Vec<u8>>,
}

/// The Parquet file's schema.
pub fn schema(columns: &[TypedColumn]) -> SchemaRef {
    let utc = || Some(Arc::from("UTC"));
    let mut fields: Vec<Field> = vec![
        Field::new(FIXED_COLUMNS[0], DataType::UInt64, false),
        Field::new(FIXED_COLUMNS[1], DataType::Utf8, false),
        Field::new(FIXED_COLUMNS[2], DataType::UInt64, false),
        Field::new(FIXED_COLUMNS[3], DataType::Timestamp(TimeUnit::Millisecond, utc()), false),
        Field::new(FIXED_COLUMNS[4], DataType::Utf8, false),
        Field::new(FIXED_COLUMNS[5], DataType::UInt64, false),
        Field::new(FIXED_COLUMNS[6], DataType::Utf8, false),
        Field::new(FIXED_COLUMNS[7], DataType::UInt64, true),
        Field::new(FIXED_COLUMNS[8], DataType::Boolean, false),
        Field::new(FIXED_COLUMNS[9], DataType::FixedSizeBinary(32), false),
        Field::new(FIXED_COLUMNS[10], DataType::FixedSizeBinary(32), true),
        Field::new(FIXED_COLUMNS[11], DataType::FixedSizeBinary(16), false),
        Field::new(FIXED_COLUMNS[12], DataType::Binary, true),
    ];
    for column in columns {
        let ty = match column.kind {
            ColumnKind::Bool => DataType::Boolean,
            ColumnKind::Int => DataType::Int64,
            ColumnKind::Float => DataType::Float64,
            ColumnKind::Decimal { scale } => DataType::Decimal128(DECIMAL_PRECISION, scale as i8),
            ColumnKind::Text | ColumnKind::Json => DataType::Utf8,
            ColumnKind::Date => DataType::Date32,
            ColumnKind::TimestampMicros => DataType::Timestamp(TimeUnit::Microsecond, utc()),
            ColumnKind::Bytes => DataType::Binary,
        };
        fields.push(Field::new(&column.column, ty, true));
    }
    Arc::new(Schema::new(fields))
}

/// Collects rows into batches.
pub struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<TypedColumn>,
    rows: Vec<Row>,
    cells: Vec<Vec<Cell>>,
    bytes: usize,
}

impl BatchBuilder {
    pub fn new(columns: Vec<TypedColumn>) -> Self {
        let cells = columns.iter().map(|_| Vec::new()).collect();
        BatchBuilder { schema: schema(&columns), columns, rows: Vec::new(), cells, bytes: 0 }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of Ion data held, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, row: Row, data: Option<&Struct>) {
        for (column, cells) in self.columns.iter().zip(&mut self.cells) {
            cells.push(match (data, column.path.first()) {
                (Some(data), Some(field)) => column.kind.derive(data, field),
                _ => Cell::Null,
            });
        }
        self.bytes += row.ion.as_ref().map_or(0, Vec::len) + 256;
        self.rows.push(row);
    }

    /// The rows so far as one batch; the builder is empty afterwards.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays = fixed_arrays(&rows)?;
        for (column, cells) in self.columns.iter().zip(&mut self.cells) {
            arrays.push(typed_array(column.kind, &std::mem::take(cells))?);
        }
        RecordBatch::try_new(self.schema.clone(), arrays)
    }
}

fn fixed_arrays(rows: &[Row]) -> Result<Vec<ArrayRef>, ArrowError> {
    let n = rows.len();
    let mut times = TimestampMillisecondBuilder::with_capacity(n).with_timezone("UTC");
    let (mut ids, mut tx_ids, mut strands) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let mut hashes = FixedSizeBinaryBuilder::with_capacity(n, 32);
    let mut data_hashes = FixedSizeBinaryBuilder::with_capacity(n, 32);
    let mut blinds = FixedSizeBinaryBuilder::with_capacity(n, 16);
    let mut ion = BinaryBuilder::new();
    let mut supersedes = UInt64Builder::with_capacity(n);
    let mut deleted = BooleanBuilder::with_capacity(n);
    for row in rows {
        times.append_value(row.time_ms);
        ids.append_value(row.document_id.to_string());
        tx_ids.append_value(row.transaction_id.to_string());
        strands.append_value(row.strand.to_string());
        hashes.append_value(row.hash.0)?;
        match &row.data_hash {
            Some(hash) => data_hashes.append_value(hash.0)?,
            None => data_hashes.append_null(),
        }
        blinds.append_value(row.blind)?;
        ion.append_option(row.ion.as_deref());
        supersedes.append_option(row.supersedes);
        deleted.append_value(row.deleted);
    }
    let numbers = |of: fn(&Row) -> u64| -> ArrayRef { Arc::new(UInt64Array::from_iter_values(rows.iter().map(of))) };
    Ok(vec![
        numbers(|r| r.position),
        Arc::new(ids.finish()),
        numbers(|r| r.version),
        Arc::new(times.finish()),
        Arc::new(tx_ids.finish()),
        numbers(|r| r.block),
        Arc::new(strands.finish()),
        Arc::new(supersedes.finish()),
        Arc::new(deleted.finish()),
        Arc::new(hashes.finish()),
        Arc::new(data_hashes.finish()),
        Arc::new(blinds.finish()),
        Arc::new(ion.finish()),
    ])
}

macro_rules! build {
    ($builder:expr, $cells:expr, $pattern:pat => $value:expr) => {{
        let mut builder = $builder;
        for cell in $cells {
            builder.append_option(match cell {
                $pattern => Some($value),
                _ => None,
            });
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

fn typed_array(kind: ColumnKind, cells: &[Cell]) -> Result<ArrayRef, ArrowError> {
    let n = cells.len();
    Ok(match kind {
        ColumnKind::Bool => build!(BooleanBuilder::with_capacity(n), cells, Cell::Bool(b) => *b),
        ColumnKind::Int => build!(Int64Builder::with_capacity(n), cells, Cell::Int(i) => *i),
        ColumnKind::Float => build!(Float64Builder::with_capacity(n), cells, Cell::Float(f) => *f),
        ColumnKind::Decimal { scale } => {
            let builder =
                Decimal128Builder::with_capacity(n).with_precision_and_scale(DECIMAL_PRECISION, scale as i8)?;
            build!(builder, cells, Cell::Decimal(d) => *d)
        }
        ColumnKind::Text | ColumnKind::Json => build!(StringBuilder::new(), cells, Cell::Text(s) => &**s),
        ColumnKind::Date => build!(Date32Builder::with_capacity(n), cells, Cell::Date(d) => *d),
        ColumnKind::TimestampMicros => {
            let builder = TimestampMicrosecondBuilder::with_capacity(n).with_timezone("UTC");
            build!(builder, cells, Cell::TimestampMicros(t) => *t)
        }
        ColumnKind::Bytes => build!(BinaryBuilder::new(), cells, Cell::Bytes(b) => &**b),
    })
}

/// Reads batches back, for the verifier: every accessor names the column that is not what it should be.
pub struct BatchReader<'a> {
    batch: &'a RecordBatch,
}

impl<'a> BatchReader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        BatchReader { batch }
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The fixed columns of a row.
    pub fn row(&self, at: usize) -> Result<Row, String> {
        Ok(Row {
            position: self.number(0, at)?.ok_or("_ql_position is null")?,
            document_id: self.id(1, at)?,
            version: self.number(2, at)?.ok_or("_ql_version is null")?,
            time_ms: self.present::<TimestampMillisecondArray>(3, at)?.value(at),
            transaction_id: self.id(4, at)?,
            block: self.number(5, at)?.ok_or("_ql_block is null")?,
            strand: self.id(6, at)?,
            supersedes: self.number(7, at)?,
            deleted: self.present::<BooleanArray>(8, at)?.value(at),
            hash: Hash(self.fixed::<32>(9, at)?.ok_or("_ql_hash is null")?),
            data_hash: self.fixed::<32>(10, at)?.map(Hash),
            blind: self.fixed::<16>(11, at)?.ok_or("_ql_blind is null")?,
            ion: {
                let ion = self.column::<BinaryArray>(12)?;
                (!ion.is_null(at)).then(|| ion.value(at).to_vec())
            },
        })
    }

    /// A typed column of a row.
    pub fn cell(&self, number: usize, kind: ColumnKind, at: usize) -> Result<Cell, String> {
        let number = FIXED_COLUMNS.len() + number;
        if self.batch.columns().get(number).is_none_or(|c| c.is_null(at)) {
            return Ok(Cell::Null);
        }
        Ok(match kind {
            ColumnKind::Bool => Cell::Bool(self.column::<BooleanArray>(number)?.value(at)),
            ColumnKind::Int => Cell::Int(self.column::<Int64Array>(number)?.value(at)),
            ColumnKind::Float => Cell::Float(self.column::<Float64Array>(number)?.value(at)),
            ColumnKind::Decimal { .. } => Cell::Decimal(self.column::<Decimal128Array>(number)?.value(at)),
            ColumnKind::Text | ColumnKind::Json => Cell::Text(self.column::<StringArray>(number)?.value(at).into()),
            ColumnKind::Date => Cell::Date(self.column::<Date32Array>(number)?.value(at)),
            ColumnKind::TimestampMicros => {
                Cell::TimestampMicros(self.column::<TimestampMicrosecondArray>(number)?.value(at))
            }
            ColumnKind::Bytes => Cell::Bytes(self.column::<BinaryArray>(number)?.value(at).into()),
        })
    }

    fn column<T: 'static>(&self, number: usize) -> Result<&'a T, String> {
        let column = self.batch.columns().get(number);
        column.and_then(|c| c.as_any().downcast_ref::<T>()).ok_or_else(|| {
            let name = FIXED_COLUMNS.get(number).map_or_else(|| format!("typed column {number}"), |n| n.to_string());
            format!("{name} is missing or has another type")
        })
    }

    /// A column that has a value in this row.
    fn present<T: Array + 'static>(&self, number: usize, at: usize) -> Result<&'a T, String> {
        let column = self.column::<T>(number)?;
        if column.is_null(at) { Err(format!("{} is null", FIXED_COLUMNS[number])) } else { Ok(column) }
    }

    fn number(&self, number: usize, at: usize) -> Result<Option<u64>, String> {
        let column = self.column::<UInt64Array>(number)?;
        Ok((!column.is_null(at)).then(|| column.value(at)))
    }

    fn id(&self, number: usize, at: usize) -> Result<Id, String> {
        let text = self.present::<StringArray>(number, at)?.value(at);
        text.parse().map_err(|_| format!("{} is not an id: {text:?}", FIXED_COLUMNS[number]))
    }

    fn fixed<const N: usize>(&self, number: usize, at: usize) -> Result<Option<[u8; N]>, String> {
        let column = self.column::<FixedSizeBinaryArray>(number)?;
        if column.is_null(at) {
            return Ok(None);
        }
        column.value(at).try_into().map(Some).map_err(|_| format!("{} does not have {N} bytes", FIXED_COLUMNS[number]))
    }
}
