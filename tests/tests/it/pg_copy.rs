//! COPY in and out, whole or not at all.

use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _, pin_mut};

use crate::harness::{Server, state};

#[test]
fn csv_goes_in_through_psql_and_comes_out_the_same() {
    let server = Server::start();
    let answer = server.psql_ok(
        "CREATE TABLE t (id int PRIMARY KEY, name text, amount numeric(12,2), day date);
COPY t FROM STDIN WITH (FORMAT csv, HEADER true);
id,name,amount,day
1,\"Lewis, Raul\",10.50,2020-01-02
2,,0.10,
3,\"\",,1999-12-31
\\.
SELECT count(*), sum(amount) FROM t;
COPY t TO STDOUT WITH (FORMAT csv, HEADER true);
COPY (SELECT id, name FROM t WHERE id < 3 ORDER BY id) TO STDOUT;",
    );
    assert_eq!(
        answer,
        "3|10.60\nid,name,amount,day\n1,\"Lewis, Raul\",10.50,2020-01-02\n2,,0.10,\n3,\"\",,1999-12-31\n\
         1\tLewis, Raul\n2\t\\N"
    );
}

/// The same bytes as PostgreSQL's, and back.
#[tokio::test]
async fn binary_is_postgresqls_own() {
    let columns = "id int, name text, amount numeric(12,2), day date, at timestamptz, ok bool, bytes bytea, f float8, \
                   u uuid, i interval, j jsonb, tags text[]";
    let rows = "(1, 'one', 10.50, '2020-01-02', '2020-01-02 03:04:05.678+00', true, '\\x00ff', 0.1, \
                'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1 day 2 hours', '{\"a\": 1}', '{x,NULL,\"y z\"}'), \
                (2, '', -0.01, '1999-12-31', null, false, '', 'NaN', null, '-1 month', '[]', '{}'), \
                (3, null, null, null, null, null, null, null, null, null, null, null)";
    let server = Server::start();
    let make = format!("CREATE TABLE t ({columns}); INSERT INTO t VALUES {rows}; CREATE TABLE back ({columns})");
    let bytes_of = |client: tokio_postgres::Client| async move {
        let out = client.copy_out("COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT binary)").await.unwrap();
        out.try_collect::<Vec<Bytes>>().await.unwrap().concat()
    };
    let client = server.client().await;
    client.batch_execute(&make).await.unwrap();
    let bytes = bytes_of(server.client().await).await;
    if let Some(mut postgres) = crate::postgres::Postgres::start() {
        let theirs = postgres.client("postgres").await;
        theirs.batch_execute(&make).await.unwrap();
        assert_eq!(bytes, bytes_of(theirs).await);
    }
    // Cut anywhere, it goes in again.
    let sink = client.copy_in("COPY back FROM STDIN BINARY").await.unwrap();
    pin_mut!(sink);
    for piece in bytes.chunks(7) {
        sink.send(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 3);
    let missing = "SELECT count(*) FROM ((SELECT * FROM t EXCEPT SELECT * FROM back) UNION ALL \
                   (SELECT * FROM back EXCEPT SELECT * FROM t)) d";
    assert_eq!(client.query_one(missing, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_broken_binary_stream_names_its_place_and_leaves_nothing() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int)").await.unwrap();
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let row = |id: u8, length: u8| vec![0, 2, 0, 0, 0, 4, 0, 0, 0, id, 0, 0, 0, length, 0, 0, 0, 1];
    for (bytes, code, detail) in [
        (b"no signature".to_vec(), "22P04", ""),
        ([header.clone(), row(1, 4), vec![0, 3]].concat(), "22P04", "line 2"),
        ([header.clone(), row(1, 4), row(2, 3)].concat(), "22P03", "line 2, field 2"),
        ([header.clone(), row(1, 4), row(2, 4)[..9].to_vec()].concat(), "22P04", ""),
        ([header.clone(), row(1, 4), row(1, 4)].concat(), "23505", ""),
    ] {
        let sink = client.copy_in("COPY t FROM STDIN (FORMAT binary)").await.unwrap();
        pin_mut!(sink);
        let sent = sink.send(Bytes::from(bytes)).await;
        let error = match sent {
            Ok(()) => sink.finish().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(state(&error), code);
        let said = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default().to_owned();
        assert!(said.contains(detail), "{said}");
    }
    assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_bad_row_names_its_line_and_leaves_nothing() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id int PRIMARY KEY, v int)");
    let error = server.psql_error("COPY t FROM STDIN;\n1\t1\n2\tx\n\\.\n");
    assert!(error.contains("22P02") && error.contains("line 2, column v"), "{error}");
    let error = server.psql_error("COPY t FROM STDIN;\n1\t1\n1\t2\n\\.\n");
    assert!(error.contains("23505"), "{error}");
    let error = server.psql_error("COPY t FROM STDIN;\n1\n\\.\n");
    assert!(error.contains("22P04"), "{error}");
    let error = server.psql_error("COPY t (id, v, v) FROM STDIN;\n1\t1\t2\n\\.\n");
    assert!(error.contains("42701") && error.contains("\"v\" specified more than once"), "{error}");
    assert_eq!(server.psql_ok("SELECT count(*) FROM t"), "0");
}

#[tokio::test]
async fn a_stream_of_rows_is_one_transaction() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
    pin_mut!(sink);
    for piece in 0..20 {
        let rows: String = (0..100).map(|row| format!("{}\tvalue {row}\n", piece * 100 + row)).collect();
        sink.send(Bytes::from(rows)).await.unwrap();
    }
    assert_eq!(server.client().await.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(sink.finish().await.unwrap(), 2000);
    let out = client.copy_out("COPY t TO STDOUT").await.unwrap();
    let bytes: Vec<Bytes> = out.try_collect().await.unwrap();
    assert_eq!(bytes.len(), 2000);
    // Given up half way: nothing remains, and the connection goes on.
    {
        let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
        pin_mut!(sink);
        sink.send(Bytes::from_static(b"5000\tx\n")).await.unwrap();
    }
    assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 2000);
    let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"1\ttwice\n")).await.unwrap();
    assert_eq!(state(&sink.finish().await.unwrap_err()), "23505");
    client.query("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn what_a_change_returns_is_copied_out() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)").await.unwrap();
    let out = client.copy_out("COPY (DELETE FROM t WHERE id < 3 RETURNING id) TO STDOUT").await.unwrap();
    let bytes = out.try_collect::<Vec<Bytes>>().await.unwrap().concat();
    assert_eq!(bytes, b"1\n2\n");
    let left = server.client().await.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 1);
    let refused = client.batch_execute("COPY (DELETE FROM t) TO STDOUT").await.unwrap_err();
    assert_eq!(state(&refused), "0A000");
}
