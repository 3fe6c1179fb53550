//! What the user prefers: `settings.yaml` in their own configuration folder. Nothing in a project can set it.

use super::diagnostic::{Diagnostic, Severity};
use super::limits::{own_file, parse_own};
use super::reader::Reader;
use super::tree::{Node, Value};
use super::words::{Durability, GuardMode};
use crate::project::UserFolders;
use crate::text::one_line;
use crate::time::parse_span;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keys of `settings.yaml`.
pub const SETTINGS_KEYS: &[&str] = &["version", "audit", "sync", "guards", "safe_directories"];
/// The keys under `audit`.
pub const AUDIT_KEYS: &[&str] = &["max_size", "keep", "retention", "durability", "compress"];

/// The keys under `sync`.
pub const SYNC_KEYS: &[&str] = &["max_events", "interval", "batch_size"];

/// The most bytes of JSON that a batch may have at all.
const MOST_BATCH: u64 = 512 * 1024;
/// The longest pause between two batches.
const MOST_INTERVAL: Duration = Duration::from_secs(3600);
/// The smallest and the largest file, in bytes.
const SIZES: (u64, u64) = (10_000, 1_000_000_000_000);
/// The shortest and the longest retention.
const RETENTIONS: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(100 * 365 * 24 * 3600));

/// How audit logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// How large a file may become before the next one is begun, in bytes.
    pub max_size: u64,
    /// How many older files are kept.
    pub keep: u32,
    /// How long an older file is kept after its last record.
    pub retention: Duration,
    /// When a record counts as written.
    pub durability: Durability,
    /// Whether older files but the newest are compressed.
    pub compress: bool,
}

impl Default for AuditSettings {
    fn default() -> Self {
        AuditSettings {
            max_size: 10_000_000,
            keep: 5,
            retention: Duration::from_secs(30 * 24 * 3600),
            durability: Durability::Relaxed,
            compress: false,
        }
    }
}

/// How events are brought to a team server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// How many events are queued at most; without it all are kept.
    pub max_events: Option<u64>,
    /// How long after a batch the next one is sent at the earliest; zero for at once.
    pub interval: Duration,
    /// How many bytes of JSON a batch has at most.
    pub batch_size: u64,
}

impl Default for SyncSettings {
    fn default() -> Self {
        SyncSettings { max_events: None, interval: Duration::from_secs(5), batch_size: 256 * 1024 }
    }
}

/// What the user prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSettings {
    /// How audit logs are kept.
    pub audit: AuditSettings,
    /// How events are brought to a team server.
    pub sync: SyncSettings,
    /// What it means that a guard that was trusted did not run.
    pub guards: GuardMode,
    /// Folders in which projects are accepted although others own them or may write to them.
    pub safe_directories: Vec<PathBuf>,
}

impl UserSettings {
    /// Where the file is.
    pub fn path(user: &UserFolders) -> Option<PathBuf> {
        Some(user.config.as_ref()?.join("settings.yaml"))
    }

