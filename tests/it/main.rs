//! What a user sees: each test runs the real binary in a project of its own and looks at its output, its
//! exit code and the files it left.

mod answers;
mod audit;
mod audit_ask;
mod audit_attacks;
mod audit_files;
mod audit_seal;
mod background;
mod bad_input;
mod cache;
mod commands;
mod config_fixtures;
mod emit;
mod examples;
mod explain;
mod fixtures;
mod flowspec;
mod from_ref;
mod kitty;
mod layers;
mod library;
mod matching;
mod one_line;
mod order;
#[cfg(feature = "otel")]
mod otel;
mod portable;
mod processes;
mod quick;
mod report;
mod results;
mod sandbox;
mod support;
mod sync;
mod sync_commands;
mod sync_consent;
mod sync_drain;
mod sync_faults;
mod sync_guide;
mod sync_live;
mod sync_outage;
mod sync_server;
mod sync_service;
mod trust;
mod validate;
mod wp;
