//! The open sessions of a server, as `pg_stat_activity` lists them. What they run is not kept: texts of statements may hold
//! what only their user may see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::TransactionStatus;

/// Sessions that have a process id, by that.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<BTreeMap<i32, Arc<Listed>>>);

/// One of them.
#[derive(Debug)]
pub struct Listed {
    pub process_id: i32,
    pub ledger: Arc<str>,
    pub user: Arc<str>,
    pub began_ms: i64,
    application: Mutex<Arc<str>>,
    state: AtomicU8,
    /// When the last statement began.
    statement_ms: AtomicI64,
}

/// A session's place in the list; dropping it leaves.
pub(super) struct Place {
    sessions: Arc<Sessions>,
    listed: Arc<Listed>,
}

const STATES: [&str; 4] = ["idle", "active", "idle in transaction", "idle in transaction (aborted)"];

impl Sessions {
    pub(super) fn enter(self: &Arc<Self>, process_id: i32, ledger: &Arc<str>, user: &Arc<str>, now_ms: i64) -> Place {
        let listed = Arc::new(Listed {
            process_id,
            ledger: Arc::clone(ledger),
            user: Arc::clone(user),
            began_ms: now_ms,
            application: Mutex::default(),
            state: AtomicU8::new(0),
            statement_ms: AtomicI64::new(now_ms),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(process_id, Arc::clone(&listed));
        Place { sessions: Arc::clone(self), listed }
    }

    /// Everybody who is there now.
    pub fn all(&self) -> Vec<Arc<Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Listed {
    pub fn application(&self) -> Arc<str> {
        Arc::clone(&self.application.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As PostgreSQL names it.
    pub fn state(&self) -> &'static str {
        STATES.get(usize::from(self.state.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    pub fn statement_ms(&self) -> i64 {
        self.statement_ms.load(Ordering::Relaxed)
    }
}

impl Place {
    pub(super) fn begins(&self, now_ms: i64) {
        self.listed.statement_ms.store(now_ms, Ordering::Relaxed);
        self.listed.state.store(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, status: TransactionStatus) {
        let state = match status {
            TransactionStatus::Idle => 0,
            TransactionStatus::InTransaction => 2,
            TransactionStatus::Failed => 3,
        };
        self.listed.state.store(state, Ordering::Relaxed);
    }

    pub(super) fn is_called(&self, application: &str) {
        let mut known = self.listed.application.lock().unwrap_or_else(PoisonError::into_inner);
        if **known != *application {
            *known = Arc::from(application);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.listed.process_id);
    }
}
