//! The bodies of the requests and of the replies: batches of events, what the server makes of each, and tokens.
//!
//! Whatever a server answers is somebody else's text: what is kept of it is bounded and has no control characters, and
//! no token that was sent stands in it.

use super::token::Token;
use crate::text::{one_line, shorten};
use crate::time::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// Where batches go.
pub const BATCH: &str = "/api/v1/events/batch/";
/// Where another access token comes from.
pub const REFRESH: &str = "/api/v1/token/refresh/";

/// What a body has apart from its events and the commas between them: `{"events":[]}`.
pub(super) const ENVELOPE: usize = 13;
/// The most characters that are kept of what a server says.
const LONGEST_WORDS: usize = 300;
/// How much of a reply that is no list of results is looked at.
const LONGEST_ERROR: usize = 64 * 1024;
/// The most results that are taken from one reply: ten times as many as events are sent at once.
const MOST_RESULTS: usize = 10_000;
/// The most bytes of an id in a result.
const LONGEST_ID: usize = 64;

/// What a server says of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has it: `success`, `accepted`, `warning`.
    Taken,
    /// It had it already: `duplicate`.
    Duplicate,
    /// It has not decided: `queued`, `pending`.
    Pending,
    /// It does not want it, and why: `rejected`, `error`, and every word that is not known.
    Refused(String),
}

/// One result of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The id of the event, as the server wrote it.
    pub event_id: String,
    /// What became of it.
    pub said: Said,
}

/// What a reply to a batch has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The results, in the server's order.
    Answers(Vec<Answer>),
    /// No results: what the server says instead, or what is wrong with what it says.
    Words(String),
}

/// A reply to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// What it says.
    pub body: Body,
}

/// A fresh pair of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The access token.
    pub access: Token,
    /// The refresh token for the next time, when the old one is not to be used again.
    pub refresh: Option<Token>,
}

/// The body of a batch: events in their wire form, not encoded again.
pub fn batch<'a>(events: impl Iterator<Item = &'a str> + Clone) -> Vec<u8> {
    let size: usize = events.clone().map(|event| event.len() + 1).sum();
    let mut body = Vec::with_capacity(ENVELOPE + size);
    body.extend_from_slice(br#"{"events":["#);
    for (index, event) in events.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event.as_bytes());
    }
    body.extend_from_slice(b"]}");
    body
}

/// A body as it travels. At the fastest level: on a local network the line is faster than a better one.
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4 + 64), Compression::fast());
    // A vector takes everything.
    let written = encoder.write_all(body);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// The body that asks for another access token.
pub fn refresh(token: &Token) -> Vec<u8> {
    json!({ "refresh": token.expose() }).to_string().into_bytes()
}

/// Reads the reply to [`refresh`].
///
/// # Errors
/// In words, without what stands in it: there is no token in it.
pub fn read_refresh(body: &[u8]) -> Result<Refreshed, String> {
    #[derive(Deserialize)]
    struct Members {
        access: Token,
        #[serde(default)]
        refresh: Option<Token>,
    }
    // What serde would say may quote what it read.
    let members = object(body).and_then(|body| serde_json::from_slice::<Members>(body).ok());
    let members = members.ok_or_else(|| format!("it sent {}, no token", kind_of(body)))?;
    Ok(Refreshed { access: members.access, refresh: members.refresh })
}

/// Reads the body of a reply to a batch. `secrets` are blotted out of what the server says.
pub fn read_reply(status: u16, body: &[u8], secrets: &[&Token]) -> Body {
    if !(200..300).contains(&status) {
        return Body::Words(words(status, body, secrets));
    }
    match object(body).and_then(|body| serde_json::from_slice::<Results<'_>>(body).ok()) {
        Some(Results { results: Some(Answers(answers)) }) => {
            Body::Answers(answers.into_iter().map(|raw| raw.read(secrets)).collect())
        }
        _ => Body::Words(format!("it answered {status} with {}, no results", kind_of(body))),
    }
}

/// The body, when it can be an object: serde takes a list for one as well.
fn object(body: &[u8]) -> Option<&[u8]> {
    body.trim_ascii_start().starts_with(b"{").then_some(body)
}

