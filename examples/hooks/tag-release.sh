#!/bin/sh
# Tags the commit that was deployed: deploy/<time>-<feature>, once per event, its id in the message.
# For: deploy.completed
# Settings: TAG_PREFIX (default: deploy/)
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

if ! git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    echo "no git repository with a commit here" >&2
    exit 77
fi

message="$HOOK_EVENT_TYPE $HOOK_EVENT_ID"
known=$(git for-each-ref --format='%(contents:subject) = %(refname:short)' refs/tags | grep -F -- "$message = " || :)
if [ -n "$known" ]; then
    echo "tagged before: ${known#*= }"
    exit 0
fi

# Only letters, digits and - survive: a name from an event must not become a git option or a path.
time=$(field timestamp | cut -c 1-19 | tr -cd '0-9T')
if [ "${#time}" -ne 15 ]; then time=$(date -u +%Y%m%dT%H%M%S); fi
feature=$(field feature | LC_ALL=C tr -cs 'A-Za-z0-9' '-' | cut -c 1-40 | sed -e 's/^-//' -e 's/-$//')
tag="${TAG_PREFIX:-deploy/}${time}Z-${feature:-release}"
# Another event of that second has the name.
if git rev-parse --verify --quiet "refs/tags/$tag" >/dev/null; then
    tag="$tag-$(printf '%s' "$HOOK_EVENT_ID" | tr -cd 'A-Za-z0-9' | tail -c 6)"
fi

set --
git config user.name >/dev/null 2>&1 || set -- -c user.name=knockon
git config user.email >/dev/null 2>&1 || set -- "$@" -c user.email=knockon@localhost
git "$@" tag --annotate --message "$message" -- "$tag"
echo "tagged $tag"
