//! Paths and queries of requests: decoded for who answers, and encoded as they are signed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What AWS leaves as it is when it signs.
const SIGNED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parts of a path, each decoded; `None` if one of them is not UTF-8.
pub fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/').skip(1).map(decode).collect()
}

/// The members of a query, decoded, in the order in which they stand.
pub fn members(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| Some((decode(k)?, decode(v)?))).collect()
}

/// The path as it is signed: each part encoded once more.
pub fn signed_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

/// The query as it is signed: members sorted.
pub fn signed_query(query: &str) -> Option<String> {
    let mut members: Vec<String> =
        members(query)?.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    members.sort_unstable();
    Some(members.join("&"))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, SIGNED).to_string()
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded_and_encoded_for_signing() {
        let arn = "/tags/arn%3Aaws%3Aqldb%3Aus-east-1%3A000000000000%3Aledger%2Fmain";
        assert_eq!(segments(arn).unwrap(), ["tags", "arn:aws:qldb:us-east-1:000000000000:ledger/main"]);
        assert_eq!(segments("/ledgers/a%ff"), None);
        assert!(signed_path(arn).starts_with("/tags/arn%253Aaws"));
        assert_eq!(signed_path("/ledgers/main"), "/ledgers/main");
        let query = "tagKeys=b%20c&tagKeys=a&x";
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(members(query).unwrap(), [pair("tagKeys", "b c"), pair("tagKeys", "a"), pair("x", "")]);
        assert_eq!(signed_query(query).unwrap(), "tagKeys=a&tagKeys=b%20c&x=");
        assert_eq!(signed_query("").unwrap(), "");
    }
}
