//! What definitions refuse, and that the catalogue after a restart is the one before.

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_query::ast::{AlterTable, CreateIndex, Expr, ExprKind, Span, Statement, TableConstraint};
use ledgerstone_query::bind::{self, PlanContext};
use ledgerstone_query::catalogue::{Table, ddl};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::exec::{self, Outcome};
use ledgerstone_query::session::{Dialect, SessionInfo};

use crate::support::{Memory, create_table, name, record, table, table_name, told};

fn refused(memory: &Memory, statement: &Statement) -> SqlState {
    let mut tx = memory.begin();
    ddl::apply(&mut tx, statement, Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql)).unwrap_err().code
}

fn alter(action: AlterTable) -> Statement {
    Statement::AlterTable { table: table_name("t"), if_exists: false, action: Box::new(action) }
}

fn unique(columns: &[&str]) -> TableConstraint {
    TableConstraint::Unique { name: None, columns: columns.iter().map(|c| name(c)).collect() }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let memory = Memory::new(1);
    memory.ddl(&create_table("t", &[("id", "int4", "p"), ("a", "text", "")]), Dialect::Sql);
    memory.ddl(&create_table("loose", &[]), Dialect::Sql);
    memory.run(|tx| {
        let t = table(tx, "t");
        tx.insert(&t, record(&[("id", Value::int(1))])).unwrap();
    });
    for (statement, code) in [
        (create_table("t", &[]), SqlState::DUPLICATE_TABLE),
        (create_table("t_pkey", &[]), SqlState::DUPLICATE_TABLE),
        (create_table("_ql_x", &[]), SqlState::RESERVED_NAME),
        (create_table("pg_x", &[]), SqlState::RESERVED_NAME),
        (create_table(&"x".repeat(129), &[]), SqlState::NAME_TOO_LONG),
        (create_table("", &[]), SqlState::NAME_TOO_LONG),
        (create_table("u", &[("a", "int4", ""), ("a", "int4", "")]), SqlState::DUPLICATE_COLUMN),
        (create_table("u", &[("a", "nonsense", "")]), SqlState::UNDEFINED_OBJECT),
        (create_table("u", &[("a", "int4", "p"), ("b", "int4", "p")]), SqlState::INVALID_TABLE_DEFINITION),
        (create_table("u", &[("a", "text", "i")]), SqlState::INVALID_PARAMETER_VALUE),
        (create_table("u", &[("_ql_salt", "text", "")]), SqlState::RESERVED_NAME),
        (Statement::DropTable { names: vec![table_name("nope")], if_exists: false }, SqlState::UNDEFINED_TABLE),
        (Statement::UndropTable { table_id: name("nope") }, SqlState::UNDEFINED_TABLE),
        (Statement::UndropTable { table_id: name(&Id::TABLES.to_string()) }, SqlState::UNDEFINED_TABLE),
        (Statement::DropIndex { names: vec![name("t_pkey")], on: None, if_exists: false }, SqlState::DEPENDENT_OBJECTS),
        (Statement::DropIndex { names: vec![name("nope")], on: None, if_exists: false }, SqlState::UNDEFINED_OBJECT),
        (alter(AlterTable::SetNotNull(name("a"))), SqlState::NOT_NULL_VIOLATION),
        (alter(AlterTable::SetNotNull(name("b"))), SqlState::UNDEFINED_COLUMN),
        (alter(AlterTable::DropNotNull(name("id"))), SqlState::INVALID_TABLE_DEFINITION),
        (alter(AlterTable::RenameTo(name("loose"))), SqlState::DUPLICATE_TABLE),
        (alter(AlterTable::RenameColumn { from: name("a"), to: name("id") }), SqlState::DUPLICATE_COLUMN),
        (alter(AlterTable::AddConstraint(unique(&["nope"]))), SqlState::UNDEFINED_COLUMN),
        (alter(AlterTable::AddConstraint(unique(&["a", "a"]))), SqlState::DUPLICATE_COLUMN),
        (alter(AlterTable::DropConstraint { name: name("nope"), if_exists: false }), SqlState::UNDEFINED_OBJECT),
        (
            Statement::AlterTable {
                table: table_name("loose"),
                if_exists: false,
                action: Box::new(AlterTable::DropColumn { name: name("a"), if_exists: false }),
            },
            SqlState::WRONG_OBJECT_TYPE,
        ),
    ] {
        assert_eq!(refused(&memory, &statement), code, "{statement:?}");
    }
    // Nothing of it is left, and the table still works.
    let tx = memory.begin();
    assert_eq!(tx.catalogue().tables().count(), 2);
}

