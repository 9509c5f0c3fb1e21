//! The rows of WITH queries, computed when they are first read and kept for as long as the statement runs. Recursive ones
//! are computed round by round, and no further than somebody reads.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use super::query::{RowSink, row_key};
use super::result::ResultRows;
use super::run::{Env, Flow, RECURSION_ROWS_MAX, Row, Run, bytes_of_row};
use crate::bind::plan::{CteRows, QueryPlan};
use crate::error::{QueryError, Result, SqlState};
use crate::index::Key;
use crate::value::json;
use crate::work::Held;

/// A recursive WITH query.
#[derive(Clone, Copy)]
struct Recursion<'p> {
    id: usize,
    name: &'p str,
    base: &'p QueryPlan,
    step: &'p QueryPlan,
    /// UNION ALL between them.
    all: bool,
}

/// The rows of a recursive query as far as they are known.
#[derive(Default)]
pub(super) struct Growing {
    rows: RefCell<Vec<Row>>,
    /// Where those of the last round begin; nothing if there was none.
    last: Cell<Option<usize>>,
    /// Those there were, if the same ones are not to come again.
    seen: RefCell<HashSet<Key>>,
    complete: Cell<bool>,
    /// Their memory, if they outlive the runs that have computed them.
    held: RefCell<Vec<Held>>,
}

impl Run<'_> {
    /// Hands out a WITH query's rows. They are computed anew each time if they depend on rows of the queries `outside`, and not
    /// kept if this place reads them once and no other does.
    pub(super) fn each_of_cte(
        &self,
        id: usize,
        outside: Option<&Env<'_>>,
        read_once: bool,
        sink: RowSink<'_>,
    ) -> Result<Flow> {
        if let Some(rows) = self.known.ctes.get(id) {
            return rows.each(sink);
        }
        let cte = self.plan.ctes.get(id).ok_or_else(|| QueryError::internal("unknown WITH query"))?;
        match &cte.rows {
            CteRows::Query(query) if read_once && cte.reads == 1 => {
                let mut flow = Flow::More;
                self.query(query, outside, None, &mut |row| {
                    flow = sink(row)?;
                    Ok(flow)
                })?;
                Ok(flow)
            }
            CteRows::Query(query) => {
                let rows = Rc::new(self.spooled(query, outside)?);
                if !cte.outside {
                    self.known.ctes.set(id, Rc::clone(&rows));
                }
                rows.each(sink)
            }
            CteRows::Recursive { base, step, all } => {
                let known = if cte.outside { None } else { self.known.growing.get(id) };
                let growing = known.unwrap_or_default();
                if !cte.outside {
                    self.known.growing.set(id, Rc::clone(&growing));
                }
                self.each_round(Recursion { id, name: &cte.name, base, step, all: *all }, &growing, outside, sink)
            }
            // Whatever reads it comes after it.
            CteRows::Change(_) => Err(QueryError::internal("a change in WITH was not done before it is read")),
        }
    }

    /// What reads the rows may read them itself, from the first on, and make them grow.
    fn each_round(
        &self,
        recursion: Recursion<'_>,
        growing: &Growing,
        outside: Option<&Env<'_>>,
        sink: RowSink<'_>,
    ) -> Result<Flow> {
        let mut at = 0;
        loop {
            while let Some(row) = growing.row(at) {
                at += 1;
                if sink(row)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            if growing.complete.get() {
                return Ok(Flow::More);
            }
            self.one_round(recursion, growing, outside)?;
        }
    }

    fn one_round(&self, recursion: Recursion<'_>, growing: &Growing, outside: Option<&Env<'_>>) -> Result<()> {
        let Recursion { id, name, base, step, all } = recursion;
        self.check_cancelled()?;
        let made = match growing.last.get() {
            None => self.query_rows(base, outside)?,
            Some(from) => {
                let working = growing.rows.borrow().get(from..).unwrap_or_default().to_vec();
                self.known.ctes.set(id, Rc::new(ResultRows::of(working)));
                let repeats = self.repeats.replace(true);
                let made = self.query_rows(step, outside);
                self.repeats.set(repeats);
                self.known.ctes.forget(id);
                let made = made?;
                // Each round may put what it was given into something: what is made of that in the end must not be too
                // deep for the stack.
                if made.iter().flatten().flatten().any(|value| json::is_deeper(value, json::DEPTH_MAX)) {
                    return Err(json::too_deep());
                }
                made
            }
        };
        if self.known.outlives_runs {
            growing.held.borrow_mut().extend(self.memory.hold(made.iter().map(|row| bytes_of_row(row)).sum()));
        }
        let (mut rows, mut seen) = (growing.rows.borrow_mut(), growing.seen.borrow_mut());
        let before = rows.len();
        rows.extend(made.into_iter().filter(|row| all || seen.insert(row_key(row))));
        growing.last.set(Some(before));
        growing.complete.set(rows.len() == before);
        if rows.len() > RECURSION_ROWS_MAX {
            return Err(QueryError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("WITH RECURSIVE \"{name}\" makes more than {RECURSION_ROWS_MAX} rows"),
            ));
        }
        Ok(())
    }
}

impl Growing {
    fn row(&self, at: usize) -> Option<Row> {
        Ref::filter_map(self.rows.borrow(), |rows| rows.get(at)).ok().map(|row| row.clone())
    }
}
