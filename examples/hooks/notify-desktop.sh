#!/bin/sh
# Shows a desktop notification; prints it where there is no desktop.
# For: task.completed, deploy.completed
# Settings: none
set -eu
event=$(cat)

# Takes one string field out of the JSON; a field that is missing gives nothing.
field() {
    printf '%s' "$event" | tr -d '\n' |
        sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"\([^"\\]*\)".*/\1/p'
}

title="$HOOK_EVENT_TYPE"
body="$(field task_id) $(field feature)"

# The clean environment of a hook does not name the session bus; it is at its usual place.
bus="/run/user/$(id -u)/bus"
if [ -S "$bus" ] && command -v notify-send >/dev/null 2>&1; then
    DBUS_SESSION_BUS_ADDRESS="unix:path=$bus" exec notify-send -- "$title" "$body"
elif command -v osascript >/dev/null 2>&1; then
    # The texts are arguments, never part of the script.
    exec osascript -e 'on run argv' -e 'display notification (item 2 of argv) with title (item 1 of argv)' \
        -e 'end run' "$title" "$body"
fi
printf '%s: %s\n' "$title" "$body"
