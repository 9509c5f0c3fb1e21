//! Every type's text as PostgreSQL writes and reads it: what the wire's text format, COPY and casts to and from text use.

use std::fmt::Write as _;

use ledgerstone_digest::ion::{Decimal, Int, Precision, Text, Value};

use super::datetime::{self, Interval};
use super::{json, numeric};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// The text of a value that has this type.
pub fn format(value: &Value, ty: &SqlType) -> String {
    match (ty, value) {
        (SqlType::Jsonb | SqlType::Ion, v) => json::print(v),
        (SqlType::Json, Value::String(s)) => s.to_string(),
        (SqlType::Json, v) => json::print(v),
        (SqlType::Date, Value::Timestamp(t)) => datetime::format_date(t),
        (SqlType::Timestamp, Value::Timestamp(t)) => datetime::format_timestamp(datetime::to_micros(t), false),
        (SqlType::TimestampTz, Value::Timestamp(t)) => datetime::format_timestamp(datetime::to_micros(t), true),
        (SqlType::Float4, Value::Float(f)) => format_float4(*f as f32),
        (SqlType::Array(of), Value::List(items)) => format_array(items, of),
        (SqlType::Int2Vector | SqlType::OidVector, Value::List(items)) => {
            items.iter().map(format_untyped).collect::<Vec<_>>().join(" ")
        }
        (SqlType::Char(n), Value::String(s)) => pad(s, *n),
        (_, v) => format_untyped(v),
    }
}

/// Appends what [`format`] gives. What rows are mostly made of needs no text of its own on the way.
pub fn write(value: &Value, ty: &SqlType, out: &mut Vec<u8>) {
    match (ty, value) {
        (SqlType::Jsonb | SqlType::Ion, value) => json::print_to(value, out),
        (SqlType::Date, Value::Timestamp(date)) => {
            let years = u64::from(date.year);
            put_digits(years, 4, out);
            for part in [date.month, date.day] {
                out.push(b'-');
                put_digits(u64::from(part.max(1)), 2, out);
            }
        }
        (SqlType::Numeric { .. }, Value::Decimal(decimal)) => match (decimal.coefficient(), decimal.exponent()) {
            (Int::Small(coefficient), exponent @ -18..=0) => {
                if *coefficient < 0 {
                    out.push(b'-');
                }
                let scale = exponent.unsigned_abs() as usize;
                put_digits(coefficient.unsigned_abs(), scale + 1, out);
                if scale > 0 {
                    out.insert(out.len() - scale, b'.');
                }
            }
            _ => out.extend_from_slice(format(value, ty).as_bytes()),
        },
        (SqlType::Char(n), Value::String(text)) => {
            out.extend_from_slice(text.as_bytes());
            let missing = (*n as usize).saturating_sub(text.chars().count());
            out.extend(std::iter::repeat_n(b' ', missing));
        }
        _ => out.extend_from_slice(format(value, ty).as_bytes()),
    }
}

