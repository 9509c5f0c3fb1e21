//! Changes of lists through their elements, and what PartiQL does with tables that SQL has declared.

use ledgerstone_query::session::Dialect;

use crate::support::{open_instance, session, told};

#[test]
fn elements_are_removed_that_were_meant_however_many() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let mut s = session(&instance, Dialect::PartiQl);
    told(&mut s, "CREATE TABLE t").unwrap();
    for (list, statement, left) in [
        ("['a','a','b']", "FROM t AS p, p.tags AS x WHERE x = 'a' REMOVE x", r#"["b"]"#),
        ("['a','a']", "FROM t AS p, p.tags AS x WHERE x = 'a' REMOVE x", "[]"),
        ("['a','b','a','c','a']", "FROM t AS p, p.tags AS x WHERE x = 'a' REMOVE x", r#"["b", "c"]"#),
        // Each is met twice, and goes once.
        ("['a','b']", "FROM t AS p, p.tags AS x, <<1, 2>> AS y WHERE x = 'a' REMOVE x", r#"["b"]"#),
        ("['a','b']", "FROM t AS p, p.tags AS x WHERE x = 'z' REMOVE x", r#"["a", "b"]"#),
    ] {
        told(&mut s, "DELETE FROM t").unwrap();
        told(&mut s, &format!("INSERT INTO t VALUE {{'tags': {list}}}")).unwrap();
        told(&mut s, statement).unwrap();
        assert_eq!(told(&mut s, "SELECT VALUE p.tags FROM t AS p").unwrap()[0], left, "{list}: {statement}");
    }
}

#[test]
fn a_check_that_is_unknown_holds_in_either_dialect() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_instance(dir.path()).unwrap();
    let (mut sql, mut partiql) = (session(&instance, Dialect::Sql), session(&instance, Dialect::PartiQl));
    let create =
        "CREATE TABLE ck (id int PRIMARY KEY, name text CHECK (length(name) <= 3), n int DEFAULT length(NULL))";
    told(&mut sql, create).unwrap();
    told(&mut partiql, "INSERT INTO ck VALUE {'id': 1}").unwrap();
    told(&mut partiql, "UPDATE ck AS c SET c.name = 'abc' WHERE c.id = 1").unwrap();
    let error = told(&mut partiql, "UPDATE ck AS c SET c.name = 'abcd' WHERE c.id = 1").unwrap_err();
    assert_eq!(error.code.0, "23514");
    assert_eq!(told(&mut sql, "SELECT id, name, n IS NULL FROM ck").unwrap()[0], "1|abc|t");
}
