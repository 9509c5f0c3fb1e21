//! The function registry: scalar functions by family, aggregates, window functions and table functions; which overload a
//! call means (PostgreSQL's documentation, 10.3, simplified: fewest and cheapest conversions win).

pub(crate) mod advisory;
pub mod aggregate;
mod array;
mod json;
mod math;
mod pattern;
mod pg_catalog;
pub(crate) mod proof;
mod qldb;
mod sequence;
pub(crate) mod size;
mod statistics;
mod system;
pub mod table;
mod template;
mod text;
mod text_format;
pub mod time;
mod time_pattern;
mod volatile;
pub mod window;

pub(crate) use math::power;
pub(crate) use pattern::{Search, like};
pub(crate) use pg_catalog::{names_written, reg_name, relation_in};
pub(crate) use proof::proof_error;
pub(crate) use text::quote_ident;

use std::cell::Cell;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Int, Text, Value};

use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::session::{Cancel, SessionInfo};
use crate::transaction::Transaction;
use crate::types::SqlType;

/// What a function may know beside its arguments.
pub struct Call<'a> {
    pub session: &'a SessionInfo,
    /// Whose catalogue it is: what a transaction has defined is there for it alone.
    pub tx: &'a Transaction,
    pub transaction_id: Id,
    pub partiql: bool,
}

impl Call<'_> {
    /// `now()` in microseconds since 1970.
    pub fn now_micros(&self) -> i64 {
        self.session.transaction_time_ms.saturating_mul(1000)
    }

    /// A count of steps of something that may take many.
    pub(crate) fn steps(&self) -> Steps<'_> {
        Steps { cancel: &self.session.cancel, left: Cell::new(STEPS_PER_ASK) }
    }
}

/// Steps, roughly of a comparison each, between two looks whether to stop.
const STEPS_PER_ASK: usize = 1 << 16;

/// Counts the steps of one call, and now and then looks whether the statement is to stop.
pub(crate) struct Steps<'a> {
    cancel: &'a Cancel,
    left: Cell<usize>,
}

impl Steps<'_> {
    pub fn take(&self, steps: usize) -> Result<()> {
        match self.left.get().checked_sub(steps) {
            Some(left) => self.left.set(left),
            None => {
                self.left.set(STEPS_PER_ASK);
                self.cancel.check()?;
            }
        }
        Ok(())
    }
}

/// What an argument may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// This type, or what converts to it implicitly.
    Type(SqlType),
    /// A field of a document without a type, and nothing that has one.
    Untyped,
    /// Any number type, unchanged.
    Number,
    /// Anything; an untyped literal becomes text.
    Any,
    /// Anything, of which the text counts: where a value alone does not tell its type it is made here.
    Shown,
    AnyArray,
}

/// What a function returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Returns {
    Type(SqlType),
    /// The type of an argument.
    Same(usize),
    /// The same; an integer that does not fit it is an error.
    Within(usize),
    /// Numeric for numeric, double precision for every other number.
    Rounded(usize),
    /// The element type of an array argument.
    Element(usize),
    /// An array of the argument's type.
    ArrayOf(usize),
    TextArray,
    IntArray,
}

/// What calls with the same arguments have in common (PostgreSQL's documentation, "Function Volatility Categories").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    /// The answer, within a statement: one call may stand for all.
    Stable,
    /// Nothing: it answers differently or does something each time, so it is called once for each row.
    Volatile,
    /// Nothing, and it may keep its statement waiting, for others or for a time.
    Waiting,
}

/// A scalar function.
pub struct Scalar {
    pub name: &'static str,
    pub arguments: &'static [Arg],
    /// The last argument may repeat, or be left out.
    pub variadic: bool,
    pub returns: Returns,
    /// NULL in, NULL out, without a call.
    pub strict: bool,
    pub volatility: Volatility,
    pub call: fn(&Call<'_>, &[Datum]) -> Result<Datum>,
}

impl Scalar {
    const fn volatile(mut self) -> Scalar {
        self.volatility = Volatility::Volatile;
        self
    }

    const fn waiting(mut self) -> Scalar {
        self.volatility = Volatility::Waiting;
        self
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?})", self.name, self.arguments)
    }
}

