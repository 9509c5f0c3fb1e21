//! Forms that PostgreSQL users write every day, asked of a session; their answers are PostgreSQL 15's.

use crate::support::{Memory, told};

#[test]
fn forms_that_the_parser_does_not_know_answer_as_postgresql_answers() {
    let memory = Memory::new(7);
    let mut sql = memory.session();
    for (text, expected) in [
        ("trim(leading from '  a '), trim(trailing from ' a ') || '|', trim(from ' a ')", "a | a||a"),
        ("5 between symmetric 10 and 1, 5 not between symmetric 10 and 1, 0 between symmetric null and 1", "t|f|null"),
        ("5 between symmetric case when true and true then 10 else 0 end and (select 1) and true", "t"),
        ("(date '2020-01-01', date '2020-06-01') overlaps (date '2020-05-01', interval '1 day')", "t"),
        ("(time '10:00', time '11:00') overlaps (time '11:00', time '12:00')", "f"),
        ("(date '2020-01-01', null::date) overlaps (date '2020-01-01', date '2020-01-03')", "null"),
        (
            "make_interval(secs => 1.5, years => 2), make_interval(1, 2, hours => 3)",
            "2 years 00:00:01.5|1 year 2 mons 03:00:00",
        ),
        ("format('%2$s %1$-3s|%*3$s', 'a', 'b', 4, 'c')", "b a  |   c"),
    ] {
        match told(&mut sql, &format!("select {text}")) {
            Ok(rows) => assert_eq!(rows[0], expected, "{text}"),
            Err(error) => assert_eq!(error.code.as_str(), expected, "{text}: {}", error.message),
        }
    }
    for (text, code) in [
        ("make_interval(dys => 1)", "42883"),
        ("make_interval(1, years => 1)", "42883"),
        ("make_interval(days => 1, days => 2)", "42883"),
        ("(1, 2) overlaps (3)", "42601"),
        ("5 between symmetric 1", "42601"),
    ] {
        let error = told(&mut sql, &format!("select {text}")).unwrap_err();
        assert_eq!(error.code.as_str(), code, "{text}: {}", error.message);
    }
}

#[test]
fn functions_over_columns_answer_as_over_values() {
    let memory = Memory::new(8);
    let mut sql = memory.session();
    told(&mut sql, "create table t (id int primary key, a int[], d date, n numeric, s text)").unwrap();
    told(&mut sql, "insert into t values (1, '{1,2,3}', '2020-03-09', -1485.5, '1,x,3'), (2, null, null, null, null)")
        .unwrap();
    let text = "select a[2:], a[:2], to_char(d, 'FMDay DDth'), to_char(n, '9G999D99S'), to_number(s, '9'), \
                string_to_array(s, ',', 'x') from t order by id";
    let rows = told(&mut sql, text).unwrap();
    assert_eq!(rows[..2], ["{2,3}|{1,2}|Monday 09th|1,485.50-|1|{1,NULL,3}", "null|null|null|null|null|null"]);
    let text = "select (array[[1,2],[3,4]])[2][1], (array[[1,2],[3,4]])[3][1], (array[[1,2],[3,4]])[:1][2:]";
    assert_eq!(told(&mut sql, text).unwrap()[0], "3|null|{{2}}");
}
