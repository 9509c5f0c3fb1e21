//! COPY: rows of text into a table, all or none, and rows of a query out.
//!
//! Rows are collected and inserted some thousand at a time: constraints are then judged per batch. They are the writes of
//! one transaction.

use std::sync::Arc;

use super::copy_format::{Layout, Reader};
use super::response::{CopyOut, Response};
use super::run::{Job, canceled};
use super::{Session, SessionInfo, Work};
use crate::ast::{
    Copy, CopyPlace, CopyTarget, Expr, ExprKind, Name, Projection, Query, Select, SelectItem, SetExpr, Span, Statement,
    TableName,
};
use crate::bind::PlanContext;
use crate::error::{QueryError, SqlState};
use crate::exec::{self, Row};
use crate::permission::Action;
use crate::transaction::Transaction;
use crate::types::SqlType;
use crate::{Noted, Parsed};

/// Rows collected before they are inserted.
const BATCH_ROWS: usize = 4_096;
/// Bytes of input collected before they are inserted.
const BATCH_BYTES: usize = 4 << 20;

/// A COPY FROM STDIN in progress.
pub struct CopyIn {
    reader: Reader,
    layout: Layout,
    binary: bool,
    target: exec::copy::CopyTarget,
    waiting: Waiting,
    rows: u64,
    /// It is a transaction of its own.
    alone: bool,
}

impl CopyIn {
    /// How many columns a row has.
    pub fn columns(&self) -> usize {
        self.target.width()
    }

    /// Whether the input is binary: then it is for the door to read, and rows come by [`Session::copy_rows`].
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// The types of a row's values.
    pub fn types(&self) -> Vec<SqlType> {
        self.target.fields().map(|(_, ty)| ty.clone()).collect()
    }
}

impl Session {
    /// `alone`: it is a transaction of its own if none is open; otherwise the end of the text, or the client's Sync, commits.
    pub(super) async fn copy(&mut self, copy: &Copy, job: Job<'_>, alone: bool) -> Result<Response, QueryError> {
        if let CopyPlace::File(path) = &copy.place {
            #[cfg(feature = "analytics")]
            return self.copy_to_file(copy, path);
            #[cfg(not(feature = "analytics"))]
            return Err(QueryError::unsupported(format!("COPY with the server's file {path}"))
                .hint("Use COPY … FROM STDIN or TO STDOUT, or \\copy in psql."));
        }
        let layout = Layout::of(copy)?;
        if let CopyTarget::Change(change) = &copy.target {
            return self.copy_change(change, job, layout, alone).await;
        }
        let alone = alone && matches!(self.work, Work::Idle);
        self.join();
        if copy.from {
            let started = self.start_copy_in(copy, job, layout, alone);
            return started.map(|copy| Response::CopyIn(Box::new(copy)));
        }
        let query = match &copy.target {
            CopyTarget::Change(_) => return Err(QueryError::internal("a change is no query")),
            CopyTarget::Query(query) => (**query).clone(),
            CopyTarget::Table { table, columns } => select_of(table, columns),
        };
        let statement = Statement::Query(Box::new(query));
        let repeated = if self.is_repetition()? { self.repeated_snapshot(&job)? } else { None };
        let repeats = repeated.is_some();
        let mut tx = match repeated {
            Some(tx) => tx,
            None => self.take_tx()?.0,
        };
        let answer = self.bind(&mut tx, job, &statement).and_then(|plan| self.run_plan(&mut tx, job, &plan));
        if let Some(open) = self.open().filter(|_| !repeats) {
            open.tx = Some(tx);
        }
        match answer? {
            Response::Rows { columns, rows } => Ok(Response::CopyOut(CopyOut { columns, rows, layout })),
            _ => Err(QueryError::internal("a query answered without rows")),
        }
    }

