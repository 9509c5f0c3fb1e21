//! Operators on numbers, dates and intervals, by the kind the binder chose.

use ledgerstone_digest::ion::{Decimal, Int, Precision, Value};

use crate::ast::BinaryOp;
use crate::bind::plan::{Arithmetic, Datum};
use crate::error::{QueryError, Result, SqlState};
use crate::function::power;
use crate::types::SqlType;
use crate::value::datetime::{self, Interval};
use crate::value::decimal;
use crate::value::numeric::{self, Num};
use crate::value::{cast, ion_type_name};

/// `a op b`. NULL (or MISSING) on either side gives it.
pub(crate) fn apply(op: BinaryOp, kind: Arithmetic, a: Datum, b: Datum) -> Result<Datum> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    Ok(Some(match kind {
        Arithmetic::Int2 => ints(op, &a, &b, &SqlType::Int2)?,
        Arithmetic::Int4 => ints(op, &a, &b, &SqlType::Int4)?,
        Arithmetic::Int8 => ints(op, &a, &b, &SqlType::Int8)?,
        Arithmetic::Numeric => numerics(op, &a, &b)?,
        Arithmetic::Float8 => floats(op, &a, &b, false)?,
        Arithmetic::Float4 => floats(op, &a, &b, true)?,
        Arithmetic::Dynamic { partiql } => return dynamic(op, a, b, partiql),
        Arithmetic::DatePlusDays => {
            let days = int(&b)?;
            let days = if op == BinaryOp::Subtract { days.saturating_neg() } else { days };
            Value::Timestamp(datetime::date_from_days(date(&a)?.saturating_add(days))?)
        }
        Arithmetic::DateMinusDate => Value::int(date(&a)? - date(&b)?),
        Arithmetic::TimestampInterval { zoned } => {
            let by = interval(&b)?;
            let by = if op == BinaryOp::Subtract { by.neg()? } else { by };
            Value::Timestamp(datetime::from_micros(datetime::add_interval(micros(&a)?, by)?, zoned)?)
        }
        Arithmetic::TimestampMinusTimestamp => datetime::difference(micros(&a)?, micros(&b)?).to_value(),
        Arithmetic::Interval => {
            let (x, y) = (interval(&a)?, interval(&b)?);
            x.add(if op == BinaryOp::Subtract { y.neg()? } else { y })?.to_value()
        }
        Arithmetic::IntervalScale => {
            let by = Num::from_value(&b).map(|n| n.to_f64())?;
            if op == BinaryOp::Divide && by == 0.0 {
                return Err(numeric::division_by_zero());
            }
            interval(&a)?.scale(if op == BinaryOp::Divide { 1.0 / by } else { by })?.to_value()
        }
    }))
}

fn ints(op: BinaryOp, a: &Value, b: &Value, ty: &SqlType) -> Result<Value> {
    let (x, y) = (int(a)?, int(b)?);
    let result = match op {
        BinaryOp::Add => x.checked_add(y),
        BinaryOp::Subtract => x.checked_sub(y),
        BinaryOp::Multiply => x.checked_mul(y),
        BinaryOp::Divide if y == 0 => return Err(numeric::division_by_zero()),
        BinaryOp::Modulo if y == 0 => return Err(numeric::division_by_zero()),
        BinaryOp::Divide => x.checked_div(y),
        BinaryOp::Modulo => Some(x.checked_rem(y).unwrap_or(0)),
        BinaryOp::BitAnd => Some(x & y),
        BinaryOp::BitOr => Some(x | y),
        BinaryOp::BitXor => Some(x ^ y),
        BinaryOp::ShiftLeft => Some(shift_left(x, y, ty)),
        BinaryOp::ShiftRight => Some(x >> (y & if *ty == SqlType::Int8 { 63 } else { 31 })),
        _ => return Err(QueryError::internal("not an integer operator")),
    };
    match result.filter(|r| cast::int_fits(*r, ty)) {
        Some(r) => Ok(Value::int(r)),
        None => Err(cast::int_out_of_range(ty)),
    }
}

/// Bits shifted out are lost, as in C.
fn shift_left(x: i64, by: i64, ty: &SqlType) -> i64 {
    match ty {
        SqlType::Int8 => x.wrapping_shl((by & 63) as u32),
        SqlType::Int4 => i64::from((x as i32).wrapping_shl((by & 31) as u32)),
        _ => i64::from(((x as i32).wrapping_shl((by & 31) as u32)) as i16),
    }
}

fn numerics(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    let (x, y) = (decimal(a)?, decimal(b)?);
    Ok(match op {
        BinaryOp::Add => Value::Decimal(decimal::add(&x, &y)?),
        BinaryOp::Subtract => Value::Decimal(decimal::sub(&x, &y)?),
        BinaryOp::Multiply => Value::Decimal(decimal::mul(&x, &y)?),
        BinaryOp::Divide => Value::Decimal(decimal::div(&x, &y)?),
        _ => {
            let (x, y) = (Num::from_decimal(&x)?, Num::from_decimal(&y)?);
            match op {
                BinaryOp::Modulo => x.rem(&y)?,
                BinaryOp::Power => x.power(&y)?,
                _ => return Err(QueryError::internal("not a numeric operator")),
            }
            .to_value()
        }
    })
}

