//! What one statement may take, however small its text: the size of values, time, memory of its parse, what its session
//! keeps.

use crate::support::{Memory, told};
use ledgerstone_query::session::{Dialect, Session};

fn answer(session: &mut Session, text: &str) -> String {
    match told(session, text) {
        Ok(lines) => lines.join(" "),
        Err(error) => error.code.to_string(),
    }
}

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
        assert_eq!(answer(&mut s, &format!("SELECT {expression}")), "54000", "{expression}");
    }
    // Below the limit all of them answer.
    for (expression, value) in [
        ("cardinality(array_fill(0, ARRAY[1048576]))", "1048576"),
        ("length(regexp_replace(repeat('a', 1000), 'a', repeat('b', 16000), 'g'))", "16000000"),
        ("length(array_to_string(array_fill('x'::text, ARRAY[2000]), repeat('y', 2000)))", "4000000"),
        ("length(repeat('a', 8000000) || repeat('a', 8000000))", "16000000"),
        ("length(quote_literal(repeat('''', 8000000)))", "16000002"),
    ] {
        assert_eq!(answer(&mut s, &format!("SELECT {expression}")), format!("{value} SELECT 1"), "{expression}");
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
        assert_eq!(answer(&mut s, &format!("SELECT {expression}")), format!("{value} SELECT 1"), "{expression}");
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
    assert_eq!(answer(&mut s, &squares("3::numeric", 22)), "22003");
    assert_eq!(answer(&mut s, &squares("3::numeric", 17)), "t SELECT 1");
    let mut s = memory.session_of(Dialect::PartiQl);
    let nested = (0..30).fold("t".to_owned(), |inner, _| format!("(SELECT VALUE v * v FROM {inner} AS v)"));
    let refused = told(&mut s, &nested.replace("FROM t AS", "FROM [3] AS")).unwrap_err();
    assert_eq!(refused.code.as_str(), "22003");
}
