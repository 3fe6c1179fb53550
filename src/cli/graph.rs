//! `knockon graph`: the configuration as a picture.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, require_sound};
use super::output;
use super::terminal::Terminal;
use crate::config::Hook;
use crate::graph::{EventEdge, Graph, HookNode};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;

/// Draw which events run which hooks, and which hooks wait for which: as Mermaid text, or as an SVG file
/// that a browser opens.
#[derive(Args, Debug)]
pub(super) struct GraphCommand {
    /// What to write
    #[arg(long, value_enum, default_value = "mermaid", value_name = "FORMAT")]
    format: GraphFormat,
    /// Write to this file; a name that ends in .svg chooses the format
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GraphFormat {
    /// Text that GitHub and many editors draw
    Mermaid,
    /// A picture
    Svg,
}

impl super::Command for GraphCommand {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        self.output.as_deref().map_or(Ok(()), output::check)?;
        let emitter = self.project.reader()?;
        require_sound(&emitter, terminal)?;
        let project = emitter.project().root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hooks = emitter.loaded().hooks.iter().map(|loaded| node(&loaded.hook)).collect();
        let graph = Graph { title: format!("Hooks of {project}"), hooks };
        let named_svg = self.output.as_ref().is_some_and(|path| path.extension().is_some_and(|end| end == "svg"));
        let text = if named_svg || self.format == GraphFormat::Svg { graph.svg() } else { graph.mermaid() };
        match &self.output {
            None => text.lines().for_each(|line| terminal.line(line)),
            Some(path) => output::open(path, false)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| CliError::io(path.display(), &error))?,
        }
        Ok(Exit::Fine)
    }
}

fn node(hook: &Hook) -> HookNode {
    let mut events: Vec<EventEdge> = Vec::new();
    for entry in &hook.events {
        let filtered = !entry.filter.is_empty() || !entry.files.is_empty();
        match events.iter_mut().find(|edge| edge.pattern == entry.pattern.name) {
            // One line for one event: without a filter where one of the entries has none.
            Some(edge) => edge.filtered &= filtered,
            None => events.push(EventEdge { pattern: entry.pattern.name.clone(), filtered }),
        }
    }
    HookNode {
        name: hook.name.to_string(),
        action: format!("{} {}", hook.action.key(), hook.action.summary()),
        enabled: hook.enabled,
        stops: hook.fail_mode == crate::config::FailMode::Stop,
        events,
        after: hook.after.iter().map(|(name, _)| name.to_string()).collect(),
    }
}
