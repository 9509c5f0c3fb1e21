"""psycopg 3: types in both formats, transactions, batches, COPY, cursors, errors, cancelling, its own introspection."""

import datetime as dt
import decimal
import threading
import time
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types import TypeInfo
from psycopg.types.json import Json, Jsonb

from harness import case, main

TABLE = """
    CREATE TABLE every (
        id int PRIMARY KEY, c_text text, c_varchar varchar(20), c_int2 int2, c_int4 int4, c_int8 int8,
        c_numeric numeric(20, 4), c_float4 float4, c_float8 float8, c_bool bool, c_date date,
        c_timestamp timestamp, c_timestamptz timestamptz, c_interval interval, c_bytea bytea,
        c_json json, c_jsonb jsonb, c_uuid uuid, c_ints int4[], c_texts text[])
"""
UTC = dt.timezone.utc
VALUES = {
    "c_text": "a 'quoted' \\ text — ünïcode 🚗",
    "c_varchar": "twenty",
    "c_int2": -32768,
    "c_int4": 2**31 - 1,
    "c_int8": -(2**63),
    "c_numeric": decimal.Decimal("-1234567890123456.7890"),
    "c_float4": 1.5,
    "c_float8": 0.1,
    "c_bool": True,
    "c_date": dt.date(1999, 12, 31),
    "c_timestamp": dt.datetime(2024, 2, 29, 23, 59, 59, 999999),
    "c_timestamptz": dt.datetime(2024, 2, 29, 23, 59, 59, 1, tzinfo=UTC),
    "c_interval": dt.timedelta(days=3, hours=-2, microseconds=7),
    "c_bytea": bytes(range(256)),
    "c_json": {"a": [1, None, "x"]},
    "c_jsonb": {"a": [1, None, "x"], "b": {"c": 1.5}},
    "c_uuid": uuid.UUID("9f1c3f3e-6c2b-4a53-9b53-0242ac120002"),
    "c_ints": [1, None, -3],
    "c_texts": ["a,b", 'c"d', "", None],
}


def adapted(values):
    wrapped = {"c_json": Json, "c_jsonb": Jsonb}
    return {name: wrapped.get(name, lambda v: v)(value) for name, value in values.items()}


@case
def every_type_comes_back_in_text_and_binary(address):
    with psycopg.connect(address) as db:
        db.execute(TABLE)
        names = sql.SQL(", ").join(map(sql.Identifier, VALUES))
        for number, (template, binary) in enumerate([("%({})s", False), ("%({})b", True), ("%({})t", False)]):
            places = sql.SQL(", ").join(sql.SQL(template.format(name)) for name in VALUES)
            statement = sql.SQL("INSERT INTO every (id, {}) VALUES (%(id)s, {})").format(names, places)
            db.execute(statement, {"id": number, **adapted(VALUES)})
            for read_binary in (False, True):
                cursor = db.cursor(binary=read_binary, row_factory=dict_row)
                row = cursor.execute("SELECT * FROM every WHERE id = %s", [number]).fetchone()
                assert row.pop("id") == number
                assert row == VALUES, (template, read_binary, {k: (row[k], VALUES[k]) for k in row if row[k] != VALUES[k]})
        db.execute("INSERT INTO every (id) VALUES (9)")
        row = db.cursor(row_factory=dict_row).execute("SELECT * FROM every WHERE id = 9").fetchone()
        assert {value for name, value in row.items() if name != "id"} == {None}


@case
def columns_are_described_with_the_types_that_were_declared(address):
    with psycopg.connect(address) as db:
        db.execute(TABLE)
        cursor = db.execute("SELECT * FROM every")
        shown = {column.name: column.type_display for column in cursor.description}
        assert shown["c_varchar"] == "varchar(20)", shown
        assert shown["c_numeric"] == "numeric(20,4)", shown
        assert (shown["c_int8"], shown["c_jsonb"], shown["c_ints"]) == ("int8", "jsonb", "int4[]"), shown
        # psycopg asks pg_type by name, and by to_regtype.
        for name, oid, array_oid in [("uuid", 2950, 2951), ("jsonb", 3802, 3807), ("numeric", 1700, 1231)]:
            info = TypeInfo.fetch(db, name)
            assert (info.oid, info.array_oid) == (oid, array_oid), info
        assert TypeInfo.fetch(db, "hstore") is None


@case
def rows_are_made_changed_and_removed_and_returned(address):
    class Person:
        def __init__(self, id, name):
            self.id, self.name = id, name

    with psycopg.connect(address) as db:
        db.execute("CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL)")
        ids = [db.execute("INSERT INTO person (name) VALUES (%s) RETURNING id", [n]).fetchone()[0] for n in "abc"]
        assert ids == sorted(set(ids)) and len(ids) == 3
        assert db.execute("UPDATE person SET name = upper(name) WHERE id <> %s", [ids[0]]).rowcount == 2
        assert db.execute("DELETE FROM person WHERE id = %s RETURNING name", [ids[1]]).fetchall() == [("B",)]
        people = db.cursor(row_factory=class_row(Person)).execute("SELECT id, name FROM person ORDER BY id").fetchall()
        assert [(p.id, p.name) for p in people] == [(ids[0], "a"), (ids[2], "C")]
        db.commit()
        db.execute("UPDATE person SET name = 'A' WHERE id = %s", [ids[0]])
        db.commit()
        names = db.execute("SELECT data->>'name' FROM history(person) WHERE data->>'id' = %s ORDER BY metadata->'version'", [str(ids[0])])
        assert names.fetchall() == [("a",), ("A",)]


