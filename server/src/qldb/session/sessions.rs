//! Open sessions: found by an unguessable token, limited in number, idle time, life, and the time of their transactions.
//!
//! What has lived too long is ended by the next command that meets it or by the sweep, and is remembered for a while, so that a
//! client hears why and not only that it is gone: the words are part of the protocol.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::Rng;
use ledgerstone_query::permission::Action;
use ledgerstone_query::session::{Cancel, CancelReason, Dialect, Door, Session, SessionOptions};

use super::conversation::Conversation;
use super::failure::{Failure, denied};
use super::wire::{self, Command, SessionCommand};
use super::{Limits, Shared};
use crate::sessions::{Full, Sessions, Sweep, lock};

/// How long the end of a session is remembered.
const REMEMBERED: Duration = Duration::from_secs(900);
/// How long a command waits for the one before it in its session.
const BUSY_WAIT: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_millis(500);

/// Open sessions, and those that ended not long ago.
pub struct Registry {
    limits: Limits,
    rng: Arc<dyn Rng>,
    open: Sessions<Entry>,
    /// Why each is gone, and since when.
    ended: Mutex<HashMap<Id, (Failure, Instant)>>,
}

struct Entry {
    user: String,
    created: Instant,
    cancel: Cancel,
    used: Mutex<Instant>,
    conversation: tokio::sync::Mutex<Conversation>,
}

/// Runs a command; the answer's body.
pub async fn run(shared: &Shared, user: &str, command: Command) -> Result<String, Failure> {
    match command {
        Command::StartSession { ledger } => start(shared, user, ledger).await,
        Command::InSession { token, command } => {
            let id: Id = token.parse().map_err(|_| gone())?;
            let entry = shared.sessions.find(user, id)?;
            let ends = command == SessionCommand::EndSession;
            let outcome = in_session(&shared.sessions, id, &entry, command).await;
            *lock(&entry.used) = Instant::now();
            if ends {
                shared.sessions.open.remove_if(id, |_| true);
            }
            outcome
        }
    }
}

async fn start(shared: &Shared, user: &str, ledger: String) -> Result<String, Failure> {
    shared.instance.check_operator(&ledger, user, Action::SendCommand).map_err(|error| denied(&error))?;
    shared.sessions.check_room()?;
    let options = SessionOptions {
        statement_ms_max: shared.options.limits.longest_statement_ms(),
        strict: shared.options.strict,
        ..SessionOptions::new(Door::Qldb, user, Dialect::PartiQl, Arc::clone(&shared.options.runtime))
    };
    let instance = Arc::clone(&shared.instance);
    // Opening a ledger for the first time reads its journal.
    let opened = tokio::task::spawn_blocking(move || Session::new(instance, &ledger, options)).await;
    let session = opened.map_err(|error| Failure::internal(format!("the session was not opened: {error}")))??;
    let id = shared.sessions.add(user, session)?;
    Ok(wire::session_started(&id.to_string()))
}

async fn in_session(registry: &Registry, id: Id, entry: &Entry, command: SessionCommand) -> Result<String, Failure> {
    let waiting = tokio::time::timeout(BUSY_WAIT, entry.conversation.lock());
    let mut conversation =
        waiting.await.map_err(|_| Failure::bad_request("another command of this session is still running"))?;
    if let Some(failure) = registry.expired(id, entry, &conversation, Instant::now()) {
        registry.end(id, failure.clone());
        return Err(failure);
    }
    let outcome = conversation.run(command).await;
    // A statement was stopped when its transaction's time was over: that is what the driver must hear.
    if outcome.is_err()
        && let Some(failure) = registry.expired(id, entry, &conversation, Instant::now())
    {
        registry.end(id, failure.clone());
        return Err(failure);
    }
    outcome
}

impl Registry {
    pub fn new(limits: Limits, rng: Arc<dyn Rng>) -> Arc<Registry> {
        let open = Sessions::new(limits.sessions, Arc::clone(&rng));
        Arc::new(Registry { limits, rng, open, ended: Mutex::default() })
    }

    /// Refuses before a session is made that there would be no room for.
    fn check_room(&self) -> Result<(), Failure> {
        self.open.check_room().map_err(full)
    }

    fn add(&self, user: &str, session: Session) -> Result<Id, Failure> {
        let entry = Entry {
            user: user.to_owned(),
            created: Instant::now(),
            cancel: session.cancel_handle(),
            used: Mutex::new(Instant::now()),
            conversation: tokio::sync::Mutex::new(Conversation::new(session, Arc::clone(&self.rng))),
        };
        self.open.add(entry).map_err(full)
    }

    /// A session of this user.
    fn find(&self, user: &str, id: Id) -> Result<Arc<Entry>, Failure> {
        let found = |entry: &Arc<Entry>| Some(if entry.user == user { Ok(Arc::clone(entry)) } else { Err(gone()) });
        self.open
            .with(id, found)
            .unwrap_or_else(|| Err(lock(&self.ended).get(&id).map_or_else(gone, |(failure, _)| failure.clone())))
    }

    /// Why a session may not go on, if it may not.
    fn expired(&self, id: Id, entry: &Entry, conversation: &Conversation, now: Instant) -> Option<Failure> {
        match conversation.transaction(now) {
            Some((transaction, age)) if age > self.limits.transaction => {
                Some(Failure::transaction_expired(transaction))
            }
            // It has its own time.
            Some(_) => None,
            None if now.saturating_duration_since(entry.created) > self.limits.session_life => {
                Some(Failure::invalid_session(format!("Session {id} has expired")))
            }
            None if now.saturating_duration_since(*lock(&entry.used)) > self.limits.session_idle => {
                Some(Failure::invalid_session(format!("Exceeded the session idle time limit: Session {id}")))
            }
            None => None,
        }
    }

    fn end(&self, id: Id, failure: Failure) {
        let mut ended = lock(&self.ended);
        self.open.remove_if(id, |_| true);
        // What ended long ago goes with the sweep; a crowd of them must not take the memory meanwhile.
        if ended.len() < self.limits.sessions.saturating_mul(4) {
            ended.insert(id, (failure, Instant::now()));
        }
    }
}

impl Sweep for Registry {
    fn pause(&self) -> Duration {
        SWEEP
    }

    fn sweep(&self, now: Instant) {
        for (id, entry) in self.open.all() {
            // One that runs a command is judged at its next.
            let Ok(conversation) = entry.conversation.try_lock() else { continue };
            if let Some(failure) = self.expired(id, &entry, &conversation, now) {
                self.end(id, failure);
            }
        }
        lock(&self.ended).retain(|_, (_, since)| now.saturating_duration_since(*since) < REMEMBERED);
    }

    fn close_all(&self) {
        self.open.drain().iter().for_each(|entry| entry.cancel.cancel(CancelReason::Shutdown));
    }
}

fn full(Full(open): Full) -> Failure {
    Failure::limit_exceeded(format!("there are {open} open sessions, as many as allowed; end sessions or share them"))
}

/// A token that was never given out, or whose session ended long ago or before a restart of the server.
fn gone() -> Failure {
    Failure::invalid_session("Invalid session: it was ended, or the server was started anew")
}
