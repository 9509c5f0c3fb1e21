"""asyncpg: binary everywhere, its introspection of types, prepared statements, COPY, cursors, transactions, cancelling."""

import asyncio
import datetime as dt
import decimal
import json
import uuid

import asyncpg

from harness import case, main


def asynchronous(function):
    """A case that is given a connection instead of an address."""

    def run(address):
        async def work():
            connection = await asyncpg.connect(address)
            try:
                await function(connection)
            finally:
                await connection.close()

        asyncio.run(work())

    run.__name__ = function.__name__
    return case(run)


VALUES = {
    "text": "ünïcode 🚗 'q' \\",
    "varchar(20)": "twenty",
    "int2": -32768,
    "int4": 2**31 - 1,
    "int8": -(2**63),
    "numeric(20,4)": decimal.Decimal("-1234567890123456.7890"),
    "numeric": decimal.Decimal("1e-30"),
    "float4": 1.5,
    "float8": 0.1,
    "bool": False,
    "date": dt.date(1999, 12, 31),
    "timestamp": dt.datetime(2024, 2, 29, 23, 59, 59, 999999),
    "timestamptz": dt.datetime(2024, 2, 29, 23, 59, 59, 1, tzinfo=dt.timezone.utc),
    "interval": dt.timedelta(days=3, seconds=7, microseconds=7),
    "bytea": bytes(range(256)),
    "json": '{"a": [1, null]}',
    "jsonb": '{"a": [1, null]}',
    "uuid": uuid.UUID("9f1c3f3e-6c2b-4a53-9b53-0242ac120002"),
    "int4[]": [1, None, -3],
    "text[]": ["a,b", 'c"d', "", None],
    "uuid[]": [uuid.UUID("9f1c3f3e-6c2b-4a53-9b53-0242ac120002")],
    "timestamptz[]": [dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc)],
    "numeric[]": [decimal.Decimal("1.50"), decimal.Decimal("0")],
}


@asynchronous
async def every_type_comes_back(db):
    columns = ", ".join(f"c{n} {ty}" for n, ty in enumerate(VALUES))
    await db.execute(f"CREATE TABLE every (id int PRIMARY KEY, {columns})")
    places = ", ".join(f"${n + 2}" for n in range(len(VALUES)))
    await db.execute(f"INSERT INTO every VALUES ($1, {places})", 1, *VALUES.values())
    row = await db.fetchrow("SELECT * FROM every WHERE id = $1", 1)
    for (ty, sent), got in zip(VALUES.items(), list(row)[1:]):
        assert got == sent, (ty, sent, got)
    await db.execute("INSERT INTO every (id) VALUES (2)")
    assert set(list(await db.fetchrow("SELECT * FROM every WHERE id = 2"))[1:]) == {None}


@asynchronous
async def json_is_what_the_application_makes_of_it(db):
    for name in ("json", "jsonb"):
        await db.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await db.execute("CREATE TABLE t (id int PRIMARY KEY, data jsonb)")
    await db.execute("INSERT INTO t VALUES (1, $1)", {"a": {"b": [1, 2]}})
    assert await db.fetchval("SELECT data FROM t WHERE data @> $1", {"a": {"b": [2]}}) == {"a": {"b": [1, 2]}}
    assert await db.fetchval("SELECT data -> 'a' ->> 'b' FROM t") == "[1, 2]"


@asynchronous
async def types_it_does_not_know_are_asked_for(db):
    # regclass, int2vector and the like make asyncpg ask pg_type with a query of its own.
    row = await db.fetchrow("SELECT 'pg_class'::regclass AS c, indkey FROM pg_index LIMIT 1")
    assert row is None
    await db.execute("CREATE TABLE t (a int, b int, PRIMARY KEY (b, a))")
    row = await db.fetchrow("SELECT indrelid::regclass::text AS c, indkey, indclass FROM pg_index")
    assert row["c"] == "t" and str(row["indkey"]) in ("2 1", "[2, 1]"), row
    await db.reload_schema_state()


