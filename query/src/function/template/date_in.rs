//! `to_date` and `to_timestamp` of texts (PostgreSQL 15 manual, 9.8, "Usage notes for date/time formatting"): the text is
//! read field after field as the pattern has them; what of it the pattern does not reach is passed over.

use std::iter::Peekable;

use super::date_out::ROMAN_MONTHS;
use super::date_pattern::{Convention, Field, Node, Nodes, Part, ends_number, is_separator, is_space, nodes};
use super::julian;
use crate::error::{QueryError, Result, SqlState};
use crate::function::time::{DAYS, MONTHS};
use crate::value::datetime::{self, MICROS_PER_DAY};

const MERIDIEMS: [&str; 2] = ["AM", "PM"];
const DOTTED_MERIDIEMS: [&str; 2] = ["A.M.", "P.M."];
const ERAS: [&str; 2] = ["AD", "BC"];
const DOTTED_ERAS: [&str; 2] = ["A.D.", "B.C."];
/// Hours that a zone may lie from UTC.
const ZONE_HOURS_MAX: i32 = 15;

/// What was read; 0 is nothing, as in PostgreSQL, where `to_date('2020-00-00', 'YYYY-MM-DD')` is the first of January.
#[derive(Default)]
struct Fields {
    convention: Option<Convention>,
    hour: i32,
    twelve: bool,
    afternoon: i32,
    minute: i32,
    second: i32,
    second_of_day: i32,
    /// From 1, which is Sunday.
    weekday: i32,
    day: i32,
    day_of_year: i32,
    month: i32,
    millis: i32,
    micros: i32,
    /// Digits of `FF`.
    precision: u8,
    year: i32,
    year_digits: u8,
    before_christ: i32,
    week: i32,
    week_of_month: i32,
    century: i32,
    julian: i32,
    zone_sign: i32,
    zone_hours: i32,
    zone_minutes: i32,
}

/// A date and a time of day as they were read.
pub(super) struct Read {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    micros: i64,
    /// Seconds east of UTC.
    zone: i64,
    precision: u8,
}

impl Read {
    /// Days since 1970.
    pub fn days(&self) -> i64 {
        datetime::days_from_civil(self.year.into(), self.month.into(), self.day.into())
    }

    /// Microseconds since 1970 in UTC.
    pub fn timestamp(&self) -> Result<i64> {
        if !(1..=9999).contains(&self.year) {
            return Err(datetime::timestamp_overflow());
        }
        let seconds = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second) - self.zone;
        let micros = self.days() * MICROS_PER_DAY + seconds * 1_000_000 + self.micros;
        Ok(if self.precision == 0 { micros } else { datetime::round_to_digits(micros, self.precision) })
    }
}

/// Reads a text by a pattern.
pub(super) fn read(text: &str, pattern: &str) -> Result<Read> {
    let mut reader = Reader { text: text.as_bytes(), at: 0, exact: false, skipped: 0, fields: Fields::default() };
    reader.run(&mut nodes(pattern))?;
    reader.fields.finish(text)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// `FX` was there.
    exact: bool,
    /// Characters that were passed over and stand for none of the pattern yet.
    skipped: i64,
    fields: Fields,
}

