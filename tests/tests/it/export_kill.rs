//! `kill -9` in the middle of an export: nothing stands under the final name unless it is whole, and the next export
//! removes what was left. A journal export goes on from what is there.

use std::collections::BTreeMap;
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

#[test]
fn a_journal_export_killed_at_any_moment_goes_on_to_the_same_objects() {
    let mut server = Server::start();
    // More than two objects.
    server.psql_ok(
        "CREATE TABLE reading (id int PRIMARY KEY, note text NOT NULL);
         INSERT INTO reading SELECT n, repeat('a', 100) FROM generate_series(1, 200) AS g(n);",
    );
    for id in 1_000..1_060 {
        server.psql_ok(&format!("INSERT INTO reading VALUES ({id}, repeat('{}', 30000))", "0123456789"));
    }
    server.stop();
    let directory = tempfile::tempdir().unwrap();
    let export = |out: &Path| {
        let mut command = Command::new(binary());
        command.arg("export").arg("--data").arg(server.data()).arg("--keys").arg(server.keys());
        command.args(["--format", "qldb-ion"]).arg(out).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let whole = directory.path().join("whole");
    let began = Instant::now();
    assert!(export(&whole).status().unwrap().success());
    let takes = began.elapsed();
    let expected = objects(&whole);
    assert!(expected.len() > 2, "{:?}", expected.keys());

    let mut random = ledgerstone_sample_data::Random::new(ledgerstone_tests::seed("the moments of the kills"));
    let mut resumed = 0;
    for n in 0..if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 100 } else { 6 } {
        let out = directory.path().join(format!("out-{n}"));
        for _ in 0..2 {
            let mut child = export(&out).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random.below(takes.as_micros() as u64 + 1)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let found = if out.exists() { objects(&out).len() } else { 0 };
        resumed += usize::from(found > 0 && found < expected.len());
        assert!(export(&out).status().unwrap().success());
        assert!(objects(&out) == expected, "other objects than without a kill");
        let manifests = names(&out).into_iter().filter(|name| name.ends_with(".manifest")).count();
        assert_eq!(manifests, 2, "one export, however often it was begun: {:?}", names(&out));
    }
    eprintln!("{resumed} went on from some objects");
}

/// The data objects of an export by their keys, and nothing else below its directory.
fn objects(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![out.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            match path.is_dir() {
                true => open.push(path),
                false if name.ends_with(".manifest") => {}
                false => {
                    let key = path.strip_prefix(out).unwrap().display().to_string();
                    found.insert(key, std::fs::read(&path).unwrap());
                }
            }
        }
    }
    found
}

fn names(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}
