//! The Rust client against the real server: statements, transactions, tokens, administration, bad input.

use std::time::Duration;

use ledgerstone_client::digest::ion::{self, Limits};
use ledgerstone_client::{
    Client, Dialect, Error, RetryPolicy, Session, SessionOptions, TransactOptions, Transaction, Value,
};

use crate::harness::Server;

pub async fn connect(server: &Server) -> Client {
    Client::connect(&format!("http://{}", server.http)).await.expect("the server answers")
}

pub async fn session(server: &Server) -> Session {
    connect(server).await.session("main").await.expect("a session")
}

/// A table of accounts with these balances.
pub async fn accounts(session: &mut Session, balances: &[(&str, i64)]) {
    session.run("CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL)", &[]).await.expect("a table");
    for (id, balance) in balances {
        let parameters = [Value::string(*id), Value::int(*balance)];
        session.run("INSERT INTO account VALUES ($1, $2)", &parameters).await.expect("an account");
    }
}

async fn balance(session: &mut Session, id: &str) -> Option<i64> {
    let rows = session.execute("SELECT balance FROM account WHERE id = $1", &[Value::string(id)]).await.unwrap();
    rows.collect().await.unwrap().first().and_then(|row| row.get("balance")?.as_i64())
}

/// Takes one from an account and gives what was there.
async fn withdraw(tx: Transaction, id: &'static str) -> Result<i64, Error> {
    let row = tx.execute("SELECT balance FROM account WHERE id = $1", &[Value::string(id)]).await?.only().await?;
    let balance = row.get("balance").and_then(Value::as_i64).expect("a balance");
    tx.run("UPDATE account SET balance = $1 WHERE id = $2", &[Value::int(balance - 1), Value::string(id)]).await?;
    Ok(balance)
}

#[tokio::test]
async fn statements_answer_with_rows_and_commit_addresses() {
    let server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[("a", 10)]).await;
    let insert = session.run("INSERT INTO account VALUES ('b', 20), ('c', 30)", &[]).await.unwrap();
    assert_eq!(insert.tag, "INSERT 0 2");
    let commit = insert.commit.expect("a commit");
    assert_eq!((commit.revisions, commit.block_position), (2, commit.first_position + 2));
    let mut rows = session.execute("SELECT id, balance FROM account ORDER BY id", &[]).await.unwrap();
    let names: Vec<_> = rows.columns().iter().map(|column| column.name.clone()).collect();
    assert_eq!(names, ["id", "balance"]);
    let mut ids = Vec::new();
    while let Some(row) = rows.next().await.unwrap() {
        ids.push(row.get("id").and_then(Value::as_text).expect("an id").to_owned());
    }
    assert_eq!(ids, ["a", "b", "c"]);
    let done = rows.done().expect("an end");
    assert_eq!((done.tag.as_str(), done.commit), ("SELECT 3", None));
}

#[tokio::test]
async fn values_keep_their_scale_and_null_stays_null() {
    let server = Server::start();
    let mut session = session(&server).await;
    session.run("CREATE TABLE price (id text PRIMARY KEY, amount numeric, note text)", &[]).await.unwrap();
    let amount = ion::parse("12345678901234567.890", &Limits::DOCUMENT).unwrap();
    let parameters = [Value::string("p"), amount.clone(), Value::NULL];
    session.run("INSERT INTO price VALUES ($1, $2, $3)", &parameters).await.unwrap();
    let row = session.execute("SELECT amount, note FROM price", &[]).await.unwrap().only().await.unwrap();
    assert_eq!((row.get("amount"), row.get("note")), (Some(&amount), None));
}

