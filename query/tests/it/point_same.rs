//! Queries for one document by its key, which run by a way of their own, held against the executor of all queries: random
//! tables, documents with fields missing, null, doubled and in any order, keys of every type that are there or are not,
//! own writes, deletions, and errors.
//!
//! `LEDGERSTONE_SEED=n` replays a seed; `LEDGERSTONE_TEST_LONG=1` runs ten times as many.

use ledgerstone_digest::ion::{Limits, Value, parse, to_text};
use ledgerstone_journal::env::SeededRng;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::{Dialect, Response, Session};

use crate::support::{Memory, block_on, told};

const SEEDS: u64 = 12;
const QUERIES: usize = 150;

/// Tables with keys of one type and of several.
const TABLES: [&str; 6] = [
    "CREATE TABLE a (k text PRIMARY KEY, n int, d numeric(8, 2), w date, j jsonb, f float8, c char(4), b bool)",
    "CREATE TABLE b (n numeric, k int8 PRIMARY KEY, t timestamptz, u uuid, x bytea)",
    "CREATE TABLE c (x int, k date PRIMARY KEY, y text NOT NULL DEFAULT 'y')",
    "CREATE TABLE d (p int, q text, v text, PRIMARY KEY (p, q))",
    "CREATE TABLE e (k numeric PRIMARY KEY, v text UNIQUE)",
    "CREATE TABLE g (k uuid PRIMARY KEY, \"K\" text)",
];

/// Queries with their parameters' kinds.
const TEXTS: [(&str, &str); 30] = [
    ("SELECT * FROM a WHERE k = $1", "t"),
    ("SELECT * FROM a WHERE k = 'k' || $1::bigint", "i"),
    ("SELECT j, k, k AS again, f FROM a WHERE $1 = k", "t"),
    ("SELECT n + 1, j -> 'x', upper(k), 7, $2::int FROM a WHERE k = $1", "ti"),
    ("SELECT 1 / n, k FROM a WHERE k = $1", "t"),
    ("SELECT * FROM a WHERE k = $1 AND n > $2", "ti"),
    ("SELECT * FROM a WHERE k = $1 AND j @> '{\"x\": 1}' AND b", "t"),
    ("SELECT * FROM a WHERE k = $1 AND k = $2", "tt"),
    ("SELECT (SELECT max(n) FROM a) AS most, k FROM a WHERE k = $1", "t"),
    ("SELECT b.*, b.k::text FROM b WHERE b.k = $1", "i"),
    ("SELECT n, x, nosuch.t FROM b AS nosuch WHERE k = $1 ORDER BY n", "i"),
    ("SELECT * FROM b WHERE k = $1 + 1 AND n IS NOT NULL", "i"),
    ("SELECT * FROM c WHERE k = $1", "w"),
    ("SELECT k + 1, y FROM c WHERE k = $1 AND x = $2", "wi"),
    ("SELECT * FROM d WHERE q = $2 AND p = $1", "it"),
    ("SELECT v FROM d WHERE p = $1 AND q = $2 AND v <> $2", "it"),
    ("SELECT * FROM e WHERE k = $1", "n"),
    ("SELECT k FROM e WHERE v = $1", "t"),
    ("SELECT _ql_version, e.* FROM e WHERE k = $1", "n"),
    ("SELECT k, \"K\" FROM g WHERE k = $1", "u"),
    ("SELECT * FROM g WHERE k = gen_random_uuid()", ""),
    ("SELECT * FROM a WHERE _ql_id = $1", "t"),
    ("SELECT _ql_version, _ql_txid, h.* FROM history(a) AS h WHERE k = $1 ORDER BY _ql_version", "t"),
    ("SELECT _ql_version, _ql_txid, h.* FROM history(a) AS h WHERE k = $1 ORDER BY _ql_version DESC", "t"),
    ("SELECT n, j, _ql_txtime FROM history(a) WHERE k = $1 AND n > $2 ORDER BY _ql_position, n DESC", "ti"),
    ("SELECT h.*, _ql_deleted FROM history(d) AS h WHERE q = $2 AND p = $1", "it"),
    ("SELECT _ql_version AS at, h.* FROM history(e) AS h WHERE v = $1 ORDER BY at", "t"),
    ("SELECT k, 1 / (k - 3), _ql_version FROM history(e) WHERE k = $1 ORDER BY 3", "n"),
    ("SELECT n FROM history(b) WHERE k = $1 ORDER BY n, _ql_version", "i"),
    ("SELECT * FROM history(g) WHERE k = $1 ORDER BY _ql_block", "u"),
];

