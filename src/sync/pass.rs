//! One pass over the queue: the session with a real clock, a real queue and a real server.
//!
//! A thread sends. This one decides, reads the queue ahead and turns events into their wire form while the server works,
//! and never waits longer than a moment without looking whether it is to stop.

use super::http::{Http, NoReply, Renewal};
use super::session::{Fact, Input, MOST_EVENTS, Next, Offer, Policy, Session, Summary, Why};
use super::token::Token;
use super::wire::{self, Refreshed, Reply};
use crate::store::{Due, Fate, QueuedEvent};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is looked whether the pass is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long a request may still take then. Stopping takes five seconds at most, all in all.
const LAST_REQUEST: Duration = Duration::from_secs(4);

/// The queue that a pass empties.
pub trait Queue {
    /// Why it cannot be used.
    type Error: fmt::Display;

    /// Events behind row `after`, at most so many, in the order they were queued; of projects that agreed.
    ///
    /// # Errors
    /// It cannot be read.
    fn due(&mut self, after: i64, most: usize) -> Result<Due, Self::Error>;

    /// Settles rows, all or none, durably; remembers that the server took something when it did.
    ///
    /// # Errors
    /// It cannot be written.
    fn settle(&mut self, fates: &[(i64, Fate)]) -> Result<(), Self::Error>;

    /// Remembers what went wrong.
    ///
    /// # Errors
    /// It cannot be written.
    fn trouble(&mut self, words: &str) -> Result<(), Self::Error>;

    /// Remembers that the server wants to be left alone for so long.
    ///
    /// # Errors
    /// It cannot be written.
    fn leave_alone(&mut self, time: Duration) -> Result<(), Self::Error>;

    /// Whether events of this project may be sent, now.
    fn still_agrees(&mut self, project: &Path) -> bool;

    /// The event in its wire form.
    ///
    /// # Errors
    /// In words: it has none.
    fn to_wire(&mut self, event: &QueuedEvent) -> Result<String, String>;
}

/// The tokens of who is signed in.
pub trait Tokens {
    /// The access token, as it is now.
    ///
    /// # Errors
    /// In words: there is none, or it cannot be read.
    fn access(&mut self) -> Result<Token, String>;

    /// Another access token than the one that was refused, kept for everybody: one that somebody else got meanwhile,
    /// else one that `ask` gets for the refresh token.
    fn renew(&mut self, refused: &Token, ask: &mut dyn FnMut(&Token) -> Renewal) -> Renewal;
}

/// The way to the server.
pub trait Line {
    /// Sends a batch, its body not compressed yet.
    ///
    /// # Errors
    /// There is no answer.
    fn batch(&mut self, body: Vec<u8>, within: Duration) -> Result<Reply, Unsent>;

    /// Gets another access token.
    fn renew(&mut self, within: Duration) -> Renewal;

    /// What ends a request that is under way, from another thread.
    fn breaker(&self) -> Box<dyn FnOnce() + Send>;
}

/// Why a batch has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The line.
    NoReply(NoReply),
    /// There is no token, in words.
    NoToken(String),
}

/// A server that knows who we are.
#[derive(Debug)]
pub struct SignedIn<T> {
    http: Http,
    tokens: T,
    /// The token of the last request.
    used: Option<Token>,
}

impl<T: Tokens> SignedIn<T> {
    /// Nothing is sent yet. A pass that had to be broken off hangs up on `http` for good: each pass gets its own.
    pub fn new(http: Http, tokens: T) -> Self {
        SignedIn { http, tokens, used: None }
    }
}

impl<T: Tokens> Line for SignedIn<T> {
    fn batch(&mut self, body: Vec<u8>, within: Duration) -> Result<Reply, Unsent> {
        let token = match &self.used {
            Some(token) => token.clone(),
            None => self.tokens.access().map_err(Unsent::NoToken)?,
        };
        let token = self.used.insert(token);
        self.http.batch(token, &wire::gzip(&body), within).map_err(Unsent::NoReply)
    }

