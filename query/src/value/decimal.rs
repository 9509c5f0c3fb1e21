//! Decimals of documents: arithmetic, order and sizes, in machine words where they hold them. [`Num`] does the rest.

use std::cmp::Ordering;

use ledgerstone_digest::ion::{Decimal, Int, Value};
use num_bigint::BigInt;

use super::numeric::{DIGITS_MAX, Num, SCALE_MAX, big_to_int, pow10, quotient_scale, weight_of};
use crate::error::Result;
use crate::index::key;

/// `+`, `-`, `*` on two decimals without leaving machine words where that is possible.
pub fn add(a: &Decimal, b: &Decimal) -> Result<Decimal> {
    match fast(a, b) {
        Some((x, y, scale)) if x.checked_add(y).is_some() => Ok(small(x + y, scale)),
        _ => Ok(Num::from_decimal(a)?.add(&Num::from_decimal(b)?).to_decimal()),
    }
}

pub fn sub(a: &Decimal, b: &Decimal) -> Result<Decimal> {
    match fast(a, b) {
        Some((x, y, scale)) if x.checked_sub(y).is_some() => Ok(small(x - y, scale)),
        _ => Ok(Num::from_decimal(a)?.sub(&Num::from_decimal(b)?).to_decimal()),
    }
}

pub fn mul(a: &Decimal, b: &Decimal) -> Result<Decimal> {
    if let (Int::Small(x), Int::Small(y)) = (a.coefficient(), b.coefficient()) {
        let scale = i64::from(a.exponent()) + i64::from(b.exponent());
        if (-1000..=0).contains(&scale) && a.exponent() <= 0 && b.exponent() <= 0 {
            return Ok(small(i128::from(*x) * i128::from(*y), -scale as u32));
        }
    }
    Ok(Num::from_decimal(a)?.mul(&Num::from_decimal(b)?)?.to_decimal())
}

/// `/`, as [`add`].
pub fn div(a: &Decimal, b: &Decimal) -> Result<Decimal> {
    match div_in_words(a, b) {
        Some(quotient) => Ok(quotient),
        None => Ok(Num::from_decimal(a)?.div(&Num::from_decimal(b)?)?.to_decimal()),
    }
}

/// A quotient that needs no more than machine words.
fn div_in_words(a: &Decimal, b: &Decimal) -> Option<Decimal> {
    let (Int::Small(x), Int::Small(y)) = (a.coefficient(), b.coefficient()) else { return None };
    let small_scale = |d: &Decimal| (-18..=0).contains(&d.exponent()).then(|| d.exponent().unsigned_abs());
    let (scale_a, scale_b) = (small_scale(a)?, small_scale(b)?);
    let weight = |c: &i64, scale| weight_of(u128::from(c.unsigned_abs()), scale);
    let scale = quotient_scale(weight(x, scale_a), weight(y, scale_b), scale_a.max(scale_b));
    let dividend = i128::from(*x).checked_mul(10_i128.checked_pow(scale + scale_b - scale_a)?)?;
    Some(small(div_round_words(dividend, i128::from(*y))?, scale))
}

/// What [`numeric::fit`] makes of an int or a decimal, without leaving machine words. `None`: they do not hold it, or it does not fit.
pub fn fit_in_words(value: &Value, precision: u32, scale: u32) -> Option<Decimal> {
    let (int, exponent) = match value {
        Value::Int(int) => (int, 0),
        Value::Decimal(d) => (d.coefficient(), d.exponent()),
        _ => return None,
    };
    let coefficient = match int {
        Int::Small(i) => i128::from(*i),
        Int::Big(big) => i128::try_from(&**big).ok()?,
    };
    let more = i64::from(scale) + i64::from(exponent);
    let by = 10_i128.checked_pow(u32::try_from(more.unsigned_abs()).ok()?)?;
    let fitted = if more >= 0 { coefficient.checked_mul(by)? } else { div_round_words(coefficient, by)? };
    let digits = fitted.unsigned_abs().checked_ilog10().map_or(0, |log| log + 1);
    (exponent <= 0 && digits <= precision).then(|| small(fitted, scale))
}

/// By value.
pub fn cmp(a: &Decimal, b: &Decimal) -> Ordering {
    if let Some((x, y, _)) = fast(a, b) {
        return x.cmp(&y);
    }
    match (Num::from_decimal(a), Num::from_decimal(b)) {
        (Ok(x), Ok(y)) => x.cmp(&y),
        // An exponent that a numeric cannot have.
        _ => key::compare(Some(&Value::Decimal(a.clone())), Some(&Value::Decimal(b.clone()))),
    }
}

