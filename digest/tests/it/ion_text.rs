//! Ion text: what is accepted, what is refused and where, and that values come back.

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{Hasher, SymbolLookup, SymbolTable, Text};
use ledgerstone_digest::ion::{
    Limits, TextProblem, Value, check, decode, decode_with, encode, encode_with, ion_hash, ion_hash_binary, parse,
    parse_many, to_text, to_text_pretty,
};
use ledgerstone_digest::verifier::{Broken, DataNames, check_data};

use crate::ion_generate::{Random, Shape, cases, nested};

fn read(text: &str) -> Value {
    parse(text, &Limits::DOCUMENT).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[derive(Default)]
struct Dictionary(Vec<Text>);

impl SymbolTable for Dictionary {
    fn intern(&mut self, text: &str) -> u32 {
        let at = self.0.iter().position(|t| &**t == text).unwrap_or_else(|| {
            self.0.push(text.into());
            self.0.len() - 1
        });
        at as u32 + 1
    }
}

impl SymbolLookup for Dictionary {
    fn text(&self, number: u32) -> Option<&Text> {
        self.0.get(number as usize - 1)
    }
}

#[test]
fn values_come_back_from_text_and_binary_with_the_same_hash() {
    let seed = 0x1017;
    let mut random = Random(seed);
    let mut hasher = Hasher::new();
    let mut dictionary = Dictionary::default();
    for case in 0..cases(6000) {
        let value = random.value(Shape::ANY);
        assert_eq!(check(&value, &Limits::DOCUMENT), Ok(()));
        let text = to_text(&value);
        let context = format!("seed {seed:#x}, case {case}: {text}");
        assert_eq!(parse(&text, &Limits::DOCUMENT).as_ref(), Ok(&value), "{context}");
        let pretty = to_text_pretty(&value);
        assert_eq!(parse(&pretty, &Limits::DOCUMENT).as_ref(), Ok(&value), "{context}");
        let bytes = encode(&value);
        assert_eq!(decode(&bytes, &Limits::DOCUMENT).as_ref(), Ok(&value), "{context}");
        let hash = ion_hash(&value);
        assert_eq!(hasher.value(&value), hash, "{context}");
        assert_eq!(ion_hash_binary(&bytes, &Limits::DOCUMENT), Ok(hash), "{context}");
        let mut bare = Vec::new();
        encode_with(&value, &mut dictionary, &mut bare);
        assert_eq!(decode_with(&bare, &dictionary, &Limits::DOCUMENT).as_ref(), Ok(&value), "{context}");
        assert_eq!(hasher.binary_with(&bare, &dictionary, &Limits::DOCUMENT), Ok(hash), "{context}");
        let (found, checked, names) = document(&mut hasher, &bare, &dictionary);
        assert_eq!((found, checked), (hash, check_data(&value)), "{context}");
        let fields = value.unannotated().as_struct();
        let expected = fields.map(|s| s.fields.iter().map(|(name, _)| name.text().map(str::to_owned)).collect());
        assert_eq!(names, expected, "{context}");
    }
}

/// A document's hash, whether it may be one, and the names of its fields, from one reading of its bytes.
fn document(
    hasher: &mut Hasher,
    bytes: &[u8],
    dictionary: &Dictionary,
) -> (Hash, Result<(), Broken>, Option<Vec<Option<String>>>) {
    let (mut checked, mut names) = (DataNames::default(), Vec::new());
    let see = &mut |name: Option<&str>| {
        checked.see(name);
        names.push(name.map(str::to_owned));
    };
    let (hash, is_struct) = hasher.document_with(bytes, dictionary, &Limits::DOCUMENT, see).unwrap();
    match is_struct {
        true => (hash, checked.check(), Some(names)),
        false => (hash, Err(Broken::Data), None),
    }
}

#[test]
fn data_that_could_pass_for_metadata_is_known_by_its_names() {
    let mut dictionary = Dictionary::default();
    for (text, fine) in [
        ("{id: 1, version: 2, txTime: 3, txId: 4}", false),
        ("a::{txId: 1, id: {}, txTime: [], version: 4}", false),
        ("{id: 1, version: 2, txTime: 3, txId: 4, more: 5}", true),
        ("{id: 1, version: 2, txTime: 3, id: 4}", true),
        ("{}", true),
        ("null.struct", false),
        ("[{id: 1}]", false),
    ] {
        let value = read(text);
        let mut bare = Vec::new();
        encode_with(&value, &mut dictionary, &mut bare);
        assert_eq!(document(&mut Hasher::new(), &bare, &dictionary).1.is_ok(), fine, "{text}");
        assert_eq!(check_data(&value).is_ok(), fine, "{text}");
    }
}

#[test]
fn a_hundred_levels_come_back() {
    let value = nested(100, Value::int(1));
    assert_eq!(read(&to_text(&value)), value);
    let bytes = encode(&value);
    assert_eq!(decode(&bytes, &Limits::DOCUMENT), Ok(value.clone()));
    assert_eq!(ion_hash_binary(&bytes, &Limits::DOCUMENT), Ok(ion_hash(&value)));
}

#[test]
fn texts_for_the_same_value_read_the_same() {
    let same = [
        ("-0x1F", "-31"),
        ("0b1_01", "5"),
        ("1_000", "1000"),
        ("-0", "0"),
        ("1.5d2", "15d1"),
        ("1.5D+2", "15d1"),
        ("0.00", "0d-2"),
        ("-0.", "-0d0"),
        ("1_0.0_1", "10.01"),
        ("15e-1", "1.5e0"),
        ("1E400", "+inf"),
        ("2020-01-01", "2020-01-01T"),
        ("2020-01-01T00:00+00:00", "2020-01-01T00:00Z"),
        ("'''a''' /* c */ '''b'''", "\"ab\""),
        ("'''a\r\nb'''", "\"a\\nb\""),
        ("'''a\\\nb'''", "\"ab\""),
        ("\"\\u00e9\\xe9\\U0001F600\\uD83D\\uDE00\"", "\"éé😀😀\""),
        ("{{ aGVs bG8= }}", "{{aGVsbG8=}}"),
        ("{{ '''a''' \n '''\\xff''' }}", "{{\"a\\xFF\"}}"),
        ("(a+-1 b.c //x\n)", "('a' '+-' 1 b '.' c)"),
        ("(a -1 +inf -inf +x)", "(a -1 +inf -inf '+' x)"),
        ("{a:1,\"b\":2,'''c''' '''d''':3,}", "{a:1,b:2,cd:3}"),
        ("[1,/*x*/2,]", "[1,2]"),
        ("a :: b::1", "a::b::1"),
        ("$4", "name"),
        ("$ion_1_0 x", "x"),
        ("$ion_symbol_table::{symbols:[\"s\",1]} $10", "s"),
        ("$ion_symbol_table::{symbols:[\"s\",1]} $11", "$0"),
        (
            "$ion_symbol_table::{symbols:[\"s\"]} $ion_symbol_table::{imports:$ion_symbol_table,symbols:[\"t\"]} [$10,$11]",
            "[s,t]",
        ),
        ("null.null", "null"),
        ("''", "''"),
    ];
    for (text, other) in same {
        assert_eq!(read(text), read(other), "{text} and {other}");
    }
    assert_ne!(read("1.0"), read("1.00"));
    assert_ne!(read("0.0"), read("-0.0"));
    assert_ne!(read("2020-01-01T00:00Z"), read("2020-01-01T00:00-00:00"));
}

#[test]
fn malformed_texts_are_refused() {
    let refused = [
        "",
        "1 2",
        "01",
        "-01",
        "1__0",
        "_1x:",
        "1_",
        "1_.0",
        "1._0",
        "0x",
        "0xg",
        "0b2",
        "1e",
        "1d+",
        "1.2.3",
        "1a",
        "[1 2]",
        "[,]",
        "[1,,2]",
        "{a}",
        "{a:}",
        "{a::1}",
        "{a:1 b:2}",
        "{1:2}",
        "{null:1}",
        "{true:1}",
        "null::1",
        "nan::1",
        "a::",
        "(a::)",
        "(+::a)",
        "null.foo",
        "null.",
        "\"",
        "\"\n\"",
        "\"\\q\"",
        "\"\\uD800\"",
        "\"\\uDC00\"",
        "\"\\u12\"",
        "\"\\U00110000\"",
        "'a",
        "'''a",
        "{{",
        "{{a}}",
        "{{aGVsbG8}}",
        "{{\"é\"}}",
        "{{\"\\u0041\"}}",
        "{{ /*c*/ aGVsbG8= }}",
        "/*",
        "2020",
        "2020-13T",
        "2020-02-30",
        "2020-01-01T24:00Z",
        "2020-01-01T00:00",
        "2020-01-01T00:00:60Z",
        "2020-01-01T00:00:00.Z",
        "2020-01-01T00Z",
        "2020-01-01T00:00+24:00",
        "0000T",
        "0001-01-01T00:00+00:01",
        "$10",
        "$99999999999999999999",
        "$ion_2_0 1",
        "+",
        "+infx",
        "-inf_",
        "]",
        "1]",
        "#",
        "$ion_symbol_table::{imports:[{name:\"x\",version:1,max_id:2}]} 1",
        "$ion_symbol_table::{symbols:[],symbols:[]} 1",
        "1d2147483648",
        "1d-2147483649",
    ];
    for text in refused {
        if let Ok(value) = parse(text, &Limits::DOCUMENT) {
            // A year alone is an integer.
            assert_eq!((text, value.as_i64()), ("2020", Some(2020)), "{text} was read as {value}");
        }
    }
}

#[test]
fn errors_say_where() {
    let error = parse("{\n  é: 1,\n}", &Limits::DOCUMENT).unwrap_err();
    assert_eq!((error.offset, error.line, error.column), (4, 2, 3));
    let error = parse("{\n  a: [1, é]\n}", &Limits::DOCUMENT).unwrap_err();
    assert_eq!((error.offset, error.line, error.column), (11, 2, 10));
    assert_eq!(error.to_string(), "Ion text, line 2, column 10: found 'é'; expected a value");
}

#[test]
fn endless_nesting_is_refused_quickly() {
    for open in ["[", "(", "{a:", "x::[", "[{b:("] {
        let text = open.repeat(1_000_000);
        let error = parse(&text, &Limits::DOCUMENT).unwrap_err();
        assert_eq!(error.problem, TextProblem::TooDeep(128), "{open}");
    }
    let limits = Limits { depth_max: usize::MAX, ..Limits::DOCUMENT };
    let error = parse(&"[".repeat(1_000_000), &limits).unwrap_err();
    assert_eq!(error.problem, TextProblem::TooDeep(ledgerstone_digest::ion::DEPTH_CAP));
}

#[test]
fn limits_hold_for_text() {
    let limits = Limits { bytes_max: 4, ..Limits::DOCUMENT };
    assert_eq!(parse("[1,2]", &limits).unwrap_err().problem, TextProblem::TooLarge(4));
    let limits = Limits { values_max: 2, ..Limits::DOCUMENT };
    assert_eq!(parse("[1,2]", &limits).unwrap_err().problem, TextProblem::TooMany(2));
    let digits = "9".repeat(1_000_000);
    for text in [digits.clone(), format!("{digits}.{digits}"), format!("0x{digits}")] {
        assert_eq!(parse(&text, &Limits::DOCUMENT).unwrap_err().problem, TextProblem::LongInt);
    }
    for text in [&*format!("1d{digits}"), "1d2147483648", "1d-2147483649", "0.1d-2147483648"] {
        assert_eq!(parse(text, &Limits::DOCUMENT).unwrap_err().problem, TextProblem::Exponent);
    }
}

#[test]
fn streams_of_values_are_read_in_order() {
    let values = parse_many("1 \"a\"'b' $ion_1_0 [c] // end", &Limits::DOCUMENT).unwrap();
    assert_eq!(values.iter().map(to_text).collect::<Vec<_>>(), ["1", "\"a\"", "b", "[c]"]);
}

#[test]
fn pretty_text_is_indented() {
    let text = to_text_pretty(&read("{a:[1,2],b:{},c:(x + y)}"));
    assert_eq!(text, "{\n  a: [\n    1,\n    2\n  ],\n  b: {},\n  c: (\n    x\n    +\n    y\n  )\n}");
}
