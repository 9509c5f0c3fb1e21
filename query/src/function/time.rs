//! Date and time functions (PostgreSQL's documentation, 9.9). The session's time zone is UTC.

use ledgerstone_digest::ion::{Precision, Value};
use num_bigint::BigInt;

use super::ty::{
    ANY, DATE, FLOAT8, INT4, INTERVAL, R_BOOL, R_FLOAT8, R_NUMERIC, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UNTYPED, of,
};
use super::{Call, Returns, Scalar, float_at, int_at, lenient, micros_at, some_text, strict, text_at, value_at, wrong};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::datetime::{self, Interval};
use crate::value::numeric::Num;
use crate::value::precision;
use crate::value::time_of_day;
use crate::value::time_unit::Unit;

const R_TIMESTAMPTZ: Returns = of(SqlType::TimestampTz);
const R_TIMESTAMP: Returns = of(SqlType::Timestamp);
const R_INTERVAL: Returns = of(SqlType::Interval);
const R_TIME: Returns = of(SqlType::Time);
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
    strict("current_timestamp", &[INT4], R_TIMESTAMPTZ, |c, a| {
        round_time(&[now(c, &[])?, a.first().cloned().flatten()], &SqlType::TimestampTz)
    }),
    strict("localtimestamp", &[INT4], R_TIMESTAMP, |c, a| {
        let now = Value::Timestamp(datetime::from_micros(c.now_micros(), false)?);
        round_time(&[Some(now), a.first().cloned().flatten()], &SqlType::Timestamp)
    }),
    strict("localtime", &[INT4], R_TIME, |c, a| {
        let now = Value::string(time_of_day::format(of_day(c.now_micros())));
        round_time(&[Some(now), a.first().cloned().flatten()], &SqlType::Time)
    }),
    strict("ledgerstone_round_time", &[TIMESTAMPTZ, INT4], R_TIMESTAMPTZ, |_, a| round_time(a, &SqlType::TimestampTz)),
    strict("ledgerstone_round_time", &[TIMESTAMP, INT4], R_TIMESTAMP, |_, a| round_time(a, &SqlType::Timestamp)),
    strict("ledgerstone_round_time", &[TIME, INT4], R_TIME, |_, a| round_time(a, &SqlType::Time)),
    strict("ledgerstone_round_time", &[INTERVAL, INT4], R_INTERVAL, |_, a| round_time(a, &SqlType::Interval)),
    strict("current_date", &[], R_DATE, |c, _| {
        Ok(Some(Value::Timestamp(datetime::date_from_days(c.now_micros().div_euclid(datetime::MICROS_PER_DAY))?)))
    }),
    strict("date_trunc", &[TEXT, TIMESTAMPTZ], R_TIMESTAMPTZ, |_, a| truncate(a, true)),
    strict("date_trunc", &[TEXT, TIMESTAMP], R_TIMESTAMP, |_, a| truncate(a, false)),
    strict("date_trunc", &[TEXT, INTERVAL], R_INTERVAL, |_, a| truncate_interval(a)),
    strict("extract", &[TEXT, DATE], R_NUMERIC, |_, a| extract(a, &SqlType::Date)),
    strict("extract", &[TEXT, TIMESTAMPTZ], R_NUMERIC, |_, a| extract(a, &SqlType::TimestampTz)),
    strict("extract", &[TEXT, TIMESTAMP], R_NUMERIC, |_, a| extract(a, &SqlType::Timestamp)),
    strict("extract", &[TEXT, INTERVAL], R_NUMERIC, |_, a| extract(a, &SqlType::Interval)),
    strict("date_part", &[TEXT, TIMESTAMPTZ], R_FLOAT8, |_, a| date_part(a, &SqlType::TimestampTz)),
    strict("date_part", &[TEXT, TIMESTAMP], R_FLOAT8, |_, a| date_part(a, &SqlType::Timestamp)),
    // Of a date it is the part of its midnight.
    strict("date_part", &[TEXT, DATE], R_FLOAT8, |_, a| date_part(a, &SqlType::Timestamp)),
    strict("date_part", &[TEXT, INTERVAL], R_FLOAT8, |_, a| date_part(a, &SqlType::Interval)),
    strict("extract", &[TEXT, TIME], R_NUMERIC, |_, a| extract(a, &SqlType::Time)),
    strict("date_part", &[TEXT, TIME], R_FLOAT8, |_, a| date_part(a, &SqlType::Time)),
    // Of a field without a type it depends on the value.
    strict("extract", &[TEXT, UNTYPED], R_NUMERIC, |c, a| Ok(Some(part_of_untyped(c, a)?.to_value()))),
    strict("date_part", &[TEXT, UNTYPED], R_FLOAT8, |c, a| Ok(Some(Value::Float(part_of_untyped(c, a)?.to_f64())))),
    strict("localtime", &[], R_TIME, |c, _| some_text(time_of_day::format(of_day(c.now_micros())))),
    strict("make_time", &[INT4, INT4, FLOAT8], R_TIME, |_, a| {
        let (hour, minute, seconds) = (int_at(a, 0)?, int_at(a, 1)?, float_at(a, 2)?);
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&seconds) {
            let text = format!("time field value out of range: {hour}:{minute:02}:{seconds:02}");
            return Err(QueryError::new(SqlState::DATETIME_OVERFLOW, text));
        }
        some_text(time_of_day::format((hour * 60 + minute) * 60_000_000 + (seconds * 1e6).round() as i64))
    }),
    strict("make_timestamp", &[INT4, INT4, INT4, INT4, INT4, FLOAT8], R_TIMESTAMP, |_, a| {
        let (year, month, day) = (int_at(a, 0)?, int_at(a, 1)?, int_at(a, 2)?);
        let (hour, minute, seconds) = (int_at(a, 3)?, int_at(a, 4)?, float_at(a, 5)?);
        let day_is = (1..=12).contains(&month) && (1..=datetime::days_in_month(year, month)).contains(&day);
        if !day_is || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&seconds) {
            let text = format!("date field value out of range: {year}-{month:02}-{day:02}");
            return Err(QueryError::new(SqlState::DATETIME_OVERFLOW, text));
        }
        let micros = (hour * 60 + minute) * 60_000_000 + (seconds * 1e6).round() as i64;
        let days = datetime::days_from_civil(year, month, day);
        Ok(Some(Value::Timestamp(datetime::from_micros(days * datetime::MICROS_PER_DAY + micros, false)?)))
    }),
    strict("make_interval", &[INT4], R_INTERVAL, make_interval),
    strict("make_interval", &[INT4, INT4], R_INTERVAL, make_interval),
    strict("make_interval", &[INT4, INT4, INT4], R_INTERVAL, make_interval),
    strict("make_interval", &[INT4, INT4, INT4, INT4], R_INTERVAL, make_interval),
    strict("make_interval", &[INT4, INT4, INT4, INT4, INT4], R_INTERVAL, make_interval),
    strict("make_interval", &[INT4, INT4, INT4, INT4, INT4, INT4], R_INTERVAL, make_interval),
    strict("make_interval", &[INT4, INT4, INT4, INT4, INT4, INT4, FLOAT8], R_INTERVAL, make_interval),
    strict("ledgerstone_time_plus", &[TIME, INTERVAL], R_TIME, |_, a| {
        some_text(time_of_day::format(of_day(time_at(a, 0)?.saturating_add(interval(a, 1)?.micros))))
    }),
    strict("ledgerstone_time_plus", &[DATE, TIME], R_TIMESTAMP, |_, a| {
        let micros = micros_at(a, 0)?.saturating_add(time_at(a, 1)?);
        Ok(Some(Value::Timestamp(datetime::from_micros(micros, false)?)))
    }),
    strict("ledgerstone_time_minus", &[TIME, TIME], R_INTERVAL, |_, a| {
        Ok(Some(Interval { months: 0, days: 0, micros: time_at(a, 0)? - time_at(a, 1)? }.to_value()))
    }),
    strict("ledgerstone_time_minus", &[TIME, INTERVAL], R_TIME, |_, a| {
        some_text(time_of_day::format(of_day(time_at(a, 0)?.saturating_sub(interval(a, 1)?.micros))))
    }),
    strict("date_trunc", &[TEXT, TIMESTAMPTZ, TEXT], R_TIMESTAMPTZ, |_, a| {
        // Judges the zone, of which only UTC keeps the meaning of a day.
        if zone(&[a.get(2).cloned().flatten(), a.get(1).cloned().flatten()], true)?
            != zone(&[Some(Value::string("UTC")), a.get(1).cloned().flatten()], true)?
        {
            return Err(QueryError::unsupported("date_trunc() in another zone than UTC"));
        }
        truncate(a, true)
    }),
    strict("date_bin", &[INTERVAL, TIMESTAMP, TIMESTAMP], R_TIMESTAMP, |_, a| bin(a, false)),
    strict("date_bin", &[INTERVAL, TIMESTAMPTZ, TIMESTAMPTZ], R_TIMESTAMPTZ, |_, a| bin(a, true)),
    strict("justify_hours", &[INTERVAL], R_INTERVAL, |_, a| {
        let i = interval(a, 0)?;
        let days = i.micros / datetime::MICROS_PER_DAY;
        let total = i64::from(i.days) + days;
        let mut i = Interval { days: narrow(total)?, micros: i.micros % datetime::MICROS_PER_DAY, ..i };
        even_days(&mut i);
        Ok(Some(i.to_value()))
    }),
    strict("justify_interval", &[INTERVAL], R_INTERVAL, |_, a| Ok(Some(justify(interval(a, 0)?)?.to_value()))),
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
    strict("to_timestamp", &[FLOAT8], R_TIMESTAMPTZ, |_, a| from_seconds(float_at(a, 0)?)),
    strict("timezone", &[TEXT, TIMESTAMPTZ], R_TIMESTAMP, |_, a| zone(a, true)),
    strict("timezone", &[TEXT, TIMESTAMP], R_TIMESTAMPTZ, |_, a| zone(a, false)),
    strict("justify_days", &[INTERVAL], R_INTERVAL, |_, a| {
        let i = interval(a, 0)?;
        let months = i.months.saturating_add(i.days / 30);
        Ok(Some(Interval { months, days: i.days % 30, micros: i.micros }.to_value()))
    }),
    lenient("overlaps", &[TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMPTZ, INTERVAL, TIMESTAMPTZ, INTERVAL], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ, INTERVAL], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMPTZ, INTERVAL, TIMESTAMPTZ, TIMESTAMPTZ], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMP, TIMESTAMP, TIMESTAMP, TIMESTAMP], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMP, INTERVAL, TIMESTAMP, INTERVAL], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMP, TIMESTAMP, TIMESTAMP, INTERVAL], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIMESTAMP, INTERVAL, TIMESTAMP, TIMESTAMP], R_BOOL, |_, a| overlaps(a)),
    lenient("overlaps", &[TIME, TIME, TIME, TIME], R_BOOL, |_, a| overlaps(a)),
    lenient("isfinite", &[ANY], R_BOOL, |_, a| Ok(a.first().and_then(Option::as_ref).map(|_| Value::Bool(true)))),
];