#[test]
fn the_catalogue_after_a_restart_is_the_one_before() {
    let mut memory = Memory::new(2);
    memory.ddl(&create_table("t", &[("id", "int8", "p"), ("a", "text", "un"), ("n", "numeric", "")]), Dialect::Sql);
    memory.ddl(&create_table("Loose", &[]), Dialect::PartiQl);
    memory.run(|tx| {
        let loose = table(tx, "Loose");
        tx.insert(&loose, record(&[("a", record(&[("b", Value::int(1))]))])).unwrap();
    });
    let path = |text: &str| Expr { kind: ExprKind::Name(name(text)), span: Span::default() };
    let nested =
        ExprKind::Path { base: Box::new(path("a")), steps: vec![ledgerstone_query::ast::PathStep::Field(name("b"))] };
    memory.ddl(
        &Statement::CreateIndex(Box::new(CreateIndex {
            name: None,
            table: table_name("Loose"),
            columns: vec![Expr { kind: nested, span: Span::default() }, path("c")],
            unique: false,
            if_not_exists: false,
        })),
        Dialect::Sql,
    );
    memory.ddl(&alter(AlterTable::DropNotNull(name("a"))), Dialect::Sql);
    memory.ddl(&alter(AlterTable::RenameTo(name("t2"))), Dialect::Sql);
    let all = |memory: &Memory| -> Vec<Table> { memory.begin().catalogue().tables().map(|t| (**t).clone()).collect() };
    let before = all(&memory);
    assert_eq!(before[1].indexes[0].paths_text(), "a.b, c");
    assert_eq!((before[0].salted, before[1].salted), (true, false));
    memory.reopen();
    assert_eq!(all(&memory), before);
}

#[test]
fn identity_values_go_on_after_a_restart() {
    let mut memory = Memory::new(3);
    memory.ddl(&create_table("t", &[("id", "int4", "pi")]), Dialect::Sql);
    let mut last = 0;
    for _ in 0..3 {
        memory.run(|tx| {
            let t = table(tx, "t");
            for _ in 0..3 {
                let id = tx.next_identity(&t, &t.columns[0]).unwrap();
                assert!(id > last);
                last = id;
                tx.insert(&t, record(&[("id", Value::int(id))])).unwrap();
            }
        });
        memory.reopen();
    }
    assert_eq!(last, 9);
}

#[test]
fn a_table_and_its_documents_may_come_in_one_transaction() {
    let mut memory = Memory::new(4);
    memory.run(|tx| {
        ddl::apply(
            tx,
            &create_table("t", &[("id", "int4", "p"), ("g", "int4", "u")]),
            Dialect::Sql,
            &SessionInfo::embedded("main", Dialect::Sql),
        )
        .unwrap();
        let t = table(tx, "t");
        for n in 0..5 {
            tx.insert(&t, record(&[("id", Value::int(n)), ("g", Value::int(n))])).unwrap();
        }
        tx.check_unique().unwrap();
    });
    for _ in 0..2 {
        let mut tx = memory.begin();
        let t = table(&tx, "t");
        assert!(t.indexes.iter().all(|i| i.status.text() == "ONLINE" && i.from_position == 0));
        tx.insert(&t, record(&[("id", Value::int(7)), ("g", Value::int(3))])).unwrap();
        assert_eq!(tx.commit_blocking().unwrap_err().code, SqlState::UNIQUE_VIOLATION);
        memory.reopen();
    }
}

