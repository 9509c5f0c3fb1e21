//! Ion Hash and both encodings against ion-rs. Its integers and decimal coefficients have at most 128 bits and its
//! seconds at most 18 fraction digits; what goes beyond is compared with the Python implementation (tests/clients/python/ion_hash_differential.py).

use ion_rs::Element;
use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{Limits, TextError, TextProblem, Value, decode, encode, ion_hash, parse, to_text};

use crate::ion_generate::{Random, Shape, TYPES, cases, nested};

/// What ion-rs can hold.
const SHAPE: Shape = Shape { int_bytes: 15, fraction_digits: 18, ..Shape::ANY };

fn theirs(element: &Element) -> Hash {
    Hash(ion_rs::ion_hash::sha256(element).unwrap().into())
}

fn check(value: &Value, context: &str) {
    let text = to_text(value);
    let expected = ion_hash(value);
    let from_binary = Element::read_one(encode(value)).unwrap_or_else(|e| panic!("{context}: {text}: {e}"));
    assert_eq!(theirs(&from_binary), expected, "{context}: binary of {text}");
    let from_text = Element::read_one(text.as_bytes()).unwrap_or_else(|e| panic!("{context}: {text}: {e}"));
    assert_eq!(theirs(&from_text), expected, "{context}: {text}");
    // And what they write is read here as the same value.
    let bytes = from_binary.encode_as(ion_rs::v1_0::Binary).unwrap();
    assert_eq!(decode(&bytes, &Limits::DOCUMENT).as_ref(), Ok(value), "{context}: {text}");
    let written = from_binary.encode_as(ion_rs::v1_0::Text).unwrap();
    match parse(&written, &Limits::DOCUMENT) {
        // It leaves control characters in quotes as they are; the specification asks for escapes.
        Err(TextError { problem: TextProblem::Control(_), .. }) => {}
        read => assert_eq!(read.as_ref(), Ok(value), "{context}: {written}"),
    }
}

#[test]
fn ion_rs_gives_the_same_hashes() {
    for (i, t) in TYPES.iter().enumerate() {
        check(&Value::Null(*t), &format!("null {i}"));
    }
    for depth in [1, 10, 50, 100] {
        check(&nested(depth, Value::string("deep")), &format!("depth {depth}"));
    }
    let seed = 0xD1FF;
    let mut random = Random(seed);
    for case in 0..cases(6000) {
        check(&random.value(SHAPE), &format!("seed {seed:#x}, case {case}"));
    }
}