/// The first argument with as many digits of its seconds as the second says.
fn round_time(arguments: &[Datum], ty: &SqlType) -> Result<Datum> {
    let (value, digits) = (value_at(arguments, 0)?.clone(), int_at(arguments, 1)?);
    match u8::try_from(digits) {
        Ok(digits) => precision::rounded(value, ty, digits).map(Some),
        Err(_) if digits > 0 => Ok(Some(value)),
        Err(_) => Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "a precision must not be negative")),
    }
}

/// The time so many seconds after 1970 began.
pub(super) fn from_seconds(seconds: f64) -> Result<Datum> {
    let micros = (seconds * 1e6).round();
    if !(-9e17..9e17).contains(&micros) {
        return Err(datetime::timestamp_overflow());
    }
    Ok(Some(Value::Timestamp(datetime::from_micros(micros as i64, true)?)))
}

fn now(c: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    Ok(Some(Value::Timestamp(datetime::from_micros(c.now_micros(), true)?)))
}

fn statement(c: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    Ok(Some(Value::Timestamp(datetime::from_micros(c.session.statement_time_ms.saturating_mul(1000), true)?)))
}

pub(super) fn interval(a: &[Datum], i: usize) -> Result<Interval> {
    Interval::from_value(value_at(a, i)?).ok_or_else(|| wrong(i, "an interval"))
}

