//! Ion binary from a stranger: every valid form is read, everything else is refused without panic, without a large
//! allocation and with bounded stack.

use ledgerstone_digest::ion::{
    BinaryProblem, Hasher, Limits, TextProblem, Value, decode, decode_many, encode, ion_hash, ion_hash_binary, parse,
    to_text,
};

use crate::ion_generate::{Random, Shape, cases};

const MARKER: [u8; 4] = [0xE0, 0x01, 0x00, 0xEA];

fn stream(body: &[u8]) -> Vec<u8> {
    [&MARKER, body].concat()
}

fn problem(body: &[u8]) -> BinaryProblem {
    let bytes = stream(body);
    let error = decode(&bytes, &Limits::DOCUMENT).expect_err(&format!("{body:02x?} was accepted"));
    assert_eq!(ion_hash_binary(&bytes, &Limits::DOCUMENT), Err(error.clone()), "{body:02x?}");
    error.problem
}

#[test]
fn every_valid_form_is_read() {
    let forms: &[(&[u8], &str)] = &[
        (&[0x00, 0x21, 0x05, 0x03, 1, 2, 3], "5"),
        (&[0x0E, 0x82, 1, 2, 0x21, 0x05], "5"),
        (&[0x2E, 0x84, 0, 0, 0, 5], "5"),
        (&[0x22, 0, 5], "5"),
        (&[0x2E, 0x80], "0"),
        (&[0x3F], "null.int"),
        (&[0x44, 0x3F, 0xC0, 0, 0], "1.5e0"),
        (&[0x50], "0d0"),
        (&[0x51, 0xC1], "0.0"),
        (&[0x53, 0xC1, 0, 15], "1.5"),
        (&[0x54, 0x40, 0x00, 0x00, 0x81], "0.0"),
        (&[0x52, 0xC1, 0x80], "-0.0"),
        (&[0x63, 0xC0, 0x0F, 0xD0], "2000T"),
        (&[0x64, 0xC0, 0x00, 0x0F, 0xD0], "2000T"),
        (&[0x69, 0x80, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0x80, 0xC3], "2000-01-01T00:00:00.000Z"),
        (&[0x69, 0x80, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0x80, 0x80], "2000-01-01T00:00:00Z"),
        (&[0x71, 4], "name"),
        (&[0x70], "$0"),
        (&[0xBE, 0x81, 0x11], "[true]"),
        (&[0xB3, 0x01, 0xFF, 0x11], "[true]"),
        (&[0xD5, 0x84, 0x11, 0x80, 0x01, 0xAA], "{name:true}"),
        (&[0xD1, 0x84, 0x84, 0x11, 0x85, 0x10], "{name:true,version:false}"),
        (&[0xE3, 0x81, 0x84, 0x11], "name::true"),
        (&[0xE4, 0x00, 0x81, 0x84, 0x11], "name::true"),
        (&[0xE7, 0x81, 0x83, 0xD4, 0x87, 0xB2, 0x81, b'a', 0x71, 10], "a"),
        (&[0xE5, 0x81, 0x83, 0xD2, 0x86, 0x0F, 0x11], "true"),
        (&[0xE0, 0x01, 0x00, 0xEA, 0x11], "true"),
        (&[0x71, 2], "'$ion_1_0'"),
        (&[0x71, 2, 0x11], "true"),
    ];
    for (body, text) in forms {
        let bytes = stream(body);
        let expected = parse(text, &Limits::DOCUMENT).unwrap();
        assert_eq!(decode(&bytes, &Limits::DOCUMENT).as_ref(), Ok(&expected), "{body:02x?}");
        assert_eq!(ion_hash_binary(&bytes, &Limits::DOCUMENT), Ok(ion_hash(&expected)), "{body:02x?}");
    }
}

