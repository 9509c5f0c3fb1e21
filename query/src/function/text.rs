//! String and binary string functions (PostgreSQL's documentation, 9.4 and 9.5). Characters are Unicode scalar values;
//! in the C collation `upper` and `lower` change ASCII letters only.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use ledgerstone_digest::ion::Value;
use sha2::Digest as _;

use super::size::{self, TextBuilder};
use super::ty::{BYTEA, INT4, INT8, R_INT4, R_INT8, R_TEXT, SHOWN, TEXT, UNTYPED, of};
use super::{
    Call, Returns, Scalar, int_at, int_in, lenient, some_bool, some_int, some_text, strict, text_at, value_at, variadic,
};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::text::from_hex;

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("lower", &[TEXT], R_TEXT, |c, a| {
        some_text(if c.partiql { text_at(a, 0)?.to_lowercase() } else { text_at(a, 0)?.to_ascii_lowercase() })
    }),
    strict("upper", &[TEXT], R_TEXT, |c, a| {
        some_text(if c.partiql { text_at(a, 0)?.to_uppercase() } else { text_at(a, 0)?.to_ascii_uppercase() })
    }),
    strict("initcap", &[TEXT], R_TEXT, |_, a| some_text(initcap(text_at(a, 0)?))),
    strict("length", &[TEXT], R_INT4, |_, a| some_int(text_at(a, 0)?.chars().count() as i64)),
    strict("length", &[BYTEA], R_INT4, byte_length),
    strict("char_length", &[TEXT], R_INT4, |_, a| some_int(text_at(a, 0)?.chars().count() as i64)),
    strict("character_length", &[TEXT], R_INT4, |_, a| some_int(text_at(a, 0)?.chars().count() as i64)),
    strict("octet_length", &[TEXT], R_INT4, |_, a| some_int(text_at(a, 0)?.len() as i64)),
    strict("octet_length", &[BYTEA], R_INT4, byte_length),
    strict("bit_length", &[TEXT], R_INT4, |_, a| some_int(text_at(a, 0)?.len() as i64 * 8)),
    strict("substring", &[TEXT, INT4], R_TEXT, substring),
    strict("substring", &[TEXT, INT4, INT4], R_TEXT, substring),
    strict("substr", &[TEXT, INT4], R_TEXT, substring),
    strict("substr", &[TEXT, INT4, INT4], R_TEXT, substring),
    strict("substring", &[BYTEA, INT4, INT4], of(SqlType::Bytea), sub_bytes),
    strict("substr", &[BYTEA, INT4, INT4], of(SqlType::Bytea), sub_bytes),
    strict("left", &[TEXT, INT4], R_TEXT, |_, a| {
        let (text, n) = (text_at(a, 0)?, int_at(a, 1)?);
        let count = text.chars().count() as i64;
        let keep = if n >= 0 { n } else { (count + n).max(0) };
        some_text(text.chars().take(keep as usize).collect::<String>())
    }),
    strict("right", &[TEXT, INT4], R_TEXT, |_, a| {
        let (text, n) = (text_at(a, 0)?, int_at(a, 1)?);
        let count = text.chars().count() as i64;
        let skip = if n >= 0 { (count - n).max(0) } else { n.saturating_neg() };
        some_text(text.chars().skip(skip as usize).collect::<String>())
    }),
    strict("lpad", &[TEXT, INT4], R_TEXT, |_, a| pad(a, true)),
    strict("lpad", &[TEXT, INT4, TEXT], R_TEXT, |_, a| pad(a, true)),
    strict("rpad", &[TEXT, INT4], R_TEXT, |_, a| pad(a, false)),
    strict("rpad", &[TEXT, INT4, TEXT], R_TEXT, |_, a| pad(a, false)),
    strict("btrim", &[TEXT], R_TEXT, |_, a| trim(a, true, true)),
    strict("btrim", &[TEXT, TEXT], R_TEXT, |_, a| trim(a, true, true)),
    strict("ltrim", &[TEXT], R_TEXT, |_, a| trim(a, true, false)),
    strict("ltrim", &[TEXT, TEXT], R_TEXT, |_, a| trim(a, true, false)),
    strict("rtrim", &[TEXT], R_TEXT, |_, a| trim(a, false, true)),
    strict("rtrim", &[TEXT, TEXT], R_TEXT, |_, a| trim(a, false, true)),
    strict("trim", &[TEXT], R_TEXT, |_, a| trim(a, true, true)),
    strict("trim", &[TEXT, TEXT], R_TEXT, |_, a| trim(a, true, true)),
    strict("replace", &[TEXT, TEXT, TEXT], R_TEXT, replace),
    strict("translate", &[TEXT, TEXT, TEXT], R_TEXT, translate),
    // POSITION(needle IN text) arrives with the text first.
    strict("position", &[TEXT, TEXT], R_INT4, |_, a| some_int(position(text_at(a, 0)?, text_at(a, 1)?))),
    strict("strpos", &[TEXT, TEXT], R_INT4, |_, a| some_int(position(text_at(a, 0)?, text_at(a, 1)?))),
    strict("starts_with", &[TEXT, TEXT], of(SqlType::Bool), |_, a| {
        some_bool(text_at(a, 0)?.starts_with(text_at(a, 1)?))
    }),
    strict("split_part", &[TEXT, TEXT, INT4], R_TEXT, split_part),
    strict("repeat", &[TEXT, INT4], R_TEXT, |_, a| {
        let (text, n) = (text_at(a, 0)?, int_at(a, 1)?.max(0) as usize);
        size::check_bytes(text.len().saturating_mul(n))?;
        some_text(text.repeat(n))
    }),
    strict("reverse", &[TEXT], R_TEXT, |_, a| some_text(text_at(a, 0)?.chars().rev().collect::<String>())),
    strict("ascii", &[TEXT], R_INT4, |_, a| some_int(text_at(a, 0)?.chars().next().map_or(0, |c| i64::from(c as u32)))),
    strict("chr", &[INT4], R_TEXT, |_, a| {
        let code = u32::try_from(int_at(a, 0)?).ok().filter(|c| *c != 0).and_then(char::from_u32);
        match code {
            Some(c) => some_text(c.to_string()),
            None => Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested character is not valid")),
        }
    }),
    variadic("concat", &[SHOWN], R_TEXT, |_, a| joined(a.iter().flatten(), "")),
    variadic("concat_ws", &[TEXT, SHOWN], R_TEXT, |_, a| {
        let Some(Some(_)) = a.first() else { return Ok(None) };
        joined(a.iter().skip(1).flatten(), text_at(a, 0)?)
    }),
    variadic("format", &[TEXT, SHOWN], R_TEXT, |_, a| super::text_format::format(a)),
    strict("md5", &[TEXT], R_TEXT, |_, a| some_text(hex(&md5(text_at(a, 0)?.as_bytes())))),
    strict("md5", &[BYTEA], R_TEXT, |_, a| some_text(hex(&md5(bytes_at(a, 0)?)))),
    strict("sha256", &[BYTEA], of(SqlType::Bytea), |_, a| {
        Ok(Some(Value::blob(sha2::Sha256::digest(bytes_at(a, 0)?).to_vec())))
    }),
    strict("sha512", &[BYTEA], of(SqlType::Bytea), |_, a| {
        Ok(Some(Value::blob(sha2::Sha512::digest(bytes_at(a, 0)?).to_vec())))
    }),
    strict("encode", &[BYTEA, TEXT], R_TEXT, |_, a| {
        let bytes = bytes_at(a, 0)?;
        some_text(match text_at(a, 1)?.to_ascii_lowercase().as_str() {
            "hex" => hex(bytes),
            "base64" => base64_lines(bytes),
            "escape" => escape(bytes),
            other => return Err(unknown_encoding(other)),
        })
    }),
    strict("decode", &[TEXT, TEXT], of(SqlType::Bytea), |_, a| decode(text_at(a, 0)?, text_at(a, 1)?)),
    strict("convert_to", &[TEXT, TEXT], of(SqlType::Bytea), |_, a| {
        Ok(Some(Value::blob(text_at(a, 0)?.as_bytes().to_vec())))
    }),
    strict("convert_from", &[BYTEA, TEXT], R_TEXT, |_, a| match std::str::from_utf8(bytes_at(a, 0)?) {
        Ok(text) => some_text(text),
        Err(_) => {
            Err(QueryError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\""))
        }
    }),
    strict("get_byte", &[BYTEA, INT4], R_INT4, |_, a| {
        let byte = usize::try_from(int_at(a, 1)?).ok().and_then(|i| bytes_at(a, 0).ok()?.get(i).copied());
        byte.map(|b| Some(Value::int(i64::from(b))))
            .ok_or_else(|| QueryError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "index out of valid range"))
    }),
    strict("to_hex", &[INT4], R_TEXT, |_, a| some_text(format!("{:x}", int_at(a, 0)? as i32))),
    strict("to_hex", &[INT8], R_TEXT, |_, a| some_text(format!("{:x}", int_at(a, 0)?))),
    strict("to_hex", &[UNTYPED], R_TEXT, |_, a| some_text(format!("{:x}", int_in(a, 0)?))),
    strict("quote_ident", &[TEXT], R_TEXT, |_, a| some_text(quote_ident(text_at(a, 0)?))),
    strict("quote_literal", &[TEXT], R_TEXT, |_, a| some_text(quote_literal(text_at(a, 0)?))),
    lenient("quote_nullable", &[TEXT], R_TEXT, |_, a| match a.first() {
        Some(Some(_)) => some_text(quote_literal(text_at(a, 0)?)),
        _ => some_text("NULL"),
    }),
    strict("overlay", &[TEXT, TEXT, INT4], R_TEXT, |_, a| overlay(a, None)),
    strict("overlay", &[TEXT, TEXT, INT4, INT4], R_TEXT, |_, a| overlay(a, Some(int_at(a, 3)?))),
    lenient("string_to_array", &[TEXT, TEXT], Returns::TextArray, |_, a| string_to_array(a)),
    lenient("string_to_array", &[TEXT, TEXT, TEXT], Returns::TextArray, |_, a| string_to_array(a)),
    strict("hashtext", &[TEXT], R_INT8, |_, a| {
        let hash =
            md5(text_at(a, 0)?.as_bytes()).iter().fold(0_i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(*b)));
        some_int(i64::from(hash))
    }),
];

