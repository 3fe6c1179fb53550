//! What a cold `emit` costs its caller: whole processes, interleaved, medians and ratios to the floor.
//!
//! `cargo bench --bench emit` prints the table of `docs/performance.md` and keeps it in `target/bench/emit.md`;
//! `-- 200` asks for so many rounds. The floor is measured in the same run: a static program without libc that does
//! nothing, one that does vfork, exec and wait of it, and `xargs`. The static build is measured beside the plain one
//! after `scripts/build-release`. Needs `cc` and `xargs`; Linux on x86_64.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Goal, Hooks, NO_OP, Summary, assemble, binaries};

const ROUNDS: usize = 60;
/// Of so many runs the largest peak of memory counts.
const PEAKS: usize = 5;

/// The new process of the next two: execve, without an environment.
const CHILD: &str = "child: mov %r12, %rdi
 mov %rbx, %rsi
 xor %edx, %edx
 mov $59, %eax
 syscall
 mov $127, %edi
 mov $60, %eax
 syscall
";

/// vfork, execve and wait4 of each argument, one after the other.
const IN_TURN: &str = ".globl _start
_start: lea 16(%rsp), %rbx
next: mov (%rbx), %r12
 test %r12, %r12
 jz done
 mov $58, %eax
 syscall
 test %eax, %eax
 jz child
 mov %eax, %edi
 xor %esi, %esi
 xor %edx, %edx
 xor %r10d, %r10d
 mov $61, %eax
 syscall
 add $8, %rbx
 jmp next
done: xor %edi, %edi
 mov $60, %eax
 syscall
";

/// vfork and execve of each argument, then wait4 until none is left.
const SIDE_BY_SIDE: &str = ".globl _start
_start: lea 16(%rsp), %rbx
next: mov (%rbx), %r12
 test %r12, %r12
 jz wait
 mov $58, %eax
 syscall
 test %eax, %eax
 jz child
 add $8, %rbx
 jmp next
wait: mov $-1, %rdi
 xor %esi, %esi
 xor %edx, %edx
 xor %r10d, %r10d
 mov $61, %eax
 syscall
 test %eax, %eax
 jns wait
 xor %edi, %edi
 mov $60, %eax
 syscall
";

/// vfork, execve of the arguments with this environment, wait4; writes the status and what was used. What a process
/// had at most counts from before its execve, when it shares the memory of whoever made it: of this one, nearly nothing.
/// The kernel counts in batches of 128 KiB, so that the figure may be as much too high, or 200 KiB too low.
const METER: &str = ".globl _start
_start: mov (%rsp), %rax
 lea 16(%rsp), %rbx
 lea 16(%rsp,%rax,8), %r12
 mov $58, %eax
 syscall
 test %eax, %eax
 jz child
 sub $160, %rsp
 mov %eax, %edi
 mov %rsp, %rsi
 xor %edx, %edx
 lea 16(%rsp), %r10
 mov $61, %eax
 syscall
 mov $1, %edi
 mov %rsp, %rsi
 mov $160, %edx
 mov $1, %eax
 syscall
 xor %edi, %edi
 mov $60, %eax
 syscall
child: mov $2, %edi
 mov $1, %esi
 mov $33, %eax
 syscall
 mov (%rbx), %rdi
 mov %rbx, %rsi
 mov %r12, %rdx
 mov $59, %eax
 syscall
 mov $127, %edi
 mov $60, %eax
 syscall
";

/// A command to be timed.
struct Subject {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// What it reads from standard input.
    input: Option<PathBuf>,
    times: Vec<Duration>,
}

/// What was found out about one.
struct Figures {
    name: String,
    micros: f64,
    peak_kib: u64,
}

impl Subject {
    fn new(name: &str, program: &Path, arguments: &[&str], folder: &Path) -> Self {
        Subject {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            folder: folder.to_owned(),
            input: None,
            times: Vec::new(),
        }
    }

