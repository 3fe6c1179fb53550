//! `tasks.md`: the work packages of a feature, what each depends on, and its subtasks with their boxes.

use std::collections::BTreeMap;

/// A section of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    /// What it says it depends on; nothing when it says nothing.
    pub(super) dependencies: Option<Vec<String>>,
}

/// A subtask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subtask {
    /// The work package whose section it stands in.
    pub(super) package: Option<String>,
    pub(super) done: bool,
    /// Where the mark between the brackets stands: its byte in the text.
    mark: usize,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct TaskList {
    pub(super) sections: BTreeMap<String, Section>,
    pub(super) subtasks: BTreeMap<String, Subtask>,
}

/// Whether lines stand in a block of code (CommonMark 4.5); in lists such blocks are indented, at will.
#[derive(Debug, Default)]
pub(super) struct Fence(Option<(char, usize)>);

impl Fence {
    /// Whether the next line does, or is the fence itself.
    pub(super) fn holds(&mut self, line: &str) -> bool {
        let text = line.trim();
        let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'));
        let length = mark.map_or(0, |mark| text.len() - text.trim_start_matches(mark).len());
        let rest = &text[length..];
        match (self.0, mark) {
            (Some((open, least)), Some(mark)) if mark == open && length >= least && rest.is_empty() => {
                self.0 = None;
                true
            }
            (Some(_), _) => true,
            // With a backtick behind it, it is code in a line.
            (None, Some(mark)) if length >= 3 && !(mark == '`' && rest.contains('`')) => {
                self.0 = Some((mark, length));
                true
            }
            (None, _) => false,
        }
    }
}

impl TaskList {
    /// Reads it. What is no heading, no box and no dependency is nothing to it.
    pub(super) fn read(text: &str) -> Self {
        let mut list = TaskList::default();
        let mut here: Option<String> = None;
        let (mut fence, mut in_dependencies, mut at) = (Fence::default(), false, 0);
        for whole in text.split_inclusive('\n') {
            let (line, begin) = (whole.trim_end(), at);
            at += whole.len();
            if fence.holds(line) {
                continue;
            }
            let level = line.len() - line.trim_start_matches('#').len();
            if level > 0 && line[level..].starts_with([' ', '\t']) {
                let heading = without_closing(line[level..].trim());
                in_dependencies = heading.trim_end_matches(':').eq_ignore_ascii_case("dependencies");
                match section(heading) {
                    Some((id, title)) if level <= 3 => {
                        list.sections.entry(id.clone()).or_insert_with(|| Section { title, dependencies: None });
                        here = Some(id);
                    }
                    _ if level <= 2 => here = None,
                    _ => {}
                }
                continue;
            }
            if let Some((id, done, mark)) = subtask(line) {
                let subtask = Subtask { package: here.clone(), done, mark: begin + mark };
                list.subtasks.entry(id).or_insert(subtask);
                continue;
            }
            let Some(section) = here.as_ref().and_then(|id| list.sections.get_mut(id)) else { continue };
            if let Some(ids) = dependencies(line, in_dependencies) {
                let known = section.dependencies.get_or_insert_default();
                ids.into_iter().for_each(|id| {
                    if here.as_ref() != Some(&id) && !known.contains(&id) {
                        known.push(id);
                    }
                });
            }
        }
        list
    }
}

impl Subtask {
    /// The text with this box ticked, or not.
    pub(super) fn marked(&self, text: &str, done: bool) -> Option<String> {
        let mut out = text.to_owned();
        text.get(self.mark..=self.mark)?;
        out.replace_range(self.mark..=self.mark, if done { "x" } else { " " });
        Some(out)
    }
}

/// A heading without the marks that may close it (CommonMark 4.2).
fn without_closing(heading: &str) -> &str {
    let bare = heading.trim_end_matches('#');
    if bare.len() < heading.len() && bare.ends_with([' ', '\t']) { bare.trim_end() } else { heading }
}

/// The id at the beginning of a text, when it is one.
pub(super) fn leading_id(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let fits = bytes.len() >= 4 && text.starts_with("WP") && bytes[2..4].iter().all(u8::is_ascii_digit);
    let ends = bytes.get(4).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (fits && ends).then(|| &text[..4])
}

/// Every id in a text, in its order.
fn ids(text: &str) -> Vec<String> {
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric());
    let found = text.match_indices("WP").filter(|(at, _)| begins(*at)).filter_map(|(at, _)| leading_id(&text[at..]));
    found.map(str::to_owned).collect()
}

/// `Work Package WP01: Title (Priority: P0)`, `WP01 - Title`.
fn section(heading: &str) -> Option<(String, String)> {
    let heading = heading.strip_prefix("Work Package").map_or(heading, str::trim_start);
    let id = leading_id(heading)?;
    let title = heading[4..].trim_start().trim_start_matches([':', '-', '–', '—']).trim();
    let title = title.find("(Priority").map_or(title, |at| title[..at].trim_end());
    Some((id.to_owned(), if title.is_empty() { id } else { title }.to_owned()))
}

