//! What the environment says about traces, by the names of OpenTelemetry.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> and
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>: a variable without a value counts
//! as none, and one for traces alone weighs more than one for everything.

use super::otlp::Attribute;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue, Uri};

/// Switches all of it off, with `true`.
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// What traces are exported by; without `otlp` in it, nothing is sent.
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
/// Where everything goes; `/v1/traces` is added to it.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where traces go, as it is.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Headers of every request, for traces and for all: `name=value,name=value`, percent-encoded.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
/// A file with the certificates that an https endpoint is checked with (PEM), instead of the well-known ones.
const CERTIFICATE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
/// How long a request may take in all, in milliseconds.
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// What is to be spoken; only `http/json` is.
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The name of the service.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// What is known about the service and where it runs: `key=value,key=value`, percent-encoded.
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Unless a variable says something else: somebody waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(2000);
/// Whatever a variable says.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(10_000);

/// Where traces go, and how.
pub(super) struct Settings {
    pub(super) endpoint: Uri,
    /// The endpoint for people: without what may be secret in it.
    pub(super) shown: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) certificates: Option<PathBuf>,
    /// For a request in all.
    pub(super) timeout: Duration,
    pub(super) resource: Vec<Attribute>,
    /// What in the variables is not understood, or not done.
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// Nothing, unless traces are wanted. An error says why they cannot be sent.
    pub(super) fn from(variable: impl Fn(&str) -> Option<OsString>) -> Option<Result<Self, String>> {
        let get = |name: &str| {
            let text = variable(name)?.to_string_lossy().trim().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let either = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, get(name)?)));
        let (name, endpoint) = match (get(TRACES_ENDPOINT), get(ENDPOINT)) {
            (Some(endpoint), _) => (TRACES_ENDPOINT, endpoint),
            (None, Some(base)) => (ENDPOINT, format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => return None,
        };
        let off = get(DISABLED).is_some_and(|disabled| disabled.eq_ignore_ascii_case("true"));
        let elsewhere = get(EXPORTER).is_some_and(|names| names.split(',').all(|name| name.trim() != "otlp"));
        if off || elsewhere {
            return None;
        }
        let uri: Option<Uri> = endpoint.parse().ok();
        let Some(uri) = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        else {
            return Some(Err(format!("{name} is no URL that begins with http:// or https://")));
        };
        let mut warnings = Vec::new();
        if let Some((name, protocol)) = either(PROTOCOL).filter(|(_, protocol)| protocol != "http/json") {
            warnings.push(format!("{name} is `{protocol}`; traces are sent as http/json, which is all that is spoken"));
        }
        let headers = either(HEADERS).map_or_else(Vec::new, |(name, list)| headers(name, &list, &mut warnings));
        let timeout = either(TIMEOUT).map_or(DEFAULT_TIMEOUT, |(name, text)| timeout(name, &text, &mut warnings));
        let given = get(RESOURCE).and_then(|list| {
            let given = pairs(&list);
            if given.is_none() {
                warnings.push(format!("{RESOURCE} is left out: it is no list of key=value, percent-encoded"));
            }
            given
        });
        let resource = resource(get(SERVICE_NAME), given.unwrap_or_default());
        let shown = shown(&uri);
        let certificates = either(CERTIFICATE).map(|(_, path)| PathBuf::from(path));
        Some(Ok(Settings { endpoint: uri, shown, headers, certificates, timeout, resource, warnings }))
    }
}

/// A URL without user, password and query.
fn shown(uri: &Uri) -> String {
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.path())
}

