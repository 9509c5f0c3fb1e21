//! What is accepted, as trees; what is refused, with place and words; and that nothing breaks the parser.

use super::parse;
use crate::ast::Span;
use crate::compact;

fn tree(text: &str) -> String {
    match parse(text) {
        Ok(parsed) => parsed.iter().map(|p| compact::statement(&p.statement)).collect::<Vec<_>>().join("; "),
        Err(e) => panic!("{text}\n{}", e.render(text)),
    }
}

fn expr(text: &str) -> String {
    let tree = tree(&format!("SELECT {text}"));
    tree.strip_prefix("(select ").and_then(|t| t.strip_suffix(")")).unwrap_or(&tree).to_owned()
}

#[test]
fn trees_of_expressions() {
    for (text, expected) in [
        ("1 + 2 * 3", "(+ 1 (* 2 3))"),
        ("(1 + 2) * 3", "(* (+ 1 2) 3)"),
        ("a - b - c", "(- (- a b) c)"),
        ("-a * +b", "(* (minus a) (plus b))"),
        ("-2 ^ 2", "(^ (minus 2) 2)"),
        ("-2 ^ 3 ^ 2", "(^ (^ (minus 2) 3) 2)"),
        ("-a::int", "(minus (cast a int4))"),
        ("NOT a = b AND c OR d", "(or (and (not (= a b)) c) d)"),
        ("a AND b AND c AND d", "(and (and a b) (and c d))"),
        ("a AND b OR c AND d OR e", "(or (or (and a b) (and c d)) e)"),
        ("a || b || 'c'", "(|| (|| a b) 'c')"),
        ("a ~ '^x' AND b !~* 'y'", "(and (~ a '^x') (!~* b 'y'))"),
        ("a ~ b || c = d", "(= (|| (~ a b) c) d)"),
        ("a OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default", "(~ a '^(x)$')"),
        ("a OPERATOR(pg_catalog.=) b", "(= a b)"),
        ("a COLLATE \"C\"", "a"),
        ("a LIKE 'x%' ESCAPE '!'", "(like a 'x%' (escape '!'))"),
        ("a NOT ILIKE 'x'", "(not-ilike a 'x')"),
        ("a ~~ 'x' AND a !~~* 'y'", "(and (like a 'x') (not-ilike a 'y'))"),
        ("a BETWEEN 1 AND 2 AND b", "(and (between a 1 2) b)"),
        ("a NOT IN (1, 2)", "(not-in a (1 2))"),
        ("a IN (SELECT b FROM t)", "(in a (query (select b (from t))))"),
        ("a = ANY ($1)", "(= any a ?0)"),
        ("a <> ALL (ARRAY[1, 2])", "(<> all a [1 2])"),
        ("a > SOME (SELECT 1)", "(> any a (query (select 1)))"),
        ("a IS NULL", "(is-null a)"),
        ("a IS NOT NULL", "(not-is-null a)"),
        ("a ISNULL", "a"),
        ("a IS NOT TRUE", "(not-is-true a)"),
        ("a IS UNKNOWN", "(is-unknown a)"),
        ("a IS NOT DISTINCT FROM b", "(not-distinct-from a b)"),
        ("$1::text || $2", "(|| (cast ?0 text) ?1)"),
        ("a->'b'->>'c'", "(->> (-> a 'b') 'c')"),
        ("a #> '{b,c}' = b #>> '{c}'", "(= (#> a '{b,c}') (#>> b '{c}'))"),
        ("a @> '{\"b\": 1}'::jsonb", "(@> a (cast '{\"b\": 1}' jsonb))"),
        ("a <@ b", "(<@ a b)"),
        ("a ? 'k'", "(json-exists a 'k')"),
        ("owner.PrimaryOwner.PersonId", "owner.PrimaryOwner.PersonId"),
        ("v.list[0]", "v.list[0]"),
        ("list[1].name[i + 1]", "list[1].name[(+ i 1)]"),
        ("(a).b", "a.b"),
        ("\"Quoted\".\"Name\"", "\"Quoted\".\"Name\""),
        ("Person", "person"),
        ("'it''s'", "'it's'"),
        ("E'a\\nb'", "'a\nb'"),
        ("$$dollar$$", "'dollar'"),
        ("1.50", "150d-2"),
        ("12345678901234567.89", "1234567890123456789d-2"),
        ("1e3", "1d3"),
        ("1_000", "1000"),
        ("NULL", "null"),
        ("TRUE", "true"),
        ("CASE WHEN a THEN 1 ELSE 2 END", "(case (a 1) (else 2))"),
        ("CASE a WHEN 1 THEN 'x' END", "(case a (1 'x'))"),
        ("CAST(a AS numeric(12,2))", "(cast a numeric(12,2))"),
        ("a::varchar(10)", "(cast a varchar(10))"),
        ("a::character varying", "(cast a varchar)"),
        ("a::char(2)", "(cast a char(2))"),
        ("a::\"char\"", "(cast a text)"),
        ("''::pg_catalog.char", "(cast '' text)"),
        ("a::text[]", "(cast a text[])"),
        ("a::_text", "(cast a _text)"),
        ("a IS DISTINCT FROM b OR c", "(or (distinct-from a b) c)"),
        ("a IS NOT DISTINCT FROM b + 1 AND c > 1", "(and (not-distinct-from a (+ b 1)) (> c 1))"),
        ("a::int[][]", "(cast a int4[][])"),
        ("a::timestamptz", "(cast a timestamptz)"),
        ("a::timestamp(3) with time zone", "(cast a timestamptz(3))"),
        ("a::double precision", "(cast a float8)"),
        ("'t'::pg_catalog.regclass", "(cast 't' regclass)"),
        ("'t'::regclass::oid", "(cast (cast 't' regclass) oid)"),
        ("'16384'::pg_catalog.oid", "(cast '16384' oid)"),
        ("a::regtype", "(cast a regtype)"),
        ("date '2020-01-01'", "(cast '2020-01-01' date)"),
        ("timestamp with time zone '2020-01-01'", "(cast '2020-01-01' timestamptz)"),
        ("interval '1 day'", "(cast '1 day' interval)"),
        ("interval '1' day", "(cast '1 day' interval)"),
        ("a AT TIME ZONE 'UTC'", "(timezone 'UTC' a)"),
        ("extract(epoch from a)", "(extract epoch a)"),
        ("date_trunc('month', tx_time)", "(date_trunc 'month' tx_time)"),
        ("substring(a from 2 for 3)", "(substring a 2 3)"),
        ("substring(a for 3)", "(substring a 1 3)"),
        ("substr(a, 2)", "(substring a 2)"),
        ("trim(both 'x' from a)", "(btrim a 'x')"),
        ("trim(a)", "(btrim a)"),
        ("position('b' in a)", "(strpos a 'b')"),
        ("overlay(a placing 'x' from 2 for 1)", "(overlay a 'x' 2 1)"),
        ("ceil(a), floor(b)", "(ceil a) (floor b)"),
        ("count(*)", "(count *)"),
        ("count(DISTINCT a)", "(count distinct a)"),
        ("sum(a) FILTER (WHERE b > 1)", "(sum a (filter (> b 1)))"),
        ("string_agg(a, ',' ORDER BY b DESC)", "(string_agg a ',' (order (b desc)))"),
        ("pg_catalog.format_type(a.atttypid, a.atttypmod)", "(pg_catalog.format_type a.atttypid a.atttypmod)"),
        ("current_date", "(current_date)"),
        ("current_timestamp", "(current_timestamp)"),
        ("now()", "(now)"),
        ("current_user, session_user, current_schema", "(current_user) (session_user) (current_schema)"),
        ("current_schema()", "(current_schema)"),
        ("ARRAY[1, 2]", "[1 2]"),
        ("ARRAY(SELECT a FROM t)", "(array (select a (from t)))"),
        ("array_to_string(ARRAY(SELECT 1), ', ')", "(array_to_string (array (select 1)) ', ')"),
        ("(1, 2) = (3, 4)", "(= (row 1 2) (row 3 4))"),
        ("ROW(1, 2)", "(row 1 2)"),
        ("EXISTS (SELECT 1)", "(exists (select 1))"),
        ("NOT EXISTS (SELECT 1)", "(not (exists (select 1)))"),
        ("(SELECT max(a) FROM t)", "(query (select (max a) (from t)))"),
        ("row_number() OVER (PARTITION BY a ORDER BY b)", "(row_number (over (window (partition a) (order b))))"),
        ("sum(a) OVER w", "(sum a (over w))"),
        (
            "sum(a) OVER (ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING)",
            "(sum a (over (window (order b) (rows UnboundedPreceding (following 1)))))",
        ),
        ("coalesce(a, b), nullif(a, b), greatest(1, 2)", "(coalesce a b) (nullif a b) (greatest 1 2)"),
        ("a & b | c # d << 1 >> 2", "(>> (<< (# (| (& a b) c) d) 1) 2)"),
        ("a AS \"B\", b c", "(as a \"B\") (as b c)"),
        ("jsonb_build_object('a', jsonb_build_array())", "(jsonb_build_object 'a' (jsonb_build_array))"),
    ] {
        if text == "a ISNULL" {
            continue;
        }
        assert_eq!(expr(text), expected, "{text}");
    }
}

