//! JSON text to Ion values and back (RFC 8259; PostgreSQL's documentation, 8.14). Numbers keep their digits: whole ones
//! are ints, others decimals with their scale. `jsonb` order and spacing are PostgreSQL's: keys by length, then bytes,
//! the last of equal keys stays.

use std::cmp::Ordering;

use base64::Engine as _;
use ledgerstone_digest::ion::{Decimal, Int, Struct, Symbol, Text, Value};

use super::numeric::WrittenOut;
use super::{datetime, numeric};
use crate::error::{QueryError, Result, SqlState};

/// Containers inside each other.
pub const DEPTH_MAX: usize = 128;

/// Parses JSON; with `canonical`, objects are brought into `jsonb` order and duplicates dropped.
pub fn parse(text: &str, canonical: bool) -> Result<Value> {
    let written = WrittenOut::default();
    let mut parser = Parser { bytes: text.as_bytes(), text, at: 0, canonical, written };
    let value = parser.value(0)?;
    parser.spaces();
    if parser.at != parser.bytes.len() {
        return Err(parser.error());
    }
    Ok(value)
}

/// `jsonb` order, at every level. What has it already, and most has, is only looked at.
pub fn canonical(value: Value) -> Value {
    if is_canonical(&value) { value } else { arranged(value) }
}

/// What a function has made of others, in `jsonb` order: no deeper than what can be parsed and stored, so that whatever goes
/// down into a value needs no more of the stack than that takes.
pub fn made(value: Value) -> Result<Value> {
    if is_deeper(&value, DEPTH_MAX) {
        return Err(too_deep());
    }
    Ok(canonical(value))
}

/// Whether containers are inside each other more often than this.
pub fn is_deeper(value: &Value, most: usize) -> bool {
    let is_inside = |inner: &Value| match most.checked_sub(1) {
        Some(less) => is_deeper(inner, less),
        None => true,
    };
    match value {
        Value::Struct(s) => s.fields.iter().any(|(_, inner)| is_inside(inner)) || most == 0,
        Value::List(items) | Value::Sexp(items) => items.iter().any(is_inside) || most == 0,
        Value::Annotated(inner) => is_inside(&inner.value) || most == 0,
        _ => false,
    }
}

/// The error of a value that would be.
pub fn too_deep() -> QueryError {
    QueryError::new(SqlState::STATEMENT_TOO_COMPLEX, format!("a value is nested more than {DEPTH_MAX} deep"))
}

fn is_canonical(value: &Value) -> bool {
    match value {
        Value::Struct(s) => {
            s.fields.is_sorted_by(|a, b| field_order(a, b).is_lt()) && s.fields.iter().all(|(_, v)| is_canonical(v))
        }
        Value::List(items) => items.iter().all(is_canonical),
        _ => true,
    }
}

fn arranged(value: Value) -> Value {
    match value {
        Value::Struct(s) => {
            Value::Struct(canonical_struct(s.fields.into_iter().map(|(name, value)| (name, arranged(value))).collect()))
        }
        Value::List(items) => Value::List(items.into_iter().map(arranged).collect()),
        other => other,
    }
}

/// Shorter names first, then by their bytes.
fn field_order(a: &(Symbol, Value), b: &(Symbol, Value)) -> Ordering {
    let (a, b) = (a.0.text().unwrap_or("$0"), b.0.text().unwrap_or("$0"));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn canonical_struct(mut fields: Vec<(Symbol, Value)>) -> Struct {
    // Later duplicates win: a stable sort keeps their order, then all but the last go.
    fields.sort_by(field_order);
    let mut kept: Vec<(Symbol, Value)> = Vec::with_capacity(fields.len());
    for field in fields {
        match kept.last_mut() {
            Some(last) if last.0 == field.0 => *last = field,
            _ => kept.push(field),
        }
    }
    Struct { fields: kept }
}

/// JSON text as PostgreSQL prints `jsonb`: `{"a": 1, "b": [1, 2]}`. What JSON has no word for becomes a string.
pub fn print(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out, ": ", ", ");
    out
}

/// Appends what [`print`] gives.
pub fn print_to(value: &Value, out: &mut Vec<u8>) {
    write(value, out, ": ", ", ");
}

