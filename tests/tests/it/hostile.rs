//! Bad input through the PostgreSQL port: a clear error for who sends it, nothing for anybody else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Server, state};

/// Every form of statement with a piece missing, doubled or out of place.
const MALFORMED_SQL: &[&str] = &[
    "SELECT",
    "SELECT FROM",
    "SELECT 1 FROM",
    "SELECT * t",
    "SELECT * FROM t WHERE",
    "SELECT * FROM t GROUP",
    "SELECT * FROM t GROUP BY",
    "SELECT * FROM t ORDER BY",
    "SELECT * FROM t LIMIT",
    "SELECT * FROM t LIMIT LIMIT",
    "SELECT * FROM t OFFSET",
    "SELECT (1",
    "SELECT 1)",
    "SELECT ((((1)))",
    "SELECT 'a",
    "SELECT \"a",
    "SELECT $$a",
    "SELECT 1 +",
    "SELECT + FROM t",
    "SELECT 1 UNION",
    "SELECT 1 UNION ALL",
    "SELECT 1 INTERSECT",
    "UNION SELECT 1",
    "SELECT CASE",
    "SELECT CASE WHEN 1 THEN",
    "SELECT CASE WHEN true THEN 1",
    "SELECT CAST(1)",
    "SELECT CAST(1 AS)",
    "SELECT 1::",
    "SELECT a[",
    "SELECT a[1",
    "SELECT count(",
    "SELECT count(*",
    "SELECT f(1,)",
    "SELECT 1 BETWEEN 2",
    "SELECT 1 IN",
    "SELECT 1 IN (",
    "SELECT EXISTS",
    "SELECT EXISTS (",
    "SELECT NOT",
    "SELECT 1 IS",
    "SELECT 1 LIKE",
    "SELECT sum(id) OVER",
    "SELECT sum(id) OVER (",
    "SELECT sum(id) OVER (PARTITION)",
    "SELECT * FROM t JOIN",
    "SELECT * FROM t JOIN u ON",
    "SELECT * FROM t LEFT",
    "SELECT * FROM (SELECT 1",
    "SELECT * FROM t AS",
    "SELECT * FROM t AS OF BLOCK",
    "SELECT * FROM t AS OF TIMESTAMP",
    "SELECT * FROM history(",
    "SELECT * FROM history(nothing) AS h",
    "SELECT * FROM history() AS h",
    "WITH",
    "WITH a",
    "WITH a AS",
    "WITH a AS (",
    "WITH a AS (SELECT 1)",
    "WITH a AS (SELECT 1) FROM a",
    "VALUES",
    "VALUES (",
    "VALUES (1",
    "VALUES (1), (1, 2)",
    "INSERT",
    "INSERT INTO",
    "INSERT INTO t",
    "INSERT INTO t VALUES",
    "INSERT INTO t VALUES (",
    "INSERT INTO t VALUES (1",
    "INSERT INTO t (id VALUES (1)",
    "INSERT INTO t () VALUES ()",
    "INSERT t VALUES (1)",
    "INSERT INTO t (id) VALUES (1, 2)",
    "INSERT INTO t (nothing) VALUES (1)",
    "INSERT INTO t (id, id) VALUES (1, 2)",
    "INSERT INTO t SELECT",
    "INSERT INTO t VALUES (1) ON",
    "INSERT INTO t VALUES (1) ON CONFLICT",
    "INSERT INTO t VALUES (1) ON CONFLICT DO",
    "INSERT INTO t VALUES (1) RETURNING",
    "UPDATE",
    "UPDATE t",
    "UPDATE t SET",
    "UPDATE t SET id",
    "UPDATE t SET id =",
    "UPDATE t SET id = 1 WHERE",
    "UPDATE t SET id = 1,",
    "UPDATE t SET nothing = 1",
    "UPDATE SET id = 1",
    "UPDATE t WHERE id = 1",
    "UPDATE t SET id = 1 id = 2",
    "DELETE",
    "DELETE t",
    "DELETE FROM",
    "DELETE FROM t WHERE",
    "DELETE FROM t id = 1",
    "DELETE FROM t USING",
    "DELETE FROM nothing",
    "CREATE",
    "CREATE TABLE",
    "CREATE TABLE x (",
    "CREATE TABLE x (a)",
    "CREATE TABLE x (a nothing)",
    "CREATE TABLE x (a int",
    "CREATE TABLE x (a int,)",
    "CREATE TABLE x (a int PRIMARY)",
    "CREATE TABLE x (a int NOT)",
    "CREATE TABLE x (a int DEFAULT)",
    "CREATE TABLE x (a int CHECK)",
    "CREATE TABLE x (a int CHECK (",
    "CREATE TABLE x (a numeric(0))",
    "CREATE TABLE x (a numeric(1,2,3))",
    "CREATE TABLE x (a int, a int)",
    "CREATE INDEX",
    "CREATE INDEX i",
    "CREATE INDEX i ON",
    "CREATE INDEX i ON t",
    "CREATE INDEX i ON t (",
    "CREATE INDEX i ON t ()",
    "CREATE INDEX i ON nothing (a)",
    "CREATE UNIQUE",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TRIGGER g",
    "CREATE FUNCTION f()",
    "CREATE ROLE r",
    "CREATE SEQUENCE s",
    "CREATE DATABASE",
    "ALTER",
    "ALTER TABLE",
    "ALTER TABLE t",
    "ALTER TABLE t ADD",
    "ALTER TABLE t ADD COLUMN",
    "ALTER TABLE t DROP COLUMN",
    "ALTER TABLE t RENAME",
    "ALTER TABLE nothing ADD COLUMN a int",
    "DROP",
    "DROP TABLE",
    "DROP TABLE nothing",
    "DROP INDEX",
    "DROP INDEX nothing",
    "DROP VIEW v",
    "DROP DATABASE",
    "TRUNCATE",
    "GRANT ALL ON t TO x",
    "REVOKE",
    "COPY",
    "COPY t",
    "COPY t FROM",
    "COPY nothing FROM STDIN",
    "COPY t TO",
    "COPY t FROM STDIN (FORMAT nothing)",
    "SET",
    "SET nothing",
    "SHOW",
    "SHOW nothing",
    "RESET",
    "EXPLAIN",
    "EXPLAIN EXPLAIN",
    "EXPLAIN SELECT",
    "BEGIN NOW",
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK TO",
    "EXEC",
    "EXEC nothing",
    "UNDROP",
    "UNDROP TABLE",
    "LOCK TABLE t",
    "LISTEN a",
    "NOTIFY a",
    "PREPARE TRANSACTION 'a'",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH 1 FROM c",
    "DO $$x$$",
    "SELECT 1; SELECT",
    ";;; SELEC 1",
    "nonsense",
    "1",
    "'a'",
    "\\d",
    "SELECT @",
    "SELECT #1",
    "SELECT 0x",
    "SELECT nothing FROM t",
    "SELECT t.nothing FROM t",
    "SELECT * FROM t, t",
    "SELECT id FROM t GROUP BY note",
    "SELECT nothing(1)",
    "SELECT 1/0",
    "SELECT 'a'::int",
    "SELECT date '2020-02-30'",
    "SELECT 99999999999999999999::int",
];

