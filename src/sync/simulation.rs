//! The session against a server and a network that mean it no good, ten thousand times over, each time as a seed says.

#[cfg(test)]
mod tests {
    use crate::event::EventId;
    use crate::store::Fate;
    use crate::sync::session::{Fact, Input, Next, Offer, Patience, Policy, Session, Step, Why};
    use crate::sync::wire::{Answer, Body, ENVELOPE, Reply, Said};
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    const SEEDS: u64 = 10_000;
    /// The most steps that a pass may take before it counts as one that never ends.
    const MOST_STEPS: usize = 20_000;

    /// SplitMix64.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, end: u64) -> u64 {
            self.roll() % end.max(1)
        }

        fn unit(&mut self) -> f64 {
            self.roll() as f64 / u64::MAX as f64
        }

        fn chance(&mut self, of: f64) -> bool {
            self.unit() < of
        }

        fn millis(&mut self, most: u64) -> Duration {
            Duration::from_millis(self.below(most))
        }
    }

    /// What an event is like.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Kind {
        Good,
        /// The server puts it off so many times: refuses it, says it is pending, says nothing.
        Late(u64, u8),
        /// The server refuses each batch that it is in.
        Poison,
        /// The server refuses it for ever.
        Unwanted,
        /// It is more than the server takes.
        Heavy,
        /// It is more than a batch may have.
        Huge,
        /// It has no wire form.
        Unfit,
    }

    #[derive(Clone, Copy)]
    struct Row {
        size: usize,
        refused: u32,
    }

    struct Server {
        kinds: BTreeMap<i64, Kind>,
        sizes: BTreeMap<i64, usize>,
        /// In the order it took them.
        arrived: Vec<i64>,
        has: BTreeSet<i64>,
        /// A reply said, or by its silence meant, that they are to come later.
        put_off: BTreeSet<i64>,
        most_bytes: usize,
        signed_in: bool,
    }

    impl Server {
        /// What it makes of a batch that got through to it.
        fn take(&mut self, rows: &[i64]) -> Reply {
            let words = |status| Reply { status, retry_after: None, body: Body::Words(format!("answered {status}")) };
            let bytes = ENVELOPE - 1 + rows.iter().map(|row| self.sizes[row] + 1).sum::<usize>();
            if !self.signed_in {
                return words(401);
            }
            if bytes > self.most_bytes {
                return words(413);
            }
            if rows.iter().any(|row| self.kinds[row] == Kind::Poison) {
                return words(400);
            }
            let answers = rows.iter().filter_map(|row| Some(answer(*row, self.take_one(*row)?))).collect();
            Reply { status: 200, retry_after: None, body: Body::Answers(answers) }
        }

        fn take_one(&mut self, row: i64) -> Option<Said> {
            if self.has.contains(&row) {
                return Some(Said::Duplicate);
            }
            let kind = self.kinds.get_mut(&row).unwrap();
            let said = match kind {
                Kind::Unwanted => Some(Said::Refused("rejected".to_owned())),
                Kind::Late(times, how) if *times > 0 => {
                    *times -= 1;
                    [Some(Said::Refused("error: later".to_owned())), Some(Said::Pending), None][usize::from(*how)]
                        .clone()
                }
                _ => {
                    assert!(self.has.insert(row));
                    self.arrived.push(row);
                    return Some(Said::Taken);
                }
            };
            self.put_off.insert(row);
            said
        }
    }

    fn id(row: i64) -> EventId {
        format!("evt_{row:026}").parse().unwrap()
    }

    fn answer(row: i64, said: Said) -> Answer {
        Answer { event_id: id(row).ulid().to_owned(), said }
    }

    struct World {
        dice: Dice,
        queue: BTreeMap<i64, Row>,
        dead: BTreeMap<i64, String>,
        server: Server,
        /// How often the network, or the server, does something else than it should.
        hostile: f64,
    }

    /// What is watched over in one pass.
    struct Watch {
        policy: Policy,
        /// When the server saw the last batch that counts.
        seen: Option<Duration>,
        renewed: Option<Duration>,
        offered: usize,
        /// The last row that was read.
        read: i64,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let mut dice = Dice(seed);
            let most_bytes = 300 + dice.below(1200) as usize;
            let mut server = Server {
                kinds: BTreeMap::new(),
                sizes: BTreeMap::new(),
                arrived: Vec::new(),
                has: BTreeSet::new(),
                put_off: BTreeSet::new(),
                most_bytes,
                signed_in: true,
            };
            let strange = [0.0, 0.1, 0.5][dice.below(3) as usize];
            let mut queue = BTreeMap::new();
            for row in 1..=dice.below(60) as i64 {
                let kind = if dice.chance(strange) {
                    match dice.below(6) {
                        0 => Kind::Poison,
                        1 => Kind::Unwanted,
                        2 => Kind::Heavy,
                        3 => Kind::Huge,
                        4 => Kind::Unfit,
                        _ => Kind::Late(1 + dice.below(3), dice.below(3) as u8),
                    }
                } else {
                    Kind::Good
                };
                let size = match kind {
                    Kind::Heavy => most_bytes,
                    Kind::Huge => 4000,
                    _ => 20 + dice.below(200) as usize,
                };
                server.kinds.insert(row, kind);
                server.sizes.insert(row, size);
                queue.insert(row, Row { size, refused: 0 });
            }
            World { dice, queue, dead: BTreeMap::new(), server, hostile: 0.0 }
        }

        fn policy(&mut self) -> Policy {
            let patience = match self.dice.below(3) {
                0 => Patience::Failures(1 + self.dice.below(5) as u32),
                1 => Patience::For(Duration::from_secs(30)),
                _ => Patience::Endless,
            };
            Policy {
                events: 1 + self.dice.below(25) as usize,
                budget: 2000,
                interval: Duration::from_secs([0, 5][self.dice.below(2) as usize]),
                first_after: self.dice.millis(5000),
                patience,
            }
        }

        fn read(&self, after: i64, most: usize) -> Vec<Offer> {
            let due = self.queue.range(after + 1..).take(most);
            let size = |row: i64, size: usize| match self.server.kinds[&row] {
                Kind::Unfit => Err("it has no wire form".to_owned()),
                _ => Ok(size),
            };
            due.map(|(row, it)| Offer { row: *row, id: id(*row), size: size(*row, it.size) }).collect()
        }

        fn settle(&mut self, fates: Vec<(i64, Fate)>) {
            for (row, fate) in fates {
                let known = self.queue.get_mut(&row).expect("a row that is settled is in the queue");
                match fate {
                    Fate::Taken => {
                        assert!(self.server.has.contains(&row), "{row} is settled, and the server has it not");
                        self.queue.remove(&row);
                    }
                    Fate::Failed(why) => {
                        known.refused += 1;
                        if known.refused == 5 {
                            self.queue.remove(&row);
                            self.dead.insert(row, why);
                        }
                    }
                    Fate::Dead(why) => {
                        self.queue.remove(&row);
                        self.dead.insert(row, why);
                    }
                }
            }
        }

        /// The batch on its way there and back; how long that takes.
        fn send(&mut self, rows: &[i64], now: Duration, within: Duration, watch: &mut Watch) -> (Input, Duration) {
            let there = self.dice.millis(300).min(within);
            let cut_off = |reached| Input::NoReply { why: "cut off".to_owned(), reached };
            let status = |status, retry_after| {
                Input::Reply(Reply { status, retry_after, body: Body::Words(format!("answered {status}")) })
            };
            let trouble = if self.dice.chance(self.hostile) { self.dice.below(14) } else { 99 };
            if trouble == 0 {
                return (cut_off(false), there);
            }
            if trouble == 1 {
                return (cut_off(true), there);
            }
            if trouble == 2 {
                self.server.signed_in = false;
            }
            if self.server.signed_in {
                let at = now + there;
                if let Some(before) = watch.seen.replace(at) {
                    assert!(at >= before + watch.policy.interval, "a batch at {before:?} and the next at {at:?}");
                }
            }
            let slow = if self.dice.chance(self.hostile) { self.dice.millis(70_000) } else { self.dice.millis(200) };
            if there + slow > within {
                self.server.take(rows);
                return (cut_off(true), within);
            }
            let time = there + slow;
            let retry_after = [None, Some(self.dice.millis(9000)), Some(self.dice.millis(4_000_000))];
            let retry_after = retry_after[[0, 1, 1, 1, 2][self.dice.below(5) as usize]];
            let input = match trouble {
                3 => {
                    self.server.take(rows);
                    cut_off(true)
                }
                4 => {
                    self.server.take(rows);
                    Input::Reply(self.server.take(rows))
                }
                5 => status([500, 502, 504, 408][self.dice.below(4) as usize], None),
                6 => status(503, retry_after),
                7 => status(429, retry_after),
                8 => {
                    // It took them, and then something went wrong.
                    self.server.take(rows);
                    status([500, 503, 200][self.dice.below(3) as usize], None)
                }
                // A page in place of an answer.
                9 => status(200, None),
                10 => {
                    // An answer to somebody else.
                    self.server.put_off.extend(rows);
                    let body = Body::Answers(vec![answer(5000, Said::Taken)]);
                    Input::Reply(Reply { status: 200, retry_after: None, body })
                }
                11..14 => Input::Reply(self.garble(rows)),
                _ => Input::Reply(self.server.take(rows)),
            };
            (input, time)
        }

        /// An answer in which results are missing, doubled, contradicted and made up.
        fn garble(&mut self, rows: &[i64]) -> Reply {
            let mut reply = self.server.take(rows);
            if let Body::Answers(answers) = &mut reply.body {
                answers.retain(|_| self.dice.chance(0.7));
                if let Some(again) = answers.first().cloned() {
                    let said = [Said::Refused("error".to_owned()), Said::Pending, Said::Taken];
                    let said = said[self.dice.below(3) as usize].clone();
                    answers.push(Answer { said, ..again });
                }
                answers.push(answer(6000, Said::Refused("rejected".to_owned())));
            }
            reply
        }

        fn renew(&mut self, now: Duration, watch: &mut Watch) -> Input {
            if let Some(before) = watch.renewed {
                assert!(now >= before + Duration::from_secs(60), "renewed at {before:?}, and again at {now:?}");
            }
            if self.dice.chance(self.hostile / 2.0) {
                return Input::NoReply { why: "cut off".to_owned(), reached: true };
            }
            if self.dice.chance(self.hostile / 20.0) {
                return Input::NotRenewed("no".to_owned());
            }
            watch.renewed = Some(now);
            self.server.signed_in = !self.dice.chance(self.hostile / 10.0);
            Input::Renewed
        }

        /// One pass, which may be told to stop or die. What it ended with.
        fn pass(&mut self, deaths: f64) -> Option<Why> {
            let policy = self.policy();
            let mut watch = Watch { policy, seen: None, renewed: None, offered: 0, read: 0 };
            let mut session = Session::new(policy);
            let (mut now, mut input) = (Duration::ZERO, Input::Tick);
            for _ in 0..MOST_STEPS {
                let stop = matches!(input, Input::Stop);
                if matches!(&input, Input::Reply(reply) if reply.status != 401) {
                    watch.renewed = None;
                }
                let Step { settle, facts, next } = session.step(input, now, self.dice.unit());
                let dies = self.dice.chance(deaths);
                if dies && self.dice.chance(0.5) {
                    return None;
                }
                let taken = settle.iter().filter(|(_, fate)| *fate == Fate::Taken).count();
                assert_eq!(facts.contains(&Fact::Taken), taken > 0);
                self.settle(settle);
                if dies {
                    return None;
                }
                assert!(!stop || matches!(next, Next::Finish(_)), "told to stop, and then {next:?}");
                input = match next {
                    Next::Finish(why) => return Some(self.finished(why, &session, now, &watch)),
                    _ if self.dice.chance(deaths) => Input::Stop,
                    Next::Read { after, most } => {
                        let mut offers = self.read(after, most);
                        let mut more = offers.len() == most;
                        if offers.len() > 1 && self.dice.chance(0.1) {
                            // They are large: not all are read at once.
                            offers.truncate(offers.len() / 2);
                            more = true;
                        }
                        watch.offered += offers.len();
                        watch.read = offers.last().map_or(watch.read, |offer| offer.row);
                        Input::Read { offers, more }
                    }
                    Next::Post { rows, within } => {
                        self.check(&rows, &policy);
                        if self.dice.chance(self.hostile / 20.0) {
                            let some: Vec<i64> = rows.into_iter().filter(|_| self.dice.chance(0.3)).collect();
                            self.server.put_off.extend(&some);
                            Input::Withdrawn(some)
                        } else {
                            let (input, time) = self.send(&rows, now, within, &mut watch);
                            now += time;
                            input
                        }
                    }
                    Next::Renew { within } => {
                        now += self.dice.millis(500).min(within);
                        self.renew(now, &mut watch)
                    }
                    Next::Wait { until } => {
                        assert!(until > now);
                        now = until;
                        Input::Tick
                    }
                    Next::Await => panic!("nothing is under way"),
                };
            }
            panic!("the pass does not end");
        }

        /// A batch keeps to its limits, and is in order.
        fn check(&self, rows: &[i64], policy: &Policy) {
            assert!(!rows.is_empty() && rows.len() <= policy.events, "{rows:?}");
            assert!(rows.is_sorted_by(|a, b| a < b), "{rows:?}");
            let bytes = ENVELOPE - 1 + rows.iter().map(|row| self.queue[row].size + 1).sum::<usize>();
            assert!(bytes <= policy.budget, "{bytes} bytes");
        }

        fn finished(&mut self, why: Why, session: &Session, now: Duration, watch: &Watch) -> Why {
            let sum = session.summary();
            let all = sum.synced + sum.duplicate + sum.failed + sum.pending + sum.dead + sum.left;
            assert_eq!(all, watch.offered, "{sum:?}");
            match (watch.policy.patience, &why) {
                (Patience::Endless, Why::Unreachable(_) | Why::TimeUp) => panic!("it gave up"),
                (Patience::Failures(_), Why::TimeUp) => panic!("its time is not limited"),
                (Patience::For(time), _) => assert!(now <= time, "it took {now:?}"),
                _ => {}
            }
            if why == Why::Done {
                assert_eq!(self.queue.range(watch.read + 1..).count(), 0, "it is done, and has not read everything");
            }
            if matches!(why, Why::SignIn(_)) {
                self.server.signed_in = true;
            }
            why
        }
    }

    fn play(seed: u64) {
        let mut world = World::new(seed);
        let all: Vec<i64> = world.queue.keys().copied().collect();
        let kinds = world.server.kinds.clone();
        for _ in 0..1 + world.dice.below(4) {
            world.hostile = world.dice.unit() * 0.7;
            let deaths = [0.0, 0.03, 0.2][world.dice.below(3) as usize];
            world.pass(deaths);
            let known = |row: &i64| {
                world.queue.contains_key(row) || world.dead.contains_key(row) || world.server.has.contains(row)
            };
            assert!(all.iter().all(known), "an event is lost");
        }
        // Then all is well: nothing may be left after as many passes as the server puts things off.
        world.hostile = 0.0;
        for _ in 0..12 {
            if world.queue.is_empty() {
                break;
            }
            let why = world.pass(0.0);
            assert!(matches!(why, Some(Why::Done | Why::TimeUp | Why::NoProgress(_))), "{why:?}");
        }
        assert!(world.queue.is_empty() || all.len() > 30, "left: {:?}", world.queue.keys());
        while !world.queue.is_empty() {
            // A pass of thirty seconds is too short for many small batches.
            let before = world.queue.len();
            (0..10).for_each(|_| drop(world.pass(0.0)));
            assert!(world.queue.len() < before, "left: {:?}", world.queue.keys());
        }

        let at_fault = |row: &i64| !matches!(kinds[row], Kind::Good | Kind::Late(..));
        let dead: Vec<i64> = world.dead.keys().copied().collect();
        assert_eq!(dead, all.iter().copied().filter(at_fault).collect::<Vec<_>>(), "dead letters");
        let mut arrived = world.server.arrived.clone();
        arrived.retain(|row| !world.server.put_off.contains(row));
        assert!(arrived.is_sorted_by(|a, b| a < b), "the order: {arrived:?}");
        let mut arrived = world.server.arrived.clone();
        arrived.sort_unstable();
        assert_eq!(arrived, all.iter().copied().filter(|row| !at_fault(row)).collect::<Vec<_>>(), "at the server");
    }

    /// Each good event is at the server exactly once, whatever happens; those that no reply put off in the order in
    /// which they were queued. Dead letters are those at fault, and no others.
    #[test]
    fn no_event_is_lost_doubled_or_blamed_whatever_the_network_does() {
        let one: Option<u64> = std::env::var("KNOCKON_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
            if let Err(panic) = std::panic::catch_unwind(|| play(seed)) {
                let told = panic.downcast_ref::<String>().map(String::as_str);
                let told = told.or(panic.downcast_ref::<&str>().copied());
                panic!("seed {seed}: {}; alone: KNOCKON_TEST_SEED={seed}", told.unwrap_or("?"));
            }
        }
    }
}