type Function = fn(&Call<'_>, &[Datum]) -> Result<Datum>;

/// A strict function.
pub(crate) const fn strict(name: &'static str, arguments: &'static [Arg], returns: Returns, call: Function) -> Scalar {
    Scalar { name, arguments, variadic: false, returns, strict: true, volatility: Volatility::Stable, call }
}

/// A function that looks at NULLs itself; the last argument may repeat.
pub(crate) const fn variadic(
    name: &'static str,
    arguments: &'static [Arg],
    returns: Returns,
    call: Function,
) -> Scalar {
    Scalar { name, arguments, variadic: true, returns, strict: false, volatility: Volatility::Stable, call }
}

/// A function that looks at NULLs itself.
pub(crate) const fn lenient(name: &'static str, arguments: &'static [Arg], returns: Returns, call: Function) -> Scalar {
    Scalar { name, arguments, variadic: false, returns, strict: false, volatility: Volatility::Stable, call }
}

/// Argument and return types as short words for the tables of the families.
pub(crate) mod ty {
    use super::{Arg, Returns};
    use crate::types::SqlType;

    pub const TEXT: Arg = Arg::Type(SqlType::Text);
    pub const INT4: Arg = Arg::Type(SqlType::Int4);
    pub const INT8: Arg = Arg::Type(SqlType::Int8);
    pub const FLOAT8: Arg = Arg::Type(SqlType::Float8);
    pub const NUMERIC: Arg = Arg::Type(SqlType::NUMERIC);
    pub const DATE: Arg = Arg::Type(SqlType::Date);
    pub const TIME: Arg = Arg::Type(SqlType::Time);
    pub const TIMESTAMP: Arg = Arg::Type(SqlType::Timestamp);
    pub const TIMESTAMPTZ: Arg = Arg::Type(SqlType::TimestampTz);
    pub const INTERVAL: Arg = Arg::Type(SqlType::Interval);
    pub const BYTEA: Arg = Arg::Type(SqlType::Bytea);
    pub const JSONB: Arg = Arg::Type(SqlType::Jsonb);
    pub const BOOL: Arg = Arg::Type(SqlType::Bool);
    pub const UNTYPED: Arg = Arg::Untyped;
    pub const ANY: Arg = Arg::Any;
    pub const SHOWN: Arg = Arg::Shown;
    pub const NUMBER: Arg = Arg::Number;
    pub const ARRAY: Arg = Arg::AnyArray;

    pub const fn of(ty: SqlType) -> Returns {
        Returns::Type(ty)
    }
    pub const R_TEXT: Returns = Returns::Type(SqlType::Text);
    pub const R_BOOL: Returns = Returns::Type(SqlType::Bool);
    pub const R_INT4: Returns = Returns::Type(SqlType::Int4);
    pub const R_INT8: Returns = Returns::Type(SqlType::Int8);
    pub const R_FLOAT8: Returns = Returns::Type(SqlType::Float8);
    pub const R_NUMERIC: Returns = Returns::Type(SqlType::NUMERIC);
    pub const R_JSONB: Returns = Returns::Type(SqlType::Jsonb);
}

fn families() -> [&'static [Scalar]; 14] {
    [
        text::FUNCTIONS,
        math::FUNCTIONS,
        time::FUNCTIONS,
        template::FUNCTIONS,
        json::FUNCTIONS,
        array::FUNCTIONS,
        pattern::FUNCTIONS,
        proof::FUNCTIONS,
        system::FUNCTIONS,
        qldb::FUNCTIONS,
        pg_catalog::FUNCTIONS,
        sequence::FUNCTIONS,
        volatile::FUNCTIONS,
        advisory::FUNCTIONS,
    ]
}

/// All scalar functions of this name.
pub fn named(name: &str) -> impl Iterator<Item = &'static Scalar> {
    families().into_iter().flatten().filter(move |f| f.name == name)
}

/// Whether what a function reads or does depends on the rights of who calls it, beyond its arguments: proofs of any table's
/// rows, an operator's actions, the session's settings.
pub(crate) fn acts_for_its_caller(function: &Scalar) -> bool {
    proof::FUNCTIONS.iter().any(|proof| proof == function)
        || matches!(function.name, "ledgerstone_accept_clock" | "set_config" | "setval")
}

/// Every function name there is, for "did you mean".
pub fn names() -> impl Iterator<Item = &'static str> {
    families().into_iter().flatten().map(|f| f.name).chain(aggregate::NAMES.iter().copied())
}

