//! One statement: run in a task of its own, then its rows as fast as the client takes them.
//!
//! The session is free for the next statement as soon as this one has been run: rows belong to a snapshot. A client that
//! goes away stops the statement; what was committed by then stays committed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use ledgerstone_digest::ion::{self, Value};
use ledgerstone_digest::qldb::statement_digest;
use ledgerstone_journal::Committed;
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::execute_response::Part;
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Cancel, CancelReason, Response, RowStream, Session, TransactionStatus};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::Status;

use super::Limits;
use super::parameters::decode_parameters;
use super::sessions::InUse;
use super::status;

/// Messages that wait for the client; with [`CHUNK_BYTES`] that bounds the memory of a slow one.
const MESSAGES_WAITING: usize = 4;
/// About this many bytes of rows in a message; one row may be larger.
const CHUNK_BYTES: usize = 256 << 10;
/// Rows in a message.
const CHUNK_ROWS: usize = 1_024;

/// The answer as the client receives it.
pub struct Answer {
    messages: Receiver<Result<v1::ExecuteResponse, Status>>,
    /// Last: stops the statement when nobody waits for it any more.
    _leave: Leave,
}

/// Stops the statement it belongs to when it is dropped, and no later one of the same session.
pub struct Leave {
    cancel: Cancel,
    running: Running,
}

/// Says whether the statement runs.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<bool>>);

/// What a statement has done, before its rows are sent.
struct Ran {
    response: Response,
    commit: Option<Committed>,
    digest: Option<ledgerstone_digest::Hash>,
}

/// Starts a statement.
pub fn start(session: InUse, request: v1::ExecuteRequest, limits: Limits) -> Result<Answer, Status> {
    let parameters = decode_parameters(&request.parameters, limits.parameters).map_err(status::of_error)?;
    let (sender, messages) = channel(MESSAGES_WAITING);
    let (leave, running) = Leave::of(session.cancel());
    tokio::spawn(async move {
        if let Err(status) = run_and_send(&session, request, parameters, &running, &sender).await {
            // A client that has gone hears nothing.
            let _ = sender.send(Err(status)).await;
        }
    });
    Ok(Answer { messages, _leave: leave })
}

async fn run_and_send(
    in_use: &InUse,
    request: v1::ExecuteRequest,
    parameters: Vec<Option<Value>>,
    running: &Running,
    sender: &Sender<Result<v1::ExecuteResponse, Status>>,
) -> Result<(), Status> {
    let rows_max = match request.rows_per_chunk_max as usize {
        0 => CHUNK_ROWS,
        asked => asked.min(CHUNK_ROWS),
    };
    let (ran, in_transaction) = {
        let mut session = in_use.session().await?;
        running.set(true);
        let ran = if sender.is_closed() {
            Err(QueryError::new(SqlState::QUERY_CANCELED, "the client went away"))
        } else {
            run(&mut session, &request, &parameters).await
        };
        // Before the session is let go: from here on the next statement must not be stopped.
        running.set(false);
        let ran = ran.map_err(|error| status::of_query(&error, &request.statement))?;
        if matches!(ran.response, Response::CopyIn(_) | Response::CopyOut(_)) {
            return Err(status::of_error(session.refuse_copy()));
        }
        (ran, session.transaction_status() != TransactionStatus::Idle)
    };
    let (tag, sent) = match ran.response {
        Response::Rows { columns, rows } => (None, send_rows(&columns, rows, rows_max, sender).await),
        Response::Done { tag } => (Some(tag), Ok(Some(String::new()))),
        Response::Empty => (Some(String::new()), Ok(Some(String::new()))),
        Response::CopyIn(_) | Response::CopyOut(_) => {
            return Err(Status::internal("COPY has been refused before"));
        }
    };
    let sent = match sent {
        Ok(Some(tag)) => tag,
        // The client has gone.
        Ok(None) => return Ok(()),
        Err(error) => {
            if in_transaction {
                in_use.session().await?.fail();
            }
            return Err(status::of_query(&error, &request.statement));
        }
    };
    let done = v1::Done {
        tag: tag.unwrap_or(sent),
        commit: ran.commit.as_ref().map(commit_address),
        statement_digest: ran.digest.map(|digest| digest.0.to_vec()).unwrap_or_default(),
    };
    let _ = sender.send(Ok(part(Part::Done(done)))).await;
    Ok(())
}