/// The unit of a name, for values of a type.
fn unit_of(name: &str, of: &SqlType) -> Result<Unit> {
    Unit::named(name).ok_or_else(|| match of {
        // PostgreSQL knows the words, and none of them is a part.
        SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz if is_moment(name) => no_such_part(name, of),
        _ => unknown_unit(name, of),
    })
}

/// `now` and its kin, which stand for a time.
fn is_moment(name: &str) -> bool {
    let words = ["-infinity", "allballs", "infinity", "now", "today", "tomorrow", "yesterday"];
    words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// The same of one that times can be cut off behind.
fn span_of(name: &str, of: &SqlType) -> Result<Unit> {
    Unit::named(name).filter(|unit| unit.is_span()).ok_or_else(|| unknown_unit(name, of))
}

fn unknown_unit(name: &str, of: &SqlType) -> QueryError {
    let name = crate::literal::shorten(name);
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unit \"{name}\" not recognized for type {of}"))
        .hint("Units are year, quarter, month, week, day, hour, minute, second, epoch and their kin.")
}

/// The type has none of the unit.
fn no_such_part(name: &str, of: &SqlType) -> QueryError {
    let name = name.to_ascii_lowercase();
    QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("unit \"{name}\" not supported for type {of}"))
}

fn truncate(a: &[Datum], zoned: bool) -> Result<Datum> {
    let (name, of) = (text_at(a, 0)?, if zoned { SqlType::TimestampTz } else { SqlType::Timestamp });
    let unit = span_of(name, &of)?;
    let micros = unit.truncate(micros_at(a, 1)?).ok_or_else(|| no_such_part(name, &of))?;
    Ok(Some(Value::Timestamp(datetime::from_micros(micros, zoned)?)))
}