#[test]
fn invalid_forms_are_refused() {
    use BinaryProblem::*;
    assert_eq!(problem(&[]), NoValue);
    assert_eq!(problem(&[0x11, 0x11]), SecondValue);
    assert_eq!(problem(&[0x12]), TypeByte(0x12));
    assert_eq!(problem(&[0xF0]), TypeByte(0xF0));
    assert_eq!(problem(&[0x45, 0, 0, 0, 0, 0]), TypeByte(0x45));
    assert_eq!(problem(&[0x61, 0xC0]), TypeByte(0x61));
    assert_eq!(problem(&[0xE1, 0x81]), TypeByte(0xE1));
    assert_eq!(problem(&[0x30]), MinusZero);
    assert_eq!(problem(&[0x31, 0x00]), MinusZero);
    assert_eq!(problem(&[0x82, b'a']), Length { needed: 2, left: 1 });
    assert_eq!(problem(&[0x8E, 0x7F, 0x7F, 0x7F, 0xFF]), Length { needed: (1 << 28) - 1, left: 0 });
    assert_eq!(
        problem(&[0x8E, 0x01, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xFF]),
        Length { needed: u64::MAX, left: 0 }
    );
    assert_eq!(problem(&[0x8E, 0x02, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xFF]), Number);
    assert_eq!(problem(&[0x81, 0xFF]), Utf8);
    assert_eq!(problem(&[0x71, 10]), Symbol(10));
    assert_eq!(problem(&[0x79, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Number);
    assert_eq!(problem(&[0xD1, 0x80]), TypeByte(0xD1));
    assert_eq!(problem(&[0xD1, 0x84, 0x85, 0x11, 0x84, 0x10]), Order);
    assert_eq!(problem(&[0xB2, 0x82, b'a']), Length { needed: 2, left: 1 });
    for wrapper in [
        &[0xE3, 0x80, 0x84, 0x11][..],
        &[0xE3, 0x82, 0x84, 0x84],
        &[0xE4, 0x81, 0x84, 0x11, 0x11],
        &[0xE3, 0x81, 0x84, 0x00],
        &[0xE6, 0x81, 0x84, 0xE3, 0x81, 0x84, 0x11],
    ] {
        assert!(matches!(problem(wrapper), Annotations(_)), "{wrapper:02x?}");
    }
    for timestamp in [
        &[0x63, 0xC0, 0x00, 0x80][..],
        &[0x64, 0xC0, 0x0F, 0xD0, 0x8D],
        &[0x66, 0xC0, 0x0F, 0xD0, 0x81, 0x81, 0x80],
        &[0x68, 0xC0, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0xBC],
        &[0x6A, 0xC0, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0x80, 0xC1, 0x0A],
        &[0x6A, 0xC0, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0x80, 0xC1, 0x81],
        &[0x6A, 0xC0, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0x80, 0x80, 0x01],
    ] {
        assert!(matches!(problem(timestamp), Timestamp(_)), "{timestamp:02x?}");
    }
    assert_eq!(decode(&[0x11], &Limits::DOCUMENT).unwrap_err().problem, NoVersionMarker);
    assert_eq!(decode(&[0xE0, 2, 0, 0xEA, 0x11], &Limits::DOCUMENT).unwrap_err().problem, Version(2, 0));
}

#[test]
fn shared_symbol_tables_are_refused_by_name() {
    let import = "{imports:[{name:\"lib\",version:1,max_id:9}]}";
    let table = encode(&parse(import, &Limits::DOCUMENT).unwrap());
    // All its names are system symbols, so the struct follows the marker; here it stands in a table's wrapper.
    let body = &table[4..];
    let length = body.len() + 2;
    let mut bytes = stream(&[0xEE, 0x80 | length as u8, 0x81, 0x83]);
    bytes.extend_from_slice(body);
    let error = decode(&bytes, &Limits::DOCUMENT).unwrap_err();
    assert!(error.to_string().contains("shared table \"lib\""), "{error}");
}

#[test]
fn endless_nesting_is_refused() {
    // A million lists, each with the longest length that fits behind it.
    let mut body = Vec::new();
    let depth: usize = 1_000_000;
    for level in (0..depth).rev() {
        let length = level * 5;
        body.push(0xBE);
        body.extend((1..4).rev().map(|i| (length >> (7 * i)) as u8 & 0x7F));
        body.push(length as u8 & 0x7F | 0x80);
    }
    assert_eq!(problem(&body), BinaryProblem::TooDeep(128));
    let limits = Limits { depth_max: usize::MAX, ..Limits::DOCUMENT };
    let bytes = stream(&body);
    // The deepest that is ever read fits a small stack.
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        assert!(matches!(decode(&bytes, &limits).unwrap_err().problem, BinaryProblem::TooDeep(_)));
        assert!(matches!(ion_hash_binary(&bytes, &limits).unwrap_err().problem, BinaryProblem::TooDeep(_)));
        let text = "[".repeat(1_000_000);
        assert!(parse(&text, &limits).is_err());
        let deep = "x::[".repeat(500) + "1" + &"]".repeat(500);
        let value = parse(&deep, &limits).unwrap();
        assert_eq!(ion_hash_binary(&encode(&value), &limits), Ok(ion_hash(&value)));
        assert_eq!(to_text(&value), deep);
    });
    small.unwrap().join().unwrap();
}

