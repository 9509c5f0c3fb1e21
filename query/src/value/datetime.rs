//! Dates, timestamps and intervals: PostgreSQL's calendar arithmetic and texts (ISO output, `postgres` interval style)
//! over Ion timestamps. A date is a timestamp of day precision, `timestamp` one without an offset, `timestamptz` one in
//! UTC. An interval is the s-expression `(interval months days microseconds)`.

use ledgerstone_digest::ion::{Fraction, Precision, Timestamp, Value};
use num_bigint::BigInt;

pub(crate) use super::datetime_text::format_time;
pub use super::datetime_text::{format_date, format_interval, format_timestamp};
use super::numeric::{self, Num};
use crate::error::{QueryError, Result, SqlState};

pub const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// PostgreSQL's interval: three independent parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

#[allow(clippy::should_implement_trait, reason = "these may fail")]
impl Interval {
    pub fn to_value(self) -> Value {
        Value::Sexp(vec![
            Value::symbol("interval"),
            Value::int(i64::from(self.months)),
            Value::int(i64::from(self.days)),
            Value::int(self.micros),
        ])
    }

    pub fn from_value(value: &Value) -> Option<Interval> {
        let Value::Sexp(parts) = value else { return None };
        let [Value::Symbol(tag), months, days, micros] = parts.as_slice() else { return None };
        if tag.text() != Some("interval") {
            return None;
        }
        Some(Interval {
            months: i32::try_from(months.as_i64()?).ok()?,
            days: i32::try_from(days.as_i64()?).ok()?,
            micros: micros.as_i64()?,
        })
    }

    /// What intervals are ordered by: months of 30 days, days of 24 hours.
    pub fn estimate(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(MICROS_PER_DAY) + i128::from(self.micros)
    }

    pub fn neg(self) -> Result<Interval> {
        Ok(Interval {
            months: self.months.checked_neg().ok_or_else(interval_overflow)?,
            days: self.days.checked_neg().ok_or_else(interval_overflow)?,
            micros: self.micros.checked_neg().ok_or_else(interval_overflow)?,
        })
    }

    pub fn add(self, other: Interval) -> Result<Interval> {
        Ok(Interval {
            months: self.months.checked_add(other.months).ok_or_else(interval_overflow)?,
            days: self.days.checked_add(other.days).ok_or_else(interval_overflow)?,
            micros: self.micros.checked_add(other.micros).ok_or_else(interval_overflow)?,
        })
    }

    /// Multiplied; fractions of months go to days, fractions of days to time.
    pub fn scale(self, by: f64) -> Result<Interval> {
        let months = f64::from(self.months) * by;
        let days = f64::from(self.days) * by + (months - months.trunc()) * 30.0;
        let micros = self.micros as f64 * by + (days - days.trunc()) * MICROS_PER_DAY as f64;
        if !(months.abs() < 2e9 && days.abs() < 2e9 && micros.abs() < 9.2e18) {
            return Err(interval_overflow());
        }
        Ok(Interval { months: months.trunc() as i32, days: days.trunc() as i32, micros: micros.round() as i64 })
    }
}

pub fn interval_overflow() -> QueryError {
    QueryError::new(SqlState::DATETIME_OVERFLOW, "interval out of range")
}

