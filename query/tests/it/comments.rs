//! Comments: what is said of tables, columns, constraints, indexes and the ledger, where it is shown, and for how long.

use ledgerstone_query::catalogue::ddl::COMMENT_BYTES_MAX;
use ledgerstone_query::session::Session;

use crate::support::{Memory, say, says, told};

fn ledger() -> (Memory, Session) {
    let memory = Memory::new(41);
    let mut session = memory.session();
    let text = "CREATE TABLE t (id int PRIMARY KEY, n text); CREATE INDEX t_n ON t (n); INSERT INTO t VALUES (1, 'one'); \
                COMMENT ON TABLE t IS 'a table'; COMMENT ON COLUMN t.n IS 'a column'; \
                COMMENT ON INDEX t_n IS 'an index'; COMMENT ON DATABASE main IS 'a ledger'";
    told(&mut session, text).unwrap();
    (memory, session)
}

const ALL: &str = "SELECT objoid::regclass, objsubid, description FROM pg_description \
                   WHERE classoid = 'pg_class'::regclass ORDER BY description";

#[test]
fn a_comment_is_shown_by_the_functions_and_the_tables_that_psql_asks() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            (ALL, "t|2|a column t|0|a table t_n|0|an index SELECT 3"),
            (
                "SELECT obj_description('t'::regclass, 'pg_class'), obj_description('t'::regclass), \
                 obj_description('t'::regclass, 'pg_type'), obj_description(NULL, 'pg_class'), \
                 obj_description('t_n'::regclass, 'pg_class'), obj_description('t_pkey'::regclass, 'pg_class')",
                "a table|a table|null|null|an index|null SELECT 1",
            ),
            (
                "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute \
                 WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum",
                "id|null n|a column SELECT 2",
            ),
            (
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'main'",
                "a ledger SELECT 1",
            ),
            (
                "SELECT datname, description FROM pg_shdescription JOIN pg_database ON objoid = pg_database.oid \
                 WHERE classoid = 'pg_database'::regclass",
                "main|a ledger SELECT 1",
            ),
        ],
    );
}

/// Comments on constraints, by name.
const CONSTRAINTS: &str = "SELECT conname, description FROM pg_description JOIN pg_constraint ON oid = objoid \
                           WHERE classoid = 'pg_constraint'::regclass ORDER BY conname";

#[test]
fn keys_and_checks_have_comments_of_their_own() {
    let (mut memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("ALTER TABLE t ADD CONSTRAINT short CHECK (length(n) < 9), ADD UNIQUE (n)", "ALTER TABLE"),
            ("COMMENT ON CONSTRAINT short ON t IS 'a check'", "COMMENT"),
            ("COMMENT ON CONSTRAINT t_pkey ON t IS 'a key'", "COMMENT"),
            ("COMMENT ON CONSTRAINT t_n_key ON public.t IS 'once'", "COMMENT"),
            ("COMMENT ON INDEX t_n_key IS 'an index too'", "COMMENT"),
            (CONSTRAINTS, "short|a check t_n_key|once t_pkey|a key SELECT 3"),
            (ALL, "t|2|a column t|0|a table t_n|0|an index t_n_key|0|an index too SELECT 4"),
            (
                "SELECT obj_description(oid), obj_description(oid, 'pg_constraint'), obj_description(oid, 'pg_class') \
                 FROM pg_constraint WHERE conname = 'short'",
                "a check|a check|null SELECT 1",
            ),
            ("CREATE TABLE l (LIKE t INCLUDING ALL)", "CREATE TABLE"),
            (
                "SELECT conname, obj_description(oid, 'pg_constraint') FROM pg_constraint \
                 WHERE conrelid = 'l'::regclass AND contype IN ('c', 'p', 'u') ORDER BY conname",
                "l_n_key|null l_pkey|null short|a check SELECT 3",
            ),
            ("DROP TABLE l", "DROP TABLE"),
        ],
    );
    drop(s);
    memory.reopen();
    let mut s = memory.session();
    says(
        &mut s,
        &[
            (CONSTRAINTS, "short|a check t_n_key|once t_pkey|a key SELECT 3"),
            ("ALTER TABLE t DROP CONSTRAINT t_n_key", "ALTER TABLE"),
            ("COMMENT ON CONSTRAINT short ON t IS NULL", "COMMENT"),
            (CONSTRAINTS, "t_pkey|a key SELECT 1"),
            (
                "INSERT INTO t VALUES (2, 'longer than nine')",
                "23514 new row for relation \"t\" violates check constraint \"short\"",
            ),
            ("COMMENT ON CONSTRAINT nosuch ON t IS 'x'", "42704 constraint \"nosuch\" for table \"t\" does not exist"),
            // An index that is not unique is no constraint.
            ("COMMENT ON CONSTRAINT t_n ON t IS 'x'", "42704 constraint \"t_n\" for table \"t\" does not exist"),
            ("COMMENT ON CONSTRAINT t_n ON t_n IS 'x'", "42809 \"t_n\" is not a table"),
            ("COMMENT ON CONSTRAINT c ON nosuch IS 'x'", "42P01 relation \"nosuch\" does not exist"),
            ("COMMENT ON CONSTRAINT c ON pg_class IS 'x'", "42501 \"pg_class\" cannot be changed by statements"),
        ],
    );
}

