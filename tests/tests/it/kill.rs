//! `kill -9` at random under sixteen writing clients: what was acknowledged is there, nothing is there by halves, every
//! checkpoint handed out still verifies, and a retry with its client token commits once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use crate::harness::{Server, state, verify_against};

const CLIENTS: i64 = 16;

/// What one client knows when the server dies.
#[derive(Default)]
struct Known {
    /// Numbers of transactions whose COMMIT was answered.
    pairs: Vec<i64>,
    /// Numbers of single statements that were answered.
    singles: Vec<i64>,
    /// A single statement that was not: sent again with its token later.
    unknown: Option<i64>,
}

/// Writes until the connection breaks. Numbers are never used twice.
async fn write(client: Client, from: i64, stop: Arc<AtomicBool>) -> Known {
    let mut known = Known::default();
    for number in from.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let both = format!("BEGIN; INSERT INTO a VALUES ({number}); INSERT INTO b VALUES ({number}); COMMIT");
        if client.batch_execute(&both).await.is_err() {
            break;
        }
        known.pairs.push(number);
        match single(&client, number).await {
            Ok(()) => known.singles.push(number),
            Err(_) => {
                known.unknown = Some(number);
                break;
            }
        }
    }
    known
}

async fn single(client: &Client, number: i64) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&format!("SET ledgerstone.client_token = 'token-{number}'")).await?;
    client.batch_execute(&format!("INSERT INTO c VALUES ({number})")).await?;
    client.batch_execute("RESET ledgerstone.client_token").await
}

async fn numbers(client: &Client, table: &str) -> Vec<i64> {
    let rows = client.query(&format!("SELECT n FROM {table} ORDER BY n"), &[]).await.expect("a table");
    rows.iter().map(|row| row.get(0)).collect()
}

/// What `SHOW ledgerstone.last_commit` says: block address and positions.
async fn last_commit(client: &Client) -> String {
    let rows = client.simple_query("SHOW ledgerstone.last_commit").await.expect("a setting");
    rows.iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .expect("a row")
}

/// A statement whose outcome was not known when the server died: sent again with its token it commits once, on whatever
/// connection, and gets the first address and positions; another statement with the token is refused.
async fn settle(server: &Server, number: i64) {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let client = server.client().await;
        // Committed before the kill or not, this commits it once.
        single(&client, number).await.expect("a retry with its token is no duplicate");
        answers.push(last_commit(&client).await);
    }
    assert_eq!(answers[0], answers[1], "a retry got another address");
    let client = server.client().await;
    client.batch_execute(&format!("SET ledgerstone.client_token = 'token-{number}'")).await.expect("a setting");
    let other = client.batch_execute(&format!("INSERT INTO c VALUES ({})", number + 500_000)).await;
    let error = other.expect_err("another statement was taken for the first");
    assert!(
        error.to_string().contains("has been used for another transaction") || state(&error) == "22023",
        "{error:?}"
    );
    let count: i64 =
        client.query_one("SELECT count(*) FROM history(c) WHERE n = $1", &[&number]).await.expect("a count").get(0);
    assert_eq!(count, 1, "{number} was committed more than once");
}

/// Kills after some milliseconds; gives what the clients know, and a checkpoint that was handed out under load.
async fn round(server: &mut Server, base: i64, after: Duration) -> (Vec<Known>, String) {
    let auditor = server.client().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for number in 0..CLIENTS {
        let client = server.client().await;
        writers.push(tokio::spawn(write(client, base + number * 1_000_000, stop.clone())));
    }
    tokio::time::sleep(after).await;
    let note = auditor.query_one("SELECT ledgerstone_digest()", &[]).await.expect("a checkpoint").get(0);
    server.kill();
    stop.store(true, Ordering::Relaxed);
    let mut known = Vec::new();
    for writer in writers {
        known.push(writer.await.expect("a writer does not panic"));
    }
    (known, note)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_commits_survive_kill_and_nothing_is_there_by_halves() {
    let rounds = if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 50 } else { 20 };
    let seed = ledgerstone_tests::seed("the moments of the kills");
    let mut random = ledgerstone_sample_data::Random::new(seed);
    let mut server = Server::start();
    let client = server.client().await;
    for table in ["a", "b", "c"] {
        client.batch_execute(&format!("CREATE TABLE {table} (n bigint PRIMARY KEY)")).await.expect("a table");
    }
    let vkey: String = client.query_one("SELECT ledgerstone_vkey()", &[]).await.expect("a key").get(0);
    drop(client);
    let (mut pairs, mut singles, mut notes) = (HashSet::new(), HashSet::new(), Vec::new());
    for number in 0..rounds {
        let (known, note) =
            round(&mut server, (number + 1) * 1_000_000_000, Duration::from_millis(20 + random.below(280))).await;
        notes.push(note);
        server.restart();
        let client = server.client().await;
        for known in known {
            pairs.extend(known.pairs);
            singles.extend(known.singles);
            if let Some(unknown) = known.unknown {
                settle(&server, unknown).await;
                singles.insert(unknown);
            }
        }
        let (a, b, c) = (numbers(&client, "a").await, numbers(&client, "b").await, numbers(&client, "c").await);
        assert_eq!(a, b, "a transaction is there by halves");
        let (there, alone): (HashSet<i64>, HashSet<i64>) = (a.into_iter().collect(), c.into_iter().collect());
        assert!(pairs.is_subset(&there), "lost: {:?}", pairs.difference(&there).collect::<Vec<_>>());
        assert!(singles.is_subset(&alone), "lost: {:?}", singles.difference(&alone).collect::<Vec<_>>());
        let note: String = client.query_one("SELECT ledgerstone_digest()", &[]).await.expect("a checkpoint").get(0);
        notes.push(note);
    }
    assert!(pairs.len() > 100, "only {} transactions were acknowledged", pairs.len());
    server.stop();
    for note in notes {
        let (status, said) = verify_against(&server.data().join("main"), &note, &vkey);
        assert_eq!(status, 0, "{said}");
    }
}