pub fn timestamp_overflow() -> QueryError {
    QueryError::new(SqlState::DATETIME_OVERFLOW, "timestamp out of range").hint("Years 1 to 9999 can be stored")
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// The inverse of [`days_from_civil`].
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Microseconds since 1970 in UTC; digits beyond the sixth are rounded, an unknown offset counts as UTC.
pub fn to_micros(t: &Timestamp) -> i64 {
    let days = days_from_civil(i64::from(t.year), i64::from(t.month.max(1)), i64::from(t.day.max(1)));
    let seconds = i64::from(t.hour) * 3600 + i64::from(t.minute) * 60 + i64::from(t.second)
        - i64::from(t.offset_minutes.unwrap_or(0)) * 60;
    days * MICROS_PER_DAY + seconds * MICROS_PER_SECOND + fraction_micros(t)
}

fn fraction_micros(t: &Timestamp) -> i64 {
    let (coefficient, digits) = t.fraction.parts();
    if digits <= 6 {
        return (coefficient as i64).saturating_mul(10_i64.pow(6 - u32::from(digits)));
    }
    let divisor = 10_u128.checked_pow(u32::from(digits) - 6).unwrap_or(u128::MAX);
    ((coefficient + divisor / 2) / divisor) as i64
}

/// Days since 1970 of the date part as written.
pub fn to_days(t: &Timestamp) -> i64 {
    days_from_civil(i64::from(t.year), i64::from(t.month.max(1)), i64::from(t.day.max(1)))
}

/// A date.
pub fn date_from_days(days: i64) -> Result<Timestamp> {
    let (year, month, day) = civil_from_days(days);
    if !(1..=9999).contains(&year) {
        return Err(
            QueryError::new(SqlState::DATETIME_OVERFLOW, "date out of range").hint("Years 1 to 9999 can be stored")
        );
    }
    Ok(Timestamp {
        year: year as u16,
        month: month as u8,
        day: day as u8,
        hour: 0,
        minute: 0,
        second: 0,
        fraction: Fraction::NONE,
        precision: Precision::Day,
        offset_minutes: None,
    })
}

/// A timestamp: in UTC if `zoned`, otherwise without an offset. Trailing zeros of the fraction are not kept.
pub fn from_micros(micros: i64, zoned: bool) -> Result<Timestamp> {
    let mut t = date_from_days(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| timestamp_overflow())?;
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = of_day / MICROS_PER_SECOND;
    t.hour = (seconds / 3600) as u8;
    t.minute = (seconds / 60 % 60) as u8;
    t.second = (seconds % 60) as u8;
    let mut fraction = (of_day % MICROS_PER_SECOND) as u32;
    let mut digits = 6;
    while digits > 0 && fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    t.fraction = Fraction::new(fraction.into(), digits);
    t.precision = Precision::Second;
    t.offset_minutes = zoned.then_some(0);
    Ok(t)
}

/// Rounded to so many digits of a second, as PostgreSQL does it: away from the beginning of 2000.
pub fn round_to_digits(micros: i64, digits: u8) -> i64 {
    const BEGINNING: i64 = 946_684_800_000_000;
    let unit = 10_i64.pow(6 - u32::from(digits.min(6)));
    let from = micros.saturating_sub(BEGINNING);
    let rounded = (from.saturating_abs().saturating_add(unit / 2)) / unit * unit;
    BEGINNING.saturating_add(if from < 0 { -rounded } else { rounded })
}

/// Milliseconds since 1970 as `timestamptz`, three digits kept (metadata's txTime).
pub fn from_millis(ms: i64) -> Result<Timestamp> {
    let mut t = from_micros(ms.saturating_mul(1000), true)?;
    t.fraction = Fraction::new(ms.rem_euclid(1000) as u128, 3);
    Ok(t)
}

pub fn add_interval(micros: i64, interval: Interval) -> Result<i64> {
    let mut days = micros.div_euclid(MICROS_PER_DAY);
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    if interval.months != 0 {
        let (year, month, day) = civil_from_days(days);
        let total = year * 12 + (month - 1) + i64::from(interval.months);
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
        days = days_from_civil(year, month, day.min(days_in_month(year, month)));
    }
    (days + i64::from(interval.days))
        .checked_mul(MICROS_PER_DAY)
        .and_then(|d| d.checked_add(of_day))
        .and_then(|d| d.checked_add(interval.micros))
        .ok_or_else(timestamp_overflow)
}

/// `timestamp - timestamp`: days and time, no months.
pub fn difference(a: i64, b: i64) -> Interval {
    let micros = a.saturating_sub(b);
    Interval { months: 0, days: (micros / MICROS_PER_DAY) as i32, micros: micros % MICROS_PER_DAY }
}

/// `age(a, b)`: years and months as people count them.
pub fn age(a: i64, b: i64) -> Interval {
    if a < b {
        let i = age(b, a);
        return Interval { months: -i.months, days: -i.days, micros: -i.micros };
    }
    let (ya, ma, da) = civil_from_days(a.div_euclid(MICROS_PER_DAY));
    let (yb, mb, db) = civil_from_days(b.div_euclid(MICROS_PER_DAY));
    let mut micros = a.rem_euclid(MICROS_PER_DAY) - b.rem_euclid(MICROS_PER_DAY);
    let mut days = da - db;
    let mut months = (ya - yb) * 12 + (ma - mb);
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        days += days_in_month(yb, mb);
        months -= 1;
    }
    Interval { months: months as i32, days: days as i32, micros }
}

/// What [`parse`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Microseconds since 1970 in UTC if an offset was given, otherwise local.
    pub micros: i64,
    pub zoned: bool,
    /// Seconds east of UTC that the text has said.
    pub offset_seconds: i64,
}

impl Parsed {
    fn at(micros: i64) -> Parsed {
        Parsed { micros, zoned: true, offset_seconds: 0 }
    }