    fn renew(&mut self, within: Duration) -> Renewal {
        let Some(refused) = &self.used else { return Renewal::Refused("nobody is signed in".to_owned()) };
        let http = &self.http;
        let renewal = self.tokens.renew(refused, &mut |refresh| http.renew(refresh, within));
        if let Renewal::Renewed(Refreshed { access, .. }) = &renewal {
            self.used = Some(access.clone());
        }
        renewal
    }

    fn breaker(&self) -> Box<dyn FnOnce() + Send> {
        let http = self.http.clone();
        Box::new(move || http.hang_up())
    }
}

/// What came of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Why it is over.
    pub why: Why,
    /// What became of the events it read.
    pub summary: Summary,
    /// What went wrong last, unless the server took a batch since.
    pub trouble: Option<String>,
}

/// Why a pass broke off. Nothing is lost: what was not settled is sent again, and the server knows it by its id.
#[derive(Debug)]
pub enum PassError<E> {
    /// The queue cannot be used.
    Queue(E),
    /// The thread that sends could not be started.
    Thread(io::Error),
    /// It came to an end of its own.
    Broken,
}

impl<E: fmt::Display> fmt::Display for PassError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassError::Queue(error) => error.fmt(f),
            PassError::Thread(error) => write!(f, "no thread can be started: {error}"),
            PassError::Broken => f.write_str("the thread that sends came to an end; the events stay in the queue"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for PassError<E> {}

enum Order {
    Batch { body: Vec<u8>, within: Duration },
    Renew { within: Duration },
}

/// What was read of the queue.
struct Reading {
    offers: Vec<Offer>,
    more: bool,
}

impl Reading {
    fn input(self) -> Input {
        Input::Read { offers: self.offers, more: self.more }
    }
}

/// An event that was read: its project, and its wire form.
struct Text {
    project: PathBuf,
    wire: String,
}

/// Empties the queue as far as `policy` says; `progress` is called when events were dealt with. `stop` ends it within
/// five seconds.
///
/// # Errors
/// See [`PassError`].
pub fn pass<Q: Queue, L: Line + Send + 'static>(
    queue: &mut Q,
    line: L,
    policy: Policy,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Summary),
) -> Result<Passed, PassError<Q::Error>> {
    let sender = Sending::start(line).map_err(PassError::Thread)?;
    let most = policy.events.clamp(1, MOST_EVENTS);
    let mut pass = Pass { queue, sender, stop, most, texts: BTreeMap::new(), read: 0, ahead: None };
    let mut session = Session::new(policy);
    let began = Instant::now();
    let mut input = Input::Tick;
    let (mut trouble, mut dealt_with, mut unsettled) = (None, 0, Vec::new());
    loop {
        let step = session.step(input, began.elapsed(), random());
        unsettled.extend(step.settle);
        // The next batch is on its way while what the last one came to is written down. Should that fail, or this process
        // end in between, both are sent again, and the server knows them by their ids.
        let sent = match &step.next {
            Next::Post { rows, within } if !pass.stopped() => Some(pass.send(rows, *within)),
            _ => None,
        };
        let is_at_hand = matches!(step.next, Next::Read { after, .. } if pass.has_read(after));
        if !unsettled.is_empty() && !is_at_hand {
            pass.queue.settle(&std::mem::take(&mut unsettled)).map_err(PassError::Queue)?;
        }
        let sent = sent.transpose()?;
        for fact in step.facts {
            trouble = match fact {
                Fact::Taken => None,
                Fact::Trouble(words) => {
                    pass.queue.trouble(&words).map_err(PassError::Queue)?;
                    Some(words)
                }
                Fact::LeaveAlone(time) => {
                    pass.queue.leave_alone(time).map_err(PassError::Queue)?;
                    continue;
                }
            };
        }
        let summary = session.summary();
        let done = summary.synced + summary.duplicate + summary.failed + summary.pending + summary.dead;
        if done > dealt_with && unsettled.is_empty() {
            dealt_with = done;
            progress(&summary);
        }
        input = match step.next {
            Next::Post { rows, .. } => match sent {
                Some(withdrawn) if withdrawn.is_empty() => pass.answered(rows.len(), session.waiting())?,
                Some(withdrawn) => Input::Withdrawn(withdrawn),
                // Asked to stop before it was sent.
                None => Input::Stop,
            },
            Next::Finish(why) => {
                pass.sender.end();
                return Ok(Passed { why, summary, trouble });
            }
            _ if pass.stopped() => Input::Stop,
            Next::Read { after, most } => pass.read(after, most)?.input(),
            Next::Renew { within } => {
                pass.sender.order(Order::Renew { within })?;
                pass.answer()?
            }
            Next::Wait { until } => pass.sleep(began + until),
            // Only while a request is under way, which is waited for where it is ordered.
            Next::Await => return Err(PassError::Broken),
        };
    }
}

