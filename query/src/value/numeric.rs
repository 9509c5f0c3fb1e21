//! Arithmetic on decimals of any size with PostgreSQL's rules for the scale of results (`numeric.c`: `add_var`,
//! `mul_var`, `select_div_scale`, `numeric_sqrt`, `numeric_power`). A decimal here is `coefficient / 10^scale` with
//! `scale >= 0`; Ion's positive exponents are multiplied out, within [`DIGITS_MAX`].

use std::cmp::Ordering;

use ledgerstone_digest::ion::{Decimal, Int, Value};
use num_bigint::{BigInt, Sign};

use crate::error::{QueryError, Result, SqlState};

/// Digits before the point a numeric may have (PostgreSQL's limit).
pub const DIGITS_MAX: u32 = 131_072;
/// Digits after the point a numeric may have (PostgreSQL's limit).
pub const SCALE_MAX: u32 = 16_383;
/// What a quotient or a root is given at most (`NUMERIC_MAX_RESULT_SCALE`).
const RESULT_SCALE_MAX: i64 = 2_000;
/// Significant digits that quotients, roots and powers have at least (`NUMERIC_MIN_SIG_DIGITS`).
const SIGNIFICANT_DIGITS_MIN: i64 = 16;

/// `coefficient / 10^scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Num {
    pub coefficient: BigInt,
    pub scale: u32,
}

#[allow(clippy::should_implement_trait, reason = "some of these may fail, so none is an operator")]
impl Num {
    pub fn new(coefficient: BigInt, scale: u32) -> Self {
        Num { coefficient, scale }
    }

    pub fn from_i64(value: i64) -> Self {
        Num::new(BigInt::from(value), 0)
    }

    pub fn is_zero(&self) -> bool {
        self.coefficient.sign() == Sign::NoSign
    }

    pub fn is_negative(&self) -> bool {
        self.coefficient.sign() == Sign::Minus
    }

    /// An exact copy of a decimal; an exponent that would need more digits than a numeric may have is an error.
    pub fn from_decimal(d: &Decimal) -> Result<Self> {
        let coefficient = int_to_big(d.coefficient());
        let exponent = d.exponent();
        if exponent > 0 {
            let exponent = exponent as u32;
            if exponent > DIGITS_MAX {
                return Err(overflow());
            }
            return Ok(Num::new(coefficient * pow10(exponent), 0));
        }
        let scale = exponent.unsigned_abs();
        if scale > SCALE_MAX {
            // Ion allows more. Rounded it would be another number.
            return Err(overflow());
        }
        Ok(Num::new(coefficient, scale))
    }

