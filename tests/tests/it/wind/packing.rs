//! Full segments are packed while the server runs: the disk gives back what was filler, and nothing promised is lost.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Server, Setting};
use crate::wind::place::{Promised, segment_of};

/// Each takes a page of the first segment, which has 256 of them.
const LONE_COMMITS: i64 = 300;

#[test]
fn a_segment_of_lone_commits_is_packed_while_the_server_runs_and_keeps_its_promises() {
    let directory = TempDir::new().unwrap();
    let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
    let arguments = ["--limit", "pack_pause_seconds=1"].map(str::to_owned).to_vec();
    let mut server = Server::start_in(data.clone(), keys, Setting { arguments, ..Setting::default() });
    let mut promised = Promised { vkey: server.psql_ok("SELECT ledgerstone_vkey()"), ..Promised::default() };
    server.psql_ok("CREATE TABLE t (n bigint PRIMARY KEY, s text)");
    promised.checkpoint(&server);
    let statements: Vec<String> = (0..LONE_COMMITS).map(|n| format!("INSERT INTO t VALUES ({n}, 'x');")).collect();
    server.psql_ok(&statements.join("\n"));
    promised.rows.extend(0..LONE_COMMITS);
    promised.checkpoint(&server);
    let started = Instant::now();
    let packed = || server.get("/metrics").unwrap().contains("\nledgerstone_packed_segments_total 1\n");
    while !packed() {
        assert!(started.elapsed() < Duration::from_secs(60), "not packed: {}", server.log_text());
        std::thread::sleep(Duration::from_millis(50));
    }
    let first = std::fs::metadata(segment_of(&data, 0)).unwrap();
    assert!(first.len() < 512 << 10 && first.blocks() * 512 < 512 << 10, "{} bytes", first.len());
    promised.check(&server);
    promised.insert(&server, 1_000_000);
    promised.hold_to_the_end(&mut server);
    let mut again = Server::start_on(data, directory.path().join("keys"));
    promised.hold_to_the_end(&mut again);
}
