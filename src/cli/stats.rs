//! `knockon stats`: how hooks fared, in numbers and small pictures.

use super::audit::{failed, log_of};
use super::error::{CliError, Exit};
use super::options::{ProjectOptions, point_in_time};
use super::terminal::{Paint, Terminal, columns};
use crate::audit::{Spans, Stats as Numbers, Tally};
use crate::metrics;
use crate::text::{count, one_line};
use crate::time::{Timestamp, human};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How many of the slowest and the flakiest are named.
const NAMED: usize = 3;
/// The characters of a sparkline, and of a bar.
const WIDTH: usize = 16;

/// Show how hooks fared: how often, how well, how long, and what they and knockon itself cost.
#[derive(Args, Debug)]
pub(super) struct Stats {
    /// From when on: how long ago (30m, 2h, 7d, 2w), or a time in UTC (2026-11-21, 2026-11-21T10:00:00Z) [default: all of the log]
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    since: Option<Timestamp>,
    /// Print the numbers as one JSON document
    #[arg(long)]
    json: bool,
    /// Count the events of `knockon test`, too
    #[arg(long)]
    include_tests: bool,
    /// Bring counters in this file up to date, in the text format of Prometheus (name it something.prom in the folder
    /// of node_exporter's textfile collector); `-` prints them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "json"])]
    metrics_file: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Stats {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let log = log_of(&self.project)?;
        if let Some(path) = &self.metrics_file {
            let text = metrics::update(&log, path).map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
            if let Some(text) = text {
                terminal.text(&text);
            }
            return Ok(Exit::Fine);
        }
        let mut numbers = Numbers::default();
        let unreadable = log
            .since(self.since, |entry| {
                if self.include_tests || !entry.is_of_test() {
                    numbers.add(&entry);
                }
            })
            .map_err(|error| failed(&error))?;
        if unreadable > 0 {
            terminal.warning(&format!("{} of the log cannot be read", count(unreadable, "line")));
        }
        if self.json {
            terminal.json(&document(&numbers));
        } else if numbers.range.is_none() {
            let since = self.since.map(|since| format!(" since {since}")).unwrap_or_default();
            terminal.line(&format!("nothing is recorded in {}{since}", one_line(&log.path().to_string_lossy())));
        } else {
            Shown { terminal, numbers: &numbers }.draw();
        }
        Ok(Exit::Fine)
    }
}

fn spans(spans: &Spans) -> Value {
    json!({
        "count": spans.count(), "sum_ms": spans.sum(), "p50_ms": spans.percentile(0.5),
        "p95_ms": spans.percentile(0.95), "p99_ms": spans.percentile(0.99), "max_ms": spans.longest(),
    })
}

fn tally(tally: &Tally) -> Value {
    json!({
        "runs": tally.runs(), "succeeded": tally.succeeded(), "failed": tally.failed(), "endings": tally.endings,
        "success_rate": tally.success_rate(), "duration": spans(&tally.durations), "waited": spans(&tally.waited),
        "overhead": spans(&tally.overhead), "cpu_ms": tally.cpu_ms, "peak_kib": tally.peak_kib,
        "retries": tally.retries, "flakiness": tally.flakiness(),
    })
}

fn document(numbers: &Numbers) -> Value {
    let all = |tallies: &std::collections::BTreeMap<String, Tally>| -> serde_json::Map<String, Value> {
        tallies.iter().map(|(name, one)| (name.clone(), tally(one))).collect()
    };
    json!({
        "from": numbers.range.as_ref().map(|(from, _)| from), "to": numbers.range.as_ref().map(|(_, to)| to),
        "events": numbers.events, "hooks": all(&numbers.hooks), "event_types": all(&numbers.kinds),
        "all": tally(&numbers.all), "making": spans(&numbers.making),
        "slowest": numbers.slowest().iter().map(|(name, _)| name).take(NAMED).collect::<Vec<_>>(),
        "flakiest": numbers.flakiest().iter().map(|(name, _)| name).take(NAMED).collect::<Vec<_>>(),
    })
}

/// The numbers on a terminal, or in a file.
struct Shown<'a> {
    terminal: &'a mut Terminal,
    numbers: &'a Numbers,
}

