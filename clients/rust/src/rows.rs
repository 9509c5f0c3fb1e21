//! The answer of a statement as it arrives.

use std::collections::VecDeque;
use std::sync::Arc;

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{self, Limits, Value};
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::execute_response::Part;
use tonic::Streaming;

use crate::connection::{Column, Commit, MESSAGE_BYTES_MAX, hash};
use crate::error::{Error, Result};
use crate::session::Digests;

/// What a value in an answer may be: as large as the answer, and a few levels deeper than a document.
const VALUE_LIMITS: Limits = Limits { bytes_max: MESSAGE_BYTES_MAX, depth_max: 192, values_max: 16 << 20 };

/// Rows that are still coming. Dropping them tells the server to stop.
#[derive(Debug)]
pub struct Rows {
    stream: Streaming<v1::ExecuteResponse>,
    columns: Arc<[Column]>,
    waiting: VecDeque<v1::Row>,
    done: Option<Done>,
    digests: Option<Digests>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Arc<[Column]>,
    /// One value for each column; `None` is SQL's NULL and PartiQL's MISSING.
    pub values: Vec<Option<Value>>,
}

/// The end of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// As PostgreSQL says it: `INSERT 0 1`.
    pub tag: String,
    /// Where the change stands, if the statement was a transaction of its own and changed something.
    pub commit: Option<Commit>,
    /// What the statement adds to its transaction, for [`crate::Client::find_commit`]; `None` if it adds nothing.
    pub statement_digest: Option<Hash>,
}

impl Rows {
    /// Waits for the first part of the answer: when it is there, the statement has been run.
    pub(crate) async fn start(stream: Streaming<v1::ExecuteResponse>, digests: Option<Digests>) -> Result<Rows> {
        let mut rows = Rows { stream, columns: Arc::from([]), waiting: VecDeque::new(), done: None, digests };
        match rows.part().await? {
            Some(Part::Columns(columns)) => {
                rows.columns = columns.columns.into_iter().map(Column::read).collect();
            }
            Some(Part::Done(done)) => rows.end(done)?,
            Some(Part::Rows(_)) => return Err(Error::answer("rows without columns")),
            None => return Err(Error::answer("an answer without an end")),
        }
        Ok(rows)
    }

    /// The columns; none if the statement answers without rows.
    pub fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    /// The next row; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.waiting.pop_front() {
                return self.read(row).map(Some);
            }
            if self.done.is_some() {
                return Ok(None);
            }
            match self.part().await? {
                Some(Part::Rows(rows)) => self.waiting.extend(rows.rows),
                Some(Part::Done(done)) => self.end(done)?,
                Some(Part::Columns(_)) => return Err(Error::answer("columns twice")),
                None => return Err(Error::answer("an answer without an end")),
            }
        }
    }

    /// The rows that are left, all at once.
    pub async fn collect(mut self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// The one row of a statement that must have exactly one.
    pub async fn only(mut self) -> Result<Row> {
        let row = self.next().await?.ok_or_else(|| Error::answer("no row where one was expected"))?;
        match self.next().await? {
            None => Ok(row),
            Some(_) => Err(Error::answer("more than one row where one was expected")),
        }
    }

    /// Drops the rows that are left and gives the end.
    pub async fn finish(mut self) -> Result<Done> {
        while self.done.is_none() {
            self.waiting.clear();
            self.next().await?;
        }
        self.done.ok_or_else(|| Error::answer("an answer without an end"))
    }

    /// The end, once [`Rows::next`] has given `None`.
    pub fn done(&self) -> Option<&Done> {
        self.done.as_ref()
    }

    async fn part(&mut self) -> Result<Option<Part>> {
        match self.stream.message().await? {
            None => Ok(None),
            Some(v1::ExecuteResponse { part: Some(part) }) => Ok(Some(part)),
            Some(_) => Err(Error::answer("a part of an unknown kind")),
        }
    }

    fn end(&mut self, done: v1::Done) -> Result<()> {
        let statement_digest =
            if done.statement_digest.is_empty() { None } else { Some(hash(&done.statement_digest)?) };
        if let Some(digests) = self.digests.take() {
            digests.done(statement_digest);
        }
        let commit = done.commit.map(Commit::read).transpose()?;
        self.done = Some(Done { tag: done.tag, commit, statement_digest });
        Ok(())
    }

    fn read(&self, row: v1::Row) -> Result<Row> {
        let (columns, found) = (self.columns.len(), row.values.len());
        if found != columns {
            return Err(Error::answer(format!("a row has {found} values for {columns} columns")));
        }
        let read = |bytes: Vec<u8>| {
            if bytes.is_empty() { Ok(None) } else { ion::decode(&bytes, &VALUE_LIMITS).map(Some) }
        };
        let values = row.values.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Row { columns: Arc::clone(&self.columns), values })
    }
}

impl Row {
    /// The value of a column; `None` if it is NULL or there is no such column.
    pub fn get(&self, column: &str) -> Option<&Value> {
        let at = self.columns.iter().position(|c| c.name == column)?;
        self.values.get(at)?.as_ref()
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}
