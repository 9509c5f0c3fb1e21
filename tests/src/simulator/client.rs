//! A client: a session, what it has been asked, and what the answer has to be held against.
//!
//! A statement is a future that is polled by the simulator, so that other clients, the sequencer and the writer get
//! their turns while a commit is under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ledgerstone_journal::Committed;
use ledgerstone_query::database::Database;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::{Dialect, Door, Pause, Response, Runtime, Session, SessionOptions};
use ledgerstone_query::value::text;

use super::model::{Answer, Work};
use super::statement::Statement;

/// One client with a session of its own. Nobody else has its user's name, which stands in every block it commits.
pub struct Client {
    pub user: String,
    session: Option<Session>,
    running: Option<Running>,
    /// What is being answered.
    pub call: Option<Call>,
    /// When that was asked: the step and the snapshot.
    pub asked: (u64, u64),
    pub open: Option<Open>,
    /// The block of what is being answered, once it is published.
    pub published: Option<Published>,
    /// Block and position that a statement with a token got the first time.
    pub repeats: Option<(u64, u64)>,
}

type Running = Pin<Box<dyn Future<Output = (Session, Told)>>>;

/// What a session answered: lines of cells, then the tag.
pub type Told = Result<Vec<String>, QueryError>;

/// One thing asked of a session.
#[derive(Debug, Clone)]
pub enum Call {
    /// A statement that is a transaction of its own, perhaps with a token.
    Alone {
        statement: Statement,
        token: Option<String>,
    },
    Begin,
    Inside(Statement),
    Savepoint,
    RollbackTo,
    Commit,
    Rollback,
}

/// An explicit transaction.
#[derive(Debug, Clone, Default)]
pub struct Open {
    /// From the first statement on, which takes the snapshot.
    pub work: Option<Work>,
    pub said: Vec<(Statement, Answer)>,
    pub failed: bool,
    /// What ROLLBACK TO goes back to.
    pub mark: Option<(Option<Work>, usize)>,
    /// Nothing of it is undone alone.
    pub whole: bool,
    /// Statements that will still be asked.
    pub left: Vec<Statement>,
    /// The step it began in.
    pub began: u64,
}

/// A transaction whose block is in the journal.
#[derive(Debug, Clone)]
pub struct Published {
    pub block: u64,
    pub position: u64,
    /// What its statement has to answer.
    pub answer: Answer,
}

/// What may become a block.
#[derive(Debug, Clone)]
pub struct Submitted {
    pub statements: Vec<(Statement, Option<Answer>)>,
    /// A statement with a token, which can be asked again when its outcome is not known.
    pub token: Option<String>,
    pub began: u64,
}

impl Submitted {
    /// Its statements, with their answers as far as there are any.
    pub fn said(&self) -> Vec<(&Statement, Option<&Answer>)> {
        self.statements.iter().map(|(statement, said)| (statement, said.as_ref())).collect()
    }
}

/// Lends sessions nothing: work is done in place, and a pause is one turn.
struct Turns;

impl Runtime for Turns {
    fn long(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn pause(&self, _attempt: u32) -> Pause {
        let mut paused = false;
        Box::pin(std::future::poll_fn(move |_| match std::mem::replace(&mut paused, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }))
    }
}

impl Client {
    pub fn new(database: &Arc<Database>, number: u64) -> Client {
        let user = format!("client{number}");
        let options = SessionOptions::new(Door::Embedded, user.clone(), Dialect::Sql, Arc::new(Turns));
        let session = Some(Session::over(Arc::clone(database), options));
        Client { user, session, running: None, call: None, asked: (0, 0), open: None, published: None, repeats: None }
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Sends something; [`Client::poll`] brings the answer.
    pub fn ask(&mut self, call: Call, asked: (u64, u64)) {
        let Some(mut session) = self.session.take() else { return };
        let text = call.text();
        let token = if let Call::Alone { token, .. } = &call { token.clone() } else { None };
        self.asked = asked;
        self.published = None;
        self.call = Some(call);
        self.running = Some(Box::pin(async move {
            if let Some(token) = token
                && let Err(error) = session.set_client_token(&token)
            {
                return (session, Err(error));
            }
            session.take_commit();
            let answer = said(&mut session, &text).await;
            (session, answer)
        }));
    }

    /// Lets the session work. The answer, and the block that the session says it has committed.
    pub fn poll(&mut self) -> Option<(Told, Option<Committed>)> {
        let running = self.running.as_mut()?;
        let Poll::Ready((mut session, answer)) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        self.running = None;
        let committed = session.take_commit();
        // A token is for one statement, whatever becomes of it.
        let _ = session.set_client_token("");
        self.session = Some(session);
        Some((answer, committed))
    }

    /// What of this client may be in the journal although nobody has said so.
    pub fn submitted(&self) -> Option<Submitted> {
        match self.call.as_ref()? {
            Call::Alone { statement, token } if statement.writes() => Some(Submitted {
                statements: vec![(statement.clone(), None)],
                token: token.clone(),
                began: self.asked.0,
            }),
            Call::Commit => {
                let open = self.open.as_ref()?;
                let statements = open.said.iter().map(|(statement, said)| (statement.clone(), Some(said.clone())));
                Some(Submitted { statements: statements.collect(), token: None, began: open.began })
            }
            _ => None,
        }
    }
}

impl Call {
    pub fn text(&self) -> String {
        match self {
            Call::Alone { statement, .. } | Call::Inside(statement) => statement.to_string(),
            Call::Begin => "BEGIN".to_owned(),
            Call::Savepoint => "SAVEPOINT here".to_owned(),
            Call::RollbackTo => "ROLLBACK TO SAVEPOINT here".to_owned(),
            Call::Commit => "COMMIT".to_owned(),
            Call::Rollback => "ROLLBACK".to_owned(),
        }
    }
}

/// Runs a text and shows what it answers: rows with their cells parted by `|`, then the tag.
async fn said(session: &mut Session, text: &str) -> Result<Vec<String>, QueryError> {
    let mut lines = Vec::new();
    for answer in session.execute(text).await? {
        match answer {
            Response::Rows { columns, mut rows } => {
                for row in rows.collect()? {
                    let cells = row.iter().zip(columns.iter()).map(|(cell, column)| match cell {
                        Some(value) => text::format(value, &column.ty),
                        None => "null".to_owned(),
                    });
                    lines.push(cells.collect::<Vec<_>>().join("|"));
                }
                lines.push(rows.tag());
            }
            Response::Done { tag } => lines.push(tag),
            Response::CopyIn(_) | Response::CopyOut(_) | Response::Empty => lines.push("another answer".to_owned()),
        }
    }
    Ok(lines)
}