#[test]
fn a_query_by_key_answers_as_the_executor_of_all_queries_does() {
    let seeds: Vec<u64> = match std::env::var("LEDGERSTONE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LEDGERSTONE_SEED is a number")],
        Err(_) => (0..SEEDS * if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { 10 } else { 1 }).collect(),
    };
    let (mut rows, mut answers, mut failed, mut found) = (0, 0, 0, 0);
    for seed in seeds {
        let rng = SeededRng::new(seed);
        let mut memory = Memory::new(seed);
        let mut writer = memory.session();
        for table in TABLES {
            told(&mut writer, table).unwrap();
        }
        for _ in 0..60 + rng.below(200) {
            write(&rng, &mut writer);
        }
        // Documents of more revisions than are given out by the short way, and of larger ones.
        for n in 0..[rng.below(40), 230 + rng.below(60)][rng.below(2) as usize] {
            told(&mut writer, &format!("UPDATE a SET n = {n} WHERE k = 'k1'")).unwrap();
        }
        for n in 0..rng.below(40) {
            told(&mut writer, &format!("UPDATE a SET j = '[\"{}\"]' WHERE k = 'k2'", "x".repeat(n as usize * 1000)))
                .unwrap();
        }
        // Fields that no column names, or names otherwise.
        let mut loose = memory.session_of(Dialect::PartiQl);
        for n in 0..12 {
            let names = [["n", "N"], ["N", "d"], ["d", "extra"], ["J", "j"]][rng.below(4) as usize];
            let text = format!("INSERT INTO a VALUE {{'{}': 1, 'k': 'k{n}', '{}': 2}}", names[0], names[1]);
            told(&mut loose, &text).ok();
        }
        drop(loose);
        if rng.one_in(2) {
            drop(writer);
            memory.reopen();
            writer = memory.session();
        }
        // What a transaction has written itself lies over everything else.
        let own = rng.one_in(3);
        let mut one = memory.session();
        let mut other = memory.session();
        told(&mut other, "SET ledgerstone.executor = 'document'").unwrap();
        if own {
            told(&mut writer, "BEGIN").unwrap();
            (0..10).for_each(|_| write(&rng, &mut writer));
        }
        for _ in 0..QUERIES {
            // Histories that have been read grow.
            if !own && rng.one_in(3) {
                write(&rng, &mut writer);
                let k = rng.below(3);
                told(&mut writer, &format!("UPDATE a SET n = {} WHERE k = 'k{k}'", rng.below(3))).unwrap();
            }
            let (text, kinds) = TEXTS[rng.below(TEXTS.len() as u64) as usize];
            let parameters: Vec<Option<Value>> = kinds.chars().map(|kind| parameter(&rng, kind)).collect();
            let (here, there) = if own {
                told(&mut writer, "SAVEPOINT s").unwrap();
                let here = ask(&mut writer, text, &parameters);
                told(&mut writer, "ROLLBACK TO s; SET ledgerstone.executor = 'document'").unwrap();
                let there = ask(&mut writer, text, &parameters);
                told(&mut writer, "ROLLBACK TO s; RESET ledgerstone.executor").unwrap();
                (here, there)
            } else {
                (ask(&mut one, text, &parameters), ask(&mut other, text, &parameters))
            };
            let context = format!("seed {seed}: {text} {parameters:?}");
            match (&here, &there) {
                (Ok((here, short)), Ok((there, _))) => {
                    assert_eq!(here, there, "{context}");
                    rows += here.len();
                    answers += usize::from(!here.is_empty());
                    found += usize::from(*short);
                }
                (Err(here), Err(there)) => {
                    assert_eq!((here.code, &here.message), (there.code, &there.message), "{context}");
                    failed += 1;
                }
                _ => panic!("{context}: {here:?} and {there:?}"),
            }
        }
        // What both may have from one memory, against revisions that are read one by one.
        for n in 0..12 {
            let history = |condition: &str| {
                format!("SELECT _ql_version, _ql_txid, h.* FROM history(a) AS h WHERE {condition} ORDER BY _ql_id, 1")
            };
            let by_key = ask(&mut one, &history(&format!("k = 'k{n}'")), &[]).unwrap().0;
            let by_scan = ask(&mut one, &history(&format!("k || '' = 'k{n}'")), &[]).unwrap().0;
            assert_eq!(by_key, by_scan, "seed {seed}, k{n}");
        }
    }
    println!("{rows} rows in {answers} answers, {found} of them found as documents; {failed} errors");
    assert!(rows > 20 && failed > 0 && found * 2 > answers, "{rows} rows, {found} of {answers} found, {failed} errors");
}

