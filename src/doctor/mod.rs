//! Is everything as it should be? Each finding says what to do. Changes nothing.
//!
//! The checks are those of a person in doubt, and of the tests that kill, fill and cut: what is left behind has to
//! pass them.

mod hooks;
mod repair;

pub use repair::{Repair, repairs};

use crate::audit::{AuditLog, State};
use crate::config::{Diagnostic, Severity, UserSettings, find_in_path};
use crate::emitter::Emitter;
use crate::project::UserFolders;
use crate::store::{self, InspectedQueue, Standing, WARN_FROM};
use crate::sync::{CredentialError, CredentialStore, Credentials};
use crate::sys;
use crate::text::{count, one_line};
use crate::time::Timestamp;
use crate::trust::Verdict;
use std::collections::BTreeMap;
use std::path::Path;

/// How far in the future a record may be before a clock is in doubt.
const SKEW: u64 = 5 * 60 * 1000;
/// How long an event may wait for the server before that is worth a word.
const LATE: u64 = 60 * 60 * 1000;
/// When this was written: a clock before that is wrong.
const WRITTEN: u64 = 1_760_000_000_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Fine,
    /// Something to know, or to do at some time.
    Warning,
    /// Something is wrong.
    Error,
}

impl Level {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Fine => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Findings as they come.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, level: Level, message: impl Into<String>, help: Option<&str>) {
        self.0.push(Finding { check, level, message: message.into(), help: help.map(str::to_owned) });
    }

    fn fine(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Level::Fine, message, None);
    }

    fn warn(&mut self, check: &'static str, message: impl Into<String>, help: &str) {
        self.add(check, Level::Warning, message, Some(help));
    }

    fn error(&mut self, check: &'static str, message: impl Into<String>, help: &str) {
        self.add(check, Level::Error, message, Some(help));
    }
}

/// Examines a project and its user's folders.
pub fn examine(emitter: &Emitter, user: &UserFolders) -> Vec<Finding> {
    let mut findings = Findings::default();
    versions(&mut findings);
    configuration(emitter, user, &mut findings);
    trust(emitter, &mut findings);
    hooks::hooks(emitter, &mut findings);
    log_files(emitter.audit(), &mut findings);
    chain(emitter.audit(), &mut findings);
    state_folders(user, &mut findings);
    stored(user, &mut findings);
    team(user, &mut findings);
    clock(emitter.audit(), &mut findings);
    sandbox(emitter, &mut findings);
    findings.0
}

fn versions(findings: &mut Findings) {
    let (own, sqlite) = (env!("CARGO_PKG_VERSION"), store::sqlite_version());
    findings.fine("versions", format!("knockon {own}, SQLite {sqlite}, {} {}", std::env::consts::OS, sys::release()));
}

fn configuration(emitter: &Emitter, user: &UserFolders, findings: &mut Findings) {
    let root = emitter.project().root();
    let loaded = emitter.loaded();
    let of_hooks = |problem: &&Diagnostic| problem.severity == Severity::Error && problem.hook.is_some();
    for problem in emitter.problems().iter().filter(|problem| !of_hooks(problem)) {
        let level = if problem.severity == Severity::Error { Level::Error } else { Level::Warning };
        findings.add("configuration", level, problem.to_string(), Some("`knockon validate` shows the place"));
    }
    if emitter.problems().is_empty() {
        let (hooks, files) = (count(loaded.hooks.len(), "hook"), count(loaded.files.len(), "file"));
        findings.fine("configuration", format!("{hooks} in {files}, project {}", root.display()));
    }
    for problem in emitter.audit().problems() {
        let help = UserSettings::path(user).map(|path| format!("mend {}", path.display()));
        findings.add("settings", Level::Error, problem.to_string(), help.as_deref());
    }
    if let Some(problem) = emitter.policy_problem() {
        findings.error("policy", problem.to_string(), "correct the errors in the policy; until then no hook runs");
    }
}

