//! The order of `jsonb` as PostgreSQL has it (its documentation, 8.14.4): object > array > boolean > number > string > null, of
//! containers the one with more in it, and then part by part. Here as bytes whose order is that order.
//!
//! Indexes keep the order of all Ion values ([`crate::index::key`]), which is another one: this one is for ORDER BY and `<`.

use ledgerstone_digest::ion::{Symbol, Value};

use super::json;
use crate::index::key;

/// PostgreSQL has it below everything, for reasons of its history.
const EMPTY_LIST_OUTSIDE: u8 = 0;
const NULL: u8 = 1;
const TEXT: u8 = 2;
const NUMBER: u8 = 3;
const BOOL: u8 = 4;
const LIST: u8 = 5;
const OBJECT: u8 = 6;

pub fn bytes(value: &Value) -> Vec<u8> {
    let value = json::canonical(value.unannotated().clone());
    let mut out = Vec::with_capacity(32);
    match &value {
        Value::List(items) if items.is_empty() => out.push(EMPTY_LIST_OUTSIDE),
        value => append(value, &mut out),
    }
    out
}

/// Values are at most as deep as documents may be.
fn append(value: &Value, out: &mut Vec<u8>) {
    match value.unannotated() {
        Value::Null(_) => out.push(NULL),
        Value::Bool(value) => out.extend([BOOL, u8::from(*value)]),
        number @ (Value::Int(_) | Value::Decimal(_) | Value::Float(_)) => {
            out.push(NUMBER);
            key::encode(Some(number), out);
        }
        Value::List(items) | Value::Sexp(items) => {
            begin(LIST, items.len(), out);
            items.iter().for_each(|item| append(item, out));
        }
        Value::Struct(object) => {
            begin(OBJECT, object.fields.len(), out);
            for (name, value) in &object.fields {
                append_name(name, out);
                append(value, out);
            }
        }
        Value::String(text) => append_text(text, out),
        // What JSON has no word for is a text in it.
        other => append_text(json::print(other).trim_matches('"'), out),
    }
}

fn begin(kind: u8, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn append_text(text: &str, out: &mut Vec<u8>) {
    out.push(TEXT);
    key::encode(Some(&Value::string(text)), out);
}

fn append_name(name: &Symbol, out: &mut Vec<u8>) {
    key::encode(Some(&Value::string(name.text().unwrap_or("$0"))), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_postgresqls_order() {
        let ascending = [
            "[]",
            "null",
            "\"\"",
            "\"a\"",
            "\"ab\"",
            "\"b\"",
            "-10",
            "-1.5",
            "0",
            "1",
            "2",
            "10",
            "1e3",
            "false",
            "true",
            "[null]",
            "[\"z\"]",
            "[1]",
            "[true]",
            "[[]]",
            "[{}]",
            "[0, 0]",
            "[1, 0]",
            "{}",
            "{\"a\": 1}",
            "{\"a\": 2}",
            "{\"b\": 0}",
            "{\"aa\": 0}",
            "{\"b\": 0, \"c\": 0}",
        ];
        let keys: Vec<Vec<u8>> = ascending.iter().map(|text| bytes(&json::parse(text, true).unwrap())).collect();
        for (at, pair) in keys.windows(2).enumerate() {
            // Names compare as texts, so "aa" comes before "b".
            match ascending[at + 1] {
                "{\"aa\": 0}" => assert!(pair[1] < pair[0]),
                next => assert!(pair[0] < pair[1], "{} {next}", ascending[at]),
            }
        }
    }

    #[test]
    fn equal_values_have_equal_bytes() {
        for (a, b) in [("1", "1.00"), ("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1e0}"), ("[0]", "[-0.0]")] {
            assert_eq!(bytes(&json::parse(a, false).unwrap()), bytes(&json::parse(b, true).unwrap()), "{a} {b}");
        }
    }
}
