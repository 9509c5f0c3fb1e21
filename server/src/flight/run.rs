//! One statement: where it runs, and what it answers.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{
    Cancel, Concern, Dialect, Door, Prepared, Response, RowStream, Session, SessionOptions, TransactionStatus,
};
use ledgerstone_query::types::SqlType;
use tonic::Status;

use super::keeper;
use super::keeper::{Owner, Statement};
use super::service::Flight;
use super::types::schema_of;
use super::who::Who;
use super::{placeholders, status};
use crate::grpc::{InUse, Leave, blocking, name_or_main};

/// Where a statement runs.
pub enum Place {
    /// In a session of its own, for want of another.
    Alone(Box<Session>),
    /// In the caller's session.
    Session(InUse),
    /// In a transaction that was begun by a call.
    Transaction(InUse),
}

/// Which kind of place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Alone,
    Session,
    Transaction,
}

/// What is known of a statement before it runs.
pub struct Description {
    pub columns: Option<Arc<[ResultColumn]>>,
    /// Of its parameters.
    pub types: Vec<SqlType>,
    pub dialect: Dialect,
    pub text: Text,
}

/// A statement's text.
#[derive(Debug, Clone)]
pub struct Text {
    pub sql: Arc<str>,
    /// It is what the client has sent, so positions in errors are places in that.
    as_sent: bool,
}

/// What a statement has answered.
pub enum Answer {
    Rows {
        columns: Arc<[ResultColumn]>,
        rows: RowStream,
    },
    /// So many rows changed; a definition changes none.
    Done {
        count: i64,
    },
}

impl Flight {
    /// Where a caller's statement is to run.
    pub async fn place(&self, mut who: Who, transaction: Option<&str>) -> Result<Place, Status> {
        if let Some(id) = transaction {
            return self.transaction(&who.owner, id);
        }
        if let Some(in_use) = who.session.take() {
            let session = in_use.session().await?;
            let same = who.ledger.as_deref().is_none_or(|ledger| *session.info().ledger == *ledger);
            let dialect = session.info().dialect;
            if same && who.dialect.is_none_or(|asked| asked == dialect) {
                drop(session);
                return Ok(Place::Session(in_use));
            }
            who.ledger.get_or_insert_with(|| session.info().ledger.to_string());
        }
        let session = self.open(&who, who.ledger_or_main(), Cancel::default()).await?;
        Ok(Place::Alone(Box::new(session)))
    }

    /// A transaction that a call has begun.
    pub fn transaction(&self, owner: &Owner, id: &str) -> Result<Place, Status> {
        self.keeper.transactions.find(owner, id).map(Place::Transaction).map_err(|_| transaction_gone())
    }

    /// Where a prepared statement is to run.
    pub async fn place_of(&self, mut who: Who, statement: &Statement) -> Result<Place, Status> {
        who.ledger.clone_from(&statement.ledger);
        who.dialect = Some(statement.dialect);
        let transaction = self.keeper.transaction_of(statement)?;
        self.place(who, transaction.as_deref()).await
    }

    /// Opens a session with a ledger.
    pub async fn open(&self, who: &Who, ledger: &str, cancel: Cancel) -> Result<Session, Status> {
        let dialect = who.dialect.unwrap_or(Dialect::Sql);
        let options = SessionOptions {
            statement_ms_max: self.options.limits.statement_ms,
            cancel,
            ..SessionOptions::new(Door::Flight, who.signed.user.clone(), dialect, Arc::clone(&self.options.runtime))
        };
        let instance = Arc::clone(&self.instance);
        let ledger = name_or_main(ledger).to_owned();
        // Opening a ledger for the first time reads its journal.
        blocking(move || Session::new(instance, &ledger, options).map_err(status::of_error)).await
    }
}

fn transaction_gone() -> Status {
    status::of_error(
        QueryError::new(SqlState::NO_ACTIVE_TRANSACTION, "there is no such transaction")
            .hint("It has ended, or nothing was asked in it for too long and it was rolled back."),
    )
}

impl Place {
    pub fn scope(&self) -> Scope {
        match self {
            Place::Alone(_) => Scope::Alone,
            Place::Session(_) => Scope::Session,
            Place::Transaction(_) => Scope::Transaction,
        }
    }

    fn cancel(&self) -> Cancel {
        match self {
            Place::Alone(session) => session.cancel_handle(),
            Place::Session(in_use) | Place::Transaction(in_use) => in_use.cancel().clone(),
        }
    }

    /// Does something with the session, on a task of its own, so that a client that goes away does not leave the session
    /// between two states; the statement that runs is stopped then.
    pub async fn with<T: Send + 'static>(self, work: impl AsyncWork<T> + Send + 'static) -> Result<T, Status> {
        let (leave, running) = Leave::of(&self.cancel());
        let task = tokio::spawn(async move {
            let scope = self.scope();
            match self {
                Place::Alone(mut session) => {
                    running.set(true);
                    let done = work.run(&mut session, scope).await;
                    running.set(false);
                    done
                }
                Place::Session(in_use) | Place::Transaction(in_use) => {
                    let mut session = in_use.session().await?;
                    // It may have ended while this waited for its turn.
                    if scope == Scope::Transaction && session.transaction_status() == TransactionStatus::Idle {
                        return Err(transaction_gone());
                    }
                    running.set(true);
                    let done = work.run(&mut session, scope).await;
                    running.set(false);
                    done
                }
            }
        });
        let done = task.await.map_err(|error| Status::internal(format!("the statement was not finished: {error}")))?;
        drop(leave);
        done
    }

    /// Prepares a statement and says what it will answer.
    pub async fn describe(self, text: String) -> Result<Description, Status> {
        self.with(Describe(text.into())).await
    }

    /// Runs a statement.
    pub async fn run(self, text: Text, parameters: Vec<Option<Value>>) -> Result<Answer, Status> {
        self.with(Run { text, parameters }).await
    }
}

