//! The batch protocol as data: what happened goes in, what to do comes out. No clock, no I/O, no randomness.
//!
//! ```text
//!   ┌────────────────────────────────────────────────────┐
//!   ▼                                                    │
//! Read ──▶ Wait ──▶ Post ──reply names rows──▶ settle ───┤
//!           ▲        ├─401──▶ Renew ─────────────────────┤
//!           │        ├─400, 413: fewer ──────────────────┤
//!           └─rests──┴─no answer, 429, 5xx               └──▶ Finish
//! ```
//!
//! What it promises, whatever the network does:
//! - A row is settled by a reply that names it, or as a dead letter: when it cannot be sent, is too large, or was refused
//!   alone. Everything else stays in the queue, and is not counted against it.
//! - Events reach the server in the order they were queued; except one that a reply put off (refused it, has not decided,
//!   or did not name it): that one comes later.
//! - A pass ends: each event is answered once at most, and a failure of the whole batch is repeated only as long as
//!   [`Patience`] says.

pub use super::steps::{Fact, Input, LARGEST_BUDGET, MOST_EVENTS, Next, Offer, Patience, Policy, Step, Summary, Why};

use super::batch::{Candidate, Limits, Verdict, Waiting};
use super::wire::{Answer, Body, Reply, Said};
use crate::store::Fate;
use std::time::Duration;

/// How long the server may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest rest after the first failure; it doubles with each that follows.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest rest after any.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// The longest that a pass which somebody waits for stays silent because the server asks for it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest that any pass does.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// The least time for renewing a token.
const RENEWING: Duration = Duration::from_secs(10);
/// How many events a server may refuse, each alone, before it has taken any: then it is not the events.
const MOST_REFUSED: usize = 10;
/// How long a renewed token counts as new: one that is refused then is not renewed again.
const NEW_TOKEN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Posting,
    Renewing,
}

/// One pass over the queue.
#[derive(Debug)]
pub struct Session {
    policy: Policy,
    waiting: Waiting,
    state: State,
    /// The last row that was read, and whether there are more.
    read: i64,
    exhausted: bool,
    /// Not before then: for the interval, and for a failure.
    free_at: Duration,
    rest_until: Duration,
    /// How many have followed each other.
    failures: u32,
    /// Another token is needed.
    renew: bool,
    /// The token is this new, and nothing was answered since but 401.
    renewed: Option<Duration>,
    ending: Option<Why>,
    /// How many events were refused alone.
    refused: usize,
    settle: Vec<(i64, Fate)>,
    facts: Vec<Fact>,
    summary: Summary,
}

impl Session {
    /// A pass that begins now.
    pub fn new(policy: Policy) -> Self {
        let events = policy.events.clamp(1, MOST_EVENTS);
        let limits = Limits { events, bytes: policy.budget.min(LARGEST_BUDGET) };
        Session {
            policy: Policy { events, ..policy },
            waiting: Waiting::new(limits),
            state: State::Idle,
            read: 0,
            exhausted: false,
            free_at: policy.first_after,
            rest_until: Duration::ZERO,
            failures: 0,
            renew: false,
            renewed: None,
            ending: None,
            refused: 0,
            settle: Vec::new(),
            facts: Vec::new(),
            summary: Summary::default(),
        }
    }

    /// How many events wait here, those on their way among them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What became of the events so far.
    pub fn summary(&self) -> Summary {
        Summary { left: self.summary.left + self.waiting.len(), ..self.summary }
    }

