//! `files`: globs over the paths of an event's artifacts.
//!
//! `*` and `?` stay within a folder, `**` crosses folders, `[...]` is a class, `{a,b}` a choice, `!` in
//! front excludes, and a backslash takes the meaning from the character after it: `app/\[id\]/*`.

use super::glob::{InvalidGlob, Pattern};
use crate::event::{artifact_path, normal_path};
use crate::json::Json;
use crate::sys;
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The most globs that the choices of one glob may multiply to.
const MAX_CHOICES: usize = 64;

/// The most folders of one glob: what comes before trust must not cost an emit more than it can pay.
const MAX_SEGMENTS: usize = 64;

/// The globs of one event matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGlobs {
    /// As they are written.
    written: Vec<String>,
    wanted: Vec<PathGlob>,
    unwanted: Vec<PathGlob>,
    /// Where the event's project is below the one that the globs are of; empty where that is the same.
    below: String,
}

impl FileGlobs {
    /// Reads globs. Only excluding ones leave every other path in.
    ///
    /// # Errors
    /// One of them is none; the index says which.
    pub fn parse<'g>(globs: impl IntoIterator<Item = &'g str>) -> Result<Self, (usize, InvalidGlob)> {
        let mut files =
            FileGlobs { written: Vec::new(), wanted: Vec::new(), unwanted: Vec::new(), below: String::new() };
        for (index, text) in globs.into_iter().enumerate() {
            let (list, glob, skipped) = match text.strip_prefix('!') {
                Some(glob) => (&mut files.unwanted, glob, 1),
                None => (&mut files.wanted, text, 0),
            };
            let shift = |invalid: InvalidGlob| (index, InvalidGlob { at: invalid.at + skipped, ..invalid });
            for choice in choices(glob).map_err(shift)? {
                list.push(PathGlob::parse(&choice).map_err(shift)?);
            }
            files.written.push(text.to_owned());
        }
        Ok(files)
    }

    /// The same for the events of a nested project that lies in `below`.
    pub fn for_nested(self, below: &str) -> Self {
        FileGlobs { below: below.to_owned(), ..self }
    }

    /// Whether a path fits.
    pub fn fit(&self, path: &str) -> bool {
        let path = path.strip_prefix("./").unwrap_or(path);
        (self.wanted.is_empty() || self.wanted.iter().any(|glob| glob.fits(path)))
            && !self.unwanted.iter().any(|glob| glob.fits(path))
    }

    /// Whether the path of one of the event's artifacts fits.
    pub fn hold(&self, event: Json<'_>) -> bool {
        let Some(artifacts) = event.get("artifacts") else { return false };
        let root = event.get("project_root").and_then(Json::as_str).unwrap_or_default();
        let mut paths = artifacts.items().filter_map(artifact_path);
        if self.below.is_empty() {
            return paths.any(|path| self.fit(&place_in(&path, &root)));
        }
        let outer = root.strip_suffix(&self.below).unwrap_or(&root);
        paths.any(|path| match place_in(&path, &root) {
            path if path.starts_with('/') => self.fit(&place_in(&path, outer)),
            path => self.fit(&place_in(&format!("{}/{path}", self.below), outer)),
        })
    }

    /// The globs as they are written.
    pub fn written(&self) -> &[String] {
        &self.written
    }
}

/// The normal form of an artifact's path in a project at `root`. One that leads out of it by its text may lead into it by a
/// link.
pub fn place_in<'p>(path: &'p str, root: &str) -> Cow<'p, str> {
    let plain = normal_path(path, root);
    if !(plain.starts_with('/') || plain.starts_with("..")) {
        return plain;
    }
    let resolved = || {
        let place = sys::resolve(&Path::new(root).join(path))?;
        Some(place.strip_prefix(Path::new(root).canonicalize().ok()?).ok()?.to_str()?.to_owned())
    };
    resolved().map_or(plain, Cow::Owned)
}

impl fmt::Display for FileGlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written.join(", "))
    }
}

/// One glob over a path, folder by folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PathGlob {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of folders.
    Any,
    Name(Pattern),
}

impl PathGlob {
    fn parse(text: &str) -> Result<Self, InvalidGlob> {
        let trimmed = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
        if trimmed.is_empty() || trimmed.starts_with('/') {
            let problem = "a path below the project is wanted, such as `src/**/*.rs`";
            return Err(InvalidGlob { at: 0, problem });
        }
        let mut at = text.chars().count() - text.strip_prefix("./").unwrap_or(text).chars().count();
        let mut segments = Vec::new();
        for part in trimmed.split('/') {
            let segment = match part {
                "**" => Segment::Any,
                part => Segment::Name(
                    Pattern::parse(part).map_err(|invalid| InvalidGlob { at: at + invalid.at, ..invalid })?,
                ),
            };
            if segment != Segment::Any || segments.last() != Some(&Segment::Any) {
                segments.push(segment);
            }
            at += part.chars().count() + 1;
        }
        // A folder stands for everything in it, as in .gitignore.
        if text.ends_with('/') {
            segments.push(Segment::Any);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(InvalidGlob { at: 0, problem: "a glob over paths has at most 64 folders" });
        }
        Ok(PathGlob { segments })
    }

