//! Integers and decimals (Ion 1.0 specification, "Data model": int, decimal).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use num_bigint::{BigInt, Sign};

use super::{Decimal, Int};

/// Why text is not an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal integer of at most {max} digits", max = Int::DIGITS_MAX)]
pub struct IntError;

impl Int {
    pub const ZERO: Int = Int::Small(0);

    /// Magnitude bytes that readers accept. Turning digits into bits and back takes quadratic time, so an integer
    /// without a limit would let one short statement occupy a processor for minutes.
    pub const BYTES_MAX: usize = 16 << 10;

    /// Decimal digits of the largest number of [`Int::BYTES_MAX`] bytes.
    pub const DIGITS_MAX: usize = 39_457;

    pub fn is_zero(&self) -> bool {
        matches!(self, Int::Small(0))
    }

    pub fn is_negative(&self) -> bool {
        match self {
            Int::Small(i) => *i < 0,
            Int::Big(i) => i.sign() == Sign::Minus,
        }
    }

    pub fn to_i64(&self) -> Option<i64> {
        match self {
            Int::Small(i) => Some(*i),
            Int::Big(_) => None,
        }
    }

    pub fn to_u64(&self) -> Option<u64> {
        match self {
            Int::Small(i) => u64::try_from(*i).ok(),
            Int::Big(i) => u64::try_from(&**i).ok(),
        }
    }

    pub fn to_i128(&self) -> Option<i128> {
        match self {
            Int::Small(i) => Some(i128::from(*i)),
            Int::Big(i) => i128::try_from(&**i).ok(),
        }
    }

    pub fn to_bigint(&self) -> BigInt {
        match self {
            Int::Small(i) => BigInt::from(*i),
            Int::Big(i) => BigInt::clone(i),
        }
    }

    /// Sign and big-endian magnitude without leading zero bytes.
    pub fn from_sign_magnitude(negative: bool, magnitude: &[u8]) -> Self {
        let first = magnitude.iter().position(|b| *b != 0).unwrap_or(magnitude.len());
        let significant = &magnitude[first..];
        if significant.len() <= 8 {
            let absolute = significant.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
            return if negative { Int::from(-i128::from(absolute)) } else { Int::from(absolute) };
        }
        Int::from(BigInt::from_bytes_be(if negative { Sign::Minus } else { Sign::Plus }, significant))
    }

    /// Appends the big-endian magnitude without leading zero bytes: nothing for zero.
    pub fn write_magnitude(&self, out: &mut Vec<u8>) {
        match self {
            Int::Small(i) => {
                let bytes = i.unsigned_abs().to_be_bytes();
                out.extend_from_slice(&bytes[(i.unsigned_abs().leading_zeros() / 8) as usize..]);
            }
            Int::Big(i) => out.extend_from_slice(&i.magnitude().to_bytes_be()),
        }
    }
}

impl From<i64> for Int {
    fn from(i: i64) -> Self {
        Int::Small(i)
    }
}

impl From<u64> for Int {
    fn from(i: u64) -> Self {
        match i64::try_from(i) {
            Ok(small) => Int::Small(small),
            Err(_) => Int::Big(Arc::new(BigInt::from(i))),
        }
    }
}

impl From<i128> for Int {
    fn from(i: i128) -> Self {
        match i64::try_from(i) {
            Ok(small) => Int::Small(small),
            Err(_) => Int::Big(Arc::new(BigInt::from(i))),
        }
    }
}

impl From<BigInt> for Int {
    fn from(i: BigInt) -> Self {
        match i64::try_from(&i) {
            Ok(small) => Int::Small(small),
            Err(_) => Int::Big(Arc::new(i)),
        }
    }
}

impl FromStr for Int {
    type Err = IntError;

