//! The rows of an answer until they are asked for, or of a subquery for as long as they may be asked for again: the first
//! ones in memory, what goes beyond a share of the statement's on the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use super::run::{Flow, Row, Run, bytes_of_row};
use crate::error::{QueryError, Result};
use crate::work::{Cursor, Held, Memory, SpillFile, Workspace, is_short, pack, unpack};

/// What part of the statement's memory they may take: operators may still hold the rest when they come.
const SHARE: usize = 4;
/// What is read at a time, and about what is handed out at once of rows on the disk.
const READ_BYTES: usize = 256 << 10;

/// Rows on their way out, in their order.
#[derive(Debug, Default)]
pub struct ResultRows {
    first: VecDeque<Row>,
    rest: Option<Rest>,
    /// Dropped with the rows.
    _held: Option<Held>,
}

#[derive(Debug)]
struct Rest {
    file: SpillFile,
    cursor: Cursor,
    arity: usize,
}

impl ResultRows {
    /// The next rows, at most so many; none at the end.
    pub fn chunk(&mut self, most: usize) -> Result<Vec<Row>> {
        if !self.first.is_empty() {
            return Ok(self.first.drain(..most.min(self.first.len())).collect());
        }
        let mut rows = Vec::new();
        let Some(rest) = &mut self.rest else { return Ok(rows) };
        let mut bytes = 0;
        while rows.len() < most && bytes < READ_BYTES {
            let Some(record) = rest.cursor.next(&rest.file)? else {
                self.rest = None;
                break;
            };
            bytes += record.len();
            rows.push(unpack(record, rest.arity).map_err(QueryError::internal)?);
        }
        Ok(rows)
    }

    /// Rows that are all in memory.
    pub(super) fn of(rows: Vec<Row>) -> Self {
        ResultRows { first: rows.into(), ..ResultRows::default() }
    }

    /// Every row, if none is on the disk.
    pub fn in_memory(&self) -> Option<impl Iterator<Item = &Row>> {
        self.rest.is_none().then(|| self.first.iter())
    }

    /// Copies of all of them, which stay.
    pub(super) fn each(&self, sink: &mut dyn FnMut(Row) -> Result<Flow>) -> Result<Flow> {
        for row in &self.first {
            if sink(row.clone())? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        let Some(rest) = &self.rest else { return Ok(Flow::More) };
        let mut cursor = rest.file.records(0, rest.file.end(), READ_BYTES);
        while let Some(record) = cursor.next(&rest.file)? {
            if sink(unpack(record, rest.arity).map_err(QueryError::internal)?)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::More)
    }

    /// All of them, for who needs them at once.
    pub fn all(mut self) -> Result<Vec<Row>> {
        let mut all = Vec::with_capacity(self.first.len());
        loop {
            let rows = self.chunk(usize::MAX)?;
            if rows.is_empty() {
                return Ok(all);
            }
            all.extend(rows);
        }
    }
}

/// Takes the rows of an answer as they are made.
pub(super) struct Collector<'r> {
    memory: &'r Memory<'r>,
    workspace: &'r Arc<Workspace>,
    rows: VecDeque<Row>,
    bytes: usize,
    rest: Option<(SpillFile, usize)>,
}

impl<'r> Collector<'r> {
    pub fn new(memory: &'r Memory<'r>, workspace: &'r Arc<Workspace>) -> Self {
        Collector { memory, workspace, rows: VecDeque::new(), bytes: 0, rest: None }
    }

    /// In the memory of a run.
    pub fn of_run(run: &'r Run<'r>) -> Self {
        Collector::new(&run.memory, run.tx.database().workspace())
    }

    pub fn push(&mut self, row: Row) -> Result<()> {
        if let Some((file, _)) = &mut self.rest {
            return file.push(&pack(row));
        }
        let bytes = bytes_of_row(&row);
        if self.bytes + bytes <= self.memory.limit() / SHARE {
            match self.memory.charge(bytes) {
                Ok(()) => {
                    self.bytes += bytes;
                    self.rows.push_back(row);
                    return Ok(());
                }
                Err(error) if is_short(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let (mut file, arity) = (self.workspace.file()?, row.len());
        file.push(&pack(row))?;
        self.rest = Some((file, arity));
        Ok(())
    }

    /// Rows that outlive the run, and keep their memory until they are handed out.
    pub fn finish(self) -> Result<ResultRows> {
        let (memory, bytes) = (self.memory, self.bytes);
        let rows = self.finish_kept()?;
        Ok(ResultRows { _held: memory.hold(bytes), ..rows })
    }

    /// Rows that are kept until the run ends.
    pub fn finish_kept(self) -> Result<ResultRows> {
        let rest = self.rest.map(|(mut file, arity)| -> Result<Rest> {
            file.flush()?;
            Ok(Rest { cursor: file.records(0, file.end(), READ_BYTES), file, arity })
        });
        Ok(ResultRows { first: self.rows, rest: rest.transpose()?, _held: None })
    }
}
