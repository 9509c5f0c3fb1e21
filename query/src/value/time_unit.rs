//! The parts of times and intervals by PostgreSQL's names: what `extract` takes out, and what `date_trunc` leaves.

use super::datetime::{Interval, MICROS_PER_DAY, civil_from_days, days_from_civil};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;

/// A number with so many digits behind the point.
pub type Decimal = (i128, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    /// The day of the week from Sunday, 0, and from Monday, 1.
    Dow,
    Isodow,
    Doy,
    Isoyear,
    Julian,
    Epoch,
    Timezone,
}

impl Unit {
    /// The unit of a name in any case. Of long names ten characters count.
    pub fn named(name: &str) -> Option<Unit> {
        let mut name = name.to_ascii_lowercase();
        if name.is_ascii() {
            name.truncate(10);
        }
        Some(match name.as_str() {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Unit::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Unit::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "qtr" | "quarter" => Unit::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennium" | "millennia" => Unit::Millennium,
            "dow" => Unit::Dow,
            "isodow" => Unit::Isodow,
            "doy" => Unit::Doy,
            "isoyear" => Unit::Isoyear,
            "j" | "jd" | "julian" => Unit::Julian,
            "epoch" => Unit::Epoch,
            // All offsets are 0.
            "timezone" | "timezone_h" | "timezone_m" => Unit::Timezone,
            _ => return None,
        })
    }

    /// It is smaller than a day, and a date has none of it.
    pub fn is_of_day(self) -> bool {
        matches!(self, Unit::Microsecond | Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour)
    }

    /// A span of time, which others than [`Unit::Dow`] and its kin are.
    pub fn is_span(self) -> bool {
        use Unit::{Dow, Doy, Epoch, Isodow, Isoyear, Julian};
        !matches!(self, Dow | Isodow | Doy | Isoyear | Julian | Epoch)
    }

    /// The start of the unit that a time, in microseconds since 1970, is in; `None` if it has no start.
    pub fn truncate(self, micros: i64) -> Option<i64> {
        let days = micros.div_euclid(MICROS_PER_DAY);
        let (year, month, _) = civil_from_days(days);
        let start = |y: i64, m: i64| days_from_civil(y, m, 1) * MICROS_PER_DAY;
        let to = |unit: i64| micros - micros.rem_euclid(unit);
        Some(match self {
            Unit::Microsecond => micros,
            Unit::Millisecond => to(1000),
            Unit::Second => to(MICROS_PER_SECOND),
            Unit::Minute => to(MICROS_PER_MINUTE),
            Unit::Hour => to(MICROS_PER_HOUR),
            Unit::Day => to(MICROS_PER_DAY),
            Unit::Week => (days - (days + 3).rem_euclid(7)) * MICROS_PER_DAY,
            Unit::Month => start(year, month),
            Unit::Quarter => start(year, (month - 1) / 3 * 3 + 1),
            Unit::Year => start(year, 1),
            Unit::Decade => start(year.div_euclid(10) * 10, 1),
            Unit::Century => start((year - 1).div_euclid(100) * 100 + 1, 1),
            Unit::Millennium => start((year - 1).div_euclid(1000) * 1000 + 1, 1),
            _ => return None,
        })
    }

    /// The longest that it lasts, if it is often asked for; so much after the start of one lies in the next.
    #[cfg(feature = "analytics")]
    pub fn longest_micros(self) -> Option<i64> {
        Some(match self {
            Unit::Hour => MICROS_PER_HOUR,
            Unit::Day => MICROS_PER_DAY,
            Unit::Week => 7 * MICROS_PER_DAY,
            Unit::Month => 31 * MICROS_PER_DAY,
            Unit::Quarter => 92 * MICROS_PER_DAY,
            Unit::Year => 366 * MICROS_PER_DAY,
            _ => return None,
        })
    }

    /// Its part of a time in microseconds since 1970.
    pub fn extract(self, micros: i64) -> Decimal {
        let days = micros.div_euclid(MICROS_PER_DAY);
        let of_day = micros.rem_euclid(MICROS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let of_minute = of_day % MICROS_PER_MINUTE;
        let whole = match self {
            Unit::Microsecond => of_minute,
            Unit::Millisecond => return (i128::from(of_minute), 3),
            Unit::Second => return (i128::from(of_minute), 6),
            Unit::Minute => of_day / MICROS_PER_MINUTE % 60,
            Unit::Hour => of_day / MICROS_PER_HOUR,
            Unit::Day => day,
            Unit::Dow => (days + 4).rem_euclid(7),
            Unit::Isodow => (days + 3).rem_euclid(7) + 1,
            Unit::Doy => days - days_from_civil(year, 1, 1) + 1,
            Unit::Week => iso_week(days).1,
            Unit::Isoyear => iso_week(days).0,
            Unit::Month => month,
            Unit::Quarter => (month - 1) / 3 + 1,
            Unit::Year => year,
            Unit::Decade => year.div_euclid(10),
            Unit::Century => (year - 1).div_euclid(100) + 1,
            Unit::Millennium => (year - 1).div_euclid(1000) + 1,
            Unit::Epoch => return (i128::from(micros), 6),
            Unit::Julian => days + 2_440_588,
            Unit::Timezone => 0,
        };
        (i128::from(whole), 0)
    }

    /// Its part of an interval; `None` if intervals have none of it.
    pub fn extract_interval(self, i: Interval) -> Option<Decimal> {
        let of_minute = i.micros % MICROS_PER_MINUTE;
        let years = i64::from(i.months / 12);
        let whole = match self {
            Unit::Microsecond => of_minute,
            Unit::Millisecond => return Some((i128::from(of_minute), 3)),
            Unit::Second => return Some((i128::from(of_minute), 6)),
            Unit::Minute => i.micros / MICROS_PER_MINUTE % 60,
            Unit::Hour => i.micros / MICROS_PER_HOUR,
            Unit::Day => i64::from(i.days),
            Unit::Month => i64::from(i.months % 12),
            Unit::Quarter => i64::from(i.months % 12 / 3) + 1,
            Unit::Year => years,
            Unit::Decade => years / 10,
            Unit::Century => years / 100,
            Unit::Millennium => years / 1000,
            Unit::Epoch => {
                let years = i128::from(years) * 31_557_600 + i128::from(i.months % 12) * 2_592_000;
                return Some(((years + i128::from(i.days) * 86_400) * 1_000_000 + i128::from(i.micros), 6));
            }
            _ => return None,
        };
        Some((i128::from(whole), 0))
    }

    /// An interval without what is smaller; `None` if intervals have none of it.
    pub fn truncate_interval(self, i: Interval) -> Option<Interval> {
        let months = |unit: i32| Interval { months: i.months - i.months % unit, days: 0, micros: 0 };
        let micros = |unit: i64| Interval { micros: i.micros - i.micros % unit, ..i };
        Some(match self {
            Unit::Microsecond => i,
            Unit::Millisecond => micros(1000),
            Unit::Second => micros(MICROS_PER_SECOND),
            Unit::Minute => micros(MICROS_PER_MINUTE),
            Unit::Hour => micros(MICROS_PER_HOUR),
            Unit::Day => Interval { micros: 0, ..i },
            Unit::Month => months(1),
            Unit::Quarter => months(3),
            Unit::Year => months(12),
            Unit::Decade => months(120),
            Unit::Century => months(1_200),
            Unit::Millennium => months(12_000),
            _ => return None,
        })
    }
}

/// ISO's year and week that a day, since 1970, is in.
fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}
