//! Mathematical functions (PostgreSQL's documentation, 9.3). Exact for numeric, IEEE 754 for double precision.

use ledgerstone_digest::ion::Value;

use super::ty::{FLOAT8, INT4, INT8, NUMBER, NUMERIC, R_FLOAT8, R_INT8, R_NUMERIC, UNTYPED};
use super::{Call, Returns, Scalar, float_at, int_at, int_in, some_int, strict, value_at, wrong};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::value::numeric::{Num, big_to_int, division_by_zero, int_to_big};

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("abs", &[NUMBER], Returns::Within(0), |_, a| match value_at(a, 0)? {
        Value::Float(f) => Ok(Some(Value::Float(f.abs()))),
        Value::Int(i) => Ok(Some(Value::Int(big_to_int(int_to_big(i).magnitude().clone().into())))),
        v => {
            let n = Num::from_value(v)?;
            Ok(Some(if n.is_negative() { n.neg() } else { n }.to_value()))
        }
    }),
    strict("sign", &[NUMBER], Returns::Rounded(0), |_, a| match value_at(a, 0)? {
        // That of NaN is zero, as in PostgreSQL.
        Value::Float(f) => Ok(Some(Value::Float(f64::from(i8::from(*f > 0.0) - i8::from(*f < 0.0))))),
        v => {
            let n = Num::from_value(v)?;
            let sign = i64::from(!n.is_zero()) * if n.is_negative() { -1 } else { 1 };
            rounded(v, Num::from_i64(sign))
        }
    }),
    strict("round", &[NUMBER], Returns::Rounded(0), |_, a| match value_at(a, 0)? {
        Value::Float(f) => Ok(Some(Value::Float(f.round_ties_even()))),
        v => rounded(v, Num::from_value(v)?.round(0)?),
    }),
    strict("round", &[NUMERIC, INT4], R_NUMERIC, |_, a| num(a, 0)?.round_to(int_at(a, 1)?).map(some_num)),
    strict("trunc", &[NUMBER], Returns::Rounded(0), |_, a| match value_at(a, 0)? {
        Value::Float(f) => Ok(Some(Value::Float(f.trunc()))),
        v => rounded(v, Num::from_value(v)?.trunc_to(0)),
    }),
    strict("trunc", &[NUMERIC, INT4], R_NUMERIC, |_, a| Ok(some_num(num(a, 0)?.trunc_to(int_at(a, 1)?)))),
    strict("floor", &[NUMBER], Returns::Rounded(0), |_, a| match value_at(a, 0)? {
        Value::Float(f) => Ok(Some(Value::Float(f.floor()))),
        v => rounded(v, Num::from_value(v)?.floor()),
    }),
    strict("ceil", &[NUMBER], Returns::Rounded(0), ceil),
    strict("ceiling", &[NUMBER], Returns::Rounded(0), ceil),
    strict("mod", &[INT8, INT8], R_INT8, |_, a| match (int_at(a, 0)?, int_at(a, 1)?) {
        (_, 0) => Err(division_by_zero()),
        (x, y) => some_int(x.wrapping_rem(y)),
    }),
    strict("mod", &[NUMERIC, NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.rem(&num(a, 1)?).map(some_num)),
    strict("div", &[NUMERIC, NUMERIC], R_NUMERIC, |_, a| {
        let (x, y) = (num(a, 0)?, num(a, 1)?);
        if y.is_zero() {
            return Err(division_by_zero());
        }
        // The quotient without its remainder is exact, and so is what is cut off.
        let rest = x.rem(&y)?;
        Ok(some_num(x.sub(&rest).div_at(&y, 0)?))
    }),
    strict("gcd", &[INT8, INT8], R_INT8, |_, a| {
        let (mut x, mut y) = (i128::from(int_at(a, 0)?).abs(), i128::from(int_at(a, 1)?).abs());
        while y != 0 {
            (x, y) = (y, x % y);
        }
        i64::try_from(x).map(Value::int).map(Some).map_err(|_| out_of_range("bigint"))
    }),
    strict("lcm", &[INT8, INT8], R_INT8, |_, a| {
        let (x, y) = (i128::from(int_at(a, 0)?).abs(), i128::from(int_at(a, 1)?).abs());
        let (mut g, mut rest) = (x, y);
        while rest != 0 {
            (g, rest) = (rest, g % rest);
        }
        let lcm = if g == 0 { 0 } else { x / g * y };
        i64::try_from(lcm).map(Value::int).map(Some).map_err(|_| out_of_range("bigint"))
    }),
    strict("factorial", &[INT8], R_NUMERIC, |_, a| {
        let n = int_at(a, 0)?;
        if n < 0 {
            return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "factorial of a negative number is undefined"));
        }
        // PostgreSQL stops where numeric has no more digits; the digits here are kept below what takes long.
        if n > FACTORIAL_MAX {
            return Err(out_of_range("numeric"));
        }
        let product = (1..=n).fold(num_bigint::BigInt::from(1), |product, k| product * k);
        Ok(some_num(Num::new(product, 0)))
    }),
    strict("ledgerstone_bit_not", &[INT4], super::ty::R_INT4, |_, a| some_int(!int_at(a, 0)?)),
    strict("ledgerstone_bit_not", &[INT8], R_INT8, |_, a| some_int(!int_at(a, 0)?)),
    strict("ledgerstone_bit_not", &[UNTYPED], R_INT8, |_, a| some_int(!int_in(a, 0)?)),
    strict("sqrt", &[NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.sqrt().map(some_num)),
    strict("sqrt", &[FLOAT8], R_FLOAT8, |_, a| match float_at(a, 0)? {
        x if x < 0.0 => {
            Err(QueryError::new(SqlState::INVALID_ARGUMENT_FOR_POWER, "cannot take square root of a negative number"))
        }
        x => Ok(Some(Value::Float(x.sqrt()))),
    }),
    strict("cbrt", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.cbrt())))),
    strict("power", &[NUMERIC, NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.power(&num(a, 1)?).map(some_num)),
    strict("power", &[FLOAT8, FLOAT8], R_FLOAT8, power_of),
    strict("pow", &[NUMERIC, NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.power(&num(a, 1)?).map(some_num)),
    strict("pow", &[FLOAT8, FLOAT8], R_FLOAT8, power_of),
    strict("exp", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::exp)),
    strict("exp", &[NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.exp().map(some_num)),
    strict("ln", &[FLOAT8], R_FLOAT8, |_, a| logarithm(float_at(a, 0)?, f64::ln)),
    strict("ln", &[NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.ln().map(some_num)),
    strict("log", &[FLOAT8], R_FLOAT8, |_, a| logarithm(float_at(a, 0)?, f64::log10)),
    strict("log", &[NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.log(&Num::from_i64(10)).map(some_num)),
    strict("log10", &[FLOAT8], R_FLOAT8, |_, a| logarithm(float_at(a, 0)?, f64::log10)),
    strict("log10", &[NUMERIC], R_NUMERIC, |_, a| num(a, 0)?.log(&Num::from_i64(10)).map(some_num)),
    strict("log", &[NUMERIC, NUMERIC], R_NUMERIC, |_, a| num(a, 1)?.log(&num(a, 0)?).map(some_num)),
    strict("pi", &[], R_FLOAT8, |_, _| Ok(Some(Value::Float(std::f64::consts::PI)))),
    strict("degrees", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.to_degrees())))),
    strict("radians", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.to_radians())))),
    strict("sin", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::sin)),
    strict("cos", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::cos)),
    strict("tan", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::tan)),
    strict("atan", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::atan)),
    strict("atan2", &[FLOAT8, FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.atan2(float_at(a, 1)?))))),
    strict("asin", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::asin)),
    strict("acos", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, f64::acos)),
    strict("cot", &[FLOAT8], R_FLOAT8, |_, a| finite(float_at(a, 0)?, |x| 1.0 / x.tan())),
    strict("sinh", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.sinh())))),
    strict("cosh", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.cosh())))),
    strict("tanh", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.tanh())))),
    strict("asinh", &[FLOAT8], R_FLOAT8, |_, a| Ok(Some(Value::Float(float_at(a, 0)?.asinh())))),
    strict("min_scale", &[NUMERIC], super::ty::R_INT4, |_, a| some_int(i64::from(num(a, 0)?.trimmed().scale))),
    strict("scale", &[NUMERIC], super::ty::R_INT4, |_, a| some_int(i64::from(num(a, 0)?.scale))),
    strict("trim_scale", &[NUMERIC], R_NUMERIC, |_, a| Ok(some_num(num(a, 0)?.trimmed()))),
    strict("width_bucket", &[NUMERIC, NUMERIC, NUMERIC, INT4], super::ty::R_INT4, width_bucket),
];

