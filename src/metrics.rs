//! Counters for Prometheus, in a file that node_exporter's textfile collector reads.
//!
//! The file is its own memory: it says up to which record it counted, and the next update adds what came after. So
//! counters only grow, whatever is removed from the log.
//!
//! Text format 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use crate::audit::{AuditError, AuditLog, Entry, Query, STATUSES};
use crate::sys::{self, Folder};
use crate::text::terminal_safe;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another update of the same file is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// More than any file of ours.
const LONGEST: usize = 16 * 1024 * 1024;
/// The upper ends of the buckets of durations, in seconds.
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Up to which record was counted.
const COUNTED: &str = "knockon_audit_counted_seq";
/// What every file of ours begins with.
const HEAD: &str = "# Written by `knockon stats --metrics-file`; it counts on from what is in here.\n";

/// Before the hash of the last record that was counted.
const UP_TO: &str = "# counted up to ";
/// How many hooks and types are told apart.
const MOST_NAMES: usize = 1000;
/// Every metric: its name, its type, and what it says.
const METRICS: &[(&str, &str, &str)] = &[
    ("knockon_events_total", "counter", "Events that were recorded, by type."),
    ("knockon_hook_runs_total", "counter", "Hook runs that ended, by hook and by the status in the audit log."),
    ("knockon_hook_duration_seconds", "histogram", "How long hooks ran."),
    ("knockon_hook_cpu_seconds_total", "counter", "Processor time of hooks."),
    ("knockon_hook_waited_seconds_total", "counter", "How long hooks waited in queues and for their groups."),
    ("knockon_overhead_seconds_total", "counter", "What knockon itself took."),
    ("knockon_audit_last_record_timestamp_seconds", "gauge", "When the last record was written."),
    (COUNTED, "gauge", "The number of the last record that was counted."),
];

/// Why the file is not up to date.
#[derive(Debug)]
pub enum MetricsError {
    /// The log cannot be read.
    Log(AuditError),
    /// The file cannot be read or written.
    Io(PathBuf, io::Error),
    /// It holds something else.
    Foreign(PathBuf),
    /// A folder, a link, a device or a pipe has its name.
    NoFile(PathBuf),
    /// It is about another project.
    OfAnother(PathBuf, String),
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricsError::Log(error) => write!(f, "{error}"),
            MetricsError::Io(path, error) => write!(f, "the metrics file {}: {error}", path.display()),
            MetricsError::Foreign(path) => {
                write!(f, "{} is no metrics file of knockon; name another, or remove it", path.display())
            }
            MetricsError::NoFile(path) => write!(f, "{} is no plain file; name another", path.display()),
            MetricsError::OfAnother(path, project) => {
                write!(f, "{} counts for the project {project}; name a file for each project", path.display())
            }
        }
    }
}

impl std::error::Error for MetricsError {}

