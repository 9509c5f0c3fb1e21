"""A registry of vehicle titles, written the way QLDB's tutorials taught it, from the first table to the validated export:
`title_registry.py BINARY FOLDER`.

The application knows nothing of this server but its endpoint.
"""

import datetime
import os
import subprocess
import sys
import time

import amazon.ion.simpleion as ion
import boto3
from amazon.ion.simple_types import IonPyDict
from control import dot, fold, hash_of, merkle, revision_hash, verify_block
from exports import directory
from harness import SECRET, Server, refused

LEDGER = "vehicle-registration"
INDEXES = {
    "VehicleRegistration": ["VIN", "LicensePlateNumber"],
    "Vehicle": ["VIN"],
    "Person": ["GovId"],
    "DriversLicense": ["LicenseNumber", "PersonId"],
}
PEOPLE = [
    ("Raul", "Lewis", "LEWISR261LL"),
    ("Brent", "Logan", "LOGANB486CG"),
    ("Alexis", "Pena", "744 849 301"),
    ("Melvin", "Parker", "P626-168-229-765"),
    ("Salvatore", "Spencer", "S152-780-97-415-0"),
]
VEHICLES = [
    ("1N4AL11D75C109151", "LEWISR261LL", 2011, "Audi", "A5", "Silver", "LEWISR261LL"),
    ("KM8SRDHF6EU074761", "CA762X", 2015, "Tesla", "Model S", "Blue", "LOGANB486CG"),
    ("3HGGK5G53FM761765", "CD820Z", 2011, "Ducati", "Monster 1200", "Yellow", "744 849 301"),
    ("1HVBBAANXWH544237", "LS477D", 2009, "Ford", "F 150", "Black", "P626-168-229-765"),
    ("1C4RJFAG0FC625797", "TH393F", 2019, "Mercedes", "CLK 350", "White", "S152-780-97-415-0"),
]


# The application.


def create(driver):
    for table, fields in INDEXES.items():
        driver.execute_lambda(lambda txn: txn.execute_statement(f"CREATE TABLE {table}"))
        for field in fields:
            driver.execute_lambda(lambda txn: txn.execute_statement(f"CREATE INDEX ON {table} ({field})"))


def insert(txn, table, documents):
    cursor = txn.execute_statement(f"INSERT INTO {table} ?", ion.loads(ion.dumps(documents)))
    return [row["documentId"] for row in cursor]


def load(driver):
    def load_all(txn):
        people = [
            {"FirstName": first, "LastName": last, "DOB": datetime.datetime(1963, 8, 19), "GovId": gov, "GovIdType": "Driver License", "Address": "1719 University Street"}
            for first, last, gov in PEOPLE
        ]
        ids = dict(zip([gov for _, _, gov in PEOPLE], insert(txn, "Person", people)))
        insert(txn, "DriversLicense", [{"PersonId": ids[gov], "LicenseNumber": gov, "LicenseType": "Learner", "ValidFromDate": datetime.datetime(2016, 12, 20)} for gov in ids])
        insert(txn, "Vehicle", [{"VIN": vin, "Type": "Sedan", "Year": year, "Make": make, "Model": model, "Color": color} for vin, _, year, make, model, color, _ in VEHICLES])
        registrations = [
            {
                "VIN": vin,
                "LicensePlateNumber": plate,
                "State": "WA",
                "City": "Seattle",
                "PendingPenaltyTicketAmount": ion.loads("90.25"),
                "ValidFromDate": datetime.datetime(2017, 8, 21),
                "Owners": {"PrimaryOwner": {"PersonId": ids[owner]}, "SecondaryOwners": []},
            }
            for vin, plate, _, _, _, _, owner in VEHICLES
        ]
        insert(txn, "VehicleRegistration", registrations)
        return ids

    return driver.execute_lambda(load_all)


def person_id(txn, gov_id):
    (row,) = txn.execute_statement("SELECT pid FROM Person AS p BY pid WHERE p.GovId = ?", gov_id)
    return row["pid"]


def primary_owner(txn, vin):
    query = "SELECT Owners.PrimaryOwner.PersonId FROM VehicleRegistration AS v WHERE v.VIN = ?"
    (row,) = txn.execute_statement(query, vin)
    return row["PersonId"]


def transfer(driver, vin, seller, buyer):
    """The title goes from its owner to somebody else, if that is its owner."""

    def move(txn):
        if primary_owner(txn, vin) != person_id(txn, seller):
            raise ValueError(f"{seller} does not own {vin}")
        statement = "UPDATE VehicleRegistration AS r SET r.Owners.PrimaryOwner.PersonId = ? WHERE r.VIN = ?"
        return [row["documentId"] for row in txn.execute_statement(statement, person_id(txn, buyer), vin)]

    return driver.execute_lambda(move)


