//! A feature's folder as it is on the disk: what it says of itself, and its work packages. Read within bounds, through
//! descriptors, never through a symbolic link out of it.

use super::KittyError;
use super::front_matter::Document;
use super::lane::{Lane, Word, word};
use super::status_log::StatusLog;
use super::tasks::{TaskList, leading_id};
use crate::sys::{Folder, OpenFault, read_capped};
use crate::time::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The most bytes of one file.
const MAX_FILE: usize = 4 * 1024 * 1024;
/// The most files of work packages that are looked at.
const MAX_PACKAGES: usize = 1000;
/// The log of the newest layout.
pub(super) const STATUS_LOG: &str = "status.events.jsonl";
/// The list of work packages.
pub(super) const TASKS: &str = "tasks.md";

/// A feature.
#[derive(Debug)]
pub struct Feature {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name: that of the folder.
    pub slug: String,
    /// What `meta.json` says; nothing without a readable one.
    pub meta: Option<Meta>,
    /// Its work packages, by their ids.
    pub packages: BTreeMap<String, Package>,
    /// Work packages whose files cannot be used, and why.
    pub broken: BTreeMap<String, KittyError>,
    /// What is odd in it, for people.
    pub notes: Vec<String>,
    pub(super) tasks: TaskList,
    /// The log of lanes, where there is one.
    pub(super) log: Option<StatusLog>,
}

/// What `meta.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Three digits.
    pub feature_number: String,
    /// Where it will be merged.
    pub target_branch: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A work package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its title.
    pub title: String,
    /// What it depends on.
    pub dependencies: Vec<String>,
    /// Where it stands.
    pub lane: Lane,
    /// Who works on it.
    pub agent: Option<String>,
    pub(super) shell_pid: Option<String>,
    /// Its file below the feature's folder; nothing when only `tasks.md` names it.
    pub(super) file: Option<String>,
    /// The folder of its lane, in the older layout.
    pub(super) lane_folder: Option<String>,
    /// Whether its front matter has a lane.
    pub(super) has_lane: bool,
    /// What its front matter says it depends on.
    pub(super) own_dependencies: Option<Vec<String>>,
    pub(super) subtasks: Vec<String>,
    /// Its file as it was read: what is planned for another one is not done to it.
    pub(super) read_as: Option<Fingerprint>,
}

/// What tells a text from others.
pub(super) type Fingerprint = blake3::Hash;

pub(super) fn fingerprint(text: &str) -> Fingerprint {
    blake3::hash(text.as_bytes())
}

impl Feature {
    /// Reads the feature in `folder`.
    ///
    /// # Errors
    /// There is no such folder, or a file in it that is needed cannot be read.
    pub fn read(folder: &Path) -> Result<Self, KittyError> {
        let io = |error| KittyError::Io(folder.to_owned(), error);
        let opened = Folder::open(folder).map_err(|fault| io(into_io(fault)))?;
        let real = folder.canonicalize().map_err(io)?;
        let slug = real.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        if slug.is_empty() {
            return Err(KittyError::format(folder, 0, "the folder has no name that is text"));
        }
        let mut notes = Vec::new();
        let meta = read_text(&opened, folder, "meta.json")?.and_then(|text| {
            Meta::read(&text, &slug).map_err(|(line, why)| notes.push(format!("meta.json:{line}: {why}"))).ok()
        });
        let tasks = read_text(&opened, folder, TASKS)?.map(|text| TaskList::read(&text)).unwrap_or_default();
        let log = read_text(&opened, folder, STATUS_LOG)?.map(|text| StatusLog::read(&text));
        for (line, why) in log.iter().flat_map(|log| &log.faults) {
            notes.push(format!("{STATUS_LOG}:{line}: {why}"));
        }
        let (packages, broken) = (BTreeMap::new(), BTreeMap::new());
        let mut feature = Feature { folder: folder.to_owned(), slug, meta, packages, broken, notes, tasks, log };
        feature.read_packages(&opened)?;
        feature.add_those_without_a_file();
        feature.place_by_log();
        Ok(feature)
    }

