//! The house rules: who may import whom, where `unsafe` and printing are allowed, and how large a file gets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every room: its floor, and the rooms of its own floor it may import.
const ROOMS: &[(&str, u32, &[&str])] = &[
    ("json", 0, &[]),
    ("time", 0, &["text"]),
    ("text", 0, &[]),
    ("event", 0, &["json", "time", "text"]),
    ("sys", 0, &["time"]),
    ("project", 1, &[]),
    ("git", 1, &["project"]),
    ("config", 1, &["git", "project"]),
    ("registry", 1, &["config", "project"]),
    ("matcher", 1, &["config"]),
    ("cache", 1, &["config", "matcher", "project"]),
    ("trust", 1, &["config", "matcher", "project"]),
    ("delivery", 1, &["config"]),
    ("graph", 1, &[]),
    ("work_package", 1, &[]),
    ("runner", 2, &[]),
    ("audit", 2, &[]),
    ("store", 2, &[]),
    ("outbound", 3, &[]),
    ("telemetry", 3, &["outbound"]),
    ("sync", 3, &["outbound"]),
    ("source", 3, &[]),
    ("dispatch", 4, &[]),
    ("emitter", 4, &["dispatch"]),
    ("drain", 4, &["dispatch", "emitter"]),
    ("replay", 4, &["dispatch", "emitter"]),
    ("explanation", 4, &["emitter"]),
    ("fixtures", 4, &["emitter"]),
    ("metrics", 4, &[]),
    ("doctor", 4, &["emitter"]),
    ("scaffold", 4, &[]),
    ("report", 4, &[]),
    ("cli", 5, &[]),
];

/// The most lines of a source file, tests at its end not counted.
const MAX_LINES: usize = 500;
/// Where an async runtime may be named. Nowhere, so far.
const TOKIO_FOLDERS: &[&str] = &[];

/// A source file: its path from the package, its text, and its text with comments and literals blanked.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    /// The room it belongs to; nothing for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "main"].contains(&room)).then_some(room)
    }

    /// Line number and text of the code outside of test modules.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.code.find("#[cfg(test)]\nmod tests {").unwrap_or(self.code.len());
        self.code[..end].lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push(Source { path, code: blank(&text), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The text with every character of a comment, string or character literal made a space, line feeds and
/// quotes kept.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = Vec::with_capacity(characters.len());
    let mut at = 0;
    let hide = |out: &mut Vec<char>, character: char| out.push(if character == '\n' { '\n' } else { ' ' });
    while at < characters.len() {
        let rest = &characters[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !at.checked_sub(1).is_some_and(|before| is_word(characters[before])) => {
                raw_string(rest)
            }
            ['"', ..] => string(rest),
            ['\'', '\\', ..] => rest.iter().skip(3).position(|&c| c == '\'').map_or(1, |end| end + 4),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if length == 0 {
            out.push(characters[at]);
            at += 1;
            continue;
        }
        for (index, &character) in rest[..length].iter().enumerate() {
            let quote = character == '"' && (index == 0 || index + 1 == length);
            if quote { out.push('"') } else { hide(&mut out, character) }
        }
        at += length;
    }
    out.into_iter().collect()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[2 + hashes..];
    body.windows(close.len())
        .position(|window| window == close)
        .map_or(rest.len(), |end| 2 + hashes + end + close.len())
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The rooms a piece of code names: `crate::room`, also grouped, and `knockon::room` in `main.rs`.
fn rooms_named(line_or_file: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in line_or_file.match_indices("crate::") {
        let rest = &line_or_file[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(group_heads(group)),
            None => rooms.extend(head(rest)),
        }
    }
    rooms
}

fn head(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|&c| is_word(c)).collect();
    (!word.is_empty()).then_some(word)
}

/// The first words of the members of a group `a::X, b::{Y, Z}}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut member) = (0, String::new());
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.extend(head(&std::mem::take(&mut member))),
            _ => {}
        }
        if character != ',' || depth > 0 {
            member.push(character);
        }
    }
    heads.extend(head(&member));
    heads
}

