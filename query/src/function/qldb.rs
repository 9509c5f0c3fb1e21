//! The functions of QLDB's PartiQL that SQL has not, or has otherwise (the dialect's reference, "PartiQL functions"),
//! and what PartiQL's own operators call.

use ledgerstone_digest::ion::{Fraction, Limits, Precision, Timestamp, Value, parse};

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
        Value::Timestamp(t) => some_text(format_pattern(t, text_at(a, 1)?)?),
        other => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("to_string() needs a timestamp, not {}", crate::value::ion_type_name(other)),
        )),
    }),
    strict("to_timestamp", &[TEXT], R_ION, |_, a| {
        let text = text_at(a, 0)?;
        match parse(text, &Limits::DOCUMENT) {
            Ok(value @ Value::Timestamp(_)) => Ok(Some(value)),
            _ => Err(QueryError::new(SqlState::INVALID_DATETIME, format!("{text:?} is not an Ion timestamp"))
                .hint("Timestamps look like 2020-05-04T03:02:01.500Z.")),
        }
    }),
    strict("to_timestamp", &[TEXT, TEXT], R_ION, |_, a| parse_pattern(text_at(a, 0)?, text_at(a, 1)?)),
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

/// The pattern letters of TO_STRING: y, M, d, H, h, m, s, S, a and X, as Java's formatter has them.
fn format_pattern(t: &Timestamp, pattern: &str) -> Result<String> {
    let mut out = String::new();
    for (letter, count) in runs(pattern) {
        let twelve = if t.hour.is_multiple_of(12) { 12 } else { t.hour % 12 };
        let number = |n: u64| format!("{n:0count$}");
        match letter {
            'y' if count == 2 => out.push_str(&format!("{:02}", t.year % 100)),
            'y' => out.push_str(&number(u64::from(t.year))),
            'M' => out.push_str(&number(u64::from(t.month.max(1)))),
            'd' => out.push_str(&number(u64::from(t.day.max(1)))),
            'H' => out.push_str(&number(u64::from(t.hour))),
            'h' => out.push_str(&number(u64::from(twelve))),
            'm' => out.push_str(&number(u64::from(t.minute))),
            's' => out.push_str(&number(u64::from(t.second))),
            'S' => {
                let digits = format!("{:0width$}", t.fraction.coefficient(), width = usize::from(t.fraction.digits()));
                out.extend(digits.chars().chain(std::iter::repeat('0')).take(count));
            }
            'a' => out.push_str(if t.hour < 12 { "AM" } else { "PM" }),
            'X' | 'x' => {
                let offset = t.offset_minutes.unwrap_or(0);
                if offset == 0 && letter == 'X' {
                    out.push('Z');
                } else {
                    let colon = if count == 3 { ":" } else { "" };
                    let sign = if offset < 0 { '-' } else { '+' };
                    out.push_str(&format!("{sign}{:02}{colon}{:02}", offset.abs() / 60, offset.abs() % 60));
                }
            }
            c if c.is_ascii_alphabetic() => {
                return Err(QueryError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("pattern letter {c:?} is not known"),
                )
                .hint("Letters are y, M, d, H, h, m, s, S, a and X."));
            }
            c => out.extend(std::iter::repeat_n(c, count)),
        }
    }
    Ok(out)
}

fn runs(pattern: &str) -> Vec<(char, usize)> {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for c in pattern.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == c => *count += 1,
            _ => runs.push((c, 1)),
        }
    }
    runs
}

/// TO_TIMESTAMP with a pattern: numbers where letters are, everything else as it stands.
fn parse_pattern(text: &str, pattern: &str) -> Result<Datum> {
    let fail =
        || QueryError::new(SqlState::INVALID_DATETIME, format!("{text:?} does not match the pattern {pattern:?}"));
    let mut t = Timestamp {
        year: 1,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        fraction: Fraction::NONE,
        precision: Precision::Year,
        offset_minutes: None,
    };
    let (mut rest, mut afternoon) = (text, None);
    for (letter, count) in runs(pattern) {
        match letter {
            'a' => {
                let (half, after) = rest.split_at_checked(2).ok_or_else(fail)?;
                afternoon = Some(half.eq_ignore_ascii_case("PM"));
                rest = after;
            }
            'X' | 'x' => {
                let (minutes, after) = parse_offset(rest).ok_or_else(fail)?;
                t.offset_minutes = Some(minutes);
                rest = after;
            }
            'y' | 'M' | 'd' | 'H' | 'h' | 'm' | 's' | 'S' => {
                let most =
                    if letter == 'y' { count.max(4) } else { count.max(2).max(if letter == 'S' { count } else { 0 }) };
                let length =
                    rest.bytes().take(if letter == 'S' { count } else { most }).take_while(u8::is_ascii_digit).count();
                let (digits, after) = rest.split_at(length);
                let number: u128 = digits.parse().map_err(|_| fail())?;
                let small = || u8::try_from(number).map_err(|_| fail());
                let precision = match letter {
                    'y' => {
                        t.year = u16::try_from(number).map_err(|_| fail())? + if count == 2 { 2000 } else { 0 };
                        Precision::Year
                    }
                    'M' => (t.month = small()?, Precision::Month).1,
                    'd' => (t.day = small()?, Precision::Day).1,
                    'H' | 'h' => (t.hour = small()?, Precision::Minute).1,
                    'm' => (t.minute = small()?, Precision::Minute).1,
                    's' => (t.second = small()?, Precision::Second).1,
                    _ => (t.fraction = Fraction::new(number, length as u8), Precision::Second).1,
                };
                t.precision = t.precision.max(precision);
                rest = after;
            }
            c => {
                for _ in 0..count {
                    rest = rest.strip_prefix(c).ok_or_else(fail)?;
                }
            }
        }
    }
    match afternoon {
        Some(true) if t.hour < 12 => t.hour += 12,
        Some(false) if t.hour == 12 => t.hour = 0,
        _ => {}
    }
    if !rest.is_empty() {
        return Err(fail());
    }
    if t.precision >= Precision::Minute {
        t.offset_minutes = t.offset_minutes.or(Some(0));
    }
    let valid = t.validated().map_err(|_| fail())?;
    Ok(Some(Value::Timestamp(valid)))
}

fn parse_offset(text: &str) -> Option<(i16, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = text.get(1..)?;
    let hours: i16 = rest.get(..2)?.parse().ok()?;
    let rest = rest.get(2..)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    match rest.get(..2).and_then(|m| m.parse::<i16>().ok()) {
        Some(minutes) => Some((sign * (hours * 60 + minutes), rest.get(2..)?)),
        None => Some((sign * hours * 60, rest)),
    }
}