impl<'a> Reader<'a> {
    fn run(&mut self, nodes: &mut Peekable<Nodes<'_>>) -> Result<()> {
        let mut first = true;
        while self.at < self.text.len()
            && let Some(node) = nodes.next()
        {
            let before_field = match &node {
                Node::Field(part) => part.keyword.field != Field::Exact,
                _ => first,
            };
            if !self.exact && before_field {
                self.skip_spaces();
            }
            first = false;
            match node {
                Node::Separator(_) | Node::Space(_) if !self.exact => {
                    self.skipped -= 1;
                    if self.peek().is_some_and(|b| is_space(b.into()) || is_separator(b.into())) {
                        self.at += 1;
                        self.skipped += 1;
                    }
                }
                // What was passed over before stands for it.
                Node::Text(_) if !self.exact && self.skipped > 0 => self.skipped -= 1,
                Node::Separator(_) | Node::Space(_) | Node::Text(_) => self.skip_character(),
                Node::Field(part) => {
                    self.field(&part, nodes)?;
                    if !self.exact {
                        self.skipped = 0;
                        self.skip_spaces();
                    }
                }
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|b| is_space(b.into())) {
            self.at += 1;
            self.skipped += 1;
        }
    }

    fn skip_character(&mut self) {
        self.at += super::character_width(self.peek());
        self.at = self.at.min(self.text.len());
    }

    fn field(&mut self, part: &Part, nodes: &mut Peekable<Nodes<'_>>) -> Result<()> {
        if let Some(convention) = part.keyword.convention {
            let set = *self.fields.convention.get_or_insert(convention);
            if set != convention {
                let message = "invalid combination of date conventions";
                return Err(QueryError::new(SqlState::INVALID_DATETIME, message)
                    .hint("Do not mix Gregorian and ISO week date conventions in a formatting template."));
            }
        }
        let open = part.fill || ends_number(part, nodes.peek());
        match part.keyword.field {
            Field::Exact => {
                self.exact = true;
                return Ok(());
            }
            Field::Zone | Field::Offset => {
                let message = format!("formatting field \"{}\" is only supported in to_char", part.name());
                return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint("Use TZH and TZM."));
            }
            Field::ZoneHour | Field::ZoneMinute => return self.zone(part, open),
            Field::GroupedYear => self.grouped_year(part)?,
            Field::Year { digits, .. } => self.year(part, digits, open)?,
            Field::Meridiem { .. }
            | Field::Era { .. }
            | Field::MonthName { .. }
            | Field::DayName { .. }
            | Field::RomanMonth => return self.name(part),
            _ => self.number_field(part, open)?,
        }
        if part.ordinal.is_some() {
            self.skip_character();
            self.skip_character();
        }
        Ok(())
    }

    /// A field that is one number.
    fn number_field(&mut self, part: &Part, open: bool) -> Result<()> {
        let field = part.keyword.field;
        let width = match field {
            Field::Hour12 | Field::Hour24 => 2,
            Field::Millisecond | Field::IsoDayOfYear => 3,
            Field::Microsecond => 6,
            Field::Fraction(digits) => usize::from(digits),
            Field::IsoWeekday => 1,
            _ => part.name().len(),
        };
        let (number, used) = self.number(part, width, open)?;
        let mut passed_over = 0;
        let f = &mut self.fields;
        let to = match field {
            Field::Hour12 => {
                f.twelve = true;
                &mut f.hour
            }
            Field::Hour24 => &mut f.hour,
            Field::Minute => &mut f.minute,
            Field::Second => &mut f.second,
            Field::SecondOfDay => &mut f.second_of_day,
            Field::Month => &mut f.month,
            Field::Day => &mut f.day,
            Field::DayOfYear | Field::IsoDayOfYear => &mut f.day_of_year,
            Field::Weekday | Field::IsoWeekday => &mut f.weekday,
            Field::WeekOfYear | Field::IsoWeek => &mut f.week,
            Field::WeekOfMonth => &mut f.week_of_month,
            Field::Century => &mut f.century,
            Field::Julian => &mut f.julian,
            Field::Millisecond => &mut f.millis,
            Field::Microsecond => &mut f.micros,
            Field::Fraction(digits) => {
                f.precision = digits;
                &mut f.micros
            }
            // A quarter says no date; it is read and passed over.
            _ => &mut passed_over,
        };
        set(to, number, part)?;
        match field {
            // 25 and 250 are both a quarter of a second, 025 is not.
            Field::Millisecond => *to = to.wrapping_mul(if used < 3 { 10_i32.pow(3 - used.max(1) as u32) } else { 1 }),
            Field::Microsecond | Field::Fraction(_) => {
                *to = to.wrapping_mul(if used < 6 { 10_i32.pow(6 - used.max(1) as u32) } else { 1 });
            }
            Field::IsoWeekday => *to = if *to >= 7 { 1 } else { *to + 1 },
            _ => {}
        }
        Ok(())
    }

    fn year(&mut self, part: &Part, digits: u8, open: bool) -> Result<()> {
        let (number, used) = self.number(part, digits.into(), open)?;
        set(&mut self.fields.year, number, part)?;
        if digits < 4 && used < 4 {
            self.fields.year = near_2020(self.fields.year);
        }
        self.fields.year_digits = digits;
        Ok(())
    }

