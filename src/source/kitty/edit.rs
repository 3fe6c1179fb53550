//! Changes of a front matter, line by line: no byte of a line that is not changed is touched.
//!
//! The result is read again and compared with what it should say. Where that does not hold, the YAML is written in a
//! way that cannot be edited safely, and nothing is changed.

use super::front_matter::Document;
use super::yaml::{Fault, Yaml};
use crate::json::push_string;
use crate::text::terminal_safe;
use std::collections::BTreeMap;

/// What is to be changed in a work package's file.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Keys and the texts they get; added where they are missing.
    pub(super) set: Vec<(&'static str, String)>,
    /// A list of ids under `dependencies`.
    pub(super) dependencies: Option<Vec<String>>,
    /// Something to add to the history.
    pub(super) entry: Option<Entry>,
}

/// An entry of the history.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// `2026-02-03T18:58:09Z`.
    pub(super) timestamp: String,
    pub(super) lane: &'static str,
    pub(super) agent: String,
    pub(super) shell_pid: String,
    pub(super) action: String,
    /// Whether a history is begun where there is none at all.
    pub(super) begin: bool,
}

impl Entry {
    fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("timestamp", &self.timestamp),
            ("lane", self.lane),
            ("agent", &self.agent),
            ("shell_pid", &self.shell_pid),
            ("action", &self.action),
        ]
    }

    fn yaml(&self) -> Yaml {
        Yaml::Map(self.fields().map(|(key, value)| (key.to_owned(), Yaml::Text(value.to_owned()))).to_vec())
    }

    /// Its line in the activity log.
    pub(super) fn activity_line(&self) -> String {
        let flat = |text: &str| terminal_safe(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned();
        let pid =
            if self.shell_pid.is_empty() { String::new() } else { format!("shell_pid={} – ", flat(&self.shell_pid)) };
        format!("- {} – {} – {pid}lane={} – {}", self.timestamp, flat(&self.agent), self.lane, flat(&self.action))
    }

    /// Its last line in the front matter, without what stands before it.
    pub(super) fn action_line(&self) -> String {
        format!("action: {}", quoted(&self.action))
    }
}

/// The file with its changes.
pub(super) fn edit(text: &str, changes: &Changes) -> Result<String, Fault> {
    let Some(document) = Document::read(text)? else {
        return Err((1, "it has no front matter, so there is no place to write to".into()));
    };
    let mut lines = Lines { document: &document, replaced: BTreeMap::new(), inserted: Vec::new() };
    let mut wanted = document.entries().to_vec();
    for (key, value) in &changes.set {
        lines.set(key, &|line| with_value(line, value), &quoted(value))?;
        put(&mut wanted, key, Yaml::Text(value.clone()));
    }
    if let Some(ids) = &changes.dependencies {
        let list = format!("[{}]", ids.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", "));
        lines.set("dependencies", &|line| with_list(line, &list), &list)?;
        put(&mut wanted, "dependencies", Yaml::List(ids.iter().cloned().map(Yaml::Text).collect()));
    }
    if let Some(entry) = &changes.entry
        && let Some(history) = lines.record(entry)?
    {
        put(&mut wanted, "history", history);
    }
    let result = lines.assemble();
    match Document::read(&result) {
        Ok(Some(after)) if after.entries() == wanted => Ok(result),
        _ => Err((1, "the front matter is written in a way that cannot be edited safely; change it by hand".into())),
    }
}

fn put(entries: &mut Vec<(String, Yaml)>, key: &str, value: Yaml) {
    match entries.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        // Where the line goes: before the history, else at the end.
        None => {
            let at = entries.iter().position(|(name, _)| name == "history").unwrap_or(entries.len());
            entries.insert(at, (key.to_owned(), value));
        }
    }
}

struct Lines<'d, 't> {
    document: &'d Document<'t>,
    replaced: BTreeMap<usize, String>,
    /// Lines without their ends, and before which line of the file they go.
    inserted: Vec<(usize, String)>,
}

impl Lines<'_, '_> {
    /// Changes the line of a key, or adds one.
    fn set(&mut self, key: &str, change: &dyn Fn(&str) -> Option<String>, fresh: &str) -> Result<(), Fault> {
        if self.document.get(key).is_none() {
            let at = self.document.line_of("history").unwrap_or(self.document.close);
            self.inserted.push((at, format!("{key}: {fresh}")));
            return Ok(());
        }
        let unsafe_here = |line: usize| {
            (line + 1, format!("`{key}` is written in a way that cannot be edited safely; change it by hand"))
        };
        let at = self.document.line_of(key).ok_or_else(|| unsafe_here(0))?;
        let changed = change(self.document.lines[at]).ok_or_else(|| unsafe_here(at))?;
        self.replaced.insert(at, changed);
        Ok(())
    }

