#!/usr/bin/env bash
# What knockon costs beside its peers: whole processes from start to end, all with the same hooks, which do
# nothing, interleaved in one run.
#
# Needs Linux on x86_64, bash, cc, git, and a release build of knockon (scripts/build-release). Peers from PyPI
# and npm are installed into target/peers when python3 and npm are there; delete that folder for newer ones. A
# peer that is missing is a row of its own that says so.
#
# Prints a Markdown table: for 0, 1, 10 and 100 hooks the median and the least of all rounds in µs, and how
# many times that is of (a), a static program without libc that does nothing, of (b), vfork, exec and wait of
# it, and of knockon with as many hooks. Before anything is timed, each row has to prove with hooks that leave
# marks that it runs as many hooks as it says, and side by side or one after the other as it says. A row that
# cannot has no figure but the reason, and the exit code is 1.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: benches/peers.sh [--rounds N] [--knockon PATH] [--out FILE] [--no-install]

  --rounds N      how many rounds are measured, after one that warms the caches (default: 40)
  --knockon PATH  the knockon that is measured (default: the static build of
                  scripts/build-release, else target/release/knockon)
  --out FILE      writes the table to a file, too
  --no-install    installs nothing: measures what is in target/peers or on the PATH
  --help          prints this
TEXT
}

refuse() {
    echo "peers.sh: $1" >&2
    exit 2
}

say() {
    echo "peers.sh: $1" >&2
}

rounds=40 knockon='' out='' install=yes
while [ $# -gt 0 ]; do
    case $1 in
    --rounds | --knockon | --out) [ $# -gt 1 ] || refuse "$1 needs a value" ;;&
    --rounds) rounds=$2 && shift ;;
    --knockon) knockon=$(realpath -m -- "$2") && shift ;;
    --out) out=$(realpath -m -- "$2") && shift ;;
    --no-install) install=no ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && refuse "what is $1?" ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || refuse "--rounds needs a whole number above 0, not $rounds"
[ -z "$out" ] || [ -d "$(dirname "$out")" ] || refuse "there is no folder for $out"

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/peers"
target=$(realpath -- "$target") peers=$(realpath -- "$target/peers")

[ "$(uname -sm)" = "Linux x86_64" ] || refuse "the floor programs are for Linux on x86_64"
for tool in cc git; do
    command -v "$tool" >/dev/null || refuse "$tool is needed"
done
for built in "$target"/static/x86_64-unknown-linux-{musl,gnu}/release/knockon "$target/release/knockon"; do
    [ -n "$knockon" ] || ! [ -x "$built" ] || knockon=$built
done
[ -x "$knockon" ] || refuse "there is no knockon: build it with scripts/build-release, or name it with --knockon"

root=$(realpath -- "$(mktemp -d)")
trap 'rm -rf -- "$root"' EXIT
# Some peers split what they are told to run at blanks, each in a way of its own.
[[ $root =~ ^[A-Za-z0-9/._-]+$ ]] || refuse "TMPDIR has to be a path of letters, digits and /._- only"

# Nobody's own settings, and a PATH on which git is found at once: the same for all.
home=$root/home
mkdir "$home"
path=/usr/bin:/bin
case $(dirname "$(command -v git)") in
/usr/bin | /bin) ;;
*) path=$(dirname "$(command -v git)"):$path ;;
esac
clean=(env -i "HOME=$home" "PATH=$path" LANG=C)

### The programs

# Everything between two looks at the clock is vfork, exec, the process itself and wait: the folder is entered
# before, and what a process left running is waited for after, so that it disturbs no one else's figure.
cat >"$root/timer.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct subject {
    char *folder, **environment, **arguments;
    double *took;
    int code;   /* what it ended with, where that was not 0 */
    long left;  /* rounds that left a process behind */
};

static char *next_field(char **at) {
    char *field = *at;
    *at += strlen(field) + 1;
    return field;
}

