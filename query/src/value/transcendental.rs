//! Powers, exponentials and logarithms of decimals, digit by digit, with PostgreSQL's rules for the scale of results
//! (`numeric.c`: `power_var`, `exp_var`, `ln_var`, `log_var`).
//!
//! They are computed on whole numbers that stand for multiples of 10^-p, with enough more digits than the result has.

use std::cmp::Ordering;

use num_bigint::BigInt;

use super::numeric::{Num, overflow, pow10};
use crate::error::{QueryError, Result, SqlState};

/// Digits after the point a result is given at most (`NUMERIC_MAX_DISPLAY_SCALE`).
const DISPLAY_SCALE_MAX: i64 = 1_000;
/// Significant digits a result has at least (`NUMERIC_MIN_SIG_DIGITS`).
const SIGNIFICANT_DIGITS_MIN: i64 = 16;
/// The largest exponent of e a result may have (`NUMERIC_MAX_RESULT_SCALE * 3.01`).
const EXPONENT_MAX: f64 = 6_020.0;
/// Digits computed beyond the result's, for what the steps lose.
const GUARD_DIGITS: u32 = 12;
/// Decimal digits of one e.
const LOG10_E: f64 = std::f64::consts::LOG10_E;

impl Num {
    /// e to this power.
    pub fn exp(&self) -> Result<Num> {
        let scale = display_scale((self.to_f64() * LOG10_E).clamp(-2_000.0, 2_000.0), &[self]);
        exp_at(self, scale)
    }

    pub fn ln(&self) -> Result<Num> {
        positive(self)?;
        let scale = display_scale(ln_weight(self) as f64, &[self]);
        let places = scale + GUARD_DIGITS;
        Num::new(ln_fixed(self, places), places).round(scale)
    }

    /// The logarithm to a base.
    pub fn log(&self, base: &Num) -> Result<Num> {
        positive(base)?;
        positive(self)?;
        let scale = display_scale((ln_weight(self) - ln_weight(base)) as f64, &[base, self]);
        let places = scale + GUARD_DIGITS + ln_weight(base).unsigned_abs() as u32;
        let (own, base) = (Num::new(ln_fixed(self, places), places), Num::new(ln_fixed(base, places), places));
        own.div_at(&base, scale)
    }

    /// This number, above zero, to a power that need not be whole.
    pub(super) fn power_by_logarithm(&self, exponent: &Num) -> Result<Num> {
        // As rough as PostgreSQL's, which decides the scale where the power is near a power of ten.
        let rough = (8 - ln_weight(self)).max(0) as u32;
        let ln = Num::new(ln_fixed(self, rough), rough);
        let estimate = ln.mul(exponent)?.round(rough)?.to_f64();
        if estimate > EXPONENT_MAX {
            return Err(overflow());
        }
        let scale = display_scale((estimate * LOG10_E).max(-2_000.0), &[self, exponent]);
        if estimate < -EXPONENT_MAX {
            return Num::from_i64(0).round(scale);
        }
        let whole_digits = (estimate.abs() * LOG10_E) as u32 + 4;
        let places = scale + GUARD_DIGITS + whole_digits;
        let product = Num::new(ln_fixed(self, places), places).mul(exponent)?.round(places)?;
        exp_at(&product, scale)
    }
}

/// Digits after the point of a result whose first digit stands `weight` before it.
fn display_scale(weight: f64, operands: &[&Num]) -> u32 {
    let least = operands.iter().map(|n| i64::from(n.scale)).max().unwrap_or(0);
    (SIGNIFICANT_DIGITS_MIN - weight as i64).max(least).clamp(0, DISPLAY_SCALE_MAX) as u32
}

fn positive(n: &Num) -> Result<()> {
    let refused = |text: &str| Err(QueryError::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, text));
    if n.is_zero() {
        return refused("cannot take logarithm of zero");
    }
    if n.is_negative() {
        return refused("cannot take logarithm of a negative number");
    }
    Ok(())
}

/// The decimal weight of a number's logarithm (`estimate_ln_dweight`).
fn ln_weight(n: &Num) -> i64 {
    let float = n.to_f64();
    if (0.9..=1.1).contains(&float) {
        // ln(1 + x) is nearly x.
        let x = n.sub(&Num::from_i64(1));
        let digits = x.coefficient.magnitude().to_string().len() as i64;
        return if x.is_zero() { 0 } else { digits - 1 - i64::from(x.scale) };
    }
    let ln = if float.is_finite() && float > 0.0 {
        float.ln()
    } else {
        let digits = n.coefficient.magnitude().to_string().len() as f64;
        (digits - f64::from(n.scale)) / LOG10_E
    };
    ln.abs().log10() as i64
}

fn exp_at(n: &Num, scale: u32) -> Result<Num> {
    let estimate = n.to_f64();
    if estimate > EXPONENT_MAX {
        return Err(overflow());
    }
    if estimate < -EXPONENT_MAX {
        return Num::from_i64(0).round(scale);
    }
    let whole_digits = (estimate.abs() * LOG10_E) as u32 + 2;
    let places = scale + GUARD_DIGITS + whole_digits;
    let one = pow10(places);
    let x = n.round(places)?.coefficient;
    // e^x = 2^k · e^rest with a rest below ln 2.
    let ln2 = ln2_fixed(places);
    let k: BigInt = &x / &ln2;
    let rest = &x - &k * &ln2;
    let mut sum = one.clone();
    let mut term = one.clone();
    let mut n = 1_u32;
    loop {
        term = term * &rest / &one / n;
        if term == BigInt::ZERO {
            break;
        }
        sum += &term;
        n += 1;
    }
    let k = i64::try_from(&k).map_err(|_| overflow())?;
    let shifted = if k >= 0 { sum << k } else { sum >> k.unsigned_abs() };
    Num::new(shifted, places).round(scale)
}

