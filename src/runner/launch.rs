//! From a delivery to a running program, and from its end to an outcome.

use super::attempt::{Attempt, verdict};
use super::capture::Capture;
use super::environment::{HookFiles, environment};
use super::event_loop::{RunId, Surroundings};
use super::mask::{Mask, Patterns, Secrets};
use super::program::{Program, ProgramFault};
use super::sandbox::sandbox;
use super::scratch::ScratchFolder;
use super::trace::trace;
use crate::config::{Hook, OnTimeout, Sandbox};
use crate::delivery::{Answer, Delivery, Enforced, MAX_ANSWER, Outcome, Span, Status, TraceParent};
use crate::project::Project;
use crate::sys::{self, Child, Ending, Signal, SpawnError, Spawning, Step, Transfer, Usage};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The exit code of a temporary failure (EX_TEMPFAIL of sysexits.h).
const TEMPORARY: i32 = 75;

/// A hook on its way.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) id: RunId,
    pub(super) attempt: Attempt,
    pub(super) child: Box<dyn Child>,
    delivery: Delivery<'a>,
    started: Instant,
    /// The span it was handed.
    handed: TraceParent,
    /// When its program was seen to have ended.
    pub(super) ended_at: Option<Instant>,
    /// What is still to be written to its standard input.
    pub(super) stdin: Option<(OwnedFd, &'a [u8])>,
    /// Standard output and standard error, until their end.
    pub(super) streams: [Option<OwnedFd>; 2],
    pub(super) captures: [Capture; 2],
    /// What is masked in each stream.
    pub(super) masks: [Mask; 2],
    /// Whether nothing of it is left.
    pub(super) gone: bool,
    /// When it is done: how long to wait for what it started to be gone.
    pub(super) gone_by: Option<Instant>,
    /// When its timer is set to.
    pub(super) wakes_at: Option<Instant>,
    timeout: Duration,
    files: HookFiles,
    enforced: Enforced,
    // After the files that are in it.
    _temporary: Option<ScratchFolder>,
}

/// Starts the program of `delivery`.
///
/// # Errors
/// It is known already that it cannot be started.
pub(super) fn launch<'a>(
    id: RunId,
    delivery: Delivery<'a>,
    surroundings: Surroundings<'a>,
    trusted: Option<Vec<u8>>,
) -> Result<Running<'a>, ProgramFault> {
    let surroundings = surroundings.of(&delivery);
    let Surroundings { project, caller, platform, .. } = surroundings;
    let mut program = Program::of(&delivery, project, caller.search_path())?;
    if !platform.lacks().is_empty() {
        // std runs a script without `#!` by /bin/sh; here it is an error as everywhere.
        program.check(caller.search_path())?;
    }
    let boxed = sandbox(&delivery, surroundings, &mut program, trusted)?;
    let trace = trace(caller, &delivery);
    let handed = trace.0;
    let temporary = boxed.temporary.as_ref().map(ScratchFolder::path);
    let (environment, files) = environment(surroundings, &delivery, temporary, trace)?;
    let timeout = surroundings.limits.timeout(delivery.hook);
    let (stdin, hook_stdin) = sys::writing_pipe().map_err(ProgramFault::System)?;
    let (stdout, hook_stdout) = sys::reading_pipe().map_err(ProgramFault::System)?;
    let (stderr, hook_stderr) = sys::reading_pipe().map_err(ProgramFault::System)?;
    // What fits into the pipe is in it before the hook starts, and is followed by end of file.
    let stdin = feed(&stdin, delivery.event.bytes()).map(|rest| (stdin, rest));
    let spawning = Spawning {
        program: program.arguments.first().cloned().unwrap_or_default(),
        arguments: program.arguments,
        environment,
        folder: program.folder,
        confinement: boxed.confinement,
        further: boxed.further,
        wraps: boxed.wraps,
    };
    let started = Instant::now();
    let child = platform.start(spawning, [hook_stdin.as_fd(), hook_stdout.as_fd(), hook_stderr.as_fd()]);
    let child = child.map_err(|error| match error.step {
        Step::Clone | Step::SetUp => ProgramFault::System(error.source),
        Step::Folder | Step::Confine | Step::Execute => explain(error, &delivery, project, caller.search_path()),
    })?;
    Ok(Running {
        id,
        attempt: Attempt::started(started, timeout),
        child,
        delivery,
        started,
        handed,
        ended_at: None,
        stdin,
        streams: [Some(stdout), Some(stderr)],
        captures: [Capture::of_answers(), Capture::default()],
        masks: masks_of(delivery.hook),
        gone: false,
        gone_by: None,
        wakes_at: None,
        timeout,
        files,
        enforced: boxed.enforced,
        _temporary: boxed.temporary,
    })
}

