//! What is hashed: the configuration's bytes with those of its layers, and every script it names with its
//! bytes and mode.

use super::owners::{distrust_of_script, is_unchanged};
use crate::config::{ConfigFile, ScriptFile, ScriptPath};
use crate::sys::{self, Owner};
use crate::text::hex;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::OnceLock;

/// How many bytes of scripts are hashed at most; more cannot be trusted.
const MAX_SCRIPT_BYTES: u64 = 256 * 1024 * 1024;
/// The largest script that a sandbox is given from memory.
const MAX_SANDBOXED_BYTES: usize = 64 * 1024 * 1024;
/// For how long a file must not have changed, so that its next change has another time, in milliseconds.
const SETTLED_MS: u64 = 100;
/// Up to this size a script is hashed again before each start, in bytes: a change through a mapping of the file shows in its
/// time late.
const MAX_HASHED_AGAIN: u64 = 1024 * 1024;
/// How much of one file is kept for a review, and of all files together.
const MAX_TEXT_BYTES: usize = 1024 * 1024;
const MAX_TEXTS_BYTES: usize = 16 * 1024 * 1024;

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

impl ContentHash {
    /// One that stands for several.
    pub(super) fn of_several<'h>(hashes: impl Iterator<Item = (&'h ContentHash, &'h str)>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"knockon trust manifests 1\n");
        hashes.for_each(|(one, place)| hash.update(format!("{one} {}:{place}\n", place.len())));
        ContentHash(format!("sha256:{}", hex(&hash.finalize())))
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
    /// The hash, once it was asked for.
    hash: OnceLock<ContentHash>,
    refusal: Option<String>,
    /// Of each large script that only this user can change, the file as it was when it was hashed.
    seen: Vec<(ScriptPath, Owner)>,
}

impl Manifest {
    /// Reads and hashes `file`, its layers and the scripts of its hooks, disabled ones included. The
    /// configuration that is hashed is the one that was parsed; scripts pass through a small buffer, each
    /// once.
    pub fn of(file: &ConfigFile) -> Self {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut manifest = Manifest { entries: Vec::new(), hash: OnceLock::new(), refusal: None, seen: Vec::new() };
        let now = Timestamp::now();
        manifest.add(name, false, hex(&Sha256::digest(&file.bytes)));
        for layer in &file.layers {
            manifest.add(layer.name.clone(), false, hex(&Sha256::digest(&layer.bytes)));
        }
        let mut hashes: HashMap<(u64, u64), String> = HashMap::new();
        let mut left = MAX_SCRIPT_BYTES;
        for path in &file.scripts {
            let Ok(script) = ScriptFile::open(&file.hooks_folder, path) else {
                // It cannot run either; when it appears, the hash changes.
                manifest.add(path.as_str().to_owned(), false, String::new());
                continue;
            };
            let distrust = distrust_of_script(file, path, &script);
            let is_ours = distrust.is_none();
            if let Some(why) = distrust {
                manifest.refusal.get_or_insert(why);
            }
            let sha256 = match hashes.get(&script.owner.identity) {
                Some(known) => known.clone(),
                None => {
                    let hashed = hash_file(&script.file, &mut left).unwrap_or_else(|why| {
                        manifest.refusal.get_or_insert(format!("the script {}: {why}", path.as_str()));
                        String::new()
                    });
                    hashes.insert(script.owner.identity, hashed.clone());
                    hashed
                }
            };
            manifest.add(path.as_str().to_owned(), script.is_executable(), sha256);
            if is_ours && script.owner.size > MAX_HASHED_AGAIN && is_settled(script.owner, now) {
                manifest.seen.push((path.clone(), script.owner));
            }
        }
        manifest
    }

    fn add(&mut self, path: String, executable: bool, sha256: String) {
        self.entries.push(Entry { path, executable, sha256 });
    }

