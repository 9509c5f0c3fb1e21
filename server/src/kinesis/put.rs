//! Kinesis' `PutRecords` (Amazon Kinesis Data Streams API, 2013-12-02): records in, and for each whether it was taken.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use ledgerstone_digest::Hash;
use serde::{Deserialize, Serialize};

use super::record::{Entry, RECORD_BYTES};
use crate::aws::signature::{Canonical, Scope, authorization, time_text};
use crate::aws::{Connection, Credentials, Endpoint, Roots};

/// Records in one call.
const CALL_RECORDS_MAX: usize = 500;
/// Bytes in one call, partition keys included; Kinesis' own limit is 5 MiB.
const CALL_BYTES: usize = 4 << 20;
/// Characters of an endpoint's words that are kept.
const WORDS_MAX: usize = 300;

/// A Kinesis that the operator named, and the keys for it.
#[derive(Clone)]
pub struct Kinesis {
    pub endpoint: Endpoint,
    /// Unused without TLS.
    pub roots: Option<Roots>,
    pub credentials: Credentials,
    /// What requests are signed for; `None`: the region of each stream's ARN.
    pub region: Option<String>,
}

/// A stream of Kinesis, by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    arn: String,
    region: String,
    name: String,
}

/// Puts records into one stream.
pub struct Putter {
    connection: Connection,
    host: String,
    credentials: Credentials,
    region: String,
    target: Target,
}

/// Why nothing of a call was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    /// For the log and the stream's description.
    pub words: String,
}

/// What helps against a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such stream.
    NoStream,
    /// The keys are not known, or may not do this.
    Denied,
    /// Patience.
    Throttled,
    /// The call itself is not accepted.
    Invalid,
    /// The endpoint cannot be reached, or does not work.
    Unavailable,
}

/// Why a record of a call was not taken, though others may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    pub throttled: bool,
    pub words: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<'a> {
    records: Vec<PutRecord<'a>>,
    #[serde(rename = "StreamARN")]
    stream_arn: &'a str,
    stream_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<'a> {
    data: String,
    partition_key: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    records: Vec<AnswerRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnswerRecord {
    error_code: Option<String>,
    error_message: Option<String>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Target {
    /// `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`.
    pub fn of_arn(arn: &str) -> Option<Target> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let ["arn", partition, "kinesis", region, account, resource] = arn.splitn(6, ':').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let name = resource.strip_prefix("stream/")?;
        let named = (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        let account_good = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let good = partition.starts_with("aws") && plain(partition) && plain(region) && account_good && named;
        good.then(|| Target { arn: arn.to_owned(), region: region.to_owned(), name: name.to_owned() })
    }
}

/// How many of these, from the first on, go into one call: at least one. A record above the usual size has one to itself,
/// so that nothing else is refused with it.
pub fn call_length(entries: &[Entry]) -> usize {
    let large = |entry: &Entry| entry.bytes() > RECORD_BYTES;
    let mut bytes = 0;
    let fits = |(at, entry): &(usize, &Entry)| {
        bytes += entry.bytes();
        *at == 0 || bytes <= CALL_BYTES && !large(entry) && !large(&entries[0])
    };
    entries.iter().take(CALL_RECORDS_MAX).enumerate().take_while(fits).count()
}

impl Putter {
    pub fn new(kinesis: &Kinesis, target: Target) -> Putter {
        Putter {
            connection: Connection::new(kinesis.endpoint.clone(), kinesis.roots.clone()),
            host: kinesis.endpoint.authority().to_owned(),
            credentials: kinesis.credentials.clone(),
            region: kinesis.region.clone().unwrap_or_else(|| target.region.clone()),
            target,
        }
    }

    /// One call. For each record `None` if it was taken.
    pub async fn put(&mut self, entries: &[Entry], now_ms: i64) -> Result<Vec<Option<NotTaken>>, Refusal> {
        let request = self.request(entries, now_ms).ok_or_else(|| Refusal {
            kind: Kind::Invalid,
            words: "the request cannot be signed: the keys or the endpoint are no text that can be sent".to_owned(),
        })?;
        let sent = self.connection.send(request).await;
        let unavailable = |error: &dyn fmt::Display| Refusal { kind: Kind::Unavailable, words: shorten(error) };
        let response = sent.map_err(|error| unavailable(&error))?;
        if !response.status.is_success() {
            return Err(refusal(response.status, &response.headers, &response.body));
        }
        let answer: Answer = serde_json::from_slice(&response.body).map_err(|error| unavailable(&error))?;
        if answer.records.len() != entries.len() {
            let words = format!("{} records were sent and {} answered for", entries.len(), answer.records.len());
            return Err(Refusal { kind: Kind::Unavailable, words });
        }
        Ok(answer.records.into_iter().map(AnswerRecord::not_taken).collect())
    }

    fn request(&self, entries: &[Entry], now_ms: i64) -> Option<Request<Full<Bytes>>> {
        let record = |entry: &Entry| STANDARD.encode(&entry.data);
        let records =
            entries.iter().map(|entry| PutRecord { data: record(entry), partition_key: &entry.key }).collect();
        let (stream_arn, stream_name) = (self.target.arn.as_str(), self.target.name.as_str());
        let body = serde_json::to_vec(&PutRecords { records, stream_arn, stream_name }).ok()?;
        let time = time_text(now_ms);
        let mut headers = HeaderMap::new();
        let mut put = |name, value: &str| Some(headers.insert(name, HeaderValue::from_str(value).ok()?));
        put(header::CONTENT_TYPE, "application/x-amz-json-1.1")?;
        put(header::HOST, &self.host)?;
        put(HeaderName::from_static("x-amz-date"), &time)?;
        let mut signed = vec!["content-type", "host", "x-amz-date"];
        if let Some(token) = self.credentials.session_token() {
            put(HeaderName::from_static("x-amz-security-token"), token)?;
            signed.push("x-amz-security-token");
        }
        put(HeaderName::from_static("x-amz-target"), "Kinesis_20131202.PutRecords")?;
        signed.push("x-amz-target");
        let body_hash = Hash::sha256(&[&body]).to_string();
        let canonical = Canonical {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            signed: &signed,
            body_hash: &body_hash,
        };
        let scope = Scope { date: time.get(..8)?, region: &self.region, service: "kinesis" };
        let authorization = authorization(&self.credentials, &scope, &time, &canonical)?;
        let mut authorization = HeaderValue::from_str(&authorization).ok()?;
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        Some(request)
    }
}

impl AnswerRecord {
    fn not_taken(self) -> Option<NotTaken> {
        let code = self.error_code?;
        let words = shorten(&format!("{code}: {}", self.error_message.as_deref().unwrap_or("")));
        Some(NotTaken { throttled: kind_of(&code) == Some(Kind::Throttled), words })
    }
}

/// What an answer that is no success says.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let said: Option<AnswerError> = serde_json::from_slice(body).ok();
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (kind, message) = said.map_or((None, None), |error| (error.kind, error.message));
    // `prefix#Name` in a body, `Name:http://…` in a header.
    let name = kind.or(header).unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or("").split(':').next().unwrap_or("").to_owned();
    let by_status = match status.as_u16() {
        401 | 403 => Kind::Denied,
        429 => Kind::Throttled,
        400..500 => Kind::Invalid,
        _ => Kind::Unavailable,
    };
    let words = format!("{status} {name}: {}", message.unwrap_or_default());
    Refusal { kind: kind_of(&name).unwrap_or(by_status), words: shorten(&words) }
}

