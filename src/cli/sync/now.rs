//! Emptying the queue, and waiting for it.

use super::super::error::{CliError, Exit};
use super::super::terminal::Terminal;
use super::{failed, open};
use crate::config::UserSettings;
use crate::project::UserFolders;
use crate::store::{Consent, SyncQueue, service_is_running};
use crate::sync::{Passed, Patience, Sending, Summary, WayError, Why, send};
use crate::sys::{Interrupts, Signal};
use crate::text::{count, one_line};
use crate::time::Timestamp;
use clap::Args;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long another process may be sending before this one gives up.
const WAIT: Duration = Duration::from_secs(70);
/// After how many failures in a row the server counts as unreachable.
const FAILURES: u32 = 4;
/// How long a drain in the background takes at most, a last request not counted.
const DRAIN: Duration = Duration::from_secs(25);
/// After how many failures in a row it gives up: whoever runs `sync now` meanwhile would have to wait for it.
const DRAIN_FAILURES: u32 = 3;
/// How often it looks for more until then: no other drain is started for a minute.
const AGAIN: Duration = Duration::from_millis(250);
/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(50);

/// Send all that is queued, in batches, and wait for it.
#[derive(Args, Debug)]
pub(super) struct Now {
    /// Print the summary as one JSON document
    #[arg(long)]
    json: bool,
    /// Show no progress, and no summary when all went well
    #[arg(long, short)]
    quiet: bool,
}

impl Now {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (user, queue) = open()?;
        for problem in UserSettings::load(&user).1 {
            terminal.problem(&problem);
        }
        ready(&queue, terminal).inspect_err(|error| self.document(&error.message, terminal))?;
        let sending = Sending { patience: Patience::Failures(FAILURES), all: true, wait: WAIT };
        let quiet = self.quiet;
        let (sent, signal) = until_signal(None, |stop| {
            send(&user, sending, stop, &mut |summary, total| {
                if !quiet {
                    terminal.progress(dealt_with(summary), total);
                }
            })
        });
        terminal.end_progress();
        let passed = sent.map_err(|error| self.refused(error, terminal))?;
        let dead = queue.standing().map_err(failed)?.dead;
        self.show(&passed, dead, terminal);
        Ok(match signal {
            Some(signal) => Exit::Interrupted(signal),
            None => exit(&passed),
        })
    }

    fn refused(&self, error: WayError, terminal: &mut Terminal) -> CliError {
        let exit = match &error {
            WayError::Credentials(error) if error.is_signed_out() => Exit::NotEnabled,
            WayError::NoTeam => Exit::NotEnabled,
            WayError::Busy => Exit::Stopped,
            _ => Exit::Io,
        };
        self.document(&error.to_string(), terminal);
        CliError::new(exit, error.to_string())
    }

    /// Why nothing was sent, for programs.
    fn document(&self, error: &str, terminal: &mut Terminal) {
        if self.json {
            terminal.json(&json!({ "error": error }));
        }
    }

    fn show(&self, passed: &Passed, dead: u64, terminal: &mut Terminal) {
        let Summary { synced, duplicate, failed, pending, dead: died, left } = passed.summary;
        let error = why(passed);
        if self.json {
            return terminal.json(&json!({
                "synced": synced,
                "duplicate": duplicate,
                "failed": failed,
                "pending": pending,
                "dead": died,
                "left": left,
                "error": error,
            }));
        }
        let all_well = error.is_none() && failed + died + left == 0;
        if !(self.quiet && all_well) {
            let nothing = synced + duplicate + failed + pending + died + left == 0;
            let mut told = if nothing && error.is_none() {
                "nothing to do".to_owned()
            } else {
                format!("{synced} synced, {duplicate} duplicate, {failed} failed")
            };
            for (number, what) in [(pending, "pending"), (died, "dead letters"), (left, "left in the queue")] {
                if number > 0 {
                    told.push_str(&format!(", {number} {what}"));
                }
            }
            terminal.line(&told);
        }
        if let Some(error) = error {
            terminal.note(&one_line(&error));
        }
        if died > 0 || (dead > 0 && failed > 0) {
            terminal.note("`knockon sync dead list` shows what the server will not take, and why");
        }
    }
}

/// That there is a project that takes part; tells of events of others that stay.
fn ready(queue: &SyncQueue, terminal: &mut Terminal) -> Result<(), CliError> {
    for (project, queued) in &queue.standing().map_err(failed)?.projects {
        let by = match queue.consent(project).map_err(failed)? {
            Consent::Agreed => continue,
            Consent::Undecided => "it is not enabled".to_owned(),
            Consent::Refused => "it is disabled".to_owned(),
            Consent::TakenBack(by) => format!("refused by {by}"),
        };
        let events = count(usize::try_from(*queued).unwrap_or(usize::MAX), "event");
        terminal.note(&one_line(&format!("{events} of {} stay here: {by}", project.display())));
    }
    for project in queue.agreed().map_err(failed)? {
        if queue.consent(&project).map_err(failed)? == Consent::Agreed {
            return Ok(());
        }
    }
    Err(CliError::new(Exit::NotEnabled, "no project takes part, so nothing is sent")
        .hint("`knockon sync enable` in a project lets its events go out"))
}

