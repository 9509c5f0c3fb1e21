//! A ledger in the mode STANDARD: every way to read or to change a table asks for the permission of its own.

use std::sync::{Arc, Mutex};

use ledgerstone_digest::Id;
use ledgerstone_query::ast::Statement;
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::{Instance, LedgerSettings, PermissionsMode};
use ledgerstone_query::permission::{Action, Policy, Resource};
use ledgerstone_query::session::{Dialect, Door, Inline, Session, SessionInfo, SessionOptions};
use ledgerstone_query::transaction::Transaction;

use crate::support::{block_on, create_table, open_instance, told};

/// Remembers what was asked, and allows all but one action.
#[derive(Default)]
struct Asked {
    questions: Mutex<Vec<(Action, String)>>,
    denied: Mutex<Option<Action>>,
}

impl Policy for Asked {
    fn allows(&self, user: &str, ledger: &str, action: Action, resource: Resource<'_>) -> bool {
        // Ledgers are listed by whoever may do that to all of them, and named to whoever may come in.
        match action {
            Action::ListLedgers => assert_eq!((user, ledger), ("clerk", "*")),
            Action::SendCommand => assert_eq!(user, "clerk"),
            _ => assert_eq!((user, ledger), ("clerk", "main")),
        }
        let what = match resource {
            Resource::Ledger => "ledger".to_owned(),
            Resource::Table { id, name } => {
                assert_ne!(id, Id([0; 16]));
                name.to_owned()
            }
            Resource::NewTable => "new".to_owned(),
            Resource::Catalogue => "catalogue".to_owned(),
            Resource::Stream { id } => format!("stream {id}"),
            Resource::Streams => "streams".to_owned(),
        };
        self.questions.lock().unwrap().push((action, what));
        // Another ledger than `main` is nobody's but the operator's.
        *self.denied.lock().unwrap() != Some(action) && (action != Action::SendCommand || ledger == "main")
    }
}

struct Ledger {
    _dir: tempfile::TempDir,
    instance: Arc<Instance>,
    asked: Arc<Asked>,
}

impl Ledger {
    fn new() -> Ledger {
        let dir = tempfile::tempdir().unwrap();
        let instance = open_instance(dir.path()).unwrap();
        let asked = Arc::new(Asked::default());
        instance.set_policy(asked.clone());
        instance.change_settings("main", |settings| settings.permissions = PermissionsMode::Standard).unwrap();
        Ledger { _dir: dir, instance, asked }
    }

    fn session(&self, dialect: Dialect) -> Session {
        let options = SessionOptions::new(Door::Qldb, "clerk", dialect, Arc::new(Inline));
        Session::new(Arc::clone(&self.instance), "main", options).unwrap()
    }

    /// What a statement asks, and that it is refused if any of it is denied.
    fn asks(&self, dialect: Dialect, statement: &str) -> Vec<(Action, String)> {
        let run = |statement: &str| block_on(self.session(dialect).execute(statement)).map(drop);
        let mut rolled_back = self.session(dialect);
        // Opening it has asked for that.
        self.asked.questions.lock().unwrap().clear();
        block_on(rolled_back.execute("BEGIN")).unwrap();
        block_on(rolled_back.execute(statement)).unwrap_or_else(|error| panic!("{statement}: {error}"));
        drop(rolled_back);
        let mut asked = self.asked.questions.lock().unwrap().clone();
        asked.sort_by_key(|(action, what)| (action.name(), what.clone()));
        asked.dedup();
        for (action, _) in &asked {
            *self.asked.denied.lock().unwrap() = Some(*action);
            let refused = run(statement).unwrap_err();
            assert_eq!(refused.code, SqlState::INSUFFICIENT_PRIVILEGE, "{statement}: {refused}");
            assert!(refused.message.contains(action.name()), "{refused}");
            *self.asked.denied.lock().unwrap() = None;
        }
        asked
    }
}

