#!/usr/bin/env python3
# Writes a pull-request draft from the event and the commits of the branch.
# For: implement.completed
# Settings: PULL_REQUEST_FILE (default: pull-request.md in .flowspec or .knockon), BASE_BRANCH (default: main),
#           PULL_REQUEST_CREATE (1: also open the draft with GitHub's `gh`)
import json
import os
import shutil
import subprocess
import sys


def git(*arguments):
    result = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def one_line(text):
    return "".join(c if c.isprintable() else " " for c in str(text)).strip()


def commits(base):
    if shutil.which("git") is None or git("rev-parse", "--verify", "HEAD") is None:
        return []
    start = git("merge-base", "HEAD", base)
    wanted = [f"{start}..HEAD"] if start and start != git("rev-parse", "HEAD") else ["-n", "20"]
    return (git("log", "--format=%s", *wanted, "--") or "").splitlines()


def main():
    event = json.load(sys.stdin)
    context = event.get("context") or {}
    os.chdir(os.environ["HOOK_WORKSPACE"])
    title = one_line(event.get("feature") or context.get("task_id") or "Changes")
    body = [f"# {title}", ""]
    if context.get("task_id"):
        body += [f"Task: {one_line(context['task_id'])}", ""]
    subjects = commits(os.environ.get("BASE_BRANCH", "main"))
    if subjects:
        body += ["## Commits", ""] + [f"- {one_line(subject)}" for subject in subjects] + [""]
    paths = [one_line(artifact["path"]) for artifact in event.get("artifacts") or []]
    if paths:
        body += ["## Files", ""] + [f"- {path}" for path in paths] + [""]
    body += [f"Drafted from {event['event_type']} {event['event_id']}."]
    folder = ".flowspec" if os.path.isdir(".flowspec") else ".knockon"
    path = os.environ.get("PULL_REQUEST_FILE", os.path.join(folder, "pull-request.md"))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(body) + "\n")
    print(f"wrote {path}")
    if os.environ.get("PULL_REQUEST_CREATE") == "1":
        if shutil.which("gh") is None:
            sys.exit("gh is not installed; the draft is in " + path)
        create = ["gh", "pr", "create", "--draft", f"--title={title}", f"--body-file={path}"]
        sys.exit(subprocess.run(create, stdin=subprocess.DEVNULL).returncode)


main()
