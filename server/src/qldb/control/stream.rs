//! `GET /ledgers/NAME/journal-stream`: a journal stream as the body of one answer, a record a line.
//!
//! | member of the query | what it says |
//! |---|---|
//! | `from` | the first block; 0 if absent. Who was cut off goes on with the block behind the last whole one |
//! | `follow` | `true`: waits for more at the end; otherwise the answer ends there |
//! | `format` | `ion` (text, the default), `ion-binary`, or `json` |

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use ledgerstone_digest::qldb::stream::of_block;
use ledgerstone_journal::qldb::export::Format;
use ledgerstone_journal::{Ledger, ReadError};
use ledgerstone_query::permission::Action;
use tokio::task::JoinError;

use super::{Call, Failure};
use crate::following::{self, Course, Pieces};

/// A piece holds the records of blocks until it has about so many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// What a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    from: u64,
    follow: bool,
    format: Format,
}

/// The blocks of a ledger as records.
struct Records {
    ledger: Arc<Ledger>,
    /// What they are streamed under.
    arn: String,
    format: Format,
}

impl Call<'_> {
    /// Begins to send a ledger's stream.
    pub fn stream(&self, name: &str) -> Result<Response<Body>, Failure> {
        self.permit(name, Action::StreamJournal)?;
        let Wish { from, follow, format } = Wish::of(&self.query)?;
        let records = Records { ledger: self.ledger(name)?, arn: self.arn(name), format };
        let permit = Arc::clone(&self.shared.http_streams).try_acquire_owned();
        let permit =
            permit.map_err(|_| Failure::too_many("Stream", "as many streams are open as allowed; close some"))?;
        let course = Course { from, follow, shutdown: self.shared.options.shutdown.clone() };
        let body = Body::from_stream(following::follow(records, course, permit));
        let response = Response::builder().status(StatusCode::OK).header(header::CONTENT_TYPE, content_type(format));
        // Every part is made of characters that a header may have.
        Ok(response.body(body).unwrap_or_default())
    }
}

/// An answer that ends with an error in the middle of its body is seen as one that was cut off.
impl Pieces for Records {
    type Piece = Bytes;
    type Error = std::io::Error;

    /// The records of some blocks.
    fn next(&self, from: u64) -> std::io::Result<Option<(Bytes, u64)>> {
        let failed = |error: ReadError| std::io::Error::other(error.to_string());
        let last = self.ledger.last_block().map_err(failed)?;
        let Some(last) = last.filter(|last| *last >= from) else { return Ok(None) };
        let (mut out, mut next) = (Vec::new(), from);
        while next <= last && out.len() < PIECE_BYTES {
            for record in of_block(&self.arn, &self.ledger.journal_block(next).map_err(failed)?) {
                self.format.write(&record, &mut out);
            }
            next += 1;
        }
        Ok(Some((Bytes::from(out), next)))
    }

    fn unfinished(error: JoinError) -> std::io::Error {
        std::io::Error::other(error)
    }

    fn stopping() -> Option<std::io::Error> {
        None
    }
}

impl Wish {
    fn of(query: &[(String, String)]) -> Result<Wish, Failure> {
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

fn content_type(format: Format) -> &'static str {
    match format {
        Format::IonText => "text/x-amzn-ion",
        Format::IonBinary => "application/x-amzn-ion",
        Format::Json => "application/x-ndjson",
    }
}
