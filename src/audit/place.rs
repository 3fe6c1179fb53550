//! Where a log lies, and the files it consists of.

use super::append::AuditError;
use crate::project::{Layout, Project, UserFolders};
use crate::sys::{Folder, OpenFault, OpenFile, Owner};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file that records are appended to.
pub(super) const CURRENT: &str = "audit.log";
/// How often a list of files that changes under our eyes is made anew.
const TRIES: usize = 50;

/// Where a log lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The folder that nothing may lead out of.
    root: PathBuf,
    /// The folder of the log below it.
    below: PathBuf,
}

/// One of the files of a log, held open: it stays readable whatever its name becomes.
#[derive(Debug)]
pub(super) struct Segment {
    /// 0 is the one that grows, 1 the one before, and so on.
    pub(super) number: u32,
    /// Whether it is compressed (zstd, RFC 8878).
    pub(super) compressed: bool,
    pub(super) file: File,
    /// Device and inode.
    pub(super) identity: (u64, u64),
    /// In bytes, when it was opened.
    pub(super) size: u64,
}

impl Segment {
    fn of(number: u32, compressed: bool, file: OpenFile) -> Self {
        let Owner { identity, size, .. } = file.owner();
        Segment { number, compressed, file: file.into_file(), identity, size }
    }

    /// Its name in the folder.
    pub(super) fn name(&self) -> String {
        name_of(self.number, self.compressed)
    }
}

/// The name of a file of the log.
pub(super) fn name_of(number: u32, compressed: bool) -> String {
    match (number, compressed) {
        (0, _) => CURRENT.to_owned(),
        (_, false) => format!("{CURRENT}.{number}"),
        (_, true) => format!("{CURRENT}.{number}.zst"),
    }
}

/// The number in the name of a rotated file, and whether it is compressed.
fn number_in(name: &str) -> Option<(u32, bool)> {
    let rest = name.strip_prefix(CURRENT)?.strip_prefix('.')?;
    let (digits, compressed) = rest.strip_suffix(".zst").map_or((rest, false), |digits| (digits, true));
    let number: u32 = digits.parse().ok().filter(|number| *number > 0)?;
    // One form a number: `.01` is none of ours.
    (number.to_string() == digits).then_some((number, compressed))
}

/// The rotated files, newest first. A file that is there in both forms was compressed a moment ago; the plain one
/// is taken.
pub(super) fn rotated(folder: &Folder) -> io::Result<Vec<(u32, bool)>> {
    let mut found: Vec<(u32, bool)> = folder.names()?.iter().filter_map(|name| number_in(name)).collect();
    found.sort_unstable();
    found.dedup_by_key(|(number, _)| *number);
    Ok(found)
}

/// The name of a log that flowspec wrote before knockon did: it was moved aside, and can still be read.
pub(super) const FOREIGN: &str = "audit.log.flowspec";
/// Stands for the number of that file: older than every other.
pub(super) const FOREIGN_NUMBER: u32 = u32::MAX;
/// Stands for the number of a file of the log in the user's state folder. Files with this number or a greater one are no part of
/// the chain.
pub(super) const ELSEWHERE_NUMBER: u32 = u32::MAX - 1;

impl Place {
    /// The log that flowspec wrote before, for reading.
    pub(super) fn foreign(&self, folder: &Folder) -> Option<Segment> {
        let file = folder.read(OsStr::new(FOREIGN)).ok()?;
        Some(Segment::of(FOREIGN_NUMBER, false, file))
    }

    /// The place of a project's log; without a folder of ours in the project, and without a home, there is none.
    pub(super) fn of(project: &Project, user: &UserFolders) -> Option<Self> {
        Some(match project.layout() {
            Layout::Flowspec => Place { root: project.root().to_owned(), below: PathBuf::from(".flowspec/hooks") },
            Layout::Knockon => Place { root: project.root().to_owned(), below: PathBuf::from(".knockon") },
            Layout::Bare => {
                let state = user.state.as_ref()?;
                Place { root: state.join("projects").join(project.key()), below: PathBuf::from(".") }
            }
        })
    }

    /// Where the file is that records are appended to.
    pub(super) fn path(&self) -> PathBuf {
        self.path_of(CURRENT)
    }

