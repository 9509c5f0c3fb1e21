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

#[test]
fn a_bad_row_names_its_line_and_leaves_nothing() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id int PRIMARY KEY, v int)");
    let error = server.psql_error("COPY t FROM STDIN;\n1\t1\n2\tx\n\\.\n");
    assert!(error.contains("22P02") && error.contains("line 2"), "{error}");
    let error = server.psql_error("COPY t FROM STDIN;\n1\t1\n1\t2\n\\.\n");
    assert!(error.contains("23505"), "{error}");
    let error = server.psql_error("COPY t FROM STDIN;\n1\n\\.\n");
    assert!(error.contains("22P04"), "{error}");
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