    /// Takes what happened `now`, counted from the beginning of the pass, and says what to do. `random` is from 0 to
    /// 1, another one each time.
    pub fn step(&mut self, input: Input, now: Duration, random: f64) -> Step {
        match (self.state, input) {
            (_, Input::Stop) => {
                self.state = State::Idle;
                self.waiting.give_back();
                self.end(Why::Stopped);
            }
            (State::Idle, Input::Read { offers, more }) => self.take_in(offers, more),
            (State::Posting, Input::Reply(reply)) => {
                self.state = State::Idle;
                self.answered(reply, now, random);
            }
            (State::Posting, Input::Withdrawn(rows)) => {
                self.state = State::Idle;
                self.summary.left += self.waiting.withdraw(&rows);
            }
            (State::Posting, Input::NoReply { why, reached }) => {
                self.state = State::Idle;
                self.waiting.give_back();
                if reached {
                    self.free_at = now + self.policy.interval;
                }
                self.failed(why, None, now, random);
            }
            (State::Renewing, Input::NoReply { why, .. }) => {
                self.state = State::Idle;
                self.failed(why, None, now, random);
            }
            (State::Renewing, Input::Renewed) => {
                self.state = State::Idle;
                (self.renew, self.renewed) = (false, Some(now));
            }
            (State::Posting, Input::NoToken(words)) | (State::Renewing, Input::NotRenewed(words)) => {
                self.state = State::Idle;
                self.waiting.give_back();
                self.sign_in(words);
            }
            _ => {}
        }
        let next = self.next(now);
        Step { settle: std::mem::take(&mut self.settle), facts: std::mem::take(&mut self.facts), next }
    }

    fn next(&mut self, now: Duration) -> Next {
        if self.state != State::Idle {
            return Next::Await;
        }
        if let Some(why) = &self.ending {
            return Next::Finish(why.clone());
        }
        if !self.exhausted && self.waiting.wants_more() {
            return Next::Read { after: self.read, most: self.policy.events };
        }
        if self.waiting.len() == 0 {
            return Next::Finish(Why::Done);
        }
        let until = self.free_at.max(self.rest_until);
        let deadline = match self.policy.patience {
            Patience::For(time) => time,
            _ => Duration::MAX,
        };
        if now.max(until) >= deadline {
            return Next::Finish(Why::TimeUp);
        }
        if until > now {
            return Next::Wait { until };
        }
        let within = TIMEOUT.min(deadline - now);
        if self.renew {
            // A refresh token that is taken by a server whose answer nobody waits for is lost.
            if within < RENEWING {
                return Next::Finish(Why::TimeUp);
            }
            self.state = State::Renewing;
            return Next::Renew { within };
        }
        self.state = State::Posting;
        Next::Post { rows: self.waiting.send(), within }
    }

    /// The first reason counts.
    fn end(&mut self, why: Why) {
        self.ending.get_or_insert(why);
    }

    fn sign_in(&mut self, words: String) {
        self.facts.push(Fact::Trouble(words.clone()));
        self.end(Why::SignIn(words));
    }

    fn take_in(&mut self, offers: Vec<Offer>, more: bool) {
        // Rows go forward: without one, there is nothing to ask for behind the last.
        self.exhausted = !more || offers.is_empty();
        for Offer { row, id, size } in offers {
            self.read = self.read.max(row);
            match size {
                Ok(size) if self.waiting.fits(size) => self.waiting.push(Candidate { row, id, size }),
                Ok(size) => {
                    let most = self.policy.budget.min(LARGEST_BUDGET);
                    self.bury(row, format!("it has {size} bytes, and a batch has {most} at most"));
                }
                Err(why) => self.bury(row, why),
            }
        }
    }

    fn bury(&mut self, row: i64, why: String) {
        self.summary.dead += 1;
        self.settle.push((row, Fate::Dead(why)));
    }

    fn answered(&mut self, reply: Reply, now: Duration, random: f64) {
        let Reply { status, retry_after, body } = reply;
        if status == 401 {
            return self.unauthorized(body, now);
        }
        self.renewed = None;
        self.free_at = now + self.policy.interval;
        match (status, body) {
            (200..300, Body::Answers(answers)) => self.settle(answers, now, random),
            (400, body) => {
                self.failures = 0;
                if let Some(bad) = self.waiting.refused() {
                    let words = words(status, body);
                    self.bury(bad.row, words.clone());
                    self.refused += 1;
                    if self.refused >= MOST_REFUSED && self.summary.synced + self.summary.duplicate == 0 {
                        self.facts.push(Fact::Trouble(words.clone()));
                        self.end(Why::NoProgress(format!("it refuses every event, the last one so: {words}")));
                    }
                }
            }
            (413, _) => {
                self.failures = 0;
                if let Some(large) = self.waiting.too_large() {
                    self.bury(large.row, format!("it has {} bytes, too many for the server (413)", large.size));
                }
            }
            // Also a success that cannot be read.
            (200..300 | 408 | 425 | 429 | 500.., body) => {
                self.waiting.give_back();
                let asked = retry_after.filter(|_| matches!(status, 429 | 503));
                self.failed(words(status, body), asked, now, random);
            }
            (_, body) => {
                self.waiting.give_back();
                let words = words(status, body);
                self.facts.push(Fact::Trouble(words.clone()));
                self.end(Why::Refused(words));
            }
        }
    }

