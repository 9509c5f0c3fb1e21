//! One run of a plan: parameters, budgets, and what is remembered between rows.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use ledgerstone_digest::ion::{Int, Value};

use crate::bind::plan::{Datum, Plan};
use crate::error::{QueryError, Result, SqlState};
use crate::function::Call;
use crate::index::Key;
use crate::session::{CancelReason, Dialect, SessionInfo};
use crate::transaction::{Doc, Transaction};

/// A row of a result.
pub type Row = Vec<Datum>;

/// Bytes one statement may keep in memory at once (sorts, groups, hash tables, results kept between rows).
pub const STATEMENT_MEMORY_BYTES_MAX: usize = 1 << 30;
/// Rows a recursive WITH query may make.
pub const RECURSION_ROWS_MAX: usize = 10_000_000;
/// Rows between two looks at the cancel flag.
const TICKS_PER_CHECK: u32 = 512;

/// What a slot holds.
#[derive(Debug, Clone, Default)]
pub(crate) enum Slot {
    #[default]
    Empty,
    Value(Value),
    Doc(Rc<Doc>),
}

impl From<Datum> for Slot {
    fn from(datum: Datum) -> Self {
        match datum {
            Some(value) => Slot::Value(value),
            None => Slot::Empty,
        }
    }
}

/// The slots of one query level while a row passes.
pub(crate) type Tuple = Vec<Slot>;

/// The row an expression is computed over, and the rows of the queries around it.
#[derive(Clone, Copy)]
pub(crate) struct Env<'e> {
    pub row: &'e [Slot],
    pub outer: Option<&'e Env<'e>>,
}

impl<'e> Env<'e> {
    /// The slots of the level `depth` out.
    pub fn level(&self, depth: u16) -> &'e [Slot] {
        let mut env = *self;
        for _ in 0..depth {
            match env.outer {
                Some(outer) => env = *outer,
                None => return &[],
            }
        }
        env.row
    }
}

/// Whether the consumer of rows wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    Stop,
}

/// Rows of an uncorrelated subquery, and for IN a set of their first columns.
pub(crate) struct Kept {
    pub rows: Vec<Row>,
    pub set: Option<(HashSet<Key>, bool)>,
}

pub(crate) struct Run<'a> {
    pub tx: &'a Transaction,
    pub plan: &'a Plan,
    pub params: &'a [Datum],
    pub call: Call<'a>,
    pub partiql: bool,
    memory: Cell<usize>,
    ticks: Cell<u32>,
    kept: RefCell<Vec<Option<Rc<Kept>>>>,
    ctes: RefCell<Vec<Option<Rc<Vec<Row>>>>>,
}

impl<'a> Run<'a> {
    pub fn new(plan: &'a Plan, tx: &'a Transaction, params: &'a [Datum], session: &'a SessionInfo) -> Self {
        let partiql = plan.dialect == Dialect::PartiQl;
        Run {
            tx,
            plan,
            params,
            call: Call { session, transaction_id: tx.id(), partiql },
            partiql,
            memory: Cell::new(0),
            ticks: Cell::new(0),
            kept: RefCell::new(Vec::new()),
            ctes: RefCell::new(Vec::new()),
        }
    }

    /// Called for every row: now and then looks whether to stop.
    pub fn tick(&self) -> Result<()> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks.is_multiple_of(TICKS_PER_CHECK) { self.check_cancelled() } else { Ok(()) }
    }

    pub fn check_cancelled(&self) -> Result<()> {
        let Some(reason) = self.call.session.cancel.reason() else { return Ok(()) };
        Err(match reason {
            CancelReason::Request => {
                QueryError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
            }
            CancelReason::Timeout => {
                QueryError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
            }
            CancelReason::Shutdown => QueryError::new(SqlState::SHUTDOWN, "the server is shutting down"),
        })
    }

    /// Charges the statement's memory.
    pub fn charge(&self, bytes: usize) -> Result<()> {
        let used = self.memory.get().saturating_add(bytes);
        self.memory.set(used);
        if used > STATEMENT_MEMORY_BYTES_MAX {
            return Err(QueryError::new(
                SqlState::OUT_OF_MEMORY,
                format!("the statement needs more than {STATEMENT_MEMORY_BYTES_MAX} bytes of memory"),
            )
            .hint("Filter or LIMIT what is sorted, grouped or joined."));
        }
        Ok(())
    }

    /// Bytes charged so far.
    #[cfg(feature = "analytics")]
    pub fn memory_used(&self) -> usize {
        self.memory.get()
    }

    /// Gives back what was charged since [`Run::memory_used`] said so.
    #[cfg(feature = "analytics")]
    pub fn release_to(&self, used: usize) {
        self.memory.set(self.memory.get().min(used));
    }

    pub fn charge_row(&self, row: &[Datum]) -> Result<()> {
        self.charge(row.iter().map(|d| 24 + d.as_ref().map_or(0, size_of_value)).sum())
    }

    pub fn charge_tuple(&self, tuple: &[Slot]) -> Result<()> {
        self.charge(
            tuple
                .iter()
                .map(|s| match s {
                    Slot::Empty => 64,
                    Slot::Value(v) => 64 + size_of_value(v),
                    Slot::Doc(_) => 512,
                })
                .sum(),
        )
    }

    /// SQL's NULL, PartiQL's null.
    pub fn null(&self) -> Datum {
        self.partiql.then_some(Value::NULL)
    }

    /// NULL, or in PartiQL MISSING too.
    pub fn is_absent(&self, datum: &Datum) -> bool {
        match datum {
            None => true,
            Some(value) => self.partiql && value.is_null(),
        }
    }

    pub fn is_true(datum: &Datum) -> bool {
        matches!(datum, Some(Value::Bool(true)))
    }

    pub fn kept(&self, id: usize) -> Option<Rc<Kept>> {
        self.kept.borrow().get(id).cloned().flatten()
    }

    pub fn keep(&self, id: usize, kept: Rc<Kept>) {
        let mut all = self.kept.borrow_mut();
        if all.len() <= id {
            all.resize(id + 1, None);
        }
        if let Some(place) = all.get_mut(id) {
            *place = Some(kept);
        }
    }

    pub fn cte_rows(&self, id: usize) -> Option<Rc<Vec<Row>>> {
        self.ctes.borrow().get(id).cloned().flatten()
    }

    /// Sets a CTE's rows; recursion sets its working table so.
    pub fn set_cte(&self, id: usize, rows: Rc<Vec<Row>>) {
        let mut all = self.ctes.borrow_mut();
        if all.len() <= id {
            all.resize(id + 1, None);
        }
        if let Some(place) = all.get_mut(id) {
            *place = Some(rows);
        }
    }
}

/// A rough size on the heap; containers count their elements.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::String(s) => 64 + s.len(),
        Value::Blob(b) | Value::Clob(b) => 64 + b.len(),
        Value::Int(Int::Big(b)) => 64 + b.bits() as usize / 8,
        Value::List(items) | Value::Sexp(items) => 64 + items.iter().map(size_of_value).sum::<usize>(),
        Value::Struct(s) => 64 + s.fields.iter().map(|(_, v)| 32 + size_of_value(v)).sum::<usize>(),
        _ => 64,
    }
}
