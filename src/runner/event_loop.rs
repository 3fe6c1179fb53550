//! The one place that waits: for the output, the end and the deadline of every running hook at once.

use super::attempt::{Attempt, Effect, Input, verdict};
use super::capture::Capture;
use super::environment::{CallerEnvironment, EventFile, environment};
use super::program::{Program, ProgramFault};
use crate::config::{OnTimeout, UntilThen};
use crate::delivery::{Delivery, Outcome, Status};
use crate::project::Project;
use crate::sys::{self, Child, Ending, Interest, Interrupts, PIPE_CAPACITY, Signal, Spawning, Step, Transfer, Usage};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long what a hook started may take to be gone once it was killed; processes of other users and those
/// stuck in the kernel may never be.
const TREE: Duration = Duration::from_secs(2);
/// How much is read at first: most hooks say little, and every page of a larger buffer costs a fault.
const FIRST_READ: usize = 4096;

/// Which run an outcome belongs to: the number [`Runner::start`] was given.
pub type RunId = usize;

/// Runs hooks, any number side by side, in one thread.
///
/// Dropping it ends what still runs, at once.
#[derive(Debug)]
pub struct Runner<'a> {
    project: &'a Project,
    caller: &'a CallerEnvironment,
    interrupts: Option<&'a Interrupts>,
    interrupted: Option<Signal>,
    running: Vec<Running<'a>>,
    finished: Vec<(RunId, Outcome)>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Running<'a> {
    id: RunId,
    attempt: Attempt,
    child: Child,
    started: Instant,
    timeout: Duration,
    on_timeout: OnTimeout,
    /// What is still to be written to its standard input.
    stdin: Option<(OwnedFd, &'a [u8])>,
    /// Standard output and standard error, until their end.
    streams: [Option<OwnedFd>; 2],
    captures: [Capture; 2],
    exited: bool,
    /// Whether nothing of it is left.
    gone: bool,
    /// When it is done: how long to wait for what it started to be gone.
    gone_by: Option<Instant>,
    _event_file: Option<EventFile>,
}

/// What a polled descriptor belongs to.
#[derive(Clone, Copy)]
enum Source {
    Interrupts,
    Stdin(usize),
    Stream(usize, usize),
    Process(usize),
    Tree(usize),
}

impl<'a> Runner<'a> {
    /// A runner for hooks of `project`. Signals that `interrupts` tells of are forwarded to the hooks.
    pub fn new(project: &'a Project, caller: &'a CallerEnvironment, interrupts: Option<&'a Interrupts>) -> Self {
        let (running, finished, buffer) = (Vec::new(), Vec::new(), Vec::new());
        Runner { project, caller, interrupts, interrupted: None, running, finished, buffer }
    }

    /// The signal knockon was told to end with, if it was; looks for one that has just arrived.
    pub fn interrupted(&mut self) -> Option<Signal> {
        if let Some(signal) = self.interrupts.and_then(Interrupts::take) {
            self.interrupt(signal);
        }
        self.interrupted
    }

    /// Starts the program of `delivery`. What cannot be started is an outcome too, told by
    /// [`Runner::wait_any`] like the others.
    pub fn start(&mut self, id: RunId, delivery: Delivery<'a>) {
        let began = Instant::now();
        match self.launch(id, &delivery) {
            Ok(running) => self.running.push(running),
            Err(fault) => {
                let mut outcome = Outcome::without_process(Status::Error, fault.to_string());
                if let ProgramFault::Upcoming(upcoming) = &fault {
                    outcome.blocked = true;
                    if upcoming.until_then == UntilThen::Skipped {
                        outcome.status = Status::Skipped;
                    }
                }
                outcome.help = fault.help();
                outcome.duration = began.elapsed();
                self.finished.push((id, outcome));
            }
        }
    }

