//! What a hook's action executes: the program, its arguments, and the folder it starts in.

use crate::config::{Action, ScriptFault, ScriptFile, Upcoming, find_in_path};
use crate::delivery::Delivery;
use crate::project::Project;
use crate::sys::{self, OpenMode, SpawnError, Step};
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Why a hook's program cannot be started.
#[derive(Debug)]
pub enum ProgramFault {
    /// Its script is at fault.
    Script(ScriptFault),
    /// Its shell does not exist or cannot be executed.
    Shell(OsString, io::Error),
    /// The program it names is not there or cannot be executed.
    Missing(String, io::Error),
    /// Its working directory cannot be entered, or is not inside the project.
    Folder(String, String),
    /// The file for an event too large for a variable cannot be written.
    EventFile(PathBuf, io::Error),
    /// The sandbox it asks for cannot be had.
    Sandbox(String),
    /// A later version carries this out.
    Upcoming(Upcoming),
    /// The system has no room for another process.
    System(io::Error),
}

impl ProgramFault {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            ProgramFault::Script(fault) => Some(fault.help()),
            ProgramFault::Shell(shell, _) => {
                Some(format!("install {}, or name another with `shell`", shell.to_string_lossy()))
            }
            ProgramFault::Missing(..) => Some("install it, or give its path".into()),
            ProgramFault::Folder(..) => Some("correct `working_directory`".into()),
            ProgramFault::EventFile(..) => Some("set TMPDIR to a folder that can be written".into()),
            ProgramFault::Upcoming(upcoming) if upcoming.key == "webhook" => {
                Some("call `curl` from a script or command instead".into())
            }
            ProgramFault::Sandbox(_) => Some(
                "install what is missing (bubblewrap; Linux 5.13 or newer with Landlock), or ask for less with `sandbox`".into(),
            ),
            ProgramFault::Upcoming(_) => None,
            ProgramFault::System(_) => None,
        }
    }
}

impl fmt::Display for ProgramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProgramFault::Script(fault) => fault.fmt(f),
            ProgramFault::Shell(shell, error) => {
                write!(f, "the shell {} cannot be executed: {error}", shell.to_string_lossy())
            }
            ProgramFault::Missing(program, error) => {
                write!(f, "the program `{}` cannot be executed: {error}", crate::text::one_line(program))
            }
            ProgramFault::Folder(folder, why) => write!(f, "the working directory {folder} cannot be used: {why}"),
            ProgramFault::EventFile(folder, error) => {
                let folder = folder.display();
                write!(f, "the event is too large for a variable, and no file can be written in {folder}: {error}")
            }
            ProgramFault::Sandbox(why) => write!(f, "the sandbox cannot be had: {why}"),
            ProgramFault::Upcoming(upcoming) => upcoming.fmt(f),
            ProgramFault::System(error) => write!(f, "no process could be started: {error}"),
        }
    }
}

impl std::error::Error for ProgramFault {}

/// What to execute.
#[derive(Debug)]
pub(super) struct Program {
    /// The file first, then its arguments.
    pub(super) arguments: Vec<CString>,
    /// The folder to start in.
    pub(super) folder: CString,
    script: Option<ScriptFile>,
}

impl Program {
    /// Finds the program of `delivery`; `search` is the `PATH` the hook gets.
    pub(super) fn of(delivery: &Delivery<'_>, project: &Project, search: &OsStr) -> Result<Self, ProgramFault> {
        let hook = delivery.hook;
        if let Some(upcoming) = &hook.upcoming {
            return Err(ProgramFault::Upcoming(upcoming.clone()));
        }
        let (arguments, script) = match &hook.action {
            Action::Script { path, args, .. } => {
                let script = ScriptFile::open(&delivery.file.hooks_folder, path).map_err(ProgramFault::Script)?;
                let mut arguments = script.program(search).map_err(ProgramFault::Script)?;
                arguments.extend(args.iter().map(OsString::from));
                (arguments, Some(script))
            }
            Action::Command(line) => (vec![hook.shell.clone().into(), "-c".into(), line.into()], None),
            Action::Program(arguments) => (program(arguments, search)?, None),
            Action::Webhook(_) | Action::Notify(_) | Action::Email(_) | Action::Transition(_) => (Vec::new(), None),
        };
        let below = hook.working_directory.as_path();
        let mut folder = project.root().to_owned();
        if below != "." {
            let opened = sys::open_folder(&folder).and_then(|root| sys::open_beneath(&root, below, OpenMode::Folder));
            opened.map_err(|fault| ProgramFault::Folder(below.display().to_string(), fault.to_string()))?;
            folder.push(below);
        }
        let to_c = |text: OsString| CString::new(text.into_vec()).map_err(|error| ProgramFault::System(error.into()));
        let arguments = arguments.into_iter().map(to_c).collect::<Result<_, _>>()?;
        Ok(Program { arguments, folder: to_c(folder.into_os_string())?, script })
    }

    /// Looks for what would keep its script from being started, before that is tried.
    pub(super) fn check(&self, search: &OsStr) -> Result<(), ProgramFault> {
        match self.script.as_ref().and_then(|script| script.diagnose(search)) {
            Some(fault) => Err(ProgramFault::Script(fault)),
            None => Ok(()),
        }
    }

    /// Says why the system did not start it.
    pub(super) fn explain(&self, error: SpawnError, delivery: &Delivery<'_>, search: &OsStr) -> ProgramFault {
        match (error.step, &self.script) {
            (Step::Execute, Some(script)) => ProgramFault::Script(script.refused(error.source, search)),
            (Step::Execute, None) => match &delivery.hook.action {
                Action::Program(arguments) => {
                    ProgramFault::Missing(arguments.first().cloned().unwrap_or_default(), error.source)
                }
                _ => ProgramFault::Shell(delivery.hook.shell.clone().into(), error.source),
            },
            (Step::Folder, _) => ProgramFault::Folder(
                delivery.hook.working_directory.as_path().display().to_string(),
                error.source.to_string(),
            ),
            (Step::Confine, _) => ProgramFault::Sandbox(error.source.to_string()),
            (Step::Clone | Step::SetUp, _) => ProgramFault::System(error.source),
        }
    }
}

/// The arguments of a command without a shell, its program found in `search` when it has no path.
fn program(arguments: &[String], search: &OsStr) -> Result<Vec<OsString>, ProgramFault> {
    let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    if let Some(name) = arguments.first_mut()
        && !name.as_encoded_bytes().contains(&b'/')
    {
        let missing = || ProgramFault::Missing(name.to_string_lossy().into_owned(), io::ErrorKind::NotFound.into());
        *name = find_in_path(name, search).ok_or_else(missing)?.into_os_string();
    }
    Ok(arguments)
}