    /// Rows of RETURNING, or of a query that changes documents in its WITH. They go out when it has committed, if it is a
    /// transaction of its own.
    async fn copy_change(
        &mut self,
        change: &Statement,
        job: Job<'_>,
        layout: Layout,
        alone: bool,
    ) -> Result<Response, QueryError> {
        let parsed = Parsed { statement: change.clone(), noted: Noted::default(), ..*job.parsed };
        // What the client was told of a COPY are no columns.
        let job = Job { parsed: &parsed, told: None, ..job };
        match self.run_documents(job, alone).await? {
            Response::Rows { columns, rows } => Ok(Response::CopyOut(CopyOut { columns, rows, layout })),
            // A repetition under a token has none to show.
            other => Ok(other),
        }
    }

    fn start_copy_in(&mut self, copy: &Copy, job: Job<'_>, layout: Layout, alone: bool) -> Result<CopyIn, QueryError> {
        let CopyTarget::Table { table: name, columns } = &copy.target else {
            return Err(QueryError::syntax("COPY FROM needs a table, not a query", job.parsed.text));
        };
        if self.is_repetition()? {
            return Err(QueryError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "COPY FROM is not repeated: this client token has committed before",
            )
            .hint("What was copied is there; ledgerstone.last_commit of the first session named its block."));
        }
        let (mut tx, _) = self.take_tx()?;
        let started = self.bind_copy(&mut tx, name, columns, job);
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        Ok(CopyIn {
            binary: layout.binary,
            reader: Reader::new(layout.clone()),
            layout,
            target: started?,
            waiting: Waiting::default(),
            rows: 0,
            alone,
        })
    }

    fn bind_copy(
        &mut self,
        tx: &mut Transaction,
        name: &TableName,
        columns: &[Name],
        job: Job<'_>,
    ) -> Result<exec::copy::CopyTarget, QueryError> {
        if tx.is_read_only() {
            return Err(QueryError::new(
                SqlState::READ_ONLY_TRANSACTION,
                "cannot execute COPY FROM in a read-only transaction",
            ));
        }
        let table = tx.table(&name.name.text)?.ok_or_else(|| {
            QueryError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", name.name.text))
                .at(name.name.span)
        })?;
        if let Some(permit) = &self.info.permit {
            permit.check_table(Action::Insert, &table)?;
        }
        let columns: Vec<Arc<str>> = columns
            .iter()
            .map(|name| if table.is_declared() { Arc::clone(&name.text) } else { Arc::clone(&name.written) })
            .collect();
        let mut context =
            PlanContext { tx, text: job.text, dialect: job.dialect, parameter_types: job.types, session: &self.info };
        let target = exec::copy::CopyTarget::new(&table, &columns, &mut context)?;
        tx.begin_statement(job.own_text(), &[])?;
        Ok(target)
    }

    /// Takes a piece of input, cut anywhere.
    pub fn copy_data(&mut self, copy: &mut CopyIn, input: &[u8]) -> Result<(), QueryError> {
        let outcome = self.feed(copy, Some(input));
        outcome.inspect_err(|_| self.fail())
    }

    /// Takes rows whose values the door has read: columns in order, and the number of the first row, from 1.
    pub fn copy_rows(&mut self, copy: &mut CopyIn, first: u64, rows: Vec<Row>) -> Result<(), QueryError> {
        let outcome = self.feed_rows(copy, first, rows);
        outcome.inspect_err(|_| self.fail())
    }

    /// The end of the input: commits, if the COPY is a transaction of its own.
    pub async fn copy_finish(&mut self, mut copy: CopyIn) -> Result<Response, QueryError> {
        let outcome = self.finish_copy(&mut copy).await;
        outcome.inspect_err(|_| self.fail())
    }

    /// The client gave up: nothing of it remains.
    pub fn copy_fail(&mut self, reason: &str) -> QueryError {
        self.fail();
        QueryError::new(SqlState::QUERY_CANCELED, format!("COPY from stdin failed: {reason}"))
    }

    async fn finish_copy(&mut self, copy: &mut CopyIn) -> Result<Response, QueryError> {
        self.feed(copy, None)?;
        if copy.alone {
            self.sync().await?;
        }
        Ok(Response::Done { tag: format!("COPY {}", copy.rows) })
    }

    fn feed_rows(&mut self, copy: &mut CopyIn, first: u64, rows: Vec<Row>) -> Result<(), QueryError> {
        if let Some(reason) = self.info.cancel.reason() {
            return Err(canceled(reason));
        }
        let (mut tx, _) = self.take_tx()?;
        let info = &self.info;
        let (mut outcome, mut rows) = (Ok(0), rows);
        let mut work = || {
            outcome = copy.target.insert_values(std::mem::take(&mut rows), first, &mut tx, info);
            tx.checked();
        };
        self.runtime.long(&mut work);
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        copy.rows += outcome?;
        Ok(())
    }

    fn feed(&mut self, copy: &mut CopyIn, input: Option<&[u8]>) -> Result<(), QueryError> {
        let (mut tx, _) = self.take_tx()?;
        let info = &self.info;
        let mut outcome = copy.read(input);
        // Pieces of input are small, as a rule, and not worth a change of threads; a batch of rows is.
        if outcome.is_ok() && (copy.waiting.is_full() || input.is_none() && !copy.waiting.ends.is_empty()) {
            self.runtime.long(&mut || outcome = copy.insert_waiting(&mut tx, info));
        }
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        outcome
    }
}

