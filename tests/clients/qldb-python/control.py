"""The control API with the plain AWS SDK for Python, against a server of its own: `control.py BINARY FOLDER`.

Digests, blocks and revisions are verified the way QLDB's documentation taught: Ion Hash from PyPI, and hashes joined in pairs.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import amazon.ion.simpleion as ion
import boto3
import ionhash  # noqa: F401 (adds ion_hash to Ion values)
from harness import SECRET, Server, hold, refused, run

CASES = []


def case(function):
    CASES.append(function)
    return function


def client(server, key="AKIDTEST", secret=SECRET, region="eu-central-1"):
    return boto3.client(
        "qldb",
        region_name=region,
        endpoint_url=f"http://127.0.0.1:{server.http}",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def about(error, **members):
    for name, value in members.items():
        assert error.response.get(name) == value, (name, error.response)


# Verification, as an auditor of QLDB did it.


def hash_of(value):
    return value.ion_hash("SHA-256")


def dot(a, b):
    signed = lambda h: [byte - 256 if byte > 127 else byte for byte in reversed(h)]
    return hashlib.sha256(a + b if signed(a) < signed(b) else b + a).digest()


def fold(leaf, proof):
    for sibling in ion.loads(proof["IonText"]):
        leaf = dot(leaf, bytes(sibling))
    return leaf


def merkle(hashes):
    while len(hashes) > 1:
        pairs = [hashes[i : i + 2] for i in range(0, len(hashes), 2)]
        hashes = [dot(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return hashes[0]


def revision_hash(revision):
    metadata = hash_of(revision["metadata"])
    if "data" in revision:
        return dot(metadata, hash_of(revision["data"]))
    return dot(metadata, bytes(revision["dataHash"])) if "dataHash" in revision else metadata


def verify_block(block):
    """Everything that a block's hash stands for."""
    revisions = [revision_hash(revision) for revision in block["revisions"]]
    assert [bytes(revision["hash"]) for revision in block["revisions"]] == revisions
    entries = [bytes(entry) for entry in block["entriesHashList"]]
    assert merkle(revisions) in entries
    for part in ["transactionInfo", "redactionInfo", "originInfo"]:
        if part in block:
            assert hash_of(block[part]) in entries, part
    assert merkle(entries) == bytes(block["entriesHash"])
    previous = [bytes(block["previousBlockHash"])] if "previousBlockHash" in block else []
    expected = dot(bytes(block["entriesHash"]), previous[0]) if previous else bytes(block["entriesHash"])
    assert expected == bytes(block["blockHash"])
    return expected


def address_of(driver, table, field, value):
    """Where the newest revision of a document is."""
    (row,) = run(driver, f"SELECT * FROM _ql_committed_{table} WHERE data.{field} = ?", value)
    address = {"IonText": ion.dumps(row["blockAddress"], binary=False, omit_version_marker=True)}
    return address, row["metadata"]["id"]


@case
def a_ledger_is_made_described_listed_and_deleted(server, api):
    made = api.create_ledger(Name="titles-2026", PermissionsMode="ALLOW_ALL", Tags={"team": "registry"})
    arn = "arn:aws:qldb:eu-central-1:000000000000:ledger/titles-2026"
    assert (made["Name"], made["Arn"], made["State"]) == ("titles-2026", arn, "ACTIVE"), made
    assert made["DeletionProtection"] is True and made["PermissionsMode"] == "ALLOW_ALL"
    assert abs(made["CreationDateTime"].timestamp() - time.time()) < 600
    described = api.describe_ledger(Name="titles-2026")
    for name in ["Name", "Arn", "State", "CreationDateTime", "DeletionProtection", "PermissionsMode"]:
        assert described[name] == made[name], name
    assert [ledger["Name"] for ledger in api.list_ledgers()["Ledgers"]] == ["main", "titles-2026"]
    with server.driver("titles-2026") as driver:
        run(driver, "CREATE TABLE t")
        run(driver, "INSERT INTO t ?", {"n": 1})
    about(refused(lambda: api.delete_ledger(Name="titles-2026"), "ResourcePreconditionNotMetException"), ResourceName="titles-2026")
    assert api.update_ledger(Name="titles-2026", DeletionProtection=False)["DeletionProtection"] is False
    api.delete_ledger(Name="titles-2026")
    gone = refused(lambda: api.describe_ledger(Name="titles-2026"), "ResourceNotFoundException")
    assert gone.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    about(gone, ResourceType="Ledger", ResourceName="titles-2026")
    assert "titles-2026" not in [ledger["Name"] for ledger in api.list_ledgers()["Ledgers"]]


