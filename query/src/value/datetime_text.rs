//! How dates, timestamps, times and intervals are written: PostgreSQL's ISO output and its `postgres` interval style. What
//! reads such texts is in [`super::datetime`].

use ledgerstone_digest::ion::Timestamp;

use super::datetime::{Interval, MICROS_PER_DAY, civil_from_days};

/// `2020-01-02`
pub fn format_date(t: &Timestamp) -> String {
    format!("{:04}-{:02}-{:02}", t.year, t.month.max(1), t.day.max(1))
}

/// `2020-01-02 03:04:05.67`, with `+00` if zoned. Every row of a history has one, so its digits are put one by one, without
/// the general formatting of six numbers.
pub fn format_timestamp(micros: i64, zoned: bool) -> String {
    let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    let mut text = String::with_capacity(32);
    match u64::try_from(year) {
        Ok(year @ 0..=9999) => put_digits(&mut text, year, 4),
        _ => text.push_str(&format!("{year:04}")),
    }
    for part in [month, day] {
        text.push('-');
        put_digits(&mut text, part.unsigned_abs(), 2);
    }
    text.push(' ');
    put_time(&mut text, micros.rem_euclid(MICROS_PER_DAY).unsigned_abs());
    if zoned {
        text.push_str("+00");
    }
    text
}

/// `03:04:05.67`; hours may be more than a day has.
pub(crate) fn format_time(micros: u64) -> String {
    let mut text = String::with_capacity(16);
    put_time(&mut text, micros);
    text
}

fn put_time(text: &mut String, micros: u64) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    match seconds / 3600 {
        hours @ 0..=99 => put_digits(text, hours, 2),
        hours => text.push_str(&hours.to_string()),
    }
    for part in [seconds / 60 % 60, seconds % 60] {
        text.push(':');
        put_digits(text, part, 2);
    }
    if fraction != 0 {
        text.push('.');
        put_digits(text, fraction, 6);
        text.truncate(text.trim_end_matches('0').len());
    }
}

/// The last digits of a number, so many, zeros before it included.
fn put_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        text.push(char::from(b'0' + (number / 10_u64.pow(place) % 10) as u8));
    }
}

/// `1 year 2 mons 3 days 04:05:06`.
pub fn format_interval(i: Interval) -> String {
    let mut parts: Vec<String> = Vec::new();
    // A part after a negative one shows its sign.
    let mut before_negative = false;
    for (amount, unit) in [(i.months / 12, "year"), (i.months % 12, "mon"), (i.days, "day")] {
        if amount != 0 {
            let sign = if before_negative && amount > 0 { "+" } else { "" };
            parts.push(format!("{sign}{amount} {unit}{}", if amount == 1 { "" } else { "s" }));
            before_negative = amount < 0;
        }
    }
    if i.micros != 0 || parts.is_empty() {
        let sign = match i.micros < 0 {
            true => "-",
            false if before_negative => "+",
            false => "",
        };
        let time = format_time(i.micros.unsigned_abs());
        parts.push(format!("{sign}{time}"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_numbers_are_formatted() {
        let expected = |micros: i64| {
            let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
            let rest = micros.rem_euclid(MICROS_PER_DAY);
            let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
            let fraction = format!(".{fraction:06}");
            let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
            let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}{fraction}")
        };
        let mut micros = 1_i64;
        for n in 0..20_000_i64 {
            micros = micros.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // From all years that there can be to a few around today, and times with few digits.
            let some = micros >> (n % 24) as u32;
            for some in [some, some - some % 1000, some - some % 1_000_000, n - 10_000] {
                assert_eq!(format_timestamp(some, false), expected(some), "{some}");
                assert_eq!(format_timestamp(some, true), expected(some) + "+00", "{some}");
            }
        }
        assert_eq!(format_time(0), "00:00:00");
        assert_eq!(format_time(u64::MAX), "5124095576:01:49.551615");
    }
}
