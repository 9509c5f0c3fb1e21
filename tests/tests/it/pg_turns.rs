//! Answers that leave together: to reads of many clients, while nobody commits, and to nothing else.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::Server;

/// So many messages after a commit, and some more.
const QUIET: usize = 1_200;

fn put_off(server: &Server) -> u64 {
    let page = server.get("/metrics").unwrap();
    let count = page.lines().find_map(|line| line.strip_prefix("ledgerstone_answers_put_off_total "));
    count.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Reads by each client in turn, so that nobody is alone. True answers, however late.
async fn read(clients: &[Client], times: usize) {
    for n in 0..times {
        let client = &clients[n % clients.len()];
        let answer = client.simple_query(&format!("SELECT {n} AS n")).await.unwrap();
        let found = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        assert_eq!(found, Some(n.to_string()));
    }
}

#[tokio::test]
async fn answers_to_many_who_only_read_leave_together_and_others_at_once() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors == 1 {
        eprintln!("SKIP: nobody is put off where there is but one processor");
        return;
    }
    let server = Server::start();
    let mut clients = Vec::new();
    for _ in 1..4 * processors {
        clients.push(server.client().await);
    }
    clients[0].batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    read(&clients, QUIET).await;
    assert_eq!(put_off(&server), 0, "a client too few");

    clients.push(server.client().await);
    read(&clients, 10 * clients.len()).await;
    let while_reading = put_off(&server);
    assert!(while_reading > 0);

    // A commit's own answer, and what is read soon after one.
    clients[0].batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    read(&clients, QUIET / 2).await;
    assert_eq!(put_off(&server), while_reading);

    read(&clients, QUIET).await;
    let while_reading = put_off(&server);
    // In a transaction, which others may be waiting for. Its COMMIT changes nothing and may wait.
    for client in &clients {
        client.batch_execute("BEGIN").await.unwrap();
        read(std::slice::from_ref(client), 1).await;
    }
    assert_eq!(put_off(&server), while_reading);
}