    /// The work package with this id.
    ///
    /// # Errors
    /// There is none, or its file cannot be used.
    pub fn package(&self, id: &str) -> Result<&Package, KittyError> {
        if let Some(KittyError::Format { path, line, problem }) = self.broken.get(id) {
            return Err(KittyError::format(path, *line, problem.clone()));
        }
        self.packages.get(id).ok_or_else(|| KittyError::NotFound {
            what: format!("{} has no work package {id}", self.slug),
            choices: self.packages.keys().cloned().collect(),
        })
    }

    /// Those that depend on this one, themselves and not by way of others.
    pub fn dependents(&self, id: &str) -> impl Iterator<Item = &str> {
        let waits = move |package: &Package| package.dependencies.iter().any(|other| other == id);
        self.packages.iter().filter(move |(_, package)| waits(package)).map(|(id, _)| id.as_str())
    }

    fn read_packages(&mut self, opened: &Folder) -> Result<(), KittyError> {
        let tasks = match opened.beneath(Path::new("tasks")) {
            Ok(tasks) => tasks,
            Err(OpenFault::Missing) => return Ok(()),
            Err(fault) => return Err(KittyError::Io(self.folder.join("tasks"), into_io(fault))),
        };
        let names = |folder: &Folder, path: &Path| {
            let mut names = folder.names().map_err(|error| KittyError::Io(path.to_owned(), error))?;
            names.sort_unstable();
            Ok(names)
        };
        let mut left = MAX_PACKAGES;
        let path = self.folder.join("tasks");
        for name in names(&tasks, &path)? {
            if word(&name).is_some()
                && let Ok(lane) = tasks.beneath(Path::new(&name))
            {
                for file in names(&lane, &path.join(&name))? {
                    self.read_package(&lane, Some(&name), &file, &mut left);
                }
            } else {
                self.read_package(&tasks, None, &name, &mut left);
            }
        }
        Ok(())
    }

    /// Reads the file of a work package; any other file is none.
    fn read_package(&mut self, folder: &Folder, lane: Option<&str>, name: &str, left: &mut usize) {
        if !name.ends_with(".md") || !name.starts_with("WP") {
            return;
        }
        let inside = lane.map_or_else(|| format!("tasks/{name}"), |lane| format!("tasks/{lane}/{name}"));
        let Some(id) = leading_id(name).filter(|_| *left > 0) else {
            self.notes.push(format!("{}: not read; an id is WP and two digits", crate::text::one_line(&inside)));
            return;
        };
        *left -= 1;
        let path = self.folder.join(&inside);
        let twice = self.packages.remove(id).is_some() || self.broken.contains_key(id);
        let read = if twice {
            Err(KittyError::format(&path, 0, format!("{id} has two files; remove one")))
        } else {
            read_text(folder, &path, name).and_then(|text| self.package_of(id, &text.unwrap_or_default(), lane, inside))
        };
        match read {
            Ok(package) => drop(self.packages.insert(id.to_owned(), package)),
            // In one form, so that it can be told again.
            Err(error @ KittyError::Format { .. }) => drop(self.broken.insert(id.to_owned(), error)),
            Err(error) => drop(self.broken.insert(id.to_owned(), KittyError::format(path, 0, error.to_string()))),
        }
    }

