//! Sessions: statements, their rows, and transactions that are run again after a conflict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_protocol::v1;

use crate::connection::{Client, Commit};
use crate::error::{Error, Result};
use crate::retry::{self, RetryPolicy};
use crate::rows::Rows;

/// The language of a session's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// PostgreSQL's SQL.
    #[default]
    Sql,
    /// PartiQL as QLDB spoke it.
    PartiQl,
}

/// How a session is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// The language of its statements.
    pub dialect: Dialect,
    /// Who acts; it is written into every block. The server's authentication may demand another name.
    pub user: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions { dialect: Dialect::Sql, user: "client".to_owned() }
    }
}

/// How a transaction is run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactOptions {
    /// How often, and after which pauses.
    pub retry: RetryPolicy,
    /// Writes are refused, and conflicts cannot happen.
    pub read_only: bool,
    /// The token that makes a retry commit once. By default a fresh one is made for each transaction, which covers the
    /// loss of the connection and a restart of the server. Give your own, and keep it, to cover a restart of the client.
    pub client_token: Option<String>,
}

/// A transaction that was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Transacted<T> {
    /// What the last run of the body gave. `None`: the client token had committed before this call, the body was not
    /// run, and whether it would do the same was not compared.
    pub value: Option<T>,
    /// Where it stands; `None` if nothing was written.
    pub commit: Option<Commit>,
    /// How often the body was run.
    pub attempts: u32,
}

/// A session on one ledger. It is opened again when the server has closed it for idleness or was restarted.
///
/// ```no_run
/// # async fn example() -> ledgerstone_client::Result<()> {
/// use ledgerstone_client::{Client, Value};
///
/// let client = Client::connect("http://127.0.0.1:7430").await?;
/// let mut session = client.session("main").await?;
/// session.run("CREATE TABLE person (id text PRIMARY KEY, name text NOT NULL)", &[]).await?;
/// let done = session
///     .run("INSERT INTO person VALUES ($1, $2)", &[Value::string("p1"), Value::string("Raul Lewis")])
///     .await?;
/// println!("{} in block {:?}", done.tag, done.commit.map(|commit| commit.block));
///
/// let mut rows = session.execute("SELECT id, name FROM person", &[]).await?;
/// while let Some(row) = rows.next().await? {
///     println!("{:?}", row.get("name"));
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Session {
    client: Client,
    ledger: String,
    options: SessionOptions,
    id: String,
    /// A transaction was begun in it whose end was not seen.
    unsettled: bool,
}

/// A handle on an open transaction, given to the body of [`Session::transact`]. Clones are the same transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    session: String,
    ended: AtomicBool,
    failure: Mutex<Option<Failure>>,
    digests: Digests,
}

/// Why a run of the body cannot succeed any more, though another one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Conflict,
    Lost,
}

/// The digests of the statements that were run so far; shared with the rows that are still coming.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests(Arc<Mutex<Collected>>);

#[derive(Debug, Default)]
struct Collected {
    digests: Vec<Hash>,
    /// Statements whose end was not seen yet.
    open: usize,
}

impl Session {
    pub(crate) async fn open(client: Client, ledger: &str, options: SessionOptions) -> Result<Session> {
        let id = open_session(&client, ledger, &options).await?;
        Ok(Session { client, ledger: ledger.to_owned(), options, id, unsettled: false })
    }

    /// The ledger's name.
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs one statement in a transaction of its own. When this returns, the statement has been run, and a change is
    /// durable; rows are still coming.
    pub async fn execute(&mut self, statement: &str, parameters: &[Value]) -> Result<Rows> {
        self.leave_transaction().await?;
        match self.execute_once(statement, parameters, "").await {
            // The session was not there, so nothing was run.
            Err(Error::SessionGone(_)) => {
                self.reopen().await?;
                self.execute_once(statement, parameters, "").await
            }
            other => other,
        }
    }

    /// Runs one statement to its end; its rows are dropped.
    pub async fn run(&mut self, statement: &str, parameters: &[Value]) -> Result<crate::Done> {
        self.execute(statement, parameters).await?.finish().await
    }

