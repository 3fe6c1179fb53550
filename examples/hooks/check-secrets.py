#!/usr/bin/env python3
# Blocks (exit 2) when a changed file looks like it holds a private key or an access token.
# For: implement.completed, task.completed, with fail_mode: stop
# Settings: none
import json
import os
import re
import subprocess
import sys

MAX_BYTES = 1024 * 1024
KINDS = {
    "private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b",
    "Slack token": rb"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "Google API key": rb"\bAIza[0-9A-Za-z_-]{35}\b",
}


def changed_files():
    def git(*arguments):
        result = subprocess.run(["git", *arguments, "-z"], capture_output=True)
        return result.stdout.split(b"\0") if result.returncode == 0 else []

    names = git("diff", "--name-only", "HEAD") + git("ls-files", "--others", "--exclude-standard")
    return sorted({os.fsdecode(name) for name in names if name})


def findings(root, name):
    path = os.path.realpath(os.path.join(root, name))
    inside = os.path.commonpath([root, path]) == root
    if not inside or not os.path.isfile(path) or os.path.getsize(path) > MAX_BYTES:
        return
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data:
        return
    for number, line in enumerate(data.splitlines(), 1):
        for kind, pattern in KINDS.items():
            if re.search(pattern, line):
                # Where and what, never the secret itself.
                yield f"{name}:{number}: {kind}"


def main():
    event = json.load(sys.stdin)
    root = os.path.realpath(os.environ["HOOK_WORKSPACE"])
    os.chdir(root)
    names = [artifact["path"] for artifact in event.get("artifacts") or []] or changed_files()
    found = [finding for name in names for finding in findings(root, name)]
    for finding in found:
        print(finding, file=sys.stderr)
    if found:
        sys.exit(2)
    print(f"{len(names)} files looked at, nothing found")


main()