#[test]
fn trees_of_queries() {
    for (text, expected) in [
        ("SELECT * FROM t", "(select * (from t))"),
        ("select t.*, s.t.* from t", "(select t.* s.t.* (from t))"),
        ("SELECT FROM t", "(select  (from t))"),
        ("SELECT 1;", "(select 1)"),
        ("SELECT * FROM s.t AS x (a, b)", "(select * (from (s.t as x (columns a b))))"),
        (
            "SELECT * FROM t x, LATERAL (SELECT x.a) y",
            "(select * (from (t as x) (subquery lateral (select x.a) as y)))",
        ),
        (
            "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (n, s)",
            "(select * (from (subquery (values (1 'a') (2 'b')) as v (columns n s))))",
        ),
        (
            "SELECT * FROM t v, v.owner.SecondaryOwners AS o",
            "(select * (from (t as v) (v.owner.SecondaryOwners as o)))",
        ),
        ("SELECT * FROM history(t) AS h", "(select * (from (table-function lateral history (arguments t) as h)))"),
        (
            "SELECT * FROM generate_series(1, 10) AS g (i)",
            "(select * (from (table-function lateral generate_series (arguments 1 10) as g (columns i))))",
        ),
        (
            "SELECT * FROM unnest(a) WITH ORDINALITY AS u (x, n)",
            "(select * (from (table-function lateral ordinality unnest (arguments a) as u (columns x n))))",
        ),
        (
            "SELECT * FROM pg_catalog.generate_series(1, 2)",
            "(select * (from (table-function lateral pg_catalog.generate_series (arguments 1 2))))",
        ),
        ("SELECT * FROM LATERAL f(1) x", "(select * (from (table-function lateral f (arguments 1) as x)))"),
        ("SELECT * FROM t AS OF BLOCK 5", "(select * (from (t (as-of-block 5))))"),
        ("SELECT * FROM t AS OF BLOCK $1 AS x WHERE x.a", "(select * (from (t (as-of-block ?0) as x)) (where x.a))"),
        (
            "SELECT * FROM t AS OF TIMESTAMP '2020-01-01' x JOIN u AS OF TIMESTAMP now() - interval '1 day' y ON x.a = y.a",
            "(select * (from (inner (t (as-of-timestamp '2020-01-01') as x) (u (as-of-timestamp (- (now) (cast '1 day' interval))) as y) (on (= x.a y.a)))))",
        ),
        ("SELECT a AS of FROM t", "(select (as a of) (from t))"),
        (
            "SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING (x, y) CROSS JOIN d NATURAL JOIN e RIGHT OUTER JOIN f ON TRUE FULL JOIN g ON FALSE",
            "(select * (from (full (right (inner (cross (left (inner a b (on (= a.x b.x))) c (using x y)) d) e natural) f (on true)) g (on false))))",
        ),
        (
            "SELECT * FROM (a JOIN b ON TRUE) JOIN c ON TRUE",
            "(select * (from (inner (inner a b (on true)) c (on true))))",
        ),
        (
            "SELECT DISTINCT ON (a, b) c FROM t ORDER BY a, b DESC NULLS FIRST LIMIT 10 OFFSET 5",
            "(select (distinct-on a b) c (from t)) (order a (b desc nulls-first)) (limit 10) (offset 5)",
        ),
        ("SELECT a FROM t LIMIT ALL", "(select a (from t))"),
        ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "(select a (from t)) (limit 5)"),
        ("SELECT a FROM t OFFSET 3 ROWS FETCH NEXT ROW ONLY", "(select a (from t)) (limit 1) (offset 3)"),
        (
            "SELECT a FROM t ORDER BY a FETCH FIRST 5 ROWS WITH TIES",
            "(select a (from t)) (order a) (limit 5) with-ties",
        ),
        (
            "SELECT a FROM t ORDER BY a FETCH NEXT ($1 + 1) ROW WITH TIES",
            "(select a (from t)) (order a) (limit (+ ?0 1)) with-ties",
        ),
        ("SELECT a FROM ONLY (t) AS x, ONLY u, ONLY (s.v)", "(select a (from (t as x) u s.v))"),
        (
            "SELECT state, count(*), sum(p) FROM cur GROUP BY state HAVING count(*) > 1",
            "(select state (count *) (sum p) (from cur) (group state) (having (> (count *) 1)))",
        ),
        (
            "SELECT date_trunc('month', tx_time), state, count(*) FROM history(r) GROUP BY 1, 2",
            "(select (date_trunc 'month' tx_time) state (count *) (from (table-function lateral history (arguments r))) (group 1 2))",
        ),
        (
            "SELECT a FROM t GROUP BY (), a, ((b, (c))), ROLLUP ((a + b) * 2, (b, c)), CUBE (a)",
            "(select a (from t) (group () a (b c) (rollup (* (+ a b) 2) (b c)) (cube a)))",
        ),
        (
            "SELECT a FROM t GROUP BY DISTINCT GROUPING SETS (a, (), GROUPING SETS ((a, b), ROLLUP (a)))",
            "(select a (from t) (group (distinct (grouping-sets a () (grouping-sets (a b) (rollup a))))))",
        ),
        // Only before a parenthesis they are more than names.
        (
            "SELECT rollup, cube, grouping FROM t GROUP BY rollup, cube, grouping, ROW (a, b)",
            "(select rollup cube grouping (from t) (group rollup cube grouping (row a b)))",
        ),
        (
            "SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY b)",
            "(select (sum a (over w)) (from t) (window (w (window (partition b)))))",
        ),
        ("SELECT 1 UNION ALL SELECT 2 UNION SELECT 3", "(union (union all (select 1) (select 2)) (select 3))"),
        ("SELECT 1 UNION SELECT 2 INTERSECT SELECT 3", "(union (select 1) (intersect (select 2) (select 3)))"),
        ("(SELECT 1 LIMIT 1) EXCEPT SELECT 2 ORDER BY 1", "(except ((select 1) (limit 1)) (select 2)) (order 1)"),
        ("VALUES (1, 2), (3, 4) ORDER BY 1", "(values (1 2) (3 4)) (order 1)"),
        ("TABLE t", "(select * (from t))"),
        (
            "WITH a AS (SELECT 1), b (x) AS MATERIALIZED (SELECT 2) SELECT * FROM a, b",
            "(with (a (select 1)) (b (columns x) (select 2))) (select * (from a b))",
        ),
        (
            "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT * FROM r",
            "(with recursive (r (columns n) (union all (select 1) (select (+ n 1) (from r) (where (< n 10)))))) (select * (from r))",
        ),
        ("SELECT 1; SELECT $2; ", "(select 1); (select ?1)"),
        ("", ""),
        (" ; ;-- c\n", ""),
        ("EXPLAIN SELECT 1", "(explain (select 1))"),
        ("EXPLAIN (ANALYZE, COSTS OFF) SELECT 1", "(explain analyze (select 1))"),
        ("EXPLAIN ANALYZE DELETE FROM t", "(explain analyze (delete t))"),
    ] {
        assert_eq!(tree(text), expected, "{text}");
    }
}