@asynchronous
async def a_prepared_statement_knows_its_types(db):
    await db.execute("CREATE TABLE t (a int PRIMARY KEY, b varchar(10), c numeric)")
    statement = await db.prepare("SELECT a, b, c FROM t WHERE a = $1 AND c < $2")
    assert [p.name for p in statement.get_parameters()] == ["int4", "numeric"]
    assert [(a.name, a.type.name) for a in statement.get_attributes()] == [("a", "int4"), ("b", "varchar"), ("c", "numeric")]
    await db.executemany("INSERT INTO t VALUES ($1, $2, $3)", [(n, str(n), decimal.Decimal(n)) for n in range(300)])
    assert (await statement.fetchrow(7, decimal.Decimal(8)))["b"] == "7"
    assert await statement.fetch(7, decimal.Decimal(7)) == []


@asynchronous
async def copy_goes_in_and_out_as_csv(db):
    await db.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
    import io

    source = io.BytesIO(b"a,b\n" + b"".join(b'%d,"row, %d"\n' % (n, n) for n in range(2000)))
    assert await db.copy_to_table("t", source=source, format="csv", header=True) == "COPY 2000"
    out = io.BytesIO()
    assert await db.copy_from_query("SELECT a, b FROM t WHERE a < $1 ORDER BY a", 3, output=out, format="csv") == "COPY 3"
    assert out.getvalue() == b'0,"row, 0"\n1,"row, 1"\n2,"row, 2"\n', out.getvalue()


@asynchronous
async def a_cursor_fetches_in_pieces(db):
    async with db.transaction():
        total = 0
        async for row in db.cursor("SELECT n FROM generate_series(1, $1::int) AS s (n)", 5000, prefetch=100):
            total += row["n"]
        assert total == 5000 * 5001 // 2
        cursor = await db.cursor("SELECT n FROM generate_series(1, 20) AS s (n)")
        assert [r["n"] for r in await cursor.fetch(5)] == [1, 2, 3, 4, 5]
        assert [r["n"] for r in await cursor.fetch(2)] == [6, 7]


@asynchronous
async def transactions_nest_as_savepoints(db):
    await db.execute("CREATE TABLE t (a int PRIMARY KEY)")
    async with db.transaction(isolation="serializable"):
        await db.execute("INSERT INTO t VALUES (1)")
        try:
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES (2)")
                await db.execute("INSERT INTO t VALUES (1)")
        except asyncpg.UniqueViolationError as error:
            assert error.sqlstate == "23505"
    assert await db.fetchval("SELECT array_agg(a) FROM t") == [1]
    try:
        async with db.transaction(readonly=True):
            await db.execute("INSERT INTO t VALUES (3)")
        raise AssertionError("a read-only transaction wrote")
    except asyncpg.ReadOnlySQLTransactionError:
        pass


@asynchronous
async def a_conflict_updates_and_returns(db):
    await db.execute("CREATE TABLE t (a int PRIMARY KEY, b int)")
    upsert = "INSERT INTO t VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b RETURNING b"
    assert [await db.fetchval(upsert, 1, n) for n in (5, 6)] == [5, 6]


@asynchronous
async def a_timeout_cancels_and_the_connection_goes_on(db):
    slow = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b"
    try:
        await db.fetchval(slow, timeout=0.5)
        raise AssertionError("it was not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await db.fetchval("SELECT 1") == 1


@asynchronous
async def a_large_result_comes_whole(db):
    rows = await db.fetch("SELECT n, repeat('x', 20) AS x FROM generate_series(1, 100000) AS s (n)")
    assert len(rows) == 100000 and rows[-1]["n"] == 100000


@asynchronous
async def records_are_copied_in_binary(db):
    await db.execute("CREATE TABLE t (a int PRIMARY KEY, b text, c timestamptz)")
    now = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    records = [(n, None if n % 5 == 0 else str(n), now) for n in range(2000)]
    assert await db.copy_records_to_table("t", records=records) == "COPY 2000"
    assert [tuple(r) for r in await db.fetch("SELECT * FROM t ORDER BY a")] == records


@case
def a_pool_resets_its_connections(address):
    async def work():
        async with asyncpg.create_pool(address, min_size=2, max_size=4) as pool:
            await pool.execute("CREATE TABLE t (a int PRIMARY KEY)")
            await asyncio.gather(*(pool.execute("INSERT INTO t VALUES ($1)", n) for n in range(100)))
            assert await pool.fetchval("SELECT count(*) FROM t") == 100

    asyncio.run(work())


if __name__ == "__main__":
    main()
