//! Date and time functions (PostgreSQL's documentation, 9.9). The session's time zone is UTC.

use ledgerstone_digest::ion::{Precision, Value};
use num_bigint::BigInt;

use super::ty::{
    ANY, DATE, FLOAT8, INT4, INTERVAL, NUMERIC, R_FLOAT8, R_NUMERIC, R_TEXT, TEXT, TIMESTAMP, TIMESTAMPTZ, of,
};
use super::{Call, Returns, Scalar, float_at, int_at, lenient, micros_at, some_text, strict, text_at, value_at, wrong};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::datetime::{self, Interval};
use crate::value::numeric::Num;

const R_TIMESTAMPTZ: Returns = of(SqlType::TimestampTz);
const R_TIMESTAMP: Returns = of(SqlType::Timestamp);
const R_INTERVAL: Returns = of(SqlType::Interval);
const R_DATE: Returns = of(SqlType::Date);

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("now", &[], R_TIMESTAMPTZ, now),
    strict("transaction_timestamp", &[], R_TIMESTAMPTZ, now),
    strict("current_timestamp", &[], R_TIMESTAMPTZ, now),
    strict("statement_timestamp", &[], R_TIMESTAMPTZ, statement),
    strict("clock_timestamp", &[], R_TIMESTAMPTZ, statement),
    strict("localtimestamp", &[], R_TIMESTAMP, |c, _| {
        Ok(Some(Value::Timestamp(datetime::from_micros(c.now_micros(), false)?)))
    }),
    strict("current_date", &[], R_DATE, |c, _| {
        Ok(Some(Value::Timestamp(datetime::date_from_days(c.now_micros().div_euclid(datetime::MICROS_PER_DAY))?)))
    }),
    strict("date_trunc", &[TEXT, TIMESTAMPTZ], R_TIMESTAMPTZ, |_, a| truncate(a, true)),
    strict("date_trunc", &[TEXT, TIMESTAMP], R_TIMESTAMP, |_, a| truncate(a, false)),
    strict("extract", &[TEXT, DATE], R_NUMERIC, extract),
    strict("extract", &[TEXT, TIMESTAMPTZ], R_NUMERIC, extract),
    strict("extract", &[TEXT, TIMESTAMP], R_NUMERIC, extract),
    strict("extract", &[TEXT, INTERVAL], R_NUMERIC, extract),
    strict("date_part", &[TEXT, TIMESTAMPTZ], R_FLOAT8, date_part),
    strict("date_part", &[TEXT, TIMESTAMP], R_FLOAT8, date_part),
    strict("date_part", &[TEXT, DATE], R_FLOAT8, date_part),
    strict("date_part", &[TEXT, INTERVAL], R_FLOAT8, date_part),
    strict("age", &[TIMESTAMPTZ, TIMESTAMPTZ], R_INTERVAL, |_, a| {
        Ok(Some(datetime::age(micros_at(a, 0)?, micros_at(a, 1)?).to_value()))
    }),
    strict("age", &[TIMESTAMPTZ], R_INTERVAL, |c, a| {
        let today = c.now_micros() - c.now_micros().rem_euclid(datetime::MICROS_PER_DAY);
        Ok(Some(datetime::age(today, micros_at(a, 0)?).to_value()))
    }),
    strict("make_date", &[INT4, INT4, INT4], R_DATE, |_, a| {
        let (year, month, day) = (int_at(a, 0)?, int_at(a, 1)?, int_at(a, 2)?);
        if !(1..=12).contains(&month) || day < 1 || day > datetime::days_in_month(year, month) {
            let text = format!("date field value out of range: {year}-{month:02}-{day:02}");
            return Err(QueryError::new(SqlState::DATETIME_OVERFLOW, text));
        }
        Ok(Some(Value::Timestamp(datetime::date_from_days(datetime::days_from_civil(year, month, day))?)))
    }),
    strict("to_timestamp", &[FLOAT8], R_TIMESTAMPTZ, |_, a| {
        let micros = (float_at(a, 0)? * 1e6).round();
        if !(-9e17..9e17).contains(&micros) {
            return Err(datetime::timestamp_overflow());
        }
        Ok(Some(Value::Timestamp(datetime::from_micros(micros as i64, true)?)))
    }),
    strict("to_char", &[TIMESTAMPTZ, TEXT], R_TEXT, |_, a| to_char_time(micros_at(a, 0)?, text_at(a, 1)?)),
    strict("to_char", &[TIMESTAMP, TEXT], R_TEXT, |_, a| to_char_time(micros_at(a, 0)?, text_at(a, 1)?)),
    strict("to_char", &[NUMERIC, TEXT], R_TEXT, |_, a| {
        to_char_number(&Num::from_value(value_at(a, 0)?)?, text_at(a, 1)?)
    }),
    strict("to_char", &[FLOAT8, TEXT], R_TEXT, |_, a| to_char_number(&Num::from_f64(float_at(a, 0)?)?, text_at(a, 1)?)),
    strict("timezone", &[TEXT, TIMESTAMPTZ], R_TIMESTAMP, |_, a| zone(a, true)),
    strict("timezone", &[TEXT, TIMESTAMP], R_TIMESTAMPTZ, |_, a| zone(a, false)),
    strict("justify_days", &[INTERVAL], R_INTERVAL, |_, a| {
        let i = interval(a, 0)?;
        let months = i.months.saturating_add(i.days / 30);
        Ok(Some(Interval { months, days: i.days % 30, micros: i.micros }.to_value()))
    }),
    lenient("isfinite", &[ANY], super::ty::R_BOOL, |_, a| {
        Ok(a.first().and_then(Option::as_ref).map(|_| Value::Bool(true)))
    }),
];

