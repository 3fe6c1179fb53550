//! `status.events.jsonl`: one move of a work package a line, the newest layout's record of lanes.

use super::lane::{Lane, Word, word};
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
}

impl StatusLog {
    /// Reads it: the moves in the order of their times, those of one time as they stand.
    pub(super) fn read(text: &str) -> Self {
        let mut log = StatusLog::default();
        let mut moves: Vec<(String, String, String)> = Vec::new();
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
            moves.push((member("at").unwrap_or_default().to_owned(), id.to_owned(), to.to_owned()));
        }
        moves.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, id, to) in moves {
            let earlier = log.standings.get(&id).map_or(Lane::Planned, |standing| standing.lane);
            let lane = match word(&to) {
                Some(Word::In(lane)) => lane,
                _ => earlier,
            };
            log.standings.insert(id, Standing { lane, word: to });
        }
        log
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
    /// `2026-02-03T18:58:09Z`.
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
}
