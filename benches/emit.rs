//! What a cold `emit` costs its caller: whole processes, interleaved, medians and ratios to the floor.
//!
//! `cargo bench --bench emit` prints the table of `docs/performance.md`. The floor is measured in the
//! same run: a static program without libc that does nothing, and one that does vfork, exec and wait of
//! it. The static build is measured beside the plain one after `scripts/build-release`. Needs `cc`; Linux
//! on x86_64.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{NO_OP, assemble};

const ROUNDS: usize = 60;

/// vfork, execve of argv[1], wait4, exit.
const LAUNCHER: &str = ".globl _start
_start: mov $58, %eax
 syscall
 test %eax, %eax
 jz child
 mov %eax, %edi
 xor %esi, %esi
 xor %edx, %edx
 xor %r10d, %r10d
 mov $61, %eax
 syscall
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
";

/// A command to be timed.
struct Subject {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    times: Vec<Duration>,
}

fn main() {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("skipped: the floor programs are for Linux on x86_64");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder is needed");
    let root = folder.path().canonicalize().expect("it was made a moment ago");
    let no_op = assemble(&root, "no-op", NO_OP);
    let launcher = assemble(&root, "launcher", LAUNCHER);
    let subject = |name: &str, program: &Path, arguments: &[&str], folder: &Path| Subject {
        name: name.to_owned(),
        program: program.to_owned(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        folder: folder.to_owned(),
        times: Vec::new(),
    };
    let path = no_op.to_str().expect("the temporary folder's name is text");
    let mut subjects = vec![
        subject("static no-op without libc (a)", &no_op, &[], &root),
        subject("vfork + exec + wait of it (b)", &launcher, &[path], &root),
    ];
    for (build, knockon) in binaries() {
        for (name, config, matching) in
            [("10 hooks, none matches", 10, 0), ("1 hook", 1, 1), ("10 hooks, one after the other", 10, 10)]
        {
            let project = project(&root.join(build), &no_op, config, matching, &knockon);
            let arguments = ["emit", "task.completed", "--task-id", "task-1", "--strict"];
            subjects.push(subject(&format!("emit, {build} build, {name}"), &knockon, &arguments, &project));
        }
    }
    let home = root.join("home");
    for round in 0..=ROUNDS {
        for subject in &mut subjects {
            let took = time(subject, &home);
            // The first round warms the caches.
            if round > 0 {
                subject.times.push(took);
            }
        }
    }
    print_table(&mut subjects);
}

/// The binary of this bench, and the one of `scripts/build-release` where it was built.
fn binaries() -> Vec<(&'static str, PathBuf)> {
    let released = "target/static/x86_64-unknown-linux-gnu/release/knockon";
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join(released);
    let mut found = vec![("plain", PathBuf::from(env!("CARGO_BIN_EXE_knockon")))];
    found.extend(released.exists().then_some(("static", released)));
    found
}

/// A trusted project whose hooks run the static no-op; `matching` of them wait for the emitted type.
fn project(root: &Path, no_op: &Path, hooks: usize, matching: usize, knockon: &Path) -> PathBuf {
    let project = root.join(format!("project-{hooks}-{matching}"));
    let home = root.parent().unwrap_or(root).join("home");
    let folder = project.join(".knockon");
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    fs::copy(no_op, folder.join("no-op")).expect("it was assembled a moment ago");
    let mut config = String::from("version: \"1.0\"\nhooks:\n");
    for number in 0..hooks {
        let kind = if number < matching { "task.completed" } else { "plan.created" };
        config.push_str(&format!("  - name: hook-{number}\n    events:\n      - type: {kind}\n    script: no-op\n"));
    }
    fs::write(folder.join("hooks.yaml"), config).expect("the temporary folder can be written");
    for path in [&project, &folder, &folder.join("no-op")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(knockon);
        command.args(arguments).current_dir(&project).env_clear().env("HOME", &home);
        let output = command.output().expect("knockon was built for this bench");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let hash = run(&["trust", "--print-hash"]);
    run(&["trust", "--hash", hash.trim()]);
    project
}

fn time(subject: &Subject, home: &Path) -> Duration {
    let mut command = Command::new(&subject.program);
    command.args(&subject.arguments).current_dir(&subject.folder).env_clear().env("HOME", home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status();
    let took = started.elapsed();
    assert!(status.is_ok_and(|status| status.success()), "{}", subject.name);
    took
}

fn print_table(subjects: &mut [Subject]) {
    let median = |subject: &mut Subject| {
        subject.times.sort_unstable();
        subject.times[subject.times.len() / 2].as_secs_f64() * 1e6
    };
    let medians: Vec<f64> = subjects.iter_mut().map(median).collect();
    println!("{ROUNDS} rounds, interleaved, medians\n");
    println!("| whole process | µs | × (a) | × (b) |\n|---|---|---|---|");
    for (subject, micros) in subjects.iter().zip(&medians) {
        println!("| {} | {micros:.0} | {:.1} | {:.1} |", subject.name, micros / medians[0], micros / medians[1]);
    }
}
