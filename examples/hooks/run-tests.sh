#!/bin/sh
# Runs the project's tests; the hook fails when they do.
# For: implement.completed
# Settings: TEST_COMMAND (a command line; found from the project's files when unset)
set -eu
cd "$HOOK_WORKSPACE"

run() {
    command -v "$1" >/dev/null 2>&1 || { echo "$1 is not installed" >&2; exit 77; }
    echo "running: $*"
    code=0
    "$@" </dev/null || code=$?
    # pytest says 5 when it found no tests.
    if [ "$1" = pytest ] && [ "$code" -eq 5 ]; then exit 77; fi
    # Some tools (make, pytest) fail with 2, which would mean "blocked".
    if [ "$code" -ne 0 ]; then echo "$1 failed with $code" >&2; exit 1; fi
    exit 0
}

# The user's own command line: its exit code is the hook's.
if [ -n "${TEST_COMMAND:-}" ]; then echo "running: $TEST_COMMAND"; exec sh -c "$TEST_COMMAND"; fi

if [ -f Cargo.toml ]; then run cargo test --quiet; fi
# The script that `npm init` writes always fails with "no test specified".
if [ -f package.json ] && grep -q '"test"[[:space:]]*:[[:space:]]*"' package.json &&
    ! grep -q 'no test specified' package.json; then run npm test --silent; fi
if [ -f pyproject.toml ] || [ -f pytest.ini ] || [ -f setup.cfg ]; then run pytest -q; fi
if [ -f go.mod ]; then run go test ./...; fi
if [ -f Makefile ] && grep -Eq '^test[[:space:]]*:([^=]|$)' Makefile; then run make test; fi

echo "no tests found: set TEST_COMMAND in hooks.yaml" >&2
exit 77
