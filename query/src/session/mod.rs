//! A session: one client's conversation with one ledger, whatever the protocol (DESIGN section 8).
//!
//! A session runs statements in three states. *Idle*: each statement is a transaction of its own, run again when it
//! conflicts. *Implicit*: several statements sent together commit together. *Explicit*: from BEGIN to COMMIT; after an
//! error everything but ROLLBACK is refused (25P02), as in PostgreSQL.

pub mod advisory;
pub(crate) mod answers;
mod commands;
mod control;
#[cfg(feature = "analytics")]
mod copy_file;
pub mod copy_format;
mod copy_in;
pub mod info;
mod kept;
mod listed;
mod permitted;
mod procedure;
mod replay;
mod response;
mod run;
mod runtime;
pub mod sequences;
pub mod settings;
mod trace;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Committed;

pub use control::Concern;
pub use copy_in::CopyIn;
pub use info::{Cancel, CancelReason, Dialect, Door, SessionInfo, Wish};
pub use listed::Sessions;
pub use response::{CopyOut, Response, RowStream, command_tag, write_tag};
pub use run::Batch;
pub use run::canceled;
pub use runtime::{Inline, Pause, Runtime};
pub use settings::{SETTING_ANALYTIC_DOCUMENTS, SETTING_EXECUTOR, SettingError, Settings};
pub use trace::Trace;

use answers::KeptAnswer;
use kept::Kept;
use replay::Replay;

use crate::Parsed;
use crate::bind::plan::{Plan, ResultColumn};
use crate::database::Database;
use crate::error::{QueryError, SqlState};
use crate::instance::Instance;
use crate::permission::{Action, Resource};
use crate::transaction::{Savepoint, Transaction};
use crate::types::SqlType;

/// How often a statement outside an explicit transaction is run again after a conflict.
const RERUNS_MAX: u32 = 200;

/// What a session is opened with.
#[derive(Clone)]
pub struct SessionOptions {
    pub door: Door,
    pub user: String,
    pub dialect: Dialect,
    /// What the connection asked for; RESET goes back to it.
    pub settings: Settings,
    pub runtime: Arc<dyn Runtime>,
    /// `pg_backend_pid()`.
    pub process_id: i32,
    /// Stops the running statement when told to.
    pub cancel: Cancel,
    /// Longest time of a statement in milliseconds, whatever `statement_timeout` says; 0 is none.
    pub statement_ms_max: u64,
    /// QLDB's own limits hold: documents and bytes of a transaction, tables, indexes ([`crate::transaction::strict`]).
    pub strict: bool,
}

impl SessionOptions {
    /// A session without wishes of its own, and without a limit.
    pub fn new(door: Door, user: impl Into<String>, dialect: Dialect, runtime: Arc<dyn Runtime>) -> SessionOptions {
        SessionOptions {
            door,
            user: user.into(),
            dialect,
            settings: Settings::default(),
            runtime,
            process_id: 0,
            cancel: Cancel::default(),
            statement_ms_max: 0,
            strict: false,
        }
    }
}

/// Whether a transaction is open, for ReadyForQuery and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// A remark beside an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub severity: &'static str,
    pub code: &'static str,
    pub message: String,
}

/// A statement parsed and, where it has a plan, bound.
pub struct Prepared {
    pub(crate) text: Arc<str>,
    pub(crate) dialect: Dialect,
    /// One statement, or none for an empty text.
    pub(crate) statements: Arc<[Parsed]>,
    /// As the client gave them.
    pub(crate) types: Box<[Option<SqlType>]>,
    /// The columns of its rows; `None` if it answers without rows.
    pub columns: Option<Arc<[ResultColumn]>>,
    /// Of every parameter, given or inferred.
    pub parameter_types: Vec<SqlType>,
}

/// One client's conversation with one ledger.
pub struct Session {
    /// Where other ledgers are made and dropped.
    instance: Option<Arc<Instance>>,
    database: Arc<Database>,
    info: SessionInfo,
    /// The instance's number when `info.permit` was asked for.
    permissions_version: u64,
    base: Settings,
    runtime: Arc<dyn Runtime>,
    statement_ms_max: u64,
    /// What `statement_timeout` says.
    statement_timeout_ms: u64,
    /// No setting says which executor is to run statements.
    chooses_executor: bool,
    strict: bool,
    work: Work,
    /// A statement runs, or was left in the middle: a bug ended it, and the session outlived it.
    unfinished: bool,
    last_commit: Option<Committed>,
    /// A commit the client has not been told of.
    unreported: bool,
    notices: Vec<Notice>,
    /// What the last statement answered, if its transaction has a client token.
    answered: Option<KeptAnswer>,
    /// Where others see it.
    place: Option<listed::Place>,
    kept: Kept,
}

