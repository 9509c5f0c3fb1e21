//! The type `time`: a time of the day without a date (PostgreSQL's documentation, 8.5.1.2).
//!
//! Ion has no such value. It stands in documents as the text PostgreSQL shows, `04:05:06.78`: two digits each, and the
//! microseconds without zeros at the end, so that texts have the order of the times.

use super::datetime::{self, MICROS_PER_DAY, ParseError};
use crate::error::{QueryError, Result, SqlState};

/// What a day begins with, for the parser of dates and times.
const SOME_DAY: &str = "2000-01-01";
const SOME_DAY_DAYS: i64 = 10_957;

/// Reads `04:05`, `04:05:06.789` and the like, up to `24:00:00`.
pub fn parse(text: &str) -> Result<i64> {
    let text = text.trim();
    let error = |error: ParseError| error.into_query_error("time", text);
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.len() > 64 {
        return Err(error(ParseError::Syntax));
    }
    if text == "24:00" || text == "24:00:00" {
        return Ok(MICROS_PER_DAY);
    }
    // A date before the time is passed over, as in PostgreSQL.
    if !text.contains(':') {
        return Err(error(ParseError::Syntax));
    }
    let with_date = text.contains('-');
    let parsed = if with_date { datetime::parse(text, 0) } else { datetime::parse(&format!("{SOME_DAY} {text}"), 0) };
    let parsed = parsed.map_err(error)?;
    if with_date {
        return Ok(parsed.micros.rem_euclid(MICROS_PER_DAY));
    }
    let micros = parsed.micros - SOME_DAY_DAYS * MICROS_PER_DAY;
    if (0..MICROS_PER_DAY).contains(&micros) { Ok(micros) } else { Err(error(ParseError::Field)) }
}

/// The text of so many microseconds after midnight, at most a day.
pub fn format(micros: i64) -> String {
    datetime::format_time(micros.clamp(0, MICROS_PER_DAY).unsigned_abs())
}

/// Microseconds after midnight of a text that [`format`] has made.
pub fn micros_of(text: &str) -> Result<i64> {
    parse(text).map_err(|_| QueryError::new(SqlState::DATATYPE_MISMATCH, format!("\"{text}\" is no time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_order_of_the_times() {
        let texts =
            ["00:00", "00:00:00.000001", "00:00:00.1", "9:59", "09:59:59.999999", "10:00", "23:59:59.9", "24:00"];
        let micros: Vec<i64> = texts.iter().map(|text| parse(text).unwrap()).collect();
        let shown: Vec<String> = micros.iter().map(|micros| format(*micros)).collect();
        assert!(micros.is_sorted() && shown.is_sorted(), "{shown:?}");
        for (micros, shown) in micros.iter().zip(&shown) {
            assert_eq!(micros_of(shown).unwrap(), *micros);
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_its_kind() {
        for (text, code) in [
            ("25:00", "22008"),
            ("10:60", "22008"),
            ("x", "22007"),
            ("", "22007"),
            ("10", "22007"),
            ("10:00x", "22007"),
        ] {
            assert_eq!(parse(text).unwrap_err().code.as_str(), code, "{text}");
        }
    }
}
