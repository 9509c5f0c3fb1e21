"""Journal streams to Kinesis, asked for with the plain AWS SDK for Python: `streams.py BINARY FOLDER MOTO_SERVER`.

The peers are moto's server and a small Kinesis that refuses what it is told to refuse; records are read as consumers read them.
"""

import datetime
import os
import signal
import subprocess
import sys
import threading
import time

import amazon.ion.simpleion as ion
from control import about, client, merkle, revision_hash
from harness import Server, hold, refused, run
from kinesis_peers import ENVIRONMENT, STREAM_SECRET, Fake, Moto, apart

CASES = []
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
ROLE = "arn:aws:iam::123456789012:role/streams"
FAKE_ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/fake"


def case(function):
    CASES.append(function)
    return function


def begin(api, arn, name, ledger="main", aggregated=None, start=LONG_AGO, **more):
    kinesis = {"StreamArn": arn}
    if aggregated is not None:
        kinesis["AggregationEnabled"] = aggregated
    asked = dict(LedgerName=ledger, RoleArn=ROLE, InclusiveStartTime=start, KinesisConfiguration=kinesis, StreamName=name)
    return api.stream_journal_to_kinesis(**asked, **more)["StreamId"]


def describe(api, id, ledger="main"):
    return api.describe_journal_kinesis_stream(LedgerName=ledger, StreamId=id)["Stream"]


def until(holds, seconds=60):
    """Waits for something that has to come."""
    end = time.time() + seconds
    while time.time() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


def becomes(api, id, status, ledger="main"):
    def there():
        stream = describe(api, id, ledger)
        return stream if stream["Status"] == status else None

    return until(there)


def next_second():
    """Waits for it: requests have no parts of a second."""
    now = datetime.datetime.now(datetime.timezone.utc)
    second = now.replace(microsecond=0) + datetime.timedelta(seconds=1)
    time.sleep((second - now).total_seconds() + 0.01)
    return second


def tip(api, ledger="main"):
    return ion.loads(api.get_digest(Name=ledger)["DigestTipAddress"]["IonText"])


class Read:
    """A stream's records, read as a consumer reads them."""

    def __init__(self, records):
        self.records = [ion.loads(data) for _, data in apart(records)]
        self.controls = [r["payload"]["controlRecordType"] for r in self.records if r["recordType"] == "CONTROL"]
        summaries = [record["payload"] for record in self.records if record["recordType"] == "BLOCK_SUMMARY"]
        self.blocks = {summary["blockAddress"]["sequenceNo"]: summary for summary in summaries}
        self.details = [r["payload"] for r in self.records if r["recordType"] == "REVISION_DETAILS"]

    def reaches(self, last):
        """Whether everything up to the block is there: shards are read one after the other, so the last may come first."""
        listed = {bytes(one["hash"]) for block in self.blocks.values() for one in block["revisionSummaries"] if "documentId" in one}
        return set(range(last + 1)) <= set(self.blocks) and listed <= {bytes(one["revision"]["hash"]) for one in self.details}

    def revisions(self, table):
        """By their hashes: what came twice is there once."""
        mine = [one["revision"] for one in self.details if one["tableInfo"]["tableName"] == table]
        return {bytes(revision["hash"]): revision for revision in mine}


def check_blocks(api, read, numbers, ledger="main"):
    """Every block's summary is there, and is that of the block."""
    strand = tip(api, ledger)["strandId"]
    assert sorted(read.blocks) == list(numbers), (sorted(read.blocks), numbers)
    for sequence, summary in read.blocks.items():
        address = {"IonText": f'{{strandId:"{strand}",sequenceNo:{sequence}}}'}
        block = ion.loads(api.get_block(Name=ledger, BlockAddress=address)["Block"]["IonText"])
        for field in ["blockAddress", "transactionId", "blockTimestamp", "transactionInfo", "entriesHashList"]:
            assert summary[field] == block[field], (field, summary[field], block[field])
        for field in ["blockHash", "entriesHash"]:
            assert bytes(summary[field]) == bytes(block[field]), field
        hashes = [bytes(one["hash"]) for one in summary["revisionSummaries"]]
        assert hashes == [bytes(revision["hash"]) for revision in block["revisions"]]
        assert merkle(hashes) in [bytes(entry) for entry in summary["entriesHashList"]]