/// A number with at least so many digits, at most 20.
fn put_digits(mut number: u64, least: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    while number > 0 {
        from -= 1;
        if let Some(place) = digits.get_mut(from) {
            *place = b'0' + (number % 10) as u8;
        }
        number /= 10;
    }
    let from = from.min(digits.len().saturating_sub(least));
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// The text of a value by its own type.
pub fn format_untyped(value: &Value) -> String {
    match value {
        Value::Null(_) => "null".to_owned(),
        Value::Bool(b) => if *b { "t" } else { "f" }.to_owned(),
        Value::Int(Int::Small(i)) => i.to_string(),
        Value::Int(Int::Big(b)) => b.to_string(),
        Value::Float(f) => format_float8(*f),
        Value::Decimal(d) => format_decimal(d),
        Value::Timestamp(t) => match (t.precision, t.offset_minutes) {
            (Precision::Second | Precision::Minute, Some(_)) => {
                datetime::format_timestamp(datetime::to_micros(t), true)
            }
            (Precision::Second | Precision::Minute, None) => datetime::format_timestamp(datetime::to_micros(t), false),
            _ => datetime::format_date(t),
        },
        Value::Symbol(s) => s.text().unwrap_or("$0").to_owned(),
        Value::String(s) => s.to_string(),
        Value::Blob(b) | Value::Clob(b) => format_bytea(b),
        Value::Sexp(_) if Interval::from_value(value).is_some() => {
            datetime::format_interval(Interval::from_value(value).unwrap_or_default())
        }
        Value::List(_) | Value::Sexp(_) | Value::Struct(_) => json::print(value),
        Value::Annotated(inner) => format_untyped(&inner.value),
    }
}

/// All digits, as PostgreSQL writes numerics; with an exponent where a numeric has no room for them.
pub fn format_decimal(d: &Decimal) -> String {
    match numeric::Num::from_decimal(d) {
        Ok(n) => n.to_string(),
        Err(_) => format!("{}e{}", d.coefficient(), d.exponent()),
    }
}

/// An Ion timestamp in Ion's own notation, which JSON shows as a string.
pub fn format_ion_timestamp(value: &Value) -> String {
    let Value::Timestamp(t) = value else { return String::new() };
    let mut out = format!("{:04}", t.year);
    if t.precision == Precision::Year {
        return out + "T";
    }
    let _ = write!(out, "-{:02}", t.month);
    if t.precision == Precision::Month {
        return out + "T";
    }
    let _ = write!(out, "-{:02}", t.day);
    if t.precision == Precision::Day {
        return out;
    }
    let _ = write!(out, "T{:02}:{:02}", t.hour, t.minute);
    if t.precision == Precision::Second {
        let _ = write!(out, ":{:02}", t.second);
        if t.fraction.digits() > 0 {
            let _ = write!(out, ".{:0width$}", t.fraction.coefficient(), width = usize::from(t.fraction.digits()));
        }
    }
    match t.offset_minutes {
        Some(0) => out.push('Z'),
        None => out.push_str("-00:00"),
        Some(m) => {
            let sign = if m < 0 { '-' } else { '+' };
            let _ = write!(out, "{sign}{:02}:{:02}", m.abs() / 60, m.abs() % 60);
        }
    }
    out
}

/// Shortest digits that read back, PostgreSQL's notation.
pub fn format_float8(f: f64) -> String {
    format_float(f, format!("{f:e}"), 15)
}

pub fn format_float4(f: f32) -> String {
    format_float(f64::from(f), format!("{f:e}"), 6)
}

fn format_float(f: f64, scientific: String, fixed_below: i32) -> String {
    if f.is_nan() {
        return "NaN".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..fixed_below).contains(&exponent) {
        let (sign, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", mantissa),
        };
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        return format!("{sign}{}", place_point(&digits, exponent));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Digits d.ddd × 10^exponent without an exponent.
fn place_point(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (a, b) = digits.split_at(whole);
    format!("{a}.{b}")
}

pub fn format_bytea(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 + bytes.len() * 2);
    out.push_str("\\x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn format_array(items: &[Value], of: &SqlType) -> String {
    let mut out = String::from("{");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match item {
            Value::Null(_) => out.push_str("NULL"),
            Value::List(inner) => out.push_str(&format_array(inner, of)),
            item => quote_element(&format(item, of), &mut out),
        }
    }
    out.push('}');
    out
}

fn quote_element(text: &str, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace();
    if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Reads a text as a type's input function would. `now_micros` is the transaction's time.
pub fn parse(text: &str, ty: &SqlType, now_micros: i64) -> Result<Value> {
    let invalid = || {
        QueryError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type {}: \"{text}\"", short_name(ty)),
        )
    };
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    Ok(match ty {
        SqlType::Bool => Value::Bool(parse_bool(trimmed).ok_or_else(invalid)?),
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Oid | SqlType::Reg(_) => {
            let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            let out_of_range = || {
                QueryError::new(
                    SqlState::NUMERIC_OUT_OF_RANGE,
                    format!("value \"{text}\" is out of range for type {}", short_name(ty)),
                )
            };
            let i: i64 = trimmed.parse().map_err(|_| out_of_range())?;
            if !super::cast::int_fits(i, ty) {
                return Err(out_of_range());
            }
            Value::int(i)
        }
        SqlType::Float4 | SqlType::Float8 => Value::Float(parse_float(trimmed, ty).map_err(|error| match error {
            IsNumber(false) => invalid(),
            IsNumber(true) => QueryError::new(
                SqlState::NUMERIC_OUT_OF_RANGE,
                format!("\"{text}\" is out of range for type {}", short_name(ty)),
            ),
        })?),
        SqlType::Numeric { .. } => {
            if matches!(trimmed.to_ascii_lowercase().as_str(), "nan" | "infinity" | "-infinity" | "inf" | "-inf") {
                return Err(QueryError::unsupported("NaN and infinity in numeric")
                    .hint("Use double precision for values that may not be numbers."));
            }
            let n = numeric::read(trimmed)?.ok_or_else(invalid)?;
            super::cast::fit_numeric(n, ty)?
        }
        SqlType::Text | SqlType::Name | SqlType::Ion | SqlType::Varchar(_) | SqlType::Char(_) => {
            return super::cast::fit_text(Text::from(text), ty, false);
        }
        SqlType::Date => {
            let parsed = datetime::parse(text, now_micros).map_err(|e| e.into_query_error("date", text))?;
            // A date is what the text says, whatever its offset.
            Value::Timestamp(datetime::date_from_days(parsed.local_days())?)
        }
        SqlType::Timestamp => {
            let parsed = datetime::parse(text, now_micros).map_err(|e| e.into_query_error("timestamp", text))?;
            // It has no zone; one in the text is passed over, as in PostgreSQL.
            Value::Timestamp(datetime::from_micros(parsed.local_micros(), false)?)
        }
        SqlType::TimestampTz => {
            let parsed =
                datetime::parse(text, now_micros).map_err(|e| e.into_query_error("timestamp with time zone", text))?;
            Value::Timestamp(datetime::from_micros(parsed.micros, true)?)
        }
        SqlType::Time => Value::string(super::time_of_day::format(super::time_of_day::parse(text)?)),
        SqlType::Interval => datetime::parse_interval(text)?
            .ok_or_else(|| {
                QueryError::new(
                    SqlState::INVALID_DATETIME,
                    format!("invalid input syntax for type interval: \"{text}\""),
                )
            })?
            .to_value(),
        SqlType::Bytea => Value::blob(parse_bytea(text).ok_or_else(invalid)?),
        SqlType::Json => {
            json::parse(text, false)?;
            Value::string(text)
        }
        SqlType::Jsonb => json::parse(text, true)?,
        SqlType::Uuid => Value::string(parse_uuid(trimmed).ok_or_else(invalid)?),
        SqlType::Array(of) => parse_array(text, of, now_micros)?,
        SqlType::Int2Vector | SqlType::OidVector => {
            let of = if *ty == SqlType::Int2Vector { SqlType::Int2 } else { SqlType::Oid };
            let items = trimmed.split_ascii_whitespace().map(|item| parse(item, &of, now_micros));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        SqlType::Void => Value::NULL,
    })
}

/// What PostgreSQL calls a type in messages about its input.
fn short_name(ty: &SqlType) -> String {
    match ty {
        SqlType::Numeric { .. } => "numeric".to_owned(),
        other => other.to_string(),
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let is = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if is("true", 1) || is("yes", 1) || lower == "on" || lower == "1" {
        return Some(true);
    }
    (is("false", 1) || is("no", 1) || is("off", 2) || lower == "0").then_some(false)
}

/// `Err` says whether the text is a number, one that the type has no room for.
fn parse_float(text: &str, ty: &SqlType) -> Result<f64, IsNumber> {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "nan" => return Ok(f64::NAN),
        "inf" | "infinity" | "+inf" | "+infinity" => return Ok(f64::INFINITY),
        "-inf" | "-infinity" => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) {
        return Err(IsNumber(false));
    }
    let f: f64 = text.parse().map_err(|_| IsNumber(false))?;
    let f = if *ty == SqlType::Float4 { f64::from(f as f32) } else { f };
    let zero = !text.split('e').next().unwrap_or_default().bytes().any(|b| matches!(b, b'1'..=b'9'));
    // Too large or too small: never infinity or nothing instead.
    if f.is_finite() && (zero || f != 0.0) { Ok(f) } else { Err(IsNumber(true)) }
}

struct IsNumber(bool);

fn parse_bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return from_hex(hex);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let first = bytes.next()?;
        if first == b'\\' {
            out.push(b'\\');
            continue;
        }
        let digits = [first, bytes.next()?, bytes.next()?];
        let value = digits.iter().try_fold(0_u32, |v, d| char::from(*d).to_digit(8).map(|d| v * 8 + d))?;
        out.push(u8::try_from(value).ok()?);
    }
    Some(out)
}