    fn launch(&mut self, id: RunId, delivery: &Delivery<'a>) -> Result<Running<'a>, ProgramFault> {
        let search = self.caller.search_path();
        let program = Program::of(delivery, self.project, search)?;
        let (environment, event_file) = environment(self.caller, self.project, delivery)?;
        let (stdin, hook_stdin) = sys::writing_pipe().map_err(ProgramFault::System)?;
        let (stdout, hook_stdout) = sys::reading_pipe().map_err(ProgramFault::System)?;
        let (stderr, hook_stderr) = sys::reading_pipe().map_err(ProgramFault::System)?;
        // What fits into the pipe is in it before the hook starts, and is followed by end of file.
        let stdin = feed(stdin, delivery.event.bytes());
        let spawning = Spawning {
            program: program.arguments.first().map(|name| name.as_c_str()).unwrap_or_default(),
            arguments: &program.arguments,
            environment: &environment,
            folder: &program.folder,
            stdio: [hook_stdin.as_fd(), hook_stdout.as_fd(), hook_stderr.as_fd()],
        };
        let started = Instant::now();
        let child = spawn_when_written(&spawning).map_err(|error| program.explain(error, delivery, search))?;
        let timeout = delivery.hook.timeout;
        Ok(Running {
            id,
            attempt: Attempt::started(started, timeout),
            child,
            started,
            timeout,
            on_timeout: delivery.hook.on_timeout,
            stdin,
            streams: [Some(stdout), Some(stderr)],
            captures: Default::default(),
            exited: false,
            gone: false,
            gone_by: None,
            _event_file: event_file,
        })
    }

    /// Waits until a run has ended and returns it; `None` when none is left, at `until`, or as soon as
    /// knockon is told to end while none runs.
    pub fn wait_any(&mut self, until: Option<Instant>) -> Option<(RunId, Outcome)> {
        loop {
            if let Some(finished) = self.finished.pop() {
                return Some(finished);
            }
            let idle = self.running.is_empty() && (until.is_none() || self.interrupted().is_some());
            if idle || until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            self.turn(until);
        }
    }

    /// Ends everything that runs.
    pub fn cancel(&mut self) {
        for index in 0..self.running.len() {
            self.step(index, Input::Cancel);
        }
    }

    /// One turn: wait, move bytes, take note of endings, look at the clock.
    fn turn(&mut self, until: Option<Instant>) {
        let (sources, ready) = self.poll(until);
        for (source, ready) in sources.into_iter().zip(ready) {
            match source {
                _ if !ready => {}
                Source::Interrupts => {
                    self.interrupted();
                }
                Source::Stdin(index) => {
                    let running = &mut self.running[index];
                    running.stdin = running.stdin.take().and_then(|(pipe, rest)| feed(pipe, rest));
                }
                Source::Stream(index, stream) => self.drain(index, stream),
                Source::Process(index) => self.exited(index),
                Source::Tree(index) => {
                    self.running[index].gone = true;
                    self.running[index].child.end_unwatched();
                    self.exited(index);
                }
            }
        }
        for index in 0..self.running.len() {
            self.step(index, Input::Tick);
        }
        self.collect();
    }

    fn poll(&self, until: Option<Instant>) -> (Vec<Source>, sys::Readiness) {
        let mut sources = Vec::new();
        let mut polled: Vec<(BorrowedFd<'_>, Interest)> = Vec::new();
        if let Some(interrupts) = self.interrupts {
            sources.push(Source::Interrupts);
            polled.push((interrupts.as_fd(), Interest::Readable));
        }
        for (index, running) in self.running.iter().enumerate() {
            if let Some((pipe, _)) = &running.stdin {
                sources.push(Source::Stdin(index));
                polled.push((pipe.as_fd(), Interest::Writable));
            }
            // Streams before the process: what it wrote last is there when its end is seen.
            for (stream, pipe) in running.streams.iter().enumerate() {
                if let Some(pipe) = pipe {
                    sources.push(Source::Stream(index, stream));
                    polled.push((pipe.as_fd(), Interest::Readable));
                }
            }
            if let Some(ended) = running.child.ended().filter(|_| !running.exited) {
                sources.push(Source::Process(index));
                polled.push((ended, Interest::Readable));
            }
            if !running.gone {
                sources.push(Source::Tree(index));
                polled.push((running.child.all_ended(), Interest::Readable));
            }
        }
        let now = Instant::now();
        let wake_at = |running: &Running<'_>| running.gone_by.or_else(|| running.attempt.wake_at());
        let next = self.running.iter().filter_map(wake_at).chain(until).min();
        let limit = next.map(|at| at.saturating_duration_since(now));
        let ready = sys::wait(&polled, limit).unwrap_or_else(|_| {
            // Out of memory in the kernel: the deadlines still hold, and the next turn tries again.
            std::thread::sleep(Duration::from_millis(1));
            vec![false; polled.len()]
        });
        (sources, ready)
    }

    /// Reads what a stream has, at most a few buffers, so that no hook can keep the others waiting.
    fn drain(&mut self, index: usize, stream: usize) {
        if self.buffer.is_empty() {
            self.buffer.resize(FIRST_READ, 0);
        }
        let running = &mut self.running[index];
        for _ in 0..4 {
            let Some(pipe) = &running.streams[stream] else { break };
            match sys::read_some(pipe, &mut self.buffer) {
                Transfer::Moved(count) => {
                    running.captures[stream].push(&self.buffer[..count]);
                    // A short read emptied the pipe; asking again would only be told to wait.
                    if count < self.buffer.len() && !running.exited {
                        break;
                    }
                    if count == self.buffer.len() && count < PIPE_CAPACITY {
                        self.buffer.resize(PIPE_CAPACITY, 0);
                    }
                }
                Transfer::Later => break,
                Transfer::Closed => running.streams[stream] = None,
            }
        }
        if running.streams.iter().all(Option::is_none) {
            self.step(index, Input::OutputClosed);
        }
    }

    fn interrupt(&mut self, signal: Signal) {
        self.interrupted.get_or_insert(signal);
        for index in 0..self.running.len() {
            self.step(index, Input::Interrupt(signal));
        }
    }

    fn exited(&mut self, index: usize) {
        if !std::mem::replace(&mut self.running[index].exited, true) {
            self.step(index, Input::Exited);
        }
    }

    fn step(&mut self, index: usize, input: Input) {
        let running = &mut self.running[index];
        match running.attempt.step(input, Instant::now()) {
            Effect::Wait => {}
            Effect::Terminate => running.child.signal(Signal::Terminate),
            Effect::Kill => running.child.end_all(),
            Effect::Finish => {
                running.child.end_all();
                running.gone_by = Some(Instant::now() + TREE);
            }
        }
    }

    /// Reaps the runs that are done, when nothing of them is left.
    fn collect(&mut self) {
        let (mut index, now) = (0, Instant::now());
        while index < self.running.len() {
            let running = &self.running[index];
            if running.gone_by.is_some_and(|by| running.gone || by <= now) {
                let running = self.running.swap_remove(index);
                self.finished.push(running.reap());
            } else {
                index += 1;
            }
        }
    }
}

impl Running<'_> {
    fn reap(self) -> (RunId, Outcome) {
        let pid = self.child.pid;
        // Without an answer something killed the process that watches over it: all of it is ended then, too.
        let unknown = (Ending::Killed(Signal::Kill.number()), Usage::default());
        let (ending, usage) = self.child.reap(Duration::ZERO).unwrap_or(unknown);
        let (status, exit_code, signal, mut reason) = verdict(self.attempt.cause, ending, self.timeout);
        let stalled = status == Status::Timeout && self.on_timeout == OnTimeout::Block;
        if let Some(reason) = reason.as_mut().filter(|_| stalled) {
            reason.push_str(", which counts as blocked");
        }
        let [stdout, stderr] = self.captures.map(Capture::finish);
        let outcome = Outcome {
            status,
            exit_code,
            signal,
            blocked: stalled || (status == Status::Failed && exit_code == Some(2)),
            reason,
            help: None,
            duration: self.started.elapsed(),
            pid: Some(pid),
            leaky: self.attempt.leaky,
            usage,
            stdout,
            stderr,
        };
        (self.id, outcome)
    }
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        // All at once; each is waited for as it is dropped.
        self.running.iter_mut().for_each(|running| running.child.end_all());
    }
}

/// Writes what fits; returns what is left, nothing when all is written or nobody reads.
fn feed(pipe: OwnedFd, mut bytes: &[u8]) -> Option<(OwnedFd, &[u8])> {
    while !bytes.is_empty() {
        match sys::write_some(&pipe, bytes) {
            Transfer::Moved(count) => bytes = &bytes[count..],
            Transfer::Later => return Some((pipe, bytes)),
            Transfer::Closed => return None,
        }
    }
    None
}

/// Starts a program, waiting a little for a writer that still has the file open (`ETXTBSY`): a script
/// written a moment ago is often closed a moment later.
fn spawn_when_written(spawning: &Spawning<'_>) -> Result<Child, sys::SpawnError> {
    let mut pause = Duration::from_millis(1);
    loop {
        match sys::spawn(spawning) {
            Err(error)
                if error.step == Step::Execute
                    && error.source.kind() == io::ErrorKind::ExecutableFileBusy
                    && pause < Duration::from_millis(200) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            result => return result,
        }
    }
}
