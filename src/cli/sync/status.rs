//! How everything stands.

use super::super::error::{CliError, Exit};
use super::super::terminal::{Terminal, columns};
use super::{failed, open};
use crate::config::UserSettings;
use crate::project::{Project, UserFolders};
use crate::store::{Consent, Link, Standing, service_is_running};
use crate::text::{count, one_line};
use crate::time::{Timestamp, human};
use clap::Args;
use serde_json::json;
use std::time::Duration;

/// Say how everything stands. Nothing is asked over the network.
#[derive(Args, Debug)]
pub(super) struct Status {
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (user, queue) = open()?;
        for problem in UserSettings::load(&user).1 {
            terminal.problem(&problem);
        }
        let standing = queue.standing().map_err(failed)?;
        let service = service_is_running(&user);
        let link = Link::now(standing.link, &standing.account, service);
        let project = Project::discover_here(user.home.as_deref()).ok();
        let consent = match &project {
            Some(project) => Some(queue.consent(&project.identity()).map_err(failed)?),
            None => None,
        };
        if self.json {
            document(&standing, link, service, project.as_ref().zip(consent.as_ref()), terminal);
        } else {
            for_people(&standing, link, service, project.as_ref().zip(consent.as_ref()), &user, terminal);
        }
        Ok(Exit::Fine)
    }
}

fn document(
    standing: &Standing,
    link: Link,
    service: bool,
    project: Option<(&Project, &Consent)>,
    terminal: &mut Terminal,
) {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let projects = standing.projects.iter();
    let projects: Vec<_> =
        projects.map(|(root, queued)| json!({ "project": root.to_string_lossy(), "queued": queued })).collect();
    terminal.json(&json!({
        "connection": link.as_str(),
        "service": service,
        "server": standing.account.server,
        "team": standing.account.team,
        "queued": standing.depth,
        "held_back": standing.held_back,
        "for_another_server": standing.elsewhere,
        "oldest": time(standing.oldest),
        "dead_letters": standing.dead,
        "refused_because_full": standing.refused,
        "quarantined": standing.quarantined,
        "last_sync": time(standing.taken),
        "last_try": time(standing.tried),
        "last_error": standing.trouble,
        "clock": standing.clock.value,
        "node_id": standing.clock.node.as_str(),
        "project": project.map(|(project, consent)| json!({
            "root": project.root_text(),
            "sync": consent.as_str(),
            "refused_by": match consent {
                Consent::TakenBack(by) => Some(by),
                _ => None,
            },
        })),
        "projects": projects,
    }));
}

fn ago(time: Timestamp) -> String {
    let millis = Timestamp::now().as_millis().saturating_sub(time.as_millis());
    let ago = match millis {
        0..60_000 => human(Duration::from_millis(millis)),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        3_600_000..172_800_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} days", millis / 86_400_000),
    };
    format!("{time}, {ago} ago")
}

fn for_people(
    standing: &Standing,
    link: Link,
    service: bool,
    project: Option<(&Project, &Consent)>,
    user: &UserFolders,
    terminal: &mut Terminal,
) {
    let account = &standing.account;
    let signed_in = match (&account.server, &account.team) {
        (None, _) => "nobody; `knockon sync login` signs in".to_owned(),
        (Some(server), None) => format!("{}, team not known: `knockon sync login --team SLUG`", one_line(server)),
        (Some(server), Some(team)) => format!("{}, team {}", one_line(server), one_line(team)),
    };
    let mut queue = count(usize::try_from(standing.depth).unwrap_or(usize::MAX), "event");
    if let Some(oldest) = standing.oldest {
        queue.push_str(&format!(", the oldest {}", ago(oldest)));
    }
    if standing.held_back > 0 {
        queue.push_str(&format!("; {} of projects that are not enabled", standing.held_back));
    }
    if standing.elsewhere > 0 {
        queue.push_str(&format!("; {} for another server, see `sync login --take-queued`", standing.elsewhere));
    }
    let mut rows = vec![
        ("connection", format!("[{link}]{}", if service { ", `sync run` is there" } else { "" })),
        ("signed in", signed_in),
    ];
    if let Some((project, consent)) = project {
        let said = match consent {
            Consent::Agreed => "enabled".to_owned(),
            Consent::Undecided => "not enabled: events are queued, and not sent; `knockon sync enable`".to_owned(),
            Consent::Refused => "disabled: events are not queued".to_owned(),
            Consent::TakenBack(by) => format!("refused by {by}: events are not queued"),
        };
        rows.push(("project", one_line(&format!("{}, {said}", project.root().display()))));
    }
    rows.push(("queue", queue));
    if let Some(most) = UserSettings::load(user).0.sync.max_events {
        let refused = standing.refused;
        rows.push(("limit", format!("{most} events (`sync.max_events`); {refused} were refused for it")));
    }
    let dead = match standing.dead {
        0 => "none".to_owned(),
        dead => format!("{dead}; `knockon sync dead list` shows them"),
    };
    rows.push(("dead letters", dead));
    rows.push(("last sync", standing.taken.map_or_else(|| "never".into(), ago)));
    if let (Some(tried), Some(trouble)) = (standing.tried, &standing.trouble) {
        rows.push(("last error", one_line(&format!("{trouble} ({})", ago(tried)))));
    }
    if standing.quarantined > 0 {
        let times = standing.quarantined;
        rows.push((
            "quarantined",
            format!("{times} times a peer told a time that cannot be; the clock did not follow"),
        ));
    }
    rows.push(("clock", format!("{}, node {}", standing.clock.value, standing.clock.node)));
    let cells: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    for line in columns(&cells) {
        terminal.line(&line);
    }
}
