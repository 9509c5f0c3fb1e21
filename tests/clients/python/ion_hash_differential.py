#!/usr/bin/env python3
"""Compares our Ion Hash, Ion binary and Ion text with the Python implementation of Ion Hash.

    python3 -m venv v && v/bin/pip install 'ionhash==1.2.1' 'amazon.ion<0.10'
    cargo run -p ledgerstone-digest --example ion_hash_cases -- 8000 1 > cases.jsonl
    v/bin/python tests/clients/python/ion_hash_differential.py cases.jsonl

Each line is {"text", "binary" (Base64), "hash" (hex)}. The binary and the text are read by amazon.ion and hashed by
ionhash; both hashes must be ours. Exits 1 on a difference, when fewer than 5,000 values were compared, or when one of
the kinds of value named below was not among them.

Where implementations differ, the Ion Hash specification decides. docs/compatibility.md lists the differences met; those
of this package come from Python's decimal context and are gone with the wide one set here.
"""
import base64
import collections
import decimal
import json
import math
import sys

import amazon.ion.simpleion as ion
from amazon.ion.core import IonType, TimestampPrecision
from amazon.ion.simple_types import IonPyNull
import ionhash  # noqa: F401  (adds ion_hash to Ion values)
from ionhash.hasher import hashlib_hash_function_provider

VALUES_MIN = 5_000
DEPTH_MIN = 100


def theirs(value):
    return value.ion_hash(hash_function_provider=hashlib_hash_function_provider("sha256")).hex()


# Timestamp and exponent as docs/compatibility.md lists them.
LONG_FRACTION = "2024-01-02T03:04:05.12345678901234567890123456789Z"
LONG_FRACTION_HASH = "528d67ee508a93ecfa7ea55059c148ba13bcbb2f62c78ad9998f66fbc4eafbf1"
FAR_EXPONENT = "1d2000055"


def check_listed_differences():
    """With Python's own decimal context the two listed values differ; with a wide one they do not."""
    assert theirs(ion.loads(LONG_FRACTION)) != LONG_FRACTION_HASH, "the long fraction is not rounded any more"
    try:
        theirs(ion.loads(FAR_EXPONENT))
    except decimal.InvalidOperation:
        pass
    else:
        raise AssertionError("the far exponent is not refused any more")
    # Exponents reach 2^31, and the precision must hold the longest coefficient.
    decimal.getcontext().prec = 50_000
    decimal.getcontext().Emax = decimal.MAX_EMAX
    decimal.getcontext().Emin = decimal.MIN_EMIN
    assert theirs(ion.loads(LONG_FRACTION)) == LONG_FRACTION_HASH
    theirs(ion.loads(FAR_EXPONENT))


def expected_kinds():
    names = [t.name for t in IonType]
    kinds = {f"null.{name}" for name in names} | {name for name in names if name != "NULL"} | {"annotations"}
    kinds |= {f"timestamp of precision {p.name}" for p in TimestampPrecision}
    kinds |= {"timestamp with unknown offset", "timestamp at UTC", "timestamp with offset", "fraction of a second"}
    return kinds | {"decimal with scale", "decimal minus zero", "float minus zero", "float nan", "float inf", "empty symbol"}


def kinds_of(value, depth, kinds):
    """Notes what kinds of values are in this one; says how deep it goes."""
    if value.ion_annotations:
        kinds.add("annotations")
    if isinstance(value, IonPyNull):
        kinds.add(f"null.{value.ion_type.name}")
        return depth
    kinds.add(value.ion_type.name)
    if value.ion_type == IonType.TIMESTAMP:
        kinds.add(f"timestamp of precision {value.precision.name}")
        if value.precision >= TimestampPrecision.MINUTE:
            offset = value.utcoffset()
            kinds.add("timestamp " + ("with unknown offset" if offset is None else "with offset" if offset else "at UTC"))
        if value.fractional_seconds:
            kinds.add("fraction of a second")
    elif value.ion_type == IonType.DECIMAL:
        kinds.add("decimal with scale" if value.as_tuple().exponent else "DECIMAL")
        kinds.add("decimal minus zero" if value == 0 and value.is_signed() else "DECIMAL")
    elif value.ion_type == IonType.FLOAT:
        kinds.add("float nan" if math.isnan(value) else "float inf" if math.isinf(value) else "FLOAT")
        kinds.add("float minus zero" if value == 0 and math.copysign(1, value) < 0 else "FLOAT")
    elif value.ion_type == IonType.SYMBOL and value.text == "":
        kinds.add("empty symbol")
    elif value.ion_type == IonType.STRUCT:
        return max((kinds_of(inner, depth + 1, kinds) for _, inner in value.iteritems()), default=depth)
    elif value.ion_type in (IonType.LIST, IonType.SEXP):
        return max((kinds_of(inner, depth + 1, kinds) for inner in value), default=depth)
    return depth


def main(path):
    check_listed_differences()
    counts, examples, kinds, depth, values = collections.Counter(), [], set(), 0, 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            values += 1
            for form in ("binary", "text"):
                source = base64.b64decode(case["binary"]) if form == "binary" else case["text"]
                error = None
                try:
                    value = ion.loads(source)
                    depth = max(depth, kinds_of(value, 0, kinds))
                    found = theirs(value)
                except Exception as e:  # noqa: BLE001  (whatever their reader raises is a difference)
                    found, error = None, f"{type(e).__name__}: {e}"
                if found == case["hash"]:
                    counts[f"{form}: equal"] += 1
                    continue
                counts[f"{form}: DIFFERENT"] += 1
                examples.append((form, case["text"], case["hash"], found, error))
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    for form, text, ours, found, error in examples[:20]:
        print(f"{form}: {text[:300]}\n  ours {ours}\n  theirs {found or error}")
    missing = sorted(expected_kinds() - kinds)
    print(f"{values} values of {len(kinds)} kinds, {depth} deep" + (f"; MISSING {missing}" if missing else ""))
    return 1 if examples or missing or values < VALUES_MIN or depth < DEPTH_MIN else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
