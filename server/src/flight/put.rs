//! DoPut: updates, and the parameters of prepared statements.

use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use ledgerstone_digest::ion::Value;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Prepared, Session};
use ledgerstone_query::types::SqlType;
use prost::Message as _;
use tonic::{Status, Streaming};

use super::run::{AsyncWork, Scope, Text, prepare, run_once};
use super::service::{Flight, command, text_of, unknown};
use super::who::Who;
use super::{parameters, status};

/// Batches of parameters as they come.
type Batches = BoxStream<'static, Result<RecordBatch, Status>>;

impl Flight {
    /// What a stream of DoPut asks for, and what is answered to it.
    pub async fn put(&self, who: Who, mut data: Streaming<FlightData>) -> Result<PutResult, Status> {
        let first = data.message().await?.ok_or_else(|| Status::invalid_argument("nothing was sent"))?;
        let descriptor = first.flight_descriptor.as_ref();
        let cmd = &descriptor.ok_or_else(|| Status::invalid_argument("the first message has no command"))?.cmd;
        let answer = match command(cmd)? {
            Command::CommandStatementUpdate(update) => {
                let transaction = update.transaction_id.as_deref().map(text_of).transpose()?;
                let text = Text::new(update.query);
                let answer = self.place(who, transaction).await?.run(text.clone(), Vec::new()).await?;
                let count = answer.count().map_err(|error| text.status(&error))?;
                DoPutUpdateResult { record_count: count }.encode_to_vec()
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let statement = self.keeper.statement(&who.owner, &update.prepared_statement_handle)?;
                let text = statement.text.clone();
                let rows = match statement.types.is_empty() {
                    true => Rows::Bound(Vec::new()),
                    false => match batches(first, data).next().await? {
                        Some(first) => Rows::Sent(first),
                        None => Rows::Bound(statement.bound()?),
                    },
                };
                let count = self.place_of(who, &statement).await?.with(Update { text, rows }).await?;
                DoPutUpdateResult { record_count: count }.encode_to_vec()
            }
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.keeper.statement(&who.owner, &query.prepared_statement_handle)?;
                statement.bind(one_row(batches(first, data), &statement.types).await?);
                // Some drivers take what is not there for an empty handle.
                let prepared_statement_handle = Some(query.prepared_statement_handle);
                DoPutPreparedStatementResult { prepared_statement_handle }.encode_to_vec()
            }
            other => return Err(unknown(&other)),
        };
        Ok(PutResult { app_metadata: answer.into() })
    }
}

/// Reads batches, and knows whether there are more.
struct Reader(Batches);

/// The first batch that has rows or columns, and what follows it.
struct Sent {
    first: RecordBatch,
    rest: Batches,
}

enum Rows {
    Bound(Vec<Option<Value>>),
    Sent(Sent),
}

impl Reader {
    /// Batches without columns are what clients send that have nothing to bind.
    async fn next(mut self) -> Result<Option<Sent>, Status> {
        while let Some(batch) = self.0.try_next().await? {
            if batch.num_columns() > 0 {
                return Ok(Some(Sent { first: batch, rest: self.0 }));
            }
        }
        Ok(None)
    }
}

/// The batches of a stream whose first message has been read.
fn batches(first: FlightData, rest: Streaming<FlightData>) -> Reader {
    let first = (!first.data_header.is_empty()).then_some(Ok(first));
    let all = futures::stream::iter(first).chain(rest).map_err(|status| FlightError::Tonic(Box::new(status)));
    let decoded = FlightRecordBatchStream::new_from_flight_data(all).map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        other => status::of_error(QueryError::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            format!("what was sent is no stream of Arrow batches: {other}"),
        )),
    });
    Reader(decoded.boxed())
}

/// The parameters of a query, which has one row of them.
async fn one_row(reader: Reader, types: &[SqlType]) -> Result<Vec<Option<Value>>, Status> {
    let more = || {
        let error = QueryError::unsupported("a query with more than one row of parameters");
        status::of_error(error.hint("Bind one row, run the query, and bind the next; updates take any number."))
    };
    let Some(mut sent) = reader.next().await? else {
        return if types.is_empty() {
            Ok(Vec::new())
        } else {
            Err(Status::invalid_argument("no parameters were sent"))
        };
    };
    if sent.first.num_rows() != 1 {
        return Err(more());
    }
    while let Some(batch) = sent.rest.try_next().await? {
        if batch.num_rows() > 0 {
            return Err(more());
        }
    }
    parameters::row(&sent.first, 0, types).map_err(status::of_error)
}

/// A statement that is run for every row of parameters: all of them, or none.
struct Update {
    text: Text,
    rows: Rows,
}

impl AsyncWork<i64> for Update {
    async fn run(self, session: &mut Session, scope: Scope) -> Result<i64, Status> {
        let prepared = prepare(session, scope, &self.text)?;
        let fail = |error: QueryError| self.text.status(&error);
        let mut sent = match self.rows {
            Rows::Bound(parameters) => return once(session, &prepared, &parameters).await.map_err(fail),
            Rows::Sent(sent) => sent,
        };
        // The next batch that has rows, if there is one.
        let mut next = None;
        while sent.first.num_rows() < 2 && next.is_none() {
            match sent.rest.try_next().await? {
                Some(batch) if sent.first.num_rows() == 0 => sent.first = batch,
                Some(batch) => next = Some(batch).filter(|batch| batch.num_rows() > 0),
                None => break,
            }
        }
        if sent.first.num_rows() == 0 {
            return Ok(0);
        }
        if sent.first.num_rows() == 1 && next.is_none() {
            let parameters = parameters::row(&sent.first, 0, &prepared.parameter_types).map_err(fail)?;
            return once(session, &prepared, &parameters).await.map_err(fail);
        }
        let own = session.transaction_status() == ledgerstone_query::session::TransactionStatus::Idle;
        if own {
            session.begin_block(false, "").map_err(fail)?;
        }
        let outcome = each(session, &prepared, &self.text, sent, next).await;
        match (own, outcome) {
            (false, outcome) => outcome,
            (true, Ok(count)) => session.commit_block().await.map(|_| count).map_err(fail),
            (true, Err(status)) => {
                session.roll_back_block().map_err(fail)?;
                Err(status)
            }
        }
    }
}

async fn once(session: &mut Session, prepared: &Prepared, parameters: &[Option<Value>]) -> Result<i64, QueryError> {
    run_once(session, prepared, parameters).await?.count()
}

async fn each(
    session: &mut Session,
    prepared: &Prepared,
    text: &Text,
    sent: Sent,
    next: Option<RecordBatch>,
) -> Result<i64, Status> {
    let (mut count, mut before) = (0_i64, 0);
    let mut batches = futures::stream::iter([sent.first].into_iter().chain(next).map(Ok)).chain(sent.rest);
    while let Some(batch) = batches.try_next().await? {
        for row in 0..batch.num_rows() {
            let number = before + row + 1;
            let one = async {
                let parameters = parameters::row(&batch, row, &prepared.parameter_types)?;
                once(session, prepared, &parameters).await
            };
            count += one.await.map_err(|mut error| {
                let row = format!("Row {number} of what was bound.");
                error.detail = Some(error.detail.map_or(row.clone(), |detail| format!("{detail} {row}")));
                text.status(&error)
            })?;
        }
        before += batch.num_rows();
    }
    Ok(count)
}
