//! The frames of the live connection: what a server says in each text, whatever it sends.

use crate::json::{Json, Kind};
use crate::text::{one_line, shorten};

/// The most bytes of a frame, and of a message in several.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;
/// The most bytes of a ping's timestamp that are sent back.
const LONGEST_TIMESTAMP: usize = 256;
/// The most characters of an id: a ULID has 26.
const LONGEST_ID: usize = 64;
/// The most characters that are told of what a server says.
const LONGEST_MESSAGE: usize = 200;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// How things stand; the first frame of a connection.
    Snapshot {
        /// How many work packages are in it.
        work_packages: usize,
    },
    /// An event of the team, maybe one of ours.
    Event(RemoteEvent),
    /// A question whether we are there; it wants a pong.
    Ping(Ping),
    /// The server has the event with this id: `{"type": "ack", "event_id", "status"?}`, the status one of those that
    /// remove the row of a batch.
    Confirmed {
        /// The id as it stands on the wire: a bare ULID.
        event_id: String,
    },
    /// The server has something against an event, or against us: `{"type": "error"}`, or an ack with another status.
    Refused {
        /// The event, where one is named.
        event_id: Option<String>,
        /// Why, made harmless and short.
        reason: String,
    },
    /// Something else, or nothing that is understood.
    Unknown,
}

/// An event that a server passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEvent {
    /// The id as it stands on the wire: a bare ULID.
    pub event_id: Option<String>,
    /// Who made it; our own come back, too.
    pub node_id: Option<String>,
    /// Its clock, for `SyncQueue::receive`; nothing when it is no whole number from 0 to 2⁶⁴ − 1.
    pub lamport_clock: Option<u64>,
    /// The envelope as it came.
    pub text: String,
}

/// A question of the server, to be answered with its own timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    timestamp: String,
}

impl Ping {
    /// The answer, as one text frame.
    pub fn pong(&self) -> String {
        format!(r#"{{"type":"pong","timestamp":{}}}"#, self.timestamp)
    }
}

impl Frame {
    /// Reads one text frame. What is no JSON object, names a member twice, or has a type of its own is
    /// [`Frame::Unknown`].
    pub fn parse(text: &str) -> Self {
        if text.len() > MAX_FRAME_BYTES {
            return Frame::Unknown;
        }
        let Ok(frame) = Json::parse(text.as_bytes()) else { return Frame::Unknown };
        let kind = frame.get("type").and_then(Json::as_str);
        match kind.as_deref() {
            Some("snapshot") => {
                Frame::Snapshot { work_packages: frame.get("work_packages").map_or(0, |list| list.items().count()) }
            }
            // The envelope stands in the frame itself, or under `event`.
            Some("event") => {
                let inside = frame.get("event").filter(|inside| inside.kind() == Kind::Object);
                Frame::Event(remote_event(inside.unwrap_or(frame)))
            }
            Some("ping") => {
                let timestamp = frame.get("timestamp").map_or("null", Json::text);
                let timestamp = if timestamp.len() > LONGEST_TIMESTAMP { "null" } else { timestamp };
                Frame::Ping(Ping { timestamp: timestamp.to_owned() })
            }
            Some("ack") => ack(frame),
            Some("error") => refused(frame),
            _ => Frame::Unknown,
        }
    }

