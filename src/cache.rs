//! A configuration that was understood before, kept for the next process in the user's cache folder.
//!
//! One file a project, named by the paths of its configuration and believed only when its content hash
//! (BLAKE3) covers exactly the bytes that lie in the configuration's files now, and when a keyed hash says
//! that this user's knockon wrote what is in it: trust is judged on the files, so that nobody may put other
//! hooks in their place. The key lies with what the user trusted, not in the cache. The file holds what it
//! takes to find the few hooks that an event may trigger, and each hook by itself; only those are taken out
//! and compiled, so that a thousand hooks cost what ten do. Whatever is wrong with the file counts as if
//! there were none; deleting it is harmless.

use crate::config::{
    Concurrency, ConfigFile, Diagnostic, Found, Loaded, LoadedHook, Opened, Parts, ScriptPath, Severity, Source,
};
use crate::event::Event;
use crate::matcher::{Finder, Matcher, Slot, probe};
use crate::project::{KEY_BYTES, UserFolders, UserKey};
use crate::sys::{self, OpenFile};
use crate::text::hex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Names the layout of the file. Has to change with every change of what is stored; a test notices.
const FORMAT: &[u8; 16] = b"knockon config 7";
/// The most that is read of a file to find hooks in it: the index of a hundred thousand.
const MAX_INDEX: u64 = 64 * 1024 * 1024;
/// How much is read at first: more than most have.
const USUAL_INDEX: usize = 4096;
/// Format, content hash, keyed hash of the index, where that ends, and the length of the front.
const HEADER: usize = 16 + 32 + 32 + 8 + 4;
/// How many bytes of a hook's keyed hash are kept beside its place.
const SEAL: usize = 16;
/// Where a hook begins, and its keyed hash, which covers the configuration, its number and its place as well: the
/// table of places is not read as a whole.
const PLACE: usize = 8 + SEAL;

type Key = [u8; KEY_BYTES];

/// The user's folder of configurations that were understood before.
#[derive(Clone, Debug)]
pub struct ConfigCache {
    folder: Option<PathBuf>,
    key: UserKey,
    decisions: Decisions,
}

/// When the user last decided what is trusted: what was kept before says nothing about the guards of what was trusted since.
pub type Decisions = Option<(i64, u32)>;

/// A configuration that was understood before, and whose files have not changed since.
#[derive(Debug)]
pub struct Kept {
    found: Vec<Found>,
    layers: Vec<Layers>,
    stored: Stored,
    front: Front,
}

/// What stands at the beginning of the file.
#[derive(Debug, Deserialize)]
struct Front {
    /// The layers that were asked for, file by file, in that order.
    layers: Vec<Vec<String>>,
    warnings: Vec<Diagnostic>,
    finder: Finder,
    /// The table of the index: tags, slots, hooks.
    tags: Range<u64>,
    slots: Range<u64>,
    owners: Range<u64>,
    /// Of each file: its scripts, and how many of its hooks run side by side.
    files: Range<u64>,
    /// Behind the index: of each hook where it begins, and its keyed hash; and where the last ends.
    places: Range<u64>,
}

/// The files that were asked for while one configuration file was read.
#[derive(Debug, Default)]
struct Layers {
    /// Each by its name; absent without bytes.
    files: Vec<(String, Option<Vec<u8>>)>,
    /// Why they cannot be relied on.
    distrust: Option<String>,
}

/// An open file of the cache.
#[derive(Debug)]
struct Stored {
    file: OpenFile,
    size: u64,
    /// The beginning of the file: all of the index, and what was read with it.
    head: Vec<u8>,
    /// Where the index ends: all before the table of places.
    end: usize,
    key: Key,
}

impl ConfigCache {
    /// The cache of a user with this key.
    pub fn of(user: &UserFolders, key: UserKey, decisions: Decisions) -> Self {
        ConfigCache { folder: user.cache.clone(), key, decisions }
    }

