//! What a session keeps by name: prepared statements, of SQL's PREPARE and of the protocol alike, and cursors.
//!
//! A cursor's rows are those of the moment it was declared. They come from the query's own result, which spills to disk;
//! a cursor that may go back keeps those it has given out in memory, and there is a limit to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::ion::Value;

use super::answers::row_bytes;
use super::response::{Response, RowStream};
use super::run::{Job, with_nulls_of};
use super::{Prepared, Session, Work};
use crate::ast::{DeclareCursor, Expr, ExprKind, FetchDirection, Name, Query, SetExpr, Span, Statement, TypeName};
use crate::bind::plan::ResultColumn;
use crate::bind::{self, type_name};
use crate::error::{QueryError, SqlState};
use crate::exec::Row;
use crate::types::SqlType;
use crate::{Noted, Parsed};

/// Prepared statements of a session, at most; a door may have a lower limit for those of its protocol.
pub const PREPARED_MAX: usize = 100_000;
/// Bytes of the texts of a session's prepared statements that have a name. What is kept of one beside its text is several
/// times as much.
pub const PREPARED_BYTES_MAX: usize = 64 << 20;
/// Open cursors of a session, at most.
pub const CURSORS_MAX: usize = 1_000;
/// Bytes of rows that the cursors of a session keep to go back to, together.
const SCROLL_BYTES_MAX: usize = 64 << 20;
/// Rows handed out at once.
const CHUNK_ROWS: usize = 1_024;

/// Statements and cursors by name.
#[derive(Default)]
pub(super) struct Kept {
    statements: HashMap<Arc<str>, Arc<Prepared>>,
    /// The texts of those that have a name.
    statement_bytes: usize,
    cursors: HashMap<Arc<str>, Cursor>,
    /// Bytes of the rows that these keep.
    scroll_bytes: Arc<AtomicUsize>,
}

struct Cursor {
    columns: Arc<[ResultColumn]>,
    rows: Arc<Mutex<CursorRows>>,
    hold: bool,
    /// It has outlived the transaction that declared it.
    held: bool,
    /// Savepoints there were when it was declared.
    savepoints: usize,
}

/// An EXECUTE as what it stands for.
pub(super) struct Execution {
    pub prepared: Arc<Prepared>,
    pub parameters: Vec<Option<Value>>,
}

impl Kept {
    /// Forgets all prepared statements but the unnamed one, which belongs to the protocol.
    fn forget_named(&mut self) {
        self.statements.retain(|name, _| name.is_empty());
        self.statement_bytes = 0;
    }
}

impl Session {
    /// Keeps a prepared statement under a name; the unnamed one is replaced, any other must be new.
    pub fn keep_prepared(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<(), QueryError> {
        if !name.is_empty() {
            self.check_prepared_name(name)?;
            let bytes = self.kept.statement_bytes + prepared.text.len();
            if bytes > PREPARED_BYTES_MAX {
                let message = format!(
                    "the texts of a session's prepared statements may have {PREPARED_BYTES_MAX} bytes together"
                );
                return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("DEALLOCATE some."));
            }
            self.kept.statement_bytes = bytes;
        }
        self.kept.statements.insert(name.into(), prepared);
        Ok(())
    }

    /// Whether another prepared statement may have this name.
    pub fn check_prepared_name(&self, name: &str) -> Result<(), QueryError> {
        if self.kept.statements.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(QueryError::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        if self.kept.statements.len() >= PREPARED_MAX {
            let message = format!("a session may have {PREPARED_MAX} prepared statements");
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("DEALLOCATE some."));
        }
        Ok(())
    }

    pub fn prepared(&self, name: &str) -> Option<Arc<Prepared>> {
        self.kept.statements.get(name).cloned()
    }

    pub fn prepared_count(&self) -> usize {
        self.kept.statements.len()
    }

