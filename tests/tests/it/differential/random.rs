//! Random tables, rows and statements of plain SQL, asked of every executor and of PostgreSQL.
//!
//! Rows are compared as a bag, their order by the keys that the statement shows, and a LIMIT by how many there are.
//! Trailing zeros of a number are not compared: which of two equal values stands for a group is open (`tests/corpus` has
//! them). Where only some answer with an error about a value, the rest has not computed that value: SQL leaves the order of
//! conditions open.
//!
//! `LEDGERSTONE_SEED=n` replays a seed; `LEDGERSTONE_TEST_LONG=1` asks 20,000 statements.

#[path = "../../../../query/tests/it/generated.rs"]
mod generated;

use std::fmt::Write as _;

use ledgerstone_digest::ion::{Struct, Value, to_text};

use self::generated::{Manner, Pick, Statement};
use super::{Answer, Asked, ask, long};
use crate::harness::Server;
use crate::postgres::Postgres;

/// Databases, and statements on each.
const SEEDS: u64 = 6;
const SEEDS_LONG: u64 = 200;
const STATEMENTS: usize = 100;

/// What came of the statements.
#[derive(Default)]
struct Tally {
    statements: usize,
    refused: usize,
    open: usize,
    rows: usize,
}

#[test]
fn random_statements_are_answered_as_postgresql_answers_them() {
    let Some(mut postgres) = Postgres::start() else { return };
    let seeds: Vec<u64> = match std::env::var("LEDGERSTONE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LEDGERSTONE_SEED is a number")],
        Err(_) => (0..if long() { SEEDS_LONG } else { SEEDS }).collect(),
    };
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut tally = Tally::default();
    for seed in seeds {
        runtime.block_on(async {
            let asked = Asked::open(&mut postgres, &server, &format!("random_{seed}")).await;
            one_database(&asked, seed, &mut tally).await;
        });
    }
    let Tally { statements, refused, open, rows } = tally;
    println!("{statements} statements: {rows} rows, {refused} refused by all, {open} by some");
    assert!(open * 10 < statements, "too many answers are open");
    assert!(rows > statements, "there are hardly any rows");
}

async fn one_database(asked: &Asked, seed: u64, tally: &mut Tally) {
    let mut pick = Pick::new(seed, true);
    let manner = pick.manner();
    let columns: Vec<String> = pick.columns.iter().map(|(name, ty, _)| format!("{name} {ty}")).collect();
    let mut k = 0;
    for name in ["a", "b", "c"] {
        asked.both(&format!("create table {name} ({}, primary key (k))", columns.join(", "))).await;
        let index = 1 + pick.below(8) as usize;
        let index = pick.columns[index].0;
        asked.both(&format!("create index on {name} ({index})")).await;
    }
    for _ in 0..3 {
        for name in ["a", "b", "c"] {
            asked.both(&change(&mut pick, &manner, name, &mut k)).await;
        }
    }
    for number in 0..STATEMENTS {
        let statement = pick.statement(&[]);
        if let Err(why) = compare(asked, &statement, tally).await {
            panic!("LEDGERSTONE_SEED={seed}, statement {number}: {}\n{why}", statement.text());
        }
    }
}

/// Inserts, updates and deletes a few rows.
fn change(pick: &mut Pick, manner: &Manner, name: &str, k: &mut i64) -> String {
    let mut script = String::new();
    for _ in 0..1 + pick.below(12) {
        *k += 1;
        let row = fields(pick.document(*k, manner, false));
        let values: Vec<String> = pick.columns.iter().map(|(column, ..)| literal(row.get(column))).collect();
        let _ = writeln!(script, "insert into {name} values ({});", values.join(", "));
    }
    for _ in 0..pick.below(4) {
        let (old, new) = (1 + pick.below(*k as u64), fields(pick.document(*k, manner, false)));
        let set: Vec<String> =
            pick.columns[1..].iter().map(|(column, ..)| format!("{column} = {}", literal(new.get(column)))).collect();
        let _ = writeln!(script, "update {name} set {} where k = {old};", set.join(", "));
    }
    let _ = writeln!(script, "delete from {name} where k = {};", 1 + pick.below(*k as u64));
    script
}

fn fields(document: Value) -> Struct {
    match document {
        Value::Struct(fields) => fields,
        other => panic!("{other:?} is no document"),
    }
}

fn literal(value: Option<&Value>) -> String {
    match value {
        None => "null".to_owned(),
        Some(Value::String(text)) => format!("'{}'", text.replace('\'', "''")),
        Some(Value::Float(f)) => format!("'{f}'"),
        // A time of unknown offset is one without zone; Ion ends a date with a T.
        Some(time @ Value::Timestamp(_)) => format!("'{}'", to_text(time).replace("-00:00", "").trim_end_matches('T')),
        Some(other) => to_text(other),
    }
}

async fn compare(asked: &Asked, statement: &Statement, tally: &mut Tally) -> Result<(), String> {
    let (whole, body) = (statement.text(), &statement.body);
    let expected = ask(&asked.theirs, body).await;
    let counted = ask(&asked.theirs, &whole).await;
    tally.statements += 1;
    tally.rows += expected.as_ref().map_or(0, Vec::len);
    let (mut refusing, mut answering) = (usize::from(expected.is_err()), usize::from(expected.is_ok()));
    for (executor, client) in &asked.ours {
        let answer = ask(client, body).await;
        same(&expected, &answer, &statement.keys).map_err(|why| format!("{executor}: {why}"))?;
        refusing += usize::from(answer.is_err());
        answering += usize::from(answer.is_ok());
        let answer = ask(client, &whole).await;
        if let (Ok(expected), Ok(found)) = (&counted, &answer)
            && expected.len() != found.len()
        {
            return Err(format!("{executor}: {} rows, {} in PostgreSQL", found.len(), expected.len()));
        }
    }
    match (refusing, answering) {
        (_, 0) => tally.refused += 1,
        (0, _) => {}
        _ => tally.open += 1,
    }
    Ok(())
}

fn same(expected: &Answer, found: &Answer, keys: &[usize]) -> Result<(), String> {
    let differs = || Err(format!("\n  PostgreSQL: {expected:?}\n  here:       {found:?}"));
    let (expected, found) = match (expected, found) {
        (Ok(expected), Ok(found)) => (expected, found),
        // Values may be wrong for an expression; statements here are not wrong in themselves.
        (Err(state), Ok(_)) | (Ok(_), Err(state)) => return if state.starts_with("22") { Ok(()) } else { differs() },
        (Err(a), Err(b)) => return if a.starts_with("22") && b.starts_with("22") { Ok(()) } else { differs() },
    };
    let shown = |rows: &Vec<Vec<Option<String>>>| {
        let mut bag: Vec<Vec<Option<String>>> =
            rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().map(plain_number)).collect()).collect();
        let in_order: Vec<_> =
            bag.iter().map(|row| keys.iter().map(|key| row[*key].clone()).collect::<Vec<_>>()).collect();
        bag.sort();
        (bag, in_order)
    };
    if shown(expected) == shown(found) { Ok(()) } else { differs() }
}

/// A number without the zeros that end its fraction.
fn plain_number(cell: &str) -> String {
    let number = cell.strip_prefix('-').unwrap_or(cell);
    let is_number = number.contains('.') && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { cell.trim_end_matches('0').trim_end_matches('.').to_owned() } else { cell.to_owned() }
}
