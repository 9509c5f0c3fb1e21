//! Ion Hash and both encodings against ion-rs. It refuses seconds with more than 18 fraction digits; those are compared
//! with the Python implementation (tests/clients/python/ion_hash_differential.py). docs/compatibility.md lists what
//! differs between the implementations.

use ion_rs::Element;
use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{
    Decimal, Int, Limits, TextError, TextProblem, Value, decode, encode, ion_hash, parse, to_text,
};

use crate::ion_generate::{Random, Shape, TYPES, cases, nested};

/// What ion-rs can hold.
const SHAPE: Shape = Shape { fraction_digits: 18, ..Shape::ANY };

/// What its binary writer says of coefficients above 128 bits.
const LARGE_DECIMAL: &str = "a decimal that was too large";

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
    match from_binary.encode_as(ion_rs::v1_0::Binary) {
        Ok(bytes) => assert_eq!(decode(&bytes, &Limits::DOCUMENT).as_ref(), Ok(value), "{context}: {text}"),
        Err(error) => assert!(error.to_string().contains(LARGE_DECIMAL), "{context}: {text}: {error}"),
    }
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

/// The differences that docs/compatibility.md lists are the ones that are there.
#[test]
fn where_ion_rs_differs_it_refuses_or_writes_what_the_specification_does_not_allow() {
    let digits = |count: usize| format!("2024-01-02T03:04:05.{}Z", &"12345678901234567890123456789012345678"[..count]);
    for (count, read) in [(17, true), (18, true), (19, false), (38, false)] {
        let value = parse(&digits(count), &Limits::DOCUMENT).unwrap();
        assert_eq!(Element::read_one(encode(&value)).is_ok(), read, "{count} digits in binary");
        assert_eq!(Element::read_one(to_text(&value)).is_ok(), read, "{count} digits in text");
    }
    let written = Element::read_one(encode(&Value::string("\u{1}"))).unwrap().encode_as(ion_rs::v1_0::Text).unwrap();
    assert!(written.contains('\u{1}'), "{written:?}: the control character is escaped now");
    let refused = parse(&written, &Limits::DOCUMENT).unwrap_err();
    assert!(matches!(refused.problem, TextProblem::Control(_)), "{refused}");
    assert_eq!(to_text(&Value::string("\u{1}")), r#""\x01""#);
    for (bytes, written) in [(16, true), (40, false)] {
        let value = Value::Decimal(Decimal::new(Int::from_sign_magnitude(false, &vec![0x7f; bytes]), -2));
        let element = Element::read_one(encode(&value)).unwrap();
        assert_eq!(theirs(&element), ion_hash(&value), "{bytes} bytes");
        assert_eq!(element.encode_as(ion_rs::v1_0::Binary).is_ok(), written, "{bytes} bytes");
    }
}
