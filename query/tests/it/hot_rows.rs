//! Many statements for one row: the sequencer runs them again on what is pending, so that they share a sync.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ledgerstone_query::database::Database;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::{Dialect, Response, Session};

use crate::support::{Memory, clerk, open_with, told};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL CHECK (n < 1000), note text UNIQUE)";

fn opened(seed: u64) -> Memory {
    let mut memory = Memory::new(seed);
    let mut session = Session::over(memory.database.clone(), clerk(Dialect::Sql));
    told(&mut session, &format!("{TABLE}; INSERT INTO t VALUES (1, 0, 'a'), (2, 0, 'b'), (3, 0, 'c')")).unwrap();
    drop(session);
    memory.database.close().unwrap();
    memory.database = open_with(&memory.env, false);
    memory
}

type Said = Result<Vec<String>, QueryError>;
type Saying = Pin<Box<dyn Future<Output = (Said, Option<u64>)>>>;

/// A statement of a session of its own: what it answers, and the block it takes.
fn say(database: &Arc<Database>, text: &str) -> Saying {
    let (mut session, text) = (Session::over(database.clone(), clerk(Dialect::Sql)), text.to_owned());
    Box::pin(async move {
        let said = async { session.execute(&text).await?.into_iter().map(show).collect() }.await;
        (said, session.take_commit().map(|committed| committed.block))
    })
}