    /// Whether a script is still what was hashed: an earlier hook, or anyone else, may have changed it
    /// since. The text says what became of it.
    ///
    /// # Errors
    /// It is not.
    pub fn still_holds(&self, file: &ConfigFile, path: &ScriptPath) -> Result<(), Changed> {
        let seen = self.seen.iter().find(|(seen, _)| seen == path).map(|(_, owner)| *owner);
        if seen.is_some_and(|then| is_unchanged(file, path, then)) {
            return Ok(());
        }
        let entry = self.entries.iter().find(|entry| entry.path == path.as_str());
        let script = match ScriptFile::open(&file.hooks_folder, path) {
            Ok(script) => script,
            // It was not there before either: the runner says what is wrong with it.
            Err(_) if entry.is_some_and(|entry| entry.sha256.is_empty()) => return Ok(()),
            Err(_) => return Err(Changed::Content),
        };
        if let Some(why) = distrust_of_script(file, path, &script) {
            return Err(Changed::Unsafe(why));
        }
        // Nothing was written to the very file that was hashed.
        if seen == Some(script.owner) {
            return Ok(());
        }
        let sha256 = hash_file(&script.file, &mut { MAX_SCRIPT_BYTES }).map_err(|_| Changed::Content)?;
        let now = Entry { path: path.as_str().to_owned(), executable: script.is_executable(), sha256 };
        if entry == Some(&now) { Ok(()) } else { Err(Changed::Content) }
    }

    /// The bytes of a script, when they are what was hashed.
    pub fn bytes_of(&self, file: &ConfigFile, path: &ScriptPath) -> Option<Vec<u8>> {
        let entry = self.entries.iter().find(|entry| entry.path == path.as_str())?;
        let script = ScriptFile::open(&file.hooks_folder, path).ok()?;
        let bytes = sys::read_capped(&script.file, MAX_SANDBOXED_BYTES).ok()?;
        (bytes.len() <= MAX_SANDBOXED_BYTES && hex(&Sha256::digest(&bytes)) == entry.sha256).then_some(bytes)
    }

    /// The hash that stands for all of it. It does not cover where the project lies, so that it is the
    /// same in every checkout; the store binds it to the project's real path.
    pub fn hash(&self) -> ContentHash {
        self.hash.get_or_init(|| self.hash_entries()).clone()
    }

    /// The hash of the bytes of a script, as hexadecimal digits.
    pub fn script_hash(&self, path: &ScriptPath) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.path == path.as_str())?;
        Some(entry.sha256.as_str()).filter(|hash| !hash.is_empty())
    }

    fn hash_entries(&self) -> ContentHash {
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

    /// The texts behind the hash, for a review, as far as they are of a size that a person reads. Each is
    /// the very text that was hashed.
    pub fn texts(&self, file: &ConfigFile) -> BTreeMap<String, String> {
        let mut left = MAX_TEXTS_BYTES;
        let mut texts = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let layer = at.checked_sub(1).and_then(|at| file.layers.get(at));
            let bytes = match (at, layer) {
                (0, _) => Some(file.bytes.clone()),
                (_, Some(layer)) => Some(layer.bytes.clone()),
                (_, None) => read_script(file, &entry.path),
            };
            let Some(bytes) = bytes.filter(|bytes| bytes.len() <= left.min(MAX_TEXT_BYTES)) else { continue };
            if hex(&Sha256::digest(&bytes)) == entry.sha256 {
                left -= bytes.len();
                texts.insert(entry.path.clone(), String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        texts
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
        changed.extend(trusted.files.iter().filter(gone).map(|entry| format!("{} (removed)", entry.path)));
        changed
    }
}

/// What became of a script since it was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It has other bytes or another mode, or is gone.
    Content,
    /// Someone else can change it; the text says who.
    Unsafe(String),
}

/// Whether a change from `now` on would show in the time of a file's last change: that is as exact as a tick of the
/// system's clock (10 ms at most), so that what was changed a moment ago may be changed again at the same time.
fn is_settled(owner: Owner, now: Timestamp) -> bool {
    let changed = owner.changed.0.saturating_mul(1000).saturating_add(i64::from(owner.changed.1) / 1_000_000);
    u64::try_from(changed).is_ok_and(|changed| changed.saturating_add(SETTLED_MS) < now.as_millis())
}

/// SHA-256 of a file, read through a small buffer; `left` is how many bytes may still be read.
fn hash_file(file: &File, left: &mut u64) -> Result<String, String> {
    let mut hash = Sha256::new();
    // One page: each further one of a process that lives for a moment is a fault, and most scripts are shorter.
    let mut buffer = [0; 4 * 1024];
    let mut reader: &File = file;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => {
                *left = left.checked_sub(count as u64).ok_or("more than 256 MiB of scripts cannot be trusted")?;
                hash.update(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot be read: {error}")),
        }
    }
}

fn read_script(file: &ConfigFile, path: &str) -> Option<Vec<u8>> {
    let script = ScriptFile::open(&file.hooks_folder, &path.parse().ok()?).ok()?;
    sys::read_capped(&script.file, MAX_TEXT_BYTES).ok()
}