/// `factorial` up to here has some 4,000 digits.
const FACTORIAL_MAX: i64 = 1_500;

fn num(a: &[Datum], i: usize) -> Result<Num> {
    Num::from_value(value_at(a, i)?).map_err(|_| wrong(i, "a number"))
}

fn some_num(n: Num) -> Datum {
    Some(n.to_value())
}

/// A rounded value: numeric for numeric; an integer has become double precision in SQL and stays exact in PartiQL.
fn rounded(from: &Value, n: Num) -> Result<Datum> {
    Ok(Some(match from {
        Value::Int(_) => Value::Float(n.to_f64()),
        _ => n.to_value(),
    }))
}

fn ceil(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    match value_at(a, 0)? {
        Value::Float(f) => Ok(Some(Value::Float(f.ceil()))),
        v => rounded(v, Num::from_value(v)?.ceil()),
    }
}

fn power_of(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    power(float_at(a, 0)?, float_at(a, 1)?).map(|result| Some(Value::Float(result)))
}

/// The function and the operator `^`.
pub(crate) fn power(x: f64, y: f64) -> Result<f64> {
    if x == 0.0 && y < 0.0 {
        let text = "zero raised to a negative power is undefined";
        return Err(QueryError::new(SqlState::INVALID_ARGUMENT_FOR_POWER, text));
    }
    if x < 0.0 && y.fract() != 0.0 {
        let text = "a negative number raised to a non-integer power yields a complex result";
        return Err(QueryError::new(SqlState::INVALID_ARGUMENT_FOR_POWER, text));
    }
    let result = x.powf(y);
    if result.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(out_of_range("double precision"));
    }
    Ok(result)
}

