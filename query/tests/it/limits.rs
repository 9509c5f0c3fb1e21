//! What one statement may take, however small its text: the size of values, time, memory of its parse, what its session
//! keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledgerstone_query::session::{Dialect, Door, Inline, Pause, Runtime, Session, SessionOptions};

use crate::support::{Memory, told, told_or_code};

#[test]
fn a_value_larger_than_a_document_is_refused_before_it_is_made() {
    let memory = Memory::new(1);
    let mut s = memory.session();
    for expression in [
        "cardinality(array_fill(array_fill(0, ARRAY[1048576]), ARRAY[1048576]))",
        "length(array_fill(repeat('x', 16000000), ARRAY[1000])::text)",
        "cardinality(array_replace(array_fill(0, ARRAY[1000000]), 0, 7) || array_fill(repeat('x', 1000), ARRAY[1000000]))",
        "cardinality(array_replace(array_fill('x'::text, ARRAY[1000000]), 'x', repeat('y', 1000000)))",
        "length(ARRAY[repeat('x', 9000000), repeat('x', 9000000)]::text)",
        "length(regexp_replace(repeat('a', 16000), 'a', repeat('b', 16000), 'g'))",
        "length(regexp_replace(repeat('a', 100000), '.*', repeat('\\&', 1000000)))",
        "length(array_to_string(array_fill('x'::text, ARRAY[20000]), repeat('y', 20000)))",
        "length(array_to_string(array_fill(NULL::text, ARRAY[20000]), ',', repeat('y', 20000)))",
        "length(ledgerstone_pad('a', 500000000))",
        "length(format('%s%s', repeat('a', 16000000), repeat('a', 16000000)))",
        "length(repeat('a', 16000000) || repeat('a', 16000000))",
        "length(concat(repeat('a', 16000000), repeat('a', 16000000)))",
        "length(concat_ws(repeat('a', 16000000), 'a', 'b', 'c'))",
        "length(overlay(repeat('a', 16000000) placing repeat('a', 16000000) from 1 for 1))",
        "length(quote_literal(repeat('''', 16000000)))",
        "length(repeat('a', 16000000)::bytea || repeat('a', 16000000)::bytea)",
        "cardinality(string_to_array(repeat(',', 16000000), ','))",
        "jsonb_build_array(repeat('a', 9000000), repeat('a', 9000000))",
        "length(jsonb_pretty((repeat('[', 100) || repeat('1,', 50000) || '1' || repeat(']', 100))::jsonb))",
    ] {
        assert_eq!(told_or_code(&mut s, &format!("SELECT {expression}")), "54000", "{expression}");
    }
    // Below the limit all of them answer.
    for (expression, value) in [
        ("cardinality(array_fill(0, ARRAY[1048576]))", "1048576"),
        ("length(regexp_replace(repeat('a', 1000), 'a', repeat('b', 16000), 'g'))", "16000000"),
        ("length(array_to_string(array_fill('x'::text, ARRAY[2000]), repeat('y', 2000)))", "4000000"),
        ("length(repeat('a', 8000000) || repeat('a', 8000000))", "16000000"),
        ("length(quote_literal(repeat('''', 8000000)))", "16000002"),
    ] {
        assert_eq!(told_or_code(&mut s, &format!("SELECT {expression}")), format!("{value} SELECT 1"), "{expression}");
    }
}

#[test]
fn replacements_and_joined_arrays_are_postgresqls() {
    let memory = Memory::new(2);
    let mut s = memory.session();
    for (expression, value) in [
        (r"regexp_replace('foobarbaz', 'b..', 'X')", "fooXbaz"),
        (r"regexp_replace('foobarbaz', 'b..', 'X', 'g')", "fooXX"),
        (r"regexp_replace('foobarbaz', 'b(..)', 'X\1Y', 'g')", "fooXarYXazY"),
        (r"regexp_replace('foobarbaz', 'B(.)', '[\&$1\\]', 'gi')", r"foo[ba$1\]r[ba$1\]z"),
        (r"regexp_replace('abc', 'x*', '-', 'g')", "-a-b-c-"),
        (r"regexp_replace('abc', '(x)?b', '<\1>')", "a<>c"),
        ("array_to_string(ARRAY[1, NULL, 3], ',')", "1,3"),
        ("array_to_string(ARRAY[1, NULL, 3], ',', '*')", "1,*,3"),
        ("array_to_string(ARRAY[1, NULL, 3], ',', NULL)", "1,3"),
        ("concat_ws('-', 1, NULL, 'x')", "1-x"),
        ("split_part('a,b,c', ',', 2) || split_part('a,b,c', ',', -1) || split_part('a,b', ',', 9)", "bc"),
    ] {
        assert_eq!(told_or_code(&mut s, &format!("SELECT {expression}")), format!("{value} SELECT 1"), "{expression}");
    }
}

