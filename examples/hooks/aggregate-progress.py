#!/usr/bin/env python3
# Keeps one table of what every agent is doing, on whatever machine it works.
# For: agent.*
# Settings: PROGRESS_FILE (default: progress.md in the hooks folder; progress.jsonl beside it has every report)
import fcntl
import json
import os
import sys

FIELDS = ["agent_id", "task_id", "machine", "event", "percent", "message", "time"]


def cell(value):
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text.replace("|", "\\|").strip()[:120]


def report(event):
    context = event.get("context") or {}
    return {
        "agent_id": context.get("agent_id", "unknown"),
        "task_id": context.get("task_id", "none"),
        "machine": context.get("machine", "unknown"),
        "event": event["event_type"].partition(".")[2],
        "percent": context.get("progress_percent", ""),
        "message": context.get("status_message", ""),
        "time": event["timestamp"],
    }


def main():
    event = json.load(sys.stdin)
    os.chdir(os.environ["HOOK_WORKSPACE"])
    folder = ".flowspec/hooks" if os.path.isdir(".flowspec") else ".knockon"
    table = os.environ.get("PROGRESS_FILE", os.path.join(folder, "progress.md"))
    os.makedirs(os.path.dirname(table) or ".", exist_ok=True)
    with open(os.path.splitext(table)[0] + ".jsonl", "a+", encoding="utf-8") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.write(json.dumps(report(event), ensure_ascii=False) + "\n")
        log.flush()
        log.seek(0)
        latest = {}
        for line in log:
            entry = json.loads(line)
            latest[(str(entry["agent_id"]), str(entry["task_id"]))] = entry
        rows = ["| " + " | ".join(FIELDS) + " |", "|" + " --- |" * len(FIELDS)]
        for key in sorted(latest):
            rows.append("| " + " | ".join(cell(latest[key][field]) for field in FIELDS) + " |")
        with open(table + ".new", "w", encoding="utf-8") as file:
            file.write("\n".join(rows) + "\n")
        os.replace(table + ".new", table)
    print(f"{table}: {len(latest)} in the table")


main()
