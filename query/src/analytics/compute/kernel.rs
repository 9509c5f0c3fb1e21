//! Kernels: one operator over whole arrays. `None`: these values are none of its business.

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, StringArray, UInt32Array};
use arrow::compute;
use ledgerstone_digest::ion::{Int, Value};

use super::super::column::shape;
use super::super::vector::{Vector, narrowed};
use crate::ast::BinaryOp;
use crate::bind::plan::Comparison;
use crate::columns::{COEFFICIENT_MAX, DIGITS, unscaled};
use crate::types::SqlType;
use crate::value::time_unit::Unit;
use crate::value::{cast, compare as values, datetime};

pub(super) fn and(a: &BooleanArray, b: &BooleanArray) -> BooleanArray {
    compute::and_kleene(a, b).unwrap_or_else(|_| BooleanArray::new_null(a.len()))
}

pub(super) fn or(a: &BooleanArray, b: &BooleanArray) -> BooleanArray {
    compute::or_kleene(a, b).unwrap_or_else(|_| BooleanArray::new_null(a.len()))
}

pub(super) fn not(a: &BooleanArray) -> BooleanArray {
    compute::not(a).unwrap_or_else(|_| BooleanArray::new_null(a.len()))
}

/// Rows for which it is true.
pub(super) fn holding(truth: &BooleanArray) -> UInt32Array {
    let values = match truth.nulls() {
        Some(valid) => truth.values() & valid.inner(),
        None => truth.values().clone(),
    };
    values.set_indices().map(|row| row as u32).collect::<Vec<u32>>().into()
}

/// Rows that no `decides` has settled yet.
pub(super) fn undecided(truth: &BooleanArray, decides: bool) -> UInt32Array {
    (0..truth.len())
        .filter(|r| truth.is_null(*r) || truth.value(*r) != decides)
        .map(|r| r as u32)
        .collect::<Vec<_>>()
        .into()
}

/// The truth of some rows as one of all rows.
pub(super) fn spread(truth: &BooleanArray, rows: &UInt32Array, len: usize, other: bool) -> BooleanArray {
    let mut all = vec![Some(other); len];
    for (at, row) in rows.values().iter().enumerate() {
        if let Some(place) = all.get_mut(*row as usize) {
            *place = truth.is_valid(at).then(|| truth.value(at));
        }
    }
    all.into()
}

/// Comparisons of values of one kind.
pub(super) fn compare(op: Comparison, a: &Vector, b: &Vector) -> Option<BooleanArray> {
    if let Vector::Same(Some(value), _) = b {
        return with_constant(op, a, value);
    }
    if let Vector::Same(Some(value), _) = a {
        return with_constant(op.flipped(), b, value);
    }
    let pairs = |a: &Int64Array, b: &Int64Array| BooleanArray::from_binary(a, b, |x, y| op.holds(x.cmp(&y)));
    Some(match (a, b) {
        (Vector::Same(None, rows), _) | (_, Vector::Same(None, rows)) => BooleanArray::new_null(*rows),
        (Vector::Int(a), Vector::Int(b)) | (Vector::Time(a, _), Vector::Time(b, _)) => pairs(a, b),
        (Vector::Decimal(a, x), Vector::Decimal(b, y)) if x == y => pairs(a, b),
        (Vector::Bool(a), Vector::Bool(b)) => BooleanArray::from_binary(a, b, |x, y| op.holds(x.cmp(&y))),
        (Vector::Float(a), Vector::Float(b)) => {
            BooleanArray::from_binary(a, b, |x, y| op.holds(values::compare_floats(x, y)))
        }
        (Vector::Text(a), Vector::Text(b)) => {
            BooleanArray::from_binary(a, b, |x: &str, y: &str| op.holds(x.as_bytes().cmp(y.as_bytes())))
        }
        _ => return None,
    })
}