#[tokio::test]
async fn partiql_sessions_take_whole_documents() {
    let server = Server::start();
    let options = SessionOptions { dialect: Dialect::PartiQl, user: "ada".to_owned() };
    let mut session = connect(&server).await.session_with("main", options).await.unwrap();
    session.run("CREATE TABLE Person", &[]).await.unwrap();
    let document =
        ion::parse("{name: \"Raul\", scores: [1, 2.50, null], born: 1990-05-01}", &Limits::DOCUMENT).unwrap();
    session.run("INSERT INTO Person ?", std::slice::from_ref(&document)).await.unwrap();
    let row = session.execute("SELECT * FROM Person", &[]).await.unwrap().only().await.unwrap();
    assert_eq!(row.values, [Some(document)]);
}

#[tokio::test]
async fn refused_statements_say_what_and_where() {
    let server = Server::start();
    let mut session = session(&server).await;
    let error = session.run("SELECT * FROM missing", &[]).await.unwrap_err();
    let Error::Statement(error) = error else { panic!("{error:?}") };
    assert_eq!((error.sqlstate.as_str(), error.position), ("42P01", Some(15)));
    let error = session.run("SELEC 1", &[]).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42601"));
    let unknown = connect(&server).await.session("nowhere").await.unwrap_err();
    let Error::Statement(unknown) = unknown else { panic!("{unknown:?}") };
    assert_eq!(unknown.sqlstate, "3D000");
    assert!(unknown.hint.expect("a hint").contains("main"));
}

#[tokio::test]
async fn many_rows_arrive_and_a_client_that_stops_reading_harms_nobody() {
    let server = Server::start();
    let mut session = session(&server).await;
    let query = "SELECT g AS n FROM generate_series(1, 30000) AS g";
    let mut rows = session.execute(query, &[]).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    drop(rows);
    let rows = session.execute(query, &[]).await.unwrap().collect().await.unwrap();
    assert_eq!(rows.len(), 30_000);
    assert_eq!(rows.last().and_then(|row| row.get("n")?.as_i64()), Some(30_000));
}

#[tokio::test]
async fn conflicting_transactions_are_run_again_until_they_fit() {
    let server = Server::start();
    let mut first = session(&server).await;
    accounts(&mut first, &[("a", 100)]).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut session = session(&server).await;
        clients.push(tokio::spawn(async move {
            let mut attempts = 0;
            for _ in 0..5 {
                let options = TransactOptions::default();
                let done = session.transact(&options, |tx| withdraw(tx, "a")).await.expect("commits in the end");
                assert!(done.commit.is_some() && done.value.is_some());
                attempts += done.attempts;
            }
            attempts
        }));
    }
    let mut attempts = 0;
    for client in clients {
        attempts += client.await.unwrap();
    }
    assert_eq!(balance(&mut first, "a").await, Some(70));
    assert!(attempts >= 30);
}

#[tokio::test]
async fn a_conflict_that_may_not_be_retried_is_reported() {
    let server = Server::start();
    let mut one = session(&server).await;
    accounts(&mut one, &[("a", 5)]).await;
    let options = TransactOptions { retry: RetryPolicy::ONCE, ..TransactOptions::default() };
    let server = &server;
    let outcome = one
        .transact(&options, |tx| async move {
            let seen = withdraw(tx, "a").await?;
            let mut other = session(server).await;
            other.run("UPDATE account SET balance = 50 WHERE id = 'a'", &[]).await?;
            Ok::<_, Error>(seen)
        })
        .await;
    let Err(Error::RetriesExhausted { attempts: 1, last }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(*last, Error::Conflict(_)), "{last:?}");
    assert_eq!(balance(&mut one, "a").await, Some(50));
}

#[tokio::test]
async fn an_error_of_the_body_rolls_back() {
    let server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[("a", 5)]).await;
    let outcome = session
        .transact(&TransactOptions::default(), async |tx| {
            withdraw(tx, "a").await?;
            Err::<(), Box<dyn std::error::Error + Send + Sync>>("not today".into())
        })
        .await;
    assert_eq!(outcome.unwrap_err().to_string(), "not today");
    assert_eq!(balance(&mut session, "a").await, Some(5));
    let read_only = TransactOptions { read_only: true, ..TransactOptions::default() };
    let refused = session.transact(&read_only, |tx| withdraw(tx, "a")).await.unwrap_err();
    assert_eq!(refused.sqlstate(), Some("25006"));
}

