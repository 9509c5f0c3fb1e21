//! Rows: a sync that fails once; a block that cannot be read; a disk that becomes read-only; five seconds per sync.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Server, Setting};
use crate::wind::clients::Writers;
use crate::wind::place::{Place, fill, segment_of};
use crate::wind::tools::{Mounted, Strace, skipped};

#[test]
fn a_sync_that_fails_once_stops_writes_until_a_restart_and_loses_nothing() {
    let place = Place::new();
    let mut server = place.start();
    let segment = place.segment(1);
    let fault = "fdatasync:error=EIO:when=1";
    let Some(strace) = Strace::attach("a failed sync", &server, &segment, fault) else { return };
    let name = segment.display().to_string();
    let unknown = server.psql_error("INSERT INTO t VALUES (5000)");
    for text in ["08007", &name, "cannot sync the batch at offset ", "Input/output error", "same client token"] {
        assert!(unknown.contains(text), "{text:?}: {unknown}");
    }
    // The disk works again, and yet nobody knows what it holds: writes stay refused, reads and proofs go on.
    drop(strace);
    let stopped = server.psql_error("INSERT INTO t VALUES (5001)");
    for text in ["57P03", &name, "restart the server"] {
        assert!(stopped.contains(text), "{text:?}: {stopped}");
    }
    let metrics = server.get("/metrics").expect("an answer");
    assert!(metrics.contains("ledgerstone_ledger_takes_writes{ledger=\"main\"} 0"), "{metrics}");
    let mut promised = place.promised.clone();
    promised.check(&server);
    promised.checkpoint(&server);
    let log = server.log_text();
    assert!(log.contains("the ledger takes no writes until the server is restarted") && log.contains(&name), "{log}");
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    server.restart();
    promised.check(&server);
    promised.insert(&server, 5_002);
    promised.checkpoint(&server);
    server.stop();
    promised.verify(&place.data());
}

#[test]
fn a_block_that_cannot_be_read_is_named_with_file_and_offset_and_nothing_is_signed_over_it() {
    let place = Place::new();
    let mut server = place.start();
    let segment = place.segment(1);
    let Some(strace) = Strace::attach("a failed read", &server, &segment, "pread64:error=EIO") else { return };
    // A commit needs no read. What is signed is derived from bytes read back, so nothing is.
    let mut promised = place.promised.clone();
    promised.insert(&server, 5_000);
    let name = segment.display().to_string();
    for statement in ["SELECT ledgerstone_digest()", "SELECT ledgerstone_receipt('t', '1500')"] {
        let refused = server.psql_error(statement);
        for text in ["58030", &name, "offset ", "Input/output error", "ledgerstone verify DIR"] {
            assert!(refused.contains(text), "{text:?}: {refused}");
        }
    }
    drop(strace);
    promised.check(&server);
    let status = server.stop();
    let log = server.log_text();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("the ledgers did not close in order") && log.contains(&name), "{log}");
    server.restart();
    promised.hold_to_the_end(&mut server);
}

#[test]
fn a_disk_that_becomes_read_only_refuses_writes_and_loses_nothing() {
    let row = "a read-only disk";
    let Some(disk) = Mounted::ext4(row, 160) else { return };
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    let mut promised = fill(&server);
    if !disk.fail() {
        skipped(row, "this machine's ext4 cannot be made to fail");
        return;
    }
    let name = segment_of(&server.data(), 1).display().to_string();
    let refused = server.psql_error("INSERT INTO t VALUES (5000)");
    for text in ["08007", &name, "offset ", "Read-only file system", "mount it writable again, then restart"] {
        assert!(refused.contains(text), "{text:?}: {refused}");
    }
    promised.check(&server);
    promised.checkpoint(&server);
    server.stop();
    // A start on a disk that cannot be written says so.
    let ended = Server::try_start(disk.join("data"), disk.join("keys"), Setting::default()).err().expect("refused");
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.log.contains("Read-only file system") && ended.log.contains("mount it writable"), "{}", ended.log);
    // Mended: the file system is checked and mounted again.
    if !disk.mend() {
        skipped(row, "the file system could not be mounted again");
        return;
    }
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    promised.check(&server);
    promised.insert(&server, 5_001);
    server.stop();
    promised.verify(&disk.join("data"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_seconds_per_sync_only_make_commits_wait() {
    let place = Place::new();
    let mut server = place.start();
    let fault = "fdatasync:delay_enter=5000000";
    let Some(strace) = Strace::attach("a slow sync", &server, &place.segment(1), fault) else { return };
    let writers = Writers::start(server.postgres, 8, 10_000_000);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Reads and health do not wait for the disk.
    place.promised.check(&server);
    assert!(server.get("/healthz").expect("an answer").starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let told = writers.stop().await;
    drop(strace);
    assert!(told.errors.is_empty(), "{:?}", told.errors);
    assert!(told.rows.len() >= 8, "{} rows", told.rows.len());
    let mut promised = place.promised.clone();
    promised.rows.extend(&told.rows);
    promised.hold_to_the_end(&mut server);
}

#[test]
fn a_journal_that_cannot_be_read_when_it_is_opened_is_named_and_left_alone() {
    if !crate::wind::tools::has("a failed read at the start", "strace") {
        return;
    }
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !traced.is_ok_and(|status| status.success()) {
        skipped("a failed read at the start", "tracing is forbidden here");
        return;
    }
    let place = Place::new();
    let segment = place.segment(1).display().to_string();
    let wrapper = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", &segment, "-e", "trace=pread64"];
    let fault = ["-e", "inject=pread64:error=EIO:when=3"];
    let wrapper = wrapper.iter().chain(&fault).map(|word| (*word).to_owned()).collect();
    let setting = Setting { wrapper, ..Setting::default() };
    let ended = Server::try_start(place.data(), place.keys(), setting).err().expect("refused");
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    for text in [&segment, "offset ", "Input/output error", "look at the system's log"] {
        assert!(ended.log.contains(text), "{text:?}: {}", ended.log);
    }
    place.holds();
}
