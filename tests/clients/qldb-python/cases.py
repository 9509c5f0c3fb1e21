"""The QLDB driver for Python, unchanged, against a server of its own: `cases.py BINARY FOLDER`."""

import http.client
import json
import os
import signal
import sys
import threading
import time

import amazon.ion.simpleion as ion
from amazon.ion.core import IonType, Timestamp, TimestampPrecision
from amazon.ion.equivalence import ion_equals
from amazon.ion.simple_types import IonPyNull
from botocore.exceptions import ClientError
from pyqldb.config.retry_config import RetryConfig
from harness import SECRET, Server, hold, refused, run
from pyqldb.errors import SessionPoolEmptyError, is_bad_request_exception, is_invalid_session_exception

# Every case gets a server and a driver with the tables Vehicle (VIN indexed) and Empty.
CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def tables_are_listed(server, driver):
    assert sorted(driver.list_tables()) == ["Empty", "Vehicle"]


@case
def a_definition_answers_with_the_tables_id(server, driver):
    made = run(driver, "CREATE TABLE Made")
    assert len(made) == 1 and len(made[0]["tableId"]) == 22, made
    assert run(driver, "CREATE INDEX ON Made (field)")[0]["tableId"] == made[0]["tableId"]
    refused(lambda: run(driver, "CREATE TABLE Made"), "BadRequestException")
    assert run(driver, "DROP TABLE Made")[0]["tableId"] == made[0]["tableId"]
    assert run(driver, f'UNDROP TABLE "{made[0]["tableId"]}"')[0]["tableId"] == made[0]["tableId"]
    run(driver, "DROP TABLE Made")


@case
def changes_answer_with_documents_ids(server, driver):
    (inserted,) = run(driver, "INSERT INTO Vehicle ?", {"VIN": "A1", "Year": 2011})
    assert len(inserted["documentId"]) == 22
    assert run(driver, "UPDATE Vehicle SET Year = ? WHERE VIN = ?", 2012, "A1") == [inserted]
    assert run(driver, "FROM Vehicle AS v WHERE v.VIN = ? SET v.Color = 'red'", "A1") == [inserted]
    assert run(driver, "SELECT VIN, Year, Color FROM Vehicle WHERE VIN = ?", "A1") == [
        {"VIN": "A1", "Year": 2012, "Color": "red"}
    ]
    assert run(driver, "DELETE FROM Vehicle WHERE VIN = ?", "A1") == [inserted]
    assert run(driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'") == []


@case
def several_documents_in_one_statement(server, driver):
    ids = run(driver, "INSERT INTO Vehicle << {'VIN': 'M1'}, ?, {'VIN': 'M3'} >>", {"VIN": "M2"})
    assert len({row["documentId"] for row in ids}) == 3
    found = run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN IN ('M1', 'M2', 'M3')")
    assert sorted(found) == ["M1", "M2", "M3"]


VALUES = """
null null.null true false null.bool 0 -1 123456789012345678901234567890 null.int 0e0 -0e0 1.5e300 null.float
0. -0. 1.50 -1.5d-30 12345678901234567.890 1d100 null.decimal
2019T 2019-03T 2019-03-04T 2019-03-04T05:06Z 2019-03-04T05:06:07.890-08:30 2019-03-04T05:06:07-00:00 null.timestamp
"" "text \\u00e9 \\U0001F600" null.string symbol 'a symbol' null.symbol {{}} {{aGVsbG8=}} null.blob {{"clob"}} null.clob
[] [1, "a", [null.int]] null.list () (a + 1) null.sexp {} {a: 1, b: {c: [2.0]}} null.struct
annotated::1 a::b::{c: d::"e"} nan +inf -inf
"""


@case
def every_type_and_every_typed_null_comes_back_as_it_went(server, driver):
    values = ion.loads(VALUES, single_value=False)
    assert len(values) > 50
    for number, value in enumerate(values):
        run(driver, "INSERT INTO Vehicle ?", {"VIN": f"T{number}", "Value": value})
    for number, value in enumerate(values):
        (found,) = run(driver, "SELECT VALUE v.\"Value\" FROM Vehicle AS v WHERE v.VIN = ?", f"T{number}")
        assert ion_equals(found, value), (ion.dumps(value, binary=False), ion.dumps(found, binary=False))


@case
def every_type_as_a_parameter_finds_its_like(server, driver):
    for number, text in enumerate(["1", "1.50", "2.5e0", "true", "\"x\"", "sym", "2019-03-04T05:06:07Z", "{{aGk=}}", "[1, 2]", "{a: 1}"]):
        value = ion.loads(text)
        run(driver, "INSERT INTO Vehicle ?", {"VIN": f"P{number}", "Like": value})
        found = run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = ? AND \"Like\" = ?", f"P{number}", value)
        assert found == [f"P{number}"], text


