//! `to_char` of numbers (PostgreSQL 15 manual, 9.8, tables 9.29 to 9.31), in the locale C: the number becomes digits of
//! the pattern's scale, which the pattern then takes one by one.

use super::date_pattern::Case;
use super::number_pattern::{Anchor, Field, Node, Shape, nodes};
use super::{Output, ordinal};
use crate::error::{QueryError, Result, SqlState};
use crate::value::numeric::{self, Num};
use num_bigint::BigInt;

/// The most digits behind the point that a numeric is rounded to (`NUMERIC_MAX_RESULT_SCALE`).
const SCALE_MAX: usize = 2000;
/// Digits of a float behind the point; zeros after them.
const FLOAT_DIGITS_MAX: usize = 350;
/// Characters of `RN` without `FM`.
const ROMAN_WIDTH: usize = 15;

/// A number as its type shows it.
pub(super) enum Number {
    Int4(i32),
    Int8(i64),
    Numeric(Num),
    /// With the digits that are exact: 6 for `real`, 15 for `double precision`.
    Float(f64, usize),
}

/// A number in the form of a pattern.
pub(super) fn format(number: &Number, pattern: &str) -> Result<String> {
    let mut shape = Shape::of(pattern)?;
    let digits = if shape.roman {
        Digits::alone(roman(number)?)
    } else if shape.scientific {
        return scientific(number, &shape);
    } else {
        digits(number, &mut shape)?
    };
    Writer::new(shape, &digits).run(pattern)
}

/// What a pattern takes its digits of.
struct Digits {
    negative: bool,
    /// Digits, perhaps a point, digits; or `#` for each, if there is no room for them.
    text: String,
    /// Places before the point that the number does not fill.
    blanks: usize,
}

impl Digits {
    fn alone(text: String) -> Digits {
        Digits { negative: false, text, blanks: 0 }
    }
}

fn digits(number: &Number, shape: &mut Shape) -> Result<Digits> {
    let text = match number {
        Number::Numeric(n) => {
            let mut n = n.clone();
            if shape.shifted {
                let shift = u32::try_from(shape.shift).ok().filter(|shift| *shift < numeric::DIGITS_MAX);
                n = n.mul(&Num::new(BigInt::from(10).pow(shift.ok_or_else(numeric::overflow)?), 0))?;
            }
            n.round(shape.behind.min(SCALE_MAX) as u32)?.to_string()
        }
        Number::Float(f, exact) => {
            let shifted = if shape.shifted { f * 10_f64.powf(shape.shift as f64) } else { *f };
            let whole = float_text(shifted.abs(), 0).len();
            // Digits that the type does not hold are not made up.
            shape.behind = shape.behind.min(exact.saturating_sub(whole));
            float_text(shifted, shape.behind)
        }
        Number::Int4(i) => integer_text(i64::from(*i), i64::from(i32::MAX), shape)?,
        Number::Int8(i) => integer_text(*i, i64::MAX, shape)?,
    };
    if shape.shifted {
        shape.before += shape.shift;
    }
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text),
    };
    let whole = text.find('.').unwrap_or(text.len());
    if whole > shape.before {
        let text = format!("{}.{}", "#".repeat(shape.before), "#".repeat(shape.behind));
        return Ok(Digits { negative, text, blanks: 0 });
    }
    Ok(Digits { negative, text, blanks: shape.before - whole })
}

fn integer_text(i: i64, most: i64, shape: &Shape) -> Result<String> {
    let out_of_range = || QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "integer out of range");
    let factor = if shape.shifted {
        u32::try_from(shape.shift).ok().and_then(|shift| 10_i64.checked_pow(shift)).filter(|f| *f <= most)
    } else {
        Some(1)
    };
    let shifted = factor.and_then(|factor| i.checked_mul(factor)).filter(|i| (-most - 1..=most).contains(i));
    let text = shifted.ok_or_else(out_of_range)?.to_string();
    Ok(if shape.behind > 0 { format!("{text}.{}", "0".repeat(shape.behind)) } else { text })
}

fn float_text(f: f64, scale: usize) -> String {
    match f {
        f if f.is_nan() => "NaN".to_owned(),
        f if f.is_infinite() => if f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        f => format!("{f:.scale$}"),
    }
}