    /// Adds an entry to the history and to the activity log, to those that are there. What the history is then.
    fn record(&mut self, entry: &Entry) -> Result<Option<Yaml>, Fault> {
        let document = self.document;
        let activity = document.activity_end();
        if let Some(at) = activity {
            self.inserted.push((at, entry.activity_line()));
        }
        let Some(history) = document.get("history") else {
            if activity.is_some() || !entry.begin {
                return Ok(None);
            }
            self.inserted.push((document.close, "history:".into()));
            self.add_item(document.close, "  ", " ", entry);
            return Ok(Some(Yaml::List(vec![entry.yaml()])));
        };
        let refused = |line: usize| {
            Err((line + 1, "`history` is written in a way that cannot be added to; write one entry a line".into()))
        };
        let Some(head) = document.line_of("history") else { return refused(0) };
        let line = document.lines[head];
        let (_, value) = line.split_once(':').unwrap_or((line, ""));
        let bare = value.trim_start().starts_with('#') || value.trim().is_empty();
        match history {
            Yaml::List(items) if items.is_empty() => {
                let Some(without) = with_list(line, "").filter(|_| !bare) else { return refused(head) };
                self.replaced.insert(head, without);
                self.add_item(head + 1, "  ", " ", entry);
                Ok(Some(Yaml::List(vec![entry.yaml()])))
            }
            Yaml::Text(text) if text.is_empty() && bare => {
                self.add_item(head + 1, "  ", " ", entry);
                Ok(Some(Yaml::List(vec![entry.yaml()])))
            }
            Yaml::List(items) if bare => {
                let Some((before, behind, last)) = self.block(head) else { return refused(head) };
                self.add_item(last + 1, &before, &behind, entry);
                Ok(Some(Yaml::List(items.iter().cloned().chain([entry.yaml()]).collect())))
            }
            _ => refused(head),
        }
    }

    /// Of the block sequence under a line: what stands before and behind its dashes, and its last line.
    fn block(&self, head: usize) -> Option<(String, String, usize)> {
        let lines = &self.document.lines[..self.document.close];
        let content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let first = (head + 1..lines.len()).find(|&at| content(lines[at]))?;
        let spaces = |text: &str| text.len() - text.trim_start_matches(' ').len();
        let indent = spaces(lines[first]);
        let behind = lines[first][indent..].strip_prefix('-')?;
        // A dash may stand on a line of its own.
        let behind = if behind.trim().is_empty() { " " } else { &behind[..spaces(behind)] };
        let mut last = first;
        for (at, line) in lines.iter().enumerate().skip(first + 1) {
            let deep = spaces(line);
            if line.trim().is_empty() {
                continue;
            }
            if deep > indent || (deep == indent && line[deep..].starts_with('-')) {
                last = at;
            } else if !line.trim_start().starts_with('#') {
                break;
            }
        }
        Some((" ".repeat(indent), behind.to_owned(), last))
    }

    fn add_item(&mut self, at: usize, before: &str, behind: &str, entry: &Entry) {
        let mut lead = format!("{before}-{behind}");
        for (key, value) in entry.fields() {
            self.inserted.push((at, format!("{lead}{key}: {}", quoted(value))));
            lead = " ".repeat(lead.len());
        }
    }

    fn assemble(&self) -> String {
        let end = self.document.line_end();
        let total = self.document.lines.len();
        let mut out = String::new();
        for at in 0..=total {
            for (_, line) in self.inserted.iter().filter(|(before, _)| *before == at) {
                // A last line without an end gets one, and the new last line has none.
                let open = !out.ends_with('\n');
                let parts = if open { [end, line, ""] } else { ["", line, end] };
                parts.into_iter().for_each(|part| out.push_str(part));
            }
            match self.replaced.get(&at) {
                Some(line) => out.push_str(line),
                None => out.push_str(self.document.lines.get(at).copied().unwrap_or_default()),
            }
        }
        out
    }
}

/// A text in double quotes; JSON's are YAML's (YAML 1.2, 1.3).
fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_string(&mut out, text);
    out
}