/* A number of fields, and then the fields. */
static char **next_fields(char **at) {
    long count = atol(next_field(at));
    char **fields = calloc(count + 1, sizeof *fields);
    for (long i = 0; i < count; i++) fields[i] = next_field(at);
    return fields;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static double run(struct subject *subject) {
    int status = 0;
    if (chdir(subject->folder) != 0) _exit(70);
    double started = now();
    pid_t child = vfork();
    if (child == 0) {
        execve(subject->arguments[0], subject->arguments, subject->environment);
        _exit(127);
    }
    while (wait4(child, &status, 0, NULL) < 0 && errno == EINTR) {}
    double took = now() - started;
    if (status != 0) subject->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    int left = 0;
    for (int waits = 0; waits < 1000;) {
        pid_t orphan = waitpid(-1, NULL, WNOHANG);
        if (orphan < 0) break;
        left = 1;
        if (orphan == 0) waits++, usleep(1000);
    }
    subject->left += left;
    return took;
}

static int by_time(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* timer SUBJECTS ROUNDS: a line for each subject: exit code, median, least, rounds that left a process. */
int main(int count, char **arguments) {
    if (count != 3) return 2;
    int file = open(arguments[1], O_RDONLY | O_CLOEXEC);
    off_t size = lseek(file, 0, SEEK_END);
    char *text = calloc(size + 1, 1), *at = text;
    if (file < 0 || !text || pread(file, text, size, 0) != size) return 2;
    long rounds = atol(arguments[2]), subjects = 0;
    struct subject *all = NULL;
    while (at < text + size) {
        all = realloc(all, (subjects + 1) * sizeof *all);
        struct subject *new = &all[subjects++];
        *new = (struct subject){.folder = next_field(&at), .took = calloc(rounds, sizeof(double))};
        new->environment = next_fields(&at);
        new->arguments = next_fields(&at);
    }
    FILE *results = fdopen(fcntl(1, F_DUPFD_CLOEXEC, 3), "w");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int stream = 0; stream < 3; stream++) dup2(null, stream);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    /* Every round has an order of its own, so that nobody always comes after the same one. */
    long *order = calloc(subjects, sizeof *order);
    for (long i = 0; i < subjects; i++) order[i] = i;
    srandom(1);
    for (long round = -1; round < rounds; round++) {
        for (long i = subjects - 1; i > 0; i--) {
            long other = random() % (i + 1), kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        for (long i = 0; i < subjects; i++) {
            double took = run(&all[order[i]]);
            if (round >= 0) all[order[i]].took[round] = took;
        }
    }
    for (long i = 0; i < subjects; i++) {
        double *took = all[i].took;
        qsort(took, rounds, sizeof *took, by_time);
        double median = (took[(rounds - 1) / 2] + took[rounds / 2]) / 2;
        fprintf(results, "%d %.1f %.1f %ld\n", all[i].code, median, took[0], all[i].left);
    }
    return 0;
}
C
cc -O2 -o "$root/timer" "$root/timer.c"

# The hook that is timed: a static program without libc that ends at once.
cat >"$root/no-op.s" <<'ASSEMBLY'
.globl _start
_start: xor %edi, %edi
 mov $60, %eax
 syscall
ASSEMBLY
cc -nostdlib -static -s -o "$root/no-op" "$root/no-op.s"

# TURNS times: vfork and exec of argv[1] AT_ONCE times, then wait for as many.
cat >"$root/floor.S" <<'ASSEMBLY'
.globl _start
_start: mov $TURNS, %ebx
turn: mov $AT_ONCE, %ebp
start: mov $58, %eax
 syscall
 test %eax, %eax
 jz child
 dec %ebp
 jnz start
 mov $AT_ONCE, %ebp
end: mov $-1, %edi
 xor %esi, %esi
 xor %edx, %edx
 xor %r10d, %r10d
 mov $61, %eax
 syscall
 dec %ebp
 jnz end
 dec %ebx
 jnz turn
 xor %edi, %edi
 mov $60, %eax
 syscall
child: mov 16(%rsp), %rdi
 lea 16(%rsp), %rsi
 xor %edx, %edx
 mov $59, %eax
 syscall
 mov $127, %edi
 mov $60, %eax
 syscall
ASSEMBLY
for shape in 1-1 10-1 1-10 1-100; do
    cc -nostdlib -static -s "-DTURNS=${shape%-*}" "-DAT_ONCE=${shape#*-}" -o "$root/floor-$shape" "$root/floor.S"
done

# The hook that proves: leaves an x in a file. Side by side, it waits until all have left theirs; one after the
# other, it has the file to itself for a while. One that waited in vain, or was not alone, spoils the file.
cat >"$root/marker.c" <<'C'
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    int marks = open(MARKS, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (marks < 0) return 1;
    if (SIDE_BY_SIDE < 2) {
        if (flock(marks, LOCK_EX | LOCK_NB) != 0) return write(marks, "!", 1) || 1;
        usleep(5000);
        return write(marks, "x", 1) != 1;
    }
    if (write(marks, "x", 1) != 1) return 1;
    for (int waits = 0; waits < 3000; waits++, usleep(1000)) {
        struct stat file;
        if (fstat(marks, &file) == 0 && file.st_size >= SIDE_BY_SIDE) return 0;
    }
    return write(marks, "!", 1) || 1;
}
C
marks=$root/marks
for side_by_side in 1 10 100; do
    cc -O2 "-DMARKS=\"$marks\"" "-DSIDE_BY_SIDE=$side_by_side" -o "$root/marker-$side_by_side" "$root/marker.c"
done

### The peers

if [ "$install" = yes ]; then
    log=$peers/install.log
    : >"$log"
    venv=$peers/venv
    if command -v python3 >/dev/null && ! [ -x "$venv/bin/pip" ]; then
        say "making a Python environment"
        python3 -m venv "$venv" >>"$log" 2>&1 || say "no Python environment: see $log"
    fi
    for package in lefthook prek pre-commit; do
        if [ -x "$venv/bin/pip" ] && ! [ -x "$venv/bin/$package" ]; then
            say "installing $package from PyPI"
            "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" >>"$log" 2>&1 ||
                say "$package could not be installed: see $log"
        fi
    done
    if command -v npm >/dev/null && ! [ -e "$peers/npm/node_modules/husky/bin.js" ]; then
        say "installing husky from npm"
        npm install --prefix "$peers/npm" --no-audit --no-fund --loglevel=error husky >>"$log" 2>&1 ||
            say "husky could not be installed: see $log"
    fi
fi

# The first of the files that can be run, or nothing.
first_program() {
    local candidate
    for candidate in "$@"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

on_path() {
    type -P "$1" || true
}

# What a command tells as its version, without its name.
version() {
    { "${clean[@]}" "$@" 2>/dev/null || true; } | { grep -m 1 -oE '[0-9]+(\.[0-9]+)+' || echo '?'; } | head -n 1
}

xargs=$(first_program "$(on_path xargs)")
run_parts=$(first_program "$(on_path run-parts)")
# Other systems have a run-parts that is a shell script; this is about Debian's.
[[ -n $run_parts && $("$run_parts" --version 2>&1) == *Debian* ]] || run_parts=''
# pip's `lefthook` is a Python script that starts this one.
lefthook=$(first_program "$peers"/venv/lib/python3*/site-packages/lefthook/bin/lefthook-linux-x86_64/lefthook \
    "$(on_path lefthook)")
prek=$(first_program "$peers/venv/bin/prek" "$(on_path prek)")
pre_commit=$(first_program "$peers/venv/bin/pre-commit" "$(on_path pre-commit)")
husky=$peers/npm/node_modules/husky
[ -e "$husky/bin.js" ] && command -v node >/dev/null || husky=''

### The rows

kinds=("0" "1" "10, side by side" "10, one after the other" "100, side by side")
row_kind=() row_name=() row_state=()
declare -A hook_files=()

# Makes an own git repository with one commit, and tells its folder in `project`.
new_project() {
    project=$root/$1
    mkdir "$project"
    (
        cd "$project"
        "${clean[@]}" git -c init.defaultBranch=main init -q
        "${clean[@]}" git -c user.name=peers -c user.email=peers@example.com commit -q --allow-empty -m empty
    )
}

# Names a file of `project` that is the hook: the one that proves at first, the one that does nothing later.
hook_file() {
    mkdir -p "$(dirname "$1")"
    hook_files[$project]+="$1"$'\n'
}

# put_hooks PROJECT PROGRAM: makes the program the hook of the project.
put_hooks() {
    local file hash
    while read -r file; do
        [ -z "$file" ] || cp --remove-destination -- "$2" "$file"
    done <<<"${hook_files[$1]:-}"
    if [ -d "$1/.knockon" ]; then
        hash=$(cd "$1" && "${clean[@]}" "$knockon" trust --print-hash)
        (cd "$1" && "${clean[@]}" "$knockon" trust --hash "$hash" >/dev/null)
    fi
}

# prove PROJECT KIND HOOKS [VARIABLE=VALUE]... COMMAND...: looks whether the command runs the hooks it should, in
# the way it should, and says `ok` or what is wrong.
prove() {
    local project=$1 kind=$2 hooks=$3 code=0 side_by_side left
    shift 3
    side_by_side=$(at_a_time "$kind")
    rm -f "$marks"
    put_hooks "$project" "$root/marker-$side_by_side"
    (cd "$project" && timeout 60 "${clean[@]}" "$@" </dev/null >"$root/said" 2>&1) || code=$?
    put_hooks "$project" "$root/no-op"
    left=$(cat "$marks" 2>/dev/null || true)
    if [[ $left == *!* ]]; then
        echo "FAILED: the hooks did not run ${kinds[kind]#*, }"
    elif [ "$code" != 0 ]; then
        echo "FAILED: exit code $code"
    elif [ "${#left}" != "$hooks" ]; then
        echo "FAILED: ${#left} of $hooks hooks ran"
    else
        echo ok
    fi
}

# row KIND HOOKS NAME [VARIABLE=VALUE]... -- COMMAND...: the next row, of what `project` holds.
row() {
    local kind=$1 hooks=$2 name=$3 environment=("HOME=$home" "PATH=$path" "LANG=C") state
    shift 3
    while [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    shift
    state=$(prove "$project" "$kind" "$hooks" "${environment[@]}" "$@")
    if [ "$state" = ok ]; then
        printf '%s\0' "$project" "${#environment[@]}" "${environment[@]}" "$#" "$@" >>"$root/subjects"
    else
        say "$name, ${kinds[kind]}: $state"
        sed 's/^/    /' "$root/said" >&2
    fi
    row_kind+=("$kind") row_name+=("$name") row_state+=("$state")
}

# How many hooks a kind has, and how many of them run at a time.
hooks_of() {
    echo "${kinds[$1]%%,*}"
}

at_a_time() {
    case ${kinds[$1]} in *"side by side") hooks_of "$1" ;; *) echo 1 ;; esac
}

# rows_of FUNCTION KIND...: calls the function with each kind and how many hooks it has. It makes a project and
# then its row.
rows_of() {
    local function=$1 kind
    shift
    for kind in "$@"; do
        "$function" "$kind" "$(hooks_of "$kind")"
    done
}

floor() {
    new_project "floor-$1"
    hook_file "$project/no-op"
    case $1 in
    # The process itself is what does nothing.
    0) row 0 1 "static no-op without libc (a)" -- "$project/no-op" ;;
    1) row 1 1 "vfork + exec + wait of it (b)" -- "$root/floor-1-1" "$project/no-op" ;;
    3) row 3 10 "vfork + exec + wait, 10 times" -- "$root/floor-10-1" "$project/no-op" ;;
    *) row "$1" "$2" "$2 times vfork + exec, then wait" -- "$root/floor-1-$2" "$project/no-op" ;;
    esac
}