impl Running<'_> {
    /// Says why the system did not start it.
    pub(super) fn could_not_start(
        &self,
        error: SpawnError,
        surroundings: Surroundings<'_>,
    ) -> (RunId, ProgramFault, Duration) {
        let Surroundings { project, caller, .. } = surroundings.of(&self.delivery);
        let search = caller.search_path();
        (self.id, explain(error, &self.delivery, project, search), self.started.elapsed())
    }

    /// How it ended, and what is left to be done with its child.
    pub(super) fn into_outcome(mut self, secrets: &Secrets) -> (RunId, Outcome, Box<dyn Child>) {
        let pid = self.child.pid();
        // Without an answer something killed the process that watches over it: all of it is ended then, too.
        let unknown = (Ending::Killed(Signal::Kill.number()), Usage::default());
        let (ending, usage) = self.child.ending().unwrap_or(unknown);
        let hook = self.delivery.hook;
        let (status, exit_code, signal, mut reason) = verdict(self.attempt.cause, ending, self.timeout);
        let stalled = status == Status::Timeout && hook.on_timeout == OnTimeout::Block;
        if let Some(reason) = reason.as_mut().filter(|_| stalled) {
            reason.push_str(", which counts as blocked");
        }
        // Of a stream that something still keeps open.
        for (capture, mask) in self.captures.iter_mut().zip(&mut self.masks) {
            capture.push(&mask.rest());
        }
        let [mut stdout, stderr] = self.captures;
        let (printed, meant) = stdout.take_answer();
        let [stdout, stderr] = [stdout, stderr].map(Capture::finish);
        let mut outcome = Outcome {
            status,
            exit_code,
            signal,
            temporary: status == Status::Failed && exit_code == Some(TEMPORARY),
            answer: None,
            not_run: None,
            skipped_by: None,
            enforced: self.enforced,
            busy: false,
            blocked: stalled,
            reason,
            help: None,
            duration: self.ended_at.unwrap_or_else(Instant::now) - self.started,
            waited: Duration::ZERO,
            overhead: Duration::ZERO,
            pid,
            span: self.delivery.occasion.trace.map(|_| Span { handed: self.handed, began: self.started }),
            leaky: self.attempt.leaky,
            survivors: self.child.has_survivors(),
            usage,
            stdout,
            stderr,
        };
        if let Some(failed) = sandbox_failed(&outcome) {
            return (self.id, failed, self.child);
        }
        outcome.help = sandbox_hint(&outcome);
        let written = self.files.response.as_ref().and_then(|file| match file.read(MAX_ANSWER) {
            Ok(bytes) => bytes.and_then(|bytes| Answer::in_file(&self.masks[0].mask(secrets, &bytes))),
            Err(error) => Some(Answer::unreadable(format!("HOOK_RESPONSE cannot be read: {error}"))),
        });
        let printed = || Answer::in_scanned_output(printed.as_deref(), &meant);
        // A file that is none says so, and what was printed counts.
        let answer = match written {
            Some(written) if written.unreadable => {
                let problems = written.problems.clone();
                printed().map(|printed| Answer { problems, unreadable: true, ..printed }).or(Some(written))
            }
            Some(written) => Some(written),
            None => printed(),
        };
        (self.id, outcome.judged(answer, hook), self.child)
    }
}

