//! Any text is a frame of the live connection or unknown; what is told of it is short and harmless, and an answer is JSON.

#![no_main]

use knockon::json::Json;
use knockon::sync::{Frame, MAX_FRAME_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let frame = Frame::parse(text);
    assert!(text.len() <= MAX_FRAME_BYTES || frame == Frame::Unknown);
    if frame != Frame::Unknown {
        assert!(Json::parse(bytes).is_ok());
    }
    if let Some(id) = frame.confirms() {
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
    match &frame {
        Frame::Ping(ping) => assert!(Json::parse(ping.pong().as_bytes()).is_ok_and(|pong| pong.get("timestamp").is_some())),
        Frame::Event(event) => assert!(text.contains(&event.text) && Json::parse(event.text.as_bytes()).is_ok()),
        Frame::Refused { reason, .. } => assert!(!reason.contains(char::is_control) && reason.len() < 4096),
        Frame::Snapshot { .. } | Frame::Confirmed { .. } | Frame::Unknown => {}
    }
});
