//! Aggregates (PostgreSQL's documentation, 9.21) with PostgreSQL's result types: `sum(int)` is bigint, `sum(bigint)` and
//! `avg` of integers numeric. In PartiQL the numbers decide at run time.

use std::collections::HashSet;

use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::same_kind;
pub use super::statistics::ORDERED_SET;
use super::statistics::{Collected, PairKind};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::index::Key;
use crate::types::SqlType;
use crate::value::datetime::Interval;
use crate::value::numeric::Num;
use crate::value::{cast, compare, json, numeric};

/// Which aggregate, and where it matters, over which type.
#[derive(Debug, Clone, PartialEq)]
pub enum AggregateKind {
    CountStar,
    Count,
    Sum(Number),
    Avg(Number),
    Min,
    Max,
    Spread {
        population: bool,
        root: bool,
        float: bool,
    },
    StringAgg,
    ArrayAgg,
    BoolAnd,
    BoolOr,
    BitAnd,
    BitOr,
    BitXor,
    JsonAgg,
    JsonObjectAgg,
    /// `percentile_cont` and `percentile_disc`: values come in order, the fraction beside each.
    Percentile {
        continuous: bool,
    },
    /// The most frequent of values that come in order.
    Mode,
    /// Of pairs of numbers.
    Pair(PairKind),
}

/// How numbers are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Into bigint.
    Int,
    /// Into numeric.
    Numeric,
    Float4,
    Float8,
    Interval,
    /// PartiQL: ints stay ints.
    Dynamic,
}

/// Names that are aggregates.
pub const NAMES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// The aggregate a call means, the types its arguments are cast to, and its result type.
/// `None`: there is none for these argument types.
pub fn resolve(name: &str, types: &[Option<SqlType>]) -> Option<(AggregateKind, Vec<Option<SqlType>>, SqlType)> {
    use AggregateKind::*;
    let first = types.first().cloned().flatten();
    let ion = first == Some(SqlType::Ion);
    let keep = vec![None; types.len()];
    let found = match (name, types.len()) {
        ("count", 1) => (Count, keep, SqlType::Int8),
        ("sum" | "avg", 1) => return sum_or_avg(name == "sum", first),
        ("min" | "max", 1) => {
            let ty = match first {
                None => SqlType::Text,
                Some(t @ (SqlType::Json | SqlType::Jsonb | SqlType::Bool | SqlType::Uuid)) => {
                    let _ = t;
                    return None;
                }
                Some(SqlType::Varchar(_)) => SqlType::Text,
                Some(t) => t,
            };
            (if name == "min" { Min } else { Max }, vec![Some(ty.clone())], ty)
        }
        ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", 1) => {
            let float = matches!(first, Some(SqlType::Float4 | SqlType::Float8) | None);
            if !float && !ion && !first.as_ref()?.is_number() {
                return None;
            }
            let kind = Spread { population: name.ends_with("_pop"), root: name.starts_with("stddev"), float };
            let ty = if float { SqlType::Float8 } else { SqlType::NUMERIC };
            (kind, vec![Some(ty.clone())], ty)
        }
        ("string_agg", 2) => match first {
            Some(SqlType::Bytea) => return None,
            _ => (StringAgg, vec![Some(SqlType::Text); 2], SqlType::Text),
        },
        ("array_agg", 1) => {
            let of = first.unwrap_or(SqlType::Text);
            let ty = match of.clone() {
                array @ SqlType::Array(_) => array,
                other => SqlType::Array(Box::new(other)),
            };
            (ArrayAgg, vec![Some(of)], ty)
        }
        ("bool_and" | "every", 1) => (BoolAnd, vec![Some(SqlType::Bool)], SqlType::Bool),
        ("bool_or", 1) => (BoolOr, vec![Some(SqlType::Bool)], SqlType::Bool),
        ("bit_and" | "bit_or" | "bit_xor", 1) => {
            let ty = first.filter(SqlType::is_integer)?;
            let kind = match name {
                "bit_and" => BitAnd,
                "bit_or" => BitOr,
                _ => BitXor,
            };
            (kind, keep, ty)
        }
        ("jsonb_agg", 1) => (JsonAgg, keep, SqlType::Jsonb),
        ("json_agg", 1) => (JsonAgg, keep, SqlType::Jsonb),
        ("jsonb_object_agg" | "json_object_agg", 2) => (JsonObjectAgg, vec![Some(SqlType::Text), None], SqlType::Jsonb),
        _ => return super::statistics::resolve(name, types),
    };
    if matches!(found.0, BoolAnd | BoolOr) && !ion && first_is_not(types, &SqlType::Bool) {
        return None;
    }
    Some(found)
}

