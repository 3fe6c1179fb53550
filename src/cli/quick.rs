//! Reading the arguments of the commands that are called on every step, without defining them for clap.
//!
//! Only what is plainly right is read here. Everything else (an unknown option, a value that is missing or refused,
//! options that exclude each other, `--help`) is clap's, which knows what to say: a test holds that whatever is read
//! here reads the same there.

use super::emit::EmitOptions;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

/// Reads options from front to back.
pub(super) struct Quick<'a> {
    rest: std::slice::Iter<'a, OsString>,
}

/// An argument.
pub(super) enum Argument<'a> {
    /// No option.
    Plain(&'a str),
    /// An option by its name, dashes and all, with the value that is written behind `=`.
    Option(&'a str, Option<&'a str>),
}

impl<'a> Quick<'a> {
    pub(super) fn new(arguments: &'a [OsString]) -> Self {
        Quick { rest: arguments.iter() }
    }

    /// The next argument: `Some(None)` at the end, nothing when this is no place for it.
    pub(super) fn next(&mut self) -> Option<Option<Argument<'a>>> {
        let Some(argument) = self.rest.next() else { return Some(None) };
        let text = argument.to_str()?;
        Some(Some(match text.strip_prefix('-') {
            None => Argument::Plain(text),
            Some("" | "-") => return None,
            Some(long) if long.starts_with('-') => match text.split_once('=') {
                Some((name, value)) => Argument::Option(name, Some(value)),
                None => Argument::Option(text, None),
            },
            // Of the short ones, only one at a time.
            Some(letter) if letter.len() == 1 => Argument::Option(text, None),
            Some(_) => return None,
        }))
    }

    /// The value of an option: what is written behind `=`, or the next argument.
    pub(super) fn value(&mut self, attached: Option<&'a str>) -> Option<&'a str> {
        let value = match attached {
            Some(value) => value,
            None => {
                let next = self.rest.next().and_then(|value| OsStr::to_str(value))?;
                Some(next).filter(|value| !value.starts_with('-') || *value == "-")?
            }
        };
        Some(value).filter(|value| !value.is_empty())
    }

    /// Reads a value into a place that has none yet.
    pub(super) fn set<T: FromStr>(&mut self, place: &mut Option<T>, attached: Option<&'a str>) -> Option<()> {
        let value = self.value(attached)?.parse().ok()?;
        place.replace(value).is_none().then_some(())
    }
}

/// Sets a flag that is not set yet, and takes no value.
fn raise(flag: &mut bool, attached: Option<&str>) -> Option<()> {
    (!std::mem::replace(flag, true) && attached.is_none()).then_some(())
}