/// What a server says with a reply that is no success: `it answered 400: …`.
pub fn words(status: u16, body: &[u8], secrets: &[&Token]) -> String {
    match said(body, secrets) {
        Some(said) => format!("it answered {status}: {said}"),
        None => format!("it answered {status}"),
    }
}

/// The message in a body, where there is one.
fn said(body: &[u8], secrets: &[&Token]) -> Option<String> {
    let body = body.get(..LONGEST_ERROR).unwrap_or(body);
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => {
            let named = ["error", "detail", "message", "error_message", "title"];
            let message = named.into_iter().filter_map(|name| members.get(name)).find(|value| !value.is_null());
            message.map_or_else(|| Value::Object(members.clone()).to_string(), plain)
        }
        Ok(value) => plain(&value),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            // A page of a proxy says nothing that its status does not.
            (!text.starts_with('<')).then(|| text.to_owned())?
        }
    };
    kept(&text, secrets)
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is kept of somebody else's text.
fn kept(text: &str, secrets: &[&Token]) -> Option<String> {
    let text = text.trim();
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret.expose(), "***");
    }
    let text = one_line(&shorten(&text, LONGEST_WORDS));
    (!text.is_empty()).then_some(text)
}

/// What a body is, for people.
fn kind_of(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    match start.first() {
        None => "nothing",
        Some(b'<') => "a web page",
        Some(b'{' | b'[') if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => "other JSON",
        Some(b'{' | b'[') => "broken JSON",
        Some(_) => "something else",
    }
}

/// How long a `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3). `date` is what the server's own clock says
/// in `Date`; without it, `now` of ours counts.
pub fn retry_after(value: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let until = http_date(value)?;
    let now = date.and_then(http_date).unwrap_or(now);
    Some(Duration::from_millis(until.as_millis().saturating_sub(now.as_millis())))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let seconds = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_second();
    Some(Timestamp::from_millis(u64::try_from(seconds).ok()?.saturating_mul(1000)))
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow, default)]
    results: Option<Answers<'a>>,
}

/// The results of which the id and the status are texts: any other says nothing about an event.
struct Answers<'a>(Vec<RawAnswer<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Answers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Answers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of results")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Answers<'de>, A::Error> {
                let mut answers = Vec::new();
                while let Some(raw) = list.next_element::<&RawValue>()? {
                    if answers.len() >= MOST_RESULTS {
                        return Err(serde::de::Error::custom("too many results"));
                    }
                    let object = object(raw.get().as_bytes());
                    let answer = object.and_then(|object| serde_json::from_slice::<RawAnswer<'_>>(object).ok());
                    answers.extend(answer.filter(RawAnswer::is_bounded));
                }
                Ok(Answers(answers))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[derive(Deserialize)]
struct RawAnswer<'a> {
    event_id: String,
    status: String,
    #[serde(borrow, default)]
    error_message: Option<&'a RawValue>,
}

impl RawAnswer<'_> {
    fn is_bounded(&self) -> bool {
        self.event_id.len() <= LONGEST_ID
    }

    fn read(self, secrets: &[&Token]) -> Answer {
        let said = match self.status.to_ascii_lowercase().as_str() {
            "success" | "accepted" | "warning" => Said::Taken,
            "duplicate" => Said::Duplicate,
            "queued" | "pending" => Said::Pending,
            status => {
                let message = self.error_message.and_then(|raw| message(raw, secrets));
                let status = kept(status, secrets).unwrap_or_else(|| "refused".to_owned());
                Said::Refused(message.map_or(status.clone(), |message| format!("{status}: {message}")))
            }
        };
        Answer { event_id: self.event_id, said }
    }
}

