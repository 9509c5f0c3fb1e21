//! What a session keeps by name: prepared statements, cursors, settings; and statements about whole tables.

use ledgerstone_digest::block::StatementText;
use ledgerstone_digest::qldb::statement_digest;
use ledgerstone_query::session::Session;

use crate::support::{Memory, told, told_or_code};

fn session(memory: &Memory) -> Session {
    let mut session = memory.session();
    told(&mut session, "CREATE TABLE s (id int PRIMARY KEY, v text)").unwrap();
    told(&mut session, "INSERT INTO s SELECT g, 'r' || g FROM generate_series(1, 5) g").unwrap();
    session
}

#[test]
fn prepared_statements_are_kept_until_they_are_deallocated() {
    let memory = Memory::new(1);
    let mut s = session(&memory);
    for (text, answer) in [
        ("PREPARE p AS SELECT v FROM s WHERE id = $1", "PREPARE"),
        ("EXECUTE p(3)", "r3 SELECT 1"),
        ("EXECUTE p('4')", "r4 SELECT 1"),
        ("EXECUTE p(1 + 1)", "r2 SELECT 1"),
        ("EXECUTE p", "42601"),
        ("EXECUTE p('x')", "22P02"),
        ("PREPARE p AS SELECT 1", "42P05"),
        ("PREPARE ins (int, text) AS INSERT INTO s VALUES ($1, $2 || '!') RETURNING *", "PREPARE"),
        ("EXECUTE ins(9, 'nine')", "9|nine! INSERT 0 1"),
        ("EXECUTE ins(9, 'nine')", "23505"),
        ("EXECUTE ins(10, NULL)", "10|null INSERT 0 1"),
        ("DEALLOCATE p", "DEALLOCATE"),
        ("EXECUTE p(1)", "26000"),
        ("PREPARE bad AS SELECT nosuch FROM s", "42703"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("EXECUTE ins(11, 'x')", "26000"),
    ] {
        assert_eq!(told_or_code(&mut s, text), answer, "{text}");
    }
}

#[test]
fn what_a_session_keeps_by_name_is_bounded_in_bytes() {
    let memory = Memory::new(5);
    let mut s = session(&memory);
    let long = "x".repeat(60 << 10);
    for (text, answer) in [
        (format!("SET app.one = '{long}'"), "SET"),
        (format!("SET app.two = '{long}'"), "SET"),
        (format!("SET app.a = '{long}'; SET app.b = '{long}'"), "SET SET"),
        (format!("SET app.three = '{long}'"), "54000"),
        // The same name again counts once.
        (format!("SET app.two = '{long}y'"), "SET"),
        ("RESET app.one".to_owned(), "RESET"),
        (format!("SET app.three = '{long}'"), "SET"),
    ] {
        assert_eq!(told_or_code(&mut s, &text), answer, "{}", &text[..20]);
    }
    let long = "x".repeat(3 << 20);
    for number in 0..21 {
        assert_eq!(told_or_code(&mut s, &format!("PREPARE p{number} AS SELECT '{long}'")), "PREPARE", "{number}");
    }
    assert_eq!(told_or_code(&mut s, &format!("PREPARE q AS SELECT '{long}'")), "54000");
    assert_eq!(told_or_code(&mut s, "DEALLOCATE p2"), "DEALLOCATE");
    assert_eq!(told_or_code(&mut s, &format!("PREPARE q AS SELECT '{long}'")), "PREPARE");
    assert_eq!(told_or_code(&mut s, "DEALLOCATE ALL"), "DEALLOCATE ALL");
    assert_eq!(told_or_code(&mut s, &format!("PREPARE q AS SELECT '{long}'")), "PREPARE");
}

/// A parsed statement is kept with its text and the hash of it, for all sessions.
#[test]
fn blocks_note_each_statements_own_text_however_often_it_runs() {
    let memory = Memory::new(4);
    let mut one = session(&memory);
    let mut other = memory.session();
    let before = memory.database.ledger().blocks(0).count() as u64;
    let several = "-- of three\nINSERT INTO s SELECT max(id) + 1, 'a' FROM s ;UPDATE s SET v = 'é' WHERE id = 2;  DELETE FROM s WHERE id = 99";
    let single = "/* alone */ UPDATE s SET v = v || '!' WHERE id = 1";
    for session in [&mut one, &mut other] {
        for text in [several, single, several] {
            told(session, text).unwrap();
        }
    }
    let parts = [
        "INSERT INTO s SELECT max(id) + 1, 'a' FROM s",
        "UPDATE s SET v = 'é' WHERE id = 2",
        "DELETE FROM s WHERE id = 99",
    ];
    let alone = ["UPDATE s SET v = v || '!' WHERE id = 1"];
    let blocks: Vec<_> = memory.database.ledger().blocks(before).map(|block| block.unwrap()).collect();
    assert_eq!(blocks.len(), 6);
    for (n, block) in blocks.iter().enumerate() {
        let expected = if n % 3 == 1 { &alone[..] } else { &parts[..] };
        assert_eq!(block.info.statements.len(), expected.len(), "block {n}");
        for (statement, expected) in block.info.statements.iter().zip(expected) {
            let StatementText::Text(text) = &statement.text else { panic!("{statement:?}") };
            assert_eq!(&**text, *expected, "block {n}");
            assert_eq!(statement.digest, statement_digest(expected, &[]), "block {n}");
        }
    }
}

#[test]
fn an_error_in_a_prepared_text_points_into_the_whole_text() {
    let memory = Memory::new(2);
    let mut s = session(&memory);
    let text = "PREPARE bad AS SELECT nosuch FROM s";
    let error = told(&mut s, text).unwrap_err();
    assert_eq!(error.span.unwrap().slice(text), "nosuch");
}

#[test]
fn cursors_go_forward_and_with_scroll_anywhere() {
    let memory = Memory::new(3);
    let mut s = session(&memory);
    for (text, answer) in [
        ("DECLARE c CURSOR FOR SELECT 1", "25P01"),
        ("BEGIN", "BEGIN"),
        ("DECLARE c CURSOR FOR SELECT id FROM s ORDER BY id", "DECLARE CURSOR"),
        ("FETCH c", "1 FETCH 1"),
        ("FETCH 2 FROM c", "2 3 FETCH 2"),
        ("MOVE c", "MOVE 1"),
        ("FETCH ALL IN c", "5 FETCH 1"),
        ("FETCH NEXT FROM c", "FETCH 0"),
        ("CLOSE c", "CLOSE CURSOR"),
        ("DECLARE c SCROLL CURSOR FOR SELECT id FROM s ORDER BY id", "DECLARE CURSOR"),
        ("FETCH LAST c", "5 FETCH 1"),
        ("FETCH PRIOR c", "4 FETCH 1"),
        ("FETCH ABSOLUTE 2 FROM c", "2 FETCH 1"),
        ("FETCH RELATIVE 2 FROM c", "4 FETCH 1"),
        ("FETCH BACKWARD 2 FROM c", "3 2 FETCH 2"),
        ("FETCH 0 FROM c", "2 FETCH 1"),
        ("FETCH BACKWARD ALL FROM c", "1 FETCH 1"),
        ("FETCH FORWARD ALL FROM c", "1 2 3 4 5 FETCH 5"),
        ("FETCH ABSOLUTE -2 FROM c", "4 FETCH 1"),
        ("FETCH ABSOLUTE 99 FROM c", "FETCH 0"),
        ("FETCH -1 FROM c", "5 FETCH 1"),
        ("MOVE BACKWARD ALL IN c", "MOVE 4"),
        ("COMMIT", "COMMIT"),
        ("FETCH c", "34000"),
    ] {
        assert_eq!(told_or_code(&mut s, text), answer, "{text}");
    }
}

#[test]
fn a_cursor_without_scroll_does_not_go_back() {
    let memory = Memory::new(4);
    let mut s = session(&memory);
    told_or_code(&mut s, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM s ORDER BY id; FETCH 2 FROM c");
    let error = told(&mut s, "FETCH PRIOR FROM c").unwrap_err();
    assert_eq!(error.code.as_str(), "55000");
    assert!(error.hint.unwrap().contains("SCROLL"));
}

#[test]
fn a_cursor_shows_what_was_there_when_it_was_declared() {
    let memory = Memory::new(5);
    let mut s = session(&memory);
    told_or_code(&mut s, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM s ORDER BY id");
    told_or_code(&mut s, "DELETE FROM s WHERE id < 5");
    assert_eq!(told_or_code(&mut s, "FETCH ALL FROM c"), "1 2 3 4 5 FETCH 5");
}

#[test]
fn cursors_end_with_their_transaction_or_savepoint_unless_they_are_held() {
    let memory = Memory::new(6);
    let mut s = session(&memory);
    for (text, answer) in [
        ("BEGIN", "BEGIN"),
        ("DECLARE before CURSOR FOR SELECT 1", "DECLARE CURSOR"),
        ("SAVEPOINT a", "SAVEPOINT"),
        ("DECLARE after CURSOR WITH HOLD FOR SELECT 2", "DECLARE CURSOR"),
        ("ROLLBACK TO a", "ROLLBACK"),
        ("FETCH before", "1 FETCH 1"),
        ("FETCH after", "34000"),
        ("ROLLBACK", "ROLLBACK"),
        ("FETCH before", "34000"),
        ("ROLLBACK", "ROLLBACK"),
        ("BEGIN", "BEGIN"),
        ("DECLARE h CURSOR WITH HOLD FOR SELECT id FROM s ORDER BY id", "DECLARE CURSOR"),
        ("FETCH 2 FROM h", "1 2 FETCH 2"),
        ("COMMIT", "COMMIT"),
        ("FETCH 2 FROM h", "3 4 FETCH 2"),
        ("BEGIN", "BEGIN"),
        ("ROLLBACK", "ROLLBACK"),
        ("FETCH h", "5 FETCH 1"),
        ("CLOSE h", "CLOSE CURSOR"),
        ("CLOSE h", "34000"),
        ("DECLARE h CURSOR WITH HOLD FOR SELECT 7", "DECLARE CURSOR"),
        ("FETCH h", "7 FETCH 1"),
        ("CLOSE ALL", "CLOSE CURSOR ALL"),
    ] {
        assert_eq!(told_or_code(&mut s, text), answer, "{text}");
    }
}

#[test]
fn set_config_is_done_when_its_statement_has_succeeded() {
    let memory = Memory::new(7);
    let mut s = session(&memory);
    for (text, answer) in [
        ("SELECT set_config('application_name', 'a', false)", "a SELECT 1"),
        ("SHOW application_name", "a SHOW"),
        ("SELECT set_config('application_name', 'b', false), 1 / 0", "22012"),
        ("SHOW application_name", "a SHOW"),
        ("BEGIN", "BEGIN"),
        ("SELECT set_config('application_name', 'c', true)", "c SELECT 1"),
        ("SHOW application_name", "c SHOW"),
        ("COMMIT", "COMMIT"),
        ("SHOW application_name", "a SHOW"),
        ("SELECT set_config('server_version', '1', false)", "55P02"),
        ("SELECT set_config('nosuch', '1', false)", "42704"),
        ("SELECT set_config('my.own', 'x', false)", "x SELECT 1"),
        ("SELECT current_setting('my.own')", "x SELECT 1"),
    ] {
        assert_eq!(told_or_code(&mut s, text), answer, "{text}");
    }
}

#[test]
fn truncate_deletes_all_and_keeps_the_history() {
    let memory = Memory::new(8);
    let mut s = session(&memory);
    for (text, answer) in [
        ("CREATE TABLE u (id int)", "CREATE TABLE"),
        ("INSERT INTO u VALUES (1)", "INSERT 0 1"),
        ("TRUNCATE TABLE s, public.u", "TRUNCATE TABLE"),
        ("SELECT (SELECT count(*) FROM s), (SELECT count(*) FROM u)", "0|0 SELECT 1"),
        ("SELECT count(*) FROM history(s)", "10 SELECT 1"),
        ("TRUNCATE nosuch", "42P01"),
        ("BEGIN READ ONLY", "BEGIN"),
        ("TRUNCATE s", "25006"),
    ] {
        assert_eq!(told_or_code(&mut s, text), answer, "{text}");
    }
}

#[test]
fn a_locked_table_counts_as_read() {
    let memory = Memory::new(9);
    let mut one = session(&memory);
    let mut two = memory.session();
    told_or_code(&mut one, "CREATE TABLE u (id int)");
    assert_eq!(told_or_code(&mut one, "LOCK TABLE s"), "25P01");
    told_or_code(&mut one, "BEGIN; LOCK TABLE s IN SHARE MODE NOWAIT; INSERT INTO u VALUES (1)");
    told_or_code(&mut two, "UPDATE s SET v = 'x' WHERE id = 1");
    assert_eq!(told_or_code(&mut one, "COMMIT"), "40001");
    // The same without the lock is no conflict.
    told_or_code(&mut one, "BEGIN; INSERT INTO u VALUES (1)");
    told_or_code(&mut two, "UPDATE s SET v = 'y' WHERE id = 1");
    assert_eq!(told_or_code(&mut one, "COMMIT"), "COMMIT");
}

#[test]
fn rows_read_for_update_count_as_read() {
    let memory = Memory::new(10);
    let mut one = session(&memory);
    let mut two = memory.session();
    told_or_code(&mut one, "CREATE TABLE u (id int)");
    for lock in ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE SKIP LOCKED", "FOR KEY SHARE NOWAIT"] {
        assert_eq!(told_or_code(&mut one, "BEGIN"), "BEGIN");
        let read = told_or_code(&mut one, &format!("SELECT id FROM s WHERE id = 1 {lock}"));
        assert_eq!(read, "1 SELECT 1", "{lock}");
        told_or_code(&mut one, "INSERT INTO u VALUES (1)");
        told_or_code(&mut two, "UPDATE s SET v = v || 'x' WHERE id = 1");
        assert_eq!(told_or_code(&mut one, "COMMIT"), "40001", "{lock}");
    }
    assert_eq!(told_or_code(&mut one, "SELECT DISTINCT id FROM s FOR UPDATE"), "0A000");
}

#[test]
fn maintenance_says_that_there_is_nothing_to_do() {
    let memory = Memory::new(11);
    let mut s = session(&memory);
    for text in ["ANALYZE", "ANALYZE s (id)", "VACUUM (FULL, VERBOSE) s", "VACUUM FULL ANALYZE s"] {
        let answer = told_or_code(&mut s, text);
        assert!(text.starts_with(&answer), "{text}: {answer}");
        let notices = s.take_notices();
        assert!(notices[0].message.contains("nothing to do"), "{text}");
    }
    assert_eq!(told_or_code(&mut s, "ANALYZE nosuch"), "42P01");
    assert_eq!(told_or_code(&mut s, "BEGIN; VACUUM s"), "25001");
}

#[test]
fn what_is_sent_before_begin_in_one_text_leaves_it_read_only() {
    let memory = Memory::new(1);
    let mut s = session(&memory);
    for (text, code) in [
        ("SET application_name = 'q'; BEGIN READ ONLY; INSERT INTO s VALUES (10, 'x')", "25006"),
        ("INSERT INTO s VALUES (11, 'x'); BEGIN READ ONLY; SELECT 1", "25001"),
        ("SET default_transaction_read_only = on", "SET"),
        ("SET application_name = 'q'; BEGIN; INSERT INTO s VALUES (12, 'x')", "25006"),
        ("INSERT INTO s VALUES (13, 'x'); INSERT INTO s VALUES (14, 'x')", "25006"),
        ("SET application_name = 'q'; DISCARD ALL", "25001"),
    ] {
        assert_eq!(told_or_code(&mut s, text), code, "{text}");
        told_or_code(&mut s, "ROLLBACK");
    }
    assert_eq!(told(&mut s, "SELECT count(*) FROM s").unwrap()[0], "5");
}

#[test]
fn a_client_token_that_comes_too_late_is_refused() {
    let memory = Memory::new(1);
    let mut s = session(&memory);
    for text in [
        "SELECT set_config('ledgerstone.client_token', 'late', true); INSERT INTO s VALUES (20, 'x')",
        "BEGIN; SELECT 1; SET ledgerstone.client_token = 'late'",
    ] {
        assert_eq!(told_or_code(&mut s, text), "25001", "{text}");
        told_or_code(&mut s, "ROLLBACK");
    }
    told(&mut s, "SET LOCAL ledgerstone.client_token = 'early'; INSERT INTO s VALUES (20, 'x')").unwrap();
    assert_eq!(told(&mut s, "SELECT count(*) FROM s").unwrap()[0], "6");
}