#[test]
fn random_bytes_and_mutations_never_panic() {
    let seed = 0xF022;
    let mut random = Random(seed);
    let limits = Limits { bytes_max: 1 << 16, depth_max: 32, values_max: 4096 };
    let mut hasher = Hasher::new();
    let mut accepted = 0;
    for case in 0..cases(20_000) {
        let mut bytes = if case % 4 == 0 {
            let length = random.below(64);
            stream(&random.bytes(length))
        } else {
            encode(&random.value(Shape::ANY))
        };
        for _ in 0..1 + random.below(2) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.insert(at, random.next() as u8),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let value = decode(&bytes, &limits);
        let hash = hasher.binary(&bytes, &limits);
        let _ = decode_many(&bytes, &limits);
        match value {
            Ok(value) => {
                accepted += 1;
                assert_eq!(hash, Ok(ion_hash(&value)), "seed {seed:#x}, case {case}: {bytes:02x?}");
                check_comes_back(&value, &format!("seed {seed:#x}, case {case}: {bytes:02x?}"));
            }
            Err(error) => assert_eq!(hash, Err(error), "seed {seed:#x}, case {case}: {bytes:02x?}"),
        }
    }
    assert!(accepted > 500, "only {accepted} mutated encodings were still values");
}

#[test]
fn mutated_texts_never_panic() {
    let seed = 0x7E57;
    let mut random = Random(seed);
    let pieces =
        ["'", "\"", "'''", "{{", "}}", "{", "[", "(", ")", "\\", "::", ":", ",", "é", "0", "-", "/*", "//", "\0"];
    for case in 0..cases(20_000) {
        let mut text = to_text(&random.value(Shape::ANY));
        for _ in 0..1 + random.below(3) {
            let mut at = random.below(text.len() as u64 + 1) as usize;
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match random.below(3) {
                0 => text.truncate(at),
                1 => drop(text.drain(at..).next()),
                _ => text.insert_str(at, pieces[random.below(pieces.len() as u64) as usize]),
            }
        }
        if let Ok(value) = parse(&text, &Limits::DOCUMENT) {
            check_comes_back(&value, &format!("seed {seed:#x}, case {case}: {text}"));
        }
    }
}

fn check_comes_back(value: &Value, context: &str) {
    let text = to_text(value);
    assert_eq!(parse(&text, &Limits::DOCUMENT).as_ref(), Ok(value), "{context}");
    assert_eq!(decode(&encode(value), &Limits::DOCUMENT).as_ref(), Ok(value), "{context}");
}

#[test]
fn limits_hold_for_binary() {
    let bytes = encode(&parse("[1,[2,3]]", &Limits::DOCUMENT).unwrap());
    let limits = |bytes_max, depth_max, values_max| Limits { bytes_max, depth_max, values_max };
    assert!(decode(&bytes, &limits(bytes.len(), 2, 5)).is_ok());
    let refused = |limits| decode(&bytes, &limits).unwrap_err().problem;
    assert_eq!(refused(limits(bytes.len() - 1, 2, 5)), BinaryProblem::TooLarge(bytes.len() - 1));
    assert_eq!(refused(limits(bytes.len(), 1, 5)), BinaryProblem::TooDeep(1));
    assert_eq!(refused(limits(bytes.len(), 2, 4)), BinaryProblem::TooMany(4));
    let long = [&[0x2E, 0x01, 0x01, 0x81][..], &[0xFF; (1 << 14) + 129]].concat();
    assert_eq!(problem(&long), BinaryProblem::LongInt);
}

/// A long symbol and a million references to it are a few megabytes that stand for a terabyte.
#[test]
fn symbols_that_would_be_too_long_written_out_are_refused() {
    let limits = Limits { bytes_max: 1_000, ..Limits::DOCUMENT };
    let text = |references: usize| {
        let symbol = "x".repeat(500);
        format!("$ion_symbol_table::{{symbols: [\"{symbol}\"]}} [{}]", "$10,".repeat(references))
    };
    assert!(parse(&text(8), &limits).is_ok());
    assert_eq!(parse(&text(9), &limits).unwrap_err().problem, TextProblem::TooLong(4_000));
    // The names of the symbol table itself count too.
    for (few, many) in [
        (format!("[{}]", "s,".repeat(7)), format!("[{}]", "s,".repeat(9))),
        (format!("{{{}}}", "s:1,".repeat(7)), format!("{{{}}}", "s:1,".repeat(9))),
        (format!("{}1", "s::".repeat(7)), format!("{}1", "s::".repeat(9))),
    ] {
        let [few, many] =
            [few, many].map(|text| encode(&parse(&text.replace('s', &"x".repeat(500)), &Limits::DOCUMENT).unwrap()));
        assert!(decode(&few, &limits).is_ok() && ion_hash_binary(&few, &limits).is_ok());
        assert_eq!(decode(&many, &limits).unwrap_err().problem, BinaryProblem::TooLong(4_000));
        assert_eq!(ion_hash_binary(&many, &limits).unwrap_err().problem, BinaryProblem::TooLong(4_000));
    }
}
