//! What became of events, for the tools that read test results and remarks: JUnit, SARIF, GitHub.

use super::error::CliError;
use super::output;
use super::scanning;
use super::terminal::Terminal;
use crate::config::Diagnostic;
use crate::delivery::{Annotation, NotRun, Status};
use crate::dispatch::HookReport;
use crate::emitter::{EmitReport, Unreviewed};
use crate::project::Project;
use crate::text::one_line;
use crate::time::human;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The variable in which GitHub names the file of a step's summary.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// A report that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Test results: a hook is a test case.
    JUnit(PathBuf),
    /// The remarks of hooks and their failures, for code scanning.
    Sarif(PathBuf),
    /// The same as workflow commands.
    Github,
    /// A table of all hooks in Markdown, added to a file.
    Summary(Option<PathBuf>),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (form, file) = match text.split_once('=') {
            Some((form, "")) => return Err(format!("`{form}=` names no file")),
            Some((form, file)) => (form, Some(PathBuf::from(file))),
            None => (text, None),
        };
        match (form, file) {
            ("junit", Some(file)) => Ok(Wanted::JUnit(file)),
            ("sarif", Some(file)) => Ok(Wanted::Sarif(file)),
            ("github", None) => Ok(Wanted::Github),
            ("summary", file) => Ok(Wanted::Summary(file)),
            ("junit" | "sarif", None) => Err(format!("`{form}` needs a file: {form}=FILE")),
            ("github", Some(_)) => Err("`github` is written to the output and takes no file".into()),
            _ => Err("there are junit=FILE, sarif=FILE, github, summary and summary=FILE".into()),
        }
    }
}

/// Writes the reports that were asked for. `aside`: standard output has another document.
///
/// # Errors
/// A file cannot be written; the rest is written all the same.
pub(super) fn write(
    wanted: &[Wanted],
    emitted: &[EmitReport],
    project: &Project,
    aside: bool,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let mut reports = Vec::new();
    emitted.iter().for_each(|report| flatten(report, &mut reports));
    let mut first = Ok(());
    for wanted in wanted {
        let written = match wanted {
            Wanted::JUnit(path) => replace(path, &junit(&reports), terminal),
            Wanted::Sarif(path) => replace(path, &format!("{:#}\n", sarif(&reports, project)), terminal),
            Wanted::Summary(path) => append(path.clone(), &summary(&reports), terminal),
            Wanted::Github => {
                terminal.resume_commands();
                for line in workflow_commands(&reports, project) {
                    if aside { terminal.aside(&line) } else { terminal.line(&line) }
                }
                Ok(())
            }
        };
        first = first.and(written);
    }
    first
}

/// Writes into the reports that were asked for that the command failed before it had a result: what an earlier run left there
/// would pass for this one's.
pub(super) fn write_failure(wanted: &[Wanted], failure: &CliError, aside: bool, terminal: &mut Terminal) {
    let message = one_line(&failure.message);
    for wanted in wanted {
        let written = match wanted {
            Wanted::JUnit(path) => {
                let mut suite = TestSuite::new("knockon");
                suite.add_test_case(TestCase::new("knockon", error_case("error", &xml(&message))));
                let mut document = Report::new("knockon");
                document.add_test_suite(suite);
                // Writing into memory cannot fail.
                replace(path, &document.to_string().unwrap_or_default(), terminal)
            }
            Wanted::Sarif(path) => {
                let result = json!({ "ruleId": "knockon", "level": "error", "message": { "text": message } });
                let document = scanning::sarif(["knockon"].into_iter(), vec![result]);
                replace(path, &format!("{document:#}\n"), terminal)
            }
            Wanted::Summary(path) => {
                append(path.clone(), &format!("**knockon failed**: {}\n\n", cell(&message)), terminal)
            }
            Wanted::Github => {
                terminal.resume_commands();
                let line = scanning::workflow_command("error", None, &[], "knockon", &message);
                if aside {
                    terminal.aside(&line)
                } else {
                    terminal.line(&line)
                }
                Ok(())
            }
        };
        if let Err(error) = written {
            terminal.warning(&error.message);
        }
    }
}

impl Wanted {
    /// Whether it is a document on standard output.
    pub(super) fn is_on_stdout(&self) -> bool {
        match self {
            Wanted::JUnit(path) | Wanted::Sarif(path) | Wanted::Summary(Some(path)) => path == Path::new("-"),
            Wanted::Summary(None) | Wanted::Github => false,
        }
    }
}

/// That every report has a place, before hooks are run for it. `taken`: standard output has another document.
///
/// # Errors
/// A summary has none, or two documents would go to standard output.
pub(super) fn check(wanted: &[Wanted], taken: bool) -> Result<(), CliError> {
    if wanted.iter().filter(|wanted| wanted.is_on_stdout()).count() + usize::from(taken) > 1 {
        let error = CliError::usage("standard output holds one document: `--report …=-` cannot be given with another");
        return Err(error.hint("write one of them to a file"));
    }
    wanted.iter().try_for_each(|wanted| match wanted {
        Wanted::Summary(Some(path)) | Wanted::JUnit(path) | Wanted::Sarif(path) => output::check(path),
        Wanted::Summary(None) => summary_file(None).and_then(|path| output::check(&path)),
        Wanted::Github => Ok(()),
    })
}

