//! The head of the page: whose it is, of when, and what came of it all; and its foot.

use super::Report;
use super::figures::Totals;
use super::mark::Mark;
use super::markup::{line, number, percent, put};
use super::moment::moment;
use crate::text::count;

/// In one line: `12 events, 30 hook runs, 4 failed`.
pub(super) fn headline(totals: &Totals) -> String {
    let mut parts = vec![count(totals.events, "event"), count(totals.runs, "hook run")];
    for (number, word) in [(totals.failed, "failed"), (totals.blocked, "blocked"), (totals.skipped, "skipped")] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    parts.join(", ")
}

/// Writes the head.
pub(super) fn write(report: &Report, totals: &Totals, out: &mut String) {
    let name = line(&report.project, 100);
    put(
        out,
        format_args!(
            "<a class=jump href=#timeline>Skip to the events</a>\n<header>\n<div class=top><div><p class=brand>knockon report</p><h1>{name}</h1>\
             <p class=range><time datetime=\"{}\">{}</time> – <time datetime=\"{}\">{}</time> UTC</p></div>\
             <div class=tools hidden><button type=button id=theme aria-pressed=false title=\"Switch between light and dark (t)\">Dark</button>\
             <button type=button id=help title=\"Show the keys (?)\">Keys <kbd>?</kbd></button></div></div>\n",
            report.since,
            moment(report.since),
            report.until,
            moment(report.until),
        ),
    );
    out.push_str("<dl class=tiles>\n");
    let rate = match totals.succeeded + totals.failed {
        0 => "–".to_owned(),
        ended => percent(totals.succeeded, ended),
    };
    tile(
        out,
        "Success rate",
        &rate,
        &format!("{} of {} runs", number(totals.succeeded), number(totals.succeeded + totals.failed)),
        "rate",
    );
    tile(out, "Events", &number(totals.events), "", "");
    let unfinished = format!("{} without an ending", number(totals.unfinished));
    tile(out, "Hook runs", &number(totals.runs), if totals.unfinished > 0 { &unfinished } else { "" }, "");
    let share = |number: usize, mark: Mark| if number > 0 { mark.class() } else { "" };
    tile(out, "Failed", &number(totals.failed), "", share(totals.failed, Mark::Failed));
    tile(
        out,
        "Not trusted",
        &number(totals.blocked),
        if totals.blocked > 0 { "blocked" } else { "" },
        share(totals.blocked, Mark::Blocked),
    );
    tile(out, "Skipped", &number(totals.skipped), "", "");
    let recovered = format!("{} ended well", number(totals.recovered));
    tile(out, "Retries", &number(totals.retries), if totals.retries > 0 { &recovered } else { "" }, "");
    out.push_str("</dl>\n<nav aria-label=Sections><a href=#hooks>Hooks</a><a href=#failures>Failures</a><a href=#timeline>Events</a></nav>\n</header>\n");
}

fn tile(out: &mut String, term: &str, value: &str, more: &str, class: &str) {
    put(out, format_args!("<div class=\"tile {class}\"><dt>{term}</dt><dd>{value}</dd>"));
    if !more.is_empty() {
        put(out, format_args!("<dd class=more>{more}</dd>"));
    }
    out.push_str("</div>\n");
}

/// The keys, as the page's script has them.
const KEYS: &[(&str, &str)] = &[
    ("<kbd>j</kbd> <kbd>↓</kbd>", "the next event"),
    ("<kbd>k</kbd> <kbd>↑</kbd>", "the event before"),
    ("<kbd>Enter</kbd>", "open or close the event"),
    ("<kbd>f</kbd> <kbd>Shift f</kbd>", "the next failure, the failure before"),
    (
        "<kbd>/</kbd>",
        "filter: words of the event and its output, or <code>type:</code> <code>hook:</code> <code>status:</code>",
    ),
    ("<kbd>Esc</kbd>", "clear the filter"),
    ("<kbd>t</kbd>", "light or dark"),
    ("<kbd>?</kbd>", "these keys"),
];

/// Writes the foot and what the script opens.
pub(super) fn write_end(report: &Report, out: &mut String) {
    put(
        out,
        format_args!(
            "<footer>Made by knockon {} on {} UTC from the audit log. All times are UTC.</footer>\n<dialog id=keys aria-labelledby=keys-title><h2 id=keys-title>Keys</h2><dl>",
            env!("CARGO_PKG_VERSION"),
            moment(report.until)
        ),
    );
    for (keys, what) in KEYS {
        put(out, format_args!("<div><dt>{keys}</dt><dd>{what}</dd></div>"));
    }
    out.push_str("</dl><button type=button id=close autofocus>Close</button></dialog>\n");
}
