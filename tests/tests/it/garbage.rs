//! Binary garbage over both ports: thousands of generated and mutated inputs, each answered with a clear error or with the
//! right result, while another session goes on undisturbed.
//!
//! `LEDGERSTONE_SEED=n` replays; `LEDGERSTONE_TEST_LONG=1` sends five times as many.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use futures_util::future::join_all;
use ledgerstone_client::digest::ion::{self, Limits, Value};
use ledgerstone_digest::verifier::check_data;
use ledgerstone_protocol::v1::execute_response::Part;
use ledgerstone_protocol::v1::ledger_service_client::LedgerServiceClient;
use ledgerstone_protocol::v1::{Dialect, ExecuteRequest, OpenSessionRequest};
use ledgerstone_tests::fuzzing::Random;
use ledgerstone_tests::seed;
use tokio_postgres::types::ToSql;

use crate::harness::{Raw, Server, state};

/// Inputs of each kind.
fn cases() -> usize {
    if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 12_000 } else { 2_400 }
}

/// Documents of every Ion type, to begin from.
const DOCUMENTS: [&str; 10] = [
    "{a: 1, b: -2, c: 12345678901234567890123, d: null, e: null.struct}",
    "{a: 1.50, b: -0.0, c: 1e400, d: 3d-9, e: 0e0, f: nan, g: +inf}",
    "{t: 2020-02-29T23:59:59.123456789+05:30, u: 2001T, v: 0001-01-01, w: 9999-12-31T23:59:59.999Z}",
    "{s: \"text \\u00e9\\U0001F600\", y: symbol, q: 'odd symbol', n: null.symbol}",
    "{b: {{aGVsbG8=}}, c: {{\"clob\"}}, l: [1, [2, [3]], {x: 1}], s: (a b (c))}",
    "{a: x::1, b: x::y::{c: z::\"t\"}, d: [k::null]}",
    "top::{a: 1}",
    "{a: 1, a: 2, a: {a: [a]}}",
    "{id: \"x\", version: 1, txTime: 2020T, txId: \"y\"}",
    "{deep: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]], wide: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}",
];

fn ion_garbage(random: &mut Random) -> Vec<u8> {
    let mut bytes = match random.below(10) {
        0 => random.bytes(64),
        1 => [&b"\xe0\x01\x00\xea"[..], &random.bytes(64)].concat(),
        _ => {
            let text = DOCUMENTS[random.below(DOCUMENTS.len())];
            ion::encode(&ion::parse(text, &Limits::DOCUMENT).expect("a document"))
        }
    };
    if random.below(12) > 0 {
        random.mutate(&mut bytes);
    }
    bytes
}

