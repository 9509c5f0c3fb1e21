//! Optimistic concurrency through QLDB's door, each kind of statement against each: what one transaction read, and another
//! changed and committed meanwhile, is a conflict; nothing else is ("Amazon QLDB concurrency model" in its developer guide).

use std::sync::Arc;

use ledgerstone_query::error::SqlState;
use ledgerstone_query::session::{Dialect, Door, Inline, Response, Session, SessionOptions};

use crate::support::{Memory, block_on};

/// What a transaction does: a name, and its statements. `k` is indexed, `v` is not.
const OPERATIONS: &[(&str, &[&str])] = &[
    ("scan", &["SELECT * FROM t WHERE v = 1"]),
    ("count", &["SELECT COUNT(*) FROM t"]),
    ("read k=1", &["SELECT * FROM t WHERE k = 1"]),
    ("read k=2", &["SELECT * FROM t WHERE k = 2"]),
    ("read k IN (1, 9)", &["SELECT * FROM t WHERE k IN (1, 9)"]),
    ("read k=9", &["SELECT * FROM t WHERE k = 9"]),
    ("history", &["SELECT * FROM history(t)"]),
    ("history of k=1", &["SELECT * FROM history(t) AS h WHERE h.metadata.id = '$1'"]),
    ("committed k=1", &["SELECT * FROM _ql_committed_t AS c WHERE c.data.k = 1"]),
    ("id of k=1", &["SELECT * FROM t BY id WHERE id = '$1'"]),
    ("other table", &["SELECT * FROM u"]),
    ("insert k=9", &["INSERT INTO t {'k': 9, 'v': 9}"]),
    ("insert k=8", &["INSERT INTO t {'k': 8, 'v': 8}"]),
    ("insert if absent k=9", &["SELECT * FROM t WHERE k = 9", "INSERT INTO t {'k': 9, 'v': 9}"]),
    ("update k=1", &["UPDATE t SET v = 5 WHERE k = 1"]),
    ("update k=2", &["UPDATE t SET v = 5 WHERE k = 2"]),
    ("move k=1 to 9", &["UPDATE t SET k = 9 WHERE k = 1"]),
    ("update by scan", &["UPDATE t SET v = 5 WHERE v = 2"]),
    ("delete k=1", &["DELETE FROM t WHERE k = 1"]),
    ("delete k=9", &["DELETE FROM t WHERE k = 9"]),
    ("insert into u", &["INSERT INTO u {'k': 1}"]),
    ("create index", &["CREATE INDEX ON t (w)"]),
    ("drop table", &["DROP TABLE t"]),
    ("create table", &["CREATE TABLE z"]),
];

/// Everything of table t but where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// The documents with this k, or that there is none.
    Key(u8),
    /// The document that had k = 1 at the start.
    Document,
    /// All of it.
    Table,
    /// How it is defined.
    Definition,
    /// Whether there is a table z.
    NameZ,
    /// All of table u.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    /// A document that has, had or gets this k.
    Key(u8),
    /// The document that had k = 1 at the start.
    Document,
    Definition,
    NameZ,
    Other,
}

/// What an operation reads, by the rules that QLDB stated.
fn reads(name: &str) -> Vec<Read> {
    use Read::*;
    let of_table: &[Read] = match name {
        "scan" | "count" | "history" | "update by scan" => &[Table],
        "read k=1" | "committed k=1" | "update k=1" | "move k=1 to 9" | "delete k=1" => &[Key(1)],
        "read k=2" | "update k=2" => &[Key(2)],
        "read k IN (1, 9)" => &[Key(1), Key(9)],
        "read k=9" | "insert if absent k=9" | "delete k=9" => &[Key(9)],
        "history of k=1" | "id of k=1" => &[Document],
        "insert k=9" | "insert k=8" | "create index" | "drop table" => &[],
        "other table" => return vec![Other],
        "insert into u" => return vec![],
        "create table" => return vec![NameZ],
        other => panic!("{other}"),
    };
    of_table.iter().copied().chain([Definition]).collect()
}

/// What it changes, on what stands at the start.
fn writes(name: &str) -> Vec<Write> {
    use Write::*;
    match name {
        "insert k=9" | "insert if absent k=9" => vec![Key(9)],
        "insert k=8" => vec![Key(8)],
        "update k=1" | "delete k=1" => vec![Key(1), Document],
        "move k=1 to 9" => vec![Key(1), Key(9), Document],
        "update k=2" | "update by scan" => vec![Key(2)],
        "create index" | "drop table" => vec![Definition],
        "create table" => vec![NameZ],
        "insert into u" => vec![Other],
        _ => vec![],
    }
}

fn conflicts(reads: &[Read], writes: &[Write]) -> bool {
    let meets = |read: &Read, write: &Write| match (read, write) {
        (Read::Key(a), Write::Key(b)) => a == b,
        (Read::Table, Write::Key(_) | Write::Document) => true,
        (Read::Document, Write::Document) | (Read::Definition, Write::Definition) | (Read::NameZ, Write::NameZ) => true,
        (Read::Other, Write::Other) => true,
        _ => false,
    };
    reads.iter().any(|read| writes.iter().any(|write| meets(read, write)))
}

fn session(ledger: &Memory) -> Session {
    let options = SessionOptions::new(Door::Qldb, "clerk", Dialect::PartiQl, Arc::new(Inline));
    Session::over(Arc::clone(&ledger.database), options)
}

fn run(session: &mut Session, statement: &str) {
    block_on(session.execute(statement)).unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// A ledger with documents k = 1 and k = 2, and the id of the first.
fn ledger() -> (Memory, String) {
    let ledger = Memory::new(1);
    let mut session = session(&ledger);
    for statement in [
        "CREATE TABLE t",
        "CREATE TABLE u",
        "CREATE INDEX ON t (k)",
        "INSERT INTO t << {'k': 1, 'v': 1}, {'k': 2, 'v': 2} >>",
        "INSERT INTO u {'k': 0}",
    ] {
        run(&mut session, statement);
    }
    let answers = block_on(session.execute("SELECT VALUE id FROM t BY id WHERE k = 1")).unwrap();
    let Some(Response::Rows { mut rows, .. }) = answers.into_iter().next() else { panic!() };
    let rows = rows.collect().unwrap();
    let id = rows[0][0].as_ref().and_then(|value| value.as_text()).unwrap().to_owned();
    (ledger, id)
}

#[test]
fn each_kind_of_statement_conflicts_with_what_changed_what_it_read_and_with_nothing_else() {
    let mut wrong = Vec::new();
    for (mine, my_statements) in OPERATIONS {
        for (theirs, their_statements) in OPERATIONS {
            let (ledger, id) = ledger();
            let (mut me, mut they) = (session(&ledger), session(&ledger));
            run(&mut me, "BEGIN");
            my_statements.iter().for_each(|statement| run(&mut me, &statement.replace("$1", &id)));
            run(&mut they, "BEGIN");
            their_statements.iter().for_each(|statement| run(&mut they, &statement.replace("$1", &id)));
            run(&mut they, "COMMIT");
            let conflict = match block_on(me.execute("COMMIT")) {
                Ok(_) => false,
                Err(error) if error.code == SqlState::SERIALIZATION_FAILURE => true,
                Err(error) => panic!("{mine} beside {theirs}: {error}"),
            };
            let expected = conflicts(&reads(mine), &writes(theirs));
            if conflict != expected {
                wrong.push(format!(
                    "{mine}, while another committed {theirs}: conflict {conflict}, expected {expected}"
                ));
            }
            ledger.database.close().unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} pairs differ:\n{}", wrong.len(), wrong.join("\n"));
}
