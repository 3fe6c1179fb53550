//! `knockon report`: the audit log as a page.

use super::audit::{failed, log_of};
use super::error::{CliError, Exit};
use super::options::{ProjectOptions, point_in_time};
use super::output;
use super::terminal::Terminal;
use crate::audit::Story;
use crate::project::UserFolders;
use crate::report::{BEGINNING_LENGTH, Report, headline, is_report, page};
use crate::sys::replace_private;
use crate::text::{count, one_line};
use crate::time::{Timestamp, read_since};
use clap::Args;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How long ago the report begins, unless told.
const LATELY: &str = "7d";

/// The most bytes of records that a page is made of: a log may be larger than the memory.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Write what happened as one HTML page that a browser opens: events and their hook runs in time, durations, failures
/// and their output. The page loads nothing and needs no network.
#[derive(Args, Debug)]
pub(super) struct ReportCommand {
    /// From when on: how long ago (30m, 2h, 7d, 2w), or a time in UTC (2026-11-21, 2026-11-21T10:00:00Z) [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    since: Option<Timestamp>,
    /// The file to write; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "knockon-report.html")]
    out: PathBuf,
    /// How many events are shown, the newest; all of them are counted
    #[arg(long, value_name = "N", default_value_t = 2000)]
    limit: usize,
    /// Count the events of `knockon test`, too
    #[arg(long)]
    include_tests: bool,
    /// Write over a file that is no report
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for ReportCommand {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let to_file = self.out != Path::new("-");
        if to_file {
            output::check(&self.out)?;
            may_write(&self.out, self.force)?;
        }
        let project = self.project.project(&UserFolders::of_this_process())?;
        let log = log_of(&self.project)?;
        let until = Timestamp::now();
        let since = self.since.or_else(|| read_since(LATELY, until)).unwrap_or(until);
        let (mut entries, mut bytes, mut left_out) = (VecDeque::new(), 0, 0);
        let unreadable = log
            .since(Some(since), |entry| {
                if self.include_tests || !entry.is_of_test() {
                    bytes += entry.line.len();
                    entries.push_back(entry);
                }
                while bytes > MOST_BYTES
                    && let Some(oldest) = entries.pop_front()
                {
                    bytes -= oldest.line.len();
                    left_out += 1;
                }
            })
            .map_err(|error| failed(&error))?;
        if left_out > 0 {
            let records = count(left_out, "record");
            terminal.warning(&format!(
                "the log is long: the oldest {records} since then are left out; name a later --since"
            ));
        }
        if unreadable > 0 {
            terminal.warning(&format!("{} of the log cannot be read", count(unreadable, "line")));
        }
        let name = project.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let report = Report { project: name, since, until, stories: Story::all_of(entries), limit: self.limit };
        let page = page(&report);
        if !to_file {
            terminal.line(page.trim_end());
            return Ok(Exit::Fine);
        }
        replace_private(&self.out, page.as_bytes()).map_err(|error| CliError::io(self.out.display(), &error))?;
        terminal.line(&format!("{}: {}", one_line(&self.out.to_string_lossy()), headline(&report)));
        Ok(Exit::Fine)
    }
}

/// Whether there may be written: nothing is there, or a report, or `force`. What is no plain file stays.
fn may_write(path: &Path, force: bool) -> Result<(), CliError> {
    let failed = |error: &io::Error| CliError::io(path.display(), error);
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| failed(&error))?,
    };
    if !found.is_file() {
        let hint = "name another file with --out, or write to standard output with --out -";
        return Err(CliError::usage(format!("{} is no plain file", path.display())).hint(hint));
    }
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING_LENGTH as u64).read_to_end(&mut beginning));
    match read {
        _ if force => Ok(()),
        Err(error) => Err(failed(&error)),
        Ok(_) if is_report(&beginning) => Ok(()),
        Ok(_) => Err(CliError::usage(format!("{} is there and is no report of knockon", path.display()))
            .hint("name another file with --out, or write over it with --force")),
    }
}
