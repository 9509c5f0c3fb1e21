//! `ledgerstone import csv|json|ion|parquet` as its user runs it: files into tables of a running server, hostile files, imports
//! that stop in the middle and go on, and what `export` wrote brought back.

use std::path::{Path, PathBuf};
use std::process::Command;

use ledgerstone_digest::ion::{Limits, encode, parse};
use tempfile::TempDir;

use crate::harness::{Server, binary};

/// A server and a place for files.
struct Place {
    server: Server,
    files: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { server: Server::start(), files: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Status, and what it said.
    fn import(&self, format: &str, file: &Path, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(binary())
            .args(["import", format, "--connect", &self.server.http.to_string()])
            .arg(file)
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code().unwrap_or(-1), text)
    }

    fn imported(&self, format: &str, file: &Path, arguments: &[&str]) -> String {
        let (status, text) = self.import(format, file, arguments);
        assert_eq!(status, 0, "{text}");
        text
    }

    fn refused(&self, format: &str, file: &Path, arguments: &[&str], texts: &[&str]) -> String {
        let (status, text) = self.import(format, file, arguments);
        assert_ne!(status, 0, "{text}");
        for expected in texts {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        text
    }

    fn ask(&self, statement: &str) -> String {
        self.server.psql_ok(statement).trim().to_owned()
    }
}

#[test]
fn a_csv_file_becomes_a_table_with_types() {
    let place = Place::new();
    let text = "\u{feff}id,name,price,day,zip,note\r\n\
                1,\"O\"\"Hara\r\nJr.\",1.50,2020-01-31,01234,\r\n\
                2,Ada,20,2020-02-29,99999,\"\"\r\n";
    let file = place.file("people.csv", text);
    let said = place.imported("csv", &file, &["--table", "person", "--create", "--primary-key", "id"]);
    assert!(said.contains("2 rows into person in 1 transaction"), "{said}");
    let types = "SELECT string_agg(column_name || ' ' || data_type, ', ') FROM information_schema.columns WHERE table_name = 'person'";
    assert_eq!(place.ask(types), "id bigint, name text, price numeric, day date, zip text, note text");
    let rows = place.ask("SELECT id, replace(replace(name, chr(13), 'CR'), chr(10), 'LF'), price, day, zip, note IS NULL, note = '' FROM person ORDER BY id");
    assert_eq!(rows, "1|O\"HaraCRLFJr.|1.50|2020-01-31|01234|t|\n2|Ada|20|2020-02-29|99999|f|t");
    // The same rows again are refused by the key, at the first line.
    place.refused("csv", &file, &["--table", "person"], &["people.csv, line 2: duplicate key", "No row was imported"]);
    // Other names, another delimiter, no header, and a field that is left out.
    let file = place.file("more.csv", "Nr;Wer;Egal\n3;NULL;x\n");
    let mapped = [
        "--table",
        "person",
        "--delimiter",
        ";",
        "--null",
        "NULL",
        "--map",
        "Nr=id",
        "--map",
        "Wer=name",
        "--skip",
        "Egal",
    ];
    place.imported("csv", &file, &mapped);
    let file = place.file("bare.csv", "4,Eve,3,2021-01-01,1,n\n");
    place.imported("csv", &file, &["--table", "person", "--no-header"]);
    assert_eq!(place.ask("SELECT id, name FROM person WHERE id > 2 ORDER BY id"), "3|\n4|Eve");
}

#[test]
fn chunks_before_a_bad_row_stay_and_an_import_goes_on_behind_them() {
    let place = Place::new();
    place.ask("CREATE TABLE n (id int4 PRIMARY KEY, v int4 CHECK (v < 1000))");
    let lines = |bad: &str| {
        let line = |n: u32| if n == 57 { format!("{n},{bad}\n") } else { format!("{n},{n}\n") };
        format!("id,v\n{}", (1..=95).map(line).collect::<String>())
    };
    let file = place.file("n.csv", lines("abc"));
    let chunks = ["--table", "n", "--chunk-rows", "10"];
    let said = place.refused(
        "csv",
        &file,
        &chunks,
        &["n.csv, line 58, column v: ", "\"abc\"", "The first 50 rows are in the table"],
    );
    assert_eq!(place.ask("SELECT count(*) FROM n"), "50");
    let token = said.split("--resume ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let go_on = ["--table", "n", "--chunk-rows", "10", "--resume", &token];
    // The server's refusal of one row of a chunk has its line too.
    let file = place.file("n.csv", lines("5000"));
    place.refused("csv", &file, &go_on, &["n.csv, line 58: ", "check", "{id:57,v:5000}", "The first 50 rows"]);
    let file = place.file("n.csv", lines("57"));
    let said = place.imported("csv", &file, &go_on);
    assert!(said.contains("95 rows into n in 10 transactions, 50 of them there already"), "{said}");
    assert_eq!(place.ask("SELECT count(*), sum(v) FROM n"), "95|4560");
    // All over again it finds everything, and with other rows nothing goes.
    let said = place.imported("csv", &file, &go_on);
    assert!(said.contains("95 of them there already"), "{said}");
    let file = place.file("n.csv", "id,v\n200,1\n");
    place.refused("csv", &file, &go_on, &["different transaction", "Are the files and the options those"]);
    assert_eq!(place.ask("SELECT count(*) FROM n"), "95");
}

#[test]
fn an_atomic_import_is_whole_or_nothing() {
    let place = Place::new();
    place.ask("CREATE TABLE n (id int4 PRIMARY KEY)");
    let rows: String = (0..30_000).map(|n| format!("{n}\n")).collect();
    let file = place.file("n.csv", format!("id\n{rows}7\n"));
    place.refused("csv", &file, &["--table", "n", "--atomic"], &["duplicate key", "No row was imported"]);
    assert_eq!(place.ask("SELECT count(*) FROM n"), "0");
    let file = place.file("n.csv", format!("id\n{rows}"));
    let said = place.imported("csv", &file, &["--table", "n", "--atomic", "--json"]);
    assert!(said.contains("\"rows\":30000") && said.contains("\"chunks\":1"), "{said}");
    assert_eq!(
        place.ask("SELECT count(*), count(DISTINCT r.\"blockAddress\") > 0 FROM n, (SELECT 1 AS \"blockAddress\") r"),
        "30000|t"
    );
}

#[test]
fn json_and_ion_become_documents_as_they_are() {
    let place = Place::new();
    let file =
        place.file("e.jsonl", "{\"a\": 1.50, \"b\": [null, {\"c\": \"x\"}]}\n{\"a\": 12345678901234567890123}\n");
    place.imported("json", &file, &["--table", "event", "--create"]);
    let file = place.file("e.json", " [ {\"a\": true},\n{\"a\": null} ] ");
    place.imported("json", &file, &["--table", "event"]);
    let rows = place.ask("SELECT * FROM event");
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            "{\"a\": 1.50, \"b\": [null, {\"c\": \"x\"}]}",
            "{\"a\": 12345678901234567890123}",
            "{\"a\": null}",
            "{\"a\": true}"
        ]
    );

