//! `knockon wp`, `knockon feature`, `knockon error`: work-package events, a flag for each field of the payload.
//!
//! Values go as they are given: what breaks a rule is the emitter's to tell, with its place, and the caller goes on.

use super::emit::EmitOptions;
use super::error::{CliError, Exit};
use super::quick::{Argument, Quick};
use super::terminal::Terminal;
use crate::event::EventId;
use crate::time::Timestamp;
use crate::work_package::{Kind, draft_of};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::ffi::OsString;

/// Emit an event about a work package.
#[derive(Args, Debug)]
pub(super) struct Wp {
    #[command(subcommand)]
    what: OfWorkPackage,
}

/// Emit an event about a feature.
#[derive(Args, Debug)]
pub(super) struct Feature {
    #[command(subcommand)]
    what: OfFeature,
}

/// Emit an event about an error.
#[derive(Args, Debug)]
pub(super) struct ErrorCommand {
    #[command(subcommand)]
    what: OfError,
}

/// Where the event belongs, and how it is emitted.
#[derive(Args, Debug, Default)]
struct How {
    /// The event or action that caused it
    #[arg(long, value_name = "ULID", value_parser = ulid)]
    causation_id: Option<EventId>,
    /// What it and others belong to that reaches over several actions
    #[arg(long, value_name = "ULID", value_parser = ulid)]
    correlation_id: Option<EventId>,
    #[command(flatten)]
    emit: EmitOptions,
}