@case
def a_null_parameter_is_null(server, driver):
    run(driver, "INSERT INTO Vehicle ?", {"VIN": "N1", "Gone": None})
    assert run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = 'N1' AND Gone IS NULL") == ["N1"]
    assert run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = 'N1' AND Gone = ?", None) == []


@case
def pages_hold_what_does_not_fit_one(server, driver):
    def fill(transaction):
        for number in range(701):
            transaction.execute_statement("INSERT INTO Vehicle ?", {"VIN": f"PAGE{number:04}", "Page": True})

    driver.execute_lambda(fill)
    found = run(driver, "SELECT VALUE VIN FROM Vehicle WHERE Page = true")
    assert sorted(found) == [f"PAGE{number:04}" for number in range(701)]


@case
def large_documents_go_over_several_pages(server, driver):
    def fill(transaction):
        for number in range(30):
            transaction.execute_statement("INSERT INTO Vehicle ?", {"VIN": f"LARGE{number:02}", "Text": "x" * 100_000})

    driver.execute_lambda(fill)
    found = run(driver, "SELECT Text FROM Vehicle WHERE VIN IN (%s)" % ", ".join(f"'LARGE{n:02}'" for n in range(30)))
    assert [len(row["Text"]) for row in found] == [100_000] * 30


@case
def two_results_are_read_by_turns(server, driver):
    def both(transaction):
        first = iter(transaction.execute_statement("SELECT VALUE VIN FROM Vehicle WHERE Page = true"))
        second = iter(transaction.execute_statement("SELECT VALUE VIN FROM Vehicle WHERE Page = true"))
        return [(next(first), next(second)) for _ in range(500)]

    assert all(a == b for a, b in driver.execute_lambda(both))


@case
def a_transaction_sees_its_own_changes_and_nobody_else_does_before_it_commits(server, driver):
    def change(transaction):
        transaction.execute_statement("INSERT INTO Vehicle ?", {"VIN": "OWN"})
        assert list(transaction.execute_statement("SELECT VALUE VIN FROM Vehicle WHERE VIN = 'OWN'")) == ["OWN"]
        assert run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = 'OWN'") == []
        transaction.abort()

    try:
        driver.execute_lambda(change)
    except Exception as error:
        assert type(error).__name__ == "LambdaAbortedError", error
    assert run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = 'OWN'") == []


@case
def a_conflict_is_tried_again_and_nothing_is_lost(server, driver):
    run(driver, "INSERT INTO Vehicle ?", {"VIN": "COUNT", "Number": 0})
    retries = []

    def add(transaction):
        (row,) = transaction.execute_statement("SELECT Number FROM Vehicle WHERE VIN = 'COUNT'")
        transaction.execute_statement("UPDATE Vehicle SET Number = ? WHERE VIN = 'COUNT'", int(row["Number"]) + 1)

    def work():
        for _ in range(20):
            config = RetryConfig(retry_limit=200, custom_backoff=lambda attempt, error, _: retries.append(str(error)) or 1)
            driver.execute_lambda(add, retry_config=config)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert run(driver, "SELECT VALUE Number FROM Vehicle WHERE VIN = 'COUNT'") == [80]
    assert retries and all("OccConflictException" in text for text in retries), retries[:2]


@case
def a_scan_that_only_read_conflicts_as_well(server, driver):
    attempts = []

    def scan(transaction):
        transaction.execute_statement("SELECT * FROM Empty")
        if not attempts:
            run(driver, "INSERT INTO Empty {'n': 1}")
        attempts.append(1)

    driver.execute_lambda(scan)
    assert len(attempts) == 2
    run(driver, "DELETE FROM Empty")


@case
def a_lookup_that_found_nothing_conflicts_with_who_inserts_it(server, driver):
    attempts = []

    def insert_if_new(transaction):
        found = list(transaction.execute_statement("SELECT VIN FROM Vehicle WHERE VIN = 'NEW'"))
        if not attempts:
            run(driver, "INSERT INTO Vehicle {'VIN': 'NEW'}")
        attempts.append(len(found))
        if not found:
            transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'NEW'}")

    driver.execute_lambda(insert_if_new)
    assert attempts == [0, 1]
    assert run(driver, "SELECT COUNT(*) FROM Vehicle WHERE VIN = 'NEW'") == [{"_1": 1}]


