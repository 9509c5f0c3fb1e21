//! The document executor: runs bound statements over Ion documents through the row index. It can run every operator, so
//! it is what every other executor is measured against.

mod arithmetic;
mod change;
mod changes;
pub mod copy;
mod distinct;
mod dml;
mod eval;
mod group;
mod known;
mod merge;
pub(crate) mod point;
mod query;
mod result;
mod run;
mod sort;
mod source;
mod window;
mod with;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;

pub use point::{Found, FoundRows};
pub use result::ResultRows;
pub use run::{RECURSION_ROWS_MAX, Row};

pub(crate) use arithmetic::symbol;
pub(crate) use eval::storable;
#[cfg(feature = "analytics")]
pub(crate) use eval::{doc_part, field};
#[cfg(feature = "analytics")]
pub(crate) use run::{Env, Slot, Tuple, bytes_of_row};
pub(crate) use run::{Flow, Run};
pub(crate) use source::slots_of;
pub(crate) use window::default_frame;

use result::Collector;

use crate::bind::plan::{Body, Datum, Plan, QueryPlan};
use crate::catalogue::ddl;
use crate::error::{QueryError, Result, SqlState};
use crate::function::{Call, reg_name};
use crate::session::SessionInfo;
use crate::transaction::Transaction;

/// What a statement did.
#[derive(Debug)]
pub enum Outcome {
    Rows {
        rows: ResultRows,
    },
    Affected {
        /// `INSERT`, `UPDATE` or `DELETE`; `SELECT` of a query whose WITH changes documents.
        command: &'static str,
        count: u64,
        /// Rows of RETURNING, of that query, or QLDB's `{documentId}` rows.
        returning: Option<ResultRows>,
        document_ids: Vec<Id>,
    },
}

/// Runs a plan with these parameters, cast to [`Plan::parameter_types`] already by the door or here.
pub fn run(plan: &Plan, tx: &mut Transaction, params: &[Datum], session: &SessionInfo) -> Result<Outcome> {
    // Of a statement that failed.
    tx.take_counts_from();
    session.given.next_statement();
    let outcome = match &plan.body {
        Body::Query(query) if plan.is_read_only() => {
            Outcome::Rows { rows: run_query(plan, query, tx, params, session)? }
        }
        _ => {
            check_run(plan, tx, params)?;
            let outcome = dml::run(plan, tx, params, session)?;
            tx.check_unique()?;
            outcome
        }
    };
    for ((table, column), from) in tx.take_counts_from().0 {
        ddl::count_on_from(tx, table, &column, from)?;
    }
    Ok(outcome)
}

fn run_query(
    plan: &Plan,
    query: &QueryPlan,
    tx: &Transaction,
    params: &[Datum],
    session: &SessionInfo,
) -> Result<ResultRows> {
    check_run(plan, tx, params)?;
    let run = Run::new(plan, tx, params, session);
    run.check_cancelled()?;
    let mut rows = Collector::of_run(&run);
    run.query(query, None, None, &mut |mut row| {
        name_oids(plan, &run.call, &mut row);
        run.tick()?;
        rows.push(row)?;
        Ok(Flow::More)
    })?;
    rows.finish()
}

/// Oids of `regclass` and its kin become names on their way out.
fn name_oids(plan: &Plan, call: &Call<'_>, row: &mut Row) {
    for (at, reg) in &plan.reg_columns {
        if let Some(Some(value)) = row.get_mut(*at)
            && let Some(oid) = value.as_i64()
        {
            *value = Value::string(reg_name(call, *reg, oid));
        }
    }
}

/// Parameters are all there, and each table is still what it was when the plan was made; reading it is recorded.
fn check_run(plan: &Plan, tx: &Transaction, params: &[Datum]) -> Result<()> {
    if params.len() < plan.parameter_types.len() {
        return Err(QueryError::new(
            SqlState::UNDEFINED_PARAMETER,
            format!("{} parameters are needed, {} were given", plan.parameter_types.len(), params.len()),
        ));
    }
    if tx.note_published_definitions(plan.catalogue_version, &plan.tables) {
        return Ok(());
    }
    for table in &plan.tables {
        let now = tx.table_by_id(table.id)?;
        let same = now.as_ref().is_some_and(|t| {
            std::sync::Arc::ptr_eq(t, table) || t.definition_version == table.definition_version && t == table
        });
        if !same {
            return Err(QueryError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the definition of \"{}\" has changed since the statement was prepared", table.name),
            )
            .hint("Prepare it again."));
        }
    }
    Ok(())
}
