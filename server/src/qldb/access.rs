//! Who calls: AWS Signature Version 4, as every SDK signs, with access keys of this server's own.
//!
//! A file has a line for each key: its id, its secret, and the user it stands for (the id, if nothing is there). Without a
//! file everybody is welcome on loopback, unless the server has users: then nobody is. Source: AWS General Reference,
//! "Create a signed AWS API request".

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use hmac::Mac as _;
use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{Limits, Value, parse};

use super::failure::Failure;
use super::uri;
use crate::aws::signature::{ALGORITHM, Canonical, Scope, TERMINATOR};
use crate::trusted_file::{FileError, read_secret};

const SERVICE: &str = "qldb";
/// How far the signer's clock may be off.
const SKEW_SECONDS_MAX: u64 = 300;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The user of a server without users and keys.
const ANYONE: &str = "qldb";

/// Why the access keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessKeyError {
    #[error("--access-keys: the access keys {0}")]
    File(#[from] FileError),
    #[error("--access-keys {}, line {line}: {what}", path.display())]
    Line { path: PathBuf, line: usize, what: &'static str },
}

/// Access keys and whom they stand for. Secrets are never shown.
pub struct AccessKeys(HashMap<String, Key>);

struct Key {
    secret: String,
    user: String,
}

/// Who may come in.
pub enum Door {
    /// Everybody: the port is on loopback.
    Open,
    /// Nobody: the server has users, and this API has no keys.
    Closed,
    Keys(AccessKeys),
}

/// A request, as far as it is signed.
pub struct Request<'a> {
    pub method: &'a str,
    /// As it was sent.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// What the header `Authorization` says.
struct Authorization<'a> {
    key_id: &'a str,
    date: &'a str,
    region: &'a str,
    signed: Vec<&'a str>,
    signature: Hash,
}

impl AccessKeys {
    pub fn read(path: &Path) -> Result<AccessKeys, AccessKeyError> {
        let text = read_secret(path, FILE_BYTES_MAX)?;
        AccessKeys::parse(&text).map_err(|(line, what)| AccessKeyError::Line { path: path.to_owned(), line, what })
    }

    fn parse(text: &str) -> Result<AccessKeys, (usize, &'static str)> {
        let mut keys = HashMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let (id, secret, user) = match words[..] {
                [] => continue,
                [first, ..] if first.starts_with('#') => continue,
                [id, secret] => (id, secret, id),
                [id, secret, user] => (id, secret, user),
                _ => return Err((line, "give a key id, a secret and, if you like, a user")),
            };
            if secret.len() < 16 {
                return Err((line, "the secret is too short: take 16 characters at least"));
            }
            let key = Key { secret: secret.to_owned(), user: user.to_owned() };
            if keys.insert(id.to_owned(), key).is_some() {
                return Err((line, "the key id was there before"));
            }
        }
        match keys.is_empty() {
            true => Err((1, "there is no access key")),
            false => Ok(AccessKeys(keys)),
        }
    }
}

impl Door {
    /// Refuses what need not be read: the headers alone say that nobody has signed it, or nobody who is known here. Which keys
    /// there are is no secret, and a body may be long.
    pub fn knock(&self, headers: &HeaderMap) -> Result<(), Failure> {
        match self {
            Door::Open => Ok(()),
            Door::Closed => Err(closed()),
            Door::Keys(keys) => {
                let (authorization, _) = signed_headers(headers, now_seconds())?;
                match keys.0.contains_key(authorization.key_id) {
                    true => Ok(()),
                    false => Err(unknown()),
                }
            }
        }
    }

    /// The user who signed this request.
    pub fn admit(&self, request: &Request<'_>) -> Result<String, Failure> {
        match self {
            Door::Open => Ok(ANYONE.to_owned()),
            Door::Closed => Err(closed()),
            Door::Keys(keys) => keys.verify(request, now_seconds()),
        }
    }
}