/// Pairs of hex digits; spaces between pairs are allowed.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    Some(digits.chunks_exact(2).map(|p| p.iter().fold(0, |v, d| v << 4 | d)).collect())
}

/// A UUID in its usual form, of any form that PostgreSQL reads.
pub fn parse_uuid(text: &str) -> Option<String> {
    let body = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let hex: String = body.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("");
    Some(format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)))
}

fn parse_array(text: &str, of: &SqlType, now_micros: i64) -> Result<Value> {
    let chars: Vec<char> = text.trim().chars().collect();
    let mut at = 0;
    let value = array_level(&chars, &mut at, of, now_micros, 0, &mut numeric::WrittenOut::default())
        .map_err(|error| error.unwrap_or_else(|| malformed_array(text)))?;
    if at != chars.len() {
        return Err(malformed_array(text));
    }
    Ok(value)
}

fn malformed_array(text: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""))
}

/// The error is `None` if the text is no array.
fn array_level(
    chars: &[char],
    at: &mut usize,
    of: &SqlType,
    now: i64,
    depth: u8,
    written: &mut numeric::WrittenOut,
) -> Result<Value, Option<QueryError>> {
    let skip = |at: &mut usize| {
        while chars.get(*at).is_some_and(|c| c.is_whitespace()) {
            *at += 1;
        }
    };
    if chars.get(*at) != Some(&'{') || depth > crate::types::ARRAY_DEPTH_MAX {
        return Err(None);
    }
    *at += 1;
    let mut items = Vec::new();
    skip(at);
    if chars.get(*at) == Some(&'}') {
        *at += 1;
        return Ok(Value::List(items));
    }
    loop {
        skip(at);
        if chars.get(*at) == Some(&'{') {
            items.push(array_level(chars, at, of, now, depth + 1, written)?);
        } else {
            let (element, quoted) = array_element(chars, at).ok_or(None)?;
            items.push(match !quoted && element.eq_ignore_ascii_case("null") {
                true => Value::NULL,
                false => parse(&element, of, now)?,
            });
            if let Some(Value::Decimal(d)) = items.last() {
                written.add(&numeric::Num::from_decimal(d)?)?;
            }
        }
        skip(at);
        match chars.get(*at) {
            Some(',') => *at += 1,
            Some('}') => {
                *at += 1;
                return Ok(Value::List(items));
            }
            _ => return Err(None),
        }
    }
}

