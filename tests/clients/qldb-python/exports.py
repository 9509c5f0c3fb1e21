"""Journal exports, read back with Amazon's Ion and verified with a QLDB-style script: `exports.py BINARY FOLDER MOTO_SERVER`.

Those to S3 go to moto's server, by the control API and by the command line.

The script is what QLDB's users ran over their exports: manifests name the objects, each block's hash follows from its
entriesHash and the block before, entriesHash is the root over entriesHashList, and the list holds the hashes of what is shown.
"""

import base64
import datetime
import json
import os
import signal
import subprocess
import sys
import time

import amazon.ion.simpleion as ion
import boto3
from control import about, client, revision_hash, verify_block
from gate import Gate
from harness import SECRET, Server, hold, refused, run
from kinesis_peers import Moto

ROLE = "arn:aws:iam::000000000000:role/exports"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIDEXPORTS", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}

CASES = []
LONG = "LEDGERSTONE_TEST_LONG" in os.environ


def case(function):
    CASES.append(function)
    return function


class Exported:
    """An export: its manifests, and its objects by key."""

    def __init__(self, read, keys):
        (started,) = [key for key in keys if key.endswith(".started.manifest")]
        (completed,) = [key for key in keys if key.endswith(".completed.manifest")]
        self.started = ion.loads(read(started))
        self.id = str(self.started["exportId"])
        assert started.endswith(f"{self.id}.started.manifest") and self.id in completed
        self.keys = [str(key) for key in ion.loads(read(completed))["keys"]]
        self.objects = {key: read(key) for key in self.keys}
        assert sorted([*self.keys, started, completed]) == sorted(keys), "nothing else is there"

    def blocks(self):
        """As QLDB's reader did: by the numbers behind the first dot of each key."""
        blocks = []
        for key in self.keys:
            first, last = map(int, key.split(".")[1].split("-"))
            found = list(ion.loads(self.objects[key], single_value=False))
            assert [block["blockAddress"]["sequenceNo"] for block in found] == list(range(first, last + 1)), key
            blocks += found
        return blocks


def verify_chain(blocks):
    """Blocks from block 0 on."""
    previous = None
    for number, block in enumerate(blocks):
        assert block["blockAddress"]["sequenceNo"] == number
        assert ("previousBlockHash" in block) == (previous is not None)
        assert previous is None or bytes(block["previousBlockHash"]) == previous
        previous = verify_block(block)
    return previous


def directory(path):
    names = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    read = lambda key: open(os.path.join(path, key), "rb").read()
    return Exported(read, [os.path.relpath(name, path) for name in names])


def export(server, out, *arguments):
    command = [server.binary, "export", "--data", f"{server.folder}/data", "--keys", f"{server.folder}/keys"]
    return subprocess.run([*command, *arguments, out], capture_output=True, text=True, env=server.environment)


def fill(server):
    with server.driver() as driver:
        if "Vehicle" in driver.list_tables():
            return
        run(driver, "CREATE TABLE Vehicle")
        for n in range(30):
            run(driver, "INSERT INTO Vehicle << ?, ? >>", {"n": n, "text": "ä" * n}, {"n": -n - 1, "half": n / 2})
        run(driver, "INSERT INTO Vehicle `{n: 99, d: 1.50, t: 2026-01-02T03:04:05.678+01:00, b: {{aGk=}}, s: sym, l: [null.int, (a b)]}`")
        run(driver, "UPDATE Vehicle SET text = 'later' WHERE n < 5")
        run(driver, "DELETE FROM Vehicle WHERE n = 7")


