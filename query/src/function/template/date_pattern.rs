//! Template patterns of dates and times: what `to_char`, `to_date` and `to_timestamp` are told with (PostgreSQL 15 manual,
//! 9.8, table 9.27), read one node after the other, so that a pattern of any length costs no memory.

/// What a pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `AM`; with dots, `A.M.`
    Meridiem {
        dots: bool,
    },
    /// `AD`; with dots, `A.D.`
    Era {
        dots: bool,
    },
    Century,
    DayName {
        case: Case,
        short: bool,
    },
    DayOfYear,
    IsoDayOfYear,
    Day,
    Weekday,
    IsoWeekday,
    /// Digits of a fraction of a second.
    Fraction(u8),
    /// `FX`: texts are read by their places.
    Exact,
    Hour12,
    Hour24,
    IsoWeek,
    /// The last digits of the year, or of the year that the ISO week is of.
    Year {
        digits: u8,
        iso: bool,
    },
    /// `Y,YYY`
    GroupedYear,
    Julian,
    Minute,
    Month,
    MonthName {
        case: Case,
        short: bool,
    },
    Millisecond,
    Microsecond,
    Offset,
    Quarter,
    RomanMonth,
    SecondOfDay,
    Second,
    Zone,
    ZoneHour,
    ZoneMinute,
    WeekOfYear,
    WeekOfMonth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Title,
    Lower,
}

impl Case {
    /// A name that begins with a capital, in this case.
    pub fn of(self, name: &str) -> String {
        match self {
            Case::Upper => name.to_ascii_uppercase(),
            Case::Title => name.to_owned(),
            Case::Lower => name.to_ascii_lowercase(),
        }
    }
}

/// The two ways to say a date, which one pattern must not mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convention {
    Gregorian,
    IsoWeek,
}

/// A word of patterns.
#[derive(Debug)]
pub(super) struct Keyword {
    name: &'static str,
    lower_name: &'static str,
    pub field: Field,
    /// Digits stand for it, so the number before it has to end where its own digits do.
    pub digits: bool,
    pub convention: Option<Convention>,
}

/// A word as it stands in the pattern, with what is before and behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub keyword: &'static Keyword,
    pub lower: bool,
    /// `FM`: without blanks and zeros that fill.
    pub fill: bool,
    /// `TM`: names without blanks, in the locale's language, which is C's here.
    pub translated: bool,
    /// `TH` or `th`.
    pub ordinal: Option<Case>,
}

impl Part {
    pub fn name(&self) -> &'static str {
        if self.lower { self.keyword.lower_name } else { self.keyword.name }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    Field(Part),
    Separator(char),
    Space(char),
    Text(char),
}

const fn word(name: &'static str, lower_name: &'static str, field: Field) -> Keyword {
    Keyword { name, lower_name, field, digits: false, convention: None }
}

const fn number(name: &'static str, lower_name: &'static str, field: Field) -> Keyword {
    Keyword { name, lower_name, field, digits: true, convention: None }
}

impl Keyword {
    const fn gregorian(mut self) -> Keyword {
        self.convention = Some(Convention::Gregorian);
        self
    }

    const fn iso(mut self) -> Keyword {
        self.convention = Some(Convention::IsoWeek);
        self
    }
}

const fn year(digits: u8) -> Field {
    Field::Year { digits, iso: false }
}

const fn iso_year(digits: u8) -> Field {
    Field::Year { digits, iso: true }
}

const fn month(case: Case, short: bool) -> Field {
    Field::MonthName { case, short }
}

const fn day(case: Case, short: bool) -> Field {
    Field::DayName { case, short }
}