    /// The configuration that `found` are the files of, when it was kept and nothing has changed since.
    ///
    /// # Errors
    /// It was not kept, or is another one now: gives the files back.
    pub fn find(&self, found: Vec<Found>) -> Result<Kept, Vec<Found>> {
        let known = || {
            let stored = Stored::open(&self.path(&found)?, *self.key.read()?)?;
            let front: Front = decode(stored.index().get(stored.front()?)?)?;
            let open = |(found, names): (&Found, &Vec<String>)| Layers::open(found, names.clone());
            let layers: Vec<Layers> = found.iter().zip(&front.layers).map(open).collect::<Option<_>>()?;
            let same = stored.index().get(16..48)? == content_hash(&found, &layers, self.decisions).as_bytes();
            (same && layers.len() == found.len()).then_some((layers, stored, front))
        };
        match known() {
            Some((layers, stored, front)) => Ok(Kept { found, layers, stored, front }),
            None => Err(found),
        }
    }

    /// Keeps a configuration that was read from `found` without an error. That it cannot be kept harms
    /// nobody.
    pub fn keep(&self, found: &[Found], loaded: &Loaded, matcher: &Matcher, problems: &[Diagnostic]) {
        let keep = || {
            let sound = problems.iter().all(|problem| problem.severity == Severity::Warning);
            (sound && !loaded.hooks.is_empty()).then_some(())?;
            let as_read = |(found, file): (&Found, &ConfigFile)| Layers::of(found, file);
            let layers: Vec<Layers> = found.iter().zip(&loaded.files).map(as_read).collect::<Option<_>>()?;
            let content = content_hash(found, &layers, self.decisions);
            let bytes = written(content, &layers, loaded, matcher, problems, self.key.read_or_make().ok()?)?;
            let folder = self.folder.as_deref()?;
            sys::make_private_folder(folder).ok()?;
            sys::is_private_folder(folder).ok().filter(|private| *private)?;
            sys::replace_private(&self.path(found)?, &bytes).ok()
        };
        let _ = keep();
    }

    /// One file for the same configuration files, whatever is in them.
    fn path(&self, found: &[Found]) -> Option<PathBuf> {
        let mut hash = blake3::Hasher::new();
        for found in found {
            let path = found.path.as_os_str().as_encoded_bytes();
            hash.update(&(path.len() as u64).to_le_bytes()).update(path);
        }
        let name = hex(&hash.finalize().as_bytes()[..16]);
        let folder = self.folder.as_ref().filter(|_| !found.is_empty())?;
        Some(folder.join(format!("{name}.config")))
    }
}

impl Kept {
    /// The files, to be read in full.
    pub fn into_found(self) -> Vec<Found> {
        self.found
    }

    /// The hooks that `event` may trigger, as a configuration of their own, and what is unwise about the
    /// whole; nothing when the cache cannot be read.
    pub fn part(self, event: &Event) -> Option<(Loaded, Matcher, Vec<Diagnostic>)> {
        let Kept { found, layers, stored, front } = self;
        let tags = stored.section(&front.tags)?;
        let mut hooks: Vec<u32> = Vec::new();
        for key in front.finder.keys(event) {
            for at in probe(tags, key, |at| Some(Slot::of_bytes(stored.item(&front.slots, at)?)))? {
                hooks.push(u32::from_le_bytes(stored.item(&front.owners, at)?));
            }
        }
        hooks.sort_unstable();
        hooks.dedup();
        let mut loaded = Loaded::default();
        let mut files: Vec<(Vec<ScriptPath>, Concurrency)> = match hooks.is_empty() {
            true => Vec::new(),
            false => decode(stored.section(&front.files)?)?,
        };
        files.resize_with(found.len(), Default::default);
        for hook in hooks {
            let hook: LoadedHook = decode(&stored.hook(&front.places, hook)?)?;
            (hook.file < found.len()).then(|| loaded.hooks.push(hook))?;
        }
        for ((found, opened), (scripts, concurrency)) in found.into_iter().zip(layers).zip(files) {
            let layers = opened.sources(&found);
            loaded.files.push(found.into_file(Parts { layers, scripts, concurrency, distrust: opened.distrust }));
        }
        let (matcher, unclear) = Matcher::compile(&loaded);
        unclear.is_empty().then_some((loaded, matcher, front.warnings))
    }
}

