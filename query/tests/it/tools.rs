//! What tools ask `pg_catalog` and `information_schema` when they connect and open a table: every recorded query runs
//! (`tests/fixtures/tools`), and those about the table find what it is.

use ledgerstone_query::session::Dialect;

use crate::virtual_tables::{ask, ledger, sql};

/// Every query of a file runs; the rows by the query's name.
fn run(file: &str) -> Vec<(String, Vec<String>)> {
    let memory = ledger();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tools").join(file);
    let table = sql(&memory, "select 't'::regclass::oid").remove(0);
    let text = std::fs::read_to_string(path).unwrap().replace(":schema", "2200").replace(":table", &table);
    let (mut out, mut failures) = (Vec::new(), String::new());
    for part in text.split("\n\n-- ").skip(1) {
        let (name, query) = part.split_once('\n').unwrap();
        match ask(&memory, query, Dialect::Sql) {
            Ok(rows) => out.push((name.to_owned(), rows)),
            Err(error) => failures.push_str(&format!("{name}: {}\n", error.render(query))),
        }
    }
    assert!(failures.is_empty() && !out.is_empty(), "{failures}");
    out
}

fn rows<'a>(answers: &'a [(String, Vec<String>)], name: &str) -> &'a [String] {
    &answers.iter().find(|(known, _)| known == name).unwrap().1
}

/// How many rows of a query there are.
fn count(answers: &[(String, Vec<String>)], name: &str) -> usize {
    rows(answers, name).len()
}

#[test]
fn dbeaver_opens_a_schema_and_a_table() {
    let answers = run("dbeaver.sql");
    assert_eq!(rows(&answers, "session"), ["main|public|reader"]);
    for (name, wanted) in
        [("schemas", 3), ("tables", 2), ("columns", 3), ("constraints", 3), ("indexes", 3), ("triggers", 0)]
    {
        assert_eq!(count(&answers, name), wanted, "{name}");
    }
    assert!(count(&answers, "data types") > 20 && count(&answers, "settings") > 20);
    // What an index is on is a vector, numbers with blanks between.
    assert!(rows(&answers, "indexes").iter().any(|row| row.contains("t_pkey") && row.contains("|1|t_pkey|")));
}

#[test]
fn metabase_synchronises_a_database() {
    let answers = run("metabase.sql");
    assert_eq!(rows(&answers, "schemas"), ["public"]);
    assert_eq!(rows(&answers, "tables"), ["public|Vehicle|TABLE|null|0", "public|t|TABLE|null|0"]);
    assert_eq!(rows(&answers, "privileges").len(), 2);
    assert_eq!(
        rows(&answers, "columns"),
        ["id|int4|0|public|t|t|null|t|f", "name|varchar|1|public|t|f|null|f|f", "n|numeric|2|public|t|f|null|f|f"]
    );
    assert_eq!(rows(&answers, "indexes"), ["public|t|id", "public|t|n", "public|t|name"]);
    assert_eq!(rows(&answers, "foreign keys"), [""; 0]);
}

#[test]
fn pgjdbc_finds_keys_and_indexes() {
    let answers = run("pgjdbc.sql");
    assert_eq!(rows(&answers, "getPrimaryKeys"), ["public|t|id|1|t_pkey"]);
    assert_eq!(rows(&answers, "getIndexInfo"), ["t|f|t_nn|1|name|A", "t|f|t_pkey|1|id|A", "t|t|t_n|1|n|A"]);
}

#[test]
fn asyncpg_learns_types_it_has_no_codec_for() {
    let answers = run("asyncpg.sql");
    let types = rows(&answers, "types");
    // regclass, int2vector, int4[] and what they are made of.
    assert!(types.iter().any(|row| row.starts_with("1007|pg_catalog|_int4|")), "{types:?}");
    assert!(types.iter().any(|row| row.starts_with("23|pg_catalog|int4|")), "{types:?}");
}

#[test]
fn a_common_table_sees_the_queries_around_its_own() {
    let memory = ledger();
    let plain = "select n, (with c as (select n * 2 as m) select m + 1 from c) from generate_series(1, 3) as s (n)";
    assert_eq!(sql(&memory, plain), ["1|3", "2|5", "3|7"]);
    let recursive = "select n, (with recursive c(m) as (select n union all select m - 1 from c where m > 1) \
                     select string_agg(m::text, ',' order by m) from c) from generate_series(1, 3) as s (n)";
    assert_eq!(sql(&memory, recursive), ["1|1", "2|1,2", "3|1,2,3"]);
    let deeper = "select n, (with c as (select n as m) select count(*) from generate_series(1, 5) as t (k) \
                  where k <= (select m from c)) from generate_series(1, 3) as s (n)";
    assert_eq!(sql(&memory, deeper), ["1|1", "2|2", "3|3"]);
    let twice = "select n, (with c as (select n as m), d as (select m + 1 as k from c) select m * k from c, d) \
                 from generate_series(1, 3) as s (n)";
    assert_eq!(sql(&memory, twice), ["1|2", "2|6", "3|12"]);
    // Not what stands beside it.
    let beside = ask(
        &memory,
        "select * from generate_series(1, 2) as s (n), (with c as (select n) select * from c) x",
        Dialect::Sql,
    );
    assert!(beside.is_err());
}
