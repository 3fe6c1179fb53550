//! How often each hook ran, how it ended, and how long it took.

use super::figures::{HookFigures, Scale};
use super::markup::{line, number, percent, put, span};
use crate::text::count;

/// The height of a distribution's highest column.
const HEIGHT: f64 = 24.0;

/// Writes the table.
pub(super) fn write(hooks: &[HookFigures], out: &mut String) {
    out.push_str("<section aria-labelledby=hooks><h2 id=hooks>Hooks</h2>\n");
    if hooks.is_empty() {
        out.push_str("<p class=empty>No hook came up.</p></section>\n");
        return;
    }
    let scale = Scale::of(hooks);
    out.push_str("<table class=hooks><thead><tr><th scope=col>Hook<th scope=col class=n>Runs<th scope=col>Success<th scope=col class=n>p50<th scope=col class=n>p95<th scope=col class=n>Max<th scope=col class=shape>");
    match scale {
        Some(scale) => put(
            out,
            format_args!(
                "<span class=scale><span>{}</span><span>Distribution</span><span>{}</span></span>",
                power(scale.from),
                power(scale.to)
            ),
        ),
        None => out.push_str("Distribution"),
    }
    out.push_str("</thead><tbody>\n");
    for hook in hooks {
        row(hook, scale, out);
    }
    out.push_str("</tbody></table></section>\n");
}

fn row(hook: &HookFigures, scale: Option<Scale>, out: &mut String) {
    put(out, format_args!("<tr><th scope=row>{}", line(&hook.name, 80)));
    let others: Vec<String> = [(hook.blocked, "blocked"), (hook.skipped, "skipped")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", number(*count)))
        .chain((hook.retries > 0).then(|| {
            if hook.retries == 1 { "1 retry".to_owned() } else { format!("{} retries", number(hook.retries)) }
        }))
        .collect();
    if !others.is_empty() {
        put(out, format_args!(" <small>{}</small>", others.join(", ")));
    }
    put(out, format_args!("<td class=n data-l=Runs>{}", number(hook.runs)));
    let ended = hook.succeeded + hook.failed;
    if ended == 0 {
        out.push_str("<td class=share data-l=Success>–");
    } else {
        let share = hook.succeeded as f64 / ended as f64 * 100.0;
        let failed =
            if hook.failed > 0 { format!(" <small>{} failed</small>", number(hook.failed)) } else { String::new() };
        put(
            out,
            format_args!(
                "<td class=share data-l=Success><span>{}{failed}</span><svg class=meter aria-hidden=true><rect class=rest width=100% /><rect class=ok width={share:.2}% /></svg>",
                percent(hook.succeeded, ended)
            ),
        );
    }
    for (label, share) in [("p50", 0.5), ("p95", 0.95), ("Max", 1.0)] {
        let duration = hook.percentile(share).map_or_else(|| "–".to_owned(), span);
        put(out, format_args!("<td class=n data-l={label}>{duration}"));
    }
    out.push_str("<td class=shape>");
    if let (Some(scale), false) = (scale, hook.durations.is_empty()) {
        distribution(hook, scale, out);
    }
    out.push('\n');
}

/// The durations as columns on the common scale, with a line where half of them are shorter.
fn distribution(hook: &HookFigures, scale: Scale, out: &mut String) {
    let columns = hook.distribution(scale);
    let most = columns.iter().copied().max().unwrap_or(1).max(1) as f64;
    let median = hook.percentile(0.5).unwrap_or(0.0);
    put(
        out,
        format_args!(
            "<svg class=dist role=img aria-label=\"{} on a logarithmic scale, half of them up to {}\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=none>",
            count(hook.durations.len(), "duration"),
            span(median),
            columns.len() * 10
        ),
    );
    for (index, column) in columns.iter().enumerate().filter(|(_, column)| **column > 0) {
        let height = (*column as f64 / most * HEIGHT).max(2.0);
        put(out, format_args!("<rect x={} y={:.1} width=9 height={height:.1} />", index * 10, HEIGHT - height));
    }
    put(
        out,
        format_args!(
            "<rect class=mid x={:.1} width=1.5 height={HEIGHT} /></svg>",
            scale.place(median) * (columns.len() * 10) as f64
        ),
    );
}

/// A power of ten milliseconds, without noughts behind the point.
fn power(millis: f64) -> String {
    match millis {
        ..0.9 => "0.1 ms".to_owned(),
        ..900.0 => format!("{millis:.0} ms"),
        ..90_000.0 => format!("{:.0} s", millis / 1e3),
        _ => span(millis),
    }
}
