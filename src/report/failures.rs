//! What went wrong, by hook and reason, with what the hook said.

use super::Report;
use super::figures::{self, Failures};
use super::markup::{Budget, line, number, put};
use super::moment::short;
use super::timeline::{anchor, facts, outputs};

/// The most reasons.
const MOST: usize = 100;
/// How many events of one are named.
const NAMED: usize = 8;

/// Writes the section.
pub(super) fn write(report: &Report, out: &mut String) {
    out.push_str("<section aria-labelledby=failures><h2 id=failures>Failures</h2>\n");
    let groups = figures::failures(&report.stories);
    if groups.is_empty() {
        out.push_str("<p class=empty>Nothing failed.</p>");
    }
    let shown_from = report.stories.len().saturating_sub(report.limit);
    let is_shown = |id: &str| report.stories[shown_from..].iter().any(|story| story.event_id == id);
    let mut budget = Budget::new(400_000, 8_000, 400);
    for (index, group) in groups.iter().take(MOST).enumerate() {
        write_group(group, index == 0, &is_shown, &mut budget, out);
    }
    if groups.len() > MOST {
        put(out, format_args!("<p class=note>{} older reasons are not shown.</p>", number(groups.len() - MOST)));
    }
    out.push_str("</section>\n");
}

fn write_group(
    group: &Failures<'_>,
    open: bool,
    is_shown: &impl Fn(&str) -> bool,
    budget: &mut Budget,
    out: &mut String,
) {
    let hook = group.hook.map_or_else(|| "<i>knockon</i>".to_owned(), |name| line(name, 80).to_string());
    let reason = if group.reason.is_empty() { group.mark.word() } else { group.reason };
    put(
        out,
        format_args!(
            "<details class=\"failure {}\"{}><summary>{}<b>{hook}</b><span class=why>{}</span><span class=times>{} ×</span><span class=when>{}</span></summary><div class=inside>",
            group.mark.class(),
            if open { " open" } else { "" },
            group.mark.icon(),
            line(reason, 200),
            number(group.count),
            group.at.map(short).unwrap_or_default(),
        ),
    );
    if reason.chars().count() > 200 {
        put(out, format_args!("<p>{}</p>", line(reason, 2000)));
    }
    out.push_str("<p class=seen>");
    out.push_str(if group.events.len() > 1 { "Seen at " } else { "At " });
    for (index, story) in group.events.iter().rev().take(NAMED).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let when = story.at.map(short).unwrap_or_default();
        let kind = line(&story.event_type, 60);
        if is_shown(&story.event_id) {
            put(out, format_args!("{comma}<a href=\"#{}\">{kind} <small>{when}</small></a>", anchor(&story.event_id)));
        } else {
            put(out, format_args!("{comma}{kind} <small>{when}</small>"));
        }
    }
    if group.events.len() > NAMED {
        put(out, format_args!(" and {} more", number(group.events.len() - NAMED)));
    }
    out.push_str("</p>");
    if let Some(attempt) = group.newest {
        if group.count > 1 {
            out.push_str("<p class=seen>The newest of them:</p>");
        }
        facts(attempt, out);
        outputs(attempt, budget, out);
    }
    out.push_str("</div></details>\n");
}