fn now(c: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    Ok(Some(Value::Timestamp(datetime::from_micros(c.now_micros(), true)?)))
}

fn statement(c: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    Ok(Some(Value::Timestamp(datetime::from_micros(c.session.statement_time_ms.saturating_mul(1000), true)?)))
}

fn interval(a: &[Datum], i: usize) -> Result<Interval> {
    Interval::from_value(value_at(a, i)?).ok_or_else(|| wrong(i, "an interval"))
}

fn unknown_field(field: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unit \"{field}\" not recognized"))
        .hint("Units are year, quarter, month, week, day, hour, minute, second, epoch and their kin.")
}

fn truncate(a: &[Datum], zoned: bool) -> Result<Datum> {
    let field = text_at(a, 0)?;
    let micros = datetime::truncate(field, micros_at(a, 1)?).ok_or_else(|| unknown_field(field))?;
    Ok(Some(Value::Timestamp(datetime::from_micros(micros, zoned)?)))
}

fn field_of(a: &[Datum]) -> Result<Num> {
    let field = text_at(a, 0)?;
    let found = match value_at(a, 1)? {
        Value::Timestamp(t) => match (t.precision, field.to_ascii_lowercase().as_str()) {
            // PostgreSQL gives whole numbers for the epoch of a date.
            (Precision::Day, "epoch") => Some((i128::from(datetime::to_days(t)) * 86_400, 0)),
            _ => datetime::extract(field, datetime::to_micros(t)),
        },
        _ => datetime::extract_interval(field, interval(a, 1)?),
    };
    let (coefficient, scale) = found.ok_or_else(|| unknown_field(field))?;
    Ok(Num::new(BigInt::from(coefficient), scale))
}

fn extract(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    Ok(Some(field_of(a)?.to_value()))
}

fn date_part(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    Ok(Some(Value::Float(field_of(a)?.to_f64())))
}

