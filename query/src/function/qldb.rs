//! The functions of QLDB's PartiQL that SQL has not, or has otherwise (the dialect's reference, "PartiQL functions"),
//! and what PartiQL's own operators call.

use ledgerstone_digest::ion::{Limits, Precision, Timestamp, Value, parse};

use super::time_pattern;
use super::ty::{ANY, INT8, R_TEXT, TEXT, of};
use super::{Returns, Scalar, int_at, lenient, some_bool, some_int, some_text, strict, text_at, value_at};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::datetime;
use crate::value::numeric::Num;

const R_ION: Returns = of(SqlType::Ion);

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("size", &[ANY], of(SqlType::Int8), |_, a| match value_at(a, 0)?.unannotated() {
        Value::List(items) | Value::Sexp(items) => some_int(items.len() as i64),
        Value::Struct(s) => some_int(s.len() as i64),
        other => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("size() needs a list, a sexp, a bag or a struct, not {}", crate::value::ion_type_name(other)),
        )),
    }),
    strict("utcnow", &[], R_ION, |c, _| {
        Ok(Some(Value::Timestamp(datetime::from_millis(c.session.statement_time_ms)?)))
    }),
    strict("txid", &[], R_TEXT, |c, _| some_text(c.transaction_id.to_string())),
    strict("to_string", &[ANY], R_TEXT, |_, a| some_text(shown(value_at(a, 0)?))),
    strict("to_string", &[ANY, TEXT], R_TEXT, |_, a| match value_at(a, 0)?.unannotated() {
        Value::Timestamp(t) => some_text(time_pattern::format(t, text_at(a, 1)?)?),
        other => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("to_string() needs a timestamp, not {}", crate::value::ion_type_name(other)),
        )),
    }),
    // Of any type, so that a value of which nothing is known does not become PostgreSQL's function of a number.
    strict("to_timestamp", &[ANY], R_ION, |c, a| {
        let text = match value_at(a, 0)?.unannotated() {
            Value::String(text) => text.as_ref(),
            Value::Symbol(symbol) => symbol.text().unwrap_or("$0"),
            number @ (Value::Int(_) | Value::Decimal(_) | Value::Float(_)) if !c.partiql => {
                return super::time::from_seconds(Num::from_value(number)?.to_f64());
            }
            other => {
                let found = crate::value::ion_type_name(other);
                let message = format!("to_timestamp() needs a text, not {found}");
                return Err(QueryError::new(SqlState::DATATYPE_MISMATCH, message));
            }
        };
        match parse(text, &Limits::DOCUMENT) {
            Ok(value @ Value::Timestamp(_)) => Ok(Some(value)),
            _ => Err(QueryError::new(SqlState::INVALID_DATETIME, format!("{text:?} is not an Ion timestamp"))
                .hint("Timestamps look like 2020-05-04T03:02:01.500Z.")),
        }
    }),
    // The one with a pattern stands beside PostgreSQL's of that name, in `template`.
    strict("date_add", &[TEXT, INT8, ANY], R_ION, |_, a| date_add(a)),
    strict("date_diff", &[TEXT, ANY, ANY], of(SqlType::Int8), |_, a| date_diff(a)),
    strict("ledgerstone_extract", &[TEXT, ANY], R_ION, |_, a| extract(a)),
    strict("ledgerstone_concat", &[TEXT, TEXT], R_TEXT, |_, a| {
        some_text(format!("{}{}", text_at(a, 0)?, text_at(a, 1)?))
    }),
    lenient("ledgerstone_exists", &[ANY], of(SqlType::Bool), |_, a| match a.first() {
        Some(Some(Value::List(items) | Value::Sexp(items))) => some_bool(!items.is_empty()),
        Some(Some(Value::Struct(s))) => some_bool(!s.is_empty()),
        _ => some_bool(false),
    }),
];

fn shown(value: &Value) -> String {
    match value.unannotated() {
        Value::String(s) => s.to_string(),
        Value::Symbol(s) => s.text().unwrap_or("$0").to_owned(),
        other => ledgerstone_digest::ion::to_text(other),
    }
}

fn timestamp_at(a: &[Datum], i: usize) -> Result<&Timestamp> {
    match value_at(a, i)?.unannotated() {
        Value::Timestamp(t) => Ok(t),
        other => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("argument {} must be a timestamp, not {}", i + 1, crate::value::ion_type_name(other)),
        )),
    }
}

fn unknown_part(part: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("\"{part}\" is not a date part"))
        .hint("Parts are year, month, day, hour, minute and second.")
}

