//! What a statement answers.

use std::io;
use std::sync::Arc;

use super::copy_format::Layout;
use super::copy_in::CopyIn;
use crate::bind::plan::ResultColumn;
use crate::error::QueryError;
use crate::exec::{Found, FoundRows, ResultRows, Row};

/// Rows handed out at once.
const CHUNK_ROWS: usize = 1_024;

/// The answer of one statement.
pub enum Response {
    Rows {
        columns: Arc<[ResultColumn]>,
        rows: RowStream,
    },
    Done {
        tag: String,
    },
    /// The client sends rows now: [`super::Session::copy_data`], then `copy_finish` or `copy_fail`.
    CopyIn(Box<CopyIn>),
    CopyOut(CopyOut),
    /// An empty statement.
    Empty,
}

/// Rows for `COPY … TO STDOUT`.
pub struct CopyOut {
    pub columns: Arc<[ResultColumn]>,
    pub rows: RowStream,
    pub layout: Layout,
}

/// Rows on their way out. They belong to a snapshot, so they stay the same whatever is committed meanwhile.
pub struct RowStream {
    source: Source,
    command: &'static str,
    count: u64,
}

enum Source {
    Chunks(Box<dyn Iterator<Item = Result<Vec<Row>, QueryError>> + Send>),
    Found(FoundRows),
}

impl RowStream {
    /// Rows that are all there already.
    pub fn of(rows: Vec<Row>, command: &'static str) -> Self {
        let mut rows = rows.into_iter();
        let source = std::iter::from_fn(move || {
            let chunk: Vec<Row> = rows.by_ref().take(CHUNK_ROWS).collect();
            (!chunk.is_empty()).then_some(Ok(chunk))
        });
        RowStream::from_chunks(source, command)
    }

    /// The rows of a query.
    pub fn of_query(mut rows: ResultRows, command: &'static str) -> Self {
        let source = std::iter::from_fn(move || match rows.chunk(CHUNK_ROWS) {
            Ok(chunk) if chunk.is_empty() => None,
            chunk => Some(chunk),
        });
        RowStream::from_chunks(source, command)
    }

    /// The rows of a query for one document, or for its revisions.
    pub(super) fn of_found(found: FoundRows, command: &'static str) -> Self {
        RowStream { source: Source::Found(found), command, count: 0 }
    }

    /// Rows that are fetched as they are asked for.
    pub(super) fn from_chunks(
        source: impl Iterator<Item = Result<Vec<Row>, QueryError>> + Send + 'static,
        command: &'static str,
    ) -> Self {
        RowStream { source: Source::Chunks(Box::new(source)), command, count: 0 }
    }

    /// The next row, as the document it was found in; `None` if there is none, or the rows are of another kind.
    pub fn next_found(&mut self) -> Option<Found<'_>> {
        let Source::Found(found) = &mut self.source else { return None };
        let found = found.next_found();
        self.count += u64::from(found.is_some());
        found
    }

    /// The next rows; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<Row>>, QueryError> {
        let chunk = match &mut self.source {
            Source::Chunks(chunks) => chunks.next().transpose()?,
            Source::Found(found) => {
                let rows: Vec<Row> = std::iter::from_fn(|| found.next_found().map(Found::into_row)).collect();
                (!rows.is_empty()).then_some(rows)
            }
        };
        self.count += chunk.as_ref().map_or(0, |rows| rows.len() as u64);
        Ok(chunk)
    }

    /// Every row that is left.
    pub fn collect(&mut self) -> Result<Vec<Row>, QueryError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next_chunk()? {
            all.extend(chunk);
        }
        Ok(all)
    }

    /// What its tag begins with.
    pub fn command(&self) -> &'static str {
        self.command
    }

    /// The command tag for this many rows: `SELECT 3`, `INSERT 0 3`.
    pub fn tag_for(&self, rows: u64) -> String {
        command_tag(self.command, rows)
    }

    /// The command tag for the rows handed out so far.
    pub fn tag(&self) -> String {
        self.tag_for(self.count)
    }
}

/// PostgreSQL's command tag.
pub fn command_tag(command: &str, rows: u64) -> String {
    let mut tag = Vec::new();
    // A vector takes whatever is written.
    let _ = write_tag(&mut tag, command, rows);
    String::from_utf8(tag).unwrap_or_default()
}

/// The same, written where it is to stand.
pub fn write_tag(out: &mut impl io::Write, command: &str, rows: u64) -> io::Result<()> {
    match command {
        "INSERT" => write!(out, "INSERT 0 {rows}"),
        "SHOW" | "EXPLAIN" => out.write_all(command.as_bytes()),
        _ => write!(out, "{command} {rows}"),
    }
}
