//! `to_char` of dates, times and intervals (PostgreSQL 15 manual, 9.8, tables 9.27 and 9.28). The locale is C, the time
//! zone UTC.

use super::date_pattern::{Case, Field, Node, Part, nodes};
use super::{Output, julian, ordinal};
use crate::error::{QueryError, Result, SqlState};
use crate::function::time::{DAYS, MONTHS};
use crate::value::datetime::{self, Interval, MICROS_PER_DAY};

/// The months in Roman numerals, from I.
pub(super) const ROMAN_MONTHS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// What is shown, taken apart. An interval's parts may be negative and as large as they like.
pub(super) struct Moment {
    year: i32,
    month: i32,
    day: i32,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    day_of_year: i32,
    /// From Sunday, which is 0.
    weekday: i32,
    zoned: bool,
    interval: bool,
}

impl Moment {
    /// A timestamp, so many microseconds behind 1970.
    pub fn of_timestamp(micros: i64, zoned: bool) -> Moment {
        let (days, of_day) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
        let (year, month, day) = datetime::civil_from_days(days);
        Moment {
            year: year as i32,
            month: month as i32,
            day: day as i32,
            hour: of_day / 3_600_000_000,
            minute: of_day / 60_000_000 % 60,
            second: of_day / 1_000_000 % 60,
            micros: of_day % 1_000_000,
            day_of_year: (days - datetime::days_from_civil(year, 1, 1) + 1) as i32,
            weekday: (days + 4).rem_euclid(7) as i32,
            zoned,
            interval: false,
        }
    }

    pub fn of_interval(i: Interval) -> Moment {
        let (year, month) = (i.months / 12, i.months % 12);
        Moment {
            year,
            month,
            day: i.days,
            hour: i.micros / 3_600_000_000,
            minute: i.micros / 60_000_000 % 60,
            second: i.micros / 1_000_000 % 60,
            micros: i.micros % 1_000_000,
            // The whole of it in days, as far as an integer goes.
            day_of_year: i.months.wrapping_mul(30).wrapping_add(i.days),
            weekday: 0,
            zoned: false,
            interval: true,
        }
    }

    /// In the form of the pattern.
    pub fn format(&self, pattern: &str) -> Result<String> {
        let mut out = Output::new();
        for node in nodes(pattern) {
            match node {
                Node::Separator(c) | Node::Space(c) | Node::Text(c) => out.push(c),
                Node::Field(part) => out.push_str(&self.field(&part)?),
            }
            out.check()?;
        }
        Ok(out.into_text())
    }

    fn field(&self, part: &Part) -> Result<String> {
        let at_least = |width: usize| if part.fill { 0 } else { width };
        // A sign needs a place of its own.
        let signed = |n: i64, width: usize| at_least(if n >= 0 { width } else { width + 1 });
        let (number, width) = match part.keyword.field {
            Field::Hour12 => {
                let hour = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
                (hour, signed(self.hour, 2))
            }
            Field::Hour24 => (self.hour, signed(self.hour, 2)),
            Field::Minute => (self.minute, signed(self.minute, 2)),
            Field::Second => (self.second, signed(self.second, 2)),
            Field::Fraction(digits) => (self.micros / 10_i64.pow(6 - u32::from(digits.min(6))), usize::from(digits)),
            Field::Millisecond => (self.micros / 1000, 3),
            Field::Microsecond => (self.micros, 6),
            Field::SecondOfDay => (self.hour * 3600 + self.minute * 60 + self.second, 0),
            Field::Month => (self.month.into(), signed(self.month.into(), 2)),
            Field::DayOfYear => (self.day_of_year.into(), at_least(3)),
            Field::IsoDayOfYear => (julian::iso_day_of_year(self.year, self.month, self.day).into(), at_least(3)),
            Field::Day => (self.day.into(), at_least(2)),
            Field::WeekOfYear => (i64::from(self.day_of_year.wrapping_sub(1) / 7 + 1), at_least(2)),
            Field::WeekOfMonth => (i64::from(self.day.wrapping_sub(1) / 7 + 1), 0),
            Field::IsoWeek => (julian::iso_week(self.year, self.month, self.day).1.into(), at_least(2)),
            Field::Julian => (julian::to_julian(self.year, self.month, self.day).into(), 0),
            Field::Century => {
                let century = self.century();
                (century, if century.abs() <= 99 { signed(century, 2) } else { 0 })
            }
            Field::Year { digits, iso } => {
                let shown = if iso { julian::iso_week(self.year, self.month, self.day).0 } else { self.year };
                let width = signed(self.counted(self.year), usize::from(digits));
                let last = if digits < 4 { 10_i64.pow(digits.into()) } else { i64::MAX };
                (self.counted(shown) % last, if digits == 1 { 0 } else { width })
            }
            _ => return self.name(part),
        };
        finish(format!("{number:0width$}"), part)
    }

