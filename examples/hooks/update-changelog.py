#!/usr/bin/env python3
# Notes a new or changed specification under "Unreleased" in the changelog, once each.
# For: spec.created, spec.updated
# Settings: CHANGELOG_PATH (default: CHANGELOG.md)
import fcntl
import json
import os
import re
import sys
import tempfile

HEADING = "## Unreleased"


def one_line(text):
    return "".join(c if c.isprintable() else " " for c in str(text)).strip()


def position(lines):
    """Where the first section begins, or the end."""
    return next((at for at, line in enumerate(lines) if line.startswith("## ")), len(lines))


def with_entry(text, entry):
    """The changelog with `entry` first under the heading, which is made when absent; None if it has it."""
    lines = text.rstrip("\n").split("\n") if text.strip() else ["# Changelog"]
    headings = [at for at, line in enumerate(lines) if re.match(r"## +\[?unreleased\b", line, re.I)]
    if headings:
        before, rest = lines[: headings[0] + 1], lines[headings[0] + 1:]
        # Only this section counts: after a release, the same line is news again.
        if entry in rest[: position(rest)]:
            return None
    else:
        at = position(lines)
        before, rest = "\n".join(lines[:at]).rstrip("\n").split("\n") + ["", HEADING], lines[at:]
        before = before if before[0] else before[2:]
    while rest and not rest[0].strip():
        del rest[0]
    gap = [] if not rest or rest[0][:2] in ("- ", "* ") else [""]
    return "\n".join(before + ["", entry] + gap + rest) + "\n"


def main():
    event = json.load(sys.stdin.buffer)
    feature = event.get("feature") or (event.get("context") or {}).get("feature") or "a specification"
    verb = "Specified" if event.get("event_type") == "spec.created" else "Revised the specification of"
    entry = f"- {verb} {one_line(feature)}"
    os.chdir(os.environ["HOOK_WORKSPACE"])
    path = os.path.realpath(os.environ.get("CHANGELOG_PATH") or "CHANGELOG.md")
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    # The folder is what is locked: the file itself is replaced.
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    text, mode = "", 0o644
    if os.path.exists(path):
        mode = os.stat(path).st_mode & 0o777
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    end = "\r\n" if "\r\n" in text else "\n"
    new = with_entry(text.replace("\r\n", "\n"), entry)
    if new is None:
        print(f"{name} has it already")
        return
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", errors="surrogateescape", newline=end, dir=folder, prefix=f".{name}.", delete=False
    ) as file:
        file.write(new)
    os.chmod(file.name, mode)
    os.replace(file.name, path)
    sys.stdout.reconfigure(errors="backslashreplace")
    print(f"{name}: {entry}")


main()