/// Every import of a room by a room, with where it stands.
fn imports() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for source in sources("src") {
        let Some(room) = source.room() else { continue };
        for named in rooms_named(&source.code).into_iter().filter(|named| named != room) {
            let needle = format!("crate::{named}");
            let line = source.code.lines().position(|line| line.contains(&needle)).map_or(1, |line| line + 1);
            found.push((room.to_owned(), named, format!("{}:{line}", source.path)));
        }
    }
    found
}

fn report(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn every_room_has_a_floor_and_every_row_a_room() {
    let on_disk: BTreeSet<String> =
        sources("src").iter().filter_map(|source| source.room().map(str::to_owned)).collect();
    let in_table: BTreeSet<String> = ROOMS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(on_disk, in_table);
}

#[test]
fn a_room_imports_lower_floors_and_the_neighbours_it_names() {
    let floor = |room: &str| ROOMS.iter().find(|(name, _, _)| *name == room);
    let mut offences = Vec::new();
    for (room, named, place) in imports() {
        let Some((_, mine, neighbours)) = floor(&room) else { continue };
        let Some((_, theirs, _)) = floor(&named) else {
            offences.push(format!("{place}: `crate::{named}` is no room; import from the room that has it"));
            continue;
        };
        if theirs > mine || (theirs == mine && !neighbours.contains(&named.as_str())) {
            offences.push(format!(
                "{place}: {room} (floor {mine}) imports {named} (floor {theirs}); move what both need down"
            ));
        }
    }
    report(&offences);
}

#[test]
fn nothing_that_makes_or_runs_knows_how_events_leave_the_machine() {
    // The room can be taken away: whoever makes, matches, runs or stores does not import it.
    let mine = |room: &str| ["cli", "doctor"].contains(&room);
    let others = imports().into_iter().filter(|(room, named, _)| named == "sync" && !mine(room));
    report(&others.map(|(room, _, place)| format!("{place}: {room} imports sync")).collect::<Vec<_>>());
}

#[test]
fn no_rooms_import_each_other_in_a_circle() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, named, _) in imports() {
        graph.entry(room).or_default().insert(named);
    }
    // Take away rooms that import nothing that is left; what stays is in a circle or leads into one.
    loop {
        let left: BTreeSet<String> = graph.keys().cloned().collect();
        let before = graph.len();
        graph.retain(|_, imports| imports.iter().any(|import| left.contains(import)));
        if graph.len() == before {
            break;
        }
    }
    assert!(graph.is_empty(), "rooms in or above a circle: {graph:?}");
}

#[test]
fn unsafe_stands_in_sys_alone_and_gives_its_reason() {
    let mut offences = Vec::new();
    for source in sources("src") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in source.code.lines().enumerate() {
            let word = line.split(|c: char| !is_word(c)).any(|word| word == "unsafe");
            if !word {
                continue;
            }
            let reason = lines[number.saturating_sub(6)..=number]
                .iter()
                .any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            if source.room() != Some("sys") {
                offences.push(format!("{}:{}: `unsafe` outside src/sys", source.path, number + 1));
            } else if !reason {
                offences.push(format!("{}:{}: `unsafe` without a SAFETY comment above it", source.path, number + 1));
            }
        }
    }
    report(&offences);
}

#[test]
fn every_file_begins_with_its_purpose() {
    let files = ["src", "tests", "benches", "examples"].into_iter().flat_map(sources);
    let silent = files.filter(|source| !source.text.starts_with("//! "));
    report(&silent.map(|source| format!("{}:1: the first line is no `//!` purpose", source.path)).collect::<Vec<_>>());
}

#[test]
fn no_file_is_so_large_that_it_has_two_purposes() {
    let large = sources("src").into_iter().map(|source| (source.lines().count(), source.path));
    let large = large.filter(|(lines, _)| *lines > MAX_LINES);
    report(
        &large
            .map(|(lines, path)| format!("{path}: {lines} lines, at most {MAX_LINES}; find its second purpose"))
            .collect::<Vec<_>>(),
    );
}