struct Pass<'a, Q> {
    queue: &'a mut Q,
    sender: Sending,
    stop: &'a AtomicBool,
    /// How many events are read at once.
    most: usize,
    texts: BTreeMap<i64, Text>,
    /// The last row that was read, ahead or not.
    read: i64,
    /// What was read ahead, and behind which row.
    ahead: Option<(i64, Reading)>,
}

impl<Q: Queue> Pass<'_, Q> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether what is behind a row was read ahead.
    fn has_read(&self, after: i64) -> bool {
        self.ahead.as_ref().is_some_and(|(behind, _)| *behind == after)
    }

    fn read(&mut self, after: i64, most: usize) -> Result<Reading, PassError<Q::Error>> {
        match self.ahead.take() {
            Some((behind, reading)) if behind == after => Ok(reading),
            _ => self.read_now(after, most).map_err(PassError::Queue),
        }
    }

    fn read_now(&mut self, after: i64, most: usize) -> Result<Reading, Q::Error> {
        let Due { events, more } = self.queue.due(after, most)?;
        let mut offers = Vec::with_capacity(events.len());
        for event in events {
            let wire = self.queue.to_wire(&event);
            let QueuedEvent { row, event_id: id, project, .. } = event;
            let size = wire.map(|wire| {
                let size = wire.len();
                self.texts.insert(row, Text { project, wire });
                size
            });
            self.read = self.read.max(row);
            offers.push(Offer { row, id, size });
        }
        Ok(Reading { offers, more })
    }

    /// Sends rows if all of them may still be sent; returns those that may not, and then sent nothing.
    fn send(&mut self, rows: &[i64], within: Duration) -> Result<Vec<i64>, PassError<Q::Error>> {
        // Rows go forward only: what lies behind is not sent again by this pass.
        self.texts = rows.first().map_or_else(BTreeMap::new, |first| self.texts.split_off(first));
        let withdrawn = self.withdrawn(rows);
        if !withdrawn.is_empty() {
            return Ok(withdrawn);
        }
        let texts = rows.iter().filter_map(|row| self.texts.get(row)).map(|text| text.wire.as_str());
        let body = wire::batch(texts);
        self.sender.order(Order::Batch { body, within })?;
        Ok(withdrawn)
    }

    /// Waits for the answer to a batch of so many of the events that wait, and reads what comes next meanwhile.
    fn answered(&mut self, sent: usize, waiting: usize) -> Result<Input, PassError<Q::Error>> {
        if self.ahead.is_none() && waiting - sent < self.most {
            let behind = self.read;
            // What cannot be read now is told when it is needed.
            self.ahead = self.read_now(behind, self.most).ok().map(|reading| (behind, reading));
        }
        self.answer()
    }

    fn withdrawn(&mut self, rows: &[i64]) -> Vec<i64> {
        let mut agrees: BTreeMap<&Path, bool> = BTreeMap::new();
        let queue = &mut *self.queue;
        let texts = &self.texts;
        let mut may_go = |row: &&i64| match texts.get(row) {
            Some(text) => *agrees.entry(&text.project).or_insert_with(|| queue.still_agrees(&text.project)),
            None => false,
        };
        rows.iter().filter(|row| !may_go(row)).copied().collect()
    }

    /// Waits for what the thread was told to do; not for long once the pass is to stop.
    fn answer(&mut self) -> Result<Input, PassError<Q::Error>> {
        let mut stopped: Option<Instant> = None;
        loop {
            match self.sender.answers.recv_timeout(LOOK) {
                Ok(input) => return Ok(input),
                Err(RecvTimeoutError::Disconnected) => return Err(PassError::Broken),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !self.stopped() {
                continue;
            }
            if stopped.get_or_insert_with(Instant::now).elapsed() >= LAST_REQUEST {
                self.sender.hang_up();
                return Ok(Input::Stop);
            }
        }
    }

    fn sleep(&self, until: Instant) -> Input {
        while !self.stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(LOOK));
        }
        Input::Tick
    }
}

