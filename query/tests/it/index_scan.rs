//! An index and a full scan give the same answer: two tables with the same history, one of them with indexes, are asked
//! the same, now and as of every block, with values of every Ion type.
//!
//! `LEDGERSTONE_SEED=n` replays a seed; `LEDGERSTONE_TEST_LONG=1` runs ten times as many.

use ledgerstone_journal::env::SeededRng;
use ledgerstone_query::session::{Dialect, Session};

use crate::support::{Memory, clerk, told};

/// What the fields hold: equal and unequal numbers, texts, nulls with and without types, containers, instants that are
/// equal in other words. Backticks make Ion of it.
const VALUES: [&str; 34] = [
    "`1`",
    "`1.0`",
    "`1.00`",
    "`1e0`",
    "`2`",
    "`-0.0`",
    "`0`",
    "`-0e0`",
    "`+inf`",
    "`nan`",
    "`10000000000000000000000`",
    "`'1'`",
    "`\"1\"`",
    "`sym`",
    "`\"sym\"`",
    "`\"\"`",
    "`true`",
    "`false`",
    "`null`",
    "`null.int`",
    "`null.string`",
    "`2019T`",
    "`2019-01-01T00:00Z`",
    "`2019-01-01T00:00:00.000Z`",
    "`2019-01-01T01:00+01:00`",
    "`{{AQID}}`",
    "`{{\"abc\"}}`",
    "`[1, 2]`",
    "`[1, 2.0]`",
    "`{a: 1, b: 2}`",
    "`{b: 2, a: 1}`",
    "`(1 2)`",
    "`note::1`",
    "`2019-01-01`",
];
const STEPS: usize = 60;
const SEEDS: u64 = 6;

struct Pair {
    rng: SeededRng,
    session: Session,
    memory: Memory,
    keys: u64,
    /// Fields with an index.
    indexed: Vec<&'static str>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let memory = Memory::new(seed);
        let session = Session::over(memory.database.clone(), clerk(Dialect::PartiQl));
        let mut pair = Pair { rng: SeededRng::new(seed), session, memory, keys: 0, indexed: Vec::new() };
        pair.run("CREATE TABLE indexed");
        pair.run("CREATE TABLE plain");
        pair
    }

    fn run(&mut self, text: &str) -> Vec<String> {
        let mut rows = told(&mut self.session, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        rows.pop();
        rows.sort();
        rows
    }

    /// The same done to both tables, in one block.
    fn both(&mut self, text: &str) {
        self.run("BEGIN");
        for table in ["indexed", "plain"] {
            self.run(&text.replace("$t", table));
        }
        self.run("COMMIT");
    }

    fn value(&mut self) -> &'static str {
        VALUES[self.rng.below(VALUES.len() as u64) as usize]
    }

    fn step(&mut self) {
        let key = self.rng.below(self.keys.max(1));
        match self.rng.below(12) {
            0..5 => {
                let (a, b) = (self.value(), self.value());
                // A field may be missing.
                let b = if self.rng.one_in(4) { String::new() } else { format!(", 'b': {b}") };
                self.keys += 1;
                let key = self.keys;
                self.both(&format!("INSERT INTO $t {{'k': {key}, 'a': {a}{b}}}"));
            }
            5..8 => {
                let value = self.value();
                self.both(&format!("UPDATE $t AS x SET x.a = {value} WHERE x.k = {key}"));
            }
            8 => self.both(&format!("FROM $t AS x WHERE x.k = {key} REMOVE x.b")),
            9 => self.both(&format!("DELETE FROM $t AS x WHERE x.k = {key}")),
            // By the index itself.
            10 => {
                let (value, other) = (self.value(), self.value());
                self.both(&format!("UPDATE $t AS x SET x.b = {other} WHERE x.a = {value}"));
            }
            _ => {
                let field = if self.rng.one_in(2) { "a" } else { "b" };
                if !self.indexed.contains(&field) {
                    self.run(&format!("CREATE INDEX ON indexed ({field})"));
                    self.indexed.push(field);
                }
            }
        }
    }

    fn ask(&mut self, seed: u64, view: &str) {
        let (v, w) = (self.value(), self.value());
        let field = if self.rng.one_in(2) { "a" } else { "b" };
        let conditions = [
            format!("x.{field} = {v}"),
            format!("x.{field} IN ({v}, {w})"),
            format!("{v} = x.{field} AND x.k > 0"),
            format!("x.a = {v} AND x.b = {w}"),
            format!("x.{field} = {v} OR x.k = 1"),
            format!("x.{field} IS NULL"),
        ];
        for condition in conditions {
            let asked = |table: &str| format!("SELECT VALUE x.k FROM {table}{view} AS x WHERE {condition}");
            let (with, without) = (asked("indexed"), asked("plain"));
            let (with_index, by_scan) = (self.run(&with), self.run(&without));
            assert_eq!(with_index, by_scan, "LEDGERSTONE_SEED={seed}: {with}");
        }
    }
}

#[test]
fn an_index_and_a_scan_give_the_same_answer_as_of_every_block() {
    let long = std::env::var_os("LEDGERSTONE_TEST_LONG").is_some();
    let seeds = match std::env::var("LEDGERSTONE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..if long { 10 * SEEDS } else { SEEDS },
    };
    let mut used = 0;
    for seed in seeds {
        println!("LEDGERSTONE_SEED={seed}");
        let mut pair = Pair::new(seed);
        for _ in 0..STEPS {
            pair.step();
            pair.ask(seed, "");
        }
        for field in pair.indexed.clone() {
            let plan = |table: &str| format!("EXPLAIN SELECT VALUE x.k FROM {table} AS x WHERE x.{field} = `1`");
            let (with, without) = (pair.run(&plan("indexed")).join("\n"), pair.run(&plan("plain")).join("\n"));
            assert!(with.contains("Index lookup") && !without.contains("Index lookup"), "{with}\n{without}");
            used += 1;
        }
        let last = pair.memory.database.ledger().last_block().unwrap().unwrap();
        // The tables were made in the first two blocks.
        for block in 1..=last {
            pair.ask(seed, &format!(" AS OF BLOCK {block}"));
        }
        // Rows read from files, and an index that was made anew.
        drop(std::mem::replace(
            &mut pair.session,
            Session::over(pair.memory.database.clone(), clerk(Dialect::PartiQl)),
        ));
        pair.memory.reopen();
        pair.session = Session::over(pair.memory.database.clone(), clerk(Dialect::PartiQl));
        for _ in 0..20 {
            let block = 1 + pair.rng.below(last);
            pair.ask(seed, &format!(" AS OF BLOCK {block}"));
            pair.ask(seed, "");
        }
    }
    assert!(used > 0, "no index was ever made");
}