/// Work in a session. (Closures that are async and borrow their argument cannot be sent to another thread yet.)
pub trait AsyncWork<T> {
    fn run(self, session: &mut Session, scope: Scope) -> impl Future<Output = Result<T, Status>> + Send;
}

struct Describe(Arc<str>);

impl AsyncWork<Description> for Describe {
    async fn run(self, session: &mut Session, scope: Scope) -> Result<Description, Status> {
        let text = Text::of_prepared(session, self.0);
        let prepared = prepare(session, scope, &text)?;
        Ok(Description {
            columns: prepared.columns.clone(),
            types: prepared.parameter_types.clone(),
            dialect: session.info().dialect,
            text,
        })
    }
}

impl Text {
    /// As the client sent it.
    pub fn new(sql: impl Into<Arc<str>>) -> Text {
        Text { sql: sql.into(), as_sent: true }
    }

    /// The same of a statement that may have parameters: if it cannot be parsed, and can with its question marks numbered,
    /// they are parameters.
    fn of_prepared(session: &Session, sql: Arc<str>) -> Text {
        let as_it_stands = Text::new(sql);
        if session.info().dialect != Dialect::Sql || session.check_syntax(&as_it_stands.sql).is_ok() {
            return as_it_stands;
        }
        match placeholders::numbered(&as_it_stands.sql).map(Arc::from) {
            Some(sql) if session.check_syntax(&sql).is_ok() => Text { sql, as_sent: false },
            _ => as_it_stands,
        }
    }

    /// The status of an error of this statement.
    pub fn status(&self, error: &QueryError) -> Status {
        if self.as_sent { status::of_query(error, &self.sql) } else { status::of_error(error.clone()) }
    }
}

struct Run {
    text: Text,
    parameters: Vec<Option<Value>>,
}

impl AsyncWork<Answer> for Run {
    async fn run(self, session: &mut Session, scope: Scope) -> Result<Answer, Status> {
        let prepared = prepare(session, scope, &self.text)?;
        let answer = run_once(session, &prepared, &self.parameters).await;
        answer.map_err(|error| self.text.status(&error))
    }
}

/// Prepares a statement that may run in such a place.
pub fn prepare(session: &mut Session, scope: Scope, text: &Text) -> Result<Arc<Prepared>, Status> {
    let prepared = session.prepare(Arc::clone(&text.sql), &[]).map_err(|error| text.status(&error))?;
    let hint = match (prepared.concern(), scope) {
        (Concern::Transaction, Scope::Transaction) => {
            "This transaction was begun by a call, and ends by one: commit or roll back there."
        }
        (Concern::Transaction | Concern::Session, Scope::Alone) => {
            "This connection has no session: sign in with a user name, or use the client's own transactions."
        }
        _ => return Ok(prepared),
    };
    Err(status::of_error(QueryError::unsupported("this statement here").hint(hint)))
}

/// Runs it with one set of parameters.
pub async fn run_once(
    session: &mut Session,
    prepared: &Prepared,
    parameters: &[Option<Value>],
) -> Result<Answer, QueryError> {
    if prepared.parameter_types.len() != parameters.len() {
        let what = format!(
            "the statement has {} parameters, and {} were bound",
            prepared.parameter_types.len(),
            parameters.len()
        );
        session.fail();
        return Err(QueryError::new(SqlState("08P01"), what).hint("Prepare it, and bind a value for each parameter."));
    }
    match session.run(prepared, parameters, true).await? {
        Response::Rows { columns, rows } => Ok(Answer::Rows { columns, rows }),
        Response::Done { tag } => Ok(Answer::Done { count: count_of(&tag) }),
        Response::Empty => Ok(Answer::Done { count: 0 }),
        Response::CopyIn(_) | Response::CopyOut(_) => Err(session.refuse_copy()),
    }
}

impl Answer {
    /// How many rows were changed, or have come; rows are taken one after another and not kept.
    pub fn count(self) -> Result<i64, QueryError> {
        match self {
            Answer::Done { count } => Ok(count),
            Answer::Rows { mut rows, .. } => {
                while tokio::task::block_in_place(|| rows.next_chunk())?.is_some() {}
                Ok(count_of(&rows.tag()))
            }
        }
    }

    /// As it is kept until somebody comes for the rows, and how many were changed if there are none.
    pub fn into_result(self) -> (keeper::Result, i64) {
        let (columns, rows, count) = match self {
            Answer::Rows { columns, rows } => (columns, rows, -1),
            Answer::Done { count } => (Arc::from([]), RowStream::of(Vec::new(), "SELECT"), count),
        };
        (keeper::Result { schema: schema_of(&columns), columns, rows }, count)
    }
}

/// The number of rows in a command tag: `INSERT 0 3`, `UPDATE 3`; 0 where there is none.
fn count_of(tag: &str) -> i64 {
    tag.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_how_many() {
        for (tag, count) in [("INSERT 0 3", 3), ("UPDATE 12", 12), ("CREATE TABLE", 0), ("", 0)] {
            assert_eq!(count_of(tag), count, "{tag}");
        }
    }
}