/// By the names of Kinesis' errors and of those that all of AWS's services have.
fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "ResourceNotFoundException" => Some(Kind::NoStream),
        "AccessDeniedException"
        | "AccessDenied"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "KMSAccessDeniedException"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Some(Kind::Denied),
        "KMSThrottlingException"
        | "LimitExceededException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException" => Some(Kind::Throttled),
        _ => None,
    }
}

/// What an endpoint says goes into the log: one line of it, and no more than that.
fn shorten(words: &dyn fmt::Display) -> String {
    let words = words.to_string();
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        Entry { key: "k".to_owned(), data: vec![0; bytes - 1].into(), records: 1, block: None }
    }

    #[test]
    fn a_call_keeps_to_the_limits_of_kinesis() {
        let length = |sizes: &[usize]| call_length(&sizes.iter().map(|bytes| entry(*bytes)).collect::<Vec<_>>());
        assert_eq!(length(&[1; 501]), 500);
        assert_eq!(length(&[]), 0);
        assert_eq!(length(&[RECORD_BYTES; 6]), 4);
        assert_eq!(length(&[RECORD_BYTES + 1, 1]), 1, "a large one is alone");
        assert_eq!(length(&[1, RECORD_BYTES + 1, 1]), 1);
        assert_eq!(length(&[9 << 20]), 1);
    }

    #[test]
    fn targets_are_arns_of_streams() {
        let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b_c-D";
        let target = Target::of_arn(arn).unwrap();
        assert_eq!((target.arn.as_str(), target.region.as_str(), target.name.as_str()), (arn, "cn-north-1", "a.b_c-D"));
        for bad in [
            "",
            "a",
            "http://127.0.0.1/",
            "arn:aws:sqs:us-east-1:123456789012:stream/a",
            "arn:aws:kinesis::123456789012:stream/a",
            "arn:aws:kinesis:us-east-1:12345678901:stream/a",
            "arn:aws:kinesis:us-east-1:123456789012:stream/",
            "arn:aws:kinesis:us-east-1:123456789012:stream/a/b",
            "arn:aws:kinesis:us-east-1\n:123456789012:stream/a",
        ] {
            assert_eq!(Target::of_arn(bad), None, "{bad}");
        }
    }

    #[test]
    fn refusals_are_told_apart_by_their_names() {
        let kind = |status: u16, header: Option<&str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("x-amzn-errortype", header.parse().unwrap());
            }
            refusal(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes()).kind
        };
        let named = |name: &str| kind(400, None, &format!("{{\"__type\":\"{name}\",\"message\":\"m\"}}"));
        assert_eq!(named("ResourceNotFoundException"), Kind::NoStream);
        assert_eq!(named("com.amazonaws.kinesis.v20131202#ResourceNotFoundException"), Kind::NoStream);
        assert_eq!(named("AccessDeniedException"), Kind::Denied);
        assert_eq!(named("UnrecognizedClientException"), Kind::Denied);
        assert_eq!(named("ProvisionedThroughputExceededException"), Kind::Throttled);
        assert_eq!(named("ValidationException"), Kind::Invalid);
        assert_eq!(kind(400, Some("AccessDeniedException:http://a"), ""), Kind::Denied);
        assert_eq!(kind(403, None, "<html>"), Kind::Denied);
        assert_eq!(kind(413, None, ""), Kind::Invalid);
        assert_eq!(kind(429, None, ""), Kind::Throttled);
        assert_eq!(kind(500, None, ""), Kind::Unavailable);
        assert_eq!(kind(302, None, ""), Kind::Unavailable);
        let refused = refusal(StatusCode::BAD_REQUEST, &HeaderMap::new(), b"{\"__type\":\"A\",\"Message\":\"b\\nc\"}");
        assert_eq!(refused.words, "400 Bad Request A: b c");
    }
}
