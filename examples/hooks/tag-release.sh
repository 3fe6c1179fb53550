#!/bin/sh
# Tags the commit that was deployed: deploy/<time>-<feature>, with the event's id in the message.
# For: deploy.completed
# Settings: TAG_PREFIX (default: deploy/)
set -eu
cd "$HOOK_WORKSPACE"
event=$(cat)

field() {
    printf '%s' "$event" | tr -d '\n' |
        sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"\([^"\\]*\)".*/\1/p'
}

if ! git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    echo "no git repository with a commit here" >&2
    exit 77
fi
# Only letters, digits and - survive: a name from an event must not become a git option or a path.
time=$(field timestamp | tr -cd '0-9TZ')
feature=$(field feature | tr -c 'A-Za-z0-9\n' '-' | cut -c 1-40)
tag="${TAG_PREFIX:-deploy/}${time:-unknown}-${feature:-release}"

if git rev-parse --verify --quiet "refs/tags/$tag" >/dev/null; then
    echo "$tag is there already"
    exit 0
fi
git config user.name >/dev/null 2>&1 || set -- -c user.name=knockon "$@"
git config user.email >/dev/null 2>&1 || set -- -c user.email=knockon@localhost "$@"
git "$@" tag --annotate --message "$HOOK_EVENT_TYPE $HOOK_EVENT_ID" -- "$tag"
echo "tagged $tag"
