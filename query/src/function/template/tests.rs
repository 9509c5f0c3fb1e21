//! Patterns of every kind, and what happens to those that make no sense.

use super::*;
use crate::error::{QueryError, SqlState};

/// A small generator of numbers (xorshift), from a seed that a failure prints.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn join(&mut self, of: &[&str], most: usize) -> String {
        (0..self.below(most)).map(|_| self.pick(of)).collect()
    }
}

const DATE_WORDS: &[&str] = &[
    "YYYY",
    "Y,YYY",
    "YY",
    "Y",
    "IYYY",
    "I",
    "MM",
    "Month",
    "MON",
    "mon",
    "DD",
    "DDD",
    "IDDD",
    "D",
    "ID",
    "Day",
    "dy",
    "HH24",
    "HH12",
    "MI",
    "SS",
    "MS",
    "US",
    "FF3",
    "FF6",
    "SSSS",
    "AM",
    "p.m.",
    "AD",
    "b.c.",
    "CC",
    "J",
    "Q",
    "WW",
    "W",
    "IW",
    "RM",
    "rm",
    "TZ",
    "TZH",
    "TZM",
    "OF",
    "TH",
    "th",
    "FM",
    "TM",
    "FX",
    "SP",
    " ",
    "-",
    "/",
    ",",
    ".",
    "\"",
    "\\",
    "\\\"",
    "x",
    "é",
    "日本",
    "\u{1F600}",
    "0",
    "9",
];

const NUMBER_WORDS: &[&str] = &[
    "9",
    "9",
    "9",
    "0",
    "0",
    ".",
    "D",
    ",",
    "G",
    "S",
    "MI",
    "PL",
    "SG",
    "PR",
    "RN",
    "rn",
    "TH",
    "th",
    "V",
    "EEEE",
    "FM",
    "L",
    "B",
    "C",
    "\"",
    "\\",
    " ",
    "x",
    "é",
    "日本",
    "\u{1F600}",
];

const TEXTS: &[&str] = &[
    "2020",
    "1",
    "12",
    "31",
    "-",
    "/",
    ":",
    " ",
    "  ",
    "Jan",
    "january",
    "Mon",
    "monday",
    "PM",
    "A.M.",
    "BC",
    "xii",
    "0",
    "99999999999999999999",
    "+",
    "-5",
    ".",
    ",",
    "<",
    ">",
    "é",
    "日本",
    "\u{1F600}",
    "th",
    "123.456",
    "x",
    "%",
];

fn typed(seed: u64, what: &str, answer: Result<(), QueryError>) {
    if let Err(error) = answer {
        assert!(error.code.as_str().len() == 5 && error.code != SqlState::INTERNAL, "{seed}: {what}: {error:?}");
    }
}

#[test]
fn any_pattern_and_any_value_have_an_answer_or_a_typed_error() {
    for seed in 1..8_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let pattern = random.join(DATE_WORDS, 8);
        let text = random.join(TEXTS, 9);
        let numeric_pattern = random.join(NUMBER_WORDS, 10);
        let edge = [i64::MIN, i64::MAX, -62_135_596_800_000_000, 253_402_300_799_999_999, 0, random.0 as i64];
        let micros = edge[random.below(edge.len())];
        let interval = Interval {
            months: [i32::MIN, i32::MAX, 0, -13, random.0 as i32][random.below(5)],
            days: [i32::MIN, i32::MAX, 0, 5][random.below(4)],
            micros,
        };
        let shown = format!("{pattern:?} {numeric_pattern:?} {text:?} {micros} {interval:?}");
        typed(seed, &shown, Moment::of_interval(interval).format(&pattern).map(drop));
        typed(seed, &shown, Moment::of_timestamp(micros, true).format(&pattern).map(drop));
        let date = date_in::read(&text, &pattern)
            .and_then(|read| datetime::date_from_days(read.days()).and_then(|_| read.timestamp()));
        typed(seed, &shown, date.map(drop));
        typed(seed, &shown, number_in::read(&text, &numeric_pattern).map(drop));
        let float = [f64::NAN, f64::INFINITY, f64::MIN, 5e-324, -0.0, f64::from_bits(random.0)][random.below(6)];
        let large = Num::new(num_bigint::BigInt::from(random.0 as i64), random.below(30) as u32);
        for number in [
            Number::Int4(random.0 as i32),
            Number::Int8(micros),
            Number::Float(float, 15),
            Number::Float(float, 6),
            Number::Numeric(large),
        ] {
            typed(seed, &shown, number_out::format(&number, &numeric_pattern).map(drop));
        }
    }
}

