//! Problems of a configuration, for people and for the tools that read them: JSON, SARIF, GitHub.

use super::scanning;
use super::snippet::snippet;
use super::terminal::{Paint, Terminal};
use crate::config::{Diagnostic, Related, Severity, Span};
use crate::project::Project;
use crate::text::one_line;
use serde_json::{Value, json};
use std::path::Path;

/// How problems are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people, with the lines they are about
    Human,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands, which GitHub shows at the lines they are about
    Github,
}

/// Gives the text of a file that a problem is in.
pub(super) type Texts<'a> = dyn Fn(&Path) -> Option<&'a [u8]> + 'a;

/// Shows a problem with the line it is about.
pub(super) fn show(problem: &Diagnostic, texts: &Texts<'_>, terminal: &mut Terminal) {
    let (word, paint) = match problem.severity {
        Severity::Error => ("error", Paint::Bad),
        Severity::Warning => ("warning", Paint::Warn),
    };
    let place = problem.span.map(|span| format!(":{}:{}", span.line, span.column)).unwrap_or_default();
    let place = terminal.paint(Paint::Bold, &format!("{}{place}", one_line(&problem.path.to_string_lossy())));
    let word = terminal.paint(paint, word);
    terminal.line(&format!("{place}: {word}: {}", one_line(&problem.message)));
    let shown = problem.span.zip(texts(&problem.path));
    if let Some(snippet) = shown.and_then(|(span, text)| snippet(text, span, problem.label.as_deref().unwrap_or(""))) {
        terminal.line(&snippet.line);
        let underline = terminal.paint(paint, &snippet.underline);
        terminal.line(underline.trim_end());
    }
    for related in &problem.related {
        show_related(related, texts, terminal);
    }
    if let Some(help) = &problem.help {
        terminal.line(&format!("  help: {}", one_line(help)));
    }
}

fn show_related(related: &Related, texts: &Texts<'_>, terminal: &mut Terminal) {
    let (path, span) = (one_line(&related.path.to_string_lossy()), related.span);
    terminal.line(&format!("  note: {path}:{}:{}: {}", span.line, span.column, one_line(&related.message)));
    if let Some(snippet) = texts(&related.path).and_then(|text| snippet(text, span, "")) {
        terminal.line(&snippet.line);
        terminal.line(snippet.underline.trim_end());
    }
}

/// A problem as data.
pub(super) fn document(problem: &Diagnostic, texts: Option<&Texts<'_>>) -> Value {
    let line = |path: &Path, line: usize| {
        let text = texts?(path)?;
        let line = text.split(|&byte| byte == b'\n').nth(line.checked_sub(1)?)?;
        Some(String::from_utf8_lossy(line).into_owned())
    };
    let related = problem.related.iter().map(|related| {
        json!({
            "path": related.path,
            "line": related.span.line,
            "column": related.span.column,
            "length": related.span.length,
            "message": related.message,
        })
    });
    json!({
        "severity": problem.severity.as_str(),
        "code": problem.code,
        "path": problem.path,
        "line": problem.span.map(|span| span.line),
        "column": problem.span.map(|span| span.column),
        "length": problem.span.map(|span| span.length),
        "message": problem.message,
        "label": problem.label,
        "help": problem.help,
        "source": problem.span.and_then(|span| line(&problem.path, span.line)),
        "related": related.collect::<Vec<_>>(),
    })
}

/// All problems as one SARIF run. Paths are those of the project's repository.
pub(super) fn sarif(problems: &[Diagnostic], project: &Project) -> Value {
    let place = |path: &Path, span: Option<Span>| {
        let region = span.map(|span| {
            let end = span.column + span.length.max(1);
            json!({ "startLine": span.line, "startColumn": span.column, "endColumn": end })
        });
        scanning::location(&project.path_in_repository(path), region)
    };
    let results = problems.iter().map(|problem| {
        let related = problem.related.iter().map(|related| {
            let mut location = place(&related.path, Some(related.span));
            location["message"] = json!({ "text": related.message });
            location
        });
        json!({
            "ruleId": problem.code,
            "level": problem.severity.as_str(),
            "message": { "text": message(problem) },
            "locations": [place(&problem.path, problem.span)],
            "relatedLocations": related.collect::<Vec<_>>(),
        })
    });
    scanning::sarif(problems.iter().map(|problem| &*problem.code), results.collect())
}

/// A problem as a workflow command of GitHub Actions.
pub(super) fn github(problem: &Diagnostic, project: &Project) -> String {
    let path = project.path_in_repository(&problem.path).to_string_lossy().into_owned();
    let place: Vec<(&str, usize)> = problem.span.map_or_else(Vec::new, |span| {
        let end = span.column + span.length.max(1) - 1;
        vec![("line", span.line), ("col", span.column), ("endColumn", end)]
    });
    scanning::workflow_command(problem.severity.as_str(), Some(&path), &place, &problem.code, &message(problem))
}

/// The problem and its help as one sentence.
fn message(problem: &Diagnostic) -> String {
    let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{}{help}", problem.message)
}