const MALFORMED_PARTIQL: &[&str] = &[
    "SELECT",
    "SELECT * FROM",
    "SELECT * FROM t WHERE",
    "SELECT VALUE",
    "SELECT * FROM t AT",
    "SELECT * FROM t BY",
    "SELECT * FROM UNPIVOT",
    "SELECT {'a': }",
    "SELECT {'a'}",
    "SELECT [1, ",
    "SELECT << 1",
    "SELECT `{`",
    "SELECT `2020-13-01T`",
    "SELECT ?",
    "INSERT INTO t",
    "INSERT INTO t VALUE",
    "INSERT INTO t << {'a' 1} >>",
    "INSERT INTO t {'a': 1",
    "INSERT INTO t ?",
    "UPDATE t",
    "UPDATE t SET",
    "UPDATE t SET a",
    "FROM t",
    "FROM t SET",
    "FROM t INSERT INTO",
    "FROM t REMOVE",
    "DELETE t",
    "DELETE FROM",
    "CREATE TABLE",
    "CREATE INDEX ON",
    "CREATE INDEX ON t",
    "CREATE INDEX ON t (",
    "DROP TABLE",
    "DROP INDEX",
    "UNDROP TABLE",
    "EXEC",
    "EXEC REDACT_REVISION",
    "SELECT * FROM nothing",
    "SELECT CAST(1 AS nothing)",
    "SELECT a.b.c FROM",
    "SELECT 'a",
    "SELECT \"a",
    "SELECT 1 +",
    "EXPLAIN",
    "nonsense",
];

