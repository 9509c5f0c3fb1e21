//! The fuzz targets as a test: each over its kept corpus and over seeded changes of it, so that a parser that panics on
//! something near to real input does not wait for somebody who fuzzes.
//!
//! `LEDGERSTONE_SEED=n` replays; `LEDGERSTONE_TEST_LONG=1` tries a hundred times as many changes.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_digest::ion::{Limits, Value, encode, ion_hash, parse, to_text};
use ledgerstone_digest::note::VerifierKey;
use ledgerstone_digest::receipt::{Content, Receipt};
use ledgerstone_digest::rotation::KeyChain;
use ledgerstone_digest::verifier::{Expectation, Trust, VerdictKind, verify, verify_transaction};
use ledgerstone_journal::batch::{BATCH_HEADER_BYTES, BatchHeader};
use ledgerstone_journal::keys::KeyDirectory;
use ledgerstone_journal::segment::{PAGE_BYTES, SegmentHeader};
use ledgerstone_journal::{Env, Keys};
use ledgerstone_protocol::v1;
use ledgerstone_query::database::{Database, DatabaseOptions};
use ledgerstone_query::export::{VerifyExportOptions, verify_export};
use ledgerstone_query::session::{Dialect, Door, Inline, Session, SessionOptions};
use ledgerstone_tests::fuzzing::{self, TARGETS, corpus_folder};
use ledgerstone_tests::seed;
use prost::Message as _;

use crate::cli_fixture::{Fixture, copy_directory};

fn factor() -> usize {
    if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 100 } else { 1 }
}

#[test]
fn no_parser_and_no_verifier_fails_on_changes_of_real_input() {
    let seed = seed("no_parser_and_no_verifier_fails_on_changes_of_real_input");
    for target in TARGETS {
        let began = std::time::Instant::now();
        let inputs = fuzzing::smoke(target, seed, factor());
        println!("{}: {inputs} inputs in {} ms", target.name, began.elapsed().as_millis());
    }
}

#[test]
fn libfuzzer_and_the_corpus_have_every_target() {
    let folder = corpus_folder();
    let names = |path: &Path, suffix: &str| {
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(suffix).to_owned())
            .collect();
        names.sort();
        names
    };
    let mut expected: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    expected.sort_unstable();
    assert_eq!(names(&folder, ""), expected);
    assert_eq!(names(&folder.join("../fuzz_targets"), ".rs"), expected);
    let manifest = std::fs::read_to_string(folder.join("../Cargo.toml")).unwrap();
    for name in expected {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
    }
}

/// Changes of blocks reach what an import does with them only from blocks that are imported.
#[test]
fn every_block_of_the_corpus_is_imported() {
    for (name, bytes) in fuzzing::corpus("journal_blocks") {
        assert!(fuzzing::imported(&bytes) >= 5, "{name}");
    }
}

/// Whoever can write to the disk can make checksums and hashes of batches again, but not what leaves commit to.
#[test]
fn no_byte_of_an_imported_ledger_can_be_changed_unnoticed() {
    let step = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 1 } else { 5 };
    for (name, bytes) in fuzzing::corpus("journal_blocks").iter().filter(|(name, _)| !name.ends_with("binary")) {
        let (unnoticed, asked) = fuzzing::unnoticed(bytes, step);
        println!("{name}: {asked} bytes");
        assert!(asked > 300 && unnoticed.is_empty(), "{name}: of {asked} {unnoticed:#?}");
    }
}

/// Changes of receipts reach what the verifier does with each kind only from one of that kind.
#[test]
fn the_corpus_has_a_receipt_of_every_kind_and_each_is_what_its_name_says() {
    let text = std::fs::read_to_string(corpus_folder().join("../vkey")).unwrap();
    let key: VerifierKey = text.trim().parse().unwrap();
    let shown = |name: &str, receipt: &[u8]| {
        let receipt = Receipt::decode(receipt).unwrap();
        if receipt.revisions.len() > 1 {
            verify_transaction(&receipt, &Trust::in_key(key.clone()), key.name()).unwrap();
            return "transaction";
        }
        let leaf = &receipt.revisions[0].leaf;
        let expected = Expectation {
            origin: key.name().to_owned(),
            table_id: leaf.table_id,
            document_id: leaf.document_id,
            version: None,
            content: None,
        };
        match verify(&receipt, &Trust::in_key(key.clone()), &expected) {
            Ok(verdict) => match verdict.kind {
                VerdictKind::Verified if KeyChain::new(key.clone()).follow(&receipt).is_ok() => "rotated",
                VerdictKind::Verified => "revision",
                VerdictKind::Deleted => "deleted",
                VerdictKind::Withheld => "withheld",
                VerdictKind::Redacted { .. } => "redacted",
            },
            Err(refusal) => {
                assert!(refusal.to_string().contains("not signed by"), "{name}: {refusal}");
                "by-the-new-key"
            }
        }
    };
    let kept = fuzzing::corpus("receipt");
    for (name, receipt) in &kept {
        assert_eq!(shown(name, receipt), name);
    }
    assert_eq!(kept.len(), 7);
}

