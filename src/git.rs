//! Hooks as a commit has them: read from git's objects, not from the files that lie there.
//!
//! `git` itself reads them, kept from everything that a repository could make it run: no hooks, no helpers, no
//! fetching of what is missing.

use crate::project::Layout;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The most files of a hooks folder, and how many bytes they may have together.
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The most that git may say at once: the files, and a line about each.
const MOST_OUTPUT: u64 = MOST_BYTES + 16 * 1024 * 1024;
/// The most of an error of git that is read.
const MOST_MESSAGE: u64 = 64 * 1024;
/// How long git may take for one answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// Why a commit's hooks cannot be read.
#[derive(Debug)]
pub enum GitError {
    /// `git` cannot be started.
    NoGit(io::Error),
    /// `git` refused; what it said.
    Git(String),
    /// It did not answer in time.
    TooSlow,
    /// The name stands for no commit.
    NoCommit(String),
    /// The name stands for more than one: a branch and a tag, for instance.
    Ambiguous(String, Vec<String>),
    /// The commit has no hooks.yaml.
    NoConfig(String),
    /// The hooks folder is larger than any.
    TooLarge,
    /// A file of it has no place below the folder it is in.
    Outside(String),
    /// They cannot be written down.
    Io(PathBuf, io::Error),
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GitError::NoGit(error) => write!(f, "git cannot be started: {error}"),
            GitError::Git(said) => write!(f, "git says: {said}"),
            GitError::TooSlow => write!(f, "git did not answer within {} seconds", LONGEST_ANSWER.as_secs()),
            GitError::Ambiguous(name, refs) => {
                let refs = refs.join(" and ");
                write!(f, "`{name}` is ambiguous, it is {refs}: write the full name of the one that you mean")
            }
            GitError::NoCommit(name) => write!(f, "`{name}` is no commit of this repository"),
            GitError::NoConfig(name) => {
                write!(f, "`{name}` has no .flowspec/hooks/hooks.yaml and no .knockon/hooks.yaml")
            }
            GitError::TooLarge => {
                write!(f, "its hooks folder has more than {MOST_FILES} files or {} MiB", MOST_BYTES / 1024 / 1024)
            }
            GitError::Outside(path) => write!(f, "the path {path} leads out of the hooks folder"),
            GitError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for GitError {}

/// The hooks of a commit, written down in a folder of the user's alone; removed with this value.
#[derive(Debug)]
pub struct Exported {
    folder: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// The commit, as 40 or 64 hexadecimal digits.
    pub commit: String,
    /// The full name of the reference that was taken, such as `refs/remotes/origin/main`; that of the commit where none was.
    pub reference: String,
    /// The folder of the project whose hooks they are.
    pub root: PathBuf,
}

impl Drop for Exported {
    fn drop(&mut self) {
        // A leftover is the user's alone.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One file of a commit.
struct Entry {
    mode: String,
    object: String,
    /// Below the project.
    path: Vec<u8>,
}

impl Entry {
    fn is_file(&self) -> bool {
        self.mode.starts_with("100")
    }

    /// Whether a link to `target` stays in the folder that the hooks are in.
    fn stays_inside(&self, target: &[u8], hooks_folder: &Path) -> bool {
        let mut at = Path::new(OsStr::from_bytes(&self.path)).parent().unwrap_or(Path::new("")).to_owned();
        for part in Path::new(OsStr::from_bytes(target)).components() {
            match part {
                Component::Normal(name) => at.push(name),
                Component::CurDir => {}
                Component::ParentDir if at.pop() => {}
                _ => return false,
            }
        }
        at.starts_with(hooks_folder)
    }
}

/// Writes the hooks folder of `name`, a branch, tag or commit, into a new folder in `base`: that of the project that
/// `start` is in, or with `exact` of `start` itself.
///
/// # Errors
/// See [`GitError`].
pub fn export(start: &Path, exact: bool, name: &str, base: &Path) -> Result<Exported, GitError> {
    let git = Git { root: start };
    let shown = || crate::text::one_line(name);
    let reference = git.full_name(name)?;
    let wanted = format!("{reference}^{{commit}}");
    let commit = git.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted], b"");
    let commit = commit.map_err(|error| {
        if matches!(&error, GitError::Git(said) if said.is_empty()) { GitError::NoCommit(shown()) } else { error }
    })?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    // A project may be a part of a repository: the nearest folder that has hooks in the commit, whatever lies there.
    let line = |arguments: &[&str]| {
        let said = git.run(arguments, b"")?;
        Ok(String::from_utf8_lossy(&said).strip_suffix('\n').unwrap_or_default().to_owned())
    };
    let (top, mut prefix) = (line(&["rev-parse", "--show-toplevel"])?, line(&["rev-parse", "--show-prefix"])?);
    loop {
        for layout in [Layout::Flowspec, Layout::Knockon] {
            let Some(hooks_folder) = layout.hooks_folder() else { continue };
            let entries = git.entries(&commit, &prefix, hooks_folder)?;
            // A link would lead to what is not in the commit.
            let is = |entry: &Entry, config: &str| entry.path == config.as_bytes() && entry.is_file();
            let has = |config: &&&str| entries.iter().any(|entry| is(entry, config));
            let Some(config) = layout.config_files().iter().find(has) else { continue };
            let unnamed = |error| GitError::Io(base.to_owned(), error);
            let random = getrandom::u64().map_err(|error| unnamed(io::Error::other(error)))?;
            let folder = base.join(format!("knockon-ref-{random:016x}"));
            DirBuilder::new().mode(0o700).create(&folder).map_err(unnamed)?;
            let root = Path::new(&top).join(&prefix);
            let exported = Exported { config: folder.join(config), folder, commit, reference, root };
            git.write(&entries, &exported.folder, hooks_folder)?;
            return Ok(exported);
        }
        if exact || prefix.is_empty() {
            return Err(GitError::NoConfig(shown()));
        }
        let above = prefix.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
        prefix.truncate(above);
    }
}

/// Whether git's own settings, those of the system and of the user, call a folder safe although another user owns it
/// (`safe.directory`, git-config(1)): itself, one above that ends in `/*`, or all.
pub fn calls_safe(folder: &Path) -> bool {
    let values = |scope: &str| {
        let said = Git { root: Path::new("/") }.run(&["config", scope, "--get-all", "safe.directory"], b"");
        String::from_utf8_lossy(&said.unwrap_or_default()).into_owned()
    };
    let all = values("--system") + &values("--global");
    // An empty value takes back those before it.
    let lines: Vec<&str> = all.lines().map(str::trim).collect();
    let from = lines.iter().rposition(|line| line.is_empty()).map_or(0, |at| at + 1);
    lines[from..].iter().any(|value| match value.strip_suffix("/*") {
        _ if *value == "*" => true,
        Some(above) => folder.ancestors().skip(1).any(|parent| parent == Path::new(above)),
        None => folder.ancestors().any(|at| at == Path::new(value)),
    })
}

/// Whether git tracks a file of a working tree; no where there is no git, or no repository.
pub fn tracks(root: &Path, path: &Path) -> bool {
    let Some(path) = path.to_str().filter(|_| path.starts_with(root)) else { return false };
    Git { root }.run(&["ls-files", "--error-unmatch", "--", path], b"").is_ok()
}

/// What a stream of git has, up to one byte more than `most`.
fn read_some_of(stream: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before it failed is all there is.
    let _ = stream.map(|stream| stream.take(most + 1).read_to_end(&mut bytes));
    bytes
}

struct Git<'a> {
    root: &'a Path,
}

