#!/bin/sh
# Lints the project with every linter that fits; the hook fails when one finds something.
# For: task.completed
# Settings: LINT_COMMAND (a command line; found from the project's files when unset)
set -eu
cd "$HOOK_WORKSPACE"

has() { command -v "$1" >/dev/null 2>&1; }
ran=no
failed=no
lint() {
    echo "running: $*"
    ran=yes
    "$@" </dev/null || failed=yes
}

# The user's own command line: its exit code is the hook's.
if [ -n "${LINT_COMMAND:-}" ]; then echo "running: $LINT_COMMAND"; exec sh -c "$LINT_COMMAND"; fi

if [ -f Cargo.toml ] && has cargo; then
    if cargo fmt --version >/dev/null 2>&1; then lint cargo fmt --check; fi
    if cargo clippy --version >/dev/null 2>&1; then lint cargo clippy --quiet -- -D warnings; fi
fi
if { [ -f pyproject.toml ] || [ -f ruff.toml ]; } && has ruff; then lint ruff check .; fi
if [ -f package.json ] && [ -x node_modules/.bin/eslint ]; then lint node_modules/.bin/eslint .; fi

if has git && git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    if has shellcheck && git ls-files -- '*.sh' | grep -q .; then
        lint sh -c 'git ls-files -z -- "*.sh" | xargs -0 shellcheck --'
    fi
    # Trailing white space and left-over conflict marks, in any language.
    if git rev-parse --verify --quiet HEAD >/dev/null; then
        lint git diff --check HEAD
    else
        lint git diff --check --cached
    fi
fi

if [ "$ran" = no ]; then
    echo "nothing to lint with: set LINT_COMMAND in hooks.yaml" >&2
    exit 77
fi
# Always 1: git and others fail with 2, which would mean "blocked".
if [ "$failed" = yes ]; then echo "the linters found something" >&2; exit 1; fi
