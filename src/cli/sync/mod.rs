//! `knockon sync`: from the queue to the team's server.
//!
//! `account` signs in and out, `consent` says which projects take part, `now` empties the queue, `status` tells how
//! everything stands, `letters` has what was refused. `run` is the service that does it all the time.

mod account;
mod consent;
mod letters;
mod now;
mod serve;
mod status;

use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::project::UserFolders;
use crate::store::{self, StoreError, SyncQueue};
use clap::{Args, Subcommand};

/// Bring work-package events to your team's server. Nothing is sent for a project before `knockon sync enable`.
#[derive(Args, Debug)]
pub(super) struct Sync {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Sign in to the team's server, or name the team
    Login(account::Login),
    /// Sign out: the tokens are removed, queued events stay
    Logout,
    /// Agree that the events of this project are sent
    Enable(consent::Enable),
    /// Take that back: nothing of this project is sent or queued any more
    Disable(consent::Disable),
    /// Send what is queued, and wait for it
    Now(now::Now),
    /// Say how everything stands: connection, queue, dead letters, last sync, clock
    Status(status::Status),
    /// Stay and send events as they are made, in the foreground
    Run(serve::Serve),
    /// List, retry, drop or export the events that the server will not take
    Dead(letters::Dead),
    /// Send what is queued, at most 30 seconds long and without a word: what an emit starts in the background
    #[command(hide = true)]
    Drain,
}

impl super::Command for Sync {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let before = store::damaged(&user);
        let ended = self.what.run(terminal);
        for aside in store::damaged(&user).iter().filter(|aside| !before.contains(aside)) {
            let path = aside.display();
            terminal.warning(&format!(
                "the store was damaged and begins anew; what could be read of it was kept, and the rest is in {path}"
            ));
        }
        ended
    }
}

impl What {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        match self {
            What::Login(login) => login.run(terminal),
            What::Logout => account::logout(terminal),
            What::Enable(enable) => enable.run(terminal),
            What::Disable(disable) => disable.run(terminal),
            What::Now(now) => now.run(terminal),
            What::Status(status) => status.run(terminal),
            What::Run(serve) => serve.run(terminal),
            What::Dead(dead) => dead.run(terminal),
            What::Drain => now::drain(),
        }
    }
}

/// The queue of the user of this process.
fn open() -> Result<(UserFolders, SyncQueue), CliError> {
    let user = UserFolders::of_this_process();
    let queue = SyncQueue::open(&user).map_err(failed)?;
    Ok((user, queue))
}

fn failed(error: StoreError) -> CliError {
    CliError::new(Exit::Io, error.to_string())
}
