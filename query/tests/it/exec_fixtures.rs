//! Statements and their answers from files: `tests/fixtures/sql/*.sql` with what PostgreSQL 15 answered (`*.out`),
//! `tests/fixtures/own/*.sql` for what PostgreSQL has not, and `tests/fixtures/partiql/*.sql`.
//!
//! A statement ends with `;` at the end of a line; lines that begin with `--` are comments. The answer of each statement
//! stands under `> ` and its first line: rows with `|` between columns, `null` for NULL, or `ERROR` and the SQLSTATE.
//! `LEDGERSTONE_RECORD=1` writes the answers of the folders that are not PostgreSQL's anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ledgerstone_digest::ion::Value;
use ledgerstone_query::ast::Statement;
use ledgerstone_query::bind::{self, PlanContext};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::exec::{self, Outcome, Row};
use ledgerstone_query::session::{Dialect, SessionInfo};
use ledgerstone_query::transaction::Transaction;
use ledgerstone_query::types::SqlType;
use ledgerstone_query::value::{json, text};

use crate::support::Memory;

#[test]
fn plain_sql_answers_as_postgresql_does() {
    check("sql", Dialect::Sql, "auto");
}

#[cfg(feature = "analytics")]
#[test]
fn plain_sql_answers_as_postgresql_does_through_datafusion_too() {
    check("sql", Dialect::Sql, "datafusion");
}

#[test]
fn own_sql_answers_as_recorded() {
    check("own", Dialect::Sql, "auto");
}

#[test]
fn partiql_answers_as_recorded() {
    check("partiql", Dialect::PartiQl, "auto");
}

fn check(folder: &str, dialect: Dialect, executor: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "sql"));
    files.sort();
    let mut failures = String::new();
    for file in files {
        let statements = std::fs::read_to_string(&file).unwrap();
        let answers = answers(&statements, dialect, executor);
        let out = file.with_extension("out");
        if folder != "sql" && std::env::var_os("LEDGERSTONE_RECORD").is_some() {
            std::fs::write(&out, &answers).unwrap();
        }
        let expected = std::fs::read_to_string(&out).unwrap_or_default();
        compare(&file, &expected, &answers, &mut failures);
    }
    assert!(failures.is_empty(), "{failures}");
}

fn compare(file: &Path, expected: &str, answers: &str, failures: &mut String) {
    let blocks = |t: &str| t.split("\n> ").map(|b| b.trim_end().to_owned()).collect::<Vec<_>>();
    let (expected, answers) = (blocks(&format!("\n{expected}")), blocks(&format!("\n{answers}")));
    if expected.len() != answers.len() {
        let _ = writeln!(failures, "{}: {} answers, {} expected", file.display(), answers.len(), expected.len());
    }
    for (e, a) in expected.iter().zip(&answers) {
        if e != a {
            let _ = writeln!(failures, "{}\n  expected: {e}\n  answered: {a}", file.display());
        }
    }
}

/// Runs every statement in a transaction of its own.
fn answers(statements: &str, dialect: Dialect, executor: &str) -> String {
    let memory = Memory::new(7);
    let mut out = String::new();
    for statement in split(statements) {
        let _ = writeln!(out, "> {}", statement.lines().next().unwrap_or_default());
        let mut tx = memory.begin();
        let answer =
            run(&mut tx, &statement, dialect, executor).and_then(|answer| tx.commit_blocking().map(|_| answer));
        match answer {
            Ok(lines) => lines.iter().for_each(|l| {
                let _ = writeln!(out, "{l}");
            }),
            Err(error) if std::env::var_os("LEDGERSTONE_ERRORS").is_some() => {
                let _ = writeln!(out, "ERROR {} {}", error.code, error.render(&statement));
            }
            Err(error) => {
                let _ = writeln!(out, "ERROR {}", error.code);
            }
        }
    }
    out
}

fn split(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| !l.starts_with("--") && !l.trim().is_empty());
    let joined = lines.collect::<Vec<_>>().join("\n");
    joined.split(";\n").map(|s| s.trim_end_matches(';').to_owned()).filter(|s| !s.trim().is_empty()).collect()
}

fn run(tx: &mut Transaction, statement: &str, dialect: Dialect, executor: &str) -> Result<Vec<String>, QueryError> {
    let parsed = match dialect {
        Dialect::Sql => ledgerstone_query::sql::parse(statement)?,
        Dialect::PartiQl => ledgerstone_query::partiql::parse(statement)?,
    };
    let mut session = SessionInfo::embedded("main", dialect);
    session.settings.set("ledgerstone.executor", executor).unwrap();
    session.transaction_time_ms = 1_577_934_245_000;
    session.statement_time_ms = 1_577_934_245_000;
    let mut out = Vec::new();
    for parsed in parsed {
        tx.begin_statement(statement, &[])?;
        let explain = matches!(parsed.statement, Statement::Explain { .. });
        match &parsed.statement {
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Explain { .. } => {
                let mut ctx = PlanContext { tx, text: statement, dialect, parameter_types: &[], session: &session };
                let plan = bind::plan(&mut ctx, &parsed.statement)?;
                if explain {
                    out.extend(plan.explain_lines(tx, &session));
                    continue;
                }
                let types: Vec<SqlType> =
                    plan.columns().map(|c| c.iter().map(|c| c.ty.clone()).collect()).unwrap_or_default();
                let rows = match exec::run(&plan, tx, &[], &session)? {
                    Outcome::Rows { rows } => rows.all()?,
                    Outcome::Affected { returning, .. } => {
                        tx.check_unique()?;
                        if dialect == Dialect::PartiQl {
                            Vec::new()
                        } else {
                            returning.unwrap_or_default().all().unwrap()
                        }
                    }
                };
                out.extend(rows.iter().map(|r| show(r, &types, dialect)));
            }
            other => {
                ddl::apply(tx, other, dialect, &SessionInfo::embedded("main", dialect))?;
            }
        }
    }
    // QLDB gives no order.
    if dialect == Dialect::PartiQl && !statement.to_lowercase().contains("order by") {
        out.sort();
    }
    Ok(out)
}

fn show(row: &Row, types: &[SqlType], dialect: Dialect) -> String {
    let cell = |(value, ty): (&Option<Value>, &SqlType)| match value {
        None => "null".to_owned(),
        Some(v) if dialect == Dialect::PartiQl => json::print(v),
        Some(v) => text::format(v, ty),
    };
    row.iter().zip(types).map(cell).collect::<Vec<_>>().join("|")
}

/// However deep a statement is, it is answered or refused: never a stack overflow.
#[test]
fn deep_statements_are_answered_or_refused() {
    let memory = Memory::new(8);
    for depth in [10, 50, 100, 127, 500] {
        let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for statement in [
            format!("select {}", nested("(select ", ")")),
            format!("select {}", nested("coalesce(null, ", ")")),
            format!("select {}", nested("(1 + ", ")")),
            format!("select {}", nested("case when true then ", " end")),
            format!("select 1 where {}", nested("exists (select ", ")")),
            format!("select {}", vec!["1"; depth].join(" + ")),
            format!("select 1 where {}", vec!["true"; depth].join(" and ")),
        ] {
            let mut tx = memory.begin();
            if let Err(error) = run(&mut tx, &statement, Dialect::Sql, "auto") {
                assert!(
                    matches!(error.code.as_str(), "54001" | "42601" | "54000"),
                    "{depth}: {}",
                    error.render(&statement)
                );
            }
        }
    }
}
