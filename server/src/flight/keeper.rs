//! What lives longer than a call: sessions, transactions, prepared statements, and results that wait to be fetched. Each is
//! found by an unguessable handle, and by nobody but the owner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use ledgerstone_digest::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Dialect, RowStream};
use ledgerstone_query::types::SqlType;
use tonic::Status;

use super::run::{Description, Text};
use super::{Limits, status};
use crate::grpc::{Caller, Registry};
use crate::sessions::{Sessions, Sweep, lock};

/// Who a handle belongs to: the caller, and the session if the call came with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub caller: Caller,
    pub session: Option<Id>,
}

/// Who opened a session. On a server without users the name is what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub caller: Caller,
    pub user: String,
}

/// Everything that is kept.
pub struct Keeper {
    pub sessions: Arc<Registry<Signed>>,
    pub transactions: Arc<Registry<Owner>>,
    statements: Sessions<Statement>,
    results: Sessions<Waiting>,
    limits: Limits,
}

/// A prepared statement. It is bound anew whenever it runs, which a cache of plans makes cheap.
pub struct Statement {
    pub owner: Owner,
    transaction: Mutex<Within>,
    pub ledger: Option<String>,
    pub dialect: Dialect,
    pub text: Text,
    /// Of its rows, if it has any.
    pub columns: Option<Arc<[ResultColumn]>>,
    pub types: Vec<SqlType>,
    /// The parameters that were bound last.
    bound: Mutex<Option<Vec<Option<Value>>>>,
    last_used: Mutex<Instant>,
}

/// The transaction that a prepared statement runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// None of those that calls begin.
    None,
    Transaction(String),
    /// The one that it was prepared in has been committed or rolled back.
    Ended,
}

/// The rows of a statement that has run.
pub struct Result {
    pub columns: Arc<[ResultColumn]>,
    pub rows: RowStream,
    pub schema: SchemaRef,
}

struct Waiting {
    owner: Owner,
    /// Taken by the first who asks.
    result: Mutex<Option<Result>>,
    stop: Arc<AtomicBool>,
    since: Instant,
}

/// A result that is being fetched; it is forgotten with this.
pub struct Fetched {
    pub result: Result,
    stop: Arc<AtomicBool>,
    keeper: Arc<Keeper>,
    id: Id,
}

/// What became of a result that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    Yes,
    /// It has been fetched, or never was.
    Gone,
}

impl Keeper {
    pub fn new(limits: Limits, rng: Arc<dyn ledgerstone_journal::env::Rng>) -> Arc<Keeper> {
        Arc::new(Keeper {
            sessions: Registry::new(limits.sessions, Arc::clone(&rng)),
            transactions: Registry::new(limits.sessions, Arc::clone(&rng)),
            statements: Sessions::new(limits.statements, Arc::clone(&rng)),
            results: Sessions::new(limits.results, rng),
            limits,
        })
    }

    /// Keeps a prepared statement and gives its handle.
    pub fn add_statement(&self, statement: Statement) -> std::result::Result<String, Status> {
        let full = |_| {
            let what = format!("there are {} prepared statements, as many as allowed", self.limits.statements);
            status::of_error(
                QueryError::new(SqlState::TOO_MANY_CONNECTIONS, what).hint("Close statements that are not used."),
            )
        };
        self.statements.add(statement).map(|id| id.to_string()).map_err(full)
    }

    /// A prepared statement of this owner.
    pub fn statement(&self, owner: &Owner, handle: &[u8]) -> std::result::Result<Arc<Statement>, Status> {
        let found = |entry: &Arc<Statement>| (entry.owner == *owner).then(|| Arc::clone(entry));
        let statement = id_of(handle).and_then(|id| self.statements.with(id, found)).ok_or_else(|| {
            status::of_error(
                QueryError::new(SqlState::INVALID_STATEMENT_NAME, "there is no such prepared statement")
                    .hint("It was closed, or not used too long: prepare it again."),
            )
        })?;
        *lock(&statement.last_used) = Instant::now();
        Ok(statement)
    }

