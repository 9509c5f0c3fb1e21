//! Days as numbers and weeks of ISO 8601, for the years that patterns and intervals may say, which are all that an integer
//! holds: sums wrap as PostgreSQL's do, and what came out of the range of dates is refused afterwards (PostgreSQL 15
//! manual, 9.8 and appendix B.7).

/// The Julian day of a date.
pub(super) fn to_julian(year: i32, month: i32, day: i32) -> i32 {
    let (year, month) = if month > 2 {
        (year.wrapping_add(4800), month.wrapping_add(1))
    } else {
        (year.wrapping_add(4799), month.wrapping_add(13))
    };
    let century = year / 100;
    year.wrapping_mul(365)
        .wrapping_sub(32_167)
        .wrapping_add(year / 4 - century + century / 4)
        .wrapping_add(month.wrapping_mul(7834) / 256)
        .wrapping_add(day)
}

/// The year, month and day of a Julian day.
pub(super) fn from_julian(julian: i32) -> (i32, i32, i32) {
    let mut rest = (julian as u32).wrapping_add(32_044);
    let quad = rest / 146_097;
    let extra = (rest - quad * 146_097) * 4 + 3;
    rest = rest.wrapping_add(60 + quad * 3 + extra / 146_097);
    let quad = rest / 1461;
    rest -= quad * 1461;
    let years = rest * 4 / 1461;
    rest = if years != 0 { (rest + 305) % 365 } else { (rest + 306) % 366 } + 123;
    let year = (years + quad * 4) as i32 - 4800;
    let quad = rest * 2141 / 65_536;
    (year, ((quad + 10) % 12 + 1) as i32, (rest - 7834 * quad / 256) as i32)
}

/// From Monday to a day of that week; January 4 is in the first week of every year.
fn days_before(day4: i32) -> i32 {
    day4.wrapping_rem(7).rem_euclid(7)
}

/// The Julian day of the Monday of a week of ISO 8601.
pub(super) fn iso_week_start(year: i32, week: i32) -> i32 {
    let day4 = to_julian(year, 1, 4);
    week.wrapping_sub(1).wrapping_mul(7).wrapping_add(day4.wrapping_sub(days_before(day4)))
}

/// The year and the number of the week that a date is in.
pub(super) fn iso_week(year: i32, month: i32, day: i32) -> (i32, i32) {
    let day = to_julian(year, month, day);
    let weeks_since = |start: i32| day.wrapping_sub(start) / 7 + 1;
    let mut year = year;
    let mut start = iso_week_start(year, 1);
    if day < start {
        year = year.wrapping_sub(1);
        start = iso_week_start(year, 1);
    }
    let week = weeks_since(start);
    if week >= 52 {
        let next = iso_week_start(year.wrapping_add(1), 1);
        if day >= next {
            return (year.wrapping_add(1), weeks_since(next));
        }
    }
    (year, week)
}

/// The day of the year of ISO weeks, from 1.
pub(super) fn iso_day_of_year(year: i32, month: i32, day: i32) -> i32 {
    let (iso_year, _) = iso_week(year, month, day);
    to_julian(year, month, day).wrapping_sub(iso_week_start(iso_year, 1)).wrapping_add(1)
}

pub(super) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::datetime::{civil_from_days, days_from_civil};

    #[test]
    fn julian_days_are_those_of_the_calendar() {
        for days in (-719_162..2_932_896).step_by(367) {
            let (year, month, day) = civil_from_days(days);
            let (year, month, day) = (year as i32, month as i32, day as i32);
            // 1970-01-01 is day 2,440,588.
            assert_eq!(i64::from(to_julian(year, month, day)), days + 2_440_588);
            assert_eq!(from_julian(to_julian(year, month, day)), (year, month, day));
        }
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        for (date, week) in [((2005, 1, 1), (2004, 53)), ((2006, 1, 1), (2005, 52)), ((2008, 12, 29), (2009, 1))] {
            assert_eq!(iso_week(date.0, date.1, date.2), week);
        }
    }
}
