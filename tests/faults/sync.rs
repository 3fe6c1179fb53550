//! What networks, servers and kills do to events on their way to the team: none is lost, and the server has each once.

use super::support::crowd::{self, Acknowledged, Crowd, repeated, said};
use super::{count, figure};
use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Not a test of its own: a process that makes events.
#[test]
fn emitter() {
    crowd::be_an_emitter();
}

const EMITTER: &str = "sync::emitter";

/// Random numbers, the same in every run.
pub struct Random(pub u64);

impl Random {
    /// xorshift.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn ids(events: &[Acknowledged]) -> Vec<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

#[test]
fn five_thousand_events_made_offline_arrive_once_and_in_order() {
    let events = count(5000, 1000);
    let crowd = Crowd::new("512KiB");
    let made = crowd.emit(events);
    assert_eq!(crowd.queued(), ids(&made));
    crowd.sign_in();
    crowd.server.go_offline();
    let unreachable = crowd.project.run(&["sync", "now"]);
    assert_eq!(unreachable.code, 69, "{unreachable:?}");
    crowd.server.come_back();
    let began = Instant::now();
    let (code, shown) = crowd.project.on_a_terminal("sync now", "");
    let took = began.elapsed();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains(&format!("{events}/{events}")) && shown.contains('█'), "a progress bar: {shown}");
    assert!(shown.contains(&format!("{events} synced, 0 duplicate, 0 failed")), "{shown}");
    let batches: Vec<usize> = crowd.server.batches().iter().map(|batch| batch.ids.len()).collect();
    assert_eq!(batches, vec![1000; events / 1000]);
    assert_eq!(crowd.server.ids(), ids(&made), "in order, each once");
    assert_eq!((crowd.server.doubles(), crowd.queued().len(), crowd.dead()), (0, 0, 0));
    figure(
        "events made offline, then one `sync now`",
        format!("{events} in {} batches: 0 lost, 0 doubled, in order", batches.len()),
    );
    let largest = crowd.server.batches().iter().map(|batch| batch.bytes).max().unwrap();
    figure("  a batch of 1,000, bytes of JSON", format!("{largest}; all of it in {:.1} s", took.as_secs_f64()));
}