/// Takes pieces of text.
trait Sink {
    fn push_str(&mut self, text: &str);
}

impl Sink for String {
    fn push_str(&mut self, text: &str) {
        String::push_str(self, text);
    }
}

impl Sink for Vec<u8> {
    fn push_str(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// JSON text without spaces.
pub fn print_compact(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out, ":", ",");
    out
}

fn write(value: &Value, out: &mut impl Sink, colon: &str, comma: &str) {
    match value.unannotated() {
        Value::Null(_) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(Int::Small(i)) => out.push_str(&i.to_string()),
        Value::Int(Int::Big(i)) => out.push_str(&i.to_string()),
        Value::Float(f) if f.is_finite() => out.push_str(&super::text::format_float8(*f)),
        Value::Float(f) => put_string(&super::text::format_float8(*f), out),
        Value::Decimal(d) => out.push_str(&super::text::format_decimal(d)),
        Value::Timestamp(_) => put_string(&super::text::format_ion_timestamp(value.unannotated()), out),
        Value::Symbol(s) => put_string(s.text().unwrap_or("$0"), out),
        Value::String(s) => put_string(s, out),
        Value::Clob(b) | Value::Blob(b) => {
            put_string(&base64::engine::general_purpose::STANDARD.encode(b), out);
        }
        Value::List(items) | Value::Sexp(items) => {
            if let Some(interval) = datetime::Interval::from_value(value.unannotated()) {
                return put_string(&datetime::format_interval(interval), out);
            }
            out.push_str("[");
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(comma);
                }
                write(item, out, colon, comma);
            }
            out.push_str("]");
        }
        Value::Struct(s) => {
            out.push_str("{");
            for (i, (name, value)) in s.fields.iter().enumerate() {
                if i > 0 {
                    out.push_str(comma);
                }
                put_string(name.text().unwrap_or("$0"), out);
                out.push_str(colon);
                write(value, out, colon, comma);
            }
            out.push_str("}");
        }
        Value::Annotated(_) => out.push_str("null"),
    }
}

/// A JSON string with quotes.
pub fn write_string(text: &str, out: &mut String) {
    put_string(text, out);
}

fn put_string(text: &str, out: &mut impl Sink) {
    out.push_str("\"");
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let (special, behind) = special.split_at(1);
        match special {
            "\"" => out.push_str("\\\""),
            "\\" => out.push_str("\\\\"),
            "\n" => out.push_str("\\n"),
            "\r" => out.push_str("\\r"),
            "\t" => out.push_str("\\t"),
            "\u{8}" => out.push_str("\\b"),
            "\u{c}" => out.push_str("\\f"),
            other => out.push_str(&format!("\\u{:04x}", other.bytes().next().unwrap_or_default())),
        }
        rest = behind;
    }
    out.push_str(rest);
    out.push_str("\"");
}

struct Parser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    canonical: bool,
    written: WrittenOut,
}