    /// Forgets a prepared statement; whether there was one.
    pub fn forget_prepared(&mut self, name: &str) -> bool {
        let Some(forgotten) = self.kept.statements.remove(name) else { return false };
        if !name.is_empty() {
            self.kept.statement_bytes -= forgotten.text.len();
        }
        true
    }

    pub(super) fn prepare_command(
        &mut self,
        job: Job<'_>,
        name: &Name,
        types: &[TypeName],
        statement: Span,
    ) -> Result<Response, QueryError> {
        self.check_prepared_name(&name.text).map_err(|error| error.at(name.span))?;
        let types = types.iter().map(|ty| SqlType::parse(ty).map(Some)).collect::<Result<Vec<_>, _>>()?;
        let text: Arc<str> = statement.slice(job.text).into();
        let prepared = self.prepare_text(&text, &types).map_err(|error| error.shifted(statement.start))?;
        self.keep_prepared(&name.text, prepared)?;
        Ok(Response::Done { tag: "PREPARE".to_owned() })
    }

    pub(super) fn deallocate(&mut self, name: Option<&Name>) -> Result<Response, QueryError> {
        let tag = match name {
            None => {
                self.kept.forget_named();
                "DEALLOCATE ALL"
            }
            Some(name) if self.forget_prepared(&name.text) => "DEALLOCATE",
            Some(name) => return Err(no_statement(name)),
        };
        Ok(Response::Done { tag: tag.to_owned() })
    }

    /// The columns that EXECUTE and FETCH answer with.
    pub(super) fn kept_columns(&self, statement: &Statement) -> Result<Option<Arc<[ResultColumn]>>, QueryError> {
        match statement {
            Statement::Execute { name, .. } => {
                let prepared = self.prepared(&name.text).ok_or_else(|| no_statement(name))?;
                Ok(prepared.columns.clone())
            }
            Statement::Fetch { name, moves: false, .. } => {
                self.kept.cursors.get(&name.text).map(|c| Some(Arc::clone(&c.columns))).ok_or_else(|| no_cursor(name))
            }
            _ => Ok(None),
        }
    }

    /// What EXECUTE runs: its arguments computed, as the parameters' types.
    pub(super) fn execution(&mut self, job: Job<'_>, name: &Name, arguments: &[Expr]) -> Result<Execution, QueryError> {
        let prepared = self.prepared(&name.text).ok_or_else(|| no_statement(name))?;
        let expected = prepared.parameter_types.len();
        if arguments.len() != expected {
            let message = format!("wrong number of parameters for prepared statement \"{}\"", name.text);
            let detail = format!("Expected {expected} parameters but got {}.", arguments.len());
            return Err(QueryError::new(SqlState::SYNTAX_ERROR, message).detail(detail).at(name.span));
        }
        if arguments.is_empty() {
            return Ok(Execution { prepared, parameters: Vec::new() });
        }
        let query = arguments_query(arguments, &prepared.parameter_types);
        let statement = Statement::Query(Box::new(query));
        let read_only = matches!(self.work, Work::Idle);
        let mut tx = if read_only { self.begin_transaction(true)? } else { self.take_tx()?.0 };
        let row = self.one_row(&mut tx, job, &statement);
        if let Some(open) = self.open() {
            open.tx = Some(tx);
        }
        let parameters = with_nulls_of(prepared.dialect, &row?).into_owned();
        Ok(Execution { prepared, parameters })
    }

    fn one_row(
        &mut self,
        tx: &mut crate::transaction::Transaction,
        job: Job<'_>,
        statement: &Statement,
    ) -> Result<Row, QueryError> {
        let plan = self.bind(tx, job, statement)?;
        match self.run_small(&plan, tx, job.parameters)? {
            crate::exec::Outcome::Rows { rows } => Ok(rows.all()?.into_iter().next().unwrap_or_default()),
            crate::exec::Outcome::Affected { .. } => Err(QueryError::internal("arguments changed something")),
        }
    }

    // ---- cursors --------------------------------------------------------------------------------------------------