/// The precision that a part needs: adding hours to a day makes it a minute.
fn precision_of(part: &str) -> Option<Precision> {
    Some(match part {
        "year" => Precision::Year,
        "month" => Precision::Month,
        "day" => Precision::Day,
        "hour" | "minute" => Precision::Minute,
        "second" => Precision::Second,
        _ => return None,
    })
}

fn date_add(a: &[Datum]) -> Result<Datum> {
    let (part, by, t) = (text_at(a, 0)?, int_at(a, 1)?, timestamp_at(a, 2)?);
    let precision = t.precision.max(precision_of(part).ok_or_else(|| unknown_part(part))?);
    let overflow = datetime::timestamp_overflow;
    let mut result = t.clone();
    if matches!(part, "year" | "month") {
        let months = by.checked_mul(if part == "year" { 12 } else { 1 }).ok_or_else(overflow)?;
        let total =
            (i64::from(t.year) * 12 + i64::from(t.month.max(1)) - 1).checked_add(months).ok_or_else(overflow)?;
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
        result.year = u16::try_from(year).ok().filter(|y| (1..=9999).contains(y)).ok_or_else(overflow)?;
        result.month = month as u8;
        result.day = t.day.max(1).min(datetime::days_in_month(year, month) as u8);
    } else {
        let unit = match part {
            "day" => 86_400,
            "hour" => 3600,
            "minute" => 60,
            _ => 1,
        };
        // Local fields move; the fraction and the offset stay as they are.
        let local = datetime::days_from_civil(i64::from(t.year), i64::from(t.month.max(1)), i64::from(t.day.max(1)))
            * 86_400
            + i64::from(t.hour) * 3600
            + i64::from(t.minute) * 60
            + i64::from(t.second);
        let moved = by.checked_mul(unit).and_then(|by| local.checked_add(by)).ok_or_else(overflow)?;
        let (year, month, day) = datetime::civil_from_days(moved.div_euclid(86_400));
        let of_day = moved.rem_euclid(86_400);
        result.year = u16::try_from(year).ok().filter(|y| (1..=9999).contains(y)).ok_or_else(overflow)?;
        (result.month, result.day) = (month as u8, day as u8);
        (result.hour, result.minute, result.second) =
            ((of_day / 3600) as u8, (of_day / 60 % 60) as u8, (of_day % 60) as u8);
    }
    result.precision = precision;
    (result.month, result.day) = (result.month.max(1), result.day.max(1));
    if precision >= Precision::Minute && t.precision < Precision::Minute {
        result.offset_minutes = Some(0);
    }
    let result = result.validated().map_err(|_| overflow())?;
    Ok(Some(Value::Timestamp(result)))
}

/// Whole parts between two times, counted as QLDB does: years and months by the calendar, the rest by elapsed time.
fn date_diff(a: &[Datum]) -> Result<Datum> {
    let (part, from, to) = (text_at(a, 0)?, timestamp_at(a, 1)?, timestamp_at(a, 2)?);
    let micros = datetime::to_micros(to).saturating_sub(datetime::to_micros(from));
    let unit = match part {
        "year" | "month" => {
            let (x, y) = (datetime::to_micros(from), datetime::to_micros(to));
            let between = datetime::age(y, x);
            let months = i64::from(between.months);
            return some_int(if part == "year" { months / 12 } else { months });
        }
        "day" => datetime::MICROS_PER_DAY,
        "hour" => 3_600_000_000,
        "minute" => 60_000_000,
        "second" => 1_000_000,
        _ => return Err(unknown_part(part)),
    };
    some_int(micros / unit)
}

/// `EXTRACT(part FROM t)`: local fields, exact seconds, and the offset's hours and minutes.
fn extract(a: &[Datum]) -> Result<Datum> {
    let (part, t) = (text_at(a, 0)?, timestamp_at(a, 1)?);
    let offset = i64::from(t.offset_minutes.unwrap_or(0));
    some_int(match part {
        "year" => i64::from(t.year),
        "month" => i64::from(t.month.max(1)),
        "day" => i64::from(t.day.max(1)),
        "hour" => i64::from(t.hour),
        "minute" => i64::from(t.minute),
        "second" => {
            let (fraction, digits) = t.fraction.parts();
            let whole = num_bigint::BigInt::from(t.second) * num_bigint::BigInt::from(10).pow(u32::from(digits));
            return Ok(Some(Num::new(whole + fraction, u32::from(digits)).to_value()));
        }
        "timezone_hour" => offset / 60,
        "timezone_minute" => offset % 60,
        _ => return Err(unknown_part(part)),
    })
}