# knockon_project KIND CONFIGURED MATCHING: a project of which so many hooks wait for what `emit` tells.
knockon_project() {
    local number type
    new_project "knockon-$1-$2-$3"
    [ "$2" = 0 ] || hook_file "$project/.knockon/no-op"
    mkdir -p "$project/.knockon"
    {
        echo 'version: "1.0"'
        echo "concurrency: $(at_a_time "$1")"
        echo "hooks:$([ "$2" != 0 ] || echo ' []')"
        for ((number = 0; number < $2; number++)); do
            type=plan.created
            [ "$number" -ge "$3" ] || type=task.completed
            printf '  - {name: hook-%d, events: [{type: %s}], script: no-op}\n' "$number" "$type"
        done
    } >"$project/.knockon/hooks.yaml"
    emit=("$knockon" emit task.completed --task-id task-1 --strict)
}

knockon_hooks() {
    knockon_project "$1" "$2" "$2"
    row "$1" "$2" "knockon $knockon_version" -- "${emit[@]}"
}

knockon_none_matches() {
    knockon_project 0 10 0
    row 0 0 "knockon $knockon_version, 10 hooks, none matches" -- "${emit[@]}"
}

run_parts_hooks() {
    local number
    new_project "run-parts-$1"
    mkdir "$project/hooks"
    for ((number = 0; number < $2; number++)); do
        hook_file "$project/hooks/hook-$number"
    done
    row "$1" "$2" "run-parts $run_parts_version" -- "$run_parts" "$project/hooks"
}