    pub(super) async fn declare(
        &mut self,
        declare: &DeclareCursor,
        job: Job<'_>,
        alone: bool,
    ) -> Result<Response, QueryError> {
        let name = &declare.name;
        if !declare.hold && alone && matches!(self.work, Work::Idle) {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(QueryError::new(SqlState::NO_ACTIVE_TRANSACTION, message)
                .hint("Send BEGIN first, or declare it WITH HOLD."));
        }
        if self.kept.cursors.contains_key(&name.text) {
            let message = format!("cursor \"{}\" already exists", name.text);
            return Err(QueryError::new(SqlState::DUPLICATE_CURSOR, message).at(name.span));
        }
        if self.kept.cursors.len() >= CURSORS_MAX {
            let message = format!("a session may have {CURSORS_MAX} open cursors");
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("CLOSE some."));
        }
        let statement = Statement::Query(Box::new(declare.query.clone()));
        let Parsed { text, parameters, .. } = *job.parsed;
        let parsed = Parsed { statement, text, parameters, noted: Noted::default() };
        let inner = Job { parsed: &parsed, told: None, ..job };
        let own = alone && matches!(self.work, Work::Idle);
        let answer = self.run_documents(inner, alone).await?;
        let Response::Rows { columns, rows } = answer else {
            return Err(QueryError::internal("a query answered without rows"));
        };
        let savepoints = self.open().map_or(0, |open| open.savepoints.len());
        let rows = Arc::new(Mutex::new(CursorRows::new(rows, declare.scroll, &self.kept.scroll_bytes)));
        let cursor = Cursor { columns, rows, hold: declare.hold, held: own, savepoints };
        self.kept.cursors.insert(Arc::clone(&name.text), cursor);
        Ok(Response::Done { tag: "DECLARE CURSOR".to_owned() })
    }

    pub(super) fn fetch(
        &mut self,
        name: &Name,
        direction: FetchDirection,
        moves: bool,
    ) -> Result<Response, QueryError> {
        let cursor = self.kept.cursors.get(&name.text).ok_or_else(|| no_cursor(name))?;
        let mut steps = Steps::of(&mut lock(&cursor.rows), direction)?;
        if moves {
            let mut count = 0_u64;
            while let Some(row) = steps.next(&mut lock(&cursor.rows))? {
                drop(row);
                count += 1;
            }
            return Ok(Response::Done { tag: format!("MOVE {count}") });
        }
        let rows = Arc::clone(&cursor.rows);
        let source = std::iter::from_fn(move || {
            let mut rows = lock(&rows);
            let mut chunk = Vec::new();
            while chunk.len() < CHUNK_ROWS {
                match steps.next(&mut rows) {
                    Ok(Some(row)) => chunk.push(row),
                    Ok(None) => break,
                    Err(error) => return Some(Err(error)),
                }
            }
            (!chunk.is_empty()).then_some(Ok(chunk))
        });
        Ok(Response::Rows { columns: Arc::clone(&cursor.columns), rows: RowStream::from_chunks(source, "FETCH") })
    }

    /// The columns of an open cursor: to the protocol it is a portal of that name.
    pub fn cursor_columns(&self, name: &str) -> Option<Arc<[ResultColumn]>> {
        self.kept.cursors.get(name).map(|cursor| Arc::clone(&cursor.columns))
    }

    /// Closes a cursor, if there is one of this name.
    pub fn forget_cursor(&mut self, name: &str) {
        self.kept.cursors.remove(name);
    }

    pub(super) fn close_cursor(&mut self, name: Option<&Name>) -> Result<Response, QueryError> {
        let tag = match name {
            None => {
                self.kept.cursors.clear();
                "CLOSE CURSOR ALL"
            }
            Some(name) => {
                self.kept.cursors.remove(&name.text).ok_or_else(|| no_cursor(name))?;
                "CLOSE CURSOR"
            }
        };
        Ok(Response::Done { tag: tag.to_owned() })
    }

    /// A transaction has ended: its cursors go with it, unless it committed and they were declared WITH HOLD.
    pub(super) fn end_cursors(&mut self, committed: bool) {
        self.kept.cursors.retain(|_, cursor| {
            cursor.held |= cursor.hold && committed;
            cursor.held
        });
    }

    /// Back to a savepoint: what was declared after it is gone.
    pub(super) fn roll_back_cursors(&mut self, savepoint: usize) {
        self.kept.cursors.retain(|_, cursor| cursor.held || cursor.savepoints <= savepoint);
    }

    /// A savepoint is no more: what was declared after it belongs to the one before.
    pub(super) fn release_cursors(&mut self, savepoint: usize) {
        for cursor in self.kept.cursors.values_mut() {
            cursor.savepoints = cursor.savepoints.min(savepoint);
        }
    }

    pub(super) fn discard_all(&mut self) -> Result<Response, QueryError> {
        if !matches!(self.work, Work::Idle) {
            let message = "DISCARD ALL cannot run inside a transaction block";
            return Err(QueryError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        self.kept.cursors.clear();
        self.kept.forget_named();
        if let Some(holder) = &self.info.advisory {
            holder.unlock_all();
        }
        self.info.given.forget();
        self.reset(None)?;
        Ok(Response::Done { tag: "DISCARD ALL".to_owned() })
    }
}

/// `VALUES (CAST(argument AS type), …)`
fn arguments_query(arguments: &[Expr], types: &[SqlType]) -> Query {
    let cast = |(argument, ty): (&Expr, &SqlType)| {
        // The length of a type cuts in a cast; the statement itself judges it.
        let ty = type_name(&bind::unsized_type(ty), argument.span);
        Expr { kind: ExprKind::Cast { expr: Box::new(argument.clone()), ty }, span: argument.span }
    };
    let row = arguments.iter().zip(types).map(cast).collect();
    Query::of(SetExpr::Values { rows: vec![row], span: Span::default() }, Span::default())
}

fn no_statement(name: &Name) -> QueryError {
    let message = format!("prepared statement \"{}\" does not exist", name.text);
    QueryError::new(SqlState::INVALID_STATEMENT_NAME, message).at(name.span)
}

fn no_cursor(name: &Name) -> QueryError {
    QueryError::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{}\" does not exist", name.text)).at(name.span)
}

