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

#[test]
fn an_advisory_lock_is_held_by_one_session_and_ends_with_it_or_its_transaction() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (one, two) = (server.client().await, server.client().await);
        let tries = "SELECT pg_try_advisory_lock(7)";
        one.batch_execute("SELECT pg_advisory_lock(7); BEGIN; SELECT pg_advisory_xact_lock(1, 2)").await.unwrap();
        assert!(!two.query_one(tries, &[]).await.unwrap().get::<_, bool>(0));
        let other = two.query_one("SELECT pg_try_advisory_xact_lock(1, 2)", &[]).await.unwrap();
        assert!(!other.get::<_, bool>(0));
        one.batch_execute("COMMIT AND CHAIN").await.unwrap();
        // It was the transaction's; and this one ends with its statement.
        for _ in 0..2 {
            let free = two.query_one("SELECT pg_try_advisory_xact_lock(1, 2)", &[]).await.unwrap();
            assert!(free.get::<_, bool>(0));
        }
        one.batch_execute("ROLLBACK; SELECT pg_advisory_xact_lock(1, 2)").await.unwrap();
        // Who waits gets it when the session that holds it is gone, or is told to stop.
        two.batch_execute("SET statement_timeout = 50").await.unwrap();
        let waited = two.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap_err();
        assert_eq!(state(&waited), "57014");
        two.batch_execute("SET statement_timeout = 0").await.unwrap();
        drop(one);
        two.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
        assert!(two.query_one("SELECT pg_advisory_unlock(7)", &[]).await.unwrap().get::<_, bool>(0));
        assert!(!two.query_one("SELECT pg_advisory_unlock(7)", &[]).await.unwrap().get::<_, bool>(0));
        // What a pool runs before it hands the session to somebody else.
        two.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
        two.batch_execute("DISCARD ALL").await.unwrap();
        assert!(server.client().await.query_one(tries, &[]).await.unwrap().get::<_, bool>(0));
    });
}

#[test]
fn a_column_of_a_result_says_which_column_of_which_table_it_is() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (a int, b text); CREATE TABLE u (a int, c text)");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = server.client().await;
        let oids = client.query_one("SELECT 't'::regclass::oid, 'u'::regclass::oid", &[]).await.unwrap();
        let (t, u) = (oids.get::<_, u32>(0), oids.get::<_, u32>(1));
        let text = "SELECT t.b AS other, t.a + 1 AS sum, u.c, t.* FROM t JOIN u ON t.a = u.a ORDER BY 2";
        let statement = client.prepare(text).await.unwrap();
        let found: Vec<_> = statement.columns().iter().map(|c| (c.table_oid(), c.column_id())).collect();
        let at = |table, column| (Some(table), Some(column));
        assert_eq!(found, [at(t, 2), (None, None), at(u, 2), at(t, 1), at(t, 2)]);
    });
}