# One hook is a program. Ten are a shell script: git calls one program for an event.
git_hooks() {
    new_project "git-$1"
    local name="git hook run $git_version" file=$project/.git/hooks/pre-commit
    case $2 in
    0) ;;
    1) hook_file "$file" ;;
    *)
        name+=", a shell script of 10 lines"
        hook_file "$project/no-op"
        mkdir -p "$(dirname "$file")"
        shell_lines "$2" "$project/no-op" >"$file"
        chmod +x "$file"
        ;;
    esac
    row "$1" "$2" "$name" -- "$git" hook run --ignore-missing pre-commit
}

shell_lines() {
    local number
    echo '#!/bin/sh'
    for ((number = 0; number < $1; number++)); do
        echo "$2"
    done
}

xargs_hooks() {
    new_project "xargs-$1"
    hook_file "$project/no-op"
    local side_by_side
    side_by_side=$(at_a_time "$1")
    seq "$2" >"$project/list"
    row "$1" "$2" "xargs -P$side_by_side" -- \
        "$xargs" -r -a "$project/list" -n 1 "-P$side_by_side" "$project/no-op"
}

# A name that is no git hook: for `pre-commit`, lefthook looks for unstaged changes and puts them aside.
lefthook_hooks() {
    local number parallel=false
    new_project "lefthook-$1"
    hook_file "$project/no-op"
    [ "$(at_a_time "$1")" = 1 ] || parallel=true
    {
        printf 'peers:\n  parallel: %s\n  jobs:\n' "$parallel"
        [ "$2" != 0 ] || echo "    []"
        for ((number = 0; number < $2; number++)); do
            printf '    - {name: hook-%d, run: %s}\n' "$number" "$project/no-op"
        done
    } >"$project/lefthook.yml"
    row "$1" "$2" "lefthook $lefthook_version" -- "$lefthook" run --no-auto-install peers
}