fn truncate_interval(a: &[Datum]) -> Result<Datum> {
    let (name, of) = (text_at(a, 0)?, SqlType::Interval);
    let unit = span_of(name, &of)?;
    let interval = unit.truncate_interval(interval(a, 1)?).ok_or_else(|| no_such_part(name, &of))?;
    Ok(Some(interval.to_value()))
}

/// A `time` as microseconds after midnight.
pub(super) fn time_at(a: &[Datum], i: usize) -> Result<i64> {
    time_of_day::micros_of(text_at(a, i)?)
}

fn of_day(micros: i64) -> i64 {
    micros.rem_euclid(datetime::MICROS_PER_DAY)
}

/// `(start, end) OVERLAPS (start, end)`; an end may be an interval behind its start. Without an end, or a start, what is
/// there may still decide it.
fn overlaps(a: &[Datum]) -> Result<Datum> {
    let (one, other) = (period(a, 0)?, period(a, 2)?);
    let (Some((one, one_end)), Some((other, other_end))) = (one, other) else { return Ok(None) };
    let (end, later, later_end) = match one.cmp(&other) {
        std::cmp::Ordering::Greater => (other_end, one, one_end),
        std::cmp::Ordering::Less => (one_end, other, other_end),
        std::cmp::Ordering::Equal => return Ok(one_end.and(other_end).map(|_| Value::Bool(true))),
    };
    Ok(match (end, later_end) {
        (Some(end), _) if later < end => Some(Value::Bool(true)),
        (Some(_), Some(_)) => Some(Value::Bool(false)),
        _ => None,
    })
}

