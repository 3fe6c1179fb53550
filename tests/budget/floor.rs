//! Time, as a ratio to the floor that is measured in the same turns: a static program without libc that ends at once,
//! and one that starts it and waits for it.

use super::Prepared;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each is timed.
const ROUNDS: usize = 40;
/// How many times the floor an emit may take. The goal is 3 without a hook (docs/performance.md); machines that are
/// busy with something else need room.
const MOST_WITHOUT_HOOK: f64 = 8.0;
const MOST_WITH_HOOK: f64 = 14.0;
/// What an emit may add to a command at the very most.
const LAST_LINE: Duration = Duration::from_millis(50);

/// A program that does nothing.
pub(crate) fn no_op(folder: &Path) -> PathBuf {
    let (input, output) = (folder.join("no-op.s"), folder.join("no-op"));
    let source = ".globl _start\n_start: xor %edi, %edi\n mov $60, %eax\n syscall\n";
    std::fs::write(&input, source).expect("the temporary folder can be written");
    let built = Command::new("cc").args(["-nostdlib", "-static", "-s", "-o"]).args([&output, &input]).status();
    assert!(built.is_ok_and(|status| status.success()), "cc is needed to build the floor program");
    std::fs::remove_file(&input).expect("it was written a moment ago");
    output
}

/// What takes too long.
pub(crate) fn exceeded(binary: &Path, without: &Prepared, with: &Prepared) -> Vec<String> {
    let no_op = no_op(&without.project.root());
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..=ROUNDS {
        let commands = [Command::new(&no_op), with_binary(without, binary), with_binary(with, binary)];
        for (command, times) in commands.into_iter().zip(&mut times) {
            let took = time(command);
            // The first round warms the caches.
            times.extend((round > 0).then_some(took));
        }
    }
    let [floor, without, with] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let mut exceeded = Vec::new();
    for (name, took, most) in [("10 hooks, none matches", without, MOST_WITHOUT_HOOK), ("1 hook", with, MOST_WITH_HOOK)]
    {
        let ratio = took.as_secs_f64() / floor.as_secs_f64();
        println!("{name}: {took:.0?}, {ratio:.1} times the floor of {floor:.0?}");
        if ratio > most {
            exceeded.push(format!("{name}: {ratio:.1} times the floor of {floor:.0?}, at most {most}"));
        }
        if took > LAST_LINE {
            exceeded.push(format!("{name}: {took:.0?}, at most {LAST_LINE:.0?} whatever the machine"));
        }
    }
    exceeded
}

fn with_binary(prepared: &Prepared, binary: &Path) -> Command {
    let mut command = prepared.project.program(binary.to_str().expect("a plain path"), &[]);
    command.args(["emit", "task.completed", "--task-id", "task-1"]);
    command
}

fn time(mut command: Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status();
    let took = started.elapsed();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
    took
}

/// How many page faults a command takes (`ru_minflt`), those of `env` before it left out.
pub(crate) fn page_faults(command: &mut Command) -> u64 {
    // The shell's `time` does not tell; Python's `resource` does.
    let script = "import os, resource, sys\n\
                  child = os.posix_spawn(sys.argv[1], sys.argv[1:], dict(os.environ), file_actions=[(os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])\n\
                  print(os.wait4(child, 0)[2].ru_minflt)";
    let mut measured = Command::new("python3");
    measured.args(["-c", script]).args(command.get_args()).env_clear();
    measured.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        measured.current_dir(folder);
    }
    let output = measured.output().expect("scripts/budget installs python3");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of page faults")
}