fn show(answer: Response) -> Result<String, QueryError> {
    match answer {
        Response::Rows { mut rows, .. } => {
            let all = rows.collect()?;
            Ok(format!("{} {all:?}", rows.tag()))
        }
        Response::Done { tag } => Ok(tag),
        _ => Ok("another answer".to_owned()),
    }
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// All of them at once, the ledger driven until each has its answer. Also: how often it was driven.
fn together(memory: &Memory, texts: &[String]) -> (Vec<(Said, Option<u64>)>, usize) {
    let mut open: Vec<(usize, Saying)> =
        texts.iter().enumerate().map(|(n, text)| (n, say(&memory.database, text))).collect();
    let mut said: Vec<Option<(Said, Option<u64>)>> = texts.iter().map(|_| None).collect();
    for driven in 0..10_000 {
        open.retain_mut(|(n, saying)| match poll(saying) {
            Some(outcome) => {
                said[*n] = Some(outcome);
                false
            }
            None => true,
        });
        if open.is_empty() {
            return (said.into_iter().flatten().collect(), driven);
        }
        memory.database.ledger().drive();
    }
    panic!("statements wait for ever");
}

fn tell(memory: &Memory, text: &str) -> Vec<String> {
    together(memory, &[text.to_owned()]).0.remove(0).0.unwrap()
}

fn increments(count: usize) -> Vec<String> {
    vec!["UPDATE t SET n = n + 1 WHERE id = 1 RETURNING n".to_owned(); count]
}

#[test]
fn statements_for_one_row_share_a_sync_and_lose_nothing() {
    let memory = opened(1);
    // The first to meet a conflict wait; from then on it is known that the row is hot.
    together(&memory, &increments(3));
    let before = memory.database.run_again_count();
    let (said, driven) = together(&memory, &increments(40));
    assert_eq!(driven, 1, "all of them are in one batch");
    assert_eq!(memory.database.run_again_count() - before, 39);
    let mut by_block: Vec<(u64, String)> =
        said.into_iter().map(|(said, block)| (block.unwrap(), said.unwrap().remove(0))).collect();
    by_block.sort_unstable();
    let blocks: Vec<u64> = by_block.iter().map(|(block, _)| *block).collect();
    assert!(blocks.windows(2).all(|pair| pair[1] == pair[0] + 1), "{blocks:?}");
    for (n, (_, answer)) in by_block.iter().enumerate() {
        assert!(answer.contains(&format!("{}", n + 4)), "{answer}: each answers what it has written itself");
    }
    let history = "SELECT count(*), max(_ql_version) FROM history(t) WHERE id = 1";
    assert!(tell(&memory, history)[0].contains("44"), "every version is there once: {:?}", tell(&memory, history));
}

#[test]
fn what_is_pending_decides_what_a_statement_finds() {
    for (first, second, expected) in [
        ("DELETE FROM t WHERE id = 1", "UPDATE t SET n = n + 1 WHERE id = 1", "UPDATE 0"),
        ("UPDATE t SET id = 9 WHERE id = 1", "UPDATE t SET n = 7 WHERE id = 1", "UPDATE 0"),
        ("UPDATE t SET n = 5 WHERE id = 1", "DELETE FROM t WHERE id = 1 AND n = 0", "DELETE 0"),
        ("UPDATE t SET note = 'x' WHERE id = 1", "UPDATE t SET n = 3 WHERE note = 'a'", "UPDATE 0"),
    ] {
        let memory = opened(2);
        together(&memory, &increments(2));
        tell(&memory, "UPDATE t SET n = 0 WHERE id = 1");
        let (said, _) = together(&memory, &[first.to_owned(), second.to_owned()]);
        assert!(said[0].0.as_ref().unwrap()[0].contains('1'), "{first}: {said:?}");
        assert!(said[1].0.as_ref().unwrap()[0].starts_with(expected), "{first}; {second}: {said:?}");
    }
}

#[test]
fn a_statement_that_pending_state_makes_fail_says_so() {
    let memory = opened(3);
    together(&memory, &increments(2));
    let texts = ["UPDATE t SET n = 999 WHERE id = 1", "UPDATE t SET n = n + 1 WHERE id = 1"].map(str::to_owned);
    let (said, _) = together(&memory, &texts);
    assert!(said[0].0.is_ok());
    assert_eq!(said[1].0.as_ref().unwrap_err().code.to_string(), "23514");
    let texts = ["UPDATE t SET note = 'z' WHERE id = 2", "UPDATE t SET note = 'z' WHERE id = 3"].map(str::to_owned);
    let (said, _) = together(&memory, &texts);
    assert!(said[0].0.is_ok());
    assert_eq!(said[1].0.as_ref().unwrap_err().code.to_string(), "23505");
}

/// All commits of the ledger wait for the sequencer.
#[test]
fn what_waits_or_may_take_long_is_run_again_by_its_session_and_not_by_the_sequencer() {
    let memory = opened(4);
    told(&mut Session::over(memory.database.clone(), clerk(Dialect::Sql)), "SELECT 1").unwrap();
    together(&memory, &increments(3));
    for set in [
        "n = n + 1, note = pg_sleep(0.01)::text || id",
        "n = n + 1, note = pg_try_advisory_xact_lock(1)::text || id",
        "n = (random() * 100)::int",
        "n = n + length(repeat('x', 10))",
        "n = CASE WHEN note LIKE '%a%' THEN n + 1 ELSE n + 2 END",
        "n = CASE WHEN note ~ '(a|b)*c' THEN n + 1 ELSE n + 2 END",
        "n = n + (SELECT count(*) FROM t)::int",
        "n = n + jsonb_array_length('[1, 2]'::jsonb)",
        "n = (n::numeric * 2)::int % 100",
    ] {
        let before = memory.database.run_again_count();
        let text = format!("UPDATE t SET {set} WHERE id = 1");
        let (said, _) = together(&memory, &vec![text.clone(); 3]);
        for (said, _) in said {
            assert_eq!(said.unwrap(), ["UPDATE 1"], "{text}");
        }
        assert_eq!(memory.database.run_again_count(), before, "{text}");
        // It is hot still.
        tell(&memory, "UPDATE t SET n = 0 WHERE id = 1");
        together(&memory, &increments(3));
        assert!(memory.database.run_again_count() > before, "{text}");
    }
    // Where it has to look at all rows, there may be more of them by then.
    let before = memory.database.run_again_count();
    together(&memory, &vec!["UPDATE t SET n = n + 1 WHERE n >= 0".to_owned(); 3]);
    assert_eq!(memory.database.run_again_count(), before);
}

/// Whatever order the sequencer finds, it is the order of the blocks: one by one in that order, every statement answers
/// the same.
#[test]
fn statements_together_answer_as_one_by_one_in_the_order_of_their_blocks() {
    let seed = std::env::var("LEDGERSTONE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("LEDGERSTONE_SEED={seed}");
    let mut random = seed;
    let mut below = |n: u64| {
        random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    let (memory, alone) = (opened(seed), opened(seed));
    for round in 0..100 {
        let texts: Vec<String> = (0..2 + below(12))
            .map(|_| {
                let (id, other, n) = (1 + below(3), 1 + below(4), below(50));
                match below(20) {
                    0..=14 => format!("UPDATE t SET n = n + {n} WHERE id = {id} RETURNING id, n, note"),
                    15 => format!("UPDATE t SET n = {n} WHERE n < {n} RETURNING id, n"),
                    16 => format!("DELETE FROM t WHERE id = {id} RETURNING n"),
                    17 => format!("INSERT INTO t VALUES ({other}, {n}, 'note{round}{id}') RETURNING n"),
                    18 => format!("UPDATE t SET id = {other}, n = 0 WHERE id = {id} RETURNING n, note"),
                    _ => format!("UPDATE t SET note = 'n{other}' WHERE id = {id} RETURNING note"),
                }
            })
            .collect();
        let (said, _) = together(&memory, &texts);
        let mut committed: Vec<(u64, &String, &Said)> =
            said.iter().zip(&texts).filter_map(|((said, block), text)| Some(((*block)?, text, said))).collect();
        committed.sort_unstable_by_key(|(block, ..)| *block);
        for (_, text, said) in committed {
            assert_eq!(said.as_ref().unwrap(), &tell(&alone, text), "round {round}: {text}");
        }
        let all = "SELECT id, n, note FROM t ORDER BY id";
        assert_eq!(tell(&memory, all), tell(&alone, all), "round {round}: {texts:?}");
    }
    let run_again = memory.database.run_again_count();
    assert!(run_again > 20, "{run_again}");
}
