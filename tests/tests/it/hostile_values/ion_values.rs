//! The table of Ion values: how each is written, and whether it comes back as it was or which limit refuses it.

use ledgerstone_client::digest::ion::{self, Int, Limits, Value};

use super::raw;

/// What becomes of a value, at every door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// It comes back equal in Ion's data model: type, precision, scale and offset kept.
    Same,
    /// It is refused. SQLSTATEs as an Ion literal in a statement and as a binary parameter, and what the message names.
    Refused { literal: &'static str, binary: &'static str, names: &'static str },
}

pub struct Case {
    pub name: String,
    /// As Ion text.
    pub text: String,
    /// As Ion binary without version marker, where the text says nothing that can be read and written again.
    pub raw: Option<Vec<u8>>,
    pub expect: Expect,
    /// What PostgreSQL clients are shown, as jsonb.
    pub json: Option<String>,
    /// It takes its time, and goes through two doors only.
    pub is_wide: bool,
}

impl Case {
    fn same(name: impl Into<String>, text: impl Into<String>) -> Case {
        Case { name: name.into(), text: text.into(), raw: None, expect: Expect::Same, json: None, is_wide: false }
    }

    fn shown(mut self, json: impl Into<String>) -> Case {
        self.json = Some(json.into());
        self
    }

    fn raw(mut self, bytes: Vec<u8>) -> Case {
        self.raw = Some(bytes);
        self
    }

    fn refused(mut self, literal: &'static str, binary: &'static str, names: &'static str) -> Case {
        self.expect = Expect::Refused { literal, binary, names };
        self
    }

    /// The value that should come back.
    pub fn meant(&self) -> Value {
        // Inside a struct, where a symbol table is a value like others.
        let parsed = ion::parse(&format!("{{v: {}}}", self.text), &Limits::DOCUMENT);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        parsed.as_struct().and_then(|fields| fields.get("v")).expect("a value").clone()
    }

    /// Alone in a stream it is read as a symbol table, so it can only be sent as a part of something.
    pub fn is_part(&self) -> bool {
        self.text.starts_with("$ion_symbol_table::")
    }
}