fn trust(emitter: &Emitter, findings: &mut Findings) {
    let mut guard = emitter.guard();
    let mut verdicts: BTreeMap<String, (usize, Verdict)> = BTreeMap::new();
    for index in 0..emitter.loaded().hooks.len() {
        let verdict = guard.verdict(index);
        verdicts.entry(verdict.to_string()).or_insert((0, verdict)).0 += 1;
    }
    for (text, (hooks, verdict)) in verdicts {
        let hooks = count(hooks, "hook");
        match verdict {
            Verdict::Trusted => findings.fine("trust", format!("{hooks} may run")),
            Verdict::Refused(_) => {
                findings.error(
                    "trust",
                    format!("{hooks} may not run: {text}"),
                    "give the files and folders back to you alone",
                );
            }
            Verdict::Untrusted | Verdict::Changed(_) | Verdict::OtherHash => {
                findings.warn("trust", format!("{hooks} may not run: {text}"), "look at them and run `knockon trust`");
            }
        }
    }
}

fn log_files(log: &AuditLog, findings: &mut Findings) {
    let state = match log.state() {
        Ok(Some(state)) => state,
        Ok(None) => return findings.fine("audit log", format!("nothing is recorded in {}", log.path().display())),
        Err(error) => {
            return findings.error(
                "audit log",
                error.to_string(),
                "make the path a folder of your own with a plain file in it",
            );
        }
    };
    let State { files, bytes, distrust, torn, holder, waiting, unreadable, oversized, closed } = state;
    if let Some(why) = closed {
        let message = format!("nothing can be recorded in {}: {why}", log.path().display());
        findings.error("audit log", message, "give the folder and the file back to you, or make room");
    }
    findings.fine("audit log", format!("{}, {} in {bytes} bytes", log.path().display(), count(files, "file")));
    for (path, why) in distrust {
        findings.warn(
            "audit log",
            format!("{} {why}", path.display()),
            "take the right from them: chmod go-rwx (a folder: go-w)",
        );
    }
    if torn {
        let message = "the log ends in the middle of a line: a writer was killed there, or writes at this moment";
        findings.warn("torn line", message, "nothing: it was never acknowledged, and the next writer takes it away");
    }
    if let Some(holder) = holder {
        let (pid, name) = (holder.pid, &holder.name);
        let message =
            format!("process {pid} ({name}) holds the lock{}", if holder.stopped { " and is stopped" } else { "" });
        let help = format!(
            "let it go on (kill -CONT {pid}) or end it (kill {pid}); records are kept beside the log meanwhile"
        );
        findings.add("lock", if holder.stopped { Level::Error } else { Level::Warning }, message, Some(&help));
    }
    if waiting > 0 {
        let message = format!("{} beside the log wait to be put into it", count(waiting, "file"));
        findings.warn(
            "records beside the log",
            message,
            "nothing: the next emit, or `knockon audit`, does it once the lock is free",
        );
    }
    if unreadable > 0 {
        let message = format!("{} beside the log had lines that are no records", count(unreadable, "file"));
        findings.warn("records beside the log", message, "look at audit.log.side/*.unreadable, then remove them");
    }
    if oversized {
        let message = "the log has grown past its size without being rotated";
        findings.warn("rotation", message, "look whether its folder can be written: renaming files needs that");
    }
}

fn chain(log: &AuditLog, findings: &mut Findings) {
    match log.verify(&[]) {
        Err(error) => findings.error("chain", error.to_string(), "make it readable for you"),
        Ok(found) => {
            for fault in &found.faults {
                let help = if found.is_broken {
                    "find out who changed it; move the files away, then `knockon audit seal --accept`"
                } else {
                    "find out who changed it; `knockon audit seal --accept` takes the log as it is"
                };
                findings.error("chain", fault.to_string(), help);
            }
            // A log that was never written has nothing sealed.
            let is_new = found.records == 0 && found.sealed.is_none();
            for note in found.notes.iter().filter(|_| !is_new) {
                findings.warn("chain", note.clone(), "see `knockon audit verify`");
            }
            if found.faults.is_empty() {
                let records = count(usize::try_from(found.records).unwrap_or(usize::MAX), "record");
                findings.fine("chain", format!("{records}, each linked to the one before"));
            }
        }
    }
}