/// Never tells the value of a header: keys are in there.
fn headers(variable: &str, list: &str, warnings: &mut Vec<String>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(pairs) = pairs(list) else {
        warnings.push(format!("{variable} is left out: it is no list of name=value, percent-encoded"));
        return Vec::new();
    };
    let mut headers = Vec::new();
    for (name, value) in pairs {
        match (HeaderName::try_from(&*name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => warnings.push(format!("{variable}: `{name}` is left out: it cannot be a header")),
        }
    }
    headers
}

fn timeout(variable: &str, text: &str, warnings: &mut Vec<String>) -> Duration {
    match text.parse() {
        // No limit, in OpenTelemetry's words.
        Ok(0) => LONGEST_TIMEOUT,
        Ok(milliseconds) => Duration::from_millis(milliseconds).min(LONGEST_TIMEOUT),
        Err(_) => {
            warnings
                .push(format!("{variable} is no number of milliseconds; {} are taken", DEFAULT_TIMEOUT.as_millis()));
            DEFAULT_TIMEOUT
        }
    }
}

/// What is named by itself, then what is in the list, then what is known without them.
fn resource(service: Option<String>, given: Vec<(String, String)>) -> Vec<Attribute> {
    let known = [
        ("service.name", env!("CARGO_PKG_NAME").to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name", crate::sys::host_name()),
    ];
    let named = service.map(|service| ("service.name".to_owned(), service));
    let known = known.into_iter().map(|(key, value)| (key.to_owned(), value));
    let mut attributes: Vec<Attribute> = Vec::new();
    for (key, value) in named.into_iter().chain(given).chain(known) {
        if attributes.iter().all(|attribute| attribute.key != key) {
            attributes.push(Attribute::text(key, value));
        }
    }
    attributes
}

/// `key=value,key=value`, keys and values percent-encoded (W3C Baggage without its properties).
fn pairs(list: &str) -> Option<Vec<(String, String)>> {
    let members = list.split(',').map(str::trim).filter(|member| !member.is_empty());
    let pairs = members.map(|member| {
        let (key, value) = member.split_once('=')?;
        let (key, value) = (percent_decoded(key.trim())?, percent_decoded(value.trim())?);
        (!key.is_empty()).then_some((key, value))
    });
    pairs.collect()
}

/// Nothing when it is not UTF-8 after that. A percent sign that begins no code stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |ahead: usize| char::from(*bytes.get(at + ahead)?).to_digit(16);
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high << 4 | low).ok()?);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::super::otlp::Value;
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Option<Result<Settings, String>> {
        let value = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into());
        Settings::from(value)
    }

    fn sound(variables: &[(&str, &str)]) -> Settings {
        let mut all = vec![(ENDPOINT, "http://localhost:4318")];
        all.extend(variables);
        settings(&all).unwrap().map_err(|why| panic!("{why}")).ok().unwrap()
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named_and_nothing_switches_it_off() {
        let endpoint = (ENDPOINT, "http://localhost:4318");
        for off in [
            &[][..],
            &[(ENDPOINT, "")],
            &[(SERVICE_NAME, "x")],
            &[endpoint, (DISABLED, "true")],
            &[endpoint, (DISABLED, "TRUE")],
            &[endpoint, (EXPORTER, "none")],
            &[endpoint, (EXPORTER, "zipkin,console")],
        ] {
            assert!(settings(off).is_none(), "{off:?}");
        }
        for on in [&[endpoint][..], &[endpoint, (DISABLED, "1")], &[endpoint, (EXPORTER, "console, otlp")]] {
            assert!(settings(on).unwrap().is_ok(), "{on:?}");
        }
    }

    #[test]
    fn an_endpoint_for_everything_gets_a_path_and_one_for_traces_is_used_as_it_is() {
        for (name, given, wanted) in [
            (ENDPOINT, "http://localhost:4318", "http://localhost:4318/v1/traces"),
            (ENDPOINT, "http://localhost:4318/", "http://localhost:4318/v1/traces"),
            (ENDPOINT, "https://example.org/otlp/", "https://example.org/otlp/v1/traces"),
            (TRACES_ENDPOINT, "http://[::1]:4318/x", "http://[::1]:4318/x"),
            (TRACES_ENDPOINT, "http://localhost:4318", "http://localhost:4318/"),
        ] {
            let found = settings(&[(name, given)]).unwrap().ok().unwrap();
            assert_eq!((found.endpoint.to_string(), found.shown), (wanted.to_owned(), wanted.to_owned()));
        }
        let both = sound(&[(TRACES_ENDPOINT, "http://user:secret@traces/in?key=secret")]);
        assert_eq!((both.endpoint.host(), both.shown.as_str()), (Some("traces"), "http://traces/in"));
        for wrong in ["localhost:4318", "/v1/traces", "grpc://localhost:4317", "http://", "http://a b", "unix:/x"] {
            let why = settings(&[(ENDPOINT, wrong)]).unwrap().err();
            assert!(why.is_some_and(|why| why.starts_with(ENDPOINT)), "{wrong}");
        }
    }

    #[test]
    fn headers_are_decoded_and_never_told() {
        let found = sound(&[(HEADERS[1], "api-key=s%20ecret%3D, x-y = 1,,")]);
        let headers: Vec<_> = found.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(headers, [("api-key", &b"s ecret="[..]), ("x-y", b"1")]);
        let found = sound(&[(HEADERS[1], "a=1"), (HEADERS[0], "b=2")]);
        assert_eq!(found.headers.len(), 1, "those for traces take the place of the others");
        for wrong in ["secret", "a=secret%ff", "=secret", "a=secret%0a", "a b=secret"] {
            let found = sound(&[(HEADERS[0], wrong)]);
            assert!(found.headers.is_empty() && found.warnings.len() == 1, "{wrong}: {:?}", found.warnings);
            assert!(!found.warnings[0].contains("secret"), "{:?}", found.warnings);
        }
    }

    #[test]
    fn a_timeout_is_in_milliseconds_and_has_a_limit() {
        assert_eq!(sound(&[]).timeout, DEFAULT_TIMEOUT);
        for (text, wanted, warnings) in
            [("150", 150, 0), ("60000", 10_000, 0), ("0", 10_000, 0), ("2s", 2000, 1), ("-1", 2000, 1)]
        {
            let found = sound(&[(TIMEOUT[1], text)]);
            assert_eq!((found.timeout.as_millis(), found.warnings.len()), (wanted, warnings), "{text}");
        }
        assert_eq!(sound(&[(TIMEOUT[1], "1"), (TIMEOUT[0], "2")]).timeout, Duration::from_millis(2));
    }

    #[test]
    fn another_protocol_is_told() {
        assert!(sound(&[(PROTOCOL[1], "http/json")]).warnings.is_empty());
        assert!(sound(&[(PROTOCOL[1], "grpc"), (PROTOCOL[0], "http/json")]).warnings.is_empty());
        for other in ["grpc", "http/protobuf"] {
            let warnings = sound(&[(PROTOCOL[1], other)]).warnings;
            assert!(warnings[0].contains(other) && warnings[0].contains("http/json"), "{warnings:?}");
        }
    }

    #[test]
    fn a_resource_is_what_is_given_before_what_is_known() {
        let text = |found: &Settings, key: &str| {
            let all: Vec<_> = found.resource.iter().filter(|attribute| attribute.key == key).collect();
            match all[..] {
                [Attribute { value: Value::Text(text), .. }] => text.clone(),
                _ => panic!("{key}: {all:?}"),
            }
        };
        let found = sound(&[]);
        assert_eq!(text(&found, "service.name"), "knockon");
        assert_eq!(text(&found, "service.version"), env!("CARGO_PKG_VERSION"));
        assert!(!text(&found, "host.name").is_empty());
        let given = (RESOURCE, "service.name=a,host.name=h%2C1, deployment.environment.name = ci");
        let found = sound(&[given]);
        assert_eq!((text(&found, "service.name"), text(&found, "host.name")), ("a".into(), "h,1".into()));
        assert_eq!(text(&found, "deployment.environment.name"), "ci");
        assert_eq!(text(&sound(&[given, (SERVICE_NAME, "b")]), "service.name"), "b");
        let found = sound(&[(RESOURCE, "a=1,b")]);
        assert_eq!((found.resource.len(), found.warnings.len()), (3, 1), "all of it or nothing");
    }
}
