//! Several texts, one configuration: what `hooks.yaml` includes, and what `hooks.local.yaml` overrides.
//!
//! Works on trees, before anything has a meaning, so that a hook knows of each of its keys which file it
//! came from. Opening files is the caller's affair.

use super::budget::{Budget, MAX_HOOKS, MAX_TOTAL_BYTES};
use super::document;
use super::model::HookName;
use super::parse::TOP_KEYS;
use super::reader::Reader;
use super::tree::{Node, Span, Value};
use super::{Diagnostic, Severity};
use crate::text::one_line;
use std::path::{Component, Path, PathBuf};

/// The file beside `hooks.yaml` that overrides it on this machine only.
pub const LOCAL_FILE: &str = "hooks.local.yaml";

/// The file beside `hooks.yaml` that has one hook a line.
pub const ONE_LINE_FILE: &str = "hooks.on.yaml";

/// How deep included files may include others.
const MAX_INCLUDE_DEPTH: usize = 8;
/// How many files one configuration may have.
const MAX_SOURCES: usize = 64;

/// One text of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// Its path below the hooks folder.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What became of opening a file of the hooks folder.
#[derive(Clone, Debug)]
pub enum Opened {
    /// Its content.
    Found(Vec<u8>),
    /// There is no such file.
    Missing,
    /// It is not read: the configuration is not trusted.
    Withheld,
    /// It cannot be read or must not be; the text says why.
    Refused(String),
}

/// Opens a file by its path below the hooks folder.
pub type Open<'a> = dyn FnMut(&Path) -> Opened + 'a;

/// A configuration as trees, its layers laid on top of each other.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The files it was read from, the main one first.
    pub sources: Vec<Source>,
    /// The `version` of the main file.
    pub version: Option<String>,
    /// `inherit` of the main file.
    pub inherit: Option<Node>,
    /// Whether the main file has it in the form that is found without reading it as YAML.
    pub inherit_is_plain: bool,
    /// `concurrency`, from the main file or the local one.
    pub concurrency: Option<Node>,
    /// Every `defaults`, the one it builds on before it.
    pub scopes: Vec<Scope>,
    /// The hooks in the order they run.
    pub hooks: Vec<ComposedHook>,
}

/// The `defaults` of one file.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The defaults it builds on: those of the file that includes it.
    pub base: Option<usize>,
    /// Its own.
    pub defaults: Option<Node>,
}

/// A hook before its keys have a meaning.
#[derive(Clone, Debug)]
pub struct ComposedHook {
    /// Its keys, those of a local override in their place.
    pub node: Node,
    /// Index into [`Composed::scopes`].
    pub scope: usize,
    /// The keys that a local override set.
    pub overridden: Vec<(String, Span)>,
    /// Whether its text has an error, such as a key that stands twice.
    pub broken: bool,
}

/// Reads the main file and everything that belongs to it. Problems are added to `problems`; with an
/// error among them the result is only good for finding more of them.
pub(super) fn compose(
    path: &Path,
    bytes: &[u8],
    open: &mut Open<'_>,
    budget: &mut Budget,
    problems: &mut Vec<Diagnostic>,
) -> Option<Composed> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let main = Source { path: path.to_owned(), name: name.clone(), bytes: bytes.to_vec() };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let composed = Composed {
        sources: vec![main],
        version: None,
        inherit: None,
        inherit_is_plain: inherits(bytes),
        concurrency: None,
        scopes: Vec::new(),
        hooks: Vec::new(),
    };
    let mut layers =
        Layers { folder, open, budget, withholds: false, composed, found: Vec::new(), regions: Vec::new() };
    let complete = layers.file(0, None, &mut vec![name]).is_some();
    if complete {
        layers.one_liners();
        layers.local();
        layers.attribute_errors();
    }
    problems.append(&mut layers.found);
    complete.then_some(layers.composed)
}