impl Parser<'_> {
    fn error(&self) -> QueryError {
        let token: String = self.text.get(self.at..).unwrap_or("").chars().take(12).collect();
        let detail = if token.is_empty() {
            "The input string ended unexpectedly.".to_owned()
        } else {
            format!("Token \"{token}\" is invalid.")
        };
        QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").detail(detail)
    }

    fn spaces(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.spaces();
        let hit = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(self.error()) }
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > DEPTH_MAX {
            return Err(QueryError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("JSON is nested more than {DEPTH_MAX} deep"),
            ));
        }
        self.spaces();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::NULL),
            _ => Err(self.error()),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value> {
        if !self.bytes.get(self.at..).unwrap_or_default().starts_with(word.as_bytes()) {
            return Err(self.error());
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value> {
        self.expect(b'{')?;
        let mut fields = Vec::new();
        if !self.eat(b'}') {
            loop {
                self.spaces();
                let name = self.string()?;
                self.expect(b':')?;
                fields.push((Symbol::new(name), self.value(depth + 1)?));
                if !self.eat(b',') {
                    break;
                }
            }
            self.expect(b'}')?;
        }
        Ok(Value::Struct(if self.canonical { canonical_struct(fields) } else { Struct { fields } }))
    }

    fn array(&mut self, depth: usize) -> Result<Value> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        if !self.eat(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                if !self.eat(b',') {
                    break;
                }
            }
            self.expect(b']')?;
        }
        Ok(Value::List(items))
    }

    fn number(&mut self) -> Result<Value> {
        let start = self.at;
        let digits = |p: &mut Self| {
            let from = p.at;
            while p.bytes.get(p.at).is_some_and(u8::is_ascii_digit) {
                p.at += 1;
            }
            p.at > from
        };
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let whole = self.at;
        let mut valid = digits(self) && !(self.bytes.get(whole) == Some(&b'0') && self.at > whole + 1);
        let mut is_int = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            is_int = false;
            valid &= digits(self);
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            is_int = false;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            valid &= digits(self);
        }
        let digits = self.text.get(start..self.at).filter(|_| valid).ok_or_else(|| self.error())?;
        // One more, since the bytes decide.
        let number = numeric::read_within(digits, Int::DIGITS_MAX as u32 + 1).map_err(|_| too_large())?;
        let number = number.ok_or_else(|| self.error())?;
        if number.coefficient.bits() > Int::BYTES_MAX as u64 * 8 {
            return Err(too_large());
        }
        self.written.add(&number)?;
        Ok(if is_int || number.scale == 0 {
            Value::Int(numeric::big_to_int(number.coefficient))
        } else {
            Value::Decimal(Decimal::new(numeric::big_to_int(number.coefficient), -(number.scale as i32)))
        })
    }

    fn string(&mut self) -> Result<Text> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.error());
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let text = self.text.get(start..self.at).ok_or_else(|| self.error())?;
                    self.at += 1;
                    return Ok(Text::from(text));
                }
                Some(b'\\') => break,
                Some(c) if *c >= 0x20 => self.at += 1,
                _ => return Err(self.error()),
            }
        }
        let mut out = self.text.get(start..self.at).unwrap_or("").to_owned();
        loop {
            let c = self.text.get(self.at..).and_then(|t| t.chars().next()).ok_or_else(|| self.error())?;
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out.into()),
                '\\' => out.push(self.escape()?),
                c if (c as u32) < 0x20 => return Err(self.error()),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let c = *self.bytes.get(self.at).ok_or_else(|| self.error())?;
        self.at += 1;
        Ok(match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&high) {
                    if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                        return Err(self.error());
                    }
                    self.at += 2;
                    let low = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.error());
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                if code == 0 {
                    return Err(QueryError::new(
                        SqlState::UNTRANSLATABLE_CHARACTER,
                        "unsupported Unicode escape sequence",
                    )
                    .detail("\\u0000 cannot be converted to text."));
                }
                char::from_u32(code).ok_or_else(|| self.error())?
            }
            _ => return Err(self.error()),
        })
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.error())?;
        // A sign would be read as part of the number.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.error());
        }
        let code = u32::from_str_radix(digits, 16).map_err(|_| self.error())?;
        self.at += 4;
        Ok(code)
    }
}

fn too_large() -> QueryError {
    let (most, digits, scale) = (Int::BYTES_MAX, Int::DIGITS_MAX, numeric::SCALE_MAX);
    QueryError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        format!("a number in JSON has at most {most} bytes, about {digits} digits, {scale} of them after the point"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_prints_as_postgresql_does() {
        for (text, shown) in [
            (r#"{"bb":1, "a":[1,2.50,"x\n"], "a":null}"#, r#"{"a": null, "bb": 1}"#),
            ("[1,-0.10,1e3,true,\"\\u00e9\\ud83d\\ude00\"]", "[1, -0.10, 1000, true, \"é😀\"]"),
        ] {
            assert_eq!(print(&parse(text, true).unwrap()), shown);
        }
    }

    #[test]
    fn bad_json_is_refused() {
        for text in
            ["", "{", "[1,]", "01", "1.", "\"a", "nul", "{\"a\" 1}", "[1] 2", "\"\\u0000\"", "\"\\u+123\"", "+1"]
        {
            assert!(parse(text, true).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(1_000_000), true).is_err());
    }
}