/// An export is a directory, so it is no target for libFuzzer.
#[test]
fn an_export_that_was_changed_anywhere_is_refused() {
    let start = seed("an_export_that_was_changed_anywhere_is_refused");
    let fixture = Fixture::new(11);
    fixture.run(&["export", "--data", "data", "--keys", "keys", "export"]).says(0, &[]);
    let options = || VerifyExportOptions { keys: KeyChain::new(fixture.key.verifier().clone()), kept: None };
    assert!(verify_export(&fixture.path("export"), &options(), &mut |_| ()).is_ok());
    let mut files = Vec::new();
    all_files(&fixture.path("export"), Path::new(""), &mut files);
    for change in 0..40 * factor() as u64 {
        let copy = fixture.path("copy");
        copy_directory(&fixture.path("export"), &copy);
        let name = &files[(start.wrapping_add(change) % files.len() as u64) as usize];
        let before = std::fs::read(copy.join(name)).unwrap();
        let mut after = before.clone();
        fuzzing::change(&mut after, start.wrapping_mul(31).wrapping_add(change));
        std::fs::write(copy.join(name), &after).unwrap();
        let outcome = verify_export(&copy, &options(), &mut |_| ());
        // The manifest is JSON: the same one may be written otherwise.
        let parsed = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
        let same = after == before || name.ends_with(".json") && parsed(&after) == parsed(&before);
        let at = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let around = |bytes: &[u8]| {
            let part = bytes.get(at.saturating_sub(40)..(at + 60).min(bytes.len())).unwrap_or_default();
            String::from_utf8_lossy(part).into_owned()
        };
        let change =
            format!("seed {start}, change {change} of {name} at {at}: {} became {}", around(&before), around(&after));
        assert!(same || outcome.is_err(), "{change}, and passes");
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

fn all_files(root: &Path, below: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = below.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => all_files(root, &name, files),
            false => files.push(name.to_string_lossy().into_owned()),
        }
    }
    files.sort();
}

/// Writes the corpus anew out of real files and messages. What was found by fuzzing is kept beside it, under other names.
#[test]
#[ignore = "writes fuzz/corpus: cargo test -p ledgerstone-tests --test it -- --ignored make_the_corpus"]
fn make_the_corpus() {
    let fixture = Fixture::new(12);
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus_folder().join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    std::fs::create_dir_all(corpus_folder()).unwrap();
    std::fs::write(corpus_folder().join("../vkey"), fixture.text("vkey")).unwrap();
    for name in ["early", "late"] {
        keep("note", name, &fixture.read(name));
    }
    keep("note", "vkey", fixture.text("vkey").as_bytes());
    for name in ["proof", "block-proof"] {
        keep("tlog_proof", name, &fixture.read(name));
    }
    journal(&fixture, &keep);
    let run = ledgerstone_query::fuzzing::sample_index();
    keep("index_run", "revisions", &run);
    // The first block's length is not in it: blocks end where a checksum fits, which the target makes right anyway.
    keep("index_block", "first-bytes", &run[..run.len().min(600)]);
    keep("index_manifest", "manifest", &std::fs::read(fixture.path("data/main/index/manifest")).unwrap());
    keep("checkpoint_slots", "checkpoint", &std::fs::read(fixture.path("data/main/checkpoint")).unwrap());
    receipts(&fixture, &keep);
    requests(&keep);
    for (name, text) in ION {
        keep("ion_text", name, text.as_bytes());
        let value = ledgerstone_digest::ion::parse(text, &ledgerstone_digest::ion::Limits::DOCUMENT);
        keep("ion_binary", name, &ledgerstone_digest::ion::encode(&value.unwrap()));
    }
    keep("index_keys", "of-every-type", KEYS.as_bytes());
    for (target, statements) in [("sql", SQL), ("partiql", PARTIQL), ("json", JSON)] {
        for (n, text) in statements.iter().enumerate() {
            keep(target, &format!("{n:02}"), text.as_bytes());
        }
    }
    keep("copy", "csv", b"\x01a,b\t\"c \"\"d\"\"\ne\"\t\n\"\"\t\n");
    keep("copy", "csv-with-other-signs", b"\x1fh;h\n'a\\'b';c\n;\n");
    keep("copy", "text", b"\0a\\tb\t\\N\t\\\\\nc\\\nd\t\\x41\\101\te\n\\.\nignored");
    postgres(&keep);
}

