#!/usr/bin/env python3
"""Compares our Ion Hash, Ion binary and Ion text with the Python implementation of Ion Hash.

    python3 -m venv v && v/bin/pip install 'ionhash==1.2.1' 'amazon.ion<0.10'
    cargo run -p ledgerstone-digest --example ion_hash_cases -- 8000 1 > cases.jsonl
    v/bin/python tests/clients/python/ion_hash_differential.py cases.jsonl

Each line is {"text", "binary" (Base64), "hash" (hex)}. The binary and the text are read by amazon.ion and hashed by
ionhash; both hashes must be ours. Exits 1 on a difference.

Where implementations differ, the Ion Hash specification decides. Differences met, and what is done about them:

- amazon.ion rounds the fractions of seconds to the precision of Python's decimal context, 28 digits by default (a
  timestamp has up to 38 of them here), and refuses exponents beyond the context's. It is set wide enough below.
"""
import base64
import collections
import decimal
import json
import sys

import amazon.ion.simpleion as ion
import ionhash  # noqa: F401  (adds ion_hash to Ion values)
from ionhash.hasher import hashlib_hash_function_provider

# Exponents reach 2^31, and the precision must hold the longest coefficient.
decimal.getcontext().prec = 50_000
decimal.getcontext().Emax = decimal.MAX_EMAX
decimal.getcontext().Emin = decimal.MIN_EMIN


def theirs(value):
    return value.ion_hash(hash_function_provider=hashlib_hash_function_provider("sha256")).hex()


def main(path):
    counts, examples = collections.Counter(), []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            for form in ("binary", "text"):
                source = base64.b64decode(case["binary"]) if form == "binary" else case["text"]
                error = None
                try:
                    found = theirs(ion.loads(source))
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
    return 1 if examples else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
