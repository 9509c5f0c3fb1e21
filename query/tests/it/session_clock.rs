//! The stop after a clock that jumped, and the statement that lifts it.

use std::sync::Arc;

use ledgerstone_journal::Env;
use ledgerstone_journal::env::ManualClock;

use crate::support::{Memory, told};

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