/// Longer words before those that they begin with.
static KEYWORDS: &[Keyword] = &[
    word("A.D.", "a.d.", Field::Era { dots: true }),
    word("A.M.", "a.m.", Field::Meridiem { dots: true }),
    word("AD", "ad", Field::Era { dots: false }),
    word("AM", "am", Field::Meridiem { dots: false }),
    word("B.C.", "b.c.", Field::Era { dots: true }),
    word("BC", "bc", Field::Era { dots: false }),
    number("CC", "cc", Field::Century),
    word("DAY", "DAY", day(Case::Upper, false)),
    word("Day", "Day", day(Case::Title, false)),
    word("day", "day", day(Case::Lower, false)),
    number("DDD", "ddd", Field::DayOfYear).gregorian(),
    number("DD", "dd", Field::Day).gregorian(),
    word("DY", "DY", day(Case::Upper, true)),
    word("Dy", "Dy", day(Case::Title, true)),
    word("dy", "dy", day(Case::Lower, true)),
    number("D", "d", Field::Weekday).gregorian(),
    number("FF1", "ff1", Field::Fraction(1)),
    number("FF2", "ff2", Field::Fraction(2)),
    number("FF3", "ff3", Field::Fraction(3)),
    number("FF4", "ff4", Field::Fraction(4)),
    number("FF5", "ff5", Field::Fraction(5)),
    number("FF6", "ff6", Field::Fraction(6)),
    word("FX", "fx", Field::Exact),
    number("HH24", "hh24", Field::Hour24),
    number("HH12", "hh12", Field::Hour12),
    number("HH", "hh", Field::Hour12),
    number("IDDD", "iddd", Field::IsoDayOfYear).iso(),
    number("ID", "id", Field::IsoWeekday).iso(),
    number("IW", "iw", Field::IsoWeek).iso(),
    number("IYYY", "iyyy", iso_year(4)).iso(),
    number("IYY", "iyy", iso_year(3)).iso(),
    number("IY", "iy", iso_year(2)).iso(),
    number("I", "i", iso_year(1)).iso(),
    number("J", "j", Field::Julian),
    number("MI", "mi", Field::Minute),
    number("MM", "mm", Field::Month).gregorian(),
    word("MONTH", "MONTH", month(Case::Upper, false)).gregorian(),
    word("Month", "Month", month(Case::Title, false)).gregorian(),
    word("month", "month", month(Case::Lower, false)).gregorian(),
    word("MON", "MON", month(Case::Upper, true)).gregorian(),
    word("Mon", "Mon", month(Case::Title, true)).gregorian(),
    word("mon", "mon", month(Case::Lower, true)).gregorian(),
    number("MS", "ms", Field::Millisecond),
    word("OF", "of", Field::Offset),
    word("P.M.", "p.m.", Field::Meridiem { dots: true }),
    word("PM", "pm", Field::Meridiem { dots: false }),
    number("Q", "q", Field::Quarter),
    word("RM", "rm", Field::RomanMonth).gregorian(),
    number("SSSSS", "sssss", Field::SecondOfDay),
    number("SSSS", "ssss", Field::SecondOfDay),
    number("SS", "ss", Field::Second),
    word("TZH", "tzh", Field::ZoneHour),
    number("TZM", "tzm", Field::ZoneMinute),
    word("TZ", "tz", Field::Zone),
    number("US", "us", Field::Microsecond),
    number("WW", "ww", Field::WeekOfYear).gregorian(),
    number("W", "w", Field::WeekOfMonth).gregorian(),
    number("Y,YYY", "y,yyy", Field::GroupedYear).gregorian(),
    number("YYYY", "yyyy", year(4)).gregorian(),
    number("YYY", "yyy", year(3)).gregorian(),
    number("YY", "yy", year(2)).gregorian(),
    number("Y", "y", year(1)).gregorian(),
];

/// The nodes of a pattern.
pub(super) fn nodes(pattern: &str) -> std::iter::Peekable<Nodes<'_>> {
    Nodes { rest: pattern, quoted: false }.peekable()
}

pub(super) struct Nodes<'a> {
    rest: &'a str,
    /// Between double quotes.
    quoted: bool,
}

impl Nodes<'_> {
    fn keyword(&mut self) -> Option<(&'static Keyword, bool)> {
        let first = self.rest.as_bytes().first()?.to_ascii_uppercase();
        let starts = |k: &Keyword| k.name.as_bytes().first().is_some_and(|b| b.to_ascii_uppercase() == first);
        for keyword in KEYWORDS.iter().filter(|k| starts(k)) {
            for (name, lower) in [(keyword.name, false), (keyword.lower_name, true)] {
                if let Some(after) = self.rest.strip_prefix(name) {
                    self.rest = after;
                    return Some((keyword, lower));
                }
            }
        }
        None
    }

    fn eat(&mut self, either: [&str; 2]) -> bool {
        let after = either.iter().find_map(|word| self.rest.strip_prefix(word));
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// A character inside of quotes, where a backslash stands before one that means itself; `None` behind the last one.
    fn quoted_char(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let mut c = chars.next()?;
        if c == '"' {
            self.quoted = false;
            self.rest = chars.as_str();
            return None;
        }
        if c == '\\' {
            c = chars.next().unwrap_or(c);
        }
        self.rest = chars.as_str();
        Some(c)
    }
}

impl Iterator for Nodes<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        loop {
            if self.quoted {
                match self.quoted_char() {
                    Some(c) => return Some(Node::Text(c)),
                    None if self.quoted => return None,
                    None => continue,
                }
            }
            // One prefix counts; a second one is text.
            let fill = self.eat(["FM", "fm"]);
            let translated = !fill && self.eat(["TM", "tm"]);
            if let Some((keyword, lower)) = self.keyword() {
                let mut part = Part { keyword, lower, fill, translated, ordinal: None };
                if self.eat(["TH", "TH"]) {
                    part.ordinal = Some(Case::Upper);
                } else if self.eat(["th", "th"]) {
                    part.ordinal = Some(Case::Lower);
                } else {
                    // "Spell mode" is known to the grammar and does nothing.
                    self.eat(["SP", "SP"]);
                }
                return Some(Node::Field(part));
            }
            if let Some(after) = self.rest.strip_prefix('"') {
                self.rest = after;
                self.quoted = true;
                continue;
            }
            if self.rest.starts_with("\\\"") {
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
            let c = self.rest.chars().next()?;
            self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
            return Some(match c {
                c if is_separator(c) => Node::Separator(c),
                c if is_space(c) => Node::Space(c),
                c => Node::Text(c),
            });
        }
    }
}

/// Whether what follows a number cannot be taken for its digits.
pub(super) fn ends_number(part: &Part, next: Option<&Node>) -> bool {
    part.ordinal.is_some()
        || match next {
            None => true,
            Some(Node::Field(next)) => !next.keyword.digits,
            Some(Node::Separator(c) | Node::Space(c) | Node::Text(c)) => !c.is_ascii_digit(),
        }
}

/// A printable character of ASCII that is neither letter nor digit.
pub(super) fn is_separator(c: char) -> bool {
    c.is_ascii_graphic() && !c.is_ascii_alphanumeric()
}

/// White space as C has it.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