impl Layers {
    /// Opens files of the hooks folder; nothing when one of them is refused.
    fn open(found: &Found, names: Vec<String>) -> Option<Self> {
        let mut layers = Layers::default();
        let mut folder = None;
        for name in names {
            let (opened, why) = found.open_layer_in(&mut folder, Path::new(&name));
            layers.distrust = layers.distrust.take().or(why);
            layers.files.push(match opened {
                Opened::Found(bytes) => (name, Some(bytes)),
                Opened::Missing => (name, None),
                Opened::Refused(_) | Opened::Withheld => return None,
            });
        }
        Some(layers)
    }

    /// What was asked for when `file` was read; nothing when it has changed since.
    fn of(found: &Found, file: &ConfigFile) -> Option<Self> {
        let read = |name: &str| file.layers.iter().find(|layer| layer.name == name);
        let beside = Found::BESIDE.iter().filter(|name| read(name).is_none()).map(|name| (*name).to_owned());
        let names = file.layers.iter().map(|layer| layer.name.clone()).chain(beside).collect();
        let layers = Layers::open(found, names)?;
        let as_read = layers.files.iter().all(|(name, bytes)| bytes.as_ref() == read(name).map(|layer| &layer.bytes));
        as_read.then_some(layers)
    }

    fn sources(&self, found: &Found) -> Vec<Source> {
        let there = self.files.iter().filter_map(|(name, bytes)| Some((name, bytes.as_ref()?)));
        let source = |(name, bytes): (&String, &Vec<u8>)| {
            let path = found.hooks_folder().join(name);
            Source { path, name: name.clone(), bytes: bytes.clone() }
        };
        there.map(source).collect()
    }
}

impl Stored {
    /// Opens a file of the cache and reads its index; nothing when this user's knockon did not
    /// write exactly that.
    fn open(path: &Path, key: Key) -> Option<Self> {
        let file = sys::open_private(path).ok()??;
        let size = file.owner().size;
        let first = USUAL_INDEX.min(usize::try_from(size).ok()?);
        let mut head = vec![0; first];
        file.read_exact_at(&mut head, 0).ok()?;
        let end = u64::from_le_bytes(head.get(80..88)?.try_into().ok()?);
        let end = usize::try_from(end).ok().filter(|_| end <= size.min(MAX_INDEX))?.max(HEADER);
        if end > first {
            head.resize(end, 0);
            file.read_exact_at(&mut head[first..], first as u64).ok()?;
        }
        let index = head.get(..end)?;
        let sealed = index.starts_with(FORMAT) && seal(&key, index)?.as_bytes() == index.get(48..80)?;
        sealed.then_some(Stored { file, size, head, end, key })
    }

    /// All before the table of places.
    fn index(&self) -> &[u8] {
        self.head.get(..self.end).unwrap_or_default()
    }

    /// A piece of the file; what was read with the index is not read again.
    fn piece(&self, start: u64, length: usize) -> Option<Cow<'_, [u8]>> {
        let from = usize::try_from(start).ok()?;
        if let Some(known) = self.head.get(from..from.checked_add(length)?) {
            return Some(Cow::Borrowed(known));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).ok()?;
        Some(Cow::Owned(bytes))
    }

    /// Where the front is.
    fn front(&self) -> Option<Range<usize>> {
        let length = u32::from_le_bytes(self.index().get(88..HEADER)?.try_into().ok()?);
        Some(HEADER..HEADER + length as usize)
    }

    /// A part of what was read.
    fn section(&self, range: &Range<u64>) -> Option<&[u8]> {
        self.index().get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// A hook; nothing when it is not what was written there.
    fn hook(&self, places: &Range<u64>, number: u32) -> Option<Cow<'_, [u8]>> {
        let at = places.start.checked_add(u64::from(number).checked_mul(PLACE as u64)?)?;
        at.checked_add(2 * PLACE as u64).filter(|end| *end <= places.end)?;
        let both = self.piece(at, 2 * PLACE)?;
        let (this, next) = both.split_at_checked(PLACE)?;
        let start = |place: &[u8]| Some(u64::from_le_bytes(place.get(..8)?.try_into().ok()?));
        let (start, end) = (start(this)?, start(next)?);
        let length = usize::try_from(end.checked_sub(start).filter(|_| end <= self.size)?).ok()?;
        let bytes = self.piece(start, length)?;
        let content = self.index().get(16..48)?;
        (seal_of_hook(&self.key, content, number, start, &bytes) == this.get(8..)?).then_some(bytes)
    }

    /// The item `at` of a section of items of one size.
    fn item<const N: usize>(&self, section: &Range<u64>, at: usize) -> Option<[u8; N]> {
        let start = section.start.checked_add((at as u64).checked_mul(N as u64)?)?;
        let end = start.checked_add(N as u64).filter(|end| *end <= section.end)?;
        self.section(&(start..end))?.try_into().ok()
    }
}

