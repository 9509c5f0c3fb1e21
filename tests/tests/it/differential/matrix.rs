//! Every operator and the usual functions between every two types, asked of every executor and of PostgreSQL.
//!
//! A case is an expression and the types of its operands, which are columns of two small tables. It is asked over a few
//! usual values and then over all, edges included; rows have to be equal, or errors of the same class of SQLSTATE.
//!
//! `known` lists the cases that are known to differ. Each may only differ in the way that it is listed for.
//!
//! A run asks a sample; `LEDGERSTONE_SEED=n` replays one. `LEDGERSTONE_TEST_LONG=1` asks every case, and fails on those
//! that are listed and do not differ any more; so does `LEDGERSTONE_CASE=text`, which asks those with it in their names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ledgerstone_journal::env::SeededRng;

use super::{Answer, Asked, ask, long};
use crate::harness::Server;
use crate::postgres::Postgres;

/// Cases of a run that is not long.
const SAMPLE: usize = 400;
/// How many values of each type are usual ones; they come first.
const USUAL: usize = 4;

/// A type, what it is called in names of tables and cases, and its values.
const TYPES: [(&str, &str, &[&str]); 21] = [
    ("int2", "int2", &["1", "null", "3", "2", "0", "-7", "32767", "-32768"]),
    ("int4", "int4", &["1", "null", "3", "2", "0", "-7", "2147483647", "-2147483648"]),
    ("int8", "int8", &["1", "null", "3", "2", "0", "-7", "9223372036854775807", "-9223372036854775808"]),
    (
        "numeric",
        "numeric",
        &["1", "null", "2.50", "3", "0", "-7.125", "99999999999999999999", "0.00000000000000000001"],
    ),
    ("float4", "float4", &["1", "null", "2.5", "0.1", "0", "-7.125", "'NaN'", "'Infinity'", "'-Infinity'", "3e38"]),
    ("float8", "float8", &["1", "null", "2.5", "0.1", "0", "-7.125", "'NaN'", "'Infinity'", "'-Infinity'", "1e308"]),
    ("text", "text", &["'abc'", "null", "'a'", "'1'", "''", "'abc  '", "'a%'", "'Éa'"]),
    ("varchar", "varchar(6)", &["'abc'", "null", "'a'", "'1'", "''", "'abc  '", "'a%'", "'Éa'"]),
    ("char", "char(6)", &["'abc'", "null", "'a'", "'1'", "''", "'abc  '", "'a%'", "'Éa'"]),
    ("bool", "bool", &["true", "null", "false", "true"]),
    ("date", "date", &["'2024-02-29'", "null", "'2000-01-01'", "'1969-12-31'", "'0001-01-01'", "'9999-12-31'"]),
    ("time", "time", &["'12:30:00'", "null", "'00:00:00'", "'23:59:59.999999'"]),
    (
        "timestamp",
        "timestamp",
        &["'2024-02-29 12:30:00'", "null", "'2000-01-01'", "'1969-12-31 23:59:59.5'", "'0001-01-01'", "'9999-12-31'"],
    ),
    (
        "timestamptz",
        "timestamptz",
        &["'2024-02-29 12:30:00+00'", "null", "'2000-01-01 00:00+00'", "'1969-12-31 23:59:59.5+02'"],
    ),
    (
        "interval",
        "interval",
        &["'1 day'", "null", "'24:00:00'", "'1 mon'", "'30 days'", "'-1.5 days'", "'0'", "'-0.25 s'"],
    ),
    ("bytea", "bytea", &["'\\x6162'", "null", "'\\x00ff'", "'\\x61'", "''"]),
    ("json", "json", &["'{\"a\": 1}'", "null", "'[1, 2]'", "'\"abc\"'", "'null'"]),
    (
        "jsonb",
        "jsonb",
        &["'{\"a\": 1}'", "null", "'[1, 2]'", "'\"abc\"'", "'null'", "'{\"a\": {\"b\": 2.50}}'", "'[]'"],
    ),
    ("uuid", "uuid", &["'00000000-0000-0000-0000-000000000001'", "null", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    ("int4[]", "int4[]", &["'{1,2}'", "null", "'{3}'", "'{}'", "'{null}'", "'{1,null,2}'"]),
    ("text[]", "text[]", &["'{a,b}'", "null", "'{c}'", "'{}'", "'{null}'", "'{a,null,b}'"]),
];

/// Expressions of two operands, `$a` and `$b`.
const OF_TWO: [&str; 44] = [
    "$a + $b",
    "$a - $b",
    "$a * $b",
    "$a / $b",
    "$a % $b",
    "$a ^ $b",
    "$a & $b",
    "$a | $b",
    "$a # $b",
    "$a << $b",
    "$a >> $b",
    "$a = $b",
    "$a <> $b",
    "$a < $b",
    "$a <= $b",
    "$a > $b",
    "$a >= $b",
    "$a is distinct from $b",
    "$a is not distinct from $b",
    "$a || $b",
    "$a like $b",
    "$a not like $b",
    "$a ilike $b",
    "$a ~ $b",
    "$a ~* $b",
    "$a !~ $b",
    "$a -> $b",
    "$a ->> $b",
    "$a #> $b",
    "$a #>> $b",
    "$a @> $b",
    "$a <@ $b",
    "$a ? $b",
    "$a && $b",
    "$a between $b and $b",
    "$a in ($b, $b)",
    "$a and $b",
    "$a or $b",
    "mod($a, $b)",
    "power($a, $b)",
    "coalesce($a, $b)",
    "nullif($a, $b)",
    "greatest($a, $b)",
    "concat($a, $b)",
];

/// Expressions of one.
const OF_ONE: [&str; 18] = [
    "- $a",
    "+ $a",
    "~ $a",
    "not $a",
    "$a is null",
    "$a is true",
    "$a is not false",
    "abs($a)",
    "round($a)",
    "ceil($a)",
    "floor($a)",
    "sign($a)",
    "sqrt($a)",
    "length($a)",
    "upper($a)",
    "lower($a)",
    "concat($a)",
    "substring($a, 2, 2)",
];

/// Queries over one column, `v`, of a table, `t`; their rows are compared in order.
const QUERIES: [&str; 8] = [
    "select min(v) from t",
    "select max(v) from t",
    "select sum(v) from t",
    "select avg(v) from t",
    "select count(v), count(distinct v) from t",
    "select count(*) from t group by v order by 1",
    "select k from t order by v, k",
    "select count(*) from (select distinct v from t) d",
];

/// An expression or query, and the places of its operands' types.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    left: usize,
    right: Option<usize>,
    cast: bool,
}

impl Case {
    fn all() -> Vec<Case> {
        let mut all = Vec::new();
        for left in 0..TYPES.len() {
            let one = |what| Case { what, left, right: None, cast: false };
            all.extend(OF_ONE.into_iter().chain(QUERIES).map(one));
            for right in 0..TYPES.len() {
                all.push(Case { what: "cast", left, right: Some(right), cast: true });
                all.extend(OF_TWO.into_iter().map(|what| Case { what, left, right: Some(right), cast: false }));
            }
        }
        all
    }

    fn name(&self) -> String {
        let right = self.right.map_or("", |right| TYPES[right].0);
        format!("{}: {} {right}", self.what, TYPES[self.left].0).trim_end().to_owned()
    }

    /// Over the first `count` values of each type.
    fn text(&self, count: usize) -> String {
        let left = table(self.left);
        match self.right {
            None if QUERIES.contains(&self.what) => {
                self.what.replace("from t", &format!("from (select * from {left} where k <= {count}) t"))
            }
            Some(right) if self.cast => {
                format!("select k, cast(v as {}) from {left} where k <= {count} order by k", TYPES[right].1)
            }
            None => {
                format!("select k, {} from {left} where k <= {count} order by k", self.what.replace("$a", "v"))
            }
            Some(right) => {
                let expression = self.what.replace("$a", "a.v").replace("$b", "b.v");
                let (right, few) = (table(right), format!("a.k <= {count} and b.k <= {count}"));
                format!("select a.k, b.k, {expression} from {left} a, {right} b where {few} order by 1, 2")
            }
        }
    }
}

fn table(ty: usize) -> String {
    format!("m_{}", TYPES[ty].0.replace("[]", "_array"))
}

#[test]
fn every_operator_answers_as_postgresql_answers_for_every_two_types() {
    let Some(mut postgres) = Postgres::start() else { return };
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seed = std::env::var("LEDGERSTONE_SEED").map_or(0, |seed| seed.parse().expect("LEDGERSTONE_SEED is a number"));
    println!("LEDGERSTONE_SEED={seed}");
    let mut cases = Case::all();
    let only = std::env::var("LEDGERSTONE_CASE").ok();
    if let Some(only) = &only {
        cases.retain(|case| case.name().contains(only.as_str()));
    } else if !long() {
        let rng = SeededRng::new(seed);
        for at in 0..SAMPLE {
            let other = at + (rng.next_u64() % (cases.len() - at) as u64) as usize;
            cases.swap(at, other);
        }
        cases.truncate(SAMPLE);
    }
    let found = runtime.block_on(async {
        let asked = Asked::open(&mut postgres, &server, "matrix").await;
        fill(&asked).await;
        let mut found = Vec::new();
        for case in &cases {
            found.push((case.name(), differences(&asked, case).await));
        }
        found
    });
    judge(&found, long() || only.is_some());
}

async fn fill(asked: &Asked) {
    asked.theirs.batch_execute("set timezone = 'UTC'").await.expect("a time zone");
    for (at, (_, ty, values)) in TYPES.iter().enumerate() {
        let rows: Vec<String> = values.iter().zip(1..).map(|(value, k)| format!("({k}, {value})")).collect();
        let name = table(at);
        asked.both(&format!("create table {name} (k int4 primary key, v {ty})")).await;
        asked.both(&format!("insert into {name} values {}", rows.join(", "))).await;
    }
}

/// In which ways the answers to a case differ, and the first statement that shows it.
async fn differences(asked: &Asked, case: &Case) -> Option<(&'static str, String)> {
    for count in [USUAL, usize::from(u8::MAX)] {
        let text = case.text(count);
        let expected = ask(&asked.theirs, &text).await;
        for (executor, client) in &asked.ours {
            let answer = ask(client, &text).await;
            if let Some(way) = way(&expected, &answer) {
                let shown = format!("{executor}: {text}\n  PostgreSQL: {expected:?}\n  here:       {answer:?}");
                return Some((way, shown));
            }
        }
        // What is wrong in itself is so over any values.
        if expected.as_ref().is_err_and(|state| state.starts_with("42")) {
            break;
        }
    }
    None
}

/// How an answer differs, in the words of the list.
fn way(expected: &Answer, found: &Answer) -> Option<&'static str> {
    match (expected, found) {
        (Ok(expected), Ok(found)) => (expected != found).then_some("values"),
        (Err(expected), Ok(_)) => Some(if expected.starts_with("42") { "accepted" } else { "no error" }),
        (Ok(_), Err(found)) => Some(match found.get(..2) {
            Some("0A" | "42") => "refused",
            _ => "error",
        }),
        (Err(expected), Err(found)) => (expected.get(..2) != found.get(..2)).then_some("other error"),
    }
}

/// The listed cases and the ways in which they differ.
fn known() -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    let mut way = "";
    for line in include_str!("matrix.known").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(named) => way = named,
            None => assert!(known.insert(line.to_owned(), way.to_owned()).is_none(), "{line} is listed twice"),
        }
    }
    known
}

/// `whole`: what is listed and does not differ fails as well.
fn judge(found: &[(String, Option<(&'static str, String)>)], whole: bool) {
    let known = known();
    let (mut failures, mut differing) = (String::new(), 0);
    for (name, difference) in found {
        differing += usize::from(difference.is_some());
        match (known.get(name), difference) {
            (None, None) => {}
            (Some(listed), Some((way, _))) if listed == way => {}
            (_, Some((way, shown))) => {
                let _ = writeln!(failures, "[{way}] {name}\n  {shown}");
            }
            (Some(_), None) if whole => {
                let _ = writeln!(failures, "[stale] {name}");
            }
            (Some(_), None) => {}
        }
    }
    println!("{} cases, of which {differing} differ as listed or fail", found.len());
    assert!(failures.is_empty(), "{failures}");
}
