//! COPY: rows of text into a table, all or none, and rows of a query out.
//!
//! Rows are collected and inserted some thousand at a time: constraints are then judged per batch. They are the writes of
//! one transaction.

use std::sync::Arc;

use super::copy_format::{Fields, Layout, Reader};
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

/// Rows collected before they are inserted.
const BATCH_ROWS: usize = 4_096;
/// Bytes of input collected before they are inserted.
const BATCH_BYTES: usize = 4 << 20;

/// A COPY FROM STDIN in progress.
pub struct CopyIn {
    reader: Reader,
    binary: bool,
    target: exec::copy::CopyTarget,
    waiting: Vec<Fields>,
    waiting_bytes: usize,
    first_line: u64,
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
    pub(super) async fn copy(&mut self, copy: &Copy, job: Job<'_>) -> Result<Response, QueryError> {
        if let CopyPlace::File(path) = &copy.place {
            #[cfg(feature = "analytics")]
            return self.copy_to_file(copy, path);
            #[cfg(not(feature = "analytics"))]
            return Err(QueryError::unsupported(format!("COPY with the server's file {path}"))
                .hint("Use COPY … FROM STDIN or TO STDOUT, or \\copy in psql."));
        }
        let layout = Layout::of(copy)?;
        let alone = matches!(self.work, Work::Idle);
        self.join();
        if copy.from {
            let started = self.start_copy_in(copy, job, layout, alone);
            return started.map(|copy| Response::CopyIn(Box::new(copy)));
        }
        let query = match &copy.target {
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
            reader: Reader::new(layout),
            target: started?,
            waiting: Vec::new(),
            waiting_bytes: 0,
            first_line: 0,
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
    pub fn copy_rows(&mut self, copy: &mut CopyIn, first: u64, rows: &[Row]) -> Result<(), QueryError> {
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

    fn feed_rows(&mut self, copy: &mut CopyIn, first: u64, rows: &[Row]) -> Result<(), QueryError> {
        if let Some(reason) = self.info.cancel.reason() {
            return Err(canceled(reason));
        }
        let (mut tx, _) = self.take_tx()?;
        let info = &self.info;
        let mut outcome = Ok(0);
        let mut work = || {
            outcome = copy.target.insert_values(rows, first, &mut tx, info);
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
        let mut outcome = Ok(());
        let mut work = || outcome = take(copy, input, &mut tx, info);
        // Small pieces, as psql sends them line by line, are not worth a change of threads.
        if input.is_none_or(|input| input.len() > 4 << 10) {
            self.runtime.long(&mut work)
        } else {
            work()
        }
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        outcome
    }
}

/// Reads rows and inserts those that are enough for a batch; the end of the input inserts what is left.
fn take(copy: &mut CopyIn, input: Option<&[u8]>, tx: &mut Transaction, info: &SessionInfo) -> Result<(), QueryError> {
    let CopyIn { reader, target, waiting, waiting_bytes, first_line, rows, .. } = copy;
    let mut insert = |waiting: &mut Vec<Fields>, first_line: u64| {
        if let Some(reason) = info.cancel.reason() {
            return Err(canceled(reason));
        }
        *rows += target.insert(waiting, first_line, tx, info)?;
        tx.checked();
        waiting.clear();
        Ok(())
    };
    let mut row = |line: u64, fields: Fields| {
        if waiting.is_empty() {
            *first_line = line;
            *waiting_bytes = 0;
        }
        *waiting_bytes += fields.iter().flatten().map(String::len).sum::<usize>();
        waiting.push(fields);
        if waiting.len() >= BATCH_ROWS || *waiting_bytes >= BATCH_BYTES {
            insert(waiting, *first_line)?;
        }
        Ok(())
    };
    match input {
        Some(input) => reader.push(input, &mut row)?,
        None => {
            reader.finish(&mut row)?;
            if !waiting.is_empty() {
                insert(waiting, *first_line)?;
            }
        }
    }
    Ok(())
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
    query_of(SetExpr::Select(Box::new(Select {
        distinct: crate::ast::Distinct::No,
        projection: Projection::Items(items),
        from: vec![crate::ast::From::Path { path, as_of: None, alias: crate::ast::Alias::default() }],
        filter: None,
        group_by: Vec::new(),
        having: None,
        windows: Vec::new(),
        span: table.name.span,
    })))
}

fn query_of(body: SetExpr) -> Query {
    Query {
        with: Vec::new(),
        recursive: false,
        body,
        order_by: Vec::new(),
        limit: None,
        offset: None,
        span: Span::default(),
    }
}