#[tokio::test]
async fn a_token_commits_once_across_a_restart() {
    let mut server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[]).await;
    let insert = "INSERT INTO account VALUES ($1, $2)";
    let parameters = [Value::string("t"), Value::int(1)];
    let retry = RetryPolicy { attempts_max: 200, ..RetryPolicy::default() };
    let first = session.execute_idempotent("token-1", insert, &parameters, retry).await.unwrap();
    let first = first.finish().await.unwrap().commit.expect("a commit");
    server.kill();
    server.restart();
    // The session is gone with the old process: the client opens another one.
    let again = session.execute_idempotent("token-1", insert, &parameters, retry).await.unwrap();
    assert_eq!(again.finish().await.unwrap().commit, Some(first));
    assert_eq!(session.client().find_commit("main", "token-1", None).await.unwrap(), Some(first));
    assert_eq!(session.client().find_commit("main", "token-2", None).await.unwrap(), None);
    let other = [Value::string("u"), Value::int(1)];
    let reused = session.execute_idempotent("token-1", insert, &other, retry).await.unwrap_err();
    assert_eq!(reused.sqlstate(), Some("22023"));
    assert_eq!(balance(&mut session, "t").await, Some(1));
    assert_eq!(balance(&mut session, "u").await, None);
}

#[tokio::test]
async fn a_transaction_with_a_token_of_its_own_commits_once_across_a_restart() {
    let mut server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[("a", 10)]).await;
    let options = TransactOptions { client_token: Some("transfer-7".to_owned()), ..TransactOptions::default() };
    let first = session.transact(&options, |tx| withdraw(tx, "a")).await.unwrap();
    assert_eq!(first.value, Some(10));
    assert!(server.stop().success());
    server.restart();
    let again = session.transact(&options, |tx| withdraw(tx, "a")).await.unwrap();
    assert_eq!((again.value, again.commit, again.attempts), (None, first.commit, 0));
    assert_eq!(balance(&mut session, "a").await, Some(9));
}

#[tokio::test]
async fn statement_digests_name_what_a_token_has_committed() {
    let server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[("a", 10)]).await;
    let options = TransactOptions { client_token: Some("t".to_owned()), ..TransactOptions::default() };
    let done = session
        .transact(&options, async |tx| {
            let update = tx.run("UPDATE account SET balance = $1 WHERE id = 'a';", &[Value::int(1)]).await?;
            Ok::<_, Error>(update.statement_digest.expect("a digest"))
        })
        .await
        .unwrap();
    let digest = done.value.unwrap();
    let client = session.client();
    assert_eq!(client.find_commit("main", "t", Some(&[digest])).await.unwrap(), done.commit);
    assert!(client.find_commit("main", "t", Some(&[digest, digest])).await.is_err());
}