#[test]
fn timeouts_limits_and_redactions_hold_for_queries_by_key() {
    let memory = Memory::new(1);
    let mut session = memory.session();
    told(&mut session, "CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one')").unwrap();
    let one = [Some(Value::int(1))];
    let text = "SELECT v FROM t WHERE k = $1";
    assert_eq!(ask(&mut session, text, &one).unwrap(), (vec![vec!["\"one\"".to_owned()]], true));
    // A statement that is told to stop stops, whichever way it runs.
    told(&mut session, "SET statement_timeout = 1").unwrap();
    let slow = "SELECT v, pg_sleep(5) FROM t WHERE k = $1";
    assert_eq!(ask(&mut session, slow, &one).unwrap_err().code.0, "57014");
    told(&mut session, "RESET statement_timeout").unwrap();
    told(&mut session, "BEGIN; UPDATE t SET v = 'two' WHERE k = 1").unwrap();
    assert_eq!(ask(&mut session, text, &one).unwrap().0, [["\"two\""]]);
    told(&mut session, "DELETE FROM t WHERE k = 1").unwrap();
    assert!(ask(&mut session, text, &one).unwrap().0.is_empty());
    told(&mut session, "ROLLBACK").unwrap();
    assert_eq!(ask(&mut session, text, &one).unwrap().0, [["\"one\""]]);
    // A statement prepared before the table changed is bound anew.
    told(&mut session, "ALTER TABLE t ADD COLUMN w int DEFAULT 3").unwrap();
    assert_eq!(ask(&mut session, "SELECT * FROM t WHERE k = $1", &one).unwrap().0[0].len(), 3);
}

#[test]
fn a_history_that_is_long_or_takes_much_memory_is_not_held_at_once() {
    let mut memory = Memory::new(3);
    let mut session = memory.session();
    told(
        &mut session,
        "CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t SELECT g, '' FROM generate_series(1, 5) AS g(g)",
    )
    .unwrap();
    // Rows of the history, and how many bytes each has.
    let revisions = [(1, 64, 10), (2, 257, 10), (3, 17, 40_000), (4, 16, 40_000)];
    for (key, count, bytes) in revisions {
        for n in 1..count {
            let text = format!("UPDATE t SET v = '{n}{}' WHERE k = {key}", "x".repeat(bytes));
            told(&mut session, &text).unwrap();
        }
    }
    drop(session);
    // From the cache of what was written, and from the journal; and from what is kept of both.
    for _ in 0..2 {
        let mut session = memory.session();
        let text = "SELECT _ql_version, v FROM history(t) WHERE k = $1 ORDER BY _ql_version";
        for (key, count, bytes) in revisions.into_iter().chain(revisions) {
            let (rows, short) = ask(&mut session, text, &[Some(Value::int(key))]).unwrap();
            let versions = rows.iter().map(|row| row[0].parse::<usize>().unwrap());
            assert!(versions.eq(0..count), "{key}");
            assert!(rows.iter().skip(1).all(|row| row[1].len() > bytes), "{key}");
            assert_eq!(short, key == 1 || key == 4, "{key}");
        }
        drop(session);
        memory.reopen();
    }
}