impl EmitOptions {
    /// Takes an option that both commands have; nothing when it is none, or is not plainly right.
    pub(super) fn take<'a>(&mut self, quick: &mut Quick<'a>, name: &str, attached: Option<&'a str>) -> Option<()> {
        let EmitOptions { dry_run, explain, json, jsonl, report, durable, strict, verbose, quiet, project, trust } =
            self;
        match name {
            "--dry-run" => raise(dry_run, attached),
            "--explain" => raise(explain, attached),
            "--json" => raise(json, attached),
            "--jsonl" => raise(jsonl, attached),
            "--durable" => raise(durable, attached),
            "--strict" => raise(strict, attached),
            "--verbose" | "-v" => raise(verbose, attached),
            "--quiet" | "-q" => raise(quiet, attached),
            "--report" => {
                report.push(quick.value(attached)?.parse().ok()?);
                Some(())
            }
            "--project-root" => quick.set::<PathBuf>(&mut project.project_root, attached),
            "--config" => quick.set::<PathBuf>(&mut project.config, attached),
            "--trust-hash" => quick.set(&mut trust.trust_hash, attached),
            "--config-from-ref" => quick.set(&mut trust.config_from_ref, attached),
            _ => None,
        }
    }

    /// Whether no two of the options exclude each other.
    pub(super) fn agree(&self) -> bool {
        let hooks_are_given = self.project.config.is_some() || self.trust.trust_hash.is_some();
        !(self.json && self.jsonl)
            && !(self.dry_run && (self.durable || !self.report.is_empty()))
            && !(self.trust.config_from_ref.is_some() && hooks_are_given)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Command,
        emit::Emit,
        run::Run,
        wp::{ErrorCommand, Wp},
    };
    use clap::Args;
    use proptest::prelude::*;
    use std::ffi::OsString;

    /// What clap makes of the arguments.
    fn by_clap<C: Command>(arguments: &[OsString]) -> Option<C> {
        let command = C::augment_args(clap::Command::new("knockon").no_binary_name(true));
        C::from_arg_matches(&command.try_get_matches_from(arguments).ok()?).ok()
    }

    fn same<C: Command + Args + std::fmt::Debug>(arguments: &[OsString]) -> bool {
        let Some(quick) = C::quick(arguments) else { return false };
        let by_clap = by_clap::<C>(arguments).unwrap_or_else(|| panic!("clap refuses {arguments:?}"));
        assert_eq!(format!("{quick:?}"), format!("{by_clap:?}"), "{arguments:?}");
        true
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_is_called_on_every_step_is_read_without_clap() {
        for line in [
            "task.completed",
            "task.completed --task-id task-1 --spec-id=auth -f a.md --file b.md --progress 50 --message half-way",
            "agent.progress --agent-id me@here --context a=b --context n:=1 --json --strict -q",
            "spec.created --project-root /tmp --config hooks.yaml --report junit=a.xml --report github --durable -v",
            "WPStatusChanged --context wp_id=WP01",
            "MissionClosed --json",
            "--jsonl spec.created --config-from-ref main --explain --progress=100 --context=x=y=z",
        ] {
            assert!(same::<Emit>(&words(line)), "{line}");
        }
        for line in ["--event-file - --json", "--payload={} --event-type a.b", "--event-type a.b --dry-run"] {
            assert!(same::<Run>(&words(line)), "{line}");
        }
        for line in [
            "status-changed --wp-id WP01 --from planned --to doing",
            "status-changed --wp-id=WP01 --previous-status doing --new-status done --changed-by me --feature-slug 001-a -q",
            "created --wp-id WP02 --title Login --feature-slug 001-a --dependencies WP01,WP03 --json",
            "created --wp-id WP02 --title Login --feature-slug 001-a --causation-id 01JDPY4W3ZK8Q0RV5T6X7Y8Z9A",
            "assigned --wp-id WP01 --agent-id claude --phase review --retry-count 2 --project-root /tmp",
            "history-added --wp-id WP01 --entry-type note --entry-content Half --author me",
            "dependency-resolved --wp-id WP02 --dependency-wp-id WP01 --resolution-type merged --dry-run",
        ] {
            assert!(same::<Wp>(&words(line)), "{line}");
        }
        assert!(same::<ErrorCommand>(&words("logged --error-type network --error-message gone --agent-id claude")));
    }

    #[test]
    fn what_is_not_plainly_right_is_claps() {
        for line in [
            "",
            "--help",
            "-h",
            "Task.Completed",
            "wpcreated",
            "a.b c.d",
            "a.b --json --jsonl",
            "a.b --json --json",
            "a.b --json=yes",
            "a.b -vq",
            "a.b -fname",
            "a.b --task-id",
            "a.b --task-id -1",
            "a.b --task-id=",
            "a.b --task-id a --task-id b",
            "a.b --progress 101",
            "a.b --context x",
            "a.b --report pdf",
            "a.b --report github --dry-run",
            "a.b --config a --config-from-ref b",
            "a.b --",
            "a.b --unknown",
            "a.b --task-i x",
        ] {
            assert!(Emit::quick(&words(line)).is_none(), "{line}");
        }
        for line in ["--payload {} --event-file -", "--event-type Task", "plain --event-type a.b"] {
            assert!(Run::quick(&words(line)).is_none(), "{line}");
        }
        for line in [
            "",
            "--help",
            "moved --wp-id WP01",
            "status-changed --wp-id WP01 --from planned",
            "status-changed --wp-id WP01 --from planned --previous-status planned --to doing",
            "status-changed --wp-id WP01 --wp-id WP02 --from planned --to doing",
            "status-changed --wp-id WP01 --from planned --to doing --title x",
            "status-changed --wp-id WP01 --from planned --to doing --causation-id x",
            "status-changed --wp-id WP01 --from planned --to doing more",
            "assigned --wp-id WP01 --agent-id claude --phase review --retry-count -2",
        ] {
            assert!(Wp::quick(&words(line)).is_none(), "{line}");
        }
        assert!(ErrorCommand::quick(&words("raised --error-type network --error-message gone")).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_read_here_reads_the_same_there(arguments in proptest::collection::vec(
            prop::sample::select(vec![
                "a.b", "task.completed", "WPCreated", "--task-id", "--spec-id=x", "-f", "x", "--file=x=y", "--progress", "7",
                "--progress=7", "--message", "--agent-id=", "--context", "a=1", "--context=a:=[1]", "--dry-run",
                "--explain", "--json", "--jsonl", "--report", "github", "--report=summary=f", "--durable", "--strict",
                "-v", "-q", "--verbose", "--project-root", "--config=c", "--trust-hash",
                "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "--config-from-ref=main",
                "--event-type", "--event-type=a.b", "--payload", "{}", "--event-file", "-", "--", "é", "--event-file=f",
            ]),
            0..7,
        )) {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            same::<Emit>(&arguments);
            same::<Run>(&arguments);
        }

        #[test]
        fn whatever_is_read_of_a_work_package_reads_the_same_there(
            whole in prop::sample::select(vec![
                "status-changed --wp-id=WP01 --from=planned --to doing",
                "created --wp-id WP01 --title=a=b --feature-slug=001-a",
                "assigned --wp-id=WP01 --agent-id=a --phase=p",
                "history-added --wp-id=WP01 --entry-type=note --entry-content=é",
                "logged --error-type=x --error-message=y",
            ]),
            more in proptest::collection::vec(
                prop::sample::select(vec![
                    "--wp-id=WP02", "--previous-status=done", "--new-status", "--changed-by=x", "--title=", "--feature-slug=b",
                    "--dependencies=WP01", "--dependencies=WP01,,WP02", "--author=x", "--agent-id=b", "--retry-count=+3",
                    "--retry-count=03", "--retry-count=x", "--stack-trace=z", "--causation-id", "--quiet", "--json", "-q",
                    "--correlation-id=evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "--config=c",
                ]),
                0..3,
            ),
        ) {
            let mut arguments = words(whole);
            arguments.extend(more.into_iter().map(OsString::from));
            same::<Wp>(&arguments);
            same::<ErrorCommand>(&arguments);
        }
    }
}
