//! Literals both front ends write alike: numbers, and the limits on statement texts.
//!
//! A number without a point or an exponent is an integer of any size; with either it is a decimal that keeps its
//! scale (`1.50` is not `1.5`), in PartiQL as in PostgreSQL. Binary floating point is only made by a cast.

use std::sync::Arc;

use ledgerstone_digest::ion::{Decimal, Int, TextError, Value};
use num_bigint::BigInt;

use crate::ast::Span;
use crate::error::{QueryError, Result, SqlState};

/// The longest text either front end reads, in bytes. Doors that must be as strict as QLDB (100,000 characters)
/// check that themselves.
pub const TEXT_MAX: usize = 4 << 20;

/// Words and signs of a text, each of which is kept while the text is read; in SQL spaces between them are some too. What
/// stands between quotes is one, however long.
pub(crate) const TEXT_TOKENS_MAX: usize = 2_000_000;

/// Words and signs of a statement, but for those of the rows or documents of an INSERT: what is made of one takes a
/// hundred bytes and more. Each of those rows and documents may have as many.
pub(crate) const STATEMENT_TOKENS_MAX: usize = 200_000;

/// The most digits of a number literal; more than any type can use.
const DIGITS_MAX: usize = 100_000;

/// The largest exponent of a literal, which is the largest scale PostgreSQL has.
const EXPONENT_MAX: i64 = 16_383;

/// Asked for the memory of what is about to be made of a text, in bytes; an error if there is none.
pub(crate) type Charge<'a> = &'a mut dyn FnMut(usize) -> Result<()>;

/// Refuses texts too long to be parsed at all.
pub(crate) fn check_length(text: &str) -> Result<()> {
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    Err(QueryError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("the statement text is {} bytes long, at most {TEXT_MAX} are read", text.len()),
    )
    .hint("send data as parameters, in several statements, or with COPY"))
}

/// There are more words and signs than are read (54000): the first beyond stands here.
pub(crate) fn too_many_tokens(most: usize, span: Span) -> QueryError {
    QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("the statement has more than {most} words and signs"))
        .at(span)
        .hint("send data as parameters, in several statements, or with COPY")
}

/// The value of a number as written: digits, at most one point, perhaps an exponent; no sign.
pub(crate) fn number(text: &str, span: Span) -> Result<Value> {
    let invalid = || QueryError::syntax(format!("\"{}\" is not a number", shorten(text)), span);
    if text.len() > DIGITS_MAX {
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "the number has too many digits").at(span));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return integer(text).map(Value::Int).ok_or_else(invalid);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| invalid())?),
        None => (text, 0),
    };
    if exponent.abs() > EXPONENT_MAX {
        return Err(QueryError::new(
            SqlState::NUMERIC_OUT_OF_RANGE,
            format!("the exponent of \"{}\" is beyond ±{EXPONENT_MAX}", shorten(text)),
        )
        .at(span));
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let coefficient = integer(&digits).ok_or_else(invalid)?;
    let exponent = i32::try_from(exponent - fraction.len() as i64).map_err(|_| invalid())?;
    Ok(Value::Decimal(Decimal::new(coefficient, exponent)))
}

/// The one value of an Ion text.
pub(crate) fn ion(text: &str) -> Result<Value, TextError> {
    ledgerstone_digest::ion::parse(text, &ledgerstone_digest::ion::Limits::DOCUMENT)
}

/// Digits as an integer of the smallest form.
fn integer(digits: &str) -> Option<Int> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Ok(small) = digits.parse::<i64>() {
        return Some(Int::Small(small));
    }
    let big = BigInt::parse_bytes(digits.as_bytes(), 10)?;
    // Leading zeros may hide a number that fits.
    Some(i64::try_from(&big).map_or_else(|_| Int::Big(Arc::new(big)), Int::Small))
}

/// Runs one level of a recursion, on more stack if little is left: a level takes several frames, and threads of a
/// server have small stacks.
pub(crate) fn with_stack<T>(level: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(192 << 10, 2 << 20, level)
}

/// A piece of user text short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    const MAX: usize = 40;
    if text.chars().count() <= MAX { text.to_owned() } else { text.chars().take(MAX).chain("…".chars()).collect() }
}

/// The nearest of `known` to `word`, if it is near enough to be what was meant.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() < 3 || word.len() > 30 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = if word.len() <= 4 { 1 } else { 2 };
    known
        .into_iter()
        .map(|k| (distance(&word, &k.to_ascii_lowercase()), k))
        .filter(|(d, _)| *d > 0 && *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table = vec![0usize; (a.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[at(i, j)] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut best =
                    (table[at(i - 1, j)] + 1).min(table[at(i, j - 1)] + 1).min(table[at(i - 1, j - 1)] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(table[at(i - 2, j - 2)] + 1);
                }
                best
            };
        }
    }
    table[at(a.len(), b.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Value> {
        number(text, Span::default())
    }

    #[test]
    fn numbers_keep_their_scale() {
        assert_eq!(parse("42").unwrap(), Value::int(42));
        assert_eq!(parse("007").unwrap(), Value::int(7));
        assert_eq!(parse("1.50").unwrap(), Value::Decimal(Decimal::new(150i64, -2)));
        assert_eq!(parse(".5").unwrap(), Value::Decimal(Decimal::new(5i64, -1)));
        assert_eq!(parse("5.").unwrap(), Value::Decimal(Decimal::new(5i64, 0)));
        assert_eq!(parse("1e3").unwrap(), Value::Decimal(Decimal::new(1i64, 3)));
        assert_eq!(parse("1.5E-3").unwrap(), Value::Decimal(Decimal::new(15i64, -4)));
        assert!(matches!(parse("9223372036854775808").unwrap(), Value::Int(Int::Big(_))));
        assert_eq!(parse("00000000000000000000000000001").unwrap(), Value::int(1));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in ["", ".", "1e", "1.2.3", "1e99999", "1x", "e5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn near_words_are_suggested() {
        assert_eq!(suggestion("SELCT", ["FROM", "SELECT"]), Some("SELECT"));
        assert_eq!(suggestion("FORM", ["FROM", "SELECT"]), Some("FROM"));
        assert_eq!(suggestion("xyzzy", ["FROM", "SELECT"]), None);
        assert_eq!(suggestion("select", ["SELECT"]), None);
    }
}