fn lock(rows: &Mutex<CursorRows>) -> MutexGuard<'_, CursorRows> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of a cursor and the place in them.
struct CursorRows {
    stream: RowStream,
    ahead: std::vec::IntoIter<Row>,
    ended: bool,
    scroll: bool,
    /// All rows that have come out of the stream, if the cursor may go back.
    seen: Vec<Row>,
    seen_bytes: usize,
    /// The same of all cursors of the session.
    together: Arc<AtomicUsize>,
    /// How many have come out of it.
    read: u64,
    /// 0 before the first row, n on the nth, one more than there are behind the last.
    position: u64,
    current: Option<Row>,
}

impl Drop for CursorRows {
    fn drop(&mut self) {
        self.together.fetch_sub(self.seen_bytes, Ordering::Relaxed);
    }
}

fn too_much_to_scroll() -> QueryError {
    let message = format!("the SCROLL cursors of a session keep at most {SCROLL_BYTES_MAX} bytes of rows together");
    QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        .hint("CLOSE others, or declare it without SCROLL: it has no such limit, and goes forward only.")
}

impl CursorRows {
    fn new(stream: RowStream, scroll: bool, together: &Arc<AtomicUsize>) -> CursorRows {
        CursorRows {
            stream,
            ahead: Vec::new().into_iter(),
            ended: false,
            scroll,
            seen: Vec::new(),
            seen_bytes: 0,
            together: Arc::clone(together),
            read: 0,
            position: 0,
            current: None,
        }
    }