# pre_commit_config KIND HOOKS: hooks of the machine, called without files. Neither peer takes a file
# without hooks, so that none is one of another stage.
pre_commit_config() {
    local number together more=''
    hook_file "$project/no-op"
    together=$(at_a_time "$1")
    {
        printf 'repos:\n  - repo: local\n    hooks:\n'
        for ((number = 0; number < ($2 ? $2 : 1); number++)); do
            [ "$2" != 0 ] || more=', stages: [manual]'
            # prek's own key: what has the same runs side by side.
            [ "$together" = 1 ] || more=', priority: 0'
            printf '      - {id: hook-%d, name: hook-%d, language: system, entry: %s%s,' \
                "$number" "$number" "$project/no-op" "$more"
            echo ' always_run: true, pass_filenames: false}'
        done
    } >"$project/.pre-commit-config.yaml"
    (cd "$project" && "${clean[@]}" git add .pre-commit-config.yaml)
}

prek_hooks() {
    new_project "prek-$1"
    pre_commit_config "$@"
    # As many as there are cores otherwise.
    row "$1" "$2" "prek $prek_version" "PREK_CONCURRENT_HOOKS=$(at_a_time "$1")" -- "$prek" run --all-files
}

pre_commit_hooks() {
    new_project "pre-commit-$1"
    pre_commit_config "$@"
    row "$1" "$2" "pre-commit $pre_commit_version" -- "$pre_commit" run --all-files
}

husky_hooks() {
    new_project "husky-$1"
    hook_file "$project/no-op"
    (cd "$project" && HOME=$home node "$husky/bin.js") >/dev/null 2>&1 || say "husky could not set up a repository"
    [ "$2" = 0 ] || shell_lines "$2" "$project/no-op" | tail -n +2 >"$project/.husky/pre-commit"
    row "$1" "$2" "husky $husky_version" -- "$project/.husky/_/pre-commit"
}

say "looking whether everyone runs the hooks"
: >"$root/subjects"
missing=()
git=$(on_path git) git_version=$(version "$(on_path git)" version)
knockon_version=$(version "$knockon" --version)
rows_of floor 0 1 2 3 4
rows_of knockon_hooks 0 1 2 3 4
knockon_none_matches
if [ -n "$run_parts" ]; then
    run_parts_version=$(version "$run_parts" --version)
    rows_of run_parts_hooks 0 1 3
else
    missing+=("run-parts (debianutils)")
fi
if [[ $("${clean[@]}" git hook -h 2>&1) == *"git hook run"* ]]; then
    rows_of git_hooks 0 1 3
