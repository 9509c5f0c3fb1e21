//! What is looked at before anything else of a request: that it is no web page's, and, before a body is read, that the caller
//! may come in at all.
//!
//! The port is on loopback, where every browser of the machine can send to it as well. A page of any site may post to it
//! without asking (fetch standard, "CORS protocol": what needs no preflight), and one whose host name is pointed at 127.0.0.1
//! after it was loaded may even read the answers. Browsers say where a request comes from, and what name they connected to.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tonic::Status;
use tonic::metadata::MetadataMap;

const FETCH_SITE: &str = "sec-fetch-site";

/// Refuses requests that a browser sends for a web page; and, where callers prove nothing, those to a name that is not this
/// machine's own.
pub async fn refuse_pages(State(anyone): State<bool>, request: Request, next: Next) -> Response {
    match complaint(request.uri(), request.headers(), anyone) {
        Some(what) => refused(request.headers(), Status::permission_denied(what)),
        None => next.run(request).await,
    }
}

/// Decides by a request's path and headers whether its body is worth reading.
pub type Admit = dyn Fn(&str, &MetadataMap) -> Result<(), Status> + Send + Sync;

/// Asks who calls before a message is read and decoded, which may take many times its size.
pub async fn admit_first(State(admit): State<Arc<Admit>>, request: Request, next: Next) -> Response {
    let metadata = MetadataMap::from_headers(request.headers().clone());
    match admit(request.uri().path(), &metadata) {
        Ok(()) => next.run(request).await,
        Err(status) => refused(request.headers(), status),
    }
}

fn complaint(uri: &Uri, headers: &HeaderMap, anyone: bool) -> Option<String> {
    let site = headers.get(FETCH_SITE).map(|site| site.as_bytes());
    if headers.contains_key(header::ORIGIN) || site.is_some_and(|site| !matches!(site, b"none" | b"same-origin")) {
        return Some("web pages are not served here: the request has an Origin".to_owned());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(host)?;
    (anyone && !is_loopback(host)).then(|| {
        let shown: String = host.chars().take(100).collect();
        format!(
            "this server lets everybody in and so answers to localhost alone, not to \"{shown}\"; \
             to be reached by another name, start it with --users"
        )
    })
}

/// `HOST` or `HOST:PORT`.
fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let address = rest.split_once(']').map(|(address, _)| address);
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()));
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// As the caller's protocol has it.
fn refused(headers: &HeaderMap, status: Status) -> Response {
    let grpc = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return status.into_http();
    }
    (StatusCode::FORBIDDEN, format!("{}\n", status.message())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, headers: &[(&'static str, &str)], anyone: bool) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        complaint(&uri.parse().unwrap(), &headers, anyone)
    }

    #[test]
    fn what_a_browser_sends_for_a_page_is_refused() {
        for anyone in [true, false] {
            assert!(asked("/", &[("origin", "https://evil.example")], anyone).is_some());
            assert!(asked("/", &[("origin", "null")], anyone).is_some());
            assert!(asked("/", &[("sec-fetch-site", "cross-site"), ("host", "localhost:7430")], anyone).is_some());
            assert!(asked("/metrics", &[("sec-fetch-site", "none"), ("host", "localhost:7430")], anyone).is_none());
        }
    }

    #[test]
    fn where_callers_prove_nothing_only_this_machines_own_names_are_answered() {
        for own in
            ["localhost", "localhost:7430", "LOCALHOST.", "db.localhost:1", "127.0.0.1:7430", "127.8.0.1", "[::1]:7430"]
        {
            assert!(asked("/", &[("host", own)], true).is_none(), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:7430",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "[::2]:1",
            "[",
            "",
        ] {
            assert!(asked("/", &[("host", other)], true).is_some(), "{other}");
            assert!(asked("/", &[("host", other)], false).is_none(), "{other}");
        }
        assert!(asked("http://evil.example/x", &[("host", "localhost")], true).is_some());
    }
}