def add_secondary_owner(driver, vin, gov_id):
    def add(txn):
        owner = person_id(txn, gov_id)
        query = "SELECT Owners.SecondaryOwners FROM VehicleRegistration AS v WHERE v.VIN = ?"
        (row,) = txn.execute_statement(query, vin)
        if owner in [other["PersonId"] for other in row["SecondaryOwners"]]:
            return False
        statement = "FROM VehicleRegistration AS v WHERE v.VIN = ? INSERT INTO v.Owners.SecondaryOwners VALUE ?"
        list(txn.execute_statement(statement, vin, {"PersonId": owner}))
        return True

    return driver.execute_lambda(add)


def owners_before(driver, vin):
    """Every primary owner there was."""

    def ask(txn):
        (row,) = txn.execute_statement("SELECT rid FROM VehicleRegistration AS v BY rid WHERE v.VIN = ?", vin)
        query = "SELECT data.Owners.PrimaryOwner, metadata.version FROM history(VehicleRegistration) AS h WHERE h.metadata.id = ?"
        rows = sorted(txn.execute_statement(query, row["rid"]), key=lambda row: row["version"])
        return [row["PrimaryOwner"]["PersonId"] for row in rows]

    return driver.execute_lambda(ask)


def vehicles_of(driver, gov_id):
    query = (
        "SELECT Vehicle FROM Vehicle INNER JOIN VehicleRegistration AS r ON Vehicle.VIN = r.VIN "
        "WHERE r.Owners.PrimaryOwner.PersonId = ?"
    )
    return driver.execute_lambda(lambda txn: [row["Vehicle"]["Model"] for row in txn.execute_statement(query, person_id(txn, gov_id))])


def verify_registration(driver, api, vin):
    """As QLDB's GetRevision sample: each revision's hash and the proof lead to the digest."""
    query = "SELECT blockAddress, metadata.id FROM _ql_committed_VehicleRegistration WHERE data.VIN = ?"
    rows = driver.execute_lambda(lambda txn: list(txn.execute_statement(query, vin)))
    digest = api.get_digest(Name=LEDGER)
    for row in rows:
        address = {"IonText": ion.dumps(row["blockAddress"], binary=False, omit_version_marker=True)}
        answer = api.get_revision(Name=LEDGER, BlockAddress=address, DocumentId=row["id"], DigestTipAddress=digest["DigestTipAddress"])
        revision = ion.loads(answer["Revision"]["IonText"])
        document_hash = revision_hash(revision)
        assert document_hash == bytes(revision["hash"])
        assert fold(document_hash, answer["Proof"]) == digest["Digest"], "the registration is not proved"
        changed = bytes([document_hash[0] ^ 1]) + document_hash[1:]
        assert fold(changed, answer["Proof"]) != digest["Digest"]
    return len(rows)


def redact_first_registration(driver, api, vin):
    """The revision before the last, whose data somebody wants gone."""

    def redact(txn):
        (row,) = txn.execute_statement("SELECT rid FROM VehicleRegistration AS v BY rid WHERE v.VIN = ?", vin)
        query = "SELECT * FROM history(VehicleRegistration) AS h WHERE h.metadata.id = ? AND h.metadata.version = 0"
        (old,) = txn.execute_statement(query, row["rid"])
        (table,) = txn.execute_statement("SELECT tableId FROM information_schema.user_tables WHERE name = 'VehicleRegistration'")
        call = "EXEC REDACT_REVISION ?, ?, ?"
        (done,) = txn.execute_statement(call, old["blockAddress"], table["tableId"], row["rid"])
        return old, done

    old, done = driver.execute_lambda(redact)
    address = {"IonText": ion.dumps(old["blockAddress"], binary=False, omit_version_marker=True)}
    for _ in range(100):
        revision = ion.loads(api.get_revision(Name=LEDGER, BlockAddress=address, DocumentId=done["documentId"])["Revision"]["IonText"])
        if "dataHash" in revision and "data" not in revision:
            return old, revision
        time.sleep(0.1)
    raise AssertionError("the data is still there")


def validate_chain(blocks):
    """QLDB's ValidateQldbHashChain: each block's hash is that of its entries and of the block before."""
    previous = None
    for block in blocks:
        entries = merkle([bytes(entry) for entry in block["entriesHashList"]])
        assert entries == bytes(block["entriesHash"]), block["blockAddress"]
        expected = entries if previous is None else dot(entries, previous)
        assert expected == bytes(block["blockHash"]), block["blockAddress"]
        previous = bytes(block["blockHash"])
    return previous


# What it is held to.


