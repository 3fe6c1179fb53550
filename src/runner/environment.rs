//! The clean environment of a hook.

use super::event_loop::Surroundings;
use super::program::ProgramFault;
use super::scratch::{Scratch, ScratchFile};
use crate::delivery::{Delivery, TraceParent};
use crate::sys;
use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a hook gets of the caller's environment (ADR-006).
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    // Where a user's things are: a hook that calls knockon uses the same installation.
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// Python (3.11 and later) looks for modules in the folder of its script first, where nothing is reviewed: a `json.py` beside a
/// trusted script would run in place of the module that it imports. A hook that has modules there says `env: {PYTHONSAFEPATH: ''}`.
const SAFE_PATH: (&[u8], &[u8]) = (b"PYTHONSAFEPATH", b"1");

/// `PATH` for a caller that has none.
const FALLBACK_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Above this an event goes into a file: one string of the environment may not exceed 128 KiB on
/// Linux (`MAX_ARG_STRLEN`, execve(2)).
const MAX_EVENT_VARIABLE: usize = 96 * 1024;

/// The part of the caller's environment that hooks get.
#[derive(Clone, Debug, Default)]
pub struct CallerEnvironment {
    variables: Vec<(&'static str, OsString)>,
    /// The trace that the caller is part of (W3C Trace Context), and the `tracestate` that goes with it.
    pub(super) trace: Option<(TraceParent, Option<OsString>)>,
    /// Whether a person is at a terminal.
    interactive: bool,
}

impl CallerEnvironment {
    /// Takes the variables that are passed on.
    pub fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut variables: Vec<_> = PASSED_ON.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
        if !variables.iter().any(|(name, _)| *name == "PATH") {
            variables.push(("PATH", FALLBACK_PATH.into()));
        }
        let traceparent = variable("TRACEPARENT").and_then(|value| TraceParent::parse(value.to_str()?));
        // `TRACESTATE` means nothing without the other.
        let trace = traceparent.map(|traceparent| (traceparent, variable("TRACESTATE")));
        CallerEnvironment { variables, trace, interactive: false }
    }

    /// That of this process.
    pub fn of_this_process() -> Self {
        let interactive = sys::is_interactive();
        CallerEnvironment { interactive, ..Self::from(|name| std::env::var_os(name)) }
    }

    /// The span that the caller is in.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.trace.as_ref().map(|(traceparent, _)| *traceparent)
    }

    /// The `PATH` that hooks get.
    pub fn search_path(&self) -> &OsStr {
        self.get("PATH").unwrap_or(OsStr::new(FALLBACK_PATH))
    }

    /// Where temporary files go.
    pub(super) fn temporary_folder(&self) -> PathBuf {
        // A relative one would be another folder for each hook.
        let own = self.get("TMPDIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        own.unwrap_or_else(|| PathBuf::from("/tmp"))
    }

    /// The home folder.
    pub(super) fn home(&self) -> Option<PathBuf> {
        // Also where the variable is missing, as under an init system: the user has one.
        self.get("HOME")
            .map(PathBuf::from)
            .or_else(std::env::home_dir)
            .filter(|home| home.is_absolute() && home != Path::new("/"))
    }

    fn get(&self, wanted: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_os_str())
    }
}

/// Files of a hook that runs: each is removed with this value.
#[derive(Debug, Default)]
pub(super) struct HookFiles {
    /// Holds an event too large for a variable.
    _event: Option<ScratchFile>,
    /// Where the hook may write its answer.
    pub(super) response: Option<ScratchFile>,
}

/// The environment of `delivery` with `traceparent` and `tracestate`, and the files it names.
///
/// # Errors
/// The event is too large for a variable, and no file can be written.
pub(super) fn environment(
    surroundings: Surroundings<'_>,
    delivery: &Delivery<'_>,
    temporary: Option<&Path>,
    (trace, state): (TraceParent, Option<OsString>),
) -> Result<(Vec<CString>, HookFiles), ProgramFault> {
    let Surroundings { caller, project, scratch, .. } = surroundings;
    let Delivery { hook, event, attempt, occasion, .. } = delivery;
    let base = caller.temporary_folder();
    let (id, attempt) = (event.id().to_string(), attempt.to_string());
    let (trace, chain) = (trace.to_string(), occasion.chain.saturating_add(1).to_string());
    let count = occasion.coalesced.map(|count| count.to_string());
    let text = event.json().text().as_bytes();
    let large = text.len() > MAX_EVENT_VARIABLE;
    // A hook that cannot answer by a file can still answer by its output.
    let response = scratch.file(&base, temporary, ".answer").ok();
    let file = if large { Some(write_event(scratch, &base, temporary, event.bytes())?) } else { None };
    let passed: Vec<(&String, OsString)> =
        hook.env_from.iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
    let mut variables: Vec<(&[u8], &[u8])> =
        caller.variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    variables.push(SAFE_PATH);
    variables.extend(temporary.map(|folder| (&b"TMPDIR"[..], folder.as_os_str().as_bytes())));
    variables.extend(passed.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    variables.extend(hook.env.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let flag = |flag: bool| if flag { b"1" } else { b"0" };
    variables.extend::<[(&[u8], &[u8]); 10]>([
        (b"HOOK_NAME", hook.name.as_str().as_bytes()),
        (b"HOOK_WORKSPACE", project.root().as_os_str().as_bytes()),
        (b"HOOK_EVENT_TYPE", event.kind().as_str().as_bytes()),
        (b"HOOK_EVENT_ID", id.as_bytes()),
        (b"HOOK_ATTEMPT", attempt.as_bytes()),
        (b"HOOK_REPLAY", flag(occasion.replay)),
        (b"HOOK_INTERACTIVE", flag(caller.interactive)),
        (b"HOOK_SOURCE", occasion.source.as_bytes()),
        (b"KNOCKON_CHAIN", chain.as_bytes()),
        (b"TRACEPARENT", trace.as_bytes()),
    ]);
    let optional: [(&[u8], Option<&[u8]>); 5] = [
        (b"TRACESTATE", state.as_ref().map(|state| state.as_bytes())),
        (b"HOOK_COALESCED", count.as_ref().map(String::as_bytes)),
        (b"HOOK_RESPONSE", response.as_ref().map(|file| file.path().as_os_str().as_bytes())),
        (b"HOOK_EVENT_FILE", file.as_ref().map(|file| file.path().as_os_str().as_bytes())),
        (b"HOOK_EVENT", Some(text).filter(|_| !large)),
    ];
    // What is ours is ours, also where there is nothing to say.
    variables.retain(|(name, _)| optional.iter().all(|(ours, _)| ours != name));
    variables.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    // The last of a name wins: the caller's, then `env`, then ours.
    let last = |at: usize, name: &[u8]| variables[at + 1..].iter().all(|(later, _)| *later != name);
    let kept = variables.iter().enumerate().filter(|(at, (name, _))| last(*at, name)).map(|(_, pair)| pair);
    let lines = kept.filter_map(|(name, value)| CString::new([name, &b"="[..], value].concat()).ok()).collect();
    Ok((lines, HookFiles { _event: file, response }))
}

fn write_event(
    scratch: &Scratch,
    base: &Path,
    temporary: Option<&Path>,
    bytes: &[u8],
) -> Result<ScratchFile, ProgramFault> {
    let written = scratch.file(base, temporary, ".json").and_then(|file| {
        sys::create_private(file.path())?.write_all(bytes)?;
        Ok(file)
    });
    written.map_err(|error| ProgramFault::EventFile(base.to_owned(), error))
}