@case
def other_keys_do_not_conflict(server, driver):
    attempts = []

    def change(transaction):
        list(transaction.execute_statement("SELECT VIN FROM Vehicle WHERE VIN = 'ONE'"))
        run(driver, "INSERT INTO Vehicle ?", {"VIN": "TWO"})
        attempts.append(1)
        transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'ONE'}")

    driver.execute_lambda(change)
    assert len(attempts) == 1


@case
def a_statement_that_fails_says_where_and_is_not_tried_again(server, driver):
    for text, words in [
        ("SELEC * FROM Vehicle", "syntax error"),
        ("SELECT * FROM Nowhere", "Nowhere"),
        ("SELECT * FROM Vehicle WHERE VIN = ?", "parameter"),
        ("INSERT INTO Vehicle 5", ""),
    ]:
        attempts = []

        def fail(transaction):
            attempts.append(1)
            transaction.execute_statement(text)

        error = refused(lambda: driver.execute_lambda(fail), "BadRequestException")
        assert is_bad_request_exception(error) and words in str(error), (text, error)
        assert len(attempts) == 1, text


@case
def after_a_statement_that_failed_the_transaction_goes_on(server, driver):
    def go_on(transaction):
        transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'BEFORE'}")
        refused(lambda: transaction.execute_statement("INSERT INTO Nowhere {'VIN': 'X'}"), "BadRequestException")
        transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'AFTER'}")

    driver.execute_lambda(go_on)
    assert len(run(driver, "SELECT VIN FROM Vehicle WHERE VIN IN ('BEFORE', 'AFTER')")) == 2


@case
def an_unknown_ledger_is_a_bad_request(server, driver):
    error = refused(lambda: list(server.driver("nowhere").list_tables()), "BadRequestException")
    assert "nowhere" in str(error)


@case
def statistics_are_those_of_the_work(server, driver):
    run(driver, "INSERT INTO Vehicle ?", {"VIN": "STAT"})

    def read(transaction):
        one = transaction.execute_statement("SELECT * FROM Vehicle WHERE VIN = 'STAT'")
        list(one)
        every = transaction.execute_statement("SELECT * FROM Vehicle")
        return one.get_consumed_ios(), len(list(every)), every.get_consumed_ios(), every.get_timing_information()

    one, count, every, time_taken = driver.execute_lambda(read)
    assert one == {"ReadIOs": 1}, one
    assert every["ReadIOs"] == count, (every, count)
    assert time_taken["ProcessingTimeMilliseconds"] >= 1


@case
def history_has_every_revision(server, driver):
    run(driver, "INSERT INTO Vehicle ?", {"VIN": "HIST", "n": 1})
    run(driver, "UPDATE Vehicle SET n = 2 WHERE VIN = 'HIST'")
    run(driver, "DELETE FROM Vehicle WHERE VIN = 'HIST'")
    (first,) = run(driver, "SELECT metadata.id FROM history(Vehicle) WHERE data.VIN = 'HIST' AND metadata.version = 0")
    rows = run(driver, "SELECT * FROM history(Vehicle) AS h WHERE h.metadata.id = ?", first["id"])
    rows = sorted(rows, key=lambda row: row["metadata"]["version"])
    assert [row["metadata"]["version"] for row in rows] == [0, 1, 2]
    assert [row.get("data", {}).get("n") for row in rows] == [1, 2, None] and "data" not in rows[2]
    assert all(len(row["hash"]) == 32 and len(row["metadata"]["txId"]) == 22 for row in rows)
    assert isinstance(rows[0]["metadata"]["txTime"], Timestamp)
    assert rows[0]["blockAddress"]["sequenceNo"] < rows[1]["blockAddress"]["sequenceNo"]


@case
def the_committed_view_and_by_name_the_document(server, driver):
    (row,) = run(driver, "INSERT INTO Vehicle ?", {"VIN": "VIEW"})
    (seen,) = run(driver, "SELECT * FROM _ql_committed_Vehicle AS r WHERE r.data.VIN = 'VIEW'")
    assert seen["metadata"]["id"] == row["documentId"] and seen["data"] == {"VIN": "VIEW"}
    assert run(driver, "SELECT id, VIN FROM Vehicle BY id WHERE id = ?", row["documentId"]) == [
        {"id": row["documentId"], "VIN": "VIEW"}
    ]