@case
def a_name_is_taken_once(server, api):
    api.create_ledger(Name="once", PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    taken = refused(lambda: api.create_ledger(Name="once", PermissionsMode="ALLOW_ALL"), "ResourceAlreadyExistsException")
    assert taken.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    api.delete_ledger(Name="once")
    api.create_ledger(Name="once", PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    api.delete_ledger(Name="once")


@case
def names_and_modes_that_qldb_refused_are_refused(server, api):
    for name in ["12345", "-a", "a-", "a--b", "a_b"]:
        error = refused(lambda: api.create_ledger(Name=name, PermissionsMode="ALLOW_ALL"), "InvalidParameterException")
        about(error, ParameterName="Name")
    error = refused(lambda: api.create_ledger(Name="a", PermissionsMode="NONE"), "InvalidParameterException")
    about(error, ParameterName="PermissionsMode")
    key = "arn:aws:kms:eu-central-1:000000000000:key/x"
    error = refused(lambda: api.create_ledger(Name="a", PermissionsMode="STANDARD", KmsKey=key), "InvalidParameterException")
    about(error, ParameterName="KmsKey")
    assert [ledger["Name"] for ledger in api.list_ledgers()["Ledgers"]] == ["main"]


@case
def lists_come_in_pages(server, api):
    names = [f"page-{n}" for n in range(5)]
    for name in names:
        api.create_ledger(Name=name, PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    pages = api.list_ledgers(MaxResults=2)
    seen = [ledger["Name"] for ledger in pages["Ledgers"]]
    while "NextToken" in pages:
        assert len(pages["Ledgers"]) == 2
        pages = api.list_ledgers(MaxResults=2, NextToken=pages["NextToken"])
        seen += [ledger["Name"] for ledger in pages["Ledgers"]]
    assert seen == ["main", *names], seen
    for name in names:
        api.delete_ledger(Name=name)


@case
def the_permissions_mode_changes_and_stays(server, api):
    assert api.describe_ledger(Name="main")["PermissionsMode"] == "ALLOW_ALL"
    changed = api.update_ledger_permissions_mode(Name="main", PermissionsMode="STANDARD")
    assert changed["PermissionsMode"] == "STANDARD"
    server.stop()
    server.start()
    assert api.describe_ledger(Name="main")["PermissionsMode"] == "STANDARD"
    api.update_ledger_permissions_mode(Name="main", PermissionsMode="ALLOW_ALL")
    refused(lambda: api.update_ledger_permissions_mode(Name="nope", PermissionsMode="ALLOW_ALL"), "ResourceNotFoundException")


@case
def tags_are_added_listed_and_removed(server, api):
    arn = api.describe_ledger(Name="main")["Arn"]
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}
    api.tag_resource(ResourceArn=arn, Tags={"team": "a b/c", "ümlaut": "1", "gone": ""})
    api.tag_resource(ResourceArn=arn, Tags={"team": "d"})
    api.untag_resource(ResourceArn=arn, TagKeys=["gone", "was never there"])
    server.stop(signal.SIGKILL)
    server.start()
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "d", "ümlaut": "1"}
    api.untag_resource(ResourceArn=arn, TagKeys=["team", "ümlaut"])
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}
    too_many = {f"k{n}": "v" for n in range(51)}
    refused(lambda: api.tag_resource(ResourceArn=arn, Tags=too_many), "InvalidParameterException")
    refused(lambda: api.tag_resource(ResourceArn=arn, Tags={"aws:x": "v"}), "InvalidParameterException")
    refused(lambda: api.list_tags_for_resource(ResourceArn="arn:aws:s3:::a-bucket"), "InvalidParameterException")
    refused(lambda: api.list_tags_for_resource(ResourceArn=arn.replace("main", "nope")), "ResourceNotFoundException")