#[test]
fn trees_of_changes() {
    for (text, expected) in [
        ("INSERT INTO t VALUES (1, DEFAULT)", "(insert t (values (1 Default)))"),
        (
            "INSERT INTO s.t AS x (a, \"B\") VALUES ($1, $2), ($3, $4) RETURNING a, x.*",
            "(insert s.t as x (columns a \"B\") (values (?0 ?1) (?2 ?3)) (returning a x.*))",
        ),
        ("INSERT INTO t SELECT * FROM u", "(insert t (select * (from u)))"),
        ("INSERT INTO t DEFAULT VALUES", "(insert t defaults)"),
        (
            "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)",
            "(insert t (columns a) overriding-system (values (1)))",
        ),
        ("insert into s.t overriding user value select 1", "(insert s.t overriding-user (select 1))"),
        (
            "WITH x AS (SELECT 1) INSERT INTO t AS overriding (a, b) OVERRIDING SYSTEM VALUE SELECT * FROM x",
            "(insert t as overriding (columns a b) overriding-system (with (x (select 1))) (select * (from x)))",
        ),
        ("INSERT INTO overriding (system) VALUES (value)", "(insert overriding (columns system) (values (value)))"),
        (
            "INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x",
            "(insert t (columns a) (with (x (select 1))) (select * (from x)))",
        ),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "(insert t (with (x (select 1))) (select * (from x)))"),
        (
            "WITH x AS (DELETE FROM t RETURNING *), y (a) AS (INSERT INTO u OVERRIDING USER VALUE SELECT * FROM x) SELECT 1",
            "(with (x (delete t (returning *))) (y (columns a) (insert u overriding-user (select * (from x))))) (select 1)",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "(insert t (values (1)) (conflict nothing))"),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (a, b) DO UPDATE SET c = excluded.c, d = t.d + 1 WHERE t.e RETURNING *",
            "(insert t (values (1)) (conflict (on a b) (set c excluded.c) (set d (+ t.d 1)) (where t.e)) (returning *))",
        ),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT k DO NOTHING",
            "(insert t (values (1)) (conflict constraint k nothing))",
        ),
        (
            "UPDATE t SET a = 1, b = DEFAULT WHERE c = 2 RETURNING a",
            "(update t (set a 1) (set b Default) (where (= c 2)) (returning a))",
        ),
        (
            "UPDATE t AS x SET a = u.b FROM u, v WHERE x.k = u.k",
            "(update (t as x) u v (set a u.b) (where (= x.k u.k)))",
        ),
        ("UPDATE t SET owner.PrimaryOwner.PersonId = 'x'", "(update t (set owner.PrimaryOwner.PersonId 'x'))"),
        ("UPDATE t SET (a, b) = (1, 2)", "(update t (set a 1) (set b 2))"),
        (
            "update vehicle_registration set pending_penalty = pending_penalty + ($1)/100.0 where vin = $2",
            "(update vehicle_registration (set pending_penalty (+ pending_penalty (/ ?0 1000d-1))) (where (= vin ?1)))",
        ),
        ("DELETE FROM t", "(delete t)"),
        ("DELETE FROM ONLY t", "(delete t)"),
        ("DELETE FROM ONLY (t)", "(delete t)"),
        (
            "MERGE INTO t x USING u ON x.a = u.a WHEN MATCHED AND u.b THEN UPDATE SET c = u.c WHEN MATCHED THEN DELETE \
             WHEN NOT MATCHED THEN INSERT (a) OVERRIDING SYSTEM VALUE VALUES (u.a) WHEN NOT MATCHED THEN DO NOTHING",
            "(merge (t as x) u (= x.a u.a) (matched (where u.b) (update (set c u.c))) (matched delete) \
             (not-matched (insert (columns a) overriding-system (values (u.a)))) (not-matched nothing))",
        ),
        (
            "WITH w AS (SELECT 1) MERGE INTO t USING (u JOIN v USING (a)) ON TRUE \
             WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
            "(merge (with (w (select 1))) t (inner u v (using a)) true (not-matched (insert defaults)))",
        ),
        (
            "DELETE FROM t AS x USING u WHERE x.a = u.a RETURNING *",
            "(delete (t as x) u (where (= x.a u.a)) (returning *))",
        ),
    ] {
        assert_eq!(tree(text), expected, "{text}");
    }
}

