#!/usr/bin/env python3
# Appends every event to a CSV file.
# For: any event
# Settings: METRICS_FILE (default: events.csv in the hooks folder)
import csv
import fcntl
import json
import os
import sys


def main():
    event = json.load(sys.stdin)
    context = event.get("context") or {}
    os.chdir(os.environ["HOOK_WORKSPACE"])
    folder = ".flowspec/hooks" if os.path.isdir(".flowspec") else ".knockon"
    path = os.environ.get("METRICS_FILE", os.path.join(folder, "events.csv"))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    row = {
        "timestamp": event["timestamp"],
        "event_type": event["event_type"],
        "feature": event.get("feature", ""),
        "task_id": context.get("task_id", ""),
        "agent_id": context.get("agent_id", ""),
    }
    # A spreadsheet would run a cell that begins like a formula.
    row = {name: "'" + str(value) if str(value)[:1] in "=+-@" and value else value for name, value in row.items()}
    with open(path, "a", newline="", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = csv.DictWriter(file, row)
        if os.fstat(file.fileno()).st_size == 0:
            writer.writeheader()
        writer.writerow(row)
    print(f"recorded in {path}")


main()
