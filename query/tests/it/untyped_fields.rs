//! Functions and operators over fields without a declared type: what they mean depends on the value.

use ledgerstone_query::session::Session;

use crate::support::{Memory, says, told};

fn ledger() -> (Memory, Session) {
    let memory = Memory::new(51);
    let mut session = memory.session();
    let text = "CREATE TABLE c; \
                INSERT INTO c (k, n, s, big) VALUES (12, 5.5, 'abc', 5000000000); \
                UPDATE c SET t = timestamp '2020-01-02 03:04:05.5', z = timestamptz '2020-01-02 03:04:05.5Z', \
                d = date '2020-01-05', i = interval '1 day 02:03', o = time '10:11:12'";
    told(&mut session, text).unwrap();
    (memory, session)
}

#[test]
fn parts_of_times_are_those_of_the_value() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            (
                "SELECT extract(second FROM t), extract(hour FROM z), date_part('hour', t) FROM c",
                "5.500000|3|3 SELECT 1",
            ),
            (
                "SELECT extract(day FROM d), extract(hour FROM d), extract(epoch FROM d) FROM c",
                "5|0|1578182400 SELECT 1",
            ),
            ("SELECT extract(hour FROM i), date_part('minute', i), extract(hour FROM o) FROM c", "2|3|10 SELECT 1"),
            ("UPDATE c SET t = '2020-03-04 05:06:07Z'", "UPDATE 1"),
            (
                "SELECT extract(month FROM t), extract(second FROM t), to_char(t, 'YYYY HH24') FROM c",
                "3|7.000000|2020 05 SELECT 1",
            ),
            ("SELECT extract(week FROM i) FROM c", "0A000 unit \"week\" not supported for type interval"),
        ],
    );
}

#[test]
fn formats_and_remainders_are_those_of_the_value() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("SELECT mod(n, 2), mod(k, 5), mod(17, k) FROM c", "1.5|2|5 SELECT 1"),
            ("SELECT to_char(n, 'FM99.90'), to_char(k, 'FM000') FROM c", "5.50|012 SELECT 1"),
            (
                "SELECT to_char(t, 'HH24:MI'), to_char(d, 'DD Mon'), to_char(i, 'HH24:MI') FROM c",
                "03:04|05 Jan|02:03 SELECT 1",
            ),
            ("SELECT to_char(o, 'MI:SS') FROM c", "11:12 SELECT 1"),
            ("SELECT to_hex(k), to_hex(big) FROM c", "c|12a05f200 SELECT 1"),
        ],
    );
}

#[test]
fn operators_of_times_are_those_of_the_values() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("SELECT (d + 1)::date, (1 + d)::date, (d - 5)::date FROM c", "2020-01-06|2020-01-06|2019-12-31 SELECT 1"),
            (
                "SELECT d - date '2020-01-01', (d - t)::interval, (t - d)::interval FROM c",
                "4|2 days 20:55:54.5|-2 days -20:55:54.5 SELECT 1",
            ),
            (
                "SELECT (d + i)::timestamp, (i + t)::timestamp, (z - i)::timestamptz FROM c",
                "2020-01-06 02:03:00|2020-01-03 05:07:05.5|2020-01-01 01:01:05.5+00 SELECT 1",
            ),
            (
                "SELECT (i + i)::interval, (i - i)::interval, (i * 2)::interval, (2 * i)::interval, (i / 2)::interval FROM c",
                "2 days 04:06:00|00:00:00|2 days 04:06:00|2 days 04:06:00|13:01:30 SELECT 1",
            ),
            (
                "SELECT sum(i)::interval, avg(i)::interval, max(i)::interval FROM c",
                "1 day 02:03:00|1 day 02:03:00|1 day 02:03:00 SELECT 1",
            ),
            (
                "SELECT sum(CASE WHEN x = 1 THEN i ELSE k END) FROM c, generate_series(1, 2) x",
                "42804 an interval is needed, not int",
            ),
            ("SELECT t + 1 FROM c", "42883 operator does not exist: timestamp + int"),
            ("SELECT i * i FROM c", "42883 operator does not exist: sexp * sexp"),
        ],
    );
}

#[test]
fn bits_are_those_of_whole_numbers() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("SELECT k & 4, k | 1, k # 5, k << 2, k >> 1, ~k FROM c", "4|13|9|48|6|-13 SELECT 1"),
            ("SELECT big & 4294967296, ~big FROM c", "4294967296|-5000000001 SELECT 1"),
            ("SELECT n & 1 FROM c", "42883 operator does not exist: decimal & int"),
            ("SELECT s << 1 FROM c", "42883 operator does not exist: string << int"),
        ],
    );
}

#[test]
fn texts_and_minus_signs_are_taken_as_well() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("UPDATE c SET w = '12'", "UPDATE 1"),
            ("SELECT to_hex(w), ~w FROM c", "c|-13 SELECT 1"),
            ("SELECT to_hex(s) FROM c", "22P02 invalid input syntax for type bigint: \"abc\""),
            ("SELECT (-i)::interval, -k, -n FROM c", "-1 days -02:03:00|-12|-5.5 SELECT 1"),
            ("SELECT left('abcdef', mod(k, 5)), repeat('x', mod(k, 5)) FROM c", "ab|xx SELECT 1"),
        ],
    );
}

#[test]
fn in_partiql_what_does_not_fit_is_missing() {
    let (memory, _) = ledger();
    let mut partiql = memory.session_of(ledgerstone_query::session::Dialect::PartiQl);
    let text = "SELECT VALUE {'a': to_hex(c.s), 'b': to_hex(c.n), 'c': date_part('hour', c.s), 'd': 1} FROM c";
    assert_eq!(told(&mut partiql, text).unwrap()[0], "{\"d\": 1}");
}

#[test]
fn seconds_since_1970_are_a_time() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("SELECT to_timestamp(k) = timestamptz '1970-01-01 00:00:12Z' FROM c", "t SELECT 1"),
            ("SELECT to_timestamp(n) = timestamptz '1970-01-01 00:00:05.5Z' FROM c", "t SELECT 1"),
            ("SELECT date_trunc('hour', i::interval) FROM c", "1 day 02:00:00 SELECT 1"),
        ],
    );
}
