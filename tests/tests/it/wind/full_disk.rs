//! Rows: no space left for the journal, the next segment, the tree, the log, an export. Nothing acknowledged is lost,
//! the refusal is 53100 and names the file, writes go on when there is room, and a server can stop in order.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Server, Setting, binary};
use crate::wind::place::{Place, fill, segment_of};
use crate::wind::tools::{self, Mounted};

#[test]
fn a_disk_full_of_something_else_lets_the_server_stop_in_order_and_record_its_last_checkpoint() {
    let Some(disk) = Mounted::tmpfs("a full disk, log and tree", "80m") else { return };
    // Its log is on the same disk.
    let setting = Setting { log: Some(disk.join("log")), ..Setting::default() };
    let mut server = Server::start_in(disk.join("data"), disk.join("keys"), setting);
    let mut promised = fill(&server);
    let ballast = tools::fill(disk.path());
    // The segment has its room already, so commits go on.
    promised.insert(&server, 5_000);
    server.psql_ok("INSERT INTO t SELECT g, 'y' FROM generate_series(10000, 14999) g");
    promised.rows.extend(10_000..15_000);
    promised.checkpoint(&server);
    // Something to log, and no room for it.
    server.client_error("no-such-ledger");
    promised.check(&server);
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "{}", server.log_text());
    promised.verify(&disk.join("data"));
    std::fs::remove_file(ballast).unwrap();
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    promised.check(&server);
    promised.insert(&server, 5_001);
    promised.checkpoint(&server);
    assert_eq!(server.stop().code(), Some(0));
    promised.verify(&disk.join("data"));
}

#[test]
fn without_room_for_the_next_segment_writes_are_refused_until_there_is_room() {
    let Some(disk) = Mounted::tmpfs("a full disk, next segment", "12m") else { return };
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    server.psql_ok("CREATE TABLE t (n bigint PRIMARY KEY, s text)");
    // The first segment has 1 MiB, the next one 64 MiB.
    let mut number = 0;
    let refused = loop {
        let insert =
            format!("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series({number}, {}) g", number + 49);
        let said = server.psql_error(&insert);
        if !said.is_empty() {
            break said;
        }
        number += 50;
        assert!(number < 2_000, "12 MiB hold a segment of 64 MiB");
    };
    for text in
        ["53100", &server.data().join("main/journal").display().to_string(), "writes resume when there is space"]
    {
        assert!(refused.contains(text), "{text:?}: {refused}");
    }
    assert_eq!(server.psql_ok("SELECT count(*) FROM t"), number.to_string());
    let vkey = server.psql_ok("SELECT ledgerstone_vkey()");
    let mut promised = crate::wind::place::Promised { vkey, rows: (0..number).collect(), ..Default::default() };
    promised.checkpoint(&server);
    // More room, and it goes on without a restart.
    assert!(disk.remount("size=100m"));
    server.psql_ok("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(10000, 10999) g");
    promised.rows.extend(10_000..11_000);
    promised.checkpoint(&server);
    assert!(segment_of(&server.data(), 1).is_file());
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    promised.verify(&disk.join("data"));
    server.restart();
    promised.check(&server);
}

/// What says which files the row index has.
fn manifest(server: &Server) -> Option<Vec<u8>> {
    std::fs::read(server.data().join("main/index/manifest")).ok()
}

#[test]
fn without_room_for_the_row_index_statements_go_on_and_it_is_written_when_there_is_room() {
    let Some(disk) = Mounted::tmpfs("a full disk, row index", "90m") else { return };
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    let mut promised = fill(&server);
    let ballast = tools::fill(disk.path());
    let before = manifest(&server);
    // A run is due after 25,000 revisions. The segment has its room already.
    let insert = |from: i64| format!("INSERT INTO t SELECT g, 'z' FROM generate_series({from}, {}) g", from + 9_999);
    for from in (10_000..70_000).step_by(10_000) {
        server.psql_ok(&insert(from));
        promised.rows.extend(from..from + 10_000);
    }
    promised.checkpoint(&server);
    let log = server.log_text();
    let place = server.data().join("main/index").display().to_string();
    for text in ["the row index cannot be written; it is tried again", &place, "No space left on device", "make room"] {
        assert!(log.contains(text), "{text:?}: {log}");
    }
    assert!(manifest(&server) == before, "the index was written without room");
    // By index, by scan, changed and looked for in the past.
    assert_eq!(server.psql_ok("SELECT s FROM t WHERE n = 65432"), "z");
    server.psql_ok("UPDATE t SET s = 'changed' WHERE n = 65432");
    assert_eq!(server.psql_ok("SELECT string_agg(s, ',') FROM history(t) WHERE n = 65432"), "z,changed");
    promised.check(&server);
    // Killed without room, it starts without room, from what the journal says.
    server.kill();
    server.restart();
    promised.check(&server);
    assert_eq!(server.psql_ok("SELECT s FROM t WHERE n = 65432"), "changed");
    promised.insert(&server, 5_000);
    std::fs::remove_file(ballast).unwrap();
    server.psql_ok(&insert(70_000));
    promised.rows.extend(70_000..80_000);
    let began = Instant::now();
    while manifest(&server) == before {
        assert!(began.elapsed() < Duration::from_secs(90), "the index is not written: {}", server.log_text());
        std::thread::sleep(Duration::from_millis(100));
    }
    promised.hold_to_the_end(&mut server);
}

