//! Times with fewer than six digits of a second: `timestamp(3)` and its kin (PostgreSQL's documentation, 8.5.1).

use ledgerstone_digest::ion::Value;

use super::datetime::{self, Interval};
use super::time_of_day;
use crate::error::Result;
use crate::types::SqlType;

/// Digits there are without a precision.
pub const DIGITS_MAX: u8 = 6;

/// From where PostgreSQL counts: halves are rounded away from it.
const EPOCH_2000_MICROS: i64 = 10_957 * datetime::MICROS_PER_DAY;

/// A value of this type, in a statement or as it stands in a document, rounded to so many digits of its seconds. What is of
/// another type comes back as it is.
pub fn rounded(value: Value, ty: &SqlType, digits: u8) -> Result<Value> {
    let of_interval = |interval: Interval| -> Result<Interval> {
        Ok(Interval { micros: round(interval.micros, digits).ok_or_else(datetime::interval_overflow)?, ..interval })
    };
    Ok(match (ty, &value) {
        (SqlType::Timestamp | SqlType::TimestampTz, Value::Timestamp(t)) => {
            let micros = datetime::to_micros(t);
            let round = round(micros.saturating_sub(EPOCH_2000_MICROS), digits).map(|m| m + EPOCH_2000_MICROS);
            match round.ok_or_else(datetime::timestamp_overflow)? {
                same if same == micros => value,
                other => Value::Timestamp(datetime::from_micros(other, *ty == SqlType::TimestampTz)?),
            }
        }
        (SqlType::Time, Value::String(text)) => {
            let micros = time_of_day::micros_of(text)?;
            Value::string(time_of_day::format(round(micros, digits).unwrap_or(micros)))
        }
        (SqlType::Interval, Value::String(text)) => match datetime::parse_interval(text)? {
            Some(interval) => Value::string(super::datetime_text::format_interval(of_interval(interval)?)),
            None => value,
        },
        (SqlType::Interval, other) => match Interval::from_value(other) {
            Some(interval) => of_interval(interval)?.to_value(),
            None => value,
        },
        _ => value,
    })
}

/// Halves go away from zero. `None`: there is no such number.
fn round(micros: i64, digits: u8) -> Option<i64> {
    let step = 10_i64.pow(u32::from(DIGITS_MAX.saturating_sub(digits)));
    let size = micros.checked_abs()?.checked_add(step / 2)? / step * step;
    Some(if micros < 0 { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::text;

    #[test]
    fn halves_are_rounded_away_from_where_counting_begins() {
        for (ty, digits, given, expected) in [
            (SqlType::Timestamp, 0, "2020-01-01 00:00:00.5", "2020-01-01 00:00:01"),
            (SqlType::Timestamp, 0, "1999-12-31 23:59:58.5", "1999-12-31 23:59:58"),
            (SqlType::Timestamp, 3, "2020-01-01 00:00:00.123456", "2020-01-01 00:00:00.123"),
            (SqlType::TimestampTz, 5, "2020-12-31 23:59:59.999996+00", "2021-01-01 00:00:00+00"),
            (SqlType::Time, 1, "10:11:12.05", "10:11:12.1"),
            (SqlType::Time, 0, "23:59:59.5", "24:00:00"),
            (SqlType::Interval, 0, "-1.5 sec", "-00:00:02"),
            (SqlType::Interval, 2, "1 day 0.005 sec", "1 day 00:00:00.01"),
        ] {
            let value = rounded(text::parse(given, &ty, 0).unwrap(), &ty, digits).unwrap();
            assert_eq!(text::format(&value, &ty), expected, "{given}");
        }
    }

    #[test]
    fn what_is_round_already_stays_as_it_is_written() {
        let given = text::parse("2020-01-01 00:00:00.120", &SqlType::Timestamp, 0).unwrap();
        assert_eq!(rounded(given.clone(), &SqlType::Timestamp, 2).unwrap(), given);
    }

    #[test]
    fn the_last_second_there_is_cannot_be_rounded_up() {
        let last = text::parse("9999-12-31 23:59:59.9", &SqlType::Timestamp, 0).unwrap();
        assert!(rounded(last, &SqlType::Timestamp, 0).is_err());
        assert_eq!(round(i64::MAX, 0), None);
        assert_eq!(round(i64::MIN, 0), None);
    }
}