    /// Microseconds since 1970 of what the text says, whatever its offset.
    pub fn local_micros(&self) -> i64 {
        self.micros.saturating_add(self.offset_seconds * MICROS_PER_SECOND)
    }

    /// The same in whole days.
    pub fn local_days(&self) -> i64 {
        self.local_micros().div_euclid(MICROS_PER_DAY)
    }
}

/// Date, or date and time, as PostgreSQL reads texts; `now_micros` is for `now`, `today` and the like.
pub fn parse(text: &str, now_micros: i64) -> Result<Parsed, ParseError> {
    let text = text.trim();
    let today = now_micros - now_micros.rem_euclid(MICROS_PER_DAY);
    match text.to_ascii_lowercase().as_str() {
        "now" => return Ok(Parsed::at(now_micros)),
        "today" => return Ok(Parsed::at(today)),
        "tomorrow" => return Ok(Parsed::at(today + MICROS_PER_DAY)),
        "yesterday" => return Ok(Parsed::at(today - MICROS_PER_DAY)),
        "epoch" => return Ok(Parsed::at(0)),
        _ => {}
    }
    match parse_iso(text) {
        Err(ParseError::Syntax) => super::date_words::parse(text),
        answer => answer,
    }
}

/// A time of the day, as far as the text goes.
pub(super) fn parse_time(text: &str) -> Result<i64, ParseError> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let micros = cursor.time()?;
    if cursor.at == cursor.bytes.len() { Ok(micros) } else { Err(ParseError::Syntax) }
}

fn parse_iso(text: &str) -> Result<Parsed, ParseError> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let (year, width) = cursor.number().ok_or(ParseError::Syntax)?;
    let (year, month, day) = if width == 8 {
        (year / 10_000, year / 100 % 100, year % 100)
    } else {
        if width < 3 || !cursor.eat(b'-') {
            return Err(ParseError::Syntax);
        }
        let (month, _) = cursor.number().ok_or(ParseError::Syntax)?;
        if !cursor.eat(b'-') {
            return Err(ParseError::Syntax);
        }
        let (day, _) = cursor.number().ok_or(ParseError::Syntax)?;
        (year, month, day)
    };
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return Err(ParseError::Field);
    }
    let mut micros = days_from_civil(year, month, day) * MICROS_PER_DAY;
    let (mut zoned, mut offset_seconds) = (false, 0);
    let gap = cursor.eat(b'T') | cursor.eat(b't') | cursor.spaces();
    if gap && cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        micros += cursor.time()?;
        cursor.spaces();
    }
    if let Some(offset) = cursor.offset()? {
        (zoned, offset_seconds) = (true, offset);
        micros -= offset * MICROS_PER_SECOND;
    }
    cursor.spaces();
    if cursor.at != cursor.bytes.len() {
        return Err(ParseError::Syntax);
    }
    Ok(Parsed { micros, zoned, offset_seconds })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// Not a date at all (22007).
    Syntax,
    /// A month 13 or a February 30 (22008).
    Field,
}

