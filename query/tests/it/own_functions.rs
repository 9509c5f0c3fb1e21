//! The ledger's own functions as users call and list them: keys in their own types, tables named as in FROM, `pg_proc`.

use crate::support::{Memory, told};

#[test]
fn a_key_is_given_in_its_own_type_or_as_a_text() {
    let memory = Memory::new(31);
    let mut sql = memory.session();
    for (ty, keys) in [
        ("int", &["1", "'1'", "1::bigint", "0 + 1"][..]),
        ("numeric(6,2)", &["1.5", "'1.50'", "1.50::numeric"][..]),
        ("text", &["'a'", "'a'::varchar"][..]),
        ("boolean", &["true", "'t'", "1 = 1"][..]),
        ("date", &["date '2020-01-02'", "'2020-01-02'"][..]),
        ("timestamptz", &["timestamptz '2020-01-02 03:04:05.678901Z'", "'2020-01-02 05:04:05.678901+02'"][..]),
        ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"][..]),
        ("double precision", &["1.25::float8", "'1.25'"][..]),
        ("bytea", &["'\\x0102'::bytea", "'\\x0102'"][..]),
    ] {
        told(&mut sql, &format!("CREATE TABLE t (k {ty} PRIMARY KEY)")).unwrap();
        told(&mut sql, &format!("INSERT INTO t VALUES ({})", keys[0])).unwrap();
        let position = told(&mut sql, "SELECT _ql_position FROM history(t)").unwrap();
        for key in keys {
            let found = told(&mut sql, &format!("SELECT ledgerstone_position('t', {key})")).unwrap();
            assert_eq!(found, position, "{ty} {key}");
            let same = format!(
                "SELECT ledgerstone_receipt('t', {key}) IS NOT NULL, ledgerstone_tlog_proof('t', {key}, 0) IS NOT NULL"
            );
            assert_eq!(told(&mut sql, &same).unwrap()[0], "t|t", "{ty} {key}");
        }
        told(&mut sql, "DROP TABLE t").unwrap();
    }
    told(&mut sql, "CREATE TABLE t (k int PRIMARY KEY)").unwrap();
    told(&mut sql, "INSERT INTO t VALUES (1)").unwrap();
    let of_a_column = "SELECT ledgerstone_position('t', k) = _ql_position FROM t";
    assert_eq!(told(&mut sql, of_a_column).unwrap()[0], "t");
    assert_eq!(told(&mut sql, "SELECT ledgerstone_receipt('t', NULL)").unwrap()[0], "null");
    let missing = told(&mut sql, "SELECT ledgerstone_receipt('t', 2)").unwrap_err();
    assert_eq!((missing.code.as_str(), &*missing.message), ("02000", "table \"t\" has no document \"2\""));
}

#[test]
fn tables_are_named_as_in_from() {
    let memory = Memory::new(32);
    let mut sql = memory.session();
    told(&mut sql, "CREATE TABLE t (k int PRIMARY KEY)").unwrap();
    told(&mut sql, "CREATE TABLE \"My.Table\" (k int PRIMARY KEY)").unwrap();
    told(&mut sql, "INSERT INTO t VALUES (1)").unwrap();
    told(&mut sql, "INSERT INTO \"My.Table\" VALUES (1)").unwrap();
    for name in
        ["t", "public.t", "PUBLIC.T", "\"t\"", "public.\"t\"", "My.Table", "\"My.Table\"", "public.\"My.Table\""]
    {
        let found = told(&mut sql, &format!("SELECT count(*) FROM history('{name}')"));
        assert_eq!(found.unwrap()[0], "1", "{name}");
        let found = told(&mut sql, &format!("SELECT ledgerstone_position('{name}', 1) > 0"));
        assert_eq!(found.unwrap()[0], "t", "{name}");
    }
    for name in ["t", "public.t", "\"public\".t", "\"My.Table\"", "public.\"My.Table\""] {
        for call in [format!("history({name})"), format!("diff({name}, 0)"), format!("changes({name}, 0)")] {
            assert_eq!(told(&mut sql, &format!("SELECT count(*) FROM {call}")).unwrap()[0], "1", "{call}");
        }
    }
    for call in ["history(other.t)", "history('other.t')", "history(public.nosuch)", "diff('public.nosuch', 0)"] {
        let text = format!("SELECT count(*) FROM {call}");
        let error = told(&mut sql, &text).unwrap_err();
        assert_eq!(error.code.as_str(), "42P01", "{call}: {}", error.message);
        assert!(error.span.is_some(), "{call}");
    }
    let error = told(&mut sql, "SELECT ledgerstone_receipt('other.t', 1)").unwrap_err();
    assert_eq!(&*error.message, "relation \"other.t\" does not exist");
}

#[test]
fn the_catalogue_lists_the_functions_that_are_the_ledgers_own() {
    let memory = Memory::new(33);
    let mut sql = memory.session();
    let listed = told(
        &mut sql,
        "SELECT proname, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), pronargs, proretset \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace \
         WHERE n.nspname = 'public' AND pg_function_is_visible(p.oid) ORDER BY 1, 4",
    )
    .unwrap();
    for line in [
        "ledgerstone_digest|text||0|f",
        "ledgerstone_receipt|bytea|table_name text, key \"any\"|2|f",
        "ledgerstone_receipt|bytea|table_name text, key \"any\", version bigint|3|f",
        "history|SETOF record|table_name text|1|t",
        "history|SETOF record|table_name text, from_time timestamp with time zone|2|t",
    ] {
        assert!(listed.iter().any(|listed| listed == line), "{line}: {listed:#?}");
    }
    // Every function of this prefix that documents speak of can be called, and none that is made for the binder is listed.
    assert!(listed.iter().all(|line| !line.starts_with("ledgerstone_reg") && !line.starts_with("ledgerstone_next")));
    let types = "SELECT count(*) FROM pg_proc, unnest(proargtypes) a WHERE NOT EXISTS (SELECT 1 FROM pg_type t WHERE t.oid = a) \
                 OR NOT EXISTS (SELECT 1 FROM pg_type t WHERE t.oid = prorettype)";
    assert_eq!(told(&mut sql, types).unwrap()[0], "0");
    let same = "SELECT 'ledgerstone_digest'::regproc = p.oid, 'history'::regproc::text, obj_description(p.oid, 'pg_proc') IS NOT NULL, \
                l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE proname = 'ledgerstone_digest'";
    assert_eq!(told(&mut sql, same).unwrap()[0], "t|history|t|internal");
    let columns =
        told(&mut sql, "SELECT proargnames[2], proargmodes[3] FROM pg_proc WHERE proname = 'diff' AND pronargs = 2");
    assert_eq!(columns.unwrap()[0], "from_moment|t");
}
