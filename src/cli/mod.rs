//! The command line: one file a command, one table of all of them.
//!
//! Each command's arguments are defined only when it is the one that was called: building all of them
//! costs a cold start more than parsing does; `quick` does without any for the commands that are called on every
//! step. `options` has what commands share, `terminal` is the only
//! place that prints, `error` the only one that knows exit codes.

mod again;
mod artifact;
mod audit;
mod clock;
mod completions;
mod config;
mod diagnostics;
mod doctor;
mod emit;
mod ending;
mod error;
mod events;
mod explain;
mod graph;
mod init;
mod kitty;
mod list;
mod live;
mod on;
mod options;
mod output;
mod preview;
mod quick;
mod report;
mod results;
mod run;
mod scanning;
mod schema;
mod series;
mod snippet;
mod standing;
mod stats;
mod story;
mod sync;
mod terminal;
mod test;
mod trust;
mod validate;
mod wp;

use clap::{ArgMatches, Args};
use error::{CliError, Exit};
use std::ffi::OsString;
use terminal::Terminal;

/// A command: its arguments, and what it does with them.
trait Command: Args {
    fn run(self, terminal: &mut Terminal) -> Ending;

    /// The arguments, read without defining them for clap; nothing when that is not worth it, or clap has
    /// something to say about them.
    fn quick(_arguments: &[OsString]) -> Option<Self> {
        None
    }
}

/// How a command ends.
type Ending = Result<Exit, CliError>;

/// A row of the table of commands.
struct Row {
    name: &'static str,
    about: &'static str,
    define: fn(clap::Command) -> clap::Command,
    run: fn(&ArgMatches, &mut Terminal) -> Ending,
    run_quickly: fn(&[OsString], &mut Terminal) -> Option<Ending>,
}

const fn row<C: Command>(name: &'static str, about: &'static str) -> Row {
    Row {
        name,
        about,
        define: C::augment_args,
        run: |matches, terminal| {
            let command = C::from_arg_matches(matches).map_err(CliError::from_clap)?;
            command.run(terminal)
        },
        run_quickly: |arguments, terminal| Some(C::quick(arguments)?.run(terminal)),
    }
}

/// Every command, in the order `--help` shows them.
const COMMANDS: &[Row] = &[
    row::<emit::Emit>("emit", "Emit an event and run the hooks it matches"),
    row::<run::Run>("run", "Emit an event given as JSON: an argument, a file or standard input"),
    row::<wp::Wp>("wp", "Emit an event about a work package: its status, an agent, a note, a dependency"),
    row::<wp::Feature>("feature", "Emit an event about a feature: created, completed"),
    row::<wp::ErrorCommand>("error", "Emit an event about an error"),
    row::<list::List>("list", "List the hooks"),
    row::<explain::Explain>("explain", "Say of every hook why it matches an event or does not"),
    row::<test::Test>("test", "Run the fixtures of hooks, or one hook with a made-up event"),
    row::<validate::Validate>("validate", "Check hooks.yaml and everything it names"),
    row::<trust::Trust>("trust", "Review the project's hooks and allow exactly this content to run"),
    row::<trust::Untrust>("untrust", "Take the trust in the project's hooks back"),
    row::<audit::Audit>("audit", "Show what happened: the last records of the audit log"),
    row::<stats::Stats>("stats", "Show how hooks fared: how often, how well, how long, and what they cost"),
    row::<doctor::Doctor>("doctor", "Check that everything is as it should be, and say what to do"),
    row::<report::ReportCommand>("report", "Write what happened as one HTML page"),
    row::<again::Retry>("retry", "Run the hooks of an event again that did not come to a good end"),
    row::<again::Replay>("replay", "Deliver events of the past to the hooks that they trigger now"),
    row::<again::Drain>("drain", "Carry out what was left behind in the background"),
    row::<kitty::Kitty>("kitty", "Move work packages of spec-kitty, and emit what happens to them"),
    row::<on::On>("on", "Write a hook in one line: knockon on task.completed 'make test'"),
    row::<config::Config>("config", "Show the merged configuration, or write hooks as event patterns"),
    row::<graph::GraphCommand>("graph", "Draw which events run which hooks"),
    row::<sync::Sync>("sync", "Bring work-package events to your team's server"),
    row::<clock::Clock>("clock", "Show the Lamport clock, or exchange it with spec-kitty"),
    row::<init::Init>("init", "Write a commented hooks.yaml and example scripts"),
    row::<events::Events>("events", "List the known event types"),
    row::<schema::Schema>("schema", "Print a JSON Schema"),
    row::<completions::Completions>("completions", "Print shell completions"),
];

/// The whole command line, as clap sees it.
pub fn command() -> clap::Command {
    command_with(COMMANDS)
}

fn command_with(rows: &[Row]) -> clap::Command {
    let rows = rows.iter().map(|row| clap::Command::new(row.name).about(row.about).defer(row.define));
    clap::Command::new("knockon")
        .about("Runs your own scripts when something happened: one event in, every run audited")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(error::exit_code_table())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(rows)
}

/// The names of all commands.
pub fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|row| row.name)
}

/// Runs a command line, the program's name first. Returns the exit code.
pub fn main(arguments: &[OsString]) -> u8 {
    crate::sys::ignore_file_size_signal();
    let mut terminal = Terminal::of_this_process();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(arguments, &mut terminal)));
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            terminal.error(&error);
            error.exit
        }
        Err(_) => {
            terminal.note("this is a bug in knockon; please report it with the lines above");
            Exit::Bug
        }
    };
    terminal.finish(exit).code()
}

fn dispatch(arguments: &[OsString], terminal: &mut Terminal) -> Ending {
    // `flowspec hooks emit …` and the like run unchanged where `flowspec` is a link to this program.
    let unaliased: Vec<OsString>;
    let arguments = match arguments {
        [program, alias, rest @ ..] if alias == "hooks" && !rest.is_empty() => {
            unaliased = std::iter::once(program).chain(rest).cloned().collect();
            &unaliased
        }
        arguments => arguments,
    };
    // A command that is called by its name needs no other one to be defined.
    let called = arguments.get(1);
    let at = COMMANDS.iter().position(|row| called.is_some_and(|called| called == row.name));
    let ran = at.and_then(|at| (COMMANDS[at].run_quickly)(&arguments[2..], terminal));
    if let Some(ended) = ran {
        return ended;
    }
    let rows = at.map_or(COMMANDS, |at| &COMMANDS[at..=at]);
    let matches = match command_with(rows).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return terminal.clap(&error),
    };
    let Some((name, arguments)) = matches.subcommand() else { return Err(CliError::usage("a command is missing")) };
    match COMMANDS.iter().find(|row| row.name == name) {
        Some(row) => (row.run)(arguments, terminal),
        None => Err(CliError::usage(format!("`{name}` is no command"))),
    }
}