/// A line `key: value # comment` in its parts: up to the value, the value, and what is behind it.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let colon = line.find(':')?;
    let begin = colon + 1 + line[colon + 1..].len() - line[colon + 1..].trim_start_matches([' ', '\t']).len();
    let rest = &line[begin..];
    let length = match rest.chars().next()? {
        '"' => {
            let mut escaped = false;
            rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })? + 2
        }
        '\'' => {
            let mut at = 1;
            loop {
                at += rest[at..].find('\'')?;
                if !rest[at + 1..].starts_with('\'') {
                    break at + 1;
                }
                at += 2;
            }
        }
        '[' => rest.find(']')? + 1,
        '&' | '*' | '!' | '|' | '>' | '{' | '%' | '@' | '`' => return None,
        '#' => 0,
        _ => {
            let end = rest.find(" #").or_else(|| rest.find("\t#")).unwrap_or(rest.len());
            rest[..end].trim_end().len()
        }
    };
    let behind = &rest[length..];
    let only_comment =
        behind.trim().is_empty() || (behind.starts_with([' ', '\t']) && behind.trim_start().starts_with('#'));
    (only_comment || length == 0).then_some((&line[..begin], &rest[..length], behind))
}

/// The line with another text as its value, quoted as the old one was.
fn with_value(line: &str, value: &str) -> Option<String> {
    let (before, old, behind) = split(line)?;
    let harmless = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let is_word = harmless(value) && value.starts_with(|c: char| c.is_ascii_alphabetic());
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let new = match old.as_bytes().first() {
        Some(b'[') => return None,
        Some(b'\'') if harmless(value) => format!("'{value}'"),
        Some(b'"' | b'\'') | None => quoted(value),
        Some(_) if is_word && !reserved.contains(&value.to_ascii_lowercase().as_str()) => value.to_owned(),
        Some(_) => quoted(value),
    };
    let gap = if before.ends_with(':') { " " } else { "" };
    let after = if old.is_empty() && behind.starts_with('#') { " " } else { "" };
    Some(format!("{before}{gap}{new}{after}{behind}"))
}