/// Brings the file up to date; for `-`, what would be in a new one is returned instead.
///
/// # Errors
/// See [`MetricsError`]; the file is as it was then.
pub fn update(log: &AuditLog, path: &Path) -> Result<Option<String>, MetricsError> {
    if path == Path::new("-") {
        let mut series = Series::of(log);
        series.count(log)?;
        return Ok(Some(series.to_string()));
    }
    let failed = |error| MetricsError::Io(path.to_owned(), error);
    // A device or a pipe has a name too, and is neither read nor replaced.
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => return Err(MetricsError::NoFile(path.to_owned())),
        _ => {}
    }
    // The collector reads `*.prom` only: neither the lock nor a file half written is among them.
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => Folder::open(folder),
        _ => Folder::open(Path::new(".")),
    };
    let name = path.with_extension("prom.lock");
    let lock = folder.and_then(|folder| folder.append(name.file_name().unwrap_or_default()));
    let lock = lock.map_err(|fault| failed(io::Error::other(format!("its folder cannot be written to: {fault}"))))?;
    sys::lock_exclusive(&lock, LOCK_WAIT).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let mut series = Series::of(log);
    match fs::File::open(path) {
        Ok(file) => {
            let bytes = sys::read_capped(&file, LONGEST).map_err(failed)?;
            series.read(&String::from_utf8_lossy(&bytes), path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    series.count(log)?;
    let fresh = path.with_extension(format!("prom.new-{}", std::process::id()));
    let create = fs::File::options().write(true).create_new(true).open(&fresh);
    let written = create.and_then(|mut file| file.write_all(series.to_string().as_bytes()));
    let written = written.and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written.map(|()| None).map_err(failed)
}

/// Every series, by its name with labels.
struct Series {
    project: String,
    values: BTreeMap<String, f64>,
    /// The hash of the last record that was counted: whether the log is still the one that was counted.
    counted: Option<String>,
    /// Names that are told apart: what is beyond is counted together.
    names: BTreeSet<String>,
}

impl Series {
    fn of(log: &AuditLog) -> Self {
        Series { project: log.project().to_owned(), values: BTreeMap::new(), counted: None, names: BTreeSet::new() }
    }

    /// Takes over what is in a file.
    fn read(&mut self, text: &str, path: &Path) -> Result<(), MetricsError> {
        if text.is_empty() {
            return Ok(());
        }
        let lines = text.strip_prefix(HEAD).ok_or_else(|| MetricsError::Foreign(path.to_owned()))?;
        let own = format!("project=\"{}\"", escape(&self.project));
        self.counted = lines.lines().find_map(|line| line.strip_prefix(UP_TO)).map(str::to_owned);
        for line in lines.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| MetricsError::Foreign(path.to_owned()))?;
            if !series.contains(&own) {
                let other = series.split("project=\"").nth(1).and_then(|rest| rest.split('"').next());
                return Err(MetricsError::OfAnother(path.to_owned(), other.unwrap_or_default().to_owned()));
            }
            let value = value.parse().map_err(|_| MetricsError::Foreign(path.to_owned()))?;
            self.values.insert(series.to_owned(), value);
        }
        Ok(())
    }

    /// Adds the records that were not counted yet.
    fn count(&mut self, log: &AuditLog) -> Result<(), MetricsError> {
        let counted = self.name(COUNTED, &[]);
        let mut last = self.values.get(&counted).copied().unwrap_or(0.0);
        let snapshot = log.snapshot().map_err(MetricsError::Log)?;
        let end = log.last_point(&snapshot).map_err(MetricsError::Log)?;
        let same = log.still_has(&snapshot, last as u64, self.counted.as_deref()).map_err(MetricsError::Log)?;
        if !same {
            // The log was begun anew; what was counted stays counted.
            last = 0.0;
        }
        // As many as came since, read from the end; all of them where that is not known.
        let new = end.as_ref().filter(|_| same).map(|(seq, _)| (*seq as f64 - last).max(0.0) as usize);
        log.select(&snapshot, &Query::default(), new, |entry| {
            if entry.number("seq").is_some_and(|seq| seq > last) {
                self.add(&entry);
            }
            Ok(())
        })
        .map_err(MetricsError::Log)?;
        if let Some((seq, hash)) = end {
            self.values.insert(counted, seq as f64);
            self.counted = Some(hash);
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry) {
        let (hook, kind, status) = (entry.text("hook"), entry.text("event_type"), entry.text("status"));
        let (hook, kind) = (self.known(hook), self.known(kind));
        let status = if STATUSES.contains(&status) { status } else { "other" };
        let seconds = |name: &str| entry.number(name).filter(|millis| (0.0..1e12).contains(millis)).map(|ms| ms / 1e3);
        if let Some(time) = entry.time() {
            let name = self.name("knockon_audit_last_record_timestamp_seconds", &[]);
            let last = self.values.entry(name).or_default();
            *last = last.max(time.as_millis() as f64 / 1e3);
        }
        if let Some(overhead) = seconds("overhead_ms") {
            self.increase("knockon_overhead_seconds_total", &[], overhead);
        }
        match (hook, status) {
            ("", "emitted") => self.increase("knockon_events_total", &[("type", kind)], 1.0),
            ("", _) | (_, "started") => {}
            (hook, status) => {
                self.increase("knockon_hook_runs_total", &[("hook", hook), ("status", status)], 1.0);
                for (name, field) in
                    [("knockon_hook_cpu_seconds_total", "cpu_ms"), ("knockon_hook_waited_seconds_total", "waited_ms")]
                {
                    if let Some(spent) = seconds(field) {
                        self.increase(name, &[("hook", hook)], spent);
                    }
                }
                if let Some(duration) = seconds("duration_ms") {
                    self.observe(hook, duration);
                }
            }
        }
    }

    fn observe(&mut self, hook: &str, seconds: f64) {
        for bucket in BUCKETS {
            let within = if seconds <= *bucket { 1.0 } else { 0.0 };
            let labels = [("hook", hook), ("le", &bucket.to_string())];
            self.increase("knockon_hook_duration_seconds_bucket", &labels, within);
        }
        self.increase("knockon_hook_duration_seconds_bucket", &[("hook", hook), ("le", "+Inf")], 1.0);
        self.increase("knockon_hook_duration_seconds_sum", &[("hook", hook)], seconds);
        self.increase("knockon_hook_duration_seconds_count", &[("hook", hook)], 1.0);
    }

    fn increase(&mut self, name: &str, labels: &[(&str, &str)], by: f64) {
        *self.values.entry(self.name(name, labels)).or_default() += by;
    }

    /// A hook or a type, as long as there are not too many of them.
    fn known<'n>(&mut self, name: &'n str) -> &'n str {
        if self.names.len() < MOST_NAMES || self.names.contains(name) {
            self.names.insert(name.to_owned());
            return name;
        }
        "(others)"
    }

    fn name(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let project = [("project", self.project.as_str())];
        let labels = project.iter().chain(labels).map(|(label, value)| format!("{label}=\"{}\"", escape(value)));
        format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(","))
    }
}

/// A label's value: `\`, `"` and line feeds are escaped; other characters that a terminal would act on are made visible.
fn escape(value: &str) -> String {
    terminal_safe(value).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', " ")
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        if let Some(counted) = &self.counted {
            writeln!(f, "{UP_TO}{counted}")?;
        }
        for (metric, kind, help) in METRICS {
            let own = |series: &str| {
                let name = series.split('{').next().unwrap_or_default();
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                name == *metric || (*kind == "histogram" && base == Some(*metric))
            };
            let mut series: Vec<(&String, &f64)> = self.values.iter().filter(|(series, _)| own(series)).collect();
            if series.is_empty() {
                continue;
            }
            // Buckets in the order of their bounds.
            series.sort_by(|a, b| {
                (without_bound(a.0), bound(a.0))
                    .partial_cmp(&(without_bound(b.0), bound(b.0)))
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            writeln!(f, "# HELP {metric} {help}\n# TYPE {metric} {kind}")?;
            for (series, value) in series {
                writeln!(f, "{series} {value}")?;
            }
        }
        Ok(())
    }
}

fn bound(series: &str) -> f64 {
    let bound = series.rsplit_once(",le=\"").and_then(|(_, rest)| rest.strip_suffix("\"}"));
    bound.map_or(0.0, |bound| bound.parse().unwrap_or(f64::INFINITY))
}

fn without_bound(series: &str) -> &str {
    series.rsplit_once(",le=\"").map_or(series, |(before, _)| before)
}
