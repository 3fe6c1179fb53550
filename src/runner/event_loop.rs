//! The one place that waits: for the output, the end and the deadline of every running hook at once.

use super::attempt::{Effect, Input};
use super::environment::CallerEnvironment;
use super::launch::{Running, feed, launch};
use super::mask::Secrets;
use super::program::ProgramFault;
use super::sandbox::Sandboxes;
use super::scratch::Scratch;
use crate::config::{Limits, ScriptFault};
use crate::delivery::{Delivery, Outcome, SkippedBy, Status, Stream};
use crate::project::Project;
use crate::sys::{self, Interest, Interrupts, News, PIPE_CAPACITY, Platform, Poller, Signal, Transfer};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long what a hook started may take to be gone once it was killed; processes of other users and those
/// stuck in the kernel may never be.
const TREE: Duration = Duration::from_secs(2);
/// How much is read at first: most hooks say little, and every page of a larger buffer costs a fault.
const FIRST_READ: usize = 4096;
/// How often a program is asked for news that does not tell them by itself.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// With so many running, a look at those that have ended comes before the next start: what watched over them
/// can start it.
const LOOK_FIRST: usize = 4;

/// Which run an outcome belongs to: the number [`Runner::start`] was given.
pub type RunId = usize;

/// Gets what hooks write while they write it.
pub type Listener<'a> = dyn Fn(RunId, Stream, &[u8]) + 'a;

/// What a runner needs to know, whatever it runs.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The project that the hook is of.
    pub project: &'a Project,
    /// The project of the event: the same, unless that one inherits the hook.
    pub here: &'a Project,
    /// The environment that hooks get a part of.
    pub caller: &'a CallerEnvironment,
    /// Starts programs.
    pub platform: &'a dyn Platform,
    /// Where files are made that hooks get by name.
    pub scratch: &'a Scratch,
    /// What sandboxes have in common.
    pub sandboxes: &'a Sandboxes,
    /// What hooks are allowed at most.
    pub limits: &'a Limits,
    /// What is masked in all that hooks write.
    pub secrets: &'a Secrets,
}

impl<'a> Surroundings<'a> {
    /// Those of one hook: one that is inherited runs in the outer project.
    pub(super) fn of(self, delivery: &Delivery<'a>) -> Self {
        Surroundings { project: delivery.file.project(self.project), ..self }
    }
}

/// Runs hooks, any number side by side, in one thread.
///
/// Dropping it ends what still runs, at once.
pub struct Runner<'a> {
    surroundings: Surroundings<'a>,
    interrupts: Option<&'a Interrupts>,
    listener: Option<&'a Listener<'a>>,
    interrupted: Option<Signal>,
    poller: io::Result<Box<dyn Poller>>,
    /// Those that run; a place that was left is taken by the next.
    running: Vec<Option<Running<'a>>>,
    left: Vec<usize>,
    timers: BTreeSet<(Instant, usize)>,
    finished: Vec<(RunId, Outcome)>,
    ready: Vec<u64>,
    buffer: Vec<u8>,
}

/// What a polled descriptor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stdin,
    Stream(usize),
    Child,
    Interrupts,
}

impl Source {
    const INTERRUPTS: u64 = u64::MAX;

    /// The number that stands for it with the poller.
    fn number(self, slot: usize) -> u64 {
        let kind = match self {
            Source::Stdin => 0,
            Source::Stream(stream) => 1 + stream as u64 % 2,
            Source::Child => 3,
            Source::Interrupts => return Self::INTERRUPTS,
        };
        (slot as u64) << 2 | kind
    }

    fn of(number: u64) -> (Self, usize) {
        let source = match number & 3 {
            _ if number == Self::INTERRUPTS => Source::Interrupts,
            0 => Source::Stdin,
            3 => Source::Child,
            stream => Source::Stream(stream as usize - 1),
        };
        (source, (number >> 2) as usize)
    }
}

