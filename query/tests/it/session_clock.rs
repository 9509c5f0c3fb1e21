//! The stop after a clock that jumped, and the statement that lifts it.

use std::sync::Arc;

use ledgerstone_journal::Env;
use ledgerstone_journal::env::ManualClock;

use ledgerstone_query::session::Dialect;

use crate::support::{Memory, open_instance, session, told};

#[test]
fn an_accepted_clock_lets_writes_go_on() {
    let clock = Arc::new(ManualClock::new(ManualClock::START_MS));
    let memory = Memory::with(Env { clock: clock.clone(), ..Env::memory(3) });
    let mut session = memory.session();
    told(&mut session, "create table t (id int primary key)").unwrap();
    clock.set_wall_ms(ManualClock::START_MS + 3_600_000);
    for _ in 0..2 {
        let error = told(&mut session, "insert into t values (1)").unwrap_err();
        assert_eq!(error.code.as_str(), "55000");
        assert!(error.message.contains("ledgerstone doctor --accept-clock"), "{}", error.message);
    }
    // Reading goes on, and so does asking for this.
    let accepted = told(&mut session, "select ledgerstone_accept_clock() > '2000-01-01'").unwrap();
    assert_eq!(accepted, ["t", "SELECT 1"]);
    assert_eq!(told(&mut session, "insert into t values (1)").unwrap(), ["INSERT 0 1"]);
}

#[test]
fn what_is_read_as_of_this_moment_is_a_read_of_what_is_current() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let (mut a, mut b) = (session(&instance, Dialect::Sql), session(&instance, Dialect::Sql));
    for table in ["x", "y"] {
        told(&mut a, &format!("CREATE TABLE {table} (id int PRIMARY KEY, v int)")).unwrap();
        told(&mut a, &format!("INSERT INTO {table} VALUES (1, 0)")).unwrap();
    }
    let began = told(&mut a, "SELECT clock_timestamp()").unwrap()[0].replace('"', "");
    std::thread::sleep(std::time::Duration::from_millis(5));
    // Each reads what the other writes; the one that began first reads it as of a time behind the other's commit.
    for (moment, conflicts) in [("clock_timestamp()", true), (&format!("TIMESTAMPTZ '{began}'"), false)] {
        told(&mut a, "BEGIN").unwrap();
        told(&mut a, "SELECT v FROM x").unwrap();
        told(&mut b, "UPDATE y SET v = v + 1").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let seen = told(&mut a, &format!("SELECT v FROM y AS OF TIMESTAMP {moment}")).unwrap();
        assert_eq!(seen[0], "0", "what was committed after the transaction began is not seen");
        told(&mut a, "UPDATE x SET v = v + 1").unwrap();
        let outcome = told(&mut a, "COMMIT");
        assert_eq!(outcome.err().map(|error| error.code.0), conflicts.then_some("40001"), "{moment}");
    }
}