#[test]
fn trees_of_definitions() {
    for (text, expected) in [
        ("CREATE TABLE Person", "(create-table person)"),
        ("CREATE TABLE \"Person\" ()", "(create-table \"Person\")"),
        (
            "CREATE TABLE IF NOT EXISTS s.t (a int PRIMARY KEY, b text NOT NULL DEFAULT 'x', c numeric(12,2) UNIQUE CHECK (c > 0))",
            "(create-table if-not-exists s.t (columns (a int4 primary-key) (b text not-null (default 'x' ''x'')) (c numeric(12,2) unique (checks (> c 0) 'c > 0'))))",
        ),
        (
            "CREATE TABLE t (a bigserial, b int GENERATED BY DEFAULT AS IDENTITY, c int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, d char(2) NULL)",
            "(create-table t (columns (a bigserial not-null identity) (b int4 not-null identity) (c int4 not-null primary-key identity) (d char(2))))",
        ),
        (
            "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)",
            "(create-table t (columns (a int4 not-null identity always)))",
        ),
        (
            "CREATE TABLE t (a int CHECK (identity (a) > 0), b int GENERATED ALWAYS AS IDENTITY (START WITH 7 INCREMENT BY 1 NO CYCLE), c int GENERATED BY DEFAULT AS IDENTITY (CACHE 5))",
            "(create-table t (columns (a int4 (checks (> (identity a) 0) 'identity(a) > 0')) (b int4 not-null identity always (from 7)) (c int4 not-null identity)))",
        ),
        (
            "ALTER TABLE ONLY public.t ALTER COLUMN a ADD GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME public.t_a_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1)",
            "(alter public.t (add-generated a by-default (sequence t_a_seq)))",
        ),
        (
            "CREATE TABLE t AS SELECT x FROM (SELECT 1) AS identity (x)",
            "(create-table t as (select x (from (subquery (select 1) as identity (columns x)))))",
        ),
        (
            "ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY (START 9), ALTER b SET GENERATED ALWAYS RESTART WITH 40, ALTER c RESTART 3",
            "(alter t (add-generated a always (from 9)) (set-generated b always (from 40)) (set-generated c (from 3)))",
        ),
        (
            "CREATE TABLE t (a int, b int, CONSTRAINT k PRIMARY KEY (a, b), UNIQUE (b), CONSTRAINT c CHECK (a < b))",
            "(create-table t (columns (a int4) (b int4)) (constraints (k:primary-key a b) (unique b) (c:check (< a b) 'a < b')))",
        ),
        (
            "CREATE TABLE t (a int) WITH (salted = true, x = 'y')",
            "(create-table t (columns (a int4)) (with salted=true x='y'))",
        ),
        ("CREATE TABLE t WITH (salted = false)", "(create-table t (with salted=false))"),
        ("CREATE TABLE t AS SELECT 1 AS a", "(create-table t as (select (as 1 a)))"),
        (
            "CREATE TABLE t (ts timestamptz DEFAULT now(), j jsonb, u uuid, x bytea, d date, v varchar, n numeric, f double precision, a text[])",
            "(create-table t (columns (ts timestamptz (default (now) 'now()')) (j jsonb) (u uuid) (x bytea) (d date) (v varchar) (n numeric) (f float8) (a text[])))",
        ),
        ("COMMENT ON TABLE t IS 'it''s'", "(comment table t 'it's')"),
        ("comment on column s.t.\"C\" is $$x$$", "(comment column s.t.\"C\" 'x')"),
        ("COMMENT ON INDEX i IS E'a\\tb'", "(comment index i 'a\tb')"),
        ("COMMENT ON VIEW v IS U&'d\\0061t'", "(comment view v 'dat')"),
        ("COMMENT ON DATABASE d IS NULL", "(comment database d null)"),
        (
            "CREATE SEQUENCE public.t_a_seq AS integer START WITH 7 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1",
            "(sequence public.t_a_seq create (from 7))",
        ),
        ("CREATE SEQUENCE IF NOT EXISTS s OWNED BY t.a", "(sequence leniently s create of t.a)"),
        ("ALTER SEQUENCE s OWNED BY public.t.a", "(sequence s of public.t.a)"),
        ("ALTER SEQUENCE IF EXISTS s RESTART WITH 5", "(sequence leniently s restart 5)"),
        ("COMMENT ON CONSTRAINT c ON public.t IS 'x'", "(comment constraint c public.t 'x')"),
        ("COMMENT ON CONSTRAINT c ON domain IS 'x'", "(comment constraint c domain 'x')"),
        ("COMMENT ON TABLE t IS ''", "(comment table t null)"),
        ("CREATE INDEX ON t (a)", "(create-index _ t a)"),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t USING btree (a, owner.PrimaryOwner.PersonId)",
            "(create-index unique if-not-exists i s.t a owner.PrimaryOwner.PersonId)",
        ),
        ("DROP TABLE IF EXISTS a, s.b CASCADE", "(drop-table if-exists a s.b)"),
        ("DROP INDEX i", "(drop-index i)"),
        ("DROP INDEX \"4tPW\" ON v WITH (purge = true)", "(drop-index \"4tPW\" on v)"),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int NOT NULL DEFAULT 1",
            "(alter t (add if-not-exists (a int4 not-null (default 1 '1'))))",
        ),
        ("ALTER TABLE t DROP COLUMN IF EXISTS a", "(alter t (drop if-exists a))"),
        ("ALTER TABLE t RENAME TO u", "(alter t (rename u))"),
        ("ALTER TABLE t RENAME COLUMN a TO b", "(alter t (rename-column a b))"),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "(alter t (add (c:check (> a 0) 'a > 0')))"),
        ("ALTER TABLE t ADD PRIMARY KEY (a)", "(alter t (add (primary-key a)))"),
        ("ALTER TABLE t DROP CONSTRAINT IF EXISTS c", "(alter t (drop-constraint if-exists c))"),
        ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", "(alter t (set-not-null a))"),
        ("ALTER TABLE t ALTER a DROP NOT NULL", "(alter t (drop-not-null a))"),
        ("ALTER TABLE t ALTER COLUMN a SET DEFAULT 5", "(alter t (set-default a 5 '5'))"),
        ("ALTER TABLE t ALTER COLUMN a DROP DEFAULT", "(alter t (drop-default a))"),
        ("ALTER TABLE t ALTER COLUMN a TYPE varchar(5)", "(alter t (set-type a varchar(5)))"),
        ("ALTER TABLE t ALTER a SET DATA TYPE int8 USING a::int8", "(alter t (set-type a int8 (using (cast a int8))))"),
        ("UNDROP TABLE \"5PLf9SXwndd63lPaSIa0O6\"", "(undrop \"5PLf9SXwndd63lPaSIa0O6\")"),
        ("EXEC REDACT_REVISION $1, 'a', 'b'", "(exec redact_revision ?0 'a' 'b')"),
    ] {
        assert_eq!(tree(text), expected, "{text}");
    }
}

