//! What the command line says of options and paths that are wrong: which one, what is wrong with it, and what to do; and the
//! other things that somebody new meets first.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli_fixture::Fixture;
use crate::harness::{Server, binary};

/// Ends with status 2 and these words on standard error, and without what only a programmer reads.
#[track_caller]
fn refused(f: &Fixture, arguments: &[&str], words: &[&str]) {
    let ran = f.run(arguments);
    assert_eq!(ran.status, 2, "{arguments:?}: {}{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{arguments:?}: {word:?} is not in: {}", ran.err);
    }
}

#[test]
fn an_option_that_is_wrong_is_named_with_what_to_give() {
    let f = Fixture::new(31);
    f.write("file", "x");
    let serve = |more: &[&'static str]| [&["serve", "--data", "data", "--keys", "keys"], more].concat();
    refused(
        &f,
        &["serve", "--data", "data", "--keys", "file"],
        &["keys directory file: not a directory", "--keys names"],
    );
    let export = |keys| ["export", "--data", "data", "--keys", keys, "out"];
    refused(&f, &export("file"), &["keys directory file: ", "--keys names"]);
    refused(&f, &export("nix"), &["keys directory nix: ", "--keys names"]);
    refused(
        &f,
        &serve(&["--tls-cert", "nix", "--tls-key", "file"]),
        &["--tls-cert nix: ", "give the server's certificate"],
    );
    refused(&f, &serve(&["--tls-cert", "file", "--tls-key", "file"]), &["--tls-cert file holds no certificate"]);
    refused(&f, &serve(&["--users", "nix"]), &["--users: the users file nix: "]);
    refused(&f, &serve(&["--access-keys", "nix"]), &["--access-keys: the access keys nix: "]);
    refused(
        &f,
        &serve(&["--limit", "x=abc"]),
        &["--limit x=abc: there is no limit of that name; names are connections"],
    );
    refused(
        &f,
        &serve(&["--limit", "portals=abc"]),
        &["--limit portals=abc: the value has to be a whole number from 1"],
    );
    users(&f.path("users"), "clerk", "pencil");
    for bad in ["[]", "{", "{\"clerk\": [{\"Effect\": \"allow\"}]}"] {
        f.write("policy", bad);
        let words = ["--policy policy: ", "{\"clerk\": [{\"Effect\": \"Allow\""];
        refused(&f, &serve(&["--users", "users", "--policy", "policy"]), &words);
    }
}

#[test]
fn a_path_that_is_wrong_is_named_with_what_to_give() {
    let f = Fixture::new(32);
    f.write("file", "x");
    refused(&f, &["restore", "nix"], &["nix: ", "give the directory that `ledgerstone backup` wrote to"]);
    refused(&f, &["restore", "data"], &["there is no journal/ in it", "such as data/main"]);
    let import = |path| ["import", "parquet", path, "--table", "t"];
    refused(&f, &import("data"), &["data is a directory: name the files in it"]);
    f.run(&["export", "--data", "data", "--keys", "keys", "out"]).says(0, &["exported"]);
    refused(&f, &import("out"), &["out is an export: name the files of one table, which are in out/tables"]);
    let rotate = |proof| ["rotate-key", "--data", "data", "--keys", "keys", "--proof", proof];
    refused(&f, &rotate("file"), &["--proof file: ", "give another name; nothing was rotated"]);
    refused(&f, &rotate("nix/file"), &["--proof nix/file: ", "make it first, or give another; nothing was rotated"]);
    assert_eq!(f.text("file"), "x");
    refused(&f, &["export", "--data", "data", "--ledger", "hr", "o"], &["no ledger \"hr\": there is: main; --ledger"]);
    refused(&f, &["export", "--data", "nix", "o"], &["nix has no ledger \"main\"", "--data names where ledgers are"]);
}

#[test]
fn an_export_of_a_time_before_the_ledger_says_when_it_begins() {
    let f = Fixture::new(33);
    let export = |from, to| {
        ["export", "--data", "data", "--keys", "keys", "--format", "qldb-ion", "--from", from, "--to", to, "blocks"]
    };
    let begins = "The ledger begins at 20";
    refused(&f, &export("2001-01-01", "2001-02-01"), &["--to 2001-02-01T", "the ledger begins after that", begins]);
    refused(&f, &export("2001-02-01", "2001-01-01"), &["the ledger begins after that", begins]);
    let year = "2999-01-01";
    refused(
        &f,
        &["export", "--data", "data", "--keys", "keys", "--format", "qldb-ion", "--from", year, "blocks"],
        &["--from 2999-01-01T", "no block from then on", begins],
    );
    assert!(!f.path("blocks").exists());
}

#[test]
fn a_redaction_is_told_in_words() {
    let server = Server::start();
    server.psql_ok(
        "CREATE TABLE patient (id text PRIMARY KEY, name text); INSERT INTO patient VALUES ('p1', 'Raul'); \
         UPDATE patient SET name = 'gone'",
    );
    let ids = server.psql_ok(
        "SELECT t.\"tableId\", h._ql_id, h._ql_block, h._ql_position FROM history(patient) AS h, \
         information_schema.user_tables AS t WHERE t.name = 'patient' AND h._ql_version = 0",
    );
    let strand = server.psql_ok("SELECT blockaddress->>'strandId' FROM _ql_committed_patient");
    let parts: Vec<&str> = ids.split('|').collect();
    let [table, document, block, position] = parts[..] else { panic!("{ids}") };
    server.psql_ok(&format!(
        "EXEC REDACT_REVISION '{{\"strandId\": \"{strand}\", \"sequenceNo\": {block}}}', '{table}', '{document}'"
    ));
    let directory = tempfile::tempdir().unwrap();
    let receipt = directory.path().join("receipt");
    fs::write(&receipt, server.psql_ok(&format!("SELECT ledgerstone_receipt_at({position})"))).unwrap();
    let vkey = server.psql_ok("SELECT ledgerstone_vkey()");
    let output = Command::new(binary()).arg("verify").arg(&receipt).args(["--key", &vkey]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    for words in
        ["by \"test\", 20", &format!("version 0 of document {document} in table {table}, which block {block} wrote")]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("RedactionRecord"), "{said}");
}

#[test]
fn the_http_port_says_what_it_is_and_nothing_of_this_server() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    users(&file, "clerk", "pencil");
    let server = Server::start_with(&["--users", file.to_str().unwrap()]);
    let page = server.get("/").unwrap();
    for words in
        ["HTTP/1.1 200", "content-type: text/plain", "Ledgerstone ", "/healthz", "/metrics", "gRPC", "https://"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    for secret in ["clerk", "main", &server.data().display().to_string()] {
        assert!(!page.contains(secret), "{secret}: {page}");
    }
}

#[test]
fn the_line_for_psql_that_a_server_with_users_shows_connects() {
    let f = Fixture::new(34);
    users(&f.path("users"), "o'hara", "pencil");
    let mut serve = Command::new(binary());
    serve.args(["serve", "--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0", "--users"]).arg(f.path("users"));
    serve.arg("--data").arg(f.path("data")).arg("--keys").arg(f.path("keys")).stderr(Stdio::null());
    let mut server = serve.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.map(|line| line.trim().to_owned()).find(|line| line.starts_with("psql ")).expect("a line");
    let typed = format!("{line} -XAtc 'SELECT current_user'");
    let output = Command::new("sh").args(["-c", &typed]).env("PGPASSWORD", "pencil").output();
    server.kill().unwrap();
    server.wait().unwrap();
    let output = output.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(said, "o'hara\n", "{line}");
}

/// A users file with one user in it.
fn users(path: &Path, name: &str, password: &str) {
    let mut passwd = Command::new(binary());
    passwd.args(["passwd", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = passwd.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    fs::write(path, child.wait_with_output().unwrap().stdout).unwrap();
}