#[test]
fn a_ledger_that_cannot_be_made_for_lack_of_room_leaves_nothing_under_its_name() {
    let Some(disk) = Mounted::tmpfs("a full disk, new ledger", "600k") else { return };
    let ended = Server::try_start(disk.join("data"), disk.join("keys"), Setting::default()).err().expect("refused");
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    for text in ["No space left on device", "make room on the disk", &disk.join("data").display().to_string()] {
        assert!(ended.log.contains(text), "{text:?}: {}", ended.log);
    }
    assert!(!disk.join("data/main").exists());
    assert!(disk.remount("size=10m"));
    let server = Server::start_on(disk.join("data"), disk.join("keys"));
    server.psql_ok("CREATE TABLE t (n bigint PRIMARY KEY); INSERT INTO t VALUES (1)");
}

#[test]
fn without_room_for_a_key_nothing_is_made_or_rotated_and_the_ledger_goes_on() {
    let Some(disk) = Mounted::tmpfs("a full disk, keys", "90m") else { return };
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    let mut promised = fill(&server);
    let names = || {
        let mut names: Vec<_> = [disk.join("keys"), disk.join("data")]
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let rotate = || {
        let http = server.http.to_string();
        let output = Command::new(binary()).args(["rotate-key", "--user", "ada", "--connect", &http]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let before = names();
    let ballast = tools::fill(disk.path());
    let refused = server.psql_error("CREATE DATABASE second");
    for text in ["53100", &disk.join("keys").display().to_string(), "No space left on device", "make room on the disk"]
    {
        assert!(refused.contains(text), "{text:?}: {refused}");
    }
    let (status, said) = rotate();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("No space left on device") && said.contains("make room on the disk"), "{said}");
    assert_eq!(names(), before, "half a key or half a ledger is left");
    promised.insert(&server, 5_000);
    promised.checkpoint(&server);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(rotate().0, Some(0));
    server.psql_ok("CREATE DATABASE second");
    promised.insert(&server, 5_001);
    promised.check(&server);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    promised.verify(&disk.join("data"));
}

#[test]
fn a_redaction_without_room_changes_nothing_and_is_carried_out_when_there_is_room() {
    let Some(disk) = Mounted::tmpfs("a full disk, redaction", "160m") else { return };
    let mut server = Server::start_on(disk.join("data"), disk.join("keys"));
    let mut promised = fill(&server);
    server.psql_ok("INSERT INTO t VALUES (5000, 'a secret of somebody')");
    server.psql_ok("UPDATE t SET s = 'gone' WHERE n = 5000");
    promised.rows.insert(5_000);
    let id = |what: &str| server.psql_ok(what).lines().next().unwrap_or_default().to_owned();
    let document = id("SELECT _ql_id FROM t WHERE n = 5000");
    let table = id("SELECT tableId FROM information_schema.user_tables");
    let strand = id("SELECT blockaddress->>'strandId' FROM _ql_committed_t");
    let block = id("SELECT _ql_block FROM history(t) WHERE n = 5000 ORDER BY _ql_version");
    let address = format!("{{strandId: \"{strand}\", sequenceNo: {block}}}");
    let redact = format!("EXEC REDACT_REVISION '{address}', '{table}', '{document}'");
    let ballast = tools::fill(disk.path());
    for _ in 0..2 {
        let refused = server.psql_error(&redact);
        let marker = server.data().join("main/redaction").display().to_string();
        for text in ["53100", &marker, "No space left on device", "make room on the disk"] {
            assert!(refused.contains(text), "{text:?}: {refused}");
        }
    }
    let history = "SELECT s FROM history(t) WHERE n = 5000 ORDER BY _ql_version";
    assert_eq!(server.psql_ok(history), "a secret of somebody\ngone");
    promised.insert(&server, 5_001);
    std::fs::remove_file(ballast).unwrap();
    server.psql_ok(&redact);
    assert_eq!(server.psql_ok(history).trim(), "gone");
    promised.hold_to_the_end(&mut server);
    let found = Command::new("grep").args(["-rl", "a secret of somebody"]).arg(disk.join("data")).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn an_export_that_does_not_fit_leaves_nothing_under_its_name() {
    let Some(disk) = Mounted::tmpfs("a full disk, export", "64k") else { return };
    let place = Place::new();
    let target = disk.join("export");
    let export = |out: &std::path::Path| {
        let mut command = Command::new(binary());
        command.arg("export").arg("--data").arg(place.data()).arg("--keys").arg(place.keys()).arg(out);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (status, said) = export(&target);
    assert_eq!(status, Some(2), "{said}");
    for text in ["No space left on device", "make room", &disk.path().display().to_string()] {
        assert!(said.contains(text), "{text:?}: {said}");
    }
    assert!(!target.exists(), "{said}");
    let (status, said) = export(&place.path().join("export"));
    assert_eq!(status, Some(0), "{said}");
    place.holds();
}
