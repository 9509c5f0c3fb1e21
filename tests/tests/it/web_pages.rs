//! The HTTP port and those that it is not for: web pages in a browser of this machine, strangers, and the slow.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Server, binary};

/// A call of CreateLedger for a ledger named `page`, as a page may post it: HTTP/1.1, and a content type that needs no preflight.
fn post(server: &Server, headers: &str) -> String {
    let message = b"\0\0\0\0\x06\x0a\x04page";
    let head = format!(
        "POST /ledgerstone.v1.LedgerService/CreateLedger HTTP/1.1\r\n{headers}content-type: text/plain\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        message.len()
    );
    said(server, &[head.as_bytes(), message].concat())
}

/// Everything the server says until it closes.
fn said(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_web_page_makes_no_ledger() {
    let server = Server::start();
    let ledgers = || server.psql_ok("SELECT count(*) FROM pg_database WHERE datname = 'page'");
    for headers in [
        "host: 127.0.0.1:7430\r\norigin: https://evil.example\r\n",
        "host: 127.0.0.1:7430\r\nsec-fetch-site: cross-site\r\n",
        // Its name was pointed at this machine after it was loaded.
        "host: evil.example\r\n",
    ] {
        let answer = post(&server, headers);
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers}: {answer}");
        assert_eq!(ledgers(), "0", "{headers}");
    }
    let answer = post(&server, "host: localhost:7430\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(ledgers(), "1");
}

/// A server with a user, and no access keys.
fn guarded(directory: &std::path::Path, more: &[&str]) -> Server {
    let mut passwd = std::process::Command::new(binary());
    passwd.args(["passwd", "ada"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = passwd.stderr(std::process::Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"pencil\n").unwrap();
    let users = directory.join("users");
    std::fs::write(&users, child.wait_with_output().unwrap().stdout).unwrap();
    let users = users.to_str().unwrap().to_owned();
    Server::start_with(&[&["--users", &users], more].concat())
}

#[test]
fn who_proves_nothing_is_refused_before_the_message_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let server = guarded(directory.path(), &[]);
    for (path, kind) in [
        ("/ledgerstone.v1.LedgerService/FindCommit", "application/grpc"),
        ("/arrow.flight.protocol.FlightService/GetFlightInfo", "application/grpc"),
        ("/", "application/x-amz-json-1.0"),
    ] {
        // Sixteen megabytes are announced and never sent: whoever waited for them would not answer.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: db.example\r\ncontent-type: {kind}\r\nx-amz-target: QLDBSession.SendCommand\r\n\
             content-length: 16777216\r\nconnection: close\r\n\r\n"
        );
        let answer = said(&server, head.as_bytes());
        let refused = answer.contains("grpc-status: 16") || answer.starts_with("HTTP/1.1 40");
        assert!(refused, "{path}: {answer}");
    }
}

#[test]
fn half_a_request_does_not_keep_its_connection() {
    let server = Server::start_with(&["--limit", "http_idle_seconds=1"]);
    for half in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
        let mut stream = TcpStream::connect(server.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(half.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Closed by the server, whatever it says before; a time-out would be an error here.
        stream.read_to_end(&mut answer).unwrap();
    }
}

#[test]
fn one_connection_too_many_is_closed_and_the_others_go_on() {
    let server = Server::start_with(&["--limit", "http_connections=2"]);
    let get = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut streams: Vec<TcpStream> = Vec::new();
    // The connection that asked whether the server is there may take a place for a moment more.
    while streams.len() < 2 {
        let mut stream = TcpStream::connect(server.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        if stream.write_all(get).is_ok() && matches!(stream.read(&mut [0; 1024]), Ok(1..)) {
            streams.push(stream);
        }
    }
    assert_eq!(said(&server, get), "");
    streams[0].write_all(get).unwrap();
    assert!(matches!(streams[0].read(&mut [0; 1024]), Ok(1..)));
}
