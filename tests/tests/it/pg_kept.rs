//! Prepared statements, cursors and settings over the wire, as drivers use them.

use crate::harness::{Server, state};

#[test]
fn cursors_and_prepared_statements_work_with_the_extended_protocol() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s SELECT generate_series(1, 5000)");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = server.client().await;
        let transaction = client.transaction().await.unwrap();
        // A server-side cursor as psycopg has it: the parameters belong to the query inside.
        let declare = "DECLARE c CURSOR FOR SELECT id FROM s WHERE id > $1 ORDER BY id";
        transaction.execute(declare, &[&10_i32]).await.unwrap();
        let rows = transaction.query("FETCH FORWARD 2000 FROM c", &[]).await.unwrap();
        assert_eq!((rows.len(), rows[0].get::<_, i32>(0)), (2000, 11));
        let rows = transaction.query("FETCH ALL FROM c", &[]).await.unwrap();
        assert_eq!((rows.len(), rows[0].get::<_, i32>(0)), (2990, 2011));
        // A portal with a row limit, which is the fetch size of JDBC.
        let statement = transaction.prepare("SELECT id FROM s ORDER BY id").await.unwrap();
        let portal = transaction.bind(&statement, &[]).await.unwrap();
        let mut seen = 0;
        loop {
            let rows = transaction.query_portal(&portal, 1_700).await.unwrap();
            if rows.is_empty() {
                break;
            }
            seen += rows.len();
        }
        assert_eq!(seen, 5000);
        transaction.commit().await.unwrap();
        let error = client.query("FETCH c", &[]).await.unwrap_err();
        assert_eq!(state(&error), "34000");

        client.batch_execute("PREPARE p (int) AS SELECT id, id * 2 AS twice FROM s WHERE id = $1").await.unwrap();
        let rows = client.query("EXECUTE p(7)", &[]).await.unwrap();
        assert_eq!((rows[0].get::<_, i32>("id"), rows[0].get::<_, i32>("twice")), (7, 14));
        client.batch_execute("DISCARD ALL").await.unwrap();
        let error = client.batch_execute("EXECUTE p(7)").await.unwrap_err();
        assert_eq!(state(&error), "26000");
    });
}

#[test]
fn deallocate_forgets_statements_of_the_protocol_too() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = server.client().await;
        let statement = client.prepare("SELECT 1").await.unwrap();
        client.query(&statement, &[]).await.unwrap();
        client.batch_execute("DEALLOCATE ALL").await.unwrap();
        let error = client.query(&statement, &[]).await.unwrap_err();
        assert_eq!(state(&error), "26000");
        client.query("SELECT 1", &[]).await.unwrap();
    });
}

#[test]
fn a_statement_that_waits_holds_up_nobody_and_can_be_cancelled() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let waiting: Vec<_> = {
            let mut clients = Vec::new();
            for _ in 0..8 {
                clients.push(server.client().await);
            }
            clients
        };
        let tokens: Vec<_> = waiting.iter().map(|client| client.cancel_token()).collect();
        let waits: Vec<_> = waiting
            .into_iter()
            .map(|client| tokio::spawn(async move { client.query("SELECT pg_sleep(600)", &[]).await }))
            .collect();
        // Others are answered while these wait.
        let other = server.client().await;
        for _ in 0..20 {
            other.query("SELECT random(), gen_random_uuid()::text", &[]).await.unwrap();
        }
        for (token, wait) in tokens.into_iter().zip(waits) {
            // A request that comes before the statement has begun does not concern it.
            while !wait.is_finished() {
                token.cancel_query(tokio_postgres::NoTls).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let error = wait.await.unwrap().unwrap_err();
            assert_eq!(state(&error), "57014");
        }
    });
}
