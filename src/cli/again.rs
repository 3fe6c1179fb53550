//! `knockon retry`, `knockon replay` and `knockon drain`: events of the past, and what was left behind.

use super::ending::{self, Show};
use super::error::{CliError, Exit};
use super::live::Live;
use super::options::{ProjectOptions, TrustOptions, find_hook, point_in_time, require_sound};
use super::terminal::Terminal;
use crate::dispatch::Watcher;
use crate::drain::{Drained, Scope, drain};
use crate::emitter::{EmitReport, Emitter};
use crate::event::{Event, EventId};
use crate::matcher::TypeGlob;
use crate::project::UserFolders;
use crate::replay::{self, Past};
use crate::text::count;
use crate::time::Timestamp;
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;

/// How results are shown.
#[derive(Args, Clone, Copy, Debug)]
struct Shown {
    /// Print the results as JSON: one document an event, each on a line
    #[arg(long)]
    json: bool,
    /// Show the output of every hook while it runs, its name before each line
    #[arg(long, short)]
    verbose: bool,
}

impl Shown {
    fn show(self) -> Show {
        Show { json: self.json, verbose: self.verbose, ..Show::default() }
    }

    /// Does `work`, its output shown while it comes, then shows what became of it.
    fn run(self, terminal: &mut Terminal, work: impl FnOnce(Option<&dyn Watcher>) -> EmitReport) -> Exit {
        let report = {
            let live = Live::new(self.show(), terminal);
            let watcher: Option<&dyn Watcher> = if self.json { None } else { Some(&live) };
            work(watcher)
        };
        terminal.end_live();
        ending::show(&report, self.show(), None, false, terminal)
    }
}

/// How hooks are run again, and how that is shown.
#[derive(Args, Debug)]
struct How {
    /// Do not ask on a terminal
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    project: ProjectOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

impl How {
    /// Whether so many hooks may run again for so many events: a person at a terminal is asked.
    fn may_run(&self, events: usize, runs: usize, terminal: &mut Terminal) -> bool {
        if self.yes || self.shown.json || !(std::io::stdin().is_terminal() && terminal.is_terminal()) {
            return true;
        }
        let question = format!("Run hooks again: {} for {}?", count(runs, "run"), count(events, "event"));
        terminal.confirm(&question)
    }

    /// The emitter for a configuration without errors, and the hook of this name in it.
    fn open(
        &self,
        hook: Option<&str>,
        look_only: bool,
        terminal: &mut Terminal,
    ) -> Result<(Emitter, Option<usize>), CliError> {
        let emitter = self.project.emitter(&self.trust, look_only)?;
        require_sound(&emitter, terminal)?;
        let hook = hook.map(|name| find_hook(emitter.loaded(), name)).transpose()?;
        Ok((emitter, hook))
    }
}

/// Run hooks again with an event of the past: those that did not come to a good end, or one by its name.
#[derive(Args, Debug)]
pub(super) struct Retry {
    /// The event's id; `knockon audit` shows them
    #[arg(value_name = "EVENT_ID")]
    event: EventId,
    /// This hook, whatever became of it
    #[arg(value_name = "HOOK")]
    hook: Option<String>,
    #[command(flatten)]
    how: How,
}

impl super::Command for Retry {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (emitter, hook) = self.how.open(self.hook.as_deref(), false, terminal)?;
        let past = Past::of(&emitter, self.event).map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        let Some(past) = past else {
            let error = CliError::usage(format!("the audit log has no event {}", self.event));
            return Err(error.hint("`knockon audit` shows the last ones"));
        };
        let hooks = hook.map_or_else(|| past.unfinished(&emitter), |hook| vec![hook]);
        if hooks.is_empty() {
            if self.how.shown.json {
                terminal.json(&json!({ "event": null, "hooks_executed": 0, "results": [] }));
            } else {
                terminal.line("nothing to try again: every hook of this event ended well");
            }
            return Ok(Exit::Fine);
        }
        if !self.how.may_run(1, hooks.len(), terminal) {
            return Ok(Exit::Fine);
        }
        let mut failed = false;
        let exit = self.how.shown.run(terminal, |watcher| {
            let report = past.retry(&emitter, &hooks, watcher);
            emitter.release_signals();
            failed = !report.all_successful();
            report
        });
        // What was to be made good is not.
        Ok(if exit == Exit::Fine && failed { Exit::Stopped } else { exit })
    }
}

/// Deliver events of the past to the hooks that they trigger now, oldest first: one by its id, or those since a time.
/// Events of `knockon test` are left out.
#[derive(Args, Debug)]
pub(super) struct Replay {
    /// The event's id; `knockon audit` shows them
    #[arg(value_name = "EVENT_ID", required_unless_present = "since", conflicts_with_all = ["since", "until", "kind"])]
    event: Option<EventId>,
    /// From when on: how long ago (30m, 2h, 7d, 2w), or a time in UTC (2026-11-21, 2026-11-21T10:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    since: Option<Timestamp>,
    /// Until when, in the same form [default: now]
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    until: Option<Timestamp>,
    /// Only events of this type, or of these: a glob, such as task.*
    #[arg(long = "type", value_name = "GLOB")]
    kind: Option<String>,
    /// Only this hook
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// List the events and the hooks they would trigger; run and record nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    how: How,
}