/// The parts of a text: without a delimiter its characters; those that are the third argument are NULL.
fn string_to_array(a: &[Datum]) -> Result<Datum> {
    let given = |i: usize| match a.get(i) {
        Some(Some(_)) => text_at(a, i).map(Some),
        _ => Ok(None),
    };
    let (Some(text), by, null) = (given(0)?, given(1)?, given(2)?) else { return Ok(None) };
    let part = |part: &str| Ok(if Some(part) == null { Value::NULL } else { Value::string(part) });
    match by {
        _ if text.is_empty() => Ok(Some(Value::List(Vec::new()))),
        None => size::list(text.chars().map(|c| part(c.encode_utf8(&mut [0; 4])))),
        Some("") => size::list(std::iter::once(part(text))),
        Some(by) => size::list(text.split(by).map(part)),
    }
}

fn bytes_at(a: &[Datum], i: usize) -> Result<&[u8]> {
    match value_at(a, i)? {
        Value::Blob(b) | Value::Clob(b) => Ok(b),
        _ => Err(super::wrong(i, "bytea")),
    }
}

fn byte_length(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    some_int(bytes_at(a, 0)?.len() as i64)
}

/// The window SQL's substring keeps: from (1-based, may be less than 1), for.
fn window(from: i64, length: Option<i64>) -> Result<(usize, Option<usize>)> {
    let end = match length {
        Some(n) if n < 0 => {
            return Err(QueryError::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(n) => Some(from.saturating_add(n)),
        None => None,
    };
    let start = from.max(1);
    Ok(((start - 1) as usize, end.map(|e| e.saturating_sub(start).max(0) as usize)))
}

fn substring(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let length = if a.len() > 2 { Some(int_at(a, 2)?) } else { None };
    let (skip, take) = window(int_at(a, 1)?, length)?;
    let chars = text_at(a, 0)?.chars().skip(skip);
    some_text(match take {
        Some(n) => chars.take(n).collect::<String>(),
        None => chars.collect(),
    })
}

fn sub_bytes(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let (skip, take) = window(int_at(a, 1)?, Some(int_at(a, 2)?))?;
    let kept: Vec<u8> = bytes_at(a, 0)?.iter().skip(skip).take(take.unwrap_or(usize::MAX)).copied().collect();
    Ok(Some(Value::blob(kept)))
}

fn pad(a: &[Datum], left: bool) -> Result<Datum> {
    let text = text_at(a, 0)?;
    let width = int_at(a, 1)?.max(0) as usize;
    let fill = if a.len() > 2 { text_at(a, 2)? } else { " " };
    size::check_bytes(width.saturating_mul(4))?;
    let missing = width.saturating_sub(text.chars().count());
    if missing == 0 || fill.is_empty() {
        let end = text.char_indices().nth(width).map_or(text.len(), |(at, _)| at);
        return some_text(text.get(..end).unwrap_or_default());
    }
    let fill_chars = fill.chars().count();
    let mut padding = fill.repeat(missing / fill_chars);
    padding.extend(fill.chars().take(missing % fill_chars));
    some_text(if left { padding + text } else { text.to_owned() + &padding })
}

/// Characters for others; those that have no other go.
fn translate(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let mut to = text_at(a, 2)?.chars();
    let mut map: HashMap<char, Option<char>> = HashMap::new();
    for from in text_at(a, 1)?.chars() {
        // A character that stands there twice has the other of the first place, and takes one in the second.
        let other = to.next();
        map.entry(from).or_insert(other);
    }
    some_text(text_at(a, 0)?.chars().filter_map(|c| map.get(&c).map_or(Some(c), |other| *other)).collect::<String>())
}

fn trim(a: &[Datum], start: bool, end: bool) -> Result<Datum> {
    let set: HashSet<char> = if a.len() > 1 { text_at(a, 1)?.chars().collect() } else { HashSet::from([' ']) };
    let mut text = text_at(a, 0)?;
    if start {
        text = text.trim_start_matches(|c| set.contains(&c));
    }
    if end {
        text = text.trim_end_matches(|c| set.contains(&c));
    }
    some_text(text)
}

fn replace(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let (text, from, to) = (text_at(a, 0)?, text_at(a, 1)?, text_at(a, 2)?);
    if from.is_empty() {
        return some_text(text);
    }
    let size = text.matches(from).count().saturating_mul(to.len()).saturating_add(text.len());
    size::check_bytes(size)?;
    some_text(text.replace(from, to))
}

/// Values as texts with a text between them.
pub(super) fn joined<'v>(values: impl Iterator<Item = &'v Value>, between: &str) -> Result<Datum> {
    let mut out = TextBuilder::default();
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.push_str(between)?;
        }
        out.push_value(value)?;
    }
    out.finish()
}

