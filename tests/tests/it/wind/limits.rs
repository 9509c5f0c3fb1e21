//! Rows: no descriptors left; no memory left. Those who ask are refused, the others go on, nothing is lost.

use std::net::TcpStream;
use std::time::Duration;

use crate::harness::Setting;
use crate::wind::place::Place;
use crate::wind::tools::has;

fn limited(row: &str, limit: &str) -> Option<Setting> {
    if !has(row, "prlimit") {
        return None;
    }
    Some(Setting { wrapper: vec!["prlimit".to_owned(), limit.to_owned()], ..Setting::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_new_connections_wait_and_open_ones_go_on() {
    let Some(setting) = limited("no descriptors", "--nofile=64") else { return };
    let place = Place::new();
    let mut server = place.start_in(setting);
    let client = server.client().await;
    let idle: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(server.postgres).expect("the backlog")).collect();
    let mut promised = place.promised.clone();
    for number in 5_000..5_010 {
        client.batch_execute(&format!("INSERT INTO t VALUES ({number})")).await.expect("an open connection works");
        promised.rows.insert(number);
    }
    // A checkpoint and a receipt need files that are open already.
    let note: String = client.query_one("SELECT ledgerstone_digest()", &[]).await.expect("a checkpoint").get(0);
    promised.notes.push(note);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = server.log_text();
    assert!(log.contains("Too many open files") && log.contains("ulimit -n"), "{log}");
    assert!(log.lines().count() < 20, "the log is flooded: {log}");
    drop(idle);
    // Those in use were given back.
    promised.check(&server);
    promised.insert(&server, 5_010);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    promised.verify(&place.data());
}

#[test]
fn without_descriptors_for_its_files_a_server_says_so() {
    let Some(setting) = limited("no descriptors at the start", "--nofile=14") else { return };
    let place = Place::new();
    let ended = crate::harness::Server::try_start(place.data(), place.keys(), setting).err().expect("refused");
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    assert!(ended.log.contains("Too many open files") && ended.log.contains("ulimit -n"), "{}", ended.log);
    place.holds();
}

/// Rust ends a process that cannot get memory: what is promised must survive that as it survives a kill.
#[test]
fn a_statement_that_needs_more_memory_than_there_is_loses_nothing() {
    // What the statement may take is refused first; with less than that the process ends.
    for limit in ["--as=1500000000", "--as=900000000"] {
        let Some(setting) = limited("no memory", limit) else { return };
        starve(setting);
    }
}

fn starve(setting: Setting) {
    let place = Place::new();
    let mut server = place.start_in(setting);
    let mut promised = place.promised.clone();
    promised.insert(&server, 5_000);
    promised.checkpoint(&server);
    // One that cannot go to the disk instead.
    let asked = server.psql("SELECT cardinality(array_agg(a.s || b.s)) FROM t a, t b");
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    match server.ended() {
        None => {
            assert!(said.contains("53200") || said.contains("54000"), "{said}");
            promised.check(&server);
            promised.insert(&server, 5_001);
            assert_eq!(server.stop().code(), Some(0));
        }
        Some(_) => assert!(server.log_text().contains("memory allocation"), "{}", server.log_text()),
    }
    server.restart_in(Setting::default());
    promised.check(&server);
    promised.insert(&server, 5_002);
    promised.checkpoint(&server);
    server.stop();
    promised.verify(&place.data());
}