/// Covers everything that decides what a configuration means.
fn content_hash(found: &[Found], layers: &[Layers], decisions: Decisions) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(FORMAT).update(env!("CARGO_PKG_VERSION").as_bytes());
    let (seconds, nanoseconds) = decisions.unwrap_or_default();
    hash.update(&seconds.to_le_bytes()).update(&nanoseconds.to_le_bytes());
    let mut field = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    for (found, layers) in found.iter().zip(layers) {
        field(&[found.origin as u8]);
        field(found.path.as_os_str().as_encoded_bytes());
        field(&found.bytes);
        for (name, bytes) in &layers.files {
            field(name.as_bytes());
            field(if bytes.is_some() { b"there" } else { b"absent" });
            field(bytes.as_deref().unwrap_or_default());
        }
    }
    hash.finalize()
}

/// What says that the index is as it was written. The seal itself is left out.
fn seal(key: &Key, index: &[u8]) -> Option<blake3::Hash> {
    Some(blake3::Hasher::new_keyed(key).update(index.get(..48)?).update(index.get(80..)?).finalize())
}

/// What says that a hook is the one of that number in the configuration of that content, and lies there.
fn seal_of_hook(key: &Key, content: &[u8], number: u32, start: u64, bytes: &[u8]) -> [u8; SEAL] {
    let mut hash = blake3::Hasher::new_keyed(key);
    hash.update(content).update(&number.to_le_bytes()).update(&start.to_le_bytes()).update(bytes);
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&hash.finalize().as_bytes()[..SEAL]);
    seal
}

