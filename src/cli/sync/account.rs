//! Signing in to the team's server, and out.

use super::super::error::{CliError, Exit};
use super::super::terminal::Terminal;
use super::{failed, open};
use crate::store::Account;
use crate::sync::{CredentialError, CredentialStore, Credentials, ServerUrl, TokenFile, WIRE_VERSIONS};
use crate::sys::StandardStream;
use crate::text::{count, one_line};
use crate::time::Timestamp;
use clap::Args;
use std::path::{Path, PathBuf};

/// Sign in: tokens come from a file that is yours alone, or from standard input; never from the command line.
#[derive(Args, Debug)]
pub(super) struct Login {
    /// The server, such as `https://team.example`; `http://` for this machine only
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The team's short name; without it events are queued, and not sent
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// A file with {"access": "…", "refresh": "…"} that nobody else can read [default: standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send what is queued for another server or team to this one; without it that stays until you sign in there again
    #[arg(long)]
    take_queued: bool,
    /// The version of the wire that the server speaks [default: 1.0]
    #[arg(long, value_name = "VERSION", value_parser = WIRE_VERSIONS)]
    wire: Option<String>,
}

/// What credentials cannot do for us, as a command ends.
pub(super) fn unusable(error: CredentialError) -> CliError {
    let exit = if error.is_signed_out() { Exit::NotEnabled } else { Exit::Io };
    CliError::new(exit, error.to_string())
}

impl Login {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (user, mut queue) = open()?;
        let store = CredentialStore::of(&user).map_err(unusable)?;
        let known = store.read().ok();
        let server = match &self.server {
            Some(server) => {
                Some(ServerUrl::parse(server).map_err(|error| CliError::usage(format!("--server: {error}")))?)
            }
            None => None,
        };
        if let Some(team) = &self.team
            && !is_slug(team)
        {
            return Err(CliError::usage(format!("`{}` is no team's short name", one_line(team))));
        }
        // Who is signed in may name the team, or another version of the wire, without new tokens. Whoever names the server
        // brings some.
        let renamed = known
            .clone()
            .filter(|_| self.token_file.is_none() && server.is_none() && (self.team.is_some() || self.wire.is_some()));
        let credentials = match renamed {
            Some(known) => Credentials {
                team: self.team.clone().or(known.team),
                wire_version: self.wire.clone().unwrap_or(known.wire_version),
                ..known
            },
            None => {
                let server = server.or_else(|| known.map(|known| known.server));
                let server =
                    server.ok_or_else(|| CliError::usage("a server is missing: --server https://team.example"))?;
                let TokenFile { access, refresh } = self.tokens()?;
                let wire_version = self.wire.unwrap_or_else(|| WIRE_VERSIONS[0].to_owned());
                Credentials { server, team: self.team, access, refresh, wire_version, signed_in_at: Timestamp::now() }
            }
        };
        store.save(&credentials).map_err(unusable)?;
        let account = Account { server: Some(credentials.server.to_string()), team: credentials.team.clone() };
        queue.sign_in(&account).map_err(failed)?;
        if self.take_queued {
            let taken = queue.take_queued().map_err(failed)?;
            terminal.line(&format!("{} in the queue: all go to this server and team", count(taken, "event")));
        }
        let elsewhere = queue.standing().map_err(failed)?.elsewhere;
        if elsewhere > 0 {
            let help = "they stay until you sign in there again, or with --take-queued";
            let events = count(usize::try_from(elsewhere).unwrap_or(usize::MAX), "event");
            terminal.note(&format!("{events} in the queue for another server: {help}"));
        }
        match &credentials.team {
            Some(team) => terminal.line(&format!("signed in to {} as team {}", credentials.server, one_line(team))),
            None => {
                terminal.line(&format!("signed in to {}", credentials.server));
                terminal.note("nothing is sent until the team is known: `knockon sync login --team SLUG`");
            }
        }
        if queue.agreed().map_err(failed)?.is_empty() {
            terminal.note("no project takes part yet: run `knockon sync enable` in each that should");
        }
        Ok(Exit::Fine)
    }

    fn tokens(&self) -> Result<TokenFile, CliError> {
        let read = match &self.token_file {
            Some(path) if path != Path::new("-") => TokenFile::read(path),
            _ => TokenFile::from_reader(StandardStream::input()),
        };
        read.map_err(|error| CliError::usage(error.to_string()))
    }
}

/// Whether a text can be a team's short name: what every server takes in an address.
fn is_slug(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 100 && text.bytes().all(allowed)
}

pub(super) fn logout(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let (user, mut queue) = open()?;
    let was = CredentialStore::of(&user).and_then(|store| store.remove()).map_err(unusable)?;
    let team = queue.standing().map_err(failed)?.account.team;
    // Events that are made from now on still belong to the team.
    queue.sign_in(&Account { server: None, team }).map_err(failed)?;
    terminal.line(if was {
        "signed out; queued events stay, and are sent when you sign in again"
    } else {
        "nobody was signed in"
    });
    Ok(Exit::Fine)
}
