//! The control API: ledgers, tags, digests and proofs, as REST with JSON (docs/compatibility.md, "The control API").
//!
//! | module | what lives there |
//! |---|---|
//! | `wire` | requests and answers as JSON |
//! | `ledgers` | ledgers made, described, changed and deleted, and their tags |
//! | `proofs` | digest, blocks and revisions with their proofs |

mod ledgers;
mod proofs;
mod wire;

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::Method;
use axum::http::request::Parts;
use ledgerstone_journal::Ledger;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::permission::{Action, Resource};
use tokio::sync::OwnedSemaphorePermit;

use super::access::{self, Request};
use super::failure::{Failure, denied};
use super::streams::plain::Wish;
use super::{Shared, uri};

/// Of what a request asks for.
struct Call<'a> {
    shared: &'a Shared,
    user: &'a str,
    /// The region that the caller signed for: it stands in ARNs.
    region: &'a str,
    query: Vec<(String, String)>,
    body: &'a Bytes,
}

/// Answers one request; the answer's body.
pub fn answer(shared: &Shared, parts: &Parts, body: &Bytes) -> Result<String, Failure> {
    let (user, segments) = admit(shared, parts, body)?;
    let call = Call::new(shared, &user, parts, body)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    match (method, &segments[..]) {
        ("POST", ["ledgers"]) => call.create_ledger(),
        ("GET", ["ledgers"]) => call.list_ledgers(),
        ("GET", ["ledgers", name]) => call.describe_ledger(name),
        ("PATCH", ["ledgers", name]) => call.update_ledger(name),
        ("PATCH", ["ledgers", name, "permissions-mode"]) => call.update_permissions_mode(name),
        ("DELETE", ["ledgers", name]) => call.delete_ledger(name),
        ("POST", ["ledgers", name, "digest"]) => call.digest(name),
        ("POST", ["ledgers", name, "block"]) => call.block(name),
        ("POST", ["ledgers", name, "revision"]) => call.revision(name),
        ("GET", ["tags", arn @ ..]) => call.tags(&arn.join("/")),
        ("POST", ["tags", arn @ ..]) => call.tag(&arn.join("/")),
        ("DELETE", ["tags", arn @ ..]) => call.untag(&arn.join("/")),
        _ => Err(Failure::no_such_operation(format!("there is no operation {method} {path}"))),
    }
}

/// Whether a request is for a stream, which is no operation of QLDB's and has no JSON as its answer.
pub fn is_stream(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.uri.path().ends_with("/journal-stream")
}

/// What a stream needs: the ledger, the name that it is streamed under, what was asked for, and a permit.
pub fn stream(
    shared: &Shared,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Arc<Ledger>, String, Wish, OwnedSemaphorePermit), Failure> {
    let (user, segments) = admit(shared, parts, body)?;
    let call = Call::new(shared, &user, parts, body)?;
    let [_, name, _] = &segments[..] else {
        return Err(Failure::no_such_operation("a stream is GET /ledgers/NAME/journal-stream"));
    };
    call.permit(name, Action::StreamJournal)?;
    let wish = Wish::of(&call.query)?;
    let database = shared.instance.ledger(name).map_err(|error| of_ledger(error, name))?;
    let permit = Arc::clone(&shared.http_streams).try_acquire_owned();
    let permit = permit.map_err(|_| Failure::too_many("Stream", "as many streams are open as allowed; close some"))?;
    Ok((Arc::clone(database.ledger()), call.arn(name), wish, permit))
}

/// Who calls, and the parts of the path.
fn admit(shared: &Shared, parts: &Parts, body: &Bytes) -> Result<(String, Vec<String>), Failure> {
    let (method, path, headers) = (parts.method.as_str(), parts.uri.path(), &parts.headers);
    let query = parts.uri.query().unwrap_or("");
    let user = shared.options.door.admit(&Request { method, path, query, headers, body })?;
    let segments = uri::segments(path).ok_or_else(|| Failure::invalid_parameter("path", "the path is not UTF-8"))?;
    Ok((user, segments))
}

impl<'a> Call<'a> {
    fn new(shared: &'a Shared, user: &'a str, parts: &'a Parts, body: &'a Bytes) -> Result<Call<'a>, Failure> {
        let query = uri::members(parts.uri.query().unwrap_or(""));
        let query = query.ok_or_else(|| Failure::invalid_parameter("query", "the query is not UTF-8"))?;
        Ok(Call { shared, user, region: access::region(&parts.headers), query, body })
    }

    fn member(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses what a policy does not allow.
    fn permit(&self, ledger: &str, action: Action) -> Result<(), Failure> {
        match self.shared.instance.operator_permit(ledger, self.user) {
            Some(permit) => permit.check(action, Resource::Ledger).map_err(|error| denied(&error)),
            None => Ok(()),
        }
    }

    fn arn(&self, ledger: &str) -> String {
        format!("arn:aws:qldb:{}:{}:ledger/{ledger}", self.region, wire::ACCOUNT)
    }
}

/// A failure about a ledger, by the names of this API.
fn of_ledger(error: QueryError, ledger: &str) -> Failure {
    let message = super::failure::message(&error);
    match error.code {
        SqlState::INVALID_CATALOG_NAME => Failure::not_found("Ledger", ledger, message),
        SqlState::DUPLICATE_DATABASE => Failure::already_exists("Ledger", ledger, message),
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => Failure::precondition_not_met("Ledger", ledger, message),
        SqlState::OBJECT_IN_USE => Failure::in_use("Ledger", ledger, message),
        SqlState::INVALID_PARAMETER_VALUE => Failure::invalid_parameter("Name", message),
        SqlState::DISK_FULL | SqlState::SHUTDOWN => Failure::unavailable(message),
        _ => Failure::internal(message),
    }
}
