#!/usr/bin/env python3
# Writes a pull-request draft from the event and the commits of the branch.
# For: implement.completed
# Settings: PULL_REQUEST_FILE (default: pull-request.md in hook-output), BASE_BRANCH (default: main),
#           PULL_REQUEST_CREATE (1: also open the draft with GitHub's `gh`)
import json
import os
import shutil
import subprocess
import sys
import tempfile


def git(*arguments):
    result = subprocess.run(["git", *arguments], capture_output=True, stdin=subprocess.DEVNULL)
    return result.stdout.decode("utf-8", "replace").strip() if result.returncode == 0 else None


def one_line(text):
    return "".join(c if c.isprintable() else " " for c in str(text)).strip()


def commits(base):
    """The subjects since the branch left `base`; the last 20 when that is unknown or there are none."""
    head = git("rev-parse", "--verify", "--quiet", "HEAD") if shutil.which("git") else None
    if head is None:
        return []
    start = git("merge-base", "--", "HEAD", base) or git("merge-base", "--", "HEAD", f"origin/{base}")
    wanted = [f"{start}..HEAD"] if start and start != head else ["-n", "20"]
    return (git("log", "--format=%s", *wanted, "--") or "").split("\n")


def replace(path, text):
    """All of the new file or all of the old one, whatever runs at the same time."""
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=f".{name}.", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main():
    event = json.load(sys.stdin.buffer)
    context = event.get("context") or {}
    os.chdir(os.environ["HOOK_WORKSPACE"])
    title = one_line(event.get("feature") or context.get("feature") or context.get("task_id") or "") or "Changes"
    body = [f"# {title}", ""]
    if context.get("task_id"):
        body += [f"Task: {one_line(context['task_id'])}", ""]
    subjects = [one_line(subject) for subject in commits(os.environ.get("BASE_BRANCH") or "main")]
    if any(subjects):
        body += ["## Commits", ""] + [f"- {subject}" for subject in subjects] + [""]
    paths = [one_line(artifact["path"]) for artifact in event.get("artifacts") or [] if artifact.get("path")]
    if paths:
        body += ["## Files", ""] + [f"- {path}" for path in paths] + [""]
    body += [f"Drafted from {event.get('event_type')} {event.get('event_id')}."]
    path = os.environ.get("PULL_REQUEST_FILE") or os.path.join("hook-output", "pull-request.md")
    replace(path, "\n".join(body) + "\n")
    print(f"wrote {path}", flush=True)
    if os.environ.get("PULL_REQUEST_CREATE") == "1":
        if shutil.which("gh") is None:
            sys.exit(f"gh is not installed; the draft is in {path}")
        create = ["gh", "pr", "create", "--draft", f"--title={title}", f"--body-file={path}"]
        code = subprocess.run(create, stdin=subprocess.DEVNULL).returncode
        # Not its own code: 2 would mean "blocked".
        sys.exit(f"gh failed with {code}; the draft is in {path}" if code else 0)


main()