/// A report and those of the events that followed from it.
fn flatten<'a>(report: &'a EmitReport, all: &mut Vec<&'a EmitReport>) {
    all.push(report);
    report.followed.iter().for_each(|report| flatten(report, all));
}

fn replace(path: &Path, text: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    let written = match path == Path::new("-") {
        true => terminal.document(text),
        false => output::open(path, false).and_then(|mut file| file.write_all(text.as_bytes())),
    };
    written.map_err(|error| CliError::io(format!("the report {}", path.display()), &error))
}

fn summary_file(path: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let path = path.or_else(|| std::env::var_os(SUMMARY_VARIABLE).map(PathBuf::from));
    path.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
        CliError::usage(format!("`--report summary` needs a file: {SUMMARY_VARIABLE} is not set"))
            .hint("write `--report summary=FILE`")
    })
}

fn append(path: Option<PathBuf>, text: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    let path = summary_file(path)?;
    let written = match path == Path::new("-") {
        true => terminal.document(text),
        false => output::open(&path, true).and_then(|mut file| file.write_all(text.as_bytes())),
    };
    written.map_err(|error| CliError::io(format!("the summary {}", path.display()), &error))
}

fn hooks<'a>(reports: &[&'a EmitReport]) -> impl Iterator<Item = &'a HookReport> {
    reports.iter().flat_map(|report| report.hooks()).collect::<Vec<_>>().into_iter()
}

fn annotations(hook: &HookReport) -> &[Annotation] {
    hook.outcome.answer.as_ref().map_or(&[], |answer| answer.annotations.as_slice())
}

/// Something that should have run or decided and did not, and that is no hook of the configuration as it is now.
struct Missed {
    name: String,
    why: &'static str,
    message: String,
}

/// What should have run and did not, besides the hooks that matched: those of files that cannot be read, guards that were
/// trusted, the content that was reviewed.
fn missed_elsewhere(report: &EmitReport) -> Vec<Missed> {
    let files = report.problems.iter().filter(|problem| problem.is_of_whole_file()).map(|problem| Missed {
        name: problem.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        why: NotRun::InvalidConfig.as_str(),
        message: match problem.disables_file() {
            true => format!("no hook of this file ran: {problem}"),
            false => format!("hooks that it inherits did not run: {problem}"),
        },
    });
    let is_named = |name: &str| report.hooks().iter().any(|hook| hook.name == name && hook.outcome.is_missed());
    let guards = report.guards.iter().filter(|guard| !is_named(&guard.name)).map(|guard| Missed {
        name: guard.name.clone(),
        why: NotRun::Untrusted.as_str(),
        message: format!("the guard did not run: {}", guard.why),
    });
    let unreviewed = report.unreviewed.iter().map(|why| Missed {
        name: "reviewed content".into(),
        why: match why {
            Unreviewed::Invalid(_) => NotRun::InvalidConfig.as_str(),
            Unreviewed::Untrusted(_) => NotRun::Untrusted.as_str(),
        },
        message: why.to_string(),
    });
    let unread =
        report.problems.iter().filter(|problem| problem.code == Diagnostic::NOT_INCLUDED).map(|problem| Missed {
            name: problem.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            why: NotRun::Untrusted.as_str(),
            message: problem.to_string(),
        });
    files.chain(unread).chain(guards).chain(unreviewed).collect()
}

fn error_case(why: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(message).set_type(why);
    status
}

fn junit(reports: &[&EmitReport]) -> String {
    let mut document = Report::new("knockon");
    for report in reports {
        let Some(event) = &report.event else { continue };
        let mut suite = TestSuite::new(format!("{} {}", event.kind(), event.id()));
        for hook in report.hooks() {
            let outcome = &hook.outcome;
            let message = xml(&outcome.summary());
            let status = match outcome.status {
                // What should have run and did not is never green.
                _ if outcome.is_missed() => {
                    let why = outcome.not_run.map_or(outcome.status.as_str(), NotRun::as_str);
                    error_case(why, &message)
                }
                Status::Success => TestCaseStatus::success(),
                Status::Skipped | Status::BlockedUntrusted | Status::Disabled | Status::Invalid | Status::Detached => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(message);
                    status
                }
                Status::Failed | Status::Timeout | Status::Error | Status::Interrupted => {
                    let kind = match outcome.status {
                        Status::Error => NonSuccessKind::Error,
                        _ => NonSuccessKind::Failure,
                    };
                    let mut status = TestCaseStatus::non_success(kind);
                    status.set_message(message).set_type(outcome.status.as_str());
                    status
                }
            };
            let mut case = TestCase::new(hook.name.as_str(), status);
            case.set_classname(event.kind().as_str()).set_time(outcome.duration);
            if outcome.stdout.bytes > 0 {
                case.set_system_out(xml(&outcome.stdout.text()));
            }
            if outcome.stderr.bytes > 0 {
                case.set_system_err(xml(&outcome.stderr.text()));
            }
            suite.add_test_case(case);
        }
        for missed in missed_elsewhere(report) {
            let mut case = TestCase::new(xml(&missed.name), error_case(missed.why, &xml(&missed.message)));
            case.set_classname(event.kind().as_str());
            suite.add_test_case(case);
        }
        document.add_test_suite(suite);
    }
    // Writing into memory cannot fail.
    document.to_string().unwrap_or_default()
}

