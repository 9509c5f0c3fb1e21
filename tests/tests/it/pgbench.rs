//! PostgreSQL's own benchmark, unchanged: it makes and fills its tables, and its bank's accounts agree afterwards.

use std::process::Command;

use crate::harness::Server;
use crate::postgres;

#[test]
fn pgbench_fills_its_tables_and_its_sums_agree() {
    let Some(program) = postgres::binaries().map(|folder| folder.join("pgbench")).filter(|file| file.is_file()) else {
        assert!(std::env::var_os("CI").is_none(), "pgbench is not installed (Debian: postgresql)");
        println!("SKIPPED: pgbench is not installed (Debian: postgresql)");
        return;
    };
    let server = Server::start();
    let pgbench = |arguments: &[&str]| {
        let (host, port) = (server.postgres.ip().to_string(), server.postgres.port().to_string());
        let place = ["-h", &host, "-p", &port, "-U", "clerk"];
        let done = Command::new(&program).args(place).args(arguments).arg("main").output().expect("pgbench runs");
        let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{arguments:?}: {told}");
        told
    };
    pgbench(&["-i", "-q"]);
    for protocol in ["simple", "extended", "prepared"] {
        // -n keeps the history. All of them update the one branch: who loses a race tries again.
        let told = pgbench(&["-n", "-c", "4", "-j", "2", "-t", "10", "--max-tries", "1000", "-M", protocol]);
        assert!(told.contains("actually processed: 40/40"), "{told}");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client().await;
        let agree = "SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts), \
                     sum(delta) = (SELECT sum(tbalance) FROM pgbench_tellers), \
                     sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_history";
        let row = client.query_one(agree, &[]).await.expect("sums");
        let found: (i64, bool, bool, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
        assert_eq!(found, (120, true, true, true));
    });
}