impl ParseError {
    pub fn into_query_error(self, ty: &str, text: &str) -> QueryError {
        match self {
            ParseError::Syntax => {
                QueryError::new(SqlState::INVALID_DATETIME, format!("invalid input syntax for type {ty}: \"{text}\""))
            }
            ParseError::Field => {
                QueryError::new(SqlState::DATETIME_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
            }
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn spaces(&mut self) -> bool {
        let start = self.at;
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
        self.at > start
    }

    /// A number and its width.
    fn number(&mut self) -> Option<(i64, usize)> {
        let start = self.at;
        let mut value = 0_i64;
        while let Some(b) = self.peek().filter(u8::is_ascii_digit) {
            value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
            self.at += 1;
        }
        (self.at > start).then_some((value, self.at - start))
    }

    fn time(&mut self) -> Result<i64, ParseError> {
        let (hour, _) = self.number().ok_or(ParseError::Syntax)?;
        let mut minute = 0;
        let mut second = 0;
        let mut fraction = 0;
        if self.eat(b':') {
            minute = self.number().ok_or(ParseError::Syntax)?.0;
            if self.eat(b':') {
                second = self.number().ok_or(ParseError::Syntax)?.0;
                if self.eat(b'.') {
                    fraction = self.fraction();
                }
            }
        }
        if hour > 24 || minute > 59 || second > 60 || hour == 24 && (minute, second, fraction) != (0, 0, 0) {
            return Err(ParseError::Field);
        }
        Ok(((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + fraction)
    }

    fn fraction(&mut self) -> i64 {
        let mut micros = 0_i64;
        let mut unit = 100_000;
        let mut next = 0;
        let mut seen = 0;
        while let Some(b) = self.peek().filter(u8::is_ascii_digit) {
            self.at += 1;
            seen += 1;
            micros += i64::from(b - b'0') * unit;
            unit /= 10;
            if seen == 7 {
                next = b - b'0';
            }
        }
        micros + i64::from(next >= 5)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<Option<i64>, ParseError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        for name in [&b"utc"[..], b"gmt", b"z"] {
            if rest.len() >= name.len() && rest.iter().zip(name).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
                self.at += name.len();
                return Ok(Some(0));
            }
        }
        let sign = match self.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Ok(None),
        };
        self.at += 1;
        let (hours, width) = self.number().ok_or(ParseError::Syntax)?;
        let (hours, mut minutes) = if width == 4 { (hours / 100, hours % 100) } else { (hours, 0) };
        let mut seconds = 0;
        if self.eat(b':') {
            minutes = self.number().ok_or(ParseError::Syntax)?.0;
            if self.eat(b':') {
                seconds = self.number().ok_or(ParseError::Syntax)?.0;
            }
        }
        if hours > 15 || minutes > 59 || seconds > 59 {
            return Err(ParseError::Field);
        }
        Ok(Some(sign * (hours * 3600 + minutes * 60 + seconds)))
    }
}

/// `1 year 2 days 03:04:05`, `@ 1 hour ago`, `P1Y2M3DT4H`.
pub fn parse_interval(text: &str) -> Result<Option<Interval>> {
    let lower = text.trim().to_ascii_lowercase();
    let parts = match lower.strip_prefix('p') {
        Some(iso) => iso_interval_parts(iso).map(|parts| (parts, false)),
        None => interval_parts(&lower),
    };
    let Some((parts, ago)) = parts else { return Ok(None) };
    let interval = parts.finish().ok_or_else(interval_overflow)?;
    Ok(Some(if ago { interval.neg()? } else { interval }))
}

/// Its parts, and whether they are to be negated.
fn interval_parts(lower: &str) -> Option<(Parts, bool)> {
    let mut body = lower.strip_prefix('@').unwrap_or(lower).trim();
    let ago = body.strip_suffix("ago");
    body = ago.unwrap_or(body).trim();
    let mut parts = Parts::default();
    let mut tokens = split_units(body).into_iter().peekable();
    tokens.peek()?;
    while let Some(token) = tokens.next() {
        if token.contains(':') {
            parts.micros += clock(&token)?;
        } else if let Some(amount) = numeric::parse(&token) {
            match tokens.peek() {
                Some(unit) if unit.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    let unit = tokens.next()?;
                    parts.add(&amount, &unit)?;
                }
                _ => parts.add(&amount, "second")?,
            }
        } else {
            return None;
        }
    }
    Some((parts, ago.is_some()))
}

/// Sums that are exact, as a second may be anywhere in 292,000 years.
#[derive(Default)]
struct Parts {
    months: BigInt,
    days: BigInt,
    micros: BigInt,
}

impl Parts {
    fn add(&mut self, amount: &Num, unit: &str) -> Option<()> {
        match unit {
            "microsecond" | "microseconds" | "us" | "usec" => self.micros += times(amount, 1)?,
            "millisecond" | "milliseconds" | "ms" | "msec" => self.micros += times(amount, 1_000)?,
            "s" | "sec" | "secs" | "second" | "seconds" => self.micros += times(amount, MICROS_PER_SECOND)?,
            "m" | "min" | "mins" | "minute" | "minutes" => self.micros += times(amount, 60 * MICROS_PER_SECOND)?,
            "h" | "hr" | "hrs" | "hour" | "hours" => self.micros += times(amount, 3_600 * MICROS_PER_SECOND)?,
            "d" | "day" | "days" => self.add_days(amount, 1)?,
            "w" | "week" | "weeks" => self.add_days(amount, 7)?,
            "mon" | "mons" | "month" | "months" => {
                let whole = amount.trunc_to(0);
                self.add_days(&amount.sub(&whole), 30)?;
                self.months += whole.coefficient;
            }
            "y" | "yr" | "yrs" | "year" | "years" => self.months += times(amount, 12)?,
            "decade" | "decades" => self.months += times(amount, 120)?,
            "century" | "centuries" => self.months += times(amount, 1_200)?,
            _ => return None,
        }
        Some(())
    }

    /// `amount` times so many days; a part of a day is time.
    fn add_days(&mut self, amount: &Num, days: i64) -> Option<()> {
        let days = amount.mul(&Num::from_i64(days)).ok()?;
        let whole = days.trunc_to(0);
        self.micros += times(&days.sub(&whole), MICROS_PER_DAY)?;
        self.days += whole.coefficient;
        Some(())
    }

    /// `None`: an interval has no room for it.
    fn finish(self) -> Option<Interval> {
        Some(Interval {
            months: i32::try_from(&self.months).ok()?,
            days: i32::try_from(&self.days).ok()?,
            micros: i64::try_from(&self.micros).ok()?,
        })
    }
}

/// `amount × by`, rounded to a whole number.
fn times(amount: &Num, by: i64) -> Option<BigInt> {
    Some(amount.mul(&Num::from_i64(by)).ok()?.round(0).ok()?.coefficient)
}

fn split_units(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut was_alpha = None;
    for c in text.chars() {
        if c.is_whitespace() || c == ',' {
            was_alpha = None;
            continue;
        }
        let alpha = c.is_ascii_alphabetic();
        match tokens.last_mut() {
            Some(last) if was_alpha == Some(alpha) => last.push(c),
            _ => tokens.push(c.to_string()),
        }
        was_alpha = Some(alpha);
    }
    tokens
}

/// Microseconds of hours, minutes and seconds with colons between.
fn clock(token: &str) -> Option<BigInt> {
    let (negative, body) = match token.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, token.strip_prefix('+').unwrap_or(token)),
    };
    let mut total = BigInt::ZERO;
    for (unit, part) in [3_600, 60, 1].iter().zip(body.split(':')) {
        let part = numeric::parse(part).filter(|_| part.starts_with(|c: char| c.is_ascii_digit() || c == '.'))?;
        total += times(&part, unit * MICROS_PER_SECOND)?;
    }
    (body.split(':').count() <= 3).then_some(if negative { -total } else { total })
}