impl<'a> Runner<'a> {
    /// A runner. Signals that `interrupts` tells of are forwarded to the hooks; `listener` gets what they write.
    pub fn new(
        surroundings: Surroundings<'a>,
        interrupts: Option<&'a Interrupts>,
        listener: Option<&'a Listener<'a>>,
    ) -> Self {
        let poller = surroundings.platform.poller().and_then(|mut poller| {
            if let Some(fd) = interrupts.and_then(Interrupts::listen) {
                poller.add(fd, Source::INTERRUPTS, Interest::Readable)?;
            }
            Ok(poller)
        });
        Runner {
            surroundings,
            interrupts,
            listener,
            interrupted: None,
            poller,
            running: Vec::new(),
            left: Vec::new(),
            timers: BTreeSet::new(),
            finished: Vec::new(),
            ready: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// The signal knockon was told to end with, if it was; looks for one that has just arrived.
    pub fn interrupted(&mut self) -> Option<Signal> {
        if let Some(signal) = self.interrupts.and_then(Interrupts::take) {
            self.interrupt(signal);
        }
        self.interrupted
    }

    /// Starts the program of `delivery`. What cannot be started is an outcome too, told by
    /// [`Runner::wait_any`] like the others. `trusted` are the bytes that its script must have, for a sandbox that
    /// shows it nothing else.
    pub fn start(&mut self, id: RunId, delivery: Delivery<'a>, trusted: Option<Vec<u8>>) {
        if self.count() >= LOOK_FIRST {
            self.turn(Some(Instant::now()));
        }
        let began = Instant::now();
        let launched = launch(id, delivery, self.surroundings, trusted);
        match launched.and_then(|running| self.watch(running).map_err(ProgramFault::System)) {
            Ok(slot) => self.settle_timer(slot),
            Err(fault) => self.finished.push((id, not_started(&fault, began.elapsed()))),
        }
    }

    fn count(&self) -> usize {
        self.running.len() - self.left.len()
    }

    /// Takes a run into the set of those that are waited for.
    fn watch(&mut self, running: Running<'a>) -> io::Result<usize> {
        let slot = self.left.last().copied().unwrap_or(self.running.len());
        let poller = self.poller.as_mut().map_err(|error| io::Error::from(error.kind()))?;
        let mut add = |fd: Option<BorrowedFd<'_>>, source: Source, interest| match fd {
            Some(fd) => poller.add(fd, source.number(slot), interest),
            None => Ok(()),
        };
        add(running.stdin.as_ref().map(|(pipe, _)| pipe.as_fd()), Source::Stdin, Interest::Writable)?;
        for (stream, pipe) in running.streams.iter().enumerate() {
            add(pipe.as_ref().map(AsFd::as_fd), Source::Stream(stream), Interest::Readable)?;
        }
        add(running.child.as_fd(), Source::Child, Interest::Readable)?;
        if self.left.pop().is_none() {
            self.running.push(None);
        }
        self.running[slot] = Some(running);
        Ok(slot)
    }

    /// Waits until a run has ended and returns it; `None` when none is left, at `until`, or as soon as
    /// knockon is told to end while none runs.
    pub fn wait_any(&mut self, until: Option<Instant>) -> Option<(RunId, Outcome)> {
        loop {
            if let Some(finished) = self.finished.pop() {
                return Some(finished);
            }
            let idle = self.count() == 0 && (until.is_none() || self.interrupted().is_some());
            if idle || until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            self.turn(until);
        }
    }

    /// Ends everything that runs.
    pub fn cancel(&mut self) {
        self.step_all(Input::Cancel);
    }

    /// One turn: wait, move bytes, take note of endings, look at the clock.
    fn turn(&mut self, until: Option<Instant>) {
        let next = self.timers.first().map(|(at, _)| *at).into_iter().chain(until).chain(self.ask_at()).min();
        let limit = next.map(|at| at.saturating_duration_since(Instant::now()));
        let mut ready = std::mem::take(&mut self.ready);
        let waited = match &mut self.poller {
            Ok(poller) => poller.wait(limit, &mut ready),
            Err(error) => Err(error.kind().into()),
        };
        if waited.is_err() {
            // Out of memory in the kernel: the deadlines still hold, and the next turn tries again.
            std::thread::sleep(Duration::from_millis(1));
        }
        for number in ready.drain(..) {
            match Source::of(number) {
                (Source::Interrupts, _) => {
                    self.interrupted();
                }
                (Source::Stdin, slot) => {
                    let Some(running) = self.running.get_mut(slot).and_then(Option::as_mut) else { continue };
                    let Some((pipe, rest)) = running.stdin.take() else { continue };
                    match feed(&pipe, rest) {
                        Some(rest) => running.stdin = Some((pipe, rest)),
                        None => {
                            if let Ok(poller) = &mut self.poller {
                                poller.remove(pipe.as_fd(), number);
                            }
                        }
                    }
                }
                (Source::Stream(stream), slot) => self.drain(slot, stream),
                (Source::Child, slot) => {
                    self.news(slot);
                }
            }
        }
        self.ready = ready;
        self.ask();
        let now = Instant::now();
        while let Some((_, slot)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            match self.at(slot) {
                // What is left of it cannot be ended; it is told without that.
                Some(running) if running.gone_by.is_some_and(|by| by <= now) => self.finish(slot),
                Some(running) => {
                    running.wakes_at = None;
                    // Its end may have been overslept: this process was stopped, or got no processor.
                    self.news(slot);
                    self.step(slot, Input::Tick);
                }
                None => {}
            }
        }
    }

    /// When to ask for news next, where some run does not tell them.
    fn ask_at(&self) -> Option<Instant> {
        let silent = self.running.iter().flatten().any(|running| running.child.as_fd().is_none());
        silent.then(|| Instant::now() + ASK_EVERY)
    }

    /// Asks for news where a run does not tell them.
    fn ask(&mut self) {
        for slot in 0..self.running.len() {
            while self.at(slot).is_some_and(|running| running.child.as_fd().is_none()) && self.news(slot) {}
        }
    }

    fn at(&mut self, slot: usize) -> Option<&mut Running<'a>> {
        self.running.get_mut(slot)?.as_mut()
    }