/// Transactions across statements.
enum Work {
    Idle,
    Implicit(Box<Open>),
    Explicit(Box<Open>),
}

/// An open transaction.
struct Open {
    /// Begun by the first statement that needs it, so that BEGIN alone holds no snapshot.
    tx: Option<Transaction>,
    read_only: bool,
    failed: bool,
    /// Its own definitions are not in the published catalogue, so its plans are not shared.
    defines: bool,
    savepoints: Vec<Mark>,
    /// What ROLLBACK goes back to.
    settings_before: Settings,
    /// What COMMIT goes back to: without SET LOCAL.
    settings_after: Option<Settings>,
    began_ms: i64,
    /// It repeats what its client token has committed before.
    replay: Option<Replay>,
    /// What its statements answered, for a retry, and the bytes of that.
    answers: Vec<Option<KeptAnswer>>,
    answer_bytes: usize,
}

struct Mark {
    name: Arc<str>,
    place: Savepoint,
    settings: Settings,
    settings_after: Option<Settings>,
    /// Of this one and all before it.
    bytes: usize,
}

impl Session {
    /// Opens a session with a ledger; an unknown name is an error that lists what exists (3D000). Who comes in through a
    /// door needs the permission for that (42501).
    pub fn new(instance: Arc<Instance>, ledger: &str, options: SessionOptions) -> Result<Session, QueryError> {
        let database = instance.ledger(ledger)?;
        let version = instance.permissions_version();
        let permit = instance.permit(ledger, &options.user)?;
        if let Some(permit) = permit.as_ref().filter(|_| options.door != Door::Embedded) {
            permit.check(Action::SendCommand, Resource::Ledger)?;
        }
        let mut session = Session::open_on(database, Some(instance), options);
        session.info.permit = permit;
        session.permissions_version = version;
        Ok(session)
    }

    /// The ledger's permissions mode may have been changed since the last statement.
    fn follow_permissions(&mut self) -> Result<(), QueryError> {
        let Some(instance) = &self.instance else { return Ok(()) };
        let version = instance.permissions_version();
        if version != self.permissions_version {
            self.info.permit = instance.permit(&self.info.ledger, &self.info.user)?;
            self.permissions_version = version;
        }
        Ok(())
    }

    /// Opens a session with a ledger that was opened by itself: CREATE DATABASE and DROP DATABASE have nowhere to go.
    pub fn over(database: Arc<Database>, options: SessionOptions) -> Session {
        Session::open_on(database, None, options)
    }