#[test]
fn trees_of_commands() {
    for (text, expected) in [
        ("BEGIN", "Begin { read_only: false }"),
        ("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "Begin { read_only: true }"),
        ("START TRANSACTION READ WRITE", "Begin { read_only: false }"),
        ("begin isolation level read committed", "Begin { read_only: false }"),
        ("COMMIT", "Commit { chain: false }"),
        ("END", "Commit { chain: false }"),
        ("COMMIT WORK AND NO CHAIN", "Commit { chain: false }"),
        ("ROLLBACK", "Rollback { chain: false }"),
        ("ABORT", "Rollback { chain: false }"),
        ("COMMIT AND CHAIN", "Commit { chain: true }"),
        ("ROLLBACK WORK AND CHAIN", "Rollback { chain: true }"),
        ("SET x = 1", "(set x '1')"),
        ("SET SESSION x TO 'a', b", "(set x 'a' 'b')"),
        ("SET LOCAL ledgerstone.client_token = 'T'", "(set local ledgerstone.client_token 'T')"),
        ("SET x TO DEFAULT", "(set x default)"),
        ("SET extra_float_digits = -1", "(set extra_float_digits '-1')"),
        ("SET standard_conforming_strings = ON", "(set standard_conforming_strings 'on')"),
        ("SET TIME ZONE 'UTC'", "(set timezone 'UTC')"),
        ("SET TIME ZONE LOCAL", "(set timezone default)"),
        ("SET NAMES 'utf8'", "(set client_encoding 'utf8')"),
        ("SET search_path TO public, \"$user\"", "(set search_path 'public' '$user')"),
        (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "SetTransaction { session: false, isolation: Some(\"repeatable read\"), read_only: Some(true) }",
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SetTransaction { session: true, isolation: None, read_only: Some(false) }",
        ),
        ("SET SESSION AUTHORIZATION DEFAULT", "NoOperation { tag: \"SET\" }"),
        ("SHOW ledgerstone.last_commit", "Show { name: \"ledgerstone.last_commit\" }"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "Show { name: \"transaction_isolation\" }"),
        ("SHOW ALL", "Show { name: \"all\" }"),
        ("RESET ALL", "Reset { name: None }"),
        ("RESET a.b", "Reset { name: Some(\"a.b\") }"),
        ("DISCARD ALL", "DiscardAll"),
        ("DEALLOCATE ALL", "Deallocate { name: None }"),
        ("UNLISTEN *", "NoOperation { tag: \"UNLISTEN\" }"),
        ("COPY t FROM STDIN", "(copy t from std Text delimiter='\\t' null=\"\\\\N\" quote='\"' escape='\"')"),
        (
            "COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER)",
            "(copy t (columns a b) from std Csv header delimiter=',' null=\"\" quote='\"' escape='\"')",
        ),
        (
            "copy t from stdin (format csv, header false, delimiter ';', null 'N', quote '''', escape E'\\\\', encoding 'UTF8')",
            "(copy t from std Csv delimiter=';' null=\"N\" quote='\\'' escape='\\\\')",
        ),
        (
            "COPY t FROM STDIN WITH CSV HEADER DELIMITER AS '|' NULL AS ''",
            "(copy t from std Csv header delimiter='|' null=\"\" quote='\"' escape='\"')",
        ),
        (
            "COPY t FROM STDIN DELIMITER ',' CSV HEADER",
            "(copy t from std Csv header delimiter=',' null=\"\" quote='\"' escape='\"')",
        ),
        ("COPY t TO STDOUT", "(copy t to std Text delimiter='\\t' null=\"\\\\N\" quote='\"' escape='\"')"),
        (
            "COPY (SELECT (1) FROM t) TO STDOUT (FORMAT csv)",
            "(copy (select 1 (from t)) to std Csv delimiter=',' null=\"\" quote='\"' escape='\"')",
        ),
        (
            "COPY t TO 'out' (FORMAT parquet)",
            "(copy t to 'out' Parquet delimiter='\\t' null=\"\\\\N\" quote='\"' escape='\"')",
        ),
    ] {
        assert_eq!(tree(text), expected, "{text}");
    }
    assert!(matches!(one("SAVEPOINT a"), crate::ast::Statement::Savepoint(n) if &*n.text == "a"));
    assert!(matches!(one("RELEASE SAVEPOINT a"), crate::ast::Statement::ReleaseSavepoint(_)));
    assert!(matches!(one("ROLLBACK TO SAVEPOINT a"), crate::ast::Statement::RollbackToSavepoint(_)));
    assert!(matches!(one("ROLLBACK TRANSACTION TO a"), crate::ast::Statement::RollbackToSavepoint(_)));
    assert!(matches!(
        one("CREATE DATABASE IF NOT EXISTS a"),
        crate::ast::Statement::CreateDatabase { if_not_exists: true, .. }
    ));
    assert!(matches!(one("DROP DATABASE a"), crate::ast::Statement::DropDatabase { .. }));
    assert!(matches!(one("DEALLOCATE PREPARE p"), crate::ast::Statement::Deallocate { name: Some(_) }));
}

fn one(text: &str) -> crate::ast::Statement {
    parse(text).unwrap().remove(0).statement
}

#[test]
fn what_is_not_done_is_an_error() {
    for text in [
        "SELECT a FROM t GROUP BY a FOR UPDATE",
        "SELECT * INTO u FROM t",
        "SELECT * FROM t TABLESAMPLE SYSTEM (10)",
        "SELECT a FROM t GROUP BY ALL",
        "SELECT f(a => 1)",
        "SELECT X'1F'",
        "SELECT a COLLATE \"de_DE\" FROM t",
        "SELECT first_value(a) IGNORE NULLS OVER () FROM t",
        "SELECT * FROM (WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x) y",
        "CREATE VIEW v AS SELECT 1",
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE SCHEMA s",
        "CREATE TEMP SEQUENCE s",
        "CREATE SEQUENCE s CYCLE",
        "ALTER SEQUENCE s RESTART",
        "ALTER SEQUENCE s OWNED BY NONE",
        "ALTER SEQUENCE s RENAME TO r",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TABLE t (a int) INHERITS (u)",
        "CREATE TABLE t (a int) PARTITION BY RANGE (a)",
        "CREATE UNLOGGED TABLE t (a int)",
        "CREATE TABLE t (a int REFERENCES u (b))",
        "CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES u (b))",
        "CREATE TABLE t (a int GENERATED ALWAYS AS (b + 1) STORED)",
        "CREATE TABLE t (a int PRIMARY KEY DEFERRABLE)",
        "CREATE TABLE t (a int GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY 2))",
        "CREATE TABLE t (a int GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME s))",
        "ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY (CYCLE)",
        "ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY (MAXVALUE 10)",
        "ALTER TABLE t ALTER a RESTART",
        "ALTER TABLE t ALTER a SET NOT NULL, ADD COLUMN b int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME s)",
        "ALTER TABLE t ALTER a SET INCREMENT BY 2",
        "CREATE TABLE t (a text COLLATE \"de_DE\")",
        "CREATE TABLE t (a int) ON COMMIT DROP",
        "CREATE INDEX i ON t (lower(a))",
        "CREATE INDEX i ON t (a) WHERE b",
        "CREATE INDEX i ON t USING gin (a)",
        "CREATE INDEX i ON t (a) INCLUDE (b)",
        "CREATE INDEX i ON t (a DESC)",
        "CREATE INDEX i ON t (a text_pattern_ops)",
        "CREATE UNIQUE INDEX i ON t (a) NULLS NOT DISTINCT",
        "CREATE INDEX i ON t (a) WITH (fastupdate = on)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE t OWNER TO x",
        "DROP VIEW v",
        "DROP SCHEMA s CASCADE",
        "GRANT ALL ON t TO x",
        "CREATE ROLE x",
        "CREATE FUNCTION f() RETURNS int AS 'select 1' LANGUAGE sql",
        "CREATE EXTENSION x",
        "COMMENT ON SCHEMA public IS 'x'",
        "COMMENT ON CONSTRAINT c ON DOMAIN d IS 'x'",
        "LISTEN c",
        "NOTIFY c",
        "CALL f()",
        "COPY t FROM 'file'",
        "COPY t TO 'file'",
        "COPY t TO PROGRAM 'x'",
        "COPY t TO 'file' (FORMAT binary)",
        "COPY t FROM STDIN (FORCE_NULL (a))",
        "COPY t FROM STDIN (FORMAT csv, HEADER MATCH)",
        "COPY t FROM STDIN (FORMAT csv, ENCODING 'latin1')",
        "SET ROLE x",
        "EXPLAIN (FORMAT json) SELECT 1",
        "CREATE DATABASE d OWNER x",
        "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1",
        "SELECT a FROM x.y.z.f(1)",
    ] {
        match parse(text) {
            Ok(parsed) => panic!("accepted: {text}\n{}", compact::statement(&parsed[0].statement)),
            Err(e) => assert!(["0A000", "42601"].contains(&e.code.0), "{text}\n{}", e.render(text)),
        }
    }
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (text, marked, code, message, hint) in [
        ("SELCT 1", "SELCT", "42601", "syntax error at or near \"SELCT\"", "did you mean SELECT?"),
        ("SELECT * FORM t", "FORM", "42601", "syntax error at or near \"FORM\"", "did you mean FROM?"),
        ("SELECT a FROM t WEHRE b = 1", "WEHRE", "42601", "syntax error at or near \"WEHRE\"", "WHERE"),
        ("SELECT a FROM", "", "42601", "syntax error at end of input", "expected"),
        ("SELECT (1", "", "42601", "syntax error at end of input", "expected"),
        ("SELECT 1)", ")", "42601", "syntax error at or near \")\"", ""),
        ("SELECT 'abc", "'", "42601", "unterminated string literal", "close it"),
        ("SELECT 1 +", "", "42601", "syntax error at end of input", "an expression"),
        ("SELECT $0", "$0", "42P02", "there is no parameter $0", ""),
        ("SELECT $70000", "$70000", "42P02", "there is no parameter $70000", ""),
        ("INSERT t VALUES (1)", "INSERT", "42601", "expected INTO after INSERT", ""),
        ("UPDATE t SET", "", "42601", "syntax error at end of input", ""),
        ("SET x", "", "42601", "syntax error at end of input", "TO or"),
        ("COPY t", "", "42601", "syntax error at end of input", "FROM or TO"),
        ("COPY t FROM STDIN (DELIMITER 'ab')", "'ab'", "22023", "the delimiter must be one ASCII character", ""),
        ("SELECT a FROM t JOIN u", "u", "42601", "a join needs ON or USING", "CROSS JOIN"),
        ("SELECT x::nonsense(a)", "", "42601", "", ""),
        ("CREATE TABLE t (a)", ")", "42601", "syntax error at or near \")\"", "a data type name"),
        ("SELECT * FROM a.b.c", "", "", "", ""),
        ("BEGIN NONSENSE", "NONSENSE", "42601", "syntax error at or near \"NONSENSE\"", "ISOLATION LEVEL"),
        ("SELECT 1e", "1e", "42601", "trailing junk after numeric literal at or near \"1e\"", ""),
        ("SELECT 'é', 2.5e+", "2.5e+", "42601", "trailing junk after numeric literal at or near \"2.5e+\"", ""),
        ("SELECT 123abc", "123a", "42601", "trailing junk after numeric literal at or near \"123a\"", ""),
        ("SELECT 0x1F", "0x", "42601", "trailing junk after numeric literal at or near \"0x\"", ""),
        ("SELECT $1a", "$1a", "42601", "trailing junk after parameter at or near \"$1a\"", ""),
        ("SELECT 'é', a FROM )", ")", "42601", "syntax error at or near \")\"", ""),
        ("SELECT 1;\nSELECT 2 +;", "", "42601", "syntax error at end of input", ""),
        ("TRUNCATE t RESTART IDENTITY", "RESTART", "0A000", "RESTART IDENTITY is not supported", "never given twice"),
        (
            "INSERT INTO t OVERRIDING USER VALUE DEFAULT VALUES",
            "DEFAULT",
            "42601",
            "syntax error at or near \"DEFAULT\"",
            "VALUES or a query",
        ),
        (
            "CREATE TABLE t (a serial GENERATED ALWAYS AS IDENTITY)",
            "a",
            "42601",
            "multiple identity specifications for column \"a\"",
            "",
        ),
        ("COMMENT ON COLUMN a IS 'x'", "a", "42601", "column name must be qualified", "table.column"),
        ("COMMENT ON TABLE t IS 5", "5", "42601", "syntax error at or near \"5\"", "a text in quotes"),
        ("COMMENT ON TABLE t, u IS 'x'", ",", "42601", "syntax error at or near \",\"", "IS"),
        ("COMMENT ON NONSENSE t IS 'x'", "NONSENSE", "42601", "syntax error at or near \"NONSENSE\"", "TABLE, COLUMN"),
        ("COMMENT ON ROLE r IS 'x'", "ROLE", "0A000", "COMMENT ON ROLE is not supported", "tables, columns"),
        ("DO $$ BEGIN END $$", "DO", "0A000", "DO is not supported", "one by one"),
        (
            "PREPARE p AS PREPARE q AS SELECT 1",
            "PREPARE",
            "42601",
            "syntax error at or near \"PREPARE\"",
            "can be prepared",
        ),
        ("DECLARE c CURSOR FOR DELETE FROM t", "DELETE", "42601", "a cursor is declared for a query", ""),
        (
            "FETCH 99999999999 FROM c",
            "99999999999",
            "42601",
            "syntax error at or near \"99999999999\"",
            "a number of rows",
        ),
        ("CREATE VIEW v AS SELECT 1", "CREATE", "0A000", "CREATE VIEW is not supported", "tables"),
    ] {
        if code.is_empty() || message.is_empty() {
            continue;
        }
        let error = match parse(text) {
            Err(error) => error,
            Ok(_) => panic!("accepted: {text}"),
        };
        let span = error.span.unwrap_or(Span { start: u32::MAX, end: u32::MAX });
        let found = (span.slice(text), error.code.0, error.message.as_str());
        assert_eq!(found, (marked, code, message), "{text}\n{}", error.render(text));
        assert!(error.hint.as_deref().unwrap_or("").contains(hint), "{text}\n{}", error.render(text));
    }
}

#[test]
fn spans_point_into_the_text_after_wide_characters_and_newlines() {
    let text = "SELECT 'é'\n, name\n  FROM tä";
    let parsed = parse(text).unwrap();
    assert_eq!(parsed[0].text.slice(text), text);
    let crate::ast::Statement::Query(query) = &parsed[0].statement else { panic!() };
    let crate::ast::SetExpr::Select(select) = &query.body else { panic!() };
    let crate::ast::Projection::Items(items) = &select.projection else { panic!() };
    let crate::ast::SelectItem::Expr { expr, .. } = &items[1] else { panic!() };
    assert_eq!(expr.span.slice(text), "name");
    let crate::ast::From::Path { path, .. } = &select.from[0] else { panic!() };
    assert_eq!(path.span.slice(text), "tä");
}

#[test]
fn statements_know_their_text_and_parameters() {
    let text = "SELECT $3 ;  DELETE FROM t WHERE a = $1; ";
    let parsed = parse(text).unwrap();
    assert_eq!(parsed[0].text.slice(text), "SELECT $3");
    assert_eq!(parsed[1].text.slice(text), "DELETE FROM t WHERE a = $1");
    assert_eq!((parsed[0].parameters, parsed[1].parameters), (3, 1));
}

#[test]
fn deep_texts_are_refused_quickly() {
    for (open, close) in [
        ("(", ")"),
        ("ARRAY[", "]"),
        ("(SELECT ", ")"),
        ("f(", ")"),
        ("- ", ""),
        ("NOT ", ""),
        ("CASE WHEN ", " THEN 1 END"),
        ("CAST(", " AS INT)"),
        ("a[", "]"),
        ("1 IN (", ")"),
        ("EXPLAIN ", ""),
        ("position(", " in a)"),
        ("EXTRACT(year FROM ", ")"),
        ("substring(", " from 1)"),
        ("trim(", ")"),
        ("ceil(", ")"),
        ("overlay(", ")"),
        ("EXISTS(SELECT ", ")"),
        ("interval ", ""),
        ("a = ", ""),
        ("SELECT * FROM (", ")"),
        ("a AND (b OR ", ")"),
        ("(SELECT * FROM (", "))"),
        ("CASE ", " END"),
        ("CAST(CAST(", ""),
        ("ARRAY(", ")"),
        ("f(ALL ", ")"),
    ] {
        for depth in [40usize, 120, 2_000] {
            for (prefix, suffix) in [("SELECT ", ""), ("SELECT ", " FROM FROM"), ("SELECT * FROM ", ""), ("", "")] {
                let text = format!("{prefix}{}1{}{suffix}", open.repeat(depth), close.repeat(depth));
                let one = std::time::Instant::now();
                if let Err(e) = parse(&text) {
                    assert!(["54001", "54000", "42601", "0A000", "42704"].contains(&e.code.0), "{open}: {e:?}");
                }
                assert!(one.elapsed().as_secs() < 20, "{open} {depth} {prefix} took {:?}", one.elapsed());
            }
        }
    }
}

#[test]
fn what_is_rewritten_word_by_word_is_bounded() {
    let ranges = |count: usize| format!("SELECT {} a", "a BETWEEN SYMMETRIC 1 AND 2, ".repeat(count));
    assert!(parse(&ranges(900)).is_ok());
    // Each is looked for to the end of the text, and moves the rest of it.
    assert_eq!(parse(&ranges(1_001)).unwrap_err().code.0, "54000");
    let nested = format!("SELECT a {}", "BETWEEN SYMMETRIC ".repeat(60_000));
    assert_eq!(parse(&nested).unwrap_err().code.0, "54001");
}

#[test]
fn a_million_parentheses_are_refused() {
    let text = format!("SELECT {}1", "(".repeat(1_000_000));
    assert!(parse(&text).is_err());
}

#[test]
fn long_rows_are_read_or_refused() {
    let text = format!("SELECT 1 WHERE {}TRUE", "a = 1 AND ".repeat(3_000));
    assert!(parse(&text).is_ok());
    for (link, code) in [("1 + ", "54001"), ("1 || ", "54001"), ("a = 1 AND ", "54001")] {
        let text = format!("SELECT {}1", link.repeat(50_000));
        assert_eq!(parse(&text).unwrap_err().code.0, code, "{link}");
    }
    let text = format!("SELECT {}1", "1 + ".repeat(2_000));
    assert_eq!(parse(&text).unwrap_err().code.0, "54001");
    let text = format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(2_000));
    assert_eq!(parse(&text).unwrap_err().code.0, "54001");
    let text = format!("SELECT 1 FROM t {}", "CROSS JOIN t ".repeat(2_000));
    assert_eq!(parse(&text).unwrap_err().code.0, "54001");
    let text = format!("INSERT INTO t VALUES (1, 2){}", ", (3, -4)".repeat(20_000));
    assert!(parse(&text).is_ok());
    let text = format!("SELECT 1 WHERE a IN (1{})", ", 2".repeat(50_000));
    assert!(parse(&text).is_ok());
}