fn floats(op: BinaryOp, a: &Value, b: &Value, single: bool) -> Result<Value> {
    let (x, y) = (float(a)?, float(b)?);
    let result = match op {
        BinaryOp::Add => x + y,
        BinaryOp::Subtract => x - y,
        BinaryOp::Multiply => x * y,
        BinaryOp::Divide | BinaryOp::Modulo if y == 0.0 && !x.is_nan() => return Err(numeric::division_by_zero()),
        BinaryOp::Divide => x / y,
        BinaryOp::Modulo => x % y,
        BinaryOp::Power => power(x, y)?,
        _ => return Err(QueryError::internal("not a float operator")),
    };
    let result = if single { f64::from(result as f32) } else { result };
    if result.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value out of range: overflow"));
    }
    let vanished = match op {
        BinaryOp::Multiply => x != 0.0 && y != 0.0,
        BinaryOp::Divide => x != 0.0 && y.is_finite(),
        _ => false,
    };
    if result == 0.0 && vanished {
        return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value out of range: underflow"));
    }
    Ok(Value::Float(result))
}

/// By the values' own types: int with int stays int, a float makes floats, otherwise decimals.
fn dynamic(op: BinaryOp, a: Value, b: Value, partiql: bool) -> Result<Datum> {
    let (a, b) = (unwrap(a), unwrap(b));
    if a.is_null() || b.is_null() {
        return Ok(partiql.then_some(Value::NULL));
    }
    if is_of_bits(op) {
        return match (&a, &b) {
            (Value::Int(Int::Small(_)), Value::Int(Int::Small(_))) => ints(op, &a, &b, &SqlType::Int8).map(Some),
            _ if partiql => Ok(None),
            (Value::Int(_), Value::Int(_)) => Err(cast::int_out_of_range(&SqlType::Int8)),
            _ => Err(no_operator(op, &a, &b)),
        };
    }
    let value = match (&a, &b) {
        (Value::Int(x), Value::Int(y)) => big_ints(op, x, y)?,
        (Value::Float(_), Value::Float(_) | Value::Int(_) | Value::Decimal(_))
        | (Value::Int(_) | Value::Decimal(_), Value::Float(_)) => floats(op, &a, &b, false)?,
        (Value::Int(_) | Value::Decimal(_), Value::Int(_) | Value::Decimal(_)) => numerics(op, &a, &b)?,
        // PartiQL is permissive: what cannot be computed is MISSING.
        _ if partiql => return Ok(None),
        _ => {
            let (kind, swapped) = kind_of_times(op, &a, &b).ok_or_else(|| no_operator(op, &a, &b))?;
            let (a, b) = if swapped { (b, a) } else { (a, b) };
            return apply(op, kind, Some(a), Some(b));
        }
    };
    Ok(Some(value))
}

fn is_of_bits(op: BinaryOp) -> bool {
    use BinaryOp::{BitAnd, BitOr, BitXor, ShiftLeft, ShiftRight};
    matches!(op, BitAnd | BitOr | BitXor | ShiftLeft | ShiftRight)
}

/// What an operator means to these dates, times and intervals, and whether it wants them the other way round.
fn kind_of_times(op: BinaryOp, a: &Value, b: &Value) -> Option<(Arithmetic, bool)> {
    let is_date = |value: &Value| matches!(value, Value::Timestamp(t) if t.precision == Precision::Day);
    let is_interval = |value: &Value| Interval::from_value(value).is_some();
    let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Decimal(_) | Value::Float(_));
    let is_sum = matches!(op, BinaryOp::Add | BinaryOp::Subtract);
    Some(match (a, b) {
        (Value::Timestamp(t), _) if is_sum && is_interval(b) => {
            (Arithmetic::TimestampInterval { zoned: t.offset_minutes.is_some() }, false)
        }
        (_, Value::Timestamp(t)) if op == BinaryOp::Add && is_interval(a) => {
            (Arithmetic::TimestampInterval { zoned: t.offset_minutes.is_some() }, true)
        }
        (Value::Timestamp(_), Value::Int(_)) if is_sum && is_date(a) => (Arithmetic::DatePlusDays, false),
        (Value::Int(_), Value::Timestamp(_)) if op == BinaryOp::Add && is_date(b) => (Arithmetic::DatePlusDays, true),
        (Value::Timestamp(_), Value::Timestamp(_)) if op == BinaryOp::Subtract => match is_date(a) && is_date(b) {
            true => (Arithmetic::DateMinusDate, false),
            false => (Arithmetic::TimestampMinusTimestamp, false),
        },
        _ if is_sum && is_interval(a) && is_interval(b) => (Arithmetic::Interval, false),
        _ if matches!(op, BinaryOp::Multiply | BinaryOp::Divide) && is_interval(a) && is_number(b) => {
            (Arithmetic::IntervalScale, false)
        }
        _ if op == BinaryOp::Multiply && is_number(a) && is_interval(b) => (Arithmetic::IntervalScale, true),
        _ => return None,
    })
}

