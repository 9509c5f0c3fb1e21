//! Rows: SIGTERM and SIGSTOP under load.

use std::time::Duration;

use crate::wind::clients::Writers;
use crate::wind::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminating_under_load_answers_everyone_and_loses_nothing() {
    let place = Place::new();
    let mut promised = place.promised.clone();
    for round in 1..=3 {
        let mut server = place.start();
        let writers = Writers::start(server.postgres, 16, round * 100_000_000);
        tokio::time::sleep(Duration::from_millis(400)).await;
        let status = server.stop();
        assert_eq!(status.code(), Some(0), "{}", server.log_text());
        assert!(server.log_text().contains("every ledger's final size is recorded"), "{}", server.log_text());
        let told = writers.stop().await;
        assert!(told.rows.len() > 16, "{} rows", told.rows.len());
        promised.rows.extend(&told.rows);
        server.restart();
        promised.check(&server);
        promised.checkpoint(&server);
        server.stop();
    }
    promised.verify(&place.data());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_for_a_while_goes_on_where_it_was() {
    let place = Place::new();
    let mut server = place.start();
    let writers = Writers::start(server.postgres, 16, 100_000_000);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.signal("STOP");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        server.signal("CONT");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let told = writers.stop().await;
    assert!(told.errors.is_empty(), "{:?}", told.errors);
    let mut promised = place.promised.clone();
    promised.rows.extend(&told.rows);
    promised.check(&server);
    promised.checkpoint(&server);
    // A stopped server that is killed is a killed server.
    server.signal("STOP");
    server.kill();
    server.restart();
    promised.hold_to_the_end(&mut server);
}
