//! The service in the foreground.

use super::super::error::{CliError, Exit};
use super::super::terminal::Terminal;
use super::now::until_signal;
use crate::project::UserFolders;
use crate::sync::serve;
use crate::text::one_line;
use crate::time::Timestamp;
use clap::Args;

/// Stay and send events as they are made; Ctrl-C ends it within five seconds. Where one is there already, this one
/// stands by.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

impl Serve {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let quiet = self.quiet;
        let (ended, signal) = until_signal(None, |stop| {
            serve(&user, stop, &mut |text| {
                if !quiet {
                    terminal.line_now(&format!("{}  {}", Timestamp::now(), one_line(text)));
                }
            })
        });
        terminal.end_live();
        match ended {
            Err(error) => Err(CliError::new(Exit::Io, error.to_string())),
            // Whoever stops it wanted it to end.
            Ok(()) => Ok(signal.map_or(Exit::Fine, |_| Exit::Fine)),
        }
    }
}
