//! The patterns of QLDB's TO_STRING and TO_TIMESTAMP ("Timestamp format strings" in the dialect's reference): letters as
//! Java's formatter has them, text in single quotes.

use ledgerstone_digest::ion::{Fraction, Precision, Timestamp};

use super::time::MONTHS;
use crate::error::{QueryError, Result, SqlState};

/// Digits of a fraction of a second at most.
const FRACTION_DIGITS_MAX: usize = 9;

/// A letter, repeated, or text as it stands.
enum Part<'a> {
    Letter(char, usize),
    Text(&'a str),
}

/// The timestamp in the form of the pattern.
pub fn format(t: &Timestamp, pattern: &str) -> Result<String> {
    let mut out = String::new();
    for part in parts(pattern)? {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Letter(letter, count) => format_letter(t, letter, count, &mut out)?,
        }
    }
    Ok(out)
}

fn format_letter(t: &Timestamp, letter: char, count: usize, out: &mut String) -> Result<()> {
    let month = usize::from(t.month.max(1));
    let name = MONTHS.get(month - 1).copied().unwrap_or_default();
    let number = |n: u64| format!("{n:0count$}");
    match (letter, count) {
        ('y', 2) => out.push_str(&format!("{:02}", t.year % 100)),
        ('y', 1 | 4) => out.push_str(&number(u64::from(t.year))),
        ('M', 1 | 2) => out.push_str(&number(month as u64)),
        ('M', 3) => out.push_str(&name[..3]),
        ('M', 4) => out.push_str(name),
        ('M', 5) => out.push_str(&name[..1]),
        ('d', 1 | 2) => out.push_str(&number(u64::from(t.day.max(1)))),
        ('H', 1 | 2) => out.push_str(&number(u64::from(t.hour))),
        ('h', 1 | 2) => {
            let hour = if t.hour.is_multiple_of(12) { 12 } else { t.hour % 12 };
            out.push_str(&number(u64::from(hour)));
        }
        ('m', 1 | 2) => out.push_str(&number(u64::from(t.minute))),
        ('s', 1 | 2) => out.push_str(&number(u64::from(t.second))),
        ('S', 1..=FRACTION_DIGITS_MAX) => out.extend(fraction_digits(t).chain(std::iter::repeat('0')).take(count)),
        ('n', _) => {
            let digits: String = fraction_digits(t).chain(std::iter::repeat('0')).take(FRACTION_DIGITS_MAX).collect();
            let digits = digits.trim_start_matches('0');
            out.push_str(&format!("{digits:0>count$}"));
        }
        ('a', 1) => out.push_str(if t.hour < 12 { "AM" } else { "PM" }),
        ('X', 1..=5) if t.offset_minutes.unwrap_or(0) == 0 => out.push('Z'),
        ('X' | 'x', 1..=5) => {
            let offset = t.offset_minutes.unwrap_or(0);
            let (sign, hours, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60, offset.abs() % 60);
            out.push_str(&format!("{sign}{hours:02}"));
            if count > 1 || minutes != 0 {
                let colon = if count == 3 || count == 5 { ":" } else { "" };
                out.push_str(&format!("{colon}{minutes:02}"));
            }
        }
        _ => return Err(unknown(letter, count)),
    }
    Ok(())
}

/// The fraction of the second, digit by digit.
fn fraction_digits(t: &Timestamp) -> impl Iterator<Item = char> {
    let (digits, width) = (t.fraction.digits(), usize::from(t.fraction.digits()));
    let text = if digits == 0 { String::new() } else { format!("{:0width$}", t.fraction.coefficient()) };
    text.chars().collect::<Vec<_>>().into_iter()
}

/// The timestamp that the text says, in the form of the pattern. It is as precise as the pattern.
pub fn parse(text: &str, pattern: &str) -> Result<Timestamp> {
    let fail =
        || QueryError::new(SqlState::INVALID_DATETIME, format!("{text:?} does not match the pattern {pattern:?}"));
    let mut found = Found { t: Timestamp::first_of(1), afternoon: None, rest: text };
    for part in parts(pattern)? {
        let read = match part {
            Part::Text(expected) => found.rest.strip_prefix(expected).map(|after| found.rest = after),
            Part::Letter(letter, count) => found.letter(letter, count)?,
        };
        read.ok_or_else(fail)?;
    }
    let Found { mut t, afternoon, rest } = found;
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
    t.validated().map_err(|_| fail())
}

