//! What the user trusted: one small file a project in the user's state folder, never in a project.

use super::manifest::{ContentHash, Entry, Manifest};
use crate::config::{ConfigFile, EventMatcher, FailMode, Loaded};
use crate::project::{Project, UserFolders};
use crate::sys;
use crate::text::hex;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The largest record that is read, in bytes.
const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The largest file of texts for a review, in bytes: those of a manifest, each character escaped.
const MAX_TEXTS_FILE: usize = 6 * 16 * 1024 * 1024;

/// One decision of the user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trusted {
    /// The project's real path.
    pub project: String,
    /// The configuration's path.
    pub config: String,
    /// What was trusted.
    pub hash: ContentHash,
    /// When.
    pub trusted_at: String,
    /// The files behind the hash.
    pub files: Vec<Entry>,
    /// The hooks with `fail_mode: stop` in it that are enabled: what has to be missed when this content is gone.
    #[serde(default)]
    pub guards: Vec<TrustedGuard>,
}

/// A hook that the user trusted to stop the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrustedGuard {
    /// Its name.
    pub name: String,
    /// The events it is for.
    pub events: Vec<EventMatcher>,
}

/// The user's decisions, in `$XDG_STATE_HOME/knockon/trust/`.
#[derive(Clone, Debug)]
pub struct TrustStore {
    folder: Option<PathBuf>,
}

/// Why a decision could not be kept.
#[derive(Debug)]
pub enum StoreError {
    /// Neither `XDG_STATE_HOME` nor `HOME` is set.
    NoFolder,
    /// The folder is not the user's alone.
    Unsafe(PathBuf, String),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NoFolder => f.write_str("there is no place for the trust store: set HOME or XDG_STATE_HOME"),
            StoreError::Unsafe(path, why) => {
                write!(f, "the trust store {} {why}; make it yours alone: chmod 700", path.display())
            }
            StoreError::Io(path, error) => write!(f, "the trust store {} cannot be used: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl TrustStore {
    /// The store of a user.
    pub fn of(user: &UserFolders) -> Self {
        TrustStore { folder: user.state.as_ref().map(|state| state.join("trust")) }
    }

    /// The decision about a configuration of a project. A record that anyone else could have written
    /// counts as absent.
    ///
    /// # Errors
    /// There may be one, and it cannot be read.
    pub fn find(&self, project: &Project, config: &Path) -> Result<Option<Trusted>, StoreError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let failed = |error| StoreError::Io(folder.clone(), error);
        if !sys::is_private_folder(folder).map_err(failed)? {
            return Ok(None);
        }
        let record = read_record(&folder.join(record_name(project.root(), config))).map_err(failed)?;
        Ok(record.filter(|record| is_bound(record, project.root(), config)))
    }

    /// The decisions about this configuration of a project in the other worktrees of its git repository.
    pub fn of_other_worktrees(&self, project: &Project, config: &Path) -> Vec<Trusted> {
        let below = config.strip_prefix(project.root()).ok().and_then(Path::to_str);
        let others = project.in_other_worktrees();
        match below {
            Some(name) if !others.is_empty() => self.of_projects(others.iter().map(PathBuf::as_path), &[name]),
            _ => Vec::new(),
        }
    }