/// Without the two characters that the library leaves in and XML 1.0 does not have.
fn xml(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

fn sarif(reports: &[&EmitReport], project: &Project) -> Value {
    let mut results = Vec::new();
    for hook in hooks(reports) {
        for annotation in annotations(hook) {
            let level = if annotation.level == "notice" { "note" } else { annotation.level };
            let region = annotation.line.map(|line| json!({ "startLine": line }));
            let place = annotation.file.as_ref().map(|file| project.path_in_repository(Path::new(file)));
            let place = place.map(|path| scanning::location(&path, region));
            results.push(json!({
                "ruleId": hook.name,
                "level": level,
                "message": { "text": annotation.message },
                "locations": place.into_iter().collect::<Vec<_>>(),
            }));
        }
        if let Some(text) = trouble(hook) {
            let verb = if hook.outcome.is_missed() { "" } else { "failed: " };
            let text = format!("the hook `{}` {verb}{text}", hook.name);
            results.push(json!({ "ruleId": hook.name, "level": "error", "message": { "text": text } }));
        }
    }
    let missed: Vec<Missed> = reports.iter().flat_map(|report| missed_elsewhere(report)).collect();
    for Missed { name, message, .. } in &missed {
        results.push(json!({ "ruleId": name, "level": "error", "message": { "text": message } }));
    }
    let rules = hooks(reports).map(|hook| hook.name.as_str()).chain(missed.iter().map(|missed| missed.name.as_str()));
    scanning::sarif(rules, results)
}

/// What went wrong with a hook: that it failed, or should have run and did not.
fn trouble(hook: &HookReport) -> Option<String> {
    let outcome = &hook.outcome;
    match (outcome.is_missed(), outcome.status.is_failure()) {
        (true, _) => Some(format!("did not run: {}", outcome.summary())),
        (false, true) => Some(outcome.summary()),
        (false, false) => None,
    }
}

fn workflow_commands(reports: &[&EmitReport], project: &Project) -> Vec<String> {
    let mut lines = Vec::new();
    for hook in hooks(reports) {
        for annotation in annotations(hook) {
            let line: Vec<(&str, usize)> = annotation
                .line
                .and_then(|line| usize::try_from(line).ok())
                .map(|line| ("line", line))
                .into_iter()
                .collect();
            let file = annotation.file.as_ref().map(|file| project.path_in_repository(Path::new(file)));
            let file = file.map(|file| file.to_string_lossy().into_owned());
            lines.push(scanning::workflow_command(
                annotation.level,
                file.as_deref(),
                &line,
                &hook.name,
                &annotation.message,
            ));
        }
        if let Some(text) = trouble(hook) {
            lines.push(scanning::workflow_command("error", None, &[], &hook.name, &text));
        }
    }
    for missed in reports.iter().flat_map(|report| missed_elsewhere(report)) {
        lines.push(scanning::workflow_command("error", None, &[], &missed.name, &missed.message));
    }
    lines
}

/// Without what a cell of a Markdown table would act on.
fn cell(text: &str) -> String {
    let text = one_line(text).replace('\\', "\\\\").replace('|', "\\|");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "&#96;")
}

fn summary(reports: &[&EmitReport]) -> String {
    let mut out = String::new();
    for report in reports {
        let Some(event) = &report.event else { continue };
        out.push_str(&format!("### `{}`\n\n`{}`\n\n", event.kind(), event.id()));
        let missed = missed_elsewhere(report);
        for missed in &missed {
            out.push_str(&format!("**{}** ({}): {}\n\n", cell(&missed.name), missed.why, cell(&missed.message)));
        }
        if report.hooks().is_empty() {
            if missed.is_empty() {
                out.push_str("No hook matched.\n\n");
            }
            continue;
        }
        out.push_str("| hook | status | time | |\n|---|---|---|---|\n");
        for hook in report.hooks() {
            let time = hook.outcome.pid.map(|_| human(hook.outcome.duration)).unwrap_or_default();
            let why =
                if hook.outcome.status == Status::Success { String::new() } else { cell(&hook.outcome.summary()) };
            out.push_str(&format!("| {} | {} | {time} | {why} |\n", hook.name, hook.outcome.status));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_its_form_and_its_file() {
        assert_eq!("junit=a=b.xml".parse(), Ok(Wanted::JUnit("a=b.xml".into())));
        assert_eq!("summary".parse(), Ok(Wanted::Summary(None)));
        assert_eq!("github".parse(), Ok(Wanted::Github));
        for (text, told) in
            [("junit", "junit=FILE"), ("sarif=", "names no file"), ("github=x", "takes no file"), ("xml", "there are")]
        {
            assert!(text.parse::<Wanted>().unwrap_err().contains(told), "{text}");
        }
    }
}