#[test]
fn numbers_do_not_grow_without_bound() {
    let memory = Memory::new(3);
    let squares = |from: &str, times: usize| {
        let steps: String = (1..=times).map(|n| format!(", s{n} AS (SELECT v * v AS v FROM s{})", n - 1)).collect();
        format!("WITH s0 AS (SELECT {from} AS v){steps} SELECT v > 0 AS v FROM s{times}")
    };
    let mut s = memory.session();
    assert_eq!(told_or_code(&mut s, &squares("3::numeric", 22)), "22003");
    assert_eq!(told_or_code(&mut s, &squares("3::numeric", 17)), "t SELECT 1");
    let mut s = memory.session_of(Dialect::PartiQl);
    let nested = (0..30).fold("t".to_owned(), |inner, _| format!("(SELECT VALUE v * v FROM {inner} AS v)"));
    let refused = told(&mut s, &nested.replace("FROM t AS", "FROM [3] AS")).unwrap_err();
    assert_eq!(refused.code.as_str(), "22003");
}

#[test]
fn a_statement_that_compares_for_hours_ends_with_its_timeout() {
    let memory = Memory::new(4);
    let mut s = memory.session();
    told(&mut s, "SET statement_timeout = '300ms'").unwrap();
    for expression in [
        "repeat('a', 240000) LIKE '%' || repeat('a', 120000) || 'b'",
        "repeat('A', 240000) ILIKE '%' || repeat('a', 120000) || 'b'",
        "to_jsonb(array_fill(1, ARRAY[60000]) || 2) @> to_jsonb(array_fill(2, ARRAY[60000]))",
        "jsonb_exists_all(to_jsonb(array_fill('x'::text, ARRAY[60000]) || 'y'::text), array_fill('y'::text, ARRAY[60000]))",
        // Each match reads the text to its end.
        "regexp_count(repeat('a', 30000), '.*b|a')",
    ] {
        assert_eq!(told_or_code(&mut s, &format!("SELECT {expression}")), "57014", "{expression}");
    }
    told(&mut s, "SET statement_timeout = 0").unwrap();
    // What would compare as often, and looks into a set instead.
    for (expression, value) in [
        ("array_fill(1, ARRAY[60000]) && array_fill(2, ARRAY[60000])", "f"),
        ("array_fill(1, ARRAY[60000]) || 2 @> array_fill(2, ARRAY[60000])", "t"),
        ("array_fill(2, ARRAY[60000]) <@ (array_fill(1, ARRAY[60000]) || 2)", "t"),
        ("length(translate(repeat('x', 200000), repeat('ab', 50000) || 'x', repeat('c', 100000)))", "0"),
        ("length(btrim(repeat('x', 200000), repeat('ab', 50000) || 'x'))", "0"),
        ("translate('abcabc', 'aba', 'xyz')", "xycxyc"),
        ("translate('abcabc', 'ab', 'x')", "xcxc"),
    ] {
        assert_eq!(told_or_code(&mut s, &format!("SELECT {expression}")), format!("{value} SELECT 1"), "{expression}");
    }
}

#[test]
fn a_regular_expression_too_large_for_its_text_is_refused() {
    let memory = Memory::new(5);
    let mut s = memory.session();
    for (expression, value) in [
        ("regexp_count(repeat('a', 400000), '(a{1,50}){1,50}b')", "54000"),
        ("repeat('a', 400000) ~ '(a{1,50}){1,50}b'", "54000"),
        ("repeat('a', 400000) SIMILAR TO '(a{1,50}){1,50}b'", "54000"),
        ("regexp_match('a', repeat('()', 9000))", "54000"),
        ("'a' ~ repeat('a', 70000)", "54000"),
        ("(SELECT count(*) FROM regexp_matches(repeat('a', 400000), '(a{1,50}){1,50}b'))", "54000"),
        ("regexp_count(repeat('a', 40), '(a{1,50}){1,50}')", "1 SELECT 1"),
        ("regexp_count(repeat('ab', 20000), 'a.{1}')", "20000 SELECT 1"),
        ("(SELECT count(*) FROM regexp_split_to_table('a,b,c', ','))", "3 SELECT 1"),
        ("(SELECT count(*) FROM regexp_matches('a1b2', '([a-z])(\\d)', 'g'))", "2 SELECT 1"),
    ] {
        assert_eq!(told_or_code(&mut s, &format!("SELECT {expression}")), value, "{expression}");
    }
}