/// The line with another list as its value, which was an empty list, or nothing.
fn with_list(line: &str, list: &str) -> Option<String> {
    let (before, old, behind) = split(line)?;
    let empty =
        old.strip_prefix('[').and_then(|old| old.strip_suffix(']')).is_some_and(|inside| inside.trim().is_empty());
    if !empty && !old.is_empty() {
        return None;
    }
    let gap = if before.ends_with(':') && !list.is_empty() { " " } else { "" };
    Some(format!("{before}{gap}{list}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved(to: &str) -> Changes {
        let entry = Entry {
            timestamp: "2026-02-04T10:00:00Z".into(),
            lane: "doing",
            agent: "claude".into(),
            shell_pid: String::new(),
            action: "Say \"go\"".into(),
            begin: true,
        };
        Changes { set: vec![("lane", to.into())], dependencies: None, entry: Some(entry) }
    }

    #[test]
    fn changes_the_lane_and_nothing_else() {
        for (before, after) in [
            ("lane: \"planned\"  # here\n", "lane: \"doing\"  # here\n"),
            ("lane:   'planned'\r\n", "lane:   'doing'\r\n"),
            ("lane: planned \t# x: y\n", "lane: doing \t# x: y\n"),
            ("lane:\n", "lane: \"doing\"\n"),
            ("lane: # none yet\n", "lane: \"doing\" # none yet\n"),
            ("'lane': \"pl\\\"anned\"\n", "'lane': \"doing\"\n"),
        ] {
            let changes = Changes { set: vec![("lane", "doing".into())], ..Changes::default() };
            let text = |line: &str| format!("---\ntitle: x\n{line}z: 1\n---\nlane: body\n");
            assert_eq!(edit(&text(before), &changes).unwrap(), text(after), "{before}");
        }
    }

    #[test]
    fn adds_to_the_history_as_it_is_written() {
        let yaml = "---\r\nlane: doing\r\nhistory:\r\n- timestamp: '1'\r\n  # a note\r\n  action: |\r\n    two\r\n\r\n    lines\r\n# end\r\nlast: 1\r\n---\r\nx";
        let after = edit(yaml, &moved("for_review")).unwrap();
        let added = "- timestamp: \"2026-02-04T10:00:00Z\"\r\n  lane: \"doing\"\r\n  agent: \"claude\"\r\n  shell_pid: \"\"\r\n  action: \"Say \\\"go\\\"\"\r\n";
        let expected =
            yaml.replace("lane: doing", "lane: for_review").replace("lines\r\n", &format!("lines\r\n{added}"));
        assert_eq!(after, expected);
    }

    #[test]
    fn adds_below_dashes_on_lines_of_their_own() {
        let yaml = "---\nlane: doing\nhistory:\n  -\n    timestamp: 1\n    action: x\n---\n";
        let after = edit(yaml, &moved("done")).unwrap();
        assert!(after.contains("    action: x\n  - timestamp: \"2026-02-04T10:00:00Z\"\n    lane: "), "{after}");
    }

    #[test]
    fn adds_to_the_activity_log_without_a_final_newline() {
        let text = "---\nlane: doing\n---\n## Activity Log\n\n- old\n\n### Sub\n```\n## no heading\n```\n- last";
        let after = edit(text, &moved("done")).unwrap();
        let line = "- 2026-02-04T10:00:00Z – claude – lane=doing – Say \"go\"";
        assert_eq!(after, format!("{}\n{line}", text.replace("lane: doing\n", "lane: done\n")));
        let text = "---\nlane: doing\n---\n## Activity Log\n- old\n\n\n## Next\n";
        let after = edit(text, &moved("doing")).unwrap();
        assert_eq!(after, text.replace("- old\n", &format!("- old\n{line}\n")));
    }

    #[test]
    fn begins_a_history_where_there_is_none() {
        for (before, after) in
            [("", "history:\n  - timestamp: \""), ("history: [] # x\n", "history:  # x\n  - timestamp: \"")]
        {
            let text = edit(&format!("---\nlane: doing\n{before}---\n"), &moved("done")).unwrap();
            assert!(text.contains(after), "{text}");
        }
        let text = edit("---\ntitle: a\nhistory:\n---\n", &moved("done")).unwrap();
        assert!(text.starts_with("---\ntitle: a\nlane: \"done\"\nhistory:\n  - timestamp"), "{text}");
    }

    #[test]
    fn refuses_what_it_cannot_edit_safely() {
        for yaml in [
            "lane: |\n  planned\n",
            "lane: &a planned\n",
            "lane:\n  planned\n",
            "lane: planned\n  doing\n",
            "{lane: planned}\n",
            "lane: [planned]\n",
            "lane: planned\nlane: doing\n",
            "lane: planned\nhistory: [{a: 1}]\n",
            "lane: planned\nhistory: text\n",
            "lane: \"planned\n",
        ] {
            let text = format!("---\n{yaml}---\n");
            assert!(edit(&text, &moved("done")).is_err(), "{yaml}");
        }
        assert!(edit("no front matter\n", &moved("done")).is_err());
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("# comment: with colon".to_owned()),
            Just(String::new()),
            Just("note: |\n  lane: inside\n  - x".to_owned()),
            Just("flow: {a: [1, 2], b: 'c'}".to_owned()),
            Just("title: \"A: b # c\"   ".to_owned()),
            Just("deps:\n- WP01\n- \"WP02\"".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn without_the_lines_it_changed_the_bytes_are_the_old_ones(
            above in prop::collection::vec(line(), 0..3), below in prop::collection::vec(line(), 0..3),
            lane in prop::sample::select(vec!["planned", "'planned'", "\"planned\"", "planned # x", ""]),
            crlf: bool, log: bool, newline: bool, body in "[ -~\n]{0,60}",
        ) {
            let log = if log { "\n## Activity Log\n\n- first\n" } else { "" };
            let mut text = format!(
                "---\n{}\nlane: {lane}\n{}\nhistory:\n  - timestamp: 1\n    action: 'x'\n---\n{body}{log}",
                above.join("\n"), below.join("\n"),
            );
            if !newline {
                text.truncate(text.trim_end_matches('\n').len());
            }
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            // The same key above and below is no YAML, and is refused.
            if let Ok(after) = edit(&text, &moved("for_review")) {
                let (old, new): (Vec<&str>, Vec<&str>) = (text.split('\n').collect(), after.split('\n').collect());
                let is_lane = |line: &&str| line.starts_with("lane: ");
                let first = |lines: &[&str]| lines.iter().position(&is_lane).unwrap();
                let mut rest = new;
                prop_assert_eq!(first(&old), first(&rest));
                let mut kept = old;
                kept.remove(first(&kept));
                rest.remove(first(&rest));
                let added = rest.len() - kept.len();
                prop_assert!(added == 5 || added == 6, "{}", added);
                let at = rest.iter().position(|line| line.contains("- timestamp: \"2026-02-04T10:00:00Z\"")).unwrap();
                rest.drain(at..at + 5);
                if added == 6 {
                    let at = rest.iter().position(|line| line.starts_with("- 2026-02-04T10:00:00Z – claude")).unwrap();
                    // Behind a last line without an end, that end is new too.
                    let last = at + 1 == rest.len();
                    let before = rest.remove(at);
                    if last && crlf {
                        prop_assert!(!before.ends_with('\r'));
                        let end = rest.len() - 1;
                        rest[end] = rest[end].trim_end_matches('\r');
                    }
                }
                prop_assert_eq!(rest, kept);
            } else {
                let repeated = above.iter().any(|line| line.contains(':') && !line.starts_with('#') && (below.contains(line) || above.iter().filter(|other| *other == line).count() > 1))
                    || below.iter().any(|line| line.contains(':') && !line.starts_with('#') && below.iter().filter(|other| *other == line).count() > 1);
                prop_assert!(repeated, "refused: {}", text);
            }
        }
    }
}
