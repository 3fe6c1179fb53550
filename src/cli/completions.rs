//! `knockon completions`: for the user's shell.

use super::error::{CliError, Exit};
use super::terminal::Terminal;
use clap::Args;
use clap_complete::Shell;

/// Print completions for a shell, made from the commands as they are.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl super::Command for Completions {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "knockon", &mut script);
        terminal.line(String::from_utf8_lossy(&script).trim_end());
        Ok(Exit::Fine)
    }
}