fn finite(x: f64, of: fn(f64) -> f64) -> Result<Datum> {
    let y = of(x);
    if !y.is_finite() && x.is_finite() {
        return Err(if y.is_nan() {
            QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "input is out of range")
        } else {
            out_of_range("double precision")
        });
    }
    Ok(Some(Value::Float(y)))
}

fn logarithm(x: f64, of: impl Fn(f64) -> f64) -> Result<Datum> {
    if x == 0.0 {
        return Err(QueryError::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, "cannot take logarithm of zero"));
    }
    if x < 0.0 {
        let text = "cannot take logarithm of a negative number";
        return Err(QueryError::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, text));
    }
    Ok(Some(Value::Float(of(x))))
}

fn width_bucket(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let (x, low, high, count) = (num(a, 0)?, num(a, 1)?, num(a, 2)?, int_at(a, 3)?);
    if count <= 0 || low.cmp(&high) == std::cmp::Ordering::Equal {
        return Err(wrong(3, "greater than zero, and the bounds different"));
    }
    let (near, far, x) = if low.cmp(&high) == std::cmp::Ordering::Less {
        (low.clone(), high.clone(), x)
    } else {
        (low.neg(), high.neg(), x.neg())
    };
    if x.cmp(&near) == std::cmp::Ordering::Less {
        return some_int(0);
    }
    if x.cmp(&far) != std::cmp::Ordering::Less {
        return some_int(count + 1);
    }
    let part = x.sub(&near).mul(&Num::from_i64(count))?.div(&far.sub(&near))?;
    some_int(part.floor().to_i64().unwrap_or(count) + 1)
}

fn out_of_range(ty: &str) -> QueryError {
    QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, format!("{ty} out of range"))
}