impl AccessKeys {
    fn verify(&self, request: &Request<'_>, now: u64) -> Result<String, Failure> {
        let (authorization, time) = signed_headers(request.headers, now)?;
        let hash = Hash::sha256(&[request.body]).to_string();
        if header(request.headers, "x-amz-content-sha256").is_some_and(|told| told != hash) {
            return Err(wrong("X-Amz-Content-SHA256 is not that of the body"));
        }
        let canonical = request
            .canonical(&authorization.signed, &hash)
            .ok_or_else(|| wrong("a signed header is missing, or the query is not UTF-8"))?;
        let scope = Scope { date: authorization.date, region: authorization.region, service: SERVICE };
        let key = self.0.get(authorization.key_id).ok_or_else(unknown)?;
        let mac = scope.mac(&key.secret, time, &canonical);
        match mac.is_some_and(|mac| mac.verify_slice(&authorization.signature.0).is_ok()) {
            true => Ok(key.user.clone()),
            false => Err(Failure::unauthorized(
                "InvalidSignatureException",
                "the signature is not that of this access key and this request",
            )),
        }
    }
}

/// What the headers say of the signature, and the time at which it was made.
fn signed_headers(headers: &HeaderMap, now: u64) -> Result<(Authorization<'_>, &str), Failure> {
    let Some(given) = header(headers, "authorization") else {
        return Err(Failure::unauthorized("MissingAuthenticationTokenException", "the request is not signed"));
    };
    let authorization = Authorization::parse(given).ok_or_else(|| wrong("Authorization cannot be read"))?;
    let time = header(headers, "x-amz-date").ok_or_else(|| wrong("X-Amz-Date is missing"))?;
    let signed_at = seconds(time).ok_or_else(|| wrong("X-Amz-Date is not a time such as 20260102T030405Z"))?;
    if !time.starts_with(authorization.date) {
        return Err(wrong("the credential's date is not that of X-Amz-Date"));
    }
    if signed_at.abs_diff(now) > SKEW_SECONDS_MAX {
        return Err(Failure::unauthorized(
            "RequestTimeTooSkewed",
            format!("the request's time is {} s off; set the clock right", signed_at.abs_diff(now)),
        ));
    }
    if !["host", "x-amz-date"].iter().all(|name| authorization.signed.contains(name)) {
        return Err(wrong("Host and X-Amz-Date must be signed"));
    }
    Ok((authorization, time))
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn wrong(what: &str) -> Failure {
    Failure::unauthorized("IncompleteSignatureException", what)
}

fn unknown() -> Failure {
    Failure::unauthorized("UnrecognizedClientException", "this server has no such access key")
}

fn closed() -> Failure {
    Failure::unauthorized(
        "AccessDeniedException",
        "this server has users, and no access keys for this API: start it with --access-keys FILE",
    )
}

impl<'a> Authorization<'a> {
    /// `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/qldb/aws4_request, SignedHeaders=a;b, Signature=hex`
    fn parse(header: &'a str) -> Option<Authorization<'a>> {
        let fields = header.strip_prefix(ALGORITHM)?.trim();
        let field = |name: &str| {
            let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name))?;
            found.strip_prefix('=')
        };
        let mut scope = field("Credential")?.rsplitn(5, '/');
        let (end, service) = (scope.next()?, scope.next()?);
        let (region, date, key_id) = (scope.next()?, scope.next()?, scope.next()?);
        if end != TERMINATOR || service != SERVICE {
            return None;
        }
        let signed: Vec<&str> = field("SignedHeaders")?.split(';').collect();
        Some(Authorization { key_id, date, region, signed, signature: field("Signature")?.parse().ok()? })
    }
}

/// The region that a request was signed for, whether or not the signature holds.
pub fn region(headers: &HeaderMap) -> &str {
    let region = header(headers, "authorization")
        .and_then(Authorization::parse)
        .map_or("", |authorization| authorization.region);
    let plain = !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain { region } else { "us-east-1" }
}

impl Request<'_> {
    /// The request as it is signed.
    fn canonical(&self, signed: &[&str], body_hash: &str) -> Option<String> {
        let (path, query) = (uri::signed_path(self.path), uri::signed_query(self.query)?);
        let (method, headers) = (self.method, self.headers);
        Canonical { method, path: &path, query: &query, headers, signed, body_hash }.text()
    }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since 1970 of `20260102T030405Z`, which lacks only the signs between that Ion wants.