/// The thread that sends, one thing at a time.
struct Sending {
    orders: Option<Sender<Order>>,
    answers: Receiver<Input>,
    breaker: Option<Box<dyn FnOnce() + Send>>,
    thread: Option<JoinHandle<()>>,
}

impl Sending {
    fn start(mut line: impl Line + Send + 'static) -> io::Result<Self> {
        let breaker = Some(line.breaker());
        let (orders, inbox) = channel();
        let (outbox, answers) = channel();
        let work = move || {
            for order in inbox {
                let input = match order {
                    Order::Batch { body, within } => input_of(line.batch(body, within)),
                    Order::Renew { within } => renewed(line.renew(within)),
                };
                if outbox.send(input).is_err() {
                    break;
                }
            }
        };
        let thread = Some(thread::Builder::new().name("sync".to_owned()).spawn(work)?);
        Ok(Sending { orders: Some(orders), answers, breaker, thread })
    }

    fn order<E>(&self, order: Order) -> Result<(), PassError<E>> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(PassError::Broken) }
    }

    /// Breaks off what is under way, and lets go of the thread: it may sit in something that cannot be broken off.
    fn hang_up(&mut self) {
        self.orders = None;
        self.thread = None;
        if let Some(breaker) = self.breaker.take() {
            breaker();
        }
    }

    /// Ends the thread, which has nothing to do.
    fn end(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // After an error something may still be under way.
        if self.thread.is_some() {
            self.hang_up();
        }
    }
}

fn input_of(sent: Result<Reply, Unsent>) -> Input {
    match sent {
        Ok(reply) => Input::Reply(reply),
        Err(Unsent::NoReply(NoReply { why, reached })) => Input::NoReply { why, reached },
        Err(Unsent::NoToken(words)) => Input::NoToken(words),
    }
}

fn renewed(renewal: Renewal) -> Input {
    match renewal {
        Renewal::Renewed(_) => Input::Renewed,
        Renewal::Refused(words) => Input::NotRenewed(words),
        Renewal::NoReply(NoReply { why, reached }) => Input::NoReply { why, reached },
    }
}