fn journal(fixture: &Fixture, keep: &dyn Fn(&str, &str, &[u8])) {
    let segment = std::fs::read(fixture.path("data/main/journal").join(format!("{:020}.seg", 0))).unwrap();
    let header = SegmentHeader::decode(&segment[..PAGE_BYTES as usize]).unwrap();
    let mut at = PAGE_BYTES as usize;
    while let Some(batch) = segment.get(at..).and_then(|page| BatchHeader::decode(page, &header.nonce)) {
        let body = &segment[at + BATCH_HEADER_BYTES..at + BATCH_HEADER_BYTES + batch.length as usize];
        // The first ones have all kinds of frames: a genesis, dictionaries, definitions, documents.
        if batch.number < 4 || batch.number == 41 {
            keep("frames", &format!("batch-{}", batch.number), body);
        }
        if batch.number == 0 {
            keep("segment", "batch-0", body);
        }
        at += batch.extent() as usize;
    }
    // A whole file of the length that its header says, so short that it can be kept.
    let length = (PAGE_BYTES * 3) as usize;
    let short = SegmentHeader { length: length as u64, ..header };
    keep("segment", "file", &[&short.encode(), &segment[PAGE_BYTES as usize..length]].concat());
}

/// Receipts of every kind: of a revision, of a transaction, of what is redacted, deleted and withheld, and of rotations.
fn receipts(fixture: &Fixture, keep: &dyn Fn(&str, &str, &[u8])) {
    keep("receipt", "revision", &fixture.read("receipt"));
    keep("receipt", "transaction", &fixture.read("transaction"));
    let mut withheld = Receipt::decode(&fixture.read("receipt")).unwrap();
    let opening = withheld.revisions[0].opening.as_mut().unwrap();
    let Content::Data { metadata, data } = &opening.content else { panic!("a receipt without data") };
    opening.content = Content::DataHash { metadata: metadata.clone(), data_hash: ion_hash(data) };
    keep("receipt", "withheld", &withheld.encode());

    let id = fixture.key.name().rsplit('/').next().unwrap().parse().unwrap();
    let keys = KeyDirectory::open(&fixture.path("keys"), &fixture.path("data")).unwrap();
    let keys = Keys::new(keys.ring(id));
    let place = fixture.path("data/main");
    let database = Database::open(&Env::production(), &place, "main", keys, DatabaseOptions::default()).unwrap();
    let options = SessionOptions::new(Door::Embedded, "clerk", Dialect::PartiQl, Arc::new(Inline));
    let mut session = Session::over(Arc::clone(&database), options);
    let ledger = database.ledger();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut run = |text: &str| {
        let outcome = runtime.block_on(session.execute(text));
        outcome.map(drop).unwrap_or_else(|error| panic!("{text}: {error}"));
        ledger.checkpoint().unwrap().checkpoint.size
    };
    let size = run("DELETE FROM vehicle AS v WHERE v.n = 30");
    // `as-qldb` and `redacted` beside it were written by hand: the target makes the hashes.
    let blocks: Vec<_> = (0..6).map(|number| ledger.journal_block(number).unwrap().to_value()).collect();
    keep("journal_blocks", "ours", blocks.iter().map(to_text).collect::<Vec<_>>().join("\n").as_bytes());
    keep("journal_blocks", "ours-binary", &blocks.iter().flat_map(encode).collect::<Vec<_>>());
    keep("receipt", "deleted", &ledger.receipt(size - 2).unwrap().encode());
    let erased = run("UPDATE vehicle AS v SET v.city = 'Olympia' WHERE v.n = 31") - 2;
    run("UPDATE vehicle AS v SET v.city = 'Yakima' WHERE v.n = 31");
    let shown = ledger.receipt(erased).unwrap().revisions[0].leaf;
    let (strand, block) = (ledger.strand(), shown.block);
    run(&format!(
        "EXEC REDACT_REVISION `{{strandId: \"{strand}\", sequenceNo: {block}}}`, '{}', '{}'",
        shown.table_id, shown.document_id
    ));
    keep("receipt", "redacted", &ledger.receipt(erased).unwrap().encode());
    database.rotate_key("clerk", "embedded").unwrap();
    keep("receipt", "rotated", &ledger.rotations(None).unwrap()[0]);
    run("DELETE FROM vehicle AS v WHERE v.n = 32");
    keep("receipt", "by-the-new-key", &ledger.receipt(fixture.position).unwrap().encode());
    database.close().unwrap();
}

