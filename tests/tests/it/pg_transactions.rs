//! Transactions over the wire: all or nothing, conflicts, failed transactions, savepoints.

use std::time::Duration;

use crate::harness::{Server, state};

async fn with_table(server: &Server) -> tokio_postgres::Client {
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int)").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (1, 10), (2, 20)").await.unwrap();
    client
}

async fn value(client: &tokio_postgres::Client, id: i32) -> Option<i32> {
    client.query_opt("SELECT v FROM t WHERE id = $1", &[&id]).await.unwrap().map(|row| row.get(0))
}

#[tokio::test]
async fn a_conflict_reaches_only_explicit_transactions_and_leaves_nothing() {
    let server = Server::start();
    let one = with_table(&server).await;
    let two = server.client().await;
    one.batch_execute("BEGIN").await.unwrap();
    assert_eq!(value(&one, 1).await, Some(10));
    one.execute("INSERT INTO t VALUES (3, 30)", &[]).await.unwrap();
    two.execute("UPDATE t SET v = 11 WHERE id = 1", &[]).await.unwrap();
    one.execute("UPDATE t SET v = v + 1 WHERE id = 1", &[]).await.unwrap();
    let error = one.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(state(&error), "40001");
    assert_eq!((value(&two, 1).await, value(&two, 3).await), (Some(11), None));
    assert_eq!(value(&one, 1).await, Some(11), "the connection goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_of_their_own_never_see_a_conflict() {
    let server = Server::start();
    let _client = with_table(&server).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let client = server.client().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                client.execute("UPDATE t SET v = v + 1 WHERE id = 1", &[]).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&server.client().await, 1).await, Some(210));
}

#[tokio::test]
async fn after_an_error_only_rollback_is_heard() {
    let server = Server::start();
    let client = with_table(&server).await;
    client.batch_execute("BEGIN; INSERT INTO t VALUES (3, 30)").await.unwrap();
    assert_eq!(state(&client.batch_execute("SELECT 1/0").await.unwrap_err()), "22012");
    assert_eq!(state(&client.batch_execute("SELECT 1").await.unwrap_err()), "25P02");
    assert_eq!(state(&client.query("SELECT 1", &[]).await.unwrap_err()), "25P02");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&client, 3).await, None);
}

#[tokio::test]
async fn a_savepoint_takes_back_what_came_after_it() {
    let server = Server::start();
    let client = with_table(&server).await;
    client
        .batch_execute("BEGIN; INSERT INTO t VALUES (3, 30); SAVEPOINT s; INSERT INTO t VALUES (4, 40)")
        .await
        .unwrap();
    assert_eq!(state(&client.batch_execute("INSERT INTO t VALUES (3, 0)").await.unwrap_err()), "23505");
    client.batch_execute("ROLLBACK TO SAVEPOINT s; INSERT INTO t VALUES (5, 50); COMMIT").await.unwrap();
    assert_eq!((value(&client, 3).await, value(&client, 4).await, value(&client, 5).await), (Some(30), None, Some(50)));
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_transaction_with_it() {
    let server = Server::start();
    let client = with_table(&server).await;
    {
        let gone = server.client().await;
        gone.batch_execute("BEGIN; INSERT INTO t VALUES (3, 30)").await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(value(&client, 3).await, None);
    client.execute("INSERT INTO t VALUES (3, 31)", &[]).await.unwrap();
    assert_eq!(value(&client, 3).await, Some(31));
}

#[tokio::test]
async fn read_only_transactions_refuse_to_write() {
    let server = Server::start();
    let client = with_table(&server).await;
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    assert_eq!(value(&client, 1).await, Some(10));
    assert_eq!(state(&client.batch_execute("INSERT INTO t VALUES (9, 9)").await.unwrap_err()), "25006");
    client.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn a_client_token_commits_once() {
    let server = Server::start();
    let client = with_table(&server).await;
    for _ in 0..2 {
        client.batch_execute("SET ledgerstone.client_token = 'token-1'").await.unwrap();
        client.batch_execute("INSERT INTO t VALUES (7, 70)").await.unwrap();
    }
    client.batch_execute("SET ledgerstone.client_token = 'token-1'").await.unwrap();
    let error = client.batch_execute("INSERT INTO t VALUES (8, 80)").await.unwrap_err();
    assert_eq!(state(&error), "22023");
    assert_eq!((value(&client, 7).await, value(&client, 8).await), (Some(70), None));
}

#[tokio::test]
async fn a_running_statement_can_be_canceled() {
    let server = Server::start();
    let client = server.client().await;
    let token = client.cancel_token();
    let canceler = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    });
    let query = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
    let error = client.query(query, &[]).await.unwrap_err();
    assert_eq!(state(&error), "57014");
    canceler.await.unwrap();
    client.query("SELECT 1", &[]).await.unwrap();
    client.batch_execute("SET statement_timeout = 100").await.unwrap();
    assert_eq!(state(&client.query(query, &[]).await.unwrap_err()), "57014");
}