#[test]
fn every_use_of_a_table_asks_for_its_permission() {
    let ledger = Ledger::new();
    let partiql = |statement: &str| ledger.asks(Dialect::PartiQl, statement);
    let sql = |statement: &str| ledger.asks(Dialect::Sql, statement);
    let of = |all: &[(Action, &str)]| all.iter().map(|(a, w)| (*a, (*w).to_owned())).collect::<Vec<_>>();
    use Action::*;
    assert_eq!(partiql("CREATE TABLE t"), of(&[(CreateTable, "new")]));
    let mut session = ledger.session(Dialect::PartiQl);
    for statement in ["CREATE TABLE t", "CREATE TABLE u", "CREATE INDEX ON t (a)", "INSERT INTO t {'a': 1}"] {
        block_on(session.execute(statement)).unwrap();
    }
    assert_eq!(partiql("SELECT * FROM t"), of(&[(Select, "t")]));
    assert_eq!(partiql("SELECT * FROM t, u"), of(&[(Select, "t"), (Select, "u")]));
    assert_eq!(partiql("SELECT * FROM t WHERE a IN (SELECT VALUE b FROM u)"), of(&[(Select, "t"), (Select, "u")]));
    assert_eq!(partiql("SELECT * FROM _ql_committed_t"), of(&[(Select, "t")]));
    assert_eq!(partiql("SELECT * FROM history(t)"), of(&[(HistoryFunction, "t")]));
    assert_eq!(partiql("SELECT * FROM information_schema.user_tables"), of(&[(Select, "catalogue")]));
    assert_eq!(partiql("INSERT INTO t {'a': 2}"), of(&[(Insert, "t")]));
    assert_eq!(partiql("INSERT INTO t (SELECT * FROM u)"), of(&[(Insert, "t"), (Select, "u")]));
    assert_eq!(partiql("UPDATE t SET a = 2 WHERE a = 1"), of(&[(Select, "t"), (Update, "t")]));
    assert_eq!(partiql("FROM t WHERE a = 1 SET a = 2"), of(&[(Select, "t"), (Update, "t")]));
    assert_eq!(partiql("DELETE FROM t WHERE a = 1"), of(&[(Delete, "t"), (Select, "t")]));
    assert_eq!(partiql("FROM t AS x WHERE x.a = 1 REMOVE x"), of(&[(Delete, "t"), (Select, "t"), (Update, "t")]));
    assert_eq!(partiql("DROP TABLE u"), of(&[(DropTable, "u")]));
    assert_eq!(partiql("CREATE INDEX ON t (b)"), of(&[(CreateIndex, "t")]));
    assert_eq!(sql("EXPLAIN SELECT * FROM t"), of(&[(Select, "t")]));
    assert_eq!(
        sql("WITH w AS (SELECT * FROM u) SELECT (SELECT count(*) FROM t) FROM w"),
        of(&[(Select, "t"), (Select, "u")])
    );
    assert_eq!(sql("SELECT * FROM t AS OF BLOCK 1"), of(&[(Select, "t")]));
    assert_eq!(sql("COPY t TO STDOUT"), of(&[(Select, "t")]));
    assert_eq!(sql("SELECT ledgerstone_receipt_at(1)"), of(&[(GetRevision, "ledger")]));
    assert_eq!(sql("SELECT ledgerstone_transaction_receipt(0)"), of(&[(GetBlock, "ledger")]));
    assert_eq!(sql("COMMENT ON TABLE t IS 'x'"), of(&[(AlterTable, "t")]));
    assert_eq!(sql("COMMENT ON INDEX t_a_idx IS 'x'"), of(&[(AlterTable, "t")]));
    assert_eq!(sql("COMMENT ON DATABASE main IS 'x'"), of(&[(UpdateLedger, "ledger")]));
    assert_eq!(sql("COPY (DELETE FROM t RETURNING a) TO STDOUT"), of(&[(Delete, "t"), (Select, "t")]));
    assert_eq!(sql("SELECT 1"), []);
}