@case
def an_export_to_a_directory_is_read_and_verified_with_amazon_ion(server):
    fill(server)
    server.stop()
    try:
        for form, name in [("qldb-ion", "ION_TEXT"), ("qldb-ion-binary", "ION_BINARY")]:
            out = f"{server.folder}/{form}"
            done = export(server, out, "--format", form, "--json")
            assert done.returncode == 0, done.stderr
            exported = directory(out)
            assert exported.started["ledgerName"] == "main" and exported.started["outputFormat"] == name
            blocks = exported.blocks()
            verify_chain(blocks)
            assert json.loads(done.stdout)["blocks"] == len(blocks) >= 34
            assert [block["transactionInfo"]["statements"][0]["statement"] for block in blocks][0].startswith("CREATE TABLE")
            rows = [row for block in blocks for row in block["revisions"] if row.get("data", {}).get("n") == 99]
            assert rows[0]["data"]["s"].text == "sym" and bytes(rows[0]["data"]["b"]) == b"hi", rows
            # A block that was changed is seen.
            changed = ion.loads(ion.dumps(blocks[5]))
            changed["revisions"][0]["data"]["n"] = 1_000
            changed = ion.loads(ion.dumps(changed))
            assert revision_hash(changed["revisions"][0]) != bytes(changed["revisions"][0]["hash"])
            again = export(server, out, "--format", form)
            assert again.returncode == 0 and "already" in again.stdout, again
            assert export(server, out, "--format", "qldb-json").returncode == 2, "another export is there"
    finally:
        server.start()


@case
def an_export_as_json_is_a_block_a_line(server):
    fill(server)
    server.stop()
    try:
        out = f"{server.folder}/qldb-json"
        done = export(server, out, "--format", "qldb-json")
        assert done.returncode == 0, done.stderr
        keys = [os.path.join(folder, name) for folder, _, names in os.walk(out) for name in names if name.endswith(".json")]
        blocks = [json.loads(line) for key in keys for line in open(key, encoding="utf-8").read().splitlines()]
        blocks.sort(key=lambda block: block["blockAddress"]["sequenceNo"])
        assert [block["blockAddress"]["sequenceNo"] for block in blocks] == list(range(len(blocks)))
        (row,) = [row for block in blocks for row in block["revisions"] if row.get("data", {}).get("n") == 99]
        expected = {"n": 99, "d": 1.5, "t": "2026-01-02T03:04:05.678+01:00", "b": "aGk=", "s": "sym", "l": [None, ["a", "b"]]}
        assert row["data"] == expected, row
    finally:
        server.start()


@case
def an_export_that_was_cut_goes_on_to_the_same_objects(server):
    fill(server)
    server.stop()
    try:
        out = f"{server.folder}/cut"
        assert export(server, out, "--format", "qldb-ion").returncode == 0
        exported = directory(out)
        (completed,) = [name for name in os.listdir(out) if name.endswith("completed.manifest")]
        os.remove(os.path.join(out, completed))
        os.remove(os.path.join(out, exported.keys[0]))
        again = export(server, out, "--format", "qldb-ion")
        assert again.returncode == 0, again.stderr
        resumed = directory(out)
        assert (resumed.id, resumed.keys, resumed.objects) == (exported.id, exported.keys, exported.objects)
        # Times that were asked for hold, and what cannot be is refused by name.
        for wrong, word in [("--to=2999-01-01", "future"), ("--from=2999-01-01", "the ledger"), ("--from=x", "not a time")]:
            refusal = export(server, f"{out}-{word[:2]}", "--format", "qldb-ion", wrong)
            assert refusal.returncode == 2 and word in refusal.stderr, refusal
        assert export(server, f"{out}-p", "--from", "2026-01-01").returncode == 2
    finally:
        server.start()


class Buckets:
    """S3 as the server sees it, through a gate, and as its users do."""

    def __init__(self, moto):
        self.gate = Gate(moto.url)
        keys = dict(aws_access_key_id="AKIDOWNER", aws_secret_access_key=SECRET, region_name="us-east-1")
        self.s3 = boto3.client("s3", endpoint_url=moto.url, **keys)
        self.s3.create_bucket(Bucket="journals")

    def exported(self, prefix):
        keys = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket="journals", Prefix=prefix):
            keys += [entry["Key"] for entry in page.get("Contents", [])]
        return Exported(lambda key: self.s3.get_object(Bucket="journals", Key=key)["Body"].read(), keys)


