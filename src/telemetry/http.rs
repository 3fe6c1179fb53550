//! Sends one request, in bounded time.

use super::settings::Settings;
use crate::outbound;
use crate::text::shorten;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::CONTENT_TYPE;

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
    outbound::guarded(|| try_to_post(settings, body, most))
}

fn try_to_post(settings: &Settings, body: &[u8], most: Duration) -> Result<Option<String>, String> {
    // Spans go where the variable says and nowhere else: no redirects, no proxy. A connection is not kept: by the next
    // emit the other side may have closed it.
    let tls = outbound::checked_with(settings.certificates.as_deref())?;
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