    /// `Y,YYY`: thousands, a comma and at most three digits.
    fn grouped_year(&mut self, part: &Part) -> Result<()> {
        let invalid = || {
            QueryError::new(SqlState::INVALID_DATETIME, "invalid input string for \"Y,YYY\"")
                .hint("It looks like 2,020.")
        };
        let (thousands, used) = integer(self.rest()).ok_or_else(invalid)?;
        let rest = self.rest().get(used..).unwrap_or_default();
        let after = rest.strip_prefix(b",").ok_or_else(invalid)?;
        let spaces = after.iter().take_while(|b| is_space(char::from(**b))).count();
        let after = after.get(spaces..).unwrap_or_default();
        let (years, digits) = integer(after.get(..after.len().min(3)).unwrap_or_default()).ok_or_else(invalid)?;
        let year = years.saturating_add(thousands.saturating_mul(1000));
        let year = i32::try_from(year).map_err(|_| out_of_range(part))?;
        set(&mut self.fields.year, year, part)?;
        self.fields.year_digits = 4;
        self.at += used + 1 + spaces + digits;
        Ok(())
    }

    fn zone(&mut self, part: &Part, open: bool) -> Result<()> {
        if part.keyword.field == Field::ZoneMinute {
            if self.fields.zone_sign == 0 {
                self.fields.zone_sign = 1;
            }
            let (minutes, _) = self.number(part, 2, open)?;
            return set(&mut self.fields.zone_minutes, minutes, part);
        }
        let before = self.at.checked_sub(1).and_then(|at| self.text.get(at)).copied();
        self.fields.zone_sign = match self.peek() {
            Some(b'+' | b' ' | b'-') => {
                let sign = if self.peek() == Some(b'-') { -1 } else { 1 };
                self.at += 1;
                sign
            }
            // The sign may have been taken for a separator of the pattern.
            _ if self.skipped > 0 && before == Some(b'-') => -1,
            _ => 1,
        };
        let (hours, _) = self.number(part, 2, open)?;
        set(&mut self.fields.zone_hours, hours, part)
    }

    fn name(&mut self, part: &Part) -> Result<()> {
        let (names, short): (&[&str], bool) = match part.keyword.field {
            Field::Meridiem { dots } => (if dots { &DOTTED_MERIDIEMS } else { &MERIDIEMS }, false),
            Field::Era { dots } => (if dots { &DOTTED_ERAS } else { &ERAS }, false),
            Field::MonthName { short, .. } => (&MONTHS, short),
            Field::DayName { short, .. } => (&DAYS, short),
            _ => (&ROMAN_MONTHS, false),
        };
        let rest = self.rest();
        let length = |name: &str| if short { 3 } else { name.len() };
        let fits = |name: &str| {
            let name = name.as_bytes().get(..length(name)).unwrap_or_default();
            rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        // The last one that fits: of Roman numerals the longest.
        let Some(at) = names.iter().rposition(|name| fits(name)) else {
            let word = rest.split(|b| is_space(char::from(*b))).next().unwrap_or_default();
            return Err(
                invalid(word, part).detail("The given value did not match any of the allowed values for this field.")
            );
        };
        self.at += names.get(at).map_or(0, |name| length(name));
        let (at, f) = (at as i32, &mut self.fields);
        match part.keyword.field {
            Field::Meridiem { .. } => {
                f.twelve = true;
                set(&mut f.afternoon, at, part)
            }
            Field::Era { .. } => set(&mut f.before_christ, at, part),
            Field::DayName { .. } => {
                set(&mut f.weekday, at, part)?;
                f.weekday += 1;
                Ok(())
            }
            _ => set(&mut f.month, at + 1, part),
        }
    }

    /// A number, and how many bytes it took. Where digits may follow that are not its own, it has just so many.
    fn number(&mut self, part: &Part, width: usize, open: bool) -> Result<(i32, usize)> {
        let start = self.at;
        let spaces = self.rest().iter().take_while(|b| is_space(char::from(**b))).count();
        let fixed = self.rest().get(spaces..).unwrap_or_default();
        let fixed = fixed.get(..width.min(fixed.len())).unwrap_or_default();
        let number = if open {
            let (number, used) = integer(self.rest()).unwrap_or((0, 0));
            self.at += used;
            number
        } else {
            let short = |detail: String| {
                move |e: QueryError| {
                    e.detail(detail).hint("If your source string is not fixed-width, try using the \"FM\" modifier.")
                }
            };
            if fixed.len() < width {
                let message = format!("source string too short for \"{}\" formatting field", part.name());
                let detail = format!("Field requires {width} characters, but only {} remain.", fixed.len());
                return Err(short(detail)(QueryError::new(SqlState::INVALID_DATETIME, message)));
            }
            let (number, used) = integer(fixed).unwrap_or((0, 0));
            if used > 0 && used < width {
                let detail = format!("Field requires {width} characters, but only {used} could be parsed.");
                return Err(short(detail)(invalid(fixed, part)));
            }
            self.at += spaces + used;
            number
        };
        if self.at == start {
            return Err(invalid(fixed, part).detail("Value must be an integer."));
        }
        Ok((i32::try_from(number).map_err(|_| out_of_range(part))?, self.at - start))
    }
}

impl Fields {
    /// The date and time that the fields say together.
    fn finish(mut self, text: &str) -> Result<Read> {
        let refused = || {
            let message = format!("date/time field value out of range: \"{}\"", crate::literal::shorten(text));
            QueryError::new(SqlState::DATETIME_OVERFLOW, message)
        };
        let mut read = Read {
            year: 0,
            month: 1,
            day: 1,
            hour: self.second_of_day / 3600,
            minute: self.second_of_day / 60 % 60,
            second: self.second_of_day % 60,
            micros: i64::from(self.millis) * 1000 + i64::from(self.micros),
            zone: 0,
            precision: self.precision,
        };
        self.clock(&mut read)?;
        let set = self.date(&mut read)?;
        set.check(&read).ok_or_else(refused)?;
        let in_day = (0..24).contains(&read.hour)
            && (0..60).contains(&read.minute)
            && (0..60).contains(&read.second)
            && (0..1_000_000).contains(&read.micros);
        if !in_day {
            return Err(refused());
        }
        if self.zone_sign != 0 {
            if !(0..=ZONE_HOURS_MAX).contains(&self.zone_hours) || !(0..60).contains(&self.zone_minutes) {
                let message = format!("time zone displacement out of range: \"{}\"", crate::literal::shorten(text));
                return Err(QueryError::new(SqlState::INVALID_TIME_ZONE_DISPLACEMENT, message));
            }
            read.zone =
                i64::from(self.zone_sign) * (i64::from(self.zone_hours) * 60 + i64::from(self.zone_minutes)) * 60;
        }
        Ok(read)
    }

