//! Formatting by template patterns: `to_char`, `to_date`, `to_timestamp` and `to_number` (PostgreSQL 15 manual, 9.8
//! "Data Type Formatting Functions").

mod date_in;
mod date_out;
mod date_pattern;
mod julian;
mod number_in;
mod number_out;
mod number_pattern;
#[cfg(test)]
mod tests;

use ledgerstone_digest::ion::{Int, Value};

use self::date_out::Moment;
use self::date_pattern::Case;
use self::number_out::Number;
use super::time::{interval, time_at, time_in};
use super::ty::{
    FLOAT8, INT4, INT8, INTERVAL, NUMERIC, R_NUMERIC, R_TEXT, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UNTYPED, of,
};
use super::{Arg, Scalar, float_at, int_at, micros_at, size, some_text, strict, text_at, time_pattern, value_at};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::datetime::{self, Interval};
use crate::value::numeric::Num;

const FLOAT4: Arg = Arg::Type(SqlType::Float4);

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("to_char", &[TIMESTAMPTZ, TEXT], R_TEXT, |_, a| moment(&Moment::of_timestamp(micros_at(a, 0)?, true), a)),
    strict("to_char", &[TIMESTAMP, TEXT], R_TEXT, |_, a| moment(&Moment::of_timestamp(micros_at(a, 0)?, false), a)),
    strict("to_char", &[INTERVAL, TEXT], R_TEXT, |_, a| of_interval(a)),
    strict("to_char", &[TIME, TEXT], R_TEXT, |_, a| of_time(a)),
    strict("to_char", &[INT4, TEXT], R_TEXT, |_, a| match i32::try_from(int_at(a, 0)?) {
        Ok(i) => number(&Number::Int4(i), a),
        Err(_) => number(&Number::Int8(int_at(a, 0)?), a),
    }),
    strict("to_char", &[INT8, TEXT], R_TEXT, |_, a| number(&Number::Int8(int_at(a, 0)?), a)),
    strict("to_char", &[NUMERIC, TEXT], R_TEXT, |_, a| number(&Number::Numeric(Num::from_value(value_at(a, 0)?)?), a)),
    strict("to_char", &[FLOAT8, TEXT], R_TEXT, |_, a| number(&Number::Float(float_at(a, 0)?, 15), a)),
    strict("to_char", &[FLOAT4, TEXT], R_TEXT, |_, a| number(&Number::Float(float_at(a, 0)?, 6), a)),
    // Of a field without a type it depends on the value.
    strict("to_char", &[UNTYPED, TEXT], R_TEXT, |c, a| match time_in(c, value_at(a, 0)?)? {
        Value::Timestamp(t) => moment(&Moment::of_timestamp(datetime::to_micros(&t), t.offset_minutes.is_some()), a),
        Value::Int(Int::Small(i)) => number(&Number::Int8(i), a),
        value @ (Value::Int(_) | Value::Decimal(_)) => number(&Number::Numeric(Num::from_value(&value)?), a),
        Value::Float(f) => number(&Number::Float(f, 15), a),
        value @ Value::String(_) => of_time(&[Some(value), a.get(1).cloned().flatten()]),
        value => of_interval(&[Some(value), a.get(1).cloned().flatten()]),
    }),
    strict("to_number", &[TEXT, TEXT], R_NUMERIC, |_, a| match text_at(a, 1)? {
        "" => Ok(None),
        pattern => Ok(Some(number_in::read(text_at(a, 0)?, pattern)?.to_value())),
    }),
    strict("to_date", &[TEXT, TEXT], of(SqlType::Date), |_, a| {
        let read = date_in::read(text_at(a, 0)?, text_at(a, 1)?)?;
        Ok(Some(Value::Timestamp(datetime::date_from_days(read.days())?)))
    }),
    // In PartiQL it is QLDB's, whose patterns are others.
    strict("to_timestamp", &[TEXT, TEXT], of(SqlType::TimestampTz), |c, a| {
        if c.partiql {
            return Ok(Some(Value::Timestamp(time_pattern::parse(text_at(a, 0)?, text_at(a, 1)?)?)));
        }
        let read = date_in::read(text_at(a, 0)?, text_at(a, 1)?)?;
        Ok(Some(Value::Timestamp(datetime::from_micros(read.timestamp()?, true)?)))
    }),
];

fn of_interval(a: &[Datum]) -> Result<Datum> {
    moment(&Moment::of_interval(interval(a, 0)?), a)
}

fn of_time(a: &[Datum]) -> Result<Datum> {
    let micros = time_at(a, 0)?;
    moment(&Moment::of_interval(Interval { micros, ..Interval::default() }), a)
}

fn moment(moment: &Moment, a: &[Datum]) -> Result<Datum> {
    match text_at(a, 1)? {
        "" => Ok(None),
        pattern => some_text(moment.format(pattern)?),
    }
}

fn number(number: &Number, a: &[Datum]) -> Result<Datum> {
    some_text(number_out::format(number, text_at(a, 1)?)?)
}

/// What has been formatted so far. A part of it may be a pattern's length of digits, at most.
struct Output(String);

impl Output {
    fn new() -> Output {
        Output(String::new())
    }

    fn push(&mut self, c: char) {
        self.0.push(c);
    }

    fn push_str(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn check(&self) -> Result<()> {
        size::check_bytes(self.0.len())
    }

    fn into_text(self) -> String {
        self.0
    }
}

/// `st`, `nd`, `rd` or `th`, as the number ends.
fn ordinal(number: &str, case: Case) -> Result<&'static str> {
    let mut last = number.bytes().rev();
    let (ones, tens) = (last.next(), last.next());
    let (lower, upper) = match ones {
        // What did not fit, and what is no number at all.
        None => ("", ""),
        Some(b) if !b.is_ascii_digit() => {
            let message = format!("\"{number}\" is not a number");
            return Err(QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
                .hint("Give the pattern a 9 for each digit."));
        }
        _ if tens == Some(b'1') => ("th", "TH"),
        Some(b'1') => ("st", "ST"),
        Some(b'2') => ("nd", "ND"),
        Some(b'3') => ("rd", "RD"),
        _ => ("th", "TH"),
    };
    Ok(if case == Case::Upper { upper } else { lower })
}

/// Bytes of the character that begins with this one.
fn character_width(first: Option<u8>) -> usize {
    match first {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    }
}