    /// Any number value: ints and decimals exactly, floats by their shortest text.
    pub fn from_value(value: &Value) -> Result<Self> {
        match value.unannotated() {
            Value::Int(i) => Ok(Num::new(int_to_big(i), 0)),
            Value::Decimal(d) => Num::from_decimal(d),
            Value::Float(f) => Num::from_f64(*f),
            other => Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("a number is needed, not {}", super::ion_type_name(other)),
            )),
        }
    }

    pub fn from_f64(f: f64) -> Result<Self> {
        if !f.is_finite() {
            return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("numeric cannot hold {f}")));
        }
        // PostgreSQL converts with 15 significant digits.
        parse(&format!("{f:.14e}")).map(|n| n.trimmed()).ok_or_else(overflow)
    }

    /// Without trailing zeros after the point.
    pub fn trimmed(mut self) -> Num {
        let ten = BigInt::from(10);
        while self.scale > 0 {
            let quotient = &self.coefficient / &ten;
            if &quotient * &ten != self.coefficient {
                break;
            }
            self.coefficient = quotient;
            self.scale -= 1;
        }
        self
    }

    pub fn to_decimal(&self) -> Decimal {
        Decimal::new(big_to_int(self.coefficient.clone()), -(self.scale as i32))
    }

    pub fn to_value(&self) -> Value {
        Value::Decimal(self.to_decimal())
    }

    /// The same number with exactly this scale, rounded half away from zero.
    pub fn round(&self, scale: u32) -> Result<Num> {
        if scale >= self.scale {
            let by = scale - self.scale;
            return Ok(Num::new(&self.coefficient * pow10(by), scale));
        }
        let divisor = pow10(self.scale - scale);
        Ok(Num::new(div_round(&self.coefficient, &divisor), scale))
    }

    /// `round(x, n)` with a negative `n` rounds before the point.
    pub fn round_to(&self, digits: i64) -> Result<Num> {
        if digits >= 0 {
            return self.round(digits.min(i64::from(SCALE_MAX)) as u32);
        }
        let by = (-digits).min(i64::from(DIGITS_MAX)) as u32;
        let divisor = pow10(self.scale.saturating_add(by));
        Ok(Num::new(div_round(&self.coefficient, &divisor) * pow10(by), 0))
    }

    /// Towards zero.
    pub fn trunc_to(&self, digits: i64) -> Num {
        if digits >= i64::from(self.scale) {
            let by = (digits.min(i64::from(SCALE_MAX)) as u32).saturating_sub(self.scale);
            return Num::new(&self.coefficient * pow10(by), self.scale + by);
        }
        if digits >= 0 {
            let divisor = pow10(self.scale - digits as u32);
            return Num::new(&self.coefficient / divisor, digits as u32);
        }
        let by = (-digits).min(i64::from(DIGITS_MAX)) as u32;
        let divisor = pow10(self.scale.saturating_add(by));
        Num::new((&self.coefficient / divisor) * pow10(by), 0)
    }

    pub fn floor(&self) -> Num {
        let whole = self.trunc_to(0);
        if self.is_negative() && whole.cmp(self) != Ordering::Equal {
            return Num::new(whole.coefficient - 1, 0);
        }
        whole
    }

    pub fn ceil(&self) -> Num {
        let whole = self.trunc_to(0);
        if !self.is_negative() && whole.cmp(self) != Ordering::Equal {
            return Num::new(whole.coefficient + 1, 0);
        }
        whole
    }

    pub fn neg(&self) -> Num {
        Num::new(-&self.coefficient, self.scale)
    }

    pub fn add(&self, other: &Num) -> Num {
        let (a, b, scale) = align(self, other);
        Num::new(a + b, scale)
    }

    pub fn sub(&self, other: &Num) -> Num {
        let (a, b, scale) = align(self, other);
        Num::new(a - b, scale)
    }

    pub fn mul(&self, other: &Num) -> Result<Num> {
        let product = Num::new(&self.coefficient * &other.coefficient, self.scale + other.scale);
        let product = if product.scale > SCALE_MAX { product.round(SCALE_MAX)? } else { product };
        product.within()
    }

    /// The number, if it has no more digits before the point than a numeric may have.
    fn within(self) -> Result<Num> {
        // A third of a digit takes more than a bit: most numbers are seen to be small by that alone.
        let surely_within = self.coefficient.bits() <= u64::from(DIGITS_MAX) * 3;
        if surely_within || self.coefficient.magnitude() < pow10(DIGITS_MAX + self.scale).magnitude() {
            Ok(self)
        } else {
            Err(overflow())
        }
    }

    /// PostgreSQL's `/`: the scale is what `select_div_scale` says.
    pub fn div(&self, other: &Num) -> Result<Num> {
        let scale = self.div_scale(other);
        self.div_at(other, scale)
    }

    /// The scale `/` gives its result.
    pub fn div_scale(&self, other: &Num) -> u32 {
        quotient_scale(self.weight(), other.weight(), self.scale.max(other.scale))
    }

    /// The quotient rounded to `scale`.
    pub fn div_at(&self, other: &Num, scale: u32) -> Result<Num> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        // self/10^s1 / (other/10^s2) * 10^scale = self * 10^(scale + s2 - s1) / other
        let shift = i64::from(scale) + i64::from(other.scale) - i64::from(self.scale);
        let quotient = if shift >= 0 {
            div_round(&(&self.coefficient * pow10(shift as u32)), &other.coefficient)
        } else {
            div_round(&self.coefficient, &(&other.coefficient * pow10((-shift) as u32)))
        };
        Num::new(quotient, scale).within()
    }

    /// The remainder with the sign of the dividend.
    pub fn rem(&self, other: &Num) -> Result<Num> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let (a, b, scale) = align(self, other);
        Ok(Num::new(a % b, scale))
    }

    pub fn sqrt(&self) -> Result<Num> {
        if self.is_negative() {
            return Err(QueryError::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER,
                "cannot take square root of a negative number",
            ));
        }
        let (weight, _) = self.weight();
        let significant = if weight >= 0 { weight * 4 / 2 + 1 } else { 1 - (-weight) * 4 / 2 };
        let scale =
            (SIGNIFICANT_DIGITS_MIN - significant).max(i64::from(self.scale)).clamp(0, RESULT_SCALE_MAX / 2) as u32;
        self.sqrt_at(scale)
    }

    /// The root rounded to `scale`; the number must not be negative.
    pub fn sqrt_at(&self, scale: u32) -> Result<Num> {
        let more = scale + 1;
        let radicand = self.trunc_to(i64::from(more * 2));
        let root = radicand.coefficient.sqrt();
        Num::new(root, more).round(scale)
    }

    /// To a whole power exactly, unless that has very many digits.
    pub fn power(&self, exponent: &Num) -> Result<Num> {
        if self.is_zero() && exponent.is_negative() {
            return Err(QueryError::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER,
                "zero raised to a negative power is undefined",
            ));
        }
        let whole = exponent.trunc_to(0);
        let is_whole = whole.cmp(exponent) == Ordering::Equal;
        if self.is_negative() && !is_whole {
            return Err(QueryError::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER,
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        let estimate = exponent.to_f64() * self.to_f64().abs().log10();
        if estimate > f64::from(DIGITS_MAX) {
            return Err(overflow());
        }
        let estimate = if estimate.is_finite() { estimate } else { 0.0 };
        let scale = SIGNIFICANT_DIGITS_MIN
            .saturating_sub(estimate as i64)
            .max(i64::from(self.scale))
            .max(i64::from(exponent.scale))
            .clamp(0, RESULT_SCALE_MAX / 2) as u32;
        if self.is_zero() {
            return Num::from_i64(i64::from(exponent.is_zero())).round(scale);
        }
        if let (true, Ok(n)) = (is_whole, i64::try_from(&whole.coefficient)) {
            let digits = self.coefficient.bits().saturating_mul(n.unsigned_abs());
            let places = u64::from(self.scale).saturating_mul(n.unsigned_abs());
            if digits < 1 << 19 && places < 1 << 19 {
                // As PostgreSQL 15: sixteen digits after the point, or what the operands have.
                let scale = self.scale.max(exponent.scale).max(SIGNIFICANT_DIGITS_MIN as u32);
                let power = Num::new(self.coefficient.pow(n.unsigned_abs() as u32), places as u32);
                return if n >= 0 { power.round(scale)?.within() } else { Num::from_i64(1).div_at(&power, scale) };
            }
        }
        let power = Num::new(self.coefficient.magnitude().clone().into(), self.scale).power_by_logarithm(exponent)?;
        let odd = is_whole && whole.coefficient.bit(0);
        if self.is_negative() && odd { power.neg().within() } else { power.within() }
    }

    pub fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Rounded to a whole number, if that fits.
    pub fn to_i64(&self) -> Option<i64> {
        let whole = self.round(0).ok()?;
        i64::try_from(&whole.coefficient).ok()
    }

    /// Weight of the first base-10000 digit and that digit, as `numeric.c` sees the number.
    fn weight(&self) -> (i64, u32) {
        if let Ok(magnitude) = u128::try_from(self.coefficient.magnitude()) {
            return weight_of(magnitude, self.scale);
        }
        let digits = self.coefficient.magnitude().to_string();
        // Decimal position of the first digit: value = d.ddd * 10^position.
        let position = digits.len() as i64 - 1 - i64::from(self.scale);
        let weight = position.div_euclid(4);
        let take = (position.rem_euclid(4) + 1) as usize;
        let mut first: String = digits.chars().take(take).collect();
        while first.len() < take {
            first.push('0');
        }
        (weight, first.parse().unwrap_or(0))
    }
}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Num {
    /// By value: 1.0 and 1.00 compare equal (though they are different [`Num`]s).
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale {
            return self.coefficient.cmp(&other.coefficient);
        }
        let (a, b, _) = align(self, other);
        a.cmp(&b)
    }
}

