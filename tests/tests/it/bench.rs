//! `ledgerstone bench` in each of its ways, for a second.

use std::process::Command;

use crate::harness::{Server, binary};

fn run(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(binary())
        .args(["bench", "--json", "--clients", "3", "--seconds", "1", "--rows", "1200"])
        .args(arguments)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn every_way_to_the_ledger_is_measured_and_leaves_nothing_behind() {
    let server = Server::start();
    let address = server.postgres.to_string();
    let http = server.http.to_string();
    for arguments in [
        &["--embedded"][..],
        &[][..],
        &["--connect", &address][..],
        &["--qldb"][..],
        &["--qldb", "--connect", &http][..],
    ] {
        let found = run(arguments);
        assert_eq!(found["rows"], 1200);
        assert_eq!(found["embedded"], arguments.contains(&"--embedded"));
        assert_eq!(found["qldb"], arguments.contains(&"--qldb"));
        let results = found["results"].as_array().expect("results");
        assert_eq!(results.len(), 3);
        for result in results {
            assert!(result["tps"].as_f64().is_some_and(|tps| tps > 0.0), "{arguments:?}: {result}");
        }
    }
    assert_eq!(server.psql_ok("SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'bench%'"), "0");
}