/// Frameworks put lists and objects there as well.
fn message(raw: &RawValue, secrets: &[&Token]) -> Option<String> {
    if raw.get().len() > LONGEST_ERROR {
        return None;
    }
    let value: Value = serde_json::from_str(raw.get()).ok().filter(|value: &Value| !value.is_null())?;
    kept(&plain(&value), secrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read;

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    fn read(body: &str) -> Body {
        read_reply(200, body.as_bytes(), &[])
    }

    #[test]
    fn a_batch_has_the_events_as_they_are() {
        let bodies = [(vec![], r#"{"events":[]}"#), (vec!["{ \"a\":1.0}"], r#"{"events":[{ "a":1.0}]}"#)];
        for (events, body) in bodies {
            let written = batch(events.iter().copied());
            assert_eq!(String::from_utf8(written.clone()).unwrap(), body);
            let mut read = Vec::new();
            GzDecoder::new(&gzip(&written)[..]).read_to_end(&mut read).unwrap();
            assert_eq!(read, written);
        }
        let three = batch(["1", "22", "333"].into_iter());
        assert_eq!(three.len(), ENVELOPE + 6 + 2);
        assert_eq!(three, br#"{"events":[1,22,333]}"#);
    }

    #[test]
    fn reads_what_the_server_says_of_each_event() {
        let told = |status: &str, message: &str| {
            let body = format!(r#"{{"x":1,"results":[{{"event_id":"A","status":"{status}"{message}}}]}}"#);
            let Body::Answers(answers) = read(&body) else { panic!("{body}") };
            let [Answer { event_id, said }] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!(event_id, "A");
            said.clone()
        };
        let refused = |why: &str| Said::Refused(why.to_owned());
        for status in ["success", "accepted", "warning", "Success"] {
            assert_eq!(told(status, r#","error_message":"careful""#), Said::Taken);
        }
        assert_eq!(told("duplicate", ""), Said::Duplicate);
        assert_eq!(told("queued", r#","error_message":null"#), Said::Pending);
        assert_eq!(told("pending", ""), Said::Pending);
        assert_eq!(told("rejected", ""), refused("rejected"));
        assert_eq!(told("rejected", r#","error_message":"no \u001b[31mteam\n""#), refused("rejected: no ␛[31mteam"));
        assert_eq!(told("error", r#","error_message":{"a":["b"]}"#), refused(r#"error: {"a":["b"]}"#));
        assert_eq!(told("", ""), refused("refused"));
        assert_eq!(told("weird", ""), refused("weird"));
        let Said::Refused(long) = told("error", &format!(r#","error_message":"{}""#, "x".repeat(9000))) else {
            panic!()
        };
        assert!(long.chars().count() < LONGEST_WORDS + 20, "{long}");
    }

    #[test]
    fn a_result_without_id_or_status_names_nobody() {
        let body = r#"{"results":[1,null,{},["A","success"],{"event_id":1,"status":"success"},{"event_id":"A"},{"event_id":"A","status":7},
            {"event_id":"A","event_id":"B","status":"success"},{"event_id":"C","status":"success"}]}"#;
        assert_eq!(read(body), Body::Answers(vec![Answer { event_id: "C".to_owned(), said: Said::Taken }]));
        assert_eq!(read(r#"{"results":[]}"#), Body::Answers(Vec::new()));
    }

    #[test]
    fn what_is_no_list_of_results_is_told_in_words() {
        let many = format!(r#"{{"results":[{}{{}}]}}"#, r#"{"event_id":"A","status":"success"},"#.repeat(MOST_RESULTS));
        for (body, kind) in [
            ("", "nothing"),
            ("<!DOCTYPE html><p>Welcome", "a web page"),
            ("{\"results\":[{\"event_id\":\"A\",\"status\":\"succ", "broken JSON"),
            ("{\"results\":{}}", "other JSON"),
            ("{\"results\":null}", "other JSON"),
            ("{}", "other JSON"),
            ("[]", "other JSON"),
            (r#"[[{"event_id":"A","status":"success"}]]"#, "other JSON"),
            ("OK", "something else"),
            ("\u{0}", "something else"),
            (&many, "other JSON"),
            (&"[".repeat(100_000), "broken JSON"),
        ] {
            assert_eq!(read(body), Body::Words(format!("it answered 200 with {kind}, no results")), "{body:.60}");
        }
        assert!(matches!(read_reply(200, b"{\"results\":[\xff]}", &[]), Body::Words(_)));
    }

    #[test]
    fn a_failure_is_told_in_the_servers_words_and_never_with_a_token() {
        let secret = token("tok.SECRET/1");
        let told = |body: &str| words(400, body.as_bytes(), &[&secret]);
        for (body, said) in [
            ("", "it answered 400"),
            ("<html>Bad Request</html>", "it answered 400"),
            ("  plain\nwords ", "it answered 400: plain␊words"),
            (r#"{"detail":"Not found."}"#, "it answered 400: Not found."),
            (r#"{"error":null,"message":"m"}"#, "it answered 400: m"),
            (r#"{"events":["too many"]}"#, r#"it answered 400: {"events":["too many"]}"#),
            (r#"["a"]"#, r#"it answered 400: ["a"]"#),
            ("Bearer tok.SECRET/1 is bad", "it answered 400: Bearer *** is bad"),
            (r#"{"error":"tok.SECRET\/1"}"#, "it answered 400: ***"),
            (r#"{"errors":{"tok\u002eSECRET\/1":1}}"#, r#"it answered 400: {"errors":{"***":1}}"#),
        ] {
            assert_eq!(told(body), said);
        }
        // Not even a part of it, at the end of what is kept.
        for before in LONGEST_WORDS - 14..LONGEST_WORDS + 2 {
            assert!(!told(&format!("{}tok.SECRET/1", "x".repeat(before))).contains("tok"), "{before}");
        }
        let body = br#"{"results":[{"event_id":"A","status":"error","error_message":"tok.SECRET/1"}]}"#;
        assert!(!format!("{:?}", read_reply(200, body, &[&secret])).contains("SECRET"));
    }

    #[test]
    fn tokens_are_asked_for_and_read() {
        assert_eq!(refresh(&token("r\"1")), br#"{"refresh":"r\"1"}"#);
        let read = read_refresh(br#"{"access":"a","refresh":"r","x":[]}"#).unwrap();
        assert_eq!((read.access.expose(), read.refresh.unwrap().expose()), ("a", "r"));
        assert_eq!(read_refresh(br#"{"access":"a","refresh":null}"#).unwrap().refresh, None);
        assert_eq!(read_refresh(br#"{"access":"a"}"#).unwrap().refresh, None);
        for body in
            ["", "<p>SECRET", "{}", r#"{"access":1}"#, r#"{"access":""}"#, r#"{"access":"SECRET\n"}"#, r#"["SECRET"]"#]
        {
            let why = read_refresh(body.as_bytes()).unwrap_err();
            assert!(why.ends_with("no token") && !why.contains("SECRET"), "{why}");
        }
    }

    #[test]
    fn how_long_to_wait_is_a_number_or_a_date() {
        let now = Timestamp::parse("2025-11-06T08:49:37.000Z").unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, date, asked) in [
            ("0", None, seconds(0)),
            (" 120 ", None, seconds(120)),
            ("99999999999999999999999", None, seconds(u64::from(u32::MAX))),
            ("Thu, 06 Nov 2025 08:50:07 GMT", None, seconds(30)),
            ("Thu, 06 Nov 2025 08:50:07 GMT", Some("Thu, 06 Nov 2025 08:50:00 GMT"), seconds(7)),
            ("Thu, 06 Nov 2025 08:50:07 GMT", Some("yesterday"), seconds(30)),
            ("Thu, 06 Nov 2025 08:00:00 GMT", None, seconds(0)),
            ("", None, None),
            ("-1", None, None),
            ("1.5", None, None),
            ("soon", None, None),
        ] {
            assert_eq!(retry_after(value, date, now), asked, "{value} {date:?}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_is_too_strange(body: Vec<u8>, status: u16, retry_after_is in ".{0,40}") {
            read_reply(status, &body, &[&token("t")]);
            let _ = read_refresh(&body);
            words(status, &body, &[]);
            retry_after(&retry_after_is, Some(&retry_after_is), Timestamp::from_millis(0));
        }

        /// Good replies, cut off and with bytes changed.
        #[test]
        fn no_broken_reply_is_too_strange(cut in 0..400_usize, at in 0..400_usize, byte: u8) {
            let one = r#"{"event_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","status":"rejected","error_message":{"a":"\u00e9"}}"#;
            let mut body = format!(r#"{{"results":[{one},{one},{one}]}}"#).into_bytes();
            if let Some(there) = body.get_mut(at) {
                *there = byte;
            }
            body.truncate(cut);
            match read_reply(200, &body, &[]) {
                Body::Answers(answers) => prop_assert!(answers.len() <= 3),
                Body::Words(words) => prop_assert!(words.chars().count() < 400 && !words.chars().any(char::is_control)),
            }
        }
    }
}
