//! GROUPING SETS, ROLLUP, CUBE and GROUPING(…): which groups there are, what is refused, and that it is the same however
//! little memory there is and whoever else might have computed it. `tests/corpus/queries.sql` asks PostgreSQL the same.

use ledgerstone_query::session::{Dialect, Session};

use crate::support::{Memory, told};

/// A session over a table of five sales, two of them without a region.
fn sales() -> (Memory, Session) {
    let memory = Memory::new(5);
    let mut s = memory.session();
    told(
        &mut s,
        "CREATE TABLE sale (id int PRIMARY KEY, region text, kind text, n int);
         INSERT INTO sale VALUES (1, 'e', 'x', 10), (2, 'e', 'y', 20), (3, 'w', 'x', 5), (4, NULL, 'x', 1), (5, NULL, 'y', 2)",
    )
    .unwrap();
    (memory, s)
}

/// The rows of an answer, and not its tag.
fn rows(s: &mut Session, text: &str) -> Vec<String> {
    let mut rows = told(s, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    rows.pop();
    rows.into_iter().map(|row| row.replace("null", "∅")).collect()
}

fn code(s: &mut Session, text: &str) -> String {
    told(s, text).expect_err(text).code.as_str().to_owned()
}

#[test]
fn a_row_comes_to_a_group_of_every_set_and_keys_that_a_set_lacks_are_null() {
    let (_memory, mut s) = sales();
    let of = |by: &str| {
        format!("SELECT region, kind, sum(n), grouping(region, kind) FROM sale GROUP BY {by} ORDER BY 4, 1, 2")
    };
    let full = ["e|x|10|0", "e|y|20|0", "w|x|5|0", "∅|x|1|0", "∅|y|2|0"];
    let region = ["e|∅|30|1", "w|∅|5|1", "∅|∅|3|1"];
    let kind = ["∅|x|16|2", "∅|y|22|2"];
    let total = ["∅|∅|38|3"];
    let cube = [&full[..], &region, &kind, &total].concat();
    let rollup = [&full[..], &region, &total].concat();
    for by in [
        "CUBE (region, kind)",
        "CUBE (kind, region)",
        "ROLLUP (region), ROLLUP (kind)",
        "GROUPING SETS ((region, kind), region, (kind), ())",
        "GROUPING SETS (ROLLUP (region, kind), GROUPING SETS (kind))",
        "CUBE (1, 2)",
        "(), CUBE (region, kind), ()",
        "DISTINCT CUBE (region, kind), ROLLUP (kind)",
    ] {
        assert_eq!(rows(&mut s, &of(by)), cube, "{by}");
    }
    for by in ["ROLLUP (region, kind)", "GROUPING SETS (ROLLUP (region, kind))"] {
        assert_eq!(rows(&mut s, &of(by)), rollup, "{by}");
    }
    for by in ["region, ROLLUP (kind)", "GROUPING SETS ((kind, region), (region))", "ROLLUP (kind), region"] {
        assert_eq!(rows(&mut s, &of(by)), [&full[..], &region].concat(), "{by}");
    }
    for by in ["ROLLUP ((region, kind))", "CUBE ((kind, (region)))"] {
        assert_eq!(rows(&mut s, &of(by)), [&full[..], &total].concat(), "{by}");
    }
    for by in ["(region, kind)", "region, (kind), ()", "GROUPING SETS ((region, kind))", "DISTINCT region, kind"] {
        assert_eq!(rows(&mut s, &of(by)), full, "{by}");
    }
}

#[test]
fn sets_that_are_there_twice_answer_twice_unless_they_are_to_be_distinct() {
    let (_memory, mut s) = sales();
    let twice = "SELECT kind, count(*) FROM sale GROUP BY GROUPING SETS (kind, (kind), (), ()) ORDER BY 2, 1";
    assert_eq!(rows(&mut s, twice), ["y|2", "y|2", "x|3", "x|3", "∅|5", "∅|5"]);
    let once = "SELECT kind, count(*) FROM sale GROUP BY DISTINCT GROUPING SETS (kind, (kind), (), ()) ORDER BY 2, 1";
    assert_eq!(rows(&mut s, once), ["y|2", "x|3", "∅|5"]);
}

#[test]
fn of_no_rows_only_empty_sets_have_a_group_each() {
    let (_memory, mut s) = sales();
    for (by, groups) in [
        ("GROUPING SETS (region, ())", &["∅|0"][..]),
        ("CUBE (region, kind)", &["∅|0"]),
        ("GROUPING SETS ((), ())", &["∅|0", "∅|0"]),
        ("GROUPING SETS (region, kind)", &[]),
        ("region", &[]),
    ] {
        let text = format!("SELECT max(region), count(*) FROM sale WHERE id > 9 GROUP BY {by}");
        assert_eq!(rows(&mut s, &text), groups, "{by}");
    }
    assert_eq!(rows(&mut s, "SELECT 7 FROM sale WHERE id > 9 GROUP BY ()"), ["7"]);
}

#[test]
fn grouping_stands_wherever_what_is_computed_of_groups_does() {
    let (_memory, mut s) = sales();
    let having = "SELECT region FROM sale GROUP BY ROLLUP (region) HAVING grouping(region) = 1";
    assert_eq!(rows(&mut s, having), ["∅"]);
    let label = "SELECT CASE grouping(region) WHEN 1 THEN 'all' ELSE coalesce(region, 'none') END AS r, sum(n) \
                 FROM sale GROUP BY ROLLUP (region) ORDER BY grouping(region), region";
    assert_eq!(rows(&mut s, label), ["e|30", "w|5", "none|3", "all|38"]);
    let window = "SELECT region, rank() OVER (PARTITION BY grouping(region) ORDER BY sum(n) DESC) \
                  FROM sale GROUP BY ROLLUP (region) ORDER BY grouping(region), 2";
    assert_eq!(rows(&mut s, window), ["e|1", "w|2", "∅|3", "∅|1"]);
    let outside = "SELECT (SELECT grouping(sale.region)), count(*) FROM sale GROUP BY CUBE (region) ORDER BY 1, 2";
    assert_eq!(rows(&mut s, outside), ["0|1", "0|2", "0|2", "1|5"]);
    let computed = "SELECT n % 2, grouping(n % 2), count(*) FROM sale GROUP BY ROLLUP (n % 2) ORDER BY 2, 1";
    assert_eq!(rows(&mut s, computed), ["0|0|3", "1|0|2", "∅|1|5"]);
    assert_eq!(rows(&mut s, "SELECT grouping(kind) FROM sale GROUP BY kind"), ["0", "0"]);
}

#[test]
fn columns_that_a_key_determines_are_there_only_if_every_set_has_the_key() {
    let (_memory, mut s) = sales();
    let every = "SELECT id, kind, region FROM sale WHERE id < 2 GROUP BY GROUPING SETS (id, (id, region)) ORDER BY 3";
    assert_eq!(rows(&mut s, every), ["1|x|e", "1|x|∅"]);
    assert_eq!(code(&mut s, "SELECT kind FROM sale GROUP BY ROLLUP (id)"), "42803");
}

#[test]
fn what_postgresql_refuses_is_refused_with_its_codes() {
    let (_memory, mut s) = sales();
    let sets = |n: usize| vec!["(id)"; n].join(", ");
    let statements = [
        ("SELECT n FROM sale GROUP BY ROLLUP (kind)".to_owned(), "42803"),
        ("SELECT grouping(n) FROM sale GROUP BY ROLLUP (kind)".to_owned(), "42803"),
        ("SELECT grouping(n) FROM sale".to_owned(), "42803"),
        ("SELECT 1 FROM sale WHERE grouping(n) = 0 GROUP BY n".to_owned(), "42803"),
        ("SELECT 1 FROM sale GROUP BY grouping(n)".to_owned(), "42803"),
        ("SELECT sum(grouping(n)) FROM sale GROUP BY n".to_owned(), "42803"),
        ("SELECT grouping() FROM sale GROUP BY n".to_owned(), "42601"),
        ("SELECT grouping(n) OVER () FROM sale GROUP BY n".to_owned(), "42601"),
        ("SELECT ()".to_owned(), "42601"),
        ("SELECT 1 FROM sale WHERE (), ()".to_owned(), "42601"),
        ("SELECT GROUPING SETS ((n)) FROM sale".to_owned(), "42601"),
        ("SELECT 1 FROM sale GROUP BY ROLLUP ()".to_owned(), "42601"),
        ("SELECT 1 FROM sale GROUP BY ROLLUP (n, ())".to_owned(), "42601"),
        ("SELECT 1 FROM sale GROUP BY n, DISTINCT kind".to_owned(), "42601"),
        ("SELECT rollup(n), cube(n) FROM sale".to_owned(), "42883"),
        ("SELECT 1 FROM sale GROUP BY ROLLUP (CUBE (n))".to_owned(), "42883"),
        ("SELECT \"grouping\"(n) FROM sale GROUP BY n".to_owned(), "42883"),
        (format!("SELECT 1 FROM sale GROUP BY CUBE ({})", sets(13)), "54011"),
        (format!("SELECT 1 FROM sale GROUP BY GROUPING SETS ({})", sets(4097)), "54001"),
        (format!("SELECT 1 FROM sale GROUP BY ROLLUP ({})", sets(4096)), "54001"),
        (format!("SELECT 1 FROM sale GROUP BY CUBE ({0}), CUBE ({0})", sets(7)), "54001"),
        (format!("SELECT grouping({}) FROM sale GROUP BY id", sets(32)), "54023"),
    ];
    for (text, expected) in &statements {
        assert_eq!(code(&mut s, text), *expected, "{}", text.get(..100).unwrap_or(text));
    }
    let most = format!("SELECT count(*) FROM (SELECT 1 FROM sale GROUP BY GROUPING SETS ({})) x", sets(4096));
    assert_eq!(rows(&mut s, &most), ["20480"]);
    let nested = format!("SELECT 1 FROM sale GROUP BY {}n{}", "GROUPING SETS (".repeat(200), ")".repeat(200));
    assert_eq!(code(&mut s, &nested), "54001");
}

#[test]
fn explain_shows_the_sets() {
    let (_memory, mut s) = sales();
    let mut shown = |by: &str| {
        let lines = rows(&mut s, &format!("EXPLAIN SELECT count(*) FROM sale GROUP BY {by}"));
        lines.into_iter().find(|line| line.contains("Aggregate")).unwrap_or_default()
    };
    assert_eq!(shown("region"), "Aggregate (1 keys, 1 aggregates)");
    let rollup = "Aggregate (2 keys, 1 aggregates, 3 grouping sets: (region, #2) (region) ())";
    assert_eq!(shown("ROLLUP (region, n % 2)"), rollup);
    let many = shown("CUBE (id, region, kind, n, n + 1, n + 2)");
    assert!(many.contains("64 grouping sets: ()") && many.ends_with(" and 32 more)"), "{many}");
}

#[test]
fn partiql_takes_rollup_for_a_function_still() {
    let memory = Memory::new(6);
    let mut s = memory.session_of(Dialect::PartiQl);
    told(&mut s, "CREATE TABLE t").unwrap();
    assert_eq!(code(&mut s, "SELECT a FROM t GROUP BY ROLLUP(a)"), "42883");
}