fn state_folders(user: &UserFolders, findings: &mut Findings) {
    for warning in user.warnings() {
        findings.warn(
            "state folder",
            warning,
            "unset it, or set it in your own profile to a folder outside of the project",
        );
    }
    let Some(state) = &user.state else {
        let help = "set HOME or XDG_STATE_HOME: trust, seals and background hooks need it";
        return findings.error("state folder", "the user has no place for state", help);
    };
    if let Some(why) = unwritable(state) {
        let help =
            "make it writable for you, or set XDG_STATE_HOME: trust, the key of the audit log and its seals lie there";
        return findings.error("state folder", format!("{} cannot be written: {why}", state.display()), help);
    }
    let folders = [Some(state), user.cache.as_ref()].into_iter().flatten();
    let folders = folders.flat_map(|folder| [folder.clone(), folder.join("trust"), folder.join("seals")]);
    let mut all_private = true;
    for folder in folders.filter(|folder| folder.exists()) {
        if let Some(why) = exposed(&folder) {
            all_private = false;
            let help = format!("chmod 700 {}", folder.display());
            findings.error("state folder", format!("{} {why}", folder.display()), &help);
        }
    }
    let stores = store::damaged(user).into_iter().map(|path| path.to_string_lossy().into_owned());
    for name in stores.chain(damaged(&state.join("seals"))) {
        let message = format!("{name} was damaged and moved aside");
        findings.warn("state folder", message, "keep it if you want to find out why, else remove it");
    }
    if all_private {
        findings.fine("state folder", format!("{} is yours alone", state.display()));
    }
}

/// Why nothing can be written to a folder, or it cannot be made.
fn unwritable(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|folder| folder.symlink_metadata().is_ok())?;
    let shown = there.display();
    match there.metadata() {
        Err(error) => Some(format!("{shown}: {error}")),
        Ok(of) if !of.is_dir() => Some(format!("{shown} is no folder")),
        Ok(_) => (!sys::can_write(there)).then(|| format!("you have no right to write to {shown}")),
    }
}

fn exposed(folder: &Path) -> Option<String> {
    match sys::owner(folder) {
        Ok(owner) => sys::not_private(owner),
        Err(error) => Some(format!("cannot be looked at: {error}")),
    }
}

fn damaged(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().to_string_lossy().into_owned()).filter(|path| path.contains("damaged-")).collect()
}

fn stored(user: &UserFolders, findings: &mut Findings) {
    match store::inspect(user) {
        Ok(None) => {}
        Ok(Some(found)) if found.left_behind > 0 => {
            let message = format!("{} in the background lost their process", count(found.left_behind, "hook"));
            findings.warn("background", message, "`knockon drain` carries them out");
        }
        Ok(Some(found)) => findings.fine("background", format!("{} under way", count(found.stored, "hook"))),
        Err(error) => {
            let help =
                "nothing: whoever needs it next moves it aside, and begins a new one with what can be read of it";
            findings.error("background", error.to_string(), help);
        }
    }
}

/// The way of work-package events to the team.
fn team(user: &UserFolders, findings: &mut Findings) {
    let signed_in = match CredentialStore::of(user).and_then(|store| store.read()) {
        Ok(Credentials { team: Some(team), server, .. }) => {
            findings.fine("sync", format!("signed in to {server} as team {}", one_line(&team)));
            true
        }
        Ok(Credentials { server, .. }) => {
            let message = format!("signed in to {server}, and nothing is sent: the team is not known");
            findings.warn("sync", message, "knockon sync login --team SLUG");
            true
        }
        Err(CredentialError::SignedOut | CredentialError::NoFolder) => false,
        Err(error @ CredentialError::Exposed { .. }) => {
            // It says what to do.
            findings.error("sync", error.to_string(), "the tokens may be known to others: let your team revoke them");
            false
        }
        Err(error) => {
            findings.warn("sync", error.to_string(), "knockon sync login");
            false
        }
    };
    // A store that cannot be read was told already.
    let Ok(Some(InspectedQueue { standing, reserve_file, reserve })) = store::inspect_queue(user) else { return };
    waiting(&standing, signed_in, findings);
    let (value, file) = (standing.clock.value, reserve_file.display());
    match reserve {
        Some((most, node)) if most < value || node != standing.clock.node => {
            let message = format!(
                "{file} says {most} of node {node}, and the clock is at {value} of node {}: it is an older one",
                standing.clock.node
            );
            findings.error("sync clock", message, "remove the file: a store that is lost then begins as another node");
        }
        None if value > 0 => {
            let message = format!("{file} is not there: should the store be lost, this machine becomes another node");
            findings.warn("sync clock", message, "nothing: it is written again as the clock runs on");
        }
        _ => findings.fine("sync clock", format!("at {value}, node {}", standing.clock.node)),
    }
}

