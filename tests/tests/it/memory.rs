//! Memory is what the configuration says, under a load of everything at once that has far more data than memory: rows
//! copied in, inserted and updated while others scan them, their history and their past, by columns too.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::Server;

/// What the process may have in memory at any time.
const BYTES_MAX: u64 = 512 << 20;
/// What takes memory within it.
const LIMITS: [&str; 9] = [
    "document_cache_bytes=16777216",
    "history_cache_bytes=8388608",
    "index_cache_bytes=16777216",
    "columns_memory_bytes=16777216",
    "columns_cache_bytes=16777216",
    "statement_memory_bytes=33554432",
    "all_statements_memory_bytes=67108864",
    "transaction_bytes=134217728",
    "recent_writes_bytes=33554432",
];
/// Text of a row.
const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

/// A number of the process's status, in bytes.
fn status(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kib << 10
}

/// A number of `/metrics`.
fn metric(server: &Server, name: &str) -> u64 {
    let page = server.get("/metrics").expect("metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{ledger=\"main\"} "));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

#[test]
fn memory_stays_below_what_the_configuration_comes_to() {
    let long = std::env::var_os("LEDGERSTONE_TEST_LONG").is_some();
    let rows: i64 = if long { 1_000_000 } else { 30_000 };
    let arguments: Vec<&str> = LIMITS.iter().flat_map(|limit| ["--limit", limit]).collect();
    let server = Server::start_with(&arguments);
    server.psql_ok("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, s text, u text)");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(status(server.pid(), "VmRSS"));
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            peak
        });
        for view in ["t", "history(t) AS x", "t AS OF BLOCK 2"] {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // A block may not be there yet, and a statement may need more than it is given: it is told so.
                    let output = server.psql(&format!(
                        "SET ledgerstone.executor = 'columns'; SELECT count(*), sum(length(s)) FROM {view}; \
                         SELECT n % 10, max(u) FROM {view} GROUP BY 1 ORDER BY 1"
                    ));
                    let error = String::from_utf8_lossy(&output.stderr);
                    assert!(!error.contains("server closed the connection"), "{error}");
                }
            });
        }
        let batch = 10_000;
        for from in (0..rows).step_by(batch) {
            let to = (from + batch as i64).min(rows);
            let lines: String = (from..to)
                .map(|id| format!("{id}\t{}\t{TEXT}{id}{TEXT}{TEXT}\t{TEXT}{}\n", id % 997, id * 7919))
                .collect();
            server.psql_ok(&format!("COPY t FROM STDIN;\n{lines}\\.\n"));
        }
        for round in 0..2 {
            for from in (0..rows).step_by(5_000) {
                let to = from + 5_000;
                server.psql_ok(&format!("UPDATE t SET s = s || '{round}', n = n + 1 WHERE id >= {from} AND id < {to}"));
                server.psql_ok(&format!("INSERT INTO t VALUES ({}, 1, 's', 'u')", rows + round * rows + from));
            }
        }
        let answer = server.psql_ok("SET ledgerstone.executor = 'columns'; SELECT count(*), sum(n) >= 0 FROM t");
        over.store(true, Ordering::Relaxed);
        let inserted = rows + 2 * ((rows + 4_999) / 5_000);
        assert!(answer.contains(&format!("{inserted}|t")), "{answer}");
        let peak = peak.join().expect("it has looked");
        println!(
            "{rows} rows, 3 revisions each: peak {} MiB, by the system {} MiB",
            peak >> 20,
            status(server.pid(), "VmHWM") >> 20
        );
        assert!(status(server.pid(), "VmHWM").max(peak) <= BYTES_MAX, "{} MiB", peak >> 20);
    });
    assert!(metric(&server, "ledgerstone_columns_cache_bytes") <= 16 << 20);
    assert!(metric(&server, "ledgerstone_columns_segments") > 0);
    assert_eq!(metric(&server, "ledgerstone_columns_positions_behind"), 0);
    assert!(metric(&server, "ledgerstone_columns_memory_bytes") <= 32 << 20);
}