fn dealt_with(summary: &Summary) -> u64 {
    let Summary { synced, duplicate, failed, pending, dead, .. } = *summary;
    u64::try_from(synced + duplicate + failed + pending + dead).unwrap_or(u64::MAX)
}

/// What went wrong, if something did.
fn why(passed: &Passed) -> Option<String> {
    match &passed.why {
        Why::Done => passed.trouble.clone(),
        Why::Stopped => Some("stopped; what is left stays in the queue".into()),
        Why::TimeUp => Some("the time was up; what is left stays in the queue".into()),
        Why::SignIn(words) => Some(format!("sign in again with `knockon sync login`: {words}")),
        Why::Refused(words) => Some(format!("the server refuses: {words}")),
        Why::Unreachable(words) => Some(format!("nothing gets through to the server: {words}")),
        Why::NoProgress(words) => Some(format!("the server takes nothing: {words}")),
    }
}

/// The exit code: 0 when all is gone, there was nothing to do, or events are only pending.
fn exit(passed: &Passed) -> Exit {
    let Summary { failed, dead, left, .. } = passed.summary;
    match passed.why {
        Why::SignIn(_) => Exit::NotEnabled,
        Why::Unreachable(_) => Exit::Unreachable,
        Why::Done if failed + dead + left == 0 => Exit::Fine,
        Why::Done | Why::NoProgress(_) | Why::Refused(_) | Why::Stopped | Why::TimeUp => Exit::Stopped,
    }
}

/// What an emit starts: nobody reads what it says. It stays for what is made while it may stay.
pub(super) fn drain() -> Result<Exit, CliError> {
    let user = UserFolders::of_this_process();
    let until = Instant::now() + DRAIN;
    let (exit, signal) = until_signal(Some(until), |stop| {
        loop {
            if service_is_running(&user) {
                // It sends them, and live.
                return Exit::Fine;
            }
            let wait = until.saturating_duration_since(Instant::now());
            let sending = Sending { patience: Patience::Failures(DRAIN_FAILURES), all: false, wait };
            let passed = match send(&user, sending, stop, &mut |_, _| {}) {
                Ok(passed) => passed,
                // Another process is at it.
                Err(WayError::Busy) => return Exit::Fine,
                Err(_) => return Exit::Io,
            };
            let came_through = passed.summary.synced + passed.summary.duplicate > 0;
            if passed.why != Why::Done || !came_through || !wait_for_more(&user, stop) {
                return exit(&passed);
            }
        }
    });
    Ok(signal.map_or(exit, Exit::Interrupted))
}

/// Waits until there is more to send; returns whether there is, and this process was not to end before.
fn wait_for_more(user: &UserFolders, stop: &AtomicBool) -> bool {
    let Ok(queue) = SyncQueue::open(user) else { return false };
    let mut seen = None;
    while rest(AGAIN, stop) {
        let version = queue.version().ok();
        if version.is_none() || std::mem::replace(&mut seen, version) == version {
            continue;
        }
        if queue.due(0, Some(Timestamp::now()), 1).is_ok_and(|due| !due.events.is_empty()) {
            return true;
        }
    }
    false
}

/// Waits; returns whether it was not to end meanwhile.
fn rest(time: Duration, stop: &AtomicBool) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
    !stop.load(Ordering::Relaxed)
}

/// Does `work`, which is to end when the flag is set: a signal sets it, or the time.
pub(super) fn until_signal<T>(until: Option<Instant>, work: impl FnOnce(&Arc<AtomicBool>) -> T) -> (T, Option<Signal>) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    // Without signals to listen to, they end this process as usual: nothing is lost.
    let interrupts = Interrupts::open().ok();
    std::thread::scope(|scope| {
        let listener = std::thread::Builder::new().spawn_scoped(scope, || {
            while !done.load(Ordering::Relaxed) {
                let signal = interrupts.as_ref().and_then(Interrupts::take);
                if signal.is_some() || until.is_some_and(|until| Instant::now() >= until) {
                    stop.store(true, Ordering::Relaxed);
                    // Another one ends this process as usual: this thread takes it.
                    interrupts.iter().for_each(Interrupts::release);
                    while !done.load(Ordering::Relaxed) {
                        std::thread::sleep(LOOK);
                    }
                    return signal;
                }
                std::thread::sleep(LOOK);
            }
            None
        });
        let result = work(&stop);
        done.store(true, Ordering::Relaxed);
        // Without a thread that listens, a signal ends this process as usual, and the work ends by its own limits.
        (result, listener.ok().and_then(|listener| listener.join().ok().flatten()))
    })
}