fn with_constant(op: Comparison, a: &Vector, constant: &Value) -> Option<BooleanArray> {
    let to = |a: &Int64Array, c: i64| BooleanArray::from_unary(a, |x| op.holds(x.cmp(&c)));
    let texts =
        |a: &StringArray, c: &str| BooleanArray::from_unary(a, |x: &str| op.holds(x.as_bytes().cmp(c.as_bytes())));
    Some(match (a, constant) {
        (Vector::Same(None, rows), _) => BooleanArray::new_null(*rows),
        (Vector::Int(a), Value::Int(Int::Small(c))) => to(a, *c),
        (Vector::Decimal(a, scale), c) => {
            let c = at_scale(c, *scale)?;
            BooleanArray::from_unary(a, |x| op.holds(i128::from(x).cmp(&c)))
        }
        (Vector::Wide(a, scale), c) => {
            let c = at_scale(c, *scale)?;
            BooleanArray::from_unary(a, |x| op.holds(x.cmp(&c)))
        }
        (Vector::Time(a, _), Value::Timestamp(t)) if t.fraction.digits() <= 6 => to(a, datetime::to_micros(t)),
        (Vector::Bool(a), Value::Bool(c)) => BooleanArray::from_unary(a, |x| op.holds(x.cmp(c))),
        (Vector::Float(a), Value::Float(c)) => BooleanArray::from_unary(a, |x| op.holds(values::compare_floats(x, *c))),
        (Vector::Text(a), Value::String(c)) => texts(a, c),
        (Vector::Words(a), Value::String(c)) => {
            let each = texts(a.values().as_string::<i32>(), c);
            let of = |key: Option<i32>| key.map(|k| each.value(k as usize));
            a.keys().iter().map(of).collect()
        }
        _ => return None,
    })
}

/// A number as the coefficient it has at a scale, if it has one.
fn at_scale(value: &Value, scale: u8) -> Option<i128> {
    let (coefficient, exponent) = match value {
        Value::Int(i) => (i.to_i128()?, 0),
        Value::Decimal(d) if d.exponent() <= 0 => (d.coefficient().to_i128()?, -d.exponent()),
        _ => return None,
    };
    let digits = i32::from(scale).checked_sub(exponent)?;
    match u32::try_from(digits) {
        Ok(digits) => coefficient.checked_mul(10_i128.checked_pow(digits)?),
        Err(_) => {
            let by = 10_i128.checked_pow(digits.unsigned_abs())?;
            (coefficient % by == 0).then_some(coefficient / by)
        }
    }
}

pub(super) fn are_ints(a: &Vector, b: &Vector) -> bool {
    let int = |v: &Vector| matches!(v, Vector::Int(_) | Vector::Same(None | Some(Value::Int(Int::Small(_))), _));
    int(a) && int(b)
}

/// Integer arithmetic in this type. `None` as well if a result is out of range or something is divided by zero: the
/// document executor says so.
pub(super) fn ints(op: BinaryOp, a: &Vector, b: &Vector, ty: &SqlType) -> Option<Vector> {
    let (a, b) = (super::numbers(a)?, super::numbers(b)?);
    let mut out = Vec::with_capacity(a.len());
    for (x, y) in a.iter().zip(&b) {
        let (Some(x), Some(y)) = (x, y) else {
            out.push(None);
            continue;
        };
        let result = match op {
            BinaryOp::Add => x.checked_add(y),
            BinaryOp::Subtract => x.checked_sub(y),
            BinaryOp::Multiply => x.checked_mul(y),
            BinaryOp::Divide => x.checked_div(y),
            BinaryOp::Modulo => x.checked_rem(y),
            _ => return None,
        };
        out.push(Some(result.filter(|r| cast::int_fits(*r, ty))?));
    }
    Some(Vector::Int(out.into()))
}

