//! Client tokens through a session: a retry gets the first answer, whatever way the transaction is sent.

use crate::support::{Memory, told};

fn ledger() -> Memory {
    let memory = Memory::new(21);
    let definition = "create table t (id int generated always as identity primary key, n int unique, at text)";
    told(&mut memory.session(), definition).unwrap();
    memory
}

/// In a session of its own, as a client that has lost its connection.
fn with_token(memory: &Memory, token: &str, text: &str) -> Result<(Vec<String>, Option<u64>), String> {
    let mut session = memory.session();
    told(&mut session, &format!("set ledgerstone.client_token = '{token}'")).unwrap();
    let answer = told(&mut session, text).map_err(|error| format!("{} {}", error.code.as_str(), error.message))?;
    Ok((answer, session.last_commit().map(|commit| commit.block_position)))
}

fn count(memory: &Memory) -> String {
    told(&mut memory.session(), "select count(*) from t").unwrap().remove(0)
}

const INSERT: &str = "insert into t (n, at) values (1, 'a'), (2, 'b') returning id, n";

#[test]
fn a_retried_statement_gets_the_first_rows_until_a_restart_and_the_first_address_for_ever() {
    let mut memory = ledger();
    let first = with_token(&memory, "k", INSERT).unwrap();
    assert_eq!(first.0, ["1|1", "2|2", "INSERT 0 2"]);
    assert_eq!(with_token(&memory, "k", INSERT).unwrap(), first);
    memory.reopen();
    let again = with_token(&memory, "k", INSERT).unwrap();
    assert_eq!(again, (vec!["INSERT 0 2".to_owned()], first.1));
    assert_eq!(count(&memory), "2");
    let other = with_token(&memory, "k", "insert into t (n) values (3)").unwrap_err();
    assert!(other.starts_with("22023"), "{other}");
}

#[test]
fn the_tag_counts_rows_not_revisions() {
    let mut memory = ledger();
    with_token(&memory, "a", INSERT).unwrap();
    let definition = "create table u as select n, at from t";
    let update = "update t set at = 'z' where n > 0";
    let delete = "delete from t where n = 1";
    let first: Vec<_> = [("b", update), ("c", delete), ("d", definition)]
        .map(|(token, text)| with_token(&memory, token, text).unwrap())
        .into();
    assert_eq!(first[0].0, ["UPDATE 2"]);
    assert_eq!(first[1].0, ["DELETE 1"]);
    for restarted in [false, true] {
        if restarted {
            memory.reopen();
        }
        let again: Vec<_> = [("b", update), ("c", delete), ("d", definition)]
            .map(|(token, text)| with_token(&memory, token, text).unwrap())
            .into();
        assert_eq!(again, first, "restarted: {restarted}");
    }
}

const TRANSFER: &str = "begin;
    select n from t order by n;
    insert into t (n, at) values (7, 'x') returning id;
    update t set at = 'y' where n = 1 returning at;
    select n, at from t order by n;
    commit";

#[test]
fn a_retried_transaction_gets_the_first_answers_and_the_first_block() {
    let mut memory = ledger();
    with_token(&memory, "a", INSERT).unwrap();
    let first = with_token(&memory, "t", TRANSFER).unwrap();
    let expected =
        ["BEGIN", "1", "2", "SELECT 2", "3", "INSERT 0 1", "y", "UPDATE 1", "1|y", "2|b", "7|x", "SELECT 3", "COMMIT"];
    assert_eq!(first.0, expected);
    // Whatever has happened since.
    told(&mut memory.session(), "delete from t where n < 7").unwrap();
    assert_eq!(with_token(&memory, "t", TRANSFER).unwrap(), first);
    memory.reopen();
    let (answers, block) = with_token(&memory, "t", TRANSFER).unwrap();
    assert_eq!(block, first.1);
    let without_rows: Vec<_> = expected.into_iter().filter(|line| !matches!(*line, "3" | "y")).collect();
    assert_eq!(answers, without_rows);
    assert_eq!(count(&memory), "1");
}

#[test]
fn another_body_under_a_used_token_is_an_error_and_does_nothing() {
    let memory = ledger();
    with_token(&memory, "t", "begin; insert into t (n) values (1); insert into t (n) values (2); commit").unwrap();
    for other in [
        "begin; insert into t (n) values (1); insert into t (n) values (3); commit",
        "begin; insert into t (n) values (1); commit",
        "begin; insert into t (n) values (1); insert into t (n) values (2); delete from t; commit",
        "insert into t (n) values (1)",
        "insert into t (n) values (1); insert into t (n) values (4)",
        "create table u (a int)",
    ] {
        let error = with_token(&memory, "t", other).unwrap_err();
        assert!(error.starts_with("22023"), "{other}: {error}");
    }
    assert_eq!(count(&memory), "2");
    // Rolled back, a repetition leaves the token as it was.
    let answer = with_token(&memory, "t", "begin; insert into t (n) values (1); rollback").unwrap();
    assert_eq!(answer.0, ["BEGIN", "INSERT 0 1", "ROLLBACK"]);
}

#[test]
fn definitions_and_several_statements_in_one_text_are_repeated_too() {
    let memory = ledger();
    for text in ["create table u (a int primary key)", "create index on t (at); insert into t (n) values (5)"] {
        let first = with_token(&memory, text, text).unwrap();
        assert_eq!(with_token(&memory, text, text).unwrap(), first, "{text}");
    }
    let error = with_token(&memory, "fresh", "create table u (a int primary key)").unwrap_err();
    assert!(error.starts_with("42P07"), "{error}");
    assert_eq!(count(&memory), "1");
}

#[test]
fn rows_of_more_than_a_mebibyte_are_not_kept() {
    let memory = ledger();
    let large = "insert into t (n, at) select g, repeat('x', 1000) from generate_series(1, 2000) g returning n, at";
    let first = with_token(&memory, "large", large).unwrap();
    assert_eq!(first.0.len(), 2001);
    let again = with_token(&memory, "large", large).unwrap();
    assert_eq!(again, (vec!["INSERT 0 2000".to_owned()], first.1));
}

#[test]
fn two_sessions_with_one_token_commit_once() {
    let memory = ledger();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let work = |_| scope.spawn(|| with_token(&memory, "race", "insert into t (n) values (9)").unwrap());
        let threads: Vec<_> = (0..8).map(work).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(count(&memory), "1");
}

#[test]
fn an_answer_kept_for_a_retry_is_never_taken_for_that_of_the_next_statement() {
    let memory = ledger();
    let mut session = memory.session();
    told(&mut session, "set ledgerstone.client_token = 'idle'").unwrap();
    // Nothing is written, so nothing is committed.
    assert_eq!(told(&mut session, "update t set n = 1 where n = 7").unwrap(), ["UPDATE 0"]);
    told(&mut session, "begin").unwrap();
    let error = told(&mut session, "select * from nowhere").unwrap_err();
    assert_eq!(error.code.as_str(), "42P01");
    told(&mut session, "rollback").unwrap();
    assert_eq!(count(&memory), "0");
}
