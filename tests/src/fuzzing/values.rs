//! Values: Ion text and binary, JSON, index keys.

use std::cmp::Ordering;

use ledgerstone_digest::ion::{self, DEPTH_CAP, Limits, Value};
use ledgerstone_query::index::key;
use ledgerstone_query::value::json as sql_json;

/// What is read comes back from text and from binary, and hashes the same however it is written.
pub fn ion_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let tight = Limits { bytes_max: 1 << 12, depth_max: 9, values_max: 64 };
    for limits in [Limits::DOCUMENT, tight, Limits { depth_max: DEPTH_CAP * 2, ..Limits::DOCUMENT }] {
        match ion::parse(text, &limits) {
            Ok(value) => comes_back(&value, &limits),
            Err(error) => {
                assert!(error.line >= 1 && error.column >= 1 && error.offset <= text.len());
                assert!(text.is_char_boundary(error.offset) && !error.to_string().is_empty());
            }
        }
    }
    for value in ion::parse_many(text, &Limits::DOCUMENT).unwrap_or_default() {
        comes_back(&value, &Limits::DOCUMENT);
    }
}

/// The same from binary; and the hash that is computed from the bytes is the value's.
pub fn ion_binary(bytes: &[u8]) {
    for stream in [bytes.to_vec(), [&b"\xe0\x01\0\xea"[..], bytes].concat()] {
        let decoded = ion::decode(&stream, &Limits::DOCUMENT);
        let hashed = ion::ion_hash_binary(&stream, &Limits::DOCUMENT);
        match (&decoded, &hashed) {
            (Ok(value), Ok(hash)) => {
                assert_eq!(ion::ion_hash(value), *hash, "{value:?}");
                comes_back(value, &Limits::DOCUMENT);
            }
            (Err(error), Err(_)) => assert!(error.offset <= stream.len() && !error.to_string().is_empty()),
            _ => panic!("one of the readers refuses what the other takes: {decoded:?}, {hashed:?}"),
        }
        for value in ion::decode_many(&stream, &Limits::DOCUMENT).unwrap_or_default() {
            comes_back(&value, &Limits::DOCUMENT);
        }
    }
}

fn comes_back(value: &Value, limits: &Limits) {
    // Alone in a stream some values are something else: a symbol table, a version marker.
    let whole = Value::List(vec![value.clone()]);
    // The symbol table of the binary form counts too.
    let limits = Limits { depth_max: limits.depth_max + 1, bytes_max: 1 << 26, values_max: 2 * limits.values_max + 16 };
    let binary = ion::encode(&whole);
    assert_eq!(ion::decode(&binary, &limits).as_ref(), Ok(&whole), "in binary");
    assert_eq!(ion::parse(&ion::to_text(&whole), &limits).as_ref(), Ok(&whole), "in text");
    assert_eq!(ion::parse(&ion::to_text_pretty(&whole), &limits).as_ref(), Ok(&whole), "in indented text");
    assert_eq!(ion::ion_hash_binary(&binary, &limits), Ok(ion::ion_hash(&whole)), "its hash");
    assert_eq!(ion::check(value, &limits), Ok(()));
}

/// What is printed reads back, and nothing is JSON here that is none elsewhere.
pub fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Ten thousand digits are written out and read again at the cost of a hundred other inputs: only short texts have them here.
    let long_exponent = text
        .split(['e', 'E'])
        .skip(1)
        .any(|after| after.trim_start_matches(['+', '-', '0']).bytes().take_while(u8::is_ascii_digit).count() > 3);
    if long_exponent && bytes.len() > 64 {
        return;
    }
    for canonical in [false, true] {
        let Ok(value) = sql_json::parse(text, canonical) else { continue };
        for printed in [sql_json::print(&value), sql_json::print_compact(&value)] {
            let again = sql_json::parse(&printed, canonical);
            assert_eq!(again.as_ref(), Ok(&value), "{printed}");
        }
        if canonical {
            assert_eq!(sql_json::canonical(value.clone()), value, "what is canonical stays");
        }
        let elsewhere = serde_json::from_str::<serde_json::Value>(text);
        if let Err(error) = elsewhere {
            let limit = ["recursion", "number out of range"].iter().any(|limit| error.to_string().contains(limit));
            assert!(limit, "accepted here, but {error}");
        }
    }
}

/// The order of index keys as bytes is the order of the values, and their ends are found.
pub fn index_keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let limits = Limits { bytes_max: 1 << 16, depth_max: 40, values_max: 400 };
    let values = ion::parse_many(&text, &limits).unwrap_or_default();
    let keys: Vec<Vec<u8>> = values
        .iter()
        .map(|value| {
            let mut out = Vec::new();
            key::encode(Some(value), &mut out);
            out
        })
        .collect();
    for (a, key_a) in values.iter().zip(&keys).take(24) {
        assert_eq!(key::compare(Some(a), Some(a)), Ordering::Equal);
        for (b, key_b) in values.iter().zip(&keys).take(24) {
            let order = key::compare(Some(a), Some(b));
            assert_eq!(order, key_a.cmp(key_b), "{a:?} and {b:?}");
            assert_eq!(order, key::compare(Some(b), Some(a)).reverse());
            assert!(a != b || order == Ordering::Equal, "equal values are one key: {a:?}");
        }
    }
}
