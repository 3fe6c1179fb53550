//! What goes into the batch protocol and what comes out of it: the words between a pass and its session.

use super::wire::Reply;
use crate::event::EventId;
use crate::store::Fate;
use std::time::Duration;

/// The most events of a batch.
pub const MOST_EVENTS: usize = 1000;
/// The bytes of JSON in a batch, unless configured.
pub const DEFAULT_BUDGET: usize = 256 * 1024;
/// The most bytes of JSON in a batch, however it is configured.
pub const LARGEST_BUDGET: usize = 512 * 1024;
/// Between two batches, unless configured.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a pass keeps trying while nothing gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until so many failures have followed each other: somebody waits for it.
    Failures(u32),
    /// Until so long after its beginning, whatever it is doing then.
    For(Duration),
    /// Until it is stopped.
    Endless,
}

/// How batches are made and sent.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The most events of a batch; at most [`MOST_EVENTS`] count.
    pub events: usize,
    /// The most bytes of JSON in a batch; at most [`LARGEST_BUDGET`] count.
    pub budget: usize,
    /// Between the end of one batch and the beginning of the next; zero for none.
    pub interval: Duration,
    /// How long after its beginning a pass may send its first batch: what is left of the interval since another pass.
    pub first_after: Duration,
    /// How long it keeps trying.
    pub patience: Patience,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            events: MOST_EVENTS,
            budget: DEFAULT_BUDGET,
            interval: DEFAULT_INTERVAL,
            first_after: Duration::ZERO,
            patience: Patience::Failures(4),
        }
    }
}

/// A queued event, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its row: the later, the larger.
    pub row: i64,
    /// Its id.
    pub id: EventId,
    /// The bytes of its wire form; or why it has none.
    pub size: Result<usize, String>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The rows that [`Next::Read`] asked for.
    Read {
        /// The events, in the order they were queued.
        offers: Vec<Offer>,
        /// Whether there may be more behind them.
        more: bool,
    },
    /// The server answered the batch.
    Reply(Reply),
    /// No answer, to the batch or for the token.
    NoReply {
        /// What went wrong.
        why: String,
        /// Whether the server may have seen it.
        reached: bool,
    },
    /// There is another access token.
    Renewed,
    /// There is no other access token: the server refuses, in these words.
    NotRenewed(String),
    /// There is no token at all, in these words: nothing was sent.
    NoToken(String),
    /// These rows of the batch may not be sent any more; nothing was sent.
    Withdrawn(Vec<i64>),
    /// Somebody wants the pass to end; what was under way is not waited for any longer.
    Stop,
}

/// What to do next. Times count from the beginning of the pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read at most so many events of the queue behind this row.
    Read {
        /// The row.
        after: i64,
        /// How many at most.
        most: usize,
    },
    /// Send these rows as one batch.
    Post {
        /// The rows, in this order.
        rows: Vec<i64>,
        /// How long that may take.
        within: Duration,
    },
    /// Get another access token.
    Renew {
        /// How long that may take.
        within: Duration,
    },
    /// Do nothing until then.
    Wait {
        /// When.
        until: Duration,
    },
    /// Wait for what is under way: what came in has nothing to do with it.
    Await,
    /// The pass is over.
    Finish(Why),
}

/// Why a pass is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Every event was dealt with; the summary says how.
    Done,
    /// Somebody wanted it.
    Stopped,
    /// Its time was up.
    TimeUp,
    /// The server takes neither the token nor renews it, in these words: sign in again.
    SignIn(String),
    /// The server wants nothing of it, in these words: it is not the events' fault.
    Refused(String),
    /// Nothing gets through: what went wrong last.
    Unreachable(String),
    /// The server answers, and its answers name nothing that was sent, in words.
    NoProgress(String),
}

/// What is worth remembering when the pass is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The server really took a batch.
    Taken,
    /// What went wrong.
    Trouble(String),
    /// The server wants to be left alone for so long.
    LeaveAlone(Duration),
}

/// What became of the events that a pass read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The server took them.
    pub synced: usize,
    /// The server had them already.
    pub duplicate: usize,
    /// The server refused them; they stay, or are dead letters when that was once too often.
    pub failed: usize,
    /// The server has not decided; they stay.
    pub pending: usize,
    /// Dead letters.
    pub dead: usize,
    /// They stay, and nothing is known of them: not sent, not answered, or not named by a reply.
    pub left: usize,
}

/// What to do: in this order.
#[derive(Clone, Debug)]
pub struct Step {
    /// Settle these rows, all or none.
    pub settle: Vec<(i64, Fate)>,
    /// Remember these.
    pub facts: Vec<Fact>,
    /// Then do this.
    pub next: Next,
}