@case
def txid_is_the_transactions(server, driver):
    def ask(transaction):
        (row,) = transaction.execute_statement("SELECT TXID() FROM Vehicle WHERE VIN = 'STAT'")
        transaction.execute_statement("UPDATE Vehicle SET n = 5 WHERE VIN = 'STAT'")
        return row["_1"], transaction.transaction_id

    said, own = driver.execute_lambda(ask)
    assert said == own
    (row,) = run(driver, "SELECT metadata.txId FROM _ql_committed_Vehicle AS r WHERE r.data.VIN = 'STAT'")
    assert row["txId"] == own


@case
def redaction_is_a_procedure(server, driver):
    run(driver, "INSERT INTO Vehicle ?", {"VIN": "SECRET", "n": 1})
    run(driver, "UPDATE Vehicle SET n = 2 WHERE VIN = 'SECRET'")
    history = "SELECT * FROM history(Vehicle) AS h WHERE h.metadata.id = ? AND h.metadata.version = 0"
    (current,) = run(driver, "SELECT id FROM Vehicle BY id WHERE VIN = 'SECRET'")
    (old,) = run(driver, history, current["id"])
    (table,) = run(driver, "SELECT VALUE tableId FROM information_schema.user_tables WHERE name = 'Vehicle'")
    (done,) = run(driver, "EXEC REDACT_REVISION ?, ?, ?", old["blockAddress"], table, current["id"])
    assert done["version"] == 0 and done["documentId"] == current["id"] and done["tableId"] == table
    for _ in range(100):
        (after,) = run(driver, history, current["id"])
        if "dataHash" in after:
            break
        time.sleep(0.1)
    assert "data" not in after and after["hash"] == old["hash"], after