#[test]
fn long_patterns_make_long_answers_up_to_a_limit() {
    let moment = Moment::of_timestamp(0, true);
    assert_eq!(moment.format(&"J".repeat(100_000)).unwrap().len(), 700_000);
    let too_long = moment.format(&"J".repeat(3_000_000)).unwrap_err();
    assert_eq!(too_long.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
    for pattern in ["9".repeat(1 << 17), format!("9V{}", "9".repeat(1 << 17)), format!("9.{}EEEE", "9".repeat(1 << 17))]
    {
        for number in [Number::Int4(1), Number::Float(1.5, 15), Number::Numeric(Num::from_i64(1))] {
            typed(0, "long", number_out::format(&number, &pattern).map(drop));
        }
    }
}

#[test]
fn dates_are_shown_as_postgresql_shows_them() {
    let moment = Moment::of_timestamp(datetime::parse("2020-03-09 00:05:09.1", 0).unwrap().micros, true);
    for (pattern, expected) in [
        ("YYYY-MM-DD HH24:MI:SS.US", "2020-03-09 00:05:09.100000"),
        ("HH HH12 AM a.m. SSSS FF2 MS", "12 12 AM a.m. 309 10 100"),
        ("DAY|Day|dy|MONTH|Mon|rm ", "MONDAY   |Monday   |mon|MARCH    |Mar|iii  "),
        ("FMDay, FMDDth FMMonth Y,YYY", "Monday, 9th March 2,020"),
        ("TMMonth fmDDTH", "March 9TH"),
        ("IYYY-IW-ID IDDD WW W Q CC J", "2020-11-1 071 10 2 1 21 2458918"),
        ("TZ tz TZH:TZM OF FMOF AD b.c.", "UTC utc +00:00 +00 +0 AD a.d."),
        ("\"YYYY\" \\\"YYYY\\\" \"a\\\"b\" x\u{e9}", "YYYY \"2020\" a\"b x\u{e9}"),
        ("FMFMDD FX", "FM09 "),
    ] {
        assert_eq!(moment.format(pattern).unwrap(), expected, "{pattern}");
    }
}

#[test]
fn intervals_keep_their_signs_and_have_no_weekdays() {
    let interval = Interval { months: -14, days: 3, micros: -14_706_700_000 };
    let shown = Moment::of_interval(interval).format("YYYY MM DD HH24 MI SS US RM|CC").unwrap();
    assert_eq!(shown, "-0001 -02 03 -04 -05 -06 -700000 XI  |00");
    for pattern in ["Day", "Mon", "D", "TZ", "OF", "BC"] {
        let error = Moment::of_interval(interval).format(pattern).unwrap_err();
        assert_eq!(error.code, SqlState::INVALID_DATETIME, "{pattern}");
        assert!(error.hint.is_some());
    }
}

#[test]
fn texts_are_read_by_patterns_as_postgresql_reads_them() {
    for (text, pattern, expected) in [
        ("2020-05-06", "YYYY-MM-DD", "2020-05-06"),
        ("06/05/20", "DD/MM/YY", "2020-05-06"),
        ("  2020   MAY  6", "YYYY Mon DD", "2020-05-06"),
        ("2020-19-3", "IYYY-IW-ID", "2020-05-06"),
        ("2020 127", "YYYY DDD", "2020-05-06"),
        ("21 20", "CC YY", "2020-01-01"),
        ("2020-3-05", "YYYY-Q-MM", "2020-05-01"),
        ("viii 2020", "RM YYYY", "2020-08-01"),
        ("2020/05 06", "FXYYYY-MM-DD", "2020-05-06"),
        ("2020-00-00", "YYYY-MM-DD", "2020-01-01"),
    ] {
        let days = date_in::read(text, pattern).unwrap().days();
        assert_eq!(datetime::format_date(&datetime::date_from_days(days).unwrap()), expected, "{text} by {pattern}");
    }
    for (text, pattern, expected) in [
        ("2020-05-06 07:08:09.5 PM", "YYYY-MM-DD HH:MI:SS.MS AM", "2020-05-06 19:08:09.5"),
        ("2020-05-06 23:59:59.9996", "YYYY-MM-DD HH24:MI:SS.FF3", "2020-05-07 00:00:00"),
        ("2020-05-06 07:08 -05:30", "YYYY-MM-DD HH24:MI TZH:TZM", "2020-05-06 12:38:00"),
        ("20200506T070809", "YYYYMMDD\"T\"HH24MISS", "2020-05-06 07:08:09"),
    ] {
        let micros = date_in::read(text, pattern).unwrap().timestamp().unwrap();
        assert_eq!(datetime::format_timestamp(micros, false), expected, "{text} by {pattern}");
    }
}

#[test]
fn texts_that_a_pattern_cannot_read_say_why() {
    for (text, pattern, code) in [
        ("2020-13-01", "YYYY-MM-DD", "22008"),
        ("2020-02-30", "YYYY-MM-DD", "22008"),
        ("99999999999", "YYYY", "22008"),
        ("2020-01-01 +16", "YYYY-MM-DD TZH", "22009"),
        ("x", "YYYY", "22007"),
        ("2020 Foo", "YYYY Mon", "22007"),
        ("202", "YYYYMM", "22007"),
        ("2020 2021", "YYYY YYYY", "22007"),
        ("2020-01-01", "IYYY-MM-DD", "22007"),
        ("127", "DDD", "22007"),
        ("2020-01-01 13", "YYYY-MM-DD HH12", "22007"),
        ("2020 UTC", "YYYY TZ", "0A000"),
    ] {
        assert_eq!(date_in::read(text, pattern).err().map(|e| e.code.as_str()), Some(code), "{text} by {pattern}");
    }
}

#[test]
fn numbers_are_shown_as_postgresql_shows_them() {
    for (number, pattern, expected) in [
        ("1485", "9G999D99", " 1,485.00"),
        ("-0.1", "99.99", "  -.10"),
        ("-0.1", "FM9.99", "-.1"),
        ("0", "FM9.9", "0."),
        ("12", "FM9990999.9", "0012."),
        ("-485", "9999S", " 485-"),
        ("-485", "999PR", "<485>"),
        ("485", "\"Good number:\"999", "Good number: 485"),
        ("485", "RN", "        CDLXXXV"),
        ("482", "999th", " 482nd"),
        ("12.45", "99V9", " 125"),
        ("0.0004859", "9.99EEEE", " 4.86e-04"),
        ("9.96", "9.9EEEE", " 10.0e+00"),
        ("1000", "9,99", " #,##"),
        ("1485", "L9999", "  1485"),
    ] {
        let n = Number::Numeric(crate::value::numeric::parse(number).unwrap());
        assert_eq!(number_out::format(&n, pattern).unwrap(), expected, "{number} as {pattern}");
    }
    for pattern in ["9.9.9", "S9S", "9PR9", "9EEEE9", "FM9EEEE", "9V9.9", "MI9S"] {
        let error = number_out::format(&Number::Int4(1), pattern).unwrap_err();
        assert!(error.code == SqlState::SYNTAX_ERROR && error.hint.is_some(), "{pattern}");
    }
}

#[test]
fn texts_are_read_as_numbers_by_patterns() {
    for (text, pattern, expected) in [
        ("12,454.8-", "99G999D9S", "-12454.8"),
        ("<564646.654564>", "999999.999999PR", "-564646.654564"),
        ("5.01-", "FM9.999999MI", "-5.01"),
        ("$1,234.56", "L9,999.99", "1234.56"),
        ("42nd", "99th", "42"),
        ("1234", "99", "12"),
        ("15", "9V9", "1.5000000000000000"),
        ("\u{e9}12", "x99", "12"),
    ] {
        assert_eq!(number_in::read(text, pattern).unwrap().to_string(), expected, "{text} by {pattern}");
    }
    for (text, pattern, code) in [("x", "9", "22P02"), ("XII", "RN", "0A000")] {
        assert_eq!(number_in::read(text, pattern).err().map(|e| e.code.as_str()), Some(code), "{text} by {pattern}");
    }
}
