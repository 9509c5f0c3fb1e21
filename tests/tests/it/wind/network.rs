//! Row: a network that cuts and delays. A proxy between clients and server breaks connections after a random number of
//! bytes in either direction; clients send again with their tokens, and every row is there once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use ledgerstone_sample_data::Random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::wind::clients::Writers;
use crate::wind::place::Place;

/// Bytes in one direction after which a connection may break.
const BYTES_MAX: u64 = 3_000;
const DELAY_MS_MAX: u64 = 15;

async fn proxy(to: SocketAddr, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let random = Arc::new(Mutex::new(Random::new(seed)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(to).await else { continue };
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            let there = tokio::spawn(carry(client_in, server_out, Arc::clone(&random)));
            let back = tokio::spawn(carry(server_in, client_out, Arc::clone(&random)));
            let (there_abort, back_abort) = (there.abort_handle(), back.abort_handle());
            tokio::spawn(async move {
                // The first that ends cuts both.
                tokio::select! { _ = there => back_abort.abort(), _ = back => there_abort.abort() }
            });
        }
    });
    address
}

/// Carries bytes with delays until the number drawn for this direction is reached: then not one byte more.
async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    random: Arc<Mutex<Random>>,
) {
    let draw = |max: u64| random.lock().expect("a lock").below(max);
    let mut left = draw(BYTES_MAX) as usize;
    let mut bytes = [0; 512];
    while left > 0 {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        tokio::time::sleep(Duration::from_millis(draw(DELAY_MS_MAX))).await;
        let read = read.min(left);
        left -= read;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_a_network_that_cuts_and_delays_commit_each_row_once() {
    let seed = ledgerstone_tests::seed("the cuts");
    let place = Place::new();
    let mut server = place.start();
    let through = proxy(server.postgres, seed).await;
    let writers = Writers::start(through, 8, 100_000_000);
    let seconds = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 60 } else { 6 };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let told = writers.stop().await;
    assert!(told.rows.len() > 20, "{} rows, {:?}", told.rows.len(), told.errors);
    assert!(told.retries > 10, "the network cut {} times only", told.retries);
    // A token that was used makes a repetition the same transaction: no unique violation was ever answered.
    assert!(!told.errors.iter().any(|error| error == "23505"), "{:?}", told.errors);
    let mut promised = place.promised.clone();
    promised.rows.extend(&told.rows);
    promised.check(&server);
    let versions = "SELECT count(*) FROM history(t) WHERE n >= 100000000";
    let rows = "SELECT count(*) FROM t WHERE n >= 100000000";
    assert_eq!(server.psql_ok(versions), server.psql_ok(rows), "a row has been written twice");
    promised.checkpoint(&server);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log_text());
    promised.verify(&place.data());
}
