//! What is hashed: the configuration's bytes, and every script it names with its bytes and mode.

use crate::config::{Action, ConfigFile, Loaded, ScriptFile};
use crate::sys;
use crate::text::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The largest script that is hashed, in bytes; a larger one cannot be trusted.
const MAX_SCRIPT_BYTES: usize = 64 * 1024 * 1024;

/// SHA-256 over a canonical manifest, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl FromStr for ContentHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            Ok(ContentHash(text.to_owned()))
        } else {
            Err("a trust hash is `sha256:` and 64 lower-case hexadecimal digits, as `knockon trust --print-hash` prints it".into())
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The configuration by its file name, a script by its path below the hooks folder.
    pub path: String,
    /// Whether its owner may execute it: the part of the mode that git keeps, so that a checkout under
    /// another umask has the same hash.
    pub executable: bool,
    /// SHA-256 of its bytes; empty when it does not exist.
    pub sha256: String,
}

/// Everything that one trust decision covers.
#[derive(Clone, Debug)]
pub struct Manifest {
    entries: Vec<Entry>,
    /// The bytes of each entry, for review.
    contents: Vec<Vec<u8>>,
    refusal: Option<String>,
}

impl Manifest {
    /// Reads and hashes `file` and the scripts of its hooks, disabled ones included. The content that
    /// is hashed is the content that was parsed.
    pub fn of(loaded: &Loaded, file: &ConfigFile) -> Self {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut manifest = Manifest { entries: Vec::new(), contents: Vec::new(), refusal: None };
        manifest.add(name, false, Some(file.bytes.clone()));
        for loaded_hook in loaded.hooks.iter().filter(|hook| std::ptr::eq(loaded.file_of(hook), file)) {
            if let Action::Script { path, .. } = &loaded_hook.hook.action
                && !manifest.entries[1..].iter().any(|entry| entry.path == path.as_str())
            {
                match ScriptFile::open(&file.hooks_folder, path) {
                    Ok(script) => manifest.add_script(path.as_str(), &script),
                    // It cannot run either; when it appears, the hash changes.
                    Err(_) => manifest.add(path.as_str().to_owned(), false, None),
                }
            }
        }
        manifest
    }

    fn add_script(&mut self, path: &str, script: &ScriptFile) {
        if let Some(why) = script.owner.distrust() {
            self.refusal.get_or_insert(format!("the script {path} {why}"));
        }
        let bytes = sys::read_capped(&script.file, MAX_SCRIPT_BYTES).ok();
        if bytes.as_ref().is_some_and(|bytes| bytes.len() > MAX_SCRIPT_BYTES) {
            self.refusal.get_or_insert(format!("the script {path} is larger than 64 MiB"));
        }
        self.add(path.to_owned(), script.is_executable(), bytes);
    }

    fn add(&mut self, path: String, executable: bool, bytes: Option<Vec<u8>>) {
        let sha256 = bytes.as_ref().map(|bytes| hex(&Sha256::digest(bytes))).unwrap_or_default();
        self.entries.push(Entry { path, executable, sha256 });
        self.contents.push(bytes.unwrap_or_default());
    }

    /// The hash that stands for all of it. It does not cover where the project lies, so that it is the
    /// same in every checkout; the store binds it to the project's real path.
    pub fn hash(&self) -> ContentHash {
        let mut hash = Sha256::new();
        hash.update(b"knockon trust manifest 1\n");
        for entry in &self.entries {
            // Lengths before text: no path can be written so that two manifests read the same.
            let mode = if entry.executable { "100755" } else { "100644" };
            hash.update(format!("{mode} {} {}:{}\n", entry.sha256, entry.path.len(), entry.path));
        }
        ContentHash(format!("sha256:{}", hex(&hash.finalize())))
    }

    /// The files, the configuration first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The files with their bytes.
    pub fn files(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        self.entries.iter().zip(self.contents.iter().map(Vec::as_slice))
    }

    /// Why this content cannot be trusted by anyone, if so.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// The files that differ from what was trusted.
    pub fn changes_since(&self, trusted: &super::Trusted) -> Vec<String> {
        let mut changed: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| !trusted.files.contains(entry))
            .map(|entry| entry.path.clone())
            .collect();
        let gone = |entry: &&Entry| !self.entries.iter().any(|mine| mine.path == entry.path);
        changed.extend(trusted.files.iter().filter(gone).map(|entry| entry.path.clone()));
        changed
    }
}