    fn package_of(
        &mut self,
        id: &str,
        text: &str,
        lane_folder: Option<&str>,
        inside: String,
    ) -> Result<Package, KittyError> {
        let path = self.folder.join(&inside);
        let read_as = Some(fingerprint(text));
        let document = Document::read(text).map_err(|(line, problem)| KittyError::format(&path, line, problem))?;
        let document = document.as_ref();
        let text = |key: &str| document?.text(key).map(str::to_owned);
        if let Some(own) = text("work_package_id").filter(|own| own != id) {
            let own = crate::text::one_line(&crate::text::shorten(&own, 40));
            self.notes.push(format!("{inside}: its work_package_id is {own}, its name says {id}"));
        }
        let own_lane = text("lane");
        let stands = lane_folder.map(str::to_owned).or_else(|| own_lane.clone()).unwrap_or_else(|| "planned".into());
        let lane = match word(&stands) {
            Some(Word::In(lane)) => lane,
            Some(Word::Stays) => {
                self.notes.push(format!("{id} is {stands}"));
                last_lane(document).unwrap_or(Lane::Planned)
            }
            None => {
                let line = document.and_then(|document| document.line_of("lane")).map_or(0, |line| line + 1);
                let stands = crate::text::one_line(&crate::text::shorten(&stands, 40));
                return Err(KittyError::format(path, line, format!("`{stands}` is no lane")));
            }
        };
        let section = self.tasks.sections.get(id);
        let own_dependencies = document.and_then(|document| document.texts("dependencies"));
        let named = section.and_then(|section| section.dependencies.clone());
        let dependencies = own_dependencies.clone().filter(|own| !own.is_empty()).or(named).unwrap_or_default();
        let valid = |other: &String| leading_id(other).is_some_and(|whole| whole.len() == other.len()) && other != id;
        Ok(Package {
            title: text("title").or_else(|| Some(section?.title.clone())).unwrap_or_else(|| id.to_owned()),
            dependencies: dependencies.into_iter().filter(valid).collect(),
            lane,
            agent: text("agent"),
            shell_pid: text("shell_pid"),
            file: Some(inside),
            lane_folder: lane_folder.map(str::to_owned),
            has_lane: own_lane.is_some(),
            own_dependencies,
            subtasks: document.and_then(|document| document.texts("subtasks")).unwrap_or_default(),
            read_as,
        })
    }

    fn add_those_without_a_file(&mut self) {
        for (id, section) in &self.tasks.sections {
            if self.packages.contains_key(id) || self.broken.contains_key(id) {
                continue;
            }
            let package = Package {
                title: section.title.clone(),
                dependencies: section.dependencies.clone().unwrap_or_default(),
                lane: Lane::Planned,
                agent: None,
                shell_pid: None,
                file: None,
                lane_folder: None,
                has_lane: false,
                own_dependencies: None,
                subtasks: Vec::new(),
                read_as: None,
            };
            self.packages.insert(id.clone(), package);
        }
    }

    /// The log knows better than the front matter.
    fn place_by_log(&mut self) {
        for (id, standing) in self.log.iter().flat_map(|log| &log.standings) {
            let Some(package) = self.packages.get_mut(id) else { continue };
            package.lane = standing.lane;
            if word(&standing.word) == Some(Word::Stays) {
                self.notes.push(format!("{id} is {}", standing.word));
            }
        }
    }
}

/// The last lane that a history names.
fn last_lane(document: Option<&Document<'_>>) -> Option<Lane> {
    use super::yaml::Yaml;
    let Some(Yaml::List(items)) = document?.get("history") else { return None };
    let of = |item: &Yaml| match item {
        Yaml::Map(entries) => {
            entries.iter().find(|(key, _)| key == "lane").and_then(|(_, lane)| lane.text()?.parse().ok())
        }
        _ => None,
    };
    items.iter().rev().find_map(of)
}

impl Meta {
    fn read(text: &str, slug: &str) -> Result<Self, (usize, String)> {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| (error.line(), format!("{error}; it counts as missing")))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let number = ["feature_number", "mission_number"].into_iter().find_map(|name| match value.get(name)? {
            Value::String(text) => Some(format!("{:03}", text.parse::<u64>().ok()?)),
            Value::Number(number) => Some(format!("{:03}", number.as_u64()?)),
            _ => None,
        });
        let digits: String = slug.chars().take_while(char::is_ascii_digit).collect();
        let created_at = text("created_at").and_then(Timestamp::read);
        Ok(Meta {
            feature_number: number.unwrap_or(digits),
            target_branch: text("target_branch").unwrap_or("main").to_owned(),
            created_at,
        })
    }
}

fn into_io(fault: OpenFault) -> io::Error {
    match fault {
        OpenFault::Io(error) => error,
        OpenFault::Missing => io::Error::from(io::ErrorKind::NotFound),
        fault => io::Error::other(fault.to_string()),
    }
}

/// The text of a file in a folder, `path` being where it is told to be; nothing when there is none.
fn read_text(folder: &Folder, path: &Path, name: &str) -> Result<Option<String>, KittyError> {
    let path = if path.ends_with(name) { path.to_owned() } else { path.join(name) };
    match folder.read(OsStr::new(name)) {
        Ok(file) => text_of(&file, &path).map(Some),
        Err(OpenFault::Missing) => Ok(None),
        Err(fault) => Err(KittyError::format(path, 0, fault.to_string())),
    }
}