fn first_is_not(types: &[Option<SqlType>], ty: &SqlType) -> bool {
    matches!(types.first(), Some(Some(t)) if !same_kind(t, ty))
}

fn sum_or_avg(sum: bool, ty: Option<SqlType>) -> Option<(AggregateKind, Vec<Option<SqlType>>, SqlType)> {
    let (number, result) = match (sum, ty?) {
        (true, SqlType::Int2 | SqlType::Int4) => (Number::Int, SqlType::Int8),
        (true, SqlType::Float4) => (Number::Float4, SqlType::Float4),
        (_, SqlType::Float4 | SqlType::Float8) => (Number::Float8, SqlType::Float8),
        (_, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. }) => {
            (Number::Numeric, SqlType::NUMERIC)
        }
        (_, SqlType::Interval) => (Number::Interval, SqlType::Interval),
        (_, SqlType::Ion) => (Number::Dynamic, SqlType::Ion),
        _ => return None,
    };
    let kind = if sum { AggregateKind::Sum(number) } else { AggregateKind::Avg(number) };
    Some((kind, vec![None], result))
}

/// The running state of one aggregate of one group.
#[derive(Debug, Clone)]
pub struct Accumulator {
    kind: AggregateKind,
    seen: Option<HashSet<Key>>,
    count: u64,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    None,
    Int(i128),
    Num(Num),
    Float(f64),
    Moments {
        sum: Num,
        squares: Num,
    },
    /// How many, their sum, and the squares of their distances from the mean (Youngs and Cramer, 1971): the difference of
    /// two large sums of squares would have few right digits, or none.
    FloatMoments {
        count: f64,
        sum: f64,
        distances: f64,
    },
    Best(Value),
    Text(String),
    Values(Vec<Value>),
    Fields(Vec<(Symbol, Value)>),
    Bool(bool),
    Bits(i64),
    Collected(Collected),
    Interval(crate::value::datetime::Interval),
}

impl Accumulator {
    pub fn new(kind: &AggregateKind, distinct: bool) -> Self {
        Accumulator { kind: kind.clone(), seen: distinct.then(HashSet::new), count: 0, state: State::None }
    }

    /// As if it had taken `count` values that together make these: their sums, the least of them and so on.
    #[cfg(feature = "analytics")]
    pub(crate) fn resumed(kind: &AggregateKind, count: u64, values: impl IntoIterator<Item = Value>) -> Result<Self> {
        let mut accumulator = Accumulator::new(kind, false);
        for value in values {
            accumulator.keep(value, None)?;
        }
        accumulator.count = count;
        Ok(accumulator)
    }

    /// Bytes it holds on to, roughly: what the statement's memory budget is charged for one more value.
    pub fn grows(&self) -> bool {
        self.seen.is_some()
            || matches!(
                self.kind,
                AggregateKind::StringAgg
                    | AggregateKind::ArrayAgg
                    | AggregateKind::JsonAgg
                    | AggregateKind::JsonObjectAgg
                    | AggregateKind::Percentile { .. }
            )
    }

    /// Takes one row's arguments. `partiql`: null values count as nothing, as in SQL NULLs do.
    pub fn add(&mut self, mut arguments: Vec<Datum>, partiql: bool) -> Result<()> {
        if self.kind == AggregateKind::CountStar {
            self.count += 1;
            return Ok(());
        }
        let second = if arguments.len() > 1 { arguments.pop().flatten() } else { None };
        let mut first = arguments.pop().flatten();
        if partiql && first.as_ref().is_some_and(Value::is_null) {
            first = None;
        }
        let keeps_nulls =
            matches!(self.kind, AggregateKind::ArrayAgg | AggregateKind::JsonAgg | AggregateKind::JsonObjectAgg);
        let Some(value) = first else {
            if keeps_nulls && self.is_new(None) {
                self.keep(Value::NULL, second)?;
            }
            return Ok(());
        };
        if !self.is_new(Some(&value)) {
            return Ok(());
        }
        self.count += 1;
        self.keep(value, second)
    }

    fn is_new(&mut self, value: Option<&Value>) -> bool {
        match &mut self.seen {
            Some(seen) => seen.insert(Key::of([value])),
            None => true,
        }
    }