    fn clock(&self, read: &mut Read) -> Result<()> {
        for (from, to) in
            [(self.second, &mut read.second), (self.minute, &mut read.minute), (self.hour, &mut read.hour)]
        {
            if from != 0 {
                *to = from;
            }
        }
        if !self.twelve {
            return Ok(());
        }
        if !(1..=12).contains(&read.hour) {
            let message = format!("hour \"{}\" is invalid for the 12-hour clock", read.hour);
            return Err(QueryError::new(SqlState::INVALID_DATETIME, message)
                .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
        }
        match self.afternoon {
            0 if read.hour == 12 => read.hour = 0,
            1 if read.hour < 12 => read.hour += 12,
            _ => {}
        }
        Ok(())
    }

    fn date(&mut self, read: &mut Read) -> Result<Said> {
        let mut said = Said { year: self.year != 0 || self.century != 0, month: false, day: false };
        if said.year {
            read.year = self.full_year();
        }
        if self.julian != 0 {
            (read.year, read.month, read.day) = julian::from_julian(self.julian);
            said = Said::ALL;
        }
        if self.week != 0 {
            if self.convention == Some(Convention::IsoWeek) {
                let monday = julian::iso_week_start(read.year, self.week);
                let days = match self.weekday {
                    0 => 0,
                    weekday @ 2.. => weekday - 2,
                    _ => 6,
                };
                (read.year, read.month, read.day) = julian::from_julian(monday.wrapping_add(days));
                said = Said::ALL;
            } else {
                self.day_of_year = self.week.wrapping_sub(1).wrapping_mul(7).wrapping_add(1);
            }
        }
        if self.week_of_month != 0 {
            self.day = self.week_of_month.wrapping_sub(1).wrapping_mul(7).wrapping_add(1);
        }
        if self.day != 0 {
            (read.day, said.day) = (self.day, true);
        }
        if self.month != 0 {
            (read.month, said.month) = (self.month, true);
        }
        if self.day_of_year != 0 && (read.month <= 1 || read.day <= 1) {
            self.day_of_year(read, &mut said)?;
        }
        Ok(said)
    }

    /// The year, from its digits, the century and the era; 0 is 1 BC.
    fn full_year(&self) -> i32 {
        let before = self.before_christ != 0;
        let century = if before { self.century.wrapping_neg() } else { self.century };
        if self.year == 0 {
            let start = if century >= 0 { century.wrapping_sub(1) } else { century };
            return start.wrapping_mul(100).wrapping_add(1);
        }
        if self.century == 0 || self.year_digits > 2 {
            let year = if before { self.year.wrapping_neg() } else { self.year };
            return if year < 0 { year + 1 } else { year };
        }
        match (self.year % 100, century >= 0) {
            (0, true) => century.wrapping_mul(100),
            (0, false) => century.wrapping_mul(100).wrapping_add(1),
            (year, true) => century.wrapping_sub(1).wrapping_mul(100).wrapping_add(year),
            (year, false) => century.wrapping_add(1).wrapping_mul(100).wrapping_sub(year).wrapping_add(1),
        }
    }

    /// Month and day from the day of the year, where they are not said.
    fn day_of_year(&self, read: &mut Read, said: &mut Said) -> Result<()> {
        if read.year == 0 && self.before_christ == 0 {
            let message = "cannot calculate day of year without year information";
            return Err(QueryError::new(SqlState::INVALID_DATETIME, message).hint("Add the year to text and pattern."));
        }
        if self.convention == Some(Convention::IsoWeek) {
            let before = julian::iso_week_start(read.year, 1).wrapping_sub(1);
            (read.year, read.month, read.day) = julian::from_julian(before.wrapping_add(self.day_of_year));
            *said = Said::ALL;
            return Ok(());
        }
        let (mut month, mut before) = (1, 0);
        while month <= 12 {
            let days = days_in_month(read.year, month);
            if self.day_of_year <= before + days {
                break;
            }
            before += days;
            month += 1;
        }
        if read.month <= 1 {
            read.month = month;
        }
        if read.day <= 1 {
            read.day = self.day_of_year.wrapping_sub(before);
        }
        (said.month, said.day) = (true, true);
        Ok(())
    }
}

/// Which parts of the date were there, and so have to be right.
struct Said {
    year: bool,
    month: bool,
    day: bool,
}

impl Said {
    const ALL: Said = Said { year: true, month: true, day: true };

