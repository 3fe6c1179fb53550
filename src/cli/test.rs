//! `knockon test`: one hook, run now.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, TrustOptions, require_sound};
use super::report::{self, Show};
use super::terminal::Terminal;
use crate::event::{EventDraft, EventType};
use crate::text::nearest;
use clap::Args;

/// Run one hook with a made-up event, whether it is enabled and matches or not. It has to be trusted.
#[derive(Args, Debug)]
pub(super) struct Test {
    /// The hook's name
    hook: String,
    /// The event's type
    #[arg(value_name = "TYPE")]
    kind: EventType,
    /// The spec or feature of the made-up event
    #[arg(long, value_name = "ID", default_value = "test-spec")]
    spec_id: String,
    /// The task of the made-up event
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

impl super::Command for Test {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.project.emitter(&self.trust)?;
        require_sound(emitter.problems(), terminal)?;
        let loaded = emitter.loaded();
        let Some(index) = loaded.find(&self.hook) else {
            let names: Vec<&str> = loaded.hooks.iter().map(|hook| hook.hook.name.as_str()).collect();
            let error = CliError::usage(format!("there is no hook `{}`", self.hook));
            return Err(match nearest(&self.hook, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None if names.is_empty() => error.hint("there are no hooks here; `knockon init` writes examples"),
                None => error.hint(format!("there are {}", names.join(", "))),
            });
        };
        let mut draft = EventDraft::new(self.kind).feature(self.spec_id.as_str()).context("test", true);
        draft = draft.context("feature", self.spec_id);
        if let Some(task) = self.task_id {
            draft = draft.context("task_id", task);
        }
        let report = emitter.emit_to_hook(draft, index);
        let show = Show { json: self.json, verbose: true, quiet: false };
        match report::show(&report, show, true, terminal) {
            Exit::Fine if report.hooks().iter().any(|hook| hook.outcome.status.is_failure()) => Ok(Exit::Stopped),
            exit => Ok(exit),
        }
    }
}