/// Whether a hooks.yaml says `inherit: true`, on a line of its own above its hooks: found without reading it as YAML, which
/// takes longer than all else that an emit does.
pub fn inherits(bytes: &[u8]) -> bool {
    let is_it = |line: &[u8]| {
        let value = line.strip_prefix(b"inherit:").filter(|value| value.starts_with(b" "));
        let value = value.map(|value| value.split(|byte| *byte == b'#').next().unwrap_or_default());
        value.is_some_and(|value| value.trim_ascii() == b"true")
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    let mut above = lines.take_while(|line| !line.starts_with(b"hooks:"));
    above.any(is_it)
}

impl ComposedHook {
    /// What to call it: its name, or its number where it has none.
    pub(super) fn label(&self, number: usize) -> String {
        match self.node.get("name").map(|name| &name.value) {
            Some(Value::Text(name)) if name.parse::<HookName>().is_ok() => name.clone(),
            _ => format!("hooks[{number}]"),
        }
    }
}

pub(super) struct Layers<'o, 'a> {
    folder: PathBuf,
    pub(super) open: &'o mut Open<'a>,
    budget: &'o mut Budget,
    /// Whether a file was not included because nothing was trusted.
    withholds: bool,
    pub(super) composed: Composed,
    pub(super) found: Vec<Diagnostic>,
    /// Where hooks and the keys beside them begin, and which hook it is.
    pub(super) regions: Vec<(Span, Option<usize>)>,
}

impl Layers<'_, '_> {
    /// Notes where the keys of a file begin.
    pub(super) fn note_regions(&mut self, tree: &Node) {
        self.regions.extend(tree.entries().iter().map(|(key, _)| (key.span, None)));
    }

    /// The hook whose text a place is in; the regions are in order.
    fn hook_at(&self, place: Span) -> Option<usize> {
        let at = self.regions.partition_point(|region| order(region) <= (place.source, place.line, place.column, true));
        let (span, hook) = self.regions.get(at.checked_sub(1)?)?;
        hook.filter(|_| span.source == place.source)
    }

    /// Finds the hooks that errors of the text are in: what else the file says is read all the same.
    fn attribute_errors(&mut self) {
        self.regions.sort_by_key(order);
        for at in 0..self.found.len() {
            let problem = &self.found[at];
            let hook = problem.span.filter(|_| problem.severity == Severity::Error).and_then(|span| self.hook_at(span));
            let Some(hook) =
                hook.filter(|hook| problem.related.iter().all(|other| self.hook_at(other.span) == Some(*hook)))
            else {
                continue;
            };
            self.composed.hooks[hook].broken = true;
            self.found[at].hook = Some(self.composed.hooks[hook].label(hook));
        }
    }

    /// Reads a text as YAML and as a mapping.
    pub(super) fn tree(&mut self, source: usize) -> Option<Node> {
        let number = u16::try_from(source).ok()?;
        let bytes = &self.composed.sources[source].bytes;
        if !self.budget.take_bytes(bytes.len()) {
            let kib = MAX_TOTAL_BYTES / 1024;
            let message = format!("the files of this configuration are larger than {kib} KiB together");
            let problem = Diagnostic::error(&self.composed.sources[source].path, None, "too-large", message);
            self.found.push(problem.help("keep long scripts in files of their own"));
            return None;
        }
        let (tree, faults) = document::read(bytes, number, self.budget);
        for fault in faults {
            let path = &self.composed.sources[source].path;
            let mut problem = Diagnostic::error(path, fault.span, fault.code, fault.message);
            problem.help = fault.help;
            let related = fault.related.map(|(span, message)| self.read(|reader| reader.related(span, message)));
            problem.related.extend(related);
            self.found.push(problem);
        }
        let tree = tree?;
        match &tree.value {
            Value::Map(_) => Some(tree),
            Value::Null => {
                let help = "a file without hooks reads `version: \"1.0\"` and `hooks: []`";
                let start = Span { line: 1, column: 1, length: 0, ..tree.span };
                self.read(|reader| reader.error(start, "empty", "the file is empty").help = Some(help.into()));
                None
            }
            other => {
                let message = format!("the file is a mapping with `version` and `hooks`; this is {}", other.describe());
                self.read(|reader| {
                    reader.error(tree.span, "wrong-type", message);
                });
                None
            }
        }
    }

    /// Lets a reader look at the tree and keeps what it found.
    pub(super) fn read<T>(&mut self, look: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let found = std::mem::take(&mut self.found);
        let mut reader = Reader { sources: &self.composed.sources, found, ..Reader::default() };
        let result = look(&mut reader);
        self.found = reader.found;
        result
    }

    /// One file with what it includes: first their hooks, then its own. `open_files` are those that led here.
    fn file(&mut self, source: usize, base: Option<usize>, open_files: &mut Vec<String>) -> Option<()> {
        let tree = self.tree(source)?;
        let version = self.read(|reader| {
            reader.known_keys(tree.entries(), TOP_KEYS, "the file");
            reader.version(&tree)
        });
        if base.is_none() {
            self.composed.version = version;
            self.composed.concurrency = tree.get("concurrency").cloned();
            self.composed.inherit = tree.get("inherit").cloned();
        } else {
            for key in ["concurrency", "inherit"] {
                let Some(node) = tree.get(key) else { continue };
                let message = format!("`{key}` is ignored in an included file");
                self.read(|reader| {
                    let help = "write it into hooks.yaml itself";
                    reader.warning(node.span, "ignored-key", message).help = Some(help.into());
                });
            }
        }
        let scope = self.composed.scopes.len();
        self.composed.scopes.push(Scope { base, defaults: tree.get("defaults").cloned() });
        for (name, span) in self.included(&tree) {
            self.include(&name, span, scope, open_files);
        }
        let is_one_line_file = self.composed.sources[source].name == ONE_LINE_FILE;
        let hooks = self.read(|reader| match tree.get("hooks") {
            None => {
                reader.missing(
                    &tree,
                    "the required key `hooks` is missing",
                    "write `hooks: []` for a file without any",
                );
                None
            }
            Some(Node { value: Value::List(hooks), .. }) => Some(hooks.clone()),
            // Its last line may have been taken away.
            Some(Node { value: Value::Null, .. }) if is_one_line_file => Some(Vec::new()),
            Some(other) => {
                let at = tree.entries().iter().find(|(key, _)| key.name == "hooks").map(|(key, _)| key.span);
                let span = at.filter(|_| other.value == Value::Null).unwrap_or(other.span);
                let problem = reader.wrong_type(other, "a list of hooks");
                problem.span = Some(span);
                problem.help = Some("write `hooks: []` for a file without any".into());
                None
            }
        })?;
        if !self.budget.take_hooks(hooks.len()) {
            let message = format!("this configuration has more than {MAX_HOOKS} hooks");
            self.read(|reader| {
                reader.error(tree.span, "too-large", message).help = Some("have one script for several events".into());
            });
            return None;
        }
        self.note_regions(&tree);
        for node in hooks {
            self.regions.push((node.span, Some(self.composed.hooks.len())));
            self.composed.hooks.push(ComposedHook { node, scope, overridden: Vec::new(), broken: false });
        }
        Some(())
    }

    fn included(&mut self, tree: &Node) -> Vec<(String, Span)> {
        let Some(node) = tree.get("include") else { return Vec::new() };
        self.read(|reader| reader.texts(node, "a list of files to include")).unwrap_or_default()
    }

    fn include(&mut self, name: &str, span: Span, scope: usize, open_files: &mut Vec<String>) {
        let shown = one_line(name);
        let fault = |layers: &mut Self, code, message: String, help: &str| {
            layers.read(|reader| reader.error(span, code, message).help = Some(help.to_owned()));
        };
        let path = Path::new(name);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || name.contains('\0') || !inside {
            let message = format!("`{shown}` leads out of the hooks folder");
            return fault(self, "bad-include", message, "include files of the hooks folder, by their path below it");
        }
        let name = path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
        let name = name.to_string_lossy().into_owned();
        if [LOCAL_FILE, ONE_LINE_FILE].contains(&name.as_str()) {
            let message = format!("`{shown}` is read anyway");
            return fault(self, "bad-include", message, "remove it from `include`");
        }
        if let Some(at) = open_files.iter().position(|open| *open == name) {
            let circle = [&open_files[at..], std::slice::from_ref(&name)].concat().join(" → ");
            let message = format!("these files include each other: {}", one_line(&circle));
            return fault(self, "include-cycle", message, "remove one of the includes");
        }
        if self.composed.sources.iter().any(|source| source.name == name) {
            let message = format!("`{shown}` is included already");
            return fault(self, "bad-include", message, "include each file once");
        }
        if open_files.len() > MAX_INCLUDE_DEPTH || self.composed.sources.len() >= MAX_SOURCES {
            let message = format!("included files reach {MAX_INCLUDE_DEPTH} levels deep and are {MAX_SOURCES} at most");
            return fault(self, "bad-include", message, "include the files from hooks.yaml itself");
        }
        match (self.open)(Path::new(&name)) {
            Opened::Found(bytes) => {
                let source = self.add(&name, bytes);
                open_files.push(name);
                // What is wrong in it has been told.
                let _ = self.file(source, Some(scope), open_files);
                open_files.pop();
            }
            Opened::Withheld => {
                if std::mem::replace(&mut self.withholds, true) {
                    // One says it for all.
                    return;
                }
                let message =
                    format!("`{shown}` and whatever else is included is not read before you trust this configuration");
                self.read(|reader| {
                    let help = Some("review it with `knockon trust`".into());
                    reader.warning(span, Diagnostic::NOT_INCLUDED, message).help = help;
                });
            }
            Opened::Missing => {
                let path = self.folder.join(&name);
                let message = format!("the included file {} does not exist", one_line(&path.to_string_lossy()));
                fault(self, "missing-include", message, "create it, or remove it from `include`");
            }
            Opened::Refused(why) => {
                fault(
                    self,
                    "bad-include",
                    format!("the included file `{shown}` cannot be read: {why}"),
                    "make it a file of the hooks folder",
                );
            }
        }
    }

    pub(super) fn add(&mut self, name: &str, bytes: Vec<u8>) -> usize {
        let path = self.folder.join(name);
        self.composed.sources.push(Source { path, name: name.to_owned(), bytes });
        self.composed.sources.len() - 1
    }

    /// The hooks that stand in one line each, behind all others.
    fn one_liners(&mut self) {
        match (self.open)(Path::new(ONE_LINE_FILE)) {
            Opened::Missing | Opened::Withheld => {}
            Opened::Found(bytes) => {
                let source = self.add(ONE_LINE_FILE, bytes);
                // What is wrong in it has been told.
                let _ = self.file(source, Some(0), &mut vec![ONE_LINE_FILE.to_owned()]);
            }
            Opened::Refused(why) => self.unreadable(ONE_LINE_FILE, &why),
        }
    }

    pub(super) fn unreadable(&mut self, name: &str, why: &str) {
        let path = self.folder.join(name);
        let message = format!("the file cannot be read: {why}");
        self.found.push(Diagnostic::error(&path, None, "unreadable", message));
    }
}

/// Where a region begins; of two that begin at one place, the hook's comes last.
fn order((span, hook): &(Span, Option<usize>)) -> (u16, usize, usize, bool) {
    (span.source, span.line, span.column, hook.is_some())
}