@case
def a_conflict_updates_or_is_passed_over(address):
    with psycopg.connect(address) as db:
        db.execute("CREATE TABLE stock (item text PRIMARY KEY, n int NOT NULL)")
        upsert = "INSERT INTO stock VALUES (%s, %s) ON CONFLICT (item) DO UPDATE SET n = stock.n + EXCLUDED.n RETURNING n"
        assert db.execute(upsert, ["bolt", 2]).fetchone() == (2,)
        assert db.execute(upsert, ["bolt", 3]).fetchone() == (5,)
        assert db.execute("INSERT INTO stock VALUES ('bolt', 9) ON CONFLICT DO NOTHING").rowcount == 0
        assert db.execute("SELECT * FROM stock").fetchall() == [("bolt", 5)]


@case
def transactions_and_savepoints_keep_or_undo(address):
    with psycopg.connect(address) as db:
        with db.transaction():
            db.execute("CREATE TABLE t (a int PRIMARY KEY)")
        try:
            with db.transaction():
                db.execute("INSERT INTO t VALUES (1)")
                raise KeyError
        except KeyError:
            pass
        with db.transaction():
            db.execute("INSERT INTO t VALUES (2)")
            try:
                with db.transaction():
                    db.execute("INSERT INTO t VALUES (3)")
                    db.execute("INSERT INTO t VALUES (2)")
            except psycopg.errors.UniqueViolation as error:
                assert error.diag.sqlstate == "23505" and error.diag.constraint_name == "t_pkey", error.diag
            db.execute("INSERT INTO t VALUES (4)")
        assert db.execute("SELECT a FROM t ORDER BY a").fetchall() == [(2,), (4,)]
        db.commit()
        db.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        db.read_only = True
        try:
            db.execute("INSERT INTO t VALUES (5)")
            raise AssertionError("a read-only transaction wrote")
        except psycopg.errors.ReadOnlySqlTransaction:
            db.rollback()


@case
def a_transaction_that_lost_a_race_is_40001(address):
    with psycopg.connect(address) as one, psycopg.connect(address) as two:
        one.execute("CREATE TABLE counter (id int PRIMARY KEY, n int)")
        one.execute("INSERT INTO counter VALUES (1, 0)")
        one.commit()
        for db in (one, two):
            db.execute("SELECT n FROM counter WHERE id = 1").fetchone()
        one.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        one.commit()
        try:
            two.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
            two.commit()
            raise AssertionError("an update was lost")
        except psycopg.errors.SerializationFailure as error:
            assert error.sqlstate == "40001"


@case
def a_batch_and_a_pipeline_are_in_order(address):
    with psycopg.connect(address) as db:
        db.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
        cursor = db.cursor()
        cursor.executemany("INSERT INTO t VALUES (%s, %s) RETURNING a", [(n, str(n)) for n in range(500)], returning=True)
        returned = []
        while True:
            returned += cursor.fetchall()
            if not cursor.nextset():
                break
        assert returned == [(n,) for n in range(500)]
        db.commit()
        with db.pipeline() as pipeline:
            cursors = [db.execute("SELECT b FROM t WHERE a = %s", [n]) for n in range(200)]
            pipeline.sync()
            assert [c.fetchone()[0] for c in cursors] == [str(n) for n in range(200)]
        try:
            with db.pipeline():
                db.execute("INSERT INTO t VALUES (500, 'x')")
                db.execute("INSERT INTO t VALUES (500, 'y')")
                db.execute("INSERT INTO t VALUES (501, 'z')")
            raise AssertionError("no error")
        except psycopg.errors.UniqueViolation:
            db.rollback()
        assert db.execute("SELECT count(*) FROM t").fetchone() == (500,)


