//! A run of revisions as a Parquet file that is written once (docs/format.md, "Column files"). What the manifest says of it
//! is here too: which fields it has and what they are, and a checksum of every block of the file, so that damage is found
//! before anything is believed, and named.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray, UInt8Array, UInt64Array};
use arrow::datatypes::{Field as ArrowField, Schema};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Text, Value};
use ledgerstone_journal::env::{File, OpenMode, Storage, breathe, read_exact_at, write_whole};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::cache::{ColumnCache, Decoded};
use super::field::{FieldColumn, Form};
use super::piece::Piece;
use super::words::{by_words, is_words, written_out};
use super::{ColumnError, Meta, ranges};
use crate::export::columns::column_names;
use crate::index::disk::hash64;

/// Bytes that have a checksum of their own.
pub const BLOCK_BYTES: usize = 64 << 10;
/// Rows encoded before a look whether somebody else needs the processor.
const ENCODED_AT_A_TIME: usize = 1024;
/// Longer files are not read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The names of the metadata columns, in the order of [`Meta`].
const META_NAMES: [&str; Meta::ALL.len()] =
    ["_position", "_document", "_version", "_transaction", "_time_ms", "_block", "_supersedes", "_presence"];

/// The column of a file of successors.
pub const SUCCESSOR: &str = "_successor";

/// A file as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNote {
    /// Its number, which no other file of columns has or had.
    pub number: u64,
    pub length: u64,
    /// The checksum of each block, seeded with the number and the block's.
    pub sums: Vec<u64>,
}

/// A segment as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentNote {
    pub table: Id,
    pub file: FileNote,
    pub rows: u64,
    /// First and last position.
    pub positions: (u64, u64),
    pub times_ms: (i64, i64),
    pub left_out: bool,
    pub fields: Vec<FieldNote>,
}

/// A field of a segment: the columns of the file behind the metadata, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldNote {
    pub name: Text,
    pub form: Form,
    /// Documents that have it.
    pub present: u64,
    /// A column of booleans behind it says where it is an explicit null.
    pub nulls: bool,
}

/// A segment, open.
#[derive(Debug)]
pub struct Segment {
    pub note: SegmentNote,
    file: OpenFile,
    /// By name: the place among the fields, and among the columns of the file.
    places: HashMap<Text, (usize, usize)>,
    /// What each column of the file takes in memory, once the file's end has been read.
    sizes: OnceLock<Vec<usize>>,
    /// What all of its rows take in memory.
    piece_bytes: OnceLock<usize>,
    cache: Arc<ColumnCache>,
}

/// Metadata columns and fields; a field without a column is `None`.
type Columns = (Vec<ArrayRef>, Vec<Option<FieldColumn>>);

/// Positions, presence, metadata columns and fields.
type Rows = (UInt64Array, UInt8Array, Vec<ArrayRef>, Vec<Option<FieldColumn>>);

/// A file of columns, open: it can be read after its name is gone.
pub struct OpenFile {
    path: PathBuf,
    file: Arc<dyn File>,
    note: Arc<FileNote>,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenFile({})", self.path.display())
    }
}