def check_revisions(driver, read, table):
    """Every revision of a table is there, and its hash holds."""
    history = {bytes(row["hash"]) for row in run(driver, f"SELECT * FROM history({table})")}
    found = read.revisions(table)
    assert set(found) == history, (len(found), len(history))
    assert all(revision_hash(revision) == hash for hash, revision in found.items())


def fill(driver, table, documents=40):
    run(driver, f"CREATE TABLE {table}")
    for n in range(documents):
        run(driver, f"INSERT INTO {table} << ?, ? >>", {"n": n, "text": "ä" * n}, {"n": -n - 1, "list": [1, None, {"a": 1.5}]})
    run(driver, f"UPDATE {table} SET text = 'new' WHERE n < 10")
    run(driver, f"DELETE FROM {table} WHERE n = 3")


@case
def every_block_and_every_revision_arrives(server, api, moto):
    with server.driver() as driver:
        fill(driver, "Arrives")
        for aggregated in [True, False]:
            name = f"arrives-{aggregated}".lower()
            id = begin(api, moto.make(name), name, aggregated=aggregated)
            run(driver, "INSERT INTO Arrives ?", {"later": aggregated})
            last = tip(api)["sequenceNo"]
            raw = until(lambda: (found := moto.records(name)) and Read(found).reaches(last) and found)
            read = Read(raw)
            assert describe(api, id)["Status"] == "ACTIVE"
            assert read.controls == ["CREATED"]
            arn = describe(api, id)["Arn"]
            assert arn == f"arn:aws:qldb:eu-central-1:000000000000:stream/main/{id}"
            assert {record["qldbStreamArn"] for record in read.records} == {arn}
            check_blocks(api, read, range(last + 1))
            check_revisions(driver, read, "Arrives")
            assert (len(raw) < len(read.records)) == aggregated, (len(raw), len(read.records))
            if not aggregated:
                for key, data in raw:
                    record = ion.loads(data)
                    if record["recordType"] == "REVISION_DETAILS":
                        assert key == record["payload"]["revision"]["metadata"]["id"]
                    if record["recordType"] == "BLOCK_SUMMARY":
                        assert key == record["payload"]["transactionId"]
            api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=id)


@case
def a_stream_with_an_end_sends_its_time_and_completes(server, api, moto):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Ends")
        marks = []
        for n in range(30):
            if n in [10, 20]:
                marks.append((next_second(), tip(api)["sequenceNo"] + 1))
            run(driver, "INSERT INTO Ends ?", {"n": n})
        (start, first), (end, behind) = marks
        id = begin(api, moto.make("ends"), "ends", start=start, ExclusiveEndTime=end)
        stream = becomes(api, id, "COMPLETED")
        assert (stream["InclusiveStartTime"], stream["ExclusiveEndTime"]) == (start, end), stream
        read = Read(moto.records("ends"))
        assert sorted(read.controls) == ["COMPLETED", "CREATED"]
        check_blocks(api, read, range(first, behind))
        assert sorted(one["data"]["n"] for one in read.revisions("Ends").values()) == list(range(10, 20))
        # One whose end is yet to come sends what is committed until then.
        end = next_second() + datetime.timedelta(seconds=2)
        id = begin(api, moto.make("ends-later"), "ends-later", start=start, ExclusiveEndTime=end)
        for n in range(30, 40):
            run(driver, "INSERT INTO Ends ?", {"n": n})
        last = tip(api)["sequenceNo"]
        becomes(api, id, "COMPLETED")
        assert datetime.datetime.now(datetime.timezone.utc) >= end
        run(driver, "INSERT INTO Ends ?", {"n": 40})
        read = Read(moto.records("ends-later"))
        check_blocks(api, read, range(first, last + 1))
        assert sorted(read.controls) == ["COMPLETED", "CREATED"]
    refused(lambda: api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=id), "ResourcePreconditionNotMetException")