fn position(text: &str, needle: &str) -> i64 {
    match text.find(needle) {
        Some(at) => text.get(..at).map_or(0, |t| t.chars().count() as i64) + 1,
        None => 0,
    }
}

fn split_part(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let (text, by, n) = (text_at(a, 0)?, text_at(a, 1)?, int_at(a, 2)?);
    if n == 0 {
        return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero"));
    }
    if by.is_empty() {
        return some_text(if n.abs() == 1 { text } else { "" });
    }
    let from_start = if n > 0 { n - 1 } else { text.matches(by).count() as i64 + 1 + n };
    some_text(usize::try_from(from_start).ok().and_then(|at| text.split(by).nth(at)).unwrap_or(""))
}

fn initcap(text: &str) -> String {
    let mut after_word = false;
    text.chars()
        .map(|c| {
            let shown = if after_word { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
            after_word = c.is_alphanumeric();
            shown
        })
        .collect()
}

fn overlay(a: &[Datum], length: Option<i64>) -> Result<Datum> {
    let (text, new, from) = (text_at(a, 0)?, text_at(a, 1)?, int_at(a, 2)?);
    if from < 1 {
        return Err(QueryError::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let length = length.unwrap_or(new.chars().count() as i64).max(0) as usize;
    let start = (from - 1) as usize;
    let head: String = text.chars().take(start).collect();
    let tail: String = text.chars().skip(start.saturating_add(length)).collect();
    let mut whole = TextBuilder::default();
    [&*head, new, &*tail].into_iter().try_for_each(|part| whole.push_str(part))?;
    whole.finish()
}

/// Words that PostgreSQL 15 does not take for any name without quotes (`pg_get_keywords()`, all but category U), in order.
const KEYWORDS: &str = "all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
     cast char character check coalesce collate collation column concurrently constraint create cross \
     current_catalog current_date current_role current_schema current_time current_timestamp current_user dec \
     decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign \
     freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect \
     interval into is isnull join lateral leading least left like limit localtime localtimestamp national natural \
     nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay \
     placing position precision primary real references returning right row select session_user setof similar \
     smallint some substring symmetric table tablesample then time timestamp to trailing treat trim true union \
     unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement \
     xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable";

pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let plain = plain && !KEYWORDS.split(' ').any(|word| word == name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(super) fn quote_literal(text: &str) -> String {
    let body = text.replace('\'', "''");
    if body.contains('\\') { format!(" E'{}'", body.replace('\\', "\\\\")) } else { format!("'{body}'") }
}

fn hex(bytes: &[u8]) -> String {
    crate::value::text::format_bytea(bytes).split_off(2)
}

/// Base64 with a line break after 76 characters, as PostgreSQL writes it.
fn base64_lines(bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(76).filter_map(|l| std::str::from_utf8(l).ok()).collect();
    lines.join("\n")
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            0 | 128.. => out.push_str(&format!("\\{b:03o}")),
            b => out.push(char::from(*b)),
        }
    }
    out
}

fn unknown_encoding(name: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
        .hint("The encodings are hex, base64 and escape.")
}

fn decode(text: &str, encoding: &str) -> Result<Datum> {
    let invalid = |what: &str| QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid {what} sequence"));
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "hex" => from_hex(text).ok_or_else(|| invalid("hexadecimal"))?,
        "base64" => {
            let joined: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            base64::engine::general_purpose::STANDARD.decode(joined).map_err(|_| invalid("base64"))?
        }
        "escape" => text.as_bytes().to_vec(),
        other => return Err(unknown_encoding(other)),
    };
    Ok(Some(Value::blob(bytes)))
}

/// MD5 (RFC 1321). Kept for `md5()`, which the sample data uses; nothing here relies on its strength.
fn md5(message: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&((message.len() as u64).wrapping_mul(8)).to_le_bytes());
    for chunk in padded.chunks_exact(64) {
        let mut words = [0_u32; 16];
        for (word, bytes) in words.iter_mut().zip(chunk.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |w, b| w << 8 | u32::from(*b));
        }
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64_usize {
            let (mix, at) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            // floor(2^32 × |sin(i + 1)|), RFC 1321 section 3.4
            let constant = ((i as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mix).wrapping_add(constant).wrapping_add(words[at]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        for (s, v) in state.iter_mut().zip([a, b, c, d]) {
            *s = s.wrapping_add(v);
        }
    }
    let mut out = [0; 16];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_has_its_vectors() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("1", "c4ca4238a0b923820dcc509a6f75849b"),
            (&"1234567890".repeat(8), "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(hex(&md5(text.as_bytes())), digest);
        }
    }
}
