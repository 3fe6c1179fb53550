//! The form of a trace on the wire: OTLP 1 as JSON, by the mapping of proto3 with ids in hexadecimal.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: names in lowerCamelCase, enums as numbers, numbers of
//! 64 bits as decimal strings.

use serde::Serialize;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// An `ExportTraceServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: &'a [Attribute],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: &'a [Span],
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

/// One span.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_span_id: Option<String>,
    /// The flags of the trace, with what is known of the parent: [`LOCAL_PARENT`] or [`REMOTE_PARENT`].
    pub(super) flags: u32,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) start_time_unix_nano: String,
    pub(super) end_time_unix_nano: String,
    pub(super) attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<SpanEvent>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) dropped_events_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Status>,
}

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`: it is known that the parent, if there is one, is of this process.
pub(super) const LOCAL_PARENT: u32 = 0x100;
/// With `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: the parent is of another process.
pub(super) const REMOTE_PARENT: u32 = 0x300;

/// `SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something in itself.
    Internal = 1,
    /// It begins what others carry out.
    Producer = 4,
    /// It carries out what another began.
    Consumer = 5,
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// `Status`; what is not an error has none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Status {
    message: String,
    code: u8,
}

impl Status {
    /// `STATUS_CODE_ERROR`.
    pub(super) fn error(message: String) -> Self {
        Status { message, code: 2 }
    }
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpanEvent {
    pub(super) time_unix_nano: String,
    pub(super) name: String,
    pub(super) attributes: Vec<Attribute>,
}

/// `KeyValue`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Attribute {
    pub(super) key: Cow<'static, str>,
    pub(super) value: Value,
}

/// `AnyValue`, as far as it is used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    /// A number of 64 bits in decimal.
    #[serde(rename = "intValue")]
    Number(String),
    #[serde(rename = "boolValue")]
    Flag(bool),
}

impl Attribute {
    pub(super) fn text(key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Attribute { key: key.into(), value: Value::Text(value.into()) }
    }

    pub(super) fn number(key: &'static str, value: impl Into<i64>) -> Self {
        Attribute { key: key.into(), value: Value::Number(value.into().to_string()) }
    }

    pub(super) fn flag(key: &'static str, value: bool) -> Self {
        Attribute { key: key.into(), value: Value::Flag(value) }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Nanoseconds since 1970, in decimal.
pub(super) fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// The body of a request.
pub(super) fn request(resource: &[Attribute], spans: &[Span]) -> Vec<u8> {
    let scope = Scope { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    let scope_spans = [ScopeSpans { scope, spans }];
    let request =
        Request { resource_spans: [ResourceSpans { resource: Resource { attributes: resource }, scope_spans }] };
    serde_json::to_vec(&request).expect("strings, numbers and lists always become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_has_the_form_of_the_specification() {
        let span = Span {
            trace_id: "5b8efff798038103d269b633813fc60c".into(),
            span_id: "eee19b7ec3c1b174".into(),
            trace_state: None,
            parent_span_id: Some("eee19b7ec3c1b173".into()),
            flags: 1 | REMOTE_PARENT,
            name: "emit a.b".into(),
            kind: Kind::Producer,
            start_time_unix_nano: "1544712660000000000".into(),
            end_time_unix_nano: "1544712661000000000".into(),
            attributes: vec![Attribute::text("t", "v"), Attribute::number("n", -7), Attribute::flag("f", true)],
            events: vec![SpanEvent { time_unix_nano: "1".into(), name: "e".into(), attributes: Vec::new() }],
            dropped_events_count: 0,
            status: Some(Status::error("why".into())),
        };
        let body = request(&[Attribute::text("service.name", "knockon")], &[span]);
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
            json!({"resourceSpans": [{
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "knockon"}}]},
                "scopeSpans": [{
                    "scope": {"name": "knockon", "version": env!("CARGO_PKG_VERSION")},
                    "spans": [{
                        "traceId": "5b8efff798038103d269b633813fc60c",
                        "spanId": "eee19b7ec3c1b174",
                        "parentSpanId": "eee19b7ec3c1b173",
                        "flags": 769,
                        "name": "emit a.b",
                        "kind": 4,
                        "startTimeUnixNano": "1544712660000000000",
                        "endTimeUnixNano": "1544712661000000000",
                        "attributes": [
                            {"key": "t", "value": {"stringValue": "v"}},
                            {"key": "n", "value": {"intValue": "-7"}},
                            {"key": "f", "value": {"boolValue": true}},
                        ],
                        "events": [{"timeUnixNano": "1", "name": "e", "attributes": []}],
                        "status": {"message": "why", "code": 2},
                    }],
                }],
            }]})
        );
    }
}