impl std::fmt::Display for Num {
    /// PostgreSQL's text: never an exponent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.coefficient.magnitude().to_string();
        if self.is_negative() {
            f.write_str("-")?;
        }
        let scale = self.scale as usize;
        if scale == 0 {
            return f.write_str(&digits);
        }
        if digits.len() <= scale {
            return write!(f, "0.{}{digits}", "0".repeat(scale - digits.len()));
        }
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{whole}.{fraction}")
    }
}

/// A number as PostgreSQL reads one: sign, digits, point, exponent. `None` if the text is none, or too large a one.
pub fn parse(text: &str) -> Option<Num> {
    read(text).ok().flatten()
}

/// As [`parse`]; a number that a numeric has no room for is an error, so only what is no number is `None`.
pub fn read(text: &str) -> Result<Option<Num>> {
    read_within(text, DIGITS_MAX)
}

/// As [`read`], with so many digits before the point; more are not even computed.
pub fn read_within(text: &str, whole_digits_max: u32) -> Result<Option<Num>> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let (negative, rest) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if whole.is_empty() && fraction.is_empty()
        || exponent_digits.is_empty()
        || ![whole, fraction, exponent_digits].into_iter().all(are_digits)
    {
        return Ok(None);
    }
    let exponent: i64 = exponent.parse().map_err(|_| overflow())?;
    let digits = format!("{whole}{fraction}");
    if digits.len() > (DIGITS_MAX + SCALE_MAX) as usize {
        return Err(overflow());
    }
    let significant = digits.trim_start_matches('0').len() as i64;
    let whole_digits = (significant - fraction.len() as i64).saturating_add(exponent);
    if significant > 0 && whole_digits > i64::from(whole_digits_max) {
        return Err(overflow());
    }
    let magnitude = BigInt::parse_bytes(digits.as_bytes(), 10).ok_or_else(overflow)?;
    let coefficient = if negative { -magnitude } else { magnitude };
    let scale = (fraction.len() as i64).saturating_sub(exponent);
    let magnitude_is_zero = significant == 0;
    match u32::try_from(scale) {
        Ok(scale) if scale <= SCALE_MAX => Ok(Some(Num::new(coefficient, scale))),
        Err(_) if magnitude_is_zero && scale < 0 => Ok(Some(Num::from_i64(0))),
        Err(_) if (-i64::from(DIGITS_MAX)..0).contains(&scale) => {
            Ok(Some(Num::new(coefficient * pow10(scale.unsigned_abs() as u32), 0)))
        }
        _ => Err(overflow()),
    }
}