#[test]
fn comments_outlive_a_restart_and_renames() {
    let (mut memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("ALTER TABLE t RENAME COLUMN n TO name", "ALTER TABLE"),
            ("ALTER TABLE t RENAME TO u", "ALTER TABLE"),
            (ALL, "u|2|a column u|0|a table t_n|0|an index SELECT 3"),
        ],
    );
    drop(s);
    memory.reopen();
    let mut s = memory.session();
    says(
        &mut s,
        &[
            (ALL, "u|2|a column u|0|a table t_n|0|an index SELECT 3"),
            ("SELECT description FROM pg_shdescription", "a ledger SELECT 1"),
            ("SELECT name FROM u WHERE name = 'one'", "one SELECT 1"),
        ],
    );
}

#[test]
fn what_is_dropped_takes_its_comments_along() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("DROP INDEX t_n", "DROP INDEX"),
            (ALL, "t|2|a column t|0|a table SELECT 2"),
            ("ALTER TABLE t DROP COLUMN n", "ALTER TABLE"),
            ("ALTER TABLE t ADD COLUMN n text", "ALTER TABLE"),
            (ALL, "t|0|a table SELECT 1"),
            ("DROP TABLE t", "DROP TABLE"),
            (ALL, "SELECT 0"),
            ("CREATE TABLE t (id int)", "CREATE TABLE"),
            (ALL, "SELECT 0"),
        ],
    );
}

#[test]
fn null_and_no_text_take_a_comment_away() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("COMMENT ON TABLE t IS NULL", "COMMENT"),
            ("COMMENT ON COLUMN t.n IS ''", "COMMENT"),
            ("COMMENT ON INDEX t_n IS NULL", "COMMENT"),
            ("COMMENT ON DATABASE main IS NULL", "COMMENT"),
            (ALL, "SELECT 0"),
            ("SELECT count(*) FROM pg_shdescription", "0 SELECT 1"),
        ],
    );
}

#[test]
fn a_comment_is_a_revision_of_the_definition_and_of_its_transaction() {
    let (_memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("BEGIN", "BEGIN"),
            ("COMMENT ON TABLE t IS 'another'", "COMMENT"),
            ("COMMENT ON DATABASE main IS 'another'", "COMMENT"),
            ("SELECT obj_description('t'::regclass)", "another SELECT 1"),
            ("ROLLBACK", "ROLLBACK"),
            ("SELECT obj_description('t'::regclass)", "a table SELECT 1"),
            ("SELECT description FROM pg_shdescription", "a ledger SELECT 1"),
            ("COMMENT ON TABLE t IS 'the last'", "COMMENT"),
        ],
    );
    let tables = ledgerstone_digest::id::Id::TABLES;
    let history =
        format!("SELECT h.data ->> 'comment' FROM history('{tables}') h WHERE h.data ->> 'comment' IS NOT NULL");
    assert_eq!(say(&mut s, &history), "a table the last SELECT 2");
    // Documents are as they were, and so is the index.
    assert_eq!(say(&mut s, "SELECT id, _ql_version FROM t WHERE n = 'one'"), "1|0 SELECT 1");
}

