//! DoPut: updates, and the parameters of prepared statements.

use arrow::array::RecordBatch;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use futures::{StreamExt as _, TryStreamExt as _};
use ledgerstone_digest::ion::Value;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::{Prepared, Session, canceled};
use ledgerstone_query::types::SqlType;
use prost::Message as _;
use tonic::{Status, Streaming};

use super::received::{Batches, batches, next_with_columns};
use super::run::{AsyncWork, Scope, Text, prepare, run_once};
use super::service::{Flight, command, text_of, unknown};
use super::who::Who;
use super::{parameters, status};

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
                    false => match Sent::of(first, data).await? {
                        Some(first) => Rows::Sent(first),
                        None => Rows::Bound(statement.bound()?),
                    },
                };
                let count = self.place_of(who, &statement).await?.with(Update { text, rows }).await?;
                DoPutUpdateResult { record_count: count }.encode_to_vec()
            }
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.keeper.statement(&who.owner, &query.prepared_statement_handle)?;
                statement.bind(one_row(Sent::of(first, data).await?, &statement.types).await?);
                // Some drivers take what is not there for an empty handle.
                let prepared_statement_handle = Some(query.prepared_statement_handle);
                DoPutPreparedStatementResult { prepared_statement_handle }.encode_to_vec()
            }
            other => return Err(unknown(&other)),
        };
        Ok(PutResult { app_metadata: answer.into() })
    }
}

/// The first batch that has rows or columns, and what follows it.
struct Sent {
    first: RecordBatch,
    rest: Batches,
}

enum Rows {
    Bound(Vec<Option<Value>>),
    Sent(Sent),
}

impl Sent {
    /// What a stream sends whose first message has been read; `None` if nothing is bound.
    async fn of(first: FlightData, rest: Streaming<FlightData>) -> Result<Option<Sent>, Status> {
        let mut rest = batches(first, rest);
        Ok(next_with_columns(&mut rest).await?.map(|first| Sent { first, rest }))
    }
}

/// The parameters of a query, which has one row of them.
async fn one_row(sent: Option<Sent>, types: &[SqlType]) -> Result<Vec<Option<Value>>, Status> {
    let more = || {
        let error = QueryError::unsupported("a query with more than one row of parameters");
        status::of_error(error.hint("Bind one row, run the query, and bind the next; updates take any number."))
    };
    let Some(mut sent) = sent else {
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
            (false, Ok(count)) => Ok(count),
            (false, Err(status)) => {
                // Its first rows are in the transaction, which must not be committed with them.
                session.fail();
                Err(status)
            }
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
            // Others have their turn, and a client that has left is noticed between two rows as well as in one.
            tokio::task::consume_budget().await;
            let number = before + row + 1;
            if number > 1
                && let Some(reason) = session.cancel_handle().reason()
            {
                return Err(text.status(&canceled(reason)));
            }
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