#[tokio::test]
async fn every_malformed_statement_is_refused_and_the_connection_lives_on() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, note text)").await.unwrap();
    assert!(MALFORMED_SQL.len() + MALFORMED_PARTIQL.len() >= 200);
    let mut accepted = Vec::new();
    for (dialect, texts) in [("sql", MALFORMED_SQL), ("partiql", MALFORMED_PARTIQL)] {
        client.batch_execute(&format!("SET ledgerstone.dialect = {dialect}")).await.unwrap();
        for text in texts {
            let Err(error) = client.simple_query(text).await else {
                accepted.push(*text);
                continue;
            };
            let code = state(&error);
            let class = code.get(..2).unwrap_or_default();
            assert!(["42", "0A", "22", "3D", "3B", "34", "25", "08"].contains(&class), "{text}: {code} {error}");
            let db = error.as_db_error().unwrap_or_else(|| panic!("{text}: {error}"));
            assert!(!db.message().is_empty());
            if code == "42601" {
                assert!(db.position().is_some(), "a syntax error says where: {text}: {db}");
            }
            client.simple_query("SELECT 1").await.unwrap_or_else(|error| panic!("after {text}: {error}"));
        }
    }
    assert_eq!(accepted, Vec::<&str>::new());
    client.batch_execute("SET ledgerstone.dialect = sql").await.unwrap();
    assert_eq!(client.query("SELECT * FROM t", &[]).await.unwrap().len(), 0, "nothing of them was done");
}

#[tokio::test]
async fn nesting_of_a_million_is_refused_by_a_named_limit() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE d (id bigint PRIMARY KEY, body jsonb)").await.unwrap();
    let deep = |open: &str, inner: &str, close: &str, n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
    let million = 1_000_000;
    let texts = [
        format!("SELECT {}", deep("(", "1", ")", million)),
        format!("SELECT {}", deep("-", "1", "", million)),
        format!("SELECT {}", deep("NOT ", "true", "", million)),
        format!("SELECT {}", deep("ARRAY[", "1", "]", million)),
        deep("SELECT*FROM(", "SELECT 1", ")a", million),
        format!("SELECT '{}'::jsonb", deep("[", "", "]", million)),
        format!("SELECT 1{}", " + 1".repeat(million)),
        format!("SELECT 1{}", " OR true".repeat(million)),
    ];
    for text in &texts {
        // A flat chain may be answered; whatever comes, the server lives on.
        match client.simple_query(text).await {
            Ok(_) => assert!(text.contains(" + 1") || text.contains(" OR "), "accepted: {}", &text[..30]),
            Err(error) => {
                let code = state(&error);
                assert!(["54", "42", "22"].contains(&&code[..2]), "{}: {code} {error}", &text[..30]);
            }
        }
        client.simple_query("SELECT 1").await.unwrap();
    }
    let error = client
        .execute("INSERT INTO d VALUES (1, $1::text::jsonb)", &[&deep("{\"a\":", "1", "}", million)])
        .await
        .unwrap_err();
    assert!(["54", "22"].contains(&&state(&error)[..2]), "{error}");
    client.batch_execute("SET ledgerstone.dialect = partiql").await.unwrap();
    for text in [
        format!("SELECT VALUE {} FROM d", deep("[", "", "]", million)),
        format!("SELECT VALUE {} FROM d", deep("{'a': ", "1", "}", million)),
        format!("SELECT VALUE `{}` FROM d", deep("(", "", ")", million)),
    ] {
        assert!(client.simple_query(&text).await.is_err(), "accepted: {}", &text[..30]);
        client.simple_query("SELECT VALUE 1 FROM d").await.unwrap();
    }
}

