//! The session API: `POST /` with `QLDBSession.SendCommand` (docs/compatibility.md, "The session API").
//!
//! | module | what lives there |
//! |---|---|
//! | `wire` | commands and answers as JSON |
//! | `sessions` | open sessions, and how long they and their transactions live |
//! | `conversation` | one session: its transaction, statements, pages and commit digest |

mod conversation;
mod sessions;
mod wire;

use axum::body::Bytes;
use axum::http::HeaderMap;

use super::access::Request;
use super::failure::{self, Failure};
use super::{Limits, Shared};
pub use sessions::Registry;

const TARGET: &str = "QLDBSession.SendCommand";

/// Answers one command; the answer's body.
pub async fn answer(shared: &Shared, headers: &HeaderMap, body: &Bytes) -> Result<String, Failure> {
    if headers.get("x-amz-target").is_none_or(|target| target.as_bytes() != TARGET.as_bytes()) {
        return Err(Failure::unknown_operation());
    }
    let request = Request { method: "POST", path: "/", query: "", headers, body };
    let user = shared.options.door.admit(&request)?;
    let command = wire::read(body)?;
    sessions::run(shared, &user, command).await
}