fn start_sync(crowd: &Crowd) -> Child {
    let mut command = crowd.project.command(&["sync", "now"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_while_it_sends_nothing_is_lost_doubled_or_out_of_order() {
    let (kills, events) = (count(50, 10), count(5000, 1000));
    // Small batches: many moments to be killed at.
    let crowd = Crowd::new("16KiB");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut all, mut cut_off) = (Vec::new(), 0);
    let mut killed = 0;
    while killed < kills {
        if crowd.queued().is_empty() {
            all.extend(crowd.emit(events));
            crowd.sign_in();
        }
        let before = crowd.server.ids().len();
        let mut child = start_sync(&crowd);
        // From its first batch on: a moment until the next, or the one after it.
        while crowd.server.ids().len() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(random.next() % 40_000));
        if child.try_wait().unwrap().is_none() {
            killed += 1;
        }
        // It may have come to its end.
        let _ = child.kill();
        child.wait().unwrap();
        let there = crowd.server.ids();
        assert_eq!(there, ids(&all[..there.len()]), "in order, each once");
        let waiting = crowd.queued();
        cut_off += there.len() + waiting.len() - all.len();
        assert!(waiting.ends_with(&ids(&all[there.len()..])), "what the server does not have is still queued");
    }
    let doubles = crowd.server.doubles();
    assert_eq!(crowd.sync_until_empty(3), 1, "one more is enough");
    assert_eq!(crowd.server.ids(), ids(&all), "in order, each once");
    assert_eq!((crowd.lost_and_doubled(&all), crowd.dead()), ((0, 0), 0));
    figure(
        "kill -9 of `sync now` at random moments",
        format!("{kills} kills, {} events: 0 lost, 0 doubled, in order", all.len()),
    );
    figure(
        "  control, what had been taken and not yet settled when it was killed",
        format!("{cut_off}, brought again and known to the server: {}", crowd.server.doubles().max(doubles)),
    );
    assert!(cut_off > 0, "some kills hit between the server and the queue");
}

#[test]
fn chaos_on_the_way_loses_and_doubles_nothing() {
    let (runs, events) = (count(10, 2), count(2000, 500));
    let (mut passes, mut requests, mut doubles) = (0, 0, 0);
    for seed in 0..runs {
        let crowd = Crowd::new("16KiB");
        let made = crowd.emit(events);
        crowd.sign_in();
        crowd.server.chaos(35, 1000 + seed as u64);
        passes += crowd.sync_until_empty(100);
        assert_eq!((crowd.lost_and_doubled(&made), crowd.dead()), ((0, 0), 0), "seed {seed}");
        requests += crowd.server.requests().len();
        doubles += crowd.server.doubles();
    }
    figure(
        "runs with a third of all requests going wrong",
        format!("{runs} × {events} events in {requests} requests, {passes} passes: 0 lost, 0 doubled, 0 dead letters"),
    );
    figure("  events that had to be brought again, and were known", doubles);
    assert!(doubles > 0, "some answers were lost");
}

fn all_said(children: Vec<Child>) -> Vec<Vec<Acknowledged>> {
    let each = children.into_iter().map(|mut child| {
        let said = said(&mut child);
        assert!(child.wait().unwrap().success(), "no event was refused its place");
        said
    });
    each.collect()
}

#[test]
fn the_clock_of_many_processes_never_repeats_a_time() {
    let (processes, events) = (32, count(200, 20));
    let crowd = Crowd::new("512KiB");
    let start = |way: &str, events| (0..processes).map(|_| crowd.start_emitter(EMITTER, way, events)).collect();
    let began = Instant::now();
    let each = all_said(start("library", events));
    let took = began.elapsed();
    for said in &each {
        assert_eq!(said.len(), events);
        assert!(said.windows(2).all(|pair| pair[0].lamport < pair[1].lamport), "each process sees it grow");
    }
    let mut all = each.concat();
    let commands: usize = count(10, 2);
    let each = all_said(start("commands", commands));
    all.extend(each.concat());
    assert_eq!((all.len(), repeated(&all)), (processes * (events + commands), 0));
    all.sort_by_key(|event| event.lamport);
    assert_eq!(crowd.queued(), ids(&all), "the order of the queue is that of the clock");
    let last = all.last().unwrap().lamport;
    assert_eq!(last as usize, all.len(), "and without a gap");
    figure(
        "32 processes × events by the library",
        format!("{} times, 0 repeated, 0 refused, {:.1} s", processes * events, took.as_secs_f64()),
    );
    figure("  and × `wp created`, a process each", format!("{} more, 0 repeated", processes * commands));
    let naive = all_said(start("naive", events)).concat();
    let distinct: BTreeSet<u64> = naive.iter().map(|event| event.lamport).collect();
    assert!(repeated(&naive) > 0, "read, add one and write repeats values");
    figure("  control, a bare JSON file: distinct times", format!("{} of {}", distinct.len(), naive.len()));
}

#[test]
fn many_senders_and_many_emitters_at_once_bring_each_event_once() {
    let (emitters, events) = (8, count(100, 25));
    let crowd = Crowd::new("16KiB");
    let early = crowd.emit(50);
    crowd.sign_in();
    crowd.server.chaos(25, 7);
    let quiet = |arguments: &[&str]| {
        let mut command = crowd.project.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut service = quiet(&["sync", "run"]);
    let mut senders = [start_sync(&crowd), start_sync(&crowd)];
    let way = |number| if number % 2 == 0 { "library" } else { "commands" };
    let started = (0..emitters).map(|number| crowd.start_emitter(EMITTER, way(number), events)).collect();
    let mut made = all_said(started).concat();
    made.extend(early);
    for sender in &mut senders {
        // With chaos it may have given up.
        sender.wait().unwrap();
    }
    let passes = crowd.sync_until_empty(100);
    // What follows only the service brings, live as soon as it is connected.
    let (mut batches, deadline) = (0, Instant::now() + Duration::from_secs(120));
    while batches < 4 || !crowd.queued().is_empty() {
        assert!(Instant::now() < deadline, "the service brings what is made: {} wait", crowd.queued().len());
        if crowd.queued().is_empty() {
            made.extend(crowd.emit(events));
            batches += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    super::kill("TERM", &service);
    let asked = Instant::now();
    service.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(6), "it ends soon: {:?}", asked.elapsed());
    assert_eq!((crowd.lost_and_doubled(&made), repeated(&made), crowd.dead()), ((0, 0), 0, 0));
    assert_eq!(crowd.server.ids().len(), made.len());
    figure(
        "`sync run`, two `sync now`, 8 emitters at once, a quarter of all requests going wrong",
        format!("{} events, {passes} more passes: 0 lost, 0 doubled", made.len()),
    );
    let live = crowd.server.events().iter().filter(|taken| taken.way == super::support::sync_server::Way::Live).count();
    let batches = crowd.server.requests_to("/api/v1/events/batch/").len();
    figure("  by WebSocket, and requests with batches", format!("{live}, {batches}"));
}