    /// Reads what a stream has, at most a few buffers, so that no hook can keep the others waiting.
    fn drain(&mut self, slot: usize, stream: usize) {
        if self.buffer.is_empty() {
            self.buffer.resize(FIRST_READ, 0);
        }
        let Some(running) = self.running.get_mut(slot).and_then(Option::as_mut) else { return };
        // When nothing of it is left, all that is in the pipe is all there will be.
        let most = if running.gone { 64 } else { 4 };
        for _ in 0..most {
            let Some(pipe) = &running.streams[stream] else { break };
            match sys::read_some(pipe, &mut self.buffer) {
                Transfer::Moved(count) => {
                    let bytes = running.masks[stream].take(self.surroundings.secrets, &self.buffer[..count]);
                    running.captures[stream].push(&bytes);
                    if let Some(listener) = self.listener.filter(|_| !bytes.is_empty()) {
                        listener(running.id, Stream::BOTH[stream], &bytes);
                    }
                    // A short read emptied the pipe; asking again would only be told to wait.
                    if count < self.buffer.len() && !running.gone {
                        break;
                    }
                    if count == self.buffer.len() && count < PIPE_CAPACITY {
                        self.buffer.resize(PIPE_CAPACITY, 0);
                    }
                }
                Transfer::Later => break,
                Transfer::Closed => {
                    if let Ok(poller) = &mut self.poller {
                        poller.remove(pipe.as_fd(), Source::Stream(stream).number(slot));
                    }
                    running.streams[stream] = None;
                    let rest = running.masks[stream].rest();
                    if !rest.is_empty() {
                        running.captures[stream].push(&rest);
                        if let Some(listener) = self.listener {
                            listener(running.id, Stream::BOTH[stream], &rest);
                        }
                    }
                }
            }
        }
        if running.streams.iter().all(Option::is_none) {
            self.step(slot, Input::OutputClosed);
        }
    }

