//! The clean environment of a hook.

use super::program::ProgramFault;
use crate::delivery::Delivery;
use crate::project::Project;
use crate::sys;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a hook gets of the caller's environment (ADR-006).
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// `PATH` for a caller that has none.
const FALLBACK_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Above this an event goes into a file: one string of the environment may not exceed 128 KiB on
/// Linux (`MAX_ARG_STRLEN`, execve(2)).
const MAX_EVENT_VARIABLE: usize = 96 * 1024;

/// The part of the caller's environment that hooks get.
#[derive(Clone, Debug, Default)]
pub struct CallerEnvironment {
    variables: Vec<(&'static str, OsString)>,
}

impl CallerEnvironment {
    /// Takes the variables that are passed on.
    pub fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut variables: Vec<_> = PASSED_ON.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
        if !variables.iter().any(|(name, _)| *name == "PATH") {
            variables.push(("PATH", FALLBACK_PATH.into()));
        }
        CallerEnvironment { variables }
    }

    /// That of this process.
    pub fn of_this_process() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    /// The `PATH` that hooks get.
    pub fn search_path(&self) -> &OsStr {
        self.get("PATH").unwrap_or(OsStr::new(FALLBACK_PATH))
    }

    fn get(&self, wanted: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_os_str())
    }
}

/// A file that holds an event too large for a variable; removed with this value.
#[derive(Debug)]
pub(super) struct EventFile(PathBuf);

impl Drop for EventFile {
    fn drop(&mut self) {
        // Nothing to do about a file that is gone or cannot be removed.
        let _ = fs::remove_file(&self.0);
    }
}

/// The environment of `delivery`, and the event's file when it is too large for a variable.
///
/// # Errors
/// That file cannot be written.
pub(super) fn environment(
    caller: &CallerEnvironment,
    project: &Project,
    delivery: &Delivery<'_>,
) -> Result<(Vec<CString>, Option<EventFile>), ProgramFault> {
    let mut variables: Vec<(&[u8], &[u8])> =
        caller.variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let passed: Vec<(&String, OsString)> =
        delivery.hook.env_from.iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
    variables.extend(passed.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    variables.extend(delivery.hook.env.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let id = delivery.event.id().to_string();
    variables.push((b"HOOK_NAME", delivery.hook.name.as_str().as_bytes()));
    variables.push((b"HOOK_WORKSPACE", project.root().as_os_str().as_bytes()));
    variables.push((b"HOOK_EVENT_TYPE", delivery.event.kind().as_str().as_bytes()));
    variables.push((b"HOOK_EVENT_ID", id.as_bytes()));
    let attempt = delivery.attempt.to_string();
    variables.push((b"HOOK_ATTEMPT", attempt.as_bytes()));
    let event = delivery.event.json().text().as_bytes();
    let file = if event.len() <= MAX_EVENT_VARIABLE {
        variables.push((b"HOOK_EVENT", event));
        None
    } else {
        Some(write_event(caller, &id, delivery.event.bytes())?)
    };
    if let Some(file) = &file {
        variables.push((b"HOOK_EVENT_FILE", file.0.as_os_str().as_bytes()));
    }
    // The last of a name wins: the caller's, then `env`, then ours.
    let last = |at: usize, name: &[u8]| variables[at + 1..].iter().all(|(later, _)| *later != name);
    let kept = variables.iter().enumerate().filter(|(at, (name, _))| last(*at, name)).map(|(_, pair)| pair);
    let lines = kept.filter_map(|(name, value)| CString::new([name, &b"="[..], value].concat()).ok());
    Ok((lines.collect(), file))
}

fn write_event(caller: &CallerEnvironment, id: &str, bytes: &[u8]) -> Result<EventFile, ProgramFault> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = caller.get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("knockon-{id}-{}-{number}.json", std::process::id()));
    let created = sys::create_private(&path).map(|file| (file, EventFile(path)));
    let written = created.and_then(|(mut file, event_file)| file.write_all(bytes).map(|()| event_file));
    written.map_err(|error| ProgramFault::EventFile(folder, error))
}