fn no_operator(op: BinaryOp, a: &Value, b: &Value) -> QueryError {
    let message = format!("operator does not exist: {} {} {}", ion_type_name(a), symbol(op), ion_type_name(b));
    QueryError::new(SqlState::UNDEFINED_FUNCTION, message)
}

/// Integers of any size; division truncates.
fn big_ints(op: BinaryOp, x: &Int, y: &Int) -> Result<Value> {
    if let (Int::Small(a), Int::Small(b)) = (x, y) {
        let small = match op {
            BinaryOp::Add => a.checked_add(*b),
            BinaryOp::Subtract => a.checked_sub(*b),
            BinaryOp::Multiply => a.checked_mul(*b),
            BinaryOp::Divide | BinaryOp::Modulo if *b == 0 => return Err(numeric::division_by_zero()),
            BinaryOp::Divide => a.checked_div(*b),
            BinaryOp::Modulo => a.checked_rem(*b),
            _ => None,
        };
        if let Some(i) = small {
            return Ok(Value::int(i));
        }
    }
    let (a, b) = (numeric::int_to_big(x), numeric::int_to_big(y));
    let zero = matches!(y, Int::Small(0));
    Ok(Value::Int(numeric::big_to_int(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply if a.bits() + b.bits() > Int::BYTES_MAX as u64 * 8 + 1 => return Err(long_int()),
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide | BinaryOp::Modulo if zero => return Err(numeric::division_by_zero()),
        BinaryOp::Divide => a / b,
        BinaryOp::Modulo => a % b,
        _ => return numerics(op, &Value::Int(x.clone()), &Value::Int(y.clone())),
    })))
}

/// What has more digits could not be stored, and its square would have twice as many.
fn long_int() -> QueryError {
    let message = format!("an integer has at most {} bytes, about {} digits", Int::BYTES_MAX, Int::DIGITS_MAX);
    QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, message)
}

pub(crate) fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::And => "AND",
        BinaryOp::Or => "OR",
        BinaryOp::Eq => "=",
        BinaryOp::NotEq => "<>",
        BinaryOp::Lt => "<",
        BinaryOp::LtEq => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::GtEq => ">=",
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::Power => "^",
        BinaryOp::Concat => "||",
        BinaryOp::JsonGet => "->",
        BinaryOp::JsonGetText => "->>",
        BinaryOp::JsonPath => "#>",
        BinaryOp::JsonPathText => "#>>",
        BinaryOp::Contains => "@>",
        BinaryOp::ContainedBy => "<@",
        BinaryOp::JsonExists => "?",
        BinaryOp::RegexMatch => "~",
        BinaryOp::RegexMatchInsensitive => "~*",
        BinaryOp::RegexNotMatch => "!~",
        BinaryOp::RegexNotMatchInsensitive => "!~*",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "#",
        BinaryOp::ShiftLeft => "<<",
        BinaryOp::ShiftRight => ">>",
    }
}

fn unwrap(value: Value) -> Value {
    match value {
        Value::Annotated(inner) => inner.value,
        other => other,
    }
}

fn mismatch(value: &Value, what: &str) -> QueryError {
    QueryError::new(SqlState::DATATYPE_MISMATCH, format!("{what} is needed, not {}", ion_type_name(value)))
}

fn int(value: &Value) -> Result<i64> {
    value.as_i64().ok_or_else(|| mismatch(value, "an integer"))
}

fn decimal(value: &Value) -> Result<Decimal> {
    match value {
        Value::Decimal(d) => Ok(d.clone()),
        Value::Int(i) => Ok(cast::int_to_decimal(i)),
        other => Ok(Num::from_value(other)?.to_decimal()),
    }
}

fn float(value: &Value) -> Result<f64> {
    match value {
        Value::Float(f) => Ok(*f),
        Value::Int(Int::Small(i)) => Ok(*i as f64),
        other => Ok(Num::from_value(other)?.to_f64()),
    }
}

fn date(value: &Value) -> Result<i64> {
    match value {
        Value::Timestamp(t) => Ok(datetime::to_days(t)),
        other => Err(mismatch(other, "a date")),
    }
}

fn micros(value: &Value) -> Result<i64> {
    match value {
        Value::Timestamp(t) => Ok(datetime::to_micros(t)),
        other => Err(mismatch(other, "a timestamp")),
    }
}

fn interval(value: &Value) -> Result<Interval> {
    Interval::from_value(value).ok_or_else(|| mismatch(value, "an interval"))
}