impl OpenFile {
    /// Opens a file; nothing but its length is looked at.
    pub fn open(storage: &dyn Storage, dir: &Path, note: &FileNote) -> Result<OpenFile, ColumnError> {
        let path = file_path(dir, note.number);
        let failed = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => ColumnError::damaged(&path, 0, "the file is missing"),
            _ => ColumnError::file(&path, "read it", error),
        };
        let file = storage.open(&path, OpenMode::Read).map_err(|error| failed(&error))?;
        let length = file.len().map_err(|error| failed(&error))?;
        if length != note.length || length > FILE_BYTES_MAX {
            let what = format!("the file has {length} bytes instead of {}", note.length);
            return Err(ColumnError::damaged(&path, length.min(note.length), &what));
        }
        Ok(OpenFile { path, file, note: Arc::new(note.clone()) })
    }

    /// Writes a file, durable but for its name.
    pub fn create(
        storage: &dyn Storage,
        dir: &Path,
        number: u64,
        bytes: &[u8],
    ) -> Result<(FileNote, OpenFile), ColumnError> {
        let path = file_path(dir, number);
        write_whole(storage, &path, bytes).map_err(|error| ColumnError::file(&path, "write it", &error))?;
        let sums = bytes.chunks(BLOCK_BYTES).enumerate().map(|(n, block)| block_sum(number, n, block)).collect();
        let note = FileNote { number, length: bytes.len() as u64, sums };
        let file = OpenFile::open(storage, dir, &note)?;
        Ok((note, file))
    }

    /// All of it, every block compared.
    pub fn read(&self) -> Result<Bytes, ColumnError> {
        self.read_range(0..self.length())
    }

    /// A part of it; the blocks that it lies in are compared.
    pub fn read_range(&self, range: Range<u64>) -> Result<Bytes, ColumnError> {
        let FileNote { number, sums, .. } = &*self.note;
        let length = usize::try_from(self.length()).unwrap_or_default();
        let place = |at: u64| usize::try_from(at).unwrap_or(length).min(length);
        let (start, end) = (place(range.start), place(range.end));
        let first = start / BLOCK_BYTES;
        let from = first * BLOCK_BYTES;
        let mut bytes = vec![0; end.next_multiple_of(BLOCK_BYTES).min(length) - from];
        read_exact_at(&*self.file, &mut bytes, from as u64).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => ColumnError::damaged(&self.path, 0, "the file has been cut"),
            _ => ColumnError::file(&self.path, "read it", &error),
        })?;
        if sums.len() != length.div_ceil(BLOCK_BYTES) {
            return Err(self.contradiction("the manifest has sums of another number of blocks"));
        }
        for (n, (block, sum)) in bytes.chunks(BLOCK_BYTES).zip(sums.iter().skip(first)).enumerate() {
            if block_sum(*number, first + n, block) != *sum {
                let offset = ((first + n) * BLOCK_BYTES) as u64;
                return Err(ColumnError::damaged(&self.path, offset, "the block is not what was written"));
            }
        }
        Ok(Bytes::from(bytes).slice(start - from..end - from))
    }

    pub fn length(&self) -> u64 {
        self.note.length.min(FILE_BYTES_MAX)
    }

    pub fn contradiction(&self, what: &str) -> ColumnError {
        ColumnError::damaged(&self.path, 0, what)
    }
}