/// What is masked in the output of a hook: what it is given of the caller's environment by name.
fn masks_of(hook: &Hook) -> [Mask; 2] {
    if hook.env_from.is_empty() {
        return [Mask::default(), Mask::default()];
    }
    let values: Vec<_> = hook.env_from.iter().filter_map(std::env::var_os).collect();
    let patterns = Patterns::of(values.iter().map(|value| value.as_os_str()));
    [Mask::of(patterns.clone()), Mask::of(patterns)]
}

/// Whether it was the sandbox that failed and not the hook in it: bubblewrap says so, and exits with 1.
fn sandbox_failed(outcome: &Outcome) -> Option<Outcome> {
    let said = outcome.stderr.head.starts_with(b"bwrap: ") && outcome.exit_code == Some(1);
    (outcome.enforced.level == Sandbox::Strict && said && outcome.stdout.bytes == 0).then(|| {
        let fault = ProgramFault::Sandbox(outcome.stderr.last_lines(1).join(" "));
        let mut failed = Outcome { blocked: true, ..Outcome::without_process(Status::Error, fault.to_string()) };
        failed.help = fault.help();
        failed
    })
}

/// What to declare when a hook failed as its sandbox makes hooks fail: with what the system, `getaddrinfo` and git say of a
/// file that cannot be written or read, and of a network that is not there.
fn sandbox_hint(outcome: &Outcome) -> Option<String> {
    const FILES: [&str; 4] =
        ["Read-only file system", "Permission denied", "Operation not permitted", "PermissionError"];
    const NETWORK: [&str; 6] = [
        "Network is unreachable",
        "Could not resolve host",
        "Temporary failure in name resolution",
        "Name or service not known",
        "Failed to connect",
        "Address family not supported",
    ];
    if outcome.status != Status::Failed || outcome.enforced.level == Sandbox::Base {
        return None;
    }
    let said = outcome.stderr.text() + &outcome.stdout.text();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let held = |word: &str| outcome.enforced.held.contains(&word);
    let level = outcome.enforced.level.as_str();
    let declared = |rights: &str| {
        format!("this may be its sandbox: declare what it needs, `sandbox: {{level: {level}, {rights}}}`")
    };
    // Of the home folder a sandbox shows parts: what is there may not be seen.
    let at_home = std::env::var("HOME").ok().filter(|home| home.len() > 1);
    let misses = |line: &str| {
        let names_home = at_home.as_ref().is_some_and(|home| line.contains(&format!("{home}/")));
        names_home && ["No such file", "not found", "FileNotFoundError"].iter().any(|words| line.contains(words))
    };
    if held("files") && said.lines().any(misses) {
        return Some(declared("read: [~/PATH]"));
    }
    match (held("network") && says(&NETWORK), held("files") && says(&FILES)) {
        (true, _) => Some(declared("network: true")),
        (false, true) if held("network") && says(&["socket", "connect"]) => Some(declared("network: true")),
        (false, true) if says(&["Read-only"]) => Some(declared("write: [PATH]")),
        (false, true) => Some(declared("write: [PATH], read: [PATH]")),
        (false, false) => None,
    }
}

/// Why the system did not start a program. What it was made from is looked at again: it is kept for no program
/// that starts.
fn explain(error: SpawnError, delivery: &Delivery<'_>, project: &Project, search: &OsStr) -> ProgramFault {
    match Program::of(delivery, project, search) {
        Ok(program) => program.explain(error, delivery, search),
        Err(fault) => fault,
    }
}

/// Writes what fits; returns what is left, nothing when all is written or nobody reads.
pub(super) fn feed<'a>(pipe: &OwnedFd, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
    while !bytes.is_empty() {
        match sys::write_some(pipe, bytes) {
            Transfer::Moved(count) => bytes = &bytes[count..],
            Transfer::Later => return Some(bytes),
            Transfer::Closed => return None,
        }
    }
    None
}
