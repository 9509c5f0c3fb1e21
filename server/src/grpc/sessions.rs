//! Open sessions: found by an unguessable id, limited in number and idle time, each running one statement at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::Rng;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Cancel, CancelReason, Session};
use tokio::sync::{OwnedMutexGuard, watch};
use tonic::Status;

use super::Limits;
use super::caller::Caller;
use super::status;

/// Open sessions.
pub struct Registry {
    pub limits: Limits,
    rng: Arc<dyn Rng>,
    open: Mutex<HashMap<Id, Arc<Entry>>>,
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
        Arc::new(Registry { limits, rng, open: Mutex::default() })
    }

    /// Refuses before a session is made that there would be no room for.
    pub fn check_room(&self) -> Result<(), Status> {
        let open = self.lock();
        if open.len() < self.limits.sessions {
            return Ok(());
        }
        let error = QueryError::new(
            SqlState::TOO_MANY_CONNECTIONS,
            format!("there are {} open sessions, as many as allowed", open.len()),
        );
        Err(status::of_error(error.hint("Close sessions when they are done, or share them.")))
    }

    /// Takes a session in and gives its id.
    pub fn add(&self, caller: Caller, session: Session) -> Result<Id, Status> {
        let mut open = self.lock();
        if open.len() >= self.limits.sessions {
            drop(open);
            self.check_room()?;
            return Err(Status::resource_exhausted("there is no room for another session"));
        }
        let id = loop {
            let id = Id(self.rng.bytes16());
            if !open.contains_key(&id) {
                break id;
            }
        };
        let entry = Entry {
            caller,
            cancel: session.cancel_handle(),
            session: Arc::new(tokio::sync::Mutex::new(session)),
            users: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
        };
        open.insert(id, Arc::new(entry));
        Ok(id)
    }

    /// Finds a session of this caller.
    pub fn find(&self, caller: &Caller, id: &str) -> Result<InUse, Status> {
        let id: Id = id.parse().map_err(|_| status::session_gone())?;
        // Counted under the lock, so that it is not swept away in between.
        let open = self.lock();
        match open.get(&id) {
            Some(entry) if entry.caller == *caller => Ok(InUse::new(entry, self.limits.busy_wait)),
            _ => Err(status::session_gone()),
        }
    }

    /// Forgets a session and stops its statement; an open transaction is rolled back when that has ended.
    pub fn remove(&self, caller: &Caller, id: &str) -> Result<(), Status> {
        let id: Id = id.parse().map_err(|_| status::session_gone())?;
        let mut open = self.lock();
        match open.get(&id) {
            Some(entry) if entry.caller == *caller => {}
            _ => return Err(status::session_gone()),
        }
        if let Some(entry) = open.remove(&id) {
            entry.cancel.cancel(CancelReason::Request);
        }
        Ok(())
    }

    /// Closes sessions that were idle too long; gives how many.
    fn close_idle(&self, now: Instant) -> usize {
        let mut open = self.lock();
        let before = open.len();
        open.retain(|_, entry| {
            let idle = now.saturating_duration_since(*lock(&entry.last_used));
            entry.users.load(Ordering::Acquire) > 0 || idle < self.limits.session_idle
        });
        before - open.len()
    }

    fn close_all(&self) {
        for (_, entry) in self.lock().drain() {
            entry.cancel.cancel(CancelReason::Shutdown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Entry>>> {
        lock(&self.open)
    }
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

/// Closes idle sessions until the server stops, then all of them.
pub async fn sweep(registry: Weak<Registry>, mut shutdown: watch::Receiver<bool>) {
    loop {
        let pause = match registry.upgrade() {
            Some(registry) => {
                (registry.limits.session_idle / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
            }
            None => return,
        };
        let stopped = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = shutdown.wait_for(|stop| *stop) => true,
        };
        let Some(registry) = registry.upgrade() else { return };
        if stopped {
            return registry.close_all();
        }
        let closed = registry.close_idle(Instant::now());
        if closed > 0 {
            tracing::debug!(closed, "closed idle sessions");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
