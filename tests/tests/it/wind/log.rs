//! What the log must never hold at its default level: passwords, keys, statements, parameters, documents.

use std::process::Command;

use crate::harness::{Setting, binary};
use crate::wind::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_no_secret_and_no_data() {
    let place = Place::new();
    let mut server = place.start();
    let client = server.client().await;
    let secret = "Zanzibar-7261";
    client.execute("INSERT INTO t VALUES (5000, $1)", &[&secret]).await.expect("a row");
    for statement in [
        format!("INSERT INTO t VALUES (5000, '{secret}')"),
        format!("SELECT '{secret}'::int"),
        format!("SELECT '{secret}' FORM t"),
    ] {
        client.batch_execute(&statement).await.expect_err("an error");
    }
    client.execute("INSERT INTO t VALUES ($1, 's')", &[&5000_i64]).await.expect_err("a duplicate");
    drop(client);
    let key = std::fs::read_to_string(place.key()).expect("a key");
    assert_eq!(server.stop().code(), Some(0));
    let log = server.log_text();
    assert!(log.contains("every ledger's final size is recorded"), "{log}");
    for hidden in [secret, key.trim(), "PRIVATE+KEY", "INSERT", "SELECT"] {
        assert!(!log.contains(hidden), "the log shows {hidden:?}: {log}");
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let place = Place::new();
    let full = "/dev/full";
    if !std::path::Path::new(full).exists() {
        crate::wind::tools::skipped("a log that cannot be written", "there is no /dev/full");
        return;
    }
    let setting = Setting { log: Some(full.into()), ..Setting::default() };
    let mut server = place.start_in(setting);
    place.promised.check(&server);
    server.psql_ok("INSERT INTO t VALUES (5000)");
    assert_eq!(server.stop().code(), Some(0));
    // A refusal cannot be told, but has its status.
    std::fs::remove_file(place.segment(0)).expect("a segment");
    let log = std::fs::OpenOptions::new().write(true).open(full).expect("a device");
    let out = std::fs::OpenOptions::new().write(true).open(full).expect("a device");
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data").arg(place.data()).arg("--keys").arg(place.keys());
    let status = command.stderr(log).stdout(out).status().expect("it runs");
    assert_eq!(status.code(), Some(2));
}