/// The text of an open file.
pub(super) fn text_of(file: &File, path: &Path) -> Result<String, KittyError> {
    let bytes = read_capped(file, MAX_FILE).map_err(|error| KittyError::Io(path.to_owned(), error))?;
    if bytes.len() > MAX_FILE {
        return Err(KittyError::format(path, 0, format!("the file is larger than {} MiB", MAX_FILE / 1024 / 1024)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        KittyError::format(path, line, "this is no UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("028-events");
        for (name, bytes) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        (outer, folder)
    }

    #[test]
    fn reads_three_layouts() {
        let (_outer, folder) = folder(&[
            (
                "meta.json",
                b"{\"mission_number\": 28, \"created_at\": \"2026-02-03T12:00:00Z\", \"target_branch\": \"2.x\"}",
            ),
            ("tasks.md", b"## WP01: One\n## WP02: Two\n### Dependencies\n- WP01\n## WP04: Only here\n"),
            ("tasks/WP01-one.md", b"---\ntitle: First\nlane: \"for_review\"\n---\n"),
            ("tasks/doing/WP02-two.md", b"---\nlane: planned\n---\n"),
            ("tasks/WP03.md", b"---\nlane: blocked\nhistory: [{lane: doing}]\n---\n"),
            ("tasks/README.md", b"x"),
            ("status.events.jsonl", b"{\"at\":\"1\",\"wp_id\":\"WP01\",\"to_lane\":\"approved\"}\n"),
        ]);
        let feature = Feature::read(&folder).unwrap();
        let told =
            feature.packages.iter().map(|(id, of)| format!("{id} {} {} {:?}", of.title, of.lane, of.dependencies));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "WP01 First for_review []",
                "WP02 Two doing [\"WP01\"]",
                "WP03 WP03 doing []",
                "WP04 Only here planned []"
            ]
        );
        let meta = feature.meta.as_ref().unwrap();
        assert_eq!((meta.feature_number.as_str(), meta.target_branch.as_str()), ("028", "2.x"));
        assert_eq!(feature.notes, ["WP03 is blocked"]);
        assert_eq!(feature.dependents("WP01").collect::<Vec<_>>(), ["WP02"]);
    }

    #[test]
    fn one_bad_file_is_told_with_its_line_and_spares_the_others() {
        let (_outer, folder) = folder(&[
            ("meta.json", b"{\n\"slug\": "),
            ("tasks/WP01.md", b"---\ntitle: x\nlane: somewhere\n---\n"),
            ("tasks/WP02.md", b"---\na: 1\n\xff"),
            ("tasks/WP03.md", b"---\na: [\n---\n"),
            ("tasks/WP04.md", b"---\nlane: doing\n"),
            ("tasks/WP05-a.md", b""),
            ("tasks/doing/WP05-b.md", b""),
            ("tasks/WP100.md", b""),
            ("tasks/WP06.md", b"no front matter"),
        ]);
        std::os::unix::fs::symlink("/etc/passwd", folder.join("tasks/WP07-link.md")).unwrap();
        let feature = Feature::read(&folder).unwrap();
        let told: Vec<String> = feature
            .broken
            .iter()
            .map(|(id, error)| format!("{id} {}", error.to_string().replace(&*folder.to_string_lossy(), "")))
            .collect();
        for (at, begin) in [
            "WP01 /tasks/WP01.md:3: `somewhere` is no lane",
            "WP02 /tasks/WP02.md:3: this is no UTF-8",
            "WP03 /tasks/WP03.md:",
            "WP04 /tasks/WP04.md:1: the front matter is not closed",
            "WP05 /tasks/doing/WP05-b.md: WP05 has two files",
            "WP07 /tasks/WP07-link.md: ",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(told[at].starts_with(begin), "{told:?}");
        }
        assert_eq!(feature.packages.keys().collect::<Vec<_>>(), ["WP06"]);
        assert!(feature.meta.is_none() && feature.notes.len() == 2, "{:?}", feature.notes);
        assert!(
            feature.package("WP01").is_err()
                && feature.package("WP99").unwrap_err().to_string().ends_with("there is WP06")
        );
    }
}