/// Whether a decimal can be a numeric.
pub fn has_room_for(d: &Decimal) -> bool {
    (-i64::from(SCALE_MAX)..=i64::from(DIGITS_MAX)).contains(&i64::from(d.exponent()))
}

/// Whether the coefficient has at most so many digits.
pub fn has_at_most(d: &Decimal, digits: u32) -> bool {
    match d.coefficient() {
        Int::Small(i) => i.unsigned_abs().checked_ilog10().map_or(0, |log| log + 1) <= digits,
        Int::Big(i) => i.magnitude() < pow10(digits).magnitude(),
    }
}

fn fast(a: &Decimal, b: &Decimal) -> Option<(i128, i128, u32)> {
    let (Int::Small(x), Int::Small(y)) = (a.coefficient(), b.coefficient()) else { return None };
    let (ea, eb) = (a.exponent(), b.exponent());
    if ea > 0 || eb > 0 || ea < -18 || eb < -18 {
        return None;
    }
    let (sa, sb) = (ea.unsigned_abs(), eb.unsigned_abs());
    let scale = sa.max(sb);
    Some((i128::from(*x) * 10_i128.pow(scale - sa), i128::from(*y) * 10_i128.pow(scale - sb), scale))
}

fn small(coefficient: i128, scale: u32) -> Decimal {
    let int = match i64::try_from(coefficient) {
        Ok(i) => Int::Small(i),
        Err(_) => big_to_int(BigInt::from(coefficient)),
    };
    Decimal::new(int, -(scale as i32))
}

/// Half away from zero; `None`: not in machine words, or by zero.
fn div_round_words(a: i128, b: i128) -> Option<i128> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let up = rest.unsigned_abs() >= b.unsigned_abs().div_ceil(2);
    if up { quotient.checked_add(if (a < 0) == (b < 0) { 1 } else { -1 }) } else { Some(quotient) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::numeric;

    #[test]
    fn decimals_of_any_exponent_are_ordered_by_value() {
        let ordered = [
            "-1d2147483647",
            "-5d200000",
            "-1.",
            "-3d-20000",
            "0d2147483647",
            "3d-20001",
            "3d-20000",
            "7.",
            "1d200000",
        ];
        let decimal = |text: &str| match ledgerstone_digest::ion::parse(text, &Default::default()) {
            Ok(Value::Decimal(d)) => d,
            other => panic!("{text}: {other:?}"),
        };
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(cmp(&decimal(a), &decimal(b)), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    /// Numbers of every length around what machine words hold.
    fn sample() -> Vec<Decimal> {
        let mut numbers = Vec::new();
        for coefficient in [0, 1, 2, 5, 9, 10, 49, 50, 99, 100, 12_345, 49_999, 999_999_999, i64::MAX, i64::MAX - 1] {
            for sign in [1, -1] {
                numbers.extend(
                    [-19, -18, -9, -3, -2, -1, 0, 1]
                        .map(|exponent| Decimal::new(Int::Small(coefficient * sign), exponent)),
                );
            }
        }
        numbers.push(Decimal::new(big_to_int(pow10(30) + 7), -12));
        numbers
    }

    #[test]
    fn quotients_in_machine_words_are_those_of_any_size() {
        let numbers = sample();
        let mut in_words = 0;
        for (a, b) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (a, b))) {
            let slow = Num::from_decimal(a).unwrap().div(&Num::from_decimal(b).unwrap());
            in_words += u32::from(div_in_words(a, b).is_some());
            match (div(a, b), slow) {
                (Ok(fast), Ok(slow)) => assert_eq!(fast, slow.to_decimal(), "{a:?} / {b:?}"),
                (Err(fast), Err(slow)) => assert_eq!(fast.code, slow.code),
                (fast, slow) => panic!("{a:?} / {b:?}: {fast:?}, {slow:?}"),
            }
        }
        assert!(in_words > 1000, "{in_words}");
    }

    #[test]
    fn what_is_fitted_in_machine_words_is_what_any_size_gives() {
        for value in sample().into_iter().map(Value::Decimal).chain([Value::int(7), Value::int(i64::MIN)]) {
            let number = Num::from_value(&value).unwrap();
            for (precision, scale) in [(1, 0), (3, 2), (12, 2), (19, 19), (20, 5), (38, 0), (38, 30), (1000, 900)] {
                if let Some(fast) = fit_in_words(&value, precision, scale) {
                    let slow = numeric::fit(&number, precision, scale).unwrap().to_decimal();
                    assert_eq!(fast, slow, "{value:?} ({precision},{scale})");
                }
            }
            assert!(fit_in_words(&value, 1000, 2).is_some() || number.coefficient.bits() > 64 || number.scale == 0);
        }
    }
}
