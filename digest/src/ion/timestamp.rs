//! Timestamps: validation, and the way to and from UTC (Ion 1.0 specification, "Timestamps").

use super::{Fraction, Precision, Timestamp, TimestampError};

/// Fraction digits that fit the coefficient.
const FRACTION_DIGITS_MAX: u8 = 38;
const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// Day precision: `2020-05-04T`.
    pub fn date(year: u16, month: u8, day: u8) -> Result<Self, TimestampError> {
        Timestamp { month, day, precision: Precision::Day, ..Timestamp::first_of(year) }.validated()
    }

    /// Milliseconds since 1970 in UTC: exactly three fraction digits and offset `Z`, as all native times have.
    pub fn from_epoch_ms(ms: i64) -> Result<Self, TimestampError> {
        let fraction = Fraction::new(ms.rem_euclid(1000) as u128, 3);
        Timestamp::from_epoch_seconds(ms.div_euclid(1000), fraction)
    }

    /// Microseconds since 1970 in UTC: six fraction digits and offset `Z`.
    pub fn from_epoch_micros(micros: i64) -> Result<Self, TimestampError> {
        let fraction = Fraction::new(micros.rem_euclid(1_000_000) as u128, 6);
        Timestamp::from_epoch_seconds(micros.div_euclid(1_000_000), fraction)
    }

    /// Seconds since 1970 in UTC and a fraction; offset `Z`.
    pub fn from_epoch_seconds(seconds: i64, fraction: Fraction) -> Result<Self, TimestampError> {
        let (days, in_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days).ok_or_else(|| out_of_range("year"))?;
        let timestamp = Timestamp {
            year,
            month,
            day,
            hour: (in_day / 3600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
            fraction,
            precision: Precision::Second,
            offset_minutes: Some(0),
        };
        timestamp.validated()
    }

    /// Seconds from 1970 in UTC to the first instant that this timestamp covers, without its fraction.
    pub fn epoch_seconds(&self) -> i64 {
        let days = days_from_civil(i64::from(self.year), i64::from(self.month), i64::from(self.day));
        let local = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days * 86_400 + local - i64::from(self.offset_minutes.unwrap_or(0)) * 60
    }

    /// Milliseconds since 1970 in UTC; further fraction digits are cut off.
    pub fn epoch_ms(&self) -> i64 {
        self.epoch_seconds() * 1000 + self.fraction_scaled(3)
    }

    /// Microseconds since 1970 in UTC; further fraction digits are cut off.
    pub fn epoch_micros(&self) -> i64 {
        self.epoch_seconds() * 1_000_000 + self.fraction_scaled(6)
    }

    /// Exactly three fraction digits and offset `Z`: the form of every native time that is hashed.
    pub fn is_native(&self) -> bool {
        self.precision == Precision::Second && self.fraction.digits() == 3 && self.offset_minutes == Some(0)
    }

    /// The same instant, precision and fraction written at another offset (unchanged if only a date is known).
    pub fn at_offset(&self, offset_minutes: Option<i16>) -> Result<Self, TimestampError> {
        if self.precision < Precision::Minute {
            return Ok(self.clone());
        }
        let local = self.epoch_seconds() + i64::from(offset_minutes.unwrap_or(0)) * 60;
        let moved = Timestamp::from_epoch_seconds(local, Fraction::NONE)?;
        let (fraction, precision) = (self.fraction, self.precision);
        Timestamp { fraction, precision, offset_minutes, ..moved }.validated()
    }

    /// The timestamp itself if it is valid.
    pub fn validated(self) -> Result<Self, TimestampError> {
        self.validate()?;
        Ok(self)
    }

    /// Whether every field is in its range, the fields beyond the precision are at their lowest, and the instant in
    /// UTC lies within the years 1 to 9999, which is all that Ion can write.
    pub fn validate(&self) -> Result<(), TimestampError> {
        let check = |ok: bool, what: &str| if ok { Ok(()) } else { Err(out_of_range(what)) };
        check((1..=9999).contains(&self.year), "year")?;
        check((1..=12).contains(&self.month), "month")?;
        check(self.day >= 1 && self.day <= days_in_month(self.year, self.month), "day")?;
        check(self.hour <= 23, "hour")?;
        check(self.minute <= 59, "minute")?;
        check(self.second <= 59, "second")?;
        let (coefficient, digits) = self.fraction.parts();
        check(digits <= FRACTION_DIGITS_MAX, "number of fraction digits")?;
        check(coefficient < 10u128.pow(u32::from(digits)), "fraction")?;
        if let Some(offset) = self.offset_minutes {
            check((-1439..=1439).contains(&offset), "offset")?;
        }
        let lowest = match self.precision {
            Precision::Year => self.month == 1 && self.day == 1,
            Precision::Month => self.day == 1,
            _ => true,
        };
        let no_time = self.hour == 0 && self.minute == 0 && self.offset_minutes.is_none();
        check(lowest && (self.precision >= Precision::Minute || no_time), "field beyond the precision")?;
        let no_second = self.second == 0 && digits == 0;
        check(self.precision == Precision::Second || no_second, "field beyond the precision")?;
        check((1..=9999).contains(&self.utc_year()), "year in UTC")
    }

    /// Year, month, day, hour and minute in UTC, as the binary form and the hash carry them.
    pub(super) fn utc_fields(&self) -> (u16, u8, u8, u8, u8) {
        if self.offset_minutes.unwrap_or(0) == 0 {
            return (self.year, self.month, self.day, self.hour, self.minute);
        }
        let seconds = self.epoch_seconds();
        let (days, in_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days).unwrap_or((0, 1, 1));
        (year, month, day, (in_day / 3600) as u8, (in_day / 60 % 60) as u8)
    }

    /// The first instant of a year, at year precision.
    pub fn first_of(year: u16) -> Self {
        Timestamp {
            year,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            fraction: Fraction::NONE,
            precision: Precision::Year,
            offset_minutes: None,
        }
    }

    fn utc_year(&self) -> i64 {
        let days = self.epoch_seconds().div_euclid(DAY_MS / 1000);
        civil_from_days(days).map_or(0, |(year, ..)| i64::from(year))
    }

    fn fraction_scaled(&self, digits: u8) -> i64 {
        let (coefficient, have) = self.fraction.parts();
        let scaled = if have > digits {
            coefficient / 10u128.pow(u32::from((have - digits).min(FRACTION_DIGITS_MAX)))
        } else {
            coefficient.saturating_mul(10u128.pow(u32::from(digits - have)))
        };
        i64::try_from(scaled).unwrap_or(0)
    }
}

