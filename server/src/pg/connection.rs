//! The life of a connection after its start: messages in, answers out, one write per batch.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Batch, CopyIn, CopyOut, Response, Session, TransactionStatus, commit_report};
use tokio::sync::watch;

use super::Server;
use super::cancel::Registration;
use super::copy_binary;
use super::extended::Extended;
use super::frame::{self, FrameError, Frontend, Next};
use super::message::{Outbound, Status};
use super::rows::{self, Formats};
use super::startup::Started;
use super::turns;
use super::wire::{Arrival, Wire};

/// Why a connection is over.
#[derive(Debug)]
pub enum Ended {
    /// The client said goodbye, or just left.
    Gone,
    Io(io::Error),
    /// Its messages could not be read; it was told.
    Protocol(FrameError),
    /// Idle in a transaction for too long.
    Silence,
    Shutdown,
}

/// An open connection.
pub struct Connection<'s> {
    pub(super) server: &'s Server,
    pub(super) wire: Wire,
    pub(super) session: Session,
    pub(super) extended: Extended,
    _registration: Registration,
    shutdown: watch::Receiver<bool>,
    copy: Option<CopyState>,
    /// How far the ledger was when an answer was sent last.
    snapshot: u64,
    /// Answers that the client waits for are in the buffer.
    pub(super) flush: bool,
}

/// A COPY FROM STDIN whose rows are arriving.
struct CopyState {
    copy: CopyIn,
    text: std::sync::Arc<str>,
    /// The rest of the simple query; `None` in the extended protocol.
    batch: Option<Batch>,
    /// Reads binary input.
    binary: Option<copy_binary::Reader>,
}

impl CopyState {
    fn new(copy: CopyIn, text: std::sync::Arc<str>, batch: Option<Batch>) -> CopyState {
        let binary = copy.is_binary().then(|| copy_binary::Reader::new(copy.types()));
        CopyState { copy, text, batch, binary }
    }
}

impl<'s> Connection<'s> {
    pub fn new(server: &'s Server, started: Started, shutdown: watch::Receiver<bool>) -> Self {
        let snapshot = started.session.database().snapshot();
        Connection {
            server,
            wire: started.wire,
            session: started.session,
            extended: Extended::default(),
            _registration: started.registration,
            shutdown,
            copy: None,
            snapshot,
            flush: false,
        }
    }