fn iso_interval_parts(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut in_time = false;
    let mut number = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' | '-' | '+' => number.push(c),
            't' if number.is_empty() => in_time = true,
            unit => {
                let amount = numeric::parse(&number)?;
                number.clear();
                let unit = match (unit, in_time) {
                    ('y', false) => "year",
                    ('m', false) => "month",
                    ('w', false) => "week",
                    ('d', false) => "day",
                    ('h', true) => "hour",
                    ('m', true) => "minute",
                    ('s', true) => "second",
                    _ => return None,
                };
                parts.add(&amount, unit)?;
            }
        }
    }
    (number.is_empty() && !text.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        parse(text, 0).unwrap().micros
    }

    #[test]
    fn intervals_are_exact_to_the_ends_of_their_range() {
        let read = |text: &str| parse_interval(text).unwrap().unwrap();
        let longest = Interval { months: i32::MIN, days: i32::MAX, micros: i64::MAX };
        let text = "-178956970 years -8 mons 2147483647 days 2562047788:00:54.775807";
        assert_eq!((read(text), read(&format_interval(longest))), (longest, longest));
        assert_eq!(read("9223372036854.775807 seconds").micros, i64::MAX);
        for text in ["178956971 years", "2147483648 days", "9223372036854.775808 seconds", "P1e30D"] {
            assert!(!matches!(parse_interval(text), Ok(Some(_))), "{text}");
        }
    }

    #[test]
    fn civil_calendar_round_trips() {
        for days in (-700_000..2_900_000).step_by(997) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
    }

    #[test]
    fn texts_are_postgresqls() {
        assert_eq!(format_timestamp(micros("2020-02-29 01:02:03.45+02"), true), "2020-02-28 23:02:03.45+00");
        assert_eq!(format_timestamp(micros("2020-02-29T01:02"), false), "2020-02-29 01:02:00");
        assert_eq!(parse("2021-02-29", 0), Err(ParseError::Field));
        assert_eq!(parse("yesterdayish", 0), Err(ParseError::Syntax));
        for (text, shown) in [
            ("1 year 2 mons 3 days 04:05:06", "1 year 2 mons 3 days 04:05:06"),
            ("90 minutes", "01:30:00"),
            ("1.5 days", "1 day 12:00:00"),
            ("-1 day 02:00", "-1 days +02:00:00"),
            ("P1Y2DT3H", "1 year 2 days 03:00:00"),
            ("2 weeks ago", "-14 days"),
            ("1h30m", "01:30:00"),
        ] {
            assert_eq!(format_interval(parse_interval(text).unwrap().unwrap()), shown, "{text}");
        }
    }

    #[test]
    fn months_end_where_the_month_does() {
        let jan31 = micros("2020-01-31");
        let month = Interval { months: 1, ..Default::default() };
        assert_eq!(format_timestamp(add_interval(jan31, month).unwrap(), false), "2020-02-29 00:00:00");
    }
}
