//! The audit log as one page: a file that needs nothing else and asks nobody for anything.
//!
//! `page` is pure: stories and the time come in, a text goes out. `mark` says how things ended, `figures` counts,
//! `waterfall` decides where attempts stand in time; `summary`, `timeline`, `hooks` and `failures` write a part of the page
//! each, through `markup`, which lets no text of others become markup. `page.css` and `page.js` are the page's own, and
//! its policy allows exactly them. Everything can be read without the script: it finds, moves and filters.

mod activity;
mod failures;
mod figures;
mod hooks;
mod mark;
mod markup;
mod moment;
mod summary;
mod timeline;
mod waterfall;

use crate::audit::Story;
use crate::time::Timestamp;
use base64::prelude::{BASE64_STANDARD, Engine};
use markup::{line, put};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// How a page of ours begins.
const BEGINNING: &str =
    "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=\"generator\" content=\"knockon ";

/// What a page tells.
#[derive(Clone, Debug)]
pub struct Report {
    /// The project's name.
    pub project: String,
    /// From when on.
    pub since: Timestamp,
    /// Until when: the time the page is made.
    pub until: Timestamp,
    /// The events of that time, oldest first. All of them are counted.
    pub stories: Vec<Story>,
    /// How many of them, the newest, are shown one by one.
    pub limit: usize,
}

/// The report as an HTML document.
pub fn page(report: &Report) -> String {
    let (totals, hooks) = figures::count(&report.stories);
    let mut out = String::from(BEGINNING);
    put(
        &mut out,
        format_args!(
            "{}\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=viewport content=\"width=device-width, initial-scale=1\">\n<meta name=color-scheme content=\"light dark\">\n\
             <meta name=referrer content=no-referrer>\n<title>{} · knockon report</title>\n<style>{STYLE}</style>\n{}\n",
            env!("CARGO_PKG_VERSION"),
            source_hash(STYLE),
            source_hash(SCRIPT),
            line(&report.project, 100),
            mark::Mark::shapes(),
        ),
    );
    summary::write(report, &totals, &mut out);
    out += "<main>\n";
    activity::write(&report.stories, &mut out);
    hooks::write(&hooks, &mut out);
    failures::write(report, &mut out);
    timeline::write(report, &mut out);
    out += "</main>\n";
    summary::write_end(report, &mut out);
    put(&mut out, format_args!("<script>{SCRIPT}</script>\n"));
    out
}

/// What a page made of this report says in one line: events, runs, failures.
pub fn headline(report: &Report) -> String {
    let (totals, _) = figures::count(&report.stories);
    summary::headline(&totals)
}

/// Whether a file that begins so was written by [`page`].
pub fn is_report(beginning: &[u8]) -> bool {
    beginning.starts_with(BEGINNING.as_bytes())
}

/// How many bytes [`is_report`] wants to see.
pub const BEGINNING_LENGTH: usize = BEGINNING.len();

/// A text by its content, as a Content-Security-Policy names it.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AttemptStory, HookStory};
    use serde_json::json;

    const HOSTILE: &str =
        "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;\u{202e}\u{1b}[2J\u{0}</pre></title>";

    fn hostile() -> Report {
        let at = Timestamp::parse("2025-12-02T15:30:45.123Z");
        let text = || Some(HOSTILE.to_owned());
        let attempt = |status: &str| AttemptStory {
            attempt: u64::MAX,
            started: at,
            status: status.into(),
            duration_ms: Some(f64::INFINITY),
            waited_ms: Some(-5.0),
            error: text(),
            stdout: text(),
            stderr: text(),
            further: vec![(HOSTILE.into(), json!({HOSTILE: [HOSTILE]}))],
            ..AttemptStory::default()
        };
        let story = Story {
            event_id: HOSTILE.into(),
            event_type: HOSTILE.into(),
            at,
            feature: text(),
            caused_by: text(),
            event: Some(json!({HOSTILE: HOSTILE}).to_string()),
            overhead_ms: Some(f64::NAN),
            problems: vec![HOSTILE.into()],
            hooks: vec![HookStory { name: HOSTILE.into(), attempts: vec![attempt("failed"), attempt(HOSTILE)] }],
        };
        let since = Timestamp::from_millis(0);
        Report { project: HOSTILE.into(), since, until: Timestamp::now(), stories: vec![story], limit: 10 }
    }

    #[test]
    fn no_text_of_others_becomes_markup() {
        let page = page(&hostile());
        let foreign = page.replace(SCRIPT, "").replace(STYLE, "");
        assert_eq!(foreign.matches("<script").count(), 1);
        assert_eq!(foreign.matches("</title>").count(), 1);
        assert!(!foreign.contains("<img") && foreign.contains("&lt;img"));
        assert!(!foreign.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n' && c != '\t')));
        assert_eq!(foreign.matches("<pre").count(), foreign.matches("</pre>").count());
    }

    #[test]
    fn the_policy_names_the_very_script_and_style() {
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        let page = page(&hostile());
        for (part, end) in [("<script>", "</script>"), ("<style>", "</style>")] {
            let from = page.find(part).unwrap() + part.len();
            let text = &page[from..from + page[from..].find(end).unwrap()];
            assert!(page.contains(&source_hash(text)), "{part}");
        }
        assert!(!page.contains("style=") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn a_page_is_known_by_its_beginning() {
        let page = page(&Report { stories: Vec::new(), ..hostile() });
        assert!(is_report(&page.as_bytes()[..BEGINNING_LENGTH]));
        assert!(!is_report(b"<!doctype html>\n<html>") && !is_report(b""));
        assert!(page.contains("Nothing was recorded"));
    }

    #[test]
    fn a_long_log_makes_a_short_page_and_says_so() {
        let mut report = hostile();
        let story = report.stories[0].clone();
        report.stories = (0..3000).map(|number| Story { event_id: format!("evt_{number}"), ..story.clone() }).collect();
        report.limit = 2000;
        let page = page(&report);
        assert!(page.contains("The newest 2,000 of 3,000 events"), "left out");
        assert!(page.contains("evt_2999") && page.contains("evt_1000") && !page.contains("evt_999"));
    }
}
