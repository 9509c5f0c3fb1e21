//! Batches of parameters as clients send them. What a message says of itself is checked before Arrow's decoder sees it: the
//! decoder takes lengths and offsets at their word, allocates what a compressed buffer claims to hold, and asserts the rest.
//! (Apache Arrow's columnar format, "Encapsulated message format" and "Buffer compression".)

use arrow::array::RecordBatch;
use arrow::ipc;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use ledgerstone_query::error::{QueryError, SqlState};
use tonic::Status;

use super::status;

/// Batches that have been checked and decoded.
pub type Batches = BoxStream<'static, Result<RecordBatch, Status>>;

/// So many rows need no bytes: columns of nulls have none.
const ROWS_WITHOUT_BYTES: u64 = 65_536;
/// A column of booleans has as many rows in a byte as any.
const ROWS_IN_BYTE: u64 = 8;

/// The batches of a stream whose first message has been read.
pub fn batches(first: FlightData, rest: impl Stream<Item = Result<FlightData, Status>> + Send + 'static) -> Batches {
    let first = (!first.data_header.is_empty()).then_some(Ok(first));
    let checked = futures::stream::iter(first).chain(rest).map(|message| {
        let message = message.map_err(|status| FlightError::Tonic(Box::new(status)))?;
        check(&message).map_err(|what| FlightError::DecodeError(what.to_owned()))?;
        Ok(message)
    });
    let mut decoder = Some(FlightRecordBatchStream::new_from_flight_data(checked));
    let decoded = futures::stream::poll_fn(move |context| {
        let Some(stream) = &mut decoder else { return std::task::Poll::Ready(None) };
        // What the check has not foreseen and the decoder asserts is the client's error all the same.
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stream.poll_next_unpin(context)));
        polled.unwrap_or_else(|_| {
            decoder = None;
            let error = FlightError::DecodeError("a batch contradicts itself or its schema".to_owned());
            std::task::Poll::Ready(Some(Err(error)))
        })
    });
    decoded.map_err(unreadable).boxed()
}

/// The next batch that has columns; those without are what clients send that have nothing to bind.
pub async fn next_with_columns(batches: &mut Batches) -> Result<Option<RecordBatch>, Status> {
    while let Some(batch) = batches.try_next().await? {
        if batch.num_columns() > 0 {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

/// Says what is wrong with a message, if its own words are enough to know.
fn check(message: &FlightData) -> Result<(), &'static str> {
    let header = ipc::root_as_message(&message.data_header).map_err(|_| "a message's header cannot be read")?;
    if let Some(batch) = header.header_as_record_batch() {
        check_batch(batch, message.data_body.len() as u64)?;
    } else if let Some(dictionary) = header.header_as_dictionary_batch() {
        check_batch(dictionary.data().ok_or("a dictionary has no values")?, message.data_body.len() as u64)?;
    }
    Ok(())
}

fn check_batch(batch: ipc::RecordBatch<'_>, body_bytes: u64) -> Result<(), &'static str> {
    if batch.compression().is_some() {
        return Err("its batches are compressed, which parameters must not be");
    }
    let rows_max = body_bytes.saturating_mul(ROWS_IN_BYTE).saturating_add(ROWS_WITHOUT_BYTES);
    let possible = |count: i64| u64::try_from(count).is_ok_and(|count| count <= rows_max);
    let nodes = batch.nodes().into_iter().flatten();
    if !possible(batch.length())
        || !nodes.into_iter().all(|node| possible(node.length()) && possible(node.null_count()))
    {
        return Err("a batch claims more rows than its bytes can hold");
    }
    let lies_within = |buffer: &ipc::Buffer| {
        let (Ok(offset), Ok(length)) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length())) else {
            return false;
        };
        offset.checked_add(length).is_some_and(|end| end <= body_bytes)
    };
    if !batch.buffers().into_iter().flatten().all(lies_within) {
        return Err("a buffer of a batch lies outside of its message");
    }
    Ok(())
}

fn unreadable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        FlightError::DecodeError(what) => refused(&what),
        other => refused(&other.to_string()),
    }
}

fn refused(what: &str) -> Status {
    status::of_error(QueryError::new(
        SqlState::INVALID_BINARY_REPRESENTATION,
        format!("what was sent is no stream of Arrow batches: {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, NullArray, StringViewArray};
    use arrow::ipc::writer::IpcWriteOptions;
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::executor::block_on;

    use super::*;

    fn sent(column: ArrayRef, options: IpcWriteOptions) -> Vec<FlightData> {
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let encoder = FlightDataEncoderBuilder::new().with_options(options);
        block_on(encoder.build(futures::stream::iter([Ok(batch)])).try_collect()).unwrap()
    }

    fn numbers(count: i32) -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(0..count))
    }

    fn received(messages: Vec<FlightData>) -> Result<Vec<RecordBatch>, String> {
        let mut messages = messages.into_iter();
        let first = messages.next().unwrap();
        let rest = futures::stream::iter(messages.map(Ok));
        block_on(batches(first, rest).try_collect()).map_err(|status: Status| status.message().to_owned())
    }

    #[test]
    fn what_was_sent_is_received() {
        let got = received(sent(numbers(1000), IpcWriteOptions::default())).unwrap();
        assert_eq!((got[0].num_rows(), got[0].column(0)), (1000, &numbers(1000)));
        assert!(received(sent(Arc::new(NullArray::new(60_000)), IpcWriteOptions::default())).is_ok());
    }

    #[test]
    fn what_would_take_memory_that_was_not_sent_is_refused_before_it_is_taken() {
        let compressed =
            IpcWriteOptions::default().try_with_compression(Some(ipc::CompressionType::LZ4_FRAME)).unwrap();
        let mut messages = sent(numbers(10_000), compressed);
        let batch = messages.last_mut().unwrap();
        let mut body = batch.data_body.to_vec();
        // How long the first buffer is said to be when it is not compressed: an allocation of that size ends the process.
        body[..8].copy_from_slice(&(1_u64 << 62).to_le_bytes());
        batch.data_body = body.into();
        assert!(received(messages).unwrap_err().contains("compressed"));
        let nothing = sent(Arc::new(NullArray::new(1 << 40)), IpcWriteOptions::default());
        assert!(received(nothing).unwrap_err().contains("more rows"));
        let mut cut = sent(numbers(1000), IpcWriteOptions::default());
        let batch = cut.last_mut().unwrap();
        batch.data_body.truncate(100);
        assert!(received(cut).unwrap_err().contains("outside of its message"));
    }

    #[test]
    fn what_the_decoder_asserts_is_the_clients_error() {
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(["longer than a view holds by itself"; 10]));
        let [schema, ..] = &sent(numbers(1), IpcWriteOptions::default())[..] else { panic!("no schema") };
        let other = sent(texts, IpcWriteOptions::default()).pop().unwrap();
        assert!(received(vec![schema.clone(), other]).unwrap_err().contains("no stream of Arrow batches"));
        let mut headless = sent(numbers(1), IpcWriteOptions::default());
        headless.last_mut().unwrap().data_header = vec![0xff; 40].into();
        assert!(received(headless).unwrap_err().contains("header"));
    }
}