@case
def a_ledger_without_a_block_has_no_digest(server, api):
    api.create_ledger(Name="empty", PermissionsMode="ALLOW_ALL", DeletionProtection=False)
    refused(lambda: api.get_digest(Name="empty"), "ResourcePreconditionNotMetException")
    refused(lambda: api.get_digest(Name="nope"), "ResourceNotFoundException")
    api.delete_ledger(Name="empty")


@case
def the_digest_is_that_of_all_blocks(server, api):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Digest")
        for n in range(20):
            run(driver, "INSERT INTO Digest ?", {"n": n})
    digest = api.get_digest(Name="main")
    tip = ion.loads(digest["DigestTipAddress"]["IonText"])
    hashes, previous = [], None
    for number in range(tip["sequenceNo"] + 1):
        address = {"IonText": f'{{strandId:"{tip["strandId"]}",sequenceNo:{number}}}'}
        block = ion.loads(api.get_block(Name="main", BlockAddress=address)["Block"]["IonText"])
        hashes.append(verify_block(block))
        assert previous is None or bytes(block["previousBlockHash"]) == previous
        previous = hashes[-1]
    assert merkle(hashes) == digest["Digest"]


@case
def a_block_is_verified_and_a_changed_one_is_not(server, api):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Block")
        run(driver, "INSERT INTO Block << {'n': 1}, {'n': 2}, {'n': 3} >>")
        address, _ = address_of(driver, "Block", "n", 2)
        run(driver, "UPDATE Block SET n = 5 WHERE n = 1")
    digest = api.get_digest(Name="main")
    answer = api.get_block(Name="main", BlockAddress=address, DigestTipAddress=digest["DigestTipAddress"])
    block = ion.loads(answer["Block"]["IonText"])
    assert len(block["revisions"]) == 3
    assert fold(verify_block(block), answer["Proof"]) == digest["Digest"]
    for bit in range(0, 256, 5):
        changed = bytearray(block["blockHash"])
        changed[bit // 8] ^= 1 << bit % 8
        assert fold(bytes(changed), answer["Proof"]) != digest["Digest"]


@case
def a_revision_is_verified_and_a_changed_one_is_not(server, api):
    values = {"text": "ä", "number": 12.5, "list": [1, None, {"deep": True}]}
    with server.driver() as driver:
        run(driver, "CREATE TABLE Revision")
        for n in range(9):
            run(driver, "INSERT INTO Revision << ?, ? >>", {"n": n, **values}, {"n": -n - 1, **values})
        address, document = address_of(driver, "Revision", "n", 4)
        for n in range(9):
            run(driver, "UPDATE Revision SET text = 'later' WHERE n = ?", n)
    digest = api.get_digest(Name="main")
    named = dict(Name="main", BlockAddress=address, DocumentId=document)
    answer = api.get_revision(**named, DigestTipAddress=digest["DigestTipAddress"])
    revision = ion.loads(answer["Revision"]["IonText"])
    assert revision["data"]["text"] == "ä" and revision["metadata"]["version"] == 0
    assert bytes(revision["hash"]) == revision_hash(revision)
    assert fold(revision_hash(revision), answer["Proof"]) == digest["Digest"]
    for path, value in [("data", {"n": 5}), ("metadata", {"version": 1})]:
        changed = ion.loads(answer["Revision"]["IonText"])
        changed[path].update(value)
        changed = ion.loads(ion.dumps(changed))
        assert fold(revision_hash(changed), answer["Proof"]) != digest["Digest"]
    proof = [bytes(sibling) for sibling in ion.loads(answer["Proof"]["IonText"])]
    for at in range(len(proof)):
        leaf = revision_hash(revision)
        for i, sibling in enumerate(proof):
            leaf = dot(leaf, sibling if i != at else bytes([sibling[0] ^ 1]) + sibling[1:])
        assert leaf != digest["Digest"]
    assert "Proof" not in api.get_revision(**named)


@case
def an_old_digest_still_proves_what_it_covered(server, api):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Old")
        run(driver, "INSERT INTO Old ?", {"n": 1})
        address, document = address_of(driver, "Old", "n", 1)
        digest = api.get_digest(Name="main")
        for n in range(2, 40):
            run(driver, "INSERT INTO Old ?", {"n": n})
        later, _ = address_of(driver, "Old", "n", 39)
    server.stop(signal.SIGKILL)
    server.start()
    tip = digest["DigestTipAddress"]
    answer = api.get_revision(Name="main", BlockAddress=address, DocumentId=document, DigestTipAddress=tip)
    assert fold(revision_hash(ion.loads(answer["Revision"]["IonText"])), answer["Proof"]) == digest["Digest"]
    error = refused(lambda: api.get_block(Name="main", BlockAddress=later, DigestTipAddress=tip), "InvalidParameterException")
    about(error, ParameterName="DigestTipAddress")


@case
def a_redacted_revision_is_still_proved_by_a_digest_from_before(server, api):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Redacted")
        run(driver, "INSERT INTO Redacted ?", {"n": 1, "secret": "canary"})
        address, document = address_of(driver, "Redacted", "n", 1)
        run(driver, "UPDATE Redacted SET secret = 'gone' WHERE n = 1")
        digest = api.get_digest(Name="main")
        table = run(driver, "SELECT VALUE tableId FROM information_schema.user_tables WHERE name = 'Redacted'")[0]
        run(driver, "EXEC REDACT_REVISION ?, ?, ?", ion.loads(address["IonText"]), table, document)
    tip = digest["DigestTipAddress"]
    for _ in range(100):
        answer = api.get_revision(Name="main", BlockAddress=address, DocumentId=document, DigestTipAddress=tip)
        revision = ion.loads(answer["Revision"]["IonText"])
        if "dataHash" in revision:
            break
        time.sleep(0.1)
    assert "data" not in revision and "canary" not in answer["Revision"]["IonText"]
    assert fold(revision_hash(revision), answer["Proof"]) == digest["Digest"]


@case
def a_deleted_document_is_proved_too(server, api):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Deleted")
        run(driver, "INSERT INTO Deleted ?", {"n": 1})
        run(driver, "DELETE FROM Deleted WHERE n = 1")
        last = max(run(driver, "SELECT * FROM history(Deleted)"), key=lambda row: row["metadata"]["version"])
    assert "data" not in last
    address = {"IonText": ion.dumps(last["blockAddress"], binary=False, omit_version_marker=True)}
    digest = api.get_digest(Name="main")
    answer = api.get_revision(
        Name="main", BlockAddress=address, DocumentId=last["metadata"]["id"], DigestTipAddress=digest["DigestTipAddress"]
    )
    assert fold(revision_hash(ion.loads(answer["Revision"]["IonText"])), answer["Proof"]) == digest["Digest"]


@case
def addresses_that_are_none_are_refused_by_name(server, api):
    tip = ion.loads(api.get_digest(Name="main")["DigestTipAddress"]["IonText"])
    good = {"IonText": f'{{strandId:"{tip["strandId"]}",sequenceNo:0}}'}
    for text in ["1", "{}", "{", f'{{strandId:"{"A" * 22}",sequenceNo:0}}', good["IonText"].replace(":0}", ":999999}")]:
        error = refused(lambda: api.get_block(Name="main", BlockAddress={"IonText": text}), "InvalidParameterException")
        about(error, ParameterName="BlockAddress")
    error = refused(
        lambda: api.get_revision(Name="main", BlockAddress=good, DocumentId="0" * 22), "InvalidParameterException"
    )
    about(error, ParameterName="DocumentId")


def stream(server, query):
    return urllib.request.urlopen(f"http://127.0.0.1:{server.http}/ledgers/main/journal-stream?{query}", timeout=60)


@case
def a_stream_over_http_has_every_block_and_every_revision_of_a_users_table(server, api):
    with server.driver() as driver:
        run(driver, "CREATE TABLE Streamed")
        run(driver, "INSERT INTO Streamed << {'n': 1, 'b': `{{aGk=}}`, 's': 'ä'}, {'n': 2} >>")
        run(driver, "DELETE FROM Streamed WHERE n = 2")
        history = run(driver, "SELECT * FROM history(Streamed)")
    tip = ion.loads(api.get_digest(Name="main")["DigestTipAddress"]["IonText"])["sequenceNo"]
    for form in ["ion", "ion-binary"]:
        body = stream(server, f"format={form}").read()
        records = list(ion.loads(body, single_value=False))
        assert {record["qldbStreamArn"] for record in records} == {"arn:aws:qldb:us-east-1:000000000000:ledger/main"}
        blocks = [record["payload"] for record in records if record["recordType"] == "BLOCK_SUMMARY"]
        assert [block["blockAddress"]["sequenceNo"] for block in blocks] == list(range(tip + 1))
        for block in blocks:
            assert merkle([bytes(summary["hash"]) for summary in block["revisionSummaries"]]) == bytes(block["entriesHashList"][0])
        details = [record["payload"] for record in records if record["recordType"] == "REVISION_DETAILS"]
        mine = [one["revision"] for one in details if one["tableInfo"]["tableName"] == "Streamed"]
        assert sorted(bytes(row["hash"]) for row in mine) == sorted(bytes(row["hash"]) for row in history)
        assert all(bytes(revision["hash"]) == revision_hash(revision) for revision in mine)
    lines = [json.loads(line) for line in stream(server, f"format=json&from={tip}").read().splitlines()]
    assert [line["recordType"] for line in lines] == ["BLOCK_SUMMARY", "REVISION_DETAILS"], lines
    assert lines[0]["payload"]["blockAddress"]["sequenceNo"] == tip


@case
def a_stream_that_follows_gets_what_is_committed_later(server, api):
    tip = ion.loads(api.get_digest(Name="main")["DigestTipAddress"]["IonText"])["sequenceNo"]
    with server.driver() as driver, stream(server, f"format=json&follow=true&from={tip + 1}") as following:
        for n in range(3):
            run(driver, "INSERT INTO Streamed ?", {"later": n})
            summary, details = json.loads(following.readline()), json.loads(following.readline())
            assert summary["payload"]["blockAddress"]["sequenceNo"] == tip + 1 + n
            assert details["payload"]["revision"]["data"] == {"later": n}


def allow(actions, *resources):
    resources = [f"arn:aws:qldb:*:*:ledger/main{resource}" for resource in resources]
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def permissions_are_those_of_the_policy(binary, folder):
    keys, policy = f"{folder}/keys-of-users", f"{folder}/policy.json"
    with open(os.open(keys, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"AKIDTEST {SECRET} chief\nCLERK {SECRET} clerk\nSTRANGER {SECRET}\n")
    statements = {
        "chief": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        "clerk": [
            allow(["qldb:SendCommand", "qldb:GetDigest"], ""),
            allow(["qldb:PartiQLSelect"], "/table/*"),
            allow(["qldb:PartiQLInsert", "qldb:PartiQLHistory*"], "/table/Vehicle"),
            allow("qldb:UpdateLedger*", ""),
            {"Effect": "Deny", "Action": "qldb:UpdateLedgerPermissionsMode", "Resource": "*"},
        ],
    }
    with open(policy, "w") as file:
        json.dump(statements, file)
    users = f"{folder}/users"
    line = subprocess.run([binary, "passwd", "chief"], input="a password\n", capture_output=True, text=True, check=True).stdout
    with open(os.open(users, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(line)
    server = Server(binary, f"{folder}/guarded", "--access-keys", keys, "--users", users, "--policy", policy)
    chief, clerk = server.driver(), server.driver(key="CLERK")
    run(chief, "CREATE TABLE Vehicle")
    run(chief, "CREATE TABLE Person")
    run(clerk, "INSERT INTO Person ?", {"n": 0})
    client(server).update_ledger_permissions_mode(Name="main", PermissionsMode="STANDARD")
    chief, clerk = server.driver(), server.driver(key="CLERK")
    run(clerk, "INSERT INTO Vehicle ?", {"n": 1})
    assert run(clerk, "SELECT * FROM Vehicle AS v, Person AS p") != []
    assert len(run(clerk, "SELECT * FROM history(Vehicle)")) == 1
    for statement in [
        "INSERT INTO Person {'n': 2}",
        "UPDATE Vehicle SET n = 2",
        "DELETE FROM Vehicle",
        "SELECT * FROM history(Person)",
        "CREATE TABLE Mine",
        "DROP TABLE Vehicle",
        "SELECT * FROM information_schema.user_tables",
    ]:
        refused(lambda: run(clerk, statement), "BadRequestException")
    run(chief, "UPDATE Vehicle SET n = 2")
    api = client(server, key="CLERK")
    assert len(api.get_digest(Name="main")["Digest"]) == 32
    refused(lambda: api.describe_ledger(Name="main"), "AccessDeniedException")
    refused(lambda: api.list_journal_s3_exports_for_ledger(Name="main"), "AccessDeniedException")
    refused(lambda: api.list_journal_s3_exports(), "AccessDeniedException")
    refused(lambda: api.create_ledger(Name="mine", PermissionsMode="ALLOW_ALL"), "AccessDeniedException")
    api.update_ledger(Name="main", DeletionProtection=True)
    refused(lambda: api.update_ledger_permissions_mode(Name="main", PermissionsMode="ALLOW_ALL"), "AccessDeniedException")
    refused(lambda: run(server.driver(key="STRANGER"), "SELECT 1 FROM Vehicle"), "AccessDeniedException")
    server.stop()


def main(binary, folder):
    server = Server(binary, f"{folder}/open")
    failed = hold(CASES, server, client(server))
    server.close()

    keys = f"{folder}/access-keys"
    with open(os.open(keys, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"AKIDTEST {SECRET} clerk\n")
    closed = Server(binary, f"{folder}/closed", "--access-keys", keys)
    api = client(closed)
    # Paths with encoded parts, and queries, are signed in ways of their own.
    arn = api.describe_ledger(Name="main")["Arn"]
    api.tag_resource(ResourceArn=arn, Tags={"a b": "c"})
    api.untag_resource(ResourceArn=arn, TagKeys=["a b", "ü"])
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}
    assert len(api.list_ledgers(MaxResults=5)["Ledgers"]) == 1
    refused(lambda: client(closed, secret=SECRET[::-1]).list_ledgers(), "InvalidSignatureException")
    refused(lambda: client(closed, key="SOMEBODY").delete_ledger(Name="main"), "UnrecognizedClientException")
    closed.stop()
    permissions_are_those_of_the_policy(binary, folder)
    print(f"{len(CASES) - failed} of {len(CASES)} cases of the control API hold, and those with access keys and with a policy")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
