//! What a statement may know about the session it runs in: who asks, through which door, with which settings, and
//! whether it has been told to stop.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::advisory::Holder;
use super::run::canceled;
use super::settings::Settings;
use super::trace::Trace;
use crate::database::Database;
use crate::error::QueryError;
use crate::instance::Instance;
use crate::permission::Permit;

/// The protocol a session came in through; `originInfo.door` of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    Postgres,
    Grpc,
    /// Arrow Flight SQL.
    Flight,
    Qldb,
    Embedded,
}

impl Door {
    /// The name written into `originInfo`.
    pub fn name(self) -> &'static str {
        match self {
            Door::Postgres => "postgres",
            Door::Grpc => "grpc",
            Door::Flight => "flight",
            Door::Qldb => "qldb",
            Door::Embedded => "embedded",
        }
    }
}

/// Which front end reads the text of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    Sql,
    PartiQl,
}

impl Dialect {
    /// The name as `SHOW ledgerstone.dialect` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Sql => "sql",
            Dialect::PartiQl => "partiql",
        }
    }
}

/// The session as binder, executor and functions see it.
#[derive(Clone)]
pub struct SessionInfo {
    pub user: Arc<str>,
    pub ledger: Arc<str>,
    pub door: Door,
    pub dialect: Dialect,
    pub settings: Settings,
    /// `pg_backend_pid()`; 0 outside the PostgreSQL door.
    pub process_id: i32,
    /// The ledger, for functions that make proofs; absent outside sessions.
    pub database: Option<Arc<Database>>,
    /// Where the other ledgers are; absent over a single one.
    pub instance: Option<Arc<Instance>>,
    /// Who asks, if the ledger wants to know; nobody is asked otherwise.
    pub permit: Option<Permit>,
    /// `now()`: when the transaction began, in milliseconds since 1970.
    pub transaction_time_ms: i64,
    /// `statement_timestamp()`.
    pub statement_time_ms: i64,
    /// What `set_config` has asked for in the statement that runs.
    pub wishes: Wishes,
    /// The session as one that holds advisory locks; absent outside sessions.
    pub advisory: Option<Arc<Holder>>,
    /// Ask often (every thousand rows or so) in anything that may take long.
    pub cancel: Cancel,
    /// Takes what operators say of themselves, if somebody wants to know.
    pub trace: Option<Arc<Trace>>,
}

impl SessionInfo {
    /// A session of the process itself, for tests and for internal statements.
    pub fn embedded(ledger: &str, dialect: Dialect) -> Self {
        SessionInfo {
            user: Arc::from("ledgerstone"),
            ledger: Arc::from(ledger),
            door: Door::Embedded,
            dialect,
            settings: Settings::default(),
            process_id: 0,
            database: None,
            instance: None,
            permit: None,
            transaction_time_ms: 0,
            statement_time_ms: 0,
            wishes: Wishes::default(),
            advisory: None,
            cancel: Cancel::default(),
            trace: None,
        }
    }
}

/// A setting that a function has asked for: name, value, and whether for the transaction only.
pub type Wish = (String, String, bool);

/// Settings that functions ask for; the session takes them when the statement has ended well.
#[derive(Debug, Clone, Default)]
pub struct Wishes(Arc<Mutex<Vec<Wish>>>);

impl Wishes {
    pub fn add(&self, wish: Wish) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(wish);
    }

    /// What was asked for since the last time.
    pub fn take(&self) -> Vec<Wish> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a running statement should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// A cancel request of the user.
    Request,
    /// `statement_timeout` has passed.
    Timeout,
    /// The server is shutting down.
    Shutdown,
}

/// A flag shared by the connection that may set it and the statement that must look at it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    reason: AtomicU8,
    /// Milliseconds after `process_start`; 0 is none.
    deadline: AtomicU64,
}

impl Cancel {
    /// Tells the running statement to stop; a statement that starts later is not concerned (see [`Cancel::arm`]).
    pub fn cancel(&self, reason: CancelReason) {
        let code = match reason {
            CancelReason::Request => 1,
            CancelReason::Timeout => 2,
            CancelReason::Shutdown => 3,
        };
        self.0.reason.store(code, Ordering::Release);
    }

    /// Forgets an earlier request and sets the deadline of the statement that starts now.
    pub fn arm(&self, timeout_ms: u64) {
        self.0.reason.store(0, Ordering::Release);
        let deadline = if timeout_ms == 0 { 0 } else { elapsed_ms().saturating_add(timeout_ms).max(1) };
        self.0.deadline.store(deadline, Ordering::Release);
    }

    /// Whether to stop, and why.
    pub fn reason(&self) -> Option<CancelReason> {
        match self.0.reason.load(Ordering::Acquire) {
            1 => return Some(CancelReason::Request),
            2 => return Some(CancelReason::Timeout),
            3 => return Some(CancelReason::Shutdown),
            _ => {}
        }
        let deadline = self.0.deadline.load(Ordering::Acquire);
        (deadline != 0 && elapsed_ms() >= deadline).then_some(CancelReason::Timeout)
    }

    /// An error if the statement is to stop.
    pub fn check(&self) -> Result<(), QueryError> {
        self.reason().map_or(Ok(()), |reason| Err(canceled(reason)))
    }
}

/// Milliseconds since the first call in this process: a monotonic clock that fits an atomic.
fn elapsed_ms() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_before_the_statement_does_not_stop_it() {
        let cancel = Cancel::default();
        cancel.cancel(CancelReason::Request);
        cancel.arm(0);
        assert_eq!(cancel.reason(), None);
        cancel.clone().cancel(CancelReason::Request);
        assert_eq!(cancel.reason(), Some(CancelReason::Request));
    }

    #[test]
    fn a_deadline_passes() {
        let cancel = Cancel::default();
        elapsed_ms();
        cancel.arm(1);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(cancel.reason(), Some(CancelReason::Timeout));
    }
}
