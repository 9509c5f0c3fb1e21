#!/usr/bin/env python3
"""Every reason for which a server does not start, stops taking writes or does not end in order stands in
docs/operations.md, with what helps: the fixed words of each error text must be there. So must every limit."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# file: the enumerations whose errors an operator meets
REASONS = {
    "journal/src/error.rs": ["OpenError", "CreateError", "CommitError", "ClockError"],
    "journal/src/keys.rs": ["KeyError"],
    "journal/src/checkpoint/mod.rs": ["CheckpointError"],
    "server/src/cli/serve.rs": ["ServeError"],
    "server/src/config.rs": ["ConfigError"],
    "server/src/trusted_file.rs": ["FileError"],
}
# what a client's own statement is told, and no stop
NOT_STOPS = {"CommitError::Conflict", "CommitError::Refused", "CommitError::Clock"}
WORDS_MIN = 2


def errors(text, enum):
    """(variant, text) of each variant that has a text of its own."""
    body = re.search(r"pub enum %s \{(.*?)\n\}|enum %s \{(.*?)\n\}" % (enum, enum), text, re.S)
    if not body:
        sys.exit(f"stop_reasons: no enumeration {enum}")
    body = body.group(1) or body.group(2)
    for match in re.finditer(r'#\[error\(\s*"((?:[^"\\]|\\.)*)".*?\)\]\s*(?:///[^\n]*\n\s*)*(\w+)', body, re.S):
        yield match.group(2), re.sub(r"\\\s*\n\s*", "", match.group(1)).replace('\\"', '"')


def words(message):
    """The longest part of a message that has no value in it."""
    parts = [part.strip(" :;,.()") for part in re.split(r"\{[^}]*\}", message)]
    return max(parts, key=len)


def main():
    page = " ".join((ROOT / "docs/operations.md").read_text().replace("`", "").split())
    missing = []
    count = 0
    for file, enums in REASONS.items():
        text = (ROOT / file).read_text()
        for enum in enums:
            for variant, message in errors(text, enum):
                name = f"{enum}::{variant}"
                fixed = words(message).replace("`", "")
                if name in NOT_STOPS or len(fixed.split()) < WORDS_MIN:
                    continue
                count += 1
                # Five words are enough to find it by.
                wanted = " ".join(fixed.split()[:5])
                if wanted not in page:
                    missing.append(f"{file}: {name}: docs/operations.md does not say {wanted!r}")
    limits = (ROOT / "server/src/config.rs").read_text().split("\nlimits! {")[1].split("\n}")[0]
    for name in re.findall(r"^    (\w+): ", limits, re.M):
        count += 1
        if f"| {name} |" not in page:
            missing.append(f"server/src/config.rs: the limit {name} is not in docs/operations.md")
    print("\n".join(missing) or f"{count} stop reasons and limits are in docs/operations.md")
    return 1 if missing or count < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
