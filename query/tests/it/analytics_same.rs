//! Two executors, one meaning: random tables, documents and statements, each run by the document executor, by DataFusion
//! over rows, and by columns, and compared to the last digit: values, types, scales, NULLs, errors, and the order of rows
//! as far as SQL fixes it (over rows: wholly).
//!
//! `LEDGERSTONE_SEED=n` replays a seed; `LEDGERSTONE_TEST_LONG=1` runs ten times as many.

use ledgerstone_digest::ion::{Value, to_text};
use ledgerstone_query::analytics;
use ledgerstone_query::bind::{self, PlanContext};
use ledgerstone_query::error::QueryError;
use ledgerstone_query::exec::{self, Outcome};
use ledgerstone_query::session::{
    Cancel, CancelReason, Dialect, SETTING_ANALYTIC_DOCUMENTS, SETTING_EXECUTOR, SessionInfo,
};
use ledgerstone_query::sql;
use ledgerstone_query::transaction::{Transaction, View};
use ledgerstone_query::value::compare;

use crate::generated::{Manner, Pick, Statement, usual_columns};
use crate::support::{Memory, create_table, record, table, told};

/// Ledgers, and statements on each: 2,000 in all.
const SEEDS: u64 = 20;
const STATEMENTS: usize = 100;

#[test]
fn datafusion_answers_as_the_document_executor_does() {
    let seeds: Vec<u64> = match std::env::var("LEDGERSTONE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LEDGERSTONE_SEED is a number")],
        Err(_) => (0..SEEDS * if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 10 } else { 1 }).collect(),
    };
    let before = analytics::counters();
    let by_columns = analytics::answered_by_columns();
    let mut run = 0;
    for seed in seeds {
        run += one_ledger(seed, &|pick, blocks| pick.statement(blocks));
    }
    let after = analytics::counters();
    let (answered, given_back) = (after.0 - before.0, after.1 - before.1);
    println!("{run} statements; DataFusion answered {answered} query levels and gave {given_back} back");
    assert!(answered * 3 > run as u64, "DataFusion has hardly been tried");
    assert!(given_back > 0, "nothing was ever given back");
    let by_columns = analytics::answered_by_columns() - by_columns;
    println!("columns answered {by_columns} query levels");
    assert!(by_columns * 8 > run as u64, "columns have hardly been tried");
}

#[test]
fn grouping_sets_answer_alike_whichever_executor_is_asked_for() {
    for seed in 900..904 {
        one_ledger(seed, &in_sets);
    }
    let memory = Memory::new(3);
    let mut s = memory.session();
    told(&mut s, "CREATE TABLE t (k int PRIMARY KEY, g int, s text)").unwrap();
    told(&mut s, "INSERT INTO t SELECT i, nullif(i % 7, 0), 's' || i % 3 FROM generate_series(1, 500) AS i").unwrap();
    for by in ["ROLLUP (s, g)", "CUBE (s, g)", "GROUPING SETS (g, s, g, ())", "g, s, ()", "GROUPING SETS ((s, g))"] {
        let filtered = "FROM t WHERE k > 9";
        let text =
            format!("SELECT s, g, grouping(s, g), sum(k), count(*) {filtered} GROUP BY {by} ORDER BY 3, 1, 2, 4");
        let answers = ["document", "datafusion", "columns"].map(|executor| {
            told(&mut s, &format!("SET ledgerstone.executor = {executor}")).unwrap();
            let lines = told(&mut s, &format!("EXPLAIN {text}")).unwrap();
            let groups = |line: &String| line.contains("Columns group") || line.contains("DataFusion groups");
            let one_set = by == "g, s, ()" || by == "GROUPING SETS ((s, g))";
            assert_eq!(lines.iter().any(groups), one_set && executor != "document", "{by}: {lines:?}");
            told(&mut s, &text).unwrap()
        });
        assert!(answers[0].len() > 10, "{by}");
        assert_eq!(answers[0], answers[1], "{by}");
        assert_eq!(answers[0], answers[2], "{by}");
    }
}

