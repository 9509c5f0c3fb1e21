//! What no client should send: it gets a clear error, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Server, state};

/// A connection that has started as user `test` on `main`.
fn raw(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.postgres).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut packet = vec![0, 3, 0, 0];
    packet.extend_from_slice(b"user\0test\0database\0main\0\0");
    let length = packet.len() as u32 + 4;
    stream.write_all(&length.to_be_bytes()).unwrap();
    stream.write_all(&packet).unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"Z\0\0\0\x05I") {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    stream
}

/// Everything the server says until it closes.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn what_is_asked_before_a_goodbye_in_the_same_packet_is_answered() {
    let server = Server::start();
    let mut stream = raw(&server);
    let mut packet = frame(b'Q', b"SELECT 'an' || 'swer'\0");
    packet.extend(frame(b'X', b""));
    stream.write_all(&packet).unwrap();
    assert!(rest(stream).contains("answer"));
}

#[test]
fn malformed_messages_close_one_connection_with_a_reason() {
    let server = Server::start();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("length over the limit", b"Q\x7f\xff\xff\xff".to_vec()),
        ("negative length", b"Q\xff\xff\xff\xff".to_vec()),
        ("length below itself", b"Q\0\0\0\x03".to_vec()),
        ("long Sync", b"S\x7f\0\0\0".to_vec()),
        ("unknown type", frame(b'!', b"")),
        ("text without end", frame(b'Q', b"SELECT 1")),
        ("Bind that ends early", frame(b'B', b"\0\0\0\x05")),
        ("Bind with a parameter longer than itself", frame(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff")),
        ("Parse with more types than bytes", frame(b'P', b"\0SELECT 1\0\xff\xff")),
        ("Describe of nothing", frame(b'D', b"X\0")),
    ];
    for (what, bytes) in cases {
        let mut stream = raw(&server);
        stream.write_all(&bytes).unwrap();
        let answer = rest(stream);
        assert!(answer.contains("08P01") && answer.contains("FATAL"), "{what}: {answer}");
    }
    assert_eq!(server.psql_ok("SELECT 1"), "1");
}

/// Reads up to and including ReadyForQuery.
fn until_ready(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !(seen.len() >= 6 && seen[seen.len() - 6..].starts_with(b"Z\0\0\0\x05")) {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn an_error_is_sent_before_the_sync_to_a_client_that_flushes() {
    let server = Server::start();
    let mut stream = raw(&server);
    stream.write_all(&frame(b'P', b"\0SELEC 1\0\0\0")).unwrap();
    stream.write_all(&frame(b'H', b"")).unwrap();
    let mut kind = [0];
    stream.read_exact(&mut kind).unwrap();
    assert_eq!(kind, *b"E");
    stream.write_all(&frame(b'S', b"")).unwrap();
    assert!(until_ready(&mut stream).contains("42601"));
}

#[test]
fn long_answers_are_sent_before_the_client_asks_for_them() {
    let server = Server::start();
    let mut stream = raw(&server);
    let columns: Vec<String> = (0..1000).map(|n| format!("{n} AS a_column_with_quite_a_long_name_{n}")).collect();
    let text = format!("\0SELECT {}\0\0\0", columns.join(", "));
    stream.write_all(&frame(b'P', text.as_bytes())).unwrap();
    // Each is a few bytes and answered with sixty thousand; nothing here is a Sync or a Flush.
    stream.write_all(&frame(b'D', b"S\0").repeat(100)).unwrap();
    let mut answers = vec![0; 5_000_000];
    stream.read_exact(&mut answers).unwrap();
    stream.write_all(&frame(b'S', b"")).unwrap();
    assert!(until_ready(&mut stream).ends_with('I'));
}

#[test]
fn after_an_error_nothing_is_done_before_the_sync() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let mut stream = raw(&server);
    let frames = [frame(b'P', b"\0SELEC 1\0\0\0"), frame(b'Q', b"DELETE FROM t\0"), frame(b'S', b"")];
    stream.write_all(&frames.concat()).unwrap();
    let said = until_ready(&mut stream);
    assert!(said.contains("42601") && !said.contains("DELETE"), "{said}");
    stream.write_all(&frame(b'Q', b"SELECT count(*) FROM t\0")).unwrap();
    assert!(until_ready(&mut stream).contains("SELECT 1"));
    assert_eq!(server.psql_ok("SELECT count(*) FROM t"), "1");
}

#[test]
fn text_that_is_not_utf8_is_a_statement_error_and_the_connection_goes_on() {
    let server = Server::start();
    let mut stream = raw(&server);
    let mut ask = |frames: &[Vec<u8>]| {
        stream.write_all(&frames.concat()).unwrap();
        until_ready(&mut stream)
    };
    let sync = frame(b'S', b"");
    let bind = |value: &[u8]| {
        let mut body = b"\0\0\0\0\0\x01\0\0\0".to_vec();
        body.push(value.len() as u8);
        body.extend_from_slice(value);
        body.extend_from_slice(b"\0\0");
        [frame(b'P', b"\0SELECT $1::text\0\0\0"), frame(b'B', &body), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")]
    };
    let said = "invalid byte sequence for encoding \"UTF8\": ";
    let cases = [
        (vec![frame(b'Q', b"SELECT '\xff\xfe'\0")], "0xff"),
        (vec![frame(b'P', b"\0SELECT '\xe4bc'\0\0\0"), sync.clone()], "0xe4 0x62 0x63"),
        (vec![frame(b'P', b"n\xc3\0SELECT 1\0\0\0"), sync.clone()], "0xc3"),
        (vec![frame(b'D', b"S\xf0\x9f\0"), sync.clone()], "0xf0 0x9f"),
        (vec![frame(b'C', b"P\xff\0"), sync.clone()], "0xff"),
        (bind(b"a\xed\xa0\x80").to_vec(), "0xed 0xa0 0x80"),
        (bind(b"a\0b").to_vec(), "0x00"),
    ];
    for (frames, bytes) in cases {
        let answer = ask(&frames);
        assert!(answer.contains("ERROR") && answer.contains("22021"), "{answer}");
        assert!(answer.contains(&format!("{said}{bytes}\0")), "{answer}");
        assert!(ask(&[frame(b'Q', b"SELECT 41 + 1\0")]).contains("42"));
    }
    assert!(ask(&bind("ä".as_bytes())).contains('ä'));
    // In a transaction it has the effect of any other error.
    assert!(ask(&[frame(b'Q', b"BEGIN\0")]).ends_with('T'));
    assert!(ask(&[frame(b'Q', b"SELECT '\xff'\0")]).ends_with('E'));
    assert!(ask(&[frame(b'Q', b"SELECT 1\0")]).contains("25P02"));
    assert!(ask(&[frame(b'Q', b"ROLLBACK\0")]).ends_with('I'));
}

#[test]
fn copy_data_that_is_not_utf8_loads_nothing_and_the_connection_goes_on() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let mut stream = raw(&server);
    for data in [&b"2\tb\xff\n"[..], b"2\tb\0\n", b"2\tb\\xff\n"] {
        stream.write_all(&frame(b'Q', b"COPY t FROM STDIN\0")).unwrap();
        stream.write_all(&frame(b'd', b"1\ta\n")).unwrap();
        stream.write_all(&frame(b'd', data)).unwrap();
        stream.write_all(&frame(b'c', b"")).unwrap();
        let answer = until_ready(&mut stream);
        assert!(answer.contains("22021") && answer.contains("COPY, line 2"), "{answer}");
    }
    stream.write_all(&frame(b'Q', b"SELECT count(*) AS many FROM t\0")).unwrap();
    assert!(until_ready(&mut stream).contains("\0\x010"), "nothing was loaded");
}

#[test]
fn malformed_first_packets_are_refused() {
    let server = Server::start();
    for packet in [
        b"\x7f\xff\xff\xff\0\x03\0\0".to_vec(),
        b"\0\0\0\x04".to_vec(),
        b"\0\0\0\x08\0\x02\0\0".to_vec(),
        b"\0\0\0\x0c\0\x03\0\0user".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let mut stream = TcpStream::connect(server.postgres).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&packet).unwrap();
        let answer = rest(stream);
        assert!(answer.contains("FATAL"), "{packet:?}: {answer}");
    }
    assert_eq!(server.psql_ok("SELECT 1"), "1");
}

#[test]
fn a_statement_over_the_limit_is_refused_without_being_kept() {
    let server = Server::start_with(&["--limit", "statement_bytes=65536"]);
    let statement = format!("SELECT '{}'", "x".repeat(100_000));
    let answer = server.psql_error(&statement);
    assert!(answer.contains("65537") || answer.contains("at most"), "{answer}");
    assert_eq!(server.psql_ok(&format!("SELECT length('{}')", "x".repeat(60_000))), "60000");
}

#[test]
fn parameters_of_open_portals_are_bounded_together() {
    let server = Server::start_with(&["--limit", "parameters_bytes=100000"]);
    let mut stream = raw(&server);
    let mut text = frame(b'Q', b"BEGIN\0");
    text.extend(frame(b'P', b"s\0SELECT $1::text\0\0\0"));
    for name in [b'a', b'b', b'c'] {
        let mut body = vec![name, 0, b's', 0, 0, 0, 0, 1];
        body.extend_from_slice(&40_000_u32.to_be_bytes());
        body.extend_from_slice(&[b'x'; 40_000]);
        body.extend_from_slice(&[0, 0]);
        text.extend(frame(b'B', &body));
    }
    text.extend(frame(b'S', b""));
    stream.write_all(&text).unwrap();
    let answer = until_ready(&mut stream) + &until_ready(&mut stream);
    assert_eq!(answer.matches("C54000").count(), 1, "{answer}");
    assert!(answer.contains("open portals"), "{answer}");
}

#[tokio::test]
async fn a_thousand_idle_connections_leave_room_for_work() {
    let server = Server::start();
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(server.client().await);
    }
    let client = server.client().await;
    for _ in 0..20 {
        client.query("SELECT 1", &[]).await.unwrap();
    }
    assert!(idle.iter().all(|client| !client.is_closed()));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Server::start_with(&["--limit", "connections=2"]);
    let _first = server.client().await;
    let _second = server.client().await;
    let error = server.client_of("main").await.err().unwrap();
    assert_eq!(state(&error), "53300");
}