/// Adds up the numbers of one text. `1e131071` is eight characters and 54 kilobytes, so a text within every limit could
/// otherwise take all memory there is.
#[derive(Debug, Default)]
pub struct WrittenOut(u64);

impl WrittenOut {
    /// In bytes.
    pub const MAX: u64 = 16 << 20;

    pub fn add(&mut self, number: &Num) -> Result<()> {
        self.0 += number.coefficient.bits() / 8;
        if self.0 <= Self::MAX {
            return Ok(());
        }
        Err(QueryError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("the numbers of one value have more than {} bytes when they are written out", Self::MAX),
        ))
    }
}

/// The whole number as a value: small where it fits.
pub fn big_to_int(big: BigInt) -> Int {
    match i64::try_from(&big) {
        Ok(small) => Int::Small(small),
        Err(_) => Int::Big(std::sync::Arc::new(big)),
    }
}

pub fn int_to_big(int: &Int) -> BigInt {
    match int {
        Int::Small(i) => BigInt::from(*i),
        Int::Big(b) => (**b).clone(),
    }
}

/// `value` fits `numeric(precision, scale)`, rounded to the scale; 22003 if it does not.
pub fn fit(value: &Num, precision: u32, scale: u32) -> Result<Num> {
    let rounded = value.round(scale)?;
    let digits = if rounded.is_zero() { 0 } else { rounded.coefficient.magnitude().to_string().len() };
    if digits > precision as usize {
        return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "numeric field overflow").detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}.",
            i64::from(precision) - i64::from(scale)
        )));
    }
    Ok(rounded)
}