    fn check(&self, read: &Read) -> Option<()> {
        let wrong = self.month && !(1..=12).contains(&read.month)
            || self.day && !(1..=31).contains(&read.day)
            || self.year && self.month && self.day && read.day > days_in_month(read.year, read.month);
        (!wrong).then_some(())
    }
}

fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        2 if julian::is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A year of less than four digits: the one nearest to 2020.
fn near_2020(year: i32) -> i32 {
    match year {
        ..70 => year.wrapping_add(2000),
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        year => year,
    }
}

fn set(to: &mut i32, value: i32, part: &Part) -> Result<()> {
    if *to != 0 && *to != value {
        let message = format!("conflicting values for \"{}\" field in formatting string", part.name());
        return Err(QueryError::new(SqlState::INVALID_DATETIME, message)
            .detail("This value contradicts a previous setting for the same field type.")
            .hint("Name each field of the date or the time once."));
    }
    *to = value;
    Ok(())
}

/// Spaces, a sign and digits: the number, as far as there is room for it, and its length.
fn integer(text: &[u8]) -> Option<(i64, usize)> {
    let spaces = text.iter().take_while(|b| is_space(char::from(**b))).count();
    let sign = usize::from(matches!(text.get(spaces), Some(b'+' | b'-')));
    let digits = text.get(spaces + sign..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = text.get(spaces + sign..spaces + sign + digits).filter(|d| !d.is_empty())?;
    let number = number.iter().fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    let negative = sign == 1 && text.get(spaces) == Some(&b'-');
    Some((if negative { -number } else { number }, spaces + sign + digits))
}

fn invalid(text: &[u8], part: &Part) -> QueryError {
    let text = crate::literal::shorten(&String::from_utf8_lossy(text)).to_string();
    QueryError::new(SqlState::INVALID_DATETIME, format!("invalid value \"{text}\" for \"{}\"", part.name()))
}

fn out_of_range(part: &Part) -> QueryError {
    let message = format!("value for \"{}\" in source string is out of range", part.name());
    QueryError::new(SqlState::DATETIME_OVERFLOW, message).detail(format!(
        "Value must be in the range {} to {}.",
        i32::MIN,
        i32::MAX
    ))
}
