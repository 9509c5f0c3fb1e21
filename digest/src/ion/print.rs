//! Ion text, writing: what is written reads back as the same value.

use std::fmt::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::{TYPE_NAMES, is_operator, keyword};
use super::{Decimal, IonType, Precision, Symbol, Timestamp, Value};

/// A value in one line.
pub fn to_text(value: &Value) -> String {
    print(value, false)
}

/// A value with each element and field in its own line, indented by two spaces.
pub fn to_text_pretty(value: &Value) -> String {
    print(value, true)
}

impl fmt::Display for Value {
    /// Ion text in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(self))
    }
}

impl fmt::Display for Timestamp {
    /// Ion text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        if self.precision == Precision::Year {
            return f.write_char('T');
        }
        write!(f, "-{:02}", self.month)?;
        if self.precision == Precision::Month {
            return f.write_char('T');
        }
        write!(f, "-{:02}T", self.day)?;
        if self.precision == Precision::Day {
            return Ok(());
        }
        write!(f, "{:02}:{:02}", self.hour, self.minute)?;
        if self.precision == Precision::Second {
            write!(f, ":{:02}", self.second)?;
            let (coefficient, digits) = self.fraction.parts();
            if digits > 0 {
                write!(f, ".{coefficient:0width$}", width = usize::from(digits))?;
            }
        }
        match self.offset_minutes {
            None => f.write_str("-00:00"),
            Some(0) => f.write_char('Z'),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", offset.unsigned_abs() / 60, offset.unsigned_abs() % 60)
            }
        }
    }
}

/// `12.50`, `125d2`, `-0.0`: the decimal in Ion text, with the point written out where that is not long.
pub(super) fn decimal_text(decimal: &Decimal) -> String {
    let coefficient = decimal.coefficient().to_string();
    let digits = coefficient.strip_prefix('-').unwrap_or(&coefficient);
    let sign = if decimal.is_negative() { "-" } else { "" };
    let scale = decimal.scale() as usize;
    match decimal.exponent() {
        0 => format!("{sign}{digits}."),
        e if e > 0 || scale > digits.len() + 6 => format!("{sign}{digits}d{e}"),
        _ if scale >= digits.len() => format!("{sign}0.{digits:0>scale$}"),
        _ => format!("{sign}{}.{}", &digits[..digits.len() - scale], &digits[digits.len() - scale..]),
    }
}

fn print(value: &Value, pretty: bool) -> String {
    let mut printer = Printer { out: String::new(), pretty };
    printer.value(value, 0, false);
    printer.out
}

struct Printer {
    out: String,
    pretty: bool,
}

impl Printer {
    fn value(&mut self, value: &Value, depth: usize, in_sexp: bool) {
        match value {
            Value::Null(IonType::Null) => self.out.push_str("null"),
            Value::Null(t) => {
                let name = TYPE_NAMES.iter().find(|(_, named)| named == t).map_or("null", |(name, _)| name);
                self.out.push_str("null.");
                self.out.push_str(name);
            }
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) => self.out.push_str(&i.to_string()),
            Value::Float(f) => self.float(*f),
            Value::Decimal(d) => self.out.push_str(&decimal_text(d)),
            Value::Timestamp(t) => self.out.push_str(&t.to_string()),
            Value::Symbol(s) => match s.text() {
                Some(text) if in_sexp && is_bare_operator(text) => self.out.push_str(text),
                _ => self.symbol(s),
            },
            Value::String(s) => self.quoted(s, '"'),
            Value::Clob(bytes) => self.clob(bytes),
            Value::Blob(bytes) => {
                self.out.push_str("{{");
                STANDARD.encode_string(bytes, &mut self.out);
                self.out.push_str("}}");
            }
            Value::List(items) => self.sequence(('[', ']'), Some(','), items, depth),
            Value::Sexp(items) => self.sequence(('(', ')'), None, items, depth),
            Value::Struct(s) => self.structure(&s.fields, depth),
            Value::Annotated(inner) => {
                for annotation in &inner.annotations {
                    self.symbol(annotation);
                    self.out.push_str("::");
                }
                self.value(&inner.value, depth, false);
            }
        }
    }

    fn sequence(&mut self, (open, close): (char, char), separator: Option<char>, items: &[Value], depth: usize) {
        self.out.push(open);
        for (i, item) in items.iter().enumerate() {
            self.separate(i, separator, depth + 1);
            self.value(item, depth + 1, separator.is_none());
        }
        self.close(items.is_empty(), close, depth);
    }

    fn structure(&mut self, fields: &[(Symbol, Value)], depth: usize) {
        self.out.push('{');
        for (i, (name, value)) in fields.iter().enumerate() {
            self.separate(i, Some(','), depth + 1);
            self.symbol(name);
            self.out.push_str(if self.pretty { ": " } else { ":" });
            self.value(value, depth + 1, false);
        }
        self.close(fields.is_empty(), '}', depth);
    }

    fn separate(&mut self, index: usize, separator: Option<char>, depth: usize) {
        if index > 0 {
            self.out.extend(separator);
        }
        if self.pretty {
            self.line(depth);
        } else if index > 0 && separator.is_none() {
            self.out.push(' ');
        }
    }

    fn close(&mut self, empty: bool, close: char, depth: usize) {
        if self.pretty && !empty {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    /// The shortest digits that read back as the same number; an exponent makes it a float.
    fn float(&mut self, f: f64) {
        if f.is_nan() {
            self.out.push_str("nan");
        } else if f.is_infinite() {
            self.out.push_str(if f > 0.0 { "+inf" } else { "-inf" });
        } else {
            self.out.push_str(&format!("{f:e}"));
        }
    }

    fn symbol(&mut self, symbol: &Symbol) {
        match symbol.text() {
            None => self.out.push_str("$0"),
            Some(text) if is_identifier(text) => self.out.push_str(text),
            Some(text) => self.quoted(text, '\''),
        }
    }

    fn quoted(&mut self, text: &str, quote: char) {
        self.out.push(quote);
        for c in text.chars() {
            match c {
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                '\r' => self.out.push_str("\\r"),
                '\\' => self.out.push_str("\\\\"),
                c if c == quote => self.out.extend(['\\', c]),
                c if c.is_control() => self.out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push(quote);
    }

    fn clob(&mut self, bytes: &[u8]) {
        self.out.push_str("{{\"");
        for b in bytes {
            match b {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                b'\n' => self.out.push_str("\\n"),
                0x20..=0x7E => self.out.push(char::from(*b)),
                _ => self.out.push_str(&format!("\\x{b:02x}")),
            }
        }
        self.out.push_str("\"}}");
    }
}

/// Text that needs no quotes. `$10b` and `$ion_1_0x` would need none either, but readers are known that stop at
/// `$10` and `$ion_1_0`.
fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let first = bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'$'));
    let numbered = (text.starts_with('$') && is_digit(1)) || (text.starts_with("$ion_") && is_digit(5));
    first
        && !numbered
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'))
        && keyword(text).is_none()
}

/// An operator that reads back unquoted in an S-expression.
fn is_bare_operator(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_operator) && !text.contains("//") && !text.contains("/*")
}
