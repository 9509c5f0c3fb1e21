//! Dates and times as people write them, with names of months and weekdays, slashes and AM and PM: `January 8, 1999`,
//! `08-Jan-1999`, `Mon Jan 8 04:05:06 1999`, `1/8/1999 4:05 PM` (PostgreSQL 15 manual, 8.5.1 and appendix B.1), in the order
//! month, day, year. Texts in the order of ISO 8601 are read before, in [`super::datetime`].

use super::datetime::{MICROS_PER_DAY, ParseError, Parsed, days_from_civil, days_in_month, parse_time};

/// PostgreSQL's limit for such a text.
const BYTES_MAX: usize = 128;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 14] = [
    "sun",
    "sunday",
    "mon",
    "monday",
    "tue",
    "tues",
    "tuesday",
    "wed",
    "wednesday",
    "thu",
    "thursday",
    "fri",
    "friday",
    "sat",
];
const MORE_WEEKDAYS: [&str; 4] = ["saturday", "weds", "thur", "thurs"];

/// Reads a text that is not in the order of ISO 8601.
pub(super) fn parse(text: &str) -> Result<Parsed, ParseError> {
    if text.len() > BYTES_MAX {
        return Err(ParseError::Syntax);
    }
    let text = text.to_ascii_lowercase();
    let mut date = Date::default();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '0'..='9' => date.digits(rest)?,
            'a'..='z' => date.word(rest)?,
            '+' | '-' if date.time.is_some() && date.zone.is_none() => date.offset(rest)?,
            c if c.is_ascii_whitespace() || c.is_ascii_punctuation() && c != '+' && c != '-' => {
                rest.get(1..).unwrap_or_default()
            }
            _ => return Err(ParseError::Syntax),
        };
    }
    date.finish()
}

#[derive(Default)]
struct Date {
    year: Option<i64>,
    /// The year had one or two digits.
    short_year: bool,
    month: Option<i64>,
    named_month: bool,
    day: Option<i64>,
    time: Option<i64>,
    afternoon: Option<bool>,
    /// Seconds east of UTC.
    zone: Option<i64>,
    before_christ: bool,
}

impl Date {
    /// What begins with a digit: a time, a date in one piece, or a number. The text behind it.
    fn digits<'a>(&mut self, text: &'a str) -> Result<&'a str, ParseError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if text.as_bytes().get(digits) == Some(&b':') {
            let length = text.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')).count();
            let (time, rest) = text.split_at(length);
            if self.time.replace(parse_time(time)?).is_some() {
                return Err(ParseError::Syntax);
            }
            return Ok(rest);
        }
        let joined = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'.')).count();
        let (piece, rest) = text.split_at(joined);
        if piece.contains(['-', '/', '.']) {
            self.piece(piece)?;
            return Ok(rest);
        }
        let (number, rest) = text.split_at(digits);
        self.number(number)?;
        Ok(rest)
    }

    /// `08-jan-1999`: the name of the month counts before the numbers.
    fn piece(&mut self, piece: &str) -> Result<(), ParseError> {
        let parts: Vec<&str> = piece.split(['-', '/', '.']).filter(|part| !part.is_empty()).collect();
        let names = parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
        for name in names {
            self.named_month(month_of(name).ok_or(ParseError::Syntax)?)?;
        }
        for number in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            if !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ParseError::Syntax);
            }
            self.number(number)?;
        }
        Ok(())
    }

    fn word<'a>(&mut self, text: &'a str) -> Result<&'a str, ParseError> {
        let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = text.split_at(length);
        if let Some(month) = month_of(word) {
            let joined = rest.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'.')).count();
            self.named_month(month)?;
            // What stands for the name is done; the numbers behind it are of the same date.
            let (numbers, after) = rest.split_at(joined);
            self.piece(numbers)?;
            return Ok(after);
        }
        match word {
            "am" | "pm" if self.afternoon.is_none() => self.afternoon = Some(word == "pm"),
            "utc" | "gmt" | "z" | "zulu" if self.zone.is_none() => self.zone = Some(0),
            "bc" => self.before_christ = true,
            "ad" | "at" | "on" | "t" => {}
            _ if WEEKDAYS.contains(&word) || MORE_WEEKDAYS.contains(&word) => {}
            _ => return Err(ParseError::Syntax),
        }
        Ok(rest)
    }

    fn offset<'a>(&mut self, text: &'a str) -> Result<&'a str, ParseError> {
        let length = 1 + text.bytes().skip(1).take_while(|b| b.is_ascii_digit() || *b == b':').count();
        let (offset, rest) = text.split_at(length);
        let (sign, digits) = offset.split_at(1);
        let (hours, minutes) = match digits.split_once(':') {
            Some(parts) => parts,
            None if digits.len() > 2 => digits.split_at(digits.len() - 2),
            None => (digits, "0"),
        };
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n < 60).ok_or(ParseError::Syntax);
        let seconds = number(hours)? * 3600 + number(minutes)? * 60;
        if seconds >= 16 * 3600 {
            return Err(ParseError::Field);
        }
        self.zone = Some(if sign == "-" { -seconds } else { seconds });
        Ok(rest)
    }

    fn named_month(&mut self, month: i64) -> Result<(), ParseError> {
        if self.named_month {
            return Err(ParseError::Syntax);
        }
        // A number that was taken for the month was the day, if it can be one.
        if let Some(day) = self.month.filter(|day| (1..=31).contains(day))
            && self.day.replace(day).is_some()
        {
            return Err(ParseError::Syntax);
        }
        (self.month, self.named_month) = (Some(month), true);
        Ok(())
    }

    /// A number is what is missing yet, in the order month, day, year; three digits and more are a year.
    fn number(&mut self, text: &str) -> Result<(), ParseError> {
        let number: i64 = text.parse().map_err(|_| ParseError::Field)?;
        let long = text.len() >= 3;
        match (self.year, self.month, self.day) {
            (None, None, None) if text.len() == 8 || text.len() == 6 => {
                (self.year, self.short_year) = (Some(number / 10_000), text.len() == 6);
                (self.month, self.day) = (Some(number / 100 % 100), Some(number % 100));
            }
            (None, None, None) if long => self.year = Some(number),
            (None, Some(_), None) if long && self.named_month => self.year = Some(number),
            (None, Some(_), Some(_)) => (self.year, self.short_year) = (Some(number), text.len() <= 2),
            (_, None, _) => self.month = Some(number),
            (_, Some(_), None) => self.day = Some(number),
            (Some(_), Some(_), Some(_)) => return Err(ParseError::Syntax),
        }
        Ok(())
    }

    fn finish(self) -> Result<Parsed, ParseError> {
        let mut time = self.time.unwrap_or(0);
        if let Some(afternoon) = self.afternoon {
            const HALF: i64 = MICROS_PER_DAY / 2;
            const HOUR: i64 = MICROS_PER_DAY / 24;
            if time >= HALF + HOUR {
                return Err(ParseError::Field);
            }
            time = time % HALF + if afternoon { HALF } else { 0 };
        }
        if self.day.is_some_and(|day| !(1..=31).contains(&day)) {
            return Err(ParseError::Field);
        }
        let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) else {
            return Err(ParseError::Syntax);
        };
        let year = match year {
            year if self.short_year && year < 70 => year + 2000,
            year if self.short_year && year < 100 => year + 1900,
            year => year,
        };
        let known = (1..=9999).contains(&year) && !self.before_christ;
        if !known || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
            return Err(ParseError::Field);
        }
        let zone = self.zone.unwrap_or(0);
        let micros = days_from_civil(year, month, day) * MICROS_PER_DAY + time - zone * 1_000_000;
        Ok(Parsed { micros, zoned: self.zone.is_some(), offset_seconds: zone })
    }
}

