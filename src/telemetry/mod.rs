//! Spans of what ran, sent as OpenTelemetry traces where the caller's environment asks for it.
//!
//! `settings` reads the variables, `spans` collects what happens while it happens, `otlp` is the form it is sent in, `http`
//! sends it. Nothing here decides what runs, and nothing that fails here is more than a warning: one request at the end of
//! an emit, in bounded time, and after one that failed none for a while.

mod http;
mod otlp;
mod settings;
mod spans;

pub use spans::{EmitSpan, Spans};

use settings::Settings;
use std::ffi::OsString;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing is sent after a request that failed: what emits often must not wait each time.
const REST: Duration = Duration::from_secs(30);
/// How long sending may take when this process was told to end.
const HURRIED: Duration = Duration::from_millis(500);

/// Sends spans to where the environment says.
pub struct Exporter {
    /// Why nothing can be sent, where that is so.
    settings: Result<Settings, String>,
    /// Nothing is sent before then.
    rests_until: Mutex<Option<Instant>>,
}

impl Exporter {
    /// The one of this process, when its environment wants one. The environment is read once; and whatever emits in a
    /// process shares what it knows about an endpoint that does not answer.
    pub fn of_this_process() -> Option<&'static Self> {
        static EXPORTER: OnceLock<Option<Exporter>> = OnceLock::new();
        EXPORTER.get_or_init(|| Self::from(|name| std::env::var_os(name))).as_ref()
    }

    /// One as the variables say, when they want one.
    pub fn from(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        Some(Exporter { settings: Settings::from(variable)?, rests_until: Mutex::default() })
    }

    /// Sends spans, all at once. `hurry`: somebody wants this process to end.
    /// Returns what went wrong, in words for a warning.
    pub fn send(&self, spans: Spans, hurry: bool) -> Vec<String> {
        let (spans, left_out) = spans.into_ended();
        if spans.is_empty() {
            return Vec::new();
        }
        let settings = match &self.settings {
            Ok(settings) => settings,
            Err(why) => return vec![format!("no trace is sent: {why}")],
        };
        let mut warnings = settings.warnings.clone();
        if left_out > 0 {
            warnings.push(format!("{left_out} spans are left out of the trace, the first {} are sent", spans.len()));
        }
        let failed = |why: &str| format!("the trace was not sent to {}: {why}", settings.shown);
        // Not held while something is sent: each thread waits for its own request only.
        let rests_until = || self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until().is_some_and(|until| Instant::now() < until) {
            warnings.push(failed("the last request failed a moment ago"));
            return warnings;
        }
        let most = if hurry { settings.timeout.min(HURRIED) } else { settings.timeout };
        match http::post(settings, &otlp::request(&settings.resource, &spans), most) {
            Ok(None) => {}
            Ok(Some(told)) => warnings.push(format!("{} did not take the whole trace: {told}", settings.shown)),
            Err(why) => {
                *rests_until() = Some(Instant::now() + REST);
                warnings.push(failed(&why));
            }
        }
        warnings
    }
}
