//! `status.events.jsonl`: one move of a work package a line, the newest layout's record of lanes.

use super::lane::{Lane, Word, word};
use crate::time::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Where a work package stands by the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) lane: Lane,
    /// The lane as the log names it.
    pub(super) word: String,
}

/// The log, read.
#[derive(Debug, Default)]
pub(super) struct StatusLog {
    pub(super) standings: BTreeMap<String, Standing>,
    /// Lines that say nothing, from 1, and why.
    pub(super) faults: Vec<(usize, String)>,
    /// How the log names the feature.
    slug_key: Option<&'static str>,
    /// The latest time in it, as it is written.
    latest: String,
}

/// A move that the log tells of; the earlier comes first, those of one time in the order of their ids, as spec-kitty
/// has it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    at: String,
    event: String,
    /// Where it stands, which tells those without an id apart.
    line: usize,
    package: String,
    to: String,
}

impl StatusLog {
    /// Reads it: the moves in the order of their times, each once.
    pub(super) fn read(text: &str) -> Self {
        let mut log = StatusLog::default();
        let (mut moves, mut known) = (Vec::new(), BTreeSet::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let value: Value = match serde_json::from_str(line) {
                Ok(value) => value,
                Err(error) => {
                    log.faults.push((number + 1, format!("this is no JSON: {error}")));
                    continue;
                }
            };
            let member = |name: &str| value.get(name).and_then(Value::as_str);
            log.slug_key =
                ["mission_slug", "feature_slug"].into_iter().find(|key| member(key).is_some()).or(log.slug_key);
            // Other things than moves are recorded in it too.
            let (Some(id), Some(to)) = (member("wp_id"), member("to_lane")) else { continue };
            if word(to).is_none() {
                let to = crate::text::one_line(&crate::text::shorten(to, 40));
                log.faults.push((number + 1, format!("`{to}` is no lane")));
                continue;
            }
            let text = |name: &str| member(name).unwrap_or_default().to_owned();
            let event = text("event_id");
            // Two branches that were merged may both have it.
            if event.is_empty() || known.insert(event.clone()) {
                moves.push(Told { at: text("at"), event, line: number, package: id.to_owned(), to: to.to_owned() });
            }
        }
        moves.sort();
        for Told { package, to, at, .. } in moves {
            let earlier = log.standings.get(&package).map_or(Lane::Planned, |standing| standing.lane);
            let lane = match word(&to) {
                Some(Word::In(lane)) => lane,
                _ => earlier,
            };
            log.standings.insert(package, Standing { lane, word: to });
            log.latest = at;
        }
        log
    }

    /// A time as the log has them: it is compared as text.
    pub(super) fn time(&self, now: Timestamp) -> String {
        let now = now.to_string();
        let whole_seconds = self.latest.ends_with('Z') && !self.latest.contains('.');
        match (now.get(..19), now.get(..23)) {
            (Some(seconds), _) if whole_seconds => format!("{seconds}Z"),
            (_, Some(millis)) => format!("{millis}000+00:00"),
            _ => now,
        }
    }

    /// The line of a move, without its end.
    pub(super) fn line(&self, slug: &str, moved: &Moved<'_>) -> String {
        let from = self.standings.get(moved.package).map_or("planned", |standing| standing.word.as_str());
        json!({
            "actor": moved.actor,
            "at": moved.at,
            "event_id": moved.id,
            "evidence": null,
            "execution_mode": "direct_repo",
            self.slug_key.unwrap_or("feature_slug"): slug,
            "force": true,
            "from_lane": from,
            "policy_metadata": null,
            "reason": moved.reason,
            "review_ref": null,
            "to_lane": moved.to.in_log(),
            "wp_id": moved.package,
        })
        .to_string()
    }
}

/// A move to be written.
#[derive(Debug)]
pub(super) struct Moved<'a> {
    pub(super) package: &'a str,
    pub(super) to: Lane,
    pub(super) actor: &'a str,
    /// When, as [`StatusLog::time`] writes it.
    pub(super) at: &'a str,
    /// A ULID.
    pub(super) id: &'a str,
    pub(super) reason: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_move_counts_and_a_block_keeps_the_lane() {
        let text = "{\"at\":\"2026-02-03T18:00:02Z\",\"wp_id\":\"WP01\",\"to_lane\":\"blocked\"}\n\
             {\"at\":\"2026-02-03T18:00:01Z\",\"wp_id\":\"WP01\",\"to_lane\":\"claimed\",\"mission_slug\":\"a\"}\n\
             \n{\"at\":\"1\",\"wp_id\":\"WP02\",\"to_lane\":\"nowhere\"}\n{\"kind\":\"note\"}\n{\"at\":\"20";
        let log = StatusLog::read(text);
        assert_eq!(log.standings["WP01"], Standing { lane: Lane::Doing, word: "blocked".into() });
        assert_eq!(log.faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 6]);
        let moved = Moved { package: "WP01", to: Lane::Doing, actor: "a", at: "t", id: "i", reason: "r" };
        let line: Value = serde_json::from_str(&log.line("001-a", &moved)).unwrap();
        assert_eq!([&line["from_lane"], &line["to_lane"], &line["mission_slug"]], ["blocked", "in_progress", "001-a"]);
    }
    #[test]
    fn moves_of_one_time_have_the_order_of_their_ids_and_count_once() {
        let line = |at: &str, id: &str, to: &str| {
            format!("{{\"at\":\"{at}\",\"event_id\":\"{id}\",\"wp_id\":\"WP01\",\"to_lane\":\"{to}\"}}\n")
        };
        let lane = |lines: &[String]| StatusLog::read(&lines.concat()).standings["WP01"].lane;
        let (first, second) = (line("1", "01A", "in_progress"), line("1", "01B", "for_review"));
        assert_eq!(lane(&[second.clone(), first.clone()]), Lane::ForReview);
        let back = line("0", "01B", "planned");
        assert_eq!(lane(&[first, second, back]), Lane::ForReview, "the id is known");
    }

    #[test]
    fn a_time_is_written_as_those_before_it() {
        let now = Timestamp::from_millis(1_770_000_000_123);
        let time = |at: &str| {
            StatusLog::read(&format!("{{\"at\":\"{at}\",\"wp_id\":\"WP01\",\"to_lane\":\"done\"}}")).time(now)
        };
        assert_eq!(time("2026-02-02T02:40:00Z"), "2026-02-02T02:40:00Z");
        assert_eq!(time("2026-02-02T02:40:00.5+00:00"), "2026-02-02T02:40:00.123000+00:00");
    }
}