/// A number from 0 to 1. Without randomness of the kernel it is the middle: a rest is then as long as everybody's.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::sync::session::Patience;
    use crate::sync::wire::{Answer, Body, Said};
    use std::sync::{Arc, Mutex};

    fn id(row: i64) -> EventId {
        format!("evt_{row:026}").parse().unwrap()
    }

    /// A queue of rows without gaps; the project of every tenth is `other`.
    #[derive(Default)]
    struct Rows {
        rows: BTreeMap<i64, String>,
        settled: Vec<(i64, Fate)>,
        /// Whether `other` agrees, and the fewest rows that are left when it changes its mind.
        agrees_until: usize,
        broken: bool,
        asked: usize,
    }

    impl Rows {
        fn new(count: i64) -> Self {
            let wire = |row: i64| format!(r#"{{"event_id":"{}"}}"#, id(row).ulid());
            Rows { rows: (1..=count).map(|row| (row, wire(row))).collect(), ..Rows::default() }
        }
    }

    impl Queue for Rows {
        type Error = String;

        fn due(&mut self, after: i64, most: usize) -> Result<Due, String> {
            let project = |row| PathBuf::from(if row % 10 == 0 { "/other" } else { "/mine" });
            let queued = |(row, wire): (&i64, &String)| QueuedEvent {
                row: *row,
                event_id: id(*row),
                project: project(*row),
                event: wire.clone().into_bytes(),
                retry_count: 0,
                moved: false,
            };
            let events: Vec<_> = self.rows.range(after + 1..).take(most).map(queued).collect();
            Ok(Due { more: events.len() == most, events })
        }

        fn settle(&mut self, fates: &[(i64, Fate)]) -> Result<(), String> {
            if self.broken {
                return Err("the disk is full".to_owned());
            }
            for (row, _) in fates {
                self.rows.remove(row).expect("it is in the queue");
            }
            self.settled.extend_from_slice(fates);
            Ok(())
        }

        fn trouble(&mut self, _words: &str) -> Result<(), String> {
            Ok(())
        }

        fn leave_alone(&mut self, _time: Duration) -> Result<(), String> {
            Ok(())
        }

        fn still_agrees(&mut self, project: &Path) -> bool {
            self.asked += 1;
            project != Path::new("/other") || self.rows.len() > self.agrees_until
        }

        fn to_wire(&mut self, event: &QueuedEvent) -> Result<String, String> {
            if event.row == 7 { Err("seven".to_owned()) } else { Ok(String::from_utf8(event.event.clone()).unwrap()) }
        }
    }

    /// What a line was asked for, and how it answers.
    #[derive(Clone, Default)]
    struct Wire {
        bodies: Arc<Mutex<Vec<String>>>,
        /// How long each answer takes.
        slow: Duration,
        /// What the first requests are answered with.
        first: Vec<u16>,
        renewed: usize,
    }

    impl Line for Wire {
        fn batch(&mut self, body: Vec<u8>, within: Duration) -> Result<Reply, Unsent> {
            let body = String::from_utf8(body).unwrap();
            thread::sleep(self.slow.min(within));
            let ids: Vec<String> = ids(&body);
            self.bodies.lock().unwrap().push(body);
            let status = if self.first.is_empty() { 200 } else { self.first.remove(0) };
            let answers = ids.into_iter().map(|event_id| Answer { event_id, said: Said::Taken }).collect();
            let body = if status == 200 { Body::Answers(answers) } else { Body::Words("no".to_owned()) };
            Ok(Reply { status, retry_after: None, body })
        }

        fn renew(&mut self, _within: Duration) -> Renewal {
            self.renewed += 1;
            Renewal::Renewed(Refreshed { access: Token::new("new").unwrap(), refresh: None })
        }

        fn breaker(&self) -> Box<dyn FnOnce() + Send> {
            Box::new(|| ())
        }
    }

    fn ids(body: &str) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["events"].as_array().unwrap().iter().map(|it| it["event_id"].as_str().unwrap().to_owned()).collect()
    }

    fn policy() -> Policy {
        Policy { interval: Duration::ZERO, ..Policy::default() }
    }

    fn run(rows: &mut Rows, wire: &Wire, policy: Policy) -> (Passed, Vec<Summary>) {
        let mut progress = Vec::new();
        let passed = pass(rows, wire.clone(), policy, &AtomicBool::new(false), &mut |now| progress.push(*now));
        (passed.unwrap(), progress)
    }

    #[test]
    fn everything_goes_out_once_in_order_and_is_told() {
        let (mut rows, wire) = (Rows::new(4500), Wire { first: vec![200, 401, 500], ..Wire::default() });
        let (passed, progress) = run(&mut rows, &wire, policy());
        let summary = Summary { synced: 4499, dead: 1, ..Summary::default() };
        assert_eq!(passed, Passed { why: Why::Done, summary, trouble: None });
        let mut bodies = wire.bodies.lock().unwrap();
        // Once a project and a batch.
        assert_eq!((bodies.len(), rows.asked), (7, 14));
        // The second batch was refused twice.
        bodies.dedup();
        let sent: Vec<String> = bodies.iter().flat_map(|body| ids(body)).collect();
        let all: Vec<String> = (1..=4500).filter(|row| *row != 7).map(|row| id(row).ulid().to_owned()).collect();
        assert!(sent == all, "{} were sent", sent.len());
        assert!(rows.rows.is_empty() && rows.settled.contains(&(7, Fate::Dead("seven".to_owned()))));
        assert_eq!(progress.len(), 6);
        assert_eq!(progress.last(), Some(&summary));
    }

    #[test]
    fn a_project_that_changes_its_mind_sends_nothing_from_then_on() {
        let (mut rows, wire) = (Rows { agrees_until: 2000, ..Rows::new(3000) }, Wire::default());
        let (passed, _) = run(&mut rows, &wire, policy());
        let others = rows.rows.keys().filter(|row| *row % 10 == 0).count();
        assert_eq!((rows.rows.len(), passed.summary.left), (others, others));
        // The second batch was on its way when the first was settled.
        assert!(others >= 99, "{others}");
        assert_eq!(passed.why, Why::Done);
    }

    #[test]
    fn stopping_takes_a_moment_while_it_waits() {
        let (mut rows, wire) = (Rows::new(1500), Wire::default());
        let stop = AtomicBool::new(false);
        let began = Instant::now();
        let passed = pass(&mut rows, wire, Policy::default(), &stop, &mut |summary| {
            stop.store(summary.synced > 0, Ordering::Relaxed);
        });
        let passed = passed.unwrap();
        assert_eq!((passed.why, passed.summary.left), (Why::Stopped, 499));
        assert_eq!(rows.rows.len(), 499);
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn a_batch_under_way_is_finished_when_there_is_time_and_given_back_when_there_is_none() {
        for (slow, left) in [(Duration::from_millis(300), 0), (Duration::from_secs(60), 5)] {
            let (mut rows, wire) = (Rows::new(5), Wire { slow, ..Wire::default() });
            let began = Instant::now();
            let stop = AtomicBool::new(false);
            let passed = thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(100));
                    stop.store(true, Ordering::Relaxed);
                });
                pass(&mut rows, wire, policy(), &stop, &mut |_| ()).unwrap()
            });
            assert_eq!((rows.rows.len(), passed.summary.left), (left, left));
            assert_eq!(passed.trouble, None);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
    }

    #[test]
    fn a_background_pass_keeps_to_its_time() {
        let (mut rows, wire) = (Rows::new(5), Wire { first: vec![500; 1000], ..Wire::default() });
        let began = Instant::now();
        let (passed, _) =
            run(&mut rows, &wire, Policy { patience: Patience::For(Duration::from_millis(600)), ..policy() });
        assert_eq!((passed.why, passed.trouble.as_deref()), (Why::TimeUp, Some("no")));
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn a_queue_that_cannot_be_written_ends_the_pass() {
        let mut rows = Rows { broken: true, ..Rows::new(5) };
        let passed = pass(&mut rows, Wire::default(), policy(), &AtomicBool::new(false), &mut |_| ());
        assert_eq!(passed.unwrap_err().to_string(), "the disk is full");
    }

    #[test]
    fn nothing_to_do_asks_nobody() {
        let (mut rows, wire) = (Rows::default(), Wire::default());
        let (passed, progress) = run(&mut rows, &wire, Policy { events: MOST_EVENTS * 2, ..policy() });
        assert_eq!((passed.why, progress.len(), wire.bodies.lock().unwrap().len()), (Why::Done, 0, 0));
    }

    /// Tokens in a file that another process has changed meanwhile.
    struct Kept {
        access: &'static str,
        renewals: usize,
    }

    impl Tokens for Kept {
        fn access(&mut self) -> Result<Token, String> {
            Token::new(self.access).ok_or_else(|| "nobody is signed in".to_owned())
        }

        fn renew(&mut self, _refused: &Token, _ask: &mut dyn FnMut(&Token) -> Renewal) -> Renewal {
            self.renewals += 1;
            Renewal::Renewed(Refreshed { access: Token::new("new").unwrap(), refresh: None })
        }
    }

    #[test]
    fn without_a_token_nothing_is_sent() {
        let server = crate::sync::ServerUrl::parse("http://127.0.0.1:9").unwrap();
        let line = |access| SignedIn::new(Http::new(server.clone(), None).unwrap(), Kept { access, renewals: 0 });
        let mut rows = Rows::new(3);
        let passed = pass(&mut rows, line(""), policy(), &AtomicBool::new(false), &mut |_| ()).unwrap();
        assert_eq!(passed.why, Why::SignIn("nobody is signed in".to_owned()));
        assert_eq!(passed.summary.left, 3);
        let mut line = line("old");
        line.used = Token::new("old");
        assert!(matches!(line.renew(Duration::ZERO), Renewal::Renewed(_)));
        assert_eq!((line.used.unwrap().expose(), line.tokens.renewals), ("new", 1));
    }
}
