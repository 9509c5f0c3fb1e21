//! Template patterns of numbers (PostgreSQL 15 manual, 9.8, table 9.29), and what they say of the number as a whole: how
//! many digits, where the sign goes, what is allowed beside what.

use super::date_pattern::Case;
use crate::error::{QueryError, Result, SqlState};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Comma,
    /// `.`, or `D`.
    Point,
    Zero,
    Nine,
    Blank,
    /// `EEEE`
    Scientific,
    Fill,
    Group,
    Currency,
    Minus,
    Plus,
    Brackets,
    Roman(Case),
    /// `SG`
    Sign,
    /// `S`
    AnchoredSign,
    Ordinal(Case),
    /// `V`
    Shift,
    /// A word that is reserved and does nothing.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Field(Field),
    Text(char),
}

static KEYWORDS: &[(&str, &str, Field)] = &[
    (",", ",", Field::Comma),
    (".", ".", Field::Point),
    ("0", "0", Field::Zero),
    ("9", "9", Field::Nine),
    ("B", "b", Field::Blank),
    ("C", "c", Field::Nothing),
    ("D", "d", Field::Point),
    ("EEEE", "eeee", Field::Scientific),
    ("FM", "fm", Field::Fill),
    ("G", "g", Field::Group),
    ("L", "l", Field::Currency),
    ("MI", "mi", Field::Minus),
    ("PL", "pl", Field::Plus),
    ("PR", "pr", Field::Brackets),
    ("RN", "RN", Field::Roman(Case::Upper)),
    ("rn", "rn", Field::Roman(Case::Lower)),
    ("SG", "sg", Field::Sign),
    ("SP", "sp", Field::Nothing),
    ("S", "s", Field::AnchoredSign),
    ("TH", "TH", Field::Ordinal(Case::Upper)),
    ("th", "th", Field::Ordinal(Case::Lower)),
    ("V", "v", Field::Shift),
];

/// The nodes of a pattern.
pub(super) struct Nodes<'a> {
    rest: &'a str,
    quoted: bool,
}

pub(super) fn nodes(pattern: &str) -> Nodes<'_> {
    Nodes { rest: pattern, quoted: false }
}

impl Iterator for Nodes<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        loop {
            if !self.quoted {
                for (upper, lower, field) in KEYWORDS {
                    let after = self.rest.strip_prefix(upper).or_else(|| self.rest.strip_prefix(lower));
                    if let Some(after) = after {
                        self.rest = after;
                        return Some(Node::Field(*field));
                    }
                }
            }
            let mut chars = self.rest.chars();
            let mut c = chars.next()?;
            let next = chars.clone().next();
            if c == '"' {
                self.quoted = !self.quoted;
                self.rest = chars.as_str();
                continue;
            }
            // A backslash makes what is behind it a text: outside of quotes a quote only.
            if c == '\\' && (next == Some('"') || self.quoted && next.is_some()) {
                c = chars.next().unwrap_or(c);
            }
            self.rest = chars.as_str();
            return Some(Node::Text(c));
        }
    }
}

/// Where `S` puts the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Anchor {
    #[default]
    None,
    Before,
    Behind,
}

/// What a pattern says as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Digits before the point.
    pub before: usize,
    /// Digits behind the point.
    pub behind: usize,
    pub anchor: Anchor,
    /// Digits before the point that stood before `S`.
    pub before_sign: usize,
    /// Digits behind `V`.
    pub shift: usize,
    /// Digits before the first `0`.
    pub first_zero: Option<usize>,
    /// Digits up to the last `0`, itself included.
    pub last_zero: usize,
    pub point: bool,
    pub fill: bool,
    pub blank: bool,
    pub signed: bool,
    pub brackets: bool,
    pub minus: bool,
    pub plus: bool,
    pub roman: bool,
    pub shifted: bool,
    pub scientific: bool,
}

impl Shape {
    pub fn of(pattern: &str) -> Result<Shape> {
        let mut shape = Shape::default();
        for node in nodes(pattern) {
            if let Node::Field(field) = node {
                shape.add(field)?;
            }
        }
        Ok(shape)
    }

    fn add(&mut self, field: Field) -> Result<()> {
        if self.scientific && field != Field::Scientific {
            return Err(refused("\"EEEE\" must be the last pattern used"));
        }
        match field {
            Field::Nine if self.brackets => return Err(refused("\"9\" must be ahead of \"PR\"")),
            Field::Nine if self.shifted => self.shift += 1,
            Field::Nine if self.point => self.behind += 1,
            Field::Nine => self.before += 1,
            Field::Zero => self.zero()?,
            Field::Blank => self.blank |= self.before == 0 && self.behind == 0 && self.first_zero.is_none(),
            Field::Point if self.point => return Err(refused("multiple decimal points")),
            Field::Point if self.shifted => return Err(refused("cannot use \"V\" and decimal point together")),
            Field::Point => self.point = true,
            Field::Fill => self.fill = true,
            Field::AnchoredSign => self.anchored_sign()?,
            Field::Minus | Field::Plus | Field::Sign if self.signed => {
                let name = match field {
                    Field::Minus => "MI",
                    Field::Plus => "PL",
                    _ => "SG",
                };
                return Err(refused(format!("cannot use \"S\" and \"{name}\" together")));
            }
            Field::Minus => self.minus = true,
            Field::Plus => self.plus = true,
            Field::Sign => (self.minus, self.plus) = (true, true),
            Field::Brackets if self.signed || self.plus || self.minus => {
                return Err(refused("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
            }
            Field::Brackets => self.brackets = true,
            Field::Roman(_) => self.roman = true,
            Field::Shift if self.point => return Err(refused("cannot use \"V\" and decimal point together")),
            Field::Shift => self.shifted = true,
            Field::Scientific => self.scientific()?,
            Field::Comma | Field::Group | Field::Currency | Field::Ordinal(_) | Field::Nothing => {}
        }
        Ok(())
    }

    fn zero(&mut self) -> Result<()> {
        if self.brackets {
            return Err(refused("\"0\" must be ahead of \"PR\""));
        }
        if self.point {
            self.behind += 1;
        } else {
            self.first_zero.get_or_insert(self.before);
            self.before += 1;
        }
        self.last_zero = self.before + self.behind;
        Ok(())
    }

    fn anchored_sign(&mut self) -> Result<()> {
        if self.signed {
            return Err(refused("cannot use \"S\" twice"));
        }
        if self.plus || self.minus || self.brackets {
            return Err(refused("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
        }
        self.signed = true;
        if self.point {
            self.anchor = Anchor::Behind;
        } else {
            (self.anchor, self.before_sign) = (Anchor::Before, self.before);
        }
        Ok(())
    }

    fn scientific(&mut self) -> Result<()> {
        if self.scientific {
            return Err(refused("cannot use \"EEEE\" twice"));
        }
        let other = self.blank
            || self.fill
            || self.signed
            || self.brackets
            || self.minus
            || self.plus
            || self.roman
            || self.shifted;
        if other {
            let detail = "\"EEEE\" may only be used together with digit and decimal point patterns.";
            return Err(refused("\"EEEE\" is incompatible with other formats").detail(detail));
        }
        self.scientific = true;
        Ok(())
    }
}

fn refused(message: impl Into<String>) -> QueryError {
    QueryError::new(SqlState::SYNTAX_ERROR, message).hint("A pattern of a number looks like 9G990D00 or FM999.99MI.")
}
