//! The extended protocol with a driver that uses binary formats throughout.

use std::time::{Duration, SystemTime};

use futures_util::{TryStreamExt as _, pin_mut};

use crate::harness::{Server, state};

#[tokio::test]
async fn every_type_goes_in_and_comes_back_in_binary() {
    let server = Server::start();
    let client = server.client().await;
    client
        .batch_execute(
            "CREATE TABLE t (b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric(20,2), s text,
             v varchar(10), c char(5), z timestamptz, y bytea, u uuid, j jsonb, a int[], id int PRIMARY KEY)",
        )
        .await
        .unwrap();
    let when = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let insert = "INSERT INTO t (b, i2, i4, i8, f4, f8, s, v, c, z, y, a, id) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)";
    let count = client
        .execute(
            insert,
            &[
                &true,
                &-7_i16,
                &i32::MIN,
                &i64::MAX,
                &1.5_f32,
                &-0.1_f64,
                &"é\u{1F600}",
                &"varchar",
                &"ab",
                &when,
                &b"\x00\xff".as_slice(),
                &vec![Some(1_i32), None, Some(3)],
            ],
        )
        .await
        .unwrap();
    assert_eq!(count, 1);
    let row = client.query_one("SELECT b, i2, i4, i8, f4, f8, s, v, c, z, y, a FROM t", &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!((row.get::<_, i16>(1), row.get::<_, i32>(2), row.get::<_, i64>(3)), (-7, i32::MIN, i64::MAX));
    assert_eq!((row.get::<_, f32>(4), row.get::<_, f64>(5)), (1.5, -0.1));
    assert_eq!(
        (row.get::<_, &str>(6), row.get::<_, &str>(7), row.get::<_, &str>(8)),
        ("é\u{1F600}", "varchar", "ab   ")
    );
    assert_eq!(row.get::<_, SystemTime>(9), when);
    assert_eq!(row.get::<_, &[u8]>(10), b"\x00\xff");
    assert_eq!(row.get::<_, Vec<Option<i32>>>(11), [Some(1), None, Some(3)]);
    let nulls = client.query_one("SELECT n, u, j FROM t WHERE n IS NULL", &[]).await.unwrap();
    assert_eq!(nulls.len(), 3);
}

#[tokio::test]
async fn a_prepared_statement_outlives_a_change_of_the_catalogue() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int)").await.unwrap();
    let insert = client.prepare("INSERT INTO t (id, v) VALUES ($1, $2)").await.unwrap();
    let select = client.prepare("SELECT v FROM t WHERE id = $1").await.unwrap();
    for id in 0..50_i32 {
        client.execute(&insert, &[&id, &(id * 2)]).await.unwrap();
        if id == 25 {
            server.client().await.batch_execute("CREATE INDEX ON t (v)").await.unwrap();
        }
    }
    for id in 0..50_i32 {
        assert_eq!(client.query_one(&select, &[&id]).await.unwrap().get::<_, i32>(0), id * 2);
    }
    assert_eq!(state(&client.execute(&insert, &[&0_i32, &0_i32]).await.unwrap_err()), "23505");
}

#[tokio::test]
async fn a_statement_whose_columns_have_changed_is_refused_until_it_is_prepared_again() {
    let server = Server::start();
    let client = server.client().await;
    let other = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, a text, b text)").await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2, $3) RETURNING *").await.unwrap();
    let select = client.prepare("SELECT * FROM t WHERE id = $1").await.unwrap();
    client.query_one(&insert, &[&1_i32, &"a", &"b"]).await.unwrap();
    for change in
        ["ALTER TABLE t ADD COLUMN c int", "ALTER TABLE t DROP COLUMN c", "ALTER TABLE t RENAME COLUMN a TO z"]
    {
        other.batch_execute(change).await.unwrap();
        let outcome = client.query(&select, &[&1_i32]).await;
        match change.contains("DROP") {
            true => assert_eq!(outcome.unwrap()[0].get::<_, &str>(2), "b", "what it was prepared for is back"),
            false => assert_eq!(state(&outcome.unwrap_err()), "0A000", "{change}"),
        }
    }
    assert_eq!(state(&client.query(&insert, &[&2_i32, &"a", &"b"]).await.unwrap_err()), "0A000");
    let count = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 1, "what was refused has changed nothing");
    let again = client.prepare("SELECT * FROM t WHERE id = $1").await.unwrap();
    assert_eq!(client.query_one(&again, &[&1_i32]).await.unwrap().get::<_, &str>("z"), "a");
}

#[tokio::test]
async fn rows_are_fetched_in_portions_and_pipelines_hold() {
    let server = Server::start();
    let mut client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    client.batch_execute("INSERT INTO t SELECT g FROM generate_series(1, 5000) g").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    let first = transaction.query_portal(&portal, 7).await.unwrap();
    let second = transaction.query_portal(&portal, 2000).await.unwrap();
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!((first.len(), second.len(), rest.len()), (7, 2000, 2993));
    assert_eq!(second[0].get::<_, i32>(0), 8);
    transaction.commit().await.unwrap();
    // Many statements on the way at once.
    let client = &client;
    let mut answers = Vec::new();
    for id in 1..=100_i32 {
        answers.push(async move { client.query_one("SELECT id FROM t WHERE id = $1", &[&id]).await });
    }
    for (number, answer) in futures_util::future::join_all(answers).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().get::<_, i32>(0), number as i32 + 1);
    }
    let rows = client.query_raw("SELECT id FROM t", std::iter::empty::<i32>()).await.unwrap();
    pin_mut!(rows);
    let mut count = 0;
    while rows.try_next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 5000);
}

#[tokio::test]
async fn wrong_parameters_are_errors() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    assert_eq!(state(&client.prepare("SELECT 1; SELECT 2").await.unwrap_err()), "42601");
    assert_eq!(state(&client.prepare("SELECT * FROM nowhere").await.unwrap_err()), "42P01");
    assert!(client.execute("INSERT INTO t VALUES ($1)", &[&"text"]).await.is_err());
    client.query("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_merge_is_prepared_once_and_answers_with_what_it_changed() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 10)").await.unwrap();
    let text = "MERGE INTO t USING (SELECT $1::int AS id, $2::int AS n) v ON t.id = v.id \
                WHEN MATCHED AND v.n IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET n = v.n \
                WHEN NOT MATCHED AND v.n > 0 THEN INSERT (id, n) VALUES (v.id, v.n)";
    let merge = client.prepare(text).await.unwrap();
    assert!(merge.columns().is_empty());
    for (id, n, changed) in [(1, Some(11), 1), (2, Some(20), 1), (3, Some(0), 0), (1, None, 1)] {
        assert_eq!(client.execute(&merge, &[&id, &n]).await.unwrap(), changed, "{id} {n:?}");
    }
    let rows = client.query("SELECT id, n FROM t", &[]).await.unwrap();
    let rows: Vec<(i32, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(2, 20)]);
}