fn array_element(chars: &[char], at: &mut usize) -> Option<(String, bool)> {
    let mut out = String::new();
    if chars.get(*at) == Some(&'"') {
        *at += 1;
        loop {
            match chars.get(*at)? {
                '"' => {
                    *at += 1;
                    return Some((out, true));
                }
                '\\' => {
                    *at += 1;
                    out.push(*chars.get(*at)?);
                }
                c => out.push(*c),
            }
            *at += 1;
        }
    }
    loop {
        match chars.get(*at)? {
            ',' | '}' => break,
            '{' | '"' => return None,
            '\\' => {
                *at += 1;
                out.push(*chars.get(*at)?);
            }
            c => out.push(*c),
        }
        *at += 1;
    }
    let trimmed = out.trim_end().to_owned();
    (!trimmed.is_empty()).then_some((trimmed, false))
}

/// Blank-padded to `n` characters.
pub fn pad(text: &str, n: u32) -> String {
    let missing = (n as usize).saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_place_is_what_is_formatted() {
        let limits = ledgerstone_digest::ion::Limits::default();
        for ion in [
            "0.",
            "-0.",
            "0.00",
            "-0.00",
            "1.",
            "-1.5",
            "0.37",
            "-0.07",
            "12345678.90",
            "9223372036854775807d-18",
            "-9223372036854775808d-3",
            "1d-19",
            "5d3",
            "123456789012345678901234567890.5",
            "0001-01-01",
            "2020-12-31",
            "9999T",
            "2020-02T",
            "\"\"",
            "\"ab\"",
            "\"äöü\"",
            "\"a\\\"b\\\\c\\n\\x01\\x1f\\x7f€\"",
            "null",
            "7",
            "true",
            "{a: 1, b: [1.50, -3e0, null, \"x\\ty\"], c: {d: 123456789012345678901234567890}, e: 2020-01-01T00:00:00.5Z}",
        ] {
            let value = ledgerstone_digest::ion::parse(ion, &limits).unwrap();
            for ty in [
                SqlType::Jsonb,
                SqlType::Date,
                SqlType::NUMERIC,
                SqlType::Char(4),
                SqlType::Text,
                SqlType::Float8,
                SqlType::TimestampTz,
            ] {
                let mut out = b"before".to_vec();
                write(&value, &ty, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("before{}", format(&value, &ty)), "{ion} as {ty}");
            }
        }
    }

    #[test]
    fn floats_look_like_postgresqls() {
        for (f, text) in [
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (123456789012345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5, "-2.5"),
            (1.0, "1"),
            (1e300, "1e+300"),
            (-0.0, "-0"),
        ] {
            assert_eq!(format_float8(f), text);
        }
        assert_eq!(format_float4(1_234_567.0), "1.234567e+06");
    }

    #[test]
    fn every_type_reads_what_it_writes() {
        let array = |t| SqlType::Array(Box::new(t));
        for (ty, text) in [
            (SqlType::Bool, "t"),
            (SqlType::Int4, "-5"),
            (SqlType::NUMERIC, "12345678901234567.89"),
            (SqlType::Date, "2020-02-29"),
            (SqlType::Timestamp, "2020-02-29 01:02:03.5"),
            (SqlType::TimestampTz, "2020-02-29 01:02:03.000001+00"),
            (SqlType::Interval, "1 year 2 mons -3 days +04:05:06"),
            (SqlType::Bytea, "\\x00ff"),
            (SqlType::Jsonb, "{\"a\": [1, null]}"),
            (SqlType::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (array(SqlType::Int4), "{1,NULL,3}"),
            (array(SqlType::Text), "{a,\"b c\",\"NULL\",\"\",\"q\\\"\"}"),
            (array(SqlType::Int4), "{{1,2},{3,4}}"),
            (SqlType::Char(4), "ab  "),
        ] {
            assert_eq!(format(&parse(text, &ty, 0).unwrap(), &ty), text, "{ty}");
        }
    }

    #[test]
    fn bad_texts_have_their_codes() {
        for (ty, text, code) in [
            (SqlType::Int4, "x", "22P02"),
            (SqlType::Int4, "2147483648", "22003"),
            (SqlType::Date, "2020-13-01", "22008"),
            (SqlType::Date, "soon", "22007"),
            (SqlType::Uuid, "123", "22P02"),
            (SqlType::Jsonb, "{", "22P02"),
            (SqlType::Varchar(Some(2)), "abc", "22001"),
            (SqlType::Array(Box::new(SqlType::Int4)), "{1,", "22P02"),
            (SqlType::Interval, "soon", "22007"),
        ] {
            assert_eq!(parse(text, &ty, 0).unwrap_err().code.as_str(), code, "{ty} {text}");
        }
    }
}