@case
def copy_goes_in_and_out(address):
    with psycopg.connect(address) as db:
        db.execute("CREATE TABLE t (a int PRIMARY KEY, b text, c numeric)")
        rows = [(n, None if n % 7 == 0 else f"tab\t{n}\\\n", decimal.Decimal(n) / 4) for n in range(3000)]
        with db.cursor().copy("COPY t (a, b, c) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        db.commit()
        with db.cursor().copy("COPY (SELECT a, b, c FROM t ORDER BY a) TO STDOUT") as copy:
            copy.set_types(["int4", "text", "numeric"])
            assert list(copy.rows()) == rows
        with db.cursor().copy("COPY (SELECT a FROM t WHERE a < 3 ORDER BY a) TO STDOUT (FORMAT csv, HEADER)") as copy:
            assert b"".join(bytes(block) for block in copy) == b"a\n0\n1\n2\n"
        try:
            with db.cursor().copy("COPY t (a) FROM STDIN") as copy:
                copy.write("1\n")
            raise AssertionError("a key was taken twice")
        except psycopg.errors.UniqueViolation:
            db.rollback()


@case
def prepared_statements_are_used_again_and_survive_ddl(address):
    with psycopg.connect(address, prepare_threshold=0) as db:
        db.execute("CREATE TABLE t (a int PRIMARY KEY, b int)")
        for n in range(20):
            db.execute("INSERT INTO t VALUES (%s, %s)", [n, n * n], prepare=True)
        db.commit()
        statement = "SELECT b FROM t WHERE a = %s"
        assert [db.execute(statement, [n], prepare=True).fetchone()[0] for n in range(5)] == [0, 1, 4, 9, 16]
        db.commit()
        db.execute("ALTER TABLE t ADD COLUMN c int")
        db.commit()
        assert db.execute(statement, [6], prepare=True).fetchone() == (36,)


@case
def errors_have_sqlstate_place_and_hint(address):
    cases = [
        ("SELECT * FROM nothing", psycopg.errors.UndefinedTable),
        ("SELECT nothing FROM t", psycopg.errors.UndefinedColumn),
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),
        ("INSERT INTO t VALUES (1, NULL)", psycopg.errors.NotNullViolation),
        ("INSERT INTO t VALUES (1, 'four')", psycopg.errors.StringDataRightTruncation),
        ("INSERT INTO t VALUES (-1, 'x')", psycopg.errors.CheckViolation),
        ("SELECT 'x'::int", psycopg.errors.InvalidTextRepresentation),
        ("SELECT nothing()", psycopg.errors.UndefinedFunction),
        ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", psycopg.errors.FeatureNotSupported),
    ]
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("CREATE TABLE t (a int CHECK (a > 0), b varchar(3) NOT NULL)")
        for statement, expected in cases:
            try:
                db.execute(statement)
                raise AssertionError(statement)
            except expected as error:
                assert error.diag.message_primary, statement
        try:
            db.execute("SELECT nam FROM (SELECT 1 AS name) AS s")
        except psycopg.errors.UndefinedColumn as error:
            assert error.diag.statement_position == "8" and "name" in error.diag.message_hint, vars(error.diag)


@case
def a_statement_is_cancelled_and_the_connection_goes_on(address):
    with psycopg.connect(address, autocommit=True) as db:
        slow = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b"
        # Again and again, since the first may come before the statement has begun.
        done = threading.Event()

        def cancel():
            while not done.wait(0.2):
                db.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            db.execute(slow)
            raise AssertionError("it was not cancelled")
        except psycopg.errors.QueryCanceled as error:
            assert error.sqlstate == "57014"
        finally:
            done.set()
            thread.join()
        for _ in range(50):
            try:
                assert db.execute("SELECT 1").fetchone() == (1,)
                break
            except psycopg.errors.QueryCanceled:
                # A request that was still on its way.
                time.sleep(0.1)
        else:
            raise AssertionError("the connection does not go on")


@case
def a_large_result_comes_whole_and_row_by_row(address):
    with psycopg.connect(address) as db:
        cursor = db.cursor()
        total = 0
        for (number, text) in cursor.stream("SELECT n, repeat('x', 50) FROM generate_series(1, 200000) AS s (n)"):
            total += number
            assert len(text) == 50
        assert total == 200000 * 200001 // 2


@case
def settings_are_shown_set_and_reset(address):
    with psycopg.connect(address, options="-c statement_timeout=30000 -c application_name=cases") as db:
        assert db.info.parameter_status("server_version") and db.info.encoding == "utf-8"
        assert db.execute("SHOW statement_timeout").fetchone()[0] == "30s"
        assert db.execute("SELECT current_setting('application_name')").fetchone() == ("cases",)
        db.execute("SELECT set_config('application_name', 'other', false)")
        db.commit()
        assert db.info.parameter_status("application_name") == "other"
        assert db.execute("SELECT current_setting('no.such', true)").fetchone() == (None,)
        row = db.execute("SELECT pid, usename, application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        assert row.fetchone() == (db.info.backend_pid, "tester", "other")


@case
def an_asynchronous_connection_does_the_same(address):
    import asyncio

    async def work():
        async with await psycopg.AsyncConnection.connect(address) as db:
            await db.execute("CREATE TABLE t (a int PRIMARY KEY)")
            async with db.transaction():
                await db.cursor().executemany("INSERT INTO t VALUES (%s)", [(n,) for n in range(100)])
            rows = await (await db.execute("SELECT count(*), sum(a) FROM t")).fetchone()
            assert rows == (100, 4950)

    asyncio.run(work())


@case
def a_named_cursor_fetches_in_pieces(address):
    with psycopg.connect(address) as db:
        with db.cursor(name="piece") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT n FROM generate_series(1, 1050) AS s (n)")
            assert sum(n for (n,) in cursor) == 1050 * 1051 // 2


if __name__ == "__main__":
    main()
