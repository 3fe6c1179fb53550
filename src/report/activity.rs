//! When there was how much to do: events over time, as columns.

use super::mark::Mark;
use super::markup::put;
use super::moment::moment;
use crate::audit::Story;
use crate::text::count;
use crate::time::Timestamp;

/// The most columns.
const COLUMNS: u64 = 72;
/// The height of the highest.
const HEIGHT: f64 = 44.0;
/// Spans a column may have, in seconds.
const STEPS: &[u64] =
    &[1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];

/// Events of a span of time, and those among them that went wrong.
type Column = (usize, usize);

/// Writes the chart; nothing when there is no span of time to show.
pub(super) fn write(stories: &[Story], out: &mut String) {
    let Some((from, step, columns)) = columns(stories) else { return };
    let most = columns.iter().map(|(all, _)| *all).max().unwrap_or(1).max(1) as f64;
    let time = |column: usize| moment(Timestamp::from_millis((from + column as u64 * step) * 1000));
    put(
        out,
        format_args!(
            "<section class=activity aria-labelledby=activity><h2 id=activity>Activity</h2>\n<svg role=img aria-label=\"Events over time, at most {} in {}\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=none>",
            most,
            words(step),
            columns.len() * 10,
        ),
    );
    for (index, (all, bad)) in columns.iter().enumerate().filter(|(_, (all, _))| *all > 0) {
        // One event among thousands is still to be seen.
        let tall = |number: usize| if number == 0 { 0.0 } else { (number as f64 / most * HEIGHT).max(2.0) };
        let (whole, red) = (tall(*all), tall(*bad).min(tall(*all)));
        let x = index * 10 + 1;
        put(out, format_args!("<g><title>{}: {}", time(index), count(*all, "event")));
        if *bad > 0 {
            put(out, format_args!(", {bad} with a failure"));
        }
        put(out, format_args!("</title><rect class=all x={x} y={:.1} width=8 height={whole:.1} />", HEIGHT - whole));
        if *bad > 0 {
            put(out, format_args!("<rect class=bad x={x} y={:.1} width=8 height={red:.1} />", HEIGHT - red));
        }
        out.push_str("</g>");
    }
    put(
        out,
        format_args!(
            "</svg>\n<p class=axis><span>{}</span><span class=legend><span class=all>events in {}</span><span class=bad>with a failure</span></span><span>{}</span></p></section>\n",
            time(0),
            words(step),
            time(columns.len())
        ),
    );
}

/// Where the first column begins and how long each is, in seconds.
fn columns(stories: &[Story]) -> Option<(u64, u64, Vec<Column>)> {
    let seconds = |story: &Story| story.at.map(|at| at.as_millis() / 1000);
    let (first, last) = (stories.iter().filter_map(seconds).min()?, stories.iter().filter_map(seconds).max()?);
    let span = last - first;
    if span == 0 {
        return None;
    }
    let step = STEPS.iter().copied().find(|step| span / step + 2 <= COLUMNS).unwrap_or(span / (COLUMNS - 2) + 1);
    let from = first / step * step;
    let mut columns = vec![(0, 0); ((last - from) / step + 1) as usize];
    for story in stories {
        if let Some(at) = seconds(story) {
            let column: &mut Column = &mut columns[((at - from) / step) as usize];
            column.0 += 1;
            column.1 += usize::from(Mark::of_event(story).is_bad());
        }
    }
    Some((from, step, columns))
}

fn words(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    count(usize::try_from(number).unwrap_or(usize::MAX), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_a_column_and_there_are_not_too_many() {
        let at = |seconds: u64| Story { at: Some(Timestamp::from_millis(seconds * 1000)), ..Story::default() };
        for times in [&[5, 6][..], &[0, 71], &[59, 3600, 7199], &[86_399, 30 * 86_400], &[1, 253_402_000_000]] {
            let stories: Vec<Story> = times.iter().map(|seconds| at(*seconds)).collect();
            let (_, step, columns) = columns(&stories).unwrap();
            assert!(columns.len() as u64 <= COLUMNS, "{times:?}: {} of {step}", columns.len());
            assert_eq!(columns.iter().map(|column| column.0).sum::<usize>(), times.len());
        }
        assert!(columns(&[]).is_none() && columns(&[at(9), at(9)]).is_none());
    }
}
