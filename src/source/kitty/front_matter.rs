//! A file that begins with YAML between two lines of `---`: where its parts are, and what the YAML says.

use super::tasks::Fence;
use super::yaml::{self, Fault, Yaml};

/// The heading under which spec-kitty keeps what happened, in the body.
pub(super) const ACTIVITY: &str = "## Activity Log";

/// A file, line by line; the lines together are the file.
#[derive(Debug)]
pub(super) struct Document<'t> {
    /// Every line with its end.
    pub(super) lines: Vec<&'t str>,
    /// The line that closes the front matter.
    pub(super) close: usize,
    entries: Vec<(String, Yaml)>,
}

impl<'t> Document<'t> {
    /// Reads it; nothing when it has no front matter.
    pub(super) fn read(text: &'t str) -> Result<Option<Self>, Fault> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let opens = lines.first().is_some_and(|line| line.trim_start_matches('\u{feff}').trim_end() == "---");
        if !opens {
            return Ok(None);
        }
        let Some(close) = lines.iter().skip(1).position(|line| line.trim_end() == "---") else {
            return Err((1, "the front matter is not closed: a line `---` is missing".into()));
        };
        let close = close + 1;
        let entries = yaml::read(&lines[1..close].concat()).map_err(|(line, problem)| (line + 1, problem))?;
        Ok(Some(Document { lines, close, entries }))
    }

    /// Its keys and values, in their order.
    pub(super) fn entries(&self) -> &[(String, Yaml)] {
        &self.entries
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Yaml> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text of a key that has one.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The texts of a key that has a list of them.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        match self.get(key)? {
            Yaml::List(items) => Some(items.iter().filter_map(Yaml::text).map(str::to_owned).collect()),
            Yaml::Text(text) => {
                Some(text.split([',', ' ']).filter(|part| !part.is_empty()).map(str::to_owned).collect())
            }
            Yaml::Map(_) => None,
        }
    }

    /// The line on which a key of the mapping begins.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let names = [key.to_owned(), format!("\"{key}\""), format!("'{key}'")];
        let is_key = |line: &str| {
            names
                .iter()
                .any(|name| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.trim_start().starts_with(':')))
        };
        (1..self.close).find(|&at| is_key(self.lines[at]))
    }

    /// How its lines end.
    pub(super) fn line_end(&self) -> &'static str {
        if self.lines[0].ends_with("\r\n") { "\r\n" } else { "\n" }
    }

    /// Where an entry of the activity log is added: before this line; nothing without such a log.
    pub(super) fn activity_end(&self) -> Option<usize> {
        let mut fence = Fence::default();
        let mut begun = None;
        let mut last = 0;
        for (at, line) in self.lines.iter().enumerate().skip(self.close + 1) {
            let fenced = fence.holds(line);
            if !fenced && begun.is_none() && line.trim_end() == ACTIVITY {
                begun = Some(at);
            } else if !fenced && begun.is_some() && line.starts_with("## ") {
                break;
            }
            if begun.is_some() && !line.trim().is_empty() {
                last = at;
            }
        }
        begun.map(|_| last + 1)
    }
}