#[tokio::test]
async fn a_client_that_dies_in_a_transaction_leaves_nothing() {
    let server = Server::start_with(&["--limit", "grpc_session_idle_seconds=1"]);
    let mut witness = session(&server).await;
    accounts(&mut witness, &[("a", 10)]).await;
    let mut doomed = session(&server).await;
    let running = tokio::spawn(async move {
        let body = async |tx: Transaction| {
            withdraw(tx, "a").await?;
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        };
        doomed.transact(&TransactOptions::default(), body).await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.abort();
    let done = witness.run("UPDATE account SET balance = 3 WHERE id = 'a'", &[]).await.unwrap();
    assert_eq!(done.tag, "UPDATE 1");
    // An idle session is closed by the server and opened again by the client.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(balance(&mut witness, "a").await, Some(3));
}

#[tokio::test]
async fn sessions_are_limited_in_number() {
    let server = Server::start_with(&["--limit", "grpc_sessions=3"]);
    let client = connect(&server).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(client.session("main").await.unwrap());
    }
    assert_eq!(client.session("main").await.unwrap_err().sqlstate(), Some("53300"));
    open.pop().unwrap().close().await.unwrap();
    client.session("main").await.expect("room again");
}

#[tokio::test]
async fn ledgers_and_tables_are_administered() {
    let server = Server::start();
    let client = connect(&server).await;
    let made = client.create_ledger("books", true).await.unwrap();
    assert!(made.deletion_protection && made.origin.ends_with(&made.id.to_string()));
    let names: Vec<_> = client.ledgers().await.unwrap().into_iter().map(|ledger| ledger.name).collect();
    assert_eq!(names, ["books", "main"]);
    assert!(client.drop_ledger("books").await.is_err(), "it is protected");
    assert!(!client.protect_ledger("books", false).await.unwrap().deletion_protection);
    let mut session = client.session("books").await.unwrap();
    session.run("CREATE TABLE book (id text PRIMARY KEY, title varchar(80))", &[]).await.unwrap();
    let tables = client.tables("books").await.unwrap();
    let [table] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!((table.name.as_str(), table.active, table.columns.len()), ("book", true, 2));
    assert!(table.indexes.iter().any(|index| index.unique && index.paths == ["id"]), "{:?}", table.indexes);
    session.close().await.unwrap();
    client.drop_ledger("books").await.unwrap();
    assert!(client.describe_ledger("books").await.is_err());
    assert!(client.create_ledger("../evil", false).await.is_err());
}

#[tokio::test]
async fn oversized_and_malformed_requests_are_refused_and_harm_nobody() {
    let server = Server::start();
    let client = connect(&server).await;
    let mut session = client.session("main").await.unwrap();
    let large = "x".repeat(65 << 20);
    let refused = client.describe_ledger(&large).await.unwrap_err();
    assert!(matches!(&refused, Error::Server { message, .. } if message.contains("too large")), "{refused:?}");
    let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(session.run(&deep, &[]).await.is_err());
    let nested = (0..200).fold(Value::int(1), |inner, _| Value::List(vec![inner]));
    let refused = session.run("SELECT $1", &[nested]).await.unwrap_err();
    assert_eq!(refused.sqlstate(), Some("54000"), "{refused:?}");
    let row = session.execute("SELECT 1 AS one", &[]).await.unwrap().only().await.unwrap();
    assert_eq!(row.get("one").and_then(Value::as_i64), Some(1));
}

#[tokio::test]
async fn a_dropped_transaction_takes_no_later_statement_with_it() {
    let server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[("a", 5)]).await;
    let options = TransactOptions::default();
    let forever = session.transact(&options, |tx| async move {
        tx.run("UPDATE account SET balance = 0", &[]).await?;
        std::future::pending::<Result<(), Error>>().await
    });
    tokio::time::timeout(Duration::from_secs(2), forever).await.unwrap_err();
    session.run("INSERT INTO account VALUES ('b', 7)", &[]).await.unwrap();
    let mut other = connect(&server).await.session("main").await.unwrap();
    assert_eq!((balance(&mut other, "a").await, balance(&mut other, "b").await), (Some(5), Some(7)));
    session.transact(&options, |tx| withdraw(tx, "a")).await.unwrap();
    assert_eq!(balance(&mut other, "a").await, Some(4));
}

#[tokio::test]
async fn a_copy_that_is_refused_leaves_no_transaction_to_join() {
    let server = Server::start();
    let mut session = session(&server).await;
    accounts(&mut session, &[("a", 5)]).await;
    for n in 0..20 {
        for copy in ["COPY account TO STDOUT", "COPY account FROM STDIN"] {
            let error = session.run(copy, &[]).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some("0A000"), "{error:?}");
        }
        session.run("INSERT INTO account VALUES ($1, 1)", &[Value::string(n.to_string())]).await.unwrap();
    }
    let mut other = connect(&server).await.session("main").await.unwrap();
    let rows = other.execute("SELECT id FROM account", &[]).await.unwrap().collect().await.unwrap();
    assert_eq!(rows.len(), 21);
}
