//! Which plans run in place on the thread that reads the client's messages; all others make room for other sessions
//! first, which costs two changes of threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::function::{Arg, Scalar, Volatility};
use crate::types::SqlType;

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

/// Calls and the like in one statement that are still quick together.
const CALLS_QUICK: usize = 100;
/// Functions that read their arguments once at most, or look something up. What is not here may take long for some arguments,
/// and nobody else is served by a thread while it does.
const CHEAP: &[&str] = &[
    // What drivers ask when they connect.
    "version",
    "current_database",
    "current_catalog",
    "current_schema",
    "current_schemas",
    "current_user",
    "session_user",
    "current_role",
    "user",
    "current_setting",
    "set_config",
    "pg_backend_pid",
    "pg_is_in_recovery",
    "pg_my_temp_schema",
    "pg_encoding_to_char",
    "pg_char_to_encoding",
    "getdatabaseencoding",
    "txid_current",
    "txid",
    // What makes ids and times.
    "gen_random_uuid",
    "random",
    "nextval",
    "currval",
    "lastval",
    "ledgerstone_next_identity",
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "current_timestamp",
    "current_date",
    "localtime",
    "localtimestamp",
    "utcnow",
    "date_trunc",
    "date_part",
    "date_add",
    "extract",
    "ledgerstone_extract",
    "ledgerstone_round_time",
    "ledgerstone_time_plus",
    "ledgerstone_time_minus",
    "timezone",
    // Texts, numbers and parts of documents.
    "lower",
    "upper",
    "length",
    "char_length",
    "character_length",
    "octet_length",
    "substring",
    "substr",
    "left",
    "right",
    "btrim",
    "ltrim",
    "rtrim",
    "trim",
    "starts_with",
    "concat",
    "ledgerstone_text_concat",
    "ledgerstone_bytea_concat",
    "ledgerstone_pad",
    "lpad",
    "rpad",
    "abs",
    "sign",
    "floor",
    "ceil",
    "ceiling",
    "round",
    "trunc",
    "greatest",
    "least",
    "num_nulls",
    "num_nonnulls",
    "cardinality",
    "array_length",
    "array_append",
    "array_prepend",
    "array_cat",
    "jsonb_build_object",
    "jsonb_build_array",
    "jsonb_set",
    "to_jsonb",
    "to_json",
    "jsonb_typeof",
    "jsonb_exists",
    "ledgerstone_jsonb_concat",
    "ledgerstone_jsonb_path",
    "ledgerstone_json_text",
    "ledgerstone_object",
    "ledgerstone_list",
];

/// Whether a call is quick, whatever its arguments.
pub(super) fn is_cheap(function: &Scalar) -> bool {
    // SUBSTRING with a pattern is a regular expression under the same name.
    let pattern = function.name == "substring" && function.arguments.get(1) == Some(&Arg::Type(SqlType::Text));
    CHEAP.contains(&function.name) && !pattern && function.volatility != Volatility::Waiting
}

/// How long a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Speed {
    /// A fraction of a millisecond, by its shape and its expressions: rows of constants, documents found by id or by a unique
    /// key.
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
    /// Some expression may take long, or waits: whatever its shape, it is not quick.
    pub(super) costly: bool,
}

/// What the expressions of a statement cost, as they are bound.
#[derive(Debug, Default)]
pub(super) struct Costs {
    calls: usize,
    costly: bool,
}

impl Costs {
    /// A call, or something else that takes the time to read what it is given.
    pub fn call(&mut self, is_cheap: bool) {
        self.calls += 1;
        self.costly |= !is_cheap;
    }

    pub fn pace(&self) -> Pace {
        Pace { quick: AtomicU32::new(0), costly: self.costly || self.calls > CALLS_QUICK }
    }
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
        if self.pace.costly || !self.ctes.is_empty() || self.tables.len() > 1 {
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
            Body::Merge(_) => Speed::Long,
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
    fn every_cheap_function_is_one() {
        for name in CHEAP {
            assert!(crate::function::named(name).any(is_cheap), "{name}");
        }
    }

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