    /// The transaction that a prepared statement runs in: where it was prepared, and after the end of that in the one that
    /// its session has open since. ADBC prepares a statement once and does not do it again after a commit.
    pub fn transaction_of(&self, statement: &Statement) -> std::result::Result<Option<String>, Status> {
        let mut within = lock(&statement.transaction);
        if *within == Within::Ended {
            let open = match statement.owner.session {
                Some(_) => self.transactions.of(&statement.owner),
                // The owner may be several connections.
                None => Vec::new(),
            };
            let [next] = open.as_slice() else {
                return Err(status::of_error(
                    QueryError::new(
                        SqlState::INVALID_STATEMENT_NAME,
                        "the transaction in which the statement was prepared has ended",
                    )
                    .hint("Prepare it again (ADBC: in another cursor). A connection with a user name need not."),
                ));
            };
            *within = Within::Transaction(next.to_string());
        }
        Ok(match &*within {
            Within::Transaction(id) => Some(id.clone()),
            Within::None | Within::Ended => None,
        })
    }

    /// Says to the statements of a transaction that it was ended by a call.
    pub fn end_transaction(&self, owner: &Owner, transaction: &str) {
        for (_, statement) in self.statements.all() {
            let mut within = lock(&statement.transaction);
            if statement.owner == *owner && matches!(&*within, Within::Transaction(id) if id == transaction) {
                *within = Within::Ended;
            }
        }
    }

    /// Forgets a prepared statement; one that is not there is no error.
    pub fn close_statement(&self, owner: &Owner, handle: &[u8]) {
        if let Some(id) = id_of(handle) {
            self.statements.remove_if(id, |entry| entry.owner == *owner);
        }
    }

    /// Keeps the rows of a statement until they are fetched, and gives the ticket's handle.
    pub fn add_result(&self, owner: Owner, result: Result) -> std::result::Result<String, Status> {
        let entry = Waiting { owner, result: Mutex::new(Some(result)), stop: Arc::default(), since: Instant::now() };
        let full = |_| {
            let what = format!("{} results wait to be fetched, as many as allowed", self.limits.results);
            status::of_error(
                QueryError::new(SqlState::INSUFFICIENT_RESOURCES, what)
                    .hint("Fetch or cancel what was asked for before asking for more."),
            )
        };
        self.results.add(entry).map(|id| id.to_string()).map_err(full)
    }

    /// Takes the rows that a ticket stands for: they are handed out once.
    pub fn fetch(self: &Arc<Self>, owner: &Owner, handle: &[u8]) -> std::result::Result<Fetched, Status> {
        let gone = || {
            status::of_error(
                QueryError::new(SqlState::INVALID_CURSOR_NAME, "there is no such result")
                    .hint("A ticket is good once, for a limited time, and for who was given it: ask for another."),
            )
        };
        let id = id_of(handle).ok_or_else(gone)?;
        let taken = |entry: &Arc<Waiting>| {
            let result = if entry.owner == *owner { lock(&entry.result).take()? } else { return None };
            Some((result, Arc::clone(&entry.stop)))
        };
        let (result, stop) = self.results.with(id, taken).ok_or_else(gone)?;
        Ok(Fetched { result, stop, keeper: Arc::clone(self), id })
    }

    /// Stops the handing out of rows, or drops them if nobody has come for them.
    pub fn cancel(&self, owner: &Owner, handle: &[u8]) -> Cancelled {
        let Some(removed) = id_of(handle).and_then(|id| self.results.remove_if(id, |entry| entry.owner == *owner))
        else {
            return Cancelled::Gone;
        };
        removed.stop.store(true, Ordering::Release);
        Cancelled::Yes
    }

    /// Ends a session and all that belongs to it.
    pub fn close_session(&self, signed: &Signed, id: Id) -> std::result::Result<(), Status> {
        let of_it = |owner: &Owner| owner.session == Some(id);
        self.transactions.remove_where(of_it);
        self.statements.retain(|entry| !of_it(&entry.owner));
        self.results.retain(|entry| !of_it(&entry.owner));
        self.sessions.remove(signed, &id.to_string())
    }
}

impl Statement {
    pub fn new(
        owner: Owner,
        transaction: Option<String>,
        ledger: Option<String>,
        description: Description,
    ) -> Statement {
        let Description { columns, types, dialect, text } = description;
        Statement {
            owner,
            transaction: Mutex::new(transaction.map_or(Within::None, Within::Transaction)),
            ledger,
            dialect,
            text,
            columns,
            types,
            bound: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
        }
    }

