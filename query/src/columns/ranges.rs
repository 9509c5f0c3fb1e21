//! A Parquet file of columns read in part: its end, which says what stands where, and the columns that are wanted. Only the
//! blocks that are read are compared with their checksums.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use ledgerstone_digest::ion::Value;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use super::ColumnError;
use super::field::{DIGITS, Form};
use super::segment::{BLOCK_BYTES, OpenFile};

/// What stands behind the last column: the length of what is before it, and a mark.
const FOOTER_BYTES: u64 = 8;

/// Parts of a file, by where they begin.
#[derive(Debug, Clone)]
struct Parts {
    length: u64,
    parts: Arc<[(u64, Bytes)]>,
}

impl Parts {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let found = self.parts.iter().find_map(|(at, bytes)| {
            let skipped = usize::try_from(start.checked_sub(*at)?).ok()?;
            (skipped <= bytes.len()).then(|| bytes.slice(skipped..))
        });
        found.ok_or_else(|| ParquetError::EOF(format!("nothing at {start} was read")))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Parts {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        match length <= bytes.len() {
            true => Ok(bytes.slice(..length)),
            false => Err(ParquetError::EOF(format!("{length} bytes at {start} were not read"))),
        }
    }
}

/// What a file's end says.
pub fn read_metadata(file: &OpenFile) -> Result<ArrowReaderMetadata, ColumnError> {
    let length = file.length();
    let told = |error: &dyn std::fmt::Display| file.contradiction(&format!("it cannot be decoded: {error}"));
    if length < FOOTER_BYTES {
        return Err(file.contradiction("it is no Parquet file"));
    }
    let mut from = length.saturating_sub(BLOCK_BYTES as u64);
    let mut bytes = file.read_range(from..length)?;
    let footer: Option<[u8; 4]> = bytes.len().checked_sub(8).and_then(|at| bytes.get(at..at + 4)?.try_into().ok());
    let end = u64::from(u32::from_le_bytes(footer.unwrap_or_default())) + FOOTER_BYTES;
    if end > bytes.len() as u64 {
        from = length.checked_sub(end).ok_or_else(|| file.contradiction("its end is longer than the file"))?;
        bytes = file.read_range(from..length)?;
    }
    let parts = Parts { length, parts: [(from, bytes)].into() };
    ArrowReaderMetadata::load(&parts, ArrowReaderOptions::new()).map_err(|error| told(&error))
}

/// Columns by ascending place, and how many bytes were read for them.
pub fn read_columns(
    file: &OpenFile,
    metadata: &ArrowReaderMetadata,
    places: &[usize],
) -> Result<(Vec<ArrayRef>, u64), ColumnError> {
    let told = |error: &dyn std::fmt::Display| file.contradiction(&format!("it cannot be decoded: {error}"));
    let parquet = metadata.metadata();
    let [group] = parquet.row_groups() else { return Err(file.contradiction("it has several row groups")) };
    let mut ranges: Vec<Range<u64>> = Vec::with_capacity(places.len());
    for place in places {
        let column = group.columns().get(*place).ok_or_else(|| file.contradiction("a column is missing"))?;
        let (start, length) = column.byte_range();
        let end = start.saturating_add(length);
        if end > file.length() {
            return Err(file.contradiction("a column ends behind the file"));
        }
        match ranges.last_mut() {
            // What lies between is read faster than a second time begun.
            Some(last) if start >= last.start && start <= last.end.saturating_add(BLOCK_BYTES as u64) => {
                last.end = last.end.max(end);
            }
            _ => ranges.push(start..end),
        }
    }
    let parts = ranges.into_iter().map(|range| Ok((range.start, file.read_range(range)?)));
    let parts = Parts { length: file.length(), parts: parts.collect::<Result<Vec<_>, ColumnError>>()?.into() };
    let read = parts.parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let rows = parquet.file_metadata().num_rows();
    let mask = ProjectionMask::roots(parquet.file_metadata().schema_descr(), places.iter().copied());
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(parts, metadata.clone()).with_projection(mask);
    let reader = builder.with_batch_size(usize::try_from(rows).unwrap_or_default().max(1)).build();
    let batch = reader.map_err(|error| told(&error))?.next();
    let batch = batch.ok_or_else(|| file.contradiction("it has no rows"))?.map_err(|error| told(&error))?;
    if batch.num_rows() as i64 != rows || batch.num_columns() != places.len() {
        return Err(file.contradiction("it has other columns or rows than it should"));
    }
    Ok((batch.columns().to_vec(), read))
}

/// What each column takes in memory when it is decoded, with what is read of the file for it.
pub fn decoded_bytes(metadata: &ArrowReaderMetadata) -> Vec<usize> {
    let [group] = metadata.metadata().row_groups() else { return Vec::new() };
    let rows = usize::try_from(group.num_rows()).unwrap_or_default();
    let of_column = |column: &ColumnChunkMetaData| {
        let file = usize::try_from(column.compressed_size()).unwrap_or_default();
        let values = match column.column_type() {
            Type::BOOLEAN => rows.div_ceil(8),
            Type::BYTE_ARRAY => {
                // As often as they stand there, though the file may have each of them once.
                let text = column.unencoded_byte_array_data_bytes().unwrap_or_else(|| column.uncompressed_size());
                usize::try_from(text).unwrap_or_default().saturating_add(size_of::<i32>() * rows)
            }
            Type::INT32 => size_of::<i32>() * rows,
            Type::INT64 | Type::FLOAT | Type::DOUBLE => size_of::<i64>() * rows,
            Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY => size_of::<i128>() * rows,
        };
        file.saturating_add(values)
    };
    group.columns().iter().map(of_column).collect()
}

/// Between which values a column's lie, its nulls aside; `None`: the file does not say. They need not be there themselves.
pub fn bounds(metadata: &ArrowReaderMetadata, place: usize, form: Form) -> Option<(Value, Value)> {
    let [group] = metadata.metadata().row_groups() else { return None };
    let array: ArrayRef = match (form, group.columns().get(place)?.statistics()?) {
        (Form::Int, Statistics::Int64(s)) => Arc::new(Int64Array::from(vec![*s.min_opt()?, *s.max_opt()?])),
        (Form::Time(_), Statistics::Int64(s)) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*s.min_opt()?, *s.max_opt()?]))
        }
        (Form::Float { plain: true }, Statistics::Double(s)) => {
            Arc::new(Float64Array::from(vec![*s.min_opt()?, *s.max_opt()?]))
        }
        (Form::Text, Statistics::ByteArray(s)) => {
            let text = |bytes| std::str::from_utf8(bytes).ok();
            Arc::new(StringArray::from(vec![text(s.min_opt()?.data())?, text(s.max_opt()?.data())?]))
        }
        (Form::Decimal(scale), Statistics::FixedLenByteArray(s)) => {
            let number = |bytes: &[u8]| Some(i128::from_be_bytes(bytes.try_into().ok()?));
            let numbers = vec![number(s.min_opt()?.data())?, number(s.max_opt()?.data())?];
            Arc::new(Decimal128Array::from(numbers).with_precision_and_scale(DIGITS, scale).ok()?)
        }
        _ => return None,
    };
    let array: &dyn Array = &*array;
    form.value(array, 0).ok()?.zip(form.value(array, 1).ok()?)
}
