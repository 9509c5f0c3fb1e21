//! Many rows added by one statement: they are encoded while their transaction is open, and mean what single rows mean.

use ledgerstone_query::session::Session;

use crate::support::{Memory, told};

fn session(memory: &Memory) -> Session {
    let mut session = memory.session();
    told(&mut session, "CREATE TABLE s (id int PRIMARY KEY, v text, n numeric(6,2))").unwrap();
    session
}

fn say(session: &mut Session, text: &str) -> String {
    match told(session, text) {
        Ok(lines) => lines.join(" "),
        Err(error) => match error.detail {
            Some(detail) if error.code.to_string() == "23505" => format!("23505 {detail}"),
            _ => error.code.to_string(),
        },
    }
}

fn says(session: &mut Session, dialogue: &[(&str, &str)]) {
    for (text, answer) in dialogue {
        assert_eq!(say(session, text), *answer, "{text}");
    }
}

/// Rows with ids from `from` to `to`.
fn load(from: i32, to: i32) -> String {
    format!("INSERT INTO s SELECT g, 'r' || g, g / 100.0 FROM generate_series({from}, {to}) g")
}

#[test]
fn what_is_loaded_is_read_and_changed_in_its_transaction_and_after() {
    let mut memory = Memory::new(1);
    let mut s = session(&memory);
    let all = "SELECT count(*), sum(id), sum(n), min(v), max(v) FROM s";
    says(
        &mut s,
        &[
            ("INSERT INTO s VALUES (0, 'first', 1)", "INSERT 0 1"),
            ("BEGIN", "BEGIN"),
            (&load(1, 1000), "INSERT 0 1000"),
            (all, "1001|500500|5006.00|first|r999 SELECT 1"),
            ("SELECT v, n FROM s WHERE id = 700", "r700|7.00 SELECT 1"),
            ("SELECT id FROM s WHERE id > 997 ORDER BY id DESC", "1000 999 998 SELECT 3"),
            ("UPDATE s SET v = 'changed' WHERE id = 700", "UPDATE 1"),
            ("UPDATE s SET id = 2000 WHERE id = 701", "UPDATE 1"),
            ("DELETE FROM s WHERE id BETWEEN 1 AND 500", "DELETE 500"),
            ("SAVEPOINT a", "SAVEPOINT"),
            (&load(3000, 3600), "INSERT 0 601"),
            ("DELETE FROM s WHERE id = 3000", "DELETE 1"),
            ("SELECT count(*) FROM s", "1101 SELECT 1"),
            ("ROLLBACK TO a", "ROLLBACK"),
            ("SELECT count(*) FROM s", "501 SELECT 1"),
            (&load(1, 300), "INSERT 0 300"),
            ("COMMIT", "COMMIT"),
        ],
    );
    for round in 0..2 {
        says(
            &mut s,
            &[
                ("SELECT count(*), sum(id) FROM s", "801|421699 SELECT 1"),
                ("SELECT v FROM s WHERE id = 700", "changed SELECT 1"),
                ("SELECT v FROM s WHERE id = 701", "SELECT 0"),
                ("SELECT v FROM s WHERE id = 2000", "r701 SELECT 1"),
                ("SELECT v FROM s WHERE id = 300", "r300 SELECT 1"),
                ("SELECT v FROM s WHERE id = 301", "SELECT 0"),
            ],
        );
        if round == 0 {
            memory.reopen();
            s = memory.session();
        }
    }
}

#[test]
fn a_key_that_is_taken_refuses_the_whole_load() {
    let memory = Memory::new(2);
    let mut s = session(&memory);
    says(
        &mut s,
        &[
            ("INSERT INTO s VALUES (900, 'x', 0)", "INSERT 0 1"),
            (&load(1, 1000), "23505 Key (id)=(900) already exists."),
            ("SELECT count(*) FROM s", "1 SELECT 1"),
            (
                "INSERT INTO s SELECT g % 500, 'x', 0 FROM generate_series(1, 501) g",
                "23505 Key (id)=(1) already exists.",
            ),
            ("INSERT INTO s SELECT g, 'x', 0 / (g - 300) FROM generate_series(1, 501) g", "22012"),
            ("BEGIN", "BEGIN"),
            (&load(1, 400), "INSERT 0 400"),
            (&load(400, 899), "23505 Key (id)=(400) already exists."),
            ("ROLLBACK", "ROLLBACK"),
            ("BEGIN", "BEGIN"),
            (&load(1, 400), "INSERT 0 400"),
            ("INSERT INTO s VALUES (17, 'x', 0)", "23505 Key (id)=(17) already exists."),
            ("ROLLBACK", "ROLLBACK"),
            ("BEGIN", "BEGIN"),
            ("DELETE FROM s", "DELETE 1"),
            (&load(1, 1000), "INSERT 0 1000"),
            ("COMMIT", "COMMIT"),
            ("SELECT count(*) FROM s", "1000 SELECT 1"),
        ],
    );
}