def main(binary, folder):
    server = Server(binary, folder)
    keys = dict(aws_access_key_id="AKIDTEST", aws_secret_access_key=SECRET, region_name="us-east-1")
    api = boto3.client("qldb", endpoint_url=f"http://127.0.0.1:{server.http}", **keys)
    api.create_ledger(Name=LEDGER, PermissionsMode="ALLOW_ALL")
    while api.describe_ledger(Name=LEDGER)["State"] != "ACTIVE":
        time.sleep(0.1)
    driver = server.driver(LEDGER)
    create(driver)
    assert sorted(driver.list_tables()) == sorted(INDEXES)
    ids = load(driver)
    assert len(ids) == len(PEOPLE) and all(len(str(id)) == 22 for id in ids.values())
    print("ok     created and loaded")

    vin, raul, brent, alexis = VEHICLES[0][0], PEOPLE[0][2], PEOPLE[1][2], PEOPLE[2][2]
    assert len(transfer(driver, vin, raul, brent)) == 1
    try:
        transfer(driver, vin, raul, alexis)
        raise AssertionError("a title was sold twice")
    except ValueError:
        pass
    transfer(driver, vin, brent, alexis)
    assert owners_before(driver, vin) == [ids[raul], ids[brent], ids[alexis]]
    assert sorted(vehicles_of(driver, alexis)) == ["A5", "Monster 1200"] and vehicles_of(driver, raul) == []
    print("ok     transferred")

    assert add_secondary_owner(driver, vin, raul) and not add_secondary_owner(driver, vin, raul)
    assert add_secondary_owner(driver, vin, brent)
    unnested = "SELECT s.PersonId FROM VehicleRegistration AS r, r.Owners.SecondaryOwners AS s WHERE r.VIN = ?"
    rows = driver.execute_lambda(lambda txn: [row["PersonId"] for row in txn.execute_statement(unnested, vin)])
    assert rows == [ids[raul], ids[brent]]
    print("ok     secondary owners")

    assert verify_registration(driver, api, vin) == 1
    print("ok     verified")

    before = api.get_digest(Name=LEDGER)
    old, revision = redact_first_registration(driver, api, vin)
    assert bytes(revision["dataHash"]) == hash_of(old["data"]) and isinstance(old["data"], IonPyDict)
    address = {"IonText": ion.dumps(old["blockAddress"], binary=False, omit_version_marker=True)}
    answer = api.get_revision(Name=LEDGER, BlockAddress=address, DocumentId=revision["metadata"]["id"], DigestTipAddress=before["DigestTipAddress"])
    assert fold(revision_hash(ion.loads(answer["Revision"]["IonText"])), answer["Proof"]) == before["Digest"]
    assert verify_registration(driver, api, vin) == 1
    print("ok     redacted, and still proved by the digest from before")

    tip = ion.loads(api.get_digest(Name=LEDGER)["DigestTipAddress"]["IonText"])["sequenceNo"]
    driver.close()
    server.stop()
    out = f"{folder}/export"
    command = [binary, "export", "--data", f"{folder}/data", "--keys", f"{folder}/keys", "--ledger", LEDGER, "--format", "qldb-ion", out]
    subprocess.run(command, check=True, capture_output=True)
    blocks = directory(out).blocks()
    validate_chain(blocks)
    redacted = int(old["blockAddress"]["sequenceNo"])
    assert len(blocks) == tip + 1
    for block in blocks:
        # QLDB's scripts hash transactionInfo as it is shown, and in this block a text is not shown any more.
        if block["blockAddress"]["sequenceNo"] != redacted:
            verify_block(block)
    try:
        verify_block(blocks[redacted])
        raise AssertionError("a text that is gone was hashed")
    except AssertionError as error:
        assert str(error) == "transactionInfo", error
    print("ok     exported, the chain validated as QLDB's users did")

    shown = subprocess.run([binary, "verify", out], capture_output=True, text=True)
    assert shown.returncode == 0 and "redacted" in shown.stdout, shown
    name = next(os.path.join(at, name) for at, _, names in os.walk(out) for name in names if name.endswith(".ion"))
    text = open(name, encoding="utf-8").read()
    open(name, "w", encoding="utf-8").write(text.replace("Monster 1200", "Monster 1201"))
    shown = subprocess.run([binary, "verify", out], capture_output=True, text=True)
    assert shown.returncode == 1 and "metadata and data do not have this hash" in " ".join(shown.stdout.split()), shown
    open(name, "w", encoding="utf-8").write(text)
    print("ok     everything inside the redacted block too, verified with ours")

    moved = ["import", "qldb-export", out, "--ledger", "moved", "--data", f"{folder}/data", "--keys", f"{folder}/keys"]
    subprocess.run([binary, *moved], check=True, capture_output=True)
    server.start()
    with server.driver("moved") as driver:
        assert sorted(vehicles_of(driver, alexis)) == ["A5", "Monster 1200"]
        transfer(driver, vin, alexis, raul)
    refused(lambda: api.delete_ledger(Name=LEDGER), "ResourcePreconditionNotMetException")
    server.close()
    print("ok     moved to another ledger, where it goes on")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2])
