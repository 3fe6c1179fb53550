#!/bin/sh
# Shows a desktop notification; prints it where there is no desktop.
# For: task.completed, deploy.completed
# Settings: DBUS_SESSION_BUS_ADDRESS (default: the user's bus at its usual place, Linux only)
set -eu
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

title=$HOOK_EVENT_TYPE
task=$(field task_id)
feature=$(field feature)
body="$task${task:+${feature:+ }}$feature"
: "${body:=$HOOK_EVENT_ID}"

# The clean environment of a hook does not name the session bus.
bus="/run/user/$(id -u)/bus"
if [ -z "${DBUS_SESSION_BUS_ADDRESS:-}" ] && [ -S "$bus" ]; then DBUS_SESSION_BUS_ADDRESS="unix:path=$bus"; fi
if [ -n "${DBUS_SESSION_BUS_ADDRESS:-}" ] && command -v notify-send >/dev/null 2>&1; then
    export DBUS_SESSION_BUS_ADDRESS
    # The text of a notification may hold markup; that of an event is none.
    markup=$(printf '%s' "$body" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g')
    if notify-send -- "$title" "$markup"; then exit 0; fi
elif command -v osascript >/dev/null 2>&1; then
    # The texts are arguments, never part of the script.
    if osascript -e 'on run argv' -e 'display notification (item 2 of argv) with title (item 1 of argv)' \
        -e 'end run' "$title" "$body"; then exit 0; fi
fi
printf '%s: %s\n' "$title" "$body"