    /// What is not a number alone.
    fn name(&self, part: &Part) -> Result<String> {
        let field = part.keyword.field;
        match field {
            Field::Meridiem { dots } => {
                return Ok(dotted(if self.hour % 24 >= 12 { "PM" } else { "AM" }, dots, part.lower));
            }
            Field::GroupedYear => {
                let year = self.counted(self.year);
                return finish(format!("{},{:03}", year / 1000, year % 1000), part);
            }
            Field::Quarter if self.month == 0 => return Ok(String::new()),
            Field::Quarter => return finish(((self.month - 1) / 3 + 1).to_string(), part),
            Field::RomanMonth => return Ok(self.roman_month(part)),
            Field::Exact => return Ok(String::new()),
            _ => {}
        }
        if self.interval {
            let message = "invalid format specification for an interval value";
            return Err(QueryError::new(SqlState::INVALID_DATETIME, message)
                .hint("Intervals are not tied to specific calendar dates."));
        }
        Ok(match field {
            Field::Era { dots } => dotted(if self.year <= 0 { "BC" } else { "AD" }, dots, part.lower),
            Field::MonthName { case, short } => named(&MONTHS, self.month - 1, case, short, part),
            Field::DayName { case, short } => named(&DAYS, self.weekday, case, short, part),
            Field::Weekday => finish((self.weekday + 1).to_string(), part)?,
            Field::IsoWeekday => finish(if self.weekday == 0 { 7 } else { self.weekday }.to_string(), part)?,
            Field::Zone if !self.zoned => String::new(),
            Field::Zone => if part.lower { "utc" } else { "UTC" }.to_owned(),
            Field::ZoneHour => "+00".to_owned(),
            Field::ZoneMinute => "00".to_owned(),
            Field::Offset => if part.fill { "+0" } else { "+00" }.to_owned(),
            _ => String::new(),
        })
    }

    /// A year as people count: there is none 0, and -1 is 2 BC. Intervals have any number.
    fn counted(&self, year: i32) -> i64 {
        let year = i64::from(year);
        if self.interval || year > 0 { year } else { 1 - year }
    }

    fn century(&self) -> i64 {
        match i64::from(self.year) {
            year if self.interval => year / 100,
            year if year > 0 => (year - 1) / 100 + 1,
            year => year / 100 - 1,
        }
    }

    fn roman_month(&self, part: &Part) -> String {
        let month = match self.month {
            0 if self.year == 0 => return String::new(),
            0 if self.year > 0 => 12,
            0 => 1,
            // Negative months count from the end.
            month if month < 0 => 13 + month,
            month => month,
        };
        let name = ROMAN_MONTHS.get((month - 1).clamp(0, 11) as usize).copied().unwrap_or_default();
        let name = if part.lower { name.to_ascii_lowercase() } else { name.to_owned() };
        if part.fill { name } else { format!("{name:<4}") }
    }
}

fn named(names: &[&str], at: i32, case: Case, short: bool, part: &Part) -> String {
    let name = usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default();
    match (short, part.fill || part.translated) {
        (true, _) => case.of(name.get(..3).unwrap_or(name)),
        (false, true) => case.of(name),
        (false, false) => format!("{:<9}", case.of(name)),
    }
}

fn dotted(letters: &str, dots: bool, lower: bool) -> String {
    let mut text = String::new();
    for letter in letters.chars() {
        text.push(letter);
        if dots {
            text.push('.');
        }
    }
    if lower { text.to_ascii_lowercase() } else { text }
}

/// A number with `th` behind it, if that is asked for.
fn finish(mut number: String, part: &Part) -> Result<String> {
    if let Some(case) = part.ordinal {
        let suffix = ordinal(&number, case)?;
        number.push_str(suffix);
    }
    Ok(number)
}