    /// Reads the file. What cannot be understood in it is told, and its default holds.
    pub fn load(user: &UserFolders) -> (Self, Vec<Diagnostic>) {
        let Some(path) = Self::path(user) else { return Default::default() };
        match own_file(&path, false) {
            Ok(None) => Default::default(),
            Ok(Some(bytes)) => parse(&path, &bytes),
            Err(why) => {
                let message = format!("the settings cannot be used, defaults hold: {why}");
                (Self::default(), vec![Diagnostic::error(&path, None, "settings", message)])
            }
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> (UserSettings, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let settings = parse_own(path, bytes, &mut problems, |reader, tree| reader.user_settings(tree));
    problems.retain(|problem| problem.severity == Severity::Error);
    (settings.unwrap_or_default(), problems)
}

impl Reader<'_> {
    fn user_settings(&mut self, tree: &Node) -> Option<UserSettings> {
        if matches!(tree.value, Value::Null) {
            // Nothing but comments.
            return Some(UserSettings::default());
        }
        let entries = self.map(tree, "a mapping with `version`")?;
        self.known_keys(entries, SETTINGS_KEYS, "the settings");
        self.version(tree);
        let audit = tree.get("audit").map(|node| self.audit_settings(node)).unwrap_or_default();
        let sync = tree.get("sync").map(|node| self.sync_settings(node)).unwrap_or_default();
        let guards = tree.get("guards").and_then(|node| self.word(node)).unwrap_or_default();
        let safe = tree.get("safe_directories").and_then(|node| self.texts(node, "a list of absolute paths"));
        let mut safe_directories = Vec::new();
        for (text, span) in safe.unwrap_or_default() {
            if text.starts_with('/') {
                safe_directories.push(PathBuf::from(text));
            } else {
                let message = format!("`{}` is no absolute path", one_line(&text));
                self.error(span, "bad-value", message).help =
                    Some("write the whole path, such as `/srv/projects`".into());
            }
        }
        Some(UserSettings { audit, sync, guards, safe_directories })
    }

    fn sync_settings(&mut self, node: &Node) -> SyncSettings {
        let none = SyncSettings::default();
        if matches!(node.value, Value::Null) {
            return none;
        }
        let Some(entries) = self.map(node, "a mapping") else { return none };
        self.known_keys(entries, SYNC_KEYS, "`sync`");
        let max = node.get("max_events").and_then(|node| self.whole(node, 1, 1_000_000_000, "a number of events"));
        let least_batch = 16 * 1024;
        SyncSettings {
            max_events: max.and_then(|max| u64::try_from(max).ok()),
            interval: node.get("interval").and_then(|node| self.interval(node)).unwrap_or(none.interval),
            batch_size: node
                .get("batch_size")
                .and_then(|node| self.size(node, (least_batch, MOST_BATCH), "16KiB to 512KiB", "`256KiB`"))
                .unwrap_or(none.batch_size),
        }
    }

    fn interval(&mut self, node: &Node) -> Option<Duration> {
        let text = self.text(node, "a span of time such as `5s`")?;
        let span = parse_span(&text).filter(|span| *span <= MOST_INTERVAL);
        if span.is_none() {
            let message = format!("`{}` is no span of 0s to 1h", one_line(&text));
            self.error(node.span, "bad-value", message).help = Some("write `5s`, or `0s` for no pause".into());
        }
        span
    }

    fn audit_settings(&mut self, node: &Node) -> AuditSettings {
        let none = AuditSettings::default();
        if matches!(node.value, Value::Null) {
            return none;
        }
        let Some(entries) = self.map(node, "a mapping") else { return none };
        self.known_keys(entries, AUDIT_KEYS, "`audit`");
        let keep = node.get("keep").and_then(|node| self.whole(node, 0, 10_000, "a number of files"));
        AuditSettings {
            max_size: node
                .get("max_size")
                .and_then(|node| self.size(node, SIZES, "10kB to 1000GB", "`10MB`, `64MiB`"))
                .unwrap_or(none.max_size),
            keep: keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(none.keep),
            retention: node.get("retention").and_then(|node| self.retention(node)).unwrap_or(none.retention),
            durability: node.get("durability").and_then(|node| self.word(node)).unwrap_or(none.durability),
            compress: node.get("compress").and_then(|node| self.boolean(node)).unwrap_or(none.compress),
        }
    }

    fn size(&mut self, node: &Node, (least, most): (u64, u64), range: &str, examples: &str) -> Option<u64> {
        let size = match &node.value {
            Value::Integer(size) => u64::try_from(*size).ok(),
            Value::Text(text) => parse_size(text),
            _ => None,
        };
        let fits = size.filter(|size| (least..=most).contains(size));
        if fits.is_none() {
            self.error(node.span, "bad-value", format!("a size is wanted, {range}")).help =
                Some(format!("write {examples} or a number of bytes"));
        }
        fits
    }

    fn retention(&mut self, node: &Node) -> Option<Duration> {
        let text = self.text(node, "a span of time such as `30d`")?;
        let (least, most) = RETENTIONS;
        let span = parse_span(&text).filter(|span| (least..=most).contains(span));
        if span.is_none() {
            let message = format!("`{}` is no span of 1 hour to 100 years", one_line(&text));
            self.error(node.span, "bad-value", message).help = Some("write `12h`, `30d` or `52w`".into());
        }
        span
    }
}

/// Reads `10MB`, `64MiB`, `100kB`: a whole number and its unit.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_keeps_its_default_and_is_told() {
        let read = |text: &str| parse(Path::new("settings.yaml"), text.as_bytes());
        let (settings, problems) = read(
            "version: '1.0'\naudit: {max_size: 64MiB, keep: 0, retention: 52w, durability: fsync, compress: true}\n",
        );
        assert_eq!(problems, []);
        let wanted = AuditSettings {
            max_size: 64 << 20,
            keep: 0,
            retention: Duration::from_secs(364 * 24 * 3600),
            durability: Durability::Fsync,
            compress: true,
        };
        assert_eq!(settings.audit, wanted);
        for wrong in ["max_size: 3", "max_size: ten", "keep: -1", "retention: 5s", "durability: sometimes", "kept: 3"] {
            let (settings, problems) = read(&format!("version: '1.0'\naudit: {{{wrong}}}\n"));
            assert_eq!((settings.audit, problems.len()), (AuditSettings::default(), 1), "{wrong}: {problems:?}");
        }
        let (settings, problems) =
            read("version: '1.0'\nsync: {max_events: 20000, interval: 0s, batch_size: 128KiB}\n");
        assert_eq!(problems, []);
        let wanted = SyncSettings { max_events: Some(20_000), interval: Duration::ZERO, batch_size: 128 << 10 };
        assert_eq!(settings.sync, wanted);
        for wrong in ["max_events: 0", "interval: soon", "interval: 2h", "batch_size: 1MiB", "batch: 1"] {
            let (settings, problems) = read(&format!("version: '1.0'\nsync: {{{wrong}}}\n"));
            assert_eq!((settings.sync, problems.len()), (SyncSettings::default(), 1), "{wrong}: {problems:?}");
        }
        assert_eq!(read("audit: [").1.len(), 1);
        for nothing in ["# a comment\n", "version: '1.0'\naudit:\n  # keep: 3\n"] {
            assert_eq!(read(nothing), (UserSettings::default(), Vec::new()), "{nothing}");
        }
    }
}
