//! HTTP/1.1 to one endpoint over a connection that stays open, with TLS (rustls, the system's certificate authorities) or
//! without. One request at a time; whoever wants more takes more connections.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// From the name of the host to a connection that takes requests.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From a request's first byte to its answer's last.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where a service is: scheme, host and port of a URL, which has nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    /// An IPv6 address without its brackets.
    host: String,
    port: u16,
    /// As the header `Host` has it.
    authority: String,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the URL of an endpoint; use http://HOST:PORT or https://HOST, without a path, a query or a user")]
pub struct EndpointError(pub String);

/// Whom a server's certificate has to come from.
#[derive(Clone)]
pub struct Roots(Arc<rustls::ClientConfig>);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot connect to {endpoint}: {what}")]
    Connect { endpoint: String, what: String },
    #[error("{endpoint} gave no whole answer: {what}")]
    Answer { endpoint: String, what: String },
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A connection that is opened when it is first needed, and again when it broke.
pub struct Connection {
    endpoint: Endpoint,
    /// Unused without TLS.
    roots: Option<Roots>,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Endpoint {
    /// As the header `Host` has it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        // Who puts a password into a URL does not want to read it in a log.
        let shown = text.rsplit_once('@').map_or(text.to_owned(), |(_, host)| format!("…@{host}"));
        let wrong = || EndpointError(shown.clone());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let usual = if tls { 443 } else { 80 };
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => usual,
            Some(_) => authority.port_u16().filter(|port| *port != 0).ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let authority =
            if port == usual { authority.host().to_owned() } else { format!("{}:{port}", authority.host()) };
        Ok(Endpoint { tls, host, port, authority })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl Roots {
    /// The system's certificate authorities, or those of `SSL_CERT_FILE`.
    pub fn of_the_system() -> Result<Roots, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = rustls::RootCertStore::empty();
        let (good, _) = roots.add_parsable_certificates(found.certs);
        if good == 0 {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!("there is no certificate authority to trust{why}; name a PEM file in SSL_CERT_FILE"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        Ok(Roots(Arc::new(config)))
    }
}

impl Connection {
    pub fn new(endpoint: Endpoint, roots: Option<Roots>) -> Connection {
        Connection { endpoint, roots, open: None }
    }

    /// Sends a request, whose URI is a path, and reads the answer. A connection that was kept and turns out to be closed is
    /// opened again, once; so the request may arrive twice.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response, HttpError> {
        if let Some(kept) = self.open.take()
            && let Ok(response) = self.exchange(kept, request.clone()).await
        {
            return Ok(response);
        }
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, self.connect());
        let opened = opening.await.unwrap_or_else(|_| Err(format!("nothing came of it in {CONNECT_TIMEOUT:?}")));
        let opened = opened.map_err(|what| HttpError::Connect { endpoint: self.endpoint.to_string(), what })?;
        let answered = self.exchange(opened, request).await;
        answered.map_err(|what| HttpError::Answer { endpoint: self.endpoint.to_string(), what })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let Endpoint { tls, host, port, .. } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        if !*tls {
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
            // Its error is also that of the request that meets it.
            tokio::spawn(connection);
            return Ok(sender);
        }
        let roots = self.roots.as_ref().ok_or("there is no certificate authority to trust")?;
        let name = ServerName::try_from(host.clone()).map_err(text)?;
        let stream = TlsConnector::from(Arc::clone(&roots.0)).connect(name, stream).await.map_err(text)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// One request and its answer; the connection is kept if both are whole.
    async fn exchange(
        &mut self,
        mut sender: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response, String> {
        let answering = async {
            sender.ready().await.map_err(text)?;
            let (head, body) = sender.send_request(request).await.map_err(text)?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(text)?.to_bytes();
            Ok(Response { status: head.status, headers: head.headers, body })
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, answering).await;
        let response = answered.unwrap_or_else(|_| Err(format!("nothing came in {ANSWER_TIMEOUT:?}")))?;
        self.open = Some(sender);
        Ok(response)
    }
}

/// All of an error: what is wrong stands in its sources.
fn text(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> String {
    let error = error.into();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn endpoints_are_scheme_host_and_port() {
        let endpoint = |text: &str| text.parse::<Endpoint>();
        let whole = |text: &str| {
            let Endpoint { tls, host, port, authority } = endpoint(text).unwrap();
            format!("{tls} {host} {port} {authority}")
        };
        assert_eq!(whole("http://127.0.0.1:4566"), "false 127.0.0.1 4566 127.0.0.1:4566");
        assert_eq!(whole("http://localhost/"), "false localhost 80 localhost");
        let aws = "kinesis.eu-west-1.amazonaws.com";
        assert_eq!(whole(&format!("https://{aws}")), format!("true {aws} 443 {aws}"));
        assert_eq!(whole(&format!("https://{aws}:443")), format!("true {aws} 443 {aws}"));
        assert_eq!(whole("https://[::1]:9443"), "true ::1 9443 [::1]:9443");
        assert_eq!(endpoint("https://[::1]:9443").unwrap().to_string(), "https://[::1]:9443");
        assert_eq!(endpoint("http://u:p@a"), Err(EndpointError("…@a".to_owned())));
        let wrong = ["", "localhost", "localhost:80", "ftp://a", "http://", "http://a/b", "http://a?b"];
        for text in wrong.into_iter().chain(["http://a:", "http://a:0", "http://a:70000", "file:///etc/passwd"]) {
            assert_eq!(endpoint(text), Err(EndpointError(text.to_owned())), "{text}");
        }
    }

    /// Answers each of these connections so many times, then closes it.
    async fn answers(listener: TcpListener, counts: &[usize]) {
        for count in counts {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..*count {
                let mut bytes = [0; 1_000];
                assert_ne!(stream.read(&mut bytes).await.unwrap(), 0);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: Endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = tokio::spawn(answers(listener, &[2, 1]));
        let mut connection = Connection::new(endpoint, None);
        let request = Request::post("/").header("host", "a").body(Full::new(Bytes::from_static(b"x"))).unwrap();
        for _ in 0..3 {
            let response = connection.send(request.clone()).await.unwrap();
            assert_eq!((response.status, &response.body[..]), (StatusCode::OK, &b"ok"[..]));
        }
        server.await.unwrap();
        let gone = connection.send(request).await.unwrap_err();
        assert!(matches!(gone, HttpError::Connect { .. }), "{gone}");
    }
}