#[test]
fn a_history_is_that_of_its_snapshot_whatever_others_have_read_since() {
    let memory = Memory::new(4);
    let (mut early, mut late) = (memory.session(), memory.session());
    told(&mut late, "CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)").unwrap();
    let text = "SELECT v FROM history(t) WHERE k = $1 ORDER BY _ql_version";
    let one = [Some(Value::int(1))];
    let versions = |session: &mut Session| {
        let (rows, short) = ask(session, text, &one).unwrap();
        assert!(short);
        rows.into_iter().map(|row| row[0].parse().unwrap()).collect::<Vec<u64>>()
    };
    let all = |to: u64| (0..to).collect::<Vec<u64>>();
    for round in 1..6 {
        let before = 1 + (round - 1) * 10;
        told(&mut early, "BEGIN; SELECT 1 FROM t").unwrap();
        for n in before..before + 10 {
            told(&mut late, &format!("UPDATE t SET v = {n} WHERE k = 1")).unwrap();
            assert_eq!(versions(&mut late), all(n + 1));
        }
        assert_eq!(versions(&mut early), all(before));
        assert_eq!(versions(&mut late), all(before + 10));
        told(&mut early, "ROLLBACK").unwrap();
    }
}

#[test]
fn a_history_that_was_read_shows_nothing_that_has_been_redacted_since() {
    let memory = Memory::new(5);
    let mut session = memory.session();
    told(&mut session, "CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v0'), (2, 'v0')")
        .unwrap();
    for n in 1..8 {
        told(&mut session, &format!("UPDATE t SET v = 'v{n}'")).unwrap();
    }
    let text =
        "SELECT v, _ql_id, _ql_block, _ql_data_hash IS NOT NULL FROM history(t) WHERE k = $1 ORDER BY _ql_version";
    let ask = |session: &mut Session, key: i64| {
        let (rows, short) = ask(session, text, &[Some(Value::int(key))]).unwrap();
        assert!(short);
        rows
    };
    let before = [ask(&mut session, 1), ask(&mut session, 2)];
    assert_eq!(before, [ask(&mut session, 1), ask(&mut session, 2)]);
    let strand = memory.database.ledger().strand();
    let table = memory.database.catalogue().table("t").unwrap().id;
    let (document, block) = (before[0][3][1].trim_matches('"'), &before[0][3][2]);
    let redact =
        format!("EXEC REDACT_REVISION '{{strandId: \"{strand}\", sequenceNo: {block}}}', '{table}', '{document}'");
    told(&mut session, &redact).unwrap();
    let mut after = before.clone();
    (after[0][3][0], after[0][3][3]) = ("-".to_owned(), "true".to_owned());
    // What a redacted revision had as its key is not known any more, so the row is not the key's.
    after[0].remove(3);
    for _ in 0..3 {
        assert_eq!([ask(&mut session, 1), ask(&mut session, 2)], after);
    }
}

#[test]
fn a_transaction_that_read_a_key_conflicts_with_who_writes_it() {
    let memory = Memory::new(2);
    let (mut one, mut other) = (memory.session(), memory.session());
    told(&mut one, "CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)").unwrap();
    for (key, write) in [(1, "UPDATE t SET v = 2 WHERE k = 1"), (2, "INSERT INTO t VALUES (2, 2)")] {
        told(&mut one, "BEGIN").unwrap();
        ask(&mut one, "SELECT v FROM t WHERE k = $1", &[Some(Value::int(key))]).unwrap();
        told(&mut one, "INSERT INTO t VALUES (9, 9)").unwrap();
        told(&mut other, write).unwrap();
        assert_eq!(told(&mut one, "COMMIT").unwrap_err().code.0, "40001", "{write}");
        // A key that nobody writes is no reason.
        told(&mut one, "BEGIN").unwrap();
        ask(&mut one, "SELECT v FROM t WHERE k = $1", &[Some(Value::int(7))]).unwrap();
        told(&mut one, &format!("INSERT INTO t VALUES ({}, 9)", key + 20)).unwrap();
        told(&mut other, "UPDATE t SET v = v + 1 WHERE k = 1").unwrap();
        told(&mut one, "COMMIT").unwrap();
    }
}

