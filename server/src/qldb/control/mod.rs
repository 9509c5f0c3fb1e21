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

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::permission::{Action, Resource};

use super::access::{self, Request};
use super::failure::{Failure, denied};
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
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let query = parts.uri.query().unwrap_or("");
    let headers: &HeaderMap = &parts.headers;
    let user = shared.options.door.admit(&Request { method, path, query, headers, body })?;
    let unreadable = || Failure::invalid_parameter("path", "the request's path or query is not UTF-8");
    let segments = uri::segments(path).ok_or_else(unreadable)?;
    let query = uri::members(query).ok_or_else(unreadable)?;
    let call = Call { shared, user: &user, region: access::region(headers), query, body };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
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

impl Call<'_> {
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
