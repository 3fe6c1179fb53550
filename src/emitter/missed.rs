//! Hooks that an event may have been for and that cannot run: those that an error disables, and those of a configuration
//! that is not read.

use super::opening::Plan;
use super::{EmitReport, Emitter};
use crate::audit::AuditRecord;
use crate::config::{self, FailMode, OutputMode};
use crate::delivery::{NotRun, Outcome};
use crate::dispatch::{HookReport, Skip, note};
use crate::event::Event;
use crate::text::{nearest, one_line};
use crate::time::Timestamp;

impl Emitter {
    /// Reports and records the hooks that an error in the configuration disables. Whether the event would have triggered
    /// them cannot be known: the error may be in what they are for.
    pub(super) fn report_invalid(&self, report: &mut EmitReport, event: &Event, plan: &Plan, now: Timestamp) {
        for hook in &plan.loaded.invalid {
            let reason = "its configuration has an error";
            self.report_missed(report, event, (&hook.name, hook.fail_mode), (reason, &hook.problem), now);
        }
    }

    /// Reports and records the hooks of a second configuration that the event would have triggered.
    pub(super) fn report_ignored(&self, report: &mut EmitReport, event: &Event, now: Timestamp) {
        let Some((ignored, plan)) = self.ignored() else { return };
        let read = self.whole().loaded.project_file().map(|file| file.path.display().to_string()).unwrap_or_default();
        for matched in plan.matcher.matches(event) {
            let hook = &plan.loaded.hooks[matched.hook].hook;
            let why = format!("{} is not read, because {} is", ignored.path.display(), one_line(&read));
            report.warnings.push(format!("the hook `{}` did not run: {why}; merge the two files", hook.name));
            let reason = "its file is not read, because there is another";
            self.report_missed(report, event, (hook.name.as_str(), hook.fail_mode), (reason, &why), now);
        }
    }

    /// Names in `KNOCKON_SKIP` that no hook has: what was meant to be left out runs.
    pub(super) fn unknown_skips(&self) -> Vec<String> {
        let Skip::Named(names) = &self.options.skip else { return Vec::new() };
        let known: Vec<&str> = self.loaded().hooks.iter().map(|hook| hook.hook.name.as_str()).collect();
        let unknown = names.iter().filter(|name| !known.contains(&name.as_str()));
        let warning = |name: &String| {
            let near = nearest(name, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            format!("KNOCKON_SKIP names `{}`, and there is no such hook{}", one_line(name), near.unwrap_or_default())
        };
        unknown.map(warning).collect()
    }

    /// The second configuration of the project, which is not read, with its hooks.
    pub(super) fn ignored(&self) -> Option<(&config::Found, &Plan)> {
        let ignored = self.ignored.as_ref()?;
        let read = || Plan::of(config::read(std::slice::from_ref(ignored), Vec::new()));
        Some((ignored, self.ignored_hooks.get_or_init(read)))
    }

    fn report_missed(
        &self,
        report: &mut EmitReport,
        event: &Event,
        (hook, fail_mode): (&str, FailMode),
        (reason, why): (&str, &str),
        now: Timestamp,
    ) {
        let record = AuditRecord::invalid(event, hook, why, now);
        if let Err(error) = self.rows.append(&self.audit, &record) {
            note(&mut report.dispatched.unrecorded, &error);
        }
        report.dispatched.hooks.push(HookReport {
            name: hook.to_owned(),
            enabled: true,
            fail_mode,
            output: OutputMode::default(),
            reason: reason.into(),
            attempts: 0,
            outcome: Outcome::not_run(NotRun::InvalidConfig, why),
        });
    }
}