    /// What became of the program; returns whether there was news.
    fn news(&mut self, slot: usize) -> bool {
        let surroundings = self.surroundings;
        let Some(running) = self.at(slot) else { return false };
        match running.child.news() {
            None => return false,
            Some(News::Failed(error)) => {
                let (id, fault, took) = running.could_not_start(error, surroundings);
                if let Some(running) = self.leave(slot) {
                    self.surroundings.platform.finish(running.child);
                }
                self.finished.push((id, not_started(&fault, took)));
            }
            Some(News::Ended) => {
                running.ended_at.get_or_insert_with(Instant::now);
                self.step(slot, Input::Exited);
            }
            Some(News::Gone) => {
                let knew = running.ended_at.is_some();
                running.ended_at.get_or_insert_with(Instant::now);
                running.gone = true;
                if running.gone_by.is_some() {
                    self.finish(slot);
                    return true;
                }
                for stream in 0..Stream::BOTH.len() {
                    self.drain(slot, stream);
                }
                if !knew {
                    self.step(slot, Input::Exited);
                }
            }
        }
        true
    }

    fn interrupt(&mut self, signal: Signal) {
        self.interrupted.get_or_insert(signal);
        self.step_all(Input::Interrupt(signal));
    }

    fn step_all(&mut self, input: Input) {
        for slot in 0..self.running.len() {
            self.step(slot, input);
        }
    }

    fn step(&mut self, slot: usize, input: Input) {
        let Some(running) = self.at(slot) else { return };
        match running.attempt.step(input, Instant::now()) {
            Effect::Wait => {}
            Effect::Terminate => running.child.signal(Signal::Terminate),
            Effect::Kill => running.child.end_all(),
            Effect::Finish if running.gone => return self.finish(slot),
            Effect::Finish => {
                running.child.end_all();
                running.gone_by = Some(Instant::now() + TREE);
            }
        }
        self.settle_timer(slot);
    }

    /// Sets the timer of a run to when it wants to be woken.
    fn settle_timer(&mut self, slot: usize) {
        let Some(running) = self.running.get_mut(slot).and_then(Option::as_mut) else { return };
        let wanted = running.gone_by.or_else(|| running.attempt.wake_at());
        if running.wakes_at != wanted {
            if let Some(at) = running.wakes_at {
                self.timers.remove(&(at, slot));
            }
            running.wakes_at = wanted;
            self.timers.extend(wanted.map(|at| (at, slot)));
        }
    }

    /// Takes a run out of the set.
    fn leave(&mut self, slot: usize) -> Option<Running<'a>> {
        let running = self.running.get_mut(slot)?.take()?;
        self.left.push(slot);
        if let Some(at) = running.wakes_at {
            self.timers.remove(&(at, slot));
        }
        if let Ok(poller) = &mut self.poller {
            if let Some(fd) = running.child.as_fd() {
                poller.remove(fd, Source::Child.number(slot));
            }
            if let Some((pipe, _)) = &running.stdin {
                poller.remove(pipe.as_fd(), Source::Stdin.number(slot));
            }
            for (stream, pipe) in running.streams.iter().enumerate() {
                if let Some(pipe) = pipe {
                    poller.remove(pipe.as_fd(), Source::Stream(stream).number(slot));
                }
            }
        }
        Some(running)
    }

    /// Tells how a run ended.
    fn finish(&mut self, slot: usize) {
        if let Some(running) = self.leave(slot) {
            let (id, outcome, child) = running.into_outcome(self.surroundings.secrets);
            self.surroundings.platform.finish(child);
            self.finished.push((id, outcome));
        }
    }
}

fn not_started(fault: &ProgramFault, took: Duration) -> Outcome {
    let mut outcome = Outcome::without_process(Status::Error, fault.to_string());
    match fault {
        ProgramFault::Upcoming(_) => {
            outcome = Outcome { blocked: true, ..Outcome::skipped(SkippedBy::Unsupported, fault.to_string()) };
        }
        ProgramFault::Sandbox(_) => outcome.blocked = true,
        ProgramFault::Script(ScriptFault::Busy(_)) => outcome.busy = true,
        _ => {}
    }
    outcome.help = fault.help();
    outcome.duration = took;
    outcome
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        // All at once; each is waited for as it is dropped.
        self.running.iter().flatten().for_each(|running| running.child.end_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_what_it_stands_for() {
        for source in [Source::Stdin, Source::Stream(0), Source::Stream(1), Source::Child] {
            for slot in [0, 1, 1023, 1 << 40] {
                assert_eq!(Source::of(source.number(slot)), (source, slot));
            }
        }
        assert_eq!(Source::of(Source::Interrupts.number(0)).0, Source::Interrupts);
    }
}