#[test]
fn loads_are_judged_against_what_others_committed_meanwhile() {
    let memory = Memory::new(3);
    let (mut a, mut b) = (session(&memory), memory.session());
    // A row, then another load, came between.
    for (key, between) in [(1300, "INSERT INTO s VALUES (1300, 'b', 0)".to_owned()), (2000, load(2000, 2299))] {
        says(&mut a, &[("BEGIN", "BEGIN"), (&load(key - 200, key + 99), "INSERT 0 300")]);
        assert!(say(&mut b, &between).starts_with("INSERT"));
        says(&mut a, &[("COMMIT", &format!("23505 Key (id)=({key}) already exists."))]);
    }
    // What was given back is free again, whoever had it.
    says(
        &mut a,
        &[("BEGIN", "BEGIN"), (&load(1200, 1499), "23505 Key (id)=(1300) already exists."), ("ROLLBACK", "ROLLBACK")],
    );
    says(&mut a, &[("BEGIN", "BEGIN"), (&load(1000, 1299), "INSERT 0 300")]);
    says(&mut b, &[("DELETE FROM s WHERE id >= 1300", "DELETE 301"), (&load(5000, 5299), "INSERT 0 300")]);
    says(&mut a, &[("COMMIT", "COMMIT"), ("SELECT count(*) FROM s", "600 SELECT 1")]);
    says(&mut b, &[(&load(1300, 1600), "INSERT 0 301"), ("DELETE FROM s WHERE id = 1400", "DELETE 1")]);
    says(
        &mut a,
        &[
            ("INSERT INTO s VALUES (1400, 'again', 0)", "INSERT 0 1"),
            (&load(1400, 1700), "23505 Key (id)=(1400) already exists."),
        ],
    );
}

#[test]
fn loads_that_are_noted_whole_are_judged_the_same() {
    let memory = Memory::new(6);
    let (mut a, mut b) = (session(&memory), memory.session());
    for (key, between) in [(10_000, "INSERT INTO s VALUES (10000, 'b', 0)".to_owned()), (30_000, load(30_000, 34_999))]
    {
        says(&mut a, &[("BEGIN", "BEGIN"), (&load(key - 4_999, key), "INSERT 0 5000")]);
        assert!(say(&mut b, &between).starts_with("INSERT"));
        says(&mut a, &[("COMMIT", &format!("23505 Key (id)=({key}) already exists."))]);
    }
    says(&mut a, &[("BEGIN", "BEGIN"), (&load(50_000, 54_999), "INSERT 0 5000")]);
    says(&mut b, &[(&load(60_000, 64_999), "INSERT 0 5000"), ("DELETE FROM s WHERE id = 60001", "DELETE 1")]);
    says(
        &mut a,
        &[
            ("COMMIT", "COMMIT"),
            ("SELECT count(*) FROM s", "15000 SELECT 1"),
            ("INSERT INTO s VALUES (60001, 'again', 0)", "INSERT 0 1"),
            ("INSERT INTO s VALUES (60001, 'and again', 0)", "23505 Key (id)=(60001) already exists."),
            ("INSERT INTO s VALUES (60002, 'x', 0)", "23505 Key (id)=(60002) already exists."),
        ],
    );
}

#[test]
fn more_loads_than_are_noted_whole_are_judged_the_same() {
    let memory = Memory::new(7);
    let (mut old, mut other) = (session(&memory), memory.session());
    // While this snapshot is open nothing that comes after it is forgotten.
    for (read, conflicts) in [(7_005, true), (23_005, true), (23_905, false)] {
        say(&mut other, "DELETE FROM s");
        says(&mut old, &[("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN")]);
        say(&mut old, &format!("SELECT v FROM s WHERE id = {read}"));
        for at in 0..24 {
            says(&mut other, &[(&load(at * 1_000, at * 1_000 + 299), "INSERT 0 300")]);
        }
        for at in 0..24 {
            let key = at * 1_000 + 299;
            let taken = format!("23505 Key (id)=({key}) already exists.");
            says(
                &mut other,
                &[(&load(key, key + 300), &taken), (&format!("INSERT INTO s VALUES ({key}, 'x', 0)"), &taken)],
            );
        }
        say(&mut old, "INSERT INTO s VALUES (-1, 'a', 0)");
        says(&mut old, &[("COMMIT", if conflicts { "40001" } else { "COMMIT" })]);
    }
}

#[test]
fn whoever_read_that_a_key_is_free_conflicts_with_a_load_that_takes_it() {
    let memory = Memory::new(4);
    let (mut a, mut b) = (session(&memory), memory.session());
    let mut from = 0;
    let reads = [
        ("SELECT v FROM s WHERE id = ?", true),
        ("SELECT count(*) FROM s WHERE id BETWEEN ? AND ?", true),
        ("SELECT count(*) FROM s", true),
        ("SELECT v FROM s WHERE id = -1", false),
        ("SELECT count(*) FROM s WHERE id BETWEEN -20 AND -10", false),
    ];
    // The larger one would be noted whole whatever else is.
    for ((read, conflicts), rows) in reads.into_iter().flat_map(|read| [(read, 300), (read, 5_000)]) {
        from += 10_000;
        says(&mut a, &[("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN")]);
        say(&mut a, &read.replace('?', &(from + 77).to_string()));
        says(&mut a, &[(&format!("INSERT INTO s VALUES ({}, 'a', 0)", from + 9_000), "INSERT 0 1")]);
        says(&mut b, &[(&load(from, from + rows - 1), &format!("INSERT 0 {rows}"))]);
        says(&mut a, &[("COMMIT", if conflicts { "40001" } else { "COMMIT" })]);
    }
}

#[test]
fn defaults_and_identities_come_in_the_order_of_the_rows() {
    let memory = Memory::new(5);
    let mut s = memory.session();
    says(
        &mut s,
        &[
            (
                "CREATE TABLE d (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, g int CHECK (g <> 1500), w text DEFAULT 'w')",
                "CREATE TABLE",
            ),
            ("INSERT INTO d (g) SELECT g FROM generate_series(1, 1200) g", "INSERT 0 1200"),
            ("SELECT count(*), min(id - g), max(id - g), min(w), max(w) FROM d", "1200|0|0|w|w SELECT 1"),
            ("INSERT INTO d (g) SELECT g FROM generate_series(1201, 1700) g", "23514"),
            ("SELECT count(*) FROM d", "1200 SELECT 1"),
        ],
    );
}