    /// Runs one statement that commits once however often it is sent: after a lost connection or a restart of the
    /// server it is sent again with the same token. The same token with another statement is an error.
    pub async fn execute_idempotent(
        &mut self,
        token: &str,
        statement: &str,
        parameters: &[Value],
        retry: RetryPolicy,
    ) -> Result<Rows> {
        self.leave_transaction().await?;
        let mut failed = 0;
        loop {
            let outcome = match self.execute_once(statement, parameters, token).await {
                Err(error @ Error::SessionGone(_)) => {
                    // Nothing was run: that costs no pause.
                    if self.reopen().await.is_ok() && failed == 0 {
                        failed += 1;
                        continue;
                    }
                    Err(error)
                }
                other => other,
            };
            match outcome {
                Err(error) if error.is_lost() || matches!(error, Error::Conflict(_)) => {
                    failed += 1;
                    if failed >= retry.attempts_max {
                        return Err(Error::RetriesExhausted { attempts: failed, last: Box::new(error) });
                    }
                    retry.pause(failed).await;
                    if error.is_lost() {
                        // If it fails, so will the next attempt, which counts.
                        let _ = self.reopen().await;
                    }
                }
                other => return other,
            }
        }
    }

    /// Runs a transaction: the body, then COMMIT. After a conflict both are run again, with pauses, as often as
    /// `options.retry` allows, so the body must have no effects but those of its statements. If the outcome of a COMMIT
    /// is not known, it is looked up by its client token before anything is run again.
    ///
    /// An error of the body that is not a conflict rolls back and is returned. If the future is dropped before it is done,
    /// what was not committed by then is rolled back; the session can be used on.
    ///
    /// ```no_run
    /// # async fn example(session: &mut ledgerstone_client::Session) -> ledgerstone_client::Result<()> {
    /// use ledgerstone_client::{Error, TransactOptions, Value};
    ///
    /// let moved = session
    ///     .transact(&TransactOptions::default(), async |tx| {
    ///         let read = "SELECT balance FROM account WHERE id = $1";
    ///         let row = tx.execute(read, &[Value::string("a")]).await?.only().await?;
    ///         let balance = row.get("balance").and_then(Value::as_i64).unwrap_or(0);
    ///         tx.run("UPDATE account SET balance = $1 WHERE id = $2", &[Value::int(balance - 1), Value::string("a")])
    ///             .await?;
    ///         Ok::<_, Error>(balance)
    ///     })
    ///     .await?;
    /// println!("{:?} after {} attempts", moved.commit, moved.attempts);
    /// # Ok(()) }
    /// ```
    pub async fn transact<T, E, F, Fut>(&mut self, options: &TransactOptions, mut body: F) -> Result<Transacted<T>, E>
    where
        F: FnMut(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.leave_transaction().await?;
        let token = match (&options.client_token, options.read_only) {
            (_, true) => None,
            (Some(token), false) => {
                if let Some(commit) = self.client.find_commit(&self.ledger, token, None).await? {
                    return Ok(Transacted { value: None, commit: Some(commit), attempts: 0 });
                }
                Some(token.clone())
            }
            (None, false) => retry::client_token(),
        };
        let mut unknown: Vec<(T, Option<Vec<Hash>>)> = Vec::new();
        let mut attempts = 0;
        loop {
            let last = match self.attempt(options, token.as_deref(), &mut body, &mut attempts, &mut unknown).await {
                Ok(done) => return Ok(done),
                Err(Attempt::Stop(error)) => return Err(error),
                Err(Attempt::Again(error)) => error,
            };
            if attempts >= options.retry.attempts_max {
                return Err(match last {
                    Some(last) => E::from(Error::RetriesExhausted { attempts, last: Box::new(last) }),
                    None => E::from(Error::TransactionEnded),
                });
            }
            options.retry.pause(attempts).await;
        }
    }

    /// Closes the session; an open transaction is rolled back.
    pub async fn close(mut self) -> Result<()> {
        let session = std::mem::take(&mut self.id);
        self.client.ledger_service().close_session(v1::CloseSessionRequest { session }).await?;
        Ok(())
    }

