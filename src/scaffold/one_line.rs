//! What `on` writes: one hook in one line, in a file of its own beside `hooks.yaml`.

use super::{ScaffoldError, Written, write_new};
use crate::config::{Found, HookName, Loaded, ONE_LINE_FILE, Severity, load};
use crate::json::push_string;
use crate::project::{Layout, Project, UserFolders};
use crate::sys;
use crate::text::terminal_safe_json;
use crate::time::Timestamp;
use crate::trust::{Entry, Manifest, TrustStore, Verdict, verdict};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

const HEADING: &str = "# One hook a line, written by `knockon on`. Read together with hooks.yaml; edit it as you like.\nversion: \"1.1\"\nhooks:\n";
const EMPTY_HOOKS: &str = "version: \"1.1\"\nhooks: []\n";

/// A hook in one line.
#[derive(Clone, Debug)]
pub struct OneLine {
    /// The glob over the event's type.
    pub kind: String,
    /// The command line.
    pub command: String,
    /// Its name; made from the type without one.
    pub name: Option<HookName>,
    /// Whether its failure stops the caller.
    pub stop: bool,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct OneLineWritten {
    /// The hook's name.
    pub name: String,
    /// The line.
    pub line: String,
    /// The file.
    pub path: PathBuf,
    /// Whether the hooks of the project are trusted now.
    pub trusted: bool,
}

/// Adds the hook to the project, or shows what would be added. It is trusted when all of the project was
/// trusted before, or nothing was there.
///
/// # Errors
/// The configuration has errors, the name is taken, or the file cannot be written. The file is as it was.
pub fn add_one_line(
    project: &Project,
    user: &UserFolders,
    wanted: &OneLine,
    dry_run: bool,
) -> Result<OneLineWritten, ScaffoldError> {
    let user = UserFolders { state: user.state.clone(), ..UserFolders::default() };
    let before = load(project, &user, None);
    refuse_errors(&before)?;
    let name = name_for(wanted, &before)?;
    let line = line_for(wanted, &name);
    let folder = match project.layout() {
        Layout::Flowspec => ".flowspec/hooks",
        Layout::Knockon | Layout::Bare => ".knockon",
    };
    let folder = project.root().join(folder);
    let path = folder.join(ONE_LINE_FILE);
    if dry_run {
        return Ok(OneLineWritten { name, line, path, trusted: false });
    }
    let store = TrustStore::of(&user);
    let planted = Found::BESIDE.iter().any(|name| folder.join(name).symlink_metadata().is_ok());
    let known = match before.project_file() {
        // Without a hooks.yaml these were not read, and nobody trusted them.
        None if planted => None,
        None => Some(Vec::new()),
        Some(file) => match verdict(project, file, None, &store) {
            (Verdict::Trusted, Some(manifest)) => Some(manifest.entries().to_vec()),
            _ => None,
        },
    };
    if super::make_folder(project, &folder)? {
        write_new(&folder.join(".gitignore"), super::GITIGNORE, 0o644)?;
    }
    let main = folder.join("hooks.yaml");
    let fresh = before.project_file().is_none() && write_new(&main, EMPTY_HOOKS, 0o644)?.written == Written::New;
    let length = append(&path, &line)?;
    // The folder may be new, and with it where the project keeps its hooks.
    let project = Project::at(project.root()).map_err(|error| ScaffoldError::Io(folder.clone(), error))?;
    let after = load(&project, &user, None);
    if let Err(error) = refuse_errors(&after) {
        take_back(&path, length)?;
        if fresh {
            fs::remove_file(&main).map_err(|error| ScaffoldError::Io(main, error))?;
        }
        return Err(error);
    }
    let trusted = known.is_some_and(|known| trust(&project, &after, &store, &known));
    Ok(OneLineWritten { name, line, path, trusted })
}

fn refuse_errors(loaded: &Loaded) -> Result<(), ScaffoldError> {
    match loaded.problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(ScaffoldError::Configuration(problem.to_string())),
        None => Ok(()),
    }
}

fn name_for(wanted: &OneLine, loaded: &Loaded) -> Result<String, ScaffoldError> {
    let taken = |name: &str| loaded.find(name).is_some();
    if let Some(name) = &wanted.name {
        return match taken(name.as_str()) {
            true => Err(ScaffoldError::Configuration(format!("there is a hook `{name}` already; give another --name"))),
            false => Ok(name.to_string()),
        };
    }
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let words = wanted.kind.split(|character| !fits(character)).filter(|word| !word.is_empty());
    let base = std::iter::once("on").chain(words).collect::<Vec<_>>().join("-");
    let numbered = (2..).map(|number: u32| format!("{base}-{number}"));
    // Ends: there are more numbers than hooks.
    Ok(std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default())
}

fn line_for(wanted: &OneLine, name: &str) -> String {
    // In quotes: YAML takes a bare `on` or `yes` for a boolean.
    let mut line = format!("  - {{name: \"{name}\", events: [{{type: ");
    push_string(&mut line, &wanted.kind);
    line.push_str("}], command: ");
    push_string(&mut line, &wanted.command);
    line.push_str(if wanted.stop { ", fail_mode: stop" } else { "" });
    // Whatever `defaults` say: who writes a hook wants it to run.
    line.push_str(", enabled: true}");
    format!("{}\n", terminal_safe_json(&line))
}

/// Adds the line and returns the length of the file before; 0 for a new one.
fn append(path: &Path, line: &str) -> Result<u64, ScaffoldError> {
    let failed = |error| ScaffoldError::Io(path.to_owned(), error);
    let there = sys::read_regular(path, crate::config::MAX_CONFIG_BYTES);
    if there.is_ok_and(|bytes| bytes.trim_ascii_end().ends_with(b"\nhooks: []")) {
        let message = format!("{}: write `hooks:` instead of `hooks: []`", path.display());
        return Err(ScaffoldError::Configuration(message));
    }
    sys::append_text(path, HEADING, line, crate::config::MAX_CONFIG_BYTES).map_err(failed)
}

fn take_back(path: &Path, length: u64) -> Result<(), ScaffoldError> {
    let undone = match length {
        0 => fs::remove_file(path),
        length => OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(length)),
    };
    undone.map_err(|error| ScaffoldError::Io(path.to_owned(), error))
}

/// Trusts what is there now if nothing but what was just written differs from `known`.
fn trust(project: &Project, loaded: &Loaded, store: &TrustStore, known: &[Entry]) -> bool {
    let Some(file) = loaded.project_file() else { return false };
    let manifest = Manifest::of(file);
    let mut others = manifest.entries().iter().filter(|entry| entry.path != ONE_LINE_FILE);
    let ours = |entry: &Entry| {
        known.contains(entry)
            || (known.is_empty() && file.bytes == EMPTY_HOOKS.as_bytes() && entry.path == "hooks.yaml")
    };
    others.all(ours)
        && manifest.refusal().is_none()
        && store.trust(project, loaded, file, &manifest, Timestamp::now()).is_ok()
}
