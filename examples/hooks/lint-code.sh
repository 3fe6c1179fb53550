#!/bin/sh
# Lints the project; the hook fails when the linter finds something.
# For: task.completed
# Settings: LINT_COMMAND (a command line; found from the project's files when unset)
set -eu
cd "$HOOK_WORKSPACE"

has() { command -v "$1" >/dev/null 2>&1; }
done_something=no
lint() {
    echo "running: $*"
    done_something=yes
    "$@"
}

if [ -n "${LINT_COMMAND:-}" ]; then lint sh -c "$LINT_COMMAND"; exit 0; fi
if [ -f Cargo.toml ] && has cargo; then lint cargo fmt --check; fi
if { [ -f pyproject.toml ] || [ -f ruff.toml ]; } && has ruff; then lint ruff check .; fi
if [ -x node_modules/.bin/eslint ]; then lint node_modules/.bin/eslint .; fi
# Trailing white space and left-over conflict marks, in any language.
if has git && git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then lint git diff --check HEAD; fi

if [ "$done_something" = no ]; then
    echo "nothing to lint with: set LINT_COMMAND in hooks.yaml" >&2
    exit 77
fi