#[tokio::test]
async fn ion_binary_garbage_is_refused_or_stored_as_what_it_says() {
    let start = seed("ion_binary_garbage_is_refused_or_stored_as_what_it_says");
    let server = Server::start();
    let witness = server.client().await;
    witness.batch_execute("CREATE TABLE w (n bigint PRIMARY KEY)").await.unwrap();
    let address = format!("http://{}", server.http);
    let mut client = LedgerServiceClient::connect(address).await.unwrap();
    let open = OpenSessionRequest { ledger: "main".into(), dialect: Dialect::Partiql as i32, user: "test".into() };
    let session = client.open_session(open).await.unwrap().into_inner().session;
    let execute = |statement: &str, parameters: Vec<Vec<u8>>| ExecuteRequest {
        session: session.clone(),
        statement: statement.to_owned(),
        parameters,
        ..ExecuteRequest::default()
    };
    client.execute(execute("CREATE TABLE d", Vec::new())).await.unwrap().into_inner().message().await.unwrap();
    let mut random = Random::new(start);
    let (mut stored, mut refused) = (0, 0);
    for case in 0..cases() {
        let bytes = ion_garbage(&mut random);
        let context = format!("seed {start}, case {case}: {bytes:02x?}");
        let meant = ion::decode(&bytes, &Limits::DOCUMENT).ok();
        let answer = match client.execute(execute("INSERT INTO d ?", vec![bytes.clone()])).await {
            Ok(answer) => all(answer.into_inner()).await,
            Err(status) => Err(status),
        };
        match answer {
            Ok(_) => {
                let meant = meant.unwrap_or_else(|| panic!("stored, and means nothing: {context}"));
                assert_eq!(check_data(&meant), Ok(()), "{context}");
                stored += 1;
                let rows =
                    all(client.execute(execute("SELECT VALUE ? FROM <<0>>", vec![bytes])).await.unwrap().into_inner());
                let rows = rows.await.unwrap_or_else(|status| panic!("{status}: {context}"));
                assert_eq!(rows, [vec![Some(meant)]], "{context}");
            }
            Err(status) => {
                let code = status.metadata().get("ledgerstone-sqlstate").map(|code| code.to_str().unwrap().to_owned());
                let code = code.unwrap_or_else(|| panic!("no SQLSTATE: {status:?}: {context}"));
                assert!(["22", "23", "42", "54"].contains(&&code[..2]), "{code} {status}: {context}");
                assert!(!status.message().is_empty(), "{context}");
                match &meant {
                    None if bytes.is_empty() => {}
                    None => assert!(["22P03", "22003", "54000"].contains(&&*code), "{code} {status}: {context}"),
                    Some(meant) if check_data(meant).is_ok() => {
                        let annotated =
                            matches!(meant, Value::Annotated(_)) && status.message().contains("annotations");
                        assert!(annotated, "refused without a reason: {status}: {context}");
                    }
                    Some(_) => {}
                }
                refused += 1;
            }
        }
        if case % 200 == 0 {
            witness.execute("INSERT INTO w VALUES ($1)", &[&(case as i64)]).await.unwrap();
            let count = witness.query_one("SELECT count(*) FROM w", &[]).await.unwrap().get::<_, i64>(0);
            assert_eq!(count, case as i64 / 200 + 1, "{context}");
        }
    }
    assert!(stored > cases() / 50 && refused > cases() / 4, "{stored} stored, {refused} refused");
    println!("{stored} stored, {refused} refused");
    assert_eq!(server.psql_ok("SELECT count(*) FROM d"), stored.to_string(), "what was refused left nothing");
}

/// All rows of an answer.
async fn all(
    mut answer: tonic::Streaming<ledgerstone_protocol::v1::ExecuteResponse>,
) -> Result<Vec<Vec<Option<Value>>>, tonic::Status> {
    let mut rows = Vec::new();
    while let Some(message) = answer.message().await? {
        let Some(Part::Rows(part)) = message.part else { continue };
        for row in part.rows {
            let read = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| ion::decode(&bytes, &Limits::DOCUMENT).unwrap());
            rows.push(row.values.into_iter().map(read).collect());
        }
    }
    Ok(rows)
}

/// A type, and bytes of it to begin from.
const BINARY: [(&str, &[u8]); 14] = [
    ("bytea", b"\x00\x01\xff bytes"),
    ("text", "text \u{e9}\u{1f600}".as_bytes()),
    ("varchar", b"varchar"),
    ("jsonb", b"\x01{\"a\": [1, 2.50, null, {\"b\": \"\\u00e9\"}]}"),
    ("json", b"{\"a\": [1, -0.0, true]}"),
    ("numeric", b"\x00\x03\x00\x01\x00\x00\x00\x04\x00\x01\x09\x29\x1a\x85"),
    ("int2", b"\x7f\xff"),
    ("int4", b"\x80\x00\x00\x00"),
    ("int8", b"\x00\x00\x00\x01\x00\x00\x00\x00"),
    ("float4", b"\x7f\x80\x00\x00"),
    ("float8", b"\x7f\xf8\x00\x00\x00\x00\x00\x01"),
    ("bool", b"\x01"),
    ("date", b"\x00\x00\x1c\x8a"),
    ("timestamptz", b"\x00\x02\x57\x3d\x0c\x1f\x40\x00"),
];

