//! knockon runs your scripts when something happened.
//!
//! A command finishes and emits one versioned event; a matcher compares it with the user's
//! `hooks.yaml` and hands it to the user's own scripts: JSON on standard input, a timeout, every run
//! in an audit log.
//!
//! # From a program
//!
//! ```
//! use knockon::{Emitter, EmitterOptions, Project, UserFolders, drafts};
//!
//! # let folder = tempfile::tempdir()?;
//! # let root = folder.path();
//! let emitter = Emitter::open(Project::at(root)?, &UserFolders::default(), EmitterOptions::default());
//! let report = emitter.emit(drafts::task_completed("task-123").feature("user-auth"));
//!
//! let event = report.event.as_ref().expect("a draft made by a typed function is always valid");
//! assert!(event.id().to_string().starts_with("evt_"));
//! assert!(report.hooks().is_empty(), "this project has no hooks");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The path of one event
//!
//! [`Emitter::open`] finds the configuration and compiles the matcher. [`Emitter::emit`] then:
//! gives the [`EventDraft`] an id and a time and checks it → records it in the audit log → asks the
//! matcher which hooks it triggers → asks whether the user trusts exactly these files → starts each hook,
//! feeds it, times it, ends it → records how it ended → returns an [`EmitReport`].
//!
//! # Rooms
//!
//! A room imports only from lower floors; `tests/architecture.rs` holds that.
//!
//! | floor | rooms |
//! |---|---|
//! | 0 ground | [`json`], [`time`], [`text`], [`event`], [`sys`] |
//! | 1 rules | [`project`], [`config`], [`registry`], [`matcher`], [`cache`], [`trust`], [`delivery`], [`graph`], [`work_package`] |
//! | 2 doing | [`runner`], [`audit`], [`store`] |
//! | 3 ways | [`outbound`], [`sync`], [`source`]; `telemetry`, with the feature `otel` |
//! | 4 services | [`dispatch`], [`doctor`], [`emitter`], [`explanation`], [`fixtures`], [`metrics`], [`report`], [`scaffold`] |
//! | 5 doors | [`cli`] |

pub mod audit;
pub mod cache;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod dispatch;
pub mod doctor;
pub mod drain;
pub mod emitter;
pub mod event;
pub mod explanation;
pub mod fixtures;
pub mod git;
pub mod graph;
pub mod json;
pub mod matcher;
pub mod metrics;
pub mod outbound;
pub mod project;
pub mod registry;
pub mod replay;
pub mod report;
pub mod runner;
pub mod scaffold;
pub mod source;
pub mod store;
pub mod sync;
pub mod sys;
#[cfg(feature = "otel")]
pub mod telemetry;
pub mod text;
pub mod time;
pub mod trust;
pub mod work_package;

pub use delivery::{NotRun, Outcome, SkippedBy, Status};
pub use dispatch::{HookReport, Watcher};
pub use emitter::{Emission, EmitOutcome, EmitReport, Emitter, EmitterOptions, MissingGuard, Preview, Unreviewed};
pub use event::{Event, EventDraft, EventError, EventId, EventType, InvalidEventType};
pub use project::{Project, UserFolders};
pub use registry::drafts;