#[derive(Debug, Subcommand)]
enum OfWorkPackage {
    /// A work package moved to another lane
    StatusChanged {
        /// The work package, such as WP01
        #[arg(long, value_name = "ID")]
        wp_id: String,
        /// Where it stood: planned, doing, for_review or done
        #[arg(long = "from", visible_alias = "previous-status", value_name = "STATUS")]
        previous_status: String,
        /// Where it stands
        #[arg(long = "to", visible_alias = "new-status", value_name = "STATUS")]
        new_status: String,
        /// Who moved it
        #[arg(long, value_name = "NAME", default_value = USER)]
        changed_by: String,
        /// The feature it belongs to, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// A work package was added
    Created {
        /// The work package, such as WP01
        #[arg(long, value_name = "ID")]
        wp_id: String,
        /// Its title
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        title: String,
        /// The feature it belongs to, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: String,
        /// The work packages it waits for: WP01,WP02
        #[arg(long, value_name = "IDS", value_delimiter = ',')]
        dependencies: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// A work package was given to an agent
    Assigned {
        /// The work package, such as WP01
        #[arg(long, value_name = "ID")]
        wp_id: String,
        /// The agent, such as claude
        #[arg(long, value_name = "ID")]
        agent_id: String,
        /// What it is to do: implementation or review
        #[arg(long, value_name = "PHASE")]
        phase: String,
        /// How many reviews rejected it and agents gave it up before
        #[arg(long, value_name = "N", default_value_t = 0)]
        retry_count: u64,
        /// The feature it belongs to, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// A note was added to a work package
    HistoryAdded {
        /// The work package, such as WP01
        #[arg(long, value_name = "ID")]
        wp_id: String,
        /// What the note is: note, review, error or comment
        #[arg(long, value_name = "TYPE")]
        entry_type: String,
        /// The note
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        entry_content: String,
        /// Who wrote it
        #[arg(long, value_name = "NAME", default_value = USER)]
        author: String,
        /// The feature it belongs to, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// A work package no longer waits for another
    DependencyResolved {
        /// The work package that waited, such as WP02
        #[arg(long, value_name = "ID")]
        wp_id: String,
        /// The one it waited for, such as WP01
        #[arg(long, value_name = "ID")]
        dependency_wp_id: String,
        /// How that came to its end: completed, skipped or merged
        #[arg(long, value_name = "TYPE")]
        resolution_type: String,
        /// The feature both belong to, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Subcommand)]
enum OfFeature {
    /// A feature was cut into work packages
    Created {
        /// The feature, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: String,
        /// Its number, such as 001
        #[arg(long, value_name = "NUMBER")]
        feature_number: String,
        /// The branch it is going to be merged into
        #[arg(long, value_name = "BRANCH")]
        target_branch: String,
        /// How many work packages it has
        #[arg(long, value_name = "N")]
        wp_count: u64,
        /// When it was made [default: now]
        #[arg(long, value_name = "TIME")]
        created_at: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// All work packages of a feature are done
    Completed {
        /// The feature, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: String,
        /// How many work packages it has
        #[arg(long, value_name = "N")]
        total_wps: u64,
        /// When the last one was done [default: now]
        #[arg(long, value_name = "TIME")]
        completed_at: Option<String>,
        /// How long it took, in words
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        total_duration: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Subcommand)]
enum OfError {
    /// A command met an error
    Logged {
        /// What kind of error it is: validation, runtime, network, auth or unknown
        #[arg(long, value_name = "TYPE")]
        error_type: String,
        /// What it says
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        error_message: String,
        /// The work package it is about, such as WP01
        #[arg(long, value_name = "ID")]
        wp_id: Option<String>,
        /// Where in the program it happened
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        stack_trace: Option<String>,
        /// The agent that met it
        #[arg(long, value_name = "ID")]
        agent_id: Option<String>,
        /// The feature it is about, such as 001-user-auth
        #[arg(long, value_name = "SLUG")]
        feature_slug: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

/// A ULID, with or without the `evt_` of an event's id.
fn ulid(text: &str) -> Result<EventId, String> {
    let id: Result<EventId, _> = format!("evt_{}", text.strip_prefix("evt_").unwrap_or(text)).parse();
    id.ok().filter(EventId::is_ulid).ok_or_else(|| {
        let shown = crate::text::one_line(&crate::text::shorten(text, 60));
        format!("`{shown}` is no ULID: 26 characters of 0-9 and A-Z without I, L, O and U")
    })
}

/// A value that is given.
fn some(value: impl Into<Value>) -> Option<Value> {
    Some(value.into())
}

/// A point in time that was given, or now.
fn or_now(given: Option<String>) -> Option<Value> {
    some(given.unwrap_or_else(|| Timestamp::now().to_string()))
}

/// The options that were given, each once, and what they say of how the event is emitted.
struct Given<'a> {
    fields: Vec<(&'a str, &'a str)>,
    how: How,
}

impl<'a> Given<'a> {
    /// The subcommand, and its options; nothing when they are not plainly right.
    fn read(arguments: &'a [OsString]) -> Option<(&'a str, Self)> {
        let (what, options) = arguments.split_first()?;
        let mut quick = Quick::new(options);
        let mut given = Given { fields: Vec::new(), how: How::default() };
        while let Some(argument) = quick.next()? {
            let Argument::Option(name, attached) = argument else { return None };
            let How { causation_id, correlation_id, emit } = &mut given.how;
            let place = match name {
                "--causation-id" => causation_id,
                "--correlation-id" => correlation_id,
                _ if emit.take(&mut quick, name, attached).is_some() => continue,
                _ => {
                    given.fields.push((name, quick.value(attached)?));
                    continue;
                }
            };
            if place.replace(ulid(quick.value(attached)?).ok()?).is_some() {
                return None;
            }
        }
        given.how.emit.agree().then_some((what.to_str()?, given))
    }

    /// Takes the value of an option, if it was given.
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.fields.iter().position(|(own, _)| *own == name)?;
        Some(self.fields.swap_remove(at).1.to_owned())
    }

    /// Ends the reading; nothing when an option was not taken: it is none, or was given twice.
    fn end(self) -> Option<How> {
        self.fields.is_empty().then_some(self.how)
    }
}

/// Who did it, when nobody says.
const USER: &str = "user";

type Fields = Vec<(&'static str, Option<Value>)>;

impl super::Command for Wp {
    fn quick(arguments: &[OsString]) -> Option<Self> {
        let (what, mut given) = Given::read(arguments)?;
        let what = match what {
            "status-changed" => OfWorkPackage::StatusChanged {
                wp_id: given.take("--wp-id")?,
                previous_status: given.take("--from").or_else(|| given.take("--previous-status"))?,
                new_status: given.take("--to").or_else(|| given.take("--new-status"))?,
                changed_by: given.take("--changed-by").unwrap_or_else(|| USER.into()),
                feature_slug: given.take("--feature-slug"),
                how: given.end()?,
            },
            "created" => OfWorkPackage::Created {
                wp_id: given.take("--wp-id")?,
                title: given.take("--title")?,
                feature_slug: given.take("--feature-slug")?,
                dependencies: given
                    .take("--dependencies")
                    .map_or_else(Vec::new, |ids| ids.split(',').map(str::to_owned).collect()),
                how: given.end()?,
            },
            "assigned" => OfWorkPackage::Assigned {
                wp_id: given.take("--wp-id")?,
                agent_id: given.take("--agent-id")?,
                phase: given.take("--phase")?,
                retry_count: given.take("--retry-count").map_or(Ok(0), |count| count.parse()).ok()?,
                feature_slug: given.take("--feature-slug"),
                how: given.end()?,
            },
            "history-added" => OfWorkPackage::HistoryAdded {
                wp_id: given.take("--wp-id")?,
                entry_type: given.take("--entry-type")?,
                entry_content: given.take("--entry-content")?,
                author: given.take("--author").unwrap_or_else(|| USER.into()),
                feature_slug: given.take("--feature-slug"),
                how: given.end()?,
            },
            "dependency-resolved" => OfWorkPackage::DependencyResolved {
                wp_id: given.take("--wp-id")?,
                dependency_wp_id: given.take("--dependency-wp-id")?,
                resolution_type: given.take("--resolution-type")?,
                feature_slug: given.take("--feature-slug"),
                how: given.end()?,
            },
            _ => return None,
        };
        Some(Wp { what })
    }

    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (kind, fields, how): (_, Fields, _) = match self.what {
            OfWorkPackage::StatusChanged { wp_id, previous_status, new_status, changed_by, feature_slug, how } => {
                let fields = vec![
                    ("wp_id", some(wp_id)),
                    ("previous_status", some(previous_status)),
                    ("new_status", some(new_status)),
                    ("changed_by", some(changed_by)),
                    ("feature_slug", feature_slug.map(Value::from)),
                ];
                (Kind::StatusChanged, fields, how)
            }
            OfWorkPackage::Created { wp_id, title, feature_slug, dependencies, how } => {
                let fields = vec![
                    ("wp_id", some(wp_id)),
                    ("title", some(title)),
                    ("dependencies", some(dependencies)),
                    ("feature_slug", some(feature_slug)),
                ];
                (Kind::Created, fields, how)
            }
            OfWorkPackage::Assigned { wp_id, agent_id, phase, retry_count, feature_slug, how } => {
                let fields = vec![
                    ("wp_id", some(wp_id)),
                    ("agent_id", some(agent_id)),
                    ("phase", some(phase)),
                    ("retry_count", some(retry_count)),
                    ("feature_slug", feature_slug.map(Value::from)),
                ];
                (Kind::Assigned, fields, how)
            }
            OfWorkPackage::HistoryAdded { wp_id, entry_type, entry_content, author, feature_slug, how } => {
                let fields = vec![
                    ("wp_id", some(wp_id)),
                    ("entry_type", some(entry_type)),
                    ("entry_content", some(entry_content)),
                    ("author", some(author)),
                    ("feature_slug", feature_slug.map(Value::from)),
                ];
                (Kind::HistoryAdded, fields, how)
            }
            OfWorkPackage::DependencyResolved { wp_id, dependency_wp_id, resolution_type, feature_slug, how } => {
                let fields = vec![
                    ("wp_id", some(wp_id)),
                    ("dependency_wp_id", some(dependency_wp_id)),
                    ("resolution_type", some(resolution_type)),
                    ("feature_slug", feature_slug.map(Value::from)),
                ];
                (Kind::DependencyResolved, fields, how)
            }
        };
        how.emit(kind, fields, terminal)
    }
}

impl super::Command for Feature {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (kind, fields, how): (_, Fields, _) = match self.what {
            OfFeature::Created { feature_slug, feature_number, target_branch, wp_count, created_at, how } => {
                let fields = vec![
                    ("feature_slug", some(feature_slug)),
                    ("feature_number", some(feature_number)),
                    ("target_branch", some(target_branch)),
                    ("wp_count", some(wp_count)),
                    ("created_at", or_now(created_at)),
                ];
                (Kind::FeatureCreated, fields, how)
            }
            OfFeature::Completed { feature_slug, total_wps, completed_at, total_duration, how } => {
                let fields = vec![
                    ("feature_slug", some(feature_slug)),
                    ("total_wps", some(total_wps)),
                    ("completed_at", or_now(completed_at)),
                    ("total_duration", total_duration.map(Value::from)),
                ];
                (Kind::FeatureCompleted, fields, how)
            }
        };
        how.emit(kind, fields, terminal)
    }
}

impl super::Command for ErrorCommand {
    fn quick(arguments: &[OsString]) -> Option<Self> {
        let ("logged", mut given) = Given::read(arguments)? else { return None };
        let what = OfError::Logged {
            error_type: given.take("--error-type")?,
            error_message: given.take("--error-message")?,
            wp_id: given.take("--wp-id"),
            stack_trace: given.take("--stack-trace"),
            agent_id: given.take("--agent-id"),
            feature_slug: given.take("--feature-slug"),
            how: given.end()?,
        };
        Some(ErrorCommand { what })
    }

    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let OfError::Logged { error_type, error_message, wp_id, stack_trace, agent_id, feature_slug, how } = self.what;
        let fields = vec![
            ("error_type", some(error_type)),
            ("error_message", some(error_message)),
            ("wp_id", wp_id.map(Value::from)),
            ("stack_trace", stack_trace.map(Value::from)),
            ("agent_id", agent_id.map(Value::from)),
            ("feature_slug", feature_slug.map(Value::from)),
        ];
        how.emit(Kind::ErrorLogged, fields, terminal)
    }
}

impl How {
    fn emit(self, kind: Kind, fields: Fields, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let mut draft = draft_of(kind, fields);
        if let Some(cause) = self.causation_id {
            draft = draft.caused_by(cause);
        }
        if let Some(with) = self.correlation_id {
            draft = draft.correlated(with);
        }
        self.emit.reported(terminal, |terminal| {
            let emitter = self.emit.open()?;
            let exit = self.emit.emit(&emitter, draft, "emit", "the event", terminal);
            emitter.end_with_process();
            exit
        })
    }
}