/// Runs SQL in one transaction and answers with the rows of its last statement.
fn sql(memory: &Memory, text: &str) -> Result<Vec<Vec<Option<Value>>>, QueryError> {
    let mut tx = memory.begin();
    let info = SessionInfo::embedded("main", Dialect::Sql);
    let mut answer = Vec::new();
    for parsed in ledgerstone_query::sql::parse(text)? {
        tx.begin_statement(text, &[])?;
        let planned = matches!(
            parsed.statement,
            Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)
        );
        if !planned {
            ddl::apply(&mut tx, &parsed.statement, Dialect::Sql, &SessionInfo::embedded("main", Dialect::Sql))?;
            continue;
        }
        let mut context =
            PlanContext { tx: &mut tx, text, dialect: Dialect::Sql, parameter_types: &[], session: &info };
        let plan = bind::plan(&mut context, &parsed.statement)?;
        if let Outcome::Rows { rows } = exec::run(&plan, &mut tx, &[], &info)? {
            answer = rows.all()?;
        }
    }
    tx.commit_blocking()?;
    Ok(answer)
}

#[test]
fn definitions_work_on_tables_that_have_rows() {
    let mut memory = Memory::new(5);
    sql(&memory, "CREATE TABLE t (id int PRIMARY KEY, n numeric(6,2) DEFAULT 1 CHECK (n > 0))").unwrap();
    sql(&memory, "INSERT INTO t VALUES (1), (2), (3)").unwrap();
    sql(&memory, "ALTER TABLE t ADD COLUMN twice int NOT NULL DEFAULT 2 * 21").unwrap();
    sql(&memory, "ALTER TABLE t ADD COLUMN serial_no serial").unwrap();
    sql(&memory, "INSERT INTO t (id) VALUES (4)").unwrap();
    let violated = sql(&memory, "ALTER TABLE t ADD CONSTRAINT small CHECK (id < 4)").unwrap_err();
    assert_eq!(violated.code, SqlState::CHECK_VIOLATION);
    sql(&memory, "ALTER TABLE t ADD CONSTRAINT small CHECK (id < 5)").unwrap();
    assert_eq!(sql(&memory, "INSERT INTO t (id) VALUES (5)").unwrap_err().code, SqlState::CHECK_VIOLATION);
    let named = sql(&memory, "ALTER TABLE t DROP COLUMN id").unwrap_err();
    assert_eq!(named.code, SqlState::DEPENDENT_OBJECTS);
    sql(&memory, "ALTER TABLE t ADD CONSTRAINT u UNIQUE (twice)").unwrap_err();
    sql(&memory, "CREATE TABLE copy AS SELECT id, twice + id AS sum FROM t WHERE id > 2").unwrap();
    memory.reopen();
    let rows = sql(&memory, "SELECT id, n, twice, serial_no FROM t ORDER BY id").unwrap();
    let last: Vec<String> = rows[3].iter().map(|v| ledgerstone_digest::ion::to_text(v.as_ref().unwrap())).collect();
    assert_eq!(last, ["4", "1.00", "42", "4"]);
    let rows = sql(&memory, "SELECT sum FROM copy ORDER BY id").unwrap();
    assert_eq!(rows, [[Some(Value::int(45))], [Some(Value::int(46))]]);
}

#[test]
fn unique_violations_are_told_by_the_statement() {
    let memory = Memory::new(6);
    sql(&memory, "CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE)").unwrap();
    sql(&memory, "INSERT INTO t VALUES (1, 1), (2, 2)").unwrap();
    let error = sql(&memory, "INSERT INTO t VALUES (3, 2); DELETE FROM t WHERE id = 2").unwrap_err();
    assert_eq!(error.code, SqlState::UNIQUE_VIOLATION, "each statement is judged at its end");
    sql(&memory, "UPDATE t SET n = 3 - n").unwrap();
    sql(&memory, "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 1)").unwrap();
    sql(&memory, "INSERT INTO t VALUES (4, NULL), (5, NULL)").unwrap();
    assert_eq!(sql(&memory, "SELECT id FROM t WHERE n = 1").unwrap(), [[Some(Value::int(3))]]);
}

