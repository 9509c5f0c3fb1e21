//! Rows as a stream of Arrow batches: made on a task of its own, a few batches ahead of the client and no more.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::{Stream, StreamExt as _};
use ledgerstone_digest::ion::{Int, Value};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::exec::Row;
use tokio::sync::mpsc::{Sender, channel};
use tonic::Status;

use super::columns;
use super::keeper::{Fetched, Result as Kept};
use super::status;

/// What DoGet answers.
pub type Data = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// Batches that wait for the client: with the next two numbers that bounds the memory of a slow one.
const BATCHES_WAITING: usize = 2;
/// About this many bytes in a batch; one row may be larger.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 8_192;

/// The rows of a result as they are fetched.
pub fn stream(mut fetched: Fetched) -> Data {
    let schema = std::sync::Arc::clone(&fetched.result.schema);
    let (sender, mut batches) = channel(BATCHES_WAITING);
    tokio::spawn(async move {
        if let Err(error) = send(&mut fetched, &sender).await {
            // A client that has gone hears nothing.
            let _ = sender.send(Err(FlightError::Tonic(Box::new(status::of_error(error))))).await;
        }
    });
    encode(schema, futures::stream::poll_fn(move |context| batches.poll_recv(context)))
}

/// A batch that is there.
pub fn of_batch(batch: RecordBatch) -> Data {
    encode(batch.schema(), futures::stream::iter([Ok(batch)]))
}

fn encode(schema: SchemaRef, batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static) -> Data {
    let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    encoded.map(|data| data.map_err(status_of)).boxed()
}

fn status_of(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::internal(other.to_string()),
    }
}

async fn send(fetched: &mut Fetched, sender: &Sender<Result<RecordBatch, FlightError>>) -> Result<(), QueryError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        if fetched.is_cancelled() {
            return Err(QueryError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"));
        }
        // Making rows may take long: other tasks of this thread go on meanwhile.
        let Some(made) = tokio::task::block_in_place(|| fetched.result.rows.next_chunk())? else { break };
        for row in made {
            bytes += row.iter().flatten().map(size_of).sum::<usize>();
            rows.push(row);
            if rows.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
                bytes = 0;
                let batch = make(&std::mem::take(&mut rows), &fetched.result)?;
                if sender.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    if !rows.is_empty() {
        let batch = make(&rows, &fetched.result)?;
        let _ = sender.send(Ok(batch)).await;
    }
    Ok(())
}

fn make(rows: &[Row], result: &Kept) -> Result<RecordBatch, QueryError> {
    tokio::task::block_in_place(|| columns::batch(rows, &result.columns, &result.schema))
}

/// Roughly the bytes of a value in a batch.
fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => 8 + text.len(),
        Value::Blob(bytes) | Value::Clob(bytes) => 8 + bytes.len(),
        Value::Int(Int::Big(number)) => 8 + number.bits() as usize / 3,
        Value::List(items) | Value::Sexp(items) => 8 + items.iter().map(size_of).sum::<usize>(),
        Value::Struct(fields) => 8 + fields.fields.iter().map(|(_, value)| 16 + size_of(value)).sum::<usize>(),
        Value::Annotated(_) => 64,
        _ => 16,
    }
}