    /// Decimal digits with an optional minus sign; no plus sign, spaces or underscores.
    fn from_str(text: &str) -> Result<Self, IntError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || digits.len() > Int::DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IntError);
        }
        match text.parse::<i64>() {
            Ok(small) => Ok(Int::Small(small)),
            Err(_) => BigInt::parse_bytes(text.as_bytes(), 10)
                .filter(|i| i.bits() <= Int::BYTES_MAX as u64 * 8)
                .map(Int::from)
                .ok_or(IntError),
        }
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Int::Small(i) => fmt::Display::fmt(i, f),
            Int::Big(i) => fmt::Display::fmt(i, f),
        }
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Int::Small(a), Int::Small(b)) => a.cmp(b),
            (Int::Big(a), Int::Big(b)) => a.cmp(b),
            // A big one lies beyond every small one, on the side of its sign.
            (Int::Small(_), Int::Big(_)) => {
                if other.is_negative() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Int::Big(_), Int::Small(_)) => {
                if self.is_negative() {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl Decimal {
    /// `coefficient × 10^exponent`.
    pub fn new(coefficient: impl Into<Int>, exponent: i32) -> Self {
        Decimal { coefficient: coefficient.into(), exponent, negative_zero: false }
    }

    /// Zero with a minus sign and this exponent: `-0.0` is `negative_zero(-1)`.
    pub fn negative_zero(exponent: i32) -> Self {
        Decimal { coefficient: Int::ZERO, exponent, negative_zero: true }
    }

    /// From a sign kept apart from the magnitude, so that minus zero survives.
    pub fn from_parts(negative: bool, magnitude: Int, exponent: i32) -> Self {
        if magnitude.is_zero() {
            return Decimal { coefficient: Int::ZERO, exponent, negative_zero: negative };
        }
        let coefficient =
            if negative == magnitude.is_negative() { magnitude } else { Int::from(-magnitude.to_bigint()) };
        Decimal { coefficient, exponent, negative_zero: false }
    }

    /// The signed coefficient; minus zero shows as 0 here.
    pub fn coefficient(&self) -> &Int {
        &self.coefficient
    }

    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// Digits after the point; 0 if the exponent is not negative.
    pub fn scale(&self) -> u32 {
        if self.exponent < 0 { self.exponent.unsigned_abs() } else { 0 }
    }

    pub fn is_zero(&self) -> bool {
        self.coefficient.is_zero()
    }

    /// Below zero, or minus zero.
    pub fn is_negative(&self) -> bool {
        self.negative_zero || self.coefficient.is_negative()
    }

    pub fn is_negative_zero(&self) -> bool {
        self.negative_zero
    }
}

impl From<Int> for Decimal {
    fn from(coefficient: Int) -> Self {
        Decimal::new(coefficient, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_never_holds_what_fits_small() {
        for i in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(Int::from(BigInt::from(i)), Int::Small(i));
            assert_eq!(i.to_string().parse::<Int>().unwrap(), Int::Small(i));
            let mut magnitude = Vec::new();
            Int::Small(i).write_magnitude(&mut magnitude);
            assert_eq!(Int::from_sign_magnitude(i < 0, &magnitude), Int::Small(i));
        }
        assert_eq!(Int::from(u64::MAX).to_u64(), Some(u64::MAX));
        assert_eq!(Int::from(u64::MAX).to_string(), u64::MAX.to_string());
        assert_eq!(Int::from(i128::MIN).to_i128(), Some(i128::MIN));
        let ordered = [Int::from(i128::MIN), Int::from(i64::MIN), Int::ZERO, Int::from(u64::MAX), Int::from(i128::MAX)];
        assert!(ordered.is_sorted() && ordered[0] < ordered[1] && ordered[3] < ordered[4]);
    }

    #[test]
    fn text_and_binary_accept_the_same_integers() {
        let largest = Int::from_sign_magnitude(false, &[0xff; Int::BYTES_MAX]);
        let text = largest.to_string();
        assert_eq!(text.len(), Int::DIGITS_MAX);
        assert_eq!(text.parse::<Int>(), Ok(largest));
        assert!("9".repeat(Int::DIGITS_MAX).parse::<Int>().is_err());
        assert!("1".repeat(Int::DIGITS_MAX + 1).parse::<Int>().is_err());
    }

    #[test]
    fn minus_zero_keeps_its_sign_and_scale() {
        let d = Decimal::from_parts(true, Int::ZERO, -2);
        assert!(d.is_negative_zero() && d.is_negative() && d.scale() == 2);
        assert_ne!(d, Decimal::new(0i64, -2));
        assert_eq!(Decimal::from_parts(true, Int::Small(5), 0), Decimal::new(-5i64, 0));
    }
}