    /// One run of the body and its COMMIT.
    async fn attempt<T, E, F, Fut>(
        &mut self,
        options: &TransactOptions,
        token: Option<&str>,
        body: &mut F,
        attempts: &mut u32,
        unknown: &mut Vec<(T, Option<Vec<Hash>>)>,
    ) -> Result<Transacted<T>, Attempt<E>>
    where
        F: FnMut(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        *attempts += 1;
        self.unsettled = true;
        let tx = match self.begin(options, token).await {
            Ok(tx) => tx,
            Err(error) if error.is_lost() => {
                // Nothing was run. If the server is still away, the next attempt finds out.
                let _ = self.reopen().await;
                return Err(Attempt::Again(Some(error)));
            }
            Err(error) => return Err(Attempt::Stop(error.into())),
        };
        let outcome = body(tx.clone()).await;
        tx.shared.ended.store(true, Ordering::Release);
        let error = match (outcome, tx.failure()) {
            (Ok(value), None) => match self.commit().await {
                Ok(commit) => return Ok(Transacted { value: Some(value), commit, attempts: *attempts }),
                Err(error) if error.is_lost() => {
                    unknown.push((value, tx.shared.digests.get()));
                    return self
                        .settle(token, unknown, *attempts, options)
                        .await
                        .unwrap_or(Err(Attempt::Again(Some(error))));
                }
                Err(error @ Error::Conflict(_)) => return Err(Attempt::Again(Some(error))),
                Err(error) => E::from(error),
            },
            (_, Some(Failure::Lost)) => {
                let _ = self.reopen().await;
                return Err(Attempt::Again(Some(Error::Unavailable("the connection was lost".to_owned()))));
            }
            (_, Some(Failure::Conflict)) => {
                self.roll_back().await;
                let error = crate::StatementError {
                    sqlstate: "40001".to_owned(),
                    message: "a statement met a conflict".to_owned(),
                    detail: None,
                    hint: None,
                    position: None,
                };
                return Err(Attempt::Again(Some(Error::Conflict(Box::new(error)))));
            }
            (Err(error), None) => {
                self.roll_back().await;
                error
            }
        };
        // What failed may have failed because an earlier COMMIT, whose answer was lost, did happen.
        match self.settle::<T, E>(token, unknown, *attempts, options).await {
            Some(Ok(done)) => Ok(done),
            _ => Err(Attempt::Stop(error)),
        }
    }

    /// Looks up the outcome of commits whose answers were lost. `None`: none of them happened so far.
    async fn settle<T, E: From<Error>>(
        &mut self,
        token: Option<&str>,
        unknown: &mut Vec<(T, Option<Vec<Hash>>)>,
        attempts: u32,
        options: &TransactOptions,
    ) -> Option<Result<Transacted<T>, Attempt<E>>> {
        let token = token?;
        if unknown.is_empty() {
            return None;
        }
        let mut failed = 0;
        let found = loop {
            match self.client.find_commit(&self.ledger, token, None).await {
                Ok(found) => break found,
                Err(error) => {
                    failed += 1;
                    if !error.is_lost() || failed >= options.retry.attempts_max {
                        let error = Error::OutcomeUnknown(format!("{error}; ask again with client token {token}"));
                        return Some(Err(Attempt::Stop(error.into())));
                    }
                    options.retry.pause(failed).await;
                }
            }
        };
        let commit = found?;
        // The one whose statements were committed: only its value is true.
        while let Some((value, digests)) = unknown.pop() {
            let same = match &digests {
                Some(digests) => self.client.find_commit(&self.ledger, token, Some(digests)).await.is_ok(),
                None => unknown.is_empty(),
            };
            if same {
                return Some(Ok(Transacted { value: Some(value), commit: Some(commit), attempts }));
            }
        }
        Some(Ok(Transacted { value: None, commit: Some(commit), attempts }))
    }

    async fn begin(&mut self, options: &TransactOptions, token: Option<&str>) -> Result<Transaction> {
        let request = |session: &str| v1::BeginRequest {
            session: session.to_owned(),
            read_only: options.read_only,
            client_token: token.unwrap_or_default().to_owned(),
        };
        let answer = self.client.ledger_service().begin(request(&self.id)).await.map_err(Error::from);
        if let Err(Error::SessionGone(_)) = answer {
            self.reopen().await?;
            self.client.ledger_service().begin(request(&self.id)).await?;
        } else {
            answer?;
        }
        Ok(Transaction {
            shared: Arc::new(Shared {
                client: self.client.clone(),
                session: self.id.clone(),
                ended: AtomicBool::new(false),
                failure: Mutex::new(None),
                digests: Digests::default(),
            }),
        })
    }

    async fn commit(&mut self) -> Result<Option<Commit>> {
        let request = v1::CommitRequest { session: self.id.clone() };
        let answer = self.client.ledger_service().commit(request).await.map_err(Error::from);
        // Whatever else it says, the transaction is over.
        self.unsettled = answer.as_ref().is_err_and(Error::is_lost);
        answer?.into_inner().commit.map(Commit::read).transpose()
    }