#[test]
fn a_sequence_and_a_constraint_ask_for_the_tables_that_are_named() {
    let ledger = Ledger::new();
    let sql = |statement: &str| ledger.asks(Dialect::Sql, statement);
    let alter = [(Action::AlterTable, "t".to_owned())];
    let tables = "CREATE TABLE t (a int NOT NULL, b serial PRIMARY KEY); CREATE TABLE u (a int)";
    block_on(ledger.session(Dialect::Sql).execute(tables)).unwrap();
    assert_eq!(sql("COMMENT ON CONSTRAINT t_pkey ON t IS 'x'"), alter);
    // It is not said yet which column it is of.
    assert_eq!(sql("CREATE SEQUENCE t_a_seq"), alter);
    // It looks for the highest number that is there.
    assert_eq!(sql("CREATE SEQUENCE t_a_seq OWNED BY t.a"), [&alter[..], &[(Action::Select, "t".to_owned())]].concat());
    assert_eq!(sql("ALTER SEQUENCE t_b_seq OWNED BY t.b"), alter);
    assert_eq!(sql("ALTER SEQUENCE t_b_seq RESTART WITH 7"), alter);
    // Before it is said whether there is such a table.
    for statement in ["CREATE SEQUENCE t_a_seq OWNED BY u.a", "ALTER SEQUENCE t_b_seq OWNED BY u.a"] {
        ledger.asked.questions.lock().unwrap().clear();
        assert!(block_on(ledger.session(Dialect::Sql).execute(statement)).is_err());
        assert!(ledger.asked.questions.lock().unwrap().contains(&(Action::AlterTable, "u".to_owned())), "{statement}");
    }
}

#[test]
fn a_merge_asks_for_what_it_may_do_to_its_table() {
    let ledger = Ledger::new();
    let sql = |statement: &str| ledger.asks(Dialect::Sql, statement);
    let of = |all: &[(Action, &str)]| all.iter().map(|(a, w)| (*a, (*w).to_owned())).collect::<Vec<_>>();
    use Action::*;
    let tables = "CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE TABLE v (a int)";
    block_on(ledger.session(Dialect::Sql).execute(tables)).unwrap();
    let read = [(Select, "t"), (Select, "u")];
    for (whens, actions) in [
        ("WHEN MATCHED THEN DO NOTHING", vec![]),
        ("WHEN MATCHED THEN DELETE", vec![(Delete, "t")]),
        ("WHEN NOT MATCHED THEN INSERT VALUES (u.a)", vec![(Insert, "t")]),
        (
            "WHEN MATCHED AND false THEN DELETE WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
            vec![(Delete, "t"), (Insert, "t"), (Update, "t")],
        ),
        ("WHEN MATCHED AND (SELECT max(a) FROM v) > 1 THEN UPDATE SET a = 1", vec![(Select, "v"), (Update, "t")]),
    ] {
        let mut expected: Vec<(Action, &str)> = read.iter().copied().chain(actions).collect();
        expected.sort_by_key(|(action, what)| (action.name(), *what));
        assert_eq!(sql(&format!("MERGE INTO t USING u ON t.a = u.a {whens}")), of(&expected), "{whens}");
    }
}

#[test]
fn what_a_definition_reads_is_asked_for() {
    let ledger = Ledger::new();
    let sql = |statement: &str| ledger.asks(Dialect::Sql, statement);
    let of = |all: &[(Action, &str)]| all.iter().map(|(a, w)| (*a, (*w).to_owned())).collect::<Vec<_>>();
    use Action::*;
    let mut session = ledger.session(Dialect::Sql);
    let set_up = "CREATE TABLE mine (n int); INSERT INTO mine VALUES (1);
                  CREATE TABLE secret (name text); INSERT INTO secret VALUES ('x')";
    block_on(session.execute(set_up)).unwrap();
    assert_eq!(sql("CREATE TABLE c AS SELECT * FROM secret"), of(&[(CreateTable, "new"), (Select, "secret")]));
    assert_eq!(
        sql("CREATE TABLE c AS SELECT name FROM history(secret)"),
        of(&[(CreateTable, "new"), (HistoryFunction, "secret")])
    );
    assert_eq!(
        sql("CREATE TABLE c AS SELECT \"tableId\" FROM information_schema.user_tables"),
        of(&[(CreateTable, "new"), (Select, "catalogue")])
    );
    assert_eq!(
        sql("CREATE TABLE c AS SELECT ledgerstone_receipt_at(1) AS r"),
        of(&[(GetRevision, "ledger"), (CreateTable, "new")])
    );
    assert_eq!(sql("CREATE TABLE c (n int DEFAULT 1 CHECK (n > 0))"), of(&[(CreateTable, "new")]));
    assert_eq!(sql("CREATE TABLE c (LIKE secret)"), of(&[(CreateTable, "new"), (Select, "secret")]));
    assert_eq!(
        sql("CREATE TABLE c AS WITH d AS (DELETE FROM secret RETURNING *) SELECT * FROM d"),
        of(&[(CreateTable, "new"), (Delete, "secret"), (Select, "secret")])
    );
    assert_eq!(sql("ALTER TABLE mine ADD COLUMN m int DEFAULT 2"), of(&[(AlterTable, "mine")]));
    // Whether it holds of the rows tells what is in them.
    assert_eq!(sql("ALTER TABLE mine ADD CHECK (n > 0)"), of(&[(AlterTable, "mine"), (Select, "mine")]));
}