    /// The id of the event that the server has, by this frame: it confirms one, or tells the team about it. Whoever
    /// waits for a confirmation compares it with the ids of what it sent.
    pub fn confirms(&self) -> Option<&str> {
        match self {
            Frame::Confirmed { event_id } => Some(event_id),
            Frame::Event(event) => event.event_id.as_deref(),
            Frame::Snapshot { .. } | Frame::Ping(_) | Frame::Refused { .. } | Frame::Unknown => None,
        }
    }
}

fn ack(frame: Json<'_>) -> Frame {
    let Some(event_id) = id(frame, "event_id") else { return Frame::Unknown };
    let status = frame.get("status");
    let taken = match status.and_then(Json::as_str).as_deref() {
        Some(status) => matches!(status, "success" | "accepted" | "warning" | "duplicate"),
        None => status.is_none(),
    };
    if taken { Frame::Confirmed { event_id } } else { refused(frame) }
}

fn refused(frame: Json<'_>) -> Frame {
    let said = ["error_message", "message", "status"].into_iter().find_map(|name| frame.get(name)?.as_str());
    let said = said.unwrap_or("no reason was given".into());
    Frame::Refused { event_id: id(frame, "event_id"), reason: one_line(&shorten(&said, LONGEST_MESSAGE)) }
}

fn remote_event(envelope: Json<'_>) -> RemoteEvent {
    RemoteEvent {
        event_id: id(envelope, "event_id"),
        node_id: id(envelope, "node_id"),
        lamport_clock: envelope.get("lamport_clock").and_then(|number| number.text().parse().ok()),
        text: envelope.text().to_owned(),
    }
}

/// Letters and digits, nothing else: an id is shown and compared.
fn id(object: Json<'_>, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    let fits = !text.is_empty() && text.len() <= LONGEST_ID;
    (fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "01HZZZZZZZZZZZZZZZZZZZZZZZ";

    fn confirmed() -> Frame {
        Frame::Confirmed { event_id: ID.into() }
    }

    fn refused(event_id: Option<&str>, reason: &str) -> Frame {
        Frame::Refused { event_id: event_id.map(str::to_owned), reason: reason.into() }
    }

    #[test]
    fn reads_what_a_server_says() {
        for (text, frame) in [
            (r#"{"type":"snapshot","work_packages":[{"wp_id":"WP01"},{}]}"#, Frame::Snapshot { work_packages: 2 }),
            (r#"{"type":"snapshot"}"#, Frame::Snapshot { work_packages: 0 }),
            (r#"{"type":"snapshot","work_packages":7}"#, Frame::Snapshot { work_packages: 0 }),
            (r#"{"type":"ack","event_id":"ID"}"#, confirmed()),
            (r#"{"type":"ack","event_id":"ID","status":"duplicate"}"#, confirmed()),
            (r#"{"type":"ack","event_id":"ID","status":"pending"}"#, refused(Some(ID), "pending")),
            (r#"{"type":"ack","event_id":"ID","status":null}"#, refused(Some(ID), "no reason was given")),
            (r#"{"type":"ack","event_id":"a b"}"#, Frame::Unknown),
            (r#"{"type":"ack"}"#, Frame::Unknown),
            (r#"{"type":"error","event_id":"ID","error_message":"no\u001b[31m"}"#, refused(Some(ID), "no␛[31m")),
            (r#"{"type":"error"}"#, refused(None, "no reason was given")),
            (r#"{"type":"auth_success"}"#, Frame::Unknown),
            (r#"{"type":1}"#, Frame::Unknown),
            (r#"{"type":"ack","type":"error"}"#, Frame::Unknown),
            ("{}", Frame::Unknown),
            ("[]", Frame::Unknown),
            ("", Frame::Unknown),
            ("<html>", Frame::Unknown),
            (r#"{"type":"snapshot""#, Frame::Unknown),
        ] {
            assert_eq!(Frame::parse(&text.replace("ID", ID)), frame, "{text}");
        }
        assert_eq!(Frame::parse(&"[".repeat(100_000)), Frame::Unknown);
        let long = format!(r#"{{"type":"snapshot","x":"{}"}}"#, "x".repeat(MAX_FRAME_BYTES));
        assert_eq!(Frame::parse(&long), Frame::Unknown);
    }

    #[test]
    fn an_event_is_read_in_the_frame_or_inside_of_it() {
        let of = |text: &str| match Frame::parse(&text.replace("ID", ID)) {
            Frame::Event(event) => event,
            other => panic!("{other:?}"),
        };
        let flat =
            of(r#"{"type":"event","event_id":"ID","node_id":"0123456789ab","lamport_clock":18446744073709551615}"#);
        let inside = of(
            r#"{"type":"event","event":{"event_id":"ID","node_id":"0123456789ab","lamport_clock":18446744073709551615}}"#,
        );
        for event in [&flat, &inside] {
            assert_eq!(event.event_id.as_deref(), Some(ID));
            assert_eq!(event.node_id.as_deref(), Some("0123456789ab"));
            assert_eq!(event.lamport_clock, Some(u64::MAX));
        }
        assert!(inside.text.starts_with(r#"{"event_id""#));
        assert_eq!(Frame::Event(flat).confirms(), Some(ID));
        for clock in ["-1", "1.5", "1e3", "18446744073709551616", "\"7\"", "null", "[1]", "{}"] {
            let event = of(&format!(r#"{{"type":"event","event_id":[],"lamport_clock":{clock}}}"#));
            assert_eq!((event.lamport_clock, event.event_id), (None, None), "{clock}");
        }
    }

    #[test]
    fn a_pong_has_the_very_timestamp_of_the_ping() {
        for (ping, pong) in [
            (r#"{"type":"ping","timestamp":1732190400.123456789}"#, "1732190400.123456789"),
            (r#"{"type":"ping","timestamp":"2025-12-02T15:30:45Z"}"#, r#""2025-12-02T15:30:45Z""#),
            (r#"{"type":"ping"}"#, "null"),
            (&format!(r#"{{"type":"ping","timestamp":"{}"}}"#, "x".repeat(300)), "null"),
        ] {
            let Frame::Ping(ping) = Frame::parse(ping) else { panic!("{ping}") };
            assert_eq!(ping.pong(), format!(r#"{{"type":"pong","timestamp":{pong}}}"#));
        }
    }

    proptest! {
        #[test]
        fn hostile_frames_are_only_unknown(text in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::parse(&text);
            let _ = Frame::parse(&String::from_utf8_lossy(&bytes));
            let _ = Frame::parse(&format!(r#"{{"type":"event","lamport_clock":{text}}}"#));
            let _ = Frame::parse(&format!(r#"{{"type":"ping","timestamp":{text}}}"#));
        }
    }
}