    /// After a mismatch only the last `**` takes a folder more, so that it takes at most
    /// segments × folders comparisons.
    fn fits(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        let (mut segment, mut name) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            match self.segments.get(segment) {
                None if name == names.len() => return true,
                Some(Segment::Any) => {
                    star = Some((segment, name));
                    segment += 1;
                    continue;
                }
                Some(Segment::Name(pattern)) if names.get(name).is_some_and(|name| pattern.fits(name)) => {
                    segment += 1;
                    name += 1;
                    continue;
                }
                _ => {}
            }
            let Some((at, from)) = star else { return false };
            if from >= names.len() {
                return false;
            }
            star = Some((at, from + 1));
            (segment, name) = (at + 1, from + 1);
        }
    }
}

/// The bytes of a glob that mean something, each with its place: without backslashes and what they escape.
fn unescaped(glob: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut escaped = false;
    glob.bytes().enumerate().filter(move |(_, byte)| {
        let means = !escaped && *byte != b'\\';
        escaped = !escaped && *byte == b'\\';
        means
    })
}

/// A glob with its `{a,b}` written out.
fn choices(glob: &str) -> Result<Vec<String>, InvalidGlob> {
    let mut done = Vec::new();
    let mut open = vec![glob.to_owned()];
    while let Some(text) = open.pop() {
        let Some(start) = unescaped(&text).find(|(_, byte)| *byte == b'{').map(|(at, _)| at) else {
            done.push(text);
            continue;
        };
        let (mut depth, mut end, mut commas) = (0_usize, None, Vec::new());
        for (at, byte) in unescaped(&text).skip_while(|(at, _)| *at < start) {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => {
                    end = Some(at);
                    break;
                }
                b'}' => depth -= 1,
                b',' if depth == 1 => commas.push(at),
                _ => {}
            }
        }
        let first = unescaped(glob).find(|(_, byte)| *byte == b'{');
        let at = first.map_or(0, |(byte, _)| glob[..byte].chars().count());
        let Some(end) = end else { return Err(InvalidGlob { at, problem: "this `{` is never closed" }) };
        let ends = commas.iter().copied().chain([end]);
        let starts = std::iter::once(start).chain(commas.iter().copied());
        open.extend(
            starts.zip(ends).map(|(from, to)| format!("{}{}{}", &text[..start], &text[from + 1..to], &text[end + 1..])),
        );
        if open.len() + done.len() > MAX_CHOICES {
            return Err(InvalidGlob { at, problem: "these `{...}` multiply to more than 64 globs" });
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_paths_folder_by_folder() {
        for (globs, path, fits) in [
            (&["*.rs"][..], "main.rs", true),
            (&["*.rs"], "src/main.rs", false),
            (&["**/*.rs"], "main.rs", true),
            (&["**/*.rs"], "src/deep/main.rs", true),
            (&["src/**"], "src/a/b", true),
            (&["src/**"], "src", true),
            (&["src/**"], "srcs/a", false),
            (&["src/"], "src/a/b", true),
            (&["./src/*.rs"], "./src/a.rs", true),
            (&["src/**/test_?.py"], "src/x/y/test_1.py", true),
            (&["src/[ab]*.rs"], "src/b.rs", true),
            (&["*.{ts,tsx}"], "a.tsx", true),
            (&["*.{ts,js{,on}}"], "a.json", true),
            (&["**/*.md", "!docs/**"], "README.md", true),
            (&["**/*.md", "!docs/**"], "docs/a.md", false),
            (&["!docs/**"], "src/a", true),
            (&["a/**/b/**/c"], "a/x/b/b/y/c", true),
            (&["a/**/b/**/c"], "a/x/y/c", false),
            (&[r"app/\[id\]/*.tsx"], "app/[id]/page.tsx", true),
            (&[r"app/\[id\]/*.tsx"], "app/i/page.tsx", false),
            (&[r"a\{b,c\}.{ts,\{}"], "a{b,c}.{", true),
            (&[r"what\?", r"!what\*"], "what?", true),
            (&[r"what\?"], "whats", false),
            (&[r"\!a", r"b\\c"], "!a", true),
            (&[r"b\\c"], r"b\c", true),
            (&["a[[]b[]]"], "a[b]", true),
        ] {
            assert_eq!(FileGlobs::parse(globs.iter().copied()).unwrap().fit(path), fits, "{globs:?} {path}");
        }
    }

    #[test]
    fn says_where_a_glob_is_wrong() {
        for (glob, at) in
            [("src/[", 4), ("!src/[", 5), ("/etc/*", 0), ("", 0), ("a{b", 1), (r"a\{b{", 4), ("src/a\\", 5)]
        {
            assert_eq!(FileGlobs::parse([glob]).unwrap_err().1.at, at, "{glob}");
        }
        assert!(FileGlobs::parse(["{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"]).is_err());
    }

    #[test]
    fn stays_quick_on_hostile_globs() {
        let glob = FileGlobs::parse([["**/a"; 32].join("/").as_str()]).unwrap();
        assert!(FileGlobs::parse([["**/a"; 33].join("/").as_str()]).is_err(), "no more than that");
        assert!(!glob.fit(&format!("{}/b", ["a"; 3_000].join("/"))));
    }
}