fn seconds(time: &str) -> Option<u64> {
    let (date, clock) = time.strip_suffix('Z').filter(|t| t.len() == 15)?.split_once('T')?;
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..8)?);
    let (hour, minute, second) = (clock.get(..2)?, clock.get(2..4)?, clock.get(4..6)?);
    match parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"), &Limits::DOCUMENT) {
        Ok(Value::Timestamp(time)) => u64::try_from(time.epoch_seconds()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn keys() -> AccessKeys {
        AccessKeys::parse(&format!("# comment\n\nAKIDEXAMPLE {SECRET} clerk\nOTHER 0123456789abcdef\n")).unwrap()
    }

    fn request<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Request<'a> {
        Request { method: "POST", path: "/", query: "", headers, body }
    }

    /// Signs as a client does, step by step.
    fn signed(body: &[u8], time: &str, secret: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost:7430".parse().unwrap());
        headers.insert("x-amz-date", time.parse().unwrap());
        headers.insert("x-amz-target", "QLDBSession.SendCommand".parse().unwrap());
        let names = ["host", "x-amz-date", "x-amz-target"];
        let canonical = request(&headers, body).canonical(&names, &Hash::sha256(&[body]).to_string()).unwrap();
        let scope = Scope { date: &time[..8], region: "us-east-1", service: "qldb" };
        let signature =
            Hash::from_slice(&scope.mac(secret, time, &canonical).unwrap().finalize().into_bytes()).unwrap();
        let (scope, names) = (scope.text(), names.join(";"));
        let header =
            format!("{ALGORITHM} Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}");
        headers.insert("authorization", header.parse().unwrap());
        headers
    }

    #[test]
    fn what_was_signed_comes_in_and_nothing_else() {
        let (keys, time) = (keys(), "20260102T030405Z");
        let now = seconds(time).unwrap();
        let good = signed(b"{}", time, SECRET);
        assert_eq!(keys.verify(&request(&good, b"{}"), now + 299), Ok("clerk".to_owned()));
        assert!(keys.verify(&request(&good, b"{ }"), now).is_err(), "another body");
        assert!(keys.verify(&request(&good, b"{}"), now + 301).is_err(), "too late");
        assert!(keys.verify(&request(&good, b"{}"), now - 301).is_err(), "too early");
        assert!(keys.verify(&request(&signed(b"{}", time, "another secret of somebody"), b"{}"), now).is_err());
        for (name, value) in
            [("x-amz-target", "QLDBSession.Other"), ("host", "elsewhere"), ("x-amz-date", "20260102T030406Z")]
        {
            let mut changed = good.clone();
            changed.insert(name, value.parse().unwrap());
            assert!(keys.verify(&request(&changed, b"{}"), now).is_err(), "{name}");
        }
        for changed in [("GET", "/", ""), ("POST", "/ledgers", ""), ("POST", "/", "a=b")] {
            let (method, path, query) = changed;
            let request = Request { method, path, query, ..request(&good, b"{}") };
            assert!(keys.verify(&request, now).is_err(), "{changed:?}");
        }
        let mut removed = good.clone();
        removed.remove("authorization");
        assert!(keys.verify(&request(&removed, b"{}"), now).is_err());
        let header = good.get("authorization").unwrap().to_str().unwrap();
        for (from, to) in [
            ("AKIDEXAMPLE", "OTHER"),
            ("AKIDEXAMPLE", "NOBODY"),
            ("host;", ""),
            ("qldb/", "s3/"),
            ("us-east-1", "eu-west-1"),
        ] {
            let mut changed = good.clone();
            changed.insert("authorization", header.replace(from, to).parse().unwrap());
            assert!(keys.verify(&request(&changed, b"{}"), now).is_err(), "{from}");
        }
    }

    #[test]
    fn files_of_keys_are_checked() {
        for text in ["", "# nothing\n", "ID short", "ID", "A 0123456789abcdef\nA 0123456789abcdef", "A B C D"] {
            assert!(AccessKeys::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(seconds("19700101T000000Z"), Some(0));
        assert_eq!(seconds("20000229T235959Z"), Some(951_868_799));
        assert_eq!(seconds("20260102T030405Z"), Some(1_767_323_045));
        for text in ["", "20260102T030405", "20261302T030405Z", "20260102 030405Z", "2026010é030405Z"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