fn month_of(word: &str) -> Option<i64> {
    let short = if word == "sept" { "sep" } else { word };
    let at = MONTHS.iter().position(|month| *month == short || month.get(..3) == Some(short))?;
    Some(at as i64 + 1)
}

#[cfg(test)]
mod tests {
    use super::super::datetime::{format_timestamp, parse};
    use super::*;

    #[test]
    fn names_of_months_and_weekdays_are_read_as_postgresql_reads_them() {
        for (text, expected) in [
            ("January 8, 1999", "1999-01-08 00:00:00"),
            ("1999-Jan-08", "1999-01-08 00:00:00"),
            ("Jan-08-1999", "1999-01-08 00:00:00"),
            ("08-Jan-1999", "1999-01-08 00:00:00"),
            ("08-Jan-99", "1999-01-08 00:00:00"),
            ("8 january 1999", "1999-01-08 00:00:00"),
            ("Mon Jan 8 04:05:06 1999", "1999-01-08 04:05:06"),
            ("Friday, 8 Jan 99 4:05 PM", "1999-01-08 16:05:00"),
            ("1/8/1999 12:05 am", "1999-01-08 00:05:00"),
            ("1/8/69", "2069-01-08 00:00:00"),
            ("Sept 9 2020 10:00+02", "2020-09-09 08:00:00"),
            ("2020-09-09 10:00 PM", "2020-09-09 22:00:00"),
        ] {
            assert_eq!(parse(text, 0).map(|p| format_timestamp(p.micros, false)).as_deref(), Ok(expected), "{text}");
        }
        for (text, error) in [
            ("January 32, 1999", ParseError::Field),
            ("Jan 8 1999 BC", ParseError::Field),
            ("13/13/1999", ParseError::Field),
            ("1/8/1999 13:00 PM", ParseError::Field),
            ("January 8", ParseError::Syntax),
            ("Januar 8 1999", ParseError::Syntax),
            ("Jan Feb 1999", ParseError::Syntax),
            ("é Jan 8 1999", ParseError::Syntax),
        ] {
            assert_eq!(parse(text, 0).map(|p| p.micros), Err(error), "{text}");
        }
    }

    #[test]
    fn pieces_of_dates_in_any_order_have_an_answer_or_an_error() {
        let words =
            ["jan", "8", "1999", "-", "/", " ", "é", "10:00", "pm", "+02", ".", "99999999999999999999", "mon", ":"];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..6 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(words[(state >> 33) as usize % words.len()]);
            }
            let _ = parse(&text, 0);
        }
    }
}
