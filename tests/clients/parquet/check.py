"""Verifies an export as docs/format.md describes it, from other people's libraries and this file alone.

    check.py EXPORT VKEY

Prints what was compared; any difference is an error.
"""

import base64
import collections
import datetime
import decimal
import hashlib
import io
import json
import pathlib
import struct
import sys

import amazon.ion.simpleion as ion
import duckdb
import ionhash.hasher
import pyarrow.parquet
from amazon.ion.simple_types import IonPyNull
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NONE = 2**64 - 1
GENESIS, REVISION, BLOCK = 0, 1, 2
Leaf = collections.namedtuple("Leaf", "deleted table document version block supersedes commitment")


def main():
    export, vkey = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text().strip()
    note = (export / "checkpoint").read_text()
    origin, size, root = signed_tree(note, vkey)
    entries = read_entries(export / "tile" / "entries", size)
    assert tree_root(entries) == root, "the leaves do not give the signed root"
    check_genesis(entries[0], (export / "genesis.ion").read_bytes(), origin)

    leaves = {position: revision_leaf(entry) for position, entry in enumerate(entries) if entry[0] == REVISION}
    blocks = check_blocks(entries)
    manifest = json.loads((export / "manifest.json").read_text())
    rows = opened = typed = 0
    for table in manifest["tables"]:
        found = check_table(export, table, leaves, blocks)
        rows, opened, typed = rows + found[0], opened + found[1], typed + found[2]
    assert rows == len(leaves), f"{rows} rows of {len(leaves)} revisions"
    sums = check_with_duckdb(export, manifest)
    changes = check_changes(entries, root, note, vkey)
    assert opened > 100 and typed > 100 and sums > 0, (opened, typed, sums)
    print(f"{size} leaves, {len(blocks)} blocks, {rows} rows: {opened} commitments opened, {typed} typed values equal, "
          f"{sums} sums of decimals equal in DuckDB, {changes} changes seen")