/// `- [ ] T001 …`: the id, whether it is ticked, and where the mark stands.
fn subtask(line: &str) -> Option<(String, bool, usize)> {
    let item = line.trim_start().strip_prefix(['-', '*', '+'])?.trim_start();
    let box_at = line.len() - item.len();
    let inside = item.strip_prefix('[')?;
    let done = match inside.chars().next()? {
        ' ' => false,
        'x' | 'X' => true,
        _ => return None,
    };
    let rest = inside[1..].strip_prefix(']')?.trim_start().trim_start_matches('*');
    Some((task_id(rest)?.to_owned(), done, box_at + 1))
}

/// `T001` at the beginning of a text.
pub(super) fn task_id(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('T')?.bytes().take_while(u8::is_ascii_digit).count();
    let ends = text.as_bytes().get(1 + digits).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (digits >= 3 && ends).then(|| &text[..=digits])
}

/// What a line says its package depends on; nothing when it does not speak of that.
fn dependencies(line: &str, in_list: bool) -> Option<Vec<String>> {
    let text = line.trim_start_matches([' ', '\t', '-', '*', '+', '_']).trim();
    let label = |name: &str| text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    let stated = label("dependencies:") || label("dependencies**:") || label("dependencies:**") || label("depends on ");
    if !stated && (!in_list || text.is_empty()) {
        return None;
    }
    let said = text.split_once(':').filter(|_| stated && !label("depends on ")).map_or(text, |(_, rest)| rest);
    // `None (foundation for WP02)` names what depends on this one.
    let none = said.trim_start_matches([' ', '*']).get(..4).is_some_and(|head| head.eq_ignore_ascii_case("none"));
    let plain = said.find('(').map_or(said, |at| &said[..at]);
    Some(if none { Vec::new() } else { ids(plain) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Work Packages: X\n\n## Subtask Format: `[Txxx]`\n- [ ] T999 nobody's\n\n\
        ## Work Package WP01: Event Factory (Priority: P0)\n**Goal**: x\n### Included Subtasks\n- [ ] T001 a\n- [x] T002 [P] b\r\n\
        ### Dependencies\n- None (foundation for WP02)\n\n---\n\n\
        ## Work Package WP02: Wiring\n### Dependencies\n- Depends on WP01 (as WP07 says)\n\n### Risks\n- WP05 may be late\n\
        ## WP03 - Third\n**Dependencies**: WP01, WP02\n```\n## Work Package WP09: no\n- [ ] T009\n```\n\
        ## Summary\n- Sequence: WP01 -> WP04\n| T001 | x |\n";

    #[test]
    fn reads_sections_subtasks_and_dependencies() {
        let list = TaskList::read(TEXT);
        let told: Vec<_> =
            list.sections.iter().map(|(id, of)| format!("{id} {} {:?}", of.title, of.dependencies)).collect();
        assert_eq!(
            told,
            ["WP01 Event Factory Some([])", "WP02 Wiring Some([\"WP01\"])", "WP03 Third Some([\"WP01\", \"WP02\"])"]
        );
        let told: Vec<_> = list.subtasks.iter().map(|(id, of)| (id.as_str(), of.package.as_deref(), of.done)).collect();
        assert_eq!(told, [("T001", Some("WP01"), false), ("T002", Some("WP01"), true), ("T999", None, false)]);
    }

    #[test]
    fn a_fence_is_closed_by_its_like() {
        let text = "## WP01: A ##\n~~~~\n```\n## WP02: no\n~~~\n~~~~ x\n~~~~\n```in `line```\n## WP03 C#\n- [ ] T001 x\n\
            ```rust\n## WP04: no\n````\n## WP05: yes\n```\n## WP06: no\n";
        let list = TaskList::read(text);
        let told: Vec<_> = list.sections.iter().map(|(id, of)| format!("{id} {}", of.title)).collect();
        assert_eq!(told, ["WP01 A", "WP03 C#", "WP05 yes"]);
        assert_eq!(list.subtasks["T001"].package.as_deref(), Some("WP03"));
    }

    #[test]
    fn ticks_one_byte() {
        let list = TaskList::read(TEXT);
        assert_eq!(list.subtasks["T001"].marked(TEXT, true).unwrap(), TEXT.replace("- [ ] T001", "- [x] T001"));
        assert_eq!(list.subtasks["T002"].marked(TEXT, false).unwrap(), TEXT.replace("- [x] T002", "- [ ] T002"));
    }

    #[test]
    fn never_panics() {
        for text in ["#", "## WP", "## WP0é: x", "- [", "- [x", "- [é] T001", "- [ ] T", "WP01é", "## Work Package\n"]
        {
            TaskList::read(text);
        }
        assert_eq!(ids("xWP01 WP02b WP03, (WP04) WP055"), ["WP03", "WP04"]);
    }
}
