"""Journal exports, read back with Amazon's Ion and verified with a QLDB-style script: `exports.py BINARY FOLDER`.

The script is what QLDB's users ran over their exports: manifests name the objects, each block's hash follows from its
entriesHash and the block before, entriesHash is the root over entriesHashList, and the list holds the hashes of what is shown.
"""

import json
import os
import subprocess
import sys

import amazon.ion.simpleion as ion
from control import dot, merkle, revision_hash, verify_block
from harness import Server, hold, run

CASES = []


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
    return subprocess.run([*command, *arguments, out], capture_output=True, text=True)


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
        for wrong, word in [("--to=2999-01-01", "future"), ("--from=2999-01-01", "no time"), ("--from=x", "not a time")]:
            refusal = export(server, f"{out}-{word[:2]}", "--format", "qldb-ion", wrong)
            assert refusal.returncode == 2 and word in refusal.stderr, refusal
        assert export(server, f"{out}-p", "--from", "2026-01-01").returncode == 2
    finally:
        server.start()


def main(binary, folder):
    server = Server(binary, f"{folder}/exports")
    failed = hold(CASES, server)
    server.close()
    print(f"{len(CASES) - failed} of {len(CASES)} cases of journal exports hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
