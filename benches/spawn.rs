//! What it costs to run hooks, in process: one no-op with the whole protocol against the bare system calls and
//! against the usual ways, and many side by side against `xargs -P`.
//!
//! `cargo bench --bench spawn` prints the tables of `docs/performance.md`. Everything is measured in one run,
//! interleaved, as medians. Needs `cc` and `xargs`; Linux on x86_64.

mod support;

use knockon::config::{self, Limits};
use knockon::delivery::Delivery;
use knockon::event::Versions;
use knockon::runner::{CallerEnvironment, Runner, Sandboxes, Scratch, Secrets, Surroundings};
use knockon::sys::{Platform, platform};
use knockon::{EventDraft, Project, UserFolders};
use std::ffi::{CString, c_int, c_void};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{NO_OP, assemble};
use wait_timeout::ChildExt;

fn main() {
    if !support::is_asked() {
        return;
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("skipped: the floor program is for Linux on x86_64");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder is needed");
    let root = folder.path().canonicalize().expect("it was made a moment ago");
    let no_op = assemble(&root, "no-op", NO_OP);
    one(&root, &no_op);
    many(&root, &no_op);
}

/// Something to be timed, with its name.
type Subject<'a> = (String, Box<dyn Fn() + 'a>);

/// A project with `hooks` hooks that run `program`, its configuration, and an event.
struct Setting {
    project: Project,
    loaded: config::Loaded,
    event: knockon::Event,
    caller: CallerEnvironment,
    platform: Box<dyn Platform>,
    scratch: Scratch,
    sandboxes: Sandboxes,
    limits: Limits,
    secrets: Secrets,
}

impl Setting {
    fn new(root: &Path, program: &Path, hooks: usize, sandbox: &str) -> Self {
        let level = sandbox.split(',').next().unwrap_or_default().trim_start_matches("{level: ");
        let folder = root.join(format!("project-{hooks}-{level}"));
        fs::create_dir_all(folder.join(".knockon")).expect("the temporary folder can be written");
        let mut text = String::from("version: \"1.1\"\nhooks:\n");
        for number in 0..hooks {
            text.push_str(&format!(
                "  - {{name: h{number}, events: [{{type: '*'}}], sandbox: {sandbox}, command: [{}]}}\n",
                program.display()
            ));
        }
        fs::write(folder.join(".knockon/hooks.yaml"), text).expect("the temporary folder can be written");
        fs::set_permissions(folder.join(".knockon/hooks.yaml"), fs::Permissions::from_mode(0o644)).expect("ours");
        let project = Project::at(&folder).expect("it was made a moment ago");
        let loaded = config::load(&project, &UserFolders::default(), None);
        assert_eq!(loaded.hooks.len(), hooks, "{:?}", loaded.problems);
        let now = knockon::time::Timestamp::now();
        let draft = EventDraft::new("task.completed".parse().expect("a type")).context("task_id", "task-123");
        let id = knockon::EventId::generate(now);
        let event = draft.stamp_as(id, now, &project.root_text(), Versions::PUBLISHED).expect("a sound draft");
        let (caller, platform, scratch) = (CallerEnvironment::of_this_process(), platform(), Scratch::default());
        Setting {
            project,
            loaded,
            event,
            caller,
            platform,
            scratch,
            sandboxes: Sandboxes::default(),
            limits: Limits::default(),
            secrets: Secrets::of(None),
        }
    }

    /// Runs the first `count` hooks, at most `limit` at a time.
    fn run(&self, count: usize, limit: usize) {
        let Setting { project, caller, scratch, sandboxes, limits, secrets, .. } = self;
        let platform = &*self.platform;
        let surroundings =
            Surroundings { project, here: project, caller, platform, scratch, sandboxes, limits, secrets };
        let mut runner = Runner::new(surroundings, None, None);
        let (mut started, mut ended) = (0, 0);
        while ended < count {
            while started < count && started - ended < limit {
                let hook = &self.loaded.hooks[started];
                let file = self.loaded.file_of(hook);
                let event = &self.event;
                let delivery = Delivery { event, hook: &hook.hook, file, attempt: 1, occasion: Default::default() };
                runner.start(started, delivery, None);
                started += 1;
            }
            let (_, outcome) = runner.wait_any(None).expect("some run");
            assert_eq!(outcome.exit_code, Some(0), "{outcome:?}");
            ended += 1;
        }
    }
}

/// vfork, execve, wait4 and nothing else.
fn vfork_exec_wait(program: &CString) {
    extern "C" fn execute(program: *mut c_void) -> c_int {
        let arguments = [program.cast::<libc::c_char>().cast_const(), std::ptr::null()];
        let environment = [std::ptr::null()];
        // SAFETY: a path and two lists that end with a null.
        unsafe {
            libc::execve(arguments[0], arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127)
        }
    }
    let mut stack = vec![0_u8; 16 * 1024];
    let mut status = 0;
    // SAFETY: a stack of its own, and CLONE_VFORK keeps us still until the program runs.
    unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).map_addr(|address| address & !15);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let pid = libc::clone(execute, top.cast(), flags, program.as_ptr().cast_mut().cast());
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
    }
    assert_eq!(status, 0);
}