/// A statement that groups, by several sets in place of one.
fn in_sets(pick: &mut Pick, blocks: &[u64]) -> Statement {
    loop {
        let statement = pick.statement(blocks);
        let Some((before, rest)) = statement.body.split_once(" GROUP BY ") else { continue };
        // The last is the end of a subquery.
        let end = [" HAVING ", " ORDER BY ", ") q"].iter().filter_map(|clause| rest.find(clause)).min();
        let (keys, after) = rest.split_at(end.unwrap_or(rest.len()));
        let by = match pick.below(3) {
            0 => format!("ROLLUP ({keys})"),
            1 => format!("CUBE ({keys})"),
            _ => format!("GROUPING SETS (({keys}), ())"),
        };
        return Statement { body: format!("{before} GROUP BY {by}{after}"), ..statement };
    }
}

#[test]
fn explain_says_which_executor_and_why_not_is_a_matter_of_size() {
    let memory = Memory::new(1);
    memory.ddl(&create_table("t", &usual_columns()), Dialect::Sql);
    memory.run(|tx| {
        for k in 0..20 {
            insert(tx, "t", record(&[("k", Value::int(k)), ("g", Value::int(k % 3))]));
        }
    });
    let tx = memory.begin();
    let explain = |text: &str, settings: &[(&str, &str)]| {
        let session = session(settings);
        let statement = &sql::parse(text).unwrap()[0].statement.clone();
        let mut ctx = PlanContext { tx: &tx, text, dialect: Dialect::Sql, parameter_types: &[], session: &session };
        bind::plan(&mut ctx, statement).unwrap().explain_lines(&tx, &session)
    };
    let group = "SELECT g, count(*) FROM t GROUP BY g";
    assert_eq!(explain(group, &[])[0], "Executor: documents");
    let lines = explain(group, &[(SETTING_ANALYTIC_DOCUMENTS, "20")]);
    assert_eq!(lines[..2], ["Executor: columns", "Columns group t (0 filters)"]);
    let lines = explain(group, &[(SETTING_EXECUTOR, "datafusion")]);
    assert_eq!(lines[..2], ["Executor: datafusion", "DataFusion groups t"]);
    assert_eq!(explain(group, &[(SETTING_ANALYTIC_DOCUMENTS, "21")])[0], "Executor: documents");
    let join = "SELECT x.g, count(*) FROM t x JOIN t y ON x.g = y.g GROUP BY x.g";
    let lines = explain(join, &[(SETTING_EXECUTOR, "datafusion")]);
    assert_eq!(lines[1], "DataFusion groups hash joins of t x, t y");
    let point = "SELECT * FROM t WHERE k = 1";
    let lines = explain(point, &[(SETTING_EXECUTOR, "datafusion")]);
    assert_eq!(lines[0], "Executor: documents");
    assert!(lines.iter().any(|l| l.contains("Primary key lookup")), "{lines:?}");
}

#[test]
fn a_cancelled_statement_stops() {
    let memory = Memory::new(2);
    memory.ddl(&create_table("t", &usual_columns()), Dialect::Sql);
    memory.run(|tx| {
        for k in 0..3000 {
            insert(tx, "t", record(&[("k", Value::int(k)), ("g", Value::int(k % 3))]));
        }
    });
    let mut tx = memory.begin();
    let mut session = session(&[(SETTING_EXECUTOR, "datafusion")]);
    session.cancel = Cancel::default();
    session.cancel.cancel(CancelReason::Request);
    let error = answer(&mut tx, "SELECT g, count(*) FROM t GROUP BY g", &session).unwrap_err();
    assert_eq!(error.code.0, "57014");
}

