//! The events, newest first, each with its attempts as bars on a common axis.

use super::Report;
use super::mark::Mark;
use super::markup::{Budget, Text, block, json, line, number, put, sane, size, span};
use super::moment::{clock, day, day_number};
use super::waterfall::{Bar, Sitting, sittings};
use crate::audit::{AttemptStory, HookStory, Story};
use crate::text::{count, shorten};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How much of the hooks' output and of the events goes into the page: all of the newest ones, and less of older ones
/// when they are many or large.
const OUTPUTS: (usize, usize, usize) = (1_000_000, 16_000, 160);
const EVENTS: (usize, usize, usize) = (1_000_000, 16_000, 0);
/// The most lanes of the small picture of a closed event.
const LANES: usize = 6;
/// The most fields of one attempt that this version does not know.
const FURTHER: usize = 40;

struct Budgets {
    outputs: Budget,
    events: Budget,
}

/// Writes the section.
pub(super) fn write(report: &Report, out: &mut String) {
    let shown = report.stories.len().min(report.limit);
    let stories = &report.stories[report.stories.len() - shown..];
    out.push_str("<section class=timeline aria-labelledby=timeline><h2 id=timeline>Events</h2>\n");
    if report.stories.is_empty() {
        put(out, format_args!("<p class=empty>Nothing was recorded since {}.</p></section>\n", report.since));
        return;
    }
    if shown < report.stories.len() {
        put(
            out,
            format_args!(
                "<p class=note>The newest {} of {} events are shown here; what is counted above covers all of them. <code>--limit</code> shows more.</p>\n",
                number(shown),
                number(report.stories.len())
            ),
        );
    }
    filter(stories, out);
    let mut budgets = Budgets {
        outputs: Budget::new(OUTPUTS.0, OUTPUTS.1, OUTPUTS.2),
        events: Budget::new(EVENTS.0, EVENTS.1, EVENTS.2),
    };
    let mut current = None;
    for story in stories.iter().rev() {
        let number = story.at.map(day_number);
        if current != Some(number) {
            if current.is_some() {
                out.push_str("</div>\n");
            }
            let name = story.at.map_or_else(|| "At an unknown time".to_owned(), day);
            put(out, format_args!("<div class=day><h3>{name}</h3>\n"));
            current = Some(number);
        }
        event(story, &mut budgets, out);
    }
    out.push_str("</div>\n<p class=empty id=nothing hidden>No event matches the filter.</p></section>\n");
}

/// The field that filters, and a button for each ending that occurs. Only the script makes use of them.
fn filter(stories: &[Story], out: &mut String) {
    let mut words: BTreeMap<Mark, usize> = BTreeMap::new();
    for story in stories {
        for mark in marks(story) {
            *words.entry(mark).or_default() += 1;
        }
    }
    out.push_str("<form class=filter role=search hidden><div class=field><label for=filter class=unseen>Filter events</label><input id=filter type=search autocomplete=off spellcheck=false placeholder=\"Filter: text, type:…, hook:…, status:…\"><kbd aria-hidden=true>/</kbd></div><div class=chips role=group aria-label=\"Filter by status\">");
    for (mark, count) in words {
        put(
            out,
            format_args!(
                "<button type=button class={} aria-pressed=false data-s=\"{}\">{}{} <span>{}</span></button>",
                mark.class(),
                mark.word(),
                mark.icon(),
                mark.word(),
                number(count)
            ),
        );
    }
    put(out, format_args!("</div><p id=found role=status>{}</p></form>\n", count(stories.len(), "event")));
}