/// Sums, differences and products of exact numbers. Every number of a side has one scale, so every result has.
pub(super) fn numerics(op: BinaryOp, a: &Vector, b: &Vector) -> Option<Vector> {
    if let (Vector::Same(None, rows), _) | (_, Vector::Same(None, rows)) = (a, b) {
        return Some(Vector::Same(None, *rows));
    }
    let ((a, x), (b, y)) = (exact(a)?, exact(b)?);
    let scale = if op == BinaryOp::Multiply { x + y } else { x.max(y) };
    if scale > DIGITS {
        return None;
    }
    let (up, down) = match op {
        BinaryOp::Multiply => (1, 1),
        _ => (10_i128.checked_pow(u32::from(scale - x))?, 10_i128.checked_pow(u32::from(scale - y))?),
    };
    let mut out = Vec::with_capacity(a.len());
    for (x, y) in a.iter().zip(&b) {
        let (Some(x), Some(y)) = (x, y) else {
            out.push(None);
            continue;
        };
        let (x, y) = (i128::from(x).checked_mul(up)?, i128::from(y).checked_mul(down)?);
        let result = match op {
            BinaryOp::Add => x.checked_add(y)?,
            BinaryOp::Subtract => x.checked_sub(y)?,
            BinaryOp::Multiply => x.checked_mul(y)?,
            _ => return None,
        };
        out.push(Some(Some(result).filter(|r| r.unsigned_abs() <= COEFFICIENT_MAX)?));
    }
    Some(narrowed(out, scale))
}

/// Coefficients of exact numbers, and their scale.
fn exact(vector: &Vector) -> Option<(Int64Array, u8)> {
    match vector {
        Vector::Decimal(a, scale) => Some((a.clone(), *scale)),
        Vector::Int(a) => Some((a.clone(), 0)),
        Vector::Same(Some(Value::Decimal(d)), rows) => {
            let (coefficient, scale) = unscaled(d)?;
            Some((Int64Array::from(vec![i64::try_from(coefficient).ok()?; *rows]), scale as u8))
        }
        Vector::Same(Some(Value::Int(Int::Small(i))), rows) => Some((Int64Array::from(vec![*i; *rows]), 0)),
        _ => None,
    }
}

/// `date_trunc` of microseconds. Neighbouring times mostly fall in one unit, so its ends are remembered.
pub(super) fn truncate(unit: &str, times: &Int64Array) -> Option<Int64Array> {
    let unit = Unit::named(unit)?;
    let longest = unit.longest_micros();
    let (mut low, mut high) = (1, 0);
    let mut out = Vec::with_capacity(times.len());
    for time in times {
        let Some(time) = time else {
            out.push(None);
            continue;
        };
        if !(low..high).contains(&time) {
            low = unit.truncate(time)?;
            high = match longest {
                Some(longest) => unit.truncate(low.checked_add(longest)?)?,
                None => time.checked_add(1)?,
            };
        }
        out.push(Some(low));
    }
    Some(out.into())
}

/// `extract(unit from time)`.
pub(super) fn extract(unit: &str, times: &Int64Array, written: u8) -> Option<Vector> {
    let unit = Unit::named(unit)?;
    // Of a date, the epoch is a whole number, and there are no hours; of some times there is no zone.
    if matches!(unit, Unit::Timezone | Unit::Julian)
        || written == shape::DAY && (unit == Unit::Epoch || unit.is_of_day())
    {
        return None;
    }
    let mut scale = None;
    let mut out = Vec::with_capacity(times.len());
    let mut last: Option<(i64, i128)> = None;
    for time in times {
        let Some(time) = time else {
            out.push(None);
            continue;
        };
        let found = match last {
            Some((before, found)) if before == time => found,
            _ => {
                let (found, digits) = unit.extract(time);
                if *scale.get_or_insert(digits) != digits {
                    return None;
                }
                found
            }
        };
        last = Some((time, found));
        out.push(Some(found));
    }
    Some(narrowed(out, u8::try_from(scale?).ok()?))
}
