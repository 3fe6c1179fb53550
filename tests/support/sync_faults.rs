//! What the sync test server can do wrong, when asked, or by a seeded mixture.

use std::collections::VecDeque;
use std::time::Duration;

/// Where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /api/v1/events/batch/`
    Batch,
    /// `POST /api/v1/token/refresh/`
    Refresh,
    /// `POST /api/v1/ws-token/`
    WsToken,
    /// The handshake of the WebSocket.
    Socket,
}

/// What goes wrong. Unless it says that the request is carried out, nothing is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut before the body is read.
    DropBeforeReading,
    /// Carried out; the connection is cut without a word. The classic double.
    DropBeforeReply,
    /// Carried out; the connection is cut after so many bytes of the reply, head included.
    CutReply(usize),
    /// Carried out; the first bytes of the reply come one by one.
    Drip { bytes: usize, pause: Duration },
    /// Carried out; the reply is the first half of its JSON, with a sound head.
    HalfJson,
    /// This status, maybe with a `Retry-After`.
    Status { code: u16, retry_after: Option<String> },
    /// 200 with a page, as a hotel's network answers.
    Html,
    /// 200 with results for ids that nobody sent.
    WrongIds,
    /// Accepted, and never a word.
    Silence,
    /// 200 with 1 GiB of zeros.
    Huge,
    /// 307 to another path of this server.
    Redirect,
}

impl Fault {
    /// A status without `Retry-After`.
    pub fn status(code: u16) -> Self {
        Fault::Status { code, retry_after: None }
    }

    /// A status with `Retry-After` in seconds, or a date.
    pub fn retry_after(code: u16, when: &str) -> Self {
        Fault::Status { code, retry_after: Some(when.to_owned()) }
    }

    /// By the name that the example's `--fault` takes: a status, a status and its `Retry-After` such as `503:2`, or one
    /// of the words below.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "drop" => Fault::DropBeforeReading,
            "drop-reply" => Fault::DropBeforeReply,
            "cut-reply" => Fault::CutReply(120),
            "slow" => Fault::Drip { bytes: usize::MAX, pause: Duration::from_millis(20) },
            "half-json" => Fault::HalfJson,
            "html" => Fault::Html,
            "wrong-ids" => Fault::WrongIds,
            "silence" => Fault::Silence,
            "huge" => Fault::Huge,
            "redirect" => Fault::Redirect,
            status => {
                let (code, retry_after) = match status.split_once(':') {
                    Some((code, when)) => (code, Some(when.to_owned())),
                    None => (status, None),
                };
                let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
                Fault::Status { code, retry_after }
            }
        })
    }
}

/// How the server treats an envelope that comes by WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveAnswer {
    /// `{"type": "ack", "event_id", "status"}`
    Ack,
    /// The event itself, as everybody else gets it.
    Echo,
    /// Taken, and nothing said.
    Nothing,
    /// Not taken; the connection is cut.
    DropBefore,
    /// Taken; the connection is cut.
    DropAfter,
}

/// A mixture of faults: so many percent of the requests, the same ones for the same seed and the same requests.
#[derive(Clone, Debug)]
pub struct Chaos {
    percent: u64,
    state: u64,
}

impl Chaos {
    pub fn new(percent: u32, seed: u64) -> Self {
        Chaos { percent: percent.into(), state: seed }
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        if self.random() % 100 >= self.percent {
            return None;
        }
        let index = usize::try_from(self.random() % among.len() as u64).unwrap();
        Some(among[index].clone())
    }

    pub fn fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let drip = Fault::Drip { bytes: 64, pause: Duration::from_millis(1) };
        let before = [
            Fault::DropBeforeReading,
            Fault::status(500),
            Fault::status(502),
            Fault::status(503),
            Fault::retry_after(503, "0"),
            Fault::retry_after(429, "0"),
            Fault::Html,
            drip,
        ];
        match endpoint {
            // The new refresh token would be lost, and a 401 is the end: neither heals without the user.
            Endpoint::Refresh => self.pick(&before),
            Endpoint::WsToken | Endpoint::Socket => self.pick(&before[..6]),
            Endpoint::Batch => {
                let more = [
                    Fault::DropBeforeReply,
                    Fault::DropBeforeReply,
                    Fault::CutReply(200),
                    Fault::HalfJson,
                    Fault::WrongIds,
                    Fault::Redirect,
                    Fault::status(401),
                    Fault::status(401),
                ];
                self.pick(&[&before[..], &more].concat())
            }
        }
    }

    pub fn live_answer(&mut self) -> Option<LiveAnswer> {
        self.pick(&[LiveAnswer::DropBefore, LiveAnswer::DropAfter, LiveAnswer::Nothing, LiveAnswer::Echo])
    }
}

/// Which faults wait for which requests.
#[derive(Default)]
pub struct Plan {
    next: VecDeque<(Endpoint, Fault)>,
    always: Vec<(Endpoint, Fault)>,
    pub chaos: Option<Chaos>,
}

impl Plan {
    /// For the next requests there.
    pub fn next(&mut self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.next.extend(std::iter::repeat_n((endpoint, fault), times));
    }

    /// For all requests there that nothing else waits for.
    pub fn always(&mut self, endpoint: Endpoint, fault: Option<Fault>) {
        self.always.retain(|(other, _)| *other != endpoint);
        self.always.extend(fault.map(|fault| (endpoint, fault)));
    }

    /// Nothing goes wrong from now on.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        if let Some(index) = self.next.iter().position(|(other, _)| *other == endpoint) {
            return self.next.remove(index).map(|(_, fault)| fault);
        }
        if let Some((_, fault)) = self.always.iter().find(|(other, _)| *other == endpoint) {
            return Some(fault.clone());
        }
        self.chaos.as_mut()?.fault(endpoint)
    }
}