#[test]
fn explain_says_what_columns_do_and_analyze_what_it_took() {
    let memory = Memory::new(4);
    let mut s = memory.session();
    told(&mut s, "CREATE TABLE t (k int PRIMARY KEY, g int, s text); SET ledgerstone.executor = columns").unwrap();
    told(&mut s, "INSERT INTO t SELECT i, i % 7, 's' || i % 3 FROM generate_series(1, 500) AS i").unwrap();
    let mut explained = |text: &str, analyze: bool| {
        let analyze = if analyze { " ANALYZE" } else { "" };
        told(&mut s, &format!("EXPLAIN{analyze} {text}")).unwrap()
    };
    let group = "SELECT s, count(*) FROM t WHERE g > 3 GROUP BY s";
    assert_eq!(explained(group, false)[..2], ["Executor: columns", "Columns group t (1 filters)"]);
    for (text, part) in [
        ("SELECT DISTINCT s FROM t", "Columns remove duplicates of t"),
        ("SELECT k FROM t ORDER BY s LIMIT 3", "Columns find the first of t"),
        ("SELECT k FROM t WHERE g = 1", "Columns scan t"),
        ("SELECT k, rank() OVER (ORDER BY s) FROM t WHERE g = 1", "Columns filter t"),
    ] {
        let lines = explained(text, false);
        assert!(lines.iter().any(|line| line.trim_start().starts_with(part)), "{text}: {lines:?}");
    }
    let lines = explained(group, true);
    let has = |part: &str| assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    has("Computed 3 groups of ");
    has("Filtered by 1 conditions: 213 rows passed");
    has("Scanned t by columns: 500 rows in ");
    has("Execution Time");
    let lines = explained("SELECT count(*) FROM history(t) WHERE _ql_txtime < '1970-01-02' AND g > 3", true);
    let pruned = |line: &String| line.contains("0 rows in 0 segments, 1 pruned");
    assert!(lines.iter().any(pruned), "{lines:#?}");
}

/// Words of a column are computed once each, and what is computed there keeps others waiting.
#[test]
fn what_differs_or_waits_each_time_is_called_for_every_row_and_not_over_columns() {
    let memory = Memory::new(4);
    let mut s = memory.session();
    told(&mut s, "CREATE TABLE t (k int PRIMARY KEY, s text); SET ledgerstone.executor = columns").unwrap();
    told(&mut s, "INSERT INTO t (k, s) SELECT i, 's' || i % 3 FROM generate_series(1, 500) AS i").unwrap();
    let mut count = |ex: &str| {
        let lines = told(&mut s, &format!("EXPLAIN SELECT {ex} FROM t")).unwrap();
        assert!(!lines.iter().any(|line| line.contains("Columns")), "{ex}: {lines:?}");
        let lines = told(&mut s, &format!("EXPLAIN SELECT max({ex}::text) FROM t")).unwrap();
        assert!(!lines.iter().any(|line| line.contains("Columns")), "{ex}: {lines:?}");
        told(&mut s, &format!("SELECT count(DISTINCT x) FROM (SELECT {ex} AS x FROM t) AS d")).unwrap().swap_remove(0)
    };
    assert_eq!(count("s || random()"), "500");
    assert_eq!(count("s || gen_random_uuid()"), "500");
    for ex in ["pg_sleep(length(s) * 0)", "pg_advisory_lock(length(s))", "set_config('a.b', s, false)"] {
        count(ex);
    }
}

fn session(settings: &[(&str, &str)]) -> SessionInfo {
    let mut session = SessionInfo::embedded("main", Dialect::Sql);
    for (name, value) in settings {
        session.settings.set(name, value).unwrap();
    }
    session
}

fn insert(tx: &mut Transaction, name: &str, value: Value) {
    let t = table(tx, name);
    tx.insert(&t, value).unwrap();
}

fn answer(tx: &mut Transaction, text: &str, session: &SessionInfo) -> Result<Vec<String>, QueryError> {
    Ok(rows(tx, text, session)?.iter().map(|row| shown(row)).collect())
}

fn shown(row: &[Option<Value>]) -> String {
    let show = |d: &Option<Value>| d.as_ref().map_or("∅".to_owned(), to_text);
    row.iter().map(show).collect::<Vec<_>>().join(" | ")
}

fn rows(tx: &mut Transaction, text: &str, session: &SessionInfo) -> Result<Vec<exec::Row>, QueryError> {
    let parsed = sql::parse(text)?;
    let mut ctx = PlanContext { tx, text, dialect: Dialect::Sql, parameter_types: &[], session };
    let plan = bind::plan(&mut ctx, &parsed[0].statement)?;
    match exec::run(&plan, tx, &[], session)? {
        Outcome::Rows { rows } => rows.all(),
        Outcome::Affected { .. } => panic!("not a query"),
    }
}