impl Segment {
    /// Writes a piece. Its name is not durable yet.
    pub fn write(
        storage: &dyn Storage,
        dir: &Path,
        number: u64,
        table: Id,
        piece: &Piece,
        cache: &Arc<ColumnCache>,
    ) -> Result<Segment, ColumnError> {
        // A name says how a column is encoded, so those of this directory's other files are taken too.
        let taken = [&META_NAMES[..], &[SUCCESSOR]].concat();
        let names = column_names(piece.fields().iter().map(|(name, ..)| &**name), &taken);
        let (mut columns, mut arrays, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (meta, name) in Meta::ALL.into_iter().zip(META_NAMES) {
            let array = piece.meta(meta);
            columns.push(ArrowField::new(name, array.data_type().clone(), meta == Meta::Supersedes));
            arrays.push(array.clone());
        }
        for ((name, column, present), shown) in piece.fields().iter().zip(names) {
            columns.push(ArrowField::new(&shown, column.array.data_type().clone(), true));
            arrays.push(column.array.clone());
            let nulls = !column.nulls.is_empty();
            if nulls {
                let is_null: BooleanArray = (0..piece.rows).map(|row| Some(column.is_null(row))).collect();
                columns.push(ArrowField::new(format!("{shown} is null"), is_null.data_type().clone(), false));
                arrays.push(Arc::new(is_null));
            }
            notes.push(FieldNote { name: name.clone(), form: column.form, present: *present as u64, nulls });
        }
        let bytes = encode(columns, arrays)?;
        let (file_note, file) = OpenFile::create(storage, dir, number, &bytes)?;
        let note = SegmentNote {
            table,
            file: file_note,
            rows: piece.rows as u64,
            positions: piece.range(),
            times_ms: piece.times_ms,
            left_out: piece.left_out,
            fields: notes,
        };
        let segment = Segment::with(note, file, cache);
        let _ = segment.piece_bytes.set(piece.bytes);
        Ok(segment)
    }

    pub fn open(
        storage: &dyn Storage,
        dir: &Path,
        note: SegmentNote,
        cache: &Arc<ColumnCache>,
    ) -> Result<Segment, ColumnError> {
        let file = OpenFile::open(storage, dir, &note.file)?;
        Ok(Segment::with(note, file, cache))
    }

    fn with(note: SegmentNote, file: OpenFile, cache: &Arc<ColumnCache>) -> Segment {
        let mut at = Meta::ALL.len();
        let mut places = HashMap::new();
        for (n, field) in note.fields.iter().enumerate() {
            places.insert(field.name.clone(), (n, at));
            at += 1 + usize::from(field.nulls);
        }
        cache.admit(note.file.number);
        let (sizes, piece_bytes) = (OnceLock::new(), OnceLock::new());
        Segment { note, file, places, sizes, piece_bytes, cache: cache.clone() }
    }

    /// About what [`Segment::piece`] takes in memory; more than anything if the file does not say. A file may be a
    /// hundredth of what is in it: texts that are the same stand there once.
    pub fn piece_bytes(&self) -> usize {
        let read = || self.metadata().map(|metadata| ranges::decoded_bytes(&metadata).iter().sum());
        *self.piece_bytes.get_or_init(|| read().unwrap_or(usize::MAX))
    }

    pub fn form(&self, field: &str) -> Option<Form> {
        let (n, _) = self.places.get(field)?;
        self.note.fields.get(*n).map(|note| note.form)
    }

    /// Reads all of the file and compares every block.
    pub fn check(&self) -> Result<(), ColumnError> {
        self.file.read().map(drop)
    }

    /// Between which values those of a field lie, nulls aside; `None`: nothing is known.
    pub fn bounds(&self, field: &str) -> Result<Option<(Value, Value)>, ColumnError> {
        let Some((n, at)) = self.places.get(field) else { return Ok(None) };
        let Some(note) = self.note.fields.get(*n) else { return Ok(None) };
        Ok(ranges::bounds(&*self.metadata()?, *at, note.form))
    }

    /// What is asked for, in one reading of the file; texts that repeat by words.
    pub fn read(&self, metas: &[Meta], fields: &[&str]) -> Result<Columns, ColumnError> {
        let columns = self.columns(&self.wanted(metas, fields))?;
        let column = |at: usize| {
            let found = columns.get(&at).cloned();
            found.ok_or_else(|| ColumnError::Internal(format!("column {at} of a segment was not read")))
        };
        let metas = metas.iter().map(|meta| column(*meta as usize)).collect::<Result<Vec<_>, _>>()?;
        let mut out = Vec::with_capacity(fields.len());
        for field in fields {
            let Some((n, at)) = self.places.get(*field) else {
                out.push(None);
                continue;
            };
            let note = self.note.fields.get(*n).ok_or_else(|| self.file.contradiction("a field is missing"))?;
            let array = column(*at)?;
            let by_words = note.form == Form::Text && is_words(&*array);
            if !by_words && *array.data_type() != note.form.data_type() {
                return Err(self.file.contradiction("a column has another type than the manifest says"));
            }
            let nulls: Vec<u32> = match note.nulls {
                false => Vec::new(),
                true => {
                    let is_null = column(at + 1)?;
                    let is_null = is_null.as_any().downcast_ref::<BooleanArray>();
                    let is_null = is_null.ok_or_else(|| self.file.contradiction("a column has another type"))?;
                    is_null.values().set_indices().map(|row| row as u32).collect()
                }
            };
            out.push(Some(FieldColumn { array, form: note.form, nulls: nulls.into() }));
        }
        Ok((metas, out))
    }

    /// Places in the file.
    fn wanted(&self, metas: &[Meta], fields: &[&str]) -> Vec<usize> {
        let mut wanted: Vec<usize> = metas.iter().map(|meta| *meta as usize).collect();
        for field in fields {
            if let Some((n, at)) = self.places.get(*field) {
                wanted.push(*at);
                if self.note.fields.get(*n).is_some_and(|note| note.nulls) {
                    wanted.push(at + 1);
                }
            }
        }
        wanted
    }

    /// Memory that [`Segment::read_rows`] of the same takes, with what is made of it while it is looked at, by what the
    /// file's end says; roughly.
    pub fn decoded_bytes(&self, metas: &[Meta], fields: &[&str]) -> Result<usize, ColumnError> {
        let all = [&[Meta::Position, Meta::Presence], metas].concat();
        let sizes = match self.sizes.get() {
            Some(sizes) => sizes,
            None => {
                let read = ranges::decoded_bytes(&*self.metadata()?);
                self.sizes.get_or_init(|| read)
            }
        };
        let columns: usize = self.wanted(&all, fields).iter().filter_map(|at| sizes.get(*at)).sum();
        // Twice: the rows that pass are copied. And the successors.
        let rows = usize::try_from(self.note.rows).unwrap_or(usize::MAX);
        Ok(columns.saturating_mul(2).saturating_add(rows.saturating_mul(size_of::<u64>())))
    }

    /// Position and presence of every row, then what is asked for.
    pub fn read_rows(&self, metas: &[Meta], fields: &[&str]) -> Result<Rows, ColumnError> {
        let all = [&[Meta::Position, Meta::Presence], metas].concat();
        let (mut metas, columns) = self.read(&all, fields)?;
        let rest = metas.split_off(2);
        let mut metas = metas.into_iter();
        let positions = metas.next().and_then(|a| a.as_any().downcast_ref::<UInt64Array>().cloned());
        let presence = metas.next().and_then(|a| a.as_any().downcast_ref::<UInt8Array>().cloned());
        let (positions, presence) =
            positions.zip(presence).ok_or_else(|| self.file.contradiction("the metadata has other types"))?;
        Ok((positions, presence, rest, columns))
    }

    /// All of it in memory again.
    pub fn piece(&self) -> Result<Piece, ColumnError> {
        let names: Vec<&str> = self.note.fields.iter().map(|field| &*field.name).collect();
        let (meta, columns) = self.read(&Meta::ALL, &names)?;
        let fields = self.note.fields.iter().zip(columns);
        let written_out = |column: FieldColumn| FieldColumn { array: written_out(column.array), ..column };
        let fields =
            fields.filter_map(|(note, c)| Some((note.name.clone(), written_out(c?), note.present as usize))).collect();
        Piece::of(self.note.rows as usize, meta, fields, self.note.left_out, self.note.times_ms)
    }

    /// What the file's end says, which is kept as a column is.
    fn metadata(&self) -> Result<Arc<ArrowReaderMetadata>, ColumnError> {
        let number = self.note.file.number;
        if let Some(Decoded::Metadata(found)) = self.cache.get(number, usize::MAX) {
            return Ok(found);
        }
        let read = Arc::new(ranges::read_metadata(&self.file)?);
        self.cache.put(number, usize::MAX, Decoded::Metadata(read.clone()));
        Ok(read)
    }

    /// Columns by their place in the file, from the cache or the file.
    fn columns(&self, wanted: &[usize]) -> Result<HashMap<usize, ArrayRef>, ColumnError> {
        let number = self.note.file.number;
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for at in wanted {
            match self.cache.get(number, *at) {
                Some(Decoded::Column(array)) => drop(found.insert(*at, array)),
                _ if !missing.contains(at) => missing.push(*at),
                _ => {}
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        let (arrays, read) = ranges::read_columns(&self.file, &*self.metadata()?, &missing)?;
        self.cache.note_read(read);
        for (at, array) in missing.into_iter().zip(arrays) {
            if array.len() as u64 != self.note.rows {
                return Err(self.file.contradiction("a column has another number of rows than the manifest says"));
            }
            let array = by_words(array);
            self.cache.put(number, at, Decoded::Column(array.clone()));
            found.insert(at, array);
        }
        Ok(found)
    }
}

/// Makes a Parquet file of one row group.
pub fn encode(columns: Vec<ArrowField>, arrays: Vec<ArrayRef>) -> Result<Vec<u8>, ColumnError> {
    let schema = Arc::new(Schema::new(columns));
    let rows = arrays.first().map_or(0, |array| array.len()) as u64;
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(usize::MAX))
        .set_created_by(format!("ledgerstone {}", env!("CARGO_PKG_VERSION")))
        .set_column_bloom_filter_enabled(ColumnPath::from("_document"), true)
        // For as many as there are: otherwise it is made as large as can be, and then smaller.
        .set_column_bloom_filter_max_ndv(ColumnPath::from("_document"), rows.max(1));
    // They ascend or lie close together: their differences are small.
    for name in ["_position", "_version", "_time_ms", "_block", "_supersedes", SUCCESSOR] {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()))?;
    for from in (0..batch.num_rows()).step_by(ENCODED_AT_A_TIME) {
        writer.write(&batch.slice(from, ENCODED_AT_A_TIME.min(batch.num_rows() - from)))?;
        breathe();
    }
    Ok(writer.into_inner()?)
}

/// Columns of a Parquet file, by ascending place.
pub fn decode(bytes: Bytes, places: &[usize]) -> Result<Vec<ArrayRef>, String> {
    let told = |error: &dyn std::fmt::Display| format!("it cannot be decoded: {error}");
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| told(&e))?;
    let rows = builder.metadata().file_metadata().num_rows();
    let mask = ProjectionMask::roots(builder.parquet_schema(), places.iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(usize::try_from(rows).unwrap_or_default().max(1));
    let mut reader = reader.build().map_err(|e| told(&e))?;
    let batch = reader.next().ok_or("it has no rows")?.map_err(|e| told(&e))?;
    if batch.num_rows() as i64 != rows || batch.num_columns() != places.len() {
        return Err("it has other columns or rows than it should".to_owned());
    }
    Ok(batch.columns().to_vec())
}

pub fn file_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.parquet"))
}

fn block_sum(number: u64, block: usize, bytes: &[u8]) -> u64 {
    hash64(number.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ block as u64, bytes)
}
