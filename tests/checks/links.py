#!/usr/bin/env python3
"""Checks that every relative link and anchor in the Markdown files leads somewhere."""

import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~)")


def prose(path):
    """The lines outside code fences, numbered from 1."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line.strip()):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "", line), line


def anchors(path):
    """The anchors that a Markdown renderer makes from the headings."""
    found = set()
    for _, _, line in prose(path):
        if line.startswith("#"):
            text = line.lstrip("#").strip().lower()
            text = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            name, n = text, 1
            while name in found:
                name, n = f"{text}-{n}", n + 1
            found.add(name)
    return found


def main():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], capture_output=True, text=True, check=True)
    broken = 0
    for name in files.stdout.split():
        path = pathlib.Path(name)
        for number, line, _ in prose(path):
            for target in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                there = (path.parent / file) if file else path
                if not there.exists():
                    print(f"{name}:{number}: {target} does not exist")
                    broken += 1
                elif anchor and there.suffix == ".md" and anchor not in anchors(there):
                    print(f"{name}:{number}: {target} has no such heading")
                    broken += 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