/// What most programs do: std, two reader threads, wait-timeout; no tree, no session.
fn std_and_wait_timeout(program: &Path, event: &[u8]) {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let read = |mut stream: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let streams =
        [read(Box::new(child.stdout.take().expect("piped"))), read(Box::new(child.stderr.take().expect("piped")))];
    // A program that reads nothing may be gone by now.
    let _ = child.stdin.take().expect("piped").write_all(event);
    assert!(child.wait_timeout(Duration::from_secs(30)).expect("it can be waited for").is_some());
    streams.into_iter().for_each(|stream| drop(stream.join()));
}

fn one(root: &Path, no_op: &Path) {
    let setting = Setting::new(root, no_op, 1, "base");
    let guarded = Setting::new(root, no_op, 1, "guard");
    // The program lies beside the project: it has to be shown.
    let strict = Setting::new(root, no_op, 1, &format!("{{level: strict, read: [{}]}}", no_op.display()));
    let program = CString::new(no_op.to_str().expect("text")).expect("no NUL");
    let mut subjects: Vec<Subject<'_>> = vec![
        ("vfork + exec + wait (a)".into(), Box::new(|| vfork_exec_wait(&program))),
        ("std::process::Command, no pipes".into(), Box::new(|| drop(Command::new(no_op).status()))),
        ("std + wait-timeout + reader threads".into(), Box::new(|| std_and_wait_timeout(no_op, setting.event.bytes()))),
        ("knockon, the whole protocol, supervised".into(), Box::new(|| setting.run(1, 1))),
        ("the same, sandbox: guard".into(), Box::new(|| guarded.run(1, 1))),
        ("the same, sandbox: strict".into(), Box::new(|| strict.run(1, 1))),
    ];
    let medians = interleaved(&mut subjects, 400);
    println!("One no-op hook, in process, 400 rounds, interleaved, medians\n\n| | µs | × (a) |\n|---|---|---|");
    for ((name, _), median) in subjects.iter().zip(&medians) {
        println!("| {name} | {:.0} | {:.2} |", median * 1e6, median / medians[0]);
    }
}

fn many(root: &Path, no_op: &Path) {
    println!("\nSide by side, 15 rounds, interleaved, medians\n\n| | ms | × xargs |\n|---|---|---|");
    for count in [100, 1000] {
        let setting = Setting::new(root, no_op, count, "base");
        let outputs = root.join("outputs");
        fs::create_dir_all(&outputs).expect("the temporary folder can be written");
        let event = root.join("event.json");
        fs::write(&event, setting.event.bytes()).expect("the temporary folder can be written");
        // The event on standard input and both streams kept, as with us, takes a shell.
        let line = format!(
            "{} < {} > {}/$1.out 2> {}/$1.err",
            no_op.display(),
            event.display(),
            outputs.display(),
            outputs.display()
        );
        let numbers: String = (0..count).map(|number| format!("{number}\n")).collect();
        let xargs = |arguments: &[&str]| {
            let mut command = Command::new("xargs");
            command.args(["-P", &count.to_string()]).args(arguments);
            let mut child = command.stdin(Stdio::piped()).spawn().expect("xargs is there");
            child.stdin.take().expect("piped").write_all(numbers.as_bytes()).expect("it reads");
            assert!(child.wait().expect("it ends").success());
        };
        let bare = no_op.to_str().expect("text");
        let mut subjects: Vec<Subject<'_>> = vec![
            (
                format!("xargs -P {count}, stdin and capture by sh"),
                Box::new(|| xargs(&["-n", "1", "sh", "-c", &line, "sh"])),
            ),
            (format!("xargs -P {count}, bare, nothing captured"), Box::new(|| xargs(&["-n", "1", bare]))),
            (format!("knockon, {count} hooks, 2 at a time"), Box::new(|| setting.run(count, 2))),
            (format!("knockon, {count} hooks, all at a time"), Box::new(|| setting.run(count, count))),
        ];
        let medians = interleaved(&mut subjects, 15);
        for ((name, _), median) in subjects.iter().zip(&medians) {
            println!("| {name} | {:.1} | {:.2} |", median * 1e3, median / medians[0]);
        }
    }
}

/// The median of each, in seconds, after one round that warms up.
fn interleaved(subjects: &mut [Subject<'_>], rounds: usize) -> Vec<f64> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..=rounds {
        for ((_, subject), times) in subjects.iter().zip(&mut times) {
            let started = Instant::now();
            subject();
            if round > 0 {
                times.push(started.elapsed().as_secs_f64());
            }
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    times.iter_mut().map(median).collect()
}