/// `1.23e+04`, with a place for the sign.
fn scientific(number: &Number, shape: &Shape) -> Result<String> {
    let float = |f: f64| {
        if !f.is_finite() {
            return format!(" {}.{}", "#".repeat(shape.before), "#".repeat(shape.behind + 4));
        }
        let exact = shape.behind.min(FLOAT_DIGITS_MAX);
        let text = format!("{f:.exact$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let zeros = "0".repeat(shape.behind - exact);
        let sign = if exponent.starts_with('-') { '-' } else { '+' };
        let padding = if mantissa.starts_with('-') { "" } else { " " };
        format!("{padding}{mantissa}{zeros}e{sign}{:0>2}", exponent.trim_start_matches('-'))
    };
    Ok(match number {
        Number::Float(f, _) => float(*f),
        Number::Int4(i) => float(f64::from(*i)),
        Number::Int8(i) => scientific_numeric(&Num::from_i64(*i), shape.behind)?,
        Number::Numeric(n) => scientific_numeric(n, shape.behind)?,
    })
}

/// The quotient by a power of ten is rounded once: 9.96 with one digit is `10.0e+00`, as PostgreSQL has it.
fn scientific_numeric(n: &Num, scale: usize) -> Result<String> {
    let digits = i64::from(n.coefficient.magnitude().to_string().len() as u32);
    let exponent = if n.is_zero() { 0 } else { digits - 1 - i64::from(n.scale) };
    // Moving the point makes it a number with one digit before the point.
    let moved = Num::new(n.coefficient.clone(), u32::try_from(digits - 1).unwrap_or(0));
    let moved = if n.is_zero() { Num::from_i64(0) } else { moved };
    let shown =
        moved.round(u32::try_from(scale).ok().filter(|s| *s <= numeric::SCALE_MAX).ok_or_else(numeric::overflow)?)?;
    let padding = if n.is_negative() { "" } else { " " };
    let sign = if exponent < 0 { '-' } else { '+' };
    Ok(format!("{padding}{shown}e{sign}{:02}", exponent.abs()))
}

/// In Roman numerals, or `#` where there are none.
fn roman(number: &Number) -> Result<String> {
    let out_of_range = || QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "integer out of range");
    let whole = match number {
        Number::Int4(i) => i64::from(*i),
        Number::Int8(i) => *i,
        Number::Numeric(n) => n.round(0)?.to_i64().ok_or_else(out_of_range)?,
        // Beyond integers there are no Roman numerals either.
        Number::Float(f, _) if f.abs() < 4e9 => f.round_ties_even() as i64,
        Number::Float(..) => 0,
    };
    let mut rest = match number {
        Number::Float(..) => i32::try_from(whole).unwrap_or(0),
        _ => i32::try_from(whole).map_err(|_| out_of_range())?,
    };
    if !(1..4000).contains(&rest) {
        return Ok("#".repeat(ROMAN_WIDTH));
    }
    const NUMERALS: [(i32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut text = String::new();
    for (value, numeral) in NUMERALS {
        while rest >= value {
            text.push_str(numeral);
            rest -= value;
        }
    }
    Ok(text)
}

/// Puts digits where the pattern has places for them.
struct Writer<'a> {
    shape: Shape,
    digits: &'a Digits,
    bytes: &'a [u8],
    /// The next digit.
    at: usize,
    /// Places of the pattern so far.
    place: usize,
    /// The place behind which a sign may follow; none without digits.
    places: i64,
    /// The last digit behind the point that is not a zero which `FM` takes away; the point itself, if all of them are.
    last_relevant: Option<usize>,
    sign_written: bool,
    /// The number has begun: a comma before it would be a blank.
    begun: bool,
    out: Output,
}

impl<'a> Writer<'a> {
    fn new(mut shape: Shape, digits: &'a Digits) -> Writer<'a> {
        if shape.roman {
            // Nothing else counts beside Roman numerals.
            shape = Shape { fill: shape.fill, roman: true, ..Shape::default() };
        }
        let sign_written = if shape.plus || shape.minus {
            // `MI` and `SG` write it themselves; `PL` writes plus alone.
            shape.minus
        } else {
            if !digits.negative && shape.fill {
                shape.brackets = false;
            }
            if shape.anchor == Anchor::Before && shape.before == shape.before_sign {
                shape.anchor = Anchor::Behind;
            }
            !digits.negative && shape.fill && !shape.signed
        };
        let bytes = digits.text.as_bytes();
        let mut places = (shape.before + shape.behind) as i64 - 1;
        if !sign_written && digits.blanks == 0 {
            places += 1;
        }
        let last_relevant = if shape.fill && shape.point { last_relevant(bytes, &shape, digits.blanks) } else { None };
        let out = Output::new();
        Writer { shape, digits, bytes, at: 0, place: 0, places, last_relevant, sign_written, begun: false, out }
    }

    fn run(mut self, pattern: &str) -> Result<String> {
        for node in nodes(pattern) {
            match node {
                Node::Text(c) => self.out.push(c),
                Node::Field(field) => self.field(field)?,
            }
            self.out.check()?;
        }
        let mut text = self.out.into_text();
        // More places than digits of a float: what would come behind the end is not there.
        if let Some(end) = text.find('\0') {
            text.truncate(end);
        }
        Ok(text)
    }

    fn field(&mut self, field: Field) -> Result<()> {
        let (fill, negative) = (self.shape.fill, self.digits.negative);
        let sign = match field {
            Field::Nine | Field::Zero | Field::Point => {
                self.digit(field);
                None
            }
            Field::Comma | Field::Group if self.begun => Some(','),
            Field::Currency => Some(' '),
            Field::Minus if negative => Some('-'),
            Field::Plus if !negative && !self.shape.roman => Some('+'),
            Field::Comma | Field::Group | Field::Minus | Field::Plus => (!fill).then_some(' '),
            // A number in Roman numerals has no sign.
            Field::Sign if self.shape.roman => Some('\0'),
            Field::Sign => Some(if negative { '-' } else { '+' }),
            Field::Roman(case) => {
                self.roman(case);
                None
            }
            Field::Ordinal(case) => {
                if !(self.shape.roman || self.bytes.first() == Some(&b'#') || negative || self.shape.point) {
                    self.out.push_str(ordinal(&self.digits.text, case)?);
                }
                None
            }
            _ => None,
        };
        if let Some(sign) = sign {
            self.out.push(sign);
        }
        Ok(())
    }

    fn roman(&mut self, case: Case) {
        let text = case.of(&self.digits.text);
        let text = if case == Case::Upper { self.digits.text.clone() } else { text };
        self.out.push_str(&if self.shape.fill { text } else { format!("{text:>ROMAN_WIDTH$}") });
    }

    /// A place for a digit or the point.
    fn digit(&mut self, field: Field) {
        if self.shape.roman {
            return;
        }
        self.begun = false;
        let first_zero = self.shape.first_zero;
        let zeros_from_here = first_zero.is_some_and(|zero| zero <= self.place);
        let at_first_zero = first_zero == Some(self.place);
        if !self.sign_written
            && (self.place >= self.digits.blanks || at_first_zero)
            && (!self.is_zero_before_point() || self.point_is_last())
        {
            self.sign();
        }
        if self.place < self.digits.blanks {
            if zeros_from_here {
                self.out.push('0');
                self.begun = true;
            } else if !self.shape.fill {
                self.out.push(' ');
            }
        } else {
            self.take(field);
        }
        let mut end = self.places + i64::from(self.digits.blanks > 0) + i64::from(self.shape.point);
        if self.last_relevant == Some(self.at) {
            end = self.place as i64;
        }
        if self.place as i64 + 1 == end {
            self.sign_behind();
        }
        self.place += 1;
    }

    /// The number's next character.
    fn take(&mut self, field: Field) {
        match self.bytes.get(self.at) {
            Some(b'.') => {
                if !self.point_is_last() || self.shape.fill {
                    self.out.push('.');
                }
            }
            next => {
                let gone = self.last_relevant.is_some_and(|last| self.at > last) && field != Field::Zero;
                if gone {
                    // `FM` takes zeros at the end away.
                } else if self.is_zero_before_point() {
                    if !self.shape.fill {
                        self.out.push(' ');
                    } else if self.point_is_last() {
                        self.out.push('0');
                    }
                } else {
                    self.out.push(next.map_or('\0', |b| char::from(*b)));
                    self.begun = true;
                }
            }
        }
        if self.at < self.bytes.len() {
            self.at += 1;
        }
    }

    /// The zero of 0.5, which `9.9` shows as a blank.
    fn is_zero_before_point(&self) -> bool {
        self.shape.first_zero.is_none() && self.at == 0 && self.bytes.first() == Some(&b'0') && self.shape.behind != 0
    }

    fn point_is_last(&self) -> bool {
        self.last_relevant.is_some_and(|last| self.bytes.get(last) == Some(&b'.'))
    }

    fn sign(&mut self) {
        let negative = self.digits.negative;
        if self.shape.signed {
            if self.shape.anchor != Anchor::Before {
                return;
            }
            self.out.push(if negative { '-' } else { '+' });
        } else if self.shape.brackets {
            self.out.push(if negative { '<' } else { ' ' });
        } else if negative {
            self.out.push('-');
        } else if !self.shape.fill {
            self.out.push(' ');
        }
        self.sign_written = true;
    }

    fn sign_behind(&mut self) {
        let negative = self.digits.negative;
        if self.sign_written && self.shape.brackets {
            self.out.push(if negative { '>' } else { ' ' });
        } else if self.shape.signed && self.shape.anchor == Anchor::Behind {
            self.out.push(if negative { '-' } else { '+' });
        }
    }
}

fn last_relevant(bytes: &[u8], shape: &Shape, blanks: usize) -> Option<usize> {
    let point = bytes.iter().position(|b| *b == b'.')?;
    let last = bytes.iter().rposition(|b| *b != b'0').unwrap_or(point).max(point);
    // What a `0` of the pattern stands for stays.
    let kept = if shape.last_zero > blanks { (bytes.len() - 1).min(shape.last_zero - blanks) } else { 0 };
    Some(last.max(kept))
}