#[test]
fn what_a_table_keeps_cannot_read_more_than_its_row() {
    let memory = Memory::new(8);
    let mut session = memory.session();
    told(&mut session, "CREATE TABLE secret (name text); INSERT INTO secret VALUES ('x'); CREATE TABLE t (n int)")
        .unwrap();
    told(&mut session, "INSERT INTO t VALUES (1)").unwrap();
    for (statement, message) in [
        ("CREATE TABLE u (n text DEFAULT (SELECT name FROM secret))", "cannot use subquery in DEFAULT expression"),
        (
            "CREATE TABLE u (n text[] DEFAULT ARRAY(SELECT name FROM secret))",
            "cannot use subquery in DEFAULT expression",
        ),
        ("CREATE TABLE u (n int CHECK (EXISTS (SELECT 1 FROM secret)))", "cannot use subquery in check constraint"),
        ("CREATE TABLE u (n text, CHECK (n IN (SELECT name FROM secret)))", "cannot use subquery in check constraint"),
        (
            "ALTER TABLE t ADD COLUMN c text DEFAULT (SELECT name FROM secret LIMIT 1)",
            "cannot use subquery in DEFAULT expression",
        ),
        ("ALTER TABLE t ALTER COLUMN n SET DEFAULT (SELECT 1)", "cannot use subquery in DEFAULT expression"),
        ("ALTER TABLE t ADD CHECK (n > 0 OR EXISTS (SELECT 1 FROM secret))", "cannot use subquery in check constraint"),
        (
            "ALTER TABLE t ADD COLUMN c bytea DEFAULT ledgerstone_receipt_at(1)",
            "cannot use function ledgerstone_receipt_at in DEFAULT expression",
        ),
        (
            "CREATE TABLE u (n int CHECK (ledgerstone_position('secret', 'x') > n))",
            "cannot use function ledgerstone_position in check constraint",
        ),
        (
            "CREATE TABLE u (at timestamptz DEFAULT ledgerstone_accept_clock())",
            "cannot use function ledgerstone_accept_clock in DEFAULT expression",
        ),
    ] {
        let refused = told(&mut session, statement).unwrap_err();
        assert_eq!((refused.code, &*refused.message), (SqlState::FEATURE_NOT_SUPPORTED, message), "{statement}");
        assert!(refused.span.is_some(), "{statement}");
    }
}

/// Such texts could be defined once.
#[test]
fn a_table_that_keeps_a_subquery_from_before_still_takes_rows() {
    let mut memory = Memory::new(9);
    told(&mut memory.session(), "CREATE TABLE u (k int); INSERT INTO u VALUES (7)").unwrap();
    let mut create = create_table("t", &[("id", "int4", "p"), ("n", "int4", "")]);
    if let Statement::CreateTable(create) = &mut create {
        // The text is what is kept; the expression is what is looked at when it is defined.
        create.columns[1].default_text = Some("(SELECT max(k) FROM u)".into());
    }
    memory.ddl(&create, Dialect::Sql);
    memory.reopen();
    let mut session = memory.session();
    let answer = told(&mut session, "INSERT INTO t (id) VALUES (1) RETURNING n").unwrap();
    assert_eq!(answer, ["7", "INSERT 0 1"]);
    told(&mut session, "ALTER TABLE t ADD COLUMN more text").unwrap();
}

#[test]
fn a_definition_is_computed_as_its_user_and_within_the_time_of_its_statement() {
    let memory = Memory::new(10);
    let mut session = memory.session();
    told(&mut session, "CREATE TABLE who AS SELECT current_user::text AS name").unwrap();
    assert_eq!(told(&mut session, "SELECT name FROM who").unwrap()[0], "clerk");
    told(&mut session, "SET statement_timeout = 50").unwrap();
    let stopped = told(&mut session, "CREATE TABLE slow AS SELECT pg_sleep(30)::text AS s").unwrap_err();
    assert_eq!(stopped.code, SqlState::QUERY_CANCELED);
}