    fn open_on(database: Arc<Database>, instance: Option<Arc<Instance>>, options: SessionOptions) -> Session {
        let mut settings = options.settings;
        settings.set_fixed("session_authorization", &options.user);
        if settings.get("ledgerstone.dialect") == Some("sql") && options.dialect == Dialect::PartiQl {
            settings.set_fixed("ledgerstone.dialect", "partiql");
        }
        let info = SessionInfo {
            user: Arc::from(options.user),
            ledger: Arc::clone(database.name()),
            door: options.door,
            dialect: options.dialect,
            settings: settings.clone(),
            process_id: options.process_id,
            database: Some(Arc::clone(&database)),
            instance: instance.clone(),
            permit: None,
            transaction_time_ms: 0,
            statement_time_ms: 0,
            wishes: info::Wishes::default(),
            given: sequences::GivenValues::default(),
            advisory: Some(database.advisory_locks().holder()),
            cancel: options.cancel,
            trace: None,
        };
        let place = match &instance {
            Some(instance) if info.process_id != 0 => {
                Some(instance.sessions().enter(info.process_id, &info.ledger, &info.user, now_ms()))
            }
            _ => None,
        };
        let mut session = Session {
            instance,
            database,
            info,
            permissions_version: 0,
            base: settings,
            runtime: options.runtime,
            statement_ms_max: options.statement_ms_max,
            statement_timeout_ms: 0,
            chooses_executor: true,
            strict: options.strict,
            work: Work::Idle,
            unfinished: false,
            last_commit: None,
            unreported: false,
            notices: Vec::new(),
            answered: None,
            place,
            kept: Kept::default(),
        };
        session.follow_settings();
        session
    }

    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    pub fn settings(&self) -> &Settings {
        &self.info.settings
    }

    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.work {
            Work::Explicit(open) if open.failed => TransactionStatus::Failed,
            Work::Explicit(_) => TransactionStatus::InTransaction,
            Work::Idle | Work::Implicit(_) => TransactionStatus::Idle,
        }
    }

    /// The last commit of this session that made a block.
    pub fn last_commit(&self) -> Option<Committed> {
        self.last_commit
    }

    /// A commit since the last call.
    pub fn take_commit(&mut self) -> Option<Committed> {
        std::mem::take(&mut self.unreported).then_some(self.last_commit).flatten()
    }

    /// Remarks since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Stops the statement that is running, from another thread.
    pub fn cancel_handle(&self) -> Cancel {
        self.info.cancel.clone()
    }

    /// An error outside the session's own code (a parameter that does not decode, rows that could not be sent) has the
    /// same effect on the open transaction as one inside.
    pub fn fail(&mut self) {
        match &mut self.work {
            Work::Explicit(open) => open.failed = true,
            Work::Implicit(_) => {
                if let Work::Implicit(open) = std::mem::replace(&mut self.work, Work::Idle) {
                    self.info.settings = open.settings_before;
                    self.follow_settings();
                    self.end_cursors(false);
                    self.end_transaction_locks();
                }
            }
            Work::Idle => {}
        }
    }

    /// The same, because a protocol that has no COPY was answered with one.
    pub fn refuse_copy(&mut self) -> QueryError {
        self.fail();
        QueryError::unsupported("COPY through this protocol").hint("Use the PostgreSQL port.")
    }

    /// A statement that a bug has ended in the middle may have taken the transaction along: it must not be committed, nor
    /// its savepoints be gone back to.
    fn fail_if_unfinished(&mut self) {
        if std::mem::take(&mut self.unfinished) {
            self.fail();
            if let Some(open) = self.open() {
                open.savepoints.clear();
            }
        }
    }

    /// Commits what several statements sent together have done; nothing to do in other states.
    pub async fn sync(&mut self) -> Result<(), QueryError> {
        if matches!(self.work, Work::Implicit(_)) { self.commit_open().await } else { Ok(()) }
    }

    fn notice(&mut self, severity: &'static str, code: &'static str, message: impl Into<String>) {
        if self.info.settings.sends(severity) {
            self.notices.push(Notice { severity, code, message: message.into() });
        }
    }

    fn follow_settings(&mut self) {
        if let Some(place) = &self.place {
            place.is_called(self.info.settings.get("application_name").unwrap_or_default());
        }
        self.info.dialect = match self.info.settings.get("ledgerstone.dialect") {
            Some("partiql") => Dialect::PartiQl,
            _ => Dialect::Sql,
        };
        self.statement_timeout_ms = self.info.settings.milliseconds("statement_timeout");
        self.chooses_executor = self.info.settings.get(SETTING_EXECUTOR) == Some("auto");
    }

    fn note_commit(&mut self, committed: Option<Committed>) {
        if let Some(committed) = committed {
            self.last_commit = Some(committed);
            self.unreported = true;
        }
    }

    /// The state several statements share, opened if there is none.
    fn join(&mut self) {
        if matches!(self.work, Work::Idle) {
            let read_only = self.info.settings.is_on("default_transaction_read_only");
            self.work = Work::Implicit(Box::new(Open::new(&self.info.settings, read_only)));
        }
    }

    fn open(&mut self) -> Option<&mut Open> {
        match &mut self.work {
            Work::Idle => None,
            Work::Implicit(open) | Work::Explicit(open) => Some(open),
        }
    }

    async fn commit_open(&mut self) -> Result<(), QueryError> {
        let open = match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => return Ok(()),
            Work::Implicit(open) | Work::Explicit(open) => open,
        };
        let token = self.info.settings.client_token().map(str::to_owned);
        let outcome = match (&open.replay, open.tx) {
            (Some(replay), _) => replay.finish().map(|committed| self.finish_repetition(committed)),
            (None, Some(tx)) => self.commit(tx, open.answers).await,
            (None, None) => Ok(()),
        };
        self.end_cursors(outcome.is_ok());
        self.end_transaction_locks();
        self.info.settings = match (&outcome, open.settings_after) {
            (Err(_), _) => open.settings_before,
            (Ok(()), Some(mut after)) => {
                // The token is used up, also where it would come back with what SET LOCAL changed for a while.
                if self.info.settings.client_token().is_none() && after.client_token() == token.as_deref() {
                    after.forget_client_token();
                }
                after
            }
            (Ok(()), None) => return Ok(()),
        };
        self.follow_settings();
        outcome
    }

    fn roll_back(&mut self) {
        if let Work::Implicit(open) | Work::Explicit(open) = std::mem::replace(&mut self.work, Work::Idle) {
            self.info.settings = open.settings_before;
            self.follow_settings();
            self.end_cursors(false);
            self.end_transaction_locks();
        }
    }

    /// Advisory locks that were taken for the transaction end with it.
    fn end_transaction_locks(&self) {
        if let Some(holder) = &self.info.advisory {
            holder.end_transaction();
        }
    }

    async fn commit(&mut self, tx: Transaction, answers: Vec<Option<KeptAnswer>>) -> Result<(), QueryError> {
        let (snapshot, redacts) = (tx.snapshot(), tx.redacts());
        let committed = tx.commit_or_repeat().await;
        if redacts {
            // Rows kept for retries are copies too, those included that whoever is committing now has read before.
            self.database.answers().clear(self.database.snapshot());
        }
        let committed = committed?;
        self.note_commit(committed);
        if committed.is_some()
            && let Some(token) = self.info.settings.client_token()
        {
            self.database.answers().put(token, answers, snapshot);
            // A token names one commit.
            self.info.settings.forget_client_token();
        }
        Ok(())
    }

    /// A transaction as this session begins it.
    fn begin_transaction(&self, read_only: bool) -> Result<Transaction, QueryError> {
        let mut tx = Transaction::begin(&self.database, read_only);
        tx.set_origin(Arc::clone(&self.info.user), self.info.door.name());
        if !read_only && let Some(token) = self.info.settings.client_token() {
            tx.set_client_token(token)?;
        }
        if self.info.door == Door::Qldb {
            tx.set_validate_reads(true);
        }
        if self.strict {
            tx.set_strict();
        }
        Ok(tx)
    }
}