fn one_ledger(seed: u64, next: &dyn Fn(&mut Pick, &[u64]) -> Statement) -> usize {
    let mut pick = Pick::new(seed, false);
    let memory = Memory::new(seed);
    memory.ddl(&create_table("a", &pick.columns), Dialect::Sql);
    memory.ddl(&create_table("b", &pick.columns), Dialect::Sql);
    memory.create_schemaless("c");
    let manner = pick.manner();
    let mut k = 0;
    let mut blocks = Vec::new();
    for _ in 0..4 {
        let (_, committed) = memory.run(|tx| change(tx, &mut pick, &manner, &mut k));
        blocks.extend(committed.map(|c| c.block));
    }
    let mut tx = memory.begin();
    // Writes of its own are seen as well.
    if pick.below(2) == 0 {
        change(&mut tx, &mut pick, &manner, &mut k);
    }
    let documents = session(&[(SETTING_EXECUTOR, "document")]);
    let engine = session(&[(SETTING_EXECUTOR, "datafusion")]);
    let columns = session(&[(SETTING_EXECUTOR, "columns")]);
    for n in 0..STATEMENTS {
        let statement = next(&mut pick, &blocks);
        let text = statement.text();
        if let Err(why) = same_by_columns(&mut tx, &statement, &documents, &columns) {
            panic!("LEDGERSTONE_SEED={seed}, statement {n}: {text}\n{why}");
        }
        let expected = answer(&mut tx, &text, &documents);
        let found = answer(&mut tx, &text, &engine);
        let same = match (&expected, &found) {
            (Ok(a), Ok(b)) => a == b,
            (Err(a), Err(b)) => a.code == b.code && a.message == b.message,
            _ => false,
        };
        assert!(
            same,
            "LEDGERSTONE_SEED={seed}, statement {n}: {text}\ndocuments:  {expected:#?}\nDataFusion: {found:#?}"
        );
        if let Err(error) = &expected {
            // Values may be wrong for an expression; statements here are not wrong in themselves.
            let statement = ["42703", "42601", "42P01", "42803", "0A000", "XX000"];
            assert!(!statement.contains(&error.code.0), "LEDGERSTONE_SEED={seed}: {text}\n{error:?}");
        }
    }
    STATEMENTS
}

/// Compares what SQL fixes: the rows, without ORDER BY as a bag; their order by the keys that the statement shows; under a
/// LIMIT their number, and that each is a row of the whole answer.
fn same_by_columns(
    tx: &mut Transaction,
    statement: &Statement,
    documents: &SessionInfo,
    columns: &SessionInfo,
) -> Result<(), String> {
    let expected = rows(tx, &statement.text(), documents);
    let found = rows(tx, &statement.text(), columns);
    let told = |answer: &Result<Vec<exec::Row>, QueryError>| match answer {
        Ok(rows) => rows.iter().map(|row| shown(row)).collect::<Vec<_>>().join("\n  "),
        Err(error) => format!("{error:?}"),
    };
    let differs = || format!("documents:\n  {}\ncolumns:\n  {}", told(&expected), told(&found));
    let (expected, found) = match (&expected, &found) {
        (Ok(expected), Ok(found)) => (expected, found),
        (Err(a), Err(b)) if a.code == b.code && a.message == b.message => return Ok(()),
        // Of several values that are wrong any may be met first.
        (Err(a), Err(b)) if is_about_a_value(a) && is_about_a_value(b) => return Ok(()),
        // Which rows a LIMIT without order comes to is open, and so is whether it comes to one that is an error.
        _ if !statement.limit.is_empty() && !statement.body.contains("ORDER BY") => {
            let both = [documents, columns].map(|session| rows(tx, &statement.body, session).is_err());
            return if both == [true, true] { Ok(()) } else { Err(differs()) };
        }
        _ => return Err(differs()),
    };
    // Which of several equal values stands for a group is open, and so are the digits that it is written with.
    let is_grouped =
        ["GROUP BY", "DISTINCT", "UNION", "INTERSECT", "EXCEPT"].iter().any(|w| statement.body.contains(w));
    let bag = |rows: &[exec::Row]| {
        let row = |row: &exec::Row| if is_grouped { without_idle_zeros(&shown(row)) } else { shown(row) };
        let mut bag: Vec<String> = rows.iter().map(row).collect();
        bag.sort();
        bag
    };
    if statement.limit.is_empty() {
        if bag(expected) != bag(found) {
            return Err(differs());
        }
    } else {
        // What is not computed under the limit may be an error.
        let all = rows(tx, &statement.body, documents).ok();
        let is_error = all.is_none();
        let mut all = bag(&all.unwrap_or_default());
        let known = is_error
            || bag(found).iter().all(|row| match all.binary_search(row) {
                Ok(at) => {
                    all.remove(at);
                    true
                }
                Err(_) => false,
            });
        if !known || expected.len() != found.len() {
            let whole = [documents, columns].map(|session| told(&rows(tx, &statement.body, session)));
            return Err(format!(
                "{}\nwithout the limit, documents:\n  {}\ncolumns:\n  {}",
                differs(),
                whole[0],
                whole[1]
            ));
        }
    }
    let in_order = expected.iter().zip(found).all(|(a, b)| {
        let same = |key: &usize| match (&a[*key], &b[*key]) {
            (Some(a), Some(b)) => compare::compare(a, b).is_eq(),
            (a, b) => a.is_none() == b.is_none(),
        };
        statement.keys.iter().all(same)
    });
    if in_order { Ok(()) } else { Err(differs()) }
}

