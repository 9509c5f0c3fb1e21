//! One run of a plan: parameters, budgets, and what is remembered between rows.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use ledgerstone_digest::ion::{Int, Value};

use crate::bind::plan::{Datum, Plan};
use crate::database::name_bytes;
use crate::error::Result;
use crate::function::Call;
use crate::session::{Dialect, SessionInfo};
use crate::transaction::{Doc, Transaction};
use crate::work::{Memory, Share, SpillFile};

use super::known::Known;

/// A row of a result.
pub type Row = Vec<Datum>;

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
    Doc(Arc<Doc>),
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

pub(crate) struct Run<'a> {
    pub tx: &'a Transaction,
    pub plan: &'a Plan,
    pub params: &'a [Datum],
    pub call: Call<'a>,
    pub partiql: bool,
    pub memory: Memory<'a>,
    ticks: Cell<u32>,
    pub(super) known: Rc<Known>,
    /// What runs now runs again and again: the step of a recursion.
    pub(super) repeats: Cell<bool>,
}

impl<'a> Run<'a> {
    pub fn new(plan: &'a Plan, tx: &'a Transaction, params: &'a [Datum], session: &'a SessionInfo) -> Self {
        let partiql = plan.dialect == Dialect::PartiQl;
        Run {
            tx,
            plan,
            params,
            call: Call { session, tx, transaction_id: tx.id(), partiql },
            partiql,
            memory: tx.database().workspace().memory(),
            ticks: Cell::new(0),
            known: Rc::default(),
            repeats: Cell::new(false),
        }
    }

    /// In SQL, whatever the statement's dialect is.
    pub fn in_sql(mut self) -> Self {
        (self.partiql, self.call.partiql) = (false, false);
        self
    }

    /// With what other runs of the statement know.
    pub(super) fn knowing(mut self, known: &Rc<Known>) -> Self {
        self.known = Rc::clone(known);
        self
    }

    /// Called for every row: now and then looks whether to stop.
    pub fn tick(&self) -> Result<()> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks.is_multiple_of(TICKS_PER_CHECK) { self.check_cancelled() } else { Ok(()) }
    }

    pub fn check_cancelled(&self) -> Result<()> {
        self.call.session.cancel.check()
    }

    /// Charges the statement's memory.
    pub fn charge(&self, bytes: usize) -> Result<()> {
        self.memory.charge(bytes)
    }

    /// Bytes charged so far.
    #[cfg(feature = "analytics")]
    pub fn memory_used(&self) -> usize {
        self.memory.used()
    }

    /// Gives back what was charged since [`Run::memory_used`] said so.
    #[cfg(feature = "analytics")]
    pub fn release_to(&self, used: usize) {
        self.memory.release(self.memory.used().saturating_sub(used));
    }

    pub fn charge_row(&self, row: &[Datum]) -> Result<()> {
        self.charge(bytes_of_row(row))
    }

    pub fn charge_tuple(&self, tuple: &[Slot]) -> Result<()> {
        self.charge(bytes_of_tuple(tuple))
    }

    /// Memory of one operator, for as long as that works.
    pub fn share(&self) -> Share<'_> {
        self.memory.share()
    }

    /// A file for rows that do not fit in memory.
    pub fn spill_file(&self) -> Result<SpillFile> {
        self.tx.database().workspace().file()
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
}

/// Roughly the memory of a row.
pub(crate) fn bytes_of_row(row: &[Datum]) -> usize {
    row.iter().map(|d| 24 + d.as_ref().map_or(0, size_of_value)).sum()
}

/// Roughly the memory of a tuple. A document may be shared with the cache, which may let go of it at any time.
pub(crate) fn bytes_of_tuple(tuple: &[Slot]) -> usize {
    let bytes = |slot: &Slot| match slot {
        Slot::Empty => 0,
        Slot::Value(value) => size_of_value(value),
        Slot::Doc(doc) => 256 + doc.data.as_deref().map_or(0, size_of_value),
    };
    tuple.iter().map(|slot| 64 + bytes(slot)).sum()
}

/// A rough size on the heap; containers count their elements.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::String(s) => 64 + s.len(),
        Value::Blob(b) | Value::Clob(b) => 64 + b.len(),
        Value::Int(Int::Big(b)) => 64 + b.bits() as usize / 8,
        Value::List(items) | Value::Sexp(items) => 64 + items.iter().map(size_of_value).sum::<usize>(),
        Value::Struct(s) => 64 + s.fields.iter().map(|(n, v)| 32 + name_bytes(n) + size_of_value(v)).sum::<usize>(),
        Value::Symbol(symbol) => 64 + name_bytes(symbol),
        Value::Annotated(inner) => {
            64 + inner.annotations.iter().map(|a| 32 + name_bytes(a)).sum::<usize>() + size_of_value(&inner.value)
        }
        _ => 64,
    }
}