    /// The decisions about projects in these folders, each with any of these configurations (paths below it). What
    /// cannot be read counts as absent.
    pub fn of_projects<'p>(&self, roots: impl Iterator<Item = &'p Path>, configs: &[&str]) -> Vec<Trusted> {
        let Some(folder) = self.folder.as_ref().filter(|folder| sys::is_private_folder(folder).unwrap_or(false)) else {
            return Vec::new();
        };
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let names: HashSet<OsString> = names.collect();
        if names.is_empty() {
            return Vec::new();
        }
        let places = roots.flat_map(|root| configs.iter().map(move |config| (root, root.join(config))));
        let known = places.filter_map(|(root, config)| {
            let name = record_name(root, &config);
            let record = names.contains(OsStr::new(&name)).then(|| read_record(&folder.join(name)).ok().flatten());
            record.flatten().filter(|record| is_bound(record, root, &config))
        });
        known.collect()
    }

    /// Every decision, by project.
    pub fn list(&self) -> Vec<Trusted> {
        let Some(folder) = &self.folder else { return Vec::new() };
        if !sys::is_private_folder(folder).unwrap_or(false) {
            return Vec::new();
        }
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let mut records: Vec<Trusted> = records.filter_map(|path| read_record(&path).ok().flatten()).collect();
        records.sort_by(|a, b| (&a.project, &a.config).cmp(&(&b.project, &b.config)));
        records
    }

    /// Keeps a decision, and the texts behind it for the next review.
    ///
    /// # Errors
    /// The store's folder cannot be made, is not private, or cannot be written.
    pub fn trust(
        &self,
        project: &Project,
        loaded: &Loaded,
        file: &ConfigFile,
        manifest: &Manifest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let config = file.path.as_path();
        let folder = self.private_folder()?;
        // A guard with an error protects nothing: it stays remembered as it was, so that it is missed until it is corrected.
        let is_invalid = |guard: &TrustedGuard| loaded.invalid.iter().any(|invalid| invalid.name == guard.name);
        let before = self.find(project, config).ok().flatten().map(|record| record.guards).unwrap_or_default();
        let mut guards = guards_of(loaded, file);
        guards.extend(before.into_iter().filter(is_invalid));
        let record = Trusted {
            project: project.root_text(),
            config: config.to_string_lossy().into_owned(),
            hash: manifest.hash(),
            trusted_at: now.to_string(),
            files: manifest.entries().to_vec(),
            guards,
        };
        let texts = manifest.texts(file);
        let name = record_name(project.root(), config);
        // The record last: it is what counts, and it appears whole or not at all.
        replace(&folder.join(&name).with_extension("texts"), &serde_json::to_vec(&texts).unwrap_or_default())?;
        replace(&folder.join(&name), &serde_json::to_vec(&record).unwrap_or_default())
    }

    /// Forgets a decision. Returns whether there was one. Neither the project nor the configuration has to be there.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub fn untrust(&self, project: &Path, config: &Path) -> Result<bool, StoreError> {
        let folder = self.folder.as_ref().ok_or(StoreError::NoFolder)?;
        let record = folder.join(record_name(project, config));
        let gone = match fs::remove_file(&record) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(StoreError::Io(record, error)),
        };
        // Only a help for the next review; without the record it grants nothing.
        let _ = fs::remove_file(record.with_extension("texts"));
        Ok(gone)
    }

    /// When something was last trusted or forgotten: the change time of the store's folder (`st_ctim` of POSIX), in seconds since
    /// 1970 and nanoseconds.
    pub fn last_decided(&self) -> Option<(i64, u32)> {
        sys::owner(self.folder.as_ref()?).ok().map(|owner| owner.changed)
    }

    /// The texts that were trusted, by path, for a review.
    pub fn texts(&self, project: &Project, config: &Path) -> BTreeMap<String, String> {
        let read = || {
            let path = self.folder.as_ref()?.join(record_name(project.root(), config)).with_extension("texts");
            serde_json::from_slice(&sys::read_regular(&path, MAX_TEXTS_FILE).ok()?).ok()
        };
        self.find(project, config).ok().flatten().and_then(|_| read()).unwrap_or_default()
    }

    fn private_folder(&self) -> Result<&Path, StoreError> {
        let folder = self.folder.as_ref().ok_or(StoreError::NoFolder)?;
        let failed = |error| StoreError::Io(folder.clone(), error);
        sys::make_private_folder(folder).map_err(failed)?;
        match sys::not_private(sys::owner(folder).map_err(failed)?) {
            None => Ok(folder),
            Some(why) => Err(StoreError::Unsafe(folder.clone(), why)),
        }
    }
}

/// Whether a record is about this configuration of this project, and was not copied from another's.
fn is_bound(record: &Trusted, root: &Path, config: &Path) -> bool {
    record.project == root.to_string_lossy() && record.config == config.to_string_lossy()
}

/// The enabled hooks of `file`, and of what it inherits, that stop the caller when they fail.
fn guards_of(loaded: &Loaded, file: &ConfigFile) -> Vec<TrustedGuard> {
    let up_to_it = loaded.hooks.iter().filter(|hook| {
        let of = loaded.file_of(hook);
        std::ptr::eq(of, file) || (file.inherited.is_none() && of.inherited.is_some())
    });
    let guards = up_to_it.map(|hook| &hook.hook).filter(|hook| hook.enabled && hook.fail_mode == FailMode::Stop);
    guards.map(|hook| TrustedGuard { name: hook.name.to_string(), events: hook.events.clone() }).collect()
}

fn record_name(root: &Path, config: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(root.as_os_str().as_encoded_bytes());
    hash.update(b"\0");
    hash.update(config.as_os_str().as_encoded_bytes());
    format!("{}.json", hex(&hash.finalize()[..16]))
}

/// A record; nothing when there is none that counts.
fn read_record(path: &Path) -> io::Result<Option<Trusted>> {
    let Some(file) = sys::open_private(path)? else { return Ok(None) };
    Ok(serde_json::from_slice(&sys::read_capped(&file, MAX_RECORD_BYTES)?).ok())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    sys::replace_private(path, bytes).map_err(|error| StoreError::Io(path.to_owned(), error))
}