/// A row as it is shown, its numbers written alike: decimals without zeros behind the last other digit, `0.00` and `0.` as
/// `0`, and floats as decimals, `1e0` as `1`.
fn without_idle_zeros(shown: &str) -> String {
    let is_made_of = |cell: &str, more: &[u8]| cell.bytes().all(|b| b.is_ascii_digit() || more.contains(&b));
    let bare = |cell: &str| {
        let float = cell.parse::<f64>().ok().filter(|_| cell.contains('e') && is_made_of(cell, b".-+e"));
        let cell = float.map_or_else(|| cell.to_owned(), |float| format!("{float}"));
        if !is_made_of(&cell, b".-") || !cell.contains('.') {
            return if cell == "-0" { "0".to_owned() } else { cell };
        }
        match cell.trim_end_matches('0').trim_end_matches('.') {
            "-0" | "" | "-" => "0".to_owned(),
            bare => bare.to_owned(),
        }
    };
    shown.split(" | ").map(bare).collect::<Vec<_>>().join(" | ")
}

#[test]
fn equal_numbers_are_told_alike() {
    for (alike, bare) in
        [("1 | 1. | 1.00 | 1e0", "1"), ("-0 | 0e0 | -0e0 | 0.0 | -0.", "0"), ("1.50 | 1.5e0 | 15e-1", "1.5")]
    {
        assert!(without_idle_zeros(alike).split(" | ").all(|told| told == bare), "{alike}");
    }
    assert_eq!(without_idle_zeros("\"1e0\" | 100 | nan | ∅"), "\"1e0\" | 100 | nan | ∅");
}

/// An expression refuses a value: of this kind (22…), or of this type, which documents may have in a field beside others.
fn is_about_a_value(error: &QueryError) -> bool {
    error.code.0.starts_with("22") || ["42883", "42846", "42804"].contains(&error.code.0)
}

/// Inserts, replaces and deletes a few documents.
fn change(tx: &mut Transaction, pick: &mut Pick, manner: &Manner, k: &mut i64) {
    for name in ["a", "b", "c"] {
        for _ in 0..pick.below(14) {
            *k += 1;
            let value = pick.document(*k, manner, name == "c");
            insert(tx, name, value);
        }
        let t = table(tx, name);
        let docs: Vec<_> = tx.scan(&t, View::Current).unwrap().map(|d| d.unwrap()).collect();
        for doc in docs {
            match pick.below(5) {
                0 => tx.delete(&t, &doc).unwrap(),
                1 => {
                    *k += 1;
                    let value = pick.document(*k, manner, name == "c");
                    tx.replace(&t, &doc, value).unwrap();
                }
                _ => {}
            }
        }
    }
}