#[test]
fn a_search_takes_no_more_steps_than_it_may_and_none_is_begun_after_the_time() {
    let memory = Memory::new(13);
    let mut s = memory.session();
    // 8,192 states: half a billion steps are 65,535 characters. That it is found at once spares the test the search.
    for (characters, value) in [(65_535, "t SELECT 1"), (65_536, "54000")] {
        for found in [format!("'ab' || repeat('a', {})", characters - 2), format!("repeat('ab', {})", characters / 2)] {
            let found = format!("rpad({found}, {characters}, 'a') ~ '(a{{1,50}}){{1,50}}b'");
            assert_eq!(told_or_code(&mut s, &format!("SELECT {found}")), value, "{found}");
        }
    }
    told(&mut s, "SET statement_timeout = '300ms'").unwrap();
    let begun = std::time::Instant::now();
    let over = "FROM generate_series(1, 100000) i";
    for statement in [
        format!("SELECT count(*) {over} WHERE repeat('a', 2000 + i % 2) ~ '(a{{1,30}}){{1,5}}b'"),
        format!("SELECT max(regexp_replace(repeat('a', 2000 + i % 2), '(a{{1,30}}){{1,5}}b', '')) {over}"),
        format!("SELECT count(*) {over}, regexp_matches(repeat('a', 2000 + i % 2), '(a{{1,30}}){{1,5}}b')"),
        format!("SELECT count(*) FILTER (WHERE repeat('a', 2000 + i % 2) SIMILAR TO '(a{{1,30}}){{1,5}}b') {over}"),
    ] {
        assert_eq!(told_or_code(&mut s, &statement), "57014", "{statement}");
    }
    // All of them would take an hour.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

/// Notes whether anything was run away from the thread that serves the client.
#[derive(Default)]
struct Noting(AtomicBool);

impl Runtime for Noting {
    fn long(&self, work: &mut dyn FnMut()) {
        self.0.store(true, Ordering::Relaxed);
        work();
    }

    fn pause(&self, attempt: u32) -> Pause {
        Inline.pause(attempt)
    }
}

#[test]
fn only_what_is_cheap_whatever_its_input_runs_in_place() {
    let memory = Memory::new(6);
    let runtime = Arc::new(Noting::default());
    let options = SessionOptions::new(Door::Embedded, "clerk", Dialect::Sql, Arc::clone(&runtime) as Arc<dyn Runtime>);
    let mut s = Session::over(memory.database.clone(), options);
    told(&mut s, "CREATE TABLE t (id int PRIMARY KEY, v text)").unwrap();
    told(&mut s, "INSERT INTO t VALUES (1, 'one')").unwrap();
    told(&mut s, "PREPARE p (bool) AS SELECT $1").unwrap();
    for (text, in_place) in [
        ("SELECT version(), current_schema(), current_database(), pg_backend_pid()", true),
        ("SELECT set_config('a.b', 'c', false), current_setting('application_name')", true),
        ("SHOW server_version", true),
        ("SELECT 1", true),
        ("SELECT lower('A') || 'b', 2 * 3, now()", true),
        ("SELECT v, upper(v) FROM t WHERE id = 1", true),
        ("INSERT INTO t VALUES (2, 'two')", true),
        ("UPDATE t SET v = v || '!' WHERE id = 2", true),
        ("EXECUTE p(true)", true),
        ("SELECT 'a' LIKE 'b'", false),
        ("SELECT 'a' ~ 'b'", false),
        ("SELECT substring('a' FROM 'b')", false),
        ("SELECT repeat('a', 9)", false),
        ("SELECT (SELECT count(*) FROM generate_series(1, 2))", false),
        ("SELECT v FROM t WHERE id = 1 AND v LIKE 'o%'", false),
        ("SELECT v LIKE 'o%' FROM t WHERE id = 1", false),
        ("INSERT INTO t VALUES (3, repeat('a', 9))", false),
        ("UPDATE t SET v = repeat('a', 9) WHERE id = 3", false),
        ("EXECUTE p('a' LIKE 'b')", false),
        ("VALUES (regexp_replace('a', 'b', 'c'))", false),
    ] {
        runtime.0.store(false, Ordering::Relaxed);
        told(&mut s, text).unwrap();
        assert_eq!(runtime.0.load(Ordering::Relaxed), !in_place, "{text}");
    }
}

#[test]
fn set_config_over_many_rows_keeps_the_last_of_each_name_and_no_more_than_settings_may_have() {
    let memory = Memory::new(7);
    let mut s = memory.session();
    let over =
        |name: &str| format!("SELECT count(set_config({name}, i::text, false)) FROM generate_series(1, 40000) i");
    assert_eq!(told_or_code(&mut s, &over("'a.b' || i")), "54000");
    assert_eq!(told_or_code(&mut s, "SELECT current_setting('a.b1', true)"), "null SELECT 1");
    assert_eq!(told_or_code(&mut s, &over("'a.b'")), "40000 SELECT 1");
    assert_eq!(told_or_code(&mut s, "SELECT current_setting('a.b')"), "40000 SELECT 1");
    let both =
        "SELECT set_config('a.b', 'here', true), set_config('a.b', 'for good', false), set_config('a.c', 'x', true)";
    for (text, shown) in [
        ("BEGIN", "BEGIN"),
        (both, "here|for good|x SELECT 1"),
        ("SHOW a.b", "for good SHOW"),
        ("SHOW a.c", "x SHOW"),
        ("SELECT set_config('a.b', 'here', true)", "here SELECT 1"),
        ("SHOW a.b", "here SHOW"),
        ("COMMIT", "COMMIT"),
        ("SHOW a.b", "for good SHOW"),
        ("SHOW a.c", "42704"),
    ] {
        assert_eq!(told_or_code(&mut s, text), shown, "{text}");
    }
}

#[test]
fn savepoints_are_bounded_by_what_they_keep() {
    let memory = Memory::new(8);
    let mut s = memory.session();
    told(&mut s, "BEGIN").unwrap();
    for _ in 0..5_000 {
        assert_eq!(told_or_code(&mut s, "SAVEPOINT each_statement"), "SAVEPOINT");
    }
    // The settings to go back to are others each time.
    let refused = (0..1_000).find_map(|n| {
        told(&mut s, &format!("SELECT set_config('a.b', '{n}' || repeat('x', 200000), false)")).unwrap();
        told(&mut s, "SAVEPOINT s").err().map(|error| (n, error))
    });
    let (n, error) = refused.expect("no limit");
    assert!(n > 100, "{n}");
    assert_eq!((error.code.as_str(), error.span.is_some(), error.hint.is_some()), ("54000", true, true));
    for (text, shown) in
        [("ROLLBACK TO each_statement", "ROLLBACK"), ("SAVEPOINT s", "SAVEPOINT"), ("COMMIT", "COMMIT")]
    {
        assert_eq!(told_or_code(&mut s, text), shown, "{text}");
    }
}

#[test]
fn scroll_cursors_of_a_session_are_bounded_together() {
    let memory = Memory::new(9);
    let mut s = memory.session();
    let declare = |name: &str| {
        format!("DECLARE {name} SCROLL CURSOR FOR SELECT repeat('x', 1000000) FROM generate_series(1, 40)")
    };
    told(&mut s, "BEGIN").unwrap();
    for (text, shown) in [
        (declare("a"), "DECLARE CURSOR"),
        ("MOVE ALL IN a".into(), "MOVE 40"),
        ("CLOSE a".into(), "CLOSE CURSOR"),
        (declare("b"), "DECLARE CURSOR"),
        ("MOVE ALL IN b".into(), "MOVE 40"),
        (declare("c"), "DECLARE CURSOR"),
        ("MOVE ALL IN c".into(), "54000"),
    ] {
        assert_eq!(told_or_code(&mut s, &text), shown, "{text}");
    }
}

#[test]
fn too_many_columns_are_refused_before_any_is_bound() {
    let memory = Memory::new(10);
    let mut s = memory.session();
    told(&mut s, "CREATE TABLE t (id int)").unwrap();
    let many = |first: &str| format!("{first}{}", ", 1".repeat(1_664));
    for (text, code) in [
        (format!("SELECT {}", many("no_such_column")), "54011"),
        (format!("INSERT INTO t VALUES (1) RETURNING {}", many("no_such_column")), "54011"),
        (format!("SELECT no_such_column{}", ", 1".repeat(1_663)), "42703"),
    ] {
        assert_eq!(told_or_code(&mut s, &text), code);
    }
}

#[test]
fn an_insert_of_thousands_of_rows_is_one_statement() {
    let memory = Memory::new(11);
    let mut s = memory.session();
    told(&mut s, "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric DEFAULT 7)").unwrap();
    let rows: Vec<String> = (0..5_000).map(|n| format!("({n}, 'v(,{n}', DEFAULT)")).collect();
    let insert = format!("INSERT INTO t (id, v, n) VALUES {} ON CONFLICT (id) DO NOTHING", rows.join(", "));
    assert_eq!(told_or_code(&mut s, &insert), "INSERT 0 5000");
    assert_eq!(
        told_or_code(&mut s, "SELECT count(*), sum(id), sum(n), max(v) FROM t"),
        "5000|12497500|35000|v(,999 SELECT 1"
    );
    assert_eq!(told_or_code(&mut s, &format!("SELECT {}1", "1,".repeat(1 << 19))), "54000");
}