#[test]
fn a_plan_of_somebody_who_may_is_not_lent_to_somebody_who_may_not() {
    let ledger = Ledger::new();
    let mut session = ledger.session(Dialect::PartiQl);
    block_on(session.execute("CREATE TABLE t")).unwrap();
    block_on(session.execute("SELECT * FROM t")).unwrap();
    *ledger.asked.denied.lock().unwrap() = Some(Action::Select);
    let refused = block_on(session.execute("SELECT * FROM t")).err().unwrap();
    assert_eq!(refused.code, SqlState::INSUFFICIENT_PRIVILEGE);
}

#[test]
fn a_copy_asks_for_what_a_default_from_before_reads() {
    let ledger = Ledger::new();
    block_on(ledger.session(Dialect::Sql).execute("CREATE TABLE secret (k int)")).unwrap();
    let mut create = create_table("t", &[("id", "int4", "p"), ("n", "int4", "")]);
    if let Statement::CreateTable(create) = &mut create {
        create.columns[1].default_text = Some("(SELECT max(k) FROM secret)".into());
    }
    let mut tx = Transaction::begin(&ledger.instance.ledger("main").unwrap(), false);
    ddl::apply(&mut tx, &create, Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap();
    tx.commit_blocking().unwrap();
    let copy = || block_on(ledger.session(Dialect::Sql).execute("COPY t (id) FROM STDIN")).map(drop);
    copy().unwrap();
    *ledger.asked.denied.lock().unwrap() = Some(Action::Select);
    assert_eq!(copy().unwrap_err().code, SqlState::INSUFFICIENT_PRIVILEGE);
}

#[test]
fn a_used_client_token_does_not_spare_the_permissions_of_its_statement() {
    let ledger = Ledger::new();
    block_on(ledger.session(Dialect::Sql).execute("CREATE TABLE t (n int)")).unwrap();
    for (text, action) in [
        ("INSERT INTO t VALUES (1) RETURNING n", Action::Insert),
        ("TRUNCATE t", Action::Delete),
        ("CREATE TABLE c AS SELECT * FROM t", Action::Select),
        ("ALTER TABLE t ADD COLUMN m int", Action::AlterTable),
    ] {
        let run = |text: &str| {
            let mut session = ledger.session(Dialect::Sql);
            block_on(session.execute(&format!("SET ledgerstone.client_token = 'k{}'", action.name()))).unwrap();
            block_on(session.execute(text)).map(drop)
        };
        run(text).unwrap();
        run(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        *ledger.asked.denied.lock().unwrap() = Some(action);
        for text in [text.to_owned(), format!("BEGIN; {text}; COMMIT")] {
            assert_eq!(run(&text).unwrap_err().code, SqlState::INSUFFICIENT_PRIVILEGE, "{text}");
        }
        *ledger.asked.denied.lock().unwrap() = None;
    }
}

#[test]
fn a_change_of_the_mode_holds_from_the_next_statement_of_open_sessions_on() {
    let ledger = Ledger::new();
    let mode = |mode| drop(ledger.instance.change_settings("main", |settings| settings.permissions = mode).unwrap());
    mode(PermissionsMode::AllowAll);
    let mut session = ledger.session(Dialect::Sql);
    let text = "SELECT n FROM t WHERE n = 1";
    block_on(session.execute("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)")).unwrap();
    let prepared = session.prepare(text, &[]).unwrap();
    *ledger.asked.denied.lock().unwrap() = Some(Action::Select);
    block_on(session.run(&prepared, &[], true)).map(drop).unwrap();
    mode(PermissionsMode::Standard);
    let refused = |outcome: Result<(), QueryError>| outcome.unwrap_err().code == SqlState::INSUFFICIENT_PRIVILEGE;
    assert!(refused(block_on(session.run(&prepared, &[], true)).map(drop)));
    assert!(refused(block_on(session.execute(text)).map(drop)));
    assert!(refused(session.prepare(text, &[]).map(drop)));
    mode(PermissionsMode::AllowAll);
    block_on(session.run(&prepared, &[], true)).map(drop).unwrap();
}

#[test]
fn proofs_numbers_and_the_clock_are_asked_for() {
    let ledger = Ledger::new();
    let mut session = ledger.session(Dialect::Sql);
    let set_up =
        "CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n int); INSERT INTO t (n) VALUES (1)";
    block_on(session.execute(set_up)).unwrap();
    let sql = |statement: &str| ledger.asks(Dialect::Sql, statement);
    let of = |all: &[(Action, &str)]| all.iter().map(|(a, w)| (*a, (*w).to_owned())).collect::<Vec<_>>();
    use Action::*;
    assert_eq!(sql("SELECT ledgerstone_position('t', '1')"), of(&[(Select, "t")]));
    assert_eq!(sql("SELECT ledgerstone_tlog_proof('t', '1')"), of(&[(Select, "t")]));
    assert_eq!(sql("SELECT ledgerstone_receipt('t', '1')"), of(&[(GetRevision, "ledger")]));
    for statement in [
        "SELECT ledgerstone_digest()",
        "SELECT ledgerstone_leaf(1)",
        "SELECT ledgerstone_consistency(1, 2)",
        "SHOW ledgerstone.checkpoint",
    ] {
        assert_eq!(sql(statement), of(&[(GetDigest, "ledger")]), "{statement}");
    }
    assert_eq!(sql("SELECT nextval('t_id_seq')"), of(&[(Insert, "t")]));
    assert_eq!(sql("SELECT setval('t_id_seq', 5)"), of(&[(AlterTable, "t")]));
    assert_eq!(sql("SELECT ledgerstone_next_identity('t', 'id')"), of(&[(Insert, "t")]));
    assert_eq!(sql("SELECT ledgerstone_accept_clock()"), of(&[(AcceptClock, "ledger")]));
}

#[test]
fn whether_a_document_is_there_is_not_told_before_it_is_asked_who_wants_to_know() {
    let ledger = Ledger::new();
    block_on(ledger.session(Dialect::Sql).execute("CREATE TABLE secret (id int PRIMARY KEY)")).unwrap();
    for (function, action) in
        [("position", Action::Select), ("tlog_proof", Action::Select), ("receipt", Action::GetRevision)]
    {
        *ledger.asked.denied.lock().unwrap() = Some(action);
        let statement = format!("SELECT ledgerstone_{function}('secret', '1')");
        let refused = block_on(ledger.session(Dialect::Sql).execute(&statement)).map(drop).unwrap_err();
        assert_eq!(refused.code, SqlState::INSUFFICIENT_PRIVILEGE, "{statement}: {refused}");
    }
}

#[test]
fn tables_that_a_user_may_not_see_are_not_named_to_them() {
    let ledger = Ledger::new();
    let set_up = "CREATE TABLE secrets (id int PRIMARY KEY CHECK (id > 0)); INSERT INTO secrets VALUES (1)";
    block_on(ledger.session(Dialect::Sql).execute(set_up)).unwrap();
    let run = |text: &str| {
        let mut session = ledger.session(Dialect::Sql);
        told(&mut session, text)
    };
    let oid = run("SELECT 'secrets'::regclass::oid").unwrap().remove(0);
    let statements = [
        "SELECT * FROM secret".to_owned(),
        "ALTER TABLE \"Secrets\" ADD COLUMN c int".to_owned(),
        "SELECT 'secrets'::regclass".to_owned(),
        "SELECT 'secrets_pkey'::regclass".to_owned(),
    ];
    for statement in &statements[..2] {
        assert!(run(statement).unwrap_err().hint.is_some_and(|hint| hint.contains("secrets")), "{statement}");
    }
    assert_eq!(run(&format!("SELECT {oid}::regclass")).unwrap()[0], "secrets");
    *ledger.asked.denied.lock().unwrap() = Some(Action::Select);
    for statement in &statements {
        let error = run(statement).unwrap_err();
        assert_eq!(error.code, SqlState::UNDEFINED_TABLE, "{statement}: {error}");
        assert!(!error.hint.is_some_and(|hint| hint.contains("secrets")), "{statement}");
    }
    assert_eq!(run(&format!("SELECT {oid}::regclass")).unwrap()[0], oid);
    assert_eq!(run("SELECT to_regclass('secrets')").unwrap()[0], "null");
    assert_eq!(run("SELECT 'pg_class'::regclass").unwrap()[0], "pg_class");
}

#[test]
fn ledgers_that_a_user_may_not_come_into_are_not_named_to_them() {
    let ledger = Ledger::new();
    ledger.instance.create_ledger("other", false).unwrap();
    ledger.instance.change_settings("other", |settings| settings.permissions = PermissionsMode::Standard).unwrap();
    let databases = || {
        let mut session = ledger.session(Dialect::Sql);
        told(&mut session, "SELECT datname FROM pg_database ORDER BY 1").unwrap()
    };
    assert_eq!(databases()[..2], ["main", "other"]);
    *ledger.asked.denied.lock().unwrap() = Some(Action::ListLedgers);
    assert_eq!(databases()[0], "main");
    assert!(!databases().contains(&"other".to_owned()));
    assert_eq!(ledger.instance.ledgers_known_to("clerk"), ["main"]);
    let unknown = ledger.instance.ledger("nothing").map(drop).unwrap_err();
    assert_eq!((unknown.code.as_str(), unknown.hint), ("3D000", None));
    // One that asks nobody is everybody's.
    ledger.instance.change_settings("other", |settings| *settings = LedgerSettings::default()).unwrap();
    assert_eq!(databases()[..2], ["main", "other"]);
}

#[test]
fn how_the_key_was_rotated_is_told_with_the_digest() {
    let ledger = Ledger::new();
    *ledger.asked.denied.lock().unwrap() = Some(Action::GetDigest);
    let refused = block_on(ledger.session(Dialect::Sql).execute("SELECT ledgerstone_rotation(0)")).map(drop);
    assert_eq!(refused.unwrap_err().code, SqlState::INSUFFICIENT_PRIVILEGE);
    *ledger.asked.denied.lock().unwrap() = None;
    let none = block_on(ledger.session(Dialect::Sql).execute("SELECT ledgerstone_rotation(0)")).map(drop);
    assert_eq!(none.unwrap_err().code.as_str(), "02000");
}

#[test]
fn coming_in_through_a_door_needs_a_permission_in_a_ledger_that_asks() {
    let ledger = Ledger::new();
    let open = |door| {
        let options = SessionOptions::new(door, "clerk", Dialect::Sql, Arc::new(Inline));
        Session::new(Arc::clone(&ledger.instance), "main", options).map(drop)
    };
    *ledger.asked.denied.lock().unwrap() = Some(Action::SendCommand);
    for door in [Door::Postgres, Door::Grpc, Door::Flight, Door::Qldb] {
        let refused = open(door).unwrap_err();
        assert_eq!(refused.code, SqlState::INSUFFICIENT_PRIVILEGE, "{door:?}");
        assert!(refused.message.contains("qldb:SendCommand"), "{refused}");
    }
    open(Door::Embedded).unwrap();
    ledger.instance.change_settings("main", |settings| *settings = LedgerSettings::default()).unwrap();
    open(Door::Postgres).unwrap();
}

#[test]
fn ledgers_in_the_mode_allow_all_ask_nothing() {
    let ledger = Ledger::new();
    ledger.instance.change_settings("main", |settings| *settings = LedgerSettings::default()).unwrap();
    let mut session = ledger.session(Dialect::PartiQl);
    block_on(session.execute("CREATE TABLE t")).unwrap();
    block_on(session.execute("SELECT * FROM t")).unwrap();
    assert_eq!(*ledger.asked.questions.lock().unwrap(), []);
}