impl Git<'_> {
    /// Runs git with `input`; its output.
    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let mut command = Command::new("git");
        // A caller that is itself run by git has variables that name another repository.
        command.env_clear();
        for name in ["PATH", "HOME", "XDG_CONFIG_HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in [
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "none"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        command.args([
            "--no-pager",
            "--literal-pathspecs",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
        ]);
        command.args(["-c", "core.alternateRefsCommand=", "-c", "protocol.allow=never"]);
        command.arg("-C").arg(self.root).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::NoGit)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let thread = std::thread::Builder::new;
        std::thread::scope(|scope| {
            // Git answers while it reads: somebody has to write meanwhile. One that refused reads no more.
            let writer = thread().spawn_scoped(scope, || stdin.map(|mut stdin| stdin.write_all(input)));
            let said = thread().spawn_scoped(scope, || read_some_of(stderr, MOST_MESSAGE));
            let (done, is_done) = mpsc::channel();
            let answer = thread().spawn_scoped(scope, move || {
                let answer = read_some_of(stdout, MOST_OUTPUT);
                // After the deadline the receiver is gone.
                let _ = done.send(());
                answer
            });
            let (said, answer) = match (writer, said, answer) {
                (Ok(_), Ok(said), Ok(answer)) => (said, answer),
                (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                    // The threads that there are end with it.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(GitError::NoGit(error));
                }
            };
            let in_time = is_done.recv_timeout(LONGEST_ANSWER).is_ok();
            if !in_time {
                // The readers end with it.
                let _ = child.kill();
            }
            let answer = answer.join().unwrap_or_default();
            let too_large = answer.len() as u64 > MOST_OUTPUT;
            if too_large {
                let _ = child.kill();
            }
            let said = said.join().unwrap_or_default();
            let status = child.wait().map_err(GitError::NoGit)?;
            match status.success() {
                _ if !in_time => Err(GitError::TooSlow),
                _ if too_large => Err(GitError::TooLarge),
                true => Ok(answer),
                false => Err(GitError::Git(crate::text::one_line(String::from_utf8_lossy(&said).trim()))),
            }
        })
    }

    /// The full name of the reference that `name` begins with (`main`, `origin/main~2`), so that nothing else is taken for it:
    /// git itself prefers a tag to a branch. `name` itself where it is no reference, as a commit is none.
    fn full_name(&self, name: &str) -> Result<String, GitError> {
        // What gitrevisions(7) has after a name.
        let end = name.find(['^', '~', ':', '@']).filter(|end| *end > 0).unwrap_or(name.len());
        let (base, rest) = name.split_at(end);
        let places = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"].map(|above| format!("{above}{base}"));
        let places: Vec<String> = places.into_iter().chain([format!("refs/remotes/{base}/HEAD")]).collect();
        let mut line = vec!["for-each-ref", "--format=%(refname)", "--"];
        line.extend(places.iter().map(String::as_str).filter(|place| place.starts_with("refs/")));
        let listed = self.run(&line, b"")?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        // A pattern stands for what is below it, too.
        let mut refs: Vec<&str> = listed.lines().filter(|name| places.iter().any(|place| place == name)).collect();
        if base == "HEAD" {
            refs.push("HEAD");
        }
        match refs[..] {
            [] => Ok(name.to_owned()),
            [only] => Ok(format!("{only}{rest}")),
            _ => Err(GitError::Ambiguous(
                crate::text::one_line(base),
                refs.iter().map(|name| (*name).to_owned()).collect(),
            )),
        }
    }

    /// The files of a folder in a commit.
    fn entries(&self, commit: &str, prefix: &str, folder: &str) -> Result<Vec<Entry>, GitError> {
        let below = format!("{prefix}{folder}/");
        let listed = self.run(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", &below], b"")?;
        let (mut entries, mut bytes) = (Vec::new(), 0_u64);
        for line in listed.split(|&byte| byte == 0).filter(|line| !line.is_empty()) {
            let Some(tab) = line.iter().position(|&byte| byte == b'\t') else { continue };
            let head = String::from_utf8_lossy(&line[..tab]).into_owned();
            let mut words = head.split_whitespace();
            let (Some(mode), Some(kind), Some(object), size) = (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            // A submodule is a commit of another repository.
            if kind == "blob" {
                bytes = bytes.saturating_add(size.and_then(|size| size.parse().ok()).unwrap_or(0));
                entries.push(Entry {
                    mode: mode.to_owned(),
                    object: object.to_owned(),
                    path: line[tab + 1..].strip_prefix(prefix.as_bytes()).unwrap_or_default().to_owned(),
                });
            }
        }
        if entries.len() > MOST_FILES || bytes > MOST_BYTES {
            return Err(GitError::TooLarge);
        }
        Ok(entries)
    }

    /// Writes files with their content.
    fn write(&self, entries: &[Entry], folder: &Path, hooks_folder: &str) -> Result<(), GitError> {
        let wanted: String = entries.iter().map(|entry| format!("{}\n", entry.object)).collect();
        let contents = self.run(&["cat-file", "--batch"], wanted.as_bytes())?;
        let mut rest = contents.as_slice();
        let mut links = Vec::new();
        for entry in entries {
            let content = next_content(&mut rest).ok_or_else(|| GitError::Git("an object is missing".into()))?;
            let path = Path::new(OsStr::from_bytes(&entry.path));
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(GitError::Outside(path.display().to_string()));
            }
            let path = folder.join(path);
            let failed = |error| GitError::Io(path.clone(), error);
            if let Some(parent) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
            }
            if !entry.is_file() {
                links.push((entry, path, content));
                continue;
            }
            let mode = if entry.mode == "100755" { 0o700 } else { 0o600 };
            let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            made.and_then(|mut file| file.write_all(content)).map_err(failed)?;
        }
        // At the end, so that nothing is written through one: a tree can be made that has a link and a folder of
        // the same name.
        for (entry, path, target) in links {
            let hooks_folder = Path::new(hooks_folder);
            if !entry.stays_inside(target, hooks_folder) {
                return Err(GitError::Outside(String::from_utf8_lossy(&entry.path).into_owned()));
            }
            symlink(OsStr::from_bytes(target), &path).map_err(|error| GitError::Io(path.clone(), error))?;
        }
        Ok(())
    }
}

/// The next object of `cat-file --batch`: a line `<object> <type> <size>`, so many bytes, a line feed.
fn next_content<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let head = std::str::from_utf8(&rest[..end]).ok()?;
    let size: usize = head.rsplit(' ').next()?.parse().ok()?;
    let content = rest.get(end + 1..end + 1 + size)?;
    *rest = rest.get(end + 2 + size..)?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_taken_apart() {
        let mut rest = &b"aa blob 3\nx\ny\nbb blob 0\n\ncc missing\n"[..];
        assert_eq!(next_content(&mut rest), Some(&b"x\ny"[..]));
        assert_eq!(next_content(&mut rest), Some(&b""[..]));
        assert_eq!(next_content(&mut rest), None);
    }
}
