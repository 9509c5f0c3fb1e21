"""Flight SQL as Python's clients speak it: cases.py BINARY FOLDER ROWS."""

import datetime
import decimal
import subprocess
import sys
import threading
import time
import uuid

import pyarrow as pa
import pyarrow.flight as flight

from harness import Server, hold, refused, run

UTC = datetime.timezone.utc
# Of CancelStatus in Flight.proto.
CANCELLED, NOT_CANCELLABLE = 1, 3


class Servers:
    """One that is open, and others that are started when a case asks for them."""

    def __init__(self, binary, folder, rows):
        self.binary, self.folder, self.rows = binary, folder, rows
        self.open = Server(binary, f"{folder}/open")
        self.others = {}

    def other(self, name, *arguments):
        if name not in self.others:
            self.others[name] = Server(self.binary, f"{self.folder}/{name}", *arguments)
        return self.others[name]

    def with_users(self):
        if "users" not in self.others:
            path = f"{self.folder}/users.txt"
            with open(path, "w") as users:
                for name in ("ada", "eve"):
                    line = subprocess.run(
                        [self.binary, "passwd", name], input=f"{name}'s secret\n", text=True, check=True, capture_output=True
                    )
                    users.write(line.stdout)
            self.other("users", "--users", path)
        return self.others["users"]

    def stop(self):
        for server in [self.open, *self.others.values()]:
            server.stop()