#[tokio::test]
async fn ion_text_garbage_is_a_syntax_error_or_what_it_says() {
    let start = seed("ion_text_garbage_is_a_syntax_error_or_what_it_says");
    let server = Server::start();
    let mut client = LedgerServiceClient::connect(format!("http://{}", server.http)).await.unwrap();
    let open = OpenSessionRequest { ledger: "main".into(), dialect: Dialect::Partiql as i32, user: "test".into() };
    let session = client.open_session(open).await.unwrap().into_inner().session;
    let mut random = Random::new(start);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..cases() {
        let mut bytes = DOCUMENTS[random.below(DOCUMENTS.len())].as_bytes().to_vec();
        if random.below(2) == 0 {
            random.mutate(&mut bytes);
        } else {
            let at = random.below(bytes.len());
            bytes.splice(
                at..at,
                b"{}[]()'\"\\:,/*0.e$".iter().copied().skip(random.below(18)).take(1 + random.below(2)),
            );
        }
        let text = String::from_utf8_lossy(&bytes).replace('`', "'");
        let context = format!("seed {start}, case {case}: {text}");
        let meant = ion::parse(&text, &Limits::DOCUMENT);
        // A comment that ends with its line would take the closing backtick in.
        let statement = format!("SELECT VALUE `{text}\n` FROM <<0>>");
        let request = ExecuteRequest { session: session.clone(), statement, ..ExecuteRequest::default() };
        let answer = match client.execute(request).await {
            Ok(answer) => all(answer.into_inner()).await,
            Err(status) => Err(status),
        };
        match answer {
            Ok(rows) => {
                accepted += 1;
                let meant = meant.unwrap_or_else(|error| panic!("accepted, but {error}: {context}"));
                assert_eq!(rows, [vec![Some(meant)]], "{context}");
            }
            Err(status) => {
                refused += 1;
                let code =
                    status.metadata().get("ledgerstone-sqlstate").unwrap_or_else(|| panic!("{status:?}: {context}"));
                assert!(["22", "42", "54"].contains(&&code.to_str().unwrap()[..2]), "{code:?} {status}: {context}");
                assert!(meant.is_err(), "{status}: {context}");
            }
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > cases() / 50 && refused > cases() / 4, "{accepted} accepted, {refused} refused");
}

#[tokio::test]
async fn binary_parameters_of_garbage_are_refused_or_come_back_as_sent() {
    let start = seed("binary_parameters_of_garbage_are_refused_or_come_back_as_sent");
    let server = Server::start();
    let (client, witness) = (server.client().await, server.client().await);
    witness.batch_execute("CREATE TABLE w (n bigint PRIMARY KEY)").await.unwrap();
    let mut statements = Vec::new();
    for (name, base) in BINARY {
        // Types that the server does not have are not this test's.
        if let Ok(statement) = client.prepare(&format!("SELECT $1::{name}, $1::{name}::text")).await {
            statements.push((name, base, statement));
        }
    }
    assert!(statements.len() >= 11, "{}", statements.len());
    let mut random = Random::new(start);
    let (mut accepted, mut refused, mut sent) = (0, 0, 0);
    while sent < cases() {
        let mut batch = Vec::new();
        for _ in 0..50 {
            let (name, base, statement) = &statements[random.below(statements.len())];
            let mut bytes = if random.below(8) == 0 { random.bytes(24) } else { base.to_vec() };
            random.mutate(&mut bytes);
            batch.push((*name, Raw(bytes), statement));
        }
        sent += batch.len();
        let client = &client;
        let answers = batch.iter().map(|(_, raw, statement)| async move {
            client.query_one(*statement, std::slice::from_ref(&(raw as &(dyn ToSql + Sync)))).await
        });
        for (answer, (name, Raw(bytes), _)) in join_all(answers).await.into_iter().zip(&batch) {
            let context = format!("seed {start}: {name} {bytes:02x?}");
            match answer {
                Ok(row) => {
                    accepted += 1;
                    match *name {
                        "bytea" => assert_eq!(row.get::<_, Vec<u8>>(0), *bytes, "{context}"),
                        "text" | "varchar" => assert_eq!(row.get::<_, String>(0).as_bytes(), bytes, "{context}"),
                        "int8" => assert_eq!(row.get::<_, i64>(0).to_be_bytes(), bytes[..], "{context}"),
                        "int4" => assert_eq!(row.get::<_, i32>(0).to_be_bytes(), bytes[..], "{context}"),
                        "jsonb" => {
                            let shown = json(row.get::<_, &str>(1).as_bytes(), &context);
                            let meant = json(&bytes[1..], &context);
                            let close = meant.as_ref().is_some_and(|m| !m.is_object() || m.to_string().contains("e"));
                            assert!(shown == meant || close, "{context}");
                        }
                        _ => assert!(!row.get::<_, String>(1).is_empty(), "{context}"),
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(!client.is_closed(), "the connection was closed: {error}: {context}");
                    let code = state(&error);
                    assert!(["22", "54", "0A", "08"].contains(&&code[..2]), "{code} {error}: {context}");
                }
            }
        }
        let count = witness.query_one("SELECT count(*) FROM w", &[]).await.unwrap().get::<_, i64>(0);
        witness.execute("INSERT INTO w VALUES ($1)", &[&count]).await.unwrap();
    }
    assert!(accepted > sent / 20 && refused > sent / 10, "{accepted} accepted, {refused} refused");
    println!("{accepted} accepted, {refused} refused");
}

/// What the HTTP port does with bytes that are no request: an answer or the end of the connection, and little memory.
#[test]
fn garbage_and_length_words_on_the_http_port_harm_nobody() {
    let server = Server::start();
    let before = memory_kib(&server);
    let start = seed("garbage_and_length_words_on_the_http_port_harm_nobody");
    let mut random = Random::new(start);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = h2(4, 0, 0, b"");
    let call = |data: &[u8]| {
        let headers: Vec<u8> = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/ledgerstone.v1.LedgerService/Execute"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        .iter()
        .flat_map(|(name, value)| {
            [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
        })
        .collect();
        [&preface[..], &settings, &h2(1, 4, 1, &headers), &h2(0, 1, 1, data)].concat()
    };
    let mut inputs = vec![
        call(b"\x00\x7f\xff\xff\xff"),
        call(b"\x00\xff\xff\xff\xff"),
        call(b"\x01\x00\x00\x00\x01\x00"),
        call(b"\x00\x00\x00\x00\x04\xff\xff\xff\xff"),
        call(b"\x00\x00\x00\x00\x06\x12\x84\x80\x80\x80\x7f"),
        call(b"\x00\x00"),
        [&preface[..], b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"].concat(),
        [&preface[..], &settings, &h2(1, 4, 1, &[0xff; 64])].concat(),
        [&preface[..], &settings, &h2(9, 0, 1, b"continuation of nothing")].concat(),
        [&preface[..], &settings, &h2(8, 0, 0, b"\x7f\xff\xff\xff"), &h2(8, 0, 0, b"\x7f\xff\xff\xff")].concat(),
        b"GET /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000000\r\n\r\nabc".to_vec(),
        b"GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        [b"GET /healthz HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(200_000), b"\r\n".to_vec()].concat(),
        [b"GET /".to_vec(), b"x".repeat(2 << 20), b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
        vec![0; 1 << 20],
        vec![0xff; 1 << 20],
    ];
    for _ in 0..200 {
        let mut bytes = if random.below(3) == 0 { random.bytes(200) } else { inputs[random.below(6)].clone() };
        random.mutate(&mut bytes);
        inputs.push(bytes);
    }
    for (case, bytes) in inputs.iter().enumerate() {
        let mut stream = TcpStream::connect(server.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may have had enough before it has read all; what it answers is its own affair.
        let _ = stream.write_all(bytes);
        let _ = stream.read(&mut [0; 4096]);
        if case % 20 == 0 {
            assert!(server.get("/healthz").is_some(), "seed {start}, case {case}");
            assert_eq!(server.psql_ok("SELECT 1"), "1");
        }
    }
    assert!(server.get("/healthz").is_some());
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 200 << 10, "{grown} KiB more: lengths were believed");
}

/// An HTTP/2 frame.
fn h2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Resident memory of the server.
fn memory_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// What serde_json makes of a text: nothing of one with a number that no float holds, which is JSON all the same.
fn json(text: &[u8], context: &str) -> Option<serde_json::Value> {
    match serde_json::from_slice(text) {
        Ok(value) => Some(value),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(error) => panic!("{error}: {context}"),
    }
}