/// The earlier and the later of two times; only one of them is the start.
fn period(a: &[Datum], at: usize) -> Result<Option<(i64, Option<i64>)>> {
    let time = |i: usize| match a.get(i) {
        Some(Some(Value::String(_))) => time_at(a, i).map(Some),
        Some(Some(Value::Timestamp(_))) => micros_at(a, i).map(Some),
        Some(Some(_)) => match time_or_null(a, at)? {
            Some(start) => datetime::add_interval(start, interval(a, i)?).map(Some),
            None => Ok(None),
        },
        _ => Ok(None),
    };
    Ok(match (time(at)?, time(at + 1)?) {
        (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
        (Some(only), None) | (None, Some(only)) => Some((only, None)),
        (None, None) => None,
    })
}

fn time_or_null(a: &[Datum], i: usize) -> Result<Option<i64>> {
    match a.get(i) {
        Some(Some(_)) => micros_at(a, i).map(Some),
        _ => Ok(None),
    }
}

fn narrow(n: i64) -> Result<i32> {
    i32::try_from(n).map_err(|_| datetime::interval_overflow())
}

/// `make_interval(years, months, weeks, days, hours, mins, secs)`, as many as are given.
fn make_interval(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let part = |i: usize| if i < a.len() { int_at(a, i) } else { Ok(0) };
    let seconds = if a.len() > 6 { float_at(a, 6)? } else { 0.0 };
    let micros = (seconds * 1e6).round();
    if !(-9e17..9e17).contains(&micros) {
        return Err(datetime::interval_overflow());
    }
    // Every part is an int4, so none of these overflows.
    let micros = (part(4)? * 60 + part(5)?) * 60_000_000 + micros as i64;
    let (months, days) = (part(0)? * 12 + part(1)?, part(2)? * 7 + part(3)?);
    Ok(Some(Interval { months: narrow(months)?, days: narrow(days)?, micros }.to_value()))
}

/// Days and hours of one sign.
fn even_days(i: &mut Interval) {
    if i.days > 0 && i.micros < 0 {
        i.days -= 1;
        i.micros += datetime::MICROS_PER_DAY;
    } else if i.days < 0 && i.micros > 0 {
        i.days += 1;
        i.micros -= datetime::MICROS_PER_DAY;
    }
}

/// `interval_justify_interval`: 24 hours are a day, 30 days a month, and all have one sign.
fn justify(i: Interval) -> Result<Interval> {
    let days = i64::from(i.days) + i.micros / datetime::MICROS_PER_DAY;
    let months = i64::from(i.months) + days / 30;
    let mut i =
        Interval { months: narrow(months)?, days: narrow(days % 30)?, micros: i.micros % datetime::MICROS_PER_DAY };
    if i.months > 0 && (i.days < 0 || i.days == 0 && i.micros < 0) {
        i.days += 30;
        i.months -= 1;
    } else if i.months < 0 && (i.days > 0 || i.days == 0 && i.micros > 0) {
        i.days -= 30;
        i.months += 1;
    }
    even_days(&mut i);
    Ok(i)
}

/// `date_bin`: the beginning of the bin, counted from an origin.
fn bin(a: &[Datum], zoned: bool) -> Result<Datum> {
    let (stride, at, origin) = (interval(a, 0)?, micros_at(a, 1)?, micros_at(a, 2)?);
    if stride.months != 0 {
        return Err(QueryError::unsupported("timestamps binned into intervals of months or years"));
    }
    let stride = i64::from(stride.days).saturating_mul(datetime::MICROS_PER_DAY).saturating_add(stride.micros);
    if stride <= 0 {
        return Err(QueryError::new(SqlState::DATETIME_OVERFLOW, "stride must be greater than zero"));
    }
    let micros = at - at.saturating_sub(origin).rem_euclid(stride);
    Ok(Some(Value::Timestamp(datetime::from_micros(micros, zoned)?)))
}

/// The part of a time or an interval that a unit names.
fn part_of(a: &[Datum], of: &SqlType) -> Result<Num> {
    let name = text_at(a, 0)?;
    let unit = unit_of(name, of)?;
    let part = match of {
        SqlType::Time if unit.is_of_day() || unit == Unit::Epoch => Some(unit.extract(time_at(a, 1)?)),
        SqlType::Time => None,
        SqlType::Interval => unit.extract_interval(interval(a, 1)?),
        // PostgreSQL gives whole numbers for the epoch of a date.
        SqlType::Date if unit == Unit::Epoch => {
            Some((i128::from(micros_at(a, 1)?.div_euclid(datetime::MICROS_PER_DAY)) * 86_400, 0))
        }
        SqlType::Date if unit.is_of_day() => None,
        SqlType::Date | SqlType::Timestamp if unit == Unit::Timezone => None,
        SqlType::Timestamp | SqlType::TimestampTz if unit == Unit::Julian => return julian(micros_at(a, 1)?),
        _ => Some(unit.extract(micros_at(a, 1)?)),
    };
    let (coefficient, scale) = part.ok_or_else(|| no_such_part(name, of))?;
    Ok(Num::new(BigInt::from(coefficient), scale))
}

/// The Julian day with the part of it that has passed.
fn julian(micros: i64) -> Result<Num> {
    let (day, _) = Unit::Julian.extract(micros);
    let passed = Num::from_i64(of_day(micros)).div(&Num::from_i64(datetime::MICROS_PER_DAY))?;
    Ok(Num::new(BigInt::from(day), 0).add(&passed))
}

/// The part of a field without a type. Hours may be asked of a date as well.
fn part_of_untyped(c: &Call<'_>, a: &[Datum]) -> Result<Num> {
    let is_epoch = Unit::named(text_at(a, 0)?) == Some(Unit::Epoch);
    let value = time_in(c, value_at(a, 1)?)?;
    let of = match &value {
        Value::String(_) => SqlType::Time,
        Value::Timestamp(t) if t.precision == Precision::Day && is_epoch => SqlType::Date,
        Value::Timestamp(_) => SqlType::TimestampTz,
        _ => SqlType::Interval,
    };
    part_of(&[Some(Value::string(text_at(a, 0)?)), Some(value)], &of)
}

/// A text of a document as the point in time that it names; the text if it is the time of a day. Other values as they are.
pub(super) fn time_in(c: &Call<'_>, value: &Value) -> Result<Value> {
    let value = value.unannotated();
    let Value::String(text) = value else { return Ok(value.clone()) };
    match crate::value::text::parse(text, &SqlType::TimestampTz, c.now_micros()) {
        Err(_) if time_of_day::micros_of(text).is_ok() => Ok(value.clone()),
        parsed => parsed,
    }
}

fn extract(a: &[Datum], of: &SqlType) -> Result<Datum> {
    Ok(Some(part_of(a, of)?.to_value()))
}

fn date_part(a: &[Datum], of: &SqlType) -> Result<Datum> {
    Ok(Some(Value::Float(part_of(a, of)?.to_f64())))
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
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