#[tokio::test]
async fn a_document_of_a_hundred_thousand_fields_comes_back() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE d (id bigint PRIMARY KEY, body jsonb)").await.unwrap();
    let fields: Vec<String> = (0..100_000).map(|n| format!("\"f{n:06}\": {n}")).collect();
    let body = format!("{{{}}}", fields.join(", "));
    client.execute("INSERT INTO d VALUES (1, $1::text::jsonb)", &[&body]).await.unwrap();
    let row = client.query_one("SELECT body::text, body->'f099999' = '99999'::jsonb FROM d", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), body);
    assert!(row.get::<_, bool>(1));
}

#[tokio::test]
async fn a_document_at_the_limit_is_taken_and_one_byte_more_is_refused() {
    let server = Server::start();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE d (id bigint PRIMARY KEY, body text)").await.unwrap();
    let insert = client.prepare("INSERT INTO d VALUES ($1, $2)").await.unwrap();
    let limit = 16 << 20;
    // How much the document has beside the text is not this test's business: the refusal says it.
    let error = client.execute(&insert, &[&1i64, &"x".repeat(limit)]).await.unwrap_err();
    assert_eq!(state(&error), "54000", "{error}");
    let message = error.as_db_error().unwrap().message().to_owned();
    assert!(message.contains(&limit.to_string()), "the limit is named: {message}");
    // Names and the other fields count as well: the longest text that fits is a little shorter than the limit.
    let (mut fits, mut refused, mut id, mut taken) = (limit - 256, limit, 10i64, 0);
    while refused - fits > 1 {
        let length = fits + (refused - fits) / 2;
        id += 1;
        match client.execute(&insert, &[&id, &"x".repeat(length)]).await {
            Ok(rows) => (fits, taken) = (length, taken + rows as i64),
            Err(error) => {
                assert_eq!(state(&error), "54000", "{error}");
                refused = length;
            }
        }
    }
    assert!(taken > 0, "the limit lies within 256 bytes");
    for length in [0, 1, 2, fits] {
        id += 1;
        client.execute(&insert, &[&id, &"x".repeat(length)]).await.unwrap_or_else(|e| panic!("{length} bytes: {e}"));
    }
    id += 1;
    let error = client.execute(&insert, &[&id, &"x".repeat(fits + 1)]).await.unwrap_err();
    assert_eq!(state(&error), "54000", "{error}");
    let row = client.query_one("SELECT count(*), max(length(body)) FROM d", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), i64::from(row.get::<_, i32>(1))), (taken + 4, fits as i64));
}

#[test]
fn text_that_is_not_utf8_is_refused_wherever_it_stands() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (id bigint PRIMARY KEY, note text)");
    let query = |body: &[u8]| [b"Q", &((body.len() + 5) as u32).to_be_bytes()[..], body, b"\0"].concat();
    for bytes in [&b"SELECT '\xff\xfe'"[..], b"\xc3\x28", b"SELECT \xed\xa0\x80", b"INSERT INTO t VALUES (1, '\xf8')"] {
        let mut stream = connect(&server);
        stream.write_all(&query(bytes)).unwrap();
        let answer = until_ready(&mut stream);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("C22021\0") && answer.contains("invalid byte sequence for encoding"), "{answer}");
        // It is the error of one statement: the connection goes on.
        stream.write_all(&query(b"SELECT count(*) FROM t")).unwrap();
        let answer = until_ready(&mut stream);
        assert!(answer.windows(8).any(|w| w == b"SELECT 1"), "the next statement works");
    }
    assert_eq!(server.psql_ok("SELECT count(*) FROM t"), "0");
}

/// A connection past its startup.
fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.postgres).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let parameters = b"user\0test\0database\0main\0\0";
    let startup = [&((parameters.len() + 8) as u32).to_be_bytes()[..], &[0, 3, 0, 0], parameters].concat();
    stream.write_all(&startup).unwrap();
    until_ready(&mut stream);
    stream
}

/// What the server sends up to ReadyForQuery, or up to its end.
fn until_ready(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut head = [0; 5];
        if stream.read_exact(&mut head).is_err() {
            return all;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).expect("a whole message");
        all.extend_from_slice(&body);
        if head[0] == b'Z' {
            return all;
        }
    }
}