/// The whole file: header, front, and the sections that the front names.
fn written(
    content: blake3::Hash,
    layers: &[Layers],
    loaded: &Loaded,
    matcher: &Matcher,
    warnings: &[Diagnostic],
    key: &Key,
) -> Option<Vec<u8>> {
    let index = matcher.index().stored();
    let hooks = loaded.hooks.iter().map(|hook| postcard::to_stdvec(hook).ok());
    let hooks: Vec<Vec<u8>> = hooks.collect::<Option<_>>()?;
    let files: Vec<(&Vec<ScriptPath>, Concurrency)> =
        loaded.files.iter().map(|file| (&file.scripts, file.concurrency)).collect();
    let files = postcard::to_stdvec(&files).ok()?;
    let owners: Vec<u8> = index.hooks.iter().flat_map(|hook| hook.to_le_bytes()).collect();
    let names = |layers: &Layers| layers.files.iter().map(|(name, _)| name.clone()).collect();
    let asked: Vec<Vec<String>> = layers.iter().map(names).collect();
    let front = |start: u64| {
        let mut end = start;
        let mut place = |length: usize| {
            let start = end;
            end += length as u64;
            start..end
        };
        let (tags, slots, owners) = (place(index.tags.len()), place(index.slots.len()), place(owners.len()));
        let files = place(files.len());
        let index_end = files.end;
        let places = place((hooks.len() + 1) * PLACE);
        // A tuple is written as the struct with these fields is.
        let front = (&asked, warnings, index.finder, tags, slots, owners, files, places);
        postcard::to_stdvec(&front).ok().map(|front| (front, index_end))
    };
    // Numbers take more room the greater they are: room for the greatest.
    let start = (HEADER + front(u64::MAX / 2)?.0.len()) as u64;
    let (front, index_end) = front(start)?;
    let mut bytes = Vec::from(FORMAT);
    bytes.extend(content.as_bytes());
    bytes.extend([0; 32]);
    bytes.extend(index_end.to_le_bytes());
    bytes.extend(u32::try_from(front.len()).ok()?.to_le_bytes());
    bytes.extend(front);
    bytes.resize(usize::try_from(start).ok()?, 0);
    bytes.extend(index.tags);
    bytes.extend(index.slots);
    bytes.extend(owners);
    bytes.extend(files);
    let sealed = seal(key, &bytes)?;
    bytes[48..80].copy_from_slice(sealed.as_bytes());
    let content: [u8; 32] = bytes[16..48].try_into().ok()?;
    let mut place = index_end + ((hooks.len() + 1) * PLACE) as u64;
    for (number, hook) in (0..).zip(hooks.iter().chain([&Vec::new()])) {
        bytes.extend(place.to_le_bytes());
        bytes.extend(seal_of_hook(key, &content, number, place, hook));
        place += hook.len() as u64;
    }
    hooks.iter().for_each(|hook| bytes.extend(hook));
    Some(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{find, read};
    use crate::project::Project;

    /// Has every part that is stored.
    const CONFIG: &str = "version: '1.1'
concurrency: 2
defaults: {timeout: 5, env: {A: b}}
hooks:
- name: every-key
  description: all of them
  events: [{type: 'spec.*', filter: {a: [1, x, {prefix: p}], b_any: [true, null], $or: [{c: 1.5}, {d: {exists: false}}]}, files: ['src/**', '!docs/**']}]
  script: run.sh
  args: [a, b]
  working_directory: sub
  env: {LANG: C}
  env_from: [EDITOR]
  fail_mode: continue
  enabled: true
  output: always
  on_timeout: fail
  on_unreadable: warn
  schema_version: '1'
  after: [command]
  retry: {attempts: 3, backoff: 1s}
  mode: detach
  sandbox: guard
  concurrency_group: group
  on_busy: replace
  coalesce: {key: a, within: 2s}
  tests: [{name: one, event: {type: spec.created, context: {a: 1}}, expect: {matched: true, exit_code: 0, files: {x: true, y: z}}}]
- {name: command, events: [{type: 'spec.*'}, {type: '*.b'}], command: [git, status], fail_mode: stop, stop: now, on_timeout: block}
- {name: webhook, events: [{type: x.y}], webhook: {url: https://example.org}}
- {name: line, events: [{type: x.y}], command: echo}
- {name: notify, events: [{type: x.y}], notify: {title: a, body: b}}
";

    fn cached() -> (tempfile::TempDir, Vec<Found>, Loaded, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".knockon")).unwrap();
        std::fs::write(folder.path().join(".knockon/hooks.yaml"), CONFIG).unwrap();
        let found = find(&Project::at(folder.path()).unwrap(), &UserFolders::default(), None).found;
        let loaded = read(&found, Vec::new());
        let problems: Vec<&Diagnostic> =
            loaded.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(problems.is_empty(), "{problems:?}");
        let (matcher, _) = Matcher::compile(&loaded);
        let layers: Vec<Layers> =
            found.iter().zip(&loaded.files).map(|(found, file)| Layers::of(found, file).unwrap()).collect();
        let bytes = written(content_hash(&found, &layers, None), &layers, &loaded, &matcher, &[], &[7; 32]).unwrap();
        (folder, found, loaded, bytes)
    }

    #[test]
    fn a_hook_comes_out_as_it_went_in() {
        let (_folder, _, loaded, _) = cached();
        for hook in &loaded.hooks {
            let stored = postcard::to_stdvec(hook).unwrap();
            assert_eq!(decode::<LoadedHook>(&stored).as_ref(), Some(hook));
        }
    }

    #[test]
    fn the_format_has_another_name_when_it_is_another() {
        let (_folder, _, _, bytes) = cached();
        // The content hash covers the path, which differs from run to run, and the seals cover that.
        let index_end = u64::from_le_bytes(bytes[80..88].try_into().unwrap()) as usize;
        let first_hook = u64::from_le_bytes(bytes[index_end..index_end + 8].try_into().unwrap()) as usize;
        let hash = blake3::hash(&[&bytes[80..index_end], &bytes[first_hook..]].concat()).to_hex();
        assert_eq!(
            (FORMAT, &hash[..16]),
            (b"knockon config 7", "481d8cd487b2c321"),
            "what is stored has changed: give FORMAT the next number, then set both here"
        );
    }
}