/// Every ending that an event had at one of its hooks.
fn marks(story: &Story) -> Vec<Mark> {
    let mut marks: Vec<Mark> = story.hooks.iter().map(Mark::of_hook).collect();
    marks.push(Mark::of_event(story));
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// The name by which the page's own links find an event. An id of ours stays as it is.
pub(super) fn anchor(id: &str) -> Text {
    line(&id.replace(|c: char| c.is_whitespace() || c == '%', "_"), 100)
}

fn event(story: &Story, budgets: &mut Budgets, out: &mut String) {
    let mark = Mark::of_event(story);
    let words = marks(story).iter().map(|mark| mark.word().replace(' ', "-")).collect::<Vec<_>>().join(" ");
    let bad = if mark.is_bad() { " is-bad" } else { "" };
    put(
        out,
        format_args!("<details class=\"event {}{bad}\" data-s=\"{words}\"><summary>{}", mark.class(), mark.icon()),
    );
    if let Some(at) = story.at {
        put(out, format_args!("<time datetime={at}>{}</time>", clock(at)));
    }
    put(out, format_args!("<span class=type>{}", line(&story.event_type, 80)));
    if let Some(feature) = &story.feature {
        put(out, format_args!(" <small>{}</small>", line(feature, 80)));
    }
    out.push_str("</span>");
    let sittings = sittings(story);
    if let Some(first) = sittings.first() {
        small_picture(first, out);
    }
    put(out, format_args!("<span class=s>{}</span>", result(story)));
    let took = sittings.first().filter(|sitting| sitting.to > sitting.from);
    put(
        out,
        format_args!(
            "<span class=d>{}</span></summary>",
            took.map(|took| span(took.to - took.from)).unwrap_or_default()
        ),
    );
    // Within what opens, so that a link to it opens it without a script as well.
    put(out, format_args!("<div class=inside id=\"{}\">", anchor(&story.event_id)));
    about(story, out);
    for problem in &story.problems {
        put(out, format_args!("<p class=why>{}{}</p>", Mark::Error.icon(), line(problem, 2000)));
    }
    for sitting in &sittings {
        waterfall(sitting, &mut budgets.outputs, out);
    }
    if let Some(event) = &story.event {
        let (shown, left_out) = budgets.events.beginning(event);
        put(out, format_args!("<details class=json><summary>Event <small>{}</small></summary>", size(event.len())));
        if !shown.is_empty() {
            put(out, format_args!("<pre tabindex=0>{}</pre>", json(shown)));
        }
        if left_out > 0 {
            put(out, format_args!("<p class=note>{} more are in the audit log.</p>", size(left_out)));
        }
        out.push_str("</details>");
    } else {
        out.push_str("<p class=note>The event itself was recorded before the time of this report.</p>");
    }
    out.push_str("</div></details>\n");
}

/// What came of it in a few words: `success`, `1 failed, 2 success`.
fn result(story: &Story) -> String {
    let mut counts: BTreeMap<Mark, usize> = BTreeMap::new();
    for hook in &story.hooks {
        *counts.entry(Mark::of_hook(hook)).or_default() += 1;
    }
    if !story.problems.is_empty() {
        *counts.entry(Mark::Error).or_default() += story.problems.len();
    }
    let single = counts.values().sum::<usize>() <= 1;
    let words = counts.iter().map(|(mark, count)| match single {
        true => mark.word().to_owned(),
        false => format!("{count} {}", mark.word()),
    });
    let words = words.collect::<Vec<_>>().join(", ");
    let is_run = |attempt: &&AttemptStory| Mark::of(attempt).is_run(attempt);
    let runs = |hook: &HookStory| hook.attempts.iter().filter(is_run).count();
    let retries: usize = story.hooks.iter().map(|hook| runs(hook).saturating_sub(1)).sum();
    let words = if words.is_empty() { Mark::Nothing.word().to_owned() } else { words };
    match retries {
        0 => words,
        1 => format!("{words} <small>1 retry</small>"),
        _ => format!("{words} <small>{retries} retries</small>"),
    }
}

/// The id, and where the event came from.
fn about(story: &Story, out: &mut String) {
    put(out, format_args!("<p class=about><code>{}</code>", line(&story.event_id, 100)));
    if let Some(cause) = &story.caused_by {
        put(out, format_args!(" · caused by <a href=\"#{}\">{}</a>", anchor(cause), line(cause, 100)));
    }
    if let Some(overhead) = sane(story.overhead_ms) {
        put(out, format_args!(" · knockon itself took {}", span(overhead)));
    }
    out.push_str("</p>");
}

/// The bars of a closed event, a lane for each of the first.
fn small_picture(sitting: &Sitting<'_>, out: &mut String) {
    out.push_str("<svg class=m>");
    let lanes = sitting.bars.len().min(LANES);
    let height = (14 / lanes.max(1)).min(5);
    for (lane, bar) in sitting.bars.iter().take(LANES).enumerate() {
        let [_, (from, to)] = sitting.places(bar);
        let y = (10 + lane * (height + 1)).saturating_sub(lanes * (height + 1) / 2);
        put(
            out,
            format_args!(
                "<rect class={} x={from:.1}% y={y} width={:.1}% height={height} />",
                bar.mark.class(),
                to - from
            ),
        );
    }
    out.push_str("</svg>");
}

fn waterfall(sitting: &Sitting<'_>, outputs_left: &mut Budget, out: &mut String) {
    if let Some(pause) = sitting.pause {
        put(out, format_args!("<p class=pause>{} later</p>", span(pause)));
    }
    let whole = sitting.to - sitting.from;
    if whole > 0.0 {
        put(
            out,
            format_args!(
                "<p class=ruler aria-hidden=true><span>0</span><span>{}</span><span>{}</span></p>",
                span(whole / 2.0),
                span(whole)
            ),
        );
    }
    out.push_str("<ol class=runs>");
    for bar in &sitting.bars {
        run(sitting, bar, outputs_left, out);
    }
    out.push_str("</ol>");
}

/// One attempt.
fn run(sitting: &Sitting<'_>, bar: &Bar<'_>, outputs_left: &mut Budget, out: &mut String) {
    let attempt = bar.attempt;
    put(out, format_args!("<li class={}><b>{}", bar.mark.class(), line(bar.hook, 80)));
    if bar.one_of_several && bar.mark.is_run(attempt) {
        put(out, format_args!(" <small>attempt {}</small>", attempt.attempt));
    }
    if attempt.replay {
        out.push_str(" <small>replay</small>");
    }
    let [(waits, begins), (from, to)] = sitting.places(bar);
    out.push_str("</b><svg class=t>");
    if begins > waits {
        put(out, format_args!("<rect class=w x={waits:.1}% width={:.1}% />", begins - waits));
    }
    put(out, format_args!("<rect x={from:.1}% width={:.1}% /></svg><span class=s>{}", to - from, bar.mark.icon()));
    match bar.mark {
        Mark::Other => put(out, format_args!("{}", line(&attempt.status, 30))),
        mark => out.push_str(mark.word()),
    }
    let took = sane(attempt.duration_ms).map(span).unwrap_or_default();
    put(out, format_args!("</span><span class=d>{took}</span>"));
    if let Some(error) = &attempt.error {
        put(out, format_args!("<p class=why>{}</p>", line(error, 2000)));
    }
    facts(attempt, out);
    outputs(attempt, outputs_left, out);
    out.push_str("</li>");
}

/// What else is known of an attempt, as one line.
pub(super) fn facts(attempt: &AttemptStory, out: &mut String) {
    let mut facts: Vec<String> = Vec::new();
    match (attempt.signal, attempt.exit_code) {
        (Some(signal), _) => facts.push(signal_words(signal)),
        (None, Some(code)) => facts.push(format!("exit {code}")),
        (None, None) => {}
    }
    if let Some(waited) = sane(attempt.waited_ms).filter(|waited| *waited > 0.0) {
        facts.push(format!("waited {}", span(waited)));
    }
    facts.extend(sane(attempt.cpu_ms).map(|cpu| format!("cpu {}", span(cpu))));
    facts.extend(
        attempt.peak_kib.map(|peak| format!("peak {}", size(usize::try_from(peak).unwrap_or(0).saturating_mul(1024)))),
    );
    facts.extend(sane(attempt.overhead_ms).map(|overhead| format!("overhead {}", span(overhead))));
    for (name, value) in attempt.further.iter().take(FURTHER) {
        let value = match value {
            serde_json::Value::String(text) => shorten(text, 300).into_owned(),
            value => shorten(&value.to_string(), 300).into_owned(),
        };
        facts.push(format!("{} {}", line(name, 60), line(&value, 300)));
    }
    if attempt.further.len() > FURTHER {
        facts.push(format!("{} more fields", number(attempt.further.len() - FURTHER)));
    }
    if !facts.is_empty() {
        put(out, format_args!("<p class=f>{}</p>", facts.join(" · ")));
    }
}

fn signal_words(signal: i64) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

/// The ends of what it wrote.
pub(super) fn outputs(attempt: &AttemptStory, budget: &mut Budget, out: &mut String) {
    for (name, text) in [("stderr", &attempt.stderr), ("stdout", &attempt.stdout)] {
        let Some(text) = text else { continue };
        let (shown, left_out) = budget.end(text.trim_end_matches('\n'));
        put(out, format_args!("<div class=out><span>{name}"));
        if left_out > 0 {
            put(out, format_args!(", the last {}", size(shown.len())));
        }
        // The first line feed after the tag is not part of the text.
        let _ = write!(out, "</span><pre tabindex=0>\n{}</pre></div>", block(shown));
    }
}