/// Files whose paths the user gave or that lie in the user's own folders, and that are read in another way for a reason.
const READERS: &[(&str, &str)] = &[
    ("src/cli/clock.rs", "a file that the user names may be a pipe"),
    ("src/cli/options.rs", "a file that the user names may be a pipe"),
    ("src/cli/report.rs", "an existing report, found to be a plain file"),
    ("src/metrics.rs", "a file that the user names, found to be a plain file"),
    ("src/outbound.rs", "certificates that the user's settings name"),
    ("src/store/mod.rs", "a folder of the user's, to bring it to the disk"),
    ("src/store/salvage.rs", "a folder of the user's, to bring it to the disk"),
];

#[test]
fn a_path_of_a_project_is_read_only_by_the_system_room() {
    // A pipe or a device in its place would hold the reader, or fill the memory: `sys::read_regular` and `sys::open_beneath`.
    let mut offences = Vec::new();
    for source in sources("src").into_iter().filter(|source| source.room() != Some("sys")) {
        let is_allowed = READERS.iter().any(|(path, _)| *path == source.path);
        for (number, line) in source.lines().filter(|_| !is_allowed) {
            for needle in ["fs::read(", "read_to_string(", "File::open("] {
                let found = line.match_indices(needle).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !(needle == "File::open(" && before.is_some_and(is_word))
                });
                if found {
                    offences.push(format!(
                        "{}:{number}: `{needle}…)`; use `sys::read_regular` or `sys::open_beneath`",
                        source.path
                    ));
                }
            }
        }
    }
    report(&offences);
}

#[test]
fn what_is_forbidden_is_not_there() {
    let mut offences = Vec::new();
    for source in sources("src") {
        for (number, line) in source.lines() {
            let place = format!("{}:{number}", source.path);
            let has = |needle: &str| {
                line.match_indices(needle).any(|(at, _)| !line[..at].chars().next_back().is_some_and(is_word))
            };
            for printing in ["print!", "println!", "eprint!", "eprintln!", "dbg!"] {
                if has(printing) && source.path != "src/cli/terminal.rs" {
                    offences.push(format!("{place}: `{printing}` outside src/cli/terminal.rs"));
                }
            }
            for (never, instead) in [
                ("todo!", "write it"),
                ("unimplemented!", "write it"),
                ("set_current_dir", "pass the folder along"),
                ("process::exit", "return an exit code"),
            ] {
                if has(never) {
                    offences.push(format!("{place}: `{never}`; {instead}"));
                }
            }
            if line.contains(".unwrap()") {
                offences.push(format!("{place}: `unwrap`; handle it, or `expect` with the proof"));
            }
            if let Some(at) = line.find(".expect(\"") {
                let message = &line[at + ".expect(\"".len()..];
                if message.find('"').is_some_and(|length| length < 15) {
                    offences.push(format!("{place}: `expect` has to say why it holds"));
                }
            }
            let runtime_here = TOKIO_FOLDERS.iter().any(|folder| source.path.starts_with(folder));
            if has("tokio") && !runtime_here {
                offences.push(format!("{place}: an async runtime outside {TOKIO_FOLDERS:?}"));
            }
        }
    }
    report(&offences);
}

#[test]
fn no_test_file_is_forgotten() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/main.rs")).unwrap();
    let files = sources("tests/it").into_iter().filter_map(|source| {
        let name = source.path.strip_prefix("tests/it/")?.split(['/', '.']).next()?.to_owned();
        (name != "main" && !main.contains(&format!("mod {name};"))).then_some(source.path)
    });
    report(&files.map(|path| format!("{path}: not named in tests/it/main.rs, so it never runs")).collect::<Vec<_>>());
}

#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let text = "a /* x /* y */ z */ b // c\n\"d\\\"e\" f r#\"g\"h\"# i 'j' '\\'' &'k l '\\u{41}' m";
    let code: String = blank(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, "a b \" \" f i &'k l m");
    let named = rooms_named("use crate::{a::{X, Y}, b, c::d::{self}};\ncrate::e::f(); crate::g;");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "e", "g"]);
}
