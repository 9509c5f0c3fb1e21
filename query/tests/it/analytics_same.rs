//! Two executors, one meaning: random tables, documents and statements, each run by the document executor, by DataFusion
//! over rows, and by columns, and compared to the last digit: values, types, scales, NULLs, errors, and the order of rows
//! as far as SQL fixes it (over rows: wholly).
//!
//! `LEDGERSTONE_SEED=n` replays a seed; `LEDGERSTONE_TEST_LONG=1` runs ten times as many.

use ledgerstone_digest::ion::{Decimal, Value, parse, to_text};
use ledgerstone_journal::env::SeededRng;
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
        run += one_ledger(seed);
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
fn explain_says_which_executor_and_why_not_is_a_matter_of_size() {
    let memory = Memory::new(1);
    memory.ddl(&create_table("t", COLUMNS), Dialect::Sql);
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
    memory.ddl(&create_table("t", COLUMNS), Dialect::Sql);
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

type Columns = &'static [(&'static str, &'static str, &'static str)];

const COLUMNS: Columns = &[
    ("k", "int4", "p"),
    ("g", "int4", ""),
    ("i8", "int8", ""),
    ("n", "numeric", ""),
    ("f", "float8", ""),
    ("s", "text", ""),
    ("b", "bool", ""),
    ("d", "date", ""),
    ("t", "timestamptz", ""),
];

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

