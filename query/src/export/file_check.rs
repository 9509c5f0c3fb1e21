//! What a Parquet file says of its own rows: counts, smallest and largest values, names, types.
//!
//! Other readers believe this without reading the rows: they count from the footer and skip row groups by their
//! statistics. So it is checked against the rows, and what cannot be checked must not be there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Float64Array, RecordBatch, Scalar};
use arrow::compute::kernels::cmp::{eq, gt, lt};
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

/// The one entry of the footer's key-value metadata: Arrow's own copy of the schema.
const ARROW_SCHEMA_KEY: &str = "ARROW:schema";
/// Bytes of a row group, decoded, as its footer says. Ours have about 64 MiB of data, and typed columns beside it.
const GROUP_BYTES_MAX: i64 = 2 << 30;

/// Why a file cannot be believed.
#[derive(Debug, PartialEq, Eq)]
pub enum FileProblem {
    /// It says something that is not so.
    False(String),
    /// It has a part that is not looked at here, but by other readers.
    Unknown(&'static str),
}

impl From<String> for FileProblem {
    fn from(what: String) -> Self {
        FileProblem::False(what)
    }
}

/// Checks the footer: the schema as every reader sees it, counts, and that there is nothing beyond.
pub fn check_footer(metadata: &ArrowReaderMetadata, expected: &Schema) -> Result<(), FileProblem> {
    let parquet = metadata.metadata();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    // Some readers take the types from Arrow's copy of the schema, others from Parquet's own.
    let plain = ArrowReaderMetadata::try_new(parquet.clone(), options).map_err(|e| e.to_string())?;
    for schema in [metadata.schema(), plain.schema()] {
        check_schema(schema, expected)?;
    }
    let file = parquet.file_metadata();
    let others = file.key_value_metadata().is_some_and(|all| all.iter().any(|entry| entry.key != ARROW_SCHEMA_KEY));
    if others {
        return Err(FileProblem::Unknown("its footer has entries that tell readers how to show it"));
    }
    for group in parquet.row_groups() {
        check_group(group)?;
    }
    let rows: i64 = parquet.row_groups().iter().map(RowGroupMetaData::num_rows).fold(0, i64::saturating_add);
    if file.num_rows() != rows {
        return Err(format!("its footer says {} rows, its row groups {rows}", file.num_rows()).into());
    }
    Ok(())
}

fn check_schema(found: &Schema, expected: &Schema) -> Result<(), FileProblem> {
    let same =
        found.fields().len() == expected.fields().len()
            && found.fields().iter().zip(expected.fields()).all(|(a, b)| {
                a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
            });
    if same {
        return Ok(());
    }
    let names: Vec<&str> = expected.fields().iter().map(|field| field.name().as_str()).collect();
    Err(format!("its columns are not {} with the types that the manifest says", names.join(", ")).into())
}

fn check_group(group: &RowGroupMetaData) -> Result<(), FileProblem> {
    if group.sorting_columns().is_some() {
        return Err(FileProblem::Unknown("it says how its rows are sorted"));
    }
    if group.total_byte_size() > GROUP_BYTES_MAX {
        return Err(FileProblem::Unknown("a row group is larger than any that an export has"));
    }
    for column in group.columns() {
        if column.file_path().is_some() {
            return Err(FileProblem::Unknown("a column is in another file"));
        }
        let indexes = [column.bloom_filter_offset(), column.column_index_offset(), column.offset_index_offset()];
        if indexes.iter().any(Option::is_some) {
            return Err(FileProblem::Unknown("it has an index of its pages or a filter"));
        }
        if column.num_values() != group.num_rows() {
            return Err("a column has another number of values than its row group has rows".to_owned().into());
        }
        // Without bounds, as in a column of nulls, the form of the bounds says nothing.
        let bounded = column.statistics().filter(|s| s.min_bytes_opt().is_some() || s.max_bytes_opt().is_some());
        if bounded.is_some_and(|s| s.is_min_max_deprecated()) {
            return Err(FileProblem::Unknown("it has statistics of an old form"));
        }
    }
    Ok(())
}

/// What one row group says of its columns, compared with its rows batch by batch.
pub struct GroupCheck {
    rows_left: i64,
    columns: Vec<Claim>,
}

/// What is said of a column in one row group.
struct Claim {
    name: String,
    nulls: Option<u64>,
    nulls_found: u64,
    least: Option<Bound>,
    greatest: Option<Bound>,
}

struct Bound {
    value: Scalar<ArrayRef>,
    /// It must be among the values.
    exact: bool,
    met: bool,
}

impl GroupCheck {
    /// What group `number` says.
    pub fn new(metadata: &ParquetMetaData, schema: &Schema, number: usize) -> Result<GroupCheck, FileProblem> {
        let group = metadata.row_group(number);
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (at, field) in schema.fields().iter().enumerate() {
            let said = group.column(at).statistics();
            let converter = StatisticsConverter::from_column_index(at, field, metadata.file_metadata().schema_descr())
                .map_err(|e| e.to_string())?;
            let bound = |values: Result<ArrayRef, _>, bytes: Option<&[u8]>, exact: bool| {
                let values = values.map_err(|e: parquet::errors::ParquetError| e.to_string())?;
                match (bytes, values.is_null(0)) {
                    (None, _) => Ok(None),
                    (Some(_), true) => Err(format!("the statistics of column {} cannot be read", field.name())),
                    (Some(_), false) => {
                        Ok(Some(Bound { value: Scalar::new(numbers_only(&values)), exact, met: false }))
                    }
                }
            };
            columns.push(Claim {
                name: field.name().clone(),
                nulls: said.and_then(|s| s.null_count_opt()),
                nulls_found: 0,
                least: bound(
                    converter.row_group_mins([group]),
                    said.and_then(|s| s.min_bytes_opt()),
                    said.is_some_and(|s| s.min_is_exact()),
                )?,
                greatest: bound(
                    converter.row_group_maxes([group]),
                    said.and_then(|s| s.max_bytes_opt()),
                    said.is_some_and(|s| s.max_is_exact()),
                )?,
            });
        }
        Ok(GroupCheck { rows_left: group.num_rows(), columns })
    }

