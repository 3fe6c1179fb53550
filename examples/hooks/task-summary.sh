#!/bin/sh
# Keeps a log of what happened to each task, one Markdown line a change.
# For: task.status_changed, task.completed
# Settings: TASK_LOG (default: tasks.md in the hooks folder)
set -eu
cd "$HOOK_WORKSPACE"
event=$(cat)

field() {
    printf '%s' "$event" | tr -d '\n' |
        sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"\([^"\\]*\)".*/\1/p'
}

folder=.knockon
if [ -d .flowspec ]; then folder=.flowspec/hooks; fi
mkdir -p "$folder"
from=$(field status_from)
to=$(field status_to)
# One short line in one write: appends of several hooks do not mix.
printf -- '- %s %s: %s → %s (%s)\n' "$(field timestamp)" "$(field task_id)" "${from:--}" "${to:-Done}" \
    "$(field feature)" >>"${TASK_LOG:-$folder/tasks.md}"
