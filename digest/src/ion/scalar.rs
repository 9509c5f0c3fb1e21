//! Ion text: integers, decimals, floats and timestamps.

use std::str::FromStr;

use num_bigint::BigInt;

use super::text::{TextProblem, shortened};
use super::{Decimal, Fraction, Int, Precision, Timestamp, TimestampError, Value};

/// A text that begins with a digit, or with a minus sign and a digit.
pub(super) fn parse_number(text: &str) -> Result<Value, TextProblem> {
    let bytes = text.as_bytes();
    if matches!(bytes.get(4), Some(b'-' | b'T')) && text.get(..4).is_some_and(all_digits) {
        return parse_timestamp(text)
            .map(Value::Timestamp)
            .map_err(|e| TextProblem::Timestamp { text: shortened(text), why: e.0 });
    }
    let invalid = || TextProblem::Number(shortened(text));
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let radix = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'b' | b'B', ..] => 2,
        _ => 10,
    };
    if radix != 10 {
        return parse_radix(negative, &unsigned[2..], radix).ok_or_else(invalid)?;
    }
    let exponent_at = unsigned.find(['e', 'E', 'd', 'D']);
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if leading_zero || !are_digits(whole, 10) || !fraction.is_none_or(|f| f.is_empty() || are_digits(f, 10)) {
        return Err(invalid());
    }
    if !exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e))) {
        return Err(invalid());
    }
    let is_float = exponent_at.is_some_and(|at| matches!(unsigned.as_bytes()[at], b'e' | b'E'));
    if is_float {
        return text.replace('_', "").parse().map(Value::Float).map_err(|_| invalid());
    }
    let fraction_digits = fraction.unwrap_or("").bytes().filter(u8::is_ascii_digit).count();
    let magnitude = parse_digits(whole, fraction.unwrap_or(""))?;
    if fraction.is_none() && exponent.is_none() {
        let decimal = Decimal::from_parts(negative, magnitude, 0);
        return Ok(Value::Int(decimal.coefficient().clone()));
    }
    let exponent = match exponent {
        Some(e) => e.parse::<i64>().map_err(|_| TextProblem::Exponent)?,
        None => 0,
    };
    let exponent = exponent.checked_sub(fraction_digits as i64).and_then(|e| i32::try_from(e).ok());
    Ok(Value::Decimal(Decimal::from_parts(negative, magnitude, exponent.ok_or(TextProblem::Exponent)?)))
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Ion text: `2020T`, `2020-05-04`, `2020-05-04T03:02:01.500+02:30`.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse_timestamp(text)
    }
}

pub(super) fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The number that the digits make, underscores and the point left out.
fn parse_digits(whole: &str, fraction: &str) -> Result<Int, TextProblem> {
    let significant = whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit).skip_while(|b| *b == b'0');
    let mut digits = String::new();
    for digit in significant {
        if digits.len() == Int::DIGITS_MAX {
            return Err(TextProblem::LongInt);
        }
        digits.push(char::from(digit));
    }
    if digits.is_empty() {
        return Ok(Int::ZERO);
    }
    digits.parse().map_err(|_| TextProblem::LongInt)
}

/// Hexadecimal or binary digits; `None` if they are not.
fn parse_radix(negative: bool, digits: &str, radix: u32) -> Option<Result<Value, TextProblem>> {
    if !are_digits(digits, radix) {
        return None;
    }
    let digits: Vec<u8> = digits.bytes().filter(|b| *b != b'_').skip_while(|b| *b == b'0').collect();
    let bits_per_digit = if radix == 16 { 4 } else { 1 };
    if digits.len() * bits_per_digit > Int::BYTES_MAX * 8 {
        return Some(Err(TextProblem::LongInt));
    }
    let magnitude = if digits.is_empty() { BigInt::ZERO } else { BigInt::parse_bytes(&digits, radix)? };
    Some(Ok(Value::Int(Int::from(if negative { -magnitude } else { magnitude }))))
}

/// Digits with single underscores between them.
fn are_digits(text: &str, radix: u32) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |b: &u8| char::from(*b).is_digit(radix);
    bytes.first().is_some_and(is_digit)
        && bytes.last().is_some_and(is_digit)
        && bytes.windows(2).all(|pair| pair != b"__")
        && bytes.iter().all(|b| is_digit(b) || *b == b'_')
}

fn parse_timestamp(text: &str) -> Result<Timestamp, TimestampError> {
    let mut rest = Rest(text.as_bytes());
    let mut t = Timestamp::first_of(rest.digits(4)?);
    if rest.is(b"T") {
        return t.validated();
    }
    rest.expect(b'-')?;
    t.month = rest.digits(2)? as u8;
    t.precision = Precision::Month;
    if rest.is(b"T") {
        return t.validated();
    }
    rest.expect(b'-')?;
    t.day = rest.digits(2)? as u8;
    t.precision = Precision::Day;
    if rest.is(b"T") || rest.is(b"") {
        return t.validated();
    }
    rest.expect(b'T')?;
    t.hour = rest.digits(2)? as u8;
    rest.expect(b':')?;
    t.minute = rest.digits(2)? as u8;
    t.precision = Precision::Minute;
    if rest.take(b':') {
        t.second = rest.digits(2)? as u8;
        t.precision = Precision::Second;
        if rest.take(b'.') {
            t.fraction = rest.fraction()?;
        }
    }
    t.offset_minutes = rest.offset()?;
    t.validated()
}

/// What is left of a timestamp's text.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn is(&self, text: &[u8]) -> bool {
        self.0 == text
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.0.first() == Some(&byte);
        self.0 = &self.0[usize::from(there)..];
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), TimestampError> {
        if self.take(byte) {
            return Ok(());
        }
        Err(TimestampError(format!("expected {:?}", char::from(byte))))
    }

    fn digits(&mut self, count: usize) -> Result<u16, TimestampError> {
        match self.0.split_at_checked(count) {
            Some((digits, rest)) if digits.iter().all(u8::is_ascii_digit) => {
                self.0 = rest;
                Ok(digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
            }
            _ => Err(TimestampError(format!("expected {count} digits"))),
        }
    }

    fn fraction(&mut self) -> Result<Fraction, TimestampError> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if length == 0 || length > 38 {
            return Err(TimestampError("expected 1 to 38 fraction digits".to_owned()));
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let coefficient = digits.iter().fold(0, |n, d| n * 10 + u128::from(d - b'0'));
        Ok(Fraction::new(coefficient, length as u8))
    }

    fn offset(&mut self) -> Result<Option<i16>, TimestampError> {
        if self.is(b"Z") {
            return Ok(Some(0));
        }
        let west = match self.0.first() {
            Some(b'-') => true,
            Some(b'+') => false,
            _ => return Err(TimestampError("expected an offset: Z, +hh:mm or -hh:mm".to_owned())),
        };
        self.0 = &self.0[1..];
        let hours = self.digits(2)?;
        self.expect(b':')?;
        let minutes = self.digits(2)?;
        if hours > 23 || minutes > 59 || !self.is(b"") {
            return Err(TimestampError("offset out of range, or something after it".to_owned()));
        }
        let offset = (hours * 60 + minutes) as i16;
        Ok(match (west, offset) {
            (true, 0) => None,
            (true, offset) => Some(-offset),
            (false, offset) => Some(offset),
        })
    }
}
