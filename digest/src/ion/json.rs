//! Ion down-converted to JSON, as Ion's cookbook says and QLDB's exports had it ("Down-converting to JSON"): annotations
//! and types that JSON lacks are lost, so it cannot be hashed again.
//!
//! Blobs are base64, timestamps and symbols strings, S-expressions arrays, typed nulls and floats that are no number
//! `null`; of fields with one name the last stays. Numbers keep their digits.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::print::decimal_text;
use super::{Struct, Symbol, Value};

/// A value as JSON in one line.
pub fn to_json(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null(_) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) if f.is_finite() => out.push_str(&format!("{f:?}")),
        Value::Float(_) => out.push_str("null"),
        Value::Decimal(d) => out.push_str(&decimal_text(d).trim_end_matches('.').replace('d', "e")),
        Value::Timestamp(t) => string(&t.to_string(), out),
        Value::Symbol(s) => string(name_of(s), out),
        Value::String(s) => string(s, out),
        // A byte a character: above 127 they are Latin-1's.
        Value::Clob(bytes) => string(&bytes.iter().copied().map(char::from).collect::<String>(), out),
        Value::Blob(bytes) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        Value::List(items) | Value::Sexp(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Struct(fields) => structure(fields, out),
        Value::Annotated(inner) => write(&inner.value, out),
    }
}

fn structure(structure: &Struct, out: &mut String) {
    let last: HashMap<&str, usize> =
        structure.fields.iter().enumerate().map(|(i, (name, _))| (name_of(name), i)).collect();
    out.push('{');
    let mut first = true;
    for (i, (name, value)) in structure.fields.iter().enumerate() {
        if last.get(name_of(name)) != Some(&i) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        string(name_of(name), out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn name_of(symbol: &Symbol) -> &str {
    symbol.text().unwrap_or("$0")
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line separators of JSON Lines must not stand inside a line either.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, parse};
    use super::*;

    #[test]
    fn values_are_converted_as_the_cookbook_says() {
        let cases = [
            ("null.timestamp", "null"),
            ("[true, -12, 1e3, -0e0, nan, +inf]", "[true,-12,1000.0,-0.0,null,null]"),
            ("[12., 1.50, -0.0, 5d7, 12d-3, 1d-400000]", "[12,1.50,-0.0,5e7,0.012,1e-400000]"),
            ("[2026T, 2026-01-02T03:04:05.678Z]", r#"["2026T","2026-01-02T03:04:05.678Z"]"#),
            ("(a 'b c' + \"d\")", r#"["a","b c","+","d"]"#),
            (r#"[{{aGk=}}, {{"a\xff"}}]"#, "[\"aGk=\",\"a\u{ff}\"]"),
            (r#""\"\\\n\t\r\0\x7f\u2028ä""#, r#""\"\\\n\t\r\u0000\u007f\u2028ä""#),
            ("{a: 1, b: x::2, a: y::{c: []}}", r#"{"b":2,"a":{"c":[]}}"#),
        ];
        for (ion, json) in cases {
            let value = parse(ion, &Limits::DOCUMENT).unwrap_or_else(|error| panic!("{ion}: {error}"));
            assert_eq!(to_json(&value), json, "{ion}");
        }
    }

    #[test]
    fn what_is_written_is_json() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let value = Value::List(vec![Value::string(all.as_str()), Value::symbol(all.as_str()), Value::Float(5e-324)]);
        let read: serde_json::Value = serde_json::from_str(&to_json(&value)).unwrap();
        assert_eq!(read, serde_json::json!([all, all, 5e-324]));
    }
}