@case
def a_server_that_is_killed_goes_on_and_sends_everything(server, api, moto):
    written, stop = [], threading.Event()

    def write():
        with server.driver() as driver:
            while not stop.is_set():
                try:
                    run(driver, "INSERT INTO Killed ?", {"n": len(written)})
                    written.append(1)
                except Exception:
                    time.sleep(0.05)

    with server.driver() as driver:
        run(driver, "CREATE TABLE Killed")
    id = begin(api, moto.make("killed"), "killed")
    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(3):
        before = len(moto.records("killed"))
        until(lambda: len(moto.records("killed")) > before + 20)
        server.stop(signal.SIGKILL)
        server.start()
    stop.set()
    writer.join()
    last = tip(api)["sequenceNo"]
    read = until(lambda: (found := Read(moto.records("killed"))).reaches(last) and found)
    check_blocks(api, read, range(last + 1))
    with server.driver() as driver:
        check_revisions(driver, read, "Killed")
        assert len(read.revisions("Killed")) >= len(written) > 0
    assert describe(api, id)["Status"] == "ACTIVE"
    # One that stops in order sends nothing twice.
    server.stop()
    sent = len(moto.records("killed"))
    server.start()
    with server.driver() as driver:
        run(driver, "INSERT INTO Killed ?", {"n": "one more"})
    until(lambda: len(moto.records("killed")) > sent)
    time.sleep(1)
    assert len(moto.records("killed")) <= sent + 2, "a summary and a revision, in one or in two"
    api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=id)


@case
def a_cancelled_stream_sends_nothing_more(server, api, moto):
    id = begin(api, moto.make("cancelled"), "cancelled")
    until(lambda: moto.records("cancelled"))
    assert api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=id)["StreamId"] == id
    sent = len(moto.records("cancelled"))
    with server.driver() as driver:
        run(driver, "CREATE TABLE Cancelled")
    time.sleep(1)
    found = moto.records("cancelled")
    # What was on its way when it was cancelled may have come.
    assert "Cancelled" not in str([record for record in Read(found).records]) and len(found) <= sent + 1
    stream = describe(api, id)
    assert stream["Status"] == "CANCELED" and "ErrorCause" not in stream
    refused(lambda: api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=id), "ResourcePreconditionNotMetException")
    server.stop()
    server.start()
    assert describe(api, id)["Status"] == "CANCELED"


@case
def a_stream_that_kinesis_does_not_know_is_impaired_until_it_does(server, api, moto):
    arn = moto.make("unknown").replace("stream/unknown", "stream/unknown-yet")
    id = begin(api, arn, "unknown")
    assert becomes(api, id, "IMPAIRED")["ErrorCause"] == "KINESIS_STREAM_NOT_FOUND"
    moto.make("unknown-yet")
    assert "ErrorCause" not in becomes(api, id, "ACTIVE")
    last = tip(api)["sequenceNo"]
    read = until(lambda: (found := Read(moto.records("unknown-yet"))).reaches(last) and found)
    assert read.controls == ["CREATED"]
    check_blocks(api, read, range(last + 1))
    api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=id)