else
    missing+=("git hook run (git 2.36)")
fi
if [ -n "$xargs" ]; then
    rows_of xargs_hooks 0 1 2 3 4
else
    missing+=("xargs")
fi
if [ -n "$husky" ]; then
    husky_version=$(sed -n 's/.*"version": "\(.*\)".*/\1/p' "$husky/package.json")
    rows_of husky_hooks 0 1 3
else
    missing+=("husky (npm)")
fi
if [ -n "$prek" ]; then
    prek_version=$(version "$prek" --version)
    rows_of prek_hooks 0 1 2 3
else
    missing+=("prek (PyPI)")
fi
if [ -n "$lefthook" ]; then
    lefthook_version=$(version "$lefthook" version)
    rows_of lefthook_hooks 0 1 2 3
else
    missing+=("lefthook (PyPI)")
fi
if [ -n "$pre_commit" ]; then
    pre_commit_version=$(version "$pre_commit" --version)
    rows_of pre_commit_hooks 0 1 3
else
    missing+=("pre-commit (PyPI)")
fi

### The measurement

say "measuring, $rounds rounds"
mapfile -t results < <("$root/timer" "$root/subjects" "$rounds")

table() {
    local kind index name micros least
    printf '%s, %s cores, Linux %s. ' "$(date -u +%F)" "$(nproc)" "$(uname -r | grep -oE '^[0-9]+\.[0-9]+')"
    printf 'Medians of %s rounds, interleaved in one run.\n\n' "$rounds"
    echo "| hooks | whole process | µs | least | × (a) | × (b) | × knockon |"
    echo "|---|---|---|---|---|---|---|"
    for kind in "${!kinds[@]}"; do
        for index in "${!row_kind[@]}"; do
            [ "${row_kind[index]}" = "$kind" ] || continue
            micros=${row_micros[index]} least=${row_least[index]}
            if [ "${row_state[index]}" = ok ]; then
                awk -v kind="${kinds[kind]}" -v name="${row_name[index]}" -v micros="$micros" -v least="$least" \
                    -v a="$a" -v b="$b" -v ours="${ours[kind]:-}" 'BEGIN {
                    printf "| %s | %s | %.0f | %.0f | ", kind, name, micros, least
                    printf a ? "%.1f | " : "– | ", a ? micros / a : 0
                    printf b ? "%.1f | " : "– | ", b ? micros / b : 0
                    printf ours ? "%.2f |\n" : "– |\n", ours ? micros / ours : 0
                }'
            else
                echo "| ${kinds[kind]} | ${row_name[index]} | ${row_state[index]} | – | – | – | – |"
            fi
        done
    done
    for name in "${missing[@]}"; do
        echo "| – | $name | not installed | – | – | – | – |"
    done
    echo
    for index in "${!row_kind[@]}"; do
        [ "${row_left[index]:-0}" = 0 ] ||
            printf -- '- %s, %s: a process outlived it in %d of %d runs.\n' "${row_name[index]}" \
                "${kinds[row_kind[index]]}" "${row_left[index]}" $((rounds + 1))
    done
    echo "- Left out: hk, of which crates.io has the source, and npm and PyPI nothing; flowspec's Python runner, which"
    echo "  is not on PyPI (\`specify-cli\` there is GitHub's Spec Kit)."
}

# Gives each row that was measured its figures; `ours` is knockon's for each kind.
row_micros=() row_least=() row_left=() ours=() a='' b='' next=0 failed=no
for index in "${!row_kind[@]}"; do
    row_micros[index]='' row_least[index]=''
    if [ "${row_state[index]}" = ok ]; then
        read -r code row_micros["$index"] row_least["$index"] row_left["$index"] <<<"${results[next]:-70 - - 0}"
        next=$((next + 1))
        [ "$code" = 0 ] || row_state[index]="FAILED: exit code $code"
    fi
    if [ "${row_state[index]}" != ok ]; then
        failed=yes
        continue
    fi
    case ${row_name[index]} in
    *"(a)") a=${row_micros[index]} ;;
    *"(b)") b=${row_micros[index]} ;;
    "knockon $knockon_version") ours[row_kind[index]]=${row_micros[index]} ;;
    esac
done

if [ -n "$out" ]; then
    table | tee -- "$out"
else
    table
fi
[ "$failed" = no ]
