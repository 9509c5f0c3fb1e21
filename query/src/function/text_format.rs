//! `format()`: places of a text that arguments are put into, `%[position][flags][width]type` (PostgreSQL 15 manual, 9.4.1).

use ledgerstone_digest::ion::Value;

use super::text::{quote_ident, quote_literal};
use super::{size, some_text, text_at};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::value::text::format_untyped;

/// The text with its arguments, which follow it.
pub(super) fn format(a: &[Datum]) -> Result<Datum> {
    let Some(Some(_)) = a.first() else { return Ok(None) };
    let mut format = Format { rest: text_at(a, 0)?, arguments: a, next: 1 };
    let mut out = String::new();
    while let Some((before, after)) = format.rest.split_once('%') {
        out.push_str(before);
        format.rest = after;
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            format.rest = after;
        } else {
            format.place(&mut out)?;
        }
        size::check_bytes(out.len())?;
    }
    some_text(out + format.rest)
}

struct Format<'a> {
    rest: &'a str,
    arguments: &'a [Datum],
    /// The argument that a place without a position takes.
    next: usize,
}

impl<'a> Format<'a> {
    fn place(&mut self, out: &mut String) -> Result<()> {
        let mut position = None;
        let (mut left, mut width) = (false, 0);
        match self.number()? {
            Some(n) if self.eat('$') => position = Some(counted(n)?),
            // What begins with a width has neither position nor flags.
            Some(n) => width = n,
            None => {}
        }
        if width == 0 {
            while self.eat('-') {
                left = true;
            }
            if self.eat('*') {
                width = self.given_width()?;
            } else if let Some(n) = self.number()? {
                width = n;
            }
        }
        let mut chars = self.rest.chars();
        let Some(kind) = chars.next() else {
            return Err(invalid("unterminated format() type specifier"));
        };
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(invalid(format!("unrecognized format() type specifier \"{kind}\"")));
        }
        self.rest = chars.as_str();
        let text = match (kind, self.argument(position)?) {
            ('I', Some(value)) => quote_ident(&format_untyped(value)),
            ('L', Some(value)) => quote_literal(&format_untyped(value)),
            (_, Some(value)) => format_untyped(value),
            ('L', None) => "NULL".to_owned(),
            ('I', None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(QueryError::new(SqlState::NULL_VALUE_NOT_ALLOWED, message).hint("Use %L for values."));
            }
            (_, None) => String::new(),
        };
        pad(out, &text, width, left)
    }

    fn eat(&mut self, c: char) -> bool {
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn number(&mut self) -> Result<Option<i64>> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        if digits == 0 {
            return Ok(None);
        }
        self.rest = rest;
        let out_of_range = |_| QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "number is out of range");
        number.parse::<i32>().map(|n| Some(i64::from(n))).map_err(out_of_range)
    }

    /// The width that `*` or `*n$` takes from an argument; less than 0 is one to the left.
    fn given_width(&mut self) -> Result<i64> {
        let position = match self.number()? {
            Some(n) if self.eat('$') => Some(counted(n)?),
            Some(_) => return Err(invalid("width argument position must be ended by \"$\"")),
            None => None,
        };
        let Some(value) = self.argument(position)? else { return Ok(0) };
        let text = format_untyped(value);
        text.trim().parse::<i32>().map(i64::from).map_err(|_| {
            let shown = crate::literal::shorten(&text);
            let message = format!("invalid input syntax for type integer: \"{shown}\"");
            QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
        })
    }

    fn argument(&mut self, position: Option<usize>) -> Result<Option<&'a Value>> {
        let at = position.unwrap_or(self.next);
        let argument = self.arguments.get(at).ok_or_else(|| invalid("too few arguments for format()"))?;
        self.next = at + 1;
        Ok(argument.as_ref())
    }
}

fn pad(out: &mut String, text: &str, width: i64, left: bool) -> Result<()> {
    let places = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
    size::check_bytes(places)?;
    let blanks = " ".repeat(places.saturating_sub(text.chars().count()));
    let (before, behind) = if left || width < 0 { ("", &*blanks) } else { (&*blanks, "") };
    for part in [before, text, behind] {
        out.push_str(part);
    }
    Ok(())
}

fn counted(position: i64) -> Result<usize> {
    let position = usize::try_from(position).ok().filter(|position| *position > 0);
    position.ok_or_else(|| invalid("format specifies argument 0, but arguments are numbered from 1"))
}

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .hint("Places look like %s, %I, %L, %2$s, %-10s or %*s; a percent sign is %%.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format_text: &str, arguments: &[&str]) -> Result<String> {
        let mut a = vec![Some(Value::string(format_text))];
        a.extend(arguments.iter().map(|text| Some(Value::string(*text))));
        Ok(format(&a)?.map(|v| format_untyped(&v)).unwrap_or_default())
    }

    #[test]
    fn places_take_positions_and_widths_as_in_postgresql() {
        for (text, arguments, expected) in [
            ("%2$s %1$s", &["a", "b"][..], "b a"),
            ("%3$s %s", &["a", "b", "c", "d"], "c d"),
            ("[%5s|%-5s]", &["a", "b"], "[    a|b    ]"),
            ("[%*s|%*s]", &["3", "a", "-3", "b"], "[  a|b  ]"),
            ("[%1$-*2$s|%L]", &["a", "4", "it's"], "[a   |'4']"),
            ("%5L%I %%", &["x", "B c"], "  'x'\"B c\" %"),
            ("é%s日本", &["ü"], "éü日本"),
        ] {
            assert_eq!(shown(text, arguments).as_deref(), Ok(expected), "{text}");
        }
        for (text, code) in [
            ("%s %s", "22023"),
            ("%0$s", "22023"),
            ("%", "22023"),
            ("%x", "22023"),
            ("%é", "22023"),
            ("%*1s", "22023"),
            ("%99999999999s", "22003"),
            ("%2000000000s", "54000"),
        ] {
            assert_eq!(shown(text, &["a"]).map_err(|e| e.code.as_str()), Err(code), "{text}");
        }
    }
}
