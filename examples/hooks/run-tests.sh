#!/bin/sh
# Runs the project's tests; the hook fails when they do.
# For: implement.completed
# Settings: TEST_COMMAND (a command line; found from the project's files when unset)
set -eu
cd "$HOOK_WORKSPACE"

run() {
    command -v "$1" >/dev/null 2>&1 || { echo "$1 is not installed" >&2; exit 77; }
    echo "running: $*"
    exec "$@"
}

if [ -n "${TEST_COMMAND:-}" ]; then run sh -c "$TEST_COMMAND"; fi
if [ -f Cargo.toml ]; then run cargo test --quiet; fi
if [ -f package.json ] && grep -q '"test"[[:space:]]*:' package.json; then run npm test --silent; fi
if [ -f pyproject.toml ] || [ -f pytest.ini ] || [ -f setup.cfg ]; then run pytest -q; fi
if [ -f go.mod ]; then run go test ./...; fi
if [ -f Makefile ] && grep -q '^test:' Makefile; then run make test; fi

echo "no tests found: set TEST_COMMAND in hooks.yaml" >&2
exit 77