    /// A token that was refused is renewed, one that was renewed a moment ago is not. The batch does not count for the
    /// interval: nobody has looked at it.
    fn unauthorized(&mut self, body: Body, now: Duration) {
        self.waiting.give_back();
        match self.renewed {
            Some(at) if now < at + NEW_TOKEN => self.sign_in(words(401, body)),
            _ => self.renew = true,
        }
    }

    fn settle(&mut self, answers: Vec<Answer>, now: Duration, random: f64) {
        let verdicts = self.waiting.answered(answers);
        let (mut named, mut taken) = (0, 0);
        for (Candidate { row, .. }, verdict) in verdicts.iter().cloned() {
            let Verdict::Said(said) = verdict else { continue };
            named += 1;
            let (count, fate) = match said {
                Said::Taken => (&mut self.summary.synced, Some(Fate::Taken)),
                Said::Duplicate => (&mut self.summary.duplicate, Some(Fate::Taken)),
                Said::Pending => (&mut self.summary.pending, None),
                Said::Refused(why) => (&mut self.summary.failed, Some(Fate::Failed(why))),
            };
            *count += 1;
            taken += usize::from(fate == Some(Fate::Taken));
            self.settle.extend(fate.map(|fate| (row, fate)));
        }
        if taken > 0 {
            self.facts.push(Fact::Taken);
        }
        if named > 0 {
            self.failures = 0;
        } else {
            self.summary.left += verdicts.len();
            let why = "its reply names none of the events that were sent".to_owned();
            if matches!(self.policy.patience, Patience::Failures(several) if self.failures + 1 >= several) {
                self.end(Why::NoProgress(why.clone()));
            }
            self.failed(why, None, now, random);
        }
    }

    /// Nothing came of it, and no event is to blame: rests, or gives up.
    fn failed(&mut self, why: String, asked: Option<Duration>, now: Duration, random: f64) {
        self.failures = self.failures.saturating_add(1);
        self.facts.push(Fact::Trouble(why.clone()));
        let most = FIRST_REST.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST_REST);
        let asked = asked.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        if !asked.is_zero() {
            self.facts.push(Fact::LeaveAlone(asked));
        }
        self.rest_until = now + most.mul_f64(random.clamp(0.0, 1.0)).max(asked);
        if let Patience::Failures(several) = self.policy.patience {
            if self.failures >= several {
                self.end(Why::Unreachable(why));
            } else if asked > LONGEST_WAIT {
                let asked = crate::time::human(asked);
                self.end(Why::Unreachable(format!("{why}; it wants to be left alone for {asked}")));
            }
        }
    }
}