/// `t AT TIME ZONE z`: UTC, GMT and fixed offsets. PostgreSQL's POSIX rule: a sign in the zone's name points west.
fn zone(a: &[Datum], from_zoned: bool) -> Result<Datum> {
    let name = text_at(a, 0)?;
    let unknown = || {
        QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
            .hint("Known are UTC, GMT, Z and offsets such as +02:00; there is no table of time zones.")
    };
    let east_minutes = match name.to_ascii_uppercase().as_str() {
        "UTC" | "GMT" | "Z" | "ZULU" | "ETC/UTC" => 0,
        text => {
            let (sign, digits) = match text.strip_prefix('+') {
                Some(digits) => (-1, digits),
                None => (1, text.strip_prefix('-').ok_or_else(unknown)?),
            };
            let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
            let number = |t: &str| t.parse::<i64>().ok().filter(|n| (0..60).contains(n));
            sign * (number(hours).filter(|h| *h < 16).ok_or_else(unknown)? * 60
                + number(minutes).ok_or_else(unknown)?)
        }
    };
    let shift = east_minutes * 60_000_000 * if from_zoned { 1 } else { -1 };
    Ok(Some(Value::Timestamp(datetime::from_micros(micros_at(a, 1)?.saturating_add(shift), !from_zoned)?)))
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The patterns people use most; a letter that is none is copied.
fn to_char_time(micros: i64, pattern: &str) -> Result<Datum> {
    let days = micros.div_euclid(datetime::MICROS_PER_DAY);
    let of_day = micros.rem_euclid(datetime::MICROS_PER_DAY);
    let (year, month, day) = datetime::civil_from_days(days);
    let (hour, minute, second) = (of_day / 3_600_000_000, of_day / 60_000_000 % 60, of_day / 1_000_000 % 60);
    let month_name = MONTHS[(month - 1).clamp(0, 11) as usize];
    let day_name = DAYS[(days + 4).rem_euclid(7) as usize];
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let (mut out, mut rest) = (String::new(), pattern);
    'next: while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            out.push_str(inside);
            rest = after;
            continue;
        }
        let known: [(&str, String); 32] = [
            ("YYYY", format!("{year:04}")),
            ("yyyy", format!("{year:04}")),
            ("HH24", format!("{hour:02}")),
            ("hh24", format!("{hour:02}")),
            ("HH12", format!("{twelve:02}")),
            ("Month", format!("{month_name:<9}")),
            ("MONTH", format!("{:<9}", month_name.to_uppercase())),
            ("month", format!("{:<9}", month_name.to_lowercase())),
            ("WW", format!("{:02}", (days - datetime::days_from_civil(year, 1, 1)) / 7 + 1)),
            ("Q", ((month - 1) / 3 + 1).to_string()),
            ("Day", format!("{day_name:<9}")),
            ("DAY", format!("{:<9}", day_name.to_uppercase())),
            ("DDD", format!("{:03}", days - datetime::days_from_civil(year, 1, 1) + 1)),
            ("Mon", month_name[..3].to_owned()),
            ("MON", month_name[..3].to_uppercase()),
            ("mon", month_name[..3].to_lowercase()),
            ("Dy", day_name[..3].to_owned()),
            ("DY", day_name[..3].to_uppercase()),
            ("YY", format!("{:02}", year % 100)),
            ("MM", format!("{month:02}")),
            ("mm", format!("{month:02}")),
            ("DD", format!("{day:02}")),
            ("dd", format!("{day:02}")),
            ("HH", format!("{twelve:02}")),
            ("MI", format!("{minute:02}")),
            ("mi", format!("{minute:02}")),
            ("SS", format!("{second:02}")),
            ("ss", format!("{second:02}")),
            ("MS", format!("{:03}", of_day / 1000 % 1000)),
            ("US", format!("{:06}", of_day % 1_000_000)),
            ("AM", if hour < 12 { "AM" } else { "PM" }.to_owned()),
            ("Q", ((month - 1) / 3 + 1).to_string()),
        ];
        for (name, text) in &known {
            if let Some(after) = rest.strip_prefix(name) {
                out.push_str(text);
                rest = after;
                continue 'next;
            }
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    some_text(out)
}

/// Digits (`9`, `0`), point, groups (`,`) and `FM`; anything else is refused rather than shown wrong.
fn to_char_number(n: &Num, pattern: &str) -> Result<Datum> {
    let (fill, body) = match pattern.strip_prefix("FM") {
        Some(body) => (false, body),
        None => (true, pattern),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let point = body.contains('.');
    if !whole.chars().all(|c| matches!(c, '9' | '0' | ',')) || !fraction.chars().all(|c| matches!(c, '9' | '0')) {
        return Err(QueryError::unsupported("this pattern of to_char()")
            .hint("Patterns of 9, 0, comma, point and FM are known."));
    }
    let rounded = n.round(fraction.len() as u32)?;
    let text = rounded.coefficient.magnitude().to_string();
    let text = format!("{text:0>width$}", width = fraction.len() + 1);
    let (digits, decimals) = text.split_at(text.len() - fraction.len());
    let digits = if digits == "0" && !whole.contains('0') && fraction.is_empty() {
        "0"
    } else if digits == "0" {
        ""
    } else {
        digits
    };
    let places = whole.chars().filter(|c| *c != ',').count();
    if digits.len() > places {
        return some_text(body.replace(['9', '0'], "#"));
    }
    let mut out: Vec<char> = Vec::new();
    let mut left = digits.chars().rev();
    let first_zero = whole.find('0');
    for (at, c) in whole.char_indices().rev() {
        match (c, left.clone().next()) {
            (',', Some(_)) => out.push(','),
            (',', None) => out.push(if first_zero.is_some_and(|z| z < at) { ',' } else { ' ' }),
            (_, Some(_)) => out.extend(left.next()),
            (_, None) => out.push(if first_zero.is_some_and(|z| z <= at) { '0' } else { ' ' }),
        }
    }
    let mut shown: String = out.into_iter().rev().collect();
    if point {
        shown.push('.');
        shown.push_str(decimals);
    }
    let trimmed = shown.trim_start().to_owned();
    let sign = if rounded.is_negative() { "-" } else { "" };
    if !fill {
        let text = if point { trimmed.trim_end_matches('0').to_owned() } else { trimmed };
        return some_text(format!("{sign}{text}"));
    }
    let width = shown.chars().count() + 1;
    some_text(format!("{:>width$}", format!("{sign}{trimmed}")))
}