impl super::Command for Replay {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (emitter, hook) = self.how.open(self.hook.as_deref(), self.dry_run, terminal)?;
        let pattern = self.kind.as_deref().map(TypeGlob::parse).transpose();
        let pattern = pattern.map_err(|error| CliError::usage(format!("--type: {error}")))?;
        let events = match (self.event, self.since) {
            (Some(id), _) => replay::event(&emitter, id).map(|event| event.into_iter().collect()),
            (None, since) => replay::events(&emitter, since.unwrap_or(Timestamp::from_millis(0)), self.until),
        };
        let mut events: Vec<Event> = events.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        if let Some(id) = self.event.filter(|_| events.is_empty()) {
            let error = CliError::usage(format!("the audit log has no event {id} that can be replayed"));
            return Err(error.hint("`knockon audit` shows the last ones; those of `knockon test` are not replayed"));
        }
        events.retain(|event| pattern.as_ref().is_none_or(|pattern| pattern.matches(event.kind().as_str())));
        if events.is_empty() && !self.how.shown.json {
            let since = self.since.map(|since| format!(" since {since}")).unwrap_or_default();
            terminal.line(&format!("the audit log has no such event{since}"));
        }
        if !self.dry_run {
            let triggered = |event: &Event| {
                let matches = emitter.matches(event);
                matches.iter().filter(|matched| hook.is_none_or(|only| matched.hook == only)).count()
            };
            let runs: usize = events.iter().map(triggered).sum();
            if runs > 0 && !self.how.may_run(events.len(), runs, terminal) {
                return Ok(Exit::Fine);
            }
        }
        let mut worst = Exit::Fine;
        for event in events {
            if self.dry_run {
                preview(&emitter, &event, hook, self.how.shown.json, terminal);
                continue;
            }
            let exit = self.how.shown.run(terminal, |watcher| replay::replay(&emitter, event, hook, watcher));
            worst = if worst == Exit::Fine { exit } else { worst };
            if let Exit::Interrupted(_) = exit {
                return Ok(exit);
            }
        }
        Ok(worst)
    }
}

fn preview(emitter: &Emitter, event: &Event, only: Option<usize>, json: bool, terminal: &mut Terminal) {
    let matches = emitter.matches(event).into_iter().filter(|matched| only.is_none_or(|only| matched.hook == only));
    let hooks: Vec<&str> = matches.map(|matched| emitter.loaded().hooks[matched.hook].hook.name.as_str()).collect();
    if json {
        terminal
            .json(&json!({ "event_id": event.id().to_string(), "event_type": event.kind().as_str(), "hooks": hooks }));
    } else {
        let hooks = if hooks.is_empty() { "no hook".to_owned() } else { hooks.join(", ") };
        terminal.line(&format!("{}  {}  {hooks}", event.kind(), event.id()));
    }
}

/// Carry out what was left behind: hooks with `mode: detach` or `coalesce` whose process came to an end.
#[derive(Args, Debug)]
pub(super) struct Drain {
    /// Of all projects, not only of this one
    #[arg(long)]
    all: bool,
    /// What this process was started for
    #[arg(long, value_name = "OWNER", hide = true, conflicts_with = "all")]
    owner: Option<String>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Drain {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let project = if self.all || self.owner.is_some() { None } else { Some(self.project.project(&user)?) };
        let scope = match (&self.owner, &project) {
            (Some(owner), _) => {
                crate::sys::leave_terminal();
                Scope::Owner(owner)
            }
            (None, Some(project)) => Scope::Project(project.root()),
            (None, None) => Scope::All,
        };
        let drained = {
            let live = Live::new(self.shown.show(), terminal);
            let watcher: Option<&dyn Watcher> = if self.shown.json { None } else { Some(&live) };
            drain(&user, scope, watcher)
        };
        terminal.end_live();
        let drained = drained.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        Ok(self.tell(&drained, terminal))
    }
}

impl Drain {
    fn tell(&self, drained: &Drained, terminal: &mut Terminal) -> Exit {
        let mut worst = Exit::Fine;
        for report in &drained.reports {
            let exit = ending::show(report, self.shown.show(), None, false, terminal);
            worst = if worst == Exit::Fine { exit } else { worst };
        }
        let Drained { reports, given_up, under_way } = drained;
        for (hook, why) in given_up {
            terminal.warning(&format!("`{hook}`: {why}"));
        }
        if self.shown.json {
            let given_up: Vec<_> = given_up.iter().map(|(hook, why)| json!({ "hook": hook, "why": why })).collect();
            let done: usize = reports.iter().map(|report| report.hooks().len()).sum();
            terminal.json(&json!({ "carried_out": done, "given_up": given_up, "under_way": under_way }));
        } else if *under_way > 0 {
            let noun = if *under_way == 1 { "delivery" } else { "deliveries" };
            terminal.line(&format!("{under_way} {noun} under way in the background"));
        } else if reports.is_empty() && given_up.is_empty() {
            terminal.line("nothing was left behind");
        }
        worst
    }
}