    /// Serves the client until one of the two has had enough.
    pub async fn run(mut self) -> Ended {
        let ended = loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => break Ended::Gone,
                Err(ended) => break ended,
            }
        };
        let metrics = &self.server.metrics;
        metrics.bytes_received.add(self.wire.received);
        metrics.bytes_sent.add(self.wire.sent);
        let farewell = match &ended {
            Ended::Protocol(error) => {
                metrics.protocol_errors.one();
                Some(("08P01", error.to_string()))
            }
            Ended::Silence => Some(("25P03", "terminating connection due to idle-in-transaction timeout".to_owned())),
            Ended::Shutdown => Some(("57P01", "terminating connection because the server is shutting down".to_owned())),
            Ended::Gone | Ended::Io(_) => None,
        };
        // The open transaction goes before the client is told, so that nothing of it is left when it hears of it.
        let Connection { mut wire, session, .. } = self;
        drop(session);
        if let Some((code, message)) = farewell {
            wire.out.fatal(code, &message, None);
            wire.close_after_error().await;
        }
        ended
    }

    /// The next message; false after the last one.
    async fn step(&mut self) -> Result<bool, Ended> {
        match frame::next(&mut self.wire.inbound, &self.server.config.limits).map_err(Ended::Protocol)? {
            Next::Frame(message) => {
                let more = self.handle(message).await?;
                if more {
                    // However many messages have come at once, and however long their answers are.
                    self.wire.relieve().await?;
                } else if self.flush {
                    // The client says goodbye, and may wait for what it asked before.
                    self.wire.flush().await?;
                }
                Ok(more)
            }
            Next::More(wanted) => {
                if std::mem::take(&mut self.flush) {
                    self.await_turn().await;
                    self.wire.flush().await?;
                }
                self.wait(wanted).await
            }
        }
    }

    /// Before an answer is sent: those to reads give way to others that have arrived, if there are many and all they do is read.
    async fn await_turn(&mut self) {
        let on_time = !turns::has_blocked();
        let snapshot = self.session.database().snapshot();
        // By whomever, and through whichever door.
        if std::mem::replace(&mut self.snapshot, snapshot) != snapshot {
            self.wire.committed();
        }
        let in_crowd = self.wire.is_in_crowd() && !self.wire.out.is_empty();
        let may_wait = in_crowd && on_time && self.wire.is_in_reading_crowd() && !self.is_in_transaction();
        if may_wait {
            self.server.metrics.answers_put_off.one();
            turns::after_others().await;
        }
        if in_crowd {
            turns::answers(may_wait);
        }
    }

    fn is_in_transaction(&self) -> bool {
        self.session.transaction_status() != TransactionStatus::Idle || self.copy.is_some()
    }

    async fn wait(&mut self, wanted: usize) -> Result<bool, Ended> {
        let patience = if self.is_in_transaction() { self.patience() } else { None };
        match self.wire.fill(wanted, patience, Some(&mut self.shutdown)).await? {
            Arrival::Bytes => Ok(true),
            Arrival::End => Ok(false),
            Arrival::Silence => Err(Ended::Silence),
            Arrival::Shutdown => Err(Ended::Shutdown),
        }
    }

    /// How long a client may say nothing inside of a transaction.
    fn patience(&self) -> Option<Duration> {
        let seconds = self.server.config.limits.idle_in_transaction_seconds;
        let own = self.session.settings().milliseconds("idle_in_transaction_session_timeout");
        match (own, seconds) {
            (0, 0) => None,
            (0, seconds) => Some(Duration::from_secs(seconds)),
            (own, 0) => Some(Duration::from_millis(own)),
            (own, seconds) => Some(Duration::from_millis(own).min(Duration::from_secs(seconds))),
        }
    }

    async fn handle(&mut self, message: Frontend) -> Result<bool, Ended> {
        if self.copy.is_some() {
            return self.handle_copy(message).await;
        }
        // After an error nothing is done before the client's Sync, simple queries included.
        if self.extended.skipping && !matches!(message, Frontend::Sync | Frontend::Terminate) {
            return Ok(true);
        }
        match message {
            Frontend::Query(text) => self.simple(text).await?,
            Frontend::Parse { name, text, types } => self.parse(name, text, &types),
            Frontend::Bind(bind) => self.bind(bind),
            Frontend::Describe { portal, name } => self.describe(portal, &name),
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows).await?,
            Frontend::Close { portal, name } => self.close(portal, &name),
            Frontend::Sync => self.sync().await,
            Frontend::Flush => self.flush = true,
            Frontend::Terminate => return Ok(false),
            // After a failed COPY its data may still be arriving.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => {}
            Frontend::Password(_) => {
                return Err(Ended::Protocol(FrameError::Body { kind: 'p', what: "nobody asked for a password" }));
            }
            Frontend::NotUtf8 { kind: b'Q', bytes } => {
                self.session.fail();
                self.report(&QueryError::not_utf8(&bytes), "");
                self.ready();
            }
            Frontend::NotUtf8 { kind: b'f', .. } => {}
            Frontend::NotUtf8 { bytes, .. } => self.fail_extended(&QueryError::not_utf8(&bytes), ""),
            Frontend::FunctionCall => {
                let error = QueryError::unsupported("the function call message");
                self.report(&error, "");
                self.ready();
            }
        }
        Ok(true)
    }

    /// A simple query: every statement, then ReadyForQuery.
    async fn simple(&mut self, text: String) -> Result<(), Ended> {
        self.extended.forget_unnamed();
        self.session.forget_prepared("");
        let text: std::sync::Arc<str> = text.into();
        match self.session.batch(text.clone()) {
            Ok(batch) if batch.is_empty() => {
                self.wire.out.empty(b'I');
                self.ready();
                Ok(())
            }
            Ok(batch) => self.continue_simple(batch).await,
            Err(error) => {
                self.report(&error, &text);
                self.ready();
                Ok(())
            }
        }
    }

    async fn continue_simple(&mut self, mut batch: Batch) -> Result<(), Ended> {
        loop {
            let started = Instant::now();
            let answer = self.session.next(&mut batch).await;
            self.observe(started, answer.as_ref().err());
            match answer {
                Ok(None) => break,
                Ok(Some(Response::CopyIn(copy))) => {
                    self.wire.out.copy_response(b'G', copy.columns(), copy.is_binary());
                    self.flush = true;
                    self.copy = Some(CopyState::new(*copy, batch.text().clone(), Some(batch)));
                    return Ok(());
                }
                Ok(Some(answer)) => {
                    self.notices();
                    if let Err(error) = self.answer(answer).await? {
                        self.session.fail();
                        self.report(&error, batch.text());
                        break;
                    }
                    self.reports();
                }
                Err(error) => {
                    self.notices();
                    self.report(&error, batch.text());
                    break;
                }
            }
        }
        self.ready();
        Ok(())
    }

    /// A whole answer of the simple protocol.
    async fn answer(&mut self, answer: Response) -> Result<Result<(), QueryError>, Ended> {
        match answer {
            Response::Rows { columns, mut rows } => {
                rows::describe(&mut self.wire.out, &columns, &Formats::AllText);
                loop {
                    match rows.next_chunk() {
                        Ok(Some(chunk)) => {
                            for row in &chunk {
                                if let Err(error) = rows::write(&mut self.wire.out, row, &columns, &Formats::AllText) {
                                    return Ok(Err(error));
                                }
                                self.wire.relieve().await?;
                            }
                        }
                        Ok(None) => break,
                        Err(error) => return Ok(Err(error)),
                    }
                }
                self.wire.out.command_complete(&rows.tag());
            }
            Response::Done { tag } => self.wire.out.command_complete(&tag),
            Response::Empty => self.wire.out.empty(b'I'),
            Response::CopyOut(copy) => return self.copy_out(copy).await,
            Response::CopyIn(_) => return Ok(Err(QueryError::internal("COPY out of place"))),
        }
        Ok(Ok(()))
    }

    /// COPY … TO STDOUT.
    pub(super) async fn copy_out(&mut self, copy: CopyOut) -> Result<Result<(), QueryError>, Ended> {
        let CopyOut { columns, mut rows, layout } = copy;
        self.wire.out.copy_response(b'H', columns.len(), layout.binary);
        if layout.binary {
            self.wire.out.message(b'd', copy_binary::write_header);
        }
        let mut count = 0_u64;
        if layout.header {
            let names: Vec<Option<String>> = columns.iter().map(|column| Some(column.name.to_string())).collect();
            self.wire.out.message(b'd', |body| layout.write(&names, body));
        }
        loop {
            match rows.next_chunk() {
                Ok(Some(chunk)) => {
                    for row in &chunk {
                        if layout.binary {
                            let start = self.wire.out.len();
                            let mut outcome = Ok(());
                            self.wire.out.message(b'd', |body| outcome = copy_binary::write_row(row, &columns, body));
                            if let Err(error) = outcome {
                                self.wire.out.truncate(start);
                                return Ok(Err(error));
                            }
                            count += 1;
                            self.wire.relieve().await?;
                            continue;
                        }
                        let fields: Vec<Option<String>> = columns
                            .iter()
                            .enumerate()
                            .map(|(at, column)| {
                                let value = row.get(at)?.as_ref()?;
                                Some(ledgerstone_query::value::text::format(value, &column.ty))
                            })
                            .collect();
                        self.wire.out.message(b'd', |body| layout.write(&fields, body));
                        count += 1;
                        self.wire.relieve().await?;
                    }
                }
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        if layout.binary {
            self.wire.out.message(b'd', copy_binary::write_trailer);
        }
        self.wire.out.empty(b'c');
        self.wire.out.command_complete(&format!("COPY {count}"));
        Ok(Ok(()))
    }

    /// Waits for the rows of a COPY in the extended protocol.
    pub(super) fn start_copy(&mut self, copy: CopyIn, text: std::sync::Arc<str>) {
        self.wire.out.copy_response(b'G', copy.columns(), copy.is_binary());
        self.flush = true;
        self.copy = Some(CopyState::new(copy, text, None));
    }

    async fn handle_copy(&mut self, message: Frontend) -> Result<bool, Ended> {
        let Some(mut state) = self.copy.take() else { return Ok(true) };
        let outcome = match message {
            Frontend::CopyData(data) => match self.copy_data(&mut state, &data) {
                Ok(()) => {
                    self.copy = Some(state);
                    return Ok(true);
                }
                Err(error) => Err(error),
            },
            // The protocol ignores both while a COPY runs.
            Frontend::Sync | Frontend::Flush => {
                self.copy = Some(state);
                return Ok(true);
            }
            Frontend::CopyDone => match state.binary.as_ref().map_or(Ok(()), copy_binary::Reader::finish) {
                Ok(()) => self.session.copy_finish(state.copy).await,
                Err(error) => {
                    self.session.fail();
                    Err(error)
                }
            },
            Frontend::CopyFail(reason) => Err(self.session.copy_fail(&reason)),
            Frontend::NotUtf8 { bytes, .. } => Err({
                let _ = self.session.copy_fail("");
                QueryError::not_utf8(&bytes)
            }),
            Frontend::Terminate => {
                self.session.copy_fail("the client left");
                return Ok(false);
            }
            _ => Err({
                let _ = self.session.copy_fail("");
                QueryError::new(SqlState("08P01"), "a message that does not belong into a COPY")
            }),
        };
        self.notices();
        match (outcome, state.batch) {
            (Ok(Response::Done { tag }), batch) => {
                self.wire.out.command_complete(&tag);
                self.reports();
                match batch {
                    Some(batch) => self.continue_simple(batch).await?,
                    None => self.flush = true,
                }
            }
            (Ok(_), _) => {}
            (Err(error), batch) => {
                self.report(&error, &state.text);
                match batch {
                    Some(_) => self.ready(),
                    None => {
                        self.extended.skipping = true;
                        self.flush = true;
                    }
                }
            }
        }
        Ok(true)
    }

    /// A piece of COPY's input, as text or binary.
    fn copy_data(&mut self, state: &mut CopyState, data: &[u8]) -> Result<(), QueryError> {
        let Some(reader) = &mut state.binary else { return self.session.copy_data(&mut state.copy, data) };
        let now_micros = self.session.info().transaction_time_ms.saturating_mul(1_000);
        let first = reader.rows() + 1;
        let rows = reader.push(data, now_micros).inspect_err(|_| self.session.fail())?;
        if rows.is_empty() { Ok(()) } else { self.session.copy_rows(&mut state.copy, first, rows) }
    }

    /// Tells the client of commits and changed parameters.
    pub(super) fn reports(&mut self) {
        if let Some(committed) = self.session.take_commit() {
            self.server.metrics.commits.one();
            self.wire.out.parameter_status("ledgerstone.commit", &commit_report(&committed));
        }
        self.extended.report_settings(&self.session, &mut self.wire.out);
    }

    pub(super) fn notices(&mut self) {
        for notice in self.session.take_notices() {
            self.wire.out.notice(notice.severity, notice.code, &notice.message);
        }
    }

    pub(super) fn report(&mut self, error: &QueryError, text: &str) {
        if error.code == SqlState::INTERNAL || error.code == SqlState::DATA_CORRUPTED {
            tracing::error!(code = error.code.0, message = %error.message, "a statement failed");
        }
        self.wire.out.error(error, text, "ERROR");
    }

    pub(super) fn observe(&mut self, started: Instant, error: Option<&QueryError>) {
        let metrics = &self.server.metrics;
        metrics.statements.one();
        metrics.statement_seconds.observe(started.elapsed());
        if let Some(error) = error {
            metrics.statement_errors.one();
            if error.is_retryable() {
                metrics.conflicts.one();
            }
        }
    }

    pub(super) fn ready(&mut self) {
        self.reports();
        ready(&mut self.wire.out, self.session.transaction_status());
        self.flush = true;
    }
}

fn ready(out: &mut Outbound, status: TransactionStatus) {
    out.ready(match status {
        TransactionStatus::Idle => Status::Idle,
        TransactionStatus::InTransaction => Status::InTransaction,
        TransactionStatus::Failed => Status::Failed,
    });
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Gone => f.write_str("the client left"),
            Ended::Io(error) => write!(f, "{error}"),
            Ended::Protocol(error) => write!(f, "{error}"),
            Ended::Silence => f.write_str("idle in a transaction for too long"),
            Ended::Shutdown => f.write_str("the server is shutting down"),
        }
    }
}