    fn keep(&mut self, value: Value, second: Datum) -> Result<()> {
        use AggregateKind::*;
        let state = std::mem::replace(&mut self.state, State::None);
        self.state = match (&self.kind, state) {
            (CountStar | Count, state) => state,
            (Sum(number) | Avg(number), state) => add_number(*number, state, &value)?,
            (Min, State::Best(best)) if compare::compare(&best, &value).is_le() => State::Best(best),
            (Max, State::Best(best)) if compare::compare(&best, &value).is_ge() => State::Best(best),
            (Min | Max, _) => State::Best(value),
            (Spread { float: false, .. }, state) => {
                let x = Num::from_value(&value)?;
                let square = x.mul(&x)?;
                match state {
                    State::Moments { sum, squares } => {
                        State::Moments { sum: sum.add(&x), squares: squares.add(&square) }
                    }
                    _ => State::Moments { sum: x, squares: square },
                }
            }
            (Spread { .. }, state) => {
                let x = number_to_f64(&value)?;
                match state {
                    State::FloatMoments { count: before, sum, distances } => {
                        let (count, sum) = (before + 1.0, sum + x);
                        let distance = x * count - sum;
                        let distances = distances + distance * distance / (count * before);
                        State::FloatMoments { count, sum, distances }
                    }
                    // Of what is no number, or is none that is finite, there is no distance.
                    _ => State::FloatMoments { count: 1.0, sum: x, distances: x * 0.0 },
                }
            }
            (StringAgg, state) => {
                let text = value.as_text().unwrap_or_default();
                match state {
                    State::Text(mut all) => {
                        if let Some(by) = second.as_ref().and_then(Value::as_text) {
                            all.push_str(by);
                        }
                        all.push_str(text);
                        State::Text(all)
                    }
                    _ => State::Text(text.to_owned()),
                }
            }
            (ArrayAgg | JsonAgg, State::Values(mut values)) => {
                values.push(value);
                State::Values(values)
            }
            (ArrayAgg | JsonAgg, _) => State::Values(vec![value]),
            (JsonObjectAgg, state) => {
                let Some(name) = value.as_text() else {
                    return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "field name must not be null"));
                };
                let field = (Symbol::new(name), second.unwrap_or(Value::NULL));
                match state {
                    State::Fields(mut fields) => {
                        fields.push(field);
                        State::Fields(fields)
                    }
                    _ => State::Fields(vec![field]),
                }
            }
            (BoolAnd | BoolOr, state) => {
                let now = matches!(value, Value::Bool(true));
                State::Bool(match (&self.kind, state) {
                    (BoolAnd, State::Bool(before)) => before && now,
                    (_, State::Bool(before)) => before || now,
                    _ => now,
                })
            }
            (kind @ (Percentile { .. } | Mode | Pair(_)), state) => {
                let before = match state {
                    State::Collected(collected) => Some(collected),
                    _ => None,
                };
                State::Collected(Collected::with(before, kind, value, second)?)
            }
            (BitAnd | BitOr | BitXor, state) => {
                let now = value.as_i64().unwrap_or_default();
                State::Bits(match (&self.kind, state) {
                    (BitAnd, State::Bits(before)) => before & now,
                    (BitXor, State::Bits(before)) => before ^ now,
                    (_, State::Bits(before)) => before | now,
                    _ => now,
                })
            }
        };
        Ok(())
    }

    /// The aggregate of what was taken.
    pub fn finish(&self) -> Result<Datum> {
        use AggregateKind::*;
        Ok(match (&self.kind, &self.state) {
            (CountStar | Count, _) => Some(Value::int(self.count as i64)),
            (Pair(PairKind::Count), State::None) => Some(Value::int(0)),
            (_, State::None) => None,
            (kind, State::Collected(collected)) => collected.finish(kind)?,
            (Sum(number), state) => sum_result(*number, state)?,
            (Avg(number), state) => self.average(*number, state)?,
            (_, State::Best(value)) => Some(value.clone()),
            (Spread { population, root, .. }, State::Moments { sum, squares }) => {
                self.spread(sum, squares, *population, *root)?
            }
            (Spread { population, root, .. }, State::FloatMoments { count, distances, .. }) => {
                let by = if *population { *count } else { count - 1.0 };
                let variance = distances / by;
                (by > 0.0).then(|| Value::Float(if *root { variance.sqrt() } else { variance }))
            }
            (_, State::Text(text)) => Some(Value::string(text.as_str())),
            (JsonAgg, State::Values(values)) => {
                Some(Value::List(values.iter().cloned().map(json::canonical).collect()))
            }
            (_, State::Values(values)) => Some(Value::List(values.clone())),
            (_, State::Fields(fields)) => Some(json::canonical(Value::Struct(Struct { fields: fields.clone() }))),
            (_, State::Bool(b)) => Some(Value::Bool(*b)),
            (_, State::Bits(i)) => Some(Value::int(*i)),
            _ => None,
        })
    }

    fn average(&self, number: Number, state: &State) -> Result<Datum> {
        let count = Num::from_i64(self.count as i64);
        Ok(Some(match (number, state) {
            (_, State::Float(sum)) => Value::Float(sum / self.count as f64),
            (_, State::Int(sum)) => Num::new((*sum).into(), 0).div(&count)?.to_value(),
            (_, State::Num(sum)) => sum.div(&count)?.to_value(),
            (_, State::Interval(sum)) => sum.scale(1.0 / self.count as f64)?.to_value(),
            _ => return Ok(None),
        }))
    }

    /// `numeric_stddev_internal`.
    fn spread(&self, sum: &Num, squares: &Num, population: bool, root: bool) -> Result<Datum> {
        if self.count == 1 && !population {
            return Ok(None);
        }
        let n = Num::from_i64(self.count as i64);
        let difference = n.mul(squares)?.sub(&sum.mul(sum)?);
        if difference.is_zero() || difference.is_negative() {
            return Ok(Some(Num::from_i64(0).to_value()));
        }
        let by = if population { n.mul(&n)? } else { n.mul(&Num::from_i64(self.count as i64 - 1))? };
        let scale = difference.div_scale(&by);
        let variance = difference.div_at(&by, scale)?;
        Ok(Some(if root { variance.sqrt_at(scale)? } else { variance }.to_value()))
    }
}