impl Shown<'_> {
    fn draw(&mut self) {
        let numbers = self.numbers;
        let events: u64 = numbers.events.values().sum();
        let number = |number: u64, noun: &str| count(usize::try_from(number).unwrap_or(usize::MAX), noun);
        let rate = numbers.all.success_rate().map(|rate| format!(", {} went well", percent(rate))).unwrap_or_default();
        let runs = number(numbers.all.runs(), "hook run");
        self.terminal.line(&format!("{}, {runs}{rate}", number(events, "event")));
        if let Some((from, to)) = &numbers.range {
            let text = self.terminal.paint(Paint::Dim, &one_line(&format!("{from} to {to}")));
            self.terminal.line(&text);
        }
        self.table("hook", &numbers.hooks);
        self.table("event type", &numbers.kinds);
        let named = |all: Vec<(&str, f64)>, form: fn(f64) -> String| -> String {
            let named = all.iter().take(NAMED).map(|(name, value)| format!("{} ({})", one_line(name), form(*value)));
            named.collect::<Vec<_>>().join(", ")
        };
        let flakiest = numbers.flakiest();
        let mut facts = Vec::new();
        if numbers.all.durations.count() > 0 {
            facts.push(vec!["slowest".to_owned(), named(numbers.slowest(), span)]);
        }
        if !flakiest.is_empty() {
            facts.push(vec!["flakiest".to_owned(), named(flakiest, |part| format!("changes {}", percent(part)))]);
        }
        let waited = &numbers.all.waited;
        if waited.sum() > 0.0 {
            let longest = waited.longest().map(span).unwrap_or_default();
            let text = format!("{} in queues and groups, {longest} at most", span(waited.sum()));
            facts.push(vec!["waited".to_owned(), text]);
        }
        let own = |spans: &Spans| spans.percentile(0.5).map(span);
        let own = [("an event", own(&numbers.making)), ("a hook", own(&numbers.all.overhead))];
        let own: Vec<String> =
            own.iter().filter_map(|(what, span)| Some(format!("{} {what}", span.as_ref()?))).collect();
        if !own.is_empty() {
            facts.push(vec!["knockon itself".to_owned(), format!("{} (p50)", own.join(", "))]);
        }
        if !facts.is_empty() {
            self.terminal.line("");
            for line in columns(&facts) {
                self.terminal.line(&line);
            }
        }
    }

    fn table(&mut self, what: &str, tallies: &std::collections::BTreeMap<String, Tally>) {
        if tallies.is_empty() {
            return;
        }
        let head = [what, "runs", "well", "p50", "p95", "p99", "processor", "memory", "skipped"];
        let pictures = self.terminal.is_terminal();
        let mut rows = vec![head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
        if pictures {
            rows[0].extend(["", "the last runs"].map(str::to_owned));
        }
        for (name, tally) in tallies {
            let part = |part: f64| tally.durations.percentile(part).map(span).unwrap_or_default();
            let without: u64 = ["skipped", "blocked_untrusted", "disabled", "invalid"]
                .iter()
                .filter_map(|word| tally.endings.get(*word))
                .sum();
            let memory =
                if tally.peak_kib > 0 { format!("{:.1} MiB", tally.peak_kib as f64 / 1024.0) } else { String::new() };
            let mut row = vec![
                one_line(name),
                tally.runs().to_string(),
                tally.success_rate().map(percent).unwrap_or_default(),
                part(0.5),
                part(0.95),
                part(0.99),
                if tally.cpu_ms > 0.0 { span(tally.cpu_ms) } else { String::new() },
                memory,
                if without > 0 { without.to_string() } else { String::new() },
            ];
            if pictures {
                row.extend([bar(tally.success_rate()), sparkline(tally)]);
            }
            rows.push(row);
        }
        self.terminal.line("");
        for (line, tally) in columns(&rows).into_iter().zip(std::iter::once(None).chain(tallies.values().map(Some))) {
            let line = match tally {
                None => self.terminal.paint(Paint::Bold, &line),
                Some(tally) if tally.failed() > 0 => self.terminal.paint(Paint::Bad, &line),
                Some(_) => line,
            };
            self.terminal.line(&line);
        }
    }
}

fn span(millis: f64) -> String {
    human(Duration::from_secs_f64(millis.clamp(0.0, 1e12) / 1e3))
}

/// Never 100 % as long as something failed, nor 0 % as long as something did not.
fn percent(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        _ if part > 0.0 && percent < 1.0 => "<1 %".into(),
        _ if part < 1.0 && percent > 99.0 => ">99 %".into(),
        _ => format!("{percent:.0} %"),
    }
}

/// The part of runs that went well, as eight steps.
fn bar(rate: Option<f64>) -> String {
    let Some(rate) = rate else { return String::new() };
    let full = (rate * 8.0).floor() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(8 - full))
}

/// The last runs, one character each: how long it took beside the longest of them, `×` for one that failed.
fn sparkline(tally: &Tally) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = tally.recent.iter().skip(tally.recent.len().saturating_sub(WIDTH));
    let longest = last.clone().map(|(millis, _)| *millis).fold(f64::MIN_POSITIVE, f64::max);
    last.map(|(millis, well)| if *well { STEPS[((millis / longest * 7.0).round() as usize).min(7)] } else { '×' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_means_all_of_them() {
        assert_eq!([0.0, 0.001, 0.5, 0.999, 1.0].map(percent), ["0 %", "<1 %", "50 %", ">99 %", "100 %"]);
        assert_eq!(bar(Some(0.99)), "███████░");
    }

    #[test]
    fn the_last_runs_are_drawn_beside_the_longest() {
        let mut tally = Tally::default();
        tally.recent.extend([(1.0, true), (50.0, false), (100.0, true), (50.0, true)]);
        assert_eq!(sparkline(&tally), "▁×█▅");
        assert_eq!(sparkline(&Tally::default()), "");
    }
}