    let texts = ["{a:1.50,t:2020-01-01T,s:sym,b:{{aGk=}}}", "{a:q::(x 1),n:null.int}"];
    let text = format!("// documents\n{}\n{}\n", texts[0], texts[1]);
    place.imported("ion", &place.file("v.ion", text), &["--table", "Vehicle", "--create"]);
    let binary: Vec<u8> = texts.iter().flat_map(|text| encode(&parse(text, &Limits::DOCUMENT).unwrap())).collect();
    place.imported("ion", &place.file("v.10n", binary), &["--table", "Vehicle"]);
    let shell = Command::new(self::binary())
        .args(["shell", "--connect", &place.server.postgres.to_string(), "--partiql", "--format", "ion"])
        .args(["-c", "SELECT VALUE COUNT(*) FROM Vehicle AS v WHERE v.a = 1.50 AND v.s = 'sym' OR v.n IS NULL"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shell.stdout).into_owned();
    assert!(shown.contains('4'), "{shown}{}", String::from_utf8_lossy(&shell.stderr));
}

#[test]
fn wrong_types_are_refused_with_column_and_text() {
    let place = Place::new();
    place.ask("CREATE TABLE t (id int4 PRIMARY KEY, name text NOT NULL, day date, price numeric(6,2))");
    let json = |text: &str, texts: &[&str]| {
        let file = place.file("t.json", text);
        place.refused("json", &file, &["--table", "t"], texts);
    };
    json(
        "{\"id\": 1, \"name\": \"a\"}\n{\"id\": \"x\", \"name\": \"b\"}",
        &["t.json, line 2, column id: ", "\"x\"", "No row was"],
    );
    json("{\"id\": 1, \"name\": 5}", &["line 1, column name: an Ion int cannot be a text"]);
    json("{\"id\": 1, \"name\": \"a\", \"day\": \"2020-02-31\"}", &["line 1, column day: ", "2020-02-31"]);
    json("{\"id\": 1, \"name\": \"a\", \"price\": 123456.5}", &["line 1, column price: ", "123456.5"]);
    json("{\"id\": 1, \"name\": \"a\", \"nix\": 1}", &["line 1: the table has no column nix", "--skip nix"]);
    json("{\"id\": 1, \"name\": \"a\"}\n\n{\"id\": 2}", &["line 3: ", "name"]);
    json("{\"id\": 1, \"name\": \"a\"} 5", &["line 1: an Ion int is no row"]);
    let file = place.file("t.csv", "id,name\n1,a\n2\n");
    place.refused("csv", &file, &["--table", "t"], &["t.csv, line 3: the line has 1 fields"]);
    place.refused("csv", &file, &["--table", "nowhere"], &["there is no table \"nowhere\"", "--create"]);
    place.refused("csv", &file, &["--table", "t", "--create"], &["is there already"]);
    place.refused("csv", Path::new("/nowhere/at.all"), &["--table", "t"], &["/nowhere/at.all: "]);
    assert_eq!(place.ask("SELECT count(*) FROM t"), "0");
}

#[test]
fn hostile_files_are_refused_and_the_server_goes_on() {
    let place = Place::new();
    place.ask("CREATE TABLE loose");
    let into = ["--table", "loose"];
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    for format in ["json", "ion"] {
        let file = place.file("deep", &deep);
        place.refused(format, &file, &into, &["deep, line 1: ", "No row was imported"]);
        let file = place.file("long", format!("{{\"a\": \"{}\"}}", "x".repeat(17 << 20)));
        place.refused(format, &file, &into, &["long, line 1: a value is longer than 16 MiB"]);
        let file = place.file("cut", "{\"a\": 1}\n{\"a\": \"");
        place.refused(format, &file, &into, &["cut, line 2: the file ends inside a value"]);
    }
    let file = place.file("long.csv", format!("a\n\"{}", "x".repeat(17 << 20)));
    place.refused("csv", &file, &into, &["long.csv, line 2: a row is longer than 16 MiB"]);
    let file = place.file("latin.csv", b"a\nM\xfcller\n");
    place.refused("csv", &file, &into, &["latin.csv, line 2: a field is not UTF-8"]);
    let file = place.file("huge.10n", [0xE0, 1, 0, 0xEA, 0xDE, 0x7f, 0x7f, 0x7f, 0x7f, 0xff]);
    place.refused("ion", &file, &into, &["huge.10n, row 1: a value is longer than 16 MiB"]);
    let file = place.file("no.parquet", b"PAR1 and nothing of the kind");
    place.refused("parquet", &file, &into, &["no.parquet: it is no whole Parquet file"]);
    assert_eq!(place.ask("SELECT count(*) FROM loose"), "0");
}

#[test]
fn what_export_wrote_comes_back_the_same() {
    let exports = tempfile::tempdir().unwrap();
    let server = Server::start_with(&["--exports", &exports.path().display().to_string()]);
    let place = Place { server, files: tempfile::tempdir().unwrap() };
    place.ask(
        "CREATE TABLE t (id int4 PRIMARY KEY, m numeric(10,2), d date, ts timestamptz, b bytea, j jsonb, a text[], iv interval, f float8);
         INSERT INTO t SELECT g, g * 1.25, date '2020-01-01' + g, timestamptz '2020-01-01' + g * interval '1 second',
           decode('00ff', 'hex'), jsonb_build_object('k', g), ARRAY['x', NULL], interval '1 day', g / 4.0 FROM generate_series(1, 500) g;
         INSERT INTO t (id) VALUES (501);
         UPDATE t SET m = 0 WHERE id = 7;
         DELETE FROM t WHERE id = 8;
         COPY t TO 'out' (FORMAT parquet)",
    );
    let file = parquet_in(exports.path());
    let said = place.imported("parquet", &file, &["--table", "again", "--create", "--chunk-rows", "200"]);
    assert!(said.contains("500 rows into again in 3 transactions"), "{said}");
    place.ask("CREATE TABLE same (id int4 PRIMARY KEY, m numeric(10,2), d date, ts timestamptz, b bytea, j jsonb, a text[], iv interval, f float8)");
    place.imported("parquet", &file, &["--table", "same"]);
    for query in ["SELECT * FROM t EXCEPT ALL SELECT * FROM same", "SELECT * FROM same EXCEPT ALL SELECT * FROM t"] {
        assert_eq!(place.ask(query), "");
    }
    let columns = "id, m, d, ts, b, j, a, iv, f";
    let documents = "SELECT count(*) FROM t JOIN again ON t.id = again.id WHERE (t.m = again.m OR t.m IS NULL) AND (t.f = again.f OR t.f IS NULL)";
    assert_eq!(place.ask(documents), "500", "{columns}");
    // Cut anywhere, or changed anywhere, it is refused or read; nothing of it ends in a panic or goes on for ever.
    let whole = std::fs::read(&file).unwrap();
    place.ask("CREATE TABLE scratch");
    for part in [1, 4, whole.len() / 3, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        let cut = place.file("cut.parquet", &whole[..part]);
        place.refused("parquet", &cut, &["--table", "scratch"], &["cut.parquet: it is no whole Parquet file"]);
    }
    for seed in 0..12_usize {
        let mut changed = whole.clone();
        let at = seed * 7_919 % changed.len();
        changed[at] ^= 0x55;
        let (status, text) = place.import("parquet", &place.file("changed.parquet", changed), &["--table", "scratch"]);
        assert!((0..=2).contains(&status) && !text.contains("panicked"), "byte {at}: {status} {text}");
    }
}

/// The file of the one user table of an export; the names of system tables begin with zeros.
fn parquet_in(directory: &Path) -> PathBuf {
    let mut open = vec![directory.to_path_buf()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet")
                && !path.file_name().unwrap().to_string_lossy().starts_with("0000")
            {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