def signed_tree(note, vkey):
    """Checks the note's signature; returns origin, size and root."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key)
    assert key[0] == 1, "not Ed25519"
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id, "the key's id is not its own"
    text, signatures = note.split("\n\n")
    signed = (text + "\n").encode()
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if dash == "\u2014" and signer == name and signature[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], signed)
            origin, size, root = text.splitlines()
            return origin, int(size), base64.b64decode(root)
    raise AssertionError("no signature by the key")


def read_entries(folder, size):
    """The entry bundles of c2sp.org/tlog-tiles: 256 entries each, the last one perhaps partial."""
    entries = []
    for bundle in range((size + 255) // 256):
        width = min(256, size - bundle * 256)
        digits = f"{bundle:03}" if bundle < 1000 else f"x{bundle // 1000:03}/{bundle % 1000:03}"
        path = folder / (digits if width == 256 else f"{digits}.p/{width}")
        stream = io.BytesIO(path.read_bytes())
        for _ in range(width):
            (length,) = struct.unpack(">H", stream.read(2))
            entry = stream.read(length)
            assert len(entry) == length, "an entry is cut off"
            entries.append(entry)
        assert not stream.read(), "bytes behind the last entry of a bundle"
    return entries


def tree_root(entries):
    """RFC 9162, section 2.1.1, word by word."""
    def root(hashes):
        if len(hashes) == 1:
            return hashes[0]
        split = 1 << ((len(hashes) - 1).bit_length() - 1)
        return hashlib.sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()

    return root([hashlib.sha256(b"\x00" + entry).digest() for entry in entries])


def check_genesis(entry, record, origin):
    assert len(entry) == 74 and entry[:2] == bytes([GENESIS, 1]), "position 0 is no genesis"
    assert entry[42:] == hashlib.sha256(record).digest(), "the genesis record is another"
    assert str(ion.loads(record)["origin"]) == origin
    assert origin.rsplit("/", 1)[1] == id_text(entry[2:18])


def revision_leaf(entry):
    assert len(entry) == 90, "a revision leaf has 90 bytes"
    flags = entry[1]
    version, block, supersedes = struct.unpack(">QQQ", entry[34:58])
    assert flags in (0, 1), "a native leaf knows one flag"
    return Leaf(flags == 1, id_text(entry[2:18]), id_text(entry[18:34]), version, block,
                None if supersedes == NONE else supersedes, entry[58:])


def check_blocks(entries):
    """V1-V4 as far as leaves show them: block number → (time, transaction)."""
    blocks, pending, chains, last = {}, 0, {}, None
    for position, entry in enumerate(entries[1:], 1):
        if entry[0] == REVISION:
            leaf = revision_leaf(entry)
            assert leaf.block == len(blocks), f"position {position} names another block"
            before = chains.get((leaf.table, leaf.document))
            if before is None:
                assert (leaf.version, leaf.supersedes) == (0, None), f"position {position} begins nothing"
            else:
                at, earlier = before
                assert not earlier.deleted and (leaf.version, leaf.supersedes) == (earlier.version + 1, at)
            chains[leaf.table, leaf.document] = (position, leaf)
            pending += 1
        else:
            assert entry[0] == BLOCK and len(entry) == 94 and entry[1] == 0
            number, = struct.unpack(">Q", entry[18:26])
            time, first, count = struct.unpack(">qQI", entry[42:62])
            assert (number, first, count) == (len(blocks), position - pending, pending)
            assert last is None or time >= last
            blocks[number], pending, last = (time, id_text(entry[26:42])), 0, time
    assert pending == 0, "the size lies inside of a block"
    return blocks


def check_table(export, table, leaves, blocks):
    positions, opened, typed = [], 0, 0
    for file in table["files"]:
        assert hashlib.sha256((export / file["path"]).read_bytes()).hexdigest() == file["sha256"]
        for row in pyarrow.parquet.read_table(export / file["path"]).to_pylist():
            leaf, (time, transaction) = leaves[row["_ql_position"]], blocks[row["_ql_block"]]
            seen = (row["_ql_deleted"], table["id"], row["_ql_id"], row["_ql_version"], row["_ql_block"], row["_ql_supersedes"])
            assert seen == leaf[:6], f"the row at {row['_ql_position']} is not its leaf"
            assert row["_ql_txid"] == transaction and row["_ql_txtime"] == utc(time)
            check_commitment(row, leaf, time)
            opened += 1
            typed += check_columns(table, row)
            positions.append(row["_ql_position"])
    assert positions == sorted(p for p, leaf in leaves.items() if leaf.table == table["id"]), "rows are missing or added"
    return len(positions), opened, typed


def check_commitment(row, leaf, time):
    millis = time % 1000
    text = f'{{id:"{row["_ql_id"]}",version:{row["_ql_version"]},txTime:{utc(time):%Y-%m-%dT%H:%M:%S}.{millis:03}Z,txId:"{row["_ql_txid"]}"}}'
    metadata = ion_hash(ion.loads(text))
    if leaf.deleted:
        expected = hashlib.sha256(b"\x11" + row["_ql_blind"] + metadata).digest()
        revision = metadata
    else:
        data = row["_ql_data_hash"] or ion_hash(ion.loads(row["_ql_ion"]))
        expected = hashlib.sha256(b"\x10" + row["_ql_blind"] + metadata + data).digest()
        revision = dot(metadata, data)
    assert leaf.commitment == expected, f"the row at {row['_ql_position']} does not open its leaf"
    assert row["_ql_hash"] == revision


def check_columns(table, row):
    if row["_ql_ion"] is None:
        return 0
    data, equal = ion.loads(row["_ql_ion"]), 0
    for column in table["columns"]:
        value = data
        for step in column["path"]:
            value = value.get(step)
        shown = row[column["column"]]
        if value is None or isinstance(value, IonPyNull):
            assert shown is None, (column, shown)
        elif column["kind"] == "json":
            json.loads(shown)
        elif isinstance(shown, datetime.date) and not isinstance(shown, datetime.datetime):
            assert shown == datetime.date(value.year, value.month, value.day), (column, shown, value)
        elif isinstance(shown, decimal.Decimal):
            assert shown == decimal.Decimal(value), (column, shown, value)
        else:
            assert shown == type(shown)(value), (column, shown, value)
        equal += 1
    return equal


def check_with_duckdb(export, manifest):
    """DuckDB counts and sums what pyarrow sees."""
    sums = 0
    for table in manifest["tables"]:
        if not table["files"]:
            continue
        files = [str(export / file["path"]) for file in table["files"]]
        read = duckdb.sql(f"select * from read_parquet({files})")
        assert read.aggregate("count(*)").fetchone()[0] == table["rows"]
        rows = [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
        for name, kind in zip(read.columns, read.types):
            if str(kind).startswith("DECIMAL") and not name.startswith("_ql_"):
                exact = sum((row[name] for row in rows if row[name] is not None), decimal.Decimal(0))
                assert read.aggregate(f'sum("{name}")').fetchone()[0] == exact
                sums += 1
    return sums


def check_changes(entries, root, note, vkey):
    """A byte changed anywhere in the leaves gives another root, and in the note no signature."""
    seen = 0
    for position in range(0, len(entries), max(1, len(entries) // 40)):
        changed = list(entries)
        entry = bytearray(changed[position])
        entry[(7 * position) % len(entry)] ^= 1
        changed[position] = bytes(entry)
        assert tree_root(changed) != root
        seen += 1
    for changed in (entries[:-1], entries + entries[-1:], [entries[0], entries[2], entries[1], *entries[3:]]):
        assert tree_root(changed) != root
        seen += 1
    for at in range(0, note.index("\n\n"), 5):
        forged = note[:at] + chr(ord(note[at]) ^ 1) + note[at + 1:]
        try:
            signed_tree(forged, vkey)
        except (InvalidSignature, AssertionError, ValueError):
            seen += 1
        else:
            raise AssertionError(f"the note changed at {at} verifies")
    return seen


def ion_hash(value):
    return bytes(value.ion_hash("SHA256"))


def dot(a, b):
    """The smaller, compared as signed bytes from the last one on, first."""
    order = lambda h: [byte - 256 if byte > 127 else byte for byte in reversed(h)]
    return hashlib.sha256(a + b if order(a) < order(b) else b + a).digest()


def id_text(id_bytes):
    """16 bytes as two halves of eleven Base62 digits."""
    def half(number):
        digits = ""
        for _ in range(11):
            number, digit = divmod(number, 62)
            digits = BASE62[digit] + digits
        return digits

    high, low = struct.unpack(">QQ", id_bytes)
    return half(high) + half(low)


def utc(millis):
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(milliseconds=millis)


if __name__ == "__main__":
    main()