@case
def streams_are_described_listed_and_named_as_in_qldb(server, api, moto):
    arn = moto.make("described", shards=1)
    api.create_ledger(Name="described", PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    before = time.time()
    made = [begin(api, arn, f"stream-{n}", ledger="described", Tags={"n": str(n)}) for n in range(5)]
    refused(lambda: begin(api, arn, "stream-0", ledger="described"), "ResourcePreconditionNotMetException")
    api.cancel_journal_kinesis_stream(LedgerName="described", StreamId=made[0])
    made.append(begin(api, arn, "stream-0", ledger="described"))
    stream = describe(api, made[1], "described")
    assert abs(stream.pop("CreationTime").timestamp() - before) < 600
    assert stream == {
        "LedgerName": "described",
        "InclusiveStartTime": LONG_AGO,
        "RoleArn": ROLE,
        "StreamId": made[1],
        "Arn": f"arn:aws:qldb:eu-central-1:000000000000:stream/described/{made[1]}",
        "Status": "ACTIVE",
        "KinesisConfiguration": {"StreamArn": arn, "AggregationEnabled": True},
        "StreamName": "stream-1",
    }, stream
    seen, token = [], {}
    while True:
        page = api.list_journal_kinesis_streams_for_ledger(LedgerName="described", MaxResults=4, **token)
        seen += page["Streams"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert {one["StreamId"]: one["Status"] for one in seen} == {id: "ACTIVE" if id != made[0] else "CANCELED" for id in made}
    assert api.list_journal_kinesis_streams_for_ledger(LedgerName="main")["Streams"] != seen
    tagged = stream["Arn"]
    api.tag_resource(ResourceArn=tagged, Tags={"team": "audit"})
    api.untag_resource(ResourceArn=tagged, TagKeys=["n"])
    server.stop(signal.SIGKILL)
    server.start()
    assert api.list_tags_for_resource(ResourceArn=tagged)["Tags"] == {"team": "audit"}
    # A ledger that is dropped takes its streams with it.
    kept = f"{server.folder}/data/described.streams"
    # A name with a dot in front is a file that is being written, or was when the server was killed.
    assert {name for name in os.listdir(kept) if not name.startswith(".")} == set(made)
    api.delete_ledger(Name="described")
    assert not os.path.exists(kept)
    refused(lambda: describe(api, made[1], "described"), "ResourceNotFoundException")
    api.create_ledger(Name="described", PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    assert api.list_journal_kinesis_streams_for_ledger(LedgerName="described")["Streams"] == []
    about(refused(lambda: describe(api, made[1], "described"), "ResourceNotFoundException"), ResourceType="Stream")
    api.delete_ledger(Name="described")


@case
def what_is_wrong_with_a_request_is_named(server, api, moto):
    arn = moto.make("wrong", shards=1)
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    wrong = [
        (dict(name="a--b"), "StreamName"),
        (dict(name="12"), "StreamName"),
        (dict(start=later), "InclusiveStartTime"),
        (dict(ExclusiveEndTime=LONG_AGO), "InclusiveStartTime"),
        (dict(arn="arn:aws:sqs:us-east-1:123456789012:stream/x"), "KinesisConfiguration"),
        (dict(arn="http://127.0.0.1:1/a-place-of-mine"), "KinesisConfiguration"),
        (dict(Tags={"aws:a": "b"}), "Tags"),
    ]
    for changed, parameter in wrong:
        error = refused(lambda: begin(api, **{"arn": arn, "name": "wrong", **changed}), "InvalidParameterException")
        about(error, ParameterName=parameter)
    refused(lambda: begin(api, arn, "wrong", ledger="nope"), "ResourceNotFoundException")
    refused(lambda: api.list_journal_kinesis_streams_for_ledger(LedgerName="nope"), "ResourceNotFoundException")
    refused(lambda: describe(api, "0" * 22), "ResourceNotFoundException")
    refused(lambda: describe(api, "z" * 22), "InvalidParameterException")
    refused(lambda: api.cancel_journal_kinesis_stream(LedgerName="main", StreamId="0" * 22), "ResourceNotFoundException")


def with_fake(binary, folder, fake, environment=ENVIRONMENT, *arguments):
    server = Server(binary, folder, "--kinesis", fake.url, *arguments, environment=environment)
    return server, client(server)


def everything_has_come(api, fake, ledger="main"):
    last = tip(api, ledger)["sequenceNo"]
    # What was refused may come behind the last block.
    return until(lambda: (found := Read(list(fake.taken))).reaches(last) and len(found.blocks) == last + 1 and found)


def what_is_refused_in_part_is_sent_again(binary, folder):
    counter, throttled = [0], "ProvisionedThroughputExceededException"

    def every_third(records):
        answers = []
        for _ in records:
            counter[0] += 1
            answers.append(throttled if counter[0] % 3 == 0 else "InternalFailure" if counter[0] % 10 == 0 else None)
        return answers

    fake = Fake(every_third)
    server, api = with_fake(binary, folder, fake)
    with server.driver() as driver:
        fill(driver, "Partly", 100)
        id = begin(api, FAKE_ARN, "partly", aggregated=False)
        read = everything_has_come(api, fake)
        check_blocks(api, read, range(tip(api)["sequenceNo"] + 1))
        check_revisions(driver, read, "Partly")
    keys = [data for _, data in fake.taken]
    assert len(keys) == len(set(keys)), "only what was refused is sent again"
    assert sum(map(len, fake.calls)) > len(keys) and describe(api, id)["Status"] == "ACTIVE"
    assert not fake.wrong, fake.wrong
    metrics = server.metrics()
    assert f"ledgerstone_kinesis_records_total {len(keys)}\n" in metrics, metrics
    assert 'ledgerstone_kinesis_streams{status="ACTIVE"} 1\n' in metrics
    assert "ledgerstone_kinesis_failures_total 0\n" not in metrics
    server.stop()
    fake.stop()


def what_does_not_work_impairs_a_stream_until_it_does(binary, folder):
    fake = Fake()
    server, api = with_fake(binary, folder, fake)
    with server.driver() as driver:
        run(driver, "CREATE TABLE Mended")
        id = begin(api, FAKE_ARN, "mended")
        everything_has_come(api, fake)
        errors = [
            ((400, "AccessDeniedException", "no\nentry"), "IAM_PERMISSION_REVOKED"),
            ((400, "UnrecognizedClientException", ""), "IAM_PERMISSION_REVOKED"),
            ((400, "com.amazonaws.kinesis#ResourceNotFoundException", "gone"), "KINESIS_STREAM_NOT_FOUND"),
            ((500, "InternalFailure", ""), None),
        ]
        for n, (error, cause) in enumerate(errors):
            fake.answer = lambda records: error
            run(driver, "INSERT INTO Mended ?", {"n": n})
            stream = becomes(api, id, "IMPAIRED")
            assert stream.get("ErrorCause") == cause, stream
            fake.answer = lambda records: [None] * len(records)
            becomes(api, id, "ACTIVE")
        # Patience is no impairment.
        fake.answer = lambda records: (400, "ProvisionedThroughputExceededException", "slowly")
        run(driver, "INSERT INTO Mended ?", {"n": "slow"})
        calls = len(fake.calls)
        until(lambda: len(fake.calls) > calls + 2)
        assert describe(api, id)["Status"] == "ACTIVE"
        fake.answer = lambda records: [None] * len(records)
        everything_has_come(api, fake)
        # The endpoint goes away, and the server too.
        fake.stop()
        run(driver, "INSERT INTO Mended ?", {"n": "away"})
        stream = becomes(api, id, "IMPAIRED")
        assert "ErrorCause" not in stream
    server.stop(signal.SIGKILL)
    server.start()
    assert describe(api, id)["Status"] == "IMPAIRED"
    second = Fake(port=fake.port)
    becomes(api, id, "ACTIVE")
    with server.driver() as driver:
        last = tip(api)["sequenceNo"]
        until(lambda: Read(list(fake.taken) + list(second.taken)).reaches(last))
        read = Read(list(fake.taken) + list(second.taken))
        check_blocks(api, read, range(last + 1))
        check_revisions(driver, read, "Mended")
    assert not fake.wrong and not second.wrong
    server.stop()
    log = open(f"{folder}/log").read()
    assert "a journal stream is impaired" in log and "a journal stream goes on" in log
    seen = log + "".join(open(path, errors="replace").read() for path in files(f"{folder}/data"))
    assert STREAM_SECRET not in seen
    second.stop()


def files(folder):
    return [f"{place}/{name}" for place, _, names in os.walk(folder) for name in names]


def a_record_that_is_too_large_is_never_passed_over(binary, folder):
    def usual(records):
        if any(len(data) > 1 << 20 for _, data in records):
            return 400, "ValidationException", "Member must have length less than or equal to 1048576"
        return [None] * len(records)

    fake = Fake(usual)
    server, api = with_fake(binary, folder, fake)
    with server.driver() as driver:
        run(driver, "CREATE TABLE Large")
        run(driver, "INSERT INTO Large ?", {"n": 1})
        run(driver, "INSERT INTO Large ?", {"n": 2, "text": "x" * (3 << 20)})
        large = tip(api)["sequenceNo"]
        run(driver, "INSERT INTO Large ?", {"n": 3})
        id = begin(api, FAKE_ARN, "large")
        becomes(api, id, "IMPAIRED")
        blocks = Read(list(fake.taken)).blocks
        assert large - 1 in blocks and large + 1 not in blocks, sorted(blocks)
        assert f"block {large}" in open(f"{folder}/log").read()
        # A stream of Kinesis can be set to take more.
        fake.answer = lambda records: [None] * len(records)
        read = everything_has_come(api, fake)
        check_revisions(driver, read, "Large")
        becomes(api, id, "ACTIVE")
        assert all(len(records) == 1 for records in fake.calls if any(len(data) > 1 << 20 for _, data in records))
        run(driver, "INSERT INTO Large ?", {"n": 4, "text": "x" * (11 << 20)})
        stream = becomes(api, id, "FAILED")
        assert f"block {large + 2} " in open(f"{folder}/log").read() and "ErrorCause" not in stream
        # What helps: a stream that begins behind it.
        start = next_second()
        run(driver, "INSERT INTO Large ?", {"n": 5})
        fake.taken.clear()
        begin(api, FAKE_ARN, "large", start=start)
        until(lambda: Read(list(fake.taken)).blocks.keys() == {large + 3})
    server.stop()
    fake.stop()


def an_endpoint_with_tls_is_believed_by_its_certificate(binary, folder):
    os.makedirs(folder)
    own, other = f"{folder}/own", f"{folder}/other"
    for name in [own, other]:
        command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=peer -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE -keyout {name}.key -out {name}.pem"
        subprocess.run(command.split(), check=True, capture_output=True)
    fake = Fake(tls=(f"{own}.pem", f"{own}.key"))
    for authority, good in [(own, True), (other, False)]:
        trusted = {**ENVIRONMENT, "SSL_CERT_FILE": f"{authority}.pem"}
        server, api = with_fake(binary, f"{folder}/{good}", fake, trusted)
        with server.driver() as driver:
            run(driver, "CREATE TABLE Sealed")
        id = begin(api, FAKE_ARN, "sealed")
        if good:
            check_blocks(api, everything_has_come(api, fake), range(tip(api)["sequenceNo"] + 1))
            fake.calls.clear()
        else:
            becomes(api, id, "IMPAIRED")
            assert fake.calls == []
        server.stop()
    fake.stop()


def without_a_kinesis_streams_are_refused_and_wait(binary, folder):
    fake = Fake()
    server, api = with_fake(binary, folder, fake)
    with server.driver() as driver:
        run(driver, "CREATE TABLE Waits")
    id = begin(api, FAKE_ARN, "waits")
    everything_has_come(api, fake)
    server.stop()
    server.arguments = ()
    server.start()
    error = refused(lambda: begin(api, FAKE_ARN, "other"), "ResourcePreconditionNotMetException")
    assert "--kinesis" in str(error) and "AWS_ACCESS_KEY_ID" in str(error), error
    assert describe(api, id)["Status"] == "IMPAIRED"
    with server.driver() as driver:
        run(driver, "INSERT INTO Waits ?", {"n": 1})
    server.stop()
    server.arguments = ("--kinesis", fake.url, "--qldb-strict")
    server.start()
    everything_has_come(api, fake)
    assert describe(api, id)["Status"] == "ACTIVE"
    for n in range(4):
        begin(api, FAKE_ARN, f"strict-{n}")
    refused(lambda: begin(api, FAKE_ARN, "strict-5"), "LimitExceededException")
    server.stop()
    environment = {**os.environ, **ENVIRONMENT}
    for arguments, without, words in [
        ("ftp://somewhere", None, "is not the URL of an endpoint"),
        ("http://user:secret@somewhere", None, "is not the URL of an endpoint"),
        (fake.url, "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY is not set"),
    ]:
        given = {name: value for name, value in environment.items() if name != without}
        command = [binary, "serve", "--data", f"{folder}/none", "--keys", f"{folder}/no-keys", "--kinesis", arguments]
        said = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)
        assert said.returncode == 2 and words in said.stderr, said.stderr
    fake.stop()


def an_imported_ledger_is_streamed_as_it_was(binary, folder):
    fake = Fake()
    server, api = with_fake(binary, folder, fake)
    with server.driver() as driver:
        fill(driver, "Imported", 10)
    server.stop()
    places = ["--data", f"{folder}/data", "--keys", f"{folder}/keys"]
    for command in [
        ["export", "--format", "qldb-ion", *places, f"{folder}/export"],
        ["import", "qldb-export", *places, "--ledger", "imported", f"{folder}/export"],
    ]:
        subprocess.run([binary, *command], check=True, capture_output=True)
    server.start()
    with server.driver("imported") as driver:
        run(driver, "INSERT INTO Imported ?", {"here": True})
        begin(api, FAKE_ARN, "imported", ledger="imported")
        read = everything_has_come(api, fake, "imported")
        check_blocks(api, read, range(tip(api, "imported")["sequenceNo"] + 1), "imported")
        check_revisions(driver, read, "Imported")
    server.stop()
    fake.stop()


def a_kinesis_that_does_not_answer_holds_nobody_up(binary, folder):
    answered = threading.Event()

    def silent(records):
        answered.wait()
        return [None] * len(records)

    fake = Fake(silent)
    server, api = with_fake(binary, folder, fake)
    cancelled, going = [begin(api, FAKE_ARN, f"silent-{n}") for n in range(2)]
    until(lambda: len(fake.calls) == 2)
    with server.driver() as driver:
        run(driver, "CREATE TABLE Silent")
    api.cancel_journal_kinesis_stream(LedgerName="main", StreamId=cancelled)
    server.stop()
    assert len(fake.calls) == 2 and not answered.is_set()
    # What cannot be read is named, and does not hold up the others.
    for name, text in [("0" * 22, "garbage"), ("1" * 22, "{}")]:
        with open(f"{folder}/data/main.streams/{name}", "w") as file:
            file.write(text)
    fake.answer = lambda records: [None] * len(records)
    server.start()
    read = everything_has_come(api, fake)
    check_blocks(api, read, range(tip(api)["sequenceNo"] + 1))
    statuses = {one["StreamId"]: one["Status"] for one in api.list_journal_kinesis_streams_for_ledger(LedgerName="main")["Streams"]}
    assert statuses == {cancelled: "CANCELED", going: "ACTIVE"}
    assert open(f"{folder}/log").read().count("a stream cannot be read and does not go on") == 2
    server.stop()
    answered.set()
    fake.stop()


ALONE = [
    a_kinesis_that_does_not_answer_holds_nobody_up,
    an_imported_ledger_is_streamed_as_it_was,
    what_is_refused_in_part_is_sent_again,
    what_does_not_work_impairs_a_stream_until_it_does,
    a_record_that_is_too_large_is_never_passed_over,
    an_endpoint_with_tls_is_believed_by_its_certificate,
    without_a_kinesis_streams_are_refused_and_wait,
]


def main(binary, folder, moto_server, *only):
    os.makedirs(folder, exist_ok=True)
    cases = [one for one in CASES if not only or one.__name__ in only]
    alone = [one for one in ALONE if not only or one.__name__ in only]
    failed = 0
    if cases:
        moto = Moto(moto_server, f"{folder}/moto.log")
        server = Server(binary, f"{folder}/moto", "--kinesis", moto.url, environment=ENVIRONMENT)
        failed += hold(cases, server, client(server), moto)
        server.stop()
        moto.stop()
    for one in alone:
        failed += hold([one], binary, f"{folder}/{one.__name__}")
    print(f"{len(cases) + len(alone) - failed} of {len(cases) + len(alone)} cases of streams to Kinesis hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