pub(super) fn number_to_f64(value: &Value) -> Result<f64> {
    match value {
        Value::Float(f) => Ok(*f),
        other => Ok(Num::from_value(other)?.to_f64()),
    }
}

fn add_number(number: Number, state: State, value: &Value) -> Result<State> {
    Ok(match (number, state, value) {
        (Number::Float4 | Number::Float8, State::Float(sum), v) => State::Float(sum + number_to_f64(v)?),
        (Number::Float4 | Number::Float8, _, v) => State::Float(number_to_f64(v)?),
        (Number::Interval | Number::Dynamic, State::Interval(sum), v) => {
            let i = Interval::from_value(v).ok_or_else(|| not_an_interval(v))?;
            State::Interval(sum.add(i)?)
        }
        (Number::Interval | Number::Dynamic, State::None, v) if let Some(i) = Interval::from_value(v) => {
            State::Interval(i)
        }
        (Number::Dynamic, State::Float(sum), v) => State::Float(sum + number_to_f64(v)?),
        (Number::Dynamic, State::None, Value::Float(f)) => State::Float(*f),
        (Number::Dynamic, state, Value::Float(f)) => match sum_result(Number::Numeric, &state)? {
            Some(sum) => State::Float(number_to_f64(&sum)? + f),
            None => State::Float(*f),
        },
        (_, State::Int(sum), Value::Int(i)) => match i.to_i128().and_then(|i| sum.checked_add(i)) {
            Some(sum) => State::Int(sum),
            None => State::Num(Num::new(sum.into(), 0).add(&Num::from_value(value)?)),
        },
        (_, State::None, Value::Int(i)) => match i.to_i128() {
            Some(i) => State::Int(i),
            None => State::Num(Num::from_value(value)?),
        },
        (_, State::Int(sum), v) => State::Num(Num::new(sum.into(), 0).add(&Num::from_value(v)?)),
        (_, State::Num(sum), v) => State::Num(sum.add(&Num::from_value(v)?)),
        (_, _, v) => State::Num(Num::from_value(v)?),
    })
}

fn not_an_interval(value: &Value) -> QueryError {
    let found = crate::value::ion_type_name(value);
    QueryError::new(SqlState::DATATYPE_MISMATCH, format!("an interval is needed, not {found}"))
}

fn sum_result(number: Number, state: &State) -> Result<Datum> {
    Ok(Some(match (number, state) {
        (Number::Float4, State::Float(sum)) => Value::Float(f64::from(*sum as f32)),
        (_, State::Float(sum)) => Value::Float(*sum),
        (Number::Int, State::Int(sum)) => {
            let sum = i64::try_from(*sum).map_err(|_| cast::int_out_of_range(&SqlType::Int8))?;
            Value::int(sum)
        }
        (Number::Dynamic, State::Int(sum)) => Value::Int(numeric::big_to_int((*sum).into())),
        (_, State::Int(sum)) => Num::new((*sum).into(), 0).to_value(),
        (_, State::Num(sum)) => sum.to_value(),
        (_, State::Interval(sum)) => sum.to_value(),
        _ => return Ok(None),
    }))
}
