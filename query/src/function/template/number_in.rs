//! `to_number` (PostgreSQL 15 manual, 9.8): digits, a point and a sign are gathered where the pattern has places for them.
//! It works on bytes, of which those that count are ASCII.

use super::character_width;
use super::number_pattern::{Field, Node, Shape, nodes};
use crate::error::{QueryError, Result, SqlState};
use crate::value::numeric::{self, Num};
use num_bigint::BigInt;

/// The number that a text is by a pattern.
pub(super) fn read(text: &str, pattern: &str) -> Result<Num> {
    let shape = Shape::of(pattern)?;
    for (there, name) in [(shape.scientific, "EEEE"), (shape.roman, "RN")] {
        if there {
            let message = format!("\"{name}\" not supported for input");
            return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint("Cast the text to numeric."));
        }
    }
    let (before, shift, shifted) = (shape.before, shape.shift, shape.shifted);
    let mut reader = Reader {
        text: text.as_bytes(),
        at: 0,
        shape,
        sign: b' ',
        number: String::new(),
        before: 0,
        behind: 0,
        point: false,
    };
    reader.run(pattern);
    let digits = reader.number.strip_suffix('.').unwrap_or(&reader.number);
    let sign = match reader.sign {
        b'-' => "-",
        b'+' => "+",
        _ => " ",
    };
    let written = format!("{sign}{digits}");
    let invalid = || {
        let shown = crate::literal::shorten(&written);
        let message = format!("invalid input syntax for type numeric: \"{shown}\"");
        QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    };
    let n = numeric::read(written.trim_start())?.ok_or_else(invalid)?;
    let whole = n.trunc_to(0).coefficient;
    if whole != BigInt::ZERO && whole.magnitude().to_string().len() > before + shift {
        return Err(numeric::overflow());
    }
    if !shifted {
        return Ok(n);
    }
    // The power of ten that PostgreSQL multiplies with has 16 digits behind the point at least.
    let shift =
        u32::try_from(shift).ok().filter(|shift| *shift <= numeric::DIGITS_MAX).ok_or_else(numeric::overflow)?;
    n.mul(&Num::from_i64(10).power(&Num::from_i64(-i64::from(shift)))?)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    shape: Shape,
    /// A blank as long as there is none.
    sign: u8,
    number: String,
    before: usize,
    behind: usize,
    point: bool,
}

impl Reader<'_> {
    fn run(&mut self, pattern: &str) {
        for node in nodes(pattern) {
            if self.at >= self.text.len() {
                return;
            }
            match node {
                // Whatever it is, it stands for the character of the pattern.
                Node::Text(_) => self.at += character_width(self.peek()),
                Node::Field(field) => self.field(field),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn field(&mut self, field: Field) {
        match field {
            Field::Nine | Field::Zero | Field::Point => {
                self.digit(field);
                self.at += 1;
            }
            // With `FM` a comma in the text is none of the pattern's, as in PostgreSQL.
            Field::Comma | Field::Group if !self.shape.fill && self.peek() == Some(b',') => self.at += 1,
            Field::Currency => self.pass_over(1),
            Field::Ordinal(_) if !self.shape.point => self.pass_over(2),
            Field::Minus => self.sign_at(b"-"),
            Field::Plus => self.sign_at(b"+"),
            Field::Sign => self.sign_at(b"+-"),
            _ => {}
        }
    }

    fn sign_at(&mut self, signs: &[u8]) {
        match self.peek() {
            Some(b) if signs.contains(&b) => {
                self.sign = b;
                self.at += 1;
            }
            _ => self.pass_over(1),
        }
    }

    /// Passes over so many characters, as long as they are none that numbers are made of.
    fn pass_over(&mut self, characters: usize) {
        for _ in 0..characters {
            match self.peek() {
                Some(b) if !b"0123456789.,+-".contains(&b) => self.at += character_width(Some(b)),
                _ => return,
            }
        }
    }

    /// A place for a digit or the point. It leaves the text at the last character that it took.
    fn digit(&mut self, field: Field) {
        if self.peek() == Some(b' ') {
            self.at += 1;
        }
        if self.sign == b' ' && field != Field::Point && self.before + self.behind == 0 {
            self.sign_before();
        }
        let Some(next) = self.peek() else { return };
        let mut read = false;
        if next.is_ascii_digit() {
            if self.point && self.behind == self.shape.behind {
                return;
            }
            self.number.push(char::from(next));
            *if self.point { &mut self.behind } else { &mut self.before } += 1;
            read = true;
        } else if next == b'.' && self.shape.point && !self.point {
            self.number.push('.');
            self.point = true;
            read = true;
        }
        if self.sign == b' ' && self.before + self.behind > 0 {
            self.sign_behind(read);
        }
    }

    fn sign_before(&mut self) {
        let found = match self.peek() {
            Some(b'-' | b'+') => self.peek(),
            Some(b'<') if self.shape.brackets => Some(b'-'),
            _ => None,
        };
        if let Some(sign) = found {
            self.sign = sign;
            self.at += 1;
        }
    }

    /// A sign behind the number: where `S` anchors it, or before the places of `MI`, `PL` and `SG`.
    fn sign_behind(&mut self, read: bool) {
        let sign_at = |at: usize| self.text.get(at).copied().filter(|b| matches!(b, b'-' | b'+'));
        if self.shape.signed && read {
            if let Some(sign) = sign_at(self.at + 1) {
                self.sign = sign;
                self.at += 1;
            }
        } else if !read
            && !self.shape.signed
            && (self.shape.plus || self.shape.minus)
            && let Some(sign) = sign_at(self.at)
        {
            self.sign = sign;
        }
    }
}