    /// Compares the next rows of the group.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(), FileProblem> {
        self.rows_left -= batch.num_rows() as i64;
        for (claim, values) in self.columns.iter_mut().zip(batch.columns()) {
            claim.nulls_found += values.null_count() as u64;
            let failed = |e: ArrowError| e.to_string();
            let values = numbers_only(values);
            let beyond = [
                claim.least.as_mut().map(|bound| bound.compare(&values, lt)),
                claim.greatest.as_mut().map(|bound| bound.compare(&values, gt)),
            ];
            for beyond in beyond.into_iter().flatten() {
                if beyond.map_err(failed)? {
                    return Err(format!("the statistics of column {} leave out values that it has", claim.name).into());
                }
            }
        }
        Ok(())
    }

    /// The end of the group.
    pub fn finish(self) -> Result<(), FileProblem> {
        if self.rows_left != 0 {
            return Err("a row group has another number of rows than its footer says".to_owned().into());
        }
        for claim in self.columns {
            let missed = [&claim.least, &claim.greatest].into_iter().flatten().any(|bound| bound.exact && !bound.met);
            if missed || claim.nulls.is_some_and(|nulls| nulls != claim.nulls_found) {
                return Err(format!("the statistics of column {} are not those of its values", claim.name).into());
            }
        }
        Ok(())
    }
}

type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

impl Bound {
    /// True if a value lies beyond.
    fn compare(&mut self, values: &ArrayRef, beyond: Compare) -> Result<bool, ArrowError> {
        if self.exact && !self.met {
            self.met = eq(values, &self.value)?.true_count() > 0;
        }
        Ok(beyond(values, &self.value)?.true_count() > 0)
    }
}

/// NaN has no place among the numbers, and Parquet's statistics leave it out. They widen a bound of zero to −0.0 or 0.0,
/// which are one number to readers, and so they are here.
fn numbers_only(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float64 => {
            let number = |value: f64| (!value.is_nan()).then_some(if value == 0.0 { 0.0 } else { value });
            let kept = values.as_primitive::<Float64Type>().iter().map(|value| value.and_then(number));
            Arc::new(kept.collect::<Float64Array>())
        }
        _ => values.clone(),
    }
}