impl Open {
    fn new(settings: &Settings, read_only: bool) -> Self {
        Open {
            tx: None,
            read_only,
            failed: false,
            defines: false,
            savepoints: Vec::new(),
            settings_before: settings.clone(),
            settings_after: None,
            began_ms: now_ms(),
            replay: None,
            answers: Vec::new(),
            answer_bytes: 0,
        }
    }
}

impl Prepared {
    /// Whether the text holds no statement.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Parameters as the statement takes them: SQL has one NULL, which is no value; in PartiQL a null has a type, and is a
    /// value like others.
    pub fn with_its_nulls<'p>(&self, parameters: &'p [Option<Value>]) -> Cow<'p, [Option<Value>]> {
        run::with_nulls_of(self.dialect, parameters)
    }

    /// Whether a plan takes and answers what the client was told.
    fn describes(&self, plan: &Plan) -> bool {
        let same_columns = match (&self.columns, plan.columns()) {
            (Some(told), Some(now)) => {
                let same = |(a, b): (&ResultColumn, &ResultColumn)| a.name == b.name && a.ty == b.ty;
                Arc::ptr_eq(told, now) || told.len() == now.len() && told.iter().zip(now.iter()).all(same)
            }
            (told, now) => told.is_none() == now.is_none(),
        };
        same_columns && self.parameter_types == plan.parameter_types()
    }
}

/// A commit's report has fewer.
const REPORT_BYTES: usize = 256;

/// A commit as clients are told of it: the block's address, the positions of its revisions and of the block leaf.
pub fn commit_report(committed: &Committed) -> String {
    let mut report = String::with_capacity(REPORT_BYTES);
    // Writing to a string does not fail.
    let _ = write!(
        report,
        "{{\"strandId\":\"{}\",\"sequenceNo\":{},\"transactionId\":\"{}\",\"firstPosition\":{},\"revisions\":{},\
         \"blockPosition\":{}}}",
        committed.strand,
        committed.block,
        committed.transaction_id,
        committed.first_position,
        committed.revisions,
        committed.block_position
    );
    report
}

/// Wall-clock time for `now()`; the times in blocks come from the journal's clock.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn failed_transaction() -> QueryError {
    QueryError::new(
        SqlState::FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
    .hint("Send ROLLBACK, or ROLLBACK TO SAVEPOINT.")
}
