//! What `init` writes: a commented `hooks.yaml`, its schema for editors, a README, and example scripts that do something useful;
//! and the single line that `on` writes (`one_line`).
//!
//! Never overwrites: a file that exists stays as it is, whatever is in it.

mod one_line;

pub use one_line::{OneLine, OneLineWritten, add_one_line};

use crate::event::SCHEMAS;
use crate::project::{Layout, Project};
use crate::sys;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What became of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is new.
    New,
    /// It was there, with the very content it would have got.
    Same,
    /// It was there with other content, and was left alone.
    Foreign,
}

impl Written {
    /// The word in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Written::New => "written",
            Written::Same => "present",
            Written::Foreign => "kept",
        }
    }
}

/// A file of the scaffold.
#[derive(Clone, Debug)]
pub struct ScaffoldFile {
    /// Its path.
    pub path: PathBuf,
    /// What became of it.
    pub written: Written,
}

/// Why the scaffold could not be written.
#[derive(Debug)]
pub enum ScaffoldError {
    /// The hooks folder is a link out of the project.
    Outside(PathBuf),
    /// The configuration there is has errors.
    Configuration(String),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for ScaffoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScaffoldError::Outside(path) => {
                write!(f, "{} leads out of the project; nothing was written", path.display())
            }
            ScaffoldError::Configuration(problem) => f.write_str(problem),
            ScaffoldError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ScaffoldError {}

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        /// The example scripts, by file name.
        pub const SCRIPTS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../examples/hooks/", $name)))),*];
    };
}

scripts![
    "show-event.sh",
    "run-tests.sh",
    "lint-code.sh",
    "update-changelog.py",
    "coverage-gate.py",
    "draft-pull-request.py",
    "aggregate-progress.py",
    "notify-desktop.sh",
    "notify-webhook.py",
    "record-metrics.py",
    "check-secrets.py",
    "tag-release.sh",
    "task-summary.sh",
];

/// The commented configuration.
pub const HOOKS_YAML: &str = include_str!("hooks.yaml");
/// The schema beside it, for editors: its first line names this file.
const SCHEMA_FILE: &str = "hooks.schema.json";
const README: &str = include_str!("README.md");
const GITIGNORE: &str =
    "# What knockon writes while hooks run, and what is yours alone.\naudit.log*\nhooks.local.yaml\n";

/// Writes what is missing into the project's hooks folder; `.knockon` when the project has none.
///
/// # Errors
/// The folder is not inside the project, or a file cannot be written. What was written before stays.
pub fn init(project: &Project) -> Result<Vec<ScaffoldFile>, ScaffoldError> {
    let folder = match project.layout() {
        Layout::Flowspec => ".flowspec/hooks",
        Layout::Knockon | Layout::Bare => ".knockon",
    };
    let folder = project.root().join(folder);
    make_folder(project, &folder)?;
    let schema = SCHEMAS.iter().find(|schema| schema.name == "config").map(|schema| (SCHEMA_FILE, schema.text));
    let texts =
        [("hooks.yaml", HOOKS_YAML), ("README.md", README), (".gitignore", GITIGNORE)].into_iter().chain(schema);
    let plain = texts.map(|(name, text)| (name, text, 0o644));
    let scripts = SCRIPTS.iter().map(|(name, text)| (*name, *text, 0o755));
    plain.chain(scripts).map(|(name, text, mode)| write_new(&folder.join(name), text, mode)).collect()
}

/// Makes the hooks folder, which must not lead out of the project. Returns whether it is new.
fn make_folder(project: &Project, folder: &Path) -> Result<bool, ScaffoldError> {
    let failed = |error| ScaffoldError::Io(folder.to_owned(), error);
    let way = folder.ancestors().take_while(|folder| *folder != project.root());
    let missing: Vec<&Path> = way.filter(|folder| !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
    // Whatever the umask: a folder that the group may write to is not trusted. What was there keeps its mode.
    for made in &missing {
        let mode = made.metadata().map_err(failed)?.permissions().mode();
        fs::set_permissions(made, fs::Permissions::from_mode(mode & !0o022)).map_err(failed)?;
    }
    match folder.canonicalize().map_err(failed)?.starts_with(project.root()) {
        true => Ok(!missing.is_empty()),
        false => Err(ScaffoldError::Outside(folder.to_owned())),
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<ScaffoldFile, ScaffoldError> {
    let failed = |error| ScaffoldError::Io(path.to_owned(), error);
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = match opened {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(failed)?;
            // A umask that lets the group write would make the script untrustworthy.
            file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
            Written::New
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match content(path, text.len()) {
            Some(bytes) if bytes == text.as_bytes() => Written::Same,
            _ => Written::Foreign,
        },
        Err(error) => return Err(failed(error)),
    };
    Ok(ScaffoldFile { path: path.to_owned(), written })
}

/// The content of a file of about `length` bytes; nothing for a pipe, a device, or a link elsewhere.
fn content(path: &Path, length: usize) -> Option<Vec<u8>> {
    let folder = sys::open_folder(path.parent()?).ok()?;
    let file = sys::open_beneath(&folder, Path::new(path.file_name()?), sys::OpenMode::File).ok()?;
    sys::read_capped(&file, length).ok()
}
