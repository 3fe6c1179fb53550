//! `knockon clock`: the Lamport clock, and the node it belongs to.

use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::event::NodeId;
use crate::project::UserFolders;
use crate::store::{Clock as Time, ImportError, SyncQueue};
use crate::sys::StandardStream;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of a clock's file.
const MOST_BYTES: u64 = 64 * 1024;

/// Show the Lamport clock that puts events of several machines in order, or exchange it with spec-kitty.
#[derive(Args, Debug)]
pub(super) struct Clock {
    #[command(subcommand)]
    what: Option<What>,
    /// Print the clock as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Show the clock, its node, and when it ticked last
    Show {
        /// Print the clock as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print the clock as spec-kitty keeps it in clock.json
    Export,
    /// Take over spec-kitty's clock.json, node and all; the clock never runs backwards
    Import {
        /// The file, - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Take the node id that spec-kitty derives from the names of this machine and its user, to match a fleet
    Derive,
}

impl super::Command for Clock {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let mut queue = SyncQueue::open(&user).map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        let failed = |error: crate::store::StoreError| CliError::new(Exit::Io, error.to_string());
        match self.what.unwrap_or(What::Show { json: false }) {
            What::Show { json } => {
                let clock = queue.clock().map_err(failed)?;
                show(&clock, json || self.json, terminal);
            }
            What::Export => terminal.line(&queue.export_clock().map_err(failed)?),
            What::Import { file } => {
                let (origin, text) = read(&file)?;
                let clock = queue.import_clock(&text).map_err(|error| match error {
                    ImportError::Store(error) => failed(error),
                    error => CliError::usage(format!("{origin}: {error}")).hint("nothing was changed"),
                })?;
                show(&clock, self.json, terminal);
            }
            What::Derive => {
                queue.become_node(&derived()?, 0).map_err(failed)?;
                show(&queue.clock().map_err(failed)?, self.json, terminal);
            }
        }
        Ok(Exit::Fine)
    }
}

fn show(clock: &Time, json: bool, terminal: &mut Terminal) {
    let ticked = clock.updated.as_millis() > 0;
    if json {
        let updated = ticked.then(|| clock.updated.to_string());
        return terminal.json(&json!({ "value": clock.value, "node_id": clock.node.as_str(), "updated_at": updated }));
    }
    let when = if ticked { format!("since {}", clock.updated) } else { "it never ticked".into() };
    terminal.line(&format!("{}  node {}  {when}", clock.value, clock.node));
}

/// What spec-kitty makes of `hostname:username`.
fn derived() -> Result<NodeId, CliError> {
    let named = |name: &str| std::env::var(name).ok().filter(|name| !name.is_empty());
    // In the order of Python's `getpass.getuser`.
    let user = ["LOGNAME", "USER", "LNAME", "USERNAME"].into_iter().find_map(named);
    let user = user.ok_or_else(|| CliError::usage("nobody says who the user is: set USER"))?;
    Ok(NodeId::derived(&crate::sys::host_name(), &user))
}

fn read(file: &Path) -> Result<(String, Vec<u8>), CliError> {
    let mut text = Vec::new();
    let mut take = |reader: &mut dyn Read| reader.take(MOST_BYTES).read_to_end(&mut text).map(drop);
    let (origin, read) = if file == Path::new("-") {
        ("standard input".to_owned(), take(&mut StandardStream::input()))
    } else {
        (file.display().to_string(), File::open(file).and_then(|mut file| take(&mut file)))
    };
    read.map_err(|error| CliError::usage(format!("{origin}: {error}")))?;
    Ok((origin, text))
}