/// The rows as texts, and whether the row was found as a document.
fn ask(
    session: &mut Session,
    text: &str,
    parameters: &[Option<Value>],
) -> Result<(Vec<Vec<String>>, bool), QueryError> {
    let prepared = session.prepare(text, &[])?;
    match block_on(session.run(&prepared, parameters, true))? {
        Response::Rows { mut rows, .. } => {
            let found: Vec<_> = std::iter::from_fn(|| rows.next_found().map(|found| found.into_row())).collect();
            let short = !found.is_empty();
            let all: Vec<_> = found.into_iter().chain(rows.collect()?).collect();
            let cell = |cell: &Option<Value>| cell.as_ref().map_or("-".to_owned(), to_text);
            Ok((all.iter().map(|row| row.iter().map(cell).collect()).collect(), short))
        }
        _ => panic!("a query answers with rows"),
    }
}

fn write(rng: &SeededRng, session: &mut Session) {
    let n = rng.below(12);
    let text = match rng.below(14) {
        0..3 => format!(
            "INSERT INTO a VALUES ('k{n}', {}, {n}.5, '2020-01-{:02}', '{{\"x\": {}}}', {n}e-3, 'c{n}', true)",
            some(rng),
            n + 1,
            rng.below(3)
        ),
        3 => format!("INSERT INTO a (f, k) VALUES (NULL, 'k{n}')"),
        4 => format!("INSERT INTO b VALUES ({}, {n}, '2020-01-01 00:00:{n}Z', NULL, '\\x0{}')", some(rng), n % 10),
        5 => format!("INSERT INTO c VALUES ({}, '2020-01-{:02}')", some(rng), n + 1),
        6 => format!("INSERT INTO d VALUES ({}, 'q{}', 'v{n}')", n % 4, n % 3),
        7 => format!("INSERT INTO e VALUES ({n}.0, 'k{n}')"),
        8 => format!("INSERT INTO g VALUES ('00000000-0000-0000-0000-00000000000{}', 'K')", n % 10),
        9 => format!("UPDATE a SET n = {}, j = '[1]' WHERE k = 'k{n}'", some(rng)),
        10 => format!("DELETE FROM a WHERE k = 'k{n}'"),
        11 => format!("UPDATE e SET k = k + 1 WHERE k = {n}"),
        12 => format!("DELETE FROM b WHERE k = {n}"),
        _ => format!("UPDATE d SET p = p + 1, v = NULL WHERE p = {} AND q = 'q{}'", n % 4, n % 3),
    };
    // Keys that are taken are refused; inside a transaction that is undone.
    told(session, "SAVEPOINT w").ok();
    if told(session, &text).is_err() {
        told(session, "ROLLBACK TO w").ok();
    }
}

fn some(rng: &SeededRng) -> String {
    if rng.one_in(3) { "NULL".to_owned() } else { (rng.below(7) as i64 - 2).to_string() }
}

fn parameter(rng: &SeededRng, kind: char) -> Option<Value> {
    if rng.one_in(12) {
        return None;
    }
    let n = rng.below(14);
    Some(match kind {
        't' if rng.one_in(3) => Value::string(format!("q{}", n % 4)),
        't' => Value::string(format!("k{n}")),
        'i' => Value::int(n as i64 - 1),
        'n' => parse(["1", "1.0", "100e-2", "7.", "-0.0", "3.5"][n as usize % 6], &Limits::default()).unwrap(),
        'w' => parse(&format!("2020-01-{:02}", n + 1), &Limits::default()).unwrap(),
        'u' => Value::string(format!("00000000-0000-0000-0000-00000000000{}", n % 10)),
        _ => unreachable!("a kind of parameter"),
    })
}
