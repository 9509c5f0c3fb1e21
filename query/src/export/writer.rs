//! The Parquet files of one table: row groups of bounded rows and bytes, files of bounded rows.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use ledgerstone_digest::ion::Struct;
use ledgerstone_digest::{Hash, Id};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use sha2::{Digest, Sha256};

use super::columns::TypedColumn;
use super::manifest::{DataFile, TableEntry};
use super::rows::{BatchBuilder, Row};
use super::{ExportError, ExportOptions, file_error};

/// Writes the rows of one table, in position order.
pub struct TableWriter {
    folder: PathBuf,
    id: Id,
    columns: Vec<TypedColumn>,
    options: ExportOptions,
    pending: BatchBuilder,
    open: Option<OpenFile>,
    done: Vec<DataFile>,
    rows: u64,
}

struct OpenFile {
    path: String,
    writer: ArrowWriter<File>,
    rows: u64,
    first_position: u64,
    last_position: u64,
}

impl TableWriter {
    pub fn new(folder: &Path, id: Id, columns: Vec<TypedColumn>, options: &ExportOptions) -> Self {
        TableWriter {
            folder: folder.to_owned(),
            id,
            pending: BatchBuilder::new(columns.clone()),
            columns,
            options: options.clone(),
            open: None,
            done: Vec::new(),
            rows: 0,
        }
    }

    pub fn push(&mut self, row: Row, data: Option<&Struct>) -> Result<(), ExportError> {
        if self.open.is_none() {
            self.open = Some(self.create(row.position)?);
        }
        let full = self.open.as_mut().is_some_and(|open| {
            open.rows += 1;
            open.last_position = row.position;
            open.rows == self.options.file_rows_max
        });
        self.rows += 1;
        self.pending.push(row, data);
        if self.pending.rows() >= self.options.group_rows_max || self.pending.bytes() >= self.options.group_bytes_max {
            self.flush()?;
        }
        if full { self.close() } else { Ok(()) }
    }

    /// Closes the last file and says what was written.
    pub fn finish(mut self, name: String, system: bool) -> Result<TableEntry, ExportError> {
        self.close()?;
        Ok(TableEntry {
            id: self.id.to_string(),
            name,
            system,
            columns: self.columns,
            rows: self.rows,
            files: self.done,
        })
    }

    fn create(&self, position: u64) -> Result<OpenFile, ExportError> {
        // Ids make names that are safe on every file system; the manifest has the tables' names.
        let path = table_file(&self.id.to_string(), self.done.len());
        let full = self.folder.join(&path);
        let parent = self.folder.join("tables");
        std::fs::create_dir_all(&parent).map_err(file_error("create", &parent))?;
        let file = File::create_new(&full).map_err(file_error("create", &full))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            // Readers skip by statistics without reading, so only what the verifier compares is written.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(format!("ledgerstone {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(file, self.pending.schema().clone(), Some(properties))
            .map_err(|source| ExportError::Parquet { path: full, source })?;
        Ok(OpenFile { path, writer, rows: 0, first_position: position, last_position: position })
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.pending.rows() == 0 {
            return Ok(());
        }
        let batch = self.pending.take()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let path = self.folder.join(&open.path);
        let result = open.writer.write(&batch).and_then(|()| open.writer.flush());
        result.map_err(|source| ExportError::Parquet { path, source })
    }

    fn close(&mut self) -> Result<(), ExportError> {
        self.flush()?;
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let full = self.folder.join(&open.path);
        let failed = |source| ExportError::Parquet { path: full.clone(), source };
        open.writer.finish().map_err(failed)?;
        open.writer.inner().sync_all().map_err(file_error("sync", &full))?;
        let (bytes, sha256) = size_and_hash(&full)?;
        self.done.push(DataFile {
            path: open.path,
            bytes,
            sha256,
            rows: open.rows,
            first_position: open.first_position,
            last_position: open.last_position,
        });
        Ok(())
    }
}

/// The name of a table's file, which readers may collect by a pattern.
pub fn table_file(id: &str, number: usize) -> String {
    format!("tables/{id}-{number:04}.parquet")
}

/// Writes and syncs a small file.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(file_error("write", path))
}

/// A file's length and SHA-256, in hexadecimal.
pub fn size_and_hash(path: &Path) -> Result<(u64, String), ExportError> {
    let read = || {
        let mut file = File::open(path)?;
        let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    bytes += n as u64;
                }
            }
        }
        Ok((bytes, Hash(hasher.finalize().into()).to_string()))
    };
    read().map_err(file_error("read", path))
}
