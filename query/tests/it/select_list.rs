//! What is the same for every row is computed once, and what is not is computed for each.

use std::collections::HashSet;

use ledgerstone_query::session::Dialect;

use crate::support::{open_instance, session, told};

#[test]
fn what_no_row_has_a_part_in_is_the_same_in_all_and_the_rest_is_each_rows_own() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    let rows = told(
        &mut sql,
        "SELECT jsonb_build_object('a', lpad(upper('x'), 3, '.')), k, k + 1, 1 + 1, coalesce(NULL, 'n' || 1), \
         (SELECT max(i) FROM generate_series(1, k) AS h(i)), gen_random_uuid(), \
         CASE WHEN random() < 2 THEN gen_random_uuid() END FROM generate_series(1, 6) AS g(k)",
    )
    .unwrap();
    assert_eq!(rows.len(), 7);
    let mut ids = HashSet::new();
    for (k, row) in (1..).zip(&rows[..6]) {
        let fields: Vec<&str> = row.split('|').collect();
        let shown = fields[..6].join("|").replace(['"', ' '], "");
        assert_eq!(shown, format!("{{a:..X}}|{k}|{}|2|n1|{k}", k + 1));
        assert!(ids.insert(fields[6].to_owned()) && ids.insert(fields[7].to_owned()), "{rows:?}");
    }
    // An error is that of the first row, and none where there is no row.
    told(&mut sql, "SELECT 1 / (length('') + 0) FROM generate_series(1, 3)").unwrap_err();
    assert_eq!(told(&mut sql, "SELECT 1 / length('') FROM generate_series(1, 0)").unwrap(), ["SELECT 0"]);
    // Rows in pairs with one another, from a subquery for each.
    let rows = told(
        &mut sql,
        "SELECT k, s FROM generate_series(1, 3) AS g(k), LATERAL (SELECT upper('a') || k AS s FROM generate_series(1, 3)) AS l",
    )
    .unwrap();
    let expected = (1..4).flat_map(|k| std::iter::repeat_n(format!("{k}|A{k}"), 3));
    assert_eq!(rows[..9], expected.collect::<Vec<_>>());
}

#[test]
fn rows_from_a_query_are_cast_to_the_types_of_the_columns() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut sql = session(&instance, Dialect::Sql);
    told(&mut sql, "CREATE TABLE t (id int PRIMARY KEY, n numeric(6,2), c char(3), j jsonb, s varchar(4))").unwrap();
    told(
        &mut sql,
        "INSERT INTO t SELECT k::bigint, k / 3.0, 'a', jsonb_build_object('bb', k, 'a', 1), k::text \
         FROM generate_series(1, 400) AS g(k)",
    )
    .unwrap();
    let rows = told(&mut sql, "SELECT n, c, j, s FROM t WHERE id IN (1, 200) ORDER BY id").unwrap();
    let shown: Vec<String> = rows[..2].iter().map(|row| row.replace(['"', ' '], "")).collect();
    assert_eq!(shown, ["0.33|a|{a:1,bb:1}|1", "66.67|a|{a:1,bb:200}|200"]);
    let too_long = "INSERT INTO t (id, s) SELECT 1000 + k, k || '12345' FROM generate_series(1, 2) AS g(k)";
    assert_eq!(told(&mut sql, too_long).unwrap_err().code.0, "22001");
    let too_large = "INSERT INTO t (id, n) SELECT 1000 + k, k * 10000.0 FROM generate_series(1, 2) AS g(k)";
    assert_eq!(told(&mut sql, too_large).unwrap_err().code.0, "22003");
    // A UNION brings both sides to one type.
    let union = "SELECT 1 AS x UNION ALL SELECT 2.50 UNION ALL SELECT k FROM generate_series(3, 4) AS g(k) ORDER BY x";
    assert_eq!(told(&mut sql, union).unwrap(), ["1", "2.50", "3", "4", "SELECT 4"]);
}
