//! Open sessions: found by an unguessable id, limited in number and idle time, each running one statement at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::Rng;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Cancel, CancelReason, Session, TransactionStatus};
use tokio::sync::OwnedMutexGuard;
use tonic::Status;

use super::Limits;
use super::caller::Caller;
use super::status;
use crate::sessions::{Full, Sessions, Sweep, lock};

/// Open sessions, each with its owner: who opened it, and whatever else a call has to have to be let to it.
pub struct Registry<O = Caller> {
    pub limits: Limits,
    open: Sessions<Entry<O>>,
}

/// One session.
pub struct Entry<O> {
    owner: O,
    held: Arc<Held>,
}

/// What a call that uses a session keeps.
struct Held {
    session: Arc<tokio::sync::Mutex<Session>>,
    cancel: Cancel,
    /// Calls that use it now.
    users: AtomicUsize,
    last_used: Mutex<Instant>,
}

/// A session in use, which is therefore not idle.
pub struct InUse {
    held: Arc<Held>,
    busy_wait: Duration,
}

impl<O: Clone + PartialEq + Send + Sync> Registry<O> {
    pub fn new(limits: Limits, rng: Arc<dyn Rng>) -> Arc<Self> {
        Arc::new(Registry { limits, open: Sessions::new(limits.sessions, rng) })
    }

    /// Refuses before a session is made that there would be no room for.
    pub fn check_room(&self) -> Result<(), Status> {
        self.open.check_room().map_err(full)
    }

    /// Closes the session that has been idle longest, if there is no room otherwise and it was idle for so long: some clients
    /// never close theirs. One with an open transaction stays.
    pub fn make_room(&self, idle_least: Duration) {
        if self.open.check_room().is_ok() {
            return;
        }
        let now = Instant::now();
        let idle = |held: &Held| {
            let is_idle = held.users.load(Ordering::Acquire) == 0 && !held.is_in_transaction();
            is_idle.then(|| now.saturating_duration_since(*lock(&held.last_used))).filter(|idle| *idle >= idle_least)
        };
        let all = self.open.all();
        let longest = all.iter().filter_map(|(id, entry)| Some((idle(&entry.held)?, *id))).max();
        if let Some((_, id)) = longest {
            self.open.remove_if(id, |entry| idle(&entry.held).is_some());
        }
    }

    /// Takes a session in and gives its id.
    pub fn add(&self, owner: O, session: Session) -> Result<Id, Status> {
        let held = Held {
            cancel: session.cancel_handle(),
            session: Arc::new(tokio::sync::Mutex::new(session)),
            users: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
        };
        self.open.add(Entry { owner, held: Arc::new(held) }).map_err(full)
    }

    /// Finds a session of this owner.
    pub fn find(&self, owner: &O, id: &str) -> Result<InUse, Status> {
        self.find_where(id, |of| of == owner).map(|(_, in_use)| in_use)
    }

    /// Finds a session whose owner is one that the call may be from.
    pub fn find_where(&self, id: &str, may: impl FnOnce(&O) -> bool) -> Result<(O, InUse), Status> {
        let id: Id = id.parse().map_err(|_| status::session_gone())?;
        // Counted before it can be swept away.
        let in_use = |entry: &Arc<Entry<O>>| {
            may(&entry.owner).then(|| (entry.owner.clone(), InUse::new(&entry.held, self.limits.busy_wait)))
        };
        self.open.with(id, in_use).ok_or_else(status::session_gone)
    }

    /// The sessions of this owner.
    pub fn of(&self, owner: &O) -> Vec<Id> {
        self.open.all().into_iter().filter(|(_, entry)| entry.owner == *owner).map(|(id, _)| id).collect()
    }

    /// Forgets a session and stops its statement; an open transaction is rolled back when that has ended.
    pub fn remove(&self, owner: &O, id: &str) -> Result<(), Status> {
        let id: Id = id.parse().map_err(|_| status::session_gone())?;
        let removed = self.open.remove_if(id, |entry| entry.owner == *owner).ok_or_else(status::session_gone)?;
        removed.held.cancel.cancel(CancelReason::Request);
        Ok(())
    }

    /// The same with all whose owner is such a one.
    pub fn remove_where(&self, gone: impl Fn(&O) -> bool) {
        self.open.retain(|entry| {
            let stays = !gone(&entry.owner);
            if !stays {
                entry.held.cancel.cancel(CancelReason::Request);
            }
            stays
        });
    }
}

impl<O: Send + Sync> Sweep for Registry<O> {
    fn pause(&self) -> Duration {
        let shortest = self.limits.session_idle.min(self.limits.transaction_idle);
        (shortest / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
    }

    /// Closes sessions that were idle too long.
    fn sweep(&self, now: Instant) {
        let closed = self.open.retain(|entry| {
            let held = &entry.held;
            let idle = now.saturating_duration_since(*lock(&held.last_used));
            let most = if held.is_in_transaction() { self.limits.transaction_idle } else { self.limits.session_idle };
            held.users.load(Ordering::Acquire) > 0 || idle < most
        });
        if closed > 0 {
            tracing::debug!(closed, "closed idle sessions");
        }
    }

    fn close_all(&self) {
        self.open.drain().iter().for_each(|entry| entry.held.cancel.cancel(CancelReason::Shutdown));
    }
}

impl Held {
    fn is_in_transaction(&self) -> bool {
        // Whoever has it locked is a user of it, and it is not idle.
        self.session.try_lock().is_ok_and(|session| session.transaction_status() != TransactionStatus::Idle)
    }
}

fn full(Full(open): Full) -> Status {
    let error =
        QueryError::new(SqlState::TOO_MANY_CONNECTIONS, format!("there are {open} open sessions, as many as allowed"));
    status::of_error(error.hint("Close sessions when they are done, or share them."))
}

impl InUse {
    fn new(held: &Arc<Held>, busy_wait: Duration) -> Self {
        held.users.fetch_add(1, Ordering::AcqRel);
        InUse { held: Arc::clone(held), busy_wait }
    }

    pub fn cancel(&self) -> &Cancel {
        &self.held.cancel
    }

    /// Waits for the statement before this one, not for ever.
    pub async fn session(&self) -> Result<OwnedMutexGuard<Session>, Status> {
        let session = Arc::clone(&self.held.session).lock_owned();
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
        *lock(&self.held.last_used) = Instant::now();
        self.held.users.fetch_sub(1, Ordering::AcqRel);
    }
}
