//! A hook's script on disk: opened beneath the hooks folder, and what is wrong when it cannot run.

use super::model::ScriptPath;
use crate::sys::{self, OpenFault, OpenMode, Owner};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Interpreters that an extension names without doubt. `.sh` is not among them: it may be written for
/// sh or for bash, and running it with the wrong one breaks it in silence.
const INTERPRETERS: &[(&str, &str)] = &[
    ("py", "python3"),
    ("js", "node"),
    ("mjs", "node"),
    ("rb", "ruby"),
    ("pl", "perl"),
    ("bash", "bash"),
    ("zsh", "zsh"),
];

/// How much of a script is looked at for its first line; the kernel reads 256 bytes (execve(2)).
const HEAD: usize = 256;

/// An open script.
#[derive(Debug)]
pub struct ScriptFile {
    /// The open file.
    pub file: File,
    /// Its owner, mode and size.
    pub owner: Owner,
    /// Its path, links not followed.
    pub path: PathBuf,
}

/// Why a script cannot run.
#[derive(Debug)]
pub enum ScriptFault {
    /// There is no such file.
    Missing(PathBuf),
    /// A link leads out of the hooks folder.
    Outside(PathBuf),
    /// It is a folder, pipe or device.
    NotAFile(PathBuf, &'static str),
    /// It may not be executed, and its name does not tell what would run it.
    NotExecutable(PathBuf),
    /// It has no bytes.
    Empty(PathBuf),
    /// It is text whose first line does not name an interpreter.
    NoShebang(PathBuf),
    /// Its first line ends in CR LF, so that the interpreter's name ends in CR.
    CarriageReturn(PathBuf),
    /// The interpreter it names is not installed.
    NoInterpreter(PathBuf, String),
    /// It lies on a file system from which nothing may be executed.
    NoExecution(PathBuf),
    /// Somebody has it open for writing.
    Busy(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl ScriptFault {
    /// A stable name for this kind of fault.
    pub fn code(&self) -> &'static str {
        match self {
            ScriptFault::Missing(_) => "script-missing",
            ScriptFault::Outside(_) => "script-outside",
            ScriptFault::NotAFile(..) => "script-not-a-file",
            ScriptFault::NotExecutable(_) => "script-not-executable",
            ScriptFault::Empty(_) => "script-empty",
            ScriptFault::NoShebang(_) => "script-no-shebang",
            ScriptFault::CarriageReturn(_) => "script-carriage-return",
            ScriptFault::NoInterpreter(..) => "script-no-interpreter",
            ScriptFault::NoExecution(_) => "script-no-execution",
            ScriptFault::Busy(_) => "script-busy",
            ScriptFault::Io(..) => "script-unreadable",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            ScriptFault::Missing(path) => format!("create {}, or correct the path", path.display()),
            ScriptFault::Outside(_) => "put the script itself into the hooks folder".into(),
            ScriptFault::NotAFile(..) => "name a file".into(),
            ScriptFault::NotExecutable(path) => format!("run: chmod +x {}", path.display()),
            ScriptFault::Empty(_) => "write the script, its first line `#!/bin/sh` or the like".into(),
            ScriptFault::NoShebang(_) => "begin it with `#!/bin/sh` or the like".into(),
            ScriptFault::CarriageReturn(path) => format!("run: sed -i 's/\\r$//' {}", path.display()),
            ScriptFault::NoInterpreter(_, name) => format!("install {name}, or correct the script's first line"),
            ScriptFault::NoExecution(_) => {
                "run its interpreter with `command: [sh, …]`, or move the project to another file system".into()
            }
            ScriptFault::Busy(_) => "close it where it is written, and emit again".into(),
            ScriptFault::Io(..) => "check the file and its folder".into(),
        }
    }
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptFault::Missing(path) => write!(f, "the script {} does not exist", path.display()),
            ScriptFault::Outside(path) => {
                write!(f, "the script {} is a link that leads out of the hooks folder", path.display())
            }
            ScriptFault::NotAFile(path, what) => write!(f, "the script {} is {what}", path.display()),
            ScriptFault::NotExecutable(path) => write!(f, "the script {} is not executable", path.display()),
            ScriptFault::Empty(path) => write!(f, "the script {} is empty", path.display()),
            ScriptFault::NoShebang(path) => {
                write!(f, "the script {} does not say what runs it: its first line is no `#!` line", path.display())
            }
            ScriptFault::CarriageReturn(path) => {
                write!(f, "the first line of the script {} ends in CR LF (Windows line ends)", path.display())
            }
            ScriptFault::NoInterpreter(path, name) => {
                write!(f, "the script {} is run by {name}, which is not installed", path.display())
            }
            ScriptFault::NoExecution(path) => {
                write!(f, "the script {} lies on a file system that is mounted noexec", path.display())
            }
            ScriptFault::Busy(path) => {
                write!(f, "the script {} is busy: another program has it open for writing", path.display())
            }
            ScriptFault::Io(path, error) => write!(f, "the script {} cannot be opened: {error}", path.display()),
        }
    }
}