/// What was read so far.
struct Found<'a> {
    t: Timestamp,
    afternoon: Option<bool>,
    rest: &'a str,
}

impl Found<'_> {
    /// Reads what stands for a letter; `None` if something else stands there.
    fn letter(&mut self, letter: char, count: usize) -> Result<Option<()>> {
        let read = match (letter, count) {
            ('M', 3 | 4) => self.month_name(count == 4),
            ('a', 1) => self.half_of_day(),
            ('X' | 'x', 1..=5) => self.offset(),
            ('y', 1 | 2 | 4) | ('M' | 'd' | 'H' | 'h' | 'm' | 's', 1 | 2) | ('S', 1..=FRACTION_DIGITS_MAX) => {
                self.number(letter, count)
            }
            ('n', _) => self.nanoseconds(),
            _ => return Err(unknown(letter, count)),
        };
        Ok(read)
    }

    fn month_name(&mut self, whole: bool) -> Option<()> {
        let spelt = |name: &'static str| if whole { name } else { &name[..3] };
        let at = MONTHS.iter().position(|name| {
            let name = spelt(name);
            self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        })?;
        self.rest = self.rest.get(spelt(MONTHS[at]).len()..)?;
        self.t.month = at as u8 + 1;
        self.reach(Precision::Month)
    }

    fn half_of_day(&mut self) -> Option<()> {
        let (half, after) = self.rest.split_at_checked(2)?;
        self.afternoon = match half.to_ascii_uppercase().as_str() {
            "AM" => Some(false),
            "PM" => Some(true),
            _ => return None,
        };
        self.rest = after;
        Some(())
    }

    fn offset(&mut self) -> Option<()> {
        let (minutes, after) = parse_offset(self.rest)?;
        self.t.offset_minutes = Some(minutes);
        self.rest = after;
        Some(())
    }

    fn digits(&mut self, most: usize) -> Option<&str> {
        let length = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, after) = self.rest.split_at(length);
        self.rest = after;
        Some(digits).filter(|digits| !digits.is_empty())
    }

    fn number(&mut self, letter: char, count: usize) -> Option<()> {
        let most = match letter {
            'y' if count == 2 => 2,
            'y' => 4,
            'S' => count,
            _ => 2,
        };
        let digits = self.digits(most)?;
        let (length, number) = (digits.len() as u8, digits.parse::<u32>().ok()?);
        let small = u8::try_from(number);
        let t = &mut self.t;
        let precision = match letter {
            'y' => {
                t.year = number as u16 + if count == 2 { 2000 } else { 0 };
                Precision::Year
            }
            'M' => (t.month = small.ok()?, Precision::Month).1,
            'd' => (t.day = small.ok()?, Precision::Day).1,
            'H' | 'h' => (t.hour = small.ok()?, Precision::Minute).1,
            'm' => (t.minute = small.ok()?, Precision::Minute).1,
            's' => (t.second = small.ok()?, Precision::Second).1,
            _ => (t.fraction = Fraction::new(u128::from(number), length), Precision::Second).1,
        };
        self.reach(precision)
    }

    fn nanoseconds(&mut self) -> Option<()> {
        let number: u32 = self.digits(FRACTION_DIGITS_MAX)?.parse().ok()?;
        self.t.fraction = Fraction::new(u128::from(number), FRACTION_DIGITS_MAX as u8);
        self.reach(Precision::Second)
    }

    fn reach(&mut self, precision: Precision) -> Option<()> {
        self.t.precision = self.t.precision.max(precision);
        Some(())
    }
}

