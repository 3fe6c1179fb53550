#!/bin/sh
# Keeps a log of what happened to each task, one Markdown line a change.
# For: task.status_changed, task.completed
# Settings: TASK_LOG (default: tasks.md in hook-output)
set -eu
cd "$HOOK_WORKSPACE"
event=$(cat)

# One field of the event or of its context, on one line; nothing when it is missing.
field() {
    printf '%s' "$event" | python3 -c '
import json, sys
event = json.load(sys.stdin.buffer)
value = event.get(sys.argv[1]) or (event.get("context") or {}).get(sys.argv[1]) or ""
text = "".join(c if c.isprintable() else " " for c in str(value))
sys.stdout.buffer.write(text.strip().encode())' "$1" 2>/dev/null ||
        # Without python3: the last string of that name, its escapes undone or blanked.
        printf '%s' "$event" | LC_ALL=C tr -d '[:cntrl:]' | LC_ALL=C sed -nE \
            -e 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"(([^"\\]|\\.)*)".*/\1/' -e 't found' -e 'd' -e ':found' \
            -e 's/\\u[0-9A-Fa-f]{4}/ /g' -e 's/\\[bfnrt]/ /g' -e 's/\\(.)/\1/g' -e 'p'
}

log=${TASK_LOG:-hook-output/tasks.md}
mkdir -p -- "$(dirname -- "$log")"

time=$(field timestamp)
task=$(field task_id)
from=$(field status_from)
to=$(field status_to)
feature=$(field feature)
if [ -z "$to" ] && [ "$HOOK_EVENT_TYPE" = task.completed ]; then to=Done; fi
line="- [${time:--}] ${task:-unknown}: ${from:--} → ${to:--} (${feature:--})"
# One short line in one write: appends of several hooks do not mix.
printf '%s\n' "$line" >>"$log"
echo "$log: one line more"