fn waiting(standing: &Standing, signed_in: bool, findings: &mut Findings) {
    let events = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX), "event");
    let Standing { depth, held_back, .. } = *standing;
    let late = standing.oldest.is_some_and(|oldest| oldest.as_millis() + LATE < Timestamp::now().as_millis());
    match (&standing.trouble, signed_in) {
        _ if depth == 0 => findings.fine("sync queue", "nothing waits"),
        (Some(trouble), true) if depth > held_back => {
            let message = format!("{} wait: {}", events(depth), one_line(trouble));
            findings.warn("sync queue", message, "`knockon sync now` tries it again");
        }
        (_, true) if late && depth > held_back => {
            findings.warn("sync queue", format!("{} wait", events(depth)), "`knockon sync now` sends them");
        }
        (_, true) if held_back > 0 => {
            let message = format!("{} of projects that are not enabled stay here", events(held_back));
            findings.warn("sync queue", message, "`knockon sync enable` or `knockon sync disable` in the project");
        }
        (_, false) if depth >= WARN_FROM => {
            let help = "`knockon sync login` and `knockon sync enable` let them go out; none is dropped";
            findings.warn("sync queue", format!("{} wait, and nobody is signed in", events(depth)), help);
        }
        _ => findings.fine("sync queue", format!("{} wait", events(depth))),
    }
    if standing.dead > 0 {
        let message = format!("{} will not be taken by the server", events(standing.dead));
        findings.warn("sync queue", message, "`knockon sync dead list` says why; then `dead retry` or `dead drop`");
    }
    if standing.refused > 0 {
        let message = format!("{} were not queued, because the queue was full", events(standing.refused));
        findings.warn("sync queue", message, "raise `sync.max_events` of settings.yaml, or send what waits");
    }
}

fn clock(log: &AuditLog, findings: &mut Findings) {
    let now = Timestamp::now();
    let last = log.last_time().ok().flatten();
    match last {
        _ if now.as_millis() < WRITTEN => {
            findings.error("clock", format!("this machine believes it is {now}"), "set its clock");
        }
        Some(last) if last.as_millis() > now.as_millis() + SKEW => {
            let message = format!("the last record is of {last}, which is yet to come");
            findings.warn("clock", message, "look at the clocks of the machines that write this log");
        }
        _ => findings.fine("clock", now.to_string()),
    }
}

fn sandbox(emitter: &Emitter, findings: &mut Findings) {
    let abilities = sys::abilities();
    let missing: Vec<&str> = abilities.iter().filter(|(_, can)| !can).map(|(what, _)| *what).collect();
    let bubblewrap = find_in_path("bwrap".as_ref(), emitter.caller().search_path());
    match missing.as_slice() {
        [] => findings.fine("sandbox", "`guard` can have all of it"),
        missing => {
            let message = format!("`guard` cannot keep hooks from everything here: {}", missing.join(", "));
            findings.warn("sandbox", message, "all of it needs Linux 6.12 with Landlock, seccomp and user namespaces; `require: true` refuses the hook without");
        }
    }
    if bubblewrap.is_none() {
        findings.warn("sandbox", "`strict` cannot be had: there is no bwrap", "install bubblewrap");
    }
}