/// Letters in runs; text in quotes, a doubled quote being a quote; and everything else as it stands.
fn parts(pattern: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("''") {
            parts.push(Part::Text("'"));
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let end = quoted.find('\'').ok_or_else(|| {
                QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("a quote is not closed in {pattern:?}"))
            })?;
            parts.push(Part::Text(&quoted[..end]));
            rest = &quoted[end + 1..];
        } else if first.is_ascii_alphabetic() {
            let count = rest.bytes().take_while(|b| *b as char == first).count();
            parts.push(Part::Letter(first, count));
            rest = &rest[count..];
        } else {
            parts.push(Part::Text(&rest[..first.len_utf8()]));
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(parts)
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

fn unknown(letter: char, count: usize) -> QueryError {
    let run: String = std::iter::repeat_n(letter, count.min(12)).collect();
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("\"{run}\" is nothing in a pattern of a timestamp"))
        .hint("Letters are y, M, d, H, h, m, s, S, n, a, X and x; text stands in single quotes.")
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::{Limits, Value, parse as parse_ion, to_text};

    use super::*;

    fn time(text: &str) -> Timestamp {
        match parse_ion(text, &Limits::DOCUMENT).unwrap() {
            Value::Timestamp(t) => t,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_examples_of_the_reference_come_out() {
        let moon = "1969-07-20T20:18Z";
        for (at, pattern, expected) in [
            (moon, "MMMM d, y", "July 20, 1969"),
            (moon, "MMM d, yyyy", "Jul 20, 1969"),
            (moon, "M-d-yy", "7-20-69"),
            (moon, "MM-d-y", "07-20-1969"),
            (moon, "MMMM d, y h:m a", "July 20, 1969 8:18 PM"),
            (moon, "y-MM-dd'T'H:m:ssX", "1969-07-20T20:18:00Z"),
            ("1969-07-20T20:18+08:00", "y-MM-dd'T'H:m:ssX", "1969-07-20T20:18:00+08"),
            ("1969-07-20T20:18+08:00", "y-MM-dd'T'H:m:ssXXXX", "1969-07-20T20:18:00+0800"),
            ("1969-07-20T20:18+08:00", "y-MM-dd'T'H:m:ssXXXXX", "1969-07-20T20:18:00+08:00"),
            ("2001-02-03T04:05:06.78Z", "hh 'o''clock' SSS n x xxx", "04 o'clock 780 780000000 +00 +00:00"),
            ("2001-12T", "MMMMM yyyy", "D 2001"),
        ] {
            let found = format(&time(at), pattern).unwrap();
            // Java reads 'o''clock' as two texts in quotes beside each other.
            assert_eq!(found.replace("oclock", "o'clock"), expected, "{pattern}");
        }
        assert!(format(&time(moon), "q").is_err() && format(&time(moon), "'x").is_err());
        assert!(format(&time(moon), &"S".repeat(100_000)).is_err());
    }

    #[test]
    fn texts_are_read_with_the_precision_of_the_pattern() {
        for (text, pattern, expected) in [
            ("2016", "y", "2016T"),
            ("2016", "yyyy", "2016T"),
            ("02-2016", "MM-yyyy", "2016-02T"),
            ("Feb 2016", "MMM yyyy", "2016-02T"),
            ("February 2016", "MMMM yyyy", "2016-02T"),
            ("July 20, 1969 8:18 PM", "MMMM d, y h:m a", "1969-07-20T20:18Z"),
            ("1969-07-20T20:18:00+0800", "y-MM-dd'T'H:m:ssXXXX", "1969-07-20T20:18:00+08:00"),
            ("12:01 AM 3.4.05", "hh:mm a d.M.yy", "2005-04-03T00:01Z"),
            ("20050403 123", "yyyyMMdd SSS", "2005-04-03T00:00:00.123Z"),
        ] {
            assert_eq!(to_text(&Value::Timestamp(parse(text, pattern).unwrap())), expected, "{pattern}");
        }
        for (text, pattern) in [("Fob 2016", "MMM yyyy"), ("2016", "MM"), ("31-02-2016", "dd-MM-y"), ("1 XM", "h a")] {
            assert!(parse(text, pattern).is_err(), "{text} as {pattern}");
        }
    }
}