    fn command(&self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env_clear().env("HOME", home);
        let opened = self.input.as_ref().map(|path| File::open(path).expect("it was written a moment ago"));
        command.stdin(opened.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn time(&self, home: &Path) -> Duration {
        let mut command = self.command(&self.program, home);
        command.args(&self.arguments);
        let started = Instant::now();
        let status = command.status();
        let took = started.elapsed();
        assert!(status.is_ok_and(|status| status.success()), "{}", self.name);
        took
    }

    /// The most memory that it, or one of its children, had at a time.
    fn peak_kib(&self, meter: &Path, home: &Path) -> u64 {
        let mut command = self.command(meter, home);
        let output = command.arg(&self.program).args(&self.arguments).stdout(Stdio::piped()).output();
        let used = output.expect("it was assembled a moment ago").stdout;
        // The status, then `struct rusage`: two times of 16 bytes, then `ru_maxrss` (getrusage(2)).
        let number = |at: usize| u64::from_le_bytes(used[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!(number(0) as u32, 0, "{}", self.name);
        number(16 + 32)
    }

    fn result(&mut self, meter: &Path, home: &Path) -> Figures {
        self.times.sort_unstable();
        let micros = self.times[self.times.len() / 2].as_secs_f64() * 1e6;
        let peak_kib = (0..PEAKS).map(|_| self.peak_kib(meter, home)).max().unwrap_or_default();
        Figures { name: std::mem::take(&mut self.name), micros, peak_kib }
    }
}

fn main() {
    if !support::is_asked() {
        return;
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("skipped: the floor programs are for Linux on x86_64");
        return;
    }
    let rounds = support::number_given(ROUNDS);
    let how = format!("rounds: {rounds}, interleaved, medians; peak: the largest of {PEAKS} runs");
    let summary = Summary::new("emit", &how);
    let folder = tempfile::tempdir().expect("a temporary folder is needed");
    let root = folder.path().canonicalize().expect("it was made a moment ago");
    let home = root.join("home");
    let no_op = assemble(&root, "no-op", NO_OP);
    let meter = assemble(&root, "meter", METER);
    let mut subjects = floor(&root, &no_op);
    for (build, knockon) in binaries() {
        subjects.extend(emits(&root, build, &knockon, &no_op));
    }
    for round in 0..=rounds {
        for subject in &mut subjects {
            let took = subject.time(&home);
            // The first round warms the caches.
            if round > 0 {
                subject.times.push(took);
            }
        }
    }
    let results: Vec<Figures> = subjects.iter_mut().map(|subject| subject.result(&meter, &home)).collect();
    summarize(&results, summary);
}

const NOTHING: &str = "static no-op without libc (a)";
const ONE: &str = "vfork + exec + wait of it (b)";
const XARGS: &str = "xargs -P100, 100 of it";

/// What it costs at least, and with the usual tool.
fn floor(root: &Path, no_op: &Path) -> Vec<Subject> {
    let in_turn = assemble(root, "in-turn", &[IN_TURN, CHILD].concat());
    let side_by_side = assemble(root, "side-by-side", &[SIDE_BY_SIDE, CHILD].concat());
    let path = no_op.to_str().expect("the temporary folder's name is text");
    let lines = root.join("lines");
    fs::write(&lines, (0..100).map(|number| format!("{number}\n")).collect::<String>()).expect("it can be written");
    let xargs = Subject::new(XARGS, &in_path("xargs"), &["-P100", "-n1", path], root);
    vec![
        Subject::new(NOTHING, no_op, &[], root),
        Subject::new(ONE, &in_turn, &[path], root),
        Subject::new("10 × (b) in one process", &in_turn, &[path; 10], root),
        Subject::new("the same, side by side", &side_by_side, &[path; 10], root),
        Subject::new("100 × (b) in one process, side by side", &side_by_side, &[path; 100], root),
        Subject { input: Some(lines), ..xargs },
        Subject::new("`true`, for its memory", &in_path("true"), &[], root),
    ]
}

fn in_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists());
    found.unwrap_or_else(|| panic!("`{name}` is needed"))
}

fn emits(root: &Path, build: &str, knockon: &Path, no_op: &Path) -> Vec<Subject> {
    let side_by_side = |count| Hooks { side_by_side: Some(count), ..Hooks::running(count) };
    let cases = [
        ("no hooks.yaml", Hooks::default()),
        ("10 hooks, none matches", Hooks::idle(10)),
        ("1,000 hooks, none matches", Hooks::idle(1000)),
        ("1 hook", Hooks::running(1)),
        ("10 hooks, one after the other", Hooks::running(10)),
        ("10 hooks, side by side", side_by_side(10)),
        ("100 hooks, one after the other", Hooks::running(100)),
        ("100 hooks, side by side", side_by_side(100)),
    ];
    let subject = |(number, (name, hooks)): (usize, (&str, Hooks))| {
        let project = root.join(format!("{build}-{number}"));
        hooks.make_project(&project, no_op);
        if hooks.count > 0 {
            trust(&project, knockon, &root.join("home"));
        }
        let arguments = ["emit", "task.completed", "--task-id", "task-1", "--strict"];
        Subject::new(&emit(build, name), knockon, &arguments, &project)
    };
    cases.into_iter().enumerate().map(subject).collect()
}

fn emit(build: &str, case: &str) -> String {
    format!("emit, {build} build, {case}")
}

fn trust(project: &Path, knockon: &Path, home: &Path) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(knockon);
        command.args(arguments).current_dir(project).env_clear().env("HOME", home);
        let output = command.output().expect("knockon was built for this bench");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let hash = run(&["trust", "--print-hash"]);
    run(&["trust", "--hash", hash.trim()]);
}

fn summarize(results: &[Figures], mut summary: Summary) {
    let micros = |name: &str| results.iter().find(|result| result.name == name).map(|result| result.micros);
    let (a, b) = (micros(NOTHING).unwrap_or(f64::NAN), micros(ONE).unwrap_or(f64::NAN));
    summary.table(&["whole process", "µs", "× (a)", "× (b)", "peak KiB"]);
    for Figures { name, micros, peak_kib } in results {
        let cells = [format!("{micros:.0}"), format!("{:.1}", micros / a), format!("{:.1}", micros / b)];
        summary.row(&[name, &cells[0], &cells[1], &cells[2], peak_kib]);
    }
    summary.goals(&goals(results));
    summary.line(match binaries().len() {
        1 => "\nThe goals of the static build are left out: scripts/build-release makes one.",
        _ => "\nOf the static build where no other is named.",
    });
    summary.keep();
}

/// The goals as far as they were measured.
fn goals(results: &[Figures]) -> Vec<Goal> {
    let find = |name: &str| results.iter().find(|result| result.name == name).map(|result| result.micros);
    let emit_of = |build: &str, case: &str| find(&emit(build, case));
    let of = |case: &str| emit_of("static", case);
    let peak = |build: &str| {
        let start = emit(build, "");
        let peaks = results.iter().filter(|result| result.name.starts_with(&start)).map(|result| result.peak_kib);
        Some(peaks.max()? as f64 / 1024.0)
    };
    let idle = of("10 hooks, none matches");
    let goal = |wanted: &str, measured: Option<f64>, limit: f64, unit: &str| {
        Some(Goal::at_most(wanted, measured?, limit, unit))
    };
    let ms = |micros: Option<f64>| Some(micros? / 1e3);
    let ratio = |one: Option<f64>, other: &str| Some(one? / find(other)?);
    let more = of("1,000 hooks, none matches").zip(idle).map(|(many, few)| many - few);
    [
        goal("none matches: ≤ 3 × (a)", ratio(idle, NOTHING), 3.0, "× (a)"),
        goal("none matches: < 0.4 ms", ms(idle), 0.4, "ms"),
        goal("1 hook: < 0.7 ms", ms(of("1 hook")), 0.7, "ms"),
        goal("1,000 hooks, none matches: ≤ 0.1 ms more than 10", ms(more), 0.1, "ms"),
        goal("10 hooks side by side: < 1.5 ms", ms(of("10 hooks, side by side")), 1.5, "ms"),
        goal("100 hooks side by side: ≤ 0.6 × `xargs -P100`", ratio(of("100 hooks, side by side"), XARGS), 0.6, "×"),
        goal("peak memory: ≤ 5 MiB", peak("static"), 5.0, "MiB"),
        goal("peak memory, plain build: ≤ 5 MiB", peak("plain"), 5.0, "MiB"),
        goal("1 hook, plain build: ≤ 2 ms", ms(emit_of("plain", "1 hook")), 2.0, "ms"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