S3_CASES = []


def s3_case(function):
    S3_CASES.append(function)
    return function


def until_now():
    """A time behind everything so far: SDKs send whole seconds."""
    time.sleep(1.05 - time.time() % 1)
    return datetime.datetime.fromtimestamp(int(time.time()), datetime.timezone.utc)


def ask(api, prefix, ledger="main", start=datetime.datetime(2019, 1, 1), end=None, encryption="NO_ENCRYPTION", bucket="journals", **more):
    s3 = {"Bucket": bucket, "Prefix": prefix, "EncryptionConfiguration": {"ObjectEncryptionType": encryption}}
    answer = api.export_journal_to_s3(
        Name=ledger, InclusiveStartTime=start, ExclusiveEndTime=end or until_now(), S3ExportConfiguration=s3, RoleArn=ROLE, **more
    )
    return answer["ExportId"]


def described(api, export_id, ledger="main"):
    return api.describe_journal_s3_export(Name=ledger, ExportId=export_id)["ExportDescription"]


def wait_for(api, export_id, status="COMPLETED", ledger="main"):
    for _ in range(1200):
        found = described(api, export_id, ledger)
        if found["Status"] != "IN_PROGRESS":
            assert found["Status"] == status, found
            return found
        time.sleep(0.05)
    raise AssertionError("the export does not end")


def is_data(method, path):
    return method == "PUT" and path.split("?")[0].endswith(".ion")