/// Short values, as they are written, and as jsonb shows them.
const SHORT: &[(&str, &str, &str)] = &[
    ("null", "null", "null"),
    ("null of null", "null.null", "null"),
    ("null of bool", "null.bool", "null"),
    ("null of int", "null.int", "null"),
    ("null of float", "null.float", "null"),
    ("null of decimal", "null.decimal", "null"),
    ("null of timestamp", "null.timestamp", "null"),
    ("null of symbol", "null.symbol", "null"),
    ("null of string", "null.string", "null"),
    ("null of clob", "null.clob", "null"),
    ("null of blob", "null.blob", "null"),
    ("null of list", "null.list", "null"),
    ("null of sexp", "null.sexp", "null"),
    ("null of struct", "null.struct", "null"),
    ("annotated null", "a::null.int", "null"),
    (
        "nulls inside",
        "{a: null.int, b: [null.string, null], c: (null.list)}",
        r#"{"a": null, "b": [null, null], "c": [null]}"#,
    ),
    ("true", "true", "true"),
    ("false", "false", "false"),
    ("zero", "0", "0"),
    ("minus one", "-1", "-1"),
    ("largest of 64 bits", "9223372036854775807", "9223372036854775807"),
    ("one above 64 bits", "9223372036854775808", "9223372036854775808"),
    ("smallest of 64 bits", "-9223372036854775808", "-9223372036854775808"),
    ("one below 64 bits", "-9223372036854775809", "-9223372036854775809"),
    ("unsigned 64 bits", "18446744073709551615", "18446744073709551615"),
    ("unsigned 64 bits and one", "18446744073709551616", "18446744073709551616"),
    ("float zero", "0e0", "0"),
    ("float minus zero", "-0e0", "-0"),
    ("NaN", "nan", "\"NaN\""),
    ("infinity", "+inf", "\"Infinity\""),
    ("minus infinity", "-inf", "\"-Infinity\""),
    ("smallest float", "5e-324", "5e-324"),
    ("largest float", "1.7976931348623157e308", "1.7976931348623157e+308"),
    ("smallest normal float", "2.2250738585072014e-308", "2.2250738585072014e-308"),
    ("float with 17 digits", "0.1e0", "0.1"),
    ("decimal zero", "0.", "0"),
    ("decimal minus zero", "-0.", "0"),
    ("minus zero with scale", "-0.00", "0.00"),
    ("minus zero with exponent", "-0d5", "0"),
    ("scale", "1.50", "1.50"),
    ("more scale", "1.500", "1.500"),
    ("positive exponent", "15d3", "15000"),
    ("zero with a scale", "0d-3", "0.000"),
    ("zero with the largest exponent", "0d2147483647", "0e2147483647"),
    ("the largest exponent", "1d2147483647", "1e2147483647"),
    ("the smallest exponent", "-7d-2147483648", "-7e-2147483648"),
    ("more scale than a numeric has", "3d-16384", "3e-16384"),
    ("more digits than a numeric has", "3d131073", "3e131073"),
    ("year", "2020T", "\"2020T\""),
    ("month", "2020-01T", "\"2020-01T\""),
    ("day", "2020-01-01", "\"2020-01-01\""),
    ("minute", "2020-01-01T00:00Z", "\"2020-01-01T00:00Z\""),
    ("second", "2020-01-01T00:00:00Z", "\"2020-01-01T00:00:00Z\""),
    ("fraction of one zero", "2020-01-01T00:00:00.0Z", "\"2020-01-01T00:00:00.0Z\""),
    ("unknown offset", "2020-01-01T00:00:00-00:00", "\"2020-01-01T00:00:00-00:00\""),
    ("offset", "2020-01-01T05:30:00.250+05:30", "\"2020-01-01T05:30:00.250+05:30\""),
    ("first instant", "0001-01-01T00:00:00.000Z", "\"0001-01-01T00:00:00.000Z\""),
    ("first instant in the east", "0001-01-01T23:59:00+23:59", "\"0001-01-01T23:59:00+23:59\""),
    ("first year", "0001T", "\"0001T\""),
    ("last year", "9999T", "\"9999T\""),
    (
        "last instant",
        "9999-12-31T23:59:59.99999999999999999999999999999999999999Z",
        "\"9999-12-31T23:59:59.99999999999999999999999999999999999999Z\"",
    ),
    ("last instant in the west", "9999-12-31T00:00-23:59", "\"9999-12-31T00:00-23:59\""),
    ("leap day", "2000-02-29", "\"2000-02-29\""),
    ("before 1970", "1969-12-31T23:59:59.999999Z", "\"1969-12-31T23:59:59.999999Z\""),
    ("symbol", "name", "\"name\""),
    ("symbol without text", "$0", "\"$0\""),
    ("empty symbol", "''", "\"\""),
    ("symbol like a keyword", "'null'", "\"null\""),
    ("symbol like a number", "'$10'", "\"$10\""),
    ("symbol like a version", "'$ion_1_0'", "\"$ion_1_0\""),
    ("symbol like nan", "'nan'", "\"nan\""),
    ("empty string", r#""""#, r#""""#),
    ("zero byte", r#""a\0b""#, r#""a\u0000b""#),
    ("control characters", r#""\x01\x1f\x7f\t\n\r\a\v\f""#, "\"\\u0001\\u001f\u{7f}\\t\\n\\r\\u0007\\u000b\\f\""),
    ("quotes and backslashes", r#""'\"\\`''""#, r#""'\"\\`''""#),
    ("bidirectional overrides", r#""\u202e\u2066abc\u2069\u202c""#, "\"\u{202e}\u{2066}abc\u{2069}\u{202c}\""),
    ("composed", r#""\u00e9""#, "\"\u{e9}\""),
    ("decomposed", r#""e\u0301""#, "\"e\u{301}\""),
    ("compatibility", r#""\ufb01\u2126\uff21""#, "\"\u{fb01}\u{2126}\u{ff21}\""),
    ("no characters", r#""\ufffe\uffff\U0001fffe""#, "\"\u{fffe}\u{ffff}\u{1fffe}\""),
    ("last character", r#""\U0010ffff""#, "\"\u{10ffff}\""),
    ("byte order mark", r#""\ufeffa\u200b\u00ad""#, "\"\u{feff}a\u{200b}\u{ad}\""),
    ("surrogate pair", r#""\ud83d\ude00""#, "\"\u{1f600}\""),
    ("empty blob", "{{}}", "\"\""),
    ("blob", "{{AP8B/g==}}", "\"AP8B/g==\""),
    ("empty clob", r#"{{""}}"#, "\"\""),
    ("clob", r#"{{"\x00\xff\x80 a"}}"#, "\"AP+AIGE=\""),
    ("empty list", "[]", "[]"),
    ("empty sexp", "()", "[]"),
    ("empty struct", "{}", "{}"),
    ("sexp with operators", "(a + -1 'b' [c])", r#"["a", "+", -1, "b", ["c"]]"#),
    ("annotation", "a::1", "1"),
    ("annotations", "a::b::a::{c: d::e::[f::1]}", r#"{"c": [1]}"#),
    ("annotation without text", "$0::1", "1"),
    ("odd annotations", "''::'a b'::'null'::'\\u202e'::1", "1"),
    ("annotated sexp", "a::(b::c)", "[\"c\"]"),
    ("a symbol table inside", "$ion_symbol_table::{symbols: [\"x\"]}", r#"{"symbols": ["x"]}"#),
    ("a shared symbol table inside", "$ion_shared_symbol_table::{name: \"a\"}", r#"{"name": "a"}"#),
    ("repeated fields", "{a: 1, a: 2, a: 1, b: {a: 3, a: 3}}", r#"{"a": 1, "a": 2, "a": 1, "b": {"a": 3, "a": 3}}"#),
    ("repeated fields of other types", "{a: 1, a: 1., a: 1e0, a: \"1\"}", r#"{"a": 1, "a": 1, "a": 1, "a": "1"}"#),
    ("field without text", "{$0: 1}", r#"{"$0": 1}"#),
    ("empty field name", "{'': 1, ' ': 2}", r#"{"": 1, " ": 2}"#),
    ("field with a zero byte", r#"{'a\0b': 1}"#, r#"{"a\u0000b": 1}"#),
    ("composed and decomposed fields", r#"{'\u00e9': 1, 'e\u0301': 2}"#, "{\"\u{e9}\": 1, \"e\u{301}\": 2}"),
    ("fields that differ in case", "{a: 1, A: 2}", r#"{"a": 1, "A": 2}"#),
    (
        "names of the system",
        "{_ql_salt: 1, id: 2, version: 3, txTime: 4, txId: 5}",
        r#"{"_ql_salt": 1, "id": 2, "version": 3, "txTime": 4, "txId": 5}"#,
    ),
    ("what an interval looks like", "(interval 1 2 3)", "\"1 mon 2 days 00:00:00.000003\""),
    ("what an interval is not", "(interval 1 2)", r#"["interval", 1, 2]"#),
    ("long strings", "'''a''' '''b'''", "\"ab\""),
];

/// Text that is no Ion value, with what the message says.
const WRONG: &[(&str, &str, &str)] = &[
    ("exponent 2^31", "1d2147483648", "2147483647"),
    ("exponent -2^31-1", "1d-2147483649", "2147483648"),
    ("exponent of 20 digits", "1d99999999999999999999", "2147483647"),
    ("scale below the smallest exponent", "1.5d-2147483648", "2147483648"),
    ("39 fraction digits", "2020-01-01T00:00:00.000000000000000000000000000000000000001Z", "38"),
    ("year 0 in UTC", "0001-01-01T00:00+00:01", "year"),
    ("year 10000 in UTC", "9999-12-31T23:59-00:01", "year"),
    ("year 0", "0000T", "year"),
    ("month 13", "2020-13T", "month"),
    ("February 30", "2020-02-30", "day"),
    ("a leap day of no leap year", "1900-02-29", "day"),
    ("leap second", "2016-12-31T23:59:60Z", "second"),
    ("hour 24", "2020-01-01T24:00Z", "hour"),
    ("offset of a day", "2020-01-01T00:00+24:00", "offset"),
    ("lone surrogate", r#""\ud800""#, "escape"),
    ("unknown symbol", "$999", "symbol"),
    ("unescaped control character", "\"\u{1}\"", "control character"),
    ("two values", "1 2", "expected"),
    ("no value", "/* */", "expected"),
    ("open list", "[1", "expected"),
    ("minus zero hexadecimal prefix", "-0x", "number"),
];

/// Every value.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SHORT.iter().map(|(name, text, json)| Case::same(*name, *text).shown(*json)).collect();
    for (name, text, names) in WRONG {
        let state = if name.contains("exponent") { "22003" } else { "42601" };
        let mut case = Case::same(*name, *text).refused(state, "22P03", names);
        if name.contains("exponent ") && !name.contains("digits") {
            let exponent = if text.contains("-") { -2_147_483_649 } else { 2_147_483_648 };
            let exponent = if name.contains("scale") { -2_147_483_649 } else { exponent };
            case = case.raw(raw::decimal(exponent, &[1])).refused("22003", "22003", names);
        }
        cases.push(case);
    }
    numbers(&mut cases);
    nesting(&mut cases);
    binary_only(&mut cases);
    wide(&mut cases);
    cases
}

fn numbers(cases: &mut Vec<Case>) {
    let digits = |n: usize| "7".repeat(n);
    for n in [100, 10_000, Int::DIGITS_MAX - 1] {
        cases.push(Case::same(format!("integer of {n} digits"), digits(n)).shown(digits(n)));
        cases.push(Case::same(format!("negative integer of {n} digits"), format!("-{}", digits(n))));
        cases.push(Case::same(format!("decimal of {n} digits"), format!("{}.{}", digits(n - 5), digits(5))));
        cases.push(Case::same(format!("decimal of {n} digits far up"), format!("{}d2147483647", digits(n))));
        cases.push(Case::same(format!("decimal of {n} digits far down"), format!("-{}d-2147483648", digits(n))));
    }
    for n in [Int::DIGITS_MAX + 1, 100_000] {
        let bytes = vec![0x7f; Int::BYTES_MAX + n / 1000];
        cases.push(Case::same(format!("integer of {n} digits"), digits(n)).raw(raw::tlv(2, &bytes)).refused(
            "22003",
            "22003",
            if n > 0 { "integer" } else { "" },
        ));
        cases.push(
            Case::same(format!("decimal of {n} digits"), format!("1.{}", digits(n)))
                .raw(raw::decimal(-5, &bytes))
                .refused("22003", "22003", "integer"),
        );
    }
}

fn nesting(cases: &mut Vec<Case>) {
    let nested =
        |open: &str, inner: &str, close: &str, n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
    // The document is the first level.
    for n in [100, 127] {
        cases.push(Case::same(format!("lists {n} deep"), nested("[", "", "]", n)).shown(nested("[", "", "]", n)));
        cases.push(Case::same(format!("sexps {n} deep"), nested("(", "", ")", n)));
        cases.push(Case::same(format!("structs {n} deep"), nested("{a:", "1", "}", n)));
    }
    cases.push(Case::same("annotated lists 60 deep", nested("a::[", "1", "]", 60)));
    for n in [128, 129, 1_000, 10_000, 100_000, 1_000_000] {
        for (kind, open, close, code) in [("lists", "[", "]", 11), ("sexps", "(", ")", 12)] {
            cases.push(
                Case::same(format!("{kind} {n} deep"), nested(open, "", close, n))
                    .raw(raw::nested(code, n))
                    .refused("54000", "54000", "128"),
            );
        }
    }
    cases.push(Case::same("structs 1000 deep", nested("{a:", "1", "}", 1_000)).refused("54000", "54000", "128"));
}

/// What only bytes can say.
fn binary_only(cases: &mut Vec<Case>) {
    for (name, bits) in [
        ("quiet NaN with a payload", 0x7ff8_dead_beef_0001_u64),
        ("signalling NaN", 0x7ff0_0000_0000_0001),
        ("negative NaN", 0xffff_ffff_ffff_ffff),
    ] {
        cases.push(Case::same(name, "nan").raw(raw::tlv(4, &bits.to_be_bytes())).shown("\"NaN\""));
    }
    cases.push(Case::same("short NaN with a payload", "nan").raw(raw::tlv(4, &0x7fa0_0001_u32.to_be_bytes())));
    cases.push(Case::same("short minus zero", "-0e0").raw(raw::tlv(4, &0x8000_0000_u32.to_be_bytes())));
    cases.push(Case::same("float of no bytes", "0e0").raw(vec![0x40]));
    cases.push(Case::same("integer with zeros in front", "5").raw(raw::tlv(2, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5])));
    cases.push(Case::same("decimal of no bytes", "0.").raw(vec![0x50]));
    cases.push(Case::same("minus zero of a byte", "-0.").raw(raw::decimal(0, &[0x80])));
    cases.push(
        Case::same("fraction with a positive exponent", "2020-01-01T00:00:00Z")
            .raw(raw::tlv(6, &[0x80, 0x0f, 0xe4, 0x81, 0x81, 0x80, 0x80, 0x80, 0x80])),
    );
    cases.push(Case::same("list with padding", "[1]").raw(raw::tlv(11, &[0x02, 0xff, 0xff, 0x21, 1, 0x00])));
    let wrong: [(&str, Vec<u8>, &'static str, &'static str); 12] = [
        ("integer minus zero", vec![0x31, 0], "22P03", "minus zero"),
        ("text that is not UTF-8", raw::tlv(8, b"a\xff"), "22P03", "UTF-8"),
        ("text with a surrogate", raw::tlv(8, b"\xed\xa0\x80"), "22P03", "UTF-8"),
        ("overlong text", raw::tlv(8, b"\xc0\x80"), "22P03", "UTF-8"),
        ("length beyond the end", vec![0x8e, 0x7f, 0x7f, 0x7f, 0xff], "22P03", "beyond its end"),
        (
            "length of 64 bits",
            vec![0xbe, 1, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0xff],
            "22P03",
            "beyond its end",
        ),
        ("reserved type", vec![0xf0], "22P03", "type byte"),
        ("symbol beyond the table", vec![0x72, 0x7f, 0xff], "22P03", "symbol"),
        ("annotations around annotations", vec![0xe7, 0x81, 0x84, 0xe4, 0x81, 0x84, 0x21, 1], "22P03", "annotations"),
        ("fields out of order", vec![0xd1, 0x86, 0x85, 0x21, 1, 0x84, 0x21, 2], "22P03", "order"),
        ("month 13 in bytes", raw::tlv(6, &[0x80, 0x0f, 0xe4, 0x8d]), "22P03", "month"),
        ("hour without minute", raw::tlv(6, &[0x80, 0x0f, 0xe4, 0x81, 0x81, 0x85]), "22P03", "hour without minute"),
    ];
    for (name, bytes, state, names) in wrong {
        // No text says this.
        cases.push(Case::same(name, String::new()).raw(bytes).refused("", state, names));
    }
}

fn wide(cases: &mut Vec<Case>) {
    let list = |item: &dyn Fn(usize) -> String| (0..100_000).map(item).collect::<Vec<_>>().join(",");
    for (name, text) in [
        ("100000 fields", format!("{{{}}}", list(&|n| format!("f{n}:{n}")))),
        ("100000 times one field", format!("{{{}}}", list(&|_| "a:1".to_owned()))),
        ("100000 symbols", format!("[{}]", list(&|n| format!("s{n}")))),
    ] {
        cases.push(Case { is_wide: true, ..Case::same(name, text) });
    }
    cases.push(Case::same("10000 annotations", format!("{}1", "a::".repeat(10_000))));
    cases.push(Case::same("all bytes in a clob", {
        let bytes: String = (0..=255).map(|b| format!("\\x{b:02x}")).collect();
        format!("{{{{\"{bytes}\"}}}}")
    }));
}