    /// Where a file of the log is.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        let folder = if self.below == Path::new(".") { self.root.clone() } else { self.root.join(&self.below) };
        folder.join(name)
    }

    /// The folder of the log, nothing when there is none.
    pub(super) fn folder(&self) -> Result<Option<Folder>, AuditError> {
        match Folder::open(&self.root).and_then(|root| root.beneath(&self.below)) {
            Ok(folder) => Ok(Some(folder)),
            Err(OpenFault::Missing) => Ok(None),
            Err(fault) => Err(AuditError::Open(self.path(), fault)),
        }
    }

    /// The folder of the log, made when there is none.
    pub(super) fn make_folder(&self) -> Result<Folder, AuditError> {
        let opened = |fault| AuditError::Open(self.path(), fault);
        let root = match Folder::open(&self.root) {
            Err(OpenFault::Missing) => {
                // The user's state folder, private as the XDG specification asks.
                let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
                made.map_err(|error| AuditError::Io(self.path(), error))?;
                Folder::open(&self.root)
            }
            found => found,
        };
        let root = root.map_err(opened)?;
        match root.beneath(&self.below) {
            Err(OpenFault::Missing) => {
                let parent = self.below.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = root.beneath(parent.unwrap_or(Path::new("."))).map_err(opened)?;
                if let Some(name) = self.below.file_name() {
                    parent.make(name, false).map_err(|error| AuditError::Io(self.path(), error))?;
                }
                let made = root.beneath(&self.below).map_err(opened)?;
                // What is written there is of this machine; a folder that takes no further file is no reason to lose a record.
                if let Ok(file) = made.create(OsStr::new(".gitignore")) {
                    let _ = io::Write::write_all(&mut &*file, b"audit.log*\nhooks.local.yaml\n");
                }
                Ok(made)
            }
            found => found.map_err(opened),
        }
    }

    /// The files of the log as they were at one moment, newest first; compressed ones too.
    pub(super) fn segments(&self, folder: &Folder) -> Result<Vec<Segment>, AuditError> {
        for _ in 0..TRIES {
            let current = self.open(folder, 0, false)?;
            let failed = |error| AuditError::Io(self.path(), error);
            let before = rotated(folder).map_err(failed)?;
            let mut segments: Vec<Segment> = current.into_iter().collect();
            for (number, compressed) in &before {
                segments.extend(self.open(folder, *number, *compressed)?);
            }
            let there = folder.owner(OsStr::new(CURRENT)).ok().map(|owner| owner.identity);
            let ours = segments.first().filter(|segment| segment.number == 0).map(|segment| segment.identity);
            // A rotation renames them one after the other; whoever looks meanwhile sees one twice, or not at all.
            if ours == there && before == rotated(folder).map_err(failed)? {
                return Ok(segments);
            }
        }
        let moved = io::Error::new(io::ErrorKind::ResourceBusy, "it is rotated again and again");
        Err(AuditError::Io(self.path(), moved))
    }

    /// Opens one of the files for reading; nothing when there is none.
    fn open(&self, folder: &Folder, number: u32, compressed: bool) -> Result<Option<Segment>, AuditError> {
        let name = name_of(number, compressed);
        match folder.read(OsStr::new(&name)) {
            Ok(file) => Ok(Some(Segment::of(number, compressed, file))),
            Err(OpenFault::Missing) => Ok(None),
            // A folder or a link has the name of an older file: it is none, and the chain tells what is missing.
            Err(OpenFault::Wrong(_) | OpenFault::Outside) if number > 0 => Ok(None),
            Err(fault) => Err(AuditError::Open(self.path_of(&name), fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_log_is_known_by_its_name() {
        for (name, wanted) in [
            ("audit.log.1", Some((1, false))),
            ("audit.log.12.zst", Some((12, true))),
            ("audit.log", None),
            ("audit.log.0", None),
            ("audit.log.01", None),
            ("audit.log.+1", None),
            ("audit.log.1.gz", None),
            ("audit.log.side", None),
            ("audit.log.99999999999", None),
        ] {
            assert_eq!(number_in(name), wanted, "{name}");
        }
    }
}
