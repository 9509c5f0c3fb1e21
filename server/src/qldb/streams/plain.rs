//! `GET /ledgers/NAME/journal-stream`: a journal stream as the body of one answer, a record a line.
//!
//! | member of the query | what it says |
//! |---|---|
//! | `from` | the first block; 0 if absent. Who was cut off goes on with the block behind the last whole one |
//! | `follow` | `true`: waits for more at the end; otherwise the answer ends there |
//! | `format` | `ion` (text, the default), `ion-binary`, or `json` |

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use ledgerstone_digest::ion::{Value, encode, to_text};
use ledgerstone_digest::qldb::stream::of_block;
use ledgerstone_journal::{Ledger, ReadError};
use ledgerstone_query::value::json::print_compact;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::qldb::failure::Failure;

/// How often a stream that follows a ledger looks for new blocks.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(50);
/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 2;
/// A piece holds the records of blocks until it has about so many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// What a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub from: u64,
    pub follow: bool,
    pub format: Format,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    IonText,
    IonBinary,
    Json,
}

/// Pieces as they are read.
struct Pieces {
    pieces: Receiver<Result<Bytes, std::io::Error>>,
    _permit: OwnedSemaphorePermit,
}

impl Wish {
    pub fn of(query: &[(String, String)]) -> Result<Wish, Failure> {
        let mut wish = Wish { from: 0, follow: false, format: Format::IonText };
        for (name, value) in query {
            match (name.as_str(), value.as_str()) {
                ("from", number) => {
                    wish.from =
                        number.parse().map_err(|_| Failure::invalid_parameter("from", "from is not a block"))?;
                }
                ("follow", "true") => wish.follow = true,
                ("follow", "false") => wish.follow = false,
                ("follow", _) => return Err(Failure::invalid_parameter("follow", "follow is true or false")),
                ("format", "ion") => wish.format = Format::IonText,
                ("format", "ion-binary") => wish.format = Format::IonBinary,
                ("format", "json") => wish.format = Format::Json,
                ("format", _) => {
                    return Err(Failure::invalid_parameter("format", "format is ion, ion-binary or json"));
                }
                _ => {
                    return Err(Failure::invalid_parameter(
                        "query",
                        format!("there is no {name}: from, follow, format"),
                    ));
                }
            }
        }
        Ok(wish)
    }
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::IonText => "text/x-amzn-ion",
            Format::IonBinary => "application/x-amzn-ion",
            Format::Json => "application/x-ndjson",
        }
    }

    fn write(self, record: &Value, out: &mut Vec<u8>) {
        match self {
            Format::IonText => out.extend_from_slice(to_text(record).as_bytes()),
            Format::Json => out.extend_from_slice(print_compact(record).as_bytes()),
            // Each with its version marker: a value by itself.
            Format::IonBinary => return out.extend_from_slice(&encode(record)),
        }
        out.push(b'\n');
    }
}

/// Begins to send a ledger's stream.
pub fn start(
    ledger: Arc<Ledger>,
    arn: String,
    wish: Wish,
    permit: OwnedSemaphorePermit,
    shutdown: watch::Receiver<bool>,
) -> Response<Body> {
    let (sender, pieces) = channel(PIECES_WAITING);
    tokio::spawn(send(ledger, arn, wish, sender, shutdown));
    let body = Body::from_stream(Pieces { pieces, _permit: permit });
    let response = Response::builder().status(StatusCode::OK).header(header::CONTENT_TYPE, wish.format.content_type());
    // Every part is made of characters that a header may have.
    response.body(body).unwrap_or_default()
}

/// Sends until the end, or until the reader or the server has gone.
async fn send(
    ledger: Arc<Ledger>,
    arn: String,
    wish: Wish,
    sender: Sender<Result<Bytes, std::io::Error>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let (mut next, arn) = (wish.from, Arc::<str>::from(arn));
    loop {
        let (reader, name) = (Arc::clone(&ledger), Arc::clone(&arn));
        let read = tokio::task::spawn_blocking(move || piece(&reader, &name, next, wish.format)).await;
        let piece = match read {
            Ok(Ok(piece)) => piece,
            // An answer that ends in the middle of its body is seen as one that was cut off.
            Ok(Err(error)) => return drop(sender.send(Err(std::io::Error::other(error.to_string()))).await),
            Err(error) => return drop(sender.send(Err(std::io::Error::other(error))).await),
        };
        match piece {
            Some((bytes, after)) => {
                next = after;
                if sender.send(Ok(bytes)).await.is_err() {
                    return;
                }
            }
            None if !wish.follow => return,
            None => tokio::select! {
                () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                () = sender.closed() => return,
                _ = shutdown.wait_for(|stop| *stop) => return,
            },
        }
    }
}

/// The records of some blocks, and the block behind them; `None` if there is none yet.
fn piece(ledger: &Ledger, arn: &str, from: u64, format: Format) -> Result<Option<(Bytes, u64)>, ReadError> {
    let Some(last) = ledger.last_block()?.filter(|last| *last >= from) else { return Ok(None) };
    let (mut out, mut next) = (Vec::new(), from);
    while next <= last && out.len() < PIECE_BYTES {
        for record in of_block(arn, &ledger.journal_block(next)?) {
            format.write(&record, &mut out);
        }
        next += 1;
    }
    Ok(Some((Bytes::from(out), next)))
}

impl futures::Stream for Pieces {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context)
    }
}
