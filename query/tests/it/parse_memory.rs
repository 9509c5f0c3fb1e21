//! What the largest statements that are read take in memory, in either dialect. The numbers stand in docs/operations.md.

use std::process::Command;

use ledgerstone_query::{partiql, sql};

/// Says which case a process of its own is to measure.
const CASE: &str = "LEDGERSTONE_PARSE_MEMORY";
/// What is said of a statement of [`TOKENS_MAX`], and of a text of [`ALL_TOKENS_MAX`], in MiB.
const STATEMENT_MIB: u64 = 150;
const TEXT_MIB: u64 = 320;
const TEXT_BYTES_MAX: usize = 4 << 20;
const TOKENS_MAX: usize = 200_000;
const ALL_TOKENS_MAX: usize = 2_000_000;

/// A dialect, what stands before and behind, and what is repeated between; how many tokens the repeated part has, and how
/// many tokens there may be of it.
type Case = (&'static str, &'static str, &'static str, &'static str, usize, usize);

const CASES: [Case; 16] = [
    ("sql", "SELECT ", "1,", "1", 2, TOKENS_MAX),
    ("sql", "SELECT ", "a,", "1", 2, TOKENS_MAX),
    ("sql", "SELECT ", "-1,", "1", 3, TOKENS_MAX),
    ("sql", "SELECT ", "f(),", "1", 4, TOKENS_MAX),
    ("sql", "SELECT a IN (", "1,", "1)", 2, TOKENS_MAX),
    ("sql", "SELECT ", "'',", "1", 2, TOKENS_MAX),
    ("sql", "INSERT INTO t VALUES ", "(1),", "(1)", 4, ALL_TOKENS_MAX),
    ("sql", "INSERT INTO t VALUES ", "(a),", "(1)", 4, ALL_TOKENS_MAX),
    ("sql", "", ";", "SELECT 1", 1, ALL_TOKENS_MAX),
    ("sql", "", "ABORT;", "SELECT 1", 2, ALL_TOKENS_MAX),
    ("partiql", "SELECT VALUE [", "1,", "1]", 2, TOKENS_MAX),
    ("partiql", "SELECT VALUE [", "-a,", "1]", 3, TOKENS_MAX),
    ("partiql", "SELECT VALUE [", "{},", "1]", 3, TOKENS_MAX),
    ("partiql", "INSERT INTO t << ", "1,", "1 >>", 2, ALL_TOKENS_MAX),
    ("partiql", "INSERT INTO t << ", "-a,", "1 >>", 3, ALL_TOKENS_MAX),
    ("partiql", "", "DROP TABLE a;", "DROP TABLE a", 4, ALL_TOKENS_MAX),
];

fn text((_, before, part, behind, tokens, most): Case) -> String {
    let bytes = (TEXT_BYTES_MAX - before.len() - behind.len()) / part.len();
    format!("{before}{}{behind}", part.repeat(bytes.min((most - 20) / tokens)))
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
}

/// Reads one text and says by how much the process has grown at most.
fn measure(case: usize) {
    let text = text(CASES[case]);
    let before = status_kib("VmRSS");
    let read = if CASES[case].0 == "sql" { sql::parse(&text) } else { partiql::parse(&text) };
    let (peak, kept) = (status_kib("VmHWM"), status_kib("VmRSS"));
    let what = read.as_ref().map(Vec::len).map_err(ToString::to_string);
    println!("MEASURED {} {} {}", peak - before, kept - before, what.unwrap());
}

#[test]
fn the_largest_statements_take_no_more_memory_than_is_said() {
    if let Ok(case) = std::env::var(CASE) {
        return measure(case.parse().unwrap());
    }
    let name = "parse_memory::the_largest_statements_take_no_more_memory_than_is_said";
    for (number, case) in CASES.iter().enumerate() {
        // A process for each, whose peak is its own.
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CASE, number.to_string());
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let measured = output.lines().find_map(|line| line.split_once("MEASURED ").map(|(_, numbers)| numbers));
        let measured = measured.unwrap_or_else(|| panic!("{case:?}: {output}"));
        let numbers: Vec<u64> = measured.split(' ').map(|number| number.parse().unwrap()).collect();
        let bytes = text(*case).len();
        println!(
            "{}: {}{}…: {bytes} bytes, peak {} MiB, kept {} MiB",
            case.0,
            case.1,
            case.2,
            numbers[0] >> 10,
            numbers[1] >> 10
        );
        let said = if case.5 == TOKENS_MAX { STATEMENT_MIB } else { TEXT_MIB };
        assert!(numbers[0] >> 10 <= said, "{case:?}: {} MiB", numbers[0] >> 10);
    }
}
