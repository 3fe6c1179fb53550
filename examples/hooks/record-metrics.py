#!/usr/bin/env python3
# Appends every event to a CSV file.
# For: any event
# Settings: METRICS_FILE (default: events.csv in hook-output)
import csv
import fcntl
import json
import os
import sys


def cell(value):
    """One line; a spreadsheet would run a cell that begins like a formula."""
    text = "".join(c if c.isprintable() else " " for c in str(value)).strip()
    return "'" + text if text.startswith(("=", "+", "-", "@")) else text


def main():
    event = json.load(sys.stdin.buffer)
    context = event.get("context") or {}
    os.chdir(os.environ["HOOK_WORKSPACE"])
    path = os.environ.get("METRICS_FILE") or os.path.join("hook-output", "events.csv")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    row = {
        "timestamp": event.get("timestamp", ""),
        "event_type": event.get("event_type", ""),
        "feature": event.get("feature") or context.get("feature", ""),
        "task_id": context.get("task_id", ""),
        "agent_id": context.get("agent_id", ""),
    }
    with open(path, "a", newline="", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if os.fstat(file.fileno()).st_size == 0:
            writer.writeheader()
        writer.writerow({name: cell(value) for name, value in row.items()})
    print(f"recorded in {path}")


main()
