//! Rows: a disk that is full when a statement needs it beyond its memory; a server that is killed then; what an earlier
//! process may have left.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Server, Setting};
use crate::wind::place::{Place, fill};
use crate::wind::tools::{self, Mounted};

/// Rows of the table take more than that when they are sorted.
fn little_memory() -> Setting {
    let arguments = ["--limit", "statement_memory_bytes=1048576"].map(str::to_owned).to_vec();
    Setting { arguments, ..Setting::default() }
}

const SORT: &str = "SELECT n, s FROM t ORDER BY s DESC, n DESC";

fn metric(server: &Server, name: &str) -> u64 {
    let page = server.get("/metrics").expect("an answer");
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

/// Files that have a name among the spill files.
fn named(server: &Server) -> usize {
    std::fs::read_dir(server.data().join("main/spill")).map_or(0, Iterator::count)
}

#[test]
fn a_full_disk_ends_the_statement_that_needs_it_and_nothing_else() {
    let Some(disk) = Mounted::tmpfs("a full disk, sort spill", "100m") else { return };
    let mut server = Server::start_in(disk.join("data"), disk.join("keys"), little_memory());
    let mut promised = fill(&server);
    let sorted = server.psql_ok(SORT);
    assert_eq!(sorted.lines().count(), promised.rows.len());
    assert!(metric(&server, "ledgerstone_spilled_bytes_total") > 1 << 20);
    let ballast = tools::fill(disk.path());
    for statement in [
        SORT,
        "SELECT n, s FROM t",
        "SELECT s, n, count(*) FROM t GROUP BY s, n",
        "SELECT DISTINCT n, s FROM t",
        "COPY (SELECT n, s FROM t ORDER BY s, n) TO STDOUT",
    ] {
        let refused = server.psql_error(statement);
        let place = server.data().join("main/spill").display().to_string();
        for text in ["53100", &place, "No space left on device", "Make room on the disk", "statement_memory_bytes"] {
            assert!(refused.contains(text), "{statement}: {text:?}: {refused}");
        }
    }
    // Other statements and commits go on, what was taken of the disk is given back, and nothing is left.
    assert_eq!(server.psql_ok("SELECT count(*) FROM t WHERE n < 1500"), "1500");
    promised.insert(&server, 5_000);
    promised.checkpoint(&server);
    assert_eq!((metric(&server, "ledgerstone_spill_bytes"), named(&server)), (0, 0));
    std::fs::remove_file(ballast).unwrap();
    server.psql_ok("DELETE FROM t WHERE n = 5000");
    promised.rows.remove(&5_000);
    assert_eq!(server.psql_ok(SORT), sorted);
    promised.hold_to_the_end(&mut server);
}

#[test]
fn a_server_that_is_killed_while_it_spills_leaves_no_row_on_the_disk() {
    let place = Place::new();
    let mut server = place.start_in(little_memory());
    let spill = server.data().join("main/spill");
    let (host, port) = (server.postgres.ip().to_string(), server.postgres.port().to_string());
    let mut client = Command::new("psql")
        .args(["-X", "-h", &host, "-p", &port, "-U", "test", "-d", "main", "-c"])
        .arg("SELECT count(*) FROM (SELECT s, n, g FROM t, generate_series(1, 1000) g ORDER BY g, s, n) x")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql is installed");
    let started = Instant::now();
    while metric(&server, "ledgerstone_spill_bytes") < 4 << 20 {
        assert!(client.try_wait().expect("a status").is_none(), "the statement ended");
        assert!(started.elapsed() < Duration::from_secs(120), "nothing is spilled: {}", server.log_text());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(named(&server), 0, "a file of rows has a name");
    server.kill();
    let _ = client.wait();
    assert_eq!(named(&server), 0, "a file of rows was left");
    // What a process that died between making a file and taking its name away would leave.
    std::fs::create_dir_all(&spill).unwrap();
    std::fs::write(spill.join("7"), b"").unwrap();
    server.restart();
    assert!(!spill.exists());
    let mut promised = place.promised.clone();
    server.psql_ok(SORT);
    promised.hold_to_the_end(&mut server);
    assert!(!spill.exists(), "a server that stops in order leaves the directory");
}