fn one_ledger(seed: u64) -> usize {
    let mut pick = Pick { rng: SeededRng::new(seed) };
    let memory = Memory::new(seed);
    memory.ddl(&create_table("a", COLUMNS), Dialect::Sql);
    memory.ddl(&create_table("b", COLUMNS), Dialect::Sql);
    memory.create_schemaless("c");
    let manner = Manner {
        nulls: pick.below(4),
        mixed_scale: pick.below(4) == 0,
        zeros: pick.below(3) == 0,
        nan: pick.below(4) == 0,
        mixed: pick.below(3) == 0,
        huge: pick.below(3) == 0,
    };
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
        let statement = pick.statement(&blocks);
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
        // Which rows a LIMIT without order comes to is open, and so is whether it comes to one that is an error.
        _ if !statement.limit.is_empty() && !statement.body.contains("ORDER BY") => {
            let both = [documents, columns].map(|session| rows(tx, &statement.body, session).is_err());
            return if both == [true, true] { Ok(()) } else { Err(differs()) };
        }
        _ => return Err(differs()),
    };
    let bag = |rows: &[exec::Row]| {
        let mut bag: Vec<String> = rows.iter().map(|row| shown(row)).collect();
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
            return Err(differs());
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

/// A statement in parts.
struct Statement {
    /// Without its LIMIT.
    body: String,
    limit: String,
    /// The columns that its answer is sorted by.
    keys: Vec<usize>,
}

impl Statement {
    fn text(&self) -> String {
        format!("{}{}", self.body, self.limit)
    }
}

/// How the values of a ledger are.
struct Manner {
    nulls: u64,
    mixed_scale: bool,
    zeros: bool,
    nan: bool,
    mixed: bool,
    huge: bool,
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

struct Pick {
    rng: SeededRng,
}

impl Pick {
    fn below(&mut self, n: u64) -> u64 {
        self.rng.next_u64() % n
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len() as u64) as usize]
    }

    fn document(&mut self, k: i64, manner: &Manner, free: bool) -> Value {
        let mut fields = vec![("k", Value::int(k))];
        for (name, ty, _) in &COLUMNS[1..] {
            if self.below(8) < manner.nulls {
                if free && self.below(2) == 0 {
                    fields.push((name, Value::NULL));
                }
                continue;
            }
            let value = if free && manner.mixed && self.below(30) == 0 {
                let text =
                    self.of(&["1", "1.00", "\"x\"", "[1]", "{a:1}", "sym", "1e0", "a::1", "null.int", "{{aGk=}}"]);
                parse(text, &Default::default()).unwrap()
            } else {
                self.value(ty, manner)
            };
            fields.push((name, value));
        }
        record(&fields)
    }

    fn value(&mut self, ty: &str, manner: &Manner) -> Value {
        let small = self.below(7) as i64 - 3;
        match ty {
            "int4" => Value::int(small),
            "int8" if manner.huge => Value::int([i64::MAX, i64::MIN, small][self.below(3) as usize]),
            "int8" => Value::int(small * 1_000_000_007),
            "numeric" if manner.mixed_scale && self.below(6) == 0 => Value::Decimal(Decimal::new(small, -1)),
            "numeric" if manner.huge && self.below(40) == 0 => {
                parse("12345678901234567890123456789012345678901234.56", &Default::default()).unwrap()
            }
            "numeric" if manner.zeros && self.below(20) == 0 => Value::Decimal(Decimal::negative_zero(-2)),
            "numeric" => Value::Decimal(Decimal::new(small * 125, -2)),
            "float8" if manner.nan && self.below(10) == 0 => {
                Value::Float([f64::NAN, f64::INFINITY][self.below(2) as usize])
            }
            "float8" if manner.zeros && self.below(10) == 0 => Value::Float(-0.0),
            "float8" => Value::Float([0.5, 0.1, -2.5, 1e300, f64::MAX, 0.0][self.below(6) as usize]),
            "text" => Value::string(self.of(&["", "a", "A", "aa", "b", "é", "zz", "a b"])),
            "bool" => Value::Bool(small > 0),
            "date" => parse(self.of(&["2020-01-31", "2020-02-01", "1969-12-31"]), &Default::default()).unwrap(),
            _ => {
                let texts = ["2020-01-31T10:00:00Z", "2020-01-31T10:00:00.25Z", "1969-12-31T23:59:59.999999Z"];
                parse(self.of(&texts), &Default::default()).unwrap()
            }
        }
    }

    fn statement(&mut self, blocks: &[u64]) -> Statement {
        let joins = self.below(3) == 0;
        let (from, names): (String, &[&str]) =
            if joins { self.joined(blocks) } else { (self.source(blocks, "x"), &["x"]) };
        let filter = match self.below(3) {
            0 | 1 => format!(" WHERE {}", self.condition(names[0])),
            _ => String::new(),
        };
        match self.below(14) {
            10 => {
                // What columns cannot compute is computed over the documents that they have chosen.
                let outputs = self.list(names, 2);
                let window = format!("count(*) OVER (PARTITION BY {}.g)", names[0]);
                let body = format!("SELECT {outputs}, {window} FROM {from}{filter}");
                Statement { body, limit: String::new(), keys: Vec::new() }
            }
            11..=13 => {
                let outputs = self.list(names, 4);
                let body = format!("SELECT {outputs} FROM {from}{filter}");
                Statement { body, limit: self.limit(), keys: Vec::new() }
            }
            0..=5 => self.grouped(&from, &filter, names),
            6 => {
                let outputs = self.list(names, 3);
                let (order, keys) = self.order();
                let body = format!("SELECT DISTINCT {outputs} FROM {from}{filter}{order}");
                Statement { body, limit: self.limit(), keys }
            }
            7 => {
                // A level inside another one.
                let inner = self.grouped(&from, &filter, names);
                let limit = if inner.keys.is_empty() { String::new() } else { inner.limit };
                // Which rows an inner LIMIT keeps is open, how many is not.
                Statement {
                    body: format!("SELECT count(*) FROM ({}{limit}) q", inner.body),
                    limit: String::new(),
                    keys: vec![0],
                }
            }
            _ => {
                let outputs = self.list(names, 4);
                let key = self.scalar(names);
                let (d, e) = (self.direction(), self.direction());
                let name = names[0];
                let star = self.of(&["", ", x.*"]);
                let star = if name == "x" { star } else { "" };
                let (key, keys) = match self.below(2) {
                    0 => (key, Vec::new()),
                    _ => ("1".to_owned(), vec![0]),
                };
                let body = format!("SELECT {outputs}{star} FROM {from}{filter} ORDER BY {key}{d}, 1{e}");
                Statement { body, limit: self.limit(), keys }
            }
        }
    }

    fn source(&mut self, blocks: &[u64], alias: &str) -> String {
        let name = self.of(&["a", "b", "c", "a"]);
        match self.below(6) {
            0 if name != "c" => format!("history({name}) AS {alias}"),
            1 if !blocks.is_empty() => {
                let block = blocks[self.below(blocks.len() as u64) as usize];
                format!("{name} AS OF BLOCK {block} AS {alias}")
            }
            2 if alias == "x" && name != "c" => format!("(SELECT * FROM {name} WHERE k > 2) AS {alias}"),
            _ => format!("{name} AS {alias}"),
        }
    }

    fn joined(&mut self, blocks: &[u64]) -> (String, &'static [&'static str]) {
        let kind = |p: &mut Pick| p.of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]).to_owned();
        let on = |p: &mut Pick, l: &str, r: &str| {
            let key = p.of(&["g", "s", "n", "i8", "d", "b", "t", "f"]);
            let more = p.of(&["", "", " AND @l.g = @r.g"]).replace("@l", l).replace("@r", r);
            format!("{l}.{key} = {r}.{key}{more}")
        };
        let (x, y) = (self.source(blocks, "x"), self.source(blocks, "y"));
        let two = format!("{x} {} {y} ON {}", kind(self), on(self, "x", "y"));
        if self.below(4) > 0 {
            return (two, &["x", "y"]);
        }
        let z = self.source(blocks, "z");
        (format!("{two} {} {z} ON {}", kind(self), on(self, "y", "z")), &["x", "y", "z"])
    }

    fn grouped(&mut self, from: &str, filter: &str, names: &[&str]) -> Statement {
        let keys: Vec<String> = (0..self.below(3)).map(|_| self.scalar(names)).collect();
        let aggregates: Vec<String> = (0..=self.below(4)).map(|_| self.aggregate(names)).collect();
        let mut text = format!("SELECT {} FROM {from}{filter}", [keys.clone(), aggregates].concat().join(", "));
        if !keys.is_empty() {
            text.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        }
        if self.below(4) == 0 {
            text.push_str(" HAVING count(*) > 1");
        }
        let (order, keys) = if self.below(3) == 0 { self.order() } else { Default::default() };
        text.push_str(&order);
        Statement { body: text, limit: self.limit(), keys }
    }

    fn order(&mut self) -> (String, Vec<usize>) {
        match self.below(2) {
            0 => (String::new(), Vec::new()),
            _ => (format!(" ORDER BY 1{}", self.direction()), vec![0]),
        }
    }

    fn direction(&mut self) -> &'static str {
        self.of(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
    }

    fn limit(&mut self) -> String {
        match self.below(4) {
            0 => format!(" LIMIT {}", self.below(5)),
            1 => format!(" LIMIT {} OFFSET {}", self.below(5), self.below(4)),
            _ => String::new(),
        }
    }

    fn list(&mut self, names: &[&str], most: u64) -> String {
        (0..=self.below(most)).map(|_| self.scalar(names)).collect::<Vec<_>>().join(", ")
    }

    fn column(&mut self, names: &[&str], of: &[&str]) -> String {
        format!("{}.{}", self.of(names), self.of(of))
    }

    fn scalar(&mut self, names: &[&str]) -> String {
        let column = self.column(names, &["g", "i8", "n", "f", "s", "b", "d", "t", "g", "s", "k"]);
        match self.below(24) {
            12 => format!("date_trunc('month', {}.t)", self.of(names)),
            13 => format!("date_trunc('{}', {}.d)", self.of(&["week", "year", "quarter"]), self.of(names)),
            14 => {
                format!("extract({} from {}.t)", self.of(&["year", "month", "dow", "second", "epoch"]), self.of(names))
            }
            15 => format!("{}.n {} {}.g", self.of(names), self.of(&["+", "-", "*"]), self.of(names)),
            16 => format!("{}.i8 {} {}.g", self.of(names), self.of(&["+", "-", "*"]), self.of(names)),
            17 => format!("{0}.s || {0}.g::text", self.of(names)),
            18 => format!("coalesce({0}.n, {0}.g, 0)", self.of(names)),
            19 => format!("({})", self.condition(names[0])),
            20 => format!("CASE WHEN {} THEN {column} END", self.condition(names[0])),
            21 => format!("length({}.s)", self.of(names)),
            0 => format!("{}.g % 3", self.of(names)),
            1 => format!("coalesce({}.s, 'none')", self.of(names)),
            2 => format!("{}.n * 2", self.of(names)),
            3 => format!("upper({}.s)", self.of(names)),
            4 => format!("CASE WHEN {}.g > 0 THEN 'up' ELSE 'down' END", self.of(names)),
            5 => format!("10 / {}.g", self.of(names)),
            6 => format!("{column} IS NULL"),
            _ => column,
        }
    }

    fn aggregate(&mut self, names: &[&str]) -> String {
        let any = self.column(names, &["g", "i8", "n", "f", "s", "d", "t", "k"]);
        let number = self.column(names, &["g", "i8", "n", "g", "n", "k"]);
        let call = match self.below(14) {
            0 => "count(*)".to_owned(),
            1 => format!("count({any})"),
            2 => format!("count(DISTINCT {any})"),
            3 | 4 => format!("sum({number})"),
            5 => format!("avg({number})"),
            6 => format!("min({any})"),
            7 => format!("max({any})"),
            8 => format!("bool_and({}.b)", self.of(names)),
            9 => format!("bool_or({}.b)", self.of(names)),
            10 => format!("sum({}.g * 1000000000)", self.of(names)),
            11 => format!("sum({}.f)", self.of(names)),
            12 => format!("avg(DISTINCT {number})"),
            _ => format!("sum({}.n + 1)", self.of(names)),
        };
        match self.below(6) {
            0 => format!("{call} FILTER (WHERE {})", self.condition(names[0])),
            _ => call,
        }
    }

    fn condition(&mut self, name: &str) -> String {
        const SIMPLE: &[&str] = &[
            "@.g > 0",
            "@.s LIKE 'a%'",
            "@.s ILIKE '%A_'",
            "@.b",
            "NOT @.b",
            "@.n IS NOT NULL",
            "@.s IS NULL",
            "@.k % 2 = 0",
            "10 / @.g > 2",
            "@.d < '2020-02-01'",
            "@.d = @.d",
            "@.t >= '2020-01-31T10:00:00Z'",
            "@.t < @.d",
            "@.n > 1",
            "@.n BETWEEN -1.25 AND 2.5",
            "@.n = @.g",
            "@.g <> @.n",
            "@.i8 > @.g",
            "@.f < 0.5",
            "@.f = @.f",
            "@.f > @.n",
            "@.s IN ('a', 'zz', 'é')",
            "@.g NOT IN (1, 2, NULL)",
            "@.n IN (1.25, 0, 2.50)",
            "@.s >= 'aa'",
            "'b' > @.s",
            "upper(@.s) = 'A'",
            "@.b IS DISTINCT FROM (@.g > 0)",
            "@.b IS TRUE",
            "coalesce(@.b, @.g > 1)",
            "@.n + @.g > 2",
            "NULL",
        ];
        let one = self.of(SIMPLE);
        let condition = match self.below(5) {
            0 => format!("{one} AND {}", self.of(SIMPLE)),
            1 => format!("({one} OR {})", self.of(SIMPLE)),
            2 => format!("NOT ({one} AND ({} OR {}))", self.of(SIMPLE), self.of(SIMPLE)),
            _ => one.to_owned(),
        };
        condition.replace('@', name)
    }
}