#[test]
fn an_open_address_needs_users_and_tls() {
    let output = std::process::Command::new(crate::harness::binary())
        .args(["serve", "--postgres", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--users"));
}

#[tokio::test]
async fn a_password_is_asked_for_where_there_are_users() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(crate::harness::binary())
        .args(["passwd", "alice"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"pencil\n").unwrap();
    let line = child.wait_with_output().unwrap().stdout;
    let users = directory.path().join("users");
    std::fs::write(&users, line).unwrap();
    let server = Server::start_with(&["--users", users.to_str().unwrap()]);
    let connect = async |user: &str, password: &str| {
        let config = format!(
            "host={} port={} user={user} password={password} dbname=main",
            server.postgres.ip(),
            server.postgres.port()
        );
        tokio_postgres::connect(&config, tokio_postgres::NoTls).await.map(|(client, connection)| {
            tokio::spawn(connection);
            client
        })
    };
    let alice = connect("alice", "pencil").await.unwrap();
    assert_eq!(alice.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    assert_eq!(state(&connect("alice", "pen").await.err().unwrap()), "28P01");
    assert_eq!(state(&connect("mallory", "pencil").await.err().unwrap()), "28P01");
    // Who has not proved who it is gets no room for a long message.
    let mut stream = TcpStream::connect(server.postgres).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"\0\0\0\x14\0\x03\0\0user\0alice\0\0").unwrap();
    stream.write_all(b"B\x03\0\0\0").unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("it is refused at once");
    assert!(String::from_utf8_lossy(&said).contains("28P01"));
}