fn requests(keep: &dyn Fn(&str, &str, &[u8])) {
    let of = |message: &str, body: Vec<u8>| {
        let kind = fuzzing::REQUESTS.iter().position(|(name, _)| *name == message).unwrap();
        keep("grpc_requests", message, &[vec![kind as u8], body].concat());
    };
    let text = |text: &str| text.to_owned();
    let parameters = [Value::int(5), Value::NULL, parse("{a: [1.50, \"x\"]}", &Limits::DOCUMENT).unwrap()];
    let parameters = parameters.iter().map(encode).chain([Vec::new()]).collect();
    let execute = v1::ExecuteRequest {
        session: text("0Q2w8qKkC1ZBcMSa3YeXq0"),
        statement: text("INSERT INTO t VALUES ($1, $2, $3, $4)"),
        parameters,
        client_token: text("token-1"),
        rows_per_chunk_max: 100,
    };
    of("ExecuteRequest", execute.encode_to_vec());
    let open = v1::OpenSessionRequest { ledger: text("main"), user: text("ada"), dialect: 2 };
    of("OpenSessionRequest", open.encode_to_vec());
    let find = v1::FindCommitRequest {
        ledger: text("main"),
        client_token: text("token-1"),
        statement_digests: vec![vec![7; 32], vec![8; 32]],
    };
    of("FindCommitRequest", find.encode_to_vec());
    let name = v1::RevisionName { table: text("t"), document_id: text("3Qv67yjXEwB9SjmvkuG6Cp"), version: Some(3) };
    let receipt = v1::GetReceiptRequest { ledger: text("main"), of: Some(v1::get_receipt_request::Of::Revision(name)) };
    of("GetReceiptRequest", receipt.encode_to_vec());
    let proof = v1::GetConsistencyProofRequest { ledger: text("main"), from_size: 1, to_size: u64::MAX };
    of("GetConsistencyProofRequest", proof.encode_to_vec());
    let held = v1::BackupSegment { number: 1, header_hash: vec![9; 32], used_bytes: 1 << 20 };
    of("BackupRequest", v1::BackupRequest { ledger: text("main"), held: vec![held] }.encode_to_vec());
    of(
        "StreamBlocksRequest",
        v1::StreamBlocksRequest { ledger: text(""), from_position: 7, follow: true }.encode_to_vec(),
    );
    of("ListLedgersRequest", Vec::new());
}