class Session:
    """The API itself, without a driver."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.http)
        self.token = self.send({"StartSession": {"LedgerName": "main"}})["StartSession"]["SessionToken"]

    def send(self, command, status=200, name=None):
        if hasattr(self, "token"):
            command = {"SessionToken": self.token, **command}
        headers = {"X-Amz-Target": "QLDBSession.SendCommand", "Content-Type": "application/x-amz-json-1.0"}
        self.connection.request("POST", "/", json.dumps(command), headers)
        answer = self.connection.getresponse()
        body = json.loads(answer.read())
        assert answer.status == status, (answer.status, body)
        assert answer.getheader("x-amzn-RequestId"), "a request id"
        assert answer.getheader("x-amzn-ErrorType") == name and body.get("__type") == name, body
        assert "Code" not in body
        return body

    def begin(self):
        return self.send({"StartTransaction": {}})["StartTransaction"]["TransactionId"]


@case
def a_wrong_digest_commits_nothing(server, driver):
    session = Session(server)
    transaction = session.begin()
    session.send({"ExecuteStatement": {"TransactionId": transaction, "Statement": "INSERT INTO Vehicle {'VIN': 'WRONG'}"}})
    commit = {"TransactionId": transaction, "CommitDigest": "A" * 43 + "="}
    body = session.send({"CommitTransaction": commit}, 400, "BadRequestException")
    assert "CommitDigest" in body["Message"]
    session.send({"AbortTransaction": {}})
    session.begin()
    assert run(driver, "SELECT * FROM Vehicle WHERE VIN = 'WRONG'") == []


@case
def a_transaction_that_took_too_long_is_not_tried_again(server, driver):
    driver = server.impatient().driver()
    attempts = []

    def slow(transaction):
        attempts.append(transaction.transaction_id)
        transaction.execute_statement("CREATE TABLE Slow")
        time.sleep(3.5)
        transaction.execute_statement("CREATE TABLE Slower")

    error = refused(lambda: driver.execute_lambda(slow), "InvalidSessionException")
    assert f"Transaction {attempts[0]} has expired" in str(error) and len(attempts) == 1
    assert list(driver.list_tables()) == []


@case
def an_idle_session_is_replaced_without_a_word(server, driver):
    server = server.impatient()
    own = server.driver(max_concurrent_transactions=1)
    assert list(own.list_tables()) == []
    session = Session(server)
    time.sleep(3.5)
    assert list(own.list_tables()) == []
    body = session.send({"StartTransaction": {}}, 400, "InvalidSessionException")
    assert body["Message"] == f"Exceeded the session idle time limit: Session {session.token}", body


@case
def an_exhausted_pool_is_the_drivers_own_error(server, driver):
    own = server.driver(max_concurrent_transactions=1)

    def hold(transaction):
        try:
            run(own, "SELECT * FROM Empty")
        except SessionPoolEmptyError:
            return True
        return False

    # The driver waits before it gives up.
    assert own.execute_lambda(hold) is True


@case
def sessions_end_and_their_tokens_with_them(server, driver):
    session = Session(server)
    session.send({"EndSession": {}})
    session.send({"StartTransaction": {}}, 400, "InvalidSessionException")
    session.token = "A" * 22
    session.send({"StartTransaction": {}}, 400, "InvalidSessionException")


@case
def what_is_no_command_is_a_bad_request(server, driver):
    session = Session(server)
    session.send({}, 400, "BadRequestException")
    session.send({"StartTransaction": {}, "EndSession": {}}, 400, "BadRequestException")
    session.send({"ExecuteStatement": {"TransactionId": "x" * 22, "Statement": "SELECT 1"}}, 400, "BadRequestException")
    transaction = session.begin()
    session.send({"StartTransaction": {}}, 400, "BadRequestException")
    session.send({"FetchPage": {"TransactionId": transaction, "NextPageToken": "A" * 22}}, 400, "BadRequestException")
    session.send({"AbortTransaction": {}})
    session.send({"AbortTransaction": {}})


@case
def a_statement_cannot_end_the_transaction_or_change_the_session(server, driver):
    def try_all(transaction):
        transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'CONTROL'}")
        for text in ["COMMIT", "ROLLBACK", "BEGIN", "SET ledgerstone.dialect = 'sql'", "CREATE DATABASE x", "SAVEPOINT s"]:
            refused(lambda: transaction.execute_statement(text), "BadRequestException")
        assert run(driver, "SELECT * FROM Vehicle WHERE VIN = 'CONTROL'") == []

    driver.execute_lambda(try_all)
    assert run(driver, "SELECT * FROM Vehicle WHERE VIN = 'CONTROL'") == [{"VIN": "CONTROL"}]


@case
def a_statement_does_not_outlive_its_transaction(server, driver):
    driver = server.impatient().driver()
    run(driver, "CREATE TABLE Long")
    documents = ", ".join("{'n': %d}" % n for n in range(1500))
    run(driver, f"INSERT INTO Long << {documents} >>")
    # More combinations than anything gets through in its time.
    cross = "SELECT COUNT(*) FROM Long AS a, Long AS b, Long AS c, Long AS d WHERE a.n + b.n + c.n + d.n = -1"
    error = refused(lambda: run(driver, cross), "InvalidSessionException")
    assert "has expired" in str(error), error


@case
def a_server_started_anew_is_met_with_new_sessions(server, driver):
    run(driver, "INSERT INTO Vehicle ?", {"VIN": "STAYS"})
    server.stop()
    server.start()
    assert run(driver, "SELECT VIN FROM Vehicle WHERE VIN = 'STAYS'") == [{"VIN": "STAYS"}]
    server.stop(signal.SIGKILL)
    server.start()
    assert run(driver, "SELECT VIN FROM Vehicle WHERE VIN = 'STAYS'") == [{"VIN": "STAYS"}]


@case
def a_server_that_dies_in_the_middle_is_met_with_the_whole_transaction_again(server, driver):
    attempts = []

    def insert(transaction):
        attempts.append(1)
        transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'MIDDLE'}")
        if len(attempts) == 1:
            server.stop(signal.SIGKILL)
            server.start()
        transaction.execute_statement("INSERT INTO Vehicle {'VIN': 'MIDDLE'}")

    driver.execute_lambda(insert)
    assert len(attempts) == 2
    assert run(driver, "SELECT COUNT(*) FROM Vehicle WHERE VIN = 'MIDDLE'") == [{"_1": 2}]


def main(binary, folder):
    keys = f"{folder}/access-keys"
    with open(os.open(keys, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"AKIDTEST {SECRET} clerk\n")
    server = Server(binary, f"{folder}/open")
    driver = server.driver()
    run(driver, "CREATE TABLE Vehicle")
    run(driver, "CREATE INDEX ON Vehicle (VIN)")
    run(driver, "CREATE TABLE Empty")
    failed = hold(CASES, server, driver)
    server.close()

    closed = Server(binary, f"{folder}/closed", "--access-keys", keys)
    driver = closed.driver()
    run(driver, "CREATE TABLE T")
    run(driver, "INSERT INTO T ?", {"n": 1})
    assert run(driver, "SELECT * FROM T") == [{"n": 1}]
    refused(lambda: list(closed.driver(secret=SECRET[::-1]).list_tables()), "InvalidSignatureException")
    refused(lambda: list(closed.driver(key="SOMEBODY").list_tables()), "UnrecognizedClientException")
    closed.stop()
    print(f"{len(CASES) - failed} of {len(CASES)} cases hold, and those with access keys")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
