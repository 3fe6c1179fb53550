#!/usr/bin/env python3
# Notes a new or changed specification under "Unreleased" in the changelog, once each.
# For: spec.created, spec.updated
# Settings: CHANGELOG_PATH (default: CHANGELOG.md)
import fcntl
import json
import os
import sys
import tempfile

HEADING = "## Unreleased"


def one_line(text):
    return "".join(c if c.isprintable() else " " for c in str(text)).strip()


def with_entry(text, entry):
    """The changelog with `entry` as the first line under the heading, which is made when absent."""
    lines = text.splitlines() or ["# Changelog"]
    for at, line in enumerate(lines):
        if line.strip().strip("[]").replace("[", "").replace("]", "").lower() == HEADING.lower():
            rest = lines[at + 1:]
            gap = [""] if rest and rest[0].startswith("#") else []
            blank = 1 if rest and not rest[0].strip() else 0
            return "\n".join(lines[: at + 1] + [""] + [entry] + gap + rest[blank:]) + "\n"
    return "\n".join(lines[:1] + ["", HEADING, "", entry] + lines[1:]) + "\n"


def main():
    event = json.load(sys.stdin)
    feature = one_line(event.get("feature") or "a specification")
    verb = "Specified" if event["event_type"] == "spec.created" else "Revised the specification of"
    entry = f"- {verb} {feature}"
    os.chdir(os.environ["HOOK_WORKSPACE"])
    path = os.environ.get("CHANGELOG_PATH", "CHANGELOG.md")
    folder = os.path.dirname(os.path.abspath(path))
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    if entry in text.splitlines():
        print(f"{path} has it already")
        return
    mode = os.stat(path).st_mode & 0o777 if text else 0o644
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
        file.write(with_entry(text, entry))
    os.chmod(file.name, mode)
    os.replace(file.name, path)
    print(f"{path}: {entry}")


main()