    /// Best effort: a transaction that is not committed is rolled back in any case, at the latest with its session.
    async fn roll_back(&mut self) {
        let request = v1::RollbackRequest { session: self.id.clone() };
        match self.client.ledger_service().rollback(request).await {
            Ok(_) => self.unsettled = false,
            // If it fails, it is tried again before the session is used.
            Err(_) => drop(self.reopen().await),
        }
    }

    async fn reopen(&mut self) -> Result<()> {
        self.id = open_session(&self.client, &self.ledger, &self.options).await?;
        self.unsettled = false;
        Ok(())
    }

    /// Goes on in a new session if this one may be inside a transaction whose future was dropped: a statement would become
    /// part of it, and never be committed.
    async fn leave_transaction(&mut self) -> Result<()> {
        if self.unsettled {
            let before = self.id.clone();
            self.reopen().await?;
            close_in_background(&self.client, before);
        }
        Ok(())
    }

    async fn execute_once(&mut self, statement: &str, parameters: &[Value], token: &str) -> Result<Rows> {
        execute(&self.client, &self.id, statement, parameters, token, None).await
    }
}

impl Drop for Session {
    /// Tells the server, if there is a runtime to do so; otherwise the session is closed when it has been idle too long.
    fn drop(&mut self) {
        if !self.id.is_empty() {
            close_in_background(&self.client, std::mem::take(&mut self.id));
        }
    }
}

fn close_in_background(client: &Client, session: String) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let client = client.clone();
        let request = v1::CloseSessionRequest { session };
        runtime.spawn(async move { drop(client.ledger_service().close_session(request).await) });
    }
}

/// How a failed attempt goes on.
enum Attempt<E> {
    Again(Option<Error>),
    Stop(E),
}

impl Transaction {
    /// Runs one statement.
    pub async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Rows> {
        if self.shared.ended.load(Ordering::Acquire) {
            return Err(Error::TransactionEnded);
        }
        let Shared { client, session, digests, .. } = &*self.shared;
        let answer = execute(client, session, statement, parameters, "", Some(digests.clone())).await;
        if let Err(error) = &answer {
            let failure = match error {
                Error::Conflict(_) => Some(Failure::Conflict),
                error if error.is_lost() => Some(Failure::Lost),
                _ => None,
            };
            if let Some(failure) = failure {
                lock(&self.shared.failure).get_or_insert(failure);
            }
        }
        answer
    }

    /// Runs one statement to its end; its rows are dropped.
    pub async fn run(&self, statement: &str, parameters: &[Value]) -> Result<crate::Done> {
        self.execute(statement, parameters).await?.finish().await
    }

    fn failure(&self) -> Option<Failure> {
        *lock(&self.shared.failure)
    }
}

impl Digests {
    fn begin(&self) {
        lock(&self.0).open += 1;
    }

    pub(crate) fn done(&self, digest: Option<Hash>) {
        let mut collected = lock(&self.0);
        collected.open -= 1;
        collected.digests.extend(digest);
    }

    /// `None` if the end of a statement was not seen, or statements ended in another order than they began.
    fn get(&self) -> Option<Vec<Hash>> {
        let collected = lock(&self.0);
        (collected.open == 0).then(|| collected.digests.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn open_session(client: &Client, ledger: &str, options: &SessionOptions) -> Result<String> {
    let dialect = match options.dialect {
        Dialect::Sql => v1::Dialect::Sql,
        Dialect::PartiQl => v1::Dialect::Partiql,
    };
    let request =
        v1::OpenSessionRequest { ledger: ledger.to_owned(), dialect: dialect.into(), user: options.user.clone() };
    // At worst one that nobody knows is opened too; it is closed when it has been idle too long.
    let opened = retry::asked(|| {
        let (mut service, request) = (client.ledger_service(), request.clone());
        async move { service.open_session(request).await }
    });
    Ok(opened.await?.session)
}

async fn execute(
    client: &Client,
    session: &str,
    statement: &str,
    parameters: &[Value],
    token: &str,
    digests: Option<Digests>,
) -> Result<Rows> {
    let request = v1::ExecuteRequest {
        session: session.to_owned(),
        statement: statement.to_owned(),
        parameters: parameters.iter().map(ion::encode).collect(),
        client_token: token.to_owned(),
        rows_per_chunk_max: 0,
    };
    if let Some(digests) = &digests {
        digests.begin();
    }
    let stream = client.ledger_service().execute(request).await?.into_inner();
    Rows::start(stream, digests).await
}
