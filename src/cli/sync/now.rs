//! Emptying the queue, and waiting for it.

use super::super::error::{CliError, Exit};
use super::super::terminal::Terminal;
use super::{failed, open};
use crate::project::UserFolders;
use crate::store::{Consent, SyncQueue};
use crate::sync::{Passed, Patience, Sending, Summary, WayError, Why, send};
use crate::sys::{Interrupts, Signal};
use clap::Args;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long another process may be sending before this one gives up.
const WAIT: Duration = Duration::from_secs(70);
/// After how many failures in a row the server counts as unreachable.
const FAILURES: u32 = 4;
/// How long a drain in the background takes at most.
const DRAIN: Duration = Duration::from_secs(30);
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
        ready(&queue, terminal)?;
        let sending = Sending { patience: Patience::Failures(FAILURES), all: true, wait: WAIT };
        let quiet = self.quiet;
        let (sent, signal) = until_signal(|stop| {
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
        if self.json {
            terminal.json(&json!({ "error": error.to_string() }));
        }
        CliError::new(exit, error.to_string())
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
            terminal.note(&crate::text::one_line(&error));
        }
        if died > 0 || (dead > 0 && failed > 0) {
            terminal.note("`knockon sync dead list` shows what the server will not take, and why");
        }
    }
}

/// That there is somewhere to send to, and a project that agreed.
fn ready(queue: &SyncQueue, terminal: &mut Terminal) -> Result<(), CliError> {
    let standing = queue.standing().map_err(failed)?;
    if queue.agreed().map_err(failed)?.is_empty() {
        return Err(CliError::new(Exit::NotEnabled, "no project takes part, so nothing is sent")
            .hint("`knockon sync enable` in a project lets its events go out"));
    }
    for (project, queued) in &standing.projects {
        let by = match queue.consent(project).map_err(failed)? {
            Consent::Agreed => continue,
            Consent::Undecided => "it is not enabled".to_owned(),
            Consent::Refused => "it is disabled".to_owned(),
            Consent::TakenBack(by) => format!("refused by {by}"),
        };
        terminal.note(&crate::text::one_line(&format!("{queued} events of {} stay: {by}", project.display())));
    }
    Ok(())
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
        Why::Unreachable(words) => Some(format!("the server cannot be reached: {words}")),
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

/// What an emit starts: nobody reads what it says.
pub(super) fn drain() -> Result<Exit, CliError> {
    let user = UserFolders::of_this_process();
    let sending = Sending { patience: Patience::For(DRAIN), all: false, wait: Duration::ZERO };
    let (sent, signal) = until_signal(|stop| send(&user, sending, stop, &mut |_, _| {}));
    Ok(match (sent, signal) {
        (_, Some(signal)) => Exit::Interrupted(signal),
        // Another process is at it.
        (Err(WayError::Busy), None) => Exit::Fine,
        (Err(_), None) => Exit::Io,
        (Ok(passed), None) => exit(&passed),
    })
}

/// Does `work`, which is to end when the flag is set: a signal sets it.
pub(super) fn until_signal<T>(work: impl FnOnce(&Arc<AtomicBool>) -> T) -> (T, Option<Signal>) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    // Without signals to listen to, they end this process as usual: nothing is lost.
    let interrupts = Interrupts::open().ok();
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let interrupts = interrupts?;
            while !done.load(Ordering::Relaxed) {
                if let Some(signal) = interrupts.take() {
                    stop.store(true, Ordering::Relaxed);
                    return Some(signal);
                }
                std::thread::sleep(LOOK);
            }
            None
        });
        let result = work(&stop);
        done.store(true, Ordering::Relaxed);
        (result, listener.join().ok().flatten())
    })
}