/// The logarithm of a number above zero, in multiples of 10^-places.
fn ln_fixed(n: &Num, places: u32) -> BigInt {
    // The loss of digits at k · ln 2 is made up for by some more.
    let more = places + 6;
    let mut x = &n.coefficient * pow10(more);
    let mut one = pow10(n.scale);
    // Brought to between 3/4 and 3/2 by powers of two; then to the scale worked at.
    let k = x.bits() as i64 - (&one * pow10(more)).bits() as i64;
    if k >= 0 {
        one <<= k
    } else {
        x <<= k.unsigned_abs()
    }
    let mut m = x / one;
    let mut k = k;
    let unit = pow10(more);
    if (&m * 2_u32).cmp(&(&unit * 3_u32)) == Ordering::Greater {
        m >>= 1;
        k += 1;
    }
    let ln = atanh_twice(&(&m - &unit), &(&m + &unit), &unit) + ln2_fixed(more) * k;
    Num::new(ln, more).round(places).map(|n| n.coefficient).unwrap_or_default()
}

fn ln2_fixed(places: u32) -> BigInt {
    let more = pow10(places + 6);
    atanh_twice(&BigInt::from(1), &BigInt::from(3), &more) / pow10(6)
}

/// 2 · atanh(a / b) in multiples of 1 / `unit`.
fn atanh_twice(a: &BigInt, b: &BigInt, unit: &BigInt) -> BigInt {
    let z = a * unit / b;
    let square = &z * &z / unit;
    let (mut power, mut sum) = (z.clone(), z);
    let mut n = 3_u32;
    loop {
        power = power * &square / unit;
        let term = &power / n;
        if term == BigInt::ZERO {
            return sum * 2;
        }
        sum += term;
        n += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::numeric::parse;
    use super::*;

    fn n(text: &str) -> Num {
        parse(text).unwrap()
    }

    /// What PostgreSQL 15 answers.
    #[test]
    fn results_have_the_digits_and_scale_of_postgresql() {
        for (base, exponent, expected) in [
            ("2", "0.5", "1.4142135623730950"),
            ("1.5", "2.5", "2.7556759606310754"),
            ("123.456", "7.5", "4856702621551987.189"),
            ("0.001", "1.5", "0.00003162277660168379"),
            ("1.0001", "10000.5", "2.7182818307240536"),
            ("0.5", "0.5", "0.7071067811865475"),
            ("10.0", "0.3010299956639812", "2.0000000000000000"),
            ("10000000000", "1.1", "100000000000.000000"),
            ("3", "40.0", "12157665459056928801.0000000000000000"),
            ("7.77", "0.333333333333333333333333", "1.980646661547538671707326"),
        ] {
            assert_eq!(n(base).power(&n(exponent)).unwrap().to_string(), expected, "{base}^{exponent}");
        }
        for (x, expected) in [
            ("1.0", "2.7182818284590452"),
            ("0.0", "1.0000000000000000"),
            ("-3.25", "0.03877420783172201"),
            ("50.5", "8548134287298057692257.9"),
            ("-100.0", "0.00000000000000000000000000000000000000000003720075976020836"),
        ] {
            assert_eq!(n(x).exp().unwrap().to_string(), expected, "exp({x})");
        }
        for (x, expected) in [
            ("2.0", "0.6931471805599453"),
            ("1.0", "0.0000000000000000"),
            ("1.0001", "0.00009999500033330834"),
            ("123456789.123", "18.631401767164318"),
            ("0.000001", "-13.815510557964274"),
            ("0.000000000000000000000000000001", "-69.077552789821370520539743640531"),
        ] {
            assert_eq!(n(x).ln().unwrap().to_string(), expected, "ln({x})");
        }
        for (base, x, expected) in [
            ("10", "100.0", "2.0000000000000000"),
            ("2.0", "8.0", "3.0000000000000000"),
            ("1.5", "0.3", "-2.9693622959161180"),
            ("10", "7.0", "0.8450980400142568"),
            ("10.0", "1000000000000000000000000000000", "30.000000000000000"),
        ] {
            assert_eq!(n(x).log(&n(base)).unwrap().to_string(), expected, "log({base}, {x})");
        }
    }

    #[test]
    fn exp_undoes_ln() {
        for text in ["2", "0.5", "1.0001", "123456789.123", "0.000001", "99999999999999999999.5"] {
            let x = n(text);
            let ln = Num::new(ln_fixed(&x, 60), 60);
            assert_eq!(exp_at(&ln, x.scale).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_too_large_overflows_and_what_is_too_small_is_zero() {
        assert_eq!(n("7000").exp().unwrap_err().code, SqlState::NUMERIC_OUT_OF_RANGE);
        assert!(n("-7000").exp().unwrap().is_zero());
        assert_eq!(n("0").ln().unwrap_err().code, SqlState::INVALID_ARGUMENT_FOR_LOGARITHM);
    }
}
