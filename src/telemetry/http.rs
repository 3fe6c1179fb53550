//! Sends one request, in bounded time.

use super::settings::Settings;
use crate::text::shorten;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::CONTENT_TYPE;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// How much of a response is read.
const MAX_RESPONSE: u64 = 64 * 1024;
/// The most characters that are told of what a response says.
const LONGEST_MESSAGE: usize = 200;

/// Sends `body`; `most` is the time for all of it, from the name of the host to the last byte of the response. What the
/// endpoint accepted and did not take is returned in words.
///
/// # Errors
/// In words: it was not accepted.
pub(super) fn post(settings: &Settings, body: &[u8], most: Duration) -> Result<Option<String>, String> {
    // Names are looked up in a thread, and one that cannot be started (`ulimit -u`) is a panic down there.
    let thread = std::thread::Builder::new().spawn(|| ()).map(std::thread::JoinHandle::join);
    if let Err(error) = thread {
        return Err(format!("no thread can be started: {error}"));
    }
    catch_unwind(AssertUnwindSafe(|| try_to_post(settings, body, most))).unwrap_or_else(|_| Err("it failed".into()))
}

fn try_to_post(settings: &Settings, body: &[u8], most: Duration) -> Result<Option<String>, String> {
    // Spans go where the variable says and nowhere else: no redirects, no proxy. A connection is not kept: by the next
    // emit the other side may have closed it.
    let tls = settings.certificates.as_deref().map(checked_with).transpose()?.unwrap_or_default();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(most))
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("knockon/", env!("CARGO_PKG_VERSION")))
        .build();
    let mut request = config.new_agent().post(&settings.endpoint).header(CONTENT_TYPE, "application/json");
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    let mut response = request.send(body).map_err(|error| match error {
        ureq::Error::Timeout(_) => format!("it took longer than {}", crate::time::human(most)),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })?;
    let status = response.status();
    // What cannot be read of it changes nothing.
    let said = response.body_mut().with_config().limit(MAX_RESPONSE).read_to_vec().unwrap_or_default();
    let said: Value = serde_json::from_slice(&said).unwrap_or_default();
    let told = |message: &Value| message.as_str().map(|message| shorten(message, LONGEST_MESSAGE).into_owned());
    if !status.is_success() {
        let message = told(&said["message"]).map(|message| format!(": {message}")).unwrap_or_default();
        return Err(format!("it answered {status}{message}"));
    }
    let partial = &said["partialSuccess"];
    let rejected = partial["rejectedSpans"].as_str().and_then(|text| text.parse().ok());
    let rejected: u64 = rejected.or_else(|| partial["rejectedSpans"].as_u64()).unwrap_or_default();
    let message = told(&partial["errorMessage"]).filter(|message| !message.is_empty());
    Ok(match (rejected, message) {
        (0, message) => message,
        (rejected, None) => Some(format!("{rejected} spans were rejected")),
        (rejected, Some(message)) => Some(format!("{rejected} spans were rejected: {message}")),
    })
}

/// Checks the other side with the certificates in a file, and no others.
fn checked_with(path: &Path) -> Result<TlsConfig, String> {
    let failed = |why: String| format!("the certificates of {}: {why}", path.display());
    if !path.is_file() {
        return Err(failed("it is no file".into()));
    }
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        // A key that stands beside them.
        Ok(_) => None,
        Err(error) => Some(Err(failed(error.to_string()))),
    });
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(failed("there are none".into()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build())
}
