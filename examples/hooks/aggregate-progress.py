#!/usr/bin/env python3
# Keeps one table of what every agent is doing, on whatever machine it works.
# For: agent.*
# Settings: PROGRESS_FILE (default: progress.md in hook-output; progress.jsonl beside it has
#           every report)
import fcntl
import json
import os
import sys

FIELDS = ["agent_id", "task_id", "machine", "event", "percent", "message", "time"]


def cell(value):
    text = "".join(c if c.isprintable() else " " for c in str(value)).strip()[:120]
    return text.replace("\\", "\\\\").replace("|", "\\|")


def report(event):
    context = event.get("context") or {}
    return {
        "agent_id": context.get("agent_id", "unknown"),
        "task_id": context.get("task_id", "none"),
        "machine": context.get("machine", "unknown"),
        "event": event.get("event_type", "").partition(".")[2],
        "percent": context.get("progress_percent", ""),
        "message": context.get("status_message", ""),
        "time": event.get("timestamp", ""),
    }


def latest(log):
    """The last report of each agent on each task; of two, the one that happened later."""
    found = {}
    for line in log:
        try:
            entry = json.loads(line)
            key = (str(entry["agent_id"]), str(entry["task_id"]))
            if key not in found or str(entry["time"]) >= str(found[key]["time"]):
                found[key] = entry
        except (ValueError, KeyError, TypeError):
            continue  # Half a line, of a hook that was killed while it wrote.
    return found


def main():
    event = json.load(sys.stdin.buffer)
    os.chdir(os.environ["HOOK_WORKSPACE"])
    table = os.environ.get("PROGRESS_FILE") or os.path.join("hook-output", "progress.md")
    history = os.path.splitext(table)[0] + ".jsonl"
    if history == table:
        sys.exit("PROGRESS_FILE must not end in .jsonl: that is the name of the list of all reports")
    os.makedirs(os.path.dirname(table) or ".", exist_ok=True)
    with open(history, "a+b") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.seek(max(log.seek(0, os.SEEK_END) - 1, 0))
        torn = log.read(1) not in (b"", b"\n")
        log.write((b"\n" if torn else b"") + json.dumps(report(event)).encode() + b"\n")
        log.flush()
        log.seek(0)
        rows = ["| " + " | ".join(FIELDS) + " |", "|" + " --- |" * len(FIELDS)]
        for _, entry in sorted(latest(log).items()):
            rows.append("| " + " | ".join(cell(entry.get(field, "")) for field in FIELDS) + " |")
        with open(table + ".new", "w", encoding="utf-8") as file:
            file.write("\n".join(rows) + "\n")
        os.replace(table + ".new", table)
    print(f"{table}: {len(rows) - 2} in the table")


main()
