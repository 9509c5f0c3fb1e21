//! What is as large as it may be, one over, or much larger than it looks.

use ledgerstone_client::Verifier;
use ledgerstone_client::digest::ion::{self, Annotated, Int, Limits, Struct, Symbol, Value};

use super::ion_doors::{Doors, by_key};
use super::{Failures, export_and_verify, raw};
use crate::grpc_sessions::connect;
use crate::harness::Server;

const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Kinds of content, each of about so many bytes.
type Kind = (&'static str, fn(usize) -> Value);

const KINDS: [Kind; 7] = [
    ("text", |bytes| Value::string("x".repeat(bytes))),
    ("bytes", |bytes| Value::blob(vec![7; bytes])),
    ("large integers", |bytes| {
        let int = Int::from_sign_magnitude(false, &vec![0x7f; Int::BYTES_MAX]);
        Value::List(vec![Value::Int(int); bytes / Int::BYTES_MAX])
    }),
    ("symbols", |bytes| Value::List((0..bytes / 1_000).map(|n| Value::symbol(format!("{n:01000}"))).collect())),
    ("annotations", |bytes| {
        let annotations = (0..bytes / 1_000).map(|n| Symbol::new(format!("{n:01000}"))).collect();
        Value::Annotated(Box::new(Annotated { annotations, value: Value::int(1) }))
    }),
    ("field names", |bytes| {
        Value::Struct(Struct::from_fields(
            (0..bytes / 1_000)
                .map(|n| (format!("{n:01000}").as_str().into(), Value::NULL))
                .collect::<Vec<(Symbol, Value)>>(),
        ))
    }),
    ("timestamps", |bytes| {
        let text = "2020-01-01T00:00:00.00000000000000000000000000000000000001+05:30";
        Value::List(vec![ion::parse(text, &Limits::DOCUMENT).unwrap(); bytes / 29])
    }),
];

#[tokio::test]
async fn no_document_is_stored_that_a_verifier_would_refuse() {
    let mut server = Server::start();
    let mut doors = Doors::open(&server).await;
    doors.ask("CREATE TABLE d", Vec::new()).await.unwrap();
    let mut failures = Failures::default();
    for (kind, content) in KINDS {
        // Each of the two is small enough to be a parameter.
        let half = ion::encode(&content(DOCUMENT_BYTES_MAX / 2 + 10_000));
        match doors.ask("INSERT INTO d {'n': 'half', 'door': 'two', 'v': [?, ?]}", vec![half.clone(), half]).await {
            Err(refusal) if refusal.state == "54000" && refusal.message.contains("16777216 bytes") => {}
            outcome => failures.note(format!("two halves of {kind}: {outcome:?}")),
        }
    }
    let document = |bytes: usize| {
        let fields = [
            ("n", Value::string("at the limit")),
            ("door", Value::string("?")),
            ("v", Value::string("x".repeat(bytes))),
        ];
        Value::Struct(Struct::from_fields(fields.map(|(name, value)| (Symbol::new(name), value))))
    };
    // How much the document has beside the text is not this test's business.
    let (mut taken, mut refused) = (DOCUMENT_BYTES_MAX - 256, DOCUMENT_BYTES_MAX);
    while refused - taken > 1 {
        let bytes = taken + (refused - taken) / 2;
        doors.ask("DELETE FROM d", Vec::new()).await.unwrap();
        match doors.ask("INSERT INTO d ?", vec![ion::encode(&document(bytes))]).await {
            Ok(_) => taken = bytes,
            Err(refusal) if refusal.state == "54000" => refused = bytes,
            Err(refusal) => panic!("{bytes} bytes: {refusal:?}"),
        }
    }
    doors.ask("DELETE FROM d", Vec::new()).await.unwrap();
    doors.ask("INSERT INTO d ?", vec![ion::encode(&document(taken))]).await.unwrap();
    server.kill();
    server.restart();
    let mut doors = Doors::open(&server).await;
    let stored = by_key([document(taken)].iter());
    assert!(doors.current("d").await == stored, "it comes back");
    let mut verifier = Verifier::trust_on_first_use(connect(&server).await, "main", None).await.unwrap();
    assert!(super::receipts(&mut verifier).await == stored, "its receipt verifies");
    export_and_verify(&mut server, &mut failures);
    failures.end();
}

#[tokio::test]
async fn ion_bombs_are_refused_before_they_go_off() {
    let server = Server::start();
    let mut doors = Doors::open(&server).await;
    doors.ask("CREATE TABLE d", Vec::new()).await.unwrap();
    let mut failures = Failures::default();
    let long = "x".repeat(64 << 10);
    let references = 2_000;
    // 128 MiB written out, 70 KiB as they are sent; a larger one would stand for terabytes.
    let bomb = |value: &[u8]| {
        let fields = [&[0x8a][..], value].concat();
        [raw::symbol_table(&["v", &long]), raw::tlv(13, &fields)].concat()
    };
    let text = |inner: String| format!("INSERT INTO d `$ion_symbol_table::{{symbols: [\"{long}\"]}} {{v: {inner}}}`");
    let million = vec![0x11; (4 << 20) + 1];
    for (name, statement, parameters, names) in [
        (
            "a list of symbols",
            "INSERT INTO d ?",
            vec![bomb(&raw::tlv(11, &[0x71, 0x0b].repeat(references)))],
            "written out",
        ),
        (
            "names of fields",
            "INSERT INTO d ?",
            vec![bomb(&raw::tlv(13, &[0x8b, 0x11].repeat(references)))],
            "written out",
        ),
        (
            "a value that is not stored",
            "SELECT VALUE ? FROM <<0>>",
            vec![bomb(&raw::tlv(11, &[0x71, 0x0b].repeat(references)))],
            "written out",
        ),
        (
            "annotations",
            "INSERT INTO d ?",
            vec![bomb(&raw::tlv(
                14,
                &[&raw::var_uint(references as u64)[..], &[0x8b].repeat(references), &[0x11]].concat(),
            ))],
            "written out",
        ),
        ("symbols in text", &*text(format!("[{}]", "$10,".repeat(references))), Vec::new(), "written out"),
        ("fields in text", &*text(format!("{{{}}}", "$10:1,".repeat(references))), Vec::new(), "written out"),
        ("more values than a document has", "INSERT INTO d ?", vec![bomb(&raw::tlv(11, &million))], "values"),
    ] {
        match doors.ask(statement, parameters).await {
            Err(refusal) if refusal.state == "54000" && refusal.message.contains(names) => {}
            outcome => failures.note(format!("{name}: {outcome:?}")),
        }
        assert!(doors.are_alive().await, "{name}");
    }
    for (document, state, names) in [
        ("{id: \"x\", version: 1, txTime: 2020T, txId: \"y\"}", "42939", "metadata"),
        ("{_ql_salt: 1}", "42939", "_ql_salt"),
        ("{a: 1, _ql_salt: 1, _ql_salt: 2}", "42939", "_ql_salt"),
        ("a::{b: 1}", "42804", "annotations"),
        ("null.struct", "42804", "struct"),
        ("1", "42804", "struct"),
        ("\"{}\"", "42804", "struct"),
    ] {
        let parameter = ion::encode(&ion::parse(document, &Limits::DOCUMENT).unwrap());
        for (door, statement, parameters) in [
            ("as a parameter", "INSERT INTO d ?".to_owned(), vec![parameter]),
            ("as a literal", format!("INSERT INTO d `{document}`"), Vec::new()),
        ] {
            match doors.ask(&statement, parameters).await {
                Err(refusal) if refusal.state == state && refusal.message.contains(names) => {}
                outcome => failures.note(format!("{document} {door}: {outcome:?}")),
            }
        }
    }
    assert_eq!(server.psql_ok("SELECT count(*) FROM d"), "0");
    failures.end();
}