def another(server, api, name, *documents):
    """A ledger of its own."""
    api.create_ledger(Name=name, PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    with server.driver(name) as driver:
        run(driver, "CREATE TABLE t")
        for document in documents:
            run(driver, "INSERT INTO t ?", document)


@s3_case
def an_export_asked_for_is_made_and_verifies(server, api, buckets):
    fill(server)
    export_id = ask(api, "plain/")
    done = wait_for(api, export_id)
    assert done["LedgerName"] == "main" and done["RoleArn"] == ROLE and "OutputFormat" not in done, done
    assert done["S3ExportConfiguration"]["Bucket"] == "journals" and done["S3ExportConfiguration"]["Prefix"] == "plain/"
    assert abs(done["ExportCreationTime"].timestamp() - time.time()) < 600
    created = api.describe_ledger(Name="main")["CreationDateTime"]
    assert abs((done["InclusiveStartTime"] - created).total_seconds()) < 0.002, "from before means from the beginning"
    exported = buckets.exported("plain/")
    assert exported.id == export_id and str(exported.started["bucket"]) == "journals" and "outputFormat" not in exported.started
    assert exported.started["prefix"] == "plain/" and exported.started["objectEncryptionType"] == "NO_ENCRYPTION"
    blocks = exported.blocks()
    last = verify_chain(blocks)
    digest = api.get_digest(Name="main")
    assert ion.loads(digest["DigestTipAddress"]["IonText"])["sequenceNo"] == len(blocks) - 1
    address = {"IonText": ion.dumps(blocks[-1]["blockAddress"], binary=False, omit_version_marker=True)}
    shown = ion.loads(api.get_block(Name="main", BlockAddress=address)["Block"]["IonText"])
    assert bytes(shown["blockHash"]) == last


@s3_case
def formats_prefixes_and_encryption_are_those_asked_for(server, api, buckets):
    end = until_now()
    for form, prefix in [("ION_TEXT", "text/"), ("ION_BINARY", "My:Tests/a b"), ("JSON", "Json")]:
        export_id = ask(api, prefix, end=end, encryption="SSE_S3", OutputFormat=form)
        assert wait_for(api, export_id)["OutputFormat"] == form
        exported = buckets.exported(prefix)
        assert exported.started["outputFormat"] == form and len(exported.keys) > 0
        head = buckets.s3.head_object(Bucket="journals", Key=exported.keys[0])
        assert head["ServerSideEncryption"] == "AES256", head
        if form == "JSON":
            lines = b"".join(exported.objects.values()).splitlines()
            assert [json.loads(line)["blockAddress"]["sequenceNo"] for line in lines] == list(range(len(lines)))
        else:
            verify_chain(exported.blocks())


@s3_case
def a_range_is_of_block_times(server, api, buckets):
    middle = until_now()
    with server.driver() as driver:
        for n in range(3):
            run(driver, "INSERT INTO Vehicle ?", {"range": n})
    wait_for(api, ask(api, "range/", start=middle))
    found = [row["data"] for block in buckets.exported("range/").blocks() for row in block["revisions"]]
    assert [row["range"] for row in found] == [0, 1, 2], found
    wait_for(api, ask(api, "before/", end=middle))
    found = [row for block in buckets.exported("before/").blocks() for row in block["revisions"]]
    assert found and not [row for row in found if "range" in row.get("data", {})]


@s3_case
def what_cannot_be_is_refused_by_name(server, api, buckets):
    now = until_now()
    later, early = now + datetime.timedelta(hours=1), now - datetime.timedelta(days=3000)
    wrong = [
        (dict(end=later), "ExclusiveEndTime"),
        (dict(start=now, end=now), "InclusiveStartTime"),
        (dict(start=early, end=early + datetime.timedelta(days=1)), "InclusiveStartTime"),
        (dict(bucket="nowhere"), "S3ExportConfiguration"),
        (dict(prefix="with.dot"), "S3ExportConfiguration"),
        (dict(prefix="a//b"), "S3ExportConfiguration"),
        (dict(encryption="SSE_KMS"), "S3ExportConfiguration"),
        (dict(encryption="ROT13"), "S3ExportConfiguration"),
        (dict(OutputFormat="XML"), "OutputFormat"),
    ]
    before = len(api.list_journal_s3_exports()["JournalS3Exports"])
    for arguments, name in wrong:
        arguments = {"prefix": "wrong/", "end": now, **arguments}
        about(refused(lambda: ask(api, **arguments), "InvalidParameterException"), ParameterName=name)
    assert "nowhere" in str(refused(lambda: ask(api, "wrong/", end=now, bucket="nowhere")))
    assert len(api.list_journal_s3_exports()["JournalS3Exports"]) == before
    unknown = refused(lambda: ask(api, "wrong/", ledger="nope", end=now), "ResourceNotFoundException")
    assert unknown.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    about(unknown, ResourceType="Ledger", ResourceName="nope")
    refused(lambda: api.list_journal_s3_exports_for_ledger(Name="nope"), "ResourceNotFoundException")
    gone = refused(lambda: described(api, "0" * 22), "ResourceNotFoundException")
    about(gone, ResourceType="JournalS3Export", ResourceName="0" * 22)


@s3_case
def exports_are_listed_in_pages(server, api, buckets):
    another(server, api, "fresh", {"n": 1})
    end = until_now()
    asked = [ask(api, f"page-{n}/", ledger="fresh", end=end) for n in range(5)]
    for export_id in asked:
        wait_for(api, export_id, ledger="fresh")
    seen, token = [], {}
    while token is not None:
        page = api.list_journal_s3_exports_for_ledger(Name="fresh", MaxResults=2, **token)
        assert len(page["JournalS3Exports"]) <= 2
        seen += [entry["ExportId"] for entry in page["JournalS3Exports"]]
        token = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
    assert sorted(seen) == sorted(asked)
    everywhere = [entry["ExportId"] for entry in api.list_journal_s3_exports()["JournalS3Exports"]]
    assert set(asked) < set(everywhere)
    refused(lambda: api.list_journal_s3_exports(NextToken="????"), None)
    api.delete_ledger(Name="fresh")
    refused(lambda: described(api, asked[0], "fresh"), "ResourceNotFoundException")
    assert not set(asked) & {entry["ExportId"] for entry in api.list_journal_s3_exports()["JournalS3Exports"]}


@s3_case
def a_server_killed_in_the_middle_goes_on_after_its_start(server, api, buckets):
    # They do not fit into two objects.
    another(server, api, "long", *[{"n": n, "text": chr(97 + n) * 1_000_000} for n in range(24)])
    end, held = until_now(), []

    def waits(method, path):
        """Lets one data object through."""
        if is_data(method, path) and path not in held:
            held.append(path)
        return is_data(method, path) and path in held[1:]

    buckets.gate.waits = waits
    export_id = ask(api, "killed/", ledger="long", end=end)
    while len(held) < 2:
        time.sleep(0.02)
    assert described(api, export_id, "long")["Status"] == "IN_PROGRESS"
    server.stop(signal.SIGKILL)
    first = held[0]
    buckets.gate.open()
    buckets.gate.seen.clear()
    server.start()
    wait_for(api, export_id, ledger="long")
    assert ("PUT", first) not in buckets.gate.seen, "what was there was left alone"
    exported = buckets.exported("killed/")
    assert exported.id == export_id and len(exported.keys) >= 3, exported.keys
    # What one makes that nothing came in the way of.
    wait_for(api, ask(api, "whole/", ledger="long", end=end), ledger="long")
    whole = buckets.exported("whole/")
    assert {key.split("/", 1)[1]: value for key, value in exported.objects.items()} == {
        key.split("/", 1)[1]: value for key, value in whole.objects.items()
    }
    assert sum(value.count(b"entriesHashList:") for value in whole.objects.values()) == 25
    api.delete_ledger(Name="long")


@s3_case
def a_server_stopped_in_the_middle_stops_and_goes_on_later(server, api, buckets):
    end = until_now()
    buckets.gate.waits = is_data
    export_id = ask(api, "stopped/", end=end)
    time.sleep(0.3)
    server.stop()
    buckets.gate.open()
    server.start()
    wait_for(api, export_id)
    verify_chain(buckets.exported("stopped/").blocks())


@s3_case
def s3_that_is_out_of_order_for_a_while_is_waited_for(server, api, buckets):
    end, failed = until_now(), []

    def fails(method, path):
        if is_data(method, path) and len(failed) < 4:
            failed.append(path)
            return True
        return False

    buckets.gate.fails = fails
    export_id = ask(api, "waited/", end=end)
    wait_for(api, export_id)
    assert len(failed) == 4
    verify_chain(buckets.exported("waited/").blocks())
    buckets.gate.fails = lambda method, path: True
    refused(lambda: ask(api, "away/", end=end), None)
    buckets.gate.open()


@s3_case
def s3_that_stays_out_of_order_is_tried_again_later(server, api, buckets):
    fill(server)
    end = until_now()
    buckets.gate.fails = is_data
    try:
        export_id = ask(api, "later/", end=end)
        while f"a journal export waits ledger=\"main\" export={export_id}" not in open(f"{server.folder}/log").read():
            assert described(api, export_id)["Status"] == "IN_PROGRESS"
            time.sleep(0.2)
    finally:
        buckets.gate.open()
    wait_for(api, export_id)
    verify_chain(buckets.exported("later/").blocks())


@s3_case
def a_bucket_that_goes_away_ends_the_export(server, api, buckets):
    end = until_now()
    buckets.s3.create_bucket(Bucket="leaving")
    buckets.gate.waits = is_data
    export_id = ask(api, "gone/", end=end, bucket="leaving")
    while not [path for method, path in buckets.gate.seen if is_data(method, path) and "/gone/" in path]:
        time.sleep(0.02)
    for entry in buckets.s3.list_objects_v2(Bucket="leaving").get("Contents", []):
        buckets.s3.delete_object(Bucket="leaving", Key=entry["Key"])
    buckets.s3.delete_bucket(Bucket="leaving")
    buckets.gate.open()
    wait_for(api, export_id, "CANCELLED")
    metrics = server.metrics()
    assert "ledgerstone_journal_exports_cancelled_total 1\n" in metrics, metrics
    for name in ["exports_completed_total", "export_blocks_total"]:
        assert f"ledgerstone_journal_{name} 0\n" not in metrics and f"ledgerstone_journal_{name} " in metrics, metrics


@s3_case
def the_command_line_exports_to_a_bucket_and_goes_on_there(server, api, buckets):
    another(server, api, "hand", *[{"n": n, "text": chr(97 + n) * 1_000_000} for n in range(12)])
    server.stop()
    try:
        server.environment["AWS_ENDPOINT_URL_S3"] = buckets.gate.url
        failed = []

        def fails(method, path):
            if is_data(method, path) and path not in failed[:1]:
                failed.append(path)
            return is_data(method, path) and path in failed[1:]

        buckets.gate.fails = fails
        command = [server.binary, "export", "--data", f"{server.folder}/data", "--keys", f"{server.folder}/keys"]
        command += ["--ledger", "hand", "--format", "qldb-ion", "s3://journals/by/hand"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=server.environment)
        while len(failed) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.kill()
        process.communicate()
        buckets.gate.open()
        hand = ["--ledger", "hand", "--format", "qldb-ion"]
        done = export(server, "s3://journals/by/hand", *hand, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["objects_kept"] == 1, done.stdout
        exported = buckets.exported("by/hand/")
        assert json.loads(done.stdout)["objects"] == len(exported.keys) >= 2
        assert [key.split(".")[1].split("-")[0] for key in exported.keys][0] == "0"
        moved = ["import", "qldb-export", "s3://journals/by/hand", "--ledger", "moved"]
        moved += ["--data", f"{server.folder}/data", "--keys", f"{server.folder}/keys"]
        imported = subprocess.run([server.binary, *moved], capture_output=True, text=True, env=server.environment)
        assert imported.returncode == 0, imported
        back = f"{server.folder}/back"
        assert export(server, back, "--ledger", "moved", "--format", "qldb-ion").returncode == 0
        both = [b"".join(one.objects.values()) for one in [exported, directory(back)]]
        assert both[1].startswith(both[0]), "the same blocks, and those of the import behind them"
        again = export(server, "s3://journals/by/hand", *hand)
        assert again.returncode == 0 and "already" in again.stdout, again
        refusal = export(server, "s3://nowhere/x", "--format", "qldb-ion")
        assert refusal.returncode == 2 and "no such bucket" in refusal.stderr, refusal
    finally:
        del server.environment["AWS_ENDPOINT_URL_S3"]
        server.start()


@s3_case
def a_ledger_goes_to_s3_and_comes_back_with_the_same_blocks_and_digest(server, api, buckets):
    api.create_ledger(Name="round", PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    transactions, documents = (500, 200) if LONG else (30, 50)
    with server.driver("round") as driver:
        run(driver, "CREATE TABLE Person")
        run(driver, "CREATE INDEX ON Person (n)")
        places = ", ".join("?" * documents)
        for t in range(transactions):
            people = [{"n": t * documents + n, "name": f"Nämé {n}", "tags": ["a", None, {"t": t}]} for n in range(documents)]
            run(driver, f"INSERT INTO Person << {places} >>", *people)
        for n in range(0, 90, 3):
            run(driver, "UPDATE Person SET name = ? WHERE n = ?", "later", n)
        run(driver, "DELETE FROM Person WHERE n = 1")
    digest = api.get_digest(Name="round")
    tip = digest["DigestTipAddress"]["IonText"]
    wait_for(api, ask(api, "round/", ledger="round", OutputFormat="ION_BINARY"), ledger="round")
    there = buckets.exported("round/").objects
    server.environment["AWS_ENDPOINT_URL_S3"] = buckets.gate.url
    try:
        moved = ["import", "qldb-export", "s3://journals/round/", "--ledger", "round-2", "--digest-tip", tip]
        moved += ["--digest", base64.b64encode(digest["Digest"]).decode()]
        moved += ["--data", f"{server.folder}/data", "--keys", f"{server.folder}/keys"]
        imported = subprocess.run([server.binary, *moved], capture_output=True, text=True, env=server.environment)
        assert imported.returncode == 0, imported
    finally:
        del server.environment["AWS_ENDPOINT_URL_S3"]
    with server.driver("round-2") as driver:
        assert run(driver, "SELECT name FROM Person WHERE n = 3") == [{"name": "later"}]
        assert len(run(driver, "SELECT n FROM Person")) == transactions * documents - 1
        run(driver, "INSERT INTO Person ?", {"n": -1})
    wait_for(api, ask(api, "again/", ledger="round-2", OutputFormat="ION_BINARY"), ledger="round-2")
    before, after = b"".join(there.values()), b"".join(buckets.exported("again/").objects.values())
    assert after.startswith(before) and len(after) > len(before), "the same blocks, and new ones behind them"


def two_at_once_is_the_limit_of_a_strict_server(binary, folder, buckets):
    server = Server(binary, f"{folder}/strict", "--s3", buckets.gate.url, "--qldb-strict", environment=ENVIRONMENT)
    api = client(server)
    fill(server)
    end = until_now()
    buckets.gate.waits = is_data
    asked = [ask(api, f"strict-{n}/", end=end) for n in range(2)]
    refused(lambda: ask(api, "strict-2/", end=end), "LimitExceededException")
    buckets.gate.open()
    for export_id in asked:
        wait_for(api, export_id)
    wait_for(api, ask(api, "strict-2/", end=end))
    server.stop()


def s3_with_tls_is_believed_by_its_certificate(binary, folder, buckets):
    own = f"{folder}/own"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=peer"
    command += f" -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE -keyout {own}.key -out {own}.pem"
    subprocess.run(command.split(), check=True, capture_output=True)
    gate = Gate(buckets.gate.url, tls=(f"{own}.pem", f"{own}.key"))
    for trusted in [True, False]:
        roots = {"SSL_CERT_FILE": f"{own}.pem"} if trusted else {}
        server = Server(binary, f"{folder}/tls-{trusted}", "--s3", gate.url, environment={**ENVIRONMENT, **roots})
        api = client(server)
        fill(server)
        if trusted:
            wait_for(api, ask(api, "tls/"))
            verify_chain(buckets.exported("tls/").blocks())
        else:
            refused(lambda: ask(api, "untrusted/"), None)
            assert not [path for _, path in gate.seen if "untrusted" in path], gate.seen
        server.stop()
    gate.close()


ALONE = [s3_with_tls_is_believed_by_its_certificate, two_at_once_is_the_limit_of_a_strict_server]


def a_server_without_s3_says_what_to_start_with(server):
    error = refused(lambda: ask(client(server), "x/"), "ResourcePreconditionNotMetException")
    assert "--s3 URL" in str(error), error


def main(binary, folder, moto_server, *only):
    chosen = lambda cases: [one for one in cases if not only or one.__name__ in only]
    os.makedirs(folder, exist_ok=True)
    moto = Moto(moto_server, f"{folder}/moto.log")
    buckets = Buckets(moto)
    local, s3, strict = chosen([*CASES, a_server_without_s3_says_what_to_start_with]), chosen(S3_CASES), chosen(ALONE)
    failed = 0
    if local:
        server = Server(binary, f"{folder}/local")
        failed += hold(local, server)
        server.stop()
    if s3:
        server = Server(binary, f"{folder}/s3", "--s3", buckets.gate.url, environment=ENVIRONMENT)
        failed += hold(s3, server, client(server), buckets)
        server.stop()
    failed += hold(strict, binary, folder, buckets)
    buckets.gate.close()
    moto.stop()
    count = len(local) + len(s3) + len(strict)
    print(f"{count - failed} of {count} cases of journal exports hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