    pub fn bind(&self, parameters: Vec<Option<Value>>) {
        *lock(&self.bound) = Some(parameters);
    }

    /// The parameters that were bound last; none are needed where there are none.
    pub fn bound(&self) -> std::result::Result<Vec<Option<Value>>, Status> {
        match lock(&self.bound).clone() {
            Some(parameters) => Ok(parameters),
            None if self.types.is_empty() => Ok(Vec::new()),
            None => {
                let what = format!("the statement has {} parameters, and none were bound", self.types.len());
                Err(status::of_error(QueryError::new(SqlState("08P01"), what)))
            }
        }
    }
}

impl Fetched {
    /// Whether somebody wants no more of it.
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.keeper.results.remove_if(self.id, |_| true);
    }
}

/// Statements and results; sessions and transactions sweep themselves.
impl Sweep for Keeper {
    fn pause(&self) -> Duration {
        let shortest = self.limits.sessions.session_idle.min(self.limits.result_wait);
        (shortest / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
    }

    fn sweep(&self, now: Instant) {
        let statement_idle = self.limits.sessions.session_idle;
        let statements =
            self.statements.retain(|entry| now.saturating_duration_since(*lock(&entry.last_used)) < statement_idle);
        let results = self.results.retain(|entry| {
            lock(&entry.result).is_none() || now.saturating_duration_since(entry.since) < self.limits.result_wait
        });
        if statements + results > 0 {
            tracing::debug!(statements, results, "dropped what nobody came for");
        }
    }

    fn close_all(&self) {
        self.statements.drain();
        self.results.drain().iter().for_each(|entry| entry.stop.store(true, Ordering::Release));
    }
}

fn id_of(handle: &[u8]) -> Option<Id> {
    std::str::from_utf8(handle).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use ledgerstone_journal::Env;

    use super::*;

    fn keeper(results: usize) -> Arc<Keeper> {
        let config = crate::config::Limits::default();
        Keeper::new(Limits { results, ..Limits::of(&config) }, Env::production().rng)
    }

    fn result() -> Result {
        let columns: Arc<[ResultColumn]> = Arc::from([]);
        Result { schema: super::super::types::schema_of(&columns), columns, rows: RowStream::of(Vec::new(), "SELECT") }
    }

    fn owner(name: &str, session: u8) -> Owner {
        Owner { caller: Caller { name: Some(name.to_owned()) }, session: Some(Id([session; 16])) }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_its_owner_alone() {
        let keeper = keeper(2);
        let handle = keeper.add_result(owner("ada", 1), result()).unwrap();
        for stranger in [owner("eve", 1), owner("ada", 2)] {
            assert!(keeper.fetch(&stranger, handle.as_bytes()).is_err());
            assert_eq!(keeper.cancel(&stranger, handle.as_bytes()), Cancelled::Gone);
        }
        let fetched = keeper.fetch(&owner("ada", 1), handle.as_bytes()).unwrap_or_else(|status| panic!("{status}"));
        assert!(keeper.fetch(&owner("ada", 1), handle.as_bytes()).is_err());
        assert_eq!(keeper.cancel(&owner("ada", 1), handle.as_bytes()), Cancelled::Yes);
        assert!(fetched.is_cancelled());
    }

    #[test]
    fn results_that_nobody_comes_for_are_limited_in_number_and_time() {
        let keeper = keeper(1);
        let handle = keeper.add_result(owner("ada", 1), result()).unwrap();
        assert!(keeper.add_result(owner("ada", 1), result()).is_err());
        keeper.sweep(Instant::now() + keeper.limits.result_wait);
        assert!(keeper.fetch(&owner("ada", 1), handle.as_bytes()).is_err());
        // One that is being fetched is not dropped, and makes room when it is over.
        let handle = keeper.add_result(owner("ada", 1), result()).unwrap();
        let fetched = keeper.fetch(&owner("ada", 1), handle.as_bytes()).unwrap_or_else(|status| panic!("{status}"));
        keeper.sweep(Instant::now() + keeper.limits.result_wait);
        assert!(!fetched.is_cancelled());
        assert!(keeper.add_result(owner("ada", 1), result()).is_err());
        drop(fetched);
        assert!(keeper.add_result(owner("ada", 1), result()).is_ok());
    }
}
