//! AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request"): what of a request is signed, and
//! with which key. Requests are signed here; who verifies one compares in constant time (`qldb::access`).

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use ledgerstone_digest::Hash;
use ledgerstone_digest::block::native_time;
use ledgerstone_digest::ion::{Value, to_text};
use sha2::Sha256;

use super::Credentials;

pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The last part of every scope.
pub const TERMINATOR: &str = "aws4_request";

/// What a signature is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Such as 20260102.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// A request, as far as it is signed.
pub struct Canonical<'a> {
    pub method: &'a str,
    /// Encoded as the service wants it signed.
    pub path: &'a str,
    /// Members encoded and sorted.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// The names of the signed headers in lower case, sorted.
    pub signed: &'a [&'a str],
    pub body_hash: &'a str,
}

impl Scope<'_> {
    /// As it stands in a credential.
    pub fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }

    /// What signs within this scope, fed with what is signed at `time`.
    pub fn mac(&self, secret: &str, time: &str, canonical: &str) -> Option<Hmac<Sha256>> {
        let chain = [self.date, self.region, self.service, TERMINATOR];
        let key = chain.iter().try_fold(format!("AWS4{secret}").into_bytes(), |key, part| derive(&key, part))?;
        let hash = Hash::sha256(&[canonical.as_bytes()]);
        let to_sign = format!("{ALGORITHM}\n{time}\n{}\n{hash}", self.text());
        Some(mac(&key)?.chain_update(to_sign))
    }
}

impl Canonical<'_> {
    /// The text whose hash is signed; `None` if a signed header is missing or no text.
    pub fn text(&self) -> Option<String> {
        let mut lines = String::new();
        for name in self.signed {
            let values = self.headers.get_all(*name);
            let values: Option<Vec<&str>> = values.iter().map(|value| value.to_str().ok()).collect();
            let values = values.filter(|values| !values.is_empty())?;
            let values: Vec<String> =
                values.iter().map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            lines.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        let Canonical { method, path, query, signed, body_hash, .. } = self;
        Some(format!("{method}\n{path}\n{query}\n{lines}\n{}\n{body_hash}", signed.join(";")))
    }
}

/// The header `Authorization` of a request that is signed with these keys. `None` if a header is missing that `signed` names.
pub fn authorization(
    credentials: &Credentials,
    scope: &Scope<'_>,
    time: &str,
    request: &Canonical<'_>,
) -> Option<String> {
    let mac = scope.mac(credentials.secret(), time, &request.text()?)?;
    let signature = Hash::from_slice(&mac.finalize().into_bytes())?;
    let (key, signed) = (credentials.key_id(), request.signed.join(";"));
    Some(format!("{ALGORITHM} Credential={key}/{}, SignedHeaders={signed}, Signature={signature}", scope.text()))
}

/// A time as it is signed, such as 20260102T030405Z.
pub fn time_text(epoch_ms: i64) -> String {
    let text = to_text(&Value::Timestamp(native_time(epoch_ms)));
    let mut text: String = text.chars().take_while(|c| *c != '.').filter(|c| !matches!(c, '-' | ':')).collect();
    text.push('Z');
    text
}

fn mac(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

fn derive(key: &[u8], text: &str) -> Option<Vec<u8>> {
    Some(mac(key)?.chain_update(text).finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TIME: &str = "20150830T123600Z";

    /// Signs a request of AWS's own collection of signed requests, to `service` in us-east-1.
    fn signature(method: &str, headers: &[(&'static str, &str)], body: &[u8], scope: Scope<'_>) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        signed.dedup();
        let body_hash = Hash::sha256(&[body]).to_string();
        let request = Canonical { method, path: "/", query: "", headers: &map, signed: &signed, body_hash: &body_hash };
        let credentials = Credentials::new("AKIDEXAMPLE", SECRET, None);
        let header = authorization(&credentials, &scope, TIME, &request).unwrap();
        let (start, signature) = header.rsplit_once("Signature=").unwrap();
        assert_eq!(
            start,
            format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}, SignedHeaders={}, ", scope.text(), signed.join(";"))
        );
        signature.to_owned()
    }

    #[test]
    fn published_requests_get_the_published_signatures() {
        let scope = Scope { date: "20150830", region: "us-east-1", service: "service" };
        let (host, date) = (("host", "example.amazonaws.com"), ("x-amz-date", TIME));
        assert_eq!(
            signature("GET", &[host, date], b"", scope),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            "get-vanilla"
        );
        assert_eq!(
            signature("POST", &[host, date], b"", scope),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            "post-vanilla"
        );
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(
            signature("POST", &[form, host, date], b"Param1=value1", scope),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            "post-x-www-form-urlencoded"
        );
        let values = [("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")];
        let headers = [host, values[0], values[1], values[2], date];
        assert_eq!(
            signature("GET", &headers, b"", scope),
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            "get-header-key-duplicate"
        );
    }

    #[test]
    fn a_call_to_kinesis_is_signed_as_botocore_signs_it() {
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "127.0.0.1:4566"),
            ("x-amz-date", TIME),
            ("x-amz-security-token", "a token"),
            ("x-amz-target", "Kinesis_20131202.PutRecords"),
        ];
        let scope = Scope { date: "20150830", region: "eu-west-1", service: "kinesis" };
        assert_eq!(
            signature("POST", &headers, b"{\"Records\":[]}", scope),
            "6d396d4d3ae21343e7d239a10fe4e2644edf6615654677ef497d7f1e343586ee"
        );
    }

    #[test]
    fn times_are_written_as_they_are_signed() {
        assert_eq!(time_text(0), "19700101T000000Z");
        assert_eq!(time_text(1_440_938_160_999), TIME);
    }
}