/// The overload that takes these arguments with the least conversion. `None` as a type is an untyped literal. In PartiQL,
/// where nothing has a type, those are meant that say what they take: what does not fit is MISSING.
pub fn resolve(name: &str, types: &[Option<SqlType>], partiql: bool) -> Option<&'static Scalar> {
    named(name)
        .filter(|f| !partiql || !f.arguments.contains(&Arg::Untyped))
        .filter_map(|f| cost(f, types).map(|c| (c, f)))
        // min_by_key keeps the first of equals, so tables list the preferred overload first.
        .min_by_key(|(c, _)| *c)
        .map(|(_, f)| f)
}

/// The parameter an argument goes to.
pub fn parameter(function: &Scalar, at: usize) -> Option<&'static Arg> {
    match function.variadic {
        true => function.arguments.get(at).or(function.arguments.last()),
        false => function.arguments.get(at),
    }
}

fn cost(function: &Scalar, types: &[Option<SqlType>]) -> Option<u32> {
    let least = function.arguments.len() - usize::from(function.variadic);
    if types.len() < least || !function.variadic && types.len() > function.arguments.len() {
        return None;
    }
    types
        .iter()
        .enumerate()
        .try_fold(0, |sum, (i, ty)| Some(sum + argument_cost(parameter(function, i)?, ty.as_ref())?))
}

fn argument_cost(parameter: &Arg, ty: Option<&SqlType>) -> Option<u32> {
    Some(match (parameter, ty) {
        (Arg::Any | Arg::Shown, _) => 3,
        (Arg::Number, Some(t)) if t.is_number() => 0,
        (Arg::Number, None) => 4,
        (Arg::Number, Some(SqlType::Ion)) => 5,
        (Arg::AnyArray, Some(SqlType::Array(_))) => 0,
        (Arg::AnyArray, Some(SqlType::Ion) | None) => 5,
        (Arg::Type(SqlType::Text), None) => 1,
        (Arg::Type(_), None) => 2,
        (Arg::Untyped, Some(SqlType::Ion)) => 0,
        (Arg::Type(_), Some(SqlType::Ion)) => 5,
        (Arg::Type(to), Some(from)) => implicit_cost(from, to)?,
        _ => return None,
    })
}

/// How far an implicit conversion is; `None` if there is none.
pub fn implicit_cost(from: &SqlType, to: &SqlType) -> Option<u32> {
    if same_kind(from, to) {
        return Some(0);
    }
    let rank = |t: &SqlType| {
        Some(match t {
            SqlType::Int2 => 1,
            SqlType::Int4 => 2,
            SqlType::Int8 => 3,
            SqlType::Numeric { .. } => 4,
            SqlType::Float4 => 5,
            SqlType::Float8 => 6,
            _ => return None,
        })
    };
    if let (Some(a), Some(b)) = (rank(from), rank(to)) {
        // Double precision is the type PostgreSQL prefers among numbers.
        return (a < b).then(|| {
            if *to == SqlType::Float8 {
                3
            } else if b == 4 {
                4
            } else {
                b - a
            }
        });
    }
    match (from, to) {
        (f, t) if f.is_text() && t.is_text() => Some(1),
        (SqlType::Date, SqlType::Timestamp) => Some(2),
        (SqlType::Time, SqlType::Interval) => Some(3),
        (SqlType::Date, SqlType::TimestampTz) | (SqlType::Timestamp, SqlType::TimestampTz) => Some(1),
        (SqlType::Int4 | SqlType::Int8 | SqlType::Int2, SqlType::Oid) => Some(2),
        (SqlType::Oid | SqlType::Reg(_), SqlType::Int8) => Some(2),
        (SqlType::Reg(_), SqlType::Oid) => Some(1),
        (SqlType::Array(a), SqlType::Array(b)) => implicit_cost(a, b),
        (SqlType::Ion, _) | (_, SqlType::Ion) => Some(5),
        _ => None,
    }
}

/// The same type but for length, precision and scale.
pub fn same_kind(a: &SqlType, b: &SqlType) -> bool {
    match (a, b) {
        (SqlType::Numeric { .. }, SqlType::Numeric { .. })
        | (SqlType::Varchar(_), SqlType::Varchar(_))
        | (SqlType::Char(_), SqlType::Char(_)) => true,
        (SqlType::Array(a), SqlType::Array(b)) => same_kind(a, b),
        _ => a == b,
    }
}

