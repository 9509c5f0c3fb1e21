//! The table of SQL values: a type, what is sent as text, and the text that comes back or the refusal.

/// What becomes of a text sent as a value of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// Read back as this text.
    Text(String),
    /// Refused with this SQLSTATE; what the message, its detail or its hint say.
    Refused(&'static str, &'static str),
}

pub struct SqlCase {
    pub ty: &'static str,
    pub name: String,
    pub sent: String,
    pub becomes: Becomes,
}

/// Type, text sent, text back.
const KEPT: &[(&str, &str, &str)] = &[
    ("boolean", "TRUE", "t"),
    ("smallint", "-32768", "-32768"),
    ("integer", "2147483647", "2147483647"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("bigint", " +7 ", "7"),
    ("real", "3.4028235e38", "3.4028235e+38"),
    ("real", "1e-45", "1e-45"),
    ("double precision", "1.7976931348623157e308", "1.7976931348623157e+308"),
    ("double precision", "5e-324", "5e-324"),
    ("double precision", "-0", "-0"),
    ("double precision", "NaN", "NaN"),
    ("double precision", "-infinity", "-Infinity"),
    ("numeric", "0.1", "0.1"),
    ("numeric", "1.50", "1.50"),
    ("numeric", "-0.00", "0.00"),
    (
        "numeric",
        "12345678901234567890123456789012345678901234567890.123",
        "12345678901234567890123456789012345678901234567890.123",
    ),
    ("numeric", "1e10", "10000000000"),
    ("numeric", "1.5e-10", "0.00000000015"),
    ("numeric(5,2)", "999.994", "999.99"),
    ("text", "", ""),
    ("text", " leading and trailing ", " leading and trailing "),
    ("text", "'\"\\`$$,;\t", "'\"\\`$$,;\t"),
    ("text", "line\nline\r\nline", "line\nline\r\nline"),
    ("text", "\\N", "\\N"),
    ("text", "\\.", "\\."),
    ("text", "\u{1}\u{1f}\u{7f}\u{85}", "\u{1}\u{1f}\u{7f}\u{85}"),
    ("text", "\u{202e}\u{2066}abc\u{2069}\u{202c}", "\u{202e}\u{2066}abc\u{2069}\u{202c}"),
    ("text", "\u{e9} e\u{301} \u{fb01} \u{2126}", "\u{e9} e\u{301} \u{fb01} \u{2126}"),
    ("text", "\u{feff}\u{fffe}\u{ffff}\u{10ffff}\u{200b}", "\u{feff}\u{fffe}\u{ffff}\u{10ffff}\u{200b}"),
    ("varchar(3)", "a\u{e9}\u{1f600}", "a\u{e9}\u{1f600}"),
    ("varchar(3)", "abc   ", "abc"),
    ("char(4)", "\u{e9}", "\u{e9}   "),
    ("bytea", "\\x00ff5c27220a", "\\x00ff5c27220a"),
    ("bytea", "\\x", "\\x"),
    ("bytea", "a\\000\\377\\\\", "\\x6100ff5c"),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("date", "0001-01-01", "0001-01-01"),
    ("date", "9999-12-31", "9999-12-31"),
    ("date", "2000-02-29", "2000-02-29"),
    ("timestamp", "0001-01-01 00:00:00", "0001-01-01 00:00:00"),
    ("timestamp", "9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
    ("timestamptz", "1969-12-31 23:59:59.999999+00", "1969-12-31 23:59:59.999999+00"),
    ("timestamptz", "0001-01-01 00:00:00+00", "0001-01-01 00:00:00+00"),
    ("timestamptz", "9999-12-31 23:59:59.999999+00", "9999-12-31 23:59:59.999999+00"),
    ("timestamptz", "2020-01-01 05:30:00+05:30", "2020-01-01 00:00:00+00"),
    ("interval", "1 year 2 mons -3 days 04:05:06.789", "1 year 2 mons -3 days +04:05:06.789"),
    ("interval", "-178956970 years -8 mons", "-178956970 years -8 mons"),
    // As docs/compatibility.md says: a whole column that is null is NULL.
    ("jsonb", "null", "NULL"),
    ("jsonb", "{\"b\": 1, \"a\": 2, \"b\": 3}", "{\"a\": 2, \"b\": 3}"),
    ("jsonb", "[-0.0, 1.50, 1e3, 12345678901234567890.1]", "[0.0, 1.50, 1000, 12345678901234567890.1]"),
    ("jsonb", "\"\\u202e\\u00e9e\\u0301\\ud83d\\ude00\\u0001\"", "\"\u{202e}\u{e9}e\u{301}\u{1f600}\\u0001\""),
    ("jsonb", "{\"\": {\"\": []}}", "{\"\": {\"\": []}}"),
    ("json", "{\"b\": 1,  \"a\": 2, \"b\": 3}", "{\"b\": 1,  \"a\": 2, \"b\": 3}"),
    ("integer[]", "{1,NULL,-2147483648}", "{1,NULL,-2147483648}"),
    ("integer[]", "{}", "{}"),
    ("text[]", "{\"\",NULL,\"NULL\",\"a,b\",\"\\\"\\\\\",\" \"}", "{\"\",NULL,\"NULL\",\"a,b\",\"\\\"\\\\\",\" \"}"),
];

/// Type, text sent, SQLSTATE, what the message says.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("boolean", "maybe", "22P02", "boolean"),
    ("smallint", "32768", "22003", "smallint"),
    ("integer", "-2147483649", "22003", "integer"),
    ("bigint", "9223372036854775808", "22003", "bigint"),
    ("bigint", "1.0", "22P02", "bigint"),
    ("bigint", "\u{661}", "22P02", "bigint"),
    ("real", "3.5e38", "22003", "real"),
    ("real", "1e-46", "22003", "real"),
    ("double precision", "1e309", "22003", "double precision"),
    ("double precision", "1e-400", "22003", "double precision"),
    ("double precision", "0x10", "22P02", "double precision"),
    ("numeric", "NaN", "0A000", "NaN"),
    ("numeric", "1e131073", "22003", "131072"),
    ("numeric", "1e2147483648", "22003", "131072"),
    ("numeric", "-1e99999999999999999999", "22003", "131072"),
    ("numeric", "1e-16384", "22003", "16383"),
    ("numeric", "1e-2147483648", "22003", "16383"),
    ("numeric", "1e-5000000000", "22003", "16383"),
    ("numeric", "1e131071", "22003", "16384 bytes"),
    ("numeric", "1,5", "22P02", "numeric"),
    ("numeric(5,2)", "999.995", "22003", "precision 5, scale 2"),
    ("text", "a\0b", "22021", "0x00"),
    ("varchar(3)", "abcd", "22001", "varying(3)"),
    ("char(4)", "abcde", "22001", "(4)"),
    ("bytea", "\\x0", "22P02", "bytea"),
    ("bytea", "\\400", "22P02", "bytea"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "22P02", "uuid"),
    ("date", "10000-01-01", "22008", "range"),
    ("date", "1900-02-29", "22008", "range"),
    ("date", "0001-01-01 BC", "22008", "date"),
    ("date", "infinity", "22007", "date"),
    ("timestamp", "9999-12-31 23:59:59.9999995", "22008", "range"),
    ("timestamptz", "0001-01-01 00:00:00+01", "22008", "range"),
    ("timestamptz", "9999-12-31 23:59:59-01", "22008", "range"),
    ("timestamptz", "2020-01-01 25:00", "22008", "range"),
    ("interval", "178956971 years", "22008", "range"),
    ("jsonb", "\"\\u0000\"", "22P05", "0000"),
    ("jsonb", "\"\\ud800\"", "22P02", "json"),
    ("jsonb", "[1,]", "22P02", "json"),
    ("jsonb", "1e131073", "22003", "16384 bytes"),
    ("jsonb", "1e39457", "22003", "16384 bytes"),
    ("jsonb", "1e-16384", "22003", "16383"),
    ("jsonb", "NaN", "22P02", "json"),
    ("json", "{", "22P02", "json"),
    ("integer[]", "{1,2", "22P02", "array"),
    ("integer[]", "{2147483648}", "22003", "integer"),
];

/// Column type, an Ion value as a gRPC parameter of a SQL session, and what PostgreSQL clients are shown or the SQLSTATE.
pub const ION: &[(&str, &str, Result<&str, &str>)] = &[
    ("text", "\"a\\0b\"", Err("22021")),
    ("text", "'a symbol'", Err("42804")),
    ("text", "a::\"text\"", Err("42804")),
    ("text", "null.string", Ok("NULL")),
    ("varchar(3)", "\"abcd\"", Err("22001")),
    ("char(3)", "\"abcd\"", Err("22001")),
    ("bigint", "9223372036854775808", Err("42804")),
    ("bigint", "1.", Err("42804")),
    ("smallint", "32768", Err("42804")),
    ("numeric", "1d2147483647", Err("42804")),
    ("numeric", "1d-2147483648", Err("42804")),
    ("numeric", "1d3", Ok("1000")),
    ("numeric(5,2)", "123456.78", Err("22003")),
    ("numeric(5,2)", "999.99", Ok("999.99")),
    ("real", "1e300", Err("42804")),
    ("real", "0.1e0", Err("42804")),
    ("real", "nan", Ok("NaN")),
    ("real", "0.5e0", Ok("0.5")),
    ("double precision", "-0e0", Ok("-0")),
    ("double precision", "1", Err("42804")),
    ("boolean", "1", Err("42804")),
    ("bytea", "{{\"clob\"}}", Err("42804")),
    ("uuid", "\"zzzzzzzz-9c0b-4ef8-bb6d-6bb9bd380a11\"", Err("42804")),
    ("uuid", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"", Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("interval", "\"178956971 years\"", Err("42804")),
    ("interval", "\"no interval\"", Err("42804")),
    ("date", "2020T", Err("42804")),
    ("date", "2020-01-01T00:00Z", Err("42804")),
    ("timestamptz", "2020-01-01T00:00:00.1234567Z", Err("42804")),
    ("timestamptz", "2020-01-01T05:30:00.5+05:30", Ok("2020-01-01 00:00:00.5+00")),
    ("timestamp", "2020-01-01T05:30:00+05:30", Err("42804")),
    ("timestamp", "2020-01-01T00:00:00-00:00", Ok("2020-01-01 00:00:00")),
    ("json", "\"{\"", Err("42804")),
    ("json", "\"{\\\"a\\\":  1}\"", Ok("{\"a\":  1}")),
    ("integer[]", "[1, 2147483648]", Err("42804")),
    ("integer[]", "[1, \"2\"]", Err("42804")),
    ("text[]", "[\"a\\0b\"]", Err("42804")),
    ("jsonb", "\"{\"", Ok("\"{\"")),
    (
        "jsonb",
        "{a: nan, b: (c d), e: {{AAE=}}, f: 2020T, g: x::1d400000}",
        Ok("{\"a\": \"NaN\", \"b\": [\"c\", \"d\"], \"e\": \"AAE=\", \"f\": \"2020T\", \"g\": 1e400000}"),
    ),
];

pub fn cases() -> Vec<SqlCase> {
    let case = |ty: &'static str, sent: &str, becomes| SqlCase {
        ty,
        name: format!("{:.40}", sent.escape_debug().to_string()),
        sent: sent.to_owned(),
        becomes,
    };
    let mut cases: Vec<SqlCase> = Vec::new();
    cases.extend(KEPT.iter().map(|(ty, sent, back)| case(ty, sent, Becomes::Text((*back).to_owned()))));
    cases.extend(REFUSED.iter().map(|(ty, sent, state, names)| case(ty, sent, Becomes::Refused(state, names))));
    let mut long = |ty, name: &str, sent: String, becomes| {
        cases.push(SqlCase { ty, name: name.to_owned(), sent, becomes });
    };
    let same = |text: &str| Becomes::Text(text.to_owned());
    let digits = "7".repeat(10_000);
    long("numeric", "10000 digits", digits.clone(), same(&digits));
    long("numeric", "10000 digits after the point", format!("0.{digits}"), same(&format!("0.{digits}")));
    let small = format!("0.{}1", "0".repeat(499));
    long("numeric(1000,500)", "500 digits after the point", "1e-500".to_owned(), same(&small));
    long("jsonb", "a number of 10000 digits", digits.clone(), same(&digits));
    for (ty, digits) in [("numeric", 100_000), ("jsonb", 100_000), ("numeric", 39_458)] {
        let sent = "9".repeat(digits);
        long(ty, &format!("{digits} digits"), sent, Becomes::Refused("22003", "16384 bytes"));
    }
    long("bigint", "100000 digits", "9".repeat(100_000), Becomes::Refused("22003", "bigint"));
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    long("jsonb", "100 deep", nested(100), same(&nested(100)));
    // The document around it is one more.
    long("jsonb", "127 deep", nested(127), same(&nested(127)));
    for n in [128, 129, 1_000, 100_000, 1_000_000] {
        let state = if n < 130 { "54000" } else { "54001" };
        long("jsonb", &format!("{n} deep"), nested(n), Becomes::Refused(state, "128"));
    }
    let fields: Vec<String> = (0..20_000).map(|n| format!("\"f{n:05}\": {n}")).collect();
    let object = format!("{{{}}}", fields.join(", "));
    long("jsonb", "20000 fields", object.clone(), same(&object));
    cases
}