def every_type_comes_as_its_own(servers):
    with servers.open.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            """SELECT true AS bool, 1::int2 AS int2, 2::int4 AS int4, 3::int8 AS int8, 1.5::float4 AS float4, 2.5::float8 AS float8,
               12.345::numeric(12,3) AS money, 7::numeric(60,2) AS wide, 1.50 AS loose, 5::numeric(6,-2) AS rounded,
               'é' AS text, 'ab'::char(4) AS padded, date '2020-01-31' AS date,
               timestamp '2020-01-31 10:11:12.345678' AS time, timestamptz '2020-01-31 10:11:12+02' AS zoned,
               interval '1 year 2 days 03:00:00.5' AS interval, '\\x00ff'::bytea AS bytes,
               '{"b": [1, null]}'::jsonb AS json, '00112233-4455-6677-8899-aabbccddeeff'::uuid AS uuid,
               ARRAY[1, NULL, 3] AS ints, ARRAY['a', 'b c'] AS texts, 26::oid AS oid, NULL::int4 AS nothing"""
        )
        table = cursor.fetch_arrow_table()
    types = {field.name: field.type for field in table.schema}
    expected = {
        "bool": (pa.bool_(), True),
        "int2": (pa.int16(), 1),
        "int4": (pa.int32(), 2),
        "int8": (pa.int64(), 3),
        "float4": (pa.float32(), 1.5),
        "float8": (pa.float64(), 2.5),
        "money": (pa.decimal128(12, 3), decimal.Decimal("12.345")),
        "wide": (pa.decimal256(60, 2), decimal.Decimal("7.00")),
        "loose": (pa.string(), "1.50"),
        "rounded": (pa.decimal128(8, 0), decimal.Decimal("0")),
        "text": (pa.string(), "é"),
        "padded": (pa.string(), "ab  "),
        "date": (pa.date32(), datetime.date(2020, 1, 31)),
        "time": (pa.timestamp("us"), datetime.datetime(2020, 1, 31, 10, 11, 12, 345678)),
        "zoned": (pa.timestamp("us", "UTC"), datetime.datetime(2020, 1, 31, 8, 11, 12, tzinfo=UTC)),
        "interval": (pa.month_day_nano_interval(), pa.MonthDayNano([12, 2, 10_800_500_000_000])),
        "bytes": (pa.binary(), b"\x00\xff"),
        "json": (pa.json_(pa.string()), '{"b": [1, null]}'),
        "uuid": (pa.uuid(), uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")),
        "ints": (pa.list_(pa.int32()), [1, None, 3]),
        "texts": (pa.list_(pa.string()), ["a", "b c"]),
        "oid": (pa.uint32(), 26),
        "nothing": (pa.int32(), None),
    }
    row = table.to_pylist()[0]
    assert row == {name: value for name, (_, value) in expected.items()}, row
    assert types == {name: ty for name, (ty, _) in expected.items()}, types
    assert table.schema.field("json").metadata[b"ledgerstone:type"] == b"jsonb"
    assert table.schema.field("money").metadata[b"ledgerstone:type"] == b"numeric(12,3)"


def what_arrow_cannot_hold_is_refused_by_name(servers):
    with servers.open.connect() as connection:
        refused(lambda: run(connection, "SELECT interval '2562048 hours' AS long"), "22008", 'Column "long"', "text")
        refused(lambda: run(connection, "SELECT ARRAY[ARRAY[1], ARRAY[2]] AS deep"), "0A000", "jsonb")


def parameters_of_every_type_come_back(servers):
    with servers.open.connect() as connection:
        values = [
            ("bool", True),
            ("int2", -5),
            ("int4", 2**31 - 1),
            ("int8", -(2**63)),
            ("float8", 0.1),
            ("numeric(38,10)", decimal.Decimal("1234567890.0123456789")),
            ("text", "π 'x'"),
            ("date", datetime.date(1999, 12, 31)),
            ("timestamp", datetime.datetime(2020, 1, 2, 3, 4, 5, 678901)),
            ("timestamptz", datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("bytea", b"\x00\xfe"),
        ]
        for ty, value in values:
            assert run(connection, f"SELECT $1::{ty}", [value]) == [(value,)], ty
            assert run(connection, f"SELECT $1::{ty}", [None]) == [(None,)], ty
        for ty, text in [("uuid", "00112233-4455-6677-8899-aabbccddeeff"), ("jsonb", '{"a": 1}'), ("int4[]", "{1,NULL}")]:
            (value,), = run(connection, f"SELECT ($1::{ty})::text", [text])
            assert value == text, value
        (value,), = run(connection, "SELECT ($1::jsonb)::text", [[1, 2]])
        assert value == "[1, 2]", value
        refused(lambda: run(connection, "SELECT $1::int2", [70_000]), "22003", "$1")
        refused(lambda: run(connection, "SELECT $1::int4", ["abc"]), "22P02")
        refused(lambda: run(connection, "SELECT $1::int4, $2::int4", [1]), "08P01")


def question_marks_are_parameters_where_they_are_no_operators(servers):
    with servers.open.connect() as connection:
        assert run(connection, "SELECT ?::int4 + ?::int4, '?'", [1, 2]) == [(3, "?")]
        assert run(connection, "SELECT '{\"k\": 1}'::jsonb ? 'k'") == [(True,)]
        assert run(connection, "SELECT '{\"k\": 1}'::jsonb ?? ?", ["j"]) == [(False,)]


def a_prepared_statement_runs_again_with_other_parameters(servers):
    with servers.open.connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_prepare("SELECT $1::int4 * 2 AS twice, $2::text AS t")
        assert [field.type for field in schema] == [pa.int32(), pa.string()], schema
        for number in range(5):
            cursor.execute("SELECT $1::int4 * 2 AS twice, $2::text AS t", [number, "x"])
            assert cursor.fetchall() == [(number * 2, "x")]


def updates_say_how_many_rows(servers):
    with servers.open.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE counted (id int4 PRIMARY KEY, name text)")
        # It has happened when the call returns, whether or not its empty answer is read.
        cursor.execute("INSERT INTO counted VALUES (1, 'a'), (2, 'b')")
        assert cursor.rowcount == 2
        cursor.execute("UPDATE counted SET name = $1", ["c"])
        assert cursor.rowcount == 2
        cursor.executemany("INSERT INTO counted VALUES ($1, $2)", [(n, f"n{n}") for n in range(10, 110)])
        assert cursor.rowcount == 100
        cursor.executemany("INSERT INTO counted VALUES ($1, $2)", [])
        assert run(connection, "INSERT INTO counted VALUES (3, 'r') RETURNING id, name") == [(3, "r")]
        assert run(connection, "SELECT count(*) FROM counted") == [(103,)]
        batches = pa.table({"id": pa.array(range(1000, 6000), pa.int64()), "name": pa.array(["x"] * 5000).dictionary_encode()})
        cursor.executemany("INSERT INTO counted VALUES ($1, $2)", pa.RecordBatchReader.from_batches(
            batches.schema, batches.to_batches(max_chunksize=700)))
        assert cursor.rowcount == 5000
        assert run(connection, "SELECT count(DISTINCT name) FROM counted") == [(103,)]


def rows_bound_together_are_all_written_or_none(servers):
    with servers.open.connect() as connection, connection.cursor() as cursor:
        run(connection, "CREATE TABLE whole (id int4 PRIMARY KEY)")
        rows = [(n,) for n in range(50)] + [(7,)] + [(n,) for n in range(60, 90)]
        refused(lambda: cursor.executemany("INSERT INTO whole VALUES ($1)", rows), "23505", "Row 51 ")
        assert run(connection, "SELECT count(*) FROM whole") == [(0,)]


def transactions_are_committed_and_rolled_back(servers):
    with servers.open.connect() as other:
        run(other, "CREATE TABLE moved (id int4 PRIMARY KEY)")
        for user in (None, "ada"):
            with servers.open.connect(user=user, autocommit=False) as connection, connection.cursor() as cursor:
                cursor.execute("INSERT INTO moved VALUES (1)")
                assert run(connection, "SELECT count(*) FROM moved") == [(1,)]
                assert run(other, "SELECT count(*) FROM moved") == [(0,)]
                connection.rollback()
                assert run(connection, "SELECT count(*) FROM moved") == [(0,)]
                run(connection, "INSERT INTO moved VALUES (2)")
                connection.commit()
                assert run(other, "SELECT id FROM moved") == [(2,)]
                run(connection, "DELETE FROM moved")
                connection.commit()
            assert run(other, "SELECT count(*) FROM moved") == [(0,)]


def a_bulk_update_that_fails_ends_its_transaction(servers):
    with servers.open.connect() as other:
        run(other, "CREATE TABLE bulk (id int4 PRIMARY KEY)")
        for user in (None, "ada"):
            with servers.open.connect(user=user, autocommit=False) as connection, connection.cursor() as cursor:
                rows = [(1,), (2,), ("abc",)]
                texts = pa.RecordBatch.from_pydict({"1": pa.array([str(row[0]) for row in rows])})
                stream = pa.RecordBatchReader.from_batches(texts.schema, [texts])
                refused(lambda: cursor.executemany("INSERT INTO bulk VALUES ($1)", stream), "22P02")
                refused(connection.commit, "25P02")
            assert run(other, "SELECT count(*) FROM bulk") == [(0,)]


def a_statement_outlives_the_transaction_it_was_prepared_in(servers):
    """ADBC prepares a text once for each cursor."""
    text = "INSERT INTO outlived VALUES ($1)"
    with servers.open.connect() as other:
        run(other, "CREATE TABLE outlived (id int4 PRIMARY KEY)")
        with servers.open.connect(user="ada", autocommit=False) as connection, connection.cursor() as cursor:
            cursor.execute(text, [1])
            connection.commit()
            cursor.execute(text, [2])
            connection.rollback()
            cursor.execute(text, [3])
            assert run(other, "SELECT id FROM outlived ORDER BY id") == [(1,)]
            connection.commit()
        assert run(other, "SELECT id FROM outlived ORDER BY id") == [(1,), (3,)]
        # Without a session nothing says which of all open transactions would be the next.
        with servers.open.connect(autocommit=False) as connection, connection.cursor() as cursor:
            cursor.execute(text, [4])
            connection.rollback()
            refused(lambda: cursor.execute(text, [5]), "26000", "user name")
        assert run(other, "SELECT id FROM outlived ORDER BY id") == [(1,), (3,)]


def conflicts_and_failures_of_transactions_have_their_states(servers):
    with servers.open.connect() as other:
        run(other, "CREATE TABLE fought (id int4 PRIMARY KEY, n int4)")
        run(other, "INSERT INTO fought VALUES (1, 0)")
        with servers.open.connect(autocommit=False) as connection:
            run(connection, "UPDATE fought SET n = n + 1 WHERE id = 1")
            run(other, "UPDATE fought SET n = n + 10 WHERE id = 1")
            refused(connection.commit, "40001")
        with servers.open.connect(autocommit=False) as connection:
            refused(lambda: run(connection, "SELECT 1 / 0"), "22012")
            refused(lambda: run(connection, "SELECT 1"), "25P02")
            connection.rollback()
            assert run(connection, "SELECT n FROM fought") == [(10,)]
            refused(lambda: run(connection, "COMMIT"), "0A000", "by a call")


def a_signed_in_connection_has_a_session(servers):
    with servers.open.connect(user="ada") as connection:
        assert run(connection, "SELECT current_user") == [("ada",)]
        run(connection, "CREATE TABLE sessions (id int4)")
        run(connection, "BEGIN")
        run(connection, "INSERT INTO sessions VALUES (1)")
        run(connection, "ROLLBACK")
        assert run(connection, "SELECT count(*) FROM sessions") == [(0,)]
        run(connection, "SET application_name = 'kept'")
        assert run(connection, "SHOW application_name") == [("kept",)]
    with servers.open.connect() as connection:
        refused(lambda: run(connection, "BEGIN"), "0A000", "user name")
        refused(lambda: run(connection, "SET application_name = 'kept'"), "0A000", "user name")


def the_ledger_is_chosen_by_a_header(servers):
    with servers.open.connect() as connection:
        run(connection, "CREATE DATABASE beside")
        assert run(connection, "SELECT current_database()") == [("main",)]
    with servers.open.connect(database="beside") as connection:
        assert run(connection, "SELECT current_database()") == [("beside",)]
        run(connection, "CREATE TABLE only_here (id int4)")
    with servers.open.connect(user="ada", database="beside", autocommit=False) as connection:
        assert run(connection, "SELECT count(*) FROM only_here") == [(0,)]
    with servers.open.connect(catalog="nowhere") as connection:
        refused(lambda: run(connection, "SELECT 1"), "3D000", "nowhere")
    with servers.open.connect(ledgerstone_dialect="partiql") as connection:
        run(connection, "CREATE TABLE Loose")
        run(connection, "INSERT INTO Loose {'a': [1, {'b': 'c'}]}")
        rows = run(connection, "SELECT VALUE l.a FROM Loose AS l")
        assert rows == [('[1, {"b": "c"}]',)], rows


def metadata_says_what_there_is(servers):
    with servers.open.connect() as connection:
        run(connection, 'CREATE TABLE "Odd ""name" (b int8, a text, n numeric(9,2) NOT NULL, PRIMARY KEY (b, a))')
        objects = connection.adbc_get_objects(depth="all", catalog_filter="main", db_schema_filter="public").read_all().to_pylist()
        tables = {table["table_name"]: table for table in objects[0]["catalog_db_schemas"][0]["db_schema_tables"]}
        odd = tables['Odd "name']
        assert odd["table_type"] == "TABLE"
        assert [column["column_name"] for column in odd["table_columns"]] == ["b", "a", "n"]
        assert [column["xdbc_type_name"] for column in odd["table_columns"]] == ["bigint", "text", "numeric(9,2)"]
        assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
        schema = connection.adbc_get_table_schema('Odd "name')
        assert schema.field("n").type == pa.decimal128(9, 2)
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "Ledgerstone", info
        catalogs = connection.adbc_get_objects(depth="catalogs").read_all().to_pylist()
        assert "main" in [catalog["catalog_name"] for catalog in catalogs]
        schemas = connection.adbc_get_objects(depth="db_schemas", catalog_filter="main").read_all().to_pylist()
        names = {schema["db_schema_name"] for schema in schemas[0]["catalog_db_schemas"]}
        assert names == {"information_schema", "pg_catalog", "public"}, names


def an_error_says_all_that_postgresql_would(servers):
    with servers.open.connect() as connection:
        run(connection, "CREATE TABLE nearly (id int4 PRIMARY KEY)")
        refused(lambda: run(connection, "SELECT * FROM nearyl"), "42P01", "at character 15", "Hint:", '"nearly"')
        refused(lambda: run(connection, "SELEC 1"), "42601", "at character 1")
        run(connection, "INSERT INTO nearly VALUES (1)")
        refused(lambda: run(connection, "INSERT INTO nearly VALUES (1)"), "23505", "Detail: Key (id)=(1)")


def only_who_knows_the_password_is_let_in(servers):
    server = servers.with_users()
    with server.connect(user="ada", password="ada's secret") as connection:
        assert run(connection, "SELECT current_user") == [("ada",)]
    for user, password in [("ada", "eve's secret"), ("ada", ""), ("bob", "ada's secret")]:
        refused(lambda: server.connect(user=user, password=password), "password authentication failed")
    with server.connect() as connection:
        refused(lambda: run(connection, "SELECT 1"), "user and a password")
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer 0000000000000000000000")])
    refused(lambda: server.raw().get_flight_info(query("SELECT 1"), options), "sign in again")


def query(text):
    """CommandStatementQuery in an Any, by hand."""
    command = b"\x0a" + varint(len(text.encode())) + text.encode()
    return flight.FlightDescriptor.for_command(any_of("CommandStatementQuery", command))


def cancel(client, info, options):
    """CancelFlightInfo, by hand: the status of its result."""
    message = info.serialize()
    action = flight.Action("CancelFlightInfo", b"\x0a" + varint(len(message)) + message)
    (result,) = client.do_action(action, options)
    key, status = result.body.to_pybytes()
    assert key == 8
    return status


def any_of(name, value):
    url = f"type.googleapis.com/arrow.flight.protocol.sql.{name}".encode()
    return b"\x0a" + varint(len(url)) + url + b"\x12" + varint(len(value)) + value


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytearray([number]))


def a_ticket_is_good_once_and_for_its_owner(servers):
    server = servers.with_users()
    client = server.raw()

    def sign_in(user):
        header = client.authenticate_basic_token(user, f"{user}'s secret")
        return flight.FlightCallOptions(headers=[header])

    ada, again, eve = sign_in("ada"), sign_in("ada"), sign_in("eve")
    info = client.get_flight_info(query("SELECT 42 AS answer"), ada)
    ticket = info.endpoints[0].ticket
    for stranger in (eve, again):
        refused(lambda: client.do_get(ticket, stranger).read_all(), "34000")
    guess = any_of("TicketStatementQuery", b"\x0a\x16" + b"0" * 22)
    refused(lambda: client.do_get(flight.Ticket(guess), ada).read_all(), "34000")
    assert client.do_get(ticket, ada).read_all().to_pylist() == [{"answer": 42}]
    refused(lambda: client.do_get(ticket, ada).read_all(), "34000", "once")
    # A result that is cancelled cannot be fetched.
    info = client.get_flight_info(query("SELECT 43"), ada)
    assert cancel(client, info, eve) == NOT_CANCELLABLE
    assert cancel(client, info, ada) == CANCELLED
    refused(lambda: client.do_get(info.endpoints[0].ticket, ada).read_all(), "34000")
    # A closed session is closed for all that belongs to it.
    info = client.get_flight_info(query("SELECT 44"), ada)
    list(client.do_action(flight.Action("CloseSession", b""), ada))
    refused(lambda: client.do_get(info.endpoints[0].ticket, ada).read_all(), "sign in again")


def garbage_is_refused_and_the_server_goes_on(servers):
    client = servers.open.raw()
    for command in (b"", b"\xff\xff\xff", any_of("CommandStatementQuery", b"\xff"), any_of("NoSuchCommand", b"")):
        descriptor = flight.FlightDescriptor.for_command(command)
        refused(lambda: client.get_flight_info(descriptor))
        refused(lambda: client.do_get(flight.Ticket(command)).read_all())

        def put():
            writer, reader = client.do_put(descriptor, pa.schema([("a", pa.int32())]))
            writer.write_batch(pa.record_batch({"a": pa.array([1], pa.int32())}))
            writer.done_writing()
            reader.read()
            writer.close()

        refused(put)
    for name in ("CreatePreparedStatement", "EndTransaction", "CancelQuery", "SetSessionOptions", "EndSavepoint", "Nonsense"):
        refused(lambda: list(client.do_action(flight.Action(name, b"\xff\x01garbage"))))
    assert servers.open.is_healthy()
    assert {action.type for action in client.list_actions()} >= {"CreatePreparedStatement", "CancelFlightInfo"}


def what_nobody_uses_is_dropped(servers):
    limits = ["flight_transaction_idle_seconds=5", "flight_result_seconds=5", "flight_session_idle_seconds=10"]
    server = servers.other("impatient", *[word for limit in limits for word in ("--limit", limit)])
    client = server.raw()
    info = client.get_flight_info(query("SELECT 1"))
    with server.connect() as other:
        run(other, "CREATE TABLE idle (id int4)")
        with server.connect(autocommit=False) as connection:
            run(connection, "INSERT INTO idle VALUES (1)")
            time.sleep(12)
            refused(lambda: run(connection, "SELECT count(*) FROM idle"), "25P01", "Hint:")
        assert run(other, "SELECT count(*) FROM idle") == [(0,)]
    refused(lambda: client.do_get(info.endpoints[0].ticket).read_all(), "34000")
    with server.connect(user="ada") as connection:
        time.sleep(14)
        assert is_signed_out(connection)


def a_session_that_nobody_uses_makes_room_for_another(servers):
    limits = ["flight_sessions=2", "flight_session_idle_seconds=120"]
    server = servers.other("crowded", *[word for limit in limits for word in ("--limit", limit)])
    client = server.raw()
    tokens = [client.authenticate_basic_token("ada", "any") for _ in range(2)]
    options = [flight.FlightCallOptions(headers=[token]) for token in tokens]
    time.sleep(3)
    client.get_flight_info(query("SELECT 1"), options[0])
    client.get_flight_info(query("SELECT 1"), flight.FlightCallOptions(headers=[client.authenticate_basic_token("eve", "any")]))
    refused(lambda: client.get_flight_info(query("SELECT 1"), options[1]), "sign in again")
    client.get_flight_info(query("SELECT 1"), options[0])


def is_signed_out(connection):
    try:
        run(connection, "SELECT 1")
        return False
    except Exception as error:
        assert "sign in again" in str(error), error
        return True


def a_statement_is_stopped_when_its_client_cancels(servers):
    with servers.open.connect() as connection, connection.cursor() as cursor:
        outcome = []

        def long():
            try:
                cursor.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
                outcome.append("finished")
            except Exception as error:
                outcome.append(str(error))

        thread = threading.Thread(target=long)
        thread.start()
        time.sleep(3)
        cursor.adbc_cancel()
        thread.join(timeout=60)
        assert outcome and "cancel" in outcome[0].lower(), outcome
    with servers.open.connect() as connection:
        assert run(connection, "SELECT 1") == [(1,)]


def a_large_result_takes_bounded_memory(servers):
    """Rows beyond a quarter of the statement's memory are on the disk; of those on the way a few batches are in memory."""
    server = servers.other("small", "--limit", f"statement_memory_bytes={32 << 20}")
    text = f"SELECT n, 'row ' || n AS name FROM generate_series(1, {servers.rows}) AS g(n)"
    with server.connect() as connection, connection.cursor() as cursor:
        run(connection, "SELECT 1")
        before = server.peak_memory_bytes()
        cursor.execute(text)
        reader = cursor.fetch_record_batch()
        count, total = 0, 0
        for number, batch in enumerate(reader):
            # A slow client has to be waited for.
            if number < 3:
                time.sleep(0.5)
            count += batch.num_rows
            total += sum(batch.column(0).to_pylist()) if number % 50 == 0 else 0
            assert batch.column(1)[0].as_py() == f"row {batch.column(0)[0].as_py()}"
        assert count == servers.rows, count
        grown = server.peak_memory_bytes() - before
        print(f"       {count} rows took {grown >> 20} MiB more of the server's memory")
        assert grown < 128 << 20, grown


if __name__ == "__main__":
    binary, folder, rows = sys.argv[1:4]
    servers = Servers(binary, folder, int(rows))
    names = sys.argv[4:]
    cases = [
        every_type_comes_as_its_own,
        what_arrow_cannot_hold_is_refused_by_name,
        parameters_of_every_type_come_back,
        question_marks_are_parameters_where_they_are_no_operators,
        a_prepared_statement_runs_again_with_other_parameters,
        updates_say_how_many_rows,
        rows_bound_together_are_all_written_or_none,
        transactions_are_committed_and_rolled_back,
        a_bulk_update_that_fails_ends_its_transaction,
        a_statement_outlives_the_transaction_it_was_prepared_in,
        conflicts_and_failures_of_transactions_have_their_states,
        a_signed_in_connection_has_a_session,
        the_ledger_is_chosen_by_a_header,
        metadata_says_what_there_is,
        an_error_says_all_that_postgresql_would,
        only_who_knows_the_password_is_let_in,
        a_ticket_is_good_once_and_for_its_owner,
        garbage_is_refused_and_the_server_goes_on,
        what_nobody_uses_is_dropped,
        a_session_that_nobody_uses_makes_room_for_another,
        a_statement_is_stopped_when_its_client_cancels,
        a_large_result_takes_bounded_memory,
    ]
    failed = hold([case for case in cases if not names or case.__name__ in names], servers)
    servers.stop()
    sys.exit(1 if failed else 0)