#[test]
fn a_comment_on_what_is_not_there_is_refused_in_postgresqls_words() {
    let (memory, mut s) = ledger();
    says(
        &mut s,
        &[
            ("COMMENT ON TABLE nosuch IS 'x'", "42P01 relation \"nosuch\" does not exist"),
            ("COMMENT ON TABLE nosuch.t IS 'x'", "3F000 schema \"nosuch\" does not exist"),
            ("COMMENT ON TABLE public.t IS 'x'", "COMMENT"),
            ("COMMENT ON TABLE t_n IS 'x'", "42809 \"t_n\" is not a table"),
            ("COMMENT ON INDEX t IS 'x'", "42809 \"t\" is not an index"),
            ("COMMENT ON INDEX nosuch IS 'x'", "42P01 relation \"nosuch\" does not exist"),
            ("COMMENT ON VIEW t IS 'x'", "42809 \"t\" is not a view"),
            ("COMMENT ON VIEW nosuch IS 'x'", "42P01 relation \"nosuch\" does not exist"),
            ("COMMENT ON COLUMN t.nosuch IS 'x'", "42703 column \"nosuch\" of relation \"t\" does not exist"),
            ("COMMENT ON COLUMN t_n.n IS 'x'", "42809 cannot set comment on relation \"t_n\""),
            ("COMMENT ON TABLE pg_class IS 'x'", "42501 \"pg_class\" cannot be changed by statements"),
            ("COMMENT ON COLUMN pg_catalog.pg_class.oid IS 'x'", "42501 \"pg_class\" cannot be changed by statements"),
        ],
    );
    let error = told(&mut s, "COMMENT ON DATABASE other IS 'x'").unwrap_err();
    assert_eq!(error.code.to_string(), "0A000");
    assert_eq!(error.hint.as_deref(), Some("Connect to that database first."));
    memory.create_schemaless("loose");
    says(
        &mut s,
        &[
            ("COMMENT ON TABLE loose IS 'x'", "COMMENT"),
            ("COMMENT ON COLUMN loose.a IS 'x'", "42703 column \"a\" of relation \"loose\" does not exist"),
            ("BEGIN READ ONLY", "BEGIN"),
            ("COMMENT ON TABLE t IS 'x'", "25006 cannot execute a definition in a read-only transaction"),
        ],
    );
}

#[test]
fn a_comment_has_a_greatest_length() {
    let (_memory, mut s) = ledger();
    let most = "x".repeat(COMMENT_BYTES_MAX);
    assert_eq!(say(&mut s, &format!("COMMENT ON TABLE t IS '{most}'")), "COMMENT");
    let text = format!("COMMENT ON TABLE t IS '{most}x'");
    let error = told(&mut s, &text).unwrap_err();
    assert_eq!(error.code.to_string(), "54000");
    assert!(error.span.unwrap().slice(&text).starts_with("'x"));
}

#[test]
fn an_index_that_is_being_built_keeps_its_comment() {
    let (_memory, mut s) = ledger();
    told(&mut s, "BEGIN; CREATE INDEX t_more ON t (n, id); COMMENT ON INDEX t_more IS 'built later'; COMMIT").unwrap();
    let ask = "SELECT obj_description('t_more'::regclass), indisvalid FROM pg_index \
               WHERE indexrelid = 't_more'::regclass";
    assert_eq!(say(&mut s, ask), "built later|t SELECT 1");
}