pub fn overflow() -> QueryError {
    QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value overflows numeric format")
        .detail(format!("A numeric has at most {DIGITS_MAX} digits before the point and {SCALE_MAX} after it."))
}

pub fn division_by_zero() -> QueryError {
    QueryError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn align(a: &Num, b: &Num) -> (BigInt, BigInt, u32) {
    let scale = a.scale.max(b.scale);
    (&a.coefficient * pow10(scale - a.scale), &b.coefficient * pow10(scale - b.scale), scale)
}

pub(super) fn pow10(n: u32) -> BigInt {
    BigInt::from(10).pow(n)
}

/// `select_div_scale`: of two weights and the larger of two scales.
pub(super) fn quotient_scale((weight1, digit1): (i64, u32), (weight2, digit2): (i64, u32), scale: u32) -> u32 {
    let weight = weight1 - weight2 - i64::from(digit1 <= digit2);
    (SIGNIFICANT_DIGITS_MIN - weight * 4).max(i64::from(scale)).clamp(0, RESULT_SCALE_MAX / 2) as u32
}

/// As [`Num::weight`].
pub(super) fn weight_of(magnitude: u128, scale: u32) -> (i64, u32) {
    let Some(last) = magnitude.checked_ilog10() else { return (0, 0) };
    let position = i64::from(last) - i64::from(scale);
    // Digits after the first of the group of four that the first stands in.
    let more = position.rem_euclid(4) as u32;
    let first = match last.checked_sub(more) {
        Some(rest) => magnitude / 10_u128.pow(rest),
        None => magnitude * 10_u128.pow(more - last),
    };
    (position.div_euclid(4), first as u32)
}

/// Half away from zero.
fn div_round(a: &BigInt, b: &BigInt) -> BigInt {
    let negative = (a.sign() == Sign::Minus) != (b.sign() == Sign::Minus);
    let (x, y) = (a.magnitude(), b.magnitude());
    let twice = x * 2u32 + y;
    let quotient = BigInt::from(twice / (y * 2u32));
    if negative { -quotient } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Num {
        parse(text).unwrap()
    }

    #[test]
    fn a_tenth_and_two_tenths_are_three_tenths() {
        assert_eq!(n("0.1").add(&n("0.2")).to_string(), "0.3");
        assert_eq!(n("12345678901234567.89").to_string(), "12345678901234567.89");
    }

    #[test]
    fn scales_of_quotients_are_postgresqls() {
        for (a, b, quotient) in [
            ("1", "3", "0.33333333333333333333"),
            ("10", "3", "3.3333333333333333"),
            ("2", "3", "0.66666666666666666667"),
            ("1.0", "7", "0.14285714285714285714"),
            ("100000", "3", "33333.333333333333"),
            ("1", "100000", "0.000010000000000000000000"),
            ("6.0", "2", "3.0000000000000000"),
            ("123456789", "0.001", "123456789000.00000000"),
            ("1e20", "7", "14285714285714285714"),
            ("0.0001", "3", "0.000033333333333333333333"),
            ("5", "0.3", "16.6666666666666667"),
        ] {
            assert_eq!(n(a).div(&n(b)).unwrap().to_string(), quotient, "{a} / {b}");
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(n("2.5").round(0).unwrap().to_string(), "3");
        assert_eq!(n("-2.5").round(0).unwrap().to_string(), "-3");
        assert_eq!(n("1250").round_to(-2).unwrap().to_string(), "1300");
        assert_eq!(n("-1.29").trunc_to(1).to_string(), "-1.2");
        assert_eq!(n("-1.5").floor().to_string(), "-2");
        assert_eq!(n("-1.5").ceil().to_string(), "-1");
    }

    #[test]
    fn roots_and_powers() {
        assert_eq!(n("2").sqrt().unwrap().to_string(), "1.414213562373095");
        assert_eq!(n("2").power(&n("10")).unwrap().to_string(), "1024.0000000000000000");
    }

    #[test]
    fn many_large_exponents_in_one_text_are_refused() {
        use crate::types::SqlType;
        let many = |number: &str| vec![number; 2_000].join(",");
        let array = SqlType::Array(Box::new(SqlType::NUMERIC));
        let refused = crate::value::text::parse(&format!("{{{}}}", many("1e131071")), &array, 0).unwrap_err();
        assert_eq!(refused.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
        let refused = crate::value::json::parse(&format!("[{}]", many("1e39000")), true).unwrap_err();
        assert_eq!(refused.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
        let refused = crate::value::json::parse("1e100000", true).unwrap_err();
        assert_eq!(refused.code, SqlState::NUMERIC_OUT_OF_RANGE);
    }

    #[test]
    fn what_a_numeric_has_no_room_for_is_refused_and_not_rounded() {
        for text in [
            "1e131073",
            "1e-16384",
            "1e-5000000000",
            "1e5000000000",
            "-1e-9223372036854775807",
            "1e99999999999999999999",
            "-1e-99999999999999999999",
        ] {
            assert_eq!(read(text).unwrap_err().code, SqlState::NUMERIC_OUT_OF_RANGE, "{text}");
        }
        for text in ["", "1e", "1e+", "e5", ".", "1.2.3", "+-1", "0x10", "1_0"] {
            assert_eq!(read(text).unwrap(), None, "{text}");
        }
        assert!(Num::from_decimal(&Decimal::new(1i64, -16_384)).is_err());
    }

    #[test]
    fn too_big_is_an_error_not_a_wait() {
        assert!(parse("1e200000").is_none());
        assert!(n("10").power(&n("1000000")).is_err());
        assert!(fit(&n("1000"), 3, 0).is_err());
    }

    #[test]
    fn products_quotients_and_powers_have_the_digits_of_a_numeric_at_most() {
        let most = n("1e131071");
        let too_many = |outcome: Result<Num>| outcome.unwrap_err().code == SqlState::NUMERIC_OUT_OF_RANGE;
        assert_eq!(most.mul(&n("9.99")).unwrap().to_string().len(), 131_072 + 3);
        assert!(too_many(most.mul(&n("10"))));
        assert!(too_many(n("-1e70000").mul(&n("1e70000"))));
        assert!(too_many(most.div(&n("0.001"))));
        assert!(too_many(n("3").power(&n("300000"))));
        assert!(n("3").power(&n("250000")).is_ok());
    }

    #[test]
    fn the_weight_of_a_number_is_that_of_its_digits() {
        let by_text = |magnitude: u128, scale: u32| {
            let digits = magnitude.to_string();
            let position = digits.len() as i64 - 1 - i64::from(scale);
            let take = (position.rem_euclid(4) + 1) as usize;
            let first: String = digits.chars().chain(std::iter::repeat('0')).take(take).collect();
            (position.div_euclid(4), first.parse().unwrap())
        };
        for magnitude in
            (0..39).flat_map(|n| [10_u128.pow(n), 10_u128.pow(n) * 3 / 2]).chain([u128::MAX, 99_999, 10_001])
        {
            for scale in 0..24 {
                assert_eq!(weight_of(magnitude, scale), by_text(magnitude, scale), "{magnitude} {scale}");
            }
        }
    }
}