/// PartiQL: an argument as the parameter takes it, or `None` if its type is another.
pub fn permissive(parameter: &Arg, value: Value) -> Option<Value> {
    let value = match value {
        Value::Annotated(inner) => inner.value,
        other => other,
    };
    let fits = match parameter {
        Arg::Any | Arg::Shown | Arg::Untyped => true,
        Arg::Number => matches!(value, Value::Int(_) | Value::Decimal(_) | Value::Float(_)),
        Arg::AnyArray => matches!(value, Value::List(_)),
        Arg::Type(ty) => match ty {
            SqlType::Text => {
                return match value {
                    Value::String(_) => Some(value),
                    Value::Symbol(s) => s.kept().map(|t| Value::String(t.clone())),
                    _ => None,
                };
            }
            SqlType::Bool => matches!(value, Value::Bool(_)),
            SqlType::Int4 | SqlType::Int8 | SqlType::Int2 => matches!(value, Value::Int(Int::Small(_))),
            SqlType::Numeric { .. } | SqlType::Float8 => {
                matches!(value, Value::Int(_) | Value::Decimal(_) | Value::Float(_))
            }
            SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz => matches!(value, Value::Timestamp(_)),
            SqlType::Bytea => matches!(value, Value::Blob(_)),
            _ => true,
        },
    };
    fits.then_some(value)
}

// What the families read their arguments with. A wrong type here is a defect of the registry, said and not panicked.

pub(crate) fn text_at(a: &[Datum], i: usize) -> Result<&str> {
    match a.get(i) {
        Some(Some(Value::String(s))) => Ok(s),
        Some(Some(Value::Symbol(s))) => Ok(s.text().unwrap_or("$0")),
        _ => Err(wrong(i, "text")),
    }
}

pub(crate) fn int_at(a: &[Datum], i: usize) -> Result<i64> {
    a.get(i).and_then(|v| v.as_ref()).and_then(Value::as_i64).ok_or_else(|| wrong(i, "an integer"))
}

/// An integer of an untyped field, which may have annotations, or be a text that reads as one.
pub(crate) fn int_in(a: &[Datum], i: usize) -> Result<i64> {
    let found = match value_at(a, i)?.unannotated() {
        Value::String(text) => crate::value::text::parse(text, &SqlType::Int8, 0)?.as_i64(),
        other => other.as_i64(),
    };
    found.ok_or_else(|| wrong(i, "an integer"))
}

pub(crate) fn float_at(a: &[Datum], i: usize) -> Result<f64> {
    match a.get(i) {
        Some(Some(Value::Float(f))) => Ok(*f),
        Some(Some(v @ (Value::Int(_) | Value::Decimal(_)))) => Ok(crate::value::numeric::Num::from_value(v)?.to_f64()),
        _ => Err(wrong(i, "a number")),
    }
}

pub(crate) fn bool_at(a: &[Datum], i: usize) -> Result<bool> {
    match a.get(i) {
        Some(Some(Value::Bool(b))) => Ok(*b),
        _ => Err(wrong(i, "a boolean")),
    }
}

pub(crate) fn value_at(a: &[Datum], i: usize) -> Result<&Value> {
    a.get(i).and_then(|v| v.as_ref()).ok_or_else(|| wrong(i, "a value"))
}

pub(crate) fn list_at(a: &[Datum], i: usize) -> Result<&[Value]> {
    match a.get(i) {
        Some(Some(Value::List(items) | Value::Sexp(items))) => Ok(items),
        _ => Err(wrong(i, "an array")),
    }
}

pub(crate) fn micros_at(a: &[Datum], i: usize) -> Result<i64> {
    match a.get(i) {
        Some(Some(Value::Timestamp(t))) => Ok(crate::value::datetime::to_micros(t)),
        _ => Err(wrong(i, "a timestamp")),
    }
}

pub(crate) fn wrong(at: usize, what: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("argument {} must be {what}", at + 1))
}

pub(crate) fn some_text(text: impl Into<Text>) -> Result<Datum> {
    Ok(Some(Value::string(text)))
}

pub(crate) fn some_int(i: i64) -> Result<Datum> {
    Ok(Some(Value::int(i)))
}

pub(crate) fn some_bool(b: bool) -> Result<Datum> {
    Ok(Some(Value::Bool(b)))
}