fn postgres(keep: &dyn Fn(&str, &str, &[u8])) {
    let frame = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let bind = b"portal\0statement\0\0\x01\0\x01\0\x02\0\0\0\x04\x01\x02\x03\x04\xff\xff\xff\xff\0\x01\0\x01";
    let messages = [
        frame(b'P', b"statement\0SELECT $1\0\0\x01\0\0\0\x17"),
        frame(b'B', bind),
        frame(b'D', b"Pportal\0"),
        frame(b'E', b"portal\0\0\0\0\x05"),
        frame(b'C', b"Sstatement\0"),
        frame(b'H', b""),
        frame(b'S', b""),
    ];
    keep("postgres_messages", "extended", &messages.concat());
    let simple = [frame(b'Q', "SELECT 'é'\0".as_bytes()), frame(b'X', b"")].concat();
    keep("postgres_messages", "simple", &simple);
    let copy = [
        frame(b'd', b"1\tone\n"),
        frame(b'c', b""),
        frame(b'f', b"no\0"),
        frame(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,"),
    ];
    keep("postgres_messages", "copy", &copy.concat());
    let packet = |body: &[u8]| [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat();
    keep("postgres_startup", "start", &packet(b"\0\x03\0\0user\0test\0database\0main\0application_name\0psql\0\0"));
    keep("postgres_startup", "tls", &packet(b"\x04\xd2\x16\x2f"));
    keep("postgres_startup", "cancel", &packet(b"\x04\xd2\x16\x2e\0\0\0\x01abcd"));
}

const ION: &[(&str, &str)] = &[
    (
        "numbers",
        "{a: 1, b: -2, c: 12345678901234567890123, d: 1.50, e: -0.0, f: 1e400, g: 3d-9, h: nan, i: 0x1F, j: 0b1_0}",
    ),
    ("nulls", "[null, null.int, null.struct, a::null.symbol]"),
    (
        "timestamps",
        "[2020-02-29T23:59:59.123456789+05:30, 2001T, 0001-01-01, 9999-12-31T23:59:59.999Z, 2020-01-01T00:00-00:00]",
    ),
    (
        "texts",
        "{s: \"text \\u00e9\\U0001F600\\0\", y: symbol, q: 'odd symbol', l: '''a''' '''b''', c: {{\"cl\\xff\"}}, b: {{AP8=}}}",
    ),
    ("annotations", "{a: x::1, b: x::y::{c: z::\"t\"}, d: [k::null], $0: $0::$0}"),
    ("nesting", "{a: [[[[[[[[1]]]]]]]], b: (a + (b)), a: {}, a: []} // comment\n"),
];

const KEYS: &str = "true false -1d9 -1 -1e0 0 0e0 -0. 0.1 0.1e0 1 1.00 1e300 1d2147483647 +inf nan 2020T 2020-01-01T00:00Z a \"a\" \"a\\0b\" \
{{AA==}} {{\"a\"}} [] [1] [1, 2] (a) {} {a: 1} {a: 1, b: 2} {b: 2, a: 1} null null.int x::5";

const SQL: &[&str] = &[
    "CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x', n numeric(12,2) CHECK (n > 0), tags text[], UNIQUE (name))",
    "INSERT INTO t (id, name) VALUES ($1, 'it''s'), (2, E'\\n') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name AS n",
    "SELECT a.id, count(*) FILTER (WHERE b.n > 1.5e3), sum(b.n) OVER (PARTITION BY a.id ORDER BY b.n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t a LEFT JOIN u AS b ON a.id = b.id WHERE a.name LIKE 'x%' GROUP BY a.id HAVING count(*) > 1 ORDER BY 1 DESC NULLS LAST LIMIT 10 OFFSET 2",
    "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT * FROM r; UPDATE t SET n = n * 2 WHERE id IN (SELECT id FROM history(t) AS h); DELETE FROM t",
    "SELECT doc->'a'->>'b', owner.PrimaryOwner.PersonId, list[0], CASE WHEN x THEN 1 ELSE NULL END, CAST('2020-01-01' AS date), $$dollar$$ FROM t AS OF TIMESTAMP '2024-01-01T00:00:00Z' -- end",
    "BEGIN; SET ledgerstone.dialect = partiql; COPY t FROM STDIN (FORMAT csv, HEADER true); ALTER TABLE t ADD COLUMN x int; CREATE INDEX i ON t (name, (doc->'a')); ROLLBACK",
];

const PARTIQL: &[&str] = &[
    "INSERT INTO Person << {'a': ?, 'b': [1, 2.50, `x::{c: 2020T}`]}, `{d: \"`\", e: '`'}` >>",
    "SELECT VALUE {'n': p.name, 'r': r.metadata} FROM Person AS p BY pid, history(Reg, `2019-06-05T00:00:00Z`) AS r, @p.owners AS o AT i WHERE p.\"Name\" = 'it''s' AND o.x IS NOT MISSING",
    "FROM VehicleRegistration AS v WHERE v.VIN = ? INSERT INTO v.Owners.SecondaryOwners VALUE {'PersonId': ?} AT 0",
    "UPDATE t AS v SET v.a.b = v.c || 'x', v.d[1] = CAST(v.e AS DECIMAL) WHERE v.f BETWEEN 1 AND 2 OR NOT v.g LIKE 'a\\%' ESCAPE '\\'",
    "EXEC REDACT_REVISION `{strandId:\"x\", sequenceNo:1}`, 'table', 'doc'; CREATE INDEX ON t (a.b); UNDROP TABLE \"x\"; DELETE FROM t AS x WHERE x.a IN (1, 2)",
    "SELECT a, COUNT(*) AS c FROM t GROUP BY a ORDER BY c LIMIT 5; SELECT DATE_ADD(year, 1, `2020T`), EXTRACT(month FROM x), TRIM(BOTH ' ' FROM s) FROM UNPIVOT {'a': 1} AS v AT k",
];

const JSON: &[&str] = &[
    "{\"b\": [1, -2.50, 1e3, 0.1E-5, true, false, null], \"a\": {\"\": \"\\u00e9\\ud83d\\ude00\\n\\\"\"}, \"b\": \"last\"}",
    "[[[[[[]]]]], {}, \"\\u0001 \u{e9}\u{1f600}\", 12345678901234567890.123456789]",
];
