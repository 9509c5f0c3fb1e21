#!/usr/bin/env python3
"""Checks what keeps the source readable: each file says what it is, and the crates depend in one direction only."""

import pathlib
import re
import subprocess
import sys

# What may never be seen in a crate (docs/architecture.md, "Direction of dependencies").
FORBIDDEN = {
    "digest": r"\b(std::(fs|net|process)|tokio|arrow|datafusion|sqlparser|ledgerstone_(journal|query))\b",
    "journal": r"\b(std::net|tokio|arrow|datafusion|sqlparser|ledgerstone_query)\b",
    "query": r"\b(std::net|pgwire|tonic|axum)\b",
}
LINES_MAX = 1600


def main():
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.rs"], capture_output=True, text=True, check=True)
    wrong = []
    for name in listing.stdout.split():
        path = pathlib.Path(name)
        if "gen" in path.parts or not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        if not text.startswith("//!"):
            wrong.append(f"{name}: the first comment must say what the file is (//! …)")
        if text.count("\n") > LINES_MAX:
            wrong.append(f"{name}: {text.count(chr(10))} lines; split it by concept")
        pattern = FORBIDDEN.get(path.parts[0])
        if pattern and path.parts[1] == "src":
            for number, line in enumerate(text.splitlines(), 1):
                if not line.lstrip().startswith("//") and re.search(pattern, line):
                    wrong.append(f"{name}:{number}: {path.parts[0]} must not use this: {line.strip()}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
