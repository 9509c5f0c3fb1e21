//! Which plans run in place on the thread that reads the client's messages; all others make room for other sessions
//! first, which costs two changes of threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::plan::{Access, Body, InsertRows, Node, Plan, QueryBody, QueryPlan, Source, TableSource, ViewPlan};

/// Rows of VALUES that are still quick.
const VALUES_ROWS_QUICK: usize = 256;
/// A run that took no longer was quick.
const QUICK_MAX: Duration = Duration::from_millis(1);
/// So was one that visited so few documents and took longer, unless much longer: the processor was with somebody else.
const QUICK_DOCUMENTS_MAX: u64 = 64;
const FEW_DOCUMENTS_MAX: Duration = Duration::from_millis(20);
/// So many quick runs, one after the other, and the next is done in place.
const QUICK_RUNS: u32 = 8;

/// How long a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Speed {
    /// A fraction of a millisecond, by its shape: rows of constants, documents found by id or by a unique key.
    Quick,
    /// It depends on how many documents have a key, or how many revisions a document has.
    Depends,
    Long,
}

/// What was learned of a plan from its runs.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Runs since the last one that was not quick.
    pub(super) quick: AtomicU32,
    /// It waits: whatever its shape, it is not quick.
    pub(super) waits: bool,
}

impl Plan {
    /// Runs it here if it is quick, as far as can be told, and otherwise by `long`, which lets other sessions go on. Where
    /// that depends on the data the plan's last runs decide, so one document with a long history does not hold up other
    /// sessions again and again: then the answer is how long this one took, for [`Pace::note`].
    pub fn run_at_its_pace(&self, long: impl FnOnce(&mut dyn FnMut()), work: &mut dyn FnMut()) -> Option<Duration> {
        let speed = self.speed();
        let begun = (speed == Speed::Depends).then(Instant::now);
        match speed {
            Speed::Quick => work(),
            Speed::Depends if self.pace.is_quick() => work(),
            Speed::Depends | Speed::Long => long(work),
        }
        begun.map(|begun| begun.elapsed())
    }

    /// Subqueries name tables of their own, so a plan with more tables than its shape shows is not quick.
    fn speed(&self) -> Speed {
        if self.pace.waits || !self.ctes.is_empty() || self.tables.len() > 1 {
            return Speed::Long;
        }
        match &self.body {
            Body::Query(query) => of_query(query),
            Body::Insert(insert) => match &insert.source {
                InsertRows::Columns { query, .. } | InsertRows::Fields { query, .. } => of_query(query),
                InsertRows::Defaults | InsertRows::Documents { single: true, .. } => Speed::Quick,
                InsertRows::Documents { .. } | InsertRows::DocumentQuery(_) => Speed::Long,
            },
            Body::Update(update) => of_node(&update.from),
            Body::Delete(delete) => of_node(&delete.from),
        }
    }
}

impl Pace {
    fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_RUNS
    }

    /// Takes note of a run: what it took, and how many documents it visited.
    pub fn note(&self, elapsed: Duration, visited: u64) {
        let most = if visited <= QUICK_DOCUMENTS_MAX { FEW_DOCUMENTS_MAX } else { QUICK_MAX };
        if elapsed > most {
            self.quick.store(0, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn of_query(query: &QueryPlan) -> Speed {
    match &query.body {
        QueryBody::Select(select) if select.series.is_empty() => select.from.as_ref().map_or(Speed::Quick, of_node),
        QueryBody::Values { rows, .. } if rows.len() <= VALUES_ROWS_QUICK => Speed::Quick,
        _ => Speed::Long,
    }
}

fn of_node(node: &Node) -> Speed {
    match node {
        Node::Source(source) if source.input.is_none() => match &source.source {
            Source::Table(table) => of_table(table),
            _ => Speed::Long,
        },
        Node::Filter { input, .. } => of_node(input),
        _ => Speed::Long,
    }
}

fn of_table(table: &TableSource) -> Speed {
    match (&table.view, &table.access) {
        (ViewPlan::Current, Access::Ids(_)) => Speed::Quick,
        (ViewPlan::Current, Access::Index { index, keys }) => {
            if index.unique && keys.len() == index.paths.len() {
                Speed::Quick
            } else {
                Speed::Depends
            }
        }
        (ViewPlan::History { from: None, to: None }, Access::Ids(_)) => Speed::Depends,
        // An index that was made later does not know who had a key before: then history is scanned.
        (ViewPlan::History { from: None, to: None }, Access::Index { index, .. }) if index.from_position == 0 => {
            Speed::Depends
        }
        _ => Speed::Long,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_run_takes_back_what_quick_ones_have_earned() {
        let pace = Pace::default();
        for _ in 0..QUICK_RUNS {
            assert!(!pace.is_quick());
            pace.note(QUICK_MAX, u64::MAX);
        }
        pace.note(QUICK_MAX * 2, 1);
        assert!(pace.is_quick());
        pace.note(QUICK_MAX * 2, QUICK_DOCUMENTS_MAX + 1);
        assert!(!pace.is_quick());
    }
}
