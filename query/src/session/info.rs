//! What a statement may know about the session it runs in: who asks, through which door, with which settings, and
//! whether it has been told to stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::advisory::Holder;
use super::run::canceled;
use super::sequences::GivenValues;
use super::settings::{SETTINGS_BYTES_MAX, SettingError, Settings, canonical};
use super::trace::Trace;
use crate::catalogue::{Column, Table};
use crate::database::Database;
use crate::error::QueryError;
use crate::instance::Instance;
use crate::permission::Permit;
use crate::transaction::Transaction;

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
    /// What `currval` tells.
    pub given: GivenValues,
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
            given: GivenValues::default(),
            advisory: None,
            cancel: Cancel::default(),
            trace: None,
        }
    }
}

impl SessionInfo {
    /// The next value of an identity column, given to this session.
    pub(crate) fn next_identity(&self, tx: &Transaction, table: &Table, column: &Column) -> Result<i64, QueryError> {
        let next = tx.next_identity(table, column)?;
        self.given.gave(table.id, &column.name, next);
        Ok(next)
    }
}

/// A setting that a function has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub name: String,
    pub value: String,
    /// For the transaction only.
    pub local: bool,
}

/// Settings that functions ask for; the session takes them when the statement has ended well.
#[derive(Debug, Clone, Default)]
pub struct Wishes(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    /// By name and whether they are local: when it was asked for last, and the value.
    last: BTreeMap<(String, bool), (u64, String)>,
    bytes: usize,
    count: u64,
}

impl Wishes {
    /// Notes a wish in place of the last one of that name: a statement may ask for each of a million rows.
    pub fn add(&self, wish: Wish) -> Result<(), SettingError> {
        let asked = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (canonical(&wish.name).into_owned(), wish.local);
        let replaced = asked.last.get(&key).map_or(0, |(_, value)| key.0.len() + value.len());
        let bytes = asked.bytes - replaced + key.0.len() + wish.value.len();
        if bytes > SETTINGS_BYTES_MAX {
            return Err(SettingError::TooLong);
        }
        asked.bytes = bytes;
        asked.count += 1;
        asked.last.insert(key, (asked.count, wish.value));
        Ok(())
    }

    /// What was asked for since the last time, in that order.
    pub fn take(&self) -> Vec<Wish> {
        let asked = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut wishes: Vec<(u64, Wish)> = asked
            .last
            .into_iter()
            .map(|((name, local), (number, value))| (number, Wish { name, value, local }))
            .collect();
        wishes.sort_unstable_by_key(|(number, _)| *number);
        wishes.into_iter().map(|(_, wish)| wish).collect()
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
    fn the_last_wish_for_a_name_stands_and_all_of_them_are_bounded() {
        let wishes = Wishes::default();
        let wish = |name: &str, value: &str, local| Wish { name: name.into(), value: value.into(), local };
        for n in 0..100_000 {
            wishes.add(wish("a.b", &n.to_string(), false)).unwrap();
        }
        wishes.add(wish("a.b", "local", true)).unwrap();
        wishes.add(wish("A.B", "last", false)).unwrap();
        assert_eq!(wishes.take(), [wish("a.b", "local", true), wish("a.b", "last", false)]);
        assert_eq!(wishes.take(), []);
        let long = "x".repeat(SETTINGS_BYTES_MAX / 2);
        wishes.add(wish("a.b", &long, false)).unwrap();
        assert_eq!(wishes.add(wish("a.c", &long, false)), Err(SettingError::TooLong));
        wishes.add(wish("a.b", &long, false)).unwrap();
    }

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