fn out_of_range(what: &str) -> TimestampError {
    TimestampError(format!("{what} out of range"))
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap day is
/// the last day of a year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse; `None` outside the years that `u16` holds.
fn civil_from_days(days: i64) -> Option<(u16, u8, u8)> {
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Some((u16::try_from(year).ok()?, month as u8, day as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_calendar_comes_back() {
        let mut expected = days_from_civil(1, 1, 1);
        for year in 1..=9999u16 {
            for month in 1..=12u8 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_civil(i64::from(year), i64::from(month), i64::from(day)), expected);
                    assert_eq!(civil_from_days(expected), Some((year, month, day)));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn native_times_have_three_digits_and_offset_z() {
        let t = Timestamp::from_epoch_ms(1_704_164_645_678).unwrap();
        assert!(t.is_native());
        assert_eq!((t.year, t.month, t.day, t.hour, t.minute, t.second), (2024, 1, 2, 3, 4, 5));
        assert_eq!(t.fraction.parts(), (678, 3));
        for ms in [-62_135_596_800_000, -1, 0, 999, 253_402_300_799_999] {
            assert_eq!(Timestamp::from_epoch_ms(ms).unwrap().epoch_ms(), ms);
        }
        assert!(Timestamp::from_epoch_ms(253_402_300_800_000).is_err());
        assert!(Timestamp::from_epoch_ms(i64::MIN).is_err());
        assert!(Timestamp::from_epoch_ms(i64::MAX).is_err());
    }

    #[test]
    fn offset_moves_the_fields_and_not_the_instant() {
        let t = Timestamp::from_epoch_ms(0).unwrap();
        let east = t.at_offset(Some(150)).unwrap();
        assert_eq!((east.hour, east.minute, east.epoch_ms()), (2, 30, 0));
        let west = t.at_offset(Some(-1)).unwrap();
        assert_eq!((west.year, west.day, west.minute, west.epoch_ms()), (1969, 31, 59, 0));
    }

    #[test]
    fn impossible_dates_are_refused() {
        assert!(Timestamp::date(2023, 2, 29).is_err());
        assert!(Timestamp::date(2000, 2, 29).is_ok());
        assert!(Timestamp::date(1900, 2, 29).is_err());
        assert!(Timestamp::date(0, 1, 1).is_err());
        let edge = Timestamp { precision: Precision::Minute, offset_minutes: Some(1), ..Timestamp::first_of(1) };
        assert!(edge.validate().is_err(), "its instant lies in year 0");
    }
}
