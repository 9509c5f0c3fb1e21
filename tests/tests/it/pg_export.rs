//! COPY … TO 'name' (FORMAT parquet): verified exports made by the server, below its export directory and nowhere else.

use std::path::Path;
use std::process::Command;

use crate::harness::{Server, binary};

const REGISTRY: &str = "CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE other (id int PRIMARY KEY);
    INSERT INTO person SELECT g, 'person ' || g FROM generate_series(1, 50) g;
    INSERT INTO other VALUES (1);
    UPDATE person SET name = 'someone' WHERE id <= 10;
    DELETE FROM person WHERE id = 50;";

fn verify(directory: &Path, vkey: &str) -> (Option<i32>, String) {
    let output = Command::new(binary()).arg("verify").arg(directory).args(["--key", vkey]).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), text)
}

#[test]
fn what_copy_exports_verifies_without_the_server() {
    let exports = tempfile::tempdir().unwrap();
    let directory = exports.path().join("made/if/need-be");
    let server = Server::start_with(&["--exports", &directory.display().to_string()]);
    server.psql_ok(REGISTRY);
    let vkey = server.psql_ok("SHOW ledgerstone.vkey");
    let output = server.psql_with(
        &["-At"],
        "\\unset QUIET
         COPY person TO 'now' (FORMAT parquet);
         COPY (SELECT * FROM person) TO 'now.2' (FORMAT parquet);
         COPY (SELECT * FROM history(person) AS h) TO 'history_1' (FORMAT parquet);",
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["COPY 49", "COPY 49", "COPY 61"], "{output:?}");
    let notices = String::from_utf8_lossy(&output.stderr);
    assert!(notices.contains("ledgerstone verify") && notices.contains("history_1"), "{notices}");
    drop(server);
    for (name, scope) in [("now", "current"), ("now.2", "current"), ("history_1", "history")] {
        let (status, text) = verify(&directory.join(name), &vkey);
        assert_eq!(status, Some(0), "{name}: {text}");
        assert!(text.contains(&format!("scope         {scope}")), "{name}: {text}");
    }
    let mut names: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["history_1", "now", "now.2"], "nothing unfinished stays");
}

#[test]
fn an_export_goes_nowhere_else_and_overwrites_nothing() {
    let exports = tempfile::tempdir().unwrap();
    let directory = exports.path().join("exports");
    let server = Server::start_with(&["--exports", &directory.display().to_string()]);
    server.psql_ok(REGISTRY);
    let outside = exports.path().join("outside");
    for name in ["../outside", "/tmp/outside", "a/b", "..", ".", ".hidden", "", "-x", "a b", "ä", &"x".repeat(129)] {
        let error = server.psql_error(&format!("COPY person TO '{name}' (FORMAT parquet)"));
        assert!(error.contains("42602") && error.contains("cannot be the name of an export"), "{name}: {error}");
    }
    std::os::unix::fs::symlink(&outside, directory.join("link")).unwrap();
    std::fs::create_dir(directory.join("taken")).unwrap();
    for name in ["link", "taken"] {
        let error = server.psql_error(&format!("COPY person TO '{name}' (FORMAT parquet)"));
        assert!(error.contains("58P02") && error.contains("already"), "{name}: {error}");
    }
    for (statement, state) in [
        ("COPY (SELECT id FROM person) TO 'x' (FORMAT parquet)", "0A000"),
        ("COPY (SELECT * FROM person WHERE id = 1) TO 'x' (FORMAT parquet)", "0A000"),
        ("COPY (SELECT * FROM person LIMIT 1) TO 'x' (FORMAT parquet)", "0A000"),
        ("COPY (SELECT * FROM person, other) TO 'x' (FORMAT parquet)", "0A000"),
        ("COPY person (id) TO 'x' (FORMAT parquet)", "0A000"),
        ("COPY person TO 'x' (FORMAT csv)", "0A000"),
        ("COPY person TO 'x'", "0A000"),
        ("COPY person FROM 'x' (FORMAT parquet)", "0A000"),
        ("COPY nowhere TO 'x' (FORMAT parquet)", "42P01"),
        ("BEGIN; COPY person TO 'x' (FORMAT parquet)", "25001"),
    ] {
        let error = server.psql_error(statement);
        assert!(error.contains(state), "{statement}: {error}");
    }
    assert!(!outside.exists() && !directory.join("x").exists());
}

#[test]
fn without_an_export_directory_nothing_is_written() {
    let server = Server::start();
    server.psql_ok(REGISTRY);
    let error = server.psql_error("COPY person TO 'x' (FORMAT parquet)");
    assert!(error.contains("55000") && error.contains("--exports DIR"), "{error}");
}

#[test]
fn an_export_directory_that_cannot_be_is_refused_before_anything_is_made() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(at("file"), "").unwrap();
    for (exports, why) in [("data/exports", "must not lie inside each other"), ("file/exports", "file/exports")] {
        let output = Command::new(binary())
            .args(["serve", "--data", &at("data"), "--keys", &at("keys"), "--exports", &at(exports)])
            .args(["--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why), "{said}");
        assert!(!place.path().join("data").exists() && !place.path().join("keys").exists(), "{said}");
    }
}

#[test]
fn buckets_without_keys_in_the_environment_are_refused_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let output = Command::new(binary())
        .args(["serve", "--data", &at("data"), "--keys", &at("keys"), "--s3", "http://127.0.0.1:1"])
        .args(["--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .env_remove("AWS_ACCESS_KEY_ID")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("AWS_ACCESS_KEY_ID is not set"), "{said}");
}