async fn run(
    session: &mut Session,
    request: &v1::ExecuteRequest,
    parameters: &[Option<Value>],
) -> Result<Ran, QueryError> {
    session.take_commit();
    if session.transaction_status() == TransactionStatus::Idle {
        session.set_client_token(&request.client_token)?;
    } else if !request.client_token.is_empty() {
        return Err(QueryError::new(
            SqlState::ACTIVE_SQL_TRANSACTION,
            "a transaction is open: its token goes with Begin",
        ));
    }
    let prepared = session.prepare(request.statement.as_str(), &[])?;
    let response = session.run(&prepared, parameters, true).await?;
    let digest = prepared.logged_text().map(|text| {
        let parameters = prepared.with_its_nulls(parameters);
        let values: Vec<Value> = parameters.iter().map(|v| v.clone().unwrap_or(Value::NULL)).collect();
        statement_digest(text, &values)
    });
    Ok(Ran { response, commit: session.take_commit(), digest })
}

/// Sends the columns and the rows; gives the command tag, or `None` if the client has gone.
async fn send_rows(
    columns: &[ResultColumn],
    mut rows: RowStream,
    rows_max: usize,
    sender: &Sender<Result<v1::ExecuteResponse, Status>>,
) -> Result<Option<String>, QueryError> {
    let columns = columns
        .iter()
        .map(|column| v1::Column { name: column.name.to_string(), r#type: column.ty.to_string() })
        .collect();
    if sender.send(Ok(part(Part::Columns(v1::Columns { columns })))).await.is_err() {
        return Ok(None);
    }
    let mut chunk = Vec::new();
    let mut bytes = 0;
    // Making rows may take long: other tasks of this thread go on meanwhile.
    while let Some(made) = tokio::task::block_in_place(|| rows.next_chunk())? {
        for row in made {
            let values: Vec<Vec<u8>> =
                row.iter().map(|value| value.as_ref().map(ion::encode).unwrap_or_default()).collect();
            bytes += values.iter().map(|value| value.len() + 4).sum::<usize>();
            chunk.push(v1::Row { values });
            if chunk.len() >= rows_max || bytes >= CHUNK_BYTES {
                bytes = 0;
                let rows = std::mem::take(&mut chunk);
                if sender.send(Ok(part(Part::Rows(v1::Rows { rows })))).await.is_err() {
                    return Ok(None);
                }
            }
        }
    }
    if !chunk.is_empty() && sender.send(Ok(part(Part::Rows(v1::Rows { rows: chunk })))).await.is_err() {
        return Ok(None);
    }
    Ok(Some(rows.tag()))
}

/// A commit as a message.
pub fn commit_address(commit: &Committed) -> v1::CommitAddress {
    v1::CommitAddress {
        transaction_id: commit.transaction_id.to_string(),
        strand_id: commit.strand.to_string(),
        block: commit.block,
        first_position: commit.first_position,
        revisions: commit.revisions,
        block_position: commit.block_position,
        time_ms: commit.time_ms,
    }
}

fn part(part: Part) -> v1::ExecuteResponse {
    v1::ExecuteResponse { part: Some(part) }
}

impl Leave {
    /// For a statement that is to run in the session of this flag.
    pub fn of(cancel: &Cancel) -> (Leave, Running) {
        let running = Running::default();
        (Leave { cancel: cancel.clone(), running: running.clone() }, running)
    }
}

impl Running {
    pub fn set(&self, to: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Stream for Answer {
    type Item = Result<v1::ExecuteResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            self.cancel.cancel(CancelReason::Request);
        }
    }
}