impl std::error::Error for ScriptFault {}

impl ScriptFile {
    /// Opens a script without following a link out of `hooks_folder`.
    ///
    /// # Errors
    /// It is missing, outside, or not a regular file.
    pub fn open(hooks_folder: &Path, script: &ScriptPath) -> Result<Self, ScriptFault> {
        let path = hooks_folder.join(script.as_path());
        let opened = sys::open_folder(hooks_folder)
            .and_then(|folder| sys::open_beneath(&folder, script.as_path(), OpenMode::File));
        let file = opened.map_err(|fault| match fault {
            OpenFault::Missing => ScriptFault::Missing(path.clone()),
            OpenFault::Outside => ScriptFault::Outside(path.clone()),
            OpenFault::Wrong(what) => ScriptFault::NotAFile(path.clone(), what),
            OpenFault::Io(error) => ScriptFault::Io(path.clone(), error),
        })?;
        Ok(ScriptFile { owner: file.owner(), file: file.into_file(), path })
    }

    /// Whether its owner may execute it, which is the bit git keeps.
    pub fn is_executable(&self) -> bool {
        self.owner.mode & 0o100 != 0
    }

    /// What to execute and the arguments before the script's own: the script itself, or the interpreter
    /// that its extension names when it is not executable. `search` is the `PATH` to look in.
    ///
    /// # Errors
    /// Nothing can run it.
    pub fn program(&self, search: &OsStr) -> Result<Vec<OsString>, ScriptFault> {
        let path = self.path.clone().into_os_string();
        if self.is_executable() {
            return Ok(vec![path]);
        }
        let extension = self.path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let Some((_, name)) = INTERPRETERS.iter().find(|(known, _)| *known == extension) else {
            return Err(ScriptFault::NotExecutable(self.path.clone()));
        };
        match find_in_path(name.as_ref(), search) {
            Some(program) => Ok(vec![program.into_os_string(), path]),
            None => Err(ScriptFault::NoInterpreter(self.path.clone(), (*name).to_owned())),
        }
    }

    /// Why the system did not execute it.
    pub fn refused(&self, error: io::Error, search: &OsStr) -> ScriptFault {
        match error.kind() {
            io::ErrorKind::ExecutableFileBusy => ScriptFault::Busy(self.path.clone()),
            io::ErrorKind::PermissionDenied if self.is_executable() && sys::is_noexec(&self.file) => {
                ScriptFault::NoExecution(self.path.clone())
            }
            _ => self.diagnose(search).unwrap_or_else(|| ScriptFault::Io(self.path.clone(), error)),
        }
    }

    /// Looks for the reason why the system would not execute, or did not.
    pub fn diagnose(&self, search: &OsStr) -> Option<ScriptFault> {
        if let Err(fault) = self.program(search) {
            return Some(fault);
        }
        let path = || self.path.clone();
        let head = match sys::read_capped(&self.file, HEAD) {
            Ok(head) => head,
            Err(error) => return Some(ScriptFault::Io(path(), error)),
        };
        if head.is_empty() {
            return Some(ScriptFault::Empty(path()));
        }
        let Some(line) = head.strip_prefix(b"#!") else {
            let text = !head.contains(&0);
            return (text && self.is_executable()).then(|| ScriptFault::NoShebang(path()));
        };
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.ends_with(b"\r") {
            return Some(ScriptFault::CarriageReturn(path()));
        }
        let mut words =
            line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty()).map(OsStr::from_bytes);
        let program = words.next().unwrap_or_default();
        let missing = |name: &OsStr| Some(ScriptFault::NoInterpreter(path(), name.to_string_lossy().into_owned()));
        if !Path::new(program).exists() {
            return missing(program);
        }
        let by_name = Path::new(program).file_name() == Some(OsStr::new("env"));
        match words.find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'=')) {
            Some(name) if by_name && find_in_path(name, search).is_none() => missing(name),
            _ => None,
        }
    }
}

/// Whether a program given by path or by name can be found.
pub(super) fn is_installed(program: &str, search: &OsStr) -> bool {
    // A relative path depends on the folder the hook runs in, which is not the folder of this process.
    program.contains('/') && !program.starts_with('/')
        || program.starts_with('/') && Path::new(program).is_file()
        || find_in_path(OsStr::new(program), search).is_some()
}

/// The first executable file called `name` in the folders of `search`.
pub fn find_in_path(name: &OsStr, search: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    std::env::split_paths(search).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(|path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}