fn words(status: u16, body: Body) -> String {
    match body {
        Body::Words(words) => words,
        Body::Answers(_) => format!("it answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use Next::{Finish, Post, Read, Renew, Wait};

    /// The event of a row.
    fn id(row: i64) -> EventId {
        format!("evt_{row:026}").parse().unwrap()
    }

    fn read(offers: impl IntoIterator<Item = Offer>) -> Input {
        let offers: Vec<Offer> = offers.into_iter().collect();
        Input::Read { more: offers.len() >= MOST_EVENTS, offers }
    }

    fn offers(rows: impl IntoIterator<Item = i64>) -> Input {
        read(rows.into_iter().map(|row| Offer { row, id: id(row), size: Ok(100) }))
    }

    fn policy() -> Policy {
        Policy { interval: Duration::ZERO, ..Policy::default() }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A session with its clock, and what it wanted to be done so far.
    struct Played {
        session: Session,
        now: Duration,
        settled: Vec<(i64, Fate)>,
        facts: Vec<Fact>,
        next: Next,
    }

    impl Played {
        /// Has read so many events, of 100 bytes each.
        fn with(policy: Policy, rows: i64) -> Self {
            Self::offered(policy, offers(1..=rows))
        }

        fn offered(policy: Policy, offers: Input) -> Self {
            let session = Session::new(policy);
            let (settled, facts) = (Vec::new(), Vec::new());
            let mut played = Played { session, now: Duration::ZERO, settled, facts, next: Next::Await };
            played.step(Input::Tick);
            assert!(matches!(played.next, Read { after: 0, .. }), "{:?}", played.next);
            played.step(offers);
            played
        }

        fn step(&mut self, input: Input) {
            let step = self.session.step(input, self.now, 1.0);
            self.settled.extend(step.settle);
            self.facts.extend(step.facts);
            self.next = step.next;
            // Where nothing else is behind what was read.
            if matches!(self.next, Read { after, .. } if after > 0) {
                self.step(read([]));
            }
        }

        fn rows(&self) -> &[i64] {
            match &self.next {
                Post { rows, .. } => rows,
                next => panic!("no batch but {next:?}"),
            }
        }

        fn says(&mut self, status: u16, body: Body, retry_after: Option<Duration>) {
            self.step(Input::Reply(Reply { status, retry_after, body }));
        }

        fn status(&mut self, status: u16) {
            self.says(status, Body::Words(format!("it answered {status}: because")), None);
        }

        fn answer(&mut self, said: impl IntoIterator<Item = (i64, Said)>) {
            let answers = said.into_iter().map(|(row, said)| Answer { event_id: id(row).ulid().to_owned(), said });
            self.says(200, Body::Answers(answers.collect()), None);
        }

        fn take_all(&mut self) {
            let rows = self.rows().to_vec();
            self.answer(rows.into_iter().map(|row| (row, Said::Taken)));
        }

        /// Waits as long as it wants to; how long.
        fn wait(&mut self) -> Duration {
            let Wait { until } = self.next else { panic!("it does not wait: {:?}", self.next) };
            let waited = until - self.now;
            self.now = until;
            self.step(Input::Tick);
            waited
        }

        fn cut_off(&mut self) {
            self.step(Input::NoReply { why: "cut off".to_owned(), reached: true });
        }
    }

    fn taken(rows: impl IntoIterator<Item = i64>) -> Vec<(i64, Fate)> {
        rows.into_iter().map(|row| (row, Fate::Taken)).collect()
    }

    #[test]
    fn a_batch_has_a_thousand_events_at_most_and_comes_every_five_seconds() {
        let mut played = Played::with(Policy::default(), 1000);
        let mut batches = Vec::new();
        for (first, last) in [(1001, 2000), (2001, 2300)] {
            batches.push(played.rows().len());
            let rows = played.rows().to_vec();
            let answers = rows.into_iter().map(|row| Answer { event_id: id(row).ulid().to_owned(), said: Said::Taken });
            let body = Body::Answers(answers.collect());
            let reply = Input::Reply(Reply { status: 200, retry_after: None, body });
            let step = played.session.step(reply, played.now, 0.0);
            assert_eq!(step.next, Read { after: first - 1, most: 1000 });
            assert_eq!((step.settle.len(), step.facts), (1000, vec![Fact::Taken]));
            played.step(offers(first..=last));
            assert_eq!(played.wait(), seconds(5.0));
        }
        batches.push(played.rows().len());
        played.take_all();
        assert_eq!((batches, &played.next), (vec![1000, 1000, 300], &Finish(Why::Done)));
        assert_eq!(played.session.summary(), Summary { synced: 2300, ..Summary::default() });
    }

    #[test]
    fn the_first_batch_waits_for_what_is_left_of_the_interval() {
        let mut played = Played::with(Policy { first_after: seconds(3.0), ..policy() }, 1);
        assert_eq!(played.wait(), seconds(3.0));
        assert_eq!(played.rows(), [1]);
    }

    #[test]
    fn a_batch_keeps_to_its_bytes_and_what_can_never_be_sent_is_a_dead_letter() {
        let sizes = [Ok(400), Ok(500), Ok(1000), Ok(88), Err("no team".to_owned()), Ok(987), Ok(988)];
        let offers = (1..).zip(sizes).map(|(row, size)| Offer { row, id: id(row), size });
        let mut played = Played::offered(Policy { budget: 1000, ..policy() }, read(offers));
        let told = "it has 1000 bytes, and a batch has 1000 at most".to_owned();
        let dead = vec![
            (3, Fate::Dead(told.clone())),
            (5, Fate::Dead("no team".to_owned())),
            (7, Fate::Dead(told.replace("it has 1000", "it has 988"))),
        ];
        assert_eq!(played.settled, dead);
        // 13 bytes around them and one between two: 13 + 400 + 1 + 500 + 1 + 88 = 1003.
        assert_eq!(played.rows(), [1, 2]);
        played.take_all();
        assert_eq!(played.rows(), [4]);
        played.take_all();
        assert_eq!(played.rows(), [6]);
        played.take_all();
        assert_eq!(played.session.summary(), Summary { synced: 4, dead: 3, ..Summary::default() });
        assert_eq!(Played::with(Policy { budget: usize::MAX, ..policy() }, 1).session.policy.budget, usize::MAX);
    }

    #[test]
    fn the_ceiling_of_a_batch_is_512_kib_whatever_is_configured() {
        let big = (1..=6).map(|row| Offer { row, id: id(row), size: Ok(120 * 1024) });
        let played = Played::offered(Policy { budget: usize::MAX, ..policy() }, read(big));
        assert_eq!(played.rows(), [1, 2, 3, 4]);
    }

    #[test]
    fn each_status_has_its_consequence() {
        let mut played = Played::with(policy(), 6);
        played.answer([
            (1, Said::Taken),
            (2, Said::Duplicate),
            (3, Said::Pending),
            (4, Said::Refused("rejected: no".to_owned())),
            (77, Said::Taken),
            (6, Said::Taken),
        ]);
        let failed = (4, Fate::Failed("rejected: no".to_owned()));
        assert_eq!(played.settled, [(1, Fate::Taken), (2, Fate::Taken), failed, (6, Fate::Taken)]);
        // Only what the reply did not name is asked about again.
        assert_eq!(played.rows(), [5]);
        played.take_all();
        assert_eq!(played.next, Finish(Why::Done));
        let summary = Summary { synced: 3, duplicate: 1, pending: 1, failed: 1, ..Summary::default() };
        assert_eq!(played.session.summary(), summary);
    }

    #[test]
    fn a_reply_that_contradicts_itself_settles_nothing() {
        let mut played = Played::with(policy(), 3);
        played.answer([
            (1, Said::Taken),
            (2, Said::Taken),
            (3, Said::Taken),
            (2, Said::Refused("error".to_owned())),
            (3, Said::Duplicate),
            (2, Said::Taken),
        ]);
        assert_eq!(played.settled, taken([1, 3]));
        assert_eq!(played.rows(), [2]);
    }

    #[test]
    fn a_pass_without_progress_ends() {
        let mut played = Played::with(policy(), 3);
        played.answer([(9, Said::Taken)]);
        assert_eq!((&played.next, played.settled.len()), (&Finish(Why::Done), 0));
        assert_eq!(played.session.summary(), Summary { left: 3, ..Summary::default() });
        assert!(matches!(&played.facts[..], [Fact::Trouble(why)] if why.contains("names none")), "{:?}", played.facts);
        // Also with all the patience of the world.
        let endless = Policy { patience: Patience::Endless, events: 1, ..policy() };
        let mut played = Played::offered(endless, offers([1]));
        played.answer([]);
        assert_eq!(played.next, Finish(Why::Done));
    }

    #[test]
    fn a_server_that_refuses_everything_is_believed_for_ten_events() {
        // A wrong version of the wire, or something on the way that wants no gzip: not the events' fault.
        let mut played = Played::with(policy(), 1000);
        while let Post { .. } = &played.next {
            played.status(400);
        }
        assert!(matches!(&played.next, Finish(Why::NoProgress(why)) if why.contains("because")), "{:?}", played.next);
        assert_eq!(played.settled.len(), 10);
    }

    #[test]
    fn the_poison_is_found_and_the_rest_goes_on_in_order() {
        for (rows, poison, most) in [
            (1_i64, vec![1_i64], 1),
            (2, vec![2], 4),
            (1000, vec![1], 12),
            (1000, vec![1000], 22),
            (1000, vec![500, 501], 45),
            (1000, (2..=1000).collect(), 1020),
        ] {
            let mut played = Played::with(policy(), rows);
            let (mut posts, mut arrived) = (0, Vec::new());
            while let Post { rows, .. } = &played.next {
                posts += 1;
                if rows.iter().any(|row| poison.contains(row)) {
                    played.status(400);
                } else {
                    arrived.extend(rows.clone());
                    played.take_all();
                }
            }
            assert_eq!(played.next, Finish(Why::Done));
            assert!(posts <= most, "{posts} batches for {poison:?}");
            let good: Vec<i64> = (1..=rows).filter(|row| !poison.contains(row)).collect();
            assert_eq!(arrived, good);
            let dead = |(row, fate): &(i64, Fate)| {
                matches!(fate, Fate::Dead(why) if why.contains("400: because")).then_some(*row)
            };
            assert_eq!(played.settled.iter().filter_map(dead).collect::<Vec<_>>(), poison);
            assert_eq!(played.settled.len(), rows as usize);
        }
    }

    #[test]
    fn a_batch_that_is_too_large_is_halved_and_stays_so() {
        let mut played = Played::with(policy(), 8);
        played.status(413);
        assert_eq!(played.rows(), [1, 2, 3]);
        played.take_all();
        assert_eq!(played.rows(), [4, 5, 6]);
        played.status(413);
        assert_eq!(played.rows(), [4]);
        for _ in 0..3 {
            assert_eq!(played.rows(), [4], "one answer may be a proxy's");
            played.status(413);
        }
        assert!(matches!(&played.settled[3], (4, Fate::Dead(why)) if why.contains("too many for the server")));
        assert_eq!(played.rows(), [5]);
    }

    #[test]
    fn a_refused_token_is_renewed_once() {
        let mut played = Played::with(Policy::default(), 2);
        played.status(401);
        assert_eq!(played.next, Renew { within: TIMEOUT });
        played.step(Input::Renewed);
        // At once: nobody has looked at the batch.
        assert_eq!(played.rows(), [1, 2]);
        played.status(401);
        assert_eq!(played.next, Finish(Why::SignIn("it answered 401: because".to_owned())));
        assert_eq!(played.session.summary().left, 2);

        let mut played = Played::with(policy(), 2);
        played.status(401);
        played.step(Input::NotRenewed("no".to_owned()));
        assert_eq!(played.next, Finish(Why::SignIn("no".to_owned())));
    }

    #[test]
    fn a_token_that_was_good_may_be_renewed_again() {
        let mut played = Played::with(Policy { events: 1, ..policy() }, 1);
        played.status(401);
        played.step(Input::Renewed);
        played.status(503);
        played.wait();
        played.status(401);
        assert_eq!(played.next, Renew { within: TIMEOUT });
        // One that nobody answers for is asked for again, after a rest.
        played.step(Input::NoReply { why: "down".to_owned(), reached: false });
        played.wait();
        assert_eq!(played.next, Renew { within: TIMEOUT });
        // And so it may after a long silence.
        played.step(Input::Renewed);
        played.cut_off();
        played.now += NEW_TOKEN;
        played.step(Input::Tick);
        played.status(401);
        assert_eq!(played.next, Renew { within: TIMEOUT });
    }

    #[test]
    fn what_is_not_the_events_fault_ends_the_pass_with_the_servers_words() {
        for status in [301, 302, 402, 403, 404, 405, 409, 415, 422] {
            let mut played = Played::with(policy(), 2);
            played.status(status);
            assert_eq!(played.next, Finish(Why::Refused(format!("it answered {status}: because"))));
            assert_eq!((played.settled.len(), played.session.summary().left), (0, 2));
        }
    }

    #[test]
    fn a_failure_of_the_whole_batch_is_repeated_after_a_rest_that_doubles_to_thirty_seconds() {
        let mut played = Played::with(Policy { patience: Patience::Endless, ..policy() }, 2);
        let mut rests = Vec::new();
        for status in [500, 502, 503, 504, 429, 408, 200, 500, 500] {
            assert_eq!(played.rows(), [1, 2]);
            played.status(status);
            rests.push(played.wait().as_millis());
        }
        assert_eq!(rests, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        played.cut_off();
        assert_eq!(played.wait(), seconds(30.0));
        assert!(played.settled.is_empty());
        played.take_all();
        assert_eq!((&played.next, played.settled.len()), (&Finish(Why::Done), 2));
        assert_eq!(played.facts.last(), Some(&Fact::Taken));
    }

    #[test]
    fn a_rest_is_any_part_of_the_longest() {
        for (random, rest) in [(0.0, 0.0), (0.25, 0.125), (1.0, 0.5), (7.0, 0.5), (-1.0, 0.0)] {
            let mut session = Session::new(policy());
            session.step(Input::Tick, Duration::ZERO, random);
            session.step(offers([1]), Duration::ZERO, random);
            session.step(Input::NoReply { why: String::new(), reached: false }, Duration::ZERO, random);
            assert_eq!(session.rest_until, seconds(rest));
        }
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is() {
        let wait = |status, asked, patience| {
            let mut played = Played::with(Policy { patience, ..policy() }, 1);
            played.says(status, Body::Words("busy".to_owned()), Some(seconds(asked)));
            played
        };
        let several = Patience::Failures(4);
        assert_eq!(wait(429, 7.0, several).wait(), seconds(7.0));
        assert_eq!(wait(503, 7.0, several).wait(), seconds(7.0));
        // Never sooner than without it, and only where it means that.
        assert_eq!(wait(429, 0.0, several).wait(), seconds(0.5));
        assert_eq!(wait(500, 7.0, several).wait(), seconds(0.5));
        // Nobody sits through an hour, and no service is put to sleep for ever.
        let told = "busy; it wants to be left alone for 10 min 0 s".to_owned();
        assert_eq!(wait(429, 600.0, several).next, Finish(Why::Unreachable(told)));
        assert_eq!(wait(429, 600.0, Patience::For(seconds(30.0))).next, Finish(Why::TimeUp));
        assert_eq!(wait(429, 600.0, Patience::Endless).wait(), seconds(600.0));
        assert_eq!(wait(429, 1e9, Patience::Endless).wait(), seconds(3600.0));
    }

    #[test]
    fn how_long_a_pass_keeps_trying_is_its_patience() {
        let mut played = Played::with(policy(), 1);
        for _ in 0..3 {
            played.cut_off();
            played.wait();
        }
        played.cut_off();
        assert_eq!(played.next, Finish(Why::Unreachable("cut off".to_owned())));

        let mut played = Played::with(Policy { patience: Patience::For(seconds(30.0)), ..policy() }, 1);
        assert_eq!(played.next, Post { rows: vec![1], within: seconds(30.0) });
        played.now = seconds(29.0);
        played.cut_off();
        played.wait();
        assert_eq!(played.next, Post { rows: vec![1], within: seconds(0.5) });
        played.now = seconds(30.0);
        played.cut_off();
        assert_eq!(played.next, Finish(Why::TimeUp));
        // What was done is done, also in the last moment.
        let mut played = Played::with(Policy { patience: Patience::For(seconds(30.0)), ..policy() }, 1);
        played.now = seconds(30.0);
        played.take_all();
        assert_eq!(played.next, Finish(Why::Done));
    }

    #[test]
    fn only_what_the_server_may_have_seen_counts_for_the_interval() {
        for (reached, rest) in [(true, 5.0), (false, 0.5)] {
            let mut played = Played::with(Policy::default(), 1);
            played.step(Input::NoReply { why: String::new(), reached });
            assert_eq!(played.wait(), seconds(rest));
        }
    }

    #[test]
    fn a_project_that_changed_its_mind_is_left_out() {
        let mut played = Played::with(policy(), 4);
        assert_eq!(played.rows(), [1, 2, 3, 4]);
        played.step(Input::Withdrawn(vec![2, 4]));
        assert_eq!(played.rows(), [1, 3]);
        played.take_all();
        assert_eq!(played.settled, taken([1, 3]));
        assert_eq!(played.session.summary(), Summary { synced: 2, left: 2, ..Summary::default() });
    }

    #[test]
    fn stopping_gives_back_what_is_under_way() {
        let mut played = Played::with(policy(), 4);
        played.step(Input::Stop);
        assert_eq!((&played.next, played.settled.len()), (&Finish(Why::Stopped), 0));
        assert_eq!(played.session.summary(), Summary { left: 4, ..Summary::default() });
        // A late answer changes nothing.
        played.answer([(1, Said::Taken)]);
        assert_eq!((&played.next, played.settled.len()), (&Finish(Why::Stopped), 0));
    }

    #[test]
    fn an_empty_queue_is_done_at_once() {
        assert_eq!(Played::offered(Policy::default(), read([])).next, Finish(Why::Done));
    }
}
