//! Open sessions: found by an unguessable id, limited in number and idle time, each running one statement at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::Rng;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Cancel, CancelReason, Session};
use tokio::sync::OwnedMutexGuard;
use tonic::Status;

use super::Limits;
use super::caller::Caller;
use super::status;
use crate::sessions::{Full, Sessions, Sweep, lock};

/// Open sessions.
pub struct Registry {
    pub limits: Limits,
    open: Sessions<Entry>,
}

/// One session.
pub struct Entry {
    caller: Caller,
    session: Arc<tokio::sync::Mutex<Session>>,
    pub cancel: Cancel,
    /// Calls that use it now.
    users: AtomicUsize,
    last_used: Mutex<Instant>,
}

/// A session in use, which is therefore not idle.
pub struct InUse {
    entry: Arc<Entry>,
    busy_wait: Duration,
}

impl Registry {
    pub fn new(limits: Limits, rng: Arc<dyn Rng>) -> Arc<Self> {
        Arc::new(Registry { limits, open: Sessions::new(limits.sessions, rng) })
    }

    /// Refuses before a session is made that there would be no room for.
    pub fn check_room(&self) -> Result<(), Status> {
        self.open.check_room().map_err(full)
    }

    /// Takes a session in and gives its id.
    pub fn add(&self, caller: Caller, session: Session) -> Result<Id, Status> {
        let entry = Entry {
            caller,
            cancel: session.cancel_handle(),
            session: Arc::new(tokio::sync::Mutex::new(session)),
            users: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
        };
        self.open.add(entry).map_err(full)
    }

    /// Finds a session of this caller.
    pub fn find(&self, caller: &Caller, id: &str) -> Result<InUse, Status> {
        let id: Id = id.parse().map_err(|_| status::session_gone())?;
        // Counted before it can be swept away.
        let in_use = |entry: &Arc<Entry>| (entry.caller == *caller).then(|| InUse::new(entry, self.limits.busy_wait));
        self.open.with(id, in_use).ok_or_else(status::session_gone)
    }

    /// Forgets a session and stops its statement; an open transaction is rolled back when that has ended.
    pub fn remove(&self, caller: &Caller, id: &str) -> Result<(), Status> {
        let id: Id = id.parse().map_err(|_| status::session_gone())?;
        let removed = self.open.remove_if(id, |entry| entry.caller == *caller).ok_or_else(status::session_gone)?;
        removed.cancel.cancel(CancelReason::Request);
        Ok(())
    }
}

impl Sweep for Registry {
    fn pause(&self) -> Duration {
        (self.limits.session_idle / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
    }

    /// Closes sessions that were idle too long.
    fn sweep(&self, now: Instant) {
        let closed = self.open.retain(|entry| {
            let idle = now.saturating_duration_since(*lock(&entry.last_used));
            entry.users.load(Ordering::Acquire) > 0 || idle < self.limits.session_idle
        });
        if closed > 0 {
            tracing::debug!(closed, "closed idle sessions");
        }
    }

    fn close_all(&self) {
        self.open.drain().iter().for_each(|entry| entry.cancel.cancel(CancelReason::Shutdown));
    }
}

fn full(Full(open): Full) -> Status {
    let error =
        QueryError::new(SqlState::TOO_MANY_CONNECTIONS, format!("there are {open} open sessions, as many as allowed"));
    status::of_error(error.hint("Close sessions when they are done, or share them."))
}

impl InUse {
    fn new(entry: &Arc<Entry>, busy_wait: Duration) -> Self {
        entry.users.fetch_add(1, Ordering::AcqRel);
        InUse { entry: Arc::clone(entry), busy_wait }
    }

    pub fn cancel(&self) -> &Cancel {
        &self.entry.cancel
    }

    /// Waits for the statement before this one, not for ever.
    pub async fn session(&self) -> Result<OwnedMutexGuard<Session>, Status> {
        let session = Arc::clone(&self.entry.session).lock_owned();
        tokio::time::timeout(self.busy_wait, session).await.map_err(|_| {
            status::of_error(
                QueryError::new(SqlState::OBJECT_IN_USE, "another statement of this session is still running")
                    .hint("A session runs one statement at a time: open another session to run two."),
            )
        })
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *lock(&self.entry.last_used) = Instant::now();
        self.entry.users.fetch_sub(1, Ordering::AcqRel);
    }
}
