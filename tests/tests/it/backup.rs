//! Backups of a running server, and servers of backups: the binary, psql and the command line, as an operator uses them.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Server, binary};

fn run(arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(binary()).args(arguments).output().expect("it runs");
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), text)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A directory with a data directory and keys of its own for a second server.
fn second(server: &Server) -> (tempfile::TempDir, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
    std::fs::create_dir(&data).expect("a directory");
    let copied = Command::new("cp").arg("-a").arg(server.data().with_file_name("keys")).arg(&keys).status();
    assert!(copied.expect("cp runs").success());
    let (data, keys) = (text(&data).to_owned(), text(&keys).to_owned());
    (directory, data, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_server_that_is_written_to_restores_to_what_was_there() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)");
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (stop, written) = (stop.clone(), written.clone());
            let config = format!("host={} port={} user=test dbname=main", server.postgres.ip(), server.postgres.port());
            tokio::spawn(async move {
                let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(async move {
                    let _ = connection.await;
                });
                let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
                let mut n = 0i64;
                while !stop.load(Ordering::Relaxed) {
                    client.execute(&insert, &[&(writer * 1_000_000 + n), &n]).await.unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                    n += 1;
                }
            })
        })
        .collect();
    while written.load(Ordering::Relaxed) < 200 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let acknowledged = written.load(Ordering::Relaxed);
    let (directory, data, keys) = second(&server);
    let backup = directory.path().join("backup");
    let address = server.http.to_string();
    let older = directory.path().join("older");
    std::fs::write(&older, server.psql_ok("SELECT ledgerstone_digest()")).unwrap();
    let (status, out) = run(&["backup", text(&backup), "--connect", &address]);
    assert_eq!(status, 0, "{out}");
    // Once more into the same directory, with the writers still at it.
    let (status, out) = run(&["backup", text(&backup), "--connect", &address, "--json"]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("\"verified\":true"), "{out}");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let kept = directory.path().join("kept");
    let vkey = directory.path().join("vkey");
    std::fs::write(&vkey, server.psql_ok("SELECT ledgerstone_vkey()")).unwrap();

    let (status, out) = run(&["restore", text(&backup), "--data", &data, "--keys", &keys]);
    assert_eq!(status, 0, "{out}");
    let restored = Server::start_on(&data, &keys);
    let rows: u64 = restored.psql_ok("SELECT count(*) FROM t").parse().unwrap();
    assert!(rows >= acknowledged && rows <= written.load(Ordering::Relaxed), "{rows} rows, {acknowledged} before");
    let refused = restored.psql_error("INSERT INTO t VALUES (-1, 0)");
    assert!(refused.contains("25006") && refused.contains("--confirm"), "{refused}");
    assert_eq!(restored.psql_ok("SELECT count(*) FROM t WHERE id < 0"), "0");
    drop(restored);

    // The newest checkpoint of the old server is ahead of the backup: going on would make a second history.
    std::fs::write(&kept, server.psql_ok("INSERT INTO t VALUES (-5, 0); SELECT ledgerstone_digest()")).unwrap();
    let confirm =
        ["restore", "--confirm", "--data", &data, "--checkpoint", text(&kept), "--key", text(&vkey), "--keys", &keys];
    let (status, out) = run(&confirm);
    assert_ne!(status, 0, "{out}");
    // One from before the backup is of its past, which leaves open what was handed out since.
    let confirm =
        ["restore", "--confirm", "--data", &data, "--checkpoint", text(&older), "--key", text(&vkey), "--keys", &keys];
    let (status, out) = run(&confirm);
    assert!(status == 0 && flat(&out).contains("leaves older than its end"), "{out}");
    let (status, out) = run(&["backup", text(&backup), "--connect", &address]);
    assert_eq!(status, 0, "{out}");
    let (status, out) = run(&[
        "restore",
        text(&backup),
        "--data",
        &data,
        "--keys",
        &keys,
        "--ledger",
        "second",
        "--checkpoint",
        text(&kept),
        "--key",
        text(&vkey),
    ]);
    assert_eq!(status, 0, "{out}");
    assert!(flat(&out).contains("The one you gave is of its very end."), "{out}");
    let restored = Server::start_on(&data, &keys);
    let client = restored.client_of("second").await.unwrap();
    assert_eq!(client.execute("INSERT INTO t VALUES (-1, 0)", &[]).await.unwrap(), 1);
}

/// Without the line breaks of a terminal.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_backup_that_was_tampered_with_is_not_restored() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t SELECT g FROM generate_series(1, 50) AS g");
    let (directory, data, keys) = second(&server);
    let backup = directory.path().join("backup");
    let (status, out) = run(&["backup", text(&backup), "--connect", &server.http.to_string()]);
    assert_eq!(status, 0, "{out}");
    let path = backup.join("journal/00000000000000000000.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 + 300] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let (status, out) = run(&["restore", text(&backup), "--data", &data, "--keys", &keys]);
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("Nothing was restored"), "{out}");
    assert!(!Path::new(&data).join("main").exists());
    // Neither is one put over a ledger.
    let live = server.data();
    let (status, out) = run(&["restore", text(&backup), "--data", text(&live), "--keys", &keys]);
    assert_eq!(status, 2, "{out}");
    // A running server's directory is no place for a backup.
    let (status, out) = run(&["backup", text(&live.join("main")), "--connect", &server.http.to_string()]);
    assert_eq!(status, 2, "{out}");
}

#[test]
fn a_backup_of_which_nothing_has_come_leaves_nothing_behind() {
    let server = Server::start();
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("backup");
    let (http, postgres) = (server.http.to_string(), server.postgres.to_string());
    let (status, said) = run(&["backup", text(&out), "--ledger", "nothing", "--connect", &http]);
    assert!(status == 2 && said.contains("nothing"), "{status}: {said}");
    assert!(!out.exists());
    // Nor does one that came to the wrong port, which is told so.
    let (status, said) = run(&["backup", text(&out), "--connect", &postgres]);
    assert!(status == 2 && said.contains("takes the server's HTTP port"), "{status}: {said}");
    assert!(!out.exists());
    let (status, said) = run(&["shell", "--connect", &http, "-c", "SELECT 1"]);
    assert!(status != 0 && said.contains("does not speak PostgreSQL's protocol"), "{status}: {said}");
    // What was there before stays there.
    std::fs::create_dir(&out).expect("a directory");
    run(&["backup", text(&out), "--ledger", "nothing", "--connect", &http]);
    assert!(out.exists());
}
