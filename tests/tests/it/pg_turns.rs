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
    for _ in 0..4 * processors {
        clients.push(server.client().await);
    }
    clients[0].batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int)").await.unwrap();
    // Those who say nothing do not make many of a few.
    read(&clients[..processors + 1], QUIET).await;
    read(&clients[..1], QUIET).await;
    assert_eq!(put_off(&server), 0, "of a few, and of one");

    read(&clients, 10 * clients.len()).await;
    let mut so_far = put_off(&server);
    assert!(so_far > 0);

    // A commit's own answer, and what is read soon after one, whoever has committed.
    server.psql_ok("INSERT INTO t VALUES (1, 1)");
    read(&clients, QUIET / 2).await;
    clients[1].batch_execute("UPDATE t SET v = 2").await.unwrap();
    read(&clients, QUIET / 2).await;
    assert_eq!(put_off(&server), so_far);

    read(&clients, QUIET).await;
    let before = std::mem::replace(&mut so_far, put_off(&server));
    assert!(so_far > before, "nobody is put off any more");
    // In a transaction, for which others may wait.
    for client in &clients {
        client.batch_execute("BEGIN").await.unwrap();
    }
    read(&clients, 10 * clients.len()).await;
    assert_eq!(put_off(&server), so_far);
}
