//! `kill -9` in the middle of an export: nothing stands under the final name unless it is whole, and the next export
//! removes what was left.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Server, binary};

#[test]
fn an_export_killed_at_any_moment_leaves_nothing_under_its_name() {
    let mut server = Server::start();
    server.psql_ok(
        "CREATE TABLE reading (id int PRIMARY KEY, note text NOT NULL, amount numeric(12,2));
         INSERT INTO reading SELECT n, 'reading ' || n, n / 100.0 FROM generate_series(1, 3000) AS g(n);",
    );
    let vkey = server.psql_ok("SELECT ledgerstone_vkey()");
    server.stop();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let export = || {
        let mut command = Command::new(binary());
        command.arg("export").arg("--data").arg(server.data()).arg("--keys").arg(server.keys()).arg(&out);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let holds = |what: &Path| {
        let output = Command::new(binary()).arg("verify").arg(what).args(["--key", &vkey]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    let began = Instant::now();
    assert!(export().status().unwrap().success());
    let takes = began.elapsed();
    holds(&out);
    std::fs::remove_dir_all(&out).unwrap();

    let mut random = ledgerstone_sample_data::Random::new(ledgerstone_tests::seed("the moments of the kills"));
    let (mut interrupted, mut left) = (0, 0);
    for _ in 0..if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 100 } else { 12 } {
        let mut child = export().spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(takes.as_micros() as u64 + 1)));
        child.kill().unwrap();
        let whole = child.wait().unwrap().success();
        if out.exists() {
            // It got its name, so all of it is there, whether or not the process lived to say so.
            holds(&out);
            std::fs::remove_dir_all(&out).unwrap();
        } else {
            assert!(!whole, "an export that succeeded left nothing");
            interrupted += 1;
        }
        left += usize::from(!names(directory.path()).is_empty());
    }
    assert!(interrupted > 0, "no export was interrupted");
    eprintln!("{interrupted} interrupted, after {left} of all something was left");
    assert!(export().status().unwrap().success());
    holds(&out);
    assert_eq!(names(directory.path()), ["out"], "what killed exports left is still there");
}

fn names(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}