    /// To the next row.
    fn forward(&mut self) -> Result<Option<Row>, QueryError> {
        let row = match self.seen.get(usize::try_from(self.position).unwrap_or(usize::MAX)) {
            Some(row) => Some(row.clone()),
            None => self.pull()?,
        };
        self.position = self.position.min(self.read) + 1;
        self.current.clone_from(&row);
        Ok(row)
    }

    /// The next row of the stream.
    fn pull(&mut self) -> Result<Option<Row>, QueryError> {
        while !self.ended {
            if let Some(row) = self.ahead.next() {
                self.read += 1;
                if self.scroll {
                    let bytes = row_bytes(&row);
                    self.seen_bytes += bytes;
                    if self.together.fetch_add(bytes, Ordering::Relaxed) + bytes > SCROLL_BYTES_MAX {
                        return Err(too_much_to_scroll());
                    }
                    self.seen.push(row.clone());
                }
                return Ok(Some(row));
            }
            match self.stream.next_chunk()? {
                Some(chunk) => self.ahead = chunk.into_iter(),
                None => self.ended = true,
            }
        }
        Ok(None)
    }

    /// To the row before.
    fn backward(&mut self) -> Result<Option<Row>, QueryError> {
        self.may_go_back()?;
        self.position = self.position.saturating_sub(1);
        self.here();
        Ok(self.current.clone())
    }

    /// To this row, or behind the last one.
    fn to(&mut self, position: u64) -> Result<Option<Row>, QueryError> {
        if position < self.position {
            self.may_go_back()?;
            self.position = position;
            self.here();
        }
        while self.position < position {
            if self.forward()?.is_none() {
                break;
            }
        }
        Ok(self.current.clone())
    }

    fn here(&mut self) {
        let at = self.position.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        self.current = at.and_then(|at| self.seen.get(at)).cloned();
    }

    /// How many rows there are.
    fn total(&mut self) -> Result<u64, QueryError> {
        self.may_go_back()?;
        while self.pull()?.is_some() {}
        Ok(self.read)
    }

    fn may_go_back(&self) -> Result<(), QueryError> {
        if self.scroll {
            return Ok(());
        }
        Err(QueryError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
            .hint("Declare it with SCROLL option to enable backward scan."))
    }
}

/// What is left to do of a FETCH.
enum Steps {
    Forward(Option<u64>),
    Backward(Option<u64>),
    /// The row a jump has led to.
    One(Option<Row>),
}

impl Steps {
    /// Jumps are made at once, rows are fetched as they are asked for.
    fn of(rows: &mut CursorRows, direction: FetchDirection) -> Result<Steps, QueryError> {
        let here = i64::try_from(rows.position).unwrap_or(i64::MAX);
        Ok(match direction {
            FetchDirection::Forward(Some(0)) | FetchDirection::Backward(Some(0)) | FetchDirection::Relative(0) => {
                Steps::One(rows.current.clone())
            }
            FetchDirection::Forward(count) => Steps::Forward(count),
            FetchDirection::Backward(count) => {
                rows.may_go_back()?;
                Steps::Backward(count)
            }
            FetchDirection::Relative(by) => Steps::One(rows.to(u64::try_from(here.saturating_add(by)).unwrap_or(0))?),
            FetchDirection::Absolute(to) if to >= 0 => Steps::One(rows.to(to.unsigned_abs())?),
            FetchDirection::Absolute(back) => {
                let total = rows.total()?;
                Steps::One(rows.to((total + 1).saturating_sub(back.unsigned_abs()))?)
            }
        })
    }

    fn next(&mut self, rows: &mut CursorRows) -> Result<Option<Row>, QueryError> {
        let count = match self {
            Steps::One(row) => return Ok(row.take()),
            Steps::Forward(count) | Steps::Backward(count) => count,
        };
        match count {
            Some(0) => return Ok(None),
            Some(count) => *count -= 1,
            None => {}
        }
        let row = if matches!(self, Steps::Forward(_)) { rows.forward()? } else { rows.backward()? };
        if row.is_none() {
            *self = Steps::One(None);
        }
        Ok(row)
    }
}
