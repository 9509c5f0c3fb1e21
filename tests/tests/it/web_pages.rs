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
    // It may be refused before all of it has been read.
    let _ = stream.write_all(bytes);
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
    let head = |path: &str, kind: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 1000\r\n\r\n")
    };
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\0\x04\0\0\0\0\0";
    for half in [
        String::new(),
        "GET /healthz HTTP/1.1\r\nhost: loc".to_owned(),
        // What may be the beginning of HTTP/2, and one that has begun and then says nothing, not even that it is there.
        "P".to_owned(),
        preface[..preface.len() - 1].to_owned(),
        preface.to_owned(),
        format!("{preface}{settings}"),
        // Bodies that never come, or stop.
        head("/", "application/x-amz-json-1.0"),
        head("/ledgerstone.v1.LedgerService/OpenSession", "application/grpc"),
        head("/arrow.flight.protocol.FlightService/Handshake", "application/grpc") + "\0\0\0\0\x50abc",
        head("/arrow.flight.protocol.FlightService/GetFlightInfo", "application/grpc") + "\0\0\0",
    ] {
        let mut stream = TcpStream::connect(server.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(half.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Closed by the server, whatever it says before; a time-out would be an error here.
        let closed = stream.read_to_end(&mut answer).map_err(|error| error.kind());
        assert!(matches!(closed, Ok(_) | Err(std::io::ErrorKind::ConnectionReset)), "{half:?}: {closed:?}");
    }
}

#[test]
fn a_request_whose_body_comes_slowly_is_answered() {
    let server = Server::start_with(&["--limit", "http_idle_seconds=2"]);
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let body = "{\"PermissionsMode\": \"STANDARD\"}";
    let head = format!(
        "PATCH /ledgers/main/permissions-mode HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Longer in all than nothing may come.
    for piece in body.as_bytes().chunks(4) {
        std::thread::sleep(Duration::from_millis(400));
        stream.write_all(piece).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn who_has_not_said_who_it_is_gets_no_room_for_a_long_message() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("access-keys");
    std::fs::write(&keys, "AKIDTEST 0123456789abcdef clerk\n").unwrap();
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = guarded(directory.path(), &["--access-keys", keys.to_str().unwrap()]);
    // Sixteen megabytes are announced and never sent: whoever waited for them would not answer.
    let handshake = "POST /arrow.flight.protocol.FlightService/Handshake HTTP/1.1\r\nhost: localhost\r\n\
                     content-type: application/grpc\r\ncontent-length: 16777221\r\nconnection: close\r\n\r\n";
    let answer = said(&server, &[handshake.as_bytes(), b"\0\x01\0\0\0abc"].concat());
    assert!(answer.contains("grpc-status: "), "{answer}");
    let date = date_of_aws();
    let signed = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-date: {date}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=STRANGER/{}/us-east-1/qldb/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={}\r\ncontent-length: 16777216\r\nconnection: close\r\n\r\n",
        &date[..8],
        "0".repeat(64)
    );
    let answer = said(&server, signed.as_bytes());
    assert!(answer.contains("UnrecognizedClientException"), "{answer}");
}

#[test]
fn messages_that_decoded_take_many_times_their_size_are_refused_before() {
    let server = Server::start();
    let (ledger, flight) = ("ledgerstone.v1.LedgerService", "arrow.flight.protocol.FlightService");
    // `sent` is the beginning of a message of so many bytes.
    let call = |path: &str, bytes: usize, sent: &[u8]| {
        let head = format!(
            "POST /{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n\0",
            bytes + 5
        );
        said(&server, &[head.as_bytes(), &(bytes as u32).to_be_bytes(), sent].concat())
    };
    // Empty parameters, digests and segments: two bytes each.
    for (path, field, most) in
        [("Execute", b"\x1a\0", 65_535), ("FindCommit", b"\x1a\0", 1_000_000), ("Backup", b"\x12\0", 1 << 20)]
    {
        let message = field.repeat(most + 70);
        let answer = call(&format!("{ledger}/{path}"), message.len(), &message);
        assert!(answer.contains("grpc-status: 8\r\n") && answer.contains("fields"), "{path}: {answer}");
    }
    let parameters = b"\x1a\0".repeat(65_535);
    let answer = call(&format!("{ledger}/Execute"), parameters.len(), &parameters);
    assert!(answer.contains("grpc-status: 5\r\n"), "there is no such session: {answer}");
    // What is said to be long, and has not come.
    for (path, bytes) in [("OpenSession", 100_000), ("Begin", 100_000), ("CreateLedger", 1 << 20)] {
        let answer = call(&format!("{ledger}/{path}"), bytes, b"\x0a\0");
        assert!(answer.contains("grpc-status: 11\r\n"), "{path}: {answer}");
    }
    for path in ["Handshake", "GetFlightInfo", "DoGet", "GetSchema", "DoAction"] {
        let answer = call(&format!("{flight}/{path}"), 16 << 20, b"\x0a\0");
        assert!(answer.contains("grpc-status: 11\r\n"), "{path}: {answer}");
    }
    // Endpoints of a result that is to be cancelled: two bytes each, and a hundred decoded.
    let endpoints = b"\x1a\0".repeat(700_000);
    let length = [0xc0, 0xb9, 0x55];
    let action = [&b"\x0a\x10CancelFlightInfo\x12"[..], &length, &endpoints].concat();
    let answer = call(&format!("{flight}/DoAction"), action.len(), &action);
    assert!(answer.contains("grpc-status: 8\r\n"), "{answer}");
}

/// Now, as `X-Amz-Date` has it.
fn date_of_aws() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
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
