//! The control API: ledgers, tags, digests and proofs, as REST with JSON (docs/compatibility.md, "The control API").
//!
//! | module | what lives there |
//! |---|---|
//! | `wire` | requests and answers as JSON |
//! | `ledgers` | ledgers made, described, changed and deleted |
//! | `tags` | tags of ledgers and streams |
//! | `exports` | journal exports to S3 |
//! | `proofs` | digest, blocks and revisions with their proofs |
//! | `stream` | the journal as the body of one answer |
//! | `kinesis` | journal streams to Kinesis |

mod exports;
mod kinesis;
mod ledgers;
mod proofs;
mod stream;
mod tags;
mod wire;

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_journal::Ledger;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::permission::Action;

use super::access::{self, Request};
use super::failure::{Failure, denied};
use super::{Answer, Shared, uri};

/// What one page of a list has, unless less is asked for.
const PAGE_MAX: usize = 100;

/// Of what a request asks for.
struct Call<'a> {
    shared: &'a Shared,
    user: &'a str,
    /// The region that the caller signed for: it stands in ARNs.
    region: &'a str,
    query: Vec<(String, String)>,
    body: &'a Bytes,
}

/// Answers one request.
pub fn answer(shared: &Shared, parts: &Parts, body: &Bytes) -> Result<Answer, Failure> {
    let (method, path, headers) = (parts.method.as_str(), parts.uri.path(), &parts.headers);
    let query = parts.uri.query().unwrap_or("");
    let user = shared.options.door.admit(&Request { method, path, query, headers, body })?;
    let segments = uri::segments(path).ok_or_else(|| Failure::invalid_parameter("path", "the path is not UTF-8"))?;
    let query = uri::members(query);
    let query = query.ok_or_else(|| Failure::invalid_parameter("query", "the query is not UTF-8"))?;
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
        ("POST", ["ledgers", name, "journal-kinesis-streams"]) => call.create_stream(name),
        ("GET", ["ledgers", name, "journal-kinesis-streams"]) => call.list_streams(name),
        ("GET", ["ledgers", name, "journal-kinesis-streams", id]) => call.describe_stream(name, id),
        ("DELETE", ["ledgers", name, "journal-kinesis-streams", id]) => call.cancel_stream(name, id),
        ("POST", ["ledgers", name, "journal-s3-exports"]) => call.export_journal(name),
        ("GET", ["ledgers", name, "journal-s3-exports"]) => call.list_exports_of(name),
        ("GET", ["ledgers", name, "journal-s3-exports", id]) => call.describe_export(name, id),
        ("GET", ["journal-s3-exports"]) => call.list_exports(),
        // No operation of QLDB's: its answer is no JSON.
        ("GET", ["ledgers", name, "journal-stream"]) => return call.stream(name).map(Answer::Stream),
        ("GET", ["tags", arn @ ..]) => call.tags(&arn.join("/")),
        ("POST", ["tags", arn @ ..]) => call.tag(&arn.join("/")),
        ("DELETE", ["tags", arn @ ..]) => call.untag(&arn.join("/")),
        _ => Err(Failure::no_such_operation(format!("there is no operation {method} {path}"))),
    }
    .map(Answer::Whole)
}

impl Call<'_> {
    fn ledger(&self, name: &str) -> Result<Arc<Ledger>, Failure> {
        let database = self.shared.instance.ledger(name).map_err(|error| of_ledger(error, name))?;
        Ok(Arc::clone(database.ledger()))
    }

    fn member(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses what a policy does not allow.
    fn permit(&self, ledger: &str, action: Action) -> Result<(), Failure> {
        self.shared.instance.check_operator(ledger, self.user, action).map_err(|error| denied(&error))
    }

    /// Those of a list that the request asks for, by their keys, and the token for those behind them.
    fn page<T>(&self, mut all: Vec<T>, key: impl Fn(&T) -> String) -> Result<(Vec<T>, Option<String>), Failure> {
        let most = match self.member("max_results") {
            None => PAGE_MAX,
            Some(text) => text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n)).ok_or_else(|| {
                Failure::invalid_parameter("max_results", format!("max_results is from 1 to {PAGE_MAX}"))
            })?,
        };
        let after = self.member("next_token").map(|token| {
            let last = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            last.ok_or_else(|| Failure::invalid_parameter("next_token", "next_token was not given out here"))
        });
        let after = after.transpose()?;
        all.retain(|one| after.as_ref().is_none_or(|after| key(one) > *after));
        all.sort_by_cached_key(&key);
        let more = all.len() > most;
        all.truncate(most);
        let token = all.last().filter(|_| more).map(|last| STANDARD.encode(key(last)));
        Ok((all, token))
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