impl CopyIn {
    /// Takes the rows of a piece of input, or the last one at its end.
    fn read(&mut self, input: Option<&[u8]>) -> Result<(), QueryError> {
        let CopyIn { reader, waiting, .. } = self;
        let mut row = |number: u64, line: &[u8]| {
            waiting.push(number, line);
            Ok(())
        };
        match input {
            Some(input) => reader.push(input, &mut row),
            None => reader.finish(&mut row),
        }
    }

    fn insert_waiting(&mut self, tx: &mut Transaction, info: &SessionInfo) -> Result<(), QueryError> {
        if let Some(reason) = info.cancel.reason() {
            return Err(canceled(reason));
        }
        let CopyIn { target, waiting, layout, .. } = self;
        let split = |line: &[u8], number: u64| layout.fields(line, number);
        self.rows += target.insert(waiting.rows(), waiting.first_line, &split, tx, info)?;
        tx.checked();
        waiting.clear();
        Ok(())
    }
}

/// Rows as they are written, one behind the other, that wait to be inserted.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The line of the first.
    first_line: u64,
}

impl Waiting {
    fn push(&mut self, number: u64, line: &[u8]) {
        if self.ends.is_empty() {
            self.first_line = number;
        }
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= BATCH_ROWS || self.bytes.len() >= BATCH_BYTES
    }

    fn rows(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default()).collect()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// `SELECT columns FROM table`.
fn select_of(table: &TableName, columns: &[Name]) -> Query {
    let expr = |kind| Expr { kind, span: table.name.span };
    let items = if columns.is_empty() {
        vec![SelectItem::Wildcard(table.name.span)]
    } else {
        columns
            .iter()
            .map(|name| SelectItem::Expr {
                expr: Expr { kind: ExprKind::Name(name.clone()), span: name.span },
                alias: None,
            })
            .collect()
    };
    let path = match &table.schema {
        Some(schema) => expr(ExprKind::Path {
            base: Box::new(expr(ExprKind::Name(schema.clone()))),
            steps: vec![crate::ast::PathStep::Field(table.name.clone())],
        }),
        None => expr(ExprKind::Name(table.name.clone())),
    };
    let from = vec![crate::ast::From::Path { path, as_of: None, alias: crate::ast::Alias::default() }];
    let select = Select { from, ..Select::of(Projection::Items(items), table.name.span) };
    Query::of(SetExpr::Select(Box::new(select)), Span::default())
}
