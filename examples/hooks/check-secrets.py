#!/usr/bin/env python3
# Blocks (exit 2) when a changed file looks like it holds a private key or an access token.
# For: implement.completed, task.completed, with fail_mode: stop
# Settings: none
import json
import os
import re
import shutil
import subprocess
import sys

MAX_BYTES = 1024 * 1024
KINDS = {
    "private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----",
    "AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "Slack token": rb"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "Slack webhook": rb"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}",
    "Google API key": rb"\bAIza[0-9A-Za-z_-]{35}",
    "Stripe key": rb"\b[rs]k_live_[0-9A-Za-z]{20,}",
    "npm token": rb"\bnpm_[A-Za-z0-9]{36}\b",
}


def changed_files():
    def git(*arguments):
        result = subprocess.run(["git", *arguments], capture_output=True, stdin=subprocess.DEVNULL)
        return result.stdout.split(b"\0") if result.returncode == 0 else []

    if shutil.which("git") is None:
        return []
    # Relative to the project, which need not be the top of the repository. --cached works without a commit, too.
    names = git("diff", "--name-only", "--relative", "-z", "HEAD")
    names += git("diff", "--name-only", "--relative", "-z", "--cached")
    names += git("ls-files", "--others", "--exclude-standard", "-z")
    return sorted({os.fsdecode(name) for name in names if name})


def text_of(root, name):
    """What is in the file; None for one that is outside, no text, too large or not there."""
    path = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, path]) != root or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    return None if len(data) > MAX_BYTES or b"\0" in data else data


def main():
    event = json.load(sys.stdin.buffer)
    root = os.path.realpath(os.environ["HOOK_WORKSPACE"])
    os.chdir(root)
    named = [str(artifact["path"]) for artifact in event.get("artifacts") or [] if artifact.get("path")]
    read = found = 0
    for name in named or changed_files():
        shown = "".join(c if c.isprintable() else "?" for c in name)
        try:
            data = text_of(root, name)
        except (OSError, ValueError) as error:
            print(f"{shown} was not looked at: {error.__class__.__name__}")
            continue
        if data is None:
            continue
        read += 1
        for number, line in enumerate(data.split(b"\n"), 1):
            for kind in (kind for kind, pattern in KINDS.items() if re.search(pattern, line)):
                # Where and what, never the secret itself.
                print(f"{shown}:{number}: {kind}", file=sys.stderr)
                found += 1
    if found:
        sys.exit(2)
    print(f"{read} {'file' if read == 1 else 'files'} looked at, nothing found")


main()
